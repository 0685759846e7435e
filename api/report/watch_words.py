"""What a watch tells and what the book of found leaks holds, in sentences."""

from __future__ import annotations

import math

from api.report.words import likelihood, percent
from twin.instants import format_instant
from twin.leaks.book import FoundLeak
from twin.leaks.reach import REACH_M
from twin.leaks.sightings import Sighting, SightingKind
from twin.leaks.windows import DAY_NS

_LITRES = 1_000.0


def sighting_sentence(one: Sighting) -> str:
    """Return what was seen in one sentence: a zone, how sure, and never one pipe alone."""
    day = f"day of {format_instant(one.day.from_ns)}"
    if one.kind is SightingKind.SENSOR:
        offset_m = one.offset_m or 0.0
        return f"{day}: sensor {one.tag} lies ({one.fault}): it reads {offset_m:+.2f} m too much"
    if one.kind is SightingKind.UNWATCHED:
        return (
            f"{day}: sensor {one.tag} at {one.asset} reports since "
            f"{format_instant(one.onset_ns)}, after the watch was calibrated, and is not used; "
            f"{_how_to_use(one)}"
        )
    flow_ls = (one.flow_m3s or 0.0) * _LITRES
    if one.kind is SightingKind.REPAIRED:
        return f"{day}: the leak near {one.asset} no longer runs (it lost {flow_ls:.1f} L/s)"
    probability = one.probability or 0.0
    return (
        f"{day}: a leak near {one.asset}, {flow_ls:.1f} L/s since about "
        f"{format_instant(one.onset_ns)}; it is {likelihood(probability)} ({percent(probability)}) "
        f"that it lies within {REACH_M:.0f} m along pipes, so search these, not the pipe"
    )


def _how_to_use(one: Sighting) -> str:
    """Return the command that watches with a sensor which came late, and from when on it can run.

    It calibrates on as many days, from the first midnight since which the sensor reports.
    """
    n_days = round((one.calibration.to_ns - one.calibration.from_ns) / DAY_NS)
    n_before = math.ceil((one.onset_ns - one.day.from_ns) / DAY_NS)
    from_ns = one.day.from_ns + n_before * DAY_NS
    rate = one.false_alarms_per_year
    borne = "" if rate is None else f" --false-alarms {rate:g}"
    return (
        f"to use it, stop this watch and begin anew once {n_days} whole days with it are recorded, "
        f"from {format_instant(from_ns + n_days * DAY_NS)} on: twin leak watch --network "
        f"{one.network} --from {format_instant(from_ns)} --calibration-days {n_days}{borne}"
    )


def found_sentence(one: FoundLeak) -> str:
    """Return the state of a found leak, and who says so."""
    said = f", says {one.confirmed_by}" if one.confirmed_by else ""
    found = (
        f"pipe {one.pipe_id}: {one.flow_m3s * _LITRES:.1f} L/s since "
        f"{format_instant(one.since_ns)}{said}"
    )
    if one.repaired_ns is None:
        return f"{found}; it runs"
    mended = f", says {one.repaired_by}" if one.repaired_by else ""
    return f"{found}; repaired at {format_instant(one.repaired_ns)}{mended}"
