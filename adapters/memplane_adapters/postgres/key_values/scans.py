"""Walks with a filter: rows are read in order and judged here, by the contract's own evaluator."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final, NamedTuple
from uuid import UUID

from memplane_adapters.contract import Count, Cursor, Page, Predicate, Scan, Scope
from memplane_adapters.kit.codec import decode_fields
from memplane_adapters.postgres.engine import Session
from memplane_adapters.postgres.scans import Scans, cursor
from memplane_adapters.postgres.walks import Arguments, Walk

_CHUNK: Final = 256
"""Most rows whose fields are looked at in one go."""


class _Seen(NamedTuple):
    """A row that a filter was held against."""

    id: UUID
    size: int
    """Bytes of its record."""
    cursor: Cursor
    matches: bool


class EntryScans(Scans):
    """Rows with fields."""

    async def matching_page(self, session: Session, scan: Scan, predicate: Predicate) -> Page:
        """One page of a walk over rows that match."""
        await session.begin_snapshot()
        walk = await self._walk(session, scan)
        page = await self._filtered_page(session, scan, walk, predicate)
        await session.commit()
        return page

    async def matching_count(self, session: Session, scope: Scope, predicate: Predicate) -> Count:
        """How many rows of a scope match."""
        await session.begin_snapshot()
        count = scanned = 0
        async for seen in self._judged(
            session, Walk(self._table, scope), None, predicate, first=_CHUNK
        ):
            scanned += 1
            count += seen.matches
        await session.commit()
        return Count(count, scanned)

    async def purge_matching(
        self, session: Session, walk: Walk, predicate: Predicate, after: Cursor | None, limit: int
    ) -> tuple[int, Cursor | None]:
        """Delete those of the next rows that match; says how many, and where to go on."""
        return await self._purge(
            session,
            walk,
            after,
            limit,
            columns="id, revision, fields",
            is_doomed=lambda row: predicate(decode_fields(row[2])),
        )

    async def _filtered_page(
        self, session: Session, scan: Scan, walk: Walk, predicate: Predicate
    ) -> Page:
        found: list[UUID] = []
        last: Cursor | None = None
        scanned = size = 0
        first = min(scan.limit, scan.budget)
        async for seen in self._judged(session, walk, scan.after, predicate, first=first):
            full = len(found) == scan.limit or size >= scan.max_bytes
            if full or scanned == scan.budget:
                break  # there is at least this one more
            scanned, last = scanned + 1, seen.cursor
            if seen.matches:
                found.append(seen.id)
                size += seen.size
        else:
            last = None
        rows = await self._rows.load(session, found)
        return Page(tuple(rows[one] for one in found), last, scanned)

    async def _judged(
        self,
        session: Session,
        walk: Walk,
        after: Cursor | None,
        predicate: Predicate,
        *,
        first: int,
    ) -> AsyncIterator[_Seen]:
        """Rows with whether they match, in growing chunks."""
        size = min(first + 1, _CHUNK)
        while True:
            arguments = Arguments()
            columns = "id, octet_length(record), fields"
            sql = walk.statement(arguments, columns, after, size)
            chunk = await self.ask(session, sql, arguments)
            for one, length, fields, value, place in chunk:
                after = cursor(value, place)
                yield _Seen(one, length, after, predicate(decode_fields(fields)))
            if len(chunk) < size:
                return
            size = min(size * 2, _CHUNK)
