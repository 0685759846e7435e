"""The lines of an EPANET file, sorted into sections.

Source:
    EPANET 2.2 user manual, appendix C.2, "Input file format".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from hydraulics.inp_text import Fault, InpText

MAX_LINE = 1023  # EPANET's buffer; the rest of a longer line would be read as another line

SECTIONS = frozenset(
    {
        "TITLE",
        "JUNCTIONS",
        "RESERVOIRS",
        "TANKS",
        "PIPES",
        "PUMPS",
        "VALVES",
        "EMITTERS",
        "CURVES",
        "PATTERNS",
        "ENERGY",
        "STATUS",
        "CONTROLS",
        "RULES",
        "DEMANDS",
        "QUALITY",
        "REACTIONS",
        "SOURCES",
        "MIXING",
        "TIMES",
        "REPORT",
        "OPTIONS",
        "COORDINATES",
        "VERTICES",
        "LABELS",
        "BACKDROP",
        "TAGS",
    }
)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of data.

    Attributes:
        line: Its number, counted from 1.
        section: Its section, in capitals.
        values: Its words, without the comment.
    """

    line: int
    section: str
    values: tuple[str, ...]

    def fault(self, code: str, message: str, *, is_fatal: bool = True) -> Fault:
        """Return a fault of this line, about its first word."""
        return Fault(code, message, is_fatal, self.line, self.section, self.values[0])


@dataclass(slots=True)
class InpRows:
    """The rows of a file by section, and what the lines themselves had wrong.

    Attributes:
        rows: The rows of each section that the file has.
        faults: Lines that belong nowhere.
        has_end: Whether [END] was reached; what follows it is not read.
        last_section: The section that the file ends in.
        last_line: Number of the last line that was read.
    """

    rows: dict[str, list[Row]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    has_end: bool = False
    last_section: str | None = None
    last_line: int = 0

    def of(self, *sections: str) -> Iterator[Row]:
        """Yield the rows of sections, in the order given."""
        for section in sections:
            yield from self.rows.get(section, [])

    def ids(self, *sections: str) -> set[str]:
        """Return the first words of the rows of sections."""
        return {row.values[0] for row in self.of(*sections)}


def split_rows(text: InpText) -> InpRows:
    """Return the rows of a text by section, up to its [END]."""
    file = InpRows()
    section: str | None = None
    for number, raw in enumerate(text.text.split("\n"), start=1):
        file.last_line = number
        line = raw.strip()
        if not line or line.startswith(";"):
            continue
        if line.startswith("["):
            section = _section_of(line, number, file)
            if section == "END":
                file.has_end = True
                break
            continue
        _take_line(line, number, section, file)
    return file


def _section_of(line: str, number: int, file: InpRows) -> str:
    name = line[1:].partition("]")[0].strip().upper()
    for spelled in (name, f"{name}S", name.removesuffix("S")):
        if spelled in SECTIONS or spelled == "END":
            file.last_section = spelled
            file.rows.setdefault(spelled, [])
            return spelled
    file.faults.append(
        Fault("unknown-section", f"no section is called [{name[:40]}]", line=number, section=name)
    )
    return "UNKNOWN"


def _take_line(line: str, number: int, section: str | None, file: InpRows) -> None:
    if len(line.encode()) > MAX_LINE:
        message = f"the line is longer than {MAX_LINE} bytes, where EPANET would cut it"
        file.faults.append(Fault("long-line", message, line=number, section=section))
        return
    if section is None:
        message = "data stands before the first [SECTION]; is this an EPANET file?"
        file.faults.append(Fault("no-section", message, line=number))
        return
    values = tuple(line.partition(";")[0].split())
    if values and section not in {"TITLE", "UNKNOWN"}:
        file.rows[section].append(Row(number, section, values))
