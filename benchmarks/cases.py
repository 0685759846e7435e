"""Simulated days with some leaks, made as those of `localize` are."""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from localize import DAY_S, read, watch

from hydraulics.epanet.scenario import Perturbation, PipeLeak, Scenario, run_scenario
from hydraulics.errors import HydraulicsError
from hydraulics.leaks.measurements import Measurements
from hydraulics.leaks.prepared import Leak
from hydraulics.network import NetworkModel


@dataclass(frozen=True)
class Case:
    """Simulated leaks and what was read."""

    leaks: tuple[Leak, ...]
    seen: Measurements


def make_case(
    options: argparse.Namespace, model: NetworkModel, sensors: list[str], seed: int, n_leaks: int
) -> Case | None:
    """Return a day without and a day with leaks, or None where EPANET cannot run the truth.

    Args:
        options: `network`, `flow_ls`, `demand_sigma`, `hourly_sigma` and `roughness`.
        model: The network.
        sensors: Ids of the nodes with a pressure sensor.
        seed: Of all draws.
        n_leaks: How many leaks, each in a pipe of its own.
    """
    draw = np.random.default_rng(seed)
    leaks = draw_leaks(options, model, draw, n_leaks)
    watched = watch(model, sensors)
    scenario = Scenario(
        model_start_s=DAY_S,
        duration_s=2 * DAY_S,
        seed=seed,
        step_s=900,
        warm_up_s=0,
        leaks=tuple(
            PipeLeak(model.link_id[one.link], one.place, one.flow_m3s, DAY_S) for one in leaks
        ),
        perturbation=Perturbation(
            demand_sigma=options.demand_sigma,
            hourly_sigma=options.hourly_sigma,
            roughness_half_width=options.roughness,
        ),
    )
    try:
        with tempfile.TemporaryDirectory() as scratch:
            truth = run_scenario(options.network, scenario, watched, Path(scratch))
    except HydraulicsError as error:
        print(f"case {seed}: {error}", file=sys.stderr)
        return None
    return Case(leaks, read(model, watched, truth, draw))


def draw_leaks(
    options: argparse.Namespace, model: NetworkModel, draw: np.random.Generator, n_leaks: int
) -> tuple[Leak, ...]:
    """Draw leaks, pipes in proportion to length and sizes evenly in their logarithm."""
    pipes = np.flatnonzero(model.is_pipe & model.is_open & (model.length_m > 0))
    share = model.length_m[pipes] / model.length_m[pipes].sum()
    links = draw.choice(pipes, size=n_leaks, replace=False, p=share)
    places = draw.uniform(0.02, 0.98, n_leaks)
    low, high = (float(part) / 1000.0 for part in options.flow_ls.split(","))
    flows = np.exp(draw.uniform(np.log(low), np.log(high), n_leaks))
    drawn = zip(links, places, flows, strict=True)
    return tuple(Leak(int(link), float(place), float(flow)) for link, place, flow in drawn)


def marked_sensors(network: Path) -> list[str]:
    """Return ids of junctions that the file's comments call a pressure sensor."""
    junctions = network.read_text(encoding="utf-8", errors="replace").split("[JUNCTIONS]")[1]
    lines = junctions.split("[", maxsplit=1)[0].splitlines()
    return [line.split()[0] for line in lines if re.search(r";.*PRESSURE SENSOR", line)]
