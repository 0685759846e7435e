"""The layout of a log in files: hash tiles and entry bundles, whole and partial.

Source:
    C2SP tlog-tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ledger.log.errors import RefutedLogError, UnreadableLogError
from ledger.log.merkle import (
    HASH_BYTES,
    MerkleTree,
    hash_range,
    inclusion_path,
    leaf_hash,
    range_root,
)

TILE_WIDTH = 256
TILE_HEIGHT = 8
MAX_ENTRY_BYTES = 0xFFFF
ENTRIES = "entries"
_LENGTH_BYTES = 2

ReadFile = Callable[[str], bytes]
"""Returns the bytes of a file by its path below the log's folder."""


def number_path(number: int) -> str:
    """Return a number as path elements of three digits: 1234067 is `x001/x234/067`."""
    parts = [f"{number % 1000:03d}"]
    while number := number // 1000:
        parts.append(f"x{number % 1000:03d}")
    return "/".join(reversed(parts))


def tile_path(level: int | str, number: int, width: int) -> str:
    """Return the path of a tile, or of an entry bundle with the level `entries`."""
    partial = "" if width == TILE_WIDTH else f".p/{width}"
    return f"tile/{level}/{number_path(number)}{partial}"


@dataclass(frozen=True, slots=True)
class Tile:
    """Where some hashes or entries are kept: level, number in the level, and how many."""

    level: int
    number: int
    width: int

    @property
    def path(self) -> str:
        """Path of the hash tile."""
        return tile_path(self.level, self.number, self.width)


def new_tiles(size: int) -> list[Tile]:
    """Return the tiles that change when a log grows from `size - 1` to `size` entries."""
    found = []
    n_hashes, level = size, 0
    while n_hashes:
        last = n_hashes - 1
        found.append(Tile(level, last // TILE_WIDTH, last % TILE_WIDTH + 1))
        if n_hashes % TILE_WIDTH:
            break
        n_hashes, level = n_hashes // TILE_WIDTH, level + 1
    return found


def expected_tiles(size: int) -> Iterator[Tile]:
    """Yield all whole tiles and rightmost partial tiles of a log of `size` entries."""
    level = 0
    while n_hashes := size >> (TILE_HEIGHT * level):
        for number in range(n_hashes // TILE_WIDTH):
            yield Tile(level, number, TILE_WIDTH)
        if n_hashes % TILE_WIDTH:
            yield Tile(level, n_hashes // TILE_WIDTH, n_hashes % TILE_WIDTH)
        level += 1


def pack_entries(entries: Sequence[bytes]) -> bytes:
    """Return an entry bundle: each entry after its length as a big-endian uint16."""
    assert all(len(e) <= MAX_ENTRY_BYTES for e in entries)
    return b"".join(len(e).to_bytes(_LENGTH_BYTES, "big") + e for e in entries)


def unpack_entries(bundle: bytes, width: int) -> list[bytes]:
    """Return the entries of a bundle.

    Raises:
        UnreadableLogError: It does not hold exactly `width` entries.
    """
    entries, offset = [], 0
    while offset < len(bundle):
        start = offset + _LENGTH_BYTES
        offset = start + int.from_bytes(bundle[offset:start], "big")
        entries.append(bundle[start:offset])
    if offset != len(bundle) or len(entries) != width:
        raise UnreadableLogError(f"it does not hold {width} entries")
    return entries


class TileReader:
    """Reads hashes and entries of a log of a known size from its files.

    Files are those of the size asked for; a whole tile serves where its partial one was removed.
    """

    def __init__(self, read: ReadFile, size: int) -> None:
        self._read = read
        self.size = size
        self._trees: dict[tuple[int, int], MerkleTree] = {}

    def root(self) -> bytes:
        """Return the root of the log."""
        return range_root(self.range_hash, self.size)

    def path(self, index: int) -> list[bytes]:
        """Return the inclusion path of an entry."""
        return inclusion_path(index, self.size, self.range_hash)

    def range_hash(self, start: int, stop: int) -> bytes:
        """Return the hash of the entries [start, stop), as RFC 6962 splits them."""
        return hash_range(self._whole, start, stop)

    def hash_tile(self, level: int, number: int) -> bytes:
        """Return the hashes that a log of this size has in a tile.

        Raises:
            UnreadableLogError: The file has another length.
        """
        width = min(TILE_WIDTH, (self.size >> TILE_HEIGHT * level) - number * TILE_WIDTH)
        content = self._read(tile_path(level, number, width))
        if len(content) != width * HASH_BYTES:
            raise UnreadableLogError(f"{tile_path(level, number, width)} has the wrong length")
        return content

    def entries(self, number: int) -> list[bytes]:
        """Return the entries of a bundle, each checked against its hash.

        Raises:
            UnreadableLogError: The bundle is cut short or too long.
            RefutedLogError: An entry is not the one whose hash stands in the tree.
        """
        width = min(TILE_WIDTH, self.size - number * TILE_WIDTH)
        found = unpack_entries(self._read(tile_path(ENTRIES, number, width)), width)
        hashes = self.hash_tile(0, number)
        for index, entry in enumerate(found):
            start = index * HASH_BYTES
            if leaf_hash(entry) != hashes[start : start + HASH_BYTES]:
                raise RefutedLogError(f"entry {number * TILE_WIDTH + index} is not what was logged")
        return found

    def _whole(self, level: int, index: int) -> bytes:
        tile_level, height = divmod(level, TILE_HEIGHT)
        place = index << height
        number = place // TILE_WIDTH
        tree = self._trees.get((tile_level, number))
        if tree is None:
            content = self.hash_tile(tile_level, number)
            tree = MerkleTree(split_hashes(content))
            self._trees[tile_level, number] = tree
        return tree.levels[height][(place % TILE_WIDTH) >> height]


def split_hashes(content: bytes) -> list[bytes]:
    """Return the hashes of a tile."""
    return [content[i : i + HASH_BYTES] for i in range(0, len(content), HASH_BYTES)]
