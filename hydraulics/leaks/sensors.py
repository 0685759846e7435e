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
    left: list[LeftOut] = []
    moving = _moving(pressure)
    for sensor in range(pressure.shape[1]):
        _check(seen, pressure, sensor, left, are_others_moving=moving)
    return pressure, left


def _check(
    seen: Measurements,
    pressure: FloatArray,
    sensor: int,
    left: list[LeftOut],
    *,
    are_others_moving: bool,
) -> None:
    column = pressure[:, sensor]
    good = np.isfinite(column)
    current = good & ~seen.is_reference
    if int(current.sum()) < min(_LEAST_ROWS, int((~seen.is_reference).sum())):
        left.append(LeftOut(sensor, len(column), "no readings in the window", is_whole=True))
        column[:] = np.nan
        return
    if are_others_moving and good.sum() >= _LEAST_ROWS and np.ptp(column[good]) < _STILL_M:
        left.append(LeftOut(sensor, int(good.sum()), "stands still: stuck", is_whole=True))
        column[:] = np.nan
        return
    for found, reason in (
        (_flat(column), "stands still for three hours or longer"),
        (_spikes(column), "spikes away from its neighbours in time"),
    ):
        if are_others_moving and found.any():
            left.append(LeftOut(sensor, int(found.sum()), reason, is_whole=False))
            column[found] = np.nan


def _moving(pressure: FloatArray) -> bool:
    with np.errstate(all="ignore"):
        ranges = [np.ptp(c[np.isfinite(c)]) for c in pressure.T if np.isfinite(c).any()]
    return len(ranges) > 1 and float(np.median(ranges)) > _STILL_M


def _flat(column: FloatArray) -> BoolArray:
    """Return readings inside runs of one value."""
    flat = np.zeros(len(column), dtype=np.bool_)
    if len(column) < _FLAT_TIMES:
        return flat
    still = np.abs(np.diff(column)) < _STILL_M
    if np.count_nonzero(still) < _FLAT_TIMES:
        return flat
    edges = np.flatnonzero(np.diff(np.concatenate([[False], still, [False]]).astype(np.int64)))
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        if last - first >= _FLAT_TIMES:
            flat[first : last + 1] = True
    return flat


def _spikes(column: FloatArray) -> BoolArray:
    """Return single readings far from the median of five around them."""
    if len(column) < _LEAST_ROWS + 2:
        return np.zeros(len(column), dtype=np.bool_)
    padded = np.concatenate([column[:1], column[:1], column, column[-1:], column[-1:]])
    windows = np.stack([padded[k : k + len(column)] for k in range(_WINDOW)], axis=1)
    is_whole = bool(np.isfinite(column).all())
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        # Sorting five numbers is many times faster than a median that minds missing ones.
        middle = np.sort(windows, axis=1)[:, _WINDOW // 2] if is_whole else _middle(windows)
        away: FloatArray = np.abs(column - middle)
        is_far: BoolArray = away > _FAR_M
        if not is_far.any():
            return is_far
        usual = max(float(np.nanmedian(away)) * 1.4826, 0.02)
    return np.asarray(is_far & (away > _SPIKES * usual), dtype=np.bool_)


def _middle(windows: FloatArray) -> FloatArray:
    return np.asarray(np.nanmedian(windows, axis=1), dtype=np.float64)
