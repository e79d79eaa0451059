"""Walks over rows page by page, counts, and what delete_where deletes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

from memplane_adapters.contract import Count, Cursor, Order, Page, Predicate, Scan, Scope, Stored
from memplane_adapters.kit.codec import decode_fields
from memplane_adapters.postgres.engine import Row, Session
from memplane_adapters.postgres.rows import Rows, decode_place
from memplane_adapters.postgres.schema import Layout
from memplane_adapters.postgres.walks import Arguments, Walk, bounds, rows_inside

_CHUNK: Final = 256
"""Most rows whose fields are looked at in one go."""
_FEW: Final = 1_000
"""Up to so many rows under a prefix, sorting them beats walking all of the tenant's in order."""


class _Seen(NamedTuple):
    """A row that a filter was held against."""

    id: UUID
    size: int
    """Bytes of its record."""
    cursor: Cursor
    matches: bool


class Scans:
    """Rows in the tables of one schema, in order."""

    def __init__(self, layout: Layout, rows: Rows) -> None:
        self._layout = layout
        self._rows = rows

    async def page(self, session: Session, scan: Scan, predicate: Predicate | None) -> Page:
        """One page of a walk."""
        few = (
            scan.order is not Order.PLACE
            and bool(scan.scope.namespace)
            and await self._has_few(session, scan.scope)
        )
        walk = Walk(scan.scope, scan.order, scan.descending, few=few)
        if predicate is None:
            return await self._plain_page(session, scan, walk)
        await session.begin_snapshot()
        page = await self._filtered_page(session, scan, walk, predicate)
        await session.commit()
        return page

    async def count(self, session: Session, scope: Scope, predicate: Predicate | None) -> Count:
        """How many rows of a scope match."""
        if predicate is None:
            arguments = Arguments()
            where = rows_inside(arguments, scope, *bounds(scope))
            ((count,),) = await self._ask(session, _COUNT.replace("{where}", where), arguments)
            return Count(count, count)
        await session.begin_snapshot()
        count = scanned = 0
        async for seen in self._judged(session, Walk(scope), None, predicate, first=_CHUNK):
            scanned += 1
            count += seen.matches
        await session.commit()
        return Count(count, scanned)

    async def purge(
        self,
        session: Session,
        walk: Walk,
        predicate: Predicate | None,
        after: Cursor | None,
        limit: int,
    ) -> tuple[int, Cursor | None]:
        """Delete those of the next rows that match; says how many, and where to go on."""
        arguments = Arguments()
        columns = "id, revision" if predicate is None else "id, revision, fields"
        sql = walk.statement(arguments, columns, after, limit)
        found = await self._ask(session, sql, arguments)
        doomed = [
            (row[0], row[1])
            for row in found
            if predicate is None or predicate(decode_fields(row[2]))
        ]
        deleted = await self._rows.delete_rows(session, doomed) if doomed else 0
        return deleted, _cursor(*found[-1][-2:]) if len(found) == limit else None

    async def _plain_page(self, session: Session, scan: Scan, walk: Walk) -> Page:
        """In one statement; records behind the limit and behind `max_bytes` stay where they are."""
        arguments = Arguments()
        limit = min(scan.limit, scan.budget)
        found = walk.statement(arguments, "record", scan.after, limit + 1)
        sql = _PAGE.replace("{found}", found).replace("{order}", walk.in_order)
        sql = sql.replace("{limit}", arguments.name(limit))
        sql = sql.replace("{max_bytes}", arguments.name(scan.max_bytes))
        every = await self._ask(session, sql, arguments)
        rows = tuple(Stored(record) for _, _, record in every if record is not None)
        more = len(rows) < len(every)
        return Page(rows, _cursor(*every[len(rows) - 1][:2]) if more else None, len(rows))

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
            chunk = await self._ask(session, sql, arguments)
            for one, length, fields, value, place in chunk:
                after = _cursor(value, place)
                yield _Seen(one, length, after, predicate(decode_fields(fields)))
            if len(chunk) < size:
                return
            size = min(size * 2, _CHUNK)

    async def _has_few(self, session: Session, scope: Scope) -> bool:
        arguments = Arguments()
        where = rows_inside(arguments, scope, *bounds(scope))
        sql = _COUNT_FEW.replace("{where}", where).replace("{limit}", arguments.name(_FEW + 1))
        ((number,),) = await self._ask(session, sql, arguments)
        return bool(number <= _FEW)

    async def _ask(self, session: Session, sql: str, arguments: Sequence[Any]) -> list[Row]:
        return await session.rows(self._layout.statement(sql), *arguments)


def _cursor(value: int, place: bytes) -> Cursor:
    return Cursor(value, *decode_place(place))


_PAGE: Final = """
    select value, place,
           case when number <= {limit} and before < {max_bytes} then record end
    from (
        select *, row_number() over so_far as number,
               coalesce(sum(octet_length(record)) over (
                   so_far rows between unbounded preceding and 1 preceding
               ), 0) as before
        from ({found}) as found
        window so_far as (order by {order})
    ) as page
    order by number
"""
_COUNT: Final = "select count(*) from {schema}.entry where {where}"
_COUNT_FEW: Final = """
    select count(*) from (select from {schema}.entry where {where} limit {limit}) as few
"""
