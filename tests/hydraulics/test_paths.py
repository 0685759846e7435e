"""Distances along pipes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydraulics.epanet.reading import read_network
from hydraulics.paths import (
    distance_along_pipes_m,
    distance_between_pipes_m,
    walking_graph,
    ways_from_m,
)

NET3 = read_network(Path(__file__).parents[2] / "data" / "networks" / "net3" / "network.inp")
pipes = st.sampled_from([int(k) for k in np.flatnonzero(NET3.is_pipe)])
places = st.floats(0.0, 1.0)


def test_of_parallel_links_the_shortest_is_walked() -> None:
    ends = np.array([[0, 1], [1, 0], [1, 2]])
    graph = walking_graph(ends, np.array([9.0, 4.0, 0.0]), 3).toarray()
    assert graph[0, 1] == 4.0
    assert graph[1, 2] > 0.0  # a pump has no length, and still joins


@given(pipes, places, places)
def test_along_one_pipe_nobody_walks_further_than_the_pipe_between(
    link: int, place: float, to_place: float
) -> None:
    walked_m = distance_along_pipes_m(NET3, link, place, link, to_place)
    assert walked_m <= abs(place - to_place) * NET3.length_m[link] + 1e-9


@given(pipes, places, pipes, places)
def test_the_way_back_is_as_long(link: int, place: float, to_link: int, to_place: float) -> None:
    there_m = distance_along_pipes_m(NET3, link, place, to_link, to_place)
    back_m = distance_along_pipes_m(NET3, to_link, to_place, link, place)
    assert there_m == pytest.approx(back_m)


@given(pipes, pipes)
def test_from_middle_to_middle_is_the_distance_between_pipes(link: int, to_link: int) -> None:
    walked_m = distance_along_pipes_m(NET3, link, 0.5, to_link, 0.5)
    assert distance_between_pipes_m(NET3, link, to_link) == pytest.approx(walked_m, abs=1e-6)


def test_ways_are_those_of_the_file_as_networkx_walks_them() -> None:
    import networkx as nx  # noqa: PLC0415 - the oracle

    graph = nx.MultiGraph()
    rows = zip(NET3.start, NET3.end, np.maximum(NET3.length_m, 1e-3), strict=True)
    graph.add_weighted_edges_from((int(a), int(b), float(m)) for a, b, m in rows)
    expected = nx.single_source_dijkstra_path_length(graph, 0)
    found = ways_from_m(NET3, [0])[0]
    assert all(found[node] == pytest.approx(way_m) for node, way_m in expected.items())
