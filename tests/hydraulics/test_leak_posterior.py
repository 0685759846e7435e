"""The loops over candidates against the same formulas in whole arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp

from hydraulics.leaks.posterior import PLACES, Candidates, Fit, jump_evidence, weigh
from hydraulics.network import FloatArray

KNOTS = np.array([1e-3, 4e-3, 2e-2])
SIZES = np.geomspace(5e-4, 2e-2, 16)
seeds = st.integers(0, 2**32 - 1)


class Drawn:
    """Some pipes between some nodes, and effects of leaks there that mean nothing."""

    def __init__(
        self, seed: int, n_columns: int = 9, n_pipes: int = 12, n_current: int = 7
    ) -> None:
        draw = np.random.default_rng(seed)
        start, end = draw.integers(0, n_columns, (2, n_pipes))
        length = draw.uniform(1.0, 100.0, n_pipes)
        prior = np.log(length / length.sum())
        self.candidates = Candidates(np.arange(n_pipes), start, end, prior)
        unit = draw.normal(0.0, 300.0, (n_columns, n_current))
        bent = draw.normal(1.0, 0.1, (len(KNOTS), n_columns, n_current))
        self.white = KNOTS[:, None, None] * unit * bent
        self.residual = draw.normal(0.0, 2.0, n_current)
        self.fit = Fit(self.white, self.candidates, KNOTS)
        self.jumps = draw.normal(0.0, 1.0, (3, n_current))

    def signature(self, pipe: int, place: float, size_m3s: float) -> FloatArray:
        """Return the whitened effect of one leak, one interpolation after the other."""
        at = int(np.clip(np.searchsorted(KNOTS, size_m3s) - 1, 0, len(KNOTS) - 2))
        low, high = KNOTS[at], KNOTS[at + 1]
        part = np.clip((size_m3s - low) / (high - low), 0.0, 1.0)
        unit = (1.0 - part) * self.white[at] / low + part * self.white[at + 1] / high
        start, end = self.candidates.start[pipe], self.candidates.end[pipe]
        return np.asarray(size_m3s * ((1.0 - place) * unit[start] + place * unit[end]))

    def signatures(self) -> FloatArray:
        """Return those of all candidates, shape (n_pipes, n_places, n_sizes, n_current)."""
        every = range(len(self.candidates.link))
        return np.array([[[self.signature(k, x, q) for q in SIZES] for x in PLACES] for k in every])


@given(seeds)
@settings(max_examples=25, deadline=None)
def test_a_gain_is_what_a_signature_explains_of_the_residual(seed: int) -> None:
    drawn = Drawn(seed)
    s = drawn.signatures()
    expected = s @ drawn.residual - 0.5 * (s**2).sum(axis=-1)
    gain = drawn.fit.gain(drawn.residual, SIZES)
    assert gain == pytest.approx(expected, rel=1e-11, abs=1e-11 * float(np.abs(expected).max()))


@given(seeds, st.floats(0.5, 50.0))
@settings(max_examples=25, deadline=None)
def test_a_posterior_is_prior_times_likelihood_over_their_sum(seed: int, divisor: float) -> None:
    drawn = Drawn(seed)
    gain = drawn.fit.gain(drawn.residual, SIZES)
    joint = gain / divisor + drawn.candidates.log_prior[:, None, None]
    joint -= np.log(len(PLACES) * len(SIZES))
    weight = np.exp(joint - logsumexp(joint))
    found = weigh(drawn.candidates, gain, divisor)
    assert found.log_evidence == pytest.approx(float(logsumexp(joint)), rel=1e-11, abs=1e-11)
    # What is less than 1e-21 of the likeliest place and size of its pipe is left out.
    assert found.by_place == pytest.approx(weight.sum(axis=2), rel=1e-9, abs=1e-18)
    assert found.by_size == pytest.approx(weight.sum(axis=1), rel=1e-9, abs=1e-18)
    assert found.pipe == pytest.approx(weight.sum(axis=(1, 2)), rel=1e-9, abs=1e-300)
    assert float(found.pipe.sum()) == pytest.approx(1.0, abs=1e-12)


@given(seeds, st.floats(0.5, 50.0), st.floats(0.1, 3.0))
@settings(max_examples=25, deadline=None)
def test_a_jump_adds_what_its_own_direction_explains(
    seed: int, divisor: float, jump_m: float
) -> None:
    drawn = Drawn(seed)
    s = drawn.signatures()
    gain = drawn.fit.gain(drawn.residual, SIZES)
    found = jump_evidence(drawn.fit, gain, drawn.residual, drawn.jumps, jump_m, SIZES, divisor)
    for jump, evidence in zip(drawn.jumps, found, strict=True):
        # The jump is integrated out of a Gaussian: r − s is projected on it and shrunk.
        length, left = float(jump @ jump), (drawn.residual - s) @ jump
        more = 0.5 * left**2 / (length + jump_m**-2) - 0.5 * np.log1p(jump_m**2 * length)
        assert evidence == pytest.approx(
            weigh(drawn.candidates, gain + more, divisor).log_evidence, rel=1e-10, abs=1e-10
        )


def test_a_pipe_that_is_out_of_question_weighs_nothing() -> None:
    candidates = Candidates(np.arange(2), np.zeros(2, np.int64), np.ones(2, np.int64), np.zeros(2))
    gain = np.zeros((2, 5, 4))
    gain[1] -= 1e6
    found = weigh(candidates, gain, 1.0)
    assert found.pipe.tolist() == [pytest.approx(1.0), 0.0]
    assert np.isfinite(found.by_place).all()
