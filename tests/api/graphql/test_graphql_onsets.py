"""Onsets over GraphQL, as the command recorded them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from api.cli import run
from api.graphql.context import Context, Services
from api.graphql.running import execute
from api.home import Home

Data = Callable[..., Any]
DETECT = ["leak", "detect", "--network", "ltown", "--json"]
FIRST_HALF = [*DETECT, "--to", "2024-03-14T12:00:00+02:00"]
LIST = """
query ($network: String! = "ltown", $first: Int!, $after: EventCursor) {
  leakOnsets(network: $network, first: $first, after: $after) {
    edges { node { id onsetId networkName onset seen flowM3s statistic tags said
      series(first: 2) { tag assetName quantity }
      window { from to } reference { from to } windowToRun { from to }
      evidence { verified height leafIndex } } }
    pageInfo { hasNextPage endCursor } totalCount } }
"""


def command(home: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> Any:
    capsys.readouterr()
    assert run(["--home", str(home), *arguments]) == 0
    return json.loads(capsys.readouterr().out)["onsets"]


@pytest.fixture
def detected(own_home: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """What the command printed of two searches, of a day and a half after the onset and of all."""
    return [one for said in (FIRST_HALF, DETECT) for one in command(own_home, said, capsys)]


@pytest.fixture
def data(own_home: Path, detected: list[dict[str, Any]]) -> Iterator[Data]:
    assert detected
    services = Services(Home(own_home))

    def one(query: str, **variables: object) -> Any:
        result = execute(Context(services), query, variables)
        assert result.errors is None, [error.formatted for error in result.errors]
        return result.data

    yield one
    services.close()


def nodes(page: dict[str, Any]) -> list[dict[str, Any]]:
    return [edge["node"] for edge in page["edges"]]


def test_what_the_command_printed_is_what_the_query_answers(
    data: Data, detected: list[dict[str, Any]]
) -> None:
    found = nodes(data(LIST, first=5)["leakOnsets"])
    assert len(found) == len(detected) == 2
    for one, printed in zip(found, detected, strict=True):
        assert (one["onsetId"], one["networkName"]) == (printed["id"], "ltown")
        assert (one["onset"], one["seen"]) == (printed["at"], printed["seen_at"])
        assert (one["flowM3s"], one["statistic"]) == (printed["flow_m3s"], printed["statistic"])
        assert (one["tags"], one["window"]) == (printed["sensors"], printed["window"])
        assert one["reference"] == printed["reference"]
        place = one["evidence"]
        assert place.pop("verified") is True
        assert (place["height"], place["leafIndex"]) == tuple(printed["evidence"].values())


def test_an_onset_names_the_sensors_that_show_it_and_the_window_to_run(data: Data) -> None:
    *_, one = nodes(data(LIST, first=5)["leakOnsets"])
    assert one["tags"]
    assert [series["tag"] for series in one["series"]] == one["tags"][:2]
    assert {series["quantity"] for series in one["series"]} == {"PRESSURE"}
    assert one["said"].startswith(f"onset at {one['onset']}, about ")
    assert one["said"].endswith(f", clearest at {', '.join(one['tags'])}")
    # The minute after the last reading, as the command says next.
    assert one["windowToRun"] == {"from": one["onset"], "to": "2024-03-14T21:56:00Z"}


def test_the_pages_of_onsets_are_all_of_them_in_order_of_record(
    data: Data, detected: list[dict[str, Any]]
) -> None:
    first = data(LIST, first=1)["leakOnsets"]
    assert (first["pageInfo"]["hasNextPage"], first["totalCount"]) == (True, 2)
    rest = data(LIST, first=1, after=first["pageInfo"]["endCursor"])["leakOnsets"]
    assert rest["pageInfo"]["hasNextPage"] is False
    assert [one["onsetId"] for one in nodes(first) + nodes(rest)] == [one["id"] for one in detected]


def test_a_network_in_which_none_was_found_has_none(data: Data) -> None:
    page = data(LIST, network="cycle", first=5)["leakOnsets"]
    assert (page["edges"], page["totalCount"]) == ([], 0)


def test_an_onset_is_found_again_by_its_id(data: Data) -> None:
    (one,) = nodes(data(LIST, first=1)["leakOnsets"])
    query = "query ($id: ID!) { node(id: $id) { __typename ... on LeakOnset { onsetId } } }"
    assert data(query, id=one["id"])["node"] == {
        "__typename": "LeakOnset",
        "onsetId": one["onsetId"],
    }
