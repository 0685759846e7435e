"""Failed operations of the numerics and of the door to EPANET."""

from __future__ import annotations

from typing import ClassVar


class HydraulicsError(Exception):
    """A hydraulic operation failed."""

    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "HYDRAULICS_FAILED"


class ModelFileError(HydraulicsError):
    """An EPANET file cannot be read.

    Attributes:
        reason: What EPANET or WNTR said, in one sentence.
        line: Line of the file, counted from 1, where it is known.
        section: Section of the file, where it is known.
        subject: Id of the node or link, where it is known.
    """

    exit_code: ClassVar[int] = 2
    code: ClassVar[str] = "BAD_INPUT"

    def __init__(
        self,
        reason: str,
        line: int | None = None,
        section: str | None = None,
        subject: str | None = None,
    ) -> None:
        super().__init__(reason, line, section, subject)
        self.reason = reason
        self.line = line
        self.section = section
        self.subject = subject

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        section = f"[{self.section}] " if self.section else ""
        subject = f"{self.subject}: " if self.subject else ""
        return f"{where}{section}{subject}{self.reason}"


class NotConvergedError(HydraulicsError):
    """EPANET found no hydraulic solution.

    Attributes:
        model_time_s: The model's clock when it failed [s].
        reason: What EPANET said.
    """

    def __init__(self, model_time_s: int, reason: str) -> None:
        super().__init__(model_time_s, reason)
        self.model_time_s = model_time_s
        self.reason = reason

    def __str__(self) -> str:
        return f"EPANET found no solution at model time {self.model_time_s} s: {self.reason}"
