"""Ingest writes what PutMemories would, batch by batch, and again what a broken stream left open."""

from __future__ import annotations

from typing import Any

import pytest

from memplane import (
    AlreadyExists,
    AsyncClient,
    AsyncScope,
    Capabilities,
    Durability,
    FailedPrecondition,
    InvalidArgument,
    Kind,
    Memory,
    Outcome,
    Put,
    Ref,
)
from memplane.v1 import memory_pb2
from memplane.v1 import memory_service_pb2 as pb
from memplane_adapters.conformance.memories.doors import Door, converse
from memplane_adapters.conformance.memories.helpers import (
    EVERY_KIND,
    EVERY_STORE,
    KIND_NUMBERS,
    ON_THE_SESSION_LOOP,
    key,
    keys_listed,
    refused,
)

pytestmark = ON_THE_SESSION_LOOP

Request = pb.IngestMemoriesRequest


def opening(ingest_id: str, **fields: Any) -> Request:
    """The first message of a stream."""
    return Request(opening=pb.IngestOpening(ingest_id=ingest_id, **fields))


def batch(sequence: int, *memories: memory_pb2.Memory) -> Request:
    """A batch of memories."""
    puts = [pb.MemoryPut(memory=memory) for memory in memories]
    return Request(batch=pb.IngestBatch(sequence=sequence, puts=puts))


def memory(space: AsyncScope, kind: Kind, name: str, text: str = "") -> memory_pb2.Memory:
    """A memory of a key, which may be empty."""
    ref = memory_pb2.MemoryRef(kind=KIND_NUMBERS[kind], namespace=space.namespace, key=name)
    return memory_pb2.Memory(ref=ref, text=text)


async def ingest(door: Door, *messages: Request) -> list[pb.IngestMemoriesResponse]:
    """All answers to a stream of messages."""
    return await converse(door, "IngestMemories", messages, pb.IngestMemoriesResponse)


def outcomes(answer: pb.IngestMemoriesResponse) -> list[tuple[int, bool]]:
    """What became of a batch: each outcome, and whether it is that of an earlier try."""
    return [(result.outcome, result.replayed) for result in answer.ack.results]


CREATED = pb.WRITE_OUTCOME_CREATED
UPDATED = pb.WRITE_OUTCOME_UPDATED


@EVERY_KIND
async def test_what_is_ingested_is_there(space: AsyncScope, kind: Kind) -> None:
    given = [
        Put(space.ref(kind, f"k{i:02}"), text=f"text {i}", attributes={"n": i}, value={"i": [i]})
        for i in range(25)
    ]
    result = await space.ingest(given, batch_items=10)
    assert (result.answered, result.created, result.refused) == (25, 25, 0)
    found = [memory async for memory in space.list(kind)]
    assert [(m.key, m.text, m.attributes, m.value) for m in found] == [
        (put.ref.key, put.text, put.attributes, put.value) for put in given
    ]
    again = await space.ingest(given, batch_items=10)
    assert (again.unchanged, again.created) == (25, 0)


@EVERY_STORE
async def test_memories_that_were_read_are_written_as_they_were(
    space: AsyncScope, kind: Kind
) -> None:
    await space.put(kind, "k", text="t", importance=0.5, pinned=True, ttl=3600)
    read = await space.get(kind, "k")
    assert isinstance(read, Memory)
    result = await space.ingest([read])
    assert (result.unchanged, result.answered) == (1, 1)


@EVERY_STORE
async def test_a_batch_that_is_sent_again_takes_effect_once(
    door: Door, space: AsyncScope, kind: Kind
) -> None:
    """What resuming a stream stands on."""
    messages = (
        opening(key()),
        batch(1, memory(space, kind, "", "minted"), memory(space, kind, "a", "given")),
        batch(2, memory(space, kind, "a", "changed")),
    )
    _, first, second = await ingest(door, *messages)
    assert outcomes(first) == [(CREATED, False)] * 2
    assert outcomes(second) == [(UPDATED, False)]
    before = [m async for m in space.list(kind)]
    _, first, second = await ingest(door, *messages)
    assert outcomes(first) == [(CREATED, True)] * 2
    assert outcomes(second) == [(UPDATED, True)]
    assert [m async for m in space.list(kind)] == before
    assert len(before) == 2


@EVERY_STORE
async def test_a_stream_may_begin_behind_what_was_answered(
    door: Door, space: AsyncScope, kind: Kind
) -> None:
    name = key()
    with refused(InvalidArgument, "INVALID_REQUEST"):  # it breaks off, as far as the gateway knows
        await ingest(
            door,
            opening(name),
            *(batch(i, memory(space, kind, f"k{i}")) for i in (1, 2)),
            Request(),
        )
    _, third = await ingest(door, opening(name), batch(3, memory(space, kind, "k3")))
    assert outcomes(third) == [(CREATED, False)]
    assert await keys_listed(space, kind) == ["k1", "k2", "k3"]


async def test_an_ingest_is_done_again_without_doing_anything_twice(
    client: AsyncClient, space: AsyncScope
) -> None:
    given = [Put(space.ref("semantic"), text=f"text {i}") for i in range(4)]
    name = key()
    assert (await space.ingest(given, ingest_id=name, batch_items=2)).created == 4
    again = await space.ingest(given, ingest_id=name, batch_items=2)
    assert (again.created, again.replayed) == (4, 4)
    rest = await space.ingest(given, ingest_id=name, batch_items=2, after=1)
    assert (rest.skipped, rest.replayed) == (2, 2)
    await space.purge(Kind.SEMANTIC)
    anew = await space.ingest(given, ingest_id=name, batch_items=2)
    assert (anew.created, anew.replayed) == (4, 0)
    assert await client.scope(*space.namespace).count(Kind.SEMANTIC) == 4


@EVERY_STORE
async def test_an_item_that_is_wrong_is_refused_by_itself(space: AsyncScope, kind: Kind) -> None:
    given = [
        Put(space.ref(kind, "good"), text="t"),
        Put(space.ref(kind, "\0bad"), text="t"),
        Put(space.ref(kind, "big"), text="t" * 100_000),
        Put(space.ref(kind, "there"), text="t", if_present=True),
        Put(space.ref(kind, "last"), text="t"),
    ]
    result = await space.ingest(given)
    assert (result.answered, result.created, result.refused) == (5, 2, 3)
    codes = [(failure.index, type(failure.result.error).__name__) for failure in result.failures]
    assert codes == [(1, "InvalidArgument"), (2, "InvalidArgument"), (3, "NotFound")]
    assert "puts[2].memory.text" in str(result.failures[1].result.error)
    assert await keys_listed(space, kind) == ["good", "last"]


async def test_a_vector_of_another_dimension_is_refused_by_itself(space: AsyncScope) -> None:
    given = [
        Put(space.ref("semantic", "bad"), vector=[1.0, 2.0, 3.0]),
        Put(space.ref("semantic", "good"), text="t"),
    ]
    result = await space.ingest(given)
    (failure,) = result.failures
    assert failure.result.error is not None
    assert failure.result.error.reason == "DIMENSION_MISMATCH"
    assert failure.result.error.metadata["actual"] == "3"
    assert result.created == 1


async def test_of_a_ref_that_stands_twice_in_a_batch_the_later_is_refused(
    door: Door, space: AsyncScope
) -> None:
    twice = [memory(space, Kind.SEMANTIC, "k", text) for text in ("first", "second")]
    _, answer = await ingest(door, opening(key()), batch(1, *twice))
    assert [result.outcome for result in answer.ack.results] == [CREATED, 0]
    assert "the same ref as puts[0]" in answer.ack.results[1].error.message
    kept = await space.get(Kind.SEMANTIC, "k")
    assert kept is not None
    assert kept.text == "first"


async def test_kinds_may_be_mixed(space: AsyncScope) -> None:
    given = [Put(Ref(kind, space.namespace, "k"), text="t") for kind in Kind]
    assert (await space.ingest(given)).created == len(given)
    for kind in Kind:
        assert await keys_listed(space, kind) == ["k"]


async def test_min_durability_is_of_the_whole_ingest(
    space: AsyncScope, abilities: Capabilities
) -> None:
    put = Put(space.ref("semantic", "k"), text="t")
    managed = Durability.MANAGED in abilities[Kind.SEMANTIC].durability
    with refused(FailedPrecondition, "DURABILITY_UNAVAILABLE"):
        await space.ingest([put], min_durability="disk" if managed else "managed")
    assert await keys_listed(space, Kind.SEMANTIC) == []


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        pytest.param([], "opening", id="nothing"),
        pytest.param([Request()], "opening", id="empty"),
        pytest.param([batch(1)], "opening", id="batch-first"),
        pytest.param([opening("")], "opening.ingest_id", id="no-id"),
        pytest.param([opening("x" * 101)], "opening.ingest_id", id="long-id"),
        pytest.param([opening("\0")], "opening.ingest_id", id="nul"),
        pytest.param([opening("i", min_durability=99)], "min_durability", id="durability"),
        pytest.param([opening("i"), opening("i")], "batch", id="opened-twice"),
        pytest.param([opening("i"), batch(1)], "batch.puts", id="no-puts"),
        pytest.param([opening("i"), batch(0)], "batch.sequence", id="sequence-0"),
        pytest.param([opening("i"), batch(-1)], "batch.sequence", id="sequence-negative"),
    ],
)
async def test_a_stream_that_is_not_as_it_must_be(
    door: Door, messages: list[Request], field: str
) -> None:
    with refused(InvalidArgument, "INVALID_REQUEST") as caught:
        await ingest(door, *messages)
    assert field in caught.fields


@pytest.mark.parametrize("second", [1, 3, 0])
async def test_batches_are_counted_by_one(door: Door, space: AsyncScope, second: int) -> None:
    name = memory(space, Kind.SEMANTIC, "k")
    with refused(InvalidArgument, "INVALID_REQUEST") as caught:
        await ingest(door, opening(key()), batch(1, name), batch(second, name))
    assert caught.fields == {"batch.sequence"}


async def test_another_batch_under_the_same_number_is_refused(
    door: Door, space: AsyncScope
) -> None:
    name = key()
    one, another = (batch(1, memory(space, Kind.SEMANTIC, "k", text)) for text in ("one", "two"))
    await ingest(door, opening(name), one)
    with refused(AlreadyExists, "REQUEST_ID_REUSED"):
        await ingest(door, opening(name), another)
    kept = await space.get(Kind.SEMANTIC, "k")
    assert kept is not None
    assert kept.text == "one"


async def test_an_outcome_is_known_to_the_client(
    space: AsyncScope, abilities: Capabilities
) -> None:
    acks: list[Any] = []
    await space.ingest([Put(space.ref("semantic", "k"), text="t")], on_ack=acks.append)
    (ack,) = acks
    (result,) = ack.results
    seen = abilities[Kind.SEMANTIC].read_your_writes
    assert (result.outcome, result.visible) == (Outcome.CREATED, seen)
    assert bool(result.consistency_token) is not seen
