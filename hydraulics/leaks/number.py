"""How many leaks run: one more always explains more, so each pays for its place and its size.

A set is worth its likelihood times the share of the prior that does about as well. Two leaks that
make up for one another do as well at many pairs of places, however few there are for either while
the other stays; so that share is a sum over pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from scipy.special import gammaln, logsumexp

from hydraulics.leaks.climb import Settled, effects
from hydraulics.leaks.pairs import Explained, explained_alone, explained_in_pairs
from hydraulics.leaks.prepared import Prepared
from hydraulics.network import FloatArray

_ONE_MORE = 0.1
"""How much less likely it is, before anything is read, that one leak more runs."""


def weigh_number(prepared: Prepared, found: Sequence[Settled]) -> FloatArray:
    """Return the probability of each number of leaks, shape (len(found),), one first.

    What all sets leave unexplained divides their log-likelihoods, as for one leak.
    """
    divisor = prepared.left_of(min(one.square for one in found))
    score = np.array([_log_evidence(prepared, one, divisor) for one in found])
    score += np.log(_ONE_MORE) * np.arange(len(found))
    return np.asarray(np.exp(score - logsumexp(score)), dtype=np.float64)


def _log_evidence(prepared: Prepared, settled: Settled, divisor: float) -> float:
    """Return ln-likelihood of a set, with ln of the share of the prior that does about as well.

    The two that are weighed in pairs are those of which most pairs do. A set is the same in every
    order of its leaks.
    """
    every = range(len(settled.leaks))
    begun: list[tuple[int, ...]] = [*combinations(every, 2)] or [(0,)]
    orders = [[first, *((n,) for n in every if n not in first)] for first in begun]
    share = max(_log_share(prepared, settled, order, divisor) for order in orders)
    return float(gammaln(len(every) + 1)) + share - 0.5 * settled.square / divisor


def _log_share(
    prepared: Prepared, settled: Settled, order: Sequence[tuple[int, ...]], divisor: float
) -> float:
    """Return ln of that share, a product along a chain.

    Each link, a pair or one leak, has those before it where they are, and the sizes of those after
    it open.
    """
    own = effects(settled)
    left, share = settled.left + sum(own), 0.0
    for at, link in enumerate(order):
        later = [own[n] for after in order[at + 1 :] for n in after]
        units = [settled.views[n].unit for n in link]
        priors = [settled.views[n].log_prior for n in link]
        if len(link) == 1:
            found, prior = explained_alone(units[0], left, later), priors[0]
        else:
            found = explained_in_pairs(units[0], units[1], left, later)
            prior = priors[0][:, None] + priors[1]
        share += log_share(found, prior, prepared.sizes_m3s, divisor)
        left = left - sum(own[n] for n in link)
    return share


def log_share(
    found: Explained, log_prior: FloatArray, sizes_m3s: FloatArray, divisor: float
) -> float:
    """Return ln of the share of the prior that does as well as the best places and sizes.

    Args:
        found: What places explain, alone or in pairs.
        log_prior: ln of the prior of each place or pair.
        sizes_m3s: Sizes that are possible, evenly in their logarithm, rising.
        divisor: What ln-likelihoods are divided by.

    Source:
        Laplace's approximation for the sizes; D. J. C. MacKay, "Bayesian interpolation", Neural
        Comput. 4(3), 1992.
    """
    size, n_leaks = found.sizes, len(found.sizes)
    good = ((size >= sizes_m3s[0]) & (size <= sizes_m3s[-1])).all(axis=0) & (found.gain > 0)
    if not good.any():
        return float(log_prior.min())  # the set itself is one place that does as well
    gain, size = found.gain[good], size[:, good]
    width = 0.5 * (n_leaks * np.log(2.0 * np.pi * divisor) - np.log(found.determinant[good]))
    width -= np.log(size).sum(axis=0) + n_leaks * np.log(np.log(sizes_m3s[-1] / sizes_m3s[0]))
    return float(logsumexp(log_prior[good] + width + (gain - gain.max()) / divisor))
