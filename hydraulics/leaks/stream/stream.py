"""A stream of readings, day by day: leaks found, followed while they grow, and closed.

Roughness is fitted to the first days. From then on EPANET says what every instrument should read
at the measured intake with all known leaks in it, and what it reads beyond that is asked, over
windows of one day to a month, whether one more leak somewhere explains it, or a known leak that
was repaired, or a single sensor that lies.
"""

from __future__ import annotations

from pathlib import Path

from hydraulics.errors import HydraulicsError
from hydraulics.leaks.measurements import Measurements, Progress
from hydraulics.leaks.stream.book import Book, Followed
from hydraulics.leaks.stream.happenings import Happening, HappeningKind
from hydraulics.leaks.stream.judged import JudgedDays
from hydraulics.leaks.stream.known import KnownLeaks
from hydraulics.leaks.stream.places import Places
from hydraulics.leaks.stream.search import Search
from hydraulics.leaks.stream.sensors import Sensors
from hydraulics.leaks.stream.settings import StreamSettings
from hydraulics.leaks.stream.settling import leak_of, place
from hydraulics.network import NetworkModel

__all__ = ["Happening", "HappeningKind", "LeakStream", "NothingReadError"]

_STALE_DAYS = 3
"""Days after which signatures are taken anew."""
_MOST_A_DAY = 3


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
        self._tell = progress or _tell_nobody
        self._days = JudgedDays(inp, model, seen, self.book, self.settings)
        self.n_days, self.n_calibration = self._days.n_days, self._days.n_calibration
        physics = self._days.physics
        self._places = Places(model, physics.pipes, physics.n_heads, self.settings)
        self._sensors = Sensors(self._days, self._places, self.settings)
        self._known = KnownLeaks(self._days, self._places, self.settings)
        self._search = Search(self._days, self._places, self.settings)
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
        self._search.expect(days)
        for day in range(days.stop, self.n_calibration):
            self._tell("calibrate", day, self.n_calibration)
            self.advance(day)

    def _find_running(self, days: range) -> None:
        """Find the leaks that run all through the calibration."""
        most = self.settings.most_in_calibration
        for turn in range(most):
            self._tell("look for leaks in the calibration", turn, most)
            window = self._days.freed(self._days.unfitted(days), self.book.open)
            found = self._places.found(window, len(days))
            if not self._search.is_convincing(found):
                return
            self.book.open.append(leak_of(found, self._places, days))
            self._days.fit(days)
            for leak in self.book.open:
                free = self._days.freed(self._days.unfitted(days), self.book.others(leak))
                place(self._days, self._places, leak, free, days)
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
        told = [*self._sensors.doubt(day), *self._known.repairs(day), *self._new(day)]
        waiting = self._search.waiting(day)
        self._known.follow(day, waiting)
        if day % self.settings.relocate_days == 0:
            told += self._known.relocate(day, waiting)
        if day - self._renewed_day >= self.settings.renew_days:
            told += self._renew(day)
        self._days.forget_before(day - max(self.settings.windows))
        return told

    def _new(self, day: int) -> list[Happening]:
        told: list[Happening] = []
        for _ in range(_MOST_A_DAY):
            call = self._search.look(day)
            if call is None:
                break
            told += call
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
        self._search.expect(days)
        self._days.judge_again(range(days.start, day + 1))
        return [self._known.tell(HappeningKind.CALL, leak, day) for leak in fresh]

    @property
    def evidence(self) -> float:
        """ln-likelihood that a leak must gain now before it is looked at."""
        return self._search.evidence

    def running(self, day: int) -> list[Happening]:
        """Return a call for each leak that runs on a day, as it was last called."""
        return [self._known.tell(HappeningKind.CALL, leak, day) for leak in self.book.open]

    def extend(self, seen: Measurements) -> None:
        """Take readings that go on from those there are.

        Args:
            seen: All readings of the same instruments, the days judged so far as they were.
        """
        self._days.extend(seen)
        self.n_days = self._days.n_days

    def told_leak(self, link: int, flow_m3s: float, since: int, day: int) -> None:
        """Take a leak that was found in the street into the model.

        Args:
            link: Index of its pipe.
            flow_m3s: Its outflow [m³/s]; the readings may ask for another.
            since: Day from which it runs.
            day: First day that is judged with it; before `begin`, the last of the calibration.
        """
        position = self._places.position_of(link)
        for leak in self.book.open:
            if self._places.are_near(position, self._places.position(leak)):
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
        position = self._places.position_of(link)
        for leak in self.book.open:
            if self._places.are_near(position, self._places.position(leak)) and leak.onset < day:
                leak.is_mended = True
                self.book.close(leak, day)
                return


def _tell_nobody(step: str, done: int, total: int) -> None:
    del step, done, total
