"""Sparse L D Lᵀ of the matrices that networks make, with what depends on topology done once.

The matrix is that of conductances between nodes of unknown head, and from them to known heads
(their *ground*): A[i, i] = ground[i] + the sum of conductances at i, A[i, j] = minus the
conductance between i and j. Eliminating a node turns the star around it into a mesh between its
neighbours, whose conductances and grounds only grow by products of positive numbers. No difference
is ever taken, so the factor is exact to a few roundings of each entry however far conductances lie
apart, and a part of the network without a ground meets a pivot of exactly 0.

Source:
    Star–mesh transform; A. S. Alfa, J. Xue and Q. Ye, "Accurate computation of the smallest
    eigenvalue of a diagonally dominant M-matrix", Math. Comp. 71 (2002), for the absence of
    differences; A. George and J. W. H. Liu, "The evolution of the minimum degree ordering
    algorithm", SIAM Review 31 (1989).
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hydraulics.compiled import compiled
from hydraulics.errors import HydraulicsError
from hydraulics.network import BoolArray, FloatArray, IndexArray

PlaceArray = npt.NDArray[np.int32]


class SingularError(HydraulicsError):
    """A part of the network has no ground, so nothing fixes its heads.

    Attributes:
        unknown: One of its unknowns.
    """

    def __init__(self, unknown: int) -> None:
        super().__init__(unknown)
        self.unknown = unknown

    def __str__(self) -> str:
        return f"nothing fixes the head of unknown {self.unknown}: mask what no source reaches"


@dataclass(frozen=True, slots=True)
class Symbolic:
    """All of a factor that depends on topology only.

    Places are unknowns in their order of elimination. Entries of L below the diagonal lie column
    by column, each column's rows rising.

    Attributes:
        order: Unknown at each place, shape (n,).
        place: Place of each unknown, shape (n,).
        column_at: Where each column's entries begin, shape (n + 1,).
        row: Place of each entry's row, shape (n_entries,).
        target: Entry that each pair of entries of a column adds to, pair by pair.
        edge_start: Place of each edge's start, -1 where its head is known, shape (n_edges,).
        edge_end: The same of its end.
        edge_entry: Entry that each edge adds to, -1 where an end is known or both are the same.
    """

    order: IndexArray
    place: IndexArray
    column_at: PlaceArray
    row: PlaceArray
    target: PlaceArray
    edge_start: PlaceArray
    edge_end: PlaceArray
    edge_entry: PlaceArray

    @property
    def n_unknowns(self) -> int:
        """Number of unknowns."""
        return len(self.order)

    @property
    def n_entries(self) -> int:
        """Number of entries of L below its diagonal."""
        return len(self.row)


@dataclass(frozen=True, slots=True)
class Factor:
    """A numeric factor; it owns its numbers, so no other snapshot can change them.

    Attributes:
        symbolic: Its topology.
        lower: Minus each entry of L below the diagonal, at least 0, shape (n_entries,).
        pivot: Diagonal of D, above 0, shape (n,), by place.
    """

    symbolic: Symbolic
    lower: FloatArray
    pivot: FloatArray

    def solve(self, right: FloatArray) -> FloatArray:
        """Return A⁻¹ `right`, both of shape (n,) or (n, n_columns), by unknown."""
        symbolic = self.symbolic
        block = right.reshape(len(right), -1)[symbolic.order]
        self.solve_in_place(block)
        return np.asarray(block[symbolic.place].reshape(right.shape), dtype=np.float64)

    def solve_in_place(self, block: FloatArray) -> None:
        """Turn right sides into solutions, by place, shape (n, n_columns), C-contiguous."""
        symbolic = self.symbolic
        _solve(symbolic.column_at, symbolic.row, self.lower, self.pivot, block)

    def columns(self, unknowns: IndexArray) -> FloatArray:
        """Return columns of A⁻¹, by place, shape (n, n_columns); that of unknown -1 is zero."""
        symbolic = self.symbolic
        at = np.where(unknowns >= 0, symbolic.place[unknowns], -1).astype(np.int32)
        block = np.empty((symbolic.n_unknowns, len(unknowns)))
        nowhere, nothing = np.empty(0, dtype=np.int32), np.empty((0, len(unknowns)))
        self.columns_with(at, nowhere, nothing, block)
        return block

    def columns_with(
        self, at: PlaceArray, others: PlaceArray, less: FloatArray, block: FloatArray
    ) -> None:
        """Solve for right sides that are 1 at one place, less what they are at a few others.

        The way down from a place is its path to the root of the elimination tree, which is short;
        only the way back passes through all places.

        Args:
            at: Place where each column is 1, -1 for none, shape (n_columns,).
            others: Places where all columns have values, shape (n_others,).
            less: What is taken from the columns there, shape (n_others, n_columns).
            block: Where the solutions go, by place, shape (n, n_columns), overwritten.
        """
        symbolic = self.symbolic
        _columns(symbolic.column_at, symbolic.row, self.lower, self.pivot, at, others, less, block)


def analyse(n_unknowns: int, start: IndexArray, end: IndexArray) -> Symbolic:
    """Return the order of elimination and the pattern of L, by least degree.

    Args:
        n_unknowns: Number of unknowns.
        start: Unknown at each edge's start, -1 where the head is known, shape (n_edges,).
        end: The same at its end.
    """
    order, pattern = _postordered(*_eliminate_symbolically(n_unknowns, start, end))
    place = np.empty(n_unknowns, dtype=np.int64)
    place[order] = np.arange(n_unknowns)
    counts = np.array([len(column) for column in pattern], dtype=np.int64)
    column_at = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    rows = [np.sort(place[column]) for column in pattern]
    row = np.concatenate(rows).astype(np.int32) if n_unknowns else np.empty(0, dtype=np.int32)
    target = np.empty(int((counts * (counts - 1) // 2).sum()), dtype=np.int32)
    _pair_targets(column_at, row, target)
    known_last = np.append(place, -1).astype(np.int32)
    edge_start, edge_end = known_last[start], known_last[end]
    edge_entry = np.empty(len(start), dtype=np.int32)
    _edge_entries(column_at, row, edge_start, edge_end, edge_entry)
    return Symbolic(order, place, column_at, row, target, edge_start, edge_end, edge_entry)


def factorize(symbolic: Symbolic, conductance: FloatArray, ground: FloatArray) -> Factor:
    """Return the factor of A.

    Args:
        symbolic: Its topology.
        conductance: Of each edge, at least 0, shape (n_edges,); edges to known heads too.
        ground: Further conductance from each unknown to known heads, at least 0, (n_unknowns,).

    Raises:
        SingularError: A part of the network has no ground.
    """
    lower = np.zeros(symbolic.n_entries)
    pivot = ground[symbolic.order]
    _assemble(
        symbolic.edge_start, symbolic.edge_end, symbolic.edge_entry, conductance, lower, pivot
    )
    failed = _eliminate(symbolic.column_at, symbolic.row, symbolic.target, lower, pivot)
    if failed >= 0:
        raise SingularError(int(symbolic.order[failed]))
    return Factor(symbolic, lower, pivot)


def _eliminate_symbolically(
    n_unknowns: int, start: IndexArray, end: IndexArray
) -> tuple[list[int], list[list[int]]]:
    """Return unknowns in the order of their elimination, and each one's neighbours then."""
    beside: list[set[int]] = [set() for _ in range(n_unknowns)]
    for one, other in zip(start.tolist(), end.tolist(), strict=True):
        if one >= 0 and other >= 0 and one != other:
            beside[one].add(other)
            beside[other].add(one)
    waiting = [(len(beside[i]), i) for i in range(n_unknowns)]
    heapq.heapify(waiting)
    is_done = [False] * n_unknowns
    order: list[int] = []
    pattern: list[list[int]] = []
    while waiting:
        degree, node = heapq.heappop(waiting)
        if is_done[node] or degree != len(beside[node]):
            continue  # it was pushed again when its degree changed
        is_done[node] = True
        order.append(node)
        pattern.append(list(beside[node]))
        for other in pattern[-1]:
            beside[other] |= beside[node]
            beside[other] -= {node, other}
            heapq.heappush(waiting, (len(beside[other]), other))
    return order, pattern


def _postordered(order: list[int], pattern: list[list[int]]) -> tuple[IndexArray, list[list[int]]]:
    """Return the same elimination with each subtree together, so that memory is read in runs."""
    n = len(order)
    at = {node: k for k, node in enumerate(order)}
    parent = [min((at[node] for node in column), default=n) for column in pattern]
    children: list[list[int]] = [[] for _ in range(n + 1)]
    for k in range(n):
        children[parent[k]].append(k)
    sequence: list[int] = []
    stack = [n]
    while stack:  # parents before children, last branch first: the reverse is a postorder
        k = stack.pop()
        sequence.append(k)
        stack.extend(children[k])
    sequence.reverse()
    kept = sequence[:-1]
    return np.array([order[k] for k in kept], dtype=np.int64), [pattern[k] for k in kept]


@compiled
def _find(row: PlaceArray, low: int, high: int, wanted: int) -> int:
    while low < high:
        middle = (low + high) // 2
        if row[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def _pair_targets(column_at: PlaceArray, row: PlaceArray, target: PlaceArray) -> None:
    """Find, for each two entries of a column, the entry where their rows meet."""
    t = 0
    for j in range(len(column_at) - 1):
        for p in range(column_at[j], column_at[j + 1]):
            column = row[p]
            for r in range(p + 1, column_at[j + 1]):
                target[t] = _find(row, column_at[column], column_at[column + 1], row[r])
                t += 1


@compiled
def _edge_entries(
    column_at: PlaceArray,
    row: PlaceArray,
    edge_start: PlaceArray,
    edge_end: PlaceArray,
    edge_entry: PlaceArray,
) -> None:
    for k in range(len(edge_entry)):
        low = min(edge_start[k], edge_end[k])
        high = max(edge_start[k], edge_end[k])
        if low < 0 or low == high:
            edge_entry[k] = -1
        else:
            edge_entry[k] = _find(row, column_at[low], column_at[low + 1], high)


@compiled
def _assemble(  # noqa: PLR0913, PLR0917 - what it reads, then what it fills
    edge_start: PlaceArray,
    edge_end: PlaceArray,
    edge_entry: PlaceArray,
    conductance: FloatArray,
    weight: FloatArray,
    ground: FloatArray,
) -> None:
    for k in range(len(edge_entry)):
        entry = edge_entry[k]
        if entry >= 0:
            weight[entry] += conductance[k]
        elif edge_start[k] != edge_end[k]:
            ground[max(edge_start[k], edge_end[k])] += conductance[k]


@compiled
def _eliminate(
    column_at: PlaceArray,
    row: PlaceArray,
    target: PlaceArray,
    weight: FloatArray,
    ground: FloatArray,
) -> int:
    """Turn conductances into the factor, grounds into pivots; return a place without ground."""
    t = 0
    for j in range(len(ground)):
        low, high = column_at[j], column_at[j + 1]
        own = ground[j]
        total = own
        for p in range(low, high):
            total += weight[p]
        if not total > 0.0:
            return j
        inverse = 1.0 / total
        for p in range(low, high):
            share = weight[p] * inverse
            ground[row[p]] += share * own
            for r in range(p + 1, high):
                weight[target[t]] += share * weight[r]
                t += 1
            weight[p] = share
        ground[j] = total
    return -1


@compiled
def _solve(
    column_at: PlaceArray,
    row: PlaceArray,
    lower: FloatArray,
    pivot: FloatArray,
    block: FloatArray,
) -> None:
    n_columns = block.shape[1]
    for j in range(len(pivot)):
        for p in range(column_at[j], column_at[j + 1]):
            value, i = lower[p], row[p]
            for c in range(n_columns):
                block[i, c] += value * block[j, c]
    for j in range(len(pivot) - 1, -1, -1):
        inverse = 1.0 / pivot[j]
        for c in range(n_columns):
            block[j, c] *= inverse
        for p in range(column_at[j], column_at[j + 1]):
            value, i = lower[p], row[p]
            for c in range(n_columns):
                block[j, c] += value * block[i, c]


@compiled
def _columns(  # noqa: PLR0913, PLR0917 - what it reads, then what it fills
    column_at: PlaceArray,
    row: PlaceArray,
    lower: FloatArray,
    pivot: FloatArray,
    at: PlaceArray,
    others: PlaceArray,
    less: FloatArray,
    block: FloatArray,
) -> None:
    is_met = np.zeros(len(pivot), dtype=np.bool_)
    _clear_paths(column_at, row, at, is_met, block)
    _clear_paths(column_at, row, others, is_met, block)
    for c in range(len(at)):
        _down(column_at, row, lower, at[c], block[:, c])
    path = np.zeros(len(pivot))
    for n in range(len(others)):
        path[:] = 0.0
        _down(column_at, row, lower, others[n], path)
        for j in range(others[n], len(pivot)):
            if path[j] != 0.0:
                for c in range(len(at)):
                    block[j, c] -= path[j] * less[n, c]
    _back(column_at, row, lower, pivot, is_met, block)


@compiled
def _clear_paths(
    column_at: PlaceArray,
    row: PlaceArray,
    at: PlaceArray,
    is_met: BoolArray,
    block: FloatArray,
) -> None:
    """Mark and clear the places between each of `at` and the root."""
    for c in range(len(at)):
        j = at[c]
        while j >= 0 and not is_met[j]:
            is_met[j] = True
            block[j] = 0.0
            j = row[column_at[j]] if column_at[j] < column_at[j + 1] else -1


@compiled
def _down(
    column_at: PlaceArray, row: PlaceArray, lower: FloatArray, at: int, column: FloatArray
) -> None:
    """Add the solution of L x = e to a column, along the path to the root; -1 adds nothing."""
    j = at
    if j >= 0:
        column[j] += 1.0
    while j >= 0:
        for p in range(column_at[j], column_at[j + 1]):
            column[row[p]] += lower[p] * column[j]
        j = row[column_at[j]] if column_at[j] < column_at[j + 1] else -1


@compiled
def _back(  # noqa: PLR0913, PLR0917 - what it reads, then what it fills
    column_at: PlaceArray,
    row: PlaceArray,
    lower: FloatArray,
    pivot: FloatArray,
    is_met: BoolArray,
    block: FloatArray,
) -> None:
    """Solve D Lᵀ y = x, where x is zero at places that no path met."""
    n_columns = block.shape[1]
    for j in range(len(pivot) - 1, -1, -1):
        low, high = column_at[j], column_at[j + 1]
        own = block[j]
        if is_met[j]:
            inverse = 1.0 / pivot[j]
            for c in range(n_columns):
                own[c] *= inverse
        elif low < high:
            value, above = lower[low], block[row[low]]
            for c in range(n_columns):
                own[c] = value * above[c]
            low += 1
        else:
            own[:] = 0.0
        for p in range(low, high):
            value, above = lower[p], block[row[p]]
            for c in range(n_columns):
                own[c] += value * above[c]
