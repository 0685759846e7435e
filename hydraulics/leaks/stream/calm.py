"""The longest stretch of days in which nothing began or ended."""

from __future__ import annotations

import numpy as np

from hydraulics.network import FloatArray

_OF_MEDIAN = 1.4826
_PENALTY = 6.0
"""What one more stretch costs, as mean squares of every entry of a day."""


def calmest(residual: FloatArray, least: FloatArray) -> range:
    """Return the longest stretch of days with one mean, the later of two as long.

    Days are cut into stretches by dynamic programming: the squares around each stretch's mean, in
    units of how neighbouring days differ, plus a price for each stretch.

    Args:
        residual: Mean residual of each day, shape (n_days, n_entries), NaN where not read.
        least: Least standard deviation of each entry, shape (n_entries,).

    Source:
        B. Jackson et al., An algorithm for optimal partitioning of data on an interval, IEEE
        Signal Processing Letters 12 (2005).
    """
    white = _whitened(residual, least)
    n_days = len(white)
    if n_days == 0:
        return range(0)
    price = _PENALTY * white.shape[1]
    total = np.concatenate([np.zeros((1, white.shape[1])), np.cumsum(white, axis=0)])
    square = np.concatenate([[0.0], np.cumsum((white**2).sum(axis=1))])
    best, begins = np.zeros(n_days + 1), np.zeros(n_days + 1, dtype=np.int64)
    for end in range(1, n_days + 1):
        starts = np.arange(end)
        sums = total[end] - total[:end]
        around = square[end] - square[:end] - (sums**2).sum(axis=1) / (end - starts)
        cost = best[:end] + around + price
        begins[end] = int(cost.argmin())
        best[end] = cost[begins[end]]
    return _longest(begins)


def _whitened(residual: FloatArray, least: FloatArray) -> FloatArray:
    is_read = np.isfinite(residual).all(axis=0)
    kept, floor = residual[:, is_read], least[is_read]
    if not is_read.any() or len(kept) <= 1:
        return np.zeros((len(residual), 1))
    change = np.abs(np.diff(kept, axis=0)) / np.sqrt(2.0)
    spread = np.maximum(_OF_MEDIAN * np.median(change, axis=0), floor)
    return np.asarray((kept - np.median(kept, axis=0)) / spread, dtype=np.float64)


def _longest(begins: np.ndarray) -> range:
    longest, end = range(0), len(begins) - 1
    while end > 0:
        stretch = range(int(begins[end]), end)
        if len(stretch) > len(longest):
            longest = stretch
        end = stretch.start
    return longest
