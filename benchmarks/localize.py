"""Localize simulated leaks in any network, and say how near and how sure the answers are.

Usage: benchmarks/localize --network FILE.inp --sensors a,b,c --seed N --n N [--nights N] [--json]

A case is two windows of `--nights` days: one without a leak, one with a leak at a random place of a
random pipe that carries water, its chance in proportion to length. The truth differs from the model
in demands (30 % static and hourly, 3 % from day to day), roughness (10 %) and sensors (0.05 m bias,
0.02 m noise, a reading each 15 minutes). Sources, pumps and tanks are metered, and so is what comes
in at a junction. Distances are along
pipes, from the most probable place to the true one. The walk is what a crew walks until the leak,
pipes in the order of their probability a metre: each before the true one, whole, and in the true
one from its likeliest place.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from dataclasses import fields
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.leak_cases import (
    Case,
    UnknownSensorError,
    World,
    check_sensors,
    make_case,
    score,
    summary,
)
from hydraulics.epanet.reading import read_network
from hydraulics.epanet.scenario import Perturbation
from hydraulics.errors import HydraulicsError
from hydraulics.leaks.localize import LocalizeSettings, localize
from hydraulics.leaks.measurements import Localization
from hydraulics.network import NetworkModel

MOST_TRIES = 10
MOST_IN_VAIN = 20
SETTINGS = {field.name for field in fields(LocalizeSettings)}


def main() -> None:
    """Run the cases and print their figures."""
    options = arguments()
    try:
        model = read_network(options.network)
        sensors = check_sensors(model, options.sensors, options.network.name)
    except (HydraulicsError, UnknownSensorError, OSError) as error:
        print(f"benchmarks/localize: {error}", file=sys.stderr)
        sys.exit(2)
    lines: list[dict[str, float]] = []
    for tries in range(MOST_TRIES * options.n):
        line = one(options, model, sensors, options.seed * 100_003 + tries)
        if line is not None:
            lines.append(line)
            print(f"\r{len(lines)} of {options.n}", end="", file=sys.stderr, flush=True)
        if len(lines) == options.n or (not lines and tries + 1 == MOST_IN_VAIN):
            break
    print(file=sys.stderr)
    if not lines:
        print(
            f"{options.network.name}: no case could be simulated; see above why. Smaller leaks"
            " (--flow-ls) or a file whose own run has pressure everywhere may do",
            file=sys.stderr,
        )
        sys.exit(1)
    report(options, lines)


def one(
    options: argparse.Namespace, model: NetworkModel, sensors: list[str], seed: int
) -> dict[str, float] | None:
    """Return the figures of one case, or None where EPANET cannot run it."""
    case = make_case(options.network, model, sensors, world(options), seed)
    if case is None:
        return None
    settings = LocalizeSettings(**options.set)
    begun = time.process_time()
    try:
        found = localize(options.network, model, case.seen, (), seed=1, settings=settings)
    except HydraulicsError as error:
        print(f"case {seed}: {error}", file=sys.stderr)
        return None
    line = score(model, case, found, time.process_time() - begun)
    if options.verbose:
        print(sentence(model, case, found, line), file=sys.stderr, flush=True)
    return line


def world(options: argparse.Namespace) -> World:
    """Return how the truth differs from the model."""
    low, high = options.flow_ls
    return World(
        flow_m3s=(low / 1000.0, high / 1000.0),
        nights=options.nights,
        perturbation=Perturbation(
            demand_sigma=options.demand_sigma,
            hourly_sigma=options.hourly_sigma,
            day_sigma=0.03,
            roughness_half_width=options.roughness,
        ),
    )


def arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", type=Path, required=True)
    parser.add_argument("--sensors", required=True, help="node ids, by comma")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--n", type=int, default=20)
    parser.add_argument("--nights", type=int, default=1, help="days without, and as many with")
    parser.add_argument(
        "--flow-ls", type=_two_flows, default=(2.0, 10.0), help="least and largest leak [L/s]"
    )
    parser.add_argument("--demand-sigma", type=float, default=0.3)
    parser.add_argument("--hourly-sigma", type=float, default=0.3)
    parser.add_argument("--roughness", type=float, default=0.1, help="half width, relative")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--verbose", action="store_true", help="a line a case on standard error")
    parser.add_argument("--set", type=_some_settings, default={}, help="settings, as JSON")
    options = parser.parse_args()
    if options.n < 1 or options.nights < 1:
        parser.error("--n and --nights are at least 1")
    if options.seed < 0:
        parser.error("--seed is at least 0")
    if not options.network.is_file():
        parser.error(f"--network {options.network}: no such file")
    return options


def _two_flows(text: str) -> tuple[float, float]:
    """Read the least and the largest leak [L/s]."""
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low, high = math.nan, math.nan
    if not 0.0 < low <= high < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not two flows by comma, such as 2,10")
    return low, high


def _some_settings(text: str) -> dict[str, object]:
    """Read settings of a run by their names."""
    try:
        chosen = json.loads(text)
    except json.JSONDecodeError:
        chosen = None
    if not isinstance(chosen, dict) or not chosen.keys() <= SETTINGS:
        names = ", ".join(sorted(SETTINGS - {"scales"}))
        raise argparse.ArgumentTypeError(
            f'{text!r} is not like {{"temper": 1.5}}; there are {names}'
        )
    return chosen


def sentence(model: NetworkModel, case: Case, found: Localization, line: dict[str, float]) -> str:
    """Return one case on a line."""
    return (
        f"\r{model.link_id[case.link]:>8} {case.flow_m3s * 1000:5.2f} L/s -> "
        f"{model.link_id[found.link[0]]:>8} {found.flow_m3s[0] * 1000:5.2f} L/s "
        f"p {found.probability[0]:.2f} {line['distance_m']:6.0f} m walk {line['walk_m']:6.0f} m "
        f"before {line['before']:.2f} zone90 {line['length_0.9']:6.0f} m "
        f"{'holds' if line['holds_0.9'] else 'MISSES'} out {line['left_out']:.0f} "
        f"{line['seconds']:.1f} s"
    )


def report(options: argparse.Namespace, lines: list[dict[str, float]]) -> None:
    """Print the figures over all cases."""
    figures: dict[str, object] = {
        "network": options.network.name,
        "n": len(lines),
        "nights": options.nights,
        **summary(lines),
    }
    if options.json:
        print(json.dumps({**figures, "cases": lines}))
        return
    for key, value in figures.items():
        print(f"{key:>20} {value:.4g}" if isinstance(value, float) else f"{key:>20} {value}")


if __name__ == "__main__":
    main()
