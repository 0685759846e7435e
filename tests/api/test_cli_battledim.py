"""`twin ingest battledim`: the competition's files as downloaded, and a leak run on them."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from api.cli import run
from benchmarks.battledim_files import read_year
from ledger.journal import Ledger
from twin.instants import parse_instant
from twin.leaks.gathering import gather
from twin.leaks.windows import Window
from twin.networks import load_model, load_network
from twin.readings import Column

LTOWN = Path(__file__).parents[2] / "data" / "networks" / "ltown"
TRUTH = json.loads((LTOWN / "sample" / "truth.json").read_text())["leaks"][0]
OFFSET = "+02:00"
KINDS = {"pressure": "Pressures", "flow": "Flows", "level": "Levels"}
N_ROWS = 12  # of the made-up meters

Twin = Callable[..., tuple[int, str, str]]


def write_official(folder: Path, year: int = 2024) -> Path:
    """Write the sample as the competition spells it, and an hour of two meters beside it."""
    folder.mkdir(exist_ok=True)
    with (LTOWN / "sample" / "readings.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    times = [row[0].removesuffix(OFFSET).replace("T", " ") for row in rows]
    assert all(len(time) == len("2024-03-12 00:00:00") for time in times)
    for quantity, kind in KINDS.items():
        columns = [i for i, tag in enumerate(header) if tag.endswith(f".{quantity}")]
        lines = [";".join(["Timestamp", *(header[i].split(".")[0] for i in columns)])]
        for time, row in zip(times, rows, strict=True):
            lines.append(";".join([time, *(row[i].replace(".", ",") for i in columns)]))
        text = "\r\n".join(lines) + "\r\n"
        (folder / f"{year}_SCADA_{kind}.csv").write_text(text, newline="")
    meters = [f"{time};3600,0;{i},5" for i, time in enumerate(times[:N_ROWS])]
    lines = ["Timestamp;n1;n2", *meters]
    (folder / f"{year}_SCADA_Demands.csv").write_text("\r\n".join(lines), newline="")
    return folder


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_official(tmp_path_factory.mktemp("downloaded") / "BattLeDIM")


@pytest.fixture(scope="module")
def home(official: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with L-Town and the official files."""
    home = tmp_path_factory.mktemp("official")
    inp = str(LTOWN / "network.inp")
    assert (
        run(["--home", str(home), "import", inp, "--network", "ltown", "--time-zone", OFFSET]) == 0
    )
    assert (
        run(["--home", str(home), "ingest", "battledim", str(official), "--network", "ltown"]) == 0
    )
    return home


@pytest.fixture
def twin(home: Path, capsys: pytest.CaptureFixture[str]) -> Twin:
    def call(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run(["--home", str(home), *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def columns(home: Path) -> dict[str, Column]:
    ledger = Ledger.open_reader(home / "ledger")
    return {one.tag: ledger.column(one, 0, 2**62) for one in ledger.series("ltown")}


def test_each_column_becomes_the_series_that_its_file_names(home: Path) -> None:
    read = columns(home)
    assert len(read) == 33 + 3 + 1 + 2
    assert read["n1.pressure"].series.asset == read["n1.demand"].series.asset == "node:n1"
    assert read["n1.demand"].value.tolist() == pytest.approx([1e-3] * N_ROWS)  # 3600 L/h
    assert read["PUMP_1.flow"].series.asset == "link:PUMP_1"
    assert read["T1.level"].series.unit == "m"


def test_a_run_sees_what_the_files_hold(official: Path, home: Path) -> None:
    ledger = Ledger.open_reader(home / "ledger")
    network = load_network(ledger, "ltown")
    window = Window(parse_instant("2024-03-12T22:00:00Z"), parse_instant("2024-03-13T22:00:00Z"))
    seen = gather(ledger, network, load_model(ledger, network), window, None)
    year = read_year(official)
    is_day = (year.time >= np.datetime64("2024-03-13")) & (year.time < np.datetime64("2024-03-14"))
    tags = [series.tag.removesuffix(".pressure") for series in seen.pressure_series]
    order = [year.pressure_nodes.index(tag) for tag in tags]
    np.testing.assert_array_equal(seen.measurements.pressure_m, year.pressure_m[is_day][:, order])
    week_s = 7 * 86_400.0
    np.testing.assert_array_equal(
        seen.measurements.model_time_s % week_s, year.model_time_s[is_day] % week_s
    )
    assert sorted(map(tuple, seen.measurements.flow_m3s.T.round(12).tolist())) == sorted(
        map(tuple, year.flow_m3s[is_day].T.round(12).tolist())
    )


def test_a_run_on_the_official_files_finds_the_leak(twin: Twin) -> None:
    window = ["--from", TRUTH["onset"], "--to", "2024-03-13T22:30:00+02:00"]
    before = ["2024-03-12T16:30:00+02:00", "2024-03-12T22:30:00+02:00"]
    reference = ["--reference-from", before[0], "--reference-to", before[1]]
    code, out, err = twin("leak", "run", "--network", "ltown", *window, *reference, "--json")
    assert code == 0, err
    assert TRUTH["pipe_id"] in json.loads(out)["zones"]["95"]


def test_the_same_files_again_record_nothing(official: Path, twin: Twin) -> None:
    code, out, _ = twin("ingest", "battledim", str(official), "--network", "ltown", "--json")
    report = json.loads(out)
    assert (code, report["recorded"], report["rejected"]["total"]) == (0, 0, 0)
    assert report["duplicates"] == 864 * 37 + 2 * N_ROWS


def test_a_download_of_two_years_asks_which(tmp_path: Path, twin: Twin) -> None:
    folder = write_official(tmp_path / "both")
    write_official(folder, 2025)
    code, _, err = twin("ingest", "battledim", str(folder), "--network", "ltown", "--dry-run")
    assert (code, "the years 2024 and 2025; say which with --year" in err) == (2, True)
    chosen = ["--year", "2025", "--dry-run", "--json"]
    code, out, _ = twin("ingest", "battledim", str(folder), "--network", "ltown", *chosen)
    assert (code, json.loads(out)["duplicates"]) == (0, 864 * 37 + 2 * N_ROWS)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--year", "2018"], "holds no 2018_SCADA_Pressures.csv; it holds 2024"),
        (["--time-zone", "Mars"], "'Mars' is no zone"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(
    official: Path, twin: Twin, options: list[str], said: str
) -> None:
    code, _, err = twin("ingest", "battledim", str(official), "--network", "ltown", *options)
    assert code in {1, 2}
    assert said in err


def kept(folder: Path) -> dict[Path, bytes | list[str]]:
    """What a home holds: the bytes of files, and the rows of databases.

    A database's own files change by themselves when its log is folded in.
    """
    files = [path for path in folder.rglob("*") if path.is_file()]
    held: dict[Path, bytes | list[str]] = {}
    for path in files:
        if path.suffix == ".sqlite":
            with closing(sqlite3.connect(path)) as database:
                held[path] = list(database.iterdump())
        elif not path.name.endswith(("-wal", "-shm")):
            held[path] = path.read_bytes()
    return held


def test_a_file_that_does_not_fit_keeps_the_others_out_too(
    tmp_path: Path, home: Path, twin: Twin
) -> None:
    folder = write_official(tmp_path / "odd")
    path = folder / "2024_SCADA_Demands.csv"
    path.write_text(path.read_text().replace("n2", "n99999"))
    pressures = folder / "2024_SCADA_Pressures.csv"
    pressures.write_text(pressures.read_text().replace("2024-", "2023-"))
    before = kept(home)
    code, _, err = twin("ingest", "battledim", str(folder), "--network", "ltown")
    assert code == 1
    assert "n99999" in err
    assert kept(home) == before
