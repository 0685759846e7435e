"""Records have the bytes that the format says, and no others."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256, shake_256

import cbor2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.blocks import Header, decode_header, pack_body, parse_body
from ledger.errors import MalformedError, RecordRefusedError
from ledger.log.merkle import MerkleTree
from ledger.records import (
    Correction,
    check_batch,
    decode_correction,
    decode_event,
    decode_reading,
    decode_series,
    encode_correction,
    encode_event,
    encode_readings,
    encode_series,
    salts,
    series_id,
    with_salts,
)
from twin.events import Event, EventKind
from twin.readings import PrivacyClass, Quantity, ReadingBatch, Series

KEY = bytes(range(32))
times = st.integers(2**32, 2**63 - 1)
values = st.floats(allow_nan=False, allow_infinity=False)


def leaf_of(time_ns: int, value: float, quality: int, height: int = 0) -> bytes:
    stored = encode_readings(
        [bytes(range(16))],
        np.zeros(1, np.int32),
        np.array([time_ns], np.int64),
        np.array([value]),
        np.array([quality], np.uint8),
    )
    return with_salts(stored, salts(KEY, height, 1)).tobytes()


@given(times, values, st.integers(0, 23))
def test_a_reading_leaf_is_54_bytes_of_deterministic_cbor(
    time_ns: int, value: float, quality: int
) -> None:
    leaf = leaf_of(time_ns, value, quality)
    assert len(leaf) == 54
    assert len(b"\x00" + leaf) <= 55  # one compression of SHA-256: 64 bytes less padding
    salt = shake_256(KEY + bytes(8)).digest(16)
    assert cbor2.loads(leaf) == [bytes(range(16)), time_ns, value, quality, salt]
    reading = decode_reading(leaf)
    assert (reading.time_ns, reading.value, reading.quality) == (time_ns, value, quality)


def test_the_bytes_of_a_reading_stand_where_the_format_says() -> None:
    leaf = leaf_of(1_522_182_900_000_000_000, 27.5, 9)
    assert leaf[:2].hex() == "8550"
    assert leaf[2:18] == bytes(range(16))
    assert leaf[18] == 0x1B
    assert int.from_bytes(leaf[19:27], "big") == 1_522_182_900_000_000_000
    assert leaf[27:36].hex() == "fb403b800000000000"
    assert leaf[36] == 9
    assert leaf[37] == 0x50


def test_zero_loses_its_sign_in_a_reading() -> None:
    assert leaf_of(2**32, -0.0, 0) == leaf_of(2**32, 0.0, 0)


def test_salts_depend_on_the_key_the_height_and_the_place() -> None:
    found = {
        salts(key, height, 4)[i : i + 16]
        for key in (KEY, KEY[::-1])
        for height in (0, 1)
        for i in range(0, 64, 16)
    }
    assert len(found) == 16
    # FIPS 202: the first bytes of the stream do not depend on how many are asked for
    assert salts(KEY, 7, 2) == salts(KEY, 7, 3)[:32]


@pytest.mark.parametrize("at", range(38))
def test_a_bent_byte_of_a_reading_is_refused_or_reads_as_another_one(at: int) -> None:
    leaf = bytearray(leaf_of(1_522_182_900_000_000_000, 27.5, 9))
    before = decode_reading(bytes(leaf))
    leaf[at] ^= 0x80
    try:
        assert decode_reading(bytes(leaf)) != before
    except MalformedError:
        return


@pytest.mark.parametrize(
    ("at", "raw"),
    [
        (0, "84"),
        (1, "4f"),
        (18, "1a"),
        (19, "00000000ffffffff"),  # a time with a shorter spelling
        (19, "8000000000000000"),  # beyond int64
        (27, "fa"),
        (28, "7ff8000000000000"),
        (28, "fff0000000000000"),
        (28, "8000000000000000"),
        (36, "18"),
        (37, "51"),
    ],
)
def test_a_reading_in_any_other_spelling_is_refused(at: int, raw: str) -> None:
    leaf = bytearray(leaf_of(1_522_182_900_000_000_000, 27.5, 9))
    leaf[at : at + len(raw) // 2] = bytes.fromhex(raw)
    with pytest.raises(MalformedError):
        decode_reading(bytes(leaf))
    with pytest.raises(MalformedError):
        parse_body(0, bytes(leaf[:38]) + KEY, 1)


def some_series() -> Series:
    return Series(
        "plant",
        "cl-1",
        "node:3",
        Quantity.CONCENTRATION,
        "g/m3",
        "opcua",
        PrivacyClass.PUBLIC,
        "free_chlorine",
        "network_end",
    )


def test_a_series_comes_back_and_its_id_is_the_hash_of_its_record() -> None:
    record = encode_series(some_series())
    assert record[0] == 0x83
    assert decode_series(record) == some_series()
    assert series_id(record) == sha256(record).digest()[:16]


def test_a_personal_series_is_refused_with_a_remedy() -> None:
    series = Series("n", "meter-7", "user:7", Quantity.VOLUME, "m3", "csv", PrivacyClass.PERSONAL)
    with pytest.raises(RecordRefusedError, match=r"meter-7.*leave it out"):
        encode_series(series)


def test_an_event_comes_back() -> None:
    event = Event(EventKind.LEAK_RUN, "ltown", "run-1", 5, {"b": b"\x00", "a": [1, 2.5, None]})
    record = encode_event(event)
    assert record[0] == 0x84
    assert decode_event(record) == event
    assert cbor2.loads(record) == [
        "leak-run",
        ["ltown", "run-1"],
        5,
        {"a": [1, 2.5, None], "b": b"\x00"},
    ]


def test_an_event_of_an_unknown_kind_or_shape_is_refused() -> None:
    good = encode_event(Event(EventKind.TRACE, "n", "s", 5, {}))
    for bad in (good.replace(b"trace", b"truce"), cbor2.dumps([1, 2, 3, 4]), b"\x84", good + b"\0"):
        with pytest.raises(MalformedError):
            decode_event(bad)


def test_an_event_that_cannot_be_spelled_is_refused_by_its_name() -> None:
    with pytest.raises(RecordRefusedError, match=r"trace 's' .*not finite"):
        encode_event(Event(EventKind.TRACE, "n", "s", 5, {"x": float("nan")}))
    with pytest.raises(RecordRefusedError, match="keep the large part as a file"):
        encode_event(Event(EventKind.TRACE, "n", "s", 5, {"x": bytes(9 << 20)}))


def test_a_correction_comes_back() -> None:
    correction = Correction(3, 17, 5, 2.5, 10, "ops", "wrong scale")
    record = encode_correction(correction)
    assert record[0] == 0x87
    assert decode_correction(record) == correction
    with pytest.raises(MalformedError):
        decode_correction(encode_correction(Correction(-1, 17, 5, 2.5, 10, "ops", "")))
    with pytest.raises(MalformedError):
        decode_correction(encode_correction(Correction(1, 17, 5, 2.5, 24, "ops", "")))


@pytest.mark.parametrize(
    ("column", "wrong", "reason"),
    [
        ("value", np.array([1.0, np.nan]), "row 1 .*finite"),
        ("value", np.array([np.inf, 1.0]), "row 0 .*finite"),
        ("time_ns", np.array([2**33, 5]), "row 1 .*before"),
        ("quality", np.array([24, 0], np.uint8), "row 0 .*quality"),
        ("series_index", np.array([0, 1], np.int32), "row 1 .*series"),
        ("series_index", np.array([-1, 0], np.int32), "row 0 .*series"),
        ("value", np.array([1.0]), "differ in length"),
    ],
)
def test_a_batch_that_cannot_be_recorded_is_refused(
    column: str, wrong: np.ndarray[tuple[int], np.dtype[np.float64]], reason: str
) -> None:
    columns = {
        "series_index": np.zeros(2, np.int32),
        "time_ns": np.array([2**33, 2**33]),
        "value": np.ones(2),
        "quality": np.zeros(2, np.uint8),
    }
    batch = ReadingBatch((some_series(),), **{**columns, column: wrong})  # type: ignore[arg-type]
    with pytest.raises(RecordRefusedError, match=reason):
        check_batch(batch)


def test_a_body_holds_records_of_all_types_and_the_key_only_with_readings(
    batch: Callable[..., ReadingBatch], event: Callable[[str], Event]
) -> None:
    records = [encode_event(event("a")), encode_series(batch(1).series[0])]
    body = parse_body(4, pack_body(records), 2)
    assert body.leaves() == records
    assert (body.n_records, body.n_readings) == (2, 0)
    with pytest.raises(MalformedError):
        parse_body(4, pack_body(records) + KEY, 2)
    rows = batch(5)
    ids = [series_id(encode_series(s)) for s in rows.series]
    stored = encode_readings(ids, rows.series_index, rows.time_ns, rows.value, rows.quality)
    content = pack_body(records, stored, KEY)
    body = parse_body(4, content, 7)
    assert (body.n_records, body.n_readings) == (7, 5)
    assert body.tree().root == MerkleTree.of_entries(body.leaves()).root
    for n_bytes in (len(content) - 1, len(content) - 32, 38, 1, 0):
        with pytest.raises(MalformedError):
            parse_body(4, content[:n_bytes], 7)
    for n_records in (1, 2, 6, 8):
        with pytest.raises(MalformedError):
            parse_body(4, content, n_records)


@given(st.binary(max_size=200), st.integers(1, 5))
def test_a_body_is_refused_or_is_the_one_spelling_of_its_leaves(content: bytes, n: int) -> None:
    try:
        body = parse_body(0, content, n)
    except MalformedError:
        return
    key = content[-32:] if body.n_readings else b""
    cut = [leaf[:38] if leaf[0] == 0x85 else leaf for leaf in body.leaves()]
    assert b"".join(cut) + key == content


def test_a_header_comes_back_and_no_other_spelling_does() -> None:
    header = Header("watercourse/x", 3, bytes(32), 7, bytes(range(32)), 12, 400)
    record = header.record
    assert decode_header(record) == header
    assert cbor2.loads(record) == [
        1,
        "watercourse/x",
        3,
        bytes(32),
        7,
        bytes(range(32)),
        12,
        400,
        1,
    ]
    for at in range(len(record)):
        bent = bytearray(record)
        bent[at] ^= 1
        try:
            assert decode_header(bytes(bent)) != header
        except MalformedError:
            continue
    for bad in (record + b"\0", record[:-1], record.replace(b"\x89\x01", b"\x89\xf5")):
        with pytest.raises(MalformedError):
            decode_header(bad)


@pytest.mark.parametrize("at_ns", [-1, 2**63])
def test_a_time_that_no_calendar_holds_is_refused(at_ns: int) -> None:
    with pytest.raises(RecordRefusedError, match="1970"):
        encode_event(Event(EventKind.TRACE, "n", "s", at_ns, {}))
    with pytest.raises(MalformedError):
        decode_event(cbor2.dumps(["trace", ["n", "s"], at_ns, {}]))
