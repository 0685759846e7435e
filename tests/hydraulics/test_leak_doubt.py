"""How far likelihoods are doubted where even the best leak leaves much."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydraulics.leaks.posterior import widened

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
