"""Readings from delimited text: historian exports, and BattLeDIM's own format.

Two layouts are read. Wide: `time` (or `Timestamp`) first, then a column for each tag. Long:
`time,tag,value` and then, if it is there, `quality`. Fields are parted by commas or semicolons;
with semicolons the decimal sign may be a comma.

A file is read twice. The first pass looks for what refuses the whole file, so that nothing of such
a file is recorded; the second yields readings and the faults of single rows. Memory is bounded by
the block, whatever the length of the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from twin.errors import RefusedError
from twin.findings import Finding
from twin.ingest.cells import BoolArray, Layout, TextArray, Values, distinct, parse, read_values
from twin.ingest.deliveries import Delivery, Progress, Tally, silent
from twin.ingest.survey import Survey, survey
from twin.ingest.text_blocks import Rows, fingerprint, read_blocks, split_rows
from twin.ingest.times import FaultArray, TimeFault, read_times
from twin.readings import (
    FloatArray,
    IndexArray,
    Origin,
    QualityArray,
    ReadingBatch,
    Status,
    TimeArray,
    quality_code,
)
from twin.tags import Intake

if TYPE_CHECKING:
    import pandas as pd

OnUnmapped = Callable[[Sequence[str]], None]
"""Called with the columns, or tags of rows, that a tag map does not hold."""

_Int = TypeVar("_Int", np.int32, np.uint8)

_QUALITY_COLUMN = 3
_N_TEXT = 40  # characters of a bad cell that a finding quotes
_UNKNOWN = 255  # no quality byte
_UNMAPPED = -1  # no series

QUALITIES: dict[str, int] = {
    "": quality_code(Status.UNCERTAIN),  # the file has qualities, and not for this value
    **{status.name.lower(): quality_code(status) for status in Status},
    **{
        f"{status.name.lower()}/{origin.name.lower()}": quality_code(status, origin)
        for status in Status
        for origin in Origin
    },
}
"""How a long file writes the quality of a value: `good`, `bad`, `uncertain/manual`, …."""

_CELL_FAULTS = {
    "quality-unreadable": "the quality is none of good, uncertain and bad; correct it",
    "value-infinite": "the value is infinite; correct it, or leave it empty",
}
_TIME_FAULTS = {
    TimeFault.UNREADABLE: (
        "time-unreadable",
        "is no time; write it like 2018-03-27T20:35:00+02:00 or 2018-03-27 20:35:00",
    ),
    TimeFault.AMBIGUOUS: (
        "time-ambiguous",
        "happens twice in {zone}, where daylight saving ends; write it with its offset",
    ),
    TimeFault.SKIPPED: (
        "time-skipped",
        "never happens in {zone}, where daylight saving begins; give the fixed offset as time_zone",
    ),
    TimeFault.OUT_OF_RANGE: (
        "time-out-of-range",
        "is outside of 1970 to 2262, which the record can hold; correct it",
    ),
}


class FileChangedError(RefusedError):
    """A file changed between the two passes; what was recorded of it stays.

    Attributes:
        path: The file.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"{self.path} changed while it was read; what was recorded stays, so run it again"


def read_delimited(
    path: Path,
    intake: Intake,
    progress: Progress = silent,
    on_unmapped: OnUnmapped | None = None,
) -> Iterator[Delivery]:
    """Return the readings of a file, after all of it was looked through once.

    Args:
        path: The file.
        intake: What its tags mean.
        progress: Told how many bytes are done in each of the two passes.
        on_unmapped: Told, before anything is delivered, what is passed over because it is not in
            the map; None refuses a file that holds such.

    Raises:
        FileUnreadableError: The file cannot be read as what it says it is, or its times have no
            offset and the tag map no zone. Nothing was delivered.
        FileRefusedError: A column or tag is not in the map and may not be passed over, or a tag of
            the map has no column. Nothing was delivered.
        FileChangedError: From the iterator: the file is not what it was in the first pass.
    """
    layout, seen = survey(path, intake, progress, is_only_mapped=on_unmapped is not None)
    if on_unmapped is not None:
        on_unmapped([*seen.unmapped, *seen.unknown])
    return _deliver(path, intake, layout, seen, progress)


def _deliver(
    path: Path, intake: Intake, layout: Layout, seen: Survey, progress: Progress
) -> Iterator[Delivery]:
    size_bytes = path.stat().st_size
    for i, block in enumerate(read_blocks(path)):
        if i == len(seen.blocks):
            return  # lines that came in since are for the next time
        if fingerprint(block) != seen.blocks[i]:
            raise FileChangedError(str(path))
        if i:
            yield _read_rows(
                path, split_rows(path, block, layout.separator, layout.n_fields), layout, intake
            )
        progress(f"reading {path.name}", min(block.n_read, size_bytes), size_bytes)


@dataclass(frozen=True, slots=True)
class _Grid:
    """The cells of some rows: a row for each line, a column for each value on it.

    Attributes:
        line: Line of each row, shape (n_rows,).
        time_ns: When it was, shape (n_rows,).
        time_fault: `TimeFault` of that, shape (n_rows,).
        time_text: The time as written, shape (n_rows,).
        series_index: Which series each cell is of, `_UNMAPPED` where its tag is passed over, shape
            (n_rows, n_columns).
        raw: Values as written, NaN where there is none, shape (n_rows, n_columns).
        value: Values in the stored unit of the series, shape (n_rows, n_columns).
        quality: Quality bytes, `_UNKNOWN` where the word is unknown, shape (n_rows, n_columns).
    """

    line: npt.NDArray[np.int64]
    time_ns: TimeArray
    time_fault: FaultArray
    time_text: TextArray
    series_index: IndexArray
    raw: FloatArray
    value: FloatArray
    quality: QualityArray


def _read_rows(path: Path, rows: Rows, layout: Layout, intake: Intake) -> Delivery:
    """Return the readings of some rows, and what is wrong with the others."""
    rejected = Tally()
    _reject_ragged(rows, layout, rejected)
    if not len(rows.line):
        return _nothing(intake, rejected)
    values = read_values(path, rows, layout)
    grid = _grid(path, rows, layout, intake, values)
    is_mapped = grid.series_index != _UNMAPPED
    is_value = (~np.isnan(values.raw) | values.is_bad) & is_mapped
    is_kept = is_value & (grid.time_fault == TimeFault.NONE)[:, np.newaxis]
    _reject_times(grid, intake.time_zone, is_value, rejected)
    _reject_texts(grid, intake, values, is_kept, rejected)
    is_kept &= ~values.is_bad
    is_known = grid.quality != _UNKNOWN
    _reject_cells("quality-unreadable", grid, intake, is_kept & ~is_known, rejected)
    is_kept &= is_known
    n_gaps = int((~is_value & is_mapped).sum())
    is_finite = np.isfinite(grid.value)
    _reject_cells("value-infinite", grid, intake, is_kept & ~is_finite, rejected)
    return _delivery(grid, intake, is_kept & is_finite, n_gaps, rejected)


def _grid(path: Path, rows: Rows, layout: Layout, intake: Intake, values: Values) -> _Grid:
    n_texts = 2 if layout.is_long else 1
    columns = [*range(n_texts), *([_QUALITY_COLUMN] if layout.has_quality else [])]
    frame = parse(path, rows, layout, columns)
    which, texts = distinct(frame[0])
    time_ns, fault = read_times(texts, intake.time_zone)
    shape = values.raw.shape
    series_index = layout.series_index[np.newaxis, :]
    quality = np.zeros((1, 1), dtype=np.uint8)
    if layout.is_long:
        place = {name: i for i, name in enumerate(intake.column)}
        series_index = _looked_up(frame[1], place, np.int32, _UNMAPPED)[:, np.newaxis]
    if layout.has_quality:
        quality = _looked_up(frame[_QUALITY_COLUMN].str.lower(), QUALITIES, np.uint8, _UNKNOWN)
        quality = quality[:, np.newaxis]
    return _Grid(
        line=rows.line,
        time_ns=time_ns[which],
        time_fault=fault[which],
        time_text=texts[which],
        series_index=np.broadcast_to(series_index, shape),
        raw=values.raw,
        value=intake.stored(values.raw, series_index),
        quality=np.broadcast_to(quality, shape),
    )


def _looked_up(
    column: pd.Series[str], known: Mapping[str, int], dtype: type[_Int], missing: int
) -> npt.NDArray[_Int]:
    """Return what each text of a column stands for."""
    which, texts = distinct(column)
    found = np.array([known.get(text, missing) for text in texts], dtype=dtype)
    return found[which]


def _delivery(
    grid: _Grid, intake: Intake, is_kept: BoolArray, n_gaps: int, rejected: Tally
) -> Delivery:
    row = np.nonzero(is_kept)[0]
    batch = ReadingBatch(
        intake.series,
        grid.series_index[is_kept],
        grid.time_ns[row],
        grid.value[is_kept],
        grid.quality[is_kept],
    )
    return Delivery(batch, grid.line[row], n_gaps, rejected)


def _nothing(intake: Intake, rejected: Tally) -> Delivery:
    none = np.zeros(0, dtype=np.int64)
    empty = ReadingBatch(
        intake.series, none.astype(np.int32), none, none.astype(np.float64), none.astype(np.uint8)
    )
    return Delivery(empty, none, 0, rejected)


def _reject_ragged(rows: Rows, layout: Layout, rejected: Tally) -> None:
    def describe(i: int) -> Finding:
        line = int(rows.ragged_line[i])
        message = (
            f"line {line} has {rows.ragged_fields[i]} fields, the header {layout.n_fields}; "
            "complete the row"
        )
        return Finding("ragged-row", message, line=line)

    rejected.add("ragged-row", np.arange(len(rows.ragged_line)), describe)


def _reject_times(grid: _Grid, time_zone: str | None, is_value: BoolArray, rejected: Tally) -> None:
    """Reject the values of rows whose time cannot be used; each row is described once."""
    n_values = is_value.sum(axis=1)
    for fault, (code, reason) in _TIME_FAULTS.items():

        def describe(row: int, code: str = code, reason: str = reason) -> Finding:
            line = int(grid.line[row])
            text = str(grid.time_text[row])[:_N_TEXT]
            message = f"line {line}: {text!r} {reason.format(zone=time_zone)}"
            return Finding(code, message, line=line)

        rows = np.flatnonzero((grid.time_fault == fault) & (n_values > 0))
        rejected.add(code, rows, describe, int(n_values[rows].sum()))


def _reject_texts(
    grid: _Grid, intake: Intake, values: Values, is_kept: BoolArray, rejected: Tally
) -> None:
    """Reject cells that hold no number."""
    is_counted = is_kept[values.is_bad]
    rows, columns = np.nonzero(values.is_bad)

    def describe(i: int) -> Finding:
        line, tag = _place(grid, intake, int(rows[i]), int(columns[i]))
        text = str(values.bad_text[i])[:_N_TEXT]
        message = f"line {line}, {tag}: {text!r} is no number; correct it, or leave it empty"
        return Finding("value-unreadable", message, line=line, section=tag, subject=tag)

    rejected.add("value-unreadable", np.flatnonzero(is_counted), describe)


def _reject_cells(
    code: str, grid: _Grid, intake: Intake, is_wrong: BoolArray, rejected: Tally
) -> None:
    """Reject cells for the reason that belongs to a code."""
    rows, columns = np.nonzero(is_wrong)

    def describe(i: int) -> Finding:
        line, tag = _place(grid, intake, int(rows[i]), int(columns[i]))
        message = f"line {line}, {tag}: {_CELL_FAULTS[code]}"
        return Finding(code, message, line=line, section=tag, subject=tag)

    rejected.add(code, np.arange(len(rows)), describe)


def _place(grid: _Grid, intake: Intake, row: int, column: int) -> tuple[int, str]:
    """Return line and tag of a cell."""
    return int(grid.line[row]), intake.series[int(grid.series_index[row, column])].tag
