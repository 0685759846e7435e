"""What assets are called.

EPANET ids are unique only among nodes and among links: 72 ids of Net3 name both. So an asset is
written with its space, `node:10` or `link:10`; the bare id is read where only one could be meant.
A user of water is `user:10`, after the junction `node:10` that serves it.
"""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass
from enum import StrEnum

from twin.errors import UnreadableError

_NETWORK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class Space(StrEnum):
    """The name spaces within a network."""

    NODE = "node"
    LINK = "link"
    USER = "user"


class AssetNameError(UnreadableError):
    """A text names no asset, or more than one."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(text, reason)
        self.text = text
        self.reason = reason

    def __str__(self) -> str:
        return f"asset {self.text!r}: {self.reason}"


@dataclass(frozen=True, slots=True, order=True)
class AssetRef:
    """The name of one asset within its network."""

    space: Space
    id: str

    def __str__(self) -> str:
        return f"{self.space}:{self.id}"


def parse_ref(text: str) -> AssetRef:
    """Return the asset that a full name such as `node:10` means.

    Raises:
        AssetNameError: The text has no known space before its first colon, or no id after it.
    """
    space, colon, asset_id = text.partition(":")
    if not colon or space not in list(Space) or not asset_id:
        raise AssetNameError(text, "write it as node:ID, link:ID or user:ID")
    return AssetRef(Space(space), asset_id)


def resolve_ref(
    text: str, known: Container[AssetRef], spaces: tuple[Space, ...] = (Space.NODE, Space.LINK)
) -> AssetRef:
    """Return the asset of `known` that a full name or a bare id means.

    Args:
        text: `node:10`, or `10` where only one asset of `spaces` has that id.
        known: The assets of the network.
        spaces: Where a bare id is looked up: a pressure is of a node, a flow mostly of a link.

    Raises:
        AssetNameError: No asset has that name, or more than one.
    """
    head = text.partition(":")[0]
    if head in list(Space) and AssetRef(Space(head), text[len(head) + 1 :]) in known:
        return parse_ref(text)
    found = [ref for space in spaces if (ref := AssetRef(space, text)) in known]
    if len(found) == 1:
        return found[0]
    if found:
        raise AssetNameError(text, f"names {' and '.join(map(str, found))}; write one of them")
    raise AssetNameError(text, "no such asset in this network")


def check_network_name(name: str) -> str:
    """Return `name` when it can name a network: letters, digits, `_.-`, at most 64.

    Raises:
        UnreadableError: It cannot.
    """
    if _NETWORK_NAME.fullmatch(name) is None:
        raise UnreadableError(
            f"network name {name!r}: use letters, digits, '_', '.' and '-', at most 64, "
            "and begin with a letter or digit"
        )
    return name
