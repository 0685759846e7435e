from __future__ import annotations

import stat
from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.graphql.cursors import KEY_FILE, Cursors, open_cursors
from api.graphql.errors import ArgumentError
from api.graphql.ids import GlobalId, global_id, read_global_id
from api.graphql.scalars import EventCursor

CURSORS = Cursors(bytes(range(32)))
keys = st.lists(st.text(max_size=80) | st.integers(0, 2**62), min_size=1, max_size=3).map(tuple)


@given(st.text(max_size=80), keys)
def test_a_cursor_comes_back_as_it_was_given(scope: str, key: tuple[str | int, ...]) -> None:
    assert CURSORS.read(scope, CURSORS.sign(scope, key)) == key


@given(st.data())
def test_a_cursor_with_any_bit_changed_is_refused(data: st.DataObject) -> None:
    cursor = CURSORS.sign("assets ltown", ("node:n54",))
    raw = bytearray(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    changed = EventCursor(urlsafe_b64encode(bytes(raw)).decode().rstrip("="))
    with pytest.raises(ArgumentError, match="not a cursor"):
        CURSORS.read("assets ltown", changed)


@given(st.text(max_size=60))
def test_no_other_text_is_a_cursor(text: str) -> None:
    with pytest.raises(ArgumentError, match="not a cursor"):
        CURSORS.read("assets ltown", EventCursor(text))


@pytest.mark.parametrize("other", ["assets net3", "assets", "assets ltow", "n assets ltown"])
def test_a_cursor_of_another_list_is_refused(other: str) -> None:
    cursor = CURSORS.sign("assets ltown", ("node:n54",))
    with pytest.raises(ArgumentError, match="not a cursor"):
        CURSORS.read(other, cursor)


def test_a_cursor_of_another_home_is_refused(tmp_path: Path) -> None:
    mine, other = open_cursors(tmp_path / "mine"), open_cursors(tmp_path / "other")
    cursor = mine.sign("blocks", (1,))
    assert open_cursors(tmp_path / "mine").read("blocks", cursor) == (1,)
    with pytest.raises(ArgumentError):
        other.read("blocks", cursor)


def test_the_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    open_cursors(tmp_path)
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]


def test_a_key_that_is_none_is_refused_with_its_place(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).write_bytes(b"short")
    with pytest.raises(ArgumentError, match=KEY_FILE):
        open_cursors(tmp_path)


@given(st.text(min_size=1, max_size=20), st.lists(st.text(max_size=40), max_size=3))
def test_an_id_comes_back_as_it_was_given(type_name: str, parts: list[str]) -> None:
    found = read_global_id(global_id(type_name, *parts))
    assert found == GlobalId(type_name, tuple(parts))


@pytest.mark.parametrize("text", ["", "x", "bm8", "W10", "WzFd", "e30", "W1tdXQ", "a" * 513, "ü"])
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(ArgumentError, match="not an id"):
        read_global_id(text)
