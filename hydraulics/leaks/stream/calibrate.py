"""Roughness that days of readings ask for, within what the file may be wrong."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hydraulics.errors import NotConvergedError
from hydraulics.leaks.stream.physics import Physics
from hydraulics.leaks.stream.rows import DayRows
from hydraulics.leaks.stream.settings import StreamSettings
from hydraulics.network import FloatArray

_ROUNDS = 3
_ROWS = 150
_ALIKE = 4.0
"""How many rows tell as much as one that is independent: users repeat themselves."""
_FARTHEST = 0.5
_NOISIEST = 0.5
_OF_MEDIAN = 1.4826

LeakAt = Callable[[int], FloatArray]


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a calibration says of the model's errors.

    Attributes:
        error: ln of each pipe's roughness over the file's, then valves' settings [m], then
            sensors' offsets [m], shape (n_errors,).
        spread: Covariance of the same, shape (n_errors, n_errors).
        noise: Standard deviation of a row of each observation, shape (n_observed,).
    """

    error: FloatArray
    spread: FloatArray
    noise: FloatArray


def calibrate(
    physics: Physics, days: dict[int, DayRows], leak_at: LeakAt, settings: StreamSettings
) -> Calibration:
    """Fit roughness and offsets to readings by the most probable values.

    The physics is left at them.

    Args:
        physics: The network; its roughness and its sensors' offsets are set.
        days: Rows of the days to fit.
        leak_at: Outflow of known leaks on a day [m³/s], shape (n_nodes,).
        settings: Prior spreads and least noise.
    """
    precision = np.asarray(np.linalg.inv(prior_spread(physics, settings)), dtype=np.float64)
    error = np.zeros(len(precision))
    least = noise = _least_noise(physics, days, settings)
    told = precision
    for turn in range(_ROUNDS):
        _apply(physics, error)
        gap, effect = _sampled(physics, days, leak_at)
        noise = _noise(gap, least) if turn else noise
        is_read = np.isfinite(gap)
        white = np.where(is_read, gap, 0.0) / noise
        flat = (np.where(is_read[..., None], effect, 0.0) / noise[:, None]).reshape(-1, len(error))
        told = np.asarray(flat.T @ flat / _ALIKE + precision, dtype=np.float64)
        slope = flat.T @ white.reshape(-1) / _ALIKE - precision @ error
        error = _bounded(physics, error + _step(physics, told, slope))
    _apply(physics, error)
    return Calibration(error, np.asarray(np.linalg.inv(told), dtype=np.float64), noise)


def prior_spread(physics: Physics, settings: StreamSettings) -> FloatArray:
    """Return the covariance of errors before anything is read, each pipe by itself."""
    variance = np.full(physics.n_errors, settings.offset_m**2)
    variance[_settings_of(physics)] = settings.valve_m**2
    variance[: len(physics.pipes)] = settings.roughness**2
    return np.diag(variance)


def shared_spread(physics: Physics, settings: StreamSettings) -> FloatArray:
    """Return the same where pipes of one roughness and diameter err together.

    It leaves a leak less to hide behind than pipes that may each err by themselves.
    """
    model, n_pipes = physics.frame.model, len(physics.pipes)
    kinds = np.stack([model.roughness[physics.pipes], model.diameter_m[physics.pipes]], axis=1)
    _, kind = np.unique(np.round(kinds, 4), axis=0, return_inverse=True)
    alike = kind.reshape(-1)[:, None] == kind.reshape(-1)[None, :]
    spread = prior_spread(physics, settings)
    own = settings.own_roughness**2 * np.eye(n_pipes)
    spread[:n_pipes, :n_pipes] = own + settings.class_roughness**2 * alike
    return spread


def _settings_of(physics: Physics) -> slice:
    n_pipes = len(physics.pipes)
    return slice(n_pipes, n_pipes + len(physics.valves))


def _step(physics: Physics, precision: FloatArray, slope: FloatArray) -> FloatArray:
    """Return the step to the most probable errors while settings stay as the file has them.

    They only add doubt. Where sensors may be off, what a setting would explain is left to their
    offsets: taken out after a step of all together, it would stay in every residual. Where they
    are true, it does stay there, as bending the roughness to it was worse.
    """
    settings = _settings_of(physics)
    is_free = np.ones(len(slope), dtype=np.bool_)
    is_free[settings] = physics.n_errors == settings.stop
    step = np.zeros(len(slope))
    step[is_free] = np.linalg.solve(precision[np.ix_(is_free, is_free)], slope[is_free])
    step[settings] = 0.0
    return step


def _bounded(physics: Physics, error: FloatArray) -> FloatArray:
    n_pipes, bounded = len(physics.pipes), error.copy()
    bounded[:n_pipes] = np.clip(error[:n_pipes], -_FARTHEST, _FARTHEST)
    return bounded


def _apply(physics: Physics, error: FloatArray) -> None:
    roughness = physics.frame.model.roughness.copy()
    roughness[physics.pipes] *= np.exp(error[: len(physics.pipes)])
    physics.take_roughness(roughness)
    offset_m = error[_settings_of(physics).stop :]
    physics.take_offsets(offset_m if len(offset_m) else np.zeros(physics.n_heads))


def _least_noise(
    physics: Physics, days: dict[int, DayRows], settings: StreamSettings
) -> FloatArray:
    intake = [rows.intake_m3s for rows in days.values()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no zone is fed
        usual = float(np.nan_to_num(np.nanmean(np.concatenate(intake)))) if intake else 0.0
    noise = np.full(len(physics.observed), settings.noise_m)
    noise[physics.n_heads :] = max(settings.noise_share * usual, 1e-5)
    return noise


def _noise(left: FloatArray, least: FloatArray) -> FloatArray:
    """Return what the fit leaves at each instrument, at least the least."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an instrument without readings
        spread = np.nan_to_num(np.nanmedian(np.abs(left), axis=0)) * _OF_MEDIAN
    return np.asarray(np.clip(spread, least, np.maximum(_NOISIEST, least)), dtype=np.float64)


def _sampled(
    physics: Physics, days: dict[int, DayRows], leak_at: LeakAt
) -> tuple[FloatArray, FloatArray]:
    """Return gaps and effects of errors at rows spread evenly over the days."""
    every = [(day, row) for day, rows in days.items() for row in range(len(rows.block))]
    chosen = every[:: max(len(every) // _ROWS, 1)]
    gaps, effects = [], []
    for day, row in chosen:
        boundary = physics.frame.boundary(days[day], row, leak_at(day))
        try:
            state, sensitivity = physics.sensitivity(boundary)
        except NotConvergedError:
            continue
        gaps.append(days[day].measured[row] - physics.predicted(state))
        effects.append(physics.errors_of(sensitivity))
    n_observed = len(physics.observed)
    return (
        np.array(gaps).reshape(-1, n_observed),
        np.array(effects).reshape(-1, n_observed, physics.n_errors),
    )
