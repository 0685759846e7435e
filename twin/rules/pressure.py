"""Service pressure: no pressure sensor of the network falls below a limit."""

from __future__ import annotations

from dataclasses import dataclass

from twin.evaluations import RuleRef
from twin.readings import Quantity, Series
from twin.rules.rule import Check, NoCheck, rule_ref
from twin.standards import Standard
from twin.units import STORED_UNIT, to_stored

RULE_ID = "service-pressure"
LEAST_MPA = 0.14
"""CJJ 58, item 3.1.3: pressure at the ends of a public network is at least 0.14 MPa."""
_SOURCE = "CJJ 58, item 3.1.3: at least 0.14 MPa at network ends"


@dataclass(frozen=True, slots=True)
class ServicePressure:
    """Pressure at or above `limit_m`; recovered at `hysteresis_m` above it.

    Attributes:
        limit_m: Least pressure, itself met [m of water].
        hysteresis_m: How far above the limit an exceedance has recovered [m], at least 0.
        min_duration_s: How long pressure must be low, or high again, to count [s].
        source: Where the limit is from.
    """

    limit_m: float = float(to_stored(LEAST_MPA, "MPa", Quantity.PRESSURE))
    hysteresis_m: float = 1.0
    min_duration_s: int = 600
    source: str = _SOURCE

    @property
    def ref(self) -> RuleRef:
        """Its id, version and parameters."""
        return rule_ref(
            RULE_ID,
            {
                "limit_m": float(self.limit_m),
                "hysteresis_m": float(self.hysteresis_m),
                "min_duration_s": self.min_duration_s,
                "source": self.source,
            },
        )

    @property
    def criterion(self) -> Standard | None:
        """None: the limit is the operator's own."""
        return None

    def check_for(self, series: Series) -> Check | NoCheck | None:
        """Return what a pressure series must keep to, None for any other."""
        if series.quantity is not Quantity.PRESSURE:
            return None
        unit = STORED_UNIT[Quantity.PRESSURE]
        if series.unit != unit:
            return NoCheck((f"readings in {unit} (these are in {series.unit})",), None)
        return Check(
            low=self.limit_m,
            high=None,
            is_high_met=True,
            clear_margin=self.hysteresis_m,
            min_duration_s=self.min_duration_s,
            standard=None,
            note=self.source,
        )
