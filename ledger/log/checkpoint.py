"""Checkpoints: how long a log is, and the root of its tree, as the text of a signed note.

Source:
    C2SP tlog-checkpoint.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ledger.log.errors import RefutedLogError, UnreadableLogError
from ledger.log.note import Note, NoteSigner, NoteVerifier, check_note, parse_note, sign_note
from ledger.log.text import parse_hash, parse_number, to_base64

_N_LINES = 3


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log at one moment.

    Attributes:
        origin: Which log it is.
        size: Number of its entries.
        root: Root hash of their tree, 32 bytes.
    """

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{to_base64(self.root)}\n"


def parse_checkpoint_text(text: str) -> Checkpoint:
    """Return the checkpoint that the text of a note spells.

    Raises:
        UnreadableLogError: It is no checkpoint, or holds extension lines, which no log of this
            kind writes.
    """
    lines = text.split("\n")
    if len(lines) != _N_LINES + 1 or lines[-1] or not lines[0]:
        raise UnreadableLogError("the checkpoint has not its three lines")
    origin, size, root = lines[:_N_LINES]
    return Checkpoint(origin, parse_number(size, "tree size"), parse_hash(root, "the root"))


def sign_checkpoint(checkpoint: Checkpoint, signer: NoteSigner) -> Note:
    """Return the checkpoint as a note signed by the log."""
    return sign_note(checkpoint.text, [signer])


def open_checkpoint(content: str, verifiers: Collection[NoteVerifier]) -> Checkpoint:
    """Return the checkpoint of a note that a trusted log signed, and nobody else.

    Raises:
        UnreadableLogError: The text is no signed checkpoint.
        RefutedLogError: A signature is wrong or of an unknown key, or the log's own is missing.
    """
    note = parse_note(content)
    checkpoint = parse_checkpoint_text(note.text)
    signed = check_note(note, verifiers)
    if [line.name for line in signed] != [checkpoint.origin]:
        raise RefutedLogError(f"it is not signed by the log {checkpoint.origin} itself and alone")
    return checkpoint
