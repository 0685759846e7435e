"""Rules over a real ledger: judged once, after any crash, and with evidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from ledger.journal import Ledger
from twin.evaluations import (
    Evaluation,
    Scope,
    Verdict,
    evaluation_of,
    from_event,
    iter_evaluations,
    load_evaluations,
    to_event,
)
from twin.events import Event, EventKind, RecordRef
from twin.readings import Quantity, ReadingBatch, Series, Status, quality_code
from twin.rules.pressure import ServicePressure
from twin.rules.progress import JudgedSoFar
from twin.rules.quality import WaterQuality
from twin.rules.run import evaluate
from twin.standards import load_standard, parse_standard

T0_NS = 1_710_000_000 * 10**9  # 2024-03-09, after GB 5749-2022 came into force
STEP_NS = 300 * 10**9
END_NS = 1 << 62
NOW_NS = 1_720_000_000 * 10**9

PRESSURE = Series("net", "p", "node:a", Quantity.PRESSURE, "m", "csv")
OUTLET = Series(
    "net",
    "cl",
    "node:b",
    Quantity.CONCENTRATION,
    "g/m3",
    "csv",
    parameter="free_chlorine",
    sampling_point="plant_outlet",
)
NOWHERE = Series(
    "net", "x", "node:c", Quantity.CONCENTRATION, "g/m3", "csv", parameter="free_chlorine"
)
FLOW = Series("net", "f", "link:d", Quantity.FLOW, "m3/s", "csv")
AT_ONCE = (ServicePressure(min_duration_s=0), WaterQuality())


def clock() -> int:
    return NOW_NS


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open_writer(tmp_path / "ledger", tmp_path / "keys", clock) as opened:
        yield opened


def readings(
    series: Series, values: Sequence[float], first: int = 0, bad: int = -1
) -> ReadingBatch:
    n = len(values)
    quality = np.zeros(n, dtype=np.uint8)
    if bad >= 0:
        quality[bad] = quality_code(Status.BAD)
    return ReadingBatch(
        (series,),
        np.zeros(n, dtype=np.int32),
        T0_NS + (first + np.arange(n, dtype=np.int64)) * STEP_NS,
        np.array(values, dtype=np.float64),
        quality,
    )


def write(ledger: Ledger, *batches: ReadingBatch) -> None:
    for batch in batches:
        ledger.append(batch)
    ledger.flush()


def judged(ledger: Ledger, from_ns: int = 0, to_ns: int = END_NS) -> list[Evaluation]:
    return evaluate(ledger, "net", from_ns, to_ns, clock, rules=AT_ONCE)


def changes(found: Sequence[Evaluation]) -> list[tuple[str | None, str, int]]:
    return [
        (e.tag, e.verdict.value, (e.at_ns - T0_NS) // STEP_NS)
        for e in found
        if e.scope is Scope.TRANSITION
    ]


def test_an_exceedance_and_its_recovery_are_recorded_with_all_that_they_rest_on(
    ledger: Ledger,
) -> None:
    write(ledger, readings(OUTLET, [0.5, 0.2, 0.25, 0.31, 0.4]))
    exceeded, recovered, batch = judged(ledger)
    assert (exceeded.verdict, exceeded.asset, exceeded.value) == (Verdict.EXCEEDED, "node:b", 0.2)
    assert exceeded.margin == pytest.approx(-0.1)
    assert (exceeded.low, exceeded.high, exceeded.unit) == (0.3, 2.0, "g/m3")
    assert exceeded.standard is not None
    standard = exceeded.standard
    assert (standard.id, standard.edition) == ("GB5749-2022", "2022")
    assert standard.file_sha256 == load_standard().sha256
    assert (standard.clause, standard.confidence) == ("table 2, item 40", "high")
    # The first leaf of the block describes the series; readings follow.
    assert exceeded.inputs == (RecordRef(0, 2),)
    # 0.31 is inside the limit but not a tenth of it inside: the first to recover is 0.4.
    assert recovered.inputs == (RecordRef(0, 2), RecordRef(0, 5))
    assert recovered.margin == pytest.approx(0.1)
    assert recovered.worst_margin == pytest.approx(-0.1)
    assert (batch.verdict, batch.n_met, batch.n_exceeded) == (Verdict.EXCEEDED, 3, 2)
    assert batch.inputs == (RecordRef(0, 1), RecordRef(0, 5))
    assert batch.margin == pytest.approx(-0.1)


def test_evaluations_stand_in_later_blocks_than_their_inputs(ledger: Ledger) -> None:
    write(ledger, readings(OUTLET, [0.5, 0.2]), readings(PRESSURE, [20.0, 10.0]))
    for made in judged(ledger):
        assert made.ref is not None
        assert made.id == f"evaluation/{made.ref.height}/{made.ref.index}"
        assert all(ref.height < made.ref.height for ref in made.inputs)


def test_a_second_run_records_nothing(ledger: Ledger) -> None:
    write(ledger, readings(OUTLET, [0.5, 0.2]), readings(NOWHERE, [0.1]))
    assert judged(ledger)
    height = ledger.height
    assert judged(ledger) == []
    assert ledger.height == height


def test_without_readings_to_judge_nothing_is_recorded(ledger: Ledger) -> None:
    write(ledger, readings(FLOW, [1.0, 2.0]))
    height = ledger.height
    assert judged(ledger) == []
    assert ledger.height == height


@pytest.mark.parametrize("cuts", [(), (1,), (3, 4), (2, 5, 7), (1, 2, 3, 4, 5, 6, 7, 8)])
def test_readings_in_any_split_lead_to_the_same_transitions(
    ledger: Ledger, cuts: tuple[int, ...]
) -> None:
    pressures = [20.0, 13.0, 13.5, 14.5, 15.5, 13.0, 12.0, 16.0, 16.0]
    rules = (ServicePressure(limit_m=14.0, min_duration_s=300),)
    edges = [0, *cuts, len(pressures)]
    found: list[Evaluation] = []
    for start, stop in pairwise(edges):
        write(ledger, readings(PRESSURE, pressures[start:stop], first=start))
        found += evaluate(ledger, "net", T0_NS, END_NS, clock, rules=rules)
    assert changes(found) == [("p", "exceeded", 2), ("p", "recovered", 8)]
    worst = [e.worst_margin for e in found if e.scope is Scope.TRANSITION]
    assert worst[-1] == pytest.approx(-2.0)


def test_progress_that_is_kept_says_the_same_as_progress_that_is_read(ledger: Ledger) -> None:
    so_far = JudgedSoFar("net")
    found: list[Evaluation] = []
    for i, value in enumerate([0.5, 0.2, 0.2, 0.5, 0.1]):
        write(ledger, readings(OUTLET, [value], first=i))
        found += evaluate(ledger, "net", T0_NS, END_NS, clock, rules=AT_ONCE, so_far=so_far)
    assert changes(found) == [("cl", "exceeded", 1), ("cl", "recovered", 3), ("cl", "exceeded", 4)]
    assert judged(ledger) == []


class Crashed(Exception):  # noqa: N818 - what happens, not an error of ours
    """The process ended here."""


@pytest.mark.parametrize("survived", range(5))
def test_a_crash_after_any_of_the_events_leaves_nothing_unjudged_and_nothing_twice(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, survived: int
) -> None:
    write(ledger, readings(OUTLET, [0.5, 0.2, 0.5, 0.1]), readings(NOWHERE, [0.1]))
    record = ledger.record

    def cut_short(events: Sequence[Event]) -> list[RecordRef]:
        if events[0].kind is EventKind.EVALUATION:
            if survived:
                record(list(events)[:survived])
            raise Crashed
        return record(events)

    monkeypatch.setattr(ledger, "record", cut_short)
    with pytest.raises(Crashed):
        judged(ledger)
    monkeypatch.setattr(ledger, "record", record)
    write(ledger, readings(OUTLET, [0.5], first=4))
    judged(ledger)
    everything = list(iter_evaluations(ledger, "net"))
    assert sorted(changes(everything), key=str) == sorted(
        [
            ("cl", "exceeded", 1),
            ("cl", "recovered", 2),
            ("cl", "exceeded", 3),
            ("cl", "recovered", 4),
            ("x", "not judged", 0),
        ],
        key=str,
    )
    assert sum(e.n_inputs for e in everything if e.scope is Scope.BATCH) == 6
    assert judged(ledger) == []


def test_a_crash_between_readings_and_evaluation_is_made_good_by_the_next_window(
    ledger: Ledger,
) -> None:
    write(ledger, readings(OUTLET, [0.5, 0.5]))
    judged(ledger)
    write(ledger, readings(OUTLET, [0.1, 0.5], first=2))  # and here the process ended
    write(ledger, readings(OUTLET, [0.5], first=4))
    found = judged(ledger, from_ns=T0_NS + 4 * STEP_NS)  # the window of the new readings alone
    assert changes(found) == [("cl", "exceeded", 2), ("cl", "recovered", 3)]
    assert found[-1].n_inputs == 3


def test_what_a_series_lacks_is_said_once(ledger: Ledger) -> None:
    write(ledger, readings(NOWHERE, [0.1, 0.2]))
    said, batch = judged(ledger)
    assert (said.verdict, said.missing) == (Verdict.NOT_JUDGED, ("sampling_point",))
    assert said.standard is not None
    assert said.margin is None
    assert (batch.verdict, batch.n_not_judged) == (Verdict.NOT_JUDGED, 2)
    write(ledger, readings(NOWHERE, [0.1], first=2))
    (again,) = judged(ledger)
    assert (again.scope, again.n_not_judged) == (Scope.BATCH, 1)
    assert again.missing == ("sampling_point",)


def test_bad_readings_are_counted_as_not_judged(ledger: Ledger) -> None:
    write(ledger, readings(OUTLET, [0.5, 0.0, 0.5], bad=1))
    (batch,) = judged(ledger)
    assert (batch.verdict, batch.n_met, batch.n_not_judged) == (Verdict.MET, 2, 1)
    assert batch.margin == pytest.approx(0.2)


def test_late_readings_are_counted_on_their_own_and_once(ledger: Ledger) -> None:
    write(ledger, readings(OUTLET, [0.5], first=0), readings(OUTLET, [0.5], first=4))
    judged(ledger)
    write(ledger, readings(OUTLET, [0.1, 0.5], first=2))
    (batch,) = judged(ledger)
    (part,) = batch.parts
    assert part.is_late
    assert (part.n_met, part.n_exceeded) == (1, 1)
    assert judged(ledger) == []


def test_what_lies_before_the_first_window_is_judged_when_someone_asks(ledger: Ledger) -> None:
    write(ledger, readings(OUTLET, [0.1, 0.5, 0.5]))
    (late,) = judged(ledger, from_ns=T0_NS + STEP_NS)
    assert late.n_inputs == 2
    (early,) = judged(ledger)
    assert (early.n_inputs, early.n_exceeded) == (1, 1)
    assert judged(ledger) == []


def test_readings_at_the_end_of_the_window_are_left_for_later(ledger: Ledger) -> None:
    write(ledger, readings(OUTLET, [0.5, 0.5, 0.1]))
    (first,) = judged(ledger, to_ns=T0_NS + 2 * STEP_NS)
    assert first.n_inputs == 2
    assert changes(judged(ledger)) == [("cl", "exceeded", 2)]


def test_a_changed_rule_judges_anew(ledger: Ledger) -> None:
    write(ledger, readings(PRESSURE, [20.0, 16.0]))
    first = evaluate(ledger, "net", 0, END_NS, clock, rules=(ServicePressure(),))
    strict = ServicePressure(limit_m=18.0, min_duration_s=0)
    second = evaluate(ledger, "net", 0, END_NS, clock, rules=(strict,))
    assert changes(first) == []
    assert changes(second) == [("p", "exceeded", 1)]
    assert first[0].rule.version != second[0].rule.version
    assert second[0].rule.parameters["limit_m"] == 18.0


def test_a_utilitys_own_copy_of_a_standard_is_adopted_and_named(ledger: Ledger) -> None:
    text = load_standard().content.replace(
        b"min_residual_outlet = 0.3", b"min_residual_outlet = 0.5"
    )
    own = parse_standard(text, "own.toml")
    write(ledger, readings(OUTLET, [0.4]))
    found = evaluate(ledger, "net", 0, END_NS, clock, rules=(WaterQuality(criterion=own),))
    assert changes(found) == [("cl", "exceeded", 0)]
    assert found[0].standard is not None
    assert found[0].standard.file_sha256 == own.sha256
    (adoption,) = ledger.events({EventKind.STANDARD_ADOPTED})
    assert ledger.file(str(adoption.event.body["sha256"])) == text
    assert adoption.ref < (found[0].ref or adoption.ref)


def test_readings_older_than_the_standard_are_judged_and_say_so(ledger: Ledger) -> None:
    old = readings(OUTLET, [0.1])
    old.time_ns[:] = 1_522_000_000 * 10**9  # 2018
    write(ledger, old)
    exceeded, batch = judged(ledger)
    assert "read before 2023-04-01" in exceeded.note
    assert "read before 2023-04-01" in batch.note


def test_two_networks_are_judged_apart(ledger: Ledger) -> None:
    other = Series("other", "p", "node:a", Quantity.PRESSURE, "m", "csv")
    write(ledger, readings(PRESSURE, [20.0]), readings(other, [10.0]))
    assert changes(judged(ledger)) == []
    found = evaluate(ledger, "other", 0, END_NS, clock, rules=AT_ONCE)
    assert changes(found) == [("p", "exceeded", 0)]


def test_an_evaluation_comes_back_from_the_ledger_as_it_was(ledger: Ledger) -> None:
    write(ledger, readings(OUTLET, [0.5, 0.2, 0.5]), readings(NOWHERE, [0.1]))
    made = judged(ledger)
    assert list(iter_evaluations(ledger)) == made
    assert load_evaluations(ledger, "net", 0, END_NS) == made
    assert load_evaluations(ledger, "net", 0, T0_NS) == []
    assert load_evaluations(ledger, "other", 0, END_NS) == []
    for evaluation in made:
        assert evaluation.ref is not None
        assert evaluation_of(ledger.event_at(evaluation.ref)) == evaluation
        assert from_event(to_event(evaluation), evaluation.ref) == evaluation


def test_an_auditor_can_run_the_comparison_again_from_the_record_alone(ledger: Ledger) -> None:
    write(ledger, readings(OUTLET, [0.5, 0.2]))
    exceeded = judged(ledger)[0]
    assert exceeded.standard is not None
    kept = parse_standard(ledger.file(exceeded.standard.file_sha256), "kept")
    parameters = exceeded.rule.parameters
    rule = WaterQuality(kept, float(str(parameters["clear_fraction"])))
    assert rule.ref == exceeded.rule
    (ref,) = exceeded.inputs
    column = ledger.column(OUTLET, 0, END_NS)
    row = [(int(h), int(i)) for h, i in zip(column.height, column.leaf_index, strict=True)].index(
        (ref.height, ref.index)
    )
    limit = kept.limit_for(exceeded.parameter, exceeded.sampling_point, exceeded.unit)
    assert column.value[row] - limit.low == pytest.approx(exceeded.margin)  # type: ignore[union-attr, operator]
