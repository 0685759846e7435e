"""Readings as half hours, each with the boundary at which EPANET is asked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hydraulics.epanet.toolkit import Boundary, Solver
from hydraulics.leaks.measurements import Measurements
from hydraulics.leaks.stream.zones import Zone, Zoning, intake_m3s
from hydraulics.network import FloatArray, IndexArray, NetworkModel, NodeKind

_DAY_S = 86_400.0
_RUNS_M3S = 1e-4
_FEW = 2
_WEEK = 7
_CLEARLY = 0.8
_LEAST_OF_DAY = 0.5
"""Share of a day over which what tanks store must be known."""


@dataclass(frozen=True, slots=True)
class DayRows:
    """One day's rows.

    Attributes:
        block: Time of day and state of the metered pumps of each row, shape (n_rows,).
        n_read: Readings that each row averages, shape (n_rows,).
        measured: Heads [m], then flows of the split meters [m³/s], (n_rows, n_observed).
        fixed_m3s: Demands that meters say, and flow through cut pumps, shape (n_rows, n_nodes).
        shared_m3s: Demands of the file of users whose zone is scaled, shape (n_rows, n_nodes).
        intake_m3s: What the scaled users of each zone take together with its leaks
            [m³/s], shape (n_rows, n_zones), NaN where the zone is not fed.
        fixed_head_m: Heads of reservoirs and tanks, shape (n_rows, n_nodes).
        surplus_m3s: What each fully metered zone took beyond its meters over the day, (n_zones,),
            NaN for other zones.
    """

    block: IndexArray
    n_read: FloatArray
    measured: FloatArray
    fixed_m3s: FloatArray
    shared_m3s: FloatArray
    intake_m3s: FloatArray
    fixed_head_m: FloatArray
    surplus_m3s: FloatArray


@dataclass(frozen=True, slots=True)
class Frame:
    """What does not change from day to day.

    Attributes:
        model: The network.
        zoning: Its zones.
        n_blocks: Blocks in a day, over both states of the pumps.
        row_s: Length of a row [s].
        block_s: Length of a block [s].
        shift_s: How much earlier than the model's clock the file's patterns run [s].
    """

    model: NetworkModel
    zoning: Zoning
    row_s: float
    block_s: float
    shift_s: float

    @property
    def n_blocks(self) -> int:
        """Times of day, twice."""
        return 2 * round(_DAY_S / self.block_s)

    def boundary(self, rows: DayRows, row: int, leak_m3s: FloatArray) -> Boundary:
        """Return a row's boundary with leaks in it.

        Args:
            rows: The day.
            row: Which row.
            leak_m3s: Outflow of leaks at each node, shape (n_nodes,).
        """
        demand = rows.fixed_m3s[row] + leak_m3s + self.users_m3s(rows, row, leak_m3s)
        n_links = self.model.n_links
        return Boundary(
            demand, rows.fixed_head_m[row], self.zoning.is_open, np.full(n_links, np.nan)
        )

    def users_m3s(self, rows: DayRows, row: int, leak_m3s: FloatArray) -> FloatArray:
        """Return what scaled users take, shape (n_nodes,)."""
        users: FloatArray = rows.shared_m3s[row].copy()
        for number, zone in enumerate(self.zoning.zones):
            taken = rows.intake_m3s[row, number]
            total = float(users[zone.nodes].sum())
            if np.isfinite(taken) and total > 0:
                own = max(taken - float(leak_m3s[zone.nodes].sum()), 0.02 * taken)
                users[zone.nodes] *= own / total
        return users


def day_rows(
    frame: Frame, seen: Measurements, members: IndexArray, demand_m3s: FloatArray, head: FloatArray
) -> DayRows:
    """Average one day's readings.

    Args:
        frame: The network's zones and times.
        seen: All readings.
        members: Which rows of them are of this day.
        demand_m3s: Demands of the file at these rows, shape (n_members, n_nodes).
        head: Heads of reservoirs at these rows, shape (n_members, n_nodes), NaN at junctions.
    """
    kept = _usable(frame, seen, members)
    members, demand_m3s, head = members[kept], demand_m3s[kept], head[kept]
    clock_s = (seen.model_time_s[members] + frame.model.start_clock_s) % _DAY_S
    runs = _any_pump(frame, seen, members)
    key = (clock_s // frame.row_s).astype(np.int64) * 2 + runs
    names, which, n_read = np.unique(key, return_inverse=True, return_counts=True)
    mean = _Mean(which, len(names))
    block = ((names // 2) * frame.row_s // frame.block_s).astype(np.int64) * 2 + names % 2
    fixed, shared, intake = _demands(frame, seen, members, demand_m3s)
    rows = DayRows(
        block=block,
        n_read=n_read.astype(np.float64),
        measured=mean(_measured(frame, seen, members)),
        fixed_m3s=mean(fixed),
        shared_m3s=mean(shared),
        intake_m3s=mean(intake),
        fixed_head_m=mean(_heads(frame, seen, members, head)),
        surplus_m3s=_surplus(frame, seen, members, shared),
    )
    return _of_enough(rows)


def _of_enough(rows: DayRows) -> DayRows:
    good = rows.n_read >= _FEW
    return DayRows(
        rows.block[good],
        rows.n_read[good],
        rows.measured[good],
        rows.fixed_m3s[good],
        rows.shared_m3s[good],
        rows.intake_m3s[good],
        rows.fixed_head_m[good],
        rows.surplus_m3s,
    )


class _Mean:
    """Averages over groups that leave out what is missing."""

    def __init__(self, which: IndexArray, n_groups: int) -> None:
        self._which, self._n_groups = which.reshape(-1), n_groups

    def __call__(self, values: FloatArray) -> FloatArray:
        total = np.zeros((self._n_groups, values.shape[1]))
        count = np.zeros((self._n_groups, values.shape[1]))
        np.add.at(total, self._which, np.nan_to_num(values))
        np.add.at(count, self._which, np.isfinite(values))
        return np.where(count > 0, total / np.maximum(count, 1.0), np.nan)


def _usable(frame: Frame, seen: Measurements, members: IndexArray) -> IndexArray:
    """Return rows at which all that the boundary rests on was read."""
    columns = {column for zone in frame.zoning.zones for column, _ in zone.sources}
    good = np.isfinite(
        seen.flow_m3s[np.ix_(members, np.array(sorted(columns), dtype=np.int64))]
    ).all(axis=1)
    good &= np.isfinite(seen.tank_level_m[members]).all(axis=1)
    return np.flatnonzero(good)


def _any_pump(frame: Frame, seen: Measurements, members: IndexArray) -> IndexArray:
    runs = np.zeros(len(members), dtype=np.int64)
    for column, _ in frame.zoning.cut:
        runs |= (np.abs(seen.flow_m3s[members, column]) > _RUNS_M3S).astype(np.int64)
    return runs


def _measured(frame: Frame, seen: Measurements, members: IndexArray) -> FloatArray:
    head = seen.pressure_m[members] + frame.model.elevation_m[seen.pressure_node]
    split = np.array(frame.zoning.split, dtype=np.int64)
    flow = seen.flow_m3s[np.ix_(members, split)]
    return np.asarray(np.concatenate([head, flow], axis=1), dtype=np.float64)


def _heads(frame: Frame, seen: Measurements, members: IndexArray, head: FloatArray) -> FloatArray:
    result = head.copy()
    for column, node in enumerate(seen.tank_node):
        result[:, node] = frame.model.elevation_m[node] + seen.tank_level_m[members, column]
    return result


def _demands(
    frame: Frame, seen: Measurements, members: IndexArray, demand_m3s: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    model, flow = frame.model, seen.flow_m3s[members]
    fixed, shared = np.zeros_like(demand_m3s), demand_m3s.copy()
    shared[:, model.node_kind != NodeKind.JUNCTION] = 0.0
    for column, node in enumerate(seen.demand_node):
        read = seen.demand_m3s[members, column]
        if model.node_kind[node] == NodeKind.JUNCTION:
            fixed[:, node] += np.where(np.isfinite(read), read, demand_m3s[:, node])
            shared[:, node] = 0.0
    intake = np.full((len(members), len(frame.zoning.zones)), np.nan)
    for number, zone in enumerate(frame.zoning.zones):
        if zone.is_fed:
            given, usual = fixed[:, zone.nodes].sum(axis=1), shared[:, zone.nodes].sum(axis=1)
            intake[:, number] = _taken_m3s(zone, seen, members, given, usual)
    for column, link in frame.zoning.cut:
        fixed[:, model.start[link]] += flow[:, column]
        if model.node_kind[model.end[link]] == NodeKind.JUNCTION:
            fixed[:, model.end[link]] -= flow[:, column]
    return fixed, shared, intake


def _taken_m3s(
    zone: Zone, seen: Measurements, members: IndexArray, given: FloatArray, usual: FloatArray
) -> FloatArray:
    """Return what a zone's users took without meters of their own [m³/s], shape (n_members,).

    Tanks hide when it was taken: where there are some, only the day's mean is known, and users
    keep the file's pattern. NaN where too little of the day was read for that.

    Args:
        zone: The zone.
        seen: All readings.
        members: Which rows of them are of this day.
        given: What its meters say that customers took [m³/s], shape (n_members,).
        usual: What the file says that others take [m³/s], shape (n_members,).
    """
    if not zone.tanks:
        return intake_m3s(zone, seen.flow_m3s[members]) - given
    if len(members) <= _FEW or _span_s(seen, members) < _LEAST_OF_DAY * _DAY_S:
        return np.full(len(members), np.nan)
    mean_m3s = _came_m3s(zone, seen, members) - float(given.mean())
    return np.asarray(usual * (mean_m3s / max(float(usual.mean()), 1e-9)), dtype=np.float64)


def _span_s(seen: Measurements, members: IndexArray) -> float:
    return float(seen.model_time_s[members[-1]] - seen.model_time_s[members[0]])


def _came_m3s(zone: Zone, seen: Measurements, members: IndexArray) -> float:
    """Return a zone's mean inflow over the day, less what its tanks stored [m³/s]."""
    came = float(np.nanmean(intake_m3s(zone, seen.flow_m3s[members])))
    for column, area_m2 in zone.tanks:
        level_m = seen.tank_level_m[members, column]
        rise_m = float(level_m[-_FEW:].mean() - level_m[:_FEW].mean())
        came -= rise_m * area_m2 / max(_span_s(seen, members), 1.0)
    return came


def _surplus(
    frame: Frame, seen: Measurements, members: IndexArray, shared_m3s: FloatArray
) -> FloatArray:
    """Return inflow less storage less users of each metered zone, over the day."""
    surplus = np.full(len(frame.zoning.zones), np.nan)
    for number, zone in enumerate(frame.zoning.zones):
        if zone.is_metered and len(members) > _FEW:
            others_m3s = float(shared_m3s[:, zone.nodes].sum(axis=1).mean())
            surplus[number] = _left_over(zone, seen, members) - others_m3s
    return surplus


def _left_over(zone: Zone, seen: Measurements, members: IndexArray) -> float:
    meters = np.array(zone.meters, dtype=np.int64)
    read = seen.demand_m3s[np.ix_(members, meters)]
    if not np.isfinite(read).any(axis=0).all():
        return float("nan")  # a meter was silent all day: what its user took is not known
    took = float(np.nanmean(read, axis=0).sum())
    return _came_m3s(zone, seen, members) - took


def pattern_shift_s(zoning: Zoning, seen: Measurements, solver: Solver, n_days: int = 14) -> float:
    """Return how much later in their week the file's patterns should be read [s], whole days.

    The week of a file may begin on any day. Each of seven beginnings is fitted to what fed zones
    took in the first days, day by day as a share of the pattern and a constant; another beginning
    than the file's is taken only where it fits clearly better.
    """
    fed = [zone for zone in zoning.zones if zone.is_fed and not zone.tanks]
    members = np.flatnonzero(seen.model_time_s < seen.model_time_s[0] + n_days * _DAY_S)[::6]
    if not fed or len(members) < n_days:
        return 0.0
    times = seen.model_time_s[members]
    taken = np.stack([intake_m3s(zone, seen.flow_m3s[members]) for zone in fed])
    misfit = []
    for shift in range(_WEEK):
        demand = solver.demand_m3s(times + shift * _DAY_S)
        usual = np.stack([demand[:, zone.nodes].sum(axis=1) for zone in fed])
        misfit.append(_misfit(times // _DAY_S, usual, taken))
    best = int(np.argmin(misfit))
    return best * _DAY_S if misfit[best] < _CLEARLY * misfit[0] else 0.0


def _misfit(day: FloatArray, usual: FloatArray, taken: FloatArray) -> float:
    """Return the mean square of what a share and a constant a day leave."""
    left = 0.0
    for own, read in zip(usual, taken, strict=True):
        for number in np.unique(day):
            at = (day == number) & np.isfinite(read)
            if at.sum() > _WEEK:
                basis = np.stack([own[at], np.ones(int(at.sum()))], axis=1)
                left += float(np.linalg.lstsq(basis, read[at], rcond=None)[1].sum())
    return left
