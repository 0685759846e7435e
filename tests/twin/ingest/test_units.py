"""Units: known answers with their source, and there and back as a law."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.readings import Quantity
from twin.units import STORED_UNIT, UnitError, from_stored, parse_unit, to_stored, units_of

EVERY_UNIT = [(quantity, name) for quantity in Quantity for name in units_of(quantity)]
PAGE = Path(__file__).parents[3] / "docs" / "units.md"


@pytest.mark.parametrize(
    ("value", "unit", "quantity", "stored"),
    [
        (1.0, "bar", Quantity.PRESSURE, 100_000 / 9806.65),  # ISO 80000-4: 1 mH2O = 9806.65 Pa
        (1.0, "psi", Quantity.PRESSURE, 0.7030695796391593),  # NIST SP 811: 6894.757 Pa
        (1.0, "atm", Quantity.PRESSURE, 10.332274527998858),  # NIST SP 811: 101 325 Pa
        (98066.5, "Pa", Quantity.PRESSURE, 10.0),
        (1.0, "MPa", Quantity.PRESSURE, 101.9716212977928),
        (1.0, "ft", Quantity.LEVEL, 0.3048),  # the international foot
        (1.0, "in", Quantity.LEVEL, 0.0254),
        (1.0, "GPM", Quantity.FLOW, 6.30901964e-05),  # NIST SP 811: 6.309020 E-05
        (1.0, "MGD", Quantity.FLOW, 0.0438126363888889),  # NIST SP 811, gallons per day × 10⁶
        (1.0, "IMGD", Quantity.FLOW, 0.05261678240740741),  # 4.54609 L exactly
        (1.0, "AFD", Quantity.FLOW, 0.0142764101568),  # 1233.48183754752 m3 a day
        (1.0, "CFS", Quantity.FLOW, 0.028316846592),
        (3600.0, "m3/h", Quantity.FLOW, 1.0),
        (86.4, "MLD", Quantity.DEMAND, 1.0),
        (1.0, "L/h", Quantity.DEMAND, 1 / 3_600_000),
        (1.0, "gal", Quantity.VOLUME, 0.003785411784),  # 231 cubic inches
        (1.0, "mg/L", Quantity.CONCENTRATION, 1.0),
        (250.0, "µg/L", Quantity.CONCENTRATION, 0.25),
        (250.0, "μg/L", Quantity.CONCENTRATION, 0.25),
        (1.0, "kg/m3", Quantity.CONCENTRATION, 1000.0),
        (273.15, "K", Quantity.TEMPERATURE, 0.0),
        (212.0, "degF", Quantity.TEMPERATURE, 100.0),
        (-40.0, "°F", Quantity.TEMPERATURE, -40.0),
        (7.2, "pH", Quantity.PH, 7.2),
    ],
)
def test_a_value_is_stored_as_its_definition_says(
    value: float, unit: str, quantity: Quantity, stored: float
) -> None:
    assert to_stored(value, unit, quantity) == pytest.approx(stored, rel=1e-14, abs=1e-13)


@pytest.mark.parametrize("quantity", Quantity)
def test_a_value_in_the_stored_unit_is_stored_bit_for_bit(quantity: Quantity) -> None:
    assert to_stored(0.1, STORED_UNIT[quantity], quantity) == 0.1


@given(st.sampled_from(EVERY_UNIT), st.floats(-1e9, 1e9))
def test_there_and_back_is_the_same_value(unit: tuple[Quantity, str], value: float) -> None:
    quantity, name = unit
    there = to_stored(value, name, quantity)
    back = from_stored(there, name, quantity)
    size = parse_unit(name, quantity).scale
    offset = abs(float(parse_unit(name, quantity).offset / size))
    assert back == pytest.approx(value, rel=1e-14, abs=1e-14 * max(1.0, offset))


@given(st.sampled_from(EVERY_UNIT), st.lists(st.floats(-1e6, 1e6), max_size=5))
def test_a_column_converts_as_its_values_do(
    unit: tuple[Quantity, str], values: list[float]
) -> None:
    quantity, name = unit
    column = to_stored(np.array(values), name, quantity)
    assert column.tolist() == [to_stored(value, name, quantity) for value in values]


@given(st.sampled_from(EVERY_UNIT), st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_conversion_keeps_the_order(unit: tuple[Quantity, str], a: float, b: float) -> None:
    quantity, name = unit
    low, high = sorted((a, b))
    assert to_stored(low, name, quantity) <= to_stored(high, name, quantity)


@pytest.mark.parametrize("unit", ["mPa", "M", "bars", "", "L/s", " m"])
def test_what_is_no_unit_of_the_quantity_is_refused_with_those_that_are(unit: str) -> None:
    with pytest.raises(UnitError, match=r"does not fit the quantity pressure; write m, .*bar"):
        to_stored(1.0, unit, Quantity.PRESSURE)


def test_a_unit_of_another_quantity_is_named_as_such() -> None:
    with pytest.raises(UnitError, match=re.escape("unit 'bar' (a unit of pressure)")):
        to_stored(1.0, "bar", Quantity.FLOW)


@pytest.mark.parametrize("quantity", Quantity)
def test_the_page_names_every_unit_of_a_quantity(quantity: Quantity) -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith(f"| `{quantity}`")]
    row = " ".join(rows)
    if "as `flow`" in row:
        return
    for unit in units_of(quantity).values():
        assert f"`{unit.symbol}`" in row
