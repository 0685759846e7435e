"""What the controls of a file do to links and tanks over some days."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from epanet import toolkit as en

from hydraulics.epanet.boundary import Statuses
from hydraulics.epanet.session import ACTIVE, Session, quiet, said
from hydraulics.errors import NotConvergedError
from hydraulics.network import FloatArray, LinkKind, NetworkModel, NodeKind

_SAME_SETTING = 1e-9


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


class _Replay(Session):
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
        self._tanks = [int(i) for i in np.flatnonzero(model.node_kind == NodeKind.TANK)]
        self._fixed = np.flatnonzero(model.node_kind != NodeKind.JUNCTION)
        self._own_setting = self.links(en.INITSETTING)
        is_valve = model.link_kind == LinkKind.VALVE
        self._regulates = is_valve & (self.links(en.INITSTATUS) == ACTIVE)
        self._is_fixed = is_valve & ~self._regulates
        with quiet():
            self._count_from_start()

    def _count_from_start(self) -> None:
        """Make controls at fixed times count from the start of the run, and do the past ones."""
        if self._start_s == 0:
            return
        ph, past = self.ph, []
        for index in range(en.getcount(ph, en.CONTROLCOUNT), 0, -1):
            kind, link, setting, node, time_s = en.getcontrol(ph, index)
            if kind == en.TIMER and time_s >= self._start_s:
                en.setcontrol(ph, index, kind, link, setting, node, time_s - self._start_s)
            elif kind == en.TIMER:
                past.append((time_s, index, link, setting))
                en.deletecontrol(ph, index)
        for _, _, link, setting in sorted(past):
            self._begin_with(link, setting)

    def _begin_with(self, link: int, setting: float) -> None:
        """Let a link begin as a control left it: open, closed, or at a setting."""
        is_switch = setting in {en.SET_OPEN, en.SET_CLOSED}
        if is_switch or en.getlinktype(self.ph, link) == en.PUMP:
            en.setlinkvalue(self.ph, link, en.INITSTATUS, float(setting > 0.0))
        if not is_switch:
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
                is_open[rows] = status > 0
                setting[rows] = self._moved(status, now)
                head[np.ix_(rows, self._fixed)] = heads[self._fixed]
            en.closeH(self.ph)
        return Statuses(is_open=is_open, setting=setting, fixed_head_m=head)

    def _moved(self, status: FloatArray, setting: FloatArray) -> FloatArray:
        """Return settings that are not the file's own any more, NaN for the others."""
        changed = (np.abs(setting - self._own_setting) > _SAME_SETTING) & (status > 0)
        # EPANET shows 0 for a valve whose status is fixed, whatever fixed it.
        changed &= (self.model.link_kind != LinkKind.PIPE) & ~(self._is_fixed & (setting == 0.0))
        opened = self._regulates & (setting == 0.0)
        return np.where(changed, np.where(opened, np.inf, setting), np.nan)

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
                raise NotConvergedError(int(now_s) + self._start_s, said(error)) from error
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
