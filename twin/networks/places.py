"""How a network's coordinates and clock map to the world."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from twin.assets import LOCAL_CRS, Network, Point, local_datetime, zone_of
from twin.errors import UnreadableError
from twin.findings import Finding, Severity
from twin.instants import datetime_to_ns
from twin.networks.source import Source

A_MONDAY = datetime(2018, 1, 1)  # noqa: DTZ001 - a wall clock, placed in a zone later
_EPSG = re.compile(r"EPSG:([1-9]\d{3,5})")
_OFFSET = re.compile(r"[+-](?:0\d|1[0-4]):[0-5]\d")


def check_crs(text: str) -> str:
    """Return a coordinate system as it is recorded: `EPSG:n` or `LOCAL`.

    Raises:
        UnreadableError: It is spelled otherwise, or is no system of two axes on the ground.
    """
    if text.upper() == LOCAL_CRS:
        return LOCAL_CRS
    match = _EPSG.fullmatch(text.upper())
    if match is None:
        raise UnreadableError(f"--crs {text!r}: write it as EPSG:N, such as EPSG:32650, or local")
    from pyproj import CRS  # noqa: PLC0415 - takes a moment to load
    from pyproj.exceptions import CRSError  # noqa: PLC0415 - the same

    try:
        crs = CRS.from_epsg(int(match.group(1)))
    except CRSError as error:
        raise UnreadableError(f"--crs {text}: EPSG knows no such coordinate system") from error
    if not (crs.is_projected or crs.is_geographic):
        raise UnreadableError(f"--crs {text}: {crs.name} is no system of places on the ground")
    return text.upper()


def outside_of(crs: str, points: Sequence[Point]) -> str | None:
    """Return where a coordinate system is used, if points lie outside; None if all is well."""
    if crs == LOCAL_CRS or not points:
        return None
    from pyproj import CRS, Transformer  # noqa: PLC0415 - takes a moment to load

    area = CRS.from_user_input(crs).area_of_use
    if area is None:
        return None
    transformer = Transformer.from_crs(crs, "OGC:CRS84", always_xy=True)
    xs, ys = [x for x, _ in points], [y for _, y in points]
    lon, lat = transformer.transform([min(xs), max(xs)], [min(ys), max(ys)])
    # Half a degree: a town may lie across the edge of its zone.
    is_inside = all(
        _is_within(x, area.west - 0.5, area.east + 0.5)
        and _is_within(y, area.south - 0.5, area.north + 0.5)
        for x, y in zip(lon, lat, strict=True)
    )
    return None if is_inside or area.west > area.east else str(area.name)


def _is_within(value: float, low: float, high: float) -> bool:
    return low <= value <= high  # also False for the infinity of a place that has no image


def check_time_zone(text: str) -> str:
    """Return a time zone that is known: an IANA name, or an offset such as `+02:00`.

    Raises:
        UnreadableError: It is neither.
    """
    if _OFFSET.fullmatch(text):
        return text
    try:
        if text[:1].isalpha():
            return ZoneInfo(text).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    raise UnreadableError(
        f"--time-zone {text!r}: write an IANA name such as Asia/Shanghai, or an offset as +02:00"
    )


@dataclass(frozen=True, slots=True)
class Placing:
    """What a person says of place and time, checked; None where nothing is said.

    Attributes:
        crs: `EPSG:n` or `LOCAL`.
        time_zone: IANA name, or an offset such as `+02:00`.
        model_start_ns: The instant of model time zero.
    """

    crs: str | None = None
    time_zone: str | None = None
    model_start_ns: int | None = None


def check_placing(crs: str | None, time_zone: str | None, model_start_ns: int | None) -> Placing:
    """Return what a person says of place and time, checked.

    Raises:
        UnreadableError: Something of it is spelled wrongly.
    """
    return Placing(
        None if crs is None else check_crs(crs),
        None if time_zone is None else check_time_zone(time_zone),
        model_start_ns,
    )


def start_text(network: Network) -> str:
    """Return the wall clock of a network at model time zero, as a person reads it."""
    start = local_datetime(network.model_start_ns, network.time_zone)
    return f"{start:%A %Y-%m-%d %H:%M:%S}"


def monday_ns(start_clock_s: int, time_zone: str) -> int:
    """Return Monday, 1 January 2018 at a time of day of a zone [ns since the Unix epoch]."""
    wall = A_MONDAY + timedelta(seconds=start_clock_s)
    zone = zone_of(time_zone)
    if zone is None:
        return datetime_to_ns(datetime.fromisoformat(f"{wall.isoformat()}{time_zone}"))
    return datetime_to_ns(wall.replace(tzinfo=zone).astimezone(UTC))


def settle(
    files: Source, before: Network | None, given: Placing, start_clock_s: int
) -> tuple[Network, list[Finding]]:
    """Return the network as it shall stand, and what a person may want to know of it.

    What is not given stays as recorded; where nothing is recorded, coordinates are local, the zone
    is UTC and model time zero is a Monday.

    Args:
        files: The files it comes from.
        before: The network as recorded, None where it is new.
        given: What a person says.
        start_clock_s: START CLOCKTIME of the file [s].
    """
    notes = [] if before else list(_defaults(files.name, given))
    zone = given.time_zone or (before.time_zone if before else "UTC")
    start_ns = given.model_start_ns
    if start_ns is None and before is not None and before.is_model_start_given:
        start_ns = before.model_start_ns
    network = Network(
        name=files.name,
        crs=given.crs or (before.crs if before else LOCAL_CRS),
        time_zone=zone,
        model_start_ns=monday_ns(start_clock_s, zone) if start_ns is None else start_ns,
        is_model_start_given=start_ns is not None,
        inp_sha256=files.sha256s()["network.inp"],
    )
    return network, notes


def _defaults(name: str, given: Placing) -> Iterator[Finding]:
    if given.crs is None:
        message = "no --crs was given, so its coordinates belong to no known system (local)"
        yield Finding("crs", message, Severity.NOTE, subject=name)
    if given.time_zone is None:
        message = "no --time-zone was given, so its hours are those of UTC"
        yield Finding("time-zone", message, Severity.NOTE, subject=name)
