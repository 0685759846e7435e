"""The cells of delimited text, as columns of numbers and texts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from twin.ingest.deliveries import FileUnreadableError, fatal
from twin.ingest.text_blocks import Rows
from twin.readings import FloatArray, IndexArray

if TYPE_CHECKING:
    import pandas as pd

TextArray = npt.NDArray[np.object_]
BoolArray = npt.NDArray[np.bool_]

GAPS = ("", "nan", "NaN", "NAN", "NA", "N/A", "n/a", "null", "NULL")
"""How files write that there is no value."""

_NUMBER = r"(?a)[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|(?i:inf|infinity))"


@dataclass(frozen=True, slots=True)
class Layout:
    """How a file writes its readings.

    Attributes:
        separator: Comma or semicolon.
        decimal: Point or comma.
        n_fields: Columns of the header.
        is_long: One reading a row, rather than one time a row.
        has_quality: Whether a long file has a fourth column.
        value_columns: The columns that hold numbers to read, counted from 0.
        series_index: Which series each of them is of, for a wide file.
    """

    separator: str
    decimal: str
    n_fields: int
    is_long: bool
    has_quality: bool
    value_columns: tuple[int, ...]
    series_index: IndexArray


@dataclass(frozen=True, slots=True)
class Values:
    """The numbers of some rows.

    Attributes:
        raw: Numbers as written, shape (n_rows, n_columns); NaN for a gap and for a bad cell.
        is_bad: Cells that hold something else, shape (n_rows, n_columns).
        bad_text: What the bad cells hold, in their order along the rows.
    """

    raw: FloatArray
    is_bad: BoolArray
    bad_text: TextArray


def parse(
    path: Path, rows: Rows, layout: Layout, texts: Sequence[int], numbers: Sequence[int] = ()
) -> pd.DataFrame:
    """Return some columns of some rows: `texts` as text, `numbers` as 64-bit floats.

    Raises:
        ValueError: A cell of `numbers` is no number and no gap.
        FileUnreadableError: The rows do not come out as they were counted.
    """
    import pandas as pd  # noqa: PLC0415 - slow to load, and only files need it

    columns = sorted([*texts, *numbers])
    frame: pd.DataFrame = pd.read_csv(
        BytesIO(rows.content),
        sep=layout.separator,
        decimal=layout.decimal,
        header=None,
        names=[str(column) for column in range(layout.n_fields)],
        usecols=[str(column) for column in columns],
        index_col=False,
        dtype={str(c): np.dtype(np.float64 if c in numbers else object) for c in columns},
        na_values={str(column): list(GAPS) for column in numbers},
        keep_default_na=False,
        skip_blank_lines=False,
        low_memory=False,
        engine="c",
    )
    frame.columns = pd.Index(columns)
    if len(frame) != len(rows.line):
        message = (
            f"lines {rows.line[0]} to {rows.line[-1]} have quotes that do not match; remove them"
        )
        raise FileUnreadableError(str(path), fatal("open-quote", message))
    return frame


def read_values(path: Path, rows: Rows, layout: Layout) -> Values:
    """Return the numbers of some rows, and which cells hold none."""
    columns = layout.value_columns
    try:
        raw = parse(path, rows, layout, (), columns).to_numpy(dtype=np.float64)
    except ValueError:
        # Some cell of this block is no number: read every cell as text, which is slower.
        return _values_of_texts(parse(path, rows, layout, columns), layout.decimal)
    return Values(raw, np.zeros(raw.shape, dtype=np.bool_), np.zeros(0, dtype=object))


def _values_of_texts(frame: pd.DataFrame, decimal: str) -> Values:
    raw = np.full(frame.shape, np.nan)
    is_bad = np.zeros(frame.shape, dtype=np.bool_)
    number = re.compile(_NUMBER if decimal == "." else _NUMBER.replace(r"\.", ","))
    for i in range(frame.shape[1]):
        texts = frame.iloc[:, i].str.strip()
        is_gap = texts.isin(GAPS)
        is_number = texts.str.fullmatch(number).to_numpy(dtype=np.bool_)
        numerals = texts[is_number].str.replace(decimal, ".")
        raw[is_number, i] = numerals.to_numpy(dtype=object).astype(np.float64)
        is_bad[:, i] = ~is_number & ~is_gap.to_numpy(dtype=np.bool_)
    return Values(raw, is_bad, frame.to_numpy(dtype=object)[is_bad])


def distinct(column: pd.Series[str]) -> tuple[npt.NDArray[np.intp], TextArray]:
    """Return which distinct text each row has, and the distinct texts."""
    import pandas as pd  # noqa: PLC0415 - slow to load, and only files need it

    which, texts = pd.factorize(column.to_numpy(dtype=object))
    return which, np.asarray(texts, dtype=object)
