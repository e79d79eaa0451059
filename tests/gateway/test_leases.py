"""Stores that compare no revisions: the gateway's leases keep every write exact all the same."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from pathlib import Path

import pytest
from tests.gateway.careless import CALLER, Careless, address, careless, etag, put, value

from memplane_adapters.contract import (
    Address,
    Capabilities,
    ConditionalWrite,
    StoreError,
    StoreReason,
    WriteResult,
    WriteStatus,
)
from memplane_gateway.deadline import set_deadline
from memplane_gateway.errors import Code, MemplaneError, Reason
from memplane_gateway.memory.memories import Memories
from memplane_gateway.memory.model import Must, Outcome, Precondition, Removal, Update, Written
from memplane_gateway.memory.write import leases
from memplane_gateway.memory.write.leases import Leases, Unbound, coordinated, turns_for
from memplane_gateway.wire.records import ProtobufRecords

WRITERS = 64


async def test_writers_under_if_match_make_one_line_of_changes(tmp_path: Path) -> None:
    async with careless(tmp_path) as (memories, store):
        (first,) = await memories.put(CALLER, [put([])])
        assert first.outcome is Outcome.CREATED

        async def add(number: int) -> int:
            """Append a number under if_match, however often it takes."""
            tries = 0
            while True:
                tries += 1
                (memory,) = await memories.get(
                    [address()], vectors=False, max_bytes=10_000, alone=True
                )
                assert memory is not None
                before = memory.record.content.value
                assert isinstance(before, list)
                (done,) = await memories.put(CALLER, [put([*before, number], etag=memory.etag)])
                if done.error is None:
                    return tries
                assert done.error.reason is Reason.ETAG_MISMATCH

        tries = await asyncio.gather(*(add(number) for number in range(WRITERS)))
        end = await value(memories)
        assert isinstance(end, list)
        assert sorted(end) == list(range(WRITERS))
        assert sum(tries) > WRITERS, "they did get in each other's way"
        line = [ProtobufRecords().decode(record) for record in store.written]
        assert [record.content.value for record in line] == [end[:n] for n in range(WRITERS + 1)]
        revisions = [record.revision for record in line]
        assert revisions == sorted(set(revisions))


async def test_updates_of_one_memory_lose_nothing(tmp_path: Path) -> None:
    async with careless(tmp_path) as (memories, _):
        await memories.put(CALLER, [put(0)])
        done = await asyncio.gather(
            *(
                memories.update(CALLER, [Update(address(), set_attributes={f"a{n}": n})])
                for n in range(WRITERS)
            )
        )
        assert {item.outcome for (item,) in done} == {Outcome.UPDATED}
        (memory,) = await memories.get([address()], vectors=False, max_bytes=10**6, alone=True)
        assert memory is not None
        assert memory.record.content.attributes == {f"a{n}": n for n in range(WRITERS)}


async def test_one_creates_and_one_deletes(tmp_path: Path) -> None:
    async with careless(tmp_path) as (memories, _):
        absent = replace(put(1), precondition=Precondition(Must.ABSENT))
        made = await asyncio.gather(*(memories.put(CALLER, [absent]) for _ in range(WRITERS)))
        assert [item.outcome for (item,) in made].count(Outcome.CREATED) == 1
        match = Precondition(Must.MATCH, await etag(memories))
        gone = await asyncio.gather(
            *(memories.delete([Removal(address(), match)]) for _ in range(WRITERS))
        )
        assert [item.outcome for (item,) in gone].count(Outcome.DELETED) == 1


async def test_batches_that_cross_do_not_wait_for_each_other_forever(tmp_path: Path) -> None:
    async with careless(tmp_path) as (memories, store):
        keys = [f"k{n}" for n in range(8)]
        shuffled = [random.Random(n).sample(keys, 6) for n in range(WRITERS)]
        done = await asyncio.gather(
            *(
                memories.put(CALLER, [put(n, key) for key in order])
                for n, order in enumerate(shuffled)
            )
        )
        assert all(item.error is None for items in done for item in items)
        assert len(store.written) == WRITERS * 6


async def test_who_gives_up_while_waiting_leaves_the_others_unharmed(tmp_path: Path) -> None:
    async with careless(tmp_path) as (memories, store):
        store.open.clear()
        first = asyncio.create_task(memories.put(CALLER, [put(1)]))
        await store.reached.wait()
        impatient = asyncio.create_task(memories.put(CALLER, [put(2)]))
        patient = asyncio.create_task(memories.put(CALLER, [put(3)]))
        await asyncio.sleep(0)
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
        store.open.set()
        await asyncio.gather(first, patient)
        assert await value(memories) == 3
        assert len(store.written) == 2


async def test_who_waits_behind_the_deadline_has_written_nothing(tmp_path: Path) -> None:
    async with careless(tmp_path) as (memories, store):
        store.open.clear()
        first = asyncio.create_task(memories.put(CALLER, [put(1)]))
        await store.reached.wait()

        async def hurried() -> list[Written]:
            set_deadline(0.01)
            return await memories.put(CALLER, [put(2)])

        with pytest.raises(MemplaneError) as caught:
            await asyncio.create_task(hurried())
        assert caught.value.code is Code.DEADLINE_EXCEEDED
        assert "ambiguous" not in caught.value.metadata
        store.open.set()
        await first
        assert await value(memories) == 1


async def _late(memories: Memories, store: Careless, *, cancelled: bool) -> None:
    """A first write whose caller is gone while the store still has it; a second one comes after."""
    store.open.clear()

    async def hurried() -> list[Written]:
        if not cancelled:
            set_deadline(0.05)
        return await memories.put(CALLER, [put("older")])

    older = asyncio.create_task(hurried())
    await store.reached.wait()
    if cancelled:
        older.cancel()
        with pytest.raises(asyncio.CancelledError):
            await older
    else:
        with pytest.raises(StoreError) as caught:
            await older
        assert caught.value.reason is StoreReason.TIMEOUT
        assert caught.value.metadata == {"ambiguous": "true"}
    newer = asyncio.create_task(memories.put(CALLER, [put("newer")]))
    done, _ = await asyncio.wait({newer}, timeout=0.05)
    assert not done, "the store has not said yet what became of the older one"
    store.open.set()
    (written,) = await newer
    assert written.outcome is Outcome.UPDATED
    line = [ProtobufRecords().decode(record).content.value for record in store.written]
    assert line == ["older", "newer"]
    assert await value(memories) == "newer"


@pytest.mark.parametrize("cancelled", [True, False])
async def test_a_write_that_nobody_waits_for_keeps_its_lease(
    tmp_path: Path, cancelled: bool
) -> None:
    async with careless(tmp_path) as (memories, store):
        await _late(memories, store, cancelled=cancelled)


async def test_a_write_of_unknown_outcome_keeps_its_lease_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with careless(tmp_path) as (memories, store):
        monkeypatch.setattr(leases, "SETTLING_SECONDS", 3600.0)
        store.failures = [StoreError(StoreReason.INTERRUPTED, "gone")]
        with pytest.raises(StoreError) as caught:
            await memories.put(CALLER, [put(1)])
        assert caught.value.metadata == {"ambiguous": "true"}
        second = asyncio.create_task(memories.put(CALLER, [put(2)]))
        done, _ = await asyncio.wait({second}, timeout=0.05)
        assert not done
        (other,) = await memories.put(CALLER, [put(1, "another")])
        assert other.outcome is Outcome.CREATED
        second.cancel()
        await asyncio.wait({second})

        monkeypatch.setattr(leases, "SETTLING_SECONDS", 0.01)
        store.failures = [StoreError(StoreReason.INTERRUPTED, "gone")]
        with pytest.raises(StoreError):
            await memories.put(CALLER, [put(3, "third")])
        (third,) = await memories.put(CALLER, [put(4, "third")])
        assert third.outcome is Outcome.CREATED


async def test_a_write_that_surely_failed_lets_go_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with careless(tmp_path) as (memories, store):
        monkeypatch.setattr(leases, "SETTLING_SECONDS", 3600.0)
        store.failures = [StoreError(StoreReason.MISCONFIGURED, "no")]
        with pytest.raises(StoreError):
            await memories.put(CALLER, [put(1)])
        (second,) = await memories.put(CALLER, [put(2)])
        assert second.outcome is Outcome.CREATED


async def test_an_item_of_unknown_outcome_counts_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "SETTLING_SECONDS", 3600.0)
    gate = Leases()
    unknown = StoreError(StoreReason.TIMEOUT, "gone", metadata={"ambiguous": "true"})

    async def send() -> list[WriteResult]:
        return [WriteResult(WriteStatus.APPLIED), WriteResult(WriteStatus.FAILED, unknown)]

    async with gate.turn([address()]) as turn:
        assert [result.error for result in await turn.finish(send, [address()])] == [None, unknown]
    set_deadline(0.01)
    with pytest.raises(MemplaneError):
        await _nothing(gate, address())


async def test_writers_come_in_as_they_asked() -> None:
    gate = Leases()
    order: list[int] = []

    async def write(number: int) -> None:
        async with gate.turn([address()]):
            await asyncio.sleep(0)
            order.append(number)

    await asyncio.gather(*(write(number) for number in range(WRITERS)))
    assert order == list(range(WRITERS))


async def test_leases_that_nobody_has_are_forgotten() -> None:
    gate = Leases()
    await asyncio.gather(*(_nothing(gate, address(f"{n % 5}")) for n in range(50)))
    waiting = asyncio.create_task(_nothing(gate, address("held")))
    async with gate.turn([address("held")]):
        waiting.cancel()
        await asyncio.wait({waiting})
    assert gate._leases == {}


async def test_the_end_of_the_gateway_ends_writes_that_nobody_waits_for(tmp_path: Path) -> None:
    async with careless(tmp_path) as (memories, store):
        store.open.clear()
        call = asyncio.create_task(memories.put(CALLER, [put(1)]))
        await store.reached.wait()
        call.cancel()
        await asyncio.wait({call})
        await asyncio.wait_for(memories.close(), 30)
        assert store.written == []


def test_only_stores_that_cannot_compare_get_leases() -> None:
    for level in ConditionalWrite:
        able = Capabilities(conditional_write=level)
        expected = ConditionalWrite.COORDINATED if level is ConditionalWrite.NONE else level
        assert coordinated(able).conditional_write is expected
        assert isinstance(turns_for(able), Leases if level is ConditionalWrite.NONE else Unbound)


async def _nothing(gate: Leases, *addresses: Address) -> None:
    async with gate.turn(addresses):
        await asyncio.sleep(0)
