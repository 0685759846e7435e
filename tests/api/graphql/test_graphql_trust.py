"""Accuracy and coverage over GraphQL: answers, outcomes, and how much may be asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from strawberry.types import ExecutionResult

from api.graphql import trust

Data = Callable[..., Any]
Ask = Callable[..., ExecutionResult]

ACCURACY = """
query ($network: String!, $from: DateTime, $to: DateTime) {
  sensorAccuracy(network: $network, from: $from, to: $to) {
    __typename
    ... on ModelAccuracy { window { from to } inpSha256 sensors { tag grade sentence reason } }
    ... on NotFound { message }
    ... on ModelNotReady { message }
    ... on BadRequest { message }
  }
}
"""
COVERAGE = """
query ($network: String!, $sensors: [String!], $flow: [Float!], $next: Int!) {
  leakCoverage(network: $network, sensors: $sensors, flowM3s: $flow, next: $next) {
    __typename
    ... on LeakCoverage {
      sensorIds
      sizes { flowM3s missedShare expectedZoneM }
      pipes(first: 3) { pipeId chance zoneM }
      map
      nextSensors { nodeId gainM expectedZoneM }
    }
    ... on NotFound { message }
    ... on ModelNotReady { message }
    ... on BadRequest { message }
    ... on Busy { message }
  }
}
"""
DAY = {"from": "2024-03-12T00:00:00+08:00", "to": "2024-03-13T00:00:00+08:00"}
YEAR = {"from": "2024-01-01T00:00:00+08:00", "to": "2025-01-01T00:00:00+08:00"}


def test_every_sensor_has_a_grade_and_a_sentence(data: Data) -> None:
    answer = data(ACCURACY, network="cycle", **DAY)["sensorAccuracy"]
    assert answer["__typename"] == "ModelAccuracy"
    assert answer["window"] == {"from": "2024-03-11T16:00:00Z", "to": "2024-03-12T16:00:00Z"}
    for one in answer["sensors"]:
        assert one["tag"] in one["sentence"]
        assert (one["grade"] == "REJECTED") is (one["reason"] is not None)


def test_coverage_gives_sizes_worst_pipes_first_a_map_and_placements(data: Data) -> None:
    answer = data(COVERAGE, network="cycle", flow=[0.001, 0.005], next=1)["leakCoverage"]
    assert [one["flowM3s"] for one in answer["sizes"]] == [0.001, 0.005]
    chances = [one["chance"][1] for one in answer["pipes"]]
    assert chances == sorted(chances)
    assert answer["map"]["type"] == "FeatureCollection"
    assert len(answer["nextSensors"]) == 1


@pytest.mark.parametrize(
    ("query", "variables", "outcome", "said"),
    [
        (ACCURACY, {"network": "atlantis"}, "NotFound", "atlantis"),
        (ACCURACY, {"network": "net3"}, "ModelNotReady", "no pressure reading"),
        (ACCURACY, {"network": "cycle", "from": DAY["from"]}, "BadRequest", "both ends"),
        (ACCURACY, {"network": "cycle", **YEAR}, "BadRequest", "longer than 14 days"),
        (COVERAGE, {"network": "atlantis", "next": 0}, "NotFound", "atlantis"),
        (COVERAGE, {"network": "cycle", "next": 6}, "BadRequest", "at most 5"),
        (COVERAGE, {"network": "cycle", "next": -1}, "BadRequest", "0 to 20"),
        (COVERAGE, {"network": "cycle", "next": 0, "flow": []}, "BadRequest", "1 to 8 sizes"),
        (COVERAGE, {"network": "cycle", "next": 0, "sensors": ["no"]}, "NotFound", "'no'"),
    ],
)
def test_what_a_caller_can_act_on_is_an_outcome(
    data: Data, query: str, variables: dict[str, Any], outcome: str, said: str
) -> None:
    (answer,) = data(query, **variables).values()
    assert answer["__typename"] == outcome
    assert said in answer["message"]


def test_one_is_worked_out_at_a_time(data: Data) -> None:
    with trust._alone() as is_alone:
        assert is_alone
        answer = data(COVERAGE, network="cycle", next=0)["leakCoverage"]
    assert answer["__typename"] == "Busy"
    assert data(COVERAGE, network="cycle", next=0)["leakCoverage"]["__typename"] == "LeakCoverage"


def test_more_than_a_few_in_one_question_are_too_much(ask: Ask) -> None:
    many = " ".join(f'n{i}: leakCoverage(network: "cycle") {{ __typename }}' for i in range(6))
    result = ask(f"{{ {many} }}")
    assert result.errors is not None
    assert result.errors[0].extensions is not None
    assert result.errors[0].extensions["code"] == "QUERY_TOO_LARGE"
