from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from strawberry.types import ExecutionResult

from api.graphql.context import Context, Services
from api.graphql.running import execute
from api.home import Home
from graph.sqlite_store import SqliteStore
from twin.assets import AssetKind
from twin.events import EventKind, RecordRef
from twin.instants import format_instant, parse_instant
from twin.networks import load_assets
from twin.units import STORED_UNIT

Data = Callable[..., Any]
Ask = Callable[..., ExecutionResult]

PAGES = """
query ($network: String!, $kinds: [AssetKind!], $first: Int!, $after: EventCursor) {
  assets(network: $network, kinds: $kinds, first: $first, after: $after) {
    edges { cursor node { id name start { name } end { name } } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}
"""


def message(result: ExecutionResult) -> str:
    assert result.errors is not None
    return result.errors[0].message


@pytest.mark.parametrize("first", [1, 97, 500])
def test_the_pages_together_are_every_pipe_once(data: Data, services: Services, first: int) -> None:
    network = "cycle" if first == 1 else "ltown"
    names: list[str] = []
    after = None
    while True:
        page = data(PAGES, network=network, kinds=["PIPE"], first=first, after=after)["assets"]
        assert page["pageInfo"]["hasPreviousPage"] is (after is not None)
        assert page["edges"][-1]["cursor"] == page["pageInfo"]["endCursor"]
        names += [edge["node"]["name"] for edge in page["edges"]]
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = page["pageInfo"]["endCursor"]
    known = load_assets(services.record(), network).items()
    assert names == sorted(str(ref) for ref, one in known if one.kind is AssetKind.PIPE)


def test_the_ends_of_500_links_are_fetched_in_one_call(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    fetch = SqliteStore.assets_named

    def counted(self: SqliteStore, network: str, refs: Any) -> Any:
        calls.append(len(refs))
        return fetch(self, network, refs)

    monkeypatch.setattr(SqliteStore, "assets_named", counted)
    result = execute(
        Context(services), PAGES, {"network": "ltown", "kinds": ["PIPE"], "first": 500}
    )
    assert result.errors is None
    assert len(calls) == 1


def test_a_cursor_of_another_list_is_refused(data: Data, ask: Ask) -> None:
    page = data(PAGES, network="ltown", kinds=["PIPE"], first=1)["assets"]
    after = page["pageInfo"]["endCursor"]
    assert "not a cursor" in message(ask(PAGES, network="ltown", first=1, after=after))
    assert "not a cursor" in message(
        ask(PAGES, network="net3", kinds=["PIPE"], first=1, after=after)
    )


def test_total_count_is_counted_only_when_it_is_selected(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[str] = []
    count = SqliteStore.count

    def counted(self: SqliteStore, network: str, kinds: Any = ()) -> int:
        counts.append(network)
        return count(self, network, kinds)

    monkeypatch.setattr(SqliteStore, "count", counted)
    ask = '{ assets(network: "net3", kinds: [PIPE], first: 1) { edges { cursor } %s } }'
    assert execute(Context(services), ask % "").errors is None
    assert counts == []
    result = execute(Context(services), ask % "totalCount")
    assert result.data is not None
    assert result.data["assets"]["totalCount"] == 117  # Net3 has 117 pipes
    assert counts == ["net3"]


ASSET = """
query ($network: String!, $name: String!, $asOf: DateTime) {
  asset(network: $network, name: $name, asOf: $asOf) {
    name kind elevationM lengthM links { name } network { name } evidence { height leafIndex }
  }
}
"""


def test_a_bare_id_that_names_a_node_and_a_link_is_refused_with_both_names(ask: Ask) -> None:
    said = message(ask(ASSET, network="net3", name="10"))
    assert "node:10" in said
    assert "link:10" in said


def test_a_full_name_always_means_one(data: Data) -> None:
    node = data(ASSET, network="net3", name="node:10")["asset"]
    link = data(ASSET, network="net3", name="link:10")["asset"]
    assert (node["name"], node["kind"]) == ("node:10", "JUNCTION")
    assert (link["name"], link["kind"]) == ("link:10", "PUMP")
    assert [one["name"] for one in node["links"]] == ["link:10", "link:101"]
    assert link["links"] == []
    assert node["elevationM"] == pytest.approx(147 * 0.3048)  # Net3.inp: 147 ft


@pytest.mark.parametrize("name", ["node:nothing", "nothing", "", "user:", "node:"])
def test_what_has_no_such_name_is_null(data: Data, name: str) -> None:
    assert data(ASSET, network="net3", name=name)["asset"] is None
    assert data(ASSET, network="no-network", name=name)["asset"] is None


def test_before_its_import_an_asset_was_not_there_and_since_then_it_is(
    data: Data, services: Services
) -> None:
    asset = data(ASSET, network="cycle", name="node:A1")["asset"]
    place = RecordRef(asset["evidence"]["height"], asset["evidence"]["leafIndex"])
    at_ns = services.record().event_at(place).event.at_ns
    then, before = format_instant(at_ns), format_instant(at_ns - 1)
    assert data(ASSET, network="cycle", name="A1", asOf=then)["asset"] == asset
    assert data(ASSET, network="cycle", name="A1", asOf=before)["asset"] is None


MAP = """
query ($network: String!, $kinds: [AssetKind!], $bbox: BBox, $native: NativeBBox) {
  featureCollection(network: $network, kinds: $kinds, bbox: $bbox, nativeBbox: $native)
}
"""


def test_a_map_of_a_known_system_is_in_degrees_and_holds_every_drawn_asset(
    data: Data, services: Services
) -> None:
    found = data(MAP, network="cycle")["featureCollection"]
    assets = load_assets(services.record(), "cycle")
    assert {one["id"] for one in found["features"]} == {
        str(ref) for ref, one in assets.items() if one.geometry
    }
    assert "crs" not in found
    for feature in found["features"]:
        points = feature["geometry"]["coordinates"]
        points = [points] if feature["geometry"]["type"] == "Point" else points
        # UTM zone 50 lies between 114° and 120° E.
        assert all(114 < lon < 120 and 0 < lat < 84 for lon, lat in points)
    json.dumps(found, allow_nan=False)


def test_a_map_of_no_known_system_says_so_and_keeps_its_coordinates(data: Data) -> None:
    found = data(MAP, network="ltown", kinds=["SOURCE", "TANK"])["featureCollection"]
    assert found["crs"] == "LOCAL"
    assert {one["id"] for one in found["features"]} == {"node:R1", "node:R2", "node:T1"}
    assert {one["properties"]["kind"] for one in found["features"]} == {"source", "tank"}


def test_a_box_in_degrees_is_refused_where_there_are_none(ask: Ask) -> None:
    assert "use nativeBbox" in message(ask(MAP, network="ltown", bbox=[0, 0, 1, 1]))


def test_both_boxes_cut_the_same_part_out(data: Data, services: Services) -> None:
    asset = load_assets(services.record(), "cycle")
    x, y = asset_place(asset)
    native = data(MAP, network="cycle", native=[x - 1, y - 1, x + 1, y + 1])["featureCollection"]
    ids = {one["id"] for one in native["features"]}
    assert "node:A1" in ids
    assert len(ids) < len(asset) / 2
    lon, lat = next(
        one["geometry"]["coordinates"] for one in native["features"] if one["id"] == "node:A1"
    )
    d = 1e-5  # about a metre
    box = [lon - d, lat - d, lon + d, lat + d]
    degrees = data(MAP, network="cycle", bbox=box)["featureCollection"]
    assert {one["id"] for one in degrees["features"]} == ids


def asset_place(assets: Any) -> tuple[float, float]:
    return next(one.geometry[0] for ref, one in assets.items() if str(ref) == "node:A1")


SERIES = """
query ($tags: [String!]!, $from: DateTime!, $to: DateTime!, $n: Int!) {
  series(network: "ltown", tags: $tags, from: $from, to: $to, maxPoints: $n) {
    series { tag } unit count t v q height leafIndex next
  }
}
"""
DAY = {"from": "2024-03-13T00:00:00+02:00", "to": "2024-03-14T00:00:00+02:00"}


def test_a_day_of_five_minute_readings_is_288_points_as_the_record_has_them(
    data: Data, services: Services
) -> None:
    (column,) = data(SERIES, tags=["n54.pressure"], n=1_000, **DAY)["series"]
    record = services.record()
    (series,) = [one for one in record.series("ltown") if one.tag == "n54.pressure"]
    truth = record.column(series, parse_instant(DAY["from"]), parse_instant(DAY["to"]))
    assert column["count"] == len(truth) == 288
    assert column["unit"] == STORED_UNIT[series.quantity]
    assert [parse_instant(t) for t in column["t"]] == truth.time_ns.tolist()
    assert column["v"] == truth.value.tolist()
    assert column["q"] == truth.quality.tolist()
    places = list(zip(column["height"], column["leafIndex"], strict=True))
    assert places == list(zip(truth.height.tolist(), truth.leaf_index.tolist(), strict=True))
    assert column["next"] is None


def test_the_parts_of_a_window_are_the_window(data: Data) -> None:
    whole = data(SERIES, tags=["n54.pressure"], n=1_000, **DAY)["series"][0]["t"]
    parts: list[str] = []
    begin: str | None = DAY["from"]
    while begin:
        window = {"from": begin, "to": DAY["to"]}
        part = data(SERIES, tags=["n54.pressure"], n=100, **window)["series"][0]
        parts += part["t"]
        begin = part["next"]
    assert parts == whole


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"tags": ["nothing"]}, "has the tag nothing"),
        ({"tags": []}, "1 to 100 tags"),
        ({"n": 0}, "between 1 and 20000"),
        ({"n": 20_001}, "between 1 and 20000"),
        ({"to": DAY["from"]}, "begin before it ends"),
        ({"tags": ["n54.pressure"] * 11, "n": 20_000}, "above 200000"),
    ],
)
def test_a_window_that_is_none_is_refused(ask: Ask, changed: dict[str, Any], words: str) -> None:
    asked = {"tags": ["n54.pressure"], "n": 100, **DAY, **changed}
    assert words in message(ask(SERIES, **asked))


def test_the_live_state_is_the_last_reading_of_each_series(data: Data, services: Services) -> None:
    query = '{ liveState(network: "ltown") { tag latest { t v evidence { height leafIndex } } } }'
    found = data(query)["liveState"]
    record = services.record()
    assert len(found) == len(record.series("ltown")) == 42
    by_tag = {one["tag"]: one["latest"] for one in found}
    for series in record.series("ltown"):
        column = record.column(series, 0, 2**62)
        latest = by_tag[series.tag]
        assert parse_instant(latest["t"]) == column.time_ns[-1]
        assert latest["v"] == column.value[-1]
        assert latest["evidence"]["leafIndex"] == column.leaf_index[-1]


PROOF = """
{ reading(network: "ltown", tag: "n54.pressure", at: "2024-03-13T17:00:00+02:00") {
    v evidence { block { height hash timeNs time } leafIndex proof verified pending } } }
"""
VERIFY = """
query ($proof: String!) { verify(proof: $proof) { __typename
  ... on ProofHolds { sentence kind height leafIndex blockHash record }
  ... on ProofRefuted { reason }
  ... on ProofUnreadable { reason } } }
"""


def test_a_proof_of_a_reading_says_its_value_and_place(data: Data) -> None:
    reading = data(PROOF)["reading"]
    evidence = reading["evidence"]
    assert evidence["verified"] is True
    assert evidence["pending"] is False
    assert int(evidence["block"]["timeNs"]) == parse_instant(evidence["block"]["time"])
    found = data(VERIFY, proof=evidence["proof"])["verify"]
    assert found["__typename"] == "ProofHolds"
    assert found["record"]["value"] == reading["v"]
    assert found["record"]["tag"] == "n54.pressure"
    assert found["blockHash"] == evidence["block"]["hash"]
    assert (found["height"], found["leafIndex"]) == (
        evidence["block"]["height"],
        evidence["leafIndex"],
    )


def test_a_changed_proof_is_refuted_or_unreadable(data: Data) -> None:
    proof = data(PROOF)["reading"]["evidence"]["proof"]
    for place in range(0, len(proof), 37):
        other = "A" if proof[place] != "A" else "B"
        changed = proof[:place] + other + proof[place + 1 :]
        found = data(VERIFY, proof=changed)["verify"]["__typename"]
        assert found in {"ProofRefuted", "ProofUnreadable"}
    assert data(VERIFY, proof="no proof")["verify"]["__typename"] == "ProofUnreadable"


EVALUATIONS = """
query ($first: Int!, $after: EventCursor, $verdicts: [Verdict!], $scope: EvaluationScope) {
  evaluations(network: "ltown", first: $first, after: $after, verdicts: $verdicts, scope: $scope) {
    edges { node { id verdict scope at value low high margin unit tag rule { ruleId version }
      standard { standardId edition fileSha256 } inputs { height leafIndex }
      evidence { height leafIndex verified } parts { tag nMet nExceeded nNotJudged } } }
    pageInfo { hasNextPage endCursor } totalCount } }
"""


def test_the_pages_of_verdicts_are_all_of_them_and_each_is_proved(
    data: Data, services: Services
) -> None:
    seen: list[dict[str, Any]] = []
    after = None
    while True:
        page = data(EVALUATIONS, first=4, after=after)["evaluations"]
        seen += [edge["node"] for edge in page["edges"]]
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = page["pageInfo"]["endCursor"]
    recorded = list(services.record().events({EventKind.EVALUATION}, "ltown"))
    places = [(one["evidence"]["height"], one["evidence"]["leafIndex"]) for one in seen]
    assert places == [(one.ref.height, one.ref.index) for one in recorded]
    assert page["totalCount"] == len(recorded)
    assert all(one["evidence"]["verified"] for one in seen)
    assert all(one["inputs"] for one in seen)


def test_the_margin_of_a_verdict_can_be_worked_out_again_from_its_input(data: Data) -> None:
    page = data(EVALUATIONS, first=50, verdicts=["EXCEEDED"], scope="TRANSITION")["evaluations"]
    found = [edge["node"] for edge in page["edges"]]
    assert found
    for one in found:
        assert one["verdict"] == "EXCEEDED"
        margins = [one["value"] - one["low"]] if one["low"] is not None else []
        margins += [one["high"] - one["value"]] if one["high"] is not None else []
        assert one["margin"] == pytest.approx(min(margins), abs=1e-9)
        assert one["margin"] < 0


def test_anything_that_was_answered_with_an_id_is_found_again_by_it(data: Data) -> None:
    query = """
    { networks { id } newestBlock { id } liveState(network: "ltown", tags: ["n54.pressure"]) { id }
      asset(network: "cycle", name: "node:A1") { id }
      evaluations(network: "ltown", first: 2) { edges { node { id } } } }
    """
    answer = data(query)
    ids = [answer["networks"][0]["id"], answer["newestBlock"]["id"], answer["asset"]["id"]]
    ids += [answer["liveState"][0]["id"]]
    ids += [edge["node"]["id"] for edge in answer["evaluations"]["edges"]]
    found = data("query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }", ids=ids)["nodes"]
    assert [one["id"] for one in found] == ids
    types = ["Network", "Block", "Asset", "Series", "Evaluation", "Evaluation"]
    assert [one["__typename"] for one in found] == types


def test_an_id_of_something_that_is_gone_is_null(data: Data) -> None:
    from api.graphql.ids import global_id  # noqa: PLC0415

    gone = [
        global_id("Network", "none"),
        global_id("Asset", "ltown", "node:none"),
        global_id("Asset", "ltown", "none"),
        global_id("Block", "999999"),
        global_id("Block", "x"),
        global_id("Trace", "0", "0"),
        global_id("Evaluation", "0", "0"),
        global_id("LeakRun", "leak-none"),
        global_id("Job", "none"),
        global_id("Series", "ltown", "none"),
    ]
    found = data("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=gone)["nodes"]
    assert found == [None] * len(gone)


def test_the_blocks_are_the_chain(data: Data, services: Services) -> None:
    query = "{ blocks(first: 500) { edges { node { height hash nReadings } } totalCount } }"
    found = data(query)["blocks"]
    sealed = list(services.record().blocks())
    assert [edge["node"]["hash"] for edge in found["edges"]] == [one.hash_hex for one in sealed]
    assert found["totalCount"] == len(sealed) == services.record().height
    assert sum(edge["node"]["nReadings"] for edge in found["edges"]) > 36_000


TRACE = """
mutation ($network: String!, $asset: String!, $direction: Direction!, $at: DateTime) {
  startTrace(network: $network, asset: $asset, direction: $direction, at: $at) { __typename
    ... on Trace { id nodes links users startName evidence { verified }
      assets(first: 3) { edges { node { name } } pageInfo { hasNextPage endCursor } totalCount } }
    ... on NotFound { what name message } } }
"""


def test_a_trace_is_recorded_and_proved_and_holds_where_it_began(own_home: Path) -> None:
    services = Services(Home(own_home))
    asked = {"network": "cycle", "asset": "A1", "direction": "UPSTREAM"}
    before = services.record().height
    result = execute(Context(services), TRACE, asked)
    assert result.errors is None
    assert result.data is not None
    trace = result.data["startTrace"]
    assert services.record().height == before + 1
    assert "A1" in trace["nodes"]
    assert "R1" in trace["nodes"]  # everything in the pipes came through the intake
    assert trace["evidence"]["verified"] is True
    n_reached = len(trace["nodes"]) + len(trace["links"]) + len(trace["users"])
    assert trace["assets"]["totalCount"] == n_reached
    again = execute(
        Context(services),
        '{ traces(network: "cycle", first: 5) { edges { node { id nodes } } totalCount } }',
    )
    assert again.data is not None
    (edge,) = again.data["traces"]["edges"]
    assert edge["node"] == {"id": trace["id"], "nodes": trace["nodes"]}
    services.close()


def test_a_trace_while_another_one_writes_is_told_that_it_is_busy(own_home: Path) -> None:
    services = Services(Home(own_home), write_wait_s=0.0)
    asked = {"network": "cycle", "asset": "A1", "direction": "UPSTREAM"}
    with Home(own_home).writer():
        result = execute(Context(services), TRACE, asked)
    assert result.errors is None
    assert result.data is not None
    assert result.data["startTrace"] == {"__typename": "Busy"}
    services.close()


@pytest.mark.parametrize(
    ("network", "asset", "what"), [("none", "A1", "network"), ("cycle", "none", "asset")]
)
def test_a_trace_of_nothing_is_an_outcome_not_an_error(
    data: Data, services: Services, network: str, asset: str, what: str
) -> None:
    height = services.record().height
    found = data(TRACE, network=network, asset=asset, direction="DOWNSTREAM")["startTrace"]
    assert found["__typename"] == "NotFound"
    assert found["what"] == what
    assert services.record().height == height


LEAK = """
mutation (
  $network: String!, $from: DateTime!, $to: DateTime!, $rf: DateTime, $rt: DateTime, $most: Int! = 4
) {
  startLeakRun(
    network: $network, from: $from, to: $to, referenceFrom: $rf, referenceTo: $rt, mostLeaks: $most
  ) {
    __typename ... on BadRequest { message } ... on NotFound { what }
    ... on ModelNotReady { message }
  } }
"""


@pytest.mark.parametrize(
    ("changed", "outcome"),
    [
        ({"network": "none"}, "NotFound"),
        ({"network": "net3"}, "ModelNotReady"),
        ({"to": "2024-03-13T00:00:00Z"}, "BadRequest"),
        ({"rf": "2024-03-12T00:00:00Z"}, "BadRequest"),
        ({"most": 0}, "BadRequest"),
        ({"most": 5}, "BadRequest"),
        ({"rf": "2024-03-12T00:00:00Z", "rt": "2024-03-13T03:00:00Z"}, "BadRequest"),
    ],
)
def test_a_run_that_cannot_be_is_an_outcome_not_an_error(
    data: Data, changed: dict[str, str], outcome: str
) -> None:
    asked = {"network": "cycle", "from": "2024-03-13T01:00:00Z", "to": "2024-03-13T04:00:00Z"}
    assert data(LEAK, **{**asked, **changed})["startLeakRun"]["__typename"] == outcome
