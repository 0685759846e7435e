"""The same work done by EPANET and WNTR as others use them, to be timed beside our own."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from epanet import toolkit as en

from hydraulics.epanet.boundary import Boundary
from hydraulics.epanet.session import quiet
from hydraulics.epanet.toolkit import Solver
from hydraulics.network import FloatArray

with warnings.catch_warnings():  # importing wntr changes the process's warning filters
    import wntr

_ANEW = 10
"""What makes `initH` forget the flows of the last solution."""


def leak_each(  # noqa: PLR0913 - each is a thing of its own
    solver: Solver,
    boundary: Boundary,
    nodes: Sequence[int],
    leak_m3s: float,
    *,
    is_warm: bool,
    accuracy: float,
) -> FloatArray:
    """Solve with a leak at one junction at a time, in process, with nothing else done.

    Args:
        solver: An open project.
        boundary: The boundary without the leak.
        nodes: Junctions, indices of the model.
        leak_m3s: Outflow [m³/s].
        is_warm: Whether each solve begins from the flows of the last one.
        accuracy: Relative flow change at which EPANET ends.

    Returns:
        Heads [m], shape (len(nodes), n_nodes).
    """
    solver.solve(boundary)
    heads = np.empty((len(nodes), solver.model.n_nodes))
    ph, flag = solver.ph, 0 if is_warm else _ANEW
    with quiet():
        kept = en.getoption(ph, en.ACCURACY)
        en.setoption(ph, en.ACCURACY, accuracy)
        for row, node in enumerate(nodes):
            index, demand_m3s = solver.node[node], float(boundary.demand_m3s[node])
            en.setbasedemand(ph, index, 1, demand_m3s + leak_m3s)
            en.initH(ph, flag)
            en.runH(ph)
            heads[row] = solver.nodes(en.HEAD)
            en.setbasedemand(ph, index, 1, demand_m3s)
        en.setoption(ph, en.ACCURACY, kept)
    return heads


class WntrPeer:
    """WNTR's simulators on one network at one time."""

    def __init__(self, inp: Path, model_time_s: int) -> None:
        """Read the file, and make its first instant the time wanted."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._wn: Any = wntr.network.WaterNetworkModel(str(inp))
        times = self._wn.options.time
        times.duration = 0
        times.pattern_start += model_time_s

    def leak_each(self, nodes: Sequence[str], leak_m3s: float, *, by_epanet: bool) -> FloatArray:
        """Solve with a leak at one junction at a time.

        Args:
            nodes: Ids of junctions.
            leak_m3s: Outflow [m³/s].
            by_epanet: By `EpanetSimulator`, which runs EPANET on files; else `WNTRSimulator`.

        Returns:
            Pressures [m], shape (len(nodes), n_nodes), in the model's order.
        """
        rows = []
        with tempfile.TemporaryDirectory(prefix="watercourse-") as scratch, _inside(scratch):
            for name in nodes:
                demands = self._wn.get_node(name).demand_timeseries_list
                demands.append((leak_m3s, None))
                rows.append(self._pressure_m(Path(scratch), by_epanet=by_epanet))
                demands.pop()
        return np.stack(rows)

    def _pressure_m(self, scratch: Path, *, by_epanet: bool) -> FloatArray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if by_epanet:
                simulator = wntr.sim.EpanetSimulator(self._wn)
                found = simulator.run_sim(file_prefix=str(scratch / "run"))
            else:
                found = wntr.sim.WNTRSimulator(self._wn).run_sim()
                self._wn.reset_initial_values()
        ordered = found.node["pressure"][self._wn.node_name_list]
        return np.asarray(ordered.iloc[0], dtype=np.float64)


@contextmanager
def _inside(folder: str) -> Iterator[None]:
    """Work in a folder, for EPANET leaves files where the process stands."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
