"""`twin evaluate`: the rules over what is recorded, with every verdict in the record."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from api.cli.output import Output, home_of
from twin.instants import format_instant, parse_instant

if TYPE_CHECKING:
    from twin.evaluations import Evaluation

_END_OF_TIME_NS = (1 << 63) - 1
_N_SHOWN = 20
_FROM_HELP = "Where a series that was never judged begins; others go on from where they stopped."
_TO_HELP = "Readings at or after this time are left for later."

NetworkName = Annotated[str, typer.Option("--network", help="Name of the network.")]
From = Annotated[str | None, typer.Option("--from", metavar="T", help=_FROM_HELP)]
To = Annotated[str | None, typer.Option("--to", metavar="T", help=_TO_HELP)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def register(app: typer.Typer) -> None:
    """Add `twin evaluate`."""
    app.command("evaluate", help="Judge what is recorded and not judged yet.")(evaluate)


def evaluate(
    ctx: typer.Context,
    network: NetworkName,
    from_: From = None,
    to: To = None,
    *,
    json: AsJson = False,
) -> None:
    """Judge each recorded reading once; a second run with nothing new records nothing."""
    from twin.networks import load_network  # noqa: PLC0415 - loads NumPy
    from twin.rules.run import evaluate as judge  # noqa: PLC0415 - loads NumPy

    home, out = home_of(ctx), Output(json=json)
    from_ns = 0 if from_ is None else parse_instant(from_)
    to_ns = _END_OF_TIME_NS if to is None else parse_instant(to)
    load_network(home.reader(), network)
    with home.writer() as ledger:
        found = judge(ledger, network, from_ns, to_ns, home.clock)
    for line in lines_of(found):
        out.say(Text(line))
    out.document(document_of(network, found))


def lines_of(found: list[Evaluation]) -> list[str]:
    """Return what people read: a line for each batch, and the transitions."""
    from twin.evaluations import Scope  # noqa: PLC0415 - loads NumPy

    if not found:
        return ["nothing new to judge"]
    changes = [made for made in found if made.scope is Scope.TRANSITION]
    lines = [_batch_line(made) for made in found if made.scope is Scope.BATCH]
    lines += [_change_line(made) for made in changes[:_N_SHOWN]]
    if len(changes) > _N_SHOWN:
        lines.append(f"  … and {len(changes) - _N_SHOWN} more")
    return lines


def document_of(network: str, found: list[Evaluation]) -> dict[str, Any]:
    """Return the JSON document: counts by verdict, then each evaluation."""
    from twin.evaluations import Scope  # noqa: PLC0415 - loads NumPy

    changes = [made for made in found if made.scope is Scope.TRANSITION]
    batches = [made for made in found if made.scope is Scope.BATCH]
    return {
        "network": network,
        "recorded": len(found),
        "transitions": dict(Counter(made.verdict.value for made in changes)),
        "readings": {
            "met": sum(made.n_met for made in batches),
            "exceeded": sum(made.n_exceeded for made in batches),
            "not judged": sum(made.n_not_judged for made in batches),
        },
        "evaluations": [json_of(made) for made in found],
    }


def json_of(made: Evaluation) -> dict[str, Any]:
    """Return one evaluation as JSON."""
    standard = made.standard
    return {
        "id": made.id,
        "scope": made.scope.value,
        "verdict": made.verdict.value,
        "rule": {"id": made.rule.id, "version": made.rule.version},
        "standard": None
        if standard is None
        else {
            "id": standard.id,
            "edition": standard.edition,
            "file_sha256": standard.file_sha256,
            "clause": standard.clause,
            "confidence": standard.confidence,
        },
        "asset": made.asset,
        "tag": made.tag,
        "parameter": made.parameter,
        "sampling_point": made.sampling_point,
        "at": format_instant(made.at_ns),
        "from": format_instant(made.from_ns),
        "to": format_instant(made.to_ns),
        "value": made.value,
        "low": made.low,
        "high": made.high,
        "margin": made.margin,
        "worst_margin": made.worst_margin,
        "unit": made.unit,
        "n_readings": made.n_inputs,
        "n_met": made.n_met,
        "n_exceeded": made.n_exceeded,
        "n_not_judged": made.n_not_judged,
        "missing": list(made.missing),
        "note": made.note,
        "inputs": [{"height": ref.height, "index": ref.index} for ref in made.inputs],
        "evidence": None
        if made.ref is None
        else {"height": made.ref.height, "index": made.ref.index},
    }


def _batch_line(made: Evaluation) -> str:
    margin = "" if made.margin is None else f", least margin {made.margin:g} {made.unit}"
    against = f" ({made.standard.id})" if made.standard else ""
    return (
        f"{made.rule.id}{against}: {made.verdict.value}; of {made.n_inputs} readings "
        f"{made.n_met} met, {made.n_exceeded} exceeded, {made.n_not_judged} not judged{margin}"
    )


def _change_line(made: Evaluation) -> str:
    what = f"  {format_instant(made.at_ns)} {made.tag} {made.verdict.value}"
    if made.missing:
        return f"{what}: missing {'; '.join(made.missing)}"
    return f"{what}: {made.value:g} {made.unit}, margin {made.margin:g}; {made.id}"
