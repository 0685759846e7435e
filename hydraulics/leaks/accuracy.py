"""How well the model fits each pressure sensor while nothing leaks, and which sensors to reject.

EPANET solves every hour of the window at its measured boundary, as a leak run does. What a sensor
reads beyond that is held against what the covariance of a leak run expects, and against a
published yardstick for calibrated models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import numpy as np

from hydraulics.epanet.toolkit import Solver, State
from hydraulics.errors import NotConvergedError
from hydraulics.leaks.faults import Fault, find_faults
from hydraulics.leaks.headloss import PipeLosses
from hydraulics.leaks.localize import EmptyWindowError
from hydraulics.leaks.measurements import KnownLeak, Measurements, Progress
from hydraulics.leaks.prior import Layout, Scales, carry, covariance
from hydraulics.leaks.rows import Meters, Row, known_outflow, make_rows, read_meters
from hydraulics.leaks.sensors import check_sensors
from hydraulics.leaks.signatures import predict
from hydraulics.leaks.tangent import Observed, Sensitivity, Tangent
from hydraulics.network import BoolArray, FloatArray, NetworkModel, NodeKind

YARDSTICK: tuple[tuple[float, float], ...] = ((0.50, 0.85), (0.75, 0.95), (2.00, 1.00))
"""Limit [m] and the share of readings that a calibrated model has within it.

Source:
    WRc, "Network analysis: a code of practice", 1989, pressures, without its alternative limits
    relative to the head loss; the same in AWWA Engineering Computer Applications Committee,
    "Calibration guidelines for water distribution system modeling", 1999.
"""
_EXPECTED = 2.0
"""Errors up to this many standard deviations are as expected."""
_DAY_S = 86_400.0
_MOST_ROWS = 400
_FEWEST_BINS, _MOST_BINS = 4, 24
_LEAST_ROWS = 3


class Grade(StrEnum):
    """How well the model fits at a sensor."""

    GOOD = "good"
    FAIR = "fair"
    POOR = "poor"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class SensorAccuracy:
    """What one pressure sensor read beyond the model.

    Attributes:
        sensor: Index into `Measurements.pressure_node`.
        grade: How well the model fits, or that the sensor is not to be used.
        n_readings: Readings compared.
        n_rows: Hours that they were averaged to.
        bias_m: Mean of measured less modelled [m], NaN where nothing was compared.
        rmse_m: Root mean square of what is left when that is taken off [m].
        time_of_day_share: Share of that, as variance, that the hour of the day explains, 0..1;
            NaN for a window that holds no hour twice.
        expected_bias_m: Standard deviation of the mean that the covariance expects [m].
        expected_rmse_m: What it expects of the rest [m].
        within: Share of hours within each limit of `YARDSTICK`, offset included.
        fault: How the sensor changed against the others, None where it did not.
        reason: Why it is rejected, in a few words; empty where it is not.
    """

    sensor: int
    grade: Grade
    n_readings: int
    n_rows: int
    bias_m: float
    rmse_m: float
    time_of_day_share: float
    expected_bias_m: float
    expected_rmse_m: float
    within: tuple[float, ...]
    fault: Fault | None
    reason: str

    @property
    def meets_yardstick(self) -> bool:
        """Whether the hours are within `YARDSTICK`, offset included."""
        return meets(self.within)

    @property
    def is_as_expected(self) -> bool:
        """Whether offset and the rest are within two standard deviations of what is expected."""
        return (
            abs(self.bias_m) <= _EXPECTED * self.expected_bias_m
            and self.rmse_m <= _EXPECTED * self.expected_rmse_m
        )


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How well the model fits, sensor by sensor.

    Attributes:
        sensors: One a pressure sensor, in their order.
        time_s: Model time of each hour compared [s], shape (n_rows,).
        residual_m: Measured less modelled [m], shape (n_rows, n_sensors), NaN where nothing was
            measured or what was cannot be believed.
        n_unsolved: Hours that EPANET could not solve.
    """

    sensors: tuple[SensorAccuracy, ...]
    time_s: FloatArray
    residual_m: FloatArray
    n_unsolved: int


def meets(within: Sequence[float]) -> bool:
    """Return whether shares within the limits of `YARDSTICK` reach what it asks."""
    asked = [share for _, share in YARDSTICK]
    return all(got >= least for got, least in zip(within, asked, strict=True))


def accuracy(  # noqa: PLR0913 - each is a thing of its own
    inp: Path,
    model: NetworkModel,
    seen: Measurements,
    known: Sequence[KnownLeak] = (),
    *,
    scales: Scales | None = None,
    progress: Progress | None = None,
) -> Accuracy:
    """Compare every pressure sensor with the leak-free model.

    Args:
        inp: The network's EPANET file.
        model: The same network as arrays.
        seen: Readings of one window without a new leak; its two windows count as one.
        known: Leaks that ran in it.
        scales: What the model does not know.
        progress: Called as it goes on.

    Raises:
        EmptyWindowError: There are no rows.
        NotConvergedError: EPANET found no state at any row.
    """
    if not len(seen.model_time_s):
        raise EmptyWindowError
    whole = replace(seen, is_reference=np.zeros(len(seen.model_time_s), dtype=np.bool_))
    pressure, left = check_sensors(whole)
    rejected = {one.sensor: one.reason for one in left if one.is_whole}
    believed = replace(whole, pressure_m=pressure)
    with Solver(inp, model) as solver:
        run = _Comparison(inp, model, solver, believed, tuple(known), scales or Scales())
        return run.answer(rejected, progress or _tell_nobody)


@dataclass(frozen=True, slots=True)
class _Expected:
    """What the covariance expects of hours, sensor by sensor."""

    bias_m: FloatArray
    rmse_m: FloatArray
    hourly: FloatArray  # covariance of the sensors in one hour, offsets aside


class _Comparison:
    """One comparison of readings with the model."""

    def __init__(  # noqa: PLR0913, PLR0917 - what `accuracy` was given
        self,
        inp: Path,
        model: NetworkModel,
        solver: Solver,
        seen: Measurements,
        known: tuple[KnownLeak, ...],
        scales: Scales,
    ) -> None:
        self.inp, self.model, self.solver, self.seen = inp, model, solver, seen
        self.known, self.scales = known, scales
        self.observed = tuple(Observed(int(node)) for node in seen.pressure_node)
        self.losses = PipeLosses(model)
        n_days = len(np.unique(self._days()))
        self.n_bins = int(np.clip(_MOST_ROWS // n_days, _FEWEST_BINS, _MOST_BINS))

    def answer(self, rejected: dict[int, str], tell: Progress) -> Accuracy:
        """Solve every hour, and judge every sensor."""
        time_s, bins, residual, n_unsolved = self._residuals(tell)
        tell("carry the model's errors to the sensors", 0, 1)
        expected = self._expected()
        tell("carry the model's errors to the sensors", 1, 1)
        faults = find_faults(time_s, residual, expected.hourly, self.scales.bias_m)
        sensors = tuple(
            self._judge(sensor, bins, residual, expected, rejected.get(sensor, ""), faults)
            for sensor in range(residual.shape[1])
        )
        return Accuracy(sensors, time_s, residual, n_unsolved)

    def _residuals(self, tell: Progress) -> tuple[FloatArray, FloatArray, FloatArray, int]:
        days = self._days()
        numbers = np.unique(days)
        found: list[tuple[float, float, FloatArray]] = []
        n_unsolved = 0
        for done, day in enumerate(numbers):
            tell("solve the leak-free model", done, len(numbers))
            part = _some(self.seen, days == day)
            for row in self._rows(part, self.n_bins):
                try:
                    state = self.solver.solve(row.boundary)
                except NotConvergedError:
                    n_unsolved += 1
                    continue
                found.append((row.time_s, float(row.bin), self._gap(part, row, state)))
        tell("solve the leak-free model", len(numbers), len(numbers))
        if not found:
            raise NotConvergedError(int(self.seen.model_time_s[0]), "at no row of the window")
        found.sort(key=lambda one: one[0])
        times, bins, gaps = zip(*found, strict=True)
        return np.array(times), np.array(bins), np.stack(gaps), n_unsolved

    def _rows(self, part: Measurements, n_bins: int) -> list[Row]:
        meters = self._meters(part)
        return make_rows(self.inp, self.model, self.solver, part, meters, self.known, n_bins)

    def _meters(self, part: Measurements) -> Meters:
        return read_meters(self.model, self.solver, part)

    def _gap(self, part: Measurements, row: Row, state: State) -> FloatArray:
        """Return measured less modelled pressure, NaN where under half of the hour was read."""
        block = part.pressure_m[row.members]
        count = np.isfinite(block).sum(axis=0)
        mean = np.nansum(block, axis=0) / np.maximum(count, 1)
        modelled = state.head_m - self.model.elevation_m
        gap = mean - modelled[part.pressure_node]
        return np.where(count * 2 >= len(block), gap, np.nan)

    def _expected(self) -> _Expected:
        """Return what the covariance of a leak run expects of the rows of one day.

        It is that of pressures given the meters: the rows are solved at what those read.
        """
        part = self._fullest_day()
        meters = self._meters(part)
        rows, sensitivity, predicted = self._linearized(self._rows(part, self.n_bins), meters)
        layout = self._layout(rows, meters, predicted)
        leaks = [
            np.stack([known_outflow(self.model, (one,), is_reference=False) for _ in rows])
            for one in self.known
        ]
        carried = carry(self.model, rows, sensitivity, layout, self._is_measured(), leaks)
        total = covariance(carried, layout, rows, self.scales, meters.noise_m3s)
        given = _given(total, layout.observed < layout.n_pressures)
        n_sensors = layout.n_pressures
        blocks = given.reshape(len(rows), n_sensors, len(rows), n_sensors)
        return _expected_of(blocks, self.scales.bias_m)

    def _layout(self, rows: list[Row], meters: Meters, predicted: list[FloatArray]) -> Layout:
        """Lay out every sensor in every row, and the meters that read in it."""
        n_sensors = len(self.observed)
        at, observed = [], []
        for number, row in enumerate(rows):
            is_read = np.isfinite(meters.value_m3s[row.members]).any(axis=0)
            used = np.concatenate([np.arange(n_sensors), n_sensors + np.flatnonzero(is_read)])
            at.append(np.full(len(used), number))
            observed.append(used)
        row_of, entry = np.concatenate(at), np.concatenate(observed)
        n_read = np.array([float(row.n_times) for row in rows])
        value = np.stack(predicted)[row_of, entry]
        return Layout(row_of, entry, value, n_read[row_of], n_sensors)

    def _fullest_day(self) -> Measurements:
        days = self._days()
        numbers, count = np.unique(days, return_counts=True)
        return _some(self.seen, days == numbers[count.argmax()])

    def _days(self) -> FloatArray:
        clock_s = self.seen.model_time_s + self.model.start_clock_s
        return np.asarray(np.floor(clock_s / _DAY_S), dtype=np.float64)

    def _linearized(
        self, rows: list[Row], meters: Meters
    ) -> tuple[list[Row], list[Sensitivity], list[FloatArray]]:
        """Return rows that EPANET solves, their sensitivities, and what it predicts."""
        observed = self.observed + meters.observed
        kept, found, predicted = [], [], []
        for row in rows:
            try:
                state = self.solver.solve(row.boundary)
                node_slope = self.solver.outflow_slope(state)
                link_slope = self.solver.pump_slopes(row.boundary, state)
            except NotConvergedError:
                continue
            tangent = Tangent(self.model, self.losses, state, link_slope, node_slope)
            kept.append(row)
            found.append(tangent.sensitivity(observed))
            seen = predict(observed, state.head_m[None, :], state.flow_m3s[None, :])
            predicted.append(seen[:, 0])
        if not kept:
            raise NotConvergedError(int(self.seen.model_time_s[0]), "at no time of the day")
        return kept, found, predicted

    def _is_measured(self) -> BoolArray:
        is_read = np.isfinite(self.seen.tank_level_m).any(axis=0)
        measured = self.model.node_kind == NodeKind.RESERVOIR
        measured[self.seen.tank_node[is_read]] = True
        return np.asarray(measured, dtype=np.bool_)

    def _judge(  # noqa: PLR0913, PLR0917 - each is a thing of its own
        self,
        sensor: int,
        bins: FloatArray,
        residual: FloatArray,
        expected: _Expected,
        reason: str,
        faults: dict[int, Fault],
    ) -> SensorAccuracy:
        column = residual[:, sensor]
        good = np.isfinite(column)
        if not reason and good.sum() < _LEAST_ROWS:
            reason = "too few readings to compare"
        fault = None if reason else faults.get(sensor)
        reason = fault.words if fault else reason
        found = _compared(sensor, column[good], bins[good], expected)
        n_readings = int(np.isfinite(self.seen.pressure_m[:, sensor]).sum())
        grade = Grade.REJECTED if reason else grade_of(found)
        return replace(found, grade=grade, n_readings=n_readings, fault=fault, reason=reason)


def grade_of(found: SensorAccuracy) -> Grade:
    """Return good where a sensor passes both tests, fair where it passes one of them."""
    passed = found.meets_yardstick + found.is_as_expected
    return (Grade.POOR, Grade.FAIR, Grade.GOOD)[passed]


def _compared(
    sensor: int, values: FloatArray, bins: FloatArray, expected: _Expected
) -> SensorAccuracy:
    """Return the figures of a sensor, before it is graded."""
    n_rows = len(values)
    bias = float(values.mean()) if n_rows else np.nan
    return SensorAccuracy(
        sensor=sensor,
        grade=Grade.REJECTED,
        n_readings=0,
        n_rows=n_rows,
        bias_m=bias,
        rmse_m=float(values.std()) if n_rows else np.nan,
        time_of_day_share=time_of_day_share(values, bins),
        expected_bias_m=float(expected.bias_m[sensor]),
        expected_rmse_m=float(expected.rmse_m[sensor]),
        within=tuple(
            float((np.abs(values) <= limit).mean()) if n_rows else 0.0 for limit, _ in YARDSTICK
        ),
        fault=None,
        reason="",
    )


def time_of_day_share(values: FloatArray, bins: FloatArray) -> float:
    """Return the share of the variance of values that the means of their bins explain.

    It is corrected for the number of bins, as that many means explain noise too (the epsilon
    squared of an analysis of variance), and cut at 0; NaN where no bin holds two values.
    """
    _, which, count = np.unique(bins, return_inverse=True, return_counts=True)
    n_free = len(values) - len(count)
    total = float(((values - values.mean()) ** 2).sum()) if len(values) else 0.0
    if n_free < 1 or total <= 0.0:
        return np.nan
    means = np.bincount(which, weights=values) / count
    inside = float(((values - means[which]) ** 2).sum())
    return max(1.0 - (inside / n_free) / (total / (len(values) - 1)), 0.0)


def _given(total: FloatArray, is_pressure: BoolArray) -> FloatArray:
    """Return the covariance of pressures given the meters."""
    if is_pressure.all():
        return total
    own = total[np.ix_(is_pressure, is_pressure)]
    cross = total[np.ix_(~is_pressure, is_pressure)]
    metered = total[np.ix_(~is_pressure, ~is_pressure)]
    return np.asarray(own - cross.T @ np.linalg.solve(metered, cross), dtype=np.float64)


def _expected_of(blocks: FloatArray, bias_m: float) -> _Expected:
    """Split what is expected of hours into offset and the rest.

    Args:
        blocks: Covariance, shape (n_rows, n_sensors, n_rows, n_sensors).
        bias_m: Standard deviation of a sensor's own offset [m].
    """
    by_sensor = np.einsum("isjs->sij", blocks)
    n_rows = blocks.shape[0]
    mean = by_sensor.mean(axis=(1, 2))
    own = np.einsum("sii->s", by_sensor) / n_rows
    hours = np.einsum("isit->st", blocks) / n_rows
    # What stays the same all day is in the offset; a drift can hide in it no better than in hours.
    constant = blocks.mean(axis=(0, 2))
    varying = hours - constant
    varying[np.diag_indices_from(varying)] += bias_m**2
    return _Expected(np.sqrt(mean), np.sqrt(np.maximum(own - mean, 0.0)), varying)


def _some(seen: Measurements, members: BoolArray) -> Measurements:
    """Return the measurements of some rows."""
    return replace(
        seen,
        model_time_s=seen.model_time_s[members],
        is_reference=seen.is_reference[members],
        pressure_m=seen.pressure_m[members],
        tank_level_m=seen.tank_level_m[members],
        flow_m3s=seen.flow_m3s[members],
        demand_m3s=seen.demand_m3s[members],
    )


def _tell_nobody(step: str, done: int, total: int) -> None:
    del step, done, total
