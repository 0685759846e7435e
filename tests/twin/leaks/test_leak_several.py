"""A run that asks whether one leak is enough: two real leaks, in the event, the files, the book."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from api.cli import run as cli
from hydraulics.epanet.scenario import PipeLeak
from hydraulics.leaks.settings import EmptyWindowError
from ledger.journal import Ledger
from twin.instants import format_instant, parse_instant
from twin.leaks.artefacts import (
    Residuals,
    RunDetail,
    candidates_of,
    load_detail,
    several_csv,
    several_of,
)
from twin.leaks.book import BookError, confirm, load_book, repair
from twin.leaks.losses import Range
from twin.leaks.placed import placed_document, placed_leaks, several_placed
from twin.leaks.records import (
    LEVELS,
    Candidate,
    LeakRun,
    OneOfSeveral,
    Several,
    from_event,
    load_runs,
    to_event,
)
from twin.leaks.runs import compute_leak, run_leak
from twin.leaks.several import several_document
from twin.leaks.windows import DAY_NS, Window

NOON_NS = parse_instant("2018-01-01T12:00:00+02:00")
CURRENT = Window(NOON_NS, NOON_NS + DAY_NS // 2)
NODES = tuple(f"J{row}{column}" for row in range(3) for column in range(3))
LEAKS = (
    PipeLeak("H01", 0.5, 0.010, 43_200),
    PipeLeak("V10", 0.5, 0.008, 43_200),
)
Between = Callable[[str, str], Window]
Clock = Callable[[], int]


def now() -> int:
    return CURRENT.to_ns + DAY_NS


@pytest.fixture(scope="module")
def two(leaking_from_noon: Callable[..., Path]) -> Path:
    """A home in which two pipes leak below a sensor at each junction, with a run over the leaks."""
    home = leaking_from_noon(LEAKS, NODES)
    with Ledger.open_writer(home / "ledger", home / "keys", now, wait_s=0.0) as ledger:
        run_leak(ledger, "block", CURRENT, clock=now)
    return home


@pytest.fixture
def run(two: Path) -> LeakRun:
    (found,) = load_runs(Ledger.open_reader(two / "ledger"), "block")
    return found


@pytest.fixture
def opened(two: Path, tmp_path: Path) -> Iterator[Ledger]:
    """A copy of the home, to write to."""
    shutil.copytree(two, tmp_path, dirs_exist_ok=True)
    with Ledger.open_writer(tmp_path / "ledger", tmp_path / "keys", now, wait_s=0.0) as ledger:
        yield ledger


def test_a_recorded_run_holds_both_leaks_each_with_its_zone_and_its_outflow(
    two: Path, run: LeakRun
) -> None:
    several = run.several
    assert several is not None
    assert sum(several.number) == pytest.approx(1.0)
    assert several.is_more_than_one
    detail = load_detail(Ledger.open_reader(two / "ledger"), run)
    zones = [{pipe.pipe_id for pipe in zone} for zone in detail.several]
    assert len(zones) == 2
    assert all(any(leak.pipe_id in zone for zone in zones) for leak in LEAKS)
    for one, zone in zip(several.leaks, detail.several, strict=True):
        assert one.pipe_id in {pipe.pipe_id for pipe in zone}
        assert one.zone_sizes["95"] == len(zone)
        assert one.zone_length_m["95"] == pytest.approx(sum(pipe.length_m for pipe in zone))
    assert sum(one.flow_m3s for one in several.leaks) == pytest.approx(0.018, rel=0.3)


def test_the_files_of_a_run_with_two_leaks_say_which_each_line_is_of(
    two: Path, run: LeakRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home, out = ["--home", str(two)], tmp_path / "out"
    window = ["--from", format_instant(CURRENT.from_ns), "--to", format_instant(CURRENT.to_ns)]
    asked = [*home, "leak", "run", "--network", "block", *window, "--json", "--out", str(out)]
    assert cli(asked) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["run_id"] == run.run_id
    assert document["leak_is_evident"]
    zones = {
        (leak["leak"], pipe) for leak in document["leaks"] for pipe in leak["zones"][LEVELS[-1]]
    }
    assert {number for number, _ in zones} == {1, 2}
    for name in ("candidates.csv", "walk.csv"):
        rows = list(csv.DictReader((out / name).open(newline="")))
        assert {(int(row["leak"]), row["pipe_id"]) for row in rows} == zones
    drawn = json.loads((out / "zone.geojson").read_text())["features"]
    found = [one["properties"] for one in drawn]
    assert {(one["leak"], one["pipe_id"]) for one in found} == zones
    assert run.several is not None
    digest = hashlib.sha256((out / "candidates.csv").read_bytes()).hexdigest()
    assert digest == run.several.sha256
    one_leak = candidates_of((out / "one-leak.csv").read_bytes())
    assert [one.pipe_id for one in one_leak[: len(run.candidates)]] == [
        one.pipe_id for one in run.candidates
    ]
    assert cli([*home, "leak", "runs", "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)["runs"]
    assert [one["pipe_id"] for one in listed["several"]] == [
        one.pipe_id for one in run.several.leaks
    ]
    assert cli([*home, "leak", "runs"]) == 0
    assert "2 leaks, 90 % zones: " in capsys.readouterr().out


def test_a_run_that_looks_for_one_leak_holds_no_answer_to_the_other_question(two: Path) -> None:
    record = Ledger.open_reader(two / "ledger")
    computed = compute_leak(record, "block", CURRENT, clock=now, most_leaks=1)
    assert computed.run.several is None
    assert len(computed.files) == 3


def test_a_run_without_that_answer_is_null_in_json(
    a_run: Callable[..., LeakRun], window: Between, some_residuals: Residuals
) -> None:
    run = a_run("leak-1", window("01-08T00:00", "01-09T00:00"))
    document = several_document(RunDetail(run, run.candidates, some_residuals))
    assert set(document.values()) == {None}


def test_a_run_whose_several_leaks_have_no_state_keeps_its_own_answer(
    two: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise EmptyWindowError

    monkeypatch.setattr("twin.leaks.several.localize_several", fails)
    record = Ledger.open_reader(two / "ledger")
    found = compute_leak(record, "block", CURRENT, clock=now, seed=2).run
    assert found.several is None
    assert found.inputs.most_leaks == 4
    assert found.candidates


def test_both_leaks_of_a_run_are_confirmed_and_repaired_each_by_its_pipe(
    opened: Ledger, run: LeakRun
) -> None:
    assert run.several is not None
    pipes = [leak.pipe_id for leak in LEAKS]
    first, second = (confirm(opened, run.run_id, pipe, now, by="crew 4") for pipe in pipes)
    assert [first.key, second.key] == [one.key for one in load_book(opened)]
    flows = {one.flow_m3s for one in (first, second)}
    assert len(flows) == 2  # each has its own, not that of the one best pipe
    with pytest.raises(BookError, match="already confirmed, on pipe H01 and V10"):
        confirm(opened, run.run_id, "H00", now)
    with pytest.raises(BookError, match="say which: --pipe PIPE"):
        repair(opened, run.run_id, now(), now)
    repaired = repair(opened, run.run_id, now(), now, pipe_text=pipes[1])
    assert repaired.pipe_id == pipes[1]
    assert [one.repaired_ns is None for one in load_book(opened)] == [True, False]
    assert repair(opened, run.run_id, now(), now).pipe_id == pipes[0]  # the only one that runs


def test_a_pipe_is_confirmed_once_whatever_else_the_run_found(opened: Ledger, run: LeakRun) -> None:
    confirm(opened, run.run_id, "H01", now)
    with pytest.raises(BookError, match="already confirmed, on pipe H01"):
        confirm(opened, run.run_id, "H01", now)


def a_several(n_leaks: int, n_pipes: int) -> tuple[Several, list[list[Candidate]]]:
    zones = [
        [Candidate(f"LINK-{i}", 0.95 / n_pipes, 0.5, 0.002, 100.0) for i in range(n_pipes)]
        for _ in range(n_leaks)
    ]
    one = OneOfSeveral(
        "LINK-0",
        0.95 / n_pipes,
        0.5,
        0.002,
        0.001,
        0.003,
        dict.fromkeys(LEVELS, n_pipes),
        dict.fromkeys(LEVELS, 100.0 * n_pipes),
    )
    return Several((0.1, 0.9), (one,) * n_leaks, "a" * 64), zones


def test_four_leaks_of_any_zone_make_an_event_less_than_two_kilobytes_longer(
    a_run: Callable[..., LeakRun], window: Between
) -> None:
    run = a_run("leak-1", window("01-08T00:00", "01-09T00:00"))
    several, _ = a_several(4, 10_000)
    short, long = (
        len(json.dumps(to_event(one).body)) for one in (run, replace(run, several=several))
    )
    assert long - short < 2_000


def test_a_run_with_several_leaks_is_read_back_as_it_was(
    journal: Ledger, a_run: Callable[..., LeakRun], window: Between
) -> None:
    run = a_run("leak-1", window("01-08T00:00", "01-09T00:00"))
    several, _ = a_several(3, 4)
    run = replace(run, several=several)
    (ref,) = journal.record([to_event(run)])
    assert from_event(journal.event_at(ref)) == run


def test_the_table_of_zones_reads_back_exactly() -> None:
    several, zones = a_several(2, 3)
    content = several_csv(several_placed(several.leaks, zones))
    assert [list(zone) for zone in several_of(content, 2)] == zones
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    assert [row["leak"] for row in rows] == ["1"] * 3 + ["2"] * 3
    assert {row["zone"] for row in rows} == {LEVELS[0]}


def test_the_map_of_a_run_has_each_leak_with_its_zone_its_place_and_what_it_loses(
    two: Path, run: LeakRun
) -> None:
    record = Ledger.open_reader(two / "ledger")
    drawn = json.loads(record.file(run.map_sha256))
    detail = load_detail(record, run)
    assert drawn["crs"] == "LOCAL"
    assert run.several is not None
    assert drawn["number_of_leaks"] == list(run.several.number)
    features = [one["properties"] for one in drawn["features"]]
    pipes = [one for one in features if "zone" in one]
    assert [(one["leak"], one["pipe_id"]) for one in pipes] == [
        (number, pipe.pipe_id) for number, zone in enumerate(detail.several, 1) for pipe in zone
    ]
    assert [one["probability"] for one in pipes] == [
        pipe.probability for zone in detail.several for pipe in zone
    ]
    assert {one["zone"] for one in pipes} <= set(LEVELS)
    places = [one for one in features if one.get("is") == "most probable place"]
    assert [(one["leak"], one["pipe_id"]) for one in places] == [
        (number, leak.pipe_id) for number, leak in enumerate(run.several.leaks, 1)
    ]
    for one in places:
        assert one["flow_low_m3s"] < one["flow_m3s"] < one["flow_high_m3s"]


def test_readings_that_no_single_leak_explains_ask_for_leaks_where_two_are_evident(
    a_run: Callable[..., LeakRun], window: Between
) -> None:
    run = replace(a_run("leak-1", window("01-08T00:00", "01-09T00:00")), evidence_ratio=-2.0)
    several, _ = a_several(2, 4)
    assert not run.is_leak_evident
    assert not replace(run, several=several).is_leak_evident  # 90 % for two is not strong
    assert replace(run, several=replace(several, number=(0.01, 0.99))).is_leak_evident


def test_the_leaks_to_search_for_are_several_only_where_that_is_evident(
    a_run: Callable[..., LeakRun], window: Between
) -> None:
    run = a_run("leak-1", window("01-08T00:00", "01-09T00:00"))
    several, zones = a_several(2, 4)
    (weak,) = placed_leaks(replace(run, several=several), run.candidates, zones)
    assert [weak.zone(level) for level in LEVELS] == [run.zones[level] for level in LEVELS]
    assert (weak.number, weak.pipes) == (1, run.candidates)
    strong = replace(run, several=replace(several, number=(0.01, 0.99)))
    placed = placed_leaks(strong, run.candidates, zones)
    assert [(one.number, list(one.pipes)) for one in placed] == list(enumerate(zones, 1))
    assert placed[0].flow_m3s == Range(0.001, 0.002, 0.003)
    for leak in (weak, *placed):
        document = placed_document(leak)
        assert json.loads(json.dumps(document)) == document
        assert [one["pipe_id"] for one in document["candidates"]] == [  # type: ignore[index, union-attr]
            one.pipe_id for one in leak.pipes
        ]


def test_a_pipe_beyond_the_widest_zone_is_in_none(
    a_run: Callable[..., LeakRun], window: Between
) -> None:
    run = a_run("leak-1", window("01-08T00:00", "01-09T00:00"), ("H00", "V00", "H01", "V01", "V02"))
    (leak,) = placed_leaks(replace(run, zones=dict.fromkeys(LEVELS, ("H00",))), run.candidates, ())
    assert [leak.smallest_zone(rank) for rank in (1, 2)] == [LEVELS[0], None]
    assert [one.pipe_id for one in leak.widest] == ["H00"]
