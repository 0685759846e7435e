"""Evaluations: what a rule found, with what an auditor needs to run the comparison again."""

from __future__ import annotations

from typing import Annotated

import strawberry
from strawberry.scalars import JSON

from api.graphql.assets import Asset, find_asset
from api.graphql.context import Context, Info
from api.graphql.enums import EvaluationScope, Verdict
from api.graphql.evidence import Evidence
from api.graphql.fields import asked
from api.graphql.ids import global_id
from api.graphql.nodes import Node
from api.graphql.paging import After, Connection, First
from api.graphql.recorded import Asked, page_of_recorded
from api.graphql.scalars import Hash, Instant
from twin.evaluations import Evaluation as TwinEvaluation
from twin.evaluations import Part, from_event
from twin.events import EventKind, Recorded, RecordRef

SCOPE = "evaluations"
MAX_INPUTS = 200


@strawberry.type(description="The place in a standard that a verdict rests on.")
class StandardPlace:
    """A clause of a standard."""

    standard_id: str
    edition: str
    file_sha256: Hash = strawberry.field(description="Hash of the file that told the limit.")
    clause: str
    confidence: str = strawberry.field(description="How sure we are of the limit.")


@strawberry.type(description="Which rule judged, and with what.")
class RuleUsed:
    """A rule, its version and its parameters."""

    rule_id: str
    version: Hash = strawberry.field(description="Hash over all that its verdicts depend on.")
    parameters: JSON


@strawberry.type(description="One series' share of a batch.")
class EvaluationPart:
    """Counts of one series."""

    tag: str
    asset_name: str
    verdict: Verdict
    unit: str
    n_met: int
    n_exceeded: int
    n_not_judged: int
    margin: float | None
    missing: list[str]


@strawberry.type(
    description=(
        "What a rule found: of a batch of readings, or a transition of one series, which begins to "
        "exceed its limit, recovers, or cannot be judged."
    )
)
class Evaluation(Node):
    """One recorded evaluation."""

    evaluation_id: str = strawberry.field(description="As `twin evidence` reads it.")
    network_name: str
    scope: EvaluationScope
    verdict: Verdict
    rule: RuleUsed
    standard: StandardPlace | None = strawberry.field(
        description="Null for a limit of the operator's own."
    )
    at: Instant = strawberry.field(description="When it came to be so.")
    from_: Instant = strawberry.field(name="from", description="First reading it rests on.")
    to: Instant = strawberry.field(description="Just behind the last of them.")
    judged_at: Instant = strawberry.field(description="When the rule ran.")
    n_inputs: int = strawberry.field(description="How many readings it rests on.")
    n_met: int
    n_exceeded: int
    n_not_judged: int
    margin: float | None = strawberry.field(description="How far inside; negative outside.")
    worst_margin: float | None = strawberry.field(description="Least of the exceedance so far.")
    unit: str = strawberry.field(description="Of value, limits and margins.")
    tag: str | None
    asset_name: str | None
    quantity: str | None
    parameter: str | None
    sampling_point: str | None
    value: float | None = strawberry.field(description="The reading that decided.")
    low: float | None = strawberry.field(description="Least value that is met.")
    high: float | None = strawberry.field(description="Greatest value.")
    missing: list[str] = strawberry.field(description="What is missing to judge.")
    note: str
    evidence: Evidence = strawberry.field(description="Where the verdict stands in the record.")
    found: strawberry.Private[TwinEvaluation]

    @asked("Of a transition: the asset.", cost=3)
    def asset(self, info: Info) -> Asset | None:
        """Return the asset."""
        name = self.asset_name
        return find_asset(info.context, self.network_name, name) if name else None

    @asked("Where the readings stand that it rests on: first and last of each series.", size=20)
    def inputs(self) -> list[Evidence]:
        """Return the places of the inputs."""
        places = self.found.inputs[:MAX_INPUTS]
        return [Evidence(leaf_index=one.index, height=one.height) for one in places]

    @asked("Of a batch: the share of each series.", size=50)
    def parts(self) -> list[EvaluationPart]:
        """Return the parts."""
        return [_part(one) for one in self.found.parts]


def evaluation_of(recorded: Recorded) -> Evaluation:
    """Return a recorded evaluation as GraphQL shows it."""
    found, place = from_event(recorded.event, recorded.ref), recorded.ref
    return Evaluation(
        id=global_id("Evaluation", str(place.height), str(place.index)),
        evaluation_id=found.id,
        network_name=found.network,
        scope=found.scope,
        verdict=found.verdict,
        rule=_rule(found),
        standard=_standard(found),
        at=Instant(found.at_ns),
        from_=Instant(found.from_ns),
        to=Instant(found.to_ns),
        judged_at=Instant(found.judged_ns),
        n_inputs=found.n_inputs,
        n_met=found.n_met,
        n_exceeded=found.n_exceeded,
        n_not_judged=found.n_not_judged,
        margin=found.margin,
        worst_margin=found.worst_margin,
        unit=found.unit,
        tag=found.tag,
        asset_name=found.asset,
        quantity=found.quantity,
        parameter=found.parameter,
        sampling_point=found.sampling_point,
        value=found.value,
        low=found.low,
        high=found.high,
        missing=list(found.missing),
        note=found.note,
        evidence=Evidence(leaf_index=place.index, height=place.height),
        found=found,
    )


def evaluation_at(context: Context, place: RecordRef) -> Evaluation | None:
    """Return the evaluation at a place of the record, or None."""
    recorded = context.record().event_at(place)
    return evaluation_of(recorded) if recorded.event.kind is EventKind.EVALUATION else None


def evaluations_asked(
    network: str,
    verdicts: frozenset[Verdict] = frozenset(),
    scope: EvaluationScope | None = None,
) -> Asked:
    """Return which events are the evaluations asked for; no verdicts means all."""

    def is_wanted(recorded: Recorded) -> bool:
        body = recorded.event.body
        return (not verdicts or body["verdict"] in verdicts) and scope in {None, body["scope"]}

    return Asked(SCOPE, network, {EventKind.EVALUATION}, is_wanted)


def _part(part: Part) -> EvaluationPart:
    return EvaluationPart(
        tag=part.tag,
        asset_name=part.asset,
        verdict=part.verdict,
        unit=part.unit,
        n_met=part.n_met,
        n_exceeded=part.n_exceeded,
        n_not_judged=part.n_not_judged,
        margin=part.margin,
        missing=list(part.missing),
    )


def _rule(found: TwinEvaluation) -> RuleUsed:
    rule = found.rule
    parameters = JSON(dict(rule.parameters))
    return RuleUsed(rule_id=rule.id, version=Hash(rule.version), parameters=parameters)


def _standard(found: TwinEvaluation) -> StandardPlace | None:
    standard = found.standard
    if standard is None:
        return None
    return StandardPlace(
        standard_id=standard.id,
        edition=standard.edition,
        file_sha256=Hash(standard.file_sha256),
        clause=standard.clause,
        confidence=standard.confidence,
    )


@strawberry.type
class EvaluationQueries:
    """What may be asked of evaluations."""

    @asked("Verdicts of a network, in order of record.", cost=5)
    def evaluations(  # noqa: PLR0913, PLR0917 - a list's arguments
        self,
        info: Info,
        network: str,
        first: First,
        after: After = None,
        verdicts: Annotated[
            list[Verdict] | None, strawberry.argument(description="Which; without it, all.")
        ] = None,
        scope: EvaluationScope | None = None,
    ) -> Connection[Evaluation]:
        """Return a page."""
        listed = evaluations_asked(network, frozenset(verdicts or ()), scope)
        return page_of_recorded(info.context, listed, first, after, evaluation_of)
