"""A network's intake tells whether its readings and its model have the same clock."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.leak_cases import World, make_case
from hydraulics.epanet.reading import read_network
from hydraulics.leaks.hours import hours_late
from hydraulics.leaks.measurements import Measurements
from hydraulics.network import NetworkModel

LTOWN = Path(__file__).parents[2] / "data" / "networks" / "ltown" / "network.inp"


@pytest.fixture(scope="module")
def model() -> NetworkModel:
    return read_network(LTOWN)


@pytest.fixture(scope="module")
def seen(model: NetworkModel) -> Measurements:
    """Two days of L-Town, its truth other than its model as in the benchmarks."""
    case = make_case(LTOWN, model, ["n1", "n105"], World(step_s=1_800), seed=5)
    assert case is not None
    return case.seen


@pytest.mark.parametrize("late_h", [0, 2, 8, -5])
def test_readings_by_another_clock_are_told_by_the_hour(
    model: NetworkModel, seen: Measurements, late_h: int
) -> None:
    shifted = replace(seen, model_time_s=seen.model_time_s + 3_600.0 * late_h)
    assert hours_late(LTOWN, model, shifted) == late_h


def test_nothing_is_told_where_a_source_has_no_meter(
    model: NetworkModel, seen: Measurements
) -> None:
    unmetered = replace(seen, flow_link=seen.flow_link[:1], flow_m3s=seen.flow_m3s[:, :1])
    assert hours_late(LTOWN, model, unmetered) is None


def test_nothing_is_told_where_a_tank_has_no_gauge(model: NetworkModel, seen: Measurements) -> None:
    ungauged = replace(seen, tank_node=seen.tank_node[1:], tank_level_m=seen.tank_level_m[:, 1:])
    assert hours_late(LTOWN, model, ungauged) is None


def test_half_a_day_tells_nothing(model: NetworkModel, seen: Measurements) -> None:
    is_read = seen.model_time_s < seen.model_time_s[0] + 43_200.0
    half = replace(seen, flow_m3s=np.where(is_read[:, None], seen.flow_m3s, np.nan))
    assert hours_late(LTOWN, model, half) is None


def test_an_intake_that_follows_no_demands_tells_nothing(
    model: NetworkModel, seen: Measurements
) -> None:
    noise = np.random.default_rng(1).normal(0.5, 0.2, seen.flow_m3s.shape)
    assert hours_late(LTOWN, model, replace(seen, flow_m3s=noise)) is None
