"""A set of leaks moves together to where it explains most.

In one state with all of a set running, every two of its leaks are tried at every two nodes at once,
for two that make up for one another can only move together. Then each moves within the pipes near
by. The state is worked out again with the leaks where they went, until that explains no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from hydraulics.errors import NotConvergedError
from hydraulics.leaks.beside import View, Wide, effect_of, ends_of, look, soften
from hydraulics.leaks.pairs import best_pairs, explained_alone
from hydraulics.leaks.posterior import PLACES
from hydraulics.leaks.prepared import Leak, Prepared
from hydraulics.network import FloatArray, IndexArray

_MOST_STEPS = 6
_N_JUMPS = 4
"""Sets with two leaks elsewhere that are tried at each step."""
_N_MOVES = 8
"""Pipes near by in which each leak is tried alone."""
_N_NEAR = 100
"""Nodes around which a leak is tried within pipes, at most."""
_N_CYCLES = 3
_WORTH = 0.1
"""Square of the residual that a step must take off."""
_GIVES = 0.5
"""Most that a size gives way at once, relative."""
_STILL = 0.01
"""Change of a size that is none, relative."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A set of leaks in EPANET's states.

    Attributes:
        leaks: The leaks.
        left: Whitened residual that they leave, shape (n_current,).
    """

    leaks: tuple[Leak, ...]
    left: FloatArray

    @property
    def square(self) -> float:
        """Square of what they leave."""
        return float(self.left @ self.left)


@dataclass(frozen=True, slots=True)
class Settled:
    """A set of leaks and what small changes of each would do, all in one state.

    Attributes:
        leaks: The leaks.
        views: Each beside the others, near by.
        wide: Each beside the others, at many nodes.
        left: Whitened residual that they leave in EPANET's states, shape (n_current,).
    """

    leaks: tuple[Leak, ...]
    views: tuple[View, ...]
    wide: tuple[Wide, ...]
    left: FloatArray

    @property
    def square(self) -> float:
        """Square of what they leave."""
        return float(self.left @ self.left)


def climb(
    prepared: Prepared, columns: IndexArray, begun: Settled, most: int = _MOST_STEPS
) -> Settled:
    """Move leaks to their best places together, with all of them running in EPANET's states.

    Args:
        prepared: The measurements.
        columns: Nodes where it is worth to try.
        begun: Where to start.
        most: Steps, at most.
    """
    best = begun
    for _ in range(most):
        now = _better(prepared, columns, best)
        if now is None:
            break
        best = now
    return best


def _better(prepared: Prepared, columns: IndexArray, best: Settled) -> Settled | None:
    """Return the set after the best of some steps, or None where none is better.

    One leak alone goes to other pipes near by only where all together find nothing better.
    """
    own = effects(best)
    total = best.left + sum(own)
    near = _within_pipes(best.views, total, best.leaks)
    steps = [near, _in_their_pipes(best.views, total, near)]
    jumps = _jumps(prepared, best, total, own)
    steps += [_near(prepared, best, total, jump) for jump in jumps[:1]] + jumps[1:]
    found = _worth(prepared, best, steps) or _worth(prepared, best, _alone(best, total))
    if found is not None:
        with suppress(NotConvergedError):
            return settled_at(prepared, columns, found)
    return None


def _alone(best: Settled, total: FloatArray) -> list[list[Leak]]:
    """Return sets with one leak in another pipe near by, and all at their best in their pipes."""
    return [
        _in_their_pipes(best.views, total, moved)
        for at in range(len(best.leaks))
        for moved in _moved(best.views, total, best.leaks, at, _N_MOVES)
    ]


def _worth(prepared: Prepared, best: Settled, steps: Sequence[Sequence[Leak]]) -> Tried | None:
    """Return the best step if it takes enough off the residual."""
    found = likeliest_of(prepared, [one for one in steps if not _is_still(best.leaks, one)])
    return None if found is None or found.square > best.square - _WORTH else found


def effects(settled: Settled) -> list[FloatArray]:
    """Return what each leak does beside the others, each of shape (n_current,)."""
    both = zip(settled.views, settled.leaks, strict=True)
    return [view.effect(leak) for view, leak in both]


def likeliest_of(prepared: Prepared, sets: Sequence[Sequence[Leak]]) -> Tried | None:
    """Return the set that leaves least of the residual in EPANET's states, None where none has."""
    tried: list[Tried] = []
    for leaks in sets:
        with suppress(NotConvergedError):
            left = prepared.whitened.residual - effect_of(prepared, leaks)
            tried.append(Tried(tuple(leaks), np.asarray(left, dtype=np.float64)))
    return min(tried, key=lambda one: one.square, default=None)


def settled_at(prepared: Prepared, columns: IndexArray, tried: Tried) -> Settled:
    """Return leaks where they are, and what they would do elsewhere.

    Args:
        prepared: The measurements.
        columns: Nodes where it is worth to try.
        tried: The leaks.

    Raises:
        NotConvergedError: EPANET found no state with these leaks at a row.
    """
    leaks, every = tried.leaks, range(len(tried.leaks))
    wide = tuple(look(prepared, leaks, at, columns) for at in every)
    own = [_own(prepared, wide[at], leaks[at]) for at in every]
    total = tried.left + sum(own)
    views = tuple(_view(prepared, wide, total, own, leaks, at) for at in every)
    return Settled(leaks, views, wide, tried.left)


def at_node(prepared: Prepared, column: int, size_m3s: float) -> Leak:
    """Return a leak at a node, in a pipe that ends there."""
    at, sizes = prepared.candidates, prepared.sizes_m3s
    pipe = int(np.flatnonzero((at.start == column) | (at.end == column))[0])
    place = float(PLACES[0] if at.start[pipe] == column else PLACES[-1])
    return Leak(int(at.link[pipe]), place, float(np.clip(size_m3s, sizes[0], sizes[-1])))


def _own(prepared: Prepared, wide: Wide, leak: Leak) -> FloatArray:
    """Return the effect of a leak where it is, by its pipe's ends, shape (n_current,)."""
    start, end = np.searchsorted(wide.columns, ends_of(prepared, leak))
    unit = wide.unit
    both = (1.0 - leak.place) * unit[start] + leak.place * unit[end]
    return np.asarray(leak.flow_m3s * both, dtype=np.float64)


def _view(  # noqa: PLR0913, PLR0917 - each is a thing of its own
    prepared: Prepared,
    wide: Sequence[Wide],
    total: FloatArray,
    own: Sequence[FloatArray],
    leaks: Sequence[Leak],
    at: int,
) -> View:
    """Return a leak near by: where it is likeliest beside the others, its own pipe among them."""
    beside = [effect for n, effect in enumerate(own) if n != at]
    gain = explained_alone(wide[at].unit, total, beside).gain
    near = wide[at].columns[np.argsort(-gain, kind="stable")[:_N_NEAR]]
    return wide[at].view(prepared, np.union1d(near, ends_of(prepared, leaks[at])))


def _jumps(
    prepared: Prepared, now: Settled, total: FloatArray, own: Sequence[FloatArray]
) -> list[list[Leak]]:
    """Return sets with two leaks elsewhere at once that should gain most, the best first."""
    found: list[tuple[float, list[Leak]]] = []
    least = 0.5 * (float(total @ total) - now.square) + 0.5
    for one, other in combinations(range(len(own)), 2):
        fixed = [effect for n, effect in enumerate(own) if n not in {one, other}]
        pairs = best_pairs(now.wide[one].unit, now.wide[other].unit, total, fixed, _N_JUMPS)
        for pair in pairs:
            leaks = list(now.leaks)
            at = now.wide[one].columns[pair.one], now.wide[other].columns[pair.other]
            leaks[one] = at_node(prepared, int(at[0]), pair.sizes[0])
            leaks[other] = at_node(prepared, int(at[1]), pair.sizes[1])
            if pair.gain > least:
                found.append((pair.gain, leaks))
    found.sort(key=lambda jump: -jump[0])
    return [leaks for _, leaks in found[:_N_JUMPS]]


def _near(prepared: Prepared, now: Settled, total: FloatArray, leaks: list[Leak]) -> list[Leak]:
    """Return leaks that jumped at their best places near by, in the state they came from."""
    every = range(len(leaks))
    if not all(np.isin(ends_of(prepared, leaks[n]), now.wide[n].columns).all() for n in every):
        return leaks
    own = [_own(prepared, now.wide[n], leaks[n]) for n in every]
    views = [_view(prepared, now.wide, total, own, leaks, n) for n in every]
    return _within_pipes(views, total, leaks)


def _within_pipes(views: Sequence[View], total: FloatArray, leaks: Sequence[Leak]) -> list[Leak]:
    """Move leaks one after the other to the best place near by while the others' sizes give way."""
    leaks = list(leaks)
    for _ in range(_N_CYCLES):
        before = list(leaks)
        for at in range(len(leaks)):
            leaks = _moved(views, total, leaks, at)[0]
        if _is_still(before, leaks):
            break
    return leaks


def _in_their_pipes(views: Sequence[View], total: FloatArray, leaks: Sequence[Leak]) -> list[Leak]:
    """Return leaks in the same pipes, at the places and sizes that explain most together."""
    both = list(zip(views, leaks, strict=True))
    left = total - sum(view.effect(leak) for view, leak in both)
    directions = [view.along(leak) for view, leak in both]
    directions += [view.direction(leak) for view, leak in both]
    give = _pull(directions, left)
    moved = zip(leaks, give[: len(leaks)], give[len(leaks) :], strict=True)
    return [
        replace(_sized(leak, size), place=float(np.clip(leak.place + way, 0.0, 1.0)))
        for leak, way, size in moved
    ]


def _moved(
    views: Sequence[View], total: FloatArray, leaks: Sequence[Leak], at: int, most: int = 1
) -> list[list[Leak]]:
    """Return sets with one leak in other pipes near by, the best first; the others' sizes give way.

    In each pipe it is at its best place.
    """
    others = [n for n in range(len(leaks)) if n != at]
    directions = [views[n].direction(leaks[n]) for n in others]
    left = total - sum(views[n].effect(leaks[n]) for n in others)
    gain = views[at].gain(left, soften(directions, len(total)))
    found: list[list[Leak]] = []
    for pipe in np.argsort(-gain.max(axis=(1, 2)), kind="stable")[:most]:
        place, size = np.unravel_index(int(gain[pipe].argmax()), gain.shape[1:])
        one = views[at].place_of(int(pipe), int(place), int(size))
        given = _give([leaks[n] for n in others], directions, left - views[at].effect(one))
        found.append([*given[:at], one, *given[at:]])
    return found


def _give(leaks: Sequence[Leak], directions: Sequence[FloatArray], left: FloatArray) -> list[Leak]:
    """Return leaks with sizes that take up what is left along their directions."""
    if not leaks:
        return []
    return [_sized(leak, give) for leak, give in zip(leaks, _pull(directions, left), strict=True)]


def _pull(directions: Sequence[FloatArray], left: FloatArray) -> FloatArray:
    """Return how far to go in directions of unit variance for what is left, one number each."""
    spread = np.stack(directions, axis=1)
    give = np.linalg.solve(spread.T @ spread + np.eye(len(directions)), spread.T @ left)
    return np.asarray(give, dtype=np.float64)


def _sized(leak: Leak, give: float) -> Leak:
    """Return a leak larger by a part of its size, or smaller."""
    return replace(leak, flow_m3s=leak.flow_m3s * float(1.0 + np.clip(give, -_GIVES, _GIVES)))


def _is_still(before: Sequence[Leak], leaks: Sequence[Leak]) -> bool:
    return all(
        (one.link, one.place) == (other.link, other.place)
        and abs(one.flow_m3s / other.flow_m3s - 1.0) < _STILL
        for one, other in zip(before, leaks, strict=True)
    )
