"""What both promises of a PostgreSQL store share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias, TypeVar

from memplane_adapters.contract import Cursor, Durability, Reached, StoreError
from memplane_adapters.kit.errors import after_write, closed
from memplane_adapters.postgres import errors
from memplane_adapters.postgres.engine import Engine, Session
from memplane_adapters.postgres.schema import Layout

T = TypeVar("T")
Purge: TypeAlias = Callable[[Cursor | None, int], Awaitable[tuple[int, Cursor | None]]]
"""Deletes some of the next rows; says how many, and where to go on."""

_DELETE_CHUNK: Final = 2_000


class PostgresStore:
    """One promise. The first call that is answered makes the schema, or checks that it is ours."""

    def __init__(self, engine: Engine, layout: Layout) -> None:
        self._engine = engine
        self._layout = layout

    async def open(self) -> None:
        self._engine.open(self)

    async def close(self) -> None:
        await self._engine.close(self)

    async def ping(self) -> Reached:
        """Raises UNAVAILABLE for a server that takes no writes."""
        ((fsync, synchronous_commit, is_read_only),) = await self._call(
            lambda session: session.rows(_PROBE)
        )
        if is_read_only == "on":
            raise errors.read_only()
        why = f"fsync {fsync}, synchronous_commit {synchronous_commit}"
        return Reached(level(fsync, synchronous_commit), why)

    async def _call(self, work: Callable[[Session], Awaitable[T]]) -> T:
        """Have work done on a connection, in a schema that is ready."""
        if not self._engine.is_open(self):
            raise closed()

        async def prepared(session: Session) -> T:
            await self._layout.prepare(session)
            return await work(session)

        return await self._engine.call(prepared)

    async def _delete_all(self, purge: Purge) -> int:
        """In chunks, so that other writes come between; a row written meanwhile survives."""
        total, after = 0, None  # type: tuple[int, Cursor | None]
        while True:
            try:
                deleted, after = await purge(after, _DELETE_CHUNK)
            except StoreError as error:
                raise (after_write(error) if total else error) from error
            total += deleted
            if after is None:
                return total

    def _nothing(self) -> list[T]:
        """The answer to an empty batch, for which nobody is asked."""
        if not self._engine.is_open(self):
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


_PROBE: Final = b"""
    select current_setting('fsync'), current_setting('synchronous_commit'),
           current_setting('transaction_read_only')
"""
