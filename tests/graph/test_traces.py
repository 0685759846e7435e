"""Traces by the direction of flow, on networks small enough to check by eye, and as a law."""

from __future__ import annotations

from collections.abc import Mapping

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.store import Connection, Structure
from graph.topology import Topology
from graph.traces import STILL_M3S, Direction, Trace, flow_signs, trace
from twin.errors import NotFoundError
from twin.ids import AssetRef, Space, parse_ref

N_NODES = 9


def topology(*rows: str) -> Topology:
    """Build from rows such as `a: 1 > 2`; `user:1 < 1` serves a user; a link ending in ~ is not of
    the model, and one ending in x is closed as well."""
    connections = []
    for row in rows:
        if "<" in row:
            who, junction = row.split(" < ")
            connections.append(
                Connection(None, AssetRef(Space.NODE, junction), parse_ref(who), True, True, False)
            )
            continue
        name, ends = row.split(": ")
        start, end = (_end(text) for text in ends.split(" > "))
        link = AssetRef(Space.LINK, name.rstrip("~x"))
        is_open, from_model = not name.endswith("x"), name[-1] not in "~x"
        connections.append(Connection(link, start, end, is_open, False, from_model))
    nodes = {end for one in connections for end in (one.start, one.end)}
    return Topology.of(Structure("t", 0, tuple(sorted(nodes, key=str)), tuple(connections)))


def _end(text: str) -> AssetRef:
    return parse_ref(text) if ":" in text else AssetRef(Space.NODE, text)


def answer(found: Trace) -> tuple[str, str, str]:
    """Return nodes, links and users as words."""
    return tuple(
        " ".join(ref.id for ref in refs) for refs in (found.nodes, found.links, found.users)
    )  # type: ignore[return-value]


def both(
    net: Topology, flow_m3s: Mapping[str, float], start: str
) -> tuple[tuple[str, str, str], tuple[str, str, str]]:
    return tuple(answer(trace(net, flow_m3s, parse_ref(start), way)) for way in Direction)  # type: ignore[return-value]


def test_water_comes_from_upstream_and_goes_downstream() -> None:
    net = topology("a: 1 > 2", "b: 2 > 3", "c: 2 > 4")
    up, down = both(net, {"a": 1.0, "b": 1.0, "c": 1.0}, "node:2")
    assert up == ("1 2", "a", "")
    assert down == ("2 3 4", "b c", "")


def test_a_negative_flow_runs_from_end_to_start() -> None:
    net = topology("a: 1 > 2", "b: 3 > 2")
    up, down = both(net, {"a": 1.0, "b": -1.0}, "node:3")
    assert up == ("1 2 3", "a b", "")
    assert down == ("3", "", "")


def test_a_trace_from_a_link_holds_the_link_and_goes_on_beyond_its_end() -> None:
    net = topology("a: 1 > 2", "b: 3 > 2", "c: 3 > 4")
    up, down = both(net, {"a": 1.0, "b": -1.0, "c": 1.0}, "link:b")
    assert up == ("1 2", "a b", "")
    assert down == ("3 4", "b c", "")


def test_still_water_leads_nowhere() -> None:
    net = topology("a: 1 > 2", "b: 2 > 3")
    flows = {"a": 1.0, "b": STILL_M3S}
    assert both(net, flows, "node:2")[1] == ("2", "", "")
    assert both(net, flows, "link:b") == (("", "b", ""), ("", "b", ""))
    assert both(net, {"a": 1.0, "b": -1.01 * STILL_M3S}, "node:2")[0] == ("1 2 3", "a b", "")


def test_an_unknown_flow_leads_nowhere() -> None:
    net = topology("a: 1 > 2")
    assert both(net, {"a": float("nan")}, "node:1")[1] == ("1", "", "")
    assert both(net, {}, "node:1")[1] == ("1", "", "")


def test_a_loop_is_walked_once() -> None:
    net = topology("a: 1 > 2", "b: 2 > 3", "c: 3 > 2", "d: 3 > 4")
    up, down = both(net, dict.fromkeys("abcd", 1.0), "node:3")
    assert up == ("1 2 3", "a b c", "")
    assert down == ("2 3 4", "b c d", "")


def test_parallel_pipes_are_both_named_even_where_their_flows_oppose() -> None:
    net = topology("a: 1 > 2", "b: 1 > 2", "c: 2 > 1")
    assert both(net, {"a": 1.0, "b": 2.0, "c": -3.0}, "node:1")[1] == ("1 2", "a b c", "")
    assert both(net, {"a": 1.0, "b": -1.0}, "node:1")[0] == ("1 2", "a b", "")


def test_a_pipe_from_a_node_to_itself_is_no_trouble() -> None:
    net = topology("a: 1 > 1", "b: 1 > 2")
    assert both(net, {"a": 1.0, "b": 1.0}, "node:1")[1] == ("1 2", "a b", "")


def test_a_user_is_downstream_of_its_junction_whatever_flows() -> None:
    net = topology("a: 1 > 2", "user:2 < 2")
    assert both(net, {"a": 1.0}, "node:1")[1] == ("1 2", "a", "2")
    assert both(net, {"a": 1.0}, "user:2")[0] == ("1 2", "a", "2")
    assert both(net, {"a": 1.0}, "user:2")[1] == ("", "", "2")


def test_a_link_that_no_model_holds_flows_as_drawn_while_it_is_open() -> None:
    net = topology("s~: 1 > 2", "sx: 2 > 3")
    assert both(net, {}, "node:1")[1] == ("1 2", "s", "")
    net = topology("s~: 1 > 2", "tx: 2 > 3")
    assert both(net, {}, "node:1")[1] == ("1 2", "s", "")
    assert both(net, {"t": 1.0, "s": -1.0}, "node:2")[1] == ("1 2 3", "s t", "")


def test_the_whole_cycle_is_crossed_from_a_tap_to_the_outfall_above_its_intake() -> None:
    net = topology(
        "intake~: lake > plant",
        "main: plant > 1",
        "drain~: user:1 > manhole",
        "sewer~: manhole > works",
        "outfall~: works > outfall",
        "discharge~: outfall > river",
        "reach~: river > lake",
        "user:1 < 1",
    )
    everything = "1 lake manhole outfall plant river works"
    up, down = both(net, {"main": 1.0}, "user:1")
    assert up == down
    assert up[0] == everything
    assert len(up[1].split()) == 7
    assert up[2] == "1"


def test_who_is_not_there_is_not_found() -> None:
    net = topology("a: 1 > 2")
    for missing in ("node:9", "link:9", "user:1"):
        with pytest.raises(NotFoundError, match=missing):
            trace(net, {}, parse_ref(missing), "upstream")


def test_a_direction_has_two_names() -> None:
    with pytest.raises(ValueError, match="sideways"):
        trace(topology("a: 1 > 2"), {}, parse_ref("node:1"), "sideways")


def test_signs_are_one_for_each_connection() -> None:
    net = topology("a: 1 > 2", "b: 2 > 3", "c: 3 > 4", "user:4 < 4")
    assert flow_signs(net, {"a": 0.5, "b": -0.5, "c": 0.0}).tolist() == [1, -1, 0, 1]


EDGES = st.lists(
    st.tuples(
        st.integers(0, N_NODES - 1), st.integers(0, N_NODES - 1), st.sampled_from([-1.0, 0.0, 1.0])
    ),
    min_size=1,
    max_size=24,
)


@given(edges=EDGES, data=st.data())
def test_a_trace_is_what_networkx_calls_ancestors_and_descendants(
    edges: list[tuple[int, int, float]], data: st.DataObject
) -> None:
    net = topology(*(f"l{i}: {start} > {end}" for i, (start, end, _) in enumerate(edges)))
    flows = {f"l{i}": flow for i, (_, _, flow) in enumerate(edges)}
    other: nx.MultiDiGraph[str] = nx.MultiDiGraph()
    other.add_nodes_from(ref.id for ref in net.nodes)
    for i, (start, end, flow) in enumerate(edges):
        if flow:
            tail, head = (start, end) if flow > 0 else (end, start)
            other.add_edge(str(tail), str(head), key=f"l{i}")
    start_id = data.draw(st.sampled_from(sorted(other)))
    up = trace(net, flows, AssetRef(Space.NODE, start_id), Direction.UPSTREAM)
    down = trace(net, flows, AssetRef(Space.NODE, start_id), Direction.DOWNSTREAM)
    above, below = nx.ancestors(other, start_id), nx.descendants(other, start_id)
    assert {ref.id for ref in up.nodes} == above | {start_id}
    assert {ref.id for ref in down.nodes} == below | {start_id}
    passed = other.in_edges(above | {start_id}, keys=True)
    assert {ref.id for ref in up.links} == {key for _, _, key in passed}
    passed = other.out_edges(below | {start_id}, keys=True)
    assert {ref.id for ref in down.links} == {key for _, _, key in passed}


@given(edges=EDGES, data=st.data())
def test_who_is_upstream_of_me_has_me_downstream(
    edges: list[tuple[int, int, float]], data: st.DataObject
) -> None:
    net = topology(*(f"l{i}: {start} > {end}" for i, (start, end, _) in enumerate(edges)))
    flows = {f"l{i}": flow for i, (_, _, flow) in enumerate(edges)}
    me = data.draw(st.sampled_from(net.nodes))
    for other in trace(net, flows, me, "upstream").nodes:
        assert me in trace(net, flows, other, "downstream").nodes
