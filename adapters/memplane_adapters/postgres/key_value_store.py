"""The key-value promise on PostgreSQL."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

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
    Reached,
    Scan,
    Scope,
    Stats,
    Stored,
    StoreError,
    Write,
    WriteResult,
    compile_filter,
)
from memplane_adapters.kit.errors import after_write, closed
from memplane_adapters.postgres import errors
from memplane_adapters.postgres.engine import Engine, Session
from memplane_adapters.postgres.rows import Rows
from memplane_adapters.postgres.scans import Scans
from memplane_adapters.postgres.schema import Layout
from memplane_adapters.postgres.settings import PostgresSettings
from memplane_adapters.postgres.walks import Walk

T = TypeVar("T")

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
_DELETE_CHUNK: Final = 2_000


class PostgresKeyValueStore:
    """Entries in a table. The first call that is answered makes it, or checks that it is ours."""

    capabilities = CAPABILITIES

    def __init__(self, settings: PostgresSettings) -> None:
        self._engine = Engine(settings)
        self._layout = Layout(settings.schema)
        self._rows = Rows(self._layout)
        self._scans = Scans(self._layout, self._rows)

    async def open(self) -> None:
        self._engine.open()

    async def close(self) -> None:
        await self._engine.close()

    async def ping(self) -> Reached:
        """Raises UNAVAILABLE for a server that takes no writes."""
        ((fsync, synchronous_commit, is_read_only),) = await self._call(
            lambda session: session.rows(_PROBE)
        )
        if is_read_only == "on":
            raise errors.read_only()
        why = f"fsync {fsync}, synchronous_commit {synchronous_commit}"
        return Reached(level(fsync, synchronous_commit), why)

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
        return await self._call(lambda session: self._scans.page(session, scan, predicate))

    async def count(self, scope: Scope, filter: Filter | None = None) -> Count:
        predicate = _predicate(filter)
        return await self._call(lambda session: self._scans.count(session, scope, predicate))

    async def delete_where(
        self, scope: Scope, filter: Filter | None = None, *, max_revision: int
    ) -> int:
        """In chunks, so that other writes come between; a row written meanwhile survives."""
        walk, predicate = Walk(scope, max_revision=max_revision), _predicate(filter)
        total, after = 0, None  # type: tuple[int, Cursor | None]
        while True:

            async def chunk(
                session: Session, after: Cursor | None = after
            ) -> tuple[int, Cursor | None]:
                return await self._scans.purge(session, walk, predicate, after, _DELETE_CHUNK)

            try:
                deleted, after = await self._call(chunk)
            except StoreError as error:
                raise (after_write(error) if total else error) from error
            total += deleted
            if after is None:
                return total

    async def stats(self, kind: Kind) -> Stats:
        ((rows, size),) = await self._call(
            lambda session: session.rows(self._layout.statement(_STATS), kind.value)
        )
        return Stats(rows=rows, size_bytes=size)

    async def _call(self, work: Callable[[Session], Awaitable[T]]) -> T:
        async def prepared(session: Session) -> T:
            await self._layout.prepare(session)
            return await work(session)

        return await self._engine.call(prepared)

    def _nothing(self) -> list[T]:
        """The answer to an empty batch, for which nobody is asked."""
        if not self._engine.is_open:
            raise closed()
        return []


def level(fsync: str, synchronous_commit: str) -> Durability:
    """What a commit survives, by the server's settings.

    A commit waits until its log is written and synced, unless synchronous_commit is off: then it may
    still be in the server's own memory. Without fsync the log is written to the operating system.
    """
    if synchronous_commit == "off":
        return Durability.BUFFERED
    return Durability.DISK if fsync == "on" else Durability.PROCESS


def _predicate(tree: Filter | None) -> Predicate | None:
    return None if tree is None else compile_filter(tree)


_PROBE: Final = b"""
    select current_setting('fsync'), current_setting('synchronous_commit'),
           current_setting('transaction_read_only')
"""
_STATS: Final = """
    select (select count(*) from {schema}.entry where kind = $1),
           pg_total_relation_size('{schema}.entry')
"""
