"""Scalars: what crosses the wire as one value. NaN and infinity never leave."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, NewType

import strawberry
from strawberry.types.scalar import ScalarDefinition

from twin.errors import UnreadableError
from twin.instants import InstantError, format_instant, parse_instant

Instant = NewType("Instant", int)
Nanoseconds = NewType("Nanoseconds", int)
GeoJSON = NewType("GeoJSON", dict)  # type: ignore[type-arg]
LonLatBox = NewType("LonLatBox", tuple)  # type: ignore[type-arg]
NativeBox = NewType("NativeBox", tuple)  # type: ignore[type-arg]
Hash = NewType("Hash", str)
EventCursor = NewType("EventCursor", str)

_HASH = re.compile(r"[0-9a-f]{64}")
_MAX_CURSOR = 512
_MAX_LON = 180.0
_MAX_LAT = 90.0
_N_SIDES = 4


class ScalarError(UnreadableError):
    """A value that the client sent is not of its scalar."""

    code = "BAD_USER_INPUT"


def _read_instant(value: Any) -> Instant:  # noqa: ANN401 - whatever JSON holds
    if not isinstance(value, str):
        raise ScalarError("write a time as text, like 2018-03-27T20:35:00+02:00")
    try:
        return Instant(parse_instant(value))
    except InstantError as error:
        raise ScalarError(str(error)) from error


def _read_nanoseconds(value: Any) -> Nanoseconds:  # noqa: ANN401 - whatever JSON holds
    if not isinstance(value, str) or re.fullmatch(r"[0-9]{1,19}", value) is None:
        raise ScalarError("write nanoseconds since the Unix epoch as text of digits")
    return Nanoseconds(int(value))


def _read_box(value: Any) -> tuple[float, float, float, float]:  # noqa: ANN401 - as above
    numbers = value if isinstance(value, list) else ()
    if len(numbers) != _N_SIDES or not all(_is_finite(number) for number in numbers):
        raise ScalarError("write a box as four numbers: [minX, minY, maxX, maxY]")
    west, south, east, north = map(float, numbers)
    if west > east or south > north:
        raise ScalarError("the first corner must be the lower left: [minX, minY, maxX, maxY]")
    return west, south, east, north


def _read_lon_lat_box(value: Any) -> LonLatBox:  # noqa: ANN401 - whatever JSON holds
    box = _read_box(value)
    west, south, east, north = box
    if max(abs(west), abs(east)) <= _MAX_LON and max(abs(south), abs(north)) <= _MAX_LAT:
        return LonLatBox(box)
    if max(abs(south), abs(north)) <= _MAX_LON and max(abs(west), abs(east)) <= _MAX_LAT:
        raise ScalarError("the axes are swapped: write [minLon, minLat, maxLon, maxLat]")
    raise ScalarError(
        "outside of longitude ±180 and latitude ±90; native coordinates go into nativeBbox"
    )


def _read_hash(value: Any) -> Hash:  # noqa: ANN401 - whatever JSON holds
    if not isinstance(value, str) or _HASH.fullmatch(value) is None:
        raise ScalarError("write a hash as 64 lower-case hexadecimal digits")
    return Hash(value)


def _read_cursor(value: Any) -> EventCursor:  # noqa: ANN401 - whatever JSON holds
    if not isinstance(value, str) or len(value) > _MAX_CURSOR:
        raise ScalarError("give back a cursor as it was received")
    return EventCursor(value)


def _refuse_geojson(_value: Any) -> GeoJSON:  # noqa: ANN401 - whatever JSON holds
    raise ScalarError("geometry is only ever an answer")


def _give_instant(value: Any) -> str:  # noqa: ANN401 - whatever a resolver returned
    return format_instant(int(value))


def _give_geojson(value: Any) -> Mapping[str, Any]:  # noqa: ANN401 - as above
    assert isinstance(value, Mapping)
    return value


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


SCALARS: dict[object, ScalarDefinition] = {
    Instant: strawberry.scalar(
        name="DateTime",
        description="An instant: RFC 3339 with an offset. Answers are in UTC.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
        serialize=_give_instant,
        parse_value=_read_instant,
    ),
    Nanoseconds: strawberry.scalar(
        name="Nanoseconds",
        description="Nanoseconds since the Unix epoch, UTC, as text of digits: exact everywhere.",
        serialize=str,
        parse_value=_read_nanoseconds,
    ),
    GeoJSON: strawberry.scalar(
        name="GeoJSON",
        description=(
            "A GeoJSON object (RFC 7946) in CRS84: longitude, latitude. A network whose coordinate "
            'system is unknown keeps its own coordinates and says so: "crs": "LOCAL".'
        ),
        specified_by_url="https://www.rfc-editor.org/rfc/rfc7946",
        serialize=_give_geojson,
        parse_value=_refuse_geojson,
    ),
    LonLatBox: strawberry.scalar(
        name="BBox",
        description="[minLon, minLat, maxLon, maxLat] in degrees.",
        serialize=list,
        parse_value=_read_lon_lat_box,
    ),
    NativeBox: strawberry.scalar(
        name="NativeBBox",
        description="[minX, minY, maxX, maxY] in the network's own coordinates.",
        serialize=list,
        parse_value=lambda value: NativeBox(_read_box(value)),
    ),
    Hash: strawberry.scalar(
        name="Hash",
        description="SHA-256 as 64 lower-case hexadecimal digits.",
        serialize=str,
        parse_value=_read_hash,
    ),
    EventCursor: strawberry.scalar(
        name="EventCursor",
        description="A place in a list or in the record; opaque, signed, good in this home only.",
        serialize=str,
        parse_value=_read_cursor,
    ),
}
