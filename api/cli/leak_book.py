"""`twin leak confirm`, `repair` and `book`: which leaks crews found, and which still run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.output import Output, home_of
from twin.instants import format_instant, parse_instant

if TYPE_CHECKING:
    from twin.leaks.book import FoundLeak

_RUN = "Id of a leak run (leak-…), or of a call of a watch (watch-…)."
RunId = Annotated[str, typer.Argument(metavar="RUN", help=_RUN)]
Pipe = Annotated[str, typer.Argument(metavar="PIPE", help="EPANET id of the pipe.")]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="T", help="Since when it runs; else as the run or call says."),
]
At = Annotated[str, typer.Option("--at", metavar="T", help="When it was repaired.")]
PipeOrOnly = Annotated[
    str | None,
    typer.Option("--pipe", metavar="PIPE", help="Which, where several of the run are confirmed."),
]
By = Annotated[str, typer.Option("--by", metavar="NAME", help="Who says so, such as a crew.")]
NetworkOrAll = Annotated[str | None, typer.Option("--network", help="Only of this network.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def register(leak: typer.Typer) -> None:
    """Add the commands to `twin leak`."""
    leak.command("confirm", help="A crew found the leak: it enters the model.")(confirm)
    leak.command("repair", help="The leak was repaired: it leaves the model.")(repair)
    leak.command("book", help="List the leaks that were found, and which of them run.")(book)


def confirm(  # noqa: PLR0913 - one parameter an option
    ctx: typer.Context,
    run_id: RunId,
    pipe: Pipe,
    *,
    since: Since = None,
    by: By = "",
    json: AsJson = False,
) -> None:
    """Record that the leak of a run or a call was found on a pipe."""
    from twin.leaks.book import confirm as record_found  # noqa: PLC0415 - loads NumPy

    out = Output(json=json)
    home = home_of(ctx)
    since_ns = None if since is None else parse_instant(since)
    home.reader()  # refuse to make a ledger just to say that it holds no such run
    with home.writer() as journal:
        found = record_found(journal, run_id, pipe, home.clock, since_ns=since_ns, by=by)
    out.say(
        f"leak on pipe {found.pipe_id} is in the model since {format_instant(found.since_ns)}, "
        f"until: twin leak repair {run_id} --at T"
    )
    out.document(found_document(found))


def repair(  # noqa: PLR0913 - one parameter an option
    ctx: typer.Context,
    run_id: RunId,
    *,
    at: At,
    pipe: PipeOrOnly = None,
    by: By = "",
    json: AsJson = False,
) -> None:
    """Record that a confirmed leak was repaired."""
    from twin.leaks.book import repair as record_repair  # noqa: PLC0415 - loads NumPy

    out = Output(json=json)
    home = home_of(ctx)
    at_ns = parse_instant(at)
    home.reader()  # refuse to make a ledger just to say that it holds no such run
    with home.writer() as journal:
        found = record_repair(journal, run_id, at_ns, home.clock, pipe_text=pipe, by=by)
    out.say(f"leak on pipe {found.pipe_id} is out of the model from {format_instant(at_ns)}")
    out.document(found_document(found))


def book(ctx: typer.Context, *, network: NetworkOrAll = None, json: AsJson = False) -> None:
    """List the found leaks, the open ones first."""
    from api.report.watch_words import found_sentence  # noqa: PLC0415 - loads NumPy
    from twin.leaks.book import load_book  # noqa: PLC0415 - loads NumPy

    out = Output(json=json)
    found = load_book(home_of(ctx).reader(), network)
    found.sort(key=lambda one: one.repaired_ns is not None)
    for one in found:
        out.say(f"{one.run_id}  {one.network}  {found_sentence(one)}")
    if not found:
        out.say("no found leak is in the book")
    out.document({"leaks": [found_document(one) for one in found]})


def found_document(found: FoundLeak) -> dict[str, Any]:
    """Return a found leak as JSON."""
    repaired = found.repaired_ns
    return {
        "run_id": found.run_id,
        "network": found.network,
        "pipe_id": found.pipe_id,
        "place": found.place,
        "flow_m3s": found.flow_m3s,
        "since": format_instant(found.since_ns),
        "confirmed_by": found.confirmed_by or None,
        "repaired": None if repaired is None else format_instant(repaired),
        "repaired_by": found.repaired_by or None,
        "evidence": {"height": found.evidence.height, "index": found.evidence.index},
    }
