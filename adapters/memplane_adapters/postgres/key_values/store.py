"""The key-value promise on PostgreSQL."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Final

from memplane_adapters.contract import (
    EVERY_OP_EXACT,
    Address,
    Capabilities,
    ConditionalWrite,
    Count,
    Cursor,
    Delete,
    Durability,
    Entry,
    Filter,
    Kind,
    Page,
    Predicate,
    Scan,
    Scope,
    Stats,
    Stored,
    Write,
    WriteResult,
    compile_filter,
)
from memplane_adapters.kit.codec import encode_fields
from memplane_adapters.postgres.engine import Engine
from memplane_adapters.postgres.key_values.scans import EntryScans
from memplane_adapters.postgres.rows import Rows
from memplane_adapters.postgres.schema import Layout
from memplane_adapters.postgres.store import PostgresStore
from memplane_adapters.postgres.tables import ENTRIES
from memplane_adapters.postgres.walks import Walk

CAPABILITIES: Final = Capabilities(
    filters=EVERY_OP_EXACT,
    conditional_write=ConditionalWrite.NATIVE,
    ordered_scan=True,
    exact_count=True,
    read_your_writes=True,
    atomic=True,
    durability=(Durability.BUFFERED, Durability.PROCESS, Durability.DISK),
    isolation="column",
    max_batch_bytes=64 * 2**20,
    max_item_bytes=64 * 2**20,
)


class PostgresKeyValueStore(PostgresStore):
    """Entries in a table."""

    capabilities = CAPABILITIES

    def __init__(self, engine: Engine, layout: Layout) -> None:
        super().__init__(engine, layout)
        self._rows = Rows(layout, ENTRIES, _encode)
        self._scans = EntryScans(layout, ENTRIES, self._rows)

    async def put(
        self, writes: Sequence[Write[Entry]], *, atomic: bool = False
    ) -> list[WriteResult]:
        if not writes:
            return self._nothing()
        return await self._call(lambda session: self._rows.put(session, writes, atomic=atomic))

    async def delete(self, deletes: Sequence[Delete], *, atomic: bool = False) -> list[WriteResult]:
        if not deletes:
            return self._nothing()
        return await self._call(lambda session: self._rows.delete(session, deletes, atomic=atomic))

    async def get(self, addresses: Sequence[Address]) -> list[Stored | None]:
        if not addresses:
            return self._nothing()
        return await self._call(lambda session: self._rows.get(session, addresses))

    async def scan(self, scan: Scan) -> Page:
        predicate = _predicate(scan.filter)
        if predicate is None:
            return await self._call(lambda session: self._scans.page(session, scan))
        return await self._call(lambda session: self._scans.matching_page(session, scan, predicate))

    async def count(self, scope: Scope, filter: Filter | None = None) -> Count:
        predicate = _predicate(filter)
        if predicate is None:
            return await self._call(lambda session: self._scans.count(session, scope))
        return await self._call(
            lambda session: self._scans.matching_count(session, scope, predicate)
        )

    async def delete_where(
        self, scope: Scope, filter: Filter | None = None, *, max_revision: int
    ) -> int:
        walk = Walk(ENTRIES, scope, max_revision=max_revision)
        predicate = _predicate(filter)

        def purge(after: Cursor | None, limit: int) -> Awaitable[tuple[int, Cursor | None]]:
            if predicate is None:
                return self._call(lambda session: self._scans.purge(session, walk, after, limit))
            return self._call(
                lambda session: self._scans.purge_matching(session, walk, predicate, after, limit)
            )

        return await self._delete_all(purge)

    async def stats(self, kind: Kind) -> Stats:
        ((rows, size),) = await self._call(
            lambda session: session.rows(self._layout.statement(_STATS), kind.value)
        )
        return Stats(rows=rows, size_bytes=size)


def _encode(entry: Entry) -> tuple[object, ...]:
    fields = encode_fields(entry.fields)
    fields.encode()
    return fields, entry.record


def _predicate(tree: Filter | None) -> Predicate | None:
    return None if tree is None else compile_filter(tree)


_STATS: Final = """
    select (select count(*) from {schema}.entry where kind = $1),
           pg_total_relation_size('{schema}.entry')
"""
