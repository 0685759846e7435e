"""Every fault of an EPANET file is found, with its place, before a library reads the file."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hydraulics.inp_rows import SECTIONS
from hydraulics.inp_scan import MAX_FAULTS, Scan, scan_inp
from hydraulics.inp_text import MAX_BYTES, Fault

NETWORKS = Path(__file__).parents[2] / "data" / "networks"
NET3 = (NETWORKS / "net3" / "network.inp").read_text()


def fatal(content: bytes | str) -> list[Fault]:
    scan = scan_inp(content.encode() if isinstance(content, str) else content)
    return [fault for fault in scan.faults if fault.is_fatal]


def after(section: str, line: str) -> str:
    """Net3 with a line more, the first of a section."""
    return NET3.replace(f"[{section}]\n", f"[{section}]\n{line}\n", 1)


def changed(old: str, new: str) -> str:
    """Net3 with the first match of a pattern replaced."""
    text, n = re.subn(old, new, NET3, count=1, flags=re.MULTILINE)
    assert n == 1, old
    return text


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


@pytest.mark.parametrize("name", ["ltown", "net3", "cycle"])
def test_the_networks_that_come_along_have_no_fault(name: str) -> None:
    assert scan_inp((NETWORKS / name / "network.inp").read_bytes()).faults == ()


BROKEN: dict[str, tuple[str, str, str | None, str | None]] = {
    # what is wrong: text, code, section, subject
    "a junction twice": (after("JUNCTIONS", " 10 1 0 "), "duplicate-id", "JUNCTIONS", "10"),
    "a tank named as a junction": (
        after("TANKS", " 10 1 1 0 2 9 0"),
        "duplicate-id",
        "TANKS",
        "10",
    ),
    "a pump named as a pipe": (
        after("PUMPS", " 20 10 15 HEAD 1"),
        "duplicate-id",
        "PUMPS",
        "20",
    ),
    "an elevation that is NaN": (
        changed(r"^ 10( +)\t147", r" 10\1\tNaN"),
        "not-a-number",
        "JUNCTIONS",
        "10",
    ),
    "an endless demand": (
        changed(r"^ 101( +\t42 +\t)189.95", r" 101\1inf"),
        "not-a-number",
        "JUNCTIONS",
        "101",
    ),
    "a number beyond all numbers": (
        changed(r"^ 10( +)\t147", r" 10\1\t1e999"),
        "not-a-number",
        "JUNCTIONS",
        "10",
    ),
    "a decimal comma": (
        changed(r"^ 35( +\t)12.5", r" 35\g<1>12,5"),
        "not-a-number",
        "JUNCTIONS",
        "35",
    ),
    "a pattern's multiplier in words": (
        after("PATTERNS", " 9 1.0 one"),
        "not-a-number",
        "PATTERNS",
        "9",
    ),
    "a junction without elevation": (after("JUNCTIONS", " N1"), "missing-value", "JUNCTIONS", "N1"),
    "a pipe without diameter": (
        after("PIPES", " X 10 15 100"),
        "missing-value",
        "PIPES",
        "X",
    ),
    "a pipe with too much": (
        after("PIPES", " X 10 15 100 8 130 0 Open 7"),
        "extra-value",
        "PIPES",
        "X",
    ),
    "a pipe of no length": (
        after("PIPES", " X 10 15 0 8 130 0 Open"),
        "length-not-above-zero",
        "PIPES",
        "X",
    ),
    "a pipe of negative diameter": (
        after("PIPES", " X 10 15 9 -8 130 0 Open"),
        "diameter-not-above-zero",
        "PIPES",
        "X",
    ),
    "a pipe without roughness": (
        after("PIPES", " X 10 15 9 8 0 0 Open"),
        "roughness-not-above-zero",
        "PIPES",
        "X",
    ),
    "a pipe of unknown status": (
        after("PIPES", " X 10 15 9 8 130 0 Ajar"),
        "pipe-status",
        "PIPES",
        "X",
    ),
    "a pipe into nowhere": (
        after("PIPES", " X 10 Nowhere 9 8 130 0 Open"),
        "unknown-node",
        "PIPES",
        "X",
    ),
    "a pipe to itself": (
        after("PIPES", " X 10 10 9 8 130 0 Open"),
        "link-to-itself",
        "PIPES",
        "X",
    ),
    "a node that nothing joins": (
        after("JUNCTIONS", " Alone 10 0"),
        "unconnected-node",
        "JUNCTIONS",
        "Alone",
    ),
    "an unknown demand pattern": (
        changed(r"^ 15( +\t32 +\t1 +\t)3 ", r" 15\1dusk "),
        "unknown-pattern",
        "JUNCTIONS",
        "15",
    ),
    "an unknown pump curve": (
        after("PUMPS", " X 10 15 HEAD steep"),
        "unknown-curve",
        "PUMPS",
        "X",
    ),
    "a pump that cannot pump": (
        after("PUMPS", " X 10 15 SPEED 1"),
        "pump-without-curve",
        "PUMPS",
        "X",
    ),
    "a pump keyword that is none": (
        after("PUMPS", " X 10 15 FORCE 1"),
        "pump-keyword",
        "PUMPS",
        "X",
    ),
    "a pump keyword without value": (
        after("PUMPS", " X 10 15 HEAD 1 SPEED"),
        "missing-value",
        "PUMPS",
        "X",
    ),
    "a valve of no type": (
        after("VALVES", " X 10 15 8 GATE 3 0"),
        "valve-type",
        "VALVES",
        "X",
    ),
    "a valve's setting in words": (
        after("VALVES", " X 10 15 8 PRV low 0"),
        "not-a-number",
        "VALVES",
        "X",
    ),
    "a general valve without its curve": (
        after("VALVES", " X 10 15 8 GPV steep 0"),
        "unknown-curve",
        "VALVES",
        "X",
    ),
    "a pressure valve at a tank": (
        after("VALVES", " X 1 10 8 PRV 3 0"),
        "valve-at-tank",
        "VALVES",
        "X",
    ),
    "a tank too full": (
        after("TANKS", " X 10 99 0 40 85 0"),
        "tank-levels",
        "TANKS",
        "X",
    ),
    "a demand at no node": (after("DEMANDS", " X 1"), "unknown-node", "DEMANDS", "X"),
    "coordinates of no node": (after("COORDINATES", " X 1 2"), "unknown-node", "COORDINATES", "X"),
    "coordinates that are NaN": (
        after("COORDINATES", " 10 nan 2"),
        "not-a-number",
        "COORDINATES",
        "10",
    ),
    "vertices of no link": (after("VERTICES", " X 1 2"), "unknown-link", "VERTICES", "X"),
    "a status of no link": (after("STATUS", " X Closed"), "unknown-link", "STATUS", "X"),
    "a control of no link": (
        after("CONTROLS", "LINK X OPEN AT TIME 1"),
        "unknown-link",
        "CONTROLS",
        "LINK",
    ),
    "a control that watches nothing": (
        after("CONTROLS", "LINK 10 OPEN IF NODE X BELOW 1"),
        "unknown-node",
        "CONTROLS",
        "LINK",
    ),
    "a control that is none": (after("CONTROLS", "OPEN SESAME"), "control", "CONTROLS", "OPEN"),
    "units that are none": (
        NET3.replace("\tGPM", "\tBUCKETS"),
        "unknown-units",
        "OPTIONS",
        "Units",
    ),
    "a hydraulics file to write": (
        after("OPTIONS", " Hydraulics SAVE /tmp/any"),
        "foreign-file",
        "OPTIONS",
        "Hydraulics",
    ),
    "a report file to write": (
        after("REPORT", " File /tmp/any"),
        "foreign-file",
        "REPORT",
        "File",
    ),
    "a control without its keyword": (
        after("CONTROLS", "LINK 10 OPEN XX NODE 1 BELOW 2"),
        "control",
        "CONTROLS",
        "LINK",
    ),
    "a time that is none": (after("TIMES", " Eternity 1:00"), "unknown-time", "TIMES", "Eternity"),
    "a section that is none": (
        NET3.replace("[TAGS]", "[TAXES]"),
        "unknown-section",
        "TAXES",
        None,
    ),
    "an id longer than EPANET's": (
        after("JUNCTIONS", f" {'n' * 32} 10 0"),
        "long-id",
        "JUNCTIONS",
        "n" * 32,
    ),
    "a line longer than EPANET's": (
        after("JUNCTIONS", " N1 10 0 ;" + "x" * 1020),
        "long-line",
        "JUNCTIONS",
        None,
    ),
    "data before any section": ("10 20 30\n" + NET3, "no-section", None, None),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_fault_is_found_with_its_line_section_and_id(what: str) -> None:
    text, code, section, subject = BROKEN[what]
    found = [fault for fault in fatal(text) if fault.code == code]
    assert [(fault.section, fault.subject) for fault in found] == [(section, subject)], what
    lines = text.split("\n")
    first_word = subject if subject is not None else section
    assert found[0].line is not None
    if first_word is not None and code != "long-line":
        assert first_word in lines[found[0].line - 1]


def test_a_duplicate_names_the_line_of_the_first() -> None:
    text = after("TANKS", " 10 1 1 0 2 9 0")
    [fault] = [fault for fault in fatal(text) if fault.code == "duplicate-id"]
    assert f"line {line_of(text, ' 10  ')} [JUNCTIONS]" in fault.message


def test_a_default_pattern_that_is_missing_is_noted_and_not_refused() -> None:
    # EPANET runs such a file with constant demands; foss_poly_1.inp, which EPyT ships, is one.
    scan = scan_inp(changed(r"^ Pattern( +\t)1", r" Pattern\1dusk").encode())
    assert [(f.code, f.section, f.is_fatal) for f in scan.faults if f.section == "OPTIONS"] == [
        ("no-default-pattern", "OPTIONS", False)
    ]
    assert scan.is_usable


def test_a_file_that_does_not_say_its_units_is_refused() -> None:
    # EPANET would take US gallons a minute.
    assert [fault.code for fault in fatal(NET3.replace(" Units ", ";"))] == ["no-units"]


def test_every_fault_is_listed_and_not_just_the_first() -> None:
    text = after("JUNCTIONS", " 10 1 0\n 15 x 0\n 20 1 0 dusk")
    codes = [fault.code for fault in fatal(text)]
    assert codes.count("duplicate-id") == 3
    assert {"not-a-number", "unknown-pattern"} <= set(codes)


def test_the_same_id_may_name_a_node_and_a_link() -> None:
    assert fatal(NET3) == []  # 72 ids of Net3 do


@pytest.mark.parametrize("content", [b"", b"   \r\n\t\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_called_empty(content: bytes) -> None:
    assert [fault.code for fault in fatal(content)] == ["empty"]


@pytest.mark.parametrize(
    "content", [b"\x89PNG\r\n\x1a\n\x00\x00", b"PK\x03\x04[JUNCTIONS]\n", b"\xff\xfe1"]
)
def test_a_binary_file_is_called_binary(content: bytes) -> None:
    assert [fault.code for fault in fatal(content)] == ["not-text"]


def test_a_file_too_large_is_refused_unread() -> None:
    assert [fault.code for fault in fatal(b" " * (MAX_BYTES + 1))] == ["too-large"]


def test_a_file_without_nodes_or_links_or_source_is_no_network() -> None:
    assert [f.code for f in fatal("[TITLE]\nnothing\n[OPTIONS]\nUnits LPS\n[END]\n")] == [
        "no-nodes"
    ]
    lonely = "[JUNCTIONS]\n a 1\n[OPTIONS]\n Units LPS\n[END]\n"
    assert {f.code for f in fatal(lonely)} == {"no-source", "no-links", "unconnected-node"}


@pytest.mark.parametrize(
    ("encoding", "read_as"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8-sig"),
        ("latin-1", "latin-1"),
        ("utf-16", "utf-16"),
        ("utf-16-be", "utf-16"),
    ],
)
def test_the_encoding_is_found_and_the_text_is_the_same(encoding: str, read_as: str) -> None:
    text = NET3.replace("EPANET Example", "Réseau d'eau de Genève")
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    scan = scan_inp(mark + text.encode(encoding))
    assert (scan.encoding, scan.faults, scan.text) == (read_as, (), text)


@pytest.mark.parametrize("ending", ["\r\n", "\r"])
def test_lines_may_end_as_on_any_system(ending: str) -> None:
    scan = scan_inp(NET3.replace("\n", ending).encode())
    assert scan.faults == ()
    assert scan.text == NET3


def test_the_dos_end_of_file_is_let_pass() -> None:
    assert scan_inp(NET3.encode() + b"\x1a").faults == ()


# --- files that were cut --------------------------------------------------------------------------

WHOLE = NET3[: NET3.index("[END]")]


def test_only_a_note_is_made_of_a_missing_end() -> None:
    scan = scan_inp(WHOLE.encode())
    assert [(fault.code, fault.is_fatal) for fault in scan.faults] == [("no-end", False)]


def test_what_stands_after_the_end_is_not_read() -> None:
    assert fatal(NET3 + "\n[NONSENSE]\n") == []


@pytest.mark.parametrize("share", [0.01, 0.1, 0.25, 0.5, 0.6, 0.7, 0.8, 0.9])
def test_a_file_cut_within_a_line_is_refused(share: float) -> None:
    cut = NET3[: int(len(NET3) * share)].rstrip("\n ") + " 1"
    assert "truncated" in {fault.code for fault in fatal(cut)}


def test_a_file_cut_after_any_line_up_to_its_last_coordinates_is_refused() -> None:
    lines = NET3.split("\n")
    last = next(i for i, line in enumerate(lines) if line.startswith("[VERTICES]")) - 2
    first_located = next(i for i, line in enumerate(lines) if line.startswith("[COORDINATES]")) + 2
    for n_lines in [*range(1, first_located - 20, 25), *range(first_located, last, 7)]:
        cut = "\n".join(lines[:n_lines]) + "\n"
        assert fatal(cut), f"cut after line {n_lines}: {lines[n_lines - 1]!r}"


def test_missing_coordinates_are_a_note() -> None:
    text = re.sub(r"^ ?10 +\t?9\.000.*\n", "", NET3, count=1, flags=re.MULTILINE)
    assert text != NET3
    scan = scan_inp(text.encode())
    assert [(fault.code, fault.is_fatal) for fault in scan.faults] == [("no-coordinates", False)]
    assert "10" not in scan.located
    assert "15" in scan.located


def test_more_faults_than_can_be_listed_are_counted() -> None:
    many = "".join(f" n{i} x 0\n" for i in range(500))
    scan = scan_inp(after("JUNCTIONS", many).encode())
    assert len(scan.faults) == MAX_FAULTS
    # Each is not a number and unconnected; that none has coordinates is one note.
    assert scan.n_left_out == 2 * 500 + 1 - MAX_FAULTS
    assert not scan.is_usable


# --- laws -----------------------------------------------------------------------------------------


def checked(content: bytes) -> Scan:
    scan = scan_inp(content)
    n_lines = scan.text.count("\n") + 1
    for fault in scan.faults:
        assert fault.message
        assert fault.line is None or not scan.text or 1 <= fault.line <= n_lines
    return scan


@given(st.binary(max_size=2000))
def test_no_bytes_make_the_scan_fail(content: bytes) -> None:
    checked(content)


_SECTION = st.sampled_from([*sorted(SECTIONS), "END", "X"])
_WORD = st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=12)
_LINE = st.one_of(_SECTION.map("[{}]".format), st.lists(_WORD, max_size=9).map(" ".join))


@given(st.lists(_LINE, max_size=30))
def test_no_lines_make_the_scan_fail(lines: list[str]) -> None:
    checked("\n".join(lines).encode("utf-8", "surrogatepass"))


MUTATIONS: tuple[Callable[[bytes, int, int, bytes], bytes], ...] = (
    lambda text, i, j, _: text[:i] + text[j:],
    lambda text, i, _, new: text[:i] + new + text[i:],
    lambda text, i, j, new: text[:i] + new + text[j:],
    lambda text, i, j, _: text[:i] + text[i:j] * 2 + text[j:],
)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_change_to_a_file_makes_the_scan_fail(data: st.DataObject) -> None:
    content = NET3.encode()
    i = data.draw(st.integers(0, len(content)))
    j = min(len(content), i + data.draw(st.integers(0, 400)))
    mutate = data.draw(st.sampled_from(MUTATIONS))
    checked(mutate(content, i, j, data.draw(st.binary(max_size=12))))
