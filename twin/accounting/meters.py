"""The meters of a zone, by what the record holds: at its boundary, in its tanks, at customers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from hydraulics.network import NetworkModel, NodeKind
from twin.accounting.integrals import good_only
from twin.accounting.zones import Crossing, Zone
from twin.ids import Space
from twin.leaks.windows import DAY_NS, Window
from twin.ports import Record
from twin.readings import Column, Quantity, Series


@dataclass(frozen=True, slots=True)
class BoundaryMeter:
    """A meter at the boundary.

    Attributes:
        asset: Full name of the link or source that it is at.
        sign: +1 where a positive reading comes in, -1 where it goes out.
        column: Its good readings.
    """

    asset: str
    sign: int
    column: Column


@dataclass(frozen=True, slots=True)
class TankMeter:
    """A tank's level.

    Attributes:
        asset: Full name of the tank.
        area_m2: Its area [m²].
        column: Its good readings, from two hours before the window to two hours behind it.
    """

    asset: str
    area_m2: float
    column: Column


class Meters:
    """Finds and reads the series of one zone over one window, each of them once."""

    def __init__(self, record: Record, network: str, model: NetworkModel, window: Window) -> None:
        self._record = record
        self._model = model
        self._window = window
        self._known: dict[tuple[str, Quantity], list[Series]] = {}
        for series in sorted(record.series(network), key=lambda one: (one.tag, one.source)):
            self._known.setdefault((series.asset, series.quantity), []).append(series)
        self._columns: dict[Series, Column] = {}

    def metered_links(self) -> list[int]:
        """Return the links that have a flow series, as indices of the model."""
        index = {f"{Space.LINK}:{name}": i for i, name in enumerate(self._model.link_id)}
        assets = {asset for asset, quantity in self._known if quantity is Quantity.FLOW}
        return sorted(index[asset] for asset in assets if asset in index)

    def boundary(self, zone: Zone) -> tuple[list[BoundaryMeter], list[str]]:
        """Return the meters at a zone's boundary, and the names of crossings without one."""
        meters: dict[str, BoundaryMeter] = {}
        missing = []
        for crossing in zone.crossings:
            found = self._of_link(crossing) or self._of_source(zone, crossing)
            if found is None:
                missing.append(f"{Space.LINK}:{self._model.link_id[crossing.link]}")
            else:
                meters[found.asset] = found
        return list(meters.values()), missing

    def tanks(self, zone: Zone) -> tuple[list[TankMeter], list[str]]:
        """Return the levels of a zone's tanks, and the names of tanks without one."""
        meters, missing = [], []
        for node in self._nodes(zone, NodeKind.TANK):
            asset = f"{Space.NODE}:{self._model.node_id[node]}"
            column = self._column([asset], Quantity.LEVEL)
            diameters_m = self._model.tank_diameter_m
            diameter_m = float(diameters_m[node]) if len(diameters_m) else np.nan
            if column is None or not diameter_m > 0:
                missing.append(asset)
            else:
                meters.append(TankMeter(asset, np.pi * diameter_m**2 / 4.0, column))
        return meters, missing

    def customers(self, zone: Zone) -> tuple[list[Column], list[str]]:
        """Return the readings of a zone's customers, and the junctions that draw without a meter.

        A flow that is drawn (`demand`) goes before a counter (`volume`).
        """
        columns, missing = [], []
        for node in self._nodes(zone, NodeKind.JUNCTION):
            name = self._model.node_id[node]
            assets = [f"{Space.USER}:{name}", f"{Space.NODE}:{name}"]
            both = [self._column(assets, kind) for kind in (Quantity.DEMAND, Quantity.VOLUME)]
            known = [column for column in both if column is not None]
            if known:
                columns.append(next(filter(len, known), known[0]))
            elif self._model.base_demand_m3s[node] > 0:
                missing.append(assets[1])
        return columns, missing

    def pressures(self, zone: Zone) -> list[Column]:
        """Return the readings of a zone's pressure sensors."""
        names = [self._model.node_id[node] for node in self._nodes(zone, NodeKind.JUNCTION)]
        found = (self._column([f"{Space.NODE}:{name}"], Quantity.PRESSURE) for name in names)
        return [column for column in found if column is not None]

    def in_window(self, column: Column) -> Column:
        """Return what of a column lies in the window itself."""
        return cut(column, self._window)

    def _nodes(self, zone: Zone, kind: NodeKind) -> list[int]:
        return [int(i) for i in np.flatnonzero(zone.inside & (self._model.node_kind == kind))]

    def _of_link(self, crossing: Crossing) -> BoundaryMeter | None:
        asset = f"{Space.LINK}:{self._model.link_id[crossing.link]}"
        column = self._column([asset], Quantity.FLOW)
        return None if column is None else BoundaryMeter(asset, crossing.sign, column)

    def _of_source(self, zone: Zone, crossing: Crossing) -> BoundaryMeter | None:
        """Return the meter of a source, where all that it feeds is in the zone."""
        model, node = self._model, crossing.outside
        if model.node_kind[node] != NodeKind.RESERVOIR or not _feeds_only(model, zone, node):
            return None
        asset = f"{Space.NODE}:{model.node_id[node]}"
        for quantity, sign in ((Quantity.FLOW, 1), (Quantity.DEMAND, -1)):
            column = self._column([asset], quantity)
            if column is not None:
                return BoundaryMeter(asset, sign, column)
        return None

    def _column(self, assets: Iterable[str], quantity: Quantity) -> Column | None:
        """Return the good readings of the series with most of them, None where there is no series.

        One asset may have several series: a tag was renamed, or two doors bring the same meter.
        """
        known = [one for asset in assets for one in self._known.get((asset, quantity), ())]
        columns = [self._read(series) for series in known]
        return max(columns, key=lambda one: len(self.in_window(one))) if columns else None

    def _read(self, series: Series) -> Column:
        if series not in self._columns:
            pad_ns = _PAD_NS.get(series.quantity, 0)
            begin_ns = max(self._window.from_ns - pad_ns, 0)
            column = self._record.column(series, begin_ns, self._window.to_ns + pad_ns)
            self._columns[series] = good_only(column)
        return self._columns[series]


_PAD_NS: Mapping[Quantity, int] = {Quantity.LEVEL: DAY_NS // 12, Quantity.VOLUME: DAY_NS}
"""How far outside of the window a reading may lie that tells the value at its ends."""


def cut(column: Column, window: Window) -> Column:
    """Return the readings of a column within a window."""
    begin, end = np.searchsorted(column.time_ns, [window.from_ns, window.to_ns])
    part = slice(int(begin), int(end))
    return Column(
        column.series,
        column.time_ns[part],
        column.value[part],
        column.quality[part],
        column.height[part],
        column.leaf_index[part],
    )


def _feeds_only(model: NetworkModel, zone: Zone, source: int) -> bool:
    is_its = model.is_open & ((model.start == source) | (model.end == source))
    others = np.where(model.start == source, model.end, model.start)[is_its]
    return bool(zone.inside[others].all())
