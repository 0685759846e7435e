"""`twin leak watch`: judge each day as it is recorded, and tell and record what it shows."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.leak_documents import window_of
from api.cli.output import Output, home_of
from twin.instants import format_instant, parse_instant

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.home import Home
    from twin.leaks.sightings import Sighting
    from twin.leaks.watching import Watch

NetworkName = Annotated[str, typer.Option("--network", help="Name of the network.")]
From = Annotated[
    str | None,
    typer.Option("--from", metavar="T", help="First day to calibrate on; else the first recorded."),
]
Days = Annotated[
    int, typer.Option("--calibration-days", metavar="N", min=6, help="Days to calibrate on.")
]
FalseAlarms = Annotated[
    float,
    typer.Option(
        "--false-alarms", metavar="N", min=0.01, max=100.0,
        help="Calls that a year without a leak may bring; fewer make small leaks wait.",
    ),
]  # fmt: skip
Once = Annotated[
    bool, typer.Option("--once", help="End when every recorded day is judged; do not wait.")
]
Every = Annotated[
    float, typer.Option("--every", metavar="SECONDS", min=1.0, help="How often to look again.")
]
OutFolder = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Keep sightings.csv and sightings.geojson there."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document a line.")]


def register(leak: typer.Typer) -> None:
    """Add the command to `twin leak`."""
    leak.command("watch", help="Judge every day as it is recorded: leaks, repairs, sensors.")(watch)


def watch(  # noqa: PLR0913 - one parameter an option
    ctx: typer.Context,
    *,
    network: NetworkName,
    from_: From = None,
    calibration_days: Days = 14,
    false_alarms: FalseAlarms = 0.1,
    once: Once = False,
    every: Every = 60.0,
    out_folder: OutFolder = None,
    json: AsJson = False,
) -> None:
    """Work through the recorded days, then wait for more until stopped."""
    from twin.leaks.watching import Watch  # noqa: PLC0415 - loads EPANET

    home, out = home_of(ctx), Output(json=json)
    from_ns = None if from_ is None else parse_instant(from_)
    try:
        watched = Watch(
            home.reader(),
            network,
            home.scratch_folder,
            from_ns=from_ns,
            n_calibration=calibration_days,
            false_alarms_per_year=false_alarms,
            progress=out.progress,
        )
        try:
            _Round(home, watched, out, out_folder).go(None if once else lambda: time.sleep(every))
        finally:
            watched.close()
    except KeyboardInterrupt:
        out.note("stopped; what was told is recorded, and what is missing the next watch records")


class _Round:
    """Tells what a watch saw, and records it as soon as nobody else writes."""

    def __init__(self, home: Home, watched: Watch, out: Output, folder: Path | None) -> None:
        self._home, self._watch, self._out, self._folder = home, watched, out, folder
        self._waiting: list[Sighting] = []

    def go(self, wait: Callable[[], None] | None) -> None:
        """Judge what is complete, wait, and again; once where there is nothing to wait with."""
        from rich.text import Text  # noqa: PLC0415 - only for people

        from api.report.watch_words import sighting_sentence  # noqa: PLC0415 - loads NumPy

        out, watched = self._out, self._watch
        out.say(
            f"calibrated on {watched.calibration}, {len(watched.sensors)} pressure sensors; "
            f"{watched.false_alarms_per_year:g} false alarms a year are borne"
        )
        for one in watched.running():
            self._waiting.append(one)
            out.say(Text(f"{one.sighting_id}  runs already: {sighting_sentence(one)}"))
            out.document(document_of(one))
        self._record(is_last=False)
        self._write()
        while True:
            self._look()
            if wait is None:
                self._record(is_last=True)
                return
            wait()

    def _look(self) -> None:
        from rich.text import Text  # noqa: PLC0415 - only for people

        from api.report.watch_words import sighting_sentence  # noqa: PLC0415 - loads NumPy
        from twin.assets import local_datetime  # noqa: PLC0415 - only once it is needed

        n_days = 0
        for day, told in self._watch.look():
            n_days += 1
            self._waiting += told
            judged = local_datetime(day.from_ns, self._watch.network.time_zone)
            self._out.progress(f"judge {judged:%Y-%m-%d}", 1, 1)
            for one in told:
                self._out.say(Text(f"{one.sighting_id}  {sighting_sentence(one)}"))
                self._out.document(document_of(one))
            self._record(is_last=False)
        if n_days:
            self._out.note(f"{n_days} days judged")

    def _record(self, *, is_last: bool) -> None:
        """Record what was told; while another writes it waits, but not beyond the end."""
        from ledger.errors import LedgerBusyError  # noqa: PLC0415 - loads the ledger
        from twin.leaks.sightings import keep_sightings  # noqa: PLC0415 - loads NumPy

        if not self._waiting:
            return
        try:
            with self._home.writer() as journal:
                keep_sightings(journal, self._waiting, self._home.clock)
        except LedgerBusyError:
            if is_last:
                raise
            self._out.note("another writes to the ledger; recording waits")
            return
        self._waiting.clear()
        self._write()

    def _write(self) -> None:
        """Write all that a watch ever told of this network."""
        from twin.leaks.sightings import load_sightings  # noqa: PLC0415 - loads NumPy
        from twin.leaks.watch_files import sightings_csv, sightings_geojson  # noqa: PLC0415 - same
        from twin.networks import load_model  # noqa: PLC0415 - the same
        from twin.networks.records import write_whole  # noqa: PLC0415 - the same

        if self._folder is None:
            return
        record, network = self._home.reader(), self._watch.network
        told = load_sightings(record, network.name)
        model = load_model(record, network)
        write_whole(self._folder / "sightings.csv", sightings_csv(told))
        write_whole(self._folder / "sightings.geojson", sightings_geojson(told, network, model))


def document_of(one: Sighting) -> dict[str, Any]:
    """Return what was seen as JSON."""
    from api.report.watch_words import sighting_sentence  # noqa: PLC0415 - loads NumPy

    return {
        "id": one.sighting_id,
        "network": one.network,
        "kind": one.kind.value,
        "day": window_of(one.day),
        "asset": one.asset,
        "sensor": one.tag,
        "fault": one.fault,
        "offset_m": one.offset_m,
        "flow_m3s": one.flow_m3s,
        "probability": one.probability,
        "onset": format_instant(one.onset_ns),
        "calibration": window_of(one.calibration),
        "false_alarms_per_year": one.false_alarms_per_year,
        "settings": dict(one.settings),
        "versions": dict(one.versions),
        "sentence": sighting_sentence(one),
    }
