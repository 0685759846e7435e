"""An EPANET file becomes arrays."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from hydraulics.errors import ModelFileError
from hydraulics.network import LinkKind, NetworkModel, NodeKind

with warnings.catch_warnings():  # importing wntr changes the process's warning filters
    import wntr

_NODE_KIND = {
    "Junction": NodeKind.JUNCTION,
    "Reservoir": NodeKind.RESERVOIR,
    "Tank": NodeKind.TANK,
}
_LINK_KIND = {"Pipe": LinkKind.PIPE, "Pump": LinkKind.PUMP, "Valve": LinkKind.VALVE}


def read_network(path: Path) -> NetworkModel:
    """Return the network of an EPANET file, in SI units.

    WNTR lets duplicate ids, NaN and truncated files through: `hydraulics.inp_scan` looks first.

    Raises:
        ModelFileError: WNTR cannot read the file.
    """
    wn = _read_wntr(path)
    nodes = [wn.get_node(name) for name in wn.node_name_list]
    links = [wn.get_link(name) for name in wn.link_name_list]
    index = {name: i for i, name in enumerate(wn.node_name_list)}
    return NetworkModel(
        node_id=tuple(wn.node_name_list),
        node_kind=np.array([_NODE_KIND[node.node_type] for node in nodes], dtype=np.int64),
        elevation_m=_floats([_elevation_m(node) for node in nodes]),
        base_demand_m3s=_floats([_base_demand_m3s(node) for node in nodes]),
        node_xy=_floats([node.coordinates or (np.nan, np.nan) for node in nodes]).reshape(-1, 2),
        link_id=tuple(wn.link_name_list),
        link_kind=np.array([_LINK_KIND[link.link_type] for link in links], dtype=np.int64),
        start=np.array([index[link.start_node_name] for link in links], dtype=np.int64),
        end=np.array([index[link.end_node_name] for link in links], dtype=np.int64),
        length_m=_floats([getattr(link, "length", 0.0) for link in links]),
        diameter_m=_floats([getattr(link, "diameter", 0.0) or 0.0 for link in links]),
        roughness=_floats([getattr(link, "roughness", 0.0) for link in links]),
        minor_loss=_floats([getattr(link, "minor_loss", 0.0) or 0.0 for link in links]),
        is_open=np.array([link.initial_status.name != "Closed" for link in links], dtype=np.bool_),
        is_oneway=np.array([_is_oneway(link) for link in links], dtype=np.bool_),
        valve_type=tuple(getattr(link, "valve_type", "") for link in links),
        vertices=tuple(tuple((float(x), float(y)) for x, y in link.vertices) for link in links),
        start_clock_s=int(wn.options.time.start_clocktime),
        duration_s=int(wn.options.time.duration),
        headloss=str(wn.options.hydraulic.headloss),
    )


def _read_wntr(path: Path) -> Any:  # noqa: ANN401 - wntr carries no types
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return wntr.network.WaterNetworkModel(str(path))
    except Exception as error:
        # WNTR's own line number hides in the cause of the error that it raises.
        cause = error.__cause__ or error
        line = getattr(cause, "line_num", None)
        raise ModelFileError(str(cause), line=line) from error


def _elevation_m(node: Any) -> float:  # noqa: ANN401 - wntr carries no types
    return float(node.base_head if node.node_type == "Reservoir" else node.elevation)


def _base_demand_m3s(node: Any) -> float:  # noqa: ANN401 - wntr carries no types
    if node.node_type != "Junction":
        return 0.0
    return float(sum(demand.base_value for demand in node.demand_timeseries_list))


def _is_oneway(link: Any) -> bool:  # noqa: ANN401 - wntr carries no types
    return link.link_type == "Pump" or bool(getattr(link, "check_valve", False))


def _floats(values: list[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array(values, dtype=np.float64)
