"""A water balance in words and rows, the same for the terminal and the page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from twin.accounting.amounts import Amount
from twin.accounting.balance import Line
from twin.accounting.money import cost_per_day
from twin.accounting.results import Accounting
from twin.findings import Severity

_DEPTH = {
    Line.INFLOW: 1,
    Line.STORAGE_RISE: 1,
    Line.SYSTEM_INPUT: 0,
    Line.AUTHORISED: 0,
    Line.BILLED: 1,
    Line.BILLED_METERED: 2,
    Line.BILLED_UNMETERED: 2,
    Line.UNBILLED: 1,
    Line.UNBILLED_METERED: 2,
    Line.UNBILLED_UNMETERED: 2,
    Line.LOSSES: 0,
    Line.APPARENT: 1,
    Line.UNAUTHORISED: 2,
    Line.METERING: 2,
    Line.REAL: 1,
    Line.NON_REVENUE: 0,
}
_ORDER = (Line.SYSTEM_INPUT, *(line for line in Line if line is not Line.SYSTEM_INPUT))
_NOT_KNOWN = "not known"
_LITRES = 1_000.0
_DAY_S = 86_400.0
_BANDS = "bands of Liemberger and McKenzie 2005, World Bank Institute"
_UARL = "UARL after Lambert and others 1999"


@dataclass(frozen=True, slots=True)
class LineRow:
    """One line of the table, as text."""

    depth: int
    name: str
    value: str
    margin: str
    share: str


def line_rows(found: Accounting) -> list[LineRow]:
    """Return the lines of the balance in the order that people read them."""
    supplied = found.lines[Line.SYSTEM_INPUT]
    return [_row(line, found.lines[line], supplied) for line in _ORDER]


def words_of(found: Accounting) -> list[str]:
    """Return what the night flow, the rate, the ILI and the money say, a sentence each."""
    return [_night(found), _cjj(found), _ili(found), *_money(found)]


def finding_lines(found: Accounting) -> list[str]:
    """Return the findings: what is missing first, then remarks."""
    ranked = sorted(found.findings, key=lambda one: one.severity is Severity.NOTE)
    return [
        f"{'note' if one.severity is Severity.NOTE else 'missing'} ({one.code}): {one.message}"
        for one in ranked
    ]


def told(amount: Amount, unit: str, digits: int = 2) -> str:
    """Return a number with its margin and unit."""
    return f"{amount.value:.{digits}f} ± {amount.margin:.{digits}f} {unit}"


def _row(line: Line, amount: Amount | None, supplied: Amount | None) -> LineRow:
    name = line.value.replace("_", " ")
    if amount is None:
        return LineRow(_DEPTH[line], name, _NOT_KNOWN, "", "")
    is_share = supplied is not None and supplied.value > 0
    share = f"{amount.value / supplied.value:.1%}" if is_share and supplied else ""
    return LineRow(_DEPTH[line], name, f"{amount.value:,.1f}", f"{amount.margin:,.1f}", share)


def _night(found: Accounting) -> str:
    night = found.night
    flow, leak = night.minimum_night_flow_m3s, night.night_leakage_m3s
    if flow is None:
        return f"Night flow ({night.local_from} to {night.local_to}): {_NOT_KNOWN}."
    n_whole = sum(one.net_inflow_m3s is not None for one in night.nights)
    said = f"Night flow ({night.method}): {told(flow.scaled(_LITRES), 'L/s')} over {n_whole} nights"
    if leak is None or night.legitimate_use_m3s is None:
        return f"{said}; what customers draw of it is {_NOT_KNOWN}."
    use = told(night.legitimate_use_m3s.scaled(_LITRES), "L/s")
    said = f"{said}; customers draw {use}, so {told(leak.scaled(_LITRES), 'L/s')} leaks at night"
    if night.leakage_m3_per_day is None or night.night_day_factor_h is None:
        return f"{said}; what a day loses is {_NOT_KNOWN}."
    day = told(night.leakage_m3_per_day, "m³ a day", 1)
    return f"{said}; with a night-day factor of {night.night_day_factor_h.value:.1f} h, {day}."


def _cjj(found: Accounting) -> str:
    cjj = found.cjj
    if cjj.gross_percent is None:
        return f"Leakage rate ({cjj.standard_id}): {_NOT_KNOWN}."
    said = f"Leakage rate ({cjj.standard_id}): gross {told(cjj.gross_percent, '%')}"
    if cjj.rate_percent is None:
        return f"{said}; the corrected rate is {_NOT_KNOWN}."
    parts = ", ".join(f"{name} {value:.2f} %" for name, value in cjj.corrections_percent.items())
    grade = "worse than grade 2" if cjj.grade is None else f"grade {cjj.grade}"
    indication = "" if cjj.is_whole_year else ", an indication only, for the period is no year"
    return (
        f"{said}; less {parts}, the rate is {told(cjj.rate_percent, '%')}: {grade} of clause "
        f"{cjj.clause}{indication}."
    )


def _ili(found: Accounting) -> str:
    said = found.ili
    if said.uarl_m3_per_day is None:
        return f"ILI ({_UARL}): {_NOT_KNOWN}."
    uarl = f"{told(said.uarl_m3_per_day, 'm³ a day', 1)} could not be avoided ({_UARL})"
    if said.ili is None or said.real_losses_m3_per_day is None:
        return f"Of real losses, {uarl}; the ILI is {_NOT_KNOWN}."
    bands = ", ".join(f"{band} in a {country} country" for country, band in said.bands.items())
    losses = told(said.real_losses_m3_per_day, "m³ a day", 1)
    return f"Real losses are {losses}; {uarl}. ILI {told(said.ili, '')}: {bands} ({_BANDS})."


def _money(found: Accounting) -> Iterator[str]:
    price, losses = found.price, found.ili.real_losses_m3_per_day
    if price is None or losses is None:
        return
    low, likely, high = (
        max(losses.value + way * losses.margin, 0.0) / _DAY_S for way in (-1, 0, 1)
    )
    cost = cost_per_day(low, likely, high, price.per_m3, price.currency, price.source)
    yield (
        f"Real losses cost {cost.low:,.0f} to {cost.high:,.0f} {price.currency} a day, likely "
        f"{cost.likely:,.0f} (at {price.per_m3:g} {price.currency}/m³: {price.source})."
    )
