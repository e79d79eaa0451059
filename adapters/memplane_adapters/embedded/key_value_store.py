"""The key-value promise."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from memplane_adapters.contract import (
    EVERY_OP_EXACT,
    Address,
    Capabilities,
    ConditionalWrite,
    Delete,
    Durability,
    Entry,
    Stored,
    Write,
    WriteResult,
)
from memplane_adapters.embedded import rows
from memplane_adapters.embedded.readers import snapshot
from memplane_adapters.embedded.store import EmbeddedStore

CAPABILITIES = Capabilities(
    filters=EVERY_OP_EXACT,
    conditional_write=ConditionalWrite.NATIVE,
    ordered_scan=True,
    exact_count=True,
    read_your_writes=True,
    atomic=True,
    durability=(Durability.PROCESS, Durability.DISK),
    isolation="column",
)


class EmbeddedKeyValueStore(EmbeddedStore):
    """Entries."""

    capabilities = CAPABILITIES

    async def put(
        self, writes: Sequence[Write[Entry]], *, atomic: bool = False
    ) -> list[WriteResult]:
        with self._database.call(self) as connected:
            if not writes:
                return []
            return await self._alter(connected, writes, rows.write, atomic=atomic)

    async def delete(self, deletes: Sequence[Delete], *, atomic: bool = False) -> list[WriteResult]:
        with self._database.call(self) as connected:
            if not deletes:
                return []
            return await self._alter(connected, deletes, rows.delete, atomic=atomic)

    async def get(self, addresses: Sequence[Address]) -> list[Stored | None]:
        with self._database.call(self) as connected:
            if not addresses:
                return []

            def read(connection: sqlite3.Connection) -> list[Stored | None]:
                with snapshot(connection):
                    return rows.fetch(connection, addresses, vectors=False)

            return await connected.readers.run(read)
