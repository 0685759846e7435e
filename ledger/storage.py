"""The one door to the ledger's folder: every write is whole and durable when it returns.

A file is written beside its place, fsynced, renamed, and its folder fsynced, so a reader sees the
old bytes or the new ones. Each step to the system is a method of its own, so that tests can make
each of them fail.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from ledger.errors import LedgerDamagedError, StorageFailedError

PART: Final = ".part"


class Storage:
    """Files below one folder, named by their relative path with `/`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def place(self, name: str) -> Path:
        """Return where a file is."""
        return self.folder / name

    def exists(self, name: str) -> bool:
        """Return whether there is such a file or folder."""
        return self.place(name).exists()

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder, sorted; none where there is no such folder."""
        try:
            return sorted(place.name for place in self.place(folder).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []

    def read(self, name: str) -> bytes:
        """Return the bytes of a file.

        Raises:
            LedgerDamagedError: It is missing or cannot be read.
        """
        try:
            return self.place(name).read_bytes()
        except FileNotFoundError as error:
            raise LedgerDamagedError(str(self.place(name)), "the file is missing") from error
        except OSError as error:
            reason = f"it cannot be read ({os.strerror(error.errno or 0)})"
            raise LedgerDamagedError(str(self.place(name)), reason) from error

    def write(self, name: str, content: bytes) -> None:
        """Put a file in its place, whole and durable, and check what can be read back.

        Raises:
            StorageFailedError: The disk refused a step; the file's old bytes, if any, still stand.
        """
        self.make_folder(str(Path(name).parent))
        part = self.place(name + PART)
        with self._translated(name):
            self._write_bytes(part, content)
        self.rename(name + PART, name)
        if self.read(name) != content:
            raise StorageFailedError(str(self.place(name)), "reading back", errno.EIO)

    def rename(self, old: str, new: str) -> None:
        """Give a file another name in the same folder, durably, over what stood there.

        Raises:
            StorageFailedError: The disk refused it.
        """
        with self._translated(new):
            self._rename(self.place(old), self.place(new))
            self._sync_folder(self.place(new).parent)

    def remove(self, name: str) -> None:
        """Remove a file if it is there.

        Raises:
            StorageFailedError: The disk refused it.
        """
        if self.exists(name):
            with self._translated(name, "removing"):
                self._remove(self.place(name))
                self._sync_folder(self.place(name).parent)

    def make_folder(self, name: str) -> None:
        """Make a folder and those above it, durably.

        Raises:
            StorageFailedError: The disk refused it.
        """
        place = self.place(name)
        missing = []
        while not place.is_dir():
            missing.append(place)
            place = place.parent
        with self._translated(name, "making the folder"):
            for folder in reversed(missing):
                self._make_folder(folder)
                self._sync_folder(folder.parent)

    @contextlib.contextmanager
    def _translated(self, name: str, step: str = "writing") -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageFailedError(str(self.place(name)), step, error.errno or 0) from error

    # The steps to the system, each of which may fail or be the last before a crash.

    def _write_bytes(self, place: Path, content: bytes) -> None:
        with place.open("wb", buffering=0) as file:
            view = memoryview(content)
            while view:
                view = view[file.write(view) :]
            self._sync_file(file.fileno())

    def _sync_file(self, handle: int) -> None:
        os.fsync(handle)

    def _sync_folder(self, place: Path) -> None:
        handle = os.open(place, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def _rename(self, old: Path, new: Path) -> None:
        old.replace(new)

    def _remove(self, place: Path) -> None:
        place.unlink()

    def _make_folder(self, place: Path) -> None:
        place.mkdir(mode=0o755)


MakeStorage = Callable[[Path], Storage]
