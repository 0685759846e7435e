"""A small network, its tag map, a real ledger, and a clock that stands still."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ledger.journal import Ledger
from twin.assets import Asset, AssetKind
from twin.ids import AssetRef, Space, parse_ref
from twin.instants import parse_instant
from twin.tags import Intake, open_intake, parse_tag_map

NOW = "2026-01-01T00:00:00Z"
TAGS = """
time_zone: +02:00
tags:
  - {tag: n1, asset: n1, quantity: pressure, unit: m}
  - {tag: n4, asset: n4, quantity: pressure, unit: bar}
"""

OpenIntake = Callable[..., Intake]
OpenLedger = Callable[[], Ledger]


@pytest.fixture
def now_ns() -> int:
    return parse_instant(NOW)


@pytest.fixture
def assets() -> dict[AssetRef, Asset]:
    """The assets of a network in which node 10 and link 10 are two things."""
    kinds = {
        "node:n1": AssetKind.JUNCTION,
        "node:n4": AssetKind.JUNCTION,
        "node:10": AssetKind.JUNCTION,
        "node:T1": AssetKind.TANK,
        "node:R1": AssetKind.SOURCE,
        "link:10": AssetKind.PIPE,
        "link:p1": AssetKind.PIPE,
        "user:n1": AssetKind.USER,
    }
    assert {parse_ref(name).space for name in kinds} == set(Space)
    return {ref: Asset(ref, kind) for name, kind in kinds.items() for ref in [parse_ref(name)]}


@pytest.fixture
def intake_of(assets: dict[AssetRef, Asset]) -> OpenIntake:
    """Opens the intake of a tag map's text, by default of two pressures."""

    def build(text: str = TAGS, source: str = "csv") -> Intake:
        tag_map = parse_tag_map(text.encode(), "tags.yaml")
        return open_intake(tag_map, "net", assets, source=source)

    return build


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str | bytes], Path]:
    """Writes a file of readings."""

    def put(content: str | bytes, name: str = "readings.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return put


@pytest.fixture
def open_ledger(tmp_path: Path, now_ns: int) -> OpenLedger:
    """Opens the real ledger of this test for writing."""

    def opened() -> Ledger:
        return Ledger.open_writer(tmp_path / "ledger", tmp_path / "keys", lambda: now_ns)

    return opened


@pytest.fixture
def ledger(open_ledger: OpenLedger) -> Iterator[Ledger]:
    with open_ledger() as opened:
        yield opened
