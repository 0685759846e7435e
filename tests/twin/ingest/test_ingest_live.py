"""The buffer between a live source and the record."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import pytest

from twin.events import EventKind
from twin.ingest.live import Arrival, Buffer, dropped_readings
from twin.tags import Intake

OpenIntake = Callable[..., Intake]

BAR_M = 100_000 / 9806.65
AT = 1_700_000_000 * 10**9


def test_what_arrives_is_delivered_in_order_and_in_stored_units(intake_of: OpenIntake) -> None:
    buffer = Buffer(intake_of(), size=10)
    buffer.put(Arrival(1, AT + 1, 2.0, 0))
    buffer.put(Arrival(0, AT, 5.0, 8))
    delivery = buffer.take()
    assert delivery.batch.series_index.tolist() == [1, 0]
    assert delivery.batch.time_ns.tolist() == [AT + 1, AT]
    assert delivery.batch.value.tolist() == pytest.approx([2 * BAR_M, 5.0])
    assert delivery.batch.quality.tolist() == [0, 8]
    assert delivery.line.tolist() == [0, 0]
    assert buffer.is_empty


def test_a_full_buffer_drops_the_newest_and_counts_it_by_tag(intake_of: OpenIntake) -> None:
    buffer = Buffer(intake_of(), size=2)
    for i, series_index in enumerate((0, 1, 1, 0, 1)):
        buffer.put(Arrival(series_index, AT + i, float(i), 0))
    assert buffer.take_drops() == {"n1": 1, "n4": 2}
    assert buffer.take_drops() == {}
    assert buffer.take().batch.time_ns.tolist() == [AT, AT + 1]


def test_nothing_and_infinity_are_not_recorded_and_both_are_counted(intake_of: OpenIntake) -> None:
    buffer = Buffer(intake_of(), size=10)
    for value in (math.nan, math.inf, 1.0):
        buffer.put(Arrival(0, AT, value, 0))
    buffer.reject("time-missing", "n1", "the value has no usable time")
    delivery = buffer.take()
    assert (len(delivery.batch), delivery.n_gaps) == (1, 1)
    assert delivery.rejected.counts == {"value-infinite": 1, "time-missing": 1}


def test_an_empty_buffer_delivers_an_empty_batch(intake_of: OpenIntake) -> None:
    delivery = Buffer(intake_of(), size=1).take()
    assert (len(delivery.batch), delivery.n_gaps, delivery.rejected.total) == (0, 0, 0)


def test_drops_are_an_event_of_the_source() -> None:
    event = dropped_readings("net", "opc.tcp://plant:4840", AT, Counter({"b": 2, "a": 1}))
    assert (event.kind, event.subject, event.at_ns) == (
        EventKind.SOURCE_GAP,
        "opc.tcp://plant:4840",
        AT,
    )
    assert event.body == {"reason": "dropped", "dropped": {"a": 1, "b": 2}}
