"""A gateway's middle with an outbox, over an embedded store that goes away and loses answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from memplane_adapters.contract import (
    Address,
    Capabilities,
    ConditionalWrite,
    Delete,
    Entry,
    KeyValueStore,
    Kind,
    Stored,
    StoreError,
    StoreReason,
    Write,
    WriteResult,
)
from memplane_adapters.embedded import ADAPTER, EmbeddedSettings
from memplane_adapters.embedded.key_value_store import CAPABILITIES, EmbeddedKeyValueStore
from memplane_gateway.clock import Clock
from memplane_gateway.control import ControlStore
from memplane_gateway.errors import MemplaneError
from memplane_gateway.layers import StackedKeyValueStore, make_layers
from memplane_gateway.memory.embedding import TextVectors
from memplane_gateway.memory.model import Caller, Content, Put, Written
from memplane_gateway.memory.questions import Mode
from memplane_gateway.memory.shelf import KeyValueShelf, RowWrite, etag_of
from memplane_gateway.outbox import replay
from memplane_gateway.outbox.entries import Limits, Spooled
from memplane_gateway.outbox.spooling import SpoolingMemories
from memplane_gateway.wire.outbox import ProtobufSpooled
from memplane_gateway.wire.records import ProtobufRecords

DOWN = StoreError(StoreReason.UNAVAILABLE, "down")
RECORDS = ProtobufRecords()


def address(key: str = "k") -> Address:
    """A PROCEDURAL memory of the tenant."""
    return Address("default", Kind.PROCEDURAL, ("n",), key)


def caller(request_id: str = "", body: bytes = b"b") -> Caller:
    """Who calls, perhaps with a request id."""
    return Caller(request_id=request_id, body_hash=body * 16 if request_id else b"")


def put(value: object, key: str = "k") -> Put:
    """A whole memory."""
    return Put(address(key), Content(value=value))  # type: ignore[arg-type]


class Flaky:
    """The embedded store, which can be away, and lose answers before or after it has written."""

    def __init__(self, store: EmbeddedKeyValueStore, *, compares: bool = True) -> None:
        self._store = store
        self.down = False
        self.lost = ""
        """Of the next write: "before" or "after" it took effect."""
        self.refuses: dict[str, StoreReason] = {}
        """Keys that it does not take, and why."""
        self.written: list[str] = []
        native = ConditionalWrite.NATIVE if compares else ConditionalWrite.NONE
        self.capabilities: Capabilities = replace(CAPABILITIES, conditional_write=native)

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def get(self, addresses: Sequence[Address]) -> list[Stored | None]:
        """Read."""
        self._be_there()
        return await self._store.get(addresses)

    async def put(
        self, writes: Sequence[Write[Entry]], *, atomic: bool = False
    ) -> list[WriteResult]:
        """Write."""
        self._be_there()
        for write in writes:
            reason = self.refuses.get(write.entry.address.key)
            if reason is not None:
                raise StoreError(reason, "refused", retryable=True)
        lost = self._lose()
        results = await self._store.put(writes, atomic=atomic)
        self.written += [write.entry.address.key for write in writes]
        return self._answer(lost, results)

    async def delete(self, deletes: Sequence[Delete], *, atomic: bool = False) -> list[WriteResult]:
        """Delete."""
        self._be_there()
        lost = self._lose()
        return self._answer(lost, await self._store.delete(deletes, atomic=atomic))

    def _be_there(self) -> None:
        if self.down:
            raise StoreError(StoreReason.UNAVAILABLE, "down")

    def _lose(self) -> str:
        lost, self.lost = self.lost, ""
        if lost == "before":
            raise StoreError(StoreReason.INTERRUPTED, "lost")
        return lost

    def _answer(self, lost: str, results: list[WriteResult]) -> list[WriteResult]:
        if lost:
            raise StoreError(StoreReason.INTERRUPTED, "lost")
        return results


class Slow:
    """A control store whose writes take effect at once, and are answered later."""

    def __init__(self, store: KeyValueStore) -> None:
        self._store = store
        self.answers = asyncio.Event()
        self.answers.set()
        self.wrote = asyncio.Event()

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def put(
        self, writes: Sequence[Write[Entry]], *, atomic: bool = False
    ) -> list[WriteResult]:
        """Write, and answer when that is allowed."""
        results = await self._store.put(writes, atomic=atomic)
        self.wrote.set()
        await self.answers.wait()
        return results


class House:
    """One gateway's middle. Closed and opened again it is another process on the same files."""

    def __init__(
        self,
        directory: Path,
        *,
        compares: bool = True,
        limits: Limits | None = None,
        place: str = "here",
    ) -> None:
        backend = ADAPTER.connect(EmbeddedSettings(), directory / "store")
        control = ADAPTER.connect(EmbeddedSettings(), directory / "control")
        assert isinstance(backend.key_value, EmbeddedKeyValueStore)
        assert control.key_value is not None
        self.raw = backend.key_value
        self.store = Flaky(backend.key_value, compares=compares)
        self.clock = Clock()
        self.control_store = control.key_value
        self.slow = Slow(control.key_value)
        self.control = ControlStore(
            StackedKeyValueStore("control", self.slow, make_layers()),  # type: ignore[arg-type]
            self.clock,
            name="c",
            adapter="embedded",
            shared=False,
        )
        outbox = self.control.outbox(
            Kind.PROCEDURAL, place, ProtobufSpooled(RECORDS), limits or Limits(2**30, 3600.0)
        )
        assert outbox is not None
        self.outbox = outbox
        stacked = StackedKeyValueStore("there", self.store, make_layers()[:3])  # type: ignore[arg-type]
        self.memories = SpoolingMemories(
            "procedural",
            KeyValueShelf(stacked, RECORDS),
            self.clock,
            TextVectors("procedural", None),
            self.control.tokens,
            search=Mode.RECENT,
            scan_budget=10_000,
            outbox=self.outbox,
        )

    async def open(self, *, down: bool = False) -> House:
        """Begin."""
        self.store.down = down
        await self.raw.open()
        await self.control.get_ready()
        await self.outbox.open()
        await self.memories.open(self)
        return self

    @property
    def fault(self) -> StoreError | None:
        """As the route says."""
        return DOWN if self.store.down else None

    @property
    def ready(self) -> bool:
        """As the route says."""
        return True

    async def close(self) -> None:
        """End."""
        await self.memories.close()
        await self.outbox.close()
        await self.control.close()
        await self.raw.close()

    async def put(self, value: object, key: str = "k", request_id: str = "") -> Written:
        """Write one memory."""
        (written,) = await self.memories.put(caller(request_id), [put(value, key)])
        return written

    async def value(self, key: str = "k") -> object:
        """What is read of a memory; None when it is missing."""
        (memory,) = await self.memories.get(
            [address(key)], vectors=False, max_bytes=2**20, alone=True
        )
        return None if memory is None else memory.record.content.value


def hurry(patch: pytest.MonkeyPatch) -> None:
    """Have replays look often."""
    patch.setattr(replay, "LOOK_SECONDS", 0.002)
    patch.setattr(replay, "FIRST_PAUSE_SECONDS", 0.002)
    patch.setattr(replay, "LONGEST_PAUSE_SECONDS", 0.01)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 (it polls)
            await asyncio.sleep(0.001)


async def emptied(house: House) -> None:
    """Bring the store back, and wait until nothing waits for it."""
    house.store.down = False
    await until(lambda: not house.outbox.standing.waiting)


async def stored(house: House, key: str = "k") -> object:
    """What the store itself has."""
    await emptied(house)
    return await house.value(key)


def error_of(written: Written) -> MemplaneError:
    assert written.error is not None
    return written.error


async def refusal(work: object) -> MemplaneError | StoreError:
    with pytest.raises((MemplaneError, StoreError)) as caught:
        await work  # type: ignore[misc]
    assert isinstance(caught.value, MemplaneError | StoreError)
    return caught.value


async def passed(house: House, micros: int) -> None:
    """Wait until so much time has passed."""
    begun = house.clock.now()
    await until(lambda: house.clock.now() > begun + micros)


def rewritten(entry: Spooled, revision: int, value: str) -> Spooled:
    assert entry.row is not None
    content = replace(entry.row.record.content, value=value)
    record = replace(entry.row.record, revision=revision, content=content, tokens=())
    assert etag_of(record) != etag_of(entry.row.record)
    return replace(entry, row=replace(entry.row, record=record))


async def write_past(house: House, entry: Spooled) -> None:
    assert entry.row is not None
    shelf = KeyValueShelf(house.raw, RECORDS)
    await shelf.write([RowWrite(entry.row, 0)], atomic=False)


async def until_dead(house: House, number: int) -> None:
    """Bring the store back, and wait for dead letters."""
    house.store.down = False
    await until(lambda: house.outbox.standing.dead == number)
