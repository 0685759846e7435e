"""When a leak is told, and told again: a week of waiting, what is over, and how far it moved."""

from __future__ import annotations

import numpy as np
import pytest

from hydraulics.leaks.stream.book import Followed
from hydraulics.leaks.stream.evidence import Near, Window, speaks_for
from hydraulics.leaks.stream.telling import (
    asked_probability,
    is_elsewhere,
    is_told_again,
    waited_days,
)

N_SENSORS, N_BLOCKS = 4, 6
LOSS_M = np.array([0.3, 0.2, 0.1, 0.05])
"""What a leak takes from each sensor."""


def test_a_place_waits_since_the_first_of_the_days_in_a_row_that_spoke_for_it() -> None:
    # Nothing spoke on day 3; on days 4 to 6 it was the place at 900 m.
    suspect = {2: 100, 4: 900, 5: 900, 6: 900, 7: 120, 8: 310, 9: 200}
    assert [waited_days(suspect, day, _are_near) for day in (2, 6, 7, 9)] == [0, 2, 0, 2]


@pytest.mark.parametrize(
    ("n_days", "usual", "asked"), [(0, 0.6, 0.6), (6, 0.6, 0.6), (7, 0.6, 0.5), (7, 0.4, 0.4)]
)
def test_after_a_week_a_place_need_only_be_as_likely_as_not(
    n_days: int, usual: float, asked: float
) -> None:
    assert asked_probability(n_days, usual) == asked


@pytest.mark.parametrize(("apart_m", "known_days"), [(100.1, 0), (100.1, 27), (300.1, 28)])
def test_a_leak_is_elsewhere_100_m_away_while_young_and_300_m_away_later(
    apart_m: float, known_days: int
) -> None:
    assert is_elsewhere(apart_m, known_days, near_m=300.0)


@pytest.mark.parametrize(("apart_m", "known_days"), [(100.0, 0), (100.0, 27), (300.0, 28)])
def test_a_leak_that_moved_less_is_where_it_was_called(apart_m: float, known_days: int) -> None:
    assert not is_elsewhere(apart_m, known_days, near_m=300.0)


def test_a_leak_is_told_again_when_it_lay_elsewhere_twice_near_one_place() -> None:
    leak = _leak()
    assert _told_again(leak, [(500, 0.9), (450, 0.9)]) == [False, True]


@pytest.mark.parametrize(
    "seen",
    [
        [(500, 0.9), (900, 0.9)],  # elsewhere, but not near one place
        [(500, 0.9), (500, 0.8)],  # not sure enough
        [(500, 0.9), (40, 0.9), (500, 0.9)],  # back where it was called in between
    ],
)
def test_a_leak_is_not_told_again_where_it_was_not_seen_twice(
    seen: list[tuple[int, float]],
) -> None:
    assert not any(_told_again(_leak(), seen))


def test_a_leak_that_is_over_this_afternoon_is_not_told_again() -> None:
    seen = [(500, 0.9), (500, 0.9)]
    assert _told_again(_leak(), seen, over=True) == [False, False]


def test_a_leak_that_was_mended_at_noon_is_over_in_the_afternoon() -> None:
    # The model has the leak all day: what is mended reads too much by what it lost.
    day = _day([0.0, 0.0, 0.0, 1.0, 1.0, 1.0])
    late = day.since_block(N_BLOCKS // 2)
    assert speaks_for(late, np.tile(LOSS_M, N_BLOCKS // 2))


def test_a_leak_that_was_mended_and_broke_again_at_noon_is_not_over() -> None:
    day = _day([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
    late = day.since_block(N_BLOCKS // 2)
    assert not speaks_for(late, np.tile(LOSS_M, N_BLOCKS // 2))


def test_a_leak_that_lost_half_in_the_afternoon_is_not_over() -> None:
    late = _day([0.0, 0.0, 0.0, 0.49, 0.49, 0.49]).since_block(N_BLOCKS // 2)
    assert not speaks_for(late, np.tile(LOSS_M, N_BLOCKS // 2))


def test_what_is_of_whole_days_speaks_for_afternoons_too() -> None:
    day = _day([0.0, 0.0, 0.0, 1.0, 1.0, 1.0], surplus_m3s=2e-3)
    late = day.since_block(N_BLOCKS // 2)
    assert late.blocks == (3, 4, 5)
    assert late.gap[-1] == 2e-3
    assert len(late.gap) == len(late.covariance) == 3 * N_SENSORS + 1


def _are_near(one: int, other: int) -> bool:
    """Whether two places on a street are within reach of each other."""
    return abs(one - other) <= 300


def _leak() -> Followed:
    return Followed(0, 0, onset=10, found=10, probability=0.9, flow_m3s=2e-3)


def _told_again(leak: Followed, seen: list[tuple[int, float]], *, over: bool = False) -> list[bool]:
    """Return what is told of a leak that was called at 0 m and is seen at these places."""
    return [
        is_told_again(leak, Near(*one), elsewhere=one[0] > 100, over=over, are_near=_are_near)
        for one in seen
    ]


def _day(share: list[float], surplus_m3s: float | None = None) -> Window:
    """Return a day on which sensors read more than the model by a share of the leak's loss."""
    gap = np.concatenate([part * LOSS_M for part in share])
    sensor = np.tile(np.arange(N_SENSORS), N_BLOCKS)
    if surplus_m3s is not None:
        gap, sensor = np.append(gap, surplus_m3s), np.append(sensor, -1)
    none = np.zeros((len(gap), 1))
    covariance = np.diag(np.full(len(gap), 1e-4))
    return Window(gap, covariance, none, sensor, none, none, tuple(range(N_BLOCKS)))
