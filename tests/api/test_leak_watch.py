"""`twin leak watch`: what it prints, what it records, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from api.cli import run
from api.report.watch_words import sighting_sentence
from ledger.errors import LedgerBusyError
from ledger.journal import Ledger
from twin.leaks import watching
from twin.leaks.sightings import Sighting, SightingKind, load_sightings
from twin.leaks.windows import DAY_NS, Window
from twin.networks import load_network

NETWORK = """[JUNCTIONS]
J1 10 1
[RESERVOIRS]
R1 50
[PIPES]
P1 R1 J1 100 100 120 0 Open
[OPTIONS]
Units LPS
Headloss H-W
[END]
"""
DAY = Window(100 * DAY_NS, 101 * DAY_NS)
Twin = Callable[..., tuple[int, str, str]]


def _seen(kind: SightingKind, asset: str, tag: str | None = None) -> Sighting:
    about_leak = tag is None
    return Sighting(
        network="one",
        kind=kind,
        day=DAY,
        asset=asset,
        tag=tag,
        fault=None if about_leak else "stuck",
        offset_m=None if about_leak else 0.3,
        flow_m3s=0.002 if about_leak else None,
        probability=0.9 if about_leak else None,
        onset_ns=DAY.from_ns,
        calibration=Window(80 * DAY_NS, 94 * DAY_NS),
        readings_sha256="a" * 64,
        inp_sha256="b" * 64,
        settings={"false_alarms_per_year": 2.5, "windows": [1, 2]},
        versions={"watercourse": "0"},
    )


TOLD = [
    _seen(SightingKind.CALL, "link:P1"),
    _seen(SightingKind.REPAIRED, "link:P1"),
    _seen(SightingKind.SENSOR, "node:J1", "p-1"),
    replace(_seen(SightingKind.UNWATCHED, "node:J1", "p-2"), fault=None, offset_m=None),
]


RUNNING: list[Sighting] = []


class _FakeWatch:
    """A watch that sees three things on its first look and nothing afterwards."""

    calibration = TOLD[0].calibration
    false_alarms_per_year = 2.5
    sensors = ()
    asked: ClassVar[dict[str, object]] = {}

    def __init__(self, record: Ledger, *_: object, **asked: object) -> None:
        _FakeWatch.asked = asked
        self._left = list(TOLD)
        self.network = load_network(record, "one")

    def running(self) -> list[Sighting]:
        return RUNNING

    def look(self) -> Iterator[tuple[Window, list[Sighting]]]:
        told, self._left = self._left, []
        if told:
            yield DAY, told

    def close(self) -> None:
        """Nothing to free."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    source = tmp_path / "one.inp"
    source.write_text(NETWORK)
    assert run(["--home", str(tmp_path / "home"), "import", str(source)]) == 0
    return tmp_path / "home"


@pytest.fixture
def twin(home: Path, capsys: pytest.CaptureFixture[str]) -> Twin:
    """Run a command; returns exit code, standard output, standard error."""

    def ran(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run(["--home", str(home), *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return ran


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "Watch", _FakeWatch)


def test_a_network_without_readings_is_one_sentence(twin: Twin) -> None:
    code, out, err = twin("leak", "watch", "--network", "one", "--once")
    assert (code, out) == (1, "")
    assert err.strip().endswith("network 'one' has no pressure reading; ingest some first")


@pytest.mark.usefixtures("fake")
def test_a_watch_is_told_how_many_false_alarms_a_year_are_borne(twin: Twin) -> None:
    twin("leak", "watch", "--network", "one", "--once", "--false-alarms", "2.5")
    assert _FakeWatch.asked["false_alarms_per_year"] == 2.5


@pytest.mark.parametrize("rate", ["0", "-1", "many"])
def test_no_false_alarms_at_all_cannot_be_had(twin: Twin, rate: str) -> None:
    code, _, err = twin("leak", "watch", "--network", "one", "--once", "--false-alarms", rate)
    assert code == 2
    assert "--false-alarms" in err


@pytest.mark.usefixtures("fake")
def test_each_sighting_is_one_json_line_and_is_recorded_once(twin: Twin, home: Path) -> None:
    for _ in range(2):
        code, out, _ = twin("leak", "watch", "--network", "one", "--once", "--json")
        lines = [json.loads(line) for line in out.splitlines()]
        assert code == 0
        assert [one["kind"] for one in lines] == ["call", "repaired", "sensor", "unwatched"]
        assert lines[0]["day"]["from"] == "1970-04-11T00:00:00Z"
        assert lines[0]["calibration"]["from"] == "1970-03-22T00:00:00Z"
        assert lines[0]["false_alarms_per_year"] == 2.5
        assert lines[0]["settings"]["windows"] == [1, 2]
    kept = load_sightings(Ledger.open_reader(home / "ledger"), "one")
    assert [one.sighting_id for one in kept] == [one["id"] for one in lines]


@pytest.mark.usefixtures("fake")
def test_what_a_watch_told_can_be_proved_by_its_id(twin: Twin, tmp_path: Path) -> None:
    twin("leak", "watch", "--network", "one", "--once")
    proof, key = tmp_path / "call.proof", tmp_path / "keys.txt"
    assert twin("evidence", TOLD[0].sighting_id, "--out", str(proof))[0] == 0
    key.write_text(twin("keys", "show")[1])
    code, out, _ = twin("verify", str(proof), "--trust", str(key))
    assert code == 0
    assert "leak-watch" in out


@pytest.mark.usefixtures("fake")
def test_a_day_is_named_as_the_network_s_own_calendar_has_it(twin: Twin, tmp_path: Path) -> None:
    assert "judge 1970-04-11" in twin("leak", "watch", "--network", "one", "--once")[2]
    west = ["--network", "one", "--time-zone", "-02:00"]  # 22:00 of the day before
    assert twin("import", str(tmp_path / "one.inp"), *west)[0] == 0
    assert "judge 1970-04-10" in twin("leak", "watch", "--network", "one", "--once")[2]


@pytest.mark.usefixtures("fake")
def test_people_read_a_sentence_for_each(twin: Twin) -> None:
    _, out, _ = twin("leak", "watch", "--network", "one", "--once")
    assert "a leak near link:P1, 2.0 L/s" in out
    assert "the leak near link:P1 no longer runs" in out
    assert "sensor p-1 lies (stuck): it reads +0.30 m too much" in out
    assert "sensor p-2 at node:J1 reports since 1970-04-11T00:00:00Z" in " ".join(out.split())
    assert "2.5 false alarms a year are borne" in out
    assert f"{TOLD[0].sighting_id} day of" in " ".join(out.split())


@pytest.mark.usefixtures("fake")
def test_a_leak_that_ran_before_the_watch_began_is_told_and_recorded(
    twin: Twin, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = replace(TOLD[0], day=Window(93 * DAY_NS, 94 * DAY_NS), onset_ns=80 * DAY_NS)
    monkeypatch.setattr("tests.api.test_leak_watch.RUNNING", [before])
    _, out, _ = twin("leak", "watch", "--network", "one", "--once")
    assert "runs already: day of 1970-04-04T00:00:00Z: a leak near link:P1" in " ".join(out.split())
    kept = load_sightings(Ledger.open_reader(home / "ledger"), "one")
    assert [replace(one, evidence=None) for one in kept] == [before, *TOLD]


@pytest.mark.usefixtures("fake")
def test_a_folder_holds_a_table_and_a_map_of_all_that_was_ever_told(
    twin: Twin, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert twin("leak", "watch", "--network", "one", "--once", "--out", str(out))[0] == 0
    assert len((out / "sightings.csv").read_text().splitlines()) == 1 + len(TOLD)
    drawn = json.loads((out / "sightings.geojson").read_text())
    assert [one["properties"]["kind"] for one in drawn["features"]] == ["call", "repaired"]
    assert {one["properties"]["pipe_id"] for one in drawn["features"]} == {"P1"}


@pytest.mark.usefixtures("fake")
def test_a_call_is_said_with_a_zone_and_a_word_for_how_sure(twin: Twin) -> None:
    _, out, _ = twin("leak", "watch", "--network", "one", "--once")
    said = " ".join(out.split())
    assert "it is very likely (90 %) that it lies within 300 m along pipes" in said
    assert "search these, not the pipe" in said


@pytest.mark.usefixtures("fake")
def test_being_interrupted_while_it_waits_is_a_good_end(
    twin: Twin, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupted)
    code, _, err = twin("leak", "watch", "--network", "one")
    assert code == 0
    assert "stopped" in err
    assert len(load_sightings(Ledger.open_reader(home / "ledger"))) == len(TOLD)


@pytest.mark.usefixtures("fake")
def test_while_another_writes_recording_waits_and_at_the_end_it_is_refused(
    twin: Twin, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: object, **__: object) -> None:
        raise LedgerBusyError(home, "another twin")

    monkeypatch.setattr(Ledger, "open_writer", busy)
    code, out, err = twin("leak", "watch", "--network", "one", "--once", "--json")
    assert code == 1
    assert len(out.splitlines()) == len(TOLD)
    assert "recording waits" in err


@pytest.mark.usefixtures("fake")
def test_the_calls_of_a_watch_are_listed_beside_the_runs_with_what_it_was_told(twin: Twin) -> None:
    assert "no leak run is recorded" in twin("leak", "runs")[1]
    twin("leak", "watch", "--network", "one", "--once")
    _, out, _ = twin("leak", "runs")
    said = " ".join(out.split())
    assert f"{TOLD[0].sighting_id} one day of 1970-04-11T00:00:00Z: a leak near link:P1" in said
    assert "(2.5 false alarms a year are borne) open" in said
    assert "sensor p-1" not in said
    twin("leak", "confirm", TOLD[0].sighting_id, "P1")
    (call,) = json.loads(twin("leak", "runs", "--json")[1])["calls"]
    assert (call["id"], call["state"]) == (TOLD[0].sighting_id, "confirmed")
    assert call["false_alarms_per_year"] == 2.5


def test_a_sensor_that_came_late_is_told_with_the_command_that_uses_it() -> None:
    late = replace(TOLD[3], onset_ns=DAY.from_ns + DAY_NS // 4)
    assert sighting_sentence(late).endswith(
        "is not used; to use it, stop this watch and begin anew once 14 whole days with it are "
        "recorded, from 1970-04-26T00:00:00Z on: twin leak watch --network one "
        "--from 1970-04-12T00:00:00Z --calibration-days 14 --false-alarms 2.5"
    )
    at_midnight = replace(late, onset_ns=DAY.from_ns, settings={})
    assert sighting_sentence(at_midnight).endswith(
        "--from 1970-04-11T00:00:00Z --calibration-days 14"
    )
