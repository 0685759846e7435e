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
    reader = _Reader(data, offset, what)
    value = reader.item(0)
    return value, reader.offset


class _Reader:
    """Reads items one after another from `data`."""

    def __init__(self, data: bytes, offset: int, what: str) -> None:
        self.data = data
        self.offset = offset
        self.what = what

    def item(self, depth: int) -> Plain:
        if depth > MAX_DEPTH:
            raise self._wrong(f"more than {MAX_DEPTH} levels deep")
        major, argument = self._head()
        if major == _UINT:
            return argument
        if major == _NEGATIVE:
            return -1 - argument
        if major in (_BYTES, _TEXT):
            raw = self._take(argument)
            return raw if major == _BYTES else self._text(raw)
        if major in (_ARRAY, _MAP):
            self._check_room(argument)
            return self._array(argument, depth) if major == _ARRAY else self._map(argument, depth)
        return self._simple(major, argument)

    def _array(self, n_items: int, depth: int) -> list[Plain]:
        return [self.item(depth + 1) for _ in range(n_items)]

    def _head(self) -> tuple[int, int]:
        first = self._take(1)[0]
        major, info = first >> 5, first & 31
        if major in (_TAG, _SIMPLE):
            return major, first
        if info < 24:  # noqa: PLR2004  (RFC 8949, section 3)
            return major, info
        width = _WIDTHS.get(info)
        if width is None:
            raise self._wrong("an indefinite length or a reserved head")
        argument = int.from_bytes(self._take(width), "big")
        if argument < _SMALLEST[width]:
            raise self._wrong("a head longer than it need be")
        return major, argument

    def _simple(self, major: int, first: int) -> Plain:
        if major == _SIMPLE and first == _FLOAT64:
            return self._float()
        if first == _NULL:
            return None
        if first in (_FALSE, _TRUE):
            return first == _TRUE
        raise self._wrong(f"the byte {first:#04x} begins nothing that the ledger holds")

    def _float(self) -> float:
        raw = self._take(8)
        value: float = _DOUBLE.unpack(raw)[0]
        if not math.isfinite(value) or (value == 0 and raw[0]):
            raise self._wrong("a number that is not finite, or a zero with a sign")
        return value

    def _text(self, raw: bytes) -> str:
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise self._wrong("text that is not UTF-8") from error

    def _map(self, n_pairs: int, depth: int) -> dict[str, Plain]:
        found: dict[str, Plain] = {}
        last = b""
        for _ in range(n_pairs):
            start = self.offset
            key = self.item(depth + 1)
            spelled = self.data[start : self.offset]
            if not isinstance(key, str) or spelled <= last:
                raise self._wrong("map keys that are not text in rising order")
            last = spelled
            found[key] = self.item(depth + 1)
        return found

    def _check_room(self, n_items: int) -> None:
        # Each item takes a byte at least: a huge count must not make a huge list.
        if n_items > len(self.data) - self.offset:
            raise self._wrong("it is cut short")

    def _take(self, n_bytes: int) -> bytes:
        end = self.offset + n_bytes
        if end > len(self.data):
            raise self._wrong("it is cut short")
        taken = self.data[self.offset : end]
        self.offset = end
        return taken

    def _wrong(self, reason: str) -> MalformedError:
        return MalformedError(self.what, f"{reason} at byte {self.offset}")
