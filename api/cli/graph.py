"""Commands of the graph: how far it has come, and building it anew from the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.output import Output, home_of

if TYPE_CHECKING:
    from graph.store import Holdings

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def register(app: typer.Typer) -> None:
    """Add the commands of the graph."""
    graph = typer.Typer(
        help="The graph: a projection of the ledger that can be built anew.", no_args_is_help=True
    )
    graph.command("rebuild")(rebuild_graph)
    graph.command("status")(graph_status)
    app.add_typer(graph, name="graph")


def rebuild_graph(
    ctx: typer.Context,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be dropped, and stop.")
    ] = False,
    json: Json = False,
) -> None:
    """Drop the graph of this home and build it anew from its ledger; nothing else is touched."""
    from graph.projector import plan_rebuild, rebuild  # noqa: PLC0415 - loads the graph
    from graph.store import in_words  # noqa: PLC0415 - the same

    home, out = home_of(ctx), Output(json)
    record = home.reader()
    with home.graph_store() as store:
        plan = plan_rebuild(store, record)
        verb = "would be dropped" if dry_run else "is dropped"
        out.say(f"at {store.place} {verb}: {in_words(plan.ours)}")
        document = _document(store.place, plan, record.height) | {"dry_run": dry_run}
        if not dry_run:
            height = rebuild(store, record, lambda done, of: out.progress("blocks told", done, of))
            built = store.holdings().ours
            out.say(f"built anew from {height} blocks: {in_words(built)}")
            document |= {"height": height, "built": dict(built)}
        out.document(document)


def graph_status(ctx: typer.Context, *, json: Json = False) -> None:
    """Show where the graph is, what it holds, and how far it lags behind the ledger."""
    from graph.store import in_words  # noqa: PLC0415 - loads the graph

    home, out = home_of(ctx), Output(json)
    record = home.reader()
    with home.graph_store() as store:
        holdings = store.holdings()
        document = _document(store.place, holdings, record.height)
    out.say(f"{document['place']}: {document['height']} of {record.height} blocks told")
    out.say(f"holds {in_words(holdings.ours)}")
    if holdings.foreign:
        out.say(f"and what is not ours: {in_words(holdings.foreign)}")
    out.document(document)


def _document(place: str, holdings: Holdings, ledger_height: int) -> dict[str, Any]:
    mark = holdings.mark
    return {
        "place": place,
        "chain": mark.chain if mark else None,
        "height": mark.height if mark else 0,
        "ledger_height": ledger_height,
        "holds": dict(holdings.ours),
        "foreign": dict(holdings.foreign),
    }
