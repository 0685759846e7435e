"""The book of found leaks: confirmed ones stay in the model until they are repaired."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from hydraulics.leaks.measurements import KnownLeak
from hydraulics.network import NetworkModel
from twin.assets import AssetKind
from twin.errors import RefusedError
from twin.events import Event, EventKind, Plain, Recorded, RecordRef
from twin.ids import Space, resolve_ref
from twin.instants import Clock, format_instant
from twin.leaks.records import KnownInModel
from twin.leaks.told import Told, ToldLeak, load_told
from twin.leaks.windows import Window
from twin.networks import load_assets
from twin.ports import Journal, Record

LeakKey = tuple[str, str]
"""What a found leak is called among all: the run or call that found it, and its pipe."""


class BookError(RefusedError):
    """The book of found leaks says that this cannot be."""


@dataclass(frozen=True, slots=True)
class FoundLeak:
    """A leak that a person confirmed.

    Attributes:
        run_id: The run that found it, or the call of a watch.
        network: Name of the network.
        pipe_id: EPANET id of its pipe.
        place: Fraction of the way from the start node.
        flow_m3s: Outflow when it was found [m³/s].
        since_ns: Since when it runs, as far as is known.
        repaired_ns: When it was repaired, None while it runs.
        confirmed_by: Who says that it was found, empty where nobody is named.
        repaired_by: Who says that it was repaired, the same.
        confirmation: Place of the confirmation in the ledger.
        repair: Place of the repair, None while it runs.
    """

    run_id: str
    network: str
    pipe_id: str
    place: float
    flow_m3s: float
    since_ns: int
    repaired_ns: int | None
    confirmed_by: str
    repaired_by: str
    confirmation: RecordRef
    repair: RecordRef | None

    @property
    def key(self) -> LeakKey:
        """What it is called among all."""
        return self.run_id, self.pipe_id

    @property
    def evidence(self) -> RecordRef:
        """Place of the confirmation, or of the repair once there is one."""
        return self.repair or self.confirmation

    def runs_at(self, at_ns: int) -> bool:
        """Whether water comes out at an instant, as far as the book knows."""
        return self.since_ns <= at_ns and (self.repaired_ns is None or at_ns < self.repaired_ns)


def load_book(record: Record, network: str | None = None) -> list[FoundLeak]:
    """Return the confirmed leaks in order of confirmation, the repaired ones among them."""
    book: dict[LeakKey, FoundLeak] = {}
    kinds = (EventKind.LEAK_CONFIRMED, EventKind.LEAK_REPAIRED)
    for recorded in record.events(kinds, network):
        if recorded.event.kind is EventKind.LEAK_CONFIRMED:
            found = _confirmed(recorded)
        else:
            pipe_id = cast("str", recorded.event.body["pipe_id"])
            found = _repaired(book[recorded.event.subject, pipe_id], recorded)
        book[found.key] = found
    return list(book.values())


def confirm(  # noqa: PLR0913 - what a crew may say
    journal: Journal,
    run_id: str,
    pipe_text: str,
    clock: Clock,
    *,
    since_ns: int | None = None,
    by: str = "",
) -> FoundLeak:
    """Record that a crew found a leak of a run on a pipe: from now on it is in the model.

    Args:
        journal: The ledger.
        run_id: The run whose leak it is, or the call of a watch.
        pipe_text: EPANET id of the pipe, with or without `link:`; it need not be a candidate.
        clock: Says when this was confirmed.
        since_ns: Since when it runs; else the start of the run's window, or the call's onset.
        by: Who says so.

    Raises:
        NotFoundError: No such run or call.
        AssetNameError: No such link in the run's network.
        BookError: The link is no pipe, every leak of the run is confirmed already, or the leak
            would begin after the run saw it.
    """
    told = load_told(journal, run_id)
    pipe_id = _pipe_id(journal, told.network, pipe_text)
    leak = _unconfirmed(told, load_book(journal, told.network), pipe_id)
    began_ns = told.began_ns if since_ns is None else since_ns
    if began_ns >= told.seen_ns:
        raise BookError(
            f"a leak since {format_instant(began_ns)} cannot be the one that {run_id} saw before "
            f"{format_instant(told.seen_ns)}"
        )
    candidate = leak.on(pipe_id)
    body: dict[str, Plain] = {
        "asset": f"link:{pipe_id}",
        "pipe_id": pipe_id,
        "place": candidate.place,
        "flow_m3s": candidate.flow_m3s,
        "probability": candidate.probability,
        "since_ns": began_ns,
        "run_place": str(told.evidence),
        "best_pipe_id": leak.best.pipe_id,
        "by": by,
    }
    event = Event(EventKind.LEAK_CONFIRMED, told.network, run_id, clock(), body)
    (ref,) = journal.record([event])
    return _confirmed(Recorded(ref, event))


def repair(  # noqa: PLR0913 - what a crew may say
    journal: Journal,
    run_id: str,
    at_ns: int,
    clock: Clock,
    *,
    pipe_text: str | None = None,
    by: str = "",
) -> FoundLeak:
    """Record that a confirmed leak was repaired: from then on it is out of the model.

    Args:
        journal: The ledger.
        run_id: The run or call that found it.
        at_ns: When it was repaired.
        clock: Says when this was recorded.
        pipe_text: Its pipe; needed only where more leaks than one of the run are confirmed.
        by: Who says so.

    Raises:
        NotFoundError: No such run or call.
        AssetNameError: No such link in the run's network.
        BookError: The leak was never confirmed, is repaired already, is one of several and none is
            named, or the time is before it began or in the future.
    """
    told = load_told(journal, run_id)
    pipe_id = None if pipe_text is None else _pipe_id(journal, told.network, pipe_text)
    found = _meant(load_book(journal, told.network), run_id, pipe_id)
    _check_repair(found, at_ns, clock())
    body: dict[str, Plain] = {
        "asset": f"link:{found.pipe_id}",
        "pipe_id": found.pipe_id,
        "repaired_ns": at_ns,
        "by": by,
    }
    event = Event(EventKind.LEAK_REPAIRED, told.network, run_id, clock(), body)
    (ref,) = journal.record([event])
    return _repaired(found, Recorded(ref, event))


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
        confirmed_by=body.get("by", ""),
        repaired_by="",
        confirmation=recorded.ref,
        repair=None,
    )


def _repaired(found: FoundLeak, recorded: Recorded) -> FoundLeak:
    body = cast("Mapping[str, Any]", recorded.event.body)
    return replace(
        found,
        repaired_ns=body["repaired_ns"],
        repaired_by=body.get("by", ""),
        repair=recorded.ref,
    )


def _unconfirmed(told: Told, book: Iterable[FoundLeak], pipe_id: str) -> ToldLeak:
    """Return the leak of a run that a pipe is of, if it is not confirmed yet.

    It is the first one that lists the pipe; a pipe that none lists is of the first that is left.
    """
    taken = [found for found in book if found.run_id == told.told_id]
    pipes = " and ".join(found.pipe_id for found in taken)
    if len(taken) >= len(told.leaks) or pipe_id in {found.pipe_id for found in taken}:
        raise BookError(f"{told.told_id} is already confirmed, on pipe {pipes}")
    left = list(told.leaks)
    for found in taken:
        left.remove(_leak_of(left, found.pipe_id))
    return _leak_of(left, pipe_id)


def _leak_of(leaks: Sequence[ToldLeak], pipe_id: str) -> ToldLeak:
    return next((one for one in leaks if pipe_id in one.candidates), leaks[0])


def _meant(book: Iterable[FoundLeak], run_id: str, pipe_id: str | None) -> FoundLeak:
    """Return the confirmed leak of a run that a repair speaks of."""
    found = [one for one in book if one.run_id == run_id and pipe_id in {None, one.pipe_id}]
    if not found:
        where = "" if pipe_id is None else f" on pipe {pipe_id}"
        raise BookError(
            f"no leak of {run_id} is confirmed{where}, so there is nothing to repair; "
            f"first: twin leak confirm {run_id} PIPE"
        )
    running = [one for one in found if one.repaired_ns is None] or found
    if len(running) > 1:
        pipes = " and ".join(one.pipe_id for one in running)
        raise BookError(f"{run_id} has leaks on pipes {pipes}; say which: --pipe PIPE")
    return running[0]


def _pipe_id(record: Record, network: str, text: str) -> str:
    assets = load_assets(record, network)
    ref = resolve_ref(text, assets, (Space.LINK,))
    if ref.space is not Space.LINK or assets[ref].kind is not AssetKind.PIPE:
        raise BookError(f"{ref} is a {assets[ref].kind}, not a pipe; a leak is confirmed on a pipe")
    return ref.id


def _check_repair(found: FoundLeak, at_ns: int, now_ns: int) -> None:
    if found.repaired_ns is not None:
        raise BookError(
            f"the leak of {found.run_id} is already repaired, "
            f"at {format_instant(found.repaired_ns)}"
        )
    if at_ns <= found.since_ns:
        raise BookError(
            f"a repair at {format_instant(at_ns)} is not after the leak began, "
            f"{format_instant(found.since_ns)}"
        )
    if at_ns > now_ns:
        raise BookError(f"a repair at {format_instant(at_ns)} is in the future")
