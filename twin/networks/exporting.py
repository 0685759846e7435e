"""A network goes out to any GIS: GeoJSON or GeoPackage.

GeoJSON is in CRS84 (longitude, latitude), as RFC 7946 asks, with the native coordinate system named
beside it; a network with local coordinates keeps them and says so in a foreign member. GeoPackage
keeps the native coordinates and holds two layers, `nodes` and `links`.

Source:
    RFC 7946; OGC GeoPackage 1.3.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from twin.assets import LOCAL_CRS, Asset, Network, Point, Property
from twin.errors import UnreadableError
from twin.ids import AssetRef
from twin.networks.records import load_assets, load_network, write_whole
from twin.ports import Record

LOCAL_WKT = 'LOCAL_CS["LOCAL",UNIT["metre",1]]'
_COLUMNS = ("id", "ref", "kind", "start", "end", "is_open", "is_oneway", "from_model")
_GPKG_POINT, _GPKG_LINE = "Point", "LineString"


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written.

    Attributes:
        path: The file.
        n_nodes: Assets at a point.
        n_links: Assets along a line.
        n_unplaced: Assets without coordinates, written without geometry.
        note: What a person should know of the coordinates.
    """

    path: Path
    n_nodes: int
    n_links: int
    n_unplaced: int
    note: str


def export_network(record: Record, name: str, path: Path) -> ExportReport:
    """Write a network's assets to `path`, whole or not at all.

    Args:
        record: Where the network stands.
        name: Its name.
        path: A file that ends in `.geojson` or `.gpkg`.

    Raises:
        NotFoundError: No such network is recorded.
        UnreadableError: The file's name ends otherwise.
    """
    writers: dict[str, Callable[[Network, Sequence[Asset]], bytes]] = {
        ".geojson": _geojson_bytes,
        ".gpkg": _geopackage_bytes,
    }
    write = writers.get(path.suffix.lower())
    if write is None:
        raise UnreadableError(f"{path.name}: write to a file that ends in .geojson or .gpkg")
    network = load_network(record, name)
    assets = list(load_assets(record, name).values())
    write_whole(path, write(network, assets))
    return ExportReport(
        path=path,
        n_nodes=sum(not asset.is_link for asset in assets),
        n_links=sum(asset.is_link for asset in assets),
        n_unplaced=sum(not asset.geometry for asset in assets),
        note=_note(network, path.suffix.lower()),
    )


def to_crs84(crs: str) -> Callable[[Sequence[Point]], list[Point]]:
    """Return what turns native coordinates into (longitude, latitude); LOCAL stays as it is."""
    if crs == LOCAL_CRS:
        return list
    from pyproj import Transformer  # noqa: PLC0415 - takes a moment to load

    transformer = Transformer.from_crs(crs, "OGC:CRS84", always_xy=True)

    def transform(points: Sequence[Point]) -> list[Point]:
        x, y = transformer.transform([p[0] for p in points], [p[1] for p in points])
        return [(float(lon), float(lat)) for lon, lat in zip(x, y, strict=True)]

    return transform


def feature_collection(network: Network, assets: Sequence[Asset]) -> dict[str, Any]:
    """Return the assets as a GeoJSON FeatureCollection; see the head of this module."""
    points = [point for asset in assets for point in asset.geometry]
    places = iter(to_crs84(network.crs)(points) if points else [])
    features = [_feature(asset, [next(places) for _ in asset.geometry]) for asset in assets]
    collection: dict[str, Any] = {"type": "FeatureCollection", "name": network.name}
    if network.crs == LOCAL_CRS:
        collection["crs"] = LOCAL_CRS
    else:
        collection["nativeCrs"] = network.crs
    return {**collection, "features": features}


def _feature(asset: Asset, places: list[Point]) -> dict[str, Any]:
    kind = "LineString" if asset.is_link else "Point"
    geometry = None
    if places and all(math.isfinite(v) for place in places for v in place):
        coordinates = [list(place) for place in places]
        geometry = {"type": kind, "coordinates": coordinates if asset.is_link else coordinates[0]}
    properties = {**_own_values(asset), **asset.properties}
    return {
        "type": "Feature",
        "id": str(asset.ref),
        "geometry": geometry,
        "properties": {name: value for name, value in properties.items() if value is not None},
    }


def _own_values(asset: Asset) -> dict[str, Property | None]:
    return {
        "id": asset.ref.id,
        "ref": str(asset.ref),
        "kind": asset.kind.value,
        "start": _text(asset.start),
        "end": _text(asset.end),
        "is_open": asset.is_open,
        "is_oneway": asset.is_oneway,
        "from_model": asset.from_model,
    }


def _geojson_bytes(network: Network, assets: Sequence[Asset]) -> bytes:
    collection = feature_collection(network, assets)
    return json.dumps(collection, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _geopackage_bytes(network: Network, assets: Sequence[Asset]) -> bytes:
    crs = LOCAL_WKT if network.crs == LOCAL_CRS else network.crs
    layers = {
        "nodes": (_GPKG_POINT, [asset for asset in assets if not asset.is_link]),
        "links": (_GPKG_LINE, [asset for asset in assets if asset.is_link]),
    }
    with tempfile.TemporaryDirectory(prefix="watercourse-") as scratch:
        path = Path(scratch) / "network.gpkg"
        for layer, (shape, chosen) in layers.items():
            if chosen:
                _write_layer(path, layer, shape, chosen, crs)
        return path.read_bytes()


def _write_layer(path: Path, layer: str, shape: str, assets: Sequence[Asset], crs: str) -> None:
    from pyogrio import raw  # noqa: PLC0415 - loads GDAL

    table = _table(assets)
    raw.write(
        path,
        geometry=_wkb(assets),
        field_data=[values for values, _ in table.values()],
        fields=list(table),
        field_mask=[mask for _, mask in table.values()],
        layer=layer,
        driver="GPKG",
        geometry_type=shape,
        crs=crs,
        append=path.exists(),
    )


def _wkb(assets: Sequence[Asset]) -> npt.NDArray[np.object_]:
    import shapely  # noqa: PLC0415 - loads GEOS

    shapes = [_shape(shapely, asset) for asset in assets]
    return np.array(shapely.to_wkb(np.array(shapes, dtype=object)), dtype=object)


def _shape(shapely: Any, asset: Asset) -> Any:  # noqa: ANN401 - shapely carries no types
    if not asset.geometry:
        return None
    return shapely.LineString(asset.geometry) if asset.is_link else shapely.Point(asset.geometry[0])


_Column = tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]


def _table(assets: Sequence[Asset]) -> dict[str, _Column]:
    """Return the columns of a layer, each with a mask of what is missing."""
    rows: list[Mapping[str, Property | None]] = [
        {**_own_values(asset), **asset.properties} for asset in assets
    ]
    names = dict.fromkeys([*_COLUMNS, *(name for row in rows for name in row)])
    # "fid" is the column that a GeoPackage gives each row by itself.
    return {
        ("fid_" if name == "fid" else name): _column([row.get(name) for row in rows])
        for name in names
    }


def _column(values: Sequence[Property | None]) -> _Column:
    mask = np.array([value is None for value in values], dtype=np.bool_)
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, bool) for value in known):
        return np.array([bool(value) for value in values], dtype=np.bool_), mask
    if known and all(isinstance(value, float) for value in known):
        return np.array([np.nan if v is None else float(v) for v in values]), mask
    texts = [None if value is None else str(value) for value in values]
    return np.array(texts, dtype=object), mask


def _text(ref: AssetRef | None) -> str | None:
    return None if ref is None else str(ref)


def _note(network: Network, suffix: str) -> str:
    if network.crs == LOCAL_CRS:
        return "Its coordinates are local: they belong to no known system and are written as given."
    if suffix == ".geojson":
        return (
            f"Its coordinates were turned from {network.crs} into longitude and latitude (CRS84)."
        )
    return f"Its coordinates are in {network.crs}, as recorded."
