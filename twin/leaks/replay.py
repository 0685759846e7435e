"""Work a recorded run out again from what the ledger held then, and say whether it is the same.

The windows, the settings, the seed and the found leaks are those that the run names; the network
and the readings are those of the blocks that it read. What came later changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hydraulics.leaks.measurements import Progress
from twin.errors import RefusedError
from twin.leaks.asked import versions_now
from twin.leaks.computing import Question, read_settings, work_out
from twin.leaks.past import RecordUntil
from twin.leaks.records import Candidate, Inputs, LeakRun, load_run
from twin.ports import Record

LARGEST_DIFFERENCE = 1e-6
"""Probabilities that differ by less, and flows by less of themselves, are the same: other machines
round otherwise."""
_INPUTS = (
    *("inp_sha256", "readings_sha256", "places_sha256"),
    *("n_readings", "n_rows", "step_s"),
)


class SettingsGoneError(RefusedError):
    """The settings of a run are of another version, which is not installed."""

    def __init__(self, run_id: str, reason: str) -> None:
        super().__init__(run_id, reason)
        self.run_id = run_id
        self.reason = reason

    def __str__(self) -> str:
        return f"leak run {self.run_id} has settings that this version does not know: {self.reason}"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it was recorded.

    Attributes:
        name: Name of the field.
        recorded: What the run says, as text.
        again: What came out again, as text.
    """

    name: str
    recorded: str
    again: str


@dataclass(frozen=True, slots=True)
class Replay:
    """A recorded run, and the same worked out again.

    Attributes:
        recorded: The run as it is recorded.
        again: The run as it came out now.
        differences: What is not the same; none where the run is reproduced.
        is_to_the_byte: Whether all kept files came out with the hashes that the run names.
        largest_difference: Largest difference of any candidate's probability.
        other_versions: Versions that are not those of the run, as (name, then, now).
    """

    recorded: LeakRun
    again: LeakRun
    differences: tuple[Difference, ...]
    is_to_the_byte: bool
    largest_difference: float
    other_versions: tuple[tuple[str, str, str], ...]

    @property
    def is_same(self) -> bool:
        """Whether the run is reproduced."""
        return not self.differences


def replay_run(record: Record, run_id: str, progress: Progress) -> Replay:
    """Work a recorded run out again; nothing is recorded.

    Raises:
        NotFoundError: No such run, or the ledger does not keep its network's file.
        SettingsGoneError: This version does not know its settings.
        NoReadingsError: Its windows hold no usable pressure reading.
        HydraulicsError: EPANET cannot solve the model at these boundaries.
    """
    run = load_run(record, run_id)
    seen = RecordUntil(record, _height(run))
    again = work_out(seen, _question(run), lambda: run.at_ns, progress, lambda _: None).run
    now, then = versions_now(), run.inputs.versions
    names = sorted({*now, *then})
    pairs = ((name, then.get(name, "none"), now.get(name, "none")) for name in names)
    return Replay(
        recorded=run,
        again=again,
        differences=tuple(_differences(run, again)),
        is_to_the_byte=_hashes(run) == _hashes(again),
        largest_difference=_largest(run.candidates, again.candidates),
        other_versions=tuple(pair for pair in pairs if pair[1] != pair[2]),
    )


def _height(run: LeakRun) -> int:
    """Return how many blocks the run read; older runs read what stood before them."""
    place = run.evidence
    assert place is not None, "what is loaded is recorded"
    return run.inputs.record_height or place.height


def _question(run: LeakRun) -> Question:
    inputs = run.inputs
    try:
        settings = read_settings(inputs.settings)
    except (TypeError, KeyError) as error:
        raise SettingsGoneError(run.run_id, str(error)) from error
    return Question(
        network=run.network,
        window=inputs.window,
        reference=inputs.reference,
        reference_said=inputs.reference_said,
        seed=inputs.seed,
        settings=settings,
        most_leaks=inputs.most_leaks,
        known=inputs.known,
    )


def _hashes(run: LeakRun) -> tuple[str, ...]:
    several = "" if run.several is None else run.several.sha256
    return run.posterior_sha256, run.residuals_sha256, run.map_sha256, several


def _differences(run: LeakRun, again: LeakRun) -> Iterator[Difference]:
    yield from _of_inputs(run.inputs, again.inputs)
    for level, pipes in run.zones.items():
        if pipes != again.zones[level]:
            yield Difference(f"zone {level} %", _listed(pipes), _listed(again.zones[level]))
    largest = _largest(run.candidates, again.candidates)
    if largest > LARGEST_DIFFERENCE:
        yield Difference("candidates", "0", f"{largest:.3g} in a probability")
    for name in ("flow_low_m3s", "flow_high_m3s", "evidence_ratio"):
        then, now = getattr(run, name), getattr(again, name)
        if not math.isclose(then, now, rel_tol=LARGEST_DIFFERENCE):
            yield Difference(name, repr(then), repr(now))
    if run.left_out != again.left_out:
        yield Difference("left out", str(len(run.left_out)), str(len(again.left_out)))
    yield from _of_several(run, again)


def _of_inputs(then: Inputs, now: Inputs) -> Iterator[Difference]:
    for name in _INPUTS:
        if getattr(then, name) != getattr(now, name):
            yield Difference(name, str(getattr(then, name)), str(getattr(now, name)))


def _of_several(run: LeakRun, again: LeakRun) -> Iterator[Difference]:
    then, now = run.several, again.several
    if then is None or now is None:
        if then is not now:
            yield Difference("several leaks", _answered(then), _answered(now))
        return
    pipes = [[one.pipe_id for one in several.leaks] for several in (then, now)]
    if pipes[0] != pipes[1]:
        yield Difference("several leaks", _listed(pipes[0]), _listed(pipes[1]))
    numbers = [*zip(then.number, now.number, strict=False)]
    is_as_many = len(then.number) == len(now.number)
    if not is_as_many or any(abs(a - b) > LARGEST_DIFFERENCE for a, b in numbers):
        yield Difference("number of leaks", str(then.number), str(now.number))


def _answered(several: object) -> str:
    return "no answer" if several is None else "an answer"


def _largest(then: Sequence[Candidate], now: Sequence[Candidate]) -> float:
    """Return the largest difference of a probability; of pipes that only one lists, all of it."""
    before = {one.pipe_id: one.probability for one in then}
    after = {one.pipe_id: one.probability for one in now}
    names = {*before, *after}
    return max(abs(before.get(one, 0.0) - after.get(one, 0.0)) for one in names)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
