"""Readings of a window become a few rows, each with the boundary that it was read at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hydraulics.epanet.toolkit import Boundary, Solver, replay
from hydraulics.errors import NotConvergedError
from hydraulics.leaks.equations import parts
from hydraulics.leaks.measurements import KnownLeak, Measurements
from hydraulics.leaks.tangent import Observed
from hydraulics.network import (
    BoolArray,
    FloatArray,
    IndexArray,
    LinkKind,
    NetworkModel,
    NodeKind,
)

_DAY_S = 86_400.0
_HOUR_S = 3_600.0
_REST_M3S = 1e-4
"""A metered pump or valve that passes less than this is closed."""
_WARM_UP_S = 2.0 * _DAY_S
_FEW = 3


@dataclass(frozen=True, slots=True)
class Meters:
    """What is measured beside pressure, as observations of the model.

    Attributes:
        observed: One for each flow, source inflow and tank whose level is measured.
        value_m3s: Measured [m³/s], shape (n_times, n_meters), NaN if missing.
        noise_m3s: Standard deviation of one reading [m³/s], shape (n_meters,).
        given_m3s: What each source and tank gave [m³/s], shape (n_times, n_nodes), NaN where it
            is not measured and at junctions.
    """

    observed: tuple[Observed, ...]
    value_m3s: FloatArray
    noise_m3s: FloatArray
    given_m3s: FloatArray


@dataclass(frozen=True, slots=True)
class Row:
    """Readings that share a window, an hour of the day and the state of links, averaged.

    Attributes:
        is_reference: Of the leak-free window.
        bin: Time of day, counted in bins.
        time_s: Mean model time [s].
        n_times: Readings in it.
        hour: Hours that they come from, counted since the model's start, shape (n_hours,).
        hour_share: Share of the readings in each of them, adding up to 1, shape (n_hours,).
        members: Which readings, shape (n_times,).
        boundary: Boundary with demands scaled to what the network took.
        demand_factor: Taken over what the file says [-], shape (n_nodes,).
        is_balanced: Whether the factor was measured, shape (n_nodes,).
        zone: Number of the part of the network that closed links leave together, (n_nodes,).
    """

    is_reference: bool
    bin: int
    time_s: float
    n_times: int
    hour: IndexArray
    hour_share: FloatArray
    members: IndexArray
    boundary: Boundary
    demand_factor: FloatArray
    is_balanced: BoolArray
    zone: IndexArray


def read_meters(model: NetworkModel, solver: Solver, seen: Measurements) -> Meters:
    """Return flows, source inflows and storage as observations."""
    observed: list[Observed] = []
    values: list[FloatArray] = []
    noise: list[float] = []
    for column, link in enumerate(seen.flow_link):
        observed.append(Observed(-1, (int(link),), (1.0,)))
        values.append(seen.flow_m3s[:, column])
        noise.append(2e-5)
    into = [(int(n), c) for c, n in enumerate(seen.demand_node)]
    sources = [(n, c) for n, c in into if model.node_kind[n] == NodeKind.RESERVOIR]
    for node, column in sources:
        observed.append(_into(model, node, -1.0))
        values.append(-seen.demand_m3s[:, column])
        noise.append(2e-5)
    area = solver.tank_area_m2()
    for column, node in enumerate(seen.tank_node):
        rate = _rates(seen, seen.tank_level_m[:, column])
        observed.append(_into(model, int(node), 1.0))
        values.append(rate * area[node])
        noise.append(0.02 * area[node] / _step_s(seen))
    value = np.stack(values, axis=1) if values else np.empty((len(seen.model_time_s), 0))
    given = _given(model, observed, value)
    return Meters(tuple(observed), value, np.array(noise), given)


def make_rows(  # noqa: PLR0913, PLR0917 - each is a thing of its own
    inp: Path,
    model: NetworkModel,
    solver: Solver,
    seen: Measurements,
    meters: Meters,
    known: tuple[KnownLeak, ...],
    most_rows: int,
) -> list[Row]:
    """Return the rows of both windows, each with its boundary.

    Args:
        inp: The file.
        model: Its network.
        solver: An open solver of it.
        seen: The readings.
        meters: Flows among them.
        known: Leaks that stay in the model.
        most_rows: Bins in a day, at most.
    """
    level = _levels(model, seen)
    is_open, setting, head = _statuses(inp, model, solver, seen, level)
    doubtful = _mind_meters(model, seen, is_open)
    bin_s = _DAY_S / most_rows
    clock_s = (seen.model_time_s + model.start_clock_s) % _DAY_S
    bins = (clock_s // bin_s).astype(np.int64)
    state = _state_of_links(np.hstack([is_open, np.isinf(setting), np.isnan(setting)]))
    keys = np.stack([seen.is_reference.astype(np.int64), bins, state], axis=1)
    groups, which = np.unique(keys, axis=0, return_inverse=True)
    members = [np.flatnonzero((which.reshape(-1) == g) & ~doubtful) for g in range(len(groups))]
    fullest = max(len(m) for m in members)
    kept = [m for m in members if len(m) >= max(min(_FEW, fullest), 1)]
    return [
        _row(solver, seen, meters, known, m, int(bins[m[0]]), (is_open, setting, head))
        for m in kept
    ]


def _state_of_links(is_open: BoolArray) -> IndexArray:
    """Return a number for each time, the same where the same links are open, shape (n_times,)."""
    moves = np.flatnonzero((is_open != is_open[0]).any(axis=0))
    if not len(moves):
        return np.zeros(len(is_open), dtype=np.int64)
    _, state = np.unique(is_open[:, moves], axis=0, return_inverse=True)
    return np.asarray(state.reshape(-1), dtype=np.int64)


def _row(  # noqa: PLR0913, PLR0917 - each is a thing of its own
    solver: Solver,
    seen: Measurements,
    meters: Meters,
    known: tuple[KnownLeak, ...],
    members: IndexArray,
    at_bin: int,
    links: tuple[BoolArray, FloatArray, FloatArray],
) -> Row:
    model = solver.model
    is_reference = bool(seen.is_reference[members[0]])
    is_open, setting, head = links
    times = seen.model_time_s[members]
    demand = solver.demand_m3s(times).mean(axis=0)
    leaks = known_outflow(model, known, is_reference=is_reference)
    zone = _zones(model, is_open[members[0]])
    hour, n_read = np.unique((times // _HOUR_S).astype(np.int64), return_counts=True)
    factor, is_balanced = _factors(model, zone, demand, leaks, meters.given_m3s[members])
    demand = _with_customers(model, seen, members, demand * factor)
    return Row(
        is_reference=is_reference,
        bin=at_bin,
        time_s=float(times.mean()),
        n_times=len(members),
        hour=hour,
        hour_share=n_read / n_read.sum(),
        members=members,
        boundary=Boundary(
            demand_m3s=demand + leaks,
            fixed_head_m=head[members].mean(axis=0),
            is_open=is_open[members[0]],
            setting=setting[members].mean(axis=0),
        ),
        demand_factor=factor,
        is_balanced=is_balanced,
        zone=zone,
    )


def _zones(model: NetworkModel, is_open: BoolArray) -> IndexArray:
    """Return which nodes stay together when closed links are taken away, shape (n_nodes,)."""
    return parts(model.start, model.end, is_open, model.n_nodes)


def _factors(
    model: NetworkModel,
    zone: IndexArray,
    demand: FloatArray,
    leaks: FloatArray,
    given: FloatArray,
) -> tuple[FloatArray, BoolArray]:
    """Return what each zone took over what the file says, and where that was measured."""
    factor = np.full(model.n_nodes, np.nan)
    is_fixed = model.node_kind != NodeKind.JUNCTION
    for number in np.unique(zone[is_fixed]):
        inside = zone == number
        total = float(demand[inside].sum())
        with np.errstate(invalid="ignore"):
            taken = given[:, inside & is_fixed].sum(axis=1)
        good = taken[np.isfinite(taken)]
        if len(good) and total > 0:
            own = float(good.mean() - leaks[inside].sum())
            factor[inside] = np.clip(own / total, 0.05, 20.0)
    is_balanced = np.isfinite(factor)
    weight = np.where(is_balanced, demand, 0.0)
    common = float((weight * np.nan_to_num(factor)).sum() / weight.sum()) if weight.sum() else 1.0
    return np.where(is_balanced, factor, common), is_balanced


def known_outflow(
    model: NetworkModel, known: tuple[KnownLeak, ...], *, is_reference: bool
) -> FloatArray:
    """Return the outflow of known leaks at each node [m³/s], shape (n_nodes,)."""
    outflow = np.zeros(model.n_nodes)
    for leak in known:
        if is_reference and not leak.is_in_reference:
            continue
        start, end = int(model.start[leak.link]), int(model.end[leak.link])
        outflow[start] += (1.0 - leak.place) * leak.flow_m3s
        outflow[end] += leak.place * leak.flow_m3s
    outflow[model.node_kind != NodeKind.JUNCTION] = 0.0
    return outflow


def _with_customers(
    model: NetworkModel, seen: Measurements, members: IndexArray, demand: FloatArray
) -> FloatArray:
    """Put metered customers at what they took, and the others at what is left."""
    result, total = demand.copy(), demand.sum()
    metered = np.zeros(model.n_nodes, dtype=np.bool_)
    for column, node in enumerate(seen.demand_node):
        values = seen.demand_m3s[members, column]
        good = values[np.isfinite(values)]
        if len(good) and model.node_kind[node] == NodeKind.JUNCTION:
            result[node] = good.mean()
            metered[node] = True
    rest = demand[~metered].sum()
    if metered.any() and rest > 0:
        result[~metered] *= max((total - result[metered].sum()) / rest, 0.05)
    return result


def _statuses(
    inp: Path, model: NetworkModel, solver: Solver, seen: Measurements, level: FloatArray
) -> tuple[BoolArray, FloatArray, FloatArray]:
    n_times = len(seen.model_time_s)
    is_open = np.tile(model.is_open, (n_times, 1))
    setting = solver.pump_speed(seen.model_time_s)
    head = solver.fixed_head_m(seen.model_time_s)
    tanks = np.flatnonzero(model.node_kind == NodeKind.TANK)
    unmeasured = tanks[~np.isfinite(level[:, tanks]).any(axis=0)]
    if len(unmeasured) or not _all_moves_metered(solver, seen):
        for members in _stretches(seen):
            _replay_into(
                inp, model, seen, level, members, len(unmeasured) > 0, is_open, setting, head
            )
    for tank in tanks:
        good = np.isfinite(level[:, tank])
        head[good, tank] = model.elevation_m[tank] + level[good, tank]
    return is_open, setting, head


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
    model: NetworkModel,
    seen: Measurements,
    level: FloatArray,
    members: IndexArray,
    is_blind: bool,  # noqa: FBT001 - each is a thing of its own
    is_open: BoolArray,
    setting: FloatArray,
    head: FloatArray,
) -> None:
    first = float(seen.model_time_s[members[0]])
    start = 0.0 if first <= _WARM_UP_S else (first - _WARM_UP_S if is_blind else first)
    try:
        found = replay(inp, model, seen.model_time_s[members], level[members], start_s=start)
    except NotConvergedError:
        return
    moved = model.link_kind != 0
    in_control = moved | ((found.is_open != model.is_open).any(axis=0) & ~model.is_oneway)
    # A pump that EPANET shuts for its head is shut again by the snapshot itself.
    is_open[members] = np.where(in_control, found.is_open, is_open[members])
    setting[members] = np.where(np.isnan(found.setting), setting[members], found.setting)
    tanks = model.node_kind == NodeKind.TANK
    head[np.ix_(members, tanks)] = found.fixed_head_m[:, tanks]


def _mind_meters(model: NetworkModel, seen: Measurements, is_open: BoolArray) -> BoolArray:
    """Open and close metered pumps as their meters say, and return which rows to doubt.

    Where a meter says other than the file's controls did, links that nobody meters and that move
    by the same controls may stand otherwise too.

    Returns:
        Rows to doubt, shape (n_times,): none where most of a window would be.
    """
    metered = {int(link) for link in seen.flow_link}
    moves = np.flatnonzero((is_open != is_open[0]).any(axis=0))
    others_move = any(int(link) not in metered for link in moves)
    doubtful = np.zeros(len(is_open), dtype=np.bool_)
    for column, link in enumerate(seen.flow_link):
        if model.is_pipe[link] or model.valve_type[link]:
            continue
        flow = seen.flow_m3s[:, column]
        good = np.isfinite(flow)
        runs = np.where(good, np.abs(flow) > _REST_M3S, is_open[:, link])
        if others_move:
            doubtful |= runs != is_open[:, link]
        is_open[:, link] = runs
    for window in (seen.is_reference, ~seen.is_reference):
        if doubtful[window].sum() * 2 > window.sum():
            doubtful[window] = False
    return doubtful


def _stretches(seen: Measurements) -> list[IndexArray]:
    """Return runs of rows of one window without a gap of an hour or more."""
    gap = np.diff(seen.model_time_s)
    new = (gap <= 0) | (gap > max(3_600.0, 3.0 * _step_s(seen)))
    new |= np.diff(seen.is_reference.astype(np.int64)) != 0
    return np.split(np.arange(len(seen.model_time_s)), np.flatnonzero(new) + 1)


def _step_s(seen: Measurements) -> float:
    gap = np.diff(seen.model_time_s)
    gap = gap[gap > 0]
    return float(np.median(gap)) if len(gap) else 3_600.0


def _levels(model: NetworkModel, seen: Measurements) -> FloatArray:
    level = np.full((len(seen.model_time_s), model.n_nodes), np.nan)
    for column, node in enumerate(seen.tank_node):
        values = seen.tank_level_m[:, column]
        good = np.flatnonzero(np.isfinite(values))
        if len(good):
            level[:, node] = np.interp(np.arange(len(values)), good, values[good])
    return level


def _rates(seen: Measurements, level_m: FloatArray) -> FloatArray:
    """Return how fast a level rises [m/s], shape (n_times,), NaN at the ends of stretches."""
    rate = np.full(len(level_m), np.nan)
    for members in _stretches(seen):
        if len(members) >= _FEW:
            time_s, level = seen.model_time_s[members], level_m[members]
            rate[members] = np.gradient(level, time_s)
    return rate


def _into(model: NetworkModel, node: int, sign: float) -> Observed:
    """Observe the flow into a node (sign +1) or out of it (sign -1)."""
    ends = np.flatnonzero(model.end == node)
    starts = np.flatnonzero(model.start == node)
    links = tuple(int(k) for k in (*ends, *starts))
    return Observed(-1, links, (sign,) * len(ends) + (-sign,) * len(starts))


def _given(model: NetworkModel, observed: list[Observed], value: FloatArray) -> FloatArray:
    """Return what each fixed head gives, where it is measured."""
    given = np.full((len(value), model.n_nodes), np.nan)
    metered = {one.links[0]: c for c, one in enumerate(observed) if len(one.links) == 1}
    for node in np.flatnonzero(model.node_kind != NodeKind.JUNCTION):
        out = _into(model, int(node), -1.0)
        inward = _into(model, int(node), 1.0)
        if out in observed:
            given[:, node] = value[:, observed.index(out)]
        elif inward in observed:
            given[:, node] = -value[:, observed.index(inward)]
        elif all(link in metered for link in out.links):
            columns = [metered[link] for link in out.links]
            given[:, node] = value[:, columns] @ np.array(out.signs)
    return given
