"""The outbox as a shelf, so that the writer of memories writes to it as to any store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from memplane_adapters.contract import (
    Address,
    Capabilities,
    ConditionalWrite,
    Count,
    Delete,
    Filter,
    Page,
    Scan,
    Scope,
    WriteResult,
    WriteStatus,
)
from memplane_gateway.clock import Clock
from memplane_gateway.memory.model import Record, Removal
from memplane_gateway.memory.shelf import RecordCodec, Row, RowWrite, Shelf
from memplane_gateway.outbox.entries import Spooled
from memplane_gateway.outbox.outbox import Outbox

_APPLIED = WriteResult(WriteStatus.APPLIED)


class OutboxShelf:
    """What waits for a store, as if it was one. Nobody else may write the same memories meanwhile."""

    def __init__(self, outbox: Outbox, behind: Shelf, clock: Clock) -> None:
        """`behind` is the shelf that the writes wait for."""
        self.codec: RecordCodec = behind.codec
        self._outbox = outbox
        self._behind = behind
        self._clock = clock

    @property
    def capabilities(self) -> Capabilities:
        """Those of the store; who writes here has the memories to himself."""
        able = self._behind.capabilities
        return replace(able, conditional_write=ConditionalWrite.NATIVE)

    async def fetch(
        self,
        addresses: Sequence[Address],
        *,
        vectors: bool = False,  # noqa: ARG002 (they are there anyway)
    ) -> list[Row | None]:
        """What waits to be written; None for a delete and for what does not wait."""
        found = await self._outbox.newest(addresses)
        entries = [found.get(address) for address in addresses]
        return [entry.row if entry is not None else None for entry in entries]

    async def write(self, writes: Sequence[RowWrite], *, atomic: bool) -> list[WriteResult]:
        """Have rows wait."""
        rows = [write.row for write in writes]
        batch = rows[0].record.revision if atomic and len(rows) > 1 else 0
        await self._outbox.append([self._spooled(row, batch) for row in rows])
        return [_APPLIED] * len(rows)

    async def delete(self, deletes: Sequence[Delete], *, atomic: bool) -> list[WriteResult]:
        """Have deletes wait."""
        await self.remove([Removal(delete.address) for delete in deletes], atomic=atomic)
        return [_APPLIED] * len(deletes)

    async def remove(self, removals: Sequence[Removal], *, atomic: bool) -> None:
        """Have deletes wait, of whatever the store has up to now."""
        revisions = [self._clock.revision() for _ in removals]
        batch = revisions[0] if atomic and len(revisions) > 1 else 0
        await self._outbox.append(
            [
                Spooled(
                    id=revision,
                    address=removal.address,
                    row=None,
                    revision=revision,
                    time=self._clock.now(),
                    created_until=removal.began,
                    batch=batch,
                )
                for removal, revision in zip(removals, revisions, strict=True)
            ]
        )

    async def scan(self, scan: Scan) -> Page:
        """Walks go to the store."""
        return await self._behind.scan(scan)

    async def count(self, scope: Scope, filter: Filter | None) -> Count:
        """Counts come from the store."""
        return await self._behind.count(scope, filter)

    def searchable(self, record: Record) -> bool:
        """Whether VECTOR or KEYWORD search will find it in the store."""
        return self._behind.searchable(record)

    def _spooled(self, row: Row, batch: int) -> Spooled:
        record = row.record
        return Spooled(
            id=record.revision,
            address=record.address,
            row=row,
            revision=record.revision,
            time=self._clock.now(),
            batch=batch,
        )
