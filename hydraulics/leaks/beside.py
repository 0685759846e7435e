"""Leaks beside one another: one state with all of a set running, and each a small change from it.

EPANET solves each row with all of a set running; one leak of it elsewhere, or at another size, is
then a small change, and changes of several add up. The sizes of the others are left free in their
effects' directions, for together they are known far better than each alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cholesky

from hydraulics.leaks.posterior import PLACES, Candidates, Fit, Whitened
from hydraulics.leaks.prepared import Leak, Prepared
from hydraulics.network import FloatArray, IndexArray

_NEAR = np.array([0.5, 1.0, 1.8])
"""Sizes around a leak's own, with it as unit."""
_OWN = 1
"""Which of them is its own."""
_N_SIZES = 48
_STEP = 0.05


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

    @property
    def unit(self) -> FloatArray:
        """Effect of every place by unit outflow, at its own size, shape (n_all, n_current)."""
        white, at = self.fit.white[_OWN] / self.fit.knots[_OWN], self.fit.candidates
        part = PLACES[:, None]
        both = (1.0 - part) * white[at.start, None] + part * white[at.end, None]
        return np.asarray(both.reshape(-1, white.shape[1]), dtype=np.float64)

    @property
    def log_prior(self) -> FloatArray:
        """The prior of every place, its ln, shape (n_all,)."""
        by_place = self.fit.candidates.log_prior - np.log(len(PLACES))
        return np.repeat(by_place, len(PLACES))

    def effect(self, leak: Leak) -> FloatArray:
        """Return the whitened effect of a leak that is near by, shape (n_current,)."""
        return self.fit.at(pipe_of(self.fit.candidates, leak), leak.place, leak.flow_m3s)

    def direction(self, leak: Leak) -> FloatArray:
        """Return how that changes with the size, relative, shape (n_current,)."""
        more = self.effect(replace(leak, flow_m3s=leak.flow_m3s * (1.0 + _STEP)))
        less = self.effect(replace(leak, flow_m3s=leak.flow_m3s * (1.0 - _STEP)))
        return np.asarray((more - less) / (2.0 * _STEP), dtype=np.float64)

    def along(self, leak: Leak) -> FloatArray:
        """Return how it changes from the start of the leak's pipe to its end, (n_current,)."""
        return self.effect(replace(leak, place=1.0)) - self.effect(replace(leak, place=0.0))

    def gain(self, left: FloatArray, factor: FloatArray) -> FloatArray:
        """Return ln-likelihood over the others alone, shape (n_near, n_places, n_sizes).

        Args:
            left: Whitened residual without what the others do, shape (n_current,).
            factor: Of the covariance of what the others leave open, as `soften` gives it.
        """
        again = Whitened(factor, left, left)
        fit = Fit(again.whiten_last(self.fit.white), self.fit.candidates, self.fit.knots)
        return fit.gain(again.whiten_last(left), self.sizes_m3s)

    def place_of(self, pipe: int, place: int, size: int) -> Leak:
        """Return the leak at an index of the gain."""
        link = int(self.fit.candidates.link[pipe])
        return Leak(link, float(PLACES[place]), float(self.sizes_m3s[size]))


@dataclass(frozen=True, slots=True)
class Wide:
    """What one leak of a set would do at many nodes while the others stay.

    Attributes:
        columns: Which nodes, ascending, shape (n_places,).
        stay: Whitened effect of the others alone, shape (n_current,).
        white: Whitened effects beside them, at sizes around its own, shape
            (n_knots, n_places, n_current).
        knots_m3s: Those sizes, shape (n_knots,).
    """

    columns: IndexArray
    stay: FloatArray
    white: FloatArray
    knots_m3s: FloatArray

    @property
    def unit(self) -> FloatArray:
        """Effect by unit outflow at the leak's own size, shape (n_places, n_current)."""
        return np.asarray(self.white[_OWN] / self.knots_m3s[_OWN], dtype=np.float64)

    def view(self, prepared: Prepared, near: IndexArray) -> View:
        """Return it near by, at some of the columns."""
        at = np.searchsorted(self.columns, near)
        part, inside = _between(prepared.candidates, near, len(prepared.nodes))
        fit = Fit(self.white[:, at], part, self.knots_m3s)
        sizes = np.geomspace(self.knots_m3s[0], self.knots_m3s[-1], _N_SIZES)
        return View(self.stay, fit, inside, sizes)


def look(prepared: Prepared, leaks: Sequence[Leak], at: int, columns: IndexArray) -> Wide:
    """Return one of some leaks beside the others, at some nodes and the ends of its own pipe.

    Raises:
        NotConvergedError: EPANET found no state with these leaks at a row.
    """
    others, leak = [*leaks[:at], *leaks[at + 1 :]], leaks[at]
    columns = np.union1d(columns, ends_of(prepared, leak))
    knots = leak.flow_m3s * _NEAR
    effect = prepared.around(others, leak, prepared.nodes[columns], knots)
    stay = effect_of(prepared, others)
    return Wide(columns, stay, prepared.whitened.whiten_last(effect) - stay, knots)


def effect_of(prepared: Prepared, leaks: Sequence[Leak]) -> FloatArray:
    """Return the whitened effect of a set, by EPANET, shape (n_current,).

    Raises:
        NotConvergedError: EPANET found no state with these leaks at a row.
    """
    return prepared.whitened.whiten_last(prepared.together(leaks))


def ends_of(prepared: Prepared, leak: Leak) -> IndexArray:
    """Return the columns of the ends of a leak's pipe."""
    at, pipe = prepared.candidates, pipe_of(prepared.candidates, leak)
    return np.array([at.start[pipe], at.end[pipe]], dtype=np.int64)


def pipe_of(candidates: Candidates, leak: Leak) -> int:
    """Return which candidate a leak's pipe is."""
    return int(np.flatnonzero(candidates.link == leak.link)[0])


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
