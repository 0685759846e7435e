"""Proof files: one entry, its path to the root, and the checkpoint that signs the root.

Source:
    C2SP tlog-proof.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ledger.log.checkpoint import Checkpoint, open_checkpoint
from ledger.log.errors import UnreadableLogError
from ledger.log.merkle import check_inclusion, leaf_hash
from ledger.log.note import NoteVerifier
from ledger.log.text import parse_base64, parse_hash, parse_number, to_base64

FIRST_LINE = "c2sp.org/tlog-proof@v1"
MAX_PATH = 63


@dataclass(frozen=True, slots=True)
class LogProof:
    """A proof file that was read, and that nobody has checked yet.

    Attributes:
        extra: Whatever the application adds; not authenticated by the proof itself.
        index: Place of the entry in the log.
        path: Hashes from the entry's sibling to the root's child, 32 bytes each.
        checkpoint: The signed checkpoint, verbatim.
    """

    extra: bytes | None
    index: int
    path: tuple[bytes, ...]
    checkpoint: str

    def __str__(self) -> str:
        extra = [] if self.extra is None else [f"extra {to_base64(self.extra)}"]
        path = [to_base64(h) for h in self.path]
        lines = [FIRST_LINE, *extra, f"index {self.index}", *path, "", self.checkpoint]
        return "\n".join(lines)


def parse_proof(content: str) -> LogProof:
    """Return the proof that a text spells, exactly: `str()` of it is the text again.

    Raises:
        UnreadableLogError: The text is no proof, or is not in this one spelling.
    """
    top, blank, checkpoint = content.partition("\n\n")
    lines = top.split("\n")
    if not blank or lines[0] != FIRST_LINE:
        raise UnreadableLogError(f"it does not begin with the line {FIRST_LINE}")
    rest = lines[1:]
    extra = parse_base64(rest.pop(0)[6:], "extra") if rest and _is(rest[0], "extra") else None
    if not rest or not _is(rest[0], "index"):
        raise UnreadableLogError("it has no index line")
    index = parse_number(rest[0][6:], "index")
    if len(rest) - 1 > MAX_PATH:
        raise UnreadableLogError("its path is too long")
    path = tuple(parse_hash(line, "a hash of the path") for line in rest[1:])
    proof = LogProof(extra, index, path, checkpoint)
    if str(proof) != content:
        raise UnreadableLogError("it is not in its one spelling")
    return proof


def _is(line: str, word: str) -> bool:
    return line.startswith(f"{word} ")


def check_proof(proof: LogProof, entry: bytes, verifiers: Collection[NoteVerifier]) -> Checkpoint:
    """Check that the entry stands in the log at the proof's index; return the signed checkpoint.

    Raises:
        UnreadableLogError: The checkpoint is no signed checkpoint.
        RefutedLogError: It is not signed by a trusted log, or the entry does not stand there.
    """
    checkpoint = open_checkpoint(proof.checkpoint, verifiers)
    check_inclusion(leaf_hash(entry), proof.index, checkpoint.size, proof.path, checkpoint.root)
    return checkpoint
