"""`twin leak replay`: whether a recorded run comes out the same from what the ledger holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.output import Output, home_of

if TYPE_CHECKING:
    from twin.leaks.replay import Replay

RunId = Annotated[str, typer.Argument(metavar="RUN", help="Id of a leak run, such as leak-….")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def register(leak: typer.Typer) -> None:
    """Add the command to `twin leak`."""
    leak.command("replay", help="Work a recorded run out again, and say if it is the same.")(replay)


def replay(ctx: typer.Context, run_id: RunId, *, json: AsJson = False) -> None:
    """Work it out again, say what differs, and leave with 0 where nothing does, else with 1."""
    from rich.text import Text  # noqa: PLC0415 - only for people

    from twin.leaks.replay import replay_run  # noqa: PLC0415 - loads EPANET

    out = Output(json=json)
    found = replay_run(home_of(ctx).reader(), run_id, out.progress)
    for one in found.differences:
        out.say(Text(f"{one.name}: recorded {one.recorded}; now {one.again}"))
    out.say(Text(replay_sentence(found)))
    out.document(replay_document(found))
    if not found.is_same:
        raise typer.Exit(1)


def replay_sentence(found: Replay) -> str:
    """Return whether the run is reproduced, and from what."""
    run = found.recorded
    how = "to the byte" if found.is_to_the_byte else "but for the rounding of numbers"
    verdict = f"is reproduced, {how}" if found.is_same else "is not reproduced"
    others = ", ".join(f"{name} {now} for {then}" for name, then, now in found.other_versions)
    versions = f"; other versions: {others}" if others else ""
    return (
        f"{run.run_id} {verdict}: {run.inputs.n_readings} readings, network file "
        f"{run.inputs.inp_sha256[:12]}…, seed {run.inputs.seed}{versions}"
    )


def replay_document(found: Replay) -> dict[str, Any]:
    """Return it as JSON."""
    return {
        "run_id": found.recorded.run_id,
        "same": found.is_same,
        "to_the_byte": found.is_to_the_byte,
        "largest_difference": found.largest_difference,
        "differences": [
            {"name": one.name, "recorded": one.recorded, "again": one.again}
            for one in found.differences
        ],
        "other_versions": [
            {"name": name, "recorded": then, "now": now} for name, then, now in found.other_versions
        ],
        "readings_sha256": found.again.inputs.readings_sha256,
        "inp_sha256": found.again.inputs.inp_sha256,
    }
