"""The equations of a hydraulic state, linearized: what a small change does to what is measured.

Unknowns are the heads of junctions that a source can reach and the flows of valves that hold a
setting. A held valve makes the matrix unsymmetric, so adjoints solve with its transpose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import coo_matrix, csc_matrix
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import SuperLU, splu

from hydraulics.epanet.toolkit import State
from hydraulics.leaks.headloss import PipeLosses
from hydraulics.network import BoolArray, FloatArray, IndexArray, NetworkModel, NodeKind

_LEAST_SLOPE = 1e-9
"""Floor on dh/dq [m/(m³/s)]: EPANET's own floors are all above it."""
_FIXES = 1e-9
"""An outflow that rises by this with head [m²/s] fixes the head where nothing else does."""
_BREAKER = 5e6
"""Conductance [m²/s] above which a breaker holds its loss; one that is open has at most 2e6."""
_KEEPS_INVERSE = 2_000
"""Unknowns up to which a dense inverse is cheaper than a solve for each node."""


@dataclass(frozen=True, slots=True)
class Observed:
    """One thing that is measured, as a sum over heads and link flows.

    Attributes:
        node: Node whose head it is, or -1.
        links: Links whose flows it sums.
        signs: +1 or -1 for each link.
    """

    node: int
    links: tuple[int, ...] = ()
    signs: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """What each observation gains by each small change, at one state.

    Attributes:
        outflow: By an outflow at each node [per m³/s], shape (n_observed, n_nodes).
        roughness: By a relative change of each link's roughness, shape (n_observed, n_links).
        fixed_head: By the head of each reservoir or tank [per m], (n_observed, n_nodes).
        setting: By the setting of each held valve and of each pressure breaker, shape (n_observed,
            n_links).
        throttle: By a relative change of each throttle valve's coefficient, (n_observed, n_links).
    """

    outflow: FloatArray
    roughness: FloatArray
    fixed_head: FloatArray
    setting: FloatArray
    throttle: FloatArray


class Tangent:
    """A state's linearization."""

    def __init__(
        self,
        model: NetworkModel,
        losses: PipeLosses,
        state: State,
        link_slope: FloatArray,
        node_slope: FloatArray,
    ) -> None:
        """Factorize.

        Args:
            model: The network.
            losses: Its pipes.
            state: Where to linearize.
            link_slope: dh/dq of links that are not pipes [m/(m³/s)], (n_links,), NaN for a link
                that is left out.
            node_slope: d outflow/d head of pressure-driven nodes [m²/s], shape (n_nodes,).
        """
        self.model, self.losses, self.state = model, losses, state
        slope = np.full(model.n_links, np.nan)
        slope[losses.pipe] = losses.slope(state.flow_m3s[losses.pipe])
        other = ~model.is_pipe
        slope[other] = np.abs(link_slope[other])
        self.free_links = state.is_open & ~state.is_held & np.isfinite(slope)
        self.held = np.flatnonzero(state.is_open & state.is_held)
        safe = np.maximum(np.where(self.free_links, slope, 1.0), _LEAST_SLOPE)
        self.conductance = np.where(self.free_links, 1.0 / safe, 0.0)
        self._node_slope = node_slope
        self._number()
        self._factorize()

    def _number(self) -> None:
        model = self.model
        is_free = model.node_kind == NodeKind.JUNCTION
        reached, self._held_node = _reached(
            model,
            np.flatnonzero(self.free_links),
            self.held,
            ~is_free | (self._node_slope > _FIXES),
        )
        self.is_live: BoolArray = is_free & reached & np.isfinite(self.state.head_m)
        self.row_of: IndexArray = np.full(model.n_nodes, -1, dtype=np.int64)
        self.live = np.flatnonzero(self.is_live)
        self.row_of[self.live] = np.arange(len(self.live))

    def _factorize(self) -> None:
        model, n_live = self.model, len(self.live)
        size = n_live + len(self.held)
        rows, columns, values = [], [], []
        start, end = self.row_of[model.start], self.row_of[model.end]
        for one, other in ((start, end), (end, start)):
            inside = (one >= 0) & (self.conductance > 0)
            rows.append(one[inside])
            columns.append(one[inside])
            values.append(-self.conductance[inside])
            joined = inside & (other >= 0)
            rows.append(one[joined])
            columns.append(other[joined])
            values.append(self.conductance[joined])
        rows.append(np.arange(n_live))
        columns.append(np.arange(n_live))
        values.append(-self._node_slope[self.live] - 1e-12)
        for number, link in enumerate(self.held):
            entries = self._held_entries(number, int(link), n_live + number)
            rows.append(entries[0])
            columns.append(entries[1])
            values.append(entries[2])
        matrix = coo_matrix(
            (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))),
            shape=(size, size),
        )
        self._matrix = csc_matrix(matrix)
        self._lu = splu(self._matrix)

    def _held_entries(
        self, number: int, link: int, at: int
    ) -> tuple[IndexArray, IndexArray, FloatArray]:
        """Return the valve's flow in its ends' balances, and the equation that it holds."""
        start = int(self.row_of[self.model.start[link]])
        end = int(self.row_of[self.model.end[link]])
        entries = [(node, at, sign) for node, sign in ((start, -1.0), (end, 1.0)) if node >= 0]
        held = self._held_node[number]
        entries.append((at, int(self.row_of[held]) if held >= 0 else at, 1.0))
        rows, columns, values = zip(*entries, strict=True)
        return np.array(rows), np.array(columns), np.array(values, dtype=np.float64)

    def adjoint(self, observed: Sequence[Observed]) -> FloatArray:
        """Return the multipliers of each observation, shape (n_observed, n_unknowns)."""
        right = np.zeros((self._size, len(observed)))
        for column, one in enumerate(observed):
            self._add_head(right, column, one.node, 1.0)
            for link, sign in zip(one.links, one.signs, strict=True):
                if self.conductance[link] > 0:
                    change = sign * self.conductance[link]
                    self._add_head(right, column, int(self.model.start[link]), change)
                    self._add_head(right, column, int(self.model.end[link]), -change)
                elif link in self.held:
                    at = len(self.live) + int(np.searchsorted(self.held, link))
                    right[at, column] += sign
        return np.asarray(self._lu.solve(right, "T").T, dtype=np.float64)  # type: ignore[call-overload]

    def _add_head(self, right: FloatArray, column: int, node: int, value: float) -> None:
        if node >= 0 and self.row_of[node] >= 0:
            right[self.row_of[node], column] += value

    def sensitivity(self, observed: Sequence[Observed]) -> Sensitivity:
        """Return what small changes do to each observation."""
        model, n_observed = self.model, len(observed)
        multiplier = self.adjoint(observed)
        at_node = np.zeros((n_observed, model.n_nodes))
        at_node[:, self.live] = multiplier[:, : len(self.live)]
        drop = at_node[:, model.start] - at_node[:, model.end]
        effect = np.zeros(model.n_links)
        effect[self.losses.pipe] = self.losses.roughness_effect_m(
            self.state.flow_m3s[self.losses.pipe]
        )
        roughness = self._by_loss(observed, drop, effect)
        fixed_head = np.zeros((n_observed, model.n_nodes))
        is_fixed = model.node_kind != NodeKind.JUNCTION
        for one, other in ((model.start, model.end), (model.end, model.start)):
            links = np.flatnonzero(is_fixed[one] & (self.conductance > 0))
            np.add.at(
                fixed_head.T, one[links], -(at_node[:, other[links]] * self.conductance[links]).T
            )
        setting = np.zeros((n_observed, model.n_links))
        setting[:, self.held] = multiplier[:, len(self.live) :]
        setting += self._by_loss(observed, drop, self._breaks)
        throttle = self._by_loss(observed, drop, self._throttled_m)
        self._add_direct(observed, fixed_head)
        return Sensitivity(at_node, roughness, fixed_head, setting, throttle)

    def _by_loss(
        self, observed: Sequence[Observed], drop: FloatArray, loss: FloatArray
    ) -> FloatArray:
        """Return the effect of an extra head loss in each link, shape (n_observed, n_links)."""
        if not loss.any():
            return np.zeros_like(drop)
        # A link that loses more at the same flow passes less: Y dh leaves the end, stays at start.
        effect = -drop * (self.conductance * loss)
        for row, one in enumerate(observed):
            for link, sign in zip(one.links, one.signs, strict=True):
                effect[row, link] -= sign * self.conductance[link] * loss[link]
        return effect

    @property
    def _throttled_m(self) -> FloatArray:
        """What open throttle valves lose [m], with the sign of the flow, shape (n_links,)."""
        head = self.state.head_m
        loss = head[self.model.start] - head[self.model.end]
        return np.where(self._is_of("TCV"), loss, 0.0)

    @property
    def _breaks(self) -> FloatArray:
        """Which pressure breakers hold their loss, 1 or 0, shape (n_links,)."""
        return (self._is_of("PBV") & (self.conductance > _BREAKER)).astype(np.float64)

    def _is_of(self, kind: str) -> BoolArray:
        return np.array([one == kind for one in self.model.valve_type], dtype=np.bool_)

    def _add_direct(self, observed: Sequence[Observed], fixed_head: FloatArray) -> None:
        """Add what changes at unchanged junction heads: a tank's own head, flow of its links."""
        is_fixed = self.model.node_kind != NodeKind.JUNCTION
        for row, one in enumerate(observed):
            if one.node >= 0 and is_fixed[one.node]:
                fixed_head[row, one.node] += 1.0
            for link, sign in zip(one.links, one.signs, strict=True):
                for node, side in ((self.model.start[link], 1.0), (self.model.end[link], -1.0)):
                    if is_fixed[node]:
                        fixed_head[row, node] += sign * side * self.conductance[link]

    def flow_response(self, nodes: IndexArray) -> FloatArray:
        """Return the change of each link's flow by an outflow at each node.

        Args:
            nodes: Nodes, shape (n_places,).

        Returns:
            Change by unit outflow [-], shape (n_links, n_places).
        """
        inside = self.row_of[nodes] >= 0
        if self._size <= _KEEPS_INVERSE:
            moved = np.zeros((self._size, len(nodes)))
            moved[:, inside] = self._inverse[:, self.row_of[nodes[inside]]]
            return self._flows(moved)
        right = np.zeros((self._size, len(nodes)))
        right[self.row_of[nodes[inside]], np.flatnonzero(inside)] = 1.0
        return self._flows(self._lu.solve(right))

    def flow_response_of(self, outflow: FloatArray) -> FloatArray:
        """Return the change of each link's flow by outflows at all nodes at once, (n_links,)."""
        right = np.zeros((self._size, 1))
        right[: len(self.live), 0] = outflow[self.live]
        return self._flows(self._lu.solve(right))[:, 0]

    @cached_property
    def _inverse(self) -> FloatArray:
        """The inverse, shape (n_unknowns, n_unknowns): a column of it replaces a solve."""
        return np.asarray(np.linalg.inv(self._matrix.toarray()), dtype=np.float64)

    @property
    def lower_upper(self) -> SuperLU:
        """The factors, over live junctions and then held valves."""
        return self._lu

    @property
    def _size(self) -> int:
        return len(self.live) + len(self.held)

    def _flows(self, moved: FloatArray) -> FloatArray:
        head = np.zeros((self.model.n_nodes, moved.shape[1]))
        head[self.live] = moved[: len(self.live)]
        flow = (head[self.model.start] - head[self.model.end]) * self.conductance[:, None]
        flow[self.held] = moved[len(self.live) :]
        return np.asarray(flow, dtype=np.float64)


def _reached(
    model: NetworkModel, carrying: IndexArray, held: IndexArray, fixes_head: BoolArray
) -> tuple[BoolArray, IndexArray]:
    """Return which nodes have a head that something fixes, and which node each valve holds.

    A pressure valve fixes the head of its side of the network, once, if the other side can take or
    give what flows through it. A flow valve fixes none, nor does a second pressure valve of a
    side whose head is fixed already by a first one at the same node: its flow stays as it is.

    Returns:
        Shape (n_nodes,), and (n_held,), -1 for a valve that holds no node's head.
    """
    graph = coo_matrix(
        (np.ones(len(carrying)), (model.start[carrying], model.end[carrying])),
        shape=(model.n_nodes, model.n_nodes),
    )
    _, label = connected_components(graph, directed=False)
    is_fixed = np.zeros(label.max() + 1, dtype=np.bool_)
    is_fixed[label[fixes_head]] = True
    holds = np.full(len(held), -1, dtype=np.int64)
    waiting = [n for n, link in enumerate(held) if model.valve_type[link] in {"PRV", "PSV"}]
    while ready := [n for n in waiting if is_fixed[label[_sides(model, held[n])[1]]]]:
        held_node, _ = _sides(model, held[ready[0]])
        if held_node not in holds:
            holds[ready[0]] = held_node
            is_fixed[label[held_node]] = True
        waiting.remove(ready[0])
    return is_fixed[label], holds


def _sides(model: NetworkModel, link: int) -> tuple[int, int]:
    """Return the node whose head a pressure valve holds, and the one across the valve."""
    start, end = int(model.start[link]), int(model.end[link])
    return (end, start) if model.valve_type[link] == "PRV" else (start, end)
