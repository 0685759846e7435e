"""Where what is: a projection of the blocks in SQLite, which can be dropped and is made anew.

It holds no reading and no event, only their places, so that nothing is answered from it that the
blocks do not hold. Any process brings it up to the chain's height before it asks.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from ledger.blocks import Body, Header
from ledger.chain import ChainReader
from ledger.errors import MalformedError
from ledger.records import (
    CORRECTION_TAG,
    EVENT_TAG,
    ID_BYTES,
    SERIES_TAG,
    decode_correction,
    event_head,
    series_id,
)
from twin.events import EventKind, RecordRef

INDEX_FILE: Final = "index.sqlite"
_SCHEMA_VERSION = 1
_BUSY_S = 30.0
_BLOCKS_A_COMMIT = 64
_SCHEMA = """
CREATE TABLE block (height INTEGER PRIMARY KEY, hash BLOB, time_ns INTEGER, n_records INTEGER,
    n_readings INTEGER);
CREATE TABLE series (ordinal INTEGER PRIMARY KEY, id BLOB UNIQUE, height INTEGER, place INTEGER,
    record BLOB);
CREATE TABLE span (series BLOB, height INTEGER, from_ns INTEGER, to_ns INTEGER,
    PRIMARY KEY (series, height)) WITHOUT ROWID;
CREATE TABLE event (height INTEGER, place INTEGER, start INTEGER, stop INTEGER, kind TEXT,
    network TEXT, subject TEXT, PRIMARY KEY (height, place)) WITHOUT ROWID;
CREATE INDEX event_by_kind ON event (kind, network, height, place);
CREATE INDEX event_by_subject ON event (subject);
CREATE TABLE correction (height INTEGER, place INTEGER, start INTEGER, stop INTEGER,
    PRIMARY KEY (height, place)) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Spot:
    """Where the bytes of a record are: its place, and the range of its block's body."""

    ref: RecordRef
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class BlockRow:
    """What the index knows of a block."""

    height: int
    hash: bytes
    time_ns: int
    n_records: int
    n_readings: int


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """A series' descriptor record and its place."""

    id: bytes
    ref: RecordRef
    record: bytes


class Index:
    """Answers where records are. One lock outside it guards its connection."""

    def __init__(self, folder: Path, chain: ChainReader) -> None:
        self._chain = chain
        self._path = folder / INDEX_FILE
        self._opened: sqlite3.Connection | None = None
        self._height = -1

    @property
    def _db(self) -> sqlite3.Connection:
        # Opened when first asked: who only writes events, or only verifies, needs no index.
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    def close(self) -> None:
        """Close the index."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def catch_up(self) -> int:
        """Index the blocks sealed since the last call; return the number of sealed blocks."""
        size = self._chain.tip().size
        if self._height < size:
            try:
                self._catch_up(size)
            except sqlite3.Error:
                # A damaged, locked or read-only index: this process makes its own.
                self.close()
                self._opened = _prepared(sqlite3.connect(":memory:", check_same_thread=False))
                self._catch_up(size)
            self._height = size
        return size

    def _catch_up(self, size: int) -> None:
        while (start := self._next_height()) < size:
            with self._transaction():
                start = self._next_height()
                stop = min(size, start + _BLOCKS_A_COMMIT)
                for header in self._chain.headers(start, stop) if start < stop else ():
                    self._add(header, self._chain.body(header))

    def _next_height(self) -> int:
        (found,) = self._db.execute("SELECT COALESCE(MAX(height) + 1, 0) FROM block").fetchone()
        return int(found)

    def blocks(self, start: int, stop: int) -> list[BlockRow]:
        """Return the blocks [start, stop)."""
        rows = self._db.execute(
            "SELECT height, hash, time_ns, n_records, n_readings FROM block"
            " WHERE height >= ? AND height < ? ORDER BY height",
            (start, stop),
        )
        return [BlockRow(*row) for row in rows]

    def series(self, size: int) -> list[SeriesRow]:
        """Return the series of the first `size` blocks in order of first appearance."""
        rows = self._db.execute(
            "SELECT id, height, place, record FROM series WHERE height < ? ORDER BY ordinal",
            (size,),
        )
        return [SeriesRow(key, RecordRef(h, p), record) for key, h, p, record in rows]

    def series_row(self, key: bytes) -> SeriesRow | None:
        """Return a series by its id."""
        row = self._db.execute(
            "SELECT id, height, place, record FROM series WHERE id = ?", (key,)
        ).fetchone()
        return row and SeriesRow(row[0], RecordRef(row[1], row[2]), row[3])

    def spans(self, key: bytes, from_ns: int, to_ns: int, size: int) -> list[int]:
        """Return the heights of the blocks that hold readings of a series in [from, to)."""
        rows = self._db.execute(
            "SELECT height FROM span WHERE series = ? AND height < ? AND from_ns < ? AND to_ns >= ?"
            " ORDER BY height",
            (key, size, to_ns, from_ns),
        )
        return [height for (height,) in rows]

    def last_time_ns(self, key: bytes, size: int) -> int | None:
        """Return the newest time of a series' readings, or None without readings."""
        (found,) = self._db.execute(
            "SELECT MAX(to_ns) FROM span WHERE series = ? AND height < ?", (key, size)
        ).fetchone()
        return None if found is None else int(found)

    def events(
        self, kinds: Collection[EventKind], network: str | None, start: int, size: int
    ) -> list[Spot]:
        """Return where the events of some kinds (none means all) are, in order of record."""
        where = ["height >= ?", "height < ?"]
        values: list[str | int] = [start, size]
        if kinds:
            where.append(f"kind IN ({','.join('?' * len(kinds))})")
            values += [str(kind) for kind in kinds]
        if network is not None:
            where.append("network = ?")
            values.append(network)
        return self._spots("event", " AND ".join(where), values)

    def events_about(self, kind: EventKind, subject: str, size: int) -> list[Spot]:
        """Return where the events of a kind about a subject are, in order of record."""
        values: list[str | int] = [str(kind), subject, size]
        return self._spots("event", "kind = ? AND subject = ? AND height < ?", values)

    def event_at(self, ref: RecordRef) -> Spot | None:
        """Return where the event at a place is, or None if there is no event."""
        values = [ref.height, ref.index]
        return next(iter(self._spots("event", "height = ? AND place = ?", values)), None)

    def corrections(self, size: int) -> list[Spot]:
        """Return where the corrections are, in order of record."""
        return self._spots("correction", "height < ?", [size])

    def _spots(self, table: str, where: str, values: Sequence[str | int]) -> list[Spot]:
        rows = self._db.execute(
            f"SELECT height, place, start, stop FROM {table} WHERE {where}"  # noqa: S608  (own words)
            " ORDER BY height, place",
            values,
        )
        return [Spot(RecordRef(h, p), start, stop) for h, p, start, stop in rows]

    def _add(self, header: Header, body: Body) -> None:
        height = header.height
        self._db.execute(
            "INSERT INTO block VALUES (?, ?, ?, ?, ?)",
            (height, header.hash, header.time_ns, header.n_records, body.n_readings),
        )
        spans: dict[bytes, tuple[int, int]] = {}
        for run in body.runs:
            _widen(spans, run.rows)
        self._db.executemany(
            "INSERT INTO span VALUES (?, ?, ?, ?)",
            [(key, height, low, high) for key, (low, high) in spans.items()],
        )
        for place, start, record in body.spots():
            # A record of a later version is kept and can be proved, and is not understood here.
            with suppress(MalformedError):
                self._add_record(height, place, start, record)

    def _add_record(self, height: int, place: int, start: int, record: bytes) -> None:
        spot = (height, place, start, start + len(record))
        if record[0] == EVENT_TAG:
            kind, network, subject = event_head(record)
            row = (*spot, str(kind), network, subject)
            self._db.execute("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        elif record[0] == SERIES_TAG:
            self._db.execute(
                "INSERT OR IGNORE INTO series (id, height, place, record) VALUES (?, ?, ?, ?)",
                (series_id(record), height, place, record),
            )
        elif record[0] == CORRECTION_TAG:
            decode_correction(record)
            self._db.execute("INSERT INTO correction VALUES (?, ?, ?, ?)", spot)

    def _open(self) -> sqlite3.Connection:
        try:
            return self._open_file()
        except (sqlite3.Error, OSError):
            return _prepared(sqlite3.connect(":memory:", check_same_thread=False))

    def _open_file(self) -> sqlite3.Connection:
        try:
            db = self._connected()
            if self._is_of_this_chain(db):
                return db
            db.close()
        except sqlite3.OperationalError:
            raise  # locked, or not ours to write: another process may be using it
        except sqlite3.DatabaseError:
            pass  # damaged, or of another version: made anew
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(INDEX_FILE + suffix).unlink(missing_ok=True)
        return self._connected()

    def _connected(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=_BUSY_S, check_same_thread=False)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            return _prepared(db)
        except sqlite3.Error:
            db.close()
            raise

    def _is_of_this_chain(self, db: sqlite3.Connection) -> bool:
        row = db.execute("SELECT height, hash FROM block ORDER BY height DESC LIMIT 1").fetchone()
        if row is None:
            return True
        height, block_hash = row
        size = self._chain.tip().size
        return bool(height < size and self._chain.header(height).hash == block_hash)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.rollback()
            raise
        self._db.commit()


def _prepared(db: sqlite3.Connection) -> sqlite3.Connection:
    """Give a connection the schema, or raise `sqlite3.DatabaseError` for another version."""
    db.isolation_level = None
    if _version(db) == 0:
        db.execute("BEGIN IMMEDIATE")
        if _version(db) == 0:  # else another process was quicker
            for statement in _SCHEMA.split(";"):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
        db.commit()
    if _version(db) != _SCHEMA_VERSION:
        raise sqlite3.DatabaseError("an index of another version")
    return db


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _widen(spans: dict[bytes, tuple[int, int]], rows: npt.NDArray[np.void]) -> None:
    """Widen the span of each series by the times of some readings."""
    times = rows["time"].astype(np.int64)
    for key, where in group_by_series(rows):
        low, high = int(times[where].min()), int(times[where].max())
        known = spans.get(key, (low, high))
        spans[key] = (min(low, known[0]), max(high, known[1]))


def group_by_series(
    rows: npt.NDArray[np.void],
) -> list[tuple[bytes, npt.NDArray[np.intp]]]:
    """Return each series id with the rows that are its readings, in their order."""
    raw = rows["series"].tobytes()
    halves = np.frombuffer(raw, np.uint64).reshape(-1, 2)
    _, first, inverse = np.unique(halves[:, 0], return_index=True, return_inverse=True)
    if not np.array_equal(halves[:, 1], halves[first, 1][inverse]):
        # Two ids share their first half, which chance does not do: the slow way round.
        _, first, inverse = np.unique(halves, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(inverse.astype(np.uint16), kind="stable")  # a radix sort
    stops = np.cumsum(np.bincount(inverse, minlength=len(first)))
    keys = [raw[ID_BYTES * i : ID_BYTES * (i + 1)] for i in first.tolist()]
    return list(zip(keys, np.split(order, stops[:-1]), strict=True))
