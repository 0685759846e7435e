"""Networks and assets as flat rows, the same for both stores, and back.

A row is what SQLite keeps in columns and Neo4j in properties. What has no fixed shape (geometry,
other properties) is JSON, so that a float comes back bit for bit.
"""

from __future__ import annotations

import json
from typing import Any, Final, Protocol

from graph.store import Connection, Happening, PlacedAsset, PlacedNetwork, served_by
from twin.assets import Asset, AssetKind, Network
from twin.events import EventKind, RecordRef
from twin.ids import AssetRef, parse_ref


class Row(Protocol):
    """A row of either database: values by column."""

    def __getitem__(self, column: str, /) -> Any:  # noqa: ANN401 - as the column has it
        ...


NETWORK_COLUMNS: Final = (
    "name",
    "crs",
    "time_zone",
    "model_start_ns",
    "is_model_start_given",
    "inp_sha256",
    "height",
    "leaf_index",
)
ASSET_COLUMNS: Final = (
    "network",
    "ref",
    "kind",
    "is_link",
    "start_ref",
    "end_ref",
    "is_open",
    "is_oneway",
    "from_model",
    "geometry",
    "properties",
    "height",
    "leaf_index",
)
HAPPENING_COLUMNS: Final = (
    "height",
    "leaf_index",
    "network",
    "kind",
    "subject",
    "at_ns",
    "concerns",
)


def network_row(placed: PlacedNetwork) -> dict[str, Any]:
    """Return a network as a row of `NETWORK_COLUMNS`."""
    network = placed.network
    return {
        "name": network.name,
        "crs": network.crs,
        "time_zone": network.time_zone,
        "model_start_ns": network.model_start_ns,
        "is_model_start_given": network.is_model_start_given,
        "inp_sha256": network.inp_sha256,
        **_evidence_columns(placed.evidence),
    }


def network_of(row: Row) -> PlacedNetwork:
    """Return the network of a row."""
    network = Network(
        name=row["name"],
        crs=row["crs"],
        time_zone=row["time_zone"],
        model_start_ns=row["model_start_ns"],
        is_model_start_given=bool(row["is_model_start_given"]),
        inp_sha256=row["inp_sha256"],
    )
    return PlacedNetwork(network, _evidence(row))


def asset_row(placed: PlacedAsset) -> dict[str, Any]:
    """Return an asset as a row of `ASSET_COLUMNS`.

    The start of a user is the junction that serves it, so that one index finds both.
    """
    asset = placed.asset
    start = asset.start or served_by(asset)
    return {
        "network": placed.network,
        "ref": str(asset.ref),
        "kind": str(asset.kind),
        "is_link": asset.is_link,
        "start_ref": str(start) if start else None,
        "end_ref": str(asset.end) if asset.end else None,
        "is_open": asset.is_open,
        "is_oneway": asset.is_oneway,
        "from_model": asset.from_model,
        "geometry": json.dumps(asset.geometry),
        "properties": json.dumps(dict(asset.properties), ensure_ascii=False, sort_keys=True),
        **_evidence_columns(placed.evidence),
    }


def asset_of(row: Row) -> PlacedAsset:
    """Return the asset of a row."""
    is_link = bool(row["is_link"])
    asset = Asset(
        ref=parse_ref(row["ref"]),
        kind=AssetKind(row["kind"]),
        geometry=tuple((float(x), float(y)) for x, y in json.loads(row["geometry"])),
        start=_ref(row["start_ref"]) if is_link else None,
        end=_ref(row["end_ref"]),
        is_open=bool(row["is_open"]),
        is_oneway=bool(row["is_oneway"]),
        from_model=bool(row["from_model"]),
        properties=json.loads(row["properties"]),
    )
    return PlacedAsset(row["network"], asset, _evidence(row))


def happening_row(happening: Happening) -> dict[str, Any]:
    """Return a happening as a row of `HAPPENING_COLUMNS`."""
    return {
        **_evidence_columns(happening.evidence),
        "network": happening.network,
        "kind": str(happening.kind),
        "subject": happening.subject,
        "at_ns": happening.at_ns,
        "concerns": json.dumps([str(ref) for ref in happening.concerns], ensure_ascii=False),
    }


def happening_of(row: Row) -> Happening:
    """Return the happening of a row."""
    return Happening(
        network=row["network"],
        kind=EventKind(row["kind"]),
        subject=row["subject"],
        at_ns=row["at_ns"],
        evidence=_evidence(row),
        concerns=tuple(parse_ref(text) for text in json.loads(row["concerns"])),
    )


def connection_of(row: Row) -> Connection:
    """Return the connection of a row with link, start_ref, end_ref and the three flags."""
    return Connection(
        link=_ref(row["link"]),
        start=parse_ref(row["start_ref"]),
        end=parse_ref(row["end_ref"]),
        is_open=bool(row["is_open"]),
        is_oneway=bool(row["is_oneway"]),
        from_model=bool(row["from_model"]),
    )


def _evidence_columns(evidence: RecordRef) -> dict[str, int]:
    return {"height": evidence.height, "leaf_index": evidence.index}


def _evidence(row: Row) -> RecordRef:
    return RecordRef(row["height"], row["leaf_index"])


def _ref(text: str | None) -> AssetRef | None:
    return parse_ref(text) if text is not None else None
