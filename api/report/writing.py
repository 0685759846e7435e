"""Writes the report of a leak run, with its table and its map, into a folder."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from api.report import words
from api.report.charts import charts
from api.report.drawing import (
    CLASS_NAMES,
    Ground,
    begin_mark,
    close_up,
    overview,
    several_marks,
    several_zones,
    street_marks,
)
from hydraulics.network import NetworkModel
from twin.accounting.money import Price
from twin.assets import Network
from twin.leaks.artefacts import RunDetail, zone_geojson
from twin.leaks.placed import PlacedLeak, several_placed
from twin.leaks.records import LEVELS, LeakRun
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
            `residuals.csv` and `summary.csv` go, which are of all leaks that are evident, and what
            the run would say otherwise: of one leak as `one-leak.csv` where more are evident, else
            of as many as are most probable, as `several.csv` and `several.geojson`.
        price: What lost water costs; None gives its volume alone.

    Returns:
        The paths written.
    """
    run = detail.run
    network = load_network(record, run.network)
    model = load_model(record, network)
    streets = streets_to_walk(detail.leaks, model)
    page = report_html(detail, network, model, price)
    files = {
        "report.html": page.encode(),
        "zone.geojson": record.file(run.map_sha256),
        "walk.csv": walk_csv(streets),
        "walk.geojson": walk_geojson(run, streets, network, model, price),
        "residuals.csv": residuals_csv(detail),
        "summary.csv": summary_csv(run, detail.leaks, price),
        **_candidate_files(record, detail, network, model),
    }
    for name, content in files.items():
        write_whole(folder / name, content)
    return [folder / name for name in files]


def _candidate_files(
    record: Record, detail: RunDetail, network: Network, model: NetworkModel
) -> dict[str, bytes]:
    several, one_leak = detail.run.several, record.file(detail.run.posterior_sha256)
    if several is None:
        return {"candidates.csv": one_leak}
    each = record.file(several.sha256)
    if several.is_more_than_one:
        return {"candidates.csv": each, "one-leak.csv": one_leak}
    placed = several_placed(several.leaks, detail.several)
    drawn = zone_geojson(detail.run, placed, network, model)
    return {"candidates.csv": one_leak, "several.csv": each, "several.geojson": drawn}


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
        **_several(detail, Ground(network, model)),
        **_loss(detail.run, price),
        leaks=_leaks(detail, Ground(network, model)),
        likelihoods=_likelihood_rows(),
    )


def _content(detail: RunDetail, network: Network, model: NetworkModel) -> dict[str, Any]:
    run = detail.run
    scale, made = charts(detail)
    ends = _ends(model)
    return {
        "run": run,
        "headline": words.doubt(run) or words.headline(run),
        "lead": words.lead(run) if run.is_leak_evident else words.if_all_the_same(run),
        "odds": words.odds(run),
        "evidence_word": words.evidence_word(run),
        "zone_length": _zone_length(detail),
        "flow_range": words.total_flow(run),
        "best_flow": f"{run.best.flow_m3s * _LITRES:.2f}",
        "class_names": CLASS_NAMES,
        "top": [_row(detail, rank, ends) for rank in range(1, len(detail.candidates[:_N_TOP]) + 1)],
        "top_percent": words.percent(sum(one.probability for one in detail.candidates[:_N_TOP])),
        "scale": scale,
        "charts": made,
        **_times(detail, network),
    }


def _leaks(detail: RunDetail, ground: Ground) -> list[dict[str, Any]]:
    """Return what the page says of each leak that is evident, for the crew that searches it."""
    streets = streets_to_walk(detail.leaks, ground.model)
    return [
        _leak(detail, leak, [one for one in streets if one.leak == leak.number], ground)
        for leak in detail.leaks
    ]


def _leak(
    detail: RunDetail, leak: PlacedLeak, streets: Sequence[Street], ground: Ground
) -> dict[str, Any]:
    shown = streets[:_N_STREETS]
    return {
        **_leak_row(leak),
        "place_said": words.place_sentence(leak.best),
        "walk_said": " ".join(words.walk_sentences(streets)),
        "close": close_up(detail, leak, ground),
        "street_marks": street_marks(leak, shown, ground),
        "begin": begin_mark(leak, streets[0], ground),
        "streets": [_street_row(one) for one in shown],
        "n_streets": len(streets),
    }


def _leak_row(leak: PlacedLeak) -> dict[str, Any]:
    return {
        "number": leak.number,
        "pipe_id": leak.best.pipe_id,
        "percent": words.percent(leak.best.probability),
        "flow": words.placed_flow(leak),
        "zones": {
            level: words.zone_text(leak.zone_sizes[level], leak.zone_length_m[level])
            for level in LEVELS
        },
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
    """Return the map of the network, and what is said of more leaks than one."""
    run = detail.run
    zones = () if run.several is None else several_placed(run.several.leaks, detail.several)
    several = zones if len(zones) > 1 else ()
    return {
        "whole": None if run.is_more_than_one else overview(detail, detail.leaks[0], ground),
        "is_more": run.is_more_than_one,
        "several_said": words.several_sentence(run),
        "one_leak_said": words.one_leak_sentence(run),
        "number_said": words.number_words(run),
        "several": [_leak_row(one) for one in several],
        "several_map": several_zones(detail, several, ground, are_framed=run.is_more_than_one)
        if several
        else None,
        "several_marks": several_marks(several, ground),
    }


def _zone_length(detail: RunDetail) -> str:
    return " + ".join(words.length(leak.zone_length_m["90"]) for leak in detail.leaks)


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


def _ends(model: NetworkModel) -> dict[str, tuple[str, str]]:
    return {
        link_id: (model.node_id[model.start[i]], model.node_id[model.end[i]])
        for i, link_id in enumerate(model.link_id)
    }


def _row(
    detail: RunDetail, rank: int, ends: dict[str, tuple[str, str]]
) -> dict[str, str | float | None]:
    one = detail.candidates[rank - 1]
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
        "zone": detail.leaks[0].smallest_zone(rank),
    }
