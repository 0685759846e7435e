"""Night flow from what is recorded: the local nights of a period, and the pressure of each hour."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from functools import lru_cache

import numpy as np

from twin.accounting.amounts import Amount, add
from twin.accounting.evidence import Input, evidence_of
from twin.accounting.integrals import integrate
from twin.accounting.meters import BoundaryMeter, Meters, TankMeter
from twin.accounting.nights import night_day_factor_h, night_leakage
from twin.accounting.results import Night, NightResult
from twin.accounting.stated import Stated
from twin.accounting.volumes import Told, meter_error, rise_m3
from twin.accounting.zones import Zone
from twin.assets import local_datetime, zone_of
from twin.errors import UnreadableError
from twin.instants import NS_PER_S, datetime_to_ns, format_instant
from twin.leaks.windows import Window
from twin.readings import Column, FloatArray, Quantity

ASSUMED_N1 = 1.0
_QUARTER_NS = 900 * NS_PER_S
_METHOD = (
    "mean net inflow (boundary meters, less what tanks took in) from {begin} to {end} local time, "
    "over the nights that have all readings; leakage of a day by FAVAD, hour by hour of the mean "
    "of the zone's pressure sensors, with N1 = {n1} ({n1_source})"
)


@dataclass(frozen=True, slots=True)
class NightHours:
    """The wall clock between which a zone sleeps.

    Attributes:
        begin_min: Minutes after midnight, a multiple of 15.
        end_min: The same, later on the same day.
    """

    begin_min: int = 120
    end_min: int = 240

    @property
    def texts(self) -> tuple[str, str]:
        """Both as `HH:MM`."""
        both = (divmod(self.begin_min, 60), divmod(self.end_min, 60))
        return tuple(f"{hour:02d}:{minute:02d}" for hour, minute in both)  # type: ignore[return-value]  # two of them


def parse_night(text: str) -> NightHours:
    """Return the hours that `02:00-04:00` means.

    Raises:
        UnreadableError: It is spelled otherwise, off the quarter hours, or does not rise.
    """
    match = re.fullmatch(r"([01]\d|2[0-3]):(00|15|30|45)-([01]\d|2[0-3]):(00|15|30|45)", text)
    numbers = [int(part) for part in match.groups()] if match else [0] * 4
    hours = NightHours(numbers[0] * 60 + numbers[1], numbers[2] * 60 + numbers[3])
    if match is None or hours.begin_min >= hours.end_min:
        raise UnreadableError(f"night {text!r}: write it like 02:00-04:00, on quarter hours")
    return hours


def local_nights(window: Window, time_zone: str, hours: NightHours) -> list[Window]:
    """Return the nights that lie wholly in a window; one that a clock change cuts is left out."""
    day = local_datetime(window.from_ns, time_zone).date()
    last = local_datetime(window.to_ns, time_zone).date()
    length_ns = (hours.end_min - hours.begin_min) * 60 * NS_PER_S
    nights = []
    while day <= last:
        begin, end = (_instant(day, m, time_zone) for m in (hours.begin_min, hours.end_min))
        if window.from_ns <= begin and end <= window.to_ns and end - begin == length_ns:
            nights.append(Window(begin, end))
        day += timedelta(days=1)
    return nights


def _instant(day: date, minute: int, time_zone: str) -> int:
    zone: tzinfo | None = zone_of(time_zone) or local_datetime(0, time_zone).tzinfo
    return datetime_to_ns(datetime.combine(day, time(*divmod(minute, 60)), tzinfo=zone))


@dataclass(frozen=True, slots=True)
class NightAsked:
    """What a night flow is asked of."""

    meters: Meters
    zone: Zone
    window: Window
    stated: Stated
    hours: NightHours
    time_zone: str


def night_result(asked: NightAsked, told: Told) -> NightResult:
    """Return the night flow of a zone over a period, as far as it is known; findings to `told`."""
    n1, n1_source = _exponent(asked, told)
    begin, end = asked.hours.texts
    method = _METHOD.format(begin=begin, end=end, n1=f"{n1:g}", n1_source=n1_source)
    nights = local_nights(asked.window, asked.time_zone, asked.hours)
    if not nights:
        told.miss("no-night", f"no night from {begin} to {end} lies wholly in the window")
        return NightResult(begin, end, method, (), exponent_n1=n1)
    gathered = Told(findings=told.findings)
    flows = _flows(asked, nights, gathered)
    use = _legitimate_use(asked, nights, gathered)
    factor = _factor(asked, nights, n1, gathered)
    empty = NightResult(begin, end, method, tuple(flows.nights), exponent_n1=n1)
    return _filled(empty, flows, use, factor, tuple(gathered.inputs))


@dataclass(frozen=True, slots=True)
class _Flows:
    """Nights, the flows of those that are whole, and the margin of the meters [m³/s]."""

    nights: list[Night]
    flow_m3s: list[float]
    margin_m3s: float


def _filled(
    empty: NightResult,
    flows: _Flows,
    use: Amount | None,
    factor: Amount | None,
    inputs: tuple[Input, ...],
) -> NightResult:
    known = (empty.local_from, empty.local_to, empty.method, empty.nights)
    if not flows.flow_m3s:
        return NightResult(
            *known,
            legitimate_use_m3s=use,
            exponent_n1=empty.exponent_n1,
            night_day_factor_h=factor,
            inputs=inputs,
        )
    found = night_leakage(flows.flow_m3s, flows.margin_m3s, use or Amount(0.0), factor)
    return NightResult(
        *known,
        minimum_night_flow_m3s=found.minimum_night_flow_m3s,
        legitimate_use_m3s=use,
        night_leakage_m3s=None if use is None else found.night_leakage_m3s,
        exponent_n1=empty.exponent_n1,
        night_day_factor_h=factor,
        leakage_m3_per_day=None if use is None else found.leakage_m3_per_day,
        inputs=inputs,
    )


def _exponent(asked: NightAsked, told: Told) -> tuple[float, str]:
    fact = asked.stated.facts.get("pressure_exponent_n1")
    if fact is not None:
        return fact.amount.value, fact.source
    said = f"pressure_exponent_n1 is not stated; {ASSUMED_N1:g} is assumed, as for mixed networks"
    told.note("assumed-n1", said)
    return ASSUMED_N1, "assumed, Lambert 2001 for networks of mixed pipes"


def _flows(asked: NightAsked, nights: Sequence[Window], told: Told) -> _Flows:
    meters, no_meter = asked.meters.boundary(asked.zone)
    tanks, no_level = asked.meters.tanks(asked.zone)
    if no_meter or no_level or not meters:
        names = ", ".join([*no_meter, *no_level]) or "the boundary"
        told.miss("night-not-metered", f"no night flow without readings of {names}")
        return _Flows([Night(one, None, "not metered") for one in nights], [], 0.0)
    errors = [meter_error(asked.stated, name, told) for name in ("flow_meter_error", "level_error")]
    made = [_one_night(night, meters, tanks, errors) for night in nights]
    _say_incomplete([night for night, _ in made], told)
    for meter in meters:
        used, said = asked.meters.in_window(meter.column), f"flow at {meter.asset} in the nights"
        told.inputs.append(Input("minimum_night_flow", None, "m3/s", said, evidence_of(used)))
    whole = [(night.net_inflow_m3s, margin) for night, margin in made]
    flows = [flow for flow, _ in whole if flow is not None]
    margins = [margin for flow, margin in whole if flow is not None]
    return _Flows([night for night, _ in made], flows, max(margins, default=0.0))


def _say_incomplete(nights: Sequence[Night], told: Told) -> None:
    for night in nights:
        if night.reason:
            said = f"the night of {format_instant(night.window.from_ns)} is left out"
            told.note("night-incomplete", f"{said}: {night.reason}")
    if all(night.reason for night in nights):
        told.miss("no-whole-night", "no night of the window has all readings")


def _one_night(
    night: Window,
    meters: Sequence[BoundaryMeter],
    tanks: Sequence[TankMeter],
    errors: Sequence[float],
) -> tuple[Night, float]:
    """Return one night's net inflow and the margin of its meters [m³/s]."""
    length_s, flow_error, level_error_m = night.length_ns / NS_PER_S, *errors
    parts = []
    for meter in meters:
        found = integrate(meter.column, night)
        if isinstance(found, str):
            return Night(night, None, f"{meter.asset}: {found}"), 0.0
        margin = math.hypot(flow_error * found.gross, found.bridged)
        parts.append(Amount(meter.sign * found.net, margin))
    for tank in tanks:
        rise = rise_m3(tank, night, level_error_m)
        if rise is None:
            return Night(night, None, f"{tank.asset}: no good level at both ends"), 0.0
        parts.append(rise.scaled(-1.0))
    total = add(parts)
    assert total is not None
    return Night(night, total.value / length_s), total.margin / length_s


def _legitimate_use(asked: NightAsked, nights: Sequence[Window], told: Told) -> Amount | None:
    """Return what customers draw at night: read where all are metered, else stated."""
    stated = asked.stated
    each, number = stated.amount("night_use_per_connection"), stated.amount("connections")
    if each is not None and number is not None:
        source = stated.facts["night_use_per_connection"].source
        margin = math.hypot(each.margin * number.value, number.margin * each.value)
        use = Amount(each.value * number.value, margin)
        said = f"{number.value:g} connections × night use: {source}"
        told.inputs.append(Input("legitimate_night_use", use, "m3/s", said))
        return use
    found, missing = asked.meters.customers(asked.zone)
    demands = [one for one in found if one.series.quantity is Quantity.DEMAND]
    is_all = not missing and len(demands) == len(found) and bool(found)
    if not (is_all or (stated.customers_are_all_recorded and demands and not missing)):
        said = "state night_use_per_connection and connections, or record every customer's draw"
        told.miss("night-use-not-known", f"what customers draw at night is not known: {said}")
        return None
    return _metered_use(asked, nights, demands, told)


def _metered_use(
    asked: NightAsked, nights: Sequence[Window], demands: Sequence[Column], told: Told
) -> Amount | None:
    error = meter_error(asked.stated, "customer_meter_error", told)
    parts = []
    for column in demands:
        found = [integrate(column, night) for night in nights]
        means = [one.mean for one in found if not isinstance(one, str)]
        if len(means) < len(nights):
            said = f"{column.series.asset} has a night without all readings"
            told.miss("night-use-not-known", said, column.series.asset)
            return None
        mean = sum(means) / len(means)
        parts.append(Amount(mean, error * abs(mean)))
        evidence, said = evidence_of(asked.meters.in_window(column)), "use in the nights"
        told.inputs.append(Input("legitimate_night_use", parts[-1], "m3/s", said, evidence))
    return add(parts)


def _factor(asked: NightAsked, nights: Sequence[Window], n1: float, told: Told) -> Amount | None:
    """Return the night-day factor from the zone's pressure sensors, hour by hour."""
    sensors = [asked.meters.in_window(one) for one in asked.meters.pressures(asked.zone)]
    sensors = [one for one in sensors if len(one)]
    if not sensors:
        told.miss("no-pressure", "no pressure is recorded in the zone: no night-day factor")
        return None
    hours = np.array([_hourly_means(one, asked.time_zone) for one in sensors])
    night_m = np.array([_night_mean(one, nights) for one in sensors])
    is_whole = np.isfinite(hours).all(axis=1) & np.isfinite(night_m)
    if not is_whole.any():
        told.miss("no-pressure", "no pressure sensor has all hours of the day and the nights")
        return None
    for sensor in (one for one, whole in zip(sensors, is_whole, strict=True) if whole):
        said = "pressure, by hour of the day"
        told.inputs.append(Input("night_day_factor", None, "h", said, evidence_of(sensor)))
    hourly_m, mean_m = hours[is_whole].mean(axis=0), float(night_m[is_whole].mean())
    if not (mean_m > 0 and (hourly_m >= 0).all()):
        told.miss("no-pressure", "the zone's mean pressure is not above 0: no night-day factor")
        return None
    margin = asked.stated.amount("pressure_exponent_n1")
    return _factor_of(hourly_m, mean_m, n1, 0.0 if margin is None else margin.margin)


def _factor_of(hourly_m: FloatArray, mean_m: float, n1: float, n1_margin: float) -> Amount:
    """Return the factor; its margin is that of the exponent."""
    factor = night_day_factor_h(hourly_m, mean_m, n1)
    ratio = np.maximum(hourly_m / mean_m, 1e-9)
    slope = float((ratio**n1 * np.log(ratio)).sum())
    return Amount(factor, abs(slope) * n1_margin)


def _hourly_means(column: Column, time_zone: str) -> FloatArray:
    quarter, index = np.unique(column.time_ns // _QUARTER_NS, return_inverse=True)
    hour = np.array([_hour(int(one), time_zone) for one in quarter])[index]
    n = np.bincount(hour, minlength=24)
    total = np.bincount(hour, weights=column.value, minlength=24)
    return np.where(n > 0, total / np.maximum(n, 1), np.nan)


@lru_cache(maxsize=100_000)
def _hour(quarter: int, time_zone: str) -> int:
    return local_datetime(quarter * _QUARTER_NS, time_zone).hour


def _night_mean(column: Column, nights: Sequence[Window]) -> float:
    found = [integrate(column, night) for night in nights]
    means = [one.mean for one in found if not isinstance(one, str)]
    return sum(means) / len(means) if means else math.nan
