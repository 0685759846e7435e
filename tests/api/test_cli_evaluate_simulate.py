"""`twin simulate`, `twin ingest` and `twin evaluate`, one after the other, as people type them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from api.cli import run

NETWORK = Path(__file__).parents[2] / "data/networks/cycle"
ONSET = "2024-03-13T12:00:00Z"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    assert run(["--home", str(home), "import", str(NETWORK), "--network", "town"]) == 0
    return home


def pipe_of(network: Path) -> str:
    section = network.joinpath("network.inp").read_text().partition("[PIPES]")[2]
    rows = (row.split() for row in section.splitlines() if row.strip() and ";" not in row[:1])
    return next(row[0] for row in rows)


def simulated(home: Path, out: Path, *more: str) -> int:
    leak = f"{pipe_of(NETWORK)}:1@{ONSET}"
    wanted = ["simulate", "--network", "town", "--leak", leak, "--days", "2", "--seed", "3"]
    return run(["--home", str(home), *wanted, "--out", str(out), *more])


def printed(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    document = json.loads(capsys.readouterr().out)
    assert isinstance(document, dict)
    return document


def test_what_is_simulated_is_ingested_and_judged_once(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert simulated(home, out) == 0
    capsys.readouterr()
    files = [str(out / "readings.csv"), "--tags", str(out / "tags.yaml")]
    ingest = ["ingest", "csv", *files, "--network", "town", "--json"]
    assert run(["--home", str(home), *ingest]) == 0
    assert printed(capsys)["evaluations"] >= 2  # a batch of pressures and one of chlorine
    assert run(["--home", str(home), "evaluate", "--network", "town", "--json"]) == 0
    again = printed(capsys)
    assert again["recorded"] == 0
    assert again["evaluations"] == []


def test_the_truth_is_printed_as_one_document(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert simulated(home, tmp_path / "out", "--json") == 0
    document = printed(capsys)
    assert document["truth"]["leaks"][0]["pipe_id"] == pipe_of(NETWORK)
    assert document["readings"] == 2 * 288 * document["tags"]


def test_a_network_that_is_not_there_is_named(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--days", "1", "--seed", "1", "--out", str(tmp_path / "out"), "--start", ONSET]
    for command in (["simulate", *asked], ["evaluate"]):
        assert run(["--home", str(home), *command, "--network", "nowhere"]) == 2
        assert "nowhere" in capsys.readouterr().err


def test_a_leak_spelled_wrong_leaves_with_2_and_a_sentence(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    asked = ["--days", "1", "--seed", "1", "--out", str(out), "--leak", "P1:2"]
    assert run(["--home", str(home), "simulate", "--network", "town", *asked]) == 2
    assert "write PIPE:FLOW_LS@T" in capsys.readouterr().err
    assert not out.exists()


def test_a_window_without_an_offset_leaves_with_2(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    window = ["--from", "2024-03-13T12:00:00"]
    assert run(["--home", str(home), "evaluate", "--network", "town", *window]) == 2
    assert "offset" in capsys.readouterr().err
