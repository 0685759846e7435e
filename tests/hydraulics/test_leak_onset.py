"""Which of two ways an onset is looked for: by days where there are enough, else by hours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hydraulics.epanet.reading import read_network
from hydraulics.leaks.detect import has_days
from hydraulics.leaks.measurements import Measurements
from hydraulics.network import NetworkModel

LTOWN = Path(__file__).parents[2] / "data" / "networks" / "ltown" / "network.inp"
DAY_S = 86_400.0


@pytest.fixture(scope="module")
def ltown() -> NetworkModel:
    return read_network(LTOWN)


def read_every(step_s: float, is_reference: np.ndarray) -> Measurements:
    n_rows = len(is_reference)
    nothing = np.empty(0, dtype=np.int64)
    return Measurements(
        model_time_s=np.arange(n_rows) * step_s,
        is_reference=is_reference,
        pressure_node=np.zeros(1, dtype=np.int64),
        pressure_m=np.full((n_rows, 1), 50.0),
        tank_node=nothing,
        tank_level_m=np.empty((n_rows, 0)),
        flow_link=nothing,
        flow_m3s=np.empty((n_rows, 0)),
        demand_node=nothing,
        demand_m3s=np.empty((n_rows, 0)),
    )


@pytest.mark.parametrize(("n_days", "is_enough"), [(1, False), (5, False), (6, True), (14, True)])
def test_six_days_tell_how_days_differ(
    ltown: NetworkModel, n_days: int, *, is_enough: bool
) -> None:
    is_reference = np.arange(20 * 96) < n_days * 96
    assert has_days(read_every(900.0, is_reference), ltown) is is_enough


def test_hourly_readings_tell_no_half_hours(ltown: NetworkModel) -> None:
    assert not has_days(read_every(3_600.0, np.arange(20 * 24) < 10 * 24), ltown)


def test_days_that_come_after_the_search_calibrate_nothing(ltown: NetworkModel) -> None:
    assert not has_days(read_every(900.0, np.arange(20 * 96) >= 10 * 96), ltown)


def test_days_without_any_to_search_are_no_use(ltown: NetworkModel) -> None:
    assert not has_days(read_every(900.0, np.ones(10 * 96, dtype=np.bool_)), ltown)
