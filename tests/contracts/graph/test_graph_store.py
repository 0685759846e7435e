"""What every store of the graph promises, whichever database is behind it."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graph.store import (
    Advance,
    AssetKey,
    Connection,
    ForeignGraphError,
    GraphMovedError,
    GraphStore,
    Happening,
    Mark,
    PlacedAsset,
    PlacedNetwork,
)
from twin.assets import Asset, AssetKind, Network
from twin.events import EventKind, RecordRef
from twin.ids import AssetRef, Space

CHAIN = "c" * 64
OTHER_CHAIN = "d" * 64
NET = "town"
NODE_KINDS = (AssetKind.JUNCTION, AssetKind.TANK, AssetKind.SOURCE, AssetKind.SEWAGE_PLANT)
LINK_KINDS = (AssetKind.PIPE, AssetKind.PUMP, AssetKind.VALVE, AssetKind.SEWER)
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
IDS = ANY_TEXT.filter(bool)
NUMBERS = st.floats(allow_nan=False)


class Place(Protocol):
    """A file or database that a graph can be kept in, as `conftest.py` makes them."""

    def open(self) -> GraphStore: ...

    def add_foreign(self) -> None: ...

    def n_foreign(self) -> int: ...


def node(name: str, kind: AssetKind = AssetKind.JUNCTION, **properties: str | float) -> Asset:
    return Asset(AssetRef(Space.NODE, name), kind, properties=properties)


def pipe(name: str, start: str, end: str, kind: AssetKind = AssetKind.PIPE) -> Asset:
    ends = AssetRef(Space.NODE, start), AssetRef(Space.NODE, end)
    return Asset(AssetRef(Space.LINK, name), kind, (), *ends, properties={"length_m": 12.5})


def user(name: str, junction: str) -> Asset:
    return Asset(
        AssetRef(Space.USER, name),
        AssetKind.USER,
        from_model=False,
        properties={"served_by": f"node:{junction}"},
    )


def tell(
    store: GraphStore,
    assets: Iterable[Asset] = (),
    retired: Iterable[AssetRef] = (),
    network: str = NET,
    **more: object,
) -> Advance:
    """Tell the store of one block, as the projector would."""
    height = store.height()
    placed = tuple(
        PlacedAsset(network, asset, RecordRef(height, i)) for i, asset in enumerate(assets)
    )
    gone: tuple[AssetKey, ...] = tuple((network, ref) for ref in retired)
    changed_at = {network: height} if placed or gone else {}
    start, stop = RecordRef(height, 0), RecordRef(height + 1, 0)
    advance = Advance(CHAIN, start, stop, f"{height:064x}", (), placed, gone, (), changed_at)
    advance = replace(advance, **more)  # type: ignore[arg-type]
    store.apply(advance)
    return advance


def connected(store: GraphStore) -> list[tuple[str, str, str]]:
    return [
        (str(one.link or "service"), str(one.start), str(one.end))
        for one in store.structure(NET).connections
    ]


def test_an_empty_store_knows_nothing(store: GraphStore) -> None:
    assert store.mark() is None
    assert store.height() == 0
    assert store.networks() == []
    assert store.asset(NET, AssetRef(Space.NODE, "1")) is None
    assert store.assets(NET) == []
    assert store.count(NET) == 0
    assert store.topology_version(NET) == -1
    assert store.structure(NET).nodes == ()
    assert store.structure(NET).connections == ()
    assert store.happenings(NET) == []
    assert not any(store.holdings().ours.values())


def test_what_is_told_comes_with_the_height_of_its_block(store: GraphStore) -> None:
    tell(store, [node("1")])
    assert store.mark() == Mark(CHAIN, 1, "0" * 64)
    assert store.height() == 1
    assert store.topology_version(NET) == 0
    found = store.asset(NET, AssetRef(Space.NODE, "1"))
    assert found == PlacedAsset(NET, node("1"), RecordRef(0, 0))


def test_a_block_without_assets_moves_the_height_and_not_the_topology(store: GraphStore) -> None:
    tell(store, [node("1")])
    tell(store)
    assert store.height() == 2
    assert store.topology_version(NET) == 0


def test_a_network_is_kept_with_its_clock(store: GraphStore) -> None:
    network = Network(NET, "EPSG:2326", "Asia/Hong_Kong", -1_234_567_890_123_456_789, True, "ab")
    placed = PlacedNetwork(network, RecordRef(0, 3))
    tell(store, networks=(placed,))
    assert store.networks() == [placed]
    again = PlacedNetwork(replace(network, crs="LOCAL"), RecordRef(1, 0))
    tell(store, networks=(again,))
    assert store.networks() == [again]


def test_assets_told_before_their_network_are_no_network(store: GraphStore) -> None:
    tell(store, [node("1")])
    assert store.networks() == []
    assert store.count(NET) == 1


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    ident=IDS,
    ends=st.tuples(IDS, IDS),
    kind=st.sampled_from(LINK_KINDS),
    line=st.lists(st.tuples(NUMBERS, NUMBERS), max_size=4),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    properties=st.dictionaries(ANY_TEXT, ANY_TEXT | NUMBERS | st.booleans(), max_size=5),
)
def test_any_asset_comes_back_bit_for_bit(  # noqa: PLR0913, PLR0917 - one strategy a field
    store: GraphStore,
    ident: str,
    ends: tuple[str, str],
    kind: AssetKind,
    line: list[tuple[float, float]],
    flags: tuple[bool, bool, bool],
    properties: dict[str, str | float | bool],
) -> None:
    start, end = (AssetRef(Space.NODE, name) for name in ends)
    ref = AssetRef(Space.LINK, ident)
    asset = Asset(ref, kind, tuple(line), start, end, *flags, properties=properties)
    tell(store, [asset])
    found = store.asset(NET, ref)
    assert found is not None
    assert found.asset == asset
    assert repr(found.asset) == repr(replace(asset, properties=dict(sorted(properties.items()))))


@pytest.mark.parametrize("name", ["network", "ref", "chain", "kind", "height", "properties", ""])
def test_a_property_may_be_named_like_a_column(store: GraphStore, name: str) -> None:
    tell(store, [replace(node("1"), properties={name: "x"})])
    found = store.asset(NET, AssetRef(Space.NODE, "1"))
    assert found is not None
    assert found.asset.properties == {name: "x"}
    assert found.network == NET


def test_pages_visit_each_asset_once_in_order_of_code_points(store: GraphStore) -> None:
    names = ["10", "2", "a", "B", "é", "\uffee", "😀", "a b", "a:b", "'", '"', "`", "\\", "%", "_"]
    assets = [node(name) for name in names] + [pipe(name, "2", "a") for name in names]
    tell(store, assets)
    tell(store, [node("elsewhere")], network="village")
    seen: list[str] = []
    after: AssetRef | None = None
    while page := store.assets(NET, after=after, limit=4):
        assert len(page) <= 4
        seen += [str(placed.asset.ref) for placed in page]
        after = page[-1].asset.ref
    assert seen == sorted(str(asset.ref) for asset in assets)


def test_pages_and_counts_of_some_kinds_leave_out_the_others(store: GraphStore) -> None:
    tell(store, [node(str(i), kind) for i, kind in enumerate(NODE_KINDS)])
    kinds = {AssetKind.TANK, AssetKind.SOURCE}
    found = store.assets(NET, kinds)
    assert [placed.asset.kind for placed in found] == [AssetKind.TANK, AssetKind.SOURCE]
    assert store.assets(NET, kinds, after=found[0].asset.ref) == found[1:]
    assert store.count(NET, kinds) == 2
    assert store.count(NET, {AssetKind.PUMP}) == 0
    assert store.count(NET) == len(NODE_KINDS)


def test_named_assets_come_in_one_call_without_those_that_are_not(store: GraphStore) -> None:
    tell(store, [node("1"), node("2"), node("3")])
    refs = [AssetRef(Space.NODE, name) for name in ("3", "nobody", "1")]
    assert set(store.assets_named(NET, refs)) == {refs[0], refs[2]}
    assert store.assets_named(NET, []) == {}


def test_an_id_may_name_a_node_a_link_and_a_user(store: GraphStore) -> None:
    tell(store, [node("10"), node("11"), pipe("10", "10", "11"), user("10", "10")])
    assert store.count(NET) == 4
    assert connected(store) == [
        ("link:10", "node:10", "node:11"),
        ("service", "node:10", "user:10"),
    ]


def test_parallel_pipes_stay_apart(store: GraphStore) -> None:
    tell(store, [node("1"), node("2"), pipe("a", "1", "2"), pipe("b", "1", "2")])
    tell(store, [pipe("c", "2", "1")])
    assert connected(store) == [
        ("link:a", "node:1", "node:2"),
        ("link:b", "node:1", "node:2"),
        ("link:c", "node:2", "node:1"),
    ]


def test_a_connection_says_what_its_link_says(store: GraphStore) -> None:
    pump = replace(pipe("p", "1", "2", AssetKind.PUMP), is_open=False, is_oneway=True)
    sewer = replace(pipe("s", "2", "1", AssetKind.SEWER), from_model=False)
    tell(store, [node("1"), node("2"), pump, sewer, user("2", "2")])
    one, two = AssetRef(Space.NODE, "1"), AssetRef(Space.NODE, "2")
    assert store.structure(NET).connections == (
        Connection(pump.ref, one, two, is_open=False, is_oneway=True, from_model=True),
        Connection(sewer.ref, two, one, is_open=True, is_oneway=False, from_model=False),
        Connection(None, two, AssetRef(Space.USER, "2"), True, True, from_model=False),
    )


def test_a_link_joins_when_both_its_ends_are_known_in_whatever_order(store: GraphStore) -> None:
    tell(store, [pipe("p", "1", "2"), user("1", "1")])
    assert connected(store) == []
    tell(store, [node("2")])
    assert connected(store) == []
    tell(store, [node("1")])
    joined = [("link:p", "node:1", "node:2"), ("service", "node:1", "user:1")]
    assert connected(store) == joined
    tell(store, [node("1", elevation_m=3.0)])
    assert connected(store) == joined


def test_a_link_told_again_with_other_ends_has_left_the_old_ones(store: GraphStore) -> None:
    tell(store, [node("1"), node("2"), node("3"), pipe("p", "1", "2"), user("u", "1")])
    tell(store, [pipe("p", "2", "3"), user("u", "3")])
    assert connected(store) == [("link:p", "node:2", "node:3"), ("service", "node:3", "user:u")]


def test_what_is_retired_joins_nothing_until_it_is_told_again(store: GraphStore) -> None:
    nodes, links = [node("1"), node("2")], [pipe("p", "1", "2"), pipe("q", "2", "1")]
    tell(store, [*nodes, *links, user("1", "1")])
    tell(store, retired=[links[0].ref])
    assert store.asset(NET, links[0].ref) is None
    assert connected(store) == [("link:q", "node:2", "node:1"), ("service", "node:1", "user:1")]
    tell(store, retired=[nodes[0].ref])
    assert connected(store) == []
    assert store.topology_version(NET) == 2
    tell(store, [nodes[0], links[0]])
    assert len(connected(store)) == 3
    assert store.holdings().ours == {
        "networks": 0,
        "assets": 5,
        "connections": 3,
        "happenings": 0,
    }


def test_retiring_what_was_never_told_changes_nothing(store: GraphStore) -> None:
    tell(store, [node("1")])
    tell(store, retired=[AssetRef(Space.LINK, "nobody")])
    assert store.count(NET) == 1


def test_a_link_cannot_end_at_a_link(store: GraphStore) -> None:
    link_as_end = replace(pipe("p", "1", "2"), end=AssetRef(Space.LINK, "q"))
    tell(store, [node("1"), node("2"), pipe("q", "1", "2"), link_as_end])
    assert connected(store) == [("link:q", "node:1", "node:2")]


def test_links_at_a_node_are_those_that_begin_or_end_there(store: GraphStore) -> None:
    loop = pipe("loop", "1", "1")
    tell(store, [node("1"), node("2"), pipe("b", "2", "1"), pipe("a", "1", "2"), loop])
    tell(store, [node("3"), pipe("far", "2", "3"), user("1", "1")])
    found = store.links_at(NET, AssetRef(Space.NODE, "1"))
    assert [placed.asset.ref.id for placed in found] == ["a", "b", "loop"]


def test_happenings_come_in_order_of_record_by_pages(store: GraphStore) -> None:
    tell(store, [node("1")])
    kinds = [EventKind.LEAK_RUN, EventKind.TRACE, EventKind.LEAK_RUN]
    told = tuple(
        Happening(NET, kind, f"s{i}", 5 + i, RecordRef(1, i), (AssetRef(Space.NODE, "1"),))
        for i, kind in enumerate(kinds)
    )
    tell(store, happenings=told)
    assert store.happenings(NET) == list(told)
    assert store.happenings(NET, limit=1) == [told[0]]
    assert store.happenings(NET, after=told[0].evidence) == list(told[1:])
    assert store.happenings(NET, {EventKind.LEAK_RUN}, after=told[0].evidence) == [told[2]]
    assert store.happenings("village") == []


def test_the_same_block_is_not_told_twice(store: GraphStore) -> None:
    advance = tell(store, [node("1")])
    with pytest.raises(GraphMovedError, match="record 1/0, not 0/0"):
        store.apply(advance)
    assert store.height() == 1


def test_no_block_is_left_out(store: GraphStore) -> None:
    tell(store, [node("1")])
    with pytest.raises(GraphMovedError):
        tell(store, [node("2")], start=RecordRef(3, 0), stop=RecordRef(4, 0))
    assert store.count(NET) == 1


def test_a_block_that_fails_on_the_way_leaves_nothing(store: GraphStore) -> None:
    tell(store, [node("1")])
    # The assets are written before the happening, which no database can take.
    broken = Happening(NET, EventKind.TRACE, "s", 0, RecordRef(1, 0), concerns=None)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        tell(store, [node("2"), pipe("p", "1", "2")], happenings=(broken,))
    assert store.height() == 1
    assert store.count(NET) == 1
    tell(store, [node("2"), pipe("p", "1", "2")])
    assert len(connected(store)) == 1


def test_a_block_told_in_parts_counts_when_it_is_whole(store: GraphStore) -> None:
    tell(store, [node("1")])
    tell(store, [node("2")], stop=RecordRef(1, 7), head_hash="e" * 64)
    assert store.mark() == Mark(CHAIN, 1, "e" * 64, leaf=7)
    assert store.height() == 1
    with pytest.raises(GraphMovedError, match="record 1/7, not 1/0"):
        tell(store, [node("3")])
    tell(store, [node("3")], start=RecordRef(1, 7))
    assert store.height() == 2
    assert store.count(NET) == 3


def test_of_many_who_tell_one_block_at_once_one_does(place: Place, store: GraphStore) -> None:
    tell(store, [node("1")])
    told = (PlacedAsset(NET, node("2"), RecordRef(1, 0)),)
    advance = Advance(CHAIN, RecordRef(1, 0), RecordRef(2, 0), "e" * 64, assets=told)

    def one(_: int) -> str:
        with place.open() as mine:
            try:
                mine.apply(advance)
            except GraphMovedError:
                return "moved"
            return "told"

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(one, range(4))) == ["moved", "moved", "moved", "told"]
    assert store.height() == 2


def test_a_store_opened_again_knows_what_was_told(place: Place, store: GraphStore) -> None:
    tell(store, [node("1"), node("2"), pipe("p", "1", "2")])
    with place.open() as again:
        assert again.mark() == store.mark()
        assert again.structure(NET) == store.structure(NET)
        tell(again, [node("3")])
    assert store.height() == 2
    assert store.count(NET) == 4


def test_another_ledger_is_refused(store: GraphStore) -> None:
    tell(store, [node("1")])
    with pytest.raises(ForeignGraphError, match="another ledger"):
        tell(store, [node("2")], chain=OTHER_CHAIN)
    with pytest.raises(ForeignGraphError, match="another ledger"):
        store.drop(OTHER_CHAIN)
    assert store.count(NET) == 1


def test_a_dropped_graph_leaves_an_empty_database_for_any_ledger(store: GraphStore) -> None:
    tell(store, [node("1"), node("2"), pipe("p", "1", "2"), user("1", "1")])
    tell(store, happenings=(Happening(NET, EventKind.TRACE, "s", 0, RecordRef(1, 0)),))
    assert store.holdings().ours == {
        "networks": 0,
        "assets": 4,
        "connections": 2,
        "happenings": 1,
    }
    store.drop(CHAIN)
    assert store.mark() is None
    assert not any(store.holdings().ours.values())
    assert store.topology_version(NET) == -1
    tell(store, [node("1")], chain=OTHER_CHAIN)
    assert store.count(NET) == 1


def test_dropping_an_empty_database_does_nothing(store: GraphStore) -> None:
    store.drop(CHAIN)
    assert store.mark() is None


def test_a_database_in_use_by_others_is_not_taken(place: Place, store: GraphStore) -> None:
    place.add_foreign()
    with pytest.raises(ForeignGraphError, match=r"(?i)customer"):
        tell(store, [node("1")])
    assert store.mark() is None
    assert store.count(NET) == 0
    assert place.n_foreign() == 1


def test_what_others_put_beside_the_graph_forbids_to_drop_it(
    place: Place, store: GraphStore
) -> None:
    tell(store, [node("1")])
    place.add_foreign()
    assert list(store.holdings().foreign.values()) == [1]
    with pytest.raises(ForeignGraphError, match=r"1 .*(?i:customer)"):
        store.drop(CHAIN)
    assert store.count(NET) == 1
    assert place.n_foreign() == 1
