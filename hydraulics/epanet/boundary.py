"""What goes into a snapshot, and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hydraulics.network import BoolArray, FloatArray


@dataclass(frozen=True, slots=True)
class Boundary:
    """All that moves a snapshot: nothing else of the file depends on time.

    Attributes:
        demand_m3s: Demand of each junction [m³/s], shape (n_nodes,), 0 elsewhere.
        fixed_head_m: Head of reservoirs and tanks [m], shape (n_nodes,), NaN at junctions.
        is_open: Whether each link may carry water, shape (n_links,).
        setting: Pump speed [-], or valve setting in SI, shape (n_links,), NaN for the file's own,
            infinite for a valve that is open whatever its setting says.
    """

    demand_m3s: FloatArray
    fixed_head_m: FloatArray
    is_open: BoolArray
    setting: FloatArray

    def with_demand(self, demand_m3s: FloatArray) -> Boundary:
        """Return the same boundary with other demands."""
        return replace(self, demand_m3s=demand_m3s)


@dataclass(frozen=True, slots=True)
class State:
    """A hydraulic solution.

    Attributes:
        head_m: Head [m], shape (n_nodes,).
        flow_m3s: Flow [m³/s], shape (n_links,), positive from start to end.
        delivered_m3s: Outflow that the nodes take, emitters too [m³/s], shape (n_nodes,).
        is_open: Whether each link carries water, shape (n_links,).
        is_held: Valves that hold their setting, shape (n_links,).
    """

    head_m: FloatArray
    flow_m3s: FloatArray
    delivered_m3s: FloatArray
    is_open: BoolArray
    is_held: BoolArray


@dataclass(frozen=True, slots=True)
class Statuses:
    """What the file's own controls made of links and tanks at some times.

    Attributes:
        is_open: Shape (n_times, n_links).
        setting: Shape (n_times, n_links), in SI, NaN for the file's own, infinite for a valve
            that a control opened.
        fixed_head_m: Head of reservoirs and tanks [m], shape (n_times, n_nodes), NaN elsewhere.
    """

    is_open: BoolArray
    setting: FloatArray
    fixed_head_m: FloatArray
