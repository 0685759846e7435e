from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.journal import Ledger
from twin.events import Event, EventKind
from twin.instants import NS_PER_S
from twin.leaks.book import confirm, load_book, repair
from twin.leaks.records import LeakRun, to_event
from twin.leaks.reference import default_reference
from twin.leaks.sightings import Sighting, SightingKind, keep_sightings
from twin.leaks.windows import (
    DAY_NS,
    HOUR_NS,
    Window,
    WindowError,
    check_apart,
    longest_reference,
    split_at,
    stretches,
    without,
)

Between = Callable[[str, str], Window]
Ticks = Callable[..., list[int]]
ReadIn = Callable[..., None]

instants = st.integers(min_value=0, max_value=50)


@st.composite
def windows(draw: st.DrawFn) -> Window:
    begin, end = sorted(draw(st.lists(instants, min_size=2, max_size=2, unique=True)))
    return Window(begin, end)


def held(parts: list[Window]) -> set[int]:
    return {at for part in parts for at in range(part.from_ns, part.to_ns)}


@given(st.lists(windows(), max_size=4), st.lists(windows(), max_size=4))
def test_without_keeps_exactly_the_instants_outside_every_hole(
    given_windows: list[Window], holes: list[Window]
) -> None:
    assert held(without(given_windows, holes)) == held(given_windows) - held(holes)


@given(windows(), st.lists(instants, max_size=5))
def test_a_split_window_holds_the_same_instants_and_no_border_inside(
    window: Window, borders: list[int]
) -> None:
    parts = split_at([window], borders)
    assert held(parts) == held([window])
    assert not [b for b in borders for part in parts if part.from_ns < b < part.to_ns]


@pytest.mark.parametrize("end", ["01-08T00:00", "01-07T00:00"])
def test_a_window_that_does_not_end_after_its_start_is_refused(end: str, window: Between) -> None:
    with pytest.raises(WindowError, match="not before its end") as caught:
        window("01-08T00:00", end)
    assert caught.value.exit_code == 2


def test_a_reference_that_shares_an_instant_is_refused(window: Between) -> None:
    current = window("01-08T00:00", "01-09T00:00")
    with pytest.raises(WindowError, match="overlaps"):
        check_apart(current, window("01-07T00:00", "01-08T00:05"))


def test_a_reference_that_ends_where_the_window_begins_is_not_refused(window: Between) -> None:
    check_apart(window("01-08T00:00", "01-09T00:00"), window("01-07T00:00", "01-08T00:00"))


def test_readings_two_hours_apart_are_of_one_stretch_and_further_of_two() -> None:
    times = np.array([0, 2 * HOUR_NS, 4 * HOUR_NS + 1], dtype=np.int64)
    assert stretches(times, 5) == [
        Window(0, 2 * HOUR_NS + 5),
        Window(4 * HOUR_NS + 1, 4 * HOUR_NS + 6),
    ]


def test_a_reference_of_two_days_and_a_half_is_its_newest_two_days() -> None:
    stretch = Window(0, 2 * DAY_NS + 12 * HOUR_NS)
    assert longest_reference([stretch]) == Window(12 * HOUR_NS, stretch.to_ns)


def test_a_reference_is_at_most_the_newest_fourteen_days() -> None:
    assert longest_reference([Window(0, 40 * DAY_NS)]) == Window(26 * DAY_NS, 40 * DAY_NS)


def test_a_stretch_of_less_than_an_hour_is_no_reference() -> None:
    assert longest_reference([Window(0, HOUR_NS - 1)]) is None


@pytest.fixture
def ten_days(read_in: ReadIn, ticks: Ticks) -> None:
    """A pressure reading each hour from 1 January 2018 to the end of 10 January."""
    read_in("P1", "node:J11", ticks("01-01T00:00", 240, step_s=3_600), range(240))


@pytest.mark.usefixtures("ten_days")
def test_without_leaks_the_reference_is_all_that_was_read_before_the_window(
    journal: Ledger, window: Between
) -> None:
    current = window("01-08T00:00", "01-09T00:00")
    found = default_reference(journal, "block", current, load_book(journal))
    assert found == window("01-01T00:00", "01-08T00:00")


def test_without_readings_before_the_window_there_is_no_reference(
    journal: Ledger, window: Between
) -> None:
    current = window("01-08T00:00", "01-09T00:00")
    assert default_reference(journal, "block", current, []) is None


@pytest.mark.usefixtures("ten_days")
def test_the_reference_ends_three_hours_before_a_detected_onset(
    journal: Ledger, window: Between
) -> None:
    onset_ns = window("01-05T00:00", "01-06T00:00").from_ns
    journal.record([Event(EventKind.LEAK_DETECTED, "block", "x", onset_ns, {"onset_ns": onset_ns})])
    found = default_reference(journal, "block", window("01-08T00:00", "01-09T00:00"), [])
    assert found == window("01-01T21:00", "01-04T21:00")


@pytest.mark.usefixtures("ten_days")
def test_the_reference_does_not_hold_a_leak_that_was_repaired(
    journal: Ledger, window: Between, a_run: Callable[..., LeakRun], clock: Callable[[], int]
) -> None:
    old = a_run("leak-old", window("01-02T00:00", "01-03T00:00"))
    journal.record([to_event(old)])
    confirm(journal, "leak-old", "H00", clock)
    repair(journal, "leak-old", window("01-04T00:00", "01-05T00:00").from_ns, clock)
    current = window("01-08T00:00", "01-09T00:00")
    found = default_reference(journal, "block", current, load_book(journal))
    assert found == window("01-04T00:00", "01-08T00:00")


@pytest.mark.usefixtures("ten_days")
def test_the_reference_does_not_lie_across_the_start_of_a_found_leak(
    journal: Ledger, window: Between, a_run: Callable[..., LeakRun], clock: Callable[[], int]
) -> None:
    old = a_run("leak-old", window("01-02T00:00", "01-03T00:00"))
    journal.record([to_event(old)])
    confirm(journal, "leak-old", "H00", clock)
    current = window("01-08T00:00", "01-09T00:00")
    found = default_reference(journal, "block", current, load_book(journal))
    assert found == window("01-02T00:00", "01-08T00:00")


def called(
    window: Between, day: str, onset: str, asset: str = "link:H00", kind: str = "call"
) -> Sighting:
    judged = window(f"{day}T00:00", f"{day}T23:59")
    return Sighting(
        network="block",
        kind=SightingKind(kind),
        day=Window(judged.from_ns, judged.from_ns + DAY_NS),
        asset=asset,
        tag=None,
        fault=None,
        offset_m=None,
        flow_m3s=0.002,
        probability=0.8,
        onset_ns=window(f"{onset}T00:00", f"{onset}T23:59").from_ns,
        calibration=window("01-01T00:00", "01-02T00:00"),
        readings_sha256="a" * 64,
        inp_sha256="b" * 64,
    )


@pytest.mark.usefixtures("ten_days")
@pytest.mark.parametrize(
    ("told", "begin", "end"),
    [
        ([("01-06", "01-05")], "01-01T00:00", "01-04T00:00"),
        (
            [("01-04", "01-03"), ("01-05", "01-03", "link:H00", "repaired")],
            "01-06T00:00",
            "01-10T00:00",
        ),
        (
            [("01-04", "01-03"), ("01-05", "01-03", "link:V00", "repaired")],
            "01-01T00:00",
            "01-02T00:00",
        ),
        (
            [
                ("01-04", "01-03"),
                ("01-05", "01-03", "link:V00"),
                ("01-05", "01-03", "link:V00", "repaired"),
            ],
            "01-06T00:00",
            "01-10T00:00",
        ),
        (
            [
                ("01-04", "01-03"),
                ("01-04", "01-03", "link:V00"),
                ("01-05", "01-03", "link:V00", "repaired"),
            ],
            "01-01T00:00",
            "01-02T00:00",
        ),
        ([("01-10", "01-10")], "01-01T00:00", "01-09T00:00"),
    ],
    ids=[
        "from a day before its onset until the window",
        "until the watch says that it no longer runs",
        "not until another one is repaired",
        "until it is repaired where it was called again",
        "two that began on one day are two",
        "of one that the window itself shows",
    ],
)
def test_the_reference_holds_no_day_on_which_a_leak_ran_that_a_watch_called(  # noqa: PLR0913, PLR0917
    journal: Ledger,
    window: Between,
    clock: Callable[[], int],
    told: list[tuple[str, ...]],
    begin: str,
    end: str,
) -> None:
    keep_sightings(journal, [called(window, *one) for one in told], clock)
    current = window("01-10T00:00", "01-11T00:00")
    assert default_reference(journal, "block", current, []) == window(begin, end)


@pytest.mark.usefixtures("ten_days")
def test_a_call_that_a_crew_confirmed_is_the_books_and_leaves_its_days_free(
    journal: Ledger, window: Between, clock: Callable[[], int]
) -> None:
    (call,) = keep_sightings(journal, [called(window, "01-06", "01-03")], clock)
    confirm(journal, call.sighting_id, "H00", clock)
    current = window("01-10T00:00", "01-11T00:00")
    found = default_reference(journal, "block", current, load_book(journal))
    assert found == window("01-03T00:00", "01-10T00:00")
    repair(journal, call.sighting_id, window("01-08T00:00", "01-09T00:00").from_ns, clock)
    found = default_reference(journal, "block", current, load_book(journal))
    assert found == window("01-08T00:00", "01-10T00:00")


@pytest.mark.usefixtures("ten_days")
def test_a_sensor_that_lies_takes_no_day_from_the_reference(
    journal: Ledger, window: Between, clock: Callable[[], int]
) -> None:
    lie = replace(called(window, "01-06", "01-06", "node:J11", "sensor"), tag="P1", fault="drift")
    keep_sightings(journal, [lie], clock)
    current = window("01-10T00:00", "01-11T00:00")
    whole = window("01-01T00:00", "01-10T00:00")
    assert default_reference(journal, "block", current, []) == whole


def test_a_long_step_still_ends_the_stretch_before_the_window(
    journal: Ledger, read_in: ReadIn, ticks: Ticks, window: Between
) -> None:
    read_in("P1", "node:J11", ticks("01-06T22:30", 26, step_s=3_600), range(26))
    current = window("01-08T00:00", "01-09T00:00")
    found = default_reference(journal, "block", current, [])
    assert found is not None
    assert found.to_ns <= current.from_ns
    assert found.length_ns % (24 * 3_600 * NS_PER_S) == 0
