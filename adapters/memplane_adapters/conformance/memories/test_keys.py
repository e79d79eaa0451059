"""Keys that a caller leaves empty, and ids of requests."""

from __future__ import annotations

import uuid

from memplane import AsyncScope, Kind, Outcome, Put
from memplane.v1 import memory_service_pb2 as pb
from memplane_adapters.conformance.memories.doors import Door, call
from memplane_adapters.conformance.memories.helpers import (
    EVERY_KIND,
    EVERY_STORE,
    ON_THE_SESSION_LOOP,
    key,
    put_all,
    ref_message,
    refused,
    there,
)

pytestmark = ON_THE_SESSION_LOOP


async def minted(
    door: Door, space: AsyncScope, kind: Kind, request_id: str, *texts: str
) -> list[str]:
    puts = []
    for text in texts:
        put = pb.MemoryPut()
        put.memory.ref.CopyFrom(ref_message(space.ref(kind)))
        put.memory.text = text
        puts.append(put)
    request = pb.PutMemoriesRequest(puts=puts, request_id=request_id)
    reply = await call(door, "PutMemories", request, pb.PutMemoriesResponse)
    return [result.ref.key for result in reply.results]


@EVERY_KIND
async def test_a_key_left_empty_is_minted_and_returned(
    door: Door, space: AsyncScope, kind: Kind
) -> None:
    keys = await minted(door, space, kind, "", "a", "b", "b")
    assert len(set(keys)) == 3
    for name, text in zip(keys, "abb", strict=True):
        uuid.UUID(name)
        assert (await there(space, kind, name)).text == text


@EVERY_KIND
async def test_without_a_request_id_each_call_makes_new_memories(
    door: Door, space: AsyncScope, kind: Kind
) -> None:
    first = await minted(door, space, kind, "", "a")
    second = await minted(door, space, kind, "", "a")
    assert first != second
    assert await space.count(kind) == 2


@EVERY_KIND
async def test_the_same_request_id_mints_the_same_keys(
    door: Door, space: AsyncScope, kind: Kind
) -> None:
    request_id = key()
    first = await minted(door, space, kind, request_id, "a", "b")
    second = await minted(door, space, kind, request_id, "a", "b")
    assert first == second
    assert len(set(first)) == 2
    assert await space.count(kind) == 2
    other = await minted(door, space, kind, key(), "a", "b")
    assert not set(other) & set(first)


@EVERY_STORE
async def test_the_client_mints_keys_before_it_sends(space: AsyncScope, kind: Kind) -> None:
    results = await put_all(space, [Put(space.ref(kind), text="t") for _ in range(3)])
    keys = [result.key for result in results]
    assert keys == sorted(set(keys))
    assert {uuid.UUID(name).version for name in keys} == {7}


@EVERY_STORE
async def test_a_retry_with_the_same_request_id_takes_effect_once(
    space: AsyncScope, kind: Kind
) -> None:
    request_id = key()
    first = await space.put(kind, text="t", attributes={"n": 1}, request_id=request_id)
    again = await space.put(kind, text="t", attributes={"n": 1}, request_id=request_id)
    assert first.outcome is Outcome.CREATED
    assert again.ref == first.ref
    assert (again.revision, again.etag) == (first.revision, first.etag)
    assert await space.count(kind) == 1


async def test_a_request_id_has_at_most_128_bytes_without_nul(space: AsyncScope) -> None:
    for good in ("x" * 128, "é" * 64):
        assert (await space.put(Kind.SEMANTIC, "k", text=good, request_id=good)).ok
    for bad in ("x" * 129, "é" * 64 + "x", "a\0"):
        with refused() as refusal:
            await space.put(Kind.SEMANTIC, "k", request_id=bad)
        assert refusal.fields == {"request_id"}
        with refused():
            await space.update(Kind.SEMANTIC, "k", request_id=bad)
        with refused():
            await space.delete(Kind.SEMANTIC, "k", request_id=bad)
    assert await space.count(Kind.SEMANTIC) == 1
