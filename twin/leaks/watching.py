"""Watch a network for leaks: every day is judged once its readings are recorded.

The first days calibrate the model. From then on each completed day is judged with all that is
recorded up to its end, and leaks of the book enter and leave the model as the crews say.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hydraulics.leaks.measurements import Measurements, Progress
from hydraulics.leaks.stream.settings import StreamSettings
from hydraulics.leaks.stream.stream import Happening, HappeningKind, LeakStream
from hydraulics.network import NetworkModel
from twin.assets import Network
from twin.errors import RefusedError
from twin.instants import NS_PER_S
from twin.leaks.asked import plain_settings, versions_now
from twin.leaks.book import FoundLeak, LeakKey, load_book
from twin.leaks.gathering import Gathered, gather
from twin.leaks.going_on import joined, with_sensors
from twin.leaks.sightings import Sighting, SightingKind
from twin.leaks.windows import DAY_NS, NoReadingsError, Window
from twin.networks import load_model, load_network, model_path
from twin.ports import Record
from twin.readings import Quantity, Series

CALIBRATION_DAYS = 14
FALSE_ALARMS_PER_YEAR = StreamSettings().false_alarms_per_year
FEWEST_CALIBRATION_DAYS = 6
"""What differs from day to day is told by five pairs of neighbouring days."""
_MOST_ROWS = 1_000_000
_DAY_S = 86_400
_LAST_NS = 2**62


class TooFewDaysError(RefusedError):
    """A network has not enough whole days to calibrate on."""

    def __init__(self, network: str, n_days: int, n_wanted: int) -> None:
        super().__init__(network, n_days, n_wanted)
        self.network = network
        self.n_days = n_days
        self.n_wanted = n_wanted

    def __str__(self) -> str:
        fewer = "" if self.n_days < FEWEST_CALIBRATION_DAYS else ", or give fewer"
        return (
            f"network {self.network!r} has {self.n_days} whole days of readings there; the watch "
            f"calibrates on {self.n_wanted}: ingest more{fewer} (--calibration-days, at least "
            f"{FEWEST_CALIBRATION_DAYS})"
        )


class Watch:
    """A network under watch; `look` judges what became complete, until `close`."""

    def __init__(  # noqa: PLR0913 - what a watch may be told
        self,
        record: Record,
        network: str,
        folder: Path,
        *,
        from_ns: int | None = None,
        n_calibration: int = CALIBRATION_DAYS,
        false_alarms_per_year: float = FALSE_ALARMS_PER_YEAR,
        progress: Progress | None = None,
    ) -> None:
        """Calibrate on the first days.

        Args:
            record: The ledger, which may grow.
            network: Name of the network.
            folder: Where EPANET's file is put.
            from_ns: Where the calibration begins; None is the first pressure reading.
            n_calibration: How many days it takes.
            false_alarms_per_year: Calls that a year without a leak may bring, above 0.
            progress: Told of each step.

        Raises:
            NotFoundError: No such network.
            RefusedError: It has no pressure reading.
            TooFewDaysError: It has not enough whole days.
            NothingReadError: None of these days can be judged.
        """
        self._record, self._network = record, load_network(record, network)
        self._model = load_model(record, self._network)
        self._from_ns = _first_ns(record, network) if from_ns is None else from_ns
        self._n_calibration = n_calibration
        found = self._calibrated_on(self._gather(self._from_ns))
        self._unwatched: dict[Series, int] = {}
        self._told_unwatched: set[Series] = set()
        self._gathered = with_sensors(found, _read_in_calibration(found.measurements))
        self._find_unwatched(found)
        self._days = _Days(self._gathered, self._model)
        if self._n_complete() < n_calibration:
            raise TooFewDaysError(network, self._n_complete(), n_calibration)
        self._told: set[LeakKey] = set()
        self._closed: set[LeakKey] = set()
        self._next = n_calibration
        settings = StreamSettings(false_alarms_per_year=float(false_alarms_per_year))
        inp = model_path(record, self._network, folder)
        seen = self._gathered.measurements
        self._stream = LeakStream(inp, self._model, seen, settings=settings, progress=progress)
        self._begin()

    def _begin(self) -> None:
        try:
            self._read_book(self._n_calibration - 1)
            self._stream.begin()
        except BaseException:
            self._stream.close()
            raise

    def close(self) -> None:
        """Free EPANET."""
        self._stream.close()

    @property
    def network(self) -> Network:
        """The network that is watched."""
        return self._network

    @property
    def calibration(self) -> Window:
        """The days that the model was calibrated on."""
        last = self._days.window(self._n_calibration - 1)
        return Window(self._days.window(0).from_ns, last.to_ns)

    @property
    def false_alarms_per_year(self) -> float:
        """Calls that a year without a leak may bring."""
        return self._stream.settings.false_alarms_per_year

    @property
    def sensors(self) -> tuple[Series, ...]:
        """The pressure series that are watched: those that the calibration's days hold readings of.

        Others that appear later are told, and are not watched.
        """
        return self._gathered.pressure_series

    def running(self) -> list[Sighting]:
        """Return the leaks that the calibration found; those of the book are not told again."""
        day = self._n_calibration - 1
        known = {f"link:{found.pipe_id}" for found in load_book(self._record, self.network.name)}
        found = [self._sighting(one) for one in self._stream.running(day)]
        return [one for one in found if one.asset not in known]

    def look(self) -> Iterator[tuple[Window, list[Sighting]]]:
        """Judge each day that is complete and not judged yet, in order; tell what each showed."""
        self._take_new()
        while self._next < self._n_complete():
            day, self._next = self._next, self._next + 1
            self._read_book(day)
            told = [self._sighting(one) for one in self._stream.advance(day)]
            yield self._days.window(day), told + self._newly_unwatched(day)

    def _take_new(self) -> None:
        """Read what came since the first day that is not judged; days before stay as they were."""
        if _last_times(self._record, self.network.name).max() + 1 <= self._days.read_to_ns:
            return
        try:
            new = self._gather(self._days.first_read_ns(self._next), self._gathered)
        except NoReadingsError:
            return  # all of it is of bad quality, or of no junction
        self._find_unwatched(new)
        self._gathered = joined(self._gathered, new)
        self._days = _Days(self._gathered, self._model)
        self._stream.extend(self._gathered.measurements)

    def _find_unwatched(self, new: Gathered) -> None:
        """Keep since when each pressure series that is not watched can be used."""
        is_read = np.isfinite(new.measurements.pressure_m)
        for i, series in enumerate(new.pressure_series):
            if series not in self.sensors and series not in self._unwatched and is_read[:, i].any():
                self._unwatched[series] = int(new.at_ns[is_read[:, i].argmax()])

    def _gather(self, from_ns: int, like: Gathered | None = None) -> Gathered:
        last_ns = int(_last_times(self._record, self.network.name).max())
        window = Window(from_ns, max(last_ns, from_ns) + 1)
        return gather(
            self._record,
            self.network,
            self._model,
            window,
            None,
            most_rows=_MOST_ROWS,
            like=like,
        )

    def _calibrated_on(self, found: Gathered) -> Gathered:
        is_reference = _day_of(found.measurements, self._model) < self._n_calibration
        return replace(found, measurements=replace(found.measurements, is_reference=is_reference))

    def _n_complete(self) -> int:
        """Return the days that most sensors have been read to the end of.

        Half of the sensors decide, or any sensor a day later: one that fell silent holds up none.
        """
        last_ns = _last_times(self._record, self._network.name)
        step_ns = round(self._gathered.step_s * NS_PER_S)
        known_ns = max(int(np.median(last_ns)), int(last_ns.max()) - DAY_NS) + step_ns
        return self._days.n_before(known_ns)

    # ------------------------------------------------------------------ the book

    def _read_book(self, day: int) -> None:
        """Tell the stream of leaks that were confirmed or repaired by a day."""
        for found in load_book(self._record, self._network.name):
            self._tell(found, day)

    def _tell(self, found: FoundLeak, day: int) -> None:
        since = self._days.of(found.since_ns)
        repaired = None if found.repaired_ns is None else self._days.of(found.repaired_ns)
        link = self._model.link_id.index(found.pipe_id)
        is_over = repaired is not None and repaired <= since
        if found.key not in self._told and since <= day and not is_over:
            self._told.add(found.key)
            self._stream.told_leak(link, found.flow_m3s, max(since, 0), day)
        if repaired is None or repaired > day or found.key in self._closed:
            return
        self._closed.add(found.key)
        self._stream.told_repair(link, repaired)

    # ------------------------------------------------------------------ what is told

    def _newly_unwatched(self, day: int) -> list[Sighting]:
        """Tell the sensors that reported first on a day: they are not watched."""
        window = self._days.window(day)
        fresh = [one for one, first in self._unwatched.items() if first < window.to_ns]
        fresh = sorted(set(fresh) - self._told_unwatched, key=lambda one: one.tag)
        self._told_unwatched.update(fresh)
        return [
            Sighting(
                kind=SightingKind.UNWATCHED,
                asset=series.asset,
                tag=series.tag,
                fault=None,
                offset_m=None,
                flow_m3s=None,
                probability=None,
                onset_ns=self._unwatched[series],
                **self._rests_on(day),
            )
            for series in fresh
        ]

    def _sighting(self, one: Happening) -> Sighting:
        is_sensor = one.kind is HappeningKind.SENSOR
        series = self.sensors[one.sensor] if is_sensor else None
        return Sighting(
            kind=SightingKind(one.kind.value),
            asset=series.asset if series else f"link:{self._model.link_id[one.link]}",
            tag=series.tag if series else None,
            fault=one.fault.value if one.fault else None,
            offset_m=one.offset_m if is_sensor else None,
            flow_m3s=None if is_sensor else one.flow_m3s,
            probability=None if is_sensor else one.probability,
            onset_ns=self._days.window(one.onset_day).from_ns,
            **self._rests_on(one.day),
        )

    def _rests_on(self, day: int) -> dict[str, Any]:
        """Return what everything that is told of a day rests on."""
        return {
            "network": self._network.name,
            "day": self._days.window(day),
            "calibration": self.calibration,
            "readings_sha256": self._content_sha256(day),
            "inp_sha256": self._network.inp_sha256,
            "settings": plain_settings(self._stream.settings),
            "versions": versions_now(),
        }

    def _content_sha256(self, day: int) -> str:
        seen = self._gathered.measurements
        n_rows = int(np.searchsorted(self._days.day_of, day, side="right"))
        digest = hashlib.sha256()
        for table in (seen.pressure_m, seen.tank_level_m, seen.flow_m3s, seen.demand_m3s):
            digest.update(np.ascontiguousarray(table[:n_rows], dtype="<f8").tobytes())
        return digest.hexdigest()


class _Days:
    """Which rows and which instants are of which day of the model's clock."""

    def __init__(self, gathered: Gathered, model: NetworkModel) -> None:
        seen = gathered.measurements
        self.day_of = _day_of(seen, model)
        clock_s = seen.model_time_s + model.start_clock_s
        into_day_ns = np.round((clock_s % _DAY_S) * NS_PER_S).astype(np.int64)
        self._midnight_ns = gathered.at_ns - into_day_ns
        self._row_from_ns = gathered.at_ns - gathered.raster.step_ns // 2
        self.read_to_ns = int(self._row_from_ns[-1]) + gathered.raster.step_ns

    def window(self, day: int) -> Window:
        """Return the instants of a day; one without readings is counted on from the last before."""
        row = max(int(np.searchsorted(self.day_of, day, side="right")) - 1, 0)
        begin_ns = int(self._midnight_ns[row]) + (day - int(self.day_of[row])) * DAY_NS
        return Window(begin_ns, begin_ns + DAY_NS)

    def first_read_ns(self, day: int) -> int:
        """Return from when on readings belong to rows of a day or of later ones."""
        row = int(np.searchsorted(self.day_of, day))
        return int(self._row_from_ns[row]) if row < len(self.day_of) else self.read_to_ns

    def of(self, at_ns: int) -> int:
        """Return the day of an instant, below 0 before the first."""
        row = max(int(np.searchsorted(self._midnight_ns, at_ns, side="right")) - 1, 0)
        return int(self.day_of[row]) + (at_ns - int(self._midnight_ns[row])) // DAY_NS

    def n_before(self, at_ns: int) -> int:
        """Return how many days end at or before an instant."""
        return max(self.of(at_ns), 0)


def _day_of(seen: Measurements, model: NetworkModel) -> np.ndarray:
    clock_s = seen.model_time_s + model.start_clock_s
    return np.asarray(clock_s // _DAY_S - clock_s[0] // _DAY_S, dtype=np.int64)


def _read_in_calibration(seen: Measurements) -> np.ndarray:
    """Return which sensors have a usable reading in the calibration's days."""
    is_read = np.isfinite(seen.pressure_m[seen.is_reference]).any(axis=0)
    return np.asarray(is_read, dtype=np.bool_)


def _pressures(record: Record, network: str) -> list[Series]:
    return [one for one in record.series(network) if one.quantity is Quantity.PRESSURE]


def _first_ns(record: Record, network: str) -> int:
    times = [
        int(column.time_ns[0])
        for series in _pressures(record, network)
        if len(column := record.column(series, 0, _LAST_NS))
    ]
    if not times:
        raise RefusedError(f"network {network!r} has no pressure reading; ingest some first")
    return min(times)


def _last_times(record: Record, network: str) -> np.ndarray:
    """Return the last reading of each pressure series [ns]."""
    times = map(record.last_time_ns, _pressures(record, network))
    last = [at_ns for at_ns in times if at_ns is not None]
    if not last:
        raise RefusedError(f"network {network!r} has no pressure reading; ingest some first")
    return np.array(last, dtype=np.int64)
