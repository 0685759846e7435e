"""The Go project's transparency log code accepts our key, checkpoint, tiles and proofs."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ledger.evidence import evidence_of
from ledger.journal import Ledger
from twin.events import Event, RecordRef
from twin.readings import ReadingBatch

SOURCE = Path(__file__).parent / "goverify"
GO = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")


@pytest.fixture(scope="session")
def goverify(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if GO is None:
        pytest.skip("Go is not on this machine: https://go.dev/dl")
    program = tmp_path_factory.mktemp("go") / "goverify"
    built = subprocess.run(
        [GO, "build", "-o", program, "."],
        cwd=SOURCE,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert built.returncode == 0, built.stderr
    return program


def verdict(program: Path, ledger: Ledger, proof: Path, header: bytes) -> tuple[int, str]:
    done = subprocess.run(
        [program, str(ledger.key_line), ledger.folder, proof, header.hex()],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


def test_go_accepts_what_we_write_and_refuses_it_bent(
    goverify: Path,
    writer: Ledger,
    batch: Callable[..., ReadingBatch],
    event: Callable[[str], Event],
    tmp_path: Path,
) -> None:
    writer.append(batch(9))
    writer.flush()
    for number in range(258):  # past the first whole tile
        writer.record([event(str(number))])
    proof = tmp_path / "proof"
    proof.write_text(evidence_of(writer, RecordRef(0, 5)))
    header = writer.header(0).record
    assert verdict(goverify, writer, proof, header) == (0, f"{writer.origin} 259\n")

    bent = header[:-1] + bytes((header[-1] ^ 1,))
    assert verdict(goverify, writer, proof, bent)[0] == 1
    text = proof.read_text()
    proof.write_text(text.replace("\nindex 0\n", "\nindex 1\n"))
    assert verdict(goverify, writer, proof, header)[0] == 1
    proof.write_text(text.replace("\n259\n", "\n260\n"))
    assert verdict(goverify, writer, proof, header)[0] == 1
    proof.write_text(text)
    tile = writer.folder / "tile/0/000"
    tile.write_bytes(tile.read_bytes()[::-1])
    assert verdict(goverify, writer, proof, header)[0] == 1
