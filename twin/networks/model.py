"""Networks and assets as events, and back.

The bodies are this module's own: what it reads is what it wrote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from twin.assets import Asset, AssetKind, Network, Property
from twin.events import Event, EventKind, Plain
from twin.ids import AssetRef, parse_ref

FILES = ("network.inp", "assets.csv", "links.csv")
"""The files a network is imported from; the first is always there."""


def network_to_event(
    network: Network, files: Mapping[str, str], source: str, n_assets: int, at_ns: int
) -> Event:
    """Return the event that a network was imported.

    Args:
        network: The network as it now is.
        files: SHA-256 in hex of each kept file, by its name in `FILES`.
        source: Name of the file or folder it came from, without its path.
        n_assets: How many assets it now has.
        at_ns: When it was imported.
    """
    body: dict[str, Plain] = {
        "crs": network.crs,
        "time_zone": network.time_zone,
        "model_start_ns": network.model_start_ns,
        "is_model_start_given": network.is_model_start_given,
        "files": dict(files),
        "source": source,
        "n_assets": n_assets,
    }
    return Event(EventKind.NETWORK_IMPORTED, network.name, network.name, at_ns, body)


def network_from_event(event: Event) -> Network:
    """Return the network that a `network-imported` event tells of."""
    body = event.body
    return Network(
        name=event.network,
        crs=cast("str", body["crs"]),
        time_zone=cast("str", body["time_zone"]),
        model_start_ns=cast("int", body["model_start_ns"]),
        is_model_start_given=cast("bool", body["is_model_start_given"]),
        inp_sha256=files_from_event(event)["network.inp"],
    )


def files_from_event(event: Event) -> dict[str, str]:
    """Return the SHA-256 in hex of each file that a network was imported from, by its name."""
    return dict(cast("Mapping[str, str]", event.body["files"]))


def asset_to_event(network: str, asset: Asset, at_ns: int) -> Event:
    """Return the event that an asset stands as it is given."""
    body: dict[str, Plain] = {
        "kind": asset.kind.value,
        "geometry": [[float(x), float(y)] for x, y in asset.geometry],
        "start": None if asset.start is None else str(asset.start),
        "end": None if asset.end is None else str(asset.end),
        "is_open": asset.is_open,
        "is_oneway": asset.is_oneway,
        "from_model": asset.from_model,
        "properties": dict(asset.properties),
    }
    return Event(EventKind.ASSET_RECORDED, network, str(asset.ref), at_ns, body)


def asset_from_event(event: Event) -> Asset:
    """Return the asset that an `asset-recorded` event tells of."""
    body = event.body
    points = cast("Sequence[tuple[float, float]]", body["geometry"])
    return Asset(
        ref=parse_ref(event.subject),
        kind=AssetKind(cast("str", body["kind"])),
        geometry=tuple((x, y) for x, y in points),
        start=_ref(body["start"]),
        end=_ref(body["end"]),
        is_open=cast("bool", body["is_open"]),
        is_oneway=cast("bool", body["is_oneway"]),
        from_model=cast("bool", body["from_model"]),
        properties=dict(cast("Mapping[str, Property]", body["properties"])),
    )


def retired_event(network: str, ref: AssetRef, at_ns: int, reason: str) -> Event:
    """Return the event that an asset is no longer part of its network."""
    return Event(EventKind.ASSET_RETIRED, network, str(ref), at_ns, {"reason": reason})


def _ref(value: Plain) -> AssetRef | None:
    return None if value is None else parse_ref(cast("str", value))
