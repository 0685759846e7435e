"""Several leaks at once, when nobody knows how many.

Sets of each number are begun in two ways: in whitened second-order effects from the leak-free
states, and with one leak beside the set of one less. They then move together in EPANET's states,
with all of them running. Their number is chosen by evidence, in which each leak pays for how
precisely its place and its size must be chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hydraulics.errors import NotConvergedError
from hydraulics.leaks.amid import named
from hydraulics.leaks.answer import localization
from hydraulics.leaks.beside import View, soften
from hydraulics.leaks.climb import Settled, Tried, at_node, climb, effects, likeliest_of, settled_at
from hydraulics.leaks.measurements import KnownLeak, Localization, Measurements, Progress
from hydraulics.leaks.number import weigh_number
from hydraulics.leaks.pairs import best_pairs
from hydraulics.leaks.posterior import Fit, Weighed, Whitened, weigh
from hydraulics.leaks.prepared import SEARCHING, Leak, Prepared, prepare
from hydraulics.leaks.settings import LocalizeSettings
from hydraulics.leaks.swaps import ColumnSet, SwapSearch
from hydraulics.network import FloatArray, IndexArray, NetworkModel

_N_STARTS = 24
_PAIR = 2
_SHARES = (0.5, 0.3, 0.15)
"""Parts of the whole flow that the first of two leaks is taken to have."""
_N_TRIED = 3
"""Sets of one kind that are tried in EPANET's states before one is followed."""
_PROMISED, _GAINED = 4.0, 2.0
"""Gain in ln-likelihood with which one leak more is looked for: what it promises by small changes,
or where it begins already has in EPANET's states; less never pays for one."""
_N_ALIKE = 24
_N_AROUND = 1_500
"""Nodes whose effect is worked out again with a set running, at most."""


@dataclass(frozen=True, slots=True)
class SeveralLeaks:
    """How many leaks run, and where each may be given the others.

    Attributes:
        number: Probability of each number of leaks, that of one first, shape (n_tried,); numbers
            that were not tried promise too little to pay for.
        leaks: A posterior for each leak of the most probable number, the largest first.
        amid: Which pipe of each posterior to name, by its position there: from none is more of
            its probability in reach.
        seed: What the search was started with.
    """

    number: FloatArray
    leaks: tuple[Localization, ...]
    amid: tuple[int, ...]
    seed: int


def localize_several(  # noqa: PLR0913 - each is a thing of its own
    inp: Path,
    model: NetworkModel,
    measurements: Measurements,
    known: Sequence[KnownLeak] = (),
    *,
    most: int = 4,
    seed: int = 1,
    settings: LocalizeSettings | None = None,
    progress: Progress | None = None,
) -> SeveralLeaks:
    """Return how many new leaks run, one at least, and where each may be.

    Args:
        inp: The network's EPANET file.
        model: The same network as arrays.
        measurements: Readings of the current window and, if there is one, of a leak-free one.
        known: Leaks that were found before and still run.
        most: Most leaks to look for, at least 1.
        seed: Of the sets that the search starts with; one seed gives one answer.
        settings: What a run may be told.
        progress: Called as the run goes on.

    Raises:
        EmptyWindowError: No rows of the current window.
        NoPressureError: No pressure sensor with usable readings.
        NotConvergedError: EPANET found no state at any row, or none with a leak at some row.
    """
    assert most >= 1, "at least one leak is looked for"
    with prepare(
        inp, model, measurements, known, settings=settings, progress=progress, doubts=False
    ) as prepared:
        found = _sets(prepared, most, np.random.default_rng(seed))
        number = weigh_number(prepared, found)
        best = found[int(number.argmax())]
        leaks = _answers(prepared, best)
        return SeveralLeaks(number, leaks, tuple(named(model, one) for one in leaks), seed)


def _sets(prepared: Prepared, most: int, draw: np.random.Generator) -> list[Settled]:
    """Return the best set of each number, up to where one leak more is not worth it."""
    found: list[Settled] = []
    pipe, place, alone_m3s = prepared.weigh().best()
    one = Leak(int(prepared.candidates.link[pipe]), place, alone_m3s)
    columns = np.sort(_search(prepared, alone_m3s).likeliest(_N_AROUND))
    tried = _likeliest(prepared, [[[one]]])
    for n_leaks in range(1, most + 1):
        prepared.tell("look for one leak more", n_leaks - 1, most)
        if found:
            tried = _begun(prepared, columns, found, alone_m3s, draw)
        reached = _reached(prepared, columns, tried)
        if reached is None:
            break
        found.append(reached)
        if n_leaks > _PAIR and _is_last_best(prepared, found):
            found[-2] = _without_one(prepared, columns, found)
        if not _is_last_best(prepared, found):
            break
    prepared.tell("look for one leak more", most, most)
    if not found:
        raise NotConvergedError(int(prepared.solved.rows[-1].time_s), "with a leak in place")
    return found


def _is_last_best(prepared: Prepared, found: Sequence[Settled]) -> bool:
    return int(weigh_number(prepared, found).argmax()) == len(found) - 1


def _without_one(prepared: Prepared, columns: IndexArray, found: Sequence[Settled]) -> Settled:
    """Return the last set but one, or what the last becomes without its smallest leak."""
    largest_first = sorted(found[-1].leaks, key=lambda one: -one.flow_m3s)
    again = _reached(prepared, columns, _likeliest(prepared, [[largest_first[:-1]]]))
    return found[-2] if again is None or again.square > found[-2].square else again


def _likeliest(prepared: Prepared, kinds: Sequence[Sequence[Sequence[Leak]]]) -> list[Tried]:
    """Return the best set of each kind in EPANET's states, where it has one."""
    best = [likeliest_of(prepared, sets) for sets in kinds]
    return [one for one in best if one is not None]


def _reached(prepared: Prepared, columns: IndexArray, tried: Sequence[Tried]) -> Settled | None:
    """Return where the best of some sets leads.

    All are followed for a step, and the one that has come farthest to where nothing is better.
    None where EPANET finds no state.
    """
    begun: list[Settled] = []
    for one in tried:
        with suppress(NotConvergedError):
            begun.append(climb(prepared, columns, settled_at(prepared, columns, one), 1))
    if not begun:
        return None
    return climb(prepared, columns, min(begun, key=lambda one: one.square))


def _begun(
    prepared: Prepared,
    columns: IndexArray,
    found: Sequence[Settled],
    alone_m3s: float,
    draw: np.random.Generator,
) -> list[Tried]:
    """Return the best sets of one leak more to begin with; none where none is worth a look.

    One has a leak beside the last set, the other is in effects from the leak-free states. It is
    worth it where the first promises enough, or one of them leaves so much less in EPANET's states;
    where only one leaves less than the last set, that is enough.
    """
    n_leaks = len(found) + 1
    promised, beside = _one_more(prepared, columns, found[-1], alone_m3s / n_leaks)
    if n_leaks == _PAIR:
        plain = [two for share in _SHARES for two in _two(prepared, columns, alone_m3s, share)]
    else:
        search = _search(prepared, alone_m3s / n_leaks)
        plain = [_begin(prepared, one) for one in search.best(n_leaks, _N_STARTS, draw)[:_N_TRIED]]
    tried, square = _likeliest(prepared, [beside, plain]), found[-1].square
    divisor = prepared.left_of(square)
    gained = max((0.5 * (square - one.square) for one in tried), default=0.0)
    if promised < _PROMISED * divisor and gained < _GAINED * divisor:
        return []
    return [one for one in tried if one.square < square] or tried


def _one_more(
    prepared: Prepared, columns: IndexArray, settled: Settled, size_m3s: float
) -> tuple[float, list[list[Leak]]]:
    """Return sets with one leak more and one of the others elsewhere.

    Returns:
        Half of what the best of them should take off the square, and the sets, the best first.
    """
    least = replace(settled.leaks[0], flow_m3s=float(prepared.sizes_m3s[0]))
    knots = np.array([size_m3s])
    effect = prepared.around(settled.leaks, least, prepared.nodes[columns], knots)[0]
    without = prepared.whitened.residual - settled.left
    unit = np.asarray((prepared.whitened.whiten_last(effect) - without) / size_m3s)
    own = effects(settled)
    total = settled.left + sum(own)
    now = 0.5 * (float(total @ total) - settled.square)
    found: list[tuple[float, list[Leak]]] = []
    for at, wide in enumerate(settled.wide):
        fixed = [*own[:at], *own[at + 1 :]]
        for pair in best_pairs(wide.unit, unit, total, fixed, _N_TRIED):
            leaks = list(settled.leaks)
            leaks[at] = at_node(prepared, int(wide.columns[pair.one]), pair.sizes[0])
            more = at_node(prepared, int(columns[pair.other]), pair.sizes[1])
            found.append((pair.gain - now, [*leaks, more]))
    found.sort(key=lambda one: -one[0])
    return (found[0][0] if found else 0.0), [leaks for _, leaks in found[:_N_TRIED]]


def _two(
    prepared: Prepared, columns: IndexArray, alone_m3s: float, share: float
) -> list[list[Leak]]:
    """Return the best sets of two in effects from the leak-free states, at one split."""
    one, other = (_unit(prepared, columns, part * alone_m3s) for part in (share, 1.0 - share))
    pairs = best_pairs(one, other, prepared.whitened.residual, most=_N_TRIED)
    return [
        [
            at_node(prepared, int(columns[row]), size)
            for row, size in zip((pair.one, pair.other), pair.sizes, strict=True)
        ]
        for pair in pairs
    ]


def _unit(prepared: Prepared, columns: IndexArray, size_m3s: float) -> FloatArray:
    """Return effects by unit outflow, as they are at one size, shape (n_places, n_current)."""
    fit = prepared.fit
    at, low, high = fit.weights(np.array([size_m3s]))
    effect = low[0] * fit.white[at[0]][columns] + high[0] * fit.white[at[0] + 1][columns]
    return np.asarray(effect / size_m3s, dtype=np.float64)


def _search(prepared: Prepared, size_m3s: float) -> SwapSearch:
    """Return a search in effects by unit outflow, as they are at one size."""
    every = np.arange(len(prepared.nodes))
    return SwapSearch(_unit(prepared, every, size_m3s), prepared.whitened.residual)


def _begin(prepared: Prepared, found: ColumnSet) -> list[Leak]:
    """Return leaks at the nodes of a set."""
    both = zip(found.columns, found.sizes, strict=True)
    return [at_node(prepared, column, size) for column, size in both]


def _answers(prepared: Prepared, settled: Settled) -> tuple[Localization, ...]:
    """Return each leak's posterior beside the others, whose sizes and places are open."""
    # Beside others a place is told less surely than the others' first-order doubt says.
    divisor = SEARCHING * prepared.temper * prepared.left_of(settled.square)
    every = range(len(settled.leaks))
    unknown = [_unknown(prepared, settled, at, divisor) for at in every]
    answers = []
    for at in sorted(every, key=lambda n: -settled.leaks[n].flow_m3s):
        others = [one for n in every if n != at for one in unknown[n]]
        factor = soften(others, len(prepared.whitened.residual))
        own = _beside(prepared, settled.views[at], factor)
        weighed = _weighed(prepared, own, settled.views[at], factor, divisor)
        answers.append(localization(own, weighed))
    return tuple(answers)


def _unknown(prepared: Prepared, settled: Settled, at: int, divisor: float) -> list[FloatArray]:
    """Return directions in which a leak's effect is open: its size, and its likely places."""
    view, leaks = settled.views[at], settled.leaks
    if len(leaks) == 1:
        return []
    others = [settled.views[n].direction(leaks[n]) for n in range(len(leaks)) if n != at]
    gain = view.gain(prepared.whitened.residual - view.stay, soften(others, len(view.stay)))
    result = weigh(view.fit.candidates, gain, divisor)
    likeliest = np.argsort(-result.pipe, kind="stable")[:_N_ALIKE]
    share = result.pipe[likeliest] / result.pipe[likeliest].sum()
    own, away = view.effect(leaks[at]), [view.direction(leaks[at])]
    for pipe, part in zip(likeliest, share, strict=True):
        place, size = np.unravel_index(int(gain[pipe].argmax()), gain.shape[1:])
        other = view.effect(view.place_of(int(pipe), int(place), int(size)))
        away.append(np.sqrt(part) * (other - own))
    return away


def _beside(prepared: Prepared, view: View, factor: FloatArray) -> Prepared:
    """Return the same measurements with the other leaks in what is expected."""
    left = prepared.whitened.residual - view.stay
    again, own = Whitened(factor, left, left), prepared.whitened.factor
    whitened = Whitened(np.asarray(own @ factor), again.whiten_last(left), np.asarray(own @ left))
    fit = Fit(again.whiten_last(prepared.fit.white), prepared.candidates, prepared.knots_m3s)
    return replace(prepared, whitened=whitened, fit=fit)


def _weighed(
    prepared: Prepared, own: Prepared, view: View, factor: FloatArray, divisor: float
) -> Weighed:
    """Return one leak's posterior: near by beside the others, elsewhere as if they were not."""
    gain = own.fit.gain(own.whitened.residual, view.sizes_m3s)
    gain[view.inside] = view.gain(prepared.whitened.residual - view.stay, factor)
    result = weigh(prepared.candidates, gain, divisor)
    return Weighed(own.fit, gain, view.sizes_m3s, result)
