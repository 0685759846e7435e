"""Time: instants are whole nanoseconds since the Unix epoch; text is RFC 3339 with an offset.

Windows are [from, to). The clock is an argument of type `Clock`; only the doors in `api` read the
real one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from twin.errors import UnreadableError

Clock = Callable[[], int]
"""Returns now in nanoseconds since the Unix epoch."""

NS_PER_S = 1_000_000_000
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class InstantError(UnreadableError):
    """A time is not RFC 3339 with an offset."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return (
            f"{self.text!r} is not a time with an offset; write it like 2018-03-27T20:35:00+02:00"
        )


def parse_instant(text: str) -> int:
    """Return the nanoseconds since the Unix epoch of an RFC 3339 time with an offset.

    Raises:
        InstantError: The text has no offset, or is no such time.

    Source:
        RFC 3339, section 5.6.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise InstantError(text)
    day, clock, fraction, offset = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{offset.upper().replace('Z', '+00:00')}")
    except ValueError as error:
        raise InstantError(text) from error
    return datetime_to_ns(moment) + int((fraction or "").ljust(9, "0"))


def format_instant(at_ns: int) -> str:
    """Return RFC 3339 in UTC, with as many fraction digits (0, 3, 6 or 9) as the value needs."""
    seconds, rest_ns = divmod(at_ns, NS_PER_S)
    text = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    if not rest_ns:
        return f"{text}Z"
    digits = f"{rest_ns:09d}"
    for n_digits in (3, 6, 9):
        if not digits[n_digits:].strip("0"):
            return f"{text}.{digits[:n_digits]}Z"
    raise AssertionError(digits)


def datetime_to_ns(moment: datetime) -> int:
    """Return the nanoseconds since the Unix epoch of an aware datetime, without rounding."""
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * NS_PER_S + delta.microseconds * 1_000


def ns_to_datetime(at_ns: int) -> datetime:
    """Return an aware UTC datetime, cut to microseconds."""
    return _EPOCH + timedelta(microseconds=at_ns // 1_000)
