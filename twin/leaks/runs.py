"""Localize one leak from what is recorded, and record the answer.

The same readings, settings and seed give the same run: its id is a hash over them, and asking twice
returns what is recorded.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import cast

import numpy as np

from hydraulics.leaks.localize import LocalizeSettings, localize
from hydraulics.leaks.measurements import Localization, Progress, zone
from hydraulics.network import NetworkModel
from twin.assets import Network
from twin.events import Plain
from twin.instants import NS_PER_S, Clock
from twin.leaks.artefacts import (
    Residuals,
    RunDetail,
    candidates_csv,
    load_detail,
    residuals_json,
    zone_geojson,
)
from twin.leaks.book import in_model, known_leaks, load_book
from twin.leaks.gathering import Gathered, TagLeftOut, gather
from twin.leaks.records import (
    LEVELS,
    MAX_CANDIDATES_IN_EVENT,
    Candidate,
    Inputs,
    LeakRun,
    SensorResidual,
    find_run,
    load_run,
    load_runs,
    to_event,
)
from twin.leaks.reference import choose_reference
from twin.leaks.windows import Window, check_apart
from twin.networks import load_model, load_network, model_path
from twin.ports import Journal, Record

__all__ = [
    "Computed",
    "LeakRun",
    "RunDetail",
    "compute_leak",
    "keep_leak",
    "load_detail",
    "load_run",
    "load_runs",
    "run_leak",
]

_ID_DIGITS = 12
_VERSIONS_OF = ("watercourse", "wntr", "owa-epanet", "numpy", "scipy")


@dataclass(frozen=True, slots=True)
class Computed:
    """A run before it is recorded, with the files to keep; of a recorded one, no files."""

    run: LeakRun
    files: tuple[bytes, ...]


def run_leak(  # noqa: PLR0913 - what decides the answer, each by name
    journal: Journal,
    network: str,
    window: Window,
    reference: Window | None = None,
    *,
    clock: Clock,
    seed: int = 1,
    progress: Progress | None = None,
) -> LeakRun:
    """Localize the leak that shows in a window, and record the run.

    Args:
        journal: The ledger.
        network: Name of the network.
        window: Where the leak shows.
        reference: A leak-free window; None takes the longest recorded one before the window.
        clock: Says when it was computed.
        seed: Seed of what is random.
        progress: Told of each step.

    Returns:
        The run, recorded. Identical inputs return the run that is recorded already.

    Raises:
        NotFoundError: No such network.
        WindowError: The windows overlap.
        NoReadingsError: A window holds no usable pressure reading.
        BookError: A found leak begins or ends inside a window.
        HydraulicsError: EPANET cannot solve the model at these boundaries.
    """
    computed = compute_leak(
        journal, network, window, reference, clock=clock, seed=seed, progress=progress
    )
    return keep_leak(journal, computed)


def compute_leak(  # noqa: PLR0913 - what decides the answer, each by name
    record: Record,
    network: str,
    window: Window,
    reference: Window | None = None,
    *,
    clock: Clock,
    seed: int = 1,
    progress: Progress | None = None,
) -> Computed:
    """Localize as `run_leak` does, without writing, so that nobody waits for the ledger's lock."""
    tell = progress or _tell_nobody
    if reference is not None:
        check_apart(window, reference)
    found = load_network(record, network)
    book = load_book(record, network)
    chosen, said = choose_reference(record, network, window, reference, book)
    with tempfile.TemporaryDirectory(prefix="watercourse-") as folder:
        inp = model_path(record, found, Path(folder))
        model = load_model(record, found)
        tell("gather readings", 0, 1)
        gathered = gather(record, found, model, window, chosen)
        tell("gather readings", 1, 1)
        settings = LocalizeSettings()
        known = known_leaks(book, window, chosen)
        inputs = _inputs(found, window, (chosen, said), gathered, seed, settings)
        inputs = replace(inputs, known=tuple(known))
        run_id = run_id_of(network, inputs)
        recorded = find_run(record, run_id, network)
        if recorded is not None:
            return Computed(recorded, ())
        answer = localize(
            inp,
            model,
            gathered.measurements,
            in_model(known, model),
            seed=seed,
            settings=settings,
            progress=tell,
        )
    return _computed(run_id, found, model, inputs, gathered, answer, clock())


def keep_leak(journal: Journal, computed: Computed) -> LeakRun:
    """Record a computed run; one that was recorded in the meantime is not recorded twice."""
    known = find_run(journal, computed.run.run_id, computed.run.network)
    if known is not None:
        return known
    for content in computed.files:
        journal.keep_file(content)
    (ref,) = journal.record([to_event(computed.run)])
    return replace(computed.run, evidence=ref)


def run_id_of(network: str, inputs: Inputs) -> str:
    """Return `leak-` and twelve hex digits of a hash over what decides the answer.

    Places in the ledger and how the reference was chosen do not count: the same readings give the
    same id in another home.
    """
    decides = {
        "network": network,
        "inp": inputs.inp_sha256,
        "readings": inputs.readings_sha256,
        "window": dataclasses.astuple(inputs.window),
        "reference": dataclasses.astuple(inputs.reference) if inputs.reference else None,
        "seed": inputs.seed,
        "settings": dict(inputs.settings),
        "versions": dict(inputs.versions),
        "known": [dataclasses.astuple(one) for one in inputs.known],
    }
    text = json.dumps(decides, sort_keys=True, allow_nan=False)
    return f"leak-{hashlib.sha256(text.encode()).hexdigest()[:_ID_DIGITS]}"


def _inputs(  # noqa: PLR0913, PLR0917 - each is one of the inputs
    network: Network,
    window: Window,
    reference: tuple[Window | None, str],
    gathered: Gathered,
    seed: int,
    settings: LocalizeSettings,
) -> Inputs:
    return Inputs(
        window=window,
        reference=reference[0],
        reference_said=reference[1],
        seed=seed,
        settings=_plain_settings(settings),
        versions=_versions(),
        inp_sha256=network.inp_sha256,
        readings_sha256=gathered.readings_sha256,
        places_sha256=gathered.places_sha256,
        n_readings=gathered.n_readings,
        n_rows=len(gathered.at_ns),
        step_s=gathered.step_s,
        known=(),
    )


def _plain_settings(settings: LocalizeSettings) -> Mapping[str, Plain]:
    """Return the settings as plain data, in which a tuple is a list."""
    plain = json.loads(json.dumps(dataclasses.asdict(settings), allow_nan=False))
    return cast("Mapping[str, Plain]", plain)


def _versions() -> dict[str, str]:
    versions = {}
    for name in _VERSIONS_OF:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # run from a checkout that was not installed
            versions[name] = "not installed"
    return versions


def _computed(  # noqa: PLR0913, PLR0917 - the inputs and the answer
    run_id: str,
    network: Network,
    model: NetworkModel,
    inputs: Inputs,
    gathered: Gathered,
    answer: Localization,
    at_ns: int,
) -> Computed:
    candidates = _candidates(model, answer)
    residuals = _residuals(gathered, answer)
    posterior, residual_text = candidates_csv(candidates), residuals_json(residuals)
    zones = {level: zone(answer, int(level) / 100) for level in LEVELS}
    run = LeakRun(
        run_id=run_id,
        network=network.name,
        at_ns=at_ns,
        inputs=inputs,
        candidates=candidates[:MAX_CANDIDATES_IN_EVENT],
        n_candidates=len(candidates),
        zones={level: tuple(model.link_id[i] for i in pipes) for level, pipes in zones.items()},
        zone_length_m={level: float(model.length_m[pipes].sum()) for level, pipes in zones.items()},
        flow_low_m3s=float(answer.flow_low_m3s),
        flow_high_m3s=float(answer.flow_high_m3s),
        evidence_ratio=float(answer.evidence_ratio),
        left_out=gathered.left_out + _left_out(gathered, answer),
        residuals=_summary(residuals),
        posterior_sha256=hashlib.sha256(posterior).hexdigest(),
        residuals_sha256=hashlib.sha256(residual_text).hexdigest(),
        map_sha256="",
    )
    drawn = zone_geojson(run, candidates, network, model)
    run = replace(run, map_sha256=hashlib.sha256(drawn).hexdigest())
    return Computed(run, (posterior, residual_text, drawn))


def _candidates(model: NetworkModel, answer: Localization) -> tuple[Candidate, ...]:
    rows = zip(answer.link, answer.probability, answer.place, answer.flow_m3s, strict=True)
    return tuple(
        Candidate(model.link_id[i], float(p), float(x), float(q), float(model.length_m[i]))
        for i, p, x, q in rows
    )


def _residuals(gathered: Gathered, answer: Localization) -> Residuals:
    is_current = ~gathered.measurements.is_reference
    model_s = gathered.measurements.model_time_s[is_current]
    at_ns = gathered.at_ns[is_current]
    since_s = np.interp(answer.time_s, model_s, (at_ns - at_ns[0]) / NS_PER_S)
    return Residuals(
        at_ns=at_ns[0] + np.round(since_s).astype(np.int64) * NS_PER_S,
        tags=tuple(series.tag for series in gathered.pressure_series),
        assets=tuple(series.asset for series in gathered.pressure_series),
        residual_m=answer.residual_m,
        explained_m=answer.explained_m,
        band_m=answer.normal_band_m,
    )


def _summary(residuals: Residuals) -> tuple[SensorResidual, ...]:
    rows = []
    for i, tag in enumerate(residuals.tags):
        used = np.isfinite(residuals.residual_m[:, i])
        explained = residuals.explained_m[used, i]
        rows.append(
            SensorResidual(
                tag,
                residuals.assets[i],
                int(used.sum()),
                _mean(residuals.residual_m[used, i]),
                _mean(explained[np.isfinite(explained)]),
                float(np.nan_to_num(residuals.band_m[i])),
            )
        )
    return tuple(rows)


def _mean(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    return float(values.mean()) if len(values) else 0.0


def _left_out(gathered: Gathered, answer: Localization) -> tuple[TagLeftOut, ...]:
    series = gathered.pressure_series
    return tuple(
        TagLeftOut(
            series[one.sensor].tag,
            series[one.sensor].asset,
            one.n_times,
            one.reason,
            one.is_whole,
        )
        for one in answer.left_out
    )


def _tell_nobody(step: str, done: int, total: int) -> None:
    """Tell nobody of progress."""
