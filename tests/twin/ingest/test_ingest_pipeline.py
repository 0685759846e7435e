"""The pipeline on the real ledger: each reading once, whatever comes twice, late or half."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.journal import Ledger
from twin.events import SealedBlock
from twin.ingest.delimited import read_delimited
from twin.ingest.deliveries import Delivery, FileUnreadableError
from twin.ingest.sieve import Sieve
from twin.instants import parse_instant
from twin.pipeline import ingest, rehearse
from twin.readings import Column, Quantity, ReadingBatch, Series
from twin.tags import Intake

OpenIntake = Callable[..., Intake]
OpenLedger = Callable[[], Ledger]
Write = Callable[..., Path]

T0 = parse_instant("2018-01-01T00:00:00+02:00")
STEP = 300 * 10**9
SERIES = tuple(
    Series("net", tag, f"node:{tag}", Quantity.PRESSURE, "m", "csv") for tag in ("n1", "n4")
)


def rows(n_rows: int, *, first: int = 0) -> str:
    """Return a wide file of two tags, with other values in every row."""
    lines = ["time,n1,n4"]
    for i in range(first, first + n_rows):
        day, minute = divmod(i, 288)
        clock = f"{minute // 12:02d}:{minute % 12 * 5:02d}:00"
        lines.append(f"2018-01-{day + 1:02d} {clock},{i}.25,{i}.5")
    return "\n".join(lines) + "\n"


def held(ledger: Ledger) -> dict[str, list[tuple[int, float]]]:
    found = {}
    for series in ledger.series():
        column = ledger.column(series, 0, 2**62)
        found[series.tag] = list(zip(column.time_ns.tolist(), column.value.tolist(), strict=True))
    return found


def test_what_a_file_holds_is_recorded_once_however_often_it_is_run(
    write: Write, intake_of: OpenIntake, ledger: Ledger, now_ns: int
) -> None:
    path = write(rows(20))
    first = ingest(ledger, read_delimited(path, intake_of()), lambda: now_ns)
    assert (first.recorded, first.duplicates, len(first.blocks)) == (40, 0, 1)
    recorded, height = held(ledger), ledger.height
    again = ingest(ledger, read_delimited(path, intake_of()), lambda: now_ns)
    assert (again.recorded, again.duplicates, again.blocks) == (0, 40, ())
    assert (held(ledger), ledger.height) == (recorded, height)
    assert [at_ns for at_ns, _ in recorded["n1"]] == [T0 + i * STEP for i in range(20)]


def test_blocks_close_by_count_and_at_the_end_of_the_file_and_are_told_when_durable(
    write: Write, intake_of: OpenIntake, ledger: Ledger, now_ns: int
) -> None:
    told: list[tuple[int, int]] = []

    def on_block(block: SealedBlock) -> None:
        told.append((block.n_readings, ledger.height))

    report = ingest(
        ledger, read_delimited(write(rows(6_000)), intake_of()), lambda: now_ns, on_block=on_block
    )
    assert [n for n, _ in told] == [10_000, 2_000]
    assert report.recorded == 12_000
    assert [block.n_readings for block in ledger.blocks()] == [10_000, 2_000]


def test_the_rules_judge_once_when_all_is_durable_and_see_what_a_crash_left_unjudged(
    write: Write, intake_of: OpenIntake, ledger: Ledger, now_ns: int
) -> None:
    windows: list[tuple[int, int, int]] = []

    def evaluate(from_ns: int, to_ns: int) -> int:
        windows.append((from_ns, to_ns, ledger.n_waiting))
        return 3

    path = write(rows(4))
    for _ in range(2):  # the second time, all of it is there already
        report = ingest(
            ledger, read_delimited(path, intake_of()), lambda: now_ns, evaluate=evaluate
        )
        assert report.evaluations == 3
    assert windows == [(T0, T0 + 3 * STEP + 1, 0)] * 2


def test_a_contradicting_duplicate_is_rejected_with_both_values_and_what_came_first_stays(
    write: Write, intake_of: OpenIntake, ledger: Ledger, now_ns: int
) -> None:
    ingest(ledger, read_delimited(write(rows(2)), intake_of()), lambda: now_ns)
    before = held(ledger)
    text = (
        "time,n1,n4\n2018-01-01 00:00:00,9.5,0.5\n2018-01-01 00:10:00,1,2\n"
        "2018-01-01 00:10:00,1.5,2\n"
    )
    report = ingest(ledger, read_delimited(write(text), intake_of()), lambda: now_ns)
    assert report.rejected.counts == {"contradiction": 2}
    assert [finding.message for finding in report.rejected.examples] == [
        (
            "line 2, n1: 9.5 m at 2017-12-31T22:00:00Z, but what was recorded before is 0.25 m; "
            "what came first stays"
        ),
        "line 4, n1: 1.5 m at 2017-12-31T22:10:00Z, but line 3 says 1.0 m; what came first stays",
    ]
    assert (report.recorded, report.duplicates) == (2, 2)
    after = held(ledger)
    assert after["n1"] == [*before["n1"], (T0 + 2 * STEP, 1.0)]


def test_another_quality_is_a_contradiction_too(
    write: Write, intake_of: OpenIntake, ledger: Ledger, now_ns: int
) -> None:
    line = "2018-01-01 00:00:00,n1,1.0"
    text = f"time,tag,value,quality\n{line},good\n{line},bad\n{line},good\n"
    report = ingest(ledger, read_delimited(write(text), intake_of()), lambda: now_ns)
    assert (report.recorded, report.duplicates, report.rejected.total) == (1, 1, 1)
    assert "1.0 m (bad, quality 16)" in report.rejected.examples[0].message


def test_a_time_in_the_future_is_rejected_and_now_is_not(
    write: Write, intake_of: OpenIntake, ledger: Ledger
) -> None:
    report = ingest(ledger, read_delimited(write(rows(3)), intake_of()), lambda: T0 + STEP)
    assert (report.recorded, report.rejected.counts) == (4, {"time-in-future": 2})
    assert "line 4, n1: 2017-12-31T22:10:00Z lies in the future" in (
        report.rejected.examples[0].message
    )


def test_a_rehearsal_says_what_would_be_and_writes_nothing(
    write: Write, intake_of: OpenIntake, ledger: Ledger, now_ns: int
) -> None:
    ingest(ledger, read_delimited(write(rows(2)), intake_of()), lambda: now_ns)
    height = ledger.height
    path = write(rows(3) + "2018-01-01 00:10:00,7,x\n2018-01-01 00:10:00,2.25,\n")
    dry = rehearse(ledger, read_delimited(path, intake_of()), lambda: now_ns)
    assert (ledger.height, ledger.n_waiting) == (height, 0)
    wet = ingest(ledger, read_delimited(path, intake_of()), lambda: now_ns)
    for report in (dry, wet):
        assert (report.recorded, report.duplicates, report.gaps) == (2, 5, 1)
        assert report.rejected.counts == {"contradiction": 1, "value-unreadable": 1}
    assert dry.blocks == ()


def test_a_file_that_is_refused_leaves_the_ledger_as_it_was(
    write: Write, intake_of: OpenIntake, ledger: Ledger
) -> None:
    path = write(rows(8_000).encode() + b"2018-03-01 00:00:00,1,\xff\n")
    with pytest.raises(FileUnreadableError, match="line 8002 is not UTF-8"):
        read_delimited(path, intake_of())
    assert (ledger.height, ledger.n_waiting) == (0, 0)


KILLED = """
import os, signal, sys
from pathlib import Path
from ledger.journal import Ledger
from twin.ingest.delimited import read_delimited
from twin.pipeline import ingest
from twin.assets import Asset, AssetKind
from twin.ids import parse_ref
from twin.tags import open_intake, read_tag_map

folder, survives, now_ns = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
assets = {parse_ref(f"node:{n}"): Asset(parse_ref(f"node:{n}"), AssetKind.JUNCTION)
          for n in ("n1", "n4")}
intake = open_intake(read_tag_map(folder / "tags.yaml"), "net", assets, source="csv")
told = []

def on_block(block):
    told.append(block)
    print(block.n_readings, flush=True)
    if len(told) == survives:
        os.kill(os.getpid(), signal.SIGKILL)

with Ledger.open_writer(folder / "ledger", folder / "keys", lambda: now_ns) as ledger:
    ingest(ledger, read_delimited(folder / "readings.csv", intake), lambda: now_ns,
           on_block=on_block)
"""


@pytest.mark.parametrize("survives", [1, 2])
def test_after_kill_9_nothing_told_is_lost_and_running_again_completes_it(  # noqa: PLR0913, PLR0917 - its fixtures
    survives: int,
    tmp_path: Path,
    write: Write,
    intake_of: OpenIntake,
    open_ledger: OpenLedger,
    now_ns: int,
) -> None:
    path = write(rows(8_000))
    write(
        "time_zone: +02:00\ntags:\n  - {tag: n1, asset: n1, quantity: pressure, unit: m}\n"
        "  - {tag: n4, asset: n4, quantity: pressure, unit: bar}\n",
        "tags.yaml",
    )
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(survives), str(now_ns)]
    killed = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3]
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    n_told = sum(map(int, killed.stdout.split()))
    assert n_told == min(16_000, 10_000 * survives)
    with open_ledger() as ledger:
        report = ingest(ledger, read_delimited(path, intake_of()), lambda: now_ns)
        assert report.duplicates >= n_told
        assert report.recorded + report.duplicates == 16_000
        times = [T0 + i * STEP for i in range(8_000)]
        assert {tag: [at_ns for at_ns, _ in row] for tag, row in held(ledger).items()} == {
            "n1": times,
            "n4": times,
        }


# Laws of the sieve, against a dictionary.


class Nothing:
    """A record that holds nothing."""

    def column(self, series: Series, from_ns: int, to_ns: int) -> Column:
        del from_ns, to_ns
        none = np.zeros(0, dtype=np.int64)
        return Column(series, none, np.zeros(0), np.zeros(0, dtype=np.uint8), none, none)


readings = st.tuples(st.integers(0, 1), st.integers(0, 3), st.sampled_from([1.0, 2.0]))


def deliveries_of(batches: list[list[tuple[int, int, float]]]) -> Iterator[Delivery]:
    for batch in batches:
        series, time, value = zip(*batch, strict=True) if batch else ((), (), ())
        yield Delivery(
            ReadingBatch(
                SERIES,
                np.array(series, dtype=np.int32),
                T0 + np.array(time, dtype=np.int64),
                np.array(value, dtype=np.float64),
                np.zeros(len(batch), dtype=np.uint8),
            ),
            np.zeros(len(batch), dtype=np.int64),
        )


@settings(deadline=None)
@given(st.lists(st.lists(readings, max_size=8), max_size=5))
def test_the_first_of_each_key_is_picked_and_every_other_is_counted(
    batches: list[list[tuple[int, int, float]]],
) -> None:
    sieve = Sieve(Nothing(), lambda: T0 + 10)  # type: ignore[arg-type]
    picked = []
    kept: dict[tuple[int, int], float] = {}
    n_same = n_other = 0
    for batch, delivery in zip(batches, deliveries_of(batches), strict=True):
        new = sieve.pick(delivery)
        picked += list(
            zip(new.series_index.tolist(), (new.time_ns - T0).tolist(), new.value, strict=True)
        )
        for series, time, value in batch:
            n_same += kept.get((series, time)) == value
            n_other += kept.get((series, time), value) != value
            kept.setdefault((series, time), value)
    assert picked == [(series, time, value) for (series, time), value in kept.items()]
    assert sieve.picked.recorded == len(kept)
    assert sieve.picked.duplicates == n_same
    assert sieve.picked.rejected.total == n_other
