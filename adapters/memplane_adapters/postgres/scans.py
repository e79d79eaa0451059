"""Walks over rows page by page, counts, and what delete_where deletes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final
from uuid import UUID

from memplane_adapters.contract import Count, Cursor, Order, Page, Scan, Scope
from memplane_adapters.postgres.engine import Row, Session
from memplane_adapters.postgres.rows import Rows, decode_place, stored
from memplane_adapters.postgres.schema import Layout
from memplane_adapters.postgres.tables import Table
from memplane_adapters.postgres.walks import (
    Arguments,
    Condition,
    Walk,
    always,
    bounds,
    rows_inside,
)

_FEW: Final = 1_000
"""Up to so many rows under a prefix, sorting them beats walking all of the tenant's in order."""


class Scans:
    """The rows of one table, in order."""

    def __init__(self, layout: Layout, table: Table, rows: Rows[Any]) -> None:
        self._layout = layout
        self._table = table
        self._rows = rows

    async def page(self, session: Session, scan: Scan, condition: Condition = always) -> Page:
        """One page of a walk, in one statement.

        Records behind the limit and behind `max_bytes` stay where they are.
        """
        walk = await self._walk(session, scan, condition)
        arguments = Arguments()
        limit = min(scan.limit, scan.budget)
        payload = self._table.payload if scan.vectors else self._table.payload[:1]
        found = walk.statement(arguments, ", ".join(payload), scan.after, limit + 1)
        given = f"number <= {arguments.name(limit)} and before < {arguments.name(scan.max_bytes)}"
        sql = _PAGE.replace("{found}", found).replace("{order}", walk.in_order)
        sql = sql.replace(
            "{payload}", ", ".join(f"case when {given} then {name} end" for name in payload)
        )
        every = await self.ask(session, sql, arguments)
        rows = tuple(stored(*payload) for _, _, *payload in every if payload[0] is not None)
        more = len(rows) < len(every)
        return Page(rows, cursor(*every[len(rows) - 1][:2]) if more else None, len(rows))

    async def count(self, session: Session, scope: Scope, condition: Condition = always) -> Count:
        """How many rows of a scope there are."""
        arguments = Arguments()
        where = rows_inside(arguments, self._table, scope, *bounds(scope))
        where += f" and {condition(arguments)}"
        ((count,),) = await self.ask(session, self._filled(_COUNT, where), arguments)
        return Count(count, count)

    async def purge(
        self, session: Session, walk: Walk, after: Cursor | None, limit: int
    ) -> tuple[int, Cursor | None]:
        """Delete the next rows; says how many, and where to go on."""
        return await self._purge(
            session, walk, after, limit, columns="id, revision", is_doomed=lambda _: True
        )

    async def ask(self, session: Session, sql: str, arguments: Sequence[Any]) -> list[Row]:
        """What a statement returns, whose {schema} is still to be filled in."""
        return await session.rows(self._layout.statement(sql), *arguments)

    async def _purge(
        self,
        session: Session,
        walk: Walk,
        after: Cursor | None,
        limit: int,
        *,
        columns: str,
        is_doomed: Callable[[Row], bool],
    ) -> tuple[int, Cursor | None]:
        arguments = Arguments()
        sql = walk.statement(arguments, columns, after, limit)
        found = await self.ask(session, sql, arguments)
        doomed: list[tuple[UUID, int]] = [row[:2] for row in found if is_doomed(row)]
        deleted = await self._rows.delete_rows(session, doomed) if doomed else 0
        return deleted, cursor(*found[-1][-2:]) if len(found) == limit else None

    async def _walk(self, session: Session, scan: Scan, condition: Condition = always) -> Walk:
        few = (
            scan.order is not Order.PLACE
            and bool(scan.scope.namespace)
            and await self._has_few(session, scan.scope)
        )
        return Walk(
            self._table,
            scan.scope,
            scan.order,
            scan.descending,
            few=few,
            condition=condition,
        )

    async def _has_few(self, session: Session, scope: Scope) -> bool:
        arguments = Arguments()
        where = rows_inside(arguments, self._table, scope, *bounds(scope))
        sql = self._filled(_COUNT_FEW, where).replace("{limit}", arguments.name(_FEW + 1))
        ((number,),) = await self.ask(session, sql, arguments)
        return bool(number <= _FEW)

    def _filled(self, sql: str, where: str) -> str:
        return sql.replace("{table}", self._table.name).replace("{where}", where)


def cursor(value: int, place: bytes) -> Cursor:
    """A position by what a walk gives of its last row."""
    return Cursor(value, *decode_place(place))


_PAGE: Final = """
    select value, place, {payload}
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
_COUNT: Final = "select count(*) from {table} where {where}"
_COUNT_FEW: Final = """
    select count(*) from (select from {table} where {where} limit {limit}) as few
"""
