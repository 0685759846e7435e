"""`twin serve`: GraphQL and the page to ask from, on this machine alone."""

from __future__ import annotations

import contextlib
import ipaddress
import signal
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from api.cli.output import Output, home_of
from twin.errors import RefusedError, UnreadableError

if TYPE_CHECKING:
    from api.home import Home

DEFAULT_PORT = 8000
GRACE_S = 3
BACKLOG = 128
_MAX_PORT = 65_535

HostOption = Annotated[str, typer.Option("--host", help="Address to listen on: loopback only.")]
PortOption = Annotated[int, typer.Option("--port", help="Port to listen on; 0 takes any free one.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document when ready.")]


class NotLoopbackError(UnreadableError):
    """The address can be reached from other machines."""

    def __init__(self, host: str) -> None:
        super().__init__(host)
        self.host = host

    def __str__(self) -> str:
        return (
            f"--host {self.host}: until there are accounts, the server listens on loopback alone; "
            "use 127.0.0.1, and an SSH tunnel from elsewhere"
        )


class PortBusyError(RefusedError):
    """The port cannot be listened on."""

    code: ClassVar[str] = "PORT_BUSY"

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(host, port, reason)
        self.host = host
        self.port = port
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"port {self.port} of {self.host} cannot be used ({self.reason}); stop the program "
            f"that holds it, or choose another one: twin serve --port {_another(self.port)}"
        )


def register(app: typer.Typer) -> None:
    """Add `twin serve` and `twin schema`."""
    app.command("serve", help="Serve GraphQL and a page to ask from, on this machine.")(serve)
    app.command("schema", help="Print the GraphQL schema.")(schema)


def serve(
    ctx: typer.Context,
    *,
    host: HostOption = "127.0.0.1",
    port: PortOption = DEFAULT_PORT,
    json: AsJson = False,
) -> None:
    """Serve until stopped."""
    address = loopback_address(host)
    if not 0 <= port <= _MAX_PORT:
        raise UnreadableError(f"--port {port}: a port is 0 to {_MAX_PORT}")
    home = home_of(ctx)
    home.reader().close()  # a home without a record is refused before anything is said
    with listening(address, port) as listener:
        _run(home, listener, Output(json=json))


def schema() -> None:
    """Print the schema, sorted, as it is committed."""
    from api.graphql.print_schema import schema_text  # noqa: PLC0415 - loads Strawberry

    typer.echo(schema_text(), nl=False)


def loopback_address(host: str) -> str:
    """Return the address of a loopback name.

    Raises:
        NotLoopbackError: It is not loopback.
    """
    if host == "localhost":
        return "127.0.0.1"
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError as error:
        raise NotLoopbackError(host) from error
    if str(address) not in {"127.0.0.1", "::1"}:
        raise NotLoopbackError(host)
    return str(address)


@contextlib.contextmanager
def listening(address: str, port: int) -> Iterator[socket.socket]:
    """Listen on a port, so that nobody else can take it before the server is ready.

    Raises:
        PortBusyError: Another program listens there, or this user may not.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # The protocol is named, else asyncio leaves small answers waiting for an acknowledgement.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, port))
            listener.listen(BACKLOG)
        except OSError as error:
            raise PortBusyError(address, port, error.strerror or "refused") from error
        yield listener


def _run(home: Home, listener: socket.socket, out: Output) -> None:
    import uvicorn  # noqa: PLC0415 - only here

    from api.graphql.running import Bounds  # noqa: PLC0415 - loads Strawberry
    from api.server import build_app  # noqa: PLC0415 - loads Strawberry

    bounds = Bounds()
    config = uvicorn.Config(
        build_app(home, bounds),
        log_level="warning",
        server_header=False,
        date_header=False,
        proxy_headers=False,
        ws="websockets-sansio",
        ws_max_size=bounds.body_bytes,
        limit_concurrency=bounds.connections,
        timeout_keep_alive=10,
        timeout_graceful_shutdown=GRACE_S,
        lifespan="on",
    )
    server = uvicorn.Server(config)
    started = server.startup

    async def startup_and_say_so(sockets: list[socket.socket] | None = None) -> None:
        await started(sockets)
        _announce(listener, out)

    server.startup = startup_and_say_so  # type: ignore[method-assign]
    # Uvicorn ends in good order and then raises the signal again: being stopped is no failure.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    server.run(sockets=[listener])


def _announce(listener: socket.socket, out: Output) -> None:
    address, port = listener.getsockname()[:2]
    name = f"[{address}]" if ":" in address else address
    url = f"http://{name}:{port}"
    out.say(f"Watercourse answers at {url}/graphql; open {url} to ask. Stop with Ctrl+C.")
    out.document({"url": url, "graphql": f"{url}/graphql"})


def _another(port: int) -> int:
    return port + 1 if port < _MAX_PORT else DEFAULT_PORT
