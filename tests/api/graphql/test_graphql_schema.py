from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from graphql import build_schema, lexicographic_sort_schema, print_schema

from api.graphql.breaking import breaking_changes, unannounced
from api.graphql.print_schema import schema_text

ROOT = Path(__file__).parents[3]
SCHEMA = ROOT / "schema.graphql"
RELEASED = ROOT / "docs" / "schema-released.graphql"
BREAKING = ROOT / "BREAKING.md"


def test_the_committed_schema_is_the_one_that_is_served() -> None:
    remedy = "run: .venv/bin/python -m api.graphql.print_schema > schema.graphql"
    assert SCHEMA.read_text("utf-8") == schema_text(), remedy


def test_the_committed_schema_is_sorted() -> None:
    schema = build_schema(SCHEMA.read_text("utf-8"))
    assert print_schema(lexicographic_sort_schema(schema)) == print_schema(schema)


def test_no_breaking_change_goes_unannounced() -> None:
    announced = BREAKING.read_text("utf-8")
    assert unannounced(RELEASED.read_text("utf-8"), schema_text(), announced) == []


def test_a_field_that_is_dropped_must_be_announced() -> None:
    released = "type Query { a: Int b: Int }"
    current = "type Query { a: Int c: Int }"
    said = "Field Query.b was removed."
    assert breaking_changes(released, current) == [said]
    assert unannounced(released, current, "Nothing.") == [said]
    assert unannounced(released, current, f"## Next\n\n- {said} Ask for c.") == []


def test_a_field_that_is_added_breaks_nobody() -> None:
    assert breaking_changes("type Query { a: Int }", "type Query { a: Int b: Int }") == []


def test_the_command_prints_the_committed_schema() -> None:
    command = [sys.executable, "-c", "from api.cli import main; main()", "schema"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == SCHEMA.read_text("utf-8")
