from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twin.accounting.money import cost_per_day
from twin.errors import UnreadableError

flows = st.floats(0, 10)


def test_one_litre_a_second_at_80_cents_costs_69_euros_12_a_day() -> None:
    cost = cost_per_day(0.0005, 0.001, 0.002, 0.8, "EUR", "tariff of 2024")
    assert cost.likely == pytest.approx(69.12)  # 86.4 m³ × 0.80
    assert (cost.low, cost.high) == pytest.approx((34.56, 138.24))
    assert (cost.price.currency, cost.price.source) == ("EUR", "tariff of 2024")


@settings(deadline=None)
@given(st.tuples(flows, flows, flows), st.floats(0, 100))
def test_the_costs_rise_as_the_flows_do(given_m3s: tuple[float, ...], price: float) -> None:
    cost = cost_per_day(*sorted(given_m3s), price, "CNY", "a tariff")
    assert 0 <= cost.low <= cost.likely <= cost.high


@pytest.mark.parametrize(
    ("flows_m3s", "price", "currency", "source"),
    [
        ((-0.001, 0.001, 0.002), 1.0, "EUR", "x"),
        ((0.002, 0.001, 0.003), 1.0, "EUR", "x"),
        ((0.0, 0.001, math.inf), 1.0, "EUR", "x"),
        ((0.0, math.nan, 1.0), 1.0, "EUR", "x"),
        ((0.0, 0.0, 0.0), -1.0, "EUR", "x"),
        ((0.0, 0.0, 0.0), math.nan, "EUR", "x"),
        ((0.0, 0.0, 0.0), 1.0, " ", "x"),
        ((0.0, 0.0, 0.0), 1.0, "EUR", ""),
    ],
)
def test_a_cost_without_sense_or_source_is_refused(
    flows_m3s: tuple[float, float, float], price: float, currency: str, source: str
) -> None:
    with pytest.raises(UnreadableError):
        cost_per_day(*flows_m3s, price, currency, source)
