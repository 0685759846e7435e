"""Keys, signed notes and checkpoints are those of C2SP and Go, in one spelling."""

from __future__ import annotations

import pytest

from ledger.keys import Ed25519Verifier, signer_from_seed
from ledger.log.checkpoint import (
    Checkpoint,
    open_checkpoint,
    parse_checkpoint_text,
    sign_checkpoint,
)
from ledger.log.errors import LogError, RefutedLogError, UnreadableLogError
from ledger.log.merkle import EMPTY_ROOT
from ledger.log.note import check_note, parse_key_line, parse_note, sign_note

# golang.org/x/mod/sumdb/note, package documentation.
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngo"
    "tpRZb6KE6RyyBwJnAM=\n"
)
SEED = bytes(range(32))
ORIGIN = "watercourse/test"


def test_ed25519_is_that_of_rfc_8032() -> None:
    # RFC 8032, section 7.1, test 2
    seed = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    signer = signer_from_seed(seed, ORIGIN)
    assert signer.line.public.hex() == (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    )
    signature = signer.sign(b"\x72")
    assert signature.hex() == (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert Ed25519Verifier(signer.line).is_valid(b"\x72", signature)
    assert not Ed25519Verifier(signer.line).is_valid(b"\x73", signature)


def test_a_signature_with_its_scalar_raised_by_the_group_order_is_refused() -> None:
    signer = signer_from_seed(SEED, ORIGIN)
    signature = signer.sign(b"text")
    order = 2**252 + 27742317777372353535851937790883648493  # RFC 8032, section 5.1
    scalar = int.from_bytes(signature[32:], "little") + order
    bent = signature[:32] + scalar.to_bytes(32, "little")
    assert not Ed25519Verifier(signer.line).is_valid(b"text", bent)


def test_the_note_of_the_go_documentation_is_accepted() -> None:
    line = parse_key_line(GO_KEY)
    assert str(line) == GO_KEY
    assert check_note(parse_note(GO_NOTE), [Ed25519Verifier(line)]) == [line]


@pytest.mark.parametrize(
    "wrong",
    [
        GO_KEY.replace("c74f20a3", "c74f20a4"),  # the id is not that of the key
        GO_KEY.replace("c74f20a3", "C74F20A3"),
        GO_KEY.replace("PeterNeumann", "Peter Neumann"),
        GO_KEY.replace("PeterNeumann", ""),
        GO_KEY[:-1],
        GO_KEY[:-1] + "X",  # spare bits, or another key
        GO_KEY.replace("+A", "+B"),
        GO_KEY + " ",
        "PeterNeumann",
        "",
    ],
)
def test_a_key_line_in_any_other_spelling_is_refused(wrong: str) -> None:
    with pytest.raises(UnreadableLogError):
        parse_key_line(wrong)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\n\n", "\n"),
        ("— ", "- "),
        ("— ", "—  "),
        ("\n\n", "\r\n\r\n"),
        ("you", "y\tu"),
        ("AM=", "AN="),  # the spare bits before the padding
        ("AM=", "AM"),
        ("AM=\n", "AM="),
        ("AM=\n", "AM=\n\n"),
        ("PeterNeumann ", "Peter+Neumann "),
        ("x08go", "x08g o"),
    ],
)
def test_a_note_in_any_other_spelling_is_refused(old: str, new: str) -> None:
    assert old in GO_NOTE
    with pytest.raises(LogError):
        check_note(parse_note(GO_NOTE.replace(old, new)), [Ed25519Verifier(parse_key_line(GO_KEY))])


def test_a_line_of_an_unknown_key_is_refused_although_a_known_one_stands_beside_it() -> None:
    known, stranger = signer_from_seed(SEED, ORIGIN), signer_from_seed(SEED[::-1], "stranger")
    note = sign_note("text\n", [known, stranger])
    with pytest.raises(RefutedLogError, match="stranger"):
        check_note(note, [Ed25519Verifier(known.line)])


def test_a_signature_that_stands_twice_is_refused() -> None:
    signer = signer_from_seed(SEED, ORIGIN)
    with pytest.raises(RefutedLogError, match="twice"):
        check_note(sign_note("text\n", [signer, signer]), [Ed25519Verifier(signer.line)])


def test_a_checkpoint_comes_back_as_it_was_signed() -> None:
    signer = signer_from_seed(SEED, ORIGIN)
    checkpoint = Checkpoint(ORIGIN, 0, EMPTY_ROOT)
    content = str(sign_checkpoint(checkpoint, signer))
    assert open_checkpoint(content, [Ed25519Verifier(signer.line)]) == checkpoint


def test_a_checkpoint_signed_by_another_log_is_refused() -> None:
    signer = signer_from_seed(SEED, "watercourse/other")
    content = str(sign_checkpoint(Checkpoint(ORIGIN, 0, EMPTY_ROOT), signer))
    with pytest.raises(RefutedLogError, match="alone"):
        open_checkpoint(content, [Ed25519Verifier(signer.line)])


@pytest.mark.parametrize("size", ["", "+1", "01", " 1", "1_0", "-1", "٣", "9" * 20, "9" * 5000])
def test_a_tree_size_in_any_other_spelling_is_refused(size: str) -> None:
    root = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
    assert parse_checkpoint_text(f"a\n0\n{root}\n").root == EMPTY_ROOT
    with pytest.raises(UnreadableLogError):
        parse_checkpoint_text(f"a\n{size}\n{root}\n")


@pytest.mark.parametrize(
    "text", ["a\n0\n", "\n0\n{root}\n", "a\n0\n{root}\nextension\n", "a\n0\nAA==\n"]
)
def test_a_checkpoint_has_exactly_its_three_lines(text: str) -> None:
    with pytest.raises(UnreadableLogError):
        parse_checkpoint_text(text.format(root="47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="))
