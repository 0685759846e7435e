"""Which links a file's own controls and rules move, and whether they only open and close them."""

from __future__ import annotations

from dataclasses import dataclass
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
    """

    is_moved: BoolArray
    only_switch: bool


def read_controls(ph: Any, links: list[int]) -> Controlled:  # noqa: ANN401 - EPANET's own handle
    """Return what the controls and rules of an open project move.

    Args:
        ph: The project.
        links: EPANET's index of each link of the model.
    """
    actions = [_of_control(ph, n + 1) for n in range(en.getcount(ph, en.CONTROLCOUNT))]
    for rule in range(1, en.getcount(ph, en.RULECOUNT) + 1):
        _, n_then, n_else, _ = en.getrule(ph, rule)
        actions += [en.getthenaction(ph, rule, n + 1) for n in range(n_then)]
        actions += [en.getelseaction(ph, rule, n + 1) for n in range(n_else)]
    moved = {int(link) for link, _, _ in actions}
    is_moved = np.array([index in moved for index in links], dtype=np.bool_)
    return Controlled(is_moved, all(status >= 0 for _, status, _ in actions))


def _of_control(ph: Any, index: int) -> tuple[int, int, float]:  # noqa: ANN401 - the same
    """Return the link, 1 for open, 0 for closed or -1 for a setting, and the setting."""
    _, link, setting, _, _ = en.getcontrol(ph, index)
    is_switch = setting in {0.0, 1.0}
    return int(link), int(setting) if is_switch else -1, float(setting)
