"""Plain values have one spelling: any CBOR library reads it, and no other is accepted."""

from __future__ import annotations

import math
import struct
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import cbor
from ledger.errors import MalformedError

numbers = st.floats(allow_nan=False, allow_infinity=False).map(lambda x: x + 0.0)
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | numbers
    | st.binary(max_size=40)
    | st.text(max_size=40)
)
plain = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=9), inner, max_size=5)
    ),
    max_leaves=20,
)


@given(plain)
def test_a_value_comes_back_and_has_one_spelling(value: Any) -> None:
    spelled = cbor.encode(value)
    assert cbor.decode(spelled) == value
    assert cbor.encode(cbor.decode(spelled)) == spelled


@given(plain)
def test_another_library_reads_the_same_value(value: Any) -> None:
    assert cbor2.loads(cbor.encode(value)) == value


@given(plain.filter(lambda v: not has_float(v)))
def test_without_floats_the_spelling_is_that_of_a_canonical_encoder(value: Any) -> None:
    # cbor2 orders keys by length first (RFC 7049); RFC 8949 does not: one key at a time.
    if not has_map(value):
        assert cbor.encode(value) == cbor2.dumps(value, canonical=True)


@given(st.binary(max_size=60))
def test_bytes_are_refused_or_are_the_one_spelling(data: bytes) -> None:
    try:
        value = cbor.decode(data)
    except MalformedError:
        return
    assert cbor.encode(value) == data


@given(plain, st.data())
def test_a_bent_spelling_is_refused_or_means_something_else(
    value: Any, data: st.DataObject
) -> None:
    spelled = bytearray(cbor.encode(value))
    at = data.draw(st.integers(0, len(spelled) - 1))
    spelled[at] ^= data.draw(st.integers(1, 255))
    try:
        other = cbor.decode(bytes(spelled))
    except MalformedError:
        return
    assert cbor.encode(other) == bytes(spelled) != cbor.encode(value)


def has_float(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(has_float, value))
    if isinstance(value, dict):
        return any(map(has_float, value.values()))
    return isinstance(value, float)


def has_map(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(map(has_map, value)))


@pytest.mark.parametrize(
    ("value", "spelled"),
    [
        # RFC 8949, appendix A; floats as this format always writes them, 64 bits
        (0, "00"),
        (23, "17"),
        (24, "1818"),
        (1000, "1903e8"),
        (1_000_000_000_000, "1b000000e8d4a51000"),
        (18_446_744_073_709_551_615, "1bffffffffffffffff"),
        (-1, "20"),
        (-1000, "3903e7"),
        (1.1, "fb3ff199999999999a"),
        (1.0, "fb3ff0000000000000"),
        (-4.1, "fbc010666666666666"),
        (False, "f4"),
        (True, "f5"),
        (None, "f6"),
        (bytes.fromhex("01020304"), "4401020304"),
        ("IETF", "6449455446"),
        ("ü", "62c3bc"),
        ([1, [2, 3], [4, 5]], "8301820203820405"),
        ({"a": 1, "b": [2, 3]}, "a26161016162820203"),
        ({"b": 0, "aa": 0}, "a261620062616100"),
    ],
)
def test_known_spellings(value: Any, spelled: str) -> None:
    assert cbor.encode(value).hex() == spelled
    assert cbor.decode(bytes.fromhex(spelled)) == value


@pytest.mark.parametrize(
    "spelled",
    [
        "",
        "1817",  # 23 in two bytes
        "190018",  # 24 in three
        "1a0000ffff",
        "1b00000000ffffffff",
        "5803010203",  # a length longer than it need be
        "5f42010243030405ff",  # indefinite
        "9f01ff",
        "bf616101ff",
        "f93c00",  # 1.0 as half precision
        "fa3f800000",  # and as single
        "fb7ff8000000000000",  # NaN
        "fb7ff0000000000000",  # infinity
        "fb8000000000000000",  # -0
        "f7",  # undefined
        "f0",
        "f818",
        "c001",  # a tag
        "d9d9f700",
        "1c",  # reserved
        "ff",
        "a10101",  # a key that is not text
        "a2616201616101",  # keys out of order
        "a2616101616102",  # a key twice
        "61ff",  # not UTF-8
        "63eda080",  # half a surrogate pair
        "0000",  # more than one value
        "8201",  # cut short
        "9bffffffffffffffff",
        "bbffffffffffffffff",
        "5bffffffffffffffff",
        "81" * 40 + "00",  # too deep
    ],
)
def test_other_spellings_are_refused(spelled: str) -> None:
    with pytest.raises(MalformedError):
        cbor.decode(bytes.fromhex(spelled))


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, 2**64, -(2**64) - 1, {1: 2}, {"a": object()}, "\ud800", {1, 2}]
)
def test_what_has_no_spelling_is_refused(value: Any) -> None:
    with pytest.raises(MalformedError):
        cbor.encode(value)


def test_zero_has_no_sign() -> None:
    assert cbor.encode(-0.0) == cbor.encode(0.0) == b"\xfb" + struct.pack(">d", 0.0)
