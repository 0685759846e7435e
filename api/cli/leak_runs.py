"""`twin leak runs`: the recorded runs and the calls of watches, and what became of their leaks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.leak_documents import place_of, window_of
from api.cli.leak_watch import document_of
from api.cli.output import Output, home_of

if TYPE_CHECKING:
    from twin.leaks.book import FoundLeak
    from twin.leaks.records import OneOfSeveral
    from twin.leaks.runs import LeakRun

NetworkOrAll = Annotated[str | None, typer.Option("--network", help="Only of this network.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def register(leak: typer.Typer) -> None:
    """Add the command to `twin leak`."""
    leak.command("runs", help="List the recorded leak runs, and the calls of watches.")(runs)


def runs(ctx: typer.Context, *, network: NetworkOrAll = None, json: AsJson = False) -> None:
    """List what may be confirmed, with the state of its leaks."""
    from rich.text import Text  # noqa: PLC0415 - only for people

    from api.report.watch_words import sighting_sentence  # noqa: PLC0415 - loads NumPy
    from twin.leaks.book import load_book  # noqa: PLC0415 - loads NumPy
    from twin.leaks.records import load_runs  # noqa: PLC0415 - loads NumPy
    from twin.leaks.sightings import SightingKind, load_sightings  # noqa: PLC0415 - loads NumPy

    out = Output(json=json)
    record = home_of(ctx).reader()
    book = load_book(record, network)
    rows, calls = [], []
    for one in load_runs(record, network):
        found = [leak for leak in book if leak.run_id == one.run_id]
        rows.append(_row(one, found))
        out.say(f"{one.run_id}  {one.network}  {one.inputs.window}  {_zones(one)}  {_state(found)}")
    for call in load_sightings(record, network):
        if call.kind is not SightingKind.CALL:
            continue
        found = [leak for leak in book if leak.run_id == call.sighting_id]
        calls.append({**document_of(call), "state": _state(found)})
        said = f"{sighting_sentence(call)}  {_borne(call.false_alarms_per_year)}{_state(found)}"
        out.say(Text(f"{call.sighting_id}  {call.network}  {said}"))
    if not rows and not calls:
        out.say("no leak run is recorded")
    out.document({"runs": rows, "calls": calls})


def _state(found: list[FoundLeak]) -> str:
    if not found:
        return "open"
    return "confirmed" if any(leak.repaired_ns is None for leak in found) else "repaired"


def _zones(run: LeakRun) -> str:
    """Return the 90 % zone, or that of each leak where more than one is evident."""
    from api.report.words import zone_text  # noqa: PLC0415 - loads NumPy

    if run.several is None or not run.is_more_than_one:
        return f"90 % zone: {zone_text(len(run.zones['90']), run.zone_length_m['90'])}"
    leaks = run.several.leaks
    zones = " and ".join(zone_text(o.zone_sizes["90"], o.zone_length_m["90"]) for o in leaks)
    return f"{len(leaks)} leaks, 90 % zones: {zones}"


def _borne(rate: float | None) -> str:
    return "" if rate is None else f"({rate:g} false alarms a year are borne)  "


def _row(run: LeakRun, found: list[FoundLeak]) -> dict[str, Any]:
    several = run.several if run.is_more_than_one else None
    return {
        "run_id": run.run_id,
        "network": run.network,
        "window": window_of(run.inputs.window),
        "state": _state(found),
        "confirmed_pipes": [leak.pipe_id for leak in found],
        "zone_90": list(run.zones["90"]),
        "several": None if several is None else [_of_several(one) for one in several.leaks],
        "evidence": place_of(run.evidence),
    }


def _of_several(one: OneOfSeveral) -> dict[str, Any]:
    return {
        "pipe_id": one.pipe_id,
        "flow_m3s": one.flow_m3s,
        "zone_90_pipes": one.zone_sizes["90"],
        "zone_90_m": one.zone_length_m["90"],
    }
