"""Verification: what a proof file proves to someone who trusts this home's own key.

An auditor does not ask us: `twin verify FILE --trust KEYS` does the same without this server.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, cast

import strawberry
from strawberry.scalars import JSON

from api.graphql.context import Info
from api.graphql.evidence import verify
from api.graphql.fields import asked
from api.graphql.scalars import Hash, Instant
from ledger.errors import MalformedError, RefutedError
from twin.instants import parse_instant


@strawberry.type(description="The proof holds: the record stands where it says, unchanged.")
class ProofHolds:
    """What was proved."""

    sentence: str = strawberry.field(description="What is proved, in one plain sentence.")
    kind: str = strawberry.field(description="`reading`, `event`, `series` or `correction`.")
    origin: str = strawberry.field(description="Which log.")
    height: int
    leaf_index: int
    block_hash: Hash
    sealed_at: Instant
    log_size: int = strawberry.field(description="Number of blocks under the signature.")
    key: str = strawberry.field(description="The key that signed, as `--trust` reads it.")
    record: JSON = strawberry.field(description="The record's own fields.")


@strawberry.type(description="The proof was read, and does not prove what it says.")
class ProofRefuted:
    """Why not."""

    reason: str


@strawberry.type(description="The text is no proof in the one spelling that is allowed.")
class ProofUnreadable:
    """Why not."""

    reason: str


Verification = Annotated[
    ProofHolds | ProofRefuted | ProofUnreadable, strawberry.union("Verification")
]


@strawberry.type
class VerificationQueries:
    """What may be asked of proofs."""

    @asked("Check a proof file's text against this home's key.", cost=50)
    def verify(self, info: Info, proof: str) -> Verification:
        """Verify as `twin verify` does."""
        try:
            found = verify(info.context, proof)
        except RefutedError as error:
            return ProofRefuted(reason=error.reason)
        except MalformedError as error:
            return ProofUnreadable(reason=error.reason)
        record = cast("Mapping[str, object]", found.document["record"])
        return ProofHolds(
            sentence=found.sentence,
            kind=found.kind,
            origin=found.origin,
            height=found.height,
            leaf_index=found.index,
            block_hash=Hash(found.block_hash),
            sealed_at=Instant(parse_instant(found.sealed_at)),
            log_size=found.log_size,
            key=found.key,
            record=JSON(dict(record)),
        )

    @asked("The public key of this home's ledger, as `twin verify --trust` reads it.")
    def ledger_key(self, info: Info) -> str:
        """Return the key line."""
        return str(info.context.record().key_line)
