"""Where a leak would be found, and how long its zone would be, before there is any reading.

Two states of the model, the night and the rest of the day, are linearized; a leak at the middle of
every pipe is carried to the instruments by the signatures of a leak run, and held against the
covariance of a leak run, given a leak-free reference. What is left, with unit covariance, says how
clearly a leak shows and which others look like it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.special import ndtr
from scipy.stats import chi2

from hydraulics.epanet.toolkit import Solver
from hydraulics.errors import HydraulicsError
from hydraulics.leaks.headloss import PipeLosses
from hydraulics.leaks.measurements import Measurements, Progress
from hydraulics.leaks.prior import Layout, Scales, carry, covariance
from hydraulics.leaks.rows import Meters, Row, make_rows, read_meters
from hydraulics.leaks.settings import LocalizeSettings
from hydraulics.leaks.signatures import linear, predict, second_order
from hydraulics.leaks.tangent import Observed, Sensitivity, Tangent
from hydraulics.network import BoolArray, FloatArray, IndexArray, LinkKind, NetworkModel, NodeKind

_DAY_S = 86_400.0
_HOUR_S = 3_600.0
_NIGHT_S = (1 * _HOUR_S, 5 * _HOUR_S)
"""When users take least, by the clock."""
LARGE = 3_000
"""Nodes above which signatures are of first order."""
MOST_PLACES = 3_000
"""Pipes above which zones are measured by evenly many of them."""
_BLOCK = 512
_N_DRAWS = 4_000
_ROUNDING = 1e-9


class NothingMeasuredError(HydraulicsError):
    """There is no instrument, so that no leak can be told from none."""

    code = "NO_PRESSURE"

    def __str__(self) -> str:
        return "there is neither a pressure sensor nor a meter: nothing would show a leak"


@dataclass(frozen=True, slots=True)
class CoverageSettings:
    """What decides whether a leak would be found, and how long its zone would be.

    Attributes:
        scales: What the model does not know.
        current_days: Days of readings in which the leak runs, at least 1.
        reference_days: Leak-free days before them, 0 for none.
        step_s: Time between two readings [s].
        false_alarm: How often a leak-free window is taken for a leak [-], between 0 and 1.
        level: Probability with which the zone is to hold the leak [-].
        temper: What a run divides its log-likelihoods by.
        seed: Of the draws that set the alarm's threshold.
    """

    scales: Scales = field(default_factory=Scales)
    current_days: int = 1
    reference_days: int = 7
    step_s: int = 300
    false_alarm: float = 0.01
    level: float = 0.9
    temper: float = LocalizeSettings().temper
    seed: int = 1

    @property
    def confusion(self) -> float:
        """The whitened distance up to which two leaks are in one zone [-].

        A place in a network has two coordinates: twice the ln-likelihood ratio of the truth over
        the likeliest place is a chi-square of two degrees of freedom.
        """
        return float(np.sqrt(self.temper * chi2.ppf(self.level, df=2)))


@dataclass(frozen=True, slots=True)
class Metered:
    """What is metered beside pressure, as indices of the model.

    Attributes:
        tank: Tanks whose level is measured.
        link: Links with a flow meter.
        source: Reservoirs whose inflow is measured.
    """

    tank: IndexArray
    link: IndexArray
    source: IndexArray

    @property
    def n_meters(self) -> int:
        """How many there are."""
        return len(self.tank) + len(self.link) + len(self.source)


@dataclass(frozen=True, slots=True)
class Coverage:
    """How well leaks would be found, pipe by pipe.

    Attributes:
        link: Index of each pipe that has a length, shape (n_pipes,).
        length_m: Its length [m].
        is_reached: Whether water from a source reaches an end of it.
        size_m3s: Sizes of leaks [m³/s], shape (n_sizes,).
        signal: Length of the leak's signature in standard deviations, shape (n_pipes, n_sizes).
        threshold: Signal that a leak-free window passes as often as false alarms are allowed.
        chance: Chance that the leak is found, 0..1, the same shape.
        zone_m: Expected length of the zone [m], the same shape.
    """

    link: IndexArray
    length_m: FloatArray
    is_reached: BoolArray
    size_m3s: FloatArray
    signal: FloatArray
    threshold: float
    chance: FloatArray
    zone_m: FloatArray

    @property
    def missed_share(self) -> FloatArray:
        """Share of the length where a leak would rather be missed than found, (n_sizes,)."""
        is_missed = self.chance < 0.5  # noqa: PLR2004 - rather than not
        return np.asarray(self.length_m @ is_missed / self.length_m.sum(), dtype=np.float64)

    @property
    def expected_zone_m(self) -> FloatArray:
        """Expected length of the zone of a leak anywhere along the pipes [m], (n_sizes,)."""
        return np.asarray(self.length_m @ self.zone_m / self.length_m.sum(), dtype=np.float64)


def usual_meters(model: NetworkModel) -> Metered:
    """Return every source, tank and pump as metered: what a leak run is usually given."""
    return Metered(
        tank=np.flatnonzero(model.node_kind == NodeKind.TANK),
        link=np.flatnonzero(model.link_kind == LinkKind.PUMP),
        source=np.flatnonzero(model.node_kind == NodeKind.RESERVOIR),
    )


def coverage(  # noqa: PLR0913 - each is a thing of its own
    inp: Path,
    model: NetworkModel,
    sensors: Sequence[int],
    sizes_m3s: FloatArray,
    *,
    metered: Metered | None = None,
    settings: CoverageSettings | None = None,
    progress: Progress | None = None,
) -> Coverage:
    """Return where leaks of some sizes would be found, and how long their zones would be.

    Args:
        inp: The network's EPANET file.
        model: The same network as arrays.
        sensors: Nodes of pressure sensors.
        sizes_m3s: Sizes of leaks [m³/s], above 0, shape (n_sizes,).
        metered: What else is metered; None takes `usual_meters`.
        settings: What decides the answer.
        progress: Called as it goes on.

    Raises:
        NothingMeasuredError: There is no instrument at all.
        NotConvergedError: EPANET found no state.
    """
    chosen = settings or CoverageSettings()
    view = look(inp, model, sensors, (), sizes_m3s, metered, chosen, progress or _tell_nobody)
    return covered(view, view.base, chosen)


@dataclass(frozen=True, slots=True)
class View:
    """What instruments, real and possible, would see of a leak at the middle of every pipe.

    Attributes:
        link: Index of each pipe, shape (n_pipes,).
        length_m: Its length [m].
        is_reached: Whether water from a source reaches an end of it.
        size_m3s: Sizes of leaks [m³/s], shape (n_sizes,).
        covariance: Of all entries when nothing leaks, shape (n_entries, n_entries).
        signature: Effect of each leak on the entries, shape (n_entries, n_pipes, n_sizes).
        base: Entries of the instruments that there are.
        possible: Entries of each possible sensor, shape (n_possible, n_rows).
        node: Node of each possible sensor, shape (n_possible,).
    """

    link: IndexArray
    length_m: FloatArray
    is_reached: BoolArray
    size_m3s: FloatArray
    covariance: FloatArray
    signature: FloatArray
    base: IndexArray
    possible: IndexArray
    node: IndexArray


def covered(view: View, entries: IndexArray, settings: CoverageSettings) -> Coverage:
    """Return the coverage by the instruments behind some entries."""
    factor = cholesky(view.covariance[np.ix_(entries, entries)], lower=True, check_finite=False)
    flat = view.signature[entries].reshape(len(entries), -1)
    white = solve_triangular(factor, flat, lower=True, check_finite=False)
    white = white.reshape(len(entries), *view.signature.shape[1:])
    signal = np.sqrt((white**2).sum(axis=0))
    threshold = alarm_threshold(white, signal, settings)
    zones = [
        zone_lengths_m(one, view.length_m, settings.confusion) for one in np.moveaxis(white, 2, 0)
    ]
    return Coverage(
        link=view.link,
        length_m=view.length_m,
        is_reached=view.is_reached,
        size_m3s=view.size_m3s,
        signal=signal,
        threshold=threshold,
        chance=np.asarray(ndtr(signal - threshold), dtype=np.float64),
        zone_m=np.stack(zones, axis=1),
    )


def alarm_threshold(white: FloatArray, signal: FloatArray, settings: CoverageSettings) -> float:
    """Return the signal that the clearest leak seems to have in one leak-free window of many.

    Every pipe and size is looked for, so the largest of all their projections is what counts: its
    quantile is found by drawing leak-free windows.
    """
    seen = signal > 0
    if not seen.any():
        return float("inf")
    shapes = white[:, seen] / signal[seen]
    shapes = shapes[:, evenly(np.ones(shapes.shape[1]), MOST_PLACES)]
    noise = np.random.default_rng(settings.seed).standard_normal((_N_DRAWS, len(white)))
    largest = np.full(_N_DRAWS, -np.inf)
    for first in range(0, shapes.shape[1], _BLOCK):
        block = noise @ shapes[:, first : first + _BLOCK]
        np.maximum(largest, block.max(axis=1), out=largest)
    return float(np.quantile(largest, 1.0 - settings.false_alarm))


def zone_lengths_m(white: FloatArray, length_m: FloatArray, confusion: float) -> FloatArray:
    """Return the length of the pipes in which a leak would look like that of each pipe.

    A leak of the other pipe may have any size: the distance is to the ray of its signature.

    Args:
        white: Whitened signatures, shape (n_entries, n_pipes).
        length_m: Length of the pipes [m], shape (n_pipes,).
        confusion: Largest distance of two leaks in one zone.

    Returns:
        Lengths [m], shape (n_pipes,), the pipe's own among them.
    """
    squares = (white**2).sum(axis=0)
    beyond = np.sqrt(np.maximum(squares - confusion**2, 0.0))
    some = evenly(length_m, MOST_PLACES)
    others, other = np.ascontiguousarray(white[:, some]), np.sqrt(squares[some])
    stands_for_m = length_m[some] * (length_m.sum() / length_m[some].sum())
    zone = np.empty(len(length_m))
    for first in range(0, len(length_m), _BLOCK):
        part = slice(first, first + _BLOCK)
        gram = white[:, part].T @ others
        zone[part] = is_near(gram, beyond[part, None], other) @ stands_for_m
    return np.maximum(zone, length_m)


def evenly(weight: FloatArray, most: int) -> IndexArray:
    """Return at most so many of the places, one in each equal share of the weight."""
    if len(weight) <= most:
        return np.arange(len(weight))
    reached = np.cumsum(weight)
    wanted = (np.arange(most) + 0.5) / most * reached[-1]
    return np.unique(np.searchsorted(reached, wanted))


def is_near(gram: FloatArray, beyond: FloatArray, other: FloatArray) -> BoolArray:
    """Return whether leaks are in one zone: |s|² − (s·u)² ≤ c² for the other's unit vector u.

    Args:
        gram: Inner products of the leaks' signatures with the others'.
        beyond: Root of what the squared length of the leaks' exceeds c² by, 0 where it does not.
        other: Length of the others' signatures.
    """
    # A leak that is hardly seen may be anywhere, also where the other would show the reverse.
    # One that does not show at all is not like a leak that does.
    is_like = (gram >= beyond * other * (1.0 - _ROUNDING)) & (other > 0.0)
    return np.asarray((beyond <= 0.0) | is_like)


def look(  # noqa: PLR0913, PLR0917 - each is a thing of its own
    inp: Path,
    model: NetworkModel,
    sensors: Sequence[int],
    possible: Sequence[int],
    sizes_m3s: FloatArray,
    metered: Metered | None,
    settings: CoverageSettings,
    tell: Progress,
) -> View:
    """Return what sensors, possible sensors and meters would see of leaks.

    Raises:
        NothingMeasuredError: There is no instrument at all.
        NotConvergedError: EPANET found no state.
    """
    meters = usual_meters(model) if metered is None else metered
    if not (len(sensors) or len(possible) or meters.n_meters):
        raise NothingMeasuredError
    with Solver(inp, model) as solver:
        return _Look(inp, model, solver, meters, settings, tell).view(
            np.array(sensors, dtype=np.int64), np.array(possible, dtype=np.int64), sizes_m3s
        )


class _Look:
    """One look at a network through its instruments."""

    def __init__(  # noqa: PLR0913, PLR0917 - what `look` was given
        self,
        inp: Path,
        model: NetworkModel,
        solver: Solver,
        metered: Metered,
        settings: CoverageSettings,
        tell: Progress,
    ) -> None:
        self.inp, self.model, self.solver = inp, model, solver
        self.metered, self.settings, self.tell = metered, settings, tell

    def view(self, sensors: IndexArray, possible: IndexArray, sizes_m3s: FloatArray) -> View:
        """Solve, linearize, and carry errors and leaks to the instruments."""
        current, meters = self._current_rows()
        pressures = tuple(Observed(int(node)) for node in (*sensors, *possible))
        observed = pressures + meters.observed
        self.tell("solve the leak-free model", 0, len(current))
        solved = [self._linearize(row, observed) for row in current]
        self.tell("solve the leak-free model", len(current), len(current))
        rows = [*self._reference_rows(current), *current]
        again = len(rows) // len(current)
        sensitivity = [one.sensitivity for one in solved] * again
        layout = _layout(rows, [one.predicted for one in solved] * again, len(pressures))
        self.tell("carry the model's errors to the sensors", 0, 1)
        carried = carry(self.model, rows, sensitivity, layout, self._is_measured(), [])
        total = covariance(carried, layout, rows, self.settings.scales, meters.noise_m3s)
        self.tell("carry the model's errors to the sensors", 1, 1)
        pipes = np.flatnonzero(self.model.is_pipe & (self.model.length_m > 0))
        effect = self._effects(current, solved, observed, pipes, sizes_m3s)
        none = np.zeros((len(rows) - len(current), *effect.shape[1:]))
        at = layout.row, layout.observed
        is_possible = (layout.observed >= len(sensors)) & (layout.observed < len(pressures))
        return View(
            link=pipes,
            length_m=self.model.length_m[pipes],
            is_reached=self._reached(solved, pipes),
            size_m3s=np.asarray(sizes_m3s, dtype=np.float64),
            covariance=total,
            signature=np.concatenate([none, effect])[at],
            base=np.flatnonzero(~is_possible),
            possible=_by_sensor(layout, is_possible, len(rows)),
            node=possible,
        )

    def _current_rows(self) -> tuple[list[Row], Meters]:
        """Return the night and the day of one day as the file has it, each at its usual links."""
        settings, model = self.settings, self.model
        time_s = np.arange(_DAY_S, 2.0 * _DAY_S, settings.step_s)
        clock_s = (time_s + model.start_clock_s) % _DAY_S
        is_night = (clock_s >= _NIGHT_S[0]) & (clock_s < _NIGHT_S[1])
        rows = []
        for number, part in enumerate((is_night, ~is_night)):
            seen = self._nothing_read(time_s[part])
            meters = read_meters(model, self.solver, seen)
            found = make_rows(self.inp, model, self.solver, seen, meters, (), 1)
            fullest = max(found, key=lambda row: row.n_times)
            rows.append(self._over_days(fullest, number, settings.current_days))
        return rows, meters

    def _nothing_read(self, time_s: FloatArray) -> Measurements:
        """Return the instruments without readings: the file alone says what happens."""
        n_times, metered = len(time_s), self.metered
        nothing = [np.full((n_times, len(one)), np.nan) for one in (metered.tank, metered.link)]
        return Measurements(
            model_time_s=time_s,
            is_reference=np.zeros(n_times, dtype=np.bool_),
            pressure_node=np.empty(0, dtype=np.int64),
            pressure_m=np.empty((n_times, 0)),
            tank_node=metered.tank,
            tank_level_m=nothing[0],
            flow_link=metered.link,
            flow_m3s=nothing[1],
            demand_node=metered.source,
            demand_m3s=np.full((n_times, len(metered.source)), np.nan),
        )

    def _over_days(self, row: Row, number: int, n_days: int) -> Row:
        """Return a row that averages the same hours of several days."""
        days = np.repeat(np.arange(n_days) * 24, len(row.hour))
        return replace(
            row,
            bin=number,
            n_times=row.n_times * n_days,
            hour=np.tile(row.hour, n_days) + days,
            hour_share=np.tile(row.hour_share, n_days) / n_days,
            is_balanced=self._is_balanced(row),
        )

    def _reference_rows(self, current: list[Row]) -> list[Row]:
        n_days, n_now = self.settings.reference_days, self.settings.current_days
        if n_days == 0:
            return []
        rows = []
        for row in current:
            n_hours = len(row.hour) // n_now
            once = replace(
                row,
                is_reference=True,
                n_times=row.n_times // n_now,
                hour=row.hour[:n_hours],
                hour_share=row.hour_share[:n_hours] * n_now,
            )
            rows.append(self._over_days(once, row.bin, n_days))
        return rows

    def _is_balanced(self, row: Row) -> BoolArray:
        """Return users in zones whose sources and tanks are all metered."""
        metered = np.zeros(self.model.n_nodes, dtype=np.bool_)
        metered[self.metered.tank] = metered[self.metered.source] = True
        for node in np.flatnonzero(self.model.node_kind != NodeKind.JUNCTION):
            own = np.flatnonzero((self.model.start == node) | (self.model.end == node))
            metered[node] |= bool(np.isin(own, self.metered.link).all())
        is_fixed = self.model.node_kind != NodeKind.JUNCTION
        unmetered = np.unique(row.zone[is_fixed & ~metered])
        is_user = row.boundary.demand_m3s > 0
        return np.asarray(is_user & ~np.isin(row.zone, unmetered), dtype=np.bool_)

    def _linearize(self, row: Row, observed: tuple[Observed, ...]) -> _Solved:
        state = self.solver.solve(row.boundary)
        node_slope = self.solver.outflow_slope(state)
        link_slope = self.solver.pump_slopes(row.boundary, state)
        tangent = Tangent(self.model, PipeLosses(self.model), state, link_slope, node_slope)
        predicted = predict(observed, state.head_m[None, :], state.flow_m3s[None, :])[:, 0]
        return _Solved(tangent, tangent.sensitivity(observed), predicted)

    def _is_measured(self) -> BoolArray:
        measured = self.model.node_kind == NodeKind.RESERVOIR
        measured[self.metered.tank] = True
        return np.asarray(measured, dtype=np.bool_)

    def _effects(
        self,
        rows: list[Row],
        solved: list[_Solved],
        observed: tuple[Observed, ...],
        pipes: IndexArray,
        sizes_m3s: FloatArray,
    ) -> FloatArray:
        """Return effects of leaks at the middle of pipes.

        Shape (n_rows, n_observed, n_pipes, n_sizes); no water is lost where none arrives.
        """
        ends = np.stack([self.model.start[pipes], self.model.end[pipes]])
        nodes, column = np.unique(ends, return_inverse=True)
        start, end = column.reshape(2, -1)
        found = []
        for done, (row, one) in enumerate(zip(rows, solved, strict=True)):
            self.tell("try a leak in every pipe", done, len(rows))
            if len(nodes) > LARGE:
                effect = linear(one.sensitivity, nodes, sizes_m3s)
            else:
                effect = second_order(one.tangent, observed, one.sensitivity, row, nodes, sizes_m3s)
            effect = np.where(one.tangent.is_live[nodes][:, None], effect, 0.0)
            found.append(0.5 * (effect[:, start] + effect[:, end]))
        self.tell("try a leak in every pipe", len(rows), len(rows))
        return np.stack(found)

    def _reached(self, solved: list[_Solved], pipes: IndexArray) -> BoolArray:
        live = np.zeros(self.model.n_nodes, dtype=np.bool_)
        for one in solved:
            live |= one.tangent.is_live
        return np.asarray(live[self.model.start[pipes]] | live[self.model.end[pipes]])


@dataclass(frozen=True, slots=True)
class _Solved:
    """A row's linearization, and what the model predicts in it."""

    tangent: Tangent
    sensitivity: Sensitivity
    predicted: FloatArray


def _layout(rows: list[Row], predicted: list[FloatArray], n_pressures: int) -> Layout:
    """Lay out every observation in every row."""
    n_observed = len(predicted[0])
    at = np.repeat(np.arange(len(rows)), n_observed)
    observed = np.tile(np.arange(n_observed), len(rows))
    n_read = np.array([float(row.n_times) for row in rows])
    return Layout(at, observed, np.stack(predicted)[at, observed], n_read[at], n_pressures)


def _by_sensor(layout: Layout, is_possible: BoolArray, n_rows: int) -> IndexArray:
    """Return the entries of each possible sensor, shape (n_possible, n_rows)."""
    entries = np.flatnonzero(is_possible)
    order = np.argsort(layout.observed[entries], kind="stable")
    return entries[order].reshape(-1, n_rows)


def _tell_nobody(step: str, done: int, total: int) -> None:
    del step, done, total
