"""The book of found leaks: confirmed ones stay in the model until they are repaired."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from hydraulics.leaks.measurements import KnownLeak
from hydraulics.network import NetworkModel
from twin.assets import AssetKind
from twin.errors import RefusedError
from twin.events import Event, EventKind, Plain, Recorded, RecordRef
from twin.ids import Space, resolve_ref
from twin.instants import Clock, format_instant
from twin.leaks.records import Candidate, KnownInModel, LeakRun, load_run
from twin.leaks.windows import Window
from twin.networks import load_assets
from twin.ports import Journal, Record

_MIDDLE = 0.5


class BookError(RefusedError):
    """The book of found leaks says that this cannot be."""


@dataclass(frozen=True, slots=True)
class FoundLeak:
    """A leak that a person confirmed.

    Attributes:
        run_id: The run that found it.
        network: Name of the network.
        pipe_id: EPANET id of its pipe.
        place: Fraction of the way from the start node.
        flow_m3s: Outflow when it was found [m³/s].
        since_ns: Since when it runs, as far as is known.
        repaired_ns: When it was repaired, None while it runs.
        evidence: Place of the confirmation, or of the repair once there is one.
    """

    run_id: str
    network: str
    pipe_id: str
    place: float
    flow_m3s: float
    since_ns: int
    repaired_ns: int | None
    evidence: RecordRef

    def runs_at(self, at_ns: int) -> bool:
        """Whether water comes out at an instant, as far as the book knows."""
        return self.since_ns <= at_ns and (self.repaired_ns is None or at_ns < self.repaired_ns)


def load_book(record: Record, network: str | None = None) -> list[FoundLeak]:
    """Return the confirmed leaks in order of confirmation, the repaired ones among them."""
    book: dict[str, FoundLeak] = {}
    kinds = (EventKind.LEAK_CONFIRMED, EventKind.LEAK_REPAIRED)
    for recorded in record.events(kinds, network):
        if recorded.event.kind is EventKind.LEAK_CONFIRMED:
            book[recorded.event.subject] = _confirmed(recorded)
        else:
            repaired_ns = cast("int", recorded.event.body["repaired_ns"])
            found = book[recorded.event.subject]
            book[found.run_id] = replace(found, repaired_ns=repaired_ns, evidence=recorded.ref)
    return list(book.values())


def confirm(
    journal: Journal, run_id: str, pipe_text: str, clock: Clock, *, since_ns: int | None = None
) -> FoundLeak:
    """Record that a crew found the leak of a run on a pipe: from now on it is in the model.

    Args:
        journal: The ledger.
        run_id: The run whose leak it is.
        pipe_text: EPANET id of the pipe, with or without `link:`; it need not be a candidate.
        clock: Says when this was confirmed.
        since_ns: Since when it runs; else the start of the run's window.

    Raises:
        NotFoundError: No such run.
        AssetNameError: No such link in the run's network.
        BookError: The link is no pipe, the run is confirmed already, or the leak would begin
            after the run saw it.
    """
    run = load_run(journal, run_id)
    pipe_id = _pipe_id(journal, run.network, pipe_text)
    for found in load_book(journal, run.network):
        if found.run_id == run_id:
            raise BookError(f"leak run {run_id} is already confirmed, on pipe {found.pipe_id}")
    began_ns = run.inputs.window.from_ns if since_ns is None else since_ns
    if began_ns >= run.inputs.window.to_ns:
        raise BookError(
            f"a leak since {format_instant(began_ns)} cannot be the one that run {run_id} saw in "
            f"{run.inputs.window}"
        )
    candidate = _candidate(run, pipe_id)
    body: dict[str, Plain] = {
        "asset": f"link:{pipe_id}",
        "pipe_id": pipe_id,
        "place": candidate.place,
        "flow_m3s": candidate.flow_m3s,
        "probability": candidate.probability,
        "since_ns": began_ns,
        "run_place": str(run.evidence),
    }
    event = Event(EventKind.LEAK_CONFIRMED, run.network, run_id, clock(), body)
    (ref,) = journal.record([event])
    return _confirmed(Recorded(ref, event))


def repair(journal: Journal, run_id: str, at_ns: int, clock: Clock) -> FoundLeak:
    """Record that the leak of a run was repaired: from then on it is out of the model.

    Raises:
        NotFoundError: No such run.
        BookError: The leak was never confirmed, is repaired already, or the time is before it
            began or in the future.
    """
    run = load_run(journal, run_id)
    found = next((one for one in load_book(journal, run.network) if one.run_id == run_id), None)
    if found is None:
        raise BookError(
            f"the leak of run {run_id} is not confirmed, so there is nothing to repair; "
            f"first: twin leak confirm {run_id} PIPE"
        )
    _check_repair(found, at_ns, clock())
    body: dict[str, Plain] = {
        "asset": f"link:{found.pipe_id}",
        "pipe_id": found.pipe_id,
        "repaired_ns": at_ns,
    }
    event = Event(EventKind.LEAK_REPAIRED, run.network, run_id, clock(), body)
    (ref,) = journal.record([event])
    return replace(found, repaired_ns=at_ns, evidence=ref)


def known_leaks(
    book: Iterable[FoundLeak], window: Window, reference: Window | None
) -> list[KnownInModel]:
    """Return the found leaks that run in a window, for the model.

    Raises:
        BookError: One of them begins or ends inside a window, or runs in the reference but no
            longer in the window: no fixed model fits, and the sentence says which window would.
    """
    known = []
    for found in book:
        state = _state(found, window)
        before = _state(found, reference) if reference else False
        if before and not state:
            raise BookError(
                f"the leak on pipe {found.pipe_id} (run {found.run_id}) ran in the reference "
                f"{reference} and was repaired before {window}; choose a reference without it"
            )
        if state:
            known.append(
                KnownInModel(found.run_id, found.pipe_id, found.place, found.flow_m3s, before)
            )
    return known


def in_model(known: Iterable[KnownInModel], model: NetworkModel) -> list[KnownLeak]:
    """Return the known leaks by the index of their pipes."""
    index = {link_id: i for i, link_id in enumerate(model.link_id)}
    return [
        KnownLeak(index[one.pipe_id], one.place, one.flow_m3s, one.is_in_reference)
        for one in known
        if one.pipe_id in index
    ]


def _state(found: FoundLeak, window: Window) -> bool:
    """Return whether a leak runs throughout a window; beginning or ending inside is refused."""
    borders = {"begins": found.since_ns, "ends": found.repaired_ns}
    for what, border_ns in borders.items():
        if border_ns is not None and window.from_ns < border_ns < window.to_ns:
            raise BookError(
                f"the leak on pipe {found.pipe_id} (run {found.run_id}) {what} at "
                f"{format_instant(border_ns)}, inside {window}; begin or end the window there"
            )
    return found.runs_at(window.from_ns)


def _confirmed(recorded: Recorded) -> FoundLeak:
    body = cast("Mapping[str, Any]", recorded.event.body)
    return FoundLeak(
        run_id=recorded.event.subject,
        network=recorded.event.network,
        pipe_id=body["pipe_id"],
        place=body["place"],
        flow_m3s=body["flow_m3s"],
        since_ns=body["since_ns"],
        repaired_ns=None,
        evidence=recorded.ref,
    )


def _pipe_id(record: Record, network: str, text: str) -> str:
    assets = load_assets(record, network)
    ref = resolve_ref(text, assets, (Space.LINK,))
    if ref.space is not Space.LINK or assets[ref].kind is not AssetKind.PIPE:
        raise BookError(f"{ref} is a {assets[ref].kind}, not a pipe; a leak is confirmed on a pipe")
    return ref.id


def _candidate(run: LeakRun, pipe_id: str) -> Candidate:
    """Return what the run says of a pipe; a pipe that it did not list gets the best one's flow."""
    for candidate in run.candidates:
        if candidate.pipe_id == pipe_id:
            return candidate
    return Candidate(pipe_id, 0.0, _MIDDLE, run.best.flow_m3s, 0.0)


def _check_repair(found: FoundLeak, at_ns: int, now_ns: int) -> None:
    if found.repaired_ns is not None:
        raise BookError(
            f"the leak of run {found.run_id} is already repaired, "
            f"at {format_instant(found.repaired_ns)}"
        )
    if at_ns <= found.since_ns:
        raise BookError(
            f"a repair at {format_instant(at_ns)} is not after the leak began, "
            f"{format_instant(found.since_ns)}"
        )
    if at_ns > now_ns:
        raise BookError(f"a repair at {format_instant(at_ns)} is in the future")
