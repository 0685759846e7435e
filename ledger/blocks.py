"""Blocks: the bytes of a body, its header, and the leaves that the header's root is over.

A body is its records in order, each reading without its salt, and, when it holds a reading, the
block's own 32-byte key, from which the salts follow. So the root covers every stored byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Final

import numpy as np
import numpy.typing as npt

from ledger import cbor
from ledger.errors import MalformedError
from ledger.log.merkle import HASH_BYTES, MerkleTree, leaf_hash
from ledger.records import (
    CORRECTION_TAG,
    EVENT_TAG,
    KEY_BYTES,
    LEAF_BYTES,
    MAX_TIME_NS,
    READING_TAG,
    SERIES_TAG,
    STORED,
    STORED_BYTES,
    are_readings,
    salts,
    with_salts,
)
from twin.events import Plain

HEADER_VERSION: Final = 1
BODY_SCHEMA: Final = 1
MAX_RECORDS: Final = 65_536
MAX_BODY_BYTES: Final = 64 << 20
READINGS_PER_BLOCK: Final = 10_000
NO_BLOCK: Final = bytes(HASH_BYTES)
_RECORD_TAGS = (SERIES_TAG, EVENT_TAG, CORRECTION_TAG)
_LEAF_PREFIX = b"\x00"


@dataclass(frozen=True, slots=True)
class Header:
    """What is logged of a block.

    Attributes:
        chain_id: The log's origin, the same in every block and checkpoint.
        height: Place in the chain, from 0.
        previous: SHA-256 of the header before, 32 zero bytes for the first.
        time_ns: When it was sealed [ns since the Unix epoch]; never falls.
        merkle_root: Root over the block's records.
        n_records: How many.
        body_bytes: Length of the body file.
    """

    chain_id: str
    height: int
    previous: bytes
    time_ns: int
    merkle_root: bytes
    n_records: int
    body_bytes: int

    @property
    def record(self) -> bytes:
        """The header's bytes."""
        fields: list[Plain] = [
            HEADER_VERSION,
            self.chain_id,
            self.height,
            self.previous,
            self.time_ns,
            self.merkle_root,
            self.n_records,
            self.body_bytes,
            BODY_SCHEMA,
        ]
        return cbor.encode(fields)

    @property
    def hash(self) -> bytes:
        """SHA-256 of the header's bytes, which the next header names."""
        return sha256(self.record).digest()


def decode_header(record: bytes) -> Header:
    """Return the header that bytes spell.

    Raises:
        MalformedError: They are no header of this version in its one spelling.
    """
    what = "block header"
    match cbor.decode(record, what):
        case [
            1,
            str(chain_id),
            int(height),
            bytes(previous),
            int(time_ns),
            bytes(root),
            int(n_records),
            int(body_bytes),
            1,
        ]:
            header = Header(chain_id, height, previous, time_ns, root, n_records, body_bytes)
            if _is_sound(header) and header.record == record:
                return header
    raise MalformedError(what, "it is not the header of a block")


def _is_sound(header: Header) -> bool:
    return (
        len(header.previous) == HASH_BYTES
        and len(header.merkle_root) == HASH_BYTES
        and 0 <= header.height <= MAX_TIME_NS
        and 0 <= header.time_ns <= MAX_TIME_NS
        and 1 <= header.n_records <= MAX_RECORDS
        and 1 <= header.body_bytes <= MAX_BODY_BYTES
    )


@dataclass(frozen=True, slots=True)
class ReadingRun:
    """Readings that stand one after another in a body.

    Attributes:
        first_index: Place of the first among the block's records.
        rows: The stored readings, dtype `STORED`, shape (n,).
    """

    first_index: int
    rows: npt.NDArray[np.void]


@dataclass(frozen=True)
class Body:
    """A block's body, taken apart.

    Attributes:
        height: Height of the block, which the salts depend on.
        content: The bytes of the body file.
        parts: In order, either the bytes of one record that is no reading, or a run of readings.
    """

    height: int
    content: bytes
    parts: tuple[tuple[int, bytes] | ReadingRun, ...]

    @cached_property
    def n_readings(self) -> int:
        """How many readings it holds."""
        return sum(len(run.rows) for run in self.runs)

    @cached_property
    def n_records(self) -> int:
        """How many records it holds."""
        return sum(len(p.rows) if isinstance(p, ReadingRun) else 1 for p in self.parts)

    @property
    def runs(self) -> list[ReadingRun]:
        """The runs of readings."""
        return [part for part in self.parts if isinstance(part, ReadingRun)]

    def spots(self) -> list[tuple[int, int, bytes]]:
        """Return the records that are no readings: place, offset in the body, and bytes."""
        found, offset = [], 0
        for part in self.parts:
            if isinstance(part, ReadingRun):
                offset += STORED_BYTES * len(part.rows)
            else:
                found.append((part[0], offset, part[1]))
                offset += len(part[1])
        return found

    def leaf(self, index: int) -> bytes:
        """Return one record, a reading with its salt."""
        return self.leaves()[index]

    def leaves(self) -> list[bytes]:
        """Return the records in order, each reading with its salt."""
        found: list[bytes] = []
        for part in self._salted():
            if isinstance(part, bytes):
                found.append(part)
            else:
                raw = part.tobytes()
                found.extend(raw[i : i + LEAF_BYTES] for i in range(0, len(raw), LEAF_BYTES))
        return found

    def tree(self) -> MerkleTree:
        """Return the Merkle tree over the records."""
        hashes: list[bytes] = []
        for part in self._salted():
            if isinstance(part, bytes):
                hashes.append(leaf_hash(part))
            else:
                hashes.extend(_hash_rows(part))
        return MerkleTree(hashes)

    def _salted(self) -> list[bytes | npt.NDArray[np.uint8]]:
        n_readings = self.n_readings
        salt_bytes = (
            salts(self.content[-KEY_BYTES:], self.height, n_readings) if n_readings else b""
        )
        found: list[bytes | npt.NDArray[np.uint8]] = []
        used = 0
        for part in self.parts:
            if isinstance(part, ReadingRun):
                end = used + 16 * len(part.rows)
                found.append(with_salts(part.rows.tobytes(), salt_bytes[used:end]))
                used = end
            else:
                found.append(part[1])
        return found


def _hash_rows(rows: npt.NDArray[np.uint8]) -> list[bytes]:
    """Return the leaf hashes of rows of 54 bytes: one SHA-256 compression each."""
    width = LEAF_BYTES + 1
    prefixed = np.zeros((len(rows), width), np.uint8)
    prefixed[:, 1:] = rows
    raw = prefixed.tobytes()
    return [sha256(raw[i : i + width]).digest() for i in range(0, len(raw), width)]


def pack_body(records: Sequence[bytes], stored: bytes = b"", block_key: bytes = b"") -> bytes:
    """Return the bytes of a body: records, then readings of 38 bytes each, then the block's key."""
    assert bool(stored) == bool(block_key)
    return b"".join((*records, stored, block_key))


def parse_body(height: int, content: bytes, n_records: int) -> Body:
    """Return a body taken apart.

    Args:
        height: Height of the block.
        content: The bytes of the body file.
        n_records: How many records its header says it holds.

    Raises:
        MalformedError: The bytes are not that many records in their one spelling, with the key
            after them when there is a reading.
    """
    what = f"body of block {height}"
    parts: list[tuple[int, bytes] | ReadingRun] = []
    offset, index = 0, 0
    while index < n_records:
        tag = content[offset] if offset < len(content) else None
        if tag == READING_TAG:
            run = _read_run(content, offset, index, n_records)
            if not len(run.rows):
                raise MalformedError(what, f"record {index} is no reading in its one spelling")
            parts.append(run)
            offset, index = offset + STORED_BYTES * len(run.rows), index + len(run.rows)
        elif tag in _RECORD_TAGS:
            _, end = cbor.decode_at(content, offset, what)
            parts.append((index, content[offset:end]))
            offset, index = end, index + 1
        else:
            raise MalformedError(what, f"record {index} is of no known type, or missing")
    body = Body(height, content, tuple(parts))
    key_bytes = KEY_BYTES if body.n_readings else 0
    if len(content) - offset != key_bytes:
        raise MalformedError(what, f"{len(content) - offset} bytes follow its records")
    return body


def _read_run(content: bytes, offset: int, index: int, n_records: int) -> ReadingRun:
    n_rows = min((len(content) - offset) // STORED_BYTES, n_records - index)
    rows = np.frombuffer(content, STORED, count=n_rows, offset=offset)
    is_good = are_readings(rows)
    n_good = n_rows if is_good.all() else int(np.argmin(is_good))
    return ReadingRun(index, rows[:n_good])
