"""What a call of a watch means: pipes within reach, and how they leave as files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from hydraulics.network import NetworkModel
from hydraulics.paths import pipe_distances_m
from ledger.journal import Ledger
from twin.leaks.reach import REACH_M, pipes_in_reach
from twin.leaks.sightings import Sighting, SightingKind
from twin.leaks.watch_files import sightings_csv, sightings_geojson, zone_of
from twin.leaks.windows import Window
from twin.networks import load_model, load_network
from twin.networks.records import read_model

Between = Callable[[str, str], Window]


@pytest.fixture
def model(journal: Ledger) -> NetworkModel:
    return load_model(journal, load_network(journal, "block"))


@pytest.fixture
def call(window: Between) -> Sighting:
    day = window("01-08T00:00", "01-09T00:00")
    return Sighting(
        network="block",
        kind=SightingKind.CALL,
        day=day,
        asset="link:H00",
        tag=None,
        fault=None,
        offset_m=None,
        flow_m3s=0.003,
        probability=0.8,
        onset_ns=day.from_ns,
        calibration=window("01-01T00:00", "01-07T00:00"),
        readings_sha256="a" * 64,
        inp_sha256="b" * 64,
    )


def chain(*lengths_m: float, valve_at: int = -1) -> NetworkModel:
    """A line of pipes P0, P1, … with these lengths; one junction may be cut in two by a valve."""
    n = len(lengths_m)
    names = [f"J{i}" for i in range(n)]
    starts = ["R1", *names]
    if valve_at >= 0:
        names.append("JV")
        starts[valve_at + 1] = "JV"
    pipes = [f"P{i} {starts[i]} J{i} {m} 200 120 0 Open" for i, m in enumerate(lengths_m)]
    valves = [f"V1 J{valve_at} JV 200 TCV 1 0"] if valve_at >= 0 else []
    rows = [
        *("[JUNCTIONS]", *(f"{name} 10 1" for name in names), "[RESERVOIRS]", "R1 60"),
        *("[PIPES]", *pipes, "[VALVES]", *valves),
        *("[OPTIONS]", "Units LPS", "Headloss H-W", "[END]", ""),
    ]
    return read_model("\n".join(rows))


def test_the_zone_is_the_pipes_that_the_probability_of_a_call_speaks_of(
    model: NetworkModel,
) -> None:
    pipes = np.flatnonzero(np.asarray(model.is_pipe))
    names = [model.link_id[link] for link in pipes]
    between_m = pipe_distances_m(model, pipes)
    for at, name in enumerate(names):
        counted = {names[i] for i in np.flatnonzero(between_m[at] <= REACH_M)}
        assert counted <= set(pipes_in_reach(model, name))


def test_the_called_pipe_is_first_and_the_others_follow_by_distance() -> None:
    assert pipes_in_reach(chain(100, 100, 100, 100, 100, 100), "P1")[0] == "P1"
    assert pipes_in_reach(chain(100, 100, 100, 100, 100, 100), "P0") == ("P0", "P1", "P2", "P3")


def test_pipes_that_are_longer_than_the_reach_bring_their_neighbours() -> None:
    assert set(pipes_in_reach(chain(900, 900, 900), "P0")) == {"P0", "P1"}


def test_a_pipe_alone_between_valves_brings_the_nearest_beyond() -> None:
    assert pipes_in_reach(chain(900, 900, valve_at=0), "P1") == ("P1", "P0")


def test_a_network_of_one_pipe_has_a_zone_of_one() -> None:
    assert pipes_in_reach(chain(100), "P0") == ("P0",)


def test_a_pipe_that_the_model_does_not_hold_has_no_zone(model: NetworkModel) -> None:
    assert pipes_in_reach(model, "none") == ()
    assert pipes_in_reach(model, "V1") == ()  # a valve


def test_the_table_and_the_map_say_what_the_watch_told(
    journal: Ledger, model: NetworkModel, call: Sighting
) -> None:
    lie = replace(
        call,
        kind=SightingKind.SENSOR,
        asset="node:J11",
        tag="P-J11",
        fault="stuck",
        offset_m=0.25,
        flow_m3s=None,
        probability=None,
    )
    rows = list(csv.DictReader(io.StringIO(sightings_csv([call, lie]).decode())))
    assert [row["kind"] for row in rows] == ["call", "sensor"]
    assert (rows[0]["probability"], rows[0]["reach_m"], rows[0]["offset_m"]) == ("0.8", "300.0", "")
    assert (rows[1]["probability"], rows[1]["reach_m"], rows[1]["offset_m"]) == ("", "", "0.25")
    drawn = json.loads(sightings_geojson([call, lie], load_network(journal, "block"), model))
    assert drawn["crs"] == "LOCAL"
    pipes = [one["properties"]["pipe_id"] for one in drawn["features"]]
    assert tuple(pipes) == zone_of(call, model)
    assert {one["properties"]["sighting_id"] for one in drawn["features"]} == {call.sighting_id}
    assert zone_of(lie, model) == ()
