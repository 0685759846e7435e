"""Evidence: one record's place in the log, as a file that anyone can check without a ledger.

The file is a C2SP tlog-proof of the block's header. Its `extra` carries what leads from the header
to the record, and for a reading the series descriptor with a proof of its own, because a bare leaf
means nothing. A file has one spelling: any other byte anywhere is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ledger import cbor
from ledger.blocks import Header, decode_header
from ledger.errors import MalformedError, ProofNotWrittenError, RefutedError
from ledger.journal import Ledger
from ledger.keys import Ed25519Verifier, read_trust
from ledger.log.checkpoint import Checkpoint
from ledger.log.errors import RefutedLogError, UnreadableLogError
from ledger.log.merkle import HASH_BYTES, check_inclusion, leaf_hash
from ledger.log.note import parse_note
from ledger.log.proof import LogProof, check_proof, parse_proof
from ledger.records import (
    CORRECTION_TAG,
    EVENT_TAG,
    READING_TAG,
    SERIES_TAG,
    decode_correction,
    decode_event,
    decode_reading,
    decode_series,
    series_id,
)
from twin.errors import NotFoundError
from twin.events import Plain, RecordRef
from twin.instants import format_instant
from twin.readings import Origin, status_of

Trust = Collection[Ed25519Verifier]

EXTRA_VERSION: Final = 1
MAX_PROOF_BYTES: Final = 16 << 20
_WHAT: Final = "proof"
_N_SHORT, _N_LONG = 3, 5


@dataclass(frozen=True, slots=True)
class Leaf:
    """A record and its way to the root of its block.

    Attributes:
        index: Place in the block.
        record: The record's bytes, a reading with its salt.
        path: Hashes from its sibling to the root's child.
    """

    index: int
    record: bytes
    path: tuple[bytes, ...]

    def check(self, header: Header) -> None:
        """Check that the record stands in the block.

        Raises:
            RefutedLogError: It does not.
        """
        check_inclusion(
            leaf_hash(self.record), self.index, header.n_records, self.path, header.merkle_root
        )

    @property
    def plain(self) -> list[Plain]:
        """The leaf as plain data."""
        return [self.index, self.record, b"".join(self.path)]


@dataclass(frozen=True, slots=True)
class Descriptor:
    """The descriptor of a reading's series, and where it stands.

    Attributes:
        leaf: The descriptor's record in its block.
        header: Header of its block, None when it is the reading's own.
        path: Way from that header to the root of the log.
    """

    leaf: Leaf
    header: bytes | None = None
    path: tuple[bytes, ...] = ()

    @property
    def plain(self) -> list[Plain]:
        """The descriptor as plain data."""
        if self.header is None:
            return self.leaf.plain
        return [*self.leaf.plain, self.header, b"".join(self.path)]


@dataclass(frozen=True, slots=True)
class Extra:
    """What a proof file carries beside the proof of the header."""

    header: bytes
    leaf: Leaf
    descriptor: Descriptor | None

    @property
    def spelled(self) -> bytes:
        """The bytes of the `extra` line."""
        about = self.descriptor.plain if self.descriptor else None
        return cbor.encode([EXTRA_VERSION, self.header, *self.leaf.plain, about])


@dataclass(frozen=True, slots=True)
class Verified:
    """What a proof file was found to prove.

    Attributes:
        sentence: It in one plain sentence.
        kind: `reading`, `event`, `series` or `correction`.
        origin: Which log.
        height: Block that holds the record.
        index: The record's place in the block.
        block_hash: SHA-256 of the block's header, in hex.
        sealed_at: When the block was sealed, RFC 3339.
        log_size: Number of blocks under the checkpoint that was checked.
        key: The key line that signed the checkpoint.
        fields: The record's own fields: for a reading `network`, `tag`, `asset`, `quantity`,
            `time`, `value`, `unit`, `status`, `origin`; for an event `event`, `network`, `subject`,
            `time`, `body`.
    """

    sentence: str
    kind: str
    origin: str
    height: int
    index: int
    block_hash: str
    sealed_at: str
    log_size: int
    key: str
    fields: Mapping[str, Plain]

    @property
    def document(self) -> dict[str, object]:
        """All of it as plain data, bytes in hex."""
        return {
            "proved": True,
            "sentence": self.sentence,
            "kind": self.kind,
            "origin": self.origin,
            "height": self.height,
            "index": self.index,
            "block_hash": self.block_hash,
            "sealed_at": self.sealed_at,
            "log_size": self.log_size,
            "key": self.key,
            "record": _readable(self.fields),
        }


def _readable(value: Plain) -> object:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {key: _readable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_readable(item) for item in value]
    return value


def evidence_of(ledger: Ledger, ref: RecordRef) -> str:
    """Return the text of the proof file of one record.

    Raises:
        NotFoundError: There is no record at that place.
        LedgerDamagedError: The block is not what was signed.
    """
    tip = ledger.tip()
    header = ledger.header(ref.height)
    if not 0 <= ref.index < header.n_records:
        raise NotFoundError("record", str(ref), f"the block has {header.n_records} records")
    leaf = _leaf(ledger, ref)
    about = None
    if leaf.record[0] == READING_TAG:
        about = _descriptor(ledger, decode_reading(leaf.record).series_id, ref.height, tip.size)
    path = tuple(ledger.tiles(tip.size).path(ref.height))
    extra = Extra(header.record, leaf, about)
    return str(LogProof(extra.spelled, ref.height, path, tip.note))


def _leaf(ledger: Ledger, ref: RecordRef) -> Leaf:
    leaves, tree = ledger.checked_block(ref.height)
    return Leaf(ref.index, leaves[ref.index], tuple(tree.path(ref.index)))


def _descriptor(ledger: Ledger, key: bytes, height: int, size: int) -> Descriptor:
    ref = ledger.series_row(key).ref
    leaf = _leaf(ledger, ref)
    if ref.height == height:
        return Descriptor(leaf)
    path = tuple(ledger.tiles(size).path(ref.height))
    return Descriptor(leaf, ledger.header(ref.height).record, path)


def read_proof(path: Path) -> str:
    """Return the text of a proof file, byte for byte.

    Raises:
        MalformedError: It cannot be read, is too long, or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_PROOF_BYTES + 1)
        if len(content) > MAX_PROOF_BYTES:
            raise MalformedError(str(path), "it is too long for a proof")
        return content.decode()
    except OSError as error:
        raise MalformedError(str(path), error.strerror or "it cannot be opened") from error
    except UnicodeDecodeError as error:
        raise MalformedError(str(path), "it is not UTF-8 text") from error


def write_proof(path: Path, text: str) -> None:
    """Write the text of a proof to a file, whole or not at all.

    Raises:
        ProofNotWrittenError: It cannot be written there.
    """
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(text.encode())
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise ProofNotWrittenError(str(path), error.strerror or "") from error


def verify_file(path: Path, trust_path: Path) -> Verified:
    """Return what a proof file proves to someone who trusts the keys of a file.

    Raises:
        RefutedError: It does not prove what it says.
        MalformedError: It cannot be read.
        KeyFileError: The trusted keys cannot be read.
    """
    return verify_text(read_proof(path), read_trust(trust_path))


def verify_text(text: str, trust: Trust) -> Verified:
    """Return what the text of a proof file proves to someone who trusts some keys.

    Raises:
        RefutedError: It does not prove what it says.
        MalformedError: It cannot be read, or is not in its one spelling.
    """
    if not text.isascii() and not _is_unicode(text):
        raise MalformedError(_WHAT, "it is not UTF-8 text")
    try:
        proof = parse_proof(text)
        extra = parse_extra(proof.extra or b"")
        checkpoint = check_proof(proof, extra.header, trust)
        header = _header(extra.header, proof.index, checkpoint)
        extra.leaf.check(header)
        kind, fields, words = _meaning(extra, header, checkpoint)
    except RefutedLogError as error:
        raise RefutedError(error.reason) from error
    except UnreadableLogError as error:
        raise MalformedError(_WHAT, error.reason) from error
    signed = parse_note(proof.checkpoint).signatures[0]
    names = (signed.name, signed.key_id)
    key = next(v.line for v in trust if (v.line.name, v.line.key_id) == names)
    return Verified(
        sentence=_sentence(header, extra.leaf.index, words),
        kind=kind,
        origin=checkpoint.origin,
        height=header.height,
        index=extra.leaf.index,
        block_hash=header.hash.hex(),
        sealed_at=format_instant(header.time_ns),
        log_size=checkpoint.size,
        key=str(key),
        fields=fields,
    )


def _is_unicode(text: str) -> bool:
    """Return whether a text has UTF-8 bytes, which half a surrogate pair has not."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _header(record: bytes, height: int, checkpoint: Checkpoint) -> Header:
    header = decode_header(record)
    if header.height != height or header.chain_id != checkpoint.origin:
        raise RefutedLogError("the header is of another block, or of another chain")
    return header


def parse_extra(raw: bytes) -> Extra:
    """Return what the `extra` of a proof file carries.

    Raises:
        MalformedError: It is not in its one spelling.
    """
    match cbor.decode(raw, _WHAT):
        case [1, bytes(header), int(index), bytes(record), bytes(path), about]:
            extra = Extra(header, _parse_leaf(index, record, path), _parse_descriptor(about))
            if extra.spelled == raw:
                return extra
    raise MalformedError(_WHAT, "its extra line is not that of a record")


def _parse_leaf(index: object, record: object, path: object) -> Leaf:
    if isinstance(index, int) and isinstance(record, bytes) and isinstance(path, bytes) and record:
        return Leaf(index, record, _parse_path(path))
    raise MalformedError(_WHAT, "its extra line holds no record")


def _parse_path(raw: bytes) -> tuple[bytes, ...]:
    if len(raw) % HASH_BYTES:
        raise MalformedError(_WHAT, "a path is not made of whole hashes")
    return tuple(raw[i : i + HASH_BYTES] for i in range(0, len(raw), HASH_BYTES))


def _parse_descriptor(about: Plain) -> Descriptor | None:
    if about is None:
        return None
    if isinstance(about, list) and len(about) == _N_SHORT:
        return Descriptor(_parse_leaf(*about))
    if isinstance(about, list) and len(about) == _N_LONG:
        header, path = about[_N_SHORT:]
        if isinstance(header, bytes) and isinstance(path, bytes):
            return Descriptor(_parse_leaf(*about[:_N_SHORT]), header, _parse_path(path))
    raise MalformedError(_WHAT, "its extra line holds no series descriptor")


def _meaning(
    extra: Extra, header: Header, checkpoint: Checkpoint
) -> tuple[str, Mapping[str, Plain], str]:
    """Return the kind of a record, its fields, and the words for them."""
    record = extra.leaf.record
    if record[0] == READING_TAG:
        return _reading_meaning(extra, header, checkpoint)
    if extra.descriptor is not None:
        raise RefutedLogError("a series descriptor stands beside a record that is no reading")
    if record[0] == EVENT_TAG:
        return _event_meaning(record)
    if record[0] == SERIES_TAG:
        return _series_meaning(record)
    if record[0] == CORRECTION_TAG:
        return _correction_meaning(record)
    raise MalformedError(_WHAT, "its record is of no known type")


def _reading_meaning(
    extra: Extra, header: Header, checkpoint: Checkpoint
) -> tuple[str, Mapping[str, Plain], str]:
    reading = decode_reading(extra.leaf.record)
    about = extra.descriptor
    if about is None or series_id(about.leaf.record) != reading.series_id:
        raise RefutedLogError("the series descriptor is not that of the reading")
    _check_descriptor(about, header, extra.leaf.index, checkpoint)
    series = decode_series(about.leaf.record)
    time = format_instant(reading.time_ns)
    status = status_of(reading.quality).name.lower()
    origin = Origin(reading.quality % 8).name.lower()
    fields: dict[str, Plain] = {
        "network": series.network,
        "tag": series.tag,
        "asset": series.asset,
        "quantity": str(series.quantity),
        "parameter": series.parameter,
        "sampling_point": series.sampling_point,
        "time": time,
        "value": reading.value,
        "unit": series.unit,
        "status": status,
        "origin": origin,
        "source": series.source,
    }
    what = series.parameter or str(series.quantity)
    words = (
        f"{what} {reading.value:.10g} {series.unit} at {series.asset} of {series.network}, "
        f"tag {series.tag}, at {time} ({status}, {origin})"
    )
    return "reading", fields, words


def _check_descriptor(
    about: Descriptor, header: Header, index: int, checkpoint: Checkpoint
) -> None:
    """Check that a descriptor stands in the log before the reading that it describes."""
    if about.header is None:
        if about.leaf.index >= index:
            raise RefutedLogError("the series descriptor does not stand before the reading")
        about.leaf.check(header)
        return
    own = decode_header(about.header)
    if own.height >= header.height or own.chain_id != header.chain_id:
        raise RefutedLogError("the series descriptor does not stand before the reading")
    check_inclusion(
        leaf_hash(about.header), own.height, checkpoint.size, about.path, checkpoint.root
    )
    about.leaf.check(own)


def _event_meaning(record: bytes) -> tuple[str, Mapping[str, Plain], str]:
    event = decode_event(record)
    time = format_instant(event.at_ns)
    fields: dict[str, Plain] = {
        "event": str(event.kind),
        "network": event.network,
        "subject": event.subject,
        "time": time,
        "body": event.body,
    }
    words = f"{event.kind} {event.subject} of {event.network}, at {time}"
    return "event", fields, words


def _series_meaning(record: bytes) -> tuple[str, Mapping[str, Plain], str]:
    series = decode_series(record)
    fields: dict[str, Plain] = {
        "network": series.network,
        "tag": series.tag,
        "asset": series.asset,
        "quantity": str(series.quantity),
        "unit": series.unit,
    }
    return "series", fields, f"the series {series.tag} of {series.network}"


def _correction_meaning(record: bytes) -> tuple[str, Mapping[str, Plain], str]:
    correction = decode_correction(record)
    time = format_instant(correction.at_ns)
    fields: dict[str, Plain] = {
        "height": correction.height,
        "index": correction.index,
        "value": correction.value,
        "author": correction.author,
        "reason": correction.reason,
        "time": time,
    }
    place = f"{correction.height}/{correction.index}"
    words = f"{correction.author} corrected record {place} to {correction.value:.10g}, at {time}"
    return "correction", fields, words


def _sentence(header: Header, index: int, words: str) -> str:
    sentence = (
        f"Proved: {words}; it is record {index} of block {header.height} of {header.chain_id}, "
        f"sealed {format_instant(header.time_ns)}."
    )
    # A tag may hold anything that is text: a terminal must not obey it.
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in sentence)
