"""Geometry leaves as GeoJSON: CRS84 where the network's coordinate system is known, native else.

A pipe's length is never worked out from longitude and latitude: it is the file's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from pyproj import Transformer
from pyproj.exceptions import CRSError

from api.graphql.scalars import GeoJSON
from twin.assets import LOCAL_CRS, Asset, Point, Property

CRS84 = "OGC:CRS84"
FloatArray = npt.NDArray[np.float64]
Box = tuple[float, float, float, float]
_N_DECIMALS = 8  # a millimetre on the ground; native coordinates are not rounded


@dataclass(frozen=True, slots=True)
class Drawn:
    """Assets as they are drawn.

    Attributes:
        assets: Those with coordinates.
        xy: Coordinates of all of them behind one another, shape (n_points, 2).
        ends: Where each asset's coordinates end in `xy`, shape (n_assets,).
        is_local: Whether the coordinates are native, of no known system.
    """

    assets: tuple[Asset, ...]
    xy: FloatArray
    ends: npt.NDArray[np.intp]
    is_local: bool

    def geometry(self, index: int) -> dict[str, Any]:
        """Return the GeoJSON geometry of one asset."""
        begin = self.ends[index - 1] if index else 0
        return _geometry(self.xy[begin : self.ends[index]].tolist(), is_local=self.is_local)

    def touching(self, box: Box) -> npt.NDArray[np.bool_]:
        """Return which assets' bounding boxes touch a box, shape (n_assets,)."""
        if not self.assets:
            return np.zeros(0, dtype=np.bool_)
        begins = np.concatenate(([0], self.ends[:-1]))
        low = np.minimum.reduceat(self.xy, begins)
        high = np.maximum.reduceat(self.xy, begins)
        west, south, east, north = box
        in_x = (high[:, 0] >= west) & (low[:, 0] <= east)
        in_y = (high[:, 1] >= south) & (low[:, 1] <= north)
        return np.asarray(in_x & in_y)


def draw(assets: Iterable[Asset], crs: str, *, native: bool = False) -> Drawn:
    """Return assets in longitude and latitude, or in native coordinates.

    Args:
        assets: Those without finite coordinates are left out.
        crs: `EPSG:n`, or `LOCAL`.
        native: Keep native coordinates even where the system is known.
    """
    shown = tuple(asset for asset in assets if _is_drawable(asset.geometry))
    points = [point for asset in shown for point in asset.geometry]
    xy = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    ends = np.cumsum([len(asset.geometry) for asset in shown], dtype=np.intp)
    is_local = crs == LOCAL_CRS
    if not is_local and not native and len(xy):
        xy = _to_crs84(xy, crs)
    return Drawn(shown, xy, ends, is_local)


def geometry_of(asset: Asset, crs: str, *, native: bool = False) -> GeoJSON | None:
    """Return the GeoJSON geometry of one asset, None where the file gives it no place."""
    drawn = draw([asset], crs, native=native)
    return GeoJSON(drawn.geometry(0)) if drawn.assets else None


def finite_properties(properties: Mapping[str, Property]) -> dict[str, Property | None]:
    """Return properties that JSON can hold: NaN and infinity become null."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in properties.items()
    }


def feature_collection(features: Sequence[Mapping[str, Any]], *, is_local: bool) -> GeoJSON:
    """Return features as one GeoJSON object, with a note where it is of no known system."""
    collection: dict[str, Any] = {"type": "FeatureCollection", "features": list(features)}
    return GeoJSON(collection | ({"crs": LOCAL_CRS} if is_local else {}))


def _geometry(points: list[list[float]], *, is_local: bool) -> dict[str, Any]:
    geometry: dict[str, Any] = (
        {"type": "Point", "coordinates": points[0]}
        if len(points) == 1
        else {"type": "LineString", "coordinates": points}
    )
    return geometry | ({"crs": LOCAL_CRS} if is_local else {})


def _is_drawable(points: tuple[Point, ...]) -> bool:
    return bool(points) and all(math.isfinite(x) and math.isfinite(y) for x, y in points)


def _to_crs84(xy: FloatArray, crs: str) -> FloatArray:
    lon, lat = _transformer(crs).transform(xy[:, 0], xy[:, 1])
    return np.round(np.column_stack((lon, lat)), _N_DECIMALS)


@lru_cache(maxsize=32)
def _transformer(crs: str) -> Transformer:
    return Transformer.from_crs(crs, CRS84, always_xy=True)


def is_known_crs(crs: str) -> bool:
    """Return whether coordinates of this system can be drawn on a map."""
    if crs == LOCAL_CRS:
        return False
    try:
        _transformer(crs)
    except CRSError:
        return False
    return True
