"""What a number of a balance rests on: a series with its window, hashes and places, or a text."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import numpy as np

from twin.accounting.amounts import Amount
from twin.events import RecordRef
from twin.readings import Column


@dataclass(frozen=True, slots=True)
class SeriesEvidence:
    """The readings of one series that were used.

    Attributes:
        tag: The source's own name.
        asset: Full name of its asset.
        quantity: What it measures.
        from_ns: Time of the first reading used.
        to_ns: Just behind the last.
        n_readings: How many were used.
        readings_sha256: Hash over name, times, values and qualities.
        places_sha256: Hash over their places in the ledger.
        first: Place of the first reading.
        last: Place of the last.
    """

    tag: str
    asset: str
    quantity: str
    from_ns: int
    to_ns: int
    n_readings: int
    readings_sha256: str
    places_sha256: str
    first: RecordRef
    last: RecordRef


@dataclass(frozen=True, slots=True)
class Input:
    """One number that a result rests on.

    Attributes:
        of: What it is an input of: a line of the balance, or a fact by name.
        amount: Its value with its 95 % margin, in `unit`; None where it could not be had.
        unit: `m3`, `m3/s`, `m`, `km`, `1`.
        source: Where it comes from, one sentence.
        evidence: The readings, None for what was stated or taken from the model.
    """

    of: str
    amount: Amount | None
    unit: str
    source: str
    evidence: SeriesEvidence | None = None


def evidence_of(column: Column) -> SeriesEvidence | None:
    """Return the evidence of the readings of a column, None where it is empty."""
    if not len(column):
        return None
    series = column.series
    return SeriesEvidence(
        tag=series.tag,
        asset=series.asset,
        quantity=series.quantity.value,
        from_ns=int(column.time_ns[0]),
        to_ns=int(column.time_ns[-1]) + 1,
        n_readings=len(column),
        readings_sha256=_sha256(column, column.time_ns, column.value, column.quality),
        places_sha256=_sha256(column, column.height, column.leaf_index),
        first=RecordRef(int(column.height[0]), int(column.leaf_index[0])),
        last=RecordRef(int(column.height[-1]), int(column.leaf_index[-1])),
    )


def _sha256(column: Column, *parts: np.ndarray[tuple[int], np.dtype[np.generic]]) -> str:
    series = column.series
    named = [series.tag, series.asset, series.quantity.value, series.unit, len(column)]
    digest = hashlib.sha256(json.dumps(named).encode())
    for part in parts:
        digest.update(part.astype(part.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()
