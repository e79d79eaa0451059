"""Several key-values as one: all is written, or nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from memplane import (
    Aborted,
    AlreadyExists,
    AsyncScope,
    Capabilities,
    Delete,
    FailedPrecondition,
    Kind,
    MemplaneError,
    NotFound,
    Outcome,
    Put,
    Ref,
    Unimplemented,
    WriteResults,
)
from memplane_adapters.conformance.memories.helpers import (
    ON_THE_SESSION_LOOP,
    SEARCHED,
    failed,
    key,
    needs,
    put_all,
    refused,
    there,
)

pytestmark = ON_THE_SESSION_LOOP

KIND = Kind.PROCEDURAL
WRITERS = 16


@pytest.fixture
def atomic(abilities: Capabilities) -> None:
    """Most cases need a store that is atomic."""
    needs(abilities[KIND].atomic, "atomic batches")


WHERE_ATOMIC = pytest.mark.usefixtures("atomic")


def outcomes(results: WriteResults) -> list[Outcome]:
    return [result.outcome for result in results]


def puts(space: AsyncScope, keys: str = "abc", **content: Any) -> list[Put]:
    return [Put(space.ref(KIND, name), **content) for name in keys]


def only(results: WriteResults, index: int, kind: type[MemplaneError], reason: str) -> None:
    """One item was refused, and the others because of it."""
    for number, result in enumerate(results):
        if number == index:
            failed(result, kind, reason)
        else:
            error = failed(result, Aborted, "ATOMIC_REFUSED")
            assert error.metadata["refused"] == f"{index}"


async def state(space: AsyncScope, keys: str = "abcd") -> dict[str, Any]:
    """What is there, by key."""
    found = await space.get_many([space.ref(KIND, name) for name in keys])
    return {memory.key: memory.value for memory in found if memory is not None}


@WHERE_ATOMIC
async def test_all_is_written(space: AsyncScope) -> None:
    assert (
        outcomes(await space.put_many(puts(space, value=1), atomic=True)) == [Outcome.CREATED] * 3
    )
    mixed = [*puts(space, "ab", value=1), *puts(space, "cd", value=2)]
    results = await space.put_many(mixed, atomic=True)
    assert outcomes(results) == [
        Outcome.UNCHANGED,
        Outcome.UNCHANGED,
        Outcome.UPDATED,
        Outcome.CREATED,
    ]
    assert await state(space) == {"a": 1, "b": 1, "c": 2, "d": 2}
    for result in results:
        assert (await there(space, KIND, result.ref.key)).etag == result.etag


@pytest.mark.parametrize(
    "refusal",
    [
        ("a", {"if_absent": True}, AlreadyExists, "MEMORY_EXISTS"),
        ("a", {"if_match": "stale"}, Aborted, "ETAG_MISMATCH"),
        ("c", {"if_match": "stale"}, FailedPrecondition, "ETAG_ON_MISSING"),
        ("c", {"if_present": True}, NotFound, "MEMORY_NOT_FOUND"),
    ],
    ids=lambda refusal: refusal[3],
)
@pytest.mark.parametrize("index", [0, 1, 3])
@WHERE_ATOMIC
async def test_one_refused_put_refuses_all(
    space: AsyncScope, index: int, refusal: tuple[str, dict[str, Any], type[MemplaneError], str]
) -> None:
    name, condition, kind, reason = refusal
    before = await put_all(space, puts(space, "ab", value=1))
    batch = [
        *puts(space, "b", value=1),  # would change nothing
        *puts(space, "de", value=2),
    ]
    batch.insert(index, Put(space.ref(KIND, name), value=3, **condition))
    only(await space.put_many(batch, atomic=True), index, kind, reason)
    assert await state(space, "abcde") == {"a": 1, "b": 1}
    assert (await there(space, KIND, "a")).etag == before[0].etag
    # The same items one by one: those that can be are written.
    results = await space.put_many(batch)
    assert [result.ok for result in results] == [number != index for number in range(4)]


@WHERE_ATOMIC
async def test_all_is_deleted(space: AsyncScope) -> None:
    await put_all(space, puts(space, value=1))
    refs = [space.ref(KIND, name) for name in "abx"]
    results = await space.delete_many(refs, atomic=True)
    assert outcomes(results) == [Outcome.DELETED, Outcome.DELETED, Outcome.MISSING]
    assert await state(space) == {"c": 1}


@WHERE_ATOMIC
async def test_one_refused_delete_refuses_all(space: AsyncScope) -> None:
    await put_all(space, puts(space, value=1))
    a, c = space.ref(KIND, "a"), space.ref(KIND, "c")
    refs: list[Ref | Delete] = [a, Delete(space.ref(KIND, "b"), if_match="stale"), c]
    only(await space.delete_many(refs, atomic=True), 1, Aborted, "ETAG_MISMATCH")
    refs = [Delete(space.ref(KIND, "x"), if_present=True), a]
    only(await space.delete_many(refs, atomic=True), 0, NotFound, "MEMORY_NOT_FOUND")
    assert await state(space) == {"a": 1, "b": 1, "c": 1}


@WHERE_ATOMIC
async def test_it_takes_one_namespace(space: AsyncScope) -> None:
    below = space.scope("below")
    batch = [*puts(space, "a"), *puts(below, "a")]
    field = "puts[1].memory.ref.namespace"
    with refused() as refusal:
        await space.put_many(batch, atomic=True)
    assert refusal.fields == {field}
    with refused() as refusal:
        await space.delete_many([each.ref for each in batch], atomic=True)
    assert refusal.fields == {"deletes[1].ref.namespace"}
    assert await space.count(KIND) == 0


@SEARCHED
async def test_it_takes_key_values_alone(space: AsyncScope, kind: Kind) -> None:
    batch = [*puts(space, "a"), Put(space.ref(kind, "b"), text="t")]
    with refused() as refusal:
        await space.put_many(batch, atomic=True)
    assert refusal.fields == {"puts[1].memory.ref.kind"}
    with refused() as refusal:
        await space.delete_many([each.ref for each in batch], atomic=True)
    assert refusal.fields == {"deletes[1].ref.kind"}
    assert await space.count(KIND) == await space.count(kind) == 0


async def test_a_store_that_is_not_atomic_says_so(
    space: AsyncScope, abilities: Capabilities
) -> None:
    needs(not abilities[KIND].atomic, "lack of atomic batches")
    with refused(Unimplemented, "CAPABILITY_MISSING"):
        await space.put_many(puts(space), atomic=True)
    with refused(Unimplemented, "CAPABILITY_MISSING"):
        await space.delete_many([space.ref(KIND, "a")], atomic=True)
    assert await space.count(KIND) == 0


@WHERE_ATOMIC
async def test_batches_at_once_do_not_mix(space: AsyncScope) -> None:
    batches = [puts(space, value=number) for number in range(WRITERS)]
    answers = await asyncio.gather(*(space.put_many(each, atomic=True) for each in batches))
    for results in answers:
        results.raise_for_error()
    values = set((await state(space)).values())
    assert len(values) == 1
    # The revisions of one batch lie between those of no other for any of its keys.
    orders = [
        sorted(range(WRITERS), key=lambda batch: answers[batch][index].revision)
        for index in range(3)
    ]
    assert orders[0] == orders[1] == orders[2]
    assert values == {orders[0][-1]}


@WHERE_ATOMIC
async def test_what_is_moved_is_never_lost_or_doubled(space: AsyncScope) -> None:
    await put_all(space, puts(space, "ab", value=100))

    async def move(amount: int) -> None:
        while True:
            a, b = [await there(space, KIND, name) for name in "ab"]
            batch = [
                Put(a.ref, value=a.value - amount, if_match=a.etag),
                Put(b.ref, value=b.value + amount, if_match=b.etag),
            ]
            results = await space.put_many(batch, atomic=True)
            if all(result.ok for result in results):
                return
            reasons = {result.error.reason for result in results if result.error is not None}
            assert reasons <= {"ETAG_MISMATCH", "ATOMIC_REFUSED"}

    await asyncio.gather(*(move(amount) for amount in range(1, 11)))
    assert await state(space) == {"a": 45, "b": 155}


@WHERE_ATOMIC
async def test_puts_and_deletes_at_once_leave_all_or_nothing(space: AsyncScope) -> None:
    refs = [space.ref(KIND, name) for name in "abc"]
    for _ in range(5):
        await asyncio.gather(
            *(space.put_many(puts(space, value=n), atomic=True) for n in range(4)),
            *(space.delete_many(refs, atomic=True) for _ in range(4)),
        )
        found = await state(space)
        assert len(found) in (0, 3)
        assert len(set(found.values())) <= 1


@WHERE_ATOMIC
async def test_a_retry_is_recognised_as_a_whole(space: AsyncScope) -> None:
    await put_all(space, puts(space, "a", value=1))
    batch, request_id = puts(space, value=1), key()
    first = await space.put_many(batch, atomic=True, request_id=request_id)
    assert outcomes(first) == [Outcome.UNCHANGED, Outcome.CREATED, Outcome.CREATED]
    await space.put(KIND, "a", value=2)
    await space.delete(KIND, "b")
    again = await space.put_many(batch, atomic=True, request_id=request_id)
    assert [result.replayed for result in again] == [True] * 3
    assert again[2].outcome is Outcome.CREATED
    assert again[2].etag == first[2].etag
    assert await state(space) == {"a": 2, "c": 1}
    with refused(AlreadyExists, "REQUEST_ID_REUSED"):
        await space.put_many(batch, request_id=request_id)


@WHERE_ATOMIC
async def test_a_retried_delete_is_recognised(space: AsyncScope) -> None:
    await put_all(space, puts(space, "ab", value=1))
    refs, request_id = [space.ref(KIND, name) for name in "ab"], key()
    first = await space.delete_many(refs, atomic=True, request_id=request_id)
    assert outcomes(first) == [Outcome.DELETED] * 2
    await space.put(KIND, "a", value=2)
    again = await space.delete_many(refs, atomic=True, request_id=request_id)
    assert outcomes(again) == [Outcome.DELETED] * 2
    assert [result.replayed for result in again] == [True] * 2
    assert await state(space) == {"a": 2}
