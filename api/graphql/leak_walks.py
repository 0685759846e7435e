"""What a crew and a manager need of a leak run: streets to walk, how sure, and what a day costs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import strawberry

from api.graphql.context import Context
from api.report import words
from twin.accounting.money import CostPerDay, Price
from twin.leaks.losses import Range, flow_range_m3s, leak_cost_per_day, volume_per_day_m3
from twin.leaks.placed import PlacedLeak
from twin.leaks.records import LeakRun
from twin.leaks.walking import Street, streets_to_walk
from twin.networks import load_model, load_network


@strawberry.type(description="Pipes that a crew walks in one go; never one pipe to dig at.")
class LeakStreet:
    """One street of the walk."""

    rank: int = strawberry.field(description="Which it is in the walk, from 1.")
    leak: int = strawberry.field(description="Which leak it is walked for, from 1.")
    pipe_ids: list[str] = strawberry.field(description="EPANET ids in the order of walking.")
    start_node: str = strawberry.field(description="Where to begin.")
    end_node: str
    length_m: float
    probability: float = strawberry.field(description="That the leak is on it, 0 to 1.")
    likelihood: str = strawberry.field(description="The same as a calibrated word (IPCC 2010).")
    reached: float = strawberry.field(description="The same of it and all streets before.")
    walked_m: float = strawberry.field(description="Metres of it and all streets before.")
    way_there_m: float | None = strawberry.field(
        description="Along pipes from the end of the street before; null where nothing leads there."
    )


@strawberry.type(description="A flow with its 90 % range.")
class FlowRange:
    """An outflow."""

    low_m3s: float
    likely_m3s: float
    high_m3s: float


@strawberry.type(description="A volume a day with its 90 % range.")
class VolumePerDay:
    """What is lost in a day."""

    low_m3: float
    likely_m3: float
    high_m3: float


@strawberry.type(description="What lost water costs a day, in the currency of the price.")
class LeakCostPerDay:
    """Money lost in a day, with its 90 % range."""

    low: float
    likely: float
    high: float
    price_per_m3: float
    currency: str
    price_source: str


def walk_of(
    context: Context, run: LeakRun, leaks: Sequence[PlacedLeak], first: int
) -> list[LeakStreet]:
    """Return the first streets of the walk for some of a run's leaks."""
    record = context.record()
    model = load_model(record, load_network(record, run.network))
    return [_street(one) for one in streets_to_walk(leaks, model)[:first]]


def flow_of(run: LeakRun) -> FlowRange:
    """Return the outflow."""
    found: Range = flow_range_m3s(run)
    return FlowRange(low_m3s=found.low, likely_m3s=found.likely, high_m3s=found.high)


def volume_of(run: LeakRun) -> VolumePerDay:
    """Return what is lost in a day."""
    found: Range = volume_per_day_m3(flow_range_m3s(run))
    return VolumePerDay(low_m3=found.low, likely_m3=found.likely, high_m3=found.high)


def cost_of(run: LeakRun, price: Price) -> LeakCostPerDay:
    """Return what that costs."""
    found: CostPerDay = leak_cost_per_day(flow_range_m3s(run), price)
    return LeakCostPerDay(
        low=found.low,
        likely=found.likely,
        high=found.high,
        price_per_m3=price.per_m3,
        currency=price.currency,
        price_source=price.source,
    )


def said_of(run: LeakRun) -> str:
    """Return how sure the run is, doubts first, and what the readings say for one leak."""
    if run.is_more_than_one:
        return words.run_sentence(run)
    return f"{words.run_sentence(run)} The readings are {words.evidence_word(run)} evidence of it."


def _street(one: Street) -> LeakStreet:
    return LeakStreet(
        rank=one.rank,
        leak=one.leak,
        pipe_ids=[pipe.pipe_id for pipe in one.pipes],
        start_node=one.start_node,
        end_node=one.end_node,
        length_m=one.length_m,
        probability=one.probability,
        likelihood=words.likelihood(one.probability),
        reached=one.reached,
        walked_m=one.walked_m,
        way_there_m=one.way_there_m if math.isfinite(one.way_there_m) else None,
    )
