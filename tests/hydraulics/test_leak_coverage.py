"""Laws of coverage: what more sensors, larger leaks and a leak-free past can never make worse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import cholesky, solve_triangular

from hydraulics.epanet.reading import read_network
from hydraulics.leaks.coverage import (
    Coverage,
    CoverageSettings,
    Metered,
    NothingMeasuredError,
    View,
    coverage,
    covered,
    evenly,
    look,
    usual_meters,
    zone_lengths_m,
)
from hydraulics.leaks.placing import next_sensors, place
from hydraulics.leaks.settings import LocalizeSettings
from hydraulics.network import NetworkModel

SIZES_M3S = np.array([0.0005, 0.001, 0.003])
SENSORS = ("J03", "J32")
DEAD = ("X1", "X2")
SETTINGS = CoverageSettings()
NONE = np.empty(0, dtype=np.int64)


@pytest.fixture(scope="module")
def inp(grid: Callable[..., Path]) -> Path:
    """A tank beside, and two junctions behind a closed pipe."""
    return grid(
        4,
        70,
        120,
        (0.4, 0.2),
        JUNCTIONS=("D1 9 0", "D2 9 0"),
        TANKS=("T1 55 6 0 10 12 0",),
        PIPES=(
            "UP J22 T1 150 150 120",
            "GATE J33 D1 100 100 110 0 Closed",
            "X1 D1 D2 100 100 110",
            "X2 D2 D1 140 100 110",
        ),
    )


@pytest.fixture(scope="module")
def model(inp: Path) -> NetworkModel:
    return read_network(inp)


def nodes(model: NetworkModel, *names: str) -> list[int]:
    return [model.node_id.index(name) for name in names]


@pytest.fixture(scope="module")
def found(inp: Path, model: NetworkModel) -> Coverage:
    return coverage(inp, model, nodes(model, *SENSORS), SIZES_M3S)


@pytest.fixture(scope="module")
def view(inp: Path, model: NetworkModel) -> View:
    """Two sensors, and every other junction as a possible one."""
    sensors = nodes(model, *SENSORS)
    possible = [i for i, name in enumerate(model.node_id) if name[0] == "J" and i not in sensors]
    return look(inp, model, sensors, possible, SIZES_M3S, None, SETTINGS, lambda *_: None)


def with_some(view: View, chosen: set[int]) -> Coverage:
    entries = np.concatenate([view.base, *(view.possible[number] for number in sorted(chosen))])
    return covered(view, entries, SETTINGS)


some = st.sets(st.integers(0, 13), max_size=5)


@given(chosen=some, more=st.integers(0, 13))
@settings(max_examples=30, deadline=None)
def test_a_sensor_more_never_makes_a_zone_longer_or_a_leak_fainter(
    view: View, chosen: set[int], more: int
) -> None:
    before, after = with_some(view, chosen - {more}), with_some(view, chosen | {more})
    assert (after.signal >= before.signal * (1.0 - 1e-6)).all()
    assert (after.zone_m <= before.zone_m + 1e-6).all()
    assert (after.expected_zone_m <= before.expected_zone_m + 1e-6).all()


@given(chosen=some)
@settings(max_examples=20, deadline=None)
def test_a_larger_leak_is_never_fainter(view: View, chosen: set[int]) -> None:
    assert (np.diff(with_some(view, chosen).signal, axis=1) >= 0.0).all()
    assert (np.diff(with_some(view, chosen).chance, axis=1) >= 0.0).all()


def test_a_leak_behind_a_closed_link_is_not_found(model: NetworkModel, found: Coverage) -> None:
    dead = np.isin(found.link, [model.link_id.index(name) for name in DEAD])
    assert dead.sum() == len(DEAD)
    assert not found.is_reached[dead].any()
    assert found.is_reached[~dead].all()
    assert (found.signal[dead] == 0.0).all()
    assert (found.chance[dead] < 0.01).all()
    assert found.zone_m[dead] == pytest.approx(found.length_m.sum())


def test_every_pipe_is_in_its_own_zone_and_none_is_longer_than_the_network(found: Coverage) -> None:
    assert (found.zone_m >= found.length_m[:, None] - 1e-9).all()
    assert (found.zone_m <= found.length_m.sum() + 1e-9).all()
    assert (found.missed_share >= 0.0).all()
    assert (np.diff(found.missed_share) <= 0.0).all()


@pytest.mark.parametrize("days", [1, 7])
def test_a_leak_free_past_never_makes_a_leak_fainter(
    inp: Path, model: NetworkModel, days: int
) -> None:
    sensors = nodes(model, *SENSORS)
    alone = coverage(inp, model, sensors, SIZES_M3S, settings=CoverageSettings(reference_days=0))
    past = CoverageSettings(reference_days=days)
    with_past = coverage(inp, model, sensors, SIZES_M3S, settings=past)
    assert (with_past.signal >= alone.signal * (1.0 - 1e-6)).all()
    assert with_past.signal.sum() > 1.2 * alone.signal.sum()


def test_a_leak_free_window_raises_as_many_alarms_as_are_allowed(view: View) -> None:
    allowed = replace(SETTINGS, false_alarm=0.05)
    found = covered(view, view.base, allowed)
    factor = cholesky(view.covariance[np.ix_(view.base, view.base)], lower=True)
    flat = view.signature[view.base].reshape(len(view.base), -1)
    white = solve_triangular(factor, flat, lower=True)
    white = white[:, found.signal.reshape(-1) > 0]
    noise = np.random.default_rng(99).standard_normal((20_000, len(white)))
    largest = (noise @ (white / np.linalg.norm(white, axis=0))).max(axis=1)
    assert (largest > found.threshold).mean() == pytest.approx(0.05, abs=0.012)
    assert covered(view, view.base, replace(allowed, false_alarm=0.001)).threshold > found.threshold


def test_zones_are_about_as_long_as_those_of_readings_that_are_drawn(view: View) -> None:
    entries = np.concatenate([view.base, *view.possible[:6]])
    found = covered(view, entries, SETTINGS)
    factor = cholesky(view.covariance[np.ix_(entries, entries)], lower=True)
    white = solve_triangular(factor, view.signature[entries, :, 2], lower=True)
    reached = np.flatnonzero(found.is_reached)
    draw = np.random.default_rng(3)
    drawn = []
    for pipe in draw.choice(reached, 200):
        reading = white[:, pipe] + draw.standard_normal(len(entries))
        scale = np.geomspace(0.05, 10.0, 80)
        gain = (white.T @ reading)[:, None] * scale - 0.5 * (white**2).sum(0)[:, None] * scale**2
        weight = view.length_m * np.exp((gain - gain.max()) / SETTINGS.temper).sum(axis=1)
        order = np.argsort(-weight)
        n_pipes = np.searchsorted(np.cumsum(weight[order]) / weight.sum(), SETTINGS.level) + 1
        drawn.append((view.length_m[order[:n_pipes]].sum(), found.zone_m[pipe, 2]))
    lengths = np.array(drawn)
    assert 0.6 < np.median(lengths[:, 1]) / np.median(lengths[:, 0]) < 1.6
    assert np.corrcoef(np.log(lengths.T))[0, 1] > 0.5


def test_expected_zones_are_tempered_as_those_of_a_run_are() -> None:
    assert CoverageSettings().temper == LocalizeSettings().temper


def test_the_first_sensor_placed_is_the_best_of_all_that_could_be(view: View) -> None:
    first_size = replace(view, signature=view.signature[:, :, :1], size_m3s=SIZES_M3S[:1])
    lengths = [
        float(with_some(first_size, {number}).expected_zone_m[0])
        for number in range(len(view.node))
    ]
    (placed,) = place(view, 1, SETTINGS.confusion, lambda *_: None)
    before = float(with_some(first_size, set()).expected_zone_m[0])
    assert placed.node == view.node[int(np.argmin(lengths))]
    assert placed.expected_zone_m == pytest.approx(min(lengths))
    assert placed.gain_m == pytest.approx(before - min(lengths))


def test_sensors_placed_one_by_one_say_what_the_coverage_with_them_says(
    inp: Path, model: NetworkModel
) -> None:
    # Another temper than a run's: with that, a pair of these few pipes lies at the edge of a zone.
    own = CoverageSettings(temper=1.25)
    placed = next_sensors(inp, model, nodes(model, *SENSORS), 3, size_m3s=0.001, settings=own)
    assert len({one.node for one in placed}) == 3
    sensors = nodes(model, *SENSORS)
    for one in placed:
        sensors.append(one.node)
        again = coverage(inp, model, sensors, np.array([0.001]), settings=own)
        assert one.expected_zone_m == pytest.approx(float(again.expected_zone_m[0]))


def test_sensors_are_placed_where_none_is_yet_last_where_no_leak_shows(
    inp: Path, model: NetworkModel
) -> None:
    bare, candidates = Metered(NONE, NONE, NONE), nodes(model, "D1", "J03", "J30")
    placed = next_sensors(inp, model, [], 5, candidates=candidates, metered=bare)
    assert {one.node for one in placed} == set(candidates)
    assert placed[-1].node == candidates[0]
    assert all(one.gain_m >= 0.0 for one in placed)


@given(st.integers(1, 60), st.integers(1, 20))
def test_evenly_takes_as_many_as_may_be_and_all_where_they_fit(n: int, most: int) -> None:
    weight = np.linspace(1.0, 3.0, n)
    taken = evenly(weight, most)
    assert len(taken) == len(set(taken.tolist())) <= most
    assert len(taken) == n if n <= most else len(taken) >= most // 3
    assert ((taken >= 0) & (taken < n)).all()


def test_a_network_where_nothing_is_measured_is_refused(inp: Path, model: NetworkModel) -> None:
    with pytest.raises(NothingMeasuredError, match="nothing would show a leak"):
        coverage(inp, model, [], SIZES_M3S, metered=Metered(NONE, NONE, NONE))


def test_meters_show_a_leak_but_not_where_it_is(inp: Path, model: NetworkModel) -> None:
    assert usual_meters(model).n_meters == 2
    by_meters = coverage(inp, model, [], np.array([0.02]))
    reached = by_meters.is_reached
    assert (by_meters.chance[reached] > 0.5).all()
    assert by_meters.expected_zone_m[0] > 0.5 * by_meters.length_m.sum()


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_zones_shrink_as_leaks_are_told_apart_more_finely(seed: int) -> None:
    white = np.random.default_rng(seed).normal(size=(6, 20))
    lengths = [zone_lengths_m(white, np.ones(20), confusion) for confusion in (3.0, 1.0, 0.1)]
    assert (lengths[0] >= lengths[1]).all()
    assert (lengths[1] >= lengths[2]).all()
