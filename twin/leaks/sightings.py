"""What a watch over a network saw, as it is recorded, and back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, cast

from twin.events import Event, EventKind, Plain, Recorded, RecordRef
from twin.instants import Clock
from twin.leaks.windows import Window
from twin.ports import Journal, Record

SIGHTING = "watch-"
"""What the id of a sighting begins with."""
_ID_DIGITS = 12


class SightingKind(StrEnum):
    """What a watch may tell."""

    CALL = "call"
    REPAIRED = "repaired"
    SENSOR = "sensor"
    UNWATCHED = "unwatched"


@dataclass(frozen=True, slots=True)
class Sighting:
    """One thing that a watch told at the end of a day.

    Attributes:
        network: Name of the network.
        kind: A leak was called, a leak ended, a sensor lies, or one is not watched.
        day: The day whose readings told it.
        asset: Full name of the pipe, or of the sensor's node.
        tag: The sensor's own name, None where it is about a leak.
        fault: What is wrong with the sensor, None where nothing is or it is about a leak.
        offset_m: What the sensor reads too much [m], None where it is about none that lies.
        flow_m3s: Outflow of the leak [m³/s], None where it is about a sensor.
        probability: That the leak lies within 300 m of the pipe, None where it is about a sensor.
        onset_ns: Beginning of the day on which it began, as far as is seen.
        calibration: The days that the watch was calibrated on.
        readings_sha256: Hash over the measurements up to the end of the day.
        inp_sha256: Hash of the EPANET file.
        settings: Those of the watch that told it first; none where it is of before they were kept.
        versions: Versions of what computed it, likewise.
        evidence: Its place in the ledger, None before it is recorded.
    """

    network: str
    kind: SightingKind
    day: Window
    asset: str
    tag: str | None
    fault: str | None
    offset_m: float | None
    flow_m3s: float | None
    probability: float | None
    onset_ns: int
    calibration: Window
    readings_sha256: str
    inp_sha256: str
    settings: Mapping[str, Plain] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    evidence: RecordRef | None = None

    @property
    def sighting_id(self) -> str:
        """`watch-` and twelve digits of a hash over what it says, of which day and from when.

        Neither the readings nor the settings are part of it: a watch that begins anew at the same
        day, after late readings came in or with other false alarms borne, tells nothing twice.
        """
        named = [self.network, self.inp_sha256, str(self.calibration), self.kind.value]
        named += [str(self.day), self.asset, self.tag or "", self.fault or ""]
        return f"{SIGHTING}{hashlib.sha256(' '.join(named).encode()).hexdigest()[:_ID_DIGITS]}"

    @property
    def false_alarms_per_year(self) -> float | None:
        """Calls that a year without a leak may bring, None where that was not kept."""
        rate = self.settings.get("false_alarms_per_year")
        return rate if isinstance(rate, float) else None


def keep_sightings(journal: Journal, found: Iterable[Sighting], clock: Clock) -> list[Sighting]:
    """Record the sightings that are not recorded yet; return all of them, recorded."""
    known = {one.sighting_id: one for one in load_sightings(journal)}
    kept = []
    for one in found:
        if one.sighting_id not in known:
            (ref,) = journal.record([to_event(one, clock())])
            known[one.sighting_id] = replace(one, evidence=ref)
        kept.append(known[one.sighting_id])
    return kept


def find_sighting(record: Record, sighting_id: str) -> Sighting | None:
    """Return the sighting of that id, or None."""
    found = (one for one in load_sightings(record) if one.sighting_id == sighting_id)
    return next(found, None)


def load_sightings(record: Record, network: str | None = None) -> list[Sighting]:
    """Return the recorded sightings, in order of record; of all networks when none is named."""
    return [from_event(found) for found in record.events([EventKind.LEAK_WATCH], network)]


def to_event(one: Sighting, at_ns: int) -> Event:
    """Return the event of a sighting."""
    body: dict[str, Plain] = {
        "what": one.kind.value,
        "day": [one.day.from_ns, one.day.to_ns],
        "asset": one.asset,
        "tag": one.tag,
        "fault": one.fault,
        "offset_m": one.offset_m,
        "flow_m3s": one.flow_m3s,
        "probability": one.probability,
        "onset_ns": one.onset_ns,
        "calibration": [one.calibration.from_ns, one.calibration.to_ns],
        "readings_sha256": one.readings_sha256,
        "inp_sha256": one.inp_sha256,
        "settings": dict(one.settings),
        "versions": dict(one.versions),
    }
    return Event(EventKind.LEAK_WATCH, one.network, one.sighting_id, at_ns, body)


def from_event(recorded: Recorded) -> Sighting:
    """Return the sighting that an event of kind `leak-watch` holds."""
    body = cast("Mapping[str, Any]", recorded.event.body)
    return Sighting(
        network=recorded.event.network,
        kind=SightingKind(body["what"]),
        day=Window(*body["day"]),
        asset=body["asset"],
        tag=body["tag"],
        fault=body["fault"],
        offset_m=body["offset_m"],
        flow_m3s=body["flow_m3s"],
        probability=body["probability"],
        onset_ns=body["onset_ns"],
        calibration=Window(*body["calibration"]),
        readings_sha256=body["readings_sha256"],
        inp_sha256=body["inp_sha256"],
        settings=body.get("settings", {}),
        versions=body.get("versions", {}),
        evidence=recorded.ref,
    )
