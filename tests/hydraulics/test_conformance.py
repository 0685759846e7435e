"""The adjoint's derivatives of every kind, against EPANET's own differences, on small networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from hydraulics.epanet.differences import (
    Change,
    DifferenceSolver,
    Outflow,
    Roughness,
    Setting,
    SplitOutflow,
)
from hydraulics.epanet.reading import read_as_written, read_network
from hydraulics.epanet.toolkit import Boundary, Solver, State, replay
from hydraulics.errors import ModelFileError
from hydraulics.leaks.headloss import PipeLosses, friction_factor
from hydraulics.leaks.tangent import Observed, Sensitivity, Tangent
from hydraulics.network import FloatArray, NetworkModel

CLOSE = 1e-3
"""EPANET's solutions are good to eight digits of all flow, its differences to three or four."""

LOOP = """
[JUNCTIONS]
 a  5  4
 b  6  6
 c  4  5
 d  8  3
 e  2  {end}
[RESERVOIRS]
 r  60
 s  25
[TANKS]
 t  50  3  0  6  12  0
[PIPES]
 ra  r  a  400  250  {rough}  2  Open
 ab  a  b  500  200  {rough}  0  Open
 ab2 a  b  700  150  {rough}  0  Open
 bc  b  c  600  150  {rough}  1  Open
 ad  a  d  300  150  {rough}  0  Open
 dc  d  c  450  150  {rough}  0  Open
 ce  c  e  200  100  {rough}  0  Open
 ct  c  t  900  150  {rough}  0  {tank}
[VALVES]
{valves}
[STATUS]
{status}
[PUMPS]
{pumps}
[EMITTERS]
{emitters}
[CURVES]
 one    20  30
 three  0  60
 three  15  45
 three  30  20
 many   0  50
 many   10  45
 many   20  36
 many   35  20
 many   50  0
 gpv    0  0
 gpv    5  2
 gpv    10 7
 gpv    40 60
[PATTERNS]
 loud  2  3
[OPTIONS]
 UNITS LPS
 HEADLOSS {formula}
{options}
[TIMES]
 DURATION 24:00
 PATTERN TIMESTEP 1:00
[END]
"""


def loop_text(**parts: str) -> str:
    """A ring of five junctions between a reservoir and a tank, with parts filled in."""
    usual = {
        "rough": "100",
        "end": "1",
        "formula": "H-W",
        "tank": "Open",
        "valves": "",
        "status": "",
        "pumps": "",
        "emitters": "",
        "options": "",
    }
    text = LOOP
    for name, value in (usual | parts).items():
        text = text.replace("{" + name + "}", value)
    return text


@dataclass
class At:
    """A solved snapshot with its tangent; everything is observed."""

    solver: DifferenceSolver
    model: NetworkModel
    boundary: Boundary
    state: State
    tangent: Tangent
    observed: list[Observed]
    found: Sensitivity

    def node(self, name: str) -> int:
        return self.model.node_id.index(name)

    def link(self, name: str) -> int:
        return self.model.link_id.index(name)

    def by_epanet(self, change: Change, step: float) -> FloatArray:
        difference = self.solver.difference(self.boundary, self.state, change, step)
        assert difference.kept_status
        return np.concatenate([difference.head, difference.flow])


def as_built(solver: Solver, model: NetworkModel, time_s: float = 0.0) -> Boundary:
    times = np.array([time_s])
    return Boundary(
        solver.demand_m3s(times)[0],
        solver.fixed_head_m(times)[0],
        model.is_open,
        solver.pump_speed(times)[0],
    )


Make = Callable[..., At]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def snapshot(splits: tuple[tuple[str, float], ...] = (), **parts: str) -> At:
        inp = tmp_path / "network.inp"
        inp.write_text(loop_text(**parts))
        model = read_network(inp)
        places = [(model.link_id.index(name), place) for name, place in splits]
        solver = DifferenceSolver(inp, model, places)
        boundary = as_built(solver, model)
        state = solver.solve(boundary)
        slopes = solver.pump_slopes(boundary, state)
        tangent = Tangent(model, PipeLosses(model), state, slopes, solver.outflow_slope(state))
        observed = [Observed(i) for i in range(model.n_nodes)]
        observed += [Observed(-1, (k,), (1.0,)) for k in range(model.n_links)]
        return At(solver, model, boundary, state, tangent, observed, tangent.sensitivity(observed))

    return snapshot


def same(
    at: At, found: FloatArray, expected: FloatArray, rel: float = CLOSE, least: float = 0.0
) -> bool:
    """Whether what we find is alike to a share of itself, or of 2 % of the largest.

    Heads and flows each count by themselves, heads that are masked do not count, and `least` is
    the least that the largest flow is taken to be.
    """
    n = at.model.n_nodes
    shown = at.tangent.is_live | (at.model.node_kind != 0)
    for mine, epanets, floor in (
        (found[:n][shown], expected[:n][shown], 0.0),
        (found[n:], expected[n:], least),
    ):
        size = np.abs(epanets)
        allowed = rel * np.maximum(size, 0.02 * max(size.max(), floor))
        if (np.abs(mine - epanets) > allowed).any():
            return False
    return True


def outflows_agree(at: At, nodes: str, step: float = 1e-5, rel: float = CLOSE) -> bool:
    for name in nodes:
        node = at.node(name)
        expected = at.by_epanet(Outflow(node), step)
        if not same(at, at.found.outflow[:, node], expected, rel, least=1.0):
            return False
    return True


@pytest.mark.parametrize(("formula", "rough"), [("H-W", "100"), ("D-W", "0.3"), ("C-M", "0.012")])
def test_heads_and_flows_answer_to_an_outflow_as_epanet_says(
    make: Make, formula: str, rough: str
) -> None:
    assert outflows_agree(make(formula=formula, rough=rough), "abcd")


@pytest.mark.parametrize(("formula", "rough"), [("H-W", "100"), ("D-W", "0.3"), ("C-M", "0.012")])
def test_heads_and_flows_answer_to_roughness_as_epanet_says(
    make: Make, formula: str, rough: str
) -> None:
    at = make(formula=formula, rough=rough)
    for name in ("ra", "ab", "ab2", "bc", "dc", "ct"):
        link = at.link(name)
        assert same(at, at.found.roughness[:, link], at.by_epanet(Roughness(link), 1e-3))


@pytest.mark.parametrize("reynolds", [500.0, 1999.0, 2400.0, 3000.0, 3999.0, 4001.0, 1e5])
def test_what_moves_the_friction_factor_is_its_derivative(reynolds: float) -> None:
    flow, rough, step = np.array([reynolds * np.pi / 4.0]), np.array([1e-3]), 1e-6
    one = friction_factor(flow, rough)
    by_flow = friction_factor(flow * (1 + step), rough).value
    by_flow -= friction_factor(flow * (1 - step), rough).value
    by_rough = friction_factor(flow, rough * (1 + step)).value
    by_rough -= friction_factor(flow, rough * (1 - step)).value
    assert one.by_log_flow == pytest.approx(by_flow / (2 * step), rel=1e-5)
    assert one.by_log_rough == pytest.approx(by_rough / (2 * step), rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("formula", ["H-W", "D-W", "C-M"])
def test_pipes_lose_what_epanet_says_from_rest_to_wild_flow(make: Make, formula: str) -> None:
    at = make(formula=formula, rough={"H-W": "100", "D-W": "0.3", "C-M": "0.012"}[formula])
    losses = at.tangent.losses
    for factor in (1e-3, 1e-2, 0.1, 1.0, 5.0):
        state = at.solver.solve(at.boundary.with_demand(at.boundary.demand_m3s * factor))
        lost = (state.head_m[at.model.start] - state.head_m[at.model.end])[losses.pipe]
        found = losses.loss_m(state.flow_m3s[losses.pipe])
        assert found == pytest.approx(lost, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("viscosity", ["0.5", "2", "3e-6"])
def test_thick_water_loses_what_epanet_says(make: Make, viscosity: str) -> None:
    at = make(formula="D-W", rough="0.05", options=f" VISCOSITY {viscosity}")
    assert outflows_agree(at, "abcde")


VALVES = {
    "PRV": ("PRV 30", 0.05),
    "PSV": ("PSV 52.35", 0.005),
    "FCV": ("FCV 2", 2e-6),
    "PBV": ("PBV 4", 0.05),
}


@pytest.mark.parametrize("kind", VALVES)
def test_heads_and_flows_answer_to_a_valves_setting_as_epanet_says(make: Make, kind: str) -> None:
    words, step = VALVES[kind]
    at = make(
        valves=f" v b e 150 {words} 0",
        status=" ce Closed",
        emitters=" e 0.5",
    )
    link = at.link("v")
    assert at.state.is_held[link] == (kind != "PBV")
    # EPANET's own flow through a breaker is good to two digits: its conductance is 1e8.
    rel = 0.05 if kind == "PBV" else CLOSE
    assert same(at, at.found.setting[:, link], at.by_epanet(Setting(link), step), rel)
    assert outflows_agree(at, "abcde", step=1e-4 if kind == "PBV" else 1e-5, rel=rel)


def test_heads_and_flows_answer_to_a_throttle_as_epanet_says(make: Make) -> None:
    at = make(valves=" v b e 100 TCV 200 0", status=" ce Closed", emitters=" e 0.5")
    link = at.link("v")
    found = at.found.throttle[:, link] / 200.0
    assert same(at, found, at.by_epanet(Setting(link), 0.2))
    assert outflows_agree(at, "abcde")


def test_a_valve_that_loses_by_a_curve_has_the_slope_of_its_segment(make: Make) -> None:
    at = make(valves=" v b e 100 GPV gpv 0", status=" ce Closed", emitters=" e 0.5")
    assert outflows_agree(at, "abcde")


def test_two_valves_that_hold_one_node_are_one_equation_not_two(make: Make) -> None:
    at = make(valves=" v b e 150 PRV 30 0\n w c e 150 PRV 30 0", status=" ce Closed")
    assert at.state.is_held.sum() == 2
    assert np.isfinite(at.found.outflow).all()


@pytest.mark.parametrize(
    "words",
    [
        "HEAD one",
        "HEAD three",
        "HEAD many",
        "HEAD three SPEED 0.9",
        "HEAD many SPEED 0.9",
        "POWER 3",
    ],
)
def test_a_pump_answers_by_its_own_curve(make: Make, words: str) -> None:
    at = make(pumps=f" p s d {words}", tank="Closed")
    assert outflows_agree(at, "abcd")


def test_a_pump_that_hardly_moves_has_the_slope_of_its_curve(make: Make) -> None:
    at = make(pumps=" p d e HEAD three", status=" ce Closed", tank="Closed", end="0.02")
    assert at.state.flow_m3s[at.link("p")] == pytest.approx(2e-5, rel=1e-2)
    assert outflows_agree(at, "abcde", step=2e-6)


@pytest.mark.parametrize("exponent", ["0.5", "0.9", "1.2"])
def test_emitters_give_more_where_the_head_rises(make: Make, exponent: str) -> None:
    options = f" EMITTER EXPONENT {exponent}"
    at = make(emitters=" b 0.4\n d 0.2\n e 0.3", options=options)
    assert outflows_agree(at, "abcde")


@pytest.mark.parametrize("exponent", ["0.5", "0.8"])
def test_demands_in_want_get_less_where_the_head_falls(make: Make, exponent: str) -> None:
    options = (
        " DEMAND MODEL PDA\n MINIMUM PRESSURE 2\n REQUIRED PRESSURE 75\n"
        f" PRESSURE EXPONENT {exponent}"
    )
    at = make(options=options, tank="Closed")
    wanted, given = at.boundary.demand_m3s, at.state.delivered_m3s
    short = [name for name in "abcd" if given[at.node(name)] < 0.99 * wanted[at.node(name)]]
    assert len(short) > 0
    for name in "abcd":
        node = at.node(name)
        # EPANET's change is one of what is wanted, of which a part is given.
        share = given[node] / wanted[node]
        change = at.by_epanet(Outflow(node), 1e-5) / share
        assert same(at, at.found.outflow[:, node], change)


def test_a_demand_that_is_met_or_dead_does_not_answer_to_head(make: Make) -> None:
    options = " DEMAND MODEL PDA\n MINIMUM PRESSURE {}\n REQUIRED PRESSURE {}"
    met = make(options=options.format(0, 20))
    dead = make(options=options.format(70, 80))
    assert not met.solver.outflow_slope(met.state).any()
    assert not dead.solver.outflow_slope(dead.state).any()


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_a_leak_along_a_pipe_is_shared_by_its_ends(make: Make, place: float) -> None:
    at = make(splits=(("bc", place), ("ra", place)))
    for number, name in enumerate(("bc", "ra")):
        link = at.link(name)
        start, end = at.model.start[link], at.model.end[link]
        found = (1 - place) * at.found.outflow[:, start] + place * at.found.outflow[:, end]
        # The part before the leak carries its water too.
        found[at.model.n_nodes + link] += 1 - place
        assert same(at, found, at.by_epanet(SplitOutflow(number), 1e-5))


def test_nodes_behind_closed_links_are_masked_and_the_others_are_right(make: Make) -> None:
    at = make(status=" ce Closed", end="0")
    node = at.node("e")
    assert not at.tangent.is_live[node]
    assert not at.found.outflow[:, node].any()
    assert not at.found.outflow[node].any()
    assert outflows_agree(at, "abcd")


def test_what_a_flow_valve_alone_feeds_has_no_head_of_its_own(make: Make) -> None:
    at = make(valves=" v b e 150 FCV 0.4 0", status=" ce Closed")
    assert not at.tangent.is_live[at.node("e")]
    assert np.isfinite(at.found.outflow).all()


def test_a_dead_end_without_demand_follows_the_node_it_hangs_on(make: Make) -> None:
    at = make(end="0")
    hangs, dead = at.node("c"), at.node("e")
    assert at.found.outflow[dead] == pytest.approx(at.found.outflow[hangs], rel=1e-6, abs=1e-6)
    change = at.by_epanet(Outflow(hangs), 1e-5)
    assert same(at, at.found.outflow[:, hangs], change)


def test_heads_of_tanks_and_reservoirs_move_what_they_feed(make: Make) -> None:
    at = make()
    for name in "rt":
        node, step = at.node(name), 0.01
        sides = []
        for side in (step, -step):
            head = at.boundary.fixed_head_m.copy()
            head[node] += side
            moved = Boundary(at.boundary.demand_m3s, head, at.boundary.is_open, at.boundary.setting)
            state = at.solver.solve(moved)
            sides.append(np.concatenate([state.head_m, state.flow_m3s]))
        assert same(at, at.found.fixed_head[:, node], (sides[0] - sides[1]) / (2 * step))


def test_an_open_check_valve_lets_its_dead_end_answer(tmp_path: Path) -> None:
    inp = tmp_path / "network.inp"
    inp.write_text(loop_text().replace("100  0  Open\n ct", "100  0  CV\n ct"))
    model = read_network(inp)
    with Solver(inp, model, 1e-8) as solver:
        boundary = as_built(solver, model)
        state = solver.solve(boundary)
        slopes = solver.pump_slopes(boundary, state)
        tangent = Tangent(model, PipeLosses(model), state, slopes, solver.outflow_slope(state))
    assert tangent.is_live[model.node_id.index("e")] == state.is_open[model.link_id.index("ce")]


def test_what_wntr_stumbles_over_is_read_from_epanets_own_copy(tmp_path: Path) -> None:
    inp = tmp_path / "network.inp"
    inp.write_text(loop_text().replace("[TIMES]", "[TIMES]\n STATISTIC AVERAGE"))
    with pytest.raises(ModelFileError):
        read_as_written(inp)
    model = read_network(inp)
    assert set(model.node_id) == set("abcderst")
    with Solver(inp, model, 1e-8) as solver:
        state = solver.solve(as_built(solver, model))
    assert state.head_m[model.node_id.index("a")] == pytest.approx(59.0, abs=0.2)


def test_a_network_at_rest_has_a_solution(make: Make) -> None:
    at = make(tank="Closed", end="0")
    state = at.solver.solve(at.boundary.with_demand(np.zeros(at.model.n_nodes)))
    assert state.head_m[at.node("d")] == pytest.approx(60.0, abs=1e-3)
    assert np.abs(state.flow_m3s).max() < 1e-3


# What was solved before must not matter.


def test_a_snapshot_does_not_depend_on_what_was_solved_before(tmp_path: Path) -> None:
    inp = tmp_path / "network.inp"
    inp.write_text(
        loop_text(
            valves=" v b e 150 PRV 30 0\n w a e 150 TCV 50 0\n x a c 150 PRV 40 0",
            status=" ce Closed\n w Open\n x Closed",
            pumps=" p s d HEAD many",
            emitters=" e 0.5",
        )
    )
    model = read_network(inp)
    kinds = {name: model.link_id.index(name) for name in ("v", "w", "p", "ab", "ad", "x")}
    with Solver(inp, model, 1e-8) as warm:
        plain = as_built(warm, model)
        draw = np.random.default_rng(3)
        for _ in range(12):
            is_open, setting = plain.is_open.copy(), plain.setting.copy()
            for name, link in kinds.items():
                is_open[link] = draw.random() < 0.6
                if name not in {"ab", "ad"} and draw.random() < 0.5:
                    setting[link] = {"p": 0.9, "v": 25.0, "x": 45.0}.get(name, 70.0)
            demand = plain.demand_m3s * draw.uniform(0.3, 1.5)
            boundary = Boundary(demand, plain.fixed_head_m, is_open, setting)
            with Solver(inp, model, 1e-8) as cold:
                expected = cold.solve(boundary)
            found = warm.solve(boundary)
            assert np.array_equal(found.is_open, expected.is_open)
            assert np.array_equal(found.is_held, expected.is_held)
            assert found.flow_m3s == pytest.approx(expected.flow_m3s, abs=1e-7)
            fed = expected.head_m > -100.0
            assert found.head_m[fed] == pytest.approx(expected.head_m[fed], abs=1e-4)
        as_at_first = warm.solve(plain)
        with Solver(inp, model, 1e-8) as cold:
            expected = cold.solve(plain)
        assert as_at_first.flow_m3s == pytest.approx(expected.flow_m3s, abs=1e-7)


def test_a_valve_that_the_file_holds_open_stays_open_when_its_controls_are_replayed(
    tmp_path: Path,
) -> None:
    inp = tmp_path / "network.inp"
    text = loop_text(
        valves=" v b e 150 PRV 30 0\n w a d 150 PRV 30 0", status=" ce Closed\n v Open"
    )
    inp.write_text(text.replace("[OPTIONS]", "[CONTROLS]\n LINK w OPEN AT TIME 1\n[OPTIONS]"))
    model = read_network(inp)
    times, blind = np.array([0.0, 7_200.0]), np.full((2, model.n_nodes), np.nan)
    found = replay(inp, model, times, blind, start_s=0.0)
    held_open, opened = model.link_id.index("v"), model.link_id.index("w")
    assert np.isnan(found.setting[:, held_open]).all()
    assert found.setting[1, opened] == np.inf
    with Solver(inp, model, 1e-8) as solver:
        at_rest = as_built(solver, model)
        later = Boundary(
            at_rest.demand_m3s, at_rest.fixed_head_m, found.is_open[1], found.setting[1]
        )
        state = solver.solve(later)
    assert not state.is_held.any()
    heads = state.head_m[[model.node_id.index(name) for name in "ad"]]
    assert heads[1] > heads[0] - 2.0


def test_a_junction_without_demand_does_not_follow_the_default_pattern(tmp_path: Path) -> None:
    inp = tmp_path / "network.inp"
    inp.write_text(loop_text(options=" PATTERN loud\n DEMAND MULTIPLIER 3"))
    model = read_network(inp)
    with Solver(inp, model, 1e-8) as solver:
        assert solver.demand_m3s(np.array([0.0, 3_600.0]))[:, 0] * 1e3 == pytest.approx(
            [4 * 2 * 3, 4 * 3 * 3], rel=1e-4
        )
        boundary = as_built(solver, model, 3_600.0)
        demand = boundary.demand_m3s.copy()
        demand[model.node_id.index("e")] = 1e-3
        state = solver.solve(boundary.with_demand(demand))
    junctions = model.node_kind == 0
    assert state.delivered_m3s[junctions] == pytest.approx(demand[junctions], abs=1e-9)
