"""Pressure sensors that lie: which, since when, and how."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from hydraulics.leaks.stream.evidence import White, Window
from hydraulics.network import FloatArray

_MARGIN = 2.0
"""How many times more a sensor's own offset must explain than any leak."""
_STILL_M = 1e-6
_SLOWLY = 0.5
"""Share of an offset that a drift had reached three days before."""
_DAYS_BACK = 3


class Fault(StrEnum):
    """How a sensor lies."""

    OFFSET = "offset"
    DRIFT = "drift"
    STUCK = "stuck"


@dataclass(frozen=True, slots=True)
class Liar:
    """A sensor that explains a day better by itself than any leak does.

    Attributes:
        sensor: Its position among the pressure sensors.
        offset_m: What it reads too much [m].
    """

    sensor: int
    offset_m: float


def find_liar(window: Window, leaks: FloatArray, n_heads: int, evidence: float) -> Liar | None:
    """Return the sensor whose own offset explains a day far better than any leak.

    Args:
        window: One day, in which known leaks may have grown or shrunk.
        leaks: Effect of a leak in each pipe, shape (n_entries, n_pipes).
        n_heads: How many observations are pressures.
        evidence: ln-likelihood that its offset must gain at least.
    """
    white = White(window)
    offsets = (window.sensor[:, None] == np.arange(n_heads)[None, :]).astype(np.float64)
    gain, offset_m = white.gain_of(offsets)
    leak_gain, flow_m3s = white.gain_of(leaks)
    best_leak = float(np.where(flow_m3s > 0, leak_gain, 0.0).max())
    worst = int(gain.argmax())
    if gain[worst] < evidence + _MARGIN * best_leak:
        return None
    return Liar(worst, float(offset_m[worst]))


def fault_of(measured_m: FloatArray, past_m: FloatArray, offset_m: float) -> Fault:
    """Return how a sensor lies.

    Args:
        measured_m: Its readings of the day, averaged to rows, shape (n_rows,).
        past_m: Its mean residual on the days before, the last one last, NaN where not read.
        offset_m: What it reads too much now [m].
    """
    read = measured_m[np.isfinite(measured_m)]
    if len(read) > 1 and np.ptp(read) < _STILL_M:
        return Fault.STUCK
    known = past_m[np.isfinite(past_m)][-_DAYS_BACK:]
    grew = len(known) and np.abs(known[0] / offset_m) > _SLOWLY if offset_m else False
    return Fault.DRIFT if grew else Fault.OFFSET
