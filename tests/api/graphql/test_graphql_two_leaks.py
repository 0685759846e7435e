"""A recorded run with two leaks over GraphQL: each with its zones, candidates, outflow and walk."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.graphql.context import Context, Services
from api.graphql.running import execute
from api.home import Home
from hydraulics.network import NetworkModel
from twin.instants import parse_instant
from twin.leaks.artefacts import candidates_csv, several_csv, zone_geojson
from twin.leaks.placed import several_placed
from twin.leaks.records import (
    LEVELS,
    Candidate,
    Inputs,
    LeakRun,
    OneOfSeveral,
    Several,
    to_event,
)
from twin.leaks.windows import DAY_NS, Window
from twin.networks import load_model, load_network
from twin.ports import Journal

MONDAY_NS = parse_instant("2024-03-11T00:00:00+08:00")
QUERY = """
{ leakRun(runId: "leak-two") {
    isLeakEvident said zoneMap
    leaks { number flow { lowM3s likelyM3s highM3s } zones { level pipeIds lengthM }
      candidates(first: 9) { pipeId probability flowM3s } walk(first: 9) { leak rank pipeIds } }
    walk(first: 99) { leak pipeIds }
    zones { level pipeIds } } }
"""


def a_zone(model: NetworkModel, pipes: list[str]) -> tuple[Candidate, ...]:
    length_m = dict(zip(model.link_id, model.length_m.tolist(), strict=True))
    shares = (0.6, 0.36)
    return tuple(
        Candidate(p, s, 0.5, 0.004, length_m[p]) for p, s in zip(pipes, shares, strict=True)
    )


def one_of(zone: tuple[Candidate, ...], flow_m3s: float) -> OneOfSeveral:
    sizes = {"50": 1, "80": 2, "90": 2, "95": 2}
    lengths_m = {level: sum(one.length_m for one in zone[:n]) for level, n in sizes.items()}
    best = zone[0]
    quantiles_m3s = (0.8 * flow_m3s, 1.2 * flow_m3s)
    return OneOfSeveral(
        best.pipe_id, best.probability, best.place, flow_m3s, *quantiles_m3s, sizes, lengths_m
    )


def a_run(between: tuple[Candidate, ...], several: Several, posterior_sha256: str) -> LeakRun:
    inputs = Inputs(
        window=Window(MONDAY_NS, MONDAY_NS + DAY_NS),
        reference=None,
        reference_said="there was none",
        seed=1,
        settings={},
        versions={},
        inp_sha256="a" * 64,
        readings_sha256="b" * 64,
        places_sha256="c" * 64,
        n_readings=10,
        n_rows=5,
        step_s=300.0,
        known=(),
        most_leaks=4,
    )
    return LeakRun(
        run_id="leak-two",
        network="cycle",
        at_ns=MONDAY_NS + DAY_NS,
        inputs=inputs,
        candidates=between,
        n_candidates=2,
        zones=dict.fromkeys(LEVELS, tuple(one.pipe_id for one in between)),
        zone_length_m=dict.fromkeys(LEVELS, sum(one.length_m for one in between)),
        flow_low_m3s=0.001,
        flow_high_m3s=0.003,
        evidence_ratio=-2.0,
        left_out=(),
        residuals=(),
        posterior_sha256=posterior_sha256,
        residuals_sha256="e" * 64,
        map_sha256="",
        several=several,
    )


def record_two(journal: Journal) -> None:
    """Record a run whose readings two leaks explain, and no single one."""
    network = load_network(journal, "cycle")
    model = load_model(journal, network)
    pipes = [name for name, is_pipe in zip(model.link_id, model.is_pipe, strict=True) if is_pipe]
    zones = (a_zone(model, pipes[:2]), a_zone(model, pipes[-2:]))
    between = a_zone(model, pipes[4:6])
    leaks = (one_of(zones[0], 0.006), one_of(zones[1], 0.004))
    kept = [several_csv(several_placed(leaks, zones)), candidates_csv(between)]
    several = Several((0.01, 0.99), leaks, hashlib.sha256(kept[0]).hexdigest())
    run = a_run(between, several, hashlib.sha256(kept[1]).hexdigest())
    kept.append(zone_geojson(run, several_placed(leaks, zones), network, model))
    run = replace(run, map_sha256=hashlib.sha256(kept[-1]).hexdigest())
    for content in kept:
        journal.keep_file(content)
    journal.record([to_event(run)])


@pytest.fixture
def run(own_home: Path) -> Iterator[dict[str, Any]]:
    home = Home(own_home)
    with home.writer() as journal:
        record_two(journal)
    services = Services(home, write_wait_s=0.0)
    result = execute(Context(services), QUERY, {})
    assert result.errors is None, [error.formatted for error in result.errors]
    assert result.data is not None
    yield result.data["leakRun"]
    services.close()


def test_each_of_two_leaks_is_to_be_searched_in_its_own_zone(run: dict[str, Any]) -> None:
    first, second = run["leaks"]
    assert (first["number"], second["number"]) == (1, 2)
    for leak in run["leaks"]:
        assert [zone["level"] for zone in leak["zones"]] == [50, 80, 90, 95]
        widest = leak["zones"][-1]["pipeIds"]
        assert [one["pipeId"] for one in leak["candidates"]] == widest
        assert [one["probability"] for one in leak["candidates"]] == [0.6, 0.36]
        assert sorted(p for one in leak["walk"] for p in one["pipeIds"]) == sorted(widest)
        assert {one["leak"] for one in leak["walk"]} == {leak["number"]}
    assert first["flow"] == pytest.approx({"lowM3s": 0.0048, "likelyM3s": 0.006, "highM3s": 0.0072})


def test_the_map_and_the_walk_of_two_leaks_say_which_a_pipe_is_of(run: dict[str, Any]) -> None:
    zones = {
        (leak["number"], pipe) for leak in run["leaks"] for pipe in leak["zones"][-1]["pipeIds"]
    }
    features = [one["properties"] for one in run["zoneMap"]["features"]]
    assert {(one["leak"], one["pipe_id"]) for one in features} == zones
    assert {(one["leak"], pipe) for one in run["walk"] for pipe in one["pipeIds"]} == zones


def test_two_leaks_are_evident_though_no_single_one_is_and_the_one_lies_elsewhere(
    run: dict[str, Any],
) -> None:
    assert run["isLeakEvident"] is True
    assert run["said"].startswith("Two leaks show")
    assert "hardly any evidence" not in run["said"]
    searched = {pipe for leak in run["leaks"] for pipe in leak["zones"][-1]["pipeIds"]}
    assert not searched & set(run["zones"][-1]["pipeIds"])
