"""When a leak began.

Six leak-free days or more calibrate a stream, as a watch has one, and the first leak that it would
look at is the onset: how days differ is known then, and the false alarms that one accepts are kept.

With fewer, each pressure sensor, and the inflow where sources are metered, is compared with its own
past at the same time of day; what all demands do together is taken off by the inflow's part in it.
A one-sided CUSUM says when the rest left its normal band for good. Its limit takes hours for
independent and days for alike, which a few days cannot tell: no rate follows from it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hydraulics.epanet.toolkit import Solver
from hydraulics.errors import HydraulicsError
from hydraulics.leaks.localize import NoPressureError
from hydraulics.leaks.measurements import Measurements, Progress
from hydraulics.leaks.rows import read_meters
from hydraulics.leaks.sensors import check_sensors
from hydraulics.leaks.stream.settings import StreamSettings
from hydraulics.leaks.stream.stream import Happening, HappeningKind, LeakStream
from hydraulics.network import BoolArray, FloatArray, IndexArray, NetworkModel, NodeKind

_DAY_S = 86_400.0
_FEWEST_DAYS = 6
"""Leak-free days that tell how days differ."""
_MOST_STEP_S = 900.0
"""Time between readings above which a stream's half hours say nothing."""
_BLOCKS_AROUND = 3
"""Blocks on either side from which the moment of a change is read."""
_LEAST_PAST = 12
_MOST_WEIGHT = 4.0
_LEAST_M = 1e-3


class NoPastError(HydraulicsError):
    """There are no leak-free readings to compare with.

    Attributes:
        n_rows: Leak-free rows that there are.
        n_wanted: Rows that it takes.
    """

    code = "NO_REFERENCE"

    def __init__(self, n_rows: int, n_wanted: int) -> None:
        super().__init__(n_rows, n_wanted)
        self.n_rows = n_rows
        self.n_wanted = n_wanted

    def __str__(self) -> str:
        return (
            f"{self.n_rows} leak-free rows are too few to compare with: give a reference window "
            f"with {self.n_wanted} or more, best a whole day"
        )


@dataclass(frozen=True, slots=True)
class DetectSettings:
    """What a search may be told.

    Attributes:
        false_alarms_per_year: How many onsets a year without a leak may show.
        bins: Times of day that are told apart.
        shift: Size of a change that is looked for, in standard deviations of an hour.
        block_s: Time over which readings are averaged before they are judged [s].
    """

    false_alarms_per_year: float = 1.0
    bins: int = 24
    shift: float = 1.5
    block_s: float = 3_600.0


@dataclass(frozen=True, slots=True)
class Onset:
    """Where a lasting change began.

    Attributes:
        row: Row of the measurements.
        model_time_s: The model's clock there [s].
        statistic: How far the test had gone when it was seen, over its limit [-], above 1.
        seen_row: Row at which it was seen.
        flow_m3s: Outflow of the leak [m³/s]; where days are too few, the rise of the inflow since,
            NaN where that is not metered.
        sensors: Pressure sensors that fell the most, indices into `pressure_node`.
    """

    row: int
    model_time_s: float
    statistic: float
    seen_row: int
    flow_m3s: float
    sensors: tuple[int, ...]


def detect(  # noqa: PLR0913 - as `localize`
    inp: Path,
    model: NetworkModel,
    measurements: Measurements,
    *,
    seed: int = 1,
    settings: DetectSettings | None = None,
    progress: Progress | None = None,
) -> list[Onset]:
    """Return when a leak may have begun in the current rows, at most one onset.

    It is told to the day where there are days enough to calibrate on, else to the hour.

    Args:
        inp: The network's EPANET file.
        model: The same network as arrays.
        measurements: Reference rows are leak-free, the others are searched.
        seed: Kept with the answer; nothing is drawn at random.
        settings: What the search may be told.
        progress: Called as it goes on.

    Raises:
        NoPressureError: No pressure sensor with usable readings.
        NoPastError: Too few leak-free rows.
    """
    del seed
    chosen = settings or DetectSettings()
    pressure, _ = check_sensors(measurements)
    if not np.isfinite(pressure[~measurements.is_reference]).any():
        raise NoPressureError
    n_past = int(measurements.is_reference.sum())
    if n_past < _LEAST_PAST:
        raise NoPastError(n_past, _LEAST_PAST)
    tell = progress or _tell_nobody
    with Solver(inp, model) as solver:
        meters = read_meters(model, solver, measurements)
    fixed = model.node_kind != NodeKind.JUNCTION
    taken = meters.given_m3s[:, fixed].sum(axis=1)
    tell("compare with the past", 1, 2)
    score, change = _scores(measurements, pressure, taken, chosen)
    if not has_days(measurements, model):
        onset = _first_rise(measurements, score, change, taken, chosen)
    elif call := _first_call(inp, model, measurements, chosen, tell):
        onset = _called(measurements, model, call, change, taken, chosen)
    else:
        onset = None
    tell("compare with the past", 2, 2)
    return [] if onset is None else [onset]


def has_days(seen: Measurements, model: NetworkModel) -> bool:
    """Whether leak-free days come first, and enough of them to calibrate a stream."""
    n_past = int(seen.is_reference.sum())
    if not seen.is_reference[:n_past].all() or n_past == len(seen.is_reference):
        return False
    days = np.unique(_day_of(seen, model)[:n_past])
    step_s = float(np.median(np.diff(seen.model_time_s)))
    return len(days) >= _FEWEST_DAYS and step_s <= _MOST_STEP_S


def _day_of(seen: Measurements, model: NetworkModel) -> IndexArray:
    clock_s = seen.model_time_s + model.start_clock_s
    return np.asarray(clock_s // _DAY_S - clock_s[0] // _DAY_S, dtype=np.int64)


def _first_call(
    inp: Path, model: NetworkModel, seen: Measurements, settings: DetectSettings, tell: Progress
) -> Happening | None:
    """Return the first leak that a stream finds after its calibration, however unsure its place."""
    rate = settings.false_alarms_per_year
    watched = StreamSettings(false_alarms_per_year=rate, call_probability=0.0)
    stream = LeakStream(inp, model, seen, settings=watched, progress=tell)
    try:
        stream.begin()
        for day in range(stream.n_calibration, stream.n_days):
            tell("judge days", day - stream.n_calibration, stream.n_days - stream.n_calibration)
            for one in stream.advance(day):
                if one.kind is HappeningKind.CALL and one.onset_day >= stream.n_calibration:
                    return one
    finally:
        stream.close()
    return None


def _called(  # noqa: PLR0913, PLR0917 - what an onset says of itself
    seen: Measurements,
    model: NetworkModel,
    call: Happening,
    change: FloatArray,
    taken: FloatArray,
    settings: DetectSettings,
) -> Onset:
    day_of = _day_of(seen, model)
    first = int(np.searchsorted(day_of, call.onset_day))
    last = int(np.searchsorted(day_of, call.day, side="right")) - 1
    onset = _onset(seen, change, taken, first, last, call.gain, settings)
    return replace(onset, flow_m3s=call.flow_m3s)


def _tell_nobody(step: str, done: int, total: int) -> None:
    del step, done, total


def _scores(
    seen: Measurements, pressure: FloatArray, taken: FloatArray, settings: DetectSettings
) -> tuple[FloatArray, FloatArray]:
    """Return a row's score, normal with unit variance without a leak, and sensors' changes [m]."""
    past = seen.is_reference
    bins = _bins(seen.model_time_s, settings.bins)
    change = np.stack([_beyond(column, bins, past) for column in pressure.T], axis=1)
    demand = _beyond(taken, bins, past)
    change = _without_demand(change, demand, past)
    with np.errstate(all="ignore"):
        spread = np.nanstd(change[past], axis=0)
    spread = np.where(np.isfinite(spread) & (spread > _LEAST_M), spread, _LEAST_M)
    fall = -change / spread
    counted = np.isfinite(fall)
    many = np.maximum(counted.sum(axis=1), 1)
    score = np.where(counted, fall, 0.0).sum(axis=1) / many
    if np.isfinite(demand[past]).sum() >= _LEAST_PAST:
        rise = demand / max(float(np.nanstd(demand[past])), 1e-6)
        score = score + np.nan_to_num(np.clip(rise, -_MOST_WEIGHT, _MOST_WEIGHT))
    return _unit(score, past), change


def _bins(time_s: FloatArray, n_bins: int) -> FloatArray:
    return np.asarray((time_s % _DAY_S) // (_DAY_S / n_bins), dtype=np.float64)


def _beyond(column: FloatArray, bins: FloatArray, past: BoolArray) -> FloatArray:
    """Return a series less its median at the same time of day in the past."""
    usual = np.full(len(column), np.nan)
    good = np.isfinite(column) & past
    for at in np.unique(bins[good]):
        usual[bins == at] = np.median(column[good & (bins == at)])
    if good.any():
        usual[np.isnan(usual)] = np.median(column[good])
    return np.asarray(column - usual, dtype=np.float64)


def _without_demand(change: FloatArray, demand: FloatArray, past: BoolArray) -> FloatArray:
    """Return changes less what goes with the inflow in the past."""
    result = change.copy()
    for sensor in range(change.shape[1]):
        both = np.isfinite(change[:, sensor]) & np.isfinite(demand)
        used = both & past
        power = float((demand[used] ** 2).sum())
        if used.sum() >= _LEAST_PAST and power > 0:
            slope = float((demand[used] * change[used, sensor]).sum()) / power
            result[both, sensor] -= min(slope, 0.0) * np.clip(demand[both], None, 0.0)
    return result


def _unit(score: FloatArray, past: BoolArray) -> FloatArray:
    centre = float(np.median(score[past]))
    spread = float(np.median(np.abs(score[past] - centre))) * 1.4826
    return np.asarray((score - centre) / max(spread, float(score[past].std()), 1e-9), np.float64)


def _first_rise(
    seen: Measurements,
    score: FloatArray,
    change: FloatArray,
    taken: FloatArray,
    settings: DetectSettings,
) -> Onset | None:
    rows = np.flatnonzero(~seen.is_reference)
    step_s = float(np.median(np.diff(seen.model_time_s[rows]))) if len(rows) > 1 else 3_600.0
    per_block = max(round(settings.block_s / max(step_s, 1.0)), 1)
    past = score[seen.is_reference]
    blocks = _means(past, per_block)
    spread = max(float(blocks.std()), 1.0 / np.sqrt(per_block))
    limit = _limit(settings, step_s * per_block)
    total, began = 0.0, 0
    for number, block in enumerate(_means(score[rows], per_block)):
        if total <= 0.0:
            began = number
        total = max(0.0, total + float(block) / spread - settings.shift / 2.0)
        if total > limit:
            last = min((number + 1) * per_block, len(rows)) - 1
            first = _sharpen(score[rows], began * per_block, last, per_block)
            at, shown = int(rows[first]), int(rows[last])
            return _onset(seen, change, taken, at, shown, total / limit, settings)
    return None


def _means(values: FloatArray, size: int) -> FloatArray:
    n_whole = max(len(values) // size, 1)
    return np.array([part.mean() for part in np.array_split(values, n_whole)])


def _limit(settings: DetectSettings, block_s: float) -> float:
    """Return the CUSUM's limit for a mean time between false alarms.

    Source:
        Siegmund's approximation, D. C. Montgomery, Introduction to Statistical Quality Control,
        "The average run length of a CUSUM": ARL = (exp(2kb) - 2kb - 1) / 2k², b = h + 1.166.
    """
    k = settings.shift / 2.0
    wanted = 365.0 * _DAY_S / block_s / max(settings.false_alarms_per_year, 1e-3)
    b = 1.0
    for _ in range(100):
        b = np.log(2.0 * k * k * wanted + 2.0 * k * b + 1.0) / (2.0 * k)
    return float(max(b - 1.166, 1.0))


def _sharpen(score: FloatArray, near: int, last: int, reach: int) -> int:
    """Return the row, not after `last`, that best parts two means around a block's start."""
    first = max(near - _BLOCKS_AROUND * reach, 0)
    part = score[first : min(last + 1 + _BLOCKS_AROUND * reach, len(score))]
    n = np.arange(1, min(last - first + 1, len(part)))
    if not len(n):
        return near
    sums = np.cumsum(part)
    before, after = sums[n - 1] / n, (sums[-1] - sums[n - 1]) / (len(part) - n)
    gain = (after - before) * np.sqrt(n * (len(part) - n))
    return first + int(n[gain.argmax()])


def _onset(  # noqa: PLR0913, PLR0917 - what an onset says of itself
    seen: Measurements,
    change: FloatArray,
    taken: FloatArray,
    at: int,
    last: int,
    statistic: float,
    settings: DetectSettings,
) -> Onset:
    since = slice(at, last + 1)
    read = [column[np.isfinite(column)] for column in change[since].T]
    fall = np.array([-np.median(column) if len(column) else 0.0 for column in read])
    sensors = np.argsort(-fall, kind="stable")[:3]
    bins = _bins(seen.model_time_s, settings.bins)
    rise = _beyond(taken, bins, seen.is_reference)[since]
    good = rise[np.isfinite(rise)]
    return Onset(
        row=at,
        model_time_s=float(seen.model_time_s[at]),
        statistic=statistic,
        seen_row=last,
        flow_m3s=float(np.median(good)) if len(good) else float("nan"),
        sensors=tuple(int(s) for s in sensors if fall[s] > 0),
    )
