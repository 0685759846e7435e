"""The rows of both windows, solved without the leak that is looked for, and linearized."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hydraulics.epanet.toolkit import Boundary, Solver, State
from hydraulics.errors import NotConvergedError
from hydraulics.leaks.equations import Grid, make_grid
from hydraulics.leaks.headloss import PipeLosses
from hydraulics.leaks.measurements import KnownLeak, Measurements, Progress
from hydraulics.leaks.posterior import Candidates
from hydraulics.leaks.rows import Meters, Row, bins_of_day, make_rows
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
_SAME_LEVEL_M = 1e-6
_SWING_M = 2.0
"""What half of the sensors scatter by within a row, from which its mean is no state."""


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
        dry: Rows that are not used, for a tank stood empty that alone feeds users.
    """

    rows: list[Row]
    tangents: list[Tangent]
    sensitivity: list[Sensitivity]
    predicted: FloatArray
    leak_factor: FloatArray
    observed: tuple[Observed, ...]
    grid: Grid
    dry: tuple[Row, ...] = ()

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
    n_bins = most_rows(model, seen, meters, settings)
    rows = make_rows(inp, model, solver, seen, meters, known, n_bins)
    rows.sort(key=lambda row: (not row.is_reference, row.time_s))
    observed = tuple(Observed(int(node)) for node in seen.pressure_node) + meters.observed
    losses, grid = PipeLosses(model), make_grid(model)
    found: list[tuple[Row, Tangent]] = []
    for number, row in enumerate(rows):
        tell("solve the leak-free model", number, len(rows))
        try:
            tangent = linearize(model, solver, row.boundary, losses, grid)
        except NotConvergedError:
            continue
        if tangent.is_live.any():
            found.append((row, tangent))
    tell("solve the leak-free model", len(rows), len(rows))
    dry = _dry(model, found)
    kept = [one for one in found if not _is_in(one[0], dry)]
    if not any(not row.is_reference for row, _ in kept):
        raise NotConvergedError(int(rows[-1].time_s), "at no row of the window")
    used, tangents = [row for row, _ in kept], [tangent for _, tangent in kept]
    return Solved(
        rows=used,
        tangents=tangents,
        sensitivity=[one.sensitivity(observed) for one in tangents],
        predicted=np.stack([observe(observed, one.state) for one in tangents]),
        leak_factor=leak_factors(solver, used, [one.state for one in tangents]),
        observed=observed,
        grid=grid,
        dry=dry,
    )


def _dry(model: NetworkModel, found: list[tuple[Row, Tangent]]) -> tuple[Row, ...]:
    """Return rows in which some users have no source but an empty tank; none if all are.

    They take what comes in meanwhile: the tank gives by turns and not, as no one state has it.
    """
    dry = [row for row, tangent in found if _is_dry(model, row, tangent)]
    others = [row for row, _ in found if not row.is_reference and not _is_in(row, dry)]
    return tuple(dry) if others else ()


def _is_in(row: Row, rows: Sequence[Row]) -> bool:
    """Whether a row is one of some; rows hold arrays, which are not compared."""
    return any(one is row for one in rows)


def _is_dry(model: NetworkModel, row: Row, tangent: Tangent) -> bool:
    """Whether a tank stands at its lowest level and no source reaches some who take water."""
    if not len(model.tank_minimum_level_m):
        return False
    level_m = row.boundary.fixed_head_m - model.elevation_m
    is_empty = (model.node_kind == NodeKind.TANK) & (
        level_m <= model.tank_minimum_level_m + _SAME_LEVEL_M
    )
    return bool(is_empty.any() and (row.boundary.demand_m3s[~tangent.is_live] > 0.0).any())


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


def most_rows(
    model: NetworkModel, seen: Measurements, meters: Meters, settings: LocalizeSettings
) -> int:
    """Return rows in a day: as many as costs little, and as tanks and demands need.

    Flow between tanks goes with less than the difference of their levels: it is not that of the
    mean levels of hours in which it turns. Nor are heads and flows those of mean demands where
    these move them far. More than one row an hour would see users take the same twice, and believe
    of it what a straight line says between the two.
    """
    more = 6 * settings.most_rows
    if model.n_nodes <= _SMALL:
        return more
    is_large = model.n_nodes > _LARGE
    is_slow = is_large or (
        _through_tanks(model, meters) < _BY_TANKS
        and _swing_m(model, seen, settings.most_rows) < _SWING_M
    )
    return settings.most_rows if is_slow else more


def _swing_m(model: NetworkModel, seen: Measurements, n_bins: int) -> float:
    """Return the standard deviation of pressure within parts of a day that half of them exceed."""
    bins = 2 * bins_of_day(model, seen, n_bins) + seen.is_reference
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a sensor without a reading
        swings = [np.nanstd(seen.pressure_m[bins == one], axis=0) for one in np.unique(bins)]
        return float(np.nan_to_num(np.nanmedian(np.stack(swings))))


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
