"""Localize simulated leaks that run at once, two unless told, when nobody says how many there are.

Usage: benchmarks/pairs --network FILE.inp --sensors a,b,c --seed N --n N [--leaks N] [--json]

A case is two days: one without a leak, one with leaks at random places of random pipes. The
truth differs from the model as it does in `localize`. Without --sensors, those are taken that the
file's comments mark as pressure sensors. As many cases with a single leak say how often one leak
is taken for more. A found leak is where the pipe amid its posterior is, as an answer names it;
found leaks are assigned to true ones so that the worst distance is shortest.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from itertools import permutations
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.leak_cases import NEAR_M, Case, World, make_case, marked_sensors
from hydraulics.epanet.reading import read_network
from hydraulics.epanet.scenario import Perturbation
from hydraulics.leaks.measurements import zone
from hydraulics.leaks.settings import LocalizeSettings
from hydraulics.leaks.several import SeveralLeaks, localize_several
from hydraulics.network import NetworkModel
from hydraulics.paths import distance_along_pipes_m


def main() -> None:
    """Run the cases and print their figures."""
    options = arguments()
    model = read_network(options.network)
    sensors = [name for name in options.sensors.split(",") if name]
    sensors = sensors or marked_sensors(options.network)
    unknown = [name for name in sensors if name not in model.node_id]
    if unknown or not sensors:
        sys.exit(f"{options.network.name} has no node {unknown[0] if unknown else 'marked'}")
    several = run(options, model, sensors, options.leaks, options.n)
    singles = run(options, model, sensors, 1, options.singles)
    if not several and not singles:
        sys.exit(f"{options.network.name}: no case could be simulated")
    report(options, several, singles)


def arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", type=Path, required=True)
    parser.add_argument("--sensors", default="", help="node ids, by comma")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--leaks", type=int, default=2, help="leaks that run at once")
    parser.add_argument("--n", type=int, default=20, help="cases with so many leaks")
    parser.add_argument("--singles", type=int, help="cases with one leak; else as many")
    parser.add_argument("--most", type=int, default=4, help="most leaks that are looked for")
    parser.add_argument("--flow-ls", default="2,10", help="least and largest leak [L/s]")
    parser.add_argument("--demand-sigma", type=float, default=0.3)
    parser.add_argument("--hourly-sigma", type=float, default=0.3)
    parser.add_argument("--roughness", type=float, default=0.1, help="half width, relative")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--verbose", action="store_true", help="a line a case on standard error")
    parser.add_argument("--set", type=json.loads, default={}, help="settings of the run, as JSON")
    options = parser.parse_args()
    options.singles = options.n if options.singles is None else options.singles
    return options


def run(
    options: argparse.Namespace, model: NetworkModel, sensors: list[str], n_leaks: int, n: int
) -> list[dict[str, float]]:
    """Return the figures of `n` cases."""
    lines: list[dict[str, float]] = []
    world = world_of(options)
    tries = 0
    while len(lines) < n and tries < 3 * n:
        seed = options.seed * 100_003 + 50_000 * (n_leaks - 1) + tries
        tries += 1
        case = make_case(options.network, model, sensors, world, seed, n_leaks)
        if case is None:
            continue
        begun = time.process_time()
        found = localize_several(
            options.network,
            model,
            case.seen,
            most=options.most,
            seed=1,
            settings=LocalizeSettings(**options.set),
        )
        lines.append(score(model, case, found, time.process_time() - begun))
        if options.verbose:
            print(sentence(model, case, found, lines[-1]), file=sys.stderr, flush=True)
        else:
            print(f"{n_leaks} leaks: {len(lines)}/{n}", file=sys.stderr, flush=True)
    return lines


def world_of(options: argparse.Namespace) -> World:
    """Return how the truth differs from the model."""
    low, high = (float(part) / 1000.0 for part in options.flow_ls.split(","))
    unsure = Perturbation(
        demand_sigma=options.demand_sigma,
        hourly_sigma=options.hourly_sigma,
        day_sigma=0.03,
        roughness_half_width=options.roughness,
    )
    return World(flow_m3s=(low, high), perturbation=unsure)


def score(model: NetworkModel, case: Case, found: SeveralLeaks, seconds: float) -> dict[str, float]:
    """Return the figures of one case."""
    distance, of = assigned(model, case, found)
    n_found = len(found.leaks)
    holds = [
        column < n_found and one.link in zone(found.leaks[column], 0.9)
        for one, column in zip(case.leaks, of, strict=True)
    ]
    return {
        "worst_distance_m": max(distance),
        "n_within_300_m": float(sum(one <= NEAR_M for one in distance)),
        "n_found": float(n_found),
        "n_held_0.9": float(sum(holds)),
        "most_likely_number": float(found.number.max()),
        "seconds": seconds,
    }


def assigned(
    model: NetworkModel, case: Case, found: SeveralLeaks
) -> tuple[list[float], tuple[int, ...]]:
    """Return each true leak's distance to the found leak of its own, and which that is.

    A leak without one is infinitely far from a column past the last found one.
    """
    apart = np.full((len(case.leaks), max(len(found.leaks), len(case.leaks))), np.inf)
    for row, true in enumerate(case.leaks):
        for column, (one, at) in enumerate(zip(found.leaks, found.amid, strict=True)):
            near, place = int(one.link[at]), float(one.place[at])
            apart[row, column] = distance_along_pipes_m(model, near, place, true.link, true.place)
    every = permutations(range(apart.shape[1]), len(case.leaks))
    of = min(every, key=lambda columns: sorted(apart[range(len(columns)), columns])[::-1])
    distance = [float(apart[row, column]) for row, column in enumerate(of)]
    return distance, of


def sentence(model: NetworkModel, case: Case, found: SeveralLeaks, line: dict[str, float]) -> str:
    """Return one case on a line."""
    true = " + ".join(f"{model.link_id[one.link]} {one.flow_m3s * 1e3:.1f}" for one in case.leaks)
    said = " + ".join(
        f"{model.link_id[one.link[at]]} {one.flow_m3s[at] * 1e3:.1f}"
        for one, at in zip(found.leaks, found.amid, strict=True)
    )
    number = " ".join(f"{one:.2f}" for one in found.number)
    return (
        f"{true} L/s -> {said} L/s, worst {line['worst_distance_m']:.0f} m, "
        f"number {number}, {line['seconds']:.1f} s"
    )


def report(
    options: argparse.Namespace, several: list[dict[str, float]], singles: list[dict[str, float]]
) -> None:
    """Print the figures over all cases."""
    summary: dict[str, object] = {
        "network": options.network.name,
        "leaks": options.leaks,
        "n": len(several),
        **(figures(several, options.leaks) if several else {}),
    }
    if singles:
        summary["n_singles"] = len(singles)
        n_found = np.array([line["n_found"] for line in singles])
        seconds = np.array([line["seconds"] for line in singles])
        summary["singles_called_as_more"] = float((n_found > 1.0).mean())
        summary["singles_median_seconds"] = float(np.median(seconds))
    if options.json:
        print(json.dumps({**summary, "several": several, "singles": singles}))
        return
    for key, value in summary.items():
        print(f"{key:>30} {value:.4g}" if isinstance(value, float) else f"{key:>30} {value}")


def figures(several: list[dict[str, float]], n_leaks: int) -> dict[str, float]:
    """Return the figures over all cases with so many leaks."""
    of = {key: np.array([line[key] for line in several]) for key in several[0]}
    near, n_found = of["n_within_300_m"], of["n_found"]
    right, every = n_found == n_leaks, near == n_leaks
    at_least = {
        f"{n}_or_more_within_300_m": float((near >= n).mean()) for n in range(n_leaks - 1, 0, -1)
    }
    return {
        "all_within_300_m": float(every.mean()),
        **at_least,
        "leaks_within_300_m": float(near.mean() / n_leaks),
        "number_right": float(right.mean()),
        "all_within_300_m_and_no_other": float((every & right).mean()),
        "called_as_fewer": float((n_found < n_leaks).mean()),
        "called_as_more": float((n_found > n_leaks).mean()),
        "median_worst_distance_m": float(np.median(of["worst_distance_m"])),
        "coverage_0.9": float(of["n_held_0.9"].sum() / np.minimum(n_found, n_leaks).sum()),
        "median_seconds": float(np.median(of["seconds"])),
    }


if __name__ == "__main__":
    main()
