"""What a stream tells."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hydraulics.leaks.stream.book import Followed
from hydraulics.leaks.stream.liars import Fault


class HappeningKind(StrEnum):
    """What a stream may tell."""

    CALL = "call"
    REPAIRED = "repaired"
    SENSOR = "sensor"


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that a stream tells at the end of a day.

    Attributes:
        kind: What happened.
        day: Day from the first reading, counted from 0.
        link: Index of the pipe: for a call the one nearest to where the leak may be.
        flow_m3s: Outflow of the leak [m³/s].
        probability: That the leak lies within reach of the pipe.
        onset_day: Day on which the leak began, as far as is seen.
        sensor: Position of the pressure sensor that lies, -1 where it is about a leak.
        fault: How it lies, None where it is about a leak.
        offset_m: What it reads too much on that day [m], 0 where it is about a leak.
        gain: ln-likelihood that a leak gained when it was found, over what it had to gain; 0 for
            one that was told.
    """

    kind: HappeningKind
    day: int
    link: int
    flow_m3s: float
    probability: float
    onset_day: int
    sensor: int = -1
    fault: Fault | None = None
    offset_m: float = 0.0
    gain: float = 0.0


def about_leak(kind: HappeningKind, leak: Followed, link: int, day: int) -> Happening:
    """Return what happened to a leak that was called at a link."""
    what = (kind, day, link, leak.flow_m3s, leak.probability, leak.onset)
    return Happening(*what, gain=leak.gain)


def about_sensor(sensor: int, fault: Fault, offset_m: float, day: int) -> Happening:
    """Return that a sensor lies."""
    return Happening(HappeningKind.SENSOR, day, -1, 0.0, 1.0, day, sensor, fault, offset_m)
