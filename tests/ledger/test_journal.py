"""The ledger keeps what it is given, in order, and gives it back by series, kind and place."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import (
    KeyFileError,
    LedgerBusyError,
    LedgerDamagedError,
    RecordRefusedError,
    WriterStoppedError,
)
from ledger.fsck import fsck
from ledger.index import INDEX_FILE
from ledger.journal import Ledger
from ledger.records import Correction
from twin.errors import NotFoundError
from twin.events import Event, EventKind, RecordRef
from twin.ports import Journal
from twin.readings import PrivacyClass, Quantity, ReadingBatch, Series

Batch = Callable[..., ReadingBatch]
Reopen = Callable[[Path], Ledger]
ALL = (0, 2**63 - 1)


def test_a_ledger_is_a_journal(writer: Ledger) -> None:
    journal: Journal = writer
    assert journal.height == 0
    assert list(journal.events()) == []
    assert journal.series() == []
    assert journal.flush() == []


def test_events_come_back_in_order_by_kind_network_and_height(writer: Ledger) -> None:
    first = [Event(EventKind.TRACE, "a", f"t{i}", i, {"i": i}) for i in range(3)]
    second = [Event(EventKind.LEAK_RUN, "b", "r", 9, {})]
    refs = writer.record(first) + writer.record(second)
    assert refs == [RecordRef(0, 0), RecordRef(0, 1), RecordRef(0, 2), RecordRef(1, 0)]
    assert [r.event for r in writer.events()] == first + second
    assert [r.event for r in writer.events([EventKind.LEAK_RUN])] == second
    assert [r.event for r in writer.events((), "a")] == first
    assert [r.ref for r in writer.events(from_height=1)] == [RecordRef(1, 0)]
    assert writer.event_at(RecordRef(0, 1)).event == first[1]
    assert writer.events_about(EventKind.LEAK_RUN, "r")[0].ref == RecordRef(1, 0)
    for missing in (RecordRef(0, 3), RecordRef(2, 0), RecordRef(-1, 0)):
        with pytest.raises(NotFoundError):
            writer.event_at(missing)


def test_no_events_make_no_block(writer: Ledger) -> None:
    assert writer.record([]) == []
    assert writer.height == 0


def test_readings_are_sealed_by_ten_thousand_and_at_the_flush(writer: Ledger, batch: Batch) -> None:
    assert writer.append(batch(9_999)) == []
    assert writer.n_waiting == 9_999
    assert writer.height == 0
    (block,) = writer.append(batch(2, first=9_999))
    assert (block.height, block.n_readings, block.n_records) == (0, 10_000, 10_003)
    (rest,) = writer.flush()
    assert (rest.height, rest.n_readings, rest.n_records) == (1, 1, 1)
    assert list(writer.blocks()) == [block, rest]
    assert list(writer.blocks(1)) == [rest]
    assert writer.flush() == []


def test_a_batch_larger_than_blocks_is_cut(writer: Ledger, batch: Batch) -> None:
    sealed = writer.append(batch(25_000)) + writer.flush()
    assert [block.n_readings for block in sealed] == [10_000, 10_000, 5_000]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 9_000), min_size=1, max_size=4), st.integers(1, 7))
def test_a_column_holds_what_was_appended_however_it_was_cut(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], n_series: int
) -> None:
    from_conftest = tmp_path_factory.mktemp("home")
    make = _make(n_series)
    with Ledger.open_writer(from_conftest / "ledger", from_conftest / "keys", lambda: 1) as ledger:
        start = 0
        for size in sizes:
            ledger.append(make(start, size))
            start += size
        ledger.flush()
        whole = make(0, start)
        for index, series in enumerate(ledger.series()):
            mine = whole.series_index == index
            column = ledger.column(series, *ALL)
            np.testing.assert_array_equal(column.time_ns, whole.time_ns[mine])
            np.testing.assert_array_equal(column.value, whole.value[mine])
            np.testing.assert_array_equal(column.quality, whole.quality[mine])


def _make(n_series: int) -> Callable[[int, int], ReadingBatch]:
    series = tuple(
        Series("n", f"t{i}", f"node:{i}", Quantity.PRESSURE, "m", "csv") for i in range(n_series)
    )

    def make(first: int, size: int) -> ReadingBatch:
        row = np.arange(first, first + size)
        index = (row % n_series).astype(np.int32)
        return ReadingBatch(
            series, index, 2**40 + row * 10**9, row / 7, (row % 24).astype(np.uint8)
        )

    return make


def test_a_column_is_of_its_window_and_in_order_of_time(writer: Ledger, batch: Batch) -> None:
    later, earlier = batch(30, first=60), batch(30)
    for part in (later, earlier):
        writer.append(part)
        writer.flush()
    series = later.series[1]
    column = writer.column(series, int(earlier.time_ns[3]), int(later.time_ns[-1]))
    assert np.all(np.diff(column.time_ns) > 0)
    assert column.time_ns[0] == earlier.time_ns[3]
    assert column.time_ns[-1] < later.time_ns[-1]
    assert set(column.height.tolist()) == {0, 1}
    assert len(writer.column(series, 0, int(earlier.time_ns[0]))) == 0
    assert writer.last_time_ns(series) == later.time_ns[-1]


def test_each_reading_of_a_column_stands_at_its_place(writer: Ledger, batch: Batch) -> None:
    writer.append(batch(20))
    writer.flush()
    column = writer.column(batch(1).series[2], *ALL)
    leaves, _ = writer.checked_block(0)
    for time_ns, place in zip(column.time_ns, column.leaf_index, strict=True):
        assert int.from_bytes(leaves[place][19:27], "big") == time_ns


def test_a_series_is_described_once_and_in_order(writer: Ledger, batch: Batch) -> None:
    writer.append(batch(6))
    writer.flush()
    writer.append(batch(6, first=6))
    writer.flush()
    assert writer.series("ltown") == list(batch(1).series)
    assert writer.series("elsewhere") == []
    assert [block.n_records for block in writer.blocks()] == [9, 6]


def test_a_series_of_the_batch_without_a_reading_is_not_described(
    writer: Ledger, batch: Batch
) -> None:
    writer.append(batch(1))
    writer.flush()
    assert writer.series() == [batch(1).series[0]]


def test_a_reader_sees_new_blocks_and_only_sealed_ones(
    writer: Ledger, batch: Batch, event: Callable[[str], Event]
) -> None:
    writer.record([event("a")])
    reader = Ledger.open_reader(writer.folder)
    assert reader.height == 1
    writer.append(batch(3))
    assert reader.height == 1
    writer.flush()
    writer.record([event("b")])
    assert reader.height == 3
    assert [r.event.subject for r in reader.events()] == ["a", "b"]
    assert len(reader.column(batch(1).series[0], *ALL)) == 1
    with pytest.raises(WriterStoppedError):
        reader.record([event("c")])
    reader.close()


def test_the_index_can_be_dropped_or_damaged_and_is_made_anew(
    writer: Ledger, batch: Batch, event: Callable[[str], Event]
) -> None:
    writer.record([event("a")])
    writer.append(batch(12))
    writer.flush()
    wanted = writer.column(batch(1).series[0], *ALL)
    index = writer.folder / INDEX_FILE
    writer.close()
    for damage in (b"", b"not a database at all" * 100, None):
        for suffix in ("-wal", "-shm"):
            index.with_name(INDEX_FILE + suffix).unlink(missing_ok=True)
        index.unlink() if damage is None else index.write_bytes(damage)
        reader = Ledger.open_reader(writer.folder)
        np.testing.assert_array_equal(reader.column(batch(1).series[0], *ALL).value, wanted.value)
        assert len(list(reader.events())) == 1
        reader.close()


def test_the_index_of_another_ledger_is_not_believed(
    tmp_path: Path, reopen: Reopen, event: Callable[[str], Event]
) -> None:
    for name in ("one", "two"):
        with reopen(tmp_path / name) as ledger:
            ledger.record([event(name)])
            assert ledger.height == len(list(ledger.events()))
    (tmp_path / "one/ledger" / INDEX_FILE).replace(tmp_path / "two/ledger" / INDEX_FILE)
    reader = Ledger.open_reader(tmp_path / "two/ledger")
    assert [r.event.subject for r in reader.events()] == ["two"]


def test_a_kept_file_comes_back_and_a_bent_one_does_not(writer: Ledger) -> None:
    name = writer.keep_file(b"[JUNCTIONS]")
    assert writer.keep_file(b"[JUNCTIONS]") == name
    assert writer.file(name) == b"[JUNCTIONS]"
    for wrong in ("0" * 64, "../vkey", "", name.upper()):
        with pytest.raises(NotFoundError):
            writer.file(wrong)
    (writer.folder / "files" / name).write_bytes(b"[JUNCTIONs]")
    with pytest.raises(LedgerDamagedError, match=name):
        writer.file(name)


def test_a_correction_names_a_record_that_is_there(writer: Ledger, batch: Batch) -> None:
    writer.append(batch(3))
    writer.flush()
    correction = Correction(0, 4, 5, 1.5, 2, "ops", "scale")
    (ref,) = writer.correct([correction])
    assert writer.corrections() == [(ref, correction)]
    for height, index in ((0, 6), (0, -1), (2, 0)):
        with pytest.raises(NotFoundError):
            writer.correct([Correction(height, index, 5, 1.5, 2, "ops", "scale")])
    assert fsck(writer.folder) == []


def test_a_refused_batch_leaves_nothing_waiting(writer: Ledger, batch: Batch) -> None:
    good = batch(3)
    personal = Series("n", "m", "user:1", Quantity.VOLUME, "m3", "csv", PrivacyClass.PERSONAL)
    bad = ReadingBatch(
        (personal, *good.series[1:]), good.series_index, good.time_ns, good.value, good.quality
    )
    with pytest.raises(RecordRefusedError, match="personal"):
        writer.append(bad)
    with pytest.raises(RecordRefusedError, match="finite"):
        writer.append(ReadingBatch(*_columns(good), good.value * np.nan, good.quality))
    assert writer.n_waiting == 0
    assert writer.flush() == []


def _columns(good: ReadingBatch) -> tuple[tuple[Series, ...], object, object]:
    return good.series, good.series_index, good.time_ns


def test_one_refused_event_keeps_all_of_its_call_out(
    writer: Ledger, event: Callable[[str], Event]
) -> None:
    bad = Event(EventKind.TRACE, "n", "bad", 5, {"x": float("inf")})
    with pytest.raises(RecordRefusedError, match="bad"):
        writer.record([event("good"), bad])
    assert writer.height == 0


def test_a_second_writer_is_told_who_writes(writer: Ledger, reopen: Reopen) -> None:
    with pytest.raises(LedgerBusyError, match=rf"process {os.getpid()} is writing .* wait"):
        reopen(writer.folder.parent)
    writer.close()
    reopen(writer.folder.parent).close()


def test_the_key_is_made_for_one_user_only(writer: Ledger) -> None:
    key = writer.folder.parent / "keys/ledger.pem"
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.parent.stat().st_mode & 0o777 == 0o700


def test_a_missing_key_stops_the_writer_and_not_the_reader(
    writer: Ledger, reopen: Reopen, event: Callable[[str], Event]
) -> None:
    writer.record([event("a")])
    writer.close()
    home = writer.folder.parent
    (home / "keys/ledger.pem").unlink()
    with pytest.raises(KeyFileError, match=r"ledger\.pem: the signing key .* missing; put it back"):
        reopen(home)
    assert Ledger.open_reader(home / "ledger").height == 1


def test_a_wrong_key_is_refused(tmp_path: Path, reopen: Reopen) -> None:
    for name in ("one", "two"):
        reopen(tmp_path / name).close()
    (tmp_path / "one/keys/ledger.pem").replace(tmp_path / "two/keys/ledger.pem")
    with pytest.raises(KeyFileError, match="not the key that signs"):
        reopen(tmp_path / "two")


@pytest.mark.parametrize("content", [b"", b"hello", b"-----BEGIN PRIVATE KEY-----\n"])
def test_a_damaged_key_is_refused(writer: Ledger, reopen: Reopen, content: bytes) -> None:
    writer.close()
    (writer.folder.parent / "keys/ledger.pem").write_bytes(content)
    with pytest.raises(KeyFileError, match="not an Ed25519 private key"):
        reopen(writer.folder.parent)


def test_a_key_that_others_can_read_is_refused(writer: Ledger, reopen: Reopen) -> None:
    writer.close()
    (writer.folder.parent / "keys/ledger.pem").chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        reopen(writer.folder.parent)


def test_a_ledger_that_lost_its_checkpoint_is_not_begun_anew(
    writer: Ledger, reopen: Reopen, event: Callable[[str], Event]
) -> None:
    writer.record([event("a")])
    writer.close()
    (writer.folder / "checkpoint").unlink()
    with pytest.raises(LedgerDamagedError, match=r"checkpoint.*missing"):
        reopen(writer.folder.parent)
    with pytest.raises(LedgerDamagedError, match=r"checkpoint.*missing"):
        Ledger.open_reader(writer.folder)


def test_a_folder_without_a_ledger_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="twin import"):
        Ledger.open_reader(tmp_path / "ledger")


def test_block_times_never_fall_although_the_clock_does(
    tmp_path: Path, event: Callable[[str], Event]
) -> None:
    now = iter([50, 20, 70])
    with Ledger.open_writer(tmp_path / "l", tmp_path / "k", lambda: next(now)) as ledger:
        for name in "abc":
            ledger.record([event(name)])
        assert [block.time_ns for block in ledger.blocks()] == [50, 50, 70]


def test_a_log_beyond_one_tile_reads_proves_and_checks_out(
    tmp_path: Path, reopen: Reopen, event: Callable[[str], Event]
) -> None:
    for first, stop in ((0, 200), (200, 255), (255, 256), (256, 257), (257, 300)):
        with reopen(tmp_path) as ledger:
            for number in range(first, stop):
                ledger.record([event(str(number))])
    reader = Ledger.open_reader(tmp_path / "ledger")
    assert reader.height == 300
    assert [r.event.subject for r in reader.events()] == [str(n) for n in range(300)]
    assert fsck(tmp_path / "ledger") == []
    assert not list((tmp_path / "ledger/tile/0/000.p").iterdir())
