"""The equations of a hydraulic state, linearized: what a small change does to what is measured.

Unknowns are the heads of junctions that a source can reach and the flows of valves that hold a
setting. A held valve makes the matrix unsymmetric, so adjoints solve with its transpose.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hydraulics.epanet.toolkit import State
from hydraulics.leaks.equations import Grid, fill_drops, make_grid
from hydraulics.leaks.headloss import PipeLosses
from hydraulics.leaks.solves import solves
from hydraulics.network import BoolArray, FloatArray, IndexArray, NetworkModel, NodeKind

_LEAST_SLOPE = 1e-9
"""Floor on dh/dq [m/(m³/s)]: EPANET's own floors are all above it."""
_FIXES = 1e-9
"""An outflow that rises by this with head [m²/s] fixes the head where nothing else does."""
_BREAKER = 5e6
"""Conductance [m²/s] above which a breaker holds its loss; one that is open has at most 2e6."""


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


def metered(observed: Sequence[Observed]) -> Iterator[tuple[int, int, float]]:
    """Give each link whose flow is observed: which observation, the link, and its sign."""
    for number, one in enumerate(observed):
        for link, sign in zip(one.links, one.signs, strict=True):
            yield number, link, sign


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """What each observation gains by each small change, at one state.

    Attributes:
        outflow: By an outflow at each node [per m³/s], shape (n_observed, n_nodes).
        drawn: By a leak just beside each source or tank that is fed by it, beside that, the same
            shape.
        roughness: By a relative change of each link's roughness, shape (n_observed, n_links).
        fixed_head: By the head of each reservoir or tank [per m], (n_observed, n_nodes).
        setting: By the setting of each held valve and of each pressure breaker, shape (n_observed,
            n_links).
        throttle: By a relative change of each throttle valve's coefficient, (n_observed, n_links).
    """

    outflow: FloatArray
    drawn: FloatArray
    roughness: FloatArray
    fixed_head: FloatArray
    setting: FloatArray
    throttle: FloatArray

    @property
    def leak(self) -> FloatArray:
        """By a leak at each node [per m³/s], shape (n_observed, n_nodes)."""
        return self.outflow + self.drawn


class Tangent:
    """A state's linearization."""

    def __init__(  # noqa: PLR0913, PLR0917 - each is a thing of its own
        self,
        model: NetworkModel,
        losses: PipeLosses,
        state: State,
        link_slope: FloatArray,
        node_slope: FloatArray,
        grid: Grid | None = None,
    ) -> None:
        """Factorize.

        Args:
            model: The network.
            losses: Its pipes.
            state: Where to linearize.
            link_slope: dh/dq of links that are not pipes [m/(m³/s)], (n_links,), NaN for a link
                that is left out.
            node_slope: d outflow/d head of pressure-driven nodes [m²/s], shape (n_nodes,).
            grid: The network's order of elimination, made anew if None.
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
        self._solves = solves(
            grid or make_grid(model), self.conductance, self.held, node_slope, _FIXES
        )
        self.live = self._solves.live
        self.is_live: BoolArray = np.zeros(model.n_nodes, dtype=np.bool_)
        self.is_live[self.live] = True
        self.row_of: IndexArray = np.full(model.n_nodes, -1, dtype=np.int64)
        self.row_of[self.live] = np.arange(len(self.live))

    def adjoint(self, observed: Sequence[Observed]) -> FloatArray:
        """Return the multipliers of each observation, shape (n_unknowns, n_observed)."""
        right = np.zeros((self._size, len(observed)))
        node = np.array([one.node for one in observed])
        heads = np.flatnonzero((node >= 0) & (self.row_of[node] >= 0))
        right[self.row_of[node[heads]], heads] = 1.0
        for column, link, sign in metered(observed):
            if self.conductance[link] > 0:
                change = sign * self.conductance[link]
                self._add_head(right, column, int(self.model.start[link]), change)
                self._add_head(right, column, int(self.model.end[link]), -change)
            elif link in self.held:
                at = len(self.live) + int(np.searchsorted(self.held, link))
                right[at, column] += sign
        return self._solves.solve(right, "T")

    def _add_head(self, right: FloatArray, column: int, node: int, value: float) -> None:
        if self.row_of[node] >= 0:
            right[self.row_of[node], column] += value

    def sensitivity(self, observed: Sequence[Observed]) -> Sensitivity:
        """Return what small changes do to each observation."""
        model, n_observed = self.model, len(observed)
        multiplier = self.adjoint(observed)
        at_node = np.zeros((n_observed, model.n_nodes))
        at_node[:, self.live] = multiplier[: len(self.live)].T
        effect = np.zeros(model.n_links)
        effect[self.losses.pipe] = self.losses.roughness_effect_m(
            self.state.flow_m3s[self.losses.pipe]
        )
        fixed_head = np.zeros((n_observed, model.n_nodes))
        is_fixed = model.node_kind != NodeKind.JUNCTION
        for one, other in ((model.start, model.end), (model.end, model.start)):
            links = np.flatnonzero(is_fixed[one] & (self.conductance > 0))
            np.add.at(
                fixed_head.T, one[links], -(at_node[:, other[links]] * self.conductance[links]).T
            )
        setting = self._by_loss(observed, at_node, self._breaks)
        setting[:, self.held] += multiplier[len(self.live) :].T
        self._add_direct(observed, fixed_head)
        return Sensitivity(
            outflow=at_node,
            drawn=self._drawn(observed),
            roughness=self._by_loss(observed, at_node, effect),
            fixed_head=fixed_head,
            setting=setting,
            throttle=self._by_loss(observed, at_node, self._throttled_m),
        )

    def _by_loss(
        self, observed: Sequence[Observed], at_node: FloatArray, loss: FloatArray
    ) -> FloatArray:
        """Return the effect of an extra head loss in each link, shape (n_observed, n_links)."""
        effect = np.zeros((len(observed), self.model.n_links))
        if not loss.any():
            return effect
        passes = self.conductance * loss
        # A link that loses more at the same flow passes less: Y dh leaves the end, stays at start.
        fill_drops(at_node, self.model.start, self.model.end, passes, effect)
        for row, link, sign in metered(observed):
            effect[row, link] -= sign * passes[link]
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
        found = np.zeros(self.model.n_links, dtype=np.bool_)
        for link in np.flatnonzero(~self.model.is_pipe):
            found[link] = self.model.valve_type[link] == kind
        return found

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

    def _drawn(self, observed: Sequence[Observed]) -> FloatArray:
        """Return how an outflow in pipes just beside a source or tank is observed, by unit.

        No head moves, but what passes all links of the node together does. Shape (n_observed,
        n_nodes).
        """
        model = self.model
        drawn = np.zeros((len(observed), model.n_nodes))
        meters = [(row, one) for row, one in enumerate(observed) if len(one.links)]
        for node in np.flatnonzero(model.node_kind != NodeKind.JUNCTION):
            starts, ends = np.flatnonzero(model.start == node), np.flatnonzero(model.end == node)
            beside = {*starts.tolist(), *ends.tolist()}
            for row, one in meters:
                if set(one.links) == beside:
                    both = zip(one.links, one.signs, strict=True)
                    signs = {sign if link in starts else -sign for link, sign in both}
                    drawn[row, node] = signs.pop() if len(signs) == 1 else 0.0
        return drawn

    def falls_by(self, nodes: IndexArray, out: FloatArray | None = None) -> FloatArray:
        """Return how far heads fall by a unit outflow at each node.

        Args:
            nodes: Nodes, shape (n_places,); what no source reaches moves nothing.
            out: Where to put it, overwritten; new if None.

        Returns:
            Falls [s/m²], shape (n_junctions, n_places), by `place_of`.
        """
        return self._solves.linear.falls_by(nodes, out)

    @property
    def place_of(self) -> IndexArray:
        """Row of each node among `falls_by`, -1 where no head falls, shape (n_nodes,)."""
        places = self._solves.linear.grid.node_place
        return np.where(self.row_of >= 0, places, -1).astype(np.int64)

    def flow_response_of(self, outflow: FloatArray) -> FloatArray:
        """Return the change of each link's flow by outflows at all nodes at once, (n_links,)."""
        right = np.zeros((self._size, 1))
        right[: len(self.live), 0] = outflow[self.live]
        return self._flows(self._solves.solve(right))[:, 0]

    @property
    def _size(self) -> int:
        return len(self.live) + len(self.held)

    def _flows(self, moved: FloatArray) -> FloatArray:
        head = np.zeros((self.model.n_nodes, moved.shape[1]))
        head[self.live] = moved[: len(self.live)]
        flow = (head[self.model.start] - head[self.model.end]) * self.conductance[:, None]
        flow[self.held] = moved[len(self.live) :]
        return np.asarray(flow, dtype=np.float64)
