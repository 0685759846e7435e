"""BattLeDIM's files as they are downloaded, and the tag map that each of them implies.

A folder holds `2018_SCADA_Pressures.csv`, `_Flows`, `_Levels` and `_Demands`: semicolons, decimal
commas, local time without a zone, and one column a node or link, by its id in the EPANET model. The
name of the file says what the columns are, and in which unit: m, m³/h, m and L/h.

Source:
    Vrachimis and others, Dataset of BattLeDIM, Zenodo record 4017659.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from twin.errors import UnreadableError
from twin.ingest.text_blocks import read_blocks, split_line
from twin.readings import Quantity
from twin.tags import Tag, TagMap, make_tag_map
from twin.units import parse_unit

KINDS: dict[str, tuple[Quantity, str]] = {
    "Pressures": (Quantity.PRESSURE, "m"),
    "Flows": (Quantity.FLOW, "m3/h"),
    "Levels": (Quantity.LEVEL, "m"),
    "Demands": (Quantity.DEMAND, "L/h"),
}
"""What the files of a year hold, by the last word of their names, and in which unit."""

_NAME = re.compile(rf"(\d{{4}})_SCADA_({'|'.join(KINDS)})\.csv")


class NoSuchYearError(UnreadableError):
    """A folder does not hold the files of one year.

    Attributes:
        folder: The folder.
        years: The years that it holds, in order.
        year: The year that was asked for, None for whichever there is.
    """

    def __init__(self, folder: str, years: tuple[int, ...], year: int | None) -> None:
        super().__init__(folder, years, year)
        self.folder = folder
        self.years = years
        self.year = year

    def __str__(self) -> str:
        there = " and ".join(map(str, self.years))
        if self.year is None and self.years:
            return f"{self.folder} holds the years {there}; say which with --year"
        wanted = "YYYY" if self.year is None else str(self.year)
        held = f"; it holds {there}" if there else ""
        return f"{self.folder} holds no {wanted}_SCADA_Pressures.csv{held}"


@dataclass(frozen=True, slots=True)
class OfficialFile:
    """A file of a year, and what its columns are.

    Attributes:
        path: The file.
        tag_map: A tag for each column, such as `n54.pressure` for `n54`.
    """

    path: Path
    tag_map: TagMap


def official_files(folder: Path, year: int | None, time_zone: str) -> tuple[OfficialFile, ...]:
    """Return the files of one year with their tag maps, pressures first.

    Args:
        folder: Where they were downloaded to.
        year: Which year; None where the folder holds one only.
        time_zone: Zone of their times: IANA name or fixed offset.

    Raises:
        NoSuchYearError: The folder holds no pressures of that year, or None could mean several.
        FileUnreadableError: A file's first line cannot be read.
        TagMapRefusedError: The zone is none.
    """
    names = [_NAME.fullmatch(path.name) for path in folder.glob("*_SCADA_*.csv")]
    there = {(int(name[1]), name[2]): folder / name[0] for name in names if name}
    years = tuple(sorted({found for found, kind in there if kind == "Pressures"}))
    chosen = years[0] if year is None and len(years) == 1 else year
    if chosen is None or chosen not in years:
        raise NoSuchYearError(str(folder), years, year)
    paths = [(kind, there[chosen, kind]) for kind in KINDS if (chosen, kind) in there]
    return tuple(OfficialFile(path, _tag_map(path, kind, time_zone)) for kind, path in paths)


def _tag_map(path: Path, kind: str, time_zone: str) -> TagMap:
    quantity, unit = KINDS[kind]
    meant = parse_unit(unit, quantity)
    tags = [
        Tag(f"{name}.{quantity}", name, quantity, meant, column=name) for name in _columns(path)
    ]
    return make_tag_map(str(path), tags, time_zone)


def _columns(path: Path) -> list[str]:
    """Return the names behind the time; whether they can be names is asked when the file is read.

    A name that stands twice is one tag here, and refused there.
    """
    header = next(read_blocks(path), None)
    text = "" if header is None else header.content.decode("utf-8").rstrip("\n")
    names = [name.strip() for name in split_line(text, ";" if ";" in text else ",")[1:]]
    return list(dict.fromkeys(name for name in names if name))
