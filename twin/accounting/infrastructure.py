"""Unavoidable real losses (UARL) and the infrastructure leakage index (ILI).

Source:
    A. O. Lambert, T. G. Brown, M. Takizawa and D. Weimer, "A review of performance indicators for
    real losses from water supply systems", Journal of Water Supply: AQUA 48(6), 1999. Bands:
    R. Liemberger and R. McKenzie, "Accuracy limitations of the ILI", IWA Leakage 2005, as used by
    the World Bank Institute.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from twin.accounting.amounts import Amount, divide
from twin.errors import UnreadableError
from twin.findings import Finding

LEAST_SYSTEM = 3_000.0
"""Connections plus 20 times the mains [km]; below this a system is too small for UARL."""
LEAST_PRESSURE_M = 25.0
LEAST_DENSITY_PER_KM = 20.0
BANDS: Mapping[str, tuple[float, float, float]] = {
    "developed": (2.0, 4.0, 8.0),
    "developing": (4.0, 8.0, 16.0),
}
"""ILI at which bands B, C and D begin; D begins above its number."""


@dataclass(frozen=True, slots=True)
class System:
    """What UARL depends on.

    Attributes:
        mains_length_km: Length of mains [km], above 0.
        n_connections: Service connections, main to property boundary, above 0.
        service_length_km: Pipe from property boundary to meter, all together [km], at least 0.
        pressure_m: Mean operating pressure [m] with its margin, above 0.
    """

    mains_length_km: float
    n_connections: float
    service_length_km: float
    pressure_m: Amount

    def __post_init__(self) -> None:
        is_fit = self.mains_length_km > 0 and self.n_connections > 0 and self.pressure_m.value > 0
        if not (is_fit and self.service_length_km >= 0):
            raise UnreadableError("mains, connections and pressure must be above 0")


def uarl_m3_per_day(system: System) -> Amount:
    """Return the unavoidable annual real losses as a rate [m³/d], margin from the pressure's."""
    litres = (
        18.0 * system.mains_length_km + 0.8 * system.n_connections + 25.0 * system.service_length_km
    )
    return system.pressure_m.scaled(litres / 1_000.0)


def ili(real_losses_m3_per_day: Amount, uarl: Amount) -> Amount:
    """Return real losses over unavoidable ones [-], both in m³/d."""
    return divide(real_losses_m3_per_day, uarl)


def band_of(ili_value: float, country: str) -> str:
    """Return A (good) to D (very inefficient).

    Args:
        ili_value: The ILI.
        country: `developed` or `developing`, a key of `BANDS`.
    """
    b_from, c_from, d_above = BANDS[country]
    if ili_value > d_above:
        return "D"
    return "A" if ili_value < b_from else "B" if ili_value < c_from else "C"


def check_system(system: System) -> list[Finding]:
    """Find why UARL and ILI do not hold for a system; none where they do.

    Source:
        Lambert 1999: more than 5,000 connections, above 25 m, more than 20 connections a km; the
        first was relaxed later to connections + 20 × mains [km] above 3,000.
    """
    found = []
    weight = system.n_connections + 20.0 * system.mains_length_km
    density = system.n_connections / system.mains_length_km
    if not weight > LEAST_SYSTEM:
        said = f"connections + 20 × mains [km] is {weight:.0f}, and must be above 3,000"
        found.append(Finding("uarl-small", f"the system is too small for UARL: {said}"))
    if not system.pressure_m.value > LEAST_PRESSURE_M:
        said = f"{system.pressure_m.value:.1f} m, and must be above 25 m"
        found.append(Finding("uarl-pressure", f"the mean pressure is too low for UARL: {said}"))
    if not density > LEAST_DENSITY_PER_KM:
        said = f"{density:.1f} a km of mains, and must be above 20"
        found.append(Finding("uarl-density", f"too few connections for UARL: {said}"))
    return found
