"""Which leak-free window a run is compared with, when nobody names one."""

from __future__ import annotations

from typing import cast

from twin.events import EventKind
from twin.leaks.book import FoundLeak
from twin.leaks.windows import (
    HOUR_NS,
    Window,
    longest_reference,
    recorded_stretches,
    split_at,
    without,
)
from twin.ports import Record

ONSET_MARGIN_NS = 3 * HOUR_NS
"""An onset is known to some hours only: a leak may have run this long before it."""


def choose_reference(
    record: Record,
    network: str,
    window: Window,
    given: Window | None,
    book: list[FoundLeak],
) -> tuple[Window | None, str]:
    """Return the reference window, if any, and one sentence on how it came to be."""
    if given is not None:
        return given, "the reference window was given"
    chosen = default_reference(record, network, window, book)
    if chosen is None:
        return None, (
            "no leak-free stretch of an hour or more is recorded before the window, so there is "
            "no reference and the answer rests on the model alone"
        )
    return chosen, "the longest stretch before the window without a known leak or detected onset"


def default_reference(
    record: Record, network: str, window: Window, book: list[FoundLeak]
) -> Window | None:
    """Return the longest stretch before a window with readings and, for all we know, no new leak.

    Taken out are: times when a leak ran that has been repaired since, times from three hours
    before a detected onset until a repair, and what lies across the beginning of a found leak.
    """
    unusable = [
        Window(found.since_ns, found.repaired_ns)
        for found in book
        if found.repaired_ns is not None and found.since_ns < found.repaired_ns
    ]
    repairs_ns = [found.repaired_ns for found in book if found.repaired_ns is not None]
    for recorded in record.events([EventKind.LEAK_DETECTED], network):
        onset_ns = cast("int", recorded.event.body["onset_ns"])
        ends = [at_ns for at_ns in repairs_ns if at_ns > onset_ns]
        end_ns = min([*ends, window.from_ns])
        if onset_ns <= end_ns:
            unusable.append(Window(onset_ns - ONSET_MARGIN_NS, end_ns))
    stretches = without(recorded_stretches(record, network, window.from_ns), unusable)
    return longest_reference(split_at(stretches, [found.since_ns for found in book]))
