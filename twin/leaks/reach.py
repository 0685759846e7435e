"""The pipes that a call of a watch means: all within reach of the one that it names."""

from __future__ import annotations

import numpy as np
from scipy.sparse.csgraph import dijkstra

from hydraulics.leaks.stream.settings import StreamSettings
from hydraulics.network import IndexArray, NetworkModel
from hydraulics.paths import walking_graph, ways_from_m
from twin.readings import FloatArray

REACH_M = StreamSettings().near_m
"""How far from the pipe that a watch names the leak may lie, along pipes [m]."""
_LEAST = 2
"""A zone is never one pipe where there is another one to walk to."""


def pipes_in_reach(model: NetworkModel, pipe_id: str) -> tuple[str, ...]:
    """Return the pipes that a call means, the nearest first, the called one before all others.

    They are those that the call's probability speaks of. Those that meet the called pipe are among
    them however long they are, and where none does, the nearest one beyond a valve or a pump.

    Args:
        model: The network.
        pipe_id: EPANET id of the called pipe.

    Returns:
        EPANET ids; none where the model holds no such pipe.
    """
    pipes = np.flatnonzero(np.asarray(model.is_pipe))
    at = [i for i, link in enumerate(pipes) if model.link_id[link] == pipe_id]
    if not at:
        return ()
    called = int(pipes[at[0]])
    way_m = _ways_along_pipes_m(model, called)
    between_m = _between_m(model, called, pipes, way_m)
    is_near = (between_m <= REACH_M) | _meets(model, called, pipes)
    if is_near.sum() < _LEAST:
        between_m = _between_m(model, called, pipes, _ways_m(model, called))
        is_near[np.argsort(between_m, kind="stable")[:_LEAST]] = True
    order = np.argsort(between_m, kind="stable")
    return tuple(model.link_id[int(pipes[i])] for i in order if is_near[i])


def _between_m(
    model: NetworkModel, called: int, pipes: IndexArray, way_m: FloatArray
) -> FloatArray:
    """Return the way between the nearest ends plus half of both lengths, 0 to itself [m]."""
    nearest_m = np.minimum(way_m[model.start[pipes]], way_m[model.end[pipes]])
    between_m = nearest_m + (model.length_m[pipes] + model.length_m[called]) / 2.0
    return np.where(pipes == called, 0.0, between_m)


def _ways_along_pipes_m(model: NetworkModel, called: int) -> FloatArray:
    """Return the shortest way along pipes from the called one's nearer end to every node [m]."""
    is_pipe = np.asarray(model.is_pipe)
    ends = np.stack([model.start, model.end], axis=1)[is_pipe]
    graph = walking_graph(ends, model.length_m[is_pipe], model.n_nodes)
    own = [int(model.start[called]), int(model.end[called])]
    return np.asarray(dijkstra(graph, directed=False, indices=own).min(axis=0), dtype=np.float64)


def _ways_m(model: NetworkModel, called: int) -> FloatArray:
    """Return the same along all links, pumps and valves among them [m]."""
    own = [int(model.start[called]), int(model.end[called])]
    nearest_m: FloatArray = ways_from_m(model, own).min(axis=0)
    return nearest_m


def _meets(model: NetworkModel, called: int, pipes: IndexArray) -> np.ndarray:
    """Return which pipes share a node with the called one, shape (n_pipes,)."""
    own = [int(model.start[called]), int(model.end[called])]
    return np.isin(model.start[pipes], own) | np.isin(model.end[pipes], own)
