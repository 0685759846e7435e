"""What some days' residuals say for a leak at each place, given all that may be wrong besides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.special import logsumexp

from hydraulics.leaks.amid import Near, amid
from hydraulics.leaks.stream.physics import Signatures
from hydraulics.network import BoolArray, FloatArray, IndexArray, NetworkModel

_MISSING = 1e6
"""Standard deviation of what was not read, in its own unit."""
SLOW_DAYS = 15.0
"""A day's scatter does not average away beyond so many days: users change with the season."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """What may be wrong beside leaks.

    Attributes:
        errors: Covariance of roughness and settings, shape (n_errors, n_errors).
        daily: Covariance of a day's residual in each block, shape (n_blocks, n_obs, n_obs).
        floor: Standard deviation that no averaging takes away, shape (n_observed,).
        demand_drift: How far a junction's share of the demand wanders, relative.
        surplus_m3s: Standard deviation of a day's surplus of each metered zone, (n_zones,).
        surplus_floor_m3s: What no averaging takes away of it [m³/s].
    """

    errors: FloatArray
    daily: FloatArray
    floor: FloatArray
    demand_drift: float
    surplus_m3s: FloatArray
    surplus_floor_m3s: float

    @property
    def lasting(self) -> Doubt:
        """The same without what differs from day to day."""
        return replace(self, daily=0.0 * self.daily, surplus_m3s=0.0 * self.surplus_m3s)


@dataclass(frozen=True, slots=True)
class Window:
    """Mean residuals of some days, one entry for each block and observation.

    Attributes:
        gap: Measured minus modelled, then surpluses, shape (n_entries,).
        covariance: Without leaks, shape (n_entries, n_entries).
        leak: Effect of an outflow at each node [per m³/s], shape (n_entries, n_nodes).
        sensor: Which observation each entry is, -1 for surpluses, shape (n_entries,).
        errors: Effect of roughness and settings, shape (n_entries, n_errors).
        users: Effect of a relative change of each user's demand, shape (n_entries, n_nodes).
        blocks: Which blocks are stacked, in order, each with all observations.
    """

    gap: FloatArray
    covariance: FloatArray
    leak: FloatArray
    sensor: IndexArray
    errors: FloatArray
    users: FloatArray
    blocks: tuple[int, ...]

    def since_block(self, first: int) -> Window:
        """Return the entries of blocks from one on, and what is of whole days."""
        n_whole = int((self.sensor < 0).sum())
        n_observed = (len(self.gap) - n_whole) // len(self.blocks)
        late = np.repeat([block >= first for block in self.blocks], n_observed)
        kept = np.concatenate([late, np.ones(n_whole, dtype=np.bool_)])
        return replace(
            self,
            gap=self.gap[kept],
            covariance=self.covariance[np.ix_(kept, kept)],
            leak=self.leak[kept],
            sensor=self.sensor[kept],
            errors=self.errors[kept],
            users=self.users[kept],
            blocks=tuple(block for block in self.blocks if block >= first),
        )

    def with_doubt(self, columns: FloatArray, spread: FloatArray) -> Window:
        """Return the window with more that is unknown.

        Args:
            columns: Effects, shape (n_entries, n_unknown).
            spread: Their standard deviations, shape (n_unknown,).
        """
        more = columns * spread
        total = self.covariance + more @ more.T
        return replace(self, covariance=total)

    def with_gap(self, gap: FloatArray) -> Window:
        """Return the window with other residuals."""
        return replace(self, gap=gap)


@dataclass(frozen=True, slots=True)
class Stack:
    """What changes do to all instruments in some blocks, one after the other.

    Attributes:
        blocks: Which blocks, in order, each with all observations.
        leak: Effect of an outflow at each node [per m³/s], shape (n_entries, n_nodes).
        errors: Effect of roughness and settings, shape (n_entries, n_errors).
        users: Effect of a relative change of each user's demand, shape (n_entries, n_nodes).
        covariance: Of errors and of how users wander, shape (n_entries, n_entries).
    """

    blocks: tuple[int, ...]
    leak: FloatArray
    errors: FloatArray
    users: FloatArray
    covariance: FloatArray


def stacked(signatures: Sequence[Signatures], blocks: tuple[int, ...], doubt: Doubt) -> Stack:
    """Stack the signatures of some blocks, of which there is one at least."""
    leak = np.concatenate([one.leak for one in signatures])
    errors = np.concatenate([one.errors for one in signatures])
    users = np.concatenate([one.users for one in signatures])
    total = errors @ doubt.errors @ errors.T + doubt.demand_drift**2 * (users @ users.T)
    return Stack(blocks, leak, errors, users, total)


def make_window(
    residual: FloatArray,
    surplus_m3s: FloatArray,
    stack: Stack,
    zones: Sequence[BoolArray],
    doubt: Doubt,
) -> Window:
    """Take the mean residuals of some days.

    Args:
        residual: Shape (n_days, n_blocks, n_observed), NaN where nothing was read.
        surplus_m3s: What metered zones took beyond meters and known leaks, (n_days, n_zones).
        stack: What changes do in the blocks of which something was read.
        zones: Nodes of each zone.
        doubt: What may be wrong beside leaks.
    """
    used = list(stack.blocks)
    count = np.isfinite(residual).sum(axis=0)[used]
    mean = np.nansum(residual[:, used], axis=0) / np.maximum(count, 1)
    total, n_observed = stack.covariance.copy(), residual.shape[2]
    for k, block in enumerate(used):
        at = slice(k * n_observed, (k + 1) * n_observed)
        n_days = max(float(count[k].max()), 1.0)
        total[at, at] += doubt.daily[block] * (1.0 / n_days + 1.0 / SLOW_DAYS)
    blind = np.where(count > 0, 0.0, _MISSING**2).reshape(-1)
    total[np.diag_indices_from(total)] += np.tile(doubt.floor, len(used)) ** 2 + blind
    sensor = np.tile(np.arange(n_observed), len(used))
    window = Window(
        mean.reshape(-1), total, stack.leak, sensor, stack.errors, stack.users, stack.blocks
    )
    return _with_surplus(window, surplus_m3s, zones, doubt)


def _with_surplus(
    window: Window, surplus_m3s: FloatArray, zones: Sequence[BoolArray], doubt: Doubt
) -> Window:
    count = np.isfinite(surplus_m3s).sum(axis=0)
    kept = np.flatnonzero((count > 0) & np.isfinite(doubt.surplus_m3s))
    if not len(kept):
        return window
    mean = np.nansum(surplus_m3s[:, kept], axis=0) / count[kept]
    variance = doubt.surplus_m3s[kept] ** 2 * (1.0 / count[kept] + 1.0 / SLOW_DAYS)
    variance += doubt.surplus_floor_m3s**2
    n_old, n_new = len(window.gap), len(window.gap) + len(kept)
    total = np.zeros((n_new, n_new))
    total[:n_old, :n_old] = window.covariance
    total[range(n_old, n_new), range(n_old, n_new)] = variance
    inside = np.stack([zones[int(k)] for k in kept]).astype(np.float64)
    return replace(
        window,
        gap=np.concatenate([window.gap, mean]),
        covariance=total,
        leak=np.concatenate([window.leak, inside]),
        sensor=np.concatenate([window.sensor, np.full(len(kept), -1)]),
        errors=_with_rows(window.errors, len(kept)),
        users=_with_rows(window.users, len(kept)),
    )


def _with_rows(effect: FloatArray, n_more: int) -> FloatArray:
    return np.concatenate([effect, np.zeros((n_more, effect.shape[1]))])


@dataclass(frozen=True, slots=True)
class Ranking:
    """How well a leak in each pipe explains a window.

    Attributes:
        gain: ln-likelihood over no leak at its best size, shape (n_pipes,), at least 0.
        flow_m3s: That size [m³/s], shape (n_pipes,).
        misfit: Mean square of what the best pipe leaves, 1 where the covariance is right.
        sensor_gain: The same as `gain` for an offset of each sensor instead, (n_sensors,).
    """

    gain: FloatArray
    flow_m3s: FloatArray
    misfit: float
    sensor_gain: FloatArray

    @property
    def best(self) -> int:
        """Position of the pipe that explains most."""
        return int(self.gain.argmax())


class White:
    """A window with unit covariance."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self._factor = cholesky(window.covariance, lower=True, check_finite=False)
        self.gap = self(window.gap)

    def __call__(self, entries: FloatArray) -> FloatArray:
        """Return entries with unit covariance, the same shape (n_entries, ...)."""
        white = solve_triangular(self._factor, entries, lower=True, check_finite=False)
        return np.asarray(white, dtype=np.float64)

    def transposed(self, columns: FloatArray) -> FloatArray:
        """Return what scores entries as these columns score white ones, (n_entries, n_columns)."""
        back = solve_triangular(self._factor, columns, lower=True, trans="T", check_finite=False)
        return np.asarray(back, dtype=np.float64)

    @property
    def square(self) -> float:
        """Squared length of the gap."""
        return float(self.gap @ self.gap)

    def gain_of(self, columns: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return each column's ln-likelihood gain at its best size, and that size."""
        white = self(columns)
        power = (white**2).sum(axis=0) + 1e-12
        along = white.T @ self.gap
        return 0.5 * along**2 / power, along / power

    def best_gains(self, columns: FloatArray, gaps: FloatArray) -> FloatArray:
        """Return the most that one column, at a size above 0, gains of each of several gaps.

        Args:
            columns: Effects, shape (n_entries, n_columns).
            gaps: With unit covariance, shape (n_entries, n_gaps).
        """
        white = self(columns)
        power = (white**2).sum(axis=0) + 1e-12
        along = np.maximum(white.T @ gaps, 0.0)
        return np.asarray((0.5 * along**2 / power[:, None]).max(axis=0), dtype=np.float64)


def speaks_for(window: Window, effect: FloatArray) -> bool:
    """Whether a window is likelier with an effect than without, shape (n_entries,)."""
    white = White(window)
    own = white(effect)
    return float(own @ white.gap) > 0.5 * float(own @ own)


def rank(window: Window, model: NetworkModel, pipes: IndexArray, n_heads: int) -> Ranking:
    """Weigh one leak in the middle of each pipe against none.

    Args:
        window: The window.
        model: The network.
        pipes: Indices of the pipes.
        n_heads: How many observations are pressures.
    """
    white = White(window)
    gain, flow = white.gain_of(middle_of(window.leak, model, pipes))
    gain = np.where(flow > 0, gain, 0.0)
    offsets = (window.sensor[:, None] == np.arange(n_heads)[None, :]).astype(np.float64)
    sensor_gain, _ = white.gain_of(offsets)
    misfit = (white.square - 2.0 * float(gain.max())) / len(window.gap)
    return Ranking(gain, flow, misfit, sensor_gain)


def middle_of(effect: FloatArray, model: NetworkModel, pipes: IndexArray) -> FloatArray:
    """Return the effect of a leak in the middle of pipes, shape (n_entries, n_pipes)."""
    ends = effect[:, model.start[pipes]] + effect[:, model.end[pipes]]
    return np.asarray(0.5 * ends, dtype=np.float64)


def nearest_to_all(
    ranking: Ranking,
    length_m: FloatArray,
    distance_m: FloatArray,
    near_m: float,
    temper: float,
) -> Near:
    """Return the pipe from which most of the probability is in reach, and near by.

    Args:
        ranking: The pipes' gains.
        length_m: Their lengths [m], to which the prior is proportional.
        distance_m: Of pipes from one another [m], shape (n_pipes, n_pipes).
        near_m: What is in reach [m].
        temper: What ln-likelihoods are divided by, times the misfit where that is above 1.
    """
    weight = ranking.gain / (temper * max(ranking.misfit, 1.0)) + np.log(length_m)
    probability = np.exp(weight - logsumexp(weight))
    return amid(probability, distance_m, near_m)
