from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from hydraulics.network import NetworkModel
from ledger.journal import Ledger
from twin.assets import Network
from twin.errors import RefusedError
from twin.instants import NS_PER_S
from twin.leaks.gathering import Gathered, common_step_ns, gather
from twin.leaks.windows import NoReadingsError, Window
from twin.networks import load_model, load_network
from twin.readings import Origin, Quantity, Status, quality_code

Between = Callable[[str, str], Window]
Ticks = Callable[..., list[int]]
ReadIn = Callable[..., None]


@pytest.fixture
def network(journal: Ledger) -> Network:
    return load_network(journal, "block")


@pytest.fixture
def model(journal: Ledger, network: Network) -> NetworkModel:
    return load_model(journal, network)


@pytest.fixture
def seen(journal: Ledger, network: Network, model: NetworkModel) -> Callable[..., Gathered]:
    """Gather a window, with changes of the network such as `time_zone="Asia/Nicosia"`."""

    def gathered(
        window: Window, reference: Window | None = None, **changes: str | bool
    ) -> Gathered:
        return gather(journal, replace(network, **changes), model, window, reference)

    return gathered


def test_both_windows_stand_one_after_the_other_reference_first(
    seen: Callable[..., Gathered], read_in: ReadIn, ticks: Ticks, window: Between
) -> None:
    read_in("P1", "node:J11", ticks("01-02T00:00", 4) + ticks("01-08T00:00", 3), range(7))
    found = seen(window("01-08T00:00", "01-09T00:00"), window("01-02T00:00", "01-03T00:00"))
    assert found.measurements.is_reference.tolist() == [True] * 4 + [False] * 3
    assert found.measurements.pressure_m[:, 0].tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert found.at_ns.tolist() == ticks("01-02T00:00", 4) + ticks("01-08T00:00", 3)


def test_model_time_is_the_local_clock_since_model_start(
    seen: Callable[..., Gathered], read_in: ReadIn, ticks: Ticks, window: Between
) -> None:
    read_in("P1", "node:J11", ticks("01-02T06:00", 2), [1, 2])
    found = seen(window("01-02T00:00", "01-03T00:00"))
    assert found.measurements.model_time_s.tolist() == [30 * 3600, 30 * 3600 + 300]


def test_a_missing_reading_is_nan_and_other_sensors_keep_the_row(
    seen: Callable[..., Gathered], read_in: ReadIn, ticks: Ticks, window: Between
) -> None:
    times = ticks("01-08T00:00", 4)
    read_in("P1", "node:J11", times, [1, 2, 3, 4])
    read_in("P2", "node:J22", [times[0], times[2], times[3]], [5, 6, 7])
    table = seen(window("01-08T00:00", "01-09T00:00")).measurements.pressure_m
    assert np.array_equal(table, [[1, 5], [2, np.nan], [3, 6], [4, 7]], equal_nan=True)


def test_a_time_that_no_sensor_saw_is_no_row(
    seen: Callable[..., Gathered], read_in: ReadIn, ticks: Ticks, window: Between
) -> None:
    times = ticks("01-08T00:00", 3) + ticks("01-08T09:00", 2)
    read_in("P1", "node:J11", times, range(5))
    assert seen(window("01-08T00:00", "01-09T00:00")).at_ns.tolist() == times


def test_readings_of_bad_quality_are_dropped_and_counted(
    seen: Callable[..., Gathered], read_in: ReadIn, ticks: Ticks, window: Between
) -> None:
    bad = quality_code(Status.BAD, Origin.MANUAL)
    doubtful = quality_code(Status.UNCERTAIN)
    times = ticks("01-08T00:00", 3)
    read_in("P1", "node:J11", times, [1, 2, 3], quality=[0, bad, doubtful])
    read_in("P2", "node:J22", times, [4, 5, 6])
    found = seen(window("01-08T00:00", "01-09T00:00"))
    assert np.array_equal(found.measurements.pressure_m[:, 0], [1, np.nan, 3], equal_nan=True)
    (left_out,) = found.left_out
    assert (left_out.tag, left_out.n_times, left_out.is_whole) == ("P1", 1, False)
    assert found.n_readings == 5


def test_a_sensor_with_only_bad_readings_is_left_out_whole(
    seen: Callable[..., Gathered], read_in: ReadIn, ticks: Ticks, window: Between
) -> None:
    times = ticks("01-08T00:00", 3)
    read_in("P1", "node:J11", times, [1, 2, 3])
    read_in("P2", "node:J22", times, [4, 5, 6], quality=quality_code(Status.BAD))
    found = seen(window("01-08T00:00", "01-09T00:00"))
    assert [series.tag for series in found.pressure_series] == ["P1"]
    assert [(one.tag, one.is_whole) for one in found.left_out] == [("P2", False), ("P2", True)]


def test_readings_off_the_round_minute_keep_their_own_grid(
    seen: Callable[..., Gathered], read_in: ReadIn, ticks: Ticks, window: Between
) -> None:
    times = ticks("01-08T00:00", 5, offset_s=17.0)
    read_in("P1", "node:J11", times, range(5))
    assert seen(window("01-08T00:00", "01-09T00:00")).at_ns.tolist() == times


def test_times_that_scatter_about_the_round_ones_make_rows_at_the_round_ones(
    seen: Callable[..., Gathered], read_in: ReadIn, ticks: Ticks, window: Between
) -> None:
    round_ns = ticks("01-08T01:00", 5)
    late_s = (-7, -7, 3, 9, 12)  # most are early: rows seven seconds early would be of hour 0
    times = [t + s * NS_PER_S for t, s in zip(round_ns, late_s, strict=True)]
    read_in("P1", "node:J11", times, range(5))
    assert seen(window("01-08T00:00", "01-09T00:00")).at_ns.tolist() == round_ns


def test_two_sensors_a_minute_apart_meet_in_one_row(
    seen: Callable[..., Gathered], read_in: ReadIn, ticks: Ticks, window: Between
) -> None:
    read_in("P1", "node:J11", ticks("01-08T00:00", 4), range(4))
    read_in("P2", "node:J22", ticks("01-08T00:00", 3, offset_s=60.0), [7, 8, 9])
    table = seen(window("01-08T00:00", "01-09T00:00")).measurements.pressure_m
    assert np.array_equal(table[:, 1], [7, 8, 9, np.nan], equal_nan=True)


def test_a_faster_sensor_is_averaged_over_each_step(
    seen: Callable[..., Gathered], read_in: ReadIn, ticks: Ticks, window: Between
) -> None:
    for name in ("P1", "P2"):
        read_in(name, "node:J11", ticks("01-08T00:00", 3), range(3))
    read_in("P3", "node:J22", ticks("01-08T00:00", 13, step_s=60), range(13))
    table = seen(window("01-08T00:00", "01-09T00:00")).measurements.pressure_m
    # The cell of 00:05 is [00:02:30, 00:07:30): minutes 3 to 7.
    assert table[:, 2].tolist() == [1.0, 5.0, 10.0]


def test_the_step_is_the_one_that_most_sensors_have() -> None:
    minutes = [np.arange(10) * 300 * NS_PER_S] * 3 + [np.arange(10) * 900 * NS_PER_S] * 2
    assert common_step_ns(minutes) == 300 * NS_PER_S


def test_a_jittering_step_is_rounded_to_the_usual_one() -> None:
    jitter = np.array([0, 2, -3, 1, 4, -2, 0, 3]) * NS_PER_S
    assert common_step_ns([np.arange(8) * 301 * NS_PER_S + jitter]) == 300 * NS_PER_S


def test_inflow_of_a_source_is_an_outflow_below_zero(
    seen: Callable[..., Gathered],
    read_in: ReadIn,
    ticks: Ticks,
    window: Between,
    model: NetworkModel,
) -> None:
    times = ticks("01-08T00:00", 2)
    read_in("P1", "node:J11", times, [40, 41])
    read_in("Q_in", "node:R1", times, [0.02, 0.03], Quantity.FLOW)
    read_in("D_use", "user:J11", times, [0.001, 0.002], Quantity.DEMAND)
    found = seen(window("01-08T00:00", "01-09T00:00")).measurements
    named = [model.node_id[i] for i in found.demand_node]
    assert named == ["J11", "R1"]
    assert found.demand_m3s.tolist() == [[0.001, -0.02], [0.002, -0.03]]


def test_levels_and_flows_of_links_set_the_boundary(
    seen: Callable[..., Gathered],
    read_in: ReadIn,
    ticks: Ticks,
    window: Between,
    model: NetworkModel,
) -> None:
    times = ticks("01-08T00:00", 2)
    read_in("P1", "node:J11", times, [40, 41])
    read_in("L_T1", "node:T1", times, [5.5, 5.6], Quantity.LEVEL)
    read_in("Q_H00", "link:H00", times, [-0.004, 0.004], Quantity.FLOW)
    found = seen(window("01-08T00:00", "01-09T00:00"))
    arrays = found.measurements
    assert model.node_id[arrays.tank_node[0]] == "T1"
    assert model.link_id[arrays.flow_link[0]] == "H00"
    assert arrays.tank_level_m[:, 0].tolist() == [5.5, 5.6]
    assert arrays.flow_m3s[:, 0].tolist() == [-0.004, 0.004]
    assert {series.tag for series in found.boundary_series} == {"L_T1", "Q_H00"}


def test_what_a_run_cannot_use_is_left_out_with_the_reason(
    seen: Callable[..., Gathered], read_in: ReadIn, ticks: Ticks, window: Between
) -> None:
    times = ticks("01-08T00:00", 2)
    read_in("P1", "node:J11", times, [40, 41])
    read_in("P_tank", "node:T1", times, [5, 5])
    read_in("P_gone", "node:GONE", times, [5, 5])
    reasons = {one.tag: one.reason for one in seen(window("01-08T00:00", "01-09T00:00")).left_out}
    assert reasons["P_tank"] == "a run cannot use the pressure of a tank"
    assert (
        reasons["P_gone"] == "a run cannot use the pressure of a node that the model does not hold"
    )


def test_chlorine_is_not_a_matter_of_a_leak_run(
    seen: Callable[..., Gathered], read_in: ReadIn, ticks: Ticks, window: Between
) -> None:
    times = ticks("01-08T00:00", 2)
    read_in("P1", "node:J11", times, [40, 41])
    read_in("C1", "node:J11", times, [0.3, 0.3], Quantity.CONCENTRATION)
    found = seen(window("01-08T00:00", "01-09T00:00"))
    assert found.left_out == ()
    assert found.n_readings == 2


def test_a_week_that_ends_goes_on_rising_where_only_the_weekday_counts(
    seen: Callable[..., Gathered], read_in: ReadIn, ticks: Ticks, window: Between
) -> None:
    read_in("P1", "node:J11", ticks("01-07T23:50", 5), range(5))
    found = seen(window("01-07T00:00", "01-09T00:00"), is_model_start_given=False)
    week_s = 7 * 86_400
    assert found.measurements.model_time_s.tolist() == [
        week_s - 600,
        week_s - 300,
        week_s,
        week_s + 300,
        week_s + 600,
    ]


def test_the_hour_that_autumn_repeats_is_left_out_once(
    seen: Callable[..., Gathered], read_in: ReadIn
) -> None:
    start_ns = 1_540_684_800 * NS_PER_S  # 2018-10-28T00:00:00Z, an hour before clocks go back
    times = [start_ns + i * 900 * NS_PER_S for i in range(12)]
    read_in("P1", "node:J11", times, range(12))
    found = seen(Window(times[0], times[-1] + 1), time_zone="Asia/Nicosia")
    assert (np.diff(found.measurements.model_time_s) > 0).all()
    assert [one.n_times for one in found.left_out] == [4]


def test_a_window_without_readings_is_refused_by_name(
    seen: Callable[..., Gathered], read_in: ReadIn, ticks: Ticks, window: Between
) -> None:
    read_in("P1", "node:J11", ticks("01-08T00:00", 3), [1, 2, 3])
    with pytest.raises(NoReadingsError, match=r"no usable pressure reading in \[2018-02-28T22:00"):
        seen(window("03-01T00:00", "03-02T00:00"))


def test_a_reference_without_readings_is_refused_by_name(
    seen: Callable[..., Gathered], read_in: ReadIn, ticks: Ticks, window: Between
) -> None:
    read_in("P1", "node:J11", ticks("01-08T00:00", 3), [1, 2, 3])
    with pytest.raises(NoReadingsError, match=r"\[2018-01-01T22:00"):
        seen(window("01-08T00:00", "01-09T00:00"), window("01-02T00:00", "01-03T00:00"))


def test_a_network_without_pressures_is_refused(
    seen: Callable[..., Gathered], window: Between
) -> None:
    with pytest.raises(RefusedError, match="ingest pressures"):
        seen(window("01-08T00:00", "01-09T00:00"))


def test_the_hash_follows_each_value_and_time_and_quality(
    seen: Callable[..., Gathered], read_in: ReadIn, ticks: Ticks, window: Between
) -> None:
    whole = window("01-08T00:00", "01-09T00:00")
    read_in("P1", "node:J11", ticks("01-08T00:00", 3), [1, 2, 3])
    before = seen(whole)
    assert seen(whole).readings_sha256 == before.readings_sha256
    read_in("P1", "node:J11", ticks("01-08T01:00", 1), [4])
    after = seen(whole)
    assert after.readings_sha256 != before.readings_sha256
    assert after.places_sha256 != before.places_sha256
