"""A stream of readings, day by day: leaks found, followed while they grow, and closed.

Roughness is fitted to the first days. From then on EPANET says what every instrument should read
at the measured intake with all known leaks in it, and what it reads beyond that is asked, over
windows of one day to a month, whether one more leak somewhere explains it, or a known leak that
was repaired, or a single sensor that lies.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from hydraulics.errors import HydraulicsError
from hydraulics.leaks.measurements import Measurements, Progress
from hydraulics.leaks.stream.book import Book, Followed
from hydraulics.leaks.stream.evidence import (
    Near,
    Ranking,
    White,
    Window,
    middle_of,
    nearest_to_all,
    rank,
)
from hydraulics.leaks.stream.exact import effect_of, try_exactly
from hydraulics.leaks.stream.judged import JudgedDays
from hydraulics.leaks.stream.liars import Fault, fault_of, find_liar
from hydraulics.leaks.stream.settings import StreamSettings
from hydraulics.network import FloatArray, IndexArray, NetworkModel
from hydraulics.paths import pipe_distances_m

_STALE_DAYS = 3
"""Days after which signatures are taken anew."""
_BACK_DAYS = 4
"""Days within which a leak at the same place is the one that was taken for repaired."""
_FRESH_DAYS = 3
"""Days in which the size of a new leak may change freely."""
_MOST_A_DAY = 3
_SENSOR_MARGIN = 3.0
"""ln by which a leak must explain more than the offset of any one sensor."""
_MOVE_GAIN = 1.0
"""ln by which another pipe must explain more."""
_RELOCATE_MOST = 14
_SHORTER = 1.05
"""How much more a longer window must explain than a shorter one."""
_GROWS_M3S = 0.25 / 3_600.0
_LEAST_M3S = 0.05 / 3_600.0
_SURE = 0.8
_MOST_TURNS = 5
_SETTLED = 0.03
_HOPEFUL = 0.7
"""Share of the wanted probability from which a leak is tried in the model."""
_GROWN, _FORGETS = 1.2, 0.9
"""What failed once is tried again when it explains more by this, a tenth less with each day."""
_FEW_DAYS = 2
_REPAIR_SHARE = 0.75
_GONE = 0.1
"""Share of its largest outflow below which a leak no longer runs."""


class NothingReadError(HydraulicsError):
    """No day of the calibration can be judged."""

    def __init__(self, n_days: int) -> None:
        super().__init__(n_days)
        self.n_days = n_days

    def __str__(self) -> str:
        return (
            f"none of the {self.n_days} days to calibrate on can be judged: a day needs pressures "
            "read at times at which every tank and every metered inflow was read"
        )


class HappeningKind(StrEnum):
    """What a stream may tell."""

    CALL = "call"
    REPAIRED = "repaired"
    SENSOR = "sensor"


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that a stream tells at the end of a day.

    Attributes:
        kind: What happened.
        day: Day from the first reading, counted from 0.
        link: Index of the pipe: for a call the one nearest to where the leak may be.
        flow_m3s: Outflow of the leak [m³/s].
        probability: That the leak lies within reach of the pipe.
        onset_day: Day on which the leak began, as far as is seen.
        sensor: Position of the pressure sensor that lies, -1 where it is about a leak.
        fault: How it lies, None where it is about a leak.
        offset_m: What it reads too much on that day [m], 0 where it is about a leak.
    """

    kind: HappeningKind
    day: int
    link: int
    flow_m3s: float
    probability: float
    onset_day: int
    sensor: int = -1
    fault: Fault | None = None
    offset_m: float = 0.0


@dataclass(frozen=True, slots=True)
class _Found:
    ranking: Ranking
    near: Near
    n_days: int

    @property
    def gain(self) -> float:
        return float(self.ranking.gain[self.ranking.best])

    @property
    def flow_m3s(self) -> float:
        return float(self.ranking.flow_m3s[self.ranking.best])

    @property
    def is_one_sensor(self) -> bool:
        """Whether the offset of a single sensor explains as much."""
        return float(self.ranking.sensor_gain.max()) > self.gain - _SENSOR_MARGIN


class LeakStream:
    """The state of a stream after some days.

    A day's answer rests on that day's readings and earlier ones alone.
    """

    def __init__(
        self,
        inp: Path,
        model: NetworkModel,
        seen: Measurements,
        *,
        settings: StreamSettings | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Open EPANET; `begin` and then `advance` use it until `close`.

        Args:
            inp: The network's EPANET file.
            model: The same network as arrays.
            seen: Readings in order of time; `is_reference` marks the days to calibrate on.
            settings: What the stream may be told.
            progress: Called as the calibration goes on.
        """
        self.settings = settings or StreamSettings()
        self.book = Book()
        self._model, self._tell = model, progress or _tell_nobody
        self._days = JudgedDays(inp, model, seen, self.book, self.settings)
        self.n_days, self.n_calibration = self._days.n_days, self._days.n_calibration
        self.pipes = self._days.physics.pipes
        self._length_m = np.maximum(model.length_m[self.pipes], 1e-3)
        self._is_near = pipe_distances_m(model, self.pipes) <= self.settings.near_m
        self._suspect: dict[int, int] = {}
        self._misfits: dict[int, float] = {}
        self._failed_gain = 0.0
        self._lying: dict[int, Fault] = {}
        self._offset_m: dict[int, float] = {}
        self._renewed_day = self.n_calibration

    def close(self) -> None:
        """Free EPANET."""
        self._days.close()

    def begin(self) -> None:
        """Calibrate on the calmest of the first days, and find the leaks that run in them.

        Days of the calibration after these are judged as any other day, but nothing is told.

        Raises:
            NothingReadError: No day of the calibration can be judged.
        """
        self._tell("calibrate", 0, self.n_calibration)
        days = self._days.fit_calm()
        if not any(self._days.is_read(day) for day in days):
            raise NothingReadError(self.n_calibration)
        self._find_running(days)
        self._days.settle_surplus(days)
        for day in range(days.stop, self.n_calibration):
            self._tell("calibrate", day, self.n_calibration)
            self.advance(day)

    def _find_running(self, days: range) -> None:
        """Find the leaks that run all through the calibration."""
        most = self.settings.most_in_calibration
        for turn in range(most):
            self._tell("look for leaks in the calibration", turn, most)
            window = self._days.freed(self._days.unfitted(days), self.book.open)
            found = self._found(window, len(days))
            if not self._is_convincing(found):
                return
            self.book.open.append(self._leak_of(found, days))
            self._days.fit(days)
            for leak in self.book.open:
                free = self._days.freed(self._days.unfitted(days), self.book.others(leak))
                self._place(leak, free, days)
            self._days.judge_again(days)

    def advance(self, day: int) -> list[Happening]:
        """Judge one more day and tell what happened; nothing did on a day that was not read.

        Args:
            day: The day after the last one, or the first after the calibration.
        """
        self._days.judge(day)
        if not self._days.is_read(day):
            return []
        if day - self._days.signed_day >= _STALE_DAYS:
            self._days.sign(self._days.recent(day))
        told = [*self._liars(day), *self._repairs(day)]
        for _ in range(_MOST_A_DAY):
            call = self._search(day)
            if call is None:
                break
            told += call
        self._follow(day)
        if day % self.settings.relocate_days == 0:
            told += self._relocate(day)
        if day - self._renewed_day >= self.settings.renew_days:
            told += self._renew(day)
        self._days.forget_before(day - max(self.settings.windows))
        return told

    def _renew(self, day: int) -> list[Happening]:
        """Calibrate on the calmest of the last days, and find leaks that run all through them."""
        days = self._days.calm(self._days.recent(day, self.settings.renew_on_days))
        if len(days) < self.settings.renew_on_days // 2:
            return []
        known = {id(leak): (leak.flow_m3s, dict(leak.past_m3s)) for leak in self.book.open}
        self._renewed_day, self._days.first = day, days.start
        self._days.fit(days)
        self._find_running(days)
        fresh = [leak for leak in self.book.open if id(leak) not in known]
        for leak in self.book.open:
            if id(leak) in known:
                leak.flow_m3s, leak.past_m3s = known[id(leak)]
        self._days.settle_surplus(days)
        self._days.judge_again(range(days.start, day + 1))
        return [self._happening(HappeningKind.CALL, leak, day) for leak in fresh]

    def running(self, day: int) -> list[Happening]:
        """Return a call for each leak that runs on a day, as it was last called."""
        return [self._happening(HappeningKind.CALL, leak, day) for leak in self.book.open]

    def extend(self, seen: Measurements) -> None:
        """Take readings that go on from those there are.

        Args:
            seen: All readings of the same instruments, the days judged so far as they were.
        """
        self._days.extend(seen)
        self.n_days = self._days.n_days

    @property
    def day_of(self) -> IndexArray:
        """Day of each row of the readings, counted from 0, shape (n_times,)."""
        return self._days.day_of

    def told_leak(self, link: int, flow_m3s: float, since: int, day: int) -> None:
        """Take a leak that was found in the street into the model.

        Args:
            link: Index of its pipe.
            flow_m3s: Its outflow [m³/s]; the readings may ask for another.
            since: Day from which it runs.
            day: First day that is judged with it; before `begin`, the last of the calibration.
        """
        position = int(np.searchsorted(self.pipes, link))
        for leak in self.book.open:
            if self._is_near[position, self._position(leak)]:
                leak.pipe, leak.called, leak.probability = link, position, 1.0
                return
        leak = Followed(link, position, since, day, 1.0, flow_m3s)
        leak.take(range(since, day + 1), flow_m3s)
        self.book.open.append(leak)
        if self._days.signatures:
            first = max(since, self._days.first, day - max(self.settings.windows))
            self._days.judge_again(range(min(first, day - 1), day))

    def told_repair(self, link: int, day: int) -> None:
        """Close the known leak near a pipe that was repaired, if there is one."""
        position = int(np.searchsorted(self.pipes, link))
        for leak in self.book.open:
            if self._is_near[position, self._position(leak)] and leak.onset < day:
                self.book.close(leak, day)
                return

    def _liars(self, day: int) -> list[Happening]:
        """Leave out sensors that explain a day by themselves, and tell those that are new."""
        lying: dict[int, Fault] = {}
        for _ in range(self._days.physics.n_heads // 3):
            window = self._days.window(range(day, day + 1), self.book.open)
            if not window.blocks or not np.isfinite(self.settings.sensor_evidence):
                break
            leaks = middle_of(window.leak, self._model, self.pipes)
            n_heads, evidence = self._days.physics.n_heads, self.settings.sensor_evidence
            liar = find_liar(window, leaks, n_heads, evidence)
            if liar is None:
                break
            measured_m, past_m = self._days.readings_of(day, liar.sensor)
            lying[liar.sensor] = fault_of(measured_m, past_m, liar.offset_m)
            self._days.leave_out(day, liar.sensor)
            self._offset_m[liar.sensor] = liar.offset_m
        fresh = [sensor for sensor in lying if sensor not in self._lying]
        self._lying = {sensor: self._lying.get(sensor, fault) for sensor, fault in lying.items()}
        return [self._lie(sensor, day) for sensor in fresh]

    def _lie(self, sensor: int, day: int) -> Happening:
        fault, offset_m = self._lying[sensor], self._offset_m[sensor]
        return Happening(HappeningKind.SENSOR, day, -1, 0.0, 1.0, day, sensor, fault, offset_m)

    # ------------------------------------------------------------------ new leaks

    def _search(self, day: int) -> list[Happening] | None:
        """Look for one more leak; None where there is none, or none that can be told yet."""
        found = self._best_window(day)
        if found.gain < self.settings.evidence:
            return None
        last, self._suspect[day] = self._suspect.get(day - 1), found.ranking.best
        is_again = last is not None and bool(self._is_near[last, found.ranking.best])
        if found.gain < self.settings.strong_evidence and not is_again:
            return None
        if found.is_one_sensor:
            return None
        if found.near.probability < _HOPEFUL * self.settings.call_probability:
            return None
        if found.gain < _GROWN * self._failed_gain:
            self._failed_gain *= _FORGETS
            return None
        return self._tried(found, day)

    def _best_window(self, day: int) -> _Found:
        best: _Found | None = None
        for n_days in self.settings.windows:
            days = self._days.recent(day, n_days)
            found = self._found(self._days.window(days, self.book.open), len(days))
            if best is None or found.gain > _SHORTER * best.gain:
                best = found
            if days.start == self._days.first:
                break
        assert best is not None, "there is a window of one day"
        return best

    def _found(self, window: Window, n_days: int) -> _Found:
        ranking = rank(window, self._model, self.pipes, self._days.physics.n_heads)
        near = nearest_to_all(ranking, self._length_m, self._is_near, self.settings.temper)
        return _Found(ranking, near, n_days)

    def _is_convincing(self, found: _Found) -> bool:
        settings = self.settings
        is_sure = found.near.probability >= settings.call_probability
        is_large = found.flow_m3s >= settings.least_flow_m3s
        return found.gain >= settings.evidence and is_sure and is_large and not found.is_one_sensor

    def _leak_of(self, found: _Found, days: range) -> Followed:
        pipe = int(self.pipes[found.ranking.best])
        near = found.near
        leak = Followed(pipe, near.pipe, days.start, days[-1], near.probability, 0.0)
        leak.take(days, found.flow_m3s)
        return leak

    def _tried(self, found: _Found, day: int) -> list[Happening] | None:
        """Put a leak into the model, place it there anew, and call it if that convinces."""
        days = self._days.recent(day, found.n_days)
        leak = self._leak_of(found, days)
        placed = self._settled(leak, found, days)
        if not self._may_call(placed, day):
            self._days.sign(self._days.recent(day))
            is_misfit = placed.ranking.misfit > self.settings.worst_misfit
            self._failed_gain = 0.0 if is_misfit else found.gain
            return None
        self._failed_gain = 0.0
        self.book.open.append(leak)
        self._days.judge_again(days)
        leak.called, leak.probability = placed.near.pipe, placed.near.probability
        if self._is_back(leak, day):
            return []
        return [self._happening(HappeningKind.CALL, leak, day)]

    def _settled(self, leak: Followed, found: _Found, days: range) -> _Found:
        """Ask EPANET where a leak is, then linearize with it there until both agree."""
        judged = self._days
        judged.sign(judged.recent(days[-1]))
        without, window = judged.signatures, judged.window(days, self.book.open)
        self._start(leak, window, days)
        best = np.inf, leak.pipe, leak.flow_m3s, found
        for _ in range(_MOST_TURNS):
            gap = window.gap - effect_of(judged.physics, window, without, leak)
            pipe, flow_m3s = leak.pipe, leak.flow_m3s
            judged.sign(judged.recent(days[-1]), leak)
            near = judged.window(days, self.book.open)
            if near.blocks != window.blocks:
                break  # EPANET finds no state with so large a leak
            near = near.with_gap(gap)
            left, placed = White(near).square, self._place(leak, near, days)
            if left < best[0]:
                best = left, pipe, flow_m3s, placed
            if leak.pipe == pipe and abs(leak.flow_m3s - flow_m3s) < _SETTLED * flow_m3s:
                break
        leak.pipe = best[1]
        leak.take(days, best[2])
        return best[3]

    def _start(self, leak: Followed, window: Window, days: range) -> None:
        """Put a leak where EPANET itself says that it explains most.

        The linear answer can be far off for a leak that multiplies the flow of its pipes.
        """
        tried = try_exactly(self._days.physics, window, self._days.signatures, leak.flow_m3s)
        if tried is None:
            return
        node, flow_m3s = tried
        gain, _ = White(window).gain_of(middle_of(window.leak, self._model, self.pipes))
        start, end = self._model.start[self.pipes], self._model.end[self.pipes]
        at_node = np.flatnonzero((start == node) | (end == node))
        leak.pipe = int(self.pipes[at_node[gain[at_node].argmax()]])
        leak.take(days, flow_m3s)

    def _may_call(self, placed: _Found, day: int) -> bool:
        """Whether a leak is placed well enough, by a model that fits well enough."""
        settings, misfit = self.settings, placed.ranking.misfit
        if placed.near.probability < settings.call_probability:
            return False
        if placed.flow_m3s < settings.least_flow_m3s:
            return False
        last, self._misfits[day] = self._misfits.get(day - 1, 0.0), misfit
        return misfit <= settings.worst_misfit or last > settings.worst_misfit

    def _is_back(self, leak: Followed, day: int) -> bool:
        """Whether a leak is one that was taken for repaired a few days ago."""
        for old in self.book.closed:
            assert old.closed is not None, "it is closed"
            if day - old.closed <= _BACK_DAYS and self._is_near[old.called, leak.called]:
                leak.called, leak.onset = old.called, old.onset
                leak.past_m3s = {**old.past_m3s, **leak.past_m3s}
                self.book.closed.remove(old)
                return True
        return False

    def _place(self, leak: Followed, window: Window, days: range) -> _Found:
        """Move a leak to where it explains most, given all the others."""
        own = self._days.columns(window, [leak])[:, 0] * leak.mean_m3s(days)
        found = self._found(window.with_gap(window.gap + own), len(days))
        here = self._position(leak)
        if found.gain > found.ranking.gain[here] + _MOVE_GAIN:
            here = found.ranking.best
            leak.pipe = int(self.pipes[here])
        leak.take(days, max(float(found.ranking.flow_m3s[here]), _LEAST_M3S))
        return found

    # ------------------------------------------------------------------ known leaks

    def _repairs(self, day: int) -> list[Happening]:
        """Close leaks whose end a day's readings ask for."""
        told: list[Happening] = []
        while self.book.open:
            leak = self._repaired(day)
            if leak is None:
                break
            self.book.close(leak, day)
            self._days.judge_again(range(day, day + 1))
            told.append(self._happening(HappeningKind.REPAIRED, leak, day))
        return told

    def _repaired(self, day: int) -> Followed | None:
        """Return the leak whose end explains most of a day that no new leak explains."""
        window = self._days.window(range(day, day + 1))
        if not window.blocks:
            return None
        white = White(window)
        flow = np.array([leak.flow_m3s for leak in self.book.open])
        gone = white(self._days.columns(window, self.book.open)) * flow
        ended = white.gap[:, None] + gone
        gain = 0.5 * (white.square - (ended**2).sum(axis=0))
        # A new leak may begin on the same day, or be all that there is: an end must explain much
        # both by itself and beside the best new leak.
        effect = middle_of(window.leak, self._model, self.pipes)
        new = white.best_gains(effect, np.column_stack([white.gap, ended]))
        gain = np.minimum(gain, gain + new[1:] - new[0])
        misfit = max(white.square / len(white.gap) / 2.0, 1.0)
        best = int(gain.argmax())
        leak = self.book.open[best]
        wanted = _REPAIR_SHARE * self.settings.evidence * misfit
        return leak if gain[best] >= wanted and leak.found < day else None

    def _follow(self, day: int) -> None:
        """Let known leaks take what a day's residual says of their sizes."""
        if not self.book.open or not np.isfinite(self._days.residual[day]).any():
            return
        window = self._days.window(range(day, day + 1))
        white, columns = White(window), self._days.columns(window, self.book.open)
        effect = white(columns)
        flow = np.array([leak.flow_m3s for leak in self.book.open])
        freedom = self._freedom(day, flow)
        change = _shrunk(effect, white.gap, freedom)
        misfit = float(((white.gap - effect @ change) ** 2).mean())
        if misfit > 1.0:
            change = _shrunk(effect / misfit, white.gap / misfit, freedom)
        new = np.maximum(flow + change, _LEAST_M3S)
        self._days.take_off(day, window, columns @ (new - flow))
        for leak, flow_m3s in zip(list(self.book.open), new, strict=True):
            leak.take([day], float(flow_m3s))
            if flow_m3s < _GONE * leak.most_m3s and day - leak.found >= _FRESH_DAYS:
                self.book.close(leak, day)

    def _freedom(self, day: int, flow: FloatArray) -> FloatArray:
        is_fresh = np.array([day - leak.found < _FRESH_DAYS for leak in self.book.open])
        return np.where(is_fresh, 0.5 * flow + 2.0 * _GROWS_M3S, 0.1 * flow + _GROWS_M3S)

    def _relocate(self, day: int) -> list[Happening]:
        told: list[Happening] = []
        for leak in list(self.book.open):
            days = self._days.recent(day, min(_RELOCATE_MOST, day - leak.onset + 1))
            if len(days) >= _FEW_DAYS and day - leak.found >= _FEW_DAYS:
                told += self._placed_anew(leak, days)
        return told

    def _placed_anew(self, leak: Followed, days: range) -> list[Happening]:
        """Place a known leak with what came since; call it again where twice it lay elsewhere."""
        before, flow_m3s, past = leak.pipe, leak.flow_m3s, dict(leak.past_m3s)
        placed = self._place(leak, self._days.window(days, self.book.others(leak)), days)
        leak.flow_m3s, leak.past_m3s = flow_m3s, past
        if leak.pipe != before:
            self._days.judge_again(days)
        near, last = placed.near, leak.elsewhere
        is_elsewhere = not self._is_near[near.pipe, leak.called] and near.probability > _SURE
        leak.elsewhere = near.pipe if is_elsewhere else None
        if leak.elsewhere is None or last is None or not self._is_near[last, near.pipe]:
            return []
        leak.elsewhere = None
        leak.called, leak.probability = near.pipe, near.probability
        return [self._happening(HappeningKind.CALL, leak, days[-1])]

    def _position(self, leak: Followed) -> int:
        return int(np.searchsorted(self.pipes, leak.pipe))

    def _happening(self, kind: HappeningKind, leak: Followed, day: int) -> Happening:
        link = int(self.pipes[leak.called])
        return Happening(kind, day, link, leak.flow_m3s, leak.probability, leak.onset)


def _shrunk(effect: FloatArray, gap: FloatArray, freedom: FloatArray) -> FloatArray:
    """Return the most probable changes, each with a prior of mean 0 and this spread."""
    precision = effect.T @ effect + np.diag(1.0 / freedom**2)
    return np.asarray(np.linalg.solve(precision, effect.T @ gap), dtype=np.float64)


def _tell_nobody(step: str, done: int, total: int) -> None:
    del step, done, total
