"""How likely each pipe, place and size is, once the covariance has been taken off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.linalg.lapack import dpotri

from hydraulics.leaks.gains import fill_ends, fill_gain, fill_own, fill_shares, log_sum
from hydraulics.network import FloatArray, IndexArray

_FINE = 5
_BROKEN = 2.5
"""Variance over the expected one beyond which a model is wrong in a way that it does not know.
L-Town with a closed pipe or a second leak that nobody knows of leaves up to 2.3."""
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
        n_knots, n_columns, _ = self.white.shape
        n_pipes = len(candidates.link)
        self._same, self._next = np.empty((n_knots, n_columns)), np.empty((n_knots - 1, n_columns))
        fill_own(self.white, self._same, self._next)
        self._ab, self._across = np.empty((n_knots, n_pipes)), np.empty((n_knots - 1, n_pipes))
        fill_ends(self.white, candidates.start, candidates.end, self._ab, self._across)

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

    def along(self, vectors: FloatArray, sizes_m3s: FloatArray) -> FloatArray:
        """Return inner products of each column's signature with whitened vectors.

        Args:
            vectors: Shape (n_vectors, n_current).
            sizes_m3s: Sizes, shape (n_sizes,).

        Returns:
            Shape (n_vectors, n_columns, n_sizes).
        """
        by_knot = np.stack([vectors @ white.T for white in self.white], axis=-1)
        return np.asarray(by_knot @ self._between(sizes_m3s), dtype=np.float64)

    def gain(self, vector: FloatArray, sizes_m3s: FloatArray) -> FloatArray:
        """Return ln-likelihood over that of no leak, shape (n_pipes, n_places, n_sizes).

        Args:
            vector: Whitened residual, shape (n_current,).
            sizes_m3s: Sizes, shape (n_sizes,).
        """
        return self._gain(vector, sizes_m3s, PLACES, slice(None))

    def gain_between(
        self, vector: FloatArray, sizes_m3s: FloatArray, divisor: float, some: IndexArray
    ) -> FloatArray:
        """Return the same of some pipes for the stretch about each place, not for its middle alone.

        A likelihood that is sharper than places lie apart would be missed between two of them.

        Args:
            vector: Whitened residual, shape (n_current,).
            sizes_m3s: Sizes, shape (n_sizes,).
            divisor: What gains are divided by: their likelihoods are averaged.
            some: Which pipes, shape (n_some,).
        """
        n_places = len(PLACES)
        fine = (np.arange(_FINE * n_places) + 0.5) / (_FINE * n_places)
        gain = self._gain(vector, sizes_m3s, fine, some)
        gain = gain.reshape(-1, n_places, _FINE, len(sizes_m3s))
        top = gain.max(axis=2, keepdims=True)
        mean = np.exp((gain - top) / divisor).mean(axis=2)
        return np.asarray(top[:, :, 0] + divisor * np.log(mean), dtype=np.float64)

    def _gain(
        self,
        vector: FloatArray,
        sizes_m3s: FloatArray,
        places: FloatArray,
        some: IndexArray | slice,
    ) -> FloatArray:
        own, cross = self._squares(sizes_m3s)
        along = self.along(vector[None, :], sizes_m3s)[0]
        start, end = self.candidates.start[some], self.candidates.end[some]
        gain = np.empty((len(start), len(places), len(sizes_m3s)))
        fill_gain(along, own, cross[some], start, end, places, gain)
        return gain

    def at(self, pipe: int, place: float, size_m3s: float) -> FloatArray:
        """Return the whitened signature of one leak, shape (n_current,)."""
        at, low, high = self.weights(np.array([size_m3s]))
        start, end = self.candidates.start[pipe], self.candidates.end[pipe]
        ends = (1.0 - place) * self.white[:, start] + place * self.white[:, end]
        return np.asarray(low[0] * ends[at[0]] + high[0] * ends[at[0] + 1], dtype=np.float64)

    def _squares(self, sizes_m3s: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return squared lengths, (n_columns, n_sizes), and ends' products, (n_pipes, n_sizes)."""
        part = self._between(sizes_m3s)
        one, both = part**2, 2.0 * part[:-1] * part[1:]
        own = self._same.T @ one + self._next.T @ both
        cross = self._ab.T @ one + self._across.T @ (0.5 * both)
        return own, cross

    def _between(self, sizes_m3s: FloatArray) -> FloatArray:
        """Return the weight of each knot at each size, shape (n_knots, n_sizes)."""
        at, low, high = self.weights(sizes_m3s)
        part, size = np.zeros((len(self.knots), len(sizes_m3s))), np.arange(len(sizes_m3s))
        part[at, size], part[at + 1, size] = low, high
        return part


@dataclass(frozen=True, slots=True)
class Posterior:
    """A posterior over pipe, place and size.

    Attributes:
        by_place: Probability of each place in each pipe, adding up to 1, shape (n_pipes, n_places).
        by_size: Probability of each size in each pipe, adding up to 1, shape (n_pipes, n_sizes).
        log_evidence: ln of the evidence for a leak over none.
    """

    by_place: FloatArray
    by_size: FloatArray
    log_evidence: float

    @property
    def pipe(self) -> FloatArray:
        """Probability of each pipe, shape (n_pipes,)."""
        return np.asarray(self.by_place.sum(axis=1), dtype=np.float64)

    @property
    def size(self) -> FloatArray:
        """Probability of each size, shape (n_sizes,)."""
        return np.asarray(self.by_size.sum(axis=0), dtype=np.float64)


def weigh(candidates: Candidates, gain: FloatArray, divisor: float) -> Posterior:
    """Return the posterior with sizes uniform on their grid and places on pipes.

    Args:
        candidates: The pipes.
        gain: How much ln-likelihood exceeds that of no leak, shape (n_pipes, n_places, n_sizes).
        divisor: What it is divided by, above 0.
    """
    n_pipes, n_places, n_sizes = gain.shape
    by_place, by_size = np.empty((n_pipes, n_places)), np.empty((n_pipes, n_sizes))
    fill_shares(gain, divisor, by_place, by_size)
    highest = gain.max(axis=(1, 2)) / divisor + _log_share(candidates, gain)
    top = float(highest.max())
    pipe = np.exp(highest - top)
    total = float(pipe @ by_place.sum(axis=1))
    pipe /= total
    by_place *= pipe[:, None]
    by_size *= pipe[:, None]
    return Posterior(by_place, by_size, top + float(np.log(total)))


def _log_share(candidates: Candidates, gain: FloatArray) -> FloatArray:
    """Return ln of the prior of one place and size in each pipe, shape (n_pipes,)."""
    share = candidates.log_prior - np.log(gain.shape[1] * gain.shape[2])
    return np.asarray(share, dtype=np.float64)


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
        gain = self.gain[pipe]
        place, size = np.unravel_index(int(gain.argmax()), gain.shape)
        return float(PLACES[place]), float(self.sizes_m3s[size])

    def quantiles(self, wanted: Sequence[float]) -> tuple[float, ...]:
        """Return quantiles of the size over all candidates [m³/s]."""
        reached = np.cumsum(self.result.size if self.size is None else self.size)
        at = np.minimum(np.searchsorted(reached / reached[-1], wanted), len(reached) - 1)
        return tuple(float(self.sizes_m3s[i]) for i in at)


def widened(left: float, in_a_row: float) -> float:
    """Return how far entries are to be doubted, at least `left`.

    Where much is left, something is wrong that the covariance does not know of, such as a valve
    that stands otherwise; it speaks through all instruments of a row at once, and so a row counts
    for little more than one of them.

    Args:
        left: Variance of what the best candidate leaves over the one that is expected, at least 1.
        in_a_row: Entries in a row, at least 1.

    Source:
        The design effect, 1 + (m − 1) ρ for m entries that share a part ρ of their variance:
        L. Kish, "Survey sampling" (1965), section 5.4.
    """
    shared = max(1.0 - _BROKEN / left, 0.0)
    return left * (1.0 + (in_a_row - 1.0) * shared)


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


def jump_evidence(  # noqa: PLR0913, PLR0917 - each is a thing of its own
    fit: Fit,
    gain: FloatArray,
    residual: FloatArray,
    jumps: FloatArray,
    jump_m: float,
    sizes_m3s: FloatArray,
    divisor: float,
    places: FloatArray = PLACES,
) -> FloatArray:
    """Return ln of the evidence for a leak and one sensor's jump, over neither.

    Args:
        fit: Inner products of the candidates.
        gain: ln-likelihood over no leak, shape (n_pipes, n_places, n_sizes).
        residual: Whitened residual.
        jumps: Whitened effect of each sensor reading 1 m more in the current window, shape
            (n_sensors, n_current).
        jump_m: Standard deviation of such a jump [m].
        sizes_m3s: Sizes of the gains.
        divisor: What they are divided by, above 0.
        places: Places of the gains.

    Returns:
        Shape (n_sensors,).
    """
    candidates, rough = fit.candidates, np.ascontiguousarray(gain)
    share, along = _log_share(candidates, gain), fit.along(jumps, sizes_m3s)
    found = np.empty(len(jumps))
    for n, jump in enumerate(jumps):
        length = float(jump @ jump)
        shrunk = 0.5 / (length + 1.0 / jump_m**2)
        cost = 0.5 * np.log1p(jump_m**2 * length)
        start, end, projected = candidates.start, candidates.end, float(jump @ residual)
        total = log_sum(rough, share, divisor, along[n], start, end, places, projected, shrunk)
        found[n] = total - cost / divisor
    return found
