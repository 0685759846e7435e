"""Events: everything that happens, in one shape.

The body of an event is plain data (text, bytes, whole numbers, floats, booleans, None, lists and
maps with text keys), so that its canonical bytes are the same on every machine. The modules that
own a kind of event turn it into their own dataclass and back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

Plain = str | bytes | int | float | bool | None | Sequence["Plain"] | Mapping[str, "Plain"]


class EventKind(StrEnum):
    """What happened."""

    NETWORK_IMPORTED = "network-imported"
    ASSET_RECORDED = "asset-recorded"
    ASSET_RETIRED = "asset-retired"
    STANDARD_ADOPTED = "standard-adopted"
    EVALUATION = "evaluation"
    LEAK_DETECTED = "leak-detected"
    LEAK_WATCH = "leak-watch"
    LEAK_RUN = "leak-run"
    LEAK_CONFIRMED = "leak-confirmed"
    LEAK_REPAIRED = "leak-repaired"
    WATER_BALANCE = "water-balance"
    TRACE = "trace"
    SOURCE_GAP = "source-gap"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    Attributes:
        kind: What happened.
        network: Name of the network it happened in.
        subject: What it is about: an asset, a run, a rule; together with the kind it can be
            looked up.
        at_ns: When it happened [ns since the Unix epoch].
        body: The rest, as plain data.
    """

    kind: EventKind
    network: str
    subject: str
    at_ns: int
    body: Mapping[str, Plain]


@dataclass(frozen=True, slots=True, order=True)
class RecordRef:
    """The place of one record in the ledger: which block, and which leaf of it."""

    height: int
    index: int

    def __str__(self) -> str:
        return f"{self.height}/{self.index}"


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event with its place in the ledger: its `evidence`."""

    ref: RecordRef
    event: Event


@dataclass(frozen=True, slots=True)
class SealedBlock:
    """A block that is durable and signed.

    Attributes:
        height: Its place in the chain, from 0.
        hash_hex: SHA-256 of its header, in hex.
        time_ns: When it was sealed.
        n_records: How many records it holds.
        n_readings: How many of them are readings.
    """

    height: int
    hash_hex: str
    time_ns: int
    n_records: int
    n_readings: int
