"""Where one leak lies: by what the residual says, and by what EPANET says with the leak in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hydraulics.leaks.stream.book import Followed
from hydraulics.leaks.stream.evidence import White, Window
from hydraulics.leaks.stream.exact import effect_of, try_exactly
from hydraulics.leaks.stream.growth import window_before
from hydraulics.leaks.stream.judged import JudgedDays
from hydraulics.leaks.stream.places import Found, Places

LEAST_M3S = 0.05 / 3_600.0
"""What a known leak loses at least, until it is closed."""
_MOVE_GAIN = 1.0
"""ln by which another pipe must explain more."""
_MOST_TURNS = 5
_SETTLED = 0.03


@dataclass(frozen=True, slots=True)
class _Turn:
    left: float
    pipe: int
    flow_m3s: float
    placed: Found


def leak_of(found: Found, places: Places, days: range) -> Followed:
    """Return a leak as a window found it, not in any book yet."""
    near = found.near
    pipe = int(places.pipes[found.ranking.best])
    leak = Followed(pipe, near.pipe, days.start, days[-1], near.probability, 0.0)
    leak.take(days, found.flow_m3s)
    return leak


def place(judged: JudgedDays, places: Places, leak: Followed, window: Window, days: range) -> Found:
    """Move a leak to where it explains most, given all the others, within its zone."""
    own = judged.columns(window, [leak])[:, 0] * leak.mean_m3s(days)
    found = places.found(window.with_gap(window.gap + own), len(days), leak.zone)
    here = places.position(leak)
    if found.gain > found.ranking.gain[here] + _MOVE_GAIN:
        here = found.ranking.best
        leak.pipe = int(places.pipes[here])
    leak.take(days, max(float(found.ranking.flow_m3s[here]), LEAST_M3S))
    return found


def settle(judged: JudgedDays, places: Places, leak: Followed, found: Found, days: range) -> Found:
    """Ask EPANET where a leak is, then linearize with it there until both agree.

    Args:
        judged: The days so far; their signatures are left at the last state that was tried.
        places: Where leaks may be.
        leak: The leak, which is moved.
        found: What the window said without it.
        days: The window.
    """
    judged.sign(judged.recent(days[-1]))
    without, window = judged.signatures, window_before(judged, days, days)
    _start(judged, places, leak, window, days)
    best = _Turn(np.inf, leak.pipe, leak.flow_m3s, found)
    for _ in range(_MOST_TURNS):
        pipe, flow_m3s = leak.pipe, leak.flow_m3s
        gap = window.gap - effect_of(judged.physics, window, without, leak)
        near = _linearized(judged, leak, days)
        if near.blocks != window.blocks:
            break  # EPANET finds no state with so large a leak
        near = near.with_gap(gap)
        turn = _Turn(White(near).square, pipe, flow_m3s, place(judged, places, leak, near, days))
        best = turn if turn.left < best.left else best
        if leak.pipe == pipe and abs(leak.flow_m3s - flow_m3s) < _SETTLED * flow_m3s:
            break
    leak.pipe = best.pipe
    leak.take(days, best.flow_m3s)
    return best.placed


def _linearized(judged: JudgedDays, leak: Followed, days: range) -> Window:
    judged.sign(judged.recent(days[-1]), leak)
    return window_before(judged, days, days)


def _start(judged: JudgedDays, places: Places, leak: Followed, window: Window, days: range) -> None:
    """Put a leak where EPANET itself says that it explains most.

    The linear answer can be far off for a leak that multiplies the flow of its pipes.
    """
    tried = try_exactly(judged.physics, window, judged.signatures, leak.flow_m3s)
    if tried is None:
        return
    node, flow_m3s = tried
    gain, _ = White(window).gain_of(places.effects(window))
    model, pipes = places.model, places.pipes
    at_node = np.flatnonzero((model.start[pipes] == node) | (model.end[pipes] == node))
    leak.pipe = int(pipes[at_node[gain[at_node].argmax()]])
    leak.take(days, flow_m3s)
