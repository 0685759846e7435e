"""What a leak does to every observation: to second order anywhere, exactly where it matters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hydraulics.epanet.toolkit import Solver
from hydraulics.leaks.rows import Row
from hydraulics.leaks.tangent import Observed, Sensitivity, Tangent
from hydraulics.network import FloatArray, IndexArray, NodeKind

_CHUNK = 400


def linear(sensitivity: Sensitivity, nodes: IndexArray, sizes_m3s: FloatArray) -> FloatArray:
    """Return first-order effects, shape (n_observed, n_places, n_sizes)."""
    effect = sensitivity.outflow[:, nodes, None] * sizes_m3s[None, None, :]
    return np.asarray(effect, dtype=np.float64)


def second_order(  # noqa: PLR0913, PLR0917 - each is a thing of its own
    tangent: Tangent,
    observed: Sequence[Observed],
    sensitivity: Sensitivity,
    row: Row,
    nodes: IndexArray,
    sizes_m3s: FloatArray,
) -> FloatArray:
    """Return effects with each pipe's true head loss at its shifted flow.

    Args:
        tangent: Linearization of the row's leak-free state.
        observed: The observations.
        sensitivity: Their first-order sensitivities.
        row: The row, whose measured intake falls to other users when a leak takes part of it.
        nodes: Where the leak is tried, shape (n_places,).
        sizes_m3s: Its sizes, shape (n_sizes,).

    Returns:
        Change of each observation, shape (n_observed, n_places, n_sizes).
    """
    effect = linear(sensitivity, nodes, sizes_m3s)
    pipes = tangent.losses.pipe
    by_loss = loss_effect(tangent, observed, sensitivity)[:, pipes]
    flow = tangent.state.flow_m3s[pipes]
    base = tangent.losses.loss_m(flow)
    slope = 1.0 / np.maximum(tangent.conductance[pipes], 1e-12)
    is_live = tangent.conductance[pipes] > 0
    less = _others_take_less(tangent, row)[pipes]
    for first in range(0, len(nodes), _CHUNK):
        part = slice(first, first + _CHUNK)
        response = tangent.flow_response(nodes[part])[pipes] - less[:, None]
        for k, size in enumerate(sizes_m3s):
            shift = response * size
            beyond = tangent.losses.loss_m(flow[:, None] + shift) - base[:, None]
            beyond -= slope[:, None] * shift
            effect[:, part, k] += by_loss @ np.where(is_live[:, None], beyond, 0.0)
    return effect


def loss_effect(
    tangent: Tangent, observed: Sequence[Observed], sensitivity: Sensitivity
) -> FloatArray:
    """Return the effect of extra head loss in each link [per m], shape (n_observed, n_links)."""
    model = tangent.model
    drop = sensitivity.outflow[:, model.start] - sensitivity.outflow[:, model.end]
    effect = -drop * tangent.conductance
    for number, one in enumerate(observed):
        for link, sign in zip(one.links, one.signs, strict=True):
            effect[number, link] -= sign * tangent.conductance[link]
    return effect


def _others_take_less(tangent: Tangent, row: Row) -> FloatArray:
    """Return the flow that users of the network free, by unit leak, shape (n_links,)."""
    demand = np.where(row.is_balanced, row.boundary.demand_m3s, 0.0)
    total = float(demand.sum())
    if total <= 0:
        return np.zeros(tangent.model.n_links)
    return tangent.flow_response_of(demand / total)


def exact(  # noqa: PLR0913, PLR0917 - each is a thing of its own
    solver: Solver,
    observed: Sequence[Observed],
    sensitivity: Sensitivity,
    row: Row,
    base: FloatArray,
    nodes: IndexArray,
    sizes_m3s: FloatArray,
) -> FloatArray:
    """Return effects as EPANET has them, with users taking less by what the leak takes.

    What users take less is then put back to first order, so that the effect is that of the leak
    alone, and how much less they take is left to the covariance.

    Returns:
        Shape (n_observed, n_places, n_sizes), NaN where EPANET found no solution.
    """
    model = solver.model
    is_junction = model.node_kind[nodes] == NodeKind.JUNCTION
    effect = np.zeros((len(observed), len(nodes), len(sizes_m3s)))
    demand = np.where(row.is_balanced, row.boundary.demand_m3s, 0.0)
    total = float(demand.sum())
    for k, size in enumerate(sizes_m3s):
        less = demand * min(size / total, 0.95) if total > 0 else np.zeros_like(demand)
        moved = row.boundary.with_demand(row.boundary.demand_m3s - less)
        inside = nodes[is_junction]
        heads, flows = solver.with_outflow(moved, list(inside), [float(size)] * len(inside))
        seen = predict(observed, heads, flows) - base[:, None]
        effect[:, is_junction, k] = seen + (sensitivity.outflow @ less)[:, None]
    return effect


def predict(observed: Sequence[Observed], heads: FloatArray, flows: FloatArray) -> FloatArray:
    """Return observations of states, shape (n_observed, n_states)."""
    values = np.zeros((len(observed), len(heads)))
    for number, one in enumerate(observed):
        if one.node >= 0:
            values[number] += heads[:, one.node]
        for link, sign in zip(one.links, one.signs, strict=True):
            values[number] += sign * flows[:, link]
    return values
