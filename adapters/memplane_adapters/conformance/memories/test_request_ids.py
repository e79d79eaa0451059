"""Writes that are sent again with their request id take effect once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from memplane import (
    Aborted,
    AlreadyExists,
    AsyncScope,
    Capabilities,
    Delete,
    Kind,
    Outcome,
    Put,
    Ref,
    Update,
    WriteResult,
)
from memplane.v1 import memory_service_pb2 as pb
from memplane_adapters.conformance.memories.doors import Door, call
from memplane_adapters.conformance.memories.fixtures import Opened, fresh_label
from memplane_adapters.conformance.memories.helpers import (
    EVERY_KIND,
    EVERY_STORE,
    ON_THE_SESSION_LOOP,
    expired,
    failed,
    key,
    needs,
    ref_message,
    refused,
    there,
)

pytestmark = ON_THE_SESSION_LOOP

REMEMBERED = 16
CALLERS = 20


def same(again: WriteResult, first: WriteResult) -> None:
    """The retry heard what the first try did, to the last detail."""
    assert (first.replayed, again.replayed) == (False, True)
    assert again.ref == first.ref
    assert again.outcome is first.outcome
    assert (again.etag, again.revision) == (first.etag, first.revision)
    assert (again.create_time, again.update_time) == (first.create_time, first.update_time)
    assert again.expire_time == first.expire_time
    assert again.searchable == first.searchable


def same_version(again: WriteResult, first: WriteResult) -> None:
    """The retry heard of the first try, whose memory others have written since."""
    assert again.replayed
    assert again.outcome is first.outcome
    assert (again.etag, again.revision) == (first.etag, first.revision)
    assert again.create_time == first.create_time
    assert (again.update_time, again.expire_time) == (None, None)


async def patiently(send: Callable[[], Awaitable[WriteResult]]) -> WriteResult:
    """Sends a call again while it is still running."""
    while True:
        try:
            return await send()
        except Aborted as error:
            if error.reason != "REQUEST_RUNNING" or error.retry_after is None:
                raise
            await asyncio.sleep(0)


# --- puts and updates ---------------------------------------------------------------------------


@EVERY_KIND
async def test_a_retried_put_hears_the_first_outcome(space: AsyncScope, kind: Kind) -> None:
    content: dict[str, Any] = {"text": "t", "attributes": {"n": 1}, "value": [1], "ttl": 3600}
    request_id = key()
    first = await space.put(kind, "k", **content, request_id=request_id)
    assert first.outcome is Outcome.CREATED
    for _ in range(2):
        same(await space.put(kind, "k", **content, request_id=request_id), first)
    request_id = key()
    second = await space.put(kind, "k", text="other", request_id=request_id)
    assert second.outcome is Outcome.UPDATED
    same(await space.put(kind, "k", text="other", request_id=request_id), second)
    assert (await there(space, kind, "k")).etag == second.etag


@EVERY_STORE
async def test_field_54_a_retried_update_hears_the_first_outcome(
    space: AsyncScope, kind: Kind
) -> None:
    await space.put(kind, "k", attributes={"n": 0})
    request_id = key()
    first = await space.update(kind, "k", attributes={"n": 1}, request_id=request_id)
    assert first.outcome is Outcome.UPDATED
    same(await space.update(kind, "k", attributes={"n": 1}, request_id=request_id), first)
    await space.update(kind, "k", attributes={"n": 2})
    again = await space.update(kind, "k", attributes={"n": 1}, request_id=request_id)
    same_version(again, first)
    assert (await there(space, kind, "k")).attributes == {"n": 2}


@EVERY_KIND
async def test_a_retry_after_other_writes_undoes_none_of_them(
    space: AsyncScope, kind: Kind
) -> None:
    request_id = key()
    first = await space.put(kind, "k", text="first", request_id=request_id)
    await space.put(kind, "k", text="second")
    last = await space.update(kind, "k", attributes={"n": 1})
    same_version(await space.put(kind, "k", text="first", request_id=request_id), first)
    memory = await there(space, kind, "k")
    assert (memory.text, memory.attributes, memory.etag) == ("second", {"n": 1}, last.etag)


@EVERY_STORE
async def test_a_retry_meets_every_precondition(space: AsyncScope, kind: Kind) -> None:
    ids = [key() for _ in range(4)]
    created = await space.put(kind, "k", text="1", if_absent=True, request_id=ids[0])
    again = await space.put(kind, "k", text="1", if_absent=True, request_id=ids[0])
    same(again, created)
    matched = await space.put(kind, "k", text="2", if_match=created.etag, request_id=ids[1])
    again = await space.put(kind, "k", text="2", if_match=created.etag, request_id=ids[1])
    same(again, matched)
    present = await space.put(kind, "k", text="3", if_present=True, request_id=ids[2])
    updated = await space.update(kind, "k", text="4", if_match=present.etag, request_id=ids[3])
    again = await space.update(kind, "k", text="4", if_match=present.etag, request_id=ids[3])
    same(again, updated)
    # And once more, now that others have written since.
    again = await space.put(kind, "k", text="1", if_absent=True, request_id=ids[0])
    same_version(again, created)
    again = await space.put(kind, "k", text="2", if_match=created.etag, request_id=ids[1])
    same_version(again, matched)
    again = await space.put(kind, "k", text="3", if_present=True, request_id=ids[2])
    same_version(again, present)
    assert (await there(space, kind, "k")).text == "4"


@EVERY_STORE
@pytest.mark.parametrize(
    "other",
    [
        {"text": "u"},
        {"text": "t", "attributes": {"n": 1}},
        {"text": "t", "value": None},
        {"text": "t", "ttl": 60},
        {"text": "t", "if_present": True},
    ],
    ids=["text", "attributes", "value", "expiry", "precondition"],
)
async def test_the_id_of_another_body_is_refused(
    space: AsyncScope, kind: Kind, other: dict[str, Any]
) -> None:
    request_id = key()
    first = await space.put(kind, "k", text="t", request_id=request_id)
    with refused(AlreadyExists, "REQUEST_ID_REUSED") as refusal:
        await space.put(kind, "k", **other, request_id=request_id)
    assert refusal.error.metadata["request_id"] == request_id
    same(await space.put(kind, "k", text="t", request_id=request_id), first)
    memory = await there(space, kind, "k")
    assert (memory.text, memory.etag) == ("t", first.etag)


@EVERY_STORE
async def test_an_id_covers_the_whole_call(space: AsyncScope, kind: Kind) -> None:
    a, b, c = (Put(space.ref(kind, name), text=name) for name in "abc")
    request_id = key()
    first = await space.put_many([a, b], request_id=request_id)
    for others in ([b, a], [a], [a, b, c], [c, b], [Put(a.ref, text="other"), b]):
        with refused(AlreadyExists, "REQUEST_ID_REUSED"):
            await space.put_many(others, request_id=request_id)
    again = await space.put_many([a, b], request_id=request_id)
    for one, other in zip(again, first, strict=True):
        same(one, other)
    assert await space.count(kind) == 2


@EVERY_STORE
async def test_attributes_in_another_order_are_the_same_body(space: AsyncScope, kind: Kind) -> None:
    names = [f"name-{number}" for number in range(20)]
    request_id = key()
    first = await space.put(kind, "k", attributes=dict.fromkeys(names, 1), request_id=request_id)
    backwards = dict.fromkeys(reversed(names), 1)
    same(await space.put(kind, "k", attributes=backwards, request_id=request_id), first)


@EVERY_STORE
async def test_an_id_is_scoped_to_its_rpc(space: AsyncScope, kind: Kind) -> None:
    request_id = key()
    created = await space.put(kind, "k", text="t", request_id=request_id)
    updated = await space.update(kind, "k", text="u", request_id=request_id)
    assert (updated.outcome, updated.replayed) == (Outcome.UPDATED, False)
    same_version(await space.put(kind, "k", text="t", request_id=request_id), created)
    same(await space.update(kind, "k", text="u", request_id=request_id), updated)
    deleted = await space.delete(kind, "k", request_id=request_id)
    assert (deleted.outcome, deleted.replayed) == (Outcome.DELETED, False)


@EVERY_STORE
async def test_what_was_refused_is_decided_anew(space: AsyncScope, kind: Kind) -> None:
    await space.put(kind, "b", text="in the way")
    puts = [
        Put(space.ref(kind, "a"), text="t"),
        Put(space.ref(kind, "b"), text="t", if_absent=True),
    ]
    request_id = key()
    first = await space.put_many(puts, request_id=request_id)
    failed(first[1], AlreadyExists, "MEMORY_EXISTS")
    again = await space.put_many(puts, request_id=request_id)
    same(again[0], first[0])
    failed(again[1], AlreadyExists, "MEMORY_EXISTS")
    await space.delete(kind, "b")
    again = await space.put_many(puts, request_id=request_id)
    same(again[0], first[0])
    assert (again[1].outcome, again[1].replayed) == (Outcome.CREATED, False)
    request_id = key()
    with pytest.raises(AlreadyExists):
        await space.put(kind, "b", text="no", if_absent=True, request_id=request_id)
    assert (await there(space, kind, "b")).text == "t"


@EVERY_STORE
async def test_what_was_unchanged_is_decided_anew(space: AsyncScope, kind: Kind) -> None:
    await space.put(kind, "k", text="t")
    request_id = key()
    first = await space.put(kind, "k", text="t", request_id=request_id)
    again = await space.put(kind, "k", text="t", request_id=request_id)
    assert [each.outcome for each in (first, again)] == [Outcome.UNCHANGED] * 2
    assert [each.replayed for each in (first, again)] == [False] * 2
    await space.put(kind, "k", text="other")
    again = await space.put(kind, "k", text="t", request_id=request_id)
    assert (again.outcome, again.replayed) == (Outcome.UPDATED, False)


@EVERY_STORE
async def test_a_memory_remembers_its_last_16_writes(space: AsyncScope, kind: Kind) -> None:
    request_id = key()
    first = await space.put(kind, "k", value=-1, request_id=request_id)
    for number in range(REMEMBERED - 1):
        await space.put(kind, "k", value=number, request_id=key())
    same_version(await space.put(kind, "k", value=-1, request_id=request_id), first)
    await space.update(kind, "k", value="one too many", request_id=key())
    again = await space.put(kind, "k", value=-1, request_id=request_id)
    assert (again.outcome, again.replayed) == (Outcome.UPDATED, False)


@EVERY_STORE
async def test_writes_without_an_id_push_none_out(
    door: Door, space: AsyncScope, kind: Kind
) -> None:
    request_id = key()
    first = await space.put(kind, "k", text="first", request_id=request_id)
    for number in range(REMEMBERED + 4):
        put = pb.MemoryPut()
        put.memory.ref.CopyFrom(ref_message(space.ref(kind, "k")))
        put.memory.text = f"{number}"
        request = pb.PutMemoriesRequest(puts=[put])
        reply = await call(door, "PutMemories", request, pb.PutMemoriesResponse)
        assert not reply.results[0].replayed
    same_version(await space.put(kind, "k", text="first", request_id=request_id), first)


@EVERY_STORE
async def test_a_key_that_was_minted_belongs_to_its_call(space: AsyncScope, kind: Kind) -> None:
    request_id = key()
    first = await space.put(kind, text="t", request_id=request_id)
    same(await space.put(kind, text="t", request_id=request_id), first)
    with refused(AlreadyExists, "REQUEST_ID_REUSED"):
        await space.put(kind, text="other", request_id=request_id)
    await space.update(first.ref, text="changed")
    same_version(await space.put(kind, text="t", request_id=request_id), first)
    assert await space.count(kind) == 1


@EVERY_STORE
async def test_a_retry_does_not_revive_what_has_expired(
    space: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    needs(not abilities[kind].expiry, "rows that outlive their expiry")
    request_id = key()
    first = await expired(space, kind, "k", text="t", request_id=request_id)
    same(await space.put(kind, "k", text="t", ttl=0.02, request_id=request_id), first)
    assert await space.get(kind, "k") is None
    second = await space.put(kind, "k", text="new", request_id=key())
    assert second.outcome is Outcome.CREATED
    again = await space.put(kind, "k", text="t", ttl=0.02, request_id=request_id)
    assert (again.outcome, again.etag, again.replayed) == (Outcome.CREATED, first.etag, True)
    assert (await there(space, kind, "k")).text == "new"


# --- deletes ------------------------------------------------------------------------------------


@EVERY_STORE
async def test_a_retried_delete_leaves_what_was_made_since(space: AsyncScope, kind: Kind) -> None:
    etag = (await space.put(kind, "k", text="old")).etag
    request_id = key()
    first = await space.delete(kind, "k", if_match=etag, request_id=request_id)
    assert (first.outcome, first.replayed) == (Outcome.DELETED, False)
    await space.put(kind, "k", text="new")
    again = await space.delete(kind, "k", if_match=etag, request_id=request_id)
    assert (again.ref, again.outcome, again.replayed) == (first.ref, Outcome.DELETED, True)
    assert (await there(space, kind, "k")).text == "new"


@EVERY_STORE
async def test_a_retried_delete_of_what_was_missing(space: AsyncScope, kind: Kind) -> None:
    request_id = key()
    first = await space.delete(kind, "k", request_id=request_id)
    assert (first.outcome, first.replayed) == (Outcome.MISSING, False)
    await space.put(kind, "k", text="new")
    again = await space.delete(kind, "k", request_id=request_id)
    assert (again.outcome, again.replayed) == (Outcome.MISSING, True)
    assert await space.count(kind) == 1


@EVERY_STORE
async def test_the_id_of_another_delete_is_refused(space: AsyncScope, kind: Kind) -> None:
    await space.put_many([Put(space.ref(kind, name)) for name in "abc"])
    a, b, c = (space.ref(kind, name) for name in "abc")
    request_id = key()
    await space.delete_many([a], request_id=request_id)
    for others in ([b], [a, b], [Delete(a, if_present=True)], [c, a]):
        with refused(AlreadyExists, "REQUEST_ID_REUSED") as refusal:
            await space.delete_many(others, request_id=request_id)
        assert refusal.error.metadata["request_id"] == request_id
    assert await space.count(kind) == 2


@EVERY_STORE
async def test_a_refused_delete_is_decided_anew(space: AsyncScope, kind: Kind) -> None:
    await space.put(kind, "a")
    deletes: list[Ref | Delete] = [
        space.ref(kind, "a"),
        Delete(space.ref(kind, "b"), if_present=True),
    ]
    request_id = key()
    first = await space.delete_many(deletes, request_id=request_id)
    assert [each.outcome for each in first] == [Outcome.DELETED, Outcome.UNKNOWN]
    await space.put_many([Put(space.ref(kind, name)) for name in "ab"])
    again = await space.delete_many(deletes, request_id=request_id)
    assert [each.outcome for each in again] == [Outcome.DELETED] * 2
    assert [each.replayed for each in again] == [True, False]
    assert await space.get(kind, "a") is not None
    assert await space.get(kind, "b") is None
    again = await space.delete_many(deletes, request_id=request_id)
    assert [each.replayed for each in again] == [True, True]


# --- at once, and after a restart -----------------------------------------------------------------


@EVERY_STORE
async def test_field_32_twenty_callers_with_one_id_make_one_memory(
    space: AsyncScope, kind: Kind
) -> None:
    for round_ in range(5):
        request_id = key()

        async def send(request_id: str = request_id, text: str = f"{round_}") -> WriteResult:
            return await space.put(kind, text=text, request_id=request_id)

        results = await asyncio.gather(*(patiently(send) for _ in range(CALLERS)))
        assert {result.outcome for result in results} == {Outcome.CREATED}
        assert len({(result.ref, result.revision, result.etag) for result in results}) == 1
        assert sum(not result.replayed for result in results) == 1
    assert await space.count(kind) == 5


@EVERY_STORE
async def test_twenty_callers_with_one_id_make_one_change(space: AsyncScope, kind: Kind) -> None:
    etag = (await space.put(kind, "k", value=0)).etag
    ids = [key(), key()]
    results = await asyncio.gather(
        *(
            patiently(
                lambda: space.put(kind, "k", value=1, if_match=etag, request_id=ids[0]),
            )
            for _ in range(CALLERS)
        )
    )
    assert len({result.revision for result in results}) == 1
    assert sum(not result.replayed for result in results) == 1
    results = await asyncio.gather(
        *(
            patiently(lambda: space.update(kind, "k", attributes={"n": 1}, request_id=ids[1]))
            for _ in range(CALLERS)
        )
    )
    assert len({result.revision for result in results}) == 1
    assert sum(not result.replayed for result in results) == 1


@EVERY_STORE
async def test_twenty_callers_with_one_id_delete_once(space: AsyncScope, kind: Kind) -> None:
    await space.put(kind, "k")
    request_id = key()
    results = await asyncio.gather(
        *(patiently(lambda: space.delete(kind, "k", request_id=request_id)) for _ in range(CALLERS))
    )
    assert {result.outcome for result in results} == {Outcome.DELETED}
    assert sum(not result.replayed for result in results) == 1


async def _persistent(door: Door, kind: Kind) -> None:
    status = await door.client.status()
    needs(status.routes[kind].persistent, "memory of its own over a restart")


@EVERY_STORE
async def test_a_retry_after_a_restart_is_recognised(another: Opened, kind: Kind) -> None:
    label, ids = fresh_label(), [key() for _ in range(3)]
    async with another() as door:
        await _persistent(door, kind)
        space = door.client.scope(label)
        created = await space.put(kind, "k", text="t", if_absent=True, request_id=ids[0])
        update = Update(space.ref(kind, "k"), attributes={"n": 1})
        (updated,) = await space.update_many([update], request_id=ids[1])
        await space.put(kind, "gone")
        await space.delete(kind, "gone", request_id=ids[2])
    async with another() as door:
        space = door.client.scope(label)
        await space.put(kind, "gone", text="back")
        again = await space.put(kind, "k", text="t", if_absent=True, request_id=ids[0])
        same_version(again, created)
        (again,) = await space.update_many([update], request_id=ids[1])
        same(again, updated)
        again = await space.delete(kind, "gone", request_id=ids[2])
        assert (again.outcome, again.replayed) == (Outcome.DELETED, True)
        assert (await there(space, kind, "gone")).text == "back"
        with refused(AlreadyExists, "REQUEST_ID_REUSED"):
            await space.put(kind, "k", text="other", request_id=ids[0])
        with refused(AlreadyExists, "REQUEST_ID_REUSED"):
            await space.delete(kind, "k", request_id=ids[2])
