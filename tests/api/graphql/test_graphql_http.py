from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from strawberry.types import ExecutionResult

from api.graphql.http import answer
from api.graphql.page import shipped_queries
from api.graphql.running import Bounds
from api.home import Home
from api.server import build_app, is_ours

OURS = "http://127.0.0.1:8000"
SOCKET = "ws://127.0.0.1:8000/graphql"
NEW = "application/graphql-response+json"
OLD = "application/json"
QUERY = {"query": "{ newestBlock { height } }"}
LIMIT = Bounds().body_bytes


@pytest.fixture(scope="module")
def client(filled_home: Path) -> Iterator[TestClient]:
    with TestClient(build_app(Home(filled_home)), base_url=OURS) as opened:
        yield opened


Post = Callable[..., Any]


@pytest.fixture(scope="module")
def post(client: TestClient) -> Post:
    def one(body: object, **headers: str) -> Any:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {"content-type": OLD, **{k.replace("_", "-"): v for k, v in headers.items()}}
        return client.post("/graphql", content=content, headers=given)

    return one


@pytest.mark.parametrize(
    ("accept", "answered"),
    [
        (NEW, NEW),
        (f"{NEW}; charset=utf-8, {OLD};q=0.9", NEW),
        (OLD, OLD),
        ("*/*", OLD),
        ("application/*", OLD),
        ("text/html, */*;q=0.1", OLD),
    ],
)
def test_the_answer_has_the_type_that_the_client_accepts(
    post: Post, accept: str, answered: str
) -> None:
    response = post(QUERY, accept=accept)
    assert response.status_code == 200
    assert response.headers["content-type"] == f"{answered}; charset=utf-8"
    assert response.json()["data"]["newestBlock"]["height"] > 0


def test_a_client_that_accepts_neither_type_is_told_so(post: Post) -> None:
    assert post(QUERY, accept="text/html").status_code == 406


@pytest.mark.parametrize("query", ["{ newestBlock", "{ nothing }", "{ blocks { totalCount } }"])
@pytest.mark.parametrize(("accept", "status"), [(NEW, 400), (OLD, 200)])
def test_an_operation_that_never_ran_has_no_data_and_a_status_by_type(
    post: Post, query: str, accept: str, status: int
) -> None:
    response = post({"query": query}, accept=accept)
    assert response.status_code == status
    assert "data" not in response.json()
    assert response.json()["errors"][0]["extensions"]["code"].startswith("GRAPHQL_")


def test_an_operation_that_ran_and_failed_is_200_with_null_data(post: Post) -> None:
    response = post({"query": '{ featureCollection(network: "none") }'}, accept=NEW)
    assert response.status_code == 200
    assert response.json()["data"] is None


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[" * 50_000, 400),
        (b"\xff", 400),
        (b'"query"', 400),
        ({}, 400),
        ({"query": None}, 400),
        ({"query": 7}, 400),
        ([QUERY, QUERY], 400),
        ({**QUERY, "variables": []}, 400),
        ({**QUERY, "variables": "x"}, 400),
        ({**QUERY, "operationName": {}}, 400),
        ({**QUERY, "extensions": 1}, 400),
        ({**QUERY, "variables": None, "operationName": None, "extensions": None}, 200),
        ({**QUERY, "extensions": {"a": 1}}, 200),
        (b"{" + b" " * (LIMIT - 1), 400),
        (b"{" + b" " * LIMIT, 413),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_request_is_refused(post: Post, body: object, status: int) -> None:
    response = post(body)
    assert response.status_code == status
    assert ("errors" in response.json()) is (status != 200)


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json; charset=utf-8", 200),
        ("application/json;charset=UTF-8", 200),
        ("application/json; charset=latin-1", 415),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("", 415),
    ],
)
def test_only_json_is_read_so_no_form_of_another_site_can_ask(
    post: Post, content_type: str, status: int
) -> None:
    assert post(QUERY, content_type=content_type).status_code == status


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_only_post_asks(client: TestClient, method: str) -> None:
    mutation = 'mutation { cancelJob(jobId: "x") { __typename } }'
    response = client.request(method, "/graphql", params={"query": mutation})
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize(
    ("host", "origin", "ours"),
    [
        ("127.0.0.1:8000", None, True),
        ("localhost:8000", None, True),
        ("[::1]:8000", None, True),
        ("localhost", "http://localhost", True),
        ("127.0.0.1:8000", "http://127.0.0.1:8000", True),
        ("127.0.0.1:8000", "http://127.0.0.1:9000", False),
        ("127.0.0.1:8000", "http://evil.example", False),
        ("127.0.0.1:8000", "https://127.0.0.1:8000", False),
        ("127.0.0.1:8000", "null", False),
        ("127.0.0.1:8000", "http://127.0.0.1:8000@evil.example", False),
        ("evil.example:8000", None, False),
        ("evil.example:8000", "http://evil.example:8000", False),
        ("127.0.0.1.evil.example", None, False),
        ("127.0.0.1:x", None, False),
        ("", None, False),
        (None, None, False),
    ],
)
def test_a_name_or_page_that_is_not_ours_is_refused(
    client: TestClient,
    host: str | None,
    origin: str | None,
    ours: bool,  # noqa: FBT001
) -> None:
    assert is_ours(host, origin) is ours
    if host:
        headers = {"host": host, **({"origin": origin} if origin else {})}
        response = client.post("/graphql", json=QUERY, headers=headers)
        assert (response.status_code == 200) is ours
        assert response.status_code in {200, 403}


def test_every_page_forbids_framing_and_guessing_of_types(client: TestClient) -> None:
    for path in ("/", "/ask.js", "/ask.css", "/queries.json", "/healthz", "/nothing"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"


def test_the_page_to_ask_from_needs_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    whole = page.text + client.get("/ask.js").text + client.get("/ask.css").text
    assert "https://" not in whole
    assert "//cdn" not in whole
    assert "<script>" not in page.text
    assert " on" + "click=" not in page.text


def test_the_page_offers_the_queries_of_the_documentation(client: TestClient) -> None:
    assert client.get("/queries.json").json() == shipped_queries()
    assert len(shipped_queries()) >= 15


def test_health_is_the_height_of_the_chain(client: TestClient) -> None:
    health = client.get("/healthz").json()
    assert health["status"] == "ok"
    assert health["height"] > 5


@pytest.mark.parametrize("run", ["leak-000000000000", "..%2f..%2fkeys%2fledger", "a b", "x" * 65])
def test_a_report_of_no_run_is_not_found(client: TestClient, run: str) -> None:
    assert client.get(f"/reports/{run}.html").status_code == 404


def test_nan_never_leaves() -> None:
    response = answer(ExecutionResult({"v": float("nan")}, None), OLD)
    assert response.status_code == 500
    assert b"NaN" not in response.body
    assert json.loads(bytes(response.body))["errors"][0]["extensions"]["code"] == "INTERNAL"


def test_one_operation_more_than_may_wait_is_refused_and_told_when_to_return(
    filled_home: Path,
) -> None:
    app = build_app(Home(filled_home), Bounds(threads=1, waiting=-1))
    with TestClient(app, base_url=OURS) as client:
        response = client.post("/graphql", json=QUERY)
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert response.json()["errors"][0]["extensions"]["code"] == "BUSY"


def test_an_operation_that_takes_too_long_is_answered_in_time(filled_home: Path) -> None:
    with TestClient(build_app(Home(filled_home), Bounds(operation_s=0.0)), base_url=OURS) as client:
        response = client.post("/graphql", json=QUERY)
    assert response.json()["errors"][0]["extensions"]["code"] == "TIMED_OUT"


def test_the_legacy_websocket_protocol_is_off(client: TestClient) -> None:
    with (
        client.websocket_connect(SOCKET, subprotocols=["graphql-ws"]) as socket,
        pytest.raises(WebSocketDisconnect) as refused,
    ):
        socket.receive_json()
    assert refused.value.code == 4406


@pytest.mark.parametrize(
    "headers", [{"origin": "http://evil.example"}, {"host": "evil.example:8000"}]
)
def test_a_websocket_of_another_page_is_refused(
    client: TestClient, headers: dict[str, str]
) -> None:
    with (
        pytest.raises(WebSocketDisconnect) as refused,
        client.websocket_connect(SOCKET, ["graphql-transport-ws"], headers=headers),
    ):
        pass
    assert refused.value.code == 1008


def over_socket(client: TestClient, query: str) -> list[dict[str, Any]]:
    messages = []
    with client.websocket_connect(SOCKET, ["graphql-transport-ws"]) as socket:
        socket.send_json({"type": "connection_init"})
        assert socket.receive_json()["type"] == "connection_ack"
        socket.send_json({"id": "1", "type": "subscribe", "payload": {"query": query}})
        while not messages or messages[-1]["type"] == "next":
            messages.append(socket.receive_json())
    return messages


def test_a_query_over_a_websocket_is_answered_like_any_other(client: TestClient) -> None:
    first, last = over_socket(client, QUERY["query"])
    assert first["payload"]["data"]["newestBlock"]["height"] > 0
    assert first["payload"]["extensions"]["cost"]["requested"] == 2
    assert last["type"] == "complete"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("subscription { nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ('subscription { leakRunProgress(jobId: "x") { id } }', "BAD_USER_INPUT"),
        ('subscription { newEvaluations(network: "none") { cursor } }', "BAD_USER_INPUT"),
        (
            'subscription { newEvaluations(network: "ltown", since: "x") { cursor } }',
            "BAD_USER_INPUT",
        ),
        (
            'subscription { leakRunProgress(jobId: "x") { '
            + " ".join(f"a{i}: id" for i in range(61))
            + " } }",
            "QUERY_TOO_LARGE",
        ),
    ],
)
def test_a_subscription_that_cannot_be_is_told_why(
    client: TestClient, query: str, code: str
) -> None:
    first = over_socket(client, query)[0]
    errors = first["payload"] if first["type"] == "error" else first["payload"]["errors"]
    assert errors[0]["extensions"]["code"] == code
    assert len(errors[0]["extensions"]["correlationId"]) == 16
