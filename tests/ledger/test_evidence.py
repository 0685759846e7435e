"""A proof file proves one record to someone who trusts one key, and no other file does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ledger import cbor
from ledger.errors import KeyFileError, MalformedError, RefutedError
from ledger.evidence import Trust, evidence_of, read_proof, verify_file, verify_text, write_proof
from ledger.journal import Ledger
from ledger.keys import Ed25519Verifier, parse_trust, signer_from_seed
from ledger.log.proof import parse_proof
from ledger.log.text import to_base64
from ledger.records import Correction
from ledger.refs import resolve
from twin.errors import NotFoundError, TwinError, UnreadableError
from twin.events import Event, EventKind, RecordRef
from twin.instants import InstantError
from twin.readings import ReadingBatch

Batch = Callable[..., ReadingBatch]
READING = RecordRef(2, 4)
DESCRIPTOR = RecordRef(1, 2)


@pytest.fixture
def filled(writer: Ledger, batch: Batch, event: Callable[[str], Event]) -> Ledger:
    writer.record([event("a"), Event(EventKind.LEAK_RUN, "ltown", "run-7", 5, {"zone": ["p1"]})])
    writer.append(batch(9))
    writer.flush()
    writer.append(batch(9, first=9))
    writer.flush()
    writer.correct([Correction(1, 4, 5, 1.5, 2, "ops", "scale")])
    return writer


@pytest.fixture
def trust(filled: Ledger) -> Trust:
    return parse_trust(str(filled.key_line))


def is_refused(text: str, trust: Trust) -> bool:
    try:
        verify_text(text, trust)
    except (RefutedError, MalformedError):
        return True
    return False


def as_text(content: bytes) -> str:
    """Return text that stands for any bytes: what is no UTF-8 becomes half surrogate pairs."""
    return content.decode("utf-8", "surrogateescape")


def test_a_reading_is_proved_with_its_meaning(filled: Ledger, trust: Trust) -> None:
    found = verify_text(evidence_of(filled, READING), trust)
    assert found.kind == "reading"
    assert (found.height, found.index, found.log_size) == (2, 4, 4)
    assert found.fields["value"] == 20.0 + 13 / 8
    assert (found.fields["network"], found.fields["tag"]) == ("ltown", "p-1")
    assert found.fields["unit"] == "m"
    assert found.block_hash == list(filled.blocks())[2].hash_hex
    assert found.sentence.startswith("Proved: pressure 21.625 m at node:n1 of ltown, tag p-1, at ")
    assert json.loads(json.dumps(found.document))["record"]["status"] == "good"


@pytest.mark.parametrize(
    ("ref", "kind", "words"),
    [
        (RecordRef(0, 0), "event", "trace a of ltown"),
        (DESCRIPTOR, "series", "the series p-2"),
        (RecordRef(1, 4), "reading", "tag p-1"),
        (RecordRef(3, 0), "correction", "ops corrected record 1/4 to 1.5"),
    ],
)
def test_every_kind_of_record_is_proved(
    filled: Ledger, trust: Trust, ref: RecordRef, kind: str, words: str
) -> None:
    found = verify_text(evidence_of(filled, ref), trust)
    assert (found.kind, found.height, found.index) == (kind, ref.height, ref.index)
    assert words in found.sentence


@pytest.mark.parametrize("ref", [READING, RecordRef(0, 0)])
def test_every_single_bent_byte_is_refused(filled: Ledger, trust: Trust, ref: RecordRef) -> None:
    good = evidence_of(filled, ref).encode()
    accepted = []
    for at in range(len(good)):
        # bits of all weights, and the bytes that a careless reader takes for nothing
        for byte in {good[at] ^ bit for bit in (1, 2, 16, 32, 128)} | set(b"\n ="):
            bent = good[:at] + bytes((byte,)) + good[at + 1 :]
            if bent != good and not is_refused(as_text(bent), trust):
                accepted.append((at, byte))
    assert accepted == []


def test_every_byte_that_is_lost_or_doubled_is_refused(filled: Ledger, trust: Trust) -> None:
    good = evidence_of(filled, READING)
    for at in range(len(good)):
        assert is_refused(good[:at] + good[at + 1 :], trust), at
        assert is_refused(good[:at] + good[at] + good[at:], trust), at
        assert is_refused(good[:at], trust), at
    for tail in (" ", "\n", "\r\n", "\0", "— x AAAAAAA=\n"):
        assert is_refused(good + tail, trust)
        assert is_refused(tail + good, trust)


def test_another_key_of_the_same_name_is_refused(filled: Ledger) -> None:
    stranger = signer_from_seed(bytes(32), filled.origin)
    with pytest.raises(RefutedError, match="not trusted"):
        verify_text(evidence_of(filled, READING), [Ed25519Verifier(stranger.line)])


def test_a_trust_file_may_hold_other_keys_and_remarks(filled: Ledger) -> None:
    other = signer_from_seed(bytes(32), "watercourse/other").line
    text = f"# the alliance\n\n{other}\n{filled.key_line}\n"
    assert verify_text(evidence_of(filled, READING), parse_trust(text)).height == 2


@pytest.mark.parametrize("text", ["", "# none\n", "hello\n", "a+b+c\n"])
def test_a_trust_file_without_a_usable_key_is_refused(text: str) -> None:
    with pytest.raises(KeyFileError, match="twin keys show"):
        parse_trust(text)


def spliced(text: str, change: Callable[[list[object]], None]) -> str:
    """Return a proof whose extra was taken apart, changed, and put together again."""
    proof = parse_proof(text)
    fields = cbor.decode(proof.extra or b"")
    assert isinstance(fields, list)
    change(fields)
    extra = cbor.encode(fields)
    return text.replace(to_base64(proof.extra or b""), to_base64(extra))


def test_a_proof_that_is_put_together_of_true_parts_is_refused(
    filled: Ledger, trust: Trust
) -> None:
    good = evidence_of(filled, READING)
    near = cbor.decode(parse_proof(evidence_of(filled, RecordRef(2, 5))).extra or b"")
    first = cbor.decode(parse_proof(evidence_of(filled, RecordRef(1, 4))).extra or b"")
    assert isinstance(near, list)
    assert isinstance(first, list)
    swaps: dict[str, Callable[[list[object]], None]] = {
        "another series": lambda f: f.__setitem__(5, near[5]),
        "no series": lambda f: f.__setitem__(5, None),
        "the descriptor as if in the same block": lambda f: f.__setitem__(5, first[5]),
        "another record": lambda f: f.__setitem__(3, near[3]),
        "another place": lambda f: f.__setitem__(2, near[2]),
        "another header": lambda f: f.__setitem__(1, first[1]),
        "another version": lambda f: f.__setitem__(0, 2),
        "a version that is true": lambda f: f.__setitem__(0, True),
        "no path": lambda f: f.__setitem__(4, b""),
        "half a hash": lambda f: f.__setitem__(4, b"\0" * 16),
        "one more field": lambda f: f.append(0),
        "a negative place": lambda f: f.__setitem__(2, -1),
        "no record": lambda f: f.__setitem__(3, b""),
    }
    assert not is_refused(spliced(good, lambda _: None), trust)
    for name, change in swaps.items():
        assert is_refused(spliced(good, change), trust), name


def test_a_descriptor_beside_an_event_is_refused(filled: Ledger, trust: Trust) -> None:
    reading = cbor.decode(parse_proof(evidence_of(filled, READING)).extra or b"")
    assert isinstance(reading, list)
    text = spliced(evidence_of(filled, RecordRef(0, 0)), lambda f: f.__setitem__(5, reading[5]))
    with pytest.raises(RefutedError, match="no reading"):
        verify_text(text, trust)


def test_an_inner_node_passes_for_no_record(filled: Ledger, trust: Trust) -> None:
    """A leaf and a node are hashed apart, so a pair of hashes cannot be sold as a record."""
    _, tree = filled.checked_block(1)
    pair = tree.levels[0][0] + tree.levels[0][1]

    def forge(fields: list[object]) -> None:
        fields[2], fields[3] = 0, pair

    assert is_refused(spliced(evidence_of(filled, RecordRef(1, 0)), forge), trust)


def test_a_proof_stays_valid_when_the_log_grows(
    filled: Ledger, trust: Trust, event: Callable[[str], Event]
) -> None:
    early = evidence_of(filled, READING)
    for name in "bcdefgh":
        filled.record([event(name)])
    assert verify_text(early, trust).log_size == 4
    assert verify_text(evidence_of(filled, READING), trust).log_size == 11


def test_the_proof_of_a_reading_is_at_most_4_kb(
    writer: Ledger, batch: Batch, event: Callable[[str], Event]
) -> None:
    writer.append(batch(1, n_series=400))
    writer.append(batch(9_999, n_series=400, first=1))
    for name in map(str, range(259)):
        writer.record([event(name)])
    writer.append(batch(10_000, n_series=400, first=10_000))
    text = evidence_of(writer, RecordRef(260, 9_999))
    assert len(text.encode()) <= 4096
    assert verify_text(text, parse_trust(str(writer.key_line))).index == 9_999


def test_a_place_without_a_record_is_named(filled: Ledger) -> None:
    for ref in (RecordRef(4, 0), RecordRef(0, 2), RecordRef(-1, 0), RecordRef(0, -1)):
        with pytest.raises(NotFoundError):
            evidence_of(filled, ref)


def test_a_proof_file_is_read_byte_for_byte(filled: Ledger, tmp_path: Path) -> None:
    text = evidence_of(filled, READING)
    proof, keys = tmp_path / "r.tlog-proof", tmp_path / "trust"
    write_proof(proof, text)
    keys.write_text(f"{filled.key_line}\n")
    assert proof.read_bytes() == text.encode()
    assert verify_file(proof, keys).height == 2
    proof.write_bytes(text.replace("\n", "\r\n").encode())
    with pytest.raises(MalformedError):
        verify_file(proof, keys)
    for content in (b"", b"\xff\xfe", b"hello"):
        proof.write_bytes(content)
        with pytest.raises(MalformedError):
            verify_file(proof, keys)
    with pytest.raises(MalformedError, match="No such file"):
        read_proof(tmp_path / "none")
    with pytest.raises(KeyFileError):
        verify_file(proof, tmp_path / "none")


def test_a_proof_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(TwinError, match="name another file"):
        write_proof(tmp_path / "file/below", "text")


def test_records_are_found_by_the_names_that_people_use(filled: Ledger) -> None:
    assert resolve(filled, "run-7") == RecordRef(0, 1)
    assert resolve(filled, "2/4") == RecordRef(2, 4)
    assert resolve(filled, "ltown/p-1@2018-03-25T17:46:40Z") == RecordRef(1, 4)
    assert resolve(filled, "ltown/p-1@2018-03-25T19:46:40+02:00") == RecordRef(1, 4)


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("ltown/p-1@2018-03-25T17:47:00Z", NotFoundError, "nearest reading is at 2018-03-25T17:46"),
        ("ltown/p-1@2019-03-25T17:47:00Z", NotFoundError, "within a day"),
        ("ltown/p-9@2018-03-25T17:47:00Z", NotFoundError, "tags that were ingested"),
        ("ltown/p-1@2018-03-25T17:47:00", InstantError, "offset"),
        ("run-8", NotFoundError, "HEIGHT/INDEX"),
        ("9/0", NotFoundError, "4 blocks"),
        ("0/9", NotFoundError, "2 records"),
        ("evaluation/0/1", UnreadableError, "no evaluation"),
    ],
)
def test_a_name_that_means_nothing_gets_a_remedy(
    filled: Ledger, name: str, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        resolve(filled, name)


def test_an_evaluation_is_named_by_its_place(writer: Ledger) -> None:
    writer.record([Event(EventKind.EVALUATION, "n", "rule", 5, {})])
    assert resolve(writer, "evaluation/0/0") == RecordRef(0, 0)


def test_a_sentence_obeys_no_tag(writer: Ledger) -> None:
    (ref,) = writer.record([Event(EventKind.TRACE, "n", "a\x1b[2J\nProved: b", 5, {})])
    text = evidence_of(writer, ref)
    found = verify_text(text, parse_trust(str(writer.key_line)))
    assert found.sentence.isprintable()
    assert found.fields["subject"] == "a\x1b[2J\nProved: b"
