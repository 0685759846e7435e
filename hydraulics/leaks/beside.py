"""Leaks beside one another: each moves to its best place while the sizes of the others give way.

EPANET solves each row with all of a set running; one leak of it elsewhere is then a small change.
The sizes of the others are left free in their effects' directions, for together they are known far
better than each alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cholesky

from hydraulics.leaks.posterior import PLACES, Candidates, Fit, Whitened
from hydraulics.leaks.prepared import Leak, Prepared
from hydraulics.leaks.swaps import SwapSearch
from hydraulics.network import FloatArray, IndexArray

_MOST_ROUNDS = 3
_NEAR = np.array([0.0, 0.5, 1.0, 1.8])
"""Sizes around a leak's own, with it as unit, and none to tell what the others do alone."""
_N_NEAR = 100
"""Nodes that are tried around, at most."""
_N_SIZES = 48
_STEP = 0.05
_STILL = 0.03
_GIVES = 0.5
"""Most that a size gives way at once, relative."""


@dataclass(frozen=True, slots=True)
class View:
    """One leak beside others: small changes from a state with all in place.

    Attributes:
        stay: Whitened effect of the others alone, shape (n_current,).
        fit: Whitened effects of the leak at candidates near by, beside the others.
        inside: Which of all candidates these are, shape (n_near,).
        sizes_m3s: Sizes that are tried, shape (n_sizes,).
    """

    stay: FloatArray
    fit: Fit
    inside: IndexArray
    sizes_m3s: FloatArray

    def effect(self, leak: Leak) -> FloatArray:
        """Return the whitened effect of a leak that is near by, shape (n_current,)."""
        return self.fit.at(_pipe_of(self.fit.candidates, leak), leak.place, leak.flow_m3s)

    def direction(self, leak: Leak) -> FloatArray:
        """Return how that changes with the size, relative, shape (n_current,)."""
        more = self.effect(replace(leak, flow_m3s=leak.flow_m3s * (1.0 + _STEP)))
        less = self.effect(replace(leak, flow_m3s=leak.flow_m3s * (1.0 - _STEP)))
        return np.asarray((more - less) / (2.0 * _STEP), dtype=np.float64)

    def gain(self, residual: FloatArray, factor: FloatArray) -> FloatArray:
        """Return ln-likelihood over the others alone, shape (n_near, n_places, n_sizes).

        Args:
            residual: Whitened, without any leak, shape (n_current,).
            factor: Of the covariance of what the others leave open, as `soften` gives it.
        """
        left = residual - self.stay
        again = Whitened(factor, left, left)
        fit = Fit(again.whiten_last(self.fit.white), self.fit.candidates, self.fit.knots)
        return fit.gain(again.whiten_last(left), self.sizes_m3s)

    def place_of(self, pipe: int, place: int, size: int) -> Leak:
        """Return the leak at an index of the gain."""
        link = int(self.fit.candidates.link[pipe])
        return Leak(link, float(PLACES[place]), float(self.sizes_m3s[size]))


@dataclass(frozen=True, slots=True)
class Settled:
    """A set of leaks that no change near by improves.

    Attributes:
        leaks: The leaks.
        views: Each beside the others.
        square: Square of the whitened residual that they leave.
    """

    leaks: tuple[Leak, ...]
    views: tuple[View, ...]
    square: float


def settle(prepared: Prepared, search: SwapSearch, begun: Sequence[Leak]) -> Settled:
    """Move leaks to their best places, with all of them running in EPANET's states.

    Args:
        prepared: The measurements.
        search: Effects at nodes, which say where it is worth to try.
        begun: Where to start.

    Raises:
        NotConvergedError: EPANET found no state with these leaks at a row.
    """
    leaks, square = list(begun), np.inf
    views: dict[int, View] = {}
    for _ in range(_MOST_ROUNDS):
        before = list(leaks)
        for at in range(len(leaks)):
            views[at] = _look(prepared, search, leaks, at)
            square = _move(prepared, views, leaks, at)
        if _is_still(before, leaks):
            break
    return Settled(tuple(leaks), tuple(views[at] for at in range(len(leaks))), square)


def column_of(prepared: Prepared, leak: Leak) -> int:
    """Return the column of the node that a leak is nearer to."""
    candidates = prepared.candidates
    nearer = candidates.start if leak.place < PLACES.mean() else candidates.end
    return int(nearer[_pipe_of(candidates, leak)])


def own_effect(prepared: Prepared, unit: FloatArray, leak: Leak) -> FloatArray:
    """Return a leak's effect from those of its pipe's ends by unit outflow, shape (n_current,)."""
    at = _pipe_of(prepared.candidates, leak)
    start, end = unit[prepared.candidates.start[at]], unit[prepared.candidates.end[at]]
    ends = (1.0 - leak.place) * start + leak.place * end
    return np.asarray(leak.flow_m3s * ends, dtype=np.float64)


def soften(directions: Sequence[FloatArray], n_entries: int) -> FloatArray:
    """Return the factor of a unit covariance with what lies along some directions added.

    Args:
        directions: What is not known, each with unit variance, shape (n_entries,).
        n_entries: How many entries there are.

    Returns:
        Lower Cholesky factor, shape (n_entries, n_entries).
    """
    total = np.eye(n_entries)
    if directions:
        spread = np.stack(directions, axis=1)
        total += spread @ spread.T
    return np.asarray(cholesky(total, lower=True, check_finite=False), dtype=np.float64)


def _look(prepared: Prepared, search: SwapSearch, leaks: Sequence[Leak], at: int) -> View:
    """Return one of some leaks beside the others, at the likeliest candidates."""
    others, leak = [*leaks[:at], *leaks[at + 1 :]], leaks[at]
    columns = _near(prepared, search, others, leak)
    knots = leak.flow_m3s * _NEAR
    effect = prepared.around(others, leak, prepared.nodes[columns], knots)
    white = prepared.whitened.whiten_last(effect)
    part, inside = _between(prepared.candidates, columns, len(prepared.nodes))
    fit = Fit(white[1:] - white[0], part, knots[1:])
    return View(white[0, 0], fit, inside, np.geomspace(knots[1], knots[-1], _N_SIZES))


def _near(prepared: Prepared, search: SwapSearch, others: Sequence[Leak], leak: Leak) -> IndexArray:
    """Return the columns where a leak beside others is likeliest, its own among them."""
    gain = search.given(sorted({column_of(prepared, one) for one in others}))
    candidates = prepared.candidates
    pipe = _pipe_of(candidates, leak)
    best = np.argsort(-gain, kind="stable")[:_N_NEAR]
    return np.union1d(best, [candidates.start[pipe], candidates.end[pipe]])


def _pipe_of(candidates: Candidates, leak: Leak) -> int:
    return int(np.flatnonzero(candidates.link == leak.link)[0])


def _between(
    candidates: Candidates, columns: IndexArray, n_columns: int
) -> tuple[Candidates, IndexArray]:
    """Return candidates with both ends among some columns, and which they are."""
    new = np.full(n_columns, -1, dtype=np.int64)
    new[columns] = np.arange(len(columns))
    start, end = new[candidates.start], new[candidates.end]
    inside = np.flatnonzero((start >= 0) & (end >= 0))
    link, prior = candidates.link[inside], candidates.log_prior[inside]
    return Candidates(link, start[inside], end[inside], prior), inside


def _move(prepared: Prepared, views: dict[int, View], leaks: list[Leak], at: int) -> float:
    """Move one leak to its best place while the others' sizes give way.

    Returns:
        Square of what they all leave of the residual.
    """
    view, residual = views[at], prepared.whitened.residual
    others = [n for n in range(len(leaks)) if n != at]
    directions = [_direction(prepared, views.get(n), leaks[n]) for n in others]
    gain = view.gain(residual, soften(directions, len(residual)))
    pipe, place, size = np.unravel_index(int(gain.argmax()), gain.shape)
    leaks[at] = view.place_of(int(pipe), int(place), int(size))
    left = residual - view.stay - view.effect(leaks[at])
    if others:
        spread = np.stack(directions, axis=1)
        give = np.linalg.solve(spread.T @ spread + np.eye(len(others)), spread.T @ left)
        give = np.clip(give, -_GIVES, _GIVES)
        for n, more in zip(others, give, strict=True):
            leaks[n] = replace(leaks[n], flow_m3s=leaks[n].flow_m3s * (1.0 + float(more)))
        left = left - spread @ give
    return float(left @ left)


def _direction(prepared: Prepared, view: View | None, leak: Leak) -> FloatArray:
    """Return how a leak's effect changes with its size, relative, shape (n_current,)."""
    if view is not None:
        return view.direction(leak)
    return prepared.fit.at(_pipe_of(prepared.candidates, leak), leak.place, leak.flow_m3s)


def _is_still(before: Sequence[Leak], leaks: Sequence[Leak]) -> bool:
    return all(
        (one.link, one.place) == (other.link, other.place)
        and abs(one.flow_m3s / other.flow_m3s - 1.0) < _STILL
        for one, other in zip(before, leaks, strict=True)
    )
