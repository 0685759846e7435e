"""Fields that are worked out, with what they cost beside them.

`cost` is what one answer costs. `size` is how long a list without `first` may be taken to be, and
`size_of` names the argument whose length says so. `once` marks what stands beside a list.
`api.graphql.cost` reads them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import strawberry

Resolver = TypeVar("Resolver", bound=Callable[..., Any])


def asked(
    description: str,
    *,
    cost: int = 1,
    size: int | None = None,
    size_of: str | None = None,
    once: bool = False,
) -> Callable[[Resolver], Resolver]:
    """Return the decorator of a field that is worked out when it is selected."""
    metadata = _metadata(cost, size, size_of) | {"once": once}
    return cast(
        "Callable[[Resolver], Resolver]",
        strawberry.field(description=description, metadata=metadata),
    )


def commanded(description: str, *, cost: int) -> Callable[[Resolver], Resolver]:
    """Return the decorator of a mutation."""
    return cast(
        "Callable[[Resolver], Resolver]",
        strawberry.mutation(description=description, metadata=_metadata(cost, None, None)),
    )


def watched(description: str, *, cost: int) -> Callable[[Resolver], Resolver]:
    """Return the decorator of a subscription; the cost is that of one event."""
    return cast(
        "Callable[[Resolver], Resolver]",
        strawberry.subscription(description=description, metadata=_metadata(cost, None, None)),
    )


def _metadata(cost: int, size: int | None, size_of: str | None) -> dict[str, object]:
    sizes = {"size": size, "size_of": size_of}
    return {"cost": cost} | {name: value for name, value in sizes.items() if value is not None}
