"""Readings that go on from those that were gathered before, without reading those again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hydraulics.leaks.measurements import BoolArray
from twin.instants import NS_PER_S
from twin.leaks.gathering import Gathered
from twin.readings import FloatArray, Series

_WEEK_S = 7 * 86_400.0

Split = tuple[Sequence[Series], Sequence[Series], Sequence[Series], Sequence[Series]]
"""Pressures, levels, flows and demands."""


def joined(old: Gathered, new: Gathered) -> Gathered:
    """Return old readings up to where the new ones begin, and from there the new ones.

    Instruments are those of the old ones: another one is left out, and one that is silent now has
    NaN. The clock of the model goes on, also where only the place in the week counts.
    """
    n_kept = int(np.searchsorted(old.at_ns, new.at_ns[0]))
    time_s = _clock_on(old, new, n_kept)
    rises = time_s > (old.measurements.model_time_s[n_kept - 1] if n_kept else -np.inf)
    tables = [_columns(was, now, table) for was, now, table in _tables(old, new)]
    pressure_m, level_m, flow_m3s, demand_m3s = (table[rises] for table in tables)
    kept = old.measurements
    seen = replace(
        kept,
        model_time_s=np.concatenate([kept.model_time_s[:n_kept], time_s[rises]]),
        is_reference=np.concatenate(
            [kept.is_reference[:n_kept], np.zeros(int(rises.sum()), dtype=np.bool_)]
        ),
        pressure_m=np.vstack([kept.pressure_m[:n_kept], pressure_m]),
        tank_level_m=np.vstack([kept.tank_level_m[:n_kept], level_m]),
        flow_m3s=np.vstack([kept.flow_m3s[:n_kept], flow_m3s]),
        demand_m3s=np.vstack([kept.demand_m3s[:n_kept], demand_m3s]),
    )
    at_ns = np.concatenate([old.at_ns[:n_kept], new.at_ns[rises]])
    return replace(old, measurements=seen, at_ns=at_ns)


def with_sensors(gathered: Gathered, kept: BoolArray) -> Gathered:
    """Return readings without the pressure series that are not kept, shape (n_sensors,)."""
    seen = gathered.measurements
    both = zip(gathered.pressure_series, kept, strict=True)
    series = tuple(one for one, is_kept in both if is_kept)
    fewer = replace(
        seen, pressure_node=seen.pressure_node[kept], pressure_m=seen.pressure_m[:, kept]
    )
    return replace(gathered, measurements=fewer, pressure_series=series)


def _clock_on(old: Gathered, new: Gathered, n_kept: int) -> FloatArray:
    """Return the new rows' model time, moved by the whole weeks that lie between."""
    time_s = new.measurements.model_time_s
    if not n_kept:
        return time_s
    since_s = float(new.at_ns[0] - old.at_ns[n_kept - 1]) / NS_PER_S
    expected_s = float(old.measurements.model_time_s[n_kept - 1]) + since_s
    moved: FloatArray = time_s + _WEEK_S * np.round((expected_s - time_s[0]) / _WEEK_S)
    return moved


def _tables(
    old: Gathered, new: Gathered
) -> list[tuple[Sequence[Series], Sequence[Series], FloatArray]]:
    seen = new.measurements
    tables = (seen.pressure_m, seen.tank_level_m, seen.flow_m3s, seen.demand_m3s)
    return list(zip(_split(old), _split(new), tables, strict=True))


def _split(gathered: Gathered) -> Split:
    seen, boundary = gathered.measurements, gathered.boundary_series
    n_levels, n_flows = len(seen.tank_node), len(seen.flow_link)
    levels, rest = boundary[:n_levels], boundary[n_levels:]
    return gathered.pressure_series, levels, rest[:n_flows], rest[n_flows:]


def _columns(wanted: Sequence[Series], there: Sequence[Series], table: FloatArray) -> FloatArray:
    """Return the columns of some series, NaN where there is none."""
    place = {series: i for i, series in enumerate(there)}
    found = np.full((len(table), len(wanted)), np.nan)
    for i, series in enumerate(wanted):
        if series in place:
            found[:, i] = table[:, place[series]]
    return found
