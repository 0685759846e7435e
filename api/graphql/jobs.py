"""Long work: one job at a time in a thread of its own, with progress that many may watch.

A queue has a size: when it is full, a new job is refused, and the caller is told so.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import ClassVar

from api.graphql.errors import CODES, INTERNAL
from hydraulics.errors import HydraulicsError
from twin.errors import RefusedError, UnreadableError
from twin.instants import Clock
from twin.leaks.book import BookError
from twin.leaks.windows import NoReadingsError, WindowError

LOGGER = logging.getLogger("watercourse.jobs")
MAX_WAITING = 8
MAX_REMEMBERED = 200

ProgressOf = Callable[[str, int, int], None]
Work = Callable[[ProgressOf], str]
"""Does the work, reports `(step, done, total)`, and returns what names its result."""


class JobState(StrEnum):
    """How far a job is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen."""
        return self not in {JobState.WAITING, JobState.RUNNING}


class JobsFullError(RefusedError):
    """As many jobs are waiting as may wait."""

    code: ClassVar[str] = "BUSY"

    def __init__(self, waiting: int) -> None:
        super().__init__(waiting)
        self.waiting = waiting

    def __str__(self) -> str:
        return f"{self.waiting} jobs are waiting already; try again when one has ended"


class JobCancelledError(RefusedError):
    """A person asked for the job to stop."""

    code: ClassVar[str] = "CANCELLED"


@dataclass(frozen=True, slots=True)
class Job:
    """What is known of a job at one moment.

    Attributes:
        id: Its name.
        network: Network it works on.
        state: How far it is.
        started_ns: When it was asked for [ns since the Unix epoch].
        step: What it is doing.
        done: How much of the step is done.
        total: How much the step is.
        result: What names its result, once it is done.
        code: Stable code of its failure, once it has failed.
        message: What failed, in one sentence.
        version: Rises with each change.
    """

    id: str
    network: str
    state: JobState
    started_ns: int
    step: str = ""
    done: int = 0
    total: int = 0
    result: str | None = None
    code: str | None = None
    message: str | None = None
    version: int = 0


class Jobs:
    """Runs jobs in order and remembers the newest of them. Safe to use from several threads."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Job] = OrderedDict()
        self._cancelled: set[str] = set()
        self._watchers: dict[str, list[Callable[[], object]]] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="job")

    def start(self, network: str, work: Work, clock: Clock) -> Job:
        """Queue work and return its job.

        Raises:
            JobsFullError: The queue is full.
        """
        job = Job(secrets.token_urlsafe(12), network, JobState.WAITING, clock())
        with self._lock:
            waiting = sum(known.state is JobState.WAITING for known in self._known.values())
            if waiting >= MAX_WAITING:
                raise JobsFullError(waiting)
            self._known[job.id] = job
            self._forget_old()
        self._pool.submit(self._run, job.id, work)
        return job

    def get(self, job_id: str) -> Job | None:
        """Return a job as it now is, or None when it is unknown or long past."""
        with self._lock:
            return self._known.get(job_id)

    def cancel(self, job_id: str) -> Job | None:
        """Ask a job to stop at its next report of progress, and return it."""
        with self._lock:
            job = self._known.get(job_id)
            if job is not None and not job.state.is_final:
                self._cancelled.add(job_id)
            return job

    def watch(self, job_id: str, changed: Callable[[], object]) -> Callable[[], None]:
        """Call `changed`, from the job's thread, at each change; returns what ends the watch."""
        with self._lock:
            self._watchers.setdefault(job_id, []).append(changed)

        def unwatch() -> None:
            with self._lock:
                watchers = self._watchers.get(job_id, [])
                watchers.remove(changed)
                if not watchers:
                    self._watchers.pop(job_id, None)

        return unwatch

    def close(self) -> None:
        """Drop what waits and stop what runs at its next report of progress."""
        with self._lock:
            self._cancelled.update(self._known)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self, job_id: str, work: Work) -> None:
        def progress(step: str, done: int, total: int) -> None:
            if job_id in self._cancelled:
                raise JobCancelledError(job_id)
            self._change(job_id, step=step, done=done, total=total)

        try:
            self._change(job_id, state=JobState.RUNNING)
            progress("starting", 0, 1)
            result = work(progress)
        except JobCancelledError:
            self._change(job_id, state=JobState.CANCELLED)
        except Exception as error:  # noqa: BLE001 - the last door of this thread: told, and logged
            self._fail(job_id, error)
        else:
            self._change(job_id, state=JobState.DONE, result=result)
        self._cancelled.discard(job_id)

    def _fail(self, job_id: str, error: Exception) -> None:
        code = getattr(error, "code", None)
        known = code if isinstance(code, str) and code in CODES else INTERNAL
        level = logging.ERROR if known == INTERNAL else logging.WARNING
        LOGGER.log(
            level,
            "job %s: %s: %s",
            job_id,
            known,
            error,
            exc_info=error if known == INTERNAL else None,
        )
        message = str(error) if _is_for_the_caller(error) else CODES[known].sentence
        self._change(job_id, state=JobState.FAILED, code=known, message=message)

    def _change(self, job_id: str, **changes: object) -> None:
        with self._lock:
            job = self._known[job_id]
            self._known[job_id] = replace(job, version=job.version + 1, **changes)  # type: ignore[arg-type]
            watchers = list(self._watchers.get(job_id, ()))
        for changed in watchers:
            changed()

    def _forget_old(self) -> None:
        for job_id in [key for key, job in self._known.items() if job.state.is_final]:
            if len(self._known) <= MAX_REMEMBERED:
                break
            del self._known[job_id]


def _is_for_the_caller(error: Exception) -> bool:
    """Return whether an error speaks of the question and the model alone, never of this machine."""
    speaks = isinstance(error, HydraulicsError | NoReadingsError | WindowError | BookError)
    return speaks or type(error) in {RefusedError, UnreadableError}
