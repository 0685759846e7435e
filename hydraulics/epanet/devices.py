"""What pumps and valves of an EPANET file do, as numbers in SI units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from epanet import toolkit as en

from hydraulics.epanet.toolkit import Solver
from hydraulics.errors import HydraulicsError
from hydraulics.network import FloatArray, LinkKind

_FOOT_M = 0.3048
_KW_PER_HP = 0.7457
"""EPANET's rounded factor, so that the power is what it reckons with."""
_POWER_M4_S = 8.814 * _FOOT_M**4
"""Gain times flow of one horsepower [m⁴/s]."""
_MINOR_S2_M = 0.02517 / _FOOT_M
_REGULATES = 2
_ONE_POINT, _THREE_POINTS = 1, 3


class UnsupportedError(HydraulicsError):
    """A model holds something that the engine for live runs does not know; EPANET does.

    Attributes:
        what: What it is.
        subject: Id of the node or link, None where it is the whole file.
    """

    def __init__(self, what: str, subject: str | None = None) -> None:
        super().__init__(what, subject)
        self.what = what
        self.subject = subject

    def __str__(self) -> str:
        where = f"{self.subject}: " if self.subject else ""
        return f"{where}{self.what} is not known to the live engine: solve it with EPANET"


@dataclass(frozen=True, slots=True)
class PumpCurve:
    """What a pump gains at speed 1.

    Attributes:
        rest_m: Gain at rest [m], infinite for a pump of constant power.
        resistance: r of h = rest − r qⁿ.
        power: n.
        power_m4_s: Gain times flow of a pump of constant power [m⁴/s], 0 for others.
        flow_m3s: Points of a curve that is no power function, empty for others.
        gain_m: The same.
        design_m3s: Flow to begin with [m³/s].
    """

    rest_m: float
    resistance: float
    power: float
    power_m4_s: float
    flow_m3s: FloatArray
    gain_m: FloatArray
    design_m3s: float


@dataclass(frozen=True, slots=True)
class Devices:
    """Pumps and valves of a network.

    Attributes:
        pump: Curve of each pump, by link.
        setting: The file's own: speed of pumps, setting of valves in SI (a head for PRV, PSV and
            PBV, a flow for FCV, a coefficient for TCV), infinite for a valve that is fixed open,
            NaN for other links, shape (n_links,).
        minor: Minor loss of open valves [s²/m⁵], shape (n_links,).
        minor_per_coefficient: The same for a coefficient of 1.
    """

    pump: dict[int, PumpCurve]
    setting: FloatArray
    minor: FloatArray
    minor_per_coefficient: FloatArray


def read_devices(solver: Solver) -> Devices:
    """Return the pumps and valves of an open project.

    Raises:
        UnsupportedError: It holds a general purpose valve, a positional one, an emitter, or
            demands that fall with pressure.
    """
    model = solver.model
    _refuse_unknown(solver)
    pumps = [int(k) for k in np.flatnonzero(model.link_kind == LinkKind.PUMP)]
    is_valve = model.link_kind == LinkKind.VALVE
    setting = np.where(model.is_pipe, np.nan, solver.links(en.INITSETTING))
    is_pump = model.link_kind == LinkKind.PUMP
    setting[is_pump & (setting == 0.0)] = 1.0  # a pump that the file closes
    setting[is_valve & (solver.links(en.INITSTATUS) < _REGULATES)] = np.inf
    per_coefficient = np.zeros(model.n_links)
    per_coefficient[is_valve] = _MINOR_S2_M / model.diameter_m[is_valve] ** 4
    return Devices(
        pump={k: _pump(solver, k) for k in pumps},
        setting=setting,
        minor=per_coefficient * np.where(is_valve, model.minor_loss, 0.0),
        minor_per_coefficient=per_coefficient,
    )


def _refuse_unknown(solver: Solver) -> None:
    model = solver.model
    for link, kind in enumerate(model.valve_type):
        if kind not in {"", "PRV", "PSV", "FCV", "TCV", "PBV"}:
            raise UnsupportedError(f"a {kind} valve", model.link_id[link])
    emitters = np.flatnonzero(solver.nodes(en.EMITTER) * (model.node_kind == 0))
    if len(emitters):
        raise UnsupportedError("an emitter", model.node_id[int(emitters[0])])
    if solver.is_pressure_driven:
        raise UnsupportedError("demand that falls with pressure")


def _pump(solver: Solver, k: int) -> PumpCurve:
    ph, index = solver.ph, solver.link[k]
    kind = int(en.getpumptype(ph, index))
    none = np.empty(0)
    if kind == en.CONST_HP:
        # SI flow units make EPANET give kilowatts.
        power = float(en.getlinkvalue(ph, index, en.PUMP_POWER)) / _KW_PER_HP * _POWER_M4_S
        return PumpCurve(np.inf, 0.0, 0.0, power, none, none, _FOOT_M**3)
    curve = int(en.getlinkvalue(ph, index, en.PUMP_HCURVE))
    if kind not in {en.POWER_FUNC, en.CUSTOM} or curve <= 0:
        raise UnsupportedError("a pump without a curve", solver.model.link_id[k])
    points = np.array(
        [en.getcurvevalue(ph, curve, n + 1) for n in range(en.getcurvelen(ph, curve))]
    ).T
    if kind == en.CUSTOM:
        middle = float(points[0].mean())
        return PumpCurve(float(points[1, 0]), 0.0, 0.0, 0.0, points[0], points[1], middle)
    rest, resistance, power = _power_function(points[0], points[1])
    design = float(points[0, -1] if len(points[0]) == _ONE_POINT else points[0, 1])
    return PumpCurve(rest, resistance, power, 0.0, none, none, design)


def _power_function(flow: FloatArray, gain: FloatArray) -> tuple[float, float, float]:
    """Return gain at rest, resistance and exponent, by EPANET's `powercurve`."""
    if len(flow) == _ONE_POINT:
        return float(gain[0]) * 4.0 / 3.0, float(gain[0] / 3.0 / flow[0] ** 2), 2.0
    assert len(flow) == _THREE_POINTS, "EPANET takes other curves point by point"
    power = np.log((gain[0] - gain[2]) / (gain[0] - gain[1])) / np.log(flow[2] / flow[1])
    return float(gain[0]), float((gain[0] - gain[1]) / flow[1] ** power), float(power)
