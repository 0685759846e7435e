"""What a tank's gauge says of the flow into it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hydraulics.epanet.reading import read_network
from hydraulics.epanet.scenario import Watched
from hydraulics.epanet.toolkit import Solver
from hydraulics.leaks.measurements import Measurements
from hydraulics.leaks.rows import Meters, read_meters
from hydraulics.leaks.settings import LocalizeSettings
from hydraulics.leaks.solved import most_rows
from hydraulics.network import FloatArray, NetworkModel

ReadExactly = Callable[..., Measurements]
LTOWN = Path(__file__).parents[2] / "data" / "networks" / "ltown" / "network.inp"
WATCHED = Watched(("a", "b"), ("t",), ("p", "bt"))
INP = """
[JUNCTIONS]
 a 5 2 P
 b 5 8 P
[RESERVOIRS]
 r 20
[TANKS]
 t 30 2.5 0 5 14 0 {curve}
[PIPES]
 ab a b 300 200 120
 bt b t 200 200 120
[PUMPS]
 p r a POWER 1
[PATTERNS]
 P 1.0 0.2 1.6
[CURVES]
 C 0 0
 C 2 200
 C 5 900
[OPTIONS]
 Units LPS
 Headloss H-W
[TIMES]
 Duration 24:00
 Hydraulic Timestep 0:15
 Pattern Timestep 1:00
[END]
"""


@pytest.fixture(params=["", "C"], ids=["a cylinder", "wider above"])
def inp(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = tmp_path / "network.inp"
    path.write_text(INP.format(curve=request.param))
    return path


def meters_of(inp: Path, seen: Measurements) -> Meters:
    model = read_network(inp)
    with Solver(inp, model) as solver:
        return read_meters(model, solver, seen)


def test_a_tank_fills_by_what_its_pipe_brings_also_at_the_reading_at_which_demands_step(
    inp: Path, read_exactly: ReadExactly
) -> None:
    seen = read_exactly(inp, WATCHED, 12)
    meters = meters_of(inp, seen)
    into_m3s = seen.flow_m3s[:, 1]
    assert np.ptp(into_m3s) > 5e-3  # demands step, and by much
    steps = np.arange(0, 47, 4)
    found = meters.value_m3s[:, -1]
    assert found[steps] == pytest.approx(into_m3s[steps], abs=5e-5)
    assert np.abs(found - into_m3s)[:-1].max() < 1e-4


def test_a_gauge_is_believed_as_far_as_its_own_readings_lie_on_lines(
    inp: Path, read_exactly: ReadExactly
) -> None:
    seen = read_exactly(inp, WATCHED, 24)
    draw = np.random.default_rng(3)
    model = read_network(inp)
    with Solver(inp, model) as solver:
        area_m2 = float(np.nanmax(solver.tank_area_m2()))
    noise = []
    for scatter_m in (0.0, 0.005, 0.5):
        level = seen.tank_level_m + draw.normal(0.0, scatter_m, seen.tank_level_m.shape)
        noise.append(float(meters_of(inp, replace(seen, tank_level_m=level)).noise_m3s[-1]))
    as_read = np.array(noise) * 900.0 / (np.sqrt(2.0) * area_m2)
    assert as_read[0] < 0.5 * as_read[1] < as_read[2]
    assert 0.003 < as_read[1] < 0.0141
    assert as_read[2] == pytest.approx(0.0141)  # no worse than ever taken


@pytest.mark.parametrize(("share", "n_rows"), [(0.1, 4), (0.5, 24)])
def test_where_much_passes_through_tanks_a_day_has_a_row_an_hour(share: float, n_rows: int) -> None:
    model = read_network(LTOWN)
    given = np.full((4, model.n_nodes), np.nan)
    source, tank = (int(np.flatnonzero(model.node_kind == kind)[0]) for kind in (1, 2))
    given[:, source] = 0.05
    given[:, tank] = 0.05 * share * np.array([1.0, -1.0, 1.0, -1.0])
    meters = Meters((), np.empty((4, 0)), np.empty(0), given)
    seen = steady(model, np.zeros((4, 1)))
    assert most_rows(model, seen, meters, LocalizeSettings()) == n_rows


@pytest.mark.parametrize(("swing_m", "n_rows"), [(0.5, 4), (5.0, 24)])
def test_where_pressures_move_far_within_hours_a_day_has_a_row_an_hour(
    swing_m: float, n_rows: int
) -> None:
    model = read_network(LTOWN)
    meters = Meters((), np.empty((96, 0)), np.empty(0), np.full((96, model.n_nodes), np.nan))
    wave = swing_m * np.sin(np.arange(96) * 2.0 * np.pi / 24.0)  # a turn in six hours
    seen = steady(model, np.sqrt(2.0) * wave[:, None])
    assert most_rows(model, seen, meters, LocalizeSettings()) == n_rows


def steady(model: NetworkModel, pressure_m: FloatArray) -> Measurements:
    """Return readings of one sensor, each quarter of an hour, and of nothing else."""
    n_times, nothing = len(pressure_m), np.empty(0, dtype=np.int64)
    return Measurements(
        model_time_s=900.0 * np.arange(n_times),
        is_reference=np.zeros(n_times, dtype=np.bool_),
        pressure_node=np.flatnonzero(model.node_kind == 0)[:1],
        pressure_m=pressure_m,
        tank_node=nothing,
        tank_level_m=np.empty((n_times, 0)),
        flow_link=nothing,
        flow_m3s=np.empty((n_times, 0)),
        demand_node=nothing,
        demand_m3s=np.empty((n_times, 0)),
    )
