"""The files that a run leaves: all candidates, all residuals, and the zone on a map."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hydraulics.network import NetworkModel
from twin.assets import LOCAL_CRS, Network
from twin.instants import format_instant, parse_instant
from twin.leaks.placed import PlacedLeak, placed_leaks
from twin.leaks.records import Candidate, LeakRun
from twin.ports import Record
from twin.readings import FloatArray, TimeArray

_CSV_HEADER = ("rank", "pipe_id", "probability", "cumulative", "place", "flow_m3s", "length_m")
_MICROMETRES = 6
_COORDINATE_DIGITS = 9
_CRS84 = "OGC:CRS84"


@dataclass(frozen=True, slots=True)
class Residuals:
    """Residuals of each sensor over the current window.

    Attributes:
        at_ns: Instants, shape (n_rows,).
        tags: The source's own name of each sensor.
        assets: Full name of each sensor's node.
        residual_m: Current minus model, without a leak [m], shape (n_rows, n_sensors), NaN where
            left out.
        explained_m: What the most probable leak explains of it [m], same shape.
        band_m: Standard deviation of a leak-free residual [m], shape (n_sensors,).
    """

    at_ns: TimeArray
    tags: tuple[str, ...]
    assets: tuple[str, ...]
    residual_m: FloatArray
    explained_m: FloatArray
    band_m: FloatArray


@dataclass(frozen=True, slots=True)
class RunDetail:
    """The whole of a run: every candidate, every residual, and each of several leaks' zone."""

    run: LeakRun
    candidates: tuple[Candidate, ...]
    residuals: Residuals
    several: tuple[tuple[Candidate, ...], ...] = ()

    @property
    def leaks(self) -> tuple[PlacedLeak, ...]:
        """The leaks to search for: one, unless more are evident."""
        return placed_leaks(self.run, self.candidates, self.several)


def load_detail(record: Record, run: LeakRun) -> RunDetail:
    """Return all that a recorded run kept, checked against its hashes."""
    return RunDetail(
        run,
        candidates_of(record.file(run.posterior_sha256)),
        residuals_of(record.file(run.residuals_sha256)),
        zones_of_several(record, run),
    )


def load_leaks(record: Record, run: LeakRun) -> tuple[PlacedLeak, ...]:
    """Return the leaks of a recorded run to search for, each with its pipes."""
    candidates = candidates_of(record.file(run.posterior_sha256))
    return placed_leaks(run, candidates, zones_of_several(record, run))


def zones_of_several(record: Record, run: LeakRun) -> tuple[tuple[Candidate, ...], ...]:
    """Return the 95 % zone of each of several leaks, the most probable pipe first."""
    if run.several is None:
        return ()
    return several_of(record.file(run.several.sha256), len(run.several.leaks))


def candidates_csv(candidates: Sequence[Candidate]) -> bytes:
    """Return every candidate, most probable first, as CSV with a header line.

    Ids that a spreadsheet would take for a formula are written as they are: the file is data.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(_CSV_HEADER)
    rows.writerows(_candidate_rows(candidates))
    return text.getvalue().encode()


def _candidate_rows(candidates: Sequence[Candidate]) -> Iterator[list[object]]:
    reached = 0.0
    for rank, one in enumerate(candidates, 1):
        reached += one.probability
        numbers = (one.probability, min(reached, 1.0), one.place, one.flow_m3s, one.length_m)
        yield [rank, one.pipe_id, *map(repr, numbers)]


def several_csv(leaks: Sequence[PlacedLeak]) -> bytes:
    """Return the zone of each of several leaks as CSV: `leak` counts from 1, the largest first.

    `zone` is the smallest of its zones that holds the pipe.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("leak", *_CSV_HEADER, "zone"))
    for leak in leaks:
        rows.writerows(
            [leak.number, *row, leak.smallest_zone(rank)]
            for rank, row in enumerate(_candidate_rows(leak.widest), 1)
        )
    return text.getvalue().encode()


def several_of(content: bytes, n_leaks: int) -> tuple[tuple[Candidate, ...], ...]:
    """Return the zones that `several_csv` wrote."""
    zones: list[list[Candidate]] = [[] for _ in range(n_leaks)]
    for row in csv.DictReader(io.StringIO(content.decode())):
        zones[int(row["leak"]) - 1].append(_candidate_of(row))
    return tuple(map(tuple, zones))


def candidates_of(content: bytes) -> tuple[Candidate, ...]:
    """Return the candidates that `candidates_csv` wrote."""
    return tuple(map(_candidate_of, csv.DictReader(io.StringIO(content.decode()))))


def _candidate_of(row: Mapping[str, str]) -> Candidate:
    return Candidate(
        pipe_id=row["pipe_id"],
        probability=float(row["probability"]),
        place=float(row["place"]),
        flow_m3s=float(row["flow_m3s"]),
        length_m=float(row["length_m"]),
    )


def residuals_json(residuals: Residuals) -> bytes:
    """Return the residuals as JSON, to the micrometre; null where left out."""
    sensors = [
        {
            "tag": tag,
            "asset": residuals.assets[i],
            "band_m": _or_none(residuals.band_m[i]),
            "residual_m": list(map(_or_none, residuals.residual_m[:, i])),
            "explained_m": list(map(_or_none, residuals.explained_m[:, i])),
        }
        for i, tag in enumerate(residuals.tags)
    ]
    times = [format_instant(int(at)) for at in residuals.at_ns]
    return json.dumps({"at": times, "sensors": sensors}, allow_nan=False).encode()


def residuals_of(content: bytes) -> Residuals:
    """Return the residuals that `residuals_json` wrote."""
    document = json.loads(content)
    sensors = document["sensors"]
    shape = (len(document["at"]), len(sensors))
    return Residuals(
        at_ns=np.array([parse_instant(text) for text in document["at"]], dtype=np.int64),
        tags=tuple(one["tag"] for one in sensors),
        assets=tuple(one["asset"] for one in sensors),
        residual_m=_table([one["residual_m"] for one in sensors], shape),
        explained_m=_table([one["explained_m"] for one in sensors], shape),
        band_m=np.array([one["band_m"] for one in sensors], dtype=np.float64),
    )


def zone_geojson(
    run: LeakRun, leaks: Sequence[PlacedLeak], network: Network, model: NetworkModel
) -> bytes:
    """Return the pipes of each leak's widest zone and its most probable place as GeoJSON.

    `leak` counts from 1, the largest first, `rank` within it; `zone` is the smallest of its zones
    that holds the pipe, `flow_m3s` what it would lose there. A place says what its leak is expected
    to lose, with the 90 % range.

    Coordinates are CRS84 (longitude, latitude). A network in no known system keeps its own
    coordinates and says so: `"crs": "LOCAL"`.
    """
    index = {link_id: i for i, link_id in enumerate(model.link_id)}
    place_of = Projection(network.crs)
    document: dict[str, Any] = {
        "type": "FeatureCollection",
        "features": [
            one
            for leak in leaks
            for one in _leak_features(leak, model, index, place_of, is_alone=len(leaks) == 1)
        ],
        "network": run.network,
        "run_id": run.run_id,
        "number_of_leaks": list(run.several.number) if run.several else None,
    }
    if network.crs == LOCAL_CRS:
        document["crs"] = LOCAL_CRS
    return json.dumps(document, ensure_ascii=False, allow_nan=False).encode()


def line(model: NetworkModel, link_index: int) -> FloatArray:
    """Return a link's polyline in native coordinates, shape (n, 2); empty where an end has none."""
    ends = model.node_xy[[model.start[link_index], model.end[link_index]]]
    if not np.isfinite(ends).all():
        return np.empty((0, 2))
    between = np.array(model.vertices[link_index], dtype=np.float64).reshape(-1, 2)
    return np.vstack([ends[:1], between, ends[1:]])


def point_along(polyline: FloatArray, place: float) -> FloatArray:
    """Return the point at a fraction of a polyline's length, shape (1, 2) or (0, 2)."""
    if not len(polyline):
        return polyline
    steps = np.hypot(*np.diff(polyline, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    x = np.interp(place * along[-1], along, polyline[:, 0])
    y = np.interp(place * along[-1], along, polyline[:, 1])
    return np.array([[x, y]])


class Projection:
    """From native coordinates to what GeoJSON wants."""

    def __init__(self, crs: str) -> None:
        self._transformer = None
        if crs != LOCAL_CRS:
            from pyproj import Transformer  # noqa: PLC0415 - only where there is a system

            self._transformer = Transformer.from_crs(crs, _CRS84, always_xy=True)

    def __call__(self, polyline: FloatArray) -> list[list[float]]:
        """Return the points of a polyline, each as a pair of coordinates."""
        x, y = polyline[:, 0], polyline[:, 1]
        if self._transformer is not None:
            x, y = self._transformer.transform(x, y)
        pairs = zip(x, y, strict=True)
        return [
            [round(float(a), _COORDINATE_DIGITS), round(float(b), _COORDINATE_DIGITS)]
            for a, b in pairs
        ]


def _leak_features(
    leak: PlacedLeak,
    model: NetworkModel,
    index: Mapping[str, int],
    place_of: Projection,
    *,
    is_alone: bool,
) -> Iterator[dict[str, Any]]:
    """Yield a leak's features; ids tell apart a pipe that is in the zones of several."""
    for rank, one in enumerate(leak.widest, 1):
        points = place_of(line(model, index[one.pipe_id]))
        way = {"type": "LineString", "coordinates": points} if points else None
        zone = {"leak": leak.number, "rank": rank, "zone": leak.smallest_zone(rank)}
        feature_id = one.pipe_id if is_alone else f"{leak.number}/{one.pipe_id}"
        yield {"id": feature_id, **_feature(way, {**zone, **dataclasses.asdict(one)})}
    best = leak.best
    points = place_of(point_along(line(model, index[best.pipe_id]), best.place))
    yield _feature(
        {"type": "Point", "coordinates": points[0]} if points else None,
        {
            "leak": leak.number,
            "is": "most probable place",
            "pipe_id": best.pipe_id,
            "place": best.place,
            "flow_m3s": leak.flow_m3s.likely,
            "flow_low_m3s": leak.flow_m3s.low,
            "flow_high_m3s": leak.flow_m3s.high,
        },
    )


def _feature(geometry: dict[str, Any] | None, properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def _or_none(value: float) -> float | None:
    return round(float(value), _MICROMETRES) if np.isfinite(value) else None


def _table(columns: list[list[float | None]], shape: tuple[int, int]) -> FloatArray:
    return np.array(columns, dtype=np.float64).reshape(shape[1], shape[0]).T
