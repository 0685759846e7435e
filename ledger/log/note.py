"""Signed notes: a text, a blank line, and one line a signature.

The cryptography itself comes from outside, as `NoteSigner` and `NoteVerifier`.

Source:
    C2SP signed-note; the key lines are those of golang.org/x/mod/sumdb/note.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from ledger.log.errors import RefutedLogError, UnreadableLogError
from ledger.log.text import parse_base64, to_base64

ED25519 = 0x01
MAX_NOTE_CHARS = 1_000_000
_DASH = "\N{EM DASH} "
_KEY_ID_BYTES = 4
_KEY_ID_DIGITS = 2 * _KEY_ID_BYTES


@dataclass(frozen=True, slots=True)
class KeyLine:
    """A public key as one line, `name+id+base64`, which any reader of signed notes knows.

    Attributes:
        name: The key's name, not empty, without spaces and plus signs.
        kind: The signature type, `ED25519`.
        public: The encoded public key, 32 bytes for Ed25519.
    """

    name: str
    kind: int
    public: bytes

    @property
    def key_id(self) -> bytes:
        """The four bytes that a signature names this key by."""
        spelled = self.name.encode() + b"\n" + bytes((self.kind,)) + self.public
        return sha256(spelled).digest()[:_KEY_ID_BYTES]

    def __str__(self) -> str:
        key = to_base64(bytes((self.kind,)) + self.public)
        return f"{self.name}+{self.key_id.hex()}+{key}"


class NoteVerifier(Protocol):
    """Checks signatures of one key."""

    @property
    def line(self) -> KeyLine:
        """The key."""

    def is_valid(self, message: bytes, signature: bytes) -> bool:
        """Return whether the key made this signature over the message."""


class NoteSigner(Protocol):
    """Makes signatures with one key."""

    @property
    def line(self) -> KeyLine:
        """The key."""

    def sign(self, message: bytes) -> bytes:
        """Return the signature over the message."""


@dataclass(frozen=True, slots=True)
class SignatureLine:
    """One signature of a note: whose it says it is, and the bytes."""

    name: str
    key_id: bytes
    signature: bytes

    def __str__(self) -> str:
        return f"{_DASH}{self.name} {to_base64(self.key_id + self.signature)}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A note that was read, and whose signatures nobody has checked yet.

    Attributes:
        text: The signed text, with its last newline.
        signatures: The signature lines, in their order.
    """

    text: str
    signatures: tuple[SignatureLine, ...]

    def __str__(self) -> str:
        return self.text + "\n" + "".join(map(str, self.signatures))


def is_key_name(name: str) -> bool:
    """Return whether a text may name a key."""
    return (
        bool(name)
        and "+" not in name
        and not any(c.isspace() for c in name)
        and (name.isprintable())
    )


def parse_key_line(text: str) -> KeyLine:
    """Return the public key that a line spells.

    Raises:
        UnreadableLogError: It is no key line, its id is not that of its key, or the key is not
            Ed25519.
    """
    parts = text.split("+", 2)
    if len(parts) != 3:  # noqa: PLR2004  (name, id, key)
        raise UnreadableLogError(f"{text[:80]!r} is not a key line `name+id+key`")
    name, key_id, encoded = parts
    raw = parse_base64(encoded, "the key")
    if not is_key_name(name) or len(raw) != 33 or raw[0] != ED25519:  # noqa: PLR2004
        raise UnreadableLogError(f"{text[:80]!r} is not the line of an Ed25519 key")
    line = KeyLine(name, raw[0], raw[1:])
    if str(line) != text:
        raise UnreadableLogError(f"the key id {key_id[:20]!r} is not that of the key beside it")
    return line


def sign_note(text: str, signers: Collection[NoteSigner]) -> Note:
    """Return the note of a text that ends in a newline, signed by each signer."""
    assert text.endswith("\n"), text
    message = text.encode()
    lines = [SignatureLine(s.line.name, s.line.key_id, s.sign(message)) for s in signers]
    return Note(text, tuple(lines))


def parse_note(content: str) -> Note:
    """Return the note that a text spells, exactly: `str()` of it is the text again.

    Raises:
        UnreadableLogError: The text is no signed note, or is not in this one spelling.
    """
    if len(content) > MAX_NOTE_CHARS:
        raise UnreadableLogError("the note is too long")
    if any(c < " " and c != "\n" for c in content):
        raise UnreadableLogError("the note holds a control character")
    text, blank, rest = content.rpartition("\n\n")
    if not blank or not rest.endswith("\n"):
        raise UnreadableLogError("the note has no blank line with signatures after it")
    lines = tuple(_parse_signature(line) for line in rest[:-1].split("\n"))
    note = Note(text + "\n", lines)
    if str(note) != content:
        raise UnreadableLogError("the note is not in its one spelling")
    return note


def _parse_signature(line: str) -> SignatureLine:
    if not line.startswith(_DASH):
        raise UnreadableLogError(f"{line[:80]!r} is not a signature line")
    name, space, encoded = line[len(_DASH) :].partition(" ")
    if not space or not is_key_name(name):
        raise UnreadableLogError(f"{line[:80]!r} is not a signature line")
    raw = parse_base64(encoded, "the signature")
    if len(raw) <= _KEY_ID_BYTES:
        raise UnreadableLogError("a signature is too short")
    return SignatureLine(name, raw[:_KEY_ID_BYTES], raw[_KEY_ID_BYTES:])


def check_note(note: Note, verifiers: Collection[NoteVerifier]) -> list[KeyLine]:
    """Check every signature of a note, and return the keys that made them.

    Stricter than a signed note asks for: an unknown key, and a key that signs twice, are refused,
    so that nothing stands in the note which nobody checked.

    Raises:
        RefutedLogError: A signature is of an unknown key, is wrong, or stands twice.
    """
    known = {(v.line.name, v.line.key_id): v for v in verifiers}
    signed: list[KeyLine] = []
    for line in note.signatures:
        verifier = known.get((line.name, line.key_id))
        if verifier is None:
            raise RefutedLogError(f"it is signed by {line.name}+{line.key_id.hex()}, not trusted")
        if not verifier.is_valid(note.text.encode(), line.signature):
            raise RefutedLogError(f"the signature of {line.name} is not over this text")
        if verifier.line in signed:
            raise RefutedLogError(f"{line.name} signs it twice")
        signed.append(verifier.line)
    return signed
