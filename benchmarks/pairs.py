"""Localize two simulated leaks that run at once, when nobody says how many there are.

Usage: benchmarks/pairs --network FILE.inp --sensors a,b,c --seed N --n N [--json]

A case is two days: one without a leak, one with two leaks at random places of random pipes. The
truth differs from the model as it does in `localize`. Without --sensors, those are taken that the
file's comments mark as pressure sensors. As many cases with a single leak say how often one leak
is taken for more. Found leaks are assigned to true ones so that the worse distance is shortest.
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

from cases import Case, make_case, marked_sensors
from localize import NEAR_M

from hydraulics.epanet.reading import read_network
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
    pairs = run(options, model, sensors, 2, options.n)
    singles = run(options, model, sensors, 1, options.singles)
    if not pairs:
        sys.exit(f"{options.network.name}: no case could be simulated")
    report(options, pairs, singles)


def arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", type=Path, required=True)
    parser.add_argument("--sensors", default="", help="node ids, by comma")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--n", type=int, default=20, help="cases with two leaks")
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
    tries = 0
    while len(lines) < n and tries < 3 * n:
        seed = options.seed * 100_003 + 50_000 * (n_leaks - 1) + tries
        tries += 1
        case = make_case(options, model, sensors, seed, n_leaks)
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
        for column, one in enumerate(found.leaks):
            near, place = int(one.link[0]), float(one.place[0])
            apart[row, column] = distance_along_pipes_m(model, near, place, true.link, true.place)
    every = permutations(range(apart.shape[1]), len(case.leaks))
    of = min(every, key=lambda columns: sorted(apart[range(len(columns)), columns])[::-1])
    distance = [float(apart[row, column]) for row, column in enumerate(of)]
    return distance, of


def sentence(model: NetworkModel, case: Case, found: SeveralLeaks, line: dict[str, float]) -> str:
    """Return one case on a line."""
    true = " + ".join(f"{model.link_id[one.link]} {one.flow_m3s * 1e3:.1f}" for one in case.leaks)
    said = " + ".join(
        f"{model.link_id[one.link[0]]} {one.flow_m3s[0] * 1e3:.1f}" for one in found.leaks
    )
    number = " ".join(f"{one:.2f}" for one in found.number)
    return (
        f"{true} L/s -> {said} L/s, worst {line['worst_distance_m']:.0f} m, "
        f"number {number}, {line['seconds']:.1f} s"
    )


def report(
    options: argparse.Namespace, pairs: list[dict[str, float]], singles: list[dict[str, float]]
) -> None:
    """Print the figures over all cases."""
    of = {key: np.array([line[key] for line in pairs]) for key in pairs[0]}
    both = of["n_within_300_m"] == 2.0  # noqa: PLR2004 - a pair
    right = of["n_found"] == 2.0  # noqa: PLR2004 - a pair
    summary: dict[str, object] = {
        "network": options.network.name,
        "n_pairs": len(pairs),
        "both_within_300_m": float(both.mean()),
        "one_within_300_m": float((of["n_within_300_m"] >= 1.0).mean()),
        "number_right": float(right.mean()),
        "both_within_300_m_and_no_other": float((both & right).mean()),
        "called_as_one": float((of["n_found"] < 2.0).mean()),  # noqa: PLR2004 - a pair
        "median_worst_distance_m": float(np.median(of["worst_distance_m"])),
        "coverage_0.9": float(of["n_held_0.9"].sum() / np.minimum(of["n_found"], 2.0).sum()),
        "median_seconds": float(np.median(of["seconds"])),
        "n_singles": len(singles),
    }
    if singles:
        n_found = np.array([line["n_found"] for line in singles])
        seconds = np.array([line["seconds"] for line in singles])
        summary["singles_called_as_more"] = float((n_found > 1.0).mean())
        summary["singles_median_seconds"] = float(np.median(seconds))
    if options.json:
        print(json.dumps({**summary, "pairs": pairs, "singles": singles}))
        return
    for key, value in summary.items():
        print(f"{key:>31} {value:.4g}" if isinstance(value, float) else f"{key:>31} {value}")


if __name__ == "__main__":
    main()
