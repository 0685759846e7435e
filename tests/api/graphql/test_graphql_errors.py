from __future__ import annotations

import importlib
import logging
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from graphql import GraphQLError
from strawberry.types import ExecutionResult

import api
import graph
import hydraulics
import ledger
import twin
from api.graphql import errors
from api.graphql.context import Context, Services
from api.graphql.errors import CODES, INTERNAL, code_of, told
from api.graphql.running import execute
from api.home import Home
from hydraulics.errors import HydraulicsError
from twin.errors import NotFoundError, TwinError

PACKAGES = (api, graph, hydraulics, ledger, twin)
BEYOND_ERRORS = {
    "GRAPHQL_PARSE_FAILED",
    "GRAPHQL_VALIDATION_FAILED",
    "INTERNAL",
}


def every_error() -> list[type[Exception]]:
    for package in PACKAGES:
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    names = {package.__name__ for package in PACKAGES}
    found = {one for one in below(Exception) if one.__module__.partition(".")[0] in names}
    return sorted(found, key=lambda one: (one.__module__, one.__qualname__))


def below(kind: type[Exception]) -> Iterator[type[Exception]]:
    for one in kind.__subclasses__():
        yield one
        yield from below(one)


def wrapped(error: BaseException) -> GraphQLError:
    return GraphQLError(
        "the disk /home/x is full",
        path=["a"],
        original_error=error if isinstance(error, Exception) else None,
    )


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__qualname__)
def test_every_error_class_has_a_code_of_the_table(kind: type[Exception]) -> None:
    error = kind.__new__(kind)
    code = code_of(wrapped(error))
    assert code in CODES
    if issubclass(kind, TwinError | HydraulicsError):
        assert code == kind.code


def test_the_table_holds_no_code_that_nothing_has() -> None:
    used = {getattr(kind, "code", None) for kind in every_error()}
    assert set(CODES) - used == BEYOND_ERRORS


def test_what_is_masked_says_nothing_of_this_machine_but_its_log_does(
    caplog: pytest.LogCaptureFixture,
) -> None:
    error = NotFoundError("ledger in", "/home/secret")
    with caplog.at_level(logging.WARNING, errors.LOGGER.name):
        public = told(GraphQLError(str(error), path=["a"], original_error=error), "0123")
    assert public.extensions == {"code": "NOT_FOUND", "correlationId": "0123"}
    assert "secret" not in str(public.formatted)
    assert "secret" in caplog.text
    assert "0123" in caplog.text


def test_a_bug_is_internal_and_masked(caplog: pytest.LogCaptureFixture) -> None:
    public = told(GraphQLError("x", path=["a"], original_error=ZeroDivisionError("x")), "77")
    assert public.extensions == {"code": INTERNAL, "correlationId": "77"}
    assert public.message == CODES[INTERNAL].sentence
    assert "ZeroDivisionError" in caplog.text


def one_error(result: ExecutionResult) -> dict[str, Any]:
    assert result.errors is not None
    (error,) = result.errors
    return dict(error.formatted)


@pytest.mark.parametrize(
    ("query", "code", "words"),
    [
        ("{ networks { name }", "GRAPHQL_PARSE_FAILED", "Expected Name"),
        ("{ networks { nothing } }", "GRAPHQL_VALIDATION_FAILED", "Cannot query field"),
        ('{ blocks(first: "x") { totalCount } }', "GRAPHQL_VALIDATION_FAILED", "Int cannot"),
        ("{ blocks { totalCount } }", "GRAPHQL_VALIDATION_FAILED", "is required"),
        ("{ blocks(first: 501) { totalCount } }", "BAD_USER_INPUT", "between 1 and 500"),
        ("{ blocks(first: 0) { totalCount } }", "BAD_USER_INPUT", "between 1 and 500"),
        ('{ node(id: "eA") { id } }', "BAD_USER_INPUT", "not an id"),
        (
            "query ($n: Int!) { blocks(first: $n) { totalCount } }",
            "BAD_USER_INPUT",
            "Variable '$n'",
        ),
        ('{ featureCollection(network: "none") }', "BAD_USER_INPUT", "no network is called 'none'"),
        ("query A { ledgerKey } query B { ledgerKey }", "VALIDATION_OR_INPUT", ""),
        ('subscription { leakRunProgress(jobId: "x") { state } }', "BAD_USER_INPUT", "websocket"),
        ("", "BAD_USER_INPUT", "holds no query"),
        ("{ a" * 600 + "}" * 600, "GRAPHQL_PARSE_FAILED", "nested too deeply"),
        ("{ " + "ledgerKey " * 2_100 + "}", "GRAPHQL_PARSE_FAILED", "2000 tokens"),
    ],
)
def test_a_fault_of_the_request_is_told_in_its_own_words(
    ask: Callable[..., ExecutionResult], query: str, code: str, words: str
) -> None:
    if code == "VALIDATION_OR_INPUT":
        assert ask(query).errors is None  # the first operation is meant
        return
    error = one_error(ask(query))
    assert error["extensions"]["code"] == code
    assert words in error["message"]
    assert len(error["extensions"]["correlationId"]) == 16


def test_a_home_without_a_record_is_masked(tmp_path: Path) -> None:
    services = Services(Home(tmp_path / "empty"))
    error = one_error(execute(Context(services), "{ newestBlock { height } }"))
    assert error["extensions"]["code"] == "NOT_FOUND"
    assert str(tmp_path) not in str(error)


def test_a_question_that_has_used_up_its_time_is_stopped(services: Services) -> None:
    context = Context(services, deadline_s=0.0, limit_s=7)
    error = one_error(execute(context, "{ newestBlock { height } }"))
    assert error["extensions"]["code"] == "TIMED_OUT"
    assert "7 s" in error["message"]


def test_cost_is_reported(ask: Callable[..., ExecutionResult]) -> None:
    result = ask("{ newestBlock { height again: height } }")
    cost = {"requested": 3, "limit": 20_000, "depth": 2, "aliases": 1}
    assert result.extensions == {"cost": cost}


def test_what_is_too_large_is_refused_before_anything_runs(
    ask: Callable[..., ExecutionResult],
) -> None:
    fields = " ".join(f'f{i}: featureCollection(network: "ltown")' for i in range(50))
    result = ask(f"{{ {fields} }}")
    assert one_error(result)["extensions"]["code"] == "QUERY_TOO_LARGE"
    assert result.data is None
