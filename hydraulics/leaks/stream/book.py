"""Leaks that were found: where they are, and how much each lost on each day."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from hydraulics.network import BoolArray, FloatArray, NetworkModel, NodeKind


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
