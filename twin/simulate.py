"""Readings of a network that is not quite its model, in which leaks start: to try everything on.

The truth comes from `hydraulics.epanet.scenario`: demands and roughness differ from the file. Here
instruments are put into it, with an error of their own, and what they read is written as a wide CSV
file, a tag map and the truth. The same request gives the same bytes.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import yaml

from hydraulics.epanet.instruments import Instruments, choose_instruments
from hydraulics.epanet.scenario import (
    Chlorine,
    Perturbation,
    PipeLeak,
    Scenario,
    Truth,
    Watched,
    run_scenario,
)
from twin.assets import Network, local_datetime, model_time_s
from twin.errors import UnreadableError
from twin.ids import Space
from twin.instants import NS_PER_S, datetime_to_ns, format_instant, parse_instant
from twin.readings import FloatArray

Progress = Callable[[str, int, int], None]

STEP_S = 300
DAY_S = 86_400
MAX_DAYS = 366
MAX_SENSORS = 2_000
_N_DIGITS = {"m": 3, "m3/h": 3, "mg/L": 4}
_SENSOR_STREAM = 1_000  # apart from the streams that the scenario spawns from the same seed
_LEAK = re.compile(r"(?P<pipe>.+):(?P<flow>[0-9]+(?:\.[0-9]+)?)@(?P<at>.+)")


class SimulationError(UnreadableError):
    """A simulation was asked for that cannot be."""


@dataclass(frozen=True, slots=True)
class LeakRequest:
    """A leak as a person asks for it: in this pipe, this big, from then on."""

    pipe_id: str
    flow_m3s: float
    at_ns: int


@dataclass(frozen=True, slots=True)
class SensorErrors:
    """How instruments err: a bias of each, drawn once, and noise on each reading; both Gaussian.

    Attributes:
        pressure_bias_m: Standard deviation of the bias of a pressure sensor [m].
        pressure_noise_m: Standard deviation of its noise [m].
        level_noise_m: The same of a tank level [m].
        flow_bias: Relative bias of a flow meter [-].
        flow_noise: Relative noise of a flow meter [-].
        chlorine_bias: Relative bias of a chlorine analyser [-].
        chlorine_noise_g_m3: Its noise [g/m³]; what would read below 0 reads 0.
    """

    pressure_bias_m: float = 0.05
    pressure_noise_m: float = 0.02
    level_noise_m: float = 0.005
    flow_bias: float = 0.01
    flow_noise: float = 0.005
    chlorine_bias: float = 0.02
    chlorine_noise_g_m3: float = 0.002


@dataclass(frozen=True, slots=True)
class Request:
    """What to simulate.

    Attributes:
        network: The network, for its name and how its model's clock maps to real time.
        leaks: The leaks; each starts within the window, at the first step at or after its time.
        n_days: Length of the window [days].
        seed: Of every random draw.
        start_ns: Start of the window; None for local midnight a day before the first leak's day.
        pressure_nodes: Nodes with a pressure sensor; none for those that `choose_instruments` says.
        perturbation: How far the truth is from the model.
        errors: How instruments err.
    """

    network: Network
    leaks: tuple[LeakRequest, ...]
    n_days: int
    seed: int
    start_ns: int | None = None
    pressure_nodes: tuple[str, ...] = ()
    perturbation: Perturbation = field(default_factory=Perturbation)
    errors: SensorErrors = field(default_factory=SensorErrors)


@dataclass(frozen=True, slots=True)
class Tagged:
    """One column of the readings: what its tag means, and what it read."""

    tag: str
    asset: str
    quantity: str
    unit: str
    values: FloatArray
    sampling_point: str | None = None


@dataclass(frozen=True, slots=True)
class Simulation:
    """What was written.

    Attributes:
        folder: Where.
        n_readings: How many readings there are.
        n_tags: In how many columns.
        from_ns: Time of the first row.
        to_ns: End of the window.
        truth: What `truth.json` holds.
    """

    folder: Path
    n_readings: int
    n_tags: int
    from_ns: int
    to_ns: int
    truth: Mapping[str, object]


def parse_leak(text: str) -> LeakRequest:
    """Return the leak that `PIPE:FLOW_LS@T` asks for.

    Raises:
        SimulationError: The text is spelled otherwise, or the flow is not above 0.
        InstantError: T is no time with an offset.
    """
    match = _LEAK.fullmatch(text)
    if match is None or not float(match["flow"]) > 0.0 or not math.isfinite(float(match["flow"])):
        raise SimulationError(
            f"leak {text!r}: write PIPE:FLOW_LS@T with a flow above 0 L/s, "
            "such as p461:5@2024-03-13T15:00:00+02:00"
        )
    pipe_id = match["pipe"].removeprefix(f"{Space.LINK}:")
    return LeakRequest(pipe_id, float(match["flow"]) / 1_000.0, parse_instant(match["at"]))


def simulate(
    request: Request, inp: Path, out: Path, scratch: Path, progress: Progress | None = None
) -> Simulation:
    """Run the scenario and write `readings.csv`, `tags.yaml` and `truth.json` into `out`.

    Args:
        request: What to simulate.
        inp: The network's EPANET file.
        out: The folder to write to; it is made when missing.
        scratch: A folder for EPANET's own files.
        progress: Told how much is done.

    Raises:
        SimulationError: The request does not fit together.
        ScenarioError: A pipe or sensor that the network does not have.
        NotConvergedError: EPANET found no solution.
    """
    start_ns = _start_ns(request)
    instruments = _instruments(request, inp, scratch)
    scenario = _scenario(request, start_ns)
    truth = run_scenario(inp, scenario, _watched(instruments), scratch, progress)
    columns = list(_columns(instruments, truth, request))
    times = _local_times(request.network, start_ns, len(truth.time_s))
    document = _truth_document(request, scenario, truth, columns, times)
    _write(
        out,
        {
            "readings.csv": _csv_text(times, columns),
            "tags.yaml": _tags_text(request.network, columns),
            "truth.json": json.dumps(document, indent=2, ensure_ascii=False) + "\n",
        },
    )
    to_ns = start_ns + request.n_days * DAY_S * NS_PER_S
    n_readings = len(times) * len(columns)
    return Simulation(out, n_readings, len(columns), start_ns, to_ns, document)


def _start_ns(request: Request) -> int:
    if not 1 <= request.n_days <= MAX_DAYS:
        raise SimulationError(f"--days {request.n_days}: simulate 1 to {MAX_DAYS} days")
    if request.seed < 0:
        raise SimulationError(f"--seed {request.seed}: a seed is a whole number from 0")
    start_ns = request.start_ns
    if start_ns is None:
        if not request.leaks:
            raise SimulationError("without a leak, say with --start when the readings begin")
        start_ns = _midnight_before(request.network, min(leak.at_ns for leak in request.leaks))
    for leak in request.leaks:
        if not 0 <= _steps_until(start_ns, leak.at_ns) < request.n_days * DAY_S // STEP_S:
            raise SimulationError(
                f"leak in {leak.pipe_id}: {format_instant(leak.at_ns)} is not within "
                f"{request.n_days} days from {format_instant(start_ns)}; see --start and --days"
            )
    return start_ns


def _midnight_before(network: Network, at_ns: int) -> int:
    """Return local midnight a day before the day of `at_ns`, so that a leak-free day precedes."""
    there = local_datetime(at_ns, network.time_zone)
    midnight = (there - timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return datetime_to_ns(midnight)


def _steps_until(start_ns: int, at_ns: int) -> int:
    return -((start_ns - at_ns) // (STEP_S * NS_PER_S))  # rounded up


def _instruments(request: Request, inp: Path, scratch: Path) -> Instruments:
    chosen = choose_instruments(inp, scratch)
    if not request.pressure_nodes:
        return chosen
    nodes = tuple(node.removeprefix(f"{Space.NODE}:") for node in request.pressure_nodes)
    if len(nodes) > MAX_SENSORS or len(set(nodes)) < len(nodes):
        raise SimulationError(f"--sensors: name each node once, and at most {MAX_SENSORS}")
    return Instruments(
        nodes, chosen.level_tanks, chosen.flow_links, chosen.outlet_node, chosen.end_nodes
    )


def _scenario(request: Request, start_ns: int) -> Scenario:
    leak_draw = np.random.default_rng(_stream(request.seed, 0))
    leaks = tuple(
        PipeLeak(
            pipe_id=leak.pipe_id,
            place=round(float(leak_draw.uniform(0.1, 0.9)), 3),
            flow_m3s=leak.flow_m3s,
            start_s=_steps_until(start_ns, leak.at_ns) * STEP_S,
        )
        for leak in request.leaks
    )
    return Scenario(
        model_start_s=model_time_s(request.network, start_ns),
        duration_s=request.n_days * DAY_S,
        seed=request.seed,
        step_s=STEP_S,
        leaks=leaks,
        perturbation=request.perturbation,
        chlorine=_chlorine(request),
    )


def _chlorine(request: Request) -> Chlorine:
    """Return the dosing, which fails once, for two to four hours of some day."""
    draw = np.random.default_rng(_stream(request.seed, 1))
    day, hour = int(draw.integers(request.n_days)), int(draw.integers(6, 18))
    n_hours = int(draw.integers(2, 5))
    return Chlorine(outage_start_s=day * DAY_S + hour * 3_600, outage_s=n_hours * 3_600)


def _stream(seed: int, purpose: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(seed, spawn_key=(_SENSOR_STREAM, purpose))


def _watched(instruments: Instruments) -> Watched:
    outlet = () if instruments.outlet_node is None else (instruments.outlet_node,)
    return Watched(
        pressure_nodes=instruments.pressure_nodes,
        level_tanks=instruments.level_tanks,
        flow_links=instruments.flow_links,
        chlorine_nodes=(*outlet, *instruments.end_nodes),
    )


def _columns(instruments: Instruments, truth: Truth, request: Request) -> Iterable[Tagged]:
    """Yield what each instrument reads, in the unit that it sends."""
    errors, seed = request.errors, request.seed
    watched = _watched(instruments)
    pressure = _additive(
        truth.pressure_m, errors.pressure_bias_m, errors.pressure_noise_m, _stream(seed, 2)
    )
    for j, node in enumerate(watched.pressure_nodes):
        yield Tagged(f"{node}.pressure", f"node:{node}", "pressure", "m", pressure[:, j])
    level = _additive(truth.level_m, 0.0, errors.level_noise_m, _stream(seed, 3))
    for j, tank in enumerate(watched.level_tanks):
        yield Tagged(f"{tank}.level", f"node:{tank}", "level", "m", level[:, j])
    flow = _relative(truth.flow_m3s, errors.flow_bias, errors.flow_noise, _stream(seed, 4)) * 3_600
    for j, link in enumerate(watched.flow_links):
        yield Tagged(f"{link}.flow", f"link:{link}", "flow", "m3/h", flow[:, j])
    chlorine = _relative(truth.chlorine_g_m3, errors.chlorine_bias, 0.0, _stream(seed, 5))
    chlorine = _additive(chlorine, 0.0, errors.chlorine_noise_g_m3, _stream(seed, 6))
    for j, node in enumerate(watched.chlorine_nodes):
        place = "plant_outlet" if node == instruments.outlet_node else "network_end"
        read = np.maximum(chlorine[:, j], 0.0)
        tag = f"{node}.free_chlorine"
        yield Tagged(tag, f"node:{node}", "concentration", "mg/L", read, place)


def _additive(
    true: FloatArray, bias: float, noise: float, stream: np.random.SeedSequence
) -> FloatArray:
    draw = np.random.default_rng(stream)
    biases = bias * draw.standard_normal(true.shape[1])
    return true + biases + noise * draw.standard_normal(true.shape)


def _relative(
    true: FloatArray, bias: float, noise: float, stream: np.random.SeedSequence
) -> FloatArray:
    return true * (1.0 + _additive(np.zeros_like(true), bias, noise, stream))


def _local_times(network: Network, start_ns: int, n_times: int) -> list[str]:
    step_ns = STEP_S * NS_PER_S
    return [_local(network, start_ns + i * step_ns).isoformat() for i in range(n_times)]


def _local(network: Network, at_ns: int) -> datetime:
    return local_datetime(at_ns, network.time_zone)


def _csv_text(times: Sequence[str], columns: Sequence[Tagged]) -> str:
    texts = [[f"{value:.{_N_DIGITS[c.unit]}f}" for value in c.values.tolist()] for c in columns]
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["time", *(column.tag for column in columns)])
    rows.writerows(zip(times, *texts, strict=True))
    return text.getvalue()


def _tags_text(network: Network, columns: Sequence[Tagged]) -> str:
    tags = []
    for column in columns:
        tag = {"tag": column.tag, "asset": column.asset}
        tag |= {"quantity": column.quantity, "unit": column.unit}
        if column.sampling_point is not None:
            tag |= {"parameter": "free_chlorine", "sampling_point": column.sampling_point}
        tags.append(tag)
    document = {"time_zone": network.time_zone, "tags": tags}
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=200)


def _truth_document(
    request: Request,
    scenario: Scenario,
    truth: Truth,
    columns: Sequence[Tagged],
    times: Sequence[str],
) -> dict[str, object]:
    leaks = [
        {
            "pipe_id": leak.pipe_id,
            "place": leak.place,
            "flow_m3s": leak.flow_m3s,
            "onset": times[leak.start_s // STEP_S],
            "mean_flow_m3s": round(float(truth.leak_m3s[leak.start_s // STEP_S :, i].mean()), 9),
        }
        for i, leak in enumerate(scenario.leaks)
    ]
    end_ns = parse_instant(times[-1]) + STEP_S * NS_PER_S
    return {
        "network": request.network.name,
        "inp_sha256": request.network.inp_sha256,
        "from": times[0],
        "to": _local(request.network, end_ns).isoformat(),
        "step_s": STEP_S,
        "n_tags": len(columns),
        "seed": request.seed,
        "leaks": leaks,
        "perturbation": asdict(scenario.perturbation),
        "chlorine": asdict(scenario.chlorine) if scenario.chlorine else None,
        "sensor_errors": asdict(request.errors),
        "versions": _versions(),
    }


def _versions() -> dict[str, str]:
    from importlib.metadata import version  # noqa: PLC0415 - only here

    return {name: version(name) for name in ("watercourse", "owa-epanet", "numpy")}


def _write(folder: Path, texts: Mapping[str, str]) -> None:
    """Write all files, or none of them in part."""
    parts = {folder / name: folder / f"{name}.part" for name in texts}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, part in parts.items():
            part.write_text(texts[path.name], encoding="utf-8", newline="\n")
        for path, part in parts.items():
            part.replace(path)
    except OSError as error:
        for part in parts.values():
            with suppress(OSError):
                part.unlink()
        raise SimulationError(f"{folder}: cannot be written ({error.strerror})") from error
