from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twin.accounting.amounts import Amount, add, divide, subtract
from twin.accounting.balance import INPUTS, Balance, Line, under_registration_m3, water_balance
from twin.errors import UnreadableError

volumes = st.builds(Amount, st.floats(0, 1e9), st.floats(0, 1e8))
all_inputs = st.fixed_dictionaries(dict.fromkeys(INPUTS, volumes))


def known(balance: Balance, line: Line) -> Amount:
    amount = balance[line]
    assert amount is not None
    return amount


def value(balance: Balance, line: Line) -> float:
    return known(balance, line).value


def example() -> Balance:
    return water_balance(
        {
            Line.INFLOW: Amount(1_000, 30),
            Line.STORAGE_RISE: Amount(-50, 40),
            Line.BILLED_METERED: Amount(700, 12),
            Line.BILLED_UNMETERED: Amount(60, 6),
            Line.UNBILLED_METERED: Amount(10, 1),
            Line.UNBILLED_UNMETERED: Amount(20, 4),
            Line.UNAUTHORISED: Amount(5, 2),
            Line.METERING: Amount(14, 3),
        }
    )


def test_a_balance_worked_by_hand() -> None:
    balance = example()
    assert known(balance, Line.SYSTEM_INPUT) == Amount(1_050, 50)  # 3-4-5
    assert value(balance, Line.AUTHORISED) == 790
    assert value(balance, Line.LOSSES) == 260
    assert value(balance, Line.APPARENT) == 19
    assert value(balance, Line.REAL) == 241
    assert value(balance, Line.NON_REVENUE) == 290
    squares = 30**2 + 40**2 + 12**2 + 6**2 + 1 + 4**2 + 2**2 + 3**2
    assert known(balance, Line.REAL).margin == pytest.approx(math.sqrt(squares))


@settings(deadline=None)
@given(all_inputs)
def test_the_lines_add_up(inputs: dict[Line, Amount]) -> None:
    balance = water_balance(inputs)
    close = lambda amount: pytest.approx(amount, rel=1e-9, abs=1e-3)  # noqa: E731
    supplied = value(balance, Line.SYSTEM_INPUT)
    authorised, losses = value(balance, Line.AUTHORISED), value(balance, Line.LOSSES)
    assert authorised + losses == close(supplied)
    assert value(balance, Line.BILLED) + value(balance, Line.UNBILLED) == close(authorised)
    assert value(balance, Line.APPARENT) + value(balance, Line.REAL) == close(losses)
    assert value(balance, Line.BILLED) + value(balance, Line.NON_REVENUE) == close(supplied)
    not_billed = value(balance, Line.UNBILLED) + losses
    assert value(balance, Line.NON_REVENUE) == close(not_billed)


@settings(deadline=None)
@given(all_inputs, st.sampled_from(INPUTS), st.floats(1, 10))
def test_margins_are_not_negative_and_grow_with_each_input(
    inputs: dict[Line, Amount], line: Line, factor: float
) -> None:
    before = water_balance(inputs)
    wider = Amount(inputs[line].value, inputs[line].margin * factor)
    after = water_balance({**inputs, line: wider})
    for one in Line:
        assert 0 <= known(before, one).margin <= known(after, one).margin * (1 + 1e-12)


@settings(deadline=None)
@given(all_inputs, st.sampled_from(INPUTS))
def test_what_is_not_known_is_not_taken_as_zero(inputs: dict[Line, Amount], line: Line) -> None:
    balance = water_balance({**inputs, line: None})
    assert balance[Line.REAL] is None
    assert balance.missing(Line.REAL) == (line,)
    unknown = {one for one in Line if balance[one] is None}
    assert all(line in balance.missing(one) for one in unknown)
    assert all(not balance.missing(one) for one in set(Line) - unknown)


def test_a_sum_cannot_be_given() -> None:
    with pytest.raises(UnreadableError, match="real_losses is a sum"):
        water_balance({Line.REAL: Amount(3)})


@settings(deadline=None)
@given(volumes, volumes)
def test_a_difference_is_no_surer_than_its_parts(one: Amount, other: Amount) -> None:
    both = subtract(one, other)
    assert both is not None
    assert both.margin >= max(one.margin, other.margin) * (1 - 1e-12)
    assert both.margin <= (one.margin + other.margin) * (1 + 1e-12)


def test_a_sum_with_an_unknown_part_is_unknown() -> None:
    assert add([Amount(1), None]) is None
    assert add([]) == Amount(0)


def test_a_ratio_carries_both_margins() -> None:
    assert divide(Amount(10, 0.3), Amount(5, 0.2)).margin == pytest.approx(0.1)  # 3-4-5 again
    with pytest.raises(UnreadableError, match="divisor"):
        divide(Amount(1), Amount(0))


@pytest.mark.parametrize("bad", [(math.nan, 0), (1, -1), (1, math.inf)])
def test_a_number_has_a_value_and_a_margin_of_0_or_more(bad: tuple[float, float]) -> None:
    with pytest.raises(UnreadableError):
        Amount(*bad)


def test_meters_that_miss_a_fiftieth_of_980_m3_missed_20() -> None:
    missed = under_registration_m3(Amount(980, 0), Amount(0.02, 0.0))
    assert missed.value == pytest.approx(20)
    with pytest.raises(UnreadableError, match="share"):
        under_registration_m3(Amount(980), Amount(1.0))
