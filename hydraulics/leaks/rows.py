"""Readings of a window become a few rows, each with the boundary that it was read at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hydraulics.epanet.toolkit import Boundary, Solver
from hydraulics.leaks.equations import parts
from hydraulics.leaks.measurements import KnownLeak, Measurements
from hydraulics.leaks.statuses import (
    DAY_S,
    at_limits,
    but_not_most,
    levels,
    may_be_dry,
    mind_meters,
    pumps_run,
    statuses,
    step_s,
    stretches,
)
from hydraulics.leaks.tangent import Observed
from hydraulics.network import (
    BoolArray,
    FloatArray,
    IndexArray,
    NetworkModel,
    NodeKind,
)

_HOUR_S = 3_600.0
_FEW, _AT_LEAST = 3, 12
_CALM, _OF_CALM = 0.9, 0.623
"""Share of the bends of a level that are calm, and mean of their squares where all are normal."""
_LEAST_SCATTER_M, _MOST_SCATTER_M = 0.001, 0.0141
"""Of a level's reading, whatever it seems to be."""


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
        demand_factor: What users took over what the file says [-], shape (n_nodes,).
        is_balanced: Users that were scaled by a factor that was measured, shape (n_nodes,).
        is_metered: Users whose own meter says what they took, shape (n_nodes,).
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
    is_metered: BoolArray
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
    time_s, runs, area_m2 = seen.model_time_s, pumps_run(model, seen), solver.tank_area_m2()
    # Just before demands step they are what they were until then.
    steps = solver.period(time_s), solver.period(time_s - 1.0)
    for column, node in enumerate(seen.tank_node):
        volume_m3 = solver.tank_volume_m3(int(node), seen.tank_level_m[:, column])
        observed.append(_into(model, int(node), 1.0))
        values.append(_rates(seen, volume_m3, runs, steps))
        scatter_m3 = _scatter_m3(seen, volume_m3, float(area_m2[node]), steps)
        noise.append(np.sqrt(2.0) * scatter_m3 / step_s(seen))
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
    level = levels(model, seen)
    is_open, setting, head = statuses(inp, solver, seen, level)
    doubtful = mind_meters(solver, seen, is_open) | but_not_most(may_be_dry(model, level), seen)
    bins = bins_of_day(model, seen, most_rows)
    limits = at_limits(model, level)
    state = _state_of_links(np.hstack([is_open, np.isinf(setting), np.isnan(setting), limits]))
    keys = np.stack([seen.is_reference.astype(np.int64), bins, state], axis=1)
    groups, which = np.unique(keys, axis=0, return_inverse=True)
    members = [np.flatnonzero((which.reshape(-1) == g) & ~doubtful) for g in range(len(groups))]
    kept = [
        one
        for window in (seen.is_reference, ~seen.is_reference)
        for one in _worth_solving([m for m in members if len(m) and window[m[0]]])
    ]
    return [
        _row(solver, seen, meters, known, m, int(bins[m[0]]), (is_open, setting, head))
        for m in kept
    ]


def bins_of_day(model: NetworkModel, seen: Measurements, n_bins: int) -> IndexArray:
    """Return in which of some equal parts of a day each reading lies, shape (n_times,)."""
    clock_s = (seen.model_time_s + model.start_clock_s) % DAY_S
    return (clock_s // (DAY_S / n_bins)).astype(np.int64)


def _worth_solving(members: list[IndexArray]) -> list[IndexArray]:
    """Return groups of a few readings or more; where those hold little, also lesser ones.

    Where many pumps switch, hardly two readings find the same ones running.
    """
    members = sorted(members, key=len, reverse=True)
    size = np.array([len(one) for one in members])
    full = int((size >= min(_FEW, size.max(initial=1))).sum())
    if size[:full].sum() * 2 < size.sum():
        full = max(full, _AT_LEAST)
    return members[:full]


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
    taken, is_metered = _customers(model, seen, members)
    # What the file lets in at a junction is no user's.
    is_free = ~is_metered & (demand > 0)
    users = np.where(is_free, demand, 0.0)
    others = np.where(is_metered, taken, np.where(is_free, 0.0, demand)) + leaks
    given = meters.given_m3s[members]
    factor, is_balanced = _factors(model, zone, users, others, given)
    return Row(
        is_reference=is_reference,
        bin=at_bin,
        time_s=float(times.mean()),
        n_times=len(members),
        hour=hour,
        hour_share=n_read / n_read.sum(),
        members=members,
        boundary=Boundary(
            demand_m3s=users * factor + others,
            fixed_head_m=head[members].mean(axis=0),
            is_open=is_open[members[0]],
            setting=setting[members].mean(axis=0),
        ),
        demand_factor=factor,
        is_balanced=is_balanced,
        is_metered=is_metered,
        zone=zone,
    )


def _zones(model: NetworkModel, is_open: BoolArray) -> IndexArray:
    """Return which nodes stay together when closed links are taken away, shape (n_nodes,)."""
    return parts(model.start, model.end, is_open, model.n_nodes)


def _factors(
    model: NetworkModel,
    zone: IndexArray,
    users: FloatArray,
    others: FloatArray,
    given: FloatArray,
) -> tuple[FloatArray, BoolArray]:
    """Return what users of each zone took over what the file says, and where that was measured.

    Args:
        model: The network.
        zone: Zone of each node, shape (n_nodes,).
        users: What the file says of users that nobody meters [m³/s], shape (n_nodes,).
        others: What leaves at known leaks and metered customers, less what comes in at junctions.
        given: What sources and tanks gave [m³/s], shape (n_times, n_nodes).
    """
    factor = np.full(model.n_nodes, np.nan)
    is_fixed = model.node_kind != NodeKind.JUNCTION
    for number in np.unique(zone[is_fixed]):
        inside = zone == number
        total = float(users[inside].sum())
        with np.errstate(invalid="ignore"):
            taken = given[:, inside & is_fixed].sum(axis=1)
        good = taken[np.isfinite(taken)]
        if len(good) and total > 0:
            own = float(good.mean() - others[inside].sum())
            factor[inside] = np.clip(own / total, 0.05, 20.0)
    is_balanced = np.isfinite(factor)
    weight = np.where(is_balanced, users, 0.0)
    common = float((weight * np.nan_to_num(factor)).sum() / weight.sum()) if weight.sum() else 1.0
    return np.where(is_balanced, factor, common), is_balanced & (users > 0)


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


def _customers(
    model: NetworkModel, seen: Measurements, members: IndexArray
) -> tuple[FloatArray, BoolArray]:
    """Return what metered customers took [m³/s], and who is metered, both shape (n_nodes,)."""
    taken, is_metered = np.zeros(model.n_nodes), np.zeros(model.n_nodes, dtype=np.bool_)
    for column, node in enumerate(seen.demand_node):
        values = seen.demand_m3s[members, column]
        good = values[np.isfinite(values)]
        if len(good) and model.node_kind[node] == NodeKind.JUNCTION:
            taken[node] = good.mean()
            is_metered[node] = True
    return taken, is_metered


def _rates(
    seen: Measurements,
    volume_m3: FloatArray,
    runs: BoolArray,
    steps: tuple[IndexArray, IndexArray],
) -> FloatArray:
    """Return how fast a tank fills [m³/s], shape (n_times,), NaN in stretches that are too short.

    A level turns where a pump switches or demands of the file step. So of the times after and
    before a reading, that one is looked at in which pumps and demands are as at the reading; the
    one after, if both are. Then errors of readings within a row cancel.

    Args:
        seen: The readings.
        volume_m3: What the tank holds [m³], shape (n_times,).
        runs: Which metered pumps run, shape (n_times, n_pumps).
        steps: The step of demands at each reading, and just before it, shape (n_times,) each.
    """
    rate = np.full(len(volume_m3), np.nan)
    for members in stretches(seen):
        if len(members) >= _FEW:
            time_s, volume = seen.model_time_s[members], volume_m3[members]
            slope = np.diff(volume) / np.diff(time_s)
            step, until = steps[0][members], steps[1][members]
            same = 2 * (runs[members[1:]] == runs[members[:-1]]).all(axis=1)
            before = np.append(-1, same + (step[1:] == step[:-1]))
            after = np.append(same + (until[1:] == step[:-1]), -1)
            own = np.where(after >= before, np.append(slope, np.nan), np.append(np.nan, slope))
            rate[members] = own
    return rate


def _scatter_m3(
    seen: Measurements,
    volume_m3: FloatArray,
    area_m2: float,
    steps: tuple[IndexArray, IndexArray],
) -> float:
    """Return the standard deviation of a reading of what a tank holds [m³].

    Three readings in a row lie on a line where demands do not step. The tenth that do so least are
    left out: there pumps switched.

    Args:
        seen: The readings.
        volume_m3: What the tank holds [m³], shape (n_times,).
        area_m2: Its surface.
        steps: As `_rates` has them.
    """
    step, until = steps
    bends, is_calm = [], []
    for members in stretches(seen):
        bends.append(np.diff(volume_m3[members], 2))
        is_calm.append((step[members[:-2]] == until[members[2:]])[: len(bends[-1])])
    square, calm = np.concatenate(bends) ** 2, np.concatenate(is_calm)
    square = square[calm] if calm.any() else square
    square = np.sort(square[np.isfinite(square)])
    kept = square[: int(_CALM * len(square))]
    most = _MOST_SCATTER_M * area_m2
    if not len(kept):
        return most
    found = np.sqrt(kept.mean() / (_OF_CALM * 6.0))
    return float(np.clip(found, _LEAST_SCATTER_M * area_m2, most))


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
