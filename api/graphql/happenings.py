"""Pages over what happened in a network, as the graph keeps it: leak runs, traces."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from api.graphql.context import Context
from api.graphql.paging import After, Connection, check_first, page
from graph.store import Happening
from twin.events import EventKind, RecordRef

NodeType = TypeVar("NodeType")
_N_COUNTED_AT_ONCE = 10_000


def page_of_happenings(  # noqa: PLR0913, PLR0917 - a page is these
    context: Context,
    network: str,
    kind: EventKind,
    first: int,
    after: After,
    node: Callable[[Happening], NodeType],
) -> Connection[NodeType]:
    """Return a page of one kind of happening, in order of record.

    Args:
        context: The request's services.
        network: Name of the network.
        kind: What happened.
        first: How long the page is at most.
        after: Where it begins, None for the beginning.
        node: Turns a happening into its GraphQL type.
    """
    check_first(first)
    cursors, scope = context.services.cursors, f"{kind} {network}"
    begin = None
    if after is not None:
        height, index = cursors.read(scope, after)
        begin = RecordRef(int(height), int(index))
    return page(
        context.graph().happenings(network, [kind], after=begin, limit=first + 1),
        first,
        cursors=cursors,
        scope=scope,
        after=after,
        key=lambda one: (one.evidence.height, one.evidence.index),
        node=node,
        count=lambda: _count(context, network, kind),
    )


def _count(context: Context, network: str, kind: EventKind) -> int:
    total = 0
    after: RecordRef | None = None
    while found := context.graph().happenings(
        network, [kind], after=after, limit=_N_COUNTED_AT_ONCE
    ):
        total += len(found)
        after = found[-1].evidence
    return total
