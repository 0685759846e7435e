"""Tanks at their limits, bypasses of metered pumps, and junctions that let water in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hydraulics.epanet.reading import read_network
from hydraulics.epanet.scenario import Watched
from hydraulics.epanet.toolkit import Boundary, Solver
from hydraulics.leaks.measurements import Measurements
from hydraulics.leaks.prepared import prepare
from hydraulics.leaks.rows import make_rows, read_meters
from hydraulics.leaks.statuses import levels, mind_meters, statuses

ReadExactly = Callable[..., Measurements]
WATCHED = Watched(("b", "c"), ("t",), ("p",))
LAST = """
[OPTIONS]
 Units LPS
 Headloss H-W
[TIMES]
 Duration 48:00
 Hydraulic Timestep 1:00
[END]
"""
INP = """
[JUNCTIONS]
 a 5 2
 b 5 {demand_b}
 c 4 3
[RESERVOIRS]
 r 20
[TANKS]
 t 30 {level} 1 4 6 0
[PIPES]
 ab a b 300 200 120
 bt b t 200 200 120
 bc b c 400 150 120
 by a b 100 150 120 0 {bypass}
[PUMPS]
 p r a POWER {power}
[CONTROLS]
{controls}
"""
FED_BY_ITS_TANK = """
[JUNCTIONS]
 a 5 20
 c 4 6
[RESERVOIRS]
 r 20
[TANKS]
 t 30 1.1 1 4 20 0
[PIPES]
 ra r a 300 200 120
 tc t c 200 150 120
[PUMPS]
 p a t POWER 0.3
"""
RISES = (
    "LINK p CLOSED IF NODE t ABOVE 3.5",
    "LINK p OPEN IF NODE t BELOW 2",
    "LINK by OPEN IF NODE t ABOVE 3.5",
    "LINK by CLOSED IF NODE t BELOW 2",
)


def write(
    folder: Path,
    *controls: str,
    level: float = 2.5,
    power: float = 6.0,
    demand_b: float = 4.0,
    bypass: str = "Open",
) -> Path:
    inp = folder / "network.inp"
    filled = (INP + LAST).format(
        controls="\n".join(controls), level=level, power=power, demand_b=demand_b, bypass=bypass
    )
    inp.write_text(filled)
    return inp


@pytest.mark.parametrize(("level", "power"), [(1.0, 0.5), (4.0, 2.0)], ids=["empty", "full"])
def test_a_tank_that_a_noisy_gauge_sees_at_its_limit_is_shut(
    tmp_path: Path, read_exactly: ReadExactly, level: float, power: float
) -> None:
    inp = write(tmp_path, level=level, power=power)
    seen = read_exactly(inp, WATCHED, 12)
    at_limit = np.abs(seen.tank_level_m[:, 0] - level) < 1e-6
    assert at_limit.mean() > 0.8  # the case is what it says
    draw = np.random.default_rng(2)
    noisy = replace(
        seen, tank_level_m=seen.tank_level_m + draw.normal(0, 0.005, (len(at_limit), 1))
    )
    model = read_network(inp)
    with Solver(inp, model) as solver:
        rows = make_rows(inp, model, solver, noisy, read_meters(model, solver, noisy), (), 4)
        row = max(rows, key=lambda one: one.n_times)
        state = solver.solve(row.boundary)
    assert not state.is_open[model.link_id.index("bt")]
    read_there = seen.pressure_m[row.members].mean(axis=0)
    found = (state.head_m - model.elevation_m)[seen.pressure_node]
    assert found == pytest.approx(read_there, abs=0.05)


def test_a_level_that_only_passes_a_limit_stays_as_read(
    tmp_path: Path, read_exactly: ReadExactly
) -> None:
    inp = write(tmp_path)
    seen = read_exactly(inp, WATCHED, 2)
    passing = np.array([1.3, 1.2, 1.1, 1.01, 1.1, 1.2, 1.3, 1.4])[:, None]
    level = levels(read_network(inp), replace(seen, tank_level_m=passing))
    assert level[:, seen.tank_node[0]] == pytest.approx(passing[:, 0])


@pytest.mark.parametrize("bits", [0.0, 2e-13, -2e-13])
def test_a_tank_at_its_lowest_level_gives_nothing_to_the_last_bit(
    tmp_path: Path, bits: float
) -> None:
    inp = write(tmp_path, power=0.2, level=1.0)
    model = read_network(inp)
    tank = model.node_id.index("t")
    with Solver(inp, model) as solver:
        head = solver.fixed_head_m(np.zeros(1))[0]
        head[tank] = model.elevation_m[tank] + 1.0 + bits
        nothing = np.full(model.n_links, np.nan)
        boundary = Boundary(solver.demand_m3s(np.zeros(1))[0], head, model.is_open, nothing)
        state = solver.solve(boundary)
    assert state.flow_m3s[model.link_id.index("bt")] >= -1e-6  # positive fills the tank


def test_the_bypass_of_a_metered_pump_turns_with_it(
    tmp_path: Path, read_exactly: ReadExactly
) -> None:
    inp = write(tmp_path, *RISES, bypass="Closed")
    seen = read_exactly(inp, WATCHED, 4)
    model = read_network(inp)
    n_times, p, by = len(seen.model_time_s), model.link_id.index("p"), model.link_id.index("by")
    runs = np.arange(n_times) < 9  # the meter says so, whatever levels say
    told = replace(seen, flow_m3s=np.where(runs, 0.02, 0.0)[:, None])
    is_open = np.tile(model.is_open, (n_times, 1))
    with Solver(inp, model) as solver:
        doubtful = mind_meters(solver, told, is_open)
    assert np.array_equal(is_open[:, p], runs)
    assert np.array_equal(is_open[:, by], ~runs)
    assert not doubtful.any()


def test_a_link_that_turns_by_another_level_does_not_follow(tmp_path: Path) -> None:
    inp = write(tmp_path, *RISES[:2], "LINK by OPEN IF NODE t ABOVE 3", RISES[3])
    model = read_network(inp)
    with Solver(inp, model) as solver:
        assert solver.controlled.together == ()


def test_users_take_what_sources_and_the_file_s_inflows_give(
    tmp_path: Path, read_exactly: ReadExactly
) -> None:
    inp = write(tmp_path, demand_b=-3.0)
    seen = read_exactly(inp, WATCHED, 4)
    model = read_network(inp)
    with Solver(inp, model) as solver:
        rows = make_rows(inp, model, solver, seen, read_meters(model, solver, seen), (), 4)
    b = model.node_id.index("b")
    for row in rows:
        assert row.boundary.demand_m3s[b] == pytest.approx(-3e-3, rel=1e-4)
        assert not row.is_balanced[b]
        users = row.boundary.demand_m3s.clip(min=0).sum()
        given = np.nanmean(read_meters_given(inp, seen)[row.members].sum(axis=1))
        assert users == pytest.approx(given + 3e-3, rel=1e-3)


def read_meters_given(inp: Path, seen: Measurements) -> np.ndarray:
    model = read_network(inp)
    with Solver(inp, model) as solver:
        given = read_meters(model, solver, seen).given_m3s
    return given[:, model.node_kind != 0]


def test_a_metered_customer_takes_what_the_meter_says_and_the_others_the_rest(
    tmp_path: Path,
    read_exactly: ReadExactly,
) -> None:
    inp = write(tmp_path)
    seen = read_exactly(inp, WATCHED, 4)
    model = read_network(inp)
    c = model.node_id.index("c")
    told = replace(
        seen, demand_node=np.array([c]), demand_m3s=np.full((len(seen.model_time_s), 1), 5e-3)
    )
    with Solver(inp, model) as solver:
        meters = read_meters(model, solver, told)
        rows = make_rows(inp, model, solver, told, meters, (), 4)
    for row in rows:
        assert row.boundary.demand_m3s[c] == pytest.approx(5e-3)
        assert row.is_metered[c]
        assert not row.is_balanced[c]
        given = np.nanmean(meters.given_m3s[row.members][:, model.node_kind != 0].sum(axis=1))
        assert row.boundary.demand_m3s.sum() == pytest.approx(given, rel=1e-6)


def test_where_hardly_two_readings_are_alike_they_stand_alone(
    tmp_path: Path, read_exactly: ReadExactly
) -> None:
    inp = write(tmp_path)
    seen = read_exactly(inp, WATCHED, 12)
    model = read_network(inp)
    chatters = np.where(np.arange(len(seen.model_time_s)) % 2 == 0, 0.02, 0.0)[:, None]
    with Solver(inp, model) as solver:
        told = replace(seen, flow_m3s=chatters)
        rows = make_rows(inp, model, solver, told, read_meters(model, solver, told), (), 96)
    assert len(rows) >= 12
    assert {row.n_times for row in rows} == {1}


@pytest.mark.parametrize(
    ("where", "sign", "power"), [("ABOVE", 1.0, 0.5), ("BELOW", -1.0, 6.0)], ids=["above", "below"]
)
def test_a_level_that_turns_back_just_short_of_a_controls_has_turned_the_link(
    tmp_path: Path, read_exactly: ReadExactly, where: str, sign: float, power: float
) -> None:
    inp = write(tmp_path, f"LINK by CLOSED IF NODE t {where} 2.5", power=power)
    seen, model = read_exactly(inp, WATCHED, 4), read_network(inp)
    after = np.arange(len(seen.model_time_s)) - 8
    told = replace(seen, tank_level_m=2.5 - sign * (0.01 + 0.05 * np.abs(after))[:, None])
    with Solver(inp, model) as solver:
        is_open, _, _ = statuses(inp, solver, told, levels(model, told))
    assert np.array_equal(is_open[after != 0, model.link_id.index("by")], after[after != 0] < 0)


def test_a_small_pump_runs_though_a_large_one_would_rest_at_as_much(
    tmp_path: Path, read_exactly: ReadExactly
) -> None:
    inp = write(tmp_path)
    seen, model = read_exactly(inp, WATCHED, 2), read_network(inp)
    n_times, p = len(seen.model_time_s), model.link_id.index("p")
    runs = np.arange(n_times) % 2 == 0
    for most_m3s, is_running in ((9e-5, runs), (9e-6, np.zeros(n_times, dtype=bool))):
        told = replace(seen, flow_m3s=np.where(runs, most_m3s, 1e-6)[:, None])
        is_open = np.tile(model.is_open, (n_times, 1))
        with Solver(inp, model) as solver:
            mind_meters(solver, told, is_open)
        assert np.array_equal(is_open[:, p], is_running)


def test_times_at_which_an_empty_tank_alone_feeds_users_are_left_out(
    tmp_path: Path, read_exactly: ReadExactly
) -> None:
    inp = tmp_path / "network.inp"
    inp.write_text(FED_BY_ITS_TANK + LAST)
    seen = read_exactly(inp, Watched(("a", "c"), ("t",), ("p", "ra")), 8)
    draw, level_m = np.random.default_rng(4), seen.tank_level_m
    noisy = replace(seen, tank_level_m=level_m + draw.normal(0.0, 0.005, level_m.shape))
    is_empty = level_m[:, 0] < 1.02  # it opens and shuts by turns
    assert 8 < is_empty.sum() < 0.7 * len(is_empty)
    with prepare(inp, read_network(inp), noisy) as prepared:
        used = np.concatenate([row.members for row in prepared.solved.rows])
        reasons = {one.sensor: one.reason for one in prepared.left if "stood empty" in one.reason}
    assert not is_empty[used].any()
    assert reasons.keys() == {0, 1}
