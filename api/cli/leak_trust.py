"""`twin leak accuracy` and `twin leak coverage`: how far a leak run could be trusted."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.output import Output, home_of
from twin.errors import UnreadableError
from twin.instants import format_instant, parse_instant

if TYPE_CHECKING:
    from rich.table import Table

    from twin.leaks.trust import AccuracyReport, CoverageReport, SensorTrust
    from twin.leaks.windows import Window

_LITRES = 1_000.0

NetworkName = Annotated[str, typer.Option("--network", help="Name of the network.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
From = Annotated[
    str | None,
    typer.Option("--from", metavar="T", help="Start of a leak-free window; else the longest one."),
]
To = Annotated[str | None, typer.Option("--to", metavar="T", help="Its end, not part of it.")]
AccuracyFolder = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Write accuracy.csv.")
]
CoverageFolder = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Write coverage.html, .csv and .geojson."),
]
Sensors = Annotated[
    str | None,
    typer.Option("--sensors", metavar="A,B", help="Junctions with a sensor; else the recorded."),
]
Flows = Annotated[
    str, typer.Option("--flow-ls", metavar="Q,Q", help="Sizes of leaks [L/s], by comma.")
]
Next = Annotated[
    int, typer.Option("--next", metavar="K", min=0, max=20, help="Place so many sensors more.")
]


def register(leak: typer.Typer) -> None:
    """Add the commands to `twin leak`."""
    leak.command("accuracy", help="Say how well the model fits each pressure sensor.")(accuracy)
    leak.command("coverage", help="Say where leaks would not be found, before any run.")(coverage)


def accuracy(  # noqa: PLR0913 - one parameter an option
    ctx: typer.Context,
    *,
    network: NetworkName,
    from_: From = None,
    to: To = None,
    out_folder: AccuracyFolder = None,
    json: AsJson = False,
) -> None:
    """Compare every sensor with the model over a leak-free window."""
    from twin.leaks.trust import measure_accuracy  # noqa: PLC0415 - loads EPANET
    from twin.leaks.trust_files import accuracy_csv  # noqa: PLC0415 - loads NumPy

    out = Output(json=json)
    window = _window(from_, to)
    report = measure_accuracy(home_of(ctx).reader(), network, window, progress=out.progress)
    files = {} if out_folder is None else {out_folder / "accuracy.csv": accuracy_csv(report)}
    _write(files)
    _print_accuracy(report, out)
    _say_files(files, out)
    out.document({**accuracy_document(report), "files": list(map(str, files))})


def coverage(  # noqa: PLR0913 - one parameter an option
    ctx: typer.Context,
    *,
    network: NetworkName,
    sensors: Sensors = None,
    flow_ls: Flows = "1,2,5",
    n_next: Next = 0,
    out_folder: CoverageFolder = None,
    json: AsJson = False,
) -> None:
    """Tell from the model where leaks of some sizes would be found."""
    from twin.leaks.trust import measure_coverage  # noqa: PLC0415 - loads EPANET

    out = Output(json=json)
    record = home_of(ctx).reader()
    chosen = None if sensors is None else _names(sensors)
    sizes = _sizes_m3s(flow_ls)
    report = measure_coverage(record, network, chosen, sizes, n_next, progress=out.progress)
    files: dict[Path, bytes] = {}
    if out_folder is not None:
        from api.report.trust_page import coverage_files  # noqa: PLC0415 - loads Jinja

        files = {out_folder / n: text for n, text in coverage_files(record, report).items()}
    _write(files)
    _print_coverage(report, out)
    if len(report.next_sensors) < n_next:
        out.say("there is no other junction to choose")
    _say_files(files, out)
    out.document({**coverage_document(report), "files": list(map(str, files))})


def accuracy_document(report: AccuracyReport) -> dict[str, Any]:
    """Return the accuracy as JSON."""
    return {
        "network": report.network,
        "window": {
            "from": format_instant(report.window.from_ns),
            "to": format_instant(report.window.to_ns),
        },
        "window_said": report.window_said,
        "sensors": [_sensor_row(one) for one in report.sensors],
        "n_rows": report.n_rows,
        "n_unsolved": report.n_unsolved,
        "hours_late": report.hours_late,
        "n_readings": report.n_readings,
        "readings_sha256": report.readings_sha256,
        "inp_sha256": report.inp_sha256,
    }


def _sensor_row(one: SensorTrust) -> dict[str, Any]:
    from api.report.trust_words import sensor_sentence  # noqa: PLC0415 - loads NumPy
    from hydraulics.leaks.accuracy import YARDSTICK  # noqa: PLC0415 - loads NumPy

    limits = [limit_m for limit_m, _ in YARDSTICK]
    return {
        "tag": one.tag,
        "asset": one.asset,
        "grade": one.grade.value,
        "reason": one.reason or None,
        "sentence": sensor_sentence(one),
        "n_readings": one.n_readings,
        "n_rows": one.n_rows,
        "bias_m": one.bias_m,
        "rmse_m": one.rmse_m,
        "time_of_day_share": one.time_of_day_share,
        "expected_bias_m": one.expected_bias_m,
        "expected_rmse_m": one.expected_rmse_m,
        "within": [
            {"limit_m": limit_m, "share": share}
            for limit_m, share in zip(limits, one.within, strict=False)
        ],
        "changed_at": None if one.changed_ns is None else format_instant(one.changed_ns),
    }


def coverage_document(report: CoverageReport) -> dict[str, Any]:
    """Return the coverage as JSON: by size, by pipe, and the next sensors."""
    found = report.coverage
    sizes = [float(size) for size in found.size_m3s]
    return {
        "network": report.network,
        "sensors": list(report.sensors),
        "sensors_said": report.sensors_said,
        "meters": list(report.meters),
        "meters_said": report.meters_said,
        "false_alarm": report.settings.false_alarm,
        "threshold": found.threshold if math.isfinite(found.threshold) else None,
        "sizes": [
            {"flow_m3s": size, "missed_share": float(missed), "expected_zone_m": float(zone)}
            for size, missed, zone in zip(
                sizes, found.missed_share, found.expected_zone_m, strict=True
            )
        ],
        "pipes": [
            {
                "pipe_id": pipe_id,
                "length_m": float(found.length_m[i]),
                "is_reached": bool(found.is_reached[i]),
                "signal": found.signal[i].tolist(),
                "chance": found.chance[i].tolist(),
                "zone_m": found.zone_m[i].tolist(),
            }
            for i, pipe_id in enumerate(report.pipe_id)
        ],
        "next_sensors": [
            {"node_id": one.node_id, "gain_m": one.gain_m, "expected_zone_m": one.expected_zone_m}
            for one in report.next_sensors
        ],
        "next_flow_m3s": report.next_size_m3s,
        "inp_sha256": report.inp_sha256,
    }


def _print_accuracy(report: AccuracyReport, out: Output) -> None:
    from rich.text import Text  # noqa: PLC0415 - only for people

    from api.report.trust_words import (  # noqa: PLC0415 - loads NumPy
        accuracy_sentence,
        basis_sentence,
        clock_sentence,
        sensor_sentence,
    )

    for one in report.sensors:
        out.say(Text(sensor_sentence(one)))
    out.say(Text(accuracy_sentence(report)))
    if clock_sentence(report):
        out.say(Text(clock_sentence(report)))
    out.say(Text(basis_sentence(report)))


def _print_coverage(report: CoverageReport, out: Output) -> None:
    from rich.text import Text  # noqa: PLC0415 - only for people

    from api.report.trust_words import coverage_sentence, next_sentence  # noqa: PLC0415 - NumPy

    if not out.json:
        out.say(_table(report))
    for k in range(len(report.coverage.size_m3s)):
        out.say(Text(coverage_sentence(report, k)))
    for rank, one in enumerate(report.next_sensors, 1):
        out.say(Text(next_sentence(report, rank, one)))
    alarms = f"{report.settings.false_alarm * 100:g} %"
    out.say(
        Text(
            f"{len(report.sensors)} sensors ({report.sensors_said}), {len(report.meters)} meters "
            f"({report.meters_said}); a false alarm in {alarms} of days; "
            f"EPANET file {report.inp_sha256}."
        )
    )


def _table(report: CoverageReport) -> Table:
    from rich.table import Table  # noqa: PLC0415 - only for people

    from api.report.trust_page import by_size  # noqa: PLC0415 - loads NumPy

    table = Table(title=f"Coverage of {report.network}, shares of the length of pipes")
    for heading in ("leak L/s", "found surely", "perhaps", "not found", "zone, mean", "median"):
        table.add_column(heading, justify="right")
    for one in by_size(report):
        table.add_row(*one.cells)
    return table


def _window(from_text: str | None, to_text: str | None) -> Window | None:
    from twin.leaks.windows import Window  # noqa: PLC0415 - loads NumPy

    if from_text is None and to_text is None:
        return None
    if from_text is None or to_text is None:
        raise UnreadableError("give both --from and --to, or neither")
    return Window(parse_instant(from_text), parse_instant(to_text))


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _sizes_m3s(text: str) -> list[float]:
    try:
        return [float(part) / _LITRES for part in text.split(",")]
    except ValueError:
        raise UnreadableError(
            f"--flow-ls {text!r}: give litres a second by comma, such as 1,2,5"
        ) from None


def _write(files: dict[Path, bytes]) -> None:
    from twin.networks.records import write_whole  # noqa: PLC0415 - loads NumPy

    for path, content in files.items():
        write_whole(path, content)


def _say_files(files: dict[Path, bytes], out: Output) -> None:
    for path in files:
        out.say(f"written: {path}")
