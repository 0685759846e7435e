"""The files of a network, read once, whole, and hashed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hydraulics.inp_text import MAX_BYTES
from twin.errors import UnreadableError
from twin.ids import check_network_name
from twin.networks.model import FILES


@dataclass(frozen=True, slots=True)
class Source:
    """The files of one network.

    Attributes:
        name: Name of the network.
        shown: Name of the file or folder that was read.
        inp_name: Name of the EPANET file.
        contents: Content of each file that is there, by its name in `FILES`.
    """

    name: str
    shown: str
    inp_name: str
    contents: Mapping[str, bytes]

    @property
    def inp(self) -> bytes:
        """The EPANET file."""
        return self.contents["network.inp"]

    @property
    def assets_csv(self) -> bytes | None:
        """`assets.csv`, where there is one."""
        return self.contents.get("assets.csv")

    @property
    def links_csv(self) -> bytes | None:
        """`links.csv`, where there is one."""
        return self.contents.get("links.csv")

    def sha256s(self) -> dict[str, str]:
        """Return the SHA-256 of each file in hex, by its name in `FILES`."""
        return {name: hashlib.sha256(data).hexdigest() for name, data in self.contents.items()}


def read_source(source: Path, name: str | None) -> Source:
    """Return the files of a network.

    Args:
        source: An EPANET file, or a folder that holds `network.inp`.
        name: The network's name; the file's stem, or its folder's name for `network.inp`, if None.

    Raises:
        UnreadableError: There is no such file, it is too large, or its name names no network.
    """
    source = source.resolve()
    if source.is_dir():
        if not (source / "network.inp").exists():
            raise UnreadableError(f"folder {source} holds no network.inp")
        paths = {file: source / file for file in FILES if (source / file).exists()}
        contents = {file: _read_bounded(path) for file, path in paths.items()}
        return Source(_name(name, source.name), source.name, "network.inp", contents)
    own = source.parent.name if source.name == "network.inp" else source.stem
    contents = {"network.inp": _read_bounded(source)}
    return Source(_name(name, own), source.name, source.name, contents)


def _name(given: str | None, own: str) -> str:
    if given is not None:
        return check_network_name(given)
    try:
        return check_network_name(own)
    except UnreadableError as error:
        raise UnreadableError(f"{error}; or say --network NAME") from error


def _read_bounded(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise UnreadableError(f"there is no file {path}")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise UnreadableError(
                f"{path} has {size} bytes, more than the {MAX_BYTES} that are read"
            )
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UnreadableError(f"cannot read {path}: {error.strerror}") from error
