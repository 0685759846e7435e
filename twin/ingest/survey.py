"""The first pass over a file of readings: everything that refuses the whole file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from twin.ingest.cells import Layout, distinct, parse
from twin.ingest.deliveries import (
    FileRefusedError,
    FileUnreadableError,
    Progress,
    fatal,
    named,
)
from twin.ingest.text_blocks import (
    Rows,
    TextBlock,
    fingerprint,
    read_blocks,
    split_line,
    split_rows,
)
from twin.ingest.times import TimeFault, read_times
from twin.readings import IndexArray
from twin.tags import Intake

if TYPE_CHECKING:
    import pandas as pd

_TIME_NAMES = ("time", "timestamp")
_LONG = ("tag", "value")
_POINT = rb";\s*[+-]?\d*\.\d"
_COMMA = rb";\s*[+-]?\d*,\d"
_N_TEXT = 40  # characters of a bad text that an error quotes


@dataclass(slots=True)
class Survey:
    """What the first pass has seen.

    Attributes:
        n_rows: Rows with as many fields as the header.
        n_ragged: Rows with another number.
        ragged_line: The first of those, 0 for none.
        n_bad_times: Rows whose time cannot be read.
        bad_time: The first of those, as line and text.
        point_line: First line with a decimal point, 0 for none.
        comma_line: First line with a decimal comma, 0 for none.
        unknown: Tags that are not in the map, with the line where each stands first.
        blocks: Fingerprint of each block.
    """

    n_rows: int = 0
    n_ragged: int = 0
    ragged_line: int = 0
    n_bad_times: int = 0
    bad_time: tuple[int, str] = (0, "")
    point_line: int = 0
    comma_line: int = 0
    unknown: dict[str, int] = field(default_factory=dict)
    blocks: list[int] = field(default_factory=list)


def survey(path: Path, intake: Intake, progress: Progress) -> tuple[Layout, Survey]:
    """Return how a file is laid out, after looking through all of it.

    Raises:
        FileUnreadableError: It is no such file, or its times have no offset and no zone is given.
        FileRefusedError: Its tags are not those of the tag map.
    """
    blocks = read_blocks(path)
    header = next(blocks, None)
    if header is None:
        raise _unreadable(path, "empty-file", "is empty; the first line names the columns")
    layout = _layout(path, header, intake)
    seen = Survey(blocks=[fingerprint(header)])
    size_bytes = path.stat().st_size
    for block in blocks:
        seen.blocks.append(fingerprint(block))
        rows = split_rows(path, block, layout.separator, layout.n_fields)
        _look_through(path, rows, layout, intake, seen)
        _look_for_decimals(block, layout, seen)
        progress(f"checking {path.name}", min(block.n_read, size_bytes), size_bytes)
    _judge(path, seen, layout)
    return replace(layout, decimal="," if seen.comma_line else "."), seen


def _layout(path: Path, header: TextBlock, intake: Intake) -> Layout:
    """Return how the file is laid out, by its first line."""
    text = header.content.decode("utf-8").rstrip("\n")
    start = re.match(r'\s*"?\s*(\w+)\s*"?\s*([,;])', text)
    if start is None or start.group(1).lower() not in _TIME_NAMES:
        message = (
            f"line 1 begins with {text[:_N_TEXT]!r}; the first column must be `time` or "
            "`Timestamp`, and a comma or semicolon must follow it"
        )
        raise _unreadable(path, "bad-header", message)
    separator = start.group(2)
    names = [name.strip() for name in split_line(text, separator)]
    for column, name in enumerate(names):
        if not name or name in names[:column]:
            what = f"is {name!r} again" if name else "has no name"
            message = f"line 1: column {column + 1} {what}; name every column once"
            raise _unreadable(path, "bad-header", message)
    rest = tuple(name.lower() for name in names[1:])
    is_long = rest in (_LONG, (*_LONG, "quality"))
    series_index = np.zeros(0, dtype=np.int32) if is_long else _columns(path, names[1:], intake)
    return Layout(
        separator, ".", len(names), is_long, is_long and len(rest) > len(_LONG), series_index
    )


def _columns(path: Path, names: Sequence[str], intake: Intake) -> IndexArray:
    """Return the series of each column of a wide file."""
    place = {name: i for i, name in enumerate(intake.column)}
    unknown = [name for name in names if name not in place]
    missing = [name for name in place if name not in set(names)]
    findings = []
    if unknown:
        message = f"line 1: unknown tags {named(unknown)}; add them to the tag map, or drop them"
        findings.append(fatal("unknown-tag", message, 1, unknown[0]))
    if missing:
        message = f"line 1: no column for {named(missing)} of the tag map; add it, or drop the tag"
        findings.append(fatal("missing-column", message, 1, missing[0]))
    if findings:
        raise FileRefusedError(str(path), tuple(findings))
    return np.array([place[name] for name in names], dtype=np.int32)


def _look_through(path: Path, rows: Rows, layout: Layout, intake: Intake, seen: Survey) -> None:
    """Add the rows of a block to what was seen of times and tags."""
    if len(rows.ragged_line):
        seen.ragged_line = seen.ragged_line or int(rows.ragged_line[0])
        seen.n_ragged += len(rows.ragged_line)
    seen.n_rows += len(rows.line)
    if not len(rows.line):
        return
    frame = parse(path, rows, layout, range(2 if layout.is_long else 1))
    # Which instant a wall clock means is asked in the second pass.
    stand_in = None if intake.time_zone is None else "+00:00"
    which, texts = distinct(frame[0])
    fault = read_times(texts, stand_in)[1][which]
    if (fault == TimeFault.NO_OFFSET).any():
        row = int(np.argmax(fault == TimeFault.NO_OFFSET))
        message = (
            f"line {rows.line[row]}: {texts[which[row]]!r} has no offset; write `time_zone` into "
            "the tag map, such as Asia/Nicosia or +02:00"
        )
        raise _unreadable(path, "no-time-zone", message)
    bad = np.flatnonzero(fault == TimeFault.UNREADABLE)
    if len(bad):
        first = int(bad[0])
        if not seen.n_bad_times:
            seen.bad_time = int(rows.line[first]), str(texts[which[first]])[:_N_TEXT]
        seen.n_bad_times += len(bad)
    if layout.is_long:
        _look_at_tags(rows, frame[1], intake, seen)


def _look_at_tags(rows: Rows, column: pd.Series[str], intake: Intake, seen: Survey) -> None:
    known = set(intake.column)
    which, tags = distinct(column)
    for i, tag in enumerate(tags):
        if tag not in known and tag not in seen.unknown:
            seen.unknown[str(tag)[:_N_TEXT]] = int(rows.line[int(np.argmax(which == i))])


def _look_for_decimals(block: TextBlock, layout: Layout, seen: Survey) -> None:
    """Note where the values of a file with semicolons have a decimal point or comma."""
    if layout.separator != ";":
        return
    before = rb"(?m)^[^;\n]*;[^;\n]*" if layout.is_long else b""
    if not seen.point_line and (found := re.search(before + _POINT, block.content)):
        seen.point_line = block.first_line + block.content.count(b"\n", 0, found.end())
    if not seen.comma_line and (found := re.search(before + _COMMA, block.content)):
        seen.comma_line = block.first_line + block.content.count(b"\n", 0, found.end())


def _judge(path: Path, seen: Survey, layout: Layout) -> None:
    """Refuse a file that cannot be what its header says it is.

    A few bad rows are faults of those rows. Where most are bad, the file is not read as it was
    written, and what can be read of it should not be believed either.
    """
    if seen.unknown:
        tag, line = next(iter(seen.unknown.items()))
        message = (
            f"line {line}: unknown tags {named(seen.unknown)}; add them to the tag map, "
            "or drop their rows"
        )
        raise FileRefusedError(str(path), (fatal("unknown-tag", message, line, tag),))
    if seen.n_ragged > seen.n_rows:
        message = (
            f"{seen.n_ragged} of {seen.n_ragged + seen.n_rows} rows do not have the "
            f"{layout.n_fields} fields of the header, the first on line {seen.ragged_line}; a "
            "decimal comma needs semicolons between the fields"
        )
        raise _unreadable(path, "ragged-file", message)
    if 2 * seen.n_bad_times > seen.n_rows:
        line, text = seen.bad_time
        message = (
            f"{seen.n_bad_times} of {seen.n_rows} times cannot be read, the first on line {line}: "
            f"{text!r}; write them like 2018-03-27T20:35:00+02:00 or 2018-03-27 20:35:00"
        )
        raise _unreadable(path, "times-unreadable", message)
    if seen.point_line and seen.comma_line:
        message = (
            f"line {seen.point_line} has a decimal point and line {seen.comma_line} a decimal "
            "comma; write all values one way, and thousands without a sign"
        )
        raise _unreadable(path, "mixed-decimals", message)


def _unreadable(path: Path, code: str, message: str) -> FileUnreadableError:
    return FileUnreadableError(str(path), fatal(code, message))
