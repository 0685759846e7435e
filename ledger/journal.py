"""The ledger as the rest of the twin sees it: events and readings in, blocks out.

`Ledger.open_reader` needs no lock and no key, and sees newly sealed blocks by itself;
`Ledger.open_writer` is the one process that appends.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np

from ledger.blocks import MAX_RECORDS, READINGS_PER_BLOCK, Body, Header, pack_body
from ledger.chain import (
    BLOCKS_FOLDER,
    CHECKPOINT_FILE,
    FILES_FOLDER,
    KEY_LINE_FILE,
    ChainReader,
    ChainWriter,
    Tip,
    body_path,
    found_chain,
    read_key_line,
)
from ledger.errors import KeyFileError, LedgerDamagedError, StorageFailedError, WriterStoppedError
from ledger.history import PieceCache, assemble
from ledger.index import BlockRow, Index, SeriesRow, Spot
from ledger.keys import KEY_FILE, Ed25519Signer, has_key, load_signer, make_key
from ledger.lock import exclusive
from ledger.log.merkle import MerkleTree
from ledger.log.note import KeyLine
from ledger.log.tiles import TileReader
from ledger.records import (
    KEY_BYTES,
    MAX_RECORD_BYTES,
    Correction,
    check_batch,
    decode_correction,
    decode_event,
    decode_series,
    encode_correction,
    encode_event,
    encode_readings,
    encode_series,
    series_id,
)
from ledger.storage import MakeStorage, Storage
from twin.errors import NotFoundError
from twin.events import Event, EventKind, Recorded, RecordRef, SealedBlock
from twin.instants import Clock
from twin.readings import Column, ReadingBatch, Series

Entropy = Callable[[int], bytes]
"""Returns as many random bytes as asked for."""

_KEPT_BODIES = 64
_KEPT_TREES = 8  # some 4 MB each
_MAX_BATCH_BYTES: Final = 2 * MAX_RECORD_BYTES
_ORIGIN = "watercourse/"


class Ledger:
    """The record: implements `twin.ports.Record`, and `Journal` when open for writing."""

    def __init__(
        self, storage: Storage, *, signer: Ed25519Signer | None, clock: Clock, entropy: Entropy
    ) -> None:
        self._storage = storage
        self._chain = ChainReader(storage)
        self._writer = ChainWriter(self._chain, signer) if signer else None
        self._index = Index(storage.folder, self._chain)
        self._pieces = PieceCache(self.body)
        self._checked: OrderedDict[int, tuple[list[bytes], MerkleTree]] = OrderedDict()
        self._bodies: OrderedDict[int, Body] = OrderedDict()
        self._guard = threading.RLock()
        self._closing = ExitStack()
        self._clock = clock
        self._entropy = entropy
        self._waiting: list[ReadingBatch] = []
        self._n_waiting = 0

    @classmethod
    def open_reader(cls, folder: Path) -> Self:
        """Open a ledger for reading: no lock, no key, new blocks are seen as they are sealed.

        Raises:
            NotFoundError: The folder holds no ledger.
            LedgerDamagedError: Its key line or checkpoint is not what was signed.
        """
        storage = Storage(folder)
        if not storage.exists(CHECKPOINT_FILE) and not storage.exists(body_path(0)):
            raise NotFoundError("ledger", str(folder), "import a network first: `twin import FILE`")
        ledger = cls(storage, signer=None, clock=lambda: 0, entropy=secrets.token_bytes)
        try:
            ledger._chain.tip()
        except BaseException:
            ledger.close()
            raise
        return ledger

    @classmethod
    def open_writer(  # noqa: PLR0913  (two doors that only tests give)
        cls,
        folder: Path,
        keys_folder: Path,
        clock: Clock,
        *,
        wait_s: float = 0.0,
        entropy: Entropy = secrets.token_bytes,
        make_storage: MakeStorage = Storage,
    ) -> Self:
        """Open a ledger for writing, and make it and its key when they are not there.

        Args:
            folder: The ledger's folder.
            keys_folder: The folder of its signing key.
            clock: Tells when a block is sealed.
            wait_s: How long to wait for another writer [s].
            entropy: Where keys come from.
            make_storage: The door to the disk.

        Raises:
            LedgerBusyError: Another process writes.
            KeyFileError: The key is missing, readable to others, or not this ledger's.
            LedgerDamagedError: The newest block is not what was signed.
            StorageFailedError: The disk refused a write.
        """
        storage = make_storage(folder)
        storage.make_folder(".")
        with ExitStack() as opening:
            opening.enter_context(exclusive(folder, wait_s))
            signer = _signer(storage, keys_folder, entropy)
            ledger = cls(storage, signer=signer, clock=clock, entropy=entropy)
            ledger._closing = opening.pop_all()
        return ledger

    def close(self) -> None:
        """Give up the lock and the files. Readings still waiting are not recorded."""
        with self._guard:
            self._writer = None
            self._index.close()
            self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # What is recorded.

    @property
    def height(self) -> int:
        """Number of sealed blocks; the newest block has height `height - 1`."""
        with self._guard:
            return self._chain.tip().size

    @property
    def folder(self) -> Path:
        """The ledger's folder."""
        return self._storage.folder

    @property
    def key_line(self) -> KeyLine:
        """The public key that signs this ledger, by its own account."""
        return self._chain.key_line

    @property
    def origin(self) -> str:
        """The name of the log."""
        return self._chain.origin

    def tip(self) -> Tip:
        """Return the newest signed checkpoint."""
        with self._guard:
            return self._chain.tip()

    def tiles(self, size: int) -> TileReader:
        """Return a reader of the tree of the first `size` headers."""
        with self._guard:
            return self._chain.tiles(size)

    def header(self, height: int) -> Header:
        """Return the header of a sealed block.

        Raises:
            NotFoundError: There is no such block.
        """
        with self._guard:
            size = self._chain.tip().size
            if not 0 <= height < size:
                raise NotFoundError("block", str(height), f"the ledger has {size} blocks")
            return self._chain.header(height)

    def body(self, height: int) -> Body:
        """Return the body of a sealed block, taken apart.

        Raises:
            NotFoundError: There is no such block.
            LedgerDamagedError: It cannot be taken apart.
        """
        with self._guard:
            if height not in self._bodies:
                self._bodies[height] = self._chain.body(self.header(height))
                if len(self._bodies) > _KEPT_BODIES:
                    self._bodies.popitem(last=False)
            self._bodies.move_to_end(height)
            return self._bodies[height]

    def checked_block(self, height: int) -> tuple[list[bytes], MerkleTree]:
        """Return the records of a block and the tree over them, checked against the signed root.

        Raises:
            NotFoundError: There is no such block.
            LedgerDamagedError: Its records are not those that were signed.
        """
        with self._guard:
            if height not in self._checked:
                body = self.body(height)
                tree = self._chain.checked_tree(self.header(height), body)
                self._checked[height] = (body.leaves(), tree)
                if len(self._checked) > _KEPT_TREES:
                    self._checked.popitem(last=False)
            self._checked.move_to_end(height)
            return self._checked[height]

    def events(
        self,
        kinds: Collection[EventKind] = (),
        network: str | None = None,
        *,
        from_height: int = 0,
    ) -> Iterator[Recorded]:
        """Yield events in order of record; no kinds means all."""
        with self._guard:
            size = self._index.catch_up()
            spots = self._index.events(kinds, network, from_height, size)
        for spot in spots:
            yield self._recorded(spot)

    def event_at(self, ref: RecordRef) -> Recorded:
        """Return the event at a place.

        Raises:
            NotFoundError: There is no event there.
        """
        with self._guard:
            size = self._index.catch_up()
            spot = self._index.event_at(ref) if ref.height < size else None
        if spot is None:
            raise NotFoundError("event", str(ref))
        return self._recorded(spot)

    def events_about(self, kind: EventKind, subject: str) -> list[Recorded]:
        """Return the events of a kind about a subject, in order of record."""
        with self._guard:
            size = self._index.catch_up()
            spots = self._index.events_about(kind, subject, size)
        return [self._recorded(spot) for spot in spots]

    def corrections(self) -> list[tuple[RecordRef, Correction]]:
        """Return the corrections recorded so far, each with its place."""
        with self._guard:
            spots = self._index.corrections(self._index.catch_up())
        return [(spot.ref, decode_correction(self._bytes_at(spot))) for spot in spots]

    def series(self, network: str | None = None) -> list[Series]:
        """Return the series recorded so far, in order of first appearance."""
        with self._guard:
            rows = self._index.series(self._index.catch_up())
        found = [decode_series(row.record) for row in rows]
        return [series for series in found if network in (None, series.network)]

    def series_row(self, key: bytes) -> SeriesRow:
        """Return a series' descriptor record and its place by the id that readings carry.

        Raises:
            NotFoundError: No such series is recorded.
        """
        with self._guard:
            self._index.catch_up()
            row = self._index.series_row(key)
        if row is None:
            raise NotFoundError("series", key.hex())
        return row

    def column(self, series: Series, from_ns: int, to_ns: int) -> Column:
        """Return the readings of one series in [from, to), in order of time."""
        key = series_id(encode_series(series))
        with self._guard:
            size = self._index.catch_up()
            heights = self._index.spans(key, from_ns, to_ns, size)
            found = [(h, self._pieces.pieces(h)[key].between(from_ns, to_ns)) for h in heights]
        return assemble(series, found)

    def last_time_ns(self, series: Series) -> int | None:
        """Return the newest time of a series [ns since the Unix epoch], None without readings."""
        with self._guard:
            size = self._index.catch_up()
            return self._index.last_time_ns(series_id(encode_series(series)), size)

    def blocks(self, from_height: int = 0) -> Iterator[SealedBlock]:
        """Yield the sealed blocks in order."""
        with self._guard:
            size = self._index.catch_up()
            rows = self._index.blocks(max(from_height, 0), size)
        yield from map(_sealed, rows)

    def file(self, sha256_hex: str) -> bytes:
        """Return a kept file, checked against its hash.

        Raises:
            NotFoundError: The ledger keeps no such file.
            LedgerDamagedError: Its bytes are not those that were kept.
        """
        name = f"{FILES_FOLDER}/{sha256_hex}"
        is_hash = len(sha256_hex) == 64 and set(sha256_hex) <= set("0123456789abcdef")  # noqa: PLR2004
        if not is_hash or not self._storage.exists(name):
            raise NotFoundError("file", sha256_hex)
        content = self._storage.read(name)
        if sha256(content).hexdigest() != sha256_hex:
            raise LedgerDamagedError(str(self._storage.place(name)), "it is not what was kept")
        return content

    # What is appended.

    def keep_file(self, content: bytes) -> str:
        """Keep a file beside the blocks, durably, and return its SHA-256 in hex.

        Raises:
            StorageFailedError: The disk refused it.
            WriterStoppedError: It refused something before.
        """
        name = sha256(content).hexdigest()
        with self._writing():
            self._storage.write(f"{FILES_FOLDER}/{name}", content)
        return name

    def record(self, events: Sequence[Event]) -> list[RecordRef]:
        """Seal events into blocks of their own and return their places, in the order given.

        Raises:
            RecordRefusedError: An event has no spelling; none of them is recorded.
            StorageFailedError: The disk refused a block.
            WriterStoppedError: It refused something before.
        """
        return self._record([encode_event(event) for event in events])

    def correct(self, corrections: Sequence[Correction]) -> list[RecordRef]:
        """Seal corrections into blocks of their own and return their places.

        Raises:
            RecordRefusedError: A correction has no spelling.
            NotFoundError: The record that one corrects is not there.
            StorageFailedError: The disk refused a block.
        """
        for correction in corrections:
            if not 0 <= correction.index < self.header(correction.height).n_records:
                ref = RecordRef(correction.height, correction.index)
                raise NotFoundError("record", str(ref))
        return self._record([encode_correction(correction) for correction in corrections])

    def append(self, batch: ReadingBatch) -> list[SealedBlock]:
        """Queue readings; seal and return a block for each 10,000 that are waiting.

        A series not seen before has its descriptor recorded first, in the same block.

        Raises:
            RecordRefusedError: A reading has no spelling, or a series is personal; nothing of the
                batch is queued.
            StorageFailedError: The disk refused a block.
            WriterStoppedError: It refused something before.
        """
        check_batch(batch)
        for series in batch.series:
            encode_series(series)
        with self._writing():
            if len(batch):
                self._waiting.append(batch)
                self._n_waiting += len(batch)
            return self._seal_waiting(READINGS_PER_BLOCK)

    def flush(self) -> list[SealedBlock]:
        """Seal what is waiting; nothing may be acknowledged upstream before this returns.

        Raises:
            StorageFailedError: The disk refused a block.
            WriterStoppedError: It refused something before.
        """
        with self._writing():
            return self._seal_waiting(1)

    @property
    def n_waiting(self) -> int:
        """Number of readings that are queued and not yet on disk."""
        return self._n_waiting

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._guard:
            if self._writer is None:
                raise WriterStoppedError(str(self.folder))
            try:
                yield
            except StorageFailedError:
                self._writer = None  # what is on disk is in doubt: opening again settles it
                raise

    def _record(self, records: list[bytes]) -> list[RecordRef]:
        refs: list[RecordRef] = []
        with self._writing():
            for chunk in _chunks(records):
                height = self._seal(pack_body(chunk), len(chunk)).height
                refs.extend(RecordRef(height, index) for index in range(len(chunk)))
        return refs

    def _seal(self, content: bytes, n_records: int) -> Header:
        assert self._writer is not None
        return self._writer.seal(content, n_records, self._clock())

    def _seal_waiting(self, at_least: int) -> list[SealedBlock]:
        sealed = []
        while self._n_waiting >= at_least:
            batches = self._take_waiting(READINGS_PER_BLOCK)
            sealed.append(self._seal_readings(batches))
        return sealed

    def _take_waiting(self, most: int) -> list[ReadingBatch]:
        """Return up to `most` waiting readings, in order, and stop waiting for them."""
        taken: list[ReadingBatch] = []
        while self._waiting and most:
            batch = self._waiting.pop(0)
            if len(batch) > most:
                self._waiting.insert(0, batch.take(slice(most, None)))
                batch = batch.take(slice(most))
            taken.append(batch)
            most -= len(batch)
            self._n_waiting -= len(batch)
        return taken

    def _seal_readings(self, batches: list[ReadingBatch]) -> SealedBlock:
        descriptors: dict[bytes, bytes] = {}
        parts = []
        for batch in batches:
            used = set(np.unique(batch.series_index).tolist())
            ids = []
            for ordinal, series in enumerate(batch.series):
                record = encode_series(series)
                ids.append(series_id(record))
                if ordinal in used:
                    descriptors[ids[-1]] = record
            columns = (batch.series_index, batch.time_ns, batch.value, batch.quality)
            parts.append(encode_readings(ids, *columns))
        self._index.catch_up()
        new = [r for key, r in descriptors.items() if self._index.series_row(key) is None]
        n_readings = sum(map(len, batches))
        content = pack_body(new, b"".join(parts), self._entropy(KEY_BYTES))
        header = self._seal(content, len(new) + n_readings)
        return SealedBlock(
            header.height, header.hash.hex(), header.time_ns, header.n_records, n_readings
        )

    def _recorded(self, spot: Spot) -> Recorded:
        return Recorded(spot.ref, decode_event(self._bytes_at(spot)))

    def _bytes_at(self, spot: Spot) -> bytes:
        with self._guard:
            return self.body(spot.ref.height).content[spot.start : spot.stop]


def _sealed(row: BlockRow) -> SealedBlock:
    return SealedBlock(row.height, row.hash.hex(), row.time_ns, row.n_records, row.n_readings)


def _chunks(records: list[bytes]) -> Iterator[list[bytes]]:
    """Yield records in groups that fit a block."""
    chunk: list[bytes] = []
    n_bytes = 0
    for record in records:
        if chunk and (len(chunk) == MAX_RECORDS or n_bytes + len(record) > _MAX_BATCH_BYTES):
            yield chunk
            chunk, n_bytes = [], 0
        chunk.append(record)
        n_bytes += len(record)
    if chunk:
        yield chunk


def _signer(storage: Storage, keys_folder: Path, entropy: Entropy) -> Ed25519Signer:
    """Return the signer of a ledger, which begins here when it is not there."""
    if storage.exists(CHECKPOINT_FILE) or storage.names(BLOCKS_FOLDER):
        line = read_key_line(storage)
        signer = load_signer(keys_folder, line.name)
        if signer.line != line:
            raise KeyFileError(
                str(keys_folder / KEY_FILE),
                f"it is not the key that signs the ledger in {storage.folder}",
                f"put back the key whose public line is in {storage.place(KEY_LINE_FILE)}",
            )
        return signer
    if not has_key(keys_folder):
        make_key(keys_folder, entropy(32))
    signer = load_signer(keys_folder, _ORIGIN + entropy(16).hex())
    found_chain(storage, signer)
    return signer
