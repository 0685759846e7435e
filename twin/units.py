"""Units: what a value may be given in, and the one unit that each quantity is stored in.

Conversion happens once, at the door. Factors are exact fractions of the definitions, so that a
conversion rounds only where floating point must. `docs/units.md` is this table in words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from twin.errors import RefusedError
from twin.readings import Quantity

Number = TypeVar("Number", float, npt.NDArray[np.float64])

STORED_UNIT: Mapping[Quantity, str] = {
    Quantity.PRESSURE: "m",
    Quantity.LEVEL: "m",
    Quantity.FLOW: "m3/s",
    Quantity.DEMAND: "m3/s",
    Quantity.VOLUME: "m3",
    Quantity.CONCENTRATION: "g/m3",
    Quantity.TURBIDITY: "NTU",
    Quantity.PH: "1",
    Quantity.TEMPERATURE: "degC",
    Quantity.STATUS: "1",
}
"""The unit that values of each quantity are stored in."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of one quantity.

    Attributes:
        symbol: How the table writes it.
        scale: Stored value per unit, above 0, exact.
        offset: Stored value at zero of this unit, exact.
    """

    symbol: str
    scale: Fraction
    offset: Fraction = Fraction(0)


class UnitError(RefusedError):
    """A unit does not fit its quantity."""

    code = "UNIT_MISFIT"

    def __init__(self, unit: str, quantity: Quantity) -> None:
        super().__init__(unit, quantity)
        self.unit = unit
        self.quantity = quantity

    def __str__(self) -> str:
        fitting = ", ".join(dict.fromkeys(u.symbol for u in _TABLES[self.quantity].values()))
        others = [str(q) for q, table in _TABLES.items() if self.unit in table]
        is_of = f" (a unit of {' or '.join(others)})" if others else ""
        return (
            f"unit {self.unit!r}{is_of} does not fit the quantity {self.quantity}; write {fitting}"
        )


_PA_PER_M = Fraction("9806.65")  # conventional metre of water, ISO 80000-4: 1000 kg/m3 × 9.80665
_FOOT = Fraction("0.3048")  # international foot [m], 1959
_INCH = _FOOT / 12
_POUND_FORCE = Fraction("0.45359237") * Fraction("9.80665")  # [N]
_US_GALLON = 231 * _INCH**3  # [m3]
_IMPERIAL_GALLON = Fraction("0.00454609")  # [m3]
_ACRE_FOOT = 43_560 * _FOOT**3  # [m3]
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400


def _table(*rows: tuple[Unit, str]) -> dict[str, Unit]:
    """Return units by every spelling: their symbol, then the others of the row."""
    return {name: unit for unit, others in rows for name in (unit.symbol, *others.split())}


def _unit(symbol: str, scale: Fraction | int | str, others: str = "") -> tuple[Unit, str]:
    return Unit(symbol, Fraction(scale)), others


def _pressure(symbol: str, pascal: Fraction | int, others: str = "") -> tuple[Unit, str]:
    return _unit(symbol, Fraction(pascal) / _PA_PER_M, others)


_PRESSURE = _table(
    _unit("m", 1, "mH2O mwc mWC mH₂O m_H2O"),
    _unit("cm", "0.01", "cmH2O cmwc cmWC"),
    _unit("mm", "0.001", "mmH2O mmwc mmWC"),
    _unit("ft", _FOOT, "ftH2O"),
    _pressure("Pa", 1),
    _pressure("hPa", 100),
    _pressure("kPa", 1_000, "KPA kpa"),
    _pressure("MPa", 1_000_000),
    _pressure("bar", 100_000),
    _pressure("mbar", 100),
    _pressure("psi", _POUND_FORCE / _INCH**2, "PSI"),
    _pressure("atm", 101_325),
    _pressure("kgf/cm2", Fraction("98066.5"), "kgf/cm² at"),
)
_LENGTH = _table(
    _unit("m", 1),
    _unit("cm", "0.01"),
    _unit("mm", "0.001"),
    _unit("ft", _FOOT),
    _unit("in", _INCH),
)
_VOLUME = _table(
    _unit("m3", 1, "m³"),
    _unit("L", "0.001", "l"),
    _unit("ML", 1_000, "Ml"),
    _unit("gal", _US_GALLON),
    _unit("ft3", _FOOT**3, "ft³"),
)
_FLOW = _table(
    _unit("m3/s", 1, "m³/s CMS"),
    _unit("m3/min", Fraction(1, _MINUTE), "m³/min"),
    _unit("m3/h", Fraction(1, _HOUR), "m³/h m3/hr CMH"),
    _unit("m3/d", Fraction(1, _DAY), "m³/d m3/day CMD"),
    _unit("L/s", Fraction(1, 1_000), "l/s LPS"),
    _unit("L/min", Fraction(1, 1_000 * _MINUTE), "l/min LPM"),
    _unit("L/h", Fraction(1, 1_000 * _HOUR), "l/h L/hr"),
    _unit("L/d", Fraction(1, 1_000 * _DAY), "l/d"),
    _unit("ML/d", Fraction(1_000, _DAY), "Ml/d MLD"),
    _unit("ft3/s", _FOOT**3, "ft³/s CFS"),
    _unit("GPM", _US_GALLON / _MINUTE, "gpm gal/min"),
    _unit("MGD", 1_000_000 * _US_GALLON / _DAY),
    _unit("IMGD", 1_000_000 * _IMPERIAL_GALLON / _DAY),
    _unit("AFD", _ACRE_FOOT / _DAY),
)
_CONCENTRATION = _table(
    _unit("g/m3", 1, "g/m³"),
    _unit("mg/L", 1, "mg/l"),
    _unit("ug/L", Fraction(1, 1_000), "µg/L μg/L ug/l µg/l μg/l mg/m3 mg/m³"),
    _unit("ng/L", Fraction(1, 1_000_000), "ng/l"),
    _unit("g/L", 1_000, "g/l"),
    _unit("kg/m3", 1_000, "kg/m³"),
)
_TURBIDITY = _table(_unit("NTU", 1), _unit("FNU", 1))
_TEMPERATURE = _table(
    _unit("degC", 1, "°C"),
    (Unit("K", Fraction(1), Fraction("-273.15")), ""),
    (Unit("degF", Fraction(5, 9), Fraction(-160, 9)), "°F"),
)
_NUMBER = _table(_unit("1", 1))
_PH = _table(_unit("1", 1, "pH"))

_TABLES: Mapping[Quantity, Mapping[str, Unit]] = {
    Quantity.PRESSURE: _PRESSURE,
    Quantity.LEVEL: _LENGTH,
    Quantity.FLOW: _FLOW,
    Quantity.DEMAND: _FLOW,
    Quantity.VOLUME: _VOLUME,
    Quantity.CONCENTRATION: _CONCENTRATION,
    Quantity.TURBIDITY: _TURBIDITY,
    Quantity.PH: _PH,
    Quantity.TEMPERATURE: _TEMPERATURE,
    Quantity.STATUS: _NUMBER,
}


def units_of(quantity: Quantity) -> Mapping[str, Unit]:
    """Return the units that fit a quantity, by every spelling that is read."""
    return _TABLES[quantity]


def parse_unit(text: str, quantity: Quantity) -> Unit:
    """Return the unit of `quantity` that `text` spells; capitals count (`MPa` is not `mPa`).

    Raises:
        UnitError: No unit of that quantity is spelled so.
    """
    unit = _TABLES[quantity].get(text)
    if unit is None:
        raise UnitError(text, quantity)
    return unit


def to_stored(value: Number, unit: str, quantity: Quantity) -> Number:
    """Return `value`, a number or an array of any shape, in the stored unit of its quantity.

    Raises:
        UnitError: The unit does not fit the quantity.
    """
    known = parse_unit(unit, quantity)
    # One multiplication and one division: 1 L/h is then exactly the double nearest to 1/3,600,000.
    times, over = known.scale.as_integer_ratio()
    return value * float(times) / float(over) + float(known.offset)


def from_stored(value: Number, unit: str, quantity: Quantity) -> Number:
    """Return a stored value, a number or an array of any shape, in `unit`.

    Raises:
        UnitError: The unit does not fit the quantity.
    """
    known = parse_unit(unit, quantity)
    times, over = known.scale.as_integer_ratio()
    return (value - float(known.offset)) * float(over) / float(times)
