"""Where the water comes from, and where it goes, at one moment.

A trace follows the direction of flow at that moment through every link, loops and parallel links
included. It crosses from the network into a user, and by the user's drain on into the sewer, so
that a tap and the outfall above its own intake lie on one trace.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order

from graph.topology import BoolArray, IndexArray, Topology
from twin.errors import NotFoundError
from twin.ids import AssetRef, Space

STILL_M3S: Final = 1e-7
"""Water that flows no faster than this [m³/s] stands still: 0.1 mL/s, 9 L a day.

EPANET solves to a relative accuracy, so a dead end carries a remainder with an arbitrary sign.
The histograms of |flow| over a day of Net3, L-Town and BWSN Network 2 have their gap here; the
counts are in docs/adr/0008-graph-is-a-projection.md.
"""

_NOWHERE: Final = 0


class Direction(StrEnum):
    """Which way a trace goes."""

    UPSTREAM = "upstream"
    DOWNSTREAM = "downstream"


@dataclass(frozen=True, slots=True)
class Trace:
    """What is upstream or downstream of an asset, itself included.

    Attributes:
        start: The asset that was asked about.
        direction: Which way.
        nodes: Nodes, in order of their full names.
        links: Links through which water reaches (upstream) or leaves (downstream) those nodes and
            users, in order of their full names.
        users: Users, in order of their full names.
    """

    start: AssetRef
    direction: Direction
    nodes: tuple[AssetRef, ...]
    links: tuple[AssetRef, ...]
    users: tuple[AssetRef, ...]


def flow_signs(topology: Topology, flow_m3s: Mapping[str, float]) -> npt.NDArray[np.int8]:
    """Return which way water passes each connection: 1 start → end, -1 back, 0 not at all.

    Args:
        topology: The network.
        flow_m3s: Flow of links by id [m³/s], positive from start to end. A link that is not of the
            model and not named here passes from start to end where it is open; a link of the model
            that is not named stands still. A junction always feeds the users that it serves.

    Returns:
        Signs, shape (n_connections,).
    """
    flow = np.where(topology.from_model, 0.0, np.where(topology.is_open, 1.0, 0.0))
    for link, i in topology.link_index.items():
        known = flow_m3s.get(link.id)
        if known is not None:
            flow[i] = known
    moves = np.abs(flow) > STILL_M3S  # not so for NaN: an unknown flow leads nowhere
    return np.where(moves, np.sign(flow), 0.0).astype(np.int8)


def trace(
    topology: Topology,
    flow_m3s: Mapping[str, float],
    start: AssetRef,
    direction: Direction | str,
) -> Trace:
    """Return what lies upstream or downstream of an asset by the flow at one moment.

    Args:
        topology: The network.
        flow_m3s: Flow of links by id [m³/s], positive from start to end, see `flow_signs`.
        start: A node, user or link. From a link the trace goes on at the end that its water comes
            from (upstream) or goes to (downstream); where the water stands still, it is alone.
        direction: Which way.

    Raises:
        NotFoundError: The network has no such asset, or it is a link that lacks an end.
    """
    way = Direction(direction)
    signs = flow_signs(topology, flow_m3s)
    tail = np.where(signs >= _NOWHERE, topology.start, topology.end)
    head = np.where(signs >= _NOWHERE, topology.end, topology.start)
    if way is Direction.UPSTREAM:
        tail, head = head, tail
    first, link = _first(topology, signs, head, start)
    moves = signs != _NOWHERE
    reached = _reached(tail[moves], head[moves], len(topology.nodes), first)
    passed = moves & reached[tail]
    if link is not None:
        passed[link] = True
    return _trace(topology, start, way, reached, passed)


def _first(
    topology: Topology, signs: npt.NDArray[np.int8], head: IndexArray, start: AssetRef
) -> tuple[int | None, int | None]:
    """Return the node to begin at and the link begun from, each None where there is none."""
    if start not in topology:
        raise NotFoundError("asset", str(start), f"network {topology.network} does not join it")
    if start.space is not Space.LINK:
        return topology.node_index[start], None
    link = topology.link_index[start]
    return (int(head[link]) if signs[link] else None), link


def _reached(tail: IndexArray, head: IndexArray, n_nodes: int, first: int | None) -> BoolArray:
    reached = np.zeros(n_nodes, dtype=np.bool_)
    if first is None:
        return reached
    # csr_array adds parallel links up, so the weight is a count and never cancels to zero.
    joined = csr_array((np.ones(len(tail)), (tail, head)), shape=(n_nodes, n_nodes))
    reached[breadth_first_order(joined, first, return_predecessors=False)] = True
    return reached


def _trace(
    topology: Topology, start: AssetRef, way: Direction, reached: BoolArray, passed: BoolArray
) -> Trace:
    nodes = np.flatnonzero(reached & ~topology.is_user)
    users = np.flatnonzero(reached & topology.is_user)
    links = [link for i in np.flatnonzero(passed) if (link := topology.links[i]) is not None]
    return Trace(
        start,
        way,
        nodes=tuple(topology.nodes[i] for i in nodes),
        links=tuple(links),
        users=tuple(topology.nodes[i] for i in users),
    )
