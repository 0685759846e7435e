"""Rows of a window stand at the boundary that a file's controls had made, as EPANET runs it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hydraulics.epanet.reading import read_network
from hydraulics.epanet.scenario import Perturbation, Scenario, Watched, run_scenario
from hydraulics.epanet.toolkit import Solver, replay
from hydraulics.leaks.measurements import Measurements
from hydraulics.leaks.rows import make_rows, read_meters

DAY_S, HOUR_S = 86_400, 3_600.0
SENSORS = ("a", "b", "c")
INP = """
[JUNCTIONS]
 a 5 2
 b 5 4
 c 4 3
 d 4 1
[RESERVOIRS]
 r 60
[PIPES]
 ra r a 400 250 120
 bc b c 300 200 120
 bd b d 300 100 120
 cd c d 900 150 120
[VALVES]
 v a b 150 PRV 30 0
[PUMPS]
 p a c POWER 1
[STATUS]
 p CLOSED
[CONTROLS]
{controls}
[OPTIONS]
 Units LPS
 Headloss H-W
[TIMES]
 Duration 48:00
 Hydraulic Timestep 1:00
[END]
"""


def network(folder: Path, *controls: str) -> Path:
    inp = folder / "network.inp"
    inp.write_text(INP.format(controls="\n".join(controls)))
    return inp


def read_without_errors(inp: Path, scratch: Path) -> Measurements:
    """A leak-free day and a current one, of the file as it is."""
    model = read_network(inp)
    scenario = Scenario(
        model_start_s=0,
        duration_s=2 * DAY_S,
        seed=1,
        step_s=900,
        warm_up_s=0,
        perturbation=Perturbation(0.0, 0.0, 0.0, 0.0),
    )
    truth = run_scenario(inp, scenario, Watched(SENSORS, (), ("ra",)), scratch)
    n_times = len(truth.time_s)
    return Measurements(
        model_time_s=truth.time_s.astype(np.float64),
        is_reference=truth.time_s < DAY_S,
        pressure_node=np.array([model.node_id.index(name) for name in SENSORS]),
        pressure_m=truth.pressure_m,
        tank_node=np.empty(0, dtype=np.int64),
        tank_level_m=np.empty((n_times, 0)),
        flow_link=np.array([model.link_id.index("ra")]),
        flow_m3s=truth.flow_m3s,
        demand_node=np.empty(0, dtype=np.int64),
        demand_m3s=np.empty((n_times, 0)),
    )


@pytest.mark.parametrize(
    "controls",
    [
        ("LINK v OPEN AT TIME 15",),
        ("LINK v OPEN AT TIME 15", "LINK v 30 AT TIME 33"),
        ("LINK v 20 AT TIME 15",),
        ("LINK v CLOSED AT TIME 15", "LINK p OPEN AT TIME 15"),
        ("LINK bd CLOSED AT TIME 12",),
    ],
    ids=" and ".join,
)
def test_each_row_has_the_pressures_that_epanet_had_under_its_controls(
    tmp_path: Path, controls: tuple[str, ...]
) -> None:
    inp = network(tmp_path, *controls)
    model, seen = read_network(inp), read_without_errors(inp, tmp_path)
    with Solver(inp, model) as solver:
        meters = read_meters(model, solver, seen)
        rows = make_rows(inp, model, solver, seen, meters, (), 2)
        assert {row.is_reference for row in rows} == {True, False}
        for row in rows:
            state = solver.solve(row.boundary)
            pressure = (state.head_m - model.elevation_m)[seen.pressure_node]
            assert pressure == pytest.approx(seen.pressure_m[row.members].mean(axis=0), abs=0.01)


def test_a_replay_that_begins_later_finds_links_as_one_from_the_start_does(
    tmp_path: Path,
) -> None:
    inp = network(
        tmp_path,
        "LINK v OPEN AT TIME 20",
        "LINK v 25 AT TIME 10",
        "LINK bc CLOSED AT TIME 12",
        "LINK bd CLOSED AT TIME 3",
        "LINK bd OPEN AT TIME 4",
        "LINK p 0.9 AT TIME 6",
        "LINK v CLOSED AT TIME 31",
        "LINK p CLOSED AT TIME 35",
        "LINK v 22 AT TIME 40",
    )
    model = read_network(inp)
    times = np.arange(24.0, 48.0) * HOUR_S
    blind = np.full((len(times), model.n_nodes), np.nan)
    whole = replay(inp, model, times, blind, start_s=0.0)
    late = replay(inp, model, times, blind, start_s=24.0 * HOUR_S)
    assert np.array_equal(late.is_open, whole.is_open)
    assert late.setting == pytest.approx(whole.setting, nan_ok=True)
