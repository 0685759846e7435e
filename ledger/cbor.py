"""Deterministic CBOR, and nothing else.

One value has one spelling: shortest heads, definite lengths, map keys as text in rising order of
their encoded bytes, floats always 64-bit and finite, zero without a sign, no tags. The decoder
refuses every other spelling.

Source:
    RFC 8949, section 4.2.1; the 64-bit floats are this format's own rule.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping

from ledger.errors import MalformedError
from twin.events import Plain

MAX_DEPTH = 32
_UINT, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = range(8)
_FALSE, _TRUE, _NULL, _FLOAT64 = 0xF4, 0xF5, 0xF6, 0xFB
_DOUBLE = struct.Struct(">d")
_WIDTHS = {24: 1, 25: 2, 26: 4, 27: 8}
_SMALLEST = {1: 24, 2: 1 << 8, 4: 1 << 16, 8: 1 << 32}


def encode(value: Plain) -> bytes:
    """Return the one spelling of a plain value.

    Raises:
        MalformedError: It holds what the format cannot: NaN, infinity, another type, a key that is
            not text, a number beyond 64 bits, or more than 32 levels.
    """
    out = bytearray()
    _encode(value, out, 0)
    return bytes(out)


def _encode(value: object, out: bytearray, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise MalformedError("value", f"more than {MAX_DEPTH} levels deep")
    if isinstance(value, str):
        raw = _utf8(value)
        out += head(_TEXT, len(raw)) + raw
    elif isinstance(value, bool):
        out.append(_TRUE if value else _FALSE)
    elif isinstance(value, float):
        out += _float(value)
    elif isinstance(value, int):
        out += head(_UINT, value) if value >= 0 else head(_NEGATIVE, -1 - value)
    elif value is None:
        out.append(_NULL)
    elif isinstance(value, bytes | bytearray | memoryview):
        out += head(_BYTES, len(value)) + bytes(value)
    else:
        _encode_many(value, out, depth)


def _encode_many(value: object, out: bytearray, depth: int) -> None:
    if isinstance(value, Mapping):
        out += head(_MAP, len(value))
        for key, item in sorted((_key(key), item) for key, item in value.items()):
            out += key
            _encode(item, out, depth + 1)
    elif isinstance(value, list | tuple):
        out += head(_ARRAY, len(value))
        for item in value:
            _encode(item, out, depth + 1)
    else:
        raise MalformedError("value", f"a {type(value).__name__} has no spelling in the ledger")


def _key(key: object) -> bytes:
    if not isinstance(key, str):
        raise MalformedError("map", f"the key {key!r} is not text")
    raw = _utf8(key)
    return head(_TEXT, len(raw)) + raw


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise MalformedError("text", "it holds half a surrogate pair") from error


def _float(value: float) -> bytes:
    if not math.isfinite(value):
        raise MalformedError("number", f"{value} is not finite")
    return bytes((_FLOAT64,)) + _DOUBLE.pack(value + 0.0)  # -0.0 + 0.0 is +0.0


def head(major: int, argument: int) -> bytes:
    """Return the shortest head of a data item.

    Raises:
        MalformedError: The argument does not fit 64 bits.
    """
    first = major << 5
    if argument < 24:  # noqa: PLR2004  (RFC 8949, section 3)
        return bytes((first | argument,))
    for code, width in _WIDTHS.items():
        if argument < 1 << 8 * width:
            return bytes((first | code,)) + argument.to_bytes(width, "big")
    raise MalformedError("number", f"{argument} does not fit 64 bits")


def decode(data: bytes, what: str = "record") -> Plain:
    """Return the value that all of `data` spells.

    Raises:
        MalformedError: The bytes are no value, not its one spelling, or go on after it.
    """
    value, end = decode_at(data, 0, what)
    if end != len(data):
        raise MalformedError(what, f"{len(data) - end} bytes follow its end")
    return value


def decode_at(data: bytes, offset: int, what: str = "record") -> tuple[Plain, int]:
    """Return the value that begins at `offset`, and where it ends.

    Raises:
        MalformedError: The bytes there are no value, or not its one spelling.
    """
    try:
        return _item(data, offset, 0)
    except _WrongError as error:
        raise MalformedError(what, f"{error.reason} at byte {error.offset}") from None


class _WrongError(Exception):
    """Bytes that spell nothing, or not in their one spelling."""

    def __init__(self, reason: str, offset: int) -> None:
        super().__init__(reason, offset)
        self.reason = reason
        self.offset = offset


def _item(data: bytes, offset: int, depth: int) -> tuple[Plain, int]:
    # Ledgers hold some 10,000 events for a city's network: the common heads come first.
    if depth > MAX_DEPTH:
        raise _WrongError(f"more than {MAX_DEPTH} levels deep", offset)
    if offset >= len(data):
        raise _WrongError("it is cut short", offset)
    first = data[offset]
    if first >= _TAG << 5:
        return _simple(data, offset, first)
    argument, start = first & 31, offset + 1
    if argument >= 24:  # noqa: PLR2004  (RFC 8949, section 3)
        argument, start = _long_argument(data, offset, argument)
    major = first >> 5
    if major in (_BYTES, _TEXT):
        return _string(data, start, argument, major)
    if major == _ARRAY:
        return _array(data, start, argument, depth)
    if major == _MAP:
        return _map(data, start, argument, depth)
    return (argument if major == _UINT else -1 - argument), start


def _long_argument(data: bytes, offset: int, info: int) -> tuple[int, int]:
    width = _WIDTHS.get(info)
    if width is None:
        raise _WrongError("an indefinite length or a reserved head", offset)
    end = offset + 1 + width
    if end > len(data):
        raise _WrongError("it is cut short", offset)
    argument = int.from_bytes(data[offset + 1 : end], "big")
    if argument < _SMALLEST[width]:
        raise _WrongError("a head longer than it need be", offset)
    return argument, end


def _string(data: bytes, start: int, n_bytes: int, major: int) -> tuple[Plain, int]:
    end = start + n_bytes
    if end > len(data):
        raise _WrongError("it is cut short", start)
    raw = data[start:end]
    if major == _BYTES:
        return raw, end
    try:
        return raw.decode(), end
    except UnicodeDecodeError as error:
        raise _WrongError("text that is not UTF-8", start) from error


def _array(data: bytes, offset: int, n_items: int, depth: int) -> tuple[Plain, int]:
    _check_room(data, offset, n_items)
    found: list[Plain] = []
    for _ in range(n_items):
        item, offset = _item(data, offset, depth + 1)
        found.append(item)
    return found, offset


def _map(data: bytes, offset: int, n_pairs: int, depth: int) -> tuple[Plain, int]:
    _check_room(data, offset, n_pairs)
    found: dict[str, Plain] = {}
    last = b""
    for _ in range(n_pairs):
        key, end = _item(data, offset, depth + 1)
        spelled = data[offset:end]
        if not isinstance(key, str) or spelled <= last:
            raise _WrongError("map keys that are not text in rising order", offset)
        last = spelled
        found[key], offset = _item(data, end, depth + 1)
    return found, offset


def _check_room(data: bytes, offset: int, n_items: int) -> None:
    # Each item takes a byte at least: a huge count must not make a huge list.
    if n_items > len(data) - offset:
        raise _WrongError("it is cut short", offset)


def _simple(data: bytes, offset: int, first: int) -> tuple[Plain, int]:
    if first == _FLOAT64:
        return _read_float(data, offset + 1), offset + 9
    if first == _NULL:
        return None, offset + 1
    if first in (_FALSE, _TRUE):
        return first == _TRUE, offset + 1
    reason = f"the byte {first:#04x} begins nothing that the ledger holds"
    raise _WrongError(reason, offset)


def _read_float(data: bytes, start: int) -> float:
    raw = data[start : start + 8]
    if len(raw) != _DOUBLE.size:
        raise _WrongError("it is cut short", start)
    value: float = _DOUBLE.unpack(raw)[0]
    if not math.isfinite(value) or (value == 0 and raw[0]):
        raise _WrongError("a number that is not finite, or a zero with a sign", start)
    return value
