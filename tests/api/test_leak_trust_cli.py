"""`twin leak accuracy` and `twin leak coverage`, as people type them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api.cli import run

NETWORK = Path(__file__).parents[2] / "data/networks/cycle"
START = "2024-03-12T00:00:00Z"
DAY = ["--from", START, "--to", "2024-03-13T00:00:00Z"]
EMPTY = ["--from", "2023-01-01T00:00:00Z", "--to", "2023-01-02T00:00:00Z"]

Twin = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a town, a simulated leak-free day of it, and a town without readings."""
    folder = tmp_path_factory.mktemp("trust")
    at, out = ["--home", str(folder / "home")], str(folder / "out")
    assert run([*at, "import", str(NETWORK), "--network", "town"]) == 0
    assert run([*at, "import", str(NETWORK), "--network", "mute"]) == 0
    wanted = ["simulate", "--network", "town", "--days", "1", "--seed", "3", "--start", START]
    assert run([*at, *wanted, "--out", out]) == 0
    files = [f"{out}/readings.csv", "--tags", f"{out}/tags.yaml"]
    assert run([*at, "ingest", "csv", *files, "--network", "town"]) == 0
    return folder / "home"


@pytest.fixture
def twin(home: Path, capsys: pytest.CaptureFixture[str]) -> Twin:
    """Run a command; returns exit code, standard output, standard error."""

    def ran(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run(["--home", str(home), "leak", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return ran


def document(twin: Twin, *arguments: str) -> dict[str, Any]:
    code, out, _ = twin(*arguments, "--json")
    assert code == 0
    answer: dict[str, Any] = json.loads(out)
    return answer


def test_accuracy_says_a_sentence_a_sensor_and_what_it_was_computed_from(twin: Twin) -> None:
    code, out, _ = twin("accuracy", "--network", "town", *DAY)
    answer = document(twin, "accuracy", "--network", "town", *DAY)
    assert code == 0
    assert answer["sensors"]
    for one in answer["sensors"]:
        assert one["sentence"] in out
        assert one["grade"] in {"good", "fair", "poor", "rejected"}
        assert (one["reason"] is None) is (one["grade"] != "rejected")
    assert answer["readings_sha256"] in out
    assert answer["inp_sha256"] in out
    assert answer["window"] == {"from": START, "to": "2024-03-13T00:00:00Z"}


def test_a_network_imported_with_another_clock_than_its_readings_is_told_so(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at = ["--home", str(tmp_path / "home")]
    east = ["--network", "town", "--time-zone", "+05:00"]
    assert run([*at, "import", str(NETWORK), *east]) == 0
    out = home.parent / "out"
    files = [str(out / "readings.csv"), "--tags", str(out / "tags.yaml")]
    assert run([*at, "ingest", "csv", *files, "--network", "town"]) == 0
    capsys.readouterr()
    assert run([*at, "leak", "accuracy", "--network", "town", *DAY, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["hours_late"] == 5
    assert run([*at, "leak", "accuracy", "--network", "town", *DAY]) == 0
    said = capsys.readouterr().out
    assert "The network takes its water 5 hours later than its model: look at the time zone" in said


def test_a_network_with_the_clock_of_its_readings_is_told_nothing(twin: Twin) -> None:
    assert document(twin, "accuracy", "--network", "town", *DAY)["hours_late"] == 0
    assert "hours" not in twin("accuracy", "--network", "town", *DAY)[1]


def test_accuracy_takes_the_leak_free_day_by_itself_and_writes_its_table(
    twin: Twin, tmp_path: Path
) -> None:
    answer = document(twin, "accuracy", "--network", "town", "--out", str(tmp_path))
    assert answer["window"]["from"] == START
    assert answer["files"] == [str(tmp_path / "accuracy.csv")]
    with (tmp_path / "accuracy.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["tag"] for row in rows] == [one["tag"] for one in answer["sensors"]]


def test_coverage_tells_shares_zones_and_next_sensors_and_writes_its_files(
    twin: Twin, tmp_path: Path
) -> None:
    asked = ["coverage", "--network", "town", "--flow-ls", "1,5", "--next", "2"]
    code, out, _ = twin(*asked, "--out", str(tmp_path))
    answer = document(twin, *asked)
    assert code == 0
    assert [one["flow_m3s"] for one in answer["sizes"]] == [0.001, 0.005]
    small, large = answer["sizes"]
    assert small["missed_share"] >= large["missed_share"]
    first, second = answer["next_sensors"]
    assert first["expected_zone_m"] - second["expected_zone_m"] == pytest.approx(second["gain_m"])
    assert f"1. A sensor at node {first['node_id']}" in out
    assert "A leak of 5 L/s would" in out
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"coverage.html", "coverage.csv", "coverage.geojson"}


def test_a_network_without_readings_is_covered_by_the_sensors_that_are_given(twin: Twin) -> None:
    known = document(twin, "coverage", "--network", "town", "--flow-ls", "2")["sensors"]
    answer = document(twin, "coverage", "--network", "mute", "--sensors", ",".join(known))
    assert answer["sensors"] == known
    assert "assumed" in answer["meters_said"]
    assert len(answer["sizes"]) == 3


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["accuracy", "--network", "atlantis"], 2, "no network 'atlantis'"),
        (["accuracy", "--network", "mute"], 1, "no pressure reading"),
        (["accuracy", "--network", "town", *EMPTY], 1, "no usable pressure reading"),
        (["accuracy", "--network", "town", *EMPTY[:2]], 2, "both --from and --to"),
        (["accuracy", "--network", "town", *DAY[2:], "--from", EMPTY[3][:10]], 2, "offset"),
        (["coverage", "--network", "atlantis"], 2, "no network 'atlantis'"),
        (["coverage", "--network", "town", "--sensors", "nowhere"], 2, "no junction 'nowhere'"),
        (["coverage", "--network", "town", "--flow-ls", "much"], 2, "litres a second"),
        (["coverage", "--network", "town", "--flow-ls", "0,1"], 2, "1 to 8 sizes"),
        (["coverage", "--network", "town", "--next", "99"], 2, "20"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_one_sentence(
    twin: Twin, arguments: list[str], code: int, said: str
) -> None:
    got, out, err = twin(*arguments)
    assert got == code
    assert out == ""
    assert said in err
    assert len(err.strip().splitlines()) == 1
