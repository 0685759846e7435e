"""What people state for a balance: volumes, lengths, pressures, each with its margin and source.

A TOML or JSON file, in one shape; `docs/accounting.md` lists the facts and their units.
"""

from __future__ import annotations

import hashlib
import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from twin.accounting.amounts import Amount
from twin.accounting.money import Price
from twin.errors import UnreadableError
from twin.instants import parse_instant
from twin.leaks.windows import Window

MAX_BYTES = 4 * 1024 * 1024
_VOLUME = {"m3": 1.0, "L": 1e-3, "ML": 1e3, "10^4 m3": 1e4}
_LENGTH = {"km": 1.0, "m": 1e-3, "mi": 1.609344}
_SHARE = {"1": 1.0, "%": 1e-2}
_NUMBER = {"1": 1.0}
_DEPTH = {"m": 1.0, "cm": 1e-2, "mm": 1e-3}
_PA_PER_M = 9_806.65
_HEAD = {"m": 1.0, "kPa": 1e3 / _PA_PER_M, "bar": 1e5 / _PA_PER_M, "MPa": 1e6 / _PA_PER_M}
_MPA = {"MPa": 1.0, "kPa": 1e-3, "bar": 0.1, "m": _PA_PER_M / 1e6}
_FLOW = {"L/h": 1.0 / 3.6e6, "m3/h": 1.0 / 3.6e3, "L/s": 1e-3, "m3/s": 1.0}

UNITS: Mapping[str, Mapping[str, float]] = {
    "inflow": _VOLUME,
    "storage_rise": _VOLUME,
    "billed_metered": _VOLUME,
    "billed_unmetered": _VOLUME,
    "unbilled_metered": _VOLUME,
    "unbilled_unmetered": _VOLUME,
    "unauthorised_consumption": _VOLUME,
    "metering_inaccuracy": _VOLUME,
    "meter_under_registration": _SHARE,
    "flow_meter_error": _SHARE,
    "customer_meter_error": _SHARE,
    "level_error": _DEPTH,
    "mains_length": _LENGTH,
    "connections": _NUMBER,
    "service_length": _LENGTH,
    "mean_pressure": _HEAD,
    "night_use_per_connection": _FLOW,
    "pressure_exponent_n1": _NUMBER,
    "household_metered_share": _SHARE,
    "pipe_length_dn75": _LENGTH,
    "outlet_pressure": _MPA,
    "frost_depth": _DEPTH,
}
"""For each fact, the units it may be given in; the one with factor 1 is the one it is kept in."""

_MAY_BE_NEGATIVE = {"inflow", "storage_rise"}
_KEYS = {"from", "to", "zone", "nodes", "customers_are_all_recorded", "facts", "price"}
_FACT_KEYS = {"value", "unit", "margin", "margin_percent", "source"}


class StatedFileError(UnreadableError):
    """A file of stated facts cannot be read as one."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(place, reason)
        self.place = place
        self.reason = reason

    def __str__(self) -> str:
        return f"stated facts, {self.place}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Fact:
    """One stated number.

    Attributes:
        name: A key of `UNITS`.
        amount: In the unit that it is kept in, with its 95 % margin.
        source: Who says so; never empty.
    """

    name: str
    amount: Amount
    source: str


@dataclass(frozen=True, slots=True)
class Stated:
    """What a file states.

    Attributes:
        facts: By name.
        window: The period that its volumes are of; None where no file was given.
        zone: What the zone is called, empty for none.
        nodes: EPANET ids of the zone's nodes, empty for none.
        customers_are_all_recorded: Whether every metered customer's readings are recorded.
        price: What lost water is worth, None where it is not said.
        content: The file; empty where none was given.
    """

    facts: Mapping[str, Fact] = field(default_factory=dict)
    window: Window | None = None
    zone: str = ""
    nodes: tuple[str, ...] = ()
    customers_are_all_recorded: bool = False
    price: Price | None = None
    content: bytes = b""

    @property
    def sha256(self) -> str:
        """Hash of the file, empty where none was given."""
        return hashlib.sha256(self.content).hexdigest() if self.content else ""

    def amount(self, name: str) -> Amount | None:
        """Return a fact's number, None where it is not stated."""
        fact = self.facts.get(name)
        return None if fact is None else fact.amount


def parse_stated(content: bytes, place: str) -> Stated:
    """Return what a TOML file, or a JSON file where `place` ends so, states.

    Raises:
        StatedFileError: It cannot be read, has keys that nobody knows, or a fact without unit or
            source, or a number that cannot be.
    """
    if len(content) > MAX_BYTES:
        raise StatedFileError(place, f"longer than {MAX_BYTES} bytes")
    document = _document(content, place)
    unknown = sorted(set(document) - _KEYS)
    if unknown:
        known = ", ".join(sorted(_KEYS))
        raise StatedFileError(place, f"nobody knows {', '.join(unknown)}; known are {known}")
    facts = document.get("facts", {})
    if not isinstance(facts, Mapping):
        raise StatedFileError(place, "facts is a table of facts")
    all_recorded = document.get("customers_are_all_recorded", False)
    if not isinstance(all_recorded, bool):
        raise StatedFileError(place, "customers_are_all_recorded is true or false")
    return Stated(
        facts={name: _fact(name, fact, place) for name, fact in facts.items()},
        window=_window(document, place),
        zone=_text(document, "zone", place) if "zone" in document else "",
        nodes=_nodes(document.get("nodes", []), place),
        customers_are_all_recorded=all_recorded,
        price=_price(document["price"], place) if "price" in document else None,
        content=content,
    )


def _document(content: bytes, place: str) -> Mapping[str, Any]:
    try:
        text = content.decode("utf-8")
        document = json.loads(text) if place.endswith(".json") else tomllib.loads(text)
    except ValueError as error:  # of the encoding, of JSON and of TOML
        raise StatedFileError(place, f"no TOML or JSON ({error})") from error
    if not isinstance(document, dict):
        raise StatedFileError(place, "it is no table")
    return document


def _window(document: Mapping[str, Any], place: str) -> Window:
    ends = (_text(document, "from", place), _text(document, "to", place))
    return Window(*map(parse_instant, ends))


def _nodes(given: object, place: str) -> tuple[str, ...]:
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise StatedFileError(place, "nodes is a list of ids of nodes")
    return tuple(dict.fromkeys(given))


def _price(table: object, place: str) -> Price:
    if not isinstance(table, Mapping) or set(table) != {"per_m3", "currency", "source"}:
        raise StatedFileError(place, "price has per_m3, currency and source")
    per_m3 = _number(table, "per_m3", place)
    return Price(per_m3, _text(table, "currency", place), _text(table, "source", place))


def _fact(name: str, table: object, place: str) -> Fact:
    if name not in UNITS:
        raise StatedFileError(place, f"no fact is called {name!r}; there are {', '.join(UNITS)}")
    where = f"{place}, {name}"
    if not isinstance(table, Mapping) or set(table) - _FACT_KEYS:
        raise StatedFileError(where, f"a fact has {', '.join(sorted(_FACT_KEYS))}")
    unit = _text(table, "unit", where)
    factor = UNITS[name].get(unit)
    if factor is None:
        raise StatedFileError(where, f"unit {unit!r} does not fit; write {', '.join(UNITS[name])}")
    value = _number(table, "value", where)
    if value < 0 and name not in _MAY_BE_NEGATIVE:
        raise StatedFileError(where, f"{value:g} is below 0")
    amount = Amount(value, _margin(table, value, where)).scaled(factor)
    return Fact(name, amount, _text(table, "source", where))


def _margin(table: Mapping[str, Any], value: float, where: str) -> float:
    """Return the margin in the fact's own unit; one that is exact says margin = 0."""
    if ("margin" in table) == ("margin_percent" in table):
        raise StatedFileError(where, "give either margin (in its unit) or margin_percent, at 95 %")
    if "margin" in table:
        margin = _number(table, "margin", where)
    else:
        margin = abs(value) * _number(table, "margin_percent", where) / 100.0
    if margin < 0:
        raise StatedFileError(where, "a margin is 0 or more")
    return margin


def _number(table: Mapping[str, Any], key: str, where: str) -> float:
    value: object = table.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise StatedFileError(where, f"{key} is a number")
    return float(value)


def _text(table: Mapping[str, Any], key: str, where: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value.strip():
        raise StatedFileError(where, f"{key} is a text that is not empty")
    return value
