"""An EPANET project in this process whose demands, pipes and leaks can be changed as it runs.

EPANET's own units stay behind this door: flows are m³/s, pressures m of water, concentrations g/m³,
whatever the file says. EPANET's unit factors are good to five digits, and so are these values.
Indices are EPANET's, from 1, and hold until a pipe is split.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from epanet import toolkit

from hydraulics.epanet.splitting import split_pipe
from hydraulics.errors import ModelFileError, NotConvergedError

_M3S_PER_LPS = 1e-3
_PRESSURE_IN_METRES = 2.0
_DAY_S = 86_400
_MORE_TRIALS = 10
_LEAK_ROUNDS = 30
_LEAK_TOLERANCE = 1e-4
_PIPE_TYPES = (toolkit.CVPIPE, toolkit.PIPE)


class Project:
    """One open EPANET project, with hydraulics and, if wanted, chlorine solved in step."""

    def __init__(self, inp: Path, scratch: Path) -> None:
        self._handle: Any = toolkit.createproject()
        self._has_quality = False
        self._is_running = False
        self._hydraulic_s = 0
        try:
            self._quietly(toolkit.open, str(inp), str(scratch / "epanet.rpt"), "")
        except Exception as error:
            toolkit.deleteproject(self._handle)
            raise ModelFileError(str(error)) from error
        toolkit.setflowunits(self._handle, toolkit.LPS)
        toolkit.setoption(self._handle, toolkit.PRESS_UNITS, _PRESSURE_IN_METRES)
        toolkit.setstatusreport(self._handle, toolkit.NO_REPORT)
        # The 0.01 of many files shows as centimetres of pressure from one step to the next.
        accuracy = toolkit.getoption(self._handle, toolkit.ACCURACY)
        toolkit.setoption(self._handle, toolkit.ACCURACY, min(accuracy, 1e-4))
        # A file that says to stop where that is not reached would end in the middle of the window.
        if toolkit.getoption(self._handle, toolkit.UNBALANCED) < 0.0:
            toolkit.setoption(self._handle, toolkit.UNBALANCED, _MORE_TRIALS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._is_running:
            if self._has_quality:
                toolkit.closeQ(self._handle)
            toolkit.closeH(self._handle)
        toolkit.close(self._handle)
        toolkit.deleteproject(self._handle)

    def _quietly(self, call: Any, *arguments: Any) -> Any:  # noqa: ANN401 - the toolkit has no types
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # EPANET's warnings, such as negative pressure
            return call(self._handle, *arguments)

    # What there is.

    @property
    def n_nodes(self) -> int:
        """Number of nodes."""
        return int(toolkit.getcount(self._handle, toolkit.NODECOUNT))

    @property
    def n_links(self) -> int:
        """Number of links."""
        return int(toolkit.getcount(self._handle, toolkit.LINKCOUNT))

    def node_index(self, node_id: str) -> int | None:
        """Return the index of a node, None if there is no such node."""
        return self._index(toolkit.getnodeindex, node_id)

    def link_index(self, link_id: str) -> int | None:
        """Return the index of a link, None if there is no such link."""
        return self._index(toolkit.getlinkindex, link_id)

    def _index(self, call: Any, text: str) -> int | None:  # noqa: ANN401 - the toolkit has no types
        try:
            return int(call(self._handle, text))
        except Exception:  # noqa: BLE001 - the toolkit raises this class for "undefined"
            return None

    def node_id(self, node: int) -> str:
        """Return the id of a node."""
        return str(toolkit.getnodeid(self._handle, node))

    def link_id(self, link: int) -> str:
        """Return the id of a link."""
        return str(toolkit.getlinkid(self._handle, link))

    def node_comment(self, node: int) -> str:
        """Return what the file says of a node after the semicolon."""
        return str(toolkit.getcomment(self._handle, toolkit.NODE, node))

    def link_comment(self, link: int) -> str:
        """Return what the file says of a link after the semicolon."""
        return str(toolkit.getcomment(self._handle, toolkit.LINK, link))

    def junctions(self) -> list[int]:
        """Return the indices of the junctions."""
        return self._nodes(toolkit.JUNCTION)

    def reservoirs(self) -> list[int]:
        """Return the indices of the reservoirs."""
        return self._nodes(toolkit.RESERVOIR)

    def tanks(self) -> list[int]:
        """Return the indices of the tanks."""
        return self._nodes(toolkit.TANK)

    def _nodes(self, kind: int) -> list[int]:
        handle = self._handle
        nodes = range(1, self.n_nodes + 1)
        return [node for node in nodes if toolkit.getnodetype(handle, node) == kind]

    def is_pipe(self, link: int) -> bool:
        """Return whether a link is a pipe, with or without a check valve."""
        return toolkit.getlinktype(self._handle, link) in _PIPE_TYPES

    def pipes(self) -> list[int]:
        """Return the indices of the pipes."""
        return [link for link in range(1, self.n_links + 1) if self.is_pipe(link)]

    def link_nodes(self, link: int) -> tuple[int, int]:
        """Return the start and end node of a link."""
        start, end = toolkit.getlinknodes(self._handle, link)
        return int(start), int(end)

    def link_length_m(self, link: int) -> float:
        """Return the length of a link [m], 0 for a pump or valve."""
        return self._link(link, toolkit.LENGTH) if self.is_pipe(link) else 0.0

    def is_open_as_built(self, link: int) -> bool:
        """Return whether the initial status of a link lets water pass."""
        return self._link(link, toolkit.INITSTATUS) != 0.0

    # What can be changed before a run.

    def scale_roughness(self, pipe: int, factor: float) -> None:
        """Multiply the roughness of a pipe."""
        roughness = self._link(pipe, toolkit.ROUGHNESS)
        toolkit.setlinkvalue(self._handle, pipe, toolkit.ROUGHNESS, roughness * factor)

    def base_demands(self, node: int) -> list[float]:
        """Return the base demand of each category of a junction, in EPANET's L/s."""
        n_demands = toolkit.getnumdemands(self._handle, node)
        return [toolkit.getbasedemand(self._handle, node, i + 1) for i in range(n_demands)]

    def set_base_demand(self, node: int, category: int, demand: float) -> None:
        """Set the base demand of a category (from 0) of a junction, in EPANET's L/s."""
        toolkit.setbasedemand(self._handle, node, category + 1, demand)

    def split_pipe(self, pipe_id: str, place: float, node_id: str, rest_id: str) -> None:
        """Put a junction without demand into a pipe; the pipe keeps the part from its start node.

        Args:
            pipe_id: The pipe.
            place: Fraction of its length from the start node, above 0 and below 1.
            node_id: Id of the new junction. Its elevation lies on the line between the ends.
            rest_id: Id of the part from the new junction to the end node.
        """
        split_pipe(self._handle, pipe_id, place, node_id, rest_id)

    def set_clock(self, model_time_s: int, duration_s: int, step_s: int) -> None:
        """Let the run begin at a model time: patterns, clock and timed controls follow it.

        A file that runs for a day or less is a typical day: what it switches at a time since its
        start is switched at that time of each day.
        """
        handle = self._handle
        begins_s = toolkit.gettimeparam(handle, toolkit.STARTTIME)
        offset_s = toolkit.gettimeparam(handle, toolkit.PATTERNSTART)
        is_typical_day = toolkit.gettimeparam(handle, toolkit.DURATION) <= _DAY_S
        self._move_controls(model_time_s, begins_s, is_typical_day=is_typical_day)
        toolkit.settimeparam(handle, toolkit.DURATION, duration_s)
        for what in (toolkit.HYDSTEP, toolkit.QUALSTEP, toolkit.REPORTSTEP):
            toolkit.settimeparam(handle, what, step_s)
        toolkit.settimeparam(handle, toolkit.PATTERNSTART, offset_s + model_time_s)
        toolkit.settimeparam(handle, toolkit.STARTTIME, (begins_s + model_time_s) % _DAY_S)

    def _move_controls(self, model_time_s: int, begins_s: int, *, is_typical_day: bool) -> None:
        handle = self._handle
        for i in range(1, toolkit.getcount(handle, toolkit.CONTROLCOUNT) + 1):
            kind, link, setting, node, level = toolkit.getcontrol(handle, i)
            if kind != toolkit.TIMER:
                continue
            if is_typical_day:
                kind, level = toolkit.TIMEOFDAY, (begins_s + level) % _DAY_S
            elif level >= model_time_s:
                level -= model_time_s
            else:
                toolkit.setcontrolenabled(handle, i, 0)
                continue
            toolkit.setcontrol(handle, i, kind, link, setting, node, level)

    def follow_chlorine(self, bulk_per_day: float, wall_m_per_day: float) -> None:
        """Let the run follow a substance that decays in the water and at the walls of pipes."""
        handle = self._handle
        toolkit.setqualtype(handle, toolkit.CHEM, "chlorine", "mg/L", "")
        for pipe in self.pipes():
            toolkit.setlinkvalue(handle, pipe, toolkit.KBULK, -bulk_per_day)
            toolkit.setlinkvalue(handle, pipe, toolkit.KWALL, -wall_m_per_day)
        for tank in self.tanks():
            toolkit.setnodevalue(handle, tank, toolkit.TANK_KBULK, -bulk_per_day)
        self._has_quality = True

    def set_dose(self, reservoir: int, dose_g_m3: float) -> None:
        """Set the concentration of the water that leaves a reservoir, before or while it runs."""
        handle = self._handle
        toolkit.setnodevalue(handle, reservoir, toolkit.SOURCETYPE, toolkit.CONCEN)
        toolkit.setnodevalue(handle, reservoir, toolkit.SOURCEQUAL, dose_g_m3)

    def set_initial_chlorine(self, value_g_m3: float) -> None:
        """Set the concentration that every node begins with."""
        for node in range(1, self.n_nodes + 1):
            toolkit.setnodevalue(self._handle, node, toolkit.INITQUAL, value_g_m3)

    # The run.

    def start(self) -> None:
        """Begin the run at its time 0."""
        self._is_running = True
        toolkit.openH(self._handle)
        toolkit.initH(self._handle, toolkit.NOSAVE)
        if self._has_quality:
            toolkit.openQ(self._handle)
            toolkit.initQ(self._handle, toolkit.NOSAVE)

    def solve(self) -> int:
        """Solve the hydraulics of the present moment and return it [s since the run began].

        May be called again after a change at the same moment.

        Raises:
            NotConvergedError: EPANET found no solution.
        """
        try:
            self._hydraulic_s = int(self._quietly(toolkit.runH))
        except Exception as error:
            raise NotConvergedError(self._hydraulic_s, str(error)) from error
        return self._hydraulic_s

    def step(self) -> int:
        """Go on to the next moment; return how far that is [s], 0 at the end of the run."""
        if self._has_quality:
            self._quietly(toolkit.runQ)
        length_s = int(self._quietly(toolkit.nextH))
        if self._has_quality:
            self._quietly(toolkit.nextQ)
        return length_s

    def open_leak(self, node: int, flow_m3s: float) -> None:
        """Let a leak open at a junction: now it takes `flow_m3s`, later what the pressure gives.

        Call it between `solve` and `step`; the moment is solved again, with the leak.

        Raises:
            NotConvergedError: The network cannot give that flow at a pressure above 0.

        Source:
            EPANET 2.2 user manual, "Emitters": flow = coefficient × pressure ** exponent.
        """
        handle = self._handle
        exponent, before_m = toolkit.getoption(handle, toolkit.EMITEXPON), self.pressure_m(node)
        for _ in range(_LEAK_ROUNDS):
            pressure_m = self.pressure_m(node)
            if not pressure_m > 0.0:
                break
            coefficient = flow_m3s / _M3S_PER_LPS / pressure_m**exponent
            toolkit.setnodevalue(handle, node, toolkit.EMITTER, coefficient)
            self.solve()
            if abs(self.outflow_m3s(node) - flow_m3s) <= _LEAK_TOLERANCE * flow_m3s:
                return
        reason = f"no leak of {flow_m3s:.4g} m³/s can flow where the pressure is {before_m:.4g} m"
        raise NotConvergedError(self._hydraulic_s, reason)

    # What can be read after `solve`.

    def pressure_m(self, node: int) -> float:
        """Return the pressure at a node [m of water]."""
        return self._node(node, toolkit.PRESSURE)

    def level_m(self, tank: int) -> float:
        """Return the level in a tank above its bottom [m]."""
        return self._node(tank, toolkit.HEAD) - self._node(tank, toolkit.ELEVATION)

    def flow_m3s(self, link: int) -> float:
        """Return the flow in a link [m³/s], positive from start to end node."""
        return self._link(link, toolkit.FLOW) * _M3S_PER_LPS

    def outflow_m3s(self, node: int) -> float:
        """Return what leaves the network at a node [m³/s], negative for what enters it."""
        return self._node(node, toolkit.DEMAND) * _M3S_PER_LPS

    def chlorine_g_m3(self, node: int) -> float:
        """Return the concentration at a node [g/m³], as of the last step."""
        return self._node(node, toolkit.QUALITY)

    def _node(self, node: int, what: int) -> float:
        return float(toolkit.getnodevalue(self._handle, node, what))

    def _link(self, link: int, what: int) -> float:
        return float(toolkit.getlinkvalue(self._handle, link, what))
