"""Fifty writers at once: nothing is lost, nothing happens twice, time goes one way."""

from __future__ import annotations

import asyncio

from memplane import (
    Aborted,
    AlreadyExists,
    AsyncScope,
    Kind,
    MemplaneError,
    NotFound,
    Outcome,
    WriteResult,
)
from memplane_adapters.conformance.memories.helpers import (
    EVERY_STORE,
    ON_THE_SESSION_LOOP,
    there,
)

pytestmark = ON_THE_SESSION_LOOP

WRITERS = 50


@EVERY_STORE
async def test_if_match_lets_one_writer_win_each_round(space: AsyncScope, kind: Kind) -> None:
    first = await space.put(kind, "k", value=0)
    etag = first.etag
    revisions = [first.revision]
    for round_ in range(1, 4):
        results = await asyncio.gather(
            *(space.put(kind, "k", value=[round_, i], if_match=etag) for i in range(WRITERS)),
            return_exceptions=True,
        )
        won = [result for result in results if isinstance(result, WriteResult)]
        lost = [result for result in results if isinstance(result, MemplaneError)]
        assert len(won) == 1
        assert {(type(error), error.reason) for error in lost} == {(Aborted, "ETAG_MISMATCH")}
        assert {error.metadata["etag"] for error in lost} == {won[0].etag}
        etag = won[0].etag
        revisions.append(won[0].revision)
    assert revisions == sorted(set(revisions))
    assert (await there(space, kind, "k")).etag == etag


@EVERY_STORE
async def test_a_counter_under_if_match_loses_no_increment(space: AsyncScope, kind: Kind) -> None:
    await space.put(kind, "k", value=0)

    async def increment() -> WriteResult:
        while True:
            memory = await there(space, kind, "k")
            try:
                return await space.update(kind, "k", value=memory.value + 1, if_match=memory.etag)
            except Aborted:
                continue

    results = await asyncio.gather(*(increment() for _ in range(16)))
    assert (await there(space, kind, "k")).value == 16
    assert len({result.revision for result in results}) == 16


@EVERY_STORE
async def test_if_absent_lets_exactly_one_create(space: AsyncScope, kind: Kind) -> None:
    results = await asyncio.gather(
        *(space.put(kind, "k", value=i, if_absent=True) for i in range(WRITERS)),
        return_exceptions=True,
    )
    won = [result for result in results if isinstance(result, WriteResult)]
    lost = [result for result in results if isinstance(result, MemplaneError)]
    assert [result.outcome for result in won] == [Outcome.CREATED]
    assert {(type(error), error.reason) for error in lost} == {(AlreadyExists, "MEMORY_EXISTS")}
    memory = await there(space, kind, "k")
    assert memory.value == results.index(won[0])
    assert memory.etag == won[0].etag


@EVERY_STORE
async def test_puts_without_a_condition_all_take_effect_one_after_the_other(
    space: AsyncScope, kind: Kind
) -> None:
    results = await asyncio.gather(*(space.put(kind, "k", value=i) for i in range(WRITERS)))
    outcomes = [result.outcome for result in results]
    assert outcomes.count(Outcome.CREATED) == 1
    assert outcomes.count(Outcome.UPDATED) == WRITERS - 1
    assert len({result.revision for result in results}) == WRITERS
    assert len({result.etag for result in results}) == WRITERS
    assert len({result.create_time for result in results}) == 1
    in_order = sorted(results, key=lambda result: result.revision)
    assert in_order[0].outcome is Outcome.CREATED
    times = [result.update_time for result in in_order if result.update_time is not None]
    assert times == sorted(times)
    memory = await there(space, kind, "k")
    assert (memory.etag, memory.revision) == (in_order[-1].etag, in_order[-1].revision)
    assert memory.create_time == in_order[0].create_time
    assert results[memory.value].etag == memory.etag


@EVERY_STORE
async def test_field_59_fifty_updates_of_one_memory_lose_nothing(
    space: AsyncScope, kind: Kind
) -> None:
    await space.put(kind, "k", text="t")
    results = await asyncio.gather(
        *(space.update(kind, "k", attributes={f"a{i}": i}) for i in range(WRITERS))
    )
    assert {result.outcome for result in results} == {Outcome.UPDATED}
    memory = await there(space, kind, "k")
    assert memory.attributes == {f"a{i}": i for i in range(WRITERS)}
    assert memory.revision == max(result.revision for result in results)


@EVERY_STORE
async def test_field_59_fifty_writers_of_their_own_memories_lose_nothing(
    space: AsyncScope, kind: Kind
) -> None:
    async def write(number: int) -> None:
        for step in range(4):
            await space.put(kind, f"{number}", value=step, text=f"step {step}")

    await asyncio.gather(*(write(number) for number in range(WRITERS)))
    memories = [memory async for memory in space.list(kind)]
    assert {memory.key: memory.value for memory in memories} == {
        f"{number}": 3 for number in range(WRITERS)
    }


@EVERY_STORE
async def test_field_32_racing_retries_of_one_request_make_one_memory(
    space: AsyncScope, kind: Kind
) -> None:
    results = await asyncio.gather(
        *(
            space.put(kind, text="once", attributes={"n": 1}, request_id="request")
            for _ in range(WRITERS)
        )
    )
    assert len({result.ref for result in results}) == 1
    assert len({result.revision for result in results}) == 1
    assert len({result.etag for result in results}) == 1
    assert await space.count(kind) == 1


@EVERY_STORE
async def test_puts_and_deletes_at_once_end_in_one_of_their_states(
    space: AsyncScope, kind: Kind
) -> None:
    puts = [space.put(kind, "k", value=i) for i in range(WRITERS // 2)]
    deletes = [space.delete(kind, "k") for _ in range(WRITERS // 2)]
    mixed = [each for pair in zip(puts, deletes, strict=True) for each in pair]
    results = await asyncio.gather(*mixed)
    created = sum(result.outcome is Outcome.CREATED for result in results)
    deleted = sum(result.outcome is Outcome.DELETED for result in results)
    memory = await space.get(kind, "k")
    assert created - deleted == (memory is not None)
    if memory is not None:
        etags = {result.etag for result in results if result.outcome is not Outcome.MISSING}
        assert memory.etag in etags


@EVERY_STORE
async def test_deletes_at_once_delete_once(space: AsyncScope, kind: Kind) -> None:
    etag = (await space.put(kind, "k")).etag
    results = await asyncio.gather(*(space.delete(kind, "k") for _ in range(WRITERS)))
    outcomes = [result.outcome for result in results]
    assert outcomes.count(Outcome.DELETED) == 1
    assert outcomes.count(Outcome.MISSING) == WRITERS - 1
    tries = await asyncio.gather(
        *(space.delete(kind, "k", if_match=etag) for _ in range(3)), return_exceptions=True
    )
    assert {type(each).__name__ for each in tries} == {"FailedPrecondition"}


@EVERY_STORE
async def test_an_update_never_brings_back_what_is_deleted_at_once(
    space: AsyncScope, kind: Kind
) -> None:
    for _ in range(10):
        await space.put(kind, "k", value=0)
        update, deleted = await asyncio.gather(
            space.update(kind, "k", value=1), space.delete(kind, "k"), return_exceptions=True
        )
        assert isinstance(deleted, WriteResult)
        assert deleted.outcome is Outcome.DELETED
        if isinstance(update, BaseException):
            assert isinstance(update, NotFound)
        assert await space.get(kind, "k") is None
