"""The commands of the record: what they print, and how they exit."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ledger.journal import Ledger
from twin.events import Event, EventKind
from twin.readings import ReadingBatch

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def home(writer: Ledger, batch: Callable[..., ReadingBatch], event: Callable[[str], Event]) -> Path:
    writer.record([event("a"), Event(EventKind.LEAK_RUN, "ltown", "run-7", 5, {})])
    writer.append(batch(9))
    writer.flush()
    writer.close()
    return writer.folder.parent


@pytest.fixture
def twin(tmp_path: Path) -> Run:
    def run(*words: str | Path) -> tuple[int, str, str]:
        code = "from api.cli import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, words)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done.returncode, done.stdout, done.stderr

    return run


def document(answer: tuple[int, str, str]) -> Any:
    return json.loads(answer[1])


def test_evidence_is_written_and_verified_without_the_home(
    twin: Run, home: Path, tmp_path: Path
) -> None:
    keys, proof = tmp_path / "trust", tmp_path / "r.tlog-proof"
    shown = twin("keys", "show", "--home", home)
    assert shown[0] == 0, shown
    keys.write_text(shown[1])
    made = twin(
        "--home", home, "evidence", "ltown/p-1@2018-03-25T17:46:40Z", "--out", proof, "--json"
    )
    assert document(made)["height"] == 1
    shutil.rmtree(home / "ledger")
    shutil.rmtree(home / "keys")
    checked = twin("verify", proof, "--trust", keys)
    assert checked[0] == 0, checked
    assert checked[1].startswith("Proved: pressure 20.125 m at node:n1 of ltown")
    assert document(twin("verify", proof, "--trust", keys, "--json"))["record"]["tag"] == "p-1"


def test_verify_exits_1_when_refuted_and_2_when_unreadable(
    twin: Run, home: Path, tmp_path: Path
) -> None:
    keys, proof = tmp_path / "trust", tmp_path / "p"
    keys.write_text((home / "ledger/vkey").read_text())
    twin("--home", home, "evidence", "run-7", "--out", proof)
    text = proof.read_text()
    proof.write_text(text.replace("index 0", "index 1"))
    refuted = twin("verify", proof, "--trust", keys)
    assert (refuted[0], refuted[1]) == (1, "")
    assert "refuted" in refuted[2]
    proof.write_text(text[:-1])
    assert twin("verify", proof, "--trust", keys)[0] == 2
    assert twin("verify", tmp_path / "none", "--trust", keys)[0] == 2
    proof.write_text(text)
    keys.write_text("# empty\n")
    assert twin("verify", proof, "--trust", keys)[0] == 2


def test_fsck_exits_1_and_lists_the_blocks(twin: Run, home: Path) -> None:
    sound = twin("fsck", "--home", home, "--json")
    assert sound[0] == 0, sound
    assert document(sound) == {"ok": True, "blocks": 2, "records": 14, "files": 0, "faults": []}
    body = home / "ledger/blocks/001"
    body.write_bytes(body.read_bytes()[:-1])
    bent = twin("fsck", "--home", home)
    assert bent[0] == 1
    assert "block 1: blocks/001: it has" in bent[1]
    assert document(twin("fsck", "--home", home, "--json"))["faults"][0]["height"] == 1


def test_blocks_are_listed(twin: Run, home: Path) -> None:
    rows = document(twin("blocks", "--home", home, "--json"))["blocks"]
    assert [(row["height"], row["records"], row["readings"]) for row in rows] == [
        (0, 2, 0),
        (1, 12, 9),
    ]


@pytest.mark.parametrize(
    "words", [("keys", "show"), ("fsck",), ("blocks",), ("evidence", "0/0", "--out", "p")]
)
def test_a_home_without_a_ledger_is_exit_2_with_a_remedy(
    twin: Run, tmp_path: Path, words: tuple[str, ...]
) -> None:
    code, out, err = twin(*words, "--home", tmp_path / "none")
    assert (code, out) == (2, "")
    assert "ledger" in err
