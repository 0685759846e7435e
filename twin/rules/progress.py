"""How far the rules have come, read from what they recorded: nothing is judged twice."""

from __future__ import annotations

from collections import defaultdict

from twin.evaluations import (
    Evaluation,
    Scope,
    SeriesKey,
    Standing,
    Verdict,
    iter_evaluations,
)
from twin.ports import Record

_Key = tuple[str, SeriesKey]


class JudgedSoFar:
    """What the recorded evaluations of a network say of each rule version and series.

    One may be kept between calls of `twin.rules.run.evaluate`, which then reads only what is new.
    """

    def __init__(self, network: str) -> None:
        self.network = network
        self._height = 0
        self._standing: dict[_Key, Standing] = {}
        self._transitions: defaultdict[_Key, set[tuple[Verdict, int]]] = defaultdict(set)

    def catch_up(self, record: Record) -> None:
        """Read the evaluations that were recorded since the last time."""
        height = record.height
        for evaluation in iter_evaluations(record, self.network, from_height=self._height):
            self._absorb(evaluation)
        self._height = max(height, self._height)

    def standing(self, version: str, series: SeriesKey) -> Standing | None:
        """Return how a rule stands with a series, None if it has not judged it yet."""
        return self._standing.get((version, series))

    def holds(self, evaluation: Evaluation) -> bool:
        """Return whether this transition is recorded: a crash may have cut a batch short."""
        known = self._transitions.get((evaluation.rule.version, evaluation.series), set())
        if evaluation.verdict is Verdict.NOT_JUDGED:  # said once, whenever it was
            return any(verdict is Verdict.NOT_JUDGED for verdict, _ in known)
        return (evaluation.verdict, evaluation.at_ns) in known

    def _absorb(self, evaluation: Evaluation) -> None:
        version = evaluation.rule.version
        if evaluation.scope is Scope.TRANSITION:
            found = self._transitions[version, evaluation.series]
            found.add((evaluation.verdict, evaluation.at_ns))
            return
        for part in evaluation.parts:
            self._standing[version, part.series] = part.standing
            self._forget(version, part.series, part.standing.next_ns)

    def _forget(self, version: str, series: SeriesKey, before_ns: int) -> None:
        """Drop transitions that lie behind the cursor: they cannot come again."""
        known = self._transitions.get((version, series))
        if known:
            late = {t for t in known if t[1] >= before_ns or t[0] is Verdict.NOT_JUDGED}
            self._transitions[version, series] = late
