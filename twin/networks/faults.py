"""Faults of the files that a network comes in, as findings that name their place."""

from __future__ import annotations

from hydraulics.errors import ModelFileError
from hydraulics.inp_text import Fault
from twin.findings import Finding, Severity


def finding_of_fault(file: str, fault: Fault) -> Finding:
    """Return a fault of an EPANET file as a finding."""
    return finding(
        file,
        fault.code,
        fault.message,
        severity=Severity.FATAL if fault.is_fatal else Severity.NOTE,
        line=fault.line,
        section=fault.section,
        subject=fault.subject,
    )


def finding_of_error(file: str, error: ModelFileError) -> Finding:
    """Return why WNTR or EPANET cannot read a file as a finding."""
    return finding(
        file,
        "model",
        error.reason,
        line=error.line,
        section=error.section,
        subject=error.subject,
    )


def finding(  # noqa: PLR0913 - the fields of a finding, by name
    file: str,
    code: str,
    message: str,
    *,
    severity: Severity = Severity.FATAL,
    line: int | None = None,
    section: str | None = None,
    subject: str | None = None,
) -> Finding:
    """Return a finding whose sentence begins with its place: file, line, section and id."""
    place = file if line is None else f"{file}, line {line}"
    if section:
        place += f" [{section}]"
    if subject:
        place += f" {subject}"
    return Finding(code, f"{place}: {message}", severity, line, section, subject)
