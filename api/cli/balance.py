"""`twin balance`: how much of what goes in is lost, by which standard that is much, and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from api.cli.output import Output, home_of
from twin.instants import format_instant, parse_instant

if TYPE_CHECKING:
    from rich.table import Table

    from api.home import Home
    from twin.accounting.amounts import Amount
    from twin.accounting.evidence import Input
    from twin.accounting.results import Accounting
    from twin.accounting.runs import Request
    from twin.accounting.stated import Stated

NetworkName = Annotated[str, typer.Option("--network", help="Name of the network.")]
From = Annotated[
    str, typer.Option("--from", metavar="T", help="Start of the period, RFC 3339 with an offset.")
]
To = Annotated[str, typer.Option("--to", metavar="T", help="End of the period, not part of it.")]
ZoneNode = Annotated[
    str | None,
    typer.Option("--zone", metavar="NODE", help="The zone around a node, cut by metered links."),
]
StatedFile = Annotated[
    Path | None,
    typer.Option("--volumes", metavar="FILE", help="Stated volumes and facts, TOML or JSON."),
]
NightHoursText = Annotated[
    str, typer.Option("--night", metavar="HH:MM-HH:MM", help="When the zone sleeps, local time.")
]
OutFolder = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Write balance.html, balance.csv and inputs.csv."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def register(app: typer.Typer) -> None:
    """Add `twin balance`."""
    app.command("balance", help="Draw the water balance of a network or zone, and rate it.")(
        balance
    )


def balance(  # noqa: PLR0913 - one parameter an option
    ctx: typer.Context,
    *,
    network: NetworkName,
    from_: From,
    to: To,
    zone: ZoneNode = None,
    volumes: StatedFile = None,
    night: NightHoursText = "02:00-04:00",
    out_folder: OutFolder = None,
    json: AsJson = False,
) -> None:
    """Balance, night flow, CJJ 92-2016 rate, UARL and ILI, recorded with what they rest on."""
    from twin.accounting.night_runs import parse_night  # noqa: PLC0415 - loads NumPy
    from twin.accounting.runs import Request  # noqa: PLC0415 - loads NumPy
    from twin.leaks.windows import Window  # noqa: PLC0415 - loads NumPy

    out, home = Output(json=json), home_of(ctx)
    window = Window(parse_instant(from_), parse_instant(to))
    request = Request(network, window, zone, _stated(volumes), parse_night(night))
    found = _recorded(home, request, out)
    files = _files(found, out_folder)
    _print(found, out)
    for path in files:
        out.say(Text(f"written: {path}"))
    out.document({**document_of(found), "files": [str(path) for path in files]})


def _stated(path: Path | None) -> Stated:
    from twin.accounting.stated import Stated, parse_stated  # noqa: PLC0415 - loads NumPy

    return Stated() if path is None else parse_stated(path.read_bytes(), path.name)


def _recorded(home: Home, request: Request, out: Output) -> Accounting:
    from twin.accounting.runs import compute_accounting, keep_accounting  # noqa: PLC0415 - NumPy

    found = compute_accounting(home.reader(), request, home.clock)
    if found.evidence is not None:
        out.note(f"the same inputs were balanced before: {found.balance_id}")
        return found
    with home.writer() as journal:
        return keep_accounting(journal, found, request.stated)


def _files(found: Accounting, folder: Path | None) -> list[Path]:
    if folder is None:
        return []
    from api.report.balance_page import balance_files  # noqa: PLC0415 - loads Jinja

    folder.mkdir(parents=True, exist_ok=True)
    files = {folder / name: content for name, content in balance_files(found).items()}
    for path, content in files.items():
        path.write_bytes(content)
    return list(files)


def _print(found: Accounting, out: Output) -> None:
    from api.report.balance_words import finding_lines, words_of  # noqa: PLC0415 - loads NumPy

    out.say(_table(found))
    for line in [*words_of(found), *finding_lines(found)]:
        out.say(Text(line))
    out.say(Text(f"recorded as {found.balance_id}, at {found.evidence}"))


def _table(found: Accounting) -> Table:
    from rich.table import Table  # noqa: PLC0415 - slow to load

    from api.report.balance_words import line_rows  # noqa: PLC0415 - loads NumPy

    table = Table(title=f"water balance of {found.network}, {found.basis.zone}")
    table.add_column("line")
    for head in ("m³", "± m³ (95 %)", "of the input"):
        table.add_column(head, justify="right")
    for row in line_rows(found):
        table.add_row(Text("  " * row.depth + row.name), row.value, row.margin, row.share)
    return table


def document_of(found: Accounting) -> dict[str, Any]:
    """Return a balance as JSON: every number with its margin, unit, source and evidence."""
    basis, place = found.basis, found.evidence
    return {
        "balance_id": found.balance_id,
        "network": found.network,
        "at": format_instant(found.at_ns),
        "from": format_instant(basis.window.from_ns),
        "to": format_instant(basis.window.to_ns),
        "zone": {
            "name": basis.zone,
            "said": basis.zone_said,
            "n_nodes": basis.n_nodes,
            "nodes_sha256": basis.nodes_sha256,
            "crossings": list(basis.crossings),
        },
        "lines_m3": {line.value: _amount(amount) for line, amount in found.lines.items()},
        "inputs": [_input(one) for one in found.inputs],
        "night": _night(found),
        "cjj92": _cjj(found),
        "ili": _ili(found),
        "price": None
        if found.price is None
        else {
            "per_m3": found.price.per_m3,
            "currency": found.price.currency,
            "source": found.price.source,
        },
        "findings": [
            {"code": one.code, "severity": one.severity.value, "message": one.message}
            for one in found.findings
        ],
        "settings": dict(basis.settings),
        "versions": dict(basis.versions),
        "inp_sha256": basis.inp_sha256,
        "stated_sha256": basis.stated_sha256 or None,
        "standard_sha256": basis.standard_sha256,
        "evidence": None if place is None else {"height": place.height, "index": place.index},
    }


def _amount(amount: Amount | None) -> dict[str, float] | None:
    return None if amount is None else {"value": amount.value, "margin": amount.margin}


def _night(found: Accounting) -> dict[str, Any]:
    night = found.night
    return {
        "local_from": night.local_from,
        "local_to": night.local_to,
        "time_zone": found.basis.time_zone,
        "method": night.method,
        "nights": [
            {
                "from": format_instant(one.window.from_ns),
                "to": format_instant(one.window.to_ns),
                "net_inflow_m3s": one.net_inflow_m3s,
                "reason": one.reason or None,
            }
            for one in night.nights
        ],
        "minimum_night_flow_m3s": _amount(night.minimum_night_flow_m3s),
        "legitimate_use_m3s": _amount(night.legitimate_use_m3s),
        "night_leakage_m3s": _amount(night.night_leakage_m3s),
        "exponent_n1": night.exponent_n1,
        "night_day_factor_h": _amount(night.night_day_factor_h),
        "leakage_m3_per_day": _amount(night.leakage_m3_per_day),
        "inputs": [_input(one) for one in night.inputs],
    }


def _cjj(found: Accounting) -> dict[str, Any]:
    cjj = found.cjj
    return {
        "standard": cjj.standard_id,
        "file_sha256": cjj.file_sha256,
        "clause": cjj.clause,
        "confidence": dict(cjj.confidence),
        "gross_percent": _amount(cjj.gross_percent),
        "corrections_percent": dict(cjj.corrections_percent),
        "rate_percent": _amount(cjj.rate_percent),
        "grade": cjj.grade,
        "is_whole_year": cjj.is_whole_year,
        "inputs": [_input(one) for one in cjj.inputs],
    }


def _ili(found: Accounting) -> dict[str, Any]:
    said = found.ili
    return {
        "uarl_m3_per_day": _amount(said.uarl_m3_per_day),
        "real_losses_m3_per_day": _amount(said.real_losses_m3_per_day),
        "ili": _amount(said.ili),
        "bands": dict(said.bands),
        "inputs": [_input(one) for one in said.inputs],
    }


def _input(one: Input) -> dict[str, Any]:
    seen = one.evidence
    return {
        "of": one.of,
        "value": None if one.amount is None else one.amount.value,
        "margin": None if one.amount is None else one.amount.margin,
        "unit": one.unit,
        "source": one.source,
        "readings": None
        if seen is None
        else {
            "tag": seen.tag,
            "asset": seen.asset,
            "quantity": seen.quantity,
            "from": format_instant(seen.from_ns),
            "to": format_instant(seen.to_ns),
            "n_readings": seen.n_readings,
            "readings_sha256": seen.readings_sha256,
            "places_sha256": seen.places_sha256,
            "first": {"height": seen.first.height, "index": seen.first.index},
            "last": {"height": seen.last.height, "index": seen.last.index},
        },
    }
