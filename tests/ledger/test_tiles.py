"""The layout of files is that of C2SP tlog-tiles."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.log.errors import RefutedLogError, UnreadableLogError
from ledger.log.merkle import MerkleTree
from ledger.log.tiles import (
    Tile,
    TileReader,
    expected_tiles,
    new_tiles,
    number_path,
    pack_entries,
    tile_path,
    unpack_entries,
)


def grown(size: int) -> tuple[dict[str, bytes], MerkleTree]:
    """Return the files of a log that grew entry by entry, and its whole tree."""
    entries = [f"entry {i}".encode() for i in range(size)]
    tree = MerkleTree.of_entries(entries)
    files = {}
    for now in range(1, size + 1):
        for tile in new_tiles(now):
            first = tile.number * 256
            level = tree.levels[8 * tile.level]
            files[tile.path] = b"".join(level[first : first + tile.width])
        first = (now - 1) // 256 * 256
        path = tile_path("entries", first // 256, now - first)
        files[path] = pack_entries(entries[first:now])
    return files, tree


@pytest.mark.parametrize(
    ("number", "path"),
    [(0, "000"), (999, "999"), (1000, "x001/000"), (1_234_067, "x001/x234/067")],
)
def test_numbers_become_folders_of_three_digits(number: int, path: str) -> None:
    assert number_path(number) == path  # C2SP tlog-tiles, "Merkle Tree", for the last


def test_a_log_of_70_000_has_the_tiles_that_the_specification_counts() -> None:
    tiles = list(expected_tiles(70_000))  # C2SP tlog-tiles, "Partial Tiles"
    assert sum(t.level == 0 and t.width == 256 for t in tiles) == 273
    assert Tile(0, 273, 112) in tiles
    assert [t for t in tiles if t.level == 1] == [Tile(1, 0, 256), Tile(1, 1, 17)]
    assert [t for t in tiles if t.level == 2] == [Tile(2, 0, 1)]


def test_a_log_of_256_has_a_whole_tile_and_one_hash_above_it() -> None:
    assert list(expected_tiles(256)) == [Tile(0, 0, 256), Tile(1, 0, 1)]
    assert new_tiles(256) == [Tile(0, 0, 256), Tile(1, 0, 1)]
    assert Tile(0, 0, 256).path == "tile/0/000"
    assert Tile(1, 0, 1).path == "tile/1/000.p/1"


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 512, 700])
def test_the_tiles_lead_to_the_root_and_to_every_path(size: int) -> None:
    files, tree = grown(size)
    reader = TileReader(files.__getitem__, size)
    assert reader.root() == tree.root
    for index in {0, size // 2, size - 1}:
        assert reader.path(index) == tree.path(index)
        assert f"entry {index}".encode() in reader.entries(index // 256)


def test_an_older_size_reads_its_own_partial_tiles() -> None:
    files, _ = grown(300)
    for size in (1, 100, 256, 299):
        assert TileReader(files.__getitem__, size).root() == grown(size)[1].root


@settings(max_examples=30)
@given(st.lists(st.binary(max_size=9), max_size=20))
def test_bundles_come_back(entries: list[bytes]) -> None:
    assert unpack_entries(pack_entries(entries), len(entries)) == entries


def test_a_bundle_that_is_cut_short_or_bent_is_refused() -> None:
    files, _ = grown(3)
    with pytest.raises(UnreadableLogError):
        unpack_entries(files["tile/entries/000.p/3"][:-1], 3)
    with pytest.raises(UnreadableLogError):
        unpack_entries(files["tile/entries/000.p/3"], 2)
    bent = dict(files)
    bent["tile/entries/000.p/3"] = files["tile/entries/000.p/3"].replace(b"entry 1", b"entry 9")
    with pytest.raises(RefutedLogError, match="entry 1"):
        TileReader(bent.__getitem__, 3).entries(0)
    bent["tile/0/000.p/3"] = files["tile/0/000.p/3"][:-1]
    with pytest.raises(UnreadableLogError, match="length"):
        TileReader(bent.__getitem__, 3).root()
