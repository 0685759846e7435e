"""The likeliest places again: around the likeliest leak in place, and in the end by EPANET."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hydraulics.errors import NotConvergedError
from hydraulics.leaks.asked import Asked
from hydraulics.leaks.posterior import Candidates, Fit, Weighed, weigh
from hydraulics.leaks.prepared import SEARCHING, Leak, Prepared
from hydraulics.leaks.signatures import exact
from hydraulics.network import FloatArray, IndexArray

_FAR = 40.0
"""Tempered ln-likelihood below the best from which a pipe is not looked at closely."""
_UNLIKELY = 1e-6
"""Probability that nodes may hold together and not be looked at with the leak in place."""
_UNASKED = 0.05
"""Probability that pipes may hold of which EPANET is asked at neither end."""
_MOST_APART = 2.0
"""How many times the one below a size at which effects are worked out may be."""
_MOST_ROUNDS = 4
_SETTLED = 0.1
"""Probability that moves to other pipes by EPANET's answers, below which it is not asked again."""


@dataclass(frozen=True, slots=True)
class _Around:
    """What a leak at some nodes does, worked out with the likeliest one in place.

    Attributes:
        effect: Effects on the entries, shape (n_knots, n_places, n_current).
        white: The same, whitened.
        nodes: The nodes, shape (n_places,).
        knots_m3s: Sizes of the leak, shape (n_knots,).
    """

    effect: FloatArray
    white: FloatArray
    nodes: IndexArray
    knots_m3s: FloatArray


def refine(prepared: Prepared, weighed: Weighed) -> Weighed:
    """Weigh the likeliest pipes again, with the likeliest leak in place, then by EPANET."""
    settings = prepared.settings
    knots = _closer_knots(weighed)
    weighed = _closer(prepared, weighed, knots)
    found, nodes = None, _likeliest(prepared, weighed)
    for done in range(settings.n_rounds):
        prepared.tell("put the likeliest leak in place", done, settings.n_rounds)
        pipe, place, size = weighed.best()
        leak = Leak(int(prepared.candidates.link[pipe]), place, size)
        try:
            found = _put_in_place(prepared, leak, nodes, knots)
        except NotConvergedError:
            break
        weighed = _merge(prepared, weighed, found)
    prepared.tell("put the likeliest leak in place", settings.n_rounds, settings.n_rounds)
    if settings.n_exact and found is not None:
        weighed = _by_epanet(prepared, weighed, found)
    # Places are known as well as they say, sizes less: all users together err in ways of their own.
    sure = _weighed_again(prepared, weighed, weighed.gain, doubt=1.0)
    return replace(sure, size=weighed.result.size)


def _put_in_place(
    prepared: Prepared, leak: Leak, nodes: IndexArray, knots_m3s: FloatArray
) -> _Around:
    """Return what leaks at some nodes do, worked out with a likely one in place.

    No leak at all has no effect; what is then found is the error of taking the one in place out
    again. It shrinks to nothing, nearly evenly, as leaks grow as large as that one.
    """
    with_none = prepared.around((), leak, nodes, np.append(0.0, knots_m3s))
    left = np.clip(1.0 - knots_m3s / leak.flow_m3s, 0.0, 1.0)
    effect = with_none[1:] - left[:, None, None] * with_none[0]
    return _Around(effect, prepared.whitened.whiten_last(effect), nodes, knots_m3s)


def _likeliest(prepared: Prepared, weighed: Weighed) -> IndexArray:
    """Return the nodes where the leak may be, the most likely first, shape (at most n_near,)."""
    share = _share(prepared, weighed)
    found = _holding(prepared, prepared.nodes, share, 1.0 - _UNLIKELY)
    return prepared.nodes[found[: prepared.settings.n_near]]


def _share(prepared: Prepared, weighed: Weighed) -> FloatArray:
    """Return half the probability of the pipes at each column, shape (n_columns,)."""
    pipe, at = weighed.result.pipe, prepared.candidates
    n_columns = len(prepared.nodes)
    share = np.bincount(at.start, pipe, n_columns) + np.bincount(at.end, pipe, n_columns)
    return np.asarray(0.5 * share, dtype=np.float64)


def _holding(prepared: Prepared, nodes: IndexArray, share: FloatArray, wanted: float) -> IndexArray:
    """Return which nodes hold nearly all and which lie next to them, the most likely first.

    A leak multiplies the flow of the pipes that feed it. So what is known of its effect so far may
    be worst, and a place look unlikely, right beside the likeliest.

    Args:
        prepared: The measurements.
        nodes: The nodes, shape (n_places,).
        share: Probability at each, shape (n_places,).
        wanted: How much is to be held.
    """
    order = np.argsort(-share, kind="stable")
    held = order[: int(np.searchsorted(np.cumsum(share[order]), wanted)) + 1]
    model, link = prepared.model, prepared.candidates.link
    ends = np.stack([model.start[link], model.end[link]])
    beside = ends[:, np.isin(ends, nodes[held]).any(axis=0)]
    return order[np.isin(nodes, beside)[order]]


def _closer_knots(weighed: Weighed) -> FloatArray:
    low, mid, high = weighed.quantiles((0.03, 0.5, 0.97))
    low, high = min(low * 0.8, mid * 0.6), max(high * 1.2, mid * 1.6)
    if high <= _MOST_APART**2 * low:
        return np.array([low, mid, high])
    n_knots = 1 + int(np.ceil(np.log(high / low) / np.log(_MOST_APART)))
    return np.geomspace(low, high, n_knots)


def _closer(prepared: Prepared, weighed: Weighed, knots_m3s: FloatArray) -> Weighed:
    """Lay the sizes closely where the leak's may be: meters can know it to a percent."""
    sizes = np.geomspace(knots_m3s[0], knots_m3s[-1], prepared.settings.n_sizes)
    gain = weighed.fit.gain(prepared.whitened.residual, sizes)
    return _weighed_again(prepared, replace(weighed, sizes_m3s=sizes), gain)


def _weighed_again(
    prepared: Prepared, weighed: Weighed, gain: FloatArray, doubt: float = SEARCHING
) -> Weighed:
    """Weigh other gains, with the prior of the sizes that were tried at first."""
    result = weigh(prepared.candidates, gain, prepared.divisor(gain, doubt))
    tried, now = prepared.sizes_m3s, weighed.sizes_m3s
    narrowed = np.log(np.log(now[-1] / now[0]) / np.log(tried[-1] / tried[0]))
    result = replace(result, log_evidence=result.log_evidence + float(narrowed))
    return replace(weighed, gain=gain, result=result)


def _merge(
    prepared: Prepared, weighed: Weighed, found: _Around, *, closely: bool = False
) -> Weighed:
    """Put the gains of some places in the place of rougher ones.

    Args:
        prepared: The measurements.
        weighed: The rougher ones.
        found: What leaks at some nodes do.
        closely: Whether to look between the places of pipes that may hold the leak.
    """
    part, inside = _between(prepared, found.nodes)
    if not len(inside):
        return weighed
    residual, sizes = prepared.whitened.residual, weighed.sizes_m3s
    fit = Fit(found.white, part, found.knots_m3s)
    gain = weighed.gain.copy()
    gain[inside] = fit.gain(residual, sizes)
    if closely:
        divisor, best = prepared.divisor(gain), gain.max(axis=(1, 2))
        near = np.flatnonzero(best[inside] >= best.max() - _FAR * divisor)
        gain[inside[near]] = fit.gain_between(residual, sizes, divisor, near)
    return _weighed_again(prepared, weighed, gain)


def _between(prepared: Prepared, nodes: IndexArray) -> tuple[Candidates, IndexArray]:
    """Return candidates with both ends among some nodes, and which they are."""
    column = np.full(prepared.model.n_nodes, -1, dtype=np.int64)
    column[nodes] = np.arange(len(nodes))
    at = prepared.candidates
    start = column[prepared.model.start[at.link]]
    end = column[prepared.model.end[at.link]]
    inside = np.flatnonzero((start >= 0) & (end >= 0))
    part = Candidates(at.link[inside], start[inside], end[inside], at.log_prior[inside])
    return part, inside


def _by_epanet(prepared: Prepared, weighed: Weighed, found: _Around) -> Weighed:
    """Correct effects by their error at the likeliest nodes, each at its own likeliest size.

    Where that leaves much at other nodes or sizes, EPANET is asked again.
    """
    asked = Asked(found.white, found.knots_m3s)
    for _ in range(_MOST_ROUNDS):
        columns, size = _likeliest_unasked(prepared, weighed, found.nodes, asked)
        if not len(columns):
            break
        error = prepared.whitened.whiten_last(_errors(prepared, found, columns, size))
        asked.add(columns, size, error)
        before = weighed.result.pipe
        corrected = replace(found, white=found.white + asked.correction())
        weighed = _merge(prepared, weighed, corrected, closely=True)
        if 0.5 * float(np.abs(weighed.result.pipe - before).sum()) < _SETTLED:
            break
    return weighed


def _likeliest_unasked(
    prepared: Prepared, weighed: Weighed, nodes: IndexArray, asked: Asked
) -> tuple[IndexArray, FloatArray]:
    """Return which of the likeliest nodes to ask EPANET of, and the size at each [m³/s].

    None, if those that it was not asked of hold hardly any probability.
    """
    share = _share(prepared, weighed)[np.searchsorted(prepared.nodes, nodes)]
    columns = _holding(prepared, nodes, share, 1.0 - _UNASKED)[: prepared.settings.n_exact]
    size = _own_sizes(prepared, weighed, nodes[columns])
    is_new = ~asked.knows(columns, size)
    if share[columns[is_new]].sum() < _UNASKED:
        return columns[:0], size[:0]
    return columns[is_new], size[is_new]


def _own_sizes(prepared: Prepared, weighed: Weighed, nodes: IndexArray) -> FloatArray:
    """Return the likeliest size of a leak near each node [m³/s], shape (n_places,)."""
    at, model = prepared.candidates, prepared.model
    top = weighed.gain.max(axis=1)
    sizes = []
    for node in nodes:
        beside = (model.start[at.link] == node) | (model.end[at.link] == node)
        sizes.append(weighed.sizes_m3s[int(top[beside].max(axis=0).argmax())])
    return np.array(sizes)


def _errors(
    prepared: Prepared, found: _Around, asked: IndexArray, size_m3s: FloatArray
) -> FloatArray:
    """Return EPANET's effects beyond ours at some nodes, shape (n_asked, n_current)."""
    at, low, high = Fit.weigh_knots(found.knots_m3s, size_m3s)
    ours = low[:, None] * found.effect[at, asked] + high[:, None] * found.effect[at + 1, asked]
    error = np.full_like(ours, np.nan)
    solved, current = prepared.solved, prepared.solved.current
    for done, n in enumerate(current):
        prepared.tell("check the likeliest places with EPANET", done, len(current))
        true = exact(
            prepared.solver,
            solved.observed,
            solved.sensitivity[n],
            solved.rows[n],
            (solved.predicted[n], solved.tangents[n].state),
            found.nodes[asked],
            size_m3s * solved.leak_factor[n, found.nodes[asked]],
        )
        of = np.flatnonzero(prepared.layout.row == n)
        beyond = true[prepared.layout.observed[of]].T - ours[:, of]
        error[:, of] = np.nan_to_num(beyond)  # where EPANET finds no state, ours has to do
    prepared.tell("check the likeliest places with EPANET", len(current), len(current))
    return error
