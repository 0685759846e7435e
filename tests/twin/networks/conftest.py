"""A ledger of its own for each test, and the networks that come along."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ledger.journal import Ledger
from twin.networks import ImportOptions, ImportReport, import_network

AT_NS = 1_700_000_000_000_000_000
NETWORKS = Path(__file__).parents[3] / "data" / "networks"


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open_writer(
        tmp_path / "ledger", tmp_path / "keys", lambda: AT_NS, wait_s=5.0
    ) as ledger:
        yield ledger


@pytest.fixture
def networks() -> Path:
    return NETWORKS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the network with the whole cycle, to be changed."""
    copy = tmp_path / "cycle"
    shutil.copytree(NETWORKS / "cycle", copy)
    return copy


@pytest.fixture
def bring(journal: Ledger) -> Callable[..., ImportReport]:
    """Import a file or folder into the test's ledger."""

    def import_it(source: Path, *, dry_run: bool = False, **said: str | int) -> ImportReport:
        options = ImportOptions(**said)  # type: ignore[arg-type]
        return import_network(source, options, journal, lambda: AT_NS, dry_run=dry_run)

    return import_it


@pytest.fixture
def net3_changed(tmp_path: Path) -> Callable[[str, str], Path]:
    """Net3 with one text replaced, as a file named net3.inp."""

    def write(old: str, new: str) -> Path:
        text = (NETWORKS / "net3" / "network.inp").read_text()
        assert old in text
        path = tmp_path / "net3.inp"
        path.write_text(text.replace(old, new, 1))
        return path

    return write
