"""Water balances: volumes with their margins, what they rest on, and where that stands."""

from __future__ import annotations

import strawberry

from api.graphql.context import Context, Info
from api.graphql.evidence import Evidence
from api.graphql.fields import asked
from api.graphql.ids import global_id
from api.graphql.leak_runs import Window
from api.graphql.nodes import Node
from api.graphql.paging import After, Connection, First
from api.graphql.recorded import Asked, page_of_recorded
from api.graphql.scalars import Hash, Instant
from twin.accounting.amounts import Amount as TwinAmount
from twin.accounting.evidence import Input, SeriesEvidence
from twin.accounting.records import from_event
from twin.accounting.results import Accounting
from twin.events import EventKind, Recorded, RecordRef
from twin.leaks.windows import Window as TwinWindow

SCOPE = "water-balances"


@strawberry.type(description="A number with half the width of its 95 % range, in one unit.")
class Amount:
    """A number and its margin."""

    value: float
    margin: float


@strawberry.type(description="One line of the IWA water balance.")
class BalanceLine:
    """One line."""

    line: str = strawberry.field(description="Such as `system_input` or `real_losses`.")
    volume_m3: Amount | None = strawberry.field(description="Null where an input is not known.")


@strawberry.type(description="The readings of one series that a number rests on.")
class ReadingsUsed:
    """A series, its window, hashes and places."""

    tag: str
    asset_name: str
    quantity: str
    window: Window = strawberry.field(description="From the first reading to just behind the last.")
    n_readings: int
    readings_sha256: Hash = strawberry.field(description="Over name, times, values and qualities.")
    places_sha256: Hash = strawberry.field(description="Over their places in the ledger.")
    first: Evidence
    last: Evidence


@strawberry.type(description="One number that a balance rests on: read, stated or of the model.")
class BalanceInput:
    """An input with its source."""

    of: str = strawberry.field(description="The line or fact that it is an input of.")
    amount: Amount | None
    unit: str
    source: str
    readings: ReadingsUsed | None = strawberry.field(description="Null for what was not read.")


@strawberry.type(description="What is missing, assumed or odd.")
class BalanceFinding:
    """One finding."""

    code: str
    severity: str = strawberry.field(description="`rejected` for what is missing, else `note`.")
    message: str


@strawberry.type(description="Night flow, and what it makes of a day.")
class NightFlow:
    """Night flow; null where something is missing."""

    local_from: str
    local_to: str
    method: str
    n_nights: int = strawberry.field(description="Nights with all readings.")
    minimum_night_flow_m3s: Amount | None
    legitimate_use_m3s: Amount | None
    night_leakage_m3s: Amount | None
    exponent_n1: float | None
    night_day_factor_h: Amount | None
    leakage_m3_per_day: Amount | None


@strawberry.type(description="One correction of the leakage rate, R1 to R4.")
class RateCorrection:
    """One correction."""

    name: str
    percent: float
    confidence: str


@strawberry.type(description="Leakage rate and grade of CJJ 92-2016.")
class LeakageRate:
    """The rate; null where something is missing."""

    standard_id: str
    file_sha256: Hash
    clause: str
    confidence: str = strawberry.field(description="How sure we are of the grades.")
    gross_percent: Amount | None
    corrections: list[RateCorrection]
    rate_percent: Amount | None
    grade: int | None = strawberry.field(description="1 or 2; null for worse, or not known.")
    is_whole_year: bool = strawberry.field(description="Whether the period is a year.")


@strawberry.type(description="Unavoidable real losses and the infrastructure leakage index.")
class InfrastructureLeakage:
    """UARL and ILI; null where something is missing or they do not hold."""

    uarl_m3_per_day: Amount | None
    real_losses_m3_per_day: Amount | None
    ili: Amount | None
    band_developed: str | None = strawberry.field(description="A to D.")
    band_developing: str | None = strawberry.field(description="A to D.")


@strawberry.type(description="A water balance of a network or zone over a period.")
class WaterBalance(Node):
    """One recorded balance."""

    balance_id: str = strawberry.field(description="As `twin evidence` reads it.")
    network_name: str
    at: Instant = strawberry.field(description="When it was computed.")
    window: Window
    zone: str
    zone_said: str = strawberry.field(description="How the zone came to be.")
    crossings: list[str] = strawberry.field(description="Open links through its boundary.")
    lines: list[BalanceLine]
    night_flow: NightFlow
    leakage_rate: LeakageRate
    infrastructure: InfrastructureLeakage
    inp_sha256: Hash
    stated_sha256: Hash | None = strawberry.field(description="Of the file of stated facts.")
    evidence: Evidence = strawberry.field(description="Where the balance stands in the record.")
    found: strawberry.Private[Accounting]

    @asked("Every number that the balance and its indicators rest on.", size=50)
    def inputs(self) -> list[BalanceInput]:
        """Return the inputs."""
        return [_input(one) for one in self.found.all_inputs]

    @asked("What is missing, assumed or odd.", size=20)
    def findings(self) -> list[BalanceFinding]:
        """Return the findings."""
        return [
            BalanceFinding(code=one.code, severity=one.severity.value, message=one.message)
            for one in self.found.findings
        ]


def balance_of(recorded: Recorded) -> WaterBalance:
    """Return a recorded balance as GraphQL shows it."""
    found, place = from_event(recorded), recorded.ref
    basis = found.basis
    return WaterBalance(
        id=global_id("WaterBalance", found.balance_id),
        balance_id=found.balance_id,
        network_name=found.network,
        at=Instant(found.at_ns),
        window=_window(basis.window),
        zone=basis.zone,
        zone_said=basis.zone_said,
        crossings=list(basis.crossings),
        lines=[
            BalanceLine(line=line.value, volume_m3=_amount(amount))
            for line, amount in found.lines.items()
        ],
        night_flow=_night(found),
        leakage_rate=_rate(found),
        infrastructure=_infrastructure(found),
        inp_sha256=Hash(basis.inp_sha256),
        stated_sha256=Hash(basis.stated_sha256) if basis.stated_sha256 else None,
        evidence=_evidence(place),
        found=found,
    )


def find_water_balance(context: Context, balance_id: str) -> WaterBalance | None:
    """Return the balance of that id, or None."""
    found = context.record().events_about(EventKind.WATER_BALANCE, balance_id)
    return balance_of(found[0]) if found else None


@strawberry.type
class BalanceQueries:
    """What may be asked of water balances."""

    @asked("Water balances of a network, in order of record.", cost=5)
    def water_balances(
        self, info: Info, network: str, first: First, after: After = None
    ) -> Connection[WaterBalance]:
        """Return a page."""
        listed = Asked(SCOPE, network, {EventKind.WATER_BALANCE})
        return page_of_recorded(info.context, listed, first, after, balance_of)


def _night(found: Accounting) -> NightFlow:
    night = found.night
    return NightFlow(
        local_from=night.local_from,
        local_to=night.local_to,
        method=night.method,
        n_nights=sum(one.net_inflow_m3s is not None for one in night.nights),
        minimum_night_flow_m3s=_amount(night.minimum_night_flow_m3s),
        legitimate_use_m3s=_amount(night.legitimate_use_m3s),
        night_leakage_m3s=_amount(night.night_leakage_m3s),
        exponent_n1=night.exponent_n1,
        night_day_factor_h=_amount(night.night_day_factor_h),
        leakage_m3_per_day=_amount(night.leakage_m3_per_day),
    )


def _rate(found: Accounting) -> LeakageRate:
    cjj = found.cjj
    return LeakageRate(
        standard_id=cjj.standard_id,
        file_sha256=Hash(cjj.file_sha256),
        clause=cjj.clause,
        confidence=cjj.confidence["grade"],
        gross_percent=_amount(cjj.gross_percent),
        corrections=[
            RateCorrection(name=name, percent=percent, confidence=cjj.confidence[name])
            for name, percent in cjj.corrections_percent.items()
        ],
        rate_percent=_amount(cjj.rate_percent),
        grade=cjj.grade,
        is_whole_year=cjj.is_whole_year,
    )


def _infrastructure(found: Accounting) -> InfrastructureLeakage:
    said = found.ili
    return InfrastructureLeakage(
        uarl_m3_per_day=_amount(said.uarl_m3_per_day),
        real_losses_m3_per_day=_amount(said.real_losses_m3_per_day),
        ili=_amount(said.ili),
        band_developed=said.bands.get("developed"),
        band_developing=said.bands.get("developing"),
    )


def _input(one: Input) -> BalanceInput:
    return BalanceInput(
        of=one.of,
        amount=_amount(one.amount),
        unit=one.unit,
        source=one.source,
        readings=None if one.evidence is None else _readings(one.evidence),
    )


def _readings(seen: SeriesEvidence) -> ReadingsUsed:
    return ReadingsUsed(
        tag=seen.tag,
        asset_name=seen.asset,
        quantity=seen.quantity,
        window=Window(from_=Instant(seen.from_ns), to=Instant(seen.to_ns)),
        n_readings=seen.n_readings,
        readings_sha256=Hash(seen.readings_sha256),
        places_sha256=Hash(seen.places_sha256),
        first=_evidence(seen.first),
        last=_evidence(seen.last),
    )


def _window(window: TwinWindow) -> Window:
    return Window(from_=Instant(window.from_ns), to=Instant(window.to_ns))


def _evidence(place: RecordRef) -> Evidence:
    return Evidence(leaf_index=place.index, height=place.height)


def _amount(amount: TwinAmount | None) -> Amount | None:
    return None if amount is None else Amount(value=amount.value, margin=amount.margin)
