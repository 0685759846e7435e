"""The graph follows the ledger, whatever happens on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import pytest

from graph.projector import advances, catch_up, chain_of, plan_rebuild, rebuild
from graph.sqlite_store import SqliteStore
from graph.store import ForeignGraphError, GraphAheadError, GraphStore
from twin.assets import Asset, AssetKind
from twin.events import Event, EventKind, RecordRef
from twin.ids import AssetRef, Space
from twin.networks.model import asset_to_event, retired_event

NET = "town"


class Place(Protocol):
    """A file or database that a graph can be kept in, as `conftest.py` makes them."""

    def open(self) -> GraphStore: ...

    def add_foreign(self) -> None: ...


def told(*names: str) -> list[Event]:
    """Return the events of nodes, of links written `a-b`, and of users written `@a`."""
    return [asset_to_event(NET, _asset(name), 7) for name in names]


def gone(ref: str) -> Event:
    space, _, name = ref.partition(":")
    return retired_event(NET, AssetRef(Space(space), name), 7, "test")


def _asset(name: str) -> Asset:
    if name.startswith("@"):
        ref = AssetRef(Space.USER, name[1:])
        return Asset(ref, AssetKind.USER, properties={"served_by": f"node:{name[1:]}"})
    if "-" in name:
        start, end = (AssetRef(Space.NODE, one) for one in name.split("-"))
        return Asset(AssetRef(Space.LINK, name), AssetKind.PIPE, (), start, end)
    return Asset(AssetRef(Space.NODE, name), AssetKind.JUNCTION)


def imported() -> Event:
    body = {
        "crs": "LOCAL",
        "time_zone": "Asia/Nicosia",
        "model_start_ns": 5,
        "is_model_start_given": False,
        "files": {"network.inp": "ab"},
        "source": "network.inp",
        "n_assets": 3,
    }
    return Event(EventKind.NETWORK_IMPORTED, NET, NET, 7, body)


def seal_town(record: Any) -> None:
    record.seal(*told("1", "2", "3", "1-2", "@2"), imported())
    record.seal(*told("2-3"), gone("link:1-2"), *told("4"), gone("node:4"))
    record.seal(Event(EventKind.EVALUATION, NET, "rule", 8, {}))
    record.seal(
        Event(EventKind.TRACE, NET, "node:2", 9, {}),
        Event(EventKind.LEAK_RUN, NET, "run-1", 9, {"asset": "link:2-3"}),
    )


def whole(store: GraphStore) -> tuple[Any, ...]:
    """Return all that can be read of a store."""
    return (
        store.mark(),
        store.networks(),
        store.assets(NET, limit=10_000),
        store.structure(NET),
        store.happenings(NET),
        store.holdings(),
    )


def test_an_empty_ledger_makes_no_graph(store: GraphStore, record: Any) -> None:
    assert catch_up(store, record) == 0
    assert store.mark() is None
    assert plan_rebuild(store, record).mark is None
    assert rebuild(store, record) == 0


def test_the_graph_holds_what_the_ledger_tells(store: GraphStore, record: Any) -> None:
    seal_town(record)
    assert catch_up(store, record) == 4
    mark = store.mark()
    assert mark is not None
    assert (mark.chain, mark.head_hash) == (record.sealed[0].hash_hex, record.sealed[3].hash_hex)
    refs = [(str(found.asset.ref), str(found.evidence)) for found in store.assets(NET)]
    assert refs == [
        ("link:2-3", "1/0"),
        ("node:1", "0/0"),
        ("node:2", "0/1"),
        ("node:3", "0/2"),
        ("user:2", "0/4"),
    ]
    assert store.topology_version(NET) == 1
    (network,) = store.networks()
    assert network.evidence == RecordRef(0, 5)
    assert network.network.time_zone == "Asia/Nicosia"
    trace, run = store.happenings(NET)
    assert (trace.kind, trace.concerns) == (EventKind.TRACE, (AssetRef(Space.NODE, "2"),))
    assert (run.subject, run.concerns) == ("run-1", (AssetRef(Space.LINK, "2-3"),))


def test_catching_up_again_changes_nothing(store: GraphStore, record: Any) -> None:
    seal_town(record)
    catch_up(store, record)
    before = whole(store)
    assert catch_up(store, record) == 4
    assert whole(store) == before


@pytest.mark.parametrize("n_events", [1, 3, 100])
def test_it_does_not_matter_where_a_transaction_ends(
    store: GraphStore,
    record: Any,
    n_events: int,
    tmp_path: Path,
) -> None:
    seal_town(record)
    with SqliteStore.open(tmp_path / "other.sqlite") as other:
        catch_up(other, record)
        for advance in advances(record, chain_of(record), RecordRef(0, 0), record.height, n_events):
            store.apply(advance)
        assert whole(store) == whole(other)


def test_a_graph_stopped_anywhere_inside_a_block_goes_on_from_there(
    store: GraphStore,
    record: Any,
    tmp_path: Path,
) -> None:
    seal_town(record)
    one_by_one = list(advances(record, chain_of(record), RecordRef(0, 0), record.height, 1))
    assert len(one_by_one) == 12
    for n_told, advance in enumerate(one_by_one):
        mark = store.mark()
        assert mark is None or mark.told == advance.start
        with SqliteStore.open(tmp_path / f"{n_told}.sqlite") as stopped:
            for earlier in one_by_one[:n_told]:
                stopped.apply(earlier)
            catch_up(stopped, record)
            assert stopped.height() == record.height
            assert stopped.count(NET) == 5
        store.apply(advance)
    assert catch_up(store, record) == record.height
    assert store.count(NET) == 5


def test_a_block_changed_after_a_part_of_it_was_told_is_noticed(
    store: GraphStore,
    record: Any,
) -> None:
    seal_town(record)
    for advance in list(advances(record, chain_of(record), RecordRef(0, 0), 4, 1))[:8]:
        store.apply(advance)
    mark = store.mark()
    assert mark is not None
    assert mark.told == RecordRef(1, 2)
    record.cut(1)
    record.seal(*told("7", "8", "9"))
    with pytest.raises(GraphAheadError):
        catch_up(store, record)


@pytest.mark.parametrize("height", range(5))
def test_a_graph_stopped_at_any_height_goes_on_from_there(
    store: GraphStore,
    record: Any,
    height: int,
    tmp_path: Path,
) -> None:
    seal_town(record)
    if height:
        for advance in advances(record, chain_of(record), RecordRef(0, 0), height, 1):
            store.apply(advance)
    catch_up(store, record)
    with SqliteStore.open(tmp_path / "other.sqlite") as other:
        catch_up(other, record)
        assert whole(store) == whole(other)


def test_a_rebuilt_graph_is_the_same_graph(store: GraphStore, record: Any) -> None:
    seal_town(record)
    catch_up(store, record)
    before = whole(store)
    plan = plan_rebuild(store, record)
    assert plan.ours == {"networks": 1, "assets": 5, "connections": 2, "happenings": 2}
    assert rebuild(store, record) == 4
    assert whole(store) == before


def test_many_may_catch_up_at_once(place: Place, store: GraphStore, record: Any) -> None:
    for i in range(12):
        record.seal(*told(f"n{i}", f"m{i}", f"n{i}-m{i}"))

    def one(_: int) -> int:
        with place.open() as mine:
            return catch_up(mine, record)

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(one, range(4))) == {12}
    assert store.count(NET) == 36
    assert len(store.structure(NET).connections) == 12


def test_a_graph_of_another_ledger_is_refused_and_left(
    store: GraphStore,
    record: Any,
    new_record: Callable[[str], Any],
) -> None:
    seal_town(record)
    catch_up(store, record)
    before = whole(store)
    other = new_record("another ledger")
    seal_town(other)
    for operation in (catch_up, rebuild, plan_rebuild):
        with pytest.raises(ForeignGraphError, match="another ledger"):
            operation(store, other)
    assert whole(store) == before


def test_a_rebuild_is_refused_where_others_keep_things(
    place: Place,
    store: GraphStore,
    record: Any,
) -> None:
    seal_town(record)
    catch_up(store, record)
    place.add_foreign()
    for operation in (plan_rebuild, rebuild):
        with pytest.raises(ForeignGraphError, match=r"(?i)customer"):
            operation(store, record)
    assert store.count(NET) == 5


def test_a_ledger_that_lost_blocks_is_noticed_and_a_rebuild_ends_it(
    store: GraphStore,
    record: Any,
) -> None:
    seal_town(record)
    catch_up(store, record)
    record.cut(2)
    with pytest.raises(GraphAheadError, match="twin graph rebuild"):
        catch_up(store, record)
    assert rebuild(store, record) == 2
    assert store.happenings(NET) == []


def test_a_ledger_that_went_on_otherwise_is_noticed(store: GraphStore, record: Any) -> None:
    seal_town(record)
    catch_up(store, record)
    record.cut(3)
    record.seal(*told("9"))
    record.seal(*told("8"))
    with pytest.raises(GraphAheadError):
        catch_up(store, record)


CHILD = """
import importlib.util, sys
from pathlib import Path
here, where = Path(sys.argv[1]), sys.argv[2]
def load(name):
    spec = importlib.util.spec_from_file_location(name, here / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
conftest, tests = load("conftest"), load("test_projector")
from graph.projector import advances, chain_of
from twin.events import RecordRef
if where.startswith("bolt"):
    from graph.neo4j_store import Neo4jStore
    store = Neo4jStore.open(where, "", "", "neo4j")
else:
    from graph.sqlite_store import SqliteStore
    store = SqliteStore.open(Path(where))
record = tests.long_record(conftest.MemoryRecord)
for advance in advances(record, chain_of(record), RecordRef(0, 0), record.height, 20):
    store.apply(advance)
    print(advance.stop.height, flush=True)
"""
N_LONG = 120


def long_record(new_record: Callable[[str], Any]) -> Any:
    """Return a ledger whose block i tells of ten nodes, nine links and the end of one node."""
    record = new_record("long")
    for i in range(N_LONG):
        nodes = [f"n{i}x{j}" for j in range(10)]
        links = [f"{nodes[j]}-{nodes[j + 1]}" for j in range(9)]
        record.seal(*told(*nodes, *links), gone(f"node:n{i - 1}x9"))
    return record


def expected(height: int) -> tuple[int, int]:
    """Return how many assets and connections there are at a height of `long_record`."""
    return 19 * height - max(height - 1, 0), 9 * height - max(height - 1, 0)


def settled(store: GraphStore) -> tuple[int, tuple[int, int]]:
    """Return the height and the counts at it: a server may still commit what it was last sent."""
    while True:
        height = store.height()
        counts = store.count(NET), len(store.structure(NET).connections)
        if store.height() == height:
            return height, counts


@pytest.mark.parametrize("n_seen", [1, 7])
def test_a_process_killed_while_telling_leaves_whole_blocks(
    place: Place,
    new_record: Callable[[str], Any],
    n_seen: int,
) -> None:
    where = str(getattr(place, "path", "")) or os.environ["TWIN_TEST_NEO4J_URI"]
    here = Path(__file__).parent
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(here), where],
        stdout=subprocess.PIPE,
        text=True,
        cwd=here.parents[2],
    ) as child:
        assert child.stdout is not None
        seen = [int(child.stdout.readline()) for _ in range(n_seen)]
        child.send_signal(signal.SIGKILL)
    record = long_record(new_record)
    with place.open() as store:
        height, counts = settled(store)
        assert seen[-1] <= height <= N_LONG
        assert counts == expected(height)
        assert catch_up(store, record) == N_LONG
        assert (store.count(NET), len(store.structure(NET).connections)) == expected(N_LONG)
