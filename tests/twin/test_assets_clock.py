"""How the model's clock maps to real time."""

from __future__ import annotations

import pytest

from twin.assets import WEEK_S, Network, model_time_s
from twin.instants import parse_instant


def network(start: str, *, given: bool, time_zone: str = "+02:00") -> Network:
    return Network("n", "LOCAL", time_zone, parse_instant(start), given, "00" * 32)


def test_without_a_given_start_only_the_place_in_the_week_counts() -> None:
    ltown = network("2018-01-01T00:00:00+02:00", given=False)  # a Monday
    tuesday_six = parse_instant("2018-03-27T06:00:00+02:00")  # a Tuesday
    assert model_time_s(ltown, tuesday_six) == 86_400 + 6 * 3_600


def test_a_file_that_starts_at_six_has_model_time_zero_at_six_on_monday() -> None:
    late = network("2018-01-01T06:00:00+02:00", given=False)
    assert model_time_s(late, parse_instant("2018-01-08T06:00:00+02:00")) == 0
    assert model_time_s(late, parse_instant("2018-01-08T05:55:00+02:00")) == WEEK_S - 300


def test_a_given_start_counts_on_beyond_a_week_and_folds_what_came_before() -> None:
    given = network("2018-01-01T00:00:00+02:00", given=True)
    assert model_time_s(given, parse_instant("2018-01-09T00:00:00+02:00")) == 8 * 86_400
    assert model_time_s(given, parse_instant("2017-12-31T00:00:00+02:00")) == 6 * 86_400


@pytest.mark.parametrize("day", ["2018-03-24", "2018-03-26"])  # before and after the clocks change
def test_noon_stays_noon_through_daylight_saving(day: str) -> None:
    berlin = network("2018-01-01T00:00:00+01:00", given=False, time_zone="Europe/Berlin")
    offset = "+01:00" if day == "2018-03-24" else "+02:00"
    assert model_time_s(berlin, parse_instant(f"{day}T12:00:00{offset}")) % 86_400 == 43_200
