"""Work through a BattLeDIM year as a stream, and call leaks.

Usage: benchmarks/battledim --data DIR [--history DIR] [--repairs FILE] --out calls.csv
       [--truth leak_truth.csv] [--network FILE.inp] [--days N] [--json]

Days are judged in order of time, each at its end, from its own readings and earlier ones alone.
With --history the year before is worked through first, its repairs told on their days by --repairs;
leaks that still run when the year begins are called at the year's first row. Without it the first
30 days of DIR calibrate, and the first call falls on the first row after them. Repairs within the
year are not told: the method must notice them.

`calls.csv` has `called_at,pipe_id,flow_m3s,probability`. A leak that turns out to lie elsewhere
than where it was called is called again.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.battledim_files import (
    BadFileError,
    Repair,
    Year,
    find_beside,
    read_repairs,
    read_year,
)
from benchmarks.battledim_score import (
    Call,
    as_document,
    perfect_calls,
    read_truth_of,
    report_score,
    score,
    sweep_calls,
)
from hydraulics.epanet.reading import read_network
from hydraulics.errors import HydraulicsError
from hydraulics.leaks.measurements import Measurements
from hydraulics.leaks.stream.settings import StreamSettings
from hydraulics.leaks.stream.stream import Happening, HappeningKind, LeakStream
from hydraulics.network import BoolArray, FloatArray, IndexArray, NetworkModel

DAY = np.timedelta64(86_400, "s")
N_CALIBRATION_DAYS = 30
SETTINGS = StreamSettings(
    sensor_evidence=float("inf"), offset_m=0.0, least_evidence=20.0, call_probability=0.65
)
"""The competition's sensors are true, and all are believed; a call out of reach costs a crew.

At 0.6, which a watch asks unless told, one leak of 2018 is called too early and out of reach.
"""
STILL_ROWS = 288
"""Rows of a day: a pressure sensor that shows one value for so long is stuck."""
PARTS = {
    "pressure_m": "pressure_nodes",
    "flow_m3s": "flow_links",
    "level_m": "tanks",
    "demand_m3s": "demand_nodes",
}
"""What was read, and what names its columns."""


@dataclass(frozen=True)
class Work:
    """What is worked through.

    Attributes:
        year: All rows, the history's first.
        first_row: The first row at which a call may fall.
        repairs: What is told of the history.
    """

    year: Year
    first_row: int
    repairs: tuple[Repair, ...]


def main() -> None:
    """Work through the year, write the calls, and score them where the truth is given."""
    options = arguments()
    try:
        model = read_network(options.network)
        work = gather(options)
        calls = list(progressing(call_leaks(options.network, model, work), options))
        write_calls(options.out, calls)
        if options.truth is not None:
            print_score(options, model, calls)
    except (BadFileError, HydraulicsError) as error:
        sys.exit(f"{error}")


def arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the year")
    parser.add_argument("--history", type=Path, metavar="DIR", help="the year before")
    parser.add_argument("--repairs", type=Path, help="what was repaired in the history")
    parser.add_argument("--out", type=Path, required=True, metavar="calls.csv")
    parser.add_argument("--truth", type=Path, help="leak_truth.csv: score the calls")
    parser.add_argument("--network", type=Path, help="L-TOWN.inp, where it is not beside DIR")
    parser.add_argument("--days", type=int, help="stop after so many days of DIR")
    parser.add_argument("--json", action="store_true", help="the score as one JSON document")
    options = parser.parse_args()
    options.network = options.network or find_beside(options.data, "L-TOWN.inp")
    if options.network is None:
        parser.error(f"{options.data}: L-TOWN.inp is not there or beside it; say --network")
    if options.repairs is not None and options.history is None:
        parser.error("--repairs tells of the history: give --history too")
    return options


def gather(options: argparse.Namespace) -> Work:
    """Return the rows to work through.

    Raises:
        BadFileError: A file cannot be read, the years overlap, or there are too few days.
    """
    year = without_broken(read_year(options.data))
    if options.days is not None:
        year = year_between(year, year.time[0], year.time[0] + options.days * DAY)
    if options.history is None:
        first = int(np.searchsorted(days_of(year), N_CALIBRATION_DAYS))
        if first == len(year.time):
            reason = f"holds no day after the {N_CALIBRATION_DAYS} that calibrate"
            raise BadFileError(options.data, reason)
        return Work(year, first, ())
    history = without_broken(read_year(options.history))
    if history.time[-1] >= year.time[0]:
        raise BadFileError(options.history, f"ends at {history.time[-1]}, after the year began")
    repairs = read_repairs(options.repairs) if options.repairs is not None else ()
    told = tuple(one for one in repairs if history.time[0] <= one.at < year.time[0])
    both = joined(history, with_columns_of(year, history))
    return Work(both, int(np.searchsorted(both.time, year.time[0])), told)


def year_between(year: Year, begin: np.datetime64, end: np.datetime64) -> Year:
    """Return a year's rows from `begin` on and before `end`."""
    kept = (year.time >= begin) & (year.time < end)
    names = ("time", "model_time_s", *PARTS)
    return replace(year, **{name: getattr(year, name)[kept] for name in names})


def without_broken(year: Year) -> Year:
    """Return a year without pressures that no sensor at work reads: none, or one all day."""
    pressure_m = np.where(year.pressure_m > 0.0, year.pressure_m, np.nan)
    for column in range(pressure_m.shape[1]):
        pressure_m[is_still(pressure_m[:, column]), column] = np.nan
    return replace(year, pressure_m=pressure_m)


def is_still(values: FloatArray) -> BoolArray:
    """Return which values are of a run of equal ones that is a day long, shape (n_times,)."""
    begins = np.concatenate([[True], values[1:] != values[:-1]])
    run = np.cumsum(begins) - 1
    return np.asarray(np.bincount(run)[run] >= STILL_ROWS, dtype=np.bool_)


def with_columns_of(year: Year, other: Year) -> Year:
    """Return a year with another one's instruments in its order, NaN where it lacks one."""
    columns: dict[str, Any] = {}
    for part, names in PARTS.items():
        place = {name: column for column, name in enumerate(getattr(year, names))}
        wanted = getattr(other, names)
        table = np.full((len(year.time), len(wanted)), np.nan)
        for column, name in enumerate(wanted):
            if name in place:
                table[:, column] = getattr(year, part)[:, place[name]]
            else:
                note(f"{name} is not read any more")
        columns |= {part: table, names: wanted}
    return replace(year, **columns)


def joined(history: Year, year: Year) -> Year:
    """Return the rows of two years of the same instruments, with those between them missing."""
    parts = ("time", "model_time_s", *PARTS)
    rows = {name: np.concatenate([getattr(history, name), getattr(year, name)]) for name in parts}
    return replace(year, **rows)


def days_of(year: Year) -> IndexArray:
    """Return each row's day by the calendar, the first row's being 0, shape (n_times,)."""
    date = year.time.astype("datetime64[D]")
    return np.asarray((date - date[0]).astype(np.int64), dtype=np.int64)


def call_leaks(inp: Path, model: NetworkModel, work: Work) -> Iterator[tuple[int, list[Call]]]:
    """Yield each day's number and calls, the history's days without any."""
    year = work.year
    day_of = days_of(year)
    seen = measurements(model, year, day_of < N_CALIBRATION_DAYS)
    stream = LeakStream(inp, model, seen, settings=SETTINGS)
    try:
        stream.begin()
        first_day = int(day_of[work.first_row])
        for day in range(stream.n_calibration, stream.n_days):
            if day == first_day:
                called_at = year.time[work.first_row]
                yield day, [call_of(model, one, called_at) for one in stream.running(day)]
            for repair in repairs_on(work, day):
                (link,) = indices([repair.pipe_id], known_pipes(model), "pipe")
                stream.told_repair(int(link), day)
            told = stream.advance(day) if (day_of == day).any() else []
            last = year.time[np.flatnonzero(day_of == day)[-1:]]
            fresh = [one for one in told if one.kind is HappeningKind.CALL and day >= first_day]
            yield day, [call_of(model, one, last[0]) for one in fresh]
    finally:
        stream.close()


def repairs_on(work: Work, day: int) -> list[Repair]:
    """Return what is told on a day."""
    begin = work.year.time[0].astype("datetime64[D]") + day * DAY
    return [one for one in work.repairs if begin <= one.at < begin + DAY]


def call_of(model: NetworkModel, happening: Happening, called_at: np.datetime64) -> Call:
    """Return a happening as a call."""
    pipe_id = model.link_id[happening.link]
    return Call(called_at, pipe_id, happening.flow_m3s, happening.probability)


def measurements(model: NetworkModel, year: Year, is_reference: np.ndarray) -> Measurements:
    """Return a year's rows as the engine takes them."""
    node = {name: i for i, name in enumerate(model.node_id)}
    link = {name: i for i, name in enumerate(model.link_id)}
    return Measurements(
        model_time_s=year.model_time_s,
        is_reference=is_reference,
        pressure_node=indices(year.pressure_nodes, node, "node"),
        pressure_m=year.pressure_m,
        tank_node=indices(year.tanks, node, "node"),
        tank_level_m=year.level_m,
        flow_link=indices(year.flow_links, link, "link"),
        flow_m3s=year.flow_m3s,
        demand_node=indices(year.demand_nodes, node, "node"),
        demand_m3s=year.demand_m3s,
    )


def indices(names: Sequence[str], known: dict[str, int], kind: str) -> IndexArray:
    """Return where instruments stand in the network."""
    unknown = [name for name in names if name not in known]
    if unknown:
        raise BadFileError(Path(unknown[0]), f"is in the data, but no {kind} of the network")
    return np.array([known[name] for name in names], dtype=np.int64)


def known_pipes(model: NetworkModel) -> dict[str, int]:
    """Return the index of each pipe."""
    return {model.link_id[k]: int(k) for k in np.flatnonzero(model.is_pipe)}


def progressing(
    days: Iterator[tuple[int, list[Call]]], options: argparse.Namespace
) -> Iterator[Call]:
    """Yield the calls, and say on standard error how far the work is."""
    begun = time.monotonic()
    for day, calls in days:
        for call in calls:
            litres = call.flow_m3s * 1_000.0
            note(f"{call.called_at} {call.pipe_id} {litres:.2f} L/s p {call.probability:.2f}")
            yield call
        if day % 10 == 0:
            note(f"day {day}, {time.monotonic() - begun:.0f} s", end="\r")
    note(f"written: {options.out}")


def note(text: str, end: str = "\n") -> None:
    """Say something to the person at the terminal."""
    print(f"{text:<60}", file=sys.stderr, flush=True, end=end)


def write_calls(path: Path, calls: Sequence[Call]) -> None:
    """Write the calls in order of time."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["called_at", "pipe_id", "flow_m3s", "probability"])
        for call in sorted(calls, key=lambda one: one.called_at):
            at = str(call.called_at).replace("T", " ")
            rows.writerow([at, call.pipe_id, f"{call.flow_m3s:.6f}", f"{call.probability:.4f}"])


def print_score(options: argparse.Namespace, model: NetworkModel, calls: Sequence[Call]) -> None:
    """Print what the calls earn beside the blind sweep and the published teams."""
    leaks, flows, is_estimated = read_truth_of(options.data, options.truth, model)
    result = score(calls, leaks, flows, model)
    sweep = score(sweep_calls(model, flows), leaks, flows, model)
    perfect = score(perfect_calls(leaks, flows), leaks, flows, model)
    if options.json:
        parts = {"calls": result, "sweep": sweep, "perfect": perfect}
        document = {key: as_document(one) for key, one in parts.items()}
        print(json.dumps({**document, "is_estimated": is_estimated}))
        return
    print(report_score(result, perfect, sweep, is_estimated=is_estimated), end="")


if __name__ == "__main__":
    main()
