"""Merkle trees give the answers of the reference implementation, and refuse everything else."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.log.errors import RefutedLogError
from ledger.log.merkle import (
    EMPTY_ROOT,
    MerkleTree,
    check_consistency,
    check_inclusion,
    consistency_path,
    leaf_hash,
    node_hash,
)

# transparency-dev/merkle, proof/verify_test.go: leaves, roots of the first n, and proofs.
LEAVES = [
    bytes.fromhex(h)
    for h in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    bytes.fromhex(h)
    for h in (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    )
]
INCLUSION = {
    (0, 8): (
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ),
    (5, 8): (
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
    (2, 3): ("fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",),
    (1, 5): (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ),
}
CONSISTENCY = {
    (1, 1): (),
    (1, 8): INCLUSION[0, 8],
    (6, 8): (
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
    (2, 5): INCLUSION[1, 5][1:],
    (6, 7): (
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
}


def hashes(spelled: tuple[str, ...]) -> list[bytes]:
    return [bytes.fromhex(h) for h in spelled]


def test_hashes_are_those_of_rfc_6962() -> None:
    # transparency-dev/merkle, rfc6962/rfc6962_test.go
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert leaf_hash(b"").hex() == (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    )
    assert leaf_hash(b"L123456").hex() == (
        "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56"
    )
    assert node_hash(b"N123", b"N456").hex() == (
        "aa217fe888e47007fa15edab33c2b492a722cb106c64667fc2b044444de66bbb"
    )


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_those_of_the_reference(size: int) -> None:
    assert MerkleTree.of_entries(LEAVES[:size]).root == ROOTS[size - 1]


@pytest.mark.parametrize("index_size", INCLUSION)
def test_inclusion_paths_are_those_of_the_reference(index_size: tuple[int, int]) -> None:
    index, size = index_size
    path = MerkleTree.of_entries(LEAVES).path(index, size)
    assert path == hashes(INCLUSION[index_size])
    check_inclusion(leaf_hash(LEAVES[index]), index, size, path, ROOTS[size - 1])


@pytest.mark.parametrize("old_new", CONSISTENCY)
def test_consistency_paths_are_those_of_the_reference(old_new: tuple[int, int]) -> None:
    old, new = old_new
    path = consistency_path(old, new, MerkleTree.of_entries(LEAVES).range_hash)
    assert path == hashes(CONSISTENCY[old_new])
    check_consistency(old, ROOTS[old - 1], new, ROOTS[new - 1], path)


def refused(check: object, *args: object) -> bool:
    try:
        check(*args)  # type: ignore[operator]
    except RefutedLogError:
        return True
    return False


@pytest.mark.parametrize("index_size", INCLUSION)
def test_the_corruptions_of_the_reference_are_refused(index_size: tuple[int, int]) -> None:
    index, size = index_size
    path, root, leaf = hashes(INCLUSION[index_size]), ROOTS[size - 1], leaf_hash(LEAVES[index])
    some = leaf_hash(b"some")
    assert refused(check_inclusion, leaf, index - 1, size, path, root)
    assert refused(check_inclusion, leaf, index + 1, size, path, root)
    assert refused(check_inclusion, leaf, index ^ 2, size, path, root)
    assert refused(check_inclusion, leaf, index, size * 2, path, root)
    assert refused(check_inclusion, leaf, index, size // 2, path, root)
    assert refused(check_inclusion, some, index, size, path, root)
    assert refused(check_inclusion, leaf, index, size, path, EMPTY_ROOT)
    assert refused(check_inclusion, leaf, index, size, [*path, root], root)
    assert refused(check_inclusion, leaf, index, size, [root, *path], root)
    assert refused(check_inclusion, leaf, index, size, path[:-1], root)


@pytest.mark.parametrize("old_new", [pair for pair in CONSISTENCY if pair[0] != pair[1]])
def test_corrupted_consistency_paths_are_refused(old_new: tuple[int, int]) -> None:
    old, new = old_new
    path, first, last = hashes(CONSISTENCY[old_new]), ROOTS[old - 1], ROOTS[new - 1]
    assert refused(check_consistency, old - 1, first, new, last, path)
    assert refused(check_consistency, old + 1, first, new, last, path)
    assert refused(check_consistency, old, first, new * 2, last, path)
    assert refused(check_consistency, old, first, new // 2, last, path)
    assert refused(check_consistency, old, last, new, first, path)
    assert refused(check_consistency, old, first, new, last, [])
    assert refused(check_consistency, old, first, new, last, [*path, last])
    assert refused(check_consistency, old, first, new, last, [first, *path])
    assert refused(check_consistency, old, first, new, last, path[:-1])


entries = st.lists(st.binary(max_size=4), min_size=1, max_size=70)


@given(entries, st.data())
def test_every_leaf_is_included_under_every_later_root(
    leaves: list[bytes], data: st.DataObject
) -> None:
    size = data.draw(st.integers(1, len(leaves)))
    index = data.draw(st.integers(0, size - 1))
    tree = MerkleTree.of_entries(leaves)
    root = MerkleTree.of_entries(leaves[:size]).root
    path = tree.path(index, size)
    check_inclusion(leaf_hash(leaves[index]), index, size, path, root)
    if path:
        at = data.draw(st.integers(0, len(path) - 1))
        bent = [*path[:at], leaf_hash(path[at]), *path[at + 1 :]]
        assert refused(check_inclusion, leaf_hash(leaves[index]), index, size, bent, root)


@given(entries, st.data())
def test_every_prefix_is_consistent_and_no_other_log_is(
    leaves: list[bytes], data: st.DataObject
) -> None:
    old = data.draw(st.integers(1, len(leaves)))
    tree = MerkleTree.of_entries(leaves)
    path = consistency_path(old, len(leaves), tree.range_hash)
    before = MerkleTree.of_entries(leaves[:old]).root
    check_consistency(old, before, len(leaves), tree.root, path)
    forged = MerkleTree.of_entries([*leaves[: old - 1], b"forged"]).root
    assert refused(check_consistency, old, forged, len(leaves), tree.root, path)


def test_a_log_that_grows_keeps_every_older_root_provable() -> None:
    tree = MerkleTree.of_entries([bytes((i,)) for i in range(40)])
    roots = {n: MerkleTree.of_entries([bytes((i,)) for i in range(n)]).root for n in range(1, 41)}
    for old, new in pairwise(range(1, 41)):
        path = consistency_path(old, new, tree.range_hash)
        check_consistency(old, roots[old], new, roots[new], path)
