"""Known leaks from day to day: how much they lose, where they lie, and when they end."""

from __future__ import annotations

import numpy as np

from hydraulics.leaks.stream.book import Followed
from hydraulics.leaks.stream.evidence import White, Window, speaks_for
from hydraulics.leaks.stream.happenings import Happening, HappeningKind, about_leak
from hydraulics.leaks.stream.judged import JudgedDays
from hydraulics.leaks.stream.places import Found, Places
from hydraulics.leaks.stream.settings import StreamSettings
from hydraulics.leaks.stream.settling import LEAST_M3S, place
from hydraulics.leaks.stream.telling import YOUNG_DAYS, is_elsewhere, is_told_again
from hydraulics.network import FloatArray

_FRESH_DAYS = 3
"""Days in which the size of a new leak may change freely."""
_RELOCATE_MOST = 14
_GROWS_M3S = 0.25 / 3_600.0
_FEW_DAYS = 2
_GONE = 0.1
"""Share of its largest outflow below which a leak no longer runs."""

Waiting = tuple[int, float] | None
"""Position and size [m³/s] of a leak that may run and is not called yet."""


class KnownLeaks:
    """Follows the leaks of the book."""

    def __init__(self, days: JudgedDays, places: Places, settings: StreamSettings) -> None:
        self._days, self._places, self._settings = days, places, settings
        self._book = days.book

    def repairs(self, day: int) -> list[Happening]:
        """Close leaks whose end a day's readings ask for."""
        told: list[Happening] = []
        while self._book.open:
            leak = self._repaired(day)
            if leak is None:
                break
            self._book.close(leak, day)
            self._days.judge_again(range(day, day + 1))
            told.append(self.tell(HappeningKind.REPAIRED, leak, day))
        return told

    def follow(self, day: int, waiting: Waiting = None) -> None:
        """Let known leaks take what a day's residual says of their sizes.

        Args:
            day: The day.
            waiting: A leak that may run beside them and is not called yet.
        """
        if not self._book.open or not self._days.is_read(day):
            return
        window = self._days.window(range(day, day + 1))
        window = self._beside(window, waiting)
        columns = self._days.columns(window, self._book.open)
        flow = self._flows()
        new = np.maximum(flow + self._changes(window, columns, flow, day), LEAST_M3S)
        self._days.take_off(day, window, columns @ (new - flow))
        for leak, flow_m3s in zip(list(self._book.open), new, strict=True):
            leak.take([day], float(flow_m3s))
            leak.grow_steady(day)
            if flow_m3s < _GONE * leak.most_m3s and day - leak.found >= _FRESH_DAYS:
                self._book.close(leak, day)

    def _beside(self, window: Window, waiting: Waiting) -> Window:
        """Return a window in which a leak may run that is not called yet.

        Known leaks leave it what it may explain: else nothing were left to call it by.
        """
        if waiting is None:
            return window
        position, flow_m3s = waiting
        effect = self._places.effects(window)[:, [position]]
        return window.with_doubt(effect, np.array([flow_m3s]))

    def relocate(self, day: int, waiting: Waiting = None) -> list[Happening]:
        """Place known leaks anew; tell those that twice lay elsewhere than where they were called.

        Leaks of the last days stay where they are.

        Args:
            day: The day.
            waiting: A leak that may run beside them and is not called yet.
        """
        told: list[Happening] = []
        for leak in [one for one in self._book.open if one.steady_m3s is None]:
            days = self._days.recent(day, min(_RELOCATE_MOST, day - leak.onset + 1))
            if len(days) >= _FEW_DAYS and day - leak.found >= _FEW_DAYS:
                told += self._placed_anew(leak, days, waiting)
        return told

    def tell(self, kind: HappeningKind, leak: Followed, day: int) -> Happening:
        """Return what happened to a leak."""
        return about_leak(kind, leak, int(self._places.pipes[leak.called]), day)

    def _flows(self) -> FloatArray:
        return np.array([leak.flow_m3s for leak in self._book.open])

    def _repaired(self, day: int) -> Followed | None:
        """Return the leak whose end explains most of a day that no new leak explains."""
        window = self._days.window(range(day, day + 1))
        if not window.blocks:
            return None
        white = White(window)
        gain = self._gain_of_ends(window, white)
        misfit = max(white.square / len(white.gap) / 2.0, 1.0)
        best = int(gain.argmax())
        leak = self._book.open[best]
        wanted = self._settings.repair_evidence * misfit
        return leak if gain[best] >= wanted and leak.found < day else None

    def _gain_of_ends(self, window: Window, white: White) -> FloatArray:
        """Return the ln-likelihood that each leak's end gains, shape (n_leaks,).

        A new leak may begin on the same day, or be all that there is: an end must explain much
        both by itself and beside the best new leak.
        """
        gone = white(self._days.columns(window, self._book.open)) * self._flows()
        ended = white.gap[:, None] + gone
        gain = 0.5 * (white.square - (ended**2).sum(axis=0))
        new = white.best_gains(self._places.effects(window), np.column_stack([white.gap, ended]))
        return np.asarray(np.minimum(gain, gain + new[1:] - new[0]), dtype=np.float64)

    def _changes(
        self, window: Window, columns: FloatArray, flow: FloatArray, day: int
    ) -> FloatArray:
        """Return by how much leaks most likely grew or shrank [m³/s], shape (n_leaks,)."""
        white = White(window)
        effect, freedom, usual = white(columns), self._freedom(day, flow), self._usual(flow)
        gap = white.gap - effect @ usual
        change = _shrunk(effect, gap, freedom)
        misfit = float(((gap - effect @ change) ** 2).mean())
        if misfit > 1.0:
            change = _shrunk(effect / misfit, gap / misfit, freedom)
        return usual + change

    def _usual(self, flow: FloatArray) -> FloatArray:
        """Return what leaks are expected to change by [m³/s]: steady ones back to their size."""
        known = [leak.steady_m3s for leak in self._book.open]
        return np.array([0.0 if k is None else k - f for k, f in zip(known, flow, strict=True)])

    def _freedom(self, day: int, flow: FloatArray) -> FloatArray:
        is_fresh = np.array([day - leak.found < _FRESH_DAYS for leak in self._book.open])
        is_steady = np.array([leak.steady_m3s is not None for leak in self._book.open])
        grows = np.where(is_fresh, 0.5 * flow + 2.0 * _GROWS_M3S, 0.1 * flow + _GROWS_M3S)
        stays = np.array([leak.spread_m3s for leak in self._book.open])
        return np.where(is_steady, stays, grows)

    def _placed_anew(self, leak: Followed, days: range, waiting: Waiting) -> list[Happening]:
        """Place a known leak with what came since; call it again where twice it lay elsewhere.

        A leak stays in the zone of its first weeks: water that appears elsewhere later is another
        one's.
        """
        before, flow_m3s, past = leak.pipe, leak.flow_m3s, dict(leak.past_m3s)
        leak.zone = leak.zone if days[-1] - leak.found >= YOUNG_DAYS else None
        window = self._beside(self._days.window(days, self._book.others(leak)), waiting)
        placed = place(self._days, self._places, leak, window, days)
        if leak.zone is None:
            leak.zone = self._places.zone(placed)
        leak.flow_m3s, leak.past_m3s = flow_m3s, past
        if leak.pipe != before:
            self._days.judge_again(days)
        return self._told_again(leak, placed, days[-1])

    def _told_again(self, leak: Followed, placed: Found, day: int) -> list[Happening]:
        near, apart_m = placed.near, self._places.apart_m(placed.near.pipe, leak.called)
        is_again = is_told_again(
            leak,
            near,
            elsewhere=is_elsewhere(apart_m, day - leak.found, self._settings.near_m),
            over=self._is_over(leak, day),
            are_near=self._places.are_near,
        )
        if not is_again:
            return []
        leak.elsewhere = None
        leak.called, leak.probability = near.pipe, near.probability
        return [self.tell(HappeningKind.CALL, leak, day)]

    def _is_over(self, leak: Followed, day: int) -> bool:
        """Whether a day's afternoon is better explained without a leak."""
        window = self._days.window(range(day, day + 1), self._book.others(leak))
        late = self._days.afternoon_of(window)
        effect = self._days.columns(late, [leak])[:, 0] * leak.flow_m3s
        return speaks_for(late, -effect)


def _shrunk(effect: FloatArray, gap: FloatArray, freedom: FloatArray) -> FloatArray:
    """Return the most probable changes, each with a prior of mean 0 and this spread."""
    precision = effect.T @ effect + np.diag(1.0 / freedom**2)
    return np.asarray(np.linalg.solve(precision, effect.T @ gap), dtype=np.float64)
