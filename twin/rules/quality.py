"""Drinking-water quality against a standard, parameter by parameter and sampling point."""

from __future__ import annotations

from dataclasses import dataclass, field

from twin.evaluations import RuleRef, StandardRef
from twin.events import Plain
from twin.readings import Quantity, Series
from twin.rules.rule import Check, NoCheck, rule_ref
from twin.standards import Limit, NoLimit, Standard, load_standard

RULE_ID = "water-quality"
_OWN_PARAMETER = {Quantity.TURBIDITY: "turbidity", Quantity.PH: "ph"}
_JUDGED = frozenset({Quantity.CONCENTRATION, *_OWN_PARAMETER})


@dataclass(frozen=True, slots=True)
class WaterQuality:
    """Each reading within the limit of the standard; every single one counts.

    Attributes:
        criterion: The standard.
        clear_fraction: An exceedance has recovered at readings inside the limit by this fraction of
            it, 0..1: an analyser's noise at the limit is one exceedance, not twenty.
        min_duration_s: How long readings must speak for a change to count [s].
    """

    criterion: Standard = field(default_factory=load_standard)
    clear_fraction: float = 0.1
    min_duration_s: int = 0

    @property
    def ref(self) -> RuleRef:
        """Its id, version and parameters."""
        parameters: dict[str, Plain] = {
            "standard": self.criterion.id,
            "clear_fraction": float(self.clear_fraction),
            "min_duration_s": self.min_duration_s,
        }
        return rule_ref(RULE_ID, parameters, self.criterion.sha256)

    def check_for(self, series: Series) -> Check | NoCheck | None:
        """Return what a series of water quality must keep to, None for any other."""
        if series.quantity not in _JUDGED:
            return None
        parameter = _OWN_PARAMETER.get(series.quantity, series.parameter)
        found = self.criterion.limit_for(parameter, series.sampling_point, series.unit)
        if isinstance(found, NoLimit):
            return NoCheck(found.missing, self._at(found.clause, ""))
        return self._check(found)

    def _check(self, limit: Limit) -> Check:
        ends = [end for end in (limit.low, limit.high) if end]
        room = limit.high - limit.low if limit.low is not None and limit.high is not None else None
        # Of a range, the part of the lower end; never so much that no value could recover.
        margin = self.clear_fraction * min(ends, default=0.0)
        return Check(
            low=limit.low,
            high=limit.high,
            is_high_met=limit.is_high_met,
            clear_margin=margin if room is None else min(margin, room / 4.0),
            min_duration_s=self.min_duration_s,
            standard=self._at(limit.clause, limit.confidence),
            note=limit.note,
        )

    def _at(self, clause: str, confidence: str) -> StandardRef:
        criterion = self.criterion
        return StandardRef(criterion.id, criterion.edition, criterion.sha256, clause, confidence)
