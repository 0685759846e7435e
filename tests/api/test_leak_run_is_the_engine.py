"""`twin leak run` on a file of readings answers as the engine does on the same as arrays."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api.cli import run
from benchmarks.leak_cases import LEVELS, World, make_case
from hydraulics.epanet.reading import read_network
from hydraulics.leaks.localize import localize
from hydraulics.leaks.measurements import Localization, Measurements, zone
from hydraulics.network import NetworkModel

NET3 = Path(__file__).parents[2] / "data" / "networks" / "net3" / "network.inp"
SENSORS = ("10", "61", "115", "129", "153", "185", "213", "257")
DAY_S = 86_400.0
MONDAY = datetime(2024, 3, 11)  # noqa: DTZ001 - a wall clock
UNIT_OF = {
    "pressure": ("psi", 0.70306957829636),
    "level": ("ft", 0.3048),
    "flow": ("GPM", 6.30901964e-5),
}
"""A file's units, and what each is in m or m³/s (NIST SP 811, appendix B.8)."""


@pytest.fixture(scope="module")
def model() -> NetworkModel:
    return read_network(NET3)


@pytest.fixture(scope="module")
def seen(model: NetworkModel) -> Measurements:
    """A day without and a day with a leak of 5 L/s or more, tanks, pumps and sources metered."""
    case = make_case(NET3, model, SENSORS, replace(World(), flow_m3s=(0.005, 0.02)), seed=7)
    assert case is not None
    return case.seen


def tables(model: NetworkModel, seen: Measurements) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield quantity, asset and readings [m or m³/s] of each instrument."""
    for k, i in enumerate(seen.pressure_node):
        yield "pressure", f"node:{model.node_id[i]}", seen.pressure_m[:, k]
    for k, i in enumerate(seen.tank_node):
        yield "level", f"node:{model.node_id[i]}", seen.tank_level_m[:, k]
    for k, i in enumerate(seen.flow_link):
        yield "flow", f"link:{model.link_id[i]}", seen.flow_m3s[:, k]


def written(  # noqa: PLR0913, PLR0917 - what a file may differ in
    folder: Path,
    model: NetworkModel,
    seen: Measurements,
    zone_of_times: tzinfo,
    late: Callable[[int], timedelta],
    times_said: int,
) -> None:
    """Write a long file in US units by names of a SCADA, each reading as often as told."""
    tags, rows = [], []
    for n, (quantity, asset, values) in enumerate(tables(model, seen)):
        tag, (unit, in_si) = f"PLC{n:02d}/{quantity} #{n}", UNIT_OF[quantity]
        tags.append(f'  - {{tag: "{tag}", asset: "{asset}", quantity: {quantity}, unit: {unit}}}')
        for t, value in enumerate(values):
            at_s = float(seen.model_time_s[t])
            # What is read before midnight is of the window before: here none of the next is.
            shift = late(n + 31 * t) if at_s % DAY_S else abs(late(n + 31 * t))
            wall = MONDAY + timedelta(seconds=at_s) + shift
            at = wall.replace(tzinfo=zone_of_times).isoformat()
            rows += [
                (at, tag, repr(float(value) / in_si) if np.isfinite(value) else "")
            ] * times_said
    (folder / "tags.yaml").write_text("tags:\n" + "\n".join(tags) + "\n")
    with (folder / "readings.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("time", "tag", "value"), *rows])


def answered(folder: Path, time_zone: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Import, ingest and run, with the reference that a run takes by itself."""
    home = ["--home", str(folder / "home")]
    door = ["--network", "net3", "--tags", str(folder / "tags.yaml")]
    offset = "Z" if time_zone == "UTC" else "+08:00"
    window = ["--from", f"2024-03-13T00:00:00{offset}", "--to", f"2024-03-14T00:00:00{offset}"]
    for command in (
        ["import", str(NET3), "--network", "net3", "--time-zone", time_zone],
        ["ingest", "csv", str(folder / "readings.csv"), *door, "--strict"],
        ["leak", "run", "--network", "net3", *window, "--leaks", "1", "--json"],
    ):
        capsys.readouterr()
        assert run([*home, *command]) == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def agree(model: NetworkModel, engine: Localization, answer: dict[str, Any], within: float) -> None:
    for level in LEVELS:
        pipes = {model.link_id[i] for i in zone(engine, level)}
        assert set(answer["zones"][f"{level * 100:.0f}"]) == pipes, level
    assert answer["flow_low_m3s"] == pytest.approx(engine.flow_low_m3s, rel=within)
    assert answer["flow_high_m3s"] == pytest.approx(engine.flow_high_m3s, rel=within)
    assert answer["evidence_ratio"] == pytest.approx(engine.evidence_ratio, rel=within)
    assert answer["leak_is_evident"]  # else any two zones are near to alike


def test_readings_of_another_zone_in_us_units_by_names_of_their_own(
    model: NetworkModel,
    seen: Measurements,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shanghai = timezone(timedelta(hours=8))
    written(tmp_path, model, seen, shanghai, lambda _: timedelta(), 1)
    answer = answered(tmp_path, "Asia/Shanghai", capsys)
    agree(model, localize(NET3, model, seen), answer, within=1e-6)


def test_readings_with_gaps_sent_twice_and_some_seconds_early_or_late(
    model: NetworkModel,
    seen: Measurements,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    is_gone = np.random.default_rng(3).random(seen.pressure_m.shape) < 0.2
    holed = replace(seen, pressure_m=np.where(is_gone, np.nan, seen.pressure_m))
    seconds = np.random.default_rng(4).integers(-40, 41, 10_000)
    written(tmp_path, model, holed, UTC, lambda k: timedelta(seconds=int(seconds[k % 10_000])), 2)
    agree(model, localize(NET3, model, holed), answered(tmp_path, "UTC", capsys), within=1e-6)
