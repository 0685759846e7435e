"""The search for one more leak, day by day."""

from __future__ import annotations

import numpy as np

from hydraulics.leaks.stream.alarms import CalmModel, evidence_for, highest_gains
from hydraulics.leaks.stream.book import Followed
from hydraulics.leaks.stream.evidence import White, speaks_for
from hydraulics.leaks.stream.growth import growths, window_before
from hydraulics.leaks.stream.happenings import Happening, HappeningKind, about_leak
from hydraulics.leaks.stream.judged import JudgedDays
from hydraulics.leaks.stream.known import Waiting
from hydraulics.leaks.stream.places import Found, Places
from hydraulics.leaks.stream.settings import StreamSettings
from hydraulics.leaks.stream.settling import leak_of, settle
from hydraulics.leaks.stream.telling import asked_probability, waited_days

_SHORTER = 1.05
"""How much more a longer window must explain than a shorter one."""
_HOPEFUL = 0.7
"""Share of the wanted probability from which a leak is tried in the model."""
_GROWN, _FORGETS = 1.2, 0.9
"""What failed once is tried again when it explains more by this, a tenth less with each day."""
_USER_MARGIN = 3.0
"""ln by which a leak of one day must explain more than any one user that takes more."""
_MOST_BY_A_USER = 3.0
"""How much more, relative, one user may take."""
_BACK_DAYS = 4
"""Days within which a leak at the same place is the one that was taken for repaired."""
_FRESH_DAYS = 3
"""Days in which what is found near a new leak is taken for a part of it."""
_ALIKE = 1.5
"""How many times larger it may then be, or smaller."""


class Search:
    """Looks for leaks, and remembers what it suspected and what failed.

    Attributes:
        evidence: ln-likelihood that a leak must gain before it is looked at.
    """

    def __init__(self, days: JudgedDays, places: Places, settings: StreamSettings) -> None:
        self._days, self._places, self._settings = days, places, settings
        self._book = days.book
        self._suspect: dict[int, int] = {}
        self._misfits: dict[int, float] = {}
        self._failed_gain = 0.0
        self._waiting: Found | None = None
        self.evidence = float("inf")

    def expect(self, days: range) -> None:
        """Work out what a leak must gain, from how calibrated days scatter."""
        window, lasting, daily = self._days.spreads(days)
        settings, effects = self._settings, self._places.effects(window)
        calm = CalmModel(lasting, daily, settings.windows, effects, settings.least_flow_m3s)
        highest = highest_gains(calm, self._places.is_near)
        asked = evidence_for(highest, settings.false_alarms_per_year)
        self.evidence = max(asked, settings.least_evidence)

    def look(self, day: int) -> list[Happening] | None:
        """Put one more leak into the book and tell it.

        None where there is none, or none that can be told yet; nothing is told of a leak that was
        called before and taken for repaired.
        """
        found = self.best_window(day)
        self._waiting = found if found.gain >= self.evidence else None
        if not self._is_suspect(found, day) or not self._is_worth_trying(found, day):
            return None
        told = self._tried(found, day)
        self._waiting = None if told is not None else self._waiting
        return told

    def waiting(self, day: int) -> Waiting:
        """Return a leak that enough speaks for on the last day and that was not called yet.

        Near a known leak it waits for one day only, and by a new one not at all: those may just
        have been larger than was thought.
        """
        if self._waiting is None:
            return None
        here, last = self._waiting.ranking.best, self._suspect.get(day - 1)
        is_first = last is None or not self._places.are_near(last, here)
        for leak in self._book.open:
            is_settled = is_first and day - leak.found > _FRESH_DAYS
            if self._places.are_near(here, self._places.position(leak)) and not is_settled:
                return None
        return here, self._waiting.flow_m3s

    def best_window(self, day: int) -> Found:
        """Return what the window that says most for a leak that still runs says.

        What is over would else hide, for as long as the longest window, what began since.
        """
        best: Found | None = None
        over: Found | None = None
        for n_days in self._settings.windows:
            days = self._days.recent(day, n_days)
            window = window_before(self._days, days, days)
            found = self._places.found(window, len(days))
            if found.gain >= self.evidence and not self._still_runs(found, day):
                over = over or found
            elif best is None or found.gain > _SHORTER * best.gain:
                best = found
            if days.start == self._days.first:
                break
        chosen = best or over
        assert chosen is not None, "there is a window of one day"
        return chosen

    def is_convincing(self, found: Found) -> bool:
        """Whether what was found is a leak, without trying it in EPANET."""
        settings = self._settings
        is_sure = found.near.probability >= settings.call_probability
        is_large = found.flow_m3s >= settings.least_flow_m3s
        is_gain = found.gain >= settings.running_evidence
        return is_gain and is_sure and is_large and not found.is_one_sensor

    def _is_suspect(self, found: Found, day: int) -> bool:
        """Whether enough speaks for a leak, and did so for the same place the day before."""
        settings, here = self._settings, found.ranking.best
        if found.gain < self.evidence:
            return False
        last, self._suspect[day] = self._suspect.get(day - 1), here
        if last is not None and self._places.are_near(last, here):
            return True
        return found.gain >= settings.strong_evidence and not self._is_one_user(found, day)

    def _is_one_user(self, found: Found, day: int) -> bool:
        """Whether one user that takes more explains as much, so that another day must tell."""
        days = self._days.recent(day, found.n_days)
        window = window_before(self._days, days, days)
        gain, more = White(window).gain_of(window.users)
        gain = np.where((more > 0) & (more < _MOST_BY_A_USER), gain, 0.0)
        return float(gain.max()) > found.gain - _USER_MARGIN

    def _still_runs(self, found: Found, day: int) -> bool:
        """Whether the last day's afternoon speaks for the leak: what is over is none."""
        since = self._days.recent(day, found.n_days)
        window = window_before(self._days, range(day, day + 1), since)
        late = self._days.afternoon_of(window)
        return speaks_for(late, self._places.effects(late)[:, found.ranking.best] * found.flow_m3s)

    def _is_worth_trying(self, found: Found, day: int) -> bool:
        if found.is_one_sensor or not self._still_runs(found, day):
            return False
        if found.near.probability < _HOPEFUL * self._settings.call_probability:
            return False
        if found.gain < _GROWN * self._failed_gain:
            self._failed_gain *= _FORGETS
            return False
        return True

    def _tried(self, found: Found, day: int) -> list[Happening] | None:
        """Put a leak into the model, place it there anew, and call it if that convinces."""
        days = self._days.recent(day, found.n_days)
        leak = leak_of(found, self._places, days)
        leak.gain = found.gain / self.evidence
        taken = self._take_back(days)
        placed = settle(self._days, self._places, leak, found, days)
        if not self._may_call(placed, day):
            self._give_again(taken, days)
            self._days.sign(self._days.recent(day))
            is_misfit = placed.ranking.misfit > self._settings.worst_misfit
            self._failed_gain = 0.0 if is_misfit else found.gain
            return None
        self._failed_gain = 0.0
        self._book.open.append(leak)
        self._days.judge_again(days)
        leak.called, leak.probability = placed.near.pipe, placed.near.probability
        if self._is_back(leak, day):
            return []
        return [about_leak(HappeningKind.CALL, leak, int(self._places.pipes[leak.called]), day)]

    def _take_back(self, days: range) -> list[tuple[Followed, dict[int, float]]]:
        """Judge some days as if known leaks had not grown at once; return what they had lost."""
        grew = [one for one in growths(self._book, days) if one.is_sudden]
        taken = [(one.leak, dict(one.leak.past_m3s)) for one in grew]
        for one in grew:
            one.leak.take(days, one.before_m3s)
        if grew:
            self._days.judge_again(days)
        return taken

    def _give_again(self, taken: list[tuple[Followed, dict[int, float]]], days: range) -> None:
        for leak, past in taken:
            leak.past_m3s = past
            leak.flow_m3s = past[max(past)]
        if taken:
            self._days.judge_again(days)

    def _may_call(self, placed: Found, day: int) -> bool:
        """Whether a leak is placed well enough, by a model that fits well enough."""
        settings, misfit = self._settings, placed.ranking.misfit
        n_days = waited_days(self._suspect, day, self._places.are_near)
        wanted = asked_probability(n_days, settings.call_probability)
        if placed.near.probability < wanted:
            return False
        if placed.flow_m3s < settings.least_flow_m3s:
            return False
        last, self._misfits[day] = self._misfits.get(day - 1, 0.0), misfit
        return misfit <= settings.worst_misfit or last > settings.worst_misfit

    def _is_back(self, leak: Followed, day: int) -> bool:
        """Whether a leak is one that was taken for repaired a few days ago, of a similar size."""
        for old in self._book.closed:
            assert old.closed is not None, "it is closed"
            is_alike = leak.flow_m3s / _ALIKE < old.flow_m3s < leak.flow_m3s * _ALIKE
            is_recent = is_alike and not old.is_mended and day - old.closed <= _BACK_DAYS
            if is_recent and self._places.are_near(old.called, leak.called):
                leak.called, leak.onset = old.called, old.onset
                leak.past_m3s = {**old.past_m3s, **leak.past_m3s}
                self._book.closed.remove(old)
                return True
        return False
