"""Zones of a balance: which nodes are inside, and which links cross the boundary.

Source water is outside: a reservoir never belongs to a zone. Pipes between a source and its meter,
without customers or tanks, are outside too, so that the boundary runs through the meter.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from hydraulics.network import BoolArray, IndexArray, NetworkModel, NodeKind
from twin.errors import NotFoundError, RefusedError


@dataclass(frozen=True, slots=True)
class Crossing:
    """A link with one end in the zone.

    Attributes:
        link: Its index in the model.
        sign: +1 where its flow from start to end comes in, -1 where it goes out.
        outside: Index of its node outside.
    """

    link: int
    sign: int
    outside: int


@dataclass(frozen=True, slots=True)
class Zone:
    """A part of a network, or the whole.

    Attributes:
        name: What people call it.
        said: How it came to be, one sentence.
        inside: Which nodes are in it, shape (n_nodes,).
        crossings: The links through its boundary, those closed as built left out.
        closed: Ids of links through its boundary that are closed as built.
    """

    name: str
    said: str
    inside: BoolArray
    crossings: tuple[Crossing, ...]
    closed: tuple[str, ...]


def whole_network(model: NetworkModel, metered_links: Collection[int]) -> Zone:
    """Return the whole network as one zone, from the sources' meters on."""
    inside = ~_stubs(model, metered_links)
    return _zone(model, "whole network", "everything but the sources", inside)


def zone_around(model: NetworkModel, metered_links: Collection[int], node_id: str) -> Zone:
    """Return what metered and closed links cut off around a node.

    Raises:
        NotFoundError: The model has no such node.
        RefusedError: The node is a source.
    """
    (node,) = _indices(model, [node_id])
    if model.node_kind[node] == NodeKind.RESERVOIR:
        raise RefusedError(f"node {node_id!r} is a source; name a node that it feeds")
    label = _parts(model, metered_links)
    inside = (label == label[node]) & ~_is_source(model)
    return _zone(model, f"zone of {node_id}", "cut by metered and closed links", inside)


def zone_of_nodes(model: NetworkModel, name: str, node_ids: Sequence[str]) -> Zone:
    """Return a zone of listed nodes.

    Raises:
        NotFoundError: The model does not have one of them.
        RefusedError: One of them is a source.
    """
    inside = np.zeros(model.n_nodes, dtype=np.bool_)
    inside[_indices(model, node_ids)] = True
    if (inside & _is_source(model)).any():
        raise RefusedError(f"zone {name!r} holds a source; a source feeds a zone from outside")
    return _zone(model, name, f"{int(inside.sum())} nodes that were listed", inside)


def _zone(model: NetworkModel, name: str, said: str, inside: BoolArray) -> Zone:
    is_crossing = inside[model.start] != inside[model.end]
    crossings = [_crossing(model, inside, int(link)) for link in np.flatnonzero(is_crossing)]
    is_open = model.is_open
    return Zone(
        name=name,
        said=said,
        inside=inside,
        crossings=tuple(one for one in crossings if is_open[one.link]),
        closed=tuple(model.link_id[one.link] for one in crossings if not is_open[one.link]),
    )


def _crossing(model: NetworkModel, inside: BoolArray, link: int) -> Crossing:
    start, end = int(model.start[link]), int(model.end[link])
    return Crossing(link, 1, start) if inside[end] else Crossing(link, -1, end)


def _is_source(model: NetworkModel) -> BoolArray:
    return np.equal(model.node_kind, NodeKind.RESERVOIR)


def _parts(model: NetworkModel, metered_links: Collection[int]) -> IndexArray:
    """Return which nodes stay together without metered and closed links and beside sources."""
    is_source = _is_source(model)
    kept = model.is_open & ~is_source[model.start] & ~is_source[model.end]
    kept[list(metered_links)] = False
    return _labels(model, kept)


def _labels(model: NetworkModel, kept: BoolArray) -> IndexArray:
    start, end = model.start[kept], model.end[kept]
    graph = coo_matrix((np.ones(len(start)), (start, end)), shape=(model.n_nodes, model.n_nodes))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def _stubs(model: NetworkModel, metered_links: Collection[int]) -> BoolArray:
    """Return the sources, and what lies between one and its meter without customer or tank."""
    kept = model.is_open.copy()
    kept[list(metered_links)] = False
    label, is_source = _labels(model, kept), _is_source(model)
    is_used = (model.base_demand_m3s != 0) | np.equal(model.node_kind, NodeKind.TANK)
    of_source = np.isin(label, label[is_source])
    return is_source | (of_source & ~np.isin(label, label[is_used]))


def _indices(model: NetworkModel, node_ids: Sequence[str]) -> list[int]:
    index = {name: i for i, name in enumerate(model.node_id)}
    for name in node_ids:
        if name not in index:
            raise NotFoundError("node", name, "give ids of nodes of the model")
    return [index[name] for name in node_ids]
