"""Between a live source and the record: a bounded buffer that counts what it must drop."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from twin.events import Event, EventKind, Plain
from twin.findings import Finding
from twin.ingest.deliveries import Delivery, Tally
from twin.readings import ReadingBatch
from twin.tags import Intake


@dataclass(frozen=True, slots=True)
class Arrival:
    """One value as a live source sent it.

    Attributes:
        series_index: Which series of the intake it is of.
        time_ns: The source's own time [ns since the Unix epoch], at least 2**32.
        raw: The value as sent, before any unit is converted; NaN where there is none.
        quality: Quality byte.
    """

    series_index: int
    time_ns: int
    raw: float
    quality: int


@dataclass(slots=True)
class Buffer:
    """Holds arrivals until they are recorded. When it is full, the newest are dropped and counted.

    The newest rather than the oldest: what is recorded is then whole up to one moment, and the
    source's history can fill what comes behind it.

    Attributes:
        intake: What the series mean.
        size: How many arrivals it holds at most.
        dropped: How many were dropped since the last `take`, by tag.
    """

    intake: Intake
    size: int
    dropped: Counter[str] = field(default_factory=Counter)
    _held: list[Arrival] = field(default_factory=list)
    _rejected: Tally = field(default_factory=Tally)

    def __len__(self) -> int:
        return len(self._held)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to deliver, not even a fault."""
        return not self._held and not self._rejected.total

    def put(self, arrival: Arrival) -> None:
        """Hold an arrival, or count it as dropped."""
        if len(self._held) >= self.size:
            self.dropped[self.intake.series[arrival.series_index].tag] += 1
        else:
            self._held.append(arrival)

    def reject(self, code: str, tag: str, message: str) -> None:
        """Count a value that cannot be read."""
        self._rejected.note(Finding(code, f"{tag}: {message}", section=tag, subject=tag))

    def take(self) -> Delivery:
        """Return what is held, in the order in which it came, and hold nothing."""
        held, self._held = self._held, []
        rejected, self._rejected = self._rejected, Tally()
        index = np.array([arrival.series_index for arrival in held], dtype=np.int32)
        raw = np.array([arrival.raw for arrival in held], dtype=np.float64)
        value = self.intake.stored(raw, index)
        batch = ReadingBatch(
            self.intake.series,
            index,
            np.array([arrival.time_ns for arrival in held], dtype=np.int64),
            value,
            np.array([arrival.quality for arrival in held], dtype=np.uint8),
        )
        is_gap = np.isnan(raw)
        self._reject_infinite(batch, np.flatnonzero(~np.isfinite(value) & ~is_gap), rejected)
        kept = batch.take(np.isfinite(value))
        line = np.zeros(len(kept), dtype=np.int64)
        return Delivery(kept, line, int(is_gap.sum()), rejected)

    def take_drops(self) -> Counter[str]:
        """Return how many were dropped, by tag, and begin to count anew."""
        dropped, self.dropped = self.dropped, Counter()
        return dropped

    def _reject_infinite(
        self, batch: ReadingBatch, rows: np.ndarray[tuple[int], np.dtype[np.intp]], rejected: Tally
    ) -> None:
        def describe(row: int) -> Finding:
            tag = batch.series[int(batch.series_index[row])].tag
            message = f"{tag}: the value is infinite; correct the source"
            return Finding("value-infinite", message, section=tag, subject=tag)

        rejected.add("value-infinite", rows, describe)


def lost_link(network: str, source: str, from_ns: int, to_ns: int, *, is_back: bool) -> Event:
    """Return the event that a source was silent from `from_ns` to `to_ns` because its link broke.

    Args:
        network: Name of the network.
        source: Address of the source, without credentials.
        from_ns: When the link was lost.
        to_ns: When it was back, or when listening ended without it.
        is_back: Whether it came back.
    """
    body: dict[str, Plain] = {
        "reason": "link-lost",
        "from_ns": from_ns,
        "to_ns": to_ns,
        "is_back": is_back,
    }
    return Event(EventKind.SOURCE_GAP, network, source, from_ns, body)


def dropped_readings(network: str, source: str, at_ns: int, dropped: Counter[str]) -> Event:
    """Return the event that readings were dropped because they came faster than they were stored.

    Args:
        network: Name of the network.
        source: Address of the source, without credentials.
        at_ns: When the drops were counted.
        dropped: How many, by tag.
    """
    body: dict[str, Plain] = {"reason": "dropped", "dropped": dict(sorted(dropped.items()))}
    return Event(EventKind.SOURCE_GAP, network, source, at_ns, body)
