"""Real networks, imported into a real ledger, give the same traces on every store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import networkx as nx
import pytest

from graph.projector import catch_up
from graph.sqlite_store import SqliteStore
from graph.store import GraphStore, served_by
from graph.topology import Topologies, Topology, load_topology
from graph.traces import STILL_M3S, Direction, trace
from ledger.journal import Ledger
from twin.assets import Asset
from twin.events import EventKind
from twin.flows import flows_at
from twin.ids import AssetRef, Space, parse_ref
from twin.networks import ImportOptions, import_network, load_assets, load_network

NETWORKS = Path(__file__).parents[3] / "data" / "networks"
BWSN2 = Path(str(files("epyt"))) / "networks" / "asce-tf-wdst" / "BWSN_Network_2.inp"
NAMES = ("net3", "ltown", "bwsn2", "cycle")
N_STARTS = 10
_ASSETS = {EventKind.ASSET_RECORDED, EventKind.ASSET_RETIRED}
MONDAY_NS = 1_767_571_200_000_000_000  # 2026-01-05


@dataclass(frozen=True)
class Imported:
    """A network in a ledger of its own, its assets, and its flows at model time zero."""

    name: str
    ledger: Ledger
    assets: Mapping[AssetRef, Asset]
    flow_m3s: Mapping[str, float]


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Imported]]:
    """Import a network by name, once for all tests."""
    opened: list[Ledger] = []

    @cache
    def once(name: str) -> Imported:
        home = tmp_path_factory.mktemp(name)
        source = {"bwsn2": BWSN2, "cycle": NETWORKS / "cycle"}.get(
            name, NETWORKS / name / "network.inp"
        )
        with Ledger.open_writer(home / "ledger", home / "keys", lambda: MONDAY_NS) as journal:
            options = ImportOptions(name=name)
            import_network(source, options, journal, lambda: MONDAY_NS, dry_run=False)
        ledger = Ledger.open_reader(home / "ledger")
        opened.append(ledger)
        start_ns = load_network(ledger, name).model_start_ns
        return Imported(name, ledger, load_assets(ledger, name), flows_at(ledger, name, start_ns))

    yield once
    for ledger in opened:
        ledger.close()


def by_networkx(found: Imported) -> nx.MultiDiGraph[str]:
    """Draw the water's way in a library that is not ours, from the ledger and not the graph."""
    drawn: nx.MultiDiGraph[str] = nx.MultiDiGraph()
    for ref, asset in found.assets.items():
        junction = served_by(asset)
        flow_m3s = found.flow_m3s.get(ref.id, 0.0)
        if ref.space is not Space.LINK:
            drawn.add_node(str(ref))
        if junction is not None:
            drawn.add_edge(str(junction), str(ref), key=None)
        if ref.space is Space.LINK and abs(flow_m3s) > STILL_M3S:
            ends = [str(asset.start), str(asset.end)]
            tail, head = ends if flow_m3s > 0 else reversed(ends)
            drawn.add_edge(tail, head, key=str(ref))
    return drawn


def starts(topology: Topology) -> list[AssetRef]:
    """Return nodes and users spread over the whole network, the same on every machine."""
    step = max(len(topology.nodes) // N_STARTS, 1)
    return list(topology.nodes[::step])


@pytest.mark.parametrize("name", NAMES)
def test_both_stores_trace_as_networkx_does_on_what_the_ledger_holds(
    store: GraphStore, imported: Callable[[str], Imported], name: str, tmp_path: Path
) -> None:
    found = imported(name)
    assert catch_up(store, found.ledger) == found.ledger.height
    structure = store.structure(name)
    with SqliteStore.open(tmp_path / "other.sqlite") as other:
        catch_up(other, found.ledger)
        assert structure == other.structure(name)
    topology = Topology.of(structure)
    drawn = by_networkx(found)
    assert {str(ref) for ref in topology.nodes} == set(drawn)
    for start in starts(topology):
        up = trace(topology, found.flow_m3s, start, Direction.UPSTREAM)
        down = trace(topology, found.flow_m3s, start, Direction.DOWNSTREAM)
        above = nx.ancestors(drawn, str(start)) | {str(start)}
        below = nx.descendants(drawn, str(start)) | {str(start)}
        assert {str(ref) for ref in (*up.nodes, *up.users)} == above
        assert {str(ref) for ref in (*down.nodes, *down.users)} == below
        into = {key for _, _, key in drawn.in_edges(above, keys=True) if key}
        out_of = {key for _, _, key in drawn.out_edges(below, keys=True) if key}
        assert {str(ref) for ref in up.links} == into
        assert {str(ref) for ref in down.links} == out_of


def test_every_asset_of_net3_comes_back_as_the_ledger_has_it(
    store: GraphStore, imported: Callable[[str], Imported]
) -> None:
    found = imported("net3")
    catch_up(store, found.ledger)
    read = {placed.asset.ref: placed.asset for placed in store.assets("net3", limit=10_000)}
    assert read == dict(found.assets)
    assert [placed.network.name for placed in store.networks()] == ["net3"]


def test_every_user_of_net3_whose_water_moves_is_fed_by_a_source_or_tank(
    store: GraphStore, imported: Callable[[str], Imported]
) -> None:
    found = imported("net3")
    catch_up(store, found.ledger)
    topology = load_topology(store, "net3")
    fed = set()
    for name in ("River", "Lake", "1", "2", "3"):
        down = trace(topology, found.flow_m3s, AssetRef(Space.NODE, name), "downstream")
        fed |= set(down.users)
    users = {ref for ref in topology.nodes if ref.space is Space.USER}
    still = {
        ref
        for ref in users
        if not any(
            abs(found.flow_m3s.get(one.asset.ref.id, 0.0)) > STILL_M3S
            for one in store.links_at("net3", AssetRef(Space.NODE, ref.id))
        )
    }
    assert users - fed == still
    assert len(fed) > 50


def test_a_tap_has_the_outfall_above_its_intake_upstream(
    store: GraphStore, imported: Callable[[str], Imported]
) -> None:
    found = imported("cycle")
    catch_up(store, found.ledger)
    topology = load_topology(store, "cycle")
    up = trace(topology, found.flow_m3s, parse_ref("user:A1"), "upstream")
    names = {ref.id for ref in up.nodes}
    assert {"R1", "RV3", "RV2", "RV1", "OF1", "SP1", "M7", "M1"} <= names
    assert "RV4" not in names  # the river below the intake
    assert "B8" in {ref.id for ref in up.users}  # the dye works' water comes back
    assert {"AB1", "DI1", "S8", "D14", "RC2"} <= {ref.id for ref in up.links}
    down = trace(topology, found.flow_m3s, parse_ref("user:A1"), "downstream")
    assert {"OF1", "RV2", "RV3", "RV4"} <= {ref.id for ref in down.nodes}
    assert "RV1" not in {ref.id for ref in down.nodes}


def test_a_topology_is_projected_once_for_each_version(
    store: GraphStore,
    record: Any,
    imported: Callable[[str], Imported],
) -> None:
    events = [found.event for found in imported("net3").ledger.events(_ASSETS, "net3")]
    record.seal(*events)
    catch_up(store, record)
    topologies = Topologies(store)
    first = topologies.of("net3")
    assert topologies.of("net3") is first
    record.seal(events[-1])
    catch_up(store, record)
    second = topologies.of("net3")
    assert second is not first
    assert second.version > first.version
    assert topologies.of("nowhere").nodes == ()
