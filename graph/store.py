"""The port of the graph: what a store keeps, and what may be asked of it.

The graph is a projection of the ledger. A store holds the graph of one ledger, which it knows by
the hash of that ledger's first block, and the record up to which it has been told of it. Both
change in one transaction with what they speak of, so a crash leaves nothing told by halves.

`tests/contracts/test_graph_store.py` is the suite that every implementation is held to.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, Protocol, Self

from twin.assets import Asset, AssetKind, Network
from twin.errors import RefusedError
from twin.events import EventKind, RecordRef
from twin.ids import AssetRef, Space

PAGE_LIMIT: Final = 10_000
"""Most rows that one call may ask for."""

AssetKey = tuple[str, AssetRef]
"""Name of the network, and of the asset within it."""

SERVED_BY = "served_by"
"""The property by which a user names the junction that serves it, such as `node:10`."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Which ledger a graph is of, and how far it has come.

    Attributes:
        chain: Hash of the ledger's first block, in hex.
        height: Number of blocks that the graph has been told of whole.
        head_hash: Hash of the newest block that it has been told anything of, in hex; empty before.
        leaf: How many leaves of the block at `height` it has been told of: a block may hold more
            than a database takes in one transaction.
        is_dropping: Whether a rebuild began to drop this graph and has not ended.
    """

    chain: str
    height: int
    head_hash: str
    leaf: int = 0
    is_dropping: bool = False

    @property
    def told(self) -> RecordRef:
        """Return the place of the first record that the graph has not been told of."""
        return RecordRef(self.height, self.leaf)


@dataclass(frozen=True, slots=True)
class PlacedNetwork:
    """A network with its evidence."""

    network: Network
    evidence: RecordRef


@dataclass(frozen=True, slots=True)
class PlacedAsset:
    """The current state of an asset, with the record that made it so."""

    network: str
    asset: Asset
    evidence: RecordRef

    @property
    def key(self) -> AssetKey:
        """Return what the asset is called among all networks."""
        return self.network, self.asset.ref


@dataclass(frozen=True, slots=True)
class Happening:
    """An event that the graph keeps as a node: a leak run, a trace, a standard taking effect.

    Attributes:
        network: Name of the network.
        kind: What happened.
        subject: What it is about, as in the event.
        at_ns: When [ns since the Unix epoch].
        evidence: Its place in the ledger.
        concerns: The assets that it names, joined to it where they are recorded.
    """

    network: str
    kind: EventKind
    subject: str
    at_ns: int
    evidence: RecordRef
    concerns: tuple[AssetRef, ...] = ()


@dataclass(frozen=True, slots=True)
class Advance:
    """What some records change, to be applied in one transaction.

    Attributes:
        chain: The ledger that the blocks are of.
        start: The first record not told of, where the store must be.
        stop: The first record not told of afterwards.
        head_hash: Hash of the newest block before `stop`, in hex.
        networks: Networks imported, the last state of each.
        assets: Assets recorded, the last state of each.
        retired: Assets that are no more, none of them in `assets`.
        happenings: Other events that the graph keeps.
        changed_at: For each network whose assets changed: height of the newest block that did.
    """

    chain: str
    start: RecordRef
    stop: RecordRef
    head_hash: str
    networks: Sequence[PlacedNetwork] = ()
    assets: Sequence[PlacedAsset] = ()
    retired: Sequence[AssetKey] = ()
    happenings: Sequence[Happening] = ()
    changed_at: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Connection:
    """How water may pass between two nodes: one for each link, and one for each served user.

    Attributes:
        link: The link; None where a junction serves a user, which no file draws.
        start: First end.
        end: Second end.
        is_open: Whether water can pass as built.
        is_oneway: Whether it can pass only from start to end.
        from_model: Whether a hydraulic run gives its flow.
    """

    link: AssetRef | None
    start: AssetRef
    end: AssetRef
    is_open: bool
    is_oneway: bool
    from_model: bool


@dataclass(frozen=True, slots=True)
class Structure:
    """Who is joined to whom in one network, read in one transaction.

    Attributes:
        network: Name of the network.
        version: Height of the newest block that changed its assets; -1 where none has.
        nodes: Nodes and users, in order of their full names.
        connections: In order of the link's full name, then those of users in order of user.
    """

    network: str
    version: int
    nodes: tuple[AssetRef, ...]
    connections: tuple[Connection, ...]


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a database holds.

    Attributes:
        mark: Whose graph it is; None for an empty database.
        ours: How many of each thing belong to that graph, which a rebuild would drop.
        foreign: How many of each thing belong to something else, for which a rebuild is refused.
    """

    mark: Mark | None
    ours: Mapping[str, int]
    foreign: Mapping[str, int]


class GraphStore(Protocol):
    """Holds the graph of one ledger. Safe to use from several threads and processes."""

    @property
    def place(self) -> str:
        """Where the graph is: a file, or an address without its password."""

    def mark(self) -> Mark | None:
        """Return whose graph it is and how far it has come; None before the first block."""

    def height(self) -> int:
        """Return the number of blocks that the graph has been told of."""

    def apply(self, advance: Advance) -> None:
        """Apply some records in one transaction, and take an empty database into possession.

        Raises:
            ForeignGraphError: The database holds anything but the graph of that ledger.
            GraphMovedError: The graph is at another place; look again and apply what follows.
        """

    def networks(self) -> list[PlacedNetwork]:
        """Return the imported networks, in order of name."""

    def asset(self, network: str, ref: AssetRef) -> PlacedAsset | None:
        """Return one asset, or None."""

    def assets(
        self,
        network: str,
        kinds: Collection[AssetKind] = (),
        *,
        after: AssetRef | None = None,
        limit: int = 500,
    ) -> list[PlacedAsset]:
        """Return a page of assets in order of full name (code points).

        Args:
            network: Name of the network.
            kinds: Which kinds; none means all.
            after: Only names beyond this one: the last name of the page before.
            limit: At most so many, 1..10,000.
        """

    def assets_named(self, network: str, refs: Collection[AssetRef]) -> dict[AssetRef, PlacedAsset]:
        """Return those of at most 10,000 named assets that are recorded, in one call."""

    def count(self, network: str, kinds: Collection[AssetKind] = ()) -> int:
        """Return how many assets there are; no kinds means all."""

    def links_at(self, network: str, ref: AssetRef) -> list[PlacedAsset]:
        """Return the links that begin or end at a node or user, in order of full name."""

    def happenings(
        self,
        network: str,
        kinds: Collection[EventKind] = (),
        *,
        after: RecordRef | None = None,
        limit: int = 500,
    ) -> list[Happening]:
        """Return a page of happenings in order of record; `after` as for assets."""

    def topology_version(self, network: str) -> int:
        """Return the height of the newest block that changed the network's assets, or -1."""

    def structure(self, network: str) -> Structure:
        """Return who is joined to whom; a link with a missing end joins nothing."""

    def holdings(self) -> Holdings:
        """Return what the database holds: what a rebuild would drop, and what forbids it."""

    def drop(self, chain: str) -> None:
        """Drop the graph of that ledger, leaving the database empty.

        A crash on the way leaves a mark with `is_dropping`, and dropping again ends it.

        Raises:
            ForeignGraphError: The database holds anything else; nothing is dropped.
        """

    def close(self) -> None:
        """Let go of files and connections."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


class GraphError(RefusedError):
    """The graph cannot do what was asked."""

    code: ClassVar[str] = "GRAPH_REFUSED"


class GraphUnavailableError(GraphError):
    """The graph's database cannot be reached or read.

    Attributes:
        place: File or address.
        reason: What was said, in one line.
    """

    code: ClassVar[str] = "GRAPH_UNAVAILABLE"

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(place, reason)
        self.place = place
        self.reason = reason

    def __str__(self) -> str:
        return f"the graph at {self.place} cannot be used: {self.reason}"


class ForeignGraphError(GraphError):
    """The database holds something that is not this ledger's graph.

    Attributes:
        place: File or address.
        found: What else it holds.
    """

    code: ClassVar[str] = "GRAPH_FOREIGN"

    def __init__(self, place: str, found: str) -> None:
        super().__init__(place, found)
        self.place = place
        self.found = found

    def __str__(self) -> str:
        return (
            f"the database at {self.place} holds {self.found}, which is not this ledger's graph; "
            "nothing was changed: give this home a database of its own"
        )


class GraphMovedError(GraphError):
    """Another process has advanced the graph meanwhile."""

    code: ClassVar[str] = "GRAPH_MOVED"

    def __init__(self, expected: RecordRef, actual: RecordRef) -> None:
        super().__init__(expected, actual)
        self.expected = expected
        self.actual = actual

    def __str__(self) -> str:
        return f"the graph is at record {self.actual}, not {self.expected}"


class GraphAheadError(GraphError):
    """The graph remembers blocks that the ledger does not hold.

    Attributes:
        place: File or address of the graph.
        graph_height: Height of the graph.
        ledger_height: Height of the ledger.
    """

    code: ClassVar[str] = "GRAPH_AHEAD"

    def __init__(self, place: str, graph_height: int, ledger_height: int) -> None:
        super().__init__(place, graph_height, ledger_height)
        self.place = place
        self.graph_height = graph_height
        self.ledger_height = ledger_height

    def __str__(self) -> str:
        return (
            f"the graph at {self.place} was built from {self.graph_height} blocks, of which the "
            f"ledger ({self.ledger_height} blocks) does not hold the last; if the ledger is as it "
            "should be, run: twin graph rebuild"
        )


def served_by(asset: Asset) -> AssetRef | None:
    """Return the junction that a user names as serving it."""
    text = asset.properties.get(SERVED_BY)
    if asset.ref.space is not Space.USER or not isinstance(text, str):
        return None
    space, _, node_id = text.partition(":")
    return AssetRef(Space.NODE, node_id) if space == Space.NODE and node_id else None


def check_owner(place: str, mark: Mark | None, advance: Advance) -> None:
    """Refuse to advance the graph of another ledger, or from another place.

    Raises:
        ForeignGraphError: The graph is another ledger's.
        GraphMovedError: It is at another place, or is being dropped.
    """
    if mark is not None and mark.chain != advance.chain:
        raise ForeignGraphError(place, f"the graph of another ledger ({mark.chain[:16]}…)")
    told = mark.told if mark else RecordRef(0, 0)
    if told != advance.start or (mark is not None and mark.is_dropping):
        raise GraphMovedError(advance.start, told)


def in_words(counts: Mapping[str, int]) -> str:
    """Return how many of each thing there are, such as `3 assets, 1 networks`."""
    return ", ".join(f"{n} {name}" for name, n in sorted(counts.items()))
