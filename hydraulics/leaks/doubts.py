"""Rows and sensors that the others contradict, so that they are not used."""

from __future__ import annotations

import numpy as np

from hydraulics.leaks.posterior import (
    Candidates,
    Weighed,
    Whitened,
    jump_evidence,
    odd_rows,
    weigh,
)
from hydraulics.leaks.prior import Layout
from hydraulics.leaks.rows import Row
from hydraulics.network import BoolArray, FloatArray, IndexArray

_JUMP_M = 1.0
_JUMP_PRIOR = 1e-3
_BEYOND = 6.0
_JURY = 3
_ODD = 4.0
_MIDDLE = np.array([0.5])
_EACH = 4
_MANY, _LOUD = 8, 12.0
_SURE = 4.0


def believable(
    layout: Layout, gap: FloatArray, total: FloatArray, rows: list[Row], largest_m3s: float
) -> BoolArray:
    """Return entries of rows whose meters read what the model could give with any leak.

    A row whose meters are further off was solved with a link open that was closed, or the
    reverse: nothing can be learnt from it.
    """
    is_meter = layout.observed >= layout.n_pressures
    far = is_meter & (np.abs(gap) > _BEYOND * np.sqrt(np.diag(total)) + largest_m3s)
    doubted = np.isin(layout.row, np.unique(layout.row[far]))
    is_current = ~is_reference(layout, rows)
    if doubted[is_current].all():
        return np.ones(len(layout.row), dtype=np.bool_)
    return ~doubted


def settled(
    layout: Layout, gap: FloatArray, total: FloatArray, rows: list[Row]
) -> tuple[BoolArray, float]:
    """Return entries without the leak-free rows that the other leak-free ones contradict.

    A pump that switched while a row was averaged makes such a row.

    Returns:
        The entries, and the mean square of the whitened gaps of leak-free rows that are kept.
    """
    past = is_reference(layout, rows)
    if not past.any():
        return np.ones(len(layout.row), dtype=np.bool_), 1.0
    odd, left = odd_rows(total[np.ix_(past, past)], gap[past], layout.row[past], _ODD)
    return ~np.isin(layout.row, odd), left


def is_reference(layout: Layout, rows: list[Row]) -> BoolArray:
    """Return which entries are of the leak-free window, shape (n_entries,)."""
    return np.array([row.is_reference for row in rows], dtype=np.bool_)[layout.row]


def odd_current(whitened: Whitened, weighed: Weighed, layout: Layout) -> IndexArray:
    """Return current rows that no leak explains while it explains the others."""
    factor, white = whitened.factor, _likeliest_effect(weighed)
    odd, _ = odd_rows(factor @ factor.T, factor @ (whitened.residual - white), layout.row, _ODD)
    return odd


def alone(whitened: Whitened, weighed: Weighed, layout: Layout) -> IndexArray:
    """Return the current row that alone speaks for the likeliest leak, if many others do not.

    A leak runs in all rows. What one of many says as loudly as all the rest together is that this
    row was solved as it never was.
    """
    rows, which = np.unique(layout.row, return_inverse=True)
    if len(rows) < _MANY:
        return np.empty(0, dtype=np.int64)
    white = _likeliest_effect(weighed)
    by_row = np.bincount(which, whitened.residual * white - 0.5 * white**2)
    loudest = int(by_row.argmax())
    rest = float(by_row.clip(min=0.0).sum() - by_row[loudest])
    is_alone = by_row[loudest] > max(rest, _LOUD)
    return rows[[loudest]] if is_alone else np.empty(0, dtype=np.int64)


def _likeliest_effect(weighed: Weighed) -> FloatArray:
    """Return the whitened effect of the leak that explains most, shape (n_current,)."""
    pipe = int(weighed.gain.max(axis=(1, 2)).argmax())
    return weighed.fit.at(pipe, *weighed.best_in(pipe))


def jumped(
    candidates: Candidates,
    whitened: Whitened,
    weighed: Weighed,
    layout: Layout,
    divisor: float,
) -> tuple[int, float] | None:
    """Return the sensor that more likely jumped than not, and by how much [m]."""
    sensors = np.unique(layout.observed)
    sensors = sensors[sensors < layout.n_pressures]
    if len(sensors) < _JURY:  # two sensors cannot outvote a third
        return None
    is_of = (layout.observed[None, :] == sensors[:, None]).astype(np.float64)
    jumps = whitened.whiten_last(is_of)
    suspects = _suspects(candidates, whitened, weighed, jumps, divisor)
    if not suspects:
        return None
    plain = weigh(candidates, weighed.gain, divisor).log_evidence
    evidence = jump_evidence(
        weighed.fit,
        weighed.gain,
        whitened.residual,
        jumps[suspects],
        _JUMP_M,
        weighed.sizes_m3s,
        divisor,
    )
    best = max(zip(evidence.tolist(), sensors[suspects].tolist(), strict=True))
    if best[0] + np.log(_JUMP_PRIOR) < plain:
        return None
    inside = layout.observed == best[1]
    return best[1], float(np.mean(whitened.expected_gap[inside]))


def _suspects(
    candidates: Candidates,
    whitened: Whitened,
    weighed: Weighed,
    jumps: FloatArray,
    divisor: float,
) -> list[int]:
    """Return sensors that may have jumped, judged at pipes' middles and a few sizes."""
    middle = weighed.gain.shape[1] // 2
    gain, sizes = weighed.gain[:, middle : middle + 1, ::_EACH], weighed.sizes_m3s[::_EACH]
    plain = weigh(candidates, gain, divisor).log_evidence
    evidence = jump_evidence(
        weighed.fit, gain, whitened.residual, jumps, _JUMP_M, sizes, divisor, _MIDDLE
    )
    return [int(n) for n in np.flatnonzero(evidence + np.log(_JUMP_PRIOR) + _SURE > plain)]
