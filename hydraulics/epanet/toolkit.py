"""EPANET's own library in process: snapshots at a boundary that the caller sets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from epanet import toolkit as en

from hydraulics.epanet.boundary import Boundary, State, Statuses
from hydraulics.epanet.calls import set_demands
from hydraulics.epanet.controls import Controlled, read_controls
from hydraulics.epanet.replay import replay
from hydraulics.epanet.session import ACCURACY, ACTIVE, TRIALS, Session, quiet, said
from hydraulics.epanet.slopes import LinkSlopes, outflow_slope
from hydraulics.epanet.timetable import Timetable
from hydraulics.errors import ModelFileError, NotConvergedError
from hydraulics.network import (
    BoolArray,
    FloatArray,
    IndexArray,
    LinkKind,
    NetworkModel,
    NodeKind,
)

__all__ = [
    "ACCURACY",
    "MOST_TURNED",
    "Boundary",
    "Solver",
    "State",
    "Statuses",
    "replay",
    "strays",
]

_UNBALANCED, _AT_REST_M3S = 1e-4, 1e-6
_DRIVEN_M, _BACK_M3S = 1e-3, 1e-5
"""A pump or check valve that is shut and loses more head than this along its way should be open,
and one that is open and passes more than this backwards should be shut."""
_CONSTANT = "watercourse-constant"
_HELD_M, _SAME_LEVEL_M = 1e-2, 1e-6
_N_LEVELS = 201
MOST_TURNED, _STILL_M3S = 3.0, 1e-4
"""How many times an outflow a flow may change by it, and what may change besides [m³/s]."""
_CLOSED, _OPEN = -np.inf, np.inf

_MM = 1_000.0


class Solver(Session):
    """Snapshots of one network: every solve is at the boundary that it is given.

    Controls, rules and patterns of the file are taken out when it is opened; `demand_m3s` and
    `fixed_head_m` say what they would have set, `replay` what controls would have done.
    """

    def __init__(self, inp: Path, model: NetworkModel, accuracy: float = ACCURACY) -> None:
        super().__init__(inp, model)
        try:
            with quiet():
                en.setoption(self.ph, en.ACCURACY, accuracy)
                self._timetable = Timetable(self)
                self._take_out_time()
                en.openH(self.ph)
                self._slopes = LinkSlopes(self)
        except Exception as error:
            self.close()
            raise ModelFileError(said(error)) from error
        self._set_head = np.full(model.n_nodes, np.nan)
        self._read_links()
        self._is_fresh, self._is_begun = True, False
        self._is_altered = False
        self._junctions = np.flatnonzero(model.node_kind == NodeKind.JUNCTION)
        self._junction_number = np.array(self.node, dtype=np.int32)[self._junctions]
        self._set_demand = np.full(len(self._junctions), np.nan)
        self._fixed = np.flatnonzero(model.node_kind != NodeKind.JUNCTION)

    def _read_links(self) -> None:
        """Read each link's own order: a setting, or `_CLOSED`, or `_OPEN` whatever happens."""
        kind = self.model.link_kind
        is_pump, is_pipe = kind == LinkKind.PUMP, kind == LinkKind.PIPE
        status, setting = self.links(en.INITSTATUS), self.links(en.INITSETTING)
        self._may_hold = np.array([one in {"PRV", "PSV", "FCV"} for one in self.model.valve_type])
        self._is_check = is_pipe & self.model.is_oneway
        # A pump that the file closes has speed 0 there, and its own when it is opened.
        self._own_setting = np.where(is_pump & (setting == 0.0), 1.0, setting)
        self._own_setting[is_pipe] = _OPEN
        fixed_open = (kind == LinkKind.VALVE) & (status == 1.0)
        self._own_setting[fixed_open] = _OPEN
        self._order = np.where(status == 0.0, _CLOSED, self._own_setting)

    @property
    def is_pressure_driven(self) -> bool:
        """Whether demands of the file fall with pressure."""
        return bool(en.getdemandmodel(self.ph)[0] == en.PDA)

    def emitted(self, pressure_m: FloatArray) -> FloatArray:
        """Return what emitters of coefficient 1 give at some pressures [m], of their shape.

        Below zero they let in as much, unless the file forbids it.

        Source:
            EPANET 2.2 user manual, "Emitters": flow = coefficient × pressure ** exponent.
        """
        given = np.abs(pressure_m) ** en.getoption(self.ph, en.EMITEXPON)
        below = -given if en.getoption(self.ph, en.EMITBACKFLOW) else 0.0
        return np.asarray(np.where(pressure_m < 0.0, below, given), dtype=np.float64)

    def demand_m3s(self, model_time_s: FloatArray) -> FloatArray:
        """Return the file's demands at some model times [m³/s], shape (n_times, n_nodes)."""
        return self._timetable.demand_m3s(model_time_s)

    def fixed_head_m(self, model_time_s: FloatArray) -> FloatArray:
        """Return heads of reservoirs, and of tanks at their initial level.

        Shape (n_times, n_nodes) [m], NaN at junctions.
        """
        return self._timetable.fixed_head_m(model_time_s)

    def pump_speed(self, model_time_s: FloatArray) -> FloatArray:
        """Return speeds that patterns give pumps, shape (n_times, n_links), NaN elsewhere."""
        return self._timetable.pump_speed(model_time_s)

    def period(self, model_time_s: FloatArray) -> IndexArray:
        """Return the number of the step of patterns in which times lie, shape (n_times,)."""
        return self._timetable.period(model_time_s)

    def tank_volume_m3(self, node: int, level_m: FloatArray) -> FloatArray:
        """Return what a tank holds at some levels [m³], of the levels' shape."""
        number = self.node[node]
        if not en.getnodevalue(self.ph, number, en.VOLCURVE):
            return np.asarray(self.tank_area_m2()[node] * level_m, dtype=np.float64)
        lowest_m = en.getnodevalue(self.ph, number, en.MINLEVEL)
        highest_m = en.getnodevalue(self.ph, number, en.MAXLEVEL)
        known_m = np.linspace(lowest_m, highest_m, _N_LEVELS)
        held_m3 = []
        for one_m in known_m:
            en.setnodevalue(self.ph, number, en.TANKLEVEL, float(one_m))
            held_m3.append(en.getnodevalue(self.ph, number, en.INITVOLUME))
        self._set_head[node] = np.nan
        return np.asarray(np.interp(level_m, known_m, held_m3), dtype=np.float64)

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
        return outflow_slope(self, state)

    def set_roughness(self, roughness: FloatArray) -> None:
        """Calculate with other roughness from now on.

        Args:
            roughness: As `NetworkModel.roughness` has it, shape (n_links,); only pipes are set.
        """
        unit = _MM if self.model.headloss == "D-W" else 1.0
        with quiet():
            for link in np.flatnonzero(self.model.is_pipe):
                value = float(roughness[link]) * unit
                en.setlinkvalue(self.ph, self.link[link], en.ROUGHNESS, value)

        self._is_altered = True

    @property
    def is_altered(self) -> bool:
        """Whether it calculates with other than the file's own roughness."""
        return self._is_altered

    def start_anew(self) -> None:
        """Let the next solve begin with EPANET's own flows, not with those of the last one."""
        self._is_fresh = True

    @property
    def controlled(self) -> Controlled:
        """What the file's controls and rules move."""
        return self._controlled

    def solve(self, boundary: Boundary, *, goes_on: bool = False) -> State:
        """Return the hydraulic solution at a boundary.

        Args:
            boundary: The boundary.
            goes_on: Begin with the last flows though links turned since: a third of the trials, but
                where two states meet the equations it may be the other one. For callers who know
                what flows are near.

        Raises:
            NotConvergedError: EPANET found none.
        """
        with quiet():
            has_turned = self._apply(boundary)
            self._is_fresh |= has_turned and not goes_on
            self._run()
            return self._state()

    def with_outflow(
        self,
        boundary: Boundary,
        nodes: Sequence[int],
        flow_m3s: Sequence[float],
        before_m3s: FloatArray | None = None,
        accuracy: float | None = None,
    ) -> tuple[FloatArray, FloatArray]:
        """Return heads and flows with an extra outflow at one junction at a time.

        Args:
            boundary: The boundary without the outflow.
            nodes: Indices of the model; what a source or a tank loses moves nothing.
            flow_m3s: Extra outflow at each [m³/s], one a junction.
            before_m3s: Flow in each link without it, shape (n_links,): no solution is believed
                that is too far from it, and so each begins with all that the last one left; None
                to believe all.
            accuracy: Relative flow change at which a solve ends; the solver's own unless told.

        Returns:
            Heads [m], shape (len(nodes), n_nodes), and flows [m³/s], shape (len(nodes), n_links);
            a row is NaN where EPANET found no solution.
        """
        heads = np.full((len(nodes), self.model.n_nodes), np.nan)
        flows = np.full((len(nodes), self.model.n_links), np.nan)
        with quiet(), self._ending_at(accuracy):
            has_turned = self._apply(boundary)
            self._is_fresh |= has_turned and before_m3s is None
            for row, (node, extra_m3s) in enumerate(zip(nodes, flow_m3s, strict=True)):
                is_junction = self.model.node_kind[node] == NodeKind.JUNCTION
                base_m3s = float(boundary.demand_m3s[node])
                if is_junction:
                    en.setbasedemand(self.ph, self.node[node], 1, base_m3s + float(extra_m3s))
                try:
                    heads[row], flows[row] = self._near(float(extra_m3s), before_m3s)
                except NotConvergedError:
                    self._is_fresh = True
                finally:
                    if is_junction:
                        en.setbasedemand(self.ph, self.node[node], 1, base_m3s)
        return heads, flows

    @contextmanager
    def _ending_at(self, accuracy: float | None) -> Iterator[None]:
        """Let solves end at another relative flow change than the solver's own."""
        own = en.getoption(self.ph, en.ACCURACY)
        en.setoption(self.ph, en.ACCURACY, accuracy or own)
        try:
            yield
        finally:
            en.setoption(self.ph, en.ACCURACY, own)

    def pump_slopes(self, boundary: Boundary, state: State) -> FloatArray:  # noqa: ARG002
        """Return dh/dq of pumps and valves, each by its own curve.

        Args:
            boundary: Where the state was solved.
            state: Must be the last solution.

        Returns:
            Change of head loss by change of flow [m/(m³/s)], shape (n_links,), above 0; NaN for
            pipes, and for pumps whose curve EPANET does not tell.
        """
        return self._slopes.at(state)

    def _take_out_time(self) -> None:
        ph = self.ph
        self._controlled = read_controls(ph, self.link, self.node)
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
        for i in self._timetable.head_pattern:
            en.setnodevalue(ph, self.node[i], en.PATTERN, 0)
        for k in self._timetable.speed_pattern:
            en.setlinkvalue(ph, self.link[k], en.LINKPATTERN, 0)

    def _keep_one_demand(self, index: int) -> None:
        count = en.getnumdemands(self.ph, index)
        for category in range(count, 1, -1):
            en.deletedemand(self.ph, index, category)
        if count == 0:
            en.adddemand(self.ph, index, 0.0, "", "")
        en.setdemandpattern(self.ph, index, 1, self._constant)

    def _apply(self, boundary: Boundary) -> bool:
        """Set a boundary, and return whether it opens or closes a link."""
        demand_m3s = boundary.demand_m3s[self._junctions]
        changed = self._set_demand != demand_m3s
        set_demands(self.ph, self._junction_number[changed], demand_m3s[changed])
        self._set_demand = demand_m3s
        for i in self._fixed:
            if self._set_head[i] != boundary.fixed_head_m[i]:
                self._set_fixed_head(int(i), float(boundary.fixed_head_m[i]))
        setting = np.where(np.isnan(boundary.setting), self._own_setting, boundary.setting)
        order = np.where(boundary.is_open, setting, _CLOSED)
        moved = np.flatnonzero(~self._is_check & (order != self._order))
        turned = np.isinf(order[moved]) | np.isinf(self._order[moved])
        for k in moved:
            self._give_order(int(k), float(order[k]))
        self._is_begun = False
        return bool(turned.any())

    def _set_fixed_head(self, node: int, head_m: float) -> None:
        index = self.node[node]
        if self.model.node_kind[node] == NodeKind.RESERVOIR:
            en.setnodevalue(self.ph, index, en.ELEVATION, head_m)
        else:
            level_m = head_m - en.getnodevalue(self.ph, index, en.ELEVATION)
            lowest_m = en.getnodevalue(self.ph, index, en.MINLEVEL)
            highest_m = en.getnodevalue(self.ph, index, en.MAXLEVEL)
            # EPANET shuts a tank that stands at a limit, to the last bit.
            if level_m <= lowest_m + _SAME_LEVEL_M:
                level_m = lowest_m
            elif level_m >= highest_m - _SAME_LEVEL_M:
                level_m = highest_m
            en.setnodevalue(self.ph, index, en.TANKLEVEL, level_m)
        self._set_head[node] = head_m

    def _give_order(self, link: int, order: float) -> None:
        """Close a link, or open it and let it follow a setting or stay open whatever happens."""
        ph, index = self.ph, self.link[link]
        kind, valve = self.model.link_kind[link], self.model.valve_type[link]
        if np.isinf(order) or kind == LinkKind.PUMP or valve == "GPV":
            en.setlinkvalue(ph, index, en.INITSTATUS, float(order != _CLOSED))
        if np.isfinite(order) and valve != "GPV":
            en.setlinkvalue(ph, index, en.INITSETTING, order)
        self._order[link] = order

    def _run(self) -> None:
        if self._try():
            return
        self._is_fresh = True
        if self._try():
            return
        with self._looking_at_links_always():
            self._is_fresh = True
            if not self._try():
                error = float(en.getstatistic(self.ph, en.RELATIVEERROR))
                raise NotConvergedError(0, f"relative error {error:.1e} after {TRIALS} trials")

    @contextmanager
    def _looking_at_links_always(self) -> Iterator[None]:
        """Let EPANET open and shut check valves and pumps in each trial, not only in the first."""
        ph, properties = self.ph, (en.CHECKFREQ, en.MAXCHECK)
        own = [en.getoption(ph, one) for one in properties]
        try:
            for one, value in zip(properties, (1, TRIALS), strict=True):
                en.setoption(ph, one, value)
            yield
        finally:
            for one, value in zip(properties, own, strict=True):
                en.setoption(ph, one, value)

    def _near(
        self, outflow_m3s: float, before_m3s: FloatArray | None
    ) -> tuple[FloatArray, FloatArray]:
        """Return heads and flows with an outflow that were others without it."""
        self._run()
        flow_m3s = self.links(en.FLOW)
        if before_m3s is not None and strays(flow_m3s, before_m3s, outflow_m3s):
            self._is_fresh = True
            self._run()
            flow_m3s = self.links(en.FLOW)
            if strays(flow_m3s, before_m3s, outflow_m3s):
                raise NotConvergedError(0, "a link turned that an outflow cannot turn")
        self._is_begun = before_m3s is not None
        return self.nodes(en.HEAD), flow_m3s

    def _try(self) -> bool:
        try:
            # Where demands alone changed EPANET can go on as from one hour to the next.
            if self._is_fresh or not self._is_begun:
                en.initH(self.ph, 10 if self._is_fresh else 0)
            en.runH(self.ph)
        except Exception as error:
            if self._is_fresh:
                raise NotConvergedError(0, said(error)) from error
            return False
        self._is_fresh = False
        change = float(en.getstatistic(self.ph, en.RELATIVEERROR))
        # A network at rest never gets near, relative to flows that are nothing.
        is_near = change <= _UNBALANCED or (
            change * float(np.abs(self.links(en.FLOW)).sum()) <= _AT_REST_M3S
        )
        # In the last trials links stay as they were, which need not be how they would be.
        is_frozen = en.getstatistic(self.ph, en.ITERATIONS) > TRIALS
        return is_near and not (is_frozen and self._is_against_its_way())

    def _is_against_its_way(self) -> bool:
        """Whether EPANET left a pump or a check valve open or shut as its heads would not have it.

        Flapping of one keeps all others from being looked at again.
        """
        model, head = self.model, self.nodes(en.HEAD)
        drop_m = head[model.start] - head[model.end]
        is_shut = (self._order != _CLOSED) & (self.links(en.STATUS) == 0) & (drop_m > _DRIVEN_M)
        is_wrong = is_shut | (self.links(en.FLOW) < -_BACK_M3S)
        return bool((is_wrong & (self._is_check | (model.link_kind == LinkKind.PUMP))).any())

    def _state(self) -> State:
        head = self.nodes(en.HEAD)
        flow = self.links(en.FLOW)
        status = self.links(en.STATUS)
        return State(
            head_m=head,
            flow_m3s=flow,
            delivered_m3s=self.nodes(en.DEMAND),
            is_open=status > 0,
            is_held=self._held(head, flow, status),
        )

    def _held(self, head: FloatArray, flow: FloatArray, status: FloatArray) -> BoolArray:
        """Return which valves hold their setting.

        EPANET also calls a valve active that cannot do what it is set to, and lets it stay open.
        """
        held = np.zeros(self.model.n_links, dtype=np.bool_)
        for k in np.flatnonzero(self._may_hold & (status == ACTIVE)):
            setting = en.getlinkvalue(self.ph, self.link[k], en.SETTING)
            if self.model.valve_type[k] == "FCV":
                held[k] = flow[k] >= setting * (1.0 - 1e-6) - 1e-9
            else:
                at_start = self.model.valve_type[k] == "PSV"
                node = (self.model.start if at_start else self.model.end)[k]
                held[k] = abs(head[node] - self.model.elevation_m[node] - setting) < _HELD_M
        return held


def strays(flow_m3s: FloatArray, before_m3s: FloatArray, outflow_m3s: float) -> bool:
    """Whether an outflow has changed a link's flow by more than it can.

    More flow loses more head in every link, so what an outflow changes runs from the sources to it
    and never in a ring: nowhere more than the outflow itself, or than it and what users take less.
    EPANET may still stop at a state with a check valve or a pump shut that should be open.
    """
    most_m3s = float(np.abs(flow_m3s - before_m3s).max(initial=0.0))
    return most_m3s > MOST_TURNED * abs(outflow_m3s) + _STILL_M3S
