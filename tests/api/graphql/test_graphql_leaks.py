"""What a watch tells and what the book holds, over GraphQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.graphql.context import Context, Services
from api.graphql.running import execute
from api.home import Home
from api.report.words import likelihood
from twin.instants import parse_instant
from twin.leaks.sightings import Sighting, SightingKind, keep_sightings
from twin.leaks.windows import DAY_NS, Window

Data = Callable[..., Any]
MONDAY_NS = parse_instant("2024-03-11T00:00:00+08:00")
CALLED = "P10"
LIST = """
query ($first: Int!, $after: EventCursor, $kinds: [LeakSightingKind!]) {
  leakSightings(network: "cycle", first: $first, after: $after, kinds: $kinds) {
    edges { node { id sightingId kind said probability likelihood flowM3s tag fault offsetM onset
      falseAlarmsPerYear settings versions
      asset { name kind } day { from to } evidence { verified height leafIndex }
      zone { pipeIds lengthM reachM map assets(first: 5) { name } } } }
    pageInfo { hasNextPage endCursor } totalCount } }
"""
BOOK = """
query ($first: Int!, $after: EventCursor, $isRepaired: Boolean) {
  leakBook(network: "cycle", first: $first, after: $after, isRepaired: $isRepaired) {
    edges { node { id runId pipeId flowM3s since confirmedBy isRepaired repairedAt repairedBy said
      asset { name } run { runId } call { sightingId } confirmation { verified height leafIndex }
      repair { verified } } }
    pageInfo { hasNextPage endCursor } totalCount } }
"""
CONFIRM = """
mutation ($id: String!, $pipe: String!, $since: DateTime, $by: String! = "") {
  confirmLeak(runId: $id, pipe: $pipe, since: $since, by: $by) { __typename
    ... on FoundLeak { pipeId since flowM3s confirmation { verified } }
    ... on NotFound { what message } ... on BadRequest { message } ... on Busy { message } } }
"""
REPAIR = """
mutation ($id: String!, $at: DateTime!, $pipe: String, $by: String! = "") {
  repairLeak(runId: $id, at: $at, pipe: $pipe, by: $by) { __typename
    ... on FoundLeak { pipeId repairedAt repair { verified } }
    ... on NotFound { what message } ... on BadRequest { message } ... on Busy { message } } }
"""


def call(day: int) -> Sighting:
    return Sighting(
        network="cycle",
        kind=SightingKind.CALL,
        day=Window(MONDAY_NS + day * DAY_NS, MONDAY_NS + (day + 1) * DAY_NS),
        asset=f"link:{CALLED}",
        tag=None,
        fault=None,
        offset_m=None,
        flow_m3s=0.003,
        probability=0.72,
        onset_ns=MONDAY_NS,
        calibration=Window(MONDAY_NS - 14 * DAY_NS, MONDAY_NS),
        readings_sha256="a" * 64,
        inp_sha256="b" * 64,
        settings={"false_alarms_per_year": 0.5},
        versions={"watercourse": "0"},
    )


LEAK = {"flow_m3s": None, "probability": None}
TOLD = [
    call(1),
    replace(
        call(2),
        kind=SightingKind.SENSOR,
        asset="node:A1",
        tag="A1.pressure",
        fault="drift",
        offset_m=-0.4,
        **LEAK,
    ),
    replace(call(3), kind=SightingKind.REPAIRED),
]


@pytest.fixture
def services(own_home: Path) -> Iterator[Services]:
    """A home in which a watch told of a leak, a sensor and a repair."""
    home = Home(own_home)
    with home.writer() as journal:
        keep_sightings(journal, TOLD, home.clock)
    opened = Services(home, write_wait_s=0.0)
    yield opened
    opened.close()


@pytest.fixture
def data(services: Services) -> Data:
    def one(query: str, **variables: object) -> Any:
        result = execute(Context(services), query, variables)
        assert result.errors is None, [error.formatted for error in result.errors]
        return result.data

    return one


def nodes(page: dict[str, Any]) -> list[dict[str, Any]]:
    return [edge["node"] for edge in page["edges"]]


def test_a_call_is_a_zone_with_how_sure_and_is_proved(data: Data) -> None:
    (told,) = nodes(data(LIST, first=5, kinds=["CALL"])["leakSightings"])
    assert (told["flowM3s"], told["probability"]) == (0.003, 0.72)
    assert told["likelihood"] == likelihood(0.72) == "likely"
    assert "it is likely (72 %) that it lies within 300 m along pipes" in told["said"]
    assert told["asset"] == {"name": f"link:{CALLED}", "kind": "PIPE"}
    assert told["evidence"]["verified"] is True
    assert (told["falseAlarmsPerYear"], told["settings"]) == (0.5, {"false_alarms_per_year": 0.5})


def test_a_call_of_before_settings_were_kept_has_none(data: Data, services: Services) -> None:
    old = replace(call(4), settings={}, versions={})
    with services.home.writer() as journal:
        keep_sightings(journal, [old], services.home.clock)
    *_, told = nodes(data(LIST, first=5, kinds=["CALL"])["leakSightings"])
    assert told["sightingId"] == old.sighting_id
    assert (told["falseAlarmsPerYear"], told["settings"], told["versions"]) == (None, {}, {})


def test_the_zone_of_a_call_is_never_the_called_pipe_alone_and_is_drawn(data: Data) -> None:
    (told,) = nodes(data(LIST, first=5, kinds=["CALL"])["leakSightings"])
    zone = told["zone"]
    assert zone["pipeIds"][0] == CALLED
    assert len(zone["pipeIds"]) > 1
    drawn = [one["properties"]["pipe_id"] for one in zone["map"]["features"]]
    assert drawn == zone["pipeIds"]
    assert all(one["geometry"]["type"] == "LineString" for one in zone["map"]["features"])
    assert [one["name"] for one in zone["assets"]] == [f"link:{p}" for p in zone["pipeIds"][:5]]


def test_a_sensor_that_lies_is_told_with_its_fault_and_without_a_zone(data: Data) -> None:
    (told,) = nodes(data(LIST, first=5, kinds=["SENSOR"])["leakSightings"])
    assert (told["tag"], told["fault"], told["offsetM"]) == ("A1.pressure", "drift", -0.4)
    assert (told["zone"], told["probability"], told["likelihood"]) == (None, None, None)
    assert told["asset"] == {"name": "node:A1", "kind": "JUNCTION"}


def test_the_pages_of_sightings_are_all_of_them_in_order_of_record(data: Data) -> None:
    seen: list[dict[str, Any]] = []
    after = None
    while True:
        page = data(LIST, first=1, after=after)["leakSightings"]
        seen += nodes(page)
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = page["pageInfo"]["endCursor"]
    assert [one["sightingId"] for one in seen] == [one.sighting_id for one in TOLD]
    assert page["totalCount"] == len(TOLD)


def test_a_sighting_and_a_found_leak_are_found_again_by_their_ids(data: Data) -> None:
    (told,) = nodes(data(LIST, first=1)["leakSightings"])
    data(CONFIRM, id=told["sightingId"], pipe=CALLED)
    (found,) = nodes(data(BOOK, first=1)["leakBook"])
    ids = [told["id"], found["id"]]
    again = data("query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }", ids=ids)["nodes"]
    assert again == [
        {"__typename": "LeakSighting", "id": told["id"]},
        {"__typename": "FoundLeak", "id": found["id"]},
    ]


def test_a_call_that_a_crew_confirms_is_in_the_book_until_it_is_repaired(data: Data) -> None:
    sighting_id = TOLD[0].sighting_id
    kept = data(CONFIRM, id=sighting_id, pipe=CALLED, by="crew 4")["confirmLeak"]
    assert kept["__typename"] == "FoundLeak"
    assert (kept["flowM3s"], kept["confirmation"]["verified"]) == (0.003, True)
    assert kept["since"] == "2024-03-10T16:00:00Z"
    (found,) = nodes(data(BOOK, first=5, isRepaired=False)["leakBook"])
    assert (found["runId"], found["confirmedBy"], found["repair"]) == (sighting_id, "crew 4", None)
    assert (found["call"], found["run"]) == ({"sightingId": sighting_id}, None)
    assert found["said"].endswith("says crew 4; it runs")
    done = data(REPAIR, id=sighting_id, at="2024-03-15T00:00:00Z")["repairLeak"]
    assert (done["repairedAt"], done["repair"]["verified"]) == ("2024-03-15T00:00:00Z", True)
    assert nodes(data(BOOK, first=5, isRepaired=False)["leakBook"]) == []
    (found,) = nodes(data(BOOK, first=5)["leakBook"])
    assert (found["isRepaired"], found["repairedBy"]) == (True, None)


@pytest.mark.parametrize(
    ("asked", "outcome", "words"),
    [
        ({"id": "leak-none", "pipe": CALLED}, "NotFound", "no leak run 'leak-none'"),
        ({"id": "watch-none", "pipe": CALLED}, "NotFound", "no call of a watch 'watch-none'"),
        ({"id": TOLD[1].sighting_id, "pipe": CALLED}, "NotFound", "no call of a watch"),
        ({"id": TOLD[0].sighting_id, "pipe": "none"}, "NotFound", "no such asset"),
        ({"id": TOLD[0].sighting_id, "pipe": "node:A1"}, "BadRequest", "not a pipe"),
        (
            {"id": TOLD[0].sighting_id, "pipe": CALLED, "since": "2024-04-01T00:00:00Z"},
            "BadRequest",
            "cannot be the one",
        ),
    ],
)
def test_what_cannot_be_confirmed_is_an_outcome_and_leaves_the_ledger_as_it_was(
    data: Data, services: Services, asked: dict[str, str], outcome: str, words: str
) -> None:
    height = services.record().height
    answer = data(CONFIRM, **asked)["confirmLeak"]
    assert answer["__typename"] == outcome
    assert words in answer["message"]
    assert services.record().height == height


def test_a_repair_of_what_is_not_in_the_book_says_what_to_do_first(data: Data) -> None:
    answer = data(REPAIR, id=TOLD[0].sighting_id, at="2024-03-15T00:00:00Z")["repairLeak"]
    assert answer["__typename"] == "BadRequest"
    assert f"first: twin leak confirm {TOLD[0].sighting_id} PIPE" in answer["message"]


def test_while_another_one_writes_a_crew_is_told_that_it_is_busy(
    data: Data, own_home: Path
) -> None:
    with Home(own_home).writer():
        answer = data(CONFIRM, id=TOLD[0].sighting_id, pipe=CALLED)["confirmLeak"]
    assert answer["__typename"] == "Busy"


def test_a_name_that_is_too_long_is_refused(services: Services) -> None:
    asked = {"id": TOLD[0].sighting_id, "pipe": CALLED, "by": "x" * 201}
    result = execute(Context(services), CONFIRM, asked)
    assert result.errors is not None
    assert "at most 200 characters" in result.errors[0].message
