"""Windows of time that a leak run reads, and the leak-free one that it is compared with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from twin.errors import RefusedError, UnreadableError
from twin.instants import NS_PER_S, format_instant
from twin.ports import Record
from twin.readings import Quantity, TimeArray

HOUR_NS = 3_600 * NS_PER_S
DAY_NS = 24 * HOUR_NS
LOOK_BACK_NS = 62 * DAY_NS
LONGEST_REFERENCE_NS = 14 * DAY_NS
SHORTEST_REFERENCE_NS = HOUR_NS
GAP_NS = 2 * HOUR_NS
"""Readings further apart than this are of two stretches."""


class WindowError(UnreadableError):
    """Two times make no window, or two windows do not fit together."""


class NoReadingsError(RefusedError):
    """A window holds no pressure reading."""

    def __init__(self, network: str, window: Window) -> None:
        super().__init__(network, window)
        self.network = network
        self.window = window

    def __str__(self) -> str:
        return (
            f"network {self.network!r} has no usable pressure reading in {self.window}; "
            "choose a window that was ingested"
        )


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """The instants from, inclusive, to to, exclusive [ns since the Unix epoch]."""

    from_ns: int
    to_ns: int

    def __post_init__(self) -> None:
        if self.from_ns >= self.to_ns:
            raise WindowError(
                f"the window begins at {format_instant(self.from_ns)}, which is not before its end "
                f"{format_instant(self.to_ns)}"
            )

    def __str__(self) -> str:
        return f"[{format_instant(self.from_ns)}, {format_instant(self.to_ns)})"

    @property
    def length_ns(self) -> int:
        """How long it is [ns]."""
        return self.to_ns - self.from_ns

    def overlaps(self, other: Window) -> bool:
        """Whether any instant lies in both."""
        return self.from_ns < other.to_ns and other.from_ns < self.to_ns


def check_apart(window: Window, reference: Window) -> None:
    """Refuse a reference that shares an instant with the window that it is compared with.

    Raises:
        WindowError: They overlap.
    """
    if window.overlaps(reference):
        raise WindowError(
            f"the reference {reference} overlaps the window {window}; the reference must be "
            "leak-free, so choose one wholly outside"
        )


def stretches(time_ns: TimeArray, step_ns: int) -> list[Window]:
    """Return the stretches of time that hold readings without a gap of more than two hours.

    Args:
        time_ns: Times of readings, shape (n,), rising.
        step_ns: What one reading stands for: the end of a stretch is its last time plus this.
    """
    if not len(time_ns):
        return []
    cuts = np.flatnonzero(np.diff(time_ns) > GAP_NS) + 1
    parts = np.split(time_ns, cuts)
    return [Window(int(part[0]), int(part[-1]) + step_ns) for part in parts]


def without(windows: Iterable[Window], unusable: Iterable[Window]) -> list[Window]:
    """Return what is left of `windows` when every instant of `unusable` is taken out."""
    left = list(windows)
    for hole in unusable:
        left = [part for window in left for part in _minus(window, hole)]
    return left


def _minus(window: Window, hole: Window) -> list[Window]:
    if not window.overlaps(hole):
        return [window]
    ends = ((window.from_ns, hole.from_ns), (hole.to_ns, window.to_ns))
    return [Window(begin, end) for begin, end in ends if begin < end]


def split_at(windows: Iterable[Window], borders: Iterable[int]) -> list[Window]:
    """Return the windows, cut in two at each border inside them."""
    left = list(windows)
    for border in borders:
        left = [part for window in left for part in _cut(window, border)]
    return left


def _cut(window: Window, border: int) -> list[Window]:
    if not window.from_ns < border < window.to_ns:
        return [window]
    return [Window(window.from_ns, border), Window(border, window.to_ns)]


def longest_reference(candidates: Sequence[Window]) -> Window | None:
    """Return the newest of the longest stretches, as whole days where it holds one.

    Whole days, so that every hour of the day weighs the same; at most 14 of them, the newest.
    A stretch of less than an hour is none.
    """
    usable = [window for window in candidates if window.length_ns >= SHORTEST_REFERENCE_NS]
    if not usable:
        return None
    best = max(usable, key=lambda window: (window.length_ns, window.from_ns))
    length_ns = min(best.length_ns, LONGEST_REFERENCE_NS)
    if length_ns >= DAY_NS:
        length_ns -= length_ns % DAY_NS
    return Window(best.to_ns - length_ns, best.to_ns)


def recorded_stretches(record: Record, network: str, before_ns: int) -> list[Window]:
    """Return the stretches with pressure readings in the 62 days before an instant."""
    begin_ns = max(before_ns - LOOK_BACK_NS, 0)
    times = [
        record.column(series, begin_ns, before_ns).time_ns
        for series in record.series(network)
        if series.quantity is Quantity.PRESSURE
    ]
    known = np.unique(np.concatenate(times)) if times else np.empty(0, np.int64)
    step_ns = int(np.median(np.diff(known))) if len(known) > 1 else 1
    found = stretches(known, min(step_ns, GAP_NS))
    return [Window(part.from_ns, min(part.to_ns, before_ns)) for part in found]
