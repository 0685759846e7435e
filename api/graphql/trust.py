"""How far a leak run could be trusted: accuracy a sensor, and where a leak would not be found.

Both are worked out when they are asked for, one at a time in a server, and nothing is recorded.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, TypeVar

import strawberry

from api.graphql.context import Context, Info
from api.graphql.enums import SensorGrade
from api.graphql.errors import ArgumentError, TimedOutError
from api.graphql.fields import asked
from api.graphql.leak_runs import Window
from api.graphql.mutations import BadRequest, Busy, ModelNotReady, NotFound
from api.graphql.paging import First, check_first
from api.graphql.scalars import GeoJSON, Hash, Instant
from hydraulics.errors import HydraulicsError
from twin.errors import NotFoundError, RefusedError, UnreadableError
from twin.leaks.trust import AccuracyReport, CoverageReport, NextSensor, SensorTrust
from twin.leaks.windows import LONGEST_REFERENCE_NS
from twin.leaks.windows import Window as TwinWindow

MOST_NEXT = 5
_COST = 4_000
_ONE_AT_A_TIME = threading.Lock()
Answer = TypeVar("Answer")


@strawberry.type(description="How well the model fits one pressure sensor while nothing leaks.")
class SensorAccuracy:
    """One sensor."""

    tag: str = strawberry.field(description="The source's own name.")
    asset_name: str
    grade: SensorGrade
    sentence: str = strawberry.field(description="The same for people.")
    reason: str | None = strawberry.field(description="Why it is rejected; else null.")
    n_readings: int
    bias_m: float | None = strawberry.field(description="Mean of measured less modelled.")
    rmse_m: float | None = strawberry.field(description="Root mean square of the rest.")
    expected_bias_m: float | None = strawberry.field(
        description="Standard deviation of the mean that a leak run expects."
    )
    expected_rmse_m: float | None = strawberry.field(description="What it expects of the rest.")
    time_of_day_share: float | None = strawberry.field(
        description="Share of the rest's variance that follows the hour of the day, 0 to 1."
    )
    changed_at: Instant | None = strawberry.field(
        description="When its offset jumped or began to drift."
    )


@strawberry.type(description="How well the model fits the pressure sensors of a network.")
class ModelAccuracy:
    """All sensors over one window."""

    network_name: str
    window: Window
    window_said: str = strawberry.field(description="How the window came to be.")
    n_readings: int
    readings_sha256: Hash
    inp_sha256: Hash
    hours_late: int | None = strawberry.field(
        description="How many hours later than its model's demands the network takes its water; "
        "other than 0 is a wrong clock or wrong patterns, null where it cannot be told."
    )
    report: strawberry.Private[AccuracyReport]

    @asked("Every pressure sensor, by tag.", size=50)
    def sensors(self) -> list[SensorAccuracy]:
        """Return the sensors."""
        return [_sensor(one) for one in self.report.sensors]


@strawberry.type(description="How well leaks of one size would be found.")
class SizeCoverage:
    """One size."""

    flow_m3s: float
    missed_share: float = strawberry.field(
        description="Share of the length of pipes where it would not be found, 0 to 1."
    )
    expected_zone_m: float = strawberry.field(description="Mean length of its 90 % zone.")


@strawberry.type(description="How well leaks in one pipe would be found; a value a size.")
class PipeCoverage:
    """One pipe."""

    pipe_id: str = strawberry.field(description="EPANET id.")
    length_m: float
    is_reached: bool = strawberry.field(description="Whether water from a source reaches it.")
    chance: list[float] = strawberry.field(description="Chance that the leak is found, 0 to 1.")
    zone_m: list[float] = strawberry.field(description="Expected length of its 90 % zone.")


@strawberry.type(description="A junction where one more pressure sensor belongs.")
class SensorPlacement:
    """One more sensor."""

    node_id: str = strawberry.field(description="EPANET id.")
    gain_m: float = strawberry.field(description="How much shorter zones are with it, on average.")
    expected_zone_m: float = strawberry.field(description="How long they are then.")


@strawberry.type(description="Where leaks would be found, from the model alone.")
class LeakCoverage:
    """The coverage of a network."""

    network_name: str
    sensor_ids: list[str] = strawberry.field(description="Junctions with a sensor, EPANET ids.")
    sensors_said: str = strawberry.field(description="Where they were taken from.")
    meter_names: list[str] = strawberry.field(description="What else is metered.")
    meters_said: str = strawberry.field(description="Where that was taken from.")
    false_alarm: float = strawberry.field(description="Share of leak-free days with an alarm.")
    sizes: list[SizeCoverage]
    next_sensors: list[SensorPlacement] = strawberry.field(description="The best first.")
    inp_sha256: Hash
    report: strawberry.Private[CoverageReport]

    @asked("The pipes where a leak of the middle size is found worst, worst first.", cost=2)
    def pipes(self, first: First) -> list[PipeCoverage]:
        """Return the first of them; `map` holds all."""
        check_first(first)
        chance = self.report.coverage.chance
        order = chance[:, chance.shape[1] // 2].argsort(kind="stable")[:first]
        return [_pipe(self.report, int(i)) for i in order]

    @asked("Every pipe, sensor and placement as a GeoJSON FeatureCollection.", cost=50)
    def map(self, info: Info) -> GeoJSON:
        """Return the layer that `twin leak coverage --out` writes."""
        from twin.leaks.trust_files import coverage_geojson  # noqa: PLC0415 - loads NumPy
        from twin.networks import load_model, load_network  # noqa: PLC0415 - loads EPANET

        record = info.context.record()
        network = load_network(record, self.network_name)
        model = load_model(record, network)
        return GeoJSON(json.loads(coverage_geojson(self.report, network, model)))


SensorAccuracyResult = Annotated[
    ModelAccuracy | NotFound | ModelNotReady | BadRequest | Busy,
    strawberry.union("SensorAccuracyResult"),
]
LeakCoverageResult = Annotated[
    LeakCoverage | NotFound | ModelNotReady | BadRequest | Busy,
    strawberry.union("LeakCoverageResult"),
]
Refused = NotFound | ModelNotReady | BadRequest | Busy


@strawberry.type
class TrustQueries:
    """What may be asked before a leak run."""

    @asked(
        (
            "How well the model fits each pressure sensor over a leak-free window of at most 14 "
            "days; without one, what a run would compare with. Takes seconds."
        ),
        cost=_COST,
    )
    def sensor_accuracy(
        self,
        info: Info,
        network: str,
        from_: Annotated[Instant | None, strawberry.argument(name="from")] = None,
        to: Instant | None = None,
    ) -> SensorAccuracyResult:
        """Compare, and return the answer."""
        context = info.context

        def work() -> ModelAccuracy:
            from twin.leaks.trust import measure_accuracy  # noqa: PLC0415 - loads EPANET

            window = _window(from_, to)
            progress = _hurried(context)
            return accuracy_of(
                measure_accuracy(context.record(), network, window, progress=progress)
            )

        return _answered(work)

    @asked(
        (
            "Where leaks of some sizes would be found by the sensors that are recorded, or given, "
            "and where the next of them belong, at most five. Takes seconds."
        ),
        cost=_COST,
    )
    def leak_coverage(
        self,
        info: Info,
        network: str,
        sensors: list[str] | None = None,
        flow_m3s: list[float] | None = None,
        next_: Annotated[int, strawberry.argument(name="next")] = 0,
    ) -> LeakCoverageResult:
        """Work it out, and return the answer."""
        context = info.context

        def work() -> LeakCoverage:
            from twin.leaks.trust import (  # noqa: PLC0415 - loads EPANET
                USUAL_SIZES_M3S,
                measure_coverage,
            )

            if next_ > MOST_NEXT:
                raise ArgumentError("next", f"at most {MOST_NEXT} here; the command places more")
            sizes = USUAL_SIZES_M3S if flow_m3s is None else flow_m3s
            record, progress = context.record(), _hurried(context)
            report = measure_coverage(record, network, sensors, sizes, next_, progress=progress)
            return coverage_of(report)

        return _answered(work)


def accuracy_of(report: AccuracyReport) -> ModelAccuracy:
    """Return an accuracy as GraphQL shows it."""
    window = report.window
    return ModelAccuracy(
        network_name=report.network,
        window=Window(from_=Instant(window.from_ns), to=Instant(window.to_ns)),
        window_said=report.window_said,
        n_readings=report.n_readings,
        readings_sha256=Hash(report.readings_sha256),
        inp_sha256=Hash(report.inp_sha256),
        hours_late=report.hours_late,
        report=report,
    )


def coverage_of(report: CoverageReport) -> LeakCoverage:
    """Return a coverage as GraphQL shows it."""
    found = report.coverage
    lines = zip(found.size_m3s, found.missed_share, found.expected_zone_m, strict=True)
    return LeakCoverage(
        network_name=report.network,
        sensor_ids=list(report.sensors),
        sensors_said=report.sensors_said,
        meter_names=list(report.meters),
        meters_said=report.meters_said,
        false_alarm=report.settings.false_alarm,
        sizes=[
            SizeCoverage(
                flow_m3s=float(size), missed_share=float(missed), expected_zone_m=float(zone)
            )
            for size, missed, zone in lines
        ],
        next_sensors=[_placement(one) for one in report.next_sensors],
        inp_sha256=Hash(report.inp_sha256),
        report=report,
    )


def _answered(work: Callable[[], Answer]) -> Answer | Refused:
    """Return what the work gives, or what a caller can do about its failure."""
    try:
        with _alone() as is_alone:
            return work() if is_alone else Busy(message="another one is worked out; try again")
    except NotFoundError as error:
        return NotFound(what=error.what, name=error.name, message=str(error))
    except (RefusedError, HydraulicsError) as error:
        return ModelNotReady(message=str(error))
    except TimedOutError:
        raise
    except UnreadableError as error:
        return BadRequest(message=str(error))


@contextmanager
def _alone() -> Iterator[bool]:
    """Let one at a time through: whether this one is it."""
    is_alone = _ONE_AT_A_TIME.acquire(blocking=False)
    try:
        yield is_alone
    finally:
        if is_alone:
            _ONE_AT_A_TIME.release()


def _hurried(context: Context) -> Callable[[str, int, int], None]:
    """Return a progress that ends work whose question has used up its time."""
    return lambda _step, _done, _total: context.check_time()


def _window(from_ns: int | None, to_ns: int | None) -> TwinWindow | None:
    if from_ns is None and to_ns is None:
        return None
    if from_ns is None or to_ns is None:
        raise ArgumentError("from", "give both ends of the window, or neither")
    window = TwinWindow(from_ns, to_ns)
    if window.length_ns > LONGEST_REFERENCE_NS:
        raise ArgumentError("to", "the window is longer than 14 days")
    return window


def _sensor(one: SensorTrust) -> SensorAccuracy:
    from api.report.trust_words import sensor_sentence  # noqa: PLC0415 - loads NumPy

    return SensorAccuracy(
        tag=one.tag,
        asset_name=one.asset,
        grade=SensorGrade(one.grade),
        sentence=sensor_sentence(one),
        reason=one.reason or None,
        n_readings=one.n_readings,
        bias_m=one.bias_m,
        rmse_m=one.rmse_m,
        expected_bias_m=one.expected_bias_m,
        expected_rmse_m=one.expected_rmse_m,
        time_of_day_share=one.time_of_day_share,
        changed_at=None if one.changed_ns is None else Instant(one.changed_ns),
    )


def _pipe(report: CoverageReport, i: int) -> PipeCoverage:
    found = report.coverage
    return PipeCoverage(
        pipe_id=report.pipe_id[i],
        length_m=float(found.length_m[i]),
        is_reached=bool(found.is_reached[i]),
        chance=found.chance[i].tolist(),
        zone_m=found.zone_m[i].tolist(),
    )


def _placement(one: NextSensor) -> SensorPlacement:
    return SensorPlacement(
        node_id=one.node_id, gain_m=one.gain_m, expected_zone_m=one.expected_zone_m
    )
