"""What both facades share."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from typing import TypeVar

from memplane_adapters.contract import (
    Capabilities,
    Count,
    Cursor,
    Delete,
    Durability,
    Filter,
    Kind,
    Page,
    Predicate,
    Reached,
    Scan,
    Scope,
    Stats,
    WriteResult,
    WriteStatus,
    compile_filter,
)
from memplane_adapters.embedded import rows, scans
from memplane_adapters.embedded.database import Connected, Database
from memplane_adapters.embedded.readers import snapshot
from memplane_adapters.embedded.writer import Transaction

ItemT = TypeVar("ItemT")

_DELETE_CHUNK = 2_000
_DONE = frozenset({WriteStatus.APPLIED, WriteStatus.MISSING})
"""What does not undo an atomic batch."""


class EmbeddedStore:
    """One promise of the two over the shared file."""

    capabilities: Capabilities

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(self) -> None:
        await asyncio.to_thread(self._database.open, self)

    async def close(self) -> None:
        await asyncio.to_thread(self._database.close, self)

    async def ping(self) -> Durability | Reached:
        with self._database.call(self) as connected:

            def look(transaction: Transaction) -> None:
                connected.check_file()
                transaction.connection.execute("select count(*) from collection").fetchone()

            await connected.writer.run(look)
            if connected.in_memory is not None:
                return Reached(Durability.PROCESS, f"its directory is on {connected.in_memory}")
        return Durability.DISK

    async def delete(self, deletes: Sequence[Delete]) -> list[WriteResult]:
        with self._database.call(self) as connected:
            return await self._alter(connected, deletes, rows.delete) if deletes else []

    async def scan(self, scan: Scan) -> Page:
        with self._database.call(self) as connected:
            predicate = _predicate(scan.filter)

            def read(connection: sqlite3.Connection) -> Page:
                with snapshot(connection):
                    return scans.scan_page(connection, scan, predicate)

            return await connected.readers.run(read)

    async def count(self, scope: Scope, filter: Filter | None = None) -> Count:
        with self._database.call(self) as connected:
            predicate = _predicate(filter)

            def read(connection: sqlite3.Connection) -> Count:
                with snapshot(connection):
                    return scans.count_rows(connection, scope, predicate)

            return await connected.readers.run(read)

    async def delete_where(
        self,
        scope: Scope,
        filter: Filter | None = None,
        *,
        max_revision: int,
    ) -> int:
        """In chunks, so that other writes come between; a row written meanwhile survives."""
        with self._database.call(self) as connected:
            predicate = _predicate(filter)
            partition = await connected.readers.run(
                lambda connection: rows.partition_of(connection, scope.tenant, scope.kind)
            )
            if partition is None:
                return 0
            purge = scans.Purge(partition, scope, predicate, max_revision)
            deleted, after = 0, None
            while True:
                doomed, after = await _find(connected, purge, after)
                if doomed:
                    deleted += await _delete_rows(connected, partition.id, doomed)
                if after is None:
                    return deleted

    async def stats(self, kind: Kind) -> Stats:
        with self._database.call(self) as connected:

            def read(connection: sqlite3.Connection) -> Stats:
                (number,) = connection.execute(_ROWS_OF_KIND, (kind.value,)).fetchone()
                return Stats(rows=number, size_bytes=connected.size())

            return await connected.readers.run(read)

    async def _alter(
        self,
        connected: Connected,
        items: Sequence[ItemT],
        one: Callable[[Transaction, ItemT], WriteResult],
        *,
        atomic: bool = False,
    ) -> list[WriteResult]:
        """Write or delete items one after the other, in one transaction."""

        def work(transaction: Transaction) -> list[WriteResult]:
            results = [one(transaction, item) for item in items]
            if atomic and not _DONE.issuperset(result.status for result in results):
                transaction.undo()
                results = [rows.NOT_TRIED if it is rows.APPLIED else it for it in results]
            return results

        return await connected.writer.run(work)


async def _find(
    connected: Connected, purge: scans.Purge, after: Cursor | None
) -> tuple[list[tuple[int, int]], Cursor | None]:
    def read(connection: sqlite3.Connection) -> tuple[list[tuple[int, int]], Cursor | None]:
        with snapshot(connection):
            return purge.find(connection, after, _DELETE_CHUNK)

    return await connected.readers.run(read)


async def _delete_rows(connected: Connected, partition: int, doomed: list[tuple[int, int]]) -> int:
    return await connected.writer.run(
        lambda transaction: rows.delete_rows(transaction, partition, doomed)
    )


def _predicate(tree: Filter | None) -> Predicate | None:
    return None if tree is None else compile_filter(tree)


_ROWS_OF_KIND = """
    select count(*) from memory indexed by memory_place
    where partition in (select id from partition where kind = ?)
"""
