"""`twin leak run --leaks`: how many leaks at once a run looks for."""

from __future__ import annotations

from typing import Annotated

import typer

from twin.errors import UnreadableError

_MOST = 4
_AUTO = "auto"

Leaks = Annotated[
    str,
    typer.Option(
        "--leaks",
        metavar="N|auto",
        help="Look for up to N leaks at once (1 to 4); auto looks for as many as show.",
    ),
]


def read_leaks(text: str) -> int:
    """Return the most leaks to look for.

    Raises:
        UnreadableError: Neither `auto` nor a number from 1 to 4.
    """
    if text == _AUTO:
        return _MOST
    if text in {str(number) for number in range(1, _MOST + 1)}:
        return int(text)
    raise UnreadableError(f"--leaks {text}: give a number from 1 to {_MOST}, or {_AUTO}")
