"""The outbox as a shelf, so that the writer of memories writes to it as to any store."""

from __future__ import annotations

from collections.abc import Collection, Sequence
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
from memplane_gateway.memory.model import Record
from memplane_gateway.memory.shelf import RecordCodec, Row, RowWrite, Shelf
from memplane_gateway.outbox.entries import Spooled
from memplane_gateway.outbox.outbox import Outbox

_APPLIED = WriteResult(WriteStatus.APPLIED)


class OutboxShelf:
    """What waits for a store, as if it was one. Nobody else may write the same memories meanwhile."""

    def __init__(
        self,
        outbox: Outbox,
        behind: Shelf,
        clock: Clock,
        depending: Collection[Address] = (),
    ) -> None:
        """`behind` is the shelf that the writes wait for.

        Of those `depending`, a write is decided on the one that waits before it.
        """
        self.codec: RecordCodec = behind.codec
        self._outbox = outbox
        self._behind = behind
        self._clock = clock
        self._depending = frozenset(depending)

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

    async def complete(self, rows: Sequence[Row]) -> list[Row]:
        """As they are: what waits has all its vectors."""
        return list(rows)

    async def write(self, writes: Sequence[RowWrite], *, atomic: bool) -> list[WriteResult]:
        """Have rows wait."""
        revisions = [write.row.record.revision for write in writes]
        rows = [(write.row.record.address, write.row, write.expected) for write in writes]
        await self._append(revisions, rows, atomic=atomic)
        return [_APPLIED] * len(rows)

    async def delete(self, deletes: Sequence[Delete], *, atomic: bool) -> list[WriteResult]:
        """Have deletes wait, of whatever the store has up to now."""
        revisions = [self._clock.revision() for _ in deletes]
        rows = [(delete.address, None, delete.expected or 0) for delete in deletes]
        await self._append(revisions, rows, atomic=atomic)
        return [_APPLIED] * len(deletes)

    async def _append(
        self,
        revisions: Sequence[int],
        rows: Sequence[tuple[Address, Row | None, int]],
        *,
        atomic: bool,
    ) -> None:
        batch = revisions[0] if atomic and len(revisions) > 1 else 0
        now = self._clock.now()
        await self._outbox.append(
            [
                Spooled(
                    id=revision,
                    address=address,
                    row=row,
                    revision=revision,
                    base=expected if address in self._depending else 0,
                    time=now,
                    batch=batch,
                )
                for revision, (address, row, expected) in zip(revisions, rows, strict=True)
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
