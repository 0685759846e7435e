"""One series judged: known answers at the limits, hysteresis, and the law of splits."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.evaluations import Standing, Verdict
from twin.readings import Column, Origin, Quantity, Series, Status, quality_code
from twin.rules.judging import Judged, Transition, count, judge, pass_over, take
from twin.rules.pressure import ServicePressure
from twin.rules.quality import WaterQuality
from twin.rules.rule import Check, NoCheck, margins, rule_ref
from twin.standards import load_standard, parse_standard

MINUTE_NS = 60 * 10**9
T0_NS = 1_710_000_000 * 10**9
BAD = quality_code(Status.BAD)


def series(quantity: Quantity, unit: str, **more: str) -> Series:
    return Series("net", "tag", "node:a", quantity, unit, "csv", **more)


PRESSURE = series(Quantity.PRESSURE, "m")


def chlorine(point: str) -> Series:
    return series(Quantity.CONCENTRATION, "g/m3", parameter="free_chlorine", sampling_point=point)


def column(values: list[float], quality: list[int] | None = None, every: int = 5) -> Column:
    n = len(values)
    return Column(
        PRESSURE,
        T0_NS + np.arange(n, dtype=np.int64) * every * MINUTE_NS,
        np.array(values, dtype=np.float64),
        np.array(quality or [0] * n, dtype=np.uint8),
        np.full(n, 7, dtype=np.int64),
        np.arange(n, dtype=np.int64),
    )


def check_of(
    low: float | None, high: float | None = None, clear: float = 0.0, minutes: int = 0
) -> Check:
    return Check(low, high, True, clear, minutes * 60, None)


def told(transitions: tuple[Transition, ...]) -> list[tuple[str, int, int]]:
    """Return (verdict, row of the first reading, row of the deciding one)."""
    return [(t.verdict.value, t.since.ref.index, t.decided.ref.index) for t in transitions]


def chlorine_verdicts(point: str, values: list[float]) -> tuple[int, int, float | None]:
    check = WaterQuality().check_for(chlorine(point))
    assert isinstance(check, Check)
    judged = judge(column(values), check, Standing())
    return judged.n_met, judged.n_exceeded, judged.margin


@pytest.mark.parametrize(
    ("point", "value", "is_met", "margin"),
    [  # GB 5749-2022, table 2, item 40: outlet 0.3 … 2 mg/L, network end 0.05 … 2 mg/L
        ("plant_outlet", 0.3, True, 0.0),
        ("plant_outlet", 0.299, False, -0.001),
        ("plant_outlet", 2.0, True, 0.0),
        ("plant_outlet", 2.001, False, -0.001),
        ("plant_outlet", 0.5, True, 0.2),
        ("plant_outlet", 0.1, False, -0.2),
        ("network_end", 0.1, True, 0.05),
        ("network_end", 0.05, True, 0.0),
        ("network_end", 0.049, False, -0.001),
        ("network_end", 0.0, False, -0.05),
        ("network_end", 4.0, False, -2.0),  # the limit of the 2006 edition
    ],
)
def test_free_chlorine_is_judged_by_where_it_is_sampled(
    point: str,
    value: float,
    is_met: bool,  # noqa: FBT001 - the known answer
    margin: float,
) -> None:
    n_met, n_exceeded, least = chlorine_verdicts(point, [value])
    assert (n_met, n_exceeded) == ((1, 0) if is_met else (0, 1))
    assert least == pytest.approx(margin, abs=1e-12)


def test_what_must_stay_below_a_limit_exceeds_it_at_the_limit() -> None:
    strict = Check(None, 1.0, False, 0.0, 0, None)
    margin = margins(np.array([0.999, 1.0, 1.001]), strict)
    assert (margin >= 0.0).tolist() == [True, False, False]
    assert margin[1] == pytest.approx(0.0, abs=1e-300)


def test_the_rounding_of_a_unit_conversion_exceeds_nothing() -> None:
    just_below = math.nextafter(0.3, 0.0)
    assert margins(np.array([just_below]), check_of(0.3)).tolist() == [0.0]


def test_the_least_pressure_is_0_14_megapascal() -> None:
    check = ServicePressure().check_for(PRESSURE)
    assert isinstance(check, Check)
    # CJJ 58, 3.1.3; a metre of water is 9,806.65 Pa.
    assert check.low == pytest.approx(140_000 / 9_806.65, rel=1e-15)
    assert judge(column([14.3, 14.2]), check, Standing()).n_exceeded == 1


def test_bad_readings_are_counted_and_not_judged() -> None:
    quality = [0, BAD, quality_code(Status.UNCERTAIN), quality_code(Status.BAD, Origin.MANUAL)]
    judged = judge(column([20.0, 1.0, 21.0, 2.0], quality), check_of(14.0), Standing())
    assert (judged.n_met, judged.n_exceeded, judged.n_not_judged) == (2, 0, 2)
    assert judged.margin == 6.0
    assert judged.transitions == ()


def test_nothing_usable_has_no_margin() -> None:
    judged = judge(column([1.0], [BAD]), check_of(14.0), Standing())
    assert (judged.margin, judged.n_not_judged) == (None, 1)
    assert judge(column([]), check_of(14.0), Standing()) == Judged(0, 0, 0, None, (), Standing())


def test_between_limit_and_hysteresis_an_exceedance_stays_open() -> None:
    values = [20.0, 13.0, 14.5, 13.5, 14.9, 15.0, 14.1, 13.9]
    judged = judge(column(values), check_of(14.0, clear=1.0), Standing())
    assert told(judged.transitions) == [("exceeded", 1, 1), ("recovered", 1, 5), ("exceeded", 7, 7)]
    assert [t.margin for t in judged.transitions] == pytest.approx([-1.0, 1.0, -0.1])
    assert judged.transitions[1].worst_margin == pytest.approx(-1.0)
    assert judged.standing.is_open


def test_a_short_dip_is_no_exceedance() -> None:
    check = check_of(14.0, minutes=10)
    short = judge(column([20.0, 13.0, 13.0, 20.0, 13.0]), check, Standing())
    assert short.transitions == ()
    assert short.n_exceeded == 3
    long = judge(column([20.0, 13.0, 12.0, 13.0, 20.0]), check, Standing())
    assert told(long.transitions) == [("exceeded", 1, 3)]
    assert long.transitions[0].worst_margin == pytest.approx(-2.0)


def test_a_recovery_must_last_as_well() -> None:
    check = check_of(14.0, minutes=10)
    judged = judge(column([13.0] * 3 + [20.0, 20.0, 13.0] + [20.0] * 3), check, Standing())
    assert told(judged.transitions) == [("exceeded", 0, 2), ("recovered", 0, 8)]


def test_the_worst_margin_is_of_the_whole_exceedance() -> None:
    judged = judge(column([13.0, 11.0, 13.0, 20.0]), check_of(14.0), Standing())
    assert [t.worst_margin for t in judged.transitions] == pytest.approx([-1.0, -3.0])
    assert judged.standing == Standing()


def test_late_readings_are_counted_and_change_nothing() -> None:
    open_before = judge(column([13.0]), check_of(14.0), Standing()).standing
    judged = count(column([20.0, 12.0]), check_of(14.0), open_before)
    assert (judged.n_met, judged.n_exceeded, judged.transitions) == (1, 1, ())
    assert judged.standing == open_before


def test_without_a_check_every_reading_is_counted_as_not_judged() -> None:
    assert pass_over(column([1.0, 2.0]), Standing()).n_not_judged == 2


values = st.lists(
    st.sampled_from([10.0, 13.0, 13.999, 14.0, 14.5, 15.0, 20.0]), min_size=1, max_size=60
)


@given(
    values=values,
    data=st.data(),
    clear=st.sampled_from([0.0, 0.6, 1.0]),
    minutes=st.sampled_from([0, 5, 7, 20]),
)
def test_judging_in_one_go_and_in_any_split_gives_the_same(
    values: list[float], data: st.DataObject, clear: float, minutes: int
) -> None:
    quality = data.draw(
        st.lists(st.sampled_from([0, BAD]), min_size=len(values), max_size=len(values))
    )
    whole = column(values, quality)
    cuts = data.draw(st.sets(st.integers(1, max(1, len(values) - 1)), max_size=8))
    check = check_of(14.0, 19.0, clear, minutes)
    at_once = judge(whole, check, Standing())
    standing, transitions, counts = Standing(), [], np.zeros(3, dtype=int)
    edges = [0, *sorted(cuts), len(values)]
    rows = np.arange(len(values))
    for start, stop in pairwise(edges):
        part = judge(take(whole, (rows >= start) & (rows < stop)), check, standing)
        standing = part.standing
        transitions += part.transitions
        counts += [part.n_met, part.n_exceeded, part.n_not_judged]
    assert tuple(transitions) == at_once.transitions
    assert standing == at_once.standing
    assert counts.tolist() == [at_once.n_met, at_once.n_exceeded, at_once.n_not_judged]


@given(values, st.sampled_from([0.0, 1.0]), st.sampled_from([0, 10]))
def test_exceedances_and_recoveries_take_turns(
    values: list[float], clear: float, minutes: int
) -> None:
    found = judge(column(values), check_of(14.0, None, clear, minutes), Standing()).transitions
    expected = [Verdict.EXCEEDED, Verdict.RECOVERED] * len(found)
    assert [t.verdict for t in found] == expected[: len(found)]
    assert all(t.worst_margin < 0.0 for t in found)
    times = [t.decided.time_ns for t in found]
    assert times == sorted(set(times))


@pytest.mark.parametrize(
    "sampled",
    [
        series(Quantity.CONCENTRATION, "g/m3", parameter="free_chlorine"),
        series(Quantity.CONCENTRATION, "g/m3", sampling_point="network_end"),
        series(Quantity.CONCENTRATION, "g/m3", parameter="free_chlorine", sampling_point="network"),
        series(Quantity.TURBIDITY, "NTU"),
        series(Quantity.PH, "degC", sampling_point="network"),
    ],
)
def test_quality_without_its_context_is_not_judged(sampled: Series) -> None:
    found = WaterQuality().check_for(sampled)
    assert isinstance(found, NoCheck)
    assert found.missing


def test_a_rule_has_nothing_to_do_with_other_quantities() -> None:
    for quantity, unit in ((Quantity.FLOW, "m3/s"), (Quantity.LEVEL, "m")):
        assert WaterQuality().check_for(series(quantity, unit)) is None
        assert ServicePressure().check_for(series(quantity, unit)) is None
    assert ServicePressure().check_for(chlorine("network_end")) is None


def test_pressure_in_another_unit_is_not_judged() -> None:
    assert isinstance(ServicePressure().check_for(series(Quantity.PRESSURE, "bar")), NoCheck)


def test_a_range_recovers_within_itself() -> None:
    ph = series(Quantity.PH, "1", sampling_point="network")
    check = WaterQuality(clear_fraction=1.0).check_for(ph)
    assert isinstance(check, Check)
    assert check.clear_margin == pytest.approx(0.5)  # a quarter of 6.5 … 8.5


def test_the_version_changes_with_every_parameter_and_with_the_standard() -> None:
    gb5749 = load_standard()
    own = parse_standard(gb5749.content + b"#\n", "own.toml")
    versions = [
        ServicePressure().ref.version,
        ServicePressure(limit_m=15.0).ref.version,
        ServicePressure(hysteresis_m=2.0).ref.version,
        ServicePressure(min_duration_s=0).ref.version,
        ServicePressure(source="ours").ref.version,
        WaterQuality().ref.version,
        WaterQuality(criterion=own).ref.version,
        WaterQuality(clear_fraction=0.2).ref.version,
        WaterQuality(min_duration_s=60).ref.version,
    ]
    assert len(set(versions)) == len(versions)
    assert ServicePressure().ref == ServicePressure().ref


def test_the_version_of_a_rule_is_this_one_until_its_code_changes() -> None:
    # SHA-256 of {"code":1,"parameters":{"a":1.5},"rule":"r","standard":""}, by sha256sum.
    assert rule_ref("r", {"a": 1.5}).version == (
        "852b485b8842e8e47eafe204460aa57e233e6f9db7581c372260aa40c46bb7d2"
    )
