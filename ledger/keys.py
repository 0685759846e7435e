"""The one door to signatures: Ed25519 keys, made at first use and kept readable to one user.

Source:
    RFC 8032 (Ed25519); C2SP signed-note.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from ledger.errors import KeyFileError, StorageFailedError
from ledger.log.errors import UnreadableLogError
from ledger.log.note import ED25519, KeyLine, parse_key_line

KEY_FILE = "ledger.pem"
MAX_TRUST_BYTES = 1_000_000
_OTHERS = 0o077
_SEED_BYTES = 32


@dataclass(frozen=True, slots=True)
class Ed25519Verifier:
    """Checks the signatures of one Ed25519 key."""

    line: KeyLine

    def is_valid(self, message: bytes, signature: bytes) -> bool:
        """Return whether the key made this signature over the message."""
        try:
            Ed25519PublicKey.from_public_bytes(self.line.public).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


class Ed25519Signer:
    """Signs as one log."""

    def __init__(self, key: Ed25519PrivateKey, name: str) -> None:
        public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self._key = key
        self.line = KeyLine(name, ED25519, public)

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature over the message."""
        return self._key.sign(message)


def signer_from_seed(seed: bytes, name: str) -> Ed25519Signer:
    """Return the signer of a 32-byte seed, for test vectors and key imports."""
    return Ed25519Signer(Ed25519PrivateKey.from_private_bytes(seed), name)


def load_signer(keys_folder: Path, name: str) -> Ed25519Signer:
    """Return the signer of the key in a folder, under the log's name.

    Raises:
        KeyFileError: There is no key, others can read it, or it is no Ed25519 key.
    """
    place = keys_folder / KEY_FILE
    try:
        mode = place.stat().st_mode
        content = place.read_bytes()
    except FileNotFoundError as error:
        raise KeyFileError(
            str(place),
            "the signing key of this ledger is missing",
            "put it back from your backup; what is recorded can still be read and verified",
        ) from error
    except OSError as error:
        raise KeyFileError(str(place), "cannot be read", "give this user the right to") from error
    if mode & _OTHERS:
        raise KeyFileError(str(place), "others can read the signing key", f"chmod 600 {place}")
    return Ed25519Signer(_parse_private(place, content), name)


def _parse_private(place: Path, content: bytes) -> Ed25519PrivateKey:
    reason, remedy = "is not an Ed25519 private key", "put the key back from your backup"
    try:
        key = load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileError(str(place), reason, remedy) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(str(place), reason, remedy)
    return key


def has_key(keys_folder: Path) -> bool:
    """Return whether a folder holds a signing key."""
    return (keys_folder / KEY_FILE).exists()


def make_key(keys_folder: Path, seed: bytes) -> None:
    """Make the signing key of a home from 32 random bytes, durably, with mode 0600.

    Raises:
        StorageFailedError: The disk refused it.
    """
    assert len(seed) == _SEED_BYTES
    place = keys_folder / KEY_FILE
    content = Ed25519PrivateKey.from_private_bytes(seed).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    half_made = place.with_suffix(".part")
    try:
        keys_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        half_made.unlink(missing_ok=True)
        _write_private(half_made, content)
        half_made.rename(place)
        folder = os.open(keys_folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise StorageFailedError(str(place), "writing the signing key", error.errno or 0) from error


def _write_private(place: Path, content: bytes) -> None:
    handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def show_key(keys_folder: Path, line: KeyLine) -> KeyLine:
    """Return the key line of a ledger, once this home's own private key agrees with it.

    Raises:
        KeyFileError: The private key is missing, or is another one.
    """
    own = load_signer(keys_folder, line.name).line
    if own != line:
        raise KeyFileError(
            str(keys_folder / KEY_FILE),
            "it is not the key that signs this ledger",
            "put back the ledger's own key from your backup",
        )
    return own


def trusted_line(keys_folder: Path, name: str) -> KeyLine | None:
    """Return the key line that this home's private key gives a log, None without a key.

    Raises:
        KeyFileError: There is a key, and it cannot be used.
    """
    return load_signer(keys_folder, name).line if has_key(keys_folder) else None


def parse_trust(text: str, place: str = "the trust file") -> tuple[Ed25519Verifier, ...]:
    """Return the verifiers of a trust file: a key line each, blank lines and # comments aside.

    Raises:
        KeyFileError: A line is no key line, or there is none.
    """
    lines = [line.strip() for line in text.splitlines()]
    found: dict[KeyLine, None] = {}
    for number, line in enumerate(lines, start=1):
        if not line or line.startswith("#"):
            continue
        try:
            found[parse_key_line(line)] = None
        except UnreadableLogError as error:
            raise KeyFileError(
                f"{place}, line {number}", error.reason, "write what `twin keys show` prints"
            ) from error
    if not found:
        raise KeyFileError(place, "it names no key", "write what `twin keys show` prints into it")
    return tuple(Ed25519Verifier(line) for line in found)


def read_trust(path: Path) -> tuple[Ed25519Verifier, ...]:
    """Return the verifiers of a trust file.

    Raises:
        KeyFileError: It cannot be read, or names no key.
    """
    try:
        content = path.read_bytes()
        if len(content) > MAX_TRUST_BYTES:
            raise KeyFileError(str(path), "it is too long for a list of keys", "name another file")
        return parse_trust(content.decode(), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFileError(
            str(path), "the trusted keys cannot be read", "name a file that `twin keys show` filled"
        ) from error
