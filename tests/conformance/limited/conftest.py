"""The memory-level cases about limits on a store that has low ones, and is never sent more.

It is the embedded store with limits that calls can reach. Those of the others are mostly above what a
message holds.
"""

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
    space,
)
from memplane_adapters.contract import Backend, Entry, Point, Write, WriteResult
from memplane_adapters.embedded.key_value_store import CAPABILITIES as KEY_VALUE
from memplane_adapters.embedded.key_value_store import EmbeddedKeyValueStore
from memplane_adapters.embedded.vector_store import CAPABILITIES as VECTOR
from memplane_adapters.embedded.vector_store import EmbeddedVectorStore
from memplane_gateway.config import StoreSettings
from memplane_gateway.layers.batches import size_of

__all__ = ["abilities", "another", "client", "door", "space"]

ITEM_BYTES = 100_000
BATCH_BYTES = 150_000
BATCH_ITEMS = 2
NAME = "small"


def is_within(writes: Sequence[Write[Entry]], *, atomic: bool = False) -> None:
    """Whatever comes is what was said to be taken; an atomic call is never split."""
    sizes = [size_of(write.entry) for write in writes]
    assert all(size <= ITEM_BYTES for size in sizes), "the gateway refuses"
    if not atomic:
        assert sum(sizes) <= BATCH_BYTES, "the gateway splits"
        assert len(sizes) <= BATCH_ITEMS, "the gateway splits"


class SmallVectorStore(EmbeddedVectorStore):
    """Takes little at a time."""

    capabilities = replace(
        VECTOR,
        max_item_bytes=ITEM_BYTES,
        max_batch_bytes=BATCH_BYTES,
        max_batch_items=BATCH_ITEMS,
        max_dimension=512,
    )

    async def upsert(self, writes: Sequence[Write[Point]]) -> list[WriteResult]:
        is_within(writes)
        return await super().upsert(writes)


class SmallKeyValueStore(EmbeddedKeyValueStore):
    """Takes little at a time."""

    capabilities = replace(
        KEY_VALUE,
        max_item_bytes=ITEM_BYTES,
        max_batch_bytes=BATCH_BYTES,
        max_batch_items=BATCH_ITEMS,
    )

    async def put(
        self, writes: Sequence[Write[Entry]], *, atomic: bool = False
    ) -> list[WriteResult]:
        is_within(writes, atomic=atomic)
        return await super().put(writes, atomic=atomic)


class Small(StoreSettings):
    """The embedded store that takes little at a time."""

    def connect(self, data_dir: Path) -> Backend:
        points, entries = embedded_parts(super().connect(data_dir))
        return Backend(SmallVectorStore(points._database), SmallKeyValueStore(entries._database))


@pytest.fixture(scope="session")
def arrange() -> Arrange:
    """Every kind on the store with low limits."""
    return beside_the_embedded_one(NAME, Small)


@pytest.fixture(scope="session")
def door_name() -> str:
    """One door is enough: the limits are behind both."""
    return IN_PROCESS
