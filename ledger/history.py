"""Readings in columns: the blocks' readings, decoded once and kept while there is room."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ledger.blocks import Body
from ledger.index import group_by_series
from twin.readings import Column, FloatArray, QualityArray, Series, TimeArray

MAX_KEPT_READINGS: Final = 8_000_000  # 25 bytes each


@dataclass(frozen=True, slots=True)
class Piece:
    """The readings of one series in one block, in order of time.

    Attributes:
        time_ns: Source time [ns since the Unix epoch], shape (n,), not falling.
        value: In the series' unit, shape (n,).
        quality: Quality bytes, shape (n,).
        leaf_index: Place of each in the block, shape (n,).
    """

    time_ns: TimeArray
    value: FloatArray
    quality: QualityArray
    leaf_index: TimeArray

    def between(self, from_ns: int, to_ns: int) -> Piece:
        """Return the readings in [from, to)."""
        start, stop = np.searchsorted(self.time_ns, (from_ns, to_ns), side="left")
        part = slice(int(start), int(stop))
        return Piece(
            self.time_ns[part], self.value[part], self.quality[part], self.leaf_index[part]
        )


Pieces = dict[bytes, Piece]


def pieces_of(body: Body) -> Pieces:
    """Return the readings of a block by series id."""
    found: Pieces = {}
    for run in body.runs:
        for key, where in group_by_series(run.rows):
            piece = _piece(run.rows[where], where + run.first_index)
            found[key] = piece if key not in found else _joined([found[key], piece])
    return found


def _piece(rows: npt.NDArray[np.void], leaf_index: npt.NDArray[np.intp]) -> Piece:
    time_ns = rows["time"].astype(np.int64)
    order = np.argsort(time_ns, kind="stable")
    return Piece(
        time_ns[order],
        rows["value"].astype(np.float64)[order],
        rows["quality"].astype(np.uint8)[order],
        leaf_index.astype(np.int64)[order],
    )


def _joined(pieces: list[Piece]) -> Piece:
    time_ns = np.concatenate([p.time_ns for p in pieces])
    order = np.argsort(time_ns, kind="stable")
    return Piece(
        time_ns[order],
        np.concatenate([p.value for p in pieces])[order],
        np.concatenate([p.quality for p in pieces])[order],
        np.concatenate([p.leaf_index for p in pieces])[order],
    )


class PieceCache:
    """Keeps the decoded readings of the blocks that were asked for last."""

    def __init__(self, load: Callable[[int], Body]) -> None:
        self._load = load
        self._kept: OrderedDict[int, Pieces] = OrderedDict()
        self._n_readings = 0

    def pieces(self, height: int) -> Pieces:
        """Return the readings of a block by series id."""
        if height in self._kept:
            self._kept.move_to_end(height)
            return self._kept[height]
        found = pieces_of(self._load(height))
        self._kept[height] = found
        self._n_readings += _count(found)
        while self._n_readings > MAX_KEPT_READINGS and len(self._kept) > 1:
            _, dropped = self._kept.popitem(last=False)
            self._n_readings -= _count(dropped)
        return found


def _count(pieces: Pieces) -> int:
    return sum(len(piece.time_ns) for piece in pieces.values())


def assemble(series: Series, found: list[tuple[int, Piece]]) -> Column:
    """Return the column of a series from its pieces, each with its block's height."""
    if not found:
        empty = np.empty(0, np.int64)
        return Column(series, empty, np.empty(0), np.empty(0, np.uint8), empty, empty)
    time_ns = np.concatenate([piece.time_ns for _, piece in found])
    height = np.repeat([h for h, _ in found], [len(p.time_ns) for _, p in found]).astype(np.int64)
    column = Column(
        series,
        time_ns,
        np.concatenate([piece.value for _, piece in found]),
        np.concatenate([piece.quality for _, piece in found]),
        height,
        np.concatenate([piece.leaf_index for _, piece in found]),
    )
    return column if bool(np.all(time_ns[1:] >= time_ns[:-1])) else _in_order(column)


def _in_order(column: Column) -> Column:
    order = np.argsort(column.time_ns, kind="stable")
    return Column(
        column.series,
        column.time_ns[order],
        column.value[order],
        column.quality[order],
        column.height[order],
        column.leaf_index[order],
    )
