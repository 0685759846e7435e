"""How far days differ from one another where nothing happened."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hydraulics.leaks.stream.physics import Signatures
from hydraulics.network import FloatArray

_OF_MEDIAN = 1.4826
_CLIP = 3.0
_FEW_DAYS = 5


def daily_scatter(
    residual: FloatArray, signatures: Sequence[Signatures | None], floor: FloatArray
) -> FloatArray:
    """Return the covariance of a day's residual in each block, (n_blocks, n_observed, n_observed).

    It is taken from the differences of neighbouring days, so that what lasts is left out, clipped
    so that a day on which something began counts little, and shrunk by half towards what random
    demands would do.

    Args:
        residual: Shape (n_days, n_blocks, n_observed).
        signatures: Of each block, None where the block never was.
        floor: Least standard deviation of each observation, shape (n_observed,).
    """
    own = [
        _scatter(residual[:, b], one, floor) if one is not None else None
        for b, one in enumerate(signatures)
    ]
    known = [one for one in own if one is not None]
    usual = 2.0 * np.mean(known, axis=0) if known else np.diag((10.0 * floor) ** 2)
    return np.stack([usual if one is None else one for one in own])


def _scatter(residual: FloatArray, signatures: Signatures, floor: FloatArray) -> FloatArray | None:
    change = np.diff(residual, axis=0) / np.sqrt(2.0)
    change = change[np.isfinite(change).any(axis=1)]
    if len(change) < _FEW_DAYS:
        return None
    change = np.nan_to_num(change)
    limit = _CLIP * _OF_MEDIAN * np.median(np.abs(change), axis=0) + 1e-9
    change = np.clip(change, -limit, limit)
    seen = change.T @ change / len(change)
    users = signatures.users @ signatures.users.T
    share = min(float(np.trace(seen)) / max(float(np.trace(users)), 1e-12), 1.0)
    expected = 0.5 * np.diag(np.diag(seen)) + 0.5 * share * users
    total: FloatArray = 0.5 * seen + 0.5 * expected + np.diag((_FLOOR_SHARE * floor) ** 2)
    return total


def surplus_scatter(surplus_m3s: FloatArray) -> FloatArray:
    """Return the standard deviation of a day's surplus of each zone [m³/s], NaN if not known.

    Args:
        surplus_m3s: Shape (n_days, n_zones).
    """
    spread = np.full(surplus_m3s.shape[1], np.nan)
    for zone in range(surplus_m3s.shape[1]):
        change = np.diff(surplus_m3s[:, zone])
        change = change[np.isfinite(change)]
        if len(change) >= _FEW_DAYS:
            typical = float(np.median(np.abs(change))) * _OF_MEDIAN / np.sqrt(2.0)
            spread[zone] = max(typical, _LEAST_M3S)
    return spread


_FLOOR_SHARE = 0.7
_LEAST_M3S = 0.1 / 3_600.0
