from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api.cli import run
from api.graphql.context import Context, Services
from api.graphql.running import execute
from api.home import Home

ROOT = Path(__file__).parents[2]
QUERY = (ROOT / "docs" / "queries" / "20-water-balances.graphql").read_text("utf-8")
INP = """
[JUNCTIONS]
A 10 2
B 12 3
[RESERVOIRS]
R 70
[PIPES]
IN R A 50 300 120 0 Open
AB A B 500 150 120 0 Open
[OPTIONS]
Units LPS
Headloss H-W
[TIMES]
Duration 24:00
[END]
"""
TAGS = """
time_zone: +08:00
tags:
- {tag: in, asset: "link:IN", quantity: flow, unit: L/s}
- {tag: a, asset: "node:A", quantity: pressure, unit: m}
- {tag: b, asset: "node:B", quantity: pressure, unit: m}
"""
DAY = ["--from", "2024-03-12T00:00:00+08:00", "--to", "2024-03-13T00:00:00+08:00"]
FACTS: dict[str, tuple[float, str]] = {
    "billed_metered": (750, "m3"),
    "billed_unmetered": (0, "m3"),
    "unbilled_metered": (0, "m3"),
    "unbilled_unmetered": (4, "m3"),
    "unauthorised_consumption": (2, "m3"),
    "metering_inaccuracy": (8, "m3"),
    "connections": (4_000, "1"),
    "service_length": (0, "km"),
    "mains_length": (100, "km"),
    "night_use_per_connection": (1.8, "L/h"),
    "household_metered_share": (0.7, "1"),
    "outlet_pressure": (0.4, "MPa"),
    "frost_depth": (0.8, "m"),
}

Twin = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a source, two junctions, and a day of 10 L/s and 40 m."""
    folder = tmp_path_factory.mktemp("balance")
    (folder / "tiny.inp").write_text(INP)
    (folder / "tags.yaml").write_text(TAGS)
    rows = ["time,in,a,b"]
    rows += [f"2024-03-12T{i // 4:02d}:{i % 4 * 15:02d}:00+08:00,10,40,42" for i in range(96)]
    (folder / "readings.csv").write_text("\n".join(rows))
    facts = {
        name: {"value": value, "unit": unit, "margin_percent": 5, "source": "a test"}
        for name, (value, unit) in FACTS.items()
    }
    price = {"per_m3": 2.5, "currency": "CNY", "source": "tariff of 2024"}
    document = {"from": DAY[1], "to": DAY[3], "facts": facts, "price": price}
    (folder / "facts.json").write_text(json.dumps(document))
    at = ["--home", str(folder / "home")]
    assert run([*at, "import", str(folder / "tiny.inp"), "--time-zone", "+08:00"]) == 0
    ingest = ["ingest", "csv", str(folder / "readings.csv"), "--network", "tiny"]
    assert run([*at, *ingest, "--tags", str(folder / "tags.yaml")]) == 0
    return folder


@pytest.fixture
def twin(home: Path, capsys: pytest.CaptureFixture[str]) -> Twin:
    def ran(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run(["--home", str(home / "home"), *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return ran


@pytest.fixture
def balance(home: Path, twin: Twin) -> Callable[..., tuple[int, str, str]]:
    """Run `twin balance` over the day with the stated facts."""
    facts = ["--volumes", str(home / "facts.json")]
    return lambda *more: twin("balance", "--network", "tiny", *DAY, *facts, *more)


def document(balance: Twin, *more: str) -> dict[str, Any]:
    code, out, _ = balance("--json", *more)
    assert code == 0
    answer: dict[str, Any] = json.loads(out)
    return answer


def test_people_read_the_table_and_a_sentence_for_each_indicator(balance: Twin) -> None:
    code, out, _ = balance()
    assert code == 0
    assert "water balance of tiny, whole network" in out
    for said in ("864.0", "100.0 ", "Night flow (", "grade 1 of clause 5.1.2", "ILI ", "CNY a day"):
        assert said in out
    assert "assumed-flow-meter-error" in out
    assert "an indication only, for the period is no year" in out


def test_the_document_adds_up_and_names_its_evidence(balance: Twin) -> None:
    found = document(balance)
    lines = {name: one["value"] for name, one in found["lines_m3"].items()}
    assert lines["real_losses"] == pytest.approx(864 - 750 - 4 - 2 - 8)
    assert lines["non_revenue_water"] == pytest.approx(864 - 750)
    assert found["night"]["night_leakage_m3s"]["value"] == pytest.approx(0.008)
    assert found["ili"]["uarl_m3_per_day"]["value"] == pytest.approx(5 * 41)
    (flow,) = [one for one in found["inputs"] if one["of"] == "inflow"]
    assert flow["readings"]["n_readings"] == 96
    assert {"height", "index"} == found["evidence"].keys()


def test_the_second_time_it_is_the_recorded_one(balance: Twin) -> None:
    first = document(balance)
    code, out, err = balance("--json")
    assert (code, json.loads(out)) == (0, first)
    assert "were balanced before" in err


def test_a_balance_can_be_proved_by_its_id(balance: Twin, twin: Twin, home: Path) -> None:
    proof = home / "balance.proof"
    found = document(balance)
    code, out, _ = twin("evidence", found["balance_id"], "--out", str(proof), "--json")
    assert code == 0
    place = json.loads(out)
    assert {"height": place["height"], "index": place["index"]} == found["evidence"]
    assert proof.stat().st_size == place["bytes"]


def test_the_files_say_what_the_document_says(balance: Twin, tmp_path: Path) -> None:
    found = document(balance, "--out", str(tmp_path / "out"))
    assert [Path(name).name for name in found["files"]] == [
        "balance.html",
        "balance.csv",
        "inputs.csv",
    ]
    with (tmp_path / "out" / "balance.csv").open(newline="") as file:
        rows = {row["line"]: float(row["value_m3"]) for row in csv.DictReader(file)}
    assert rows == {name: one["value"] for name, one in found["lines_m3"].items()}
    page = (tmp_path / "out" / "balance.html").read_text("utf-8")
    assert found["balance_id"] in page
    assert "tariff of 2024" in page
    hashes = [one["readings"]["readings_sha256"] for one in found["inputs"] if one["readings"]]
    inputs = (tmp_path / "out" / "inputs.csv").read_text("utf-8")
    assert all(one in page and one in inputs for one in hashes)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--network", "nowhere", *DAY], 2, "no network 'nowhere'"),
        (["--network", "tiny", DAY[0], DAY[3], DAY[2], DAY[1]], 2, "not before its end"),
        (["--network", "tiny", *DAY, "--night", "2-4"], 2, "02:00-04:00"),
        (["--network", "tiny", *DAY, "--zone", "R"], 1, "is a source"),
        (["--network", "tiny", *DAY, "--zone", "Z"], 2, "'Z'"),
        (["--network", "tiny", *DAY, "--volumes", "/nowhere.toml"], 2, "/nowhere.toml"),
    ],
)
def test_what_cannot_be_balanced_is_refused_with_a_sentence(
    twin: Twin, arguments: list[str], code: int, said: str
) -> None:
    got, _, err = twin("balance", *arguments)
    assert got == code
    assert said in err
    assert err.count("\n") == 1


def test_without_stated_facts_the_findings_say_what_to_state(twin: Twin) -> None:
    code, out, _ = twin("balance", "--network", "tiny", *DAY, "--json")
    assert code == 0
    found = json.loads(out)
    assert found["lines_m3"]["system_input"]["value"] == pytest.approx(864)
    assert found["lines_m3"]["real_losses"] is None
    assert {"customers-not-metered", "not-stated"} <= {one["code"] for one in found["findings"]}


def test_graphql_gives_the_same_numbers_with_a_proof(balance: Twin, home: Path) -> None:
    found = document(balance)
    services = Services(Home(home / "home"))
    answer = execute(Context(services), QUERY, {"network": "tiny"})
    assert answer.errors is None
    assert answer.data is not None
    nodes = [edge["node"] for edge in answer.data["waterBalances"]["edges"]]
    (node,) = [one for one in nodes if one["balanceId"] == found["balance_id"]]
    lines = {one["line"]: one["volumeM3"] for one in node["lines"]}
    assert lines == found["lines_m3"]
    assert node["evidence"]["verified"] is True
    assert node["leakageRate"]["grade"] == found["cjj92"]["grade"]
    again = execute(
        Context(services),
        "query ($id: ID!) { node(id: $id) { ... on WaterBalance { balanceId } } }",
        {"id": _id_of(services, found["balance_id"])},
    )
    services.close()
    assert again.data == {"node": {"balanceId": found["balance_id"]}}


def _id_of(services: Services, balance_id: str) -> str:
    text = '{ waterBalances(network: "tiny", first: 9) { edges { node { id balanceId } } } }'
    answer = execute(Context(services), text, {})
    assert answer.data is not None
    nodes = [edge["node"] for edge in answer.data["waterBalances"]["edges"]]
    (found,) = [one["id"] for one in nodes if one["balanceId"] == balance_id]
    return str(found)
