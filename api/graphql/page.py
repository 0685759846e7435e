"""The page to ask from: our own, small, and without anything from elsewhere.

A plant's network has no way to a content delivery network, and a page that needs one is dead there.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

_WEB = files("api.graphql") / "web"
_PACKAGED = Path(__file__).parent / "queries"
_IN_REPOSITORY = Path(__file__).parents[2] / "docs" / "queries"


def ask_html() -> str:
    """Return the page."""
    return (_WEB / "ask.html").read_text("utf-8")


def ask_script() -> str:
    """Return its script."""
    return (_WEB / "ask.js").read_text("utf-8")


def ask_style() -> str:
    """Return its style."""
    return (_WEB / "ask.css").read_text("utf-8")


@cache
def shipped_queries() -> dict[str, str]:
    """Return the queries of the documentation, by name, in order of their file names."""
    folder = _PACKAGED if _PACKAGED.is_dir() else _IN_REPOSITORY
    return {path.stem: path.read_text("utf-8") for path in sorted(folder.glob("*.graphql"))}
