"""One writer at a time: an exclusive lock on a file, which the system drops when a process dies."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ledger.errors import LedgerBusyError, StorageFailedError

LOCK_FILE: Final = "lock"
_RETRY_S = 0.05


@contextmanager
def exclusive(folder: Path, wait_s: float) -> Iterator[None]:
    """Hold the ledger's lock.

    Args:
        folder: The ledger's folder, which exists.
        wait_s: How long to wait for another writer [s].

    Raises:
        LedgerBusyError: Another process holds it for longer.
        StorageFailedError: The lock file cannot be made.
    """
    place = folder / LOCK_FILE
    try:
        handle = os.open(place, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StorageFailedError(str(place), "locking", error.errno or 0) from error
    try:
        _acquire(handle, folder, wait_s)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


def _acquire(handle: int, folder: Path, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise StorageFailedError(str(folder), "locking", error.errno or 0) from error
            if time.monotonic() >= deadline:
                holder = os.pread(handle, 20, 0).decode("ascii", "replace").strip()
                raise LedgerBusyError(str(folder), holder) from error
            time.sleep(_RETRY_S)
        else:
            return
