"""Tag maps: what is read, which asset is meant, and every refusal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from twin.assets import Asset
from twin.ids import AssetRef
from twin.readings import PrivacyClass, Quantity, Series
from twin.tags import (
    MAX_BYTES,
    Intake,
    TagMap,
    TagMapRefusedError,
    TagMapUnreadableError,
    make_tag_map,
    open_intake,
    parse_tag_map,
    read_tag_map,
)
from twin.units import to_stored

OpenIntake = Callable[..., Intake]
Assets = dict[AssetRef, Asset]

GOOD = "tag: a, asset: n1, quantity: pressure, unit: m"


def parsed(text: str) -> TagMap:
    return parse_tag_map(text.encode(), "tags.yaml")


def one(entry: str) -> str:
    return f"tags:\n  - {{{entry}}}\n"


def test_numbers_offsets_and_switch_words_stay_the_text_that_was_written(
    intake_of: OpenIntake,
) -> None:
    intake = intake_of(
        "time_zone: +10:00\ntags:\n  - {tag: on, asset: 10, quantity: pressure, unit: m}\n"
        "  - {tag: 1e3, asset: 10, quantity: flow, unit: L/s}\n"
    )
    assert intake.time_zone == "+10:00"
    assert [series.tag for series in intake.series] == ["on", "1e3"]


@pytest.mark.parametrize(
    ("quantity", "unit", "asset", "meant"),
    [
        ("pressure", "m", "10", "node:10"),
        ("flow", "L/s", "10", "link:10"),
        ("flow", "L/s", "R1", "node:R1"),
        ("level", "m", "T1", "node:T1"),
        ("demand", "L/h", "n1", "node:n1"),
        ("demand", "L/h", "user:n1", "user:n1"),
        ("volume", "m3", "n1", "user:n1"),
        ("status", "1", "10", "link:10"),
        ("temperature", "degC", "10", "node:10"),
    ],
)
def test_a_bare_id_is_looked_up_where_its_quantity_belongs(
    quantity: str, unit: str, asset: str, meant: str, intake_of: OpenIntake
) -> None:
    entry = f"tag: a, asset: '{asset}', quantity: {quantity}, unit: {unit}"
    assert intake_of(one(entry)).series[0].asset == meant


def test_a_raw_value_is_scaled_and_shifted_before_its_unit_is_converted(
    intake_of: OpenIntake,
) -> None:
    entry = "tag: a, asset: n1, quantity: pressure, unit: bar, scale: 0.625, offset: -2.5"
    intake = intake_of(one(entry))
    stored = intake.stored(np.array([4.0, 20.0]), np.zeros(2, dtype=np.int32))  # a 4–20 mA loop
    assert stored.tolist() == [0.0, to_stored(10.0, "bar", Quantity.PRESSURE)]


def test_a_concentration_keeps_its_substance_and_its_sampling_point(intake_of: OpenIntake) -> None:
    entry = (
        "tag: a, asset: R1, quantity: concentration, unit: ug/L, class: public, "
        "parameter: free_chlorine, sampling_point: plant_outlet"
    )
    assert intake_of(one(entry)).series == (
        Series(
            network="net",
            tag="a",
            asset="node:R1",
            quantity=Quantity.CONCENTRATION,
            unit="g/m3",
            source="csv",
            privacy=PrivacyClass.PUBLIC,
            parameter="free_chlorine",
            sampling_point="plant_outlet",
        ),
    )


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (GOOD + ", colour: red", r"entry 1 \(tag a\): unknown key 'colour'; known: tag, asset"),
        ("tag: a, asset: n1, quantity: pressure", r"entry 1 \(tag a\): key unit is missing"),
        ("asset: n1, quantity: pressure, unit: m", "entry 1: key tag is missing"),
        (GOOD.replace("pressure", "colour"), r"\(tag a\): key quantity: 'colour' is unknown"),
        (GOOD.replace("unit: m", "unit: L/s"), r"key unit: unit 'L/s' \(a unit of flow or demand"),
        (GOOD + ", scale: 0", "key scale: 0 would erase every value"),
        (GOOD + ", scale: '1,5'", "key scale: '1,5' is no finite number"),
        (GOOD + ", offset: 1e999", "key offset: '1e999' is no finite number"),
        (GOOD + ", offset: [1]", "key offset: write one line of text"),
        (GOOD + f", parameter: {'x' * 300}", "key parameter: write one line of text, at most 256"),
        (GOOD + ", parameter: lead", "key parameter: only a concentration has one"),
        (GOOD + ", class: secret", "key class: 'secret' is unknown; write public or alliance"),
        (GOOD + ", class: personal", "personal series are refused until they can be kept private"),
        (GOOD.replace("n1", "n9"), "tag a: key asset: asset 'n9': no such asset in this network"),
        (GOOD.replace("n1", "link:10"), "asset 'link:10': a pressure is of a node or user"),
        (
            "tag: a, asset: n1, quantity: flow, unit: L/s",
            "node:n1 is a junction; a flow is of a link, or of a source.*is its demand",
        ),
        (
            "tag: a, asset: n1, quantity: level, unit: m",
            "node:n1 is a junction; a level is of a tank",
        ),
        (
            "tag: a, asset: R1, quantity: concentration, unit: mg/L, parameter: lead",
            "key sampling_point is missing: a concentration names it",
        ),
    ],
)
def test_an_entry_that_cannot_be_is_refused_by_its_place_and_key(
    entry: str, said: str, intake_of: OpenIntake
) -> None:
    with pytest.raises(TagMapRefusedError, match=said) as refused:
        intake_of(one(entry))
    assert refused.value.exit_code == 1
    assert "nothing was recorded" in str(refused.value)


def test_every_fault_is_found_and_the_first_five_are_spelled_out() -> None:
    bad = "\n".join(f"  - {{tag: t{i}, asset: n1, quantity: mood, unit: m}}" for i in range(7))
    with pytest.raises(TagMapRefusedError, match="and 2 more") as refused:
        parsed(f"tags:\n{bad}\n")
    assert len(refused.value.findings) == 7


def test_a_tag_that_stands_twice_is_refused() -> None:
    with pytest.raises(TagMapRefusedError, match="tag a: stands in two entries"):
        parsed(f"tags:\n  - {{{GOOD}}}\n  - {{{GOOD}}}\n")


@pytest.mark.parametrize(
    ("zone", "accepted"),
    [
        ("+02:00", True),
        ("-03:30", True),
        ("Asia/Nicosia", True),
        ("UTC", True),
        ("+2", False),
        ("+02:60", False),
        ("+25:00", False),
        ("Mars/Olympus", False),
        ("../../etc/passwd", False),
        ("''", False),
    ],
)
def test_a_time_zone_is_an_iana_name_or_an_offset(zone: str, *, accepted: bool) -> None:
    text = f"time_zone: {zone}\n{one(GOOD)}"
    if accepted:
        assert parsed(text).time_zone == zone
    else:
        with pytest.raises(TagMapRefusedError, match=r"key time_zone: .* is no zone"):
            parsed(text)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "write a list of tags under `tags:`"),
        (b"- a\n- b\n", "write a list of tags under `tags:`"),
        (b"tags: 3\n", "write a list of tags under `tags:`"),
        (b"tags: []\n", "write a list of tags under `tags:`"),
        (b"tags: [\n", "no YAML that can be read"),
        (b"\xff\xfe", "not UTF-8"),
        (b"zone: x\ntags: [{}]\n", "unknown key 'zone'"),
        (b"tags: [{tag: a, tag: b}]\n", "line 1: key 'tag' is no text, or stands twice"),
        (b"tags: [{tag: &x a, asset: *x}]\n", "without nesting or aliases"),
        (b"[" * 100_000, "without nesting or aliases"),
        (b"tags: [" + b"#" * MAX_BYTES, "longer than"),
        (b"tags: [" + b"3," * 30_000 + b"3]", "at most 20000 are read"),
    ],
    ids=lambda value: repr(value[:24]),
)
def test_what_is_no_tag_map_cannot_be_read(content: bytes, said: str) -> None:
    with pytest.raises(TagMapUnreadableError, match=said) as unreadable:
        parse_tag_map(content, "tags.yaml")
    assert unreadable.value.exit_code == 2
    assert str(unreadable.value).startswith("tag map tags.yaml: ")


def test_a_tag_map_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TagMapUnreadableError, match=r"tags\.yaml: No such file"):
        read_tag_map(tmp_path / "tags.yaml")


def test_an_object_tag_makes_no_object() -> None:
    with pytest.raises(TagMapUnreadableError):
        parsed("!!python/object/apply:os.system ['true']")


def test_a_recorded_tag_keeps_its_series_whichever_door_came_first(assets: Assets) -> None:
    tag_map = parsed(one(GOOD))
    first = open_intake(tag_map, "net", assets, source="opcua").series
    later = open_intake(tag_map, "net", assets, source="csv", recorded=first)
    assert later.series == first


def test_a_recorded_tag_cannot_come_to_mean_something_else(assets: Assets) -> None:
    tag_map = parsed(one(GOOD))
    [series] = open_intake(tag_map, "net", assets, source="csv").series
    moved = replace(series, asset="node:n4")
    with pytest.raises(TagMapRefusedError, match=r"is recorded as pressure at node:n4.*a new tag"):
        open_intake(tag_map, "net", assets, source="csv", recorded=[moved])


def test_the_same_tag_of_another_network_is_another_series(assets: Assets) -> None:
    tag_map = parsed(one(GOOD))
    [series] = open_intake(tag_map, "net", assets, source="csv").series
    other = replace(series, network="other", asset="node:n4")
    assert open_intake(tag_map, "net", assets, source="csv", recorded=[other]).series == (series,)


def test_two_tags_of_one_column_are_refused() -> None:
    text = one(f"{GOOD}, column: c") + "  - {tag: c, asset: n1, quantity: demand, unit: L/h}\n"
    with pytest.raises(TagMapRefusedError, match="tag c: reads column 'c', as tag a does"):
        parsed(text)


def test_a_map_made_for_a_file_is_judged_as_one_that_was_written() -> None:
    tags = parsed(one(GOOD)).tags
    assert make_tag_map("f.csv", tags, "+02:00").tags == tags
    with pytest.raises(TagMapRefusedError, match="'Mars' is no zone"):
        make_tag_map("f.csv", tags, "Mars")
