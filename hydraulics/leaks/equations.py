"""The linear equations of a state on one fixed pattern, whatever opens, closes or holds.

A valve that holds a pressure or a flow makes the equations unsymmetric. The factor stays symmetric:
the head that a pressure valve holds is grounded, which changes nothing as that head is known, and
the valves' flows follow from as many equations as there are valves. A node that no source reaches
is masked: its row becomes an identity.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from hydraulics.compiled import compiled
from hydraulics.leaks.ldl import Factor, PlaceArray, Symbolic, analyse, factorize
from hydraulics.network import BoolArray, FloatArray, IndexArray, NetworkModel, NodeKind

_SLACK = 1e-12
"""Conductance [m²/s] of every node to the ground: far below any pipe's, as in `Tangent`."""
_GROUNDING = 1e-2
"""Conductance [m²/s] that grounds a held node; any would do, this is near that of pipes."""
_HOLDS_HEAD = frozenset({"PRV", "PSV"})


@dataclass(frozen=True, slots=True)
class Grid:
    """A network's numbering, order of elimination and pattern; made once.

    Attributes:
        model: The network.
        node: Node of each unknown, all junctions, shape (n_unknowns,).
        unknown: Unknown of each node, -1 where the head is known, shape (n_nodes,).
        symbolic: Order and pattern with every link in it.
        node_place: Place of each node in the order, -1 where the head is known, shape (n_nodes,).
    """

    model: NetworkModel
    node: IndexArray
    unknown: IndexArray
    symbolic: Symbolic
    node_place: PlaceArray

    @property
    def place_node(self) -> IndexArray:
        """Node at each place, shape (n_unknowns,)."""
        return self.node[self.symbolic.order]


def make_grid(model: NetworkModel) -> Grid:
    """Return a network's order of elimination."""
    node = np.flatnonzero(model.node_kind == NodeKind.JUNCTION)
    unknown = np.full(model.n_nodes, -1, dtype=np.int64)
    unknown[node] = np.arange(len(node))
    symbolic = _symbolic(len(node), unknown[model.start].tobytes(), unknown[model.end].tobytes())
    node_place = np.full(model.n_nodes, -1, dtype=np.int32)
    node_place[node] = symbolic.place
    return Grid(model, node, unknown, symbolic, node_place)


@lru_cache(maxsize=4)
def _symbolic(n_unknowns: int, start: bytes, end: bytes) -> Symbolic:
    """Return the order of a topology; one network is asked again and again."""
    ends = (np.frombuffer(side, dtype=np.int64) for side in (start, end))
    return analyse(n_unknowns, *ends)


@dataclass(frozen=True, slots=True)
class Reach:
    """What a set of carrying and holding links leaves connected to a source.

    Attributes:
        carries: The links whose flow follows heads, shape (n_links,).
        held: The valves that hold.
        is_live: Nodes whose head something fixes, shape (n_nodes,).
        pressure_valve: Valves that hold the head of a node, shape (n_pressure,).
        held_node: The node of each.
        flow_valve: Valves whose flow is given, shape (n_flow,).
    """

    carries: BoolArray
    held: IndexArray
    is_live: BoolArray
    pressure_valve: IndexArray
    held_node: IndexArray
    flow_valve: IndexArray

    def is_of(self, carries: BoolArray, held: IndexArray) -> bool:
        """Return whether this is what these links leave connected."""
        return np.array_equal(self.carries, carries) and np.array_equal(self.held, held)


def reach(grid: Grid, carries: BoolArray, held: IndexArray, fixes_head: BoolArray) -> Reach:
    """Return what a source reaches.

    A pressure valve fixes the head on its side once the other side can take or give its flow; a
    second one at the same node, and a flow valve, hold a flow.

    Args:
        grid: The network.
        carries: Links whose flow follows the heads at their ends, shape (n_links,).
        held: Valves that hold their setting.
        fixes_head: Sources, and nodes whose outflow rises with head, shape (n_nodes,).
    """
    model = grid.model
    label = parts(model.start, model.end, carries, model.n_nodes)
    is_fixed = np.zeros(model.n_nodes, dtype=np.bool_)
    is_fixed[label[fixes_head]] = True
    node_of: dict[int, int] = {}
    waiting = [int(link) for link in held if model.valve_type[link] in _HOLDS_HEAD]
    while ready := [k for k in waiting if is_fixed[label[_sides(model, k)[1]]]]:
        node, _ = _sides(model, ready[0])
        if node not in node_of.values() and grid.unknown[node] >= 0:
            node_of[ready[0]] = node
            is_fixed[label[node]] = True
        waiting.remove(ready[0])
    pressure = np.array(list(node_of), dtype=np.int64)
    holders = np.array(list(node_of.values()), dtype=np.int64)
    flow = np.array([k for k in held.tolist() if k not in node_of], dtype=np.int64)
    return Reach(carries, held, is_fixed[label], pressure, holders, flow)


def _sides(model: NetworkModel, link: int) -> tuple[int, int]:
    """Return the node whose head a pressure valve holds, and the one across the valve."""
    start, end = int(model.start[link]), int(model.end[link])
    return (end, start) if model.valve_type[link] == "PRV" else (start, end)


@compiled
def parts(start: IndexArray, end: IndexArray, carries: BoolArray, n_nodes: int) -> IndexArray:
    """Return one node of each connected part for all its nodes, shape (n_nodes,)."""
    above = np.arange(n_nodes)
    for k in range(len(start)):
        if carries[k]:
            one, other = start[k], end[k]
            while above[one] != one:
                above[one] = above[above[one]]
                one = above[one]
            while above[other] != other:
                above[other] = above[above[other]]
                other = above[other]
            above[max(one, other)] = min(one, other)
    for i in range(n_nodes):  # a part's name is its smallest node, which comes first
        above[i] = above[above[i]]
    return above


@dataclass(frozen=True, slots=True)
class Linear:
    """The factored equations of one state.

    Heads h, in m, and pressure valves' flows v, in m³/s, meet
    `A h = inflow + B v` and, at each held node, `h = setting`.

    Attributes:
        grid: The network.
        reach: What was connected.
        factor: Of A with held nodes grounded.
        valve_start: Place at each pressure valve's start, -1 where the head is known.
        valve_end: The same at its end.
        valve_held: Place that it holds.
        columns: A⁻¹ B, shape (n_unknowns, n_pressure), by place.
        by_setting: Flows of valves by heads at held places [m²/s], (n_pressure, n_pressure).
    """

    grid: Grid
    reach: Reach
    factor: Factor
    valve_start: PlaceArray
    valve_end: PlaceArray
    valve_held: PlaceArray
    columns: FloatArray
    by_setting: FloatArray

    def heads(self, inflow: FloatArray, setting_m: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return heads at given inflows.

        Args:
            inflow: Right side of the balances [m³/s], shape (n_unknowns,), by place; 0 if masked.
            setting_m: Head at each held node, shape (n_pressure,).

        Returns:
            Heads by place, shape (n_unknowns,), and flows of pressure valves [m³/s].
        """
        heads, flow = self.heads_at(inflow[:, None].copy(), setting_m[:, None])
        return heads[:, 0], flow[:, 0]

    def heads_at(self, block: FloatArray, setting_m: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the same for several columns; `block`, the inflows, is used up."""
        if not len(self.valve_held):
            self.factor.solve_in_place(block)
            return block, np.empty((0, block.shape[1]))
        block[self.valve_held] += _GROUNDING * setting_m
        self.factor.solve_in_place(block)
        flow = self.by_setting @ (setting_m - block[self.valve_held])
        return block + self.columns @ flow, np.asarray(flow, dtype=np.float64)

    def multipliers_at(self, block: FloatArray, given: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Solve the transposed equations `−A y + Cᵀ λ = block`, `Bᵀ y = given`.

        Args:
            block: Shape (n_unknowns, n_columns), by place; used up.
            given: Shape (n_pressure, n_columns).

        Returns:
            y, shape (n_unknowns, n_columns), and λ, shape (n_pressure, n_columns).
        """
        np.negative(block, out=block)
        if not len(self.valve_held):
            self.factor.solve_in_place(block)
            return block, np.empty((0, block.shape[1]))
        # Bᵀ A⁻¹ is the transpose of `columns`, for A is symmetric.
        pull = self.by_setting.T @ (given - self.columns.T @ block)
        np.add.at(block, self.valve_held, pull)
        self.factor.solve_in_place(block)
        return block, np.asarray(pull - _GROUNDING * block[self.valve_held], dtype=np.float64)

    def falls(self, nodes: IndexArray, out: FloatArray | None = None) -> FloatArray:
        """Return how far the heads of some nodes fall by a unit outflow at any place.

        Args:
            nodes: Observed nodes, shape (n_observed,).
            out: Where to put it, overwritten; new if None.

        Returns:
            Falls [s/m²], shape (n_unknowns, n_observed), by place; 0 where masked.
        """
        place, block = self._places(nodes), self._room(len(nodes), out)
        n = len(self.valve_held)
        pull: FloatArray = np.zeros((n, len(nodes)))
        if n:
            moved = np.where(place[:, None] >= 0, self.columns[place], 0.0).T
            pull = np.asarray(self.by_setting.T @ moved, dtype=np.float64)
        self.factor.columns_with(place, self.valve_held, pull, block)
        return block

    def falls_by(self, nodes: IndexArray, out: FloatArray | None = None) -> FloatArray:
        """Return how far all heads fall by a unit outflow at each of some nodes.

        Args:
            nodes: Where the outflow is, shape (n_nodes,).
            out: Where to put it, overwritten; new if None.

        Returns:
            Falls [s/m²], shape (n_unknowns, n_nodes), by place; 0 where or by what is masked.
        """
        place, block = self._places(nodes), self._room(len(nodes), out)
        if not len(self.valve_held):
            nothing = np.empty((0, len(nodes)))
            self.factor.columns_with(place, self.valve_held, nothing, block)
            return block
        # A is symmetric: what the outflow does to held nodes is what those do to its own node.
        held = self._room(len(self.valve_held), None)
        none = np.empty((0, len(self.valve_held)))
        self.factor.columns_with(self.valve_held, np.empty(0, dtype=np.int32), none, held)
        flow = self.by_setting @ np.where(place[:, None] >= 0, held[place], 0.0).T
        ends = np.concatenate([self.valve_start, self.valve_end])
        less = np.concatenate([-flow, flow])
        self.factor.columns_with(place, ends[ends >= 0], less[ends >= 0], block)
        return block

    def _places(self, nodes: IndexArray) -> PlaceArray:
        """Return places of nodes, -1 where the head is known or masked."""
        live = self.reach.is_live[nodes] & (self.grid.unknown[nodes] >= 0)
        return np.where(live, self.grid.node_place[nodes], -1).astype(np.int32)

    def _room(self, n_columns: int, out: FloatArray | None) -> FloatArray:
        size = (self.grid.symbolic.n_unknowns, n_columns)
        block = np.empty(size) if out is None else out
        assert block.shape == size, "a buffer for other nodes"
        return block


def linearize(
    grid: Grid, found: Reach, conductance: FloatArray, node_slope: FloatArray | None = None
) -> Linear:
    """Factor the equations of a state.

    Args:
        grid: The network.
        found: What its sources reach.
        conductance: dq/dh of each link [m²/s], 0 where closed or held, shape (n_links,).
        node_slope: d outflow/d head of each node [m²/s], shape (n_nodes,), none if None.

    Raises:
        SingularError: `found` is not what these links reach.
    """
    model = grid.model
    is_live = found.is_live
    ground = np.where(is_live[grid.node], _SLACK, 1.0)
    if node_slope is not None:
        ground += np.where(is_live, node_slope, 0.0)[grid.node]
    alive = conductance
    if not is_live.all():
        alive = np.where(is_live[model.start] & is_live[model.end], conductance, 0.0)
    held = found.held_node
    ground[grid.unknown[held]] += _GROUNDING
    factor = factorize(grid.symbolic, alive, ground)
    place = grid.node_place
    ends = place[model.start[found.pressure_valve]], place[model.end[found.pressure_valve]]
    columns: FloatArray = np.empty((len(ground), 0))
    by_setting: FloatArray = np.empty((0, 0))
    if len(held):
        columns, by_setting = _valve_columns(factor, place[held], *ends)
    return Linear(grid, found, factor, *ends, place[held], columns, by_setting)


def _valve_columns(
    factor: Factor, held: PlaceArray, start: PlaceArray, end: PlaceArray
) -> tuple[FloatArray, FloatArray]:
    """Return `columns` and `by_setting` of `Linear`."""
    places, valve = np.concatenate([start, end]), np.arange(len(held))
    leaves = np.zeros((len(places), len(held)))
    leaves[valve, valve], leaves[len(held) + valve, valve] = 1.0, -1.0
    inside = places >= 0
    block = np.empty((factor.symbolic.n_unknowns, len(held)))
    nowhere = np.full(len(held), -1, dtype=np.int32)
    factor.columns_with(nowhere, places[inside], leaves[inside], block)
    return block, _inverse(block[held])


def along_pipes(
    falls: FloatArray, start: PlaceArray, end: PlaceArray, x: float, out: FloatArray
) -> None:
    """Fill in falls by unit outflow at one fraction of the way along pipes.

    Args:
        falls: By outflow at each place [s/m²], shape (n_unknowns, n_observed).
        start: Place of each pipe's start, -1 where the head is known, shape (n_pipes,).
        end: The same of its end.
        x: Fraction from the start, 0..1.
        out: Falls [s/m²], shape (n_pipes, n_observed), overwritten.
    """
    _along_pipes(falls, start, end, x, out)


@compiled
def _along_pipes(
    falls: FloatArray, start: PlaceArray, end: PlaceArray, x: float, out: FloatArray
) -> None:
    nothing = np.zeros(falls.shape[1])
    for k in range(len(start)):
        one = falls[start[k]] if start[k] >= 0 else nothing
        other = falls[end[k]] if end[k] >= 0 else nothing
        row = out[k]
        for s in range(len(row)):
            row[s] = (1.0 - x) * one[s] + x * other[s]


@compiled
def _inverse(matrix: FloatArray) -> FloatArray:
    """Return the inverse of a small matrix, without NumPy's errand to look at its type."""
    return np.linalg.inv(matrix)  # type: ignore[return-value]


@compiled
def fill_felt(
    by_node: FloatArray,
    start: IndexArray,
    end: IndexArray,
    factor: FloatArray,
    effect: FloatArray,
) -> None:
    """Fill in the same as `fill_drops` from nodes by row, (n_nodes, n_rows), a link a row."""
    for k in range(len(start)):
        filled, one, other = effect[k], by_node[start[k]], by_node[end[k]]
        for row in range(len(filled)):
            filled[row] = factor[k] * (other[row] - one[row])


@compiled
def fill_drops(
    at_node: FloatArray,
    start: IndexArray,
    end: IndexArray,
    factor: FloatArray,
    effect: FloatArray,
) -> None:
    """Fill in a factor on how much more each link's end has than its start.

    Args:
        at_node: Shape (n_rows, n_nodes).
        start: Node at each link's start, shape (n_links,).
        end: The same at its end.
        factor: Shape (n_links,).
        effect: Shape (n_rows, n_links), overwritten.
    """
    for row in range(len(at_node)):
        values, filled = at_node[row], effect[row]
        for k in range(len(start)):
            filled[k] = factor[k] * (values[end[k]] - values[start[k]])
