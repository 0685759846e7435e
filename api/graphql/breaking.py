"""What changed in the schema so that a client may break, and is not announced.

The promise is the schema of the last release, `docs/schema-released.graphql`. A change that may
break a client stands in BREAKING.md in the words that this prints, or it does not pass.
"""

from __future__ import annotations

from graphql import build_schema, find_breaking_changes


def breaking_changes(released: str, current: str) -> list[str]:
    """Return what clients of the released schema may trip over, one sentence each, sorted."""
    found = find_breaking_changes(build_schema(released), build_schema(current))
    return sorted(change.description for change in found)


def unannounced(released: str, current: str, announced: str) -> list[str]:
    """Return the breaking changes that the text of BREAKING.md does not hold."""
    return [change for change in breaking_changes(released, current) if change not in announced]
