"""The graph in Neo4j 5.26 Community: the one door to the official driver."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlsplit

import neo4j
from neo4j.exceptions import AuthError, ConfigurationError, DriverError, Neo4jError

from graph import cypher
from graph.migrations import migrations, pending
from graph.rows import (
    ASSET_COLUMNS,
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
    Connection,
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
from twin.ids import AssetRef, Space, parse_ref

CONNECT_DEADLINE_S: Final = 10.0
READ_DEADLINE_S: Final = 20.0
WRITE_DEADLINE_S: Final = 120.0
BATCH_ROWS: Final = 2_000
DROP_ROWS: Final = 5_000
MINIMUM_SERVER: Final = (5, 26)
N_LOOKS: Final = 5

_SCHEMES = frozenset({"bolt", "bolt+s", "bolt+ssc", "neo4j", "neo4j+s", "neo4j+ssc"})
_EXAMPLE = "write TWIN_NEO4J_URI like bolt://127.0.0.1:7687"
_RESERVED = frozenset({*ASSET_COLUMNS, "chain"})
_PROPERTY_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_T = TypeVar("_T")
_Row = dict[str, Any]
_Work = Callable[[neo4j.ManagedTransaction], _T]


class Neo4jStore:
    """Holds the graph in one Neo4j database. Implements `graph.store.GraphStore`.

    Every call is a managed transaction with a deadline; one bookmark manager makes each call see
    what the ones before it wrote.
    """

    def __init__(self, driver: neo4j.Driver, database: str, place: str) -> None:
        self._driver = driver
        self._database = database
        self._place = place
        self._bookmarks = neo4j.GraphDatabase.bookmark_manager()

    @classmethod
    def open(cls, uri: str, user: str, password: str, database: str) -> Self:
        """Connect, and bring the schema up to date unless the database holds something else.

        Args:
            uri: `bolt://…`, `neo4j://…`, or the same with `+s` for TLS.
            user: Name to log in with; empty for a server without authentication.
            password: Its password.
            database: Name of the database.

        Raises:
            GraphUnavailableError: The server cannot be reached, refuses the login, or is too old.
            ForeignGraphError: The database holds something else.
            MigrationError: A newer release made its schema.
        """
        place = _place(uri, database)
        with _translated(place):
            driver = neo4j.GraphDatabase.driver(
                uri,
                auth=(user, password) if user else None,
                connection_timeout=CONNECT_DEADLINE_S,
                connection_acquisition_timeout=CONNECT_DEADLINE_S,
                max_transaction_retry_time=READ_DEADLINE_S,
                notifications_min_severity="OFF",
            )
        store = cls(driver, database, place)
        try:
            store._refuse_old_server()
            store._migrate()
        except BaseException:
            store.close()
            raise
        return store

    @property
    def place(self) -> str:
        """The address and the database."""
        return self._place

    def mark(self) -> Mark | None:
        """Return whose graph it is and how far it has come."""
        return self._read(_read_mark)

    def height(self) -> int:
        """Return the number of blocks that the graph has been told of."""
        mark = self.mark()
        return mark.height if mark else 0

    def apply(self, advance: Advance) -> None:
        """Apply some records in one transaction."""

        def work(tx: neo4j.ManagedTransaction) -> None:
            claimed = tx.run(cypher.CLAIM_MARK, chain=advance.chain).consume()
            if claimed.counters.nodes_created:
                self._refuse_foreign(tx, "")
            check_owner(self._place, _read_mark(tx), advance)
            _put(tx, advance)
            stop = advance.stop
            _set_mark(tx, Mark(advance.chain, stop.height, advance.head_hash, stop.index))

        self._write(work)

    def networks(self) -> list[PlacedNetwork]:
        """Return the imported networks, in order of name."""
        return [network_of(row) for row in self._rows(cypher.NETWORKS)]

    def asset(self, network: str, ref: AssetRef) -> PlacedAsset | None:
        """Return one asset, or None."""
        rows = self._rows(cypher.ASSET, network=network, ref=str(ref))
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
        rows = self._rows(
            cypher.ASSETS_OF_KINDS if kinds else cypher.ASSETS,
            network=network,
            after=beyond,
            kinds=_texts(kinds),
            limit=limit,
        )
        return [asset_of(row) for row in rows]

    def assets_named(self, network: str, refs: Collection[AssetRef]) -> dict[AssetRef, PlacedAsset]:
        """Return those of the named assets that are recorded."""
        assert len(refs) <= PAGE_LIMIT, len(refs)
        rows = self._rows(cypher.ASSETS_NAMED, network=network, refs=_texts(set(refs)))
        return {placed.asset.ref: placed for placed in map(asset_of, rows)}

    def count(self, network: str, kinds: Collection[AssetKind] = ()) -> int:
        """Return how many assets there are."""
        statement = cypher.COUNT_OF_KINDS if kinds else cypher.COUNT
        return self._read(
            lambda tx: _number(tx, statement, network=network, kinds=_texts(kinds), default=0)
        )

    def links_at(self, network: str, ref: AssetRef) -> list[PlacedAsset]:
        """Return the links that begin or end at a node or user."""
        rows = self._rows(cypher.LINKS_AT, network=network, ref=str(ref))
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
        rows = self._rows(
            cypher.HAPPENINGS,
            network=network,
            kinds=_texts(kinds),
            height=after.height if after else -1,
            index=after.index if after else -1,
            limit=limit,
        )
        return [happening_of(row) for row in rows]

    def topology_version(self, network: str) -> int:
        """Return the height of the newest block that changed the network's assets, or -1."""
        return self._read(lambda tx: _version(tx, network))

    def structure(self, network: str) -> Structure:
        """Return who is joined to whom.

        Neo4j reads what is committed statement by statement, so the answer counts only when the
        mark stayed where it was.
        """

        def work(tx: neo4j.ManagedTransaction) -> Structure | None:
            before = _read_mark(tx)
            version = _version(tx, network)
            nodes = sorted(tx.run(cypher.NODES, network=network).single(strict=True)["refs"])
            connections = _connections(tx, network)
            if _read_mark(tx) != before:
                return None
            return Structure(network, version, tuple(map(parse_ref, nodes)), connections)

        for _ in range(N_LOOKS):
            structure = self._read(work)
            if structure is not None:
                return structure
        raise GraphUnavailableError(self._place, "it is being written without pause; try again")

    def holdings(self) -> Holdings:
        """Return what the database holds."""

        def work(tx: neo4j.ManagedTransaction) -> Holdings:
            mark = _read_mark(tx)
            foreign = _foreign(tx, mark.chain if mark else "")
            counts = tx.run(cypher.HOLDINGS).single(strict=True).data()
            return Holdings(mark, counts, foreign)

        return self._read(work)

    def drop(self, chain: str) -> None:
        """Drop the graph of that ledger, some thousand nodes in a transaction."""
        self._write(lambda tx: self._begin_drop(tx, chain))
        while self._write(lambda tx: self._drop_some(tx, chain)):
            pass

    def close(self) -> None:
        """Close the connections."""
        with suppress(DriverError, Neo4jError, OSError):
            self._driver.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _begin_drop(self, tx: neo4j.ManagedTransaction, chain: str) -> None:
        tx.run(cypher.LOCK_MARK).consume()
        mark = _read_mark(tx)
        if mark is not None and mark.chain != chain:
            raise ForeignGraphError(
                self._place, f"the graph of another ledger ({mark.chain[:16]}…)"
            )
        self._refuse_foreign(tx, chain)
        if mark is not None:
            _set_mark(tx, Mark(chain, 0, "", is_dropping=True))

    def _drop_some(self, tx: neo4j.ManagedTransaction, chain: str) -> bool:
        """Delete some of what is left; return whether there may be more."""
        tx.run(cypher.LOCK_MARK).consume()
        mark = _read_mark(tx)
        if mark is None or mark.chain != chain or not mark.is_dropping:
            return False  # another process has ended this drop, and what is here now is new
        if _number(tx, cypher.DROP_SOME, chain=chain, limit=DROP_ROWS, default=0):
            return True
        tx.run(cypher.DELETE_MARK).consume()
        return False

    def _refuse_foreign(self, tx: neo4j.ManagedTransaction, chain: str) -> None:
        foreign = _foreign(tx, chain)
        if foreign:
            raise ForeignGraphError(self._place, in_words(foreign))

    def _refuse_old_server(self) -> None:
        # First without retries: who types a command wants to know at once that nobody is there.
        self._within(CONNECT_DEADLINE_S * 2, self._driver.verify_connectivity)
        found = self._read(lambda tx: str(tx.run(cypher.PING).consume().server.agent))
        version = tuple(int(part) for part in re.findall(r"\d+", found.partition("/")[2])[:2])
        if version < MINIMUM_SERVER:
            raise GraphUnavailableError(self._place, f"it is {found}; 5.26 or later is needed")

    def _migrate(self) -> None:
        """Apply the changes of schema that the database lacks.

        Neo4j takes no schema change in a transaction that writes data, so one transaction holds a
        lock while others do the work. Each change can be done twice.
        """
        known = migrations("cypher")
        applied = self._read(_applied)
        if not pending(self._place, known, applied):
            return
        mark = self.mark()
        self._read(lambda tx: self._refuse_foreign(tx, mark.chain if mark else ""))
        self._change_schema(cypher.MIGRATION_CONSTRAINT)

        def locked(tx: neo4j.ManagedTransaction) -> None:
            tx.run(cypher.LOCK_MIGRATIONS).consume()
            for migration in pending(self._place, known, _applied(tx)):
                for statement in migration.statements:
                    self._change_schema(statement)
                tx.run(
                    cypher.PUT_MIGRATION,
                    version=migration.version,
                    name=migration.name,
                    checksum=migration.checksum,
                ).consume()

        self._write(locked)

    def _change_schema(self, statement: str) -> None:
        self._write(lambda tx: tx.run(statement).consume())

    def _rows(self, statement: str, **parameters: object) -> list[Any]:
        return self._read(lambda tx: [found["row"] for found in tx.run(statement, parameters)])

    def _read(self, work: _Work[_T]) -> _T:
        timed = neo4j.unit_of_work(timeout=READ_DEADLINE_S)(work)
        return self._within(READ_DEADLINE_S, lambda: self._in_session(False, timed))

    def _write(self, work: _Work[_T]) -> _T:
        timed = neo4j.unit_of_work(timeout=WRITE_DEADLINE_S)(work)
        return self._within(WRITE_DEADLINE_S, lambda: self._in_session(True, timed))

    def _in_session(self, is_write: bool, work: _Work[_T]) -> _T:  # noqa: FBT001
        with self._driver.session(
            database=self._database, bookmark_manager=self._bookmarks
        ) as session:
            return session.execute_write(work) if is_write else session.execute_read(work)

    def _within(self, deadline_s: float, call: Callable[[], _T]) -> _T:
        """Return what a call answers, or fail at the deadline.

        The driver bounds connecting, and the server its transactions, but nothing bounds waiting
        for a server that is stopped or cut off. So the call has a thread of its own.
        """
        with _translated(self._place):
            return within(deadline_s, call)


def within(deadline_s: float, call: Callable[[], _T]) -> _T:
    """Return what `call` returns, raise what it raises, or `TimeoutError` at the deadline."""
    answers: list[_T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(call())
        except BaseException as error:  # noqa: BLE001 - raised again by the one who waits
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True, name="neo4j-call")
    thread.start()
    thread.join(deadline_s)
    if errors:
        raise errors[0]
    if not answers:
        raise TimeoutError(f"no answer within {deadline_s:g} s")
    return answers[0]


@contextmanager
def _translated(place: str) -> Iterator[None]:
    try:
        yield
    except AuthError as error:
        reason = "it refuses the login; set TWIN_NEO4J_USER and TWIN_NEO4J_PASSWORD"
        raise GraphUnavailableError(place, reason) from error
    except (ConfigurationError, ValueError) as error:
        raise GraphUnavailableError(place, f"{error}; {_EXAMPLE}") from error
    except Neo4jError as error:
        raise GraphUnavailableError(place, f"{error.code}: {error.message}") from error
    except (DriverError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise GraphUnavailableError(place, f"{reason}; is the server running?") from error


def _place(uri: str, database: str) -> str:
    """Return the address without what may be secret in it."""
    try:
        parts = urlsplit(uri)
        port = f":{parts.port}" if parts.port else ""
    except ValueError as error:
        raise GraphUnavailableError(repr(uri), f"{error}; {_EXAMPLE}") from error
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise GraphUnavailableError(repr(uri), f"it is no address of a graph; {_EXAMPLE}")
    return f"{parts.scheme}://{parts.hostname}{port}/{database}"


def _put(tx: neo4j.ManagedTransaction, advance: Advance) -> None:
    """Write what an advance tells of, and join it."""
    retired = [{"network": network, "ref": str(ref)} for network, ref in advance.retired]
    told = [{"network": placed.network, "ref": str(placed.asset.ref)} for placed in advance.assets]
    chain = advance.chain
    networks = [{**network_row(placed), "chain": chain} for placed in advance.networks]
    versions = [
        {"network": network, "version": height, "chain": chain}
        for network, height in advance.changed_at.items()
    ]
    _send(tx, cypher.DISCONNECT, [*retired, *told])
    _send(tx, cypher.RETIRE_ASSETS, retired)
    _send(tx, cypher.PUT_NETWORKS, networks)
    _send(tx, cypher.PUT_ASSETS, [_asset_parameters(placed, chain) for placed in advance.assets])
    joined = _joining(tx, advance.assets, told)
    _send(tx, cypher.CONNECT_LINKS, joined)
    _send(tx, cypher.CONNECT_USERS, joined)
    _send(tx, cypher.PUT_HAPPENINGS, [_happening_parameters(h, chain) for h in advance.happenings])
    _send(tx, cypher.PUT_VERSIONS, versions)


def _joining(
    tx: neo4j.ManagedTransaction, assets: Sequence[PlacedAsset], told: Sequence[_Row]
) -> list[_Row]:
    """Return the links and users that are to be joined, and now are not.

    They are those told of, and those that name a node told of.
    """
    nodes = [row for row, placed in zip(told, assets, strict=True) if not placed.asset.is_link]
    known = {(row["network"], row["ref"]) for row in told}
    naming: set[tuple[str, str]] = set()
    for rows in _batches(nodes):
        for statement in (cypher.NAMING_AS_START, cypher.NAMING_AS_END):
            naming |= {(row["network"], row["ref"]) for row in tx.run(statement, rows=rows)}
    others = [{"network": network, "ref": ref} for network, ref in sorted(naming - known)]
    _send(tx, cypher.DISCONNECT, others)
    return [row for row in [*told, *others] if not row["ref"].startswith(f"{Space.NODE}:")]


def _send(tx: neo4j.ManagedTransaction, statement: str, rows: Sequence[_Row]) -> None:
    for batch in _batches(rows):
        tx.run(statement, rows=batch).consume()


def _batches(rows: Sequence[_Row]) -> Iterable[list[_Row]]:
    return (list(rows[i : i + BATCH_ROWS]) for i in range(0, len(rows), BATCH_ROWS))


def _asset_parameters(placed: PlacedAsset, chain: str) -> _Row:
    """Return an asset's values, with its other properties beside them for those who ask in Cypher.

    The JSON in `properties` is what is read back: a name there can be any text.
    """
    beside = {
        name: value
        for name, value in placed.asset.properties.items()
        if name not in _RESERVED and _PROPERTY_NAME.fullmatch(name)
    }
    labels = [_label(placed.asset.kind)] + (["Link"] if placed.asset.is_link else [])
    return {"values": {**beside, **asset_row(placed), "chain": chain}, "labels": labels}


def _happening_parameters(happening: Happening, chain: str) -> _Row:
    return {
        "values": {**happening_row(happening), "chain": chain},
        "labels": [_label(happening.kind)],
        "concerns": [str(ref) for ref in happening.concerns],
    }


def _label(kind: str) -> str:
    return "".join(word.capitalize() for word in re.split("[_-]", kind))


def _read_mark(tx: neo4j.ManagedTransaction) -> Mark | None:
    found = tx.run(cypher.READ_MARK).single()
    return Mark(**found["row"]) if found else None


def _set_mark(tx: neo4j.ManagedTransaction, mark: Mark) -> None:
    tx.run(
        cypher.SET_MARK,
        chain=mark.chain,
        height=mark.height,
        head_hash=mark.head_hash,
        leaf=mark.leaf,
        is_dropping=mark.is_dropping,
    ).consume()


def _version(tx: neo4j.ManagedTransaction, network: str) -> int:
    return _number(tx, cypher.VERSION, network=network, default=-1)


def _connections(tx: neo4j.ManagedTransaction, network: str) -> tuple[Connection, ...]:
    # One record of columns: as records of their own they take the driver four times as long.
    columns = tx.run(cypher.CONNECTIONS, network=network).single(strict=True).data()
    rows = [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
    for row in rows:
        is_service = row["via"].startswith(f"{Space.USER}:")
        row["link"] = None if is_service else row["via"]
    rows.sort(key=lambda row: (row["link"] is None, row["via"]))
    return tuple(map(connection_of, rows))


def _number(
    tx: neo4j.ManagedTransaction, statement: str, *, default: int, **parameters: object
) -> int:
    found = tx.run(statement, parameters).single()
    return int(found["n"]) if found else default


def _foreign(tx: neo4j.ManagedTransaction, chain: str) -> dict[str, int]:
    nodes = tx.run(cypher.FOREIGN_NODES, chain=chain)
    foreign = {f"nodes {row['label']}": int(row["n"]) for row in nodes}
    relationships = tx.run(cypher.FOREIGN_RELATIONSHIPS)
    return foreign | {f"relationships {row['label']}": int(row["n"]) for row in relationships}


def _applied(tx: neo4j.ManagedTransaction) -> dict[int, str]:
    return {row["version"]: row["checksum"] for row in tx.run(cypher.APPLIED_MIGRATIONS)}


def _texts(values: Collection[object]) -> list[str]:
    return [str(value) for value in values]
