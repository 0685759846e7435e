"""Leak runs: a ranked zone with its probability, what it rests on, and where its report is."""

from __future__ import annotations

import json
import math

import strawberry
from strawberry.scalars import JSON

from api.graphql.assets import Asset, assets_of
from api.graphql.context import Context, Info
from api.graphql.errors import ArgumentError
from api.graphql.evidence import Evidence
from api.graphql.fields import asked
from api.graphql.happenings import page_of_happenings
from api.graphql.ids import global_id
from api.graphql.leak_placed import (
    MAX_CANDIDATES,
    LeakCandidate,
    PlacedLeak,
    candidate_of,
    placed_leaks_of,
)
from api.graphql.leak_several import LeakZone, SeveralLeaks, several_of
from api.graphql.leak_walks import (
    FlowRange,
    LeakCostPerDay,
    LeakStreet,
    VolumePerDay,
    cost_of,
    flow_of,
    said_of,
    volume_of,
    walk_of,
)
from api.graphql.nodes import Node
from api.graphql.paging import After, Connection, First, check_first
from api.graphql.scalars import GeoJSON, Hash, Instant
from api.report import words
from graph.store import Happening
from twin.accounting.money import Price
from twin.errors import NotFoundError
from twin.events import EventKind, RecordRef
from twin.ids import AssetRef, Space
from twin.leaks.artefacts import load_leaks
from twin.leaks.records import LEVELS, SensorResidual, from_event
from twin.leaks.records import LeakRun as TwinLeakRun
from twin.leaks.windows import Window as TwinWindow

REPORTS = "/reports"


@strawberry.type(description="The instants from `from`, inclusive, to `to`, exclusive.")
class Window:
    """A window of time."""

    from_: Instant = strawberry.field(name="from")
    to: Instant


@strawberry.type(description="What one pressure sensor saw.")
class LeakResidual:
    """The mean residual of a sensor."""

    tag: str
    asset_name: str
    n_times: int
    mean_m: float = strawberry.field(description="Measured less modelled without a leak.")
    explained_m: float = strawberry.field(description="What the most probable leak explains.")
    band_m: float = strawberry.field(description="Standard deviation without a leak.")


@strawberry.type(description="A sensor, or some of its times, that a run did not use.")
class LeftOut:
    """What was left out, and why."""

    tag: str
    asset_name: str
    n_times: int
    is_whole: bool = strawberry.field(description="Whether it was left out altogether.")
    reason: str


@strawberry.type(description="Everything that decides what a run answers.")
class LeakInputs:
    """What a run rests on."""

    window: Window
    reference: Window | None = strawberry.field(description="The leak-free window.")
    reference_said: str = strawberry.field(description="How the reference came to be.")
    seed: int
    settings: JSON
    versions: JSON
    inp_sha256: Hash
    readings_sha256: Hash
    places_sha256: Hash
    n_readings: int
    most_leaks: int = strawberry.field(description="Most leaks that were looked for at once.")
    record_height: int = strawberry.field(
        description="Blocks of the ledger that were read; 0 where that was not kept."
    )
    known_leaks: list[str] = strawberry.field(description="Pipes whose found leak was modelled.")


@strawberry.type(description="A localization: never one pipe, always a zone with its probability.")
class LeakRun(Node):
    """One recorded leak run."""

    run_id: str
    network_name: str
    at: Instant = strawberry.field(description="When it was computed.")
    inputs: LeakInputs
    n_candidates: int = strawberry.field(description="How many pipes have a probability.")
    zones: list[LeakZone] = strawberry.field(
        description="50, 80, 90 and 95 % of one leak; where more are evident, ask `leaks`."
    )
    flow_low_m3s: float = strawberry.field(description="5 % quantile of one leak's outflow.")
    flow_high_m3s: float = strawberry.field(description="95 % quantile of one leak's outflow.")
    evidence_ratio: float | None = strawberry.field(
        description="ln of how much better one leak explains the data than none."
    )
    is_leak_evident: bool = strawberry.field(description="Whether the data ask for a leak at all.")
    report: str = strawberry.field(description="Path of the report on this server.")
    evidence: Evidence = strawberry.field(description="Where the run stands in the record.")
    run: strawberry.Private[TwinLeakRun]

    @asked("The most probable pipes of one leak, best first.", cost=2)
    def candidates(self, first: First) -> list[LeakCandidate]:
        """Return the first candidates; the report and `twin leak run` hold all of them."""
        check_first(first)
        return list(map(candidate_of, self.run.candidates[: min(first, MAX_CANDIDATES)]))

    @asked("The leaks to search for: one, unless more are evident.", cost=5, size=4)
    def leaks(self, info: Info) -> list[PlacedLeak]:
        """Return each with its zones."""
        return placed_leaks_of(info.context, self.run)

    @asked("The pipes of a zone themselves, most probable first.", cost=5)
    def zone_assets(self, info: Info, level: int, first: First) -> list[Asset]:
        """Return the assets of a zone."""
        check_first(first)
        if str(level) not in LEVELS:
            raise ArgumentError("level", f"{level} is none of {', '.join(LEVELS)}")
        refs = [AssetRef(Space.LINK, pipe) for pipe in self.run.zones[str(level)][:first]]
        found = info.context.graph().assets_named(self.network_name, refs)
        return assets_of(info.context, [found[ref] for ref in refs if ref in found])

    @asked(
        "The zone of each leak as a GeoJSON FeatureCollection, as the run kept it.",
        cost=20,
    )
    def zone_map(self, info: Info) -> GeoJSON:
        """Return the kept map."""
        return kept_geojson(info.context, self.run.map_sha256)

    @asked("Streets of the 95 % zone of each leak in the order of walking.", cost=20)
    def walk(self, info: Info, first: First) -> list[LeakStreet]:
        """Return the first streets."""
        check_first(first)
        context = info.context
        return walk_of(context, self.run, load_leaks(context.record(), self.run), first)

    @asked("The outflow, with its 90 % range.")
    def flow_range(self) -> FlowRange:
        """Return the outflow."""
        return flow_of(self.run)

    @asked("What is lost in a day.")
    def volume_per_day(self) -> VolumePerDay:
        """Return the volume."""
        return volume_of(self.run)

    @asked("What that costs, at a price of a m³, its currency, and who says so.")
    def cost_per_day(
        self, price_per_m3: float, currency: str, price_source: str = "as given"
    ) -> LeakCostPerDay:
        """Return the money."""
        return cost_of(self.run, Price(price_per_m3, currency, price_source))

    @asked("How sure the run is, in calibrated words.")
    def said(self) -> str:
        """Return sentences for people."""
        return said_of(self.run)

    @asked("Whether one leak is enough; null where that was not asked, or has no answer.")
    def several(self) -> SeveralLeaks | None:
        """Return the several leaks."""
        return several_of(self.run)

    @asked("The same in a sentence, which says how to ask.")
    def several_said(self) -> str:
        """Return the sentence."""
        return words.several_sentence(self.run)

    @asked("What each sensor saw.", size=50)
    def residuals(self) -> list[LeakResidual]:
        """Return the residuals, sensor by sensor."""
        return [_residual(one) for one in self.run.residuals]

    @asked("What was not used, and why.", size=20)
    def left_out(self) -> list[LeftOut]:
        """Return sensors and times that were left out."""
        return [
            LeftOut(
                tag=one.tag,
                asset_name=one.asset,
                n_times=one.n_times,
                is_whole=one.is_whole,
                reason=one.reason,
            )
            for one in self.run.left_out
        ]


def leak_run_of(run: TwinLeakRun) -> LeakRun:
    """Return a recorded run as GraphQL shows it."""
    place = run.evidence
    assert place is not None
    return LeakRun(
        id=global_id("LeakRun", run.run_id),
        run_id=run.run_id,
        network_name=run.network,
        at=Instant(run.at_ns),
        inputs=_inputs(run),
        n_candidates=run.n_candidates,
        zones=[
            LeakZone(
                level=int(level), pipe_ids=list(run.zones[level]), length_m=run.zone_length_m[level]
            )
            for level in LEVELS
        ],
        flow_low_m3s=run.flow_low_m3s,
        flow_high_m3s=run.flow_high_m3s,
        evidence_ratio=run.evidence_ratio if math.isfinite(run.evidence_ratio) else None,
        is_leak_evident=run.is_leak_evident,
        report=f"{REPORTS}/{run.run_id}.html",
        evidence=Evidence(leaf_index=place.index, height=place.height),
        run=run,
    )


def find_leak_run(context: Context, run_id: str) -> LeakRun | None:
    """Return the run of that id, or None."""
    found = context.record().events_about(EventKind.LEAK_RUN, run_id)
    return leak_run_of(from_event(found[0])) if found else None


def run_at(context: Context, place: RecordRef) -> LeakRun:
    """Return the run that stands at a place of the record.

    Raises:
        NotFoundError: There is none.
    """
    recorded = context.record().event_at(place)
    if recorded.event.kind is not EventKind.LEAK_RUN:
        raise NotFoundError("leak run", str(place))
    return leak_run_of(from_event(recorded))


@strawberry.type
class LeakQueries:
    """What may be asked of leak runs."""

    @asked("One leak run; null when none has the id.", cost=5)
    def leak_run(self, info: Info, run_id: str) -> LeakRun | None:
        """Look it up by its id."""
        return find_leak_run(info.context, run_id)

    @asked("Leak runs of a network, in order of record.", cost=5)
    def leak_runs(
        self, info: Info, network: str, first: First, after: After = None
    ) -> Connection[LeakRun]:
        """Return a page."""
        context = info.context

        def node(one: Happening) -> LeakRun:
            return run_at(context, one.evidence)

        return page_of_happenings(context, network, EventKind.LEAK_RUN, first, after, node)


def kept_geojson(context: Context, sha256_hex: str) -> GeoJSON:
    """Return a kept GeoJSON file."""
    return GeoJSON(json.loads(context.record().file(sha256_hex)))


def window_of(window: TwinWindow) -> Window:
    """Return a window as GraphQL shows it."""
    return Window(from_=Instant(window.from_ns), to=Instant(window.to_ns))


def _inputs(run: TwinLeakRun) -> LeakInputs:
    inputs = run.inputs
    return LeakInputs(
        window=window_of(inputs.window),
        reference=window_of(inputs.reference) if inputs.reference else None,
        reference_said=inputs.reference_said,
        seed=inputs.seed,
        settings=JSON(dict(inputs.settings)),
        versions=JSON(dict(inputs.versions)),
        inp_sha256=Hash(inputs.inp_sha256),
        readings_sha256=Hash(inputs.readings_sha256),
        places_sha256=Hash(inputs.places_sha256),
        n_readings=inputs.n_readings,
        most_leaks=inputs.most_leaks,
        record_height=inputs.record_height,
        known_leaks=[one.pipe_id for one in inputs.known],
    )


def _residual(one: SensorResidual) -> LeakResidual:
    return LeakResidual(
        tag=one.tag,
        asset_name=one.asset,
        n_times=one.n_times,
        mean_m=one.mean_m,
        explained_m=one.explained_m,
        band_m=one.band_m,
    )
