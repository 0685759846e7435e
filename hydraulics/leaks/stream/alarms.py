"""How much must speak for a leak, so that leak-free years raise only so many alarms.

What a leak-free year would read is drawn from the stream's own covariance: errors that last, days
that scatter. Each of its days is asked for a leak over all windows and places, as real days are,
and what two days in a row gain at most is what that year would have raised an alarm at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hydraulics.leaks.stream.evidence import White, Window
from hydraulics.network import BoolArray, FloatArray, IndexArray

N_YEARS = 80
_YEAR_DAYS = 365
_MOST_PLACES = 100
_UNLIKE = 0.99
"""Cosine of two effects above which one place stands for both."""


@dataclass(frozen=True, slots=True)
class CalmModel:
    """What leak-free days are drawn from.

    Attributes:
        lasting: Covariance of what no averaging takes away, shape (n_entries, n_entries).
        daily: Of what differs from day to day, the same shape.
        windows: Lengths of the windows [days], rising.
        effects: What a leak does at each place [per m³/s], shape (n_entries, n_places).
        least_flow_m3s: Smallest leak that is called [m³/s].
    """

    lasting: FloatArray
    daily: FloatArray
    windows: tuple[int, ...]
    effects: FloatArray
    least_flow_m3s: float


def highest_gains(
    calm: CalmModel, is_near: BoolArray, *, seed: int = 1, n_years: int = N_YEARS
) -> FloatArray:
    """Return the most that two days in a row gain in leak-free years, shape (n_years,), rising.

    Args:
        calm: What the years are drawn from.
        is_near: Which places count as the same, shape (n_places, n_places).
        seed: Of the draw.
        n_years: How many years are drawn.
    """
    chosen = _unlike(calm)
    near = is_near[np.ix_(chosen, chosen)]
    scores = [_scores(calm, chosen, n_days) for n_days in calm.windows]
    draw = np.random.default_rng(seed)
    years = _years(calm, draw, n_years)
    return np.sort([_highest(calm.windows, scores, near, year) for year in years])


def evidence_for(highest: FloatArray, alarms_a_year: float) -> float:
    """Return the gain that leak-free years pass `alarms_a_year` times on average.

    A leak that was called stays in the model, and so what lasts raises one alarm: years without
    any are those of a Poisson process, exp(-rate) of all. Beyond the drawn years the tail goes on
    as it ends, exponentially.

    Args:
        highest: What leak-free years gain at most, shape (n_years,), rising.
        alarms_a_year: How many alarms a leak-free year may raise, above 0.

    Source:
        S. Coles, An introduction to statistical modeling of extreme values, 2001, ch. 3 and 4.
    """
    passes = -np.expm1(-alarms_a_year)
    n_tail = max(len(highest) // 5, 2)
    if passes * len(highest) >= n_tail:
        return float(np.quantile(highest, 1.0 - passes))
    begins = float(highest[-n_tail])
    scale = float((highest[-n_tail:] - begins).mean())
    return begins + scale * float(np.log(n_tail / len(highest) / passes))


def _unlike(calm: CalmModel) -> IndexArray:
    """Return places whose effects differ, those that are seen best first."""
    white = _white(calm, calm.windows[-1])(calm.effects)
    length = np.sqrt((white**2).sum(axis=0)) + 1e-12
    unit = white / length
    chosen: list[int] = []
    for at in np.argsort(-length, kind="stable"):
        if not chosen or float((unit[:, chosen].T @ unit[:, at]).max()) < _UNLIKE:
            chosen.append(int(at))
        if len(chosen) == _MOST_PLACES:
            break
    return np.array(chosen, dtype=np.int64)


def _white(calm: CalmModel, n_days: int) -> White:
    n_entries = len(calm.lasting)
    nothing = np.zeros(n_entries)
    total = calm.lasting + calm.daily / n_days
    none = np.empty((n_entries, 0))
    sensor = np.full(n_entries, -1)
    return White(Window(nothing, total, none, sensor, none, none, ()))


def _scores(calm: CalmModel, chosen: IndexArray, n_days: int) -> tuple[FloatArray, FloatArray]:
    """Return what gives each place's score from a window's mean, and its least score to count."""
    white = _white(calm, n_days)
    effect = white(calm.effects[:, chosen])
    length = np.sqrt((effect**2).sum(axis=0)) + 1e-12
    return white.transposed(effect / length).T, calm.least_flow_m3s * length


def _years(calm: CalmModel, draw: np.random.Generator, n_years: int) -> Iterator[FloatArray]:
    """Yield what leak-free years read, each of shape (n_days, n_entries)."""
    lasting, daily = _root(calm.lasting), _root(calm.daily)
    for _ in range(n_years):
        stays = lasting @ draw.standard_normal(len(lasting))
        yield stays + draw.standard_normal((_YEAR_DAYS, len(daily))) @ daily.T


def _root(covariance: FloatArray) -> FloatArray:
    value, vector = np.linalg.eigh(covariance)
    return np.asarray(vector * np.sqrt(np.clip(value, 0.0, None)), dtype=np.float64)


def _highest(
    windows: Sequence[int],
    scores: Sequence[tuple[FloatArray, FloatArray]],
    is_near: BoolArray,
    year: FloatArray,
) -> float:
    """Return the most that two days in a row gain near one place."""
    total = np.concatenate([np.zeros((1, year.shape[1])), np.cumsum(year, axis=0)])
    days = np.arange(windows[-1], len(year) + 1)
    gain, place = np.zeros(len(days)), np.zeros(len(days), dtype=np.int64)
    for n_days, (weights, least) in zip(windows, scores, strict=True):
        score = ((total[days] - total[days - n_days]) / n_days) @ weights.T
        score = np.where(score >= least, score, 0.0)
        best = score.argmax(axis=1)
        own = 0.5 * score[np.arange(len(days)), best] ** 2
        place, gain = np.where(own > gain, best, place), np.maximum(own, gain)
    again = is_near[place[1:], place[:-1]]
    return float(np.where(again, np.minimum(gain[1:], gain[:-1]), 0.0).max())
