"""Checks a ledger from its bytes alone, and names every block and file that is not what was signed.

What it cannot know: whether newer blocks were cut off together with a return to an older
checkpoint. Compare the size that it prints with the newest one that you remember.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from ledger.blocks import MAX_BODY_BYTES, NO_BLOCK, Header, decode_header, parse_body
from ledger.chain import (
    BLOCKS_FOLDER,
    CHECKPOINT_FILE,
    FILES_FOLDER,
    KEY_LINE_FILE,
    NEXT_FILE,
    body_path,
    read_key_line,
)
from ledger.errors import LedgerDamagedError, MalformedError
from ledger.index import INDEX_FILE
from ledger.keys import Ed25519Verifier, trusted_line
from ledger.lock import LOCK_FILE
from ledger.log.checkpoint import Checkpoint, open_checkpoint
from ledger.log.errors import LogError
from ledger.log.merkle import HASH_BYTES, MerkleTree, leaf_hash
from ledger.log.note import KeyLine
from ledger.log.tiles import (
    ENTRIES,
    TILE_WIDTH,
    Tile,
    expected_tiles,
    split_hashes,
    tile_path,
    unpack_entries,
)
from ledger.records import (
    CORRECTION_TAG,
    EVENT_TAG,
    READING_TAG,
    SERIES_TAG,
    decode_correction,
    decode_event,
    decode_series,
    series_id,
)
from ledger.storage import PART, Storage
from twin.errors import NotFoundError

Progress = Callable[[int, int], None]
"""Called with the number of blocks done and the number of all."""

_DECODERS: dict[int, Callable[[bytes], object]] = {
    SERIES_TAG: decode_series,
    EVENT_TAG: decode_event,
    CORRECTION_TAG: decode_correction,
}
_OWN_FILES = {LOCK_FILE, INDEX_FILE, f"{INDEX_FILE}-wal", f"{INDEX_FILE}-shm"}
_TILE = re.compile(r"tile/(\d{1,2}|entries)/((?:x\d{3}/)*\d{3})(?:\.p/([1-9]\d{0,2}))?")


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is not what was signed.

    Attributes:
        height: Block that it belongs to, None where it belongs to none.
        file: The file, by its path below the ledger's folder.
        reason: What is wrong.
    """

    height: int | None
    file: str
    reason: str

    def __str__(self) -> str:
        block = "" if self.height is None else f"block {self.height}: "
        return f"{block}{self.file}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found.

    Attributes:
        n_blocks: Number of blocks under the checkpoint.
        n_records: Number of records that were checked.
        n_files: Number of kept files that were checked.
        faults: Everything that is wrong, by block.
    """

    n_blocks: int
    n_records: int
    n_files: int
    faults: tuple[Fault, ...]

    @property
    def document(self) -> dict[str, object]:
        """All of it as plain data."""
        return {
            "ok": not self.faults,
            "blocks": self.n_blocks,
            "records": self.n_records,
            "files": self.n_files,
            "faults": [
                {"height": f.height, "file": f.file, "reason": f.reason} for f in self.faults
            ],
        }


def fsck(folder: Path) -> list[Fault]:
    """Return everything in a ledger that is not what was signed, by block.

    Raises:
        NotFoundError: The folder holds no ledger.
    """
    return list(check(folder).faults)


def check(
    folder: Path, *, keys_folder: Path | None = None, progress: Progress | None = None
) -> Report:
    """Check a ledger: every stored byte, from the kept files up to the signature.

    Args:
        folder: The ledger's folder.
        keys_folder: Where the key is that must have signed it; without it, the one that the ledger
            names as its own is believed.
        progress: Told after each block.

    Raises:
        NotFoundError: The folder holds no ledger.
        KeyFileError: There is a key in the folder of keys, and it cannot be used.
    """
    storage = Storage(folder)
    if not storage.exists(CHECKPOINT_FILE) and not storage.exists(BLOCKS_FOLDER):
        raise NotFoundError("ledger", str(folder))
    return _Check(storage, keys_folder, progress or (lambda _done, _total: None)).run()


class _Check:
    """One check of one ledger, and the faults that it has met so far."""

    def __init__(self, storage: Storage, keys_folder: Path | None, progress: Progress) -> None:
        self.storage = storage
        self.keys_folder = keys_folder
        self.progress = progress
        self.faults: list[Fault] = []
        self.known_series: set[bytes] = set()
        self.n_records = 0
        self.size = 0
        self.is_complete = True

    def run(self) -> Report:
        key_line = self._key_line()
        checkpoint = self._checkpoint(key_line)
        size = self.size = checkpoint.size if checkpoint else self._apparent_size()
        records = self._entries(size)
        levels = self._tiles(size, records, checkpoint)
        self._chain(records, key_line.name if key_line else None)
        self._leftovers(size, levels)
        n_files = self._files()
        self.faults.sort(key=lambda f: (f.height is None, f.height or 0))
        return Report(size, self.n_records, n_files, tuple(dict.fromkeys(self.faults)))

    def add(self, height: int | None, file: str, reason: str) -> None:
        self.faults.append(Fault(height, file, reason))

    def read(self, height: int | None, name: str) -> bytes | None:
        try:
            return self.storage.read(name)
        except LedgerDamagedError as error:
            self.add(height, name, error.reason)
            return None

    def _key_line(self) -> KeyLine | None:
        try:
            line = read_key_line(self.storage)
        except LedgerDamagedError as error:
            self.add(None, KEY_LINE_FILE, error.reason)
            return None
        own = trusted_line(self.keys_folder, line.name) if self.keys_folder else None
        if own and line != own:
            self.add(None, KEY_LINE_FILE, "it is another key than the one in this home's keys")
        return own or line

    def _checkpoint(self, key_line: KeyLine | None) -> Checkpoint | None:
        """Return the signed checkpoint; a fault in it is one of the newest block."""
        content = self.read(self._newest(), CHECKPOINT_FILE)
        if content is None or key_line is None:
            return None
        try:
            return open_checkpoint(content.decode(), [Ed25519Verifier(key_line)])
        except (UnicodeDecodeError, LogError) as error:
            self.add(self._newest(), CHECKPOINT_FILE, str(error))
            return None

    def _newest(self) -> int | None:
        size = self._apparent_size()
        return size - 1 if size else None

    def _apparent_size(self) -> int:
        """Return the number of blocks that the files show, without a checkpoint to go by."""
        number, height = 0, 0
        while self.storage.exists(tile_path(ENTRIES, number, TILE_WIDTH)):
            number, height = number + 1, height + TILE_WIDTH
        widths = self.storage.names(f"{tile_path(ENTRIES, number, TILE_WIDTH)}.p")
        return height + max((int(w) for w in widths if w.isdigit()), default=0)

    def _entries(self, size: int) -> list[bytes | None]:
        """Return the headers' bytes, None where a bundle cannot be taken apart."""
        found: list[bytes | None] = []
        for number in range(-(-size // TILE_WIDTH)):
            width = min(TILE_WIDTH, size - number * TILE_WIDTH)
            found.extend(self._bundle(number, width))
        return found

    def _bundle(self, number: int, width: int) -> list[bytes | None]:
        name = tile_path(ENTRIES, number, width)
        first = number * TILE_WIDTH
        content = self.read(first + width - 1, name)
        if content is None:
            return [None] * width
        try:
            return list(unpack_entries(content, width))
        except LogError:
            return self._salvage(name, first, content, width)

    def _salvage(self, name: str, first: int, content: bytes, width: int) -> list[bytes | None]:
        """Return the headers before the fault of a bundle, and name the block where it begins."""
        found: list[bytes | None] = []
        offset = 0
        while len(found) < width:
            end = offset + 2 + int.from_bytes(content[offset : offset + 2], "big")
            record = content[offset + 2 : end]
            if end > len(content) or not _is_header(record, first + len(found)):
                break
            found.append(record)
            offset = end
        at = first + min(len(found), width - 1)
        self.add(at, name, "its header is damaged, or the bundle cut short")
        return found + [None] * (width - len(found))

    def _tiles(
        self, size: int, records: list[bytes | None], checkpoint: Checkpoint | None
    ) -> list[list[bytes]]:
        """Compare headers and hash tiles with the tree that was signed; return its levels."""
        hashes = self._signed_hashes(size, records, checkpoint)
        for height, record in enumerate(records):
            if record is not None and leaf_hash(record) != hashes[height]:
                self.add(height, self._bundle_path(height), "its header is not what was signed")
        levels = [hashes]
        while len(levels[-1]) >= TILE_WIDTH:
            below = levels[-1]
            whole = range(0, len(below) - TILE_WIDTH + 1, TILE_WIDTH)
            levels.append([MerkleTree(below[i : i + TILE_WIDTH]).root for i in whole])
        for tile in expected_tiles(size):
            self._tile(tile, levels[tile.level])
        return levels

    def _signed_hashes(
        self, size: int, records: list[bytes | None], checkpoint: Checkpoint | None
    ) -> list[bytes]:
        """Return the leaf hashes of the signed tree: the headers' own, or else the tiles'."""
        stored = [h for n in range(-(-size // TILE_WIDTH)) for h in self._stored_hashes(n)]
        own = [
            stored[height] if record is None else leaf_hash(record)
            for height, record in enumerate(records)
        ]
        if checkpoint is None or MerkleTree(own).root == checkpoint.root:
            return own
        if MerkleTree(stored).root == checkpoint.root:
            return stored
        self.add(size - 1, CHECKPOINT_FILE, "its root is not that of the headers")
        return own

    def _stored_hashes(self, number: int) -> list[bytes]:
        """Return the leaf hashes of a tile as it stands, filled up where it is cut short."""
        width = min(TILE_WIDTH, self.size - number * TILE_WIDTH)
        name = tile_path(0, number, width)
        content = self.storage.read(name) if self.storage.exists(name) else b""
        n_bytes = width * HASH_BYTES
        return split_hashes(content[:n_bytes].ljust(n_bytes, b"\0"))

    def _tile(self, tile: Tile, hashes: list[bytes]) -> None:
        first = tile.number * TILE_WIDTH
        span: int = TILE_WIDTH**tile.level
        content = self.read((first + tile.width) * span - 1, tile.path)
        if content is not None:
            self._compare(tile, content, hashes)

    def _compare(self, tile: Tile, content: bytes, hashes: list[bytes]) -> None:
        """Name the block of each hash of a tile that is not the signed one."""
        first = tile.number * TILE_WIDTH
        span: int = TILE_WIDTH**tile.level
        if len(content) != tile.width * HASH_BYTES:
            place = min(len(content) // HASH_BYTES, tile.width - 1)
            self.add((first + place + 1) * span - 1, tile.path, "it has the wrong length")
        found = split_hashes(content)[: tile.width]
        for index, (one, other) in enumerate(zip(found, hashes[first:], strict=False)):
            if one != other:
                height = (first + index + 1) * span - 1
                self.add(height, tile.path, "its hash is not that of the header")

    def _chain(self, records: list[bytes | None], origin: str | None) -> None:
        """Check each header, its link to the one before, and the body under it."""
        previous: Header | None = None
        for height, record in enumerate(records):
            header = self._header(height, record, origin)
            if header is not None:
                if previous is not None or height == 0:
                    self._link(header, previous)
                self._body(header)
            else:
                self.is_complete = False
            previous = header
            self.progress(height + 1, len(records))

    def _header(self, height: int, record: bytes | None, origin: str | None) -> Header | None:
        if record is None:
            return None
        name = self._bundle_path(height)
        try:
            header = decode_header(record)
        except MalformedError as error:
            self.add(height, name, error.reason)
            return None
        if header.height != height or origin not in (None, header.chain_id):
            self.add(height, name, "its header is of another block, or of another chain")
            return None
        return header

    def _bundle_path(self, height: int) -> str:
        number = height // TILE_WIDTH
        return tile_path(ENTRIES, number, min(TILE_WIDTH, self.size - number * TILE_WIDTH))

    def _link(self, header: Header, previous: Header | None) -> None:
        name = self._bundle_path(header.height)
        if header.previous != (previous.hash if previous else NO_BLOCK):
            self.add(header.height, name, "its header does not name the block before it")
        if previous and header.time_ns < previous.time_ns:
            self.add(header.height, name, "it was sealed before the block before it")

    def _body(self, header: Header) -> None:
        content = self._body_bytes(header)
        if content is None or not self._body_is_signed(header, content):
            self.is_complete = False

    def _body_bytes(self, header: Header) -> bytes | None:
        height, name = header.height, body_path(header.height)
        try:
            n_bytes = self.storage.place(name).stat().st_size
        except OSError:
            n_bytes = 0
        if n_bytes != header.body_bytes or n_bytes > MAX_BODY_BYTES:
            reason = f"it has {n_bytes} bytes instead of {header.body_bytes}"
            self.add(height, name, reason if n_bytes else "the file is missing or empty")
            return None
        return self.read(height, name)

    def _body_is_signed(self, header: Header, content: bytes) -> bool:
        height, name = header.height, body_path(header.height)
        try:
            body = parse_body(height, content, header.n_records)
        except MalformedError as error:
            self.add(height, name, error.reason)
            return False
        if body.tree().root != header.merkle_root:
            self.add(height, name, "its records are not those that were signed")
            return False
        self.n_records += body.n_records
        self._records(height, [record for _, _, record in body.spots()])
        ids = {bytes(key) for run in body.runs for key in _ids(run.rows["series"].tobytes())}
        # A descriptor may stand in a block that is damaged: then nothing more is said.
        if self.is_complete and not ids <= self.known_series:
            self.add(height, name, "it holds readings of a series that nothing describes")
        return True

    def _records(self, height: int, records: list[bytes]) -> None:
        for index, record in enumerate(records):
            if record[0] == READING_TAG:
                continue
            try:
                _DECODERS[record[0]](record)
            except MalformedError as error:
                self.add(height, body_path(height), f"record {index}: {error.reason}")
            if record[0] == SERIES_TAG:
                self.known_series.add(series_id(record))

    def _files(self) -> int:
        names = [n for n in self.storage.names(FILES_FOLDER) if not n.endswith(PART)]
        for name in names:
            content = self.read(None, f"{FILES_FOLDER}/{name}")
            if content is not None and sha256(content).hexdigest() != name:
                self.add(None, f"{FILES_FOLDER}/{name}", "it is not the file that was kept")
        return len(names)

    def _leftovers(self, size: int, levels: list[list[bytes]]) -> None:
        """Check the older partial tiles, and name files that belong to nothing."""
        for name in sorted(self._all_names()):
            if name.endswith(PART) or name in {NEXT_FILE, CHECKPOINT_FILE, KEY_LINE_FILE}:
                continue
            if name.startswith(f"{FILES_FOLDER}/") or name in _OWN_FILES:
                continue
            match = _TILE.fullmatch(name)
            if match:
                self._leftover_tile(name, match, levels)
            elif not self._is_body(name, size):
                self.add(None, name, "it belongs to no block")

    def _is_body(self, name: str, size: int) -> bool:
        digits = name.removeprefix(f"{BLOCKS_FOLDER}/").replace("x", "").replace("/", "")
        # One block may be on its way: its body is written before its checkpoint.
        return digits.isdigit() and int(digits) <= size and body_path(int(digits)) == name

    def _leftover_tile(self, name: str, match: re.Match[str], levels: list[list[bytes]]) -> None:
        """Check a tile of an older, shorter log against the tree that was signed."""
        word, path, partial = match.groups()
        number = int(path.replace("x", "").replace("/", ""))
        level = 0 if word == ENTRIES else int(word)
        tile = Tile(level, number, int(partial or TILE_WIDTH))
        hashes = levels[level] if level < len(levels) else []
        stop = number * TILE_WIDTH + tile.width
        if tile_path(word, number, tile.width) != name or stop > len(hashes) + 1:
            self.add(None, name, "it belongs to no block")
        elif stop <= len(hashes):  # else one block may be on its way
            content = self.read(stop - 1, name) or b""
            if word == ENTRIES:
                self._leftover_entries(name, tile, content, hashes)
            else:
                self._compare(tile, content, hashes)

    def _leftover_entries(self, name: str, tile: Tile, content: bytes, hashes: list[bytes]) -> None:
        first = tile.number * TILE_WIDTH
        offset = 0
        for height in range(first, first + tile.width):
            start = offset + 2
            offset = start + int.from_bytes(content[offset:start], "big")
            if leaf_hash(content[start:offset]) != hashes[height]:
                self.add(height, name, "its header is not what was signed")
                return
        if offset != len(content):
            self.add(first + tile.width - 1, name, "bytes follow its headers")

    def _all_names(self) -> Iterator[str]:
        for folder, _, files in os.walk(self.storage.folder):
            below = Path(folder).relative_to(self.storage.folder)
            for file in files:
                yield (below / file).as_posix()


def _ids(raw: bytes) -> set[bytes]:
    return {raw[i : i + 16] for i in range(0, len(raw), 16)}


def _is_header(record: bytes, height: int) -> bool:
    try:
        return decode_header(record).height == height
    except MalformedError:
        return False
