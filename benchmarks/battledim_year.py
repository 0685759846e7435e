"""Make up a BattLeDIM year: L-Town with random leaks, in the files that benchmarks/battledim reads.

Usage: benchmarks/battledim-year --network L-TOWN.inp --out DIR [--seed N] [--year Y] [--days N]
                                 [--leaks N]

A year that nobody has looked at is a check that no settings were chosen on. Demands are 30 %
static, 10 % hourly and 3 % from day to day off the file, roughness 10 %; pressures have 0.01 m of
noise and two decimals, flows 0.5 % of noise; users behind the tank are metered. Half of the leaks
open at once, half grow over 10 to 90 days; they lose 0.5 to 8 L/s, and two of three are repaired
after 10 to 60 days at full size. DIR then holds `pressures.parquet` and so on, `leakages.parquet`
and `leak_truth.csv`.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.battledim_files import LH, M3H, MODEL_START, FloatArray
from benchmarks.battledim_score import DISCHARGE, GRAVITY_MS2
from benchmarks.detect_world import DAY_S, GrowingLeak, Plan, Run, behind_tanks, run_world
from benchmarks.leak_cases import LTOWN_SENSORS, watch
from hydraulics.epanet.reading import read_network
from hydraulics.errors import HydraulicsError
from hydraulics.network import NetworkModel

STEP_S = 300
NOISE_M, NOISE_SHARE, DECIMALS = 0.01, 0.005, 2
FLOWS_M3S = (0.5e-3, 8e-3)
GROWS_DAYS, STAYS_DAYS = (10.0, 90.0), (10.0, 60.0)
REPAIRED = 2.0 / 3.0
USUAL_M = 50.0
"""Pressure at which a leak's diameter is told."""


def main() -> None:
    """Simulate and write the year."""
    options = arguments()
    try:
        model = read_network(options.network)
        plan = make_plan(model, options)
        users = metered_users(model)
        run = run_world(options.network, model, plan, watch(model, LTOWN_SENSORS), users)
        options.out.mkdir(parents=True, exist_ok=True)
        write_year(options.out, model, plan, run, users)
    except (HydraulicsError, OSError) as error:
        sys.exit(f"benchmarks/battledim-year: {error}")
    print(f"written: {options.out}", file=sys.stderr)


def arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", type=Path, required=True, metavar="L-TOWN.inp")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--year", type=int, default=2021)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--leaks", type=int, default=14)
    return parser.parse_args()


def make_plan(model: NetworkModel, options: argparse.Namespace) -> Plan:
    """Return what happens: leaks at random pipes and times, none twice in a pipe."""
    draw = np.random.default_rng(options.seed)
    pipes = np.flatnonzero(model.is_pipe & model.is_open & (model.length_m > 0))
    chance = model.length_m[pipes] / model.length_m[pipes].sum()
    links = draw.choice(pipes, options.leaks, replace=False, p=chance)
    leaks = [drawn_leak(int(link), number, options.days, draw) for number, link in enumerate(links)]
    start_day = int((first_row(options.year) - MODEL_START) / np.timedelta64(1, "D"))
    return Plan(options.days, STEP_S, options.seed, leaks=tuple(leaks), start_day=start_day)


def first_row(year: int) -> np.datetime64:
    """Return the first instant of a year."""
    return np.datetime64(f"{year:04d}-01-01T00:00:00", "s")


def drawn_leak(link: int, number: int, n_days: int, draw: np.random.Generator) -> GrowingLeak:
    """Return a leak in a pipe; those of odd numbers grow."""
    start_s = STEP_S * float(draw.integers(n_days * DAY_S // STEP_S))
    grows_days = float(draw.uniform(*GROWS_DAYS)) if number % 2 else 0.0
    peak_s = start_s + STEP_S * round(grows_days * DAY_S / STEP_S)
    stays_s = STEP_S * round(float(draw.uniform(*STAYS_DAYS)) * DAY_S / STEP_S)
    end_s = peak_s + stays_s if draw.uniform() < REPAIRED else float("inf")
    flow_m3s = float(np.exp(draw.uniform(*np.log(FLOWS_M3S))))
    return GrowingLeak(link, float(draw.uniform(0.02, 0.98)), flow_m3s, start_s, peak_s, end_s)


def metered_users(model: NetworkModel) -> list[int]:
    """Return the users behind the tank."""
    return [int(node) for node in np.flatnonzero(behind_tanks(model) & (model.base_demand_m3s > 0))]


def write_year(folder: Path, model: NetworkModel, plan: Plan, run: Run, users: list[int]) -> None:
    """Write what was read and what leaked."""
    draw, instruments = np.random.default_rng(plan.seed + 1), watch(model, LTOWN_SENSORS)
    truth = run.truth
    pressure_m = truth.pressure_m + draw.normal(0.0, NOISE_M, truth.pressure_m.shape)
    flow = truth.flow_m3s * (1.0 + draw.normal(0.0, NOISE_SHARE, truth.flow_m3s.shape))
    pipes = [model.link_id[leak.link] for leak in plan.leaks]
    year = (MODEL_START + np.timedelta64(plan.start_day, "D")).astype("datetime64[Y]").astype(int)
    start = first_row(1970 + int(year))
    for kind, names, values in (
        ("pressures", instruments.pressure_nodes, pressure_m),
        ("flows", instruments.flow_links, flow * M3H),
        ("levels", instruments.level_tanks, truth.level_m),
        ("demands", [model.node_id[node] for node in users], run.demand_m3s * LH),
        ("leakages", pipes, truth.leak_m3s * M3H),
    ):
        write_table(folder / f"{kind}.parquet", start, list(names), values)
    write_truth(folder / "leak_truth.csv", model, plan, start)


def write_table(path: Path, start: np.datetime64, names: list[str], values: FloatArray) -> None:
    """Write columns over times every five minutes, with two decimals."""
    import pandas as pd  # noqa: PLC0415  # a second to import, which --help need not wait for

    time = pd.date_range(start, periods=len(values), freq=f"{STEP_S}s", name="Timestamp")
    pd.DataFrame(np.round(values, DECIMALS), time, names).to_parquet(path)


def write_truth(path: Path, model: NetworkModel, plan: Plan, start: np.datetime64) -> None:
    """Write each leak as BattLeDIM tells it; one that is not repaired ends with the last row."""
    last_s = plan.n_days * DAY_S - STEP_S
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["link", "start", "end", "diameter_m", "type", "peak"])
        for leak in plan.leaks:
            moments = (leak.start_s, min(leak.end_s, last_s), min(leak.peak_s, leak.end_s, last_s))
            begins, ends, peaks = (spelled(start, moment_s) for moment_s in moments)
            kind = "incipient" if leak.peak_s > leak.start_s else "abrupt"
            width = f"{diameter_m(leak.flow_m3s):.5f}"
            rows.writerow([model.link_id[leak.link], begins, ends, width, kind, peaks])


def spelled(start: np.datetime64, after_s: float) -> str:
    """Return a moment as `2021-03-05 15:45:00`."""
    return str(start + np.timedelta64(int(after_s), "s")).replace("T", " ")


def diameter_m(flow_m3s: float) -> float:
    """Return the round hole that loses so much at a usual pressure [m].

    Source:
        BattLeDIM 2020, data set: Q = Cd A sqrt(2 g p), Cd 0.75.
    """
    area_m2 = flow_m3s / (DISCHARGE * np.sqrt(2.0 * GRAVITY_MS2 * USUAL_M))
    return float(np.sqrt(4.0 * area_m2 / np.pi))


if __name__ == "__main__":
    main()
