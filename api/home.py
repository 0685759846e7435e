"""A home: the folder that holds one organisation's ledger, keys and graph, and what opens them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from api.settings import Settings
from twin.errors import NotFoundError
from twin.instants import Clock

if TYPE_CHECKING:
    from graph.store import GraphStore
    from ledger.journal import Ledger
    from twin.assets import Network


def system_clock() -> int:
    """Return now [ns since the Unix epoch]."""
    return time.time_ns()


class Home:
    """Opens what a home holds. Nothing is made on disk before something is written."""

    def __init__(
        self, path: Path, clock: Clock = system_clock, settings: Settings | None = None
    ) -> None:
        self.path = path
        self.clock = clock
        self.settings = settings or Settings(home=path)

    @property
    def ledger_folder(self) -> Path:
        """Where the blocks are."""
        return self.path / "ledger"

    @property
    def keys_folder(self) -> Path:
        """Where the keys are."""
        return self.path / "keys"

    @property
    def scratch_folder(self) -> Path:
        """Where files that can be made again are put, such as models for EPANET."""
        folder = self.path / "scratch"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def reader(self) -> Ledger:
        """Return the ledger for reading: no lock, no key.

        Raises:
            NotFoundError: Nothing was ever recorded here.
        """
        from ledger.journal import Ledger  # noqa: PLC0415 - `twin --help` loads no ledger

        if not self.ledger_folder.is_dir():
            raise NotFoundError("ledger in", str(self.path), "begin with: twin import FILE.inp")
        return Ledger.open_reader(self.ledger_folder)

    @contextmanager
    def writer(self) -> Iterator[Ledger]:
        """Open the ledger for writing, alone; it and the key are made when missing."""
        from ledger.journal import Ledger  # noqa: PLC0415 - `twin --help` loads no ledger

        self.path.mkdir(parents=True, exist_ok=True)
        with Ledger.open_writer(
            self.ledger_folder, self.keys_folder, self.clock, wait_s=self.settings.lock_wait_s
        ) as ledger:
            yield ledger

    def graph_store(self) -> GraphStore:
        """Open the graph as it is, which may lag behind the ledger."""
        if self.settings.neo4j_uri:
            from graph.neo4j_store import Neo4jStore  # noqa: PLC0415 - an extra

            return Neo4jStore.open(
                self.settings.neo4j_uri,
                self.settings.neo4j_user,
                self.settings.neo4j_password,
                self.settings.neo4j_database,
            )
        from graph.sqlite_store import SqliteStore  # noqa: PLC0415 - not with Neo4j

        return SqliteStore.open(self.path / "graph.sqlite")

    def graph(self) -> GraphStore:
        """Open the graph and bring it up to the ledger's height."""
        from graph.projector import catch_up  # noqa: PLC0415 - loads the graph

        record = self.reader()  # first: without a ledger, no graph is made
        store = self.graph_store()
        try:
            catch_up(store, record)
        except BaseException:
            store.close()
            raise
        return store

    def networks(self) -> dict[str, Network]:
        """Return the imported networks by name."""
        from twin.networks import load_networks  # noqa: PLC0415 - loads pandas

        return load_networks(self.reader())
