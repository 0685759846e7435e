"""What a leak-free window says of how wrong the model and the sensors are."""

from __future__ import annotations

import numpy as np
import pytest

from hydraulics.epanet.toolkit import Boundary
from hydraulics.leaks.fitting import fit_scales, is_model_raised
from hydraulics.leaks.posterior import Whitened
from hydraulics.leaks.prepared import _hopeful
from hydraulics.leaks.prior import Carried, Layout, Scales, covariance
from hydraulics.leaks.rows import Row

N_ROWS, N_SENSORS = 8, 30
NONE = np.empty(0)


def row(number: int) -> Row:
    return Row(
        is_reference=True,
        bin=number,
        time_s=3_600.0 * number,
        n_times=4,
        hour=np.array([number]),
        hour_share=np.ones(1),
        members=np.arange(4),
        boundary=Boundary(NONE, NONE, NONE.astype(bool), NONE),
        demand_factor=NONE,
        is_balanced=NONE.astype(bool),
        is_metered=NONE.astype(bool),
        zone=NONE.astype(int),
    )


ROWS = [row(number) for number in range(N_ROWS)]
LAYOUT = Layout(
    row=np.repeat(np.arange(N_ROWS), N_SENSORS),
    observed=np.tile(np.arange(N_SENSORS), N_ROWS),
    value=np.zeros(N_ROWS * N_SENSORS),
    n_read=np.full(N_ROWS * N_SENSORS, 4.0),
    n_pressures=N_SENSORS,
)


def carried() -> Carried:
    draw, n = np.random.default_rng(3), len(LAYOUT.row)
    demand, rough = draw.normal(0.0, 0.05, (n, 40)), draw.normal(0.0, 0.3, (n, 40))
    nothing = np.zeros((n, 0))
    return Carried(
        demand=demand @ demand.T,
        roughness=rough @ rough.T,
        level=demand.sum(axis=1),
        zone_level=demand.sum(axis=1, keepdims=True),
        common_roughness=rough.sum(axis=1),
        setting=nothing,
        head=nothing,
        blind_head=nothing,
        known=nothing,
    )


def fitted(truth: Scales, seed: int = 1) -> Scales:
    errors = carried()
    total = covariance(errors, LAYOUT, ROWS, truth, NONE)
    gap = np.linalg.cholesky(total) @ np.random.default_rng(seed).normal(size=len(total))
    return fit_scales(errors, LAYOUT, gap, ROWS, Scales(), NONE)


@pytest.mark.parametrize("seed", range(5))
def test_offsets_of_sensors_are_told_from_errors_of_the_model(seed: int) -> None:
    found = fitted(Scales(bias_m=0.4), seed)
    assert 0.2 <= found.bias_m <= 0.8  # eight times the default, to a factor of two
    assert found.roughness <= 2.0 * Scales().roughness
    assert found.row_noise_m <= 2.0 * Scales().noise_m


@pytest.mark.parametrize("seed", range(5))
def test_rough_pipes_are_told_from_offsets_of_sensors(seed: int) -> None:
    found = fitted(Scales(roughness=0.8, roughness_common=0.4), seed)
    assert 0.4 <= found.roughness <= 1.6
    assert found.bias_m <= 2.0 * Scales().bias_m


@pytest.mark.parametrize("scale", [0.1, 0.5])
def test_a_calm_window_lowers_nothing(scale: float) -> None:
    calm = Scales(bias_m=scale * 0.05, roughness=scale * 0.1, row_noise_m=scale * 0.004)
    found = fitted(calm)
    assert found.bias_m >= Scales().bias_m
    assert found.roughness >= Scales().roughness
    assert found.row_noise_m >= Scales().row_noise_m


@pytest.mark.parametrize("seed", range(5))
def test_a_model_is_called_more_wrong_than_stated_where_it_is_and_not_for_its_sensors(
    seed: int,
) -> None:
    assert is_model_raised(Scales(), fitted(Scales(roughness=0.4, roughness_common=0.2), seed))
    assert not is_model_raised(Scales(), fitted(Scales(bias_m=0.4, row_noise_m=0.03), seed))


def test_what_two_rows_say_raises_nothing() -> None:
    kept = np.flatnonzero(LAYOUT.row < 2)
    errors = carried().keep(LAYOUT.row < 2)
    gap = np.full(len(kept), 5.0)
    assert fit_scales(errors, LAYOUT.keep(LAYOUT.row < 2), gap, ROWS, Scales(), NONE) == Scales()


def test_effects_are_bent_where_first_order_explains_much_and_nowhere_else() -> None:
    unit = np.array([[100.0, 0.0], [60.0, 80.0], [0.0, 100.0], [99.0, 14.0]])
    seen = Whitened(np.eye(2), np.array([20.0, 0.0]), np.zeros(2))
    assert _hopeful(unit, seen, 1.0, 10).tolist() == [0, 1, 3]
    assert _hopeful(unit, seen, 1.0, 2).tolist() == [0, 3]


def test_effects_are_bent_everywhere_where_nothing_is_told_apart() -> None:
    unit = np.array([[100.0, 0.0], [0.0, 100.0]])
    seen = Whitened(np.eye(2), np.array([5.0, 0.0]), np.zeros(2))
    assert _hopeful(unit, seen, 1.0, 10).tolist() == [0, 1]
