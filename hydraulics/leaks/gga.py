"""Heads and flows of a snapshot by Newton's method on one fixed pattern, from the last solution.

EPANET stays the reference: this follows its equations and its rules for pumps, check valves and
PRV, PSV, FCV, so that heads agree, and takes a fraction of its time when little has changed. Links
at a tank that is full or empty are not closed as EPANET would close them: tanks are held where
they are measured.

Source:
    E. Todini and S. Pilati, "A gradient method for the analysis of pipe networks" (1988); L. A.
    Rossman et al., EPANET 2.2 user manual, section 12.1; EPANET's `hydcoeffs.c` and `hydstatus.c`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hydraulics.compiled import compiled
from hydraulics.epanet.devices import Devices, PumpCurve
from hydraulics.epanet.toolkit import ACCURACY, Boundary, State
from hydraulics.errors import NotConvergedError
from hydraulics.leaks.equations import Grid, Linear, Reach, linearize, reach
from hydraulics.leaks.headloss import LEAST_SLOPE_S_M2, MINOR_LOSS_S2_M, PipeLosses
from hydraulics.leaks.ldl import PlaceArray, SingularError
from hydraulics.network import FloatArray, IndexArray, LinkKind, NodeKind

_CLOSED, _OPEN, _HELD = 0, 1, 2
_FOOT_M = 0.3048
_HEAD_M = 0.0005 * _FOOT_M
_FLOW_M3S = 0.0001 * _FOOT_M**3
"""EPANET's tolerances for heads and flows at which a status changes."""
_OPEN_SLOPE = 1e-6 / _FOOT_M**2
"""dh/dq of a valve that is open and loses nothing [m/(m³/s)]."""
_BREAKER_SLOPE = 1e-8 / _FOOT_M**2
_STEEPEST = 1e8 / _FOOT_M**2
_MOST_STEPS = 60
_UNBALANCED = 1e-4
"""What is taken after the last step: a pump at rest may keep two links from coming to rest."""
_EACH = 2
"""Pumps and check valves are looked at every so many steps, and at the end."""
_LAST_LOOK = 20
"""Steps after which they are looked at only at the end, so that they come to rest."""


@dataclass(frozen=True, slots=True)
class Solution:
    """A snapshot and its linearization.

    Attributes:
        state: Heads, flows and statuses.
        linear: The factored equations there.
        conductance: dq/dh of each link [m²/s], 0 where closed or held, shape (n_links,).
        n_steps: Newton steps that it took.
    """

    state: State
    linear: Linear
    conductance: FloatArray
    n_steps: int


@dataclass(slots=True)
class _Iterate:
    """What changes from step to step."""

    flow: FloatArray
    head: FloatArray
    status: IndexArray
    reach: Reach


class NewtonSolver:
    """Solves snapshots of one network; it keeps nothing from one solve to the next."""

    def __init__(self, grid: Grid, losses: PipeLosses, devices: Devices) -> None:
        """Take what stays the same.

        Args:
            grid: Numbering and pattern.
            losses: Head losses of pipes.
            devices: Pumps and valves.
        """
        self.grid, self.model, self.losses, self.devices = grid, grid.model, losses, devices
        model = grid.model
        pipe = losses.pipe
        self._minor = MINOR_LOSS_S2_M * model.minor_loss[pipe] / model.diameter_m[pipe] ** 4
        self._resistance = losses.loss_m(np.ones(len(pipe))) - self._minor
        self._start, self._end = grid.node_place[model.start], grid.node_place[model.end]
        self._place_node = grid.place_node
        self._fixed = np.flatnonzero(model.node_kind != NodeKind.JUNCTION)
        self._is_fixed = model.node_kind != NodeKind.JUNCTION
        self._at_fixed = np.flatnonzero(self._is_fixed[model.start] | self._is_fixed[model.end])
        self._others = [int(k) for k in np.flatnonzero(~model.is_pipe)]
        self._oneway_pipes = np.flatnonzero(model.is_pipe & model.is_oneway)
        self._pumps = [k for k in self._others if model.link_kind[k] == LinkKind.PUMP]
        kinds = model.valve_type
        self._pressure = [k for k in self._others if kinds[k] in {"PRV", "PSV"}]
        self._flow = [k for k in self._others if kinds[k] == "FCV"]

    def solve(
        self,
        boundary: Boundary,
        start: State | Solution | None = None,
        accuracy: float = ACCURACY,
    ) -> Solution:
        """Return the solution at a boundary.

        Args:
            boundary: Demands, fixed heads, closed links, settings.
            start: A solution to begin from, none if None; one of ours saves the first factor.
            accuracy: Change of all flows over all flows at which it ends.

        Raises:
            NotConvergedError: It did not end, or no source reaches what must be supplied.
        """
        setting = np.where(np.isnan(boundary.setting), self.devices.setting, boundary.setting)
        known = start if isinstance(start, Solution) else None
        state = start.state if isinstance(start, Solution) else start
        at = self._begin(boundary, setting, state, known)
        for step in range(1, _MOST_STEPS + 1):
            loss, slope = self._losses(at, setting)
            if step == 1 and known and at.reach is known.linear.reach:
                linear, conductance = known.linear, known.conductance
            else:
                conductance = np.where(at.status == _OPEN, 1.0 / slope, 0.0)
                linear = self._linear(at, conductance)
            change = self._step(at, boundary, setting, linear, conductance, loss)
            is_near = change <= accuracy
            moved = self._regulate(at, boundary, setting)
            if is_near or (step % _EACH == 0 and step <= _LAST_LOOK):
                moved |= self._look(at, boundary, setting)
            if moved:
                at.reach = self._reach(at.status)
            elif is_near or (step == _MOST_STEPS and change <= _UNBALANCED):
                return self._solution(at, boundary, setting, step)
        reason = f"flows still change by {change:.1e} after {_MOST_STEPS} steps"
        raise NotConvergedError(0, reason)

    def _begin(
        self,
        boundary: Boundary,
        setting: FloatArray,
        start: State | None,
        known: Solution | None,
    ) -> _Iterate:
        model = self.model
        status = np.where(boundary.is_open, _OPEN, _CLOSED)
        if start is None:
            flow = np.array([self._first_flow(k, setting) for k in range(model.n_links)])
            for k in (*self._pressure, *self._flow):
                if boundary.is_open[k] and np.isfinite(setting[k]):
                    status[k] = _HELD
            head = np.where(self._is_fixed, boundary.fixed_head_m, model.elevation_m)
        else:
            flow, head = start.flow_m3s.copy(), start.head_m.copy()
            self._carry_over(status, start, setting)
            for link in np.flatnonzero((status == _OPEN) & ~start.is_open):
                flow[link] = self._first_flow(int(link), setting)
        for k in self._pumps:
            if not setting[k] > 0.0:
                status[k] = _CLOSED
        head[self._fixed] = boundary.fixed_head_m[self._fixed]
        flow[status == _CLOSED] = 0.0
        return _Iterate(flow, head, status, self._reach(status, known))

    def _first_flow(self, k: int, setting: FloatArray) -> float:
        """Return what Newton's method begins with: 1 ft/s, or what a pump is made for."""
        if k in self.devices.pump:
            return self.devices.pump[k].design_m3s * float(setting[k])
        return float(np.pi / 4.0 * self.model.diameter_m[k] ** 2 * _FOOT_M)

    def _carry_over(self, status: IndexArray, start: State, setting: FloatArray) -> None:
        """Let valves and what flows one way begin as they were left."""
        for k in (*self._pressure, *self._flow):
            if status[k] and np.isfinite(setting[k]):
                status[k] = _HELD if start.is_held[k] else start.is_open[k]
        shut = self._oneway_pipes[~start.is_open[self._oneway_pipes]]
        status[shut] = _CLOSED

    def _reach(self, status: IndexArray, known: Solution | None = None) -> Reach:
        carries, held = status == _OPEN, np.flatnonzero(status == _HELD)
        if known and known.linear.reach.is_of(carries, held):
            return known.linear.reach
        return reach(self.grid, carries, held, self._is_fixed)

    def _losses(self, at: _Iterate, setting: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return head loss [m] and dh/dq [m/(m³/s)] of all links, shapes (n_links,)."""
        n_links = self.model.n_links
        loss, slope = np.zeros(n_links), np.ones(n_links)
        self._pipes(at.flow, loss, slope)
        for k in self._others:
            loss[k], slope[k] = self._device(k, float(at.flow[k]), float(setting[k]))
        return loss, slope

    def _pipes(self, flow: FloatArray, loss: FloatArray, slope: FloatArray) -> None:
        pipe, losses = self.losses.pipe, self.losses
        if losses.formula == "D-W":
            loss[pipe], slope[pipe] = losses.loss_m(flow[pipe]), losses.slope(flow[pipe])
            return
        _power_law(pipe, flow, self._resistance, self._minor, losses.exponent, loss, slope)

    def _device(self, k: int, flow: float, setting: float) -> tuple[float, float]:
        if k in self.devices.pump:
            return _pump_loss(self.devices.pump[k], flow, setting) if setting > 0 else (0.0, 1.0)
        kind, minor = self.model.valve_type[k], float(self.devices.minor[k])
        if kind == "TCV" and np.isfinite(setting):
            minor = float(self.devices.minor_per_coefficient[k]) * setting
        if kind == "PBV" and np.isfinite(setting) and setting >= minor * flow**2 > -1.0:
            return setting, _BREAKER_SLOPE
        if minor <= 0.0:
            return _OPEN_SLOPE * flow, _OPEN_SLOPE
        slope = 2.0 * minor * abs(flow)
        if slope < LEAST_SLOPE_S_M2:
            slope = LEAST_SLOPE_S_M2 / 2.0
            return slope * flow, slope
        return slope * flow / 2.0, slope

    def _linear(self, at: _Iterate, conductance: FloatArray) -> Linear:
        try:
            return linearize(self.grid, at.reach, conductance)
        except SingularError as error:  # pragma: no cover - `reach` masks all that is singular
            raise NotConvergedError(0, str(error)) from error

    def _step(  # noqa: PLR0913, PLR0917 - one Newton step
        self,
        at: _Iterate,
        boundary: Boundary,
        setting: FloatArray,
        linear: Linear,
        conductance: FloatArray,
        loss: FloatArray,
    ) -> float:
        """Move heads and flows, and return the change of flows over flows."""
        found = at.reach
        inflow = -boundary.demand_m3s[self._place_node]
        if not found.is_live.all():
            inflow[~found.is_live[self._place_node]] = 0.0
        for k in found.flow_valve:
            self._give(inflow, int(k), self._held_flow(at, int(k), setting))
        _gather(
            self._start, self._end, self.model.start, self.model.end,
            at.flow, loss, conductance, at.head, inflow,
        )  # fmt: skip
        held_m = self._held_heads(found, setting)
        heads, valve_flow = linear.heads(inflow, held_m)
        at.head[self._place_node] = heads
        if not found.is_live.all():
            at.head[~found.is_live] = np.nan
        held_flow = np.array([self._held_flow(at, int(k), setting) for k in found.flow_valve])
        change, size = _move_flows(
            self.model.start, self.model.end, loss, conductance, at.head, at.flow
        )
        for links, flows in (
            (found.pressure_valve, valve_flow),
            (found.flow_valve, held_flow),
        ):
            if len(links):
                change += float(np.abs(flows - at.flow[links]).sum())
                size += float(np.abs(flows).sum())
                at.flow[links] = flows
        return change / size if size > 0 else change

    def _give(self, inflow: FloatArray, k: int, flow: float) -> None:
        for place, sign in ((self._start[k], -1.0), (self._end[k], 1.0)):
            if place >= 0:
                inflow[place] += sign * flow

    def _held_flow(self, at: _Iterate, k: int, setting: FloatArray) -> float:
        """Return the flow that is not found from heads: an FCV's, or that of a second PRV."""
        return float(setting[k]) if self.model.valve_type[k] == "FCV" else float(at.flow[k])

    def _held_heads(self, found: Reach, setting: FloatArray) -> FloatArray:
        return np.asarray(
            self.model.elevation_m[found.held_node] + setting[found.pressure_valve],
            dtype=np.float64,
        )

    def _regulate(self, at: _Iterate, boundary: Boundary, setting: FloatArray) -> bool:
        """Let PRV and PSV open, hold or close; return whether any did."""
        moved = False
        for k in self._pressure:
            if not (boundary.is_open[k] and np.isfinite(setting[k])):
                continue
            before, held = at.status[k], self._holds(at, k, float(setting[k]))
            at.status[k] = held
            moved |= bool(before != held)
            if held == _CLOSED:
                at.flow[k] = 0.0
        return moved

    def _holds(self, at: _Iterate, k: int, setting_m: float) -> int:
        """Return a pressure valve's next status, by EPANET's `prvstatus` and `psvstatus`."""
        model, status, flow = self.model, int(at.status[k]), float(at.flow[k])
        up, down = float(at.head[model.start[k]]), float(at.head[model.end[k]])
        if not (np.isfinite(up) and np.isfinite(down)):
            return status
        lost = float(self.devices.minor[k]) * flow**2
        if model.valve_type[k] == "PRV":
            goal = float(model.elevation_m[model.end[k]]) + setting_m
            return _next_prv(status, flow, up, down, goal, lost)
        goal = float(model.elevation_m[model.start[k]]) + setting_m
        return _next_psv(status, flow, up, down, goal, lost)

    def _look(self, at: _Iterate, boundary: Boundary, setting: FloatArray) -> bool:
        """Let pumps, check valves and FCV open or close; return whether any did."""
        before = at.status.copy()
        model = self.model
        drop = at.head[model.start] - at.head[model.end]
        for k in self._pumps:
            if boundary.is_open[k] and setting[k] > 0:
                rest_m = self.devices.pump[k].rest_m * float(setting[k]) ** 2
                stalls = -drop[k] > rest_m + _HEAD_M
                at.status[k] = _CLOSED if stalls else _OPEN
        for k in self._oneway_pipes.tolist():
            if boundary.is_open[k]:
                at.status[k] = _next_check(int(at.status[k]), float(at.flow[k]), float(drop[k]))
        for k in self._flow:
            if boundary.is_open[k] and np.isfinite(setting[k]):
                held = _next_fcv(int(at.status[k]), float(at.flow[k]), float(drop[k]), setting[k])
                at.status[k] = held
        at.flow[at.status == _CLOSED] = 0.0
        for link in np.flatnonzero((before == _CLOSED) & (at.status == _OPEN)):
            at.flow[link] = self._first_flow(int(link), setting)
        return bool((before != at.status).any())

    def _solution(
        self, at: _Iterate, boundary: Boundary, setting: FloatArray, n_steps: int
    ) -> Solution:
        _, slope = self._losses(at, setting)
        conductance = np.where(at.status == _OPEN, 1.0 / slope, 0.0)
        delivered = np.where(self._is_fixed, 0.0, boundary.demand_m3s)
        for node, sign in ((self.model.end, 1.0), (self.model.start, -1.0)):
            into = self._at_fixed[self._is_fixed[node[self._at_fixed]]]
            np.add.at(delivered, node[into], sign * at.flow[into])
        state = State(at.head, at.flow, delivered, at.status > _CLOSED, at.status == _HELD)
        return Solution(state, self._linear(at, conductance), conductance, n_steps)


def _pump_loss(curve: PumpCurve, flow: float, speed: float) -> tuple[float, float]:
    """Return a running pump's head loss (a negative gain) and its slope, by affinity laws."""
    if curve.power_m4_s > 0.0:
        size = max(abs(flow), 1e-9)
        slope = min(max(curve.power_m4_s / size**2, _OPEN_SLOPE), _STEEPEST)
        return -slope * size, slope
    if len(curve.flow_m3s):
        at = flow / speed
        x, y = curve.flow_m3s, curve.gain_m
        n = min(max(int(np.searchsorted(x, at)), 1), len(x) - 1)
        steep = float((y[n] - y[n - 1]) / (x[n] - x[n - 1]))
        gain = float(y[n - 1]) + steep * (at - float(x[n - 1]))
        return -gain * speed**2, max(-steep * speed, _OPEN_SLOPE)
    resistance = curve.resistance * speed ** (2.0 - curve.power)
    slope = curve.power * resistance * abs(flow) ** (curve.power - 1.0)
    if slope < LEAST_SLOPE_S_M2:
        slope = LEAST_SLOPE_S_M2
        return -curve.rest_m * speed**2 + slope * flow, slope
    return -curve.rest_m * speed**2 + slope * flow / curve.power, slope


def _next_prv(  # noqa: PLR0913, PLR0917 - as EPANET has it
    status: int, flow: float, up: float, down: float, goal: float, lost: float
) -> int:
    if status == _CLOSED:
        if up >= goal + _HEAD_M and down < goal - _HEAD_M:
            return _HELD
        return _OPEN if up < goal - _HEAD_M and up > down + _HEAD_M else _CLOSED
    if flow < -_FLOW_M3S:
        return _CLOSED
    if status == _HELD:
        return _OPEN if up - lost < goal - _HEAD_M else _HELD
    return _HELD if down >= goal + _HEAD_M else _OPEN


def _next_psv(  # noqa: PLR0913, PLR0917 - as EPANET has it
    status: int, flow: float, up: float, down: float, goal: float, lost: float
) -> int:
    if status == _CLOSED:
        if down > goal + _HEAD_M and up > down + _HEAD_M:
            return _OPEN
        return _HELD if up >= goal + _HEAD_M and up > down + _HEAD_M else _CLOSED
    if flow < -_FLOW_M3S:
        return _CLOSED
    if status == _HELD:
        return _OPEN if down + lost > goal + _HEAD_M else _HELD
    return _HELD if up < goal - _HEAD_M else _OPEN


def _next_check(status: int, flow: float, drop_m: float) -> int:
    if abs(drop_m) > _HEAD_M:
        return _CLOSED if drop_m < 0.0 or flow < -_FLOW_M3S else _OPEN
    return _CLOSED if flow < -_FLOW_M3S else status


def _next_fcv(status: int, flow: float, drop_m: float, setting: float) -> int:
    if drop_m < -_HEAD_M or flow < -_FLOW_M3S:
        return _OPEN
    return _HELD if status == _OPEN and flow >= setting else status


@compiled
def _power_law(  # noqa: PLR0913, PLR0917 - what it reads, then what it fills
    pipe: IndexArray,
    flow: FloatArray,
    resistance: FloatArray,
    minor: FloatArray,
    power: float,
    loss: FloatArray,
    slope: FloatArray,
) -> None:
    """Fill in losses by a power of flow, which are linear where EPANET takes them to be."""
    for n in range(len(pipe)):
        k = pipe[n]
        size = abs(flow[k])
        steep = power * resistance[n] * size ** (power - 1.0)
        if steep < LEAST_SLOPE_S_M2:
            steep = LEAST_SLOPE_S_M2 / power
            loss[k] = steep * flow[k]
        else:
            loss[k] = steep * flow[k] / power
        loss[k] += minor[n] * size * flow[k]
        slope[k] = steep + 2.0 * minor[n] * size


@compiled
def _gather(  # noqa: PLR0913, PLR0917 - what it reads, then what it fills
    start_place: PlaceArray,
    end_place: PlaceArray,
    start: IndexArray,
    end: IndexArray,
    flow: FloatArray,
    loss: FloatArray,
    conductance: FloatArray,
    head: FloatArray,
    inflow: FloatArray,
) -> None:
    """Add to the balances what links pass at their loss, and what known heads give."""
    for k in range(len(flow)):
        if conductance[k] > 0.0:
            passes = flow[k] - conductance[k] * loss[k]
            one, other = start_place[k], end_place[k]
            if one >= 0:
                inflow[one] -= passes
                if other < 0:
                    inflow[one] += conductance[k] * head[end[k]]
            if other >= 0:
                inflow[other] += passes
                if one < 0:
                    inflow[other] += conductance[k] * head[start[k]]


@compiled
def _move_flows(  # noqa: PLR0913, PLR0917 - what it reads, then what it changes
    start: IndexArray,
    end: IndexArray,
    loss: FloatArray,
    conductance: FloatArray,
    head: FloatArray,
    flow: FloatArray,
) -> tuple[float, float]:
    """Move flows to what heads say, and return the sums of their changes and of their sizes."""
    change, size = 0.0, 0.0
    for k in range(len(flow)):
        if conductance[k] > 0.0:
            step = conductance[k] * (head[start[k]] - head[end[k]] - loss[k])
            if not np.isfinite(step):  # between masked nodes
                step = -flow[k]
            flow[k] += step
            change += abs(step)
            size += abs(flow[k])
    return change, size
