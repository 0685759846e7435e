"""Recorded readings become measurements on one grid of times, in the order of the model.

A flow that is tagged to a source is positive into the network; in `Measurements` it is an outflow
at that node and so negative.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from hydraulics.leaks.measurements import BoolArray, IndexArray, Measurements
from hydraulics.network import NetworkModel, NodeKind
from twin.assets import Network, model_time_s
from twin.errors import RefusedError
from twin.ids import AssetRef, Space, parse_ref
from twin.instants import NS_PER_S
from twin.leaks.windows import NoReadingsError, Window
from twin.ports import Record
from twin.readings import Column, FloatArray, Quantity, Series, Status, TimeArray

MAX_ROWS = 20_000
SHORTEST_STEP_S = 60
_ROUND_STEPS_S = (60, 120, 180, 300, 600, 900, 1_200, 1_800, 3_600)
_ROUND_WITHIN = 0.05
_USUAL_STEP_S = 300
_LEAST_BAD = 8 * Status.BAD


@dataclass(frozen=True, slots=True)
class TagLeftOut:
    """A series, or some of its times, that a run did not use.

    Attributes:
        tag: The source's own name.
        asset: Full name of its asset.
        n_times: How many readings or rows were left out.
        reason: One sentence.
        is_whole: Whether it was left out altogether.
    """

    tag: str
    asset: str
    n_times: int
    reason: str
    is_whole: bool


@dataclass(frozen=True, slots=True)
class Raster:
    """Where in time the rows of a grid lie.

    Attributes:
        step_ns: From one row to the next [ns].
        phase_ns: Where in a step the rows lie, counted from the Unix epoch [ns].
    """

    step_ns: int
    phase_ns: int

    def cell_of(self, time_ns: TimeArray) -> TimeArray:
        """Return the number of the row that is nearest to each time."""
        return (time_ns - self.phase_ns + self.step_ns // 2) // self.step_ns

    def at_ns(self, cell: TimeArray) -> TimeArray:
        """Return the time of each row."""
        return cell * self.step_ns + self.phase_ns


@dataclass(frozen=True, slots=True)
class Gathered:
    """What a run sees.

    Attributes:
        measurements: The arrays; its rows are those of `at_ns`.
        at_ns: Instant of each row, shape (n_times,).
        raster: Where the rows of the grid lie.
        pressure_series: The series behind each pressure column.
        boundary_series: The series behind levels, flows and demands, in that order.
        left_out: Series and readings not used, and why.
        n_readings: How many readings were used.
        readings_sha256: Hash over what was used: series, times, values and qualities.
        places_sha256: Hash over the places in the ledger of the same readings.
    """

    measurements: Measurements
    at_ns: TimeArray
    raster: Raster
    pressure_series: tuple[Series, ...]
    boundary_series: tuple[Series, ...]
    left_out: tuple[TagLeftOut, ...]
    n_readings: int
    readings_sha256: str
    places_sha256: str

    @property
    def step_s(self) -> float:
        """Seconds between two rows of the grid."""
        return self.raster.step_ns / NS_PER_S


def gather(  # noqa: PLR0913 - one more than usual: how much is too much
    record: Record,
    network: Network,
    model: NetworkModel,
    window: Window,
    reference: Window | None,
    *,
    most_rows: int = MAX_ROWS,
    like: Gathered | None = None,
) -> Gathered:
    """Return the readings of one or two windows as measurements.

    The grid's step is the most common one among the pressure sensors. A cell of the grid is the
    mean of its readings; readings of bad quality are dropped; a cell without a reading is NaN, and
    a row without any pressure is not there. With `like`, its grid is gone on with.

    Raises:
        NoReadingsError: A window holds no usable pressure reading.
        RefusedError: The network has no pressure series, or the windows hold too many rows.
    """
    parts = [(reference, True)] if reference else []
    roles, left_out = _roles(record.series(network.name), model)
    if not roles.pressure:
        raise RefusedError(
            f"no series of network {network.name!r} is the pressure of a junction; "
            "ingest pressures, with tags that name their nodes"
        )
    columns = _Columns(record, [part for part, _ in [*parts, (window, False)]], left_out)
    roles = roles.kept(lambda series: columns.has(series, window))
    if not roles.pressure:
        raise NoReadingsError(network.name, window)
    times = [c.time_ns for series in roles.pressure for c in columns.of(series)]
    raster = _raster(times) if like is None else like.raster
    grid = _grid(network, columns, roles.pressure, window, reference, raster, most_rows)
    return Gathered(
        measurements=_measurements(model, columns, roles, grid),
        at_ns=grid.at_ns,
        raster=raster,
        pressure_series=roles.pressure,
        boundary_series=(*roles.level, *roles.flow, *roles.demand),
        left_out=tuple(left_out + grid.left_out),
        n_readings=columns.count(roles.all),
        readings_sha256=columns.content_sha256(roles.all),
        places_sha256=columns.places_sha256(roles.all),
    )


@dataclass(frozen=True, slots=True)
class _Roles:
    """Which series set which boundary."""

    pressure: tuple[Series, ...]
    level: tuple[Series, ...]
    flow: tuple[Series, ...]
    demand: tuple[Series, ...]

    @property
    def all(self) -> tuple[Series, ...]:
        return (*self.pressure, *self.level, *self.flow, *self.demand)

    def kept(self, is_kept: Callable[[Series], bool]) -> _Roles:
        groups = (self.pressure, self.level, self.flow, self.demand)
        return _Roles(*(tuple(filter(is_kept, group)) for group in groups))


_ROLE_OF: dict[tuple[Quantity, str], str] = {
    (Quantity.PRESSURE, "junction"): "pressure",
    (Quantity.LEVEL, "tank"): "level",
    (Quantity.FLOW, "link"): "flow",
    (Quantity.FLOW, "reservoir"): "demand",
    (Quantity.DEMAND, "junction"): "demand",
    (Quantity.DEMAND, "reservoir"): "demand",
}
_HYDRAULIC = (Quantity.PRESSURE, Quantity.LEVEL, Quantity.FLOW, Quantity.DEMAND)


def _roles(known: Iterable[Series], model: NetworkModel) -> tuple[_Roles, list[TagLeftOut]]:
    groups: dict[str, list[Series]] = {"pressure": [], "level": [], "flow": [], "demand": []}
    left_out = []
    nodes, links = set(model.node_id), set(model.link_id)
    for series in sorted(known, key=lambda one: one.tag):
        if series.quantity not in _HYDRAULIC:
            continue
        place = _place_kind(parse_ref(series.asset), model, nodes, links)
        role = _ROLE_OF.get((series.quantity, place))
        if role is None:
            reason = f"a run cannot use the {series.quantity} of a {place}"
            left_out.append(TagLeftOut(series.tag, series.asset, 0, reason, is_whole=True))
        else:
            groups[role].append(series)
    return _Roles(*(tuple(groups[name]) for name in groups)), left_out


def _place_kind(ref: AssetRef, model: NetworkModel, nodes: set[str], links: set[str]) -> str:
    if ref.space is Space.LINK:
        return "link" if ref.id in links else "link that the model does not hold"
    if ref.id not in nodes:
        return f"{ref.space} that the model does not hold"
    if ref.space is Space.USER:
        return "junction"  # a user draws where the junction of its name serves it
    return NodeKind(int(model.node_kind[model.node_id.index(ref.id)])).name.lower()


class _Columns:
    """Reads each column once and keeps what is not of bad quality."""

    def __init__(
        self, record: Record, windows: Sequence[Window], left_out: list[TagLeftOut]
    ) -> None:
        self._record = record
        self._windows = windows
        self._left_out = left_out
        self._good: dict[Series, list[Column]] = {}

    def of(self, series: Series) -> list[Column]:
        if series not in self._good:
            read = [self._record.column(series, w.from_ns, w.to_ns) for w in self._windows]
            self._good[series] = [_good_only(column) for column in read]
            n_bad = sum(map(len, read)) - sum(map(len, self._good[series]))
            if n_bad:
                self._leave_out(series, n_bad, "the source marks these readings bad", False)
        return self._good[series]

    def has(self, series: Series, window: Window) -> bool:
        if len(self.of(series)[self._windows.index(window)]):
            return True
        self._leave_out(series, 0, f"no usable reading in the window {window}", True)
        return False

    def count(self, used: Iterable[Series]) -> int:
        return sum(len(column) for series in used for column in self.of(series))

    def content_sha256(self, used: Iterable[Series]) -> str:
        return self._sha256(used, lambda c: (c.time_ns, c.value, c.quality))

    def places_sha256(self, used: Iterable[Series]) -> str:
        return self._sha256(used, lambda c: (c.height, c.leaf_index))

    def _sha256(
        self,
        used: Iterable[Series],
        parts: Callable[[Column], tuple[np.ndarray[tuple[int], np.dtype[np.generic]], ...]],
    ) -> str:
        digest = hashlib.sha256()
        for series in used:
            named = [series.tag, series.asset, series.quantity.value, series.unit]
            for column in self.of(series):
                digest.update(json.dumps([*named, len(column)]).encode())
                for part in parts(column):
                    digest.update(part.astype(part.dtype.newbyteorder("<")).tobytes())
        return digest.hexdigest()

    def _leave_out(self, series: Series, n_times: int, reason: str, is_whole: bool) -> None:  # noqa: FBT001 - the field's order
        self._left_out.append(TagLeftOut(series.tag, series.asset, n_times, reason, is_whole))


def _good_only(column: Column) -> Column:
    keep = column.quality < _LEAST_BAD
    return Column(
        column.series,
        column.time_ns[keep],
        column.value[keep],
        column.quality[keep],
        column.height[keep],
        column.leaf_index[keep],
    )


@dataclass(frozen=True, slots=True)
class _Grid:
    """The rows: cell numbers of each window, and what they are in time."""

    raster: Raster
    cells: tuple[TimeArray, ...]
    at_ns: TimeArray
    model_time_s: FloatArray
    is_reference: BoolArray
    left_out: list[TagLeftOut] = field(default_factory=list)


def _grid(  # noqa: PLR0913, PLR0917 - what a grid rests on
    network: Network,
    columns: _Columns,
    pressure: Sequence[Series],
    window: Window,
    reference: Window | None,
    raster: Raster,
    most_rows: int,
) -> _Grid:
    windows = ([reference] if reference else []) + [window]
    cells, times, left_out = [], [], []
    for index, part in enumerate(windows):
        seen = np.concatenate([columns.of(series)[index].time_ns for series in pressure])
        if not len(seen):
            raise NoReadingsError(network.name, part)
        part_cells = np.unique(raster.cell_of(seen))
        if len(part_cells) > most_rows:
            raise RefusedError(
                f"the window {part} holds {len(part_cells)} times; choose one of at most "
                f"{most_rows}"
            )
        model_s, is_kept = _rising_model_time_s(network, raster.at_ns(part_cells))
        if not is_kept.all():
            reason = "the local clock shows these times twice (end of daylight saving)"
            left_out.append(TagLeftOut("*", "*", int((~is_kept).sum()), reason, is_whole=False))
        cells.append(part_cells[is_kept])
        times.append(model_s[is_kept])
    all_cells = np.concatenate(cells)
    is_reference = np.arange(len(all_cells)) < (len(cells[0]) if reference else 0)
    return _Grid(
        raster,
        tuple(cells),
        raster.at_ns(all_cells),
        np.concatenate(times),
        is_reference,
        left_out,
    )


def _raster(times: Sequence[TimeArray]) -> Raster:
    step_ns = common_step_ns(times)
    return Raster(step_ns, _phase_ns(times, step_ns))


def common_step_ns(times: Sequence[TimeArray]) -> int:
    """Return the step that most sensors have; of two as common, the shorter.

    Each sensor's is its own most common one, rounded to a usual step (1, 2, 3, 5, 10, 15, 20, 30,
    60 min) within 5 %, and never below one minute: faster readings are averaged.
    """
    steps_s = Counter(_own_step_s(time_ns) for time_ns in times if len(time_ns) > 1)
    if not steps_s:
        return _USUAL_STEP_S * NS_PER_S
    return min(steps_s, key=lambda step_s: (-steps_s[step_s], step_s)) * NS_PER_S


def _own_step_s(time_ns: TimeArray) -> int:
    step_s = np.maximum(np.round(np.diff(time_ns) / NS_PER_S), SHORTEST_STEP_S)
    usual = np.array(_ROUND_STEPS_S, dtype=np.float64)
    near = usual[np.abs(step_s[:, None] - usual).argmin(axis=1)]
    step_s = np.where(np.abs(near - step_s) <= _ROUND_WITHIN * near, near, step_s)
    values, counts = np.unique(step_s, return_counts=True)
    return int(values[np.argmax(counts)])


def _phase_ns(times: Sequence[TimeArray], step_ns: int) -> int:
    """Return where in a step most readings lie, to the second.

    Where times scatter about a round one, as those of a busy source do, rows are at the round one:
    a row a few seconds before the hour would be of the hour before, with its demands.
    """
    rest_s = (np.concatenate(times) % step_ns) // NS_PER_S
    values, counts = np.unique(rest_s, return_counts=True)
    from_round_s = np.median(np.minimum(rest_s, step_ns // NS_PER_S - rest_s))
    is_scattered = 2 * counts.max() < len(rest_s)
    if is_scattered and from_round_s <= _ROUND_WITHIN * step_ns / NS_PER_S:
        return 0
    return int(values[np.argmax(counts)]) * NS_PER_S


def _rising_model_time_s(network: Network, at_ns: TimeArray) -> tuple[FloatArray, BoolArray]:
    """Return the model's clock at each instant, and which rows to keep so that it rises.

    Where only the place in the week counts, Sunday night goes on into an eighth day.
    """
    clock_s = np.array([model_time_s(network, int(at)) for at in at_ns], dtype=np.float64)
    week_s = 7 * 86_400.0
    falls = np.concatenate([[0.0], np.cumsum(np.diff(clock_s) < -week_s / 2)])
    clock_s += week_s * falls
    before = np.concatenate([[-np.inf], np.maximum.accumulate(clock_s)[:-1]])
    return clock_s, clock_s > before


def _measurements(
    model: NetworkModel, columns: _Columns, roles: _Roles, grid: _Grid
) -> Measurements:
    node = {name: i for i, name in enumerate(model.node_id)}
    link = {name: i for i, name in enumerate(model.link_id)}
    demand = _table(columns, roles.demand, grid)
    is_inflow = [series.quantity is Quantity.FLOW for series in roles.demand]
    demand[:, np.array(is_inflow, dtype=np.bool_)] *= -1.0
    return Measurements(
        model_time_s=grid.model_time_s,
        is_reference=grid.is_reference,
        pressure_node=_indices(roles.pressure, node),
        pressure_m=_table(columns, roles.pressure, grid),
        tank_node=_indices(roles.level, node),
        tank_level_m=_table(columns, roles.level, grid),
        flow_link=_indices(roles.flow, link),
        flow_m3s=_table(columns, roles.flow, grid),
        demand_node=_indices(roles.demand, node),
        demand_m3s=demand,
    )


def _indices(used: Sequence[Series], index: dict[str, int]) -> IndexArray:
    return np.array([index[parse_ref(series.asset).id] for series in used], dtype=np.int64)


def _table(columns: _Columns, used: Sequence[Series], grid: _Grid) -> FloatArray:
    """Return the mean of each cell, shape (n_times, n_series), NaN where there is no reading."""
    table = np.full((len(grid.at_ns), len(used)), np.nan)
    for i, series in enumerate(used):
        parts = zip(columns.of(series), grid.cells, strict=True)
        table[:, i] = np.concatenate([_cell_means(column, cells, grid) for column, cells in parts])
    return table


def _cell_means(column: Column, cells: TimeArray, grid: _Grid) -> FloatArray:
    cell = grid.raster.cell_of(column.time_ns)
    row = np.searchsorted(cells, cell)
    is_on = (row < len(cells)) & (cells[np.minimum(row, len(cells) - 1)] == cell)
    n = np.bincount(row[is_on], minlength=len(cells))
    total = np.bincount(row[is_on], weights=column.value[is_on], minlength=len(cells))
    mean = np.full(len(cells), np.nan)
    mean[n > 0] = total[n > 0] / n[n > 0]
    return mean
