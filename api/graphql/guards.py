"""What stands around every operation: its size before, and its errors after."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from graphql import ExecutionResult as CoreResult
from graphql import GraphQLError
from strawberry.extensions import SchemaExtension
from strawberry.types import ExecutionResult

from api.graphql.cost import Limits, QueryTooLargeError, Weight, weigh
from api.graphql.errors import told

LIMITS = Limits()


class WeighingExtension(SchemaExtension):
    """Weighs an operation before any other rule looks at it, and reports its cost."""

    def on_operation(self) -> Iterator[None]:
        """Start with no cost."""
        self._weight: Weight | None = None
        yield

    def on_validate(self) -> Iterator[None]:
        """Refuse what is too large; the rules of GraphQL itself then do not run."""
        context = self.execution_context
        assert context.graphql_document is not None
        try:
            weights = weigh(
                context.schema._schema,  # noqa: SLF001 - Strawberry's only way to the core schema
                context.graphql_document,
                context.variables,
                LIMITS,
            )
        except QueryTooLargeError as error:
            refusal = GraphQLError(str(error), extensions={"code": error.code})
            context.pre_execution_errors = [refusal]
        else:
            self._weight = weights.get(context.operation_name)
        yield

    def get_results(self) -> dict[str, Any]:
        """Return `extensions.cost`."""
        if self._weight is None:
            return {}
        weight = self._weight
        return {
            "cost": {
                "requested": weight.cost,
                "limit": LIMITS.cost,
                "depth": weight.depth,
                "aliases": weight.aliases,
            }
        }


class MaskingExtension(SchemaExtension):
    """Gives every error its code and correlation id, and hides what is not the caller's."""

    def on_stream_result(self, result: Any) -> Iterator[None]:  # noqa: ANN401 - Strawberry's
        """Mask each result of a subscription."""
        mask(result, self.execution_context.context.correlation_id)
        yield


def mask(result: object, correlation_id: str) -> None:
    """Replace the errors of a result by what the client is told of them."""
    answer = cast("ExecutionResult | CoreResult", result)
    if answer.errors:
        answer.errors = [
            told(error, correlation_id)
            for error in answer.errors
            if isinstance(error, GraphQLError)
        ]
