"""Leaks that were found: where they are, and how much each lost on each day."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from hydraulics.network import BoolArray, FloatArray, NetworkModel, NodeKind

_LOOK_BACK_DAYS = 14
"""Days over whose halves a leak must have lost as much to be steady."""
_KNOWN_DAYS = 21
"""Days since it was found before it may be."""
_SAME, _SAME_M3S = 0.1, 0.1 / 3_600.0
"""How much both halves may differ, as a share and besides [m³/s]."""
_STAYS, _STAYS_M3S = 0.05, 0.1 / 3_600.0
"""How far a steady leak may be off, a standard deviation."""
_GROWS, _GROWS_M3S = 0.2, 0.25 / 3_600.0
"""The same of one that may grow."""


@dataclass(slots=True)
class Followed:
    """A leak in the model.

    Attributes:
        pipe: Index of its link: the likeliest.
        called: Position among the pipes of the one that was called.
        onset: Day from which it runs, as far as is known.
        found: Day on which it was found.
        probability: That it lies within reach of the called pipe, when it was called.
        flow_m3s: Outflow now [m³/s].
        past_m3s: Outflow on each day that was judged [m³/s].
        closed: Day on which it was repaired, None while it runs.
        most_m3s: Largest outflow so far [m³/s].
        gain: ln-likelihood that it gained when it was found, over what it had to gain.
        elsewhere: Position of the pipe where it was last seen to lie, where that is out of reach
            of the called one.
        is_mended: Whether somebody said that it was repaired.
        zone: Positions at which it may lie, as far as the days after it was found told, shape
            (n_pipes,); None where none told yet.
        steady_m3s: What it loses once it has stopped growing [m³/s], None while it may grow.
    """

    pipe: int
    called: int
    onset: int
    found: int
    probability: float
    flow_m3s: float
    past_m3s: dict[int, float] = field(default_factory=dict)
    closed: int | None = None
    most_m3s: float = 0.0
    gain: float = 0.0
    elsewhere: int | None = None
    is_mended: bool = False
    zone: BoolArray | None = None
    steady_m3s: float | None = None

    @property
    def spread_m3s(self) -> float:
        """By how much it may lose more or less than is known, a standard deviation [m³/s]."""
        if self.steady_m3s is not None:
            return _STAYS * self.steady_m3s + _STAYS_M3S
        return _GROWS * self.flow_m3s + _GROWS_M3S

    def grow_steady(self, day: int) -> None:
        """Take it for steady from now on where it did not grow or shrink for two weeks."""
        if self.steady_m3s is not None or day - self.found < _KNOWN_DAYS:
            return
        days = range(day - _LOOK_BACK_DAYS + 1, day + 1)
        half = _LOOK_BACK_DAYS // 2
        before, after = self.mean_m3s(days[:half]), self.mean_m3s(days[half:])
        usual = (before + after) / 2.0
        if abs(after - before) < _SAME * usual + _SAME_M3S:
            self.steady_m3s = usual

    def on(self, day: int) -> float:
        """Return the outflow on a day [m³/s]: that of the last day judged before it."""
        if day < self.onset or (self.closed is not None and day >= self.closed):
            return 0.0
        known = [d for d in self.past_m3s if d <= day]
        return self.past_m3s[max(known)] if known else 0.0

    def take(self, days: Iterable[int], flow_m3s: float) -> None:
        """Say what it lost on some days."""
        self.flow_m3s = flow_m3s
        self.most_m3s = max(self.most_m3s, flow_m3s)
        for day in days:
            self.past_m3s[day] = flow_m3s

    def mean_m3s(self, days: Iterable[int]) -> float:
        """Return its mean outflow over some days [m³/s]."""
        return float(np.mean([self.on(day) for day in days]))


class Book:
    """Leaks that run, and those that were closed."""

    def __init__(self) -> None:
        self.open: list[Followed] = []
        self.closed: list[Followed] = []

    def flows_on(self, day: int) -> list[tuple[int, float]]:
        """Return each leak's link and outflow on a day [m³/s]."""
        return [(leak.pipe, leak.on(day)) for leak in (*self.open, *self.closed)]

    def others(self, leak: Followed) -> list[Followed]:
        """Return the open leaks but one."""
        return [one for one in self.open if one is not leak]

    def close(self, leak: Followed, day: int) -> None:
        """Say that a leak was repaired on a day."""
        leak.closed = day
        self.open.remove(leak)
        self.closed.append(leak)


def outflow_m3s(model: NetworkModel, flows: Iterable[tuple[int, float]]) -> FloatArray:
    """Return the outflow at each node of leaks in the middle of links [m³/s], (n_nodes,)."""
    outflow = np.zeros(model.n_nodes)
    for link, flow_m3s in flows:
        outflow[model.start[link]] += flow_m3s / 2.0
        outflow[model.end[link]] += flow_m3s / 2.0
    outflow[model.node_kind != NodeKind.JUNCTION] = 0.0
    return outflow
