"""Where a leak may be: every pipe's probability, from pressures against EPANET.

The leak-free window and the current one are averaged to rows; EPANET solves each row at its
measured boundary; what the model does not know is carried to the sensors as one covariance, which
lets the leak-free window correct the current one; leaks at five places in every pipe are weighed
against what is left, first by second-order signatures, then the best by EPANET itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from scipy.special import logsumexp

from hydraulics.epanet.toolkit import Solver, State
from hydraulics.errors import HydraulicsError, NotConvergedError
from hydraulics.leaks.headloss import PipeLosses
from hydraulics.leaks.measurements import (
    KnownLeak,
    LeftOut,
    Localization,
    Measurements,
    Progress,
)
from hydraulics.leaks.posterior import (
    PLACES,
    Candidates,
    Fit,
    Posterior,
    Whitened,
    jump_gain,
    misfit,
    odd_rows,
    weigh,
    whiten,
)
from hydraulics.leaks.prior import Carried, Layout, Scales, carry, covariance
from hydraulics.leaks.rows import Meters, Row, known_outflow, make_rows, read_meters
from hydraulics.leaks.sensors import check_sensors
from hydraulics.leaks.signatures import exact, linear, predict, second_order
from hydraulics.leaks.tangent import Observed, Sensitivity, Tangent
from hydraulics.network import BoolArray, FloatArray, IndexArray, NetworkModel, NodeKind

_JUMP_M = 1.0
_JUMP_PRIOR = 1e-3
_BEYOND = 6.0
_COARSE = 6.0
"""How much more second order is doubted than EPANET."""
_ROUNDS = 2
_JURY = 3
_ODD = 4.0
_ODD_TIMES = "no leak explains these times: links or demands were not as the model has them"
_MOST_DOUBTS = 12
_SMALL = 400
_LARGE = 3_000
"""Nodes above which second order is taken for the likeliest places only."""


class NoPressureError(HydraulicsError):
    """No pressure sensor has readings that could be used in the window."""

    code = "NO_PRESSURE"

    def __str__(self) -> str:
        return "no pressure sensor has usable readings in the window: nothing can be localized"


class EmptyWindowError(HydraulicsError):
    """The window holds no readings."""

    code = "EMPTY_WINDOW"

    def __str__(self) -> str:
        return "the window holds no readings: choose one in which sensors reported"


@dataclass(frozen=True, slots=True)
class LocalizeSettings:
    """What a run may be told.

    Attributes:
        scales: What the model does not know.
        most_rows: Rows in a day, at most.
        least_flow_m3s: Smallest leak that is tried [m³/s].
        largest_flow_m3s: Largest leak that is tried [m³/s].
        n_sizes: Sizes tried, evenly in their logarithm.
        n_near: Junctions whose effect is corrected by EPANET's.
        n_exact: Junctions whose effect EPANET computes.
        temper: What log-likelihoods are divided by.
        anywhere: Probability that what was measured says nothing, spread over the length.
    """

    scales: Scales = field(default_factory=Scales)
    most_rows: int = 12
    least_flow_m3s: float = 1e-4
    largest_flow_m3s: float = 0.06
    n_sizes: int = 96
    n_near: int = 200
    n_exact: int = 48
    temper: float = 2.0
    anywhere: float = 0.02


@dataclass(frozen=True, slots=True)
class _Solved:
    """Rows with their nominal states and linearizations."""

    rows: list[Row]
    states: list[State]
    tangents: list[Tangent]
    sensitivity: list[Sensitivity]
    predicted: FloatArray  # (n_rows, n_observed)
    observed: tuple[Observed, ...]


@dataclass(frozen=True, slots=True)
class _Weighed:
    """A posterior and what it came from."""

    whitened: Whitened
    fit: Fit
    gain: FloatArray  # ln-likelihood over no leak, (n_pipes, n_places, n_sizes)
    result: Posterior
    layout: Layout


def localize(  # noqa: PLR0913 - each is a thing of its own
    inp: Path,
    model: NetworkModel,
    measurements: Measurements,
    known: Sequence[KnownLeak] = (),
    *,
    seed: int = 1,
    settings: LocalizeSettings | None = None,
    progress: Progress | None = None,
) -> Localization:
    """Return where one new leak may be.

    Args:
        inp: The network's EPANET file.
        model: The same network as arrays.
        measurements: Readings of the current window and, if there is one, of a leak-free one.
        known: Leaks that were found before and still run.
        seed: Kept with the answer; the method draws nothing at random.
        settings: What a run may be told.
        progress: Called as the run goes on.

    Raises:
        EmptyWindowError: No rows of the current window.
        NoPressureError: No pressure sensor with usable readings.
        NotConvergedError: EPANET found no state at any row.
    """
    del seed  # two runs of one input are the same whatever it is
    chosen = settings or LocalizeSettings()
    tell = progress or _tell_nobody
    if not (~measurements.is_reference).any():
        raise EmptyWindowError
    pressure, left = check_sensors(measurements)
    if not np.isfinite(pressure[~measurements.is_reference]).any():
        raise NoPressureError
    seen = replace(measurements, pressure_m=pressure)
    with Solver(inp, model) as solver:
        run = _Run(inp, model, solver, seen, tuple(known), chosen, tell)
        return run.answer(left)


class _Run:
    """One localization."""

    def __init__(  # noqa: PLR0913, PLR0917 - what `localize` was given
        self,
        inp: Path,
        model: NetworkModel,
        solver: Solver,
        seen: Measurements,
        known: tuple[KnownLeak, ...],
        settings: LocalizeSettings,
        tell: Progress,
    ) -> None:
        self.inp, self.model, self.solver, self.seen = inp, model, solver, seen
        self.known, self.settings, self.tell = known, settings, tell
        self.meters: Meters = read_meters(model, solver, seen)
        self.solved = self._solve()
        self.sizes_m3s, self.knots_m3s = self._sizes()
        self.candidates, self.nodes = self._candidates()
        self.narrowed = 0.0
        self.past_misfit = 1.0

    def answer(self, left: list[LeftOut]) -> Localization:
        """Weigh, doubt sensors, weigh again, and let EPANET check the best."""
        layout = self._layout()
        gap = self._gap(layout)
        carried = self._carry(layout)
        kept = self._believable(layout, gap, carried)
        layout, gap, carried = layout.keep(kept), gap[kept], carried.keep(kept)
        kept = self._settled(layout, gap, carried)
        layout, gap, carried = layout.keep(kept), gap[kept], carried.keep(kept)
        signature = self._effects(self.nodes, self.knots_m3s)
        weighed = self._weigh(layout, gap, carried, signature)
        for _ in range(_MOST_DOUBTS):
            rest = self._doubt(weighed, layout, left)
            if rest is None:
                break
            layout, gap, carried = layout.keep(rest), gap[rest], carried.keep(rest)
            if not (layout.observed < layout.n_pressures).any():
                raise NoPressureError
            weighed = self._weigh(layout, gap, carried, signature)
        weighed = self._check_exactly(weighed)
        return self._localization(weighed, left)

    def _doubt(self, weighed: _Weighed, layout: Layout, left: list[LeftOut]) -> BoolArray | None:
        """Return the entries that are left when times or a sensor that stand out are not used."""
        odd = self._odd_rows(weighed)
        if len(odd):
            for sensor in np.unique(layout.observed[layout.observed < layout.n_pressures]):
                members = np.concatenate([self.solved.rows[n].members for n in odd])
                n_read = int(np.isfinite(self.seen.pressure_m[members, sensor]).sum())
                left.append(LeftOut(int(sensor), n_read, _ODD_TIMES, is_whole=False))
            return ~np.isin(layout.row, odd)
        jumped = self._jumped(weighed)
        if jumped is None:
            return None
        sensor, offset_m = jumped
        reason = f"reads {offset_m:+.2f} m off what the other sensors say: its offset jumped"
        n_read = int(np.isfinite(self.seen.pressure_m[:, sensor]).sum())
        left.append(LeftOut(sensor, n_read, reason, is_whole=True))
        return np.asarray(layout.observed != sensor, dtype=np.bool_)

    def _odd_rows(self, weighed: _Weighed) -> IndexArray:
        """Return current rows that no leak explains while it explains the others."""
        best = int(weighed.gain.reshape(len(weighed.gain), -1).max(axis=1).argmax())
        factor = weighed.whitened.factor
        gap = factor @ (weighed.whitened.residual - self._best_white(weighed, best))
        odd, _ = odd_rows(factor @ factor.T, gap, weighed.layout.row, _ODD)
        return odd

    def _settled(self, layout: Layout, gap: FloatArray, carried: Carried) -> BoolArray:
        """Return entries without the leak-free rows that the other leak-free ones contradict.

        A pump that switched while a row was averaged makes such a row.
        """
        is_reference = np.array([row.is_reference for row in self.solved.rows])[layout.row]
        if not is_reference.any():
            return np.ones(len(layout.row), dtype=np.bool_)
        past = layout.keep(is_reference)
        total = covariance(
            carried.keep(is_reference),
            past,
            self.solved.rows,
            self._scales(),
            self.meters.noise_m3s,
        )
        odd, self.past_misfit = odd_rows(total, gap[is_reference], past.row, _ODD)
        return ~np.isin(layout.row, odd)

    def _solve(self) -> _Solved:
        settings, model = self.settings, self.model
        most = settings.most_rows
        if model.n_nodes <= _SMALL:
            most *= 4  # a small network costs little, and its tanks move within the hour
        elif model.n_nodes > _LARGE:
            most //= 2
        rows = make_rows(
            self.inp, model, self.solver, self.seen, self.meters, self.known, max(most, 1)
        )
        rows.sort(key=lambda row: (not row.is_reference, row.time_s))
        heads = tuple(Observed(int(node)) for node in self.seen.pressure_node)
        observed = heads + self.meters.observed
        losses = PipeLosses(model)
        kept, states, tangents, sensitivity, predicted = [], [], [], [], []
        for number, row in enumerate(rows):
            self.tell("solve the leak-free model", number, len(rows))
            try:
                state, tangent = self._linearize(row, losses)
            except NotConvergedError:
                continue
            kept.append(row)
            states.append(state)
            tangents.append(tangent)
            sensitivity.append(tangent.sensitivity(observed))
            flows = predict(observed, state.head_m[None, :], state.flow_m3s[None, :])
            predicted.append(flows[:, 0])
        self.tell("solve the leak-free model", len(rows), len(rows))
        if not any(not row.is_reference for row in kept):
            raise NotConvergedError(int(rows[-1].time_s), "at no row of the window")
        return _Solved(kept, states, tangents, sensitivity, np.stack(predicted), observed)

    def _linearize(self, row: Row, losses: PipeLosses) -> tuple[State, Tangent]:
        state = self.solver.solve(row.boundary)
        node_slope = self.solver.outflow_slope(state)
        link_slope = self.solver.pump_slopes(row.boundary, state)
        return state, Tangent(self.model, losses, state, link_slope, node_slope)

    def _sizes(self) -> tuple[FloatArray, FloatArray]:
        settings = self.settings
        current = [row for row in self.solved.rows if not row.is_reference]
        taken = float(np.mean([row.boundary.demand_m3s.clip(min=0).sum() for row in current]))
        largest = min(settings.largest_flow_m3s, 0.6 * taken) if taken > 0 else 1e-2
        least = min(settings.least_flow_m3s, largest / 50.0)
        sizes = np.geomspace(least, largest, settings.n_sizes)
        knots = largest * np.array([0.03, 0.2, 1.0])
        return sizes, knots

    def _candidates(self) -> tuple[Candidates, IndexArray]:
        model = self.model
        live = np.zeros(model.n_nodes, dtype=np.bool_)
        for tangent in self.solved.tangents:
            live |= tangent.is_live
        pipes = np.flatnonzero(model.is_pipe & (live[model.start] | live[model.end]))
        pipes = pipes[model.length_m[pipes] > 0]
        nodes, ends = np.unique(
            np.stack([model.start[pipes], model.end[pipes]]), return_inverse=True
        )
        length = model.length_m[pipes]
        log_prior = np.log(length / length.sum())
        start, end = ends.reshape(2, -1)
        return Candidates(pipes, start, end, log_prior), nodes

    def _layout(self) -> Layout:
        """Average what was measured in each row; half of the readings must be there."""
        values, counts = [], []
        everything = np.concatenate([self._heads(), self.meters.value_m3s], axis=1)
        for row in self.solved.rows:
            block = everything[row.members]
            count = np.isfinite(block).sum(axis=0)
            with np.errstate(all="ignore"):
                mean = np.nansum(block, axis=0) / np.maximum(count, 1)
            values.append(np.where(count * 2 >= len(block), mean, np.nan))
            counts.append(count)
        value, count = np.stack(values), np.stack(counts)
        at, observed = np.nonzero(np.isfinite(value))
        return Layout(
            row=at,
            observed=observed,
            value=value[at, observed],
            n_read=count[at, observed].astype(np.float64),
            n_pressures=len(self.seen.pressure_node),
        )

    def _heads(self) -> FloatArray:
        elevation = self.model.elevation_m[self.seen.pressure_node]
        return np.asarray(self.seen.pressure_m + elevation, dtype=np.float64)

    def _gap(self, layout: Layout) -> FloatArray:
        """Return measured minus expected, where users take what they took in the reference."""
        expected = self.solved.predicted.copy()
        for number, row in enumerate(self.solved.rows):
            past, both = self._past(row)
            if row.is_reference or not both.any():
                continue
            ratio = np.where(both, past / row.demand_factor, 1.0)
            change = row.boundary.demand_m3s * (ratio - 1.0)
            expected[number] += self.solved.sensitivity[number].outflow @ change
        return np.asarray(layout.value - expected[layout.row, layout.observed], dtype=np.float64)

    def _past(self, row: Row) -> tuple[FloatArray, BoolArray]:
        """Return what users took in the leak-free window over what the file says, and where known.

        It is taken from rows at the same time of day, those with the same links open if there
        are any, or else from all rows. Both have shape (n_nodes,).
        """
        past = [one for one in self.solved.rows if one.is_reference]
        same_time = [one for one in past if one.bin == row.bin]
        alike = [one for one in same_time if _kind(one) == _kind(row)]
        chosen = alike or same_time or past
        if not chosen:
            return np.ones(self.model.n_nodes), np.zeros(self.model.n_nodes, dtype=np.bool_)
        balanced = np.stack([one.is_balanced for one in chosen])
        factor = np.stack([one.demand_factor for one in chosen])
        weight = balanced * np.array([float(one.n_times) for one in chosen])[:, None]
        total = weight.sum(axis=0)
        mean = (weight * factor).sum(axis=0) / np.maximum(total, 1.0)
        return np.where(total > 0, mean, 1.0), (total > 0) & row.is_balanced

    def _scales(self) -> Scales:
        """Return the scales, with the spread of intakes between windows as it was seen."""
        scales = self.settings.scales
        ratios = []
        for row in self.solved.rows:
            past, both = self._past(row)
            both &= row.boundary.demand_m3s > 0
            if row.is_reference or not both.any():
                continue
            weight = np.where(both, row.boundary.demand_m3s, 0.0)
            ratio = past / row.demand_factor - 1.0
            ratios.append(float((weight * ratio).sum() / weight.sum()))
        if len(ratios) < _JURY:
            return scales
        spread = float(np.std(ratios)) / np.sqrt(2.0)
        return replace(scales, level_row=max(scales.level_row, spread))

    def _carry(self, layout: Layout) -> Carried:
        self.tell("carry the model's errors to the sensors", 0, 1)
        model, rows = self.model, self.solved.rows
        level_ok = np.isfinite(self.seen.tank_level_m).any(axis=0)
        is_measured = model.node_kind == NodeKind.RESERVOIR
        is_measured[self.seen.tank_node[level_ok]] = True
        leaks = [
            np.stack([known_outflow(model, (one,), is_reference=row.is_reference) for row in rows])
            for one in self.known
        ]
        carried = carry(model, rows, self.solved.sensitivity, layout, is_measured, leaks)
        self.tell("carry the model's errors to the sensors", 1, 1)
        return carried

    def _believable(self, layout: Layout, gap: FloatArray, carried: Carried) -> BoolArray:
        """Return entries of rows whose meters read what the model could give with any leak.

        A row whose meters are further off was solved with a link open that was closed, or the
        reverse: nothing can be learnt from it.
        """
        scales, rows = self._scales(), self.solved.rows
        total = covariance(carried, layout, rows, scales, self.meters.noise_m3s)
        usual = np.sqrt(np.diag(total))
        is_meter = layout.observed >= layout.n_pressures
        far = is_meter & (np.abs(gap) > _BEYOND * usual + self.sizes_m3s[-1])
        doubted = np.isin(layout.row, np.unique(layout.row[far]))
        is_current = np.array([not row.is_reference for row in rows])[layout.row]
        if doubted[is_current].all():
            return np.ones(len(layout.row), dtype=np.bool_)
        return ~doubted

    def _current(self) -> list[int]:
        return [n for n, row in enumerate(self.solved.rows) if not row.is_reference]

    def _effects(self, nodes: IndexArray, sizes_m3s: FloatArray) -> FloatArray:
        """Return effects of leaks, shape (n_rows, n_observed, n_places, n_sizes)."""
        current = self._current()
        shape = (len(self.solved.rows), len(self.solved.observed), len(nodes), len(sizes_m3s))
        effect = np.zeros(shape, dtype=np.float64)
        is_large = len(nodes) > _LARGE
        for done, n in enumerate(current):
            self.tell("try a leak in every pipe", done, len(current))
            sensitivity = self.solved.sensitivity[n]
            if is_large:
                effect[n] = linear(sensitivity, nodes, sizes_m3s)
            else:
                effect[n] = second_order(
                    self.solved.tangents[n],
                    self.solved.observed,
                    sensitivity,
                    self.solved.rows[n],
                    nodes,
                    sizes_m3s,
                )
        self.tell("try a leak in every pipe", len(current), len(current))
        return effect

    def _weigh(
        self, layout: Layout, gap: FloatArray, carried: Carried, signature: FloatArray
    ) -> _Weighed:
        total = covariance(carried, layout, self.solved.rows, self._scales(), self.meters.noise_m3s)
        is_reference = np.array([row.is_reference for row in self.solved.rows])[layout.row]
        n_reference = int(is_reference.sum())
        whitened = whiten(total, gap, n_reference)
        current = layout.keep(~is_reference)
        white = whitened.whiten(signature[current.row, current.observed])
        fit = Fit(white, self.candidates, self.knots_m3s)
        gain = fit.along(whitened.residual, self.sizes_m3s) - 0.5 * fit.squares(self.sizes_m3s)
        result = weigh(self.candidates, gain, self._divisor(gain, whitened, _COARSE))
        return _Weighed(whitened, fit, gain, result, current)

    def _divisor(self, gain: FloatArray, whitened: Whitened, doubt: float) -> float:
        square = float(whitened.residual @ whitened.residual)
        left = misfit(gain, square, len(whitened.residual))
        return self.settings.temper * doubt * max(left, self.past_misfit, 1.0)

    def _jumped(self, weighed: _Weighed) -> tuple[int, float] | None:
        """Return the sensor that more likely jumped than not, and by how much [m]."""
        residual, fit, gain = weighed.whitened.residual, weighed.fit, weighed.gain
        sensors = np.unique(weighed.layout.observed)
        sensors = sensors[sensors < weighed.layout.n_pressures]
        if len(sensors) < _JURY:  # two sensors cannot outvote a third
            return None
        divisor = self._divisor(gain, weighed.whitened, 1.0)
        plain = weigh(self.candidates, gain, divisor).log_evidence
        best: tuple[float, int] = (-np.inf, -1)
        for sensor in sensors:
            effect = (weighed.layout.observed == sensor).astype(np.float64)
            jump = weighed.whitened.whiten(effect)
            more = jump_gain(fit, residual, jump, _JUMP_M, self.sizes_m3s)
            evidence = weigh(self.candidates, gain + more, divisor).log_evidence
            best = max(best, (evidence, int(sensor)))
        if best[0] + np.log(_JUMP_PRIOR) < plain:
            return None
        inside = weighed.layout.observed == best[1]
        return best[1], float(np.mean(weighed.whitened.expected_gap[inside]))

    def _check_exactly(self, weighed: _Weighed) -> _Weighed:
        """Weigh the likeliest pipes again with EPANET's own effects.

        Where EPANET was not asked, second order is corrected by its error at the likest place
        where it was.
        """
        settings = self.settings
        nodes = self._likeliest(weighed.result, settings.n_near)
        knots = self._exact_knots(weighed.result)
        weighed = self._closer(weighed, knots)
        rough = self._effects(nodes, knots)
        error = np.full_like(rough, np.nan)
        order = np.unique(np.geomspace(1, len(nodes), settings.n_exact // 2).astype(int)) - 1
        asked = np.zeros(len(nodes), dtype=np.bool_)
        for step in range(_ROUNDS):
            wanted = order[~asked[order]][: settings.n_exact // _ROUNDS]
            asked[wanted] = True
            error[:, :, wanted] = self._errors(rough, nodes, knots, wanted, step)
            corrected = rough + self._spread(weighed, rough, error)
            weighed = self._merge(weighed, corrected, nodes, knots)
            share = self._share(weighed.result, nodes)
            order = np.argsort(-share, kind="stable")
        return weighed

    def _closer(self, weighed: _Weighed, knots: FloatArray) -> _Weighed:
        """Lay the sizes closely where the leak's may be: meters can know it to a percent."""
        tried = np.log(self.sizes_m3s[-1] / self.sizes_m3s[0])
        self.sizes_m3s = np.geomspace(knots[0], knots[-1], self.settings.n_sizes)
        # What the narrower range leaves out was as good as impossible, but did cost evidence.
        self.narrowed = float(np.log(np.log(knots[-1] / knots[0]) / tried))
        fit, residual = weighed.fit, weighed.whitened.residual
        gain = fit.along(residual, self.sizes_m3s) - 0.5 * fit.squares(self.sizes_m3s)
        return replace(weighed, gain=gain)

    def _errors(
        self,
        rough: FloatArray,
        nodes: IndexArray,
        knots: FloatArray,
        wanted: IndexArray,
        step: int,
    ) -> FloatArray:
        """Return by how much second order is off at some places."""
        error = np.zeros((*rough.shape[:2], len(wanted), len(knots)))
        current, solved = self._current(), self.solved
        for done, n in enumerate(current):
            at = step * len(current) + done
            self.tell("check the likeliest places with EPANET", at, _ROUNDS * len(current))
            true = exact(
                self.solver,
                solved.observed,
                solved.sensitivity[n],
                solved.rows[n],
                solved.predicted[n],
                nodes[wanted],
                knots,
            )
            error[n] = true - rough[n][:, wanted]
        return error

    def _spread(self, weighed: _Weighed, rough: FloatArray, error: FloatArray) -> FloatArray:
        """Return each place's error: its own, or that of the likest place that has one."""
        have = np.flatnonzero(np.isfinite(error).all(axis=(0, 1, 3)))
        if not len(have):
            return np.zeros_like(rough)
        at = weighed.layout
        middle = rough[:, :, :, rough.shape[3] // 2][at.row, at.observed]
        white = weighed.whitened.whiten(middle)
        squares = (white**2).sum(axis=0)
        apart = squares[:, None] + squares[have][None, :] - 2.0 * white.T @ white[:, have]
        apart[have, np.arange(len(have))] = -1.0
        return np.asarray(error[:, :, have[apart.argmin(axis=1)]], dtype=np.float64)

    def _share(self, result: Posterior, nodes: IndexArray) -> FloatArray:
        """Return the probability of the pipes at each node, shape (len(nodes),)."""
        share = np.zeros(self.model.n_nodes)
        pipe = result.pipe
        np.add.at(share, self.model.start[self.candidates.link], pipe)
        np.add.at(share, self.model.end[self.candidates.link], pipe)
        return np.asarray(share[nodes], dtype=np.float64)

    def _likeliest(self, result: Posterior, most: int) -> IndexArray:
        share = self._share(result, self.nodes)
        return self.nodes[np.argsort(-share, kind="stable")[:most]]

    def _exact_knots(self, result: Posterior) -> FloatArray:
        low, mid, high = _quantiles(self.sizes_m3s, result.size, (0.03, 0.5, 0.97))
        low, high = min(low * 0.8, mid * 0.6), max(high * 1.2, mid * 1.6)
        return np.array([low, mid, high])

    def _merge(
        self, weighed: _Weighed, effect: FloatArray, nodes: IndexArray, knots: FloatArray
    ) -> _Weighed:
        """Put the gains of some places in the place of rougher ones."""
        column = np.full(self.model.n_nodes, -1, dtype=np.int64)
        column[nodes] = np.arange(len(nodes))
        links = self.candidates.link
        start, end = column[self.model.start[links]], column[self.model.end[links]]
        inside = np.flatnonzero((start >= 0) & (end >= 0))
        if not len(inside):
            return weighed
        at = weighed.layout
        white = weighed.whitened.whiten(effect[at.row, at.observed])
        part = Candidates(
            links[inside], start[inside], end[inside], self.candidates.log_prior[inside]
        )
        fit, residual, sizes = Fit(white, part, knots), weighed.whitened.residual, self.sizes_m3s
        sharp = fit.along(residual, sizes) - 0.5 * fit.squares(sizes)
        gain = weighed.gain.copy()
        gain[inside] = sharp
        result = weigh(self.candidates, gain, self._divisor(gain, weighed.whitened, 1.0))
        return replace(weighed, gain=gain, result=result)

    def _localization(self, weighed: _Weighed, left: list[LeftOut]) -> Localization:
        result = weighed.result
        pipe = result.pipe
        pipe /= pipe.sum()
        anywhere = self.settings.anywhere
        pipe = (1.0 - anywhere) * pipe + anywhere * np.exp(self.candidates.log_prior)
        pipe /= pipe.sum()
        order = np.lexsort((self.candidates.link, -pipe))
        flat = result.log_weight.reshape(len(pipe), -1)
        by_place = logsumexp(result.log_weight, axis=2)
        place = PLACES[by_place.argmax(axis=1)]
        size = self.sizes_m3s[logsumexp(result.log_weight, axis=1).argmax(axis=1)]
        low, high = _quantiles(self.sizes_m3s, result.size, (0.05, 0.95))
        best = int(flat.max(axis=1).argmax())
        residual, explained, band = self._residuals(weighed, int(order[0]), best)
        times = np.array([self.solved.rows[n].time_s for n in self._current()])
        return Localization(
            link=self.candidates.link[order],
            probability=pipe[order],
            place=place[order],
            flow_m3s=size[order],
            flow_low_m3s=low,
            flow_high_m3s=high,
            time_s=times,
            residual_m=residual,
            explained_m=explained,
            normal_band_m=band,
            left_out=tuple(left),
            evidence_ratio=result.log_evidence + self.narrowed,
        )

    def _residuals(
        self, weighed: _Weighed, first: int, best: int
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return residuals, what the likeliest leak explains of them, and the normal band."""
        del best
        current = self._current()
        n_sensors = len(self.seen.pressure_node)
        residual = np.full((len(self.solved.rows), n_sensors), np.nan)
        explained = np.full_like(residual, np.nan)
        layout = weighed.layout
        is_pressure = layout.observed < n_sensors
        at = layout.row[is_pressure], layout.observed[is_pressure]
        residual[at] = weighed.whitened.expected_gap[is_pressure]
        white = self._best_white(weighed, first)
        explained[at] = (weighed.whitened.factor @ white)[is_pressure]
        variance = (weighed.whitened.factor**2).sum(axis=1)
        band = np.full(n_sensors, np.nan)
        for sensor in np.unique(layout.observed[is_pressure]):
            band[sensor] = np.sqrt(variance[layout.observed == sensor].mean())
        return residual[current], explained[current], band

    def _best_white(self, weighed: _Weighed, pipe: int) -> FloatArray:
        """Return the whitened signature of a pipe's likeliest place and size."""
        weight = weighed.result.log_weight[pipe]
        place, size = np.unravel_index(int(weight.argmax()), weight.shape)
        fit, x = weighed.fit, PLACES[place]
        at, low, high = fit.weights(self.sizes_m3s[[size]])
        start, end = fit.candidates.start[pipe], fit.candidates.end[pipe]
        ends = (1.0 - x) * fit.white[:, start] + x * fit.white[:, end]
        return np.asarray(low[0] * ends[at[0]] + high[0] * ends[at[0] + 1], dtype=np.float64)


def _kind(row: Row) -> tuple[int, bytes]:
    """Return what rows of two windows have in common: the time of day, and which links are open."""
    return row.bin, row.boundary.is_open.tobytes()


def _quantiles(
    values: FloatArray, probability: FloatArray, wanted: Sequence[float]
) -> tuple[float, ...]:
    reached = np.cumsum(probability) / probability.sum()
    at = np.minimum(np.searchsorted(reached, wanted), len(values) - 1)
    return tuple(float(values[i]) for i in at)


def _tell_nobody(step: str, done: int, total: int) -> None:
    del step, done, total
