"""Streets to walk: which pipes go on into each other, in which order, from which end."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hydraulics.network import NetworkModel
from twin.assets import Network
from twin.leaks.placed import placed_leaks
from twin.leaks.records import LEVELS, Candidate, LeakRun
from twin.leaks.walk_files import walk_csv, walk_geojson
from twin.leaks.walking import MAX_STREETS, Street, streets_to_walk

# A street from a to e with a side street at c, and a lane that is joined to nothing:
#
#               f
#               | side 50
#   a --w1 100-- b --w2 100-- c --e1 100-- d --e2 100-- e        g --lane 20-- h
#                             (side leaves at c)
PLACES = {
    "a": (0, 0),
    "b": (100, 0),
    "c": (200, 0),
    "d": (300, 5),
    "e": (400, 0),
    "f": (200, 50),
    "g": (900, 0),
    "h": (920, 0),
}
PIPES = {
    "w1": ("a", "b", 100.0),
    "w2": ("c", "b", 100.0),  # drawn against the street
    "e1": ("c", "d", 100.0),
    "e2": ("d", "e", 100.0),
    "side": ("c", "f", 50.0),
    "lane": ("g", "h", 20.0),
}


def made() -> NetworkModel:
    nodes = list(PLACES)
    n_links = len(PIPES)
    return NetworkModel(
        node_id=tuple(nodes),
        node_kind=np.zeros(len(nodes), np.int64),
        elevation_m=np.zeros(len(nodes)),
        base_demand_m3s=np.zeros(len(nodes)),
        node_xy=np.array([PLACES[node] for node in nodes], dtype=np.float64),
        link_id=tuple(PIPES),
        link_kind=np.zeros(n_links, np.int64),
        start=np.array([nodes.index(start) for start, _, _ in PIPES.values()]),
        end=np.array([nodes.index(end) for _, end, _ in PIPES.values()]),
        length_m=np.array([length_m for _, _, length_m in PIPES.values()]),
        diameter_m=np.full(n_links, 0.1),
        roughness=np.full(n_links, 120.0),
        minor_loss=np.zeros(n_links),
        is_open=np.ones(n_links, np.bool_),
        is_oneway=np.zeros(n_links, np.bool_),
        valve_type=("",) * n_links,
        vertices=((),) * n_links,
        start_clock_s=0,
        duration_s=0,
        headloss="H-W",
    )


MODEL = made()
SHARES = st.dictionaries(st.sampled_from(sorted(PIPES)), st.floats(0.001, 1.0), min_size=1)


@pytest.fixture
def model() -> NetworkModel:
    return MODEL


@pytest.fixture
def network() -> Network:
    return Network("block", "LOCAL", "+02:00", 0, True, "a" * 64)


def walked(
    run: LeakRun, model: NetworkModel, shares: dict[str, float], place: float = 0.5
) -> tuple[Street, ...]:
    ranked = sorted(shares, key=lambda pipe: -shares[pipe])
    candidates = [Candidate(p, shares[p], place, 0.002, PIPES[p][2]) for p in ranked]
    zones = dict.fromkeys(LEVELS, tuple(ranked))
    return streets_to_walk(placed_leaks(replace(run, zones=zones), candidates, ()), model)


def ids(street: Street) -> list[str]:
    return [pipe.pipe_id for pipe in street.pipes]


ALL = {"w1": 0.1, "w2": 0.2, "e1": 0.3, "e2": 0.05, "side": 0.25, "lane": 0.1}


def test_pipes_that_go_straight_on_are_one_street_and_a_side_street_is_another(
    recorded_run: LeakRun, model: NetworkModel
) -> None:
    streets = walked(recorded_run, model, ALL)
    assert sorted(sorted(ids(one)) for one in streets) == [
        ["e1", "e2", "w1", "w2"],
        ["lane"],
        ["side"],
    ]


def test_the_most_probability_a_metre_is_walked_first(
    recorded_run: LeakRun, model: NetworkModel
) -> None:
    streets = walked(recorded_run, model, ALL)  # 0.25/50 = lane 0.1/20 = 0.005 > 0.65/400
    assert [one.rank for one in streets] == [1, 2, 3]
    assert ids(streets[0]) == ["lane"]
    assert ids(streets[1]) == ["side"]
    density = [one.probability / one.length_m for one in streets]
    assert density == sorted(density, reverse=True)


def test_a_street_is_walked_from_the_end_nearer_to_the_leak(
    recorded_run: LeakRun, model: NetworkModel
) -> None:
    (street,) = walked(recorded_run, model, {"w1": 0.1, "w2": 0.1, "e1": 0.2, "e2": 0.6})
    assert ids(street) == ["e2", "e1", "w2", "w1"]
    assert (street.start_node, street.end_node) == ("e", "a")
    assert [(one.from_node, one.to_node) for one in street.pipes][2] == ("c", "b")


def test_the_place_in_the_only_pipe_decides_its_direction(
    recorded_run: LeakRun, model: NetworkModel
) -> None:
    (near_start,) = walked(recorded_run, model, {"lane": 1.0}, place=0.1)
    (near_end,) = walked(recorded_run, model, {"lane": 1.0}, place=0.9)
    assert (near_start.start_node, near_end.start_node) == ("g", "h")


def test_a_street_through_a_pipe_outside_the_zone_is_two(
    recorded_run: LeakRun, model: NetworkModel
) -> None:
    streets = walked(recorded_run, model, {"w1": 0.5, "e1": 0.5})
    assert sorted(map(ids, streets)) == [["e1"], ["w1"]]


def test_a_side_street_does_not_go_on_where_the_street_leaves_the_zone(
    recorded_run: LeakRun, model: NetworkModel
) -> None:
    streets = walked(recorded_run, model, {"side": 0.6, "e1": 0.4})
    assert [ids(one) for one in streets] == [["side"], ["e1"]]


def test_without_coordinates_only_pipes_that_meet_alone_are_one_street(
    recorded_run: LeakRun, model: NetworkModel
) -> None:
    nowhere = replace(model, node_xy=np.full((len(PLACES), 2), np.nan))
    streets = walked(recorded_run, nowhere, ALL)
    assert sorted(sorted(ids(one)) for one in streets) == [
        ["e1", "e2"],
        ["lane"],
        ["side"],
        ["w1", "w2"],
    ]


def test_a_ring_is_walked_once_around(recorded_run: LeakRun, model: NetworkModel) -> None:
    ring = replace(
        model,
        start=np.array([0, 1, 2, 3, 4, 6]),
        end=np.array([1, 2, 3, 4, 0, 7]),
        node_xy=np.full((len(PLACES), 2), np.nan),
    )
    streets = walked(recorded_run, ring, dict.fromkeys(["w1", "w2", "e1", "e2", "side"], 0.2))
    assert [len(one.pipes) for one in streets] == [5]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SHARES, st.floats(0.0, 1.0))
def test_every_pipe_of_the_zone_is_walked_once_and_all_adds_up(
    recorded_run: LeakRun, shares: dict[str, float], place: float
) -> None:
    total = sum(shares.values())
    streets = walked(recorded_run, MODEL, {p: one / total for p, one in shares.items()}, place)
    assert sorted(pipe for one in streets for pipe in ids(one)) == sorted(shares)
    assert streets[-1].reached == pytest.approx(1.0)
    assert streets[-1].walked_m == pytest.approx(sum(PIPES[pipe][2] for pipe in shares))
    for street in streets:
        nodes = [(pipe.from_node, pipe.to_node) for pipe in street.pipes]
        assert all(one[1] == other[0] for one, other in pairwise(nodes))


def test_the_way_to_the_next_street_is_along_pipes(
    recorded_run: LeakRun, model: NetworkModel
) -> None:
    streets = walked(recorded_run, model, {"side": 0.6, "e2": 0.4}, place=0.9)
    assert [(one.start_node, one.end_node) for one in streets] == [("f", "c"), ("e", "d")]
    assert [one.way_there_m for one in streets] == pytest.approx([0.0, 200.0])


def test_a_zone_of_very_many_streets_gives_the_first_ones(recorded_run: LeakRun) -> None:
    n = MAX_STREETS + 5
    apart = replace(
        MODEL,
        node_id=tuple(map(str, range(2 * n))),
        node_xy=np.full((2 * n, 2), np.nan),
        link_id=tuple(f"l{k}" for k in range(n)),
        start=np.arange(0, 2 * n, 2),
        end=np.arange(1, 2 * n, 2),
        length_m=np.full(n, 10.0),
        vertices=((),) * n,
    )
    candidates = [Candidate(pipe, 1 / n, 0.5, 0.002, 10.0) for pipe in apart.link_id]
    run = replace(recorded_run, zones=dict.fromkeys(LEVELS, apart.link_id))
    streets = streets_to_walk(placed_leaks(run, candidates, ()), apart)
    assert len(streets) == MAX_STREETS
    assert math.isinf(streets[1].way_there_m)


def test_the_table_has_a_row_for_each_pipe_in_the_order_of_walking(
    recorded_run: LeakRun, model: NetworkModel
) -> None:
    streets = walked(recorded_run, model, ALL)
    rows = list(csv.DictReader(io.StringIO(walk_csv(streets).decode())))
    assert [row["pipe_id"] for row in rows] == [pipe for one in streets for pipe in ids(one)]
    assert [int(row["order"]) for row in rows] == [1, 2, 3, 4, 5, 6]
    assert float(rows[-1]["reached"]) == pytest.approx(1.0)
    assert rows[1]["way_there_m"] == ""  # nothing leads from the lane


def test_the_map_has_a_line_in_the_direction_of_walking_and_its_start(
    recorded_run: LeakRun, model: NetworkModel, network: Network
) -> None:
    (street,) = walked(recorded_run, model, {"w1": 0.2, "w2": 0.8})
    document = json.loads(walk_geojson(recorded_run, [street], network, model))
    way, start = document["features"]
    assert way["geometry"]["coordinates"] == [[200.0, 0.0], [100.0, 0.0], [0.0, 0.0]]
    assert way["properties"]["pipe_ids"] == ["w2", "w1"]
    assert start["geometry"]["coordinates"] == [200.0, 0.0]
    assert start["properties"] == {"is": "start", "rank": 1, "node": "c", "leak": 1}
    assert document["crs"] == "LOCAL"


def test_a_street_without_coordinates_has_no_geometry(
    recorded_run: LeakRun, model: NetworkModel, network: Network
) -> None:
    nowhere = replace(model, node_xy=np.full((len(PLACES), 2), np.nan))
    streets = walked(recorded_run, nowhere, {"w1": 1.0})
    document = json.loads(walk_geojson(recorded_run, streets, network, nowhere))
    assert [one["geometry"] for one in document["features"]] == [None, None]
