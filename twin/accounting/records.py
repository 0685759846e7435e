"""A balance as it is recorded, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from twin.accounting.amounts import Amount
from twin.accounting.balance import Line
from twin.accounting.evidence import Input, SeriesEvidence
from twin.accounting.money import Price
from twin.accounting.results import Accounting, Basis, CjjResult, IliResult, Night, NightResult
from twin.errors import NotFoundError
from twin.events import Event, EventKind, Plain, Recorded, RecordRef
from twin.findings import Finding, Severity
from twin.leaks.windows import Window
from twin.ports import Record

_AMOUNTS = frozenset(
    {
        "minimum_night_flow_m3s",
        "legitimate_use_m3s",
        "night_leakage_m3s",
        "night_day_factor_h",
        "leakage_m3_per_day",
        "gross_percent",
        "rate_percent",
        "uarl_m3_per_day",
        "real_losses_m3_per_day",
        "ili",
    }
)
"""Fields of results that hold an `Amount` or None."""


def to_event(found: Accounting) -> Event:
    """Return the event of a balance; its subject is the balance's id."""
    body: dict[str, Plain] = {
        "basis": _plain(found.basis),
        "lines": {line.value: _plain(amount) for line, amount in found.lines.items()},
        "inputs": [_plain(one) for one in found.inputs],
        "night": _plain(found.night),
        "cjj": _plain(found.cjj),
        "ili": _plain(found.ili),
        "price": _plain(found.price),
        "findings": [[f.code, f.message, f.severity.value, f.subject] for f in found.findings],
    }
    kind = EventKind.WATER_BALANCE
    return Event(kind, found.network, found.balance_id, found.at_ns, body)


def from_event(recorded: Recorded) -> Accounting:
    """Return the balance that an event of kind `water-balance` holds."""
    event = recorded.event
    assert event.kind is EventKind.WATER_BALANCE, event.kind
    body = cast("Mapping[str, Any]", event.body)
    basis = dict(body["basis"])
    return Accounting(
        balance_id=event.subject,
        network=event.network,
        at_ns=event.at_ns,
        basis=Basis(
            **{
                **basis,
                "window": Window(*basis["window"]),
                "crossings": tuple(basis["crossings"]),
                "settings": dict(basis["settings"]),
                "versions": dict(basis["versions"]),
            }
        ),
        lines={line: _amount(body["lines"][line.value]) for line in Line},
        inputs=_inputs(body["inputs"]),
        night=_night(body["night"]),
        cjj=CjjResult(**_fields(body["cjj"])),
        ili=IliResult(**_fields(body["ili"])),
        price=None if body["price"] is None else Price(**body["price"]),
        findings=tuple(
            Finding(code, message, Severity(severity), subject=subject)
            for code, message, severity, subject in body["findings"]
        ),
        evidence=recorded.ref,
    )


def iter_balances(
    record: Record, network: str | None = None, *, from_height: int = 0
) -> Iterator[Accounting]:
    """Yield the recorded balances in order of record."""
    kinds = {EventKind.WATER_BALANCE}
    return map(from_event, record.events(kinds, network, from_height=from_height))


def find_balance(record: Record, balance_id: str, network: str | None = None) -> Accounting | None:
    """Return the balance of that id, or None."""
    for recorded in record.events({EventKind.WATER_BALANCE}, network):
        if recorded.event.subject == balance_id:
            return from_event(recorded)
    return None


def load_balance(record: Record, balance_id: str) -> Accounting:
    """Return the balance of that id.

    Raises:
        NotFoundError: No such balance is recorded.
    """
    found = find_balance(record, balance_id)
    if found is None:
        raise NotFoundError("water balance", balance_id, "twin balance draws one")
    return found


def _plain(value: object) -> Plain:
    """Return a value as plain data: small dataclasses as lists, the others by field."""
    if isinstance(value, Amount | Window | RecordRef):
        return [getattr(value, one.name) for one in dataclasses.fields(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: _plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    return cast("Plain", value)


def _amount(pair: Any) -> Amount | None:  # noqa: ANN401 - plain data
    return None if pair is None else Amount(*pair)


def _fields(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a result's fields, with its numbers and inputs as they are inside."""
    made: dict[str, Any] = dict(body)
    made |= {name: _amount(body[name]) for name in _AMOUNTS & set(body)}
    made["inputs"] = _inputs(body["inputs"])
    for name in ("confidence", "corrections_percent", "bands"):
        if name in made:
            made[name] = dict(made[name])
    return made


def _night(body: Mapping[str, Any]) -> NightResult:
    fields = _fields(body)
    fields["nights"] = tuple(
        Night(Window(*one["window"]), one["net_inflow_m3s"], one["reason"])
        for one in body["nights"]
    )
    return NightResult(**fields)


def _inputs(rows: Iterable[Mapping[str, Any]]) -> tuple[Input, ...]:
    return tuple(
        Input(
            of=row["of"],
            amount=_amount(row["amount"]),
            unit=row["unit"],
            source=row["source"],
            evidence=None if row["evidence"] is None else _series(row["evidence"]),
        )
        for row in rows
    )


def _series(row: Mapping[str, Any]) -> SeriesEvidence:
    places = {name: RecordRef(*row[name]) for name in ("first", "last")}
    return SeriesEvidence(**{**row, **places})
