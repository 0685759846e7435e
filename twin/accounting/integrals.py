"""Readings over a window become volumes, means and levels; a gap stays a gap.

Between two readings a value is taken as a straight line, before the first and behind the last as
that one. A gap of more than two hours is not crossed; what lies in a shorter one counts, with a
margin as large as itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twin.instants import NS_PER_S
from twin.leaks.windows import DAY_NS, GAP_NS, Window
from twin.readings import Column, FloatArray, Status, TimeArray

_LEAST_BAD = 8 * Status.BAD
_USUAL_SLACK = 1.5


@dataclass(frozen=True, slots=True)
class Integral:
    """What a column of readings adds up to over a window.

    Attributes:
        net: Integral over time [unit × s].
        gross: Integral of the size without its sign [unit × s].
        bridged: Part of `gross` that lies in gaps longer than the usual step.
        length_s: How long the window is [s].
    """

    net: float
    gross: float
    bridged: float
    length_s: float

    @property
    def mean(self) -> float:
        """Mean over the window [unit]."""
        return self.net / self.length_s


def good_only(column: Column) -> Column:
    """Return a column without readings that their source marks bad."""
    keep = column.quality < _LEAST_BAD
    return Column(
        column.series,
        column.time_ns[keep],
        column.value[keep],
        column.quality[keep],
        column.height[keep],
        column.leaf_index[keep],
    )


def integrate(column: Column, window: Window) -> Integral | str:
    """Return the integral of a column over a window, or why there is none.

    Args:
        column: Good readings, in order of time; those outside of the window are not used.
        window: Over which time.
    """
    is_in = (column.time_ns >= window.from_ns) & (column.time_ns < window.to_ns)
    at_ns, value = column.time_ns[is_in], column.value[is_in]
    if not len(at_ns):
        return "no good reading in the window"
    at_ns, value = _with_ends(at_ns, value, window)
    gap_ns = np.diff(at_ns)
    if int(gap_ns.max()) > GAP_NS:
        longest_h = int(gap_ns.max()) / NS_PER_S / 3_600.0
        return f"no good reading for {longest_h:.1f} h"
    areas, sizes = _areas(at_ns, value), _areas(at_ns, np.abs(value))
    usual_ns = float(np.median(gap_ns[1:-1])) if len(gap_ns) > 2 else float(gap_ns.max())  # noqa: PLR2004 - both ends and one between
    is_bridge = gap_ns > _USUAL_SLACK * usual_ns
    return Integral(
        net=float(areas.sum()),
        gross=float(sizes.sum()),
        bridged=float(sizes[is_bridge].sum()),
        length_s=window.length_ns / NS_PER_S,
    )


def value_at(column: Column, at_ns: int, within_ns: int = GAP_NS) -> float | None:
    """Return the value at an instant, between the nearest readings; None where they are too far."""
    times = column.time_ns
    after = int(np.searchsorted(times, at_ns))
    near = [i for i in (after - 1, after) if 0 <= i < len(times)]
    near = [i for i in near if abs(int(times[i]) - at_ns) <= within_ns]
    if not near:
        return None
    offsets_s = [(int(times[i]) - at_ns) / NS_PER_S for i in near]
    return float(np.interp(0.0, offsets_s, column.value[near]))


def counted(column: Column, window: Window) -> float | str:
    """Return how far a counter moved over a window, or why that is not known.

    At each end it was read within two hours, or on both sides within a day.
    """
    if bool((np.diff(column.value) < 0).any()):
        return "the counter falls, so it was exchanged or counts something else"
    begin, end = _counter_at(column, window.from_ns), _counter_at(column, window.to_ns)
    if begin is None or end is None:
        return "the counter was not read near both ends of the window"
    return end - begin


def _counter_at(column: Column, at_ns: int) -> float | None:
    away_ns = column.time_ns - at_ns
    is_near = np.abs(away_ns) <= DAY_NS
    has_both = bool((is_near & (away_ns <= 0)).any() and (is_near & (away_ns >= 0)).any())
    return value_at(column, at_ns, DAY_NS if has_both else GAP_NS)


def _with_ends(at_ns: TimeArray, value: FloatArray, window: Window) -> tuple[TimeArray, FloatArray]:
    ends_ns = np.concatenate([[window.from_ns], at_ns, [window.to_ns]])
    return ends_ns, np.concatenate([value[:1], value, value[-1:]])


def _areas(at_ns: TimeArray, value: FloatArray) -> FloatArray:
    return (value[1:] + value[:-1]) / 2.0 * (np.diff(at_ns) / NS_PER_S)
