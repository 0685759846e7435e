"""`twin ingest`, as a shell calls it: on the small network of the whole water cycle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api.cli import run

Twin = Callable[..., tuple[int, str, str]]
CYCLE = Path(__file__).parents[2] / "data" / "networks" / "cycle"
TAGS = """
time_zone: +08:00
tags:
  - {tag: PT-A1, asset: A1, quantity: pressure, unit: bar}
  - {tag: CL-A1, asset: A1, quantity: concentration, unit: mg/L,
     parameter: free_chlorine, sampling_point: network}
"""
READINGS = """\
time,PT-A1,CL-A1
2024-05-13 00:00,3.1,0.5
2024-05-13 00:05,3.2,
2024-05-13 00:10,x,0.4
"""


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that holds the network `cycle` and nothing else."""
    home = tmp_path_factory.mktemp("imported") / "home"
    assert run(["--home", str(home), "import", str(CYCLE)]) == 0
    return home


@pytest.fixture
def twin(imported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Twin:
    """Run a command in a home of its own that holds the network `cycle`."""
    shutil.copytree(imported, tmp_path / "home")

    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(["--home", str(tmp_path / "home"), *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, ...]:
    """Return the arguments that name a file, its network and its tag map."""
    (tmp_path / "tags.yaml").write_text(TAGS)
    (tmp_path / "readings.csv").write_text(READINGS)
    return (
        str(tmp_path / "readings.csv"),
        "--network",
        "cycle",
        "--tags",
        str(tmp_path / "tags.yaml"),
    )


def document(out: str) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(out)
    return said


def state(home: Path) -> list[tuple[str, int]]:
    """Return the blocks and keys on disk, which a refusal must leave as they are."""
    places = [home / "ledger" / "blocks", home / "keys"]
    files = [path for place in places for path in sorted(place.rglob("*")) if path.is_file()]
    return [(str(path), path.stat().st_size) for path in files]


def test_a_file_is_recorded_and_judged_and_its_faults_are_listed(
    twin: Twin, files: tuple[str, ...]
) -> None:
    code, out, _ = twin("ingest", "csv", *files, "--json")
    said = document(out)
    assert code == 0
    assert (said["recorded"], said["duplicates"], said["gaps"]) == (4, 0, 1)
    assert said["rejected"]["total"] == 1
    assert said["rejected"]["by_code"] == {"value-unreadable": 1}
    [first] = said["rejected"]["first"]
    assert (first["line"], first["tag"]) == (4, "PT-A1")
    assert [block["n_readings"] for block in said["blocks"]] == [4]
    assert said["evaluations"] >= 1
    assert said["unmapped"] == {"total": 0, "first": []}
    assert (said["from"], said["dry_run"]) == ("2024-05-12T16:00:00Z", False)


def test_running_it_again_records_nothing_new(twin: Twin, files: tuple[str, ...]) -> None:
    twin("ingest", "csv", *files)
    code, out, _ = twin("ingest", "csv", *files, "--json")
    said = document(out)
    assert (code, said["recorded"], said["duplicates"], said["evaluations"]) == (0, 0, 4, 0)
    assert said["blocks"] == []


def test_a_dry_run_says_the_same_and_writes_nothing(
    twin: Twin, files: tuple[str, ...], tmp_path: Path
) -> None:
    before = state(tmp_path / "home")
    code, out, _ = twin("ingest", "csv", *files, "--dry-run", "--json")
    said = document(out)
    assert (code, said["recorded"], said["rejected"]["total"], said["dry_run"]) == (0, 4, 1, True)
    code, out, _ = twin("ingest", "csv", *files, "--dry-run")
    assert "4 readings would be recorded" in out
    assert "line 4, PT-A1: 'x' is no number" in out
    assert state(tmp_path / "home") == before


def test_an_export_with_more_columns_than_the_map_is_read_when_asked_and_says_what_it_left(
    twin: Twin, files: tuple[str, ...], tmp_path: Path
) -> None:
    others = [f"FT-{i}" for i in range(1, 31)]
    header, *rows = READINGS.splitlines()
    wide = [",".join([header, *others]), *(f"{row}{',shut' * 30}" for row in rows)]
    (tmp_path / "readings.csv").write_text("\n".join(wide))
    code, _, err = twin("ingest", "csv", *files)
    assert code == 1
    assert "unknown tags 'FT-1', 'FT-2'" in err
    assert "or say --only-mapped" in err
    code, out, _ = twin("ingest", "csv", *files, "--only-mapped", "--dry-run")
    assert code == 0
    assert f"30 columns or tags not in the tag map, passed over: {repr(others[:10])[1:-1]}" in out
    assert "and 20 more" in out
    said = document(twin("ingest", "csv", *files, "--only-mapped", "--json")[1])
    assert said["unmapped"] == {"total": 30, "first": others[:20]}
    assert (said["recorded"], said["gaps"], said["rejected"]["total"]) == (4, 1, 1)


def test_strict_leaves_with_1_when_a_row_was_rejected_and_records_the_rest(
    twin: Twin, files: tuple[str, ...]
) -> None:
    code, out, _ = twin("ingest", "csv", *files, "--strict", "--json")
    assert (code, document(out)["recorded"]) == (1, 4)


def test_strict_leaves_with_0_when_none_was(
    twin: Twin, files: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "readings.csv").write_text(READINGS.replace("x", ""))
    assert twin("ingest", "csv", *files, "--strict")[0] == 0


@pytest.mark.parametrize(
    ("name", "old", "new", "exit_code", "words"),
    [
        ("readings.csv", "PT-A1", "PT-A9", 1, "unknown tags 'PT-A9'; add them to the tag map"),
        ("readings.csv", ",CL-A1", "", 1, "no column for 'CL-A1' of the tag map"),
        ("readings.csv", "time", "when", 2, "the first column must be `time` or `Timestamp`"),
        ("tags.yaml", "unit: bar", "unit: L/s", 1, "key unit: unit 'L/s'"),
        ("tags.yaml", "time_zone: +08:00", "", 2, "has no offset; write `time_zone`"),
        ("tags.yaml", "unit: bar", "unit: bar, class: personal", 1, "kept private"),
        ("tags.yaml", "asset: A1", "asset: A99", 1, "'A99': no such asset in this network"),
        ("tags.yaml", "tags:", "tags: [", 2, "no YAML that can be read"),
    ],
)
def test_a_refusal_is_one_sentence_and_leaves_everything_as_it_was(  # noqa: PLR0913, PLR0917
    name: str,
    old: str,
    new: str,
    exit_code: int,
    words: str,
    twin: Twin,
    files: tuple[str, ...],
    tmp_path: Path,
) -> None:
    path = tmp_path / name
    path.write_text(path.read_text().replace(old, new))
    before = state(tmp_path / "home")
    code, out, err = twin("ingest", "csv", *files)
    assert (code, out) == (exit_code, "")
    assert words in err
    assert err.startswith("twin: ")
    assert err.count("\n") == 1
    assert state(tmp_path / "home") == before


def test_a_network_that_was_not_imported_is_named(twin: Twin, files: tuple[str, ...]) -> None:
    code, _, err = twin("ingest", "csv", files[0], "--network", "atlantis", *files[3:])
    assert code == 2
    assert "no network 'atlantis' is recorded" in err


def test_an_open_opc_ua_link_needs_to_be_said_aloud(twin: Twin, files: tuple[str, ...]) -> None:
    code, _, err = twin("ingest", "opcua", "opc.tcp://127.0.0.1:9", *files[1:])
    assert code == 2
    assert "or say --insecure" in err
