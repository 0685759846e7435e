"""The whole story on L-Town, told while it happens: `scripts/demo`.

A network comes in, three days of readings stream in and are sealed, rules judge them, a leak is
noticed and localized, and one reading is proved offline to someone who does not trust us.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from api.cli import run
from api.cli.output import Output
from api.home import Home
from twin.events import SealedBlock
from twin.instants import NS_PER_S, format_instant, parse_instant

if TYPE_CHECKING:
    from twin.leaks.runs import RunDetail
    from twin.leaks.windows import Window

ROOT = Path(__file__).resolve().parents[1]
LTOWN = ROOT / "data" / "networks" / "ltown"
SAMPLE = LTOWN / "sample"
QUERIES = ROOT / "docs" / "queries"
DEFAULT_HOME = ROOT / ".demo"
NETWORK = "ltown"
TIME_ZONE = "+02:00"
LEVEL = "90"
MARKER = "made-by-demo"
N_VERDICTS_SHOWN = 6
PROVED_TAG = "n54.pressure"
SETTLE_S = 3_600
"""Readings so near to the onset belong to neither window: its time is an estimate."""


@dataclass(slots=True)
class Story:
    """What the demo works on, and what it has found so far."""

    home: Home
    out: Output
    truth: dict[str, Any]
    found: dict[str, Any] = field(default_factory=dict)

    def chapter(self, title: str) -> None:
        """Begin a part of the story."""
        self.out.say(f"\n[bold]{title}[/bold]")

    def say(self, text: str) -> None:
        """Say a line of it."""
        self.out.say(f"   {text}")


def main(arguments: list[str] | None = None) -> int:
    """Tell the story; returns the exit code."""
    asked = _parser().parse_args(arguments)
    started_s = time.monotonic()
    truth = json.loads((SAMPLE / "truth.json").read_text(encoding="utf-8"))
    story = Story(Home(_fresh(asked.home)), Output(json=asked.json), truth)
    network_comes_in(story)
    readings_stream_in(story)
    detail = leak_is_found(story)
    zone_meets_the_truth(story, detail)
    reading_is_proved(story)
    report_is_written(story, detail)
    story.found["seconds"] = round(time.monotonic() - started_s, 1)
    story.say(f"Told in {story.found['seconds']} s.")
    if asked.no_serve:
        story.out.document(story.found)
        return 0
    return server_stays(story, asked.port)


def network_comes_in(story: Story) -> None:
    """The EPANET file becomes assets, each an event."""
    from twin.networks import ImportOptions, import_network  # noqa: PLC0415 - told as it loads

    story.chapter("1. A network comes in")
    options = ImportOptions(name=NETWORK, crs="local", time_zone=TIME_ZONE)
    with story.home.writer() as journal:
        done = import_network(LTOWN / "network.inp", options, journal, story.home.clock)
    for sentence in done.sentences():
        story.say(sentence)


def readings_stream_in(story: Story) -> None:
    """Three days of readings are sealed and judged."""
    from api.ingesting import open_door, rules_of  # noqa: PLC0415 - loads pandas
    from twin.ingest.delimited import read_delimited  # noqa: PLC0415 - the same
    from twin.pipeline import ingest  # noqa: PLC0415 - the same
    from twin.tags import read_tag_map  # noqa: PLC0415 - the same

    story.chapter("2. Three days of 5-minute readings stream in, and are sealed")
    home = story.home
    with home.writer() as journal:
        intake = open_door(journal, NETWORK, read_tag_map(SAMPLE / "tags.yaml"), "csv")
        done = ingest(
            journal,
            read_delimited(SAMPLE / "readings.csv", intake, story.out.progress),
            home.clock,
            evaluate=rules_of(journal, NETWORK, home.clock),
            on_block=lambda block: _tell_block(story, block),
        )
    story.found["readings"] = done.recorded
    story.found["blocks"] = len(done.blocks)
    story.say(f"{done.recorded:,} readings in {len(done.blocks)} signed blocks.")
    _tell_verdicts(story)


def _tell_block(story: Story, block: SealedBlock) -> None:
    story.say(f"block {block.height}: {block.n_readings:,} readings, {block.hash_hex[:16]}…")


def _tell_verdicts(story: Story) -> None:
    from twin.evaluations import Scope, iter_evaluations  # noqa: PLC0415 - loads NumPy

    story.chapter("3. Rules judge them, and every verdict is in the record too")
    judged = iter_evaluations(story.home.reader(), NETWORK)
    changes = [made for made in judged if made.scope is Scope.TRANSITION]
    changes.sort(key=lambda made: made.at_ns)
    for made in changes[:N_VERDICTS_SHOWN]:
        judged_by = made.standard.id if made.standard else made.rule.id
        story.say(
            f"{format_instant(made.at_ns)}  {made.tag}: {made.verdict} "
            f"({made.value:.3g} {made.unit}, margin {made.margin:+.3g}) by {judged_by}"
        )
    if len(changes) > N_VERDICTS_SHOWN:
        story.say(f"… and {len(changes) - N_VERDICTS_SHOWN} more")


def leak_is_found(story: Story) -> RunDetail:
    """The onset is noticed, then the leak is localized."""
    from twin.leaks.runs import load_detail, run_leak  # noqa: PLC0415 - loads EPANET

    story.chapter("4. A leak is noticed, and localized")
    window, reference = _windows(story)
    with story.home.writer() as journal:
        found = run_leak(
            journal,
            NETWORK,
            window,
            reference,
            clock=story.home.clock,
            progress=story.out.progress,
        )
        return load_detail(journal, found)


def _windows(story: Story) -> tuple[Window, Window]:
    """Return the window with the leak and the one before it, apart from the estimated onset."""
    from twin.leaks.detecting import detect_leaks  # noqa: PLC0415 - loads EPANET
    from twin.leaks.windows import Window  # noqa: PLC0415 - loads NumPy

    with story.home.writer() as journal:
        onsets = detect_leaks(journal, NETWORK, clock=story.home.clock, progress=story.out.progress)
    onset_ns = onsets[0].onset_ns
    true_ns = parse_instant(story.truth["leaks"][0]["onset"])
    off_min = (onset_ns - true_ns) / NS_PER_S / 60
    story.say(f"Something began at {format_instant(onset_ns)} ({off_min:+.0f} min from the truth).")
    margin_ns = SETTLE_S * NS_PER_S
    return (
        Window(onset_ns, parse_instant(story.truth["to"])),
        Window(parse_instant(story.truth["from"]), onset_ns - margin_ns),
    )


def zone_meets_the_truth(story: Story, detail: RunDetail) -> None:
    """How far the answer is from what the generator did."""
    from api.report.words import zone_sentence  # noqa: PLC0415 - loads NumPy

    best, leak = detail.candidates[0], story.truth["leaks"][0]
    zone = detail.run.zones[LEVEL]
    story.found["zone_holds_truth"] = leak["pipe_id"] in zone
    story.found["zone_length_m"] = round(detail.run.zone_length_m[LEVEL], 1)
    story.found["distance_m"] = round(
        _distance_m(story, (best.pipe_id, best.place), (leak["pipe_id"], leak["place"])), 1
    )
    holds = "holds" if story.found["zone_holds_truth"] else "does not hold"
    story.say(zone_sentence(detail))
    story.say(
        f"The truth: {leak['flow_m3s'] * 1000:.1f} L/s from {leak['pipe_id']}. "
        f"The zone {holds} it; "
        f"the most probable place is {story.found['distance_m']:.0f} m away along the pipes."
    )


def _distance_m(story: Story, place: tuple[str, float], truth: tuple[str, float]) -> float:
    from hydraulics.paths import distance_along_pipes_m  # noqa: PLC0415 - loads SciPy
    from twin.networks import load_model, load_network  # noqa: PLC0415 - loads WNTR

    record = story.home.reader()
    model = load_model(record, load_network(record, NETWORK))
    link, to_link = (model.link_id.index(pipe_id) for pipe_id, _ in (place, truth))
    return distance_along_pipes_m(model, link, place[1], to_link, truth[1])


def reading_is_proved(story: Story) -> None:
    """One reading is proved by a process that knows nothing but a key."""
    from ledger.evidence import evidence_of, write_proof  # noqa: PLC0415 - loads cryptography
    from ledger.refs import resolve  # noqa: PLC0415 - loads NumPy

    story.chapter("5. One reading is proved, offline, to someone who does not trust us")
    ledger = story.home.reader()
    place = resolve(ledger, f"{NETWORK}/{PROVED_TAG}@{story.truth['leaks'][0]['onset']}")
    with tempfile.TemporaryDirectory() as folder:
        proof, trust = Path(folder, "reading.proof"), Path(folder, "operator.key")
        write_proof(proof, evidence_of(ledger, place))
        trust.write_text(f"{ledger.key_line}\n", encoding="utf-8")
        twin = Path(sys.executable).with_name("twin")
        done = subprocess.run(  # noqa: S603 - our own command
            [twin, "verify", proof, "--trust", trust],
            check=False,
            capture_output=True,
            text=True,
        )
    story.found["proof_verified"] = done.returncode == 0
    story.say((done.stdout or done.stderr).strip())


def report_is_written(story: Story, detail: RunDetail) -> None:
    """The report that a crew takes along."""
    from api.report.writing import write_report  # noqa: PLC0415 - loads Jinja

    story.chapter("6. A report")
    for path in write_report(story.home.reader(), detail, story.home.path / "report"):
        story.say(str(path))


def server_stays(story: Story, port: int) -> int:
    """The server answers until it is stopped."""
    story.chapter("7. Ask it yourself")
    for path in sorted(QUERIES.glob("*.graphql")):
        story.say(str(path.relative_to(ROOT)))
    story.out.document(story.found)
    return run(["--home", str(story.home.path), "serve", "--port", str(port)])


def _fresh(folder: Path) -> Path:
    """Return an empty home; only one that an earlier demo made is emptied."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARKER).is_file():
            sys.exit(f"{folder} holds something that no demo made; choose another --home")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).touch()
    os.environ.pop("TWIN_HOME", None)
    return folder


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--no-serve", action="store_true", help="end instead of serving")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON document")
    parser.add_argument(
        "--home", type=Path, default=DEFAULT_HOME, help="folder of the demo's state"
    )
    parser.add_argument("--port", type=int, default=8000, help="port of the server")
    return parser


if __name__ == "__main__":
    sys.exit(main())
