"""Evaluations: what a rule found, with all that an auditor needs to run the comparison again.

A rule leaves one evaluation for each batch that it judged (counts, least margin, a part for each
series), and one for each transition: a series begins to exceed its limit, recovers, or cannot be
judged. A batch's parts also say how the rule stands with each series, so that judging goes on from
there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import cast

from twin.events import Event, EventKind, Plain, Recorded, RecordRef
from twin.ports import Record
from twin.readings import Series

SeriesKey = tuple[str, ...]


class Verdict(StrEnum):
    """What a rule says."""

    MET = "met"
    EXCEEDED = "exceeded"
    RECOVERED = "recovered"
    NOT_JUDGED = "not judged"


class Scope(StrEnum):
    """What an evaluation is of."""

    BATCH = "batch"
    TRANSITION = "transition"


@dataclass(frozen=True, slots=True)
class StandardRef:
    """The place in a standard that a verdict rests on.

    Attributes:
        id: Such as `GB5749-2022`.
        edition: Its year.
        file_sha256: Hash of the file that told the limit, in hex; the ledger keeps the file.
        clause: Table and item, empty where no one clause is meant.
        confidence: How sure we are of the limit: `high`, `medium`, `low`, or empty.
    """

    id: str
    edition: str
    file_sha256: str
    clause: str = ""
    confidence: str = ""


@dataclass(frozen=True, slots=True)
class RuleRef:
    """Which rule judged, and with what.

    Attributes:
        id: Such as `service-pressure`.
        version: SHA-256 over its id, the version of its code, its parameters and its standard.
        parameters: What it was set to.
    """

    id: str
    version: str
    parameters: Mapping[str, Plain]


@dataclass(frozen=True, slots=True)
class ReadingPlace:
    """One reading: when, and where it is recorded."""

    time_ns: int
    ref: RecordRef


@dataclass(frozen=True, slots=True)
class Standing:
    """How a rule stands with one series after the readings it has judged.

    Attributes:
        is_open: Whether an exceedance is open.
        opened: The first reading of the open exceedance.
        contrary_since: First of the readings that speak for a change which has not lasted long
            enough yet.
        worst_margin: Least margin of the open, or beginning, exceedance.
        from_ns: Earliest time that was judged.
        next_ns: Readings at or after this time are not judged yet.
        next_height: Nor are readings in blocks from this height on.
    """

    is_open: bool = False
    opened: ReadingPlace | None = None
    contrary_since: ReadingPlace | None = None
    worst_margin: float | None = None
    from_ns: int = 0
    next_ns: int = 0
    next_height: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """One series' share of a batch.

    Attributes:
        series: Its tag, asset, quantity, unit, source, parameter and sampling point, see `key_of`.
        n_met: Readings within the limit.
        n_exceeded: Readings outside.
        n_not_judged: Readings of bad quality, or without a limit to judge them by.
        margin: Least margin [unit], positive inside; None where nothing was judged.
        first: First reading.
        last: Last reading.
        is_late: Whether these arrived after later ones had been judged: counted one by one, without
            transitions.
        missing: What is missing to judge them.
        standing: How the rule stands with the series now.
    """

    series: SeriesKey
    n_met: int
    n_exceeded: int
    n_not_judged: int
    margin: float | None
    first: ReadingPlace
    last: ReadingPlace
    is_late: bool
    missing: tuple[str, ...]
    standing: Standing

    @property
    def tag(self) -> str:
        """The series' tag."""
        return self.series[0]

    @property
    def asset(self) -> str:
        """Full name of the asset."""
        return self.series[1]

    @property
    def unit(self) -> str:
        """Unit of the margin."""
        return self.series[3]

    @property
    def n_readings(self) -> int:
        """How many readings there were."""
        return self.n_met + self.n_exceeded + self.n_not_judged

    @property
    def verdict(self) -> Verdict:
        """Exceeded if any reading was, else met if any was."""
        return verdict_of(self.n_met, self.n_exceeded)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a rule found.

    Attributes:
        network: Name of the network.
        scope: A batch, or a transition of one series.
        verdict: Of a batch: exceeded if any reading was, else met if any was.
        rule: Which rule.
        standard: What it judged against, None for a limit of the operator's own.
        at_ns: When it came to be so: the time of the reading that decided, or the last of a batch.
        from_ns: Time of the first reading that it rests on.
        to_ns: Just behind the last of them.
        judged_ns: When the rule ran.
        inputs: Places of the readings: first and last, of each series of a batch.
        n_inputs: How many readings there were.
        n_met: Of them, within the limit.
        n_exceeded: Of them, outside.
        n_not_judged: Of them, of bad quality or without a limit.
        margin: How far inside the limit [unit], negative outside: of the deciding reading, or the
            least of a batch whose series share a unit.
        worst_margin: Least margin of the exceedance so far [unit].
        unit: Unit of value, limits and margins; empty for a batch of several units.
        tag: Of a transition: tag of the series.
        asset: Of a transition: full name of the asset.
        quantity: Of a transition: what is measured.
        source: Of a transition: the door that the readings came through.
        parameter: Of a transition: the substance.
        sampling_point: Of a transition: where the sample is taken.
        value: Of a transition: the reading that decided [unit].
        low: Least value that is met [unit], None for none.
        high: Greatest value [unit], None for none.
        missing: What is missing to judge.
        note: What a reader must know.
        parts: Of a batch: the share of each series.
        ref: Where it is recorded, its evidence; None before it is.
    """

    network: str
    scope: Scope
    verdict: Verdict
    rule: RuleRef
    standard: StandardRef | None
    at_ns: int
    from_ns: int
    to_ns: int
    judged_ns: int
    inputs: tuple[RecordRef, ...]
    n_inputs: int
    n_met: int = 0
    n_exceeded: int = 0
    n_not_judged: int = 0
    margin: float | None = None
    worst_margin: float | None = None
    unit: str = ""
    tag: str | None = None
    asset: str | None = None
    quantity: str | None = None
    source: str | None = None
    parameter: str | None = None
    sampling_point: str | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    missing: tuple[str, ...] = ()
    note: str = ""
    parts: tuple[Part, ...] = ()
    ref: RecordRef | None = None

    @property
    def id(self) -> str:
        """`evaluation/HEIGHT/INDEX`; empty before it is recorded."""
        return "" if self.ref is None else f"evaluation/{self.ref}"

    @property
    def series(self) -> SeriesKey:
        """Of a transition: what tells the series from the others, see `key_of`."""
        names = (self.tag, self.asset, self.quantity, self.unit, self.source)
        return tuple(name or "" for name in (*names, self.parameter, self.sampling_point))

    def recorded_at(self, ref: RecordRef) -> Evaluation:
        """Return the same evaluation with its place."""
        return replace(self, ref=ref)


def key_of(series: Series) -> SeriesKey:
    """Return what tells a series from the others of its network."""
    names = (series.tag, series.asset, series.quantity.value, series.unit, series.source)
    return (*names, series.parameter or "", series.sampling_point or "")


def verdict_of(n_met: int, n_exceeded: int) -> Verdict:
    """Return the verdict of several readings: exceeded if any was, else met if any was."""
    if n_exceeded:
        return Verdict.EXCEEDED
    return Verdict.MET if n_met else Verdict.NOT_JUDGED


_SIMPLE = (
    "from_ns",
    "to_ns",
    "judged_ns",
    "n_inputs",
    "n_met",
    "n_exceeded",
    "n_not_judged",
    "margin",
    "worst_margin",
    "unit",
    "tag",
    "asset",
    "quantity",
    "source",
    "parameter",
    "sampling_point",
    "value",
    "low",
    "high",
    "note",
)


def to_event(evaluation: Evaluation) -> Event:
    """Return the event of an evaluation; its subject is the asset, or the rule for a batch."""
    rule, standard = evaluation.rule, evaluation.standard
    body: dict[str, Plain] = {name: getattr(evaluation, name) for name in _SIMPLE}
    body["scope"] = evaluation.scope.value
    body["verdict"] = evaluation.verdict.value
    body["rule"] = {"id": rule.id, "version": rule.version, "parameters": dict(rule.parameters)}
    body["standard"] = None if standard is None else asdict(standard)
    body["inputs"] = [_from_ref(ref) for ref in evaluation.inputs]
    body["missing"] = list(evaluation.missing)
    body["parts"] = [_from_part(part) for part in evaluation.parts]
    subject = evaluation.asset or rule.id
    return Event(EventKind.EVALUATION, evaluation.network, subject, evaluation.at_ns, body)


def from_event(event: Event, ref: RecordRef | None = None) -> Evaluation:
    """Return the evaluation that an event tells of."""
    assert event.kind is EventKind.EVALUATION, event.kind
    body = event.body
    rule = cast("Mapping[str, Plain]", body["rule"])
    standard = cast("Mapping[str, str] | None", body["standard"])
    simple = {name: body[name] for name in _SIMPLE}
    return Evaluation(
        network=event.network,
        at_ns=event.at_ns,
        scope=Scope(str(body["scope"])),
        verdict=Verdict(str(body["verdict"])),
        rule=RuleRef(
            str(rule["id"]),
            str(rule["version"]),
            dict(cast("Mapping[str, Plain]", rule["parameters"])),
        ),
        standard=None if standard is None else StandardRef(**standard),
        inputs=tuple(_to_ref(item) for item in cast("list[Plain]", body["inputs"])),
        missing=tuple(str(item) for item in cast("list[Plain]", body["missing"])),
        parts=tuple(_to_part(item) for item in cast("list[Plain]", body["parts"])),
        ref=ref,
        **simple,  # type: ignore[arg-type]  # written by `to_event` with these types
    )


def evaluation_of(recorded: Recorded) -> Evaluation:
    """Return the evaluation of a recorded event, with its place."""
    return from_event(recorded.event, recorded.ref)


def iter_evaluations(
    record: Record, network: str | None = None, *, from_height: int = 0
) -> Iterator[Evaluation]:
    """Yield evaluations in order of record."""
    events = record.events({EventKind.EVALUATION}, network, from_height=from_height)
    return map(evaluation_of, events)


def load_evaluations(record: Record, network: str, from_ns: int, to_ns: int) -> list[Evaluation]:
    """Return the evaluations that came to be so in [from, to), in order of record."""
    found = iter_evaluations(record, network)
    return [evaluation for evaluation in found if from_ns <= evaluation.at_ns < to_ns]


def _from_ref(ref: RecordRef) -> list[Plain]:
    return [ref.height, ref.index]


def _to_ref(item: Plain) -> RecordRef:
    height, index = cast("list[int]", item)
    return RecordRef(height, index)


def _from_place(place: ReadingPlace | None) -> Plain:
    return None if place is None else [place.time_ns, place.ref.height, place.ref.index]


def _to_place(item: Plain) -> ReadingPlace | None:
    if item is None:
        return None
    time_ns, height, index = cast("list[int]", item)
    return ReadingPlace(time_ns, RecordRef(height, index))


def _from_part(part: Part) -> Plain:
    standing = part.standing
    return {
        "series": list(part.series),
        "n_met": part.n_met,
        "n_exceeded": part.n_exceeded,
        "n_not_judged": part.n_not_judged,
        "margin": part.margin,
        "first": _from_place(part.first),
        "last": _from_place(part.last),
        "is_late": part.is_late,
        "missing": list(part.missing),
        "standing": {
            "is_open": standing.is_open,
            "opened": _from_place(standing.opened),
            "contrary_since": _from_place(standing.contrary_since),
            "worst_margin": standing.worst_margin,
            "from_ns": standing.from_ns,
            "next_ns": standing.next_ns,
            "next_height": standing.next_height,
        },
    }


def _to_part(item: Plain) -> Part:
    body = cast("Mapping[str, Plain]", item)
    standing = cast("Mapping[str, Plain]", body["standing"])
    first, last = _to_place(body["first"]), _to_place(body["last"])
    assert first is not None
    assert last is not None
    return Part(
        series=tuple(str(name) for name in cast("list[Plain]", body["series"])),
        n_met=cast("int", body["n_met"]),
        n_exceeded=cast("int", body["n_exceeded"]),
        n_not_judged=cast("int", body["n_not_judged"]),
        margin=cast("float | None", body["margin"]),
        first=first,
        last=last,
        is_late=bool(body["is_late"]),
        missing=tuple(str(name) for name in cast("list[Plain]", body["missing"])),
        standing=Standing(
            is_open=bool(standing["is_open"]),
            opened=_to_place(standing["opened"]),
            contrary_since=_to_place(standing["contrary_since"]),
            worst_margin=cast("float | None", standing["worst_margin"]),
            from_ns=cast("int", standing["from_ns"]),
            next_ns=cast("int", standing["next_ns"]),
            next_height=cast("int", standing["next_height"]),
        ),
    )
