from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.cli import run
from api.home import Home
from api.server import build_app
from twin.instants import parse_instant

SAMPLE = Path(__file__).parents[2] / "data" / "networks" / "ltown" / "sample"
TRUTH = json.loads((SAMPLE / "truth.json").read_text())
BEFORE = [
    "--reference-from",
    "2024-03-12T16:30:00+02:00",
    "--reference-to",
    TRUTH["leaks"][0]["onset"],
]
WINDOW = ["--from", TRUTH["leaks"][0]["onset"], "--to", "2024-03-14T16:30:00+02:00"]
EMPTY = ["--from", "2023-01-01T00:00:00+02:00", "--to", "2023-01-02T00:00:00+02:00"]

Twin = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="session")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with L-Town and the three days of its sample, in which p570 leaks from day two."""
    home = tmp_path_factory.mktemp("sampled")
    inp = SAMPLE.parent / "network.inp"
    assert run(["--home", str(home), "import", str(inp), "--time-zone", "+02:00"]) == 0
    readings, tags = str(SAMPLE / "readings.csv"), str(SAMPLE / "tags.yaml")
    ingest = ["ingest", "csv", readings, "--network", "ltown", "--tags", tags]
    assert run(["--home", str(home), *ingest]) == 0
    return home


@pytest.fixture(scope="session")
def ran(sampled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the run over the day after the onset wrote its files into."""
    folder = tmp_path_factory.mktemp("ran")
    leak_run = ["leak", "run", "--network", "ltown", *WINDOW, *BEFORE, "--out", str(folder)]
    assert run(["--home", str(sampled), *leak_run]) == 0
    return folder


@pytest.fixture
def twin(sampled: Path, capsys: pytest.CaptureFixture[str]) -> Twin:
    """Run a command on the sampled home; returns exit code, standard output, standard error."""

    def ran_twin(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run(["--home", str(sampled), *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return ran_twin


@pytest.fixture
def document(ran: Path, twin: Twin) -> dict[str, Any]:
    """What the same run prints with --json; it is recorded already."""
    assert ran.is_dir()
    code, out, _ = twin("leak", "run", "--network", "ltown", *WINDOW, *BEFORE, "--json")
    assert code == 0
    answer: dict[str, Any] = json.loads(out)
    return answer


def test_the_run_is_one_json_document_with_the_promised_keys(document: dict[str, Any]) -> None:
    assert {"run_id", "candidates", "zones", "evidence"} <= document.keys()
    assert document["candidates"][0].keys() == {"pipe_id", "probability", "place", "flow_m3s"}
    assert document["zones"].keys() == {"50", "80", "90", "95"}
    assert {"height", "index"} <= document["evidence"].keys()


def test_the_server_gives_the_report_that_the_run_wrote_and_so_does_asking_again(
    document: dict[str, Any], ran: Path, sampled: Path, twin: Twin, tmp_path: Path
) -> None:
    written = (ran / "report.html").read_bytes()
    app = build_app(Home(sampled))
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        assert client.get(f"/reports/{document['run_id']}.html").content == written
    again = ["leak", "run", "--network", "ltown", *WINDOW, *BEFORE, "--out", str(tmp_path)]
    assert twin(*again)[0] == 0
    assert (tmp_path / "report.html").read_bytes() == written


def test_probabilities_sum_to_one_and_fall(document: dict[str, Any]) -> None:
    shares = [one["probability"] for one in document["candidates"]]
    assert sum(shares) == pytest.approx(1.0, abs=1e-9)
    assert shares == sorted(shares, reverse=True)
    assert all(0 <= one["place"] <= 1 for one in document["candidates"])


def test_each_zone_is_the_fewest_pipes_that_reach_its_probability(document: dict[str, Any]) -> None:
    shares = {one["pipe_id"]: one["probability"] for one in document["candidates"]}
    for level, pipes in document["zones"].items():
        reached = [shares[pipe] for pipe in pipes]
        assert sum(reached) >= int(level) / 100 - 1e-9
        assert sum(reached[:-1]) < int(level) / 100


def test_the_zone_holds_the_true_pipe(document: dict[str, Any]) -> None:
    (truth,) = TRUTH["leaks"]
    assert truth["pipe_id"] in document["zones"]["90"]


def test_the_outflow_is_about_the_true_one(document: dict[str, Any]) -> None:
    (truth,) = TRUTH["leaks"]
    assert document["flow_low_m3s"] < truth["flow_m3s"] * 1.2
    assert document["flow_high_m3s"] > truth["flow_m3s"] * 0.8


def test_the_same_inputs_give_the_recorded_run_and_no_second_one(
    document: dict[str, Any], twin: Twin
) -> None:
    code, out, err = twin("leak", "run", "--network", "ltown", *WINDOW, *BEFORE, "--json")
    assert code == 0
    assert json.loads(out) == document
    assert "were run before" in err
    listed = json.loads(twin("leak", "runs", "--json")[1])["runs"]
    assert [one["run_id"] for one in listed].count(document["run_id"]) == 1


def test_the_files_say_what_the_document_says(document: dict[str, Any], ran: Path) -> None:
    with (ran / "candidates.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["pipe_id"] for row in rows] == [one["pipe_id"] for one in document["candidates"]]
    zone = json.loads((ran / "zone.geojson").read_text())
    pipes = [one["id"] for one in zone["features"] if one["geometry"]["type"] == "LineString"]
    assert pipes == document["zones"]["95"]
    assert zone["crs"] == "LOCAL"
    assert document["run_id"] in (ran / "report.html").read_text()


def test_people_get_the_top_ten_and_how_sure_it_is(ran: Path, twin: Twin) -> None:
    assert ran.is_dir()
    code, out, _ = twin("leak", "run", "--network", "ltown", *WINDOW, *BEFORE)
    assert code == 0
    assert "the most probable pipes" in out
    assert "With 90 % probability the leak is on" in out


def test_the_walk_covers_the_widest_zone_and_its_table_says_the_same(
    document: dict[str, Any], ran: Path
) -> None:
    pipes = [pipe for street in document["walk"] for pipe in street["pipe_ids"]]
    assert sorted(pipes) == sorted(document["zones"]["95"])
    assert document["walk"][-1]["reached"] >= 0.95
    with (ran / "walk.csv").open(newline="") as file:
        assert [row["pipe_id"] for row in csv.DictReader(file)] == pipes
    drawn = json.loads((ran / "walk.geojson").read_text())["features"]
    streets = [one["properties"] for one in drawn if one["properties"]["is"] == "street"]
    assert [one["pipe_ids"] for one in streets] == [one["pipe_ids"] for one in document["walk"]]


def test_a_price_turns_the_volume_of_a_day_into_money(document: dict[str, Any], twin: Twin) -> None:
    volume = document["loss_per_day"]["volume_m3"]
    assert volume["low"] == pytest.approx(document["flow_low_m3s"] * 86_400)
    assert document["loss_per_day"]["cost"] is None
    price = ["--price-per-m3", "0.8", "--currency", "EUR"]
    asked = ["leak", "run", "--network", "ltown", *WINDOW, *BEFORE, *price]
    cost = json.loads(twin(*asked, "--json")[1])["loss_per_day"]["cost"]
    assert cost["likely"] == pytest.approx(0.8 * volume["likely"])
    assert cost["price"]["currency"] == "EUR"
    said = twin(*asked)[1]
    assert "EUR a day at 0.8 EUR per m³ (as given)" in said
    assert "Begin at node " in said


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([*WINDOW, *BEFORE, "--price-per-m3", "0.8"], 2, "its currency, such as EUR"),
        ([*WINDOW, *BEFORE, "--currency", "EUR"], 2, "needs a price per m³"),
        (EMPTY, 1, "no usable pressure reading"),
        ([*WINDOW, "--reference-from", EMPTY[1], "--reference-to", EMPTY[3]], 1, "no usable"),
        (["--from", WINDOW[3], "--to", WINDOW[1]], 2, "not before its end"),
        ([*WINDOW, "--reference-from", WINDOW[1], "--reference-to", WINDOW[3]], 2, "overlaps"),
        ([*WINDOW, "--reference-from", EMPTY[1]], 2, "both --reference-from and --reference-to"),
        (["--from", "2024-03-13 16:30", "--to", WINDOW[3]], 2, "with an offset"),
    ],
)
def test_windows_that_cannot_be_run_are_refused_with_a_sentence(
    twin: Twin, arguments: list[str], code: int, said: str
) -> None:
    assert twin("leak", "run", "--network", "ltown", *arguments)[::2][0] == code
    assert said in twin("leak", "run", "--network", "ltown", *arguments)[2]


def test_the_onset_of_the_sample_is_found_within_hours(twin: Twin) -> None:
    code, out, _ = twin("leak", "detect", "--network", "ltown", "--json")
    (onset,) = json.loads(out)["onsets"]
    late_s = (parse_instant(onset["at"]) - parse_instant(TRUTH["leaks"][0]["onset"])) / 1e9
    assert code == 0
    assert abs(late_s) <= 3 * 3_600
    assert onset["evidence"].keys() == {"height", "index"}


def test_the_command_that_detect_names_next_runs_as_it_stands(twin: Twin) -> None:
    _, out, _ = twin("leak", "detect", "--network", "ltown")
    (command,) = [line for line in out.splitlines() if line.startswith("next: twin ")]
    arguments = command.removeprefix("next: twin ").split()
    assert arguments[-1] == "2024-03-14T21:56:00Z"  # the minute after the last reading
    assert twin(*arguments, "--leaks", "1")[0] == 0


def test_an_unknown_network_is_named(twin: Twin) -> None:
    code, _, err = twin("leak", "run", "--network", "atlantis", *WINDOW)
    assert code == 2
    assert "atlantis" in err


def test_a_refused_run_writes_no_files(twin: Twin, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    twin("leak", "run", "--network", "ltown", *EMPTY, "--out", str(folder))
    assert not folder.exists()


def test_the_book_is_kept_by_confirm_and_repair(
    document: dict[str, Any], sampled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "copy"
    shutil.copytree(sampled, home)

    def said(*arguments: str) -> dict[str, Any]:
        capsys.readouterr()
        assert run(["--home", str(home), *arguments, "--json"]) == 0
        answer: dict[str, Any] = json.loads(capsys.readouterr().out)
        return answer

    run_id, (truth,) = document["run_id"], TRUTH["leaks"]
    confirmed = said("leak", "confirm", run_id, truth["pipe_id"], "--by", "crew 4")
    assert (confirmed["pipe_id"], confirmed["confirmed_by"]) == (truth["pipe_id"], "crew 4")
    assert said("leak", "book")["leaks"] == [confirmed]
    states = {one["run_id"]: one["state"] for one in said("leak", "runs")["runs"]}
    assert states[run_id] == "confirmed"
    assert said("leak", "repair", run_id, "--at", WINDOW[3])["repaired"] == "2024-03-14T14:30:00Z"
    states = {one["run_id"]: one["state"] for one in said("leak", "runs")["runs"]}
    assert states[run_id] == "repaired"


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["leak", "confirm", "leak-none", "p570"], 2, "leak-none"),
        (["leak", "repair", "leak-none", "--at", WINDOW[3]], 2, "leak-none"),
        (["leak", "repair", "leak-none", "--at", "yesterday"], 2, "offset"),
    ],
)
def test_the_book_refuses_with_a_sentence(
    twin: Twin, arguments: list[str], code: int, word: str
) -> None:
    got, _, err = twin(*arguments)
    assert got == code
    assert word in err


def test_a_run_says_by_itself_that_one_leak_is_enough(document: dict[str, Any]) -> None:
    assert sum(document["number_of_leaks"]) == pytest.approx(1.0)
    assert document["second_leak_is_evident"] is False
    (only,) = document["several"]
    assert only["pipe_id"] in only["zone_90"]
    assert TRUTH["leaks"][0]["pipe_id"] in only["zone_90"]


def test_the_table_of_several_leaks_is_the_one_that_the_record_names(
    ran: Path, document: dict[str, Any]
) -> None:
    digest = hashlib.sha256((ran / "several.csv").read_bytes()).hexdigest()
    assert f"sha256 {digest}" in (ran / "report.html").read_text()
    rows = list(csv.DictReader((ran / "several.csv").open(newline="")))
    assert {row["leak"] for row in rows} == {"1"}
    zone_90 = document["several"][0]["zone_90"]
    assert [row["pipe_id"] for row in rows][: len(zone_90)] == zone_90
    drawn = json.loads((ran / "several.geojson").read_text())["features"]
    pipes = [one["properties"]["pipe_id"] for one in drawn if "zone" in one["properties"]]
    assert pipes == [row["pipe_id"] for row in rows]


def test_a_run_for_one_leak_alone_says_how_to_ask_for_more(twin: Twin) -> None:
    asked = ("leak", "run", "--network", "ltown", *WINDOW, *BEFORE, "--leaks", "1")
    code, out, _ = twin(*asked)
    assert code == 0
    assert "was not asked; ask with --leaks auto" in " ".join(out.split())
    assert json.loads(twin(*asked, "--json")[1])["several"] is None


def test_a_number_of_leaks_that_cannot_be_looked_for_is_refused(twin: Twin) -> None:
    code, _, said = twin("leak", "run", "--network", "ltown", *WINDOW, "--leaks", "many")
    assert code == 2
    assert "give a number from 1 to 4, or auto" in said
