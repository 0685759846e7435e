"""Hold the linearization against EPANET's own differences, on every stock network there is.

Usage: benchmarks/conformance [--networks DIR...] [--only TEXT] [--seed N] [--json]

Without --networks it takes every .inp file inside the installed packages wntr and epyt. In each, at
model time 0 and at --hour, up to --junctions junctions, eight pipes, eight valves and four places
along pipes are changed a little up and down in EPANET, and what that does to --sensors pressures
and --meters flows is compared with the same derivative by the adjoint.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hydraulics.epanet.differences import (
    Change,
    Difference,
    DifferenceSolver,
    Outflow,
    Roughness,
    Setting,
    SplitOutflow,
)
from hydraulics.epanet.reading import read_as_written, read_by_copy
from hydraulics.epanet.toolkit import Boundary, State, replay
from hydraulics.errors import HydraulicsError, NotConvergedError
from hydraulics.leaks.headloss import PipeLosses
from hydraulics.leaks.tangent import Observed, Sensitivity, Tangent
from hydraulics.network import FloatArray, IndexArray, NetworkModel, NodeKind

AGREES = 0.02
HEARD = 1e-3
"""An entry counts if it is more than this share of the largest of its kind."""
SETTLED = 0.005
"""A difference is settled if a quarter of the step changes it by less than this."""
STEPS = (1.0, 8.0, 0.1, 0.01)
CARRIES_M3S, STILL_M3S = 1e-7, 1e-5
NARROW_M = 1e-3
LEAST_SERVED = 0.05
N_PIPES, N_VALVES, N_SPLITS = 8, 8, 4


@dataclass
class Entries:
    """Derivatives of one kind: EPANET's, ours, and how far EPANET's own two steps differ."""

    epanet: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)
    doubt: list[float] = field(default_factory=list)

    def add(self, epanet: FloatArray, ours: FloatArray, doubt: FloatArray) -> None:
        """Add the observations of one change."""
        self.epanet.extend(epanet.tolist())
        self.ours.extend(ours.tolist())
        self.doubt.extend(doubt.tolist())

    def errors(self) -> tuple[FloatArray, int]:
        """Return relative errors where EPANET's difference is heard and settled.

        Returns:
            The errors, and how many entries are heard but not settled.
        """
        epanet, ours, doubt = (np.array(v) for v in (self.epanet, self.ours, self.doubt))
        size = np.abs(epanet)
        heard = size > HEARD * size.max(initial=0.0)
        settled = heard & (doubt <= AGREES * size)
        errors = np.abs(ours - epanet)[settled] / size[settled]
        return errors, int((heard & ~settled).sum())

    def all_errors(self) -> FloatArray:
        """Return relative errors of all that is heard, settled or not."""
        size = np.abs(np.array(self.epanet))
        heard = size > HEARD * size.max(initial=0.0)
        return np.abs(np.array(self.ours) - np.array(self.epanet))[heard] / size[heard]


@dataclass
class Result:
    """What was found in one network."""

    name: str
    n_nodes: int = 0
    n_changes: int = 0
    flips: int = 0
    unsolved: int = 0
    entries: dict[str, Entries] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0


@dataclass
class Snapshot:
    """A state of a network, its tangent, and what is observed there."""

    solver: DifferenceSolver
    boundary: Boundary
    state: State
    tangent: Tangent
    observed: list[Observed]
    n_sensors: int
    found: Sensitivity
    splits: list[tuple[int, float]]

    @property
    def model(self) -> NetworkModel:
        """The network."""
        return self.tangent.model

    def seen(self, difference: Difference) -> FloatArray:
        """Return what the sensors and meters see of a difference."""
        heads = [difference.head[one.node] for one in self.observed[: self.n_sensors]]
        flows = [difference.flow[one.links[0]] for one in self.observed[self.n_sensors :]]
        return np.array(heads + flows)


def main() -> None:
    """Compare, and print a table."""
    options = arguments()
    results = []
    for name, path in networks(options.networks):
        if options.only and options.only.lower() not in name.lower():
            continue
        begun = time.process_time()
        print(name, end=" ", file=sys.stderr, flush=True)
        result = compare(name, path, options)
        result.seconds = time.process_time() - begun
        results.append(result)
        print(line(result), file=sys.stderr, flush=True)
    if options.json:
        print(json.dumps([as_json(result) for result in results], indent=1))
    else:
        report(results)


def arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=Path, nargs="+", help="folders of .inp files")
    parser.add_argument("--only", help="only networks with this in their name")
    parser.add_argument("--hour", type=float, default=13.0, help="the other time [h]")
    parser.add_argument("--sensors", type=int, default=8)
    parser.add_argument("--meters", type=int, default=5)
    parser.add_argument("--junctions", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def networks(folders: Sequence[Path] | None) -> Iterator[tuple[str, Path]]:
    """Return names and paths of the files to compare."""
    roots = folders or [
        Path(place)
        for package in ("wntr", "epyt")
        if (spec := find_spec(package))
        for place in spec.submodule_search_locations or []
    ]
    for root in roots:
        for path in sorted(root.rglob("*.inp")):
            yield f"{root.name}/{path.relative_to(root).as_posix()}", path


def compare(name: str, path: Path, options: argparse.Namespace) -> Result:
    """Return what was found in a network."""
    result = Result(name)
    model = read(path, result)
    if model is not None:
        compare_times(path, model, options, result)
    return result


def read(path: Path, result: Result) -> NetworkModel | None:
    """Return a file's network, by EPANET's own copy where WNTR cannot read the file."""
    try:
        return read_as_written(path)
    except HydraulicsError as error:
        reason = str(error)
    try:
        model = read_by_copy(path)
    except HydraulicsError as error:
        result.notes.append(f"WNTR: {reason}; EPANET: {error}")
        return None
    result.notes.append(f"WNTR read EPANET's copy, for of the file it says: {reason}")
    return model


def compare_times(
    path: Path, model: NetworkModel, options: argparse.Namespace, result: Result
) -> None:
    """Compare at both times."""
    result.n_nodes = model.n_nodes
    narrow = int((model.is_pipe & (model.diameter_m < NARROW_M)).sum())
    if narrow:
        result.notes.append(f"{narrow} pipes narrower than {1000 * NARROW_M:g} mm")
    for number, hour in enumerate((0.0, options.hour)):
        draw = np.random.default_rng([options.seed, number])
        try:
            compare_at(path, model, hour, draw, options, result)
        except HydraulicsError as error:
            result.notes.append(f"{hour:g} h: {error}")


def compare_at(  # noqa: PLR0913, PLR0917 - each is a thing of its own
    path: Path,
    model: NetworkModel,
    hour: float,
    draw: np.random.Generator,
    options: argparse.Namespace,
    result: Result,
) -> None:
    """Compare at one time of the day."""
    carrying = np.flatnonzero(model.is_pipe & ~model.is_oneway & model.is_open)
    carrying = carrying[model.length_m[carrying] > 0]
    splits = [
        (int(k), float(draw.uniform(0.1, 0.9))) for k in draw.permutation(carrying)[: 3 * N_SPLITS]
    ]
    with DifferenceSolver(path, model, splits) as solver:
        boundary = boundary_at(path, model, solver, 3600.0 * hour, result)
        snapshot = linearize(solver, boundary, splits, draw, options)
        if snapshot is None:
            nobody = not (boundary.demand_m3s > 0).any()
            why = "nobody takes water" if nobody else "no open link leads to a source"
            result.notes.append(f"{hour:g} h: no water flows, for {why}")
            return
        note_dry(result, snapshot, hour)
        for kind, change, step, ours in changes(snapshot, draw, options):
            result.n_changes += 1
            one = settle(snapshot, change, step)
            if one is None:
                result.unsolved += 1
            elif not one[0].kept_status:
                result.flips += 1
            else:
                note(result, snapshot, kind, one, ours)


def note_dry(result: Result, at: Snapshot, hour: float) -> None:
    """Note junctions that EPANET leaves without a source, at heads that are no heads."""
    is_junction = at.model.node_kind == NodeKind.JUNCTION
    dry = int((is_junction & ~at.tangent.is_live & (at.boundary.demand_m3s > 0)).sum())
    if dry:
        result.notes.append(f"{hour:g} h: {dry} junctions with demand are cut off")


def boundary_at(
    path: Path, model: NetworkModel, solver: DifferenceSolver, time_s: float, result: Result
) -> Boundary:
    """Return the boundary at a model time, as the file's controls leave links and tanks."""
    times = np.array([time_s])
    demand, head = solver.demand_m3s(times)[0], solver.fixed_head_m(times)[0]
    is_open, setting = model.is_open, solver.pump_speed(times)[0]
    try:
        now = replay(path, model, times, np.full((1, model.n_nodes), np.nan), start_s=0.0)
    except NotConvergedError as error:
        result.notes.append(f"{time_s / 3600:g} h: as built, for with its controls {error}")
    else:
        follows = ~model.is_oneway | ~model.is_pipe
        is_open = np.where(follows, now.is_open[0], is_open)
        setting = np.where(np.isnan(now.setting[0]), setting, now.setting[0])
        head = np.where(np.isnan(head), head, now.fixed_head_m[0])
    return Boundary(demand, head, is_open, setting)


def linearize(
    solver: DifferenceSolver,
    boundary: Boundary,
    splits: list[tuple[int, float]],
    draw: np.random.Generator,
    options: argparse.Namespace,
) -> Snapshot | None:
    """Return the state and its tangent, and choose what is observed; None where nothing flows."""
    model = solver.model
    state = solver.settle(boundary)
    tangent = Tangent(
        model,
        PipeLosses(model),
        state,
        solver.pump_slopes(boundary, state),
        solver.outflow_slope(state),
    )
    flow = np.abs(state.flow_m3s)
    carries = tangent.free_links & (flow > max(CARRIES_M3S, 1e-3 * flow.max(initial=0.0)))
    if not len(tangent.live) or not carries.any() or flow.max() < STILL_M3S:
        return None
    sensors = draw.permutation(tangent.live)[: options.sensors]
    meters = draw.permutation(np.flatnonzero(carries))[: options.meters]
    observed = [Observed(int(n)) for n in sensors]
    observed += [Observed(-1, (int(k),), (1.0,)) for k in meters]
    found = tangent.sensitivity(observed)
    return Snapshot(solver, boundary, state, tangent, observed, len(sensors), found, splits)


def changes(
    at: Snapshot, draw: np.random.Generator, options: argparse.Namespace
) -> Iterator[tuple[str, Change, float, FloatArray]]:
    """Return the changes to try: their kind, step and what they do by the adjoint."""
    flow = np.abs(at.state.flow_m3s)
    pipes = at.tangent.losses.pipe
    carrying = pipes[at.tangent.free_links[pipes] & (flow[pipes] > CARRIES_M3S)]
    typical = float(np.median(flow[carrying])) if len(carrying) else 1e-4
    step = max(float(np.clip(0.02 * typical, 1e-6, 1e-3)), 3.0 * at.solver.error_m3s(at.state))
    served = served_share(at)
    nodes = at.tangent.live[served[at.tangent.live] > LEAST_SERVED]
    # Half of them carry a sensor: far from any, most junctions are heard by none.
    sensors = [one.node for one in at.observed[: at.n_sensors] if served[one.node] > LEAST_SERVED]
    order = np.concatenate([sensors[: options.junctions // 2], draw.permutation(nodes)])
    for node in np.unique(order[: options.junctions].astype(np.int64)):
        yield "outflow", Outflow(int(node)), step, served[node] * at.found.outflow[:, node]
    for link in loud(at, at.found.roughness, carrying, draw):
        yield "roughness", Roughness(int(link)), 3e-3, at.found.roughness[:, link]
    yield from valve_changes(at)
    for number, (link, place) in enumerate(at.splits):
        start, end = at.model.start[link], at.model.end[link]
        if at.tangent.is_live[start] and at.tangent.is_live[end]:
            ours = (1.0 - place) * at.found.outflow[:, start] + place * at.found.outflow[:, end]
            # A meter in the pipe itself sits before the leak, where the leak's water flows too.
            ours += [(1.0 - place) * (link in one.links) for one in at.observed]
            yield "leak in a pipe", SplitOutflow(number), step, ours
            if number >= N_SPLITS - 1:
                return


def served_share(at: Snapshot) -> FloatArray:
    """Return how much of a demand in EPANET is an outflow: less than all where pressure drives it.

    Shape (n_nodes,); 0 at a junction without demand of a pressure-driven network, whose demand
    cannot be changed to both sides.
    """
    if not at.solver.is_pressure_driven:
        return np.ones(at.model.n_nodes)
    wanted = at.boundary.demand_m3s
    share = np.divide(at.state.delivered_m3s, wanted, where=wanted > 0, out=np.zeros_like(wanted))
    return np.minimum(share, 1.0)


def loud(
    at: Snapshot, effect: FloatArray, links: IndexArray, draw: np.random.Generator
) -> IndexArray:
    """Return links whose change is heard, half of them the loudest."""
    size = np.abs(effect[: at.n_sensors, links]).max(axis=0, initial=0.0)
    order = links[np.argsort(-size)]
    heard = order[np.sort(size)[::-1] > HEARD * size.max(initial=0.0)]
    most = N_PIPES // 2
    return np.concatenate([heard[:most], draw.permutation(heard[most:])[:most]])


def valve_changes(at: Snapshot) -> Iterator[tuple[str, Change, float, FloatArray]]:
    """Return changes of settings, a little at each valve that holds or throttles."""
    solver, found = at.solver, at.found
    by_setting = np.flatnonzero((found.setting != 0.0).any(axis=0))
    for link in by_setting[:N_VALVES]:
        is_flow = at.model.valve_type[link] == "FCV"
        step = 1e-3 * abs(at.state.flow_m3s[link]) if is_flow else 0.02
        yield "setting", Setting(int(link)), step, found.setting[:, link]
    throttled = np.flatnonzero((found.throttle != 0.0).any(axis=0))
    for link in throttled[:N_VALVES]:
        coefficient = solver.setting_of(at.boundary, int(link))
        if coefficient > 0:
            ours = found.throttle[:, link] / coefficient
            yield "setting", Setting(int(link)), 1e-3 * coefficient, ours


def settle(at: Snapshot, change: Change, step: float) -> tuple[Difference, FloatArray] | None:
    """Return a difference by the step that a quarter of it changes least, and what it changes."""
    best: tuple[float, Difference, FloatArray] | None = None
    for factor in STEPS:
        try:
            whole = at.solver.difference(at.boundary, at.state, change, factor * step)
            part = at.solver.difference(at.boundary, at.state, change, 0.25 * factor * step)
        except NotConvergedError:
            continue
        seen, finer = at.seen(whole), at.seen(part)
        doubt = np.abs(seen - finer)
        size = np.abs(finer)
        heard = size > HEARD * size.max(initial=0.0)
        worst = float(np.max(doubt[heard] / size[heard], initial=0.0))
        kept = whole.kept_status and part.kept_status
        if best is None or (kept, -worst) > (best[1].kept_status, -best[0]):
            best = (worst, part if kept else whole, doubt)
        if kept and worst < SETTLED:
            break
    return None if best is None else (best[1], best[2])


def note(
    result: Result,
    at: Snapshot,
    kind: str,
    one: tuple[Difference, FloatArray],
    ours: FloatArray,
) -> None:
    """Put a difference beside the adjoint's derivative."""
    difference, doubt = one
    seen, n = at.seen(difference), at.n_sensors
    heads = result.entries.setdefault(f"{kind}: pressure", Entries())
    heads.add(seen[:n], ours[:n], doubt[:n])
    flows = result.entries.setdefault(f"{kind}: flow", Entries())
    flows.add(seen[n:], ours[n:], doubt[n:])


def pooled(results: Sequence[Result], kind: str = "") -> tuple[FloatArray, int]:
    """Return all relative errors of a kind, or of all kinds, and how many are not settled."""
    parts = [
        entries.errors()
        for result in results
        for name, entries in result.entries.items()
        if name.startswith(kind)
    ]
    errors = np.concatenate([part[0] for part in parts] or [np.empty(0)])
    return errors, sum(part[1] for part in parts)


def verdict(result: Result) -> str:
    """Return whether a network agrees."""
    errors, _ = pooled([result])
    if not len(errors):
        return "nothing"
    return "yes" if np.median(errors) <= AGREES else "no"


def line(result: Result) -> str:
    """Return a row of the table."""
    errors, unsettled = pooled([result])
    cells = [result.name, str(result.n_nodes), str(len(errors))]
    if len(errors):
        cells += [f"{100 * np.median(errors):.2g}", f"{100 * np.quantile(errors, 0.95):.2g}"]
    else:
        cells += ["", ""]
    cells += [str(unsettled), f"{result.flips} of {result.n_changes}", verdict(result)]
    return "| " + " | ".join([*cells, "; ".join(result.notes)]) + " |"


def report(results: Sequence[Result]) -> None:
    """Print the table, and what it comes to."""
    heads = "network|nodes|compared|median [%]|95th [%]|unsettled|status changes|agrees|notes"
    print("| " + heads.replace("|", " | ") + " |")
    print("|" + "---|" * 9)
    for result in results:
        print(line(result))
    print()
    print("| change: seen as | compared | median [%] | 95th [%] |")
    print("|---|---|---|---|")
    for kind in sorted({name for result in results for name in result.entries}):
        errors, _ = pooled(results, kind)
        if len(errors):
            median, high = 100 * np.median(errors), 100 * np.quantile(errors, 0.95)
            print(f"| {kind} | {len(errors)} | {median:.2g} | {high:.2g} |")
    counts = [verdict(result) for result in results]
    print()
    print(
        f"{counts.count('yes')} of {len(results)} files agree within {100 * AGREES:g} % in the"
        f" median, {counts.count('no')} do not, {counts.count('nothing')} have nothing to compare."
    )
    every = [
        np.concatenate([entries.all_errors() for entries in result.entries.values()])
        for result in results
        if result.entries
    ]
    within = sum(bool(len(errors)) and np.median(errors) <= AGREES for errors in every)
    seconds = sum(result.seconds for result in results)
    print(f"With what EPANET leaves unsettled, {within} agree. {seconds:.0f} s of one core.")


def as_json(result: Result) -> dict[str, object]:
    """Return a result for machines."""
    errors, unsettled = pooled([result])
    by_kind = {
        kind: {"n": len(found), "median": float(np.median(found))}
        for kind, entries in result.entries.items()
        if len(found := entries.errors()[0])
    }
    return {
        "network": result.name,
        "n_nodes": result.n_nodes,
        "n_compared": len(errors),
        "median_relative_error": float(np.median(errors)) if len(errors) else None,
        "p95_relative_error": float(np.quantile(errors, 0.95)) if len(errors) else None,
        "n_unsettled": unsettled,
        "n_changes": result.n_changes,
        "n_status_changes": result.flips,
        "n_unsolved": result.unsolved,
        "verdict": verdict(result),
        "kinds": by_kind,
        "notes": result.notes,
        "seconds": result.seconds,
    }


if __name__ == "__main__":
    main()
