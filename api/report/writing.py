"""Writes the report of a leak run, with its table and its map, into a folder."""

from __future__ import annotations

import base64
import hashlib
import math
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from api.report import words
from api.report.charts import charts
from api.report.drawing import (
    CLASS_NAMES,
    Ground,
    close_up,
    overview,
    several_marks,
    several_zones,
    street_marks,
)
from hydraulics.network import NetworkModel
from twin.accounting.money import Price
from twin.assets import Network
from twin.leaks.artefacts import RunDetail, several_geojson, smallest_zone
from twin.leaks.records import LEVELS, Candidate, LeakRun, OneOfSeveral
from twin.leaks.walk_files import residuals_csv, summary_csv, walk_csv, walk_geojson
from twin.leaks.walking import Street, streets_to_walk
from twin.networks import load_model, load_network
from twin.networks.records import write_whole
from twin.ports import Record

_N_TOP = 10
_N_STREETS = 15
_LITRES = 1_000.0


def write_report(
    record: Record, detail: RunDetail, folder: Path, price: Price | None = None
) -> list[Path]:
    """Write the report, its tables and its maps, each file whole or not at all.

    Args:
        record: The ledger.
        detail: The run.
        folder: Where `report.html`, `candidates.csv`, `zone.geojson`, `walk.csv`, `walk.geojson`,
            `residuals.csv` and `summary.csv` go, and where it was asked whether one leak is enough,
            `several.csv` and `several.geojson`.
        price: What lost water costs; None gives its volume alone.

    Returns:
        The paths written.
    """
    run = detail.run
    network = load_network(record, run.network)
    model = load_model(record, network)
    streets = streets_to_walk(run, detail.candidates, model, detail.several)
    page = report_html(detail, network, model, price)
    files = {
        "report.html": page.encode(),
        "candidates.csv": record.file(run.posterior_sha256),
        "zone.geojson": record.file(run.map_sha256),
        "walk.csv": walk_csv(streets),
        "walk.geojson": walk_geojson(run, streets, network, model, price),
        "residuals.csv": residuals_csv(detail),
        "summary.csv": summary_csv(run, price),
    }
    if run.several is not None:
        files["several.csv"] = record.file(run.several.sha256)
        files["several.geojson"] = several_geojson(run, detail.several, network, model)
    for name, content in files.items():
        write_whole(folder / name, content)
    return [folder / name for name in files]


def report_html(
    detail: RunDetail, network: Network, model: NetworkModel, price: Price | None = None
) -> str:
    """Return the report as one page that refers to nothing outside itself.

    What comes from the network or the readings is escaped, and the page allows no script but its
    own: an asset may be called anything.
    """
    shipped = PackageLoader("api.report")
    pages = Environment(loader=shipped, autoescape=True, undefined=StrictUndefined)
    css = shipped.get_source(pages, "report.css")[0]
    script = shipped.get_source(pages, "panzoom.js")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = pages.get_template("report.html.j2")
    return page.render(
        css=Markup(css),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        script_hash=f"sha256-{digest}",
        **_content(detail, network, model),
        **_walk(detail, Ground(network, model)),
        **_loss(detail.run, price),
        **_several(detail, Ground(network, model)),
    )


def _content(detail: RunDetail, network: Network, model: NetworkModel) -> dict[str, Any]:
    run, ground = detail.run, Ground(network, model)
    scale, made = charts(detail)
    ends = _ends(model)
    return {
        "run": run,
        "headline": words.headline(run),
        "lead": words.lead(run),
        "odds": words.odds(run),
        "evidence_word": words.evidence_word(run),
        "zone_length": _zone_length(run),
        "zone_texts": {level: _zone_text(detail, level) for level in LEVELS},
        "flow_range": words.total_flow(run),
        "best_flow": f"{run.best.flow_m3s * _LITRES:.2f}",
        "best_percent": words.percent(run.best.probability),
        "best_place": words.length(run.best.place * run.best.length_m),
        "best_start": ends[run.best.pipe_id][0],
        "whole": overview(detail, ground),
        "close": close_up(detail, ground),
        "class_names": CLASS_NAMES,
        "top": [_row(detail, one, ends) for one in detail.candidates[:_N_TOP]],
        "top_percent": words.percent(sum(one.probability for one in detail.candidates[:_N_TOP])),
        "scale": scale,
        "charts": made,
        **_times(detail, network),
    }


def _walk(detail: RunDetail, ground: Ground) -> dict[str, Any]:
    streets = streets_to_walk(detail.run, detail.candidates, ground.model, detail.several)
    shown = [one for one in streets if one.rank <= _N_STREETS]
    return {
        "street_marks": street_marks(detail.run, shown, ground),
        "walk_said": words.walk_sentence(streets),
        "streets": [_street_row(one) for one in shown],
        "n_streets": len(streets),
        "likelihoods": _likelihood_rows(),
    }


def _street_row(one: Street) -> dict[str, str | int]:
    is_joined = math.isfinite(one.way_there_m)
    return {
        "rank": one.rank,
        "leak": one.leak,
        "start": one.start_node,
        "end": one.end_node,
        "pipes": ", ".join(pipe.pipe_id for pipe in one.pipes),
        "length": words.length(one.length_m),
        "percent": words.percent(one.probability),
        "likelihood": words.likelihood(one.probability),
        "reached": words.percent(one.reached),
        "walked": words.length(one.walked_m),
        "way_there": words.length(one.way_there_m) if is_joined else "not along pipes",
    }


def _likelihood_rows() -> list[tuple[str, str]]:
    bounds = [1.0, *(least for least, _ in words.LIKELIHOODS)]
    return [
        (word, f"{100 * least:.0f} to {100 * below:.0f} %")
        for (least, word), below in zip(words.LIKELIHOODS, bounds, strict=False)
    ]


def _several(detail: RunDetail, ground: Ground) -> dict[str, Any]:
    run = detail.run
    leaks = [] if run.several is None else run.several.leaks
    return {
        "several_said": words.several_sentence(run),
        "is_more": words.is_more_than_one(run),
        "several": [_several_row(one) for one in leaks] if len(leaks) > 1 else [],
        "several_map": several_zones(detail, ground) if len(leaks) > 1 else None,
        "several_marks": several_marks(detail, ground),
    }


def _several_row(one: OneOfSeveral) -> dict[str, str]:
    return {
        "pipe_id": one.pipe_id,
        "percent": words.percent(one.probability),
        "flow": words.flow_between(one.flow_low_m3s, one.flow_high_m3s),
        **{
            f"zone_{level}": words.zone_text(one.zone_sizes[level], one.zone_length_m[level])
            for level in LEVELS
        },
    }


def _zone_length(run: LeakRun) -> str:
    if run.several is None or not run.several.is_more_than_one:
        return words.length(run.zone_length_m["90"])
    return " + ".join(words.length(one.zone_length_m["90"]) for one in run.several.leaks)


def _loss(run: LeakRun, price: Price | None) -> dict[str, Any]:
    return {
        "volume_range": words.volume_range(run),
        "cost_range": None if price is None else words.cost_range(run, price),
        "price": None if price is None else words.price_text(price),
    }


def _times(detail: RunDetail, network: Network) -> dict[str, str]:
    inputs = detail.run.inputs
    times = {
        "window_from": words.moment(network, inputs.window.from_ns),
        "window_to": words.moment(network, inputs.window.to_ns),
        "computed": words.moment(network, detail.run.at_ns),
    }
    if inputs.reference:
        times["reference_from"] = words.moment(network, inputs.reference.from_ns)
        times["reference_to"] = words.moment(network, inputs.reference.to_ns)
    return times


def _zone_text(detail: RunDetail, level: str) -> str:
    return words.zone_text(len(detail.run.zones[level]), detail.run.zone_length_m[level])


def _ends(model: NetworkModel) -> dict[str, tuple[str, str]]:
    return {
        link_id: (model.node_id[model.start[i]], model.node_id[model.end[i]])
        for i, link_id in enumerate(model.link_id)
    }


def _row(
    detail: RunDetail, one: Candidate, ends: dict[str, tuple[str, str]]
) -> dict[str, str | float | None]:
    start, end = ends[one.pipe_id]
    return {
        "pipe_id": one.pipe_id,
        "start": start,
        "end": end,
        "percent": words.percent(one.probability),
        "share": round(100 * one.probability / detail.run.best.probability, 1),
        "place": words.length(one.place * one.length_m),
        "flow": f"{one.flow_m3s * _LITRES:.2f}",
        "length": f"{one.length_m:.0f}",
        "zone": smallest_zone(detail.run, one.pipe_id),
    }
