"""Distances along pipes, as a crew walks them."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from hydraulics.network import FloatArray, NetworkModel


def distance_along_pipes_m(
    model: NetworkModel, link: int, place: float, to_link: int, to_place: float
) -> float:
    """Return the shortest way along links between two places [m]; infinity where there is none.

    Args:
        model: The network; a pump or valve is 0 m long, a closed link can still be walked along.
        link: Index of the first link.
        place: Fraction of the way from its start node, 0..1.
        to_link: Index of the second link.
        to_place: The same, for the second link.
    """
    from_ends = _to_ends_m(model, link, place)
    to_ends = _to_ends_m(model, to_link, to_place)
    between_m = _from_node_m(model, model.start[link], model.end[link])
    ways = [
        a + between_m[i, node] + b
        for i, a in enumerate(from_ends)
        for node, b in zip((model.start[to_link], model.end[to_link]), to_ends, strict=True)
    ]
    if link == to_link:
        ways.append(abs(place - to_place) * float(model.length_m[link]))
    return float(min(ways))


def _to_ends_m(model: NetworkModel, link: int, place: float) -> tuple[float, float]:
    length_m = float(model.length_m[link])
    return place * length_m, (1.0 - place) * length_m


def _from_node_m(model: NetworkModel, *nodes: int) -> FloatArray:
    """Return shortest ways from some nodes to every node [m], shape (len(nodes), n_nodes)."""
    # A sparse matrix adds parallel links up and drops zeros: keep the shortest, and never 0.
    order = np.argsort(-model.length_m, kind="stable")
    first, second = model.start[order], model.end[order]
    low, high = np.minimum(first, second), np.maximum(first, second)
    shortest = dict(zip(zip(low, high, strict=True), model.length_m[order], strict=True))
    ends = np.array(list(shortest), dtype=np.int64).reshape(-1, 2)
    weight = np.maximum(np.array(list(shortest.values())), 1e-9)
    size = (model.n_nodes, model.n_nodes)
    graph = coo_array((weight, (ends[:, 0], ends[:, 1])), shape=size).tocsr()
    return np.asarray(dijkstra(graph, directed=False, indices=list(nodes)))
