"""When a leak is told, and told again: rules that rest on what was found, not on readings."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hydraulics.leaks.amid import Near
from hydraulics.leaks.stream.book import Followed

YOUNG_DAYS = 28
"""Days in which a known leak may turn out to lie anywhere."""
_LONG_DAYS, _HALF = 7, 0.5
"""What waits for so many days is called where a crew finds it as likely as not."""
_SURE = 0.8
"""Probability above which a known leak is seen to lie elsewhere."""

AreNear = Callable[[int, int], bool]
"""Whether two positions are within reach of each other."""


def waited_days(suspect: Mapping[int, int], day: int, are_near: AreNear) -> int:
    """Return for how many days in a row before one something spoke for a leak near one place.

    Args:
        suspect: The position for which most spoke on each day on which enough did.
        day: One of these days.
        are_near: Whether two positions are within reach of each other.
    """
    first = day
    while first - 1 in suspect and are_near(suspect[first - 1], suspect[day]):
        first -= 1
    return day - first


def asked_probability(n_days: int, usual: float) -> float:
    """Return how probable a place must be for a call that waited for so many days."""
    return min(usual, _HALF) if n_days >= _LONG_DAYS else usual


def is_elsewhere(apart_m: float, known_days: int, near_m: float) -> bool:
    """Whether a leak that lies so far from where it was called is to be told again.

    In its first weeks that is more than a third of the reach; later, when what moves it is rather
    the water of others, out of reach.

    Args:
        apart_m: Distance between both places [m].
        known_days: Days since it was found.
        near_m: What is in reach [m].
    """
    return apart_m > (near_m / 3.0 if known_days < YOUNG_DAYS else near_m)


def is_told_again(
    leak: Followed, near: Near, *, elsewhere: bool, over: bool, are_near: AreNear
) -> bool:
    """Whether a leak lay elsewhere twice near one place and still runs; the leak remembers once.

    Args:
        leak: The leak; where it is seen now is kept in it.
        near: Where it is seen now.
        elsewhere: Whether that is elsewhere than where it was called.
        over: Whether it is over this afternoon: nobody finds it then.
        are_near: Whether two positions are within reach of each other.
    """
    last = leak.elsewhere
    leak.elsewhere = near.pipe if elsewhere and near.probability > _SURE else None
    if last is None or leak.elsewhere is None or over:
        return False
    return are_near(last, leak.elsewhere)
