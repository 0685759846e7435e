"""Writes the report of a leak run, with its table and its map, into a folder."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from api.report import words
from api.report.charts import charts
from api.report.drawing import CLASS_NAMES, Ground, close_up, overview
from hydraulics.network import NetworkModel
from twin.assets import Network
from twin.leaks.artefacts import RunDetail, smallest_zone
from twin.leaks.records import LEVELS, Candidate
from twin.networks import load_model, load_network
from twin.networks.records import write_whole
from twin.ports import Record

_N_TOP = 10
_LITRES = 1_000.0


def write_report(record: Record, detail: RunDetail, folder: Path) -> list[Path]:
    """Write `report.html`, `candidates.csv` and `zone.geojson`, each whole or not at all.

    Returns:
        The paths written.
    """
    run = detail.run
    network = load_network(record, run.network)
    page = report_html(detail, network, load_model(record, network))
    files = {
        "report.html": page.encode(),
        "candidates.csv": record.file(run.posterior_sha256),
        "zone.geojson": record.file(run.map_sha256),
    }
    for name, content in files.items():
        write_whole(folder / name, content)
    return [folder / name for name in files]


def report_html(detail: RunDetail, network: Network, model: NetworkModel) -> str:
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
        "zone_length": words.length(run.zone_length_m["90"]),
        "zone_texts": {level: _zone_text(detail, level) for level in LEVELS},
        "flow_range": words.flow_range(run),
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
    n_pipes = len(detail.run.zones[level])
    noun = "pipe" if n_pipes == 1 else "pipes"
    return f"{n_pipes} {noun}, {words.length(detail.run.zone_length_m[level])}"


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
