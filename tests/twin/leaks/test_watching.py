"""A watch: which days it judges and when, what it tells, and that it records nothing twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from api.report.watch_words import sighting_sentence
from hydraulics.epanet.scenario import Perturbation, PipeLeak, Scenario, Truth, Watched
from hydraulics.epanet.scenario import run_scenario as simulate
from hydraulics.leaks.stream.settings import StreamSettings
from hydraulics.leaks.stream.stream import NothingReadError
from ledger.journal import Ledger
from twin.errors import RefusedError
from twin.instants import NS_PER_S, parse_instant
from twin.leaks.book import confirm, repair
from twin.leaks.records import LeakRun, to_event
from twin.leaks.sightings import Sighting, SightingKind, keep_sightings, load_sightings
from twin.leaks.sightings import to_event as to_sighting_event
from twin.leaks.watching import TooFewDaysError, Watch
from twin.leaks.windows import Window
from twin.readings import Column, Quantity, Series

N_CALM, N_DAYS, N_SIMULATED = 6, 9, 14
LEAK_DAY = 7
DAY_S = 86_400
SENSORS = ("J00", "J02", "J11", "J20", "J22")
Between = Callable[[str, str], Window]
Ingest = Callable[[range], None]
Ticks = Callable[..., list[int]]
WINDOWS = StreamSettings().windows


@pytest.fixture(scope="session")
def truth(tmp_path_factory: pytest.TempPathFactory, block_inp: str) -> Truth:
    """A fortnight of `block` each quarter of an hour, with 3 L/s from pipe V11 from day 7 on."""
    folder = tmp_path_factory.mktemp("watched")
    (folder / "block.inp").write_text(block_inp)
    scenario = Scenario(
        model_start_s=0,
        duration_s=N_SIMULATED * DAY_S,
        seed=5,
        step_s=900,
        warm_up_s=0,
        leaks=(PipeLeak("V11", 0.5, 3e-3, LEAK_DAY * DAY_S),),
        perturbation=Perturbation(0.05, 0.05, 0.01, 0.05),
    )
    watched = Watched(pressure_nodes=SENSORS, level_tanks=("T1",), flow_links=("IN",))
    return simulate(folder / "block.inp", scenario, watched, folder)


@pytest.fixture
def ingest(truth: Truth, read_in: Callable[..., None], ticks: Callable[..., list[int]]) -> Ingest:
    """Record some of the days as instruments read them."""
    start_ns = ticks("01-01T00:00", 1)[0]
    noise = np.random.default_rng(2).normal(0.0, 0.01, truth.pressure_m.shape)

    def recorded(days: range) -> None:
        at = (truth.time_s >= days.start * DAY_S) & (truth.time_s < days.stop * DAY_S)
        time_ns = start_ns + truth.time_s[at] * NS_PER_S
        for i, name in enumerate(SENSORS):
            pressure = (truth.pressure_m + noise)[at, i]
            read_in(f"P-{name}", f"node:{name}", time_ns, pressure)
        read_in("L", "node:T1", time_ns, truth.level_m[at, 0], Quantity.LEVEL)
        read_in("Q", "link:IN", time_ns, truth.flow_m3s[at, 0], Quantity.FLOW)

    return recorded


@pytest.fixture
def watching(journal: Ledger, tmp_path: Path) -> Iterator[Callable[[], Watch]]:
    opened: list[Watch] = []

    def begun() -> Watch:
        opened.append(Watch(journal, "block", tmp_path, n_calibration=N_CALM))
        return opened[-1]

    yield begun
    for one in opened:
        one.close()


def test_a_leak_is_told_on_its_day_and_recorded_once_however_often_the_watch_begins_anew(
    journal: Ledger, ingest: Ingest, watching: Callable[[], Watch], clock: Callable[[], int]
) -> None:
    ingest(range(N_DAYS))
    told = _told(watching())
    calls = [one for one in told if one.kind is SightingKind.CALL]
    assert calls
    assert all(one.day.from_ns >= _midnight(LEAK_DAY) for one in told)
    assert sum(one.flow_m3s or 0.0 for one in calls) == pytest.approx(3e-3, rel=0.3)
    assert len(keep_sightings(journal, told, clock)) == len(told)
    height = journal.height
    keep_sightings(journal, _told(watching()), clock)
    assert journal.height == height
    kept = load_sightings(journal, "block")
    assert [replace(one, evidence=None) for one in kept] == told
    assert {one.false_alarms_per_year for one in kept} == {0.1}
    assert StreamSettings(**{**told[0].settings, "windows": WINDOWS}) == StreamSettings()  # type: ignore[arg-type]
    assert all(one.versions["watercourse"] for one in kept)


def test_what_is_ingested_while_it_waits_gives_what_it_gives_all_at_once(
    ingest: Ingest, watching: Callable[[], Watch]
) -> None:
    ingest(range(LEAK_DAY))
    waiting = watching()
    before = _told(waiting)
    for day in range(LEAK_DAY, N_DAYS):
        ingest(range(day, day + 1))
        before += _told(waiting)
    assert before == _told(watching())


def test_a_day_is_judged_once_it_is_complete_and_only_then(
    ingest: Ingest,
    read_in: Callable[..., None],
    ticks: Callable[..., list[int]],
    watching: Callable[[], Watch],
) -> None:
    ingest(range(LEAK_DAY))
    watch = watching()
    assert [day.from_ns for day, _ in watch.look()] == [_midnight(N_CALM)]
    read_in("P-J00", "node:J00", ticks("01-08T00:00", 60, 900), [30.0] * 60)
    assert list(watch.look()) == []


def test_a_sensor_that_appears_later_is_told_once_and_does_not_disturb_the_watch(
    ingest: Ingest,
    read_in: Callable[..., None],
    ticks: Callable[..., list[int]],
    watching: Callable[[], Watch],
) -> None:
    ingest(range(LEAK_DAY))
    watch = watching()
    tags = [one.tag for one in watch.sensors]
    _told(watch)
    read_in("A-first", "node:J01", ticks("01-08T06:00", 72, 900), [30.0] * 72)
    for day in range(LEAK_DAY, N_DAYS):
        ingest(range(day, day + 1))
    told = _told(watch)
    (new,) = [one for one in told if one.kind is SightingKind.UNWATCHED]
    assert (new.tag, new.asset, new.fault) == ("A-first", "node:J01", None)
    assert new.day.from_ns == _midnight(LEAK_DAY)
    assert new.onset_ns == ticks("01-08T06:00", 1)[0]
    assert any(one.kind is SightingKind.CALL for one in told)
    assert [one.tag for one in watch.sensors] == tags
    anew = watching()  # on the same days, of which the sensor has none
    assert [one.tag for one in anew.sensors] == tags
    assert _told(anew) == told


def test_a_watch_that_is_begun_anew_as_a_late_sensors_sighting_says_uses_that_sensor(
    journal: Ledger, ingest: Ingest, read_in: Callable[..., None], ticks: Ticks, tmp_path: Path
) -> None:
    late_ns = ticks("01-07T06:00", 7 * 96, 900)
    read_in("late", "node:J01", late_ns[:96], [30.0] * 96)
    ingest(range(N_DAYS))
    with closing(Watch(journal, "block", tmp_path, n_calibration=N_CALM)) as watch:
        (late,) = [one for one in _told(watch) if one.kind is SightingKind.UNWATCHED]
    said = sighting_sentence(late)
    assert "not used; to use it, stop this watch and begin anew once 6 whole days with it" in said
    command = said[said.index("twin leak watch ") :].split()
    given = dict(zip(command[3::2], command[4::2], strict=True))
    assert (given["--network"], given["--false-alarms"]) == ("block", "0.1")
    anew = {
        "from_ns": parse_instant(given["--from"]),
        "n_calibration": int(given["--calibration-days"]),
    }
    with pytest.raises(TooFewDaysError, match="has 2 whole days"):
        Watch(journal, "block", tmp_path, **anew)
    read_in("late", "node:J01", late_ns[96:], [30.0] * 6 * 96)
    ingest(range(N_DAYS, N_SIMULATED))
    assert parse_instant(said[said.index(", from ") :].split()[2]) == _midnight(7 + N_CALM)
    with closing(Watch(journal, "block", tmp_path, **anew)) as watch:
        assert "late" in [one.tag for one in watch.sensors]
        assert watch.calibration == Window(_midnight(7), _midnight(7 + N_CALM))


def test_a_look_reads_nothing_of_the_days_that_are_judged(
    ingest: Ingest, watching: Callable[[], Watch], monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(range(LEAK_DAY))
    watch = watching()
    _told(watch)
    read: list[int] = []
    column = Ledger.column

    def noted(self: Ledger, series: Series, from_ns: int, to_ns: int) -> Column:
        read.append(from_ns)
        return column(self, series, from_ns, to_ns)

    monkeypatch.setattr(Ledger, "column", noted)
    assert list(watch.look()) == []
    assert read == []
    ingest(range(LEAK_DAY, LEAK_DAY + 1))
    assert len(list(watch.look())) == 1
    assert min(read) >= _midnight(LEAK_DAY) - 450 * NS_PER_S  # half a step before midnight
    assert len(read) == len(SENSORS) + 2


def test_what_comes_late_for_a_day_that_is_judged_changes_nothing(
    ingest: Ingest,
    read_in: Callable[..., None],
    ticks: Callable[..., list[int]],
    watching: Callable[[], Watch],
) -> None:
    ingest(range(LEAK_DAY))
    watch, other = watching(), watching()
    assert _told(watch) == _told(other)
    ingest(range(LEAK_DAY, N_DAYS))
    before = _told(watch)
    read_in("P-J00", "node:J00", ticks("01-06T00:07", 4, 3_600), [99.0] * 4)
    assert _told(other) == before


def test_readings_that_are_all_bad_are_no_day(
    ingest: Ingest,
    read_in: Callable[..., None],
    ticks: Callable[..., list[int]],
    watching: Callable[[], Watch],
) -> None:
    ingest(range(LEAK_DAY))
    watch = watching()
    _told(watch)
    bad = 16
    read_in("P-J00", "node:J00", ticks("01-08T00:00", 96, 900), [30.0] * 96, Quantity.PRESSURE, bad)
    assert _told(watch) == []
    ingest(range(LEAK_DAY, N_DAYS))
    assert any(one.kind is SightingKind.CALL for one in _told(watch))


def test_a_confirmed_leak_is_in_the_model_and_is_not_called_again(  # noqa: PLR0913, PLR0917
    journal: Ledger,
    ingest: Ingest,
    watching: Callable[[], Watch],
    a_run: Callable[..., LeakRun],
    window: Between,
    clock: Callable[[], int],
) -> None:
    ingest(range(N_DAYS))
    journal.record([to_event(a_run("leak-1", window("01-08T00:00", "01-09T00:00"), ("V11",)))])
    confirm(journal, "leak-1", "V11", clock)
    assert [one for one in _told(watching()) if one.kind is SightingKind.CALL] == []
    repair(journal, "leak-1", _midnight(N_DAYS - 1), clock)
    again = [one.day.from_ns for one in _told(watching()) if one.kind is SightingKind.CALL]
    assert all(at_ns >= _midnight(N_DAYS - 1) for at_ns in again)


def test_too_few_days_are_one_clear_sentence(ingest: Ingest, watching: Callable[[], Watch]) -> None:
    ingest(range(3))
    with pytest.raises(TooFewDaysError, match="has 3 whole days of readings there") as refused:
        watching()
    assert "give fewer" not in str(refused.value)  # 6 are the fewest
    assert "give fewer" in str(TooFewDaysError("block", 9, 14))


def test_no_reading_at_all_is_refused(watching: Callable[[], Watch]) -> None:
    with pytest.raises(RefusedError, match="ingest some first"):
        watching()


def test_days_without_the_tank_cannot_be_calibrated_on(
    truth: Truth,
    read_in: Callable[..., None],
    ticks: Callable[..., list[int]],
    watching: Callable[[], Watch],
) -> None:
    times = ticks("01-01T00:00", N_DAYS * 96, 900)
    read_in("P-J00", "node:J00", times, truth.pressure_m[: len(times), 0])
    read_in("L", "node:T1", times[-1:], [5.0], Quantity.LEVEL)
    with pytest.raises(NothingReadError, match="every tank and every metered inflow"):
        watching()


@pytest.fixture
def lying(window: Between) -> Sighting:
    day = window("01-08T00:00", "01-09T00:00")
    return Sighting(
        network="block",
        kind=SightingKind.SENSOR,
        day=day,
        asset="node:J11",
        tag="P-J11",
        fault="drift",
        offset_m=0.04,
        flow_m3s=None,
        probability=None,
        onset_ns=day.from_ns,
        calibration=window("01-01T00:00", "01-07T00:00"),
        readings_sha256="a" * 64,
        inp_sha256="b" * 64,
        settings={"false_alarms_per_year": 2.0, "windows": [1, 2]},
        versions={"watercourse": "0"},
    )


def test_a_lying_sensor_is_recorded_and_read_back(
    journal: Ledger, lying: Sighting, clock: Callable[[], int]
) -> None:
    (kept,) = keep_sightings(journal, [lying], clock)
    assert replace(kept, evidence=None) == lying
    assert load_sightings(journal) == [kept]
    assert kept.false_alarms_per_year == 2.0


def test_a_sighting_of_before_settings_were_kept_is_read_without_them(
    journal: Ledger, lying: Sighting, clock: Callable[[], int]
) -> None:
    event = to_sighting_event(lying, clock())
    new = {"settings", "versions"}
    old = {name: value for name, value in event.body.items() if name not in new}
    journal.record([replace(event, body=old)])
    (found,) = load_sightings(journal)
    assert replace(found, evidence=None) == replace(lying, settings={}, versions={})
    assert found.false_alarms_per_year is None
    assert keep_sightings(journal, [lying], clock) == [found]  # it is not told twice


def _told(watch: Watch) -> list[Sighting]:
    return [one for _, told in watch.look() for one in told]


def _midnight(day: int) -> int:
    return 1_514_757_600 * NS_PER_S + day * DAY_S * NS_PER_S  # 2018-01-01T00:00+02:00
