"""The truth behind simulated readings: what it must conserve, and what EPANET says of it."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
import wntr

from hydraulics.epanet.scenario import (
    Chlorine,
    Perturbation,
    PipeLeak,
    Scenario,
    ScenarioError,
    Truth,
    Watched,
    run_scenario,
)
from hydraulics.errors import HydraulicsError, ModelFileError, NotConvergedError

LTOWN = Path(__file__).parents[2] / "data/networks/ltown/network.inp"
AS_MODELLED = Perturbation(0.0, 0.0, 0.0, 0.0)
HOUR_S = 3_600

ONE_PIPE = """[TITLE]
One pipe
[JUNCTIONS]
 J1 10 36
[RESERVOIRS]
 R1 60
[PIPES]
 P1 R1 J1 1000 300 120 0 Open
[PATTERNS]
 1 {pattern}
[CONTROLS]
{controls}
[TIMES]
 Duration 24:00
 Pattern Timestep 1:00
[OPTIONS]
 Units CMH
 Headloss H-W
 Pattern 1
[END]
"""


def one_pipe(folder: Path, pattern: str = "1", controls: str = "") -> Path:
    path = folder / "one.inp"
    path.write_text(ONE_PIPE.format(pattern=pattern, controls=controls))
    return path


def hours(n: int, **changes: object) -> Scenario:
    settings: dict[str, object] = {
        "model_start_s": 0,
        "duration_s": n * HOUR_S,
        "seed": 1,
        "warm_up_s": 0,
        "perturbation": AS_MODELLED,
    }
    return Scenario(**(settings | changes))  # type: ignore[arg-type]


def ltown(tmp_path: Path, *leaks: PipeLeak, seed: int = 5) -> Truth:
    scenario = Scenario(2 * 86_400, 6 * HOUR_S, seed, warm_up_s=HOUR_S, leaks=leaks)
    watched = Watched(("n105", "n769"), ("T1",), ("p227", "p235", "PUMP_1"))
    return run_scenario(LTOWN, scenario, watched, tmp_path)


def test_before_its_onset_a_leak_changes_nothing_and_then_the_reservoirs_give_what_it_takes(
    tmp_path: Path,
) -> None:
    sound = ltown(tmp_path)
    leaking = ltown(tmp_path, PipeLeak("p570", 0.3, 0.005, 3 * HOUR_S))
    onset = 36
    assert np.all(leaking.leak_m3s[:onset] == 0.0)
    assert leaking.leak_m3s[onset, 0] == pytest.approx(0.005, rel=1e-3)
    # The tank's level follows its control in both, so what is more flows in is what leaks out.
    more_m3s = leaking.inflow_m3s - sound.inflow_m3s
    np.testing.assert_allclose(more_m3s[onset:], leaking.leak_m3s[onset:, 0], atol=5e-5)
    assert np.abs(more_m3s[:onset]).max() < 5e-5
    assert np.abs((leaking.pressure_m - sound.pressure_m)[:onset]).max() < 1e-3
    assert (leaking.pressure_m - sound.pressure_m)[onset:].max() < 0.0


def test_what_two_leaks_take_is_what_more_flows_in(tmp_path: Path) -> None:
    sound = ltown(tmp_path)
    two = (PipeLeak("p570", 0.3, 0.004, 0), PipeLeak("p523", 0.6, 0.002, HOUR_S))
    leaking = ltown(tmp_path, *two)
    assert leaking.leak_m3s[12] == pytest.approx([0.004, 0.002], rel=0.02)
    more_m3s = leaking.inflow_m3s - sound.inflow_m3s
    np.testing.assert_allclose(more_m3s, leaking.leak_m3s.sum(axis=1), atol=5e-5)


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(tmp_path: Path) -> None:
    first, again, other = (ltown(tmp_path, seed=seed) for seed in (5, 5, 6))
    assert np.array_equal(first.pressure_m, again.pressure_m)
    assert np.array_equal(first.flow_m3s, again.flow_m3s)
    assert np.abs(first.pressure_m - other.pressure_m).max() > 0.01


def test_without_perturbation_and_leak_it_is_what_epanet_says_of_the_file(tmp_path: Path) -> None:
    watched = Watched(("n105", "n769"), ("T1",), ("p227", "PUMP_1"))
    truth = run_scenario(LTOWN, hours(3), watched, tmp_path)
    model = wntr.network.WaterNetworkModel(str(LTOWN))
    model.options.time.duration = 3 * HOUR_S
    model.options.hydraulic.accuracy = 1e-4
    epanet = wntr.sim.EpanetSimulator(model).run_sim(file_prefix=str(tmp_path / "wntr"))
    pressure_m = epanet.node["pressure"][["n105", "n769"]].to_numpy()[:36]
    flow_m3s = epanet.link["flowrate"][["p227", "PUMP_1"]].to_numpy()[:36]
    np.testing.assert_allclose(truth.pressure_m, pressure_m, atol=2e-3)
    np.testing.assert_allclose(truth.flow_m3s, flow_m3s, atol=2e-5)
    level_m = epanet.node["pressure"][["T1"]].to_numpy()[:36]
    np.testing.assert_allclose(truth.level_m, level_m, atol=1e-3)


def test_the_model_clock_decides_which_hour_of_the_pattern_it_is(tmp_path: Path) -> None:
    pattern = " ".join(str(h + 1) for h in range(24))
    inp = one_pipe(tmp_path, pattern)
    truth = run_scenario(
        inp, hours(3, model_start_s=30 * HOUR_S), Watched(flow_links=("P1",)), tmp_path
    )
    # 36 m³/h are 0.01 m³/s; hour 30 is the seventh of the second day.
    assert truth.flow_m3s[::12, 0] == pytest.approx([0.07, 0.08, 0.09], rel=2e-5)


def test_a_warm_up_before_model_time_zero_takes_the_week_before(tmp_path: Path) -> None:
    pattern = " ".join(str(h + 1) for h in range(24))
    inp = one_pipe(tmp_path, pattern)
    scenario = hours(1, model_start_s=HOUR_S, warm_up_s=2 * HOUR_S)
    truth = run_scenario(inp, scenario, Watched(flow_links=("P1",)), tmp_path)
    assert truth.flow_m3s[0, 0] == pytest.approx(0.02, rel=2e-5)


def test_what_a_typical_day_switches_at_a_time_is_switched_each_day(tmp_path: Path) -> None:
    inp = one_pipe(tmp_path, controls=" LINK P1 CLOSED AT TIME 6\n LINK P1 OPEN AT TIME 8")
    scenario = hours(5, model_start_s=(24 + 5) * HOUR_S)
    truth = run_scenario(inp, scenario, Watched(flow_links=("P1",)), tmp_path)
    is_open = truth.flow_m3s[::12, 0] > 0.005
    assert is_open.tolist() == [True, False, False, True, True]


def test_chlorine_decays_along_a_pipe_by_the_time_that_water_takes(tmp_path: Path) -> None:
    inp = one_pipe(tmp_path)
    dosing = Chlorine(dose_g_m3=1.0, dose_sigma=0.0, bulk_per_day=2.0, wall_m_per_day=0.0)
    scenario = hours(6, chlorine=dosing, warm_up_s=12 * HOUR_S)
    truth = run_scenario(inp, scenario, Watched(chlorine_nodes=("J1",)), tmp_path)
    travel_days = 1000.0 * math.pi * 0.15**2 / 0.01 / 86_400.0
    assert truth.chlorine_g_m3[-1, 0] == pytest.approx(math.exp(-2.0 * travel_days), abs=5e-3)


def test_a_failed_dosing_reaches_the_end_after_the_time_that_water_takes(tmp_path: Path) -> None:
    inp = one_pipe(tmp_path)
    dosing = Chlorine(1.0, 0.0, 1e-6, 0.0, HOUR_S, 2 * HOUR_S, outage_factor=0.25)
    scenario = hours(8, chlorine=dosing, warm_up_s=12 * HOUR_S)
    truth = run_scenario(inp, scenario, Watched(chlorine_nodes=("J1",)), tmp_path)
    travel_s = 1000.0 * math.pi * 0.15**2 / 0.01  # 7069 s
    low_s = truth.time_s[truth.chlorine_g_m3[:, 0] < 0.5]
    assert low_s[0] == pytest.approx(HOUR_S + travel_s, abs=900)
    assert low_s[-1] == pytest.approx(3 * HOUR_S + travel_s, abs=900)


def test_a_leak_follows_the_square_root_of_the_pressure(tmp_path: Path) -> None:
    inp = one_pipe(tmp_path, pattern="1 12")
    leak = PipeLeak("P1", 0.999, 0.001, 0)
    truth = run_scenario(inp, hours(2, leaks=(leak,)), Watched(("J1",)), tmp_path)
    pressure, flow = truth.pressure_m[[0, 12], 0], truth.leak_m3s[[0, 12], 0]
    assert pressure[1] < pressure[0] - 5.0
    assert flow[1] / flow[0] == pytest.approx(math.sqrt(pressure[1] / pressure[0]), rel=2e-3)


def test_a_leak_between_two_rows_opens_at_the_next(tmp_path: Path) -> None:
    leak = PipeLeak("P1", 0.5, 0.001, 301)
    truth = run_scenario(one_pipe(tmp_path), hours(1, leaks=(leak,)), Watched(), tmp_path)
    assert (truth.leak_m3s[:4, 0] > 0.0).tolist() == [False, False, True, True]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"leaks": (PipeLeak("P9", 0.5, 0.001, 0),)}, "P9: no such pipe"),
        ({"leaks": (PipeLeak("P1", 1.0, 0.001, 0),)}, "between 0 and 1"),
        ({"leaks": (PipeLeak("P1", 0.5, 0.0, 0),)}, "above 0"),
        ({"leaks": (PipeLeak("P1", 0.5, math.inf, 0),)}, "above 0"),
        ({"leaks": (PipeLeak("P1", 0.5, 0.001, HOUR_S),)}, "within the window"),
        ({"leaks": (PipeLeak("P1", 0.5, 0.001, 0),) * 2}, "two leaks"),
        ({"duration_s": 301}, "multiple of 300 s"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    with pytest.raises(ScenarioError, match=said):
        run_scenario(one_pipe(tmp_path), hours(1, **changes), Watched(), tmp_path)


@pytest.mark.parametrize(
    "watched",
    [
        Watched(("J9",)),
        Watched((), ("J1",)),
        Watched((), (), ("J1",)),
        Watched((), (), (), ("P1",)),
    ],
)
def test_an_instrument_where_nothing_is_is_refused(tmp_path: Path, watched: Watched) -> None:
    with pytest.raises(ScenarioError, match="no such"):
        run_scenario(one_pipe(tmp_path), hours(1), watched, tmp_path)


def test_a_leak_that_the_network_cannot_feed_is_refused(tmp_path: Path) -> None:
    leak = PipeLeak("P1", 0.5, 50.0, 0)
    with pytest.raises(NotConvergedError):
        run_scenario(one_pipe(tmp_path), hours(1, leaks=(leak,)), Watched(), tmp_path)


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    bad = tmp_path / "bad.inp"
    bad.write_text("[JUNCTIONS]\n J1 ten\n")
    with pytest.raises(ModelFileError):
        run_scenario(bad, hours(1), Watched(), tmp_path)
    assert issubclass(ModelFileError, HydraulicsError)


def test_nothing_is_left_outside_the_scratch_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, scratch = tmp_path / "here", tmp_path / "scratch"
    here.mkdir()
    scratch.mkdir()
    inp = one_pipe(tmp_path)
    monkeypatch.chdir(here)
    run_scenario(inp, hours(2, chlorine=Chlorine()), Watched(chlorine_nodes=("J1",)), scratch)
    assert list(here.iterdir()) == []


def test_a_file_that_says_to_stop_where_trials_do_not_suffice_still_runs_to_the_end(
    tmp_path: Path,
) -> None:
    text = LTOWN.read_text(encoding="utf-8")
    text = re.sub(r"(?m)^ Trials .*$", " Trials 2", text)
    text = re.sub(r"(?m)^ Unbalanced .*$", " Unbalanced Stop", text)
    path = tmp_path / "stops.inp"
    path.write_text(text, encoding="utf-8")
    truth = run_scenario(path, hours(3), Watched(("n105",)), tmp_path)
    assert truth.time_s[-1] == 3 * HOUR_S - Scenario(0, HOUR_S, 1).step_s
