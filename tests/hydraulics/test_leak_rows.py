"""Rows of a window stand at the boundary that a file's controls had made, as EPANET runs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hydraulics.epanet.reading import read_network
from hydraulics.epanet.scenario import Watched
from hydraulics.epanet.toolkit import Solver, replay
from hydraulics.leaks.measurements import Measurements
from hydraulics.leaks.rows import make_rows, read_meters

HOUR_S = 3_600.0
ReadExactly = Callable[..., Measurements]
WATCHED = Watched(("a", "b", "c"), (), ("ra",))
INP = """
[JUNCTIONS]
 a 5 2
 b 5 4
 c 4 3
 d 4 1
[RESERVOIRS]
 r 60
[PIPES]
 ra r a 400 250 120
 bc b c 300 200 120
 bd b d 300 100 120
 cd c d 900 150 120
[VALVES]
 v a b 150 PRV 30 0
[PUMPS]
 p a c POWER 1
[STATUS]
 p CLOSED
[CONTROLS]
{controls}
[OPTIONS]
 Units LPS
 Headloss H-W
[TIMES]
 Duration 48:00
 Hydraulic Timestep 1:00
[END]
"""


def network(folder: Path, *controls: str) -> Path:
    inp = folder / "network.inp"
    inp.write_text(INP.format(controls="\n".join(controls)))
    return inp


@pytest.mark.parametrize(
    "controls",
    [
        ("LINK v OPEN AT TIME 15",),
        ("LINK v OPEN AT TIME 15", "LINK v 30 AT TIME 33"),
        ("LINK v 20 AT TIME 15",),
        ("LINK v CLOSED AT TIME 15", "LINK p OPEN AT TIME 15"),
        ("LINK bd CLOSED AT TIME 12",),
    ],
    ids=" and ".join,
)
def test_each_row_has_the_pressures_that_epanet_had_under_its_controls(
    tmp_path: Path, read_exactly: ReadExactly, controls: tuple[str, ...]
) -> None:
    inp = network(tmp_path, *controls)
    model, seen = read_network(inp), read_exactly(inp, WATCHED, 24, 24)
    with Solver(inp, model) as solver:
        meters = read_meters(model, solver, seen)
        rows = make_rows(inp, model, solver, seen, meters, (), 2)
        assert {row.is_reference for row in rows} == {True, False}
        for row in rows:
            state = solver.solve(row.boundary)
            pressure = (state.head_m - model.elevation_m)[seen.pressure_node]
            assert pressure == pytest.approx(seen.pressure_m[row.members].mean(axis=0), abs=0.01)


def test_a_replay_that_begins_later_finds_links_as_one_from_the_start_does(
    tmp_path: Path,
) -> None:
    inp = network(
        tmp_path,
        "LINK v OPEN AT TIME 20",
        "LINK v 25 AT TIME 10",
        "LINK bc CLOSED AT TIME 12",
        "LINK bd CLOSED AT TIME 3",
        "LINK bd OPEN AT TIME 4",
        "LINK p 0.9 AT TIME 6",
        "LINK v CLOSED AT TIME 31",
        "LINK p CLOSED AT TIME 35",
        "LINK v 22 AT TIME 40",
    )
    model = read_network(inp)
    times = np.arange(24.0, 48.0) * HOUR_S
    blind = np.full((len(times), model.n_nodes), np.nan)
    whole = replay(inp, model, times, blind, start_s=0.0)
    late = replay(inp, model, times, blind, start_s=24.0 * HOUR_S)
    assert np.array_equal(late.is_open, whole.is_open)
    assert late.setting == pytest.approx(whole.setting, nan_ok=True)
