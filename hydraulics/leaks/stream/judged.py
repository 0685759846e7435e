"""What every day's instruments read beyond a calibrated model with all known leaks in it."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from hydraulics.epanet.toolkit import Solver
from hydraulics.errors import NotConvergedError
from hydraulics.leaks.measurements import Measurements
from hydraulics.leaks.stream.book import Book, Followed, outflow_m3s
from hydraulics.leaks.stream.calibrate import Calibration, calibrate, shared_spread
from hydraulics.leaks.stream.calm import calmest
from hydraulics.leaks.stream.evidence import (
    SLOW_DAYS,
    Doubt,
    Stack,
    Window,
    make_window,
    middle_of,
    stacked,
)
from hydraulics.leaks.stream.physics import Physics, Signatures
from hydraulics.leaks.stream.rows import DayRows, Frame, day_rows, pattern_shift_s
from hydraulics.leaks.stream.scatter import daily_scatter, surplus_scatter
from hydraulics.leaks.stream.settings import StreamSettings
from hydraulics.leaks.stream.zones import make_zones
from hydraulics.network import FloatArray, IndexArray, NetworkModel

_DAY_S = 86_400.0
_MEAN_DAYS = 7
"""Days over whose mean state the signatures are taken."""
_LEAST_READ = 6
"""Readings without which a block of a day says nothing."""
_FEWEST_DAYS = 6
"""Fewer tell no scatter: it takes five pairs of neighbouring days."""


class JudgedDays:
    """Residuals of the days so far, and what changes of the network would do to them."""

    def __init__(
        self,
        inp: Path,
        model: NetworkModel,
        seen: Measurements,
        book: Book,
        settings: StreamSettings,
    ) -> None:
        """Open EPANET and find out which parts of the network are measured.

        Args:
            inp: The network's EPANET file.
            model: The same network as arrays.
            seen: Readings in order of time; `is_reference` marks the days to calibrate on.
            book: The known leaks, as they come to be known.
            settings: What the stream may be told.
        """
        self.settings, self.book, self._seen = settings, book, seen
        self._solver = Solver(inp, model)
        base = self._solver.demand_m3s(np.arange(0.0, _DAY_S, 3_600.0)).mean(axis=0)
        zoning = make_zones(model, seen, base, self._solver.tank_area_m2())
        self._zones = [zone.nodes for zone in zoning.zones]
        shift_s = pattern_shift_s(zoning, _of_reference(seen), self._solver)
        self._frame = Frame(model, zoning, settings.row_s, settings.block_s, shift_s)
        may_be_off = settings.offset_m > 0
        self.physics = Physics(self._solver, self._frame, seen, may_be_off=may_be_off)
        self.day_of = _days_of(seen, model)
        self.n_days = int(self.day_of[-1]) + 1
        self.n_calibration = _calibration_days(self.day_of, seen)
        self.first = 0
        self._rows: dict[int, DayRows] = {}
        shape = self.n_days, self._frame.n_blocks, len(self.physics.observed)
        self.residual = np.full(shape, np.nan)
        self._surplus = np.full((self.n_days, len(self._zones)), np.nan)
        self._surplus_offset = np.zeros(len(self._zones))
        self.signatures: list[Signatures | None] = []
        self.signed_day = -1
        self._stacks: dict[tuple[int, ...], Stack] = {}
        self._calibration: Calibration
        self._doubt: Doubt

    def close(self) -> None:
        """Free EPANET."""
        self._solver.close()

    def extend(self, seen: Measurements) -> None:
        """Take readings that go on from those there are, of the same instruments."""
        self._seen, self.day_of = seen, _days_of(seen, self._frame.model)
        more = int(self.day_of[-1]) + 1 - self.n_days
        self.n_days += more
        self.residual = _longer(self.residual, more)
        self._surplus = _longer(self._surplus, more)

    def is_read(self, day: int) -> bool:
        """Whether a day that was judged had readings enough."""
        return bool(np.isfinite(self.residual[day]).any())

    def fit(self, days: range) -> None:
        """Calibrate on some days with the known leaks in the model."""
        rows = {day: self.rows(day) for day in days}
        self._calibration = calibrate(self.physics, rows, self._outflow, self.settings)
        for day in days:
            self.judge(day)
        self.sign(days)
        self._doubt = self._doubts(days)
        self._stacks = {}

    def fit_calm(self) -> range:
        """Calibrate on the calmest of the first days, and return them."""
        every = range(self.n_calibration)
        self.fit(every)
        calm = self.calm(every)
        if not _FEWEST_DAYS <= len(calm) < len(every):
            return every
        self.first = calm.start
        self.fit(calm)
        return calm

    def calm(self, days: range) -> range:
        """Return the longest stretch of some days in which nothing began or ended."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an instrument without readings
            mean = np.nanmean(self.residual[days.start : days.stop], axis=1)
        found = calmest(mean, self._doubt.floor)
        return range(days.start + found.start, days.start + found.stop)

    def _doubts(self, days: range) -> Doubt:
        settings, noise = self.settings, self._calibration.noise
        is_head = np.arange(len(noise)) < self.physics.n_heads
        floor = np.where(is_head, settings.floor_m / settings.noise_m, 0.25) * noise
        part = slice(days.start, days.stop)
        return Doubt(
            errors=self._calibration.spread,
            daily=daily_scatter(self.residual[part], self.signatures, floor),
            floor=floor,
            demand_drift=settings.demand_drift,
            surplus_m3s=surplus_scatter(self._surplus[part]),
            surplus_floor_m3s=settings.surplus_floor_m3s,
        )

    def settle_surplus(self, days: range) -> None:
        """Take what metered zones take beyond meters and known leaks as their meters' error."""
        surplus = self._surplus[days.start : days.stop]
        is_read = np.isfinite(surplus).any(axis=0)
        more = np.zeros(surplus.shape[1])
        more[is_read] = np.nanmedian(surplus[:, is_read], axis=0)
        self._surplus_offset += more
        self._surplus -= more

    def unfitted(self, days: range) -> Window:
        """Return the window of some days of the calibration as if nothing had been fitted."""
        window = self.window(days)
        prior = shared_spread(self.physics, self.settings)
        effect = window.errors
        total = window.covariance + effect @ (prior - self._calibration.spread) @ effect.T
        at = np.flatnonzero(window.sensor < 0)
        total[at, at] += self.settings.surplus_bias_m3s**2
        return replace(window, gap=window.gap + effect @ self._calibration.error, covariance=total)

    def rows(self, day: int) -> DayRows:
        """Return a day's rows."""
        if day not in self._rows:
            members = np.flatnonzero(self.day_of == day)
            times = self._seen.model_time_s[members]
            demand = self._solver.demand_m3s(times + self._frame.shift_s)
            head = self._solver.fixed_head_m(times)
            self._rows[day] = day_rows(self._frame, self._seen, members, demand, head)
        return self._rows[day]

    def leave_out(self, day: int, sensor: int) -> None:
        """Take a pressure sensor's readings of a day as not read."""
        self.rows(day).measured[:, sensor] = np.nan
        self.residual[day, :, sensor] = np.nan

    def readings_of(self, day: int, sensor: int) -> tuple[FloatArray, FloatArray]:
        """Return a sensor's rows of a day [m of head], and its mean residual of each day [m].

        The second has one entry for each of the last days before that day, NaN where not read.
        """
        before = self.residual[max(day - _MEAN_DAYS, self.first) : day, :, sensor]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a day on which it was left out
            return self.rows(day).measured[:, sensor], np.nanmean(before, axis=1)

    def forget_before(self, day: int) -> None:
        """Let go of rows that are not needed again."""
        for old in [known for known in self._rows if known < day]:
            del self._rows[old]

    def _outflow(self, day: int) -> FloatArray:
        return outflow_m3s(self._frame.model, self.book.flows_on(day))

    def judge(self, day: int) -> None:
        """Take what a day's instruments read beyond the model with all known leaks."""
        rows, leak = self.rows(day), self._outflow(day)
        residual = self.physics.residual(rows, leak)
        self.residual[day] = np.nan
        for block in np.unique(rows.block):
            at = rows.block == block
            if rows.n_read[at].sum() >= _LEAST_READ:
                self.residual[day, block] = _mean(residual[at], rows.n_read[at])
        inside = np.array([float(leak[nodes].sum()) for nodes in self._zones])
        self._surplus[day] = rows.surplus_m3s - inside - self._surplus_offset

    def judge_again(self, days: Iterable[int]) -> None:
        """Judge days with the leaks that are known now, and take signatures anew."""
        chosen = list(days)
        for day in chosen:
            self.judge(day)
        self.sign(self.recent(chosen[-1]))

    def sign(self, days: Iterable[int], more: Followed | None = None) -> None:
        """Take signatures at the mean state of each block over some days.

        Args:
            days: The days.
            more: A leak that is tried beside those that are known.
        """
        chosen = list(days)
        leak = np.mean([self._outflow(day) for day in chosen], axis=0)
        if more is not None:
            leak = leak + outflow_m3s(self._frame.model, [(more.pipe, more.flow_m3s)])
        blocks = range(self._frame.n_blocks)
        self.signatures = [self._signatures_of(block, chosen, leak) for block in blocks]
        self.signed_day, self._stacks = chosen[-1], {}

    def _signatures_of(self, block: int, days: list[int], leak: FloatArray) -> Signatures | None:
        boundaries = [
            self._frame.boundary(self.rows(day), int(row), leak)
            for day in days
            for row in np.flatnonzero(self.rows(day).block == block)
        ]
        if not boundaries:
            return None
        demand = np.mean([one.demand_m3s for one in boundaries], axis=0)
        # The middle one: a tank that is mostly full is full, though it once was filled.
        head = np.median([one.fixed_head_m for one in boundaries], axis=0)
        mean = replace(boundaries[0], demand_m3s=demand, fixed_head_m=head)
        try:
            return self.physics.signatures(mean, leak)
        except NotConvergedError:
            return None

    def recent(self, day: int, n_days: int = _MEAN_DAYS) -> range:
        """Return the last days up to one, none before the calibration's."""
        return range(max(day - n_days + 1, self.first), day + 1)

    def window(self, days: range, free: Iterable[Followed] = ()) -> Window:
        """Stack the mean residuals of some days.

        Args:
            days: The days.
            free: Known leaks that may have grown or shrunk.
        """
        return self.freed(self._window(days, self._doubt), free)

    def _window(self, days: range, doubt: Doubt) -> Window:
        part = slice(days.start, days.stop)
        residual, surplus_m3s = self.residual[part], self._surplus[part]
        return make_window(residual, surplus_m3s, self._stack(residual), self._zones, doubt)

    def _stack(self, residual: FloatArray) -> Stack:
        """Return what changes do in the blocks of which something was read."""
        is_read = np.asarray(np.isfinite(residual).any(axis=(0, 2)))
        known = [
            (block, one)
            for block, one in enumerate(self.signatures)
            if one is not None and is_read[block]
        ]
        blocks = tuple(block for block, _ in known)
        if blocks not in self._stacks:
            self._stacks[blocks] = stacked([one for _, one in known], blocks, self._doubt)
        return self._stacks[blocks]

    def afternoon_of(self, window: Window) -> Window:
        """Return what a window says of afternoons, and of whole days."""
        return window.since_block(self._frame.n_blocks // 2)

    def spreads(self, days: range) -> tuple[Window, FloatArray, FloatArray]:
        """Return the window of some days, and the covariances that leak-free days are drawn from.

        The first is of what no averaging takes away, the second of what differs from day to day,
        each of shape (n_entries, n_entries).
        """
        whole = self._window(days, self._doubt)
        stays = self._window(days, self._doubt.lasting)
        varies = (whole.covariance - stays.covariance) / (1.0 / len(days) + 1.0 / SLOW_DAYS)
        return whole, stays.covariance + varies / SLOW_DAYS, varies

    def freed(self, window: Window, free: Iterable[Followed]) -> Window:
        """Return a window in which known leaks may have grown or shrunk."""
        leaks = list(free)
        if not leaks:
            return window
        spread = np.array([leak.spread_m3s for leak in leaks])
        return window.with_doubt(self.columns(window, leaks), spread)

    def columns(self, window: Window, leaks: Iterable[Followed]) -> FloatArray:
        """Return the effect of each leak [per m³/s], shape (n_entries, n_leaks)."""
        links = np.array([leak.pipe for leak in leaks], dtype=np.int64)
        return middle_of(window.leak, self._frame.model, links)

    def take_off(self, day: int, window: Window, effect: FloatArray) -> None:
        """Take an effect off one day's residual.

        Args:
            day: The day.
            window: The window of that day alone.
            effect: Shape (n_entries,), as the window stacks it.
        """
        n_observed = self.residual.shape[2]
        n_stacked = len(window.blocks) * n_observed
        self.residual[day, list(window.blocks)] -= effect[:n_stacked].reshape(-1, n_observed)
        kept = np.isfinite(self._surplus[day]) & np.isfinite(self._doubt.surplus_m3s)
        self._surplus[day, np.flatnonzero(kept)] -= effect[n_stacked:]


def _longer(table: FloatArray, n_more: int) -> FloatArray:
    return np.concatenate([table, np.full((n_more, *table.shape[1:]), np.nan)])


def _mean(residual: FloatArray, n_read: FloatArray) -> FloatArray:
    weight = n_read[:, None] * np.isfinite(residual)
    total = (weight * np.nan_to_num(residual)).sum(axis=0)
    count = weight.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1e-9), np.nan)


def _days_of(seen: Measurements, model: NetworkModel) -> IndexArray:
    clock_s = seen.model_time_s + model.start_clock_s
    return np.asarray(clock_s // _DAY_S - clock_s[0] // _DAY_S, dtype=np.int64)


def _calibration_days(day_of: IndexArray, seen: Measurements) -> int:
    marked = np.flatnonzero(seen.is_reference)
    return int(day_of[marked[-1]]) + 1 if len(marked) else 0


def _of_reference(seen: Measurements) -> Measurements:
    """Return the readings to calibrate on, which all later ones come after."""
    kept = seen.is_reference
    return replace(
        seen,
        model_time_s=seen.model_time_s[kept],
        is_reference=kept[kept],
        pressure_m=seen.pressure_m[kept],
        tank_level_m=seen.tank_level_m[kept],
        flow_m3s=seen.flow_m3s[kept],
        demand_m3s=seen.demand_m3s[kept],
    )
