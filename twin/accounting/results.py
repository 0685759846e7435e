"""What a run of the accounting says, and everything that it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import chain

from twin.accounting.amounts import Amount
from twin.accounting.balance import Line
from twin.accounting.evidence import Input
from twin.accounting.money import Price
from twin.events import Plain, RecordRef
from twin.findings import Finding
from twin.leaks.windows import Window


@dataclass(frozen=True, slots=True)
class Night:
    """The flow of one night.

    Attributes:
        window: Which instants.
        net_inflow_m3s: Mean net inflow in it [m³/s]; None where readings are missing.
        reason: Why it is missing, else empty.
    """

    window: Window
    net_inflow_m3s: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class NightResult:
    """Night flow and what it makes of a day; None where something is missing, see the findings.

    Attributes:
        local_from: Beginning of the window, local wall clock, such as `02:00`.
        local_to: Its end.
        method: How the flow was taken and what the sources are, in words.
        nights: Each night of the period.
        minimum_night_flow_m3s: Mean net inflow over the nights [m³/s].
        legitimate_use_m3s: What customers draw then [m³/s].
        night_leakage_m3s: The difference [m³/s].
        exponent_n1: FAVAD exponent used.
        night_day_factor_h: Hours of night leakage that make a day's [h/d].
        leakage_m3_per_day: Leakage of a day [m³/d].
        inputs: What it rests on.
    """

    local_from: str
    local_to: str
    method: str
    nights: tuple[Night, ...]
    minimum_night_flow_m3s: Amount | None = None
    legitimate_use_m3s: Amount | None = None
    night_leakage_m3s: Amount | None = None
    exponent_n1: float | None = None
    night_day_factor_h: Amount | None = None
    leakage_m3_per_day: Amount | None = None
    inputs: tuple[Input, ...] = ()


@dataclass(frozen=True, slots=True)
class CjjResult:
    """The leakage rate of CJJ 92-2016; None where something is missing, see the findings.

    Attributes:
        standard_id: Such as `CJJ92-2016`.
        file_sha256: Hash of the file that told it.
        clause: Clause of the grades.
        confidence: How sure we are of the grades and of each correction.
        gross_percent: Comprehensive loss rate R_WL [%].
        corrections_percent: R1 to R4 [%].
        rate_percent: Leakage rate R_BL [%].
        grade: 1, 2, or None for worse than both or not known.
        is_whole_year: Whether the period is a year, as the standard asks.
        inputs: What it rests on beside the balance.
    """

    standard_id: str
    file_sha256: str
    clause: str
    confidence: Mapping[str, str]
    gross_percent: Amount | None = None
    corrections_percent: Mapping[str, float] = field(default_factory=dict)
    rate_percent: Amount | None = None
    grade: int | None = None
    is_whole_year: bool = False
    inputs: tuple[Input, ...] = ()


@dataclass(frozen=True, slots=True)
class IliResult:
    """UARL and ILI; None where something is missing or they do not hold, see the findings.

    Attributes:
        uarl_m3_per_day: Unavoidable real losses [m³/d].
        real_losses_m3_per_day: Real losses of the balance [m³/d].
        ili: Their ratio [-].
        bands: Band A to D, for `developed` and `developing` countries.
        inputs: What it rests on beside the balance.
    """

    uarl_m3_per_day: Amount | None = None
    real_losses_m3_per_day: Amount | None = None
    ili: Amount | None = None
    bands: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[Input, ...] = ()


@dataclass(frozen=True, slots=True)
class Basis:
    """Everything that decides what a run answers, beside the readings.

    Attributes:
        window: The period.
        zone: What the zone is called.
        zone_said: How it came to be.
        n_nodes: How many nodes are in it.
        nodes_sha256: Hash over their ids.
        crossings: Full names of the open links through its boundary.
        time_zone: Of the network, for local nights.
        inp_sha256: Hash of the EPANET file.
        stated_sha256: Hash of the file of stated facts, kept; empty for none.
        standard_sha256: Hash of the standard's file, kept.
        settings: What else was set.
        versions: Versions of what computed it.
    """

    window: Window
    zone: str
    zone_said: str
    n_nodes: int
    nodes_sha256: str
    crossings: tuple[str, ...]
    time_zone: str
    inp_sha256: str
    stated_sha256: str
    standard_sha256: str
    settings: Mapping[str, Plain]
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Accounting:
    """A water balance with its indicators.

    Attributes:
        balance_id: `balance-` and twelve hex digits of a hash over all that decides the answer.
        network: Name of the network.
        at_ns: When it was computed.
        basis: What decided the answer, beside the readings.
        lines: Volume of each line [m³]; None where an input is not known.
        inputs: What the lines rest on.
        night: Night flow.
        cjj: Leakage rate of CJJ 92-2016.
        ili: UARL and ILI.
        price: What lost water is worth, None where nobody said.
        findings: What is missing, assumed or odd.
        evidence: Its place in the ledger, None before it is recorded.
    """

    balance_id: str
    network: str
    at_ns: int
    basis: Basis
    lines: Mapping[Line, Amount | None]
    inputs: tuple[Input, ...]
    night: NightResult
    cjj: CjjResult
    ili: IliResult
    price: Price | None
    findings: tuple[Finding, ...]
    evidence: RecordRef | None = field(default=None, compare=False)

    @property
    def all_inputs(self) -> tuple[Input, ...]:
        """The inputs of the balance, the night flow, the rate and the ILI."""
        parts = (self.inputs, self.night.inputs, self.cjj.inputs, self.ili.inputs)
        return tuple(chain.from_iterable(parts))

    def recorded_at(self, ref: RecordRef) -> Accounting:
        """Return the same with its place."""
        return replace(self, evidence=ref)
