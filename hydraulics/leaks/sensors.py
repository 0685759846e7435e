"""Which pressure sensors cannot be believed, before the network is asked."""

from __future__ import annotations

import warnings

import numpy as np

from hydraulics.leaks.measurements import LeftOut, Measurements
from hydraulics.network import BoolArray, FloatArray

_LEAST_ROWS = 3
_FLAT_TIMES = 36
_STILL_M = 1e-6
_SPIKES = 8.0
_FAR_M = 1.0
_WINDOW = 5


def check_sensors(seen: Measurements) -> tuple[FloatArray, list[LeftOut]]:
    """Return pressures with what cannot be believed as NaN, and what was taken out.

    Taken out are sensors without readings in the current window, sensors that stand still while
    others move, long stretches at one value, and single spikes.

    Returns:
        Pressures [m], shape (n_times, n_sensors), and what was left out.
    """
    pressure = np.array(seen.pressure_m, order="F")  # a sensor's readings side by side
    good, is_current = np.isfinite(pressure), ~seen.is_reference
    n_good, least = good.sum(axis=0), min(_LEAST_ROWS, int(is_current.sum()))
    range_m = _ranges_m(pressure, good)
    is_moving = _are_moving(range_m[n_good > 0])
    is_silent = good[is_current].sum(axis=0) < least
    is_stuck = ~is_silent & is_moving & (n_good >= _LEAST_ROWS) & (range_m < _STILL_M)
    pressure[:, is_silent | is_stuck] = np.nan
    left = [
        *(_whole(n, len(pressure), "no readings in the window") for n in np.flatnonzero(is_silent)),
        *(_whole(n, n_good[n], "stands still: stuck") for n in np.flatnonzero(is_stuck)),
    ]
    if is_moving:
        left += _take_out(pressure, _flat(pressure), "stands still for three hours or longer")
        left += _take_out(pressure, _spikes(pressure), "spikes away from its neighbours in time")
    return pressure, sorted(left, key=lambda one: one.sensor)


def _whole(sensor: np.intp, n_times: int, reason: str) -> LeftOut:
    return LeftOut(int(sensor), int(n_times), reason, is_whole=True)


def _take_out(pressure: FloatArray, found: BoolArray, reason: str) -> list[LeftOut]:
    """Take readings out, and say of which sensors."""
    pressure[found] = np.nan
    return [
        LeftOut(int(sensor), int(found[:, sensor].sum()), reason, is_whole=False)
        for sensor in np.flatnonzero(found.any(axis=0))
    ]


def _ranges_m(pressure: FloatArray, good: BoolArray) -> FloatArray:
    """Return how far apart a sensor's readings are, shape (n_sensors,), -inf without any."""
    highest = np.where(good, pressure, -np.inf).max(axis=0)
    lowest = np.where(good, pressure, np.inf).min(axis=0)
    return np.asarray(highest - lowest, dtype=np.float64)


def _are_moving(range_m: FloatArray) -> bool:
    return len(range_m) > 1 and float(np.median(range_m)) > _STILL_M


def _flat(pressure: FloatArray) -> BoolArray:
    """Return readings inside runs of one value, shape (n_times, n_sensors)."""
    flat = np.zeros(pressure.shape, dtype=np.bool_)
    still = np.abs(np.diff(pressure, axis=0)) < _STILL_M
    for sensor in np.flatnonzero(still.sum(axis=0) >= _FLAT_TIMES):
        bounds = np.concatenate([[False], still[:, sensor], [False]]).astype(np.int64)
        edges = np.flatnonzero(np.diff(bounds))
        for first, last in zip(edges[::2], edges[1::2], strict=True):
            if last - first >= _FLAT_TIMES:
                flat[first : last + 1, sensor] = True
    return flat


def _spikes(pressure: FloatArray) -> BoolArray:
    """Return single readings far from the median of five around them, (n_times, n_sensors)."""
    spikes = np.zeros(pressure.shape, dtype=np.bool_)
    if len(pressure) < _WINDOW:
        return spikes
    ends = pressure[[0, 0]], pressure[[-1, -1]]
    padded = np.asfortranarray(np.concatenate([ends[0], pressure, ends[1]]))
    windows = [padded[k : k + len(pressure)] for k in range(_WINDOW)]
    away: FloatArray = np.abs(pressure - _middle(*windows))
    n_good = np.isfinite(pressure).sum(axis=0)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for sensor in np.flatnonzero((n_good > 0) & (n_good < len(pressure))):
            around = np.stack([one[:, sensor] for one in windows], axis=1)
            away[:, sensor] = np.abs(pressure[:, sensor] - np.nanmedian(around, axis=1))
        for sensor in np.flatnonzero((away > _FAR_M).any(axis=0)):
            own = away[:, sensor]
            usual = max(float(np.nanmedian(own)) * 1.4826, 0.02)
            spikes[:, sensor] = (own > _FAR_M) & (own > _SPIKES * usual)
    return spikes


def _middle(
    a: FloatArray, b: FloatArray, c: FloatArray, d: FloatArray, e: FloatArray
) -> FloatArray:
    """Return the median of five, NaN where one is: ten comparisons, where sorting takes more."""
    low = np.maximum(np.minimum(a, b), np.minimum(c, d))  # neither is the least of all five
    high = np.minimum(np.maximum(a, b), np.maximum(c, d))  # nor is this the largest
    low, high = np.minimum(low, high), np.maximum(low, high)
    return np.asarray(np.maximum(low, np.minimum(high, e)), dtype=np.float64)
