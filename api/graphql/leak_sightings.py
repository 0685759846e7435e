"""What a watch tells: leaks that it calls, repairs that it notices, sensors that lie."""

from __future__ import annotations

import json
from typing import Annotated

import strawberry
from strawberry.scalars import JSON

from api.graphql.assets import Asset, assets_of, find_asset
from api.graphql.context import Context, Info
from api.graphql.enums import LeakSightingKind
from api.graphql.evidence import Evidence
from api.graphql.fields import asked
from api.graphql.ids import global_id
from api.graphql.leak_runs import Window, window_of
from api.graphql.nodes import Node
from api.graphql.paging import After, Connection, First, check_first
from api.graphql.recorded import Asked, page_of_recorded
from api.graphql.scalars import GeoJSON, Hash, Instant
from api.report.watch_words import sighting_sentence
from api.report.words import likelihood
from hydraulics.network import NetworkModel
from twin.events import EventKind, Recorded
from twin.ids import AssetRef, Space
from twin.leaks.reach import REACH_M
from twin.leaks.sightings import Sighting, from_event
from twin.leaks.watch_files import sightings_geojson, zone_of
from twin.networks import load_model, load_network

NAME = "leak sightings"


@strawberry.type(
    description=(
        "Where a called leak may be: all pipes within reach of the one that the call names, and "
        "those that meet it. Never that pipe alone."
    )
)
class ReachZone:
    """The pipes of a call."""

    pipe_ids: list[str] = strawberry.field(description="EPANET ids, the nearest first.")
    length_m: float = strawberry.field(description="Metres of pipe in it.")
    reach_m: float = strawberry.field(description="How far along pipes the reach is.")
    sighting: strawberry.Private[Sighting]

    @asked("The zone as a GeoJSON FeatureCollection.", cost=20)
    def map(self, info: Info) -> GeoJSON:
        """Return the pipes as lines."""
        network = load_network(info.context.record(), self.sighting.network)
        model = _model(info.context, self.sighting.network)
        return GeoJSON(json.loads(sightings_geojson([self.sighting], network, model)))

    @asked("The pipes themselves, the nearest first.", cost=5)
    def assets(self, info: Info, first: First) -> list[Asset]:
        """Return the assets of the zone."""
        check_first(first)
        refs = [AssetRef(Space.LINK, pipe) for pipe in self.pipe_ids[:first]]
        found = info.context.graph().assets_named(self.sighting.network, refs)
        return assets_of(info.context, [found[ref] for ref in refs if ref in found])


@strawberry.type(description="One thing that a watch told at the end of a day.")
class LeakSighting(Node):
    """A call, a repair that was noticed, a sensor that lies, or one that is not watched."""

    sighting_id: str = strawberry.field(description="As `twin leak confirm` reads a call's.")
    network_name: str
    kind: LeakSightingKind
    day: Window = strawberry.field(description="The day whose readings told it.")
    recorded_at: Instant = strawberry.field(description="When it was recorded.")
    asset_name: str = strawberry.field(
        description="The pipe that the call names, or the node of the sensor."
    )
    onset: Instant = strawberry.field(
        description="Since when, as far as is seen: of a leak, the beginning of a day."
    )
    flow_m3s: float | None = strawberry.field(description="Outflow; null for a sensor.")
    probability: float | None = strawberry.field(
        description="That the leak lies within reach of the pipe, 0 to 1; null for a sensor."
    )
    likelihood: str | None = strawberry.field(
        description="The same as a calibrated word (IPCC 2010)."
    )
    said: str = strawberry.field(description="All of it in one sentence.")
    tag: str | None = strawberry.field(description="The sensor; null where it is about a leak.")
    fault: str | None = strawberry.field(description="How it lies: stuck, offset or drift.")
    offset_m: float | None = strawberry.field(description="What the sensor reads too much.")
    calibration: Window = strawberry.field(description="What the watch was calibrated on.")
    readings_sha256: Hash = strawberry.field(
        description="Over the measurements up to the end of the day."
    )
    inp_sha256: Hash
    false_alarms_per_year: float | None = strawberry.field(
        description="Calls that a year without a leak may bring; null where that was not kept."
    )
    settings: JSON = strawberry.field(
        description="All settings of the watch that told it first; empty where they were not kept."
    )
    versions: JSON = strawberry.field(description="Versions of what computed it, likewise.")
    evidence: Evidence = strawberry.field(description="Where it stands in the record.")
    sighting: strawberry.Private[Sighting]

    @asked("The asset that it names.", cost=3)
    def asset(self, info: Info) -> Asset | None:
        """Return the pipe or the node."""
        return find_asset(info.context, self.network_name, self.asset_name)

    @asked(
        "Where the leak may be, or was; null for a sensor, and where the model has no such pipe.",
        cost=20,
    )
    def zone(self, info: Info) -> ReachZone | None:
        """Return the pipes within reach."""
        model = _model(info.context, self.network_name)
        pipes = zone_of(self.sighting, model)
        if not pipes:
            return None
        length_m = dict(zip(model.link_id, model.length_m.tolist(), strict=True))
        return ReachZone(
            pipe_ids=list(pipes),
            length_m=sum(length_m[pipe] for pipe in pipes),
            reach_m=REACH_M,
            sighting=self.sighting,
        )


def sighting_of(recorded: Recorded) -> LeakSighting:
    """Return a recorded sighting as GraphQL shows it."""
    one, place = from_event(recorded), recorded.ref
    return LeakSighting(
        id=global_id("LeakSighting", one.sighting_id),
        sighting_id=one.sighting_id,
        network_name=one.network,
        kind=one.kind,
        day=window_of(one.day),
        recorded_at=Instant(recorded.event.at_ns),
        asset_name=one.asset,
        onset=Instant(one.onset_ns),
        flow_m3s=one.flow_m3s,
        probability=one.probability,
        likelihood=None if one.probability is None else likelihood(one.probability),
        said=sighting_sentence(one),
        tag=one.tag,
        fault=one.fault,
        offset_m=one.offset_m,
        calibration=window_of(one.calibration),
        readings_sha256=Hash(one.readings_sha256),
        inp_sha256=Hash(one.inp_sha256),
        false_alarms_per_year=one.false_alarms_per_year,
        settings=JSON(dict(one.settings)),
        versions=JSON(dict(one.versions)),
        evidence=Evidence(leaf_index=place.index, height=place.height),
        sighting=one,
    )


def find_leak_sighting(context: Context, sighting_id: str) -> LeakSighting | None:
    """Return the sighting of that id, or None."""
    found = context.record().events_about(EventKind.LEAK_WATCH, sighting_id)
    return sighting_of(found[0]) if found else None


def sightings_asked(network: str, kinds: list[LeakSightingKind] | None = None) -> Asked:
    """Return which events are the sightings of a network; without kinds, of all."""
    wanted = frozenset(kinds or LeakSightingKind)
    watch = {EventKind.LEAK_WATCH}
    return Asked(NAME, network, watch, lambda one: one.event.body["what"] in wanted)


@strawberry.type
class LeakSightingQueries:
    """What may be asked of a watch."""

    @asked("What a watch told of a network, in order of record.", cost=5)
    def leak_sightings(
        self,
        info: Info,
        network: str,
        first: First,
        after: After = None,
        kinds: Annotated[
            list[LeakSightingKind] | None,
            strawberry.argument(description="Which; without it, all."),
        ] = None,
    ) -> Connection[LeakSighting]:
        """Return a page."""
        listed = sightings_asked(network, kinds)
        return page_of_recorded(info.context, listed, first, after, sighting_of)


def _model(context: Context, network: str) -> NetworkModel:
    record = context.record()
    key = ("model", network)
    if key not in context.known:
        context.known[key] = load_model(record, load_network(record, network))
    model: NetworkModel = context.known[key]
    return model
