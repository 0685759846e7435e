"""What was measured in each row, and how far it lies from what the leak-free model expects."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hydraulics.leaks.measurements import KnownLeak, Measurements
from hydraulics.leaks.prior import Carried, Layout, Scales, carry
from hydraulics.leaks.rows import Meters, Row, known_outflow
from hydraulics.leaks.solved import Solved
from hydraulics.network import BoolArray, FloatArray, NetworkModel, NodeKind

_FEW = 3


def make_layout(model: NetworkModel, seen: Measurements, meters: Meters, solved: Solved) -> Layout:
    """Average what was measured in each row; half of the readings must be there.

    A sensor that no source reaches in a row says nothing there.
    """
    values, counts = [], []
    heads = seen.pressure_m + model.elevation_m[seen.pressure_node]
    everything = np.concatenate([heads, meters.value_m3s], axis=1)
    for row, tangent in zip(solved.rows, solved.tangents, strict=True):
        block = everything[row.members]
        count = np.isfinite(block).sum(axis=0)
        mean = np.nansum(block, axis=0) / np.maximum(count, 1)
        mean[: len(seen.pressure_node)][~tangent.is_live[seen.pressure_node]] = np.nan
        values.append(np.where(count * 2 >= len(block), mean, np.nan))
        counts.append(count)
    value, count = np.stack(values), np.stack(counts)
    at, observed = np.nonzero(np.isfinite(value))
    return Layout(
        row=at,
        observed=observed,
        value=value[at, observed],
        n_read=count[at, observed].astype(np.float64),
        n_pressures=len(seen.pressure_node),
    )


def make_gap(solved: Solved, layout: Layout) -> FloatArray:
    """Return measured minus expected, where users take what they took in the reference.

    Shape (n_entries,).
    """
    expected = solved.predicted.copy()
    for number, row in enumerate(solved.rows):
        past, both = _past(solved.rows, row)
        if row.is_reference or not both.any():
            continue
        ratio = np.where(both, past / row.demand_factor, 1.0)
        change = row.boundary.demand_m3s * (ratio - 1.0)
        expected[number] += solved.sensitivity[number].outflow @ change
    return np.asarray(layout.value - expected[layout.row, layout.observed], dtype=np.float64)


def seen_scales(rows: list[Row], scales: Scales) -> Scales:
    """Return the scales, with the spread of intakes between windows as it was seen."""
    ratios = []
    for row in rows:
        past, both = _past(rows, row)
        both &= row.boundary.demand_m3s > 0
        if row.is_reference or not both.any():
            continue
        weight = np.where(both, row.boundary.demand_m3s, 0.0)
        ratio = past / row.demand_factor - 1.0
        ratios.append(float((weight * ratio).sum() / weight.sum()))
    if len(ratios) < _FEW:
        return scales
    spread = float(np.std(ratios)) / np.sqrt(2.0)
    return replace(scales, level_row=max(scales.level_row, spread))


def carry_errors(
    model: NetworkModel,
    seen: Measurements,
    known: tuple[KnownLeak, ...],
    solved: Solved,
    layout: Layout,
) -> Carried:
    """Return what errors of the model do to the entries."""
    level_ok = np.isfinite(seen.tank_level_m).any(axis=0)
    is_measured = model.node_kind == NodeKind.RESERVOIR
    is_measured[seen.tank_node[level_ok]] = True
    leaks = [
        np.stack(
            [known_outflow(model, (one,), is_reference=row.is_reference) for row in solved.rows]
        )
        for one in known
    ]
    return carry(model, solved.rows, solved.sensitivity, layout, is_measured, leaks)


def _past(rows: list[Row], row: Row) -> tuple[FloatArray, BoolArray]:
    """Return what users took in the leak-free window over what the file says, and where known.

    It is taken from rows at the same time of day, those with the same links open if there are
    any, or else from all rows. Both have shape (n_nodes,).
    """
    past = [one for one in rows if one.is_reference]
    same_time = [one for one in past if one.bin == row.bin]
    alike = [one for one in same_time if _kind(one) == _kind(row)]
    chosen = alike or same_time or past
    if not chosen:
        return np.ones_like(row.demand_factor), np.zeros_like(row.is_balanced)
    balanced = np.stack([one.is_balanced for one in chosen])
    factor = np.stack([one.demand_factor for one in chosen])
    weight = balanced * np.array([float(one.n_times) for one in chosen])[:, None]
    total = weight.sum(axis=0)
    mean = (weight * factor).sum(axis=0) / np.maximum(total, 1.0)
    return np.where(total > 0, mean, 1.0), (total > 0) & row.is_balanced


def _kind(row: Row) -> tuple[int, bytes]:
    """Return what rows of two windows have in common: the time of day, and which links are open."""
    return row.bin, row.boundary.is_open.tobytes()
