"""A gateway's middle over the embedded vector store, by a clock that is set; callers bring vectors."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from memplane_adapters.contract import Address, Collection, Kind, Value
from memplane_adapters.embedded import ADAPTER, EmbeddedSettings
from memplane_gateway.analysis import Analyzer
from memplane_gateway.clock import Clock
from memplane_gateway.embedders.none import NoneEmbedder, NoneSettings
from memplane_gateway.memory.embedding import TextVectors
from memplane_gateway.memory.memories import Memories
from memplane_gateway.memory.model import Caller, Content, Episode, Expiry, Put, Record, Update
from memplane_gateway.memory.questions import Listing, Selection
from memplane_gateway.memory.tokens import PageTokens
from memplane_gateway.memory.vector_shelf import VectorShelf
from memplane_gateway.wire.records import ProtobufRecords

CALLER = Caller()
HOUR = 3600 * 1_000_000
KIND = Kind.EPISODIC

T = TypeVar("T")


class Shelved:
    """Memories of two dimensions, and the loop that they live on."""

    def __init__(self, directory: Path) -> None:
        store = ADAPTER.connect(EmbeddedSettings(), directory).vector
        assert store is not None
        self.store = store
        self.now = 1_700_000_000_000_000
        self.runner = asyncio.Runner()
        embedder = NoneEmbedder(NoneSettings(dimension=2))
        self.runner.run(self.store.open())
        self.runner.run(self.store.ensure(Collection(KIND, embedder.identity, Analyzer().name)))
        self.shelf = VectorShelf(self.store, ProtobufRecords(), Analyzer())
        self.memories = Memories(
            "episodic",
            self.shelf,
            Clock(lambda: self.now),
            TextVectors("episodic", embedder),
            PageTokens(b"s"),
            search=None,
            scan_budget=10_000,
        )
        self._rooms = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine to its end."""
        return self.runner.run(work)

    def room(self) -> str:
        """A label that nobody has used, a long time after everything before."""
        self._rooms += 1
        self.now += 10_000 * HOUR
        return f"{self._rooms}"

    async def put(
        self,
        place: tuple[str, ...],
        key: str,
        *,
        at: int | None = None,
        degrees: float | None = None,
        attributes: Mapping[str, Value] | None = None,
        importance: float | None = None,
        pinned: bool = False,
        expiry: Expiry | None = None,
    ) -> None:
        """Writes a memory now: of an event `at` some time, with a vector of some direction."""
        vector = None
        if degrees is not None:
            angle = np.deg2rad(degrees)
            vector = np.array([np.cos(angle), np.sin(angle)], np.float32)
        content = Content(
            text=key,
            attributes=attributes or {},
            episode=Episode(event_time=at),
            importance=importance,
            pinned=pinned,
            vector_digest=b"" if vector is None else vector.tobytes(),
        )
        put = Put(self.address(place, key), content, vector, expiry or Expiry())
        (written,) = await self.memories.put(CALLER, [put])
        assert written.error is None

    async def touch(self, place: tuple[str, ...], key: str, number: int = 0) -> None:
        """Changes a memory now."""
        update = Update(self.address(place, key), set_attributes={"touched": number})
        (written,) = await self.memories.update(CALLER, [update])
        assert written.error is None

    async def records(self, *labels: str) -> dict[tuple[tuple[str, ...], str], Record]:
        """All that is there below a namespace, by place."""
        page = await self.memories.list(
            CALLER, Listing(Selection(KIND, labels), b"records", page_size=1000)
        )
        assert not page.next_page_token
        return {each.record.address.place: each.record for each in page.memories}

    def address(self, place: Sequence[str], key: str) -> Address:
        """Of a memory of the tenant."""
        return Address(CALLER.tenant, KIND, tuple(place), key)

    def close(self) -> None:
        """Ends it."""
        self.run(self.memories.close())
        self.run(self.store.close())
        self.runner.close()
