"""Places where leaks may be, and what a window of days says for each."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hydraulics.leaks.amid import Near
from hydraulics.leaks.stream.book import Followed
from hydraulics.leaks.stream.evidence import (
    Ranking,
    Window,
    middle_of,
    nearest_to_all,
    rank,
)
from hydraulics.leaks.stream.settings import StreamSettings
from hydraulics.network import BoolArray, FloatArray, IndexArray, NetworkModel
from hydraulics.paths import pipe_distances_m

_ZONE = 4.0
"""ln by which a place of a leak's zone may be less likely, metre by metre, than the likeliest."""
_SENSOR_MARGIN = 3.0
"""ln by which a leak must explain more than the offset of any one sensor."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a window says for one more leak.

    Attributes:
        ranking: How well a leak in each pipe explains it.
        near: The pipe with most probability around it.
        n_days: Length of the window [days].
    """

    ranking: Ranking
    near: Near
    n_days: int

    @property
    def gain(self) -> float:
        """ln-likelihood that the best pipe gains."""
        return float(self.ranking.gain[self.ranking.best])

    @property
    def flow_m3s(self) -> float:
        """Outflow of a leak there [m³/s]."""
        return float(self.ranking.flow_m3s[self.ranking.best])

    @property
    def is_one_sensor(self) -> bool:
        """Whether the offset of a single sensor explains as much."""
        return float(self.ranking.sensor_gain.max()) > self.gain - _SENSOR_MARGIN


class Places:
    """The pipes of a network, and which of them count as the same place.

    Attributes:
        model: The network.
        pipes: Indices of its pipes, rising; a pipe's position is its place in this list.
        is_near: Which positions are within reach of which, shape (n_pipes, n_pipes).
    """

    def __init__(
        self, model: NetworkModel, pipes: IndexArray, n_heads: int, settings: StreamSettings
    ) -> None:
        self.model, self.pipes = model, pipes
        self._n_heads, self._temper = n_heads, settings.temper
        self._length_m = np.maximum(model.length_m[pipes], 1e-3)
        self._distance_m, self._near_m = pipe_distances_m(model, pipes), settings.near_m
        self.is_near: BoolArray = self._distance_m <= settings.near_m

    def position(self, leak: Followed) -> int:
        """Return the position of a leak's pipe."""
        return self.position_of(leak.pipe)

    def position_of(self, link: int) -> int:
        """Return the position of a pipe by its index."""
        return int(np.searchsorted(self.pipes, link))

    def are_near(self, one: int, other: int) -> bool:
        """Whether two positions are within reach of each other."""
        return bool(self.is_near[one, other])

    def apart_m(self, one: int, other: int) -> float:
        """Return the distance between two positions [m]."""
        return float(self._distance_m[one, other])

    def found(self, window: Window, n_days: int, zone: BoolArray | None = None) -> Found:
        """Weigh one more leak at each place, or at those of a zone, shape (n_pipes,)."""
        ranking = rank(window, self.model, self.pipes, self._n_heads)
        if zone is not None:
            ranking = replace(ranking, gain=np.where(zone, ranking.gain, -np.inf))
        near = nearest_to_all(ranking, self._length_m, self._distance_m, self._near_m, self._temper)
        return Found(ranking, near, n_days)

    def zone(self, found: Found) -> BoolArray:
        """Return the positions at which a leak that was found may lie, shape (n_pipes,)."""
        weight = found.ranking.gain / (self._temper * max(found.ranking.misfit, 1.0))
        return np.asarray(weight > weight.max() - _ZONE, dtype=np.bool_)

    def effects(self, window: Window) -> FloatArray:
        """Return the effect of a leak at each place [per m³/s], shape (n_entries, n_pipes)."""
        return middle_of(window.leak, self.model, self.pipes)
