"""Tells one small story with fixed keys and prints every byte that the format makes of it.

The printed document is `tests/vectors/ledger.json`, for anyone who writes a reader of their own. It
changes only when the format does: python tests/vectors/make.py > tests/vectors/ledger.json
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ledger.evidence import evidence_of
from ledger.journal import Ledger
from ledger.records import Correction
from twin.events import Event, EventKind, RecordRef
from twin.readings import PrivacyClass, Quantity, ReadingBatch, Series

SEED = bytes(range(32))
CHAIN = bytes(range(16))
BLOCK_KEYS = (b"\x11" * 32, b"\x22" * 32)
SEALED_NS = 1_522_268_100_000_000_000
FIRST_NS = 1_522_182_900_000_000_000

SERIES = (
    Series("ltown", "n54", "node:n54", Quantity.PRESSURE, "m", "csv"),
    Series(
        "plant",
        "cl-1",
        "node:3",
        Quantity.CONCENTRATION,
        "g/m3",
        "opcua",
        PrivacyClass.PUBLIC,
        "free_chlorine",
        "network_end",
    ),
)
EVENT = Event(
    EventKind.TRACE,
    "ltown",
    "trace-1",
    FIRST_NS,
    {"nodes": ["n54", "n1"], "share": 0.5, "hash": b"\x00\xff", "n": 300, "none": None, "ok": True},
)
CORRECTION = Correction(1, 2, SEALED_NS, 27.25, 10, "operator", "scale of the sensor")


def batch(first: int) -> ReadingBatch:
    """Return three readings: two pressures around a chlorine concentration, one of them -0."""
    return ReadingBatch(
        SERIES,
        np.array([0, 1, 0], np.int32),
        FIRST_NS + np.array([0, 0, 300_000_000_000]) + first * 600_000_000_000,
        np.array([27.5, 0.35, -0.0]) + first,
        np.array([0, 9, 16], np.uint8),
    )


def fixed() -> Iterator[bytes]:
    """Yield what stands for random bytes, in the order in which it is asked for."""
    yield from (SEED, CHAIN, *BLOCK_KEYS)


def make() -> dict[str, Any]:
    """Return the story and its bytes."""
    bytes_of = fixed()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with Ledger.open_writer(
            home / "ledger", home / "keys", lambda: SEALED_NS, entropy=lambda _: next(bytes_of)
        ) as ledger:
            ledger.record([EVENT])
            for first in (0, 1):
                ledger.append(batch(first))
                ledger.flush()
            ledger.correct([CORRECTION])
            return document(ledger)


def document(ledger: Ledger) -> dict[str, Any]:
    """Return every byte of a ledger, in hex, and its texts."""
    return {
        "seed": SEED.hex(),
        "vkey": str(ledger.key_line),
        "blocks": [block(ledger, height) for height in range(ledger.height)],
        "checkpoint": ledger.tip().note,
        "hash_tile": ledger.tiles(ledger.height).hash_tile(0, 0).hex(),
        "proofs": {
            "event 0/0": evidence_of(ledger, RecordRef(0, 0)),
            "series 1/1": evidence_of(ledger, RecordRef(1, 1)),
            "reading 1/2, its series in the same block": evidence_of(ledger, RecordRef(1, 2)),
            "reading 2/0, its series in an older block": evidence_of(ledger, RecordRef(2, 0)),
            "correction 3/0": evidence_of(ledger, RecordRef(3, 0)),
        },
    }


def block(ledger: Ledger, height: int) -> dict[str, Any]:
    """Return the bytes of one block."""
    header = ledger.header(height)
    leaves, tree = ledger.checked_block(height)
    return {
        "height": height,
        "body": ledger.body(height).content.hex(),
        "leaves": [leaf.hex() for leaf in leaves],
        "leaf_hashes": [h.hex() for h in tree.levels[0]],
        "merkle_root": header.merkle_root.hex(),
        "header": header.record.hex(),
        "header_hash": header.hash.hex(),
    }


if __name__ == "__main__":
    json.dump(make(), sys.stdout, indent=1, ensure_ascii=False)
    sys.stdout.write("\n")
