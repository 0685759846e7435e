"""The answer of a run, from its posterior."""

from __future__ import annotations

import numpy as np

from hydraulics.leaks.measurements import Localization
from hydraulics.leaks.posterior import PLACES, Weighed
from hydraulics.leaks.prepared import Prepared
from hydraulics.network import FloatArray


def localization(prepared: Prepared, weighed: Weighed) -> Localization:
    """Return where the leak may be, with some probability left for anywhere."""
    candidates, result = prepared.candidates, weighed.result
    anywhere = prepared.settings.anywhere
    pipe = (1.0 - anywhere) * result.pipe + anywhere * np.exp(candidates.log_prior)
    pipe /= pipe.sum()
    order = np.lexsort((candidates.link, -pipe))
    place = PLACES[result.by_place.argmax(axis=1)]
    size = weighed.sizes_m3s[result.by_size.argmax(axis=1)]
    low, high = weighed.quantiles((0.05, 0.95))
    residual, explained, band = _residuals(prepared, weighed, int(order[0]))
    times = np.array([prepared.solved.rows[n].time_s for n in prepared.solved.current])
    return Localization(
        link=candidates.link[order],
        probability=pipe[order],
        place=place[order],
        flow_m3s=size[order],
        flow_low_m3s=low,
        flow_high_m3s=high,
        time_s=times,
        residual_m=residual,
        explained_m=explained,
        normal_band_m=band,
        left_out=tuple(prepared.left),
        evidence_ratio=result.log_evidence,
    )


def _residuals(
    prepared: Prepared, weighed: Weighed, pipe: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return residuals, what the likeliest leak explains of them, and the normal band."""
    layout, whitened = prepared.layout, prepared.whitened
    n_sensors = len(prepared.seen.pressure_node)
    residual = np.full((len(prepared.solved.rows), n_sensors), np.nan)
    explained = np.full_like(residual, np.nan)
    is_pressure = layout.observed < n_sensors
    at = layout.row[is_pressure], layout.observed[is_pressure]
    residual[at] = whitened.expected_gap[is_pressure]
    white = weighed.fit.at(pipe, *weighed.best_in(pipe))
    explained[at] = (whitened.factor @ white)[is_pressure]
    variance = (whitened.factor**2).sum(axis=1)
    band = np.full(n_sensors, np.nan)
    for sensor in np.unique(layout.observed[is_pressure]):
        band[sensor] = np.sqrt(variance[layout.observed == sensor].mean())
    current = prepared.solved.current
    return residual[current], explained[current], band
