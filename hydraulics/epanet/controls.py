"""Which links a file's own controls and rules move, and whether they only open and close them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from epanet import toolkit as en

from hydraulics.network import BoolArray


@dataclass(frozen=True, slots=True)
class Controlled:
    """What controls and rules move.

    Attributes:
        is_moved: Which links, shape (n_links,).
        only_switch: Whether each action opens or closes a link and sets nothing else.
        together: Links that the same conditions open and close, and no other: each link, the other,
            and whether both are open at once rather than in turn.
        by_level: Nodes whose level or pressure turns a link: each node, from where on [m], and
            whether that is above rather than below.
    """

    is_moved: BoolArray
    only_switch: bool
    together: tuple[tuple[int, int, bool], ...] = ()
    by_level: tuple[tuple[int, float, bool], ...] = ()


def read_controls(ph: Any, links: list[int], nodes: list[int]) -> Controlled:  # noqa: ANN401
    """Return what the controls and rules of an open project move.

    Args:
        ph: The project: EPANET's own handle.
        links: EPANET's index of each link of the model.
        nodes: The same of each node.
    """
    n_controls = en.getcount(ph, en.CONTROLCOUNT)
    actions = [_of_control(ph, n + 1) for n in range(n_controls)]
    switches = _switches(ph, n_controls)
    for rule in range(1, en.getcount(ph, en.RULECOUNT) + 1):
        _, n_then, n_else, _ = en.getrule(ph, rule)
        actions += [en.getthenaction(ph, rule, n + 1) for n in range(n_then)]
        actions += [en.getelseaction(ph, rule, n + 1) for n in range(n_else)]
    moved = {int(link) for link, _, _ in actions}
    is_moved = np.array([index in moved for index in links], dtype=np.bool_)
    ruled = {int(link) for link, _, _ in actions[n_controls:]}
    alone = {link: turns for link, turns in switches.items() if link not in ruled}
    place = {index: k for k, index in enumerate(links)}
    return Controlled(
        is_moved,
        all(status >= 0 for _, status, _ in actions),
        tuple(_together(alone, place)),
        tuple(_by_level(ph, n_controls, nodes)),
    )


def _by_level(ph: Any, n_controls: int, nodes: list[int]) -> Iterator[tuple[int, float, bool]]:  # noqa: ANN401
    """Find the levels and pressures at which simple controls turn links."""
    place = {index: i for i, index in enumerate(nodes)}
    for n in range(n_controls):
        kind, _, _, node, level = en.getcontrol(ph, n + 1)
        if kind in {en.LOWLEVEL, en.HILEVEL}:
            yield place[int(node)], float(level), kind == en.HILEVEL


Turns = dict[tuple[int, int, float], bool]
"""Whether a link is open once a control's condition holds: its kind, node, and level or time."""


def _switches(ph: Any, n_controls: int) -> dict[int, Turns]:  # noqa: ANN401 - EPANET's own handle
    """Return what opens and closes each link that controls only open and close."""
    turns: dict[int, Turns] = {}
    for n in range(n_controls):
        kind, link, setting, node, level = en.getcontrol(ph, n + 1)
        turns.setdefault(int(link), {})[int(kind), int(node), float(level)] = setting > 0.0
    return {link: own for link, own in turns.items() if len(set(own.values())) > 1}


def _together(turns: dict[int, Turns], place: dict[int, int]) -> Iterator[tuple[int, int, bool]]:
    """Find links that turn by the same conditions."""
    for one, other in permutations(turns, 2):
        if turns[one].keys() == turns[other].keys():
            same = [turns[one][when] == turns[other][when] for when in turns[one]]
            if all(same) or not any(same):
                yield place[one], place[other], same[0]


def _of_control(ph: Any, index: int) -> tuple[int, int, float]:  # noqa: ANN401 - the same
    """Return the link, 1 for open, 0 for closed or -1 for a setting, and the setting."""
    _, link, setting, _, _ = en.getcontrol(ph, index)
    is_switch = setting in {0.0, 1.0}
    return int(link), int(setting) if is_switch else -1, float(setting)
