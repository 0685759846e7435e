"""Localize one leak from what is recorded, and record the answer.

The same readings, settings and seed give the same run: its id is a hash over them, and asking twice
returns what is recorded.
"""

from __future__ import annotations

from dataclasses import replace

from hydraulics.leaks.localize import LocalizeSettings
from hydraulics.leaks.measurements import Progress
from twin.instants import Clock
from twin.leaks.artefacts import RunDetail, load_detail
from twin.leaks.book import known_leaks, load_book
from twin.leaks.computing import Computed, Question, run_id_of, work_out
from twin.leaks.past import RecordUntil
from twin.leaks.records import MOST_LEAKS, LeakRun, find_run, load_run, load_runs, to_event
from twin.leaks.reference import choose_reference
from twin.leaks.windows import Window, check_apart
from twin.networks import load_network
from twin.ports import Journal, Record

__all__ = [
    "Computed",
    "LeakRun",
    "RunDetail",
    "compute_leak",
    "keep_leak",
    "load_detail",
    "load_run",
    "load_runs",
    "run_id_of",
    "run_leak",
]


def run_leak(  # noqa: PLR0913 - what decides the answer, each by name
    journal: Journal,
    network: str,
    window: Window,
    reference: Window | None = None,
    *,
    clock: Clock,
    seed: int = 1,
    most_leaks: int = MOST_LEAKS,
    progress: Progress | None = None,
) -> LeakRun:
    """Localize the leak that shows in a window, and record the run.

    Args:
        journal: The ledger.
        network: Name of the network.
        window: Where the leak shows.
        reference: A leak-free window; None takes the longest recorded one before the window.
        clock: Says when it was computed.
        seed: Seed of what is random.
        most_leaks: Most leaks to look for at once, to tell whether one is enough; 1 does not ask.
        progress: Told of each step.

    Returns:
        The run, recorded. Identical inputs return the run that is recorded already.

    Raises:
        NotFoundError: No such network.
        WindowError: The windows overlap.
        NoReadingsError: A window holds no usable pressure reading.
        BookError: A found leak begins or ends inside a window.
        HydraulicsError: EPANET cannot solve the model at these boundaries.
    """
    computed = compute_leak(
        journal,
        network,
        window,
        reference,
        clock=clock,
        seed=seed,
        most_leaks=most_leaks,
        progress=progress,
    )
    return keep_leak(journal, computed)


def compute_leak(  # noqa: PLR0913 - what decides the answer, each by name
    record: Record,
    network: str,
    window: Window,
    reference: Window | None = None,
    *,
    clock: Clock,
    seed: int = 1,
    most_leaks: int = MOST_LEAKS,
    progress: Progress | None = None,
) -> Computed:
    """Localize as `run_leak` does, without writing, so that nobody waits for the ledger's lock."""
    if reference is not None:
        check_apart(window, reference)
    load_network(record, network)  # before anything else is said
    seen = RecordUntil(record)
    book = load_book(seen, network)
    chosen, said = choose_reference(seen, network, window, reference, book)
    question = Question(
        network=network,
        window=window,
        reference=chosen,
        reference_said=said,
        seed=seed,
        settings=LocalizeSettings(),
        most_leaks=most_leaks,
        known=tuple(known_leaks(book, window, chosen)),
    )
    return work_out(
        seen,
        question,
        clock,
        progress or _tell_nobody,
        lambda run_id: find_run(record, run_id, network),
    )


def keep_leak(journal: Journal, computed: Computed) -> LeakRun:
    """Record a computed run; one that was recorded in the meantime is not recorded twice."""
    known = find_run(journal, computed.run.run_id, computed.run.network)
    if known is not None:
        return known
    for content in computed.files:
        journal.keep_file(content)
    (ref,) = journal.record([to_event(computed.run)])
    return replace(computed.run, evidence=ref)


def _tell_nobody(step: str, done: int, total: int) -> None:
    """Tell nobody of progress."""
