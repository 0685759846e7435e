"""Picks the readings that are new: not recorded, not sent twice, not in the future."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from twin.findings import Finding
from twin.ingest.deliveries import Delivery, Tally
from twin.instants import Clock, format_instant
from twin.ports import Record
from twin.readings import ReadingBatch, status_of

_Rows = npt.NDArray[np.intp]
_Lines = npt.NDArray[np.int64]


@dataclass(slots=True)
class Picked:
    """What came of the readings that a door delivered.

    Attributes:
        recorded: How many were new.
        duplicates: How many were there already, with the same value and quality.
        gaps: How many values were empty or NaN.
        rejected: What was left out, and why.
        from_ns: Earliest time of what was new or there already, 0 where nothing was.
        to_ns: Just behind the latest of them.
    """

    recorded: int = 0
    duplicates: int = 0
    gaps: int = 0
    rejected: Tally = field(default_factory=Tally)
    from_ns: int = 0
    to_ns: int = 0

    def span(self, batch: ReadingBatch) -> None:
        """Stretch the window over a batch that is not empty."""
        from_ns, to_ns = int(batch.time_ns.min()), int(batch.time_ns.max()) + 1
        self.from_ns = min(self.from_ns or from_ns, from_ns)
        self.to_ns = max(self.to_ns, to_ns)


class Sieve:
    """Picks what is new, and counts the rest. All deliveries are of the same series.

    Attributes:
        picked: What came of everything so far.
    """

    def __init__(self, record: Record | None, clock: Clock) -> None:
        self.picked = Picked()
        self._record = record
        self._clock = clock
        self._waiting: list[ReadingBatch] = []

    def pick(self, delivery: Delivery) -> ReadingBatch:
        """Return the new readings of a delivery; they wait until `settle` knows them recorded."""
        picked = self.picked
        picked.gaps += delivery.n_gaps
        picked.rejected.merge(delivery.rejected)
        is_past = delivery.batch.time_ns <= self._clock()
        _reject_future(delivery, np.flatnonzero(~is_past), picked.rejected)
        batch, line = delivery.batch, delivery.line
        if not is_past.all():
            batch, line = batch.take(is_past), line[is_past]
        if not len(batch):
            return batch
        picked.span(batch)
        is_new = self._compare(batch, line)
        new = batch if is_new.all() else batch.take(is_new)
        picked.recorded += len(new)
        if len(new):
            self._waiting.append(new)
        return new

    def settle(self, n_recorded: int) -> None:
        """Forget the readings that waited longest: the record knows them now."""
        while n_recorded > 0:
            batch = self._waiting.pop(0)
            if len(batch) > n_recorded:
                self._waiting.insert(0, batch.take(slice(n_recorded, None)))
            n_recorded -= len(batch)

    def _compare(self, batch: ReadingBatch, line: _Lines) -> npt.NDArray[np.bool_]:
        """Return which readings are new, after counting those that are not."""
        known = self._known(batch)
        both = _joined([*known, batch])
        n_known = len(both) - len(batch)
        here = n_known + np.arange(len(batch))
        there = _first_of_each(both)[n_known:]
        is_new: npt.NDArray[np.bool_] = np.equal(there, here)
        is_same = (both.value[there] == batch.value) & (both.quality[there] == batch.quality)
        self.picked.duplicates += int((is_same & ~is_new).sum())
        lines = np.concatenate((np.zeros(n_known, dtype=np.int64), line))
        _reject_contradictions(both, lines, here[~is_same], there[~is_same], self.picked.rejected)
        return is_new

    def _known(self, batch: ReadingBatch) -> list[ReadingBatch]:
        """Return what is recorded or waits within the time of a batch."""
        from_ns, to_ns = int(batch.time_ns.min()), int(batch.time_ns.max()) + 1
        found = []
        for part in self._waiting:
            is_near = (part.time_ns >= from_ns) & (part.time_ns < to_ns)
            if is_near.any():
                found.append(part.take(is_near))
        if self._record is None:
            return found
        for i in np.unique(batch.series_index).tolist():
            column = self._record.column(batch.series[i], from_ns, to_ns)
            if len(column):
                index = np.full(len(column), i, dtype=np.int32)
                columns = (index, column.time_ns, column.value, column.quality)
                found.append(ReadingBatch(batch.series, *columns))
        return found


def _joined(parts: list[ReadingBatch]) -> ReadingBatch:
    """Return batches of the same series as one, in their order."""
    if len(parts) == 1:
        return parts[0]
    return ReadingBatch(
        parts[-1].series,
        np.concatenate([part.series_index for part in parts]),
        np.concatenate([part.time_ns for part in parts]),
        np.concatenate([part.value for part in parts]),
        np.concatenate([part.quality for part in parts]),
    )


def _first_of_each(batch: ReadingBatch) -> _Rows:
    """Return for each reading the first of the same series and time, shape (n,)."""
    order = np.lexsort((batch.time_ns, batch.series_index))  # stable: ties stay in their order
    series_index, time_ns = batch.series_index[order], batch.time_ns[order]
    is_first = np.ones(len(order), dtype=np.bool_)
    is_first[1:] = (series_index[1:] != series_index[:-1]) | (time_ns[1:] != time_ns[:-1])
    first = np.empty(len(order), dtype=np.intp)
    first[order] = order[np.flatnonzero(is_first)[np.cumsum(is_first) - 1]]
    return first


def _reject_future(delivery: Delivery, rows: _Rows, rejected: Tally) -> None:
    batch, line = delivery.batch, delivery.line

    def describe(row: int) -> Finding:
        at = format_instant(int(batch.time_ns[row]))
        message = f"{_where(batch, line, row)}: {at} lies in the future; correct it or its zone"
        return _finding("time-in-future", message, batch, line, row)

    rejected.add("time-in-future", rows, describe)


def _reject_contradictions(
    both: ReadingBatch, line: _Lines, here: _Rows, there: _Rows, rejected: Tally
) -> None:
    def describe(i: int) -> Finding:
        new, old = int(here[i]), int(there[i])
        at = format_instant(int(both.time_ns[new]))
        held = f"line {line[old]} says" if line[old] else "what was recorded before is"
        message = (
            f"{_where(both, line, new)}: {_said(both, new)} at {at}, but {held} "
            f"{_said(both, old)}; what came first stays"
        )
        return _finding("contradiction", message, both, line, new)

    rejected.add("contradiction", np.arange(len(here)), describe)


def _said(batch: ReadingBatch, row: int) -> str:
    """Return a value with its unit, and its quality where that is not good."""
    series = batch.series[int(batch.series_index[row])]
    quality = int(batch.quality[row])
    marked = f" ({status_of(quality).name.lower()}, quality {quality})" if quality else ""
    return f"{float(batch.value[row])!r} {series.unit}{marked}"


def _where(batch: ReadingBatch, line: _Lines, row: int) -> str:
    tag = batch.series[int(batch.series_index[row])].tag
    return f"line {line[row]}, {tag}" if line[row] else tag


def _finding(code: str, message: str, batch: ReadingBatch, line: _Lines, row: int) -> Finding:
    tag = batch.series[int(batch.series_index[row])].tag
    return Finding(code, message, line=int(line[row]) or None, section=tag, subject=tag)
