"""What told of leaks that a crew may find: a run, or a call of a watch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from twin.errors import NotFoundError
from twin.events import RecordRef
from twin.ids import parse_ref
from twin.leaks.artefacts import zones_of_several
from twin.leaks.records import Candidate, LeakRun, load_run
from twin.leaks.sightings import SIGHTING, Sighting, SightingKind, find_sighting
from twin.ports import Record

_MIDDLE = 0.5


@dataclass(frozen=True, slots=True)
class ToldLeak:
    """One leak that was told.

    Attributes:
        best: Its most probable pipe.
        candidates: What is said of each pipe that it may be on, by EPANET id.
    """

    best: Candidate
    candidates: Mapping[str, Candidate]

    def on(self, pipe_id: str) -> Candidate:
        """Return what is said of a pipe; one that is not listed gets the best one's flow."""
        unlisted = Candidate(pipe_id, 0.0, _MIDDLE, self.best.flow_m3s, 0.0)
        return self.candidates.get(pipe_id, unlisted)


@dataclass(frozen=True, slots=True)
class Told:
    """A run or a call.

    Attributes:
        told_id: Its id.
        network: Name of the network.
        began_ns: Since when the leaks run, as far as it says.
        seen_ns: The end of what it saw them in.
        leaks: The leaks, the one to look for first first.
        evidence: Its place in the ledger.
    """

    told_id: str
    network: str
    began_ns: int
    seen_ns: int
    leaks: tuple[ToldLeak, ...]
    evidence: RecordRef


def load_told(record: Record, told_id: str) -> Told:
    """Return the run or the call of that id.

    Raises:
        NotFoundError: Neither is recorded.
    """
    if not told_id.startswith(SIGHTING):
        return _by_run(record, load_run(record, told_id))
    found = find_sighting(record, told_id)
    if found is None or found.kind is not SightingKind.CALL:
        raise NotFoundError("call of a watch", told_id, "twin leak watch tells them")
    return _by_call(found)


def _by_run(record: Record, run: LeakRun) -> Told:
    window = run.inputs.window
    return Told(
        told_id=run.run_id,
        network=run.network,
        began_ns=window.from_ns,
        seen_ns=window.to_ns,
        leaks=_leaks_of(record, run),
        evidence=_recorded(run.evidence),
    )


def _leaks_of(record: Record, run: LeakRun) -> tuple[ToldLeak, ...]:
    """Return the leaks of the number that the run holds most probable."""
    if run.several is None or len(run.several.leaks) == 1:
        return (_told_leak(run.candidates),)
    return tuple(map(_told_leak, zones_of_several(record, run)))


def _told_leak(candidates: Sequence[Candidate]) -> ToldLeak:
    return ToldLeak(candidates[0], {one.pipe_id: one for one in candidates})


def _by_call(call: Sighting) -> Told:
    pipe_id = parse_ref(call.asset).id
    best = Candidate(pipe_id, call.probability or 0.0, _MIDDLE, call.flow_m3s or 0.0, 0.0)
    return Told(
        told_id=call.sighting_id,
        network=call.network,
        began_ns=call.onset_ns,
        seen_ns=call.day.to_ns,
        leaks=(ToldLeak(best, {pipe_id: best}),),
        evidence=_recorded(call.evidence),
    )


def _recorded(place: RecordRef | None) -> RecordRef:
    assert place is not None, "what is loaded is recorded"
    return place
