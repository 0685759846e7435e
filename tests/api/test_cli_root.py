"""The command line's own promises: where --home stands, exit codes, one sentence an error."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer

from api import cli
from api.cli import home_first, run
from api.cli.output import Output

TWIN = Path(sys.executable).with_name("twin")


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (["fsck", "--home", "h"], ["--home", "h", "fsck"]),
        (["--home", "h", "fsck"], ["--home", "h", "fsck"]),
        (["fsck", "--home=h"], ["--home=h", "fsck"]),
        (["verify", "--", "--home"], ["verify", "--", "--home"]),
        (["fsck", "--home"], ["--home", "fsck"]),
    ],
)
def test_home_may_stand_before_or_after_the_subcommand(given: list[str], read: list[str]) -> None:
    assert home_first(given) == read


def test_an_unknown_command_is_used_wrongly(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["drain-the-sea"]) == 2
    assert "drain-the-sea" in capsys.readouterr().err


def test_a_command_without_arguments_shows_its_help_and_no_empty_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run([]) == 2
    said = capsys.readouterr()
    assert "leak" in said.out + said.err
    assert "twin: \n" not in said.err


@pytest.mark.parametrize("stopped", [KeyboardInterrupt, typer.Abort])
def test_being_stopped_says_that_what_was_acknowledged_is_kept(
    stopped: type[BaseException],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stop(**_: object) -> None:
        raise stopped

    monkeypatch.setattr(cli, "build_app", lambda: stop)
    assert run(["networks"]) == 130
    assert "what was acknowledged is recorded" in capsys.readouterr().err


def test_a_home_without_a_ledger_says_how_to_begin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--home", str(tmp_path / "none"), "graph", "status"]) == 2
    assert "twin import" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_an_unknown_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TWIN_NEO4J_URL", "bolt://127.0.0.1:1")
    assert run(["graph", "status"]) == 2
    assert "TWIN_NEO4J_URL" in capsys.readouterr().err


def test_help_loads_neither_the_solver_nor_the_server() -> None:
    script = (
        "import sys; from api.cli import run; run(['--help']);"
        "sys.exit(any(m in sys.modules for m in ('wntr', 'strawberry', 'pandas', 'neo4j')))"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_the_installed_command_answers() -> None:
    done = subprocess.run([TWIN, "--help"], check=False, capture_output=True, text=True)
    assert done.returncode == 0
    assert "import" in done.stdout


def test_in_a_log_a_step_is_told_when_it_begins_and_when_it_ends(
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = Output(json=True)
    for done in (0, 1, 2, 3, 3):
        out.progress("solve", done, 3)
    told = capsys.readouterr()
    assert told.err.splitlines() == ["solve: 0 of 3", "solve: 3 of 3"]
    assert told.out == ""
