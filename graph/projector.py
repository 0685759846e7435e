"""Tells the graph what the ledger records.

The graph moves from one record to a later one in a single transaction, and only if it is where
the projector last saw it. So a crash loses nothing, telling twice changes nothing, and several
processes may do it at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from graph.store import (
    Advance,
    AssetKey,
    ForeignGraphError,
    GraphAheadError,
    GraphMovedError,
    GraphStore,
    Happening,
    Holdings,
    Mark,
    PlacedAsset,
    PlacedNetwork,
    in_words,
)
from twin.events import EventKind, Recorded, RecordRef
from twin.ids import AssetNameError, AssetRef, parse_ref
from twin.networks.model import asset_from_event, network_from_event
from twin.ports import Record

Progress = Callable[[int, int], None]
"""Takes how much is done, and of how much."""

ADVANCE_EVENTS: Final = 5_000
"""Most events to a transaction: 40,000 at once are more than a server with 512 MB takes."""

HAPPENINGS: Final = frozenset(
    {
        EventKind.STANDARD_ADOPTED,
        EventKind.LEAK_DETECTED,
        EventKind.LEAK_WATCH,
        EventKind.LEAK_RUN,
        EventKind.LEAK_CONFIRMED,
        EventKind.LEAK_REPAIRED,
        EventKind.TRACE,
    }
)
"""Events kept as nodes. Evaluations and source gaps are too many: the ledger has them."""

_ASSETS: Final = frozenset({EventKind.ASSET_RECORDED, EventKind.ASSET_RETIRED})
_KINDS: Final = _ASSETS | HAPPENINGS | {EventKind.NETWORK_IMPORTED}
_NAMING: Final = ("asset", "start", "pipe_id")


def _silent(done: int, total: int) -> None:
    """Tell nobody."""


def catch_up(store: GraphStore, record: Record, progress: Progress = _silent) -> int:
    """Bring the graph to the ledger's height, and return that height.

    Args:
        store: The graph.
        record: The ledger.
        progress: Called with the graph's height and the ledger's after each transaction.

    Raises:
        ForeignGraphError: The database holds something else than this ledger's graph.
        GraphAheadError: The ledger does not hold the last block that the graph was told of.
        GraphUnavailableError: The database cannot be reached.
    """
    target = record.height
    while (mark := _checked_mark(store, record, target)) is None or mark.height < target:
        if target == 0:
            break
        try:
            _advance_all(store, record, mark, target, progress)
        except GraphMovedError:
            continue  # another process told it meanwhile; look again at where it is
    return target


def plan_rebuild(store: GraphStore, record: Record) -> Holdings:
    """Return what a rebuild would drop.

    Raises:
        ForeignGraphError: The database holds something else, so that a rebuild is refused.
        GraphUnavailableError: The database cannot be reached.
    """
    holdings = store.holdings()
    mark = holdings.mark
    if mark is not None and mark.chain != chain_of(record):
        raise ForeignGraphError(store.place, f"the graph of another ledger ({mark.chain[:16]}…)")
    if holdings.foreign:
        raise ForeignGraphError(store.place, in_words(holdings.foreign))
    return holdings


def rebuild(store: GraphStore, record: Record, progress: Progress = _silent) -> int:
    """Drop this ledger's graph, build it anew, and return its height.

    Raises:
        ForeignGraphError: The database holds something else; nothing is dropped.
        GraphUnavailableError: The database cannot be reached.
    """
    chain = chain_of(record)
    if chain:
        store.drop(chain)
    return catch_up(store, record, progress)


def chain_of(record: Record) -> str:
    """Return the hash of the ledger's first block, in hex; empty before there is one."""
    first = next(iter(record.blocks()), None) if record.height else None
    return first.hash_hex if first else ""


def advances(
    record: Record, chain: str, start: RecordRef, height: int, n_events: int = ADVANCE_EVENTS
) -> Iterator[Advance]:
    """Yield what is recorded from a place up to a height, in transactions of a bounded size.

    Args:
        record: The ledger.
        chain: Hash of its first block.
        start: First record to tell of.
        height: Height afterwards, above that of `start`.
        n_events: At most so many events to a transaction.
    """
    hashes = _hashes(record, start.height, height)
    folded = _Folded()
    for found in record.events(_KINDS, from_height=start.height):
        if found.ref.height >= height:
            break
        if found.ref < start:
            continue
        if folded.n_events == n_events:
            # Up to the event that comes now: all before it is told.
            newest = found.ref.height if found.ref.index else found.ref.height - 1
            yield folded.advance(chain, start, found.ref, hashes[newest])
            start, folded = found.ref, _Folded()
        folded.take(found)
    yield folded.advance(chain, start, RecordRef(height, 0), hashes[height - 1])


@dataclass(slots=True)
class _Folded:
    """The last state of each thing that some events speak of."""

    n_events: int = 0
    networks: dict[str, PlacedNetwork] = field(default_factory=dict)
    assets: dict[AssetKey, PlacedAsset | None] = field(default_factory=dict)
    happenings: list[Happening] = field(default_factory=list)
    changed_at: dict[str, int] = field(default_factory=dict)

    def take(self, found: Recorded) -> None:
        self.n_events += 1
        event = found.event
        if event.kind is EventKind.NETWORK_IMPORTED:
            network = network_from_event(event)
            self.networks[network.name] = PlacedNetwork(network, found.ref)
        elif event.kind in _ASSETS:
            self._take_asset(found)
        else:
            self.happenings.append(_happening(found))

    def _take_asset(self, found: Recorded) -> None:
        event = found.event
        key = (event.network, parse_ref(event.subject))
        self.changed_at[event.network] = found.ref.height
        if event.kind is EventKind.ASSET_RETIRED:
            self.assets[key] = None
        else:
            self.assets[key] = PlacedAsset(event.network, asset_from_event(event), found.ref)

    def advance(self, chain: str, start: RecordRef, stop: RecordRef, head_hash: str) -> Advance:
        return Advance(
            chain,
            start,
            stop,
            head_hash,
            networks=tuple(self.networks.values()),
            assets=tuple(placed for placed in self.assets.values() if placed is not None),
            retired=tuple(key for key, placed in self.assets.items() if placed is None),
            happenings=tuple(self.happenings),
            changed_at=self.changed_at,
        )


def _advance_all(
    store: GraphStore, record: Record, mark: Mark | None, target: int, progress: Progress
) -> None:
    chain = mark.chain if mark else chain_of(record)
    start = mark.told if mark else RecordRef(0, 0)
    for advance in advances(record, chain, start, target):
        store.apply(advance)
        progress(advance.stop.height, target)


def _checked_mark(store: GraphStore, record: Record, target: int) -> Mark | None:
    """Return the store's mark when it is of this ledger, after ending a drop that had begun."""
    mark = store.mark()
    if mark is None:
        return None
    if mark.chain != chain_of(record):
        raise ForeignGraphError(store.place, f"the graph of another ledger ({mark.chain[:16]}…)")
    if mark.is_dropping:
        store.drop(mark.chain)
        return None
    if mark.head_hash and not _holds(record, mark, target):
        raise GraphAheadError(store.place, mark.height, target)
    return mark


def _holds(record: Record, mark: Mark, target: int) -> bool:
    newest = mark.height if mark.leaf else mark.height - 1
    # The graph may have been told meanwhile of blocks sealed since `target` was read.
    if newest >= target and newest >= record.height:
        return False
    block = next(iter(record.blocks(newest)), None)
    return block is not None and block.hash_hex == mark.head_hash


def _hashes(record: Record, from_height: int, to_height: int) -> dict[int, str]:
    hashes: dict[int, str] = {}
    for block in record.blocks(from_height):
        if block.height >= to_height:
            break
        hashes[block.height] = block.hash_hex
    return hashes


def _happening(found: Recorded) -> Happening:
    event = found.event
    names = [event.subject, *(event.body.get(name) for name in _NAMING)]
    refs = [_ref(name) for name in names if isinstance(name, str)]
    concerns = tuple(dict.fromkeys(ref for ref in refs if ref is not None))
    return Happening(event.network, event.kind, event.subject, event.at_ns, found.ref, concerns)


def _ref(text: str) -> AssetRef | None:
    try:
        return parse_ref(text)
    except AssetNameError:
        return None
