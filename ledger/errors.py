"""What can go wrong with the record, each with the place and the remedy."""

from __future__ import annotations

import errno
import os
from typing import ClassVar

from twin.errors import RefusedError, TwinError, UnreadableError


class RefutedError(RefusedError):
    """A proof was read, and does not prove what it says."""

    code: ClassVar[str] = "REFUTED"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"refuted: {self.reason}"


class MalformedError(UnreadableError):
    """Bytes are not in the one spelling that the format allows."""

    code: ClassVar[str] = "MALFORMED"

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(what, reason)
        self.what = what
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.what} cannot be read: {self.reason}"


class ProofNotWrittenError(RefusedError):
    """A proof file cannot be written where it should be."""

    code: ClassVar[str] = "NOT_WRITTEN"

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(place, reason)
        self.place = place
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.place}: the proof cannot be written there ({self.reason}); name another file"


class RecordRefusedError(RefusedError):
    """A record may not enter the ledger."""

    code: ClassVar[str] = "RECORD_REFUSED"


class LedgerBusyError(RefusedError):
    """Another process writes to the ledger."""

    code: ClassVar[str] = "LEDGER_BUSY"

    def __init__(self, folder: str, holder: str) -> None:
        super().__init__(folder, holder)
        self.folder = folder
        self.holder = holder

    def __str__(self) -> str:
        who = f"process {self.holder}" if self.holder else "another process"
        return (
            f"{who} is writing to the ledger in {self.folder}; one process writes at a time: "
            "wait until it has finished, or stop it"
        )


class LedgerDamagedError(RefusedError):
    """What is on disk is not what was signed."""

    code: ClassVar[str] = "LEDGER_DAMAGED"

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(place, reason)
        self.place = place
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"{self.place}: {self.reason}; run `twin fsck` for the whole list, "
            "then restore the ledger folder from a copy"
        )


class KeyFileError(UnreadableError):
    """The signing key, or a file of trusted keys, cannot be used."""

    code: ClassVar[str] = "KEY"

    def __init__(self, place: str, reason: str, remedy: str) -> None:
        super().__init__(place, reason, remedy)
        self.place = place
        self.reason = reason
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}; {self.remedy}"


_REMEDIES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space or ask for a larger quota",
    errno.EROFS: "make the disk writable",
    errno.EACCES: "give this user the right to write there",
    errno.EPERM: "give this user the right to write there",
    errno.EIO: "check the disk and its cables",
}


class StorageFailedError(TwinError):
    """The disk refused a write, so nothing since the last sealed block was acknowledged."""

    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "STORAGE_FAILED"

    def __init__(self, place: str, step: str, error_number: int) -> None:
        super().__init__(place, step, error_number)
        self.place = place
        self.step = step
        self.error_number = error_number

    def __str__(self) -> str:
        remedy = _REMEDIES.get(self.error_number, "check the disk")
        return (
            f"{self.place}: {self.step} failed ({os.strerror(self.error_number)}); {remedy}, then "
            "start again: what was acknowledged before is safe, and nothing after it is"
        )


class WriterStoppedError(TwinError):
    """The writer met a storage error earlier and takes nothing more."""

    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "STORAGE_FAILED"

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        self.folder = folder

    def __str__(self) -> str:
        return (
            f"the ledger in {self.folder} stopped writing after a storage error; "
            "open it again to go on from its last sealed block"
        )
