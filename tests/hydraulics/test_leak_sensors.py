"""Readings that cannot be believed, before the network is asked."""

from __future__ import annotations

import numpy as np
import pytest

from hydraulics.leaks.measurements import Measurements
from hydraulics.leaks.sensors import check_sensors
from hydraulics.network import FloatArray

N_TIMES, N_SENSORS = 96, 4


def readings() -> FloatArray:
    draw = np.random.default_rng(4)
    day = 50.0 + np.sin(np.linspace(0.0, 2.0 * np.pi, N_TIMES))
    return np.asarray(day[:, None] + draw.normal(0.0, 0.02, (N_TIMES, N_SENSORS)))


def seen(pressure: FloatArray) -> Measurements:
    none, nodes = np.empty((len(pressure), 0)), np.empty(0, dtype=np.int64)
    times = 900.0 * np.arange(len(pressure))
    return Measurements(
        model_time_s=times,
        is_reference=times < times.mean(),
        pressure_node=np.arange(pressure.shape[1]),
        pressure_m=pressure,
        flow_link=nodes,
        flow_m3s=none,
        tank_node=nodes,
        tank_level_m=none,
        demand_node=nodes,
        demand_m3s=none,
    )


def test_readings_of_sensors_that_work_are_all_kept() -> None:
    pressure, left = check_sensors(seen(readings()))
    assert np.array_equal(pressure, readings())
    assert left == []


@pytest.mark.parametrize("missing", [(), (3,), (39, 41, 60)])
@pytest.mark.parametrize("at", [2, 40, N_TIMES - 3])
def test_a_single_reading_far_from_its_neighbours_is_taken_out_alone(
    at: int, missing: tuple[int, ...]
) -> None:
    given = readings()
    given[list(missing), 2] = np.nan
    given[at, 2] += 30.0
    pressure, left = check_sensors(seen(given))
    given[at, 2] = np.nan
    assert np.array_equal(pressure, given, equal_nan=True)
    assert [(one.sensor, one.n_times, one.is_whole) for one in left] == [(2, 1, False)]
    assert "spikes" in left[0].reason


def test_a_step_is_no_spike() -> None:
    given = readings()
    given[50:, 1] += 20.0
    assert check_sensors(seen(given))[1] == []


def test_a_long_stretch_at_one_value_is_taken_out_and_a_short_one_is_not() -> None:
    given = readings()
    given[10:30, 0], given[10:60, 3] = given[10, 0], given[10, 3]
    pressure, left = check_sensors(seen(given))
    assert np.isnan(pressure[10:60, 3]).all()
    assert np.isfinite(np.delete(pressure, np.s_[10:60], axis=0)).all()
    assert [(one.sensor, one.n_times) for one in left] == [(3, 50)]


def test_sensors_that_are_silent_or_stuck_are_taken_out_whole_in_their_order() -> None:
    given = readings()
    given[:, 0], given[N_TIMES // 2 :, 3] = 47.0, np.nan
    pressure, left = check_sensors(seen(given))
    assert np.isnan(pressure[:, [0, 3]]).all()
    assert [(one.sensor, one.n_times, one.is_whole) for one in left] == [
        (0, N_TIMES, True),
        (3, N_TIMES, True),
    ]


def test_nothing_is_stuck_where_all_stand_still() -> None:
    given = np.full((N_TIMES, N_SENSORS), 47.0)
    pressure, left = check_sensors(seen(given))
    assert np.array_equal(pressure, given)
    assert left == []
