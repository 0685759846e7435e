"""The equations of a state solved both ways, in the numbering and signs of `Tangent`.

The matrix is M = [[−A, B], [C, E]]: balances of live junctions, then one row for each valve that
holds: C picks the head that a pressure valve holds, E is 1 for a valve whose flow is given.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hydraulics.leaks.equations import Grid, Linear, linearize, reach
from hydraulics.network import BoolArray, FloatArray, IndexArray


@dataclass(frozen=True, slots=True)
class Solves:
    """What a sparse factor of M would do, without one.

    Attributes:
        linear: The factored equations.
        live: Nodes of the first unknowns, shape (n_live,).
        held: Valves of the last ones, shape (n_held,).
    """

    linear: Linear
    live: IndexArray
    held: IndexArray

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
        linear, (is_pressure, ends) = self.linear, self._valves()
        block = self._by_place(-right[: len(self.live)])
        known = np.where(is_pressure[:, None], 0.0, right[len(self.live) :])
        self._spread(block, ends, known)
        setting = right[len(self.live) :][is_pressure]
        heads, flow = linear.heads_at(block, setting[self._order()])
        valve = known.copy()
        valve[np.flatnonzero(is_pressure)[self._order()]] = flow
        return np.concatenate([heads[self._place()], valve])

    def _transposed(self, right: FloatArray) -> FloatArray:
        linear, (is_pressure, ends) = self.linear, self._valves()
        block = self._by_place(right[: len(self.live)])
        at = np.flatnonzero(is_pressure)[self._order()]
        given = right[len(self.live) :]
        multiplier, pull = linear.multipliers_at(block, given[at])
        valve = given - self._difference(multiplier, ends)
        valve[at] = pull
        return np.concatenate([multiplier[self._place()], valve])

    def _place(self) -> IndexArray:
        return np.asarray(self.linear.grid.node_place[self.live], dtype=np.int64)

    def _by_place(self, by_live: FloatArray) -> FloatArray:
        block = np.zeros((self.linear.grid.symbolic.n_unknowns, by_live.shape[1]))
        block[self._place()] = by_live
        return block

    def _valves(self) -> tuple[BoolArray, tuple[IndexArray, IndexArray]]:
        """Return which valves hold a head, and the places at their ends."""
        grid = self.linear.grid
        is_pressure = np.isin(self.held, self.linear.reach.pressure_valve)
        live = self.linear.reach.is_live
        start, end = grid.model.start[self.held], grid.model.end[self.held]
        places = [np.where(live[node], grid.node_place[node], -1) for node in (start, end)]
        return is_pressure, (places[0], places[1])

    def _order(self) -> IndexArray:
        """Return where each pressure valve of the factor stands among those of `held`."""
        inside = self.held[np.isin(self.held, self.linear.reach.pressure_valve)]
        return np.searchsorted(inside, self.linear.reach.pressure_valve)

    def _spread(
        self, block: FloatArray, ends: tuple[IndexArray, IndexArray], flow: FloatArray
    ) -> None:
        for places, sign in zip(ends, (-1.0, 1.0), strict=True):
            inside = places >= 0
            np.add.at(block, places[inside], sign * flow[inside])

    def _difference(self, by_place: FloatArray, ends: tuple[IndexArray, IndexArray]) -> FloatArray:
        start, end = (np.where(at[:, None] >= 0, by_place[at], 0.0) for at in ends)
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
