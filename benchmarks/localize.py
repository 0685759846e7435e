"""Localize simulated leaks in any network, and say how near and how sure the answers are.

Usage: benchmarks/localize --network FILE.inp --sensors a,b,c --seed N --n N [--json]

A case is two days: one without a leak, one with a leak at a random place of a random pipe that
carries water, its chance in proportion to length. The truth differs from the model in demands
(30 % static and hourly), roughness (10 %) and sensors (0.05 m bias, 0.02 m noise). Sources, pumps
and tanks are metered. Distances are along pipes, from the most probable place to the true one.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hydraulics.epanet.reading import read_network
from hydraulics.epanet.scenario import (
    Perturbation,
    PipeLeak,
    Scenario,
    Truth,
    Watched,
    run_scenario,
)
from hydraulics.errors import HydraulicsError
from hydraulics.leaks.localize import LocalizeSettings, localize
from hydraulics.leaks.measurements import Localization, Measurements, zone
from hydraulics.network import LinkKind, NetworkModel, NodeKind
from hydraulics.paths import distance_along_pipes_m

DAY_S = 86_400
NEAR_M = 300.0
LEVELS = (0.5, 0.8, 0.9, 0.95)


@dataclass(frozen=True)
class Case:
    """One simulated leak and what was read."""

    link: int
    place: float
    flow_m3s: float
    seen: Measurements


def main() -> None:
    """Run the cases and print their figures."""
    options = arguments()
    model = read_network(options.network)
    sensors = [name for name in options.sensors.split(",") if name]
    unknown = [name for name in sensors if name not in model.node_id]
    if unknown:
        sys.exit(f"{options.network.name} has no node {unknown[0]}")
    lines: list[dict[str, float]] = []
    tries = 0
    while len(lines) < options.n and tries < 3 * options.n:
        seed = options.seed * 100_003 + tries
        tries += 1
        case = make_case(options, model, sensors, seed)
        if case is None:
            continue
        begun = time.process_time()
        found = localize(
            options.network, model, case.seen, (), seed=1, settings=LocalizeSettings(**options.set)
        )
        lines.append(score(model, case, found, time.process_time() - begun))
        if options.verbose:
            print(sentence(model, case, found, lines[-1]), file=sys.stderr, flush=True)
    if not lines:
        sys.exit(f"{options.network.name}: no case could be simulated")
    report(options, lines)


def arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", type=Path, required=True)
    parser.add_argument("--sensors", required=True, help="node ids, by comma")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--n", type=int, default=20)
    parser.add_argument("--flow-ls", default="2,10", help="least and largest leak [L/s]")
    parser.add_argument("--demand-sigma", type=float, default=0.3)
    parser.add_argument("--hourly-sigma", type=float, default=0.3)
    parser.add_argument("--roughness", type=float, default=0.1, help="half width, relative")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--verbose", action="store_true", help="a line a case on standard error")
    parser.add_argument("--set", type=json.loads, default={}, help="settings of the run, as JSON")
    return parser.parse_args()


def make_case(
    options: argparse.Namespace, model: NetworkModel, sensors: list[str], seed: int
) -> Case | None:
    """Return a case, or None where EPANET cannot run its truth."""
    draw = np.random.default_rng(seed)
    pipes = np.flatnonzero(model.is_pipe & model.is_open & (model.length_m > 0))
    link = int(draw.choice(pipes, p=model.length_m[pipes] / model.length_m[pipes].sum()))
    place = float(draw.uniform(0.02, 0.98))
    low, high = (float(part) / 1000.0 for part in options.flow_ls.split(","))
    flow_m3s = float(np.exp(draw.uniform(np.log(low), np.log(high))))
    watched = watch(model, sensors)
    scenario = Scenario(
        model_start_s=DAY_S,
        duration_s=2 * DAY_S,
        seed=seed,
        step_s=900,
        warm_up_s=0,
        leaks=(PipeLeak(model.link_id[link], place, flow_m3s, DAY_S),),
        perturbation=Perturbation(
            demand_sigma=options.demand_sigma,
            hourly_sigma=options.hourly_sigma,
            roughness_half_width=options.roughness,
        ),
    )
    try:
        with tempfile.TemporaryDirectory() as scratch:
            truth = run_scenario(options.network, scenario, watched, Path(scratch))
    except HydraulicsError as error:
        print(f"case {seed}: {error}", file=sys.stderr)
        return None
    return Case(link, place, flow_m3s, read(model, watched, truth, draw))


def watch(model: NetworkModel, sensors: list[str]) -> Watched:
    """Watch the sensors, every tank, every pump, and every link of a source."""
    is_source = model.node_kind == NodeKind.RESERVOIR
    metered = is_source[model.start] | is_source[model.end]
    metered |= model.link_kind == LinkKind.PUMP
    tanks = np.flatnonzero(model.node_kind == NodeKind.TANK)
    return Watched(
        pressure_nodes=tuple(sensors),
        level_tanks=tuple(model.node_id[i] for i in tanks),
        flow_links=tuple(model.link_id[k] for k in np.flatnonzero(metered)),
    )


def read(
    model: NetworkModel, watched: Watched, truth: Truth, draw: np.random.Generator
) -> Measurements:
    """Return the truth as instruments with errors give it."""
    node = {name: i for i, name in enumerate(model.node_id)}
    link = {name: i for i, name in enumerate(model.link_id)}
    bias = draw.normal(0.0, 0.05, truth.pressure_m.shape[1])
    pressure = truth.pressure_m + bias + draw.normal(0.0, 0.02, truth.pressure_m.shape)
    level = truth.level_m + draw.normal(0.0, 0.005, truth.level_m.shape)
    flow = truth.flow_m3s * (1.0 + draw.normal(0.0, 0.005, truth.flow_m3s.shape))
    return Measurements(
        model_time_s=DAY_S + truth.time_s.astype(np.float64),
        is_reference=truth.time_s < DAY_S,
        pressure_node=np.array([node[name] for name in watched.pressure_nodes], dtype=np.int64),
        pressure_m=pressure,
        tank_node=np.array([node[name] for name in watched.level_tanks], dtype=np.int64),
        tank_level_m=level,
        flow_link=np.array([link[name] for name in watched.flow_links], dtype=np.int64),
        flow_m3s=flow,
        demand_node=np.empty(0, dtype=np.int64),
        demand_m3s=np.empty((len(pressure), 0)),
    )


def score(model: NetworkModel, case: Case, found: Localization, seconds: float) -> dict[str, float]:
    """Return the figures of one case."""
    rank = np.flatnonzero(found.link == case.link)
    before = found.probability[: rank[0]].sum() if len(rank) else 1.0
    line = {
        "distance_m": distance_along_pipes_m(
            model, int(found.link[0]), float(found.place[0]), case.link, case.place
        ),
        "rank": float(rank[0] + 1) if len(rank) else np.nan,
        "before": float(before),
        "flow_ratio": float(found.flow_m3s[0] / case.flow_m3s),
        "left_out": float(sum(one.is_whole for one in found.left_out)),
        "evidence": float(found.evidence_ratio),
        "seconds": seconds,
    }
    for level in LEVELS:
        links = zone(found, level)
        line[f"holds_{level}"] = float(case.link in links)
        line[f"length_{level}"] = float(model.length_m[links].sum())
    return line


def sentence(model: NetworkModel, case: Case, found: Localization, line: dict[str, float]) -> str:
    """Return one case on a line."""
    return (
        f"{model.link_id[case.link]:>8} {case.flow_m3s * 1000:4.1f} L/s -> "
        f"{model.link_id[found.link[0]]:>8} {found.flow_m3s[0] * 1000:4.1f} L/s "
        f"p {found.probability[0]:.2f} {line['distance_m']:6.0f} m rank {line['rank']:.0f} "
        f"before {line['before']:.2f} zone90 {line['length_0.9']:6.0f} m "
        f"{'holds' if line['holds_0.9'] else 'MISSES'} out {line['left_out']:.0f} "
        f"{line['seconds']:.1f} s"
    )


def report(options: argparse.Namespace, lines: list[dict[str, float]]) -> None:
    """Print the figures over all cases."""
    column = {key: np.array([line[key] for line in lines]) for key in lines[0]}
    summary: dict[str, object] = {
        "network": options.network.name,
        "n": len(lines),
        "median_distance_m": float(np.median(column["distance_m"])),
        "within_300_m": float((column["distance_m"] <= NEAR_M).mean()),
        "median_zone90_m": float(np.median(column["length_0.9"])),
        "median_seconds": float(np.median(column["seconds"])),
    }
    for level in LEVELS:
        summary[f"coverage_{level:g}"] = float(column[f"holds_{level}"].mean())
    if options.json:
        print(json.dumps({**summary, "cases": lines}))
        return
    for key, value in summary.items():
        print(f"{key:>20} {value:.4g}" if isinstance(value, float) else f"{key:>20} {value}")


if __name__ == "__main__":
    main()
