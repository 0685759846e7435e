"""Relay's `Node`: anything that has an id can be fetched again by it alone."""

from __future__ import annotations

import strawberry


@strawberry.interface(description="Anything that can be fetched again by its id.")
class Node:
    """One thing."""

    id: strawberry.ID = strawberry.field(description="Opaque; the same in every answer.")
