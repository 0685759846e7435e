"""The leaks that a run tells to search for, each with its zones, its candidates and its walk."""

from __future__ import annotations

import strawberry

from api.graphql.context import Context, Info
from api.graphql.fields import asked
from api.graphql.leak_several import LeakZone
from api.graphql.leak_walks import FlowRange, LeakStreet, walk_of
from api.graphql.paging import First, check_first
from twin.leaks.artefacts import load_leaks
from twin.leaks.placed import PlacedLeak as TwinPlacedLeak
from twin.leaks.records import LEVELS, Candidate, LeakRun

MAX_CANDIDATES = 200


@strawberry.type(description="One pipe that the leak may be on.")
class LeakCandidate:
    """One candidate."""

    pipe_id: str = strawberry.field(description="EPANET id.")
    probability: float = strawberry.field(description="Posterior probability, 0 to 1.")
    place: float = strawberry.field(description="Fraction of the way from the start node.")
    flow_m3s: float = strawberry.field(description="Most probable outflow.")
    length_m: float


@strawberry.type(description="One leak to search for: a zone, never one pipe.")
class PlacedLeak:
    """One of the leaks of a run."""

    number: int = strawberry.field(
        description="Which it is, from 1, the largest first: `leak` of a street and of a map."
    )
    flow: FlowRange = strawberry.field(description="The outflow that is expected of it.")
    zones: list[LeakZone] = strawberry.field(description="50, 80, 90 and 95 %.")
    run: strawberry.Private[LeakRun]
    leak: strawberry.Private[TwinPlacedLeak]

    @asked("The most probable pipes, best first.", cost=2)
    def candidates(self, first: First) -> list[LeakCandidate]:
        """Return the first candidates; where others run too, they are those of the 95 % zone."""
        check_first(first)
        return list(map(candidate_of, self.leak.pipes[: min(first, MAX_CANDIDATES)]))

    @asked("Streets of its 95 % zone in the order of walking.", cost=20)
    def walk(self, info: Info, first: First) -> list[LeakStreet]:
        """Return the first streets."""
        check_first(first)
        return walk_of(info.context, self.run, [self.leak], first)


def placed_leaks_of(context: Context, run: LeakRun) -> list[PlacedLeak]:
    """Return the leaks of a run."""
    return [_placed(run, leak) for leak in load_leaks(context.record(), run)]


def candidate_of(one: Candidate) -> LeakCandidate:
    """Return a candidate as GraphQL shows it."""
    return LeakCandidate(
        pipe_id=one.pipe_id,
        probability=one.probability,
        place=one.place,
        flow_m3s=one.flow_m3s,
        length_m=one.length_m,
    )


def _placed(run: LeakRun, leak: TwinPlacedLeak) -> PlacedLeak:
    flow = leak.flow_m3s
    return PlacedLeak(
        number=leak.number,
        flow=FlowRange(low_m3s=flow.low, likely_m3s=flow.likely, high_m3s=flow.high),
        zones=[
            LeakZone(
                level=int(level),
                pipe_ids=list(leak.zone(level)),
                length_m=leak.zone_length_m[level],
            )
            for level in LEVELS
        ],
        run=run,
        leak=leak,
    )
