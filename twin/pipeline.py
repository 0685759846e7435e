"""Readings from a door into the record, once each.

A door delivers at least once: a file is run again after a crash, a server sends its last value
again after a broken link. The record holds each reading once, by series and source time. What comes
again with the same value and quality is skipped; what comes with another is rejected, because a
recorded value is never overwritten. Nothing is acknowledged before its block is on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from twin.events import Event, SealedBlock
from twin.ingest.deliveries import Delivery, Tally
from twin.ingest.sieve import Picked, Sieve
from twin.instants import Clock
from twin.ports import Journal, Record

Evaluate = Callable[[int, int], int]
"""Judges the readings of a window [from, to) [ns]; returns how many evaluations it recorded."""

OnBlock = Callable[[SealedBlock], None]
"""Told of each block when it is durable."""


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What came of an ingest.

    Attributes:
        recorded: Readings that are on disk; in a dry run, that would be.
        duplicates: Readings that were there already, with the same value and quality.
        gaps: Values that were empty or NaN.
        rejected: What was left out, and why.
        blocks: The blocks that were sealed.
        evaluations: How many evaluations the rules recorded.
        from_ns: Earliest time of what was recorded or there already, 0 where nothing was.
        to_ns: Just behind the latest of them.
    """

    recorded: int = 0
    duplicates: int = 0
    gaps: int = 0
    rejected: Tally = field(default_factory=Tally)
    blocks: tuple[SealedBlock, ...] = ()
    evaluations: int = 0
    from_ns: int = 0
    to_ns: int = 0


class Pipeline:
    """Takes deliveries, and makes them durable when it is told to."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        *,
        evaluate: Evaluate | None = None,
        on_block: OnBlock | None = None,
    ) -> None:
        """Begin an ingest.

        Args:
            journal: The record.
            clock: Tells what lies in the future.
            evaluate: The rules. Their window spans the duplicates too, so that a run after a crash
                judges what the crash left unjudged.
            on_block: Told of each block when it is durable.
        """
        self._journal = journal
        self._sieve = Sieve(journal, clock)
        self._evaluate = evaluate
        self._on_block = on_block
        self._blocks: list[SealedBlock] = []
        self._evaluations = 0
        self._unjudged = Picked()

    def take(self, delivery: Delivery) -> None:
        """Queue what is new in a delivery; full blocks are sealed at once."""
        new = self._sieve.pick(delivery)
        if len(delivery.batch):
            self._unjudged.span(delivery.batch)
        if len(new):
            self._sealed(self._journal.append(new))

    def flush(self) -> None:
        """Seal what waits, then let the rules judge it. What was taken is durable from here on."""
        self._sealed(self._journal.flush())
        window, self._unjudged = self._unjudged, Picked()
        if self._evaluate is not None and window.to_ns:
            self._evaluations += self._evaluate(window.from_ns, window.to_ns)

    def note(self, events: Sequence[Event]) -> None:
        """Record what happened at the door, such as a lost link."""
        if events:
            self._journal.record(events)

    def report(self) -> IngestReport:
        """Return what came of everything so far."""
        return _report(self._sieve.picked, tuple(self._blocks), self._evaluations)

    def _sealed(self, blocks: Iterable[SealedBlock]) -> None:
        for block in blocks:
            self._sieve.settle(block.n_readings)
            self._blocks.append(block)
            if self._on_block is not None:
                self._on_block(block)


def ingest(
    journal: Journal,
    deliveries: Iterable[Delivery],
    clock: Clock,
    *,
    evaluate: Evaluate | None = None,
    on_block: OnBlock | None = None,
) -> IngestReport:
    """Record what a door delivers, and let the rules judge it when all of it is on disk.

    Args:
        journal: The record.
        deliveries: What the door delivers, all of the same series.
        clock: Tells what lies in the future.
        evaluate: The rules, see `Pipeline`.
        on_block: Told of each block when it is durable.
    """
    pipeline = Pipeline(journal, clock, evaluate=evaluate, on_block=on_block)
    for delivery in deliveries:
        pipeline.take(delivery)
    pipeline.flush()
    return pipeline.report()


def rehearse(record: Record, deliveries: Iterable[Delivery], clock: Clock) -> IngestReport:
    """Return what an ingest would do, and write nothing; it remembers 21 bytes a reading.

    Args:
        record: What is recorded so far.
        deliveries: What the door delivers, all of the same series.
        clock: Tells what lies in the future.
    """
    sieve = Sieve(record, clock)
    for delivery in deliveries:
        sieve.pick(delivery)
    return _report(sieve.picked, (), 0)


def together(reports: Sequence[IngestReport]) -> IngestReport:
    """Return what came of several ingests as one; of none, that nothing did."""
    rejected = Tally()
    for report in reports:
        rejected.merge(report.rejected)
    spans = [report for report in reports if report.to_ns]
    return IngestReport(
        recorded=sum(report.recorded for report in reports),
        duplicates=sum(report.duplicates for report in reports),
        gaps=sum(report.gaps for report in reports),
        rejected=rejected,
        blocks=tuple(block for report in reports for block in report.blocks),
        evaluations=sum(report.evaluations for report in reports),
        from_ns=min((report.from_ns for report in spans), default=0),
        to_ns=max((report.to_ns for report in spans), default=0),
    )


def _report(picked: Picked, blocks: tuple[SealedBlock, ...], evaluations: int) -> IngestReport:
    return IngestReport(
        recorded=picked.recorded,
        duplicates=picked.duplicates,
        gaps=picked.gaps,
        rejected=picked.rejected,
        blocks=blocks,
        evaluations=evaluations,
        from_ns=picked.from_ns,
        to_ns=picked.to_ns,
    )
