"""Calls are scored after the rule of BattLeDIM's program, at its edges too."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.battledim_files import STEP, BadFileError, Table, TrueLeak, Year
from benchmarks.battledim_score import (
    Call,
    Outcome,
    Score,
    UnknownPipeError,
    as_document,
    distances_m,
    estimated_flows,
    main,
    perfect_calls,
    read_calls,
    report_score,
    score,
    sweep_calls,
)
from hydraulics.epanet.reading import read_network
from hydraulics.network import NetworkModel

# n1 --k1 100-- n2 --k2 200-- n3 --k3 100-- n4, n3 --far 102-- n5, n4 --valve-- n6 --k6 10-- n7
NETWORK = """[JUNCTIONS]
 n1 10 1
 n2 10 1
 n3 10 1
 n4 10 1
 n5 10 1
 n6 10 1
 n7 10 1
[RESERVOIRS]
 R 60
[PIPES]
 main R n1 900 300 120 0 Open
 k1 n1 n2 100 300 120 0 Open
 k2 n2 n3 200 300 120 0 Open
 k3 n3 n4 100 300 120 0 Open
 far n3 n5 102 300 120 0 Open
 k6 n6 n7 10 300 120 0 Open
[VALVES]
 v n4 n6 300 PRV 20 0
[OPTIONS]
 Units LPS
 Headloss H-W
[END]
"""
DAY = np.datetime64("2019-01-01T00:00:00", "s")
TIME = DAY + np.arange(288) * STEP
FLOW_M3S = 0.01  # 3 m³ in a row of five minutes


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> NetworkModel:
    path = tmp_path_factory.mktemp("network") / "line.inp"
    path.write_text(NETWORK)
    return read_network(path)


def at(hour: float) -> np.datetime64:
    return DAY + np.timedelta64(int(hour * 3600), "s")


def leak(pipe_id: str, start: float, end: float) -> TrueLeak:
    return TrueLeak(pipe_id, at(start), at(end), 0.02, is_incipient=False, peak=at(start))


def flows(*leaks: TrueLeak) -> Table:
    runs = [(one.start <= TIME) & (one.end >= TIME) for one in leaks]
    names = tuple(one.pipe_id for one in leaks)
    return Table(TIME, names, np.stack(runs, axis=1) * FLOW_M3S)


def scored(model: NetworkModel, leaks: list[TrueLeak], *calls: tuple[float, str]) -> Score:
    wanted = [Call(at(hour), pipe_id) for hour, pipe_id in calls]
    return score(wanted, leaks, flows(*leaks), model)


K1 = leak("k1", 6, 12)


@pytest.mark.parametrize(
    ("hour", "outcome"),
    [(6, "hit"), (12, "hit"), (6 - 1 / 12, "false"), (12 + 1 / 12, "false")],
)
def test_a_call_hits_from_the_start_to_the_end_with_both(
    model: NetworkModel, hour: float, outcome: str
) -> None:
    assert scored(model, [K1], (hour, "k1")).calls[0].outcome == outcome


def test_a_call_at_the_start_earns_all_the_water_and_at_the_end_one_row(
    model: NetworkModel,
) -> None:
    assert scored(model, [K1], (6, "k1")).euro == pytest.approx(0.8 * 3.0 * 73)
    assert scored(model, [K1], (12, "k1")).euro == pytest.approx(0.8 * 3.0)


@pytest.mark.parametrize(
    ("pipe_id", "distance_m"), [("k1", 0.0), ("k2", 150.0), ("k3", 300.0), ("far", 301.0)]
)
def test_the_distance_is_the_way_between_ends_and_half_of_both_pipes(
    model: NetworkModel, pipe_id: str, distance_m: float
) -> None:
    found = distances_m(model, ["k1"])[0, model.link_id.index(pipe_id)]
    assert found == pytest.approx(distance_m, abs=1e-9)


def test_300_metres_hit_and_cost_a_whole_crew(model: NetworkModel) -> None:
    result = scored(model, [K1], (6, "k3"))
    assert result.calls[0].outcome is Outcome.HIT
    assert result.euro == pytest.approx(0.8 * 3.0 * 73 - 500.0)


def test_301_metres_are_a_false_call(model: NetworkModel) -> None:
    result = scored(model, [K1], (6, "far"))
    assert (result.count(Outcome.FALSE), result.euro) == (1, -500.0)


def test_no_way_leads_through_a_valve(model: NetworkModel) -> None:
    beside = leak("k3", 6, 12)
    assert scored(model, [beside], (6, "k6")).calls[0].outcome is Outcome.FALSE


def test_a_second_call_on_a_leak_earns_and_costs_nothing(model: NetworkModel) -> None:
    once, twice = scored(model, [K1], (7, "k2")), scored(model, [K1], (7, "k2"), (8, "k1"))
    assert twice.euro == once.euro
    assert [one.outcome for one in twice.calls] == ["hit", "repeated"]
    assert twice.leaks[0].hit == once.calls[0]


def test_the_earlier_call_counts_whatever_the_order_of_the_file(model: NetworkModel) -> None:
    calls = [(8.0, "k1"), (7.0, "k2"), (5.0, "k1")]
    result = scored(model, [K1], *calls)
    assert [one.call.pipe_id for one in result.calls] == ["k1", "k2", "k1"]
    assert [one.outcome for one in result.calls] == ["false", "hit", "repeated"]
    assert result == scored(model, [K1], *reversed(calls))


def test_of_two_leaks_in_reach_the_nearest_is_hit_then_the_other(model: NetworkModel) -> None:
    leaks = [leak("k1", 6, 12), leak("k3", 6, 12)]
    result = scored(model, leaks, (7, "k3"), (8, "k3"), (9, "k3"))
    assert [one.leak.pipe_id for one in result.calls if one.leak] == ["k3", "k1", "k3"]
    assert [one.outcome for one in result.calls] == ["hit", "hit", "repeated"]


def test_a_nearer_leak_that_does_not_run_is_not_hit(model: NetworkModel) -> None:
    result = scored(model, [leak("k1", 6, 12), leak("k3", 13, 20)], (7, "k3"))
    assert result.calls[0].leak == leak("k1", 6, 12)


def test_a_call_before_the_year_is_left_out(model: NetworkModel) -> None:
    result = scored(model, [leak("k1", -48, 12)], (-24, "k1"))
    assert (result.calls[0].outcome, result.euro) == (Outcome.EARLY, 0.0)


def test_a_leak_carried_over_is_delayed_from_the_first_row(model: NetworkModel) -> None:
    result = scored(model, [leak("k1", -48, 12)], (2, "k1"))
    assert result.mean_delay_s == 7200.0


def test_a_leak_of_another_year_does_not_count(model: NetworkModel) -> None:
    result = scored(model, [K1, leak("k3", -48, -24)])
    assert [line.leak for line in result.leaks] == [K1]


def test_no_calls_earn_nothing(model: NetworkModel) -> None:
    result = scored(model, [K1])
    assert (result.euro, result.count(Outcome.HIT)) == (0.0, 0)
    assert np.isnan(result.mean_delay_s)
    json.dumps(as_document(result), allow_nan=False)


@pytest.mark.parametrize("pipe_id", ["p999", "v"])
def test_a_call_on_what_is_no_pipe_is_refused(model: NetworkModel, pipe_id: str) -> None:
    with pytest.raises(UnknownPipeError, match=f"no pipe {pipe_id}"):
        scored(model, [K1], (7, pipe_id))
    with pytest.raises(UnknownPipeError):
        scored(model, [replace(K1, pipe_id=pipe_id)], (7, "k1"))


def test_perfect_calls_find_every_leak_at_once(model: NetworkModel) -> None:
    leaks = [leak("k1", -5, 12), leak("k3", 6, 20), leak("k2", 6, 20)]
    result = score(perfect_calls(leaks, flows(*leaks)), leaks, flows(*leaks), model)
    assert (result.count(Outcome.HIT), result.mean_delay_s, result.mean_distance_m) == (3, 0, 0)
    assert result.euro == pytest.approx(0.8 * sum(line.water_m3 for line in result.leaks))


def test_a_blind_sweep_reaches_every_pipe(model: NetworkModel) -> None:
    calls = sweep_calls(model, flows(K1))
    way_m = distances_m(model, [call.pipe_id for call in calls])
    assert (way_m[:, model.is_pipe].min(axis=0) <= 300.0).all()


def test_an_outflow_is_estimated_as_of_an_orifice(model: NetworkModel) -> None:
    nothing = np.empty((288, 0))
    pressure_m = np.full((288, 2), [[40.0, 30.0]])
    year = Year(
        TIME, np.zeros(288), ("n1", "n4"), pressure_m, (), nothing, (), nothing, (), nothing
    )
    growing = TrueLeak("k1", at(6), at(12), 0.02, is_incipient=True, peak=at(8))
    table = estimated_flows([growing, leak("k3", 6, 12)], year, model)
    area_m2 = np.pi * 0.01**2
    full_m3s = 0.75 * area_m2 * np.sqrt(2 * 9.81 * 40.0)
    hours = (TIME - DAY) / np.timedelta64(3600, "s")
    first = dict(zip(hours.tolist(), table.number[:, 0].tolist(), strict=True))
    assert [first[h] for h in (5.0, 7.0, 10.0, 13.0)] == pytest.approx(
        [0.0, full_m3s / 4, full_m3s, 0.0]
    )
    assert table.number[100, 1] == pytest.approx(full_m3s * np.sqrt(30.0 / 40.0))


def test_calls_are_read_with_and_without_what_is_known_of_them(tmp_path: Path) -> None:
    path = tmp_path / "calls.csv"
    path.write_text("called_at,pipe_id,flow_m3s,probability\n2019-01-01 07:00,k1,0.005,\n")
    (call,) = read_calls(path)
    assert (call.called_at, call.pipe_id, call.flow_m3s) == (at(7), "k1", 0.005)
    assert np.isnan(call.probability)
    path.write_text("called_at,pipe\n2019-01-01 07:00,k1\n")
    with pytest.raises(BadFileError, match="no column pipe_id"):
        read_calls(path)


def test_the_report_shows_calls_hits_false_calls_delay_and_distance_together(
    model: NetworkModel,
) -> None:
    result = scored(model, [K1], (7, "k2"), (8, "far"))
    text = report_score(result, scored(model, [K1]), scored(model, [K1]), is_estimated=True)
    assert "1 of 1     1     0.0 d    150 m" in text
    assert "Tongji" in text
    assert "estimated" in text


def test_eur_of_many_false_calls_are_not_left_to_compare(model: NetworkModel) -> None:
    few, many = (scored(model, [K1], *[(1, "far")] * n) for n in (7, 8))
    assert "EUR say nothing" not in report_score(few, few, many)
    assert "EUR say nothing" in report_score(many, few, many)


def test_the_command_scores_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "L-TOWN.inp").write_text(NETWORK)
    (tmp_path / "truth.csv").write_text(
        "link,start,end,diameter_m,type,peak\n"
        "k1,2019-01-01 06:00:00,2019-01-01 12:00:00,0.02,abrupt,2019-01-01 06:00:00\n"
    )
    (tmp_path / "calls.csv").write_text("called_at,pipe_id\n2019-01-01 06:00,k1\n")
    lost = pd.DataFrame(
        {"k1": flows(K1).number[:, 0] * 3600}, index=pd.Index(TIME, name="Timestamp")
    )
    lost.to_parquet(tmp_path / "leakages.parquet")
    options = ["--data", str(tmp_path), "--truth", str(tmp_path / "truth.csv")]
    calls = ["--calls", str(tmp_path / "calls.csv"), "--json"]
    monkeypatch.setattr("sys.argv", ["battledim-score", *options, *calls])
    main()
    document = json.loads(capsys.readouterr().out)
    assert document["calls"]["euro"] == pytest.approx(0.8 * 3.0 * 73)
    assert document["calls"]["n_hits"] == document["perfect"]["n_hits"] == 1
