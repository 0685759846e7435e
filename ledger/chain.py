"""The chain of blocks on disk: read by anyone, extended by one.

Files below the ledger's folder: `vkey` (the log's public key), `checkpoint` (the newest, signed),
`blocks/N` (bodies), `tile/…` (headers and their tree, as C2SP tlog-tiles), `files/HASH` (kept
files).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ledger.blocks import NO_BLOCK, Body, Header, decode_header, parse_body
from ledger.errors import LedgerDamagedError, MalformedError, StorageFailedError
from ledger.keys import Ed25519Signer, Ed25519Verifier
from ledger.log.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from ledger.log.errors import LogError, UnreadableLogError
from ledger.log.merkle import EMPTY_ROOT, MerkleTree
from ledger.log.note import KeyLine, parse_key_line
from ledger.log.tiles import (
    ENTRIES,
    TILE_WIDTH,
    TileReader,
    new_tiles,
    number_path,
    pack_entries,
    split_hashes,
    tile_path,
    unpack_entries,
)
from ledger.storage import Storage

KEY_LINE_FILE: Final = "vkey"
CHECKPOINT_FILE: Final = "checkpoint"
NEXT_FILE: Final = "checkpoint.next"
FILES_FOLDER: Final = "files"
BLOCKS_FOLDER: Final = "blocks"


def body_path(height: int) -> str:
    """Return the path of a block's body below the ledger's folder."""
    return f"{BLOCKS_FOLDER}/{number_path(height)}"


def entries_path(size: int) -> str:
    """Return the path of the newest bundle of headers of a chain of `size` blocks."""
    last = size - 1
    return tile_path(ENTRIES, last // TILE_WIDTH, last % TILE_WIDTH + 1)


@dataclass(frozen=True, slots=True)
class Tip:
    """The chain as its newest checkpoint says.

    Attributes:
        note: The signed checkpoint, verbatim.
        checkpoint: What it says.
    """

    note: str
    checkpoint: Checkpoint

    @property
    def size(self) -> int:
        """Number of blocks."""
        return self.checkpoint.size


def read_key_line(storage: Storage) -> KeyLine:
    """Return the public key that a ledger names as its own.

    Raises:
        LedgerDamagedError: The file is missing or not a key line.
    """
    content = storage.read(KEY_LINE_FILE)
    try:
        text = content.decode()
        if not text.endswith("\n"):
            raise UnreadableLogError("it does not end in a newline")
        return parse_key_line(text[:-1])
    except (UnicodeDecodeError, LogError) as error:
        raise LedgerDamagedError(str(storage.place(KEY_LINE_FILE)), str(error)) from error


class ChainReader:
    """Reads the sealed blocks; sees new ones on each call of `tip`."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.key_line = read_key_line(storage)
        self._tip: Tip | None = None
        self._tiles: TileReader | None = None
        self._bundles: dict[int, list[Header]] = {}

    @property
    def origin(self) -> str:
        """The log's origin, which is also the chain id of its headers and the name of its key."""
        return self.key_line.name

    def tip(self) -> Tip:
        """Return the newest checkpoint, checked against the log's key.

        Raises:
            LedgerDamagedError: It is missing, or not signed by the log's key.
        """
        content = self.storage.read(CHECKPOINT_FILE)
        if self._tip is None or self._tip.note.encode() != content:
            self._tip = self.open_note(CHECKPOINT_FILE, content)
        return self._tip

    def open_note(self, name: str, content: bytes) -> Tip:
        """Return the checkpoint in a file's bytes, checked against the log's key.

        Raises:
            LedgerDamagedError: It is not signed by the log's key, or cannot be read.
        """
        try:
            note = content.decode()
            checkpoint = open_checkpoint(note, [Ed25519Verifier(self.key_line)])
        except (UnicodeDecodeError, LogError) as error:
            raise LedgerDamagedError(str(self.storage.place(name)), str(error)) from error
        return Tip(note, checkpoint)

    def tiles(self, size: int) -> TileReader:
        """Return a reader of the tree of the first `size` headers."""
        if self._tiles is None or self._tiles.size != size:
            self._tiles = TileReader(self._read_tile, size)
        return self._tiles

    def headers(self, start: int, stop: int) -> Iterator[Header]:
        """Yield the headers of the blocks [start, stop), each checked against the tree.

        Raises:
            LedgerDamagedError: A header is not the one that was logged.
        """
        for number in range(start // TILE_WIDTH, -(-stop // TILE_WIDTH)):
            first = number * TILE_WIDTH
            found = self._bundle(number, min(stop - first, TILE_WIDTH))
            yield from found[max(start - first, 0) : stop - first]

    def header(self, height: int) -> Header:
        """Return the header of a sealed block.

        Raises:
            LedgerDamagedError: It is not the one that was logged.
        """
        return next(self.headers(height, height + 1))

    def body(self, header: Header) -> Body:
        """Return a block's body, taken apart but not checked against the header's root.

        Raises:
            LedgerDamagedError: It cannot be taken apart.
        """
        name = body_path(header.height)
        try:
            return parse_body(header.height, self.storage.read(name), header.n_records)
        except MalformedError as error:
            raise LedgerDamagedError(str(self.storage.place(name)), error.reason) from error

    def checked_tree(self, header: Header, body: Body) -> MerkleTree:
        """Return the tree over a block's records, whose root is the one that was signed.

        Raises:
            LedgerDamagedError: The root is another.
        """
        tree = body.tree()
        if tree.root != header.merkle_root:
            place = str(self.storage.place(body_path(header.height)))
            raise LedgerDamagedError(place, "its records are not those that were signed")
        return tree

    def _bundle(self, number: int, width: int) -> list[Header]:
        known = self._bundles.get(number, [])
        if len(known) >= width:
            return known
        size = self.tip().size
        first = number * TILE_WIDTH
        try:
            entries = self.tiles(size).entries(number)
        except LogError as error:
            name = tile_path(ENTRIES, number, min(size - first, TILE_WIDTH))
            raise LedgerDamagedError(str(self.storage.place(name)), error.reason) from error
        self._bundles[number] = [self._decode(first + i, e) for i, e in enumerate(entries)]
        return self._bundles[number]

    def _decode(self, height: int, record: bytes) -> Header:
        try:
            header = decode_header(record)
        except MalformedError as error:
            raise LedgerDamagedError(f"header of block {height}", error.reason) from error
        if header.height != height or header.chain_id != self.origin:
            raise LedgerDamagedError(f"header of block {height}", "it is of another block or chain")
        return header

    def _read_tile(self, name: str) -> bytes:
        # A partial tile may be gone once the whole one is there.
        if ".p/" in name and not self.storage.exists(name):
            whole, _, width = name.rpartition(".p/")
            content = self.storage.read(whole)
            if f"/{ENTRIES}/" in name:
                return pack_entries(unpack_entries(content, TILE_WIDTH)[: int(width)])
            return content[: 32 * int(width)]
        return self.storage.read(name)


class ChainWriter:
    """Extends the chain by one block at a time, and mends what a crash left."""

    def __init__(self, reader: ChainReader, signer: Ed25519Signer) -> None:
        self._reader = reader
        self._storage = reader.storage
        self._signer = signer
        self._recover()
        self._size = reader.tip().size
        self._last = reader.header(self._size - 1) if self._size else None
        self._edge = self._read_edge()

    @property
    def size(self) -> int:
        """Number of sealed blocks."""
        return self._size

    def seal(self, content: bytes, n_records: int, now_ns: int) -> Header:
        """Make a body the next block: durable, signed, and visible to readers when this returns.

        Args:
            content: The bytes of the body.
            n_records: How many records it holds.
            now_ns: The time to seal it with; the block before it may push it up.

        Raises:
            StorageFailedError: The disk refused a step, and the block is not acknowledged.
        """
        height = self._size
        self._storage.write(body_path(height), content)
        # What is signed is the root of what can be read back, not of what was meant.
        body = parse_body(height, self._storage.read(body_path(height)), n_records)
        header = Header(
            chain_id=self._signer.line.name,
            height=height,
            previous=self._last.hash if self._last else NO_BLOCK,
            time_ns=max(now_ns, self._last.time_ns if self._last else 0),
            merkle_root=body.tree().root,
            n_records=n_records,
            body_bytes=len(content),
        )
        edge = [*self._edge, header.record]
        size = height + 1
        for name, tile in self._log_files(size, edge).items():
            self._storage.write(name, tile)
        root = self._reader.tiles(size).root()
        note = sign_checkpoint(Checkpoint(header.chain_id, size, root), self._signer)
        self._storage.write(NEXT_FILE, str(note).encode())
        self._storage.rename(NEXT_FILE, CHECKPOINT_FILE)
        self._size, self._last = size, header
        self._edge = [] if len(edge) == TILE_WIDTH else edge
        if not self._edge:
            self._remove_partial(size)
        return header

    def _log_files(self, size: int, edge: list[bytes]) -> dict[str, bytes]:
        """Return the files that a chain of `size` blocks adds to its log, in order of writing."""
        files = {entries_path(size): pack_entries(edge)}
        for tile in new_tiles(size):
            if tile.level == 0:
                hashes = MerkleTree.of_entries(edge).levels[0]
            else:
                hashes = self._upper_hashes(tile.level, tile.number, tile.width, files)
            files[tile.path] = b"".join(hashes)
        return files

    def _upper_hashes(
        self, level: int, number: int, width: int, files: dict[str, bytes]
    ) -> list[bytes]:
        before = []
        if width > 1:
            before = split_hashes(self._storage.read(tile_path(level, number, width - 1)))
        below = number * TILE_WIDTH + width - 1
        whole = files[tile_path(level - 1, below, TILE_WIDTH)]
        return [*before, MerkleTree(split_hashes(whole)).root]

    def _recover(self) -> None:
        """Complete the block whose checkpoint was signed, or discard the one whose was not.

        The newest block's files are written anew: an fsync that failed once may succeed the next
        time although nothing reached the disk.
        """
        size = self._reader.tip().size
        if self._storage.exists(NEXT_FILE) and self._is_complete(size + 1):
            self._rewrite(size + 1)
            self._storage.write(NEXT_FILE, self._storage.read(NEXT_FILE))
            self._storage.rename(NEXT_FILE, CHECKPOINT_FILE)
        else:
            if size:
                self._rewrite(size)
            self._storage.write(CHECKPOINT_FILE, self._storage.read(CHECKPOINT_FILE))
        self._discard(self._reader.tip().size + 1)

    def _is_complete(self, size: int) -> bool:
        """Return whether everything that the pending checkpoint covers is there."""
        try:
            tip = self._reader.open_note(NEXT_FILE, self._storage.read(NEXT_FILE))
            tiles = TileReader(self._storage.read, size)
            if tip.size != size or tiles.root() != tip.checkpoint.root:
                return False
            record = tiles.entries((size - 1) // TILE_WIDTH)[-1]
            header = decode_header(record)
            self._reader.checked_tree(header, self._reader.body(header))
        except (LogError, MalformedError, LedgerDamagedError):
            return False
        return header.height == size - 1

    def _rewrite(self, size: int) -> None:
        names = [body_path(size - 1), entries_path(size), *(t.path for t in new_tiles(size))]
        for name in names:
            self._storage.write(name, self._storage.read(name))

    def _discard(self, size: int) -> None:
        """Remove what an unfinished block of a chain of `size` blocks left behind."""
        names = [body_path(size - 1), entries_path(size), *(t.path for t in new_tiles(size))]
        for name in [NEXT_FILE, *names]:
            self._storage.remove(name)
        for name in self._storage.names(FILES_FOLDER):
            if name.endswith(".part"):
                self._storage.remove(f"{FILES_FOLDER}/{name}")

    def _read_edge(self) -> list[bytes]:
        """Return the headers of the newest bundle while it is not full."""
        width = self._size % TILE_WIDTH
        return unpack_entries(self._storage.read(entries_path(self._size)), width) if width else []

    def _remove_partial(self, size: int) -> None:
        """Remove the partial tiles that whole ones now replace; they do no harm if they stay."""
        whole = [entries_path(size), *(t.path for t in new_tiles(size) if t.width == TILE_WIDTH)]
        with contextlib.suppress(StorageFailedError):
            for name in whole:
                for width in self._storage.names(f"{name}.p"):
                    self._storage.remove(f"{name}.p/{width}")


def found_chain(storage: Storage, signer: Ed25519Signer) -> None:
    """Begin a chain without blocks: its key line, then its first checkpoint.

    Raises:
        StorageFailedError: The disk refused it.
    """
    storage.write(KEY_LINE_FILE, f"{signer.line}\n".encode())
    note = sign_checkpoint(Checkpoint(signer.line.name, 0, EMPTY_ROOT), signer)
    storage.write(CHECKPOINT_FILE, str(note).encode())
