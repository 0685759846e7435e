"""Localization end to end: leaks that EPANET simulates, and what a run must refuse or admit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hydraulics.epanet.reading import read_network
from hydraulics.epanet.scenario import Perturbation, PipeLeak, Scenario, Watched, run_scenario
from hydraulics.leaks import check
from hydraulics.leaks.beside import effect_of
from hydraulics.leaks.check import refine
from hydraulics.leaks.detect import NoPastError, detect
from hydraulics.leaks.localize import EmptyWindowError, NoPressureError, localize
from hydraulics.leaks.measurements import KnownLeak, Localization, Measurements, zone
from hydraulics.leaks.posterior import odd_rows
from hydraulics.leaks.prepared import Leak, prepare
from hydraulics.leaks.signatures import exact
from hydraulics.network import FloatArray, LinkKind, NetworkModel, NodeKind

NETWORKS = Path(__file__).parents[2] / "data" / "networks"
NET3 = NETWORKS / "net3" / "network.inp"
LTOWN = NETWORKS / "ltown" / "network.inp"
NET3_SENSORS = ("117", "149", "161", "207", "231", "247", "35", "103")
# fmt: off
LTOWN_SENSORS = tuple(f"n{number}" for number in (
    1, 4, 31, 54, 105, 114, 163, 188, 215, 229, 288, 296, 332, 342,
    410, 415, 429, 458, 469, 495, 506, 516, 519, 549, 613, 636, 644, 679,
    722, 726, 740, 752, 769,
))
# fmt: on
DAY_S = 86_400


@dataclass
class Case:
    inp: Path
    model: NetworkModel
    seen: Measurements
    true: int


def simulated(
    inp: Path,
    sensors: tuple[str, ...],
    pipe_id: str,
    flow_m3s: float,
    scratch: Path,
    *others: PipeLeak,
) -> Case:
    """A day without a leak and a day with one, the truth perturbed, sensors with errors."""
    model = read_network(inp)
    source = model.node_kind == NodeKind.RESERVOIR
    metered = source[model.start] | source[model.end] | (model.link_kind == LinkKind.PUMP)
    links = np.flatnonzero(metered)
    tanks = np.flatnonzero(model.node_kind == NodeKind.TANK)
    watched = Watched(
        pressure_nodes=tuple(sensors),
        level_tanks=tuple(model.node_id[i] for i in tanks),
        flow_links=tuple(model.link_id[k] for k in links),
    )
    scenario = Scenario(
        model_start_s=0,
        duration_s=2 * DAY_S,
        seed=7,
        step_s=1_800,
        warm_up_s=0,
        leaks=(PipeLeak(pipe_id, 0.5, flow_m3s, DAY_S), *others),
    )
    truth = run_scenario(inp, scenario, watched, scratch)
    draw = np.random.default_rng(7)
    bias = draw.normal(0.0, 0.05, len(sensors))
    shape = truth.pressure_m.shape
    seen = Measurements(
        model_time_s=truth.time_s.astype(np.float64),
        is_reference=truth.time_s < DAY_S,
        pressure_node=np.array([model.node_id.index(name) for name in sensors]),
        pressure_m=truth.pressure_m + bias + draw.normal(0.0, 0.02, shape),
        tank_node=tanks,
        tank_level_m=truth.level_m,
        flow_link=links,
        flow_m3s=truth.flow_m3s,
        demand_node=np.empty(0, dtype=np.int64),
        demand_m3s=np.empty((len(truth.time_s), 0)),
    )
    return Case(inp, model, seen, model.link_id.index(pipe_id))


def test_a_leak_is_taken_to_lose_in_each_row_what_the_pressure_lets_out(tmp_path: Path) -> None:
    model, quiet = read_network(NET3), Perturbation(0.0, 0.0, 0.0, 0.0)
    tanks = np.flatnonzero(model.node_kind == NodeKind.TANK)
    watched = Watched(("117",), tuple(model.node_id[i] for i in tanks), ())
    leak = PipeLeak("125", 0.5, 0.005, 0)
    scenario = Scenario(0, DAY_S, 7, 1_800, 0, (leak,), quiet)
    truth = run_scenario(NET3, scenario, watched, tmp_path)
    seen = Measurements(
        model_time_s=truth.time_s.astype(np.float64),
        is_reference=np.zeros(len(truth.time_s), dtype=np.bool_),
        pressure_node=np.array([model.node_id.index("117")]),
        pressure_m=truth.pressure_m,
        tank_node=tanks,
        tank_level_m=truth.level_m,
        flow_link=np.empty(0, dtype=np.int64),
        flow_m3s=np.empty((len(truth.time_s), 0)),
        demand_node=np.empty(0, dtype=np.int64),
        demand_m3s=np.empty((len(truth.time_s), 0)),
    )
    with prepare(NET3, model, seen, doubts=False) as prepared:
        solved, link = prepared.solved, model.link_id.index("125")
        ends = [model.start[link], model.end[link]]
        found = solved.leak_factor[:, ends].mean(axis=1)
        lost = np.array([truth.leak_m3s[row.members, 0].mean() for row in solved.rows])
        n_read = [row.n_times for row in solved.rows]
    assert np.corrcoef(found, lost)[0, 1] > 0.9
    assert found == pytest.approx(lost / np.average(lost, weights=n_read), rel=0.05)


@pytest.fixture(scope="module")
def in_ltown(tmp_path_factory: pytest.TempPathFactory) -> Case:
    scratch = tmp_path_factory.mktemp("ltown")
    return simulated(LTOWN, LTOWN_SENSORS, "p461", 0.006, scratch)


@pytest.fixture(scope="module")
def in_net3(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return simulated(NET3, NET3_SENSORS, "101", 0.04, tmp_path_factory.mktemp("net3"))


@pytest.fixture(scope="module")
def found_in_net3(in_net3: Case) -> Localization:
    return localize(in_net3.inp, in_net3.model, in_net3.seen)


def test_a_leak_of_6_litres_a_second_in_ltown_is_in_a_short_zone(in_ltown: Case) -> None:
    steps: list[tuple[str, int, int]] = []
    found = localize(
        in_ltown.inp, in_ltown.model, in_ltown.seen, progress=lambda *step: steps.append(step)
    )
    zone95 = zone(found, 0.95)
    assert in_ltown.true in zone95
    assert in_ltown.model.length_m[zone95].sum() < 2_000.0
    assert found.flow_m3s[0] == pytest.approx(0.006, rel=0.3)
    assert found.evidence_ratio > 10.0
    assert all(0 <= done <= total for _, done, total in steps)


def test_places_that_hold_nothing_are_not_looked_at_and_would_not_change_the_answer(
    in_ltown: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, asked = in_ltown, list[int]()

    def counted(*given: Any) -> FloatArray:
        asked.append(len(given[-1]))
        return exact(*given)

    monkeypatch.setattr(check, "exact", counted)
    found = localize(case.inp, case.model, case.seen)
    few, asked[:] = max(asked), []
    monkeypatch.setattr(check, "_UNASKED", 0.0)
    monkeypatch.setattr(check, "_UNLIKELY", 0.0)
    of_all = localize(case.inp, case.model, case.seen)
    assert few < max(asked)
    order = np.argsort(found.link), np.argsort(of_all.link)
    moved = np.abs(found.probability[order[0]] - of_all.probability[order[1]]).sum() / 2.0
    assert moved < 0.1


def test_epanet_is_asked_at_the_likeliest_pipe_and_all_around_it(
    in_ltown: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, asked = in_ltown, set[int]()

    def noted(*given: Any) -> FloatArray:
        asked.update(given[-2].tolist())
        return exact(*given)

    monkeypatch.setattr(check, "exact", noted)
    best = localize(case.inp, case.model, case.seen).link[0]
    model = case.model
    ends = np.stack([model.start, model.end])[:, model.is_pipe & model.is_open]
    beside = np.isin(ends, [model.start[best], model.end[best]]).any(axis=0)
    assert set(ends[:, beside].ravel().tolist()) <= asked


@pytest.mark.parametrize("pipe_id", ["131", "20"], ids=["size unsure", "beside a tank"])
def test_what_the_likeliest_places_explain_is_what_epanet_says(
    pipe_id: str, tmp_path: Path
) -> None:
    case = simulated(NET3, NET3_SENSORS, pipe_id, 0.012, tmp_path)
    with prepare(case.inp, case.model, case.seen) as prepared:
        weighed = refine(prepared, prepared.weigh())
        for pipe in np.argsort(-weighed.result.pipe)[:3]:
            place, size = weighed.best_in(int(pipe))
            leak = Leak(int(prepared.candidates.link[pipe]), place, size)
            white = effect_of(prepared, [leak])
            true = float(prepared.whitened.residual @ white - 0.5 * white @ white)
            assert float(weighed.gain[pipe].max()) == pytest.approx(true, abs=2.5)


@pytest.mark.parametrize("since_s", [0, DAY_S], ids=["in both windows", "in the current one"])
def test_a_found_leak_stays_in_the_model_so_that_the_next_one_is_found(
    tmp_path: Path, since_s: int
) -> None:
    case = simulated(
        LTOWN, LTOWN_SENSORS, "p461", 0.006, tmp_path, PipeLeak("p673", 0.5, 0.006, since_s)
    )
    link = case.model.link_id.index("p673")
    book = [KnownLeak(link, 0.5, 0.006, is_in_reference=since_s == 0)]
    found = localize(case.inp, case.model, case.seen, book)
    assert case.true in zone(found, 0.95)
    assert link not in zone(found, 0.95)
    assert found.flow_m3s[0] == pytest.approx(0.006, rel=0.3)


def test_a_large_leak_in_net3_is_in_the_zone(in_net3: Case, found_in_net3: Localization) -> None:
    assert in_net3.true in zone(found_in_net3, 0.95)


def test_probabilities_are_of_every_pipe_and_sum_to_one(found_in_net3: Localization) -> None:
    assert found_in_net3.probability.sum() == pytest.approx(1.0)
    assert (np.diff(found_in_net3.probability) <= 0).all()
    assert len(set(found_in_net3.link.tolist())) == len(found_in_net3.link)
    assert ((found_in_net3.place > 0) & (found_in_net3.place < 1)).all()
    assert found_in_net3.flow_low_m3s <= found_in_net3.flow_high_m3s


def test_zones_grow_with_their_level(found_in_net3: Localization) -> None:
    sizes = [len(zone(found_in_net3, level)) for level in (0.5, 0.8, 0.9, 0.95)]
    assert sizes == sorted(sizes)


def test_the_same_input_gives_the_same_answer_bit_for_bit(
    in_net3: Case, found_in_net3: Localization
) -> None:
    again = localize(in_net3.inp, in_net3.model, in_net3.seen)
    assert np.array_equal(again.link, found_in_net3.link)
    assert np.array_equal(again.probability, found_in_net3.probability)


def test_without_a_reference_the_zone_is_wider_and_still_an_answer(
    in_net3: Case, found_in_net3: Localization
) -> None:
    blind = localize(in_net3.inp, in_net3.model, rows(in_net3.seen, ~in_net3.seen.is_reference))
    assert blind.probability.sum() == pytest.approx(1.0)
    assert len(zone(blind, 0.9)) >= len(zone(found_in_net3, 0.5))


def test_without_meters_and_levels_there_is_still_an_answer(in_net3: Case) -> None:
    seen = in_net3.seen
    n = len(seen.model_time_s)
    bare = replace(
        seen,
        tank_node=np.empty(0, dtype=np.int64),
        tank_level_m=np.empty((n, 0)),
        flow_link=np.empty(0, dtype=np.int64),
        flow_m3s=np.empty((n, 0)),
    )
    found = localize(in_net3.inp, in_net3.model, bare)
    assert found.probability.sum() == pytest.approx(1.0)


def change(
    sensor: int, how: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> Callable[[Measurements], Measurements]:
    def changed(seen: Measurements) -> Measurements:
        pressure = seen.pressure_m.copy()
        pressure[:, sensor] = how(pressure[:, sensor], seen.is_reference)
        return replace(seen, pressure_m=pressure)

    return changed


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (lambda values, _: np.full_like(values, np.nan), "no readings"),
        (lambda values, _: np.full_like(values, 30.0), "stands still"),
        (lambda values, past: np.where(past, values, values + 5.0), "jumped"),
    ],
)
def test_a_sensor_that_lies_is_left_out_with_the_reason(
    in_net3: Case, how: Callable[[np.ndarray, np.ndarray], np.ndarray], reason: str
) -> None:
    found = localize(in_net3.inp, in_net3.model, change(2, how)(in_net3.seen))
    assert any(one.sensor == 2 and one.is_whole and reason in one.reason for one in found.left_out)
    assert np.isnan(found.residual_m[:, 2]).all()


def test_a_network_without_users_is_answered_without_a_word(
    grid: Callable[..., Path],
    read_exactly: Callable[..., Measurements],
    capfd: pytest.CaptureFixture[str],
) -> None:
    inp = grid(3, 60.0, 200.0, (0.0, 0.0))
    seen = read_exactly(inp, Watched(("J00", "J11", "J22"), (), ("IN",)), 24, 24)
    assert localize(inp, read_network(inp), seen).probability.sum() == pytest.approx(1.0)
    assert capfd.readouterr().out == ""  # BLAS tells of empty matrices there


def test_a_window_without_pressure_is_refused(in_net3: Case) -> None:
    dead = replace(in_net3.seen, pressure_m=np.full_like(in_net3.seen.pressure_m, np.nan))
    with pytest.raises(NoPressureError):
        localize(in_net3.inp, in_net3.model, dead)


def test_a_window_without_rows_is_refused(in_net3: Case) -> None:
    with pytest.raises(EmptyWindowError):
        localize(in_net3.inp, in_net3.model, rows(in_net3.seen, in_net3.seen.is_reference))


def test_the_onset_of_a_leak_is_found_within_two_hours(in_ltown: Case) -> None:
    seen = in_ltown.seen
    onset_s = DAY_S + 6 * 3_600
    later = seen.model_time_s >= onset_s
    before = seen.is_reference
    # The first hours of the second day as they would have been: those of the first.
    pressure = seen.pressure_m.copy()
    flow = seen.flow_m3s.copy()
    early = ~before & ~later
    pressure[early], flow[early] = pressure[: early.sum()], flow[: early.sum()]
    level = seen.tank_level_m.copy()
    level[early] = level[: early.sum()]
    shifted = replace(seen, pressure_m=pressure, flow_m3s=flow, tank_level_m=level)
    (onset,) = detect(in_ltown.inp, in_ltown.model, shifted)
    assert abs(onset.model_time_s - onset_s) <= 2 * 3_600
    assert onset.statistic > 1.0


def test_a_day_like_the_day_before_has_no_onset(in_ltown: Case) -> None:
    past = rows(in_ltown.seen, in_ltown.seen.is_reference)
    draw = np.random.default_rng(3)
    twice = Measurements(
        model_time_s=np.concatenate([past.model_time_s, past.model_time_s + DAY_S]),
        is_reference=np.repeat([True, False], len(past.model_time_s)),
        pressure_node=past.pressure_node,
        pressure_m=np.tile(past.pressure_m, (2, 1)) + draw.normal(0.0, 0.02, (96, 33)),
        tank_node=past.tank_node,
        tank_level_m=np.tile(past.tank_level_m, (2, 1)),
        flow_link=past.flow_link,
        flow_m3s=np.tile(past.flow_m3s, (2, 1)),
        demand_node=past.demand_node,
        demand_m3s=np.tile(past.demand_m3s, (2, 1)),
    )
    assert detect(in_ltown.inp, in_ltown.model, twice) == []


def test_an_onset_needs_a_past(in_net3: Case) -> None:
    with pytest.raises(NoPastError):
        detect(in_net3.inp, in_net3.model, rows(in_net3.seen, ~in_net3.seen.is_reference))


def test_a_row_that_all_others_contradict_is_odd_and_the_others_are_not() -> None:
    draw = np.random.default_rng(5)
    row = np.repeat(np.arange(8), 10)
    together = np.eye(80) + 4.0  # what all share says what each should be
    gap = np.linalg.cholesky(together) @ draw.normal(size=80)
    calm, left = odd_rows(together, gap, row, 4.0)
    assert len(calm) == 0
    assert left == pytest.approx(1.0, abs=0.5)
    gap[row == 3] += 6.0
    odd, left = odd_rows(together, gap, row, 4.0)
    assert odd.tolist() == [3]
    assert left == pytest.approx(1.0, abs=0.5)


def rows(seen: Measurements, kept: np.ndarray) -> Measurements:
    return replace(
        seen,
        model_time_s=seen.model_time_s[kept],
        is_reference=seen.is_reference[kept],
        pressure_m=seen.pressure_m[kept],
        tank_level_m=seen.tank_level_m[kept],
        flow_m3s=seen.flow_m3s[kept],
        demand_m3s=seen.demand_m3s[kept],
    )
