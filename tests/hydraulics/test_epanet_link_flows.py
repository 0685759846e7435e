"""Flows of links at moments of an extended-period run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import wntr

from hydraulics.epanet.flows import M3S_OF_FLOW_UNIT, duration_s, run_flows
from hydraulics.epanet.reading import read_network
from hydraulics.errors import ModelFileError

NETWORKS = Path(__file__).parents[2] / "data" / "networks"
NET3 = NETWORKS / "net3" / "network.inp"
CYCLE = NETWORKS / "cycle" / "network.inp"
HOUR_S = 3_600
DAY_S = 24 * HOUR_S


def test_net3_flows_are_those_of_wntrs_own_epanet(tmp_path: Path) -> None:
    run = run_flows(NET3, 0, DAY_S)
    wn = wntr.network.WaterNetworkModel(str(NET3))
    simulator = wntr.sim.EpanetSimulator(wn)
    reference = simulator.run_sim(file_prefix=str(tmp_path / "run")).link["flowrate"]
    for hour in (0, 5, 13, 23):
        expected = reference.loc[hour * HOUR_S, list(run.link_id)].to_numpy()
        # Net3 stops iterating at an accuracy of 0.001, and EPANET 2.2 keeps 32-bit results.
        np.testing.assert_allclose(run.at(hour * HOUR_S), expected, rtol=3e-3, atol=2e-5)


def test_what_flows_into_a_junction_flows_out_or_is_used() -> None:
    model = read_network(CYCLE)
    flow_m3s = run_flows(CYCLE, 0, HOUR_S).at(0).astype(float)
    order = [model.link_id.index(name) for name in run_flows(CYCLE, 0, 1).link_id]
    balance = np.zeros(model.n_nodes)
    np.add.at(balance, model.end[order], flow_m3s)
    np.add.at(balance, model.start[order], -flow_m3s)
    junctions = model.node_kind == 0
    multiplier = {"homes": 0.35, "shops": 0.20, "works": 0.30}  # of the first hour
    kinds = {"A8": "shops", "B8": "works"}
    used = [
        demand * multiplier[kinds.get(name, "homes")]
        for name, demand in zip(model.node_id, model.base_demand_m3s, strict=True)
    ]
    # EPANET lets 2e-8 m³/s through a closed pipe, and says 0.
    np.testing.assert_allclose(balance[junctions], np.array(used)[junctions], atol=5e-8)


def test_a_closed_pipe_carries_nothing() -> None:
    run = run_flows(CYCLE, 0, DAY_S)
    assert not run.flow_m3s[:, run.link_id.index("P28")].any()


def test_a_solution_holds_until_the_next() -> None:
    run = run_flows(NET3, 0, 3 * HOUR_S)
    assert run.time_s[0] == 0
    for row, time_s in enumerate(run.time_s[1:]):
        np.testing.assert_array_equal(run.at(int(time_s) - 1), run.flow_m3s[row])


def test_a_day_of_a_run_is_the_same_as_that_day_of_the_whole_run() -> None:
    whole = run_flows(NET3, 0, 3 * DAY_S)
    third = run_flows(NET3, 2 * DAY_S, 3 * DAY_S)
    assert third.time_s[0] <= 2 * DAY_S
    for time_s in range(2 * DAY_S, 3 * DAY_S, 1_700):
        np.testing.assert_array_equal(third.at(time_s), whole.at(time_s))


def test_a_run_goes_on_past_the_files_duration_with_repeating_patterns() -> None:
    assert duration_s(CYCLE) == 7 * DAY_S
    run = run_flows(CYCLE, 8 * DAY_S, 8 * DAY_S + HOUR_S)
    assert run.time_s[-1] >= 8 * DAY_S
    out = [run.link_id.index(name) for name in ("PU1", "P3")]
    supplied = float(run.at(8 * DAY_S)[out].sum())
    assert supplied == pytest.approx(26.8e-3 * 0.35 - 2.4e-3 * 0.15 - 3.2e-3 * 0.05, rel=1e-4)


@pytest.mark.parametrize("units", ["CFS", "GPM", "MGD", "LPS", "LPM", "MLD", "CMH", "CMD"])
def test_flows_are_si_whatever_the_file_says(tmp_path: Path, units: str) -> None:
    expected = {
        "CFS": 0.028316846592,
        "GPM": 6.30901964e-5,
        "MGD": 0.0438126364,
        "LPS": 1e-3,
        "LPM": 1e-3 / 60,
        "MLD": 1e3 / 86_400,
        "CMH": 1 / 3_600,
        "CMD": 1 / 86_400,
    }[units]
    n_units = 5_000  # of demand at the end of one pipe: much flow, for EPANET to be exact
    path = tmp_path / "unit.inp"
    path.write_text(
        f"[JUNCTIONS]\n J 0 {n_units}\n[RESERVOIRS]\n R 500\n[PIPES]\n P R J 10 9000 130\n"
        f"[OPTIONS]\n Units {units}\n Headloss H-W\n Accuracy 0.000001\n[END]\n"
    )
    flow_m3s = float(run_flows(path, 0, 1).at(0)[0])
    assert flow_m3s / n_units == pytest.approx(expected, rel=2e-5)


def test_every_flow_unit_of_epanet_is_known() -> None:
    assert sorted(M3S_OF_FLOW_UNIT) == list(range(11))


def test_nothing_is_left_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_flows(NET3, 0, HOUR_S)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_epanet_cannot_open_is_a_model_error(tmp_path: Path) -> None:
    path = tmp_path / "broken.inp"
    path.write_text("[JUNCTIONS]\n J x\n")
    with pytest.raises(ModelFileError):
        run_flows(path, 0, 1)
