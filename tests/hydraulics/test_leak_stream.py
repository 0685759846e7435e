"""Leaks in a stream of days: calm stretches, zones, evidence, and a leak found and closed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hydraulics.epanet.reading import read_network
from hydraulics.epanet.scenario import (
    Perturbation,
    PipeLeak,
    Scenario,
    Truth,
    Watched,
    run_scenario,
)
from hydraulics.epanet.toolkit import Solver
from hydraulics.leaks.measurements import Measurements
from hydraulics.leaks.stream.alarms import CalmModel, evidence_for, highest_gains
from hydraulics.leaks.stream.book import Book, Followed, outflow_m3s
from hydraulics.leaks.stream.calm import calmest
from hydraulics.leaks.stream.evidence import Ranking, Window, middle_of, nearest_to_all, rank
from hydraulics.leaks.stream.growth import growths
from hydraulics.leaks.stream.liars import Fault, fault_of, find_liar
from hydraulics.leaks.stream.physics import Physics
from hydraulics.leaks.stream.places import Places
from hydraulics.leaks.stream.rows import Frame, day_rows
from hydraulics.leaks.stream.settings import StreamSettings
from hydraulics.leaks.stream.stream import Happening, HappeningKind, LeakStream
from hydraulics.leaks.stream.zones import Zoning, make_zones
from hydraulics.network import NetworkModel
from hydraulics.paths import distance_between_pipes_m, pipe_distances_m

LTOWN = Path(__file__).parents[2] / "data" / "networks" / "ltown" / "network.inp"
DAY_S = 86_400
N_CALM, N_DAYS = 5, 9
LEAK_DAY, REPAIR_DAY = 6, 8
N_LONG, BESIDE, BESIDE_DAY = 14, "p763", 11


@pytest.fixture(scope="module")
def ltown() -> NetworkModel:
    return read_network(LTOWN)


def test_the_calmest_stretch_lies_between_two_steps() -> None:
    draw = np.random.default_rng(3)
    residual = draw.normal(0.0, 0.01, (30, 12))
    residual[:6] += 0.2
    residual[24:] -= 0.3
    assert calmest(residual, np.full(12, 1e-4)) == range(6, 24)


def test_days_that_only_scatter_are_one_stretch() -> None:
    residual = np.random.default_rng(4).normal(0.0, 0.01, (30, 12))
    assert calmest(residual, np.full(12, 1e-4)) == range(30)


def test_an_instrument_that_was_never_read_does_not_matter() -> None:
    residual = np.random.default_rng(5).normal(0.0, 0.01, (20, 4))
    residual[:, 2] = np.nan
    residual[12:, 0] += 1.0
    assert calmest(residual, np.full(4, 1e-4)) == range(12)


def test_ltown_is_a_fed_zone_and_one_whose_users_are_metered(ltown: NetworkModel) -> None:
    seen = _nothing_read(ltown)
    with Solver(LTOWN, ltown) as solver:
        base = solver.demand_m3s(np.arange(0.0, DAY_S, 3_600.0)).mean(axis=0)
        zoning = make_zones(ltown, seen, base, solver.tank_area_m2())
    assert sorted((zone.is_fed, zone.is_metered) for zone in zoning.zones) == [
        (False, True),
        (True, False),
    ]
    assert not zoning.is_open[ltown.link_id.index("PUMP_1")]
    assert [seen.flow_link[column] for column in zoning.split] == [ltown.link_id.index("p227")]


def test_users_behind_a_tank_take_what_came_less_what_was_stored(ltown: NetworkModel) -> None:
    n_rows, came_m3s, rise_m = 48, 0.01, 0.5
    seen = _flat(_without_meters(_nothing_read(ltown)), n_rows, came_m3s, rise_m)
    with Solver(LTOWN, ltown) as solver:
        demand = solver.demand_m3s(seen.model_time_s)
        area_m2 = float(np.nanmax(solver.tank_area_m2()))
        zoning = make_zones(ltown, seen, demand.mean(axis=0), solver.tank_area_m2())
        head = solver.fixed_head_m(seen.model_time_s)
    (number,) = [k for k, zone in enumerate(zoning.zones) if zone.tanks]
    rows = day_rows(_frame(ltown, zoning), seen, np.arange(n_rows), demand, head)
    stored_m3s = rise_m * area_m2 / float(seen.model_time_s[-1])
    assert rows.intake_m3s[:, number].mean() == pytest.approx(came_m3s - stored_m3s, rel=1e-6)
    assert np.ptp(rows.intake_m3s[:, number]) > 0.0


def test_a_leak_loses_nothing_before_its_onset_nor_after_its_repair() -> None:
    leak = Followed(3, 3, onset=4, found=5, probability=0.9, flow_m3s=0.0)
    leak.take([4, 5], 1e-3)
    leak.take([6], 2e-3)
    book = Book()
    book.open.append(leak)
    book.close(leak, 9)
    assert [leak.on(day) for day in (3, 4, 5, 6, 8, 9)] == [0.0, 1e-3, 1e-3, 2e-3, 2e-3, 0.0]
    assert book.flows_on(5) == [(3, 1e-3)]
    assert book.open == []


def test_a_leak_is_steady_when_it_lost_as_much_in_one_week_as_in_the_week_before() -> None:
    steady, growing = (Followed(k, k, 0, 0, 0.9, 0.0) for k in (1, 2))
    for day in range(40):
        steady.take([day], 2e-3 + 1e-4 * (-1) ** day)
        growing.take([day], 2e-3 + 1e-4 * day)
        for leak in (steady, growing):
            leak.grow_steady(day)
        assert (steady.steady_m3s is not None) == (day >= 21)
    assert steady.steady_m3s == pytest.approx(2e-3, rel=0.02)
    assert growing.steady_m3s is None


def test_a_steady_leak_is_known_more_closely_than_one_that_may_grow() -> None:
    leak = Followed(1, 1, 0, 0, 0.9, flow_m3s=2e-3)
    may_grow_m3s = leak.spread_m3s
    leak.steady_m3s = 2e-3
    assert leak.spread_m3s < may_grow_m3s / 3.0


def test_what_leaks_lose_leaves_at_the_ends_of_their_pipes(ltown: NetworkModel) -> None:
    outflow = outflow_m3s(ltown, [(10, 2e-3), (11, 3e-3)])
    assert outflow.sum() == pytest.approx(5e-3)
    assert set(np.flatnonzero(outflow)) <= {*ltown.start[[10, 11]], *ltown.end[[10, 11]]}


def test_the_pipe_that_made_the_gap_ranks_first(ltown: NetworkModel) -> None:
    window = _window(ltown)
    pipes = np.arange(20)
    true = window.leak[:, ltown.start[7]] + window.leak[:, ltown.end[7]]
    found = rank(window.with_gap(0.5 * 4e-3 * true), ltown, pipes, n_heads=30)
    assert pipes[found.best] == 7
    assert found.flow_m3s[found.best] == pytest.approx(4e-3)


def test_a_leak_that_is_held_to_its_zone_is_placed_in_it(ltown: NetworkModel) -> None:
    window, pipes = _window(ltown), np.flatnonzero(ltown.is_pipe)
    window = window.with_gap(middle_of(window.leak, ltown, pipes[400:401])[:, 0] * 1e-3)
    places = Places(ltown, pipes, 30, StreamSettings())
    zone = np.arange(len(pipes)) < 300
    assert places.found(window, 1).ranking.best == 400
    assert places.found(window, 1, zone).ranking.best < 300


@pytest.mark.parametrize(("other_m", "called"), [(100.0, 0), (500.0, 1)])
def test_what_reaches_most_is_called_and_of_those_what_lies_amid_it(
    other_m: float, called: int
) -> None:
    # Three pipes in a row; a leak is likeliest in the first and may be in the last.
    at_m = np.array([0.0, other_m / 2.0, other_m])
    ranking = Ranking(np.array([30.0, 0.0, 26.0]), np.ones(3), 1.0, np.zeros(1))
    between_m = np.abs(at_m[:, None] - at_m)
    assert nearest_to_all(ranking, np.ones(3), between_m, 300.0, temper=3.0).pipe == called


def test_what_cannot_flow_is_no_state_to_compare_with(ltown: NetworkModel) -> None:
    seen = _flat(_without_meters(_nothing_read(ltown)), 48, came_m3s=0.05, rise_m=0.0)
    solver = Solver(LTOWN, ltown)
    try:
        times = seen.model_time_s
        base, head = solver.demand_m3s(times), solver.fixed_head_m(times)
        zoning = make_zones(ltown, seen, base.mean(axis=0), solver.tank_area_m2())
        frame = _frame(ltown, zoning)
        rows = day_rows(frame, seen, np.arange(48), base, head)
        physics = Physics(solver, frame, seen, may_be_off=False)
        nothing, much = np.zeros(ltown.n_nodes), np.zeros(ltown.n_nodes)
        much[_behind_the_pump(ltown)] = 0.1
        assert np.isfinite(physics.residual(rows, nothing)).all()
        assert np.isnan(physics.residual(rows, much)).all()
    finally:
        solver.close()


def test_a_known_leak_grew_suddenly_when_it_did_within_days() -> None:
    book = Book()
    slow, sudden, new = (
        Followed(k, k, 0, found, 1.0, 0.0) for k, found in ((1, 0), (2, 0), (3, 8))
    )
    for leak in (slow, sudden, new):
        leak.take(range(11), 2e-3)
        book.open.append(leak)
    slow.take([11, 12], 2.1e-3)
    sudden.take([11, 12], 4e-3)
    new.take([11, 12], 6e-3)
    known = growths(book, range(10, 13))
    assert [(one.leak.pipe, one.is_sudden) for one in known] == [(1, False), (2, True)]
    assert known[1].before_m3s == 2e-3
    assert known[1].mean_m3s(range(10, 13)) == pytest.approx(4e-3 / 3.0)
    assert growths(book, range(5, 13)) == []


def test_the_offset_of_one_sensor_explains_itself_better_than_any_leak(ltown: NetworkModel) -> None:
    window = _window(ltown)
    gap = np.where(window.sensor == 4, 0.3, 0.0)
    found = rank(window.with_gap(gap), ltown, np.arange(20), n_heads=30)
    assert int(found.sensor_gain.argmax()) == 4
    assert found.sensor_gain.max() > found.gain.max() + 3.0


def test_a_sensor_that_is_off_by_itself_lies(ltown: NetworkModel) -> None:
    window = _window(ltown)
    leaks = middle_of(window.leak, ltown, np.arange(20))
    gap = np.where(window.sensor == 4, 0.3, 0.0)
    liar = find_liar(window.with_gap(gap), leaks, n_heads=30, evidence=50.0)
    assert liar is not None
    assert liar.sensor == 4
    assert liar.offset_m == pytest.approx(0.3)


def test_what_a_leak_does_makes_no_liar(ltown: NetworkModel) -> None:
    window = _window(ltown)
    leaks = middle_of(window.leak, ltown, np.arange(20))
    assert find_liar(window.with_gap(5e-3 * leaks[:, 7]), leaks, n_heads=30, evidence=50.0) is None


@pytest.mark.parametrize(
    ("measured_m", "past_m", "fault"),
    [
        ([50.1, 50.1, 50.1], [0.0, 0.0, 0.0], Fault.STUCK),
        ([50.1, 50.4, 50.2], [0.0, 0.01, 0.0], Fault.OFFSET),
        ([50.1, 50.4, 50.2], [0.2, 0.24, 0.28], Fault.DRIFT),
        ([50.1, 50.4, 50.2], [np.nan, np.nan], Fault.OFFSET),
    ],
)
def test_how_a_sensor_lies_shows_in_what_it_read_before(
    measured_m: list[float], past_m: list[float], fault: Fault
) -> None:
    assert fault_of(np.array(measured_m), np.array(past_m), offset_m=0.3) is fault


def test_a_sensor_that_jumps_is_told_and_is_no_leak(
    ltown: NetworkModel, readings: Measurements
) -> None:
    kept = readings.model_time_s < readings.model_time_s[0] + LEAK_DAY * DAY_S
    off = readings.pressure_m.copy()
    off[readings.model_time_s >= readings.model_time_s[0] + (LEAK_DAY - 1) * DAY_S, 17] += 0.5
    told = _worked_through(ltown, _of_rows(replace(readings, pressure_m=off), kept))
    assert [(one.kind, one.sensor, one.fault) for one in told] == [
        (HappeningKind.SENSOR, 17, Fault.OFFSET)
    ]


def test_distances_of_all_pairs_are_those_of_single_pairs(ltown: NetworkModel) -> None:
    pipes = np.sort([ltown.link_id.index(k) for k in ("p183", "p158", "p369", "p628")])
    between_m = pipe_distances_m(ltown, pipes)
    assert np.allclose(between_m, between_m.T)
    for i, link in enumerate(pipes):
        for j, other in enumerate(pipes):
            alone_m = distance_between_pipes_m(ltown, int(link), int(other))
            assert between_m[i, j] == pytest.approx(alone_m, abs=0.1)


def test_a_leak_is_called_near_its_pipe_and_closed_when_it_is_repaired(
    ltown: NetworkModel, happenings: list[Happening]
) -> None:
    calls = [one for one in happenings if one.kind is HappeningKind.CALL]
    repairs = [one for one in happenings if one.kind is HappeningKind.REPAIRED]
    assert [one.day for one in calls] == [LEAK_DAY]
    assert [one.day for one in repairs] == [REPAIR_DAY]
    true = ltown.link_id.index("p183")
    assert distance_between_pipes_m(ltown, calls[0].link, true) <= 300.0
    assert calls[0].flow_m3s == pytest.approx(5e-3, rel=0.25)


def test_sensors_that_were_off_from_the_beginning_change_no_call(
    ltown: NetworkModel, readings: Measurements, happenings: list[Happening]
) -> None:
    kept = readings.model_time_s < readings.model_time_s[0] + (LEAK_DAY + 1) * DAY_S
    # All read 3 cm too much besides, as if a valve were set otherwise.
    offset_m = 0.03 + np.random.default_rng(7).normal(0.0, 0.05, readings.pressure_m.shape[1])
    off = replace(readings, pressure_m=readings.pressure_m + offset_m)
    told = _worked_through(ltown, _of_rows(off, kept))
    expected = [one for one in happenings if one.day <= LEAK_DAY]
    assert [(one.kind, one.day) for one in told] == [(one.kind, one.day) for one in expected]
    assert distance_between_pipes_m(ltown, told[0].link, expected[0].link) <= 150.0


def test_a_call_rests_on_nothing_later_than_itself(
    ltown: NetworkModel, readings: Measurements, happenings: list[Happening]
) -> None:
    kept = readings.model_time_s < readings.model_time_s[0] + (LEAK_DAY + 1) * DAY_S
    earlier = [one for one in happenings if one.day <= LEAK_DAY]
    assert _worked_through(ltown, _of_rows(readings, kept)) == earlier


def test_a_leak_that_runs_though_it_was_said_to_be_repaired_is_called(
    ltown: NetworkModel, readings: Measurements
) -> None:
    stream = LeakStream(LTOWN, ltown, readings)
    try:
        stream.begin()
        first = [
            one
            for day in range(stream.n_calibration, REPAIR_DAY - 1)
            for one in stream.advance(day)
        ]
        stream.told_repair(first[0].link, REPAIR_DAY - 1)
        again = stream.advance(REPAIR_DAY - 1)
    finally:
        stream.close()
    assert [one.kind for one in first] == [one.kind for one in again] == [HappeningKind.CALL]
    assert distance_between_pipes_m(ltown, first[0].link, again[0].link) <= 300.0


def test_a_leak_that_begins_near_a_known_one_is_called(
    ltown: NetworkModel, beside: list[Happening]
) -> None:
    true = [ltown.link_id.index(name) for name in ("p183", BESIDE)]
    assert [one.kind for one in beside] == [HappeningKind.CALL] * 2
    assert beside[1].day <= BESIDE_DAY + 2
    for one, link in zip(beside, true, strict=True):
        assert distance_between_pipes_m(ltown, one.link, link) <= 300.0
    assert beside[1].flow_m3s == pytest.approx(3e-3, rel=0.35)


def test_what_ended_before_noon_is_not_called(
    ltown: NetworkModel, runs: tuple[Truth, Truth]
) -> None:
    seen = _measured(ltown, runs, begins_s=LEAK_DAY * DAY_S, ends_s=(LEAK_DAY + 0.5) * DAY_S)
    kept = seen.model_time_s < (LEAK_DAY + 2) * DAY_S
    assert _worked_through(ltown, _of_rows(seen, kept)) == []


def test_years_like_those_that_set_a_threshold_pass_it_as_often_as_was_asked() -> None:
    draw = np.random.default_rng(8)
    effects = draw.normal(0.0, 10.0, (40, 60))
    calm = CalmModel(0.25 * np.eye(40), np.eye(40), (1, 2, 3, 5, 8), effects, 1e-3)
    is_near = np.abs(np.arange(60)[:, None] - np.arange(60)) <= 20
    wanted = evidence_for(highest_gains(calm, is_near, seed=1, n_years=400), np.log(2.0))
    passes = highest_gains(calm, is_near, seed=2, n_years=400) >= wanted
    assert 0.4 < passes.mean() < 0.6


def test_fewer_false_alarms_ask_for_more_evidence() -> None:
    highest = np.sort(np.random.default_rng(9).gumbel(8.0, 1.5, 200))
    wanted = [evidence_for(highest, rate) for rate in (3.0, 1.0, 0.3, 0.1, 0.01, 0.001)]
    assert wanted == sorted(wanted)
    # The tail of a Gumbel distribution is exponential: a tenth as often lies 1.5 ln 10 higher.
    assert wanted[5] - wanted[4] == pytest.approx(1.5 * np.log(10.0), rel=0.3)


@pytest.fixture(scope="module")
def runs(ltown: NetworkModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[Truth, Truth]:
    """Nine days of L-Town every quarter of an hour, with a leak of 5 L/s from one on, and without.

    Leaks stay open to the end of a run: what is mended comes from the run without one.
    """
    watched = _watched(ltown)
    scratch = tmp_path_factory.mktemp("stream")
    leak = PipeLeak("p183", 0.5, 5e-3, LEAK_DAY * DAY_S)
    with_leak, without = (
        run_scenario(LTOWN, _scenario(leaks), watched, scratch) for leaks in ((leak,), ())
    )
    return with_leak, without


@pytest.fixture(scope="module")
def beside(ltown: NetworkModel, tmp_path_factory: pytest.TempPathFactory) -> list[Happening]:
    """What is told where a leak of 3 L/s begins 380 m from one of 5 L/s that is known."""
    leaks = (
        PipeLeak("p183", 0.5, 5e-3, LEAK_DAY * DAY_S),
        PipeLeak(BESIDE, 0.5, 3e-3, BESIDE_DAY * DAY_S),
    )
    scenario = replace(_scenario(leaks), duration_s=N_LONG * DAY_S)
    run = run_scenario(LTOWN, scenario, _watched(ltown), tmp_path_factory.mktemp("beside"))
    return _worked_through(ltown, _measured(ltown, (run, run), 0.0, N_LONG * DAY_S))


@pytest.fixture(scope="module")
def readings(ltown: NetworkModel, runs: tuple[Truth, Truth]) -> Measurements:
    """Nine days, with the leak on two of them."""
    return _measured(ltown, runs, begins_s=0.0, ends_s=REPAIR_DAY * DAY_S)


def _measured(
    model: NetworkModel, runs: tuple[Truth, Truth], begins_s: float, ends_s: float
) -> Measurements:
    seen, time_s = _nothing_read(model), runs[0].time_s
    leaks = ((time_s >= begins_s) & (time_s < ends_s))[:, None]
    draw = np.random.default_rng(1)
    pressure = np.where(leaks, runs[0].pressure_m, runs[1].pressure_m)
    return replace(
        seen,
        model_time_s=time_s.astype(np.float64),
        is_reference=time_s < N_CALM * DAY_S,
        pressure_m=pressure + draw.normal(0.0, 0.01, pressure.shape),
        tank_level_m=np.where(leaks, runs[0].level_m, runs[1].level_m),
        flow_m3s=np.where(leaks, runs[0].flow_m3s, runs[1].flow_m3s),
        demand_m3s=np.full((len(time_s), 0), np.nan),
        demand_node=np.empty(0, dtype=np.int64),
    )


@pytest.fixture(scope="module")
def happenings(ltown: NetworkModel, readings: Measurements) -> list[Happening]:
    return _worked_through(ltown, readings)


def _worked_through(model: NetworkModel, seen: Measurements) -> list[Happening]:
    stream = LeakStream(LTOWN, model, seen)
    try:
        return list(_days(stream))
    finally:
        stream.close()


def _days(stream: LeakStream) -> Iterator[Happening]:
    stream.begin()
    for day in range(stream.n_calibration, stream.n_days):
        yield from stream.advance(day)


def _watched(model: NetworkModel) -> Watched:
    return Watched(
        pressure_nodes=tuple(model.node_id[n] for n in _nothing_read(model).pressure_node),
        level_tanks=("T1",),
        flow_links=("p227", "p235", "PUMP_1"),
    )


def _scenario(leaks: tuple[PipeLeak, ...]) -> Scenario:
    unsure = Perturbation(
        demand_sigma=0.1, hourly_sigma=0.05, day_sigma=0.01, roughness_half_width=0.1
    )
    return Scenario(
        model_start_s=0,
        duration_s=N_DAYS * DAY_S,
        seed=11,
        step_s=900,
        warm_up_s=0,
        leaks=leaks,
        perturbation=unsure,
    )


def _nothing_read(model: NetworkModel) -> Measurements:
    listed = (
        "n1 n4 n31 n54 n105 n114 n163 n188 n215 n229 n288 n296 n332 n342 n410 n415 n429 n458 "
        "n469 n495 n506 n516 n519 n549 n613 n636 n644 n679 n722 n726 n740 n752 n769"
    )
    names = listed.split()
    with_demand = _behind_the_pump(model)
    return Measurements(
        model_time_s=np.empty(0),
        is_reference=np.empty(0, dtype=np.bool_),
        pressure_node=np.array([model.node_id.index(name) for name in names]),
        pressure_m=np.empty((0, len(names))),
        tank_node=np.array([model.node_id.index("T1")]),
        tank_level_m=np.empty((0, 1)),
        flow_link=np.array([model.link_id.index(k) for k in ("p227", "p235", "PUMP_1")]),
        flow_m3s=np.empty((0, 3)),
        demand_node=with_demand,
        demand_m3s=np.empty((0, len(with_demand))),
    )


def _without_meters(seen: Measurements) -> Measurements:
    return replace(seen, demand_node=np.empty(0, dtype=np.int64), demand_m3s=np.empty((0, 0)))


def _flat(seen: Measurements, n_rows: int, came_m3s: float, rise_m: float) -> Measurements:
    """Return a day on which all flows stand still, but the level's first and last half hours."""
    level_m = np.where(np.arange(n_rows) < 2, 2.0, 2.0 + rise_m)[:, None]
    return replace(
        seen,
        model_time_s=np.arange(n_rows) * 1_800.0,
        is_reference=np.ones(n_rows, dtype=np.bool_),
        pressure_m=np.full((n_rows, len(seen.pressure_node)), 50.0),
        tank_level_m=level_m,
        flow_m3s=np.full((n_rows, len(seen.flow_link)), came_m3s),
        demand_m3s=np.empty((n_rows, 0)),
    )


def _frame(model: NetworkModel, zoning: Zoning) -> Frame:
    return Frame(model, zoning, row_s=3_600.0, block_s=14_400.0, shift_s=0.0)


def _behind_the_pump(model: NetworkModel) -> np.ndarray:
    """Return the users that only the tank feeds."""
    reached, grown = {model.node_id.index("T1")}, True
    pipes = [k for k in range(model.n_links) if model.link_id[k] != "PUMP_1"]
    while grown:
        more = {
            int(end)
            for k in pipes
            for one, end in ((model.start[k], model.end[k]), (model.end[k], model.start[k]))
            if int(one) in reached
        }
        grown = not more <= reached
        reached |= more
    users = [node for node in sorted(reached) if model.base_demand_m3s[node] > 0]
    return np.array(users, dtype=np.int64)


def _of_rows(seen: Measurements, kept: np.ndarray) -> Measurements:
    return replace(
        seen,
        model_time_s=seen.model_time_s[kept],
        is_reference=seen.is_reference[kept],
        pressure_m=seen.pressure_m[kept],
        tank_level_m=seen.tank_level_m[kept],
        flow_m3s=seen.flow_m3s[kept],
        demand_m3s=seen.demand_m3s[kept],
    )


def _window(model: NetworkModel) -> Window:
    draw = np.random.default_rng(2)
    n_entries = 60
    return Window(
        gap=np.zeros(n_entries),
        covariance=np.diag(np.full(n_entries, 1e-4)),
        leak=draw.normal(0.0, 10.0, (n_entries, model.n_nodes)),
        sensor=np.tile(np.arange(30), 2),
        errors=np.zeros((n_entries, 1)),
        users=np.zeros((n_entries, 1)),
        blocks=(0, 1),
    )
