from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from hydraulics.network import NetworkModel
from ledger.journal import Ledger
from twin.assets import Network
from twin.errors import NotFoundError
from twin.leaks.artefacts import (
    Residuals,
    candidates_csv,
    candidates_of,
    residuals_json,
    residuals_of,
    zone_geojson,
)
from twin.leaks.placed import PlacedLeak, placed_leaks
from twin.leaks.records import (
    MAX_CANDIDATES_IN_EVENT,
    KnownInModel,
    LeakRun,
    from_event,
    load_run,
    load_runs,
    to_event,
)
from twin.leaks.windows import Window
from twin.networks import load_model, load_network

Between = Callable[[str, str], Window]


@pytest.fixture
def network(journal: Ledger) -> Network:
    return load_network(journal, "block")


@pytest.fixture
def model(journal: Ledger, network: Network) -> NetworkModel:
    return load_model(journal, network)


def test_a_run_comes_back_from_the_ledger_as_it_was(journal: Ledger, recorded_run: LeakRun) -> None:
    found = load_run(journal, recorded_run.run_id)
    assert found == recorded_run
    assert found.evidence is not None
    assert from_event(journal.event_at(found.evidence)) == recorded_run


def test_a_run_with_a_reference_and_known_leaks_comes_back(
    journal: Ledger, a_run: Callable[..., LeakRun], window: Between
) -> None:
    plain = a_run("leak-full", window("01-08T00:00", "01-09T00:00"))
    inputs = replace(
        plain.inputs,
        reference=window("01-02T00:00", "01-03T00:00"),
        known=(KnownInModel("leak-old", "H11", 0.5, 0.001, True),),
    )
    run = replace(plain, inputs=inputs)
    journal.record([to_event(run)])
    assert load_runs(journal, "block") == [run]


def test_an_unknown_run_is_named(journal: Ledger) -> None:
    with pytest.raises(NotFoundError, match="leak-none"):
        load_run(journal, "leak-none")


def test_zones_are_nested_and_lie_in_the_order_of_probability(recorded_run: LeakRun) -> None:
    zones = recorded_run.zones
    assert zones["50"] == ("H00",)
    assert zones["95"][: len(zones["90"])] == zones["90"]


def test_an_event_of_fourteen_thousand_pipes_stays_below_a_megabyte(
    journal: Ledger, a_run: Callable[..., LeakRun], window: Between
) -> None:
    # BWSN Network 2 has 14,822 pipes; the posterior is kept as a file.
    run = a_run("leak-big", window("01-08T00:00", "01-09T00:00"))
    pipes = tuple(f"LINK-{i}" for i in range(14_822))
    big = replace(
        run,
        candidates=run.candidates * MAX_CANDIDATES_IN_EVENT,
        zones=dict.fromkeys(run.zones, pipes),
    )
    body = to_event(big).body
    assert len(json.dumps(body)) < 1_000_000
    assert len(body["candidates"]) == MAX_CANDIDATES_IN_EVENT  # type: ignore[arg-type]
    journal.record([to_event(big)])
    assert load_run(journal, "leak-big").zones["90"] == pipes


def test_the_csv_lists_every_candidate_and_reads_back_exactly(recorded_run: LeakRun) -> None:
    content = candidates_csv(recorded_run.candidates)
    first, second, *_ = content.decode().splitlines()
    assert first == "rank,pipe_id,probability,cumulative,place,flow_m3s,length_m"
    assert second.startswith("1,H00,0.5714285714285714,0.5714285714285714,0.25,0.002,")
    assert candidates_of(content) == recorded_run.candidates


@pytest.mark.parametrize("pipe_id", ['a,"b"', "line\nbreak", "=1+1"])
def test_the_csv_holds_any_name(recorded_run: LeakRun, pipe_id: str) -> None:
    odd = replace(recorded_run.candidates[0], pipe_id=pipe_id)
    assert candidates_of(candidates_csv([odd])) == (odd,)


def test_residuals_read_back_to_the_micrometre_with_their_gaps(some_residuals: Residuals) -> None:
    found = residuals_of(residuals_json(some_residuals))
    assert found.at_ns.tolist() == some_residuals.at_ns.tolist()
    assert found.tags == some_residuals.tags
    assert np.allclose(found.residual_m, some_residuals.residual_m, atol=1e-6, equal_nan=True)
    assert np.isnan(found.residual_m[1, 0])


def test_a_local_zone_keeps_its_coordinates_and_says_so(
    recorded_run: LeakRun, network: Network, model: NetworkModel
) -> None:
    document = json.loads(zone_geojson(recorded_run, leaks_of(recorded_run), network, model))
    assert document["crs"] == "LOCAL"
    first = document["features"][0]
    assert first["geometry"] == {"type": "LineString", "coordinates": [[0, 0], [200, 0]]}
    assert first["properties"]["zone"] == "50"
    assert {one["properties"]["leak"] for one in document["features"]} == {1}
    assert first["properties"]["probability"] == pytest.approx(4 / 7)
    assert document["features"][-1]["geometry"]["coordinates"] == [50, 0]  # a quarter of H00


def test_a_zone_of_a_known_system_is_longitude_and_latitude(
    recorded_run: LeakRun, network: Network, model: NetworkModel
) -> None:
    # UTM zone 36N: the false easting of 500 km is the central meridian, 33° E.
    moved = replace_coordinates(model, np.array([500_000.0, 3_870_000.0]))
    document = json.loads(
        zone_geojson(
            recorded_run, leaks_of(recorded_run), replace(network, crs="EPSG:32636"), moved
        )
    )
    (lon, lat), (east, _) = document["features"][0]["geometry"]["coordinates"]
    assert "crs" not in document
    assert lon == pytest.approx(33.0, abs=1e-9)
    assert lat == pytest.approx(34.97, abs=0.01)
    assert east - lon == pytest.approx(200 / 91_290, rel=2e-3)  # a degree there is 91.29 km


def test_a_network_without_coordinates_gives_features_without_geometry(
    recorded_run: LeakRun, network: Network, model: NetworkModel
) -> None:
    nowhere = replace(model, node_xy=np.full_like(model.node_xy, np.nan))
    document = json.loads(zone_geojson(recorded_run, leaks_of(recorded_run), network, nowhere))
    assert {feature["geometry"] for feature in document["features"]} == {None}


def leaks_of(run: LeakRun) -> tuple[PlacedLeak, ...]:
    return placed_leaks(run, run.candidates, ())


def replace_coordinates(model: NetworkModel, offset: np.ndarray) -> NetworkModel:  # type: ignore[type-arg]
    return replace(model, node_xy=model.node_xy + offset)
