from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from strawberry.types import ExecutionResult

from api.graphql.geometry import draw, finite_properties, geometry_of, is_known_crs
from twin.assets import Asset, AssetKind
from twin.ids import AssetRef, Space

UTM_50N = "EPSG:32650"
NAN = float("nan")


def pipe(*points: tuple[float, float]) -> Asset:
    return Asset(AssetRef(Space.LINK, "1"), AssetKind.PIPE, points)


def test_a_point_on_the_central_meridian_of_zone_50_is_at_117_east() -> None:
    # UTM zone 50 has its central meridian, easting 500,000 m, at 117° E; northing 0 is the equator.
    assert geometry_of(pipe((500_000.0, 0.0)), UTM_50N) == {
        "type": "Point",
        "coordinates": [117.0, 0.0],
    }


def test_a_known_system_leaves_as_longitude_then_latitude() -> None:
    # ETRS89 lists latitude first; GeoJSON does not.
    geometry = geometry_of(pipe((35.0, 33.0), (35.1, 33.0)), "EPSG:4326")
    assert geometry == {"type": "LineString", "coordinates": [[35.0, 33.0], [35.1, 33.0]]}


def test_native_coordinates_stay_as_they_came() -> None:
    geometry = geometry_of(pipe((500_000.1, 4e6), (500_001.2, 4e6)), UTM_50N, native=True)
    assert geometry is not None
    assert geometry["coordinates"] == [[500_000.1, 4e6], [500_001.2, 4e6]]
    assert "crs" not in geometry


def test_a_local_geometry_says_so() -> None:
    geometry = geometry_of(pipe((1.0, 2.0), (3.0, 4.0)), "LOCAL")
    assert geometry == {
        "type": "LineString",
        "coordinates": [[1.0, 2.0], [3.0, 4.0]],
        "crs": "LOCAL",
    }


@pytest.mark.parametrize("points", [(), ((NAN, 0.0),), ((0.0, 0.0), (1.0, math.inf))])
def test_an_asset_without_finite_coordinates_has_no_geometry(
    points: tuple[tuple[float, float], ...],
) -> None:
    assert geometry_of(pipe(*points), "LOCAL") is None


@pytest.mark.parametrize(("crs", "known"), [(UTM_50N, True), ("LOCAL", False), ("EPSG:1", False)])
def test_only_a_registered_system_has_a_map(crs: str, known: bool) -> None:  # noqa: FBT001
    assert is_known_crs(crs) is known


def test_a_box_holds_what_its_bounding_box_touches() -> None:
    assets = [pipe((0.0, 0.0), (10.0, 10.0)), pipe((20.0, 0.0)), pipe((5.0, 30.0), (6.0, 31.0))]
    touching = draw(assets, "LOCAL").touching((9.0, 0.0, 20.0, 5.0))
    assert touching.tolist() == [True, True, False]
    assert draw([], "LOCAL").touching((0.0, 0.0, 1.0, 1.0)).tolist() == []


def test_nan_and_infinity_become_null() -> None:
    properties = {"length_m": NAN, "diameter_m": -math.inf, "name": "nan", "open": True, "x": 0.5}
    found = finite_properties(properties)
    assert found == {"length_m": None, "diameter_m": None, "name": "nan", "open": True, "x": 0.5}
    assert np.isnan(properties["length_m"])


@pytest.mark.parametrize(
    ("box", "hint"),
    [
        ("[49, 116, 50, 117]", "axes are swapped"),
        ("[117, 50, 116, 49]", "lower left"),
        ("[116, 49, 117]", "four numbers"),
        ("[500000, 4000000, 500001, 4000001]", "nativeBbox"),
        ('["116", 49, 117, 50]', "four numbers"),
    ],
)
def test_a_box_that_is_none_is_refused_with_a_hint(
    ask: Callable[..., ExecutionResult], box: str, hint: str
) -> None:
    result = ask(f'{{ featureCollection(network: "cycle", bbox: {box}) }}')
    assert result.errors is not None
    assert hint in result.errors[0].message


@pytest.mark.parametrize(
    "at", ["2024-03-13T17:00:00", "yesterday", 7, "2024-02-30T00:00:00Z", None]
)
def test_a_time_without_an_offset_is_refused(
    ask: Callable[..., ExecutionResult],
    at: Any,
) -> None:
    query = (
        'query ($at: DateTime!) { reading(network: "ltown", tag: "n54.pressure", at: $at) { v } }'
    )
    result = ask(query, at=at)
    assert result.errors is not None
    assert result.errors[0].extensions is not None
    assert result.errors[0].extensions["code"] == "BAD_USER_INPUT"
