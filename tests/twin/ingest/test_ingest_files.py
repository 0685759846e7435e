"""Files of readings: both layouts, every fault of a row, and every fault of a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twin.ingest import text_blocks
from twin.ingest.delimited import FileChangedError, read_delimited
from twin.ingest.deliveries import N_EXAMPLES, Delivery, FileRefusedError, FileUnreadableError
from twin.instants import parse_instant
from twin.readings import Origin, Status, quality_code
from twin.tags import Intake

OpenIntake = Callable[..., Intake]
Write = Callable[..., Path]

BAR_M = 100_000 / 9806.65
BATTLEDIM = """\
Timestamp;n1;n4
2018-01-01 00:00:00;29,25;3,5
2018-01-01 00:05:00;29,2;-0,5
"""
T0 = parse_instant("2018-01-01T00:00:00+02:00")
STEP = 300 * 10**9

Row = tuple[str, int, float, int]


def rows_of(deliveries: list[Delivery]) -> list[Row]:
    """Return readings as (tag, seconds after T0, value, quality)."""
    found: list[Row] = []
    for delivery in deliveries:
        batch = delivery.batch
        tags = [batch.series[i].tag for i in batch.series_index.tolist()]
        seconds = ((batch.time_ns - T0) // 10**9).tolist()
        found += zip(tags, seconds, batch.value.tolist(), batch.quality.tolist(), strict=True)
    return found


def faults_of(deliveries: list[Delivery]) -> dict[str, int]:
    total: dict[str, int] = {}
    for delivery in deliveries:
        for code, n in delivery.rejected.counts.items():
            total[code] = total.get(code, 0) + n
    return total


def said(deliveries: list[Delivery]) -> str:
    return "\n".join(sorted(f.message for d in deliveries for f in d.rejected.examples))


def test_battledims_own_format_is_read(write: Write, intake_of: OpenIntake) -> None:
    read = list(read_delimited(write(BATTLEDIM), intake_of()))
    assert rows_of(read) == [
        ("n1", 0, 29.25, 0),
        ("n4", 0, pytest.approx(3.5 * BAR_M), 0),
        ("n1", 300, 29.2, 0),
        ("n4", 300, pytest.approx(-0.5 * BAR_M), 0),
    ]
    assert [delivery.line.tolist() for delivery in read] == [[2, 2, 3, 3]]


@pytest.mark.parametrize(
    "text",
    [
        "time,n1,n4\n2017-12-31T22:00:00Z,29.25,3.5\n",
        "TIME,n4,n1\n2018-01-01 00:00,3.5,29.25\n",
        "time;n1;n4\n2018-01-01 00:00:00;29.25;3.5\n",
        "time;n1;n4\n2018-01-01 00:00:00;29,25;3,5",
        "\ufefftime,n1,n4\r\n2018-01-01 00:00:00,2.925e1,3.50\r\n",
        'Timestamp,"n1","n4"\n"2018-01-01 00:00:00","29.25","3.5"\n',
        '"time";"n1";"n4"\n2018-01-01 00:00:00; 29,25 ;+3,5\n\n\n',
        "time,tag,value\n2018-01-01 00:00:00,n1,29.25\n2018-01-01 00:00:00,n4,3.5\n",
        "time;tag;value\n2018-01-01 00:00:00;n1;29,25\n2018-01-01 00:00:00;n4;3,5\n",
        "time,tag,value,quality\n2018-01-01 00:00:00,n1,29.25,good\n2018-01-01 00:00,n4,3.5,GOOD\n",
    ],
)
def test_every_spelling_of_the_same_readings_is_the_same_readings(
    text: str, write: Write, intake_of: OpenIntake
) -> None:
    read = list(read_delimited(write(text), intake_of()))
    assert sorted(rows_of(read)) == [("n1", 0, 29.25, 0), ("n4", 0, 3.5 * BAR_M, 0)]
    assert not faults_of(read)


values = st.floats(-1e6, 1e6).map(lambda value: f"{value!r}")
cells = values | st.sampled_from(["", "NaN", "bad", "inf"])


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None
)
@given(st.lists(st.tuples(cells, cells), max_size=6), st.sampled_from([",", ";"]))
def test_wide_and_long_say_the_same(
    write: Write, intake_of: OpenIntake, table: list[tuple[str, str]], separator: str
) -> None:
    wide, long = ["time,n1,n4"], ["time,tag,value"]
    for minute, (first, second) in enumerate(table):
        at = f"2018-01-01 00:{minute:02d}:00"
        wide.append(f"{at},{first},{second}")
        long += [f"{at},n1,{first}", f"{at},n4,{second}"]
    texts = ["\n".join(lines).replace(",", separator) + "\n" for lines in (wide, long)]
    one, other = [list(read_delimited(write(text), intake_of())) for text in texts]
    assert rows_of(one) == rows_of(other)
    assert faults_of(one) == faults_of(other)
    assert sum(d.n_gaps for d in one) == sum(d.n_gaps for d in other)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None
)
@given(st.lists(values, min_size=1, max_size=8), st.sampled_from([",", ";"]))
def test_a_number_is_the_same_double_whether_or_not_its_neighbour_can_be_read(
    write: Write, intake_of: OpenIntake, numbers: list[str], separator: str
) -> None:
    lines = [f"2018-01-01 00:0{i}:00;{number};1.0" for i, number in enumerate(numbers)]
    text = "\n".join(["time;n1;n4", *lines, "2018-01-01 00:09:00;2.0;1.0"]).replace(";", separator)
    clean = rows_of(list(read_delimited(write(text), intake_of())))
    broken = rows_of(list(read_delimited(write(text[:-7] + "x" + text[-4:]), intake_of())))
    assert [row for row in clean if row[:2] != ("n1", 540)] == broken
    assert [value for tag, _, value, _ in clean if tag == "n1"][:-1] == [float(n) for n in numbers]


def test_small_blocks_read_as_one_would(
    write: Write, intake_of: OpenIntake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [f"2018-01-01 00:{i:02d}:00,{i}.5,{'x' if i == 7 else i}" for i in range(60)]
    path = write(
        "time,n1,n4\n" + "\n".join([*lines[:30], "", "2018-01-01 01:00:00,1", *lines[30:]])
    )
    whole = list(read_delimited(path, intake_of()))
    monkeypatch.setattr(text_blocks, "BLOCK_BYTES", 100)
    parts = list(read_delimited(path, intake_of()))
    assert len(whole) == 1 < len(parts)
    assert rows_of(parts) == rows_of(whole)
    assert said(parts) == said(whole)
    assert np.concatenate([d.line for d in parts]).tolist() == whole[0].line.tolist()
    assert "line 9, n4: 'x' is no number" in said(parts)
    assert "line 33 has 2 fields, the header 3" in said(parts)


# Faults of a row: listed, counted, and the rest is read.


def one_row(cell: str, write: Write, intake_of: OpenIntake) -> list[Delivery]:
    text = f"time,n1,n4\n2018-01-01 00:00:00,1,1\n2018-01-01 00:05:00,{cell},2\n"
    return list(read_delimited(write(text), intake_of()))


@pytest.mark.parametrize("cell", ["", "NaN", "nan", "null", "N/A", " "])
def test_an_empty_value_is_a_gap_and_no_fault(
    cell: str, write: Write, intake_of: OpenIntake
) -> None:
    read = one_row(cell, write, intake_of)
    assert (len(rows_of(read)), read[0].n_gaps, faults_of(read)) == (3, 1, {})


@pytest.mark.parametrize("cell", ["abc", "1_000", "0x10", "1.2.3", "1d5", "--1", "True", "١"])
def test_what_is_no_number_is_rejected_with_its_line_tag_and_text(
    cell: str, write: Write, intake_of: OpenIntake
) -> None:
    read = one_row(cell, write, intake_of)
    assert faults_of(read) == {"value-unreadable": 1}
    assert said(read) == f"line 3, n1: {cell!r} is no number; correct it, or leave it empty"
    assert len(rows_of(read)) == 3


@pytest.mark.parametrize("cell", ["inf", "-Infinity", "1e999"])
def test_an_infinite_value_is_rejected(cell: str, write: Write, intake_of: OpenIntake) -> None:
    read = one_row(cell, write, intake_of)
    assert faults_of(read) == {"value-infinite": 1}
    assert len(rows_of(read)) == 3


@pytest.mark.parametrize(
    ("time", "code", "words"),
    [
        ("soon", "time-unreadable", "line 3: 'soon' is no time; write it like"),
        ("2018-10-28 03:30:00", "time-ambiguous", "happens twice in Asia/Nicosia"),
        ("2018-03-25 03:30:00", "time-skipped", "never happens in Asia/Nicosia"),
        ("1960-01-01 00:00:00", "time-out-of-range", "outside of 1970 to 2262"),
    ],
)
def test_a_time_that_cannot_be_used_rejects_the_values_of_its_row(
    time: str, code: str, words: str, write: Write, intake_of: OpenIntake
) -> None:
    text = f"time,n1,n4\n2018-01-01 00:00:00,1,2\n{time},1,2\n2018-01-01 00:05:00,1,2\n"
    tags = (
        "time_zone: Asia/Nicosia\ntags:\n"
        "  - {tag: n1, asset: n1, quantity: pressure, unit: m}\n"
        "  - {tag: n4, asset: n4, quantity: pressure, unit: bar}\n"
    )
    read = list(read_delimited(write(text), intake_of(tags)))
    assert faults_of(read) == {code: 2}
    assert words in said(read)
    assert len(rows_of(read)) == 4


def test_rows_may_come_in_any_order(write: Write, intake_of: OpenIntake) -> None:
    text = "time,n1,n4\n2018-01-01 00:05:00,2,2\n2018-01-01 00:00:00,1,1\n"
    read = list(read_delimited(write(text), intake_of()))
    assert [seconds for _, seconds, _, _ in rows_of(read)] == [300, 300, 0, 0]


def test_a_last_row_that_was_cut_off_is_rejected_alone(write: Write, intake_of: OpenIntake) -> None:
    read = list(read_delimited(write(BATTLEDIM + "2018-01-01 00:10:00;29"), intake_of()))
    assert faults_of(read) == {"ragged-row": 1}
    assert said(read) == "line 4 has 2 fields, the header 3; complete the row"
    assert len(rows_of(read)) == 4


def test_a_quality_stays_with_its_value(write: Write, intake_of: OpenIntake) -> None:
    words = ["good", "uncertain", "bad", "", "Bad/Substituted", "dubious"]
    lines = [f"2018-01-01 00:0{i}:00,n1,{i},{word}" for i, word in enumerate(words)]
    text = "time,tag,value,quality\n" + "\n".join(lines) + "\n"
    read = list(read_delimited(write(text), intake_of()))
    assert [quality for _, _, _, quality in rows_of(read)] == [
        quality_code(Status.GOOD),
        quality_code(Status.UNCERTAIN),
        quality_code(Status.BAD),
        quality_code(Status.UNCERTAIN),  # the file gives qualities, and none for this one
        quality_code(Status.BAD, Origin.SUBSTITUTED),
    ]
    assert said(read) == "line 7, n1: the quality is none of good, uncertain and bad; correct it"


def test_every_fault_is_counted_and_the_first_of_each_kind_are_spelled_out(
    write: Write, intake_of: OpenIntake
) -> None:
    lines = [f"2018-01-01 {i // 60:02d}:{i % 60:02d}:00,x,inf" for i in range(100)]
    [read] = read_delimited(write("time,n1,n4\n" + "\n".join(lines)), intake_of())
    assert read.rejected.counts == {"value-unreadable": 100, "value-infinite": 100}
    assert len(read.rejected.examples) == 2 * N_EXAMPLES


# Faults of a file: all of it is refused.


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        ("n1,n4\n1,2\n", "line 1 begins with 'n1,n4'; the first column must be `time`"),
        ("time\n2018-01-01 00:00:00\n", "a comma or semicolon must follow it"),
        ("time\tn1\tn4\n", "a comma or semicolon must follow it"),
        ("time,n1,n1,n4\n", "line 1: column 3 is 'n1' again; name every column once"),
        ("time,n1,n4,\n", "line 1: column 4 has no name"),
        ("time,n1,n4\n2018-01-01 00:00:00,1,5,2,5\n", "1 of 1 rows do not have the 3 fields"),
        ("time,n1,n4\n01/02/2018 00:00,1,2\n", "1 of 1 times cannot be read, the first on line 2"),
        ("time;n1;n4\n2018-01-01 00:00:00;1.5;2,5\n", "line 2 has a decimal point and line 2 a"),
        ("time;tag;value\n2018-01-01 00:00;n1;1.5\n2018-01-01 00:00;n4;2,5\n", "and line 3 a deci"),
        ('time,n1,n4\n2018-01-01 00:00:00,"1,2\n', "line 2 has a quote that does not end on it"),
        (b"time,n1,n4\n2018-01-01 00:00:00,1,\xff\n", "line 2 is not UTF-8; save it as UTF-8"),
        (b"\xff\xfet\x00i\x00m\x00e\x00", "is UTF-16; save it as UTF-8"),
        (b"time,n1,n4\n2018-01-01 00:00:00,1,\x00\n", "line 2 has a zero byte"),
        (b"time,n1,n4\r2018-01-01 00:00:00,1,2\r", "line 1 has a carriage return within it"),
        (b"time,n1,n4\n" + b"1" * 9_000_000, "line 2 is longer than 4194304 bytes"),
    ],
    ids=lambda value: repr(value[:40]),
)
def test_what_is_no_file_of_readings_cannot_be_read(
    content: str | bytes, words: str, write: Write, intake_of: OpenIntake
) -> None:
    path = write(content)
    with pytest.raises(FileUnreadableError) as unreadable:
        read_delimited(path, intake_of())
    assert words in str(unreadable.value)
    assert str(unreadable.value).startswith(str(path))
    assert str(unreadable.value).endswith("; nothing was recorded")
    assert unreadable.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "time,n1,n4,n9\n",
            "line 1: unknown tags 'n9'; add them to the tag map, drop them, or say ",
        ),
        ("time,n1\n", "line 1: no column for 'n4' of the tag map"),
        ("time,n1,n9\n", "unknown tags 'n9'.*no column for 'n4'"),
        ("time,tag,value\n2018-01-01 00:00,n1,1\n2018-01-01 00:00,n9,1\n", "line 3: unknown tags"),
        ("time,tag,value\n2018-01-01 00:00,n9,1\n", "drop their rows, or say --only-mapped"),
    ],
)
def test_tags_that_are_not_those_of_the_map_refuse_the_file(
    text: str, words: str, write: Write, intake_of: OpenIntake
) -> None:
    with pytest.raises(FileRefusedError, match=words) as refused:
        read_delimited(write(text), intake_of())
    assert refused.value.exit_code == 1


@pytest.mark.parametrize(
    ("text", "unmapped"),
    [
        ("time,n1,n4\n{0},29.25,3.5\n", []),
        ("time,n9,n1,note,n4\n{0},7,29.25,pump off,3.5\n", ["n9", "note"]),
        ("time,n4,n1,state\n{0},3.5,29.25,inf\n{0},,,on\n", ["state"]),
        ("time,n1,q,n4,q,\n{0},29.25,good,3.5,good,\n", ["q", "q", "column 6"]),
        ("time;day;n1;n4\n{0};01.01.2018;29,25;3,5\n", ["day"]),
        (
            "time,tag,value\n{0},n9,on\n{0},n1,29.25\nno time,n9,1\n{0},n4,3.5\n{0},n8,\n",
            ["n9", "n8"],
        ),
        ("time;tag;value\n{0};n1;29,25\n{0};n9;1.5\n{0};n4;3,5\n", ["n9"]),
    ],
)
def test_what_is_not_in_the_map_may_be_passed_over_whatever_it_holds(
    text: str, unmapped: list[str], write: Write, intake_of: OpenIntake
) -> None:
    told: list[str] = []
    path = write(text.format("2018-01-01 00:00:00"))
    read = list(read_delimited(path, intake_of(), on_unmapped=told.extend))
    assert told == unmapped
    assert sorted(rows_of(read)) == [("n1", 0, 29.25, 0), ("n4", 0, pytest.approx(3.5 * BAR_M), 0)]
    assert faults_of(read) == {}
    assert sum(delivery.n_gaps for delivery in read) == (2 if "{0},,," in text else 0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("time,n1,n9\n", "line 1: no column for 'n4' of the tag map"),
        ("time,n1,n4,n9,n4\n", "line 1: column 5 is 'n4' again"),
        ("time;n1;n4;n9\n2018-01-01 00:00;1.5;2,5;3\n", "line 2 has a decimal point and line 2 a"),
    ],
)
def test_what_is_in_the_map_must_be_right_also_where_the_rest_is_passed_over(
    text: str, words: str, write: Write, intake_of: OpenIntake
) -> None:
    with pytest.raises((FileRefusedError, FileUnreadableError), match=words):
        read_delimited(write(text), intake_of(), on_unmapped=lambda _: None)


@pytest.mark.parametrize("layout", ["time,n1,n4\n{0},1,2\n{1},1,2\n", "time,tag,value\n{1},n1,1\n"])
def test_times_without_an_offset_are_refused_where_the_map_names_no_zone(
    layout: str, write: Write, intake_of: OpenIntake
) -> None:
    tags = (
        "tags:\n  - {tag: n1, asset: n1, quantity: pressure, unit: m}\n"
        "  - {tag: n4, asset: n4, quantity: pressure, unit: m}\n"
    )
    text = layout.format("2018-01-01T00:00:00Z", "2018-01-01 00:05:00")
    with pytest.raises(FileUnreadableError, match=r"'2018-01-01 00:05:00' has no offset; write"):
        read_delimited(write(text), intake_of(tags))


def test_a_file_that_is_not_there_or_none_is_named(tmp_path: Path, intake_of: OpenIntake) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, words in (
        (tmp_path / "no.csv", "No such file"),
        (tmp_path, "is no file that can be read twice"),
        (pipe, "is no file that can be read twice"),
    ):
        with pytest.raises(FileUnreadableError, match=words):
            read_delimited(path, intake_of())


def test_a_file_that_changes_between_the_passes_is_left_at_the_change(
    write: Write, intake_of: OpenIntake
) -> None:
    path = write(BATTLEDIM)
    deliveries = read_delimited(path, intake_of())
    path.write_text(BATTLEDIM.replace("29,2;", "29,3;"))
    with pytest.raises(FileChangedError, match="changed while it was read"):
        list(deliveries)


def test_lines_that_come_in_meanwhile_wait_for_the_next_time(
    write: Write, intake_of: OpenIntake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_blocks, "BLOCK_BYTES", 40)
    path = write(BATTLEDIM)
    deliveries = read_delimited(path, intake_of())
    with path.open("a") as file:
        file.write("2018-01-01 00:10:00;1,5;2,5\n" * 3)
    assert len(rows_of(list(deliveries))) == 4


def test_progress_reaches_the_end_of_both_passes(write: Write, intake_of: OpenIntake) -> None:
    told: list[tuple[str, int, int]] = []
    list(read_delimited(write(BATTLEDIM), intake_of(), lambda *step: told.append(step)))
    size = len(BATTLEDIM)
    assert told[-1] == ("reading readings.csv", size, size)
    assert ("checking readings.csv", size, size) in told


def test_a_header_without_rows_holds_nothing(write: Write, intake_of: OpenIntake) -> None:
    assert rows_of(list(read_delimited(write("time,n1,n4\n"), intake_of()))) == []


RENAMED = """
time_zone: +02:00
tags:
  - {tag: n1.pressure, column: n1, asset: n1, quantity: pressure, unit: m}
  - {tag: n4, asset: n4, quantity: demand, unit: L/h}
"""


@pytest.mark.parametrize(
    "text",
    [
        "time,n4,n1\n2018-01-01 00:00:00,3600000,29.25\n",
        "time,tag,value\n2018-01-01 00:00:00,n4,3600000\n2018-01-01 00:00:00,n1,29.25\n",
    ],
)
def test_a_column_may_have_another_name_than_its_tag(
    write: Write, intake_of: OpenIntake, text: str
) -> None:
    read = list(read_delimited(write(text), intake_of(RENAMED)))
    assert rows_of(read) == [("n4", 0, 1.0, 0), ("n1.pressure", 0, 29.25, 0)]


def test_the_tag_is_no_name_of_a_column_that_has_another(
    write: Write, intake_of: OpenIntake
) -> None:
    with pytest.raises(FileRefusedError, match=r"unknown tags 'n1\.pressure'.*no column for 'n1'"):
        read_delimited(write("time,n1.pressure,n4\n2018-01-01 00:00:00,1,2\n"), intake_of(RENAMED))
