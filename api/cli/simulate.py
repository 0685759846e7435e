"""`twin simulate`: readings of a network that is not quite its model, in which leaks start."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from api.cli.output import Output, home_of
from twin.instants import format_instant, parse_instant

_LEAK_HELP = "PIPE:FLOW_LS@T, the flow in L/s when it opens; may be given more than once."
_START_HELP = "First reading; else local midnight a day before the day of the first leak."
_SENSORS_HELP = "Nodes with a pressure sensor, with commas; else those that the file marks."

NetworkName = Annotated[str, typer.Option("--network", help="Name of the network.")]
Leaks = Annotated[list[str] | None, typer.Option("--leak", metavar="LEAK", help=_LEAK_HELP)]
Days = Annotated[int, typer.Option("--days", metavar="N", help="Length of the readings.")]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Same seed, same bytes.")]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write to.")]
Start = Annotated[str | None, typer.Option("--start", metavar="T", help=_START_HELP)]
Sensors = Annotated[str, typer.Option("--sensors", metavar="A,B,C", help=_SENSORS_HELP)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def register(app: typer.Typer) -> None:
    """Add `twin simulate`."""
    app.command("simulate", help="Make readings, tags and truth for a leak.")(simulate)


def simulate(  # noqa: PLR0913, PLR0917 - what can be typed
    ctx: typer.Context,
    network: NetworkName,
    out: Out,
    days: Days,
    seed: Seed,
    leak: Leaks = None,
    start: Start = None,
    sensors: Sensors = "",
    *,
    json: AsJson = False,
) -> None:
    """Write `readings.csv`, `tags.yaml` and `truth.json`; the same request gives the same bytes."""
    from twin import simulate as service  # noqa: PLC0415 - loads EPANET and SciPy
    from twin.networks import load_network, model_path  # noqa: PLC0415 - loads NumPy

    home, output = home_of(ctx), Output(json=json)
    record = home.reader()
    found = load_network(record, network)
    request = service.Request(
        network=found,
        leaks=tuple(service.parse_leak(text) for text in leak or ()),
        n_days=days,
        seed=seed,
        start_ns=None if start is None else parse_instant(start),
        pressure_nodes=tuple(name.strip() for name in sensors.split(",") if name.strip()),
    )
    scratch = home.scratch_folder
    inp = model_path(record, found, scratch)
    made = service.simulate(request, inp, out, scratch, output.progress)
    window = f"{format_instant(made.from_ns)} to {format_instant(made.to_ns)}"
    output.say(Text(f"{made.n_readings} readings of {made.n_tags} tags, {window}, in {out}"))
    output.document(
        {
            "folder": str(out),
            "readings": made.n_readings,
            "tags": made.n_tags,
            "from": format_instant(made.from_ns),
            "to": format_instant(made.to_ns),
            "truth": dict(made.truth),
        }
    )
