from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from ledger.journal import Ledger
from twin.instants import NS_PER_S, parse_instant
from twin.leaks.windows import Window
from twin.networks import ImportOptions, import_network
from twin.readings import Quantity, ReadingBatch, Series
from twin.units import STORED_UNIT

NOW_NS = parse_instant("2018-06-01T00:00:00Z")
INP = """
[JUNCTIONS]
N0 5 0
A 10 2
B 12 3
C 14 1
[RESERVOIRS]
R 70
[TANKS]
T 50 3 0 10 10 0
[PIPES]
IN R N0 50 300 120 0 Open
TRUNK N0 A 1000 300 120 0 Open
AB A B 500 50 120 0 Open
AT A T 300 200 120 0 Open
BC B C 700 100 120 0 Open
AC A C 400 100 120 0 Closed
[OPTIONS]
Units LPS
Headloss H-W
[TIMES]
Duration 24:00
[END]
"""
"""A source, its stub, two zones (A B T and C, through BC or the closed AC)."""


@pytest.fixture(scope="session")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("imported")
    source = tmp_path_factory.mktemp("source") / "small.inp"
    source.write_text(INP)
    options = ImportOptions(
        time_zone="Europe/Berlin", model_start_ns=parse_instant("2018-01-01T00:00:00+01:00")
    )
    with Ledger.open_writer(home / "ledger", home / "keys", lambda: NOW_NS, wait_s=0.0) as ledger:
        import_network(source, options, ledger, lambda: NOW_NS)
    return home


@pytest.fixture
def journal(tmp_path: Path, imported: Path) -> Iterator[Ledger]:
    """A ledger with the network `small`, on the clock of Berlin."""
    shutil.copytree(imported, tmp_path, dirs_exist_ok=True)
    with Ledger.open_writer(
        tmp_path / "ledger", tmp_path / "keys", lambda: NOW_NS, wait_s=0.0
    ) as ledger:
        yield ledger


@pytest.fixture
def day() -> Window:
    """8 January 2018 in Berlin."""
    return Window(
        parse_instant("2018-01-08T00:00:00+01:00"), parse_instant("2018-01-09T00:00:00+01:00")
    )


ReadIn = Callable[..., None]


@pytest.fixture
def read_in(journal: Ledger) -> ReadIn:
    """Record readings: read_in("link:TRUNK", Quantity.FLOW, times_ns, values)."""

    def recorded(
        asset: str, quantity: Quantity, time_ns: Sequence[int], value: Sequence[float] | float
    ) -> None:
        n = len(time_ns)
        tag = f"{asset}.{quantity}"
        series = Series("small", tag, asset, quantity, STORED_UNIT[quantity], "test")
        values = np.broadcast_to(np.asarray(value, dtype=np.float64), (n,)).copy()
        times = np.array(time_ns, dtype=np.int64)
        journal.append(
            ReadingBatch((series,), np.zeros(n, np.int32), times, values, np.zeros(n, np.uint8))
        )
        journal.flush()

    return recorded


@pytest.fixture
def ticks(day: Window) -> list[int]:
    """Times every 15 minutes of the day, its end included."""
    return list(range(day.from_ns, day.to_ns + 1, 900 * NS_PER_S))


@pytest.fixture
def metered(read_in: ReadIn, ticks: list[int]) -> None:
    """10 L/s come in all day, the tank rises by 1 m, and pressures are 40 m, 50 m at night."""
    read_in("link:TRUNK", Quantity.FLOW, ticks, 0.010)
    read_in("link:BC", Quantity.FLOW, ticks, 0.002)
    read_in("node:T", Quantity.LEVEL, ticks, np.linspace(3.0, 4.0, len(ticks)).tolist())
    night = [50.0 if i < 20 else 40.0 for i in range(len(ticks))]
    for name in "ABC":
        read_in(f"node:{name}", Quantity.PRESSURE, ticks, night)


@pytest.fixture
def stated_text() -> Callable[..., bytes]:
    """The text of a file of stated facts: stated_text(billed_metered=(600, "m3", 2), …)."""

    def text(head: str = "", **facts: tuple[float, str, float]) -> bytes:
        lines = ['from = "2018-01-08T00:00:00+01:00"', 'to = "2018-01-09T00:00:00+01:00"', head]
        for name, (value, unit, percent) in facts.items():
            lines += [f"[facts.{name}]", f"value = {value}", f'unit = "{unit}"']
            lines += [f"margin_percent = {percent}", f'source = "who says {name}"']
        return "\n".join(lines).encode()

    return text


@pytest.fixture
def usual() -> Mapping[str, tuple[float, str, float]]:
    """Facts that a whole accounting of the network `small` needs."""
    return {
        "billed_metered": (600.0, "m3", 2.0),
        "billed_unmetered": (0.02, "ML", 10.0),
        "unbilled_metered": (0.0, "m3", 0.0),
        "unbilled_unmetered": (5_000.0, "L", 50.0),
        "unauthorised_consumption": (4.0, "m3", 100.0),
        "meter_under_registration": (2.0, "%", 50.0),
        "connections": (4_000.0, "1", 0.0),
        "service_length": (0.0, "km", 0.0),
        "mains_length": (100.0, "km", 0.0),
        "night_use_per_connection": (1.8, "L/h", 20.0),
        "pressure_exponent_n1": (1.0, "1", 0.0),
        "household_metered_share": (70.0, "%", 0.0),
        "outlet_pressure": (4.0, "bar", 0.0),
        "frost_depth": (80.0, "cm", 0.0),
    }
