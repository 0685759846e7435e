"""Loops over all candidates, each pipe once: products of signatures, gains, evidences.

The same in whole arrays needs many passes over hundreds of thousands of numbers.
"""

from __future__ import annotations

import math

import numpy as np

from hydraulics.compiled import compiled
from hydraulics.network import FloatArray, IndexArray

_NOTHING = -50.0
"""ln of a share of the likeliest candidate that a million of add up to nothing."""


@compiled
def fill_own(white: FloatArray, same: FloatArray, up: FloatArray) -> None:
    """Fill in products of each column's signature with itself and with its own at the next size.

    Args:
        white: Whitened signatures, shape (n_knots, n_columns, n_current).
        same: Squared lengths, shape (n_knots, n_columns), overwritten.
        up: Products with the next knot, shape (n_knots - 1, n_columns), overwritten.
    """
    n_knots, n_columns, n_current = white.shape
    for knot in range(n_knots):
        for column in range(n_columns):
            own, total = white[knot, column], 0.0
            for n in range(n_current):
                total += own[n] * own[n]
            same[knot, column] = total
            if knot + 1 < n_knots:
                above, total = white[knot + 1, column], 0.0
                for n in range(n_current):
                    total += own[n] * above[n]
                up[knot, column] = total


@compiled
def fill_ends(
    white: FloatArray, start: IndexArray, end: IndexArray, level: FloatArray, across: FloatArray
) -> None:
    """Fill in products of the signatures at the two ends of each pipe.

    Args:
        white: Whitened signatures, shape (n_knots, n_columns, n_current).
        start: Column of each pipe's start, shape (n_pipes,).
        end: The same of its end.
        level: Products at one size, shape (n_knots, n_pipes), overwritten.
        across: Either end's with the other's at the next size, added up, shape
            (n_knots - 1, n_pipes), overwritten.
    """
    n_knots, _, n_current = white.shape
    for knot in range(n_knots):
        for pipe in range(len(start)):
            one, other, total = white[knot, start[pipe]], white[knot, end[pipe]], 0.0
            for n in range(n_current):
                total += one[n] * other[n]
            level[knot, pipe] = total
            if knot + 1 < n_knots:
                one_up, other_up = white[knot + 1, start[pipe]], white[knot + 1, end[pipe]]
                total = 0.0
                for n in range(n_current):
                    total += one[n] * other_up[n] + one_up[n] * other[n]
                across[knot, pipe] = total


@compiled
def fill_gain(  # noqa: PLR0913, PLR0917 - what it reads, then what it fills
    along: FloatArray,
    own: FloatArray,
    cross: FloatArray,
    start: IndexArray,
    end: IndexArray,
    places: FloatArray,
    gain: FloatArray,
) -> None:
    """Fill in ln-likelihoods over that of no leak.

    Args:
        along: Product of each column's signature with the residual, shape (n_columns, n_sizes).
        own: Squared length of each column's signature, shape (n_columns, n_sizes).
        cross: Product of the signatures at a pipe's ends, shape (n_pipes, n_sizes).
        start: Column of each pipe's start, shape (n_pipes,).
        end: The same of its end.
        places: Fractions from the start, shape (n_places,).
        gain: Shape (n_pipes, n_places, n_sizes), overwritten.
    """
    for pipe in range(len(start)):
        one, other = along[start[pipe]], along[end[pipe]]
        own_one, own_other, both = own[start[pipe]], own[end[pipe]], cross[pipe]
        for place in range(len(places)):
            x = places[place]
            y = 1.0 - x
            row = gain[pipe, place]
            for s in range(len(row)):
                square = y * y * own_one[s] + 2.0 * x * y * both[s] + x * x * own_other[s]
                row[s] = y * one[s] + x * other[s] - 0.5 * square


@compiled
def fill_shares(
    gain: FloatArray, divisor: float, by_place: FloatArray, by_size: FloatArray
) -> None:
    """Fill in sums of likelihoods over sizes and over places, over that of each pipe's likeliest.

    Args:
        gain: ln-likelihoods, shape (n_pipes, n_places, n_sizes).
        divisor: What they are divided by.
        by_place: Shape (n_pipes, n_places), overwritten.
        by_size: Shape (n_pipes, n_sizes), overwritten.
    """
    for pipe in range(len(gain)):
        highest, sizes = gain[pipe].max(), by_size[pipe]
        least = highest + _NOTHING * divisor
        sizes[:] = 0.0
        for place in range(gain.shape[1]):
            row, total = gain[pipe, place], 0.0
            for s in range(len(row)):
                if row[s] > least:
                    share = math.exp((row[s] - highest) / divisor)
                    total += share
                    sizes[s] += share
            by_place[pipe, place] = total


@compiled
def log_sum(  # noqa: PLR0913, PLR0917 - what it reads
    gain: FloatArray,
    log_prior: FloatArray,
    divisor: float,
    along: FloatArray,
    start: IndexArray,
    end: IndexArray,
    places: FloatArray,
    projected: float,
    shrunk: float,
) -> float:
    """Return the ln of the sum of all candidates' likelihoods, each also fit by one direction.

    Args:
        gain: Shape (n_pipes, n_places, n_sizes).
        log_prior: ln of each pipe's prior, shape (n_pipes,).
        divisor: What gains are divided by.
        along: Product of each column's signature with the direction, (n_columns, n_sizes).
        start: Column of each pipe's start, shape (n_pipes,).
        end: The same of its end.
        places: Fractions from the start, shape (n_places,).
        projected: Product of the residual with the direction.
        shrunk: What the square of what is left along the direction adds to a gain.
    """
    top, total = -math.inf, 0.0
    joint = np.empty(gain.shape[2])
    for pipe in range(len(start)):
        one, other = along[start[pipe]], along[end[pipe]]
        for place in range(len(places)):
            x, row, highest = places[place], gain[pipe, place], -math.inf
            for s in range(len(row)):
                left = projected - ((1.0 - x) * one[s] + x * other[s])
                joint[s] = (row[s] + shrunk * left * left) / divisor + log_prior[pipe]
                highest = max(highest, joint[s])
            if highest > top:
                total *= math.exp(top - highest)
                top = highest
            if highest > top + _NOTHING:
                for s in range(len(row)):
                    if joint[s] > top + _NOTHING:
                        total += math.exp(joint[s] - top)
    return top + math.log(total)
