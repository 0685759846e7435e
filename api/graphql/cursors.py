"""Keyset cursors: a sort key that the server signed, so that only places it gave come back.

A cursor belongs to one list: its scope (which field, which arguments) is signed with it, and a
cursor of another list is refused rather than misread.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from hashlib import sha256
from pathlib import Path

from api.graphql.errors import ArgumentError
from api.graphql.scalars import EventCursor

KEY_FILE = "cursor.key"
_KEY_BYTES = 32
_TAG_BYTES = 16

Key = tuple[str | int, ...]


class Cursors:
    """Signs and reads cursors with the key of one home."""

    def __init__(self, key: bytes) -> None:
        assert len(key) == _KEY_BYTES
        self._secret = key

    def sign(self, scope: str, key: Key) -> EventCursor:
        """Return the cursor of a place: `key` is what the list is sorted by."""
        body = json.dumps(key, separators=(",", ":")).encode()
        return EventCursor(urlsafe_b64encode(self._tag(scope, body) + body).decode().rstrip("="))

    def read(self, scope: str, cursor: EventCursor, argument: str = "after") -> Key:
        """Return the sort key in a cursor.

        Raises:
            ArgumentError: The cursor was not signed here, or for another list.
        """
        refusal = ArgumentError(argument, "not a cursor of this list; begin again without it")
        try:
            raw = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        except (Base64Error, ValueError) as error:
            raise refusal from error
        tag, body = raw[:_TAG_BYTES], raw[_TAG_BYTES:]
        if not hmac.compare_digest(tag, self._tag(scope, body)):
            raise refusal
        return tuple(json.loads(body))  # ours: the tag says so

    def _tag(self, scope: str, body: bytes) -> bytes:
        scoped = len(scope.encode()).to_bytes(4) + scope.encode() + body
        return hmac.digest(self._secret, scoped, sha256)[:_TAG_BYTES]


def open_cursors(home: Path) -> Cursors:
    """Return the cursors of a home; its key is made on first use, for its owner's eyes alone."""
    path = home / KEY_FILE
    try:
        return Cursors(_read_key(path))
    except FileNotFoundError:
        home.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f"{KEY_FILE}.{secrets.token_hex(4)}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_bytes(_KEY_BYTES))
    try:
        os.link(scratch, path)  # whole or not at all, and never over another one's
    except FileExistsError:
        pass
    finally:
        scratch.unlink()
    return Cursors(_read_key(path))


def _read_key(path: Path) -> bytes:
    key = path.read_bytes()
    if len(key) != _KEY_BYTES:
        raise ArgumentError("home", f"{path} is not a cursor key; delete it and start again")
    return key
