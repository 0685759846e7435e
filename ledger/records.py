"""The records of a block, as canonical bytes.

The number of elements of a record's array is its type: 3 a series descriptor, 4 an event,
5 a reading, 7 a correction. Readings are filled by column and never go through an encoder,
because a canonical one would shorten their floats. See `docs/ledger-format.md`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256, shake_256
from typing import Final

import numpy as np
import numpy.typing as npt

from ledger import cbor
from ledger.errors import MalformedError, RecordRefusedError
from twin.events import Event, EventKind, Plain
from twin.readings import (
    FloatArray,
    PrivacyClass,
    QualityArray,
    Quantity,
    ReadingBatch,
    Series,
    TimeArray,
)

SERIES_TAG: Final = 0x83
EVENT_TAG: Final = 0x84
READING_TAG: Final = 0x85
CORRECTION_TAG: Final = 0x87
LEAF_BYTES: Final = 54
STORED_BYTES: Final = 38
SALT_BYTES: Final = 16
KEY_BYTES: Final = 32
ID_BYTES: Final = 16
MIN_TIME_NS: Final = 1 << 32  # so that the time is always the 64-bit CBOR number
MAX_TIME_NS: Final = (1 << 63) - 1
MAX_QUALITY: Final = 23
MAX_RECORD_BYTES: Final = 8 << 20
_MAX_HEIGHT = (1 << 63) - 1

STORED = np.dtype(
    [
        ("array", "u1"),
        ("id_head", "u1"),
        ("series", f"V{ID_BYTES}"),
        ("time_head", "u1"),
        ("time", ">u8"),
        ("value_head", "u1"),
        ("value", ">f8"),
        ("quality", "u1"),
        ("salt_head", "u1"),
    ]
)
"""A reading as a block keeps it: the leaf without its salt."""
assert STORED.itemsize == STORED_BYTES
_HEADS = {
    "array": READING_TAG,
    "id_head": 0x50,
    "time_head": 0x1B,
    "value_head": 0xFB,
    "salt_head": 0x50,
}
ByteArray = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading leaf.

    Attributes:
        series_id: First 16 bytes of the SHA-256 of the series descriptor record.
        time_ns: Source time [ns since the Unix epoch].
        value: In the series' unit.
        quality: Quality byte, 0..23.
        salt: 16 bytes that keep the leaf's hash from being guessed.
    """

    series_id: bytes
    time_ns: int
    value: float
    quality: int
    salt: bytes


@dataclass(frozen=True, slots=True)
class Correction:
    """What replaces a reading for those who ask for corrected values; the reading itself stays.

    Attributes:
        height: Block of the reading that is corrected.
        index: Its place in the block.
        at_ns: When the correction was made [ns since the Unix epoch].
        value: The value instead, in the series' unit.
        quality: Its quality byte, 0..23.
        author: Who made it.
        reason: Why.
    """

    height: int
    index: int
    at_ns: int
    value: float
    quality: int
    author: str
    reason: str


def _check_time(at_ns: int, what: str) -> None:
    if not 0 <= at_ns <= MAX_TIME_NS:
        raise RecordRefusedError(f"{what} is not between 1970 and 2262")


def encode_event(event: Event) -> bytes:
    """Return the record of an event: `[kind, [network, subject], at_ns, body]`.

    Raises:
        RecordRefusedError: The body holds what the format cannot, or is longer than 8 MiB, or the
            time is before 1970.
    """
    _check_time(event.at_ns, f"the time of event {event.kind} {event.subject!r}")
    fields: list[Plain] = [
        str(event.kind),
        [event.network, event.subject],
        event.at_ns,
        event.body,
    ]
    return _encode(fields, f"event {event.kind} {event.subject!r}")


@lru_cache(maxsize=100_000)
def encode_series(series: Series) -> bytes:
    """Return the descriptor record of a series: `["series", [network, tag], properties]`.

    Raises:
        RecordRefusedError: The series is personal, which the ledger does not keep: what is
            appended stays.
    """
    if series.privacy is PrivacyClass.PERSONAL:
        raise RecordRefusedError(
            f"series {series.tag!r} of {series.network} is of class personal, which cannot be kept "
            "private yet: leave it out of the tags, or give it another class if it names no person"
        )
    about: dict[str, Plain] = {
        "asset": series.asset,
        "class": str(series.privacy),
        "quantity": str(series.quantity),
        "source": series.source,
        "unit": series.unit,
    }
    optional = {"parameter": series.parameter, "sampling_point": series.sampling_point}
    about |= {key: value for key, value in optional.items() if value is not None}
    return _encode(["series", [series.network, series.tag], about], f"series {series.tag!r}")


def encode_correction(correction: Correction) -> bytes:
    """Return the record of a correction: `[height, index, at_ns, value, quality, author, reason]`.

    Raises:
        RecordRefusedError: The value is not finite, or the time is before 1970.
    """
    _check_time(correction.at_ns, "the time of a correction")
    fields: list[Plain] = [
        correction.height,
        correction.index,
        correction.at_ns,
        float(correction.value),
        correction.quality,
        correction.author,
        correction.reason,
    ]
    return _encode(fields, f"correction of {correction.height}/{correction.index}")


def _encode(fields: list[Plain], what: str) -> bytes:
    try:
        record = cbor.encode(fields)
    except MalformedError as error:
        raise RecordRefusedError(f"{what} cannot be recorded: {error.reason}") from error
    if len(record) > MAX_RECORD_BYTES:
        raise RecordRefusedError(
            f"{what} has {len(record)} bytes, and a record at most {MAX_RECORD_BYTES}: "
            "keep the large part as a file and record its hash"
        )
    return record


def series_id(record: bytes) -> bytes:
    """Return the 16 bytes by which readings name the series of a descriptor record."""
    return sha256(record).digest()[:ID_BYTES]


def decode_event(record: bytes) -> Event:
    """Return the event of a record.

    Raises:
        MalformedError: The bytes are no event in its one spelling.
    """
    what = "event"
    match cbor.decode(record, what):
        case [str(kind), [str(network), str(subject)], int(at_ns), Mapping() as body] if (
            kind in list(EventKind) and type(at_ns) is int and 0 <= at_ns <= MAX_TIME_NS
        ):
            return Event(EventKind(kind), network, subject, at_ns, body)
    raise MalformedError(what, "it is not [kind, [network, subject], at_ns, body]")


def event_head(record: bytes) -> tuple[EventKind, str, str]:
    """Return kind, network and subject of an event's record, without reading its body.

    Raises:
        MalformedError: The bytes do not begin as an event.
    """
    kind, offset = cbor.decode_at(record, 1, "event")
    match cbor.decode_at(record, offset, "event")[0]:
        case [str(network), str(subject)] if kind in list(EventKind):
            return EventKind(str(kind)), network, subject
    raise MalformedError("event", "it is not [kind, [network, subject], at_ns, body]")


def decode_series(record: bytes) -> Series:
    """Return the series of a descriptor record.

    Raises:
        MalformedError: The bytes are no descriptor in its one spelling.
    """
    what = "series descriptor"
    match cbor.decode(record, what):
        case ["series", [str(network), str(tag)], Mapping() as about]:
            series = _series(network, tag, about)
            if series is not None and encode_series(series) == record:
                return series
    raise MalformedError(what, "it is not the descriptor of a series")


def _series(network: str, tag: str, about: Mapping[str, Plain]) -> Series | None:
    texts = {key: value for key, value in about.items() if isinstance(value, str)}
    is_known = texts.get("quantity") in list(Quantity) and texts.get("class") in (
        PrivacyClass.PUBLIC,
        PrivacyClass.ALLIANCE,
    )
    if not is_known or not {"asset", "unit", "source"} <= texts.keys():
        return None
    return Series(
        network=network,
        tag=tag,
        asset=texts["asset"],
        quantity=Quantity(texts["quantity"]),
        unit=texts["unit"],
        source=texts["source"],
        privacy=PrivacyClass(texts["class"]),
        parameter=texts.get("parameter"),
        sampling_point=texts.get("sampling_point"),
    )


def decode_correction(record: bytes) -> Correction:
    """Return the correction of a record.

    Raises:
        MalformedError: The bytes are no correction in its one spelling.
    """
    what = "correction"
    match cbor.decode(record, what):
        case [
            int(height),
            int(index),
            int(at_ns),
            float(value),
            int(quality),
            str(author),
            str(reason),
        ] if (
            not any(isinstance(n, bool) for n in (height, index, at_ns, quality))
            and 0 <= height <= _MAX_HEIGHT
            and index >= 0
            and 0 <= at_ns <= MAX_TIME_NS
            and 0 <= quality <= MAX_QUALITY
        ):
            return Correction(height, index, at_ns, value, quality, author, reason)
    raise MalformedError(what, "it is not the correction of a reading")


def decode_reading(leaf: bytes) -> Reading:
    """Return the reading of a 54-byte leaf.

    Raises:
        MalformedError: The bytes are no reading leaf in its one spelling.
    """
    if len(leaf) != LEAF_BYTES:
        raise MalformedError("reading", f"it has {len(leaf)} bytes instead of {LEAF_BYTES}")
    row = np.frombuffer(leaf, STORED, count=1)
    if not bool(are_readings(row)[0]):
        raise MalformedError("reading", "its bytes are not those of a reading")
    stored = row[0]
    return Reading(
        series_id=stored["series"].tobytes(),
        time_ns=int(stored["time"]),
        value=float(stored["value"]),
        quality=int(stored["quality"]),
        salt=leaf[STORED_BYTES:],
    )


def check_batch(batch: ReadingBatch) -> None:
    """Check that every reading of a batch has a spelling.

    Raises:
        RecordRefusedError: A value is not finite, or a time, quality or series is out of range.
    """
    n = len(batch)
    columns = (batch.series_index, batch.value, batch.quality)
    if any(column.shape != (n,) for column in columns):
        raise RecordRefusedError("the columns of a batch of readings differ in length")
    faults = (
        ("a value is not a finite number", ~np.isfinite(batch.value)),
        ("a time is before 1970-01-01T00:00:04.294967296Z", batch.time_ns < MIN_TIME_NS),
        ("a quality is above 23", batch.quality > MAX_QUALITY),
        (
            "a series is none of the batch",
            (batch.series_index < 0) | (batch.series_index >= len(batch.series)),
        ),
    )
    for reason, is_wrong in faults:
        if is_wrong.any():
            row = int(np.argmax(is_wrong))
            raise RecordRefusedError(f"row {row} of a batch of readings: {reason}")


def encode_readings(
    ids: Sequence[bytes],
    series_index: npt.NDArray[np.int32],
    time_ns: TimeArray,
    value: FloatArray,
    quality: QualityArray,
) -> bytes:
    """Return readings as a block keeps them, 38 bytes each, in order.

    Args:
        ids: The series' ids, 16 bytes each.
        series_index: Which of `ids`, shape (n,).
        time_ns: Source time [ns since the Unix epoch], shape (n,), at least 2**32.
        value: In the series' unit, shape (n,), finite; -0 becomes +0.
        quality: 0..23, shape (n,).
    """
    rows = np.empty(len(time_ns), STORED)
    for name, byte in _HEADS.items():
        rows[name] = byte
    table = np.frombuffer(b"".join(ids), f"V{ID_BYTES}")
    rows["series"] = table[series_index]
    rows["time"] = time_ns
    rows["value"] = value + 0.0  # -0.0 + 0.0 is +0.0
    rows["quality"] = quality
    return rows.tobytes()


def are_readings(rows: npt.NDArray[np.void]) -> npt.NDArray[np.bool_]:
    """Return which rows of dtype `STORED` spell a reading, shape (n,)."""
    is_good = np.ones(len(rows), bool)
    for name, byte in _HEADS.items():
        is_good &= rows[name] == byte
    time, value = rows["time"], rows["value"]
    is_good &= (time >= MIN_TIME_NS) & (time <= MAX_TIME_NS)
    is_good &= np.isfinite(value) & ~((value == 0) & np.signbit(value))
    is_good &= rows["quality"] <= MAX_QUALITY
    return is_good


def salts(block_key: bytes, height: int, n_readings: int) -> bytes:
    """Return the salts of a block's readings, 16 bytes each.

    Args:
        block_key: The block's own random 32 bytes.
        height: The block's height.
        n_readings: How many.
    """
    assert len(block_key) == KEY_BYTES
    return shake_256(block_key + height.to_bytes(8, "big")).digest(SALT_BYTES * n_readings)


def with_salts(stored: bytes, salt_bytes: bytes) -> ByteArray:
    """Return the 54-byte leaves of readings as rows, shape (n, 54)."""
    body = np.frombuffer(stored, np.uint8).reshape(-1, STORED_BYTES)
    tail = np.frombuffer(salt_bytes, np.uint8).reshape(-1, SALT_BYTES)
    return np.concatenate((body, tail), axis=1)
