"""Sensors that lie, day by day: left out, and told when they begin to."""

from __future__ import annotations

import numpy as np

from hydraulics.leaks.stream.happenings import Happening, about_sensor
from hydraulics.leaks.stream.judged import JudgedDays
from hydraulics.leaks.stream.liars import Fault, Liar, fault_of, find_liar
from hydraulics.leaks.stream.places import Places
from hydraulics.leaks.stream.settings import StreamSettings


class Sensors:
    """Knows which sensors lied on the day before."""

    def __init__(self, days: JudgedDays, places: Places, settings: StreamSettings) -> None:
        self._days, self._places = days, places
        self._evidence = settings.sensor_evidence
        self._lying: dict[int, Fault] = {}

    def doubt(self, day: int) -> list[Happening]:
        """Leave out sensors that explain a day by themselves, and tell those that are new."""
        before, self._lying = self._lying, {}
        told: list[Happening] = []
        for _ in range(self._days.physics.n_heads // 3):
            liar = self._liar(day)
            if liar is None:
                break
            fault = before.get(liar.sensor) or self._fault(liar, day)
            if liar.sensor not in before:
                told.append(about_sensor(liar.sensor, fault, liar.offset_m, day))
            self._lying[liar.sensor] = fault
            self._days.leave_out(day, liar.sensor)
        return told

    def _liar(self, day: int) -> Liar | None:
        window = self._days.window(range(day, day + 1), self._days.book.open)
        if not window.blocks or not np.isfinite(self._evidence):
            return None
        n_heads = self._days.physics.n_heads
        return find_liar(window, self._places.effects(window), n_heads, self._evidence)

    def _fault(self, liar: Liar, day: int) -> Fault:
        measured_m, past_m = self._days.readings_of(day, liar.sensor)
        return fault_of(measured_m, past_m, liar.offset_m)
