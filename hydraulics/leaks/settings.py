"""What a localization may be told, and why it may refuse."""

from __future__ import annotations

from dataclasses import dataclass, field

from hydraulics.errors import HydraulicsError
from hydraulics.leaks.prior import Scales


class NoPressureError(HydraulicsError):
    """No pressure sensor has readings that could be used in the window."""

    code = "NO_PRESSURE"

    def __str__(self) -> str:
        return "no pressure sensor has usable readings in the window: nothing can be localized"


class EmptyWindowError(HydraulicsError):
    """The window holds no readings."""

    code = "EMPTY_WINDOW"

    def __str__(self) -> str:
        return "the window holds no readings: choose one in which sensors reported"


@dataclass(frozen=True, slots=True)
class LocalizeSettings:
    """What a run may be told.

    Attributes:
        scales: What the model does not know.
        most_rows: Rows in a day, at most; six times as many where much passes through tanks, where
            pressures move by metres within one, and in a small network.
        least_flow_m3s: Smallest leak that is tried [m³/s].
        largest_flow_m3s: Largest leak that is tried [m³/s], or a twentieth of what the network
            takes if that is more.
        n_sizes: Sizes tried, evenly in their logarithm.
        n_bent: Junctions whose effect is worked out to second order at first; of the others, which
            explain less to first order, it is straight.
        n_near: Junctions whose effect is worked out again with the likeliest leak in place, at
            most; those that are not likely at all are left out.
        n_rounds: How often that is done.
        n_exact: Junctions whose effect EPANET computes in the end, at most; fewer where fewer hold
            nearly all of the probability, and 0 for none.
        fits_scales: Whether the leak-free window may raise the scales.
        temper: What log-likelihoods are divided by.
        temper_wrong: The same where the leak-free window says that demands or roughness are more
            wrong than the scales: such a model errs in more ways than a covariance knows of.
        anywhere: Probability that what was measured says nothing, spread over the length.
    """

    scales: Scales = field(default_factory=Scales)
    most_rows: int = 4
    least_flow_m3s: float = 1e-4
    largest_flow_m3s: float = 0.06
    n_sizes: int = 40
    n_bent: int = 300
    n_near: int = 200
    n_rounds: int = 1
    n_exact: int = 20
    fits_scales: bool = True
    temper: float = 1.0
    temper_wrong: float = 1.5
    anywhere: float = 0.02
