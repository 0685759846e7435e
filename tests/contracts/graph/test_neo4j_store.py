"""What only a server can do wrong, and what only Neo4j is asked."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Protocol, cast

import neo4j
import pytest

from graph import cypher, neo4j_store
from graph.migrations import MigrationError, migrations
from graph.neo4j_store import DROP_ROWS, Neo4jStore, within
from graph.projector import catch_up
from graph.store import ForeignGraphError, GraphStore, GraphUnavailableError
from twin.assets import Asset, AssetKind
from twin.ids import AssetRef, Space
from twin.networks.model import asset_to_event

NET = "town"
DATABASE = "neo4j"


class Place(Protocol):
    def open(self) -> GraphStore: ...


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A server that lets one in and then says nothing."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        yield listening.getsockname()[1]


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        return int(listening.getsockname()[1])


def test_a_server_that_is_not_there_is_named_with_a_remedy() -> None:
    port = free_port()
    with pytest.raises(GraphUnavailableError, match="is the server running") as caught:
        Neo4jStore.open(f"bolt://127.0.0.1:{port}", "neo4j", "geheim", DATABASE)
    assert caught.value.place == f"bolt://127.0.0.1:{port}/neo4j"
    assert caught.value.exit_code == 1
    assert "geheim" not in str(caught.value)


def test_a_server_that_says_nothing_is_not_waited_for(
    silent_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neo4j_store, "CONNECT_DEADLINE_S", 0.25)
    with pytest.raises(GraphUnavailableError, match="is the server running"):
        Neo4jStore.open(f"bolt://127.0.0.1:{silent_port}", "", "", DATABASE)


@pytest.mark.parametrize("uri", ["http://127.0.0.1:7474", "nonsense", "bolt://h:port"])
def test_an_address_of_another_kind_is_refused_with_an_example(uri: str) -> None:
    with pytest.raises(GraphUnavailableError, match=r"bolt://127\.0\.0\.1:7687"):
        Neo4jStore.open(uri, "", "", DATABASE)


def test_a_call_that_takes_too_long_is_left_behind() -> None:
    done = threading.Event()
    try:
        with pytest.raises(TimeoutError, match=r"within 0\.01 s"):
            within(0.01, done.wait)
    finally:
        done.set()
    assert within(5.0, lambda: 7) == 7
    with pytest.raises(KeyError, match="as it was"):
        within(5.0, lambda: cast("dict[str, int]", {})["as it was"])


neo4j_only = [
    pytest.mark.neo4j,
    pytest.mark.parametrize("place", [pytest.param("neo4j")], indirect=True),
]


@pytest.fixture
def driver() -> Iterator[neo4j.Driver]:
    with neo4j.GraphDatabase.driver(os.environ["TWIN_TEST_NEO4J_URI"]) as opened:
        yield opened


class TestOnAServer:
    """With a real one."""

    pytestmark = neo4j_only

    def test_a_database_that_does_not_exist_is_named(self, place: Place) -> None:
        with place.open():
            pass
        with pytest.raises(GraphUnavailableError, match=r"nowhere.*DatabaseNotFound"):
            Neo4jStore.open(os.environ["TWIN_TEST_NEO4J_URI"], "", "", "nowhere")

    def test_a_drop_that_was_cut_short_is_ended_by_whoever_comes_next(
        self,
        store: GraphStore,
        record: Any,
    ) -> None:
        assert isinstance(store, Neo4jStore)
        nodes = [Asset(AssetRef(Space.NODE, str(i)), AssetKind.JUNCTION) for i in range(30)]
        record.seal(*(asset_to_event(NET, asset, 7) for asset in nodes))
        catch_up(store, record)
        chain = record.sealed[0].hash_hex
        store._write(lambda tx: store._begin_drop(tx, chain))
        store._write(lambda tx: tx.run(cypher.DROP_SOME, chain=chain, limit=9).consume())
        mark = store.mark()
        assert mark is not None
        assert mark.is_dropping
        assert store.count(NET) < 30
        assert catch_up(store, record) == 1
        assert store.count(NET) == 30
        assert DROP_ROWS > 30

    def test_a_name_in_cypher_is_the_name_in_python(
        self,
        store: GraphStore,
        record: Any,
        driver: neo4j.Driver,
    ) -> None:
        ends = AssetRef(Space.NODE, "1"), AssetRef(Space.NODE, "2")
        link = AssetRef(Space.LINK, "p")
        properties = {"length_m": 12.5, "diameter_m": 0.2}
        assets = [
            *(Asset(ref, AssetKind.JUNCTION) for ref in ends),
            Asset(link, AssetKind.PIPE, (), *ends, properties=properties),
        ]
        record.seal(*(asset_to_event(NET, asset, 7) for asset in assets))
        catch_up(store, record)
        rows, _, _ = driver.execute_query(
            "MATCH (:Junction {ref: 'node:1'})-[c:CONNECTS]->(:Junction {ref: 'node:2'}) "
            "MATCH (p:Pipe:Link {ref: c.via}) RETURN c.length_m, p.length_m, p.diameter_m",
            database_=DATABASE,
        )
        assert [list(row) for row in rows] == [[12.5, 12.5, 0.2]]
        assert store.holdings().foreign == {}

    def test_relationships_of_others_forbid_a_drop(
        self,
        store: GraphStore,
        record: Any,
        driver: neo4j.Driver,
    ) -> None:
        nodes = [Asset(AssetRef(Space.NODE, name), AssetKind.JUNCTION) for name in "12"]
        record.seal(*(asset_to_event(NET, asset, 7) for asset in nodes))
        catch_up(store, record)
        driver.execute_query(
            "MATCH (a:Asset {ref: 'node:1'}), (b:Asset {ref: 'node:2'}) CREATE (a)-[:LIKES]->(b)",
            database_=DATABASE,
        )
        with pytest.raises(ForeignGraphError, match="1 relationships LIKES"):
            store.drop(record.sealed[0].hash_hex)
        driver.execute_query("MATCH ()-[r:LIKES]->() DELETE r", database_=DATABASE)

    def test_an_edited_or_newer_schema_is_refused(self, place: Place, driver: neo4j.Driver) -> None:
        place.open().close()
        first = migrations("cypher")[0]
        edit = "MATCH (m:Migration {version: 1}) SET m.checksum = $checksum"
        driver.execute_query(edit, checksum="0" * 64, database_=DATABASE)
        try:
            with pytest.raises(MigrationError, match="has changed"):
                place.open()
        finally:
            driver.execute_query(edit, checksum=first.checksum, database_=DATABASE)
        driver.execute_query("CREATE (:Migration {version: 9})", database_=DATABASE)
        try:
            with pytest.raises(MigrationError, match="newer release"):
                place.open()
        finally:
            driver.execute_query("MATCH (m:Migration {version: 9}) DELETE m", database_=DATABASE)

    def test_each_asset_lookup_is_planned_on_an_index(
        self, store: GraphStore, driver: neo4j.Driver
    ) -> None:
        assert store.height() == 0
        values = {
            "network": NET,
            "ref": "node:1",
            "refs": [],
            "after": "",
            "limit": 9,
            "kinds": [],
            "rows": [],
        }
        for name in (
            "ASSET",
            "ASSETS",
            "ASSETS_OF_KINDS",
            "ASSETS_NAMED",
            "LINKS_AT",
            "DISCONNECT",
        ):
            _, summary, _ = driver.execute_query(
                f"EXPLAIN {getattr(cypher, name)}", values, database_=DATABASE
            )
            operators = _operators(summary.plan)
            assert not {one for one in operators if one.startswith(("NodeByLabel", "AllNodes"))}, (
                name
            )


def _operators(plan: Any) -> set[str]:
    found = {plan["operatorType"]}
    for child in plan.get("children", []):
        found |= _operators(child)
    return found
