"""What EPANET said of leaks at some nodes and sizes, and what that says of the others."""

from __future__ import annotations

import numpy as np

from hydraulics.network import BoolArray, FloatArray, IndexArray

_FURTHEST = 4.0
"""How much larger an error may be taken to be where a leak is larger than the ones asked."""
_SAME_SIZE = 1.25
"""How many times one size may be the other for an answer to hold for both."""


class Asked:
    """Errors of whitened effects, where EPANET was asked of them."""

    def __init__(self, white: FloatArray, knots_m3s: FloatArray) -> None:
        """Take effects of shape (n_knots, n_nodes, n_current) before any correction."""
        self._middle = white[len(knots_m3s) // 2]
        self._knots_m3s = knots_m3s
        self._column = np.empty(0, dtype=np.int64)
        self._size_m3s = np.empty(0)
        self._error = np.empty((0, white.shape[-1]))

    def add(self, columns: IndexArray, size_m3s: FloatArray, error: FloatArray) -> None:
        """Keep what EPANET said.

        Args:
            columns: Which nodes, shape (n_asked,).
            size_m3s: At which size, shape (n_asked,).
            error: EPANET's whitened effects beyond ours, shape (n_asked, n_current).
        """
        self._column = np.append(self._column, columns)
        self._size_m3s = np.append(self._size_m3s, size_m3s)
        self._error = np.concatenate([self._error, error])

    def knows(self, columns: IndexArray, size_m3s: FloatArray) -> BoolArray:
        """Return which nodes it was asked of at about these sizes, shape (n_nodes,)."""
        apart = np.abs(np.log(size_m3s[:, None] / self._size_m3s[None, :]))
        same = (columns[:, None] == self._column[None, :]) & (apart <= np.log(_SAME_SIZE))
        return np.asarray(same.any(axis=1), dtype=np.bool_)

    def correction(self) -> FloatArray:
        """Return what to add to effects, shape (n_knots, n_nodes, n_current).

        Nodes that EPANET was not asked of take the error of the likest one, so far as they are
        alike.
        """
        by_node = np.zeros((len(self._knots_m3s), *self._middle.shape))
        columns = np.unique(self._column)
        if not len(columns):
            return by_node
        errors = np.stack([self._at_knots(column) for column in columns], axis=1)
        nearest, alike = self._nearest(columns)
        return np.asarray(alike[:, None] * errors[:, nearest], dtype=np.float64)

    def _at_knots(self, column: int) -> FloatArray:
        """Return the error at each knot, (n_knots, n_current), of one node that was asked of.

        Second order is off by about the square of the size; between two sizes it is a line.
        """
        own = np.flatnonzero(self._column == column)
        own = own[np.argsort(self._size_m3s[own], kind="stable")]
        size, knots = self._size_m3s[own], self._knots_m3s
        weight = np.stack([np.interp(knots, size, one) for one in np.eye(len(own))], axis=1)
        beyond = np.maximum((knots / size[-1]) ** 2, 1.0)
        scale = np.minimum((knots / size[0]) ** 2, 1.0) * np.minimum(beyond, _FURTHEST)
        return np.asarray(scale[:, None] * weight @ self._error[own], dtype=np.float64)

    def _nearest(self, columns: IndexArray) -> tuple[IndexArray, FloatArray]:
        """Return which asked node is likest to each node, and how like it is, 1 for the same."""
        white, some = self._middle, self._middle[columns]
        own = (white**2).sum(axis=1)
        apart = own[:, None] - 2.0 * white @ some.T + (some**2).sum(axis=1)[None, :]
        nearest = apart.argmin(axis=1)
        nearest[columns] = np.arange(len(columns))
        far = np.sqrt(np.clip(apart[np.arange(len(own)), nearest], 0.0, None) / (own + 1e-300))
        far[columns] = 0.0
        return np.asarray(nearest, dtype=np.int64), np.clip(1.0 - far, 0.0, 1.0)
