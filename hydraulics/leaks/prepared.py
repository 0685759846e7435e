"""All that one set of measurements says about leaks, before it is weighed.

`prepare` averages, solves, linearizes, whitens, and leaves out what cannot be believed; what it
returns answers for one leak or for several at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from hydraulics.epanet.kept import borrowed
from hydraulics.epanet.toolkit import Boundary, Solver, State, strays
from hydraulics.errors import NotConvergedError
from hydraulics.leaks.doubts import (
    alone,
    believable,
    is_reference,
    jumped,
    odd_current,
    settled,
)
from hydraulics.leaks.fitting import fit_scales, is_model_raised
from hydraulics.leaks.gaps import carry_errors, make_gap, make_layout, seen_scales
from hydraulics.leaks.headloss import PipeLosses
from hydraulics.leaks.measurements import KnownLeak, LeftOut, Measurements, Progress
from hydraulics.leaks.posterior import (
    Candidates,
    Fit,
    Weighed,
    Whitened,
    weigh,
    whiten,
    widened,
)
from hydraulics.leaks.prior import Layout, covariance
from hydraulics.leaks.rows import Meters, Row, read_meters
from hydraulics.leaks.sensors import check_sensors
from hydraulics.leaks.settings import EmptyWindowError, LocalizeSettings, NoPressureError
from hydraulics.leaks.signatures import Moved, by_size, less_taken
from hydraulics.leaks.solved import (
    Solved,
    candidates,
    linearize,
    observe,
    sizes,
    solve_rows,
)
from hydraulics.leaks.tangent import Tangent
from hydraulics.network import BoolArray, FloatArray, IndexArray, NetworkModel, NodeKind

SEARCHING = 2.75
"""How much more likelihoods are doubted while places and sensors are still left out by them."""
_COARSE = 6.0 * SEARCHING
"""The same of second order about a leak-free state."""
_CALM = 0.62
"""Mean square of what the best leak leaves where the model is no more wrong than it may be. It is
below 1, as scales never fall below what is given."""
_MOST_DOUBTS = 12
_HOPEFUL, _UNSURE = 0.3, 30.0
"""Part of the most that a first-order effect explains, and ln-likelihood below it, from which an
effect is bent: in 100 simulations the true leak's explained a third of the most, or more."""
_DRY = "a tank stood empty at these times that alone feeds some users: what they got is not known"
_ODD_TIMES = "no leak explains these times: links or demands were not as the model has them"


@dataclass(frozen=True, slots=True)
class Leak:
    """A leak that is tried.

    Attributes:
        link: Index of the pipe.
        place: Fraction of the way from its start node, 0..1.
        flow_m3s: Outflow [m³/s], above 0.
    """

    link: int
    place: float
    flow_m3s: float


@dataclass(slots=True)
class Prepared:
    """Measurements of two windows against their model.

    Attributes:
        model: The network.
        solver: EPANET with the network open.
        seen: The readings, without those that cannot be believed.
        settings: What the run was told.
        tell: Told of each step.
        meters: Flows among the readings.
        solved: Rows, nominal states and linearizations.
        candidates: Pipes where a leak may be; columns are those of `nodes`.
        nodes: Nodes that are ends of a candidate, shape (n_columns,).
        sizes_m3s: Sizes of a leak that are tried.
        knots_m3s: Sizes at which signatures are worked out.
        layout: Which entry of the current window stands where, n_current of them.
        whitened: The current window given the leak-free one: `residual` and `whiten`.
        fit: Inner products of the whitened effects of a leak at each node; `fit.white` is those
            effects.
        past_misfit: Mean square of what the leak-free rows leave of themselves, 1 as expected.
        temper: What log-likelihoods are divided by, whatever is left.
        left: What was left out, and why.
    """

    model: NetworkModel
    solver: Solver
    seen: Measurements
    settings: LocalizeSettings
    tell: Progress
    meters: Meters
    solved: Solved
    candidates: Candidates
    nodes: IndexArray
    sizes_m3s: FloatArray
    knots_m3s: FloatArray
    layout: Layout
    whitened: Whitened
    fit: Fit
    past_misfit: float
    temper: float
    left: list[LeftOut] = field(default_factory=list)
    _weighed: Weighed | None = None

    def weigh(self) -> Weighed:
        """Return the posterior of one leak, by second order from the leak-free states."""
        if self._weighed is None or self._weighed.fit is not self.fit:
            gain = self.fit.gain(self.whitened.residual, self.sizes_m3s)
            result = weigh(self.candidates, gain, self.divisor(gain, _COARSE))
            self._weighed = Weighed(self.fit, gain, self.sizes_m3s, result)
        return self._weighed

    def divisor(self, gain: FloatArray, doubt: float = 1.0) -> float:
        """Return what log-likelihoods are divided by: what no leak explains widens all."""
        in_a_row = len(self.whitened.residual) / len(np.unique(self.layout.row))
        left = self.left_of(self._square(gain))
        return self.temper * doubt * widened(left, in_a_row)

    def left_of(self, square: float) -> float:
        """Return the mean square of what even the best leaves, over what was expected, 1 or more.

        Args:
            square: Of the whitened residual that it leaves.
        """
        return max(square / len(self.whitened.residual) / _CALM, self.past_misfit, 1.0)

    def _square(self, gain: FloatArray) -> float:
        """Return the square of what the best candidate leaves."""
        square = float(self.whitened.residual @ self.whitened.residual)
        return max(square - 2.0 * float(gain.max()), 0.0)

    def entries(self, by_row: FloatArray) -> FloatArray:
        """Return the entries of effects by row, (n_rows, ..., n_observed) to (..., n_current)."""
        return np.asarray(
            np.moveaxis(by_row, 0, -2)[..., self.layout.row, self.layout.observed],
            dtype=np.float64,
        )

    def around(
        self,
        stay: Sequence[Leak],
        moved: Leak,
        nodes: IndexArray,
        knots_m3s: FloatArray,
    ) -> FloatArray:
        """Return effects of a leak at some nodes beside others, linearized with all in place.

        EPANET solves each current row with `stay` and `moved` running; a leak at each node in
        the place of `moved` is then a small change, to second order.

        Args:
            stay: Leaks that run whatever is tried.
            moved: The leak that is tried elsewhere.
            nodes: Where, shape (n_places,).
            knots_m3s: Its sizes, shape (n_knots,).

        Returns:
            Change of each entry from the state without any of them, by all of them together, not
            whitened, shape (n_knots, n_places, n_current).

        Raises:
            NotConvergedError: EPANET found no state at a row.
        """
        solved, losses = self.solved, PipeLosses(self.model)
        effect = np.zeros((len(knots_m3s), len(nodes), len(self.layout.row)))
        for n in solved.current:
            last, together = self.outflow(n, (moved,)), self.outflow(n, (*stay, moved))
            tangent = self._linearized(n, together, losses)
            if tangent is None:
                tangent, sensitivity, taken_out = solved.tangents[n], solved.sensitivity[n], None
                seen = sensitivity.leak @ (together - last)
            else:
                sensitivity, taken_out = tangent.sensitivity(solved.observed), Moved(last)
                seen = self._seen(n, together, tangent.state)
            change = by_size(
                tangent,
                solved.observed,
                sensitivity,
                solved.rows[n],
                nodes,
                knots_m3s,
                taken_out,
                solved.leak_factor[n, nodes],
            )
            at = np.flatnonzero(self.layout.row == n)
            effect[:, :, at] = (change + seen)[:, :, self.layout.observed[at]]
        return effect

    def _linearized(self, n: int, outflow_m3s: FloatArray, losses: PipeLosses) -> Tangent | None:
        """Linearize a row with leaks in it, or return None if EPANET's state cannot come of them.

        Raises:
            NotConvergedError: EPANET found no state.
        """
        boundary = self._with(n, outflow_m3s)
        for _ in range(2):
            tangent = linearize(
                self.model, self.solver, boundary, losses, self.solved.grid, goes_on=True
            )
            if not self._strays(n, outflow_m3s, tangent.state):
                return tangent
            self.solver.start_anew()
        return None

    def together(self, leaks: Sequence[Leak]) -> FloatArray:
        """Return the effect of leaks that run at once, by EPANET, not whitened, (n_current,).

        Raises:
            NotConvergedError: EPANET found no state at a row that can come of them.
        """
        effect = np.zeros(len(self.layout.row))
        for n in self.solved.current:
            at, outflow = np.flatnonzero(self.layout.row == n), self.outflow(n, leaks)
            seen = self._seen(n, outflow, self._solve(n, outflow))
            effect[at] = seen[self.layout.observed[at]]
        return effect

    def _solve(self, n: int, outflow_m3s: FloatArray) -> State:
        for _ in range(2):
            state = self.solver.solve(self._with(n, outflow_m3s), goes_on=True)
            if not self._strays(n, outflow_m3s, state):
                return state
            self.solver.start_anew()
        raise NotConvergedError(0, "a link turned that an outflow cannot turn")

    def _strays(self, n: int, outflow_m3s: FloatArray, state: State) -> bool:
        before_m3s = self.solved.tangents[n].state.flow_m3s
        return strays(state.flow_m3s, before_m3s, float(outflow_m3s.sum()))

    def _with(self, n: int, outflow_m3s: FloatArray) -> Boundary:
        """Return the boundary of a row with leaks, of which users take less by as much."""
        row = self.solved.rows[n]
        at_junctions = np.where(self.model.node_kind == NodeKind.JUNCTION, outflow_m3s, 0.0)
        more = at_junctions - less_taken(row, float(outflow_m3s.sum()))
        return row.boundary.with_demand(row.boundary.demand_m3s + more)

    def _seen(self, n: int, outflow_m3s: FloatArray, state: State) -> FloatArray:
        """Return what such leaks change of each observation of a row, shape (n_observed,)."""
        solved, sensitivity = self.solved, self.solved.sensitivity[n]
        less = less_taken(solved.rows[n], float(outflow_m3s.sum()))
        seen = observe(solved.observed, state) - solved.predicted[n]
        seen += sensitivity.outflow @ less + sensitivity.drawn @ outflow_m3s
        return np.asarray(seen, dtype=np.float64)

    def outflow(self, n: int, leaks: Sequence[Leak]) -> FloatArray:
        """Return what leaks take at each node in a row [m³/s], shape (n_nodes,)."""
        outflow = np.zeros(self.model.n_nodes)
        for leak in leaks:
            start, end = int(self.model.start[leak.link]), int(self.model.end[leak.link])
            outflow[start] += (1.0 - leak.place) * leak.flow_m3s
            outflow[end] += leak.place * leak.flow_m3s
        return np.asarray(outflow * self.solved.leak_factor[n], dtype=np.float64)

    def _keep(self, kept: BoolArray) -> None:
        """Leave out entries of the current window: marginalizing is leaving out."""
        self.layout = self.layout.keep(kept)
        if not (self.layout.observed < self.layout.n_pressures).any():
            raise NoPressureError
        factor = self.whitened.factor[kept]
        total = factor @ factor.T
        self.whitened = whiten(total, self.whitened.expected_gap[kept], 0)
        effect = self.fit.white @ factor.T  # not whitened any more
        self.fit = Fit(self.whitened.whiten_last(effect), self.candidates, self.knots_m3s)

    def doubt(self) -> None:
        """Leave out rows and sensors that all others contradict, one after the other."""
        for _ in range(_MOST_DOUBTS):
            rest = self._doubted(self.weigh())
            if rest is None:
                return
            self._keep(rest)

    def _doubted(self, weighed: Weighed) -> BoolArray | None:
        odd = odd_current(self.whitened, weighed, self.layout)
        if not len(odd):
            odd = alone(self.whitened, weighed, self.layout)
        if len(odd):
            self.leave_out([self.solved.rows[n] for n in odd], _ODD_TIMES)
            return np.asarray(~np.isin(self.layout.row, odd), dtype=np.bool_)
        # One sensor that lies may be all that is wrong: a row is not taken for one entry yet.
        divisor = self.temper * SEARCHING * self.left_of(self._square(weighed.gain))
        found = jumped(self.candidates, self.whitened, weighed, self.layout, divisor)
        if found is None:
            return None
        sensor, offset_m = found
        reason = f"reads {offset_m:+.2f} m off what the other sensors say: its offset jumped"
        n_read = int(np.isfinite(self.seen.pressure_m[:, sensor]).sum())
        self.left.append(LeftOut(sensor, n_read, reason, is_whole=True))
        return np.asarray(self.layout.observed != sensor, dtype=np.bool_)

    def leave_out(self, rows: Sequence[Row], reason: str) -> None:
        """Note of each sensor what is not used of its readings, and why."""
        if not rows:
            return
        members = np.concatenate([row.members for row in rows])
        is_pressure = self.layout.observed < self.layout.n_pressures
        for sensor in np.unique(self.layout.observed[is_pressure]):
            n_read = int(np.isfinite(self.seen.pressure_m[members, sensor]).sum())
            self.left.append(LeftOut(int(sensor), n_read, reason, is_whole=False))


@contextmanager
def prepare(  # noqa: PLR0913 - each is a thing of its own
    inp: Path,
    model: NetworkModel,
    measurements: Measurements,
    known: Sequence[KnownLeak] = (),
    *,
    settings: LocalizeSettings | None = None,
    progress: Progress | None = None,
    doubts: bool = True,
) -> Iterator[Prepared]:
    """Give measurements ready to be weighed; EPANET is open as long as the block runs.

    Args:
        inp: The network's EPANET file.
        model: The same network as arrays.
        measurements: Readings of the current window and, if there is one, of a leak-free one.
        known: Leaks that were found before and still run.
        settings: What a run may be told.
        progress: Called as the run goes on.
        doubts: Whether rows and sensors that no one leak explains are left out, and effects are
            bent only where one leak is likely; where several leaks may run, a row is not odd
            because one leak does not explain it, and each may lie anywhere.

    Raises:
        EmptyWindowError: No rows of the current window.
        NoPressureError: No pressure sensor with usable readings.
        NotConvergedError: EPANET found no state at any row.
    """
    chosen, tell = settings or LocalizeSettings(), progress or _tell_nobody
    if not (~measurements.is_reference).any():
        raise EmptyWindowError
    pressure, left = check_sensors(measurements)
    if not np.isfinite(pressure[~measurements.is_reference]).any():
        raise NoPressureError
    seen = replace(measurements, pressure_m=pressure)
    with borrowed(inp, model) as solver:
        meters = read_meters(model, solver, seen)
        solved = solve_rows(inp, model, solver, seen, meters, tuple(known), chosen, tell)
        prepared = _assemble(
            model, solver, seen, meters, solved, tuple(known), chosen, tell, is_alone=doubts
        )
        prepared.left.extend(left)
        prepared.leave_out(solved.dry, _DRY)
        if doubts:
            prepared.doubt()
        yield prepared


def _assemble(  # noqa: PLR0913, PLR0917 - each is a thing of its own
    model: NetworkModel,
    solver: Solver,
    seen: Measurements,
    meters: Meters,
    solved: Solved,
    known: tuple[KnownLeak, ...],
    settings: LocalizeSettings,
    tell: Progress,
    *,
    is_alone: bool,
) -> Prepared:
    tried, knots = sizes(solved, settings)
    pipes, nodes = candidates(model, solved)
    layout, whitened, past_misfit, temper = _against_model(
        model, seen, meters, solved, known, settings, float(tried[-1]), tell
    )
    white_unit = whitened.whiten_last(_by_unit(solved, layout, nodes))
    bent: IndexArray = np.arange(len(nodes))
    if is_alone:
        bent = _hopeful(white_unit, whitened, float(tried[-1]), settings.n_bent)
    white = knots[:, None, None] * white_unit
    white[:, bent] = whitened.whiten_last(_bent(solved, layout, nodes[bent], knots, tell))
    fit = Fit(white, pipes, knots)
    return Prepared(
        model=model,
        solver=solver,
        seen=seen,
        settings=settings,
        tell=tell,
        meters=meters,
        solved=solved,
        candidates=pipes,
        nodes=nodes,
        sizes_m3s=tried,
        knots_m3s=knots,
        layout=layout,
        whitened=whitened,
        fit=fit,
        past_misfit=past_misfit,
        temper=temper,
    )


def _against_model(  # noqa: PLR0913, PLR0917 - each is a thing of its own
    model: NetworkModel,
    seen: Measurements,
    meters: Meters,
    solved: Solved,
    known: tuple[KnownLeak, ...],
    settings: LocalizeSettings,
    largest_m3s: float,
    tell: Progress,
) -> tuple[Layout, Whitened, float, float]:
    """Return the current window's entries given the leak-free ones, their misfit and temper."""
    tell("carry the model's errors to the sensors", 0, 1)
    layout = make_layout(model, seen, meters, solved)
    gap = make_gap(solved, layout)
    carried = carry_errors(model, seen, known, solved, layout)
    scales = seen_scales(solved.rows, settings.scales)
    total = covariance(carried, layout, solved.rows, scales, meters.noise_m3s)
    kept = believable(layout, gap, total, solved.rows, largest_m3s)
    if not kept.all():
        layout, gap, carried = layout.keep(kept), gap[kept], carried.keep(kept)
        total = total[np.ix_(kept, kept)]
    kept, past_misfit = settled(layout, gap, total, solved.rows)
    if not kept.all():
        layout, gap, carried = layout.keep(kept), gap[kept], carried.keep(kept)
        total = total[np.ix_(kept, kept)]
    raised = scales
    if settings.fits_scales:
        raised = fit_scales(carried, layout, gap, solved.rows, scales, meters.noise_m3s)
        if raised != scales:
            total = covariance(carried, layout, solved.rows, raised, meters.noise_m3s)
    past = is_reference(layout, solved.rows)
    n_past = int(past.sum())
    whitened = whiten(total, gap, n_past)
    if n_past and settings.fits_scales:
        past_misfit = float((whitened.past**2).mean())
    tell("carry the model's errors to the sensors", 1, 1)
    is_wrong = is_model_raised(scales, raised)
    temper = settings.temper_wrong if is_wrong else settings.temper
    return layout.keep(~past), whitened, past_misfit, temper


def _by_unit(solved: Solved, layout: Layout, nodes: IndexArray) -> FloatArray:
    """Return first-order effects by unit outflow on the entries, shape (n_places, n_current)."""
    effect = np.empty((len(layout.row), len(nodes)))
    for n in solved.current:
        at, sensitivity = np.flatnonzero(layout.row == n), solved.sensitivity[n]
        own = sensitivity.outflow[layout.observed[at]] + sensitivity.drawn[layout.observed[at]]
        effect[at] = np.take(own, nodes, axis=1) * solved.leak_factor[n, nodes]
    return np.ascontiguousarray(effect.T)


def _hopeful(white: FloatArray, whitened: Whitened, largest_m3s: float, most: int) -> IndexArray:
    """Return the places whose first-order effects explain much, rising, shape (at most `most`,)."""
    along, power = white @ whitened.residual, (white**2).sum(axis=1) + 1e-300
    size = np.clip(along / power, 0.0, largest_m3s)
    gain = size * (along - 0.5 * size * power)
    order = np.argsort(-gain, kind="stable")[:most]
    top = float(gain[order[0]])
    return np.sort(order[gain[order] >= min(_HOPEFUL * top, top - _UNSURE)])


def _bent(
    solved: Solved, layout: Layout, nodes: IndexArray, knots_m3s: FloatArray, tell: Progress
) -> FloatArray:
    """Return second-order effects on the entries, shape (n_knots, n_places, n_current)."""
    effect = np.zeros((len(knots_m3s), len(nodes), len(layout.row)))
    current = solved.current
    for done, n in enumerate(current):
        tell("try leaks everywhere", done, len(current))
        at, sensitivity = np.flatnonzero(layout.row == n), solved.sensitivity[n]
        found = by_size(
            solved.tangents[n],
            solved.observed,
            sensitivity,
            solved.rows[n],
            nodes,
            knots_m3s,
            factor=solved.leak_factor[n, nodes],
        )
        effect[:, :, at] = found[:, :, layout.observed[at]]
    tell("try leaks everywhere", len(current), len(current))
    return effect


def _tell_nobody(step: str, done: int, total: int) -> None:
    del step, done, total
