"""What `twin` needs of the record, so that it need not know how bytes are hashed.

`ledger.journal.Ledger` is the implementation; `tests/contracts` holds the suite.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

from twin.events import Event, EventKind, Recorded, RecordRef, SealedBlock
from twin.readings import Column, ReadingBatch, Series


class Record(Protocol):
    """Reads what the ledger holds. Every answer is of sealed, durable blocks only."""

    @property
    def height(self) -> int:
        """Number of sealed blocks; the newest block has height `height - 1`."""

    def events(
        self,
        kinds: Collection[EventKind] = (),
        network: str | None = None,
        *,
        from_height: int = 0,
    ) -> Iterator[Recorded]:
        """Yield events in order of record; no kinds means all."""

    def event_at(self, ref: RecordRef) -> Recorded:
        """Return the event at a place.

        Raises:
            NotFoundError: There is no event there.
        """

    def series(self, network: str | None = None) -> list[Series]:
        """Return the series recorded so far, in order of first appearance."""

    def column(self, series: Series, from_ns: int, to_ns: int) -> Column:
        """Return the readings of one series in [from, to), in order of time."""

    def last_time_ns(self, series: Series) -> int | None:
        """Return the newest time of a series [ns since the Unix epoch], None without readings."""

    def blocks(self, from_height: int = 0) -> Iterator[SealedBlock]:
        """Yield the sealed blocks in order."""

    def file(self, sha256_hex: str) -> bytes:
        """Return a kept file (a network, a standard), checked against its hash.

        Raises:
            NotFoundError: The ledger keeps no such file.
        """


class Journal(Record, Protocol):
    """Writes to the ledger. One process writes at a time; what returns is on disk."""

    def keep_file(self, content: bytes) -> str:
        """Keep a file beside the blocks, durably, and return its SHA-256 in hex.

        The event that names the hash is what anchors it.
        """

    def record(self, events: Sequence[Event]) -> list[RecordRef]:
        """Seal events into blocks of their own and return their places, in the order given."""

    def append(self, batch: ReadingBatch) -> list[SealedBlock]:
        """Queue readings; seal and return a block for each 10,000 that are waiting.

        A series not seen before has its descriptor recorded first.
        """

    def flush(self) -> list[SealedBlock]:
        """Seal what is waiting; nothing may be acknowledged upstream before this returns."""
