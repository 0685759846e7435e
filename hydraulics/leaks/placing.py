"""Where the next pressure sensors would shorten the zones of leaks most.

A sensor is added to a view by conditioning it on the instruments that there are: a small block of
its own covariance, and what its signatures hold beyond what is known already. Every possible sensor
is tried at each step, and the best is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.linalg import cholesky, solve_triangular

from hydraulics.leaks.coverage import LARGE, CoverageSettings, Metered, View, evenly, is_near, look
from hydraulics.leaks.measurements import Progress
from hydraulics.network import BoolArray, FloatArray, IndexArray, NetworkModel, NodeKind

MOST_PLACES = 1_000
"""Pipes that zones are measured between, at most, and junctions that are tried."""
MOST_TRIED = 300
"""Junctions that are tried in a network of more than `LARGE` nodes."""


_EQUAL = 1e-9


@dataclass(frozen=True, slots=True)
class Placement:
    """One more pressure sensor.

    Attributes:
        node: Index of its junction.
        expected_zone_m: Expected length of the zone with it and those before it [m].
        gain_m: How much shorter that is than without it [m], at least 0.
    """

    node: int
    expected_zone_m: float
    gain_m: float


def next_sensors(  # noqa: PLR0913 - each is a thing of its own
    inp: Path,
    model: NetworkModel,
    sensors: Sequence[int],
    n_more: int,
    *,
    size_m3s: float = 0.002,
    candidates: Sequence[int] | None = None,
    metered: Metered | None = None,
    settings: CoverageSettings | None = None,
    progress: Progress | None = None,
) -> list[Placement]:
    """Return where the next sensors belong, the best first, each given those before it.

    Args:
        inp: The network's EPANET file.
        model: The same network as arrays.
        sensors: Nodes of the pressure sensors that there are.
        n_more: How many to add.
        size_m3s: The leak whose zone is to be short [m³/s].
        candidates: Junctions to choose from; None takes all, or evenly many of a large network.
        metered: What else is metered; None takes every source, tank and pump.
        settings: What decides the length of a zone.
        progress: Called as it goes on.

    Returns:
        The placements; fewer than asked where there are fewer junctions to choose from.

    Raises:
        NotConvergedError: EPANET found no state.
    """
    chosen = settings or CoverageSettings()
    tell = progress or _tell_nobody
    possible = _possible(model, sensors, candidates).tolist()
    sizes = np.array([size_m3s])
    view = look(inp, model, sensors, possible, sizes, metered, chosen, tell)
    return place(view, n_more, chosen.confusion, tell)


def place(view: View, n_more: int, confusion: float, tell: Progress) -> list[Placement]:
    """Return the best of a view's possible sensors, one after the other, for its first size."""
    greedy = _Greedy(view, confusion)
    placed: list[Placement] = []
    before = greedy.expected_zone_m()
    for step in range(min(n_more, len(view.node))):
        tell("try a sensor at every junction", step, n_more)
        best, zone_m = greedy.best()
        placed.append(Placement(int(view.node[best]), zone_m, max(before - zone_m, 0.0)))
        greedy.add(best)
        before = zone_m
    tell("try a sensor at every junction", n_more, n_more)
    return placed


class _Greedy:
    """A view through the instruments that there are, and each that there might be.

    Two leaks that are told apart stay apart with a sensor more, so that only the pairs in one zone
    are looked at again.
    """

    def __init__(self, view: View, confusion: float) -> None:
        self.confusion = confusion
        some = evenly(view.length_m, MOST_PLACES)
        self.weight_m = view.length_m[some] * (view.length_m.sum() / view.length_m[some].sum())
        self.n_rows = view.possible.shape[1]
        entries = view.possible.reshape(-1)
        signature = view.signature[:, some, 0]
        self.covariance = view.covariance[np.ix_(entries, entries)]
        self.effect = signature[entries]
        self.gram = np.zeros((len(some), len(some)))
        self.is_left = np.ones(len(view.node), dtype=np.bool_)
        self.of, self.like = np.nonzero(self.gram == 0.0)
        if len(view.base):
            own = view.covariance[np.ix_(view.base, view.base)]
            cross = view.covariance[np.ix_(view.base, entries)]
            self._condition(own, cross, signature[view.base])

    def best(self) -> tuple[int, float]:
        """Return the possible sensor with the shortest expected zone, and that length [m].

        Of equals it is the one to which leaks show most: a single sensor tells no two apart.
        """
        zones = np.full(len(self.is_left), np.inf)
        shown = np.zeros(len(self.is_left))
        gram = self.gram[self.of, self.like]
        for number in np.flatnonzero(self.is_left):
            white = self._white(int(number))
            zones[number] = self._zone_with(white, gram)
            shown[number] = float((white**2 @ self.weight_m).sum())
        equals = zones <= zones.min() * (1.0 + _EQUAL)
        best = int(np.where(equals, shown, -1.0).argmax())
        return best, float(zones[best])

    def add(self, number: int) -> None:
        """Let a possible sensor be one that there is."""
        at = self._entries(number)
        own, cross, effect = self.covariance[np.ix_(at, at)], self.covariance[at], self.effect[at]
        self._condition(own.copy(), cross.copy(), effect.copy())
        self.is_left[number] = False

    def expected_zone_m(self) -> float:
        """Return the expected length of the zone with the sensors that there are [m]."""
        return self._length_m(np.ones(len(self.of), dtype=np.bool_))

    def _entries(self, number: int) -> IndexArray:
        return np.arange(number * self.n_rows, (number + 1) * self.n_rows)

    def _condition(self, own: FloatArray, cross: FloatArray, effect: FloatArray) -> None:
        """Take what some entries say off all the others, and the pairs that they tell apart."""
        factor = cholesky(own, lower=True, check_finite=False)
        white = solve_triangular(factor, effect, lower=True, check_finite=False)
        pulled = solve_triangular(factor, cross, lower=True, check_finite=False)
        self.gram += white.T @ white
        self.covariance -= pulled.T @ pulled
        self.effect -= pulled.T @ white
        near = self._near(self.gram[self.of, self.like], np.diag(self.gram))
        self.of, self.like = self.of[near], self.like[near]

    def _white(self, number: int) -> FloatArray:
        """Return what a sensor's entries add, whitened, shape (n_rows, n_places)."""
        at = slice(number * self.n_rows, (number + 1) * self.n_rows)
        factor = cholesky(self.covariance[at, at], lower=True, check_finite=False)
        return np.asarray(solve_triangular(factor, self.effect[at], lower=True, check_finite=False))

    def _zone_with(self, white: FloatArray, gram: FloatArray) -> float:
        squares = np.diag(self.gram) + (white**2).sum(axis=0)
        more = gram.copy()
        for one in white:
            more += one[self.of] * one[self.like]
        return self._length_m(self._near(more, squares))

    def _near(self, gram: FloatArray, squares: FloatArray) -> BoolArray:
        least = np.sqrt(np.maximum(squares - self.confusion**2, 0.0))
        return is_near(gram, least[self.of], np.sqrt(squares)[self.like])

    def _length_m(self, near: BoolArray) -> float:
        by_pipe = np.bincount(
            self.of[near], weights=self.weight_m[self.like[near]], minlength=len(self.weight_m)
        )
        return float(self.weight_m @ by_pipe / self.weight_m.sum())


def _possible(
    model: NetworkModel, sensors: Sequence[int], candidates: Sequence[int] | None
) -> IndexArray:
    """Return junctions without a sensor, evenly many of a large network."""
    is_junction = model.node_kind == NodeKind.JUNCTION
    pool = np.flatnonzero(is_junction) if candidates is None else np.unique(candidates)
    pool = pool[~np.isin(pool, sensors)].astype(np.int64)
    if candidates is not None:
        return pool
    return pool[evenly(np.ones(len(pool)), MOST_TRIED if model.n_nodes > LARGE else MOST_PLACES)]


def _tell_nobody(step: str, done: int, total: int) -> None:
    del step, done, total
