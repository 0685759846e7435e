"""Accuracy and coverage from the record: which window, which sensors, which meters, which words."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from api.report.trust_page import coverage_files, coverage_html
from api.report.trust_words import accuracy_sentence, basis_sentence, sensor_sentence
from hydraulics.epanet.scenario import Perturbation, Scenario, Watched, run_scenario
from hydraulics.leaks.accuracy import Grade
from ledger.journal import Ledger
from twin.errors import NotFoundError, RefusedError, UnreadableError
from twin.events import Event, EventKind
from twin.leaks.trust import (
    AccuracyReport,
    CoverageReport,
    SensorTrust,
    measure_accuracy,
    measure_coverage,
)
from twin.leaks.trust_files import accuracy_csv
from twin.leaks.windows import HOUR_NS, NoReadingsError, Window
from twin.networks import load_model, load_network, model_path
from twin.readings import Quantity

NODES = ("J02", "J11", "J20", "J22")
N_DAYS = 2
Read = Callable[..., None]
Ticks = Callable[..., list[int]]


@pytest.fixture
def read_day(journal: Ledger, read_in: Read, ticks: Ticks, tmp_path: Path) -> Callable[..., None]:
    """Record two leak-free days from 8 January as the model itself has them, with changes."""

    def recorded(**change_m: object) -> None:
        network = load_network(journal, "block")
        inp = model_path(journal, network, tmp_path)
        scenario = Scenario(
            model_start_s=0,
            duration_s=N_DAYS * 86_400,
            seed=1,
            step_s=900,
            warm_up_s=86_400,  # the tank is full by then
            perturbation=Perturbation(0.0, 0.0, 0.0, 0.0),
        )
        truth = run_scenario(inp, scenario, Watched(NODES, ("T1",), ("IN",)), tmp_path)
        times = ticks("01-08T00:00", len(truth.time_s), 900)
        draw = np.random.default_rng(1)
        for i, node in enumerate(NODES):
            noisy = truth.pressure_m[:, i] + draw.normal(0.0, 0.01, len(times))
            read_in(f"p{node}", f"node:{node}", times, list(noisy + change_m.get(node, 0.0)))
        read_in("level", "node:T1", times, list(truth.level_m[:, 0]), Quantity.LEVEL)
        read_in("flow", "link:IN", times, list(truth.flow_m3s[:, 0]), Quantity.FLOW)

    return recorded


def by_tag(report: AccuracyReport) -> dict[str, SensorTrust]:
    return {one.tag: one for one in report.sensors}


def test_a_model_that_made_the_readings_is_good_everywhere(
    journal: Ledger, read_day: Callable[..., None], window: Callable[[str, str], Window]
) -> None:
    read_day()
    report = measure_accuracy(journal, "block")
    assert report.window == window("01-08T00:00", "01-10T00:00")
    assert report.count(Grade.GOOD) == len(NODES)
    assert accuracy_sentence(report).endswith("times: 4 good.")
    assert report.readings_sha256 in basis_sentence(report)
    assert report.inp_sha256 in basis_sentence(report)
    assert "is good" in sensor_sentence(report.sensors[0])


def test_the_same_readings_give_the_same_report(
    journal: Ledger, read_day: Callable[..., None]
) -> None:
    read_day()
    assert measure_accuracy(journal, "block") == measure_accuracy(journal, "block")


def test_each_sensor_that_fails_is_rejected_with_its_reason(
    journal: Ledger,
    read_day: Callable[..., None],
    read_in: Read,
    ticks: Ticks,
    window: Callable[[str, str], Window],
) -> None:
    n = N_DAYS * 96
    read_day(J11=np.linspace(0.0, 0.9, n), J20=np.where(np.arange(n) < n // 2, 0.0, 0.7), J22=4.0)
    read_in("stale", "node:J01", ticks("01-02T00:00", 5), [40.0] * 5)
    report = measure_accuracy(journal, "block", window("01-08T00:00", "01-10T00:00"))
    found = by_tag(report)
    assert "drifts: +0.89" in found["pJ11"].reason
    assert "offset jumped by +0.7" in found["pJ20"].reason
    assert found["pJ20"].changed_ns is not None
    assert abs(found["pJ20"].changed_ns - ticks("01-09T00:00", 1)[0]) <= HOUR_NS
    assert "a leak beside it would look the same" in sensor_sentence(found["pJ20"])
    assert found["stale"].reason == "no readings in the window"
    assert found["pJ22"].grade is Grade.POOR
    assert "where 85 % is asked for" in sensor_sentence(found["pJ22"])
    assert report.window_said == "the window was given"


def test_the_table_has_a_line_a_sensor_and_leaves_the_unknown_empty(
    journal: Ledger, read_day: Callable[..., None], read_in: Read, ticks: Ticks
) -> None:
    read_day()
    read_in("stale", "node:J01", ticks("01-02T00:00", 5), [40.0] * 5)
    rows = list(
        csv.DictReader(io.StringIO(accuracy_csv(measure_accuracy(journal, "block")).decode()))
    )
    assert [row["tag"] for row in rows] == sorted([*(f"p{node}" for node in NODES), "stale"])
    assert rows[-1]["grade"] == "rejected"
    assert rows[-1]["bias_m"] == rows[-1]["within_0.5_m"] == ""
    assert float(rows[0]["rmse_m"]) < 0.02


def test_what_follows_a_detected_onset_is_not_taken_as_leak_free(
    journal: Ledger, read_day: Callable[..., None], ticks: Ticks
) -> None:
    read_day()
    onset_ns = ticks("01-09T06:00", 1)[0]
    journal.record([Event(EventKind.LEAK_DETECTED, "block", "onset-1", 0, {"onset_ns": onset_ns})])
    assert measure_accuracy(journal, "block").window.to_ns <= onset_ns


def test_without_readings_there_is_nothing_to_compare(
    journal: Ledger, read_in: Read, ticks: Ticks, window: Callable[[str, str], Window]
) -> None:
    with pytest.raises(NotFoundError):
        measure_accuracy(journal, "atlantis")
    with pytest.raises(RefusedError, match="no pressure reading"):
        measure_accuracy(journal, "block")
    read_in("p", "node:J11", ticks("01-08T00:00", 3), [40.0] * 3)
    with pytest.raises(RefusedError, match="no leak-free stretch"):
        measure_accuracy(journal, "block")
    with pytest.raises(NoReadingsError):
        measure_accuracy(journal, "block", window("01-01T00:00", "01-02T00:00"))


@pytest.fixture
def covered(journal: Ledger) -> CoverageReport:
    return measure_coverage(journal, "block", ["J22", "J02"], (0.0005, 0.001, 0.002), n_next=2)


def test_without_a_record_the_usual_meters_are_assumed_and_said(covered: CoverageReport) -> None:
    assert covered.sensors == ("J22", "J02")
    assert covered.sensors_said == "the sensors were given"
    assert "assumed" in covered.meters_said
    assert set(covered.meters) == {"node:T1", "node:R1"}
    assert len(covered.next_sensors) == 2
    assert covered.next_size_m3s == 0.001


def test_recorded_sensors_and_meters_are_taken_where_none_are_given(
    journal: Ledger, read_day: Callable[..., None]
) -> None:
    read_day()
    report = measure_coverage(journal, "block", sizes_m3s=[0.002])
    assert report.sensors == tuple(sorted(NODES))
    assert set(report.meters) == {"node:T1", "link:IN"}
    assert report.coverage.zone_m.shape == (14, 1)


def test_the_files_say_of_every_pipe_what_the_report_says(
    journal: Ledger, covered: CoverageReport
) -> None:
    files = coverage_files(journal, covered)
    rows = list(csv.DictReader(io.StringIO(files["coverage.csv"].decode())))
    assert len(rows) == 3 * len(covered.pipe_id)
    layer = json.loads(files["coverage.geojson"])
    pipes = {one["id"]: one["properties"] for one in layer["features"] if "id" in one}
    for i, pipe_id in enumerate(covered.pipe_id):
        chance = float(covered.coverage.chance[i, 2])
        assert pipes[pipe_id]["chance_2_ls"] == pytest.approx(chance, abs=1e-6)
        assert float(rows[3 * i + 2]["chance"]) == pytest.approx(chance, rel=1e-5)
    assert {"signal_0_5_ls", "zone_m_0_5_ls"} <= pipes["IN"].keys()
    kinds = [one["properties"].get("is") for one in layer["features"]]
    assert kinds.count("sensor") == 2
    assert kinds.count("next sensor") == 2
    assert layer["crs"] == "LOCAL"


def test_the_page_draws_a_map_a_size_and_one_of_the_zones(
    journal: Ledger, covered: CoverageReport
) -> None:
    page = coverage_files(journal, covered)["coverage.html"].decode()
    assert page.count('<svg class="map"') == 4
    assert "1: " + covered.next_sensors[0].node_id in page
    assert covered.inp_sha256 in page
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")


@pytest.mark.parametrize(
    ("sensors", "sizes_m3s", "n_next", "said"),
    [
        (["J99"], [0.001], 0, "no junction 'J99'"),
        (["T1"], [0.001], 0, "no junction 'T1'"),
        (None, [], 0, "1 to 8 sizes"),
        (None, [float("nan")], 0, "1 to 8 sizes"),
        (None, [-0.001], 0, "from 0.01 to 1000 L/s"),
        (None, [0.001], 21, "ask for 0 to 20"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_a_sentence(
    journal: Ledger, sensors: list[str] | None, sizes_m3s: list[float], n_next: int, said: str
) -> None:
    with pytest.raises(UnreadableError, match=said):
        measure_coverage(journal, "block", sensors, sizes_m3s, n_next)


def test_ids_are_never_markup(journal: Ledger, covered: CoverageReport) -> None:
    network = load_network(journal, "block")
    shown = replace(covered, sensors_said="<b>&", network="<i>")
    page = coverage_html(shown, network, load_model(journal, network))
    assert "<b>&" not in page
    assert "&lt;b&gt;&amp;" in page
    assert "<i>" not in page
