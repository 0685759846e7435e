"""The embedded graph: one SQLite file, which several processes may read and write at once."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

from graph.migrations import migrations, pending
from graph.rows import (
    ASSET_COLUMNS,
    HAPPENING_COLUMNS,
    NETWORK_COLUMNS,
    asset_of,
    asset_row,
    connection_of,
    happening_of,
    happening_row,
    network_of,
    network_row,
)
from graph.store import (
    PAGE_LIMIT,
    Advance,
    ForeignGraphError,
    GraphUnavailableError,
    Happening,
    Holdings,
    Mark,
    PlacedAsset,
    PlacedNetwork,
    Structure,
    check_owner,
    in_words,
)
from twin.assets import AssetKind
from twin.events import EventKind, RecordRef
from twin.ids import AssetRef, parse_ref

APPLICATION_ID: Final = 0x57544752  # "WTGR": how we know the file for ours
BUSY_TIMEOUT_S: Final = 30.0
_SQLITE_OWN = ("sqlite_sequence", "sqlite_stat1", "sqlite_stat4")
_TABLES: Final = ("mark", "network", "topology", "asset", "happening")


def _upsert(table: str, columns: Sequence[str], key: str) -> str:
    names = ", ".join(columns)
    marks = ", ".join(f":{column}" for column in columns)
    changes = ", ".join(f"{c} = excluded.{c}" for c in columns)
    return (
        f"INSERT INTO {table} ({names}) VALUES ({marks}) "  # noqa: S608 - constants of this module
        f"ON CONFLICT ({key}) DO UPDATE SET {changes}"
    )


_MARK = "SELECT chain, height, head_hash, leaf FROM mark"
_SET_MARK = _upsert("mark", ("one", "chain", "height", "head_hash", "leaf"), "one")
_PUT_NETWORK = _upsert("network", NETWORK_COLUMNS, "name")
_PUT_ASSET = _upsert("asset", ASSET_COLUMNS, "network, ref")
_PUT_HAPPENING = _upsert("happening", HAPPENING_COLUMNS, "height, leaf_index")
_PUT_VERSION = _upsert("topology", ("network", "version"), "network")
_RETIRE = "DELETE FROM asset WHERE network = ? AND ref = ?"
_NETWORKS = "SELECT * FROM network ORDER BY name"
_ASSET = "SELECT * FROM asset WHERE network = ? AND ref = ?"
_ASSETS = "SELECT * FROM asset WHERE network = ? AND ref > ? ORDER BY ref LIMIT ?"
_ASSETS_OF_KINDS = """
SELECT * FROM asset
WHERE network = ? AND ref > ? AND kind IN (SELECT value FROM json_each(?)) ORDER BY ref LIMIT ?"""
_ASSETS_NAMED = """
SELECT * FROM asset WHERE network = ? AND ref IN (SELECT value FROM json_each(?)) ORDER BY ref"""
_COUNT = "SELECT count(*) FROM asset WHERE network = ?"
_COUNT_OF_KINDS = """
SELECT count(*) FROM asset WHERE network = ? AND kind IN (SELECT value FROM json_each(?))"""
_LINKS_AT = """
SELECT * FROM asset WHERE network = :network AND start_ref = :ref AND is_link
UNION
SELECT * FROM asset WHERE network = :network AND end_ref = :ref AND is_link ORDER BY ref"""
_HAPPENINGS = """
SELECT * FROM happening WHERE network = ? AND (height, leaf_index) > (?, ?)
ORDER BY height, leaf_index LIMIT ?"""
_HAPPENINGS_OF_KINDS = """
SELECT * FROM happening WHERE network = ? AND (height, leaf_index) > (?, ?)
AND kind IN (SELECT value FROM json_each(?)) ORDER BY height, leaf_index LIMIT ?"""
_VERSION = "SELECT version FROM topology WHERE network = ?"
_NODES = "SELECT ref FROM asset WHERE network = ? AND NOT is_link ORDER BY ref"
_CONNECTIONS = "SELECT * FROM connects WHERE network = ? ORDER BY link IS NULL, link, end_ref"
_HOLDINGS = """
SELECT (SELECT count(*) FROM network), (SELECT count(*) FROM asset),
       (SELECT count(*) FROM connects), (SELECT count(*) FROM happening)"""
_HISTORY = """
CREATE TABLE IF NOT EXISTS migration (
  version INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL) STRICT"""


class SqliteStore:
    """Holds the graph in one file, in write-ahead mode. Implements `graph.store.GraphStore`."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        self._lock = threading.RLock()

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a graph, or make an empty one; its schema is brought up to date.

        Raises:
            ForeignGraphError: The file holds something else.
            GraphUnavailableError: The file cannot be read or written.
            MigrationError: A newer release made it.
        """
        with _translated(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(
                path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            connection.row_factory = sqlite3.Row
            try:
                _refuse_foreign_file(path, connection)
                _prepare(path, connection)
            except BaseException:
                connection.close()
                raise
        return cls(path, connection)

    @property
    def place(self) -> str:
        """The file."""
        return str(self._path)

    def mark(self) -> Mark | None:
        """Return whose graph it is and how far it has come."""
        with self._reading() as db:
            return _read_mark(db)

    def height(self) -> int:
        """Return the number of blocks that the graph has been told of."""
        mark = self.mark()
        return mark.height if mark else 0

    def apply(self, advance: Advance) -> None:
        """Apply some records in one transaction."""
        with self._writing() as db:
            self._refuse_foreign_tables(db)
            check_owner(self.place, _read_mark(db), advance)
            db.executemany(_PUT_NETWORK, [network_row(placed) for placed in advance.networks])
            db.executemany(_PUT_ASSET, [asset_row(placed) for placed in advance.assets])
            db.executemany(_RETIRE, [(network, str(ref)) for network, ref in advance.retired])
            db.executemany(_PUT_HAPPENING, [happening_row(one) for one in advance.happenings])
            for network, height in advance.changed_at.items():
                db.execute(_PUT_VERSION, {"network": network, "version": height})
            db.execute(
                _SET_MARK,
                {
                    "one": 1,
                    "chain": advance.chain,
                    "height": advance.stop.height,
                    "head_hash": advance.head_hash,
                    "leaf": advance.stop.index,
                },
            )

    def networks(self) -> list[PlacedNetwork]:
        """Return the imported networks, in order of name."""
        return [network_of(row) for row in self._rows(_NETWORKS, ())]

    def asset(self, network: str, ref: AssetRef) -> PlacedAsset | None:
        """Return one asset, or None."""
        rows = self._rows(_ASSET, (network, str(ref)))
        return asset_of(rows[0]) if rows else None

    def assets(
        self,
        network: str,
        kinds: Collection[AssetKind] = (),
        *,
        after: AssetRef | None = None,
        limit: int = 500,
    ) -> list[PlacedAsset]:
        """Return a page of assets in order of full name."""
        assert 1 <= limit <= PAGE_LIMIT, limit
        beyond = str(after) if after else ""
        if kinds:
            rows = self._rows(_ASSETS_OF_KINDS, (network, beyond, _texts(kinds), limit))
        else:
            rows = self._rows(_ASSETS, (network, beyond, limit))
        return [asset_of(row) for row in rows]

    def assets_named(self, network: str, refs: Collection[AssetRef]) -> dict[AssetRef, PlacedAsset]:
        """Return those of the named assets that are recorded."""
        assert len(refs) <= PAGE_LIMIT, len(refs)
        rows = self._rows(_ASSETS_NAMED, (network, _texts(refs)))
        return {placed.asset.ref: placed for placed in map(asset_of, rows)}

    def count(self, network: str, kinds: Collection[AssetKind] = ()) -> int:
        """Return how many assets there are."""
        if kinds:
            return int(self._rows(_COUNT_OF_KINDS, (network, _texts(kinds)))[0][0])
        return int(self._rows(_COUNT, (network,))[0][0])

    def links_at(self, network: str, ref: AssetRef) -> list[PlacedAsset]:
        """Return the links that begin or end at a node or user."""
        rows = self._rows(_LINKS_AT, {"network": network, "ref": str(ref)})
        return [asset_of(row) for row in rows]

    def happenings(
        self,
        network: str,
        kinds: Collection[EventKind] = (),
        *,
        after: RecordRef | None = None,
        limit: int = 500,
    ) -> list[Happening]:
        """Return a page of happenings in order of record."""
        assert 1 <= limit <= PAGE_LIMIT, limit
        height, index = (after.height, after.index) if after else (-1, -1)
        if kinds:
            values = (network, height, index, _texts(kinds), limit)
            return [happening_of(row) for row in self._rows(_HAPPENINGS_OF_KINDS, values)]
        return [
            happening_of(row) for row in self._rows(_HAPPENINGS, (network, height, index, limit))
        ]

    def topology_version(self, network: str) -> int:
        """Return the height of the newest block that changed the network's assets, or -1."""
        with self._reading() as db:
            return _read_version(db, network)

    def structure(self, network: str) -> Structure:
        """Return who is joined to whom, read in one transaction."""
        with self._reading() as db:
            db.execute("BEGIN")
            try:
                version = _read_version(db, network)
                nodes = tuple(parse_ref(row["ref"]) for row in db.execute(_NODES, (network,)))
                connections = tuple(map(connection_of, db.execute(_CONNECTIONS, (network,))))
            finally:
                db.execute("ROLLBACK")
        return Structure(network, version, nodes, connections)

    def holdings(self) -> Holdings:
        """Return what the file holds."""
        with self._reading() as db:
            counts = tuple(db.execute(_HOLDINGS).fetchone())
            names = ("networks", "assets", "connections", "happenings")
            return Holdings(
                _read_mark(db), dict(zip(names, counts, strict=True)), _foreign_tables(db)
            )

    def drop(self, chain: str) -> None:
        """Drop the graph of that ledger, in one transaction."""
        with self._writing() as db:
            self._refuse_foreign_tables(db)
            mark = _read_mark(db)
            if mark is not None and mark.chain != chain:
                raise ForeignGraphError(
                    self.place, f"the graph of another ledger ({mark.chain[:16]}…)"
                )
            for table in _TABLES:
                db.execute(f"DELETE FROM {table}")  # noqa: S608 - constants of this module

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _refuse_foreign_tables(self, db: sqlite3.Connection) -> None:
        foreign = _foreign_tables(db)
        if foreign:
            raise ForeignGraphError(self.place, in_words(foreign))

    def _rows(self, statement: str, values: Sequence[Any] | Mapping[str, Any]) -> list[sqlite3.Row]:
        with self._reading() as db:
            return db.execute(statement, values).fetchall()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with _translated(self._path), self._lock:
            yield self._connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with _translated(self._path), self._lock, _transaction(self._connection) as db:
            yield db


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    # IMMEDIATE takes the write lock at once: what is read inside is what is written upon.
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise GraphUnavailableError(str(path), str(error)) from error
    except sqlite3.Error as error:
        reason = f"{error}; it can be made again: delete it and run: twin graph rebuild"
        raise GraphUnavailableError(str(path), reason) from error
    except OSError as error:
        raise GraphUnavailableError(str(path), error.strerror or str(error)) from error


def _refuse_foreign_file(path: Path, db: sqlite3.Connection) -> None:
    """Look before anything is written, even the write-ahead mode."""
    application_id = db.execute("PRAGMA application_id").fetchone()[0]
    if application_id == APPLICATION_ID:
        return
    names = [row[0] for row in db.execute("SELECT name FROM sqlite_master LIMIT 3")]
    if names or application_id:
        what = f"tables ({', '.join(names)})" if names else f"application {application_id:#x}"
        raise ForeignGraphError(str(path), what)


def _prepare(path: Path, db: sqlite3.Connection) -> None:
    """Set the modes of the file, and apply the changes of schema that it lacks."""
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    with _transaction(db):  # the write lock is the lock of the migration
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(_HISTORY)
        applied = {row[0]: row[1] for row in db.execute("SELECT version, checksum FROM migration")}
        for migration in pending(str(path), migrations("sql"), applied):
            for statement in migration.statements:
                db.execute(statement)
            db.execute(
                "INSERT INTO migration (version, name, checksum) VALUES (?, ?, ?)",
                (migration.version, migration.name, migration.checksum),
            )


def _read_mark(db: sqlite3.Connection) -> Mark | None:
    row = db.execute(_MARK).fetchone()
    return Mark(row["chain"], row["height"], row["head_hash"], row["leaf"]) if row else None


def _read_version(db: sqlite3.Connection, network: str) -> int:
    row = db.execute(_VERSION, (network,)).fetchone()
    return int(row["version"]) if row else -1


def _foreign_tables(db: sqlite3.Connection) -> dict[str, int]:
    ours = {*_TABLES, *_SQLITE_OWN, "migration"}
    rows = db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    names = [row["name"] for row in rows if row["name"] not in ours]
    quoted = {name: '"' + name.replace('"', '""') + '"' for name in names}
    count = "SELECT count(*) FROM "
    return {
        f"rows of table {name}": int(db.execute(count + quoted[name]).fetchone()[0])
        for name in names
    }


def _texts(values: Collection[object]) -> str:
    return json.dumps([str(value) for value in values])
