"""The leaks that a run tells to search for, numbered: one, or each of several where those show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from twin.events import Plain
from twin.leaks.losses import Range, flow_range_m3s
from twin.leaks.records import LEVELS, Candidate, LeakRun, OneOfSeveral


@dataclass(frozen=True, slots=True)
class PlacedLeak:
    """One leak, and where it may be.

    Attributes:
        number: Which it is, from 1, the largest first.
        pipes: The pipes that it may be on, the most probable first; those of the zones at least.
        zone_sizes: By level, how many of them hold it.
        zone_length_m: Metres of pipe in each zone.
        flow_m3s: The outflow that is expected, with its 90 % range [m³/s].
    """

    number: int
    pipes: tuple[Candidate, ...]
    zone_sizes: Mapping[str, int]
    zone_length_m: Mapping[str, float]
    flow_m3s: Range

    @property
    def best(self) -> Candidate:
        """The most probable pipe."""
        return self.pipes[0]

    @property
    def widest(self) -> tuple[Candidate, ...]:
        """The pipes of the widest zone."""
        return self.pipes[: self.zone_sizes[LEVELS[-1]]]

    def zone(self, level: str) -> tuple[str, ...]:
        """Return the pipe ids of a zone, the most probable first."""
        return tuple(one.pipe_id for one in self.pipes[: self.zone_sizes[level]])

    def smallest_zone(self, rank: int) -> str | None:
        """Return the level of the smallest zone that holds the pipe of a rank, from 1."""
        return next((level for level in LEVELS if rank <= self.zone_sizes[level]), None)


def placed_leaks(
    run: LeakRun, candidates: Sequence[Candidate], several: Sequence[Sequence[Candidate]]
) -> tuple[PlacedLeak, ...]:
    """Return the leaks to search for: one, unless more are evident.

    Args:
        run: The run.
        candidates: All of its candidates, or at least those of the zones, the most probable first.
        several: The 95 % zone of each of several leaks.
    """
    if run.several is None or not run.is_more_than_one:
        return (_alone(run, candidates),)
    return several_placed(run.several.leaks, several)


def several_placed(
    leaks: Sequence[OneOfSeveral], zones: Sequence[Sequence[Candidate]]
) -> tuple[PlacedLeak, ...]:
    """Return each of several leaks, whether they are evident or not."""
    return tuple(
        PlacedLeak(
            number=number,
            pipes=tuple(zone),
            zone_sizes=one.zone_sizes,
            zone_length_m=one.zone_length_m,
            flow_m3s=Range(one.flow_low_m3s, one.flow_m3s, one.flow_high_m3s),
        )
        for number, (one, zone) in enumerate(zip(leaks, zones, strict=True), 1)
    )


def placed_document(leak: PlacedLeak) -> dict[str, Plain]:
    """Return a leak as JSON can hold it, with its candidates."""
    return {
        "leak": leak.number,
        "flow_m3s": leak.flow_m3s.likely,
        "flow_low_m3s": leak.flow_m3s.low,
        "flow_high_m3s": leak.flow_m3s.high,
        "zones": {level: list(leak.zone(level)) for level in LEVELS},
        "zone_length_m": dict(leak.zone_length_m),
        "candidates": [asdict(one) for one in leak.pipes],
    }


def _alone(run: LeakRun, candidates: Sequence[Candidate]) -> PlacedLeak:
    return PlacedLeak(
        number=1,
        pipes=tuple(candidates),
        zone_sizes={level: len(pipes) for level, pipes in run.zones.items()},
        zone_length_m=run.zone_length_m,
        flow_m3s=flow_range_m3s(run),
    )
