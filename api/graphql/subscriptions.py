"""What may be watched: a leak run's progress, and verdicts and sightings as they are recorded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from itertools import islice
from typing import Annotated

import strawberry

from api.graphql.context import Context, Info
from api.graphql.errors import ArgumentError
from api.graphql.evaluations import Evaluation, evaluation_of, evaluations_asked
from api.graphql.fields import watched
from api.graphql.leak_sightings import LeakSighting, sighting_of, sightings_asked
from api.graphql.mutations import Job, job_of
from api.graphql.recorded import Asked, place_of, recorded_after
from api.graphql.scalars import EventCursor
from twin.events import Recorded, RecordRef

POLL_S = 0.25
"""How often the record is looked at for new blocks, which another process may have sealed [s]."""
BATCH = 200

Since = Annotated[
    EventCursor | None,
    strawberry.argument(
        description="`cursor` of the last one seen: what was missed is replayed first."
    ),
]


@strawberry.type(description="A verdict, and the place to go on from after a lost connection.")
class NewEvaluation:
    """One verdict as it was recorded."""

    cursor: EventCursor
    evaluation: Evaluation


@strawberry.type(description="A sighting, and the place to go on from after a lost connection.")
class NewLeakSighting:
    """One sighting as it was recorded."""

    cursor: EventCursor
    sighting: LeakSighting


@strawberry.type
class Subscription:
    """What may be watched."""

    @watched(
        "A job at once, then at each change, until it has ended.",
        cost=100,
    )
    async def leak_run_progress(self, info: Info, job_id: str) -> AsyncGenerator[Job, None]:
        """Yield the newest state; states that follow too fast to be sent are skipped."""
        jobs = info.context.services.jobs
        changed = asyncio.Event()
        loop = asyncio.get_running_loop()
        unwatch = jobs.watch(job_id, lambda: loop.call_soon_threadsafe(changed.set))
        try:
            while True:
                changed.clear()
                job = jobs.get(job_id)
                if job is None:
                    raise ArgumentError("jobId", "no such job")
                info.context.renew()
                yield job_of(job)
                if job.state.is_final:
                    return
                await changed.wait()
        finally:
            unwatch()

    @watched(
        (
            "Verdicts of a network as they are recorded, by this process or another one. Without "
            "`since`, from now on."
        ),
        cost=100,
    )
    async def new_evaluations(
        self, info: Info, network: str, since: Since = None
    ) -> AsyncGenerator[NewEvaluation, None]:
        """Yield each verdict once, in order of record."""
        async for cursor, found in _followed(info.context, evaluations_asked(network), since):
            yield NewEvaluation(cursor=cursor, evaluation=evaluation_of(found))

    @watched(
        (
            "What a watch tells of a network as it is recorded, by whatever process watches. "
            "Without `since`, from now on."
        ),
        cost=100,
    )
    async def new_leak_sightings(
        self, info: Info, network: str, since: Since = None
    ) -> AsyncGenerator[NewLeakSighting, None]:
        """Yield each sighting once, in order of record."""
        async for cursor, found in _followed(info.context, sightings_asked(network), since):
            yield NewLeakSighting(cursor=cursor, sighting=sighting_of(found))


async def _followed(
    context: Context, asked: Asked, since: EventCursor | None
) -> AsyncGenerator[tuple[EventCursor, Recorded], None]:
    """Yield each event once, in order of record, with its cursor."""
    if asked.network not in await asyncio.to_thread(context.networks):
        raise ArgumentError("network", f"no network is called {asked.network!r}")
    seen = await asyncio.to_thread(_begin, context, asked, since)
    while True:
        found = await asyncio.to_thread(_next_batch, context, asked, seen)
        for recorded in found:
            seen = recorded.ref
            context.renew()
            key = (seen.height, seen.index)
            yield context.services.cursors.sign(asked.scope, key), recorded
        if not found:
            await asyncio.sleep(POLL_S)


def _begin(context: Context, asked: Asked, since: EventCursor | None) -> RecordRef:
    """Return the last place that the client knows."""
    if since is None:
        return RecordRef(context.record().height, -1)
    return place_of(context, asked.scope, since, "since")


def _next_batch(context: Context, asked: Asked, seen: RecordRef) -> list[Recorded]:
    if context.record().height <= seen.height:
        return []
    return list(islice(recorded_after(context, asked, seen), BATCH))
