"""Time as whole nanoseconds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.instants import InstantError, format_instant, parse_instant

LAST_NS = 253_402_300_799_999_999_999  # 9999-12-31T23:59:59.999999999Z


@given(st.integers(min_value=0, max_value=LAST_NS))
def test_an_instant_reads_back_to_the_nanosecond(at_ns: int) -> None:
    assert parse_instant(format_instant(at_ns)) == at_ns


def test_one_billion_seconds_after_the_epoch_is_a_known_sunday_morning() -> None:
    # Unix time 1,000,000,000 is 2001-09-09T01:46:40Z (POSIX, "Seconds Since the Epoch").
    assert parse_instant("2001-09-09T03:46:40+02:00") == 1_000_000_000 * 10**9


def test_fraction_digits_are_written_only_where_they_say_something() -> None:
    assert format_instant(1_500_000_000) == "1970-01-01T00:00:01.500Z"


@pytest.mark.parametrize(
    "text",
    [
        "2018-03-27T20:35:00",  # no offset
        "2018-03-27",
        "2018-02-30T00:00:00Z",
        "2018-03-27T24:00:01Z",
        "2018-03-27T20:35:00.1234567890Z",
        "2018-03-27T20:35:00+0200",
        " 2018-03-27T20:35:00Z",
        "٢٠١٨-03-27T20:35:00Z",
        "2018-03-27T20:35:00.١Z",
        "1522182900",
        "",
    ],
)
def test_a_time_spelled_any_other_way_is_refused_and_shown_how(text: str) -> None:
    with pytest.raises(InstantError, match="write it like"):
        parse_instant(text)
