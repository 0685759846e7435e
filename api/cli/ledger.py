"""Commands of the record: keys, blocks, proofs and their check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from api.cli.output import Output, home_of

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def register(app: typer.Typer) -> None:
    """Add the commands of the record."""
    keys = typer.Typer(help="The keys that sign this home's ledger.", no_args_is_help=True)
    keys.command("show")(show_keys)
    app.add_typer(keys, name="keys")
    app.command("verify")(verify)
    app.command("evidence")(evidence)
    app.command("fsck")(fsck)
    app.command("blocks")(blocks)


def show_keys(ctx: typer.Context, *, json: Json = False) -> None:
    """Print the public key that signs this ledger, as `twin verify --trust` reads it."""
    from ledger.keys import show_key  # noqa: PLC0415 - loads cryptography

    home = home_of(ctx)
    line = show_key(home.keys_folder, home.reader().key_line)
    out = Output(json)
    _say(out, str(line))
    out.document(
        {"vkey": str(line), "name": line.name, "id": line.key_id.hex(), "public": line.public.hex()}
    )


def verify(
    file: Annotated[Path, typer.Argument(help="A proof file, as `twin evidence` writes it.")],
    trust: Annotated[
        Path, typer.Option("--trust", help="A file of trusted keys, as `twin keys show` prints.")
    ],
    *,
    json: Json = False,
) -> None:
    """Check a proof file offline, against keys that you trust; no home is needed."""
    from ledger.evidence import verify_file  # noqa: PLC0415 - loads cryptography

    verified = verify_file(file, trust)
    out = Output(json)
    _say(out, verified.sentence)
    out.document(verified.document)


def evidence(
    ctx: typer.Context,
    ref: Annotated[
        str,
        typer.Argument(
            help="network/tag@TIME, the id of a leak run, of what a watch told or of a water "
            "balance, evaluation/HEIGHT/INDEX, or HEIGHT/INDEX."
        ),
    ],
    out_file: Annotated[Path, typer.Option("--out", help="The proof file to write.")],
    *,
    json: Json = False,
) -> None:
    """Write the proof file of one record."""
    from ledger.evidence import evidence_of, write_proof  # noqa: PLC0415 - loads cryptography
    from ledger.refs import resolve  # noqa: PLC0415 - loads numpy

    ledger = home_of(ctx).reader()
    place = resolve(ledger, ref)
    text = evidence_of(ledger, place)
    write_proof(out_file, text)
    out = Output(json)
    n_bytes = len(text.encode())
    _say(
        out,
        f"{out_file}: the proof of record {place.index} of block {place.height} ({n_bytes} bytes); "
        f"check it with: twin verify {out_file} --trust KEYS",
    )
    out.document(
        {
            "file": str(out_file),
            "height": place.height,
            "index": place.index,
            "bytes": n_bytes,
            "origin": ledger.origin,
        }
    )


def fsck(ctx: typer.Context, *, json: Json = False) -> None:
    """Check every stored byte of the ledger against its signature."""
    from ledger.fsck import check  # noqa: PLC0415 - loads cryptography

    home = home_of(ctx)
    out = Output(json)
    report = check(
        home.ledger_folder,
        keys_folder=home.keys_folder,
        progress=lambda done, total: out.progress("checking blocks", done, total),
    )
    for fault in report.faults:
        _say(out, str(fault))
    state = f"{len(report.faults)} faults" if report.faults else "every stored byte is as signed"
    counts = f"{report.n_blocks} blocks, {report.n_records} records, {report.n_files} kept files"
    _say(out, f"{counts}: {state}")
    out.document(report.document)
    if report.faults:
        raise typer.Exit(1)


def blocks(
    ctx: typer.Context,
    start: Annotated[int, typer.Option("--from", min=0, help="The first height to list.")] = 0,
    *,
    json: Json = False,
) -> None:
    """List the sealed blocks: height, when, how many records and readings, hash."""
    from twin.instants import format_instant  # noqa: PLC0415 - only here

    out = Output(json)
    rows = list(home_of(ctx).reader().blocks(start))
    for row in rows:
        _say(
            out,
            f"{row.height:>6}  {format_instant(row.time_ns):<30}  {row.n_records:>6} records  "
            f"{row.n_readings:>6} readings  {row.hash_hex}",
        )
    out.document(
        {
            "blocks": [
                {
                    "height": row.height,
                    "hash": row.hash_hex,
                    "sealed_at": format_instant(row.time_ns),
                    "records": row.n_records,
                    "readings": row.n_readings,
                }
                for row in rows
            ]
        }
    )


def _say(out: Output, words: str) -> None:
    """Print words as they are: a tag such as `[P-1]` is no markup."""
    out.say(Text(words))
