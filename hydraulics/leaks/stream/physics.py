"""EPANET and its tangent at calibrated roughness."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from hydraulics.epanet.toolkit import Boundary, Solver, State
from hydraulics.errors import NotConvergedError
from hydraulics.leaks.headloss import PipeLosses
from hydraulics.leaks.measurements import Measurements
from hydraulics.leaks.signatures import predict
from hydraulics.leaks.stream.rows import DayRows, Frame
from hydraulics.leaks.tangent import Observed, Sensitivity, Tangent
from hydraulics.network import BoolArray, FloatArray, IndexArray, LinkKind, NetworkModel, NodeKind

_LEAST_PRESSURE_M = -100.0
"""Where what is asked for is more than can come, EPANET answers with heads far below any."""


@dataclass(frozen=True, slots=True)
class Signatures:
    """What small changes do to what is measured, at one block's mean state.

    Attributes:
        leak: By an outflow at each node, users taking less by as much [per m³/s],
            shape (n_observed, n_nodes).
        users: By a relative change of each user's demand, the same shape.
        errors: By a relative change of each pipe's roughness, then by each valve's setting
            [per m], then by the offset of each pressure sensor [per m] where sensors may be off,
            shape (n_observed, n_errors).
        boundary: The block's mean boundary.
        share: What each user pays for a leak in its zone, adding up to 1 in each zone that is
            scaled, shape (n_nodes,).
    """

    leak: FloatArray
    users: FloatArray
    errors: FloatArray
    boundary: Boundary
    share: FloatArray


class Physics:
    """A network whose roughness, and whose sensors' offsets, can be told."""

    def __init__(
        self, solver: Solver, frame: Frame, seen: Measurements, *, may_be_off: bool
    ) -> None:
        self.solver, self.frame = solver, frame
        self.model: NetworkModel = frame.model
        heads = tuple(Observed(int(node)) for node in seen.pressure_node)
        meters = [int(seen.flow_link[column]) for column in frame.zoning.split]
        self.observed = heads + tuple(Observed(-1, (link,), (1.0,)) for link in meters)
        self.n_heads = len(heads)
        self.pipes: IndexArray = np.flatnonzero(self.model.is_pipe)
        self.valves = np.flatnonzero(self.model.link_kind == LinkKind.VALVE)
        self._is_user = self.model.node_kind == NodeKind.JUNCTION
        self._losses = PipeLosses(self.model)
        self._offset_m = np.zeros(self.n_heads)
        n_offsets = self.n_heads if may_be_off else 0
        self._offsets = np.eye(len(self.observed))[:, :n_offsets]

    @property
    def n_errors(self) -> int:
        """How many errors of roughness, settings and sensors there are."""
        return len(self.pipes) + len(self.valves) + int(self._offsets.shape[1])

    def take_offsets(self, offset_m: FloatArray) -> None:
        """Expect each pressure sensor to read so much too much from now on [m], (n_heads,)."""
        self._offset_m = offset_m

    def take_roughness(self, roughness: FloatArray) -> None:
        """Calculate with these values from now on, shape (n_links,), in the file's unit."""
        self.model = replace(self.frame.model, roughness=roughness)
        self._losses = PipeLosses(self.model)
        self.solver.set_roughness(roughness)

    def residual(self, rows: DayRows, leak_m3s: FloatArray) -> FloatArray:
        """Return measured minus modelled, shape (n_rows, n_observed), NaN where EPANET fails."""
        result = np.full_like(rows.measured, np.nan)
        for row in range(len(rows.block)):
            try:
                state = self._solved(self.frame.boundary(rows, row, leak_m3s))
            except NotConvergedError:
                continue
            result[row] = rows.measured[row] - self.predicted(state)
        return result

    def _solved(self, boundary: Boundary) -> State:
        """Return a state that a network may be in.

        Raises:
            NotConvergedError: EPANET found none, or one of a part that nothing feeds.
        """
        state = self.solver.solve(boundary)
        nodes = [one.node for one in self.observed[: self.n_heads]]
        pressure_m = state.head_m[nodes] - self.model.elevation_m[nodes]
        if (pressure_m < _LEAST_PRESSURE_M).any():
            raise NotConvergedError(0, "a part of the network is fed by nothing")
        return state

    def predicted(self, state: State) -> FloatArray:
        """Return what instruments should read at a state, shape (n_observed,)."""
        read = predict(self.observed, state.head_m[None, :], state.flow_m3s[None, :])[:, 0]
        read[: self.n_heads] += self._offset_m
        return read

    def sensitivity(self, boundary: Boundary) -> tuple[State, Sensitivity]:
        """Return a state and what small changes do there.

        Raises:
            NotConvergedError: EPANET found no state.
        """
        state = self._solved(boundary)
        link_slope = self.solver.pump_slopes(boundary, state)
        node_slope = self.solver.outflow_slope(state)
        tangent = Tangent(self.model, self._losses, state, link_slope, node_slope)
        return state, tangent.sensitivity(self.observed)

    def errors_of(self, sensitivity: Sensitivity) -> FloatArray:
        """Return effects of pipes' roughness, valves' settings and offsets, side by side."""
        rough, setting = sensitivity.roughness[:, self.pipes], sensitivity.setting[:, self.valves]
        return np.concatenate([rough, setting, self._offsets], axis=1)

    def signatures(self, boundary: Boundary, leak_m3s: FloatArray) -> Signatures:
        """Return what leaks and errors do at a boundary that holds these leaks."""
        _, sensitivity = self.sensitivity(boundary)
        effect = sensitivity.outflow.copy()
        users, share = np.zeros(self.model.n_nodes), np.zeros(self.model.n_nodes)
        for nodes, own in self._scaled_users(boundary, leak_m3s):
            effect[:, nodes] -= (sensitivity.outflow @ (own / own.sum()))[:, None]
            users += own
            share += own / own.sum()
        by_users = effect * users[None, :]
        return Signatures(effect, by_users, self.errors_of(sensitivity), boundary, share)

    def _scaled_users(
        self, boundary: Boundary, leak_m3s: FloatArray
    ) -> Iterator[tuple[BoolArray, FloatArray]]:
        """Yield each fed zone's nodes and what its users take, shape (n_nodes,)."""
        for zone in self.frame.zoning.zones:
            own = np.where(zone.nodes & self._is_user, boundary.demand_m3s - leak_m3s, 0.0)
            for _, link in self.frame.zoning.cut:
                own[[self.model.start[link], self.model.end[link]]] = 0.0
            own = np.clip(own, 0.0, None)
            if zone.is_fed and own.sum() > 0:
                yield zone.nodes, own

    def effects(self, at: Signatures, nodes: IndexArray, flow_m3s: float) -> FloatArray:
        """Return what EPANET says that one leak does, tried at several nodes.

        Args:
            at: The block at whose mean boundary it is tried.
            nodes: Junctions, shape (n_places,).
            flow_m3s: Its outflow [m³/s].

        Returns:
            Shape (n_observed, n_places), NaN where EPANET found no state.
        """
        base = self.predicted(self.solver.solve(at.boundary))
        effect = np.full((len(self.observed), len(nodes)), np.nan)
        fed = [zone.nodes for zone in self.frame.zoning.zones if zone.is_fed]
        rest = ~np.any(fed, axis=0) if fed else np.ones(self.model.n_nodes, dtype=np.bool_)
        for inside in (*fed, rest):
            places = np.flatnonzero(inside[nodes])
            less = np.where(inside, at.share, 0.0) * flow_m3s
            moved = at.boundary.with_demand(at.boundary.demand_m3s - less)
            chosen = [int(node) for node in nodes[places]]
            heads, flows = self.solver.with_outflow(moved, chosen, [flow_m3s] * len(chosen))
            read = predict(self.observed, heads, flows)
            read[: self.n_heads] += self._offset_m[:, None]
            effect[:, places] = read - base[:, None]
        return effect
