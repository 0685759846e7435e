"""The pipe to name of those where a leak may be: the one from which a crew reaches most.

The most probable pipe may lie at the edge of where a leak may be, or be no more than the longest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hydraulics.leaks.measurements import Localization, zone
from hydraulics.network import FloatArray, NetworkModel
from hydraulics.paths import pipe_distances_m

REACH_M = 300.0
"""How far along pipes a leak is still found from where a crew begins [m]."""
_CLOSE = 0.1
"""What a place right there counts for beside one that is just in reach, at most."""
_LEVEL = 0.95
_MOST = 200


@dataclass(frozen=True, slots=True)
class Near:
    """The pipe with most probability around it.

    Attributes:
        pipe: Its position among the pipes.
        probability: That the leak lies within reach of it.
    """

    pipe: int
    probability: float


def amid(probability: FloatArray, distance_m: FloatArray, reach_m: float) -> Near:
    """Return the pipe from which most of the probability is in reach, and near by.

    Args:
        probability: Of each pipe, shape (n_pipes,).
        distance_m: Of pipes from one another [m], shape (n_pipes, n_pipes).
        reach_m: What is in reach [m].
    """
    around = (distance_m <= reach_m) @ probability
    worth = around + _CLOSE * (np.clip(1.0 - distance_m / reach_m, 0.0, None) @ probability)
    best = int(np.argmax(worth))
    return Near(best, float(around[best]))


def named(model: NetworkModel, found: Localization) -> int:
    """Return which of a leak's pipes lies amid them, by its position in the answer.

    It is one of the 95 % zone, of which the 200 most probable pipes are looked at.
    """
    pipes = zone(found, _LEVEL)[:_MOST]
    probability = found.probability[: len(pipes)]
    return amid(probability, pipe_distances_m(model, pipes), REACH_M).pipe
