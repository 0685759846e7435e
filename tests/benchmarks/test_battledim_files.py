"""A BattLeDIM year is read from columns and from the files of the competition alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.battledim_files import (
    BadFileError,
    find_file,
    read_repairs,
    read_table,
    read_truth,
    read_year,
)

START = pd.Timestamp("2019-01-01")
COLUMNS = {
    "pressures": ["n1", "n4"],
    "flows": ["p227", "PUMP_1"],
    "levels": ["T1"],
    "demands": ["n2", "n3", "n6"],
}


def frames(n: int = 12) -> dict[str, pd.DataFrame]:
    """Return a made-up hour of each kind, whose numbers have two decimals."""
    draw = np.random.default_rng(3)
    time = pd.date_range(START, periods=n, freq="5min", name="Timestamp")
    return {
        kind: pd.DataFrame(draw.uniform(0, 90, (n, len(names))).round(2), time, names)
        for kind, names in COLUMNS.items()
    }


def write_parquet(folder: Path, tables: dict[str, pd.DataFrame]) -> Path:
    folder.mkdir()
    for kind, table in tables.items():
        table.to_parquet(folder / f"{kind}.parquet")
    return folder


def write_official(folder: Path, tables: dict[str, pd.DataFrame], year: int = 2019) -> Path:
    folder.mkdir(exist_ok=True)
    for kind, table in tables.items():
        path = folder / f"{year}_SCADA_{kind.capitalize()}.csv"
        table.to_csv(path, sep=";", decimal=",", lineterminator="\r\n")
    return folder


def write_plain(folder: Path, tables: dict[str, pd.DataFrame]) -> Path:
    folder.mkdir()
    for kind, table in tables.items():
        table.to_csv(folder / f"{kind}.csv", date_format="%Y-%m-%d %H:%M")
    return folder


@pytest.mark.parametrize("write", [write_official, write_plain])
def test_each_spelling_gives_the_same_arrays(tmp_path: Path, write: Callable[..., Path]) -> None:
    tables = frames()
    one = read_year(write_parquet(tmp_path / "columns", tables))
    other = read_year(write(tmp_path / "text", tables))
    for field in fields(one):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


def test_units_become_metres_and_cubic_metres_a_second(tmp_path: Path) -> None:
    tables = frames()
    year = read_year(write_official(tmp_path / "year", tables))
    assert year.pressure_nodes == ("n1", "n4")
    np.testing.assert_allclose(year.flow_m3s * 3600, tables["flows"], rtol=1e-14)
    np.testing.assert_allclose(year.demand_m3s * 3.6e6, tables["demands"], rtol=1e-14)
    np.testing.assert_array_equal(year.level_m, tables["levels"])


def test_model_time_begins_on_the_first_monday_of_2018(tmp_path: Path) -> None:
    year = read_year(write_official(tmp_path / "year", frames()))
    assert year.model_time_s[0] == 365 * 86400
    assert np.diff(year.model_time_s).tolist() == [300.0] * 11


def test_a_missing_row_is_nan_and_keeps_its_place(tmp_path: Path) -> None:
    tables = frames()
    tables["pressures"] = tables["pressures"].drop(tables["pressures"].index[[2, 3]])
    year = read_year(write_parquet(tmp_path / "year", tables))
    assert len(year.time) == 12
    assert np.isnan(year.pressure_m).any(axis=1).nonzero()[0].tolist() == [2, 3]
    assert np.isfinite(year.flow_m3s).all()


def test_an_empty_cell_is_nan(tmp_path: Path) -> None:
    tables = frames()
    tables["flows"].iloc[4, 1] = np.nan
    year = read_year(write_official(tmp_path / "year", tables))
    assert np.argwhere(np.isnan(year.flow_m3s)).tolist() == [[4, 1]]


def test_a_download_of_two_years_asks_which(tmp_path: Path) -> None:
    folder = write_official(tmp_path / "both", frames(), 2018)
    write_official(folder, frames(3), 2019)
    with pytest.raises(BadFileError, match=r"2018_SCADA_Pressures\.csv and 2019_SCADA_Pressures"):
        read_year(folder)
    assert len(read_year(folder, 2019).time) == 3


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadFileError, match=r"no flows\.parquet or YYYY_SCADA_Flows\.csv"):
        find_file(tmp_path, "flows")
    with pytest.raises(BadFileError, match="is no folder"):
        find_file(tmp_path / "absent", "flows")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Time;n1\n2019-01-01 00:00:00;1,0\n", ":1: has no column Timestamp"),
        ("Timestamp\n2019-01-01 00:00:00\n", ":1: has no column of values"),
        ("Timestamp;n1;n1\n2019-01-01 00:00:00;1;2\n", ":1: has the column n1 twice"),
        ("Timestamp;n1\n", "has no rows"),
        ("Timestamp;n1\n2019-01-01 00:00:00;1,0\n2019-01-01 00:05:00;low\n", ":3: 'low' in column"),
        ("Timestamp;n1\n2019-01-01 00:00:00;1,0\n2019-01-01 00:05:00;1.0\n", ":3: '1.0' in column"),
        ("Timestamp;n1\n2019-01-01 00:00:00;1,0\n01/01/2019 00:05;1,0\n", ":3: '01/01/2019 00:05'"),
        ("Timestamp;n1\n2019-01-01 00:00:00;1,0\n\n2019-01-01 00:05:00;1,0\n", ":3: "),
        (
            "Timestamp;n1\n2019-01-01 00:05:00;1,0\n2019-01-01 00:00:00;1,0\n",
            ":3: 2019-01-01T00:00",
        ),
        (
            "Timestamp;n1\n2019-01-01 00:05:00;1,0\n2019-01-01 00:05:00;1,0\n",
            ":3: 2019-01-01T00:05",
        ),
        ("Timestamp;n1\n2019-01-01 00:01:00;1,0\n", ":2: 2019-01-01T00:01:00 is no whole five"),
        ("Timestamp;n1\n2019-01-01 00:00:00;1,0\n2019-01-01 00:05:00;1,0;2,0\n", ":3: has more"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_its_line(
    tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "2019_SCADA_Pressures.csv"
    path.write_text(text)
    with pytest.raises(BadFileError) as caught:
        read_table(path)
    assert str(caught.value).startswith(str(path))
    assert said in str(caught.value)


def test_a_parquet_file_out_of_order_is_refused(tmp_path: Path) -> None:
    tables = frames()
    tables["levels"] = tables["levels"].iloc[::-1]
    with pytest.raises(BadFileError, match=r"levels\.parquet:1: .* does not come after"):
        read_year(write_parquet(tmp_path / "year", tables))


def test_repairs_are_read_whatever_the_spaces(tmp_path: Path) -> None:
    path = tmp_path / "2018_fixed_leakages.txt"
    path.write_text("# linkID, endTime\n- p461, 2018-04-02 11:40\n- p31,  2018-08-12 17:30\n\n")
    repairs = read_repairs(path)
    assert [one.pipe_id for one in repairs] == ["p461", "p31"]
    assert repairs[1].at == np.datetime64("2018-08-12T17:30:00")


@pytest.mark.parametrize("line", ["p461", "- p461, tomorrow", "- p461, 2018-02-31 11:40"])
def test_a_line_that_is_no_repair_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "repairs.txt"
    path.write_text(f"# repairs\n{line}\n")
    with pytest.raises(BadFileError, match=r"repairs\.txt:2"):
        read_repairs(path)


TRUTH = "link,start,end,diameter_m,type,peak\n"


def test_the_truth_has_leaks_and_their_flows(tmp_path: Path) -> None:
    path, flows = tmp_path / "truth.csv", tmp_path / "leakages.parquet"
    path.write_text(
        TRUTH + "p1,2019-01-01 00:05:00,2019-01-01 00:20:00,0.02,incipient,2019-01-01 00:10:00\n"
    )
    time = pd.date_range(START, periods=3, freq="5min", name="Timestamp")
    pd.DataFrame({"p1": [0.0, 3.6, 7.2]}, time).to_parquet(flows)
    (leak,), table = read_truth(path, flows)
    assert (leak.pipe_id, leak.diameter_m, leak.is_incipient) == ("p1", 0.02, True)
    assert table is not None
    np.testing.assert_allclose(table.number[:, 0], [0.0, 1e-3, 2e-3])
    assert read_truth(path)[1] is None


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("p1,2019-01-02 00:00:00,2019-01-01 00:00:00,0.02,abrupt,2019-01-02 00:00:00", "follow"),
        ("p1,2019-01-01 00:00:00,2019-01-02 00:00:00,wide,abrupt,2019-01-01 00:00:00", "'wide'"),
        ("p1,2019-01-01 00:00:00,2019-01-02 00:00:00,0.02,slow,2019-01-01 00:00:00", "'slow'"),
        ("p1,2019-01-01 00:00:00", "cells"),
    ],
)
def test_a_truth_that_cannot_be_is_refused(tmp_path: Path, row: str, said: str) -> None:
    path = tmp_path / "truth.csv"
    path.write_text(TRUTH + row + "\n")
    with pytest.raises(BadFileError, match=said) as caught:
        read_truth(path)
    assert caught.value.line == 2


def test_a_leak_whose_flow_is_not_in_the_file_is_named(tmp_path: Path) -> None:
    path, flows = tmp_path / "truth.csv", tmp_path / "leakages.parquet"
    row = "p2,2019-01-01 00:05:00,2019-01-01 00:20:00,0.02,abrupt,2019-01-01 00:05:00"
    path.write_text(TRUTH + row + "\n")
    time = pd.date_range(START, periods=3, freq="5min", name="Timestamp")
    pd.DataFrame({"p1": [0.0, 3.6, 7.2]}, time).to_parquet(flows)
    with pytest.raises(BadFileError, match="no column p2"):
        read_truth(path, flows)
