"""Bad data as a value: what is wrong, where, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much a finding weighs."""

    FATAL = "fatal"  # nothing of the input is recorded
    REJECTED = "rejected"  # this row or asset is left out, the rest is recorded
    NOTE = "note"  # recorded; a person may want to know


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault of an input.

    Attributes:
        code: Stable name of the kind of fault, such as `unknown-tag`.
        message: One sentence that names the place and the remedy.
        severity: What it costs.
        line: Line of the file, counted from 1, where there is one.
        section: Section (EPANET) or column of the file, where there is one.
        subject: Id of the asset or tag, where there is one.
    """

    code: str
    message: str
    severity: Severity = Severity.REJECTED
    line: int | None = None
    section: str | None = None
    subject: str | None = None
