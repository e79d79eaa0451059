"""Reading what others made: over each transport of Qdrant's, named vectors, and what is ours."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient, models
from tests.adapters.qdrant_double import Double, fill_as_others_do
from tests.adapters.qdrant_grpc_double import GrpcDouble

from memplane_adapters.conformance.local_stores import Choice, Servers, at_hand
from memplane_adapters.contract import (
    Collection,
    EmbeddingIdentity,
    ForeignCollection,
    ForeignRow,
    Kind,
    StoreError,
    StoreReason,
)
from memplane_adapters.qdrant import QdrantSettings
from memplane_adapters.qdrant.foreign import ForeignQdrant
from memplane_gateway.config.stores import find_adapter, make_store

ROWS = 450
"""Three pages."""
OLD = "1.9.0"
"""A server that our own collections could not live on."""


@pytest.fixture(scope="module")
def double() -> Iterator[Double]:
    made = Double(version=OLD)
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module", params=["grpc", "rest"])
def settings(request: pytest.FixtureRequest, double: Double) -> Iterator[QdrantSettings]:
    behind = GrpcDouble(double)
    behind.start()
    yield QdrantSettings(url=double.url, transport=request.param, grpc_port=behind.port)
    behind.stop()


@asynccontextmanager
async def opened(collection: ForeignCollection) -> AsyncIterator[ForeignCollection]:
    try:
        await collection.open()
        yield collection
    finally:
        await collection.close()


async def rows_of(collection: ForeignCollection, *, vectors: bool = False) -> list[ForeignRow]:
    rows, after = [], ""
    while True:
        page = await collection.page(after, vectors=vectors)
        rows += page.rows
        after = page.next
        if not after:
            return rows


async def test_every_row_once_over_either_transport(
    settings: QdrantSettings, double: Double
) -> None:
    name = f"others-{settings.transport}"
    fill_as_others_do(double, name, ROWS)
    async with opened(ForeignQdrant(settings, Path(), name, "")) as collection:
        facts = await collection.facts()
        rows = await rows_of(collection, vectors=True)
        assert all(row.vector is None for row in (await collection.page()).rows)
    assert (facts.rows, facts.dimension, facts.metric) == (ROWS, 2, "euclid")
    assert [row.id for row in rows] == [str(row) for row in range(ROWS)]
    assert rows[7].payload == {"text": "x", "n": 2**53 + 1, "deep": {"a": [1, 2.5, None, True]}}
    assert rows[7].document is None
    assert rows[7].vector is not None
    assert rows[7].vector.tolist() == [7.0, 1.0]


async def test_a_vector_that_has_a_name(tmp_path: Path) -> None:
    dense = models.VectorParams(size=2, distance=models.Distance.DOT)
    engine = QdrantClient(path=str(tmp_path / "q"))
    engine.create_collection(
        "hybrid",
        vectors_config={"text-dense": dense},
        sparse_vectors_config={"text-sparse": models.SparseVectorParams()},
    )
    sparse = models.SparseVector(indices=[1], values=[1.0])
    both: Any = {"text-dense": [3.0, 4.0], "text-sparse": sparse}
    engine.upsert("hybrid", [models.PointStruct(id=1, vector=both, payload={"text": "x"})])
    engine.close()
    settings = QdrantSettings(path="q")
    async with opened(ForeignQdrant(settings, tmp_path, "hybrid", "text-dense")) as collection:
        facts = await collection.facts()
        (row,) = await rows_of(collection, vectors=True)
    assert (facts.dimension, facts.metric) == (2, "dot")
    assert row.vector is not None
    assert np.array_equal(row.vector, [3.0, 4.0])
    async with opened(ForeignQdrant(settings, tmp_path, "hybrid", "")) as collection:
        assert (await collection.facts()).dimension is None
        (row,) = await rows_of(collection, vectors=True)
    assert row.vector is None


@pytest.mark.parametrize("choice", [*at_hand("chroma"), *at_hand("qdrant")], ids=str)
async def test_collections_of_ours_are_refused(
    choice: Choice, servers: Servers, tmp_path: Path
) -> None:
    if choice.name == "qdrant-memory":
        pytest.skip("nobody else could have it open")
    adapter, keys = choice.keys(servers, tmp_path)
    made = make_store(adapter.name, keys)
    store = made.connect(tmp_path).vector
    assert store is not None
    await store.open()
    identity = EmbeddingIdentity("none", "x", 2)
    await store.ensure(Collection(Kind.SEMANTIC, identity, analyzer="none"))
    await store.close()
    reader = find_adapter(adapter.name).foreign
    assert reader is not None
    with pytest.raises(StoreError) as missing:
        async with opened(reader(made.settings, tmp_path, "no such", "")):
            pytest.fail("it is not there")
    assert missing.value.reason is StoreReason.COLLECTION_MISSING
    name = next(
        name for name in missing.value.metadata["collections"].split(", ") if "semantic" in name
    )
    with pytest.raises(StoreError, match="that Memplane made") as refused:
        async with opened(reader(made.settings, tmp_path, name, "")):
            pytest.fail("it is ours")
    assert refused.value.reason is StoreReason.MISCONFIGURED
