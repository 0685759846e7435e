"""The network as a drawing: metres on the ground, and paths in an SVG's own coordinates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hydraulics.network import NetworkModel, NodeKind
from twin.assets import LOCAL_CRS, Network
from twin.leaks.artefacts import RunDetail, line, point_along
from twin.leaks.placed import PlacedLeak
from twin.leaks.records import LEVELS
from twin.leaks.walking import Street
from twin.readings import FloatArray

WIDTH = 1_000.0
_EARTH_M_PER_DEGREE = 111_320.0
_CLASSES = (0.10, 0.03, 0.01, 0.003)
CLASS_NAMES = ("10 % or more", "3 to 10 %", "1 to 3 %", "0.3 to 1 %", "less")
"""What each class of probability is called in the legend, the most probable first."""
_N_LABELS = 10
_LABEL_WIDTH, _LABEL_HEIGHT = 52.0, 22.0
_MARGIN = 0.05
_FRAME_INSET = 3.0
_FOOT = 40.0
_ZOOM_MARGIN = 0.18
_LEAST_ZOOM = 0.1
"""The close-up shows at least this share of the network's larger side."""
_TALLEST = 1.1
_FLATTEST = 0.45
Frame = tuple[float, float, float, float]
"""A box of the drawing, as x, y, width, height."""
_ROUND_LENGTHS_M = (10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000)


@dataclass(frozen=True, slots=True)
class Box:
    """A part of the ground [m], y upward."""

    x_m: float
    y_m: float
    width_m: float
    height_m: float


@dataclass(frozen=True, slots=True)
class Mark:
    """A point of the drawing with a name."""

    x: float
    y: float
    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class ScaleBar:
    """A bar of a round length."""

    length: float
    text: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """What the template draws, in SVG units, y downward.

    Attributes:
        width: Width of the view.
        height: Height of the view.
        network: One path of every pipe.
        zones: Path of each zone's pipes by level, the widest first.
        pipes: Path of the pipes of each class of probability, as (class, path), least first.
        sensors: Pressure sensors; kind `used` or `unused`.
        plants: Reservoirs and tanks; kind `source` or `tank`.
        labels: Ids of the most probable pipes, at their middle.
        best: The most probable place, None without coordinates.
        scale: The scale bar.
        frames: What each close-up shows; only in the overview.
    """

    width: float
    height: float
    network: str
    zones: tuple[tuple[str, str], ...]
    pipes: tuple[tuple[int, str], ...]
    sensors: tuple[Mark, ...]
    plants: tuple[Mark, ...]
    labels: tuple[Mark, ...]
    best: Mark | None
    scale: ScaleBar
    frames: tuple[Frame, ...]


class Ground:
    """The lines of a network on the ground.

    Attributes:
        model: The network.
        index: Where each link stands in it, by id.
        is_measured: Whether metres are those of a known system; else they are estimated from the
            lengths of the pipes.
    """

    def __init__(self, network: Network, model: NetworkModel) -> None:
        self.model = model
        self.index = {link_id: i for i, link_id in enumerate(model.link_id)}
        self.is_measured = network.crs != LOCAL_CRS
        self._lines = [line(model, i) for i in range(model.n_links)]
        self._nodes = model.node_xy
        if self.is_measured:
            self._to_metres(network.crs)
        else:
            self._scale_to_lengths()

    def line(self, link_index: int) -> FloatArray:
        """Return a link's polyline [m], shape (n, 2)."""
        return self._lines[link_index]

    def node(self, node_index: int) -> FloatArray:
        """Return a node's place [m], shape (2,), NaN where there is none."""
        place: FloatArray = self._nodes[node_index]
        return place

    def box(self, links: Sequence[int] | None, margin: float, least_m: float = 0.0) -> Box | None:
        """Return the box around some links, or all, with a margin as a share of its size.

        Args:
            links: Indices of links; None takes all.
            margin: Share of the larger side to add on each side.
            least_m: The larger side is at least this long [m].
        """
        chosen = self._lines if links is None else [self._lines[i] for i in links]
        points = np.concatenate([*chosen, np.empty((0, 2))])
        if not len(points):
            return None
        low, high = points.min(axis=0), points.max(axis=0)
        size = np.maximum(high - low, 1.0)
        pad = max(margin * size.max(), (least_m - size.max()) / 2)
        return _shaped(low[0] - pad, low[1] - pad, size[0] + 2 * pad, size[1] + 2 * pad)

    def _to_metres(self, crs: str) -> None:
        from pyproj import Transformer  # noqa: PLC0415 - only where there is a system

        to_degrees = Transformer.from_crs(crs, "OGC:CRS84", always_xy=True)
        _lon, lat = to_degrees.transform(self._nodes[:, 0], self._nodes[:, 1])
        shrink = math.cos(math.radians(float(np.nanmean(lat)))) if len(lat) else 1.0

        def metres(points: FloatArray) -> FloatArray:
            x, y = to_degrees.transform(points[:, 0], points[:, 1])
            return np.column_stack([np.multiply(x, shrink), y]) * _EARTH_M_PER_DEGREE

        self._lines = [metres(one) if len(one) else one for one in self._lines]
        self._nodes = metres(self._nodes)

    def _scale_to_lengths(self) -> None:
        drawn = sum(float(np.hypot(*np.diff(one, axis=0).T).sum()) for one in self._lines)
        known_m = float(self.model.length_m.sum())
        scale = known_m / drawn if drawn > 0 and known_m > 0 else 1.0
        self._lines = [one * scale for one in self._lines]
        self._nodes = self._nodes * scale


def overview(detail: RunDetail, leak: PlacedLeak, ground: Ground) -> Drawing | None:
    """Draw the whole network with a leak's zones, and a frame around what `close_up` shows."""
    box = ground.box(None, _MARGIN)
    return _draw(detail, leak, ground, box, [close_box(leak, ground)]) if box else None


def close_up(detail: RunDetail, leak: PlacedLeak, ground: Ground) -> Drawing | None:
    """Draw the 90 % zone and what is around it, with the ids of the most probable pipes."""
    box = close_box(leak, ground)
    return _draw(detail, leak, ground, box, []) if box else None


def close_box(leak: PlacedLeak, ground: Ground) -> Box | None:
    """Return the box around the 90 % zone."""
    whole = ground.box(None, 0.0)
    least_m = _LEAST_ZOOM * max(whole.width_m, whole.height_m) if whole else 0.0
    return ground.box([ground.index[pipe] for pipe in leak.zone("90")], _ZOOM_MARGIN, least_m)


def several_zones(
    detail: RunDetail, leaks: Sequence[PlacedLeak], ground: Ground, *, are_framed: bool
) -> Drawing | None:
    """Draw the network with the 90 % zone of each of several leaks, `leak1` being the largest.

    Frames are around what the close-up of each shows.
    """
    box = ground.box(None, _MARGIN)
    if box is None:
        return None
    frames = [close_box(leak, ground) for leak in leaks] if are_framed else []
    drawn, page = _draw(detail, leaks[0], ground, box, frames), Page(box)
    zones = [
        (f"leak{leak.number}", "".join(page.path(ground.line(ground.index[p])) for p in pipes))
        for leak in leaks
        if (pipes := leak.zone("90"))
    ]
    return replace(drawn, zones=tuple(reversed(zones)), pipes=(), labels=(), best=None)


def several_marks(leaks: Sequence[PlacedLeak], ground: Ground) -> tuple[Mark, ...]:
    """Return the number of each of several leaks at its most probable place."""
    box = ground.box(None, _MARGIN)
    if box is None:
        return ()
    page, marks = Page(box), []
    for leak in leaks:
        place = point_along(ground.line(ground.index[leak.best.pipe_id]), leak.best.place)
        if len(place):
            marks.append(mark_at(page, place[0], str(leak.number), "leak"))
    return tuple(marks)


def street_marks(leak: PlacedLeak, streets: Sequence[Street], ground: Ground) -> tuple[Mark, ...]:
    """Return a number for each street in the close-up, in the middle of its first pipe."""
    box = close_box(leak, ground)
    if box is None:
        return ()
    page, marks = Page(box), []
    for street in streets:
        middle = point_along(ground.line(ground.index[street.pipes[0].pipe_id]), 1 / 2)
        if len(middle):
            marks.append(mark_at(page, middle[0], str(street.rank), "street"))
    return tuple(mark for mark in marks if page.holds(mark.x, mark.y))


def begin_mark(leak: PlacedLeak, first: Street, ground: Ground) -> Mark | None:
    """Return the node of the close-up at which the walk begins, with its id."""
    box = close_box(leak, ground)
    place = ground.node(ground.model.node_id.index(first.start_node))
    if box is None or not np.isfinite(place).all():
        return None
    return mark_at(Page(box), place, first.start_node, "begin")


def class_of(probability: float) -> int:
    """Return the class of a probability: 0 is the most probable, see `CLASS_NAMES`."""
    return sum(probability < limit for limit in _CLASSES)


def _shaped(x: float, y: float, width: float, height: float) -> Box:
    """Return the box, made neither much taller nor much flatter than a page can show."""
    wanted_height = min(max(height, _FLATTEST * width), 1e12)
    wanted_width = max(width, wanted_height / _TALLEST)
    return Box(
        x - (wanted_width - width) / 2,
        y - (wanted_height - height) / 2,
        wanted_width,
        wanted_height,
    )


class Page:
    """From metres on the ground to the SVG's units."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self.per_m = WIDTH / box.width_m
        self.height = box.height_m * self.per_m + _FOOT

    def points(self, points_m: FloatArray) -> FloatArray:
        """Return points in the SVG's units, shape (n, 2)."""
        x = (points_m[:, 0] - self._box.x_m) * self.per_m
        y = (self._box.y_m + self._box.height_m - points_m[:, 1]) * self.per_m
        return np.column_stack([x, y])

    def path(self, points_m: FloatArray) -> str:
        """Return the path of a polyline; empty where it has no points."""
        if not len(points_m):
            return ""
        pairs = [f"{x:.1f} {y:.1f}" for x, y in self.points(points_m)]
        return "M" + "L".join(pairs)

    def holds(self, x: float, y: float) -> bool:
        """Whether a point of the SVG lies in the drawing."""
        return 0 <= x <= WIDTH and 0 <= y <= self.height


def _draw(
    detail: RunDetail, leak: PlacedLeak, ground: Ground, box: Box, frames: Sequence[Box | None]
) -> Drawing:
    page, best = Page(box), leak.best
    every = [page.path(ground.line(i)) for i in range(ground.model.n_links)]
    place = point_along(ground.line(ground.index[best.pipe_id]), best.place)
    return Drawing(
        width=WIDTH,
        height=page.height,
        network="".join(every),
        zones=tuple(
            (level, "".join(every[ground.index[pipe_id]] for pipe_id in leak.zone(level)))
            for level in reversed(LEVELS)
        ),
        pipes=_pipes(leak, every, ground.index),
        sensors=_sensors(detail, ground, page),
        plants=plants(ground, page),
        labels=_labels(leak, ground, page),
        best=mark_at(page, place[0], best.pipe_id, "best") if len(place) else None,
        scale=scale_bar(page, ground),
        frames=tuple(_frame(page, one) for one in frames if one is not None),
    )


def _pipes(
    leak: PlacedLeak, every: Sequence[str], index: Mapping[str, int]
) -> tuple[tuple[int, str], ...]:
    parts: dict[int, list[str]] = {}
    for one in leak.widest:
        parts.setdefault(class_of(one.probability), []).append(every[index[one.pipe_id]])
    return tuple((number, "".join(parts[number])) for number in sorted(parts, reverse=True))


def _sensors(detail: RunDetail, ground: Ground, page: Page) -> tuple[Mark, ...]:
    index = {node_id: i for i, node_id in enumerate(ground.model.node_id)}
    unused = {one.tag for one in detail.run.left_out if one.is_whole}
    marks = []
    for one in detail.run.residuals:
        node = index.get(one.asset.partition(":")[2])
        if node is not None and np.isfinite(ground.node(node)).all():
            kind = "unused" if one.tag in unused or not one.n_times else "used"
            marks.append(mark_at(page, ground.node(node), one.tag, kind))
    return tuple(mark for mark in marks if page.holds(mark.x, mark.y))


def plants(ground: Ground, page: Page) -> tuple[Mark, ...]:
    """Return the sources and tanks that lie in the drawing."""
    kinds = {NodeKind.RESERVOIR: "source", NodeKind.TANK: "tank"}
    marks = [
        mark_at(page, ground.node(i), ground.model.node_id[i], kinds[NodeKind(int(kind))])
        for i, kind in enumerate(ground.model.node_kind)
        if NodeKind(int(kind)) in kinds and np.isfinite(ground.node(i)).all()
    ]
    return tuple(mark for mark in marks if page.holds(mark.x, mark.y))


def _labels(leak: PlacedLeak, ground: Ground, page: Page) -> tuple[Mark, ...]:
    marks = []
    for one in leak.widest[:_N_LABELS]:
        middle = point_along(ground.line(ground.index[one.pipe_id]), 1 / 2)
        if len(middle):
            marks.append(mark_at(page, middle[0], one.pipe_id, "pipe"))
    return _apart([mark for mark in marks if page.holds(mark.x, mark.y)])


def _apart(marks: Sequence[Mark]) -> tuple[Mark, ...]:
    """Return the marks whose names do not lie on that of one before, the first one first."""
    kept: list[Mark] = []
    for mark in marks:
        if all(_is_apart(mark, other) for other in kept):
            kept.append(mark)
    return tuple(kept)


def _is_apart(one: Mark, other: Mark) -> bool:
    return abs(one.x - other.x) > _LABEL_WIDTH or abs(one.y - other.y) > _LABEL_HEIGHT


def mark_at(page: Page, point_m: FloatArray, name: str, kind: str) -> Mark:
    """Return the mark of a point on the ground."""
    x, y = page.points(np.reshape(point_m, (1, 2)))[0]
    return Mark(round(float(x), 1), round(float(y), 1), name, kind)


def scale_bar(page: Page, ground: Ground) -> ScaleBar:
    """Return the longest round length that fits into a quarter of the width."""
    fitting = [m for m in _ROUND_LENGTHS_M if m * page.per_m <= WIDTH / 4]
    length_m = fitting[-1] if fitting else _ROUND_LENGTHS_M[0]
    text = f"{length_m // 1_000} km" if length_m >= _ROUND_LENGTHS_M[6] else f"{length_m} m"
    return ScaleBar(length_m * page.per_m, text if ground.is_measured else f"about {text}")


def _frame(page: Page, box: Box) -> Frame:
    """Return a box in the drawing's units, cut where it reaches out of the drawing."""
    corners = [[box.x_m, box.y_m + box.height_m], [box.x_m + box.width_m, box.y_m]]
    view = np.array([WIDTH - _FRAME_INSET, page.height - _FOOT])
    low, high = np.clip(page.points(np.array(corners)), _FRAME_INSET, view)
    return float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])
