"""Times of a file, read by the column.

Read are `YYYY-MM-DD HH:MM[:SS[.fraction]]`, with a `T` or a space between, and then nothing, `Z` or
`+HH:MM`. A time without an offset is a wall clock in a zone: where daylight saving ends one hour of
it happens twice, where it begins one never does.
"""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from twin.assets import zone_of
from twin.instants import NS_PER_S
from twin.readings import TimeArray

FaultArray = npt.NDArray[np.uint8]
_Bytes = npt.NDArray[np.uint8]
_Ints = npt.NDArray[np.int64]
_Bools = npt.NDArray[np.bool_]

MIN_NS = 1 << 32
"""The earliest time that the record can hold."""
MAX_NS = (1 << 63) - 1

_WIDTH = 40  # the longest spelling has 35 characters
_MINUTE_END = 16  # characters of YYYY-MM-DD HH:MM
_MINUTE_S = 60
_DAY_S = 86_400


class TimeFault(IntEnum):
    """What is wrong with a time."""

    NONE = 0
    UNREADABLE = 1
    NO_OFFSET = 2  # and no zone is known
    AMBIGUOUS = 3  # the wall clock shows it twice
    SKIPPED = 4  # the wall clock never shows it
    OUT_OF_RANGE = 5  # before what the record can hold, or after it


def read_times(
    texts: npt.NDArray[np.object_], time_zone: str | None
) -> tuple[TimeArray, FaultArray]:
    """Return the instants of a column of times.

    Args:
        texts: Text of each time, shape (n,).
        time_zone: Zone of those without an offset: IANA name, fixed offset, or None.

    Returns:
        Instants [ns since the Unix epoch], shape (n,), and the `TimeFault` of each, shape (n,);
        where there is a fault the instant means nothing.
    """
    if len(texts) == 0:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.uint8)
    cells = _Cells(texts)
    wall_s = cells.wall_s()
    fraction_ns = cells.fraction_ns()
    offset_s, has_offset = cells.offset_s()
    fault = np.where(cells.is_good & cells.is_at_end(), TimeFault.NONE, TimeFault.UNREADABLE)
    fault = fault.astype(np.uint8)
    local = (fault == TimeFault.NONE) & ~has_offset
    if time_zone is None:
        fault[local] = TimeFault.NO_OFFSET
    elif local.any():
        offset_s[local], fault[local] = _zone_offsets(wall_s[local], time_zone)
    at_s = wall_s - offset_s
    is_held = (at_s >= 0) & (at_s < MAX_NS // NS_PER_S)
    at_ns = np.where(is_held, at_s, 0) * NS_PER_S + fraction_ns
    fault[(fault == TimeFault.NONE) & (~is_held | (at_ns < MIN_NS))] = TimeFault.OUT_OF_RANGE
    return at_ns, fault


class _Cells:
    """A column of texts as a matrix of characters, read from left to right."""

    def __init__(self, texts: npt.NDArray[np.object_]) -> None:
        as_text = texts.astype(f"U{_WIDTH}")  # cut: what is longer is no time
        codes = as_text.view(np.uint32).reshape(len(as_text), -1)[:, :_WIDTH]
        self.chars: _Bytes = np.zeros((len(as_text), _WIDTH), dtype=np.uint8)
        self.chars[:, : codes.shape[1]] = np.where(codes < 128, codes, 0xFF)  # noqa: PLR2004 - ASCII
        length = np.strings.str_len(as_text)
        self.length: _Ints = length.astype(np.int64)
        self.is_good: _Bools = self.length < _WIDTH
        self.at: _Ints = np.zeros(len(as_text), dtype=np.int64)
        self.rows = np.arange(len(as_text))

    def char(self, ahead: int = 0) -> _Bytes:
        """Return the character at the place reached, 0 behind the end."""
        place = np.minimum(self.at + ahead, _WIDTH - 1)
        found: _Bytes = self.chars[self.rows, place]
        return found

    def number(self, column: int, n_digits: int) -> _Ints:
        """Return the digits at a fixed place as numbers; anything else is a fault."""
        digits = self.chars[:, column : column + n_digits].astype(np.int64) - ord("0")
        self.is_good &= ((digits >= 0) & (digits <= 9)).all(axis=1)  # noqa: PLR2004 - digits
        powers = 10 ** np.arange(n_digits - 1, -1, -1)
        value: _Ints = digits @ powers
        return value

    def expect(self, column: int, characters: str) -> None:
        """Take a fault where a fixed place holds none of `characters`."""
        self.is_good &= np.isin(self.chars[:, column], [ord(c) for c in characters])

    def wall_s(self) -> _Ints:
        """Read date and clock; return the wall clock [s since 1970-01-01 00:00 of the wall]."""
        year, month, day = self.number(0, 4), self.number(5, 2), self.number(8, 2)
        hour, minute = self.number(11, 2), self.number(14, 2)
        for column, characters in ((4, "-"), (7, "-"), (10, "T t"), (13, ":")):
            self.expect(column, characters)
        self.at[:] = _MINUTE_END
        has_seconds = self.char() == ord(":")
        before = self.is_good.copy()
        second = self.number(17, 2)
        self.is_good = np.where(has_seconds, self.is_good, before)
        second = np.where(has_seconds, second, 0)
        self.at += 3 * has_seconds
        self.is_good &= (hour < 24) & (minute < 60) & (second < 60)  # noqa: PLR2004 - a clock
        days = self._days(year, month, day)
        return days * _DAY_S + hour * 3_600 + minute * _MINUTE_S + second

    def _days(self, year: _Ints, month: _Ints, day: _Ints) -> _Ints:
        """Return the days since 1970-01-01; a day that is in no calendar is a fault."""
        self.is_good &= (month >= 1) & (month <= 12) & (day >= 1) & (year >= 1)  # noqa: PLR2004
        ok = np.where(self.is_good, (year - 1970) * 12 + month - 1, 0)
        first = ok.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
        following = (ok + 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
        self.is_good &= day <= following - first
        days: _Ints = first + day - 1
        return days

    def fraction_ns(self) -> _Ints:
        """Read up to nine digits behind a point, where there is one [ns]."""
        value = np.zeros(len(self.rows), dtype=np.int64)
        is_reading = (self.char() == ord(".")) & (self.at > _MINUTE_END)
        self.is_good &= ~is_reading | ((self.char(1) >= ord("0")) & (self.char(1) <= ord("9")))
        self.at += is_reading
        for place in range(9):
            if not is_reading.any():
                break
            here = self.char()
            is_reading = is_reading & (here >= ord("0")) & (here <= ord("9"))
            value += np.where(is_reading, (here.astype(np.int64) - ord("0")) * 10 ** (8 - place), 0)
            self.at += is_reading
        return value

    def offset_s(self) -> tuple[_Ints, _Bools]:
        """Read `Z` or `+HH:MM` [s east of UTC]; the second answer says where one stood."""
        sign = self.char()
        is_utc = (sign == ord("Z")) | (sign == ord("z"))
        is_numeric = (sign == ord("+")) | (sign == ord("-"))
        digits = [self.char(k).astype(np.int64) - ord("0") for k in (1, 2, 4, 5)]
        hour, minute = 10 * digits[0] + digits[1], 10 * digits[2] + digits[3]
        is_spelled = (self.char(3) == ord(":")) & (hour < 24) & (minute < 60)  # noqa: PLR2004
        for digit in digits:
            is_spelled &= (digit >= 0) & (digit <= 9)  # noqa: PLR2004 - digits
        self.is_good &= ~is_numeric | is_spelled
        self.at += is_utc + 6 * is_numeric
        size_s = hour * 3_600 + minute * _MINUTE_S
        offset_s = np.where(is_numeric, np.where(sign == ord("-"), -size_s, size_s), 0)
        return offset_s, is_utc | is_numeric

    def is_at_end(self) -> _Bools:
        """Return where nothing is left over."""
        done: _Bools = self.at == self.length
        return done


def _zone_offsets(wall_s: _Ints, time_zone: str) -> tuple[_Ints, FaultArray]:
    """Return the offset of each wall clock [s east of UTC], and where it has none or two."""
    zone = zone_of(time_zone)
    if zone is None:
        size_s = int(time_zone[1:3]) * 3_600 + int(time_zone[4:6]) * _MINUTE_S
        offset_s = np.full(len(wall_s), -size_s if time_zone[0] == "-" else size_s)
        return offset_s, np.zeros(len(wall_s), dtype=np.uint8)
    # No zone has changed its offset within a minute since 1972: ask once for each.
    minutes, which = np.unique(wall_s // _MINUTE_S, return_inverse=True)
    asked = [_offset_of(int(minute), zone) for minute in minutes]
    offset_s = np.array([offset for offset, _ in asked], dtype=np.int64)
    fault = np.array([wrong for _, wrong in asked], dtype=np.uint8)
    return offset_s[which], fault[which]


def _offset_of(minute: int, zone: tzinfo) -> tuple[int, TimeFault]:
    """Return the offset of a wall clock [s], after PEP 495: the two folds differ at a change."""
    try:
        wall = datetime(1970, 1, 1, tzinfo=zone) + timedelta(minutes=minute)
        first, second = wall.utcoffset(), wall.replace(fold=1).utcoffset()
    except OverflowError:
        return 0, TimeFault.OUT_OF_RANGE
    if first is None or second is None:
        return 0, TimeFault.UNREADABLE
    if first == second:
        return int(first.total_seconds()), TimeFault.NONE
    return 0, TimeFault.AMBIGUOUS if first > second else TimeFault.SKIPPED
