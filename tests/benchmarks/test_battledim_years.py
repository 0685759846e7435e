"""A year that is like no year before: other instruments, other hours, days that are not there."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.battledim import (
    Work,
    days_of,
    gather,
    is_still,
    joined,
    known_pipes,
    repairs_on,
    with_columns_of,
    without_broken,
)
from benchmarks.battledim_files import BadFileError, Repair, Year
from hydraulics.epanet.reading import read_network

LTOWN = Path(__file__).parents[2] / "data" / "networks" / "ltown" / "network.inp"
DAY_ROWS = 288


def year_from(start: str, n_rows: int, pressures: tuple[str, ...] = ("n1", "n4")) -> Year:
    time = np.datetime64(start, "s") + np.arange(n_rows) * np.timedelta64(300, "s")
    draw = np.random.default_rng(4)
    return Year(
        time=time,
        model_time_s=(time - np.datetime64("2018-01-01", "s")) / np.timedelta64(1, "s"),
        pressure_nodes=pressures,
        pressure_m=draw.uniform(20.0, 60.0, (n_rows, len(pressures))),
        flow_links=("p227",),
        flow_m3s=draw.uniform(0.01, 0.03, (n_rows, 1)),
        tanks=("T1",),
        level_m=draw.uniform(2.0, 4.0, (n_rows, 1)),
        demand_nodes=("n2", "n3"),
        demand_m3s=draw.uniform(0.0, 1e-4, (n_rows, 2)),
    )


def test_days_end_at_midnight_though_the_year_begins_at_noon() -> None:
    day = days_of(year_from("2020-02-28 12:00", 2 * DAY_ROWS))
    assert [int((day == n).sum()) for n in range(3)] == [DAY_ROWS // 2, DAY_ROWS, DAY_ROWS // 2]


def test_the_29th_of_february_is_a_day() -> None:
    year = year_from("2020-02-28", 3 * DAY_ROWS)
    work = Work(year, 0, (Repair("p31", np.datetime64("2020-02-29T10:00", "s")),))
    assert [len(repairs_on(work, day)) for day in range(3)] == [0, 1, 0]


def test_a_year_whose_columns_stand_otherwise_goes_on_from_its_history() -> None:
    history = year_from("2021-12-31", DAY_ROWS, ("n1", "n4", "n31"))
    year = year_from("2022-01-01", DAY_ROWS, ("n31", "n1", "n54"))
    both = joined(history, with_columns_of(year, history))
    assert both.pressure_nodes == ("n1", "n4", "n31")
    np.testing.assert_array_equal(both.pressure_m[DAY_ROWS:, 0], year.pressure_m[:, 1])
    np.testing.assert_array_equal(both.pressure_m[DAY_ROWS:, 2], year.pressure_m[:, 0])
    assert np.isnan(both.pressure_m[DAY_ROWS:, 1]).all()


def test_a_sensor_at_nothing_or_at_one_value_all_day_is_not_believed() -> None:
    year = year_from("2022-01-01", 3 * DAY_ROWS)
    broken = year.pressure_m.copy()
    broken[10:20, 0] = 0.0
    broken[DAY_ROWS : 2 * DAY_ROWS, 1] = 41.5
    kept = np.isfinite(without_broken(replace(year, pressure_m=broken)).pressure_m)
    assert np.flatnonzero(~kept[:, 0]).tolist() == list(range(10, 20))
    assert np.flatnonzero(~kept[:, 1]).tolist() == list(range(DAY_ROWS, 2 * DAY_ROWS))


def test_half_a_day_at_one_value_may_be_a_valve_that_holds() -> None:
    values = np.concatenate([np.full(DAY_ROWS // 2, 40.0), np.arange(10.0)])
    assert not is_still(values).any()


def test_a_folder_of_a_month_is_refused(tmp_path: Path) -> None:
    time = pd.date_range("2022-01-01", periods=30 * DAY_ROWS, freq="5min", name="Timestamp")
    columns = {"pressures": "n1", "flows": "p227", "levels": "T1", "demands": "n2"}
    for kind, name in columns.items():
        pd.DataFrame({name: np.arange(len(time)) % 7 + 1.0}, time).to_parquet(
            tmp_path / f"{kind}.parquet"
        )
    options = argparse.Namespace(data=tmp_path, days=None, history=None, repairs=None)
    with pytest.raises(BadFileError, match="no day after the 30"):
        gather(options)


def test_a_repair_is_of_a_pipe() -> None:
    pipes = known_pipes(read_network(LTOWN))
    assert "p31" in pipes
    assert "PUMP_1" not in pipes
