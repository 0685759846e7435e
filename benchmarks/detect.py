"""Say how often a watch calls a leak that is none, and how long it takes to call one that is.

Usage: benchmarks/detect [--network FILE.inp --sensors a,b,c] [--seed N] [--n N] [--years N]
                         [--rate R] [--kinds a,b,c] [--onsets] [--json]

Each case is simulated: twelve days to calibrate on and ten that are watched (22 where a leak
grows), readings every 15 minutes, demands 30 % static, 10 % hourly and 3 % from day to day off the
model, roughness 10 %, 0.02 m noise and 0.05 m bias. Nobody is metered but sources, pumps and
tanks. From the third watched day on:

- leak-free: nothing happens;
- surge: all users take 30 % more for 24 hours, from a random hour on;
- large user: one of the ten largest takes twice as much for 24 hours;
- holiday: a weekday is lived as a Sunday, two hours later;
- pumps: pumps run at night instead of by the tank's level, as the file says;
- gaps: one sensor is silent for three days, and all are for six hours;
- offset, drift, stuck: one sensor reads 0.3 m more, or 0.05 m more each day, or stands still;
- abrupt 1, 2, 5 L/s: a leak opens at a random place;
- incipient 1, 2, 5 L/s: one grows evenly over ten days.

`--years` adds leak-free years, one case each, whose calls are held against the rate that was set.
`--onsets` asks `twin leak detect`'s search instead of a watch: it tells one onset and no place, and
one from the third watched day on is of the leak.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.stats import chi2

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.detect_world import GrowingLeak, Plan, Surge, behind_tanks, run_world
from benchmarks.leak_cases import (
    DAY_S,
    LTOWN_SENSORS,
    NEAR_M,
    UnknownSensorError,
    check_sensors,
    read,
    watch,
)
from benchmarks.leak_cases import World as Errors
from hydraulics.epanet.reading import read_network
from hydraulics.errors import HydraulicsError
from hydraulics.leaks.detect import DetectSettings, detect
from hydraulics.leaks.measurements import Measurements
from hydraulics.leaks.stream.settings import StreamSettings
from hydraulics.leaks.stream.stream import Happening, HappeningKind, LeakStream
from hydraulics.network import FloatArray, NetworkModel
from hydraulics.paths import distance_between_pipes_m

LTOWN = Path(__file__).resolve().parents[1] / "data" / "networks" / "ltown" / "network.inp"
N_CALIBRATION_DAYS, BEGINS_DAY = 12, 14
N_WATCHED_DAYS, N_GROWING_DAYS, N_YEAR_DAYS = 10, 22, 365
SILENT_DAYS, ALL_SILENT_DAYS = 3, 0.25
STEP_S = 900
N_LARGEST, NOWHERE = 10, -1
YEAR = "leak-free year"
LIARS = ("offset", "drift", "stuck")
LEAKS_M3S = {
    f"{how} {litres} L/s": (litres * 1e-3, grows_days)
    for how, grows_days in (("abrupt", 0.0), ("incipient", 10.0))
    for litres in (1, 2, 5)
}
KINDS = ("leak-free", "surge", "large user", "holiday", "pumps", "gaps", *LIARS, *LEAKS_M3S, YEAR)


@dataclass(frozen=True)
class Outcome:
    """What a watch made of one case.

    Attributes:
        n_days: Days that were watched.
        is_leak: Whether something leaked.
        n_false: Calls farther than 300 m from any leak, or of none.
        delay_days: Days from the leak's beginning to the first call near it, NaN if there was none.
        is_behind: Whether the leak lies where only a tank feeds, and no customer is metered.
        n_liars: Sensors that were told to lie.
        is_liar_right: Whether the sensor that lies was told, and no other.
        evidence: ln-likelihood that a leak had to gain.
    """

    n_days: int
    is_leak: bool
    n_false: int
    delay_days: float
    is_behind: bool
    n_liars: int
    is_liar_right: bool
    evidence: float


@dataclass(frozen=True)
class Case:
    """One case before it is watched.

    Attributes:
        kind: What happens in it.
        seed: Of all that is drawn.
        plan: What happens in the network.
        sensor: Which sensor lies or is silent, -1 for none.
    """

    kind: str
    seed: int
    plan: Plan
    sensor: int

    @property
    def leak(self) -> GrowingLeak | None:
        """The leak, None where nothing leaks."""
        return self.plan.leaks[0] if self.plan.leaks else None


def main() -> None:
    """Run the cases and print a table."""
    options = arguments()
    try:
        model = read_network(options.network)
        sensors = check_sensors(model, options.sensors, options.network.name)
        results = {kind: list(outcomes(options, model, sensors, kind)) for kind in kinds(options)}
    except (HydraulicsError, UnknownSensorError, OSError) as error:
        sys.exit(f"benchmarks/detect: {error}")
    figures = {kind: summary(lines, len(sensors)) for kind, lines in results.items() if lines}
    rates = rate(options.rate, [one for lines in results.values() for one in lines])
    if options.json:
        print(json.dumps({"network": options.network.name, "kinds": figures, "rate": rates}))
        return
    print("| kind | cases | days | false calls | a sensor-year | near | missed | ", end="")
    print("behind the tank | median delay [d] | liars told |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for kind, one in figures.items():
        print(row(kind, one))
    print(f"\n{sentence(rates)}")


def arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", type=Path, default=LTOWN)
    parser.add_argument("--sensors", default=",".join(LTOWN_SENSORS), help="node ids, by comma")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--n", type=int, default=3, help="cases of each kind")
    parser.add_argument("--years", type=int, default=0, help="leak-free years")
    parser.add_argument("--rate", type=float, default=StreamSettings().false_alarms_per_year)
    parser.add_argument("--kinds", default=",".join(KINDS), help="which kinds, by comma")
    parser.add_argument("--onsets", action="store_true", help="ask for onsets, without a place")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    unknown = set(options.kinds.split(",")) - set(KINDS)
    if unknown:
        parser.error(f"no kind {min(unknown)!r}; there are {', '.join(KINDS)}")
    if not options.rate > 0:
        parser.error("--rate must be above 0")
    return options


def kinds(options: argparse.Namespace) -> list[str]:
    """Return the kinds to run, in the table's order."""
    return [kind for kind in KINDS if kind in options.kinds.split(",")]


def outcomes(
    options: argparse.Namespace, model: NetworkModel, sensors: list[str], kind: str
) -> Iterator[Outcome]:
    """Yield what the watch made of each case of a kind."""
    n_cases = options.years if kind == YEAR else options.n
    for number in range(n_cases):
        case = make_case(model, kind, len(sensors), seed_of(options.seed, kind, number))
        seen = disturbed(simulated(options.network, model, sensors, case), case)
        ask = onsets if options.onsets else watched
        yield judged(model, case, *ask(options.network, model, seen, options.rate))
        print(f"\r{kind}: {number + 1} of {n_cases}  ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def seed_of(seed: int, kind: str, number: int) -> int:
    """Return the seed of one case."""
    return seed * 100_003 + KINDS.index(kind) * 1_009 + number


def make_case(model: NetworkModel, kind: str, n_sensors: int, seed: int) -> Case:
    """Return what happens in a case."""
    draw = np.random.default_rng(seed)
    begins_s = float(BEGINS_DAY * DAY_S)
    n_watched = N_YEAR_DAYS if kind == YEAR else N_WATCHED_DAYS
    n_watched = N_GROWING_DAYS if kind.startswith("incipient") else n_watched
    plan = Plan(N_CALIBRATION_DAYS + n_watched, STEP_S, seed)
    sensor = -1
    if kind in LEAKS_M3S:
        plan = replace(plan, leaks=(drawn_leak(model, *LEAKS_M3S[kind], draw),))
    elif kind in {"surge", "large user"}:
        plan = replace(plan, surges=(drawn_surge(model, kind, draw),))
    elif kind == "holiday":
        plan = replace(plan, holidays=frozenset({BEGINS_DAY + int(draw.integers(5))}))
    elif kind == "pumps":
        plan = replace(plan, night_pumps_s=begins_s)
    elif kind in {*LIARS, "gaps"}:
        sensor = int(draw.integers(n_sensors))
    return Case(kind, seed, plan, sensor)


def drawn_leak(
    model: NetworkModel, flow_m3s: float, grows_days: float, draw: np.random.Generator
) -> GrowingLeak:
    """Return a leak at a random place, pipes in proportion to length."""
    pipes = np.flatnonzero(model.is_pipe & model.is_open & (model.length_m > 0))
    link = int(draw.choice(pipes, p=model.length_m[pipes] / model.length_m[pipes].sum()))
    place, start_s = float(draw.uniform(0.02, 0.98)), float(BEGINS_DAY * DAY_S)
    return GrowingLeak(link, place, flow_m3s, start_s, start_s + grows_days * DAY_S)


def drawn_surge(model: NetworkModel, kind: str, draw: np.random.Generator) -> Surge:
    """Return a day on which all users, or one of the largest, take more."""
    start_s = float(BEGINS_DAY * DAY_S + 3_600 * draw.integers(24))
    if kind == "surge":
        return Surge(1.3, start_s, start_s + DAY_S)
    node = int(draw.choice(np.argsort(-model.base_demand_m3s)[:N_LARGEST]))
    return Surge(2.0, start_s, start_s + DAY_S, node)


def simulated(inp: Path, model: NetworkModel, sensors: list[str], case: Case) -> Measurements:
    """Return the readings of a case, as true instruments give them but for bias and noise."""
    instruments = watch(model, sensors)
    truth = run_world(inp, model, case.plan, instruments, ()).truth
    errors = Errors(nights=1, step_s=STEP_S, noise_m=0.02, bias_m=0.05)
    seen = read(model, instruments, truth, errors, np.random.default_rng(case.seed))
    time_s = truth.time_s.astype(np.float64)
    return replace(seen, model_time_s=time_s, is_reference=time_s < N_CALIBRATION_DAYS * DAY_S)


def disturbed(seen: Measurements, case: Case) -> Measurements:
    """Return the readings with what a kind does to them."""
    pressure_m = seen.pressure_m.copy()
    since = seen.model_time_s / DAY_S - BEGINS_DAY
    if case.kind in LIARS:
        pressure_m[:, case.sensor] = lied(pressure_m[:, case.sensor], since, case.kind)
    if case.kind == "gaps":
        pressure_m[(since >= 0) & (since < SILENT_DAYS), case.sensor] = np.nan
        pressure_m[(since >= 1) & (since < 1 + ALL_SILENT_DAYS)] = np.nan
    return replace(seen, pressure_m=pressure_m)


def lied(pressure_m: FloatArray, since: FloatArray, how: str) -> FloatArray:
    """Return what a sensor reads that lies from day 0 of `since` on, shape (n_times,)."""
    if how == "offset":
        return np.where(since >= 0, pressure_m + 0.3, pressure_m)
    if how == "drift":
        return pressure_m + 0.05 * np.maximum(since, 0.0)
    return np.where(since >= 0, pressure_m[int(np.searchsorted(since, 0.0))], pressure_m)


def watched(
    inp: Path, model: NetworkModel, seen: Measurements, rate_a_year: float
) -> tuple[list[Happening], float]:
    """Return what a watch tells of the days after the calibration, and its threshold."""
    settings = StreamSettings(false_alarms_per_year=rate_a_year)
    stream = LeakStream(inp, model, seen, settings=settings)
    try:
        stream.begin()
        evidence, told = stream.evidence, stream.running(stream.n_calibration)
        for day in range(stream.n_calibration, stream.n_days):
            told += stream.advance(day)
    finally:
        stream.close()
    return told, evidence


def onsets(
    inp: Path, model: NetworkModel, seen: Measurements, rate_a_year: float
) -> tuple[list[Happening], float]:
    """Return the onset that a search tells as a call without a place; no threshold is known."""
    settings = DetectSettings(false_alarms_per_year=rate_a_year)
    day = (seen.model_time_s // DAY_S).astype(np.int64)
    return [
        Happening(HappeningKind.CALL, int(day[one.seen_row]), NOWHERE, 0.0, 0.0, int(day[one.row]))
        for one in detect(inp, model, seen, settings=settings)
    ], float("nan")


def judged(model: NetworkModel, case: Case, told: list[Happening], evidence: float) -> Outcome:
    """Compare what was told with what happened."""
    calls = [one for one in told if one.kind is HappeningKind.CALL]
    near = [one.day + 1 - BEGINS_DAY for one in calls if is_hit(model, case.leak, one)]
    liars = {one.sensor for one in told if one.kind is HappeningKind.SENSOR}
    lying = {case.sensor} if case.kind in LIARS else set()
    return Outcome(
        n_days=case.plan.n_days - N_CALIBRATION_DAYS,
        is_leak=case.leak is not None,
        n_false=len(calls) - len(near),
        delay_days=float(min(near)) if near else float("nan"),
        is_behind=case.leak is not None and bool(behind_tanks(model)[model.start[case.leak.link]]),
        n_liars=len(liars),
        is_liar_right=liars == lying,
        evidence=evidence,
    )


def is_hit(model: NetworkModel, leak: GrowingLeak | None, call: Happening) -> bool:
    """Whether a call is of a leak that runs, within 300 m."""
    if leak is None or call.day < BEGINS_DAY:
        return False
    if call.link == NOWHERE:
        return True
    return distance_between_pipes_m(model, call.link, leak.link) <= NEAR_M


def summary(lines: list[Outcome], n_sensors: int) -> dict[str, float | None]:
    """Return the figures of one kind."""
    n_days = sum(one.n_days for one in lines)
    delays = [one.delay_days for one in lines if np.isfinite(one.delay_days)]
    missed = [one for one in lines if not np.isfinite(one.delay_days)]
    n_false = sum(one.n_false for one in lines)
    return {
        "cases": len(lines),
        "days": n_days,
        "false_calls": n_false,
        "false_calls_a_sensor_year": n_false / (n_days * n_sensors / 365.0),
        "called_near": len(delays),
        "missed": len(missed),
        "missed_behind_the_tank": sum(one.is_behind for one in missed),
        "median_delay_days": float(np.median(delays)) if delays else None,
        "liars_told": sum(one.n_liars for one in lines),
        "liars_right": sum(one.is_liar_right for one in lines),
    }


def rate(asked: float, lines: list[Outcome]) -> dict[str, float]:
    """Return the rate that was set and the one that was measured where nothing leaks.

    `at_most` is the upper end of the one-sided 95 % interval of a Poisson process.
    """
    calm = [one for one in lines if not one.is_leak]
    years = sum(one.n_days for one in calm) / 365.0
    n_false = sum(one.n_false for one in calm)
    return {
        "set": asked,
        "evidence": float(np.median([one.evidence for one in lines])) if lines else float("nan"),
        "years": years,
        "false_calls": n_false,
        "measured": n_false / years if years else float("nan"),
        "at_most": float(chi2.ppf(0.95, 2 * n_false + 2)) / 2.0 / years if years else float("nan"),
    }


def sentence(rates: dict[str, float]) -> str:
    """Return the rate that was set beside the one that was measured, where one was."""
    gain = f", a gain of {rates['evidence']:.1f}" if np.isfinite(rates["evidence"]) else ""
    text = f"Set: {rates['set']:g} false alarms a year{gain}."
    if not rates["years"]:
        return f"{text} Nothing without a leak was watched."
    return (
        f"{text} Measured: {rates['false_calls']:.0f} calls in {rates['years']:.2f} years without "
        f"a leak, {rates['measured']:.2f} a year, at most {rates['at_most']:.1f} (95 %)."
    )


def row(kind: str, one: dict[str, float | None]) -> str:
    """Return one kind as a row of a table."""
    is_leak = kind in LEAKS_M3S
    delay = "" if one["median_delay_days"] is None else f"{one['median_delay_days']:.1f}"
    near = f"{one['called_near']:.0f} of {one['cases']:.0f}" if is_leak else ""
    missed = f"{one['missed']:.0f}" if is_leak else ""
    behind = f"{one['missed_behind_the_tank']:.0f}" if is_leak else ""
    return (
        f"| {kind} | {one['cases']:.0f} | {one['days']:.0f} | {one['false_calls']:.0f} | "
        f"{one['false_calls_a_sensor_year']:.2f} | {near} | {missed} | {behind} | {delay} | "
        f"{one['liars_told']:.0f}, right in {one['liars_right']:.0f} |"
    )


if __name__ == "__main__":
    main()
