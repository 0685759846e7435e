"""What tests of leaks share: square grids of pipes behind one metered main, and exact readings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from hydraulics.epanet.reading import read_network
from hydraulics.epanet.scenario import Perturbation, Scenario, Watched, run_scenario
from hydraulics.leaks.measurements import Measurements

Grid = Callable[..., Path]
ReadExactly = Callable[..., Measurements]
PATTERN = "P 0.5 0.4 0.4 0.6 1.2 1.6 1.4 1.1 1.0 1.3 1.5 0.8"


def grid_text(
    side: int,
    head_m: float,
    diameter_mm: float,
    demand_lps: tuple[float, float],
    more: Mapping[str, Sequence[str]],
) -> str:
    """A reservoir R1, its main IN, and junctions J00, J01, ... that H and V pipes join.

    Demands are the first figure in the first column, and grow by the second from column to column.
    """
    every, but_last = range(side), range(side - 1)
    least, step = demand_lps
    kind = f"200 {diameter_mm:g} 110"
    sections = {
        "JUNCTIONS": [
            "N0 9 0",
            *(f"J{r}{c} {8 + r + 2 * c} {least + step * c:g} P" for r in every for c in every),
        ],
        "RESERVOIRS": [f"R1 {head_m:g}"],
        "TANKS": [],
        "PIPES": [
            *(f"H{r}{c} J{r}{c} J{r}{c + 1} {kind}" for r in every for c in but_last),
            *(f"V{r}{c} J{r}{c} J{r + 1}{c} {kind}" for r in but_last for c in every),
            "IN R1 N0 50 300 120",
            "N0 N0 J00 50 250 120",
        ],
        "PATTERNS": [PATTERN],
        "OPTIONS": ["Units LPS", "Headloss H-W"],
        "TIMES": ["Duration 72:00", "Pattern Timestep 2:00", "Hydraulic Timestep 0:15"],
        "END": [],
    }
    lines = [
        line for name, own in sections.items() for line in (f"[{name}]", *own, *more.get(name, ()))
    ]
    return "\n".join([*lines, ""])


@pytest.fixture(scope="session")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Grid:
    """Write such a network to a file of its own."""

    def write(
        side: int,
        head_m: float,
        diameter_mm: float,
        demand_lps: tuple[float, float],
        **more: Sequence[str],
    ) -> Path:
        path = tmp_path_factory.mktemp("grid") / "grid.inp"
        path.write_text(grid_text(side, head_m, diameter_mm, demand_lps, more))
        return path

    return write


@pytest.fixture
def read_exactly(tmp_path: Path) -> ReadExactly:
    """Give the readings of a file as it is, each quarter of an hour, without errors."""

    def read(inp: Path, watched: Watched, hours: int, hours_before: int = 0) -> Measurements:
        scenario = Scenario(
            model_start_s=0,
            duration_s=3_600 * (hours_before + hours),
            seed=1,
            step_s=900,
            warm_up_s=0,
            perturbation=Perturbation(0.0, 0.0, 0.0, 0.0),
        )
        truth, model = run_scenario(inp, scenario, watched, tmp_path), read_network(inp)
        node, link = model.node_id.index, model.link_id.index
        return Measurements(
            model_time_s=truth.time_s.astype(np.float64),
            is_reference=truth.time_s < 3_600 * hours_before,
            pressure_node=np.array([node(name) for name in watched.pressure_nodes], dtype=np.int64),
            pressure_m=truth.pressure_m,
            tank_node=np.array([node(name) for name in watched.level_tanks], dtype=np.int64),
            tank_level_m=truth.level_m,
            flow_link=np.array([link(name) for name in watched.flow_links], dtype=np.int64),
            flow_m3s=truth.flow_m3s,
            demand_node=np.empty(0, dtype=np.int64),
            demand_m3s=np.empty((len(truth.time_s), 0)),
        )

    return read
