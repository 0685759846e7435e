"""`kill -9` at any moment loses nothing that was acknowledged, and doubles nothing."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ledger.fsck import fsck
from ledger.journal import Ledger
from twin.readings import Quantity, Series

WRITER = """
import sys, time
from pathlib import Path
import numpy as np
from ledger.journal import Ledger
from twin.readings import Quantity, ReadingBatch, Series
home = Path(sys.argv[1])
series = (Series("n", "t", "node:1", Quantity.PRESSURE, "m", "csv"),)
zeros = np.zeros(50, np.int32), np.zeros(50, np.uint8)
with Ledger.open_writer(home / "ledger", home / "keys", time.time_ns) as ledger:
    last = ledger.last_time_ns(series[0]) or 2**40
    print("open", last, flush=True)
    while True:
        times = last + 1 + np.arange(50)
        ledger.append(ReadingBatch(series, zeros[0], times, np.ones(50), zeros[1]))
        ledger.flush()
        last = int(times[-1])
        print("acknowledged", last, flush=True)
"""
SERIES = Series("n", "t", "node:1", Quantity.PRESSURE, "m", "csv")


@pytest.mark.parametrize("seed", range(3))
def test_nothing_acknowledged_is_lost_or_doubled_by_kill_9(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret
    acknowledged = 0
    for _ in range(3):
        acknowledged = max(acknowledged, run_and_kill(tmp_path, chance.randint(1, 12)))
        reader = Ledger.open_reader(tmp_path / "ledger")
        times = reader.column(SERIES, 0, 2**63 - 1).time_ns.tolist()
        reader.close()
        last = times[-1] if times else 2**40
        assert times == list(range(2**40 + 1, last + 1))
        assert acknowledged <= last <= max(acknowledged, 2**40) + 50
        assert fsck(tmp_path / "ledger") == []
    with Ledger.open_writer(tmp_path / "ledger", tmp_path / "keys", lambda: 1):
        assert fsck(tmp_path / "ledger") == []


def run_and_kill(home: Path, n_lines: int) -> int:
    """Let a writer acknowledge some batches, kill it, and return the last time it acknowledged."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(home)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(n_lines)]
        writer.send_signal(signal.SIGKILL)
        lines += writer.stdout.readlines()  # what it still said before it died
    whole = [line for line in lines if line.endswith("\n")]
    assert whole
    return int(whole[-1].split()[1])
