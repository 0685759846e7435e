"""What tests of leaks share: square grids of pipes behind one metered main."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

Grid = Callable[..., Path]
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
