"""How leaks shift the flow of every pipe, and what its curved head loss does to observations.

One pass over leaks and pipes: take each pipe's shifted flow, and add what
its true loss is beyond the straight line, where that can be felt at all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Self

import numpy as np

from hydraulics.leaks.compiled import compiled
from hydraulics.leaks.headloss import PipeLosses
from hydraulics.leaks.tangent import Tangent
from hydraulics.network import FloatArray, IndexArray

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
        start: Row of the start node among solutions, -1 where its head is fixed.
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
        losses, model = tangent.losses, tangent.model
        pipe, flow = losses.pipe, tangent.state.flow_m3s[losses.pipe]
        resistance, minor = _coefficients(losses)
        return cls(
            start=tangent.row_of[model.start[pipe[live]]],
            end=tangent.row_of[model.end[pipe[live]]],
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
    by_loss: FloatArray,
    live: IndexArray,
    nodes: IndexArray,
    sizes_m3s: FloatArray,
    shifts: tuple[FloatArray, FloatArray],
    heard: FloatArray,
    effect: FloatArray,
) -> None:
    """Add to effects what head losses at shifted flows are beyond the straight line.

    Args:
        tangent: Linearization of a state.
        by_loss: Effect of 1 m of extra loss in each live pipe, shape (n_observed, n_live).
        live: Pipes that carry water, by their place in the tangent's `losses`, shape (n_live,).
        nodes: Where a leak is tried, shape (n_places,).
        sizes_m3s: Sizes of the leak, shape (n_sizes,).
        shifts: Flow in each link that users free by unit leak, and that a leak in the state draws
            and that goes with it [m³/s], each of shape (n_links,).
        heard: Effect that the best instrument has of 1 m of extra loss in each live pipe, in units
            that count alike, shape (n_live,).
        effect: Where it is added, shape (n_sizes, n_places, n_observed).
    """
    by_pipe = np.ascontiguousarray(by_loss.T)
    pipe = tangent.losses.pipe[live]
    curved = Curved.of(tangent, live, shifts[0][pipe], shifts[1][pipe])
    is_power = tangent.losses.formula != "D-W"
    for first in range(0, len(nodes), _CHUNK):
        moved = tangent.moved(nodes[first : first + _CHUNK])
        block = effect[:, first : first + _CHUNK]
        if is_power:
            block += _powers_beyond(curved, moved, sizes_m3s, by_pipe, heard)
            continue
        beyond = _losses_beyond(tangent.losses, live, curved, moved, sizes_m3s)
        for size, extra in enumerate(beyond):
            block[size] += extra.T @ by_pipe


def _powers_beyond(
    curved: Curved,
    moved: FloatArray,
    sizes_m3s: FloatArray,
    by_pipe: FloatArray,
    heard: FloatArray,
) -> FloatArray:
    """Return what extra losses do, (n_sizes, n_places, n_observed), by one table of the power."""
    effect = np.zeros((len(sizes_m3s), moved.shape[1], by_pipe.shape[1]))
    largest = np.abs(curved.flow_m3s) + np.abs(curved.gone) + _WORST_RESPONSE * sizes_m3s.max()
    _add_beyond(
        moved,
        curved.start,
        curved.end,
        curved.conductance,
        curved.flow_m3s,
        curved.loss_m,
        curved.resistance,
        curved.minor,
        curved.exponent,
        curved.less,
        curved.gone,
        sizes_m3s,
        largest,
        _table(curved.exponent),
        by_pipe,
        heard,
        effect,
    )
    return effect


@cache
def _table(exponent: float) -> FloatArray:
    """Return the power over 0..1, and a cell beyond."""
    return np.asarray(np.arange(_CELLS + 2) ** exponent / _CELLS**exponent, dtype=np.float64)


def _losses_beyond(
    losses: PipeLosses,
    live: IndexArray,
    curved: Curved,
    moved: FloatArray,
    sizes_m3s: FloatArray,
) -> FloatArray:
    """Return the same where the friction factor depends on the flow."""
    head = np.concatenate([moved, np.zeros((1, moved.shape[1]))])  # row -1: a fixed head
    drop = (head[curved.start] - head[curved.end]) * curved.conductance[:, None]
    response = drop - curved.less[:, None]
    flow = np.zeros((len(losses.pipe), moved.shape[1]))
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
    moved: FloatArray, start: int, end: int, conductance: float, less: float, response: FloatArray
) -> None:
    """Fill in the change of one pipe's flow by unit leak at each place, shape (n_places,)."""
    response[:] = -less
    if start >= 0:
        response += conductance * moved[start]
    if end >= 0:
        response -= conductance * moved[end]


@compiled
def _add_beyond(  # noqa: PLR0913, PLR0917 - what it reads, then what it fills
    moved: FloatArray,
    start: IndexArray,
    end: IndexArray,
    conductance: FloatArray,
    flow: FloatArray,
    lost: FloatArray,
    resistance: FloatArray,
    minor: FloatArray,
    exponent: float,
    less: FloatArray,
    gone: FloatArray,
    sizes: FloatArray,
    largest: FloatArray,
    table: FloatArray,
    by_pipe: FloatArray,
    heard: FloatArray,
    effect: FloatArray,
) -> None:
    """Add to `effect`, shape (n_sizes, n_places, n_observed), what is heard of extra losses."""
    width, cells = moved.shape[1], len(table) - 2
    response = np.empty(width)
    top = float(cells)
    for k in range(len(start)):
        _respond(moved, start[k], end[k], conductance[k], less[k], response)
        scale = cells / largest[k]
        steep = resistance[k] * largest[k] ** exponent
        slope, q0, base, bends = 1.0 / conductance[k], flow[k], lost[k], minor[k]
        small, bend = 0.5 * abs(q0), heard[k] * slope / max(abs(q0), 1e-12)
        for s in range(len(sizes)):
            unheard = _UNHEARD * sizes[s]
            for c in range(width):
                shift = response[c] * sizes[s] - gone[k]
                # No shift below half of the flow bends the loss by more than this.
                if abs(shift) < small and bend * shift * shift < unheard:
                    continue
                new = q0 + shift
                size = abs(new)
                at = min(size * scale, top)
                cell = np.uint32(np.int32(at))
                low = table[cell]
                loss = steep * (low + (at - cell) * (table[cell + np.uint32(1)] - low))
                loss += bends * size * size
                extra = math.copysign(loss, new) - base - slope * shift
                if abs(extra) * heard[k] < unheard:
                    continue
                row = effect[s, c]
                for o in range(len(row)):
                    row[o] += extra * by_pipe[k, o]
