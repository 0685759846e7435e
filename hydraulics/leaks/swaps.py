"""Which few columns together explain a residual best, found by swapping one at a time.

A greedy search keeps its first column for ever, and that is the one between two true ones. Here
each column of a set is replaced by the best one given the others until nothing improves, from many
sets to start with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hydraulics.network import BoolArray, FloatArray, IndexArray

_ALIKE = 1e-6
"""Share of a column that the others must not explain, or its size could not be told."""


@dataclass(frozen=True, slots=True)
class ColumnSet:
    """Columns that explain a residual together.

    Attributes:
        columns: Which, ascending.
        sizes: How much of each, above 0.
        gain: Half of what they take off the residual's square: ln-likelihood over none.
    """

    columns: tuple[int, ...]
    sizes: tuple[float, ...]
    gain: float


class SwapSearch:
    """Searches columns of unit effects."""

    def __init__(self, effect: FloatArray, residual: FloatArray) -> None:
        """Take whitened effects, shape (n_columns, n_entries), and residual, (n_entries,)."""
        self.effect = effect
        self._along: FloatArray = effect @ residual
        self._square: FloatArray = np.einsum("ij,ij->i", effect, effect)
        self._gram: dict[int, FloatArray] = {}

    def best(
        self,
        n_leaks: int,
        n_starts: int,
        draw: np.random.Generator,
        begun: Sequence[tuple[int, ...]] = (),
    ) -> list[ColumnSet]:
        """Return the sets that nothing improves, the best first, each once.

        Args:
            n_leaks: Columns in a set, at least 1.
            n_starts: Sets drawn at random to start with.
            draw: Draws them.
            begun: Other sets to start with.
        """
        found: dict[tuple[int, ...], ColumnSet] = {}
        for start in [self._greedy(n_leaks), *begun, *self._random(n_leaks, n_starts, draw)]:
            settled = self._swap(start)
            if settled is not None:
                found[settled.columns] = settled
        return sorted(found.values(), key=lambda one: (-one.gain, one.columns))

    def given(self, others: Sequence[int]) -> FloatArray:
        """Return the gain of each column together with some others, shape (n_columns,).

        Where a size would not be above 0, it is -inf.
        """
        if not others:
            return self._where(self._along > 0, 0.5 * self._along**2 / self._safe_square)
        kept = list(others)
        rows = np.stack([self._row(column) for column in kept])
        pull = _solve(rows[:, kept], rows)
        alone = _solve(rows[:, kept], self._along[kept])
        own = self._square - (rows * pull).sum(axis=0)
        is_apart = own > _ALIKE * self._square
        along = self._along - pull.T @ self._along[kept]
        size = along / np.where(is_apart, own, 1.0)
        rest = alone[:, None] - pull * size
        gain = 0.5 * (float(self._along[kept] @ alone) + along * size)
        return self._where(is_apart & (size > 0) & (rest > 0).all(axis=0), gain)

    def likeliest(self, most: int) -> IndexArray:
        """Return the columns that explain most alone, the best first, shape (at most `most`,)."""
        return np.argsort(-self.given(()), kind="stable")[:most]

    @property
    def _safe_square(self) -> FloatArray:
        return np.maximum(self._square, 1e-300)

    @staticmethod
    def _where(good: BoolArray, gain: FloatArray) -> FloatArray:
        return np.asarray(np.where(good, gain, -np.inf), dtype=np.float64)

    def _row(self, column: int) -> FloatArray:
        if column not in self._gram:
            self._gram[column] = np.asarray(self.effect @ self.effect[column])
        return self._gram[column]

    def _greedy(self, n_leaks: int) -> tuple[int, ...]:
        chosen: tuple[int, ...] = ()
        for _ in range(n_leaks):
            chosen = (*chosen, int(self.given(chosen).argmax()))
        return chosen

    def _random(
        self, n_leaks: int, n_starts: int, draw: np.random.Generator
    ) -> list[tuple[int, ...]]:
        """Draw columns in proportion to the length along the residual."""
        weight = np.maximum(self._along, 0.0) / np.sqrt(self._safe_square)
        if int((weight > 0).sum()) < n_leaks:
            return []
        share = weight / weight.sum()
        drawn = [draw.choice(len(share), n_leaks, replace=False, p=share) for _ in range(n_starts)]
        return [tuple(int(column) for column in one) for one in drawn]

    def _swap(self, start: tuple[int, ...]) -> ColumnSet | None:
        chosen, gain, before = list(start), -np.inf, -np.inf
        while True:
            for at in range(len(chosen)):
                gains = self.given(chosen[:at] + chosen[at + 1 :])
                best = int(gains.argmax())
                if gains[best] > gain:
                    chosen[at], gain = best, float(gains[best])
            if not gain > before + 1e-9 * abs(gain):
                break
            before = gain
        return self._settled(tuple(sorted(chosen)), gain) if np.isfinite(gain) else None

    def _settled(self, columns: tuple[int, ...], gain: float) -> ColumnSet:
        kept = list(columns)
        gram = np.stack([self._row(column)[kept] for column in kept])
        sizes = _solve(gram, self._along[kept])
        return ColumnSet(columns, tuple(float(one) for one in sizes), gain)


def _solve(gram: FloatArray, right: FloatArray) -> FloatArray:
    """Solve where two columns may be one: all nodes of a dead end have the same effect."""
    ridge = 1e-9 * max(float(np.diag(gram).max()), 1e-300)
    return np.asarray(np.linalg.solve(gram + ridge * np.eye(len(gram)), right), dtype=np.float64)
