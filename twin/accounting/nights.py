"""Night flow: what leaks while a zone sleeps, and what that makes of a day.

Source:
    UK Water Industry Research, "Managing Leakage", report E, 1994, on night flows; J. May,
    "Leakage, pressure and control", 1994, for FAVAD; A. Lambert, "What do we know about
    pressure-leakage relationships in distribution systems?", IWA 2001, for the exponent N1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from twin.accounting.amounts import Amount, subtract
from twin.errors import UnreadableError
from twin.readings import FloatArray

LEAST_N1 = 0.5
MOST_N1 = 2.5
"""N1 is 0.5 for a fixed hole; 2.5 is the most that was measured for longitudinal splits."""


@dataclass(frozen=True, slots=True)
class NightLeakage:
    """What night flow says.

    Attributes:
        minimum_night_flow_m3s: Mean net inflow in the night's window over the nights [m³/s].
        legitimate_use_m3s: What customers draw then [m³/s].
        night_leakage_m3s: The difference [m³/s].
        night_day_factor_h: Hours of night leakage that make a day's [h/d]; None without pressures.
        leakage_m3_per_day: Leakage of a day [m³/d]; None without pressures.
    """

    minimum_night_flow_m3s: Amount
    legitimate_use_m3s: Amount
    night_leakage_m3s: Amount
    night_day_factor_h: Amount | None
    leakage_m3_per_day: Amount | None


def night_day_factor_h(hourly_pressure_m: FloatArray, night_pressure_m: float, n1: float) -> float:
    """Return the hours of night leakage that make up a day's leakage [h/d].

    Args:
        hourly_pressure_m: Mean pressure of the zone in each hour of the day [m], shape (24,), ≥ 0.
        night_pressure_m: Its mean in the night's window [m], above 0.
        n1: FAVAD exponent: leakage varies with pressure to the power N1, from 0.5 to 2.5.

    Returns:
        24 where the pressure is the same all day; less where it is higher at night.

    Raises:
        UnreadableError: A pressure is not there or negative, or N1 is out of its range.
    """
    if not LEAST_N1 <= n1 <= MOST_N1:
        raise UnreadableError(f"the exponent N1 is from {LEAST_N1:g} to {MOST_N1:g}, not {n1:g}")
    is_whole = hourly_pressure_m.shape == (24,) and bool((hourly_pressure_m >= 0).all())
    if not (is_whole and night_pressure_m > 0):
        raise UnreadableError("the night-day factor needs a pressure in each hour of the day")
    return float(((hourly_pressure_m / night_pressure_m) ** n1).sum())


def night_leakage(
    night_flow_m3s: Sequence[float],
    meter_margin_m3s: float,
    legitimate_use_m3s: Amount,
    factor_h: Amount | None,
) -> NightLeakage:
    """Return the leakage that the night flows of some nights say.

    Args:
        night_flow_m3s: Mean net inflow of each night's window [m³/s], at least one.
        meter_margin_m3s: 95 % margin of the meters, the same on all nights [m³/s].
        legitimate_use_m3s: What customers draw in the window [m³/s].
        factor_h: The night-day factor [h/d], None where it is not known.
    """
    flows = np.array(night_flow_m3s, dtype=np.float64)
    spread = 1.96 * float(flows.std(ddof=1)) / len(flows) ** 0.5 if len(flows) > 1 else 0.0
    flow = Amount(float(flows.mean()), float(np.hypot(meter_margin_m3s, spread)))
    leak = subtract(flow, legitimate_use_m3s)
    assert leak is not None
    daily = None if factor_h is None else _times(leak, factor_h).scaled(3_600.0)
    return NightLeakage(flow, legitimate_use_m3s, leak, factor_h, daily)


def _times(one: Amount, other: Amount) -> Amount:
    margin = float(np.hypot(one.margin * other.value, other.margin * one.value))
    return Amount(one.value * other.value, margin)
