"""What a leak loses a day, as volume and as money."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from twin.accounting.money import DAY_S, CostPerDay, Price, cost_per_day
from twin.errors import UnreadableError
from twin.leaks.records import LeakRun


@dataclass(frozen=True, slots=True)
class Range:
    """A number with its 90 % range; what it is of says the unit."""

    low: float
    likely: float
    high: float


def price_of(per_m3: float | None, currency: str, source: str) -> Price | None:
    """Return the price of lost water, or None where none is given.

    Raises:
        UnreadableError: The price is no price, or lacks its currency, or a currency stands alone.
    """
    if per_m3 is not None:
        return Price(per_m3, currency, source)
    if currency:
        raise UnreadableError(f"a currency ({currency}) needs a price per m³")
    return None


def flow_range_m3s(run: LeakRun) -> Range:
    """Return the outflow [m³/s]: the mean over the candidates, within the run's 90 % range.

    Where more leaks than one are evident it is that of all of them, and its ends are the sums of
    theirs, which hold it with more than 90 %.
    """
    several = run.several
    if several is not None and run.is_more_than_one:
        return Range(
            sum(one.flow_low_m3s for one in several.leaks),
            sum(one.flow_m3s for one in several.leaks),
            sum(one.flow_high_m3s for one in several.leaks),
        )
    total = sum(one.probability for one in run.candidates)
    mean = sum(one.probability * one.flow_m3s for one in run.candidates) / total
    low, high = run.flow_low_m3s, run.flow_high_m3s
    return Range(low, min(max(mean, low), high), high)


def volume_per_day_m3(flow_m3s: Range) -> Range:
    """Return what is lost in a day at an outflow [m³]."""
    return Range(flow_m3s.low * DAY_S, flow_m3s.likely * DAY_S, flow_m3s.high * DAY_S)


def leak_cost_per_day(flow_m3s: Range, price: Price) -> CostPerDay:
    """Return what an outflow costs a day, in the currency of the price."""
    given = (price.per_m3, price.currency, price.source)
    return cost_per_day(flow_m3s.low, flow_m3s.likely, flow_m3s.high, *given)


def loss_document(run: LeakRun, price: Price | None) -> dict[str, object]:
    """Return what a day costs as JSON can hold it; `cost` is null without a price."""
    flow_m3s = flow_range_m3s(run)
    cost = None if price is None else asdict(leak_cost_per_day(flow_m3s, price))
    return {"volume_m3": asdict(volume_per_day_m3(flow_m3s)), "cost": cost}
