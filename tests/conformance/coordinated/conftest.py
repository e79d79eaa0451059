"""The memory-level cases on a store that compares no revisions: the gateway's leases do it.

It is the embedded store made to overwrite whatever is there, a little later than it is told to.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tests.conformance.disguised import beside_the_embedded_one, embedded_parts

from memplane_adapters.conformance.memories.doors import IN_PROCESS
from memplane_adapters.conformance.memories.fixtures import (
    Arrange,
    abilities,
    another,
    client,
    door,
    sample,
    space,
)
from memplane_adapters.contract import (
    Address,
    Backend,
    ConditionalWrite,
    Delete,
    Entry,
    Point,
    Stored,
    Write,
    WriteResult,
)
from memplane_adapters.embedded.key_value_store import CAPABILITIES as KEY_VALUE
from memplane_adapters.embedded.key_value_store import EmbeddedKeyValueStore
from memplane_adapters.embedded.vector_store import CAPABILITIES as VECTOR
from memplane_adapters.embedded.vector_store import EmbeddedVectorStore
from memplane_gateway.config import StoreSettings

__all__ = ["abilities", "another", "client", "door", "sample", "space"]

ITEMS = 7
"""Most items in a call, so that batches are split too."""

NAME = "careless"


async def dawdle() -> None:
    """Long enough for others to come between."""
    await asyncio.sleep(random.uniform(0, 0.0005))


def overwrites(items: Sequence[Write[Entry] | Delete]) -> None:
    """It cannot compare, and says so to those who ask it to."""
    assert len(items) <= ITEMS, "the gateway splits"
    assert all(item.expected is None for item in items), "it compares nothing"


class CarelessVectorStore(EmbeddedVectorStore):
    """Overwrites."""

    capabilities = replace(VECTOR, conditional_write=ConditionalWrite.NONE, max_batch_items=ITEMS)

    async def fetch(
        self, addresses: Sequence[Address], *, vectors: bool = False
    ) -> list[Stored | None]:
        found = await super().fetch(addresses, vectors=vectors)
        await dawdle()
        return found

    async def upsert(self, writes: Sequence[Write[Point]]) -> list[WriteResult]:
        overwrites(writes)
        await dawdle()
        return await super().upsert(writes)

    async def delete(self, deletes: Sequence[Delete]) -> list[WriteResult]:
        overwrites(deletes)
        await dawdle()
        return await super().delete(deletes)


class CarelessKeyValueStore(EmbeddedKeyValueStore):
    """Overwrites."""

    capabilities = replace(
        KEY_VALUE, conditional_write=ConditionalWrite.NONE, max_batch_items=ITEMS
    )

    async def get(self, addresses: Sequence[Address]) -> list[Stored | None]:
        found = await super().get(addresses)
        await dawdle()
        return found

    async def put(
        self, writes: Sequence[Write[Entry]], *, atomic: bool = False
    ) -> list[WriteResult]:
        overwrites(writes)
        await dawdle()
        return await super().put(writes, atomic=atomic)

    async def delete(self, deletes: Sequence[Delete], *, atomic: bool = False) -> list[WriteResult]:
        overwrites(deletes)
        await dawdle()
        return await super().delete(deletes, atomic=atomic)


class Careless(StoreSettings):
    """The embedded store that overwrites."""

    def connect(self, data_dir: Path) -> Backend:
        points, entries = embedded_parts(super().connect(data_dir))
        return Backend(
            CarelessVectorStore(points._database), CarelessKeyValueStore(entries._database)
        )


@pytest.fixture(scope="session")
def arrange() -> Arrange:
    """Every kind on the store that overwrites; the gateway's own state stays where it compares."""
    return beside_the_embedded_one(NAME, Careless)


@pytest.fixture(scope="session")
def door_name() -> str:
    """One door is enough: the leases are behind both."""
    return IN_PROCESS
