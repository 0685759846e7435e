"""What a leak does to every observation: to second order anywhere, exactly where it matters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hydraulics.compiled import compiled
from hydraulics.epanet.toolkit import MOST_TURNED, Solver, State
from hydraulics.leaks.equations import fill_felt
from hydraulics.leaks.response import add_beyond
from hydraulics.leaks.rows import Row
from hydraulics.leaks.tangent import Observed, Sensitivity, Tangent, metered
from hydraulics.network import BoolArray, FloatArray, IndexArray

_CHECKED = 1e-5
"""Relative flow change at which EPANET ends where it checks effects: L-Town's are within 4 µm of
those at 1e-6, and take five trials where those take six."""
_ALIKE = 1.25
_NOTHING_M3S = 1e-6
_LIKE_A_METRE_M3S = 1e-3
"""Flow at a meter that says as much as a metre at a pressure sensor."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A leak that a linearized state already holds, and that candidates take the place of.

    Attributes:
        outflow_m3s: Outflow at each node [m³/s], shape (n_nodes,).
    """

    outflow_m3s: FloatArray

    @property
    def total_m3s(self) -> float:
        """Outflow at all nodes together [m³/s]."""
        return float(self.outflow_m3s.sum())


def linear(sensitivity: Sensitivity, nodes: IndexArray, sizes_m3s: FloatArray) -> FloatArray:
    """Return first-order effects, shape (n_observed, n_places, n_sizes)."""
    effect = sensitivity.leak[:, nodes, None] * sizes_m3s[None, None, :]
    return np.asarray(effect, dtype=np.float64)


def second_order(  # noqa: PLR0913, PLR0917 - each is a thing of its own
    tangent: Tangent,
    observed: Sequence[Observed],
    sensitivity: Sensitivity,
    row: Row,
    nodes: IndexArray,
    sizes_m3s: FloatArray,
    moved: Moved | None = None,
) -> FloatArray:
    """Return effects with each pipe's true head loss at its shifted flow.

    Args:
        tangent: Linearization of the row's state, without the leak or with one that is moved.
        observed: The observations.
        sensitivity: Their first-order sensitivities.
        row: The row, whose measured intake falls to other users when a leak takes part of it.
        nodes: Where the leak is tried, shape (n_places,).
        sizes_m3s: Its sizes, shape (n_sizes,).
        moved: The leak in the state that the tried ones replace, None for a leak-free state.

    Returns:
        Change of each observation from that state, shape (n_observed, n_places, n_sizes).
    """
    effect = by_size(tangent, observed, sensitivity, row, nodes, sizes_m3s, moved)
    return np.asarray(effect.transpose(2, 1, 0), dtype=np.float64)


def by_size(  # noqa: PLR0913, PLR0917 - each is a thing of its own
    tangent: Tangent,
    observed: Sequence[Observed],
    sensitivity: Sensitivity,
    row: Row,
    nodes: IndexArray,
    sizes_m3s: FloatArray,
    moved: Moved | None = None,
    factor: FloatArray | None = None,
) -> FloatArray:
    """Return the same as `second_order`, in the order (n_sizes, n_places, n_observed).

    `factor` is what a leak at each place loses in this row over its size, shape (n_places,); 1 at
    all if None.
    """
    factor = np.ones(len(nodes)) if factor is None else factor
    by_node = np.ascontiguousarray(sensitivity.outflow.T)
    straight = factor[:, None] * (by_node[nodes] + sensitivity.drawn.T[nodes])
    gone = np.zeros(len(observed))
    if moved is not None:
        gone = sensitivity.outflow @ moved.outflow_m3s + sensitivity.drawn @ moved.outflow_m3s
    effect = sizes_m3s[:, None, None] * straight - gone
    live = np.flatnonzero(tangent.conductance[tangent.losses.pipe] > 0)
    by_pipe, heard = _felt(tangent, observed, by_node, tangent.losses.pipe[live])
    shifts = _less_and_gone(tangent, row, moved)
    add_beyond(tangent, by_pipe, live, (nodes, factor), sizes_m3s, shifts, heard, effect)
    most_m3s = np.outer(sizes_m3s, np.abs(factor)) + (0.0 if moved is None else moved.total_m3s)
    is_flow = np.array([one.node < 0 for one in observed], dtype=np.bool_)
    size, place = np.nonzero(_too_far(effect[:, :, is_flow], most_m3s))
    effect[size, place] = sizes_m3s[size, None] * straight[place] - gone
    return np.asarray(effect, dtype=np.float64)


def _too_far(flow_m3s: FloatArray, most_m3s: FloatArray) -> BoolArray:
    """Return where second order changes a flow by more than any leak can.

    Where a pipe of a loop stands nearly still, the straight line is too steep to go on from.

    Args:
        flow_m3s: Changes of observed flows, shape (n_sizes, n_places, n_flows).
        most_m3s: Leaks tried and taken out together, shape (n_sizes, n_places).

    Returns:
        Shape (n_sizes, n_places).
    """
    most = np.abs(flow_m3s).max(axis=2, initial=0.0)
    return np.asarray(most > MOST_TURNED * most_m3s, dtype=np.bool_)


def _felt(
    tangent: Tangent, observed: Sequence[Observed], by_node: FloatArray, pipe: IndexArray
) -> tuple[FloatArray, FloatArray]:
    """Return what each instrument, and the best of them, feels of a metre of extra loss in pipes.

    Shapes (n_pipes, n_observed), in the units of the instruments, and (n_pipes,), in units that
    count alike.
    """
    model, passes = tangent.model, tangent.conductance[pipe]
    by_pipe = np.empty((len(pipe), len(observed)))
    fill_felt(by_node, model.start[pipe], model.end[pipe], passes, by_pipe)
    for number, link, sign in metered(observed):
        by_pipe[pipe == link, number] -= sign * tangent.conductance[link]
    unit = np.array([1.0 if one.node >= 0 else _LIKE_A_METRE_M3S for one in observed])
    return by_pipe, _most(by_pipe, unit)


@compiled
def _most(by_pipe: FloatArray, unit: FloatArray) -> FloatArray:
    """Return the largest of each row in units that count alike, shape (n_pipes,)."""
    most = np.zeros(len(by_pipe))
    for k in range(len(by_pipe)):
        for o in range(len(unit)):
            most[k] = max(most[k], abs(by_pipe[k, o]) / unit[o])
    return most


def _less_and_gone(
    tangent: Tangent, row: Row, moved: Moved | None
) -> tuple[FloatArray, FloatArray]:
    """Return the flow that users free by unit leak, and what the moved leak drew with that.

    Both have shape (n_links,).
    """
    demand = np.where(row.is_balanced, row.boundary.demand_m3s, 0.0)
    total = float(demand.sum())
    less = np.zeros(tangent.model.n_links)
    if total > 0:
        less = tangent.flow_response_of(demand / total)
    if moved is None:
        return less, np.zeros(tangent.model.n_links)
    drawn = tangent.flow_response_of(moved.outflow_m3s)
    return less, np.asarray(drawn - less * moved.total_m3s, dtype=np.float64)


def exact(  # noqa: PLR0913, PLR0917 - each is a thing of its own
    solver: Solver,
    observed: Sequence[Observed],
    sensitivity: Sensitivity,
    row: Row,
    before: tuple[FloatArray, State],
    nodes: IndexArray,
    sizes_m3s: FloatArray,
) -> FloatArray:
    """Return effects as EPANET has them, with users taking less by what the leak takes.

    What users take less is then put back to first order, so that the effect is that of the leak
    alone, and how much less they take is left to the covariance.

    Args:
        solver: Of the network.
        observed: The observations.
        sensitivity: Their first-order sensitivities in the leak-free state.
        row: The row.
        before: Observations in the leak-free state, shape (n_observed,), and the state.
        nodes: Where, shape (n_places,).
        sizes_m3s: The size tried at each, shape (n_places,); users take less by the median of
            those that are alike.

    Returns:
        Shape (n_observed, n_places), NaN where EPANET found no solution.
    """
    base, state = before
    effect = np.empty((len(observed), len(nodes)))
    for alike in _alike(sizes_m3s):
        less = less_taken(row, float(np.median(sizes_m3s[alike])))
        moved = row.boundary.with_demand(row.boundary.demand_m3s - less)
        heads, flows = solver.with_outflow(
            moved, nodes[alike].tolist(), sizes_m3s[alike].tolist(), state.flow_m3s, _CHECKED
        )
        back = (sensitivity.outflow @ less)[:, None]
        effect[:, alike] = predict(observed, heads, flows) - base[:, None] + back
    return effect + sensitivity.drawn[:, nodes] * sizes_m3s


def _alike(sizes_m3s: FloatArray) -> list[IndexArray]:
    """Return sizes by their indices, in groups in which none is much larger than another."""
    order = np.argsort(sizes_m3s, kind="stable")
    size = np.maximum(sizes_m3s[order], _NOTHING_M3S)
    step = np.log(size / size[0]) // np.log(_ALIKE)
    return np.split(order, np.flatnonzero(np.diff(step)) + 1)


def less_taken(row: Row, leak_m3s: float) -> FloatArray:
    """Return how much less users take where the intake is measured [m³/s], shape (n_nodes,)."""
    demand = np.where(row.is_balanced, row.boundary.demand_m3s, 0.0)
    total = float(demand.sum())
    if total <= 0:
        return np.zeros_like(demand)
    return np.asarray(demand * min(leak_m3s / total, 0.95), dtype=np.float64)


def predict(observed: Sequence[Observed], heads: FloatArray, flows: FloatArray) -> FloatArray:
    """Return observations of states, shape (n_observed, n_states)."""
    node = np.array([one.node for one in observed], dtype=np.int64)
    values = np.where(node[:, None] >= 0, heads.T[node], 0.0)
    for number, link, sign in metered(observed):
        values[number] += sign * flows[:, link]
    return values
