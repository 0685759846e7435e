"""Score calls on a BattLeDIM year after the competition's rule.

Usage: benchmarks/battledim-score --data DIR --truth leak_truth.csv [--calls calls.csv] [--json]

A call hits a leak when its time lies within the leak's start and end, both included, and its pipe
within 300 m: the shortest way along pipes between the nearest ends of both, plus half of both
lengths; 0 on the same pipe. A hit earns EUR 0.80 for each m³ still to be lost from then on, less
EUR 500 x distance / 300 m. Calls are taken in order of time:

- of several leaks in reach, the nearest that no earlier call has found is hit;
- a call whose leaks in reach were all found before earns and costs nothing: a repeated call;
- a call with no leak in reach is false and costs EUR 500;
- a call before the year's first row is left out, as 2018's were.

A pump or a valve is no way: the competition's program gives them length 0, which its graph drops.
Water is counted from the row of the call; that program begins one row (five minutes) earlier. A
leak that ran before the year began has its delay counted from the year's first row.

Source:
    BattLeDIM 2020, rules and scoring program of the organizers (KIOS-Research/BattLeDIM,
    `Scoring_Algorithm.m`, `scoring_function.m`, `nodeTopologicalDistance.m`).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import dijkstra

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.battledim_files import (
    STEP,
    BadFileError,
    Table,
    TrueLeak,
    Year,
    find_beside,
    leaks_within,
    parse_number,
    parse_time,
    read_rows,
    read_truth,
    read_year,
)
from hydraulics.epanet.reading import read_network
from hydraulics.errors import HydraulicsError
from hydraulics.network import NetworkModel
from hydraulics.paths import walking_graph

FloatArray = NDArray[np.float64]

NEAR_M = 300.0
EUR_PER_M3 = 0.8
CREW_EUR = 500.0
MOST_FALSE = 7
"""Above so many false calls no EUR are compared."""
STEP_S = 300.0
DISCHARGE = 0.75
GRAVITY_MS2 = 9.81
_DAY = np.timedelta64(86_400, "s")

PUBLISHED = (
    ("Tongji", 13, 3, 264_873.0),
    ("Under Pressure (dual model)", 15, 4, 260_562.0),
    ("IRI", 10, 1, 210_772.0),
    ("Leakbusters (early LILA)", 11, 7, 195_490.0),
    ("perfect", 23, 0, 523_154.0),
)
"""Name, hits of 23, false calls and EUR of teams on the original 2019, not on a surrogate."""


class Outcome(StrEnum):
    """What became of a call."""

    HIT = "hit"
    REPEATED = "repeated"
    FALSE = "false"
    EARLY = "early"


class UnknownPipeError(Exception):
    """A call or a leak names a pipe that the network does not have."""

    def __init__(self, pipe_id: str) -> None:
        super().__init__(pipe_id)
        self.pipe_id = pipe_id

    def __str__(self) -> str:
        return f"the network has no pipe {self.pipe_id}"


@dataclass(frozen=True)
class Call:
    """A place to which a crew is sent, and when; what is not known of it is NaN."""

    called_at: np.datetime64
    pipe_id: str
    flow_m3s: float = np.nan
    probability: float = np.nan


@dataclass(frozen=True)
class ScoredCall:
    """A call, what became of it, and the leak it reached; EUR are what it adds."""

    call: Call
    outcome: Outcome
    euro: float
    leak: TrueLeak | None = None
    distance_m: float = np.nan


@dataclass(frozen=True)
class LeakLine:
    """What became of a leak: `hit` is the call that found it; EUR 0 where none did."""

    leak: TrueLeak
    hit: ScoredCall | None
    delay_s: float
    water_m3: float

    @property
    def euro(self) -> float:
        """What the call that found it earned."""
        return 0.0 if self.hit is None else self.hit.euro


@dataclass(frozen=True)
class Score:
    """Every call in order of time, every leak in order of the truth, and their sums."""

    calls: tuple[ScoredCall, ...]
    leaks: tuple[LeakLine, ...]

    def count(self, outcome: Outcome) -> int:
        """Return how many calls came out so."""
        return sum(one.outcome is outcome for one in self.calls)

    @property
    def euro(self) -> float:
        """The sum over all calls."""
        return float(sum(one.euro for one in self.calls))

    @property
    def mean_delay_s(self) -> float:
        """The mean over the leaks found; NaN where none was."""
        return _mean([one.delay_s for one in self.leaks if one.hit])

    @property
    def mean_distance_m(self) -> float:
        """The mean over the leaks found; NaN where none was."""
        return _mean([one.hit.distance_m for one in self.leaks if one.hit])


def score(
    calls: Sequence[Call], leaks: Sequence[TrueLeak], flows: Table, model: NetworkModel
) -> Score:
    """Return what calls earn.

    Args:
        calls: In any order.
        leaks: The truth; those that do not run within the times of `flows` do not count.
        flows: What each leak lost [m³/s], a column a leak, on the year's grid of five minutes.
        model: The network.

    Raises:
        UnknownPipeError: A call or a leak names no pipe of the network.
    """
    counting = leaks_within(leaks, flows.time)
    distance_m = distances_m(model, [leak.pipe_id for leak in counting])
    pipe = {model.link_id[k]: k for k in np.flatnonzero(model.is_pipe)}
    found: dict[int, ScoredCall] = {}
    scored = []
    for call in sorted(calls, key=lambda one: one.called_at):
        if call.pipe_id not in pipe:
            raise UnknownPipeError(call.pipe_id)
        scored.append(_scored(call, counting, distance_m[:, pipe[call.pipe_id]], flows, found))
    lines = [_line(leak, found.get(i), flows) for i, leak in enumerate(counting)]
    return Score(tuple(scored), tuple(lines))


def distances_m(model: NetworkModel, pipe_ids: Sequence[str]) -> FloatArray:
    """Return the distance of the rule from some pipes to every link [m], (n_pipe_ids, n_links).

    Raises:
        UnknownPipeError: An id is that of no pipe.
    """
    ends = np.stack([model.start, model.end], axis=1)
    is_pipe = np.asarray(model.is_pipe)
    graph = walking_graph(ends[is_pipe], model.length_m[is_pipe], model.n_nodes)
    distance_m = np.empty((len(pipe_ids), len(model.link_id)))
    for i, pipe_id in enumerate(pipe_ids):
        if pipe_id not in model.link_id or not is_pipe[model.link_id.index(pipe_id)]:
            raise UnknownPipeError(pipe_id)
        link = model.link_id.index(pipe_id)
        way_m = dijkstra(graph, directed=False, indices=ends[link]).min(axis=0)
        between_m = np.minimum(way_m[model.start], way_m[model.end])
        distance_m[i] = between_m + (model.length_m[link] + model.length_m) / 2.0
        distance_m[i, link] = 0.0
    return distance_m


def water_m3(leak: TrueLeak, since: np.datetime64, flows: Table) -> float:
    """Return what a leak still loses from the row at or after a time until its end [m³]."""
    rows = (flows.time >= since) & (flows.time <= leak.end)
    columns = [j for j, name in enumerate(flows.names) if name == leak.pipe_id]
    return float(np.nansum(flows.number[rows][:, columns]) * STEP_S)


def perfect_calls(leaks: Sequence[TrueLeak], flows: Table) -> list[Call]:
    """Return a call on each leak's pipe when it begins, or at the year's first row."""
    counting = leaks_within(leaks, flows.time)
    return [Call(max(leak.start, flows.time[0]), leak.pipe_id) for leak in counting]


def sweep_calls(model: NetworkModel, flows: Table, every_days: int = 61) -> list[Call]:
    """Return calls that know nothing: pipes that reach every pipe, again and again.

    The pipes are chosen one by one, each the one that reaches the most length not yet in reach, and
    all of them are called on the first day and then every so many days.
    """
    pipes = np.flatnonzero(model.is_pipe)
    near = distances_m(model, [model.link_id[k] for k in pipes])[:, pipes] <= NEAR_M
    length_m = model.length_m[pipes]
    open_m, chosen = length_m.copy(), []
    while (open_m > 0.0).any():
        best = int(np.argmax(near @ open_m))
        chosen.append(model.link_id[pipes[best]])
        open_m[near[best]] = 0.0
    times = np.arange(flows.time[0], flows.time[-1], every_days * _DAY)
    return [Call(time, pipe_id) for time in times for pipe_id in chosen]


def estimated_flows(leaks: Sequence[TrueLeak], year: Year, model: NetworkModel) -> Table:
    """Return what each leak may have lost [m³/s], from its diameter and the nearest sensor.

    The outflow is that of an orifice, `0.75 A sqrt(2 g p)`; an incipient leak's diameter grows
    evenly from its start to its peak. The pressure is that of the nearest sensor along pipes, by
    its head less the elevation of the pipe's middle.

    Source:
        BattLeDIM 2020, the organizers' `dataset_generator.py`.
    """
    counting = leaks_within(leaks, year.time)
    columns = [_estimated(leak, year, model) for leak in counting]
    names = tuple(leak.pipe_id for leak in counting)
    return Table(year.time, names, np.stack(columns, axis=1))


def read_calls(path: Path) -> list[Call]:
    """Return the calls of a CSV with `called_at,pipe_id` and, where known, flow and probability.

    Raises:
        BadFileError: A column is missing or a cell cannot be read.
    """
    return [
        Call(
            parse_time(path, line, row["called_at"]),
            row["pipe_id"],
            _number(path, line, row.get("flow_m3s", "")),
            _number(path, line, row.get("probability", "")),
        )
        for line, row in read_rows(path, ("called_at", "pipe_id"))
    ]


def report_score(
    result: Score, perfect: Score, sweep: Score, *, is_estimated: bool = False, name: str = "calls"
) -> str:
    """Return the calls, the leaks, and the sums beside the blind sweep and published teams."""
    notes = ["EUR are estimated: the truth gives diameters, no flows."] if is_estimated else []
    if result.count(Outcome.FALSE) > MOST_FALSE:
        notes.append(f"Above {MOST_FALSE} false calls EUR say nothing: the blind sweep has many.")
    sums = [_sum(name, result), _sum("blind sweep", sweep), _sum("perfect here", perfect)]
    head = f"{'':<42} {'calls':>5} {'hits':>9} {'false':>5} {'delay':>9} {'distance':>8} {'EUR':>9}"
    published = [
        f"{team + ', original 2019':<42} {'':>5} {f'{hits} of 23':>9} {n_false:>5} {'':>18} "
        f"{euro:>9,.0f}"
        for team, hits, n_false, euro in PUBLISHED
    ]
    parts = [_calls_table(result), _leaks_table(result), "\n".join([head, *sums, *published])]
    return "\n\n".join([*parts, *notes]) + "\n"


def as_document(result: Score) -> dict[str, object]:
    """Return a score as JSON can hold it; NaN becomes null."""
    return {
        "n_calls": len(result.calls),
        "n_leaks": len(result.leaks),
        "n_hits": result.count(Outcome.HIT),
        "n_false": result.count(Outcome.FALSE),
        "n_repeated": result.count(Outcome.REPEATED),
        "mean_delay_days": _known(result.mean_delay_s / 86_400.0),
        "mean_distance_m": _known(result.mean_distance_m),
        "euro": round(result.euro, 2),
        "calls": [_call_document(one) for one in result.calls],
        "leaks": [_leak_document(one) for one in result.leaks],
    }


def _scored(
    call: Call,
    leaks: Sequence[TrueLeak],
    distance_m: FloatArray,
    flows: Table,
    found: dict[int, ScoredCall],
) -> ScoredCall:
    """Return what a call earns, and add the leak that it finds."""
    if call.called_at < flows.time[0]:
        return ScoredCall(call, Outcome.EARLY, 0.0)
    runs = np.array([leak.start <= call.called_at <= leak.end for leak in leaks], dtype=np.bool_)
    reached = np.flatnonzero(runs & (distance_m <= NEAR_M))
    if len(reached) == 0:
        return ScoredCall(call, Outcome.FALSE, -CREW_EUR)
    fresh = [int(i) for i in reached if int(i) not in found]
    nearest = min(fresh or reached.tolist(), key=lambda i: float(distance_m[i]))
    leak, way_m = leaks[nearest], float(distance_m[nearest])
    if not fresh:
        return ScoredCall(call, Outcome.REPEATED, 0.0, leak, way_m)
    saved_eur = EUR_PER_M3 * water_m3(leak, call.called_at, flows)
    found[nearest] = ScoredCall(
        call, Outcome.HIT, saved_eur - CREW_EUR * way_m / NEAR_M, leak, way_m
    )
    return found[nearest]


def _line(leak: TrueLeak, hit: ScoredCall | None, flows: Table) -> LeakLine:
    since = max(leak.start, flows.time[0])
    delay_s = np.nan
    if hit is not None:
        delay_s = float((hit.call.called_at - since) / np.timedelta64(1, "s"))
    return LeakLine(leak, hit, delay_s, water_m3(leak, since, flows))


def _estimated(leak: TrueLeak, year: Year, model: NetworkModel) -> FloatArray:
    """Return one leak's outflow over the year [m³/s], shape (n_times,)."""
    growth = (year.time - leak.start) / max(leak.peak - leak.start, STEP)
    share = np.clip(growth, 0.0, 1.0) if leak.is_incipient else np.ones(len(year.time))
    share = np.where((year.time >= leak.start) & (year.time <= leak.end), share, 0.0)
    area_m2 = np.pi / 4.0 * (leak.diameter_m * share) ** 2
    head_m = np.maximum(_pressure_near(leak.pipe_id, year, model), 0.0)
    return DISCHARGE * area_m2 * np.sqrt(2.0 * GRAVITY_MS2 * head_m)


def _pressure_near(pipe_id: str, year: Year, model: NetworkModel) -> FloatArray:
    """Return the pressure in the middle of a pipe, as the nearest sensor tells [m]."""
    if pipe_id not in model.link_id:
        raise UnknownPipeError(pipe_id)
    link = model.link_id.index(pipe_id)
    is_pipe, ends = np.asarray(model.is_pipe), np.stack([model.start, model.end], axis=1)
    graph = walking_graph(ends[is_pipe], model.length_m[is_pipe], model.n_nodes)
    way_m = dijkstra(graph, directed=False, indices=ends[link]).min(axis=0)
    sensors = np.array([model.node_id.index(name) for name in year.pressure_nodes])
    best = int(np.argmin(way_m[sensors]))
    middle_m = float(model.elevation_m[ends[link]].mean())
    seen_m = year.pressure_m[:, best]
    seen_m = np.where(np.isnan(seen_m), np.nanmean(seen_m), seen_m)
    return seen_m + model.elevation_m[sensors[best]] - middle_m


def _number(path: Path, line: int, text: str) -> float:
    return parse_number(path, line, text) if text.strip() else np.nan


def _mean(numbers: Sequence[float]) -> float:
    return float(np.mean(numbers)) if numbers else np.nan


def _known(number: float) -> float | None:
    return None if np.isnan(number) else round(float(number), 3)


def _minute(time: np.datetime64) -> str:
    return str(time.astype("datetime64[m]")).replace("T", " ")


def _sum(name: str, result: Score) -> str:
    hits = f"{result.count(Outcome.HIT)} of {len(result.leaks)}"
    return (
        f"{name:<42} {len(result.calls):>5} {hits:>9} {result.count(Outcome.FALSE):>5} "
        f"{result.mean_delay_s / 86_400.0:>7.1f} d {result.mean_distance_m:>6.0f} m "
        f"{result.euro:>9,.0f}"
    )


def _calls_table(result: Score) -> str:
    rows = [f"{'called at':<16} {'pipe':>6} {'outcome':<8} {'leak':>6} {'distance':>8} {'EUR':>9}"]
    for one in result.calls:
        leak = "" if one.leak is None else one.leak.pipe_id
        way = "" if one.leak is None else f"{one.distance_m:.0f} m"
        rows.append(
            f"{_minute(one.call.called_at)} {one.call.pipe_id:>6} {one.outcome:<8} {leak:>6} "
            f"{way:>8} {one.euro:>9,.0f}"
        )
    return "\n".join(rows)


def _leaks_table(result: Score) -> str:
    rows = [f"{'leak':>6} {'began':<16} {'loses':>9} {'found as':>8} {'delay':>8} {'EUR':>9}"]
    for one in result.leaks:
        pipe_id = "-" if one.hit is None else one.hit.call.pipe_id
        delay = "" if one.hit is None else f"{one.delay_s / 86_400.0:.1f} d"
        rows.append(
            f"{one.leak.pipe_id:>6} {_minute(one.leak.start)} {one.water_m3:>6,.0f} m3 "
            f"{pipe_id:>8} {delay:>8} {one.euro:>9,.0f}"
        )
    return "\n".join(rows)


def _call_document(one: ScoredCall) -> dict[str, object]:
    return {
        "called_at": _minute(one.call.called_at),
        "pipe_id": one.call.pipe_id,
        "outcome": str(one.outcome),
        "leak": None if one.leak is None else one.leak.pipe_id,
        "distance_m": _known(one.distance_m),
        "euro": round(one.euro, 2),
    }


def _leak_document(one: LeakLine) -> dict[str, object]:
    return {
        "pipe_id": one.leak.pipe_id,
        "found_as": None if one.hit is None else one.hit.call.pipe_id,
        "delay_days": _known(one.delay_s / 86_400.0),
        "water_m3": round(one.water_m3, 1),
        "euro": round(one.euro, 2),
    }


def main() -> None:
    """Score a file of calls, or where none is given the blind sweep alone."""
    options = _arguments()
    try:
        model = read_network(options.network)
        leaks, flows, is_estimated = read_truth_of(
            options.data, options.truth, model, estimate=options.estimate
        )
        calls = [] if options.calls is None else read_calls(options.calls)
        result = score(calls, leaks, flows, model)
        sweep = score(sweep_calls(model, flows), leaks, flows, model)
        perfect = score(perfect_calls(leaks, flows), leaks, flows, model)
    except (BadFileError, UnknownPipeError, HydraulicsError) as error:
        sys.exit(f"{error}")
    if options.json:
        parts = {"calls": result, "sweep": sweep, "perfect": perfect}
        document = {key: as_document(one) for key, one in parts.items()}
        print(json.dumps({**document, "is_estimated": is_estimated}))
        return
    print(report_score(result, perfect, sweep, is_estimated=is_estimated), end="")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the year")
    parser.add_argument("--truth", type=Path, required=True, help="leak_truth.csv")
    parser.add_argument("--calls", type=Path, help="calls.csv: called_at,pipe_id,...")
    parser.add_argument("--network", type=Path, help="L-TOWN.inp, where it is not beside DIR")
    parser.add_argument("--estimate", action="store_true", help="even where leak flows are known")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    options = parser.parse_args()
    options.network = options.network or find_beside(options.data, "L-TOWN.inp")
    if options.network is None:
        parser.error(f"{options.data}: L-TOWN.inp is not there or beside it; say --network")
    return options


def read_truth_of(
    data: Path, truth: Path, model: NetworkModel, *, estimate: bool = False
) -> tuple[tuple[TrueLeak, ...], Table, bool]:
    """Return the leaks, their flows, and whether the flows are estimated from diameters.

    Args:
        data: The year's folder; it may hold the leaks' flows.
        truth: leak_truth.csv.
        model: The network.
        estimate: Estimate them even so.
    """
    there = [data / "leakages.parquet", *sorted(data.glob("*_Leakages.csv"))]
    leakages = [path for path in there if path.exists()][:1]
    leaks, flows = read_truth(truth, *([] if estimate else leakages))
    if flows is not None:
        return leaks, flows, False
    return leaks, estimated_flows(leaks, read_year(data), model), True


if __name__ == "__main__":
    main()
