"""How likely each pipe, place and size is, once the covariance has been taken off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.linalg.lapack import dpotri

from hydraulics.network import FloatArray, IndexArray

PLACES = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
"""Where in a pipe a leak is tried, as fractions from its start."""


@dataclass(frozen=True, slots=True)
class Whitened:
    """The current window, given the leak-free one, with unit covariance.

    Attributes:
        factor: Lower Cholesky factor of the current entries' covariance given the reference,
            shape (n_current, n_current).
        residual: What the current entries read beyond what was expected, shape (n_current,).
        expected_gap: The same, not whitened, in the units of the entries.
        past: What the reference entries read beyond what was expected, shape (n_reference,).
    """

    factor: FloatArray
    residual: FloatArray
    expected_gap: FloatArray
    past: FloatArray = field(default_factory=lambda: np.empty(0))

    def whiten(self, signature: FloatArray) -> FloatArray:
        """Return signatures with unit covariance, the same shape (n_current, ...)."""
        flat = signature.reshape(len(signature), -1)
        white = solve_triangular(self.factor, flat, lower=True, check_finite=False)
        return np.asarray(white.reshape(signature.shape), dtype=np.float64)

    def whiten_last(self, signature: FloatArray) -> FloatArray:
        """Return the same where entries are the last axis, shape (..., n_current)."""
        flat = np.ascontiguousarray(signature).reshape(-1, signature.shape[-1])
        white = solve_triangular(self.factor, flat.T, lower=True, check_finite=False)
        return np.asarray(white.T.reshape(signature.shape), dtype=np.float64)


def whiten(covariance: FloatArray, residual: FloatArray, n_reference: int) -> Whitened:
    """Condition the current entries on the reference ones, which come first."""
    factor = cholesky(covariance, lower=True, check_finite=False)
    white = solve_triangular(factor, residual, lower=True, check_finite=False)
    own = np.ascontiguousarray(factor[n_reference:, n_reference:])
    return Whitened(own, white[n_reference:], own @ white[n_reference:], white[:n_reference])


@dataclass(frozen=True, slots=True)
class Candidates:
    """Pipes where a leak may be.

    Attributes:
        link: Index of each pipe, shape (n_pipes,).
        start: Column of its start node among the signatures, shape (n_pipes,).
        end: Column of its end node.
        log_prior: ln of its share of the length, shape (n_pipes,).
    """

    link: IndexArray
    start: IndexArray
    end: IndexArray
    log_prior: FloatArray


class Fit:
    """Inner products of whitened signatures, from which any place and size follows.

    Between two sizes a signature per unit outflow is taken as a straight line, below the smallest
    as constant: this follows losses that grow with the flow's power better than the signature's
    own chord.
    """

    def __init__(self, white: FloatArray, candidates: Candidates, knots_m3s: FloatArray) -> None:
        """Take whitened signatures of shape (n_knots, n_columns, n_current)."""
        assert len(knots_m3s) > 1, "two sizes make a line"
        self.white = np.ascontiguousarray(white)
        self.knots = knots_m3s
        self.candidates = candidates
        one, other = self.white[:-1], self.white[1:]
        start, end = candidates.start, candidates.end
        self._same = np.stack([_dot(v, v) for v in self.white])
        self._next = np.stack([_dot(v, w) for v, w in zip(one, other, strict=True)])
        self._ab = np.stack([_dot(v[start], v[end]) for v in self.white])
        pairs = list(zip(one, other, strict=True))
        self._ab_up = np.stack([_dot(v[start], w[end]) for v, w in pairs])
        self._ab_down = np.stack([_dot(w[start], v[end]) for v, w in pairs])

    @staticmethod
    def weigh_knots(
        knots_m3s: FloatArray, sizes_m3s: FloatArray
    ) -> tuple[IndexArray, FloatArray, FloatArray]:
        """Return the knot below each size, its weight, and that of the knot above."""
        at = np.clip(np.searchsorted(knots_m3s, sizes_m3s) - 1, 0, len(knots_m3s) - 2)
        low, high = knots_m3s[at], knots_m3s[at + 1]
        part = np.clip((sizes_m3s - low) / (high - low), 0.0, 1.0)
        return at, (1.0 - part) * sizes_m3s / low, part * sizes_m3s / high

    def weights(self, sizes_m3s: FloatArray) -> tuple[IndexArray, FloatArray, FloatArray]:
        """Return the same for this one's knots."""
        return self.weigh_knots(self.knots, sizes_m3s)

    def along(
        self, vector: FloatArray, sizes_m3s: FloatArray, places: FloatArray = PLACES
    ) -> FloatArray:
        """Return inner products with a whitened vector, shape (n_pipes, n_places, n_sizes)."""
        by_node = self.white @ vector
        at, low, high = self.weights(sizes_m3s)
        sized = low[:, None] * by_node[at] + high[:, None] * by_node[at + 1]
        start, end = sized[:, self.candidates.start].T, sized[:, self.candidates.end].T
        x = places[None, :, None]
        return np.asarray((1.0 - x) * start[:, None, :] + x * end[:, None, :], dtype=np.float64)

    def gain(self, vector: FloatArray, sizes_m3s: FloatArray) -> FloatArray:
        """Return ln-likelihood over that of no leak, shape (n_pipes, n_places, n_sizes).

        Args:
            vector: Whitened residual, shape (n_current,).
            sizes_m3s: Sizes, shape (n_sizes,).
        """
        return np.asarray(
            self.along(vector, sizes_m3s) - 0.5 * self.squares(sizes_m3s), dtype=np.float64
        )

    def at(self, pipe: int, place: float, size_m3s: float) -> FloatArray:
        """Return the whitened signature of one leak, shape (n_current,)."""
        at, low, high = self.weights(np.array([size_m3s]))
        start, end = self.candidates.start[pipe], self.candidates.end[pipe]
        ends = (1.0 - place) * self.white[:, start] + place * self.white[:, end]
        return np.asarray(low[0] * ends[at[0]] + high[0] * ends[at[0] + 1], dtype=np.float64)

    def squares(self, sizes_m3s: FloatArray) -> FloatArray:
        """Return squared lengths of signatures, shape (n_pipes, n_places, n_sizes)."""
        at, low, high = self.weights(sizes_m3s)
        low, high = low[:, None], high[:, None]
        own = low**2 * self._same[at] + 2.0 * low * high * self._next[at]
        own += high**2 * self._same[at + 1]
        cross = low**2 * self._ab[at] + high**2 * self._ab[at + 1]
        cross += low * high * (self._ab_up[at] + self._ab_down[at])
        start, end = own[:, self.candidates.start].T, own[:, self.candidates.end].T
        x = PLACES[None, :, None]
        return np.asarray(
            (1.0 - x) ** 2 * start[:, None, :]
            + 2.0 * x * (1.0 - x) * cross.T[:, None, :]
            + x**2 * end[:, None, :],
            dtype=np.float64,
        )


@dataclass(frozen=True, slots=True)
class Posterior:
    """A posterior over pipe, place and size.

    Attributes:
        weight: Probability of each, adding up to 1, shape (n_pipes, n_places, n_sizes).
        log_evidence: ln of the evidence for a leak over none.
    """

    weight: FloatArray
    log_evidence: float

    @property
    def pipe(self) -> FloatArray:
        """Probability of each pipe, shape (n_pipes,)."""
        return np.asarray(self.weight.sum(axis=(1, 2)), dtype=np.float64)

    @property
    def size(self) -> FloatArray:
        """Probability of each size, shape (n_sizes,)."""
        return np.asarray(self.weight.sum(axis=(0, 1)), dtype=np.float64)


def weigh(candidates: Candidates, gain: FloatArray, divisor: float) -> Posterior:
    """Return the posterior with sizes uniform on their grid and places on pipes.

    Args:
        candidates: The pipes.
        gain: How much ln-likelihood exceeds that of no leak, shape (n_pipes, n_places, n_sizes).
        divisor: What it is divided by, above 0.
    """
    joint = gain / divisor
    joint += candidates.log_prior[:, None, None] - np.log(gain.shape[1] * gain.shape[2])
    top = float(joint.max())
    weight = np.exp(joint - top)
    total = float(weight.sum())
    return Posterior(weight / total, top + float(np.log(total)))


@dataclass(frozen=True, slots=True)
class Weighed:
    """A posterior and what it came from.

    Attributes:
        fit: Inner products of all candidates' signatures.
        gain: ln-likelihood over no leak, shape (n_pipes, n_places, n_sizes).
        sizes_m3s: The sizes, shape (n_sizes,).
        result: The posterior.
        size: Probability of each size where it is doubted more than the place, shape (n_sizes,);
            that of `result` if None.
    """

    fit: Fit
    gain: FloatArray
    sizes_m3s: FloatArray
    result: Posterior
    size: FloatArray | None = None

    def best(self) -> tuple[int, float, float]:
        """Return the likeliest place of the likeliest pipe: pipe, place [-] and size [m³/s]."""
        pipe = int(self.result.pipe.argmax())
        place, size = self.best_in(pipe)
        return pipe, place, size

    def best_in(self, pipe: int) -> tuple[float, float]:
        """Return the likeliest place [-] and size [m³/s] in one pipe."""
        weight = self.result.weight[pipe]
        place, size = np.unravel_index(int(weight.argmax()), weight.shape)
        return float(PLACES[place]), float(self.sizes_m3s[size])

    def quantiles(self, wanted: Sequence[float]) -> tuple[float, ...]:
        """Return quantiles of the size over all candidates [m³/s]."""
        reached = np.cumsum(self.result.size if self.size is None else self.size)
        at = np.minimum(np.searchsorted(reached / reached[-1], wanted), len(reached) - 1)
        return tuple(float(self.sizes_m3s[i]) for i in at)


def misfit(gain: FloatArray, square: float, n_entries: int) -> float:
    """Return the variance of what the best candidate leaves, 1 where the covariance is right."""
    return max(square - 2.0 * float(gain.max()), 0.0) / max(n_entries, 1)


def odd_rows(
    covariance: FloatArray, gap: FloatArray, row: IndexArray, limit: float
) -> tuple[IndexArray, float]:
    """Return rows that all the others contradict, and the variance of what is left.

    A row is judged by its gap given those of all rows not yet taken out; the worst goes first,
    for it makes others look odd. At most half of the rows are taken out.

    Args:
        covariance: Of the gaps, shape (n_entries, n_entries).
        gap: Measured minus expected, shape (n_entries,).
        row: Row of each entry.
        limit: Mean square of a row's whitened gap above which it is odd, with the others' median
            as unit if that is above 1.

    Returns:
        The odd rows, and the mean square of the others' whitened gaps.
    """
    precision = _inverse(covariance)
    pulled = precision @ gap
    left = np.ones(len(row), dtype=np.bool_)
    blocks = {int(number): np.flatnonzero(row == number) for number in np.unique(row)}
    odd: list[int] = []
    most = (len(blocks) - 1) // 2
    while len(odd) < most:
        pull = {n: _pull(precision, pulled, at) for n, at in blocks.items()}
        worst = max(pull, key=lambda n: pull[n])
        if pull[worst] <= limit * max(float(np.median(list(pull.values()))), 1.0):
            break
        at = blocks.pop(worst)
        odd.append(worst)
        left[at] = False
        gain = np.linalg.solve(precision[np.ix_(at, at)], precision[at])
        pulled = pulled - gain.T @ pulled[at]
        precision = np.asarray(precision - precision[:, at] @ gain, dtype=np.float64)
    square = float(gap[left] @ pulled[left])
    return np.array(sorted(odd), dtype=np.int64), square / max(int(left.sum()), 1)


def _inverse(covariance: FloatArray) -> FloatArray:
    """Return the inverse of a covariance, at half the cost of a general one."""
    factor = cholesky(covariance, lower=True, check_finite=False)
    lower, _ = dpotri(factor, lower=1)
    return np.asarray(np.tril(lower) + np.tril(lower, -1).T, dtype=np.float64)


def _pull(precision: FloatArray, pulled: FloatArray, at: IndexArray) -> float:
    own = pulled[at]
    return float(own @ np.linalg.solve(precision[np.ix_(at, at)], own)) / len(at)


def jump_gain(  # noqa: PLR0913, PLR0917 - each is a thing of its own
    fit: Fit,
    residual: FloatArray,
    jump: FloatArray,
    jump_m: float,
    sizes_m3s: FloatArray,
    places: FloatArray = PLACES,
) -> FloatArray:
    """Return how much better each candidate fits if one sensor jumped.

    Args:
        fit: Inner products of the candidates.
        residual: Whitened residual.
        jump: Whitened effect of the sensor reading 1 m more in the current window.
        jump_m: Standard deviation of such a jump [m].
        sizes_m3s: Sizes of the posterior's grid.
        places: Places of it.

    Returns:
        Gains in ln-likelihood, shape (n_pipes, n_places, n_sizes).
    """
    length = float(jump @ jump)
    shrunk = 0.5 / (length + 1.0 / jump_m**2)
    cost = 0.5 * np.log1p(jump_m**2 * length)
    projected = float(jump @ residual)
    left = projected - fit.along(jump, sizes_m3s, places)
    return np.asarray(shrunk * left**2 - cost, dtype=np.float64)


def _dot(one: FloatArray, other: FloatArray) -> FloatArray:
    return np.asarray(np.einsum("ij,ij->i", one, other), dtype=np.float64)
