"""The page of a coverage: maps of where leaks would be found and how long their zones would be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from api.report import trust_words
from api.report.drawing import WIDTH, Ground, Mark, Page, ScaleBar, mark_at, plants, scale_bar
from api.report.words import length
from hydraulics.network import FloatArray, NetworkModel
from twin.assets import Network
from twin.leaks.trust import CoverageReport
from twin.leaks.trust_files import coverage_csv, coverage_geojson
from twin.networks import load_model, load_network
from twin.ports import Record

SURELY, RATHER = 0.9, 0.5
"""Chances from which a leak is found surely, and rather than not."""
CHANCE_NAMES = ("found surely (90 % or more)", "perhaps (50 to 90 %)", "not found (under 50 %)")
_ZONE_LIMITS_M = (200.0, 500.0, 1_000.0, 3_000.0)
ZONE_NAMES = ("under 200 m", "200 to 500 m", "500 m to 1 km", "1 to 3 km", "3 km or more")
_LITRES = 1_000.0
_MARGIN = 0.05


@dataclass(frozen=True, slots=True)
class SizeLine:
    """How well leaks of one size would be found, as text.

    Attributes:
        cells: Size in L/s; shares of the length where it is found surely, perhaps and not; mean
            and median length of its zone.
        sentence: The same in a sentence.
    """

    cells: tuple[str, ...]
    sentence: str


@dataclass(frozen=True, slots=True)
class CoverageMap:
    """A map of the pipes in classes, in SVG units.

    Attributes:
        title: What it shows.
        kind: `chance` or `zone`.
        width: Width of the view.
        height: Height of the view.
        classes: Path of the pipes of each class, the best first; empty where it has none.
        sensors: The pressure sensors; kind `used`.
        placed: The next sensors, named by rank and node.
        plants: Reservoirs and tanks.
        scale: The scale bar.
    """

    title: str
    kind: str
    width: float
    height: float
    classes: tuple[str, ...]
    sensors: tuple[Mark, ...]
    placed: tuple[Mark, ...]
    plants: tuple[Mark, ...]
    scale: ScaleBar


def coverage_files(record: Record, report: CoverageReport) -> dict[str, bytes]:
    """Return the page, the table and the layer for a GIS, by file name."""
    network = load_network(record, report.network)
    model = load_model(record, network)
    return {
        "coverage.html": coverage_html(report, network, model).encode(),
        "coverage.csv": coverage_csv(report),
        "coverage.geojson": coverage_geojson(report, network, model),
    }


def coverage_html(report: CoverageReport, network: Network, model: NetworkModel) -> str:
    """Return the coverage as one page that refers to nothing outside itself and runs no script.

    What comes from the network is escaped: an asset may be called anything.
    """
    shipped = PackageLoader("api.report")
    pages = Environment(loader=shipped, autoescape=True, undefined=StrictUndefined)
    css = shipped.get_source(pages, "report.css")[0]
    more_css = shipped.get_source(pages, "coverage.css")[0]
    return pages.get_template("coverage.html.j2").render(
        css=Markup(css + more_css),  # noqa: S704 - our own files
        report=report,
        lines=by_size(report),
        maps=coverage_maps(report, network, model),
        chance_names=CHANCE_NAMES,
        zone_names=ZONE_NAMES,
        next_lines=[
            trust_words.next_sentence(report, rank, one)
            for rank, one in enumerate(report.next_sensors, 1)
        ],
        false_alarm=f"{report.settings.false_alarm * 100:g} %",
        level=f"{report.settings.level * 100:g} %",
        unreached=length(float(report.coverage.length_m[~report.coverage.is_reached].sum())),
        is_all_reached=bool(report.coverage.is_reached.all()),
    )


def by_size(report: CoverageReport) -> list[SizeLine]:
    """Return a line a size of leak."""
    found = report.coverage
    return [
        SizeLine(
            (
                f"{size * _LITRES:g}",
                *(trust_words.share(part) for part in _shares(report, k)),
                length(float(found.expected_zone_m[k])),
                length(_median(found.zone_m[:, k], found.length_m)),
            ),
            trust_words.coverage_sentence(report, k),
        )
        for k, size in enumerate(found.size_m3s)
    ]


def coverage_maps(
    report: CoverageReport, network: Network, model: NetworkModel
) -> list[CoverageMap]:
    """Return a map a size, and one of the zones of the middle size; none without coordinates."""
    ground = Ground(network, model)
    box = ground.box(None, _MARGIN)
    if box is None:
        return []
    page, found = Page(box), report.coverage
    middle = len(found.size_m3s) // 2
    maps = [
        _map(
            report,
            ground,
            page,
            f"Chance to find a leak of {size * _LITRES:g} L/s",
            "chance",
            [chance_class(float(chance)) for chance in found.chance[:, k]],
        )
        for k, size in enumerate(found.size_m3s)
    ]
    size = f"{found.size_m3s[middle] * _LITRES:g} L/s"
    zones = [zone_class(float(zone_m)) for zone_m in found.zone_m[:, middle]]
    return [*maps, _map(report, ground, page, f"Expected zone of a leak of {size}", "zone", zones)]


def chance_class(chance: float) -> int:
    """Return the class of a chance: 0 is the surest, see `CHANCE_NAMES`."""
    return sum(chance < limit for limit in (SURELY, RATHER))


def zone_class(zone_m: float) -> int:
    """Return the class of a length: 0 is the shortest, see `ZONE_NAMES`."""
    return sum(zone_m >= limit for limit in _ZONE_LIMITS_M)


def _map(  # noqa: PLR0913, PLR0917 - each is a thing of its own
    report: CoverageReport,
    ground: Ground,
    page: Page,
    title: str,
    kind: str,
    classes: list[int],
) -> CoverageMap:
    n_classes = len(CHANCE_NAMES if kind == "chance" else ZONE_NAMES)
    parts: list[list[str]] = [[] for _ in range(n_classes)]
    for link, number in zip(report.coverage.link, classes, strict=True):
        parts[number].append(page.path(ground.line(int(link))))
    index = {name: i for i, name in enumerate(ground.model.node_id)}
    placed = [
        (one.node_id, f"{rank}: {one.node_id}") for rank, one in enumerate(report.next_sensors, 1)
    ]
    return CoverageMap(
        title=title,
        kind=kind,
        width=WIDTH,
        height=page.height,
        classes=tuple("".join(part) for part in parts),
        sensors=_marks(ground, page, [(n, n) for n in report.sensors], index.__getitem__, "used"),
        placed=_marks(ground, page, placed, index.__getitem__, "next"),
        plants=plants(ground, page),
        scale=scale_bar(page, ground),
    )


def _marks(
    ground: Ground,
    page: Page,
    named: list[tuple[str, str]],
    node_of: Callable[[str], int],
    kind: str,
) -> tuple[Mark, ...]:
    places = [(ground.node(node_of(node_id)), name) for node_id, name in named]
    return tuple(
        mark_at(page, place, name, kind) for place, name in places if np.isfinite(place).all()
    )


def _shares(report: CoverageReport, k: int) -> list[float]:
    found = report.coverage
    classes = np.array([chance_class(float(chance)) for chance in found.chance[:, k]])
    total = float(found.length_m.sum())
    return [float(found.length_m[classes == n].sum()) / total for n in range(len(CHANCE_NAMES))]


def _median(values: FloatArray, weight: FloatArray) -> float:
    """Return the value that half of the weight lies at or below."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weight[order])
    return float(values[order][np.searchsorted(reached, reached[-1] / 2.0)])
