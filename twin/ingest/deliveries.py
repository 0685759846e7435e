"""What a door hands to the pipeline: readings in columns, and what is wrong with the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from twin.errors import RefusedError, UnreadableError
from twin.findings import Finding, Severity
from twin.readings import ReadingBatch

IndexLike = npt.NDArray[np.intp]

Progress = Callable[[str, int, int], None]
"""Called with the name of a step, how much of it is done, and how much there is."""

N_EXAMPLES = 20
"""How many findings of each code are spelled out; all are counted."""

_N_NAMED = 3  # faults that an error spells out


@dataclass(slots=True)
class Tally:
    """Findings: every one counted by its code, the first few of each code kept.

    Attributes:
        counts: How many of each code.
        examples: The first `N_EXAMPLES` of each code, in the order of the input.
        kept: How many examples of each code there are.
    """

    counts: Counter[str] = field(default_factory=Counter)
    examples: list[Finding] = field(default_factory=list)
    kept: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """How many findings there are."""
        return self.counts.total()

    def add(
        self, code: str, rows: IndexLike, describe: Callable[[int], Finding], n: int | None = None
    ) -> None:
        """Count findings of one code, and describe as many as are kept.

        Args:
            code: Code of all of them.
            rows: What to describe them by, shape (n_rows,).
            describe: Returns the finding of one row.
            n: How many they are, where one row stands for several.
        """
        n_wanted = max(0, N_EXAMPLES - self.kept[code])
        self.examples += [describe(int(row)) for row in rows[:n_wanted]]
        self.kept[code] += min(n_wanted, len(rows))
        if n is None:
            n = len(rows)
        if n:
            self.counts[code] += n

    def note(self, finding: Finding) -> None:
        """Count one finding."""
        self.add(finding.code, np.zeros(1, dtype=np.intp), lambda _: finding)

    def merge(self, other: Tally) -> None:
        """Add what another tally holds."""
        for finding in other.examples:
            if self.kept[finding.code] < N_EXAMPLES:
                self.examples.append(finding)
                self.kept[finding.code] += 1
        self.counts += other.counts


@dataclass(frozen=True, slots=True)
class Delivery:
    """Readings that came in together.

    Attributes:
        batch: The readings that the door could read.
        line: Line of the file that each came from, counted from 1, shape (n,); 0 where there is
            no file.
        n_gaps: Values that were empty or NaN: nothing to record, and no fault.
        rejected: What the door could not read.
    """

    batch: ReadingBatch
    line: npt.NDArray[np.int64]
    n_gaps: int = 0
    rejected: Tally = field(default_factory=Tally)


class FileUnreadableError(UnreadableError):
    """A file of readings cannot be read; nothing of it was recorded.

    Attributes:
        path: The file.
        finding: What is wrong with it.
    """

    def __init__(self, path: str, finding: Finding) -> None:
        super().__init__(path, finding)
        self.path = path
        self.finding = finding

    def __str__(self) -> str:
        return f"{self.path}: {self.finding.message}; nothing was recorded"


class FileRefusedError(RefusedError):
    """A file of readings was read, and does not fit its tag map; nothing of it was recorded.

    Attributes:
        path: The file.
        findings: Every reason.
    """

    code = "FILE_REFUSED"

    def __init__(self, path: str, findings: tuple[Finding, ...]) -> None:
        super().__init__(path, findings)
        self.path = path
        self.findings = findings

    def __str__(self) -> str:
        said = "; ".join(finding.message for finding in self.findings[:_N_NAMED])
        more = len(self.findings) - _N_NAMED
        tail = f"; and {more} more" if more > 0 else ""
        return f"{self.path}: {said}{tail}; nothing was recorded"


def silent(step: str, done: int, total: int) -> None:
    """Show no progress."""


def fatal(code: str, message: str, line: int | None = None, subject: str | None = None) -> Finding:
    """Return a finding that refuses a whole file."""
    return Finding(code, message, Severity.FATAL, line=line, subject=subject)


def named(names: Iterable[str], n_shown: int = 5) -> str:
    """Return the first few of some names, and how many more there are."""
    listed = [repr(name) for name in names]
    more = f" and {len(listed) - n_shown} more" if len(listed) > n_shown else ""
    return ", ".join(listed[:n_shown]) + more
