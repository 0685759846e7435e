"""What the graph's contract needs: both stores, a ledger in memory, and a way to be a stranger.

The Neo4j half runs where TWIN_TEST_NEO4J_URI names a server with an empty database, and is not
collected elsewhere. With TWIN_REQUIRE_NEO4J=1 its absence is a failure, also when a server is named
and no test of it passed.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import neo4j
import pytest

from graph.neo4j_store import Neo4jStore
from graph.sqlite_store import SqliteStore
from graph.store import GraphStore
from twin.events import Event, EventKind, Recorded, RecordRef, SealedBlock
from twin.readings import Column, Series

URI = os.environ.get("TWIN_TEST_NEO4J_URI", "")
IS_REQUIRED = os.environ.get("TWIN_REQUIRE_NEO4J", "") == "1"
DATABASE = "neo4j"
PASSED = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[PASSED] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    config.stash.setdefault(PASSED, [])
    if URI:
        return
    if IS_REQUIRED:
        raise pytest.UsageError("TWIN_REQUIRE_NEO4J=1 needs TWIN_TEST_NEO4J_URI: see scripts/neo4j")
    without = [item for item in items if item.get_closest_marker("neo4j")]
    config.hook.pytest_deselected(items=without)
    items[:] = [item for item in items if not item.get_closest_marker("neo4j")]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[pytest.TestReport]:
    report = yield
    if call.when == "call" and report.passed and item.get_closest_marker("neo4j"):
        item.config.stash[PASSED].append(item.nodeid)
    return report


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    n_passed = len(config.stash.get(PASSED, []))
    terminalreporter.write_line(
        f"graph contract: {n_passed} tests passed on Neo4j at {URI or 'no server'}"
    )


def pytest_sessionfinish(session: pytest.Session) -> None:
    if IS_REQUIRED and not session.config.stash.get(PASSED, []):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@dataclass
class MemoryRecord:
    """A ledger in memory: blocks of events, chained by a hash, as `twin.ports.Record` has them."""

    name: str
    sealed: list[SealedBlock] = field(default_factory=list)
    of_block: list[list[Event]] = field(default_factory=list)

    @property
    def height(self) -> int:
        return len(self.sealed)

    def seal(self, *events: Event) -> int:
        """Seal a block, and return its height."""
        before = self.sealed[-1].hash_hex if self.sealed else self.name
        hash_hex = hashlib.sha256(f"{before}{events}".encode()).hexdigest()
        block = SealedBlock(self.height, hash_hex, 0, len(events), 0)
        self.sealed.append(block)
        self.of_block.append(list(events))
        return block.height

    def cut(self, height: int) -> None:
        """Lose the blocks from a height on."""
        del self.sealed[height:], self.of_block[height:]

    def events(
        self,
        kinds: Collection[EventKind] = (),
        network: str | None = None,
        *,
        from_height: int = 0,
    ) -> Iterator[Recorded]:
        for height in range(from_height, self.height):
            for index, event in enumerate(self.of_block[height]):
                if (not kinds or event.kind in kinds) and network in {None, event.network}:
                    yield Recorded(RecordRef(height, index), event)

    def event_at(self, ref: RecordRef) -> Recorded:
        return Recorded(ref, self.of_block[ref.height][ref.index])

    def series(self, network: str | None = None) -> list[Series]:
        assert network is None or network
        return []

    def column(self, series: Series, from_ns: int, to_ns: int) -> Column:
        raise KeyError(series, from_ns, to_ns)

    def blocks(self, from_height: int = 0) -> Iterator[SealedBlock]:
        yield from self.sealed[from_height:]

    def file(self, sha256_hex: str) -> bytes:
        raise KeyError(sha256_hex)


class SqlitePlace:
    """One file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self) -> GraphStore:
        return SqliteStore.open(self.path)

    def add_foreign(self) -> None:
        self._run("CREATE TABLE customers (name TEXT)", "INSERT INTO customers VALUES ('Ida')")

    def n_foreign(self) -> int:
        with closing(sqlite3.connect(self.path)) as db, suppress(sqlite3.OperationalError):
            return int(db.execute("SELECT count(*) FROM customers").fetchone()[0])
        return 0

    def remove_all(self) -> None:
        """A temporary folder needs no sweeping."""

    def _run(self, *statements: str) -> None:
        with closing(sqlite3.connect(self.path)) as db, db:
            for statement in statements:
                db.execute(statement)


class Neo4jPlace:
    """The one database of a Community server, found empty and left empty."""

    def __init__(self) -> None:
        self._driver = neo4j.GraphDatabase.driver(URI)
        n_nodes = self._number("MATCH (n) WHERE NOT n:Migration RETURN count(n)")
        assert n_nodes == 0, f"the database at {URI} is not empty; start one with scripts/neo4j"

    def open(self) -> GraphStore:
        return Neo4jStore.open(URI, "", "", DATABASE)

    def add_foreign(self) -> None:
        self._driver.execute_query("CREATE (:Customer {name: 'Ida'})", database_=DATABASE)

    def n_foreign(self) -> int:
        return self._number("MATCH (n:Customer) RETURN count(n)")

    def remove_all(self) -> None:
        """Remove what the test made: its own graph, and the stranger."""
        self._driver.execute_query("MATCH (n:Customer) DELETE n", database_=DATABASE)
        with self.open() as store:
            mark = store.mark()
            if mark is not None:
                store.drop(mark.chain)
        self._driver.close()

    def _number(self, statement: str) -> int:
        records, _, _ = self._driver.execute_query(statement, database_=DATABASE)
        return int(records[0][0])


Place = SqlitePlace | Neo4jPlace


@pytest.fixture(params=["sqlite", pytest.param("neo4j", marks=pytest.mark.neo4j)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Where a graph can be kept: an empty file, or an empty database."""
    found = SqlitePlace(tmp_path / "graph.sqlite") if request.param == "sqlite" else Neo4jPlace()
    yield found
    found.remove_all()


@pytest.fixture
def store(place: Place) -> Iterator[GraphStore]:
    with place.open() as opened:
        yield opened


@pytest.fixture
def new_record() -> Callable[[str], MemoryRecord]:
    return MemoryRecord


@pytest.fixture
def record() -> MemoryRecord:
    return MemoryRecord("ledger of a test")
