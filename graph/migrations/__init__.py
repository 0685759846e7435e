"""The numbered changes of each store's schema: `V0001__name.sql` and `V0001__name.cypher`.

A change that was applied is remembered with the checksum of its file, so that an edited file is
noticed. A change is never edited: the next one is written.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import ClassVar, Literal

from graph.store import GraphError

Dialect = Literal["sql", "cypher"]
_NAME = re.compile(r"V(\d{4})__([a-z0-9_]+)\.(sql|cypher)")


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered change of a schema.

    Attributes:
        version: Its number, from 1, without gaps.
        name: What it is about.
        checksum: SHA-256 of its file, in hex.
        statements: Its statements, in order, without the closing semicolon.
    """

    version: int
    name: str
    checksum: str
    statements: tuple[str, ...]


class MigrationError(GraphError):
    """A database's schema is not one that this release can use.

    Attributes:
        place: File or address of the database.
        version: Number of the change in question.
        reason: What is wrong with it.
    """

    code: ClassVar[str] = "GRAPH_SCHEMA"

    def __init__(self, place: str, version: int, reason: str) -> None:
        super().__init__(place, version, reason)
        self.place = place
        self.version = version
        self.reason = reason

    def __str__(self) -> str:
        return f"the schema of the graph at {self.place}, change V{self.version:04d}: {self.reason}"


def migrations(dialect: Dialect) -> tuple[Migration, ...]:
    """Return the changes of one dialect, in order."""
    found = []
    for entry in files(__name__).iterdir():
        match = _NAME.fullmatch(entry.name)
        if match and match[3] == dialect:
            content = entry.read_bytes()
            checksum = hashlib.sha256(content).hexdigest()
            statements = split_statements(content.decode(), "--" if dialect == "sql" else "//")
            found.append(Migration(int(match[1]), match[2], checksum, statements))
    found.sort(key=lambda migration: migration.version)
    assert [migration.version for migration in found] == list(range(1, len(found) + 1))
    return tuple(found)


def split_statements(text: str, comment: str) -> tuple[str, ...]:
    """Return the statements of a file: each ends with `;` at the end of a line."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith(comment)]
    statements = re.split(r";\s*(?:\n|$)", "\n".join(lines))
    return tuple(statement.strip() for statement in statements if statement.strip())


def pending(
    place: str, known: tuple[Migration, ...], applied: Mapping[int, str]
) -> tuple[Migration, ...]:
    """Return the changes that a database still lacks.

    Args:
        place: File or address of the database.
        known: The changes of this release.
        applied: Checksum of each change that the database remembers, by number.

    Raises:
        MigrationError: A remembered change is unknown here, or its file has another checksum.
    """
    checksums = {migration.version: migration.checksum for migration in known}
    for version, checksum in sorted(applied.items()):
        if version not in checksums:
            raise MigrationError(place, version, "it was made by a newer release; use that one")
        if checksums[version] != checksum:
            raise MigrationError(
                place, version, "the file has changed since it was applied; use an empty database"
            )
    return tuple(migration for migration in known if migration.version not in applied)
