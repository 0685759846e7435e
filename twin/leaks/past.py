"""The record as it stood at a height, so that what was worked out can be worked out again."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from twin.errors import NotFoundError
from twin.events import EventKind, Recorded, RecordRef, SealedBlock
from twin.ports import Record
from twin.readings import Column, Series

_LAST_NS = 2**62


class RecordUntil:
    """The first blocks of a record, which later ones do not change: a `twin.ports.Record`."""

    def __init__(self, record: Record, height: int | None = None) -> None:
        """Take the blocks below a height, or those that there are now."""
        self._record = record
        self._series: list[Series] | None = None
        if height is None:
            self._height, self._series = _now(record)
        else:
            self._height = height

    @property
    def height(self) -> int:
        """Number of blocks that are read."""
        return self._height

    def events(
        self,
        kinds: Collection[EventKind] = (),
        network: str | None = None,
        *,
        from_height: int = 0,
    ) -> Iterator[Recorded]:
        """Yield events in order of record; no kinds means all."""
        for recorded in self._record.events(kinds, network, from_height=from_height):
            if recorded.ref.height >= self._height:
                return
            yield recorded

    def event_at(self, ref: RecordRef) -> Recorded:
        """Return the event at a place.

        Raises:
            NotFoundError: There was no event there.
        """
        if ref.height >= self._height:
            raise NotFoundError("record", str(ref))
        return self._record.event_at(ref)

    def series(self, network: str | None = None) -> list[Series]:
        """Return the series recorded so far, in order of first appearance."""
        if self._series is None:
            self._series = [one for one in self._record.series() if self._is_known(one)]
        return [one for one in self._series if network in {None, one.network}]

    def column(self, series: Series, from_ns: int, to_ns: int) -> Column:
        """Return the readings of one series in [from, to), in order of time."""
        found = self._record.column(series, from_ns, to_ns)
        keep = found.height < self._height
        if keep.all():
            return found
        return replace(
            found,
            time_ns=found.time_ns[keep],
            value=found.value[keep],
            quality=found.quality[keep],
            height=found.height[keep],
            leaf_index=found.leaf_index[keep],
        )

    def last_time_ns(self, series: Series) -> int | None:
        """Return the newest time of a series [ns since the Unix epoch], None without readings."""
        found = self.column(series, 0, _LAST_NS)
        return int(found.time_ns[-1]) if len(found) else None

    def blocks(self, from_height: int = 0) -> Iterator[SealedBlock]:
        """Yield the sealed blocks in order."""
        for block in self._record.blocks(from_height):
            if block.height >= self._height:
                return
            yield block

    def file(self, sha256_hex: str) -> bytes:
        """Return a kept file, checked against its hash.

        Raises:
            NotFoundError: The ledger keeps no such file.
        """
        return self._record.file(sha256_hex)

    def _is_known(self, series: Series) -> bool:
        """Whether a series had a reading: its descriptor is recorded with the first of them."""
        return len(self.column(series, 0, _LAST_NS)) > 0


def _now(record: Record) -> tuple[int, list[Series]]:
    """Return the height and the series that it comes with, though another process may write."""
    while True:
        height = record.height
        series = record.series()
        if record.height == height:
            return height, series
