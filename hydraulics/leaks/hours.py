"""Whether what a network takes follows its model's demands at the model's own hours.

A wrong time zone or a wrong beginning of the model's time makes every pattern wrong at every hour,
and no sensor tells that from a model that is wrong otherwise. The intake does.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hydraulics.epanet.toolkit import Solver
from hydraulics.leaks.measurements import Measurements
from hydraulics.network import FloatArray, NetworkModel, NodeKind

_HOUR_S, _WEEK_S = 3_600.0, 604_800.0
_HOURS_IN_DAY = 24
_FEWEST_HOURS = 18
"""Hours of a day that must be seen: fewer of them are alike at many shifts."""
_FOLLOWS = 0.6
"""Least share of its variance that must follow the demands for the intake to say anything."""
_CLEARLY = 0.5
"""Other hours than the model's must leave less than this share of what its own leave."""


def hours_late(inp: Path, model: NetworkModel, seen: Measurements) -> int | None:
    """Return by how many hours what the network takes comes later than its model's demands.

    Args:
        inp: The network's EPANET file.
        model: The same network as arrays.
        seen: Readings without a new leak.

    Returns:
        -11 to 12, 0 where it comes when it should; None where that cannot be told: a source or a
        tank without a meter, too few hours, or an intake that follows no demands of the file.
    """
    with Solver(inp, model) as solver:
        hour, taken_m3s = _taken(model, seen, solver)
        if len(np.unique(hour % _HOURS_IN_DAY)) < _FEWEST_HOURS:
            return None
        amid_s = (hour + 0.5) * _HOUR_S
        shifts = np.arange(_HOURS_IN_DAY) - _HOURS_IN_DAY // 2 + 1
        usual = [_demand_m3s(solver, amid_s - shift * _HOUR_S) for shift in shifts]
    follows = np.array([_share_followed(one, taken_m3s) for one in usual])
    best, own = int(follows.argmax()), float(follows[shifts == 0][0])
    if follows[best] < _FOLLOWS:
        return None
    return int(shifts[best]) if 1.0 - follows[best] < _CLEARLY * (1.0 - own) else 0


def _demand_m3s(solver: Solver, model_time_s: FloatArray) -> FloatArray:
    """Return what the file's users take together; before its first hour, as in its last week."""
    return np.asarray(solver.demand_m3s(model_time_s % _WEEK_S).sum(axis=1), dtype=np.float64)


def _share_followed(usual_m3s: FloatArray, taken_m3s: FloatArray) -> float:
    """Return the share of the variance that goes with the demands; 0 where it goes against them."""
    if np.ptp(usual_m3s) <= 0.0 or np.ptp(taken_m3s) <= 0.0:
        return 0.0
    return max(float(np.corrcoef(usual_m3s, taken_m3s)[0, 1]), 0.0) ** 2


def _taken(
    model: NetworkModel, seen: Measurements, solver: Solver
) -> tuple[FloatArray, FloatArray]:
    """Return model hours, and what users took in each [m³/s]: inflow less what tanks stored."""
    inflow = _inflow_m3s(model, seen)
    stored = _stored_m3(model, seen, solver)
    hour = np.floor(seen.model_time_s / _HOUR_S)
    known = np.isfinite(inflow) & np.isfinite(stored)
    at, first, number = np.unique(hour[known], return_index=True, return_inverse=True)
    if not len(at):
        return at, at
    mean = np.bincount(number, weights=inflow[known]) / np.bincount(number)
    begins_s, held_m3 = seen.model_time_s[known][first], stored[known][first]
    is_followed = np.diff(at) == 1.0
    rise_m3s = (np.diff(held_m3) / np.diff(begins_s))[is_followed]
    return at[:-1][is_followed], mean[:-1][is_followed] - rise_m3s


def _inflow_m3s(model: NetworkModel, seen: Measurements) -> FloatArray:
    """Return what all reservoirs give [m³/s], shape (n_times,), NaN where one is not metered."""
    total = np.zeros(len(seen.model_time_s))
    read = {int(link): seen.flow_m3s[:, c] for c, link in enumerate(seen.flow_link)}
    drawn = {int(node): seen.demand_m3s[:, c] for c, node in enumerate(seen.demand_node)}
    nowhere = np.full(len(total), np.nan)
    for node in np.flatnonzero(model.node_kind == NodeKind.RESERVOIR):
        if int(node) in drawn:
            total -= drawn[int(node)]
            continue
        for sign, ends in ((1.0, model.start), (-1.0, model.end)):
            for link in np.flatnonzero((ends == node) & model.is_open):
                total += sign * read.get(int(link), nowhere)
    return total


def _stored_m3(model: NetworkModel, seen: Measurements, solver: Solver) -> FloatArray:
    """Return what all tanks hold [m³], shape (n_times,), NaN where a level is not measured."""
    total = np.zeros(len(seen.model_time_s))
    column = {int(node): c for c, node in enumerate(seen.tank_node)}
    for node in np.flatnonzero(model.node_kind == NodeKind.TANK):
        if int(node) not in column:
            return np.full(len(total), np.nan)
        total += solver.tank_volume_m3(int(node), seen.tank_level_m[:, column[int(node)]])
    return total
