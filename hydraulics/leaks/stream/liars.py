"""Pressure sensors that lie: which, since when, and how."""

from __future__ import annotations

from enum import StrEnum


class Fault(StrEnum):
    """How a sensor lies."""

    OFFSET = "offset"
    DRIFT = "drift"
    STUCK = "stuck"
