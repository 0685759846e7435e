"""A network in which things happen from day to day: users, pumps, leaks, and what is read.

Each time step is one EPANET snapshot in process at the levels that the steps before left, so that
anything may differ from the file: demands by the hour and the day, roughness, when pumps run. A
leak leaves at the two ends of its pipe, each by its nearness, and follows the pressure there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from hydraulics.epanet.scenario import Perturbation, Truth, Watched
from hydraulics.epanet.toolkit import Boundary, Solver, State
from hydraulics.network import BoolArray, FloatArray, LinkKind, NetworkModel, NodeKind

DAY_S, HOUR_S, WEEK_DAYS = 86_400, 3_600, 7
SUNDAY = 6
LATER_S = 2 * HOUR_S
PUMP_ON_M, PUMP_OFF_M = 2.4, 3.9
"""Levels at which L-Town's file starts and stops its pump."""
NIGHT = (22 * HOUR_S, 6 * HOUR_S)
LOW_M = 1.0
UNSURE = Perturbation(demand_sigma=0.3, hourly_sigma=0.1, day_sigma=0.03, roughness_half_width=0.1)


@dataclass(frozen=True)
class GrowingLeak:
    """A leak that grows evenly and then stays, until it is repaired.

    Attributes:
        link: Index of its pipe.
        place: Fraction of the way from the start node.
        flow_m3s: Outflow at its largest, at the pressure that its pipe begins the run with [m³/s].
        start_s: When it begins to grow [s since the run began].
        peak_s: When it is largest; `start_s` where it opens at once.
        end_s: When it is repaired.
    """

    link: int
    place: float
    flow_m3s: float
    start_s: float
    peak_s: float
    end_s: float = float("inf")

    def on_m3s(self, at_s: float) -> float:
        """Return its outflow at a time, at the pressure that its pipe began with [m³/s]."""
        if not self.start_s <= at_s < self.end_s:
            return 0.0
        grown = (at_s - self.start_s) / max(self.peak_s - self.start_s, 1.0)
        is_abrupt = self.peak_s <= self.start_s
        return self.flow_m3s * (1.0 if is_abrupt else min(grown, 1.0))


@dataclass(frozen=True)
class Surge:
    """Users who take more for a while.

    Attributes:
        factor: How many times as much.
        start_s: From when [s since the run began].
        end_s: Until when.
        node: Which user, -1 for all.
    """

    factor: float
    start_s: float
    end_s: float
    node: int = -1


@dataclass(frozen=True)
class Plan:
    """What happens.

    Attributes:
        n_days: Length of the run.
        step_s: Time between rows [s].
        seed: Of what nobody knows: demands and roughness.
        perturbation: How far the truth is from the file.
        leaks: The leaks.
        surges: Users who take more.
        holidays: Days on which users live as on a Sunday and rise later.
        night_pumps_s: From when pumps run at night instead of by levels, infinite for never.
        start_day: The file's day on which the run begins, 0 for its first.
    """

    n_days: int
    step_s: int
    seed: int
    perturbation: Perturbation = UNSURE
    leaks: tuple[GrowingLeak, ...] = ()
    surges: tuple[Surge, ...] = ()
    holidays: frozenset[int] = field(default_factory=frozenset)
    night_pumps_s: float = float("inf")
    start_day: int = 0


@dataclass(frozen=True)
class Run:
    """A run's truth.

    Attributes:
        truth: What instruments without fault would read.
        demand_m3s: What the watched users took, shape (n_times, n_users).
    """

    truth: Truth
    demand_m3s: FloatArray


class World:
    """One network with a plan."""

    def __init__(self, solver: Solver, plan: Plan) -> None:
        self._solver, self._plan, self.model = solver, plan, solver.model
        streams = np.random.SeedSequence(plan.seed).spawn(4)
        static, rough, self._hourly, self._daily = (np.random.default_rng(s) for s in streams)
        self._static = log_normal(static, plan.perturbation.demand_sigma, self.model.n_nodes)
        width = plan.perturbation.roughness_half_width
        factor = 1.0 + width * rough.uniform(-1.0, 1.0, self.model.n_links)
        solver.set_roughness(self.model.roughness * factor)
        self._tanks = np.flatnonzero(self.model.node_kind == NodeKind.TANK)
        self._pumps = np.flatnonzero(self.model.link_kind == LinkKind.PUMP)
        self._area_m2 = solver.tank_area_m2()
        self._head_m = solver.fixed_head_m(np.zeros(1))[0]
        self._runs = True
        self._began_m: dict[int, float] = {}

    def states(self) -> Iterator[tuple[int, FloatArray, State, FloatArray]]:
        """Yield each step's time, demands, state, and the leaks' outflow [m³/s]."""
        state: State | None = None
        for day in range(self._plan.n_days):
            demand = self._demands(day)
            for row, users in enumerate(demand):
                at_s = day * DAY_S + row * self._plan.step_s
                leaks = self._leaks(at_s, state)
                state = self._solve(at_s, users + self._at_ends(leaks))
                yield at_s, users, state, leaks
                self._fill(state)

    def _demands(self, day: int) -> FloatArray:
        """Return what users take on a day [m³/s], shape (n_steps, n_nodes)."""
        plan, at_s = self._plan, np.arange(0, DAY_S, self._plan.step_s, dtype=np.float64)
        usual = self._solver.demand_m3s(at_s + self._file_day(day) * DAY_S - self._later_s(day))
        spread = plan.perturbation
        hourly = [log_normal(self._hourly, spread.hourly_sigma, usual.shape[1]) for _ in range(24)]
        factor = np.stack(hourly)[(at_s // HOUR_S).astype(np.int64)]
        demand = usual * factor * self._static * log_normal(self._daily, spread.day_sigma, 1)
        for one in plan.surges:
            now = (day * DAY_S + at_s >= one.start_s) & (day * DAY_S + at_s < one.end_s)
            nodes = slice(None) if one.node < 0 else slice(one.node, one.node + 1)
            demand[now, nodes] *= one.factor
        return np.asarray(demand, dtype=np.float64)

    def _file_day(self, day: int) -> int:
        at = day + self._plan.start_day
        return at - at % WEEK_DAYS + SUNDAY if day in self._plan.holidays else at

    def _later_s(self, day: int) -> float:
        return LATER_S if day in self._plan.holidays else 0.0

    def _leaks(self, at_s: float, before: State | None) -> FloatArray:
        """Return the leaks' outflow [m³/s], with the root of the pressure of the step before."""
        flow = np.array([leak.on_m3s(at_s) for leak in self._plan.leaks])
        if before is None:
            return flow
        pressure_m = before.head_m - self.model.elevation_m
        for number, leak in enumerate(self._plan.leaks):
            ends = [self.model.start[leak.link], self.model.end[leak.link]]
            now_m = max(float(pressure_m[ends].mean()), 0.0)
            began_m = self._began_m.setdefault(number, max(now_m, 1.0))
            flow[number] *= np.sqrt(now_m / began_m)
        return flow

    def _at_ends(self, leaks: FloatArray) -> FloatArray:
        outflow = np.zeros(self.model.n_nodes)
        for leak, flow_m3s in zip(self._plan.leaks, leaks, strict=True):
            outflow[self.model.start[leak.link]] += (1.0 - leak.place) * flow_m3s
            outflow[self.model.end[leak.link]] += leak.place * flow_m3s
        outflow[self.model.node_kind != NodeKind.JUNCTION] = 0.0
        return outflow

    def _solve(self, at_s: float, demand: FloatArray) -> State:
        is_open = self.model.is_open.copy()
        is_open[self._pumps] = self._pump_runs(at_s)
        setting = np.full(self.model.n_links, np.nan)
        return self._solver.solve(Boundary(demand, self._head_m, is_open, setting))

    def _pump_runs(self, at_s: float) -> bool:
        """Whether pumps run: by the lowest tank's level, or at night."""
        if not len(self._tanks):
            return True
        level_m = float((self._head_m - self.model.elevation_m)[self._tanks].min())
        if level_m >= PUMP_OFF_M:
            self._runs = False
        elif at_s >= self._plan.night_pumps_s:
            begins_s, ends_s = NIGHT
            is_night = at_s % DAY_S >= begins_s or at_s % DAY_S < ends_s
            self._runs = is_night or level_m < LOW_M
        elif level_m <= PUMP_ON_M:
            self._runs = True
        return self._runs

    def _fill(self, state: State) -> None:
        head = self._head_m.copy()
        rise = state.delivered_m3s[self._tanks] * self._plan.step_s / self._area_m2[self._tanks]
        head[self._tanks] += rise
        self._head_m = head


def run_world(
    inp: Path, model: NetworkModel, plan: Plan, watched: Watched, users: Sequence[int]
) -> Run:
    """Return what instruments without fault would read.

    Args:
        inp: The network's EPANET file.
        model: The same network as arrays.
        plan: What happens.
        watched: What is read.
        users: Nodes whose customers are metered.
    """
    pressure = [model.node_id.index(name) for name in watched.pressure_nodes]
    level = [model.node_id.index(name) for name in watched.level_tanks]
    flow = [model.link_id.index(name) for name in watched.flow_links]
    sources = np.flatnonzero(model.node_kind == NodeKind.RESERVOIR)
    rows: list[tuple[FloatArray, ...]] = []
    with Solver(inp, model) as solver:
        for _, demand, state, leaks in World(solver, plan).states():
            above_m = state.head_m - model.elevation_m
            inflow = np.array([-state.delivered_m3s[sources].sum()])
            used = demand[list(users)]
            rows.append(
                (above_m[pressure], above_m[level], state.flow_m3s[flow], leaks, used, inflow)
            )
    columns = [np.stack(column) for column in zip(*rows, strict=True)]
    time_s = np.arange(len(rows), dtype=np.int64) * plan.step_s
    nothing = np.empty((len(rows), 0))
    truth = Truth(time_s, *columns[:3], nothing, columns[3], columns[5][:, 0])
    return Run(truth, columns[4])


def behind_tanks(model: NetworkModel) -> BoolArray:
    """Return which nodes only tanks feed while pumps rest, shape (n_nodes,)."""
    kept = np.flatnonzero(model.is_open & (model.link_kind != LinkKind.PUMP))
    links = (np.ones(len(kept)), (model.start[kept], model.end[kept]))
    graph = coo_matrix(links, shape=(model.n_nodes, model.n_nodes))
    label = connected_components(graph, directed=False)[1]
    fed = np.unique(label[model.node_kind == NodeKind.RESERVOIR])
    return np.asarray(~np.isin(label, fed), dtype=np.bool_)


def log_normal(draw: np.random.Generator, sigma: float, n: int) -> FloatArray:
    """Return factors with a mean of 1, shape (n,)."""
    return np.asarray(np.exp(sigma * draw.standard_normal(n) - sigma**2 / 2.0), dtype=np.float64)
