"""How far a leak run could be trusted: how well the model fits, and what the instruments show.

Nothing of this is recorded: the same readings and the same network give the same answer, and both
answers name them by their hashes.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from hydraulics.leaks.accuracy import Accuracy, Grade, SensorAccuracy, accuracy
from hydraulics.leaks.coverage import (
    Coverage,
    CoverageSettings,
    Metered,
    coverage,
    usual_meters,
)
from hydraulics.leaks.hours import hours_late
from hydraulics.leaks.measurements import Progress
from hydraulics.leaks.placing import next_sensors
from hydraulics.network import NetworkModel, NodeKind
from twin.errors import NotFoundError, RefusedError, UnreadableError
from twin.ids import Space, parse_ref
from twin.leaks.book import in_model, known_leaks, load_book
from twin.leaks.gathering import Gathered, gather
from twin.leaks.reference import default_reference
from twin.leaks.windows import DAY_NS, HOUR_NS, LOOK_BACK_NS, Window
from twin.networks import load_model, load_network, model_path
from twin.ports import Record
from twin.readings import Quantity, Series

MAX_NEXT = 20
MAX_SIZES = 8
SMALLEST_M3S, LARGEST_M3S = 1e-5, 1.0
USUAL_SIZES_M3S = (0.001, 0.002, 0.005)
_NO_READINGS = "no readings in the window"
_LAST_NS = 2**62


@dataclass(frozen=True, slots=True)
class SensorTrust:
    """How well the model fits one pressure sensor.

    Attributes:
        tag: The source's own name.
        asset: Full name of its node.
        grade: Good, fair, poor, or rejected.
        reason: Why it is rejected; empty where it is not.
        n_readings: Readings compared.
        n_rows: Times that they were averaged to: hours, apart where links switched.
        bias_m: Mean of measured less modelled [m]; None, as the next two, where it is not known.
        rmse_m: Root mean square of the rest [m].
        time_of_day_share: Share of its variance that follows the hour of the day.
        expected_bias_m: Standard deviation of the mean that a leak run expects [m].
        expected_rmse_m: What it expects of the rest [m].
        within: Share of times within each limit of the yardstick, offset included.
        meets_yardstick: Whether they are within what it asks.
        is_as_expected: Whether a leak run expects errors as large.
        changed_ns: When its offset jumped or began to drift, None where it did not.
    """

    tag: str
    asset: str
    grade: Grade
    reason: str
    n_readings: int
    n_rows: int
    bias_m: float | None
    rmse_m: float | None
    time_of_day_share: float | None
    expected_bias_m: float | None
    expected_rmse_m: float | None
    within: tuple[float, ...]
    meets_yardstick: bool
    is_as_expected: bool
    changed_ns: int | None


@dataclass(frozen=True, slots=True)
class AccuracyReport:
    """How well the model of a network fits its pressure sensors.

    Attributes:
        network: Name of the network.
        window: The leak-free window that was compared.
        window_said: How it was chosen.
        sensors: One a pressure sensor, in order of tag.
        n_rows: Times compared: hours, apart where links switched within them.
        n_unsolved: Times that EPANET could not solve.
        n_readings: Readings used, those of meters among them.
        readings_sha256: Hash over them.
        inp_sha256: Hash of the EPANET file.
        hours_late: How many hours later than its model's demands the network takes its water, None
            where that cannot be told; other than 0 is a wrong clock or wrong patterns.
    """

    network: str
    window: Window
    window_said: str
    sensors: tuple[SensorTrust, ...]
    n_rows: int
    n_unsolved: int
    n_readings: int
    readings_sha256: str
    inp_sha256: str
    hours_late: int | None

    def count(self, grade: Grade) -> int:
        """Return how many sensors have a grade."""
        return sum(one.grade is grade for one in self.sensors)


@dataclass(frozen=True, slots=True)
class NextSensor:
    """Where one more pressure sensor belongs.

    Attributes:
        node_id: EPANET id of the junction.
        expected_zone_m: Expected length of the zone with it and those before it [m].
        gain_m: How much shorter that is than without it [m].
    """

    node_id: str
    expected_zone_m: float
    gain_m: float


@dataclass(frozen=True, slots=True)
class CoverageReport:
    """Where leaks would be found with the instruments of a network.

    Attributes:
        network: Name of the network.
        sensors: Nodes of the pressure sensors, EPANET ids.
        sensors_said: Where they were taken from.
        meters: What else is metered, full names.
        meters_said: Where that was taken from.
        settings: What decides the answer.
        coverage: The answer, pipe by pipe.
        pipe_id: EPANET id of each of its pipes.
        next_sensors: Where the next sensors belong, the best first.
        next_size_m3s: The leak that they were placed for [m³/s].
        inp_sha256: Hash of the EPANET file.
    """

    network: str
    sensors: tuple[str, ...]
    sensors_said: str
    meters: tuple[str, ...]
    meters_said: str
    settings: CoverageSettings
    coverage: Coverage
    pipe_id: tuple[str, ...]
    next_sensors: tuple[NextSensor, ...]
    next_size_m3s: float
    inp_sha256: str


def measure_accuracy(
    record: Record,
    network: str,
    window: Window | None = None,
    *,
    progress: Progress | None = None,
) -> AccuracyReport:
    """Compare the model of a network with what its pressure sensors read while nothing leaked.

    Args:
        record: The ledger.
        network: Name of the network.
        window: A leak-free window; None takes what a run over the newest readings would.
        progress: Told of each step.

    Raises:
        NotFoundError: No such network.
        NoReadingsError: The window holds no usable pressure reading.
        RefusedError: There is no pressure series, or no leak-free stretch to choose.
        BookError: A found leak begins or ends inside the window.
        HydraulicsError: EPANET cannot solve the model.
    """
    found = load_network(record, network)
    book = load_book(record, network)
    chosen, said = (window, "the window was given") if window else _newest(record, network)
    with tempfile.TemporaryDirectory(prefix="watercourse-") as folder:
        model = load_model(record, found)
        gathered = gather(record, found, model, chosen, None)
        known = in_model(known_leaks(book, chosen, None), model)
        inp = model_path(record, found, Path(folder))
        answer = accuracy(inp, model, gathered.measurements, known, progress=progress)
        late = hours_late(inp, model, gathered.measurements)
    return AccuracyReport(
        network=network,
        window=chosen,
        window_said=said,
        sensors=_sensors(record, network, gathered, answer),
        n_rows=len(answer.time_s),
        n_unsolved=answer.n_unsolved,
        n_readings=gathered.n_readings,
        readings_sha256=gathered.readings_sha256,
        inp_sha256=found.inp_sha256,
        hours_late=late,
    )


def measure_coverage(  # noqa: PLR0913 - what decides the answer, each by name
    record: Record,
    network: str,
    sensors: Sequence[str] | None = None,
    sizes_m3s: Sequence[float] = USUAL_SIZES_M3S,
    n_next: int = 0,
    *,
    progress: Progress | None = None,
) -> CoverageReport:
    """Tell from the model where leaks would be found, and where the next sensors belong.

    Args:
        record: The ledger.
        network: Name of the network.
        sensors: EPANET ids of junctions with a pressure sensor; None takes the recorded ones.
        sizes_m3s: Sizes of leaks [m³/s]; sensors are placed for the middle one.
        n_next: How many more sensors to place, 0 to `MAX_NEXT`.
        progress: Told of each step.

    Raises:
        NotFoundError: No such network or junction.
        UnreadableError: Sizes or a number that cannot be.
        HydraulicsError: EPANET cannot solve the model, or nothing is measured.
    """
    sizes = _checked_sizes(sizes_m3s)
    _check_next(n_next)
    found = load_network(record, network)
    model = load_model(record, found)
    nodes, sensors_said = _sensor_nodes(record, network, model, sensors)
    metered, meters_said = _metered(record, network, model)
    settings, size_m3s = CoverageSettings(), float(sizes[len(sizes) // 2])
    with tempfile.TemporaryDirectory(prefix="watercourse-") as folder:
        place = model_path(record, found, Path(folder)), model, nodes
        answer = coverage(*place, sizes, metered=metered, settings=settings, progress=progress)
        more = partial(next_sensors, *place, metered=metered, settings=settings)
        placed = more(n_next, size_m3s=size_m3s, progress=progress) if n_next else []
    names = [(model.node_id[one.node], one.expected_zone_m, one.gain_m) for one in placed]
    return CoverageReport(
        network=network,
        sensors=tuple(model.node_id[i] for i in nodes),
        sensors_said=sensors_said,
        meters=_meter_names(model, metered),
        meters_said=meters_said,
        settings=settings,
        coverage=answer,
        pipe_id=tuple(model.link_id[i] for i in answer.link),
        next_sensors=tuple(NextSensor(*name) for name in names),
        next_size_m3s=size_m3s,
        inp_sha256=found.inp_sha256,
    )


def _check_next(n_next: int) -> None:
    if not 0 <= n_next <= MAX_NEXT:
        raise UnreadableError(f"{n_next} sensors cannot be placed; ask for 0 to {MAX_NEXT}")


def _newest(record: Record, network: str) -> tuple[Window, str]:
    """Return the window that a run over readings from now on would take as leak-free."""
    last_ns = max(
        (
            int(column.time_ns[-1])
            for series in record.series(network)
            if series.quantity is Quantity.PRESSURE
            and len(column := record.column(series, 0, _LAST_NS))
        ),
        default=None,
    )
    if last_ns is None:
        raise RefusedError(f"network {network!r} has no pressure reading; ingest some first")
    after = Window(last_ns + HOUR_NS, last_ns + 2 * HOUR_NS)
    chosen = default_reference(record, network, after, load_book(record, network))
    if chosen is None:
        days = LOOK_BACK_NS // DAY_NS
        raise RefusedError(
            f"network {network!r} has no leak-free stretch of an hour in the last {days} days of "
            "its readings; name one with --from and --to"
        )
    return chosen, "the longest recorded stretch without a known leak or detected onset"


def _sensors(
    record: Record, network: str, gathered: Gathered, answer: Accuracy
) -> tuple[SensorTrust, ...]:
    found = [
        _sensor(series, gathered, one)
        for series, one in zip(gathered.pressure_series, answer.sensors, strict=True)
    ]
    silent = {one.tag for one in gathered.left_out if one.is_whole}
    found += [
        _silent(series)
        for series in record.series(network)
        if series.quantity is Quantity.PRESSURE and series.tag in silent
    ]
    return tuple(sorted(found, key=lambda one: one.tag))


def _sensor(series: Series, gathered: Gathered, one: SensorAccuracy) -> SensorTrust:
    times_s = gathered.measurements.model_time_s
    changed = None
    if one.fault is not None:
        row = int(np.searchsorted(times_s, one.fault.time_s))
        changed = int(gathered.at_ns[min(row, len(times_s) - 1)])
    return SensorTrust(
        tag=series.tag,
        asset=series.asset,
        grade=one.grade,
        reason=one.reason,
        n_readings=one.n_readings,
        n_rows=one.n_rows,
        bias_m=_known(one.bias_m),
        rmse_m=_known(one.rmse_m),
        time_of_day_share=_known(one.time_of_day_share),
        expected_bias_m=_known(one.expected_bias_m),
        expected_rmse_m=_known(one.expected_rmse_m),
        within=one.within,
        meets_yardstick=one.n_rows > 0 and one.meets_yardstick,
        is_as_expected=one.n_rows > 0 and one.is_as_expected,
        changed_ns=changed,
    )


def _silent(series: Series) -> SensorTrust:
    return SensorTrust(
        tag=series.tag,
        asset=series.asset,
        grade=Grade.REJECTED,
        reason=_NO_READINGS,
        n_readings=0,
        n_rows=0,
        bias_m=None,
        rmse_m=None,
        time_of_day_share=None,
        expected_bias_m=None,
        expected_rmse_m=None,
        within=(),
        meets_yardstick=False,
        is_as_expected=False,
        changed_ns=None,
    )


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _checked_sizes(sizes_m3s: Sequence[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    sizes = np.unique(np.array(sizes_m3s, dtype=np.float64))
    is_fit = np.isfinite(sizes).all() and 1 <= len(sizes) <= MAX_SIZES
    if not (is_fit and sizes[0] >= SMALLEST_M3S and sizes[-1] <= LARGEST_M3S):
        raise UnreadableError(
            f"give 1 to {MAX_SIZES} sizes of leaks, each from {SMALLEST_M3S * 1000:g} to "
            f"{LARGEST_M3S * 1000:g} L/s"
        )
    return sizes


def _sensor_nodes(
    record: Record, network: str, model: NetworkModel, given: Sequence[str] | None
) -> tuple[list[int], str]:
    index = {name: i for i, name in enumerate(model.node_id)}
    junctions = {n for n, i in index.items() if model.node_kind[i] == NodeKind.JUNCTION}
    if given is not None:
        for name in given:
            if name not in junctions:
                raise NotFoundError("junction", name, f"give ids of junctions of {network}")
        return [index[name] for name in dict.fromkeys(given)], "the sensors were given"
    names = [
        parse_ref(series.asset).id
        for series in record.series(network)
        if series.quantity is Quantity.PRESSURE
    ]
    here = sorted({index[name] for name in names if name in junctions})
    said = "the pressure sensors that are recorded" if here else "no pressure sensor is recorded"
    return here, said


def _metered(record: Record, network: str, model: NetworkModel) -> tuple[Metered, str]:
    """Return what is metered: what is recorded, or what usually is where nothing is."""
    known = record.series(network)
    if not known:
        return usual_meters(model), "nothing is recorded, so every source, tank and pump is assumed"
    nodes = {name: i for i, name in enumerate(model.node_id)}
    links = {name: i for i, name in enumerate(model.link_id)}
    tanks, flows, sources = set(), set(), set()
    for series in known:
        ref = parse_ref(series.asset)
        if ref.space is Space.LINK:
            if series.quantity is Quantity.FLOW and ref.id in links:
                flows.add(links[ref.id])
            continue
        node = nodes.get(ref.id, -1)
        kind = model.node_kind[node] if node >= 0 else None
        if series.quantity is Quantity.LEVEL and kind == NodeKind.TANK:
            tanks.add(node)
        if series.quantity in {Quantity.FLOW, Quantity.DEMAND} and kind == NodeKind.RESERVOIR:
            sources.add(node)
    columns = [np.array(sorted(one), dtype=np.int64) for one in (tanks, flows, sources)]
    return Metered(*columns), "the meters that are recorded"


def _meter_names(model: NetworkModel, metered: Metered) -> tuple[str, ...]:
    nodes = [f"node:{model.node_id[i]}" for i in (*metered.tank, *metered.source)]
    return (*nodes, *(f"link:{model.link_id[i]}" for i in metered.link))
