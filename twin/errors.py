"""Failed operations, in two kinds that a shell can tell apart.

`RefusedError` (exit code 1): the request was understood, and the answer is no.
`UnreadableError` (exit code 2): the input cannot be read, or the command was used wrongly.
"""

from __future__ import annotations

from typing import ClassVar


class TwinError(Exception):
    """A failed operation: one sentence that names the place and the remedy."""

    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "FAILED"
    """The stable name that GraphQL gives as `extensions.code`."""


class RefusedError(TwinError):
    """The request was understood and is refused."""

    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "REFUSED"


class UnreadableError(TwinError):
    """The input cannot be read, or was used wrongly."""

    exit_code: ClassVar[int] = 2
    code: ClassVar[str] = "BAD_INPUT"


class NotFoundError(UnreadableError):
    """Nothing has the name that was asked for."""

    code: ClassVar[str] = "NOT_FOUND"

    def __init__(self, what: str, name: str, remedy: str = "") -> None:
        super().__init__(what, name, remedy)
        self.what = what
        self.name = name
        self.remedy = remedy

    def __str__(self) -> str:
        tail = f"; {self.remedy}" if self.remedy else ""
        return f"no {self.what} {self.name!r} is recorded{tail}"
