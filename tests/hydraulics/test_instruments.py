"""Where instruments stand: what the file marks, or a spread that is the same on every machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydraulics.epanet.instruments import choose_instruments
from hydraulics.spread import farthest_points

NETWORKS = Path(__file__).parents[2] / "data/networks"


def test_l_town_marks_33_pressure_sensors_a_tank_and_three_flows(tmp_path: Path) -> None:
    found = choose_instruments(NETWORKS / "ltown/network.inp", tmp_path)
    assert len(found.pressure_nodes) == 33  # BattLeDIM 2020
    assert {"n1", "n54", "n105", "n769"} <= set(found.pressure_nodes)
    assert found.level_tanks == ("T1",)
    assert found.flow_links == ("p227", "p235", "PUMP_1")
    assert found.outlet_node == "n303"  # behind reservoir R1 and pipe p227
    assert len(found.end_nodes) == 4


def test_net3_marks_none_so_a_spread_its_tanks_and_its_sources_are_chosen(tmp_path: Path) -> None:
    found = choose_instruments(NETWORKS / "net3/network.inp", tmp_path)
    assert len(found.pressure_nodes) == len(set(found.pressure_nodes)) == 12
    assert found.level_tanks == ("1", "2", "3")
    assert set(found.flow_links) == {"60", "10"}  # River and Lake, though Lake's pump is closed
    assert found == choose_instruments(NETWORKS / "net3/network.inp", tmp_path)


def chain(n: int) -> tuple[np.ndarray, np.ndarray]:
    ends = np.array([(i, i + 1) for i in range(n)], dtype=np.int64)
    return ends, np.full(n, 10.0)


def test_on_a_line_the_far_end_comes_first_then_the_middle() -> None:
    ends, length_m = chain(8)
    assert farthest_points(ends, length_m, [0], range(9), 3) == [8, 4, 2]


def test_of_parallel_links_the_shortest_counts() -> None:
    ends = np.array([(0, 1), (1, 0), (0, 2)], dtype=np.int64)
    length_m = np.array([100.0, 1.0, 50.0])
    assert farthest_points(ends, length_m, [0], [1, 2], 1) == [2]


def test_what_no_source_reaches_is_not_chosen() -> None:
    ends = np.array([(0, 1), (2, 3)], dtype=np.int64)
    assert farthest_points(ends, np.array([5.0, 5.0]), [0], [1, 2, 3], 9) == [1]


@given(st.integers(2, 30), st.integers(1, 40))
def test_no_point_is_chosen_twice_and_no_seed_at_all(n: int, wanted: int) -> None:
    ends, length_m = chain(n)
    chosen = farthest_points(ends, length_m, [0], range(n + 1), wanted)
    assert len(chosen) == len(set(chosen)) == min(wanted, n)
    assert 0 not in chosen


def test_pumps_and_valves_have_no_length_and_still_join() -> None:
    ends, length_m = chain(3)
    length_m[1] = 0.0
    assert farthest_points(ends, length_m, [0], range(4), 1) == [3]
    assert farthest_points(ends, length_m, [0], [2], 1) == pytest.approx([2])
