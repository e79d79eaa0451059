"""Answers of Pinecone that are wider than asked, late, or unsure; on the emulator that comes with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from memplane_adapters.conformance.local_stores import Servers, choices
from memplane_adapters.conformance.stores.fixtures import COLLECTION, Points, vector
from memplane_adapters.contract import Condition, Op, StoreError, StoreReason
from memplane_adapters.kit.scopes import scope_digest
from memplane_adapters.pinecone import ADAPTER, PineconeSettings
from memplane_adapters.pinecone.filters import TOKENS, Selection, Where
from memplane_adapters.pinecone.names import namespace_of
from memplane_adapters.pinecone.store import PineconeVectorStore
from memplane_adapters.pinecone.visibility import Visibility

(PINECONE,) = (choice for choice in choices() if choice.adapter_name == "pinecone")


@pytest.fixture
def keys(servers: Servers, tmp_path: Path) -> dict[str, Any]:
    """The settings of a store that is empty at first."""
    return dict(PINECONE.keys(servers, tmp_path)[1])


@pytest_asyncio.fixture
async def points(keys: dict[str, Any]) -> AsyncIterator[Points]:
    """A store of the case's own, which nobody else had before."""
    store = ADAPTER.connect(PineconeSettings(**keys), Path()).vector
    assert store is not None
    await store.open()
    await store.ensure(COLLECTION)
    visibility_of(store)._young_until = 0.0
    yield Points(store)
    await store.close()


def visibility_of(store: object) -> Visibility:
    assert isinstance(store, PineconeVectorStore)
    return store._visibility


def token_of(points: Points) -> str:
    assert isinstance(points.store, PineconeVectorStore)
    return points.store.token(points.kind, points.tenant)


@pytest.mark.asyncio
async def test_what_the_index_gives_too_much_takes_the_place_of_nothing(
    points: Points, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether $nin looks into lists is not documented; what it lets through is left out here."""

    def wider(selection: Selection, *more: Where) -> Where:
        scope = {TOKENS: {"$in": [f"in.{scope_digest(selection.scope)}"]}}
        return {"$and": [scope, *more]}

    near = [points.point(f"n{n:02}", vector(1.0, n / 100), fields={"t": "a"}) for n in range(30)]
    far = [points.point(f"f{n}", vector(0.0, 1.0, n / 10), fields={"t": "b"}) for n in range(5)]
    await points.write(*near, *far)
    monkeypatch.setattr(Selection, "where", wider)
    tree = Condition(("t",), Op.NE, "a")
    assert await points.search(vector=vector(1.0), limit=3, filter=tree) == ["f0", "f1", "f2"]
    found = await points.search(vector=vector(1.0), limit=20, filter=tree)
    assert found == [f"f{n}" for n in range(5)]


@pytest.mark.asyncio
async def test_a_write_is_not_forgotten_with_those_that_are_seen(points: Points) -> None:
    """Two reads wait for one write; when the first has seen it, another write comes."""
    visibility = visibility_of(points.store)
    (place,), namespace = await points.store._known(points.kind), namespace_of(points.tenant)  # type: ignore[attr-defined]
    await points.try_write([points.point("k")])

    async def read_and_write() -> None:
        await visibility.wait(place, namespace)
        visibility.wrote(place, namespace, ["later"], 100)

    await asyncio.gather(read_and_write(), visibility.wait(place, namespace))
    assert "100" in token_of(points)
    visibility._logs.clear()  # nothing was written there


@pytest.mark.asyncio
async def test_what_nobody_reads_is_remembered_in_little_room(
    points: Points, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids are forgotten, not that there were writes: a read of any then waits for all of them."""
    monkeypatch.setattr("memplane_adapters.pinecone.visibility._MOST_IDS_OF_ALL", 50)
    visibility = visibility_of(points.store)
    tenants = [f"{points.tenant}-{number}" for number in range(30)]
    for tenant in tenants:
        points.tenant = tenant
        await points.try_write([points.point(f"{number}") for number in range(5)])
        assert sum(len(log.by_id) for _, log in visibility._logs.values()) <= 50
    assert visibility._ids <= 50
    for points.tenant in tenants:
        assert await points.record(points.address("4")) == b"4"
        assert token_of(points) == ""
    assert visibility._ids == 0


@pytest.mark.asyncio
async def test_a_write_that_timed_out_once_and_was_refused_then_is_unsure(
    points: Points, keys: dict[str, Any]
) -> None:
    faults = {"statuses": [408, 429, 429, 429], "path": "/vectors/upsert", "retry_after": 0.01}
    async with httpx.AsyncClient() as client:
        (await client.post(f"{keys['url']}/emulator", json=faults)).raise_for_status()
    with pytest.raises(StoreError) as failure:
        await points.try_write([points.point("k")])
    assert failure.value.reason is StoreReason.INTERRUPTED
