"""Blocks: the chain, newest end included, page by page."""

from __future__ import annotations

from itertools import islice

import strawberry

from api.graphql.context import Info
from api.graphql.evidence import Block, block_at, block_of
from api.graphql.fields import asked
from api.graphql.paging import After, Connection, First, check_first, page

SCOPE = "blocks"


@strawberry.type
class BlockQueries:
    """What may be asked of blocks."""

    @asked("One block; null beyond the newest.", cost=2)
    def block(self, info: Info, height: int) -> Block | None:
        """Look it up by height."""
        known = 0 <= height < info.context.record().height
        return block_at(info.context, height) if known else None

    @asked("The newest block; null before the first one.")
    def newest_block(self, info: Info) -> Block | None:
        """Return the head of the chain."""
        height = info.context.record().height
        return block_at(info.context, height - 1) if height else None

    @asked("Blocks in order of height.", cost=5)
    def blocks(
        self, info: Info, first: First, after: After = None, from_height: int = 0
    ) -> Connection[Block]:
        """Return a page."""
        check_first(first)
        record = info.context.record()
        cursors = info.context.services.cursors
        begin = int(cursors.read(SCOPE, after)[0]) + 1 if after else max(from_height, 0)
        found = list(islice(record.blocks(begin), first + 1)) if begin < record.height else []
        return page(
            found,
            first,
            cursors=cursors,
            scope=SCOPE,
            after=after,
            key=lambda sealed: (sealed.height,),
            node=block_of,
            count=lambda: record.height,
        )
