"""Whether one leak is enough: the several leaks of a run, each with its own zone."""

from __future__ import annotations

import json

import strawberry

from api.graphql.context import Info
from api.graphql.fields import asked
from api.graphql.scalars import GeoJSON
from twin.leaks.artefacts import zone_geojson, zones_of_several
from twin.leaks.placed import several_placed
from twin.leaks.records import LEVELS, Candidate, LeakRun, OneOfSeveral
from twin.networks import load_model, load_network


@strawberry.type(description="The fewest most probable pipes that together reach a probability.")
class LeakZone:
    """One zone."""

    level: int = strawberry.field(description="Probability [%]: 50, 80, 90 or 95.")
    pipe_ids: list[str] = strawberry.field(description="EPANET ids, most probable first.")
    length_m: float = strawberry.field(description="Metres of pipe in it.")


@strawberry.type(description="One leak beside others: where it is, given that they run too.")
class LeakBesideOthers:
    """One of several."""

    rank: int = strawberry.field(description="Which it is, from 1, the largest first.")
    pipe_id: str = strawberry.field(
        description="Where to begin: from no pipe is more of the probability within 300 m."
    )
    probability: float = strawberry.field(description="That it is on that pipe, 0 to 1.")
    place: float = strawberry.field(description="Fraction of the way from the start node.")
    flow_m3s: float = strawberry.field(description="Most probable outflow.")
    flow_low_m3s: float = strawberry.field(description="5 % quantile of the outflow.")
    flow_high_m3s: float = strawberry.field(description="95 % quantile of the outflow.")
    zones: list[LeakZone] = strawberry.field(description="50, 80, 90 and 95 %.")


@strawberry.type(description="How many leaks show in a run's window, and where each is.")
class SeveralLeaks:
    """The answer to whether one leak is enough."""

    number: list[float] = strawberry.field(
        description="Probability of one leak, of two, and so on as far as was tried."
    )
    probability_of_more: float = strawberry.field(description="Of more leaks than one, 0 to 1.")
    is_more_than_one: bool = strawberry.field(description="Whether that is strong: above 95 %.")
    run: strawberry.Private[LeakRun]

    @asked("The leaks of the most probable number, the largest first.", cost=5, size=4)
    def leaks(self, info: Info) -> list[LeakBesideOthers]:
        """Return each with its zones."""
        several = self.run.several
        assert several is not None
        zones = zones_of_several(info.context.record(), self.run)
        pairs = zip(several.leaks, zones, strict=True)
        return [_beside(rank, one, zone) for rank, (one, zone) in enumerate(pairs, 1)]

    @asked("The 95 % zone of each as one GeoJSON FeatureCollection.", cost=20)
    def map(self, info: Info) -> GeoJSON:
        """Return the pipes, each with the number of its leak."""
        several, record = self.run.several, info.context.record()
        assert several is not None
        network = load_network(record, self.run.network)
        placed = several_placed(several.leaks, zones_of_several(record, self.run))
        return GeoJSON(
            json.loads(zone_geojson(self.run, placed, network, load_model(record, network)))
        )


def several_of(run: LeakRun) -> SeveralLeaks | None:
    """Return the several leaks of a run; None where it has no answer to that."""
    several = run.several
    if several is None:
        return None
    return SeveralLeaks(
        number=list(several.number),
        probability_of_more=several.probability_of_more,
        is_more_than_one=several.is_more_than_one,
        run=run,
    )


def _beside(rank: int, one: OneOfSeveral, zone: tuple[Candidate, ...]) -> LeakBesideOthers:
    return LeakBesideOthers(
        rank=rank,
        pipe_id=one.pipe_id,
        probability=one.probability,
        place=one.place,
        flow_m3s=one.flow_m3s,
        flow_low_m3s=one.flow_low_m3s,
        flow_high_m3s=one.flow_high_m3s,
        zones=[
            LeakZone(
                level=int(level),
                pipe_ids=[pipe.pipe_id for pipe in zone[: one.zone_sizes[level]]],
                length_m=one.zone_length_m[level],
            )
            for level in LEVELS
        ],
    )
