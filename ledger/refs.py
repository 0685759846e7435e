"""How people name a record.

`network/tag@TIME` is a reading, `evaluation/HEIGHT/INDEX` an evaluation, `HEIGHT/INDEX` whatever
stands there, and the id of a leak run, of what a watch told or of a water balance that one.
"""

from __future__ import annotations

import re

import numpy as np

from ledger.journal import Ledger
from twin.errors import NotFoundError, UnreadableError
from twin.events import EventKind, RecordRef
from twin.instants import format_instant, parse_instant
from twin.readings import Series

_NAMED = (EventKind.LEAK_RUN, EventKind.LEAK_WATCH, EventKind.WATER_BALANCE)
"""Kinds of event whose subject names one of them."""

_PLACE = re.compile(r"(?:(evaluation)/)?(\d{1,18})/(\d{1,9})")


def resolve(ledger: Ledger, text: str) -> RecordRef:
    """Return the place of the record that a text names.

    Raises:
        NotFoundError: No record has that name.
        UnreadableError: It names a record of another kind than it says.
        InstantError: The time of a reading has no offset.
    """
    place = _PLACE.fullmatch(text)
    if place:
        return _at_place(ledger, place)
    name, at, time = text.rpartition("@")
    network, slash, tag = name.partition("/")
    if at and slash:
        return _reading(ledger, _series(ledger, network, tag), parse_instant(time))
    runs = [one for kind in _NAMED for one in ledger.events_about(kind, text)]
    if not runs:
        raise NotFoundError(
            "record",
            text,
            "write network/tag@TIME, the id of a leak run, of what a watch told or of a water "
            "balance, evaluation/HEIGHT/INDEX or HEIGHT/INDEX",
        )
    return runs[-1].ref


def _at_place(ledger: Ledger, place: re.Match[str]) -> RecordRef:
    word, height, index = place.groups()
    ref = RecordRef(int(height), int(index))
    header = ledger.header(ref.height)
    if ref.index >= header.n_records:
        raise NotFoundError("record", str(ref), f"the block has {header.n_records} records")
    if word and ledger.event_at(ref).event.kind is not EventKind.EVALUATION:
        raise UnreadableError(f"record {ref} is no evaluation; name it as {ref} if you mean it")
    return ref


def _series(ledger: Ledger, network: str, tag: str) -> list[Series]:
    found = [series for series in ledger.series(network) if series.tag == tag]
    if not found:
        raise NotFoundError("series", f"{network}/{tag}", "see the tags that were ingested")
    return found


def _reading(ledger: Ledger, known: list[Series], at_ns: int) -> RecordRef:
    # A tag whose unit or source changed has more than one descriptor: the newest reading counts.
    found = [
        RecordRef(int(height), int(index))
        for series in known
        for column in [ledger.column(series, at_ns, at_ns + 1)]
        for height, index in np.column_stack((column.height, column.leaf_index))
    ]
    if not found:
        name = f"{known[0].network}/{known[0].tag}@{format_instant(at_ns)}"
        raise NotFoundError("reading", name, _nearest(ledger, known, at_ns))
    return max(found)


def _nearest(ledger: Ledger, known: list[Series], at_ns: int) -> str:
    """Return a hint with the last reading before a time, or the first after it."""
    day_ns = 86_400 * 1_000_000_000
    times = np.concatenate(
        [ledger.column(s, at_ns - day_ns, at_ns + day_ns).time_ns for s in known]
    )
    if not len(times):
        return "there is no reading of that tag within a day of it"
    nearest = times[np.argmin(np.abs(times - at_ns))]
    return f"the nearest reading is at {format_instant(int(nearest))}"
