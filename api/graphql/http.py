"""GraphQL over HTTP and over a websocket, as the specifications of both say.

Source:
    GraphQL over HTTP (draft of 2025), sections "Request" and "Response";
    graphql-transport-ws protocol.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.http import process_result
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types import ExecutionResult

from api.graphql.context import Context
from api.graphql.errors import BAD_USER_INPUT, CODES, INTERNAL, LOGGER
from api.graphql.running import Runner, ServerBusyError
from api.graphql.schema import build_schema

JSON_TYPE = "application/json"
RESPONSE_TYPE = "application/graphql-response+json"
BODY_WAIT_S = 10
INIT_WAIT = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came.

    Attributes:
        query: The document.
        variables: Values by name.
        operation_name: Which operation of the document.
    """

    query: str
    variables: dict[str, Any] | None
    operation_name: str | None


class RequestError(Exception):
    """A request is not one of GraphQL over HTTP."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(status, sentence)
        self.status = status
        self.sentence = sentence


class GraphQLOverHttp:
    """Answers POST /graphql."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def respond(self, request: Request) -> Response:
        """Answer one request."""
        if request.method != "POST":
            return refusal(405, "ask with POST")
        try:
            media_type = answer_type(request.headers.get("accept"))
            check_content_type(request.headers.get("content-type", ""))
            body = await read_body(request, self._runner.bounds.body_bytes)
            asked = read_asked(body)
            result = await self._runner.run(asked.query, asked.variables, asked.operation_name)
        except RequestError as error:
            return refusal(error.status, error.sentence)
        except ServerBusyError as error:
            return refusal(503, str(error), {"Retry-After": "1"}, error.code)
        return answer(result, media_type)


def answer_type(accept: str | None) -> str:
    """Return the media type to answer in: the newer one where the client names it.

    Raises:
        RequestError: The client accepts neither.
    """
    if not accept:
        return JSON_TYPE
    wanted = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    if RESPONSE_TYPE in wanted:
        return RESPONSE_TYPE
    if wanted & {JSON_TYPE, "application/*", "*/*"}:
        return JSON_TYPE
    raise RequestError(406, f"accept {RESPONSE_TYPE} or {JSON_TYPE}")


def check_content_type(content_type: str) -> None:
    """Refuse all but JSON in UTF-8: a page of another site cannot send that unasked.

    Raises:
        RequestError: It is something else.
    """
    media_type, _, parameters = content_type.partition(";")
    charset = parameters.strip().lower()
    if media_type.strip().lower() != JSON_TYPE or charset not in {
        "",
        "charset=utf-8",
        'charset="utf-8"',
    }:
        raise RequestError(415, f"send {JSON_TYPE} in UTF-8")


async def read_body(request: Request, limit: int) -> bytes:
    """Return the body, reading no more of it than may be.

    Raises:
        RequestError: It is longer, or slower than may be.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_WAIT_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise RequestError(413, f"the request is longer than {limit} bytes")
    except TimeoutError as error:
        raise RequestError(408, f"the request took longer than {BODY_WAIT_S} s") from error
    return bytes(body)


def read_asked(body: bytes) -> Asked:
    """Return what is asked.

    Raises:
        RequestError: The body is not JSON, is a batch, or has no query.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError(400, "the body is not JSON") from error
    if isinstance(content, list):
        raise RequestError(400, "one operation a request: batches are off")
    if not isinstance(content, dict) or not isinstance(content.get("query"), str):
        raise RequestError(400, "the body is an object with the text `query`")
    for name, kind, word in (
        ("variables", dict, "an object"),
        ("operationName", str, "text"),
        ("extensions", dict, "an object"),
    ):
        if not isinstance(content.get(name), kind | None):
            raise RequestError(400, f"`{name}` is {word} or null")
    return Asked(content["query"], content.get("variables"), content.get("operationName"))


def answer(result: ExecutionResult, media_type: str) -> Response:
    """Return the response to an operation; NaN and infinity cannot leave."""
    content = cast("dict[str, Any]", process_result(result))
    never_ran = result.data is None and all(error.path is None for error in result.errors or ())
    if never_ran:
        content.pop("data")
    # A client that names the newer type takes the status for its answer; older ones look inside.
    status = 400 if never_ran and media_type == RESPONSE_TYPE else 200
    try:
        text = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        LOGGER.error("an answer held NaN or infinity", exc_info=error)
        return refusal(500, CODES[INTERNAL].sentence, code=INTERNAL)
    return Response(text, status, media_type=f"{media_type}; charset=utf-8")


def refusal(
    status: int,
    sentence: str,
    headers: Mapping[str, str] | None = None,
    code: str = BAD_USER_INPUT,
) -> Response:
    """Return a response to what is no operation, in the shape that clients of GraphQL read."""
    text = json.dumps({"errors": [{"message": sentence, "extensions": {"code": code}}]})
    more = {"Allow": "POST"} if status == 405 else {}  # noqa: PLR2004 - HTTP's own number
    return Response(text, status, {**more, **(headers or {})}, f"{JSON_TYPE}; charset=utf-8")


class GraphQLOverWebsocket(GraphQL[Context, None]):
    """Answers on a websocket, protocol graphql-transport-ws; the legacy protocol is off."""

    def __init__(self, runner: Runner) -> None:
        super().__init__(
            build_schema(),
            graphql_ide=None,
            allow_queries_via_get=False,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL,),
            connection_init_wait_timeout=INIT_WAIT,
            max_subscriptions_per_connection=runner.bounds.subscriptions,
        )
        self._runner = runner

    async def get_context(  # noqa: D102 - Strawberry's
        self,
        request: Request | WebSocket,  # noqa: ARG002
        response: Response | WebSocket,  # noqa: ARG002
    ) -> Context:
        return Context(self._runner.services, run=self._runner.run)

    def encode_json(self, data: object) -> str:
        """Return JSON; NaN and infinity cannot leave."""
        return json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
