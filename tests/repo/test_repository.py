"""What must hold of the repository itself."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = subprocess.run(
    ["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True
).stdout.split("\n")


def tracked(*suffixes: str) -> list[Path]:
    return [ROOT / name for name in FILES if name.endswith(suffixes)]


@pytest.mark.parametrize("path", tracked(".lock", "pom.xml"), ids=lambda path: path.name)
def test_no_lock_or_build_file_names_a_host(path: Path) -> None:
    assert "://" not in path.read_text(encoding="utf-8")


def test_every_network_has_its_source_licence_and_units_beside_it() -> None:
    folders = {path.parent for path in tracked("network.inp") if "networks" in path.parts}
    assert {"ltown", "net3", "cycle"} <= {folder.name for folder in folders}
    for folder in folders:
        text = (folder / "README.md").read_text(encoding="utf-8").lower()
        assert all(word in text for word in ("source", "licence", "unit")), folder


def test_decisions_are_numbered_once_each() -> None:
    numbers = [path.name[:4] for path in tracked(".md") if re.match(r"\d{4}-", path.name)]
    assert len(numbers) >= 7
    assert len(numbers) == len(set(numbers))


def test_links_between_pages_lead_somewhere() -> None:
    missing = [
        (page.name, target)
        for page in tracked(".md")
        for target in re.findall(r"\]\((?!\w+:|#)([^)#]+)", page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert missing == []


def test_no_function_is_longer_than_fifty_lines() -> None:
    import ast  # noqa: PLC0415 - beside its one use

    long = []
    for path in tracked(".py"):
        if "tests" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                n_lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if n_lines > 50:
                    long.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name} {n_lines}")
    assert long == []
