"""What fails a whole call, what fails one item, and that every broken rule is named at once."""

from __future__ import annotations

from typing import Any

import pytest

from memplane import (
    AsyncClient,
    AsyncScope,
    Delete,
    Durability,
    FailedPrecondition,
    InvalidArgument,
    Kind,
    NotFound,
    Outcome,
    Put,
    Update,
)
from memplane.v1 import durability_pb2, memory_pb2, value_pb2
from memplane.v1 import memory_service_pb2 as pb
from memplane_adapters.conformance.memories.doors import Door, call
from memplane_adapters.conformance.memories.helpers import (
    EVERY_KIND,
    EVERY_STORE,
    ON_THE_SESSION_LOOP,
    failed,
    key,
    keys_listed,
    put_all,
    ref_message,
    refused,
    there,
)

pytestmark = ON_THE_SESSION_LOOP


def put_message(space: AsyncScope, kind: Kind, name: str, **content: Any) -> pb.MemoryPut:
    return pb.MemoryPut(memory=memory_pb2.Memory(ref=ref_message(space.ref(kind, name)), **content))


async def put(door: Door, *puts: pb.MemoryPut, **options: Any) -> pb.PutMemoriesResponse:
    request = pb.PutMemoriesRequest(puts=puts, **options)
    return await call(door, "PutMemories", request, pb.PutMemoriesResponse)


@EVERY_STORE
async def test_one_bad_shape_fails_the_put_and_nothing_is_written(
    door: Door, space: AsyncScope, kind: Kind
) -> None:
    good = [put_message(space, kind, name, text="t") for name in "ac"]
    bad = put_message(space, kind, "b", importance=1.5)
    with refused(InvalidArgument, "INVALID_REQUEST", "puts[1].memory.importance"):
        await put(door, good[0], bad, good[1])
    assert await space.count(kind) == 0


@EVERY_STORE
async def test_one_bad_kind_fails_the_put_of_all_routes(
    door: Door, space: AsyncScope, kind: Kind
) -> None:
    other = Kind.PROCEDURAL if kind is Kind.SEMANTIC else Kind.SEMANTIC
    bad = put_message(space, other, "b", text="NUL \0")
    with refused(InvalidArgument, "INVALID_REQUEST", "puts[1].memory.text"):
        await put(door, put_message(space, kind, "a"), bad)
    assert await space.count(kind) == 0


@EVERY_STORE
async def test_one_bad_shape_fails_the_update_and_nothing_is_written(
    door: Door, space: AsyncScope, kind: Kind
) -> None:
    await put_all(space, [Put(space.ref(kind, name), text="old") for name in "ab"])
    updates = [
        pb.MemoryUpdate(ref=ref_message(space.ref(kind, "a")), text="new"),
        pb.MemoryUpdate(ref=ref_message(space.ref(kind, "b")), importance=-0.1),
    ]
    with refused(InvalidArgument, "INVALID_REQUEST", "updates[1].importance"):
        await call(
            door,
            "UpdateMemories",
            pb.UpdateMemoriesRequest(updates=updates),
            pb.UpdateMemoriesResponse,
        )
    assert (await there(space, kind, "a")).text == "old"


@EVERY_STORE
async def test_one_bad_shape_fails_the_delete_and_nothing_is_deleted(
    door: Door, space: AsyncScope, kind: Kind
) -> None:
    await space.put(kind, "a")
    deletes = [
        pb.MemoryDelete(ref=ref_message(space.ref(kind, "a"))),
        pb.MemoryDelete(ref=ref_message(space.ref(kind, ""))),
    ]
    with refused(InvalidArgument, "INVALID_REQUEST", "deletes[1].ref.key"):
        await call(
            door,
            "DeleteMemories",
            pb.DeleteMemoriesRequest(deletes=deletes),
            pb.DeleteMemoriesResponse,
        )
    assert await keys_listed(space, kind) == ["a"]


@EVERY_STORE
async def test_one_bad_ref_fails_the_get(door: Door, space: AsyncScope, kind: Kind) -> None:
    refs = [ref_message(space.ref(kind, "a")), memory_pb2.MemoryRef(key="b")]
    with refused(InvalidArgument, "INVALID_REQUEST", "refs[1].kind"):
        await call(door, "GetMemories", pb.GetMemoriesRequest(refs=refs), pb.GetMemoriesResponse)


@EVERY_KIND
async def test_what_only_the_store_knows_is_said_per_item(space: AsyncScope, kind: Kind) -> None:
    await put_all(space, [Put(space.ref(kind, "old"), text="old")])
    puts = await space.put_many(
        [
            Put(space.ref(kind, "a"), text="a"),
            Put(space.ref(kind, "old"), text="new", if_absent=True),
            Put(space.ref(kind, "b"), text="b", if_match="no"),
            Put(space.ref(kind, "c"), text="c"),
        ]
    )
    assert [result.ok for result in puts] == [True, False, False, True]
    updates = await space.update_many(
        [Update(space.ref(kind, "missing"), text="x"), Update(space.ref(kind, "a"), text="A")]
    )
    failed(updates[0], NotFound, "MEMORY_NOT_FOUND")
    assert updates[1].outcome is Outcome.UPDATED
    deletes = await space.delete_many(
        [Delete(space.ref(kind, "c"), if_match="no"), Delete(space.ref(kind, "a"))]
    )
    assert [result.ok for result in deletes] == [False, True]
    assert await keys_listed(space, kind) == ["c", "old"]
    assert (await there(space, kind, "old")).text == "old"


@EVERY_KIND
async def test_the_same_ref_twice_in_a_write_is_refused(
    door: Door, space: AsyncScope, kind: Kind
) -> None:
    ref = ref_message(space.ref(kind, "k"))
    puts = [put_message(space, kind, name, text="t") for name in ("k", "other", "k")]
    with refused(InvalidArgument, "INVALID_REQUEST", "puts[2]"):
        await put(door, *puts)
    assert await space.count(kind) == 0
    await space.put(kind, "k", text="old")
    updates = [pb.MemoryUpdate(ref=ref, text=text) for text in ("one", "two")]
    with refused(InvalidArgument, "INVALID_REQUEST", "updates[1]"):
        await call(
            door,
            "UpdateMemories",
            pb.UpdateMemoriesRequest(updates=updates),
            pb.UpdateMemoriesResponse,
        )
    assert (await there(space, kind, "k")).text == "old"
    with refused(InvalidArgument, "INVALID_REQUEST", "deletes[1]"):
        await call(
            door,
            "DeleteMemories",
            pb.DeleteMemoriesRequest(deletes=[pb.MemoryDelete(ref=ref)] * 2),
            pb.DeleteMemoriesResponse,
        )
    assert await space.get(kind, "k") is not None


async def test_one_key_in_two_namespaces_or_kinds_is_not_the_same_ref(space: AsyncScope) -> None:
    scopes = (space, space.scope("below"))
    refs = [scope.ref(kind, "k") for scope in scopes for kind in Kind]
    await put_all(space, [Put(ref, text=str(ref)) for ref in refs])
    found = await space.get_many(refs)
    assert [memory.text for memory in found if memory] == [str(ref) for ref in refs]


async def test_nothing_to_write_is_refused(door: Door) -> None:
    with refused(InvalidArgument, "INVALID_REQUEST", "puts"):
        await put(door)
    with refused(InvalidArgument, "INVALID_REQUEST", "updates"):
        await call(door, "UpdateMemories", pb.UpdateMemoriesRequest(), pb.UpdateMemoriesResponse)
    with refused(InvalidArgument, "INVALID_REQUEST", "queries"):
        await call(door, "SearchMemories", pb.SearchMemoriesRequest(), pb.SearchMemoriesResponse)


@EVERY_KIND
async def test_field_28_no_refs_delete_and_read_nothing(
    door: Door, space: AsyncScope, kind: Kind
) -> None:
    await put_all(space, [Put(space.ref(kind, name)) for name in "abc"])
    deleted = await call(
        door, "DeleteMemories", pb.DeleteMemoriesRequest(), pb.DeleteMemoriesResponse
    )
    assert len(deleted.results) == 0
    read = await call(door, "GetMemories", pb.GetMemoriesRequest(), pb.GetMemoriesResponse)
    assert len(read.results) == 0
    assert len(await space.delete_many([])) == 0
    assert await keys_listed(space, kind) == ["a", "b", "c"]


async def test_every_broken_rule_is_named_at_once(door: Door, space: AsyncScope) -> None:
    infinity = value_pb2.Value(double_value=float("inf"))
    empty = value_pb2.Value()
    puts = [
        pb.MemoryPut(),
        put_message(
            space,
            Kind.SEMANTIC,
            "k",
            text="NUL \0",
            attributes={"@mine": empty, "n": infinity},
            value=empty,
            episode=memory_pb2.Episode(session_id="s"),
            importance=2.0,
            vector=b"123",
            etag="mine",
            revision=1,
        ),
        put_message(space, Kind.PROCEDURAL, "p", vector=b"\0\0\x80\x3f"),
        put_message(space, Kind.EPISODIC, "e", episode=memory_pb2.Episode(type=99)),  # type: ignore[arg-type]
    ]
    puts[1].expiry.ttl.seconds = -1
    puts[1].precondition.if_present = False
    puts[2].expiry.SetInParent()
    puts[2].memory.ref.namespace.extend(["", "e\u0301", "x" * 257])
    with refused() as refusal:
        await put(door, *puts, request_id="x" * 129)
    at = len(space.namespace)
    expected = {
        "puts[0].memory.ref.kind",
        "puts[1].memory.text",
        "puts[1].memory.attributes['@mine']",
        "puts[1].memory.attributes['n']",
        "puts[1].memory.value",
        "puts[1].memory.episode",
        "puts[1].memory.importance",
        "puts[1].memory.vector",
        "puts[1].memory.etag",
        "puts[1].memory.revision",
        "puts[1].expiry.ttl",
        "puts[1].precondition.if_present",
        "puts[2].memory.vector",
        "puts[2].expiry",
        *(f"puts[2].memory.ref.namespace[{at + number}]" for number in range(3)),
        "puts[3].memory.episode.type",
        "request_id",
    }
    assert refusal.fields == expected
    assert refusal.error.metadata["violations"] == str(len(refusal.error.violations))
    assert all(violation.description for violation in refusal.error.violations)


async def test_every_output_only_field_is_refused(door: Door, space: AsyncScope) -> None:
    message = put_message(space, Kind.SEMANTIC, "k")
    memory = message.memory
    memory.etag, memory.revision, memory.content_hash, memory.searchable = "e", 1, "h", True
    for field in ("create_time", "update_time", "expire_time", "embedding", "provenance"):
        getattr(memory, field).SetInParent()
    with refused() as refusal:
        await put(door, message)
    names = (
        *("etag", "revision", "create_time", "update_time", "expire_time", "content_hash"),
        *("embedding", "provenance", "searchable"),
    )
    assert refusal.fields == {f"puts[0].memory.{name}" for name in names}


async def test_a_reply_to_a_wholly_broken_request_stays_small(
    door: Door, space: AsyncScope
) -> None:
    with refused() as refusal:
        await put(door, *(pb.MemoryPut() for _ in range(1000)))
    assert 1 <= len(refusal.error.violations) <= 1000
    assert sum(len(each.description) for each in refusal.error.violations) < 100_000


_LEVELS = [Durability.BUFFERED, Durability.PROCESS, Durability.DISK]


@EVERY_KIND
async def test_a_durability_that_is_reached_is_granted(
    client: AsyncClient, space: AsyncScope, kind: Kind
) -> None:
    reached = (await client.status())[kind].durability
    if reached is Durability.MANAGED:
        granted = [Durability.BUFFERED, Durability.PROCESS, Durability.MANAGED]
    else:
        granted = _LEVELS[: _LEVELS.index(reached) + 1]
    for level in granted:
        name = level.value
        written = await space.put(kind, name, text="t", min_durability=level)
        assert written.durability is reached
        updated = await space.update(kind, name, text="u", min_durability=level)
        assert updated.durability is reached
        assert (await space.delete(kind, name, min_durability=level)).outcome is Outcome.DELETED


@EVERY_KIND
async def test_a_durability_that_is_not_reached_is_refused_and_nothing_is_written(
    client: AsyncClient, space: AsyncScope, kind: Kind
) -> None:
    reached = (await client.status())[kind].durability
    if reached is Durability.MANAGED:
        beyond = [Durability.DISK]
    else:
        beyond = [*_LEVELS[_LEVELS.index(reached) + 1 :], Durability.MANAGED]
    await space.put(kind, "there", text="old")
    for level in beyond:
        for write in (
            space.put(kind, "new", min_durability=level),
            space.update(kind, "there", text="new", min_durability=level),
            space.delete(kind, "there", min_durability=level),
        ):
            with refused(FailedPrecondition, "DURABILITY_UNAVAILABLE") as refusal:
                await write
            asked, route = refusal.error.metadata["asked"], refusal.error.metadata["route"]
            assert (asked, route) == (level.name, reached.name)
    assert await keys_listed(space, kind) == ["there"]
    assert (await there(space, kind, "there")).text == "old"


@pytest.mark.parametrize("number", [durability_pb2.DURABILITY_SPOOLED, 99])
async def test_a_durability_that_nobody_can_ask_for_is_refused(
    door: Door, space: AsyncScope, number: int
) -> None:
    with refused(InvalidArgument, "INVALID_REQUEST", "min_durability"):
        await put(door, put_message(space, Kind.SEMANTIC, key()), min_durability=number)
    assert await space.count(Kind.SEMANTIC) == 0
