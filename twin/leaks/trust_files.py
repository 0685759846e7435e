"""The files of accuracy and coverage: a line a sensor or pipe, and the pipes for a GIS."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from hydraulics.leaks.accuracy import YARDSTICK
from hydraulics.network import NetworkModel
from twin.assets import LOCAL_CRS, Network
from twin.instants import format_instant
from twin.leaks.artefacts import Projection, line
from twin.leaks.trust import AccuracyReport, CoverageReport, SensorTrust

_LITRES = 1_000.0
_DIGITS = 6


def accuracy_csv(report: AccuracyReport) -> bytes:
    """Return a line a sensor, as CSV with a header line; what is not known is empty."""
    within = [f"within_{limit_m:g}_m" for limit_m, _ in YARDSTICK]
    header = (
        *("tag", "asset", "grade", "reason", "n_readings", "n_rows", "bias_m", "rmse_m"),
        *("time_of_day_share", "expected_bias_m", "expected_rmse_m", *within, "changed_at"),
    )
    return _csv(header, [_accuracy_row(one) for one in report.sensors])


def coverage_csv(report: CoverageReport) -> bytes:
    """Return a line a pipe and size, as CSV with a header line."""
    header = ("pipe_id", "length_m", "is_reached", "flow_m3s", "signal", "chance", "zone_m")
    found = report.coverage
    rows = [
        [
            pipe_id,
            repr(float(found.length_m[i])),
            str(bool(found.is_reached[i])).lower(),
            repr(float(size)),
            *(f"{float(table[i, k]):.6g}" for table in (found.signal, found.chance, found.zone_m)),
        ]
        for i, pipe_id in enumerate(report.pipe_id)
        for k, size in enumerate(found.size_m3s)
    ]
    return _csv(header, rows)


def coverage_geojson(report: CoverageReport, network: Network, model: NetworkModel) -> bytes:
    """Return every pipe with its chances and zones, the sensors, and the next ones, as GeoJSON.

    Coordinates are CRS84 (longitude, latitude). A network in no known system keeps its own
    coordinates and says so: `"crs": "LOCAL"`.
    """
    place_of = Projection(network.crs)
    features = [
        _pipe_feature(report, i, place_of(line(model, int(link))))
        for i, link in enumerate(report.coverage.link)
    ]
    index = {name: i for i, name in enumerate(model.node_id)}
    features += [
        _node_feature(name, {"is": "sensor"}, _point(model, index[name], place_of))
        for name in report.sensors
    ]
    for rank, one in enumerate(report.next_sensors, 1):
        properties = {"is": "next sensor", "rank": rank, "gain_m": round(one.gain_m, 1)}
        point = _point(model, index[one.node_id], place_of)
        features.append(_node_feature(one.node_id, properties, point))
    document: dict[str, Any] = {
        "type": "FeatureCollection",
        "features": features,
        "network": report.network,
    }
    if network.crs == LOCAL_CRS:
        document["crs"] = LOCAL_CRS
    return json.dumps(document, ensure_ascii=False, allow_nan=False).encode()


def size_name(size_m3s: float) -> str:
    """Return how the properties of a size end, such as `2_ls` for 2 L/s."""
    return f"{size_m3s * _LITRES:g}_ls".replace(".", "_")


def _accuracy_row(one: SensorTrust) -> list[str]:
    numbers = (
        one.bias_m,
        one.rmse_m,
        one.time_of_day_share,
        one.expected_bias_m,
        one.expected_rmse_m,
        *(one.within or [None] * len(YARDSTICK)),
    )
    changed = "" if one.changed_ns is None else format_instant(one.changed_ns)
    return [
        *(one.tag, one.asset, one.grade.value, one.reason, str(one.n_readings), str(one.n_rows)),
        *("" if number is None else f"{number:.6f}" for number in numbers),
        changed,
    ]


def _csv(header: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """Return a table; ids that a spreadsheet would take for a formula stay as they are."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(header)
    table.writerows(rows)
    return text.getvalue().encode()


def _pipe_feature(report: CoverageReport, i: int, points: list[list[float]]) -> dict[str, Any]:
    found = report.coverage
    properties: dict[str, Any] = {
        "pipe_id": report.pipe_id[i],
        "length_m": float(found.length_m[i]),
        "is_reached": bool(found.is_reached[i]),
    }
    for k, size in enumerate(found.size_m3s):
        name = size_name(float(size))
        properties[f"signal_{name}"] = round(float(found.signal[i, k]), _DIGITS)
        properties[f"chance_{name}"] = round(float(found.chance[i, k]), _DIGITS)
        properties[f"zone_m_{name}"] = round(float(found.zone_m[i, k]), 1)
    geometry = {"type": "LineString", "coordinates": points} if points else None
    return {
        "type": "Feature",
        "id": report.pipe_id[i],
        "geometry": geometry,
        "properties": properties,
    }


def _point(model: NetworkModel, node: int, place_of: Projection) -> list[float] | None:
    if not np.isfinite(model.node_xy[node]).all():
        return None
    return place_of(model.node_xy[[node]])[0]


def _node_feature(
    node_id: str, properties: dict[str, Any], point: list[float] | None
) -> dict[str, Any]:
    geometry = {"type": "Point", "coordinates": point} if point else None
    named = {"node_id": node_id, **properties}
    return {"type": "Feature", "geometry": geometry, "properties": named}
