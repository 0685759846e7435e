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
