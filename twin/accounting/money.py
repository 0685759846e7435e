"""What lost water costs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from twin.errors import UnreadableError

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Price:
    """What a cubic metre of lost water is worth.

    Attributes:
        per_m3: Price [currency/m³], at least 0.
        currency: As people write it, such as `EUR` or `CNY`.
        source: Who says so, such as a tariff and its date; never empty.
    """

    per_m3: float
    currency: str
    source: str

    def __post_init__(self) -> None:
        if not (math.isfinite(self.per_m3) and self.per_m3 >= 0):
            raise UnreadableError(f"a price is 0 or more per m³, not {self.per_m3:g}")
        if not self.currency.strip():
            raise UnreadableError("a price needs its currency, such as EUR")
        if not self.source.strip():
            raise UnreadableError("a price needs its source: who says so, such as a tariff")


@dataclass(frozen=True, slots=True)
class CostPerDay:
    """What a flow costs in a day, with its range.

    Attributes:
        low: At the low end of the flow [currency/d].
        likely: At the flow itself [currency/d].
        high: At the high end [currency/d].
        price: The price that was used.
    """

    low: float
    likely: float
    high: float
    price: Price


def cost_per_day(  # noqa: PLR0913, PLR0917 - a range and its price
    flow_low_m3s: float,
    flow_m3s: float,
    flow_high_m3s: float,
    price_per_m3: float,
    currency: str,
    price_source: str,
) -> CostPerDay:
    """Return what a leak costs in a day of 86,400 s.

    Args:
        flow_low_m3s: Low end of the outflow [m³/s], at least 0.
        flow_m3s: The outflow [m³/s], from low to high.
        flow_high_m3s: High end [m³/s].
        price_per_m3: Price of a cubic metre [currency/m³], at least 0.
        currency: Such as `EUR`.
        price_source: Who says what the price is.

    Raises:
        UnreadableError: A flow or the price is negative or not finite, the flows do not rise, or
            the currency or the source is empty.
    """
    flows = (flow_low_m3s, flow_m3s, flow_high_m3s)
    if not all(map(math.isfinite, flows)) or not 0 <= flow_low_m3s <= flow_m3s <= flow_high_m3s:
        said = ", ".join(f"{flow:g}" for flow in flows)
        raise UnreadableError(f"flows must rise from 0 or more, low to high; these are {said} m³/s")
    price = Price(price_per_m3, currency, price_source)
    low, likely, high = (flow * DAY_S * price_per_m3 for flow in flows)
    return CostPerDay(low, likely, high, price)
