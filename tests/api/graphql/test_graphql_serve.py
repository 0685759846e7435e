from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from gql import Client, GraphQLRequest
from gql.transport.aiohttp import AIOHTTPTransport
from gql.transport.websockets import WebsocketsTransport
from graphql import OperationDefinitionNode, build_schema, parse

from api.graphql.print_schema import schema_text
from api.home import Home
from twin.evaluations import iter_evaluations, to_event
from twin.events import RecordRef
from twin.instants import parse_instant
from twin.leaks.sightings import Sighting, SightingKind, keep_sightings
from twin.leaks.windows import DAY_NS, Window

ROOT = Path(__file__).parents[3]
QUERIES = sorted((ROOT / "docs" / "queries").glob("*.graphql"))
NEED_A_RUN = {"24-confirm-leak", "25-repair-leak"}
ASKED = [
    path
    for path in QUERIES
    if "subscription " not in path.read_text("utf-8") and path.stem not in NEED_A_RUN
]
DEADLINE_S = 60
ON_THE_SMALL_NETWORK: dict[str, dict[str, str]] = {
    # The large one takes longer than a test may.
    "10-start-leak-run": {
        "network": "cycle",
        "from": "2024-03-13T01:00:00+08:00",
        "to": "2024-03-13T04:00:00+08:00",
        "referenceFrom": "2024-03-12T01:00:00+08:00",
        "referenceTo": "2024-03-12T04:00:00+08:00",
    },
    "13-start-trace": {"network": "cycle", "asset": "A1", "at": "2024-03-13T01:00:00+08:00"},
    "18-sensor-accuracy": {"network": "cycle"},
    "19-leak-coverage": {"network": "cycle"},
}


def within_deadline(work: Awaitable[Any]) -> Any:
    async def waited() -> Any:
        return await asyncio.wait_for(work, DEADLINE_S)

    return asyncio.run(waited())


def shipped(name: str, **variables: object) -> GraphQLRequest:
    (path,) = [path for path in QUERIES if path.stem.endswith(name)]
    return GraphQLRequest(path.read_text("utf-8"), variable_values=variables)


async def asked(url: str, request: GraphQLRequest) -> dict[str, Any]:
    transport = AIOHTTPTransport(url=url)
    # The client fetches the schema by introspection and checks the query against it before asking.
    # What is compiled at the first question takes longer than its ten seconds on a busy machine.
    client = Client(transport=transport, fetch_schema_from_transport=True, execute_timeout=60)
    async with client as session:
        return await session.execute(request)


async def watched(
    url: str,
    request: GraphQLRequest,
    is_last: Callable[[dict[str, Any]], Awaitable[bool] | bool],
) -> list[dict[str, Any]]:
    transport = WebsocketsTransport(url=url, subprotocols=["graphql-transport-ws"])
    seen = []
    async with Client(transport=transport) as session:
        async for answer in session.subscribe(request):
            seen.append(answer)
            done = is_last(answer)
            if done if isinstance(done, bool) else await done:
                break
    return seen


def test_there_is_a_query_to_try_for_every_list_command_and_subscription() -> None:
    documents = [parse(path.read_text("utf-8")) for path in QUERIES]
    operations = [one for document in documents for one in document.definitions]
    assert all(isinstance(one, OperationDefinitionNode) for one in operations)
    tried = {field.name.value for one in operations for field in one.selection_set.selections}
    schema = build_schema(schema_text())
    roots = (schema.query_type, schema.mutation_type, schema.subscription_type)
    known = {name for root in roots if root for name in root.fields}
    assert known - tried == {"block", "job", "leakRun", "network", "nodes", "cancelJob"}


@pytest.mark.parametrize("path", ASKED, ids=lambda path: path.stem)
def test_a_client_that_is_not_ours_runs_every_query_of_the_documentation(
    server: Any,
    path: Path,
) -> None:
    variables = ON_THE_SMALL_NETWORK.get(path.stem, {})
    request = GraphQLRequest(path.read_text("utf-8"), variable_values=variables)
    answer = within_deadline(asked(server.url, request))
    assert answer
    assert all(value is not None for value in answer.values())
    outcomes = [one.get("__typename") for one in answer.values() if isinstance(one, dict)]
    assert not {"NotFound", "BadRequest", "ModelNotReady", "Busy"} & set(outcomes)


def test_a_run_is_started_watched_to_its_end_and_found_with_its_proof(
    server: Any,
) -> None:
    start = shipped("start-leak-run", **ON_THE_SMALL_NETWORK["10-start-leak-run"])
    job = within_deadline(asked(server.url, start))["startLeakRun"]["job"]
    seen = within_deadline(
        watched(
            server.socket_url,
            shipped("leak-run-progress", jobId=job["jobId"]),
            lambda answer: answer["leakRunProgress"]["state"] in {"DONE", "FAILED"},
        )
    )
    last = seen[-1]["leakRunProgress"]
    assert last["state"] == "DONE", last
    run = last["leakRun"]
    assert [zone["level"] for zone in run["zones"]] == [50, 80, 90, 95]
    sizes = [len(zone["pipeIds"]) for zone in run["zones"]]
    assert sizes == sorted(sizes)
    found = within_deadline(asked(server.url, shipped("leak-runs", network="cycle")))
    nodes = [edge["node"] for edge in found["leakRuns"]["edges"]]
    (recorded,) = [one for one in nodes if one["runId"] == run["runId"]]
    assert recorded["evidence"]["verified"] is True
    (leak,) = recorded["leaks"]
    assert leak["number"] == 1
    assert [one["pipeIds"] for one in leak["zones"]] == [one["pipeIds"] for one in run["zones"]]
    assert sum(one["probability"] for one in leak["candidates"]) <= 1 + 1e-9
    assert [one["rank"] for one in leak["walk"]] == list(range(1, len(leak["walk"]) + 1))
    assert set(leak["walk"][0]["pipeIds"]) <= set(run["zones"][-1]["pipeIds"])
    assert recorded["volumePerDay"]["lowM3"] <= recorded["volumePerDay"]["likelyM3"]
    several = recorded["several"]
    assert sum(several["number"]) == pytest.approx(1.0)
    assert several["probabilityOfMore"] == pytest.approx(1.0 - several["number"][0])
    assert [one["rank"] for one in several["leaks"]] == list(range(1, len(several["leaks"]) + 1))
    for one in several["leaks"]:
        assert [zone["level"] for zone in one["zones"]] == [50, 80, 90, 95]
        assert one["flowLowM3s"] <= one["flowHighM3s"]
    query = f'{{ leakRun(runId: "{run["runId"]}") {{ severalSaid several {{ map }} }} }}'
    said = within_deadline(asked(server.url, GraphQLRequest(query)))["leakRun"]
    assert said["severalSaid"] == recorded["severalSaid"]
    drawn = {one["properties"]["leak"] for one in said["several"]["map"]["features"]}
    assert drawn == {one["rank"] for one in several["leaks"]}
    price = 'costPerDay(pricePerM3: 2, currency: "EUR") { low currency priceSource }'
    one = GraphQLRequest(f'{{ leakRun(runId: "{run["runId"]}") {{ {price} }} }}')
    cost = within_deadline(asked(server.url, one))["leakRun"]["costPerDay"]
    assert cost["low"] == pytest.approx(2 * recorded["volumePerDay"]["lowM3"])
    assert (cost["currency"], cost["priceSource"]) == ("EUR", "as given")

    page = httpx.get(server.url.replace("/graphql", run["report"]), timeout=DEADLINE_S)
    assert page.status_code == 200
    assert run["runId"] in page.text


def test_a_verdict_is_replayed_after_a_cursor_and_the_next_one_is_pushed(own_home: Path) -> None:
    home = Home(own_home)
    first = record_another_verdict(home, "first")
    second = record_another_verdict(home, "second")
    running = start(own_home)
    url = announced(running)
    verdicts = GraphQLRequest('{ evaluations(network: "net3", first: 1) { edges { cursor } } }')

    async def scene() -> list[dict[str, Any]]:
        (edge,) = (await asked(url, verdicts))["evaluations"]["edges"]

        async def after(answer: dict[str, Any]) -> bool:
            if answer["newEvaluations"]["evaluation"]["tag"] == "third":
                return True
            await asyncio.to_thread(record_another_verdict, home, "third")  # beside the server
            return False

        request = shipped("new-evaluations", network="net3", since=edge["cursor"])
        return await watched(url.replace("http://", "ws://"), request, after)

    seen = [answer["newEvaluations"] for answer in within_deadline(scene())]
    assert [one["evaluation"]["tag"] for one in seen] == ["second", "third"]
    assert seen[0]["evaluation"]["evidence"]["height"] == second.height > first.height
    running.terminate()
    assert running.wait(DEADLINE_S) == 0


def test_a_sighting_is_replayed_and_pushed_and_a_crew_confirms_it_over_the_wire(
    own_home: Path,
) -> None:
    home = Home(own_home)
    first, second, third = (a_call(day) for day in range(3))
    record_a_call(home, first)
    listed = GraphQLRequest(
        '{ leakSightings(network: "cycle", first: 1) { edges { cursor node { sightingId } } } }'
    )
    running = start(own_home)
    url = announced(running)
    record_a_call(home, second)

    async def scene() -> list[dict[str, Any]]:
        (edge,) = (await asked(url, listed))["leakSightings"]["edges"]

        async def after(answer: dict[str, Any]) -> bool:
            if answer["newLeakSightings"]["sighting"]["sightingId"] == third.sighting_id:
                return True
            await asyncio.to_thread(record_a_call, home, third)  # beside the server
            return False

        request = shipped("new-leak-sightings", network="cycle", since=edge["cursor"])
        seen = await watched(url.replace("http://", "ws://"), request, after)
        return [edge["node"], *(one["newLeakSightings"]["sighting"] for one in seen)]

    told, *pushed = within_deadline(scene())
    assert [one["sightingId"] for one in pushed] == [second.sighting_id, third.sighting_id]
    assert all(len(one["zone"]["pipeIds"]) > 1 for one in pushed)
    confirm = shipped("confirm-leak", runId=told["sightingId"], pipe="P10", by="crew 4")
    found = within_deadline(asked(url, confirm))["confirmLeak"]
    assert found["confirmation"]["verified"] is True
    repair = shipped("repair-leak", runId=told["sightingId"], at="2024-03-15T00:00:00Z")
    done = within_deadline(asked(url, repair))["repairLeak"]
    assert done["repairedAt"] == "2024-03-15T00:00:00Z"
    (edge,) = within_deadline(asked(url, shipped("leak-book", network="cycle")))["leakBook"][
        "edges"
    ]
    assert (edge["node"]["confirmedBy"], edge["node"]["isRepaired"]) == ("crew 4", True)
    running.terminate()
    assert running.wait(DEADLINE_S) == 0


def a_call(day: int) -> Sighting:
    begin_ns = parse_instant("2024-03-12T00:00:00+08:00") + day * DAY_NS
    return Sighting(
        network="cycle",
        kind=SightingKind.CALL,
        day=Window(begin_ns, begin_ns + DAY_NS),
        asset="link:P10",
        tag=None,
        fault=None,
        offset_m=None,
        flow_m3s=0.003,
        probability=0.72,
        onset_ns=begin_ns,
        calibration=Window(begin_ns - 14 * DAY_NS, begin_ns),
        readings_sha256="a" * 64,
        inp_sha256="b" * 64,
    )


def record_a_call(home: Home, one: Sighting) -> None:
    with home.writer() as journal:
        keep_sightings(journal, [one], home.clock)


def record_another_verdict(home: Home, tag: str) -> RecordRef:
    known = next(iter_evaluations(home.reader(), "ltown"))
    with home.writer() as journal:
        (ref,) = journal.record([to_event(replace(known, network="net3", tag=tag))])
    return ref


def start(home: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from api.cli import main; main()", "--home", str(home)]
    return subprocess.Popen(
        [*command, "serve", "--json", *(options or ("--port", "0"))],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def announced(running: subprocess.Popen[str]) -> str:
    assert running.stdout is not None
    return str(json.loads(running.stdout.readline())["graphql"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_stopped_ends_in_good_order(
    own_home: Path, number: signal.Signals
) -> None:
    running = start(own_home)
    announced(running)
    running.send_signal(number)
    _, said = running.communicate(timeout=DEADLINE_S)
    assert running.returncode == 0
    assert said == ""


def refusal(home: Path, *options: str) -> tuple[int, str, str]:
    running = start(home, *options)
    out, said = running.communicate(timeout=DEADLINE_S)
    return running.returncode, out, said


def test_a_busy_port_is_refused_with_its_number_before_anything_is_said(own_home: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        code, out, said = refusal(own_home, "--port", str(port))
    assert (code, out) == (1, "")
    assert f"port {port} of 127.0.0.1" in said
    assert "choose another one" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.org", "127.0.0.1.x"])  # noqa: S104
def test_any_address_but_loopback_is_refused(own_home: Path, host: str) -> None:
    code, out, said = refusal(own_home, "--host", host)
    assert (code, out) == (2, "")
    assert "until there are accounts" in said
    assert said.count("\n") == 1


def test_a_home_without_a_record_is_refused_with_the_remedy(tmp_path: Path) -> None:
    code, out, said = refusal(tmp_path / "none", "--port", "0")
    assert (code, out) == (2, "")
    assert "twin import" in said
    assert not (tmp_path / "none").exists()
