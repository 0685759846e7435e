"""Simulated readings: the same request gives the same bytes, and the truth is told beside them."""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from hydraulics.epanet.scenario import Perturbation, ScenarioError
from twin.assets import Network
from twin.instants import InstantError, parse_instant
from twin.simulate import (
    LeakRequest,
    Request,
    SensorErrors,
    Simulation,
    SimulationError,
    parse_leak,
    simulate,
)
from twin.tags import read_tag_map

NETWORKS = Path(__file__).parents[2] / "data/networks"
LTOWN = NETWORKS / "ltown/network.inp"
MONDAY_NS = parse_instant("2018-01-01T00:00:00+02:00")
ONSET = "2024-03-13T16:30:00+02:00"

ONE_TANK = """[JUNCTIONS]
 J1 10 20
 J2 12 20
 J3 11 10
[RESERVOIRS]
 R1 60
[TANKS]
 T1 50 3 0 5 20 0
[PIPES]
 P1 R1 J1 400 300 120 0 Open
 P2 J1 J2 300 200 120 0 Open
 P3 J2 J3 300 200 120 0 Open
 P4 J2 T1 200 200 120 0 Open
[TIMES]
 Duration 24:00
[OPTIONS]
 Units CMH
 Headloss H-W
[END]
"""


@pytest.fixture
def inp(tmp_path: Path) -> Path:
    path = tmp_path / "small.inp"
    path.write_text(ONE_TANK)
    return path


def network(path: Path, time_zone: str = "+02:00") -> Network:
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return Network(path.stem, "LOCAL", time_zone, MONDAY_NS, False, sha256)


def request(path: Path, **changes: Any) -> Request:
    leak = LeakRequest("P2", 0.002, parse_instant(ONSET))
    return replace(Request(network(path), (leak,), 2, 11), **changes)


def run(wanted: Request, path: Path, out: Path) -> Simulation:
    scratch = path.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    return simulate(wanted, path, out, scratch)


def table(out: Path) -> tuple[list[str], list[str], np.ndarray]:
    with (out / "readings.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    values = np.array([[float(value) for value in row[1:]] for row in rows])
    return head[1:], [row[0] for row in rows], values


def test_the_same_request_gives_the_same_bytes_and_another_seed_others(
    inp: Path, tmp_path: Path
) -> None:
    run(request(inp), inp, tmp_path / "a")
    run(request(inp), inp, tmp_path / "b")
    run(request(inp, seed=12), inp, tmp_path / "c")
    for name in ("readings.csv", "tags.yaml", "truth.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    first, other = ((tmp_path / x / "readings.csv").read_bytes() for x in "ac")
    assert first != other


def test_readings_begin_at_local_midnight_a_day_before_the_leak(inp: Path, tmp_path: Path) -> None:
    made = run(request(inp), inp, tmp_path / "out")
    tags, times, values = table(tmp_path / "out")
    assert times[0] == "2024-03-12T00:00:00+02:00"
    assert times[1] == "2024-03-12T00:05:00+02:00"
    assert times[-1] == "2024-03-13T23:55:00+02:00"
    assert values.shape == (2 * 288, len(tags))
    assert made.n_readings == values.size
    assert made.from_ns == parse_instant(times[0])


def test_the_local_clock_of_an_iana_zone_is_followed(inp: Path, tmp_path: Path) -> None:
    wanted = request(inp, network=network(inp, "America/New_York"))
    run(wanted, inp, tmp_path / "out")
    assert table(tmp_path / "out")[1][0] == "2024-03-12T00:00:00-04:00"


def test_every_kind_of_instrument_reads(inp: Path, tmp_path: Path) -> None:
    run(request(inp), inp, tmp_path / "out")
    tags, _, values = table(tmp_path / "out")
    mean = dict(zip(tags, values.mean(axis=0), strict=True))
    assert 30.0 < mean["J1.pressure"] < 50.0
    assert 0.0 <= mean["T1.level"] <= 5.1
    # R1 gives what users take (50 m³/h, each 30 % unknown) and the leak (7 m³/h).
    assert 30.0 < mean["P1.flow"] < 75.0
    assert 0.2 < mean["J1.free_chlorine"] < 0.6


def test_the_tag_map_is_one_that_the_ingest_reads(inp: Path, tmp_path: Path) -> None:
    run(request(inp), inp, tmp_path / "out")
    tag_map = read_tag_map(tmp_path / "out/tags.yaml")
    assert [tag.tag for tag in tag_map.tags] == table(tmp_path / "out")[0]
    assert tag_map.time_zone == "+02:00"
    chlorine = [tag for tag in tag_map.tags if tag.parameter == "free_chlorine"]
    points = [tag.sampling_point for tag in chlorine]
    assert points[0] == "plant_outlet"
    assert set(points[1:]) == {"network_end"}
    assert {tag.unit.symbol for tag in tag_map.tags} == {"m", "m3/h", "mg/L"}


def test_the_truth_names_pipe_place_flow_onset_seed_and_versions(inp: Path, tmp_path: Path) -> None:
    run(request(inp), inp, tmp_path / "out")
    truth = json.loads((tmp_path / "out/truth.json").read_text())
    (leak,) = truth["leaks"]
    assert (leak["pipe_id"], leak["flow_m3s"], leak["onset"]) == ("P2", 0.002, ONSET)
    assert 0.1 <= leak["place"] <= 0.9
    assert leak["mean_flow_m3s"] == pytest.approx(0.002, rel=0.05)
    assert truth["seed"] == 11
    assert truth["inp_sha256"] == hashlib.sha256(inp.read_bytes()).hexdigest()
    assert set(truth["versions"]) == {"watercourse", "owa-epanet", "numpy"}


def test_instruments_have_a_bias_of_their_own_and_noise(inp: Path, tmp_path: Path) -> None:
    exact = SensorErrors(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    run(request(inp, errors=exact), inp, tmp_path / "exact")
    run(request(inp), inp, tmp_path / "read")
    tags, _, true = table(tmp_path / "exact")
    error = table(tmp_path / "read")[2] - true
    is_pressure = np.array([tag.endswith(".pressure") for tag in tags])
    noise_m = error[:, is_pressure].std(axis=0)
    assert noise_m == pytest.approx(np.full(3, 0.02), rel=0.15)  # 2 cm
    bias_m = error[:, is_pressure].mean(axis=0)
    assert len(set(np.round(bias_m, 4))) == 3
    assert np.abs(bias_m).max() < 0.2  # 4 standard deviations of 5 cm


def test_the_truth_is_not_the_model(inp: Path, tmp_path: Path) -> None:
    exact = SensorErrors(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    as_modelled = Perturbation(0.0, 0.0, 0.0, 0.0)
    wanted = request(inp, errors=exact)
    run(wanted, inp, tmp_path / "true")
    run(replace(wanted, perturbation=as_modelled), inp, tmp_path / "model")
    difference = table(tmp_path / "true")[2] - table(tmp_path / "model")[2]
    assert np.abs(difference[:, :3]).max() > 0.02


def test_named_sensors_take_the_place_of_the_chosen_ones(inp: Path, tmp_path: Path) -> None:
    run(request(inp, pressure_nodes=("node:J3", "J1")), inp, tmp_path / "out")
    tags = table(tmp_path / "out")[0]
    assert [tag for tag in tags if tag.endswith(".pressure")] == ["J3.pressure", "J1.pressure"]
    assert "T1.level" in tags


def test_without_a_leak_a_start_is_enough(inp: Path, tmp_path: Path) -> None:
    wanted = request(inp, leaks=(), start_ns=parse_instant(ONSET))
    run(wanted, inp, tmp_path / "out")
    assert table(tmp_path / "out")[1][0] == ONSET
    assert json.loads((tmp_path / "out/truth.json").read_text())["leaks"] == []


def test_the_shipped_sample_is_what_the_command_makes(tmp_path: Path) -> None:
    sample = NETWORKS / "ltown/sample"
    town = replace(network(LTOWN), name="ltown")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    leak = parse_leak(f"p570:5@{ONSET}")
    simulate(Request(town, (leak,), 3, 20), LTOWN, tmp_path / "out", scratch)
    assert table(tmp_path / "out")[:2] == table(sample)[:2]
    # Other processors round otherwise in the last digit that is written.
    np.testing.assert_allclose(table(tmp_path / "out")[2], table(sample)[2], atol=2e-3)
    made, shipped = (
        yaml.safe_load((x / "tags.yaml").read_text()) for x in (tmp_path / "out", sample)
    )
    assert made == shipped
    truth = json.loads((sample / "truth.json").read_text())
    assert truth["leaks"][0]["pipe_id"] == "p570"


def test_a_leak_is_read_from_text() -> None:
    leak = parse_leak("link:p461:5.5@2024-03-13T15:00:00+02:00")
    assert leak.pipe_id == "p461"
    assert leak.flow_m3s == pytest.approx(0.0055)
    assert leak.at_ns == parse_instant("2024-03-13T13:00:00Z")
    assert parse_leak("a:b:1@2024-03-13T13:00:00Z").pipe_id == "a:b"


@pytest.mark.parametrize(
    "text",
    ["p1:5", "p1@T", ":5@T", "p1:0@T", "p1:-1@T", "p1:nan@T", "p1:1e9@T", "p1:+5@T", ""],
)
def test_a_leak_of_another_spelling_is_refused(text: str) -> None:
    with pytest.raises(SimulationError, match="write PIPE:FLOW_LS@T"):
        parse_leak(text.replace("T", "2024-03-13T15:00:00Z"))


def test_a_leak_without_an_offset_in_its_time_is_refused() -> None:
    with pytest.raises(InstantError):
        parse_leak("p1:5@2024-03-13T15:00:00")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"n_days": 0}, "1 to 366 days"),
        ({"n_days": 9999}, "1 to 366 days"),
        ({"seed": -1}, "seed"),
        ({"leaks": ()}, "--start"),
        ({"n_days": 1}, "not within 1 days"),
        ({"start_ns": parse_instant("2024-03-14T00:00:00Z")}, "not within"),
        ({"pressure_nodes": ("J1", "J1")}, "name each node once"),
    ],
)
def test_what_does_not_fit_together_is_refused_and_nothing_is_written(
    inp: Path, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(SimulationError, match=said):
        run(request(inp, **changes), inp, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_pipe_or_sensor_that_is_not_there_is_refused_and_nothing_is_written(
    inp: Path, tmp_path: Path
) -> None:
    leak = LeakRequest("P9", 0.002, parse_instant(ONSET))
    for wanted in (request(inp, leaks=(leak,)), request(inp, pressure_nodes=("J9",))):
        with pytest.raises(ScenarioError, match="no such"):
            run(wanted, inp, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_refused_and_nothing_is_left(
    inp: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    (out / "readings.csv").mkdir(parents=True)
    with pytest.raises(SimulationError, match="cannot be written"):
        run(request(inp), inp, out)
    assert [path.name for path in out.iterdir()] == ["readings.csv"]


def test_where_a_file_stands_instead_of_a_folder_nothing_is_written(
    inp: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.write_text("mine")
    with pytest.raises(SimulationError, match="cannot be written"):
        run(request(inp), inp, out)
    assert out.read_text() == "mine"
