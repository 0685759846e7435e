"""Time the leak engine on one core, beside EPANET and WNTR on the same work.

Usage: benchmarks/speed [--data DIR] [--bwsn2 FILE.inp] [--quick] [--json]

The work is one snapshot: what a leak at every place would do to every pressure sensor. Ours is one
linearization for all pipes; the others solve once for each junction. The live cycle adds what ours
needs for an answer: the nominal state at the measured inflow from the one five minutes before, the
whitened posterior over all pipes. DIR holds L-TOWN.inp. Compiling and reading are not timed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from leak_cases import World, make_case

from hydraulics.epanet.devices import read_devices
from hydraulics.epanet.instruments import choose_instruments
from hydraulics.epanet.peers import WntrPeer, leak_each
from hydraulics.epanet.reading import read_network
from hydraulics.epanet.toolkit import ACCURACY, Boundary, Solver
from hydraulics.leaks.equations import along_pipes, linearize, make_grid
from hydraulics.leaks.gga import NewtonSolver, Solution
from hydraulics.leaks.headloss import PipeLosses
from hydraulics.leaks.live import LiveLocator, Snapshot, Unsure, whiten
from hydraulics.leaks.localize import localize
from hydraulics.network import IndexArray, NetworkModel

MORNING_S = 8 * 3600
STEP_S = 300
EPANETS_OWN = 0.01


@dataclass(frozen=True)
class Plan:
    """What is timed on one network, and how often."""

    name: str
    inp: Path
    n_sensors: int
    leak_m3s: float
    n_tangents: int
    n_cycles: int
    n_junctions: int | None
    n_wntr_epanet: int
    n_wntr_own: int
    core_ms: float
    live_ms: float


@dataclass(frozen=True)
class Timed:
    """Times of one kind of work, in seconds for the whole of it.

    Attributes:
        what: Which work.
        n: Repeats.
        least_s: Least wall time.
        median_s: Median wall time.
        cpu_s: Median processor time.
        least_cpu_s: Least processor time.
        scale: What a sample was multiplied by, 1 where all was done.
        aim_s: What it should take at most, None where there is no aim.
    """

    what: str
    n: int
    least_s: float
    median_s: float
    cpu_s: float
    least_cpu_s: float
    scale: float = 1.0
    aim_s: float | None = None


def main() -> None:
    """Time all that there are networks for, and print it."""
    options = arguments()
    plans = [plan for plan in (ltown(options), bwsn2(options)) if plan]
    result: dict[str, object] = {"load_before": os.getloadavg()[0]}
    for plan in plans:
        result[plan.name] = time_network(plan)
    if plans and plans[0].name == "L-Town":
        result["localize"] = time_localize(plans[0], 15 if options.quick else 60)
    result["load_after"] = os.getloadavg()[0]
    if options.json:
        print(json.dumps(result, default=asdict))
    else:
        report(result)


def arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of L-TOWN.inp")
    parser.add_argument("--bwsn2", type=Path, help="BWSN_Network_2.inp; by default that of epyt")
    parser.add_argument("--quick", action="store_true", help="few repeats and small samples")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def ltown(options: argparse.Namespace) -> Plan | None:
    """Return what is timed on L-Town, or None where its file is not there."""
    inp = options.data / "L-TOWN.inp" if options.data else None
    if inp is None or not inp.exists():
        tell("L-Town is left out: --data must name a folder that holds L-TOWN.inp.")
        return None
    few = options.quick
    return Plan(
        "L-Town", inp, 33, 0.003, 200 if few else 2000, 60 if few else 288,
        100 if few else None, 2 if few else 20, 1 if few else 5, 0.15, 2.0,
    )  # fmt: skip


def bwsn2(options: argparse.Namespace) -> Plan | None:
    """Return what is timed on BWSN2, or None where its file is not there."""
    inp = options.bwsn2
    if inp is None:
        spec = importlib.util.find_spec("epyt")
        home = Path(str(spec.origin)).parent if spec else Path()
        inp = home / "networks" / "asce-tf-wdst" / "BWSN_Network_2.inp"
    if not inp.exists():
        tell("BWSN2 is left out: --bwsn2 must name its file, for epyt is not installed.")
        return None
    few = options.quick
    return Plan(
        "BWSN2", inp, 100, 0.01, 50 if few else 400, 12 if few else 72,
        10 if few else 40, 1 if few else 3, 0, 5.0, 40.0,
    )  # fmt: skip


def tell(text: str) -> None:
    """Say on standard error what goes on."""
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Stage:
    """One network, opened."""

    plan: Plan
    model: NetworkModel
    solver: Solver
    newton: NewtonSolver
    sensor: IndexArray

    def boundary(self, model_time_s: float) -> Boundary:
        """Return what the file says of a time."""
        at = np.array([float(model_time_s)])
        return Boundary(
            self.solver.demand_m3s(at)[0],
            self.solver.fixed_head_m(at)[0],
            self.model.is_open,
            self.solver.pump_speed(at)[0],
        )


def time_network(plan: Plan) -> list[Timed]:
    """Return the times on one network."""
    tell(f"{plan.name}: reading")
    model = read_network(plan.inp)
    with tempfile.TemporaryDirectory() as scratch, Solver(plan.inp, model) as solver:
        named = choose_instruments(plan.inp, Path(scratch)).pressure_nodes
        chosen = np.linspace(0, len(named) - 1, min(plan.n_sensors, len(named))).round()
        node = {name: i for i, name in enumerate(model.node_id)}
        sensor = np.array([node[named[int(n)]] for n in chosen], dtype=np.int64)
        newton = NewtonSolver(make_grid(model), PipeLosses(model), read_devices(solver))
        stage = Stage(plan, model, solver, newton, sensor)
        start = newton.solve(stage.boundary(MORNING_S), solver.solve(stage.boundary(MORNING_S)))
        tell(f"{plan.name}: tangent and live cycle")
        ours = [*time_tangent(stage, start), time_live(stage, start)]
        return [*ours, *time_epanet(stage), *time_wntr(stage)]


def time_tangent(stage: Stage, start: Solution) -> list[Timed]:
    """Time what a leak in the middle of every pipe does to every sensor."""
    locator = LiveLocator(stage.newton, stage.sensor)
    place, model = stage.newton.grid.node_place, stage.model
    begin, end = place[model.start[locator.pipe]], place[model.end[locator.pipe]]
    falls = np.empty((stage.newton.grid.symbolic.n_unknowns, len(stage.sensor)))
    out = np.empty((len(locator.pipe), len(stage.sensor)))

    def once() -> None:
        linear = linearize(stage.newton.grid, start.linear.reach, start.conductance)
        along_pipes(linear.falls(stage.sensor, falls), begin, end, 0.5, out)

    what = f"tangent: {len(locator.pipe)} pipes × {len(stage.sensor)} sensors"
    return [timed(what, once, stage.plan.n_tangents, aim_s=stage.plan.core_ms / 1e3)]


def time_live(stage: Stage, start: Solution) -> Timed:
    """Time a stream of snapshots, each from the state of the one before."""
    locator = LiveLocator(stage.newton, stage.sensor)
    whitener = whiten(locator.covariance(start, Unsure()))
    stream = snapshots(stage, locator)
    nothing, last = np.zeros(len(stage.sensor)), [start]
    waiting = iter([stream[0], *stream])  # the first one compiles

    def once() -> None:
        last[0] = locator.cycle(next(waiting), whitener, nothing, last[0]).solution

    what = f"live cycle: {len(locator.pipe)} pipes × {len(stage.sensor)} sensors"
    return timed(what, once, len(stream), aim_s=stage.plan.live_ms / 1e3)


def snapshots(stage: Stage, locator: LiveLocator) -> list[Snapshot]:
    """Return readings every five minutes, with a leak in one pipe from the middle on."""
    plan, model, draw = stage.plan, stage.model, np.random.default_rng(1)
    length = model.length_m[locator.pipe]
    pipe = int(draw.choice(locator.pipe, p=length / length.sum()))
    stream = []
    for number in range(plan.n_cycles):
        boundary = stage.boundary(MORNING_S + number * STEP_S)
        true = boundary.demand_m3s * draw.lognormal(0.0, 0.1, model.n_nodes)
        if 2 * number >= plan.n_cycles:
            true[model.end[pipe]] += plan.leak_m3s
        head = stage.solver.solve(boundary.with_demand(true)).head_m
        pressure = (head - model.elevation_m)[stage.sensor]
        noisy = pressure + draw.normal(0.0, 0.02, len(pressure))
        stream.append(Snapshot(boundary, float(true.sum()), noisy))
    return stream


def time_epanet(stage: Stage) -> list[Timed]:
    """Time EPANET in process with a leak at one junction after the other."""
    junctions = stage.newton.grid.node
    some, scale = sample(junctions, stage.plan.n_junctions)
    boundary, found = stage.boundary(MORNING_S), []
    for is_warm, accuracy in ((True, ACCURACY), (False, ACCURACY), (True, EPANETS_OWN)):
        kind = "warm" if is_warm else "cold"
        tell(f"{stage.plan.name}: EPANET in process, {kind}, accuracy {accuracy:g}")

        def once(is_warm: bool = is_warm, accuracy: float = accuracy) -> None:  # noqa: FBT001
            leak_each(
                stage.solver, boundary, some, stage.plan.leak_m3s,
                is_warm=is_warm, accuracy=accuracy,
            )  # fmt: skip

        what = f"EPANET in process, {kind}, accuracy {accuracy:g}"
        found.append(timed(what, once, 2, scale=scale))
    return found


def time_wntr(stage: Stage) -> list[Timed]:
    """Time WNTR's simulators on some junctions."""
    peer, found = WntrPeer(stage.plan.inp, MORNING_S), []
    kinds = (
        ("EpanetSimulator", stage.plan.n_wntr_epanet),
        ("WNTRSimulator", stage.plan.n_wntr_own),
    )
    for name, n in kinds:
        if not n:
            continue
        tell(f"{stage.plan.name}: WNTR {name} at {n} junctions")
        some, scale = sample(stage.newton.grid.node, n)
        ids = [stage.model.node_id[i] for i in some]

        def once(ids: list[str] = ids, by_epanet: bool = name == "EpanetSimulator") -> None:  # noqa: FBT001
            peer.leak_each(ids, stage.plan.leak_m3s, by_epanet=by_epanet)

        found.append(timed(f"WNTR {name}", once, 1, scale=scale, is_warmed=False))
    return found


def sample(junctions: IndexArray, n: int | None) -> tuple[Sequence[int], float]:
    """Return some junctions, spread over the file, and how many there are for each."""
    if n is None or n >= len(junctions):
        return [int(i) for i in junctions], 1.0
    at = np.linspace(0, len(junctions) - 1, n).round().astype(np.int64)
    return [int(i) for i in junctions[at]], len(junctions) / n


def time_localize(plan: Plan, n: int) -> Timed:
    """Time the refined inference on a day without and a day with a leak."""
    tell("L-Town: refined inference on a day")
    model = read_network(plan.inp)
    with tempfile.TemporaryDirectory() as scratch:
        sensors = choose_instruments(plan.inp, Path(scratch)).pressure_nodes
    case = make_case(plan.inp, model, sensors, World(), 7)
    assert case is not None, "EPANET runs L-Town"
    what = "refined inference on a day: localize()"
    return timed(what, lambda: localize(plan.inp, model, case.seen), n, aim_s=0.1)


def timed(  # noqa: PLR0913 - each is a thing of its own
    what: str,
    once: Callable[[], object],
    n: int,
    *,
    scale: float = 1.0,
    aim_s: float | None = None,
    is_warmed: bool = True,
) -> Timed:
    """Return how long something takes, after one run that is not counted."""
    if is_warmed:
        once()
    wall, cpu = [], []
    for _ in range(n):
        begun_s, begun_cpu_s = time.perf_counter(), time.process_time()
        once()
        cpu.append((time.process_time() - begun_cpu_s) * scale)
        wall.append((time.perf_counter() - begun_s) * scale)
    middle, middle_cpu = statistics.median(wall), statistics.median(cpu)
    return Timed(what, n, min(wall), middle, middle_cpu, min(cpu), scale, aim_s)


def report(result: dict[str, object]) -> None:
    """Print the times and how many times ours they are."""
    print(f"load before {result['load_before']:.1f}, after {result['load_after']:.1f}")
    for name, value in result.items():
        lines = [value] if isinstance(value, Timed) else value
        if not isinstance(lines, list):
            continue
        print(f"\n| {name} | n | wall min | wall median | CPU min | CPU median | aim |", end="")
        print(" ÷ tangent | ÷ live cycle |\n|---|---|---|---|---|---|---|---|---|")
        for line in lines:
            print(row(line, lines))


def row(line: Timed, lines: Sequence[Timed]) -> str:
    """Return one line of the table; ratios are those of median processor times."""
    ratios = [f"{line.cpu_s / one.cpu_s:,.3g}" for one in lines[:2]] if len(lines) > 1 else ["", ""]
    note = f" (scaled × {line.scale:,.0f})" if line.scale > 1 else ""
    cells = [line.what + note, str(line.n)]
    cells += [shown(t) for t in (line.least_s, line.median_s, line.least_cpu_s, line.cpu_s)]
    cells.append(shown(line.aim_s) if line.aim_s else "")
    return "| " + " | ".join([*cells, *ratios]) + " |"


def shown(seconds: float) -> str:
    """Return a time in words."""
    return f"{seconds * 1e3:,.3g} ms" if seconds < 1 else f"{seconds:,.3g} s"


if __name__ == "__main__":
    main()
