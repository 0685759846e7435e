"""What assets are called."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.errors import UnreadableError
from twin.ids import (
    AssetNameError,
    AssetRef,
    Space,
    check_network_name,
    parse_ref,
    resolve_ref,
)

BOTH = frozenset({AssetRef(Space.NODE, "10"), AssetRef(Space.LINK, "10")})
refs = st.builds(AssetRef, st.sampled_from(Space), st.text(min_size=1))


@given(refs)
def test_a_full_name_reads_back_as_the_asset_it_names(ref: AssetRef) -> None:
    assert parse_ref(str(ref)) == ref


def test_a_bare_id_that_names_a_node_and_a_link_is_refused_with_both_names() -> None:
    with pytest.raises(AssetNameError, match="node:10 and link:10"):
        resolve_ref("10", BOTH)


def test_a_bare_id_is_read_where_the_space_leaves_no_doubt() -> None:
    assert resolve_ref("10", BOTH, (Space.LINK,)) == AssetRef(Space.LINK, "10")


def test_an_id_that_holds_a_colon_is_found_by_its_bare_and_by_its_full_name() -> None:
    odd = AssetRef(Space.NODE, "link:7")
    assert resolve_ref("link:7", {odd}) == odd
    assert resolve_ref("node:link:7", {odd}) == odd


@pytest.mark.parametrize("text", ["", "10", "pipe:10", "node:", ":10"])
def test_a_name_without_a_known_space_and_an_id_is_refused(text: str) -> None:
    with pytest.raises(AssetNameError):
        parse_ref(text)


@pytest.mark.parametrize("name", ["", "-x", "../up", "a/b", "a b", "x" * 65, "a\n"])
def test_a_network_name_that_could_leave_its_folder_is_refused(name: str) -> None:
    with pytest.raises(UnreadableError):
        check_network_name(name)
