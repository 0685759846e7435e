"""Whatever step of a write fails or is the last, nothing acknowledged is lost or doubled."""

from __future__ import annotations

import errno
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ledger.errors import StorageFailedError, WriterStoppedError
from ledger.fsck import fsck
from ledger.journal import Ledger
from twin.events import Event
from twin.readings import ReadingBatch

Batch = Callable[..., ReadingBatch]
ALL = (0, 2**63 - 1)
N_STEPS = 72  # more than the story takes: the last runs meet no failure


class Story:
    """Some writing, and what of it was acknowledged before it ended."""

    def __init__(self, home: Path, batch: Batch, event: Callable[[str], Event]) -> None:
        self.home = home
        self.batch = batch
        self.event = event
        self.events: list[str] = []
        self.n_readings = 0
        self.files: list[str] = []

    def tell(self, make_storage: Callable[[Path], Any]) -> None:
        with Ledger.open_writer(
            self.home / "ledger", self.home / "keys", lambda: 1, make_storage=make_storage
        ) as ledger:
            ledger.record([self.event("a")])
            self.events.append("a")
            self.files.append(ledger.keep_file(b"[TITLE]"))
            ledger.append(self.batch(7))
            ledger.flush()
            self.n_readings = 7

    def check(self, reopen: Callable[[Path], Ledger]) -> None:
        with reopen(self.home) as ledger:
            assert fsck(ledger.folder) == []
            self.check_counts(ledger)
            ledger.record([self.event("after")])
            self.check_counts(ledger)
            assert [r.event.subject for r in ledger.events()][-1] == "after"
            assert fsck(ledger.folder) == []

    def check_counts(self, ledger: Ledger) -> None:
        times = Counter(r.event.subject for r in ledger.events() if r.event.subject != "after")
        assert set(self.events) <= set(times)
        assert set(times.values()) <= {1}
        found = sum(len(ledger.column(series, *ALL)) for series in ledger.series())
        assert found in {self.n_readings, 7}
        for name in self.files:
            assert ledger.file(name) == b"[TITLE]"


@pytest.fixture
def story(tmp_path: Path, batch: Batch, event: Callable[[str], Event]) -> Callable[[], Story]:
    numbers = iter(range(10_000))

    def begin() -> Story:
        home = tmp_path / str(next(numbers))
        home.mkdir()
        return Story(home, batch, event)

    return begin


def test_a_power_cut_at_any_step_leaves_a_ledger_that_checks_out(
    story: Callable[[], Story],
    failing: Any,
    power_cut: type[BaseException],
    reopen: Callable[[Path], Ledger],
) -> None:
    for survived in range(N_STEPS):
        one = story()
        with suppress(power_cut):
            one.tell(lambda folder, n=survived: failing(folder, n, power_cut()))
        one.check(reopen)
    assert one.n_readings == 7


@pytest.mark.parametrize("names_last", [False, True])
def test_a_power_cut_that_loses_what_was_not_synced_loses_nothing_acknowledged(
    story: Callable[[], Story],
    forgetful: Any,
    power_cut: type[BaseException],
    reopen: Callable[[Path], Ledger],
    names_last: bool,  # noqa: FBT001
) -> None:
    for survived in range(N_STEPS):
        one = story()
        (one.home / "ledger").mkdir()
        disks = []

        def make(folder: Path, n: int = survived, disks: list[Any] = disks) -> Any:
            disks.append(forgetful(folder, n, names_last=names_last))
            return disks[-1]

        with suppress(power_cut):
            one.tell(make)
        disks[-1].cut_power()
        one.check(reopen)
    assert one.n_readings == 7


def failure_of(one: Story, make_storage: Callable[[Path], Any]) -> StorageFailedError | None:
    try:
        one.tell(make_storage)
    except StorageFailedError as error:
        return error
    return None


@pytest.mark.parametrize(("number", "first"), [(errno.ENOSPC, 0), (errno.EIO, 1)])
def test_a_disk_error_at_any_step_names_the_place_and_the_remedy(
    story: Callable[[], Story],
    failing: Any,
    reopen: Callable[[Path], Ledger],
    number: int,
    first: int,
) -> None:
    remedy = {errno.ENOSPC: "free some space", errno.EIO: "check the disk"}[number]
    n_failed = 0
    for survived in range(first, N_STEPS, 2):  # the steps in turn
        one = story()
        failed = failure_of(
            one, lambda folder, n=survived: failing(folder, n, OSError(number, "injected"))
        )
        if failed:
            n_failed += 1
            assert str(one.home) in str(failed)
            assert remedy in str(failed)
            assert failed.exit_code == 1
        one.check(reopen)
    assert 25 < n_failed < N_STEPS // 2


def test_after_an_error_the_writer_takes_nothing_until_it_is_opened_again(
    tmp_path: Path,
    failing: Any,
    batch: Batch,
    event: Callable[[str], Event],
    reopen: Callable[[Path], Ledger],
) -> None:
    disks = []

    def make(folder: Path) -> Any:
        disks.append(failing(folder, 10_000, OSError(errno.EIO, "injected")))
        return disks[-1]

    with Ledger.open_writer(
        tmp_path / "ledger", tmp_path / "keys", lambda: 1, make_storage=make
    ) as ledger:
        ledger.record([event("a")])
        disks[-1].left = 3
        with pytest.raises(StorageFailedError):
            ledger.record([event("b")])
        disks[-1].left = 10_000
        for write in (
            lambda: ledger.record([event("c")]),
            lambda: ledger.append(batch(3)),
            ledger.flush,
            lambda: ledger.keep_file(b"x"),
        ):
            with pytest.raises(WriterStoppedError, match="open it again"):
                write()
        assert [r.event.subject for r in ledger.events()] == ["a"]
    with reopen(tmp_path) as ledger:
        assert [r.event.subject for r in ledger.events()] == ["a"]
        ledger.record([event("c")])
    assert fsck(tmp_path / "ledger") == []


def test_a_power_cut_where_a_tile_becomes_whole_leaves_a_ledger_that_checks_out(
    tmp_path: Path,
    failing: Any,
    power_cut: type[BaseException],
    event: Callable[[str], Event],
    reopen: Callable[[Path], Ledger],
) -> None:
    with reopen(tmp_path / "whole") as ledger:
        for number in range(255):
            ledger.record([event(str(number))])
        assert len(list(ledger.events())) == 255  # indexed once, before it is copied
    for path in (tmp_path / "whole/ledger/tile").rglob("*.p/*"):
        if int(path.name) < 250:
            path.unlink()  # older partial tiles may go: the copies below are quicker
    for survived in range(22, 75, 6):
        home = tmp_path / str(survived)
        shutil.copytree(tmp_path / "whole", home)
        acknowledged = 255
        with (
            suppress(power_cut),
            Ledger.open_writer(
                home / "ledger",
                home / "keys",
                lambda: 1,
                make_storage=lambda folder, n=survived: failing(folder, n, power_cut()),
            ) as ledger,
        ):
            for number in (255, 256):
                ledger.record([event(str(number))])
                acknowledged += 1
        with reopen(home) as ledger:
            assert acknowledged <= ledger.height <= acknowledged + 1
            ledger.record([event("after")])
            subjects = [r.event.subject for r in ledger.events()]
            assert len(set(subjects)) == len(subjects)
        assert fsck(home / "ledger") == []
        shutil.rmtree(home)


def test_what_is_written_is_read_back_before_it_is_signed(
    tmp_path: Path, failing: Any, event: Callable[[str], Event], reopen: Callable[[Path], Ledger]
) -> None:
    class BendingStorage(failing):  # type: ignore[misc]
        """A disk that bends one bit of a body on its way to the plate."""

        def _write_bytes(self, place: Path, content: bytes) -> None:
            bent = bytes((content[0] ^ 1,)) + content[1:] if "blocks" in place.parts else content
            super()._write_bytes(place, bent)

    with (
        pytest.raises(StorageFailedError, match=r"blocks/000: reading back"),
        Ledger.open_writer(
            tmp_path / "ledger",
            tmp_path / "keys",
            lambda: 1,
            make_storage=lambda folder: BendingStorage(folder, 10_000, OSError()),
        ) as ledger,
    ):
        ledger.record([event("a")])
    with reopen(tmp_path) as ledger:
        assert ledger.height == 0
