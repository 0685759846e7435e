"""What may be started: a leak run, which is a job, and a trace, which is an answer at once.

An outcome that a caller can act on is a member of the union.
"""

from __future__ import annotations

from typing import Annotated

import strawberry

from api.graphql.context import Context, Info, Services
from api.graphql.enums import Direction, JobState
from api.graphql.fields import asked, commanded
from api.graphql.ids import global_id
from api.graphql.jobs import Job as TwinJob
from api.graphql.jobs import JobsFullError, ProgressOf, Work
from api.graphql.leak_runs import LeakRun, find_leak_run
from api.graphql.nodes import Node
from api.graphql.scalars import Instant
from api.graphql.traces import Trace, trace_of
from api.tracing import trace_network
from hydraulics.errors import HydraulicsError
from ledger.errors import LedgerBusyError
from twin.errors import NotFoundError
from twin.ids import AssetNameError
from twin.leaks.records import MOST_LEAKS
from twin.leaks.windows import Window, WindowError, check_apart


@strawberry.type(description="Long work: watch it by `leakRunProgress`.")
class Job(Node):
    """A job as it is now."""

    job_id: str
    network_name: str
    state: JobState
    started_at: Instant
    step: str = strawberry.field(description="What it is doing.")
    done: int = strawberry.field(description="How much of the step is done.")
    total: int = strawberry.field(description="How much the step is.")
    run_id: str | None = strawberry.field(description="The leak run, once it is done.")
    code: str | None = strawberry.field(description="Stable code of a failure.")
    message: str | None = strawberry.field(description="What failed, in one sentence.")

    @asked("The leak run, once it is done.", cost=5)
    def leak_run(self, info: Info) -> LeakRun | None:
        """Return what the job has recorded."""
        return find_leak_run(info.context, self.run_id) if self.run_id else None


@strawberry.type(description="The run was queued.")
class LeakRunStarted:
    """A leak run that has begun, or waits for its turn."""

    job: Job


@strawberry.type(description="Nothing of that name is recorded.")
class NotFound:
    """What was not found."""

    what: str
    name: str
    message: str


@strawberry.type(description="The model or the readings do not allow it yet.")
class ModelNotReady:
    """What is missing."""

    message: str


@strawberry.type(description="The arguments do not make a question.")
class BadRequest:
    """What is wrong with the question."""

    message: str


@strawberry.type(description="Another one is at it; try again in a moment.")
class Busy:
    """Who is busy."""

    message: str


StartLeakRunResult = Annotated[
    LeakRunStarted | NotFound | ModelNotReady | BadRequest | Busy,
    strawberry.union("StartLeakRunResult"),
]
StartTraceResult = Annotated[
    Trace | NotFound | ModelNotReady | BadRequest | Busy, strawberry.union("StartTraceResult")
]
CancelJobResult = Annotated[Job | NotFound, strawberry.union("CancelJobResult")]


MostLeaks = Annotated[
    int,
    strawberry.argument(
        description="Most leaks to look for, 1 to 4; with 1 it is not asked if one is enough."
    ),
]


def job_of(job: TwinJob) -> Job:
    """Return a job as GraphQL shows it."""
    return Job(
        id=global_id("Job", job.id),
        job_id=job.id,
        network_name=job.network,
        state=job.state,
        started_at=Instant(job.started_ns),
        step=job.step,
        done=job.done,
        total=job.total,
        run_id=job.result,
        code=job.code,
        message=job.message,
    )


def leak_work(
    services: Services, network: str, window: Window, reference: Window | None, most_leaks: int
) -> Work:
    """Return the work of a leak run; the ledger is locked only while the answer is recorded."""

    def work(progress: ProgressOf) -> str:
        from twin.leaks.runs import compute_leak, keep_leak  # noqa: PLC0415 - loads EPANET

        computed = compute_leak(
            services.record(),
            network,
            window,
            reference,
            clock=services.clock,
            most_leaks=most_leaks,
            progress=progress,
        )
        if computed.run.evidence is not None:
            return computed.run.run_id
        with services.home.writer() as journal:
            return keep_leak(journal, computed).run_id

    return work


def _window(from_ns: int | None, to_ns: int | None, what: str) -> Window | None:
    if from_ns is None and to_ns is None:
        return None
    if from_ns is None or to_ns is None:
        raise WindowError(f"give both ends of the {what}, or neither")
    return Window(from_ns, to_ns)


def _no_network(context: Context, network: str) -> NotFound | None:
    if network in context.networks():
        return None
    return _not_found(NotFoundError("network", network))


def _not_found(error: NotFoundError) -> NotFound:
    return NotFound(what=error.what, name=error.name, message=str(error))


@strawberry.type
class Mutation:
    """What may be started."""

    @commanded(
        (
            "Localize the leak that shows in [from, to). Without a reference window, the longest "
            "recorded leak-free one before it is taken."
        ),
        cost=1_000,
    )
    def start_leak_run(  # noqa: PLR0913, PLR0917 - two windows
        self,
        info: Info,
        network: str,
        from_: Annotated[Instant, strawberry.argument(name="from")],
        to: Instant,
        reference_from: Instant | None = None,
        reference_to: Instant | None = None,
        most_leaks: MostLeaks = MOST_LEAKS,
    ) -> StartLeakRunResult:
        """Queue the run and return its job."""
        context = info.context
        missing = _no_network(context, network)
        if missing:
            return missing
        try:
            window = Window(from_, to)
            reference = _window(reference_from, reference_to, "reference window")
            if reference:
                check_apart(window, reference)
        except WindowError as error:
            return BadRequest(message=str(error))
        if not 1 <= most_leaks <= MOST_LEAKS:
            return BadRequest(message=f"mostLeaks is not between 1 and {MOST_LEAKS}")
        if not any(series.quantity == "pressure" for series in context.record().series(network)):
            return ModelNotReady(message=f"network {network!r} has no pressure readings yet")
        work = leak_work(context.services, network, window, reference, most_leaks)
        try:
            job = context.services.jobs.start(network, work, context.services.clock)
        except JobsFullError as error:
            return Busy(message=str(error))
        return LeakRunStarted(job=job_of(job))

    @commanded(
        (
            "Trace from an asset by the flow at a moment, and record the answer. Without `at`, the "
            "moment is model time zero."
        ),
        cost=1_000,
    )
    def start_trace(
        self,
        info: Info,
        network: str,
        asset: str,
        direction: Direction,
        at: Instant | None = None,
    ) -> StartTraceResult:
        """Trace, record and return the answer."""
        context = info.context
        services = context.services
        missing = _no_network(context, network)
        if missing:
            return missing
        try:
            answer = trace_network(
                services.hurried_home, network, asset, direction, at, services.clock
            )
        except AssetNameError as error:
            return NotFound(what="asset", name=asset, message=str(error))
        except LedgerBusyError:
            return Busy(message="another process is writing to the ledger; try again")
        except HydraulicsError as error:
            return ModelNotReady(message=str(error))
        return trace_of(answer)

    @commanded("Ask a job to stop at its next step.", cost=10)
    def cancel_job(self, info: Info, job_id: str) -> CancelJobResult:
        """Mark the job; it ends as `CANCELLED` when it next reports."""
        job = info.context.services.jobs.cancel(job_id)
        return job_of(job) if job else NotFound(what="job", name=job_id, message="no such job")


@strawberry.type
class JobQueries:
    """What may be asked of jobs."""

    @asked("A job as it is now; null when it is unknown or long past.")
    def job(self, info: Info, job_id: str) -> Job | None:
        """Look it up by its id."""
        found = info.context.services.jobs.get(job_id)
        return job_of(found) if found else None
