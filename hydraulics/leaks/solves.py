"""The equations of a state solved both ways, in the numbering and signs of `Tangent`.

The matrix is M = [[−A, B], [C, E]]: balances of live junctions, then one row for each valve that
holds: C picks the head that a pressure valve holds, E is 1 for a valve whose flow is given.
"""

from __future__ import annotations

import numpy as np

from hydraulics.leaks.equations import Grid, Linear, linearize, reach
from hydraulics.network import FloatArray, IndexArray


class Solves:
    """What a sparse factor of M would do, without one.

    Attributes:
        linear: The factored equations.
        live: Nodes of the first unknowns, shape (n_live,).
        held: Valves of the last ones, shape (n_held,).
    """

    def __init__(self, linear: Linear, live: IndexArray, held: IndexArray) -> None:
        self.linear, self.live, self.held = linear, live, held
        grid, found = linear.grid, linear.reach
        self._place = grid.node_place[live].astype(np.int64)
        holds_head = set(found.pressure_valve.tolist())
        self._is_pressure = np.array([k in holds_head for k in held.tolist()], dtype=np.bool_)
        inside = held[self._is_pressure]
        # Where each pressure valve of the factor stands among those of `held`.
        self._order = np.searchsorted(inside, found.pressure_valve)
        both = (grid.model.start[held], grid.model.end[held])
        self._ends = [np.where(found.is_live[one], grid.node_place[one], -1) for one in both]

    def solve(self, right: FloatArray, trans: str = "N") -> FloatArray:
        """Return M⁻¹ `right`, or M⁻ᵀ `right` for `trans` "T".

        Args:
            right: Shape (n_live + n_held,), or with columns.
            trans: "N" or "T".
        """
        columns = right.reshape(len(right), -1)
        both = self._transposed(columns) if trans == "T" else self._plain(columns)
        return both.reshape(right.shape)

    def _plain(self, right: FloatArray) -> FloatArray:
        given = right[len(self.live) :]
        block = self._by_place(-right[: len(self.live)])
        known = np.where(self._is_pressure[:, None], 0.0, given)
        self._spread(block, known)
        setting = given[self._is_pressure]
        heads, flow = self.linear.heads_at(block, setting[self._order])
        valve = known.copy()
        valve[np.flatnonzero(self._is_pressure)[self._order]] = flow
        return np.concatenate([heads[self._place], valve])

    def _transposed(self, right: FloatArray) -> FloatArray:
        block = self._by_place(right[: len(self.live)])
        at = np.flatnonzero(self._is_pressure)[self._order]
        given = right[len(self.live) :]
        multiplier, pull = self.linear.multipliers_at(block, given[at])
        found = np.empty_like(right)
        np.take(multiplier, self._place, axis=0, out=found[: len(self.live)], mode="clip")
        valve = found[len(self.live) :]
        valve[:] = given - self._difference(multiplier)
        valve[at] = pull
        return found

    def _by_place(self, by_live: FloatArray) -> FloatArray:
        block = np.zeros((self.linear.grid.symbolic.n_unknowns, by_live.shape[1]))
        block[self._place] = by_live
        return block

    def _spread(self, block: FloatArray, flow: FloatArray) -> None:
        for places, sign in zip(self._ends, (-1.0, 1.0), strict=True):
            inside = places >= 0
            np.add.at(block, places[inside], sign * flow[inside])

    def _difference(self, by_place: FloatArray) -> FloatArray:
        start, end = (np.where(at[:, None] >= 0, by_place[at], 0.0) for at in self._ends)
        return np.asarray(end - start, dtype=np.float64)


def solves(
    grid: Grid, conductance: FloatArray, held: IndexArray, node_slope: FloatArray, least: float
) -> Solves:
    """Factor what `Tangent` factors.

    Args:
        grid: The network, made once.
        conductance: dq/dh of each link [m²/s], 0 where closed or held, shape (n_links,).
        held: Valves that hold, rising.
        node_slope: d outflow/d head [m²/s], shape (n_nodes,).
        least: Slope from which an outflow fixes a head [m²/s].
    """
    fixes_head = (grid.unknown < 0) | (node_slope > least)
    found = reach(grid, conductance > 0, held, fixes_head)
    linear = linearize(grid, found, conductance, node_slope)
    live = np.flatnonzero(found.is_live & (grid.unknown >= 0))
    return Solves(linear, live, held)
