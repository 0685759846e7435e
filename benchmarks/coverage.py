"""Say whether zones hold what they promise, where the model is right and where it is not.

Usage: benchmarks/coverage [--network FILE.inp --sensors a,b,c] [--seed N] [--n N] [--json]

For each world, `--n` leaks are simulated as `benchmarks/localize` does, and the zones of 50, 80, 90
and 95 % are asked whether they hold the leaking pipe:

A zone is of whole pipes, so what they add up to is more than its level: that stands beside, in the
mean of all cases.

- realistic: demands 30 % static and hourly, 3 % from day to day, roughness 10 %, 0.02 m noise and
  0.05 m bias, as the method takes them to be or nearly so;
- misspecified: demands 60 % static and 45 % hourly, 6 % from day to day, roughness 30 %, and noise
  of 0.03 m that is forgotten only within hours, none of which the method is told;
- harsh: 0.05 m noise and 0.2 m bias, and half of the sensors, or one that drifts by 0.3 m, or a
  closed pipe that the model has open, or a second leak of 0.5 L/s of which nobody knows.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.leak_cases import (
    LEVELS,
    LTOWN_SENSORS,
    UnknownSensorError,
    World,
    check_sensors,
    make_case,
    score,
    summary,
    worlds,
)
from hydraulics.epanet.reading import read_network
from hydraulics.errors import HydraulicsError
from hydraulics.leaks.localize import LocalizeSettings, localize
from hydraulics.network import NetworkModel

LTOWN = Path(__file__).resolve().parents[1] / "data" / "networks" / "ltown" / "network.inp"
MOST_TRIES = 10


def main() -> None:
    """Run the worlds and print a table."""
    options = arguments()
    try:
        model = read_network(options.network)
        sensors = check_sensors(model, options.sensors, options.network.name)
    except (HydraulicsError, UnknownSensorError, OSError) as error:
        print(f"benchmarks/coverage: {error}", file=sys.stderr)
        sys.exit(2)
    low, high = (float(part) / 1000.0 for part in options.flow_ls.split(","))
    results = {}
    for name, world in worlds().items():
        if options.world and options.world not in name:
            continue
        lines = run(options, model, sensors, name, replace(world, flow_m3s=(low, high)))
        if lines:
            results[name] = {"n": len(lines), **summary(lines)}
            results[name]["before"] = [line["before"] for line in lines]
            if not options.json:
                print(row(name, results[name]), flush=True)
    if options.json:
        print(json.dumps({"network": options.network.name, "worlds": results}))


def run(
    options: argparse.Namespace, model: NetworkModel, sensors: list[str], name: str, world: World
) -> list[dict[str, float]]:
    """Return the figures of each case of one world."""
    lines: list[dict[str, float]] = []
    settings = LocalizeSettings(**options.set)
    for tries in range(MOST_TRIES * options.n):
        if len(lines) == options.n:
            break
        case = make_case(options.network, model, sensors, world, options.seed * 100_003 + tries)
        if case is None:
            continue
        begun = time.process_time()
        try:
            found = localize(options.network, model, case.seen, (), settings=settings)
        except HydraulicsError as error:
            print(f"{name}: {error}", file=sys.stderr)
            continue
        lines.append(score(model, case, found, time.process_time() - begun))
        print(f"\r{name}: {len(lines)} of {options.n}  ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return lines


def row(name: str, figures: dict[str, float]) -> str:
    """Return one world as a row of a table."""
    held, said = (
        " / ".join(f"{100 * figures[f'{what}_{level:g}']:.0f}" for level in LEVELS)
        for what in ("coverage", "said")
    )
    return (
        f"| {name} | {figures['n']:.0f} | {held} % | {said} % | {figures['median_zone90_m']:.0f} | "
        f"{figures['median_distance_m']:.0f} | {100 * figures['within_300_m']:.0f} % | "
        f"{100 * figures['outflow_range_holds']:.0f} % |"
    )


def arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", type=Path, default=LTOWN)
    parser.add_argument("--sensors", default=",".join(LTOWN_SENSORS), help="node ids, by comma")
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--n", type=int, default=40, help="cases in each world")
    parser.add_argument("--flow-ls", default="2,10", help="least and largest leak [L/s]")
    parser.add_argument("--world", help="only those with this in their name")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--set", type=json.loads, default={}, help="settings of the run, as JSON")
    options = parser.parse_args()
    if not options.network.exists():
        parser.error(f"--network {options.network}: no such file")
    if not options.json:
        print("| world | n | 50 / 80 / 90 / 95 % zones hold | and add up to |", end="")
        print(" median 90 % zone [m] | median distance [m] | within 300 m |", end="")
        print(" 90 % outflow range holds |")
        print("|---|---|---|---|---|---|---|---|")
    return options


if __name__ == "__main__":
    main()
