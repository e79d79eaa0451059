"""Walks over rows in order, counts, and what delete_where is to delete.

A walk reads places in an index of each namespace, in order, and then the rows that stand there, those
of one namespace at once. A place whose row is gone (Redis has dropped it) is taken out of the index.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Final, NamedTuple

from memplane_adapters.contract import (
    Address,
    Count,
    Cursor,
    Delete,
    Filter,
    Kind,
    Order,
    Page,
    Predicate,
    Scan,
    Scope,
    Stats,
    Stored,
    WriteStatus,
    compile_filter,
)
from memplane_adapters.redis import layout, registry, rows, scripts
from memplane_adapters.redis.connection import Command
from memplane_adapters.redis.engine import Engine, run
from memplane_adapters.redis.places import Spot, places
from memplane_adapters.redis.registry import Listed
from memplane_adapters.redis.rows import Row
from memplane_adapters.redis.times import times
from memplane_adapters.redis.writes import Writer

_MOST_ROWS: Final = 512
_FIRST_ROWS: Final = 64
_CHUNK_BYTES: Final = 4 * 2**20
"""About how many bytes of rows are read at once, going by those before."""
_THREAD_BYTES: Final = 65_536


class Found(NamedTuple):
    """A row of a walk."""

    spot: Spot
    row: Row


class Scans:
    """Walks of one store."""

    def __init__(self, engine: Engine, writer: Writer, prefix: str) -> None:
        self._engine = engine
        self._writer = writer
        self._prefix = prefix

    async def page(self, scan: Scan) -> Page:
        """One page of a walk."""
        matches = _predicate(scan.filter)
        kept: list[Stored] = []
        last: Spot | None = None
        scanned = size = 0
        walk = self._walk(scan, min(scan.limit, scan.budget) + 1)
        async with contextlib.aclosing(walk):
            async for found in walk:
                if len(kept) == scan.limit or scanned == scan.budget or size >= scan.max_bytes:
                    assert last is not None, "limit and budget are 1 or more"
                    return Page(tuple(kept), _cursor(last, scan.order), scanned)
                scanned += 1
                last = found.spot
                if matches is None or matches(found.row.fields()):
                    kept.append(await _stored(found.row))
                    size += len(kept[-1].record)
        return Page(tuple(kept), None, scanned)

    async def count(self, scope: Scope, filter: Filter | None) -> Count:
        """How many rows; without a filter none is read."""
        matches = _predicate(filter)
        if matches is None:
            number = await self._count_all(scope)
            return Count(number, number)
        count = scanned = 0
        async for found in self._walk(Scan(scope=scope), _MOST_ROWS):
            scanned += 1
            count += matches(found.row.fields())
        return Count(count, scanned)

    async def delete_where(self, scope: Scope, filter: Filter | None, max_revision: int) -> int:
        """In parts, so that other writes come between; a row written meanwhile survives."""
        matches = _predicate(filter)
        deleted = 0
        doomed: list[Delete] = []
        async for found in self._walk(Scan(scope=scope), _MOST_ROWS):
            row = found.row
            if row.revision <= max_revision and (matches is None or matches(row.fields())):
                spot = found.spot
                address = Address(scope.tenant, scope.kind, spot.namespace, spot.key)
                doomed.append(Delete(address, row.revision))
            if len(doomed) == _MOST_ROWS:
                deleted += await self._delete(doomed)
                doomed = []
        deleted += await self._delete(doomed)
        await self._writer.settle()  # once for all
        return deleted

    async def stats(self, kind: Kind) -> Stats:
        """Rows of the kind, and the memory that the whole server uses."""
        tenants, info = await self._engine.read(
            [(b"SMEMBERS", layout.tenants(self._prefix, kind)), (b"INFO", b"memory")]
        )
        number = 0
        for tenant in tenants:
            scope = Scope(tenant.decode(), kind, alive_at=0)
            async for spaces, sizes in self._sizes(scope):
                number += sum(sizes[: len(spaces)])
        used = [line for line in info.splitlines() if line.startswith(b"used_memory:")]
        return Stats(rows=number, size_bytes=int(used[0].partition(b":")[2]) if used else None)

    async def _delete(self, doomed: Sequence[Delete]) -> int:
        if not doomed:
            return 0
        results = await self._writer.delete(doomed, atomic=False, wait=False)
        for result in results:
            if result.error is not None:
                raise result.error
        return sum(result.status is WriteStatus.APPLIED for result in results)

    async def _count_all(self, scope: Scope) -> int:
        dead = b"(" + layout.after(layout.earliest_first(scope.alive_at))
        number = 0
        async for spaces, sizes in self._sizes(scope):
            expired = await self._engine.read(
                [(b"ZLEXCOUNT", space.expiring, b"-", dead) for space in spaces]
            )
            number += sum(expired) if scope.expired else sum(sizes) - sum(expired)
        return number

    async def _sizes(self, scope: Scope) -> AsyncIterator[tuple[list[layout.Space], list[int]]]:
        """How many rows the namespaces of a scope have, in parts; empty ones are retired."""
        async for part in self._listed(scope):
            spaces = [self._space(scope, each.namespace) for each in part]
            sizes = await self._engine.read([(b"ZCARD", space.keys) for space in spaces])
            yield spaces, sizes
            empty = [each for each, size in zip(part, sizes, strict=True) if not size]
            await self._retire(scope, empty)

    async def _walk(self, scan: Scan, number: int) -> AsyncGenerator[Found, None]:
        """Rows behind the cursor that the scope shows, in order; `number` are likely to be asked for."""
        listed = self._listed(scan.scope, scan)
        walk = places if scan.order is Order.PLACE else times
        empty: list[Listed] = []
        room = min(number, _FIRST_ROWS)
        space = self._space
        async for spots in walk(self._engine, scan, listed, space, number=number, empty=empty):
            start = 0
            while start < len(spots):
                part = spots[start : start + room]
                start += len(part)
                found, size = await self._rows(scan, part)
                for each in found:
                    yield each
                room = max(1, min(_MOST_ROWS, _CHUNK_BYTES * len(part) // max(size, 1)))
        await self._retire(scan.scope, empty)

    async def _listed(self, scope: Scope, scan: Scan | None = None) -> AsyncIterator[list[Listed]]:
        """The namespaces of a scope, from that of the cursor on where a walk goes by place."""
        by_place = scan if scan is not None and scan.order is Order.PLACE else None
        descending = by_place is not None and by_place.descending
        after = None if by_place is None else by_place.after
        start = None if after is None else after.namespace
        if not scope.exact:
            async for part in registry.listed(
                self._engine, self._prefix, scope, start=start, descending=descending
            ):
                yield part
        elif start in (None, scope.namespace) or (start > scope.namespace) is descending:
            yield [Listed(scope.namespace, ())]

    async def _rows(self, scan: Scan, spots: Sequence[Spot]) -> tuple[list[Found], int]:
        """The rows at spots that the scope shows, and how many bytes were read."""
        by_space: dict[tuple[str, ...], list[int]] = {}
        for index, spot in enumerate(spots):
            by_space.setdefault(spot.namespace, []).append(index)
        commands: list[Command] = []
        for namespace, indexes in by_space.items():
            space = self._space(scan.scope, namespace)
            commands.append((b"MGET", *(space.row(spots[index].key) for index in indexes)))
        values: dict[int, bytes | None] = {}
        for indexes, answer in zip(
            by_space.values(), await self._engine.read(commands), strict=True
        ):
            values.update(zip(indexes, answer, strict=True))
        found: list[Found] = []
        gone: list[Spot] = []
        size = 0
        for index, spot in enumerate(spots):
            value = values[index]
            if value is None:
                gone.append(spot)
                continue
            size += len(value)
            row = rows.decode(value)
            if scan.scope.shows(row.expire_time) and _stands(row, spot, scan.order):
                found.append(Found(spot, row))
        await self._sweep(scan, gone)
        return found, size

    async def _sweep(self, scan: Scan, gone: Sequence[Spot]) -> None:
        """Take places without a row out of the indexes. What fails is left for the next walk."""
        commands: list[Command] = []
        for spot in gone:
            space = self._space(scan.scope, spot.namespace)
            member = layout.latest_first(spot.value)
            arguments = [
                spot.key.encode(),
                member if scan.order is Order.UPDATE_TIME else b"",
                member if scan.order is Order.TIME else b"",
            ]
            commands.append(run(scripts.SWEEP, [*space.all, space.row(spot.key)], arguments))
        if commands:
            await self._engine.write(commands)

    async def _retire(self, scope: Scope, empty: Sequence[Listed]) -> None:
        """Only those that the registry holds: not the namespace that was asked for exactly."""
        await registry.retire(
            self._engine, self._prefix, scope, [each for each in empty if each.members]
        )

    def _space(self, scope: Scope, namespace: tuple[str, ...]) -> layout.Space:
        return layout.space(self._prefix, scope.tenant, scope.kind, namespace)


async def _stored(row: Row) -> Stored:
    if row.compressed and row.size >= _THREAD_BYTES:
        return await asyncio.to_thread(row.stored)
    return row.stored()


def _stands(row: Row, spot: Spot, order: Order) -> bool:
    """Whether a row still stands where the index said."""
    if order is Order.PLACE:
        return True
    return spot.value == (row.update_time if order is Order.UPDATE_TIME else row.time)


def _cursor(spot: Spot, order: Order) -> Cursor:
    return Cursor(0 if order is Order.PLACE else spot.value, spot.namespace, spot.key)


def _predicate(tree: Filter | None) -> Predicate | None:
    return None if tree is None else compile_filter(tree)
