"""`twin graph` as people type it: the embedded graph of a home with a real ledger."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from api.cli import run

NETWORK = Path(__file__).parents[2] / "data" / "networks" / "cycle"


def twin(capsys: pytest.CaptureFixture[str], home: Path, *words: str) -> tuple[int, Any, str]:
    """Return the exit code, the JSON document, and what was said beside it."""
    code = run(["--home", str(home), *words, "--json"])
    captured = capsys.readouterr()
    return code, json.loads(captured.out) if captured.out else None, captured.err


@pytest.fixture
def home(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    code, _, said = twin(capsys, tmp_path, "import", str(NETWORK))
    assert code == 0, said
    return tmp_path


def test_a_rebuild_says_what_it_would_drop_and_then_does_it(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, built, _ = twin(capsys, home, "graph", "rebuild")
    assert code == 0
    assert built["built"]["assets"] > 60
    code, plan, _ = twin(capsys, home, "graph", "rebuild", "--dry-run")
    assert (code, plan["holds"]) == (0, built["built"])
    _, status, _ = twin(capsys, home, "graph", "status")
    assert status["holds"] == built["built"]
    assert status["height"] == status["ledger_height"]
    code, again, _ = twin(capsys, home, "graph", "rebuild")
    assert (code, again["built"]) == (0, built["built"])


def test_a_rebuild_is_refused_where_others_keep_things(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert twin(capsys, home, "graph", "rebuild")[0] == 0
    with closing(sqlite3.connect(home / "graph.sqlite")) as db, db:
        db.execute("CREATE TABLE customers (name TEXT)")
    for words in (("graph", "rebuild", "--dry-run"), ("graph", "rebuild")):
        code, document, said = twin(capsys, home, *words)
        assert (code, document) == (1, None)
        assert "customers" in said
    _, status, _ = twin(capsys, home, "graph", "status")
    assert status["holds"]["assets"] > 60


@pytest.mark.parametrize("content", [b"no database at all, but long enough to look like one" * 99])
def test_a_file_that_is_no_database_is_named_with_a_remedy(
    home: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    for leftover in home.glob("graph.sqlite*"):
        leftover.unlink()
    (home / "graph.sqlite").write_bytes(content)
    code, document, said = twin(capsys, home, "graph", "status")
    assert (code, document) == (1, None)
    assert "graph.sqlite" in said
    assert "delete it" in said
    assert (home / "graph.sqlite").read_bytes() == content


def test_without_a_ledger_no_graph_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, said = twin(capsys, tmp_path / "nobody", "graph", "status")
    assert code == 2
    assert "twin import" in said
    assert not (tmp_path / "nobody").exists()
