"""What tanks stood at, and which links were open, at each time that was read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hydraulics.epanet.toolkit import Solver, replay
from hydraulics.errors import NotConvergedError
from hydraulics.leaks.measurements import Measurements
from hydraulics.network import BoolArray, FloatArray, IndexArray, LinkKind, NetworkModel, NodeKind

DAY_S = 86_400.0
_REST_M3S, _NOISE_M3S, _TRICKLE = 1e-4, 2e-5, 0.1
"""A metered pump that passes less than the first is closed, or, if it never passes much, less than
a tenth of the most that it passes, which a meter's noise is not."""
_WARM_UP_S = 2.0 * DAY_S
_AT_LIMIT_M = 0.02
"""A level that stays as near to a tank's lowest or highest one stands at it."""


def levels(model: NetworkModel, seen: Measurements) -> FloatArray:
    """Return the level of each tank [m], shape (n_times, n_nodes), NaN where none is measured.

    EPANET lets no water out of a tank that stands at its lowest level, and none into one at its
    highest; one that stays within the gauge's error of it is put there.
    """
    level = np.full((len(seen.model_time_s), model.n_nodes), np.nan)
    for column, node in enumerate(seen.tank_node):
        values = seen.tank_level_m[:, column]
        good = np.flatnonzero(np.isfinite(values))
        if len(good):
            filled = np.interp(np.arange(len(values)), good, values[good])
            level[:, node] = _at_limits(filled, [float(limit[node]) for limit in _limits_m(model)])
    return level


def _limits_m(model: NetworkModel) -> list[FloatArray]:
    """Return the lowest and the highest levels of tanks, shape (n_nodes,) each, where known."""
    return [
        limit for limit in (model.tank_minimum_level_m, model.tank_maximum_level_m) if len(limit)
    ]


def _at_limits(level_m: FloatArray, limits_m: list[float]) -> FloatArray:
    """Return levels, at a limit where they and their neighbours in time are near it."""
    result = level_m.copy()
    for limit_m in limits_m:
        near = np.abs(level_m - limit_m) <= _AT_LIMIT_M
        padded = np.concatenate([near[:1], near, near[-1:]])
        result[near & padded[:-2] & padded[2:]] = limit_m
    return result


def at_limits(model: NetworkModel, level_m: FloatArray) -> BoolArray:
    """Return which tanks stand at their lowest, then at their highest level, where those are known.

    Args:
        model: The network.
        level_m: What `levels` says, shape (n_times, n_nodes).

    Returns:
        Shape (n_times, n_limits * n_nodes).
    """
    nothing = np.empty((len(level_m), 0), dtype=np.bool_)
    return np.hstack([nothing, *(level_m == limit for limit in _limits_m(model))])


def may_be_dry(model: NetworkModel, level_m: FloatArray) -> BoolArray:
    """Return when a tank stands so near its lowest level that it may give water or none.

    Or when it does just before or after.

    Args:
        model: The network.
        level_m: What `levels` says, shape (n_times, n_nodes).

    Returns:
        Shape (n_times,): not when one stands at its lowest level, which is known to give none.
    """
    if not len(model.tank_minimum_level_m):
        return np.zeros(len(level_m), dtype=np.bool_)
    above_m = level_m - model.tank_minimum_level_m
    near = above_m <= _AT_LIMIT_M
    padded = np.concatenate([near[:1], near, near[-1:]])
    beside = padded[:-2] | near | padded[2:]
    return np.asarray((beside & (above_m != 0.0)).any(axis=1), dtype=np.bool_)


def but_not_most(doubtful: BoolArray, seen: Measurements) -> BoolArray:
    """Return rows to doubt, shape (n_times,): none of a window of which they are most."""
    result = doubtful.copy()
    for window in (seen.is_reference, ~seen.is_reference):
        if doubtful[window].sum() * 2 > window.sum():
            result[window] = False
    return result


def statuses(
    inp: Path, solver: Solver, seen: Measurements, level_m: FloatArray
) -> tuple[BoolArray, FloatArray, FloatArray]:
    """Return which links are open, their settings, and fixed heads, at each time.

    Args:
        inp: The file.
        solver: An open solver of it.
        seen: The readings.
        level_m: What `levels` says, shape (n_times, n_nodes).

    Returns:
        Shapes (n_times, n_links), the same, NaN where a link has its own setting, and
        (n_times, n_nodes) [m].
    """
    model = solver.model
    is_open = np.tile(model.is_open, (len(seen.model_time_s), 1))
    setting = solver.pump_speed(seen.model_time_s)
    head = solver.fixed_head_m(seen.model_time_s)
    tanks = np.flatnonzero(model.node_kind == NodeKind.TANK)
    is_blind = not np.isfinite(level_m[:, tanks]).any(axis=0).all()
    turned = _as_turned(solver, level_m)
    if is_blind or not _all_moves_metered(solver, seen):
        for members in np.split(np.arange(len(is_open)), _gaps(seen)):
            _replay_into(inp, solver, seen, turned, members, is_blind, is_open, setting, head)
    for tank in tanks:
        good = np.isfinite(level_m[:, tank])
        head[good, tank] = model.elevation_m[tank] + level_m[good, tank]
    return is_open, setting, head


def _as_turned(solver: Solver, level_m: FloatArray) -> FloatArray:
    """Return levels that reach those of controls wherever they came near one and turned back.

    A level turns back where a control turns a link, mostly between two readings, so that none of
    them is as high; a link that nobody meters would then stand wrong until the next time.

    Args:
        solver: An open solver of the file.
        level_m: What `levels` says, shape (n_times, n_nodes).
    """
    result = level_m.copy()
    for node, limit_m, is_above in solver.controlled.by_level:
        height = (level_m[:, node] - limit_m) * (1.0 if is_above else -1.0)
        before, at, after = height[:-2], height[1:-1], height[2:]
        missed = np.maximum(at - before, at - after) / 2.0 + _AT_LIMIT_M
        turns = (at >= before) & (at > after) & (at < 0.0) & (at >= -missed)
        result[1:-1][turns, node] = limit_m
    return result


def _all_moves_metered(solver: Solver, seen: Measurements) -> bool:
    """Whether meters say all that the file's controls would: pumps that run or rest."""
    is_moved = solver.controlled.is_moved.copy()
    is_pump = solver.model.link_kind == LinkKind.PUMP
    for column, link in enumerate(seen.flow_link):
        if is_pump[link] and np.isfinite(seen.flow_m3s[:, column]).all():
            is_moved[link] = False
    return solver.controlled.only_switch and not is_moved.any()


def _replay_into(  # noqa: PLR0913, PLR0917 - what it reads, then what it fills
    inp: Path,
    solver: Solver,
    seen: Measurements,
    level_m: FloatArray,
    members: IndexArray,
    is_blind: bool,  # noqa: FBT001 - each is a thing of its own
    is_open: BoolArray,
    setting: FloatArray,
    head: FloatArray,
) -> None:
    model = solver.model
    first = float(seen.model_time_s[members[0]])
    start = 0.0 if first <= _WARM_UP_S else (first - _WARM_UP_S if is_blind else first)
    try:
        found = replay(inp, model, seen.model_time_s[members], level_m[members], start_s=start)
    except NotConvergedError:
        return
    # What EPANET shuts for its head or a tank's level is shut again by the snapshot itself.
    moves = (model.link_kind != LinkKind.PIPE) | solver.controlled.is_moved
    is_open[members] = np.where(moves, found.is_open, is_open[members])
    setting[members] = np.where(np.isnan(found.setting), setting[members], found.setting)
    tanks = model.node_kind == NodeKind.TANK
    head[np.ix_(members, tanks)] = found.fixed_head_m[:, tanks]


def mind_meters(solver: Solver, seen: Measurements, is_open: BoolArray) -> BoolArray:
    """Open and close metered pumps as their meters say, and return which rows to doubt.

    Links that turn by the very conditions of a metered pump, such as its bypass, turn with it: a
    level that is read at times misses the moment at which it passed a control's. Where a meter says
    other than the file's controls did, any other link that nobody meters may stand otherwise too.

    Args:
        solver: An open solver of the network.
        seen: The readings.
        is_open: What the controls did, shape (n_times, n_links); changed in place.

    Returns:
        Rows to doubt, shape (n_times,): none where most of a window would be.
    """
    model = solver.model
    pumps = {int(k): c for c, k in enumerate(seen.flow_link) if model.link_kind[k] == LinkKind.PUMP}
    follows = {
        one: (pumps[other], same)
        for one, other, same in solver.controlled.together
        if other in pumps and one not in pumps
    }
    told = set(follows) | {int(link) for link in seen.flow_link}
    moves = np.flatnonzero((is_open != is_open[0]).any(axis=0))
    others_move = any(int(link) not in told for link in moves)
    doubtful = np.zeros(len(is_open), dtype=np.bool_)
    for link, column in pumps.items():
        runs, good = _runs(seen.flow_m3s[:, column])
        if others_move:
            doubtful |= good & (runs != is_open[:, link])
        is_open[good, link] = runs[good]
    for link, (column, same) in follows.items():
        runs, good = _runs(seen.flow_m3s[:, column])
        is_open[good, link] = runs[good] == same
    return but_not_most(doubtful, seen)


def _runs(flow_m3s: FloatArray) -> tuple[BoolArray, BoolArray]:
    """Return when pumps ran, and when that is known, both of the shape of the flows."""
    size, is_read = np.abs(flow_m3s), np.isfinite(flow_m3s)
    most = size.max(axis=0, where=is_read, initial=0.0)
    return size > np.clip(_TRICKLE * most, _NOISE_M3S, _REST_M3S), is_read


def pumps_run(model: NetworkModel, seen: Measurements) -> BoolArray:
    """Return which metered pumps ran, shape (n_times, n_pumps); one that was not read rests."""
    is_pump = model.link_kind[seen.flow_link] == LinkKind.PUMP
    return _runs(seen.flow_m3s[:, is_pump])[0]


def stretches(seen: Measurements) -> list[IndexArray]:
    """Return runs of rows of one window without a gap of an hour or more."""
    turns = np.flatnonzero(np.diff(seen.is_reference.astype(np.int64)) != 0) + 1
    return np.split(np.arange(len(seen.model_time_s)), np.union1d(_gaps(seen), turns))


def _gaps(seen: Measurements) -> IndexArray:
    """Return the rows that do not follow within an hour, or three steps, of the one before."""
    gap = np.diff(seen.model_time_s)
    return np.flatnonzero((gap <= 0) | (gap > max(3_600.0, 3.0 * step_s(seen)))) + 1


def step_s(seen: Measurements) -> float:
    """Return the usual time between two rows [s]."""
    gap = np.diff(seen.model_time_s)
    gap = gap[gap > 0]
    return float(np.median(gap)) if len(gap) else 3_600.0
