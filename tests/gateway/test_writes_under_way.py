"""What happens while a write is under way: walks wait for it, retries begin where it ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from memplane_adapters.contract import (
    Address,
    Capabilities,
    EmbeddingIdentity,
    Kind,
    Order,
    Point,
    Vector,
    VectorStore,
    Write,
    WriteResult,
    WriteStatus,
)
from memplane_adapters.embedded import ADAPTER, EmbeddedSettings
from memplane_gateway.analysis import Analyzer
from memplane_gateway.clock import Clock
from memplane_gateway.embedders import EmbedderError, EmbedderReason, Role
from memplane_gateway.errors import Reason
from memplane_gateway.memory.embedding import TextVectors
from memplane_gateway.memory.memories import Memories
from memplane_gateway.memory.model import Caller, Content, Expiry, Outcome, Put, Update
from memplane_gateway.memory.questions import Listing, Selection
from memplane_gateway.memory.tokens import PageTokens
from memplane_gateway.memory.vector_shelf import VectorShelf
from memplane_gateway.wire.records import ProtobufRecords

CALLER = Caller()


class Embedder:
    """Knows no text; counts, and fails from the second call on when told to."""

    identity = EmbeddingIdentity("test", "test", 2)
    knows_meaning = True
    accepts_text = True
    tells_roles = False
    notice = ""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.fails = False

    async def open(self) -> None:
        """Nothing to begin."""

    async def embed(self, texts: Sequence[str], role: Role = Role.MEMORY) -> list[Vector | None]:
        self.calls.append(list(texts))
        if self.fails:
            raise EmbedderError("down", reason=EmbedderReason.UNAVAILABLE, retryable=True)
        return [None for _ in texts]

    async def close(self) -> None:
        """Nothing to let go of."""


class Gate:
    """A vector store whose writes can be held back, or said to have lost to another writer."""

    def __init__(self, store: VectorStore) -> None:
        self._store = store
        self.open = asyncio.Event()
        self.open.set()
        self.reached = asyncio.Event()
        self.losers: set[str] = set()

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    @property
    def capabilities(self) -> Capabilities:
        return self._store.capabilities

    async def upsert(self, writes: Sequence[Write[Point]]) -> list[WriteResult]:
        self.reached.set()
        await self.open.wait()
        losers, self.losers = self.losers, set()
        winners = [write for write in writes if write.entry.address.key not in losers]
        results = iter(await self._store.upsert(winners))
        lost = WriteResult(WriteStatus.CONFLICT)
        return [lost if write.entry.address.key in losers else next(results) for write in writes]


@asynccontextmanager
async def gated(directory: Path) -> AsyncIterator[tuple[Memories, Gate, Embedder]]:
    store = ADAPTER.connect(EmbeddedSettings(), directory).vector
    assert store is not None
    await store.open()
    gate, embedder = Gate(store), Embedder()
    shelf = VectorShelf(gate, ProtobufRecords(), Analyzer())  # type: ignore[arg-type]
    memories = Memories(
        "semantic",
        shelf,
        Clock(),
        TextVectors("semantic", embedder),
        PageTokens(b"s"),
        search=None,
        scan_budget=1000,
    )
    yield memories, gate, embedder
    await store.close()


def put(key: str, text: str = "") -> Put:
    return Put(Address("default", Kind.SEMANTIC, (), key), Content(text=text))


async def test_a_walk_newest_first_meets_what_was_under_way_when_it_began(tmp_path: Path) -> None:
    async with gated(tmp_path) as (memories, gate, _):
        for number in range(6):
            await memories.put(CALLER, [put(f"k{number}")])
        gate.open.clear()
        gate.reached.clear()
        address = put("k0").address
        late = asyncio.create_task(
            memories.update(CALLER, [Update(address, set_attributes={"late": True})])
        )
        await gate.reached.wait()
        listing = Listing(
            Selection(Kind.SEMANTIC), b"q", Order.UPDATE_TIME, descending=True, page_size=2
        )
        seen: list[str] = []
        token = ""
        while True:
            page = await memories.list(
                CALLER,
                Listing(
                    listing.selection,
                    listing.binding,
                    listing.order,
                    descending=True,
                    page_size=2,
                    page_token=token,
                ),
            )
            seen += [memory.record.address.key for memory in page.memories]
            token = page.next_page_token
            if len(seen) == 2:
                gate.open.set()  # it is written between two pages, behind the walk
                assert (await late)[0].outcome is Outcome.UPDATED
            if not token:
                break
        assert sorted(set(seen)) == [f"k{number}" for number in range(6)]
        assert all(seen.count(f"k{number}") == 1 for number in range(1, 6))


async def test_who_loses_to_another_writer_embeds_once(tmp_path: Path) -> None:
    async with gated(tmp_path) as (memories, gate, embedder):
        gate.losers = {"b"}
        written = await memories.put(CALLER, [put("a", "one"), put("b", "two")])
        assert [item.outcome for item in written] == [Outcome.CREATED, Outcome.CREATED]
        assert embedder.calls == [["one", "two"]]


async def test_a_request_id_makes_one_memory(tmp_path: Path) -> None:
    async with gated(tmp_path) as (memories, _, _embedder):
        address = put("minted").address
        first = Put(address, Content(text="first"), minted=True)
        (created,) = await memories.put(CALLER, [first])
        (again,) = await memories.put(CALLER, [first])
        (other,) = await memories.put(CALLER, [Put(address, Content(text="other"), minted=True)])
        assert (created.outcome, again.outcome) == (Outcome.CREATED, Outcome.UNCHANGED)
        assert other.error is not None
        assert other.error.reason is Reason.MEMORY_EXISTS
        (kept,) = await memories.get([address], vectors=False, max_bytes=1000, alone=True)
        assert kept is not None
        assert kept.record.content.text == "first"


async def test_a_retry_of_a_minted_key_with_a_ttl_is_the_same_call(tmp_path: Path) -> None:
    async with gated(tmp_path) as (memories, _, _embedder):
        address = put("minted").address
        call = Put(address, Content(text="t"), expiry=Expiry(ttl=3_600_000_000), minted=True)
        (created,) = await memories.put(CALLER, [call])
        (again,) = await memories.put(CALLER, [call])
        assert created.outcome is Outcome.CREATED
        assert again.error is None
        other = Put(address, Content(text="o"), expiry=Expiry(ttl=3_600_000_000), minted=True)
        (refused,) = await memories.put(CALLER, [other])
        assert refused.error is not None


async def test_a_failing_embedder_fails_the_call_when_nothing_is_written(tmp_path: Path) -> None:
    async with gated(tmp_path) as (memories, _, embedder):
        embedder.fails = True
        with pytest.raises(Exception, match="embedder failed"):
            await memories.put(CALLER, [put("a", "one")])
