"""Simulated leaks in any network, and how near and how sure a localization of one is."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from hydraulics.epanet.scenario import (
    Perturbation,
    PipeLeak,
    Scenario,
    Truth,
    Watched,
    run_scenario,
)
from hydraulics.errors import HydraulicsError
from hydraulics.leaks.measurements import Localization, Measurements, zone
from hydraulics.leaks.prepared import Leak
from hydraulics.network import LinkKind, NetworkModel, NodeKind
from hydraulics.paths import distance_along_pipes_m

FloatArray = npt.NDArray[np.float64]
DAY_S = 86_400
NEAR_M = 300.0
LEVELS = (0.5, 0.8, 0.9, 0.95)
_FEW_NAMES = 8
# fmt: off
LTOWN_SENSORS = tuple(f"n{number}" for number in (
    1, 4, 31, 54, 105, 114, 163, 188, 215, 229, 288, 296, 332, 342, 410, 415, 429, 458, 469, 495,
    506, 516, 519, 549, 613, 636, 644, 679, 722, 726, 740, 752, 769,
))
# fmt: on
"""The 33 pressure sensors of BattLeDIM."""


class UnknownSensorError(Exception):
    """Sensors that the network does not have, or none at all."""


@dataclass(frozen=True)
class World:
    """How the truth differs from the model, and what the sensors do to it.

    Attributes:
        flow_m3s: Least and largest leak [m³/s].
        nights: Days without the leak, and as many with it.
        step_s: Time between readings [s].
        perturbation: Of demands and roughness.
        noise_m: Standard deviation of a pressure reading [m].
        slow_noise_m: Of noise that is forgotten within hours [m].
        bias_m: Of a sensor's offset [m].
        drift_m: What one sensor drifts by, from the first reading to the last [m].
        second_m3s: A leak beside, of which nobody knows, in the second window [m³/s].
        is_closed: Whether one open pipe of a loop is closed in truth.
        share: Share of the sensors that there are.
    """

    flow_m3s: tuple[float, float] = (0.002, 0.01)
    nights: int = 1
    step_s: int = 900
    perturbation: Perturbation = field(
        default_factory=lambda: Perturbation(
            demand_sigma=0.3, hourly_sigma=0.3, day_sigma=0.03, roughness_half_width=0.1
        )
    )
    noise_m: float = 0.02
    slow_noise_m: float = 0.0
    bias_m: float = 0.05
    drift_m: float = 0.0
    second_m3s: float = 0.0
    is_closed: bool = False
    share: float = 1.0


@dataclass(frozen=True)
class Case:
    """Simulated leaks, one at least, with their mean outflow while they ran, and what was read."""

    leaks: tuple[Leak, ...]
    seen: Measurements

    @property
    def link(self) -> int:
        """Pipe of the first leak."""
        return self.leaks[0].link

    @property
    def place(self) -> float:
        """Where in it the leak is."""
        return self.leaks[0].place

    @property
    def flow_m3s(self) -> float:
        """What it loses."""
        return self.leaks[0].flow_m3s


def check_sensors(model: NetworkModel, text: str, network: str) -> list[str]:
    """Return the ids of a list by comma.

    Raises:
        UnknownSensorError: One is no junction of the network, or there are none.
    """
    ids = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    junctions = {
        name
        for name, kind in zip(model.node_id, model.node_kind, strict=True)
        if kind == NodeKind.JUNCTION
    }
    if not junctions:
        raise UnknownSensorError(f"{network} has no junctions: is it an EPANET file?")
    unknown = [name for name in ids if name not in model.node_id]
    if unknown:
        some = ", ".join(sorted(junctions)[:_FEW_NAMES])
        raise UnknownSensorError(
            f"{network} has no node {', '.join(unknown)}; its junctions are {some}"
            f"{' and others' if len(junctions) > _FEW_NAMES else ''}"
        )
    other = [name for name in ids if name not in junctions]
    if other:
        raise UnknownSensorError(
            f"{other[0]} of {network} is a source or a tank: pressure sensors stand at junctions"
        )
    if not ids:
        raise UnknownSensorError("--sensors names no node")
    return ids


def marked_sensors(network: Path) -> list[str]:
    """Return ids of junctions that the file's comments call a pressure sensor."""
    _, _, junctions = network.read_text(encoding="utf-8", errors="replace").partition("[JUNCTIONS]")
    lines = junctions.split("[", maxsplit=1)[0].splitlines()
    return [line.split()[0] for line in lines if re.search(r";.*PRESSURE SENSOR", line)]


def make_case(  # noqa: PLR0913, PLR0917 - each is a thing of its own
    inp: Path,
    model: NetworkModel,
    sensors: Sequence[str],
    world: World,
    seed: int,
    n_leaks: int = 1,
) -> Case | None:
    """Return a case of some leaks that open at once, or None where its truth cannot be."""
    draw = np.random.default_rng(seed)
    leaks = draw_leaks(model, world, draw, n_leaks)
    if world.share < 1.0:
        n_kept = max(round(world.share * len(sensors)), 2)
        kept = np.sort(draw.choice(len(sensors), n_kept, replace=False))
        sensors = [sensors[i] for i in kept]
    window_s = world.nights * DAY_S
    opened = [PipeLeak(model.link_id[one.link], one.place, one.flow_m3s, window_s) for one in leaks]
    if world.second_m3s > 0:
        pipes = _pipes(model)
        other = int(draw.choice(pipes[pipes != leaks[0].link]))
        opened.append(PipeLeak(model.link_id[other], 0.5, world.second_m3s, window_s))
    scenario = Scenario(
        model_start_s=DAY_S,
        duration_s=2 * window_s,
        seed=seed,
        step_s=world.step_s,
        warm_up_s=0,
        leaks=tuple(opened),
        perturbation=world.perturbation,
    )
    watched = watch(model, sensors)
    closed = _closable(model, leaks[0].link, draw) if world.is_closed else None
    try:
        with tempfile.TemporaryDirectory() as scratch:
            true_inp = inp if closed is None else _closed(inp, Path(scratch), closed)
            truth = run_scenario(true_inp, scenario, watched, Path(scratch))
    except HydraulicsError as error:
        print(f"case {seed}: {error}", file=sys.stderr)
        return None
    lost_m3s = truth.leak_m3s[truth.time_s >= window_s].mean(axis=0)
    if not (lost_m3s > 0.0).all():
        print(f"case {seed}: pressure fell below nothing, and a leak let water in", file=sys.stderr)
        return None
    ran = tuple(
        replace(one, flow_m3s=float(mean)) for one, mean in zip(leaks, lost_m3s, strict=False)
    )
    return Case(ran, read(model, watched, truth, world, draw))


def draw_leaks(
    model: NetworkModel, world: World, draw: np.random.Generator, n_leaks: int
) -> tuple[Leak, ...]:
    """Draw leaks in pipes of their own, in proportion to length, sizes even in their logarithm."""
    pipes = _pipes(model)
    chance = model.length_m[pipes] / model.length_m[pipes].sum()
    links = draw.choice(pipes, size=n_leaks, replace=False, p=chance)
    places = draw.uniform(0.02, 0.98, n_leaks)
    low, high = np.log(world.flow_m3s)
    flows = np.exp(draw.uniform(low, high, n_leaks))
    drawn = zip(links, places, flows, strict=True)
    return tuple(Leak(int(link), float(place), float(flow)) for link, place, flow in drawn)


def _pipes(model: NetworkModel) -> npt.NDArray[np.int64]:
    """Return the pipes that may leak."""
    return np.flatnonzero(model.is_pipe & model.is_open & (model.length_m > 0))


def _closable(model: NetworkModel, but: int, draw: np.random.Generator) -> str | None:
    """Return an open pipe of a loop, of the middle half by diameter, other than the leak's."""
    pipes = np.flatnonzero(model.is_pipe & model.is_open)
    low, high = np.quantile(model.diameter_m[pipes], (0.25, 0.75))
    middle = pipes[(model.diameter_m[pipes] >= low) & (model.diameter_m[pipes] <= high)]
    whole = _n_parts(model, np.flatnonzero(model.is_open))
    for link in draw.permutation(middle):
        rest = np.flatnonzero(model.is_open & (np.arange(model.n_links) != link))
        if link != but and _n_parts(model, rest) == whole:
            return model.link_id[link]
    return None


def _n_parts(model: NetworkModel, links: npt.NDArray[np.int64]) -> int:
    shape = (model.n_nodes, model.n_nodes)
    graph = coo_matrix((np.ones(len(links)), (model.start[links], model.end[links])), shape=shape)
    return int(connected_components(graph, directed=False)[0])


def _closed(inp: Path, scratch: Path, link: str) -> Path:
    """Return a copy of a file in which one pipe is closed."""
    text = inp.read_text(encoding="utf-8", errors="replace")
    line = f"[STATUS]\n {link} Closed\n"
    if re.search(r"(?im)^\[STATUS\].*$", text):
        text = re.sub(r"(?im)^\[STATUS\].*$", lambda _: line, text, count=1)
    else:
        text = re.sub(r"(?im)^\[END\].*$", "", text) + "\n" + line + "\n[END]\n"
    copy = scratch / "closed.inp"
    copy.write_text(text, encoding="utf-8")
    return copy


def watch(model: NetworkModel, sensors: Sequence[str]) -> Watched:
    """Watch the sensors, every tank, every pump, and every link of a source or an inlet."""
    metered = _has_meter(model) | _is_at(model, _inlets(model))
    tanks = np.flatnonzero(model.node_kind == NodeKind.TANK)
    return Watched(
        pressure_nodes=tuple(sensors),
        level_tanks=tuple(model.node_id[i] for i in tanks),
        flow_links=tuple(model.link_id[k] for k in np.flatnonzero(metered)),
    )


def _has_meter(model: NetworkModel) -> npt.NDArray[np.bool_]:
    """Return which links have a meter of their own: pumps, and all of a source, (n_links,)."""
    sources = np.flatnonzero(model.node_kind == NodeKind.RESERVOIR)
    return _is_at(model, sources) | (model.link_kind == LinkKind.PUMP)


def _inlets(model: NetworkModel) -> npt.NDArray[np.int64]:
    """Return the junctions at which the file lets water in: what enters there is metered."""
    lets_in = (model.node_kind == NodeKind.JUNCTION) & (model.base_demand_m3s < 0.0)
    return np.flatnonzero(lets_in).astype(np.int64)


def _is_at(model: NetworkModel, nodes: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Return which links begin or end at some nodes, shape (n_links,)."""
    return np.isin(model.start, nodes) | np.isin(model.end, nodes)


def read(
    model: NetworkModel, watched: Watched, truth: Truth, world: World, draw: np.random.Generator
) -> Measurements:
    """Return the truth as instruments with errors give it."""
    node = {name: i for i, name in enumerate(model.node_id)}
    link = {name: i for i, name in enumerate(model.link_id)}
    level = truth.level_m + draw.normal(0.0, 0.005, truth.level_m.shape)
    flow = truth.flow_m3s * (1.0 + draw.normal(0.0, 0.005, truth.flow_m3s.shape))
    links = np.array([link[name] for name in watched.flow_links], dtype=np.int64)
    has_meter, inlets = _has_meter(model)[links], _inlets(model)
    ends, starts = model.end[links, None] == inlets, model.start[links, None] == inlets
    return Measurements(
        model_time_s=DAY_S + truth.time_s.astype(np.float64),
        is_reference=truth.time_s < world.nights * DAY_S,
        pressure_node=np.array([node[name] for name in watched.pressure_nodes], dtype=np.int64),
        pressure_m=_with_errors(truth, world, draw),
        tank_node=np.array([node[name] for name in watched.level_tanks], dtype=np.int64),
        tank_level_m=level,
        flow_link=links[has_meter],
        flow_m3s=flow[:, has_meter],
        demand_node=inlets,
        demand_m3s=flow @ (ends.astype(np.float64) - starts),
    )


def _with_errors(truth: Truth, world: World, draw: np.random.Generator) -> FloatArray:
    shape = truth.pressure_m.shape
    pressure = truth.pressure_m + draw.normal(0.0, world.bias_m, shape[1])
    pressure = pressure + draw.normal(0.0, world.noise_m, shape)
    if world.slow_noise_m > 0:
        kept = np.exp(-world.step_s / (4.0 * 3600.0))
        slow = np.zeros(shape)
        slow[0] = draw.normal(0.0, 1.0, shape[1])
        for t in range(1, shape[0]):
            slow[t] = kept * slow[t - 1] + np.sqrt(1 - kept**2) * draw.normal(0.0, 1.0, shape[1])
        pressure = pressure + world.slow_noise_m * slow
    if world.drift_m:
        drifts = int(draw.integers(shape[1]))
        pressure[:, drifts] += world.drift_m * np.linspace(0.0, 1.0, shape[0])
    return np.asarray(pressure, dtype=np.float64)


def score(model: NetworkModel, case: Case, found: Localization, seconds: float) -> dict[str, float]:
    """Return the figures of one case.

    `walk_m` is what a crew walks that takes pipes by their probability a metre, as the streets of a
    report are taken: each before the true one, whole, and in the true one from its likeliest place
    to the leak. `before` is the probability of the pipes that are more probable; `said_0.9` is what
    the pipes of the 90 % zone add up to, which is more than 0.9 by part of its last pipe.
    """
    rank = np.flatnonzero(found.link == case.link)
    at = int(rank[0]) if len(rank) else len(found.link)
    line = {
        "distance_m": distance_along_pipes_m(
            model, int(found.link[0]), float(found.place[0]), case.link, case.place
        ),
        "walk_m": _walk_m(model, case, found),
        "rank": float(at + 1) if len(rank) else np.nan,
        "before": float(found.probability[:at].sum()),
        "flow_ratio": float(found.flow_m3s[0] / case.flow_m3s),
        "flow_held": float(found.flow_low_m3s <= case.flow_m3s <= found.flow_high_m3s),
        "left_out": float(sum(one.is_whole for one in found.left_out)),
        "evidence": float(found.evidence_ratio),
        "seconds": seconds,
    }
    for level in LEVELS:
        links = zone(found, level)
        line[f"holds_{level}"] = float(case.link in links)
        line[f"said_{level}"] = float(found.probability[: len(links)].sum())
        line[f"length_{level}"] = float(model.length_m[links].sum())
    return line


def _walk_m(model: NetworkModel, case: Case, found: Localization) -> float:
    """Return what is walked until the leak [m], infinite where its pipe is no candidate."""
    length_m = model.length_m[found.link]
    order = np.argsort(-found.probability / length_m, kind="stable")
    is_true = found.link[order] == case.link
    if not is_true.any():
        return float("inf")
    at = int(is_true.argmax())
    inside_m = abs(found.place[order[at]] - case.place) * length_m[order[at]]
    return float(length_m[order[:at]].sum() + inside_m)


def summary(lines: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the figures over all cases."""
    column = {key: np.array([line[key] for line in lines]) for key in lines[0]}
    result = {
        "median_distance_m": float(np.median(column["distance_m"])),
        "mean_distance_m": float(np.mean(column["distance_m"])),
        "within_300_m": float((column["distance_m"] <= NEAR_M).mean()),
        "median_walk_m": float(np.median(column["walk_m"])),
    }
    for level in LEVELS:
        result[f"coverage_{level:g}"] = float(column[f"holds_{level}"].mean())
        result[f"said_{level:g}"] = float(column[f"said_{level}"].mean())
    result["median_zone90_m"] = float(np.median(column["length_0.9"]))
    result["outflow_range_holds"] = float(column["flow_held"].mean())
    result["median_seconds"] = float(np.median(column["seconds"]))
    return result


def worlds() -> dict[str, World]:
    """Return the worlds in which zones are tried."""
    own = World()
    wrong = Perturbation(
        demand_sigma=0.6, hourly_sigma=0.45, day_sigma=0.06, roughness_half_width=0.3
    )
    return {
        "realistic": own,
        "misspecified": replace(own, perturbation=wrong, slow_noise_m=0.03),
        "harsh: half the sensors": replace(own, share=0.5, noise_m=0.05, bias_m=0.2),
        "harsh: one drifts": replace(own, noise_m=0.05, bias_m=0.2, drift_m=0.3),
        "harsh: a closed pipe": replace(own, noise_m=0.05, bias_m=0.2, is_closed=True),
        "harsh: a second leak": replace(own, noise_m=0.05, bias_m=0.2, second_m3s=5e-4),
    }
