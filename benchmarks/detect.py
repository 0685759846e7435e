"""Say how often a watch calls a leak that is none, and how long it takes to call one that is.

Usage: benchmarks/detect [--network FILE.inp --sensors a,b,c] [--seed N] [--n N] [--json]

Each case is simulated: twelve days to calibrate on and ten that are watched, readings every 15
minutes, demands 30 % static, 10 % hourly and 3 % from day to day off the model, roughness 10 %,
0.02 m noise and 0.05 m bias. The kinds of case:

- leak-free: nothing happens;
- liar: one sensor's offset jumps by 0.3 m on the third watched day;
- gaps: one sensor is silent for three days, and all are for six hours;
- abrupt 1, 2 and 5 L/s: a leak opens on the third watched day, at a random place.

Leaks that grow are not simulated here; benchmarks/battledim tells their delays.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.leak_cases import (
    DAY_S,
    LTOWN_SENSORS,
    NEAR_M,
    UnknownSensorError,
    World,
    check_sensors,
    read,
    watch,
)
from hydraulics.epanet.reading import read_network
from hydraulics.epanet.scenario import Perturbation, PipeLeak, Scenario, run_scenario
from hydraulics.errors import HydraulicsError
from hydraulics.leaks.measurements import Measurements
from hydraulics.leaks.stream.stream import Happening, HappeningKind, LeakStream
from hydraulics.network import NetworkModel
from hydraulics.paths import distance_between_pipes_m

LTOWN = Path(__file__).resolve().parents[1] / "data" / "networks" / "ltown" / "network.inp"
N_CALIBRATION_DAYS, N_WATCHED_DAYS, BEGINS_DAY = 12, 10, 14
STEP_S = 900
UNSURE = Perturbation(demand_sigma=0.3, hourly_sigma=0.1, day_sigma=0.03, roughness_half_width=0.1)
LEAKS_M3S = {"abrupt 1 L/s": 1e-3, "abrupt 2 L/s": 2e-3, "abrupt 5 L/s": 5e-3}
KINDS = ("leak-free", "liar", "gaps", *LEAKS_M3S)


@dataclass(frozen=True)
class Outcome:
    """What a watch made of one case.

    Attributes:
        n_false: Calls farther than 300 m from any leak, or of none.
        delay_days: Days from the leak's beginning to the first call near it, NaN if there was none.
        n_liars: Sensors that were told to lie.
        is_liar_right: Whether the sensor that lies was told, and no other.
    """

    n_false: int
    delay_days: float
    n_liars: int
    is_liar_right: bool


def main() -> None:
    """Run the cases and print a table."""
    options = arguments()
    try:
        model = read_network(options.network)
        sensors = check_sensors(model, options.sensors, options.network.name)
        results = {kind: list(outcomes(options, model, sensors, kind)) for kind in KINDS}
    except (HydraulicsError, UnknownSensorError, OSError) as error:
        sys.exit(f"benchmarks/detect: {error}")
    figures = {kind: summary(lines, len(sensors)) for kind, lines in results.items()}
    if options.json:
        print(json.dumps({"network": options.network.name, "kinds": figures}))
        return
    print("| kind | cases | days watched | false calls | a sensor-year | called near | ", end="")
    print("median delay [d] | liars told |")
    print("|---|---|---|---|---|---|---|---|")
    for kind, one in figures.items():
        print(row(kind, one))


def arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", type=Path, default=LTOWN)
    parser.add_argument("--sensors", default=",".join(LTOWN_SENSORS), help="node ids, by comma")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--n", type=int, default=4, help="cases of each kind")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def outcomes(
    options: argparse.Namespace, model: NetworkModel, sensors: list[str], kind: str
) -> Iterator[Outcome]:
    """Yield what the watch made of each case of a kind."""
    for number in range(options.n):
        seed = options.seed * 100_003 + KINDS.index(kind) * 1_009 + number
        draw = np.random.default_rng(seed)
        leak = drawn_leak(model, kind, draw)
        seen = simulated(options.network, model, sensors, leak, seed)
        liar = int(draw.integers(len(sensors))) if kind in {"liar", "gaps"} else -1
        told = list(watched(options.network, model, disturbed(seen, kind, liar)))
        print(f"\r{kind}: {number + 1} of {options.n}  ", end="", file=sys.stderr, flush=True)
        yield judged(model, told, leak, liar if kind == "liar" else -1)
    print(file=sys.stderr)


def drawn_leak(model: NetworkModel, kind: str, draw: np.random.Generator) -> PipeLeak | None:
    """Return a leak at a random place, pipes in proportion to length; None for other kinds."""
    if kind not in LEAKS_M3S:
        return None
    pipes = np.flatnonzero(model.is_pipe & model.is_open & (model.length_m > 0))
    link = int(draw.choice(pipes, p=model.length_m[pipes] / model.length_m[pipes].sum()))
    place = float(draw.uniform(0.02, 0.98))
    return PipeLeak(model.link_id[link], place, LEAKS_M3S[kind], BEGINS_DAY * DAY_S)


def simulated(
    inp: Path, model: NetworkModel, sensors: list[str], leak: PipeLeak | None, seed: int
) -> Measurements:
    """Return the readings of a case."""
    scenario = Scenario(
        model_start_s=0,
        duration_s=(N_CALIBRATION_DAYS + N_WATCHED_DAYS) * DAY_S,
        seed=seed,
        step_s=STEP_S,
        warm_up_s=0,
        leaks=() if leak is None else (leak,),
        perturbation=UNSURE,
    )
    instruments = watch(model, sensors)
    with tempfile.TemporaryDirectory() as scratch:
        truth = run_scenario(inp, scenario, instruments, Path(scratch))
    world = World(nights=1, step_s=STEP_S, noise_m=0.02, bias_m=0.05)
    seen = read(model, instruments, truth, world, np.random.default_rng(seed))
    time_s = truth.time_s.astype(np.float64)
    return replace(seen, model_time_s=time_s, is_reference=time_s < N_CALIBRATION_DAYS * DAY_S)


def disturbed(seen: Measurements, kind: str, sensor: int) -> Measurements:
    """Return the readings with what a kind does to them."""
    pressure_m = seen.pressure_m.copy()
    day = seen.model_time_s / DAY_S
    if kind == "liar":
        pressure_m[day >= BEGINS_DAY, sensor] += 0.3
    if kind == "gaps":
        pressure_m[(day >= BEGINS_DAY) & (day < BEGINS_DAY + 3), sensor] = np.nan
        pressure_m[(day >= BEGINS_DAY + 1) & (day < BEGINS_DAY + 1.25)] = np.nan
    return replace(seen, pressure_m=pressure_m)


def watched(inp: Path, model: NetworkModel, seen: Measurements) -> Iterator[Happening]:
    """Yield what a watch tells of the days after the calibration."""
    stream = LeakStream(inp, model, seen)
    try:
        stream.begin()
        yield from stream.running(stream.n_calibration)
        for day in range(stream.n_calibration, stream.n_days):
            yield from stream.advance(day)
    finally:
        stream.close()


def judged(model: NetworkModel, told: list[Happening], leak: PipeLeak | None, liar: int) -> Outcome:
    """Compare what was told with what happened."""
    near, n_false = [], 0
    for one in told:
        if one.kind is not HappeningKind.CALL:
            continue
        true = None if leak is None else model.link_id.index(leak.pipe_id)
        is_near = true is not None and distance_between_pipes_m(model, one.link, true) <= NEAR_M
        if is_near and one.day >= BEGINS_DAY:
            near.append(one.day + 1 - BEGINS_DAY)
        else:
            n_false += 1
    liars = [one.sensor for one in told if one.kind is HappeningKind.SENSOR]
    delay_days = float(min(near)) if near else float("nan")
    return Outcome(n_false, delay_days, len(liars), set(liars) == ({liar} if liar >= 0 else set()))


def summary(lines: list[Outcome], n_sensors: int) -> dict[str, float | None]:
    """Return the figures of one kind."""
    n_days = len(lines) * N_WATCHED_DAYS
    delays = [one.delay_days for one in lines if np.isfinite(one.delay_days)]
    n_false = sum(one.n_false for one in lines)
    return {
        "cases": len(lines),
        "days": n_days,
        "false_calls": n_false,
        "false_calls_a_sensor_year": n_false / (n_days * n_sensors / 365.0),
        "called_near": len(delays),
        "median_delay_days": float(np.median(delays)) if delays else None,
        "liars_told": sum(one.n_liars for one in lines),
        "liars_right": sum(one.is_liar_right for one in lines),
    }


def row(kind: str, one: dict[str, float | None]) -> str:
    """Return one kind as a row of a table."""
    delay = "" if one["median_delay_days"] is None else f"{one['median_delay_days']:.1f}"
    near = f"{one['called_near']:.0f} of {one['cases']:.0f}" if "L/s" in kind else ""
    return (
        f"| {kind} | {one['cases']:.0f} | {one['days']:.0f} | {one['false_calls']:.0f} | "
        f"{one['false_calls_a_sensor_year']:.2f} | {near} | {delay} | "
        f"{one['liars_told']:.0f}, right in {one['liars_right']:.0f} |"
    )


if __name__ == "__main__":
    main()
