"""Several leaks at once: as many as there are, each where it is, whatever their order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hydraulics.epanet.reading import read_network
from hydraulics.epanet.scenario import Perturbation, PipeLeak, Scenario, Watched, run_scenario
from hydraulics.leaks.amid import REACH_M
from hydraulics.leaks.beside import effect_of, soften
from hydraulics.leaks.climb import climb, likeliest_of, settled_at
from hydraulics.leaks.localize import EmptyWindowError
from hydraulics.leaks.measurements import Measurements, zone
from hydraulics.leaks.number import log_share
from hydraulics.leaks.pairs import best_pairs, explained_alone, explained_in_pairs
from hydraulics.leaks.posterior import PLACES
from hydraulics.leaks.prepared import Leak, prepare
from hydraulics.leaks.settings import LocalizeSettings
from hydraulics.leaks.several import SeveralLeaks, localize_several
from hydraulics.leaks.swaps import SwapSearch
from hydraulics.network import FloatArray, NetworkModel
from hydraulics.paths import pipe_distances_m

DAY_S = 86_400
SENSORS = ("J00", "J04", "J12", "J15", "J23", "J30", "J35", "J42", "J51", "J54")
LEAKS = (("H12", 0.003), ("V43", 0.004))
COARSE = LocalizeSettings(most_rows=3)


@pytest.fixture(scope="module")
def inp(grid: Callable[..., Path]) -> Path:
    return grid(6, 90, 125, (0.3, 0.1))


@pytest.fixture(scope="module")
def model(inp: Path) -> NetworkModel:
    return read_network(inp)


def simulated(inp: Path, model: NetworkModel, n_leaks: int, scratch: Path) -> Measurements:
    """A day without and a day with the first of the leaks, the truth a little off."""
    scenario = Scenario(
        model_start_s=0,
        duration_s=2 * DAY_S,
        seed=5,
        step_s=1_800,
        warm_up_s=0,
        leaks=tuple(PipeLeak(name, 0.5, flow, DAY_S) for name, flow in LEAKS[:n_leaks]),
        perturbation=Perturbation(0.1, 0.1, 0.03, 0.05),
    )
    truth = run_scenario(inp, scenario, Watched(SENSORS, (), ("IN",)), scratch)
    draw = np.random.default_rng(5)
    n_times = len(truth.time_s)
    return Measurements(
        model_time_s=truth.time_s.astype(np.float64),
        is_reference=truth.time_s < DAY_S,
        pressure_node=np.array([model.node_id.index(name) for name in SENSORS]),
        pressure_m=truth.pressure_m + draw.normal(0.0, 0.02, truth.pressure_m.shape),
        tank_node=np.empty(0, dtype=np.int64),
        tank_level_m=np.empty((n_times, 0)),
        flow_link=np.array([model.link_id.index("IN")]),
        flow_m3s=truth.flow_m3s,
        demand_node=np.empty(0, dtype=np.int64),
        demand_m3s=np.empty((n_times, 0)),
    )


@pytest.fixture(scope="module")
def two(inp: Path, model: NetworkModel, tmp_path_factory: pytest.TempPathFactory) -> Measurements:
    return simulated(inp, model, 2, tmp_path_factory.mktemp("two"))


@pytest.fixture(scope="module")
def found(inp: Path, model: NetworkModel, two: Measurements) -> SeveralLeaks:
    return localize_several(inp, model, two, seed=3, settings=COARSE)


def test_two_leaks_are_found_to_be_two_and_each_is_in_a_zone(
    found: SeveralLeaks, model: NetworkModel
) -> None:
    assert found.number.argmax() == 1
    assert found.number[1] > 0.9
    zones = [{model.link_id[link] for link in zone(one, 0.95)} for one in found.leaks]
    assert "V43" in zones[0]
    assert "H12" in zones[1]


def test_the_larger_leak_comes_first_and_both_ranges_of_flow_hold_the_truth(
    found: SeveralLeaks,
) -> None:
    flows = [one.flow_m3s[0] for one in found.leaks]
    assert flows == sorted(flows, reverse=True)
    for one, true_m3s in zip(found.leaks, (0.004, 0.003), strict=True):
        assert one.flow_low_m3s <= one.flow_m3s[0] <= one.flow_high_m3s
        assert one.flow_low_m3s <= true_m3s <= one.flow_high_m3s


def test_probabilities_of_numbers_and_of_pipes_sum_to_one(
    found: SeveralLeaks, model: NetworkModel
) -> None:
    assert found.number.sum() == pytest.approx(1.0)
    for one in found.leaks:
        assert one.probability.sum() == pytest.approx(1.0)
        assert len(one.link) == int(model.is_pipe.sum())


def test_from_the_pipe_that_is_named_no_less_is_in_reach_than_from_the_most_probable_one(
    found: SeveralLeaks, model: NetworkModel
) -> None:
    for one, at in zip(found.leaks, found.amid, strict=True):
        assert one.link[at] in zone(one, 0.95)
        between_m = pipe_distances_m(model, one.link)
        reached = (between_m <= REACH_M) @ one.probability
        assert reached[at] >= reached[0] - 0.1


def test_one_leak_is_not_taken_for_two(inp: Path, model: NetworkModel, tmp_path: Path) -> None:
    single = localize_several(
        inp, model, simulated(inp, model, 1, tmp_path), seed=3, settings=COARSE
    )
    assert len(single.leaks) == 1
    assert single.number[0] > 0.5
    assert model.link_id.index("H12") in zone(single.leaks[0], 0.95)


def test_the_same_seed_gives_the_same_answer_bit_for_bit(
    inp: Path, model: NetworkModel, two: Measurements, found: SeveralLeaks
) -> None:
    again = localize_several(inp, model, two, seed=3, settings=COARSE)
    assert np.array_equal(again.number, found.number)
    for one, other in zip(again.leaks, found.leaks, strict=True):
        assert np.array_equal(one.link, other.link)
        assert np.array_equal(one.probability, other.probability)


def test_a_climb_ends_where_it_explains_no_less_than_the_truth_does(
    inp: Path, model: NetworkModel, two: Measurements
) -> None:
    def leaks(*places: tuple[str, float]) -> list[Leak]:
        return [Leak(model.link_id.index(name), 0.5, flow_m3s) for name, flow_m3s in places]

    with prepare(inp, model, two, settings=COARSE, doubts=False) as prepared:
        begun = likeliest_of(prepared, [leaks(("H50", 0.002), ("V04", 0.005))])
        assert begun is not None
        columns = np.arange(len(prepared.nodes))
        found = climb(prepared, columns, settled_at(prepared, columns, begun))
        true = prepared.whitened.residual - effect_of(prepared, leaks(*LEAKS))
        assert found.square < float(true @ true) < float(begun.left @ begun.left)
        again = prepared.whitened.residual - effect_of(prepared, found.leaks[::-1])
        assert float(again @ again) == pytest.approx(found.square, rel=1e-3)


def test_a_climb_ends_between_the_places_that_are_tried_in_a_pipe_where_that_explains_more(
    inp: Path, model: NetworkModel, tmp_path: Path
) -> None:
    link = model.link_id.index("H12")
    with prepare(
        inp, model, simulated(inp, model, 1, tmp_path), settings=COARSE, doubts=False
    ) as prepared:
        begun = likeliest_of(prepared, [[Leak(link, 0.9, 0.004)]])
        assert begun is not None
        columns = np.arange(len(prepared.nodes))
        found = climb(prepared, columns, settled_at(prepared, columns, begun))
        tried = [[replace(found.leaks[0], place=float(place))] for place in PLACES]
        best = likeliest_of(prepared, tried)
        assert best is not None
        assert found.square <= best.square


def test_no_leak_has_no_effect_and_a_set_has_the_same_in_every_order(
    inp: Path, model: NetworkModel, two: Measurements
) -> None:
    leaks = [Leak(model.link_id.index(name), 0.3, flow_m3s) for name, flow_m3s in LEAKS]
    with prepare(inp, model, two, settings=COARSE, doubts=False) as prepared:
        assert np.abs(effect_of(prepared, [])).max() < 1e-3
        one, other = effect_of(prepared, leaks), effect_of(prepared, leaks[::-1])
        assert np.abs(one).max() > 1.0
        assert np.abs(one - other).max() < 1e-3


def test_no_more_leaks_are_looked_for_than_was_asked(
    inp: Path, model: NetworkModel, two: Measurements
) -> None:
    one = localize_several(inp, model, two, most=1, settings=COARSE)
    assert len(one.leaks) == 1
    assert one.number.tolist() == [1.0]


def test_a_window_without_rows_is_refused(
    inp: Path, model: NetworkModel, two: Measurements
) -> None:
    kept = two.is_reference
    past = Measurements(
        two.model_time_s[kept],
        two.is_reference[kept],
        two.pressure_node,
        two.pressure_m[kept],
        two.tank_node,
        two.tank_level_m[kept],
        two.flow_link,
        two.flow_m3s[kept],
        two.demand_node,
        two.demand_m3s[kept],
    )
    with pytest.raises(EmptyWindowError):
        localize_several(inp, model, past)


def test_swaps_leave_the_column_between_two_that_greed_takes_first() -> None:
    one, other = np.eye(6)[0], np.eye(6)[1]
    between = (one + other) / np.sqrt(2.0) + 0.1 * np.eye(6)[2]
    search = SwapSearch(np.stack([between, one, other]), 3.0 * one + 2.9 * other)
    assert int(search.given(()).argmax()) == 0
    best = search.best(2, 0, np.random.default_rng(1))[0]
    assert best.columns == (1, 2)
    assert best.sizes == pytest.approx((3.0, 2.9))
    assert best.gain == pytest.approx(0.5 * (3.0**2 + 2.9**2))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000))
def test_swaps_from_some_starts_are_as_good_as_trying_every_pair(seed: int) -> None:
    draw = np.random.default_rng(seed)
    effect = draw.normal(size=(12, 8)) + draw.normal(size=8)
    residual = 2.0 * effect[3] + effect[9] + 0.1 * draw.normal(size=8)
    best = SwapSearch(effect, residual).best(2, 24, draw)[0]
    assert best.gain == pytest.approx(best_pair(effect, residual), rel=1e-9)


def test_columns_that_are_one_do_not_stop_the_search() -> None:
    effect = np.stack([np.eye(4)[0], np.eye(4)[0], np.eye(4)[1], np.zeros(4)])
    search = SwapSearch(effect, np.array([2.0, 1.0, 0.0, 0.0]))
    best = search.best(2, 5, np.random.default_rng(1), [(0, 1), (0, 3)])[0]
    assert best.columns in {(0, 2), (1, 2)}
    assert best.gain == pytest.approx(2.5)


def best_pair(effect: FloatArray, residual: FloatArray) -> float:
    gains = []
    for pair in combinations(range(len(effect)), 2):
        own = effect[list(pair)].T
        size, *_ = np.linalg.lstsq(own, residual, rcond=None)
        if (size > 0).all():
            gains.append(0.5 * float(residual @ own @ size))
    return max(gains)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000))
def test_the_best_pair_is_the_best_of_all_that_least_squares_finds(seed: int) -> None:
    draw = np.random.default_rng(seed)
    one, other = draw.normal(size=(7, 9)), draw.normal(size=(5, 9))
    fixed, residual = draw.normal(size=9), 2.0 * one[3] + other[1] + draw.normal(size=9)
    found = best_pairs(one, other, residual, [fixed])[0]
    gains = {}
    for i, j in product(range(7), range(5)):
        own = np.stack([one[i], other[j], fixed], axis=1)
        size, *_ = np.linalg.lstsq(own, residual, rcond=None)
        if (size[:2] > 0).all():
            gains[i, j] = 0.5 * float(residual @ own @ size)
    assert (found.one, found.other) == max(gains, key=lambda pair: gains[pair])
    assert found.gain == pytest.approx(max(gains.values()))


@settings(deadline=None, max_examples=30)
@given(st.floats(3e-3, 2e-2), st.floats(3e-3, 2e-2), st.floats(-0.6, 0.6), st.floats(1.0, 2.0))
def test_the_share_of_a_pair_is_what_its_likelihood_adds_up_to_over_sizes(
    one_m3s: float, other_m3s: float, alike: float, divisor: float
) -> None:
    sizes = np.geomspace(1e-4, 1e-1, 1_500)
    one = 1e4 * np.array([[1.0, 0.0]])
    other = 1e4 * np.array([[alike, np.sqrt(1.0 - alike**2)]])
    residual = one_m3s * one[0] + other_m3s * other[0]
    found = explained_in_pairs(one, other, residual, [])
    said = log_share(found, np.array([[np.log(0.25)]]), sizes, divisor)
    left = residual - sizes[:, None, None] * one[0] - sizes[None, :, None] * other[0]
    likelihood = np.exp(-0.5 * (left**2).sum(axis=2) / divisor)
    assert said == pytest.approx(np.log(0.25 * likelihood.mean()), abs=0.02)


def test_places_that_do_as_well_in_pairs_alone_all_count() -> None:
    unit = np.stack([np.array([1.0, np.tan(angle)]) for angle in (-0.3, -0.1, 0.1, 0.3)])
    residual, prior = np.array([20.0, 0.0]), np.full(4, np.log(0.25))
    sizes, flat = np.array([0.1, 1e3]), np.full((4, 4), 2.0 * np.log(0.25))
    pairs = log_share(
        explained_in_pairs(unit[:2], unit[2:], residual, []), flat[:2, :2], sizes, 1.0
    )
    left = residual - 10.0 * unit[0]
    alone = log_share(explained_alone(unit[2:], left, []), prior[:2], sizes, 1.0)
    alone += log_share(explained_alone(unit[:2], residual, [unit[3]]), prior[:2], sizes, 1.0)
    assert pairs > alone + np.log(1.5)


def test_pairs_that_are_alike_are_told_once() -> None:
    alike = np.eye(4)[0]
    effect = np.stack([alike, 1.01 * alike, np.eye(4)[1], np.eye(4)[2]])
    found = best_pairs(effect, effect, np.array([9.0, 8.0, 7.0, 0.0]), most=4)
    assert [{one.one, one.other} & {2, 3} for one in found] == [{2}, {3}]


def test_no_pair_is_found_where_a_size_would_be_below_zero() -> None:
    assert best_pairs(np.eye(3), -np.eye(3), np.array([1.0, 1.0, 1.0])) == []


def test_a_place_beside_another_gains_what_that_leaves() -> None:
    beside = explained_alone(np.eye(3), np.array([3.0, 2.0, -1.0]), [np.eye(3)[0]])
    assert beside.gain.tolist() == [-np.inf, pytest.approx(2.0), -np.inf]


def test_what_lies_along_an_open_direction_says_nothing() -> None:
    direction = np.array([0.0, 3.0, 4.0])
    factor = soften([1e4 * direction], 3)
    assert np.linalg.norm(np.linalg.solve(factor, direction)) == pytest.approx(0.0, abs=1e-3)
    across = np.array([2.0, 4.0, -3.0])
    assert np.linalg.norm(np.linalg.solve(factor, across)) == pytest.approx(
        np.linalg.norm(across), rel=1e-6
    )
