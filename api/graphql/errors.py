"""What a client is told when something fails: a stable code, a sentence, a correlation id.

An outcome that a caller can act on is a member of a union, in the schema. Everything else ends
here: the code is stable, the sentence comes from one table, and what really happened goes to the
server's log under the correlation id. Only a fault of the request itself is told in its own words.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import ClassVar

from graphql import GraphQLError, GraphQLSyntaxError

from twin.errors import UnreadableError

LOGGER = logging.getLogger("watercourse.graphql")
INTERNAL = "INTERNAL"
PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
BAD_USER_INPUT = "BAD_USER_INPUT"
TOO_DEEP = "QUERY_TOO_LARGE"


class ArgumentError(UnreadableError):
    """An argument of a field cannot be used; the message is for the caller's eyes."""

    code: ClassVar[str] = BAD_USER_INPUT

    def __init__(self, argument: str, reason: str) -> None:
        super().__init__(argument, reason)
        self.argument = argument
        self.reason = reason

    def __str__(self) -> str:
        return f"argument {self.argument}: {self.reason}"


class TimedOutError(UnreadableError):
    """An operation took longer than the server gives one."""

    code: ClassVar[str] = "TIMED_OUT"

    def __init__(self, limit_s: float) -> None:
        super().__init__(limit_s)
        self.limit_s = limit_s

    def __str__(self) -> str:
        return f"the operation took longer than {self.limit_s:g} s; ask for less at once"


@dataclass(frozen=True, slots=True)
class Told:
    """What is told for a code.

    Attributes:
        sentence: For a masked error.
        own_words: Whether the error's own message is told instead, as it can only speak of what
            the client sent.
    """

    sentence: str
    own_words: bool = False


CODES: dict[str, Told] = {
    PARSE_FAILED: Told("The document is not GraphQL.", own_words=True),
    VALIDATION_FAILED: Told("The document does not fit the schema.", own_words=True),
    BAD_USER_INPUT: Told("An argument or variable cannot be used.", own_words=True),
    "QUERY_TOO_LARGE": Told("The query asks for too much at once.", own_words=True),
    "TIMED_OUT": Told("The operation took too long; ask for less at once.", own_words=True),
    "BUSY": Told("The server is busy; try again in a moment."),
    INTERNAL: Told("Something failed inside the server; its log knows the correlation id."),
    "FAILED": Told("The operation failed; the server's log knows the correlation id."),
    "REFUSED": Told("The operation was understood and refused."),
    "BAD_INPUT": Told("What was asked for cannot be read."),
    "NOT_FOUND": Told("Nothing is recorded under that name."),
    "HYDRAULICS_FAILED": Told("The hydraulic model gave no answer."),
    "CANCELLED": Told("A person stopped the job."),
    "REFUTED": Told("A proof does not prove what it says."),
    "MALFORMED": Told("A record or proof is not in its one spelling."),
    "RECORD_REFUSED": Told("The record may not enter the ledger."),
    "LEDGER_BUSY": Told("Another process is writing to the ledger; try again in a moment."),
    "LEDGER_DAMAGED": Told("What is on disk is not what was signed; the operator must look."),
    "KEY": Told("The ledger's key cannot be used; the operator must look."),
    "STORAGE_FAILED": Told("The disk refused; what was acknowledged before is safe."),
    "GRAPH_REFUSED": Told("The graph cannot do what was asked."),
    "GRAPH_UNAVAILABLE": Told("The graph's database cannot be reached; try again later."),
    "GRAPH_FOREIGN": Told("The graph's database holds something else; the operator must look."),
    "GRAPH_MOVED": Told("The graph moved on meanwhile; try again."),
    "GRAPH_AHEAD": Told("The graph does not fit the ledger; the operator must rebuild it."),
    "GRAPH_SCHEMA": Told("The graph's database has another layout; the operator must look."),
    "EMPTY_WINDOW": Told("The window holds nothing to compare."),
    "NO_REFERENCE": Told("There is no leak-free past to compare with."),
    "NO_PRESSURE": Told("There are no pressures to compare."),
    "NOT_WRITTEN": Told("The proof could not be written."),
    "FILE_REFUSED": Told("The file was refused; nothing of it was recorded."),
    "SOURCE_LOST": Told("The source of readings cannot be reached."),
    "UNKNOWN_NODES": Told("The source of readings does not know some of the names."),
    "TAG_MAP_REFUSED": Told("The list of tags was refused; nothing was recorded."),
    "UNIT_MISFIT": Told("A unit does not fit its quantity."),
    "PORT_BUSY": Told("The port is taken."),
}
"""The one table of codes. A test holds it against every error class of the project."""


def code_of(error: GraphQLError) -> str:
    """Return the stable code of an error, whoever raised it."""
    original = error.original_error
    while isinstance(original, GraphQLError) and original.original_error is not None:
        original = original.original_error
    if original is not None and not isinstance(original, GraphQLError):
        if isinstance(original, RecursionError):
            return TOO_DEEP
        code = getattr(original, "code", None)
        return code if isinstance(code, str) and code in CODES else INTERNAL
    if isinstance(error, GraphQLSyntaxError):
        return PARSE_FAILED
    given = (error.extensions or {}).get("code")
    if isinstance(given, str) and given in CODES:
        return given
    return _code_of_request(error)


def _code_of_request(error: GraphQLError) -> str:
    """Sort an error of graphql-core itself: a value that the client sent, or one that we made."""
    kinds = {node.kind for node in error.nodes or ()}
    if error.path is None:
        return BAD_USER_INPUT if kinds <= {"variable_definition"} else VALIDATION_FAILED
    sent = any(kind.endswith(("_value", "argument", "variable")) for kind in kinds)
    return BAD_USER_INPUT if sent else INTERNAL


def told(error: GraphQLError, correlation_id: str) -> GraphQLError:
    """Return what the client is told of an error, and log what it is not told."""
    code = code_of(error)
    entry = CODES[code]
    message = error.message if entry.own_words else entry.sentence
    if isinstance(error.original_error, RecursionError):
        message = entry.sentence
    if not entry.own_words:
        is_bug = code == INTERNAL
        LOGGER.log(
            logging.ERROR if is_bug else logging.WARNING,
            "%s %s: %s",
            correlation_id,
            code,
            error.message,
            exc_info=error.original_error if is_bug else None,
        )
    return GraphQLError(
        message,
        nodes=error.nodes,
        source=error.source,
        positions=error.positions,
        path=error.path,
        extensions={"code": code, "correlationId": correlation_id},
    )
