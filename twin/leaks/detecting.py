"""Look for the onset of a leak in what is recorded, and record what is found."""

from __future__ import annotations

import hashlib
import math
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from hydraulics.leaks.detect import Onset, detect
from hydraulics.leaks.measurements import Progress
from twin.assets import Network
from twin.errors import RefusedError
from twin.events import Event, EventKind, Plain, Recorded, RecordRef
from twin.instants import Clock
from twin.leaks.book import load_book
from twin.leaks.gathering import Gathered, gather
from twin.leaks.reference import default_reference
from twin.leaks.windows import DAY_NS, LOOK_BACK_NS, Window
from twin.networks import load_model, load_network, model_path
from twin.ports import Journal, Record
from twin.readings import Quantity

_ID_DIGITS = 12
_FEWEST_DAYS, _MOST_DAYS = 7, 14
"""Leak-free days to compare with; one of them may not be whole."""
_LAST_NS = 2**62


@dataclass(frozen=True, slots=True)
class Detection:
    """An onset that was found.

    Attributes:
        detection_id: `onset-` and twelve hex digits of a hash over network, time and readings.
        network: Name of the network.
        onset_ns: When the leak began, as far as the readings tell.
        seen_ns: When the readings showed it beyond doubt.
        flow_m3s: Rise of the inflow since [m³/s], None where the inflow is not metered.
        tags: The sensors that show it, the clearest first.
        statistic: How far the test went beyond what is normal [-].
        window: What was searched.
        reference: The leak-free window that it was compared with, None where there was none.
        readings_sha256: Hash over the readings used.
        inp_sha256: Hash of the EPANET file.
        evidence: Its place in the ledger, None before it is recorded.
    """

    detection_id: str
    network: str
    onset_ns: int
    seen_ns: int
    flow_m3s: float | None
    tags: tuple[str, ...]
    statistic: float
    window: Window
    reference: Window | None
    readings_sha256: str
    inp_sha256: str
    evidence: RecordRef | None = None


def detect_leaks(  # noqa: PLR0913 - the window's ends, each optional
    journal: Journal,
    network: str,
    from_ns: int | None = None,
    to_ns: int | None = None,
    *,
    clock: Clock,
    progress: Progress | None = None,
) -> list[Detection]:
    """Search a window for onsets and record each that is not recorded already.

    Args:
        journal: The ledger.
        network: Name of the network.
        from_ns: Start of the window; None is the first pressure reading, at most 62 days back, and
            then its first half, up to two weeks, or its first day is taken as leak-free.
        to_ns: End of the window; None is after the last pressure reading.
        clock: Says when it was found.
        progress: Told of each step.

    Raises:
        NotFoundError: No such network.
        NoReadingsError: The window holds no usable pressure reading.
        RefusedError: The network has no pressure reading at all.
    """
    found = find_onsets(journal, network, from_ns, to_ns, progress=progress)
    return keep_onsets(journal, found, clock)


def find_onsets(
    record: Record,
    network: str,
    from_ns: int | None = None,
    to_ns: int | None = None,
    *,
    progress: Progress | None = None,
) -> list[Detection]:
    """Search as `detect_leaks` does, without writing, so that nobody waits for the ledger."""
    found = load_network(record, network)
    window = _window(record, network, from_ns, to_ns)
    window, reference = _compared(record, network, window)
    with tempfile.TemporaryDirectory(prefix="watercourse-") as folder:
        model = load_model(record, found)
        gathered = gather(record, found, model, window, reference)
        inp = model_path(record, found, Path(folder))
        onsets = detect(inp, model, gathered.measurements, progress=progress or _tell_nobody)
    return [_detection(found, gathered, window, reference, onset) for onset in onsets]


def keep_onsets(journal: Journal, found: Iterable[Detection], clock: Clock) -> list[Detection]:
    """Record the onsets that are not recorded yet; return all of them, recorded."""
    known = {one.detection_id: one for one in load_detections(journal)}
    kept = []
    for one in found:
        if one.detection_id not in known:
            (ref,) = journal.record([to_event(one, clock())])
            known[one.detection_id] = replace(one, evidence=ref)
        kept.append(known[one.detection_id])
    return kept


def load_detections(record: Record, network: str | None = None) -> list[Detection]:
    """Return the recorded onsets, in order of record; of all networks when none is named."""
    return [from_event(found) for found in record.events([EventKind.LEAK_DETECTED], network)]


def to_event(detection: Detection, at_ns: int) -> Event:
    """Return the event of a detection."""
    reference = detection.reference
    body: dict[str, Plain] = {
        "onset_ns": detection.onset_ns,
        "seen_ns": detection.seen_ns,
        "flow_m3s": detection.flow_m3s,
        "tags": list(detection.tags),
        "statistic": detection.statistic,
        "window": [detection.window.from_ns, detection.window.to_ns],
        "reference": [reference.from_ns, reference.to_ns] if reference else None,
        "readings_sha256": detection.readings_sha256,
        "inp_sha256": detection.inp_sha256,
    }
    kind = EventKind.LEAK_DETECTED
    return Event(kind, detection.network, detection.detection_id, at_ns, body)


def from_event(recorded: Recorded) -> Detection:
    """Return the detection that an event of kind `leak-detected` holds."""
    body = cast("Mapping[str, Any]", recorded.event.body)
    return Detection(
        detection_id=recorded.event.subject,
        network=recorded.event.network,
        onset_ns=body["onset_ns"],
        seen_ns=body["seen_ns"],
        flow_m3s=body["flow_m3s"],
        tags=tuple(body["tags"]),
        statistic=body["statistic"],
        window=Window(*body["window"]),
        reference=Window(*body["reference"]) if body["reference"] else None,
        readings_sha256=body["readings_sha256"],
        inp_sha256=body["inp_sha256"],
        evidence=recorded.ref,
    )


def _window(record: Record, network: str, from_ns: int | None, to_ns: int | None) -> Window:
    if from_ns is not None and to_ns is not None:
        return Window(from_ns, to_ns)
    times = [
        (int(column.time_ns[0]), int(column.time_ns[-1]))
        for series in record.series(network)
        if series.quantity is Quantity.PRESSURE
        and len(column := record.column(series, from_ns or 0, to_ns or _LAST_NS))
    ]
    if not times:
        raise RefusedError(f"network {network!r} has no pressure reading there; ingest some first")
    end_ns = to_ns or max(last for _, last in times) + 1
    return Window(from_ns or max(min(first for first, _ in times), end_ns - LOOK_BACK_NS), end_ns)


def _compared(record: Record, network: str, window: Window) -> tuple[Window, Window | None]:
    """Return what is searched, and the leak-free window before it.

    Where nothing is recorded before the window, the first half of it is taken as leak-free, up to
    two weeks, where that makes days enough to tell how they differ; else its first day.
    """
    reference = default_reference(record, network, window, load_book(record, network))
    if reference is None and window.length_ns > DAY_NS:
        n_half = min(window.length_ns // DAY_NS // 2, _MOST_DAYS)
        border_ns = window.from_ns + (n_half if n_half >= _FEWEST_DAYS else 1) * DAY_NS
        return Window(border_ns, window.to_ns), Window(window.from_ns, border_ns)
    return window, reference


def _detection(
    network: Network,
    gathered: Gathered,
    window: Window,
    reference: Window | None,
    onset: Onset,
) -> Detection:
    onset_ns = int(gathered.at_ns[onset.row])
    named = f"{network.name} {onset_ns} {gathered.readings_sha256}"
    return Detection(
        detection_id=f"onset-{hashlib.sha256(named.encode()).hexdigest()[:_ID_DIGITS]}",
        network=network.name,
        onset_ns=onset_ns,
        seen_ns=int(gathered.at_ns[onset.seen_row]),
        flow_m3s=float(onset.flow_m3s) if math.isfinite(onset.flow_m3s) else None,
        tags=tuple(gathered.pressure_series[int(sensor)].tag for sensor in onset.sensors),
        statistic=float(onset.statistic),
        window=window,
        reference=reference,
        readings_sha256=gathered.readings_sha256,
        inp_sha256=network.inp_sha256,
    )


def _tell_nobody(step: str, done: int, total: int) -> None:
    """Tell nobody of progress."""
