"""Sources and tanks that nothing reads: a run answers without them, and must say so."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hydraulics.leaks.measurements import Measurements
from hydraulics.network import NetworkModel, NodeKind
from twin.leaks.gathering import TagLeftOut

NO_METER = "(no meter)"
"""What stands for the tag of a meter that there is not."""
_SOURCE = "no meter reads what this source gives, so what users take is a guess: expect long zones"
_TANK = "no gauge reads this tank's level, so what it stores is a guess: expect long zones"


def unmetered(model: NetworkModel, seen: Measurements) -> tuple[TagLeftOut, ...]:
    """Return sources whose inflow and tanks whose level is read at no time, and why it matters.

    A source's inflow is read by a meter of its own, or by meters on all open links that leave it.
    """
    sources = [(node, _SOURCE) for node in _silent_sources(model, seen)]
    tanks = [(node, _TANK) for node in _silent_tanks(model, seen)]
    return tuple(
        TagLeftOut(NO_METER, f"node:{model.node_id[node]}", 0, reason, is_whole=True)
        for node, reason in sources + tanks
    )


def _silent_sources(model: NetworkModel, seen: Measurements) -> Iterator[int]:
    own = _read(seen.demand_node, seen.demand_m3s)
    links = _read(seen.flow_link, seen.flow_m3s)
    for node in np.flatnonzero(model.node_kind == NodeKind.RESERVOIR):
        joined = ((model.start == node) | (model.end == node)) & model.is_open
        if int(node) not in own and not set(np.flatnonzero(joined).tolist()) <= links:
            yield int(node)


def _silent_tanks(model: NetworkModel, seen: Measurements) -> Iterator[int]:
    levels = _read(seen.tank_node, seen.tank_level_m)
    for node in np.flatnonzero(model.node_kind == NodeKind.TANK):
        if int(node) not in levels:
            yield int(node)


def _read(places: np.ndarray, table: np.ndarray) -> set[int]:
    """Return the places with a reading at any time."""
    is_read = np.isfinite(table).any(axis=0)
    return {int(place) for place in places[is_read]}
