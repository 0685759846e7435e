"""The schema, put together from its subjects."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from functools import cache
from typing import Any

import strawberry
from graphql import GraphQLError, OperationDefinitionNode, OperationType, parse
from strawberry.extensions import MaxTokensLimiter
from strawberry.schema.config import StrawberryConfig
from strawberry.tools import merge_types
from strawberry.types import ExecutionContext
from strawberry.types.graphql import OperationType as Operation

from api.graphql.assets import AssetQueries
from api.graphql.balances import BalanceQueries
from api.graphql.blocks import BlockQueries
from api.graphql.context import Context
from api.graphql.evaluations import Evaluation, EvaluationQueries
from api.graphql.guards import MaskingExtension, WeighingExtension
from api.graphql.leak_book import LeakBookMutations, LeakBookQueries
from api.graphql.leak_onsets import LeakOnsetQueries
from api.graphql.leak_runs import LeakQueries
from api.graphql.leak_sightings import LeakSightingQueries
from api.graphql.lookup import NodeQueries
from api.graphql.mutations import JobQueries, Mutation
from api.graphql.networks import NetworkQueries
from api.graphql.scalars import SCALARS
from api.graphql.series import SeriesQueries
from api.graphql.subscriptions import Subscription
from api.graphql.traces import TraceQueries
from api.graphql.trust import TrustQueries
from api.graphql.verification import VerificationQueries

MAX_TOKENS = 2_000

QUERY_PARTS: tuple[type, ...] = (
    NodeQueries,
    NetworkQueries,
    AssetQueries,
    SeriesQueries,
    EvaluationQueries,
    LeakOnsetQueries,
    LeakQueries,
    LeakSightingQueries,
    LeakBookQueries,
    BalanceQueries,
    TrustQueries,
    TraceQueries,
    BlockQueries,
    VerificationQueries,
    JobQueries,
)


class Schema(strawberry.Schema):
    """Strawberry's schema; over a websocket, queries and mutations leave the event loop too."""

    def process_errors(
        self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None
    ) -> None:
        """Log nothing here: `api.graphql.errors.told` does, under the correlation id."""

    async def stream(  # noqa: D102, PLR0913, PLR0917 - Strawberry's
        self,
        query: str | None,
        variable_values: dict[str, Any] | None = None,
        context_value: Any | None = None,  # noqa: ANN401 - Strawberry's
        root_value: Any | None = None,  # noqa: ANN401 - Strawberry's
        operation_name: str | None = None,
        operation_extensions: dict[str, Any] | None = None,
        allowed_operation_types: Iterable[Operation] | None = None,
    ) -> AsyncGenerator[Any, None]:
        run = context_value.run if isinstance(context_value, Context) else None
        if run is None or _is_subscription(query, operation_name):
            return await super().stream(
                query,
                variable_values,
                context_value,
                root_value,
                operation_name,
                operation_extensions,
                allowed_operation_types,
            )

        async def once() -> AsyncGenerator[Any, None]:
            yield await run(query, variable_values, operation_name)

        return once()


def _is_subscription(query: str | None, operation_name: str | None) -> bool:
    """Return whether an operation may be a subscription; what cannot be read is told elsewhere."""
    try:
        document = parse(query or "", no_location=True, max_tokens=MAX_TOKENS)
    except (GraphQLError, RecursionError):
        return False
    return any(
        node.operation is OperationType.SUBSCRIPTION
        and operation_name in {None, node.name.value if node.name else None}
        for node in document.definitions
        if isinstance(node, OperationDefinitionNode)
    )


@cache
def build_schema(*, is_sorted: bool = False) -> Schema:
    """Return the schema; it is built once for each process.

    Args:
        is_sorted: For printing only: Strawberry's unions do not find their members once sorted.
    """
    return Schema(
        query=merge_types("Query", QUERY_PARTS),
        mutation=merge_types("Mutation", (Mutation, LeakBookMutations)),
        subscription=Subscription,
        types=[Evaluation],
        extensions=[
            lambda: MaxTokensLimiter(max_token_count=MAX_TOKENS),
            WeighingExtension,
            MaskingExtension,
        ],
        config=StrawberryConfig(scalar_map=SCALARS, sort_schema=is_sorted),
    )
