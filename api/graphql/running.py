"""How an operation is run: in a worker thread, bounded in number and in time."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar

from graphql import GraphQLError
from strawberry.exceptions import MissingQueryError
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from api.graphql.context import Context, Services
from api.graphql.errors import BAD_USER_INPUT, TimedOutError, told
from api.graphql.guards import mask
from api.graphql.schema import build_schema
from twin.errors import RefusedError

OVER_HTTP = frozenset({OperationType.QUERY, OperationType.MUTATION})


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much one server does at once.

    Attributes:
        threads: Operations that run at the same time.
        waiting: Operations that may wait for a thread; more are refused.
        operation_s: How long an operation may take, waiting included [s].
        body_bytes: How long a request may be.
        subscriptions: Operations on one websocket.
        connections: Connections in all.
    """

    threads: int = 4
    waiting: int = 32
    operation_s: float = 30.0
    body_bytes: int = 100_000
    subscriptions: int = 20
    connections: int = 200


class ServerBusyError(RefusedError):
    """As many operations run and wait as may."""

    code: ClassVar[str] = "BUSY"

    def __str__(self) -> str:
        return "the server is busy; try again in a moment"


class Runner:
    """Runs operations of one server."""

    def __init__(self, services: Services, bounds: Bounds) -> None:
        self.services = services
        self.bounds = bounds
        self._pool = ThreadPoolExecutor(bounds.threads, thread_name_prefix="graphql")
        self._n_begun = 0

    async def run(
        self, query: str | None, variables: dict[str, Any] | None, operation_name: str | None
    ) -> ExecutionResult:
        """Return the answer to a query or mutation, its errors already masked.

        Raises:
            ServerBusyError: Too many operations are under way.
        """
        if self._n_begun >= self.bounds.threads + self.bounds.waiting:
            raise ServerBusyError
        limit_s = self.bounds.operation_s
        context = Context(self.services, time.monotonic() + limit_s, limit_s)
        work = self._pool.submit(execute, context, query, variables, operation_name)
        self._n_begun += 1
        loop = asyncio.get_running_loop()
        work.add_done_callback(lambda done: self._ended(loop, done))
        try:
            return await asyncio.wait_for(asyncio.wrap_future(work), limit_s)
        except TimeoutError:  # the thread goes on until its next look at the time
            return _refused(context, TimedOutError(limit_s))

    def close(self) -> None:
        """Take no more operations; those that run end by themselves."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _ended(self, loop: asyncio.AbstractEventLoop, _done: Future[ExecutionResult]) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._count_down)

    def _count_down(self) -> None:
        self._n_begun -= 1


def execute(
    context: Context,
    query: str | None,
    variables: dict[str, Any] | None = None,
    operation_name: str | None = None,
) -> ExecutionResult:
    """Return the answer to a query or mutation, its errors already masked."""
    try:
        result = build_schema().execute_sync(
            query,
            variable_values=variables,
            context_value=context,
            operation_name=operation_name,
            allowed_operation_types=OVER_HTTP,
        )
    except MissingQueryError:
        return _bad_request(context, "the request holds no query")
    except CannotGetOperationTypeError as error:
        return _bad_request(context, error.as_http_error_reason())
    except InvalidOperationTypeError:
        return _bad_request(
            context, "subscriptions go over a websocket, protocol graphql-transport-ws"
        )
    answer = ExecutionResult(result.data, result.errors, result.extensions)
    mask(answer, context.correlation_id)
    return answer


def _bad_request(context: Context, message: str) -> ExecutionResult:
    extensions = {"code": BAD_USER_INPUT, "correlationId": context.correlation_id}
    return ExecutionResult(None, [GraphQLError(message, extensions=extensions)])


def _refused(context: Context, error: TimedOutError) -> ExecutionResult:
    wrapped = GraphQLError(str(error), original_error=error)
    return ExecutionResult(None, [told(wrapped, context.correlation_id)])
