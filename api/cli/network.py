"""`twin import`, `twin export` and `twin networks`: networks come in, go out, and are listed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from api.cli.output import Output, home_of

if TYPE_CHECKING:
    from api.home import Home
    from twin.networks import ImportOptions, ImportReport

_Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
_Name = Annotated[str, typer.Option("--network", help="Name of the network.")]

_SOURCE_HELP = "An EPANET file, or a folder with network.inp, assets.csv and links.csv."
_STEM_HELP = "Its name; the file's stem, if not given."
_CRS_HELP = "EPSG:N, or local: what its coordinates are."
_ZONE_HELP = "IANA name or offset, such as Asia/Shanghai or +02:00."
_START_HELP = "RFC 3339 time of model time zero; a Monday, if not."
_DRY_HELP = "Say what would be recorded, and record nothing."

_Source = Annotated[Path, typer.Argument(metavar="FILE", help=_SOURCE_HELP)]
_NetworkOrStem = Annotated[str | None, typer.Option("--network", help=_STEM_HELP)]
_Crs = Annotated[str | None, typer.Option("--crs", help=_CRS_HELP)]
_TimeZone = Annotated[str | None, typer.Option("--time-zone", help=_ZONE_HELP)]
_ModelStart = Annotated[str | None, typer.Option("--model-start", help=_START_HELP)]
_DryRun = Annotated[bool, typer.Option("--dry-run", help=_DRY_HELP)]


def register(app: typer.Typer) -> None:
    """Add the commands of networks."""
    app.command("import")(import_command)
    app.command("export")(export_command)
    app.command("networks")(networks_command)


def import_command(  # noqa: PLR0913 - one argument an option
    ctx: typer.Context,
    source: _Source,
    network: _NetworkOrStem = None,
    *,
    crs: _Crs = None,
    time_zone: _TimeZone = None,
    model_start: _ModelStart = None,
    dry_run: _DryRun = False,
    json: _Json = False,
) -> None:
    """Make a network into assets and events; a broken file is refused whole."""
    from twin.instants import parse_instant  # noqa: PLC0415 - `twin --help` loads no service
    from twin.networks import ImportOptions  # noqa: PLC0415 - the same

    start_ns = None if model_start is None else parse_instant(model_start)
    options = ImportOptions(network, crs, time_zone, start_ns)
    out = Output(json=json)
    report = _import(home_of(ctx), source, options, out, dry_run=dry_run)
    for sentence in report.sentences():
        out.say(Text(sentence))
    out.document(report.document())


def _import(
    home: Home, source: Path, options: ImportOptions, out: Output, *, dry_run: bool
) -> ImportReport:
    from twin.networks import (  # noqa: PLC0415 - `twin --help` loads no service
        plan_import,
        prepare_network,
        record_import,
    )

    step = "importing"
    try:
        out.progress(step, 0, 2)
        prepared = prepare_network(source, options)  # before a home is made for it
        out.progress(step, 1, 2)
        if dry_run:
            return plan_import(prepared, home.reader() if home.ledger_folder.is_dir() else None)
        with home.writer() as ledger:
            return record_import(prepared, ledger, home.clock)
    finally:
        out.progress(step, 2, 2)


def export_command(
    ctx: typer.Context,
    path: Annotated[Path, typer.Argument(metavar="FILE", help="Ends in .geojson or .gpkg.")],
    network: _Name,
    *,
    json: _Json = False,
) -> None:
    """Write a network's assets and geometry for any GIS."""
    from twin.networks.exporting import export_network  # noqa: PLC0415 - loads on use

    out = Output(json=json)
    report = export_network(home_of(ctx).reader(), network, path)
    out.say(
        Text(f"Wrote {report.n_nodes} nodes and {report.n_links} links to {path}. {report.note}")
    )
    if report.n_unplaced:
        out.say(f"{report.n_unplaced} of them have no coordinates and no geometry.")
    out.document(
        {
            "network": network,
            "file": str(path),
            "nodes": report.n_nodes,
            "links": report.n_links,
            "unplaced": report.n_unplaced,
            "note": report.note,
        }
    )


def networks_command(ctx: typer.Context, *, json: _Json = False) -> None:
    """List the networks of this home."""
    from twin.instants import format_instant  # noqa: PLC0415 - `twin --help` loads no service

    out = Output(json=json)
    networks = home_of(ctx).networks().values()
    for network in networks:
        start = format_instant(network.model_start_ns)
        line = f"{network.name}: {network.crs}, {network.time_zone}, model time zero {start}"
        out.say(Text(line))
    out.document(
        {
            "networks": [
                {
                    "name": network.name,
                    "crs": network.crs,
                    "time_zone": network.time_zone,
                    "model_start": format_instant(network.model_start_ns),
                    "is_model_start_given": network.is_model_start_given,
                    "inp_sha256": network.inp_sha256,
                }
                for network in networks
            ]
        }
    )
