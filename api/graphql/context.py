"""What a question is answered from: the home's record and graph, its jobs and its cursors."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from strawberry.types import ExecutionResult
from strawberry.types import Info as StrawberryInfo

from api.graphql.cursors import Cursors, open_cursors
from api.graphql.errors import TimedOutError
from api.graphql.jobs import Jobs
from api.home import Home
from graph.projector import catch_up
from graph.store import GraphStore
from ledger.journal import Ledger
from twin.instants import Clock

if TYPE_CHECKING:
    from twin.assets import Network


WRITE_WAIT_S = 5.0
Run = Callable[[str | None, dict[str, Any] | None, str | None], Awaitable[ExecutionResult]]


class Services:
    """What all questions of one server share. Safe to use from several threads."""

    def __init__(self, home: Home, write_wait_s: float = WRITE_WAIT_S) -> None:
        self.home = home
        # A job may wait long for the ledger's lock; a question must not.
        hurried = home.settings.model_copy(update={"lock_wait_s": write_wait_s})
        self.hurried_home = Home(home.path, home.clock, hurried)
        self.cursors: Cursors = open_cursors(home.path)
        self.jobs = Jobs()
        self._record: Ledger | None = None
        self._graph: GraphStore | None = None
        self._opening = threading.Lock()

    @property
    def clock(self) -> Clock:
        """What says now."""
        return self.home.clock

    def record(self) -> Ledger:
        """Return the ledger for reading; it sees new blocks by itself.

        Raises:
            NotFoundError: Nothing was ever recorded in this home.
        """
        with self._opening:
            if self._record is None:
                self._record = self.home.reader()
            return self._record

    def graph(self) -> GraphStore:
        """Return the graph, caught up with the ledger."""
        record = self.record()
        with self._opening:
            if self._graph is None:
                self._graph = self.home.graph_store()
        catch_up(self._graph, record)
        return self._graph

    def close(self) -> None:
        """Stop the jobs and let go of the graph and the record."""
        self.jobs.close()
        if self._record is not None:
            self._record.close()
        if self._graph is not None:
            self._graph.close()


@dataclass(slots=True)
class Context:
    """One question.

    Attributes:
        services: What it is answered from.
        deadline_s: Until when, on `time.monotonic` [s]; None for a subscription.
        limit_s: How long it was given [s].
        correlation_id: Names it in the answer and in the server's log.
        known: What was looked up for it already.
        run: On a websocket: runs a query or mutation away from the event loop.
    """

    services: Services
    deadline_s: float | None = None
    limit_s: float = 0.0
    correlation_id: str = field(default_factory=lambda: secrets.token_hex(8))
    known: dict[Any, Any] = field(default_factory=dict)
    run: Run | None = None
    _graph: GraphStore | None = None

    def record(self) -> Ledger:
        """Return the record, if there is time left to ask it.

        Raises:
            TimedOutError: The question has used up its time.
        """
        self.check_time()
        return self.services.record()

    def graph(self) -> GraphStore:
        """Return the graph, caught up once for each question."""
        self.check_time()
        if self._graph is None:
            self._graph = self.services.graph()
        return self._graph

    def networks(self) -> dict[str, Network]:
        """Return the networks by name."""
        if "networks" not in self.known:
            placed = self.graph().networks()
            self.known["networks"] = {one.network.name: one.network for one in placed}
        return cast("dict[str, Network]", self.known["networks"])

    def renew(self) -> None:
        """Forget what was looked up, before the next event of a subscription."""
        self.known.clear()
        self._graph = None

    def check_time(self) -> None:
        """Stop a question that has used up its time.

        Raises:
            TimedOutError: It has.
        """
        if self.deadline_s is not None and time.monotonic() > self.deadline_s:
            raise TimedOutError(self.limit_s)


Info = StrawberryInfo[Context, None]
