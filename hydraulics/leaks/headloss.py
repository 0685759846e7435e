"""Head lost along pipes, and its slopes, by the three formulas that EPANET knows.

Everything is worked out in feet and seconds with EPANET's own rounded constants, then turned into
SI: a constant of its own would put the losses one part in a thousand off.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hydraulics.network import FloatArray, NetworkModel

FOOT_M = 0.3048
LEAST_SLOPE_S_M2 = 1e-7 / FOOT_M**2
"""EPANET's RQTOL: below this dh/dq [m/(m³/s)] it takes head losses to be linear in flow."""
MINOR_LOSS_S2_M = 0.02517 / FOOT_M
"""EPANET's 8/(π²g): minor loss [m] by K q²/d⁴."""
_GRAVITY_FT_S2 = 32.2
_EXPONENT = {"H-W": 1.852, "D-W": 2.0, "C-M": 2.0}


class PipeLosses:
    """Head loss of every pipe of a network as a function of flow.

    Attributes:
        formula: `H-W`, `D-W` or `C-M`.
        pipe: Links that are pipes, shape (n_pipes,).
        exponent: Of the flow in the formula.

    Source:
        EPANET 2.2 user manual, tables 3.1 and 3.2; `hydcoeffs.c` of 2.3, `resistcoeff`, `pipecoeff`
        and `DWpipecoeff`.
    """

    def __init__(self, model: NetworkModel) -> None:
        self.formula = model.headloss
        self.exponent = _EXPONENT.get(self.formula, 1.852)
        self.pipe = np.flatnonzero(model.is_pipe)
        diameter_m = np.maximum(model.diameter_m[self.pipe], 1e-4)
        rough = np.maximum(model.roughness[self.pipe], 1e-9)
        self._resistance = _resistance(
            self.formula, model.length_m[self.pipe], diameter_m, rough, self.exponent
        )
        self._minor = MINOR_LOSS_S2_M * model.minor_loss[self.pipe] / diameter_m**4
        self._has_minor = bool(self._minor.any())
        self._relative_rough = rough / diameter_m
        self._viscous_m3s = model.viscosity_m2s * diameter_m

    def loss_m(self, flow_m3s: FloatArray) -> FloatArray:
        """Return the head loss of pipes [m], with the sign of the flow.

        Args:
            flow_m3s: Flow in `pipe`'s order [m³/s], shape (n_pipes, ...).
        """
        size = np.abs(flow_m3s)
        shape = (-1, *(1,) * (flow_m3s.ndim - 1))
        lost = self._friction_m(size, shape)
        if self._has_minor:
            lost = lost + self._minor.reshape(shape) * size**2
        return np.asarray(np.sign(flow_m3s) * lost, dtype=np.float64)

    def slope(self, flow_m3s: FloatArray) -> FloatArray:
        """Return dh/dq of pipes [m/(m³/s)], shape (n_pipes,), above 0."""
        size = np.abs(flow_m3s)
        if self.formula == "D-W":
            size = np.maximum(size, 1e-9 * self._viscous_m3s)  # at rest it stays laminar
            factor = self._factor(size, (-1,))
            friction = self._resistance * (2.0 * size * factor.value + size * factor.by_log_flow)
        else:
            friction = self.exponent * self._resistance * size ** (self.exponent - 1.0)
            at_rest = friction < LEAST_SLOPE_S_M2
            friction = np.where(at_rest, LEAST_SLOPE_S_M2 / self.exponent, friction)
        return np.asarray(friction + 2.0 * self._minor * size, dtype=np.float64)

    def roughness_effect_m(self, flow_m3s: FloatArray) -> FloatArray:
        """Return the change of head loss by a relative change of roughness [m], (n_pipes,)."""
        size = np.abs(flow_m3s)
        if self.formula == "D-W":
            effect = self._resistance * self._factor(size, (-1,)).by_log_rough * size**2
        else:
            power = 2.0 if self.formula == "C-M" else -self.exponent
            effect = power * self._friction_m(size, (-1,))
        return np.asarray(np.sign(flow_m3s) * effect, dtype=np.float64)

    def _friction_m(self, size: FloatArray, shape: tuple[int, ...]) -> FloatArray:
        friction = self._resistance.reshape(shape) * size**self.exponent
        return friction * self._factor(size, shape).value if self.formula == "D-W" else friction

    def _factor(self, size: FloatArray, shape: tuple[int, ...]) -> Friction:
        relative = self._relative_rough.reshape(shape)
        return friction_factor(size / self._viscous_m3s.reshape(shape), relative)


def _resistance(
    formula: str, length_m: FloatArray, diameter_m: FloatArray, rough: FloatArray, exponent: float
) -> FloatArray:
    """Return what a power of the flow [m³/s] is multiplied by, without a friction factor."""
    length, diameter = length_m / FOOT_M, diameter_m / FOOT_M
    area = np.pi * diameter**2 / 4.0
    if formula == "D-W":
        in_feet = length / (2.0 * _GRAVITY_FT_S2 * diameter * area**2)
    elif formula == "C-M":
        in_feet = (rough / (1.49 * area)) ** 2 * (diameter / 4.0) ** -1.333 * length
    else:
        in_feet = 4.727 * length / (rough**exponent * diameter**4.871)
    return np.asarray(in_feet * FOOT_M ** (1.0 - 3.0 * exponent), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Friction:
    """A Darcy–Weisbach friction factor and what moves it, all of one shape.

    Attributes:
        value: The factor [-].
        by_log_flow: Its change by a relative change of flow.
        by_log_rough: Its change by a relative change of roughness.
    """

    value: FloatArray
    by_log_flow: FloatArray
    by_log_rough: FloatArray


_LAMINAR, _TURBULENT = 2_000.0, 4_000.0
_PER_LOG = -2.0 / np.log(10.0)
_AT_4000 = 5.74 / _TURBULENT**0.9


def friction_factor(flow_by_viscous: FloatArray, relative_rough: FloatArray) -> Friction:
    """Return the friction factor, joined as EPANET joins laminar and turbulent flow.

    Args:
        flow_by_viscous: Flow over viscosity times diameter: Reynolds' number times π/4, at least 0.
        relative_rough: Roughness over diameter [-], of a shape that broadcasts to the flow's.

    Source:
        EPANET's `frictionFactor`: Hagen–Poiseuille up to 2000, Swamee and Jain from 4000, between
        them the cubic of E. Dunlop.
    """
    reynolds = np.maximum(flow_by_viscous * 4.0 / np.pi, 1e-12)
    rough = np.broadcast_to(relative_rough / 3.7, reynolds.shape)
    laminar, between, wild = _laminar(reynolds), _between(reynolds, rough), _wild(reynolds, rough)
    parts = [
        np.where(reynolds <= _LAMINAR, low, np.where(reynolds < _TURBULENT, mid, high))
        for low, mid, high in zip(laminar, between, wild, strict=True)
    ]
    return Friction(*parts)


def _laminar(reynolds: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    value = 64.0 / reynolds
    return value, -value, np.zeros_like(value)


def _wild(reynolds: FloatArray, rough: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    smooth = 5.74 / np.maximum(reynolds, _TURBULENT) ** 0.9
    inside = rough + smooth
    root = _PER_LOG * np.log(inside)
    value = root**-2
    by_log_inside = -2.0 * value * _PER_LOG / root
    return value, -0.9 * by_log_inside * smooth / inside, by_log_inside * rough / inside


def _between(reynolds: FloatArray, rough: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    inside = rough + _AT_4000
    root = _PER_LOG * np.log(inside)
    product = inside * root
    end = root**-2
    constant = 1.8 * _PER_LOG * _AT_4000
    slope_end = (2.0 + constant / product) * end
    d_end = -2.0 * end * _PER_LOG / product * rough
    d_slope_end = slope_end / end * d_end
    d_slope_end -= constant * end / product**2 * (root + _PER_LOG) * rough
    r = np.clip(reynolds / _LAMINAR, 1.0, 2.0)
    value = _cubic(r, end, slope_end, 1.0)
    by_r = (
        (0.128 - 17.0 * end + 2.5 * slope_end)
        + 2.0 * r * (-0.128 + 13.0 * end - 2.0 * slope_end)
        + 3.0 * r**2 * (0.032 - 3.0 * end + 0.5 * slope_end)
    )
    return value, by_r * r, _cubic(r, d_end, d_slope_end, 0.0)


def _cubic(r: FloatArray, end: FloatArray, slope_end: FloatArray, one: float) -> FloatArray:
    """Return Dunlop's cubic; without its constants (`one` = 0) it is linear in the end values."""
    return np.asarray(
        (7.0 * end - slope_end)
        + r * (0.128 * one - 17.0 * end + 2.5 * slope_end)
        + r**2 * (-0.128 * one + 13.0 * end - 2.0 * slope_end)
        + r**3 * (0.032 * one - 3.0 * end + 0.5 * slope_end),
        dtype=np.float64,
    )
