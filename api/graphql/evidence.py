"""Evidence: a record's own place in the ledger, and the proof of it that needs no trust in us."""

from __future__ import annotations

from typing import cast

import strawberry

from api.graphql.context import Context, Info
from api.graphql.fields import asked
from api.graphql.ids import global_id
from api.graphql.nodes import Node
from api.graphql.scalars import Hash, Instant, Nanoseconds
from ledger.errors import MalformedError, RefutedError
from ledger.evidence import Verified, evidence_of, verify_text
from ledger.keys import Ed25519Verifier
from twin.errors import NotFoundError
from twin.events import RecordRef, SealedBlock

PROOF_COST = 20


@strawberry.type(description="A sealed block: durable, hashed and signed.")
class Block(Node):
    """One block of the chain."""

    height: int = strawberry.field(description="Its place in the chain, from 0.")
    hash: Hash = strawberry.field(description="SHA-256 of its header.")
    time_ns: Nanoseconds = strawberry.field(description="When it was sealed.")
    n_records: int = strawberry.field(description="How many records it holds.")
    n_readings: int = strawberry.field(description="How many of them are readings.")

    @asked("When it was sealed.")
    def time(self) -> Instant:
        """Return the time as a DateTime."""
        return Instant(int(self.time_ns))


def block_of(sealed: SealedBlock) -> Block:
    """Return a block as GraphQL shows it."""
    return Block(
        id=global_id("Block", str(sealed.height)),
        height=sealed.height,
        hash=Hash(sealed.hash_hex),
        time_ns=Nanoseconds(sealed.time_ns),
        n_records=sealed.n_records,
        n_readings=sealed.n_readings,
    )


def block_at(context: Context, height: int) -> Block:
    """Return the block at a height, looked up once for each question.

    Raises:
        NotFoundError: There is no block at that height.
    """
    known = context.known.get(("block", height))
    if known is None:
        sealed = next(iter(context.record().blocks(height)), None) if height >= 0 else None
        if sealed is None:
            raise NotFoundError("block", str(height))
        known = context.known["block", height] = block_of(sealed)
    return cast("Block", known)


@strawberry.type(
    description="A record's own place in the ledger, and the proof that `twin verify` reads."
)
class Evidence:
    """Where a record stands, and how to prove it."""

    leaf_index: int = strawberry.field(description="Its place in the block.")
    height: int = strawberry.field(description="Height of the block.")

    @asked("The block that holds it.")
    def block(self, info: Info) -> Block:
        """Return the block."""
        return block_at(info.context, self.height)

    @asked(
        "A proof file: save it as text, and run `twin verify FILE --trust KEYS`.",
        cost=PROOF_COST,
    )
    def proof(self, info: Info) -> str:
        """Return the proof's text."""
        return _proof(info.context, self._ref)

    @asked(
        "Whether this server, checking the proof as an auditor would, accepts it.",
        cost=PROOF_COST,
    )
    def verified(self, info: Info) -> bool:
        """Verify the proof against the home's own key."""
        return _is_proved(info.context, self._ref)

    @asked("Whether the record still waits for its block; such a one has no proof yet.")
    def pending(self, info: Info) -> bool:
        """Compare with the newest sealed block."""
        return self.height >= info.context.record().height

    @property
    def _ref(self) -> RecordRef:
        return RecordRef(self.height, self.leaf_index)


def verify(context: Context, text: str) -> Verified:
    """Return what a proof proves to someone who trusts this home's own key.

    Raises:
        RefutedError: It does not prove what it says.
        MalformedError: It cannot be read.
    """
    return verify_text(text, [Ed25519Verifier(context.record().key_line)])


def _proof(context: Context, ref: RecordRef) -> str:
    key = ("proof", ref)
    if key not in context.known:
        context.known[key] = evidence_of(context.record(), ref)
    return cast("str", context.known[key])


def _is_proved(context: Context, ref: RecordRef) -> bool:
    try:
        found = verify(context, _proof(context, ref))
    except (RefutedError, MalformedError):
        return False
    return (found.height, found.index) == (ref.height, ref.index)
