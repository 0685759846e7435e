"""Sensors that drift or jump while the others do not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hydraulics.network import FloatArray

_BIASES = 4.0
"""A change counts beyond this many standard deviations of a sensor's constant offset."""
_EXPLAINED = 0.5
"""A change must explain this share of the variance."""
_LEAST_ROWS = 12
_LEAST_SPAN_S = 1.5 * 86_400.0
"""Within one day a change is not told from the course of the day."""
_LEAST_SIDE = 3


@dataclass(frozen=True, slots=True)
class Fault:
    """A change of a sensor's offset.

    Attributes:
        is_jump: Whether it came at once; else it drifts.
        change_m: How much more it reads at the end than at the beginning [m].
        time_s: Model time of the jump, or of the beginning of the drift [s].
    """

    is_jump: bool
    change_m: float
    time_s: float

    @property
    def words(self) -> str:
        """What is wrong, in a few words."""
        if self.is_jump:
            return f"its offset jumped by {self.change_m:+.2f} m"
        return f"it drifts: {self.change_m:+.2f} m over the window"


def find_faults(
    time_s: FloatArray, residual: FloatArray, hourly: FloatArray, bias_m: float
) -> dict[int, Fault]:
    """Return the sensors whose offset changed, by their column.

    The largest change is taken out first, as it makes the other sensors seem to change the other
    way, and the rest are looked at again.

    Args:
        time_s: Model time [s], shape (n_rows,).
        residual: Measured less modelled [m], shape (n_rows, n_sensors), NaN where missing.
        hourly: Covariance of one hour, offsets aside, shape (n_sensors, n_sensors).
        bias_m: Standard deviation of a sensor's constant offset [m].
    """
    faulty: list[int] = []
    while True:
        others = [one for one in range(residual.shape[1]) if one not in faulty]
        found = _changed(others, others, time_s, residual, hourly, bias_m)
        if not found:
            break
        faulty.append(max(found, key=lambda one: abs(found[one].change_m)))
    # The first to be found were still held against those that were found after them.
    faults: dict[int, Fault] = {}
    for sensor in faulty:
        faults |= _changed([sensor], [sensor, *others], time_s, residual, hourly, bias_m)
    return faults


def _changed(  # noqa: PLR0913, PLR0917 - each is a thing of its own
    asked: list[int],
    beside: list[int],
    time_s: FloatArray,
    residual: FloatArray,
    hourly: FloatArray,
    bias_m: float,
) -> dict[int, Fault]:
    """Return how some sensors changed against the others of a group, where they did."""
    left = np.full_like(residual, np.nan)
    left[:, beside] = residual[:, beside]
    alone = against_others(left, hourly)
    found = {}
    for sensor in asked:
        good = np.isfinite(alone[:, sensor])
        fault = find_fault(time_s[good], alone[good, sensor], bias_m)
        if fault is not None:
            found[sensor] = fault
    return found


def against_others(residual: FloatArray, hourly: FloatArray) -> FloatArray:
    """Return by how much each sensor departs from what the others say in the same hour.

    Errors of the model move sensors together, by a covariance that is known; a sensor that fails
    moves alone. Constant offsets are taken off before.

    Args:
        residual: Measured less modelled [m], shape (n_rows, n_sensors), NaN where missing.
        hourly: Covariance of one hour, offsets aside, shape (n_sensors, n_sensors).

    Returns:
        Residual less its expectation given the other sensors [m], the same shape.
    """
    alone = np.full_like(residual, np.nan)
    is_read = np.isfinite(residual)
    offset = np.zeros(residual.shape[1])
    for sensor in np.flatnonzero(is_read.any(axis=0)):
        offset[sensor] = np.median(residual[is_read[:, sensor], sensor])
    kinds, which = np.unique(is_read, axis=0, return_inverse=True)
    for number, good in enumerate(kinds):
        rows = np.flatnonzero(which.reshape(-1) == number)
        precision = np.linalg.inv(hourly[np.ix_(good, good)])
        gap = (residual - offset)[np.ix_(rows, good)]
        alone[np.ix_(rows, good)] = gap @ precision / np.diag(precision)
    return alone


def find_fault(time_s: FloatArray, departure_m: FloatArray, bias_m: float) -> Fault | None:
    """Return the change of offset that a sensor's departures from the others show, if any.

    A step and a straight line are fitted; the better one counts if it is large beside the offset
    that sensors may have, and explains at least half of the variance.

    Args:
        time_s: Model time [s], shape (n_rows,), rising.
        departure_m: What the sensor reads beyond what the others say [m], shape (n_rows,).
        bias_m: Standard deviation of the constant offset of a sensor [m].
    """
    if len(time_s) < _LEAST_ROWS or time_s[-1] - time_s[0] < _LEAST_SPAN_S:
        return None
    total = float(((departure_m - departure_m.mean()) ** 2).sum())
    best, left = min(
        (_step(time_s, departure_m), _line(time_s, departure_m)), key=lambda one: one[1]
    )
    is_large = abs(best.change_m) > _BIASES * bias_m
    return best if is_large and left <= (1.0 - _EXPLAINED) * total else None


def _step(time_s: FloatArray, values: FloatArray) -> tuple[Fault, float]:
    """Return the best step, and the squares that it leaves."""
    n = len(values)
    first = np.arange(_LEAST_SIDE, n - _LEAST_SIDE + 1)
    reached = np.concatenate([[0.0], np.cumsum(values)])
    before = reached[first] / first
    after = (reached[-1] - reached[first]) / (n - first)
    gain = first * before**2 + (n - first) * after**2
    at = int(gain.argmax())
    fault = Fault(
        is_jump=True,
        change_m=float(after[at] - before[at]),
        time_s=float(time_s[first[at]]),
    )
    return fault, float((values**2).sum() - gain[at])


def _line(time_s: FloatArray, values: FloatArray) -> tuple[Fault, float]:
    """Return the best straight line, and the squares that it leaves."""
    since = time_s - time_s.mean()
    slope = float(since @ values) / float(since @ since)
    left = values - values.mean() - slope * since
    change = slope * float(time_s[-1] - time_s[0])
    return Fault(is_jump=False, change_m=change, time_s=float(time_s[0])), float(left @ left)
