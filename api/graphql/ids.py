"""Global ids: which type, which network, which thing, in one opaque text that `node` reads."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass

import strawberry

from api.graphql.errors import ArgumentError

_MAX_ID = 512


@dataclass(frozen=True, slots=True)
class GlobalId:
    """What an id names.

    Attributes:
        type_name: Name of the GraphQL type.
        parts: What the type looks a thing up by.
    """

    type_name: str
    parts: tuple[str, ...]


def global_id(type_name: str, *parts: str) -> strawberry.ID:
    """Return the id of a thing, the same in every answer of every server."""
    text = json.dumps([type_name, *parts], separators=(",", ":"), ensure_ascii=False)
    return strawberry.ID(urlsafe_b64encode(text.encode()).decode().rstrip("="))


def read_global_id(text: str, argument: str = "id") -> GlobalId:
    """Return what an id names.

    Raises:
        ArgumentError: It is no id of ours.
    """
    refusal = ArgumentError(argument, "not an id; use one from an answer, or look up by name")
    if len(text) > _MAX_ID:
        raise refusal
    try:
        parts = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (Base64Error, ValueError, RecursionError) as error:
        raise refusal from error
    if not (isinstance(parts, list) and parts and all(isinstance(part, str) for part in parts)):
        raise refusal
    return GlobalId(parts[0], tuple(parts[1:]))
