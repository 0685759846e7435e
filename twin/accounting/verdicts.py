"""The verdict of CJJ 92-2016 as an evaluation, beside those of the other rules."""

from __future__ import annotations

import hashlib
import json

from twin.accounting.cjj92 import Cjj92
from twin.accounting.results import Accounting
from twin.evaluations import Evaluation, RuleRef, Scope, StandardRef, Verdict, to_event
from twin.events import Event, Plain

RULE = "cjj92-leakage-rate"
_CODE_VERSION = "1"


def verdict_event(found: Accounting, standard: Cjj92) -> Event | None:
    """Return the event of the verdict on a balance's leakage rate, None where none was told.

    It is met where the rate has a grade, with its distance from the limit of grade 2; for a period
    that is no year it is not judged.
    """
    rate = found.cjj.rate_percent
    if rate is None:
        return None
    series = [one.evidence for one in found.all_inputs if one.evidence is not None]
    places = sorted({place for one in series for place in (one.first, one.last)})
    limit = standard.grade_max_percent[1]
    window = found.basis.window
    missing = () if found.cjj.is_whole_year else ("a period of one year",)
    evaluation = Evaluation(
        network=found.network,
        scope=Scope.BATCH,
        verdict=_verdict(found),
        rule=_rule(standard),
        standard=StandardRef(
            standard.id,
            standard.id.rpartition("-")[2],
            standard.sha256,
            standard.grade_clause,
            standard.confidence["grade"],
        ),
        at_ns=window.to_ns - 1,
        from_ns=window.from_ns,
        to_ns=window.to_ns,
        judged_ns=found.at_ns,
        inputs=tuple(places),
        n_inputs=sum(one.n_readings for one in series),
        margin=limit - rate.value,
        unit="%",
        value=rate.value,
        high=limit,
        missing=missing,
        note=f"{found.balance_id}, {found.basis.zone}: ± {rate.margin:.2g} %",
    )
    return to_event(evaluation)


def _verdict(found: Accounting) -> Verdict:
    if not found.cjj.is_whole_year:
        return Verdict.NOT_JUDGED
    return Verdict.EXCEEDED if found.cjj.grade is None else Verdict.MET


def _rule(standard: Cjj92) -> RuleRef:
    parameters: dict[str, Plain] = {"grade_max_percent": list(standard.grade_max_percent)}
    text = json.dumps([RULE, _CODE_VERSION, parameters, standard.sha256])
    return RuleRef(RULE, hashlib.sha256(text.encode()).hexdigest(), parameters)
