"""How far a leak-free network may be from its model: one covariance over everything measured.

Each error of the model (a demand, a roughness, a valve's setting, a tank's head, a sensor's bias)
is carried to the observations by the tangent of each row; errors that stay the same from row to
row make rows covary, so that the leak-free window says what the current one should have read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hydraulics.leaks.rows import Row
from hydraulics.leaks.tangent import Sensitivity
from hydraulics.network import BoolArray, FloatArray, IndexArray, NetworkModel, NodeKind

_ROUNDED = 1e-11
_METERED = 0.1
"""Of the doubt on a demand, what is left where the customer has a meter."""


@dataclass(frozen=True, slots=True)
class Scales:
    """Standard deviations of what a model does not know.

    Attributes:
        demand_static: Of a junction's demand, the same at all times, relative.
        demand_hourly: Of a junction's demand, anew in each hour of each day, relative.
        demand_daily: Of a junction's demand at one time of day, the same each day, relative.
        level_static: Of all demands together, where they are not metered, relative.
        level_row: Of all demands together, anew in each row, relative.
        level_window: Of all demands together, between the windows, relative.
        roughness: Of a pipe's roughness, relative.
        roughness_common: Of all roughness together, relative.
        setting_m: Of a valve's setting [m].
        head_m: Of the head of a source or of a tank whose level is measured [m].
        head_row_m: Of the same, anew in each row: levels move while a row is averaged [m].
        blind_head_m: Of the head of a tank whose level is not measured [m].
        bias_m: Of a pressure sensor's offset [m].
        noise_m: Of a pressure reading [m].
        row_noise_m: Of a row's pressure beside that [m].
        meter_gain: Of a flow meter, relative.
        known_leak: Of the flow of a leak that stays in the model, relative.
    """

    demand_static: float = 0.3
    demand_hourly: float = 0.3
    demand_daily: float = 0.1
    level_static: float = 0.3
    level_row: float = 0.1
    level_window: float = 0.05
    roughness: float = 0.1
    roughness_common: float = 0.05
    setting_m: float = 0.3
    head_m: float = 0.05
    head_row_m: float = 0.02
    blind_head_m: float = 1.0
    bias_m: float = 0.05
    noise_m: float = 0.02
    row_noise_m: float = 0.004
    meter_gain: float = 0.01
    known_leak: float = 0.2


@dataclass(frozen=True, slots=True)
class Layout:
    """Which observation stands where in the stacked vector.

    Attributes:
        row: Row of each entry, ascending, shape (n_entries,).
        observed: Observation of each entry, shape (n_entries,), pressures first.
        value: What was measured, shape (n_entries,).
        n_read: Readings that it averages, shape (n_entries,).
        n_pressures: How many observations are pressures.
    """

    row: IndexArray
    observed: IndexArray
    value: FloatArray
    n_read: FloatArray
    n_pressures: int

    def keep(self, kept: BoolArray) -> Layout:
        """Return the layout of some entries."""
        return Layout(
            self.row[kept],
            self.observed[kept],
            self.value[kept],
            self.n_read[kept],
            self.n_pressures,
        )


@dataclass(frozen=True, slots=True)
class Carried:
    """Errors of the model as the entries feel them, each with unit scale.

    Attributes:
        demand: Gram matrix of relative demand errors, shape (n_entries, n_entries).
        roughness: Gram matrix of relative roughness errors, the same shape.
        level: Effect of all demands together, shape (n_entries,).
        zone_level: The same, one column a zone of its row, shape (n_entries, most zones).
        common_roughness: Effect of all roughness together, shape (n_entries,).
        setting: Effect of held valves' settings, shape (n_entries, n_valves).
        head: Effect of measured heads, shape (n_entries, n_heads).
        blind_head: Effect of tanks that are not measured, shape (n_entries, n_blind).
        known: Effect of known leaks, relative, shape (n_entries, n_known).
    """

    demand: FloatArray
    roughness: FloatArray
    level: FloatArray
    zone_level: FloatArray
    common_roughness: FloatArray
    setting: FloatArray
    head: FloatArray
    blind_head: FloatArray
    known: FloatArray

    def keep(self, kept: BoolArray) -> Carried:
        """Return the errors as some entries feel them."""
        return Carried(
            demand=self.demand[np.ix_(kept, kept)],
            roughness=self.roughness[np.ix_(kept, kept)],
            level=self.level[kept],
            zone_level=self.zone_level[kept],
            common_roughness=self.common_roughness[kept],
            setting=self.setting[kept],
            head=self.head[kept],
            blind_head=self.blind_head[kept],
            known=self.known[kept],
        )


def carry(  # noqa: PLR0913, PLR0917 - each is a thing of its own
    model: NetworkModel,
    rows: list[Row],
    sensitivity: list[Sensitivity],
    layout: Layout,
    is_measured: BoolArray,
    known: list[FloatArray],
) -> Carried:
    """Return what the model's errors do to the entries.

    Args:
        model: The network.
        rows: The rows.
        sensitivity: Of all observations, one a row.
        layout: The entries.
        is_measured: Nodes whose head is fixed and known, shape (n_nodes,).
        known: Outflow of each known leak at each node, one array (n_rows, n_nodes) a leak.
    """
    takes = np.flatnonzero(np.any([row.boundary.demand_m3s != 0 for row in rows], axis=0))
    doubt = [np.where(row.is_metered, _METERED, 1.0) for row in rows]
    signed = np.stack(
        [(d * row.boundary.demand_m3s)[takes] for d, row in zip(doubt, rows, strict=True)]
    )
    by_signed = _stack(layout, [s.outflow for s in sensitivity], takes)
    for n, own in _of_rows(layout):
        by_signed[own] *= signed[n]
    by_demand = by_signed
    if (signed < 0.0).any():
        by_demand = np.where(by_signed == 0.0, 0.0, by_signed * np.sign(signed)[layout.row])
    pipes = np.flatnonzero(np.any([s.roughness.any(axis=0) for s in sensitivity], axis=0))
    by_rough = _stack(layout, [s.roughness for s in sensitivity], pipes)
    held = np.flatnonzero(np.any([s.setting.any(axis=0) for s in sensitivity], axis=0))
    is_fixed = model.node_kind != NodeKind.JUNCTION
    heads, blind = np.flatnonzero(is_fixed & is_measured), np.flatnonzero(is_fixed & ~is_measured)
    at = layout.row, layout.observed
    leaks = [
        np.stack([s.outflow @ leak[n] for n, s in enumerate(sensitivity)])[at] for leak in known
    ]
    return Carried(
        demand=by_demand @ by_demand.T,
        roughness=by_rough @ by_rough.T,
        level=by_signed.sum(axis=1),
        zone_level=_by_zone(rows, layout, by_signed, is_fixed, takes),
        common_roughness=by_rough.sum(axis=1),
        setting=_stack(layout, [s.setting for s in sensitivity], held),
        head=_stack(layout, [s.fixed_head for s in sensitivity], heads),
        blind_head=_stack(layout, [s.fixed_head for s in sensitivity], blind),
        known=np.stack(leaks, axis=1) if leaks else np.empty((len(layout.row), 0)),
    )


def covariance(
    carried: Carried, layout: Layout, rows: list[Row], scales: Scales, meter_noise: FloatArray
) -> FloatArray:
    """Return the covariance of leak-free entries, shape (n_entries, n_entries)."""
    at = layout.row
    demand, level = _between_rows(rows, scales)
    total = carried.demand * demand[:, at][at]
    total += scales.roughness**2 * carried.roughness
    total += np.outer(carried.level, carried.level) * level[:, at][at]
    moving = _wide(
        scales.level_row * carried.zone_level,
        scales.head_row_m * carried.head,
        np.sqrt(0.5) * scales.blind_head_m * carried.blind_head,
    )
    for _, own in _of_rows(layout):
        total[own, own] += moving[own] @ moving[own].T
    lasting = _wide(
        scales.roughness_common * carried.common_roughness[:, None],
        scales.setting_m * carried.setting,
        scales.head_m * carried.head,
        np.sqrt(0.5) * scales.blind_head_m * carried.blind_head,
        scales.known_leak * carried.known,
    )
    total += lasting @ lasting.T
    _add_instruments(total, layout, scales, meter_noise)
    # Sums of products are exact to the last digits only, which what is all but known must survive.
    total[np.diag_indices_from(total)] *= 1.0 + _ROUNDED
    return np.asarray(total, dtype=np.float64)


def _between_rows(rows: list[Row], scales: Scales) -> tuple[FloatArray, FloatArray]:
    """Return covariances between rows of a junction's demand and of all demands together."""
    bins = np.array([row.bin for row in rows])
    is_reference = np.array([row.is_reference for row in rows])
    same_bin = bins[:, None] == bins[None, :]
    same_window = is_reference[:, None] == is_reference[None, :]
    demand = scales.demand_static**2 + scales.demand_daily**2 * same_bin
    demand = demand + scales.demand_hourly**2 * shared_hours(rows)
    level = 0.5 * scales.level_static**2 * (1.0 + same_bin) + scales.level_window**2 * same_window
    return demand, level


def _wide(*parts: FloatArray) -> FloatArray:
    return np.concatenate(parts, axis=1)


def shared_hours(rows: list[Row]) -> FloatArray:
    """Return the covariance of row means of what is drawn anew each hour, (n_rows, n_rows).

    Rows of one hour share its draw; a row of many hours averages as many.
    """
    keys = [(row.is_reference, int(hour)) for row in rows for hour in row.hour]
    column = {key: n for n, key in enumerate(dict.fromkeys(keys))}
    share = np.zeros((len(rows), len(column)))
    for number, row in enumerate(rows):
        for hour, part in zip(row.hour, row.hour_share, strict=True):
            share[number, column[row.is_reference, int(hour)]] = part
    return np.asarray(share @ share.T, dtype=np.float64)


def _add_instruments(
    total: FloatArray, layout: Layout, scales: Scales, meter_noise: FloatArray
) -> None:
    is_pressure = layout.observed < layout.n_pressures
    gain = np.where(is_pressure, 0.0, scales.meter_gain * layout.value)
    lasting = np.where(is_pressure, scales.bias_m, gain)
    is_same = layout.observed[:, None] == layout.observed[None, :]
    total += np.where(is_same, np.outer(lasting, lasting), 0.0)
    noise = np.full(len(layout.row), scales.noise_m)
    noise[~is_pressure] = meter_noise[layout.observed[~is_pressure] - layout.n_pressures]
    floor = np.where(is_pressure, scales.row_noise_m, 0.3 * gain + 2e-5)
    diagonal = noise**2 / layout.n_read + floor**2
    total[np.diag_indices_from(total)] += diagonal


def _stack(layout: Layout, blocks: list[FloatArray], columns: IndexArray) -> FloatArray:
    """Return some columns of each row's effects on its entries, shape (n_entries, n_columns)."""
    stacked = np.empty((len(layout.row), len(columns)))
    for n, own in _of_rows(layout):
        # Two steps, and no question whether columns exist: four times as fast as both at once.
        some = np.take(blocks[n], columns, axis=1, mode="clip")
        np.take(some, layout.observed[own], axis=0, mode="clip", out=stacked[own])
    return stacked


def _of_rows(layout: Layout) -> Iterator[tuple[int, slice]]:
    """Give each row and its entries, which stand together."""
    assert (np.diff(layout.row) >= 0).all(), "entries of a row stand together"
    numbers = np.unique(layout.row)
    ends = np.searchsorted(layout.row, numbers, side="right").tolist()
    for number, first, last in zip(numbers.tolist(), [0, *ends], ends, strict=False):
        yield number, slice(first, last)


def _by_zone(
    rows: list[Row],
    layout: Layout,
    by_signed: FloatArray,
    is_fixed: BoolArray,
    takes: IndexArray,
) -> FloatArray:
    """Return the effect of each zone's demands together; zones without a source have none."""
    per_row = [np.unique(row.zone[is_fixed]) for row in rows]
    most = max(len(zones) for zones in per_row)
    effect = np.zeros((len(layout.row), most))
    for number, own in _of_rows(layout):
        inside = rows[number].zone[takes][:, None] == per_row[number][None, :]
        effect[own, : inside.shape[1]] = by_signed[own] @ inside
    return effect
