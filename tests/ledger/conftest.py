"""What the tests of the ledger share: a clock, batches, and disks that fail on demand."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from hashlib import shake_256
from pathlib import Path

import numpy as np
import pytest

from ledger.journal import Ledger
from ledger.storage import Storage
from twin.events import Event, EventKind
from twin.readings import Quantity, ReadingBatch, Series

NOW_NS = 1_700_000_000_000_000_000
START_NS = 1_522_000_000_000_000_000


class PowerCutError(BaseException):
    """The machine stops: nothing of ours catches it."""


class QuickStorage(Storage):
    """A disk that does not wait for the plate, so that a suite can make thousands of blocks."""

    def _sync_file(self, _handle: int) -> None:
        pass

    def _sync_folder(self, _place: Path) -> None:
        pass


class FailingStorage(QuickStorage):
    """A disk whose n-th step fails: with an error of the system, or as the machine's last step.

    A write that fails has written half of its bytes.
    """

    def __init__(self, folder: Path, survived: int, failure: BaseException) -> None:
        super().__init__(folder)
        self.left = survived
        self.failure = failure
        self.n_steps = 0

    def step(self) -> None:
        self.n_steps += 1
        if self.left == 0:
            raise self.failure
        self.left -= 1

    def _write_bytes(self, place: Path, content: bytes) -> None:
        try:
            self.step()
        except BaseException:
            place.write_bytes(content[: len(content) // 2])
            raise
        super()._write_bytes(place, content)

    def _sync_file(self, _handle: int) -> None:
        self.step()

    def _sync_folder(self, _place: Path) -> None:
        self.step()

    def _rename(self, old: Path, new: Path) -> None:
        self.step()
        super()._rename(old, new)

    def _remove(self, place: Path) -> None:
        self.step()
        super()._remove(place)

    def _make_folder(self, place: Path) -> None:
        self.step()
        super()._make_folder(place)


class ForgetfulStorage(FailingStorage):
    """A disk that loses at a power cut whatever was not synced.

    With `names_last`, names outlive the cut without a sync of their folder, though bytes do not, as
    on a file system that writes its journal first.
    """

    def __init__(self, folder: Path, survived: int, *, names_last: bool) -> None:
        super().__init__(folder, survived, PowerCutError())
        self.names_last = names_last
        self.unsynced: set[Path] = set()
        self.durable = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        self.durable_folders = {p for p in folder.rglob("*") if p.is_dir()} | {folder}

    def _write_bytes(self, place: Path, content: bytes) -> None:
        self.unsynced.add(place)
        super()._write_bytes(place, content)
        self.unsynced.discard(place)

    def _sync_folder(self, place: Path) -> None:
        super()._sync_folder(place)
        if place.parent in self.durable_folders | {self.folder.parent}:
            self.durable_folders |= {p for p in place.iterdir() if p.is_dir()}
        for path in [p for p in self.durable if p.parent == place]:
            del self.durable[path]
        for path in place.iterdir():
            if path.is_file():
                self.durable[path] = b"" if path in self.unsynced else path.read_bytes()

    def _rename(self, old: Path, new: Path) -> None:
        super()._rename(old, new)
        if old in self.unsynced:
            self.unsynced.add(new)
        self.unsynced.discard(old)

    def cut_power(self) -> None:
        """Leave on the disk what a power cut leaves."""
        if self.names_last:
            for path in self.unsynced:
                path.write_bytes(b"")
            return
        shutil.rmtree(self.folder)
        self.folder.mkdir()
        for path, content in self.durable.items():
            if path.parent in self.durable_folders:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)


def make_series(n_series: int) -> tuple[Series, ...]:
    return tuple(
        Series("ltown", f"p-{i}", f"node:n{i}", Quantity.PRESSURE, "m", "csv")
        for i in range(n_series)
    )


def make_batch(n: int, n_series: int = 3, first: int = 0) -> ReadingBatch:
    """Return `n` readings, five minutes apart, in turn over the series, from the `first`-th on."""
    row = np.arange(first, first + n)
    return ReadingBatch(
        make_series(n_series),
        (row % n_series).astype(np.int32),
        START_NS + (row // n_series) * 300_000_000_000,
        20.0 + row / 8,
        np.zeros(n, np.uint8),
    )


def make_event(subject: str) -> Event:
    return Event(EventKind.TRACE, "ltown", subject, START_NS, {"n": 1, "share": 0.5})


def fixed_entropy() -> Callable[[int], bytes]:
    """Return bytes that look random and are the same in each run."""
    calls = iter(range(1_000_000))
    return lambda n_bytes: shake_256(f"test {next(calls)}".encode()).digest(n_bytes)


def open_quick(home: Path) -> Ledger:
    return Ledger.open_writer(
        home / "ledger", home / "keys", lambda: NOW_NS, make_storage=QuickStorage
    )


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Ledger]:
    with open_quick(tmp_path) as ledger:
        yield ledger


@pytest.fixture
def batch() -> Callable[..., ReadingBatch]:
    return make_batch


@pytest.fixture
def event() -> Callable[[str], Event]:
    return make_event


@pytest.fixture
def reopen() -> Callable[[Path], Ledger]:
    return open_quick


@pytest.fixture
def failing() -> type[FailingStorage]:
    return FailingStorage


@pytest.fixture
def forgetful() -> type[ForgetfulStorage]:
    return ForgetfulStorage


@pytest.fixture
def power_cut() -> type[PowerCutError]:
    return PowerCutError


@pytest.fixture
def entropy() -> Callable[[int], bytes]:
    return fixed_entropy()
