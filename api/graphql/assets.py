"""Assets: lists by keyset, one by its name, and whole maps as one GeoJSON value."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, cast

import strawberry
from strawberry.scalars import JSON

from api.graphql.context import Context, Info
from api.graphql.enums import AssetKind, Space
from api.graphql.errors import ArgumentError
from api.graphql.evidence import Evidence
from api.graphql.fields import asked
from api.graphql.geometry import draw, feature_collection, finite_properties, geometry_of
from api.graphql.ids import global_id
from api.graphql.networks import Network, networks_by_name
from api.graphql.nodes import Node
from api.graphql.paging import After, Connection, First, check_first, page
from api.graphql.scalars import GeoJSON, Instant, LonLatBox, NativeBox
from graph.store import PlacedAsset
from twin.assets import Network as TwinNetwork
from twin.events import EventKind
from twin.ids import AssetRef, parse_ref
from twin.networks import asset_from_event

if TYPE_CHECKING:
    from api.graphql.series import Series

GRAPH_PAGE = 10_000
MAX_FEATURES = 100_000
MAP_COST = 500

AsOf = Annotated[
    Instant | None,
    strawberry.argument(description="As the record had it then; without it, as it stands now."),
]
Kinds = Annotated[
    list[AssetKind] | None,
    strawberry.argument(description="Which kinds; without it, all."),
]


@strawberry.type(description="One thing of the city's water, from source to outfall.")
class Asset(Node):
    """The current state of an asset."""

    network_name: str
    name: str = strawberry.field(description="Its full name, such as `node:10` or `link:10`.")
    local_id: str = strawberry.field(description="Its id in the EPANET file or folder.")
    space: Space
    kind: AssetKind
    is_open: bool = strawberry.field(description="Whether water can pass as built.")
    is_oneway: bool = strawberry.field(description="Whether only from start to end.")
    from_model: bool = strawberry.field(description="Whether the EPANET file holds it.")
    length_m: float | None
    diameter_m: float | None
    elevation_m: float | None
    base_demand_m3s: float | None
    properties: JSON = strawberry.field(description="All that is known; names end in SI units.")
    evidence: Evidence = strawberry.field(description="The record that made it what it is.")
    placed: strawberry.Private[PlacedAsset]

    @asked("The network that it belongs to.")
    def network(self, info: Info) -> Network:
        """Return the network."""
        return networks_by_name(info.context)[self.network_name]

    @asked("First end of a link.", cost=2)
    def start(self, info: Info) -> Asset | None:
        """Return the start node."""
        return _end(info.context, self.placed, self.placed.asset.start)

    @asked("Second end of a link.", cost=2)
    def end(self, info: Info) -> Asset | None:
        """Return the end node."""
        return _end(info.context, self.placed, self.placed.asset.end)

    @asked("The links at a node or user.", cost=10, size=5)
    def links(self, info: Info) -> list[Asset]:
        """Return the links in order of name; none for a link."""
        if self.placed.asset.is_link:
            return []
        found = info.context.graph().links_at(self.network_name, self.placed.asset.ref)
        return assets_of(info.context, found)

    @asked("GeoJSON in CRS84; in native coordinates for a LOCAL network.")
    def geometry(self, info: Info) -> GeoJSON | None:
        """Return the geometry, null where the file gives no coordinates."""
        return geometry_of(self.placed.asset, info.context.networks()[self.network_name].crs)

    @asked("The same in the network's own coordinates, as they came.")
    def native_geometry(self, info: Info) -> GeoJSON | None:
        """Return the geometry unprojected."""
        crs = info.context.networks()[self.network_name].crs
        return geometry_of(self.placed.asset, crs, native=True)

    @asked(
        "What is measured at it, with the latest readings.",
        cost=5,
        size=3,
    )
    def series(self, info: Info) -> list[Annotated[Series, strawberry.lazy("api.graphql.series")]]:
        """Return the series of this asset."""
        from api.graphql.series import all_series  # noqa: PLC0415 - a circle of types

        return [
            one
            for one in all_series(info.context, self.network_name)
            if one.asset_name == self.name
        ]


def assets_of(context: Context, found: Sequence[PlacedAsset]) -> list[Asset]:
    """Return assets as GraphQL shows them; the ends of links are then fetched in one call."""
    for placed in found:
        wanted = context.known.setdefault(("ends", placed.network), set())
        wanted.update(ref for ref in (placed.asset.start, placed.asset.end) if ref)
    return [asset_of(placed) for placed in found]


def asset_of(placed: PlacedAsset) -> Asset:
    """Return one asset as GraphQL shows it."""
    asset = placed.asset
    properties = finite_properties(asset.properties)
    return Asset(
        id=global_id("Asset", placed.network, str(asset.ref)),
        network_name=placed.network,
        name=str(asset.ref),
        local_id=asset.ref.id,
        space=asset.ref.space,
        kind=asset.kind,
        is_open=asset.is_open,
        is_oneway=asset.is_oneway,
        from_model=asset.from_model,
        length_m=_number(properties, "length_m"),
        diameter_m=_number(properties, "diameter_m"),
        elevation_m=_number(properties, "elevation_m"),
        base_demand_m3s=_number(properties, "base_demand_m3s"),
        properties=JSON(properties),
        evidence=Evidence(leaf_index=placed.evidence.index, height=placed.evidence.height),
        placed=placed,
    )


def find_asset(context: Context, network: str, name: str) -> Asset | None:
    """Return the asset that a full name or an unambiguous bare id means, or None.

    Raises:
        ArgumentError: The bare id names a node and a link.
    """
    refs = _meant(name)
    found = context.graph().assets_named(network, refs)
    return _only(context, [found[ref] for ref in refs if ref in found], name)


def find_asset_as_of(context: Context, network: str, name: str, at_ns: int) -> Asset | None:
    """Return an asset as the record had it at an instant, or None when it then had none.

    Raises:
        ArgumentError: The bare id named a node and a link.
    """
    stood = [_stood(context, network, ref, at_ns) for ref in _meant(name)]
    known = [placed for placed in stood if placed]
    return _only(context, known, name)


def _stood(context: Context, network: str, ref: AssetRef, at_ns: int) -> PlacedAsset | None:
    record = context.record()
    history = [
        found
        for kind in (EventKind.ASSET_RECORDED, EventKind.ASSET_RETIRED)
        for found in record.events_about(kind, str(ref))
        if found.event.network == network and found.event.at_ns <= at_ns
    ]
    last = max(history, key=lambda found: found.ref, default=None)
    if last is None or last.event.kind is EventKind.ASSET_RETIRED:
        return None
    return PlacedAsset(network, asset_from_event(last.event), last.ref)


def _meant(name: str) -> list[AssetRef]:
    """Return what a name may mean, the full name first."""
    refs = [AssetRef(Space.NODE, name), AssetRef(Space.LINK, name)]
    head, colon, tail = name.partition(":")
    return [parse_ref(name), *refs] if colon and head in list(Space) and tail else refs


def _only(context: Context, known: Sequence[PlacedAsset], name: str) -> Asset | None:
    if known and str(known[0].asset.ref) == name:
        return assets_of(context, known[:1])[0]
    if len(known) > 1:
        names = " and ".join(str(one.asset.ref) for one in known)
        raise ArgumentError("name", f"{name!r} names {names}; write one of them")
    return assets_of(context, known)[0] if known else None


def _number(properties: dict[str, Any], name: str) -> float | None:
    value = properties.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)


def _end(context: Context, placed: PlacedAsset, ref: AssetRef | None) -> Asset | None:
    if ref is None:
        return None
    known = cast("dict[AssetRef, Asset]", context.known.setdefault(("ended", placed.network), {}))
    if ref not in known:
        wanted = context.known.get(("ends", placed.network), set()) - known.keys()
        found = context.graph().assets_named(placed.network, {ref, *wanted})
        known.update({key: asset_of(one) for key, one in found.items()})
    return known.get(ref)


@strawberry.type
class AssetQueries:
    """What may be asked of assets."""

    @asked(
        "One asset by its name, `node:10`, or a bare id that only one asset has.",
        cost=2,
    )
    def asset(self, info: Info, network: str, name: str, as_of: AsOf = None) -> Asset | None:
        """Look it up; null when nothing has the name."""
        if as_of is not None:
            return find_asset_as_of(info.context, network, name, as_of)
        return find_asset(info.context, network, name)

    @asked("Assets in order of their full names.", cost=5)
    def assets(
        self,
        info: Info,
        network: str,
        first: First,
        after: After = None,
        kinds: Kinds = None,
    ) -> Connection[Asset]:
        """Return a page."""
        context = info.context
        check_first(first)
        chosen = tuple(sorted(set(kinds or ())))
        scope = f"assets {network} {','.join(chosen)}"
        cursors = context.services.cursors
        begin = parse_ref(str(cursors.read(scope, after)[0])) if after else None
        graph = context.graph()
        found = graph.assets(network, chosen, after=begin, limit=first + 1)
        assets_of(context, found[:first])
        return page(
            found,
            first,
            cursors=cursors,
            scope=scope,
            after=after,
            key=lambda placed: (str(placed.asset.ref),),
            node=asset_of,
            count=lambda: graph.count(network, chosen),
        )

    @asked(
        (
            "A whole network, or a part of it, as one GeoJSON FeatureCollection: the way to draw a "
            "map. `bbox` is in degrees, `nativeBbox` in the network's own coordinates; an asset "
            "whose bounding box touches it is in."
        ),
        cost=MAP_COST,
    )
    def feature_collection(
        self,
        info: Info,
        network: str,
        kinds: Kinds = None,
        bbox: LonLatBox | None = None,
        native_bbox: NativeBox | None = None,
    ) -> GeoJSON:
        """Draw the assets that have coordinates."""
        known = info.context.networks().get(network)
        if known is None:
            raise ArgumentError("network", f"no network is called {network!r}")
        if bbox is not None and known.crs == "LOCAL":
            raise ArgumentError(
                "bbox", "the network's coordinate system is unknown; use nativeBbox"
            )
        placed = list(_every_asset(info.context, network, kinds or ()))
        return _map_of(placed, known, bbox, native_bbox)


def _every_asset(
    context: Context, network: str, kinds: Collection[AssetKind]
) -> Iterator[PlacedAsset]:
    graph = context.graph()
    after: AssetRef | None = None
    n_seen = 0
    while found := graph.assets(network, tuple(set(kinds)), after=after, limit=GRAPH_PAGE):
        n_seen += len(found)
        if n_seen > MAX_FEATURES:
            raise ArgumentError("kinds", f"more than {MAX_FEATURES} assets; ask for fewer kinds")
        yield from found
        if len(found) < GRAPH_PAGE:
            return
        after = found[-1].asset.ref
        context.check_time()


def _map_of(
    placed: Sequence[PlacedAsset],
    network: TwinNetwork,
    bbox: LonLatBox | None,
    native_bbox: NativeBox | None,
) -> GeoJSON:
    assets = [one.asset for one in placed]
    if native_bbox is not None:
        native = draw(assets, network.crs, native=True)
        touching = native.touching(native_bbox)
        assets = [asset for asset, is_in in zip(native.assets, touching, strict=True) if is_in]
    drawn = draw(assets, network.crs)
    inside = drawn.touching(bbox) if bbox is not None else [True] * len(drawn.assets)
    features = [
        {
            "type": "Feature",
            "id": str(asset.ref),
            "geometry": drawn.geometry(index),
            "properties": {
                "kind": asset.kind.value,
                "is_open": asset.is_open,
                **finite_properties(asset.properties),
            },
        }
        for index, asset in enumerate(drawn.assets)
        if inside[index]
    ]
    return feature_collection(features, is_local=drawn.is_local)
