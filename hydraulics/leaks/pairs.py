"""The two places, of all pairs of places, that together explain a residual best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hydraulics.network import FloatArray

_ALIKE = 1e-6
"""Share of an effect that the other must not explain, or its size could not be told."""
_UNLIKE = 4.0
"""Square of the distance between effects that are unlike, in standard deviations."""
_BLOCK = 256


@dataclass(frozen=True, slots=True)
class Pair:
    """Two places.

    Attributes:
        one: Row of the first among its effects.
        other: Row of the second among its own.
        sizes: How much of each, above 0.
        gain: Half of what they take off the residual's square, with what is fixed.
    """

    one: int
    other: int
    sizes: tuple[float, float]
    gain: float


@dataclass(frozen=True, slots=True)
class Explained:
    """What places explain at their best sizes, alone or in pairs.

    Attributes:
        sizes: Of each leak, by place or by pair, shape (1, n_ones) or (2, n_ones, n_others).
        gain: Half of what they take off the residual's square, -inf where a size could not be told
            or would not be above 0.
        determinant: Of the inner products of their effects.
    """

    sizes: FloatArray
    gain: FloatArray
    determinant: FloatArray


def best_pairs(
    one: FloatArray,
    other: FloatArray,
    residual: FloatArray,
    fixed: Sequence[FloatArray] = (),
    most: int = 1,
) -> list[Pair]:
    """Return the best pairs of all that are unlike one another, the best first.

    Args:
        one: Whitened effects by unit of the first, shape (n_ones, n_entries).
        other: Of the second, shape (n_others, n_entries).
        residual: Whitened, shape (n_entries,).
        fixed: Effects whose sizes are free beside them, each of shape (n_entries,).
        most: Pairs, at most.

    Returns:
        Pairs whose sizes are both above 0.
    """
    one, left = _beside(one, fixed), _beside(residual[None], fixed)[0]
    other = _beside(other, fixed)
    alone = 0.5 * (float(residual @ residual) - float(left @ left))
    square, along = _squares(other), other @ left
    rows: list[Pair] = []
    for first in range(0, len(one), _BLOCK):
        part = one[first : first + _BLOCK]
        rows += _best_of(first, part @ other.T, (_squares(part), square), (part @ left, along))
    chosen: list[Pair] = []
    taken: list[FloatArray] = []
    for pair in sorted(rows, key=lambda row: -row.gain):
        effect = pair.sizes[0] * one[pair.one]
        if all(float(((effect - before) ** 2).sum()) > _UNLIKE for before in taken):
            chosen.append(replace(pair, gain=pair.gain + alone))
            taken += [effect, pair.sizes[1] * other[pair.other]]
        if len(chosen) == most:
            break
    return chosen


def explained_alone(
    effect: FloatArray, residual: FloatArray, fixed: Sequence[FloatArray]
) -> Explained:
    """Return what each effect, by unit, explains beside some whose sizes are free."""
    own = _beside(effect, fixed)
    square, along = _squares(own), own @ residual
    good = (along > 0) & (square > _ALIKE * _squares(effect))
    square = np.where(good, square, 1.0)
    gain = np.where(good, 0.5 * along**2 / square, -np.inf)
    return Explained((along / square)[None], gain, square)


def explained_in_pairs(
    one: FloatArray, other: FloatArray, residual: FloatArray, fixed: Sequence[FloatArray]
) -> Explained:
    """Return what each pair of effects, by unit, explains beside some whose sizes are free."""
    one, other = _beside(one, fixed), _beside(other, fixed)
    square, along = (_squares(one), _squares(other)), (one @ residual, other @ residual)
    return _explained(one @ other.T, square, along)


def _best_of(
    first: int,
    gram: FloatArray,
    square: tuple[FloatArray, FloatArray],
    along: tuple[FloatArray, FloatArray],
) -> list[Pair]:
    """Return the best pair of each row of inner products, gram of shape (n_ones, n_others)."""
    found = _explained(gram, square, along)
    (x, y), gain = found.sizes, found.gain
    best = gain.argmax(axis=1)
    return [
        Pair(first + i, int(j), (float(x[i, j]), float(y[i, j])), float(gain[i, j]))
        for i, j in enumerate(best)
        if np.isfinite(gain[i, j])
    ]


def _explained(
    gram: FloatArray,
    square: tuple[FloatArray, FloatArray],
    along: tuple[FloatArray, FloatArray],
) -> Explained:
    a, b = square[0][:, None], square[1][None, :]
    p, q = along[0][:, None], along[1][None, :]
    rest = a * b - gram**2
    good = rest > _ALIKE * a * b
    rest = np.where(good, rest, 1.0)
    x, y = (b * p - gram * q) / rest, (a * q - gram * p) / rest
    gain = np.where(good & (x > 0) & (y > 0), 0.5 * (x * p + y * q), -np.inf)
    return Explained(np.stack([x, y]), gain, rest)


def _beside(effect: FloatArray, fixed: Sequence[FloatArray]) -> FloatArray:
    """Return effects without what lies along some others."""
    if not fixed:
        return effect
    along, _ = np.linalg.qr(np.stack(fixed, axis=1))
    return np.asarray(effect - (effect @ along) @ along.T, dtype=np.float64)


def _squares(effect: FloatArray) -> FloatArray:
    return np.asarray(np.einsum("ij,ij->i", effect, effect), dtype=np.float64)
