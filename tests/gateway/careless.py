"""A store that compares no revisions, and gateways over it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from memplane_adapters.contract import (
    Address,
    ConditionalWrite,
    Delete,
    Entry,
    Kind,
    Stored,
    StoreError,
    Write,
    WriteResult,
)
from memplane_adapters.embedded import ADAPTER, EmbeddedSettings
from memplane_adapters.embedded.key_value_store import CAPABILITIES, EmbeddedKeyValueStore
from memplane_gateway.clock import Clock
from memplane_gateway.layers import StackedKeyValueStore, make_layers
from memplane_gateway.memory.embedding import TextVectors
from memplane_gateway.memory.memories import Memories
from memplane_gateway.memory.model import Caller, Content, Must, Precondition, Put
from memplane_gateway.memory.questions import Mode
from memplane_gateway.memory.shelf import KeyValueShelf
from memplane_gateway.memory.tokens import PageTokens
from memplane_gateway.memory.write.shared_leases import SharedLeases
from memplane_gateway.wire.records import ProtobufRecords

CALLER = Caller()
NONE = replace(CAPABILITIES, conditional_write=ConditionalWrite.NONE)


def address(key: str = "k") -> Address:
    return Address("default", Kind.PROCEDURAL, (), key)


def put(value: object, key: str = "k", etag: str = "") -> Put:
    precondition = Precondition(Must.MATCH, etag) if etag else None
    return Put(address(key), Content(value=value), precondition=precondition)  # type: ignore[arg-type]


class Careless:
    """The embedded store, made to overwrite whatever is there, after a while of its own."""

    capabilities = NONE

    def __init__(self, store: EmbeddedKeyValueStore) -> None:
        self._store = store
        self._random = random.Random(7)
        self.written: list[bytes] = []
        self.failures: list[StoreError] = []
        self.open = asyncio.Event()
        self.open.set()
        self.reached = asyncio.Event()

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def get(self, addresses: Sequence[Address]) -> list[Stored | None]:
        await self._dawdle()
        found = await self._store.get(addresses)
        await self._dawdle()
        return found

    async def put(self, writes: Sequence[Write[Entry]], *, atomic: bool) -> list[WriteResult]:
        assert all(write.expected is None for write in writes), "it cannot compare"
        self.reached.set()
        await self.open.wait()
        await self._dawdle()
        if self.failures:
            raise self.failures.pop(0)
        done = await self._store.put(writes)
        self.written += [write.entry.record for write in writes]
        await self._dawdle()
        return done

    async def delete(self, deletes: Sequence[Delete], *, atomic: bool = False) -> list[WriteResult]:
        assert all(delete.expected is None for delete in deletes), "it cannot compare"
        await self._dawdle()
        return await self._store.delete(deletes)

    async def _dawdle(self) -> None:
        await asyncio.sleep(self._random.uniform(0, 0.0005))


@asynccontextmanager
async def opened(directory: Path) -> AsyncIterator[EmbeddedKeyValueStore]:
    """An embedded key-value store."""
    store = ADAPTER.connect(EmbeddedSettings(), directory).key_value
    assert isinstance(store, EmbeddedKeyValueStore)
    await store.open()
    yield store
    await store.close()


def gateway(store: Careless, clock: Clock, shared: SharedLeases | None = None) -> Memories:
    """What a gateway makes of a store; with `shared`, beside other gateways."""
    stacked = StackedKeyValueStore("s", store, make_layers())  # type: ignore[arg-type]
    return Memories(
        "procedural",
        KeyValueShelf(stacked, ProtobufRecords()),
        clock,
        TextVectors("procedural", None),
        PageTokens(b"s"),
        search=Mode.RECENT,
        scan_budget=1000,
        shared=shared,
    )


@asynccontextmanager
async def careless(directory: Path) -> AsyncIterator[tuple[Memories, Careless]]:
    """A gateway alone over such a store."""
    async with opened(directory) as inner:
        store = Careless(inner)
        memories = gateway(store, Clock())
        yield memories, store
        await memories.close()


async def value(memories: Memories, key: str = "k") -> object:
    (memory,) = await memories.get([address(key)], vectors=False, max_bytes=10_000, alone=True)
    return None if memory is None else memory.record.content.value


async def etag(memories: Memories, key: str = "k") -> str:
    (memory,) = await memories.get([address(key)], vectors=False, max_bytes=10_000, alone=True)
    assert memory is not None
    return memory.etag
