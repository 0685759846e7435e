"""Leaks in networks whose tanks stand empty or end a long pipe, or whose source is a junction."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from benchmarks.leak_cases import World, make_case
from hydraulics.epanet.reading import read_network
from hydraulics.epanet.toolkit import Boundary, Solver
from hydraulics.leaks.localize import localize
from hydraulics.leaks.measurements import zone
from hydraulics.network import LinkKind

NETWORKS = Path(str(files("epyt"))) / "networks"
RICHMOND = NETWORKS / "exeter-benchmarks" / "Richmond_skeleton.inp"
ALL_RICHMOND = NETWORKS / "exeter-benchmarks" / "Richmond_standard.inp"
KY5 = NETWORKS / "asce-tf-wdst" / "ky5.inp"
NET2 = Path(str(files("wntr"))) / "library" / "networks" / "Net2.inp"
IN_RICHMOND = "364 4 637 634 766 770"
IN_KY5 = (
    "I-Pump-8 J-201 J-357 J-172 J-1 J-344 J-97 J-118 J-414 J-411 J-325 J-12 J-244 J-108 J-149 "
    "J-156 J-204 J-300 J-278 J-116 J-255"
)


@pytest.mark.parametrize(
    ("inp", "sensors", "seed", "flow_m3s"),
    [
        (RICHMOND, IN_RICHMOND, 700_025, (0.45e-3, 2.25e-3)),
        (KY5, IN_KY5, 700_030, (1e-3, 5e-3)),
    ],
    ids=["a pipe into a tank", "a tank that stands empty half of the time"],
)
def test_the_zone_holds_the_leak_and_is_no_zone_of_everything(
    inp: Path, sensors: str, seed: int, flow_m3s: tuple[float, float]
) -> None:
    model = read_network(inp)
    world = World(flow_m3s=flow_m3s)
    case = make_case(inp, model, sensors.split(), world, seed)
    assert case is not None
    found = localize(inp, model, case.seen)
    held = zone(found, 0.95)
    assert case.link in held
    assert model.length_m[held].sum() < 0.7 * model.length_m[model.is_pipe].sum()


def test_what_comes_in_at_a_junction_is_metered_there() -> None:
    model = read_network(NET2)
    case = make_case(NET2, model, ["11", "23"], World(flow_m3s=(1e-3, 2e-3)), 3)
    assert case is not None
    inlet, seen = model.node_id.index("1"), case.seen
    assert seen.demand_node.tolist() == [inlet]
    assert not len(seen.flow_link)
    given = seen.demand_m3s[:, 0]
    assert given.min() < -0.02
    assert np.abs(given).min() < 1e-6  # the pumps of the place that feeds it rest for hours


@pytest.mark.parametrize("hour", [0, 6, 12])
def test_no_pump_or_check_valve_is_left_against_its_way_where_trials_do_not_suffice(
    hour: int,
) -> None:
    # Check valves beside pipes that lose nothing flap there until EPANET gives up.
    model, time_s = read_network(ALL_RICHMOND), np.array([3_600.0 * hour])
    running = [model.link_id.index(name) for name in ("1A", "3A")]
    is_open = model.is_open.copy()
    is_open[running] = True
    with Solver(ALL_RICHMOND, model) as solver:
        demand_m3s, head_m = solver.demand_m3s(time_s)[0], solver.fixed_head_m(time_s)[0]
        nothing = np.full(model.n_links, np.nan)
        state = solver.solve(Boundary(demand_m3s, head_m, is_open, nothing))
    drop_m = state.head_m[model.start] - state.head_m[model.end]
    one_way = is_open & (model.is_oneway | (model.link_kind == LinkKind.PUMP))
    assert (state.flow_m3s[running] > 0.04).all()  # as the run over a day has them
    assert (drop_m[one_way & ~state.is_open] < 1e-3).all()
    assert (state.flow_m3s[one_way] > -1e-5).all()
