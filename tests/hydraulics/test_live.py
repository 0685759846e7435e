"""The engine for live runs: against the tangent, against EPANET, and on leaks that are known."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.sparse import csc_array
from scipy.sparse.linalg import splu

from hydraulics.epanet.devices import UnsupportedError, read_devices
from hydraulics.epanet.reading import read_network
from hydraulics.epanet.toolkit import Boundary, Solver, State
from hydraulics.errors import NotConvergedError
from hydraulics.leaks.equations import Grid, linearize, make_grid, reach
from hydraulics.leaks.gga import NewtonSolver, Solution
from hydraulics.leaks.headloss import PipeLosses
from hydraulics.leaks.live import (
    LiveLocator,
    NoReadingError,
    Snapshot,
    Unsure,
    _log_mean,
    whiten,
)
from hydraulics.leaks.solves import solves
from hydraulics.leaks.tangent import Observed, Tangent
from hydraulics.network import NetworkModel

NETWORKS = Path(__file__).parents[2] / "data" / "networks"
EPYT = Path(str(files("epyt"))) / "networks" / "asce-tf-wdst"
STOCK = Path(str(files("wntr"))) / "library" / "networks"
FILES = [
    NETWORKS / "ltown" / "network.inp",  # three PRV hold
    NETWORKS / "net3" / "network.inp",
    EPYT / "ky6.inp",  # a PRV holds
    EPYT / "ky7.inp",
    EPYT / "Balerma.inp",  # Darcy–Weisbach
    STOCK / "Net2.inp",
]
NAMES = ["ltown", "net3", "ky6", "ky7", "balerma", "net2"]


@dataclass
class At:
    solver: Solver
    model: NetworkModel
    grid: Grid
    newton: NewtonSolver
    boundary: Boundary
    state: State


def opened(inp: Path) -> At:
    model = read_network(inp)
    solver = Solver(inp, model, accuracy=1e-8)
    times = np.array([8 * 3600.0])
    boundary = Boundary(
        solver.demand_m3s(times)[0],
        solver.fixed_head_m(times)[0],
        model.is_open,
        solver.pump_speed(times)[0],
    )
    grid = make_grid(model)
    newton = NewtonSolver(grid, PipeLosses(model), read_devices(solver))
    return At(solver, model, grid, newton, boundary, solver.solve(boundary))


@pytest.fixture(scope="module", params=FILES, ids=NAMES)
def at(request: pytest.FixtureRequest) -> Iterator[At]:
    made = opened(request.param)
    yield made
    made.solver.close()


@pytest.fixture(scope="module")
def ltown() -> Iterator[At]:
    made = opened(FILES[0])
    yield made
    made.solver.close()


def tangent_at(at: At) -> Tangent:
    at.solver.solve(at.boundary)
    link_slope = at.solver.pump_slopes(at.boundary, at.state)
    node_slope = at.solver.outflow_slope(at.state)
    return Tangent(at.model, PipeLosses(at.model), at.state, link_slope, node_slope)


def matrix_of(at: At, tangent: Tangent) -> np.ndarray:
    """Balances of live junctions, then what each valve holds, written out in full."""
    model, n_live = at.model, len(tangent.live)
    row = tangent.row_of
    matrix = np.zeros((n_live + len(tangent.held), n_live + len(tangent.held)))
    matrix[np.arange(n_live), np.arange(n_live)] = -1e-12  # keeps what is all but at rest solvable
    for k in np.flatnonzero(tangent.conductance > 0):
        for one, other in ((model.start[k], model.end[k]), (model.end[k], model.start[k])):
            if row[one] >= 0:
                matrix[row[one], row[one]] -= tangent.conductance[k]
                if row[other] >= 0:
                    matrix[row[one], row[other]] += tangent.conductance[k]
    for n, k in enumerate(tangent.held):
        at_valve = n_live + n
        for node, sign in ((model.start[k], -1.0), (model.end[k], 1.0)):
            if row[node] >= 0:
                matrix[row[node], at_valve] = sign
        kind = model.valve_type[k]
        held = {"PRV": model.end[k], "PSV": model.start[k]}.get(kind)
        matrix[at_valve, at_valve if held is None else row[held]] = 1.0
    return matrix


def test_falls_are_the_tangents_adjoints(at: At) -> None:
    tangent = tangent_at(at)
    fixes = at.model.node_kind != 0
    found = reach(at.grid, tangent.conductance > 0, tangent.held, fixes)
    linear = linearize(at.grid, found, tangent.conductance)
    nodes = np.random.default_rng(1).choice(tangent.live, min(33, len(tangent.live)), False)
    wanted = -tangent.adjoint([Observed(int(n)) for n in nodes])[: len(tangent.live)]
    falls = linear.falls(nodes)[at.grid.node_place[tangent.live]]
    assert np.abs(falls - wanted).max() <= 1e-8 * np.abs(wanted).max()


def test_falls_by_an_outflow_are_those_of_the_matrix_in_full(at: At) -> None:
    tangent = tangent_at(at)
    fixes = at.model.node_kind != 0
    found = reach(at.grid, tangent.conductance > 0, tangent.held, fixes)
    linear = linearize(at.grid, found, tangent.conductance)
    live, other = tangent.live, np.flatnonzero(~tangent.is_live)[:2]
    nodes = np.random.default_rng(5).choice(live, min(20, len(live)), False)
    right = np.zeros((len(live) + len(tangent.held), len(nodes)))
    right[np.searchsorted(live, nodes), np.arange(len(nodes))] = 1.0
    wanted = -splu(csc_array(matrix_of(at, tangent))).solve(right)[: len(live)]
    falls = linear.falls_by(np.concatenate([nodes, other]))
    found_falls = falls[at.grid.node_place[live]]
    assert np.abs(found_falls[:, : len(nodes)] - wanted).max() <= 2e-8 * np.abs(wanted).max()
    assert not falls[:, len(nodes) :].any()


def test_what_is_live_is_what_open_links_join_to_a_source(at: At) -> None:
    tangent, model = tangent_at(at), at.model
    joined = np.flatnonzero(
        (tangent.conductance > 0) | np.isin(np.arange(model.n_links), tangent.held)
    )
    network = nx.Graph(zip(model.start[joined].tolist(), model.end[joined].tolist(), strict=True))
    sources = np.flatnonzero(model.node_kind != 0).tolist()
    reached = {n for part in nx.connected_components(network) if part & set(sources) for n in part}
    assert set(tangent.live.tolist()) == reached - set(sources)


@pytest.mark.parametrize("trans", ["N", "T"])
def test_both_ways_of_solving_are_those_of_the_matrix_in_full(at: At, trans: str) -> None:
    tangent = tangent_at(at)
    found = solves(at.grid, tangent.conductance, tangent.held, np.zeros(at.model.n_nodes), 1e-9)
    n_live = len(found.live)
    right = np.random.default_rng(4).normal(size=(n_live + len(found.held), 3))
    wanted = splu(csc_array(matrix_of(at, tangent))).solve(right, trans)
    solved = found.solve(right, trans)
    for part in (slice(n_live), slice(n_live, None)):
        largest = np.abs(wanted[part]).max(initial=0.0)
        assert (np.abs(solved[part] - wanted[part]) <= 2e-8 * largest).all()
    alone = found.solve(right[:, 0], trans)
    assert np.abs(alone - solved[:, 0]).max() <= 1e-11 * np.abs(solved[:, 0]).max()


def test_heads_and_flows_are_epanets_from_a_cold_start(at: At) -> None:
    agree(at.newton.solve(at.boundary, accuracy=1e-7), at.state)


@pytest.mark.parametrize("factor", [0.5, 1.03, 1.4])
def test_heads_and_flows_are_epanets_from_another_state(at: At, factor: float) -> None:
    boundary = at.boundary.with_demand(at.boundary.demand_m3s * factor)
    agree(at.newton.solve(boundary, at.state, accuracy=1e-7), at.solver.solve(boundary))


def agree(found: Solution, wanted: State) -> None:
    # EPANET's factor from m³/s to ft³/s is rounded at the sixth digit, so its losses are too.
    lost = np.ptp(wanted.head_m)
    live = np.isfinite(found.state.head_m)
    assert live.mean() > 0.99
    assert found.state.head_m[live] == pytest.approx(wanted.head_m[live], abs=2e-5 * lost + 1e-4)
    passed = np.abs(wanted.flow_m3s).max()
    assert found.state.flow_m3s == pytest.approx(wanted.flow_m3s, abs=2e-5 * passed)
    assert np.array_equal(found.state.is_held, wanted.is_held)
    fixed = ~np.isclose(wanted.delivered_m3s, found.state.delivered_m3s, atol=2e-5 * passed)
    assert not fixed.any()


def test_a_valve_that_cannot_hold_opens_as_epanets_does(ltown: At) -> None:
    setting = np.full(ltown.model.n_links, np.nan)
    valve = ltown.model.valve_type.index("PRV")
    setting[valve] = 90.0
    boundary = replace(ltown.boundary, setting=setting)
    found = ltown.newton.solve(boundary, ltown.state, accuracy=1e-7)
    agree(found, ltown.solver.solve(boundary))
    assert not found.state.is_held[valve]


def test_what_a_closed_link_cuts_off_is_masked_and_moves_no_sensor(ltown: At) -> None:
    model = ltown.model
    degree = np.bincount(np.concatenate([model.start, model.end]), minlength=model.n_nodes)
    link = int(np.flatnonzero((degree[model.end] == 1) & (model.node_kind[model.end] == 0))[0])
    end, is_open = int(model.end[link]), model.is_open.copy()
    is_open[link] = False
    found = ltown.newton.solve(replace(ltown.boundary, is_open=is_open), ltown.state)
    assert np.isnan(found.state.head_m[end])
    assert np.isfinite(np.delete(found.state.head_m, end)).all()
    falls = found.linear.falls(np.array([end, int(model.start[link])]))
    assert not falls[:, 0].any()
    assert falls[ltown.grid.node_place[end], 1] == 0.0


def test_two_solutions_do_not_share_numbers(ltown: At) -> None:
    first = ltown.newton.solve(ltown.boundary, ltown.state)
    nodes = ltown.grid.node[:5]
    before = first.linear.falls(nodes), first.state.head_m.copy()
    more = ltown.boundary.with_demand(ltown.boundary.demand_m3s * 1.5)
    ltown.newton.solve(more, first.state)
    assert np.array_equal(first.linear.falls(nodes), before[0])
    assert np.array_equal(first.state.head_m, before[1])


def test_what_the_engine_does_not_know_is_refused_by_name() -> None:
    inp = STOCK.parents[1] / "tests" / "networks_for_testing" / "epanet_leaks.inp"
    model = read_network(inp)
    with Solver(inp, model) as solver, pytest.raises(UnsupportedError, match="leak1: an emitter"):
        read_devices(solver)


def test_demand_that_grows_without_end_is_an_error_of_ours(ltown: At) -> None:
    demand = np.where(ltown.boundary.demand_m3s > 0, np.nan, 0.0)
    with pytest.raises(NotConvergedError):
        ltown.newton.solve(ltown.boundary.with_demand(demand))


@dataclass
class Live:
    at: At
    locator: LiveLocator
    whitener: np.ndarray
    before: Solution

    def answer(self, leak_m3s: float, node: int, lost: tuple[int, ...] = ()) -> np.ndarray:
        heads, _ = self.at.solver.with_outflow(self.at.boundary, [node], [leak_m3s])
        pressure = (heads[0] - self.at.model.elevation_m)[self.locator.sensor]
        pressure += np.random.default_rng(node).normal(0.0, 0.01, len(pressure))
        pressure[list(lost)] = np.nan
        taken = float(self.at.boundary.demand_m3s.sum()) + leak_m3s
        snapshot = Snapshot(self.at.boundary, taken, pressure)
        self.found = self.locator.cycle(
            snapshot, self.whitener, np.zeros(len(pressure)), self.before
        )
        return self.found.probability


@pytest.fixture(scope="module")
def live(ltown: At) -> Live:
    sensor = np.random.default_rng(5).choice(ltown.grid.node, 33, replace=False)
    locator = LiveLocator(ltown.newton, sensor)
    taken = float(ltown.boundary.demand_m3s.sum())
    before = locator.nominal(Snapshot(ltown.boundary, taken, np.zeros(33)))
    known = Unsure(demand=0.02, roughness=0.0, roughness_common=0.0, setting_m=0.0, bias_m=0.0)
    return Live(ltown, locator, whiten(locator.covariance(before, known)), before)


@pytest.mark.parametrize("lost", [(), (0, 7)], ids=["all sensors", "two lost"])
def test_a_leak_that_was_simulated_is_among_the_likeliest_pipes(
    live: Live, lost: tuple[int, ...]
) -> None:
    model, draw = live.at.model, np.random.default_rng(2)
    length = model.length_m[live.locator.pipe]
    for pipe in draw.choice(live.locator.pipe, 6, p=length / length.sum()):
        probability = live.answer(0.003, int(model.start[pipe]), lost)
        assert probability.sum() == pytest.approx(1.0, abs=1e-12)
        rank = int((probability > probability[live.locator.pipe == pipe]).sum())
        assert rank < 0.05 * len(probability)
        assert live.found.log_evidence > 5.0
        best = int(probability.argmax())
        assert live.found.flow_m3s[best] == pytest.approx(0.003, rel=0.5)


def test_without_a_leak_there_is_no_evidence_for_one(live: Live) -> None:
    probability = live.answer(0.0, int(live.at.grid.node[3]))
    assert live.found.log_evidence < 1.0
    assert probability.max() < 0.1
    assert probability.sum() == pytest.approx(1.0, abs=1e-12)


def test_a_snapshot_that_reads_nothing_is_refused(live: Live) -> None:
    taken = float(live.at.boundary.demand_m3s.sum())
    snapshot = Snapshot(live.at.boundary, taken, np.full(33, np.nan))
    with pytest.raises(NoReadingError, match="no pressure sensor has a reading"):
        live.locator.cycle(snapshot, live.whitener, np.zeros(33), live.before)


def test_the_covariance_of_demands_is_what_the_tangent_makes_it(live: Live) -> None:
    at, sensor = live.at, live.locator.sensor
    tangent = tangent_at(at)
    effect = tangent.sensitivity([Observed(int(n)) for n in sensor]).outflow
    demand = at.boundary.demand_m3s
    net = (effect - (effect @ demand / demand.sum())[:, None]) * demand
    only = Unsure(0.3, 0.0, 0.0, 0.0, 0.0, 0.02)
    found = live.locator.covariance(live.before, only)
    wanted = 0.09 * net @ net.T + 0.0004 * np.eye(len(sensor))
    assert found == pytest.approx(wanted, rel=1e-4, abs=1e-6 * wanted.max())


@settings(deadline=None)  # an integral may take its time
@given(st.floats(-300.0, 300.0), st.floats(-4.0, 4.0).map(lambda power: 10.0**power))
def test_the_mean_over_sizes_is_the_integral(along: float, square: float) -> None:
    def term(q: float) -> float:
        return math.exp(along * q - 0.5 * square * q * q - top)

    peak = min(max(along / square, 0.0), 1.0)
    top = along * peak - 0.5 * square * peak * peak
    width = min(1.0 / math.sqrt(square), 1.0 / max(abs(along - square * peak), 1e-3))
    points = sorted({min(max(peak + k * width, 0.0), 1.0) for k in (-40, -8, -2, 0, 2, 8, 40)})
    mean = sum(quad(term, a, b)[0] for a, b in pairwise(points))
    assert _log_mean(along, square, 1.0) == pytest.approx(math.log(mean) + top, abs=1e-6)
