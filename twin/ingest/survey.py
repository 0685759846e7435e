"""The first pass over a file of readings: everything that refuses the whole file."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
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
_POINT = r"\s*[+-]?\d*\.\d"
_COMMA = r"\s*[+-]?\d*,\d"
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
        unknown: Tags of a long file that are not in the map, with the line where each stands first.
        unmapped: Columns of a wide file that are not in the map.
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
    unmapped: tuple[str, ...] = ()
    blocks: list[int] = field(default_factory=list)


def survey(
    path: Path, intake: Intake, progress: Progress, *, is_only_mapped: bool = False
) -> tuple[Layout, Survey]:
    """Return how a file is laid out, after looking through all of it.

    Args:
        path: The file.
        intake: What its tags mean.
        progress: Told how many bytes are done.
        is_only_mapped: Whether to pass over columns and tags that are not in the tag map, whatever
            they hold, rather than to refuse the file for them.

    Raises:
        FileUnreadableError: It is no such file, or its times have no offset and no zone is given.
        FileRefusedError: Its tags are not those of the tag map.
    """
    blocks = read_blocks(path)
    header = next(blocks, None)
    if header is None:
        raise _unreadable(path, "empty-file", "is empty; the first line names the columns")
    layout, unmapped = _layout(path, header, intake, is_only_mapped=is_only_mapped)
    seen = Survey(unmapped=unmapped, blocks=[fingerprint(header)])
    size_bytes = path.stat().st_size
    for block in blocks:
        seen.blocks.append(fingerprint(block))
        rows = split_rows(path, block, layout.separator, layout.n_fields)
        _look_through(path, rows, layout, intake, seen)
        if is_only_mapped:
            _look_for_decimals_of_mapped(path, rows, layout, intake, seen)
        else:
            _look_for_decimals(block, layout, seen)
        progress(f"checking {path.name}", min(block.n_read, size_bytes), size_bytes)
    if seen.unknown and not is_only_mapped:
        raise _unknown(path, seen.unknown)
    _judge(path, seen, layout)
    return replace(layout, decimal="," if seen.comma_line else "."), seen


def _layout(
    path: Path, header: TextBlock, intake: Intake, *, is_only_mapped: bool
) -> tuple[Layout, tuple[str, ...]]:
    """Return how the file is laid out by its first line, and which columns are not in the map."""
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
    rest = tuple(name.lower() for name in names[1:])
    is_long = rest in (_LONG, (*_LONG, "quality"))
    _check_names(path, names, set(intake.column) if is_only_mapped and not is_long else None)
    if is_long:
        none = np.zeros(0, dtype=np.int32)
        return Layout(separator, ".", len(names), True, len(rest) > len(_LONG), (2,), none), ()
    series_index = _columns(path, names[1:], intake, is_only_mapped=is_only_mapped)
    is_mapped = series_index >= 0
    columns = tuple((np.flatnonzero(is_mapped) + 1).tolist())
    layout = Layout(separator, ".", len(names), False, False, columns, series_index[is_mapped])
    left = (np.flatnonzero(~is_mapped) + 1).tolist()
    return layout, tuple(names[column] or f"column {column + 1}" for column in left)


def _check_names(path: Path, names: Sequence[str], mapped: Collection[str] | None) -> None:
    """Refuse columns without a name or with that of another; where some are mapped, only those."""
    for column, name in enumerate(names):
        if (not name or name in names[:column]) and (mapped is None or name in mapped):
            what = f"is {name!r} again" if name else "has no name"
            message = f"line 1: column {column + 1} {what}; name every column once"
            raise _unreadable(path, "bad-header", message)


def _columns(
    path: Path, names: Sequence[str], intake: Intake, *, is_only_mapped: bool
) -> IndexArray:
    """Return the series of each column of a wide file, -1 where the map has none and need not."""
    place = {name: i for i, name in enumerate(intake.column)}
    unknown = [name for name in names if name not in place]
    missing = [name for name in place if name not in set(names)]
    findings = []
    if unknown and not is_only_mapped:
        message = (
            f"line 1: unknown tags {named(unknown)}; add them to the tag map, drop them, or say "
            "--only-mapped"
        )
        findings.append(fatal("unknown-tag", message, 1, unknown[0]))
    if missing:
        message = f"line 1: no column for {named(missing)} of the tag map; add it, or drop the tag"
        findings.append(fatal("missing-column", message, 1, missing[0]))
    if findings:
        raise FileRefusedError(str(path), tuple(findings))
    return np.array([place.get(name, -1) for name in names], dtype=np.int32)


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
    point, comma = (before + b";" + pattern.encode() for pattern in (_POINT, _COMMA))
    if not seen.point_line and (found := re.search(point, block.content)):
        seen.point_line = block.first_line + block.content.count(b"\n", 0, found.end())
    if not seen.comma_line and (found := re.search(comma, block.content)):
        seen.comma_line = block.first_line + block.content.count(b"\n", 0, found.end())


def _look_for_decimals_of_mapped(
    path: Path, rows: Rows, layout: Layout, intake: Intake, seen: Survey
) -> None:
    """Note the same of the values that are read: dates beside them may have points."""
    if layout.separator != ";" or not len(rows.line):
        return
    columns = list(layout.value_columns)
    frame = parse(path, rows, layout, [1, *columns] if layout.is_long else columns)
    is_read = frame[1].isin(intake.column) if layout.is_long else True

    def first_line(pattern: str) -> int:
        is_match = frame[columns].apply(lambda cells: cells.str.match(pattern))
        found = np.flatnonzero(is_match.any(axis=1) & is_read)
        return int(rows.line[found[0]]) if len(found) else 0

    seen.point_line = seen.point_line or first_line(_POINT)
    seen.comma_line = seen.comma_line or first_line(_COMMA)


def _unknown(path: Path, unknown: Mapping[str, int]) -> FileRefusedError:
    tag, line = next(iter(unknown.items()))
    message = (
        f"line {line}: unknown tags {named(unknown)}; add them to the tag map, drop their rows, "
        "or say --only-mapped"
    )
    return FileRefusedError(str(path), (fatal("unknown-tag", message, line, tag),))


def _judge(path: Path, seen: Survey, layout: Layout) -> None:
    """Refuse a file that cannot be what its header says it is.

    A few bad rows are faults of those rows. Where most are bad, the file is not read as it was
    written, and what can be read of it should not be believed either.
    """
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
