"""Rules over what is recorded: each reading is judged once, and every verdict is an event.

How far a rule has come is read from its own evaluations, so that a crash between readings and their
evaluation is made good by the next run, and a run with nothing new records nothing. Evaluations
stand in later blocks than their inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta, timezone

from twin.evaluations import (
    Evaluation,
    Part,
    ReadingPlace,
    Scope,
    StandardRef,
    Standing,
    Verdict,
    key_of,
    to_event,
    verdict_of,
)
from twin.instants import Clock, datetime_to_ns
from twin.ports import Journal, Record
from twin.readings import Column, Series
from twin.rules.judging import Judged, Transition, count, judge, pass_over, place_of, take
from twin.rules.pressure import ServicePressure
from twin.rules.progress import JudgedSoFar
from twin.rules.quality import WaterQuality
from twin.rules.rule import Check, NoCheck, Rule
from twin.standards import Standard, adopt

MAX_PARTS = 500
"""Series in one batch evaluation; more make another, so that a record stays small."""

_CHINA = timezone(timedelta(hours=8))


def default_rules() -> tuple[Rule, ...]:
    """Return the rules as they are set unless someone says otherwise."""
    return (ServicePressure(), WaterQuality())


def evaluate(  # noqa: PLR0913 - two that only some callers give
    journal: Journal,
    network: str,
    from_ns: int,
    to_ns: int,
    clock: Clock,
    *,
    rules: Sequence[Rule] | None = None,
    so_far: JudgedSoFar | None = None,
) -> list[Evaluation]:
    """Judge what is recorded and not judged yet, and record the verdicts.

    Args:
        journal: The record.
        network: Name of the network.
        from_ns: Where a rule begins with a series that it has not judged before; with others it
            goes on from where it stopped, and looks from here on for readings that came late.
        to_ns: Readings at or after this time are left for later.
        clock: Tells when the rules ran.
        rules: The rules; none for `default_rules`.
        so_far: How far the rules have come, kept by a caller who comes again.

    Returns:
        What was recorded: transitions in order of rule and series, then batches. Empty when there
        was nothing new.
    """
    rules = default_rules() if rules is None else rules
    so_far = so_far or JudgedSoFar(network)
    assert so_far.network == network, "progress is of one network"
    so_far.catch_up(journal)
    window = _Window(network, from_ns, to_ns, journal.height, clock())
    found: list[Evaluation] = []
    batches: list[Evaluation] = []
    for rule in rules:
        outcomes = list(_outcomes(journal, rule, window, so_far))
        if outcomes and rule.criterion is not None:
            adopt(journal, rule.criterion, clock)
        found += [made for outcome in outcomes for made in outcome.made if not so_far.holds(made)]
        parts = [part for outcome in outcomes for part in outcome.parts]
        groups = (parts[i : i + MAX_PARTS] for i in range(0, len(parts), MAX_PARTS))
        batches += [_batch(rule, window, group) for group in groups]
    # The batches hold the cursors, so they come last: what a crash cuts off is judged again.
    found += batches
    refs = journal.record([to_event(evaluation) for evaluation in found]) if found else []
    return [made.recorded_at(ref) for made, ref in zip(found, refs, strict=True)]


@dataclass(frozen=True, slots=True)
class _Window:
    network: str
    from_ns: int
    to_ns: int
    height: int  # readings in blocks below it are there to be judged
    judged_ns: int


@dataclass(frozen=True, slots=True)
class _Outcome:
    parts: list[Part]
    made: list[Evaluation]


def _outcomes(
    record: Record, rule: Rule, window: _Window, so_far: JudgedSoFar
) -> Iterator[_Outcome]:
    version = rule.ref.version
    for series in record.series(window.network):
        check = rule.check_for(series)
        if check is None:
            continue
        known = so_far.standing(version, key_of(series))
        standing = known or Standing(from_ns=window.from_ns, next_ns=window.from_ns)
        column = record.column(series, min(window.from_ns, standing.next_ns), window.to_ns)
        is_fresh = column.time_ns >= standing.next_ns
        is_late = ~is_fresh & (
            (column.height >= standing.next_height) | (column.time_ns < standing.from_ns)
        )
        standing = replace(
            standing,
            from_ns=min(standing.from_ns, window.from_ns),
            next_height=window.height,
        )
        yield _judge_series(
            rule, window, check, (take(column, is_late), take(column, is_fresh)), standing
        )


def _judge_series(
    rule: Rule,
    window: _Window,
    check: Check | NoCheck,
    columns: tuple[Column, Column],
    standing: Standing,
) -> _Outcome:
    """Judge late readings, then fresh ones."""
    outcome = _Outcome([], [])
    for column, is_late in zip(columns, (True, False), strict=True):
        if not len(column):
            continue
        if isinstance(check, NoCheck):
            judged = pass_over(column, standing)
            outcome.made.append(_without_check(rule, window, check, column))
        else:
            judged = (count if is_late else judge)(column, check, standing)
            outcome.made.extend(
                _change(rule, window, check, column.series, transition)
                for transition in judged.transitions
            )
        standing = judged.standing
        if not is_late:
            standing = replace(standing, next_ns=int(column.time_ns[-1]) + 1)
        missing = check.missing if isinstance(check, NoCheck) else ()
        outcome.parts.append(_part(column, judged, standing, missing, is_late=is_late))
    return outcome


def _part(
    column: Column, judged: Judged, standing: Standing, missing: tuple[str, ...], *, is_late: bool
) -> Part:
    return Part(
        series=key_of(column.series),
        n_met=judged.n_met,
        n_exceeded=judged.n_exceeded,
        n_not_judged=judged.n_not_judged,
        margin=judged.margin,
        first=place_of(column, 0),
        last=place_of(column, -1),
        is_late=is_late,
        missing=missing,
        standing=standing,
    )


def _change(
    rule: Rule, window: _Window, check: Check, series: Series, transition: Transition
) -> Evaluation:
    places = {transition.since, transition.decided}
    said = _said(rule, window, series, transition.verdict, transition.decided)
    return replace(
        said,
        standard=check.standard,
        from_ns=transition.since.time_ns,
        inputs=tuple(sorted(place.ref for place in places)),
        n_inputs=len(places),
        margin=transition.margin,
        worst_margin=transition.worst_margin,
        value=transition.value,
        low=check.low,
        high=check.high,
        note=_note(check.note, rule.criterion, transition.since.time_ns),
    )


def _without_check(rule: Rule, window: _Window, check: NoCheck, column: Column) -> Evaluation:
    said = _said(rule, window, column.series, Verdict.NOT_JUDGED, place_of(column, 0))
    return replace(said, standard=check.standard, missing=check.missing)


def _said(
    rule: Rule, window: _Window, series: Series, verdict: Verdict, place: ReadingPlace
) -> Evaluation:
    """Return what every transition says: of which series, by which rule, decided where."""
    return Evaluation(
        network=window.network,
        scope=Scope.TRANSITION,
        verdict=verdict,
        rule=rule.ref,
        standard=None,
        at_ns=place.time_ns,
        from_ns=place.time_ns,
        to_ns=place.time_ns + 1,
        judged_ns=window.judged_ns,
        inputs=(place.ref,),
        n_inputs=1,
        tag=series.tag,
        asset=series.asset,
        quantity=series.quantity.value,
        source=series.source,
        unit=series.unit,
        parameter=series.parameter,
        sampling_point=series.sampling_point,
    )


def _batch(rule: Rule, window: _Window, parts: Sequence[Part]) -> Evaluation:
    n_met, n_exceeded = sum(p.n_met for p in parts), sum(p.n_exceeded for p in parts)
    units = {part.unit for part in parts}
    least = [part.margin for part in parts if part.margin is not None]
    from_ns = min(part.first.time_ns for part in parts)
    criterion = rule.criterion
    return Evaluation(
        network=window.network,
        scope=Scope.BATCH,
        verdict=verdict_of(n_met, n_exceeded),
        rule=rule.ref,
        standard=None
        if criterion is None
        else StandardRef(criterion.id, criterion.edition, criterion.sha256),
        at_ns=max(part.last.time_ns for part in parts),
        from_ns=from_ns,
        to_ns=max(part.last.time_ns for part in parts) + 1,
        judged_ns=window.judged_ns,
        inputs=tuple(place.ref for part in parts for place in (part.first, part.last)),
        n_inputs=sum(part.n_readings for part in parts),
        n_met=n_met,
        n_exceeded=n_exceeded,
        n_not_judged=sum(part.n_not_judged for part in parts),
        margin=min(least) if least and len(units) == 1 else None,
        unit=units.pop() if len(units) == 1 else "",
        missing=tuple(sorted({name for part in parts for name in part.missing})),
        note=_note("", criterion, from_ns),
        parts=tuple(parts),
    )


def _note(note: str, criterion: Standard | None, from_ns: int) -> str:
    """Return the note, with a word if the readings are older than the standard."""
    if criterion is None:
        return note
    day = criterion.effective
    if from_ns >= datetime_to_ns(datetime.combine(day, time(), tzinfo=_CHINA)):
        return note
    said = f"read before {day.isoformat()}, when this edition came into force"
    return f"{note}; {said}" if note else said
