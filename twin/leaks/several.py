"""Whether more leaks than one show in the window of a run, and where each is given the others.

It is worked out from the record when it is asked for. It is not recorded: a run stands for one
leak, which a crew confirms or not.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hydraulics.leaks.measurements import Localization, Measurements, Progress, zone
from hydraulics.leaks.several import SeveralLeaks, localize_several
from hydraulics.network import NetworkModel
from twin.events import Plain
from twin.leaks.book import in_model
from twin.leaks.gathering import Gathered, gather
from twin.leaks.records import LeakRun
from twin.networks import load_model, load_network, model_path
from twin.ports import Record

MOST_LEAKS = 4
_STRONG = 0.95
_ZONE = 0.9


@dataclass(frozen=True, slots=True)
class OneOfSeveral:
    """One leak beside others.

    Attributes:
        pipe_id: The most probable pipe.
        probability: Its probability.
        place: Fraction of the way from its start node.
        flow_m3s: Most probable outflow there [m³/s].
        flow_low_m3s: 5 % quantile of the outflow [m³/s].
        flow_high_m3s: 95 % quantile of the outflow [m³/s].
        zone_90: The fewest pipes that hold the leak with 90 %.
    """

    pipe_id: str
    probability: float
    place: float
    flow_m3s: float
    flow_low_m3s: float
    flow_high_m3s: float
    zone_90: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Several:
    """How many leaks show, and where.

    Attributes:
        number: Probability of one leak, of two, and so on as far as was tried.
        leaks: The leaks of the most probable number, the largest first.
    """

    number: tuple[float, ...]
    leaks: tuple[OneOfSeveral, ...]

    @property
    def is_more_than_one(self) -> bool:
        """Whether the evidence for a second leak is strong: above 95 %."""
        return len(self.leaks) > 1 and 1.0 - self.number[0] > _STRONG


def find_several(
    record: Record, run: LeakRun, *, most: int = MOST_LEAKS, progress: Progress | None = None
) -> Several:
    """Look for more leaks in what a run was worked out from.

    Sensors that the run left out altogether are left out here too.

    Args:
        record: The ledger.
        run: A computed run: its windows, known leaks and seed are taken.
        most: Most leaks to look for, at least 1.
        progress: Told of each step.

    Raises:
        NotFoundError: The run's network is gone.
        NoReadingsError: A window holds no usable pressure reading.
        HydraulicsError: EPANET cannot solve the model at these boundaries.
    """
    network = load_network(record, run.network)
    with tempfile.TemporaryDirectory(prefix="watercourse-") as folder:
        inp = model_path(record, network, Path(folder))
        model = load_model(record, network)
        gathered = gather(record, network, model, run.inputs.window, run.inputs.reference)
        found = localize_several(
            inp,
            model,
            _believed(gathered, run),
            in_model(run.inputs.known, model),
            most=most,
            seed=run.inputs.seed,
            progress=progress,
        )
    return _several(model, found)


def several_document(several: Several) -> Mapping[str, Plain]:
    """Return it as plain data: `several` with a leak an entry, and `number_of_leaks`."""
    leaks: list[Plain] = [
        {
            "pipe_id": one.pipe_id,
            "probability": one.probability,
            "place": one.place,
            "flow_m3s": one.flow_m3s,
            "flow_low_m3s": one.flow_low_m3s,
            "flow_high_m3s": one.flow_high_m3s,
            "zone_90": list(one.zone_90),
        }
        for one in several.leaks
    ]
    return {
        "several": leaks,
        "number_of_leaks": list(several.number),
        "second_leak_is_evident": several.is_more_than_one,
    }


def _believed(gathered: Gathered, run: LeakRun) -> Measurements:
    gone = {one.tag for one in run.left_out if one.is_whole}
    is_gone = np.array([one.tag in gone for one in gathered.pressure_series], dtype=np.bool_)
    seen = gathered.measurements
    return replace(seen, pressure_m=np.where(is_gone[None, :], np.nan, seen.pressure_m))


def _several(model: NetworkModel, found: SeveralLeaks) -> Several:
    return Several(
        tuple(float(one) for one in found.number), tuple(_one(model, one) for one in found.leaks)
    )


def _one(model: NetworkModel, found: Localization) -> OneOfSeveral:
    return OneOfSeveral(
        pipe_id=model.link_id[found.link[0]],
        probability=float(found.probability[0]),
        place=float(found.place[0]),
        flow_m3s=float(found.flow_m3s[0]),
        flow_low_m3s=found.flow_low_m3s,
        flow_high_m3s=found.flow_high_m3s,
        zone_90=tuple(model.link_id[link] for link in zone(found, _ZONE)),
    )
