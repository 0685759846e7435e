"""Relay connections by keyset: a page begins beyond a signed sort key, not at an offset.

Offsets shift while readings and verdicts arrive; a sort key does not. `totalCount` is worked out
only when it is selected.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar

import strawberry

from api.graphql.cost import MAX_FIRST
from api.graphql.cursors import Cursors, Key
from api.graphql.errors import ArgumentError
from api.graphql.fields import asked
from api.graphql.scalars import EventCursor

NodeType = TypeVar("NodeType")
Item = TypeVar("Item")

First = Annotated[int, strawberry.argument(description="How many, 1 to 500.")]
After = Annotated[
    EventCursor | None, strawberry.argument(description="`endCursor` of the page before.")
]


@strawberry.type(description="Where a page ends, and whether there is another one.")
class PageInfo:
    """Relay's page information; pages go forward only."""

    has_next_page: bool
    has_previous_page: bool
    start_cursor: EventCursor | None
    end_cursor: EventCursor | None


@strawberry.type(description="An item of a list, with its place.")
class Edge(Generic[NodeType]):
    """One item of a page."""

    cursor: EventCursor
    node: NodeType


@strawberry.type(description="A page of a list.")
class Connection(Generic[NodeType]):
    """One page."""

    edges: list[Edge[NodeType]]
    page_info: PageInfo = strawberry.field(metadata={"once": True})
    _count: strawberry.Private[Callable[[], int]]

    @asked("How many there are in all; worked out when selected.", cost=50, once=True)
    def total_count(self) -> int:
        """Count the whole list."""
        return self._count()


def check_first(first: int) -> int:
    """Return `first` when a page may be so long.

    Raises:
        ArgumentError: It may not.
    """
    if not 1 <= first <= MAX_FIRST:
        raise ArgumentError("first", f"{first} is not between 1 and {MAX_FIRST}")
    return first


def page(  # noqa: PLR0913 - a page is these
    found: Sequence[Item],
    first: int,
    *,
    cursors: Cursors,
    scope: str,
    after: EventCursor | None,
    key: Callable[[Item], Key],
    node: Callable[[Item], NodeType],
    count: Callable[[], int],
) -> Connection[NodeType]:
    """Return a page.

    Args:
        found: At most `first + 1` items beyond `after`, in order of their key.
        first: How long the page is at most.
        cursors: Signs the places.
        scope: Which list.
        after: Where the page began.
        key: What an item is sorted by.
        node: Turns an item into its GraphQL type.
        count: Counts the whole list.
    """
    shown = found[:first]
    edges = [Edge(cursor=cursors.sign(scope, key(one)), node=node(one)) for one in shown]
    return Connection(
        edges=edges,
        page_info=PageInfo(
            has_next_page=len(found) > first,
            has_previous_page=after is not None,
            start_cursor=edges[0].cursor if edges else None,
            end_cursor=edges[-1].cursor if edges else None,
        ),
        _count=count,
    )
