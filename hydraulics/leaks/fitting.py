"""How wrong the model and the sensors are, as the leak-free window itself says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
from scipy.linalg import LinAlgError, cholesky, solve_triangular

from hydraulics.leaks.doubts import is_reference
from hydraulics.leaks.prior import Carried, Layout, Scales, covariance
from hydraulics.leaks.rows import Row
from hydraulics.network import FloatArray

_LEAST_ROWS = 3
_MOST_STEPS = 8
_STEP = np.sqrt(2.0)
_MOST_SWEEPS = 3
_TOGETHER = (
    ("row_noise_m",),
    ("bias_m",),
    ("demand_static", "demand_hourly", "demand_daily", "level_row", "level_window"),
    ("roughness", "roughness_common"),
)
"""Scales that are raised by one factor."""
_OF_MODEL = (*_TOGETHER[2], *_TOGETHER[3])
Steps = tuple[int, ...]


def fit_scales(  # noqa: PLR0913, PLR0917 - each is a thing of its own
    carried: Carried,
    layout: Layout,
    gap: FloatArray,
    rows: list[Row],
    scales: Scales,
    meter_noise: FloatArray,
) -> Scales:
    """Return scales raised until the leak-free window is as likely as it gets.

    What rows of pressure scatter by beside the readings' noise, sensors' offsets, errors of demands
    and errors of roughness are raised, each by steps of the root of two, one after the other until
    no step helps. None falls below what is given: a calm window must not make an answer sure. Too
    short a window leaves the scales as they are.

    Args:
        carried: What errors of the model do to the entries.
        layout: The entries.
        gap: Measured minus expected, shape (n_entries,).
        rows: The rows.
        scales: Where to begin.
        meter_noise: Of each meter [m³/s].

    Source:
        Type-II maximum likelihood; C. E. Rasmussen and C. K. I. Williams, "Gaussian Processes for
        Machine Learning" (2006), section 5.4.
    """
    past = is_reference(layout, rows)
    if len(np.unique(layout.row[past])) < _LEAST_ROWS:
        return scales
    own, seen, left = carried.keep(past), layout.keep(past), gap[past]

    @cache
    def likelihood(steps: Steps) -> float:
        total = covariance(own, seen, rows, _raised(scales, steps), meter_noise)
        return _log_likelihood(total, left)

    return _raised(scales, _climbed((0,) * len(_TOGETHER), likelihood))


def is_model_raised(scales: Scales, raised: Scales) -> bool:
    """Return whether errors of demands or of roughness were raised, not those of sensors alone."""
    return any(getattr(raised, name) > getattr(scales, name) for name in _OF_MODEL)


def _climbed(begun: Steps, likelihood: Callable[[Steps], float]) -> Steps:
    """Return steps from which none up or down in one direction is likelier."""
    best = begun
    for _ in range(_MOST_SWEEPS):
        before = best
        for at in range(len(best)):
            best = _along(best, at, 1, likelihood)
            best = _along(best, at, -1, likelihood)
        if best == before:
            break
    return best


def _along(steps: Steps, at: int, by: int, likelihood: Callable[[Steps], float]) -> Steps:
    while True:
        further = (*steps[:at], steps[at] + by, *steps[at + 1 :])
        is_allowed = 0 <= further[at] <= _MOST_STEPS
        if not is_allowed or likelihood(further) <= likelihood(steps):
            return steps
        steps = further


def _raised(scales: Scales, steps: Steps) -> Scales:
    raised = {
        name: getattr(scales, name) * float(_STEP**n)
        for n, names in zip(steps, _TOGETHER, strict=True)
        for name in names
    }
    return replace(scales, **raised)


def _log_likelihood(total: FloatArray, gap: FloatArray) -> float:
    try:
        factor = cholesky(total, lower=True, check_finite=False)
    except LinAlgError:
        return -np.inf
    white = solve_triangular(factor, gap, lower=True, check_finite=False)
    return float(-0.5 * white @ white - np.log(np.diag(factor)).sum())
