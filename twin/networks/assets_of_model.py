"""A model's arrays become assets."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hydraulics.network import LinkKind, NetworkModel, NodeKind
from twin.assets import Asset, AssetKind, Point, Property
from twin.ids import AssetRef, Space

_NODE_KIND = {
    NodeKind.JUNCTION: AssetKind.JUNCTION,
    NodeKind.RESERVOIR: AssetKind.SOURCE,
    NodeKind.TANK: AssetKind.TANK,
}
_LINK_KIND = {
    LinkKind.PIPE: AssetKind.PIPE,
    LinkKind.PUMP: AssetKind.PUMP,
    LinkKind.VALVE: AssetKind.VALVE,
}


def assets_of_model(model: NetworkModel) -> dict[AssetRef, Asset]:
    """Return the assets of an EPANET model: its nodes, its links, and a user per demand."""
    every = [*_nodes(model), *_links(model), *_users(model)]
    return {asset.ref: asset for asset in every}


def _nodes(model: NetworkModel) -> Iterator[Asset]:
    for i, node_id in enumerate(model.node_id):
        kind = NodeKind(int(model.node_kind[i]))
        height = "head_m" if kind is NodeKind.RESERVOIR else "elevation_m"
        properties: dict[str, Property] = {height: float(model.elevation_m[i])}
        if kind is NodeKind.JUNCTION:
            properties["base_demand_m3s"] = float(model.base_demand_m3s[i])
        if kind is NodeKind.TANK:
            properties |= _tank_properties(model, i)
        yield Asset(
            AssetRef(Space.NODE, node_id), _NODE_KIND[kind], _place(model, i), properties=properties
        )


def _tank_properties(model: NetworkModel, i: int) -> dict[str, Property]:
    levels = {
        "diameter_m": model.tank_diameter_m,
        "initial_level_m": model.tank_initial_level_m,
        "minimum_level_m": model.tank_minimum_level_m,
        "maximum_level_m": model.tank_maximum_level_m,
    }
    return {name: float(values[i]) for name, values in levels.items() if i < len(values)}


def _links(model: NetworkModel) -> Iterator[Asset]:
    for i, link_id in enumerate(model.link_id):
        start, end = int(model.start[i]), int(model.end[i])
        yield Asset(
            AssetRef(Space.LINK, link_id),
            _LINK_KIND[LinkKind(int(model.link_kind[i]))],
            _line(model, i),
            AssetRef(Space.NODE, model.node_id[start]),
            AssetRef(Space.NODE, model.node_id[end]),
            is_open=bool(model.is_open[i]),
            is_oneway=bool(model.is_oneway[i]),
            properties=_link_properties(model, i),
        )


def _link_properties(model: NetworkModel, i: int) -> dict[str, Property]:
    kind = LinkKind(int(model.link_kind[i]))
    properties: dict[str, Property] = {}
    if kind is not LinkKind.PUMP:
        properties["diameter_m"] = float(model.diameter_m[i])
        properties["minor_loss"] = float(model.minor_loss[i])
    if kind is LinkKind.PIPE:
        properties["length_m"] = float(model.length_m[i])
        # Hazen–Williams and Manning coefficients have no unit; Darcy–Weisbach's is a length.
        roughness = "roughness_m" if model.headloss == "D-W" else "roughness"
        properties[roughness] = float(model.roughness[i])
    if kind is LinkKind.VALVE:
        properties["valve_type"] = model.valve_type[i]
    return properties


def _users(model: NetworkModel) -> Iterator[Asset]:
    for i in np.flatnonzero(model.base_demand_m3s):
        node_id = model.node_id[i]
        yield Asset(
            AssetRef(Space.USER, node_id),
            AssetKind.USER,
            _place(model, int(i)),
            from_model=False,
            properties={
                "served_by": f"node:{node_id}",
                "base_demand_m3s": float(model.base_demand_m3s[i]),
            },
        )


def _place(model: NetworkModel, i: int) -> tuple[Point, ...]:
    x, y = float(model.node_xy[i, 0]), float(model.node_xy[i, 1])
    return ((x, y),) if np.isfinite(x) and np.isfinite(y) else ()


def _line(model: NetworkModel, i: int) -> tuple[Point, ...]:
    start, end = _place(model, int(model.start[i])), _place(model, int(model.end[i]))
    return (*start, *model.vertices[i], *end) if start and end else ()
