"""A leak run as it is recorded, and back.

The event holds the zone, the first candidates and the hashes of everything; the whole posterior,
the residuals and the map are kept as files beside the blocks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from twin.errors import NotFoundError
from twin.events import Event, EventKind, Plain, Recorded, RecordRef
from twin.leaks.gathering import TagLeftOut
from twin.leaks.windows import Window
from twin.ports import Record

LEVELS = ("50", "80", "90", "95")
"""Zones are the fewest most probable pipes that reach these probabilities [%]."""
MAX_CANDIDATES_IN_EVENT = 50
MAX_ZONE_PIPES_IN_EVENT = 20_000
MAX_SENSORS_IN_EVENT = 1_000
NO_LEAK_EVIDENCE = 3.0
"""Below this ln of the evidence ratio (20 to 1), the data do not ask for a leak."""
MOST_LEAKS = 4
"""More leaks than these are not looked for at once."""
STRONG = 0.95
"""From this probability on, more leaks than one are taken for shown."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One pipe that the leak may be on.

    Attributes:
        pipe_id: EPANET id.
        probability: Posterior probability, 0..1.
        place: Most probable place in it, fraction of the way from the start node.
        flow_m3s: Most probable outflow [m³/s].
        length_m: Length of the pipe [m].
    """

    pipe_id: str
    probability: float
    place: float
    flow_m3s: float
    length_m: float


@dataclass(frozen=True, slots=True)
class SensorResidual:
    """What one sensor saw, in short.

    Attributes:
        tag: The source's own name.
        asset: Full name of its node.
        n_times: Rows of the current window that were used.
        mean_m: Mean residual without a leak in the model [m]; below 0 is less pressure.
        explained_m: Mean of what the most probable leak explains of it [m].
        band_m: Standard deviation of a leak-free residual [m].
    """

    tag: str
    asset: str
    n_times: int
    mean_m: float
    explained_m: float
    band_m: float


@dataclass(frozen=True, slots=True)
class KnownInModel:
    """A found leak that stayed in the model.

    Attributes:
        run_id: The run that found it.
        pipe_id: EPANET id of its pipe.
        place: Fraction of the way from the start node.
        flow_m3s: Outflow when it was found [m³/s].
        is_in_reference: Whether it already ran in the reference window.
    """

    run_id: str
    pipe_id: str
    place: float
    flow_m3s: float
    is_in_reference: bool


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything that decides what a run answers.

    Attributes:
        window: The window that was searched.
        reference: The leak-free window, None where there was none.
        reference_said: How the reference came to be, one sentence.
        seed: Seed of what is random.
        settings: The localization's settings.
        versions: Versions of what computed it.
        inp_sha256: Hash of the EPANET file.
        readings_sha256: Hash over series, times, values and qualities of the readings used.
        places_sha256: Hash over the places of the same readings in the ledger.
        n_readings: How many readings were used.
        n_rows: How many times the grid has, both windows together.
        step_s: Seconds between two rows of the grid.
        known: Found leaks that stayed in the model.
        most_leaks: Most leaks that were looked for at once.
        record_height: Blocks of the ledger that were read, 0 in runs from before this was kept.
    """

    window: Window
    reference: Window | None
    reference_said: str
    seed: int
    settings: Mapping[str, Plain]
    versions: Mapping[str, str]
    inp_sha256: str
    readings_sha256: str
    places_sha256: str
    n_readings: int
    n_rows: int
    step_s: float
    known: tuple[KnownInModel, ...]
    most_leaks: int = 1
    record_height: int = 0


@dataclass(frozen=True, slots=True)
class OneOfSeveral:
    """One leak beside others.

    Attributes:
        pipe_id: The pipe to begin at: from none is more of the probability within 300 m.
        probability: That it is on that pipe.
        place: Fraction of the way from its start node.
        flow_m3s: Most probable outflow there [m³/s].
        flow_low_m3s: 5 % quantile of the outflow [m³/s].
        flow_high_m3s: 95 % quantile of the outflow [m³/s].
        zone_sizes: By level, how many pipes hold it; they are the first of its kept candidates.
        zone_length_m: Metres of pipe in each zone.
    """

    pipe_id: str
    probability: float
    place: float
    flow_m3s: float
    flow_low_m3s: float
    flow_high_m3s: float
    zone_sizes: Mapping[str, int]
    zone_length_m: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Several:
    """How many leaks show, and where each is given the others.

    Attributes:
        number: Probability of one leak, of two, and so on as far as was tried.
        leaks: The leaks of the most probable number, the largest first.
        sha256: The kept CSV of each leak's 95 % zone.
    """

    number: tuple[float, ...]
    leaks: tuple[OneOfSeveral, ...]
    sha256: str

    @property
    def probability_of_more(self) -> float:
        """Probability of more leaks than one."""
        return 1.0 - self.number[0]

    @property
    def is_more_than_one(self) -> bool:
        """Whether the evidence for a second leak is strong: above 95 %."""
        return len(self.leaks) > 1 and self.probability_of_more > STRONG


@dataclass(frozen=True, slots=True)
class LeakRun:
    """A localization: where one new leak may be, and what that rests on.

    Attributes:
        run_id: `leak-` and twelve hex digits of a hash over the inputs.
        network: Name of the network.
        at_ns: When it was computed.
        inputs: What decided the answer.
        candidates: The most probable pipes of one leak, best first, at most 50.
        n_candidates: How many pipes have a probability.
        zones: The same leak's pipe ids by level (`50`, `80`, `90`, `95`), best first.
        zone_length_m: Metres of pipe in each zone.
        flow_low_m3s: 5 % quantile of the outflow [m³/s].
        flow_high_m3s: 95 % quantile of the outflow [m³/s].
        evidence_ratio: ln of how much better one leak explains the data than none.
        left_out: Sensors and times not used, and why.
        residuals: What each sensor saw, in short.
        posterior_sha256: The kept CSV of all candidates.
        residuals_sha256: The kept JSON of all residuals.
        map_sha256: The kept GeoJSON of the zone, or where more leaks are evident, of each one's.
        several: Whether one leak is enough; None where that was not asked, or has no answer.
        evidence: Its place in the ledger, None before it is recorded.
    """

    run_id: str
    network: str
    at_ns: int
    inputs: Inputs
    candidates: tuple[Candidate, ...]
    n_candidates: int
    zones: Mapping[str, tuple[str, ...]]
    zone_length_m: Mapping[str, float]
    flow_low_m3s: float
    flow_high_m3s: float
    evidence_ratio: float
    left_out: tuple[TagLeftOut, ...]
    residuals: tuple[SensorResidual, ...]
    posterior_sha256: str
    residuals_sha256: str
    map_sha256: str
    several: Several | None = None
    evidence: RecordRef | None = field(default=None, compare=False)

    @property
    def best(self) -> Candidate:
        """The most probable pipe."""
        return self.candidates[0]

    @property
    def is_leak_evident(self) -> bool:
        """Whether the data ask for a leak at all.

        Several leaks that make up for one another may be explained by no single one.
        """
        return self.evidence_ratio >= NO_LEAK_EVIDENCE or self.is_more_than_one

    @property
    def is_more_than_one(self) -> bool:
        """Whether more leaks than one are evident: then the zones of `several` are to search."""
        return self.several is not None and self.several.is_more_than_one


def to_event(run: LeakRun) -> Event:
    """Return the event of a run; zones are prefixes of the widest, so only their sizes are kept."""
    widest = run.zones[LEVELS[-1]]
    body: dict[str, Plain] = {
        "inputs": _inputs_body(run.inputs),
        "candidates": _rows(run.candidates[:MAX_CANDIDATES_IN_EVENT]),
        "n_candidates": run.n_candidates,
        "zone": list(widest[:MAX_ZONE_PIPES_IN_EVENT]),
        "zone_sizes": {level: len(run.zones[level]) for level in LEVELS},
        "zone_length_m": dict(run.zone_length_m),
        "flow_low_m3s": run.flow_low_m3s,
        "flow_high_m3s": run.flow_high_m3s,
        "evidence_ratio": run.evidence_ratio,
        "left_out": _rows(run.left_out[:MAX_SENSORS_IN_EVENT]),
        "residuals": _rows(run.residuals[:MAX_SENSORS_IN_EVENT]),
        "posterior_sha256": run.posterior_sha256,
        "residuals_sha256": run.residuals_sha256,
        "map_sha256": run.map_sha256,
        "several": None if run.several is None else _several_body(run.several),
    }
    return Event(EventKind.LEAK_RUN, run.network, run.run_id, run.at_ns, body)


def from_event(recorded: Recorded) -> LeakRun:
    """Return the run that an event of kind `leak-run` holds."""
    event = recorded.event
    body = cast("Mapping[str, Any]", event.body)
    zone = tuple(body["zone"])
    return LeakRun(
        run_id=event.subject,
        network=event.network,
        at_ns=event.at_ns,
        inputs=_inputs_of(body["inputs"]),
        candidates=tuple(Candidate(*one) for one in body["candidates"]),
        n_candidates=body["n_candidates"],
        zones={level: zone[: body["zone_sizes"][level]] for level in LEVELS},
        zone_length_m={level: body["zone_length_m"][level] for level in LEVELS},
        flow_low_m3s=body["flow_low_m3s"],
        flow_high_m3s=body["flow_high_m3s"],
        evidence_ratio=body["evidence_ratio"],
        left_out=tuple(TagLeftOut(*one) for one in body["left_out"]),
        residuals=tuple(SensorResidual(*one) for one in body["residuals"]),
        posterior_sha256=body["posterior_sha256"],
        residuals_sha256=body["residuals_sha256"],
        map_sha256=body["map_sha256"],
        several=_several_of(body.get("several")),
        evidence=recorded.ref,
    )


def load_runs(record: Record, network: str | None = None) -> list[LeakRun]:
    """Return the recorded leak runs, oldest first; of all networks when none is named."""
    return [from_event(recorded) for recorded in record.events([EventKind.LEAK_RUN], network)]


def find_run(record: Record, run_id: str, network: str | None = None) -> LeakRun | None:
    """Return the run of that id, or None."""
    for recorded in record.events([EventKind.LEAK_RUN], network):
        if recorded.event.subject == run_id:
            return from_event(recorded)
    return None


def load_run(record: Record, run_id: str, network: str | None = None) -> LeakRun:
    """Return the run of that id.

    Raises:
        NotFoundError: No such run is recorded.
    """
    run = find_run(record, run_id, network)
    if run is None:
        raise NotFoundError("leak run", run_id, "twin leak runs lists them")
    return run


def _rows(
    found: Sequence[Candidate | TagLeftOut | SensorResidual | KnownInModel],
) -> list[Plain]:
    """Return dataclasses as lists in the order of their fields, which keeps proofs small."""
    return [list(dataclasses.astuple(one)) for one in found]


def _several_body(several: Several) -> dict[str, Plain]:
    return {
        "number": list(several.number),
        "leaks": [
            [
                *(one.pipe_id, one.probability, one.place),
                *(one.flow_m3s, one.flow_low_m3s, one.flow_high_m3s),
                [one.zone_sizes[level] for level in LEVELS],
                [one.zone_length_m[level] for level in LEVELS],
            ]
            for one in several.leaks
        ],
        "sha256": several.sha256,
    }


def _several_of(body: Mapping[str, Any] | None) -> Several | None:
    if body is None:
        return None
    return Several(
        tuple(body["number"]),
        tuple(
            OneOfSeveral(
                *(pipe_id, probability, place, flow_m3s, low_m3s, high_m3s),
                dict(zip(LEVELS, sizes, strict=True)),
                dict(zip(LEVELS, lengths_m, strict=True)),
            )
            for (
                *(pipe_id, probability, place, flow_m3s, low_m3s, high_m3s),
                sizes,
                lengths_m,
            ) in body["leaks"]
        ),
        body["sha256"],
    )


def _inputs_body(inputs: Inputs) -> dict[str, Plain]:
    body: dict[str, Plain] = {
        one.name: getattr(inputs, one.name)
        for one in dataclasses.fields(inputs)
        if one.name not in {"window", "reference", "known"}
    }
    body["settings"] = dict(inputs.settings)
    body["versions"] = dict(inputs.versions)
    body["window"] = [inputs.window.from_ns, inputs.window.to_ns]
    reference = inputs.reference
    body["reference"] = [reference.from_ns, reference.to_ns] if reference else None
    body["known"] = _rows(inputs.known)
    return body


def _inputs_of(body: Mapping[str, Any]) -> Inputs:
    return Inputs(
        **{
            **body,
            "window": Window(*body["window"]),
            "reference": _window_or_none(body["reference"]),
            "known": tuple(KnownInModel(*one) for one in body["known"]),
            "settings": dict(body["settings"]),
            "versions": dict(body["versions"]),
        }
    )


def _window_or_none(pair: Sequence[int] | None) -> Window | None:
    return Window(pair[0], pair[1]) if pair else None
