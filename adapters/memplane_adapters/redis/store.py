"""The key-value promise over Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from memplane_adapters.contract import (
    EVERY_OP_EXACT,
    Address,
    Capabilities,
    ConditionalWrite,
    Count,
    Delete,
    Durability,
    Entry,
    Filter,
    Kind,
    Page,
    Reached,
    Scan,
    Scope,
    Stats,
    Stored,
    Write,
    WriteResult,
)
from memplane_adapters.kit.errors import closed
from memplane_adapters.redis import layout, probe, rows
from memplane_adapters.redis.acks import Acks
from memplane_adapters.redis.connection import Command
from memplane_adapters.redis.engine import Engine
from memplane_adapters.redis.scans import Scans
from memplane_adapters.redis.settings import RedisSettings
from memplane_adapters.redis.writes import Writer

_MIB: Final = 2**20
_THREAD_BYTES: Final = 65_536
"""From so many bytes on, compressed records are unpacked in a thread."""

CAPABILITIES: Final = Capabilities(
    filters=EVERY_OP_EXACT,
    conditional_write=ConditionalWrite.NATIVE,
    ordered_scan=True,
    expiry=True,
    exact_count=True,
    read_your_writes=True,
    atomic=True,
    durability=(Durability.BUFFERED, Durability.PROCESS, Durability.DISK),
    isolation="key prefix",
    max_batch_items=256,
    max_batch_bytes=8 * _MIB,
    max_item_bytes=8 * _MIB,
)


class RedisKeyValueStore:
    """Entries."""

    capabilities = CAPABILITIES

    def __init__(self, settings: RedisSettings) -> None:
        self._prefix = settings.prefix
        self._engine = Engine(settings)
        self._acks = Acks(self._engine, settings)
        self._writer = Writer(self._engine, self._acks, settings)
        self._probes = [*probe.COMMANDS, *([probe.ASK_FSYNC] if settings.wait_fsync else [])]
        self._scans = Scans(self._engine, self._writer, settings.prefix)

    async def open(self) -> None:
        await self._engine.open()

    async def close(self) -> None:
        await self._engine.close()
        await self._acks.close()

    async def ping(self) -> Reached:
        """Asks how the server is set up, too."""
        return probe.judge(probe.read(await self._engine.ask(self._probes)))

    async def put(
        self, writes: Sequence[Write[Entry]], *, atomic: bool = False
    ) -> list[WriteResult]:
        """An atomic batch has to stay inside one namespace.

        A write without an expected revision whose own is below the one that is there is a CONFLICT.
        """
        self._check_open()
        return await self._writer.put(writes, atomic=atomic) if writes else []

    async def delete(self, deletes: Sequence[Delete], *, atomic: bool = False) -> list[WriteResult]:
        """An atomic batch has to stay inside one namespace."""
        self._check_open()
        return await self._writer.delete(deletes, atomic=atomic) if deletes else []

    async def get(self, addresses: Sequence[Address]) -> list[Stored | None]:
        """The rows of one namespace are of one moment. Rows in doubt are waited for (see `acks`)."""
        self._check_open()
        by_space: dict[layout.Space, list[int]] = {}
        for index, address in enumerate(addresses):
            space = layout.space_of(self._prefix, address)
            by_space.setdefault(space, []).append(index)
        commands: list[Command] = [
            (b"MGET", *(space.row(addresses[index].key) for index in indexes))
            for space, indexes in by_space.items()
        ]
        found: dict[int, bytes | None] = {}
        if commands:
            answers = await self._engine.read(commands)
            for indexes, values in zip(by_space.values(), answers, strict=True):
                found.update(zip(indexes, values, strict=True))
        # Asked afterwards, so that it covers what was read.
        if self._acks.in_doubt(row for command in commands for row in command[1:]):
            await self._acks.settle()
        kept = [_kept(found[index]) for index in range(len(addresses))]
        if sum(row.size for row in kept if row is not None and row.compressed) < _THREAD_BYTES:
            return _all_stored(kept)
        return await asyncio.to_thread(_all_stored, kept)

    async def scan(self, scan: Scan) -> Page:
        self._check_open()
        return await self._scans.page(scan)

    async def count(self, scope: Scope, filter: Filter | None = None) -> Count:
        self._check_open()
        return await self._scans.count(scope, filter)

    async def delete_where(
        self, scope: Scope, filter: Filter | None = None, *, max_revision: int
    ) -> int:
        self._check_open()
        return await self._scans.delete_where(scope, filter, max_revision)

    async def stats(self, kind: Kind) -> Stats:
        self._check_open()
        return await self._scans.stats(kind)

    def _check_open(self) -> None:
        if not self._engine.is_open:
            raise closed()


def _kept(value: bytes | None) -> rows.Row | None:
    return None if value is None else rows.decode(value)


def _all_stored(kept: Sequence[rows.Row | None]) -> list[Stored | None]:
    return [None if row is None else row.stored() for row in kept]
