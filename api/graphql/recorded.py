"""Pages over events of the ledger itself, which may be filtered by what their bodies say."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from api.graphql.context import Context
from api.graphql.paging import After, Connection, check_first, page
from api.graphql.scalars import EventCursor
from twin.events import EventKind, Recorded, RecordRef

NodeType = TypeVar("NodeType")


@dataclass(frozen=True, slots=True)
class Asked:
    """Which events of a network are asked for.

    Attributes:
        name: Name of the list, which its cursors are signed for.
        network: Name of the network.
        kinds: What happened.
        is_wanted: Whether an event is in the list; a cursor is a place whatever was wanted.
    """

    name: str
    network: str
    kinds: Collection[EventKind]
    is_wanted: Callable[[Recorded], bool] = lambda _: True

    @property
    def scope(self) -> str:
        """What a cursor is signed for."""
        return f"{self.name} {self.network}"


def recorded_after(context: Context, asked: Asked, after: RecordRef | None) -> Iterator[Recorded]:
    """Yield the events asked for beyond a place, in order of record."""
    begin = after.height if after else 0
    for recorded in context.record().events(asked.kinds, asked.network, from_height=begin):
        context.check_time()
        if (after is None or recorded.ref > after) and asked.is_wanted(recorded):
            yield recorded


def page_of_recorded(
    context: Context,
    asked: Asked,
    first: int,
    after: After,
    node: Callable[[Recorded], NodeType],
) -> Connection[NodeType]:
    """Return a page of events, in order of record.

    Args:
        context: The request's services.
        asked: Which events.
        first: How long the page is at most.
        after: Where it begins, None for the beginning.
        node: Turns an event into its GraphQL type.
    """
    check_first(first)
    begin = None if after is None else place_of(context, asked.scope, after)
    return page(
        list(islice(recorded_after(context, asked, begin), first + 1)),
        first,
        cursors=context.services.cursors,
        scope=asked.scope,
        after=after,
        key=lambda one: (one.ref.height, one.ref.index),
        node=node,
        count=lambda: sum(1 for _ in recorded_after(context, asked, None)),
    )


def place_of(
    context: Context, scope: str, cursor: EventCursor, argument: str = "after"
) -> RecordRef:
    """Return the place in the record that a cursor names.

    Raises:
        ArgumentError: It is no cursor of this list.
    """
    height, index = context.services.cursors.read(scope, cursor, argument)
    return RecordRef(int(height), int(index))
