"""The rows of both windows, solved without the leak that is looked for, and linearized."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hydraulics.epanet.toolkit import Boundary, Solver, State
from hydraulics.errors import NotConvergedError
from hydraulics.leaks.equations import Grid, make_grid
from hydraulics.leaks.headloss import PipeLosses
from hydraulics.leaks.measurements import KnownLeak, Measurements, Progress
from hydraulics.leaks.posterior import Candidates
from hydraulics.leaks.rows import Meters, Row, make_rows
from hydraulics.leaks.settings import LocalizeSettings
from hydraulics.leaks.signatures import predict
from hydraulics.leaks.tangent import Observed, Sensitivity, Tangent
from hydraulics.network import FloatArray, IndexArray, NetworkModel, NodeKind

_LEAST_SHARE = 0.002
"""Of what a network takes: a smaller leak is seen by no sensor."""
_LARGE_SHARE = 0.05
"""The same: a leak as large as this is tried whatever the settings say."""
_SMALL, _LARGE = 400, 2000
_BY_TANKS = 0.3
"""Share of what users take that passes through tanks, from which levels move within hours."""


@dataclass(frozen=True, slots=True)
class Solved:
    """Rows with their nominal states and linearizations.

    Attributes:
        rows: The rows, those of the leak-free window first.
        tangents: One a row.
        sensitivity: Of all observations, one a row.
        predicted: Observations without the leak, shape (n_rows, n_observed).
        leak_factor: What a leak at each node loses in each row over its mean in the window [-],
            shape (n_rows, n_nodes).
        observed: The observations: pressures, then meters.
        grid: The network's order of elimination.
    """

    rows: list[Row]
    tangents: list[Tangent]
    sensitivity: list[Sensitivity]
    predicted: FloatArray
    leak_factor: FloatArray
    observed: tuple[Observed, ...]
    grid: Grid

    @property
    def current(self) -> list[int]:
        """Rows of the current window."""
        return [n for n, row in enumerate(self.rows) if not row.is_reference]


def solve_rows(  # noqa: PLR0913, PLR0917 - each is a thing of its own
    inp: Path,
    model: NetworkModel,
    solver: Solver,
    seen: Measurements,
    meters: Meters,
    known: tuple[KnownLeak, ...],
    settings: LocalizeSettings,
    tell: Progress,
) -> Solved:
    """Make rows, and solve each with the leaks that are known.

    Raises:
        NotConvergedError: EPANET found no state at any row of the current window.
    """
    rows = make_rows(inp, model, solver, seen, meters, known, most_rows(model, meters, settings))
    rows.sort(key=lambda row: (not row.is_reference, row.time_s))
    observed = tuple(Observed(int(node)) for node in seen.pressure_node) + meters.observed
    losses, grid = PipeLosses(model), make_grid(model)
    kept, tangents, sensitivity, predicted = [], [], [], []
    for number, row in enumerate(rows):
        tell("solve the leak-free model", number, len(rows))
        try:
            tangent = linearize(model, solver, row.boundary, losses, grid)
        except NotConvergedError:
            continue
        if not tangent.is_live.any():
            continue
        kept.append(row)
        tangents.append(tangent)
        sensitivity.append(tangent.sensitivity(observed))
        predicted.append(observe(observed, tangent.state))
    tell("solve the leak-free model", len(rows), len(rows))
    if not any(not row.is_reference for row in kept):
        raise NotConvergedError(int(rows[-1].time_s), "at no row of the window")
    factor = leak_factors(solver, kept, [one.state for one in tangents])
    return Solved(kept, tangents, sensitivity, np.stack(predicted), factor, observed, grid)


def leak_factors(solver: Solver, rows: list[Row], states: list[State]) -> FloatArray:
    """Return what a leak at each node loses in each row over its mean in the row's window.

    It follows the pressure as EPANET's emitters do. Where that is below zero half of the time,
    nothing is known, and it is constant.

    Returns:
        Shape (n_rows, n_nodes) [-].
    """
    model = solver.model
    lost = solver.emitted(np.stack([one.head_m - model.elevation_m for one in states]))
    factor, is_junction = np.ones_like(lost), model.node_kind == NodeKind.JUNCTION
    is_past = np.array([row.is_reference for row in rows], dtype=np.bool_)
    n_read = np.array([float(row.n_times) for row in rows])
    for window in (is_past, ~is_past):
        share = n_read[window] / max(float(n_read[window].sum()), 1.0)
        mean, most = share @ lost[window], share @ np.abs(lost[window])
        known = is_junction & (mean > 0.5 * most)
        factor[np.ix_(window, known)] = lost[np.ix_(window, known)] / mean[known]
    return factor


def linearize(  # noqa: PLR0913 - each is a thing of its own
    model: NetworkModel,
    solver: Solver,
    boundary: Boundary,
    losses: PipeLosses,
    grid: Grid | None = None,
    *,
    goes_on: bool = False,
) -> Tangent:
    """Solve a boundary and linearize there; `goes_on` is the solver's.

    Raises:
        NotConvergedError: EPANET found no state.
    """
    state = solver.solve(boundary, goes_on=goes_on)
    node_slope = solver.outflow_slope(state)
    link_slope = solver.pump_slopes(boundary, state)
    return Tangent(model, losses, state, link_slope, node_slope, grid)


def observe(observed: tuple[Observed, ...], state: State) -> FloatArray:
    """Return the observations of one state, shape (n_observed,)."""
    return predict(observed, state.head_m[None, :], state.flow_m3s[None, :])[:, 0]


def most_rows(model: NetworkModel, meters: Meters, settings: LocalizeSettings) -> int:
    """Return rows in a day: as many as costs little and tanks need.

    Flow between tanks goes with less than the difference of their levels: it is not that of the
    mean levels of hours in which it turns. More than one an hour would see users take the same
    twice, and believe of it what a straight line says between the two.
    """
    is_small = model.n_nodes <= _SMALL
    is_fast = model.n_nodes <= _LARGE and _through_tanks(model, meters) >= _BY_TANKS
    return settings.most_rows * (6 if is_small or is_fast else 1)


def _through_tanks(model: NetworkModel, meters: Meters) -> float:
    """Return what tanks take or give, as far as that is measured, over what users take."""
    given = meters.given_m3s
    known = given[:, np.isfinite(given).any(axis=0) & (model.node_kind == NodeKind.TANK)]
    taken_m3s = float(np.nanmean(np.nansum(given, axis=1)))
    moved_m3s = float(np.nanmean(np.nansum(np.abs(known), axis=1)))
    return moved_m3s / taken_m3s if taken_m3s > 0 else 0.0


def sizes(solved: Solved, settings: LocalizeSettings) -> tuple[FloatArray, FloatArray]:
    """Return sizes of a leak to try, and three between which signatures are interpolated."""
    current = [solved.rows[n] for n in solved.current]
    taken = float(np.mean([row.boundary.demand_m3s.clip(min=0).sum() for row in current]))
    most = max(settings.largest_flow_m3s, _LARGE_SHARE * taken)
    largest = min(most, 0.6 * taken) if taken > 0 else 1e-2
    least = min(max(settings.least_flow_m3s, _LEAST_SHARE * taken), largest / 50.0)
    tried = np.geomspace(least, largest, settings.n_sizes)
    return tried, largest * np.array([0.03, 0.2, 1.0])


def candidates(model: NetworkModel, solved: Solved) -> tuple[Candidates, IndexArray]:
    """Return pipes that water reaches, and the nodes that are their ends."""
    live = np.zeros(model.n_nodes, dtype=np.bool_)
    for tangent in solved.tangents:
        live |= tangent.is_live
    pipes = np.flatnonzero(model.is_pipe & (live[model.start] | live[model.end]))
    pipes = pipes[model.length_m[pipes] > 0]
    ends = np.stack([model.start[pipes], model.end[pipes]])
    nodes, columns = np.unique(ends, return_inverse=True)
    length = model.length_m[pipes]
    start, end = columns.reshape(2, -1)
    return Candidates(pipes, start, end, np.log(length / length.sum())), nodes
