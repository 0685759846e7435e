"""Work out a run from what is asked and what is recorded, and write nothing.

The same question, readings and versions give the same run.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np

from hydraulics.leaks.localize import LocalizeSettings, localize
from hydraulics.leaks.measurements import Localization, Progress, zone
from hydraulics.leaks.prior import Scales
from hydraulics.network import NetworkModel
from twin.assets import Network
from twin.events import Plain
from twin.instants import NS_PER_S, Clock
from twin.leaks.artefacts import Residuals, candidates_csv, residuals_json, zone_geojson
from twin.leaks.asked import plain_settings, versions_now
from twin.leaks.book import in_model
from twin.leaks.gathering import Gathered, TagLeftOut, gather
from twin.leaks.past import RecordUntil
from twin.leaks.placed import placed_leaks
from twin.leaks.records import (
    LEVELS,
    MAX_CANDIDATES_IN_EVENT,
    Candidate,
    Inputs,
    KnownInModel,
    LeakRun,
    SensorResidual,
)
from twin.leaks.several import FoundSeveral, find_several
from twin.leaks.unmetered import unmetered
from twin.leaks.windows import Window
from twin.networks import load_model, load_network, model_path

_ID_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Question:
    """What a run is asked.

    Attributes:
        network: Name of the network.
        window: Where the leak shows.
        reference: The leak-free window, None where there is none.
        reference_said: How the reference came to be, one sentence.
        seed: Seed of what is random.
        settings: The localization's.
        most_leaks: Most leaks to look for at once; with 1 only the one is looked for.
        known: Found leaks that stay in the model.
    """

    network: str
    window: Window
    reference: Window | None
    reference_said: str
    seed: int
    settings: LocalizeSettings
    most_leaks: int
    known: tuple[KnownInModel, ...]


@dataclass(frozen=True, slots=True)
class Computed:
    """A run before it is recorded, with the files to keep; of a recorded one, no files."""

    run: LeakRun
    files: tuple[bytes, ...]


def work_out(
    record: RecordUntil,
    question: Question,
    clock: Clock,
    progress: Progress,
    known_run: Callable[[str], LeakRun | None],
) -> Computed:
    """Return the answer to a question.

    Args:
        record: The ledger, as far as it is read.
        question: What is asked.
        clock: Says when it is worked out.
        progress: Told of each step.
        known_run: Returns the recorded run of an id, if there is one, which is the answer then.

    Raises:
        NotFoundError: No such network.
        NoReadingsError: A window holds no usable pressure reading.
        HydraulicsError: EPANET cannot solve the model at these boundaries.
    """
    network = load_network(record, question.network)
    with tempfile.TemporaryDirectory(prefix="watercourse-") as folder:
        inp = model_path(record, network, Path(folder))
        model = load_model(record, network)
        progress("gather readings", 0, 1)
        gathered = gather(record, network, model, question.window, question.reference)
        progress("gather readings", 1, 1)
        inputs = _inputs(network, question, gathered, record.height)
        run_id = run_id_of(network.name, inputs)
        recorded = known_run(run_id)
        if recorded is not None:
            return Computed(recorded, ())
        answer = localize(
            inp,
            model,
            gathered.measurements,
            in_model(question.known, model),
            seed=question.seed,
            settings=question.settings,
            progress=progress,
        )
        several = _several(inp, model, question, gathered, answer, progress)
    return _computed(run_id, network, model, inputs, gathered, answer, several, clock())


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
        "most_leaks": inputs.most_leaks,
    }
    text = json.dumps(decides, sort_keys=True, allow_nan=False)
    return f"leak-{hashlib.sha256(text.encode()).hexdigest()[:_ID_DIGITS]}"


def read_settings(plain: Mapping[str, Plain]) -> LocalizeSettings:
    """Return the settings that a recorded run names.

    Raises:
        TypeError: They are of another version, with names that this one does not know.
    """
    known = dict(plain)
    scales = cast("Mapping[str, float]", known.pop("scales"))
    return LocalizeSettings(scales=Scales(**scales), **known)  # type: ignore[arg-type]


def _inputs(network: Network, question: Question, gathered: Gathered, height: int) -> Inputs:
    return Inputs(
        window=question.window,
        reference=question.reference,
        reference_said=question.reference_said,
        seed=question.seed,
        settings=plain_settings(question.settings),
        versions=versions_now(),
        inp_sha256=network.inp_sha256,
        readings_sha256=gathered.readings_sha256,
        places_sha256=gathered.places_sha256,
        n_readings=gathered.n_readings,
        n_rows=len(gathered.at_ns),
        step_s=gathered.step_s,
        known=question.known,
        most_leaks=question.most_leaks,
        record_height=height,
    )


def _several(  # noqa: PLR0913, PLR0917 - what the run has
    inp: Path,
    model: NetworkModel,
    question: Question,
    gathered: Gathered,
    answer: Localization,
    progress: Progress,
) -> FoundSeveral | None:
    """Ask whether one leak is enough, of the sensors that the run believed."""
    if question.most_leaks == 1:
        return None
    return find_several(
        inp,
        model,
        gathered,
        in_model(question.known, model),
        gone={one.tag for one in _left_out(gathered, answer) if one.is_whole},
        most=question.most_leaks,
        seed=question.seed,
        settings=question.settings,
        progress=progress,
    )


def _computed(  # noqa: PLR0913, PLR0917 - the inputs and the answer
    run_id: str,
    network: Network,
    model: NetworkModel,
    inputs: Inputs,
    gathered: Gathered,
    answer: Localization,
    several: FoundSeveral | None,
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
        left_out=(
            gathered.left_out
            + _left_out(gathered, answer)
            + unmetered(model, gathered.measurements)
        ),
        residuals=_summary(residuals),
        posterior_sha256=hashlib.sha256(posterior).hexdigest(),
        residuals_sha256=hashlib.sha256(residual_text).hexdigest(),
        map_sha256="",
        several=several.several if several else None,
    )
    leaks = placed_leaks(run, candidates, several.zones if several else ())
    drawn = zone_geojson(run, leaks, network, model)
    run = replace(run, map_sha256=hashlib.sha256(drawn).hexdigest())
    kept = () if several is None else (several.content,)
    return Computed(run, (posterior, residual_text, drawn, *kept))


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
