"""The bytes of an EPANET file become numbered lines of text.

EPANET reads bytes and WNTR only UTF-8, so the text is decoded once, here, and handed on as UTF-8.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_BYTES = 64 * 1024 * 1024
"""Larger files are refused; BWSN2 with its 12,527 nodes is 2.3 MB."""

_CONTROL = re.compile("[\x00-\x08\x0e-\x19\x1b-\x1f\x7f]")  # the DOS end of file, 1a, may end it


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with an EPANET file.

    Attributes:
        code: Stable name of the kind of fault, such as `duplicate-id`.
        message: What is wrong and what to do, without the place.
        is_fatal: Whether the file cannot be used.
        line: Line of the file, counted from 1, where there is one.
        section: Section of the file in capitals, where there is one.
        subject: Id of the node, link, pattern or curve, where there is one.
    """

    code: str
    message: str
    is_fatal: bool = True
    line: int | None = None
    section: str | None = None
    subject: str | None = None


@dataclass(frozen=True, slots=True)
class InpText:
    """The text of an EPANET file.

    Attributes:
        text: The whole of it, with a line feed between lines and no byte order mark.
        encoding: `utf-8`, `utf-8-sig`, `utf-16` or `latin-1`.
    """

    text: str
    encoding: str


def decode_inp(content: bytes) -> InpText | Fault:
    """Return the text of an EPANET file, or why it is none."""
    if len(content) > MAX_BYTES:
        return Fault(
            "too-large",
            f"the file has {len(content)} bytes, more than the {MAX_BYTES} that are read",
        )
    encoding = encoding_of(content)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        return Fault("not-text", f"the file says it is {encoding} and is not; save it as UTF-8")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    found = _CONTROL.search(text)
    if found:
        line = text.count("\n", 0, found.start()) + 1
        return Fault("not-text", "this is a binary file, not the text of a network", line=line)
    return InpText(text.rstrip("\x1a"), encoding)


def encoding_of(content: bytes) -> str:
    """Return the encoding that a byte order mark, or the bytes themselves, speak for."""
    if content.startswith(b"\xef\xbb\xbf"):
        return "utf-8-sig"
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return "latin-1"  # every byte is a letter in it, so nothing is lost
    return "utf-8"
