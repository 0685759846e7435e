"""Coordinates and clocks: what is accepted, and what is taken where nothing is said."""

from __future__ import annotations

import pytest

from twin.assets import Network, model_time_s
from twin.errors import UnreadableError
from twin.instants import parse_instant
from twin.networks.places import check_crs, check_time_zone, monday_ns

HOUR_S = 3_600


@pytest.mark.parametrize(
    ("text", "crs"),
    [
        ("EPSG:32650", "EPSG:32650"),
        ("epsg:4326", "EPSG:4326"),
        ("local", "LOCAL"),
        ("LOCAL", "LOCAL"),
    ],
)
def test_a_coordinate_system_is_a_known_epsg_code_or_local(text: str, crs: str) -> None:
    assert check_crs(text) == crs


@pytest.mark.parametrize(
    "text",
    ["", "32650", "EPSG:", "EPSG:0", "EPSG:99999", "EPSG:-1", "EPSG:5773", "WGS84", "EPSG:32650 "],
)
def test_any_other_coordinate_system_is_refused(text: str) -> None:
    with pytest.raises(UnreadableError, match="--crs"):
        check_crs(text)


@pytest.mark.parametrize("text", ["UTC", "Asia/Shanghai", "+02:00", "-03:30", "Europe/Berlin"])
def test_a_time_zone_is_a_known_name_or_an_offset(text: str) -> None:
    assert check_time_zone(text) == text


@pytest.mark.parametrize(
    "text", ["", "+2", "+02", "+15:00", "Mars/Base", "../etc/passwd", "/etc/passwd", "+02:60", "Z "]
)
def test_any_other_time_zone_is_refused(text: str) -> None:
    with pytest.raises(UnreadableError, match="--time-zone"):
        check_time_zone(text)


@pytest.mark.parametrize(
    ("zone", "start"),
    [
        ("UTC", "2018-01-01T06:00:00Z"),
        ("+02:00", "2018-01-01T06:00:00+02:00"),
        ("Asia/Shanghai", "2018-01-01T06:00:00+08:00"),
        ("America/New_York", "2018-01-01T06:00:00-05:00"),
    ],
)
def test_unsaid_model_time_zero_is_a_monday_at_the_files_clock(zone: str, start: str) -> None:
    assert monday_ns(6 * HOUR_S, zone) == parse_instant(start)


def test_the_models_clock_follows_the_week_of_the_zone() -> None:
    network = Network("n", "LOCAL", "+02:00", monday_ns(0, "+02:00"), False, "")
    # 27 March 2018 is a Tuesday.
    at_ns = parse_instant("2018-03-27T20:35:00+02:00")
    assert model_time_s(network, at_ns) == 24 * HOUR_S + 20 * HOUR_S + 35 * 60
