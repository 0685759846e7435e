"""One leak, asked of EPANET itself at the places that a linear answer thinks likely."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hydraulics.leaks.stream.book import Followed
from hydraulics.leaks.stream.evidence import White, Window
from hydraulics.leaks.stream.physics import Physics, Signatures
from hydraulics.network import FloatArray, IndexArray, NodeKind

_PLACES = 36
_UNLIKE = 0.995
"""Cosine of two effects above which one place stands for both."""
_SIZES = np.array([0.25, 0.55, 1.0])
_GRID = 60
_IMPOSSIBLE = 1e3
"""Effect of a leak at which EPANET finds no state."""


def try_exactly(
    physics: Physics, window: Window, signatures: Sequence[Signatures | None], flow_m3s: float
) -> tuple[int, float] | None:
    """Return the node and the size of the leak that explain a window best.

    Args:
        physics: The network.
        window: What is to be explained.
        signatures: Of each block, as the window stacks them.
        flow_m3s: The size that a linear answer gives [m³/s]; up to 1.2 times it is tried.
    """
    white = White(window)
    nodes = _unlike_places(physics, window, white)
    sizes = 1.2 * flow_m3s * _SIZES
    effects = [white(_effect(physics, window, signatures, nodes, size)) for size in sizes]
    best: tuple[float, int, float] | None = None
    for size in np.linspace(0.1, 1.0, _GRID) * sizes[-1]:
        effect = _between(effects, sizes, float(size))
        gain = effect.T @ white.gap - 0.5 * (effect**2).sum(axis=0)
        gain = np.where(np.isfinite(gain), gain, -np.inf)
        at = int(gain.argmax())
        if best is None or gain[at] > best[0]:
            best = float(gain[at]), int(nodes[at]), float(size)
    return None if best is None or best[0] <= 0 else best[1:]


def effect_of(
    physics: Physics, window: Window, signatures: Sequence[Signatures | None], leak: Followed
) -> FloatArray:
    """Return what EPANET says that one leak does to a window, shape (n_entries,).

    Args:
        physics: The network.
        window: The window.
        signatures: Of each block, without this leak in the model.
        leak: The leak, in the middle of its pipe.
    """
    model = physics.frame.model
    ends = np.array([model.start[leak.pipe], model.end[leak.pipe]])
    ends = ends[model.node_kind[ends] == NodeKind.JUNCTION]
    effect = _effect(physics, window, signatures, ends, leak.flow_m3s)
    return np.asarray(effect.sum(axis=1) / 2.0, dtype=np.float64)


def _unlike_places(physics: Physics, window: Window, white: White) -> IndexArray:
    """Return likely junctions whose effects differ, the likeliest first."""
    model = physics.frame.model
    nodes = np.flatnonzero(model.node_kind == NodeKind.JUNCTION)
    effect = white(window.leak[:, nodes])
    length = np.sqrt((effect**2).sum(axis=0)) + 1e-12
    along = np.maximum(effect.T @ white.gap, 0.0) / length
    unit = effect / length
    chosen: list[int] = []
    for at in np.argsort(-along, kind="stable"):
        if len(chosen) >= _PLACES:
            break
        if not chosen or float((unit[:, chosen].T @ unit[:, at]).max()) < _UNLIKE:
            chosen.append(int(at))
    return nodes[chosen]


def _effect(
    physics: Physics,
    window: Window,
    signatures: Sequence[Signatures | None],
    nodes: IndexArray,
    flow_m3s: float,
) -> FloatArray:
    """Return the effect of a leak of one size at some nodes, as the window stacks it."""
    parts = []
    for block in window.blocks:
        at = signatures[block]
        assert at is not None, "a window stacks blocks that have signatures"
        parts.append(physics.effects(at, nodes, flow_m3s))
    n_rest = len(window.gap) - sum(len(part) for part in parts)
    rest = window.leak[len(window.gap) - n_rest :][:, nodes] * flow_m3s
    effect = np.nan_to_num(np.concatenate([*parts, rest]), nan=_IMPOSSIBLE)
    return np.asarray(effect, dtype=np.float64)


def _between(effects: list[FloatArray], sizes: FloatArray, size: float) -> FloatArray:
    """Return the effect of a size between those that were tried, per unit a straight line."""
    per_unit = [effect / known for effect, known in zip(effects, sizes, strict=True)]
    at = int(np.clip(np.searchsorted(sizes, size) - 1, 0, len(sizes) - 2))
    part = np.clip((size - sizes[at]) / (sizes[at + 1] - sizes[at]), 0.0, 1.0)
    return np.asarray(size * ((1.0 - part) * per_unit[at] + part * per_unit[at + 1]))
