"""Whether more leaks than one show in the window of a run, and where each is given the others."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hydraulics.errors import HydraulicsError
from hydraulics.leaks.measurements import KnownLeak, Localization, Measurements, Progress, zone
from hydraulics.leaks.settings import LocalizeSettings
from hydraulics.leaks.several import localize_several
from hydraulics.network import NetworkModel
from twin.events import Plain
from twin.leaks.artefacts import RunDetail, several_csv
from twin.leaks.gathering import Gathered
from twin.leaks.placed import several_placed
from twin.leaks.records import LEVELS, Candidate, OneOfSeveral, Several


@dataclass(frozen=True, slots=True)
class FoundSeveral:
    """What a search for several leaks told, the 95 % zone of each, and the file to keep."""

    several: Several
    zones: tuple[tuple[Candidate, ...], ...]
    content: bytes


def find_several(  # noqa: PLR0913 - each is a thing of its own
    inp: Path,
    model: NetworkModel,
    gathered: Gathered,
    known: list[KnownLeak],
    *,
    gone: Collection[str],
    most: int,
    seed: int,
    settings: LocalizeSettings,
    progress: Progress,
) -> FoundSeveral | None:
    """Look for more leaks in what a run sees; None where EPANET finds no state for an answer.

    Args:
        inp: The network's EPANET file.
        model: The same network as arrays.
        gathered: What the run sees.
        known: Found leaks that stay in the model.
        gone: Tags of sensors that the run left out altogether; they are left out here too.
        most: Most leaks to look for, 2 at least.
        seed: Seed of what is random.
        settings: The run's.
        progress: Told of each step.
    """
    try:
        found = localize_several(
            inp,
            model,
            _believed(gathered, gone),
            known,
            most=most,
            seed=seed,
            settings=settings,
            progress=progress,
        )
    except HydraulicsError:
        return None  # the run has an answer of its own, and says that this one is missing
    zones = tuple(_zone(model, one) for one in found.leaks)
    named = [pipes[at] for pipes, at in zip(zones, found.amid, strict=True)]
    leaks = tuple(map(_one, named, found.leaks, [model] * len(zones)))
    content = several_csv(several_placed(leaks, zones))
    number = tuple(float(one) for one in found.number)
    digest = hashlib.sha256(content).hexdigest()
    return FoundSeveral(Several(number, leaks, digest), zones, content)


def several_document(detail: RunDetail) -> Mapping[str, Plain]:
    """Return it as plain data: `several` with a leak an entry, null where there is no answer."""
    several = detail.run.several
    if several is None:
        return {"several": None, "number_of_leaks": None, "second_leak_is_evident": None}
    leaks: list[Plain] = [
        {
            "pipe_id": one.pipe_id,
            "probability": one.probability,
            "place": one.place,
            "flow_m3s": one.flow_m3s,
            "flow_low_m3s": one.flow_low_m3s,
            "flow_high_m3s": one.flow_high_m3s,
            "zone_90": [pipe.pipe_id for pipe in zone_90[: one.zone_sizes["90"]]],
            "zone_length_m": dict(one.zone_length_m),
        }
        for one, zone_90 in zip(several.leaks, detail.several, strict=True)
    ]
    return {
        "several": leaks,
        "number_of_leaks": list(several.number),
        "second_leak_is_evident": several.is_more_than_one,
    }


def _believed(gathered: Gathered, gone: Collection[str]) -> Measurements:
    is_gone = np.array([one.tag in gone for one in gathered.pressure_series], dtype=np.bool_)
    seen = gathered.measurements
    return replace(seen, pressure_m=np.where(is_gone[None, :], np.nan, seen.pressure_m))


def _zone(model: NetworkModel, found: Localization) -> tuple[Candidate, ...]:
    """Return the 95 % zone, the most probable pipe first."""
    n_pipes = len(zone(found, int(LEVELS[-1]) / 100))
    rows = zip(found.link, found.probability, found.place, found.flow_m3s, strict=True)
    return tuple(
        Candidate(model.link_id[i], float(p), float(x), float(q), float(model.length_m[i]))
        for (i, p, x, q), _ in zip(rows, range(n_pipes), strict=False)
    )


def _one(named: Candidate, found: Localization, model: NetworkModel) -> OneOfSeveral:
    zones = {level: zone(found, int(level) / 100) for level in LEVELS}
    return OneOfSeveral(
        pipe_id=named.pipe_id,
        probability=named.probability,
        place=named.place,
        flow_m3s=named.flow_m3s,
        flow_low_m3s=float(found.flow_low_m3s),
        flow_high_m3s=float(found.flow_high_m3s),
        zone_sizes={level: len(links) for level, links in zones.items()},
        zone_length_m={level: float(model.length_m[links].sum()) for level, links in zones.items()},
    )
