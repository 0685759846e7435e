"""A recorded run comes out the same from what the ledger holds, and a changed one does not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from api.cli import run as command
from hydraulics.epanet.scenario import PipeLeak
from ledger.journal import Ledger
from twin.errors import NotFoundError
from twin.events import EventKind, RecordRef
from twin.instants import NS_PER_S, parse_instant
from twin.leaks.book import confirm
from twin.leaks.gathering import TagLeftOut
from twin.leaks.past import RecordUntil
from twin.leaks.records import LeakRun, to_event
from twin.leaks.replay import Replay, SettingsGoneError, replay_run
from twin.leaks.runs import run_leak
from twin.leaks.windows import DAY_NS, Window
from twin.networks import ImportOptions, import_network
from twin.readings import Quantity, ReadingBatch, Series

NOON_NS = parse_instant("2018-01-01T12:00:00+02:00")
CURRENT = Window(NOON_NS, NOON_NS + DAY_NS // 2)
NODES = ("J00", "J02", "J11", "J20", "J22")
LATE_NS = CURRENT.from_ns + 60 * NS_PER_S


def now() -> int:
    return CURRENT.to_ns + DAY_NS


def untold(_step: str, _done: int, _total: int) -> None:
    """Tell nobody."""


def write(ledger: Ledger, asset: str, value: float) -> None:
    """Record one more reading inside the window of the run."""
    series = Series("block", asset, asset, Quantity.PRESSURE, "m", "test")
    batch = ReadingBatch(
        (series,),
        np.zeros(1, np.int32),
        np.array([LATE_NS]),
        np.array([value]),
        np.zeros(1, np.uint8),
    )
    ledger.append(batch)
    ledger.flush()


@pytest.fixture(scope="module")
def ran(leaking_from_noon: Callable[..., Path]) -> Path:
    """A home in which V11 leaks, with a run over the leak."""
    home = leaking_from_noon([PipeLeak("V11", 0.5, 0.012, 43_200)], NODES)
    with Ledger.open_writer(home / "ledger", home / "keys", now, wait_s=0.0) as ledger:
        run_leak(ledger, "block", CURRENT, clock=now)
    return home


@pytest.fixture
def opened(ran: Path, tmp_path: Path) -> Iterator[Ledger]:
    """A copy of the home, to write to."""
    shutil.copytree(ran, tmp_path, dirs_exist_ok=True)
    with Ledger.open_writer(tmp_path / "ledger", tmp_path / "keys", now, wait_s=0.0) as ledger:
        yield ledger


def only_run(record: Ledger) -> LeakRun:
    from twin.leaks.records import load_runs  # noqa: PLC0415

    return load_runs(record, "block")[0]


def replayed(record: Ledger) -> Replay:
    return replay_run(record, only_run(record).run_id, untold)


def test_a_recorded_run_comes_out_the_same_to_the_byte(ran: Path) -> None:
    found = replayed(Ledger.open_reader(ran / "ledger"))
    assert found.is_same
    assert found.is_to_the_byte
    assert found.largest_difference == 0.0
    assert found.other_versions == ()
    assert replace(found.again, evidence=found.recorded.evidence) == found.recorded


def test_what_the_ledger_was_told_since_changes_nothing(
    opened: Ledger, block_inp: str, tmp_path: Path
) -> None:
    write(opened, "node:J11", 99.0)  # late, and inside the window
    write(opened, "node:J12", 25.0)  # a sensor that was not there
    confirm(opened, only_run(opened).run_id, "V11", now)
    other = tmp_path / "block.inp"
    other.write_text(block_inp.replace("IN R1 N0 50 300 120", "IN R1 N0 50 300 60"))
    import_network(other, ImportOptions(time_zone="+02:00"), opened, now)
    found = replayed(opened)
    assert found.is_same
    assert found.is_to_the_byte


def test_a_run_from_before_heights_were_kept_read_what_stood_before_it(opened: Ledger) -> None:
    run = only_run(opened)
    old = replace(run, run_id="leak-old", inputs=replace(run.inputs, record_height=0))
    opened.record([to_event(old)])
    write(opened, "node:J11", 99.0)
    assert replay_run(opened, "leak-old", untold).is_same


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"zones": {"50": (), "80": (), "90": (), "95": ()}}, "zone 50 %"),
        ({"candidates": ()}, "candidates"),
        ({"flow_low_m3s": 0.1}, "flow_low_m3s"),
        ({"evidence_ratio": 1.0}, "evidence_ratio"),
        ({"several": None}, "several leaks"),
        ({"left_out": (TagLeftOut("P9", "node:J22", 3, "flat", is_whole=True),)}, "left out"),
    ],
)
def test_a_run_that_says_something_else_is_told_by_what_differs(
    opened: Ledger, changed: dict[str, object], name: str
) -> None:
    false = replace(only_run(opened), run_id="leak-false", **changed)
    opened.record([to_event(false)])
    found = replay_run(opened, "leak-false", untold)
    assert not found.is_same
    assert name in {one.name for one in found.differences}


@pytest.mark.parametrize(
    "changed", [{"readings_sha256": "0" * 64}, {"inp_sha256": "0" * 64}, {"n_readings": 1}]
)
def test_other_readings_or_another_network_are_told(
    opened: Ledger, changed: dict[str, object]
) -> None:
    run = only_run(opened)
    false = replace(run, run_id="leak-false", inputs=replace(run.inputs, **changed))
    opened.record([to_event(false)])
    found = replay_run(opened, "leak-false", untold)
    assert [one.name for one in found.differences] == list(changed)


def test_another_seed_or_setting_is_used_as_the_run_names_it(opened: Ledger) -> None:
    run = only_run(opened)
    settings = {**run.inputs.settings, "temper": 12.0}
    unsure = replace(run, run_id="leak-unsure", inputs=replace(run.inputs, settings=settings))
    opened.record([to_event(unsure)])
    found = replay_run(opened, "leak-unsure", untold)
    assert found.largest_difference > 1e-3
    assert not found.is_same


def test_versions_that_are_not_the_runs_are_named_and_no_difference(opened: Ledger) -> None:
    run = only_run(opened)
    versions = {**run.inputs.versions, "numpy": "1.0"}
    old = replace(run, run_id="leak-old", inputs=replace(run.inputs, versions=versions))
    opened.record([to_event(old)])
    found = replay_run(opened, "leak-old", untold)
    assert found.is_same
    ((name, then, _),) = found.other_versions
    assert (name, then) == ("numpy", "1.0")


def test_settings_that_nobody_knows_any_more_are_refused(opened: Ledger) -> None:
    run = only_run(opened)
    settings = {**run.inputs.settings, "n_draws": 3}
    old = replace(run, run_id="leak-old", inputs=replace(run.inputs, settings=settings))
    opened.record([to_event(old)])
    with pytest.raises(SettingsGoneError, match="n_draws"):
        replay_run(opened, "leak-old", untold)


def test_a_run_that_is_not_recorded_is_refused(ran: Path) -> None:
    with pytest.raises(NotFoundError, match="leak-none"):
        replay_run(Ledger.open_reader(ran / "ledger"), "leak-none", untold)


def test_the_command_leaves_with_0_where_it_is_the_same_and_with_1_where_it_is_not(
    opened: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = only_run(opened)
    opened.record([to_event(replace(run, run_id="leak-false", flow_low_m3s=0.1))])

    def said(run_id: str) -> tuple[int, dict[str, object]]:
        code = command(["--home", str(tmp_path), "leak", "replay", run_id, "--json"])
        return code, json.loads(capsys.readouterr().out)

    code, document = said(run.run_id)
    assert (code, document["same"], document["differences"]) == (0, True, [])
    code, document = said("leak-false")
    assert (code, document["same"]) == (1, False)
    assert command(["--home", str(tmp_path), "leak", "replay", run.run_id]) == 0
    assert f"{run.run_id} is reproduced, to the byte" in " ".join(capsys.readouterr().out.split())
    assert command(["--home", str(tmp_path), "leak", "replay", "leak-none"]) == 2


def test_the_first_blocks_of_a_record_are_all_that_is_seen(opened: Ledger) -> None:
    height = opened.height
    write(opened, "node:J12", 25.0)
    write(opened, "node:J11", 99.0)
    past = RecordUntil(opened, height)
    assert past.height == height
    assert "node:J12" not in {one.tag for one in past.series("block")}
    (series,) = [one for one in past.series("block") if one.tag == "node:J11"]
    assert LATE_NS not in past.column(series, CURRENT.from_ns, CURRENT.to_ns).time_ns
    assert past.last_time_ns(series) == opened.last_time_ns(series)
    unknown = replace(series, tag="node:J12", asset="node:J12")
    assert past.last_time_ns(unknown) is None
    assert opened.last_time_ns(unknown) == LATE_NS
    assert [one.height for one in past.blocks()] == list(range(height))
    assert {one.event.kind for one in past.events([EventKind.LEAK_RUN])} == {EventKind.LEAK_RUN}
    with pytest.raises(NotFoundError):
        past.event_at(RecordRef(height, 0))
    with pytest.raises(NotFoundError):
        past.file("0" * 64)


def test_the_record_as_it_is_now_does_not_grow(opened: Ledger) -> None:
    now_seen = RecordUntil(opened)
    height = opened.height
    write(opened, "node:J12", 25.0)
    assert now_seen.height == height
    assert "node:J12" not in {one.tag for one in now_seen.series()}
