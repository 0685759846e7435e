"""How far likelihoods are doubted where even the best leak leaves much."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydraulics.leaks.doubts import alone
from hydraulics.leaks.posterior import Candidates, Fit, Weighed, Whitened, weigh, widened
from hydraulics.leaks.prior import Layout
from hydraulics.network import FloatArray

left = st.floats(1.0, 1e4)
in_a_row = st.floats(1.0, 500.0)


@given(left, in_a_row)
def test_entries_are_doubted_for_what_is_left_and_at_most_as_if_a_row_were_one(
    left: float, in_a_row: float
) -> None:
    assert left <= widened(left, in_a_row) <= left * in_a_row * (1.0 + 1e-12)


@given(left, left, in_a_row)
def test_more_that_is_left_is_never_doubted_less(one: float, other: float, in_a_row: float) -> None:
    less, more = sorted((one, other))
    assert widened(less, in_a_row) <= widened(more, in_a_row) * (1.0 + 1e-12)


@given(st.floats(1.0, 2.5), in_a_row)
def test_what_a_closed_pipe_leaves_in_l_town_counts_by_itself_alone(
    left: float, in_a_row: float
) -> None:
    assert widened(left, in_a_row) == pytest.approx(left)


def test_a_row_of_forty_entries_that_leaves_ten_times_as_much_counts_for_little_more_than_one() -> (
    None
):
    assert widened(10.0, 40.0) == pytest.approx(10.0 * (1.0 + 39.0 * 0.75))


def spoken_by(effect: FloatArray, residual: FloatArray) -> list[int]:
    """Return the rows, of one entry each, that alone speak for a leak of this whitened effect."""
    n, knots_m3s = len(effect), np.array([0.005, 0.01])
    pipe = Candidates(np.zeros(1, int), np.zeros(1, int), np.ones(1, int), np.zeros(1))
    white = knots_m3s[:, None, None] / 0.01 * np.stack([effect, effect])[None]
    fit, sizes = Fit(white, pipe, knots_m3s), np.geomspace(0.001, 0.02, 16)
    gain = fit.gain(residual, sizes)
    weighed = Weighed(fit, gain, sizes, weigh(pipe, gain, 1.0))
    rows = np.arange(n)
    layout = Layout(rows, np.zeros(n, int), residual, np.ones(n), 1)
    found = alone(Whitened(np.eye(n), residual, residual), weighed, layout)
    return [int(row) for row in found]


def test_a_row_that_alone_speaks_for_a_leak_is_told_from_a_leak_that_all_rows_see() -> None:
    seen_by_all = np.full(10, 3.0)
    assert spoken_by(seen_by_all, seen_by_all) == []
    seen_by_one = np.where(np.arange(10) == 6, 12.0, 0.3)
    assert spoken_by(seen_by_one, np.where(np.arange(10) == 6, 12.0, 0.0)) == [6]


def test_of_few_rows_or_with_little_to_say_none_is_alone() -> None:
    assert spoken_by(np.array([12.0, 0.3, 0.3, 0.3]), np.array([12.0, 0.0, 0.0, 0.0])) == []
    quiet = np.where(np.arange(10) == 6, 3.0, 0.1)
    assert spoken_by(quiet, quiet) == []
