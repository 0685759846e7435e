"""The golden vectors stay as they were published, and say the same to code that is not ours."""

from __future__ import annotations

import base64
import json
import runpy
from hashlib import sha256, shake_256
from pathlib import Path
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.evidence import verify_text
from ledger.keys import parse_trust

FOLDER = Path(__file__).parents[1] / "vectors"


@pytest.fixture(scope="module")
def vectors() -> Any:
    return json.loads((FOLDER / "ledger.json").read_text())


def test_the_ledger_still_writes_the_published_bytes(vectors: Any) -> None:
    assert runpy.run_path(str(FOLDER / "make.py"))["make"]() == vectors


def test_the_published_proofs_are_proved(vectors: Any) -> None:
    trust = parse_trust(vectors["vkey"])
    found = {name: verify_text(text, trust) for name, text in vectors["proofs"].items()}
    for name, verified in found.items():
        assert name.startswith(f"{verified.kind} {verified.height}/{verified.index}")
    assert found["reading 1/2, its series in the same block"].fields["value"] == 27.5


def test_the_key_and_the_signature_follow_from_the_seed(vectors: Any) -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(vectors["seed"]))
    text, _, signature = vectors["checkpoint"].rpartition("\n\n")
    assert base64.b64decode(signature.split()[-1])[4:] == key.sign(f"{text}\n".encode())


@pytest.mark.parametrize("height", range(4))
def test_the_bytes_of_a_block_follow_from_the_words_of_the_format(
    vectors: Any, height: int
) -> None:
    block = vectors["blocks"][height]
    body = bytes.fromhex(block["body"])
    leaves = [bytes.fromhex(leaf) for leaf in block["leaves"]]
    rows = [cbor2.loads(leaf) for leaf in leaves]
    readings = [row for row in rows if len(row) == 5]
    key = body[-32:] if readings else b""
    stream = shake_256(key + height.to_bytes(8, "big")).digest(16 * len(readings))
    assert [row[4] for row in readings] == [
        stream[16 * i : 16 * i + 16] for i in range(len(readings))
    ]
    cut = [leaf[:38] if leaf[0] == 0x85 else leaf for leaf in leaves]
    assert b"".join(cut) + key == body
    hashes = [sha256(b"\0" + leaf).digest() for leaf in leaves]
    assert [h.hex() for h in hashes] == block["leaf_hashes"]
    assert root(hashes).hex() == block["merkle_root"]
    before = vectors["blocks"][height - 1]["header_hash"] if height else "00" * 32
    header = bytes.fromhex(block["header"])
    origin = vectors["vkey"].split("+")[0]
    assert cbor2.loads(header) == [
        1,
        origin,
        height,
        bytes.fromhex(before),
        1_522_268_100_000_000_000,
        root(hashes),
        len(leaves),
        len(body),
        1,
    ]
    tile = bytes.fromhex(vectors["hash_tile"])
    assert sha256(b"\0" + header).digest() == tile[32 * height : 32 * height + 32]


def root(hashes: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, in its own words."""
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while 2 * k < len(hashes):
        k *= 2
    return sha256(b"\x01" + root(hashes[:k]) + root(hashes[k:])).digest()
