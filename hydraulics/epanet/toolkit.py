"""EPANET's own library in process: snapshots at a boundary that the caller sets.

EPANET leaves temporary files in the working directory of the process when it runs over days; a
snapshot writes none, and its report goes to a scratch folder that is removed with the solver.
"""

from __future__ import annotations

import ctypes
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from epanet import toolkit as en

from hydraulics.errors import HydraulicsError, ModelFileError, NotConvergedError
from hydraulics.network import BoolArray, FloatArray, LinkKind, NetworkModel, NodeKind

ACCURACY = 1e-6
"""Relative flow change at which a solve ends: at EPANET's 0.01 a leak's effect is off by 4 %; at
1e-6 heads of L-Town are within 3 µm of those at 1e-8, which takes twelve times as long."""
_TRIALS = 200
_UNBALANCED = 1e-4
_CONSTANT = "watercourse-constant"
_HELD_M = 1e-3
_LEAST_M3S = 1e-9
_MOVED_M3S = 1e-7
_SAME_SETTING = 1e-9
_PATTERNED_VALVES = frozenset({"PRV", "PSV", "FCV"})


@dataclass(frozen=True, slots=True)
class Boundary:
    """All that moves a snapshot: nothing else of the file depends on time.

    Attributes:
        demand_m3s: Demand of each junction [m³/s], shape (n_nodes,), 0 elsewhere.
        fixed_head_m: Head of reservoirs and tanks [m], shape (n_nodes,), NaN at junctions.
        is_open: Whether each link may carry water, shape (n_links,).
        setting: Pump speed [-], or valve setting in SI, shape (n_links,), NaN for the file's own.
    """

    demand_m3s: FloatArray
    fixed_head_m: FloatArray
    is_open: BoolArray
    setting: FloatArray

    def with_demand(self, demand_m3s: FloatArray) -> Boundary:
        """Return the same boundary with other demands."""
        return replace(self, demand_m3s=demand_m3s)


@dataclass(frozen=True, slots=True)
class State:
    """A hydraulic solution.

    Attributes:
        head_m: Head [m], shape (n_nodes,).
        flow_m3s: Flow [m³/s], shape (n_links,), positive from start to end.
        delivered_m3s: Outflow that the nodes take, emitters too [m³/s], shape (n_nodes,).
        is_open: Whether each link carries water, shape (n_links,).
        is_held: Valves that hold their setting, shape (n_links,).
    """

    head_m: FloatArray
    flow_m3s: FloatArray
    delivered_m3s: FloatArray
    is_open: BoolArray
    is_held: BoolArray


@dataclass(frozen=True, slots=True)
class Statuses:
    """What the file's own controls made of links and tanks at some times.

    Attributes:
        is_open: Shape (n_times, n_links).
        setting: Shape (n_times, n_links), in SI, NaN for the file's own.
        fixed_head_m: Head of reservoirs and tanks [m], shape (n_times, n_nodes), NaN elsewhere.
    """

    is_open: BoolArray
    setting: FloatArray
    fixed_head_m: FloatArray


class _Project:
    """An open EPANET project in CMS and metres, with ids mapped to the order of a model."""

    def __init__(self, inp: Path, model: NetworkModel) -> None:
        self.model = model
        self._scratch = tempfile.TemporaryDirectory(prefix="watercourse-")
        self.ph: Any = en.createproject()
        folder = Path(self._scratch.name)
        try:
            with quiet():
                en.open(self.ph, str(inp), str(folder / "report"), str(folder / "out"))
                self._to_si()
                self.node = [en.getnodeindex(self.ph, name) for name in model.node_id]
                self.link = [en.getlinkindex(self.ph, name) for name in model.link_id]
        except Exception as error:
            self.close()
            raise ModelFileError(_said(error)) from error
        self._buffer = en.doubleArray(max(len(self.node), len(self.link)))
        address = int(self._buffer.cast())
        doubles = ctypes.c_double * max(len(self.node), len(self.link))
        self._values = np.ctypeslib.as_array(doubles.from_address(address))
        self._node_at = np.array(self.node, dtype=np.int64) - 1
        self._link_at = np.array(self.link, dtype=np.int64) - 1

    def _to_si(self) -> None:
        en.setflowunits(self.ph, en.CMS)
        en.setoption(self.ph, en.PRESS_UNITS, en.METERS)
        en.setoption(self.ph, en.ACCURACY, ACCURACY)
        en.setoption(self.ph, en.TRIALS, _TRIALS)
        en.setoption(self.ph, en.UNBALANCED, 10)
        en.setstatusreport(self.ph, en.NO_REPORT)

    def nodes(self, prop: int) -> FloatArray:
        """Return a property of all nodes, in the model's order."""
        en.getnodevalues(self.ph, prop, self._buffer)
        return self._values[self._node_at]

    def links(self, prop: int) -> FloatArray:
        """Return a property of all links, in the model's order."""
        en.getlinkvalues(self.ph, prop, self._buffer)
        return self._values[self._link_at]

    def close(self) -> None:
        """Free the project and its scratch folder."""
        if self.ph is not None:
            with quiet():
                en.deleteproject(self.ph)
            self.ph = None
        self._scratch.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Solver(_Project):
    """Snapshots of one network: every solve is at the boundary that it is given.

    Controls, rules and patterns of the file are taken out when it is opened; `demand_m3s` and
    `fixed_head_m` say what they would have set, `replay` what controls would have done.
    """

    def __init__(self, inp: Path, model: NetworkModel, accuracy: float = ACCURACY) -> None:
        super().__init__(inp, model)
        try:
            with quiet():
                en.setoption(self.ph, en.ACCURACY, accuracy)
                self._read_patterns()
                self._take_out_time()
                en.openH(self.ph)
        except Exception as error:
            self.close()
            raise ModelFileError(_said(error)) from error
        self._set_demand = np.full(model.n_nodes, np.nan)
        self._set_head = np.full(model.n_nodes, np.nan)
        self._set_open = model.is_open.copy()
        self._has_setting = model.link_kind != LinkKind.PIPE
        self._own_setting = self.links(en.INITSETTING)
        # A pump that the file closes has speed 0 there, and its own when it is opened.
        is_pump = model.link_kind == LinkKind.PUMP
        self._own_setting[is_pump & (self._own_setting == 0.0)] = 1.0
        # A valve of a fixed status must keep it: setting it would make it regulate.
        self._own_setting[(model.link_kind == LinkKind.VALVE)] = np.nan
        self._set_setting = np.full(model.n_links, np.nan)
        self._is_fresh = True
        self._junctions = np.flatnonzero(model.node_kind == NodeKind.JUNCTION)
        self._fixed = np.flatnonzero(model.node_kind != NodeKind.JUNCTION)

    @property
    def is_pressure_driven(self) -> bool:
        """Whether demands of the file fall with pressure."""
        return bool(en.getdemandmodel(self.ph)[0] == en.PDA)

    def demand_m3s(self, model_time_s: FloatArray) -> FloatArray:
        """Return the file's demands at some model times [m³/s], shape (n_times, n_nodes)."""
        factor = self._pattern_values(model_time_s)
        return np.asarray(factor @ self._base_by_pattern, dtype=np.float64)

    def fixed_head_m(self, model_time_s: FloatArray) -> FloatArray:
        """Return heads of reservoirs, and of tanks at their initial level.

        Shape (n_times, n_nodes) [m], NaN at junctions.
        """
        factor = self._pattern_values(model_time_s)
        head = np.tile(self._initial_head, (len(model_time_s), 1))
        for node, pattern in self._head_pattern.items():
            head[:, node] = self._initial_head[node] * factor[:, pattern]
        return head

    def pump_speed(self, model_time_s: FloatArray) -> FloatArray:
        """Return speeds that patterns give pumps, shape (n_times, n_links), NaN elsewhere."""
        factor = self._pattern_values(model_time_s)
        speed = np.full((len(model_time_s), self.model.n_links), np.nan)
        for link, pattern in self._speed_pattern.items():
            speed[:, link] = factor[:, pattern]
        return speed

    def tank_area_m2(self) -> FloatArray:
        """Return the surface of each tank [m²], shape (n_nodes,), NaN elsewhere."""
        area = np.full(self.model.n_nodes, np.nan)
        for i in np.flatnonzero(self.model.node_kind == NodeKind.TANK):
            diameter_m = en.getnodevalue(self.ph, self.node[i], en.TANKDIAM)
            area[i] = np.pi * diameter_m**2 / 4.0
        return area

    def outflow_slope(self, state: State) -> FloatArray:
        """Return how outflows rise with pressure: emitters and demands in want.

        Args:
            state: Must be the last solution.

        Returns:
            d outflow/d head [m²/s], shape (n_nodes,).
        """
        pressure_m = np.maximum(state.head_m - self.model.elevation_m, 0.1)
        exponent = float(en.getoption(self.ph, en.EMITEXPON))
        slope = np.maximum(exponent * self.nodes(en.EMITTERFLOW) / pressure_m, 0.0)
        if self.is_pressure_driven:
            _, least_m, _, power = en.getdemandmodel(self.ph)
            wants = self.nodes(en.DEMANDDEFICIT) > _LEAST_M3S
            above_m = np.maximum(pressure_m - least_m, 0.1)
            delivered = np.maximum(self.nodes(en.DEMANDFLOW), 0.0)
            slope += np.where(wants, power * delivered / above_m, 0.0)
        return np.where(self.model.node_kind == NodeKind.JUNCTION, slope, 0.0)

    def has_controls(self) -> bool:
        """Whether the file moves links by controls, rules or patterns of tanks."""
        return self._had_controls

    def solve(self, boundary: Boundary) -> State:
        """Return the hydraulic solution at a boundary.

        Raises:
            NotConvergedError: EPANET found none.
        """
        with quiet():
            self._apply(boundary)
            self._run()
            return self._state()

    def with_outflow(
        self, boundary: Boundary, nodes: Sequence[int], flow_m3s: Sequence[float]
    ) -> tuple[FloatArray, FloatArray]:
        """Return heads and flows with an extra outflow at one junction at a time.

        Args:
            boundary: The boundary without the outflow.
            nodes: Junctions, indices of the model.
            flow_m3s: Extra outflow at each [m³/s], one a junction.

        Returns:
            Heads [m], shape (len(nodes), n_nodes), and flows [m³/s], shape (len(nodes), n_links);
            a row is NaN where EPANET found no solution.
        """
        heads = np.full((len(nodes), self.model.n_nodes), np.nan)
        flows = np.full((len(nodes), self.model.n_links), np.nan)
        with quiet():
            self._apply(boundary)
            for row, (node, extra_m3s) in enumerate(zip(nodes, flow_m3s, strict=True)):
                base_m3s = float(boundary.demand_m3s[node])
                en.setbasedemand(self.ph, self.node[node], 1, base_m3s + float(extra_m3s))
                try:
                    self._run()
                    heads[row] = self.nodes(en.HEAD)
                    flows[row] = self.links(en.FLOW)
                except NotConvergedError:
                    self._is_fresh = True
                finally:
                    en.setbasedemand(self.ph, self.node[node], 1, base_m3s)
        return heads, flows

    def pump_slopes(self, boundary: Boundary, state: State, step: float = 0.01) -> FloatArray:
        """Return dh/dq of every link by moving all demands together.

        Args:
            boundary: Where the state was solved.
            state: The solution there.
            step: Relative change of the demands, up.

        Returns:
            Change of head loss by change of flow [m/(m³/s)], shape (n_links,), NaN where the
            flow did not move.
        """
        moved = self.solve(boundary.with_demand(boundary.demand_m3s * (1.0 + step)))
        loss_m = _loss_m(self.model, moved) - _loss_m(self.model, state)
        flow_m3s = moved.flow_m3s - state.flow_m3s
        moves = np.abs(flow_m3s) > _MOVED_M3S
        slope = np.full(self.model.n_links, np.nan)
        slope[moves] = loss_m[moves] / flow_m3s[moves]
        return slope

    def _read_patterns(self) -> None:
        ph = self.ph
        count = en.getcount(ph, en.PATCOUNT)
        self._patterns = [np.ones(1)] + [
            np.array([en.getpatternvalue(ph, p, k + 1) for k in range(en.getpatternlen(ph, p))])
            for p in range(1, count + 1)
        ]
        self._pattern_step_s = max(int(en.gettimeparam(ph, en.PATTERNSTEP)), 1)
        self._pattern_start_s = int(en.gettimeparam(ph, en.PATTERNSTART))
        self._base_by_pattern = np.zeros((count + 1, self.model.n_nodes))
        self._head_pattern: dict[int, int] = {}
        self._speed_pattern: dict[int, int] = {}
        multiplier = en.getoption(ph, en.DEMANDMULT)
        for i, kind in enumerate(self.model.node_kind):
            if kind == NodeKind.JUNCTION:
                self._read_demands(i, multiplier)
            elif kind == NodeKind.RESERVOIR:
                pattern = int(en.getnodevalue(ph, self.node[i], en.PATTERN))
                if pattern:
                    self._head_pattern[i] = pattern
        for k in np.flatnonzero(self.model.link_kind == LinkKind.PUMP):
            pattern = int(en.getlinkvalue(ph, self.link[k], en.LINKPATTERN))
            if pattern:
                self._speed_pattern[int(k)] = pattern
        self._initial_head = self._initial_heads()

    def _read_demands(self, node: int, multiplier: float) -> None:
        index = self.node[node]
        for category in range(1, en.getnumdemands(self.ph, index) + 1):
            pattern = int(en.getdemandpattern(self.ph, index, category))
            base_m3s = en.getbasedemand(self.ph, index, category) * multiplier
            self._base_by_pattern[pattern, node] += base_m3s

    def _initial_heads(self) -> FloatArray:
        kind = self.model.node_kind
        head = np.full(self.model.n_nodes, np.nan)
        for i in np.flatnonzero(kind != NodeKind.JUNCTION):
            head[i] = en.getnodevalue(self.ph, self.node[i], en.ELEVATION)
            if kind[i] == NodeKind.TANK:
                head[i] += en.getnodevalue(self.ph, self.node[i], en.TANKLEVEL)
        return head

    def _take_out_time(self) -> None:
        ph = self.ph
        self._had_controls = bool(en.getcount(ph, en.RULECOUNT) + en.getcount(ph, en.CONTROLCOUNT))
        for rule in range(en.getcount(ph, en.RULECOUNT), 0, -1):
            en.deleterule(ph, rule)
        for control in range(en.getcount(ph, en.CONTROLCOUNT), 0, -1):
            en.deletecontrol(ph, control)
        en.setoption(ph, en.DEMANDMULT, 1.0)
        en.settimeparam(ph, en.DURATION, 0)
        # A demand without a pattern would follow the file's default pattern.
        en.addpattern(ph, _CONSTANT)
        self._constant = en.getpatternindex(ph, _CONSTANT)
        en.setpatternvalue(ph, self._constant, 1, 1.0)
        for i, kind in enumerate(self.model.node_kind):
            if kind == NodeKind.JUNCTION:
                self._keep_one_demand(self.node[i])
        for i in self._head_pattern:
            en.setnodevalue(ph, self.node[i], en.PATTERN, 0)
        for k in self._speed_pattern:
            en.setlinkvalue(ph, self.link[k], en.LINKPATTERN, 0)

    def _keep_one_demand(self, index: int) -> None:
        count = en.getnumdemands(self.ph, index)
        for category in range(count, 1, -1):
            en.deletedemand(self.ph, index, category)
        if count == 0:
            en.adddemand(self.ph, index, 0.0, "", "")
        en.setdemandpattern(self.ph, index, 1, self._constant)

    def _pattern_values(self, model_time_s: FloatArray) -> FloatArray:
        period = (np.asarray(model_time_s) + self._pattern_start_s) // self._pattern_step_s
        at = period.astype(np.int64)
        columns = [pattern[at % len(pattern)] for pattern in self._patterns]
        return np.stack(columns, axis=1)

    def _apply(self, boundary: Boundary) -> None:
        changed = np.flatnonzero(self._set_demand != boundary.demand_m3s)
        for i in np.intersect1d(changed, self._junctions):
            en.setbasedemand(self.ph, self.node[i], 1, float(boundary.demand_m3s[i]))
        self._set_demand = boundary.demand_m3s.copy()
        for i in self._fixed:
            if self._set_head[i] != boundary.fixed_head_m[i]:
                self._set_fixed_head(int(i), float(boundary.fixed_head_m[i]))
        for k in np.flatnonzero(self._set_open != boundary.is_open):
            self._set_link_open(int(k), is_open=bool(boundary.is_open[k]))
        wanted = np.where(np.isnan(boundary.setting), self._own_setting, boundary.setting)
        is_set = boundary.is_open & self._has_setting & np.isfinite(wanted)
        for k in np.flatnonzero(is_set & (wanted != self._set_setting)):
            en.setlinkvalue(self.ph, self.link[k], en.INITSETTING, float(wanted[k]))
            self._set_setting[k] = wanted[k]

    def _set_fixed_head(self, node: int, head_m: float) -> None:
        index = self.node[node]
        if self.model.node_kind[node] == NodeKind.RESERVOIR:
            en.setnodevalue(self.ph, index, en.ELEVATION, head_m)
        else:
            level_m = head_m - en.getnodevalue(self.ph, index, en.ELEVATION)
            lowest_m = en.getnodevalue(self.ph, index, en.MINLEVEL)
            highest_m = en.getnodevalue(self.ph, index, en.MAXLEVEL)
            en.setnodevalue(self.ph, index, en.TANKLEVEL, min(max(level_m, lowest_m), highest_m))
        self._set_head[node] = head_m

    def _set_link_open(self, link: int, *, is_open: bool) -> None:
        if self.model.link_kind[link] == LinkKind.VALVE and is_open:
            setting = en.getlinkvalue(self.ph, self.link[link], en.INITSETTING)
            en.setlinkvalue(self.ph, self.link[link], en.INITSETTING, setting)
        elif not (self.model.is_oneway[link] and self.model.link_kind[link] == LinkKind.PIPE):
            en.setlinkvalue(self.ph, self.link[link], en.INITSTATUS, float(is_open))
        self._set_open[link] = is_open
        self._set_setting[link] = np.nan  # EPANET has just put it to 1 or 0
        self._is_fresh = True  # a warm start may keep the flow of a link that was closed

    def _run(self) -> None:
        if self._try():
            return
        self._is_fresh = True
        if not self._try():
            error = float(en.getstatistic(self.ph, en.RELATIVEERROR))
            raise NotConvergedError(0, f"relative error {error:.1e} after {_TRIALS} trials")

    def _try(self) -> bool:
        flag = 10 if self._is_fresh else 0
        try:
            en.initH(self.ph, flag)
            en.runH(self.ph)
        except Exception as error:
            if self._is_fresh:
                raise NotConvergedError(0, _said(error)) from error
            return False
        self._is_fresh = False
        return bool(en.getstatistic(self.ph, en.RELATIVEERROR) <= _UNBALANCED)

    def _state(self) -> State:
        head = self.nodes(en.HEAD)
        flow = self.links(en.FLOW)
        is_open = self.links(en.STATUS) > 0
        return State(
            head_m=head,
            flow_m3s=flow,
            delivered_m3s=self.nodes(en.DEMAND),
            is_open=is_open,
            is_held=self._held(head, flow, is_open),
        )

    def _held(self, head: FloatArray, flow: FloatArray, is_open: BoolArray) -> BoolArray:
        held = np.zeros(self.model.n_links, dtype=np.bool_)
        for k, kind in enumerate(self.model.valve_type):
            if kind not in _PATTERNED_VALVES or not is_open[k]:
                continue
            setting = en.getlinkvalue(self.ph, self.link[k], en.SETTING)
            node = self.model.start[k] if kind == "PSV" else self.model.end[k]
            if kind == "FCV":
                held[k] = abs(flow[k] - setting) < 1e-6 + 1e-4 * abs(setting)
            else:
                held[k] = abs(head[node] - self.model.elevation_m[node] - setting) < _HELD_M
        return held


def replay(  # noqa: PLR0913 - each is a thing of its own
    inp: Path,
    model: NetworkModel,
    model_time_s: FloatArray,
    level_m: FloatArray,
    *,
    start_s: float,
    demand_factor: float = 1.0,
) -> Statuses:
    """Run the file with its controls over some times, holding tanks at what was measured.

    Args:
        inp: The file.
        model: Its network.
        model_time_s: Times wanted [s], rising, shape (n_times,).
        level_m: Measured level of each node [m], shape (n_times, n_nodes), NaN where none.
        start_s: Model time to start from, at most the first time [s].
        demand_factor: Factor on all demands.

    Raises:
        NotConvergedError: EPANET stopped.
    """
    with _Replay(inp, model, start_s, demand_factor) as run:
        return run.over(model_time_s, level_m)


class _Replay(_Project):
    """A run over days whose tank levels are corrected at every step."""

    def __init__(
        self, inp: Path, model: NetworkModel, start_s: float, demand_factor: float
    ) -> None:
        super().__init__(inp, model)
        self._start_s = int(start_s)
        ph = self.ph
        with quiet():
            en.setoption(ph, en.ACCURACY, 1e-4)
            en.setoption(ph, en.DEMANDMULT, en.getoption(ph, en.DEMANDMULT) * demand_factor)
            begun = self._start_s + int(en.gettimeparam(ph, en.PATTERNSTART))
            en.settimeparam(ph, en.PATTERNSTART, begun)
            clock = int(en.gettimeparam(ph, en.STARTTIME)) + self._start_s
            en.settimeparam(ph, en.STARTTIME, clock % 86_400)
            self._apply_past_timers()
        self._tanks = [int(i) for i in np.flatnonzero(model.node_kind == NodeKind.TANK)]
        self._fixed = np.flatnonzero(model.node_kind != NodeKind.JUNCTION)
        self._own_setting = self.links(en.INITSETTING)

    def _apply_past_timers(self) -> None:
        """Make controls at fixed times count from the start of the run."""
        if self._start_s == 0:
            return
        for index in range(en.getcount(self.ph, en.CONTROLCOUNT), 0, -1):
            kind, link, setting, node, level = en.getcontrol(self.ph, index)
            if kind != en.TIMER:
                continue
            if level >= self._start_s:
                en.setcontrol(self.ph, index, kind, link, setting, node, level - self._start_s)
        for index in range(1, en.getcount(self.ph, en.CONTROLCOUNT) + 1):
            kind, link, setting, node, level = en.getcontrol(self.ph, index)
            if kind == en.TIMER and level < self._start_s:
                en.setlinkvalue(self.ph, link, en.INITSETTING, setting)

    def over(self, model_time_s: FloatArray, level_m: FloatArray) -> Statuses:
        """Step through the times and note links and fixed heads at each."""
        n_times = len(model_time_s)
        is_open = np.ones((n_times, self.model.n_links), dtype=np.bool_)
        setting = np.full((n_times, self.model.n_links), np.nan)
        head = np.full((n_times, self.model.n_nodes), np.nan)
        at_s = model_time_s - self._start_s
        with quiet():
            en.settimeparam(self.ph, en.DURATION, int(at_s[-1]) + 1)
            en.openH(self.ph)
            en.initH(self.ph, 10)
            for now_s, next_s, status, now, heads in self._steps(at_s, level_m):
                rows = np.flatnonzero((at_s >= now_s) & (at_s < next_s))
                changed = (np.abs(now - self._own_setting) > _SAME_SETTING) & (status > 0)
                is_open[rows] = status > 0
                setting[rows] = np.where(changed & (self.model.link_kind != 0), now, np.nan)
                head[np.ix_(rows, self._fixed)] = heads[self._fixed]
            en.closeH(self.ph)
        return Statuses(is_open=is_open, setting=setting, fixed_head_m=head)

    def _steps(
        self, at_s: FloatArray, level_m: FloatArray
    ) -> Iterator[tuple[float, float, FloatArray, FloatArray, FloatArray]]:
        now_s = 0.0
        while True:
            self._hold_tanks(now_s, at_s, level_m)
            try:
                now_s = float(en.runH(self.ph))
                seen = self.links(en.STATUS), self.links(en.SETTING), self.nodes(en.HEAD)
                step_s = float(en.nextH(self.ph))
            except Exception as error:
                raise NotConvergedError(int(now_s) + self._start_s, _said(error)) from error
            yield now_s, (now_s + step_s if step_s > 0 else np.inf), *seen
            if step_s <= 0:
                return
            now_s += step_s

    def _hold_tanks(self, now_s: float, at_s: FloatArray, level_m: FloatArray) -> None:
        if now_s < at_s[0]:
            return
        row = max(int(np.searchsorted(at_s, now_s, side="right")) - 1, 0)
        for node in self._tanks:
            level = level_m[row, node]
            if np.isfinite(level):
                lowest = en.getnodevalue(self.ph, self.node[node], en.MINLEVEL)
                highest = en.getnodevalue(self.ph, self.node[node], en.MAXLEVEL)
                held = float(min(max(level, lowest), highest))
                en.setnodevalue(self.ph, self.node[node], en.TANKLEVEL, held)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep EPANET's warnings (a negative pressure, a closed pump) out of Python's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _loss_m(model: NetworkModel, state: State) -> FloatArray:
    return np.asarray(state.head_m[model.start] - state.head_m[model.end], dtype=np.float64)


def _said(error: Exception) -> str:
    text = str(error).strip()
    if isinstance(error, HydraulicsError):
        return text
    return text or type(error).__name__
