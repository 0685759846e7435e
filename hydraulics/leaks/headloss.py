"""Head lost along pipes, and its slope, by the three formulas that EPANET knows."""

from __future__ import annotations

import numpy as np

from hydraulics.network import FloatArray, NetworkModel

_GRAVITY_M_S2 = 9.81456
"""EPANET's 32.2 ft/s²."""
_VISCOSITY_M2S = 1.1e-5 * 0.3048**2
"""EPANET's kinematic viscosity of water."""
_LAMINAR, _TURBULENT = 2_000.0, 4_000.0
_LEAST_SLOPE = 1e-6
"""Floor on dh/dq [m/(m³/s)]: a short wide pipe at rest would make the equations singular."""


class PipeLosses:
    """Head loss of every pipe of a network as a function of flow.

    Source:
        EPANET 2.2 user manual, tables 3.1 and 3.2; `hydcoeffs.c` for the Darcy–Weisbach factor.
    """

    def __init__(self, model: NetworkModel) -> None:
        self.formula = model.headloss
        self.pipe = np.flatnonzero(model.is_pipe)
        diameter = np.maximum(model.diameter_m[self.pipe], 1e-4)
        length = model.length_m[self.pipe]
        rough = np.maximum(model.roughness[self.pipe], 1e-9)
        self._diameter_m, self._rough = diameter, rough
        self._minor = 8.0 * model.minor_loss[self.pipe] / (np.pi**2 * _GRAVITY_M_S2 * diameter**4)
        if self.formula == "D-W":
            self._resistance = 8.0 * length / (np.pi**2 * _GRAVITY_M_S2 * diameter**5)
            self.exponent = 2.0
        elif self.formula == "C-M":
            self._resistance = 10.29 * rough**2 * length / diameter**5.333
            self.exponent = 2.0
        else:
            self._resistance = 10.667 * length / (rough**1.852 * diameter**4.871)
            self.exponent = 1.852

    def loss_m(self, flow_m3s: FloatArray) -> FloatArray:
        """Return the head loss of pipes [m], with the sign of the flow.

        Args:
            flow_m3s: Flow in `pipe`'s order [m³/s], shape (n_pipes, ...).
        """
        size = np.abs(flow_m3s)
        shape = (-1, *(1,) * (flow_m3s.ndim - 1))
        friction = self._resistance.reshape(shape) * self._factor(size, shape)
        lost = friction * size**self.exponent + self._minor.reshape(shape) * size**2
        return np.asarray(np.sign(flow_m3s) * lost, dtype=np.float64)

    def slope(self, flow_m3s: FloatArray) -> FloatArray:
        """Return dh/dq of pipes [m/(m³/s)], shape (n_pipes,), above 0."""
        size = np.abs(flow_m3s)
        if self.formula == "D-W":
            step = np.maximum(1e-4 * size, 1e-9)
            rise = self.loss_m(size + step) - self.loss_m(np.maximum(size - step, 0.0))
            slope = rise / (size + step - np.maximum(size - step, 0.0))
        else:
            friction = self.exponent * self._resistance * size ** (self.exponent - 1.0)
            slope = friction + 2.0 * self._minor * size
        return np.asarray(np.maximum(slope, _LEAST_SLOPE), dtype=np.float64)

    def roughness_effect_m(self, flow_m3s: FloatArray) -> FloatArray:
        """Return the change of head loss by a relative change of roughness [m], (n_pipes,)."""
        lost = self.loss_m(flow_m3s)
        if self.formula == "H-W":
            return np.asarray(-1.852 * lost, dtype=np.float64)
        if self.formula == "C-M":
            return np.asarray(2.0 * lost, dtype=np.float64)
        return np.asarray(0.25 * lost, dtype=np.float64)

    def _factor(self, size: FloatArray, shape: tuple[int, ...]) -> FloatArray | float:
        if self.formula != "D-W":
            return 1.0
        diameter = self._diameter_m.reshape(shape)
        reynolds = np.maximum(4.0 * size / (np.pi * diameter * _VISCOSITY_M2S), 1e-6)
        relative = (self._rough / self._diameter_m).reshape(shape)
        laminar = 64.0 / reynolds
        wild = np.maximum(reynolds, _TURBULENT)
        turbulent = 0.25 / np.log10(relative / 3.7 + 5.74 / wild**0.9) ** 2
        between = np.clip((reynolds - _LAMINAR) / _LAMINAR, 0.0, 1.0)
        # EPANET joins the two by a cubic; a straight line is as good for a slope.
        joined = (1.0 - between) * 0.032 + between * turbulent
        return np.where(reynolds < _LAMINAR, laminar, joined)
