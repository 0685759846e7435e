"""Times of a file: as RFC 3339 reads them, and through daylight saving where it cannot."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.ingest.times import MIN_NS, TimeFault, read_times
from twin.instants import InstantError, format_instant, parse_instant


def read(text: str, time_zone: str | None = None) -> tuple[int, TimeFault]:
    at_ns, fault = read_times(np.array([text], dtype=object), time_zone)
    return int(at_ns[0]), TimeFault(fault[0])


instants_ns = st.integers(MIN_NS, 2**62)
offsets = st.integers(-14 * 60, 14 * 60)


@given(instants_ns, offsets, st.sampled_from("T "))
def test_a_time_with_an_offset_is_the_instant_it_names(at_ns: int, minutes: int, gap: str) -> None:
    zone = timezone(timedelta(minutes=minutes))
    wall = datetime.fromtimestamp(at_ns // 10**9, UTC).astimezone(zone)
    text = f"{wall:%Y-%m-%d}{gap}{wall:%H:%M:%S}.{at_ns % 10**9:09d}{wall:%z}"
    text = f"{text[:-2]}:{text[-2:]}"
    assert read(text, "Asia/Nicosia") == (at_ns, TimeFault.NONE)


@given(instants_ns)
def test_what_we_write_we_read(at_ns: int) -> None:
    assert read(format_instant(at_ns)) == (at_ns, TimeFault.NONE)


@given(
    st.text("0123456789-:.TZ+ ", max_size=36)
    | st.from_regex(r"20[0-9]{2}-[0-1][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-6][0-9]:[0-6][0-9]Z")
)
def test_what_is_read_with_an_offset_is_what_rfc_3339_reads(text: str) -> None:
    at_ns, fault = read(text)
    try:
        meant = parse_instant(text)
    except InstantError:
        # A door for files also reads a clock without seconds.
        meant = None
    if meant is not None and meant >= MIN_NS:
        assert (at_ns, fault) == (meant, TimeFault.NONE)
    elif fault is TimeFault.NONE:
        assert parse_instant(text[:16] + ":00" + text[16:]) == at_ns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "27/03/2018 20:35",
        "2018-03-27",
        "2018-02-29 00:00:00Z",
        "2018-13-01 00:00:00Z",
        "2018-03-27 24:00:00Z",
        "2018-03-27 20:60:00Z",
        "2018-03-27 20:35:00.Z",
        "2018-03-27 20:35:00.1234567890Z",
        "2018-03-27 20:35.5Z",
        "2018-03-27 20:35:00+2:00",
        "2018-03-27 20:35:00+02:00 ",
        "2018-03-27 20:35:00+24:00",
        "20１8-03-27 20:35:00Z",
        "2018-03-27 20:35:00Z" + " " * 10_000,
    ],
)
def test_any_other_spelling_is_a_fault_of_its_row(text: str) -> None:
    assert read(text, "UTC")[1] is TimeFault.UNREADABLE


def test_a_clock_without_seconds_is_read() -> None:
    assert read("2018-03-27 20:35", "+02:00")[0] == parse_instant("2018-03-27T20:35:00+02:00")


def test_a_time_without_an_offset_needs_a_zone() -> None:
    assert read("2018-03-27 20:35:00")[1] is TimeFault.NO_OFFSET


@pytest.mark.parametrize(
    ("text", "zone", "meant"),
    [
        ("2018-03-25 02:59:59", "Asia/Nicosia", "2018-03-25T02:59:59+02:00"),
        ("2018-03-25 04:00:00", "Asia/Nicosia", "2018-03-25T04:00:00+03:00"),
        ("2018-10-28 02:59:59", "Asia/Nicosia", "2018-10-28T02:59:59+03:00"),
        ("2018-10-28 04:00:00", "Asia/Nicosia", "2018-10-28T04:00:00+02:00"),
        ("2018-03-25 03:30:00", "+02:00", "2018-03-25T03:30:00+02:00"),  # L-Town fills this hour
        ("2000-04-02 00:00:30", "America/St_Johns", "2000-04-02T00:00:30-03:30"),  # changed 00:01
    ],
)
def test_a_wall_clock_means_the_offset_of_its_day(text: str, zone: str, meant: str) -> None:
    assert read(text, zone) == (parse_instant(meant), TimeFault.NONE)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("2018-03-25 03:00:00", TimeFault.SKIPPED),
        ("2018-03-25 03:59:59", TimeFault.SKIPPED),
        ("2018-10-28 03:00:00", TimeFault.AMBIGUOUS),
        ("2018-10-28 03:59:59", TimeFault.AMBIGUOUS),
    ],
)
def test_an_hour_that_happens_twice_or_never_is_not_guessed(text: str, fault: TimeFault) -> None:
    assert read(text, "Asia/Nicosia")[1] is fault
    assert read(text + "+02:00", "Asia/Nicosia")[1] is TimeFault.NONE


@pytest.mark.parametrize(
    "text", ["1970-01-01 00:00:04Z", "1969-12-31 23:00:00Z", "9999-01-01 00:00Z"]
)
def test_what_the_record_cannot_hold_is_out_of_range(text: str) -> None:
    assert read(text)[1] is TimeFault.OUT_OF_RANGE
