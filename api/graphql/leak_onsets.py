"""Onsets: when a leak began, as `twin leak detect` found it, and what was searched."""

from __future__ import annotations

import strawberry

from api.graphql.context import Context, Info
from api.graphql.evidence import Evidence
from api.graphql.fields import asked
from api.graphql.ids import global_id
from api.graphql.leak_runs import Window, window_of
from api.graphql.nodes import Node
from api.graphql.paging import After, Connection, First, check_first
from api.graphql.recorded import Asked, page_of_recorded
from api.graphql.scalars import Hash, Instant
from api.graphql.series import Series, all_series
from api.report.onset_words import onset_sentence, window_to_run
from twin.events import EventKind, Recorded
from twin.leaks.detecting import Detection, from_event

NAME = "leak onsets"


@strawberry.type(
    description=(
        "When a leak began, as `twin leak detect` found it. It says no place: `startLeakRun` does."
    )
)
class LeakOnset(Node):
    """One recorded onset."""

    onset_id: str
    network_name: str
    onset: Instant = strawberry.field(description="Since when, as far as the readings tell.")
    seen: Instant = strawberry.field(description="When the readings showed it beyond doubt.")
    recorded_at: Instant = strawberry.field(description="When it was recorded.")
    flow_m3s: float | None = strawberry.field(
        description=(
            "Outflow, or, where leak-free days were few, the rise of the inflow since, which may "
            "be below 0; null where that is not metered."
        )
    )
    statistic: float = strawberry.field(
        description="How far the test had gone when it was seen, over its limit; no probability."
    )
    tags: list[str] = strawberry.field(
        description="Pressure sensors that fell the most, the clearest first; none where none fell."
    )
    said: str = strawberry.field(description="All of it in one sentence.")
    window: Window = strawberry.field(description="What was searched.")
    reference: Window | None = strawberry.field(
        description="The leak-free window that it was compared with; null where there was none."
    )
    window_to_run: Window = strawberry.field(
        description="What to give `startLeakRun` as `from` and `to`."
    )
    readings_sha256: Hash = strawberry.field(description="Over the readings used.")
    inp_sha256: Hash
    evidence: Evidence = strawberry.field(description="Where it stands in the record.")

    @asked("The series of the sensors that show it, the clearest first.", cost=5)
    def series(self, info: Info, first: First) -> list[Series]:
        """Return the first series."""
        check_first(first)
        found = {one.tag: one for one in all_series(info.context, self.network_name)}
        return [found[tag] for tag in self.tags[:first] if tag in found]


def onset_of(recorded: Recorded) -> LeakOnset:
    """Return a recorded onset as GraphQL shows it."""
    one: Detection = from_event(recorded)
    return LeakOnset(
        id=global_id("LeakOnset", one.detection_id),
        onset_id=one.detection_id,
        network_name=one.network,
        onset=Instant(one.onset_ns),
        seen=Instant(one.seen_ns),
        recorded_at=Instant(recorded.event.at_ns),
        flow_m3s=one.flow_m3s,
        statistic=one.statistic,
        tags=list(one.tags),
        said=onset_sentence(one),
        window=window_of(one.window),
        reference=window_of(one.reference) if one.reference else None,
        window_to_run=window_of(window_to_run(one)),
        readings_sha256=Hash(one.readings_sha256),
        inp_sha256=Hash(one.inp_sha256),
        evidence=Evidence(leaf_index=recorded.ref.index, height=recorded.ref.height),
    )


def find_leak_onset(context: Context, onset_id: str) -> LeakOnset | None:
    """Return the onset of that id, or None."""
    found = context.record().events_about(EventKind.LEAK_DETECTED, onset_id)
    return onset_of(found[0]) if found else None


@strawberry.type
class LeakOnsetQueries:
    """What may be asked of onsets."""

    @asked("Onsets that were found in a network, in order of record.", cost=5)
    def leak_onsets(
        self, info: Info, network: str, first: First, after: After = None
    ) -> Connection[LeakOnset]:
        """Return a page."""
        listed = Asked(NAME, network, {EventKind.LEAK_DETECTED})
        return page_of_recorded(info.context, listed, first, after, onset_of)
