"""What the record says of networks and their assets, as of now."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from hydraulics.errors import ModelFileError
from hydraulics.inp_text import Fault, decode_inp
from twin.assets import Asset, Network
from twin.errors import NotFoundError
from twin.events import Event, EventKind
from twin.ids import AssetRef, parse_ref
from twin.networks.model import asset_from_event, files_from_event, network_from_event
from twin.ports import Record

if TYPE_CHECKING:
    from hydraulics.network import NetworkModel


def load_networks(record: Record) -> dict[str, Network]:
    """Return the networks as last imported, by name, in order of their first import."""
    events = record.events({EventKind.NETWORK_IMPORTED})
    return {found.event.network: network_from_event(found.event) for found in events}


def load_network(record: Record, name: str) -> Network:
    """Return one network as last imported.

    Raises:
        NotFoundError: No network of that name was imported.
    """
    networks = load_networks(record)
    if name not in networks:
        raise NotFoundError("network", name, _remedy(list(networks)))
    return networks[name]


def load_files(record: Record, name: str) -> dict[str, str]:
    """Return the SHA-256 of each file a network was last imported from, empty if it never was."""
    files: dict[str, str] = {}
    for found in record.events({EventKind.NETWORK_IMPORTED}, name):
        files = files_from_event(found.event)
    return files


@dataclass(slots=True)
class _Standing:
    """The assets of one network as they stood at a height of the record."""

    height: int = 0
    assets: dict[AssetRef, Asset] = field(default_factory=dict)


_standing: WeakKeyDictionary[Record, dict[str, _Standing]] = WeakKeyDictionary()
_standing_lock = Lock()


def load_assets(record: Record, name: str) -> dict[AssetRef, Asset]:
    """Return the assets of a network as they now stand, in order of their first record.

    What was read is remembered for as long as `record` lives, so a second call reads only the
    blocks that were sealed since.
    """
    kinds = {EventKind.ASSET_RECORDED, EventKind.ASSET_RETIRED}
    with _standing_lock:
        known = _standing.setdefault(record, {}).setdefault(name, _Standing())
        height = record.height
        for found in record.events(kinds, name, from_height=known.height):
            if found.ref.height < height:  # what is sealed meanwhile is the next call's
                _apply(known.assets, found.event)
        known.height = height
        return dict(known.assets)


def _apply(assets: dict[AssetRef, Asset], event: Event) -> None:
    if event.kind is EventKind.ASSET_RETIRED:
        assets.pop(parse_ref(event.subject), None)
    else:
        asset = asset_from_event(event)
        assets[asset.ref] = asset


def model_path(record: Record, network: Network, folder: Path) -> Path:
    """Return the network's EPANET file in a scratch folder, written there when it is not.

    Its text is UTF-8 without a byte order mark, whatever the kept file was, for WNTR and EPANET
    read nothing else. Its name is the hash of the kept file, so it can be shared and kept.

    Raises:
        NotFoundError: The record does not keep the file.
    """
    path = folder / f"{network.inp_sha256}.inp"
    if path.exists():
        return path
    write_whole(path, _text(record.file(network.inp_sha256)).encode())
    return path


def load_model(record: Record, network: Network) -> NetworkModel:
    """Return the network's EPANET model as arrays.

    Raises:
        NotFoundError: The record does not keep the file.
        ModelFileError: WNTR cannot read it.
    """
    return read_model(_text(record.file(network.inp_sha256)))


@lru_cache(maxsize=8)
def read_model(text: str) -> NetworkModel:
    """Return the arrays of an EPANET file's text, remembered by that text.

    Raises:
        ModelFileError: WNTR cannot read it.
    """
    from hydraulics.epanet.reading import read_network  # noqa: PLC0415 - WNTR takes a second

    with tempfile.TemporaryDirectory(prefix="watercourse-") as scratch:
        path = Path(scratch) / "network.inp"
        path.write_bytes(text.encode())
        return read_network(path)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees all of it or nothing, even after a crash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("xb") as file:  # unlike a temporary file, others may read it
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _text(content: bytes) -> str:
    decoded = decode_inp(content)
    if isinstance(decoded, Fault):
        raise ModelFileError(decoded.message)
    return decoded.text


def _remedy(names: list[str]) -> str:
    if not names:
        return "import one with: twin import FILE"
    return f"there is {', '.join(names)}"
