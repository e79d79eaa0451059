"""Sweeps: delete the points of further texts that no memory claims, which crashes leave behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memplane_adapters.contract import Address, Cursor, Scope
from memplane_gateway.memory.further import LOOKED_AT_ONCE, FurtherText
from memplane_gateway.memory.shelf import Row
from memplane_gateway.memory.vector_shelf import VectorShelf

__all__ = ["GRACE", "LOOKED_AT_ONCE", "Cleared", "sweep"]

GRACE = 3_600_000_000
"""In microseconds: a write may be under way for so long, and what it has written must stay."""


@dataclass(frozen=True, slots=True)
class Cleared:
    """What a step of a sweep did."""

    deleted: int
    next: Cursor | None
    """Where to go on; None is the end."""


async def sweep(shelf: VectorShelf, scope: Scope, after: Cursor | None = None) -> Cleared:
    """Delete what is unclaimed among some hundreds of the further texts in a scope, as of `alive_at`."""
    texts, following = await shelf.further.page(scope, after)
    memories = list(dict.fromkeys(text.memory for text in texts))
    rows = dict(zip(memories, await _heads(shelf, memories), strict=True))
    unclaimed = [
        text.address
        for text in texts
        if text.update_time < scope.alive_at - GRACE and not _claims(rows[text.memory], text)
    ]
    return Cleared(await shelf.further.discard(unclaimed), following)


async def _heads(shelf: VectorShelf, memories: Sequence[Address]) -> list[Row | None]:
    return await shelf.fetch(memories) if memories else []


def _claims(row: Row | None, text: FurtherText) -> bool:
    """Whether the memory, alive or expired, has this very text."""
    if row is None or row.record.revision != text.revision:
        return False
    return text.number in row.record.embedded_texts
