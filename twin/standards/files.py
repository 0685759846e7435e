"""The standards that come with the project."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources

from twin.errors import NotFoundError
from twin.standards.standard import Standard, parse_standard

GB5749 = "gb5749-2022"
"""Drinking water quality, China."""


@lru_cache(maxsize=8)
def load_standard(name: str = GB5749) -> Standard:
    """Return a standard by the stem of its file.

    Raises:
        NotFoundError: No such standard comes with the project.
    """
    file = resources.files(__package__) / f"{name}.toml"
    if not name.replace("-", "").isalnum() or not file.is_file():
        raise NotFoundError("standard", name, "look into twin/standards")
    return parse_standard(file.read_bytes(), file.name)
