"""What a leak run sees, and what it answers, as arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

Progress = Callable[[str, int, int], None]
"""Called with the name of the step, how much of it is done, and how much there is."""


@dataclass(frozen=True, slots=True)
class Measurements:
    """Readings on one grid of times; nodes and links are indices into a `NetworkModel`.

    Attributes:
        model_time_s: The model's clock [s], shape (n_times,), rising within each window. Reference
            and current rows may be stitched from days that do not touch.
        is_reference: Which rows are of the leak-free window, shape (n_times,).
        pressure_node: Node of each pressure sensor, shape (n_sensors,).
        pressure_m: Pressure [m of water], shape (n_times, n_sensors), NaN where missing or bad.
        tank_node: Tank of each level sensor, shape (n_levels,).
        tank_level_m: Level above the tank's bottom [m], shape (n_times, n_levels), NaN if missing.
        flow_link: Link of each flow meter, shape (n_flows,).
        flow_m3s: Flow [m³/s], shape (n_times, n_flows), positive from start to end, NaN if missing.
        demand_node: Node of each demand or source-inflow meter, shape (n_demands,).
        demand_m3s: Outflow from the network at that node [m³/s], shape (n_times, n_demands); the
            inflow from a reservoir is negative; NaN if missing.
    """

    model_time_s: FloatArray
    is_reference: BoolArray
    pressure_node: IndexArray
    pressure_m: FloatArray
    tank_node: IndexArray
    tank_level_m: FloatArray
    flow_link: IndexArray
    flow_m3s: FloatArray
    demand_node: IndexArray
    demand_m3s: FloatArray


@dataclass(frozen=True, slots=True)
class KnownLeak:
    """A leak that was found and is not repaired: it stays in the model.

    Attributes:
        link: Index of the pipe.
        place: Fraction of the way from the start node, 0..1.
        flow_m3s: Outflow [m³/s] when it was found, above 0.
        is_in_reference: Whether it already ran in the reference window.
    """

    link: int
    place: float
    flow_m3s: float
    is_in_reference: bool


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A sensor, or some of its times, that a run did not use.

    Attributes:
        sensor: Index into `Measurements.pressure_node`.
        n_times: How many rows were left out.
        reason: One sentence.
        is_whole: Whether the sensor was left out altogether.
    """

    sensor: int
    n_times: int
    reason: str
    is_whole: bool


@dataclass(frozen=True, slots=True)
class Localization:
    """Where one new leak may be: a posterior over every pipe.

    Attributes:
        link: Index of each candidate pipe, most probable first, shape (n_candidates,).
        probability: Posterior probability of each, sums to 1, shape (n_candidates,).
        place: Most probable place in each, fraction from the start node, shape (n_candidates,).
        flow_m3s: Most probable outflow in each [m³/s], shape (n_candidates,).
        flow_low_m3s: 5 % quantile of the outflow over all candidates [m³/s].
        flow_high_m3s: 95 % quantile of the outflow over all candidates [m³/s].
        time_s: Model time of each residual row (current window, as aggregated), shape (n_rows,).
        residual_m: Current minus model, after the reference residual is taken off, without a leak
            in the model [m], shape (n_rows, n_sensors), NaN where left out.
        explained_m: What the most probable leak explains of it [m], shape (n_rows, n_sensors).
        normal_band_m: Standard deviation of a leak-free residual of each sensor [m], (n_sensors,).
        left_out: Sensors and times not used, and why.
        evidence_ratio: ln of how much better a leak explains the data than none.
    """

    link: IndexArray
    probability: FloatArray
    place: FloatArray
    flow_m3s: FloatArray
    flow_low_m3s: float
    flow_high_m3s: float
    time_s: FloatArray
    residual_m: FloatArray
    explained_m: FloatArray
    normal_band_m: FloatArray
    left_out: tuple[LeftOut, ...]
    evidence_ratio: float


def zone(localization: Localization, level: float) -> IndexArray:
    """Return the fewest most probable pipes whose probabilities reach `level` (0..1)."""
    reached = np.cumsum(localization.probability)
    n_pipes = int(np.searchsorted(reached, level - 1e-12)) + 1
    return localization.link[:n_pipes]
