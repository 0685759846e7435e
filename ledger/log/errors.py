"""The two ways in which a log can fail its reader."""

from __future__ import annotations


class LogError(Exception):
    """A log, or a piece of one, was not accepted."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UnreadableLogError(LogError):
    """The text or bytes are not in the one spelling that the format allows."""


class RefutedLogError(LogError):
    """The text was read, and what it claims is not so."""
