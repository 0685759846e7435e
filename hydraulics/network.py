"""A network as arrays, in SI units, in the order of the EPANET file."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
WATER_VISCOSITY_M2S = 1.1e-5 * 0.3048**2
"""Kinematic viscosity of water at 20 °C in EPANET, 1.1e-5 ft²/s."""


class NodeKind(IntEnum):
    """Kinds of node that EPANET knows."""

    JUNCTION = 0
    RESERVOIR = 1
    TANK = 2


class LinkKind(IntEnum):
    """Kinds of link that EPANET knows."""

    PIPE = 0
    PUMP = 1
    VALVE = 2


def _nothing() -> FloatArray:
    return np.empty(0)


@dataclass(frozen=True, slots=True)
class NetworkModel:
    """What an EPANET file says of a network, as built.

    Nodes are in the order junctions, reservoirs, tanks; links pipes, pumps, valves; each in the
    order of the file.

    Attributes:
        node_id: Ids, n_nodes of them.
        node_kind: `NodeKind`, shape (n_nodes,).
        elevation_m: Elevation of junctions, bottom of tanks, head of reservoirs [m].
        base_demand_m3s: Sum over the categories of a junction [m³/s], 0 elsewhere.
        node_xy: Native coordinates, shape (n_nodes, 2), NaN where the file gives none.
        link_id: Ids, n_links of them.
        link_kind: `LinkKind`, shape (n_links,).
        start: Index of the start node, shape (n_links,).
        end: Index of the end node, shape (n_links,).
        length_m: Length [m]; 0 for pumps and valves.
        diameter_m: Inner diameter [m]; 0 for pumps.
        roughness: As in the file: Hazen–Williams C, or Darcy–Weisbach [m]; 0 for pumps and valves.
        minor_loss: Minor loss coefficient [-].
        is_open: Whether the initial status lets water pass.
        is_oneway: Check valves and pumps.
        valve_type: `PRV`, `PSV`, `FCV`, `TCV`, `PBV`, `GPV`, or an empty text for other links.
        vertices: The points between the ends, in native coordinates, one tuple a link.
        start_clock_s: Time of day at model time zero [s], START CLOCKTIME of the file.
        duration_s: Duration of the file's run [s].
        headloss: `H-W`, `D-W` or `C-M`.
        tank_diameter_m: Diameter of tanks [m], NaN for other nodes, shape (n_nodes,) or empty where
            it is not known; the same for the three levels.
        tank_initial_level_m: Level above the bottom at model time zero [m].
        tank_minimum_level_m: Lowest level [m].
        tank_maximum_level_m: Highest level [m].
        viscosity_m2s: Kinematic viscosity of the water [m²/s].
    """

    node_id: tuple[str, ...]
    node_kind: IndexArray
    elevation_m: FloatArray
    base_demand_m3s: FloatArray
    node_xy: FloatArray
    link_id: tuple[str, ...]
    link_kind: IndexArray
    start: IndexArray
    end: IndexArray
    length_m: FloatArray
    diameter_m: FloatArray
    roughness: FloatArray
    minor_loss: FloatArray
    is_open: BoolArray
    is_oneway: BoolArray
    valve_type: tuple[str, ...]
    vertices: tuple[tuple[tuple[float, float], ...], ...]
    start_clock_s: int
    duration_s: int
    headloss: str
    tank_diameter_m: FloatArray = field(default_factory=_nothing)
    tank_initial_level_m: FloatArray = field(default_factory=_nothing)
    tank_minimum_level_m: FloatArray = field(default_factory=_nothing)
    tank_maximum_level_m: FloatArray = field(default_factory=_nothing)
    viscosity_m2s: float = WATER_VISCOSITY_M2S

    @property
    def n_nodes(self) -> int:
        """Number of nodes."""
        return len(self.node_id)

    @property
    def n_links(self) -> int:
        """Number of links."""
        return len(self.link_id)

    @property
    def is_pipe(self) -> BoolArray:
        """Which links are pipes, shape (n_links,)."""
        return np.equal(self.link_kind, LinkKind.PIPE)
