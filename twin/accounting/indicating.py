"""CJJ 92-2016, UARL and ILI of a balance, as far as their inputs are known."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hydraulics.network import BoolArray, NetworkModel
from twin.accounting.amounts import Amount
from twin.accounting.balance import Balance, Line
from twin.accounting.cjj92 import Circumstances, Cjj92, gross_rate_percent, leakage_rate
from twin.accounting.evidence import Input, evidence_of
from twin.accounting.infrastructure import (
    BANDS,
    System,
    band_of,
    check_system,
    ili,
    uarl_m3_per_day,
)
from twin.accounting.integrals import integrate
from twin.accounting.meters import Meters
from twin.accounting.results import CjjResult, IliResult
from twin.accounting.stated import Stated
from twin.accounting.volumes import Told
from twin.accounting.zones import Zone
from twin.instants import NS_PER_S
from twin.leaks.windows import Window

DAY_S = 86_400.0
DAYS_PER_YEAR = 365.0
_YEAR_DAYS = (365.0, 366.0)
_LEAST_SENSORS = 2
_DN75_M = 0.075


@dataclass(frozen=True, slots=True)
class Asked:
    """What the indicators are of."""

    balance: Balance
    meters: Meters
    model: NetworkModel
    zone: Zone
    window: Window
    stated: Stated

    @property
    def days(self) -> float:
        """Length of the period [d]."""
        return self.window.length_ns / NS_PER_S / DAY_S


def cjj_result(asked: Asked, standard: Cjj92, told: Told) -> CjjResult:
    """Return the leakage rate and grade, as far as they are known; findings go to `told`."""
    empty = CjjResult(
        standard.id,
        standard.sha256,
        standard.grade_clause,
        standard.confidence,
        is_whole_year=_YEAR_DAYS[0] <= asked.days <= _YEAR_DAYS[1],
    )
    supplied, used = asked.balance[Line.SYSTEM_INPUT], asked.balance[Line.AUTHORISED]
    if supplied is None or used is None or not supplied.value > 0:
        told.miss("cjj92-not-known", "no leakage rate without supply and authorised consumption")
        return empty
    gathered = Told(findings=told.findings)
    given = _circumstances(asked, gathered)
    gross = gross_rate_percent(supplied, used)
    inputs = tuple(gathered.inputs)
    if given is None:
        return _cjj(empty, gross, {}, None, None, inputs)
    to_year = 1.0 if empty.is_whole_year else DAYS_PER_YEAR / asked.days
    if not empty.is_whole_year:
        said = f"the standard rates a year; these {asked.days:g} days are scaled to one"
        told.note("cjj92-no-year", f"{said}, so rate and grade are an indication only")
    found = leakage_rate(standard, supplied.scaled(to_year), used.scaled(to_year), given)
    corrections = dict(found.corrections_percent)
    return _cjj(empty, gross, corrections, found.rate_percent, found.grade, inputs)


def _cjj(  # noqa: PLR0913, PLR0917 - the fields
    empty: CjjResult,
    gross: Amount,
    corrections: Mapping[str, float],
    rate: Amount | None,
    grade: int | None,
    inputs: tuple[Input, ...],
) -> CjjResult:
    return CjjResult(
        empty.standard_id,
        empty.file_sha256,
        empty.clause,
        empty.confidence,
        gross,
        corrections,
        rate,
        grade,
        empty.is_whole_year,
        inputs,
    )


def _circumstances(asked: Asked, told: Told) -> Circumstances | None:
    units = {"household_metered_share": "1", "outlet_pressure": "MPa", "frost_depth": "m"}
    known = [_stated(asked.stated, name, unit, told) for name, unit in units.items()]
    length = _length_km(asked, "pipe_length_dn75", asked.model.diameter_m >= _DN75_M, told)
    missing = [name for name, amount in zip(units, known, strict=True) if amount is None]
    if missing:
        told.miss("cjj92-not-stated", f"no leakage rate without {', '.join(missing)}; state them")
        return None
    share, pressure, frost = (amount.value for amount in known if amount is not None)
    return Circumstances(share, length.value, pressure, frost)


def _stated(stated: Stated, name: str, unit: str, told: Told) -> Amount | None:
    fact = stated.facts.get(name)
    if fact is None:
        return None
    told.inputs.append(Input(name, fact.amount, unit, fact.source))
    return fact.amount


def _length_km(asked: Asked, name: str, is_counted: BoolArray, told: Told) -> Amount:
    """Return a stated length, or that of the model's pipes with both ends in the zone."""
    stated = _stated(asked.stated, name, "km", told)
    if stated is not None:
        return stated
    model, inside = asked.model, asked.zone.inside
    is_in = model.is_pipe & is_counted & inside[model.start] & inside[model.end]
    length = Amount(float(model.length_m[is_in].sum()) / 1_000.0)
    told.inputs.append(Input(name, length, "km", f"{int(is_in.sum())} pipes of the model"))
    return length


def ili_result(asked: Asked, told: Told) -> IliResult:
    """Return UARL and ILI, as far as they are known and hold; findings go to `told`."""
    gathered = Told(findings=told.findings)
    system = _system(asked, gathered)
    inputs, real = tuple(gathered.inputs), asked.balance[Line.REAL]
    losses = None if real is None else real.scaled(1.0 / asked.days)
    if system is None:
        return IliResult(None, losses, None, {}, inputs)
    outside = check_system(system)
    told.findings.extend(outside)
    if outside:
        return IliResult(None, losses, None, {}, inputs)
    uarl = uarl_m3_per_day(system)
    if losses is None or losses.value < 0:
        told.miss("ili-not-known", "no ILI without real losses of 0 or more")
        return IliResult(uarl, losses, None, {}, inputs)
    ratio = ili(losses, uarl)
    bands = {country: band_of(ratio.value, country) for country in BANDS}
    return IliResult(uarl, losses, ratio, bands, inputs)


def _system(asked: Asked, told: Told) -> System | None:
    mains = _length_km(asked, "mains_length", np.ones(asked.model.n_links, np.bool_), told)
    number = _stated(asked.stated, "connections", "1", told)
    service = _stated(asked.stated, "service_length", "km", told)
    pressure = _mean_pressure(asked, told)
    missing = [
        name
        for name, amount in (("connections", number), ("service_length", service))
        if amount is None
    ]
    if missing:
        said = f"no UARL without {' and '.join(missing)}; state them"
        told.miss("uarl-not-stated", f"{said} (service_length is 0 with meters at the boundary)")
    if number is None or service is None or pressure is None:
        return None
    if not (mains.value > 0 and number.value > 0 and pressure.value > 0):
        told.miss("uarl-not-known", "no UARL without mains, connections and pressure above 0")
        return None
    return System(mains.value, number.value, service.value, pressure)


def _mean_pressure(asked: Asked, told: Told) -> Amount | None:
    """Return the stated mean pressure, or the mean over the zone's sensors [m]."""
    stated = _stated(asked.stated, "mean_pressure", "m", told)
    if stated is not None:
        return stated
    means = []
    for column in asked.meters.pressures(asked.zone):
        found = integrate(column, asked.window)
        if not isinstance(found, str):
            means.append(found.mean)
            evidence = evidence_of(asked.meters.in_window(column))
            said = "mean of a pressure sensor"
            told.inputs.append(Input("mean_pressure", Amount(means[-1]), "m", said, evidence))
    if len(means) < _LEAST_SENSORS:
        said = f"{len(means)} pressure sensors of the zone have all readings; two are the least"
        told.miss("pressure-not-known", f"no mean pressure: {said}; state mean_pressure")
        return None
    margin = 1.96 * float(np.std(means, ddof=1)) / len(means) ** 0.5
    return Amount(float(np.mean(means)), margin)


def nodes_sha256(model: NetworkModel, inside: BoolArray) -> str:
    """Return a hash over the ids of the nodes that are inside, in the order of the model."""
    names = [model.node_id[i] for i in np.flatnonzero(inside)]
    return hashlib.sha256("\n".join(names).encode()).hexdigest()
