"""Several leaks at once, when nobody knows how many.

Sets of leaks are found by swaps in whitened second-order effects and then settled with all of them
in EPANET's states. Their number is chosen by evidence, in which each leak pays for how precisely
its place and its size must be chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.special import gammaln, logsumexp

from hydraulics.errors import NotConvergedError
from hydraulics.leaks.answer import localization
from hydraulics.leaks.beside import Settled, View, column_of, own_effect, settle, soften
from hydraulics.leaks.measurements import KnownLeak, Localization, Measurements, Progress
from hydraulics.leaks.posterior import PLACES, Fit, Weighed, Whitened, weigh
from hydraulics.leaks.prepared import Leak, Prepared, prepare
from hydraulics.leaks.settings import LocalizeSettings
from hydraulics.leaks.swaps import ColumnSet, SwapSearch
from hydraulics.network import FloatArray, NetworkModel

_N_STARTS = 24
_N_ALIKE = 24
_N_AROUND = 1_500
"""Nodes whose effect is worked out again with a set running, at most."""
_ONE_MORE = 0.1
"""How much less likely it is, before anything is read, that one leak more runs."""


@dataclass(frozen=True, slots=True)
class SeveralLeaks:
    """How many leaks run, and where each may be given the others.

    Attributes:
        number: Probability of each number of leaks, that of one first, shape (n_tried,); numbers
            that were not tried explain no more.
        leaks: A posterior for each leak of the most probable number, the largest first.
        seed: What the search was started with.
    """

    number: FloatArray
    leaks: tuple[Localization, ...]
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
        return SeveralLeaks(number, _answers(prepared, best), seed)


def _sets(prepared: Prepared, most: int, draw: np.random.Generator) -> list[Settled]:
    """Return the best set of each number, up to where one leak more is not worth it."""
    found: list[Settled] = []
    alone = prepared.weigh().best()[2]
    for n_leaks in range(1, most + 1):
        prepared.tell("look for one leak more", n_leaks - 1, most)
        search = _search(prepared, alone / n_leaks)
        begun = _one_more(prepared, search, found[-1]) if found else ()
        sets = search.best(n_leaks, _N_STARTS if n_leaks > 1 else 0, draw, [begun] if begun else [])
        if not sets:
            break
        try:
            found.append(_settled(prepared, search, sets[0], draw))
        except NotConvergedError:
            break
        if weigh_number(prepared, found).argmax() < len(found) - 1:
            break
    prepared.tell("look for one leak more", most, most)
    if not found:
        raise NotConvergedError(int(prepared.solved.rows[-1].time_s), "with a leak in place")
    return found


def _one_more(prepared: Prepared, search: SwapSearch, settled: Settled) -> tuple[int, ...]:
    """Return the columns of a set and the best one beside them, none where there is none."""
    own = tuple(sorted({column_of(prepared, one) for one in settled.leaks}))
    gain = search.given(own)
    if len(own) < len(settled.leaks) or not np.isfinite(gain.max()):
        return ()
    return (*own, int(gain.argmax()))


def _settled(
    prepared: Prepared, search: SwapSearch, begun: ColumnSet, draw: np.random.Generator
) -> Settled:
    """Settle a set; settle what is best around it where that is another, and keep the better."""
    first = settle(prepared, search, _begin(prepared, begun))
    n_leaks = len(first.leaks)
    if n_leaks == 1:
        return first
    around = _search_around(prepared, search, first)
    sets = around.best(n_leaks, _N_STARTS, draw, [begun.columns])
    if not sets or sets[0].columns == begun.columns:
        return first
    again = settle(prepared, around, _begin(prepared, sets[0]))
    return min(first, again, key=lambda one: one.square)


def _search_around(prepared: Prepared, search: SwapSearch, settled: Settled) -> SwapSearch:
    """Return a search in effects by unit outflow, as they are with all of a set running."""
    leaks, views = settled.leaks, settled.views
    at = int(np.argmax([one.flow_m3s for one in leaks]))
    others, size = [*leaks[:at], *leaks[at + 1 :]], np.mean([one.flow_m3s for one in leaks])
    columns = search.likeliest(_N_AROUND)
    knots = np.array([0.0, float(size)])
    effect = prepared.around(others, leaks[at], prepared.nodes[columns], knots)
    white = prepared.whitened.whiten_last(effect)
    unit = search.effect.copy()
    unit[columns] = (white[1] - white[0]) / size
    left = prepared.whitened.residual - views[at].stay - views[at].effect(leaks[at])
    return SwapSearch(unit, left + sum(own_effect(prepared, unit, one) for one in leaks))


def _search(prepared: Prepared, size_m3s: float) -> SwapSearch:
    """Return a search in effects by unit outflow, as they are at one size."""
    fit = prepared.fit
    at, low, high = fit.weights(np.array([size_m3s]))
    effect = low[0] * fit.white[at[0]] + high[0] * fit.white[at[0] + 1]
    return SwapSearch(np.asarray(effect / size_m3s), prepared.whitened.residual)


def _begin(prepared: Prepared, found: ColumnSet) -> list[Leak]:
    """Return leaks at the nodes of a set, each in a pipe that ends there."""
    at, sizes = prepared.candidates, prepared.sizes_m3s
    leaks = []
    for column, size in zip(found.columns, found.sizes, strict=True):
        pipe = int(np.flatnonzero((at.start == column) | (at.end == column))[0])
        place = float(PLACES[0] if at.start[pipe] == column else PLACES[-1])
        leaks.append(Leak(int(at.link[pipe]), place, float(np.clip(size, sizes[0], sizes[-1]))))
    return leaks


def weigh_number(prepared: Prepared, found: Sequence[Settled]) -> FloatArray:
    """Return the probability of each number of leaks, shape (len(found),), one first.

    What all sets leave unexplained divides their log-likelihoods, as for one leak.
    """
    divisor = _divisor(prepared, min(one.square for one in found))
    score = np.array([_log_evidence(prepared, one, divisor) for one in found])
    score += np.log(_ONE_MORE) * np.arange(len(found))
    return np.asarray(np.exp(score - logsumexp(score)), dtype=np.float64)


def _log_evidence(prepared: Prepared, settled: Settled, divisor: float) -> float:
    """Return ln-likelihood of a set, less the share of the prior that does about as well.

    That share is a product along the chain of the leaks: each given those before it, while the
    sizes of those after it are open. A set is the same in every order of its leaks.
    """
    leaks, views = settled.leaks, settled.views
    tried = float(np.log(prepared.sizes_m3s[-1] / prepared.sizes_m3s[0]))
    total = float(gammaln(len(leaks) + 1)) - 0.5 * settled.square / divisor
    for at, view in enumerate(views):
        later = [views[n].direction(leaks[n]) for n in range(at + 1, len(views))]
        factor = soften(later, len(view.stay))
        gain = view.gain(prepared.whitened.residual, factor) / divisor
        width = float(np.log(view.sizes_m3s[-1] / view.sizes_m3s[0])) / tried
        prior = view.fit.candidates.log_prior[:, None, None]
        share = np.log(width / (gain.shape[1] * gain.shape[2]))
        total += float(logsumexp(gain + prior)) + float(share) - float(gain.max())
    return total


def _divisor(prepared: Prepared, square: float) -> float:
    """Return what ln-likelihoods are divided by: what no set explains widens all."""
    left = square / max(len(prepared.whitened.residual), 1)
    return max(left, prepared.past_misfit, 1.0)


def _answers(prepared: Prepared, settled: Settled) -> tuple[Localization, ...]:
    """Return each leak's posterior beside the others, whose sizes and places are open."""
    divisor = prepared.settings.temper * _divisor(prepared, settled.square)
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
    gain = view.gain(prepared.whitened.residual, soften(others, len(view.stay)))
    result = weigh(view.fit.candidates, gain, divisor)
    likeliest = np.argsort(-result.pipe, kind="stable")[:_N_ALIKE]
    share = result.pipe[likeliest] / result.pipe[likeliest].sum()
    own, away = view.effect(leaks[at]), [view.direction(leaks[at])]
    for pipe, part in zip(likeliest, share, strict=True):
        place, size = np.unravel_index(int(result.weight[pipe].argmax()), gain.shape[1:])
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
    gain[view.inside] = view.gain(prepared.whitened.residual, factor)
    result = weigh(prepared.candidates, gain, divisor)
    return Weighed(own.fit, gain, view.sizes_m3s, result)
