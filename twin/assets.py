"""Networks and the assets of the water cycle, from source to outfall."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from twin.ids import AssetRef, Space
from twin.instants import ns_to_datetime

Property = str | float | bool
Point = tuple[float, float]
WEEK_S = 7 * 86_400
LOCAL_CRS = "LOCAL"


class AssetKind(StrEnum):
    """What an asset is. A reservoir of an EPANET file is a source."""

    SOURCE = "source"
    PLANT = "plant"
    TANK = "tank"
    JUNCTION = "junction"
    USER = "user"
    MANHOLE = "manhole"
    SEWAGE_PLANT = "sewage_plant"
    OUTFALL = "outfall"
    WATER_BODY = "water_body"
    PIPE = "pipe"
    PUMP = "pump"
    VALVE = "valve"
    ABSTRACTION = "abstraction"  # water body or source → plant
    SERVICE = "service"  # junction → user, never drawn in an .inp
    DRAIN = "drain"  # user → manhole or sewage plant
    SEWER = "sewer"
    DISCHARGE = "discharge"  # outfall → water body
    REACH = "reach"  # along a water body


@dataclass(frozen=True, slots=True)
class Asset:
    """One thing of the city's water.

    Attributes:
        ref: Its name within the network.
        kind: What it is.
        geometry: Native coordinates (x, y): one point for a node or user, the whole polyline with
            both ends for a link; empty where the file gives none.
        start: First end of a link, None for anything else.
        end: Second end of a link, None for anything else.
        is_open: Whether water can pass as built (a closed valve or pipe: False).
        is_oneway: Whether water can pass only from start to end (pumps, check valves, sewers).
        from_model: Whether the EPANET file holds it, so that a hydraulic run gives its flow.
        properties: What else is known, names ending in their SI unit: `length_m`, `diameter_m`,
            `elevation_m`, `roughness`, `base_demand_m3s`, `name`, `organisation`, `permit`, …
    """

    ref: AssetRef
    kind: AssetKind
    geometry: tuple[Point, ...] = ()
    start: AssetRef | None = None
    end: AssetRef | None = None
    is_open: bool = True
    is_oneway: bool = False
    from_model: bool = True
    properties: Mapping[str, Property] = field(default_factory=dict)

    @property
    def is_link(self) -> bool:
        """Whether it joins two others."""
        return self.ref.space is Space.LINK


@dataclass(frozen=True, slots=True)
class Network:
    """A network and how its model's clock maps to real time.

    Attributes:
        name: Its name in this home.
        crs: `EPSG:n`, or `LOCAL` where the coordinates belong to no known system.
        time_zone: IANA name, or a fixed offset such as `+02:00`.
        model_start_ns: The instant of model time zero.
        is_model_start_given: Whether a person said so; else it is a Monday and only the place in
            the week counts.
        inp_sha256: Hash of the EPANET file, which `ModelFiles` keeps.
    """

    name: str
    crs: str
    time_zone: str
    model_start_ns: int
    is_model_start_given: bool
    inp_sha256: str


def zone_of(time_zone: str) -> ZoneInfo | None:
    """Return the IANA zone, or None for a fixed offset such as `+02:00`."""
    return None if time_zone[:1] in "+-" else ZoneInfo(time_zone)


def local_datetime(at_ns: int, time_zone: str) -> datetime:
    """Return the wall clock of the zone at an instant."""
    zone = zone_of(time_zone)
    if zone is not None:
        return ns_to_datetime(at_ns).astimezone(zone)
    offset = datetime.fromisoformat(f"2000-01-01T00:00:00{time_zone}").tzinfo
    return ns_to_datetime(at_ns).astimezone(offset)


def model_time_s(network: Network, at_ns: int) -> int:
    """Return the model's clock at an instant [s since model time zero].

    The difference is of wall clocks, so that a pattern's hour stays the local hour through daylight
    saving. Without a given start, or before it, only the place in the week counts.
    """
    now = local_datetime(at_ns, network.time_zone).replace(tzinfo=None)
    start = local_datetime(network.model_start_ns, network.time_zone).replace(tzinfo=None)
    elapsed_s = int((now - start).total_seconds())
    if network.is_model_start_given and elapsed_s >= 0:
        return elapsed_s
    return elapsed_s % WEEK_S
