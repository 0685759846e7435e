"""What a rule is: it says which limit a series must keep, and how a change becomes a verdict.

Everything here is pure. A rule's version is a hash over all that its verdicts depend on, so that an
auditor can tell whether the rule that stands in a verdict is the one that is run again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from twin.evaluations import RuleRef, StandardRef
from twin.events import Plain
from twin.readings import FloatArray, Series
from twin.standards import Standard

BoolArray = npt.NDArray[np.bool_]

CODE_VERSION = 1
"""Raised whenever the code of `twin.rules` would judge the same readings otherwise."""

_ROUNDING_DIGITS = 12
"""Margins are rounded to this: what remains of a unit conversion is no exceedance."""


@dataclass(frozen=True, slots=True)
class Check:
    """What the readings of one series must keep to, and when that counts as changed.

    Attributes:
        low: Least value, itself met [the series' unit]; None for none.
        high: Greatest value; None for none.
        is_high_met: Whether the greatest value itself is met.
        clear_margin: An exceedance has recovered at readings at least so far inside, at least 0.
        min_duration_s: Readings must speak for a change this long, from the first to the one that
            decides; 0: the first decides.
        standard: The place in a standard, None for a limit of the operator's own.
        note: What a reader of the verdict must know.
    """

    low: float | None
    high: float | None
    is_high_met: bool
    clear_margin: float
    min_duration_s: int
    standard: StandardRef | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class NoCheck:
    """Why the readings of a series cannot be judged.

    Attributes:
        missing: What is missing, one short text each; at least one.
        standard: The standard that would be judged against.
    """

    missing: tuple[str, ...]
    standard: StandardRef | None


class Rule(Protocol):
    """A rule: pure, and versioned by `ref`."""

    @property
    def ref(self) -> RuleRef:
        """Its id, version and parameters."""

    @property
    def criterion(self) -> Standard | None:
        """The standard that it judges against, None for a limit of the operator's own."""

    def check_for(self, series: Series) -> Check | NoCheck | None:
        """Return what a series must keep to; None where the rule has nothing to do with it."""


def rule_ref(rule_id: str, parameters: Mapping[str, Plain], standard_sha256: str = "") -> RuleRef:
    """Return a rule with its version: SHA-256 of the canonical JSON of all that it depends on.

    Args:
        rule_id: Its name.
        parameters: What it is set to: text, numbers, booleans or None.
        standard_sha256: Hash of the file of the standard that it judges against.
    """
    told = {
        "rule": rule_id,
        "code": CODE_VERSION,
        "parameters": dict(parameters),
        "standard": standard_sha256,
    }
    text = json.dumps(told, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return RuleRef(rule_id, hashlib.sha256(text.encode()).hexdigest(), dict(parameters))


def margins(value: FloatArray, check: Check) -> FloatArray:
    """Return how far inside the limits each value lies, negative outside.

    Args:
        value: Readings, shape (n,), in the unit of the limits.
        check: The limits.

    Returns:
        Margin to the nearer limit, shape (n,), in the same unit; at a limit that is itself not met
        the least negative number, so that the sign alone decides.
    """
    margin = np.full(value.shape, np.inf)
    if check.low is not None:
        margin = np.minimum(margin, value - check.low)
    if check.high is not None:
        margin = np.minimum(margin, check.high - value)
    margin = np.round(margin, _ROUNDING_DIGITS) + 0.0  # -0 becomes 0
    if check.high is None or check.is_high_met:
        return margin
    is_at_high = np.round(check.high - value, _ROUNDING_DIGITS) == 0.0
    return np.where(is_at_high, -np.finfo(np.float64).tiny, margin)
