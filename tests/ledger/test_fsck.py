"""Every stored byte of a ledger is checked, and what is not as signed is named."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ledger.errors import KeyFileError
from ledger.fsck import check, fsck
from ledger.journal import Ledger
from ledger.keys import signer_from_seed
from twin.errors import NotFoundError
from twin.events import Event
from twin.readings import ReadingBatch

Batch = Callable[..., ReadingBatch]
NOT_SIGNED = re.compile(r"lock|index\.sqlite.*")


@pytest.fixture
def small(writer: Ledger, batch: Batch, event: Callable[[str], Event]) -> Path:
    writer.append(batch(3, n_series=1))
    writer.flush()
    writer.record([event("a")])
    writer.keep_file(b"[TITLE]")
    writer.close()
    return writer.folder


def signed_files(folder: Path) -> list[str]:
    names = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()]
    return sorted(name for name in names if not NOT_SIGNED.fullmatch(name))


def heights_of(name: str, at: int, content: bytes) -> set[int | None]:
    """Return the blocks that a byte of a file belongs to."""
    if name.startswith("blocks/"):
        return {int(name[-3:])}
    if name == "checkpoint":
        return {1}
    if name.startswith("tile/0/"):
        return {at // 32}
    if name.startswith("tile/entries/"):
        height, start = 0, 0
        while (stop := start + 2 + int.from_bytes(content[start : start + 2], "big")) <= at:
            height, start = height + 1, stop
        return {height}
    return {None}


def test_an_untouched_ledger_has_no_fault(small: Path) -> None:
    report = check(small, keys_folder=small.parent / "keys")
    assert (report.n_blocks, report.n_records, report.n_files) == (2, 5, 1)
    assert report.faults == ()


def test_every_single_bent_byte_is_named_with_its_block(small: Path) -> None:
    unnamed = []
    for name in signed_files(small):
        good = (small / name).read_bytes()
        for at in range(len(good)):
            bent = bytearray(good)
            bent[at] ^= 1 << at % 8
            (small / name).write_bytes(bent)
            faults = fsck(small)
            if not any(f.file == name and f.height in heights_of(name, at, good) for f in faults):
                unnamed.append((name, at, faults))
        (small / name).write_bytes(good)
    assert unnamed == []
    assert fsck(small) == []


def test_every_file_that_is_cut_short_grows_or_is_lost_is_named(small: Path) -> None:
    for name in signed_files(small):
        good = (small / name).read_bytes()
        for bad in (b"", good[:1], good[: len(good) // 2], good[:-1], good + b"\0", good + good):
            (small / name).write_bytes(bad)
            assert [f for f in fsck(small) if f.file == name], (name, len(bad))
        (small / name).unlink()
        # older partial tiles may go (C2SP tlog-tiles); a kept file is missed by who asks for it
        if not re.search(r"\.p/1$|^files/", name):
            assert [f for f in fsck(small) if f.file == name], name
        (small / name).write_bytes(good)


def test_only_the_block_that_is_bent_is_named(small: Path) -> None:
    for name, height in (("blocks/000", 0), ("blocks/001", 1), ("tile/0/000.p/2", 1)):
        good = (small / name).read_bytes()
        (small / name).write_bytes(good[:-1] + bytes((good[-1] ^ 1,)))
        assert {f.height for f in fsck(small)} == {height}
        (small / name).write_bytes(good)


def test_blocks_that_change_places_are_named(small: Path) -> None:
    one, two = (small / "blocks/000").read_bytes(), (small / "blocks/001").read_bytes()
    (small / "blocks/000").write_bytes(two)
    (small / "blocks/001").write_bytes(one)
    assert {f.height for f in fsck(small)} == {0, 1}


def test_a_file_that_belongs_to_nothing_is_named(small: Path) -> None:
    for name in ("blocks/003", "blocks/x", "stray", "tile/0/001", "tile/entries/000.p/9"):
        (small / name).parent.mkdir(parents=True, exist_ok=True)
        (small / name).write_bytes(b"x")
        assert [f.file for f in fsck(small)] == [name]
        (small / name).unlink()


def test_a_ledger_signed_anew_with_another_key_is_named(small: Path) -> None:
    origin = (small / "vkey").read_text().split("+", maxsplit=1)[0]
    (small / "vkey").write_text(f"{signer_from_seed(bytes(32), origin).line}\n")
    faults = check(small, keys_folder=small.parent / "keys").faults
    assert [(f.height, f.file) for f in faults] == [(None, "vkey")]
    assert {f.file for f in fsck(small)} == {"checkpoint"}


def test_an_unusable_key_is_an_error_and_not_a_fault(small: Path) -> None:
    (small.parent / "keys/ledger.pem").write_bytes(b"")
    with pytest.raises(KeyFileError):
        check(small, keys_folder=small.parent / "keys")
    assert fsck(small) == []


def test_a_lost_newest_bundle_is_named_and_the_rest_still_checked(small: Path) -> None:
    (small / "tile/entries/000.p/2").write_bytes(b"")
    assert {f.height for f in fsck(small)} >= {0}
    good = (small / "blocks/001").read_bytes()
    (small / "blocks/001").write_bytes(good[::-1])
    assert fsck(small)


def test_a_folder_without_a_ledger_is_no_sound_ledger(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        fsck(tmp_path)


def test_progress_tells_each_block(small: Path) -> None:
    told: list[tuple[int, int]] = []
    check(small, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]


@pytest.mark.parametrize(("height", "name"), [(0, "tile/0/000"), (255, "tile/1/000.p/1")])
def test_a_bent_tile_of_a_long_log_is_named(
    writer: Ledger, event: Callable[[str], Event], height: int, name: str
) -> None:
    for number in range(258):
        writer.record([event(str(number))])
    writer.close()
    content = (writer.folder / name).read_bytes()
    (writer.folder / name).write_bytes(bytes((content[0] ^ 1,)) + content[1:])
    assert [(f.height, f.file) for f in fsck(writer.folder)] == [(height, name)]
