"""The vector promise on PostgreSQL, by its extension pgvector."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

from memplane_adapters.contract import (
    Address,
    Capabilities,
    Collection,
    ConditionalWrite,
    Count,
    Cursor,
    Delete,
    Durability,
    Filter,
    Kind,
    Page,
    Point,
    Query,
    QueryResult,
    Reached,
    Scan,
    Scope,
    Stats,
    Stored,
    StoreError,
    StoreReason,
    Write,
    WriteResult,
)
from memplane_adapters.kit.collections import misfit
from memplane_adapters.kit.errors import closed
from memplane_adapters.kit.expressions import PUSHED
from memplane_adapters.postgres.engine import Engine, Preamble, Session
from memplane_adapters.postgres.schema import Layout
from memplane_adapters.postgres.settings import PostgresSettings
from memplane_adapters.postgres.store import PostgresStore
from memplane_adapters.postgres.vectors import isolation, search, tables
from memplane_adapters.postgres.vectors.collections import MAX_INDEXED, MAX_KEPT, Collections, Place
from memplane_adapters.postgres.vectors.filters import condition
from memplane_adapters.postgres.vectors.points import Points
from memplane_adapters.postgres.walks import Walk

T = TypeVar("T")
Item = TypeVar("Item", Write[Point], Delete, Address)


def capabilities(settings: PostgresSettings) -> Capabilities:
    """What such a store can do."""
    indexed = settings.index == "hnsw"
    return Capabilities(
        filters=PUSHED,
        scalar_operands=True,
        float_ranges=True,
        conditional_write=ConditionalWrite.NATIVE,
        ordered_scan=True,
        vector=True,
        keyword=True,
        exact_search=True,
        approximate=indexed,
        exact_count=True,
        read_your_writes=True,
        vectorless=True,
        durability=(Durability.BUFFERED, Durability.PROCESS, Durability.DISK),
        isolation="row-level security",
        max_batch_bytes=64 * 2**20,
        max_item_bytes=64 * 2**20,
        max_dimension=MAX_INDEXED if indexed else MAX_KEPT,
    )


class PostgresVectorStore(PostgresStore):
    """Points, in a table for each kind."""

    def __init__(self, engine: Engine, layout: Layout, settings: PostgresSettings) -> None:
        super().__init__(engine, layout)
        self.capabilities = capabilities(settings)
        self._settings = settings
        self._collections = Collections(layout, self._call, indexed=settings.index == "hnsw")
        self._points: dict[Place, Points] = {}

    async def ping(self) -> Reached:
        """Asks which tables are there, too, and says when tenants are kept apart by us alone."""
        reached = await super().ping()
        await self._collections.check()
        if not self._collections.bypassed:
            return reached
        why = f"{reached.why}; row-level security does not hold for this login"
        return dataclasses.replace(reached, why=why)

    async def ensure(self, collection: Collection) -> None:
        """Attributes get no index of their own: filters go over the rows of a scope."""
        await self._collections.ensure(collection)

    async def upsert(self, writes: Sequence[Write[Point]]) -> list[WriteResult]:
        """A vector of a wrong dimension is FAILED by itself, with IDENTITY_MISMATCH."""
        if not writes:
            return self._nothing()
        return await self._by_kind(
            writes,
            [write.entry.address for write in writes],
            lambda points, part, session: points.rows.put(session, part, atomic=False),
        )

    async def delete(self, deletes: Sequence[Delete]) -> list[WriteResult]:
        if not deletes:
            return self._nothing()
        return await self._by_kind(
            deletes,
            [delete.address for delete in deletes],
            lambda points, part, session: points.rows.delete(session, part, atomic=False),
        )

    async def fetch(
        self, addresses: Sequence[Address], *, vectors: bool = False
    ) -> list[Stored | None]:
        found: list[Stored | None] = [None] * len(addresses)
        if not addresses:
            return self._nothing()
        for kind, indexes in _kinds(addresses).items():
            points = await self._find(kind)
            if points is None:
                continue
            part = [addresses[index] for index in indexes]
            rows = await self._fetch(points, part, vectors=vectors)
            for index, row in zip(indexes, rows, strict=True):
                found[index] = row
        return found

    async def _fetch(
        self, points: Points, addresses: Sequence[Address], *, vectors: bool
    ) -> list[Stored | None]:
        return await self._about(
            points,
            (address.tenant for address in addresses),
            lambda session: points.rows.get(session, addresses, vectors=vectors),
        )

    async def query(self, query: Query) -> QueryResult:
        """By vector or by words; the limit is cut in the contract's order."""
        points = self._ensured(query.scope.kind)
        vector = query.vector
        if vector is None:
            if not query.terms:
                return QueryResult((), approximate=False, scanned=0)
            return await self._about(
                points,
                (query.scope.tenant,),
                lambda session: search.by_words(session, points, query),
            )
        if query.terms:
            raise StoreError(
                StoreReason.UNSUPPORTED, "a query goes by vector or by words, not by both"
            )
        refusal = misfit(vector, points.place.dimension)
        if refusal is not None:
            raise refusal
        near = self.capabilities.approximate and not query.exact
        return await self._about(
            points,
            (query.scope.tenant,),
            lambda session: search.by_vector(session, points, query, vector, near=near),
            near=near,
        )

    async def scan(self, scan: Scan) -> Page:
        where = condition(scan.filter)
        points = await self._find(scan.scope.kind)
        if points is None:
            return Page((), None, 0)
        return await self._about(
            points,
            (scan.scope.tenant,),
            lambda session: points.scans.page(session, scan, where),
        )

    async def count(self, scope: Scope, filter: Filter | None = None) -> Count:
        where = condition(filter)
        points = await self._find(scope.kind)
        if points is None:
            return Count(0, 0)
        return await self._about(
            points, (scope.tenant,), lambda session: points.scans.count(session, scope, where)
        )

    async def delete_where(
        self, scope: Scope, filter: Filter | None = None, *, max_revision: int
    ) -> int:
        where = condition(filter)
        points = await self._find(scope.kind)
        if points is None:
            return 0
        walk = Walk(points.table, scope, max_revision=max_revision, condition=where)

        def purge(after: Cursor | None, limit: int) -> Awaitable[tuple[int, Cursor | None]]:
            return self._about(
                points,
                (scope.tenant,),
                lambda session: points.scans.purge(session, walk, after, limit),
            )

        return await self._delete_all(purge)

    async def stats(self, kind: Kind) -> Stats:
        points = await self._find(kind)
        if points is None:
            return Stats(rows=0, size_bytes=0)
        statement = self._layout.statement(tables.named(_STATS, points.place.name))
        ((rows, size),) = await self._after(
            isolation.every_tenant(points.place.role), lambda session: session.rows(statement)
        )
        return Stats(rows=rows, size_bytes=size)

    def _ensured(self, kind: Kind) -> Points:
        if not self._engine.is_open(self):
            raise closed()
        return self._points_of(self._collections.ensured(kind))

    async def _find(self, kind: Kind) -> Points | None:
        if not self._engine.is_open(self):
            raise closed()
        place = await self._collections.find(kind)
        return None if place is None else self._points_of(place)

    def _points_of(self, place: Place) -> Points:
        points = self._points.get(place)
        if points is None or points.place is not place:
            points = self._points[place] = Points(self._layout, place)
        return points

    async def _by_kind(
        self,
        items: Sequence[Item],
        addresses: Sequence[Address],
        work: Callable[[Points, Sequence[Item], Session], Awaitable[list[WriteResult]]],
    ) -> list[WriteResult]:
        results: dict[int, WriteResult] = {}
        for kind, indexes in _kinds(addresses).items():
            points = self._ensured(kind)
            part = [items[index] for index in indexes]
            tenants = {addresses[index].tenant for index in indexes}
            done = await self._about(points, tenants, functools.partial(work, points, part))
            results.update(zip(indexes, done, strict=True))
        return [results[index] for index in range(len(items))]

    async def _about(
        self,
        points: Points,
        tenants: Iterable[str],
        work: Callable[[Session], Awaitable[T]],
        *,
        near: bool = False,
    ) -> T:
        """Have work done that is about these tenants, and can see and write no other's rows."""
        sent, role = sorted(filter(_can_be_sent, set(tenants))), points.place.role
        if near:
            return await self._after(isolation.near(sent, role, self._settings.ef_search), work)
        return await self._after(isolation.of_tenants(sent, role), work)

    async def _after(self, preamble: Preamble, work: Callable[[Session], Awaitable[T]]) -> T:
        async def told(session: Session) -> T:
            session.preamble = preamble
            return await work(session)

        return await self._call(told)


def _kinds(addresses: Sequence[Address]) -> dict[Kind, list[int]]:
    """The indexes by kind; most batches are about one."""
    found: dict[Kind, list[int]] = {}
    for index, address in enumerate(addresses):
        found.setdefault(address.kind, []).append(index)
    return found


def _can_be_sent(tenant: str) -> bool:
    """Whether a row can be its; a write for another one fails by itself."""
    try:
        tenant.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in tenant


_STATS = """
    select (select count(*) from {table}),
           pg_total_relation_size('{table}') + pg_total_relation_size('{words}')
"""
