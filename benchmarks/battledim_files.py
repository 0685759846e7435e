"""Read a BattLeDIM year: pressures, flows, levels and smart meters, leaks and repairs.

Two spellings give the same arrays: columns as parquet (`pressures.parquet`, ...) and the files of
the competition as downloaded (`2018_SCADA_Pressures.csv`, ...: semicolons and decimal commas; plain
commas and points are read too). A file that does not fit is refused with its name and line.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]
TimeArray = NDArray[np.datetime64]

MODEL_START = np.datetime64("2018-01-01T00:00:00", "s")
"""Model time zero: L-Town's patterns begin on a Monday at midnight."""

STEP = np.timedelta64(300, "s")
KINDS = ("pressures", "flows", "levels", "demands")
M3H = 3600.0  # m³/h in one m³/s
LH = 3.6e6  # L/h in one m³/s
TIME_COLUMN = "Timestamp"
_FORMATS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M")
_TRUTH_COLUMNS = ("link", "start", "end", "diameter_m", "type", "peak")


class BadFileError(Exception):
    """A file of a year is missing, or holds what cannot be read."""

    def __init__(self, path: Path, reason: str, line: int | None = None) -> None:
        super().__init__(path, reason, line)  # args are the fields, so it pickles
        self.path, self.reason, self.line = path, reason, line

    def __str__(self) -> str:
        place = f"{self.path}" if self.line is None else f"{self.path}:{self.line}"
        return f"{place}: {self.reason}"


@dataclass(frozen=True)
class Table:
    """Columns of numbers over strictly rising times.

    Attributes:
        time: Local time of each row, shape (n_rows,), datetime64[s].
        names: Name of each column, shape (n_columns,).
        number: In the unit of the file, or as said, shape (n_rows, n_columns); NaN where empty.
    """

    time: TimeArray
    names: tuple[str, ...]
    number: FloatArray


@dataclass(frozen=True)
class Year:
    """What was read in a year, on one grid of five minutes; NaN where a row is missing.

    Attributes:
        time: Local time without zone, shape (n_times,), datetime64[s].
        model_time_s: Seconds since Monday 2018-01-01 00:00, shape (n_times,).
        pressure_nodes: Node of each pressure sensor.
        pressure_m: Pressure head [m], shape (n_times, n_pressures).
        flow_links: Link of each flow meter.
        flow_m3s: Flow [m³/s], shape (n_times, n_flows), positive from start to end of the link.
        tanks: Node of each level gauge.
        level_m: Level above the tank's bottom [m], shape (n_times, n_tanks).
        demand_nodes: Node of each smart meter.
        demand_m3s: Water taken [m³/s], shape (n_times, n_meters).
    """

    time: TimeArray
    model_time_s: FloatArray
    pressure_nodes: tuple[str, ...]
    pressure_m: FloatArray
    flow_links: tuple[str, ...]
    flow_m3s: FloatArray
    tanks: tuple[str, ...]
    level_m: FloatArray
    demand_nodes: tuple[str, ...]
    demand_m3s: FloatArray


@dataclass(frozen=True)
class Repair:
    """A leak that the utility found and mended."""

    pipe_id: str
    at: np.datetime64


@dataclass(frozen=True)
class TrueLeak:
    """A leak as it was opened; `peak` is when an incipient one stops growing."""

    pipe_id: str
    start: np.datetime64
    end: np.datetime64
    diameter_m: float
    is_incipient: bool
    peak: np.datetime64


def read_year(folder: Path, year: int | None = None) -> Year:
    """Return a folder's year in SI units.

    Args:
        folder: Holds `pressures.parquet` or `YYYY_SCADA_Pressures.csv`, and so for the others.
        year: Which year, where the folder holds the competition's files of several.

    Raises:
        BadFileError: A file is missing, ambiguous, or a line of it cannot be read.
    """
    tables = [read_table(find_file(folder, kind, year)) for kind in KINDS]
    time = _grid(tables)
    pressure, flow, level, demand = (_on_grid(table, time) for table in tables)
    names = [table.names for table in tables]
    return Year(
        time=time,
        model_time_s=(time - MODEL_START) / np.timedelta64(1, "s"),
        pressure_nodes=names[0],
        pressure_m=pressure,
        flow_links=names[1],
        flow_m3s=flow / M3H,
        tanks=names[2],
        level_m=level,
        demand_nodes=names[3],
        demand_m3s=demand / LH,
    )


def read_leak_flows(path: Path) -> Table:
    """Return what each leak lost [m³/s] from a file in m³/h, parquet or CSV."""
    table = read_table(path)
    return Table(table.time, table.names, table.number / M3H)


def read_truth(
    path: Path, leakages: Path | None = None
) -> tuple[tuple[TrueLeak, ...], Table | None]:
    """Return the leaks in the file's order, and their flows where a file of them is given.

    Raises:
        BadFileError: A column is missing or a line cannot be read.
    """
    leaks = _read_leaks(path)
    if leakages is None:
        return leaks, None
    flows = read_leak_flows(leakages)
    for leak in leaks_within(leaks, flows.time):
        if leak.pipe_id not in flows.names:
            raise BadFileError(leakages, f"has no column {leak.pipe_id}, which leaks in its time")
    return leaks, flows


def leaks_within(leaks: Sequence[TrueLeak], time: TimeArray) -> list[TrueLeak]:
    """Return the leaks that run at some of the times, which rise."""
    return [leak for leak in leaks if leak.end >= time[0] and leak.start <= time[-1]]


def read_repairs(path: Path) -> tuple[Repair, ...]:
    """Return the repairs of a report whose lines read `- p461, 2018-04-02 11:40`.

    Raises:
        BadFileError: A line is neither empty, a comment, nor a repair.
    """
    found = []
    for number, line in enumerate(_text(path).splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = re.fullmatch(r"\s*-?\s*([^\s,]+)\s*,\s*(\S.*?)\s*", line)
        if match is None:
            raise BadFileError(path, f"{line.strip()!r} is no repair", number)
        found.append(Repair(match[1], parse_time(path, number, match[2])))
    return tuple(found)


def parse_time(path: Path, line: int, text: str) -> np.datetime64:
    """Return a local time spelled `YYYY-MM-DD HH:MM[:SS]`."""
    if re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?", text):
        try:
            return np.datetime64(text.replace(" ", "T"), "s")
        except ValueError:  # the 31st of February
            pass
    raise BadFileError(path, f"{text!r} is no time such as 2018-04-02 11:40", line)


def read_rows(path: Path, columns: Iterable[str]) -> list[tuple[int, dict[str, str]]]:
    """Return a small CSV's rows as (line number, cells), all of which have the named columns."""
    reader = csv.DictReader(io.StringIO(_text(path)))
    absent = [name for name in columns if name not in (reader.fieldnames or ())]
    if absent:
        raise BadFileError(path, f"has no column {absent[0]}", 1)
    rows = []
    for row in reader:
        if None in row or None in row.values():
            raise BadFileError(path, "has not as many cells as the header", reader.line_num)
        rows.append((reader.line_num, row))
    return rows


def parse_number(path: Path, line: int, text: str) -> float:
    """Return a finite number."""
    try:
        number = float(text)
    except ValueError:
        number = np.nan
    if not np.isfinite(number):
        raise BadFileError(path, f"{text!r} is no number", line)
    return number


def find_file(folder: Path, kind: str, year: int | None = None) -> Path:
    """Return the one file of a kind (`pressures`, `flows`, ...) in a folder."""
    plain = [folder / f"{kind}.parquet", folder / f"{kind}.csv"]
    official = folder.glob(f"{'[0-9]' * 4 if year is None else year}_SCADA_{kind.capitalize()}.csv")
    there = [path for path in plain if path.exists()] + sorted(official)
    if not folder.is_dir():
        raise BadFileError(folder, "is no folder")
    if not there:
        wanted = f"{kind}.parquet or {year or 'YYYY'}_SCADA_{kind.capitalize()}.csv"
        raise BadFileError(folder, f"holds no {wanted}")
    if len(there) > 1:
        names = " and ".join(path.name for path in there)
        raise BadFileError(folder, f"holds {names}: which one is meant?")
    return there[0]


def find_beside(folder: Path, name: str) -> Path | None:
    """Return a file in a folder or the one above it."""
    places = (folder / name, folder.parent / name)
    return next((path for path in places if path.exists()), None)


def read_table(path: Path) -> Table:
    """Return a file's columns of numbers as they stand in it.

    Raises:
        BadFileError: No `Timestamp` column, no other column, a cell that is no number, or a time
            that does not come after the one before.
    """
    is_parquet = path.suffix == ".parquet"
    frame = _read_parquet(path) if is_parquet else _read_csv(path)
    names = tuple(str(name) for name in frame.columns if name != TIME_COLUMN)
    if not names:
        raise BadFileError(path, "has no column of values", None if is_parquet else 1)
    time = frame[TIME_COLUMN].to_numpy(dtype="datetime64[s]")
    _refuse_disorder(path, time, 0 if is_parquet else 2)
    return Table(time, names, frame[list(names)].to_numpy(dtype=np.float64))


def _read_parquet(path: Path) -> pd.DataFrame:
    import pandas as pd  # noqa: PLC0415  # a second to import, which --help need not wait for

    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise BadFileError(path, f"is no parquet file ({error})") from error
    if TIME_COLUMN not in frame.columns:
        frame = frame.rename_axis(str(frame.index.name or "row")).reset_index()
    if TIME_COLUMN not in frame.columns:
        raise BadFileError(path, f"has no column {TIME_COLUMN}")
    if not pd.api.types.is_datetime64_any_dtype(frame[TIME_COLUMN]):
        raise BadFileError(path, f"its column {TIME_COLUMN} holds no times")
    return frame


def _read_csv(path: Path) -> pd.DataFrame:
    import pandas as pd  # noqa: PLC0415

    text = _text(path).rstrip()
    names, separator = _header(path, text)
    # A comma is a decimal point only where it does not part the cells.
    decimal = "," if separator == ";" and "," in text else "."
    options = _options(names, separator)
    types = {name: str if name == TIME_COLUMN else np.float64 for name in names}
    try:
        frame = pd.read_csv(io.StringIO(text), decimal=decimal, dtype=types, **options)
    except pd.errors.ParserError as error:
        raise _too_many_cells(path, error) from error
    except ValueError as error:
        cells = pd.read_csv(io.StringIO(text), dtype=str, **options)
        raise _bad_cell(path, cells, decimal) from error
    frame[TIME_COLUMN] = _times(path, frame[TIME_COLUMN])
    return frame


def _header(path: Path, text: str) -> tuple[list[str], str]:
    """Return the column names and what parts them."""
    header = text.split("\n", 1)[0]
    separator = ";" if ";" in header else ","
    names = [name.strip().strip('"') for name in header.split(separator)]
    if TIME_COLUMN not in names:
        raise BadFileError(path, f"has no column {TIME_COLUMN}", 1)
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise BadFileError(path, f"has the column {twice[0]} twice", 1)
    return names, separator


def _options(names: list[str], separator: str) -> dict[str, Any]:
    # Blank lines stay rows, so that a row's number is its line's.
    shape = {"header": 0, "names": names, "index_col": False}
    return {"sep": separator, "skip_blank_lines": False, **shape}


def _times(path: Path, cells: pd.Series[str]) -> pd.Series[pd.Timestamp]:
    written = [spelling for spelling in _FORMATS if _parsed(cells.iloc[:1], spelling).notna().all()]
    time = _parsed(cells, [*written, *_FORMATS][0])
    if time.isna().any():
        row = int(time.isna().to_numpy().argmax())
        parse_time(path, row + 2, str(cells.iloc[row]))  # raises, unless spellings are mixed
        raise BadFileError(path, "spells its time not as the first row does", row + 2)
    return time


def _parsed(cells: pd.Series[str], spelling: str) -> pd.Series[pd.Timestamp]:
    import pandas as pd  # noqa: PLC0415

    return pd.to_datetime(cells, format=spelling, errors="coerce")


def _too_many_cells(path: Path, error: Exception) -> BadFileError:
    where = re.search(r"line (\d+)", str(error))
    line = int(where[1]) if where else None
    return BadFileError(path, "has more cells than the header", line)


def _bad_cell(path: Path, cells: pd.DataFrame, decimal: str) -> BadFileError:
    """Return which cell, the first by line, is no number."""
    import pandas as pd  # noqa: PLC0415

    first: tuple[int, str, str] | None = None
    for name in cells.columns.drop(TIME_COLUMN):
        text = cells[name].str.replace(".", "?", regex=False) if decimal == "," else cells[name]
        number = pd.to_numeric(text.str.replace(decimal, ".", regex=False), errors="coerce")
        odd = (number.isna() & text.notna()).to_numpy()
        row = int(odd.argmax())
        if odd[row] and (first is None or row < first[0]):
            first = (row, str(name), str(cells[name].iloc[row]))
    if first is None:
        return BadFileError(path, "holds a cell that is no number")
    return BadFileError(path, f"{first[2]!r} in column {first[1]} is no number", first[0] + 2)


def _refuse_disorder(path: Path, time: TimeArray, first_line: int) -> None:
    """Raise where times do not rise, or lie off the grid of five minutes."""
    if len(time) == 0:
        raise BadFileError(path, "has no rows")
    off = (time - MODEL_START) % STEP != np.timedelta64(0, "s")
    if off.any():
        row = int(off.argmax())
        raise BadFileError(path, f"{time[row]} is no whole five minutes", row + first_line)
    back = np.diff(time) <= np.timedelta64(0, "s")
    if back.any():
        row = int(back.argmax()) + 1
        reason = f"{time[row]} does not come after {time[row - 1]}"
        raise BadFileError(path, reason, row + first_line)


def _grid(tables: Sequence[Table]) -> TimeArray:
    first = min(table.time[0] for table in tables)
    last = max(table.time[-1] for table in tables)
    return np.arange(first, last + STEP, STEP)


def _on_grid(table: Table, time: TimeArray) -> FloatArray:
    values = np.full((len(time), len(table.names)), np.nan)
    values[((table.time - time[0]) // STEP).astype(np.int64)] = table.number
    return values


def _read_leaks(path: Path) -> tuple[TrueLeak, ...]:
    leaks = []
    for line, row in read_rows(path, _TRUTH_COLUMNS):
        if row["type"] not in {"abrupt", "incipient"}:
            raise BadFileError(path, f"{row['type']!r} is neither abrupt nor incipient", line)
        start, end, peak = (parse_time(path, line, row[name]) for name in ("start", "end", "peak"))
        if not start <= peak <= end:
            raise BadFileError(path, "its start, peak and end do not follow each other", line)
        diameter_m = parse_number(path, line, row["diameter_m"])
        leaks.append(
            TrueLeak(row["link"], start, end, diameter_m, row["type"] == "incipient", peak)
        )
    return tuple(leaks)


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as error:
        raise BadFileError(path, f"cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise BadFileError(path, "is no UTF-8 text") from error
