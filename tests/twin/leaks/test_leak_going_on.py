"""Readings that go on: the same as if all had been gathered at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from ledger.journal import Ledger
from twin.assets import Network
from twin.leaks.gathering import Gathered, gather
from twin.leaks.going_on import joined
from twin.leaks.windows import Window
from twin.networks import load_model, load_network
from twin.readings import Quantity

Between = Callable[[str, str], Window]
TABLES = ("model_time_s", "is_reference", "pressure_m", "tank_level_m", "flow_m3s", "demand_m3s")


@pytest.fixture
def gathered(
    journal: Ledger, read_in: Callable[..., None], ticks: Callable[..., list[int]]
) -> Callable[..., Gathered]:
    """Gather a window of ten days with two pressures, a level, a flow and a user's meter."""
    model = load_model(journal, load_network(journal, "block"))
    times = ticks("01-05T00:02", 240, 3_600)
    values = np.arange(240.0)
    read_in("P1", "node:J11", times, 30 + values / 100)
    read_in("P2", "node:J22", times[:200], 40 + values[:200] / 100)
    read_in("L", "node:T1", times, 3 + values / 1_000, Quantity.LEVEL)
    read_in("Q", "link:IN", times, 0.01 + values / 10_000, Quantity.FLOW)
    read_in("D", "node:J00", times, values / 100_000, Quantity.DEMAND)

    def of(window: Window, like: Gathered | None = None, **changes: object) -> Gathered:
        network: Network = replace(load_network(journal, "block"), **changes)  # type: ignore[arg-type]
        return gather(journal, network, model, window, None, like=like)

    return of


def assert_same(one: Gathered, other: Gathered) -> None:
    assert one.at_ns.tolist() == other.at_ns.tolist()
    for name in TABLES:
        a, b = getattr(one.measurements, name), getattr(other.measurements, name)
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("border", ["01-06T00:00", "01-09T13:00", "01-14T05:00"])
@pytest.mark.parametrize("is_model_start_given", [True, False])
def test_two_parts_joined_are_what_is_gathered_at_once(
    gathered: Callable[..., Gathered], window: Between, border: str, *, is_model_start_given: bool
) -> None:
    changes = {"is_model_start_given": is_model_start_given}
    whole = gathered(window("01-05T00:00", "01-15T00:00"), **changes)
    first = gathered(window("01-05T00:00", border), **changes)
    rest = gathered(window(border, "01-15T00:00"), first, **changes)
    assert_same(joined(first, rest), whole)


def test_what_is_gathered_again_takes_the_place_of_what_was_there(
    gathered: Callable[..., Gathered], window: Between
) -> None:
    whole = gathered(window("01-05T00:00", "01-15T00:00"))
    first = gathered(window("01-05T00:00", "01-10T00:00"))
    again = gathered(window("01-09T00:00", "01-15T00:00"), first)
    assert_same(joined(first, again), whole)


def test_an_instrument_that_is_silent_now_has_no_values_and_a_new_one_is_left_out(
    gathered: Callable[..., Gathered],
    window: Between,
    read_in: Callable[..., None],
    ticks: Callable[..., list[int]],
) -> None:
    first = gathered(window("01-05T00:00", "01-14T00:00"))
    read_in("A", "node:J01", ticks("01-14T00:02", 24, 3_600), [20.0] * 24)
    found = joined(first, gathered(window("01-14T00:00", "01-15T00:00"), first))
    assert [one.tag for one in found.pressure_series] == ["P1", "P2"]
    last = found.measurements.pressure_m[-24:]
    assert np.isfinite(last[:, 0]).all()
    assert np.isnan(last[:, 1]).all()


def test_a_faster_sensor_does_not_change_the_grid_that_is_gone_on_with(
    gathered: Callable[..., Gathered],
    window: Between,
    read_in: Callable[..., None],
    ticks: Callable[..., list[int]],
) -> None:
    first = gathered(window("01-05T00:00", "01-14T00:00"))
    for tag, node in (("A", "J01"), ("B", "J02"), ("C", "J10")):
        read_in(tag, f"node:{node}", ticks("01-14T00:00", 288, 300), [20.0] * 288)
    rest = gathered(window("01-14T00:00", "01-15T00:00"), first)
    assert rest.raster == first.raster
    assert set(np.diff(joined(first, rest).at_ns).tolist()) == {3_600_000_000_000}
