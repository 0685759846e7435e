"""What accuracy and coverage say, in sentences."""

from __future__ import annotations

from api.report.words import length
from hydraulics.leaks.accuracy import YARDSTICK, Grade
from twin.instants import format_instant
from twin.leaks.trust import AccuracyReport, CoverageReport, NextSensor, SensorTrust

_LITRES = 1_000.0


def accuracy_sentence(report: AccuracyReport) -> str:
    """Return what the model is like at all sensors together."""
    counts = [f"{report.count(grade)} {grade.value}" for grade in Grade if report.count(grade)]
    n_sensors = len(report.sensors)
    return f"Of {n_sensors} pressure sensors, at {report.n_rows} times: {', '.join(counts)}."


def clock_sentence(report: AccuracyReport) -> str:
    """Return whether the readings and the model have one clock; empty where they seem to."""
    if not report.hours_late:
        return ""
    hours = "1 hour" if abs(report.hours_late) == 1 else f"{abs(report.hours_late)} hours"
    than = "later" if report.hours_late > 0 else "earlier"
    return (
        f"The network takes its water {hours} {than} than its model: look at the time zone of the "
        "readings, and at --time-zone and --model-start of twin import, before any leak is looked "
        "for; if they are right, the file's demand patterns are wrong."
    )


def basis_sentence(report: AccuracyReport) -> str:
    """Return from which readings and file the accuracy was computed."""
    unsolved = (
        f"; EPANET could not solve {report.n_unsolved} times more" if report.n_unsolved else ""
    )
    return (
        f"Compared over {report.window} ({report.window_said}); {report.n_readings} readings with "
        f"SHA-256 {report.readings_sha256}, EPANET file {report.inp_sha256}{unsolved}."
    )


def sensor_sentence(one: SensorTrust) -> str:
    """Return how well the model fits one sensor, in one sentence."""
    if one.grade is Grade.REJECTED:
        when = f" at {format_instant(one.changed_ns)}" if one.changed_ns is not None else ""
        alike = "; a leak beside it would look the same" if "jumped" in one.reason else ""
        return f"{one.tag} is rejected: {one.reason}{when}{alike}."
    assert one.bias_m is not None
    assert one.rmse_m is not None
    assert one.expected_bias_m is not None
    assert one.expected_rmse_m is not None
    limit_m, wanted = YARDSTICK[0]
    asked = "" if one.meets_yardstick else f" where {whole_percent(wanted)} is asked for"
    return (
        f"{one.tag} is {one.grade.value}: {abs(one.bias_m):.2f} m "
        f"{'above' if one.bias_m >= 0 else 'below'} the model where {one.expected_bias_m:.2f} m is "
        f"usual, and {one.rmse_m:.3f} m about that where {one.expected_rmse_m:.3f} m is usual; "
        f"{whole_percent(one.within[0])} within {limit_m:g} m{asked}{_daily(one)}."
    )


def _daily(one: SensorTrust) -> str:
    if one.time_of_day_share is None:
        return ""
    return f"; the time of day explains {whole_percent(one.time_of_day_share)} of the variance"


def coverage_sentence(report: CoverageReport, k: int) -> str:
    """Return how well leaks of one size would be found, in one sentence."""
    found = report.coverage
    size = f"{found.size_m3s[k] * _LITRES:g} L/s"
    missed = float(found.missed_share[k])
    zone = length(float(found.expected_zone_m[k]))
    if missed <= 0.0:
        return f"A leak of {size} would be found everywhere; its zone would have {zone} on average."
    return (
        f"A leak of {size} would not be found along {share(missed)} of the pipes; "
        f"its zone would have {zone} on average."
    )


def next_sentence(report: CoverageReport, rank: int, one: NextSensor) -> str:
    """Return what one more sensor would bring."""
    return (
        f"{rank}. A sensor at node {one.node_id} would shorten the zone of a leak of "
        f"{report.next_size_m3s * _LITRES:g} L/s by {length(one.gain_m)}, "
        f"to {length(one.expected_zone_m)} on average."
    )


def whole_percent(part: float) -> str:
    """Return a share in whole per cent, all of it only where it is all."""
    return f"{min(round(part * 100), 99 if part < 1.0 else 100)} %"


def share(part: float) -> str:
    """Return a share of the length in per cent, never as nothing where there is some."""
    if 0.0 < part < 0.001:  # noqa: PLR2004 - a tenth of a per cent
        return "less than 0.1 %"
    return f"{part * 100:.1f} %"
