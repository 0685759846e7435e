"""How wrong the model and the sensors are, as the leak-free window itself says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.linalg import LinAlgError, cholesky, solve_triangular

from hydraulics.leaks.doubts import is_reference
from hydraulics.leaks.prior import Carried, Layout, Scales, covariance
from hydraulics.leaks.rows import Row
from hydraulics.network import FloatArray

_LEAST_ROWS = 3
_MOST_STEPS = 6
_STEP = 2.0


def fit_scales(  # noqa: PLR0913, PLR0917 - each is a thing of its own
    carried: Carried,
    layout: Layout,
    gap: FloatArray,
    rows: list[Row],
    scales: Scales,
    meter_noise: FloatArray,
) -> Scales:
    """Return scales raised until the leak-free window is as likely as it gets.

    Two things are raised, by doubling: what rows of pressure scatter by beside the readings'
    noise, which noise that lasts for hours and an inner state of the model move, and all errors of
    demands and roughness together. Neither falls below what is given: a calm window must not make
    an answer sure. Too short a window leaves the scales as they are.

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

    def likelihood(at: tuple[int, int]) -> float:
        raised = _raised(scales, *at)
        return _log_likelihood(covariance(own, seen, rows, raised, meter_noise), left)

    best = (0, 0)
    top = likelihood(best)
    for step in ((1, 0), (0, 1), (1, 0), (0, 1)):
        while max(best) < _MOST_STEPS:
            further = (best[0] + step[0], best[1] + step[1])
            found = likelihood(further)
            if found <= top:
                break
            best, top = further, found
    return _raised(scales, *best)


def _raised(scales: Scales, noise_steps: int, model_steps: int) -> Scales:
    noise, model = _STEP**noise_steps, np.sqrt(_STEP) ** model_steps
    return replace(
        scales,
        row_noise_m=scales.row_noise_m * noise,
        demand_static=scales.demand_static * model,
        demand_hourly=scales.demand_hourly * model,
        demand_daily=scales.demand_daily * model,
        level_row=scales.level_row * model,
        level_window=scales.level_window * model,
        roughness=scales.roughness * model,
        roughness_common=scales.roughness_common * model,
    )


def _log_likelihood(total: FloatArray, gap: FloatArray) -> float:
    try:
        factor = cholesky(total, lower=True, check_finite=False)
    except LinAlgError:
        return -np.inf
    white = solve_triangular(factor, gap, lower=True, check_finite=False)
    return float(-0.5 * white @ white - np.log(np.diag(factor)).sum())
