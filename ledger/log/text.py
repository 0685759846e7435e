"""The spellings that all texts of a log share: numbers and Base 64, one way each."""

from __future__ import annotations

import base64
import binascii

from ledger.log.errors import UnreadableLogError

_MAX_DIGITS = 19  # 2**63 - 1 has 19


def parse_number(text: str, what: str) -> int:
    """Return a whole number of up to 19 digits, without sign, space or leading zero.

    Raises:
        UnreadableLogError: It is spelled any other way.

    Source:
        C2SP tlog-checkpoint, "Note text", item 2; C2SP tlog-proof, "Format".
    """
    # int() alone would also read " 1", "+1" and "1_0", and fail its own way on 5,000 digits.
    is_plain = 0 < len(text) <= _MAX_DIGITS and text.isascii() and text.isdigit()
    if not is_plain or str(int(text)) != text:
        raise UnreadableLogError(f"{what} {text[:40]!r} is not a plain decimal number")
    return int(text)


def to_base64(raw: bytes) -> str:
    """Return the standard Base 64 of bytes, with padding."""
    return base64.b64encode(raw).decode("ascii")


def parse_base64(text: str, what: str) -> bytes:
    """Return the bytes that standard Base 64 with padding spells.

    Raises:
        UnreadableLogError: It is not Base 64, or not the one spelling of its bytes: the spare bits
            before the padding must be 0.

    Source:
        RFC 4648, sections 3.5 and 4.
    """
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise UnreadableLogError(f"{what} is not Base 64") from error
    if to_base64(raw) != text:
        raise UnreadableLogError(f"{what} is not in the one Base 64 spelling of its bytes")
    return raw


def parse_hash(text: str, what: str) -> bytes:
    """Return the 32 bytes that Base 64 spells.

    Raises:
        UnreadableLogError: They are not 32 bytes in their one spelling.
    """
    raw = parse_base64(text, what)
    if len(raw) != 32:  # noqa: PLR2004  (SHA-256)
        raise UnreadableLogError(f"{what} has {len(raw)} bytes instead of 32")
    return raw
