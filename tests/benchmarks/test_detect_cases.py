"""What the cases of a watch hold: leaks that grow, sensors that lie, rates, and years made up."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest

from benchmarks.battledim_files import read_truth
from benchmarks.battledim_year import diameter_m, first_row, make_plan, write_truth
from benchmarks.detect import Outcome, lied, rate, sentence
from benchmarks.detect_world import DAY_S, GrowingLeak, behind_tanks
from hydraulics.epanet.reading import read_network
from hydraulics.network import NetworkModel

LTOWN = Path(__file__).parents[2] / "data" / "networks" / "ltown" / "network.inp"


@pytest.fixture(scope="module")
def ltown() -> NetworkModel:
    return read_network(LTOWN)


def test_a_leak_that_grows_is_half_as_large_half_way_and_ends_when_it_is_mended() -> None:
    leak = GrowingLeak(3, 0.5, 4e-3, 10 * DAY_S, 20 * DAY_S, 30 * DAY_S)
    days = (9.9, 10.0, 15.0, 20.0, 29.9, 30.0)
    assert [leak.on_m3s(day * DAY_S) for day in days] == [0.0, 0.0, 2e-3, 4e-3, 4e-3, 0.0]


def test_a_leak_that_opens_at_once_is_as_large_as_it_gets() -> None:
    leak = GrowingLeak(3, 0.5, 4e-3, 10 * DAY_S, 10 * DAY_S)
    assert leak.on_m3s(10.0 * DAY_S) == 4e-3


def test_the_tank_of_ltown_feeds_users_that_no_reservoir_reaches(ltown: NetworkModel) -> None:
    behind = behind_tanks(ltown)
    assert behind[[ltown.node_id.index(name) for name in ("n1", "n4", "n31", "T1")]].all()
    assert not behind[[ltown.node_id.index(name) for name in ("n54", "n769", "R1", "R2")]].any()


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("offset", [1.0, 2.0, 3.3, 4.3]),
        ("drift", [1.0, 2.0, 3.0, 4.05]),
        ("stuck", [1.0, 2.0, 3.0, 3.0]),
    ],
)
def test_a_sensor_tells_the_truth_until_it_lies(how: str, expected: list[float]) -> None:
    since = np.array([-2.0, -1.0, 0.0, 1.0])
    assert lied(np.array([1.0, 2.0, 3.0, 4.0]), since, how) == pytest.approx(expected)


def test_calls_count_against_the_rate_only_where_nothing_leaks() -> None:
    calm = Outcome(365, False, 2, float("nan"), False, 0, True, 7.0)
    leaking = Outcome(365, True, 5, 1.0, False, 0, True, 7.0)
    measured = rate(0.1, [calm, calm, leaking])
    assert measured["measured"] == pytest.approx(2.0)
    # Of a Poisson process of 9.15, one in twenty gives 4 or fewer: tables of its distribution.
    assert measured["at_most"] == pytest.approx(9.154 / 2.0, abs=1e-3)


def test_no_rate_is_told_where_all_leaks() -> None:
    leaking = Outcome(365, True, 5, 1.0, False, 0, True, 7.0)
    assert sentence(rate(0.1, [leaking])) == (
        "Set: 0.1 false alarms a year, a gain of 7.0. Nothing without a leak was watched."
    )


def test_the_truth_of_a_made_up_leap_year_is_read_back(ltown: NetworkModel, tmp_path: Path) -> None:
    options = argparse.Namespace(seed=4, days=366, leaks=9, year=2024)
    plan = make_plan(ltown, options)
    write_truth(tmp_path / "leak_truth.csv", ltown, plan, first_row(2024))
    leaks, _ = read_truth(tmp_path / "leak_truth.csv")
    assert [one.pipe_id for one in leaks] == [ltown.link_id[one.link] for one in plan.leaks]
    assert {one.is_incipient for one in leaks} == {False, True}
    assert all(one.end <= np.datetime64("2024-12-31T23:55:00") for one in leaks)
    # 2018 and the years to 2023 hold one leap day.
    assert plan.start_day == 6 * 365 + 1


def test_a_hole_of_two_centimetres_loses_seven_litres_a_second() -> None:
    # 0.75 x pi/4 x 0.02^2 x sqrt(2 x 9.81 x 50) = 7.38e-3
    assert diameter_m(7.38e-3) == pytest.approx(0.02, abs=1e-5)
