"""A home in a notebook: series as pandas, networks as networkx, read-only.

>>> home = open_home("home")
>>> home.series("ltown", tags=["n54.pressure"], start="2018-01-08T00:00:00+02:00")
>>> home.network("ltown").out_degree("node:n54")
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import networkx as nx
import pandas as pd

from api.home import Home
from twin.assets import Asset
from twin.errors import NotFoundError
from twin.instants import parse_instant
from twin.networks import load_assets, load_network, load_networks
from twin.readings import Column, Series

if TYPE_CHECKING:
    from collections.abc import Sequence

_FIRST_NS = 0
_LAST_NS = 2**63 - 1
_SUFFIX = {
    "m": "m",
    "m3/s": "m3s",
    "m3": "m3",
    "g/m3": "g_m3",
    "NTU": "ntu",
    "degC": "degc",
    "1": "",
}


def open_home(path: str | Path) -> NotebookHome:
    """Open a home read-only.

    Raises:
        NotFoundError: Nothing was ever recorded there.
    """
    return NotebookHome(Home(Path(path)))


class NotebookHome:
    """What an engineer asks of a home in a notebook. Nothing here writes."""

    def __init__(self, home: Home) -> None:
        self._record = home.reader()

    def networks(self) -> list[str]:
        """Return the names of the imported networks."""
        return sorted(load_networks(self._record))

    def tags(self, network: str) -> pd.DataFrame:
        """Return what each series of a network measures, one row a tag."""
        rows = [
            {
                "tag": series.tag,
                "asset": series.asset,
                "quantity": str(series.quantity),
                "unit": series.unit,
                "parameter": series.parameter,
                "sampling_point": series.sampling_point,
                "column": column_name(series),
            }
            for series in self._record.series(network)
        ]
        return pd.DataFrame(rows).set_index("tag")

    def series(
        self,
        network: str,
        tags: Sequence[str] | None = None,
        start: str | None = None,
        end: str | None = None,
    ) -> pd.DataFrame:
        """Return readings in columns, one a series, over [start, end).

        Args:
            network: Name of the network.
            tags: Which series; None means all.
            start: RFC 3339 with an offset; None means from the first reading.
            end: The same; None means to the last reading.

        Returns:
            Index `time_utc`; column names end in the unit, such as `n54.pressure_m`; NaN where a
            series has no reading at that time.

        Raises:
            NotFoundError: A tag has no series.
        """
        from_ns = _FIRST_NS if start is None else parse_instant(start)
        to_ns = _LAST_NS if end is None else parse_instant(end)
        columns = [
            _as_pandas(self._record.column(series, from_ns, to_ns))
            for series in self._chosen(network, tags)
        ]
        if not columns:
            return pd.DataFrame(index=pd.DatetimeIndex([], tz="UTC", name="time_utc"))
        return pd.concat(columns, axis=1).sort_index()

    def network(self, network: str) -> nx.MultiDiGraph[str]:
        """Return a network as built: nodes and links by full name, such as `node:10`.

        Each edge runs from start to end as drawn, which is not the direction of flow, and its key
        is the link's name. Attributes are the asset's properties, `kind`, `is_open`, `geometry`.

        Raises:
            NotFoundError: There is no such network.
        """
        load_network(self._record, network)
        graph: nx.MultiDiGraph[str] = nx.MultiDiGraph(name=network)
        assets = load_assets(self._record, network).values()
        for asset in assets:
            if not asset.is_link:
                graph.add_node(str(asset.ref), **_attributes(asset))
        for asset in assets:
            if asset.is_link:
                name = str(asset.ref)
                graph.add_edge(str(asset.start), str(asset.end), key=name, **_attributes(asset))
        return graph

    def _chosen(self, network: str, tags: Sequence[str] | None) -> list[Series]:
        known = {series.tag: series for series in self._record.series(network)}
        if tags is None:
            return list(known.values())
        missing = [tag for tag in tags if tag not in known]
        if missing:
            raise NotFoundError("series", f"{network}/{missing[0]}", "tags() lists what there is")
        return [known[tag] for tag in tags]


def column_name(series: Series) -> str:
    """Return a column's name: tag, what is measured unless the tag says so, unit."""
    what = series.parameter or str(series.quantity)
    named = "" if series.tag.endswith(what) else what
    return "_".join(part for part in (series.tag, named, _SUFFIX[series.unit]) if part)


def _as_pandas(column: Column) -> pd.Series[float]:
    index = pd.DatetimeIndex(pd.to_datetime(column.time_ns, utc=True), name="time_utc")
    return pd.Series(column.value, index=index, name=column_name(column.series))


def _attributes(asset: Asset) -> dict[str, object]:
    return {
        **asset.properties,
        "kind": str(asset.kind),
        "is_open": asset.is_open,
        "geometry": asset.geometry,
    }
