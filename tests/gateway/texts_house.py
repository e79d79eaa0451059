"""A route's middle whose memories may have further texts, over a store that is watched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from memplane_adapters.contract import (
    Address,
    Collection,
    ConditionalWrite,
    Delete,
    EmbeddingIdentity,
    Kind,
    Point,
    Query,
    QueryResult,
    Stored,
    StoreError,
    StoreReason,
    Vector,
    VectorStore,
    Write,
    WriteResult,
    WriteStatus,
)
from memplane_adapters.embedded import ADAPTER, EmbeddedSettings
from memplane_gateway.analysis import Analyzer
from memplane_gateway.clock import Clock
from memplane_gateway.control import ControlStore, Place
from memplane_gateway.embedders import Role
from memplane_gateway.memory.embedding import TextVectors
from memplane_gateway.memory.memories import Memories
from memplane_gateway.memory.model import (
    Caller,
    Content,
    IndexedText,
    Put,
    Update,
    Written,
)
from memplane_gateway.memory.questions import FoundMemory, Mode, Search, Selection
from memplane_gateway.memory.tokens import PageTokens
from memplane_gateway.memory.vector_shelf import VectorShelf
from memplane_gateway.text_rooms import TextRoom
from memplane_gateway.wire.records import ProtobufRecords
from memplane_gateway.wire.vectors import digest_of

CALLER = Caller()
IDENTITY = EmbeddingIdentity("test", "test", 4)
HEADS, TEXTS = Kind.SEMANTIC, Kind.SEMANTIC_TEXTS


def unit(*numbers: float) -> Vector:
    vector = np.array([*numbers, *[0.0] * (4 - len(numbers))], np.float32)
    return vector / np.float32(np.linalg.norm(vector))


X, Y, Z = unit(1), unit(0, 1), unit(0, 0, 1)
DIRECTIONS = {"x": X, "y": Y, "z": Z}


class Embedder:
    """Knows three words, and remembers what it was asked."""

    identity = IDENTITY
    knows_meaning = True
    accepts_text = True
    tells_roles = False
    notice = ""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def open(self) -> None:
        """Nothing to begin."""

    async def embed(self, texts: Sequence[str], role: Role = Role.MEMORY) -> list[Vector | None]:
        self.asked += texts
        return [DIRECTIONS.get(text) for text in texts]

    async def close(self) -> None:
        """Nothing to let go of."""


class Watched:
    """A vector store whose calls are counted by kind, and fail or are held back when told to."""

    def __init__(self, store: VectorStore, *, compares: bool = True) -> None:
        self._store = store
        self.capabilities = store.capabilities
        if not compares:
            self.capabilities = replace(store.capabilities, conditional_write=ConditionalWrite.NONE)
        self.calls: Counter[tuple[str, Kind]] = Counter()
        self.failures: dict[tuple[str, Kind], list[StoreError | WriteStatus]] = {}
        self.before: dict[tuple[str, Kind], Callable[[], Awaitable[object]]] = {}

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def upsert(self, writes: Sequence[Write[Point]]) -> list[WriteResult]:
        status = await self._called("upsert", writes[0].entry.address.kind)
        if status is not None:
            return [WriteResult(status) for _ in writes]
        return await self._store.upsert(writes)

    async def delete(self, deletes: Sequence[Delete]) -> list[WriteResult]:
        await self._called("delete", deletes[0].address.kind)
        return await self._store.delete(deletes)

    async def fetch(
        self, addresses: Sequence[Address], *, vectors: bool = False
    ) -> list[Stored | None]:
        await self._called("fetch", addresses[0].kind)
        return await self._store.fetch(addresses, vectors=vectors)

    async def query(self, query: Query) -> QueryResult:
        await self._called("query", query.scope.kind)
        return await self._store.query(query)

    async def _called(self, name: str, kind: Kind) -> WriteStatus | None:
        self.calls[name, kind] += 1
        before = self.before.pop((name, kind), None)
        if before is not None:
            await before()
        failures = self.failures.get((name, kind))
        failure = failures.pop(0) if failures else None
        if isinstance(failure, StoreError):
            raise failure
        return failure


class House:
    """A route's middle over a watched embedded store, with its control store."""

    def __init__(self, directory: Path, *, shared: bool = False, compares: bool = True) -> None:
        backend = ADAPTER.connect(EmbeddedSettings(), directory)
        assert backend.vector is not None
        assert backend.key_value is not None
        self.store = Watched(backend.vector, compares=compares)
        self.clock = Clock()
        self.embedder = Embedder()
        self.control = ControlStore(
            backend.key_value, self.clock, name="c", adapter="embedded", shared=shared
        )
        self.room = self.another_room()
        self.shelf = VectorShelf(self.store, ProtobufRecords(), Analyzer(), self.room)  # type: ignore[arg-type]
        self.memories = Memories(
            "semantic",
            self.shelf,
            self.clock,
            TextVectors("semantic", self.embedder),
            PageTokens(b"s"),
            search=None,
            scan_budget=1000,
        )

    def another_room(self) -> TextRoom:
        """As another gateway, or one that has just started, has it."""
        collection = Collection(TEXTS, IDENTITY, Analyzer().name)
        return TextRoom(self.store, collection, self.control, Place(TEXTS, "s", "h"))  # type: ignore[arg-type]

    async def open(self) -> House:
        await self.store._store.open()
        await self.store._store.ensure(Collection(HEADS, IDENTITY, Analyzer().name))
        await self.control.get_ready()
        await self.room.look()
        return self

    async def close(self) -> None:
        await self.memories.close()
        await self.control.close()
        await self.store._store.close()

    async def put(self, key: str, text: str = "", **texts: str | Vector) -> Written:
        (written,) = await self.memories.put(CALLER, [put_of(key, text, **texts)])
        return written

    async def update(self, key: str, number: int) -> Written:
        change = Update(address(key), set_attributes={"n": number})
        (written,) = await self.memories.update(CALLER, [change])
        return written

    async def found(self, vector: Vector, **options: object) -> list[FoundMemory]:
        asked = Search(Selection(HEADS), vector=vector, mode=Mode.VECTOR, min_relevance=0.9)
        found = await self.memories.search(CALLER, replace(asked, **options))  # type: ignore[arg-type]
        return list(found.hits)

    async def seen(self, vector: Vector) -> list[tuple[str, str]]:
        return [(hit.memory.record.address.key, hit.path) for hit in await self.found(vector)]

    async def points(self) -> int:
        """How many points of further texts there are."""
        rows = (await self.store._store.stats(TEXTS)).rows
        assert rows is not None
        return rows


def address(key: str) -> Address:
    return Address("default", HEADS, (), key)


def put_of(key: str, text: str = "", **texts: str | Vector) -> Put:
    given = [each if isinstance(each, np.ndarray) else None for each in texts.values()]
    indexed = tuple(
        IndexedText(path, each if isinstance(each, str) else "", digest_of(vector))
        for (path, each), vector in zip(texts.items(), given, strict=True)
    )
    return Put(address(key), Content(text=text, indexed_texts=indexed), further=tuple(given))


DOWN = StoreError(StoreReason.UNAVAILABLE, "down", retryable=True)
