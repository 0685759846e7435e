"""Merkle trees over SHA-256: roots, inclusion paths, consistency paths, and their checks.

Source:
    RFC 6962, section 2.1; RFC 9162, sections 2.1.3.2 and 2.1.4.2 (the checks).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

from ledger.log.errors import RefutedLogError

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()
_LEAF, _NODE = b"\x00", b"\x01"

RangeHash = Callable[[int, int], bytes]
"""Returns the hash of the entries [from, to); asked only for whole subtrees or the right edge."""


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of one entry."""
    return sha256(_LEAF + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash that stands above two others."""
    return sha256(_NODE + left + right).digest()


class MerkleTree:
    """All hashes of a tree, in memory.

    Attributes:
        levels: `levels[0]` are the leaf hashes; `levels[k][i]` is the hash of the whole subtree of
            2**k leaves that begins at leaf i × 2**k.
    """

    def __init__(self, leaf_hashes: Sequence[bytes]) -> None:
        self.levels: list[list[bytes]] = [list(leaf_hashes)]
        while len(self.levels[-1]) > 1:
            self.levels.append(_pairs(self.levels[-1]))

    @classmethod
    def of_entries(cls, entries: Iterable[bytes]) -> MerkleTree:
        """Return the tree over entries."""
        return cls([leaf_hash(entry) for entry in entries])

    @property
    def size(self) -> int:
        """Number of leaves."""
        return len(self.levels[0])

    @property
    def root(self) -> bytes:
        """The tree's root hash, 32 bytes."""
        return range_root(self.range_hash, self.size)

    def range_hash(self, start: int, stop: int) -> bytes:
        """Return the hash of the leaves [start, stop), as RFC 6962 splits them."""
        return hash_range(self._whole, start, stop)

    def path(self, index: int, size: int | None = None) -> list[bytes]:
        """Return the inclusion path of a leaf, from its sibling up."""
        return inclusion_path(index, self.size if size is None else size, self.range_hash)

    def _whole(self, level: int, index: int) -> bytes:
        return self.levels[level][index]


def _pairs(hashes: list[bytes]) -> list[bytes]:
    joined = b"".join(hashes)
    return [
        sha256(_NODE + joined[start : start + 64]).digest()
        for start in range(0, len(joined) - HASH_BYTES, 2 * HASH_BYTES)
    ]


def hash_range(whole: Callable[[int, int], bytes], start: int, stop: int) -> bytes:
    """Return the hash of the leaves [start, stop) from the hashes of whole subtrees.

    Args:
        whole: Returns the hash of the subtree of 2**level leaves at position `index`.
        start: First leaf, a multiple of the power of two that the range fits in.
        stop: One past the last leaf, above `start`.
    """
    n_leaves = stop - start
    if n_leaves & (n_leaves - 1) == 0:
        level = n_leaves.bit_length() - 1
        return whole(level, start >> level)
    middle = start + _split(n_leaves)
    return node_hash(hash_range(whole, start, middle), hash_range(whole, middle, stop))


def range_root(range_hash: RangeHash, size: int) -> bytes:
    """Return the root of the first `size` entries."""
    return range_hash(0, size) if size else EMPTY_ROOT


def _split(size: int) -> int:
    """Return the largest power of two below `size`, which is above 1."""
    return 1 << (size - 1).bit_length() - 1


def inclusion_path(index: int, size: int, range_hash: RangeHash) -> list[bytes]:
    """Return the hashes that join entry `index` to the root of the first `size`, sibling first.

    Source:
        RFC 6962, section 2.1.1.
    """
    assert 0 <= index < size, (index, size)
    start, stop, path = 0, size, []
    while stop - start > 1:
        middle = start + _split(stop - start)
        if index < middle:
            path.append(range_hash(middle, stop))
            stop = middle
        else:
            path.append(range_hash(start, middle))
            start = middle
    return path[::-1]


def consistency_path(old: int, new: int, range_hash: RangeHash) -> list[bytes]:
    """Return the hashes that show that the first `old` entries begin the first `new`.

    Source:
        RFC 6962, section 2.1.2.
    """
    assert 0 < old <= new, (old, new)
    start, stop, path, is_root_known = 0, new, [], True
    while old != stop:
        middle = start + _split(stop - start)
        if old <= middle:
            path.append(range_hash(middle, stop))
            stop = middle
        else:
            path.append(range_hash(start, middle))
            start, is_root_known = middle, False
    if not is_root_known:
        path.append(range_hash(start, stop))
    return path[::-1]


def check_inclusion(
    entry_hash: bytes, index: int, size: int, path: Sequence[bytes], root: bytes
) -> None:
    """Check that an entry stands at `index` of the first `size` entries under `root`.

    Raises:
        RefutedLogError: It does not, or the path has another length than the place asks for.

    Source:
        RFC 9162, section 2.1.3.2.
    """
    if not 0 <= index < size:
        raise RefutedLogError(f"place {index} is outside a tree of {size}")
    place, last, found = index, size - 1, entry_hash
    for sibling in path:
        if last == 0:
            raise RefutedLogError("the path is longer than its place asks for")
        if place & 1 or place == last:
            found = node_hash(sibling, found)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        place, last = place >> 1, last >> 1
    if last:
        raise RefutedLogError("the path is shorter than its place asks for")
    if found != root:
        raise RefutedLogError(f"the path of entry {index} does not lead to the root")


def check_consistency(
    old: int, old_root: bytes, new: int, new_root: bytes, path: Sequence[bytes]
) -> None:
    """Check that the tree of `old` entries begins the tree of `new` entries.

    Raises:
        RefutedLogError: It does not, or the path has another length than the sizes ask for.

    Source:
        RFC 9162, section 2.1.4.2.
    """
    if not 0 <= old <= new:
        raise RefutedLogError(f"a log of {new} entries cannot extend one of {old}")
    if old in (0, new):
        is_same = old_root == (EMPTY_ROOT if old == 0 else new_root)
        if path or not is_same:
            raise RefutedLogError("the two roots differ, or a path stands where none is needed")
        return
    hashes = list(path) if old & (old - 1) else [old_root, *path]
    found = _walk_consistency(old, new, hashes)
    if found != (old_root, new_root):
        raise RefutedLogError(f"the log of {new} entries does not extend the log of {old}")


def _walk_consistency(old: int, new: int, hashes: list[bytes]) -> tuple[bytes, bytes]:
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    if not hashes:
        raise RefutedLogError("the path is empty")
    old_found = new_found = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            raise RefutedLogError("the path is longer than the sizes ask for")
        if place & 1 or place == last:
            old_found, new_found = node_hash(sibling, old_found), node_hash(sibling, new_found)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            new_found = node_hash(new_found, sibling)
        place, last = place >> 1, last >> 1
    if last:
        raise RefutedLogError("the path is shorter than the sizes ask for")
    return old_found, new_found
