from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest

from ledger.evidence import evidence_of as proof_of
from ledger.evidence import verify_text
from ledger.journal import Ledger
from ledger.keys import Ed25519Verifier
from twin.accounting.amounts import Amount
from twin.accounting.balance import Line
from twin.accounting.night_runs import local_nights, parse_night
from twin.accounting.records import iter_balances, load_balance
from twin.accounting.results import Accounting
from twin.accounting.runs import Request, compute_accounting, run_accounting
from twin.accounting.stated import StatedFileError, parse_stated
from twin.errors import NotFoundError, RefusedError, UnreadableError
from twin.evaluations import Verdict, iter_evaluations
from twin.instants import NS_PER_S, parse_instant
from twin.leaks.windows import Window
from twin.readings import Quantity

Facts = Mapping[str, tuple[float, str, float]]
StatedText = Callable[..., bytes]
NOW_NS = parse_instant("2018-06-02T00:00:00Z")
STORED_M3 = math.pi * 25.0  # a tank of 10 m across, up 1 m


@pytest.fixture
def drawn(
    journal: Ledger,
    metered: None,  # noqa: ARG001 - what it records
    day: Window,
    stated_text: StatedText,
    usual: Facts,
) -> Callable[..., Accounting]:
    """Draw and record the balance of the day, with some facts changed or (None) taken out."""

    def made(head: str = "", zone: str | None = None, **changed: object) -> Accounting:
        facts = {name: fact for name, fact in {**usual, **changed}.items() if fact is not None}
        stated = parse_stated(stated_text(head, **facts), "facts.toml")
        return run_accounting(journal, Request("small", day, zone, stated), lambda: NOW_NS)

    return made


def known(amount: Amount | None) -> Amount:
    assert amount is not None
    return amount


def codes(found: Accounting) -> set[str]:
    return {one.code for one in found.findings}


def test_a_day_worked_by_hand(drawn: Callable[..., Accounting]) -> None:
    found = drawn()
    lines = {line: known(amount) for line, amount in found.lines.items()}
    assert lines[Line.INFLOW].value == pytest.approx(864.0)  # 10 L/s
    assert lines[Line.INFLOW].margin == pytest.approx(17.28)  # 2 %, assumed and said so
    assert lines[Line.STORAGE_RISE].value == pytest.approx(STORED_M3)
    assert lines[Line.SYSTEM_INPUT].value == pytest.approx(864.0 - STORED_M3)
    assert lines[Line.BILLED].value == pytest.approx(620.0)
    assert lines[Line.UNBILLED].value == pytest.approx(5.0)
    assert lines[Line.METERING].value == pytest.approx(600 / 49)
    real = 864.0 - STORED_M3 - 625.0 - 4.0 - 600 / 49
    assert lines[Line.REAL].value == pytest.approx(real)
    assert {"assumed-flow-meter-error", "assumed-level-error"} <= codes(found)


def test_the_night_worked_by_hand(drawn: Callable[..., Accounting]) -> None:
    night = drawn().night
    assert known(night.minimum_night_flow_m3s).value == pytest.approx(0.010 - STORED_M3 / 86_400)
    assert known(night.legitimate_use_m3s).value == pytest.approx(0.002)  # 4,000 × 1.8 L/h
    assert known(night.night_day_factor_h).value == pytest.approx(5 + 19 * 0.8)
    per_day = known(night.night_leakage_m3s).value * 20.2 * 3_600
    assert known(night.leakage_m3_per_day).value == pytest.approx(per_day)
    assert "02:00 to 04:00 local time" in night.method
    assert "who says pressure_exponent_n1" in night.method


def test_rate_and_ili_follow_from_the_balance(drawn: Callable[..., Accounting]) -> None:
    found = drawn()
    supplied = known(found.lines[Line.SYSTEM_INPUT]).value
    gross = (1 - 625.0 / supplied) * 100
    assert known(found.cjj.gross_percent).value == pytest.approx(gross)
    assert found.cjj.corrections_percent["R1"] == pytest.approx(5.6)
    assert found.cjj.corrections_percent["R3"] == 0.5  # 4 bar are 0.4 MPa
    assert not found.cjj.is_whole_year
    assert "cjj92-no-year" in codes(found)
    hours = (5 * 4 * 50 + 19 * 4 * 40) / 96
    uarl = (18 * 100 + 0.8 * 4_000) * hours / 1_000
    assert known(found.ili.uarl_m3_per_day).value == pytest.approx(uarl, rel=1e-2)
    losses = known(found.lines[Line.REAL]).value
    expected = losses / known(found.ili.uarl_m3_per_day).value
    assert known(found.ili.ili).value == pytest.approx(expected)


def test_what_is_recorded_comes_back_whole_and_is_proved(
    drawn: Callable[..., Accounting], journal: Ledger
) -> None:
    found = drawn()
    assert load_balance(journal, found.balance_id) == found
    place = found.evidence
    assert place is not None
    text = proof_of(journal, place)
    verified = verify_text(text, [Ed25519Verifier(journal.key_line)])
    assert (verified.height, verified.index) == (place.height, place.index)


def test_every_reading_that_is_named_is_where_it_says(
    drawn: Callable[..., Accounting], journal: Ledger
) -> None:
    found = drawn()
    read = [one.evidence for one in found.all_inputs if one.evidence is not None]
    assert {one.tag for one in read} >= {"link:TRUNK.flow", "node:T.level", "node:A.pressure"}
    series = {one.tag: one for one in journal.series("small")}
    for one in read:
        column = journal.column(series[one.tag], one.from_ns, one.to_ns)
        assert len(column) == one.n_readings
        assert (column.height[0], column.leaf_index[0]) == (one.first.height, one.first.index)


def test_running_again_says_the_same_and_records_nothing(
    drawn: Callable[..., Accounting], journal: Ledger
) -> None:
    first = drawn()
    height = journal.height
    assert drawn() == first
    assert journal.height == height
    other = drawn(billed_metered=(601.0, "m3", 2.0))
    assert other.balance_id != first.balance_id
    assert [one.balance_id for one in iter_balances(journal)] == [
        first.balance_id,
        other.balance_id,
    ]


def test_the_files_that_told_are_kept(drawn: Callable[..., Accounting], journal: Ledger) -> None:
    basis = drawn().basis
    assert b"billed_metered" in journal.file(basis.stated_sha256)
    assert b"CJJ92-2016" in journal.file(basis.standard_sha256)


def test_a_rate_of_a_day_is_an_evaluation_that_is_not_judged(
    drawn: Callable[..., Accounting], journal: Ledger
) -> None:
    found = drawn()
    (verdict,) = [one for one in iter_evaluations(journal) if one.rule.id == "cjj92-leakage-rate"]
    assert verdict.verdict is Verdict.NOT_JUDGED
    assert verdict.missing == ("a period of one year",)
    assert verdict.value == known(found.cjj.rate_percent).value
    assert verdict.standard is not None
    assert verdict.standard.file_sha256 == found.basis.standard_sha256
    assert verdict.n_inputs > 300
    assert found.balance_id in verdict.note


@pytest.mark.parametrize(
    ("taken", "code", "unknown"),
    [
        ("billed_metered", "customers-not-metered", Line.BILLED),
        ("unbilled_unmetered", "not-stated", Line.LOSSES),
        ("unauthorised_consumption", "not-stated", Line.REAL),
        ("meter_under_registration", "not-stated", Line.APPARENT),
    ],
)
def test_what_nobody_stated_is_a_finding_and_its_sums_are_not_known(
    drawn: Callable[..., Accounting], taken: str, code: str, unknown: Line
) -> None:
    found = drawn(**{taken: None})
    assert code in codes(found)
    assert found.lines[unknown] is None
    assert found.lines[Line.REAL] is None
    assert found.ili.ili is None
    assert found.lines[Line.SYSTEM_INPUT] is not None


@pytest.mark.parametrize(
    ("taken", "code"),
    [
        ("night_use_per_connection", "night-use-not-known"),
        ("household_metered_share", "cjj92-not-stated"),
        ("connections", "uarl-not-stated"),
    ],
)
def test_what_an_indicator_lacks_is_a_finding(
    drawn: Callable[..., Accounting], taken: str, code: str
) -> None:
    found = drawn(**{taken: None})
    assert code in codes(found)
    assert known(found.lines[Line.REAL])


def test_a_system_too_small_for_uarl_gets_none(drawn: Callable[..., Accounting]) -> None:
    found = drawn(connections=(900.0, "1", 0.0))
    assert {"uarl-small", "uarl-density"} <= codes(found)
    assert found.ili.uarl_m3_per_day is None
    assert found.ili.ili is None


def test_losses_below_zero_are_said_to_be_wrong(drawn: Callable[..., Accounting]) -> None:
    found = drawn(billed_metered=(900.0, "m3", 2.0))
    assert {"negative-losses", "ili-not-known"} <= codes(found)


def test_a_network_without_readings_has_findings_and_no_numbers(
    journal: Ledger, day: Window
) -> None:
    found = compute_accounting(journal, Request("small", day), lambda: NOW_NS)
    assert {"boundary-not-metered", "tank-not-metered", "night-not-metered"} <= codes(found)
    assert all(amount is None for amount in found.lines.values())
    assert found.night.minimum_night_flow_m3s is None


def test_a_meter_that_was_silent_for_hours_is_not_filled_in(
    journal: Ledger, read_in: Callable[..., None], ticks: list[int], day: Window
) -> None:
    read_in("link:TRUNK", Quantity.FLOW, [*ticks[:30], *ticks[45:]], 0.01)
    read_in("node:T", Quantity.LEVEL, ticks, 3.0)
    found = compute_accounting(journal, Request("small", day), lambda: NOW_NS)
    assert found.lines[Line.INFLOW] is None
    missing = [one.message for one in found.findings if one.code == "readings-missing"]
    assert missing == ["link:TRUNK.flow at link:TRUNK: no good reading for 4.0 h"]
    assert len([one for one in found.night.nights if one.net_inflow_m3s is not None]) == 1


def test_a_short_gap_is_bridged_with_a_margin_as_large_as_itself(
    journal: Ledger, read_in: Callable[..., None], ticks: list[int], day: Window
) -> None:
    read_in("link:TRUNK", Quantity.FLOW, [*ticks[:40], *ticks[44:]], 0.01)
    found = compute_accounting(journal, Request("small", day), lambda: NOW_NS)
    inflow = known(found.lines[Line.INFLOW])
    assert inflow.value == pytest.approx(864.0)
    bridged_m3 = 0.01 * 5 * 900
    assert inflow.margin == pytest.approx(math.hypot(17.28, bridged_m3))
    assert "gaps-bridged" in codes(found)


def test_a_source_may_have_the_meter_itself(
    journal: Ledger, read_in: Callable[..., None], ticks: list[int], day: Window
) -> None:
    read_in("node:R", Quantity.DEMAND, ticks, -0.01)  # out of the network is positive
    found = compute_accounting(journal, Request("small", day), lambda: NOW_NS)
    assert known(found.lines[Line.INFLOW]).value == pytest.approx(864.0)
    assert found.basis.crossings == ("link:IN",)


@pytest.mark.usefixtures("metered")
def test_customers_are_added_up_when_all_of_them_are_metered(
    journal: Ledger, read_in: Callable[..., None], ticks: list[int], day: Window
) -> None:
    read_in("node:A", Quantity.DEMAND, ticks, 0.002)
    read_in("user:B", Quantity.DEMAND, ticks, 0.003)
    request = Request("small", day)
    before = compute_accounting(journal, request, lambda: NOW_NS)
    assert before.lines[Line.BILLED_METERED] is None  # C has none yet
    counter = 500 + np.linspace(0, 86.4, len(ticks))
    read_in("node:C", Quantity.VOLUME, ticks, counter.tolist())
    after = compute_accounting(journal, request, lambda: NOW_NS)
    use = known(after.lines[Line.BILLED_METERED])
    assert use.value == pytest.approx(518.4)  # 2 + 3 + 1 L/s
    assert use.margin == pytest.approx(0.02 * math.hypot(172.8, 259.2, 86.4))


def test_a_zone_is_cut_out_by_meters_and_closed_links(drawn: Callable[..., Accounting]) -> None:
    found = drawn(zone="C")
    assert (found.basis.n_nodes, found.basis.crossings) == (1, ("link:BC",))
    assert known(found.lines[Line.INFLOW]).value == pytest.approx(172.8)
    assert known(found.lines[Line.STORAGE_RISE]) == Amount(0.0)
    assert "closed-boundary" in codes(found)
    upstream = drawn(zone="B")
    assert set(upstream.basis.crossings) == {"link:TRUNK", "link:BC"}
    assert known(upstream.lines[Line.INFLOW]).value == pytest.approx(864.0 - 172.8)


def test_zones_add_up_to_the_network(drawn: Callable[..., Accounting]) -> None:
    parts = [known(drawn(zone=node).lines[Line.SYSTEM_INPUT]).value for node in "BC"]
    whole = known(drawn().lines[Line.SYSTEM_INPUT]).value
    assert sum(parts) == pytest.approx(whole)


def test_a_zone_may_be_listed_and_needs_meters_all_around(
    drawn: Callable[..., Accounting],
) -> None:
    found = drawn('zone = "east"\nnodes = ["B", "C"]')
    assert found.basis.zone == "east"
    assert found.lines[Line.INFLOW] is None
    named = [one.subject for one in found.findings if one.code == "boundary-not-metered"]
    assert named == ["link:AB"]


@pytest.mark.parametrize(
    ("head", "zone", "error", "said"),
    [
        ("", "R", RefusedError, "is a source"),
        ("", "Z", NotFoundError, "Z"),
        ('nodes = ["R"]', None, RefusedError, "holds a source"),
        ('nodes = ["A"]', "A", UnreadableError, "do not name a zone as well"),
    ],
)
def test_zones_that_cannot_be_are_refused(
    drawn: Callable[..., Accounting], head: str, zone: str | None, error: type, said: str
) -> None:
    with pytest.raises(error, match=said):
        drawn(head, zone)


def test_volumes_of_another_period_are_refused(
    journal: Ledger, day: Window, stated_text: StatedText
) -> None:
    stated = parse_stated(stated_text(), "facts.toml")
    later = Window(day.from_ns, day.to_ns + NS_PER_S)
    with pytest.raises(UnreadableError, match="of one period say nothing of another"):
        compute_accounting(journal, Request("small", later, None, stated), lambda: NOW_NS)


@pytest.mark.parametrize(
    ("unit", "value", "m3"),
    [("m3", 5, 5), ("L", 5_000, 5), ("ML", 0.005, 5), ("10^4 m3", 0.0005, 5)],
)
def test_volumes_are_converted_at_the_door(
    stated_text: StatedText, unit: str, value: float, m3: float
) -> None:
    stated = parse_stated(stated_text(billed_metered=(value, unit, 10)), "f.toml")
    amount = known(stated.amount("billed_metered"))
    assert (amount.value, amount.margin) == pytest.approx((m3, m3 / 10))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"zone = [", "no TOML or JSON"),
        (b"\xff", "no TOML or JSON"),
        (b"wrong = 1", "nobody knows wrong"),
        (b"", "from is a text"),
        (b"[facts.leaks]", "no fact is called 'leaks'"),
        (b'[facts.connections]\nvalue = 1\nunit = "km"', "unit 'km' does not fit; write 1"),
        (b'[facts.connections]\nvalue = "1"\nunit = "1"', "value is a number"),
        (b'[facts.connections]\nvalue = nan\nunit = "1"', "value is a number"),
        (b'[facts.connections]\nvalue = -1\nunit = "1"', "below 0"),
        (b'[facts.connections]\nvalue = 1\nunit = "1"', "either margin"),
        (b'[facts.connections]\nvalue = 1\nunit = "1"\nmargin = 0', "source is a text"),
        (b'[facts.connections]\nvalue = 1\nunit = "1"\nmargin = -1', "0 or more"),
        (b"[price]\nper_m3 = 1", "price has"),
        (b"nodes = [1]", "nodes is a list"),
    ],
)
def test_a_file_of_facts_is_read_in_one_spelling(text: bytes, said: str) -> None:
    ends = b'from = "2018-01-08T00:00:00Z"\nto = "2018-01-09T00:00:00Z"\n' if text else b""
    with pytest.raises(StatedFileError, match=said):
        parse_stated(ends + text, "mine.toml")


def test_the_same_facts_may_come_as_json() -> None:
    fact = {"value": 3, "unit": "1", "margin": 0, "source": "x"}
    ends = {"from": "2018-01-08T00:00:00Z", "to": "2018-01-09T00:00:00Z"}
    stated = parse_stated(json.dumps({**ends, "facts": {"connections": fact}}).encode(), "f.json")
    assert known(stated.amount("connections")) == Amount(3.0)


def test_nights_are_local_and_leave_out_the_one_that_a_clock_change_cuts() -> None:
    march = Window(parse_instant("2018-03-23T00:00:00Z"), parse_instant("2018-03-27T00:00:00Z"))
    found = local_nights(march, "Europe/Berlin", parse_night("02:00-04:00"))
    assert [one.from_ns for one in found] == [
        parse_instant("2018-03-23T02:00:00+01:00"),
        parse_instant("2018-03-24T02:00:00+01:00"),
        parse_instant("2018-03-26T02:00:00+02:00"),
    ]


@pytest.mark.parametrize(
    "text", ["2-4", "04:00-02:00", "02:00-02:00", "02:10-04:00", "24:00-25:00"]
)
def test_a_night_is_spelled_one_way(text: str) -> None:
    with pytest.raises(UnreadableError, match="02:00-04:00"):
        parse_night(text)


def test_a_balance_that_nobody_recorded_is_not_found(journal: Ledger) -> None:
    with pytest.raises(NotFoundError, match="balance-0"):
        load_balance(journal, "balance-0")


def test_a_year_is_judged(
    journal: Ledger, read_in: Callable[..., None], stated_text: StatedText, usual: Facts
) -> None:
    begin = parse_instant("2018-01-08T00:00:00+01:00")
    year = Window(begin, begin + 365 * 86_400 * NS_PER_S)
    times = list(range(year.from_ns, year.to_ns + 1, 7_200 * NS_PER_S))
    read_in("node:T", Quantity.LEVEL, times, 3.0)
    facts = {**usual, "inflow": (365_000.0, "m3", 2.0), "billed_metered": (330.0, "ML", 1.0)}
    text = stated_text(**facts).replace(b"2018-01-09", b"2019-01-08")
    request = Request("small", year, None, parse_stated(text, "f.toml"))
    found = run_accounting(journal, request, lambda: NOW_NS)
    assert found.cjj.is_whole_year
    assert found.cjj.grade == 1
    (verdict,) = iter_evaluations(journal)
    assert verdict.verdict is Verdict.MET
    assert replace(found, evidence=None).night.minimum_night_flow_m3s is None
