"""Readings in columns, and the series that they belong to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Self

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
TimeArray = npt.NDArray[np.int64]
IndexArray = npt.NDArray[np.int32]
QualityArray = npt.NDArray[np.uint8]


class Quantity(StrEnum):
    """What a series measures. Each is stored in one unit, see `twin.units`."""

    PRESSURE = "pressure"  # m of water column above the node's elevation
    LEVEL = "level"  # m above the tank's bottom
    FLOW = "flow"  # m3/s, positive from start node to end node
    DEMAND = "demand"  # m3/s, positive out of the network
    VOLUME = "volume"  # m3
    CONCENTRATION = "concentration"  # g/m3, which is mg/L
    TURBIDITY = "turbidity"  # NTU
    PH = "ph"  # 1
    TEMPERATURE = "temperature"  # degC
    STATUS = "status"  # 0 closed or off, 1 open or on


class PrivacyClass(StrEnum):
    """Who may see a series."""

    PUBLIC = "public"
    ALLIANCE = "alliance"
    PERSONAL = "personal"  # refused until it can be kept private


class Status(IntEnum):
    """How far the source trusts a value, after OPC UA."""

    GOOD = 0
    UNCERTAIN = 1
    BAD = 2


class Origin(IntEnum):
    """How a value came to be."""

    MEASURED = 0
    MANUAL = 1
    CORRECTED = 2
    SIMULATED = 3
    SUBSTITUTED = 4


def quality_code(status: Status, origin: Origin = Origin.MEASURED) -> int:
    """Return the one byte that a reading keeps: 8 × status + origin, 0..23."""
    return 8 * status + origin


def status_of(quality: int) -> Status:
    """Return the status in a quality byte."""
    return Status(quality // 8)


@dataclass(frozen=True, slots=True)
class Series:
    """What a column of readings is a record of.

    Attributes:
        network: Name of the network.
        tag: The source's own name, unique within the network.
        asset: Full name of the asset, such as `node:10`.
        quantity: What is measured.
        unit: The unit that values are stored in, see `twin.units.STORED_UNIT`.
        source: The door it came through, such as `csv` or `opcua`.
        privacy: Who may see it.
        parameter: For a concentration: which substance, as the standards call it.
        sampling_point: For a concentration: `plant_outlet`, `network`, `network_end`, ….
    """

    network: str
    tag: str
    asset: str
    quantity: Quantity
    unit: str
    source: str
    privacy: PrivacyClass = PrivacyClass.ALLIANCE
    parameter: str | None = None
    sampling_point: str | None = None


@dataclass(frozen=True, slots=True)
class ReadingBatch:
    """Readings of several series, as columns of one length, in the order they shall be recorded.

    Attributes:
        series: The series that `series_index` points into.
        series_index: Which series, shape (n,).
        time_ns: Source time [ns since the Unix epoch], shape (n,), at least 2**32.
        value: Values in the series' stored unit, shape (n,), finite.
        quality: Quality bytes 0..23, shape (n,).
    """

    series: tuple[Series, ...]
    series_index: IndexArray
    time_ns: TimeArray
    value: FloatArray
    quality: QualityArray

    def __len__(self) -> int:
        return len(self.time_ns)

    def take(self, rows: npt.NDArray[np.intp] | npt.NDArray[np.bool_] | slice) -> Self:
        """Return the chosen rows, with the same series."""
        return type(self)(
            self.series,
            self.series_index[rows],
            self.time_ns[rows],
            self.value[rows],
            self.quality[rows],
        )


@dataclass(frozen=True, slots=True)
class Column:
    """The readings of one series over a window, in order of time.

    Attributes:
        series: Whose readings they are.
        time_ns: Source time [ns since the Unix epoch], shape (n,), rising.
        value: Values in `series.unit`, shape (n,).
        quality: Quality bytes, shape (n,).
        height: Height of the block that holds each, shape (n,).
        leaf_index: Place of each in its block, shape (n,).
    """

    series: Series
    time_ns: TimeArray
    value: FloatArray
    quality: QualityArray
    height: TimeArray
    leaf_index: TimeArray

    def __len__(self) -> int:
        return len(self.time_ns)
