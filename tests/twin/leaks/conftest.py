from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from hydraulics.epanet.scenario import PipeLeak, Scenario, Watched, run_scenario
from ledger.journal import Ledger
from twin.instants import NS_PER_S, parse_instant
from twin.leaks.artefacts import Residuals
from twin.leaks.gathering import TagLeftOut
from twin.leaks.records import (
    LEVELS,
    Candidate,
    Inputs,
    LeakRun,
    SensorResidual,
    to_event,
)
from twin.leaks.windows import Window
from twin.networks import ImportOptions, import_network, load_network, model_path
from twin.readings import Quantity, ReadingBatch, Series
from twin.units import STORED_UNIT

NOW_NS = parse_instant("2018-06-01T00:00:00Z")
MONDAY = "2018-01-01T00:00:00+02:00"


@pytest.fixture(scope="session")
def block_inp() -> str:
    """Nine junctions in a square of 200 m blocks, a reservoir, a tank and a valve."""
    junctions = [(f"J{r}{c}", 200 * c, 200 * r) for r in range(3) for c in range(3)]
    rows = [f"H{r}{c} J{r}{c} J{r}{c + 1} 200 150 110 0 Open" for r in range(3) for c in range(2)]
    rows += [f"V{r}{c} J{r}{c} J{r + 1}{c} 200 150 110 0 Open" for r in range(2) for c in range(3)]
    return "\n".join(
        [
            "[JUNCTIONS]",
            *(f"{name} {10 + 2 * i} 0.8" for i, (name, _, _) in enumerate(junctions)),
            "[RESERVOIRS]",
            "R1 70",
            "[TANKS]",
            "T1 50 6 0 10 12 0",
            "[PIPES]",
            *rows,
            "IN R1 N0 50 300 120 0 Open",
            "UP J22 T1 150 200 120 0 Open",
            "[VALVES]",
            "V1 N0 J00 250 TCV 2 0",
            "[COORDINATES]",
            *(f"{name} {x} {y}" for name, x, y in junctions),
            "R1 -120 0",
            "N0 -60 0",
            "T1 520 420",
            "[OPTIONS]",
            "Units LPS",
            "Headloss H-W",
            "[TIMES]",
            "Duration 24:00",
            "Hydraulic Timestep 0:15",
            "[END]",
            "",
        ]
    ).replace("J22 26 0.8", "J22 26 0.8\nN0 9 0")


@pytest.fixture(scope="session")
def imported(tmp_path_factory: pytest.TempPathFactory, block_inp: str) -> Path:
    """A folder with a ledger that holds the network `block` and nothing else."""
    home = tmp_path_factory.mktemp("imported")
    source = tmp_path_factory.mktemp("source") / "block.inp"
    source.write_text(block_inp)
    options = ImportOptions(time_zone="+02:00", model_start_ns=parse_instant(MONDAY))
    with Ledger.open_writer(home / "ledger", home / "keys", lambda: NOW_NS, wait_s=0.0) as ledger:
        import_network(source, options, ledger, lambda: NOW_NS)
    return home


@pytest.fixture(scope="session")
def leaking_from_noon(
    imported: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Sequence[PipeLeak], Sequence[str]], Path]:
    """Make a home of `block` with Monday's readings, without noise; pipes leak from noon on."""

    def made(leaks: Sequence[PipeLeak], nodes: Sequence[str]) -> Path:
        home = tmp_path_factory.mktemp("leaking")
        shutil.copytree(imported, home, dirs_exist_ok=True)
        with Ledger.open_writer(home / "ledger", home / "keys", lambda: NOW_NS) as ledger:
            inp = model_path(ledger, load_network(ledger, "block"), home / "scratch")
            scenario = Scenario(model_start_s=0, duration_s=86_400, seed=4, leaks=tuple(leaks))
            watched = Watched(tuple(nodes), level_tanks=("T1",), flow_links=("IN",))
            truth = run_scenario(inp, scenario, watched, home / "scratch")
            times = parse_instant(MONDAY) + truth.time_s * NS_PER_S
            for i, node in enumerate(nodes):
                record_values(
                    ledger, f"node:{node}", Quantity.PRESSURE, times, truth.pressure_m[:, i]
                )
            record_values(ledger, "node:T1", Quantity.LEVEL, times, truth.level_m[:, 0])
            record_values(ledger, "node:R1", Quantity.FLOW, times, truth.flow_m3s[:, 0])
        return home

    return made


def record_values(
    ledger: Ledger, asset: str, quantity: Quantity, time_ns: np.ndarray, value: np.ndarray
) -> None:
    n = len(time_ns)
    series = Series("block", asset, asset, quantity, STORED_UNIT[quantity], "test")
    zeros = np.zeros(n, np.int32), np.zeros(n, np.uint8)
    ledger.append(ReadingBatch((series,), zeros[0], time_ns, value.astype(np.float64), zeros[1]))
    ledger.flush()


@pytest.fixture
def journal(tmp_path: Path, imported: Path) -> Iterator[Ledger]:
    """A ledger with the network `block`; its model begins on Monday 2018-01-01 at 00:00 +02:00."""
    shutil.copytree(imported, tmp_path, dirs_exist_ok=True)
    with Ledger.open_writer(
        tmp_path / "ledger", tmp_path / "keys", lambda: NOW_NS, wait_s=0.0
    ) as ledger:
        yield ledger


@pytest.fixture
def clock() -> Callable[[], int]:
    return lambda: NOW_NS


@pytest.fixture
def read_in(journal: Ledger) -> Callable[..., None]:
    """Record readings of one tag: read_in("P1", "node:J11", times_ns, values)."""

    def recorded(  # noqa: PLR0913, PLR0917 - a reading is all of these
        tag: str,
        asset: str,
        time_ns: Sequence[int],
        value: Sequence[float],
        quantity: Quantity = Quantity.PRESSURE,
        quality: Sequence[int] | int = 0,
    ) -> None:
        n = len(time_ns)
        series = Series("block", tag, asset, quantity, STORED_UNIT[quantity], "test")
        journal.append(
            ReadingBatch(
                (series,),
                np.zeros(n, np.int32),
                np.array(time_ns, dtype=np.int64),
                np.array(value, dtype=np.float64),
                np.broadcast_to(np.uint8(quality), (n,)).copy()
                if isinstance(quality, int)
                else np.array(quality, dtype=np.uint8),
            )
        )
        journal.flush()

    return recorded


@pytest.fixture
def ticks() -> Callable[..., list[int]]:
    """Times [ns] each `step_s` from a local time of 2018, such as "01-08T00:00"."""

    def listed(begin: str, n: int, step_s: int = 300, offset_s: float = 0.0) -> list[int]:
        start_ns = parse_instant(f"2018-{begin}:00+02:00") + round(offset_s * NS_PER_S)
        return [start_ns + i * step_s * NS_PER_S for i in range(n)]

    return listed


@pytest.fixture
def window() -> Callable[[str, str], Window]:
    """A window between two local times of 2018, such as ("01-08T00:00", "01-09T00:00")."""

    def between(begin: str, end: str) -> Window:
        return Window(
            parse_instant(f"2018-{begin}:00+02:00"), parse_instant(f"2018-{end}:00+02:00")
        )

    return between


@pytest.fixture
def a_run() -> Callable[..., LeakRun]:
    """A run with every field, as a localization would give it."""

    def made(run_id: str, window: Window, pipes: Sequence[str] = ("H00", "V00", "H01")) -> LeakRun:
        shares = np.array([2.0**-i for i in range(len(pipes))])
        shares /= shares.sum()
        reached = np.cumsum(shares)
        sizes = {level: int(np.searchsorted(reached, int(level) / 100)) + 1 for level in LEVELS}
        inputs = Inputs(
            window=window,
            reference=None,
            reference_said="there was none",
            seed=1,
            settings={"places": [0.1, 0.5, 0.9], "draws": 12},
            versions={"watercourse": "0"},
            inp_sha256="a" * 64,
            readings_sha256="b" * 64,
            places_sha256="c" * 64,
            n_readings=10,
            n_rows=5,
            step_s=300.0,
            known=(),
        )
        return LeakRun(
            run_id=run_id,
            network="block",
            at_ns=NOW_NS,
            inputs=inputs,
            candidates=tuple(
                Candidate(pipe, float(p), 0.25, 0.002, 200.0)
                for pipe, p in zip(pipes, shares, strict=True)
            ),
            n_candidates=len(pipes),
            zones={level: tuple(pipes[: sizes[level]]) for level in LEVELS},
            zone_length_m={level: 200.0 * sizes[level] for level in LEVELS},
            flow_low_m3s=0.001,
            flow_high_m3s=0.003,
            evidence_ratio=12.5,
            left_out=(
                TagLeftOut("P9", "node:J22", 3, "the source marks these bad", is_whole=False),
            ),
            residuals=(SensorResidual("P1", "node:J11", 5, -0.1, -0.09, 0.02),),
            posterior_sha256="d" * 64,
            residuals_sha256="e" * 64,
            map_sha256="f" * 64,
        )

    return made


@pytest.fixture
def recorded_run(
    journal: Ledger, a_run: Callable[..., LeakRun], window: Callable[[str, str], Window]
) -> LeakRun:
    """A run over 8 January 2018, in the ledger."""
    run = a_run("leak-000000000001", window("01-08T00:00", "01-09T00:00"))
    journal.record([to_event(run)])
    return run


@pytest.fixture
def some_residuals() -> Residuals:
    at_ns = parse_instant(MONDAY) + np.arange(3) * 3_600 * NS_PER_S
    return Residuals(
        at_ns=at_ns,
        tags=("P1", "P2"),
        assets=("node:J11", "node:J22"),
        residual_m=np.array([[-0.1, 0.01], [np.nan, 0.02], [-0.12, 0.0]]),
        explained_m=np.array([[-0.1, 0.0], [-0.1, 0.0], [-0.1, 0.0]]),
        band_m=np.array([0.02, 0.03]),
    )
