"""The linearization, and the door that solves snapshots, against EPANET's own differences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from hydraulics.epanet.reading import read_network
from hydraulics.epanet.toolkit import Boundary, Solver, replay, strays
from hydraulics.errors import ModelFileError
from hydraulics.leaks.headloss import PipeLosses
from hydraulics.leaks.rows import Row
from hydraulics.leaks.signatures import by_size, predict, second_order
from hydraulics.leaks.tangent import Observed, Tangent
from hydraulics.network import FloatArray, LinkKind, NetworkModel, NodeKind

NETWORKS = Path(__file__).parents[2] / "data" / "networks"
FILES = [NETWORKS / name / "network.inp" for name in ("ltown", "net3")]


@dataclass
class At:
    solver: Solver
    model: NetworkModel
    boundary: Boundary
    tangent: Tangent
    head_m: FloatArray
    flow_m3s: FloatArray


@pytest.fixture(scope="module", params=FILES, ids=["ltown", "net3"])
def at(request: pytest.FixtureRequest) -> Iterator[At]:
    model = read_network(request.param)
    solver = Solver(request.param, model, accuracy=1e-8)
    boundary = boundary_at(solver, model, 8 * 3600.0)
    state = solver.solve(boundary)
    slopes = solver.pump_slopes(boundary, state)
    tangent = Tangent(model, PipeLosses(model), state, slopes, solver.outflow_slope(state))
    yield At(solver, model, boundary, tangent, state.head_m, state.flow_m3s)
    solver.close()


def boundary_at(solver: Solver, model: NetworkModel, time_s: float) -> Boundary:
    times = np.array([time_s])
    return Boundary(
        solver.demand_m3s(times)[0],
        solver.fixed_head_m(times)[0],
        model.is_open,
        solver.pump_speed(times)[0],
    )


def some_nodes(at: At, n: int) -> np.ndarray:
    return np.random.default_rng(1).choice(at.tangent.live, n, replace=False)


def row_of(at: At) -> Row:
    """The state as a row of one reading, whose users took what they took."""
    zeros, links = np.zeros(at.model.n_nodes), np.zeros(1, dtype=np.int64)
    none, zone = zeros > 1.0, zeros.astype(np.int64)
    return Row(
        False, 0, 0.0, 1, links, np.ones(1), links, at.boundary, zeros + 1.0, none, none, zone
    )


def test_pressure_falls_by_an_outflow_as_epanet_says_within_a_percent(at: At) -> None:
    nodes, step = some_nodes(at, 12), 1e-5
    up, _ = at.solver.with_outflow(at.boundary, list(nodes), [step] * len(nodes))
    down, _ = at.solver.with_outflow(at.boundary, list(nodes), [-step] * len(nodes))
    difference = (up - down)[:, nodes].T / (2 * step)
    found = at.tangent.sensitivity([Observed(int(n)) for n in nodes]).outflow[:, nodes]
    large = np.abs(difference) > 1e-2 * np.abs(difference).max()
    assert found[large] == pytest.approx(difference[large], rel=0.01)


def test_flows_of_meters_move_as_epanet_says_within_a_percent(at: At) -> None:
    nodes = some_nodes(at, 8)
    links = [int(k) for k in np.argsort(-np.abs(at.flow_m3s))[:5]]
    observed = [Observed(-1, (k,), (1.0,)) for k in links]
    step = 1e-5
    up, flow_up = at.solver.with_outflow(at.boundary, list(nodes), [step] * len(nodes))
    down, flow_down = at.solver.with_outflow(at.boundary, list(nodes), [-step] * len(nodes))
    moved = predict(observed, up, flow_up) - predict(observed, down, flow_down)
    found = at.tangent.sensitivity(observed).outflow[:, nodes]
    assert found == pytest.approx(moved / (2 * step), abs=0.01)


def test_an_outflow_changes_no_flow_by_more_than_itself(at: At) -> None:
    for size in (1e-3, 2e-2):
        nodes = list(some_nodes(at, 12))
        _, flow = at.solver.with_outflow(at.boundary, nodes, [size] * 12)
        assert np.abs(flow - at.flow_m3s).max() <= size * 1.001
        assert not any(strays(one, at.flow_m3s, size) for one in flow)


def test_a_state_with_a_link_shut_that_an_outflow_cannot_shut_is_not_believed(at: At) -> None:
    before_m3s = at.flow_m3s.copy()
    before_m3s[int(np.abs(before_m3s).argmin())] = 0.1
    node = int(some_nodes(at, 1)[0])
    heads, flows = at.solver.with_outflow(at.boundary, [node], [1e-3], before_m3s)
    assert np.isnan(heads).all()
    assert np.isnan(flows).all()


def test_leaks_tried_in_turn_while_pumps_turn_do_what_each_does_alone(at: At) -> None:
    nodes, sizes = some_nodes(at, 5).tolist(), [1e-3, 4e-3, 1e-3, 2e-3, 1e-3]
    is_pump = at.model.link_kind == LinkKind.PUMP
    resting = replace(at.boundary, is_open=at.model.is_open & ~is_pump)
    before = [(one, at.solver.solve(one).flow_m3s) for one in (at.boundary, resting)]
    for boundary, flow_m3s in before * 2:
        in_turn, _ = at.solver.with_outflow(boundary, nodes, sizes, flow_m3s, 1e-5)
        for head_m, node, size in zip(in_turn, nodes, sizes, strict=True):
            at.solver.start_anew()
            alone, _ = at.solver.with_outflow(boundary, [node], [size])
            fed = at.tangent.is_live & (alone[0] > -100.0)
            assert head_m[fed] == pytest.approx(alone[0][fed], abs=2e-5)


def test_what_leaks_just_beside_a_tank_or_source_moves_no_head_and_all_that_its_meter_reads(
    at: At,
) -> None:
    fixed = int(np.flatnonzero(at.model.node_kind != NodeKind.JUNCTION)[-1])
    ends, starts = np.flatnonzero(at.model.end == fixed), np.flatnonzero(at.model.start == fixed)
    into = (1.0,) * len(ends) + (-1.0,) * len(starts)
    observed = [Observed(-1, (*ends.tolist(), *starts.tolist()), into), Observed(5)]
    effect = at.tangent.sensitivity(observed).leak[:, fixed]
    assert effect.tolist() == [-1.0, 0.0]
    heads, flows = at.solver.with_outflow(at.boundary, [fixed], [0.01])
    assert heads[0] == pytest.approx(at.head_m, abs=1e-4)
    assert flows[0] == pytest.approx(at.flow_m3s, abs=1e-6)


def test_second_order_never_changes_a_meter_by_more_than_three_leaks(at: At) -> None:
    nodes = np.arange(at.model.n_nodes)
    sources = np.flatnonzero(at.model.node_kind != NodeKind.JUNCTION)
    is_beside = np.isin(at.model.start, sources) | np.isin(at.model.end, sources)
    observed = [Observed(-1, (int(k),), (1.0,)) for k in np.flatnonzero(is_beside)]
    row, sizes = row_of(at), np.array([0.001, 0.02, 0.1])
    sensitivity = at.tangent.sensitivity(observed)
    effect = second_order(at.tangent, observed, sensitivity, row, nodes, sizes)
    assert (np.abs(effect).max(axis=(0, 1)) <= 3.0 * sizes).all()


def test_the_response_of_flows_is_the_adjoint_seen_from_the_other_side(at: At) -> None:
    nodes = some_nodes(at, 6)
    links = np.flatnonzero(at.tangent.conductance > 0)[:40]
    observed = [Observed(-1, (int(k),), (1.0,)) for k in links]
    by_adjoint = at.tangent.sensitivity(observed).outflow[:, nodes]
    outflow = np.eye(at.model.n_nodes)[nodes]
    responses = np.stack([at.tangent.flow_response_of(one)[links] for one in outflow], axis=1)
    assert responses == pytest.approx(by_adjoint, abs=1e-6)


def test_losses_of_pipes_are_the_differences_of_heads(at: At) -> None:
    losses, model = at.tangent.losses, at.model
    lost = (at.head_m[model.start] - at.head_m[model.end])[losses.pipe]
    carries = at.tangent.conductance[losses.pipe] > 0
    found = losses.loss_m(at.flow_m3s[losses.pipe])
    assert found[carries] == pytest.approx(lost[carries], abs=5e-3, rel=1e-3)


def test_reversing_the_flow_reverses_the_loss(at: At) -> None:
    losses = at.tangent.losses
    flow = np.random.default_rng(2).normal(0.0, 0.01, len(losses.pipe))
    assert np.array_equal(losses.loss_m(-flow), -losses.loss_m(flow))


def test_demands_of_the_file_are_what_epanet_delivers(at: At) -> None:
    state = at.solver.solve(at.boundary)
    junction = at.model.node_kind == 0
    assert state.delivered_m3s[junction] == pytest.approx(
        at.boundary.demand_m3s[junction], abs=1e-9
    )


def test_a_tank_is_held_where_it_was_measured(at: At) -> None:
    tank = int(np.flatnonzero(at.model.node_kind == 2)[0])
    head = at.boundary.fixed_head_m.copy()
    head[tank] -= 0.5
    lower = Boundary(at.boundary.demand_m3s, head, at.boundary.is_open, at.boundary.setting)
    assert at.solver.solve(lower).head_m[tank] == pytest.approx(head[tank], abs=1e-6)


def test_second_order_halves_the_error_of_a_large_leak_at_least(at: At) -> None:
    nodes = some_nodes(at, 10)
    size = 0.05 * float(at.boundary.demand_m3s.sum())
    observed = [Observed(int(n)) for n in nodes]
    sensitivity = at.tangent.sensitivity(observed)
    row = row_of(at)
    heads, flows = at.solver.with_outflow(at.boundary, list(nodes), [size] * len(nodes))
    base = at.head_m[nodes]
    true = np.diag(predict(observed, heads, flows)) - base
    found = np.diag(
        second_order(at.tangent, observed, sensitivity, row, nodes, np.array([size]))[:, :, 0]
    )
    first = np.diag(sensitivity.outflow[:, nodes]) * size
    assert np.abs(found - true).sum() < 0.5 * np.abs(first - true).sum()


def test_a_leak_that_loses_twice_its_size_in_a_row_does_what_one_of_twice_the_size_does(
    at: At,
) -> None:
    nodes, sizes = some_nodes(at, 6), np.array([0.001, 0.01])
    observed = [Observed(int(n)) for n in nodes]
    given = at.tangent, observed, at.tangent.sensitivity(observed), row_of(at), nodes
    twice = by_size(*given, sizes, factor=np.full(len(nodes), 2.0))
    assert twice == pytest.approx(by_size(*given, 2.0 * sizes), abs=0.02)


def test_second_order_adds_what_each_pipe_loses_beyond_the_straight_line(at: At) -> None:
    tangent, size = at.tangent, 0.02 * float(at.boundary.demand_m3s.sum())
    nodes = np.concatenate([some_nodes(at, 7), np.flatnonzero(at.model.node_kind != 0)[:1]])
    link = int(np.argmax(np.abs(at.flow_m3s)))
    observed = [*(Observed(int(n)) for n in nodes[:5]), Observed(-1, (link,), (1.0,))]
    sensitivity = tangent.sensitivity(observed)
    zeros, row = np.zeros(at.model.n_nodes), row_of(at)
    found = second_order(tangent, observed, sensitivity, row, nodes, np.array([size]))[:, :, 0]
    losses, pipe = tangent.losses, tangent.losses.pipe
    carries = tangent.conductance[pipe] > 0
    metre = np.ones(at.model.n_links)
    by_loss = tangent._by_loss(observed, sensitivity.outflow, metre)[:, pipe]
    for column, node in enumerate(nodes):
        outflow = zeros.copy()
        outflow[node] = size if at.model.node_kind[node] == 0 else 0.0
        shift = tangent.flow_response_of(outflow)[pipe]
        flow = at.flow_m3s[pipe]
        straight = losses.loss_m(flow) + shift / np.where(carries, tangent.conductance[pipe], 1.0)
        beyond = np.where(carries, losses.loss_m(flow + shift) - straight, 0.0)
        expected = sensitivity.outflow[:, node] * size + by_loss @ beyond
        # What no instrument hears of a pipe is left out, and that of many adds up.
        assert found[:, column] == pytest.approx(expected, abs=0.01 * np.abs(expected).max())


def test_a_replay_fills_and_empties_the_tank_by_its_controls() -> None:
    inp = FILES[0]
    model = read_network(inp)
    times = np.arange(0.0, 86_400.0, 1_800.0)
    blind = np.full((len(times), model.n_nodes), np.nan)
    found = replay(inp, model, times, blind, start_s=0.0)
    pump = model.link_id.index("PUMP_1")
    assert found.is_open[:, pump].any()
    assert not found.is_open[:, pump].all()


def test_a_file_that_epanet_cannot_read_is_an_error_of_ours(tmp_path: Path) -> None:
    broken = tmp_path / "broken.inp"
    broken.write_text("[JUNCTIONS]\n a 1\n[PIPES]\n p a nowhere 1 1 1\n[END]\n")
    model = read_network(FILES[1])
    with pytest.raises(ModelFileError):
        Solver(broken, model)


def test_nothing_is_left_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = read_network(FILES[1])
    with Solver(FILES[1], model) as solver:
        solver.solve(boundary_at(solver, model, 0.0))
    blind = np.full((2, model.n_nodes), np.nan)
    replay(FILES[1], model, np.array([0.0, 3600.0]), blind, start_s=0.0)
    assert list(tmp_path.iterdir()) == []
