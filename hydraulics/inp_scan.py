"""What is wrong with an EPANET file, seen before any library reads it.

WNTR lets duplicate ids, NaN elevations and truncated files through, and stops at the first fault
that it does see. This scan reads text only, finds every fault, and says line, section and id.

Source:
    EPANET 2.2 user manual, appendix C.2, "Input file format".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from hydraulics.inp_rows import InpRows, Row, split_rows
from hydraulics.inp_text import Fault, InpText, decode_inp

MAX_FAULTS = 200
MAX_ID = 31

NODE_SECTIONS = ("JUNCTIONS", "RESERVOIRS", "TANKS")
LINK_SECTIONS = ("PIPES", "PUMPS", "VALVES")
FLOW_UNITS = frozenset({"CFS", "GPM", "MGD", "IMGD", "AFD", "LPS", "LPM", "MLD", "CMH", "CMD"})
VALVE_TYPES = frozenset({"PRV", "PSV", "PBV", "FCV", "TCV", "GPV"})
_CONTROL_VALVES = frozenset({"PRV", "PSV", "FCV"})
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?")
_CONTROL = re.compile(
    r"(?:LINK|PIPE|PUMP|VALVE) (?P<link>\S+) \S+ (?:"
    r"IF (?:NODE|JUNCTION|TANK|RESERVOIR) (?P<node>\S+) (?:ABOVE|BELOW) \S+"
    r"|AT (?:TIME|CLOCKTIME) \S+(?: \S+)?)",
    re.IGNORECASE,
)
_TIMES = frozenset(
    {
        "DURATION",
        "HYDRAULIC",
        "QUALITY",
        "RULE",
        "PATTERN",
        "REPORT",
        "START",
        "STATISTIC",
    }
)


@dataclass(frozen=True, slots=True)
class Scan:
    """What a scan found.

    Attributes:
        text: The file's text with a line feed between lines, empty where it is no text.
        encoding: How its bytes were read.
        faults: Everything found, in order of the file; at most `MAX_FAULTS`.
        n_left_out: How many faults more there are.
        located: Ids of the nodes that have coordinates.
    """

    text: str
    encoding: str
    faults: tuple[Fault, ...]
    n_left_out: int = 0
    located: frozenset[str] = frozenset()

    @property
    def is_usable(self) -> bool:
        """Whether nothing fatal was found."""
        return not any(fault.is_fatal for fault in self.faults)


def scan_inp(content: bytes) -> Scan:
    """Find everything wrong with the bytes of an EPANET file; never raises."""
    decoded = decode_inp(content)
    if isinstance(decoded, Fault):
        return Scan("", "", (decoded,))
    if not decoded.text.strip():
        return Scan("", decoded.encoding, (Fault("empty", "the file is empty"),))
    file = split_rows(decoded)
    faults = [*file.faults]
    for check in _CHECKS:
        faults += check(file)
    faults += _truncated(file, decoded)
    # Fatal ones first in line when there are too many to list.
    listed = sorted(faults, key=lambda fault: not fault.is_fatal)[:MAX_FAULTS]
    listed.sort(key=lambda fault: (fault.line or 0, fault.code))
    located = frozenset(file.ids("COORDINATES"))
    return Scan(decoded.text, decoded.encoding, tuple(listed), len(faults) - len(listed), located)


# --- what each section must hold ------------------------------------------------------------------

_Values = Mapping[int, str]
_FEWEST: Mapping[str, int] = {
    "JUNCTIONS": 2,
    "RESERVOIRS": 2,
    "TANKS": 6,
    "PIPES": 6,
    "PUMPS": 5,
    "VALVES": 6,
    "PATTERNS": 2,
    "CURVES": 3,
    "DEMANDS": 2,
    "EMITTERS": 2,
    "STATUS": 2,
    "COORDINATES": 3,
    "VERTICES": 3,
    "QUALITY": 2,
    "OPTIONS": 2,
}
_MOST: Mapping[str, int] = {"PIPES": 8, "VALVES": 7, "TANKS": 9}
_NUMBERS: Mapping[str, _Values] = {
    "JUNCTIONS": {1: "elevation", 2: "demand"},
    "RESERVOIRS": {1: "head"},
    "TANKS": {
        1: "elevation",
        2: "initial level",
        3: "minimum level",
        4: "maximum level",
        5: "diameter",
        6: "minimum volume",
    },
    "PIPES": {3: "length", 4: "diameter", 5: "roughness", 6: "minor loss"},
    "VALVES": {3: "diameter", 6: "minor loss"},
    "CURVES": {1: "x", 2: "y"},
    "DEMANDS": {1: "demand"},
    "EMITTERS": {1: "coefficient"},
    "COORDINATES": {1: "x", 2: "y"},
    "VERTICES": {1: "x", 2: "y"},
    "QUALITY": {1: "initial quality"},
}
_ABOVE_ZERO: Mapping[str, _Values] = {
    "PIPES": {3: "length", 4: "diameter", 5: "roughness"},
    "VALVES": {3: "diameter"},
}
_STATUSES = frozenset({"OPEN", "CLOSED", "CV"})


def _rows_have_their_values(file: InpRows) -> Iterator[Fault]:
    for section, fewest in _FEWEST.items():
        most = _MOST.get(section)
        for row in file.of(section):
            if len(row.values) < fewest:
                n = len(row.values)
                yield row.fault("missing-value", f"has {n} values where at least {fewest} are due")
            elif most is not None and len(row.values) > most:
                n = len(row.values)
                yield row.fault("extra-value", f"has {n} values where at most {most} are due")


def _numbers_are_numbers(file: InpRows) -> Iterator[Fault]:
    for section, names in _NUMBERS.items():
        above_zero = _ABOVE_ZERO.get(section, {})
        for row in file.of(section):
            for place, name in names.items():
                if place < len(row.values):
                    yield from _number_faults(row, place, name, is_above_zero=place in above_zero)
    for row in file.of("PATTERNS"):
        for place in range(1, len(row.values)):
            yield from _number_faults(row, place, "multiplier", is_above_zero=False)


def _number_faults(row: Row, place: int, name: str, *, is_above_zero: bool) -> Iterator[Fault]:
    text = row.values[place]
    if _NUMBER.fullmatch(text) is None:
        hint = "; write a point for a decimal comma" if "," in text else ""
        yield row.fault("not-a-number", f"{name} {text[:40]!r} is not a finite number{hint}")
    elif abs(float(text)) == float("inf"):
        yield row.fault("not-a-number", f"{name} {text[:40]!r} is too large for a number")
    elif is_above_zero and not float(text) > 0:
        yield row.fault(f"{name}-not-above-zero", f"{name} is {text}; it must be above zero")


def _ids_are_their_own(file: InpRows) -> Iterator[Fault]:
    for what, sections in (("node", NODE_SECTIONS), ("link", LINK_SECTIONS)):
        first: dict[str, Row] = {}
        for row in file.of(*sections):
            name = row.values[0]
            if len(name.encode()) > MAX_ID:
                yield row.fault("long-id", f"the id is longer than EPANET's {MAX_ID} bytes")
            earlier = first.setdefault(name, row)
            if earlier is not row:
                place = f"line {earlier.line} [{earlier.section}]"
                message = f"{what} {name!r} stands already at {place}; give one another id"
                yield row.fault("duplicate-id", message)


def _links_join_two_nodes(file: InpRows) -> Iterator[Fault]:
    nodes = file.ids(*NODE_SECTIONS)
    joined: set[str] = set()
    for row in file.of(*LINK_SECTIONS):
        ends = row.values[1:3]
        joined.update(ends)
        for end in ends:
            if end not in nodes:
                yield row.fault("unknown-node", f"joins node {end!r}, which the file does not hold")
        if len(ends) == len({"start", "end"}) and ends[0] == ends[1]:
            yield row.fault("link-to-itself", f"joins node {ends[0]!r} to itself")
    for row in file.of(*NODE_SECTIONS):
        if row.values[0] not in joined:
            yield row.fault("unconnected-node", "no link joins it; EPANET cannot run it")


def _names_are_known(file: InpRows) -> Iterator[Fault]:
    nodes, links = file.ids(*NODE_SECTIONS), file.ids(*LINK_SECTIONS)
    for sections, known, what in (
        (("DEMANDS", "EMITTERS", "QUALITY", "SOURCES", "MIXING", "COORDINATES"), nodes, "node"),
        (("STATUS", "VERTICES"), links, "link"),
    ):
        for row in file.of(*sections):
            if row.values[0] not in known:
                message = f"names {what} {row.values[0]!r}, which the file does not hold"
                yield row.fault(f"unknown-{what}", message)
    for row in file.of("CONTROLS"):
        yield from _control_faults(row, nodes, links)


def _control_faults(row: Row, nodes: set[str], links: set[str]) -> Iterator[Fault]:
    match = _CONTROL.fullmatch(" ".join(row.values))
    if match is None:
        yield row.fault("control", "is no control; write LINK id status IF NODE …, or AT …")
        return
    link, node = match["link"], match["node"]
    if link not in links:
        yield row.fault("unknown-link", f"steers link {link!r}, which the file does not hold")
    if node is not None and node not in nodes:
        yield row.fault("unknown-node", f"watches node {node!r}, which the file does not hold")


def _times_are_known(file: InpRows) -> Iterator[Fault]:
    for row in file.of("TIMES"):
        if row.values[0].upper() not in _TIMES:
            yield row.fault("unknown-time", f"{row.values[0][:40]!r} is no keyword of [TIMES]")


def _patterns_and_curves_are_known(file: InpRows) -> Iterator[Fault]:
    patterns, curves = file.ids("PATTERNS"), file.ids("CURVES")
    for row, name in _pattern_uses(file):
        if name not in patterns:
            yield row.fault(
                "unknown-pattern", f"follows pattern {name!r}, which is not in the file"
            )
    for row, name in _curve_uses(file):
        if name not in curves:
            yield row.fault("unknown-curve", f"follows curve {name!r}, which the file lacks")


def _default_pattern_is_known(file: InpRows) -> Iterator[Fault]:
    for row in file.of("OPTIONS"):
        if row.values[0].upper() != "PATTERN" or len(row.values) == 1:
            continue
        # EPANET takes pattern 1 where none is named, and no pattern where the named one is missing.
        if row.values[1] != "1" and row.values[1] not in file.ids("PATTERNS"):
            message = (
                f"names pattern {row.values[1]!r}, which is not in the file: demands without a "
                "pattern of their own are constant"
            )
            yield row.fault("no-default-pattern", message, is_fatal=False)


def _pattern_uses(file: InpRows) -> Iterator[tuple[Row, str]]:
    for section, place in (("JUNCTIONS", 3), ("RESERVOIRS", 2), ("DEMANDS", 2)):
        for row in file.of(section):
            if place < len(row.values):
                yield row, row.values[place]
    yield from _pump_uses(file, "PATTERN")


def _curve_uses(file: InpRows) -> Iterator[tuple[Row, str]]:
    volume_curve, valve_type, setting = 7, 4, 5
    for row in file.of("TANKS"):
        if len(row.values) > volume_curve and row.values[volume_curve] != "*":
            yield row, row.values[volume_curve]
    for row in file.of("VALVES"):
        if len(row.values) > setting and row.values[valve_type].upper() == "GPV":
            yield row, row.values[setting]
    yield from _pump_uses(file, "HEAD")


def _pump_uses(file: InpRows, keyword: str) -> Iterator[tuple[Row, str]]:
    for row in file.of("PUMPS"):
        for place in range(3, len(row.values) - 1, 2):
            if row.values[place].upper() == keyword:
                yield row, row.values[place + 1]


def _pumps_can_pump(file: InpRows) -> Iterator[Fault]:
    keywords = {"HEAD", "POWER", "SPEED", "PATTERN"}
    for row in file.of("PUMPS"):
        given = [word.upper() for word in row.values[3::2]]
        if unknown := [word for word in given if word not in keywords]:
            yield row.fault(
                "pump-keyword", f"{unknown[0][:40]!r} is not HEAD, POWER, SPEED, PATTERN"
            )
        elif not {"HEAD", "POWER"} & set(given):
            yield row.fault("pump-without-curve", "has neither HEAD nor POWER")
        elif len(row.values) % 2 == 0:
            yield row.fault("missing-value", f"{given[-1]} has no value")
        for place in range(4, len(row.values), 2):
            if row.values[place - 1].upper() in {"POWER", "SPEED"}:
                name = row.values[place - 1].lower()
                yield from _number_faults(row, place, name, is_above_zero=False)


def _valves_have_a_type(file: InpRows) -> Iterator[Fault]:
    valve_type, setting = 4, 5
    for row in file.of("VALVES"):
        if len(row.values) <= setting:
            continue
        kind = row.values[valve_type].upper()
        if kind not in VALVE_TYPES:
            yield row.fault("valve-type", f"{kind[:40]!r} is not one of {sorted(VALVE_TYPES)}")
        elif kind != "GPV":
            yield from _number_faults(row, setting, "setting", is_above_zero=False)


def _valves_stand_off_tanks(file: InpRows) -> Iterator[Fault]:
    """Find valves that EPANET refuses for their place (its error 219)."""
    fixed = file.ids("RESERVOIRS", "TANKS")
    valve_type = 4
    for row in file.of("VALVES"):
        if len(row.values) <= valve_type or row.values[valve_type].upper() not in _CONTROL_VALVES:
            continue
        for end in row.values[1:3]:
            if end in fixed:
                kind = row.values[valve_type].upper()
                message = f"a {kind} cannot join {end!r}, a tank or reservoir; put a pipe between"
                yield row.fault("valve-at-tank", message)


def _pipes_have_a_status(file: InpRows) -> Iterator[Fault]:
    status = 7
    for row in file.of("PIPES"):
        if len(row.values) > status and row.values[status].upper() not in _STATUSES:
            yield row.fault("pipe-status", f"{row.values[status][:40]!r} is not Open, Closed or CV")


def _tanks_have_room(file: InpRows) -> Iterator[Fault]:
    for row in file.of("TANKS"):
        numbers = row.values[2:6]
        if len(row.values) < _FEWEST["TANKS"] or not all(map(_NUMBER.fullmatch, numbers)):
            continue
        initial, lowest, highest, diameter = map(float, numbers)
        if not lowest <= initial <= highest:
            message = f"initial level {initial} is not within {lowest}..{highest}"
            yield row.fault("tank-levels", message)
        if diameter < 0:
            yield row.fault("diameter-not-above-zero", f"diameter is {diameter}")


def _units_are_said(file: InpRows) -> Iterator[Fault]:
    said = [row for row in file.of("OPTIONS") if row.values[0].upper() == "UNITS"]
    if not said and file.rows:
        message = f"no UNITS: write one of {', '.join(sorted(FLOW_UNITS))}"
        yield Fault("no-units", message, section="OPTIONS")
    for row in said:
        if len(row.values) > 1 and row.values[1].upper() not in FLOW_UNITS:
            names = ", ".join(sorted(FLOW_UNITS))
            yield row.fault("unknown-units", f"{row.values[1][:40]!r} is none of {names}")


def _no_file_is_named(file: InpRows) -> Iterator[Fault]:
    """Find lines that would make EPANET read or write another file of this computer."""
    message = "would make EPANET open another file of this computer; take the line out"
    for row in file.of("OPTIONS"):
        if row.values[0].upper() == "HYDRAULICS":
            yield row.fault("foreign-file", message)
    for row in file.of("REPORT"):
        if row.values[0].upper() == "FILE":
            yield row.fault("foreign-file", message)


def _network_is_whole(file: InpRows) -> Iterator[Fault]:
    n_nodes = sum(1 for _ in file.of(*NODE_SECTIONS))
    n_links = sum(1 for _ in file.of(*LINK_SECTIONS))
    if n_nodes == 0:
        yield Fault("no-nodes", "the file holds no junctions, reservoirs or tanks")
    elif not any(file.of("RESERVOIRS", "TANKS")):
        yield Fault("no-source", "no reservoir or tank: nothing can feed the network")
    if n_nodes and n_links == 0:
        yield Fault("no-links", "the file holds no pipes, pumps or valves")


def _nodes_are_located(file: InpRows) -> Iterator[Fault]:
    located = file.ids("COORDINATES")
    missing = [row for row in file.of(*NODE_SECTIONS) if row.values[0] not in located]
    if missing:
        names = ", ".join(row.values[0] for row in missing[:5])
        more = f" and {len(missing) - 5} more" if len(missing) > len(missing[:5]) else ""
        message = f"no coordinates for {_count(len(missing), 'node')}: {names}{more}"
        yield Fault("no-coordinates", message, is_fatal=False, section="COORDINATES")
    seen: set[str] = set()
    for row in file.of("COORDINATES"):
        if row.values[0] in seen:
            yield row.fault(
                "second-coordinates", "is placed twice; the last counts", is_fatal=False
            )
        seen.add(row.values[0])


def _truncated(file: InpRows, text: InpText) -> Iterator[Fault]:
    """Tell a file that was cut from one that merely lacks its [END]."""
    if file.has_end:
        return
    n_nodes = len(file.ids(*NODE_SECTIONS))
    n_located = len(file.ids("COORDINATES") & file.ids(*NODE_SECTIONS))
    advice = "if it is whole, close it with a line [END]"
    reason = None
    if not text.text.endswith("\n"):
        reason = "the file ends within a line and without [END]"
    elif "OPTIONS" not in file.rows:
        reason = "the file ends without [OPTIONS] and [END]"
    elif file.last_section == "COORDINATES" and n_located < n_nodes:
        reason = "the file ends within [COORDINATES] and without [END]"
    place = (file.last_line, file.last_section)
    if reason is not None:
        message = f"{reason}, so it may have been cut; {advice}"
        yield Fault("truncated", message, True, *place)
    else:
        yield Fault("no-end", "the file does not close with [END]", False, *place)


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


_CHECKS: tuple[Callable[[InpRows], Iterable[Fault]], ...] = (
    _rows_have_their_values,
    _numbers_are_numbers,
    _ids_are_their_own,
    _links_join_two_nodes,
    _names_are_known,
    _times_are_known,
    _patterns_and_curves_are_known,
    _default_pattern_is_known,
    _pumps_can_pump,
    _valves_have_a_type,
    _valves_stand_off_tanks,
    _pipes_have_a_status,
    _tanks_have_room,
    _units_are_said,
    _no_file_is_named,
    _network_is_whole,
    _nodes_are_located,
)
