"""The book of found leaks: which run, since when, who says so; and what crews report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import strawberry

from api.graphql.assets import Asset, find_asset
from api.graphql.context import Context, Info
from api.graphql.errors import ArgumentError
from api.graphql.evidence import Evidence
from api.graphql.fields import asked, commanded
from api.graphql.ids import global_id
from api.graphql.leak_runs import LeakRun, find_leak_run
from api.graphql.leak_sightings import LeakSighting, find_leak_sighting
from api.graphql.mutations import BadRequest, Busy, NotFound
from api.graphql.nodes import Node
from api.graphql.paging import After, Connection, First, check_first, page
from api.graphql.recorded import place_of
from api.graphql.scalars import Instant
from api.report.watch_words import found_sentence
from ledger.errors import LedgerBusyError
from twin.errors import NotFoundError
from twin.events import RecordRef
from twin.ids import AssetNameError
from twin.leaks.book import BookError, confirm, load_book, repair
from twin.leaks.book import FoundLeak as TwinFoundLeak
from twin.ports import Journal

NAME = "leak book"
MAX_BY = 200


@strawberry.type(
    description="A leak that a crew found: it is in the model from then on, until it is repaired."
)
class FoundLeak(Node):
    """One leak of the book."""

    run_id: str = strawberry.field(description="The run or the call that found it.")
    network_name: str
    pipe_id: str = strawberry.field(description="EPANET id of its pipe.")
    place: float = strawberry.field(description="Fraction of the way from the start node.")
    flow_m3s: float = strawberry.field(description="Outflow when it was found.")
    since: Instant = strawberry.field(description="Since when it runs, as far as is known.")
    confirmed_by: str | None = strawberry.field(description="Who says so, where somebody does.")
    is_repaired: bool
    repaired_at: Instant | None
    repaired_by: str | None
    said: str = strawberry.field(description="The same in one sentence.")
    confirmation: Evidence = strawberry.field(description="Where it was confirmed in the record.")
    repair: Evidence | None = strawberry.field(description="Where its repair stands; null before.")

    @asked("Its pipe.", cost=3)
    def asset(self, info: Info) -> Asset | None:
        """Return the pipe."""
        return find_asset(info.context, self.network_name, f"link:{self.pipe_id}")

    @asked("The run that found it; null where a watch did.", cost=5)
    def run(self, info: Info) -> LeakRun | None:
        """Return the run."""
        return find_leak_run(info.context, self.run_id)

    @asked("The call of a watch that found it; null where a run did.", cost=5)
    def call(self, info: Info) -> LeakSighting | None:
        """Return the call."""
        return find_leak_sighting(info.context, self.run_id)


ConfirmLeakResult = Annotated[
    FoundLeak | NotFound | BadRequest | Busy, strawberry.union("ConfirmLeakResult")
]
RepairLeakResult = Annotated[
    FoundLeak | NotFound | BadRequest | Busy, strawberry.union("RepairLeakResult")
]
By = Annotated[str, strawberry.argument(description="Who says so, such as a crew.")]


def found_leak_of(found: TwinFoundLeak) -> FoundLeak:
    """Return a found leak as GraphQL shows it."""
    repaired_ns = found.repaired_ns
    return FoundLeak(
        id=global_id("FoundLeak", found.run_id, found.pipe_id),
        run_id=found.run_id,
        network_name=found.network,
        pipe_id=found.pipe_id,
        place=found.place,
        flow_m3s=found.flow_m3s,
        since=Instant(found.since_ns),
        confirmed_by=found.confirmed_by or None,
        is_repaired=repaired_ns is not None,
        repaired_at=None if repaired_ns is None else Instant(repaired_ns),
        repaired_by=found.repaired_by or None,
        said=found_sentence(found),
        confirmation=_evidence(found.confirmation),
        repair=None if found.repair is None else _evidence(found.repair),
    )


def find_found_leak(context: Context, run_id: str, pipe_id: str) -> FoundLeak | None:
    """Return the leak of a run on a pipe, or None."""
    book = load_book(context.record())
    found = (one for one in book if one.key == (run_id, pipe_id))
    return next((found_leak_of(one) for one in found), None)


@strawberry.type
class LeakBookQueries:
    """What may be asked of the book."""

    @asked("The found leaks of a network, in order of confirmation.", cost=10)
    def leak_book(
        self,
        info: Info,
        network: str,
        first: First,
        after: After = None,
        is_repaired: Annotated[
            bool | None,
            strawberry.argument(description="Those that run, or those repaired; without it, all."),
        ] = None,
    ) -> Connection[FoundLeak]:
        """Return a page."""
        context, scope = info.context, f"{NAME} {network}"
        check_first(first)
        begin = None if after is None else place_of(context, scope, after)
        book = [
            one
            for one in load_book(context.record(), network)
            if is_repaired in {None, one.repaired_ns is not None}
        ]
        beyond = [one for one in book if begin is None or one.confirmation > begin]
        return page(
            beyond[: first + 1],
            first,
            cursors=context.services.cursors,
            scope=scope,
            after=after,
            key=lambda one: (one.confirmation.height, one.confirmation.index),
            node=found_leak_of,
            count=lambda: len(book),
        )


@strawberry.type
class LeakBookMutations:
    """What crews report."""

    @commanded(
        (
            "Record that a crew found a leak of a run, or of a call of a watch, on a pipe: from "
            "now on it is in the model. Without `since` it runs since the run's window begins, or "
            "since the call's onset."
        ),
        cost=100,
    )
    def confirm_leak(
        self,
        info: Info,
        run_id: str,
        pipe: str,
        since: Instant | None = None,
        by: By = "",
    ) -> ConfirmLeakResult:
        """Record it and return the leak."""
        context, clock = info.context, info.context.services.clock
        _check_by(by)

        def write(journal: Journal) -> TwinFoundLeak:
            return confirm(journal, run_id, pipe, clock, since_ns=since, by=by)

        return _written(context, pipe, write)

    @commanded(
        (
            "Record that a found leak was repaired: from then on it is out of the model. `pipe` "
            "says which, where several of one run are confirmed."
        ),
        cost=100,
    )
    def repair_leak(
        self,
        info: Info,
        run_id: str,
        at: Instant,
        pipe: str | None = None,
        by: By = "",
    ) -> RepairLeakResult:
        """Record it and return the leak."""
        context, clock = info.context, info.context.services.clock
        _check_by(by)

        def write(journal: Journal) -> TwinFoundLeak:
            return repair(journal, run_id, at, clock, pipe_text=pipe, by=by)

        return _written(context, pipe or "", write)


def _written(
    context: Context, pipe: str, write: Callable[[Journal], TwinFoundLeak]
) -> FoundLeak | NotFound | BadRequest | Busy:
    """Return what was recorded, or what a caller can do about it."""
    try:
        context.record()  # refuse to make a ledger just to say that it holds no such run
        with context.services.hurried_home.writer() as journal:
            return found_leak_of(write(journal))
    except NotFoundError as error:
        return NotFound(what=error.what, name=error.name, message=str(error))
    except AssetNameError as error:
        return NotFound(what="asset", name=pipe, message=str(error))
    except BookError as error:
        return BadRequest(message=str(error))
    except LedgerBusyError:
        return Busy(message="another process is writing to the ledger; try again")


def _check_by(by: str) -> None:
    if len(by) > MAX_BY:
        raise ArgumentError("by", f"a name has at most {MAX_BY} characters")


def _evidence(place: RecordRef) -> Evidence:
    return Evidence(leaf_index=place.index, height=place.height)
