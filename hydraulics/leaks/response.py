"""How leaks shift the flow of every pipe, and what its curved head loss does to observations.

For some leaks at a time: each pipe's shifted flow, what its true loss is there beyond the straight
line, and where that can be felt at all, one product with what the instruments feel of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Self

import numpy as np

from hydraulics.compiled import compiled
from hydraulics.leaks.headloss import PipeLosses
from hydraulics.leaks.ldl import PlaceArray
from hydraulics.leaks.tangent import Tangent
from hydraulics.network import FloatArray, IndexArray, NodeKind

_CHUNK = 128
_CELLS = 8_192
_SQUARE = 2.0
_UNHEARD = 2e-2
"""Part of an effect that is left out, by the size of the leak [units by m³/s]: 0.04 mm at 2 L/s."""
_WORST_RESPONSE = 4.0
"""Change of a pipe's flow by unit leak that is not exceeded where flows are in balance."""


@dataclass(frozen=True, slots=True)
class Curved:
    """Pipes that carry water, each array with one entry a pipe unless it says otherwise.

    Attributes:
        start: Row of the start node among falls of heads, -1 where its head is fixed.
        end: Row of the end node.
        conductance: dq/dh [m²/s].
        flow_m3s: Flow in the state.
        loss_m: Head loss in the state.
        resistance: Factor on the flow's power.
        minor: Factor on the flow's square.
        exponent: That power, one number.
        less: Flow that other users free by unit leak.
        gone: Flow that a leak in the state draws, and that goes with it [m³/s].
    """

    start: IndexArray
    end: IndexArray
    conductance: FloatArray
    flow_m3s: FloatArray
    loss_m: FloatArray
    resistance: FloatArray
    minor: FloatArray
    exponent: float
    less: FloatArray
    gone: FloatArray

    @classmethod
    def of(
        cls,
        tangent: Tangent,
        live: IndexArray,
        less: FloatArray,
        gone: FloatArray,
    ) -> Self:
        """Take some of a tangent's pipes, by their place in its `losses`."""
        losses, model, place = tangent.losses, tangent.model, tangent.place_of
        pipe, flow = losses.pipe, tangent.state.flow_m3s[losses.pipe]
        resistance, minor = _coefficients(losses)
        return cls(
            start=place[model.start[pipe[live]]],
            end=place[model.end[pipe[live]]],
            conductance=tangent.conductance[pipe[live]],
            flow_m3s=flow[live],
            loss_m=losses.loss_m(flow)[live],
            resistance=resistance[live],
            minor=minor[live],
            exponent=losses.exponent,
            less=less,
            gone=gone,
        )


def add_beyond(  # noqa: PLR0913, PLR0917 - each is a thing of its own
    tangent: Tangent,
    by_pipe: FloatArray,
    live: IndexArray,
    places: tuple[IndexArray, FloatArray],
    sizes_m3s: FloatArray,
    shifts: tuple[FloatArray, FloatArray],
    heard: FloatArray,
    effect: FloatArray,
) -> None:
    """Add to effects what head losses at shifted flows are beyond the straight line.

    Args:
        tangent: Linearization of a state.
        by_pipe: Effect of 1 m of extra loss in each live pipe, shape (n_live, n_observed).
        live: Pipes that carry water, by their place in the tangent's `losses`, shape (n_live,).
        places: Nodes where a leak is tried, and what it loses there over its size, (n_places,)
            each.
        sizes_m3s: Sizes of the leak, shape (n_sizes,).
        shifts: Flow in each link that users free by unit leak, and that a leak in the state draws
            and that goes with it [m³/s], each of shape (n_links,).
        heard: Effect that the best instrument has of 1 m of extra loss in each live pipe, in units
            that count alike, shape (n_live,).
        effect: Where it is added, shape (n_sizes, n_places, n_observed).
    """
    pipe = tangent.losses.pipe[live]
    curved = Curved.of(tangent, live, shifts[0][pipe], shifts[1][pipe])
    is_power = tangent.losses.formula != "D-W"
    n_junctions = int((tangent.model.node_kind == NodeKind.JUNCTION).sum())
    work = _Work(n_junctions, len(live))
    nodes, factor = places
    for first in range(0, len(nodes), _CHUNK):
        some, lost = nodes[first : first + _CHUNK], factor[first : first + _CHUNK]
        falls = tangent.falls_by(some, work.falls_of(len(some)))
        block = effect[:, first : first + _CHUNK]
        if is_power:
            _powers_beyond(curved, falls, lost, sizes_m3s, by_pipe, heard, work, block)
            continue
        beyond = _losses_beyond(tangent.losses, live, curved, falls, lost, sizes_m3s)
        for size, extra in enumerate(beyond):
            block[size] += extra.T @ by_pipe


class _Work:
    """Room that is used again for each few places: to find it anew costs as much as to fill it."""

    def __init__(self, n_junctions: int, n_live: int) -> None:
        self._falls = np.empty(n_junctions * _CHUNK)
        self._response, self._extra = np.empty(n_live * _CHUNK), np.empty(n_live * _CHUNK)
        self._n_junctions, self._n_live = n_junctions, n_live

    def falls_of(self, width: int) -> FloatArray:
        """Return room for falls of heads, shape (n_junctions, width), without gaps."""
        return self._falls[: self._n_junctions * width].reshape(self._n_junctions, width)

    def response_of(self, width: int) -> FloatArray:
        """Return room for changes of flows by unit leak, shape (n_live, width)."""
        return self._response[: self._n_live * width].reshape(self._n_live, width)

    def extra_of(self, width: int) -> FloatArray:
        """Return room for losses beyond the straight line [m], shape (n_live, width)."""
        return self._extra[: self._n_live * width].reshape(self._n_live, width)


def _powers_beyond(  # noqa: PLR0913, PLR0917 - each is a thing of its own
    curved: Curved,
    falls: FloatArray,
    factor: FloatArray,
    sizes_m3s: FloatArray,
    by_pipe: FloatArray,
    heard: FloatArray,
    work: _Work,
    effect: FloatArray,
) -> None:
    """Add what extra losses do, (n_sizes, n_places, n_observed), by one table of the power."""
    n_live, width = len(by_pipe), falls.shape[1]
    response, extra = work.response_of(width), work.extra_of(width)
    most, which = np.empty(n_live), np.empty(n_live, dtype=np.int64)
    _respond(
        falls, curved.start, curved.end, curved.conductance, curved.less, factor, response, most
    )
    widest_m3s = _WORST_RESPONSE * sizes_m3s.max() * np.abs(factor).max(initial=0.0)
    largest = np.abs(curved.flow_m3s) + np.abs(curved.gone) + widest_m3s
    steep = curved.resistance * largest**curved.exponent
    table = _table(curved.exponent)
    for number, size in enumerate(sizes_m3s):
        n_heard = _extra_losses(
            response,
            most,
            float(size),
            curved.flow_m3s,
            curved.loss_m,
            1.0 / curved.conductance,
            curved.minor,
            curved.gone,
            steep,
            (len(table) - 2) / largest,
            table,
            heard,
            extra,
            which,
        )
        effect[number] += extra[:n_heard].T @ by_pipe[which[:n_heard]]


@cache
def _table(exponent: float) -> FloatArray:
    """Return the power over 0..1, and a cell beyond."""
    return np.asarray(np.arange(_CELLS + 2) ** exponent / _CELLS**exponent, dtype=np.float64)


def _losses_beyond(  # noqa: PLR0913, PLR0917 - each is a thing of its own
    losses: PipeLosses,
    live: IndexArray,
    curved: Curved,
    falls: FloatArray,
    factor: FloatArray,
    sizes_m3s: FloatArray,
) -> FloatArray:
    """Return the same where the friction factor depends on the flow."""
    fall = np.concatenate([falls, np.zeros((1, falls.shape[1]))])  # row -1: a fixed head
    drop = (fall[curved.end] - fall[curved.start]) * curved.conductance[:, None]
    response = (drop - curved.less[:, None]) * factor
    flow = np.zeros((len(losses.pipe), falls.shape[1]))
    beyond = []
    for size in sizes_m3s:
        shift = response * size - curved.gone[:, None]
        flow[live] = curved.flow_m3s[:, None] + shift
        straight = curved.loss_m[:, None] + shift / curved.conductance[:, None]
        beyond.append(losses.loss_m(flow)[live] - straight)
    return np.stack(beyond)


def _coefficients(losses: PipeLosses) -> tuple[FloatArray, FloatArray]:
    """Return the factors on the flow's power and on its square, from two losses."""
    if losses.exponent == _SQUARE:
        return losses.loss_m(np.ones(len(losses.pipe))), np.zeros(len(losses.pipe))
    one = losses.loss_m(np.ones(len(losses.pipe)))
    two = losses.loss_m(np.full(len(losses.pipe), 2.0))
    minor = (two - 2.0**losses.exponent * one) / (4.0 - 2.0**losses.exponent)
    return np.asarray(one - minor, dtype=np.float64), np.asarray(minor, dtype=np.float64)


@compiled
def _respond(  # noqa: PLR0913, PLR0917 - what it reads, then what it fills
    falls: FloatArray,
    start: IndexArray,
    end: IndexArray,
    conductance: FloatArray,
    less: FloatArray,
    factor: FloatArray,
    response: FloatArray,
    most: FloatArray,
) -> None:
    """Fill in the change of each pipe's flow by unit size of a leak at each place, and the largest.

    The leak loses its size times `factor`.
    """
    nothing = np.zeros(falls.shape[1])
    for k in range(len(start)):
        one = falls[start[k]] if start[k] >= 0 else nothing
        other = falls[end[k]] if end[k] >= 0 else nothing
        row, largest = response[k], 0.0
        for c in range(len(row)):
            row[c] = factor[c] * (conductance[k] * (other[c] - one[c]) - less[k])
            largest = max(largest, abs(row[c]))
        most[k] = largest


@compiled
def _extra_losses(  # noqa: PLR0913, PLR0917 - what it reads, then what it fills
    response: FloatArray,
    most: FloatArray,
    size: float,
    flow: FloatArray,
    lost: FloatArray,
    slope: FloatArray,
    minor: FloatArray,
    gone: FloatArray,
    steep: FloatArray,
    scale: FloatArray,
    table: FloatArray,
    heard: FloatArray,
    extra: FloatArray,
    which: IndexArray,
) -> int:
    """Fill in what is heard of losses beyond the straight line; return of how many pipes."""
    width = response.shape[1]
    share, cell = np.empty(width), np.empty(width, dtype=np.int32)
    n_heard, unheard, top = 0, _UNHEARD * size, float(len(table) - 2)
    for k in range(len(flow)):
        q0, drawn, steepness = flow[k], gone[k], slope[k]
        small, bend = 0.5 * abs(q0), heard[k] * steepness / max(abs(q0), 1e-12)
        # No shift below half of the flow bends the loss by more than this.
        widest = most[k] * size + abs(drawn)
        if widest < small and bend * widest * widest < unheard:
            continue
        _cells(response[k], size, drawn, q0, scale[k], top, share, cell)
        _powers(table, cell, share)
        row = extra[n_heard]
        _beyond(response[k], size, drawn, q0, steep[k], minor[k], lost[k], steepness, share, row)
        if _hear(response[k], size, drawn, small, bend, heard[k], unheard, row):
            which[n_heard] = k
            n_heard += 1
    return n_heard


@compiled
def _cells(  # noqa: PLR0913, PLR0917 - what it reads, then what it fills
    response: FloatArray,
    size: float,
    gone: float,
    flow: float,
    scale: float,
    top: float,
    share: FloatArray,
    cell: PlaceArray,
) -> None:
    """Fill in where in the table the flow at each place is; by itself, so that it goes in lanes."""
    for c in range(len(response)):
        at = min(abs(flow + response[c] * size - gone) * scale, top)
        below = np.int32(at)
        share[c], cell[c] = at - below, below


@compiled
def _powers(table: FloatArray, cell: PlaceArray, share: FloatArray) -> None:
    """Turn shares of cells into values of the table."""
    for c in range(len(cell)):
        below = np.uint32(cell[c])
        low = table[below]
        share[c] = low + share[c] * (table[below + np.uint32(1)] - low)


@compiled
def _beyond(  # noqa: PLR0913, PLR0917 - what it reads, then what it fills
    response: FloatArray,
    size: float,
    gone: float,
    flow: float,
    steep: float,
    minor: float,
    lost: float,
    slope: float,
    power: FloatArray,
    extra: FloatArray,
) -> None:
    """Fill in what one pipe's loss is beyond the straight line at each place."""
    for c in range(len(extra)):
        shift = response[c] * size - gone
        new = flow + shift
        loss = steep * power[c] + minor * new * new
        extra[c] = math.copysign(loss, new) - lost - slope * shift


@compiled
def _hear(  # noqa: PLR0913, PLR0917 - what it reads, then what it fills
    response: FloatArray,
    size: float,
    gone: float,
    small: float,
    bend: float,
    heard: float,
    unheard: float,
    extra: FloatArray,
) -> bool:
    """Take out what is not heard, and return whether anything is left."""
    n_heard = 0
    for c in range(len(extra)):
        shift = abs(response[c] * size - gone)
        is_bent = (shift >= small) | (bend * shift * shift >= unheard)
        is_heard = is_bent & (abs(extra[c]) * heard >= unheard)
        extra[c] = extra[c] if is_heard else 0.0
        n_heard += is_heard
    return n_heard > 0
