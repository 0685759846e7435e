"""The standard water balance of the IWA, as volumes over one period.

Every line is a sum of inputs. A line whose inputs are not all known is not known: nothing that was
not stated or read is taken as zero.

Source:
    A. Lambert and W. Hirner, "Losses from water supply systems: standard terminology and
    recommended performance measures", IWA Blue Pages, 2000; AWWA manual M36, 4th ed. 2016.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from twin.accounting.amounts import Amount, add
from twin.errors import UnreadableError


class Line(StrEnum):
    """The lines of the balance, in the order that people read them."""

    INFLOW = "inflow"  # through the boundary, what flows out again taken off
    STORAGE_RISE = "storage_rise"  # in tanks, from the beginning to the end
    SYSTEM_INPUT = "system_input"
    AUTHORISED = "authorised_consumption"
    BILLED = "billed_authorised"
    BILLED_METERED = "billed_metered"
    BILLED_UNMETERED = "billed_unmetered"
    UNBILLED = "unbilled_authorised"
    UNBILLED_METERED = "unbilled_metered"
    UNBILLED_UNMETERED = "unbilled_unmetered"
    LOSSES = "water_losses"
    APPARENT = "apparent_losses"
    UNAUTHORISED = "unauthorised_consumption"
    METERING = "metering_inaccuracy"
    REAL = "real_losses"
    NON_REVENUE = "non_revenue_water"


INPUTS = (
    Line.INFLOW,
    Line.STORAGE_RISE,
    Line.BILLED_METERED,
    Line.BILLED_UNMETERED,
    Line.UNBILLED_METERED,
    Line.UNBILLED_UNMETERED,
    Line.UNAUTHORISED,
    Line.METERING,
)
"""The lines that are read or stated; all others are sums of them."""

_BILLED = (Line.BILLED_METERED, Line.BILLED_UNMETERED)
_UNBILLED = (Line.UNBILLED_METERED, Line.UNBILLED_UNMETERED)
_APPARENT = (Line.UNAUTHORISED, Line.METERING)
_TERMS: Mapping[Line, tuple[tuple[Line, ...], tuple[Line, ...]]] = {
    **{line: ((line,), ()) for line in INPUTS},
    Line.SYSTEM_INPUT: ((Line.INFLOW,), (Line.STORAGE_RISE,)),
    Line.BILLED: (_BILLED, ()),
    Line.UNBILLED: (_UNBILLED, ()),
    Line.AUTHORISED: ((*_BILLED, *_UNBILLED), ()),
    Line.APPARENT: (_APPARENT, ()),
    Line.LOSSES: ((Line.INFLOW,), (Line.STORAGE_RISE, *_BILLED, *_UNBILLED)),
    Line.REAL: ((Line.INFLOW,), (Line.STORAGE_RISE, *_BILLED, *_UNBILLED, *_APPARENT)),
    Line.NON_REVENUE: ((Line.INFLOW,), (Line.STORAGE_RISE, *_BILLED)),
}
"""What each line adds and takes off, down to inputs, so that no margin is counted twice."""


@dataclass(frozen=True, slots=True)
class Balance:
    """A water balance.

    Attributes:
        lines: Volume of each line [m³] with its 95 % margin; None where an input is not known.
    """

    lines: Mapping[Line, Amount | None]

    def __getitem__(self, line: Line) -> Amount | None:
        return self.lines[line]

    def __iter__(self) -> Iterator[Line]:
        return iter(self.lines)

    def missing(self, line: Line) -> tuple[Line, ...]:
        """Return the inputs that a line waits for."""
        added, taken = _TERMS[line]
        return tuple(one for one in (*added, *taken) if self.lines[one] is None)


def water_balance(inputs: Mapping[Line, Amount | None]) -> Balance:
    """Return the balance of a period.

    Args:
        inputs: Volume of each of `INPUTS` [m³]; absent or None is not known. The inflow is what
            comes in less what goes out through the boundary; the storage rise is negative when
            tanks are lower at the end.

    Raises:
        UnreadableError: A line that is a sum is given.
    """
    sums = [line for line in inputs if line not in INPUTS]
    if sums:
        raise UnreadableError(f"{', '.join(sums)} is a sum and cannot be given")
    return Balance({line: _line(inputs, line) for line in Line})


def _line(inputs: Mapping[Line, Amount | None], line: Line) -> Amount | None:
    added, taken = _TERMS[line]
    lost = [inputs.get(one) for one in taken]
    minus = [None if one is None else one.scaled(-1.0) for one in lost]
    return add([*(inputs.get(one) for one in added), *minus])


def under_registration_m3(metered_m3: Amount, share: Amount) -> Amount:
    """Return the volume that passed customers' meters and was not counted [m³].

    Args:
        metered_m3: What the meters counted [m³].
        share: The part of the true volume that they miss, from 0 to below 1, with its margin.

    Raises:
        UnreadableError: The share is outside of that range.

    Source:
        AWWA manual M36: metered / (1 - share) - metered.
    """
    if not 0 <= share.value < 1:
        raise UnreadableError(f"meters miss a share from 0 to below 1, not {share.value:g}")
    rest = 1.0 - share.value
    volume = metered_m3.value * share.value / rest
    by_share = metered_m3.value * share.margin / rest**2
    by_volume = metered_m3.margin * share.value / rest
    return Amount(volume, (by_share**2 + by_volume**2) ** 0.5)
