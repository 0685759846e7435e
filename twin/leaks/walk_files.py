"""The walk through a zone as files: a table, and a map for a phone or a GIS."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from hydraulics.network import NetworkModel
from twin.accounting.money import Price
from twin.assets import LOCAL_CRS, Network
from twin.instants import format_instant
from twin.leaks.artefacts import Projection, RunDetail, line
from twin.leaks.losses import (
    flow_range_m3s,
    leak_cost_per_day,
    loss_document,
    volume_per_day_m3,
)
from twin.leaks.placed import PlacedLeak
from twin.leaks.records import LEVELS, LeakRun
from twin.leaks.walking import Street, street_document
from twin.readings import FloatArray

_CSV_HEADER = (
    "street",
    "order",
    "pipe_id",
    "from_node",
    "to_node",
    "length_m",
    "probability",
    "street_length_m",
    "street_probability",
    "walked_m",
    "reached",
    "way_there_m",
    "leak",
)


def walk_csv(streets: Sequence[Street]) -> bytes:
    """Return a row for each pipe in the order of walking, as CSV with a header line.

    `street_…`, `walked_m`, `reached` and `way_there_m` are those of the pipe's street, see
    `Street`; a way that there is not is empty.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(_CSV_HEADER)
    order = 0
    for street in streets:
        way_m = repr(street.way_there_m) if math.isfinite(street.way_there_m) else ""
        sums = (street.length_m, street.probability, street.walked_m, street.reached)
        for pipe in street.pipes:
            order += 1
            names = (pipe.pipe_id, pipe.from_node, pipe.to_node)
            numbers = map(repr, (pipe.length_m, pipe.probability, *sums))
            rows.writerow([street.rank, order, *names, *numbers, way_m, street.leak])
    return text.getvalue().encode()


def summary_csv(run: LeakRun, leaks: Sequence[PlacedLeak], price: Price | None) -> bytes:
    """Return a row a leak with its zones, its outflow and what a day costs, under a header line.

    Ranges are of 90 %. What costs is empty without a price. `evidence_ratio` is that of one leak.
    """
    text = io.StringIO()
    found = [_summary_row(run, leak, price) for leak in leaks]
    rows = csv.DictWriter(text, list(found[0]), lineterminator="\n")
    rows.writeheader()
    rows.writerows(found)
    return text.getvalue().encode()


def _summary_row(run: LeakRun, leak: PlacedLeak, price: Price | None) -> dict[str, object]:
    volume = volume_per_day_m3(leak.flow_m3s)
    cost = None if price is None else leak_cost_per_day(leak.flow_m3s, price)
    return {
        "run_id": run.run_id,
        "network": run.network,
        "from": format_instant(run.inputs.window.from_ns),
        "to": format_instant(run.inputs.window.to_ns),
        **{f"zone_{level}_m": leak.zone_length_m[level] for level in LEVELS},
        "evidence_ratio": run.evidence_ratio,
        "most_leaks_looked_for": run.inputs.most_leaks,
        "probability_of_more": run.several.probability_of_more if run.several else "",
        **{f"flow_{name}_m3s": value for name, value in asdict(leak.flow_m3s).items()},
        **{f"volume_{name}_m3_per_day": value for name, value in asdict(volume).items()},
        "cost_low_per_day": cost.low if cost else "",
        "cost_likely_per_day": cost.likely if cost else "",
        "cost_high_per_day": cost.high if cost else "",
        "price_per_m3": price.per_m3 if price else "",
        "currency": price.currency if price else "",
        "price_source": price.source if price else "",
        "leak": leak.number,
    }


def residuals_csv(detail: RunDetail) -> bytes:
    """Return what each sensor saw at each time, as CSV with a header line; empty where left out.

    `band_m` is the standard deviation of a leak-free residual; the report draws two of them.
    """
    seen = detail.residuals
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("tag", "asset", "at", "residual_m", "explained_m", "band_m"))
    times = [format_instant(int(at)) for at in seen.at_ns]
    for i, (tag, asset) in enumerate(zip(seen.tags, seen.assets, strict=True)):
        band = _cell(seen.band_m[i])
        pairs = zip(times, seen.residual_m[:, i], seen.explained_m[:, i], strict=True)
        rows.writerows((tag, asset, at, _cell(one), _cell(other), band) for at, one, other in pairs)
    return text.getvalue().encode()


def _cell(value: float) -> str:
    return repr(float(value)) if math.isfinite(value) else ""


def walk_geojson(
    run: LeakRun,
    streets: Sequence[Street],
    network: Network,
    model: NetworkModel,
    price: Price | None = None,
) -> bytes:
    """Return each street as a line in the direction of walking, and where it starts as a point.

    Coordinates are as those of the zone's map. A street without coordinates has no geometry.
    `loss_per_day` says what is lost, and with a price what that costs.
    """
    document: dict[str, Any] = {
        "type": "FeatureCollection",
        "features": list(_features(streets, Projection(network.crs), model)),
        "network": run.network,
        "run_id": run.run_id,
        "flow_m3s": asdict(flow_range_m3s(run)),
        "loss_per_day": loss_document(run, price),
    }
    if network.crs == LOCAL_CRS:
        document["crs"] = LOCAL_CRS
    return json.dumps(document, ensure_ascii=False, allow_nan=False).encode()


def _features(
    streets: Sequence[Street], place_of: Projection, model: NetworkModel
) -> Iterator[dict[str, Any]]:
    index = {link_id: i for i, link_id in enumerate(model.link_id)}
    for street in streets:
        points = place_of(_walked_line(street, model, index))
        way = {"type": "LineString", "coordinates": points} if points else None
        start = {"type": "Point", "coordinates": points[0]} if points else None
        yield _feature(way, {"is": "street", **street_document(street)})
        begin = {"is": "start", "rank": street.rank, "node": street.start_node}
        yield _feature(start, {**begin, "leak": street.leak})


def _feature(geometry: dict[str, Any] | None, properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def _walked_line(street: Street, model: NetworkModel, index: dict[str, int]) -> FloatArray:
    """Return the street's polyline from its start, shape (n, 2); empty where a pipe has none."""
    parts = []
    for pipe in street.pipes:
        link = index[pipe.pipe_id]
        points = line(model, link)
        if not len(points):
            return points
        is_forward = model.node_id[model.start[link]] == pipe.from_node
        parts.append(points if is_forward else points[::-1])
    return np.vstack([parts[0], *(part[1:] for part in parts[1:])])
