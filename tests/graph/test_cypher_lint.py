"""What is sent to Neo4j must run on Community, and must end."""

from __future__ import annotations

import re

import pytest

from graph import cypher
from graph.migrations import MigrationError, migrations, pending, split_statements

REFUSED = {
    "APOC is an extra": r"\bapoc\b",
    "Graph Data Science is an extra": r"\bgds\.",
    "node keys need Enterprise": r"\bNODE\s+KEY\b|\bRELATIONSHIP\s+KEY\b|\bIS\s+KEY\b",
    "existence constraints need Enterprise": r"\bREQUIRE\b[^;]*\bIS\s+NOT\s+NULL\b",
    "type constraints need Enterprise": r"\bREQUIRE\b[^;]*(\bIS\s+(TYPED|::)|::)",
    "one database is all there is": r"\b(CREATE|DROP|STOP|START|ALTER)\s+(COMPOSITE\s+)?DATABASE\b",
    "roles need Enterprise": r"\b(CREATE|DROP)\s+ROLE\b|\bGRANT\b|\bDENY\b",
    "a path without a bound enumerates every trail": (
        r"\[[^\]]*\*(?!\s*\d*\s*\.\.\s*\d)(?!\s*\d+\s*[\]{])[^\]]*\]"
        r"|\)\s*[+*](?!\w)|\{\s*\d*\s*,\s*\}"
    ),
    "a transaction cannot commit in its middle": r"\bIN\s+TRANSACTIONS\b",
}
GOOD = [
    "MATCH (a)-[:CONNECTS*1..5]->(b) RETURN b",
    "MATCH (a)-[:CONNECTS*3]->(b) RETURN b",
    "CREATE CONSTRAINT x IF NOT EXISTS FOR (a:A) REQUIRE (a.b, a.c) IS UNIQUE",
    "MATCH (n) WHERE n.x IS NOT NULL RETURN n {.*} AS row, count(*) AS n",
]
BAD = [
    "MATCH (a)-[:CONNECTS*]->(b) RETURN b",
    "MATCH (a)-[*]-(b) RETURN b",
    "MATCH (a)-[:CONNECTS*2..]->(b) RETURN b",
    "MATCH ((a)-[:CONNECTS]->(b))+ RETURN b",
    "MATCH (a)-[:CONNECTS]->{2,}(b) RETURN b",
    "CALL apoc.periodic.iterate('', '', {})",
    "CREATE CONSTRAINT x FOR (a:A) REQUIRE (a.b, a.c) IS NODE KEY",
    "CREATE CONSTRAINT x FOR (a:A) REQUIRE a.b IS NOT NULL",
    "CREATE CONSTRAINT x FOR (a:A) REQUIRE a.b IS :: STRING",
    "CREATE DATABASE other",
]


def statements() -> dict[str, str]:
    named = {name: text for name, text in vars(cypher).items() if name.isupper()}
    for migration in migrations("cypher"):
        for i, text in enumerate(migration.statements):
            named[f"V{migration.version:04d} statement {i + 1}"] = text
    return named


def faults(statement: str) -> list[str]:
    return [why for why, pattern in REFUSED.items() if re.search(pattern, statement, re.IGNORECASE)]


@pytest.mark.parametrize("name", sorted(statements()))
def test_each_statement_runs_on_community_and_ends(name: str) -> None:
    assert faults(statements()[name]) == []


@pytest.mark.parametrize("statement", BAD)
def test_the_lint_finds_what_community_refuses(statement: str) -> None:
    assert faults(statement)


@pytest.mark.parametrize("statement", GOOD)
def test_the_lint_lets_the_rest_pass(statement: str) -> None:
    assert faults(statement) == []


def test_each_change_of_schema_has_its_twin() -> None:
    assert [(m.version, m.name) for m in migrations("cypher")] == [
        (m.version, m.name) for m in migrations("sql")
    ]


def test_every_change_of_the_schema_can_be_done_twice() -> None:
    for migration in migrations("cypher"):
        for statement in migration.statements:
            assert "IF NOT EXISTS" in statement


def test_an_edited_change_is_noticed() -> None:
    known = migrations("sql")
    assert pending("here", known, {}) == known
    assert pending("here", known, {m.version: m.checksum for m in known}) == ()
    with pytest.raises(MigrationError, match=r"V0001.*has changed"):
        pending("here", known, {1: "0" * 64})


def test_a_change_of_a_newer_release_is_refused() -> None:
    with pytest.raises(MigrationError, match=r"V9999.*newer release"):
        pending("here", migrations("sql"), {9999: "0" * 64})


def test_statements_end_at_a_semicolon_that_ends_a_line() -> None:
    text = "-- why; not\nCREATE a;\n\nCREATE b (\n  c -- d\n);  \nSELECT ';x'"
    assert split_statements(text, "--") == ("CREATE a", "CREATE b (\n  c -- d\n)", "SELECT ';x'")
