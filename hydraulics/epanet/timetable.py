"""What a file says of demands, heads and pump speeds at any time: base values and patterns."""

from __future__ import annotations

import numpy as np
from epanet import toolkit as en

from hydraulics.epanet.session import Session
from hydraulics.network import FloatArray, IndexArray, LinkKind, NodeKind


class Timetable:
    """Patterns of a file and all that follows them, read once."""

    def __init__(self, session: Session) -> None:
        self.model = session.model
        ph, model = session.ph, session.model
        count = en.getcount(ph, en.PATCOUNT)
        self._patterns = [np.ones(1)] + [
            np.array([en.getpatternvalue(ph, p, k + 1) for k in range(en.getpatternlen(ph, p))])
            for p in range(1, count + 1)
        ]
        self._step_s = max(int(en.gettimeparam(ph, en.PATTERNSTEP)), 1)
        self._start_s = int(en.gettimeparam(ph, en.PATTERNSTART))
        self._base_by_pattern = np.zeros((count + 1, model.n_nodes))
        multiplier = en.getoption(ph, en.DEMANDMULT)
        self._usual = int(en.getoption(ph, en.DEMANDPATTERN))
        for i in np.flatnonzero(model.node_kind == NodeKind.JUNCTION):
            self._read_demands(session, int(i), multiplier)
        self.head_pattern = {
            int(i): pattern
            for i in np.flatnonzero(model.node_kind == NodeKind.RESERVOIR)
            if (pattern := int(en.getnodevalue(ph, session.node[i], en.PATTERN)))
        }
        self.speed_pattern = {
            int(k): pattern
            for k in np.flatnonzero(model.link_kind == LinkKind.PUMP)
            if (pattern := int(en.getlinkvalue(ph, session.link[k], en.LINKPATTERN)))
        }
        self._initial_head = _initial_heads(session)

    def _read_demands(self, session: Session, node: int, multiplier: float) -> None:
        ph, index = session.ph, session.node[node]
        for category in range(1, en.getnumdemands(ph, index) + 1):
            # EPANET lets a demand without a pattern follow the file's default one.
            pattern = int(en.getdemandpattern(ph, index, category)) or self._usual
            base_m3s = en.getbasedemand(ph, index, category) * multiplier
            self._base_by_pattern[pattern, node] += base_m3s

    def demand_m3s(self, model_time_s: FloatArray) -> FloatArray:
        """Return demands at some model times [m³/s], shape (n_times, n_nodes)."""
        return np.asarray(self._factors(model_time_s) @ self._base_by_pattern, dtype=np.float64)

    def fixed_head_m(self, model_time_s: FloatArray) -> FloatArray:
        """Return heads of reservoirs, and of tanks at their initial level.

        Shape (n_times, n_nodes) [m], NaN at junctions.
        """
        factor = self._factors(model_time_s)
        head = np.tile(self._initial_head, (len(model_time_s), 1))
        for node, pattern in self.head_pattern.items():
            head[:, node] = self._initial_head[node] * factor[:, pattern]
        return head

    def pump_speed(self, model_time_s: FloatArray) -> FloatArray:
        """Return speeds that patterns give pumps, shape (n_times, n_links), NaN elsewhere."""
        factor = self._factors(model_time_s)
        speed = np.full((len(model_time_s), self.model.n_links), np.nan)
        for link, pattern in self.speed_pattern.items():
            speed[:, link] = factor[:, pattern]
        return speed

    def period(self, model_time_s: FloatArray) -> IndexArray:
        """Return the number of the step of patterns in which times lie, shape (n_times,)."""
        return ((np.asarray(model_time_s) + self._start_s) // self._step_s).astype(np.int64)

    def _factors(self, model_time_s: FloatArray) -> FloatArray:
        """Return the factor of each pattern, shape (n_times, n_patterns + 1), the first 1."""
        at = self.period(model_time_s)
        return np.stack([pattern[at % len(pattern)] for pattern in self._patterns], axis=1)


def _initial_heads(session: Session) -> FloatArray:
    kind = session.model.node_kind
    head = np.full(session.model.n_nodes, np.nan)
    for i in np.flatnonzero(kind != NodeKind.JUNCTION):
        head[i] = en.getnodevalue(session.ph, session.node[i], en.ELEVATION)
        if kind[i] == NodeKind.TANK:
            head[i] += en.getnodevalue(session.ph, session.node[i], en.TANKLEVEL)
    return head
