"""Flows of every link at moments of an extended-period run, in process."""

from __future__ import annotations

import ctypes
import re
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from epanet import toolkit

from hydraulics.errors import ModelFileError, NotConvergedError

M3S_OF_FLOW_UNIT = {
    toolkit.CFS: 0.3048**3,
    toolkit.GPM: 231 * 0.0254**3 / 60,
    toolkit.MGD: 231e6 * 0.0254**3 / 86_400,
    toolkit.IMGD: 4_546.09 / 86_400,
    toolkit.AFD: 43_560 * 0.3048**3 / 86_400,
    toolkit.LPS: 1e-3,
    toolkit.LPM: 1e-3 / 60,
    toolkit.MLD: 1e3 / 86_400,
    toolkit.CMH: 1 / 3_600,
    toolkit.CMD: 1 / 86_400,
    toolkit.CMS: 1.0,
}
"""m³/s in one unit of EPANET's [OPTIONS] UNITS."""

_REPORTED = re.compile(
    r"(?:Input )?Error (?P<code>\d+): (?P<reason>.*?)"
    r"(?: in \[(?P<section>\w+)\] section:?| in following line of (?P<rule>Rule .*):)?"
)
_SUMMARIES = frozenset({"110", "200"})
"""Errors that only say that there were others."""


@dataclass(frozen=True, slots=True)
class FlowRun:
    """Flows over a part of an extended-period run.

    Attributes:
        link_id: Ids of the links, in the order of the file.
        time_s: Model time of each solution [s], shape (n_times,), rising; a solution holds until
            the next one.
        flow_m3s: Flow [m³/s], shape (n_times, n_links), positive from start node to end node,
            0 for closed links.
    """

    link_id: tuple[str, ...]
    time_s: npt.NDArray[np.int64]
    flow_m3s: npt.NDArray[np.float32]

    def at(self, model_time_s: int) -> npt.NDArray[np.float32]:
        """Return the flows that hold at a model time, shape (n_links,)."""
        row = int(np.searchsorted(self.time_s, model_time_s, side="right")) - 1
        return np.asarray(self.flow_m3s[max(row, 0)])


def run_flows(path: Path, from_s: int, to_s: int) -> FlowRun:
    """Return the flows of a file's model in [from, to) of its own clock.

    The run begins at model time zero, so tanks and controls have their history, and it goes on past
    the file's duration when asked to: patterns repeat.

    Args:
        path: EPANET file, in UTF-8.
        from_s: Model time from which solutions are kept [s]; the one that holds then is kept too.
        to_s: Model time at which the run ends [s], after `from_s`.

    Raises:
        ModelFileError: EPANET cannot open the file.
        NotConvergedError: EPANET finds no solution on the way.
    """
    times_s: list[int] = []
    rows: list[npt.NDArray[np.float32]] = []
    with _quiet(), opened(path, to_s) as project:
        n_links = toolkit.getcount(project, toolkit.LINKCOUNT)
        ids = tuple(toolkit.getlinkid(project, i + 1) for i in range(n_links))
        buffer = toolkit.doubleArray(n_links)
        for time_s in _solutions(project, to_s):
            if time_s <= from_s:
                times_s.clear()
                rows.clear()
            times_s.append(time_s)
            rows.append(_flow_m3s(project, buffer, n_links))
    return FlowRun(ids, np.array(times_s, dtype=np.int64), np.array(rows))


def _flow_m3s(project: Any, buffer: Any, n_links: int) -> npt.NDArray[np.float32]:  # noqa: ANN401
    toolkit.getlinkvalues(project, toolkit.FLOW, buffer)
    values = (ctypes.c_double * n_links).from_address(int(buffer.cast()))
    factor = M3S_OF_FLOW_UNIT[toolkit.getflowunits(project)]
    return np.asarray(np.ctypeslib.as_array(values) * factor, dtype=np.float32)


def duration_s(path: Path) -> int:
    """Return the duration of a file's own run [s].

    Raises:
        ModelFileError: EPANET cannot open the file.
    """
    with _quiet(), opened(path) as project:
        return int(toolkit.gettimeparam(project, toolkit.DURATION))


def open_faults(path: Path) -> list[ModelFileError]:
    """Return what EPANET itself finds wrong with a file: nothing when it can run it."""
    try:
        with _quiet(), opened(path, 0):
            return []
    except _OpeningError as error:
        return list(error.faults)


class _OpeningError(ModelFileError):
    """EPANET cannot open a file; the first of its faults, and all of them."""

    def __init__(self, faults: list[ModelFileError]) -> None:
        first = faults[0]
        super().__init__(first.reason, first.line, first.section, first.subject)
        self.faults = faults


@contextmanager
def opened(path: Path, run_s: int | None = None) -> Iterator[Any]:
    """Open a file in EPANET's library, and close it.

    Args:
        path: EPANET file, in UTF-8.
        run_s: Duration [s] of the run to make ready for, None for no run.

    Raises:
        ModelFileError: EPANET cannot open the file, or not run it.
    """
    with tempfile.TemporaryDirectory(prefix="watercourse-") as scratch:
        report = Path(scratch) / "report.txt"
        project = toolkit.createproject()
        try:
            toolkit.open(project, str(path), str(report), "")
            if run_s is not None:
                toolkit.settimeparam(project, toolkit.DURATION, run_s)
                toolkit.openH(project)
        except Exception as error:
            _close(project)  # which also writes the report to its end
            faults = _read_report(report, path) or [ModelFileError(str(error))]
            raise _OpeningError(faults) from error
        try:
            toolkit.setstatusreport(project, toolkit.NO_REPORT)
            yield project
        finally:
            _close(project)


def _close(project: Any) -> None:  # noqa: ANN401 - the toolkit has no types
    toolkit.close(project)
    toolkit.deleteproject(project)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back the warnings that EPANET gives at every step with negative pressure."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _solutions(project: Any, to_s: int) -> Iterator[int]:  # noqa: ANN401 - the toolkit has no types
    """Yield the model time [s] of each hydraulic solution before `to_s`, in place."""
    toolkit.initH(project, toolkit.NOSAVE)
    time_s, step_s = 0, 1
    while step_s > 0 and time_s < to_s:
        try:
            time_s = toolkit.runH(project)
        except Exception as error:
            raise NotConvergedError(time_s, str(error)) from error
        if time_s < to_s:
            yield time_s
            step_s = toolkit.nextH(project)


def _read_report(report: Path, path: Path) -> list[ModelFileError]:
    """Return the errors that EPANET wrote, each with its place in the file."""
    if not report.exists():
        return []
    said = report.read_text(encoding="utf-8", errors="replace").split("\n")
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    faults = []
    for i, text in enumerate(said):
        match = _REPORTED.fullmatch(text.strip())
        if match is None or match["code"] in _SUMMARIES:
            continue
        section = "RULES" if match["rule"] else match["section"]
        shown = said[i + 1].strip() if section and i + 1 < len(said) else ""
        rule = f" in {match['rule']}" if match["rule"] else ""
        faults.append(_place(lines, f"{match['reason']}{rule}", section, shown))
    return faults


def _place(lines: list[str], reason: str, section: str | None, shown: str) -> ModelFileError:
    if not section:
        return ModelFileError(reason)
    inside = False
    subject = next(iter(shown.split()), None)
    for number, text in enumerate(lines, start=1):
        line = text.strip()
        if line.startswith("["):
            inside = line[1:].upper().startswith(section.upper()[:4])
        elif inside and shown and line.split() == shown.split():
            return ModelFileError(reason, number, section.upper(), subject)
    return ModelFileError(reason, None, section.upper(), subject)
