"""The leakage rate of CJJ 92-2016, with its corrections and grade.

Numbers that the file tells (steps, clamps, grades) are read from it; the two linear corrections
stand here, and the file's own spelling of them is held against that when it is read.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

from twin.accounting.amounts import Amount, divide, subtract
from twin.errors import UnreadableError

FILE = "cjj92-2016.toml"
_FORMULAS = {"R1": "0.08 * r * 100", "R2": "0.99 * (A - 0.0693) * 100"}
_M3_PER_UNIT = 10_000.0


@dataclass(frozen=True, slots=True)
class Cjj92:
    """The standard as its file tells it.

    Attributes:
        id: Such as `CJJ92-2016`.
        sha256: Hash of the file.
        content: The file.
        grade_clause: Clause of the grades.
        grade_max_percent: Greatest rate of grade 1 and of grade 2 [%], themselves met.
        pipe_clamp_percent: Least and greatest correction for pipe length [%].
        pressure_steps: Value [%] above each outlet pressure [MPa], rising.
        frost_steps: Value [%] above each depth of frost [m], rising.
        confidence: How sure we are, of grades and of each correction: `high`, `medium`, `low`.
    """

    id: str
    sha256: str
    content: bytes
    grade_clause: str
    grade_max_percent: tuple[float, float]
    pipe_clamp_percent: tuple[float, float]
    pressure_steps: tuple[tuple[float, float], ...]
    frost_steps: tuple[tuple[float, float], ...]
    confidence: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the corrections depend on.

    Attributes:
        household_metered_share: Volume metered at households over total supply, 0..1.
        pipe_length_km: Pipes of DN75 and above [km], at least 0.
        outlet_pressure_mpa: Annual mean pressure at the plants' outlets [MPa].
        frost_depth_m: Greatest depth of frozen ground [m], at least 0.
    """

    household_metered_share: float
    pipe_length_km: float
    outlet_pressure_mpa: float
    frost_depth_m: float

    def __post_init__(self) -> None:
        if not 0 <= self.household_metered_share <= 1:
            said = f"{self.household_metered_share:g}"
            raise UnreadableError(f"the share metered at households is from 0 to 1, not {said}")
        rest = (self.pipe_length_km, self.outlet_pressure_mpa, self.frost_depth_m)
        if not all(one >= 0 for one in rest):
            raise UnreadableError("pipe length, outlet pressure and frost depth are 0 or more")


@dataclass(frozen=True, slots=True)
class LeakageRate:
    """What the standard says of a year.

    Attributes:
        gross_percent: Comprehensive loss rate R_WL [%].
        corrections_percent: R1, R2, R3 and R4 [%].
        rate_percent: Leakage rate R_BL [%], the assessed one.
        pipe_km_per_10000_m3: A, length of pipe for a unit of annual supply [km/10⁴ m³].
        grade: 1 or 2, or None for worse than both.
    """

    gross_percent: Amount
    corrections_percent: Mapping[str, float]
    rate_percent: Amount
    pipe_km_per_10000_m3: float
    grade: int | None


def leakage_rate(
    standard: Cjj92,
    supplied_m3_per_year: Amount,
    registered_m3_per_year: Amount,
    circumstances: Circumstances,
) -> LeakageRate:
    """Return the leakage rate of a year.

    Args:
        standard: The standard.
        supplied_m3_per_year: Total water supplied Q_s [m³/a], above 0.
        registered_m3_per_year: Registered users' consumption Q_a [m³/a], billed and unbilled.
        circumstances: What the corrections depend on.

    Raises:
        UnreadableError: Nothing was supplied.

    Source:
        CJJ 92-2016, 2018 revision: R_WL = (Q_s - Q_a) / Q_s, R_BL = R_WL - (R1 + R2 + R3 + R4).
    """
    gross = gross_rate_percent(supplied_m3_per_year, registered_m3_per_year)
    pipe = circumstances.pipe_length_km * _M3_PER_UNIT / supplied_m3_per_year.value
    low, high = standard.pipe_clamp_percent
    corrections = {
        "R1": 0.08 * circumstances.household_metered_share * 100.0,
        "R2": min(max(0.99 * (pipe - 0.0693) * 100.0, low), high),
        "R3": _step(standard.pressure_steps, circumstances.outlet_pressure_mpa),
        "R4": _step(standard.frost_steps, circumstances.frost_depth_m),
    }
    rate = Amount(gross.value - sum(corrections.values()), gross.margin)
    return LeakageRate(gross, corrections, rate, pipe, grade_of(standard, rate.value))


def gross_rate_percent(supplied_m3: Amount, registered_m3: Amount) -> Amount:
    """Return the comprehensive loss rate R_WL [%], of any period.

    Its margin is that of 1 - Q_a / Q_s: both are taken as independent.

    Raises:
        UnreadableError: Nothing was supplied.
    """
    if not supplied_m3.value > 0:
        raise UnreadableError("a leakage rate needs a supply above 0")
    used = divide(registered_m3, supplied_m3)
    rate = subtract(Amount(1.0), used)
    assert rate is not None
    return rate.scaled(100.0)


def grade_of(standard: Cjj92, rate_percent: float) -> int | None:
    """Return grade 1 or 2, or None for a rate [%] that is worse than both."""
    # The corrections are sums of decimals: what prints as the limit is the limit.
    rate = round(rate_percent, 9)
    for grade, most in enumerate(standard.grade_max_percent, start=1):
        if rate <= most:
            return grade
    return None


@lru_cache(maxsize=1)
def load_cjj92() -> Cjj92:
    """Return the standard that comes with the project."""
    return parse_cjj92((resources.files("twin.standards") / FILE).read_bytes())


def parse_cjj92(content: bytes) -> Cjj92:
    """Return the standard that a file tells.

    Raises:
        UnreadableError: The file lacks an entry, or spells another formula than this module's.
    """
    try:
        document = tomllib.loads(content.decode("utf-8"))
        by_id = {one["id"]: one for one in document["correction"]}
        for name, formula in _FORMULAS.items():
            if by_id[name]["formula"] != formula:
                raise UnreadableError(f"{FILE}: {name} is not {formula}")
        return _of_document(document, by_id, content)
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableError(f"{FILE}: an entry lacks or misspells {error}") from error


def _of_document(document: Mapping[str, Any], by_id: Mapping[str, Any], content: bytes) -> Cjj92:
    grade, pipe = document["grade"], by_id["R2"]
    return Cjj92(
        id=str(document["meta"]["id"]),
        sha256=hashlib.sha256(content).hexdigest(),
        content=content,
        grade_clause=str(grade["clause"]),
        grade_max_percent=(float(grade["grade_1_max"]), float(grade["grade_2_max"])),
        pipe_clamp_percent=(float(pipe["clamp_min"]), float(pipe["clamp_max"])),
        pressure_steps=_steps(by_id["R3"]["steps"], "above_MPa"),
        frost_steps=_steps(by_id["R4"]["steps"], "above_m"),
        confidence={
            "grade": str(grade["confidence"]),
            **{name: str(one["confidence"]) for name, one in by_id.items()},
        },
    )


def _steps(rows: Sequence[Mapping[str, float]], key: str) -> tuple[tuple[float, float], ...]:
    return tuple(sorted((float(row[key]), float(row["value"])) for row in rows))


def _step(steps: Sequence[tuple[float, float]], at: float) -> float:
    return next((value for above, value in reversed(steps) if at > above), 0.0)
