"""`twin leak`: an onset, a zone with its probability, and the book of found leaks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli import leak_book, leak_replay, leak_runs, leak_trust, leak_watch
from api.cli.leak_documents import place_of, run_document, window_of
from api.cli.leak_several import Leaks, read_leaks
from api.cli.output import Output, home_of
from twin.errors import UnreadableError
from twin.instants import format_instant, parse_instant

if TYPE_CHECKING:
    from rich.table import Table

    from api.home import Home
    from twin.accounting.money import Price
    from twin.leaks.detecting import Detection
    from twin.leaks.records import Candidate
    from twin.leaks.runs import RunDetail
    from twin.leaks.windows import Window

_LITRES = 1_000.0
_N_TOP = 10

NetworkName = Annotated[str, typer.Option("--network", help="Name of the network.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
_FROM = "Start of the window, RFC 3339 with an offset."
_TO = "End of the window, not part of it."
_REFERENCE = "of a leak-free window; else the longest recorded stretch before --from."
From = Annotated[str, typer.Option("--from", metavar="T", help=_FROM)]
To = Annotated[str, typer.Option("--to", metavar="T", help=_TO)]
FromOrNone = Annotated[str | None, typer.Option("--from", metavar="T", help=_FROM)]
ToOrNone = Annotated[str | None, typer.Option("--to", metavar="T", help=_TO)]
ReferenceFrom = Annotated[
    str | None, typer.Option("--reference-from", metavar="T", help=f"Start {_REFERENCE}")
]
ReferenceTo = Annotated[
    str | None, typer.Option("--reference-to", metavar="T", help=f"End {_REFERENCE}")
]
OutFolder = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Write the report, its tables and its maps."),
]
_PRICE = "What a m³ of lost water costs; else only its volume is told."
PricePerM3 = Annotated[float | None, typer.Option("--price-per-m3", metavar="X", help=_PRICE)]
PriceSource = Annotated[str, typer.Option("--price-source", help="Who says so, such as a tariff.")]
Currency = Annotated[str, typer.Option("--currency", help="Currency of the price, such as EUR.")]
Seed = Annotated[int, typer.Option("--seed", min=0, max=2**31 - 1, help="Seed of what is random.")]


def register(app: typer.Typer) -> None:
    """Add the `twin leak` commands."""
    leak = typer.Typer(help="Detect, localize and keep book of leaks.", no_args_is_help=True)
    leak.command("detect", help="Look for the onset of a leak in recorded readings.")(detect)
    leak.command("run", help="Localize the leak that shows in a window.")(run)
    leak_book.register(leak)
    leak_replay.register(leak)
    leak_runs.register(leak)
    leak_trust.register(leak)
    leak_watch.register(leak)
    app.add_typer(leak, name="leak")


def run(  # noqa: PLR0913 - one parameter an option
    ctx: typer.Context,
    *,
    network: NetworkName,
    from_: From,
    to: To,
    reference_from: ReferenceFrom = None,
    reference_to: ReferenceTo = None,
    out_folder: OutFolder = None,
    price_per_m3: PricePerM3 = None,
    currency: Currency = "",
    price_source: PriceSource = "as given",
    leaks: Leaks = "auto",
    seed: Seed = 1,
    json: AsJson = False,
) -> None:
    """Localize, print, record, and write the report."""
    from twin.leaks.losses import price_of  # noqa: PLC0415 - loads NumPy
    from twin.leaks.several import several_document  # noqa: PLC0415 - loads EPANET
    from twin.leaks.windows import Window  # noqa: PLC0415 - loads NumPy

    out = Output(json=json)
    home = home_of(ctx)
    price = price_of(price_per_m3, currency, price_source)
    most = read_leaks(leaks)
    window = Window(parse_instant(from_), parse_instant(to))
    reference = _reference(reference_from, reference_to)
    detail = _localized(home, network, window, reference, (seed, most), out)
    written = _written(home, detail, out_folder, price)
    _print_run(detail, out)
    more = {**_walk(home, detail, price, out), **several_document(detail)}
    for path in written:
        out.say(f"written: {path}")
    out.document({**run_document(detail), **more, "files": list(map(str, written))})


def _localized(  # noqa: PLR0913, PLR0917 - what was asked
    home: Home,
    network: str,
    window: Window,
    reference: Window | None,
    asked: tuple[int, int],
    out: Output,
) -> RunDetail:
    from twin.leaks.runs import compute_leak, keep_leak, load_detail  # noqa: PLC0415 - EPANET

    seed, most_leaks = asked

    computed = compute_leak(
        home.reader(),
        network,
        window,
        reference,
        clock=home.clock,
        seed=seed,
        most_leaks=most_leaks,
        progress=out.progress,
    )
    if computed.run.evidence is not None:
        out.note(f"the same inputs were run before: {computed.run.run_id}")
        return load_detail(home.reader(), computed.run)
    with home.writer() as journal:
        return load_detail(journal, keep_leak(journal, computed))


def _walk(home: Home, detail: RunDetail, price: Price | None, out: Output) -> dict[str, Any]:
    """Say where to walk and what is lost; return both as JSON."""
    from rich.text import Text  # noqa: PLC0415 - only for people

    from api.report.words import loss_sentence, walk_sentences  # noqa: PLC0415 - loads NumPy
    from twin.leaks.losses import loss_document  # noqa: PLC0415 - the same
    from twin.leaks.walking import street_document, streets_to_walk  # noqa: PLC0415 - the same
    from twin.networks import load_model, load_network  # noqa: PLC0415 - the same

    record = home.reader()
    model = load_model(record, load_network(record, detail.run.network))
    streets = streets_to_walk(detail.leaks, model)
    for sentence in walk_sentences(streets):
        out.say(Text(sentence))
    out.say(Text(loss_sentence(detail.run, price)))
    walk = [street_document(one) for one in streets]
    return {"walk": walk, "loss_per_day": loss_document(detail.run, price)}


def _written(home: Home, detail: RunDetail, folder: Path | None, price: Price | None) -> list[Path]:
    if folder is None:
        return []
    from api.report.writing import write_report  # noqa: PLC0415 - loads Jinja

    return write_report(home.reader(), detail, folder, price)


def _reference(from_text: str | None, to_text: str | None) -> Window | None:
    from twin.leaks.windows import Window  # noqa: PLC0415 - loads NumPy

    if from_text is None and to_text is None:
        return None
    if from_text is None or to_text is None:
        raise UnreadableError("give both --reference-from and --reference-to, or neither")
    return Window(parse_instant(from_text), parse_instant(to_text))


def _print_run(detail: RunDetail, out: Output) -> None:
    from rich.text import Text  # noqa: PLC0415 - only for people

    from api.report.words import (  # noqa: PLC0415 - loads NumPy
        left_out_sentences,
        reference_sentence,
        several_sentence,
        zone_sentence,
    )

    run = detail.run
    for leak in detail.leaks:
        of = f"leak {leak.number}, " if run.is_more_than_one else ""
        out.say(_table(f"Leak run {run.run_id}: {of}the most probable pipes", leak.pipes[:_N_TOP]))
    out.say(Text(zone_sentence(detail)))
    if not run.is_more_than_one:  # else it is said first
        out.say(Text(several_sentence(run)))
    out.say(Text(reference_sentence(run)))
    for sentence in left_out_sentences(run):
        out.say(Text(sentence))
    out.say(f"recorded at {run.evidence}")


def _table(title: str, candidates: Sequence[Candidate]) -> Table:
    from rich.table import Table  # noqa: PLC0415 - only for people
    from rich.text import Text  # noqa: PLC0415 - only for people

    table = Table(title=title)
    table.add_column("pipe")
    for heading in ("probability", "place", "flow L/s", "length m"):
        table.add_column(heading, justify="right")
    for one in candidates:
        table.add_row(
            Text(one.pipe_id),
            f"{one.probability:.1%}",
            f"{one.place:.2f}",
            f"{one.flow_m3s * _LITRES:.2f}",
            f"{one.length_m:.0f}",
        )
    return table


def detect(
    ctx: typer.Context,
    *,
    network: NetworkName,
    from_: FromOrNone = None,
    to: ToOrNone = None,
    json: AsJson = False,
) -> None:
    """Detect and record onsets."""
    from api.report.onset_words import next_run, onset_sentence  # noqa: PLC0415 - loads EPANET
    from twin.leaks.detecting import find_onsets, keep_onsets  # noqa: PLC0415 - the same

    out = Output(json=json)
    home = home_of(ctx)
    from_ns = None if from_ is None else parse_instant(from_)
    to_ns = None if to is None else parse_instant(to)
    found = find_onsets(home.reader(), network, from_ns, to_ns, progress=out.progress)
    if found:
        with home.writer() as journal:
            found = keep_onsets(journal, found, home.clock)
    for one in found:
        out.say(f"{onset_sentence(one)}; recorded at {one.evidence}")
        out.say(f"next: {next_run(one)}")
    if not found:
        out.say("no onset was found")
    out.document({"network": network, "onsets": [_onset_row(one) for one in found]})


def _onset_row(one: Detection) -> dict[str, Any]:
    return {
        "id": one.detection_id,
        "at": format_instant(one.onset_ns),
        "seen_at": format_instant(one.seen_ns),
        "flow_m3s": one.flow_m3s,
        "sensors": list(one.tags),
        "statistic": one.statistic,
        "window": window_of(one.window),
        "reference": window_of(one.reference),
        "evidence": place_of(one.evidence),
    }
