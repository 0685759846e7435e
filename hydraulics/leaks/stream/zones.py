"""Parts of a network whose intake is measured, and what their users must then take."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from hydraulics.leaks.measurements import Measurements
from hydraulics.network import BoolArray, FloatArray, IndexArray, LinkKind, NetworkModel, NodeKind

_LITTLE = 0.1


@dataclass(frozen=True, slots=True)
class Zone:
    """Nodes that stay together when closed links and metered pumps are cut.

    Attributes:
        nodes: Which nodes, shape (n_nodes,).
        sources: Columns of flow meters that bring water from outside, and their signs.
        tanks: Columns of level sensors inside, and the tanks' surfaces [m²].
        meters: Columns of customers' meters inside.
        is_fed: Whether all its water comes through meters, and what is stored of it is measured:
            its users are scaled, by the day where there are tanks.
        is_metered: Whether nearly all its users are metered: its leaks are what is left over.
            Where there are tanks, its users are then not scaled.
    """

    nodes: BoolArray
    sources: tuple[tuple[int, float], ...]
    tanks: tuple[tuple[int, float], ...]
    meters: tuple[int, ...]
    is_fed: bool
    is_metered: bool


@dataclass(frozen=True, slots=True)
class Zoning:
    """A network cut at its metered pumps.

    Attributes:
        is_open: Links that stay open, shape (n_links,).
        cut: Column of the flow meter and index of the link of each pump that was cut.
        zones: The parts that hold a source, a tank or a cut.
        split: Flow meters that are observations, as columns: all but one of each zone's sources.
    """

    is_open: BoolArray
    cut: tuple[tuple[int, int], ...]
    zones: tuple[Zone, ...]
    split: tuple[int, ...]


def make_zones(
    model: NetworkModel, seen: Measurements, base_m3s: FloatArray, tank_area_m2: FloatArray
) -> Zoning:
    """Cut a network at its metered pumps.

    Args:
        model: The network.
        seen: Which meters there are.
        base_m3s: Usual demand of each node [m³/s], shape (n_nodes,).
        tank_area_m2: Surface of each tank [m²], shape (n_nodes,), NaN elsewhere.
    """
    links = [int(link) for link in seen.flow_link]
    cut = tuple((c, k) for c, k in enumerate(links) if model.link_kind[k] == LinkKind.PUMP)
    is_open = model.is_open.copy()
    is_open[[link for _, link in cut]] = False
    label = _labels(model, is_open)
    numbers = np.unique(label[_anchors(model, cut)])
    zones = tuple(
        _zone(model, seen, base_m3s, tank_area_m2, cut, np.asarray(label == number))
        for number in numbers
    )
    return Zoning(is_open, cut, zones, _split(links, cut, zones))


def intake_m3s(zone: Zone, flow_m3s: FloatArray) -> FloatArray:
    """Return what meters bring into a zone [m³/s], shape (n_times,)."""
    total = np.zeros(len(flow_m3s))
    for column, sign in zone.sources:
        total += sign * flow_m3s[:, column]
    return total


def _labels(model: NetworkModel, is_open: BoolArray) -> IndexArray:
    start, end = model.start[is_open], model.end[is_open]
    graph = coo_matrix((np.ones(len(start)), (start, end)), shape=(model.n_nodes, model.n_nodes))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def _anchors(model: NetworkModel, cut: tuple[tuple[int, int], ...]) -> IndexArray:
    fixed = np.flatnonzero(model.node_kind != NodeKind.JUNCTION)
    ends = [int(n) for _, link in cut for n in (model.start[link], model.end[link])]
    return np.unique(np.concatenate([fixed, np.array(ends, dtype=np.int64)]))


def _zone(  # noqa: PLR0913, PLR0917 - each is a thing of its own
    model: NetworkModel,
    seen: Measurements,
    base_m3s: FloatArray,
    tank_area_m2: FloatArray,
    cut: tuple[tuple[int, int], ...],
    inside: BoolArray,
) -> Zone:
    reservoirs = np.flatnonzero(inside & (model.node_kind == NodeKind.RESERVOIR))
    columns = {int(link): c for c, link in enumerate(seen.flow_link)}
    sources, is_known = _from_reservoirs(model, reservoirs, columns, {link for _, link in cut})
    for column, link in cut:
        if inside[model.start[link]]:
            sources.append((column, -1.0))
        if inside[model.end[link]]:
            sources.append((column, 1.0))
    tanks = [(c, float(tank_area_m2[n])) for c, n in enumerate(seen.tank_node) if inside[int(n)]]
    n_tanks = int((inside & (model.node_kind == NodeKind.TANK)).sum())
    meters = tuple(c for c, n in enumerate(seen.demand_node) if inside[int(n)])
    is_user = inside & (np.abs(base_m3s) > 0)
    is_user[seen.demand_node[list(meters)]] = False
    is_balanced = is_known and n_tanks == len(tanks) and bool(sources)
    is_metered = is_balanced and _unmetered(inside, is_user, base_m3s) <= _LITTLE
    return Zone(
        nodes=inside,
        sources=tuple(sources),
        tanks=tuple(tanks),
        meters=meters,
        is_fed=is_balanced and bool(is_user.any()) and not (tanks and is_metered),
        is_metered=is_metered,
    )


def _unmetered(inside: BoolArray, is_user: BoolArray, base_m3s: FloatArray) -> float:
    """Return the share of the file's demand that no meter sees."""
    total = float(base_m3s[inside].clip(min=0.0).sum())
    return float(base_m3s[is_user].clip(min=0.0).sum()) / total if total > 0 else 1.0


def _from_reservoirs(
    model: NetworkModel, reservoirs: IndexArray, columns: dict[int, int], cut: set[int]
) -> tuple[list[tuple[int, float]], bool]:
    """Return the meters on links of reservoirs, and whether every such link has one."""
    sources: list[tuple[int, float]] = []
    is_known = True
    for node in reservoirs:
        for link in np.flatnonzero((model.start == node) | (model.end == node)):
            if int(link) in cut or not model.is_open[link]:
                continue
            if int(link) in columns:
                sign = 1.0 if model.start[link] == node else -1.0
                sources.append((columns[int(link)], sign))
            else:
                is_known = False
    return sources, is_known


def _split(
    links: list[int], cut: tuple[tuple[int, int], ...], zones: tuple[Zone, ...]
) -> tuple[int, ...]:
    used = {column for column, _ in cut}
    for zone in zones:
        own = [column for column, _ in zone.sources if column not in used]
        if zone.is_fed and own and not zone.tanks:
            used.add(own[-1])  # what the others leave of the total
    return tuple(c for c in range(len(links)) if c not in used)
