"""Judging one series: readings, a check and how the rule stood, to counts and transitions.

Pure, and the same however the readings are split: judging two halves one after the other gives the
transitions of judging the whole.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from twin.evaluations import ReadingPlace, Standing, Verdict
from twin.events import RecordRef
from twin.instants import NS_PER_S
from twin.readings import Column, FloatArray, Status
from twin.rules.rule import Check, margins

_OUTSIDE, _BETWEEN, _CLEAR = -1, 0, 1


@dataclass(frozen=True, slots=True)
class Transition:
    """A series began to exceed its limit, or recovered.

    Attributes:
        verdict: `exceeded` or `recovered`.
        since: First reading that spoke for it; of a recovery: first of the exceedance.
        decided: The reading that decided.
        value: Its value.
        margin: Its margin.
        worst_margin: Least margin of the exceedance so far.
    """

    verdict: Verdict
    since: ReadingPlace
    decided: ReadingPlace
    value: float
    margin: float
    worst_margin: float


@dataclass(frozen=True, slots=True)
class Judged:
    """What came of the readings of one series.

    Attributes:
        n_met: Readings within the limit.
        n_exceeded: Readings outside.
        n_not_judged: Readings of bad quality, or without a check.
        margin: Least margin, None where nothing was judged.
        transitions: In order of time.
        standing: How the rule stands now.
    """

    n_met: int
    n_exceeded: int
    n_not_judged: int
    margin: float | None
    transitions: tuple[Transition, ...]
    standing: Standing


def judge(column: Column, check: Check, standing: Standing) -> Judged:
    """Judge readings that are later than all that were judged before.

    Args:
        column: The readings, rising in time. Bad ones are counted and otherwise passed over.
        check: What they must keep to.
        standing: How the rule stood before them.
    """
    usable = column.quality // 8 != Status.BAD
    good = take(column, usable)
    margin = margins(good.value, check)
    transitions, standing = _transitions(good, margin, check, standing)
    return Judged(
        n_met=int((margin >= 0.0).sum()),
        n_exceeded=int((margin < 0.0).sum()),
        n_not_judged=int((~usable).sum()),
        margin=float(margin.min()) if len(margin) else None,
        transitions=tuple(transitions),
        standing=standing,
    )


def count(column: Column, check: Check, standing: Standing) -> Judged:
    """Judge readings one by one, without transitions: they arrived after later ones were judged."""
    return replace(judge(column, check, Standing()), transitions=(), standing=standing)


def pass_over(column: Column, standing: Standing) -> Judged:
    """Count readings that no check can be found for."""
    return Judged(0, 0, len(column), None, (), standing)


def place_of(column: Column, row: int) -> ReadingPlace:
    """Return when and where a reading is recorded."""
    ref = RecordRef(int(column.height[row]), int(column.leaf_index[row]))
    return ReadingPlace(int(column.time_ns[row]), ref)


def _transitions(
    column: Column, margin: FloatArray, check: Check, standing: Standing
) -> tuple[list[Transition], Standing]:
    # One step for each run of readings of one kind, not for each reading.
    found = []
    for kind, start, stop in _runs(margin, check.clear_margin):
        at = start
        while at < stop:
            transition, standing, at = _step(column, margin, check, standing, (kind, at, stop))
            if transition is not None:
                found.append(transition)
    return found, standing


def _runs(margin: FloatArray, clear_margin: float) -> list[tuple[int, int, int]]:
    """Return (kind, start, stop) of the longest runs of readings of one kind."""
    kind = np.where(margin < 0.0, _OUTSIDE, np.where(margin >= clear_margin, _CLEAR, _BETWEEN))
    if not len(kind):
        return []
    edges: npt.NDArray[np.intp] = np.flatnonzero(np.diff(kind)) + 1
    starts = [0, *edges.tolist()]
    stops = [*edges.tolist(), len(kind)]
    return [(int(kind[a]), a, b) for a, b in zip(starts, stops, strict=True)]


def _step(
    column: Column, margin: FloatArray, check: Check, standing: Standing, run: tuple[int, int, int]
) -> tuple[Transition | None, Standing, int]:
    """Take in a run of readings up to a transition; return it, the standing, and where to go on."""
    kind, start, stop = run
    contrary = _CLEAR if standing.is_open else _OUTSIDE
    if kind != contrary:
        return None, _settled(standing, margin[start:stop]), stop
    since = standing.contrary_since or place_of(column, start)
    due_ns = since.time_ns + check.min_duration_s * NS_PER_S
    decided = start + int(np.searchsorted(column.time_ns[start:stop], due_ns))
    seen = margin[start : min(decided + 1, stop)]
    worst = _least(standing.worst_margin, seen)
    if decided == stop:
        return None, replace(standing, contrary_since=since, worst_margin=worst), stop
    transition = Transition(
        verdict=Verdict.RECOVERED if standing.is_open else Verdict.EXCEEDED,
        since=(standing.opened or since) if standing.is_open else since,
        decided=place_of(column, decided),
        value=float(column.value[decided]),
        margin=float(margin[decided]),
        worst_margin=worst,
    )
    opened = None if standing.is_open else since
    after = replace(
        standing,
        is_open=not standing.is_open,
        opened=opened,
        contrary_since=None,
        worst_margin=worst if opened else None,
    )
    return transition, after, decided + 1


def _settled(standing: Standing, margin: FloatArray) -> Standing:
    """Return the standing after readings that speak for no change."""
    worst = _least(standing.worst_margin, margin) if standing.is_open else None
    return replace(standing, contrary_since=None, worst_margin=worst)


def _least(known: float | None, margin: FloatArray) -> float:
    least = float(margin.min())
    return least if known is None else min(known, least)


def take(column: Column, rows: npt.NDArray[np.bool_]) -> Column:
    """Return the chosen readings of a column."""
    return Column(
        column.series,
        column.time_ns[rows],
        column.value[rows],
        column.quality[rows],
        column.height[rows],
        column.leaf_index[rows],
    )
