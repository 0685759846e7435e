"""A water-quality standard: which limit holds for which parameter at which sampling point."""

from __future__ import annotations

import hashlib
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from twin.errors import UnreadableError

MAX_BYTES = 4 * 1024 * 1024


class SamplingPoint(StrEnum):
    """Where drinking water is sampled, as the standards know it."""

    PLANT_OUTLET = "plant_outlet"
    NETWORK = "network"
    NETWORK_END = "network_end"


ANYWHERE = frozenset(SamplingPoint)
_DISINFECTANT_POINTS = {
    SamplingPoint.PLANT_OUTLET: ("outlet", "min_residual_outlet"),
    SamplingPoint.NETWORK_END: ("network_end", "min_residual_network_end"),
}
_TABLES = {"routine": "table 1", "disinfectant": "table 2", "extended": "table 3"}
_STORED_UNIT = {
    "mg/L": "g/m3",
    "mg/L (as N)": "g/m3",  # the parameter's own name says so: nitrate_n, ammonia_n
    "NTU": "NTU",
    "1": "1",
}
"""The stored unit of each printed unit that is the same number."""


class StandardFileError(UnreadableError):
    """The file of a standard cannot be read as one."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(place, reason)
        self.place = place
        self.reason = reason

    def __str__(self) -> str:
        return f"standard, {self.place}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Limit:
    """What one parameter must keep to at some sampling points.

    Attributes:
        parameter: As in the file, such as `free_chlorine`.
        low: Least value, itself met; None for none.
        high: Greatest value; None for none.
        is_high_met: Whether the greatest value itself is met.
        unit: The stored unit of both, such as `g/m3`.
        clause: Where in the standard: its table and item.
        confidence: How sure we are of the numbers: `high`, `medium` or `low`.
        note: What a reader of the verdict must know, empty for nothing.
    """

    parameter: str
    low: float | None
    high: float | None
    is_high_met: bool
    unit: str
    clause: str
    confidence: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class NoLimit:
    """Why nothing can be judged, and what is missing to do it.

    Attributes:
        missing: What is missing, one short text each; at least one.
        clause: Where the standard speaks of the parameter, empty if it does not.
    """

    missing: tuple[str, ...]
    clause: str = ""


@dataclass(frozen=True, slots=True)
class _Item:
    limits: Mapping[SamplingPoint, Limit]
    clause: str
    printed_unit: str
    needs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Standard:
    """A standard as one file tells it.

    Attributes:
        id: Such as `GB5749-2022`.
        edition: The year in the id.
        title: In English.
        issued: Day of issue.
        effective: First day in force.
        sha256: Hash of the file, in hex.
        content: The file.
        items: What it says of each parameter.
    """

    id: str
    edition: str
    title: str
    issued: date
    effective: date
    sha256: str
    content: bytes
    items: Mapping[str, _Item]

    @property
    def parameters(self) -> tuple[str, ...]:
        """What the standard speaks of, in its order."""
        return tuple(self.items)

    def limit_for(
        self, parameter: str | None, sampling_point: str | None, unit: str
    ) -> Limit | NoLimit:
        """Return the limit that holds, or what is missing to say which does. It never guesses.

        Args:
            parameter: Such as `free_chlorine`, None if the readings do not say.
            sampling_point: A `SamplingPoint`, None if the readings do not say.
            unit: The unit that readings are stored in.
        """
        if parameter is None:
            return NoLimit(("parameter",))
        item = self.items.get(parameter)
        if item is None:
            return NoLimit((f"a limit of {self.id} for {parameter!r}",))
        missing = list(item.needs)
        known_unit = _STORED_UNIT.get(item.printed_unit)
        if known_unit != unit:
            missing.append(f"readings in {item.printed_unit or 'words'} (these are in {unit})")
        point = _point(sampling_point)
        limit = None if point is None else item.limits.get(point)
        if sampling_point is None:
            missing.append("sampling_point")
        elif limit is None and not item.needs:
            points = ", ".join(item.limits) or "none"
            missing.append(f"a limit at {sampling_point!r} (the standard has one at: {points})")
        if missing or limit is None:
            return NoLimit(tuple(missing), item.clause)
        return limit


def parse_standard(content: bytes, place: str) -> Standard:
    """Return the standard that a TOML file tells.

    Args:
        content: The file.
        place: Its name, for messages.

    Raises:
        StandardFileError: It is no TOML, or an entry lacks what it must have.
    """
    if len(content) > MAX_BYTES:
        raise StandardFileError(place, f"longer than {MAX_BYTES} bytes")
    try:
        document = tomllib.loads(content.decode("utf-8"))
        meta = document["meta"]
        standard_id = _text(meta, "id")
        return Standard(
            id=standard_id,
            edition=standard_id.rpartition("-")[2],
            title=_text(meta, "title_en"),
            issued=date.fromisoformat(_text(meta, "issued")),
            effective=date.fromisoformat(_text(meta, "effective")),
            sha256=hashlib.sha256(content).hexdigest(),
            content=content,
            items=_items(document, place),
        )
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, ValueError) as error:
        raise StandardFileError(place, f"no TOML of a standard ({error})") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise StandardFileError(place, f"an entry lacks or misspells {error}") from error


def _items(document: Mapping[str, Any], place: str) -> dict[str, _Item]:
    items: dict[str, _Item] = {}
    for section, table in _TABLES.items():
        for entry in document.get(section, ()):
            name = _text(entry, "id")
            if name in items:
                raise StandardFileError(place, f"parameter {name} stands twice")
            clause = f"{table}, item {int(entry['no'])}"
            read = _disinfectant if section == "disinfectant" else _ordinary
            items[name] = read(entry, name, clause)
    return items


def _ordinary(entry: Mapping[str, Any], name: str, clause: str) -> _Item:
    low, high, needs = None, None, []
    op = _text(entry, "op")
    if op in {"le", "lt"}:
        high = _number(entry, "limit")
    elif op == "ge":
        low = _number(entry, "limit")
    elif op == "range":
        low, high = _number(entry, "min"), _number(entry, "max")
    else:
        needs.append(_WHAT_OP_NEEDS[op])
    if "applies_when" in entry:
        needs.append(f"whether this holds: {_text(entry, 'applies_when')}")
    unit = _text(entry, "unit")
    limit = Limit(
        parameter=name,
        low=low,
        high=high,
        is_high_met=op != "lt",
        unit=_STORED_UNIT.get(unit, unit),
        clause=clause,
        confidence=_text(entry, "confidence"),
        note=_small_supply_note(entry),
    )
    limits = {} if needs else dict.fromkeys(SamplingPoint, limit)
    return _Item(limits, clause, unit, tuple(needs))


_WHAT_OP_NEEDS = {
    "not_detected": "a result of detected or not detected (the limit is no number)",
    "text": "a finding in words (the limit is no number)",
    "ratio_sum_le": "all components of the sum, of one sample",
}


def _small_supply_note(entry: Mapping[str, Any]) -> str:
    if "small_supply_limit" not in entry:
        return ""
    relaxed = _number(entry, "small_supply_limit")
    return f"not claimed here: {relaxed:g} for a small supply with limited source or treatment"


def _disinfectant(entry: Mapping[str, Any], name: str, clause: str) -> _Item:
    unit = _text(entry, "unit")
    limits = {}
    for point, (applies, residual) in _DISINFECTANT_POINTS.items():
        high = _number(entry, "max_limit") if applies in entry["max_applies_to"] else None
        low = _number(entry, residual) if residual in entry else None
        if high is not None or low is not None:
            stored = _STORED_UNIT.get(unit, unit)
            confidence = _text(entry, "confidence")
            limits[point] = Limit(name, low, high, True, stored, clause, confidence)
    return _Item(limits, clause, unit, ())


def _point(text: str | None) -> SamplingPoint | None:
    return SamplingPoint(text) if text in set(SamplingPoint) else None


def _text(entry: Mapping[str, Any], key: str) -> str:
    value = entry[key]
    if not isinstance(value, str):
        raise TypeError(key)
    return value


def _number(entry: Mapping[str, Any], key: str) -> float:
    value = entry[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(key)
    return float(value)
