"""Runs by the real localization, on a network of nine junctions with a leak in one pipe."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hydraulics.epanet.scenario import (
    Perturbation,
    PipeLeak,
    Scenario,
    Truth,
    Watched,
    run_scenario,
)
from ledger.journal import Ledger
from twin.events import EventKind
from twin.instants import NS_PER_S, parse_instant
from twin.leaks.artefacts import load_detail
from twin.leaks.book import confirm
from twin.leaks.records import LeakRun, load_runs
from twin.leaks.runs import compute_leak, keep_leak, run_id_of, run_leak
from twin.leaks.windows import NoReadingsError, Window, WindowError
from twin.networks import load_network, model_path
from twin.readings import FloatArray, Quantity, ReadingBatch, Series
from twin.units import STORED_UNIT

START_NS = parse_instant("2018-01-08T00:00:00+02:00")
HOUR_NS = 3_600 * NS_PER_S
HOURS = 6
REFERENCE = Window(START_NS, START_NS + HOURS * HOUR_NS)
CURRENT = Window(REFERENCE.to_ns, REFERENCE.to_ns + HOURS * HOUR_NS)
NODES = ("J00", "J02", "J11", "J20", "J22")
LEAK = PipeLeak("V11", 0.5, 0.012, HOURS * 3_600)


@pytest.fixture(scope="session")
def leaking(imported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network `block` with twelve hours of readings; from the seventh on, V11 leaks 12 L/s."""
    home = tmp_path_factory.mktemp("leaking")
    shutil.copytree(imported, home, dirs_exist_ok=True)
    clock = lambda: CURRENT.to_ns + HOUR_NS  # noqa: E731 - a clock that stands
    with Ledger.open_writer(home / "ledger", home / "keys", clock, wait_s=0.0) as ledger:
        inp = model_path(ledger, load_network(ledger, "block"), home / "scratch")
        truth = run_scenario(
            inp,
            Scenario(
                model_start_s=0,
                duration_s=2 * HOURS * 3_600,
                seed=4,
                leaks=(LEAK,),
                perturbation=Perturbation(0.1, 0.05, 0.0, 0.05),
            ),
            Watched(pressure_nodes=NODES, level_tanks=("T1",), flow_links=("IN",)),
            home / "scratch",
        )
        for series, values in readings_of(truth):
            ledger.append(batch_of(series, truth, values))
        ledger.flush()
    return home


def readings_of(truth: Truth) -> Iterator[tuple[Series, FloatArray]]:
    noise = np.random.default_rng(5)
    for i, node in enumerate(NODES):
        seen = truth.pressure_m[:, i] + noise.normal(0.0, 0.01, len(truth.time_s))
        yield series_of(f"P_{node}", f"node:{node}", Quantity.PRESSURE), seen
    yield series_of("L_T1", "node:T1", Quantity.LEVEL), truth.level_m[:, 0]
    yield series_of("Q_R1", "node:R1", Quantity.FLOW), truth.flow_m3s[:, 0]


def series_of(tag: str, asset: str, quantity: Quantity) -> Series:
    return Series("block", tag, asset, quantity, STORED_UNIT[quantity], "test")


def batch_of(series: Series, truth: Truth, values: FloatArray) -> ReadingBatch:
    n = len(truth.time_s)
    time_ns = START_NS + truth.time_s * NS_PER_S
    return ReadingBatch(
        (series,), np.zeros(n, np.int32), time_ns, values.astype(np.float64), np.zeros(n, np.uint8)
    )


@pytest.fixture(scope="session")
def ran(leaking: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same home with one run recorded, the reference chosen by itself."""
    home = tmp_path_factory.mktemp("ran")
    shutil.copytree(leaking, home, dirs_exist_ok=True)
    clock = lambda: CURRENT.to_ns + HOUR_NS  # noqa: E731 - a clock that stands
    with Ledger.open_writer(home / "ledger", home / "keys", clock, wait_s=0.0) as ledger:
        run_leak(ledger, "block", CURRENT, clock=clock)
    return home


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[Path], Ledger]]:
    """Open a copy of a home for writing."""
    held: list[Ledger] = []

    def of(home: Path) -> Ledger:
        shutil.copytree(home, tmp_path, dirs_exist_ok=True)
        clock = lambda: CURRENT.to_ns + HOUR_NS  # noqa: E731 - a clock that stands
        ledger = Ledger.open_writer(tmp_path / "ledger", tmp_path / "keys", clock, wait_s=0.0)
        held.append(ledger)
        return ledger

    yield of
    for ledger in held:
        ledger.close()


@pytest.fixture
def run(ran: Path) -> LeakRun:
    (found,) = load_runs(Ledger.open_reader(ran / "ledger"), "block")
    return found


def test_the_zone_holds_the_leaking_pipe(run: LeakRun) -> None:
    assert LEAK.pipe_id in run.zones["90"]
    assert len(run.zones["90"]) < 14


def test_the_outflow_is_found_and_a_leak_is_evident(run: LeakRun) -> None:
    assert run.is_leak_evident
    assert run.flow_low_m3s < LEAK.flow_m3s * 1.2
    assert run.flow_high_m3s > LEAK.flow_m3s * 0.8


def test_the_reference_is_chosen_and_said(run: LeakRun) -> None:
    assert run.inputs.reference == REFERENCE
    assert "longest stretch" in run.inputs.reference_said


def test_the_run_names_what_it_used(run: LeakRun) -> None:
    assert run.inputs.n_readings == 7 * 12 * 2 * HOURS
    assert run.inputs.n_rows == 12 * 2 * HOURS
    assert run.inputs.step_s == 300.0
    assert {"watercourse", "wntr", "owa-epanet", "numpy"} <= run.inputs.versions.keys()
    assert [one.tag for one in run.residuals] == [f"P_{node}" for node in NODES]


def test_the_files_are_kept_under_the_hashes_that_the_run_names(ran: Path, run: LeakRun) -> None:
    record = Ledger.open_reader(ran / "ledger")
    detail = load_detail(record, run)
    assert detail.candidates[: len(run.candidates)] == run.candidates
    assert sum(one.probability for one in detail.candidates) == pytest.approx(1.0)
    assert CURRENT.from_ns <= detail.residuals.at_ns[0]
    assert detail.residuals.at_ns[-1] < CURRENT.to_ns
    assert record.file(run.map_sha256).startswith(b'{"type": "FeatureCollection"')


def test_the_same_readings_and_seed_give_the_same_result_elsewhere(
    leaking: Path, run: LeakRun
) -> None:
    record = Ledger.open_reader(leaking / "ledger")
    again = compute_leak(record, "block", CURRENT, clock=lambda: run.at_ns)
    assert again.run == run


def test_asking_twice_computes_and_records_once(
    ran: Path, run: LeakRun, opened: Callable[[Path], Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("computed twice")

    monkeypatch.setattr("twin.leaks.computing.localize", never)
    journal = opened(ran)
    height = journal.height
    again = run_leak(journal, "block", CURRENT, REFERENCE, clock=lambda: CURRENT.to_ns)
    assert again.run_id == run.run_id
    assert again.evidence == run.evidence
    assert journal.height == height


def test_a_run_that_another_process_recorded_meanwhile_is_not_recorded_twice(
    leaking: Path, run: LeakRun, opened: Callable[[Path], Ledger]
) -> None:
    journal = opened(leaking)
    computed = compute_leak(journal, "block", CURRENT, clock=lambda: run.at_ns)
    first = keep_leak(journal, computed)
    assert keep_leak(journal, computed).evidence == first.evidence
    assert len(load_runs(journal)) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 2},
        {"readings_sha256": "0" * 64},
        {"inp_sha256": "0" * 64},
        {"window": Window(CURRENT.from_ns, CURRENT.to_ns - 1)},
        {"reference": None},
        {"settings": {}},
        {"versions": {}},
        {"most_leaks": 1},
    ],
)
def test_whatever_decides_the_answer_changes_the_id(
    run: LeakRun, changed: dict[str, object]
) -> None:
    assert run_id_of("block", replace(run.inputs, **changed)) != run.run_id


def test_the_places_of_the_readings_do_not_change_the_id(run: LeakRun) -> None:
    moved = replace(run.inputs, places_sha256="0" * 64, reference_said="given")
    assert run_id_of("block", moved) == run.run_id


def test_a_found_leak_stays_in_the_model_of_the_next_run(
    ran: Path, run: LeakRun, opened: Callable[[Path], Ledger]
) -> None:
    journal = opened(ran)
    confirm(journal, run.run_id, LEAK.pipe_id, lambda: CURRENT.to_ns)
    second = run_leak(journal, "block", CURRENT, REFERENCE, clock=lambda: CURRENT.to_ns)
    assert [one.pipe_id for one in second.inputs.known] == [LEAK.pipe_id]
    assert second.run_id != run.run_id
    assert second.evidence_ratio < run.evidence_ratio / 2


def test_progress_is_told_step_by_step(leaking: Path) -> None:
    told: list[tuple[str, int, int]] = []
    record = Ledger.open_reader(leaking / "ledger")
    compute_leak(
        record, "block", CURRENT, clock=lambda: 0, progress=lambda *step: told.append(step)
    )
    assert told[0] == ("gather readings", 0, 1)
    assert len({step for step, _, _ in told}) > 1
    assert all(0 <= done <= total for _, done, total in told)


def test_nothing_is_recorded_when_a_run_is_refused(
    leaking: Path, opened: Callable[[Path], Ledger]
) -> None:
    journal = opened(leaking)
    height = journal.height
    late = Window(CURRENT.to_ns + HOUR_NS, CURRENT.to_ns + 2 * HOUR_NS)
    with pytest.raises(NoReadingsError):
        run_leak(journal, "block", late, clock=lambda: 0)
    with pytest.raises(WindowError):
        run_leak(journal, "block", CURRENT, CURRENT, clock=lambda: 0)
    assert journal.height == height
    assert list(journal.events([EventKind.LEAK_RUN])) == []


def test_without_earlier_readings_the_run_says_that_it_has_no_reference(leaking: Path) -> None:
    record = Ledger.open_reader(leaking / "ledger")
    alone = compute_leak(record, "block", REFERENCE, clock=lambda: 0).run
    assert alone.inputs.reference is None
    assert "the answer rests on the model alone" in alone.inputs.reference_said
