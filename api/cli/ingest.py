"""`twin ingest`: readings become anchored records, from a file or from a live source."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.output import Output, home_of
from twin.instants import format_instant

if TYPE_CHECKING:
    from api.home import Home
    from twin.events import SealedBlock
    from twin.ingest.deliveries import Delivery
    from twin.pipeline import IngestReport, OnBlock

_N_SHOWN = 10
_TAGS_HELP = "Tag map (YAML): which tag is which quantity of which asset, in which unit."

NetworkName = Annotated[str, typer.Option("--network", help="Name of the network.")]
TagsFile = Annotated[Path, typer.Option("--tags", metavar="TAGS.yaml", help=_TAGS_HELP)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be rejected and why; write nothing.")
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Leave with exit code 1 when a row was rejected.")
]
OnlyMapped = Annotated[
    bool,
    typer.Option(
        "--only-mapped",
        help="Pass over columns, or tags of rows, that are not in the tag map, and name them.",
    ),
]
ForSeconds = Annotated[
    float | None, typer.Option("--for", metavar="SECONDS", min=0.0, help="Stop after so long.")
]
Insecure = Annotated[
    bool, typer.Option("--insecure", help="Accept a link that is neither signed nor encrypted.")
]
Certificate = Annotated[
    Path | None, typer.Option("--certificate", help="Our certificate (DER or PEM).")
]
PrivateKey = Annotated[Path | None, typer.Option("--key", help="Its private key (PEM).")]
Trust = Annotated[
    Path | None, typer.Option("--trust", help="The server's certificate, or a folder of such.")
]


def register(app: typer.Typer) -> None:
    """Add `twin ingest csv`, `twin ingest battledim` and `twin ingest opcua`."""
    doors = typer.Typer(help="Readings become anchored records.", no_args_is_help=True)
    doors.command("csv", help="Read a wide or long file of readings.")(csv)
    doors.command("battledim", help="Read a year of BattLeDIM as downloaded.")(battledim)
    doors.command("opcua", help="Read a live OPC UA server; nothing is ever written to it.")(opcua)
    app.add_typer(doors, name="ingest")


def csv(  # noqa: PLR0913 - one parameter an option
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Readings, wide or long.")],
    *,
    network: NetworkName,
    tags: TagsFile,
    only_mapped: OnlyMapped = False,
    dry_run: DryRun = False,
    strict: Strict = False,
    json: AsJson = False,
) -> None:
    """Record what a file holds."""
    from api.ingesting import open_door  # noqa: PLC0415 - loads NumPy
    from twin.ingest.delimited import read_delimited  # noqa: PLC0415 - the same
    from twin.tags import read_tag_map  # noqa: PLC0415 - the same

    home, out = home_of(ctx), Output(json=json)
    record = home.reader()
    intake = open_door(record, network, read_tag_map(tags), "csv")
    unmapped: list[str] = []
    on_unmapped = unmapped.extend if only_mapped else None
    # Refuses before anything is written.
    deliveries = read_delimited(file, intake, out.progress, on_unmapped)
    report = _taken(home, network, [deliveries], dry_run=dry_run, on_block=_block_sayer(out))
    _finish(out, report, is_dry=dry_run, extra=_passed_over(out, unmapped))
    if strict and report.rejected.total:
        raise typer.Exit(1)


def battledim(  # noqa: PLR0913 - one parameter an option
    ctx: typer.Context,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Holds 2018_SCADA_Pressures.csv, _Flows, ….")
    ],
    *,
    network: NetworkName,
    year: Annotated[
        int | None, typer.Option("--year", help="Which, where DIR has several.")
    ] = None,
    time_zone: Annotated[
        str | None, typer.Option("--time-zone", help="Zone of the times; else the network's.")
    ] = None,
    dry_run: DryRun = False,
    strict: Strict = False,
    json: AsJson = False,
) -> None:
    """Record the files of a year; the name of each says what it holds."""
    from api.ingesting import open_door  # noqa: PLC0415 - loads NumPy
    from twin.ingest.battledim import official_files  # noqa: PLC0415 - the same
    from twin.ingest.delimited import read_delimited  # noqa: PLC0415 - the same
    from twin.networks import load_network  # noqa: PLC0415 - the same

    home, out = home_of(ctx), Output(json=json)
    record = home.reader()
    zone = time_zone or load_network(record, network).time_zone
    deliveries = [
        read_delimited(one.path, open_door(record, network, one.tag_map, "csv"), out.progress)
        for one in official_files(folder, year, zone)
    ]  # each refuses before anything of any is written
    report = _taken(home, network, deliveries, dry_run=dry_run)
    _finish(out, report, is_dry=dry_run)
    if strict and report.rejected.total:
        raise typer.Exit(1)


def opcua(  # noqa: PLR0913 - one parameter an option
    ctx: typer.Context,
    url: Annotated[str, typer.Argument(metavar="URL", help="opc.tcp://HOST:PORT/…")],
    *,
    network: NetworkName,
    tags: TagsFile,
    for_s: ForSeconds = None,
    insecure: Insecure = False,
    certificate: Certificate = None,
    key: PrivateKey = None,
    trust: Trust = None,
    json: AsJson = False,
) -> None:
    """Record what a server sends, until it is told to stop."""
    from api.ingesting import open_door, rules_of  # noqa: PLC0415 - loads NumPy
    from twin.ingest.opcua import LiveSettings, Security, listen  # noqa: PLC0415 - an extra
    from twin.pipeline import Pipeline  # noqa: PLC0415 - the same
    from twin.tags import read_tag_map  # noqa: PLC0415 - the same

    home, out = home_of(ctx), Output(json=json)
    security = Security.of_files(certificate, key, trust, is_insecure=insecure)
    intake = open_door(home.reader(), network, read_tag_map(tags), "opcua")
    with home.writer() as journal:
        pipeline = Pipeline(
            journal,
            home.clock,
            evaluate=rules_of(journal, network, home.clock),
            on_block=_block_sayer(out),
        )
        settings = LiveSettings(url, network, security, for_s)
        live = listen(settings, intake, pipeline, home.clock, say=out.note)
        report = pipeline.report()
    extra = {"source_gaps": live.n_gaps, "dropped": dict(live.dropped)}
    _finish(out, report, is_dry=False, extra=extra)


def _taken(
    home: Home,
    network: str,
    files: Sequence[Iterator[Delivery]],
    *,
    dry_run: bool,
    on_block: OnBlock | None = None,
) -> IngestReport:
    """Record what files deliver, one after the other, or say what that would do."""
    from api.ingesting import rules_of  # noqa: PLC0415 - loads NumPy
    from twin.pipeline import ingest, rehearse, together  # noqa: PLC0415 - the same

    if dry_run:
        return together([rehearse(home.reader(), one, home.clock) for one in files])
    with home.writer() as journal:
        rules = rules_of(journal, network, home.clock)
        return together(
            [ingest(journal, one, home.clock, evaluate=rules, on_block=on_block) for one in files]
        )


def _block_sayer(out: Output) -> Callable[[SealedBlock], None]:
    def say(block: SealedBlock) -> None:
        out.say(f"block {block.height}: {block.n_readings} readings, {block.hash_hex[:16]}…")

    return say


def _passed_over(out: Output, unmapped: Sequence[str]) -> dict[str, Any]:
    """Say what was passed over because the tag map does not hold it; return it as JSON."""
    from rich.text import Text  # noqa: PLC0415 - only for people

    from twin.ingest.deliveries import N_EXAMPLES, named  # noqa: PLC0415 - loads NumPy

    if unmapped:
        what = "1 column or tag" if len(unmapped) == 1 else f"{len(unmapped)} columns or tags"
        out.say(Text(f"{what} not in the tag map, passed over: {named(unmapped, _N_SHOWN)}"))
    return {"unmapped": {"total": len(unmapped), "first": list(unmapped[:N_EXAMPLES])}}


def _finish(
    out: Output, report: IngestReport, *, is_dry: bool, extra: dict[str, Any] | None = None
) -> None:
    would = "would be " if is_dry else ""
    out.say(
        f"{report.recorded} readings {would}recorded, {report.duplicates} were there already, "
        f"{report.gaps} gaps, {report.rejected.total} rejected; {report.evaluations} evaluations"
    )
    for code, n in report.rejected.counts.most_common():
        out.say(f"  {n} × {code}")
    for finding in report.rejected.examples[:_N_SHOWN]:
        out.say(f"    {finding.message}")
    out.document({**document_of(report), "dry_run": is_dry, **(extra or {})})


def document_of(report: IngestReport) -> dict[str, Any]:
    """Return what came of an ingest as JSON."""
    return {
        "recorded": report.recorded,
        "duplicates": report.duplicates,
        "gaps": report.gaps,
        "rejected": {
            "total": report.rejected.total,
            "by_code": dict(report.rejected.counts),
            "first": [
                {
                    "code": finding.code,
                    "message": finding.message,
                    "line": finding.line,
                    "tag": finding.subject,
                }
                for finding in report.rejected.examples
            ],
        },
        "blocks": [
            {
                "height": block.height,
                "hash": block.hash_hex,
                "time": format_instant(block.time_ns),
                "n_records": block.n_records,
                "n_readings": block.n_readings,
            }
            for block in report.blocks
        ],
        "evaluations": report.evaluations,
        "from": format_instant(report.from_ns) if report.to_ns else None,
        "to": format_instant(report.to_ns) if report.to_ns else None,
    }
