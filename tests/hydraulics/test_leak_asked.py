"""EPANET's answers about some leaks, taken to the ones that it was not asked of."""

from __future__ import annotations

import numpy as np
import pytest

from hydraulics.leaks.asked import Asked
from hydraulics.leaks.posterior import Fit

KNOTS_M3S = np.array([0.004, 0.008, 0.016])


def asked(size_m3s: tuple[float, ...]) -> Asked:
    """Three nodes: the first two nearly the same, the third unlike them; asked of the first."""
    alike = np.array([[1.0, 0.0, 0.0], [1.0, 0.1, 0.0], [0.0, 0.0, 1.0]])
    found = Asked(KNOTS_M3S[:, None, None] * alike[None], KNOTS_M3S)
    error = np.array([[0.3 * size / 0.006, 0.0, 0.0] for size in size_m3s])
    found.add(np.zeros(len(size_m3s), dtype=np.int64), np.array(size_m3s), error)
    return found


@pytest.mark.parametrize("size_m3s", [0.005, 0.006, 0.012])
def test_where_epanet_was_asked_its_answer_holds(size_m3s: float) -> None:
    at, low, high = Fit.weigh_knots(KNOTS_M3S, np.array([size_m3s]))
    correction = asked((size_m3s,)).correction()[:, 0]
    between = low * correction[at[0]] + high * correction[at[0] + 1]
    assert between[0] == pytest.approx(0.3 * size_m3s / 0.006)


def test_the_error_is_taken_to_nodes_as_far_as_they_are_alike() -> None:
    own, like, other = asked((0.006,)).correction().transpose(1, 0, 2)
    assert like == pytest.approx(0.9 * own, rel=0.01)
    assert not other.any()


def test_no_leak_has_no_error_and_a_larger_one_more() -> None:
    correction = asked((0.008,)).correction()[:, 0, 0]
    assert correction / correction[1] == pytest.approx([0.25, 1.0, 4.0])


def test_between_two_sizes_the_error_lies_between() -> None:
    correction = asked((0.004, 0.016)).correction()[:, 0, 0]
    assert correction == pytest.approx([0.2, 0.4, 0.8])


def test_a_size_that_was_asked_is_known_and_one_much_larger_is_not() -> None:
    known = asked((0.008,)).knows(np.array([0, 0, 1]), np.array([0.009, 0.016, 0.008]))
    assert known.tolist() == [True, False, False]
