"""Who is joined to whom, as arrays: what every trace runs on, whichever store is behind."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from graph.store import GraphStore, Structure
from twin.ids import AssetRef, Space

IndexArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

CACHED_NETWORKS: Final = 8


@dataclass(frozen=True)
class Topology:
    """The nodes, users and connections of one network.

    A connection is a link that has both its ends, or a junction's service of a user; parallel links
    are connections of their own.

    Attributes:
        network: Name of the network.
        version: Height of the newest block that changed its assets.
        nodes: Nodes and users, in order of their full names.
        links: The link of each connection; None where a junction serves a user.
        start: Index of the start node, shape (n_connections,).
        end: Index of the end node, shape (n_connections,).
        is_open: Whether water can pass as built, shape (n_connections,).
        is_oneway: Whether it can pass only from start to end, shape (n_connections,).
        from_model: Whether a hydraulic run gives its flow, shape (n_connections,).
    """

    network: str
    version: int
    nodes: tuple[AssetRef, ...]
    links: tuple[AssetRef | None, ...]
    start: IndexArray
    end: IndexArray
    is_open: BoolArray
    is_oneway: BoolArray
    from_model: BoolArray

    @classmethod
    def of(cls, structure: Structure) -> Self:
        """Return the arrays of a structure."""
        index = {ref: i for i, ref in enumerate(structure.nodes)}
        joined = structure.connections
        return cls(
            network=structure.network,
            version=structure.version,
            nodes=structure.nodes,
            links=tuple(one.link for one in joined),
            start=np.array([index[one.start] for one in joined], dtype=np.int64),
            end=np.array([index[one.end] for one in joined], dtype=np.int64),
            is_open=np.array([one.is_open for one in joined], dtype=np.bool_),
            is_oneway=np.array([one.is_oneway for one in joined], dtype=np.bool_),
            from_model=np.array([one.from_model for one in joined], dtype=np.bool_),
        )

    @cached_property
    def node_index(self) -> dict[AssetRef, int]:
        """Index of each node and user."""
        return {ref: i for i, ref in enumerate(self.nodes)}

    @cached_property
    def link_index(self) -> dict[AssetRef, int]:
        """Index of each link's connection."""
        return {ref: i for i, ref in enumerate(self.links) if ref is not None}

    @cached_property
    def is_user(self) -> BoolArray:
        """Which of `nodes` are users, shape (n_nodes,)."""
        return np.array([ref.space is Space.USER for ref in self.nodes], dtype=np.bool_)

    def __contains__(self, ref: AssetRef) -> bool:
        return ref in (self.link_index if ref.space is Space.LINK else self.node_index)


class Topologies:
    """The topologies of a store, each projected once for each version. Safe between threads."""

    def __init__(self, store: GraphStore) -> None:
        self._store = store
        self._kept: OrderedDict[str, Topology] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, network: str) -> Topology:
        """Return the topology of a network as the store now has it; empty for an unknown one."""
        version = self._store.topology_version(network)
        with self._lock:
            kept = self._kept.get(network)
        if kept is not None and kept.version == version:
            return kept
        topology = Topology.of(self._store.structure(network))
        with self._lock:
            self._kept[network] = topology
            self._kept.move_to_end(network)
            if len(self._kept) > CACHED_NETWORKS:
                self._kept.popitem(last=False)
        return topology


def load_topology(store: GraphStore, network: str) -> Topology:
    """Return the topology of a network as the store now has it; empty for an unknown one."""
    return Topology.of(store.structure(network))
