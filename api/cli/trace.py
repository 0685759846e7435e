"""`twin trace`: what lies upstream or downstream of an asset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.output import Output, home_of
from twin.instants import format_instant, parse_instant

if TYPE_CHECKING:
    from api.tracing import TraceAnswer

_ASSET_HELP = "node:ID, link:ID, user:ID, or a bare EPANET id where only one could be meant."
_AT_HELP = "Moment whose flows decide, RFC 3339 with an offset; else model time zero."
_N_SHOWN = 12

Asset = Annotated[str, typer.Argument(metavar="ASSET", help=_ASSET_HELP)]
NetworkName = Annotated[str, typer.Option("--network", help="Name of the network.")]
At = Annotated[str | None, typer.Option("--at", metavar="T", help=_AT_HELP)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def register(app: typer.Typer) -> None:
    """Add `twin trace upstream` and `twin trace downstream`."""
    traces = typer.Typer(help="What lies upstream or downstream of an asset.", no_args_is_help=True)
    traces.command("upstream", help="Where the water at ASSET comes from.")(upstream)
    traces.command("downstream", help="Where the water at ASSET goes.")(downstream)
    app.add_typer(traces, name="trace")


def upstream(
    ctx: typer.Context, asset: Asset, network: NetworkName, at: At = None, *, json: AsJson = False
) -> None:
    """Trace against the flow."""
    _trace(ctx, "upstream", asset, network, at, Output(json=json))


def downstream(
    ctx: typer.Context, asset: Asset, network: NetworkName, at: At = None, *, json: AsJson = False
) -> None:
    """Trace with the flow."""
    _trace(ctx, "downstream", asset, network, at, Output(json=json))


def _trace(  # noqa: PLR0913, PLR0917 - what was typed
    ctx: typer.Context, direction: str, asset: str, network: str, at: str | None, out: Output
) -> None:
    from api.tracing import trace_network  # noqa: PLC0415 - loads EPANET and SciPy

    home = home_of(ctx)
    at_ns = None if at is None else parse_instant(at)
    answer = trace_network(home, network, asset, direction, at_ns, home.clock)
    out.say(_sentence(answer))
    for name, ids in (("nodes", answer.nodes), ("links", answer.links), ("users", answer.users)):
        if ids:
            more = f" … and {len(ids) - _N_SHOWN} more" if len(ids) > _N_SHOWN else ""
            out.say(f"  {name}: {', '.join(ids[:_N_SHOWN])}{more}")
    out.document(document_of(answer))


def document_of(answer: TraceAnswer) -> dict[str, Any]:
    """Return the trace as JSON: lists of EPANET ids, the moment, and the evidence."""
    place = answer.evidence
    return {
        "network": answer.network,
        "start": str(answer.start),
        "direction": answer.direction.value,
        "nodes": list(answer.nodes),
        "links": list(answer.links),
        "users": list(answer.users),
        "at": format_instant(answer.at_ns),
        "at_is_model_time_zero": not answer.is_at_given,
        "evidence": {"height": place.height, "index": place.index} if place else None,
    }


def _sentence(answer: TraceAnswer) -> str:
    moment = format_instant(answer.at_ns)
    said = "" if answer.is_at_given else " (model time zero, as no --at was given)"
    return (
        f"{answer.direction.value.capitalize()} of {answer.start} at {moment}{said}: "
        f"{len(answer.nodes)} nodes, {len(answer.links)} links, {len(answer.users)} users; "
        f"recorded at {answer.evidence}"
    )
