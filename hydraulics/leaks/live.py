"""One snapshot of pressures becomes a probability for every pipe, in about a millisecond.

The nominal state is solved at the measured inflow, from the last one; one linearization tells what
a leak in any pipe would do to every sensor when users take what it leaves; a covariance that was
made before whitens both; size has a closed form. First order only: leaks of a few litres a second
bend the answer, and `localize` refines it on rows of a day.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import blas, cholesky, solve_triangular

from hydraulics.compiled import compiled
from hydraulics.epanet.toolkit import Boundary
from hydraulics.errors import HydraulicsError
from hydraulics.leaks.equations import Linear
from hydraulics.leaks.gga import NewtonSolver, Solution
from hydraulics.leaks.ldl import PlaceArray
from hydraulics.network import BoolArray, FloatArray, IndexArray

_PLACES = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
_SQRT_HALF = math.sqrt(0.5)
_FAR = 20.0
"""From where the tail of a normal distribution is taken from its series."""
_FLAT = 1e-4
_NEVER = 40.0
"""How far below another pipe's ln-likelihood a pipe's probability is taken to be 0."""


class NoReadingError(HydraulicsError):
    """No sensor of a snapshot reads anything."""

    code = "NO_PRESSURE"

    def __str__(self) -> str:
        return "no pressure sensor has a reading in this snapshot: nothing can be localized"


@dataclass(frozen=True, slots=True)
class Unsure:
    """Standard deviations of what a snapshot does not know.

    Attributes:
        demand: Of a junction's demand, relative.
        roughness: Of a pipe's roughness, relative.
        roughness_common: Of all roughness together, relative.
        setting_m: Of the head that a valve holds [m].
        bias_m: Of a pressure sensor's offset [m].
        noise_m: Of a reading [m].
    """

    demand: float = 0.3
    roughness: float = 0.1
    roughness_common: float = 0.05
    setting_m: float = 0.3
    bias_m: float = 0.05
    noise_m: float = 0.02


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was measured at one time.

    Attributes:
        boundary: Demands as the model has them, and measured heads, openings and settings.
        taken_m3s: What users and leaks took together: inflow less what tanks stored [m³/s].
        pressure_m: Reading of each sensor [m], shape (n_sensors,), NaN if missing.
    """

    boundary: Boundary
    taken_m3s: float
    pressure_m: FloatArray


@dataclass(frozen=True, slots=True)
class LiveAnswer:
    """Where a leak may be, by one snapshot.

    Attributes:
        probability: Of each candidate pipe, adding up to 1, 0 if below e⁻⁴⁰, shape (n_pipes,).
        flow_m3s: Likeliest outflow in each [m³/s], 0 if its probability is 0, shape (n_pipes,).
        log_evidence: ln of how much better a leak somewhere explains the snapshot than none.
        residual_m: Measured minus nominal pressure, shape (n_sensors,), NaN if missing.
        solution: The nominal state, from which the next cycle may begin.
    """

    probability: FloatArray
    flow_m3s: FloatArray
    log_evidence: float
    residual_m: FloatArray
    solution: Solution


class LiveLocator:
    """Answers snapshots of one network; nothing of a snapshot stays but working space.

    Attributes:
        pipe: Candidate pipes, all that have a length, shape (n_pipes,).
        sensor: Node of each pressure sensor, shape (n_sensors,).
    """

    def __init__(
        self, newton: NewtonSolver, sensor: IndexArray, largest_flow_m3s: float = 0.06
    ) -> None:
        """Take what stays the same.

        Args:
            newton: Solver of nominal states.
            sensor: Node of each pressure sensor, shape (n_sensors,).
            largest_flow_m3s: Leaks up to this are as likely as one another, none above.
        """
        model = newton.model
        self.newton, self.model, self.sensor = newton, model, sensor
        self.pipe = np.flatnonzero(model.is_pipe & (model.length_m > 0))
        self._largest_m3s = largest_flow_m3s
        length = model.length_m[self.pipe]
        self._log_prior = np.log(length / length.sum())
        place = newton.grid.node_place
        self._start, self._end = place[model.start[self.pipe]], place[model.end[self.pipe]]
        self._falls = np.empty((newton.grid.symbolic.n_unknowns, len(sensor)))

    def nominal(self, snapshot: Snapshot, before: Solution | None = None) -> Solution:
        """Return the leak-free state at the measured inflow.

        Raises:
            NotConvergedError: There is none.
        """
        demand = snapshot.boundary.demand_m3s
        factor = snapshot.taken_m3s / float(demand.sum())
        boundary = snapshot.boundary.with_demand(demand * factor)
        return self.newton.solve(boundary, before)

    def covariance(self, solution: Solution, unsure: Unsure) -> FloatArray:
        """Return the covariance of leak-free residuals about a state [m²], (n_sensors, n_sensors).

        To be made once, or a few times a day: a state that moves a little changes it little.
        """
        effect = [
            unsure.demand * self._by_demand(solution),
            *self._by_roughness(solution, unsure),
            unsure.setting_m * self._by_setting(solution.linear),
        ]
        total = sum(one @ one.T for one in effect)
        own = unsure.bias_m**2 + unsure.noise_m**2
        return np.asarray(total + own * np.eye(len(self.sensor)), dtype=np.float64)

    def cycle(
        self,
        snapshot: Snapshot,
        whitener: FloatArray,
        offset_m: FloatArray,
        before: Solution | None = None,
    ) -> LiveAnswer:
        """Return where a leak may be.

        Args:
            snapshot: What was measured.
            whitener: What `whiten` made of the covariance.
            offset_m: Leak-free measured minus nominal pressure, shape (n_sensors,), 0 if unknown.
            before: A state to begin from.

        Raises:
            NoReadingError: No sensor reads.
            NotConvergedError: There is no nominal state.
        """
        solution = self.nominal(snapshot, before)
        head = solution.state.head_m[self.sensor]
        residual = snapshot.pressure_m - (head - self.model.elevation_m[self.sensor]) - offset_m
        reads = np.isfinite(residual)
        if not reads.any():
            raise NoReadingError
        white_by = whitener if reads.all() else _without(whitener, reads)
        falls = solution.linear.falls(self.sensor, self._falls)
        shared = white_by @ self._shared_fall(solution)
        target = white_by @ -np.where(reads, residual, 0.0)
        white = blas.dtrmm(1.0, white_by, falls.T, lower=1, overwrite_b=1).T
        gain, flow = np.empty(len(self.pipe)), np.empty(len(self.pipe))
        _weigh(
            self._start, self._end, white, shared, target, self._largest_m3s, _PLACES, gain, flow
        )
        return self._answer(gain, flow, residual, solution)

    def _answer(
        self, gain: FloatArray, flow: FloatArray, residual: FloatArray, solution: Solution
    ) -> LiveAnswer:
        joint = gain + self._log_prior
        most = float(joint.max())
        weight = np.exp(joint - most)
        total = float(weight.sum())
        return LiveAnswer(weight / total, flow, most + math.log(total), residual, solution)

    def _shared_fall(self, solution: Solution) -> FloatArray:
        """Return the fall at the sensors by unit outflow shared by all users, (n_sensors,)."""
        grid, linear = self.newton.grid, solution.linear
        demand = np.where(linear.reach.is_live, solution.state.delivered_m3s, 0.0)
        demand = demand[grid.place_node]
        total = float(demand.sum())
        if not total > 0:
            return np.zeros(len(self.sensor))
        head, _ = linear.heads(-demand / total, np.zeros(len(linear.valve_held)))
        return self._at_sensors(-head)

    def _at_sensors(self, by_place: FloatArray) -> FloatArray:
        place = self.newton.grid.node_place[self.sensor]
        return np.where(place >= 0, by_place[place], 0.0)

    def _net_falls(self, solution: Solution) -> FloatArray:
        """Return falls by unit outflow at each node that others do not take, (n_sensors, n)."""
        falls = solution.linear.falls(self.sensor).T
        return np.asarray(falls - self._shared_fall(solution)[:, None], dtype=np.float64)

    def _by_demand(self, solution: Solution) -> FloatArray:
        place_node = self.newton.grid.place_node
        demand = np.abs(solution.state.delivered_m3s[place_node])
        return np.asarray(self._net_falls(solution) * demand, dtype=np.float64)

    def _by_roughness(self, solution: Solution, unsure: Unsure) -> list[FloatArray]:
        """Return effects of each pipe's roughness, and of all together."""
        model, losses, grid = self.model, self.newton.losses, self.newton.grid
        falls = np.zeros((len(self.sensor), model.n_nodes))
        falls[:, grid.place_node] = solution.linear.falls(self.sensor).T
        pipe = losses.pipe
        lost = solution.conductance[pipe] * losses.roughness_effect_m(solution.state.flow_m3s[pipe])
        each = (falls[:, model.start[pipe]] - falls[:, model.end[pipe]]) * lost
        together = each.sum(axis=1, keepdims=True)
        return [unsure.roughness * each, unsure.roughness_common * together]

    def _by_setting(self, linear: Linear) -> FloatArray:
        n_valves = len(linear.valve_held)
        effect = np.zeros((len(self.sensor), n_valves))
        nothing = np.zeros(linear.grid.symbolic.n_unknowns)
        for n in range(n_valves):
            head, _ = linear.heads(nothing, np.eye(n_valves)[n])
            effect[:, n] = self._at_sensors(head)
        return effect


def whiten(covariance: FloatArray) -> FloatArray:
    """Return W with W C Wᵀ = 1, lower triangular, in Fortran's order for BLAS."""
    factor = cholesky(covariance, lower=True, check_finite=False)
    inverse = solve_triangular(factor, np.eye(len(factor)), lower=True, check_finite=False)
    return np.asfortranarray(np.tril(inverse))


def _without(whitener: FloatArray, reads: BoolArray) -> FloatArray:
    """Return the whitener of those that read, with zeros for the others."""
    covariance: FloatArray = np.asarray(np.linalg.inv(whitener.T @ whitener), dtype=np.float64)
    result = np.zeros_like(whitener, order="F")
    result[np.ix_(reads, reads)] = whiten(covariance[np.ix_(reads, reads)])
    return result


@compiled
def _weigh(  # noqa: PLR0913, PLR0917 - what it reads, then what it fills
    start: PlaceArray,
    end: PlaceArray,
    white: FloatArray,
    shared: FloatArray,
    target: FloatArray,
    largest: float,
    places: FloatArray,
    gain: FloatArray,
    flow: FloatArray,
) -> None:
    """Fill in ln-likelihood over no leak, and the likeliest flow, of each pipe."""
    n_sensors = len(target)
    nothing = np.zeros(n_sensors)
    best = 0.0
    for k in range(len(start)):
        one = white[start[k]] if start[k] >= 0 else nothing
        other = white[end[k]] if end[k] >= 0 else nothing
        uu, uv, vv, ut, vt = 0.0, 0.0, 0.0, 0.0, 0.0
        for s in range(n_sensors):
            u, v, t = one[s] - shared[s], other[s] - shared[s], target[s]
            uu += u * u
            uv += u * v
            vv += v * v
            ut += u * t
            vt += v * t
        most, total, likeliest = -np.inf, 0.0, 0.0
        for x in places:
            along = (1.0 - x) * ut + x * vt
            square = (1.0 - x) ** 2 * uu + 2.0 * x * (1.0 - x) * uv + x * x * vv
            # No mean is above its largest term: what cannot matter is not worth its exponentials.
            if 0.5 * max(along, 0.0) ** 2 < (best - _NEVER) * square:
                continue
            value = _log_mean(along, square, largest)
            if value > most:
                total = total * math.exp(most - value) + 1.0
                most = value
                likeliest = min(max(along / square, 0.0), largest) if square > 0.0 else 0.0
            else:
                total += math.exp(value - most)
        gain[k] = most + math.log(total / len(places)) if total > 0.0 else -np.inf
        flow[k] = likeliest
        best = max(best, gain[k])


@compiled
def _log_mean(along: float, square: float, largest: float) -> float:
    """Return ln of the mean of exp(along q − square q²/2) over q from 0 to `largest`."""
    root = math.sqrt(max(square, 0.0))
    if root * largest < _FLAT:
        x = along * largest
        return 0.5 * x if abs(x) < _FLAT else math.log(math.expm1(x) / x)
    low = -along / root
    high = low + root * largest
    scale = math.log(math.sqrt(2.0 * math.pi) / (root * largest))
    if low >= 0.0:
        gone = math.exp(0.5 * (low - high) * (low + high)) * _tail(high)
        return scale + math.log(_tail(low) - gone)
    if high <= 0.0:
        gone = math.exp(0.5 * (high - low) * (high + low)) * _tail(-low)
        return scale + 0.5 * (low - high) * (low + high) + math.log(_tail(-high) - gone)
    inside = 1.0 - 0.5 * math.erfc(-low * _SQRT_HALF) - 0.5 * math.erfc(high * _SQRT_HALF)
    return scale + 0.5 * low * low + math.log(inside)


@compiled
def _tail(x: float) -> float:
    """Return exp(x²/2) times the chance that a standard normal number is above x, at least 0."""
    if x > _FAR:
        y = 1.0 / (x * x)
        series = 1.0 - y * (1.0 - y * (3.0 - 15.0 * y))
        return series / (x * math.sqrt(2.0 * math.pi))
    return 0.5 * math.exp(0.5 * x * x) * math.erfc(x * _SQRT_HALF)
