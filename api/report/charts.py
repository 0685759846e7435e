"""The residual of each sensor as a small chart; all share one scale, so that they compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from twin.leaks.artefacts import Residuals, RunDetail
from twin.leaks.records import SensorResidual
from twin.readings import FloatArray

WIDTH, HEIGHT = 300.0, 96.0
BAND_SIGMAS = 2.0
"""The band shown is this many standard deviations to each side."""
_LEAST_RANGE_M = 0.02
_HEADROOM = 1.1
_CENTIMETRES = 100.0
_ROUND_TICKS_M = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)


@dataclass(frozen=True, slots=True)
class Chart:
    """One sensor's chart in SVG units, y downward.

    Attributes:
        tag: The sensor.
        asset: Its node.
        residual: Path of the residual.
        explained: Path of what the most probable leak explains.
        band_top: Upper edge of the normal band.
        band_height: Height of the normal band.
        mean_cm: Mean residual [cm].
        explained_cm: Mean of what the leak explains [cm].
        band_cm: Half the width of the band [cm].
        n_times: Rows used.
    """

    tag: str
    asset: str
    residual: str
    explained: str
    band_top: float
    band_height: float
    mean_cm: float
    explained_cm: float
    band_cm: float
    n_times: int


@dataclass(frozen=True, slots=True)
class Scale:
    """The shared axis of residuals.

    Attributes:
        low_m: Residual at the lower edge [m], below 0.
        high_m: Residual at the upper edge [m], above 0.
        tick_m: A round size that is marked below zero, and above it where it fits [m].
    """

    low_m: float
    high_m: float
    tick_m: float

    def y(self, residual_m: float) -> float:
        """Return the height in the chart of a residual."""
        return HEIGHT * (self.high_m - residual_m) / (self.high_m - self.low_m)

    @property
    def ticks(self) -> tuple[tuple[float, str], ...]:
        """Heights of the marked residuals and what they are called."""
        both = (self.tick_m, -self.tick_m)
        shown = [one for one in both if self.low_m < one < self.high_m]
        return tuple((self.y(one), f"{one * _CENTIMETRES:+.3g} cm") for one in shown)


def charts(detail: RunDetail) -> tuple[Scale, tuple[Chart, ...]]:
    """Return a chart for each sensor, the one that the leak moves most first."""
    residuals = detail.residuals
    scale = _scale(residuals)
    order = sorted(detail.run.residuals, key=lambda one: (-abs(one.explained_m), one.tag))
    column = {tag: i for i, tag in enumerate(residuals.tags)}
    x = _across(residuals.at_ns.astype(np.float64))
    return scale, tuple(_chart(one, residuals, column[one.tag], x, scale) for one in order)


def _chart(one: SensorResidual, residuals: Residuals, i: int, x: FloatArray, scale: Scale) -> Chart:
    half_m = BAND_SIGMAS * one.band_m
    top, bottom = scale.y(min(half_m, scale.high_m)), scale.y(max(-half_m, scale.low_m))
    return Chart(
        tag=one.tag,
        asset=one.asset,
        residual=_path(x, residuals.residual_m[:, i], scale),
        explained=_path(x, residuals.explained_m[:, i], scale) if one.n_times else "",
        band_top=top,
        band_height=bottom - top,
        mean_cm=one.mean_m * _CENTIMETRES,
        explained_cm=one.explained_m * _CENTIMETRES,
        band_cm=half_m * _CENTIMETRES,
        n_times=one.n_times,
    )


def _scale(residuals: Residuals) -> Scale:
    """Return an axis that holds every residual, every explanation and the narrowest band.

    A wider band is cut at the edges: were it the axis, what sensors saw would be flat lines.
    """
    known_m = residuals.band_m[np.isfinite(residuals.band_m)]
    band_m = BAND_SIGMAS * known_m[known_m.argmin() :][:1] if len(known_m) else known_m
    parts = (residuals.residual_m, residuals.explained_m, band_m, -band_m)
    values = np.concatenate([np.ravel(part) for part in parts])
    values = values[np.isfinite(values)]
    low_m = min(float(values.min(initial=0.0)) * _HEADROOM, -_LEAST_RANGE_M)
    high_m = max(float(values.max(initial=0.0)) * _HEADROOM, _LEAST_RANGE_M)
    reach_m = max(-low_m, high_m)
    return Scale(low_m, high_m, [tick for tick in _ROUND_TICKS_M if tick < reach_m][-1])


def _across(at: FloatArray) -> FloatArray:
    span = at[-1] - at[0] if len(at) > 1 else 1.0
    return (at - at[0]) / span * WIDTH if len(at) else at


def _path(x: FloatArray, value_m: FloatArray, scale: Scale) -> str:
    """Return a path that is broken where a value is missing."""
    parts = []
    for run in _runs(np.isfinite(value_m)):
        points = [f"{x[i]:.1f} {scale.y(value_m[i]):.1f}" for i in run]
        parts.append("M" + "L".join(points if len(points) > 1 else points * 2))
    return "".join(parts)


def _runs(known: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Sequence[Sequence[int]]:
    where = np.flatnonzero(known)
    if not len(where):
        return []
    parts = np.split(where, np.flatnonzero(np.diff(where) > 1) + 1)
    return [part.tolist() for part in parts]
