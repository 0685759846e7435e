"""Where a network's instruments stand, or could stand.

Some files say it: L-Town marks its sensors in the comments, after the semicolon. For the others a
spread of places is chosen by a rule, the same on every machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hydraulics.epanet.project import Project
from hydraulics.spread import farthest_points

_N_NETWORK_ENDS = 4


@dataclass(frozen=True, slots=True)
class Instruments:
    """Places of instruments, as EPANET ids.

    Attributes:
        pressure_nodes: Junctions with a pressure sensor.
        level_tanks: Tanks with a level sensor.
        flow_links: Links with a flow meter.
        outlet_node: The junction next to the first reservoir, None if there is none.
        end_nodes: Ends of the network, far from the sources and from one another.
    """

    pressure_nodes: tuple[str, ...]
    level_tanks: tuple[str, ...]
    flow_links: tuple[str, ...]
    outlet_node: str | None
    end_nodes: tuple[str, ...]


def choose_instruments(inp: Path, scratch: Path) -> Instruments:
    """Return where the file marks its sensors, else a spread of places.

    Marks are the words PRESSURE SENSOR, LEVEL SENSOR and FLOW SENSOR in the comment of a node or
    link. Without marks: about 1.2 √n junctions that lie far apart, all tanks, and the links that
    leave a reservoir.

    Raises:
        ModelFileError: EPANET cannot read the file.
    """
    with Project(inp, scratch) as project:
        layout = _Layout(project)
        return Instruments(
            pressure_nodes=layout.marked_nodes("PRESSURE SENSOR") or layout.spread_of_junctions(),
            level_tanks=layout.marked_nodes("LEVEL SENSOR") or layout.tanks(),
            flow_links=layout.marked_links("FLOW SENSOR") or layout.source_links(),
            outlet_node=layout.outlet(),
            end_nodes=layout.network_ends(),
        )


class _Layout:
    def __init__(self, project: Project) -> None:
        self._project = project
        self._sources = project.reservoirs() or project.tanks()
        self._links = [k for k in range(1, project.n_links + 1) if project.is_open_as_built(k)]
        self._ends = np.array([project.link_nodes(link) for link in self._links], dtype=np.int64)
        self._length_m = np.array([project.link_length_m(link) for link in self._links])

    def marked_nodes(self, mark: str) -> tuple[str, ...]:
        project = self._project
        nodes = range(1, project.n_nodes + 1)
        return tuple(project.node_id(n) for n in nodes if mark in project.node_comment(n).upper())

    def marked_links(self, mark: str) -> tuple[str, ...]:
        project = self._project
        links = range(1, project.n_links + 1)
        return tuple(project.link_id(k) for k in links if mark in project.link_comment(k).upper())

    def tanks(self) -> tuple[str, ...]:
        return tuple(self._project.node_id(tank) for tank in self._project.tanks())

    def source_links(self) -> tuple[str, ...]:
        """Return the links at a reservoir, those too that are closed as built."""
        project = self._project
        reservoirs = set(project.reservoirs())
        links = range(1, project.n_links + 1)
        return tuple(project.link_id(k) for k in links if reservoirs & set(project.link_nodes(k)))

    def outlet(self) -> str | None:
        junctions = set(self._project.junctions())
        for reservoir in self._project.reservoirs():
            for start, end in self._ends.tolist():
                other = {start: end, end: start}.get(reservoir)
                if other in junctions:
                    return self._project.node_id(other)
        return None

    def spread_of_junctions(self) -> tuple[str, ...]:
        junctions = self._project.junctions()
        n_wanted = max(3, round(1.2 * math.sqrt(len(junctions))))
        return self._far_apart(junctions, n_wanted)

    def network_ends(self) -> tuple[str, ...]:
        """Return users' junctions at dead ends, or any junctions where no dead end has a user."""
        degree = np.bincount(self._ends.ravel(), minlength=self._project.n_nodes + 1)
        junctions = self._project.junctions()
        used = [n for n in junctions if degree[n] == 1 and any(self._project.base_demands(n))]
        return self._far_apart(used or junctions, _N_NETWORK_ENDS)

    def _far_apart(self, candidates: list[int], n: int) -> tuple[str, ...]:
        chosen = farthest_points(self._ends, self._length_m, self._sources, candidates, n)
        return tuple(self._project.node_id(node) for node in sorted(chosen))
