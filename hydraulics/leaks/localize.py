"""Where a leak may be: every pipe's probability, from pressures against EPANET.

The leak-free window and the current one are averaged to rows; EPANET solves each row at its
measured boundary; what the model does not know is carried to the sensors as one covariance, which
lets the leak-free window correct the current one; leaks at five places in every pipe are weighed
against what is left, first by second-order signatures, then with the likeliest leak in place, and
the best by EPANET itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hydraulics.leaks.answer import localization
from hydraulics.leaks.check import refine
from hydraulics.leaks.measurements import KnownLeak, Localization, Measurements, Progress
from hydraulics.leaks.prepared import prepare
from hydraulics.leaks.settings import EmptyWindowError, LocalizeSettings, NoPressureError
from hydraulics.network import NetworkModel

__all__ = ["EmptyWindowError", "LocalizeSettings", "NoPressureError", "localize"]


def localize(  # noqa: PLR0913 - each is a thing of its own
    inp: Path,
    model: NetworkModel,
    measurements: Measurements,
    known: Sequence[KnownLeak] = (),
    *,
    seed: int = 1,
    settings: LocalizeSettings | None = None,
    progress: Progress | None = None,
) -> Localization:
    """Return where one new leak may be.

    Args:
        inp: The network's EPANET file.
        model: The same network as arrays.
        measurements: Readings of the current window and, if there is one, of a leak-free one.
        known: Leaks that were found before and still run.
        seed: Kept with the answer; the method draws nothing at random.
        settings: What a run may be told.
        progress: Called as the run goes on.

    Raises:
        EmptyWindowError: No rows of the current window.
        NoPressureError: No pressure sensor with usable readings.
        NotConvergedError: EPANET found no state at any row.
    """
    del seed  # two runs of one input are the same whatever it is
    with prepare(inp, model, measurements, known, settings=settings, progress=progress) as prepared:
        return localization(prepared, refine(prepared, prepared.weigh()))
