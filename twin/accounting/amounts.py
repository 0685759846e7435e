"""Numbers with their 95 % error margin, and how margins go into sums.

Margins are taken as independent: the margin of a sum is the root of the sum of their squares,
which is the sum of variances written at 95 % (1.96 standard deviations).

Source:
    AWWA manual M36, "Water Audits and Loss Control Programs", 4th ed. 2016, on data validity;
    S. Hamilton and R. McKenzie, "Water Management and Water Loss", IWA 2014, on 95 % limits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from twin.errors import UnreadableError


@dataclass(frozen=True, slots=True)
class Amount:
    """A number with half the width of its 95 % range, both in the unit that its name says.

    Attributes:
        value: Finite.
        margin: At least 0.
    """

    value: float
    margin: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.value) and math.isfinite(self.margin) and self.margin >= 0):
            raise UnreadableError(
                f"a number must be finite and its margin 0 or more, not {self.value:g} ± "
                f"{self.margin:g}"
            )

    def scaled(self, factor: float) -> Amount:
        """Return this number times an exact factor."""
        return Amount(self.value * factor, self.margin * abs(factor))


def add(parts: Iterable[Amount | None]) -> Amount | None:
    """Return the sum of independent numbers; None where one is not known."""
    known = list(parts)
    if any(part is None for part in known):
        return None
    there = [part for part in known if part is not None]
    margin = math.hypot(*(part.margin for part in there))
    return Amount(math.fsum(part.value for part in there), margin)


def subtract(whole: Amount | None, part: Amount | None) -> Amount | None:
    """Return the difference of two independent numbers; None where one is not known."""
    return add((whole, None if part is None else part.scaled(-1.0)))


def divide(over: Amount, under: Amount) -> Amount:
    """Return the ratio of two independent numbers, its margin to first order.

    Raises:
        UnreadableError: The divisor is 0.
    """
    if under.value == 0:
        raise UnreadableError("a ratio needs a divisor other than 0")
    ratio = over.value / under.value
    margin = math.hypot(over.margin, ratio * under.margin) / abs(under.value)
    return Amount(ratio, margin)
