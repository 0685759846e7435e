"""Every tutorial is run as it stands.

In a ```console block a line that begins with `$ ` is typed, and the lines below it are what it must
print, where `…` stands for anything. A ```python block is run as a script of its own.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
BLOCK = re.compile(r"^```(console|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STEP_TIMEOUT_S = 240


@dataclass(frozen=True)
class Step:
    """One thing a reader types, and what the page says it prints."""

    language: str
    typed: str
    printed: str


def steps_of(page: Path) -> list[Step]:
    steps: list[Step] = []
    for language, body in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language == "python":
            steps.append(Step(language, body, "…"))
            continue
        for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
            typed, printed = split_command(part)
            steps.append(Step(language, typed, printed))
    return steps


def split_command(part: str) -> tuple[str, str]:
    """A command goes on while its line ends in a backslash."""
    lines = part.split("\n")
    n_typed = next(i for i, line in enumerate(lines) if not line.endswith("\\")) + 1
    return "\n".join(lines[:n_typed]), "\n".join(lines[n_typed:]).strip()


def fits(printed: str, expected: str) -> bool:
    pattern = ".*".join(re.escape(" ".join(part.split())) for part in expected.split("…"))
    return re.search(pattern, " ".join(printed.split()), re.DOTALL) is not None


def test_there_is_a_tutorial_for_each_group_of_users() -> None:
    assert [page.stem for page in TUTORIALS] == ["auditors", "engineers", "gis", "responders"]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_the_tutorial_runs_as_it_stands(page: Path, tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(ROOT / "data")
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "TWIN_HOME": "home", "COLUMNS": "100"}
    steps = steps_of(page)
    assert steps
    for step in steps:
        command = ["python", "-"] if step.language == "python" else ["bash", "-c", step.typed]
        done = subprocess.run(
            command,
            input=step.typed if step.language == "python" else "",
            cwd=tmp_path,
            env=env,
            check=False,
            capture_output=True,
            text=True,
            timeout=STEP_TIMEOUT_S,
        )
        assert done.returncode == 0, f"{step.typed}\n{done.stdout}\n{done.stderr}"
        assert fits(done.stdout, step.printed), f"{step.typed}\nprinted: {done.stdout}"
