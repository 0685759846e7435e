"""A text file in blocks of whole lines, so that a file of any length is read in bounded memory."""

from __future__ import annotations

import csv
import stat
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from twin.ingest.deliveries import FileUnreadableError, fatal

BLOCK_BYTES = 4 * 1024 * 1024
"""How much is read at a time; no line may be longer."""

_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_LF = 10


@dataclass(frozen=True, slots=True)
class TextBlock:
    """Whole lines of a file, in UTF-8.

    Attributes:
        content: The lines, each ending in LF.
        first_line: Number of the first of them, counted from 1.
        n_read: Bytes of the file read so far.
    """

    content: bytes
    first_line: int
    n_read: int


@dataclass(frozen=True, slots=True)
class Rows:
    """The lines of a block that have as many fields as the header.

    Attributes:
        content: Those lines alone.
        line: Number of each in the file, shape (n_rows,).
        ragged_line: Numbers of the others that are not empty, shape (n_ragged,).
        ragged_fields: How many fields each of those has, shape (n_ragged,).
    """

    content: bytes
    line: npt.NDArray[np.int64]
    ragged_line: npt.NDArray[np.int64]
    ragged_fields: npt.NDArray[np.int64]


def read_blocks(path: Path) -> Iterator[TextBlock]:
    """Yield the lines of a file without its byte order mark; the first line is a block of its own.

    Raises:
        FileUnreadableError: The file is none, is not UTF-8, or has a line longer than a block.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # a pipe would wait for ever, and is read twice below
            raise _unreadable(path, "not-a-file", "is no file that can be read twice; save it")
        with path.open("rb") as file:
            yield from _blocks(path, file.read, found.st_size)
    except OSError as error:
        reason = error.strerror or "cannot be read"
        raise _unreadable(path, "unreadable", f"{reason}; check the path") from error


def _blocks(path: Path, read: Callable[[int], bytes], size_bytes: int) -> Iterator[TextBlock]:
    """Cut what is read at line ends; bytes that come in while we read wait for the next time."""
    waiting = read(len(_BOM)).removeprefix(_BOM)
    if waiting[:2] in _UTF16:
        raise _unreadable(path, "not-utf8", "is UTF-16; save it as UTF-8")
    line, n_read, is_header = 1, len(_BOM), True
    while True:
        fresh = read(min(BLOCK_BYTES, max(0, size_bytes - n_read)))
        n_read += len(fresh)
        text = waiting + fresh
        if not fresh and text and not text.endswith(b"\n"):
            text += b"\n"  # the last line of a file may lack its end
        cut = text.find(b"\n") + 1 if is_header else text.rfind(b"\n") + 1
        if not cut and len(text) > BLOCK_BYTES:
            raise _unreadable(path, "long-line", f"line {line} is longer than {BLOCK_BYTES} bytes")
        if cut:
            block = TextBlock(_checked(path, text[:cut], line), line, min(n_read, size_bytes))
            yield block
            line += block.content.count(b"\n")
            is_header = False
        waiting = text[cut:]
        if not fresh and not waiting:
            return


def _checked(path: Path, content: bytes, first_line: int) -> bytes:
    """Return lines with LF ends, after looking for bytes that no text has."""
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = first_line + content.count(b"\n", 0, error.start)
        raise _unreadable(
            path, "not-utf8", f"line {line} is not UTF-8; save it as UTF-8"
        ) from error
    content = content.replace(b"\r\n", b"\n")
    for byte, name in ((b"\x00", "a zero byte"), (b"\r", "a carriage return within it")):
        place = content.find(byte)
        if place >= 0:
            line = first_line + content.count(b"\n", 0, place)
            message = f"line {line} has {name}; save it as plain text"
            raise _unreadable(path, "not-text", message)
    return content


def split_rows(path: Path, block: TextBlock, separator: str, n_fields: int) -> Rows:
    """Return the lines of a block that have `n_fields` fields, and which others there are.

    Raises:
        FileUnreadableError: A quoted field does not end on its line.
    """
    characters = np.frombuffer(block.content, dtype=np.uint8)
    ends = np.flatnonzero(characters == _LF)
    starts = np.concatenate(([0], ends[:-1] + 1))
    n_before = np.searchsorted(np.flatnonzero(characters == ord(separator)), [starts, ends])
    fields: npt.NDArray[np.int64] = n_before[1] - n_before[0] + 1
    if b'"' in block.content:
        _count_quoted(path, block, separator, fields)
    is_empty = ends == starts
    is_row = (fields == n_fields) & ~is_empty
    line = block.first_line + np.arange(len(ends))
    content = block.content
    if not is_row.all():
        pieces = zip(starts[is_row].tolist(), ends[is_row].tolist(), strict=True)
        content = b"".join(content[start : end + 1] for start, end in pieces)
    is_ragged = ~is_row & ~is_empty
    return Rows(content, line[is_row], line[is_ragged], fields[is_ragged])


def _count_quoted(
    path: Path, block: TextBlock, separator: str, fields: npt.NDArray[np.int64]
) -> None:
    """Correct the number of fields of the lines that hold quotes, where a separator may be text."""
    for i, text in enumerate(block.content.decode("utf-8").split("\n")):
        if '"' not in text:
            continue
        if text.count('"') % 2:
            message = f"line {block.first_line + i} has a quote that does not end on it; close it"
            raise _unreadable(path, "open-quote", message)
        fields[i] = len(split_line(text, separator))


def split_line(text: str, separator: str) -> list[str]:
    """Return the fields of one line, without their quotes."""
    return next(csv.reader([text], delimiter=separator), [])


def fingerprint(block: TextBlock) -> int:
    """Return a number that changes when the block does: a check against mishap, not malice."""
    return zlib.crc32(block.content)


def _unreadable(path: Path, code: str, message: str) -> FileUnreadableError:
    return FileUnreadableError(str(path), fatal(code, message))
