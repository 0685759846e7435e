"""Known leaks that grew at once: what they took up may be another leak's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from hydraulics.leaks.stream.book import Book, Followed
from hydraulics.leaks.stream.evidence import Window
from hydraulics.leaks.stream.judged import JudgedDays

MOST_DAYS = 5
"""Over longer times leaks grow by themselves."""
_SETTLED_DAYS = 3
"""Days after which the size of a new leak is known."""
_SHARE = 0.1
_LEAST_M3S = 0.25 / 3_600.0


@dataclass(frozen=True, slots=True)
class Growth:
    """A known leak of settled size, and what it lost before some days.

    Attributes:
        leak: The leak.
        before_m3s: What it lost on the day before them [m³/s].
    """

    leak: Followed
    before_m3s: float

    @property
    def spread_m3s(self) -> float:
        """What it may well grow or shrink by within a few days, a standard deviation [m³/s]."""
        return _SHARE * self.before_m3s + _LEAST_M3S

    @property
    def is_sudden(self) -> bool:
        """Whether it grew by more than leaks do by themselves."""
        return self.leak.flow_m3s - self.before_m3s > self.spread_m3s

    def mean_m3s(self, days: Iterable[int]) -> float:
        """Return by how much it was larger on some days, where it grew suddenly [m³/s]."""
        return self.leak.mean_m3s(days) - self.before_m3s if self.is_sudden else 0.0


def growths(book: Book, days: range) -> list[Growth]:
    """Return what leaks of settled size lost before some days, none where these are many."""
    if len(days) > MOST_DAYS:
        return []
    settled = [
        leak
        for leak in book.open
        if leak.found + _SETTLED_DAYS < days.start and leak.steady_m3s is None
    ]
    return [Growth(leak, leak.on(days.start - 1)) for leak in settled]


def window_before(judged: JudgedDays, days: range, since: range) -> Window:
    """Return the window of some days as if known leaks had not grown suddenly.

    What they may have grown or shrunk by themselves is in its doubt.

    Args:
        judged: The days so far.
        days: The days.
        since: The days in which leaks may have grown suddenly.
    """
    settled = growths(judged.book, since)
    leaks = [one.leak for one in settled]
    others = [leak for leak in judged.book.open if all(leak is not one for one in leaks)]
    window = judged.window(days, others)
    if not leaks:
        return window
    columns = judged.columns(window, leaks)
    more = columns @ np.array([one.mean_m3s(days) for one in settled])
    spread = np.array([one.spread_m3s for one in settled])
    return window.with_gap(window.gap + more).with_doubt(columns, spread)
