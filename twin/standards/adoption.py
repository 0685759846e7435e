"""The record of which edition of a standard a home goes by: an event, with the file kept."""

from __future__ import annotations

from twin.events import Event, EventKind, RecordRef
from twin.instants import Clock
from twin.ports import Journal, Record
from twin.standards.standard import Standard, parse_standard

NO_NETWORK = ""
"""A standard is adopted for the whole home."""


def adopt(journal: Journal, standard: Standard, clock: Clock) -> RecordRef:
    """Record that a standard's file is gone by, unless it is; return where that is recorded."""
    for found in journal.events({EventKind.STANDARD_ADOPTED}, NO_NETWORK):
        if _names(found.event, standard):
            return found.ref
    kept = journal.keep_file(standard.content)  # before the event that names it
    assert kept == standard.sha256, "a file's name is its hash"
    event = Event(
        EventKind.STANDARD_ADOPTED,
        NO_NETWORK,
        standard.id,
        clock(),
        {
            "edition": standard.edition,
            "title": standard.title,
            "issued": standard.issued.isoformat(),
            "effective": standard.effective.isoformat(),
            "sha256": standard.sha256,
        },
    )
    return journal.record([event])[0]


def adopted(record: Record) -> list[Standard]:
    """Return the standards that a home goes by, in order of adoption, from the kept files.

    Raises:
        NotFoundError: A kept file is gone.
    """
    events = record.events({EventKind.STANDARD_ADOPTED}, NO_NETWORK)
    hashes = [str(found.event.body["sha256"]) for found in events]
    return [parse_standard(record.file(sha256), f"kept file {sha256}") for sha256 in hashes]


def _names(event: Event, standard: Standard) -> bool:
    return event.subject == standard.id and event.body["sha256"] == standard.sha256
