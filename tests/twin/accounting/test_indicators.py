from __future__ import annotations

import tomllib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twin.accounting.amounts import Amount
from twin.accounting.cjj92 import (
    Circumstances,
    grade_of,
    gross_rate_percent,
    leakage_rate,
    load_cjj92,
    parse_cjj92,
)
from twin.accounting.infrastructure import (
    BANDS,
    System,
    band_of,
    check_system,
    ili,
    uarl_m3_per_day,
)
from twin.accounting.nights import night_day_factor_h, night_leakage
from twin.errors import UnreadableError

FACTS = tomllib.loads(load_cjj92().content.decode())
EXAMPLE = FACTS["worked_example"]


def circumstances() -> Circumstances:
    pressure, frost = EXAMPLE["outlet_pressure_MPa"], EXAMPLE["frost_depth_m"]
    return Circumstances(EXAMPLE["r"], EXAMPLE["L_km"], pressure, frost)


def rate_of(**changed: float):  # noqa: ANN201 - the one answer
    given = {"household_metered_share": 0.0, "pipe_length_km": 693.0}
    given |= {"outlet_pressure_mpa": 0.3, "frost_depth_m": 0.0} | changed
    return leakage_rate(load_cjj92(), Amount(1e8), Amount(8.8e7), Circumstances(**given))


def test_the_worked_example_of_the_standards_file_comes_out_to_its_last_digit() -> None:
    supplied, used = Amount(EXAMPLE["Q_s"] * 1e4), Amount(EXAMPLE["Q_a"] * 1e4)
    found = leakage_rate(load_cjj92(), supplied, used, circumstances())
    assert found.gross_percent.value == pytest.approx(EXAMPLE["R_WL"], abs=1e-12)
    assert found.pipe_km_per_10000_m3 == pytest.approx(EXAMPLE["A"], abs=1e-15)
    expected = {name: EXAMPLE[name] for name in ("R1", "R2", "R3", "R4")}
    assert found.corrections_percent == pytest.approx(expected, abs=1e-12)
    assert sum(found.corrections_percent.values()) == pytest.approx(EXAMPLE["R_n"], abs=1e-12)
    assert found.rate_percent.value == pytest.approx(EXAMPLE["R_BL"], abs=1e-12)
    assert found.grade == EXAMPLE["grade"]


@pytest.mark.parametrize(
    ("changed", "name", "percent"),
    [
        ({"pipe_length_km": 0.0}, "R2", -3.0),
        ({"pipe_length_km": 5_000.0}, "R2", 3.0),
        ({"outlet_pressure_mpa": 0.35}, "R3", 0.0),
        ({"outlet_pressure_mpa": 0.36}, "R3", 0.5),
        ({"outlet_pressure_mpa": 0.55}, "R3", 0.5),
        ({"outlet_pressure_mpa": 0.75}, "R3", 1.0),
        ({"outlet_pressure_mpa": 0.76}, "R3", 2.0),
        ({"frost_depth_m": 1.4}, "R4", 0.0),
        ({"frost_depth_m": 1.5}, "R4", 1.0),
    ],
)
def test_corrections_step_and_stop_where_the_standard_says(
    changed: dict[str, float], name: str, percent: float
) -> None:
    assert rate_of(**changed).corrections_percent[name] == percent


@pytest.mark.parametrize(("rate", "grade"), [(10.0, 1), (10.01, 2), (12.0, 2), (12.01, None)])
def test_a_limit_itself_is_met(rate: float, grade: int | None) -> None:
    assert grade_of(load_cjj92(), rate) == grade


def test_the_margin_of_a_rate_is_that_of_both_volumes() -> None:
    rate = gross_rate_percent(Amount(100, 5), Amount(80, 3))
    assert rate.value == pytest.approx(20)
    assert rate.margin == pytest.approx(5.0)  # √(3² + (0.8 × 5)²) over 100


def test_a_share_over_one_and_a_year_without_supply_are_refused() -> None:
    with pytest.raises(UnreadableError, match="from 0 to 1"):
        Circumstances(1.2, 900, 0.4, 0.8)
    with pytest.raises(UnreadableError, match="above 0"):
        gross_rate_percent(Amount(0), Amount(0))


def test_a_standards_file_with_another_formula_is_refused() -> None:
    other = load_cjj92().content.replace(b"0.08 * r", b"0.09 * r")
    with pytest.raises(UnreadableError, match="R1 is not"):
        parse_cjj92(other)
    with pytest.raises(UnreadableError, match="lacks or misspells"):
        parse_cjj92(b"[meta]\n")


VECTOR = FACTS["uarl"]["test_vector"]
SYSTEM = System(VECTOR["L_m"], VECTOR["N_c"], VECTOR["L_p"], Amount(VECTOR["P"], 2))


def test_the_uarl_of_the_standards_file() -> None:
    found = uarl_m3_per_day(SYSTEM)
    assert found.value * 1_000 == pytest.approx(VECTOR["UARL_L_per_day"], rel=1e-12)
    assert found.value * 365 == pytest.approx(VECTOR["UARL_m3_per_year"], rel=1e-12)
    assert found.margin == pytest.approx(found.value * 2 / 40)


def test_the_us_formula_says_the_same_within_its_rounding() -> None:
    miles, psi, gallon_m3 = 1.609344, 1 / 0.70307, 0.003785411784
    terms = 5.41 * SYSTEM.mains_length_km / miles + 0.15 * SYSTEM.n_connections
    gallons = (terms + 7.5 * SYSTEM.service_length_km / miles) * SYSTEM.pressure_m.value * psi
    assert gallons * gallon_m3 == pytest.approx(uarl_m3_per_day(SYSTEM).value, rel=0.01)


def test_losses_of_twice_the_unavoidable_are_an_ili_of_two() -> None:
    uarl = uarl_m3_per_day(SYSTEM)
    assert ili(uarl.scaled(2.0), uarl).value == pytest.approx(2)


@pytest.mark.parametrize(
    ("value", "country", "band"),
    [
        (1.99, "developed", "A"),
        (2.0, "developed", "B"),
        (4.0, "developed", "C"),
        (8.0, "developed", "C"),
        (8.1, "developed", "D"),
        (3.9, "developing", "A"),
        (7.9, "developing", "B"),
        (16.1, "developing", "D"),
    ],
)
def test_bands(value: float, country: str, band: str) -> None:
    assert band_of(value, country) == band


def test_the_bands_are_those_of_the_file() -> None:
    for country, (b, c, d) in BANDS.items():
        said = [one[country] for one in FACTS["ili_band"]]
        assert said == [f"< {b:g}", f"{b:g}-{c:g}", f"{c:g}-{d:g}", f"> {d:g}"]


@pytest.mark.parametrize(
    ("system", "codes"),
    [
        (SYSTEM, []),
        (System(50, 2_000, 0, Amount(40)), ["uarl-small"]),
        (System(50, 2_001, 0, Amount(40)), []),
        (System(500, 30_000, 0, Amount(25)), ["uarl-pressure"]),
        (System(200, 4_000, 0, Amount(40)), ["uarl-density"]),
    ],
)
def test_uarl_is_refused_outside_of_what_it_was_published_for(
    system: System, codes: list[str]
) -> None:
    assert [one.code for one in check_system(system)] == codes


def test_a_system_without_pressure_or_mains_is_refused() -> None:
    for bad in ((0, 10, 0, 40), (10, 0, 0, 40), (10, 10, -1, 40), (10, 10, 0, 0)):
        with pytest.raises(UnreadableError):
            System(*bad[:3], Amount(bad[3]))


@settings(deadline=None)
@given(st.floats(1, 100), st.floats(0.5, 2.5))
def test_an_even_pressure_leaks_for_24_hours(pressure_m: float, n1: float) -> None:
    assert night_day_factor_h(np.full(24, pressure_m), pressure_m, n1) == pytest.approx(24)


@settings(deadline=None)
@given(st.floats(0.5, 2.4))
def test_higher_pressure_at_night_means_fewer_hours_and_a_greater_n1_yet_fewer(n1: float) -> None:
    pressure_m = np.array([50.0] * 6 + [40.0] * 18)
    factor = night_day_factor_h(pressure_m, 50.0, n1)
    assert factor < 24
    assert night_day_factor_h(pressure_m, 50.0, n1 + 0.1) < factor


def test_a_night_of_5_l_s_worked_by_hand() -> None:
    factor = night_day_factor_h(np.array([50.0] * 4 + [40.0] * 20), 50.0, 1.0)
    assert factor == pytest.approx(20)  # 4 × 1 + 20 × 0.8
    found = night_leakage([0.005], 0.0003, Amount(0.001, 0.0004), Amount(factor))
    assert found.night_leakage_m3s.value == pytest.approx(0.004)
    assert found.night_leakage_m3s.margin == pytest.approx(0.0005)  # 3-4-5
    assert found.leakage_m3_per_day is not None
    assert found.leakage_m3_per_day.value == pytest.approx(0.004 * 20 * 3_600)


def test_nights_that_differ_widen_the_margin() -> None:
    even = night_leakage([0.005, 0.005], 0.0003, Amount(0), None)
    uneven = night_leakage([0.004, 0.006], 0.0003, Amount(0), None)
    assert even.minimum_night_flow_m3s.margin < uneven.minimum_night_flow_m3s.margin
    assert even.leakage_m3_per_day is None


def test_a_day_without_pressures_and_an_odd_exponent_are_refused() -> None:
    for hours, night, n1 in ((np.full(23, 40.0), 40, 1), (np.full(24, np.nan), 40, 1)):
        with pytest.raises(UnreadableError, match="each hour"):
            night_day_factor_h(hours, night, n1)
    with pytest.raises(UnreadableError, match="N1"):
        night_day_factor_h(np.full(24, 40.0), 40, 3)
