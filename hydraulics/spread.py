"""Points that lie far from one another along the pipes of a network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.sparse.csgraph import dijkstra

from hydraulics.paths import walking_graph

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]


def farthest_points(
    ends: IndexArray, length_m: FloatArray, seeds: Sequence[int], candidates: Sequence[int], n: int
) -> list[int]:
    """Choose `n` of `candidates`, each the farthest from `seeds` and from those chosen before.

    Args:
        ends: Start and end node of each link, shape (n_links, 2).
        length_m: Length of each link [m], shape (n_links,), at least 0.
        seeds: Nodes that are already there, such as the reservoirs; at least one.
        candidates: Nodes to choose from; of several at one distance, the first is taken.
        n: How many to choose; fewer where there are fewer that a seed reaches.

    Returns:
        The chosen nodes, in the order of choice.
    """
    n_nodes = int(max(ends.max(initial=0), *seeds, *candidates)) + 1
    graph = walking_graph(ends, length_m, n_nodes)
    nearest = dijkstra(graph, directed=False, indices=list(seeds), min_only=True)
    pool = [c for c in candidates if np.isfinite(nearest[c]) and nearest[c] > 0.0]
    chosen: list[int] = []
    while pool and len(chosen) < n:
        best = max(pool, key=lambda node: nearest[node])  # the first of equals
        chosen.append(best)
        to_best = dijkstra(graph, directed=False, indices=[best], min_only=True)
        nearest = np.minimum(nearest, to_best)
        pool = [c for c in pool if nearest[c] > 0.0]
    return chosen
