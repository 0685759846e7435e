"""How links other than pipes, and outflows, answer to a small change: EPANET's own formulas.

Source: `hydcoeffs.c` of EPANET 2.3 (`pumpcoeff`, `valvecoeff`, `gpvcoeff`, `pbvcoeff`, `tcvcoeff`,
`emitterheadloss`, `demandheadloss`), turned into SI.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from epanet import toolkit as en

from hydraulics.epanet.boundary import State
from hydraulics.epanet.session import ACTIVE, Session
from hydraulics.network import FloatArray, LinkKind, NodeKind

_PER_M2 = 0.3048**-2
_RQTOL = 1e-7 * _PER_M2
_CSMALL = 1e-6 * _PER_M2
_BREAKER = 1e-8 * _PER_M2
_MINOR_S2_M = 0.02517 / 0.3048
_BARRIER_S_M2 = 1e9 * _PER_M2
_LEAST_M, _LEAST_M3S = 1e-9, 1e-12
_ONE_POINT = 1
_THREE_POINTS = 3


@dataclass(frozen=True, slots=True)
class _Curve:
    """Points of a curve, by rising x."""

    x: FloatArray
    y: FloatArray

    def slope_at(self, x: float) -> float:
        """Return the slope of the segment that holds x, or of the one next to it."""
        k = min(max(int(np.searchsorted(self.x, x)), 1), len(self.x) - 1)
        return float((self.y[k] - self.y[k - 1]) / (self.x[k] - self.x[k - 1]))


class LinkSlopes:
    """dh/dq of pumps and valves at any state, from curves that are read once."""

    def __init__(self, session: Session) -> None:
        self._session, self._model = session, session.model
        kind = self._model.link_kind
        self._pumps = [int(k) for k in np.flatnonzero(kind == LinkKind.PUMP)]
        self._valves = [int(k) for k in np.flatnonzero(kind == LinkKind.VALVE)]
        self._curve: dict[int, _Curve] = {}
        self._pump_type: dict[int, int] = {}
        for k in self._pumps:
            self._read_pump(k)
        for k in self._valves:
            if self._model.valve_type[k] == "GPV":
                index = int(en.getlinkvalue(session.ph, session.link[k], en.INITSETTING))
                self._curve[k] = self._read_curve(index)

    def _read_pump(self, k: int) -> None:
        ph, index = self._session.ph, self._session.link[k]
        self._pump_type[k] = int(en.getpumptype(ph, index))
        if self._pump_type[k] in {en.POWER_FUNC, en.CUSTOM}:
            curve = int(en.getlinkvalue(ph, index, en.PUMP_HCURVE))
            if curve > 0:
                self._curve[k] = self._read_curve(curve)

    def _read_curve(self, index: int) -> _Curve:
        ph = self._session.ph
        points = [
            en.getcurvevalue(ph, index, number + 1) for number in range(en.getcurvelen(ph, index))
        ]
        return _Curve(*np.array(points, dtype=np.float64).T)

    def at(self, state: State) -> FloatArray:
        """Return dh/dq [m/(m³/s)], shape (n_links,), above 0.

        NaN for pipes, and for pumps whose curve EPANET does not tell.

        Args:
            state: Must be the last solution of the session.
        """
        slope = np.full(self._model.n_links, np.nan)
        setting = self._session.links(en.SETTING)
        loss_m = state.head_m[self._model.start] - state.head_m[self._model.end]
        for k in self._pumps:
            slope[k] = self._pump(k, abs(state.flow_m3s[k]), -loss_m[k], setting[k])
        status = self._session.links(en.STATUS)
        for k in self._valves:
            is_fixed = bool(status[k] < ACTIVE)
            slope[k] = self._valve(k, abs(state.flow_m3s[k]), setting[k], is_fixed=is_fixed)
        return slope

    def _pump(self, k: int, flow_m3s: float, gain_m: float, speed: float) -> float:
        kind = self._pump_type[k]
        if kind == en.CONST_HP:
            at_flow = gain_m / max(flow_m3s, _LEAST_M3S)
            return min(max(at_flow, _CSMALL), 1e8 * _PER_M2)
        if kind == en.NOCURVE:
            return _CSMALL
        curve = self._curve.get(k)
        if curve is None or speed <= 0:
            return np.nan
        if kind == en.CUSTOM:
            return abs(curve.slope_at(flow_m3s / speed)) * speed
        resistance, power = _power_function(curve)
        flow_m3s = max(flow_m3s, _LEAST_M3S)
        slope = power * resistance * speed ** (2.0 - power) * flow_m3s ** (power - 1.0)
        return max(float(slope), _RQTOL)

    def _valve(self, k: int, flow_m3s: float, setting: float, *, is_fixed: bool) -> float:
        kind = self._model.valve_type[k]
        coefficient = float(self._model.minor_loss[k])
        if kind == "GPV":
            return max(self._curve[k].slope_at(flow_m3s), _RQTOL)
        if kind == "TCV" and not is_fixed:
            coefficient = setting
        minor = _MINOR_S2_M * coefficient / float(self._model.diameter_m[k]) ** 4
        if kind == "PBV" and not is_fixed and 0.0 < setting >= minor * flow_m3s**2:
            return _BREAKER
        if minor <= 0.0:
            return _CSMALL
        slope = 2.0 * minor * flow_m3s
        return slope if slope >= _RQTOL else _RQTOL / 2.0


def _power_function(curve: _Curve) -> tuple[float, float]:
    """Return resistance and exponent of a pump's curve h0 − r qⁿ, by EPANET's `powercurve`."""
    if len(curve.x) == _ONE_POINT:
        flow, head = float(curve.x[0]), float(curve.y[0])
        return head / 3.0 / flow**2, 2.0  # EPANET takes 4/3 of the head at rest, none at 2 q
    assert len(curve.x) == _THREE_POINTS
    h0, h1, h2 = (float(y) for y in curve.y)
    power = np.log((h0 - h2) / (h0 - h1)) / np.log(curve.x[2] / curve.x[1])
    return float((h0 - h1) / curve.x[1] ** power), float(power)


def outflow_slope(session: Session, state: State) -> FloatArray:
    """Return how outflows rise with head: emitters and demands in want.

    Args:
        session: The project.
        state: Must be its last solution.

    Returns:
        d outflow/d head [m²/s], shape (n_nodes,), at least 0.
    """
    model, ph = session.model, session.ph
    pressure_m = state.head_m - model.elevation_m
    slope = _emitter_slope(session, pressure_m)
    demand_model, least_m, enough_m, power = en.getdemandmodel(ph)
    if demand_model == en.PDA:
        wanted_m3s = session.nodes(en.FULLDEMAND)
        slope += _demand_slope(pressure_m - least_m, enough_m - least_m, power, wanted_m3s)
    return np.where(model.node_kind == NodeKind.JUNCTION, slope, 0.0)


def _emitter_slope(session: Session, pressure_m: FloatArray) -> FloatArray:
    """Return what emitters C pᵞ give more by head: γ q/p, held where EPANET takes p linear in q."""
    coefficient = session.nodes(en.EMITTER)
    has = (coefficient > 0.0) & (session.model.node_kind == NodeKind.JUNCTION)
    if not has.any():
        return np.zeros(len(has))
    power = float(en.getoption(session.ph, en.EMITEXPON))
    size_m = np.maximum(np.abs(pressure_m), _LEAST_M)
    by_flow = np.divide(size_m ** (1.0 - power), power * coefficient, where=has,
                        out=np.ones_like(size_m))  # fmt: skip
    by_flow = np.where(by_flow < _RQTOL, _RQTOL * power, by_flow)
    if not en.getoption(session.ph, en.EMITBACKFLOW):
        has &= pressure_m > 0.0
    return np.where(has, 1.0 / by_flow, 0.0)


def _demand_slope(
    above_m: FloatArray, range_m: float, power: float, wanted_m3s: FloatArray
) -> FloatArray:
    """Return what demands in want get more by head.

    EPANET rounds both ends of the range by a barrier less than a millimetre wide: beyond it the
    demand is held at nothing or at all that is wanted.
    """
    share = np.clip(above_m / range_m, 0.0, 1.0)
    inside = (share > 0.0) & (share < 1.0) & (wanted_m3s > 0.0)
    share, wanted = np.where(inside, share, 0.5), np.where(inside, wanted_m3s, 1.0)
    by_flow = range_m / (power * wanted) * share ** (1.0 - power)
    by_flow += _barrier(wanted * share**power)
    return np.where(inside, 1.0 / by_flow, 0.0)


def _barrier(flow_m3s: FloatArray) -> FloatArray:
    """Return what EPANET adds to dh/dq of a demand so near to nothing."""
    height = 1e9 * flow_m3s / 0.3048**3
    return np.asarray(_BARRIER_S_M2 / 2.0 * (1.0 - height / np.sqrt(height**2 + 1e-6)))
