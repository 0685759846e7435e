"""Which leak-free window a run is compared with, when nobody names one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import cast

from twin.events import EventKind
from twin.leaks.book import FoundLeak
from twin.leaks.sightings import Sighting, SightingKind, load_sightings
from twin.leaks.windows import (
    DAY_NS,
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
CALL_MARGIN_NS = DAY_NS
"""The same of a call, whose onset is known to a day at best."""


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
            "no reference and the answer rests on the model alone; a leak that a watch called "
            "leaves its days free once it is confirmed or repaired"
        )
    return chosen, (
        "the longest stretch before the window without a known leak, a detected onset or a leak "
        "that a watch called"
    )


def default_reference(
    record: Record, network: str, window: Window, book: list[FoundLeak]
) -> Window | None:
    """Return the longest stretch before a window with readings and, for all we know, no new leak.

    Taken out are: times when a leak ran that has been repaired since, times from three hours
    before a detected onset until a repair, times from a day before the onset of a leak that a
    watch called until it no longer runs, and what lies across the beginning of a found leak.
    """
    unusable = [
        Window(found.since_ns, found.repaired_ns)
        for found in book
        if found.repaired_ns is not None and found.since_ns < found.repaired_ns
    ]
    repairs_ns = [found.repaired_ns for found in book if found.repaired_ns is not None]
    for recorded in record.events([EventKind.LEAK_DETECTED], network):
        onset_ns = cast("int", recorded.event.body["onset_ns"])
        unusable += _until(onset_ns, ONSET_MARGIN_NS, [*repairs_ns, window.from_ns])
    for call in _called(load_sightings(record, network)):
        if call.sighting_id not in {found.run_id for found in book}:
            ends_ns = [*repairs_ns, window.from_ns]
            ends_ns += [] if call.ended_ns is None else [call.ended_ns]
            unusable += _until(call.onset_ns, CALL_MARGIN_NS, ends_ns)
    stretches = without(recorded_stretches(record, network, window.from_ns), unusable)
    return longest_reference(split_at(stretches, [found.since_ns for found in book]))


def _until(onset_ns: int, margin_ns: int, ends_ns: Iterable[int]) -> list[Window]:
    """Return the times from a margin before an onset until the first end after it."""
    after_ns = [end_ns for end_ns in ends_ns if end_ns >= onset_ns]
    return [Window(onset_ns - margin_ns, min(after_ns))] if after_ns else []


@dataclass(frozen=True, slots=True)
class _Called:
    """A leak that a watch called, and the end of the day on which it no longer ran."""

    sighting_id: str
    asset: str
    onset_ns: int
    day: Window
    ended_ns: int | None = None

    def is_moved_to(self, call: Sighting) -> bool:
        """Whether a later call is this leak, placed anew: it then began on the same day."""
        return self.ended_ns is None and (
            self.onset_ns == call.onset_ns and self.day.to_ns <= call.day.from_ns
        )


def _called(told: Iterable[Sighting]) -> list[_Called]:
    """Return the leaks that watches called; one that was called again elsewhere is one leak."""
    called: list[_Called] = []
    for one in told:
        if one.kind is SightingKind.CALL:
            called = [known for known in called if not known.is_moved_to(one)]
            called.append(_Called(one.sighting_id, one.asset, one.onset_ns, one.day))
        elif one.kind is SightingKind.REPAIRED:
            called = [
                replace(known, ended_ns=one.day.to_ns)
                if known.asset == one.asset and known.ended_ns is None
                else known
                for known in called
            ]
    return called
