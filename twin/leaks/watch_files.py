"""What a watch told, as files: a line a sighting, and the zones of its calls for a GIS."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any

from hydraulics.network import NetworkModel
from twin.assets import LOCAL_CRS, Network
from twin.ids import parse_ref
from twin.instants import format_instant
from twin.leaks.artefacts import Projection, line
from twin.leaks.reach import REACH_M, pipes_in_reach
from twin.leaks.sightings import Sighting, SightingKind

_COLUMNS = (
    *("sighting_id", "network", "kind", "day_from", "day_to", "asset", "onset"),
    *("flow_m3s", "probability", "reach_m", "sensor", "fault", "offset_m"),
    "false_alarms_per_year",
)


def sightings_csv(found: Iterable[Sighting]) -> bytes:
    """Return a line a sighting, as CSV with a header line; what does not apply is empty."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(_COLUMNS)
    rows.writerows(_row(one) for one in found)
    return text.getvalue().encode()


def sightings_geojson(found: Iterable[Sighting], network: Network, model: NetworkModel) -> bytes:
    """Return the pipes in reach of each call and repair as GeoJSON, the nearest first.

    `probability` is that of all pipes of a sighting together. Coordinates are as those of a run's
    zone. A sensor that lies has no feature.
    """
    document: dict[str, Any] = {
        "type": "FeatureCollection",
        "features": list(_features(found, Projection(network.crs), model)),
        "network": network.name,
    }
    if network.crs == LOCAL_CRS:
        document["crs"] = LOCAL_CRS
    return json.dumps(document, ensure_ascii=False, allow_nan=False).encode()


def zone_of(one: Sighting, model: NetworkModel) -> tuple[str, ...]:
    """Return the pipes that a sighting means, the nearest first; none where it is of a sensor."""
    if one.kind not in {SightingKind.CALL, SightingKind.REPAIRED}:
        return ()
    return pipes_in_reach(model, parse_ref(one.asset).id)


def _row(one: Sighting) -> list[str]:
    is_leak = one.tag is None
    days = (format_instant(one.day.from_ns), format_instant(one.day.to_ns))
    numbers = (one.flow_m3s, one.probability, REACH_M if is_leak else None)
    return [
        *(one.sighting_id, one.network, one.kind.value, *days, one.asset),
        format_instant(one.onset_ns),
        *("" if value is None else repr(value) for value in numbers),
        *(one.tag or "", one.fault or ""),
        *(
            "" if value is None else repr(value)
            for value in (one.offset_m, one.false_alarms_per_year)
        ),
    ]


def _features(
    found: Iterable[Sighting], place_of: Projection, model: NetworkModel
) -> Iterator[dict[str, Any]]:
    index = {link_id: i for i, link_id in enumerate(model.link_id)}
    for one in found:
        for rank, pipe_id in enumerate(zone_of(one, model), 1):
            points = place_of(line(model, index[pipe_id]))
            way = {"type": "LineString", "coordinates": points} if points else None
            properties = {"pipe_id": pipe_id, "rank": rank, **_said(one)}
            yield {"type": "Feature", "geometry": way, "properties": properties}


def _said(one: Sighting) -> dict[str, object]:
    return {
        "sighting_id": one.sighting_id,
        "kind": one.kind.value,
        "day": format_instant(one.day.from_ns),
        "onset": format_instant(one.onset_ns),
        "flow_m3s": one.flow_m3s,
        "probability": one.probability,
        "reach_m": REACH_M,
        "false_alarms_per_year": one.false_alarms_per_year,
    }
