from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from api.graphql.errors import CODES
from api.graphql.jobs import MAX_REMEMBERED, MAX_WAITING, Job, Jobs, JobsFullError, JobState, Work
from hydraulics.errors import NotConvergedError
from twin.errors import NotFoundError

DEADLINE_S = 30


def clock() -> int:
    return 7


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    opened = Jobs()
    yield opened
    opened.close()


def ended(jobs: Jobs, job: Job) -> Job:
    changed = threading.Event()
    unwatch = jobs.watch(job.id, changed.set)
    try:
        while True:
            changed.clear()
            now = jobs.get(job.id)
            assert now is not None
            if now.state.is_final:
                return now
            assert changed.wait(DEADLINE_S)
    finally:
        unwatch()


class Held:
    """Work that goes on when it is let."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.let = threading.Event()

    def work(self, progress: object) -> str:
        assert callable(progress)
        self.begun.set()
        assert self.let.wait(DEADLINE_S)
        progress("held", 1, 2)
        return "run"


def test_a_job_ends_with_what_names_its_result(jobs: Jobs) -> None:
    done = ended(jobs, jobs.start("net", lambda _: "leak-1", clock))
    assert (done.state, done.result, done.started_ns) == (JobState.DONE, "leak-1", 7)


def test_a_watcher_sees_every_step_in_order(jobs: Jobs) -> None:
    held = Held()
    blocker = jobs.start("net", held.work, clock)
    seen: list[tuple[str, int, int]] = []

    def work(progress: object) -> str:
        assert callable(progress)
        for done in range(3):
            progress("step", done, 3)
        return "x"

    job = jobs.start("net", work, clock)

    def look() -> None:
        now = jobs.get(job.id)
        assert now is not None
        seen.append((now.step, now.done, now.total))

    jobs.watch(job.id, look)
    held.let.set()
    ended(jobs, job)
    steps = [one for one in seen if one[0] == "step"]
    assert steps[:3] == [("step", 0, 3), ("step", 1, 3), ("step", 2, 3)]
    assert ended(jobs, blocker).state is JobState.DONE


def test_one_job_more_than_may_wait_is_refused(jobs: Jobs) -> None:
    held = Held()
    jobs.start("net", held.work, clock)
    assert held.begun.wait(DEADLINE_S)
    waiting = [jobs.start("net", lambda _: "x", clock) for _ in range(MAX_WAITING)]
    with pytest.raises(JobsFullError, match=f"{MAX_WAITING} jobs are waiting"):
        jobs.start("net", lambda _: "x", clock)
    held.let.set()
    assert ended(jobs, waiting[-1]).state is JobState.DONE
    assert ended(jobs, jobs.start("net", lambda _: "x", clock)).state is JobState.DONE


def test_a_cancelled_job_stops_at_its_next_step(jobs: Jobs) -> None:
    held = Held()
    job = jobs.start("net", held.work, clock)
    assert held.begun.wait(DEADLINE_S)
    jobs.cancel(job.id)
    held.let.set()
    stopped = ended(jobs, job)
    assert (stopped.state, stopped.result) == (JobState.CANCELLED, None)


def test_a_job_that_is_cancelled_while_it_waits_never_begins(jobs: Jobs) -> None:
    held, never = Held(), Held()
    jobs.start("net", held.work, clock)
    assert held.begun.wait(DEADLINE_S)
    job = jobs.start("net", never.work, clock)
    jobs.cancel(job.id)
    held.let.set()
    assert ended(jobs, job).state is JobState.CANCELLED
    assert not never.begun.is_set()


def fails(error: Exception) -> Work:
    def work(_progress: object) -> str:
        raise error

    return work


def test_a_failure_of_the_model_is_told_in_its_own_words(jobs: Jobs) -> None:
    failed = ended(jobs, jobs.start("net", fails(NotConvergedError(3_600, "unbalanced")), clock))
    assert (failed.state, failed.code) == (JobState.FAILED, "HYDRAULICS_FAILED")
    assert failed.message is not None
    assert "3600 s: unbalanced" in failed.message


@pytest.mark.parametrize(
    ("error", "code"),
    [(NotFoundError("file", "/home/x"), "NOT_FOUND"), (ZeroDivisionError("/home/x"), "INTERNAL")],
)
def test_any_other_failure_says_nothing_of_this_machine(
    jobs: Jobs, error: Exception, code: str
) -> None:
    failed = ended(jobs, jobs.start("net", fails(error), clock))
    assert (failed.code, failed.message) == (code, CODES[code].sentence)


def test_what_is_unknown_is_none(jobs: Jobs) -> None:
    assert jobs.get("none") is None
    assert jobs.cancel("none") is None


def test_old_jobs_are_forgotten_and_new_ones_are_not(jobs: Jobs) -> None:
    first = ended(jobs, jobs.start("net", lambda _: "x", clock))
    last = first
    for _ in range(MAX_REMEMBERED):
        last = ended(jobs, jobs.start("net", lambda _: "x", clock))
    assert jobs.get(first.id) is None
    assert jobs.get(last.id) == last
