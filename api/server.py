"""The server: GraphQL, a page to ask from, reports, and whether it is well.

Until there are accounts it listens on loopback alone, and it answers to no other name: a page of
another site that points a name of its own at this address is refused.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncGenerator
from typing import Final
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.graphql.context import Services
from api.graphql.http import GraphQLOverHttp, GraphQLOverWebsocket
from api.graphql.page import ask_html, ask_script, ask_style, shipped_queries
from api.graphql.running import Bounds, Runner
from api.home import Home
from twin.errors import NotFoundError

LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
SECURITY_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
ANY_METHOD: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_RUN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class LoopbackOnly:
    """Refuses requests that name another host or come from another origin, and adds headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is addressed to this server by a page of its own, or by no page."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if not is_ours(headers.get("host"), headers.get("origin")):
            await _refuse(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    answered.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def is_ours(host: str | None, origin: str | None) -> bool:
    """Return whether a request names this server, and comes from its own page if from any.

    Args:
        host: The header `Host`.
        origin: The header `Origin`, which browsers send and other clients do not.
    """
    own = _authority(f"http://{host}") if host else None
    if own is None or own[0] not in LOOPBACK_NAMES:
        return False
    return origin is None or (origin.startswith("http://") and _authority(origin) == own)


def _authority(url: str) -> tuple[str, int] | None:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    return (host or "", port or 80)


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": "another origin"})
        return
    sentence = "this server answers on loopback, to its own pages and to programs, only"
    await PlainTextResponse(sentence, 403, SECURITY_HEADERS)(scope, receive, send)


class Pages:
    """Everything that is no GraphQL."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def ask(self, _request: Request) -> Response:
        """Return the page to ask from."""
        return HTMLResponse(ask_html(), headers={"Content-Security-Policy": PAGE_POLICY})

    async def script(self, _request: Request) -> Response:
        """Return the page's script."""
        return Response(ask_script(), media_type="text/javascript")

    async def style(self, _request: Request) -> Response:
        """Return the page's style."""
        return Response(ask_style(), media_type="text/css")

    async def queries(self, _request: Request) -> Response:
        """Return the queries to try, by name."""
        return JSONResponse(shipped_queries())

    async def health(self, _request: Request) -> Response:
        """Say whether the record can be read, and how high it is."""
        height = await run_in_threadpool(lambda: self._services.record().height)
        return JSONResponse({"status": "ok", "height": height})

    async def report(self, request: Request) -> Response:
        """Return the report of a leak run; it may run no script but its own."""
        run_id = str(request.path_params["run_id"])
        if _RUN_ID.fullmatch(run_id) is None:
            return PlainTextResponse("no such leak run", 404)
        try:
            page = await run_in_threadpool(self._report, run_id)
        except NotFoundError:
            return PlainTextResponse("no such leak run", 404)
        return HTMLResponse(page, headers={"X-Frame-Options": "SAMEORIGIN"})

    def _report(self, run_id: str) -> str:
        from api.report.writing import report_html  # noqa: PLC0415 - loads Jinja
        from twin.leaks.runs import load_detail, load_run  # noqa: PLC0415 - loads EPANET
        from twin.networks import load_model, load_network  # noqa: PLC0415 - loads WNTR

        record = self._services.record()
        run = load_run(record, run_id)
        network = load_network(record, run.network)
        return report_html(load_detail(record, run), network, load_model(record, network))


def build_app(home: Home, bounds: Bounds | None = None) -> Starlette:
    """Return the application that serves a home.

    Args:
        home: What is served.
        bounds: How much it does at once.
    """
    services = Services(home)
    runner = Runner(services, bounds or Bounds())
    pages = Pages(services)
    graphql = GraphQLOverHttp(runner)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncGenerator[None, None]:
        yield
        runner.close()
        services.close()

    return Starlette(
        routes=[
            Route("/", pages.ask),
            Route("/ask.js", pages.script),
            Route("/ask.css", pages.style),
            Route("/queries.json", pages.queries),
            Route("/healthz", pages.health),
            Route("/reports/{run_id}.html", pages.report),
            Route(
                "/graphql",
                graphql.respond,
                methods=ANY_METHOD,
            ),
            WebSocketRoute("/graphql", GraphQLOverWebsocket(runner)),
        ],
        middleware=[Middleware(LoopbackOnly)],
        lifespan=lifespan,
    )
