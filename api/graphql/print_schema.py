"""Print the schema as it is committed: `python -m api.graphql.print_schema > schema.graphql`."""

from __future__ import annotations

import sys

from api.graphql.schema import build_schema


def schema_text() -> str:
    """Return the schema in the schema definition language, sorted, with a newline at its end."""
    return build_schema(is_sorted=True).as_str().rstrip("\n") + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_text())
