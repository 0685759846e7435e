"""Traces: who is upstream or downstream of an asset, as recorded."""

from __future__ import annotations

from typing import cast

import strawberry

from api.graphql.assets import Asset, asset_of, assets_of, find_asset
from api.graphql.context import Context, Info
from api.graphql.enums import Direction, Space
from api.graphql.evidence import Evidence
from api.graphql.fields import asked
from api.graphql.happenings import page_of_happenings
from api.graphql.ids import global_id
from api.graphql.nodes import Node
from api.graphql.paging import After, Connection, First, check_first, page
from api.graphql.scalars import Instant
from api.tracing import TraceAnswer, from_event
from graph.store import Happening
from twin.errors import NotFoundError
from twin.events import EventKind, RecordRef
from twin.ids import AssetRef


@strawberry.type(
    description=(
        "What lies upstream or downstream of an asset by the flow at one moment. The asset itself "
        "is part of the answer."
    )
)
class Trace(Node):
    """One recorded trace."""

    network_name: str
    start_name: str = strawberry.field(description="Full name of the asset it began at.")
    direction: Direction
    at: Instant = strawberry.field(description="The moment whose flows decided.")
    is_at_given: bool = strawberry.field(description="Else it is model time zero.")
    nodes: list[str] = strawberry.field(description="EPANET ids of nodes, sorted.")
    links: list[str] = strawberry.field(description="EPANET ids of links, sorted.")
    users: list[str] = strawberry.field(description="Ids of users, sorted.")
    evidence: Evidence = strawberry.field(description="Where the trace stands in the record.")

    @asked("The asset it began at.", cost=2)
    def start(self, info: Info) -> Asset | None:
        """Return the asset."""
        return find_asset(info.context, self.network_name, self.start_name)

    @asked(
        "The reached assets themselves: nodes, then links, then users.",
        cost=5,
    )
    def assets(self, info: Info, first: First, after: After = None) -> Connection[Asset]:
        """Return a page of the reached assets."""
        check_first(first)
        context = info.context
        scope = f"trace {self.id}"
        # An answer never changes, so a place in it is a key.
        begin = int(context.services.cursors.read(scope, after)[0]) + 1 if after else 0
        refs = self._refs
        wanted = refs[begin : begin + first + 1]
        found = context.graph().assets_named(self.network_name, wanted)
        shown = [(i, found[ref]) for i, ref in enumerate(wanted, begin) if ref in found]
        assets_of(context, [placed for _, placed in shown])
        return page(
            shown,
            first,
            cursors=context.services.cursors,
            scope=scope,
            after=after,
            key=lambda pair: (pair[0],),
            node=lambda pair: asset_of(pair[1]),
            count=lambda: len(refs),
        )

    @property
    def _refs(self) -> list[AssetRef]:
        spaces = ((Space.NODE, self.nodes), (Space.LINK, self.links), (Space.USER, self.users))
        return [AssetRef(space, name) for space, names in spaces for name in names]


def trace_of(answer: TraceAnswer) -> Trace:
    """Return a recorded trace as GraphQL shows it."""
    place = answer.evidence
    assert place is not None
    return Trace(
        id=global_id("Trace", str(place.height), str(place.index)),
        network_name=answer.network,
        start_name=str(answer.start),
        direction=answer.direction,
        at=Instant(answer.at_ns),
        is_at_given=answer.is_at_given,
        nodes=list(answer.nodes),
        links=list(answer.links),
        users=list(answer.users),
        evidence=Evidence(leaf_index=place.index, height=place.height),
    )


def trace_at(context: Context, place: RecordRef) -> Trace | None:
    """Return the trace that stands at a place of the record, or None."""
    record = context.record()
    try:
        recorded = record.event_at(place)
    except NotFoundError:
        return None
    if recorded.event.kind is not EventKind.TRACE:
        return None
    kept = recorded.event.body.get("answer_sha256")
    content = record.file(kept) if isinstance(kept, str) else None
    return trace_of(from_event(recorded, content))


@strawberry.type
class TraceQueries:
    """What may be asked of traces."""

    @asked("Recorded traces of a network, in order of record.", cost=5)
    def traces(
        self, info: Info, network: str, first: First, after: After = None
    ) -> Connection[Trace]:
        """Return a page."""
        context = info.context

        def node(one: Happening) -> Trace:
            return cast("Trace", trace_at(context, one.evidence))

        return page_of_happenings(context, network, EventKind.TRACE, first, after, node)
