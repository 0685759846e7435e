"""The inputs of the balance: read from meters where there are any, else stated, else missing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from twin.accounting.amounts import Amount, add
from twin.accounting.balance import Line, under_registration_m3
from twin.accounting.evidence import Input, evidence_of
from twin.accounting.integrals import Integral, counted, integrate, value_at
from twin.accounting.meters import BoundaryMeter, Meters, TankMeter
from twin.accounting.stated import Stated
from twin.accounting.zones import Zone
from twin.findings import Finding, Severity
from twin.leaks.windows import Window
from twin.readings import Column, Quantity

ASSUMED = {"flow_meter_error": 0.02, "customer_meter_error": 0.02, "level_error": 0.02}
"""95 % margins of meters that nobody stated: 2 % of a flow, 2 % of a use, 2 cm of a level."""
_N_NAMED = 5
_STATED_ONLY = (
    Line.BILLED_UNMETERED,
    Line.UNBILLED_METERED,
    Line.UNBILLED_UNMETERED,
    Line.UNAUTHORISED,
)


@dataclass(slots=True)
class Told:
    """Inputs and findings, as they are gathered."""

    inputs: list[Input] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def miss(self, code: str, message: str, subject: str | None = None) -> None:
        """Add what keeps a number from being known."""
        self.findings.append(Finding(code, message, subject=subject))

    def note(self, code: str, message: str) -> None:
        """Add what a reader may want to know."""
        self.findings.append(Finding(code, message, Severity.NOTE))


def meter_error(stated: Stated, name: str, told: Told) -> float:
    """Return the 95 % margin of a kind of meter, stated or assumed; an assumption is a finding."""
    amount = stated.amount(name)
    if amount is not None:
        return amount.value
    code = f"assumed-{name.replace('_', '-')}"
    if all(one.code != code for one in told.findings):
        told.note(code, f"{name} is not stated; {ASSUMED[name]:g} is assumed (95 % margin)")
    return ASSUMED[name]


def balance_inputs(
    meters: Meters, zone: Zone, window: Window, stated: Stated, told: Told
) -> dict[Line, Amount | None]:
    """Return the volume of each input of the balance [m³]; what stands behind it goes to `told`."""
    metered = _stated_or(
        stated, Line.BILLED_METERED, told, _customers(meters, zone, window, stated)
    )
    found: dict[Line, Amount | None] = {
        Line.INFLOW: _stated_or(stated, Line.INFLOW, told, _inflow(meters, zone, window, stated)),
        Line.STORAGE_RISE: _stated_or(
            stated, Line.STORAGE_RISE, told, _storage(meters, zone, window, stated)
        ),
        Line.BILLED_METERED: metered,
        Line.METERING: _metering(stated, metered, told),
    }
    for line in _STATED_ONLY:
        found[line] = _stated_or(stated, line, told, _not_stated(line))
    return found


_Reader = Callable[[Told], Amount | None]


def _stated_or(stated: Stated, line: Line, told: Told, read: _Reader) -> Amount | None:
    fact = stated.facts.get(line.value)
    if fact is None:
        return read(told)
    told.inputs.append(Input(line.value, fact.amount, "m3", fact.source))
    return fact.amount


def _not_stated(line: Line) -> _Reader:
    def missing(told: Told) -> None:
        told.miss("not-stated", f"{line} is not stated; state 0 if there is none", line.value)

    return missing


def _inflow(meters: Meters, zone: Zone, window: Window, stated: Stated) -> _Reader:
    def read(told: Told) -> Amount | None:
        found, missing = meters.boundary(zone)
        for name in missing:
            said = f"{name} crosses the boundary without a flow series; meter it or close it"
            told.miss("boundary-not-metered", said, name)
        if not zone.crossings:
            told.miss("no-boundary", "no open link leads into the zone, so nothing is measured")
        error = meter_error(stated, "flow_meter_error", told)
        parts = [_boundary_m3(meters, meter, window, error, told) for meter in found]
        return None if missing or not parts else add(parts)

    return read


def _boundary_m3(
    meters: Meters, meter: BoundaryMeter, window: Window, error: float, told: Told
) -> Amount | None:
    integral = integrate(meter.column, window)
    amount = _with_margin(integral, error, told, meter.column)
    signed = None if amount is None else amount.scaled(float(meter.sign))
    used = meters.in_window(meter.column)
    said = f"flow at {meter.asset}, {'in' if meter.sign > 0 else 'out'}"
    told.inputs.append(Input(Line.INFLOW.value, signed, "m3", said, evidence_of(used)))
    return signed


def _with_margin(
    integral: Integral | str, error: float, told: Told, column: Column
) -> Amount | None:
    """Return an integral with its meter's margin and that of bridged gaps; or say why not."""
    series = column.series
    if isinstance(integral, str):
        told.miss("readings-missing", f"{series.tag} at {series.asset}: {integral}", series.asset)
        return None
    if integral.bridged > 0:
        said = f"{series.tag}: {integral.bridged / max(integral.gross, 1e-12):.1%} lies in gaps"
        told.note("gaps-bridged", f"{said} of up to two hours, and counts with that margin")
    return Amount(integral.net, math.hypot(error * integral.gross, integral.bridged))


def _storage(meters: Meters, zone: Zone, window: Window, stated: Stated) -> _Reader:
    def read(told: Told) -> Amount | None:
        found, missing = meters.tanks(zone)
        for name in missing:
            said = f"{name} has no level series, or its diameter is not known"
            told.miss("tank-not-metered", said, name)
        error_m = meter_error(stated, "level_error", told) if found else 0.0
        parts = [_rise_m3(tank, window, error_m, told) for tank in found]
        return None if missing else add(parts)

    return read


def _rise_m3(tank: TankMeter, window: Window, error_m: float, told: Told) -> Amount | None:
    rise = rise_m3(tank, window, error_m)
    if rise is None:
        said = f"{tank.asset}: no good level within two hours of both ends of the window"
        told.miss("readings-missing", said, tank.asset)
    said = f"level of {tank.asset} × {tank.area_m2:.1f} m²"
    told.inputs.append(Input(Line.STORAGE_RISE.value, rise, "m3", said, evidence_of(tank.column)))
    return rise


def rise_m3(tank: TankMeter, window: Window, error_m: float) -> Amount | None:
    """Return how much more a tank holds at the end of a window than at its beginning [m³]."""
    begin_m, end_m = (value_at(tank.column, at) for at in (window.from_ns, window.to_ns))
    if begin_m is None or end_m is None:
        return None
    margin_m = math.sqrt(2.0) * error_m
    return Amount((end_m - begin_m) * tank.area_m2, margin_m * tank.area_m2)


def _customers(meters: Meters, zone: Zone, window: Window, stated: Stated) -> _Reader:
    def read(told: Told) -> Amount | None:
        found, missing = meters.customers(zone)
        if not _are_all(found, missing, stated, told):
            return None
        error = meter_error(stated, "customer_meter_error", told)
        return add([_use_m3(meters, column, window, error, told) for column in found])

    return read


def _are_all(found: Sequence[Column], missing: Sequence[str], stated: Stated, told: Told) -> bool:
    """Return whether the recorded customers are all there are; a part of them is no total."""
    if found and (not missing or stated.customers_are_all_recorded):
        return True
    n_all = len(found) + len(missing)
    said = f"{len(found)} of {n_all} customers have readings"
    more = f", not {', '.join(missing[:_N_NAMED])}{' …' if len(missing) > _N_NAMED else ''}"
    told.miss(
        "customers-not-metered",
        f"{said}{more if missing else ''}; state billed_metered from the bills",
        Line.BILLED_METERED.value,
    )
    return False


def _use_m3(
    meters: Meters, column: Column, window: Window, error: float, told: Told
) -> Amount | None:
    is_counter = column.series.quantity is Quantity.VOLUME
    used = column if is_counter else meters.in_window(column)
    if is_counter:
        moved = counted(column, window)
        integral = moved if isinstance(moved, str) else Integral(moved, moved, 0.0, 1.0)
    else:
        integral = integrate(column, window)
    amount = _with_margin(integral, error, told, column)
    said = f"{'counter' if is_counter else 'use'} at {column.series.asset}"
    told.inputs.append(Input(Line.BILLED_METERED.value, amount, "m3", said, evidence_of(used)))
    return amount


def _metering(stated: Stated, metered: Amount | None, told: Told) -> Amount | None:
    """Return what customers' meters missed: a stated volume, or a stated share of what passed."""
    share = stated.facts.get("meter_under_registration")
    if Line.METERING.value in stated.facts or share is None:
        return _stated_or(stated, Line.METERING, told, _not_stated(Line.METERING))
    if metered is None:
        said = "metering_inaccuracy is a share of billed_metered, which is not known"
        told.miss("not-known", said, Line.METERING.value)
        return None
    missed = under_registration_m3(metered, share.amount)
    source = f"{share.amount.value:.1%} of what passed the meters: {share.source}"
    told.inputs.append(Input(Line.METERING.value, missed, "m3", source))
    return missed
