"""Writes that wait for their store: what is kept, what is refused, and what becomes of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from tests.gateway.flaky import (
    House,
    address,
    caller,
    emptied,
    error_of,
    passed,
    put,
    refusal,
    stored,
    until,
)

from memplane_adapters.contract import Kind, Scope, StoreError, StoreReason, Write
from memplane_gateway.errors import Code, MemplaneError, Reason
from memplane_gateway.memory.model import (
    Content,
    Expiry,
    Must,
    Outcome,
    Precondition,
    Put,
    Removal,
    Update,
)
from memplane_gateway.memory.questions import Selection

SELECTION = Selection(Kind.PROCEDURAL)


pytestmark = pytest.mark.usefixtures("quick_replay")


# --- what is kept ---------------------------------------------------------------------------------


async def test_a_put_waits_and_is_read_and_is_carried_out(house: House) -> None:
    house.store.down = True
    written = await house.put(1)
    assert (written.outcome, written.spooled) == (Outcome.SPOOLED, True)
    assert await house.value() == 1
    assert await stored(house) == 1
    (memory,) = await house.memories.get([address()], vectors=False, max_bytes=999, alone=True)
    assert memory is not None
    assert written.memory is not None
    assert memory.etag == written.memory.etag


async def test_with_the_store_there_nothing_waits(house: House) -> None:
    written = await house.put(1)
    assert (written.outcome, written.spooled) == (Outcome.CREATED, False)
    assert not house.outbox.standing.waiting


@pytest.mark.parametrize("lost", ["before", "after"])
async def test_a_write_whose_answer_got_lost_is_carried_out_once(house: House, lost: str) -> None:
    house.store.lost = lost
    written = await house.put(1)
    assert written.outcome is Outcome.SPOOLED
    assert await stored(house) == 1
    (memory,) = await house.memories.get([address()], vectors=False, max_bytes=999, alone=True)
    assert memory is not None
    assert written.memory is not None
    assert memory.etag == written.memory.etag


async def test_what_was_there_keeps_its_create_time(house: House) -> None:
    first = await house.put(1)
    house.store.down = True
    await house.put(2)
    await emptied(house)
    (memory,) = await house.memories.get([address()], vectors=False, max_bytes=999, alone=True)
    assert memory is not None
    assert first.memory is not None
    assert memory.record.create_time == first.memory.record.create_time
    assert memory.record.update_time > first.memory.record.update_time


async def test_what_had_expired_when_it_was_written_begins_anew(house: House) -> None:
    expiring = Put(address(), Content(value=1), expiry=Expiry(ttl=20_000))
    (first,) = await house.memories.put(caller(), [expiring])
    assert first.memory is not None
    until_time = first.memory.record.expire_time
    assert until_time is not None
    await until(lambda: house.clock.now() > until_time)
    house.store.down = True
    await house.put(2)
    await emptied(house)
    (memory,) = await house.memories.get([address()], vectors=False, max_bytes=999, alone=True)
    assert memory is not None
    assert memory.record.create_time >= until_time


async def test_what_expires_while_it_waits_is_gone(house: House) -> None:
    await house.put(1)
    house.store.down = True
    expiring = Put(address(), Content(value=2), expiry=Expiry(ttl=5_000))
    await house.memories.put(caller(), [expiring])
    await passed(house, 6_000)
    assert await house.value() is None
    assert await stored(house) is None


async def test_deletes_wait(house: House) -> None:
    await house.put(1)
    house.store.down = True
    (written,) = await house.memories.delete([Removal(address())])
    assert written.outcome is Outcome.SPOOLED
    assert await house.value() is None
    (again,) = await house.memories.delete([Removal(address())])
    assert (again.outcome, again.spooled) == (Outcome.MISSING, True)
    assert await stored(house) is None


async def test_a_retried_delete_leaves_what_was_created_since(house: House) -> None:
    began = house.clock.now()
    await until(lambda: house.clock.now() > began)
    await house.put(1)
    house.store.down = True
    # Only the store knows whether there is anything from before.
    await refusal(house.memories.delete([Removal(address(), began=began)]))
    await house.put(2)
    (kept,) = await house.memories.delete([Removal(address(), began=began)])
    assert kept.outcome is Outcome.MISSING
    assert await stored(house) == 2


async def test_writes_of_one_memory_keep_their_order(house: House) -> None:
    house.store.down = True
    for value in range(50):
        await house.put(value)
    await house.memories.delete([Removal(address())])
    await house.put("last")
    house.store.down = False
    # Behind what waits, whether or not the store is there again.
    await house.put("very last")
    assert await stored(house) == "very last"


async def test_an_update_of_what_waits_waits(house: House) -> None:
    house.store.down = True
    await house.put(1)
    (written,) = await house.memories.update(caller(), [Update(address(), set_attributes={"a": 1})])
    assert written.outcome is Outcome.SPOOLED
    (memory,) = await house.memories.get([address()], vectors=False, max_bytes=999, alone=True)
    assert memory is not None
    assert memory.record.content.attributes == {"a": 1}
    await emptied(house)
    (memory,) = await house.memories.get([address()], vectors=False, max_bytes=999, alone=True)
    assert memory is not None
    assert (memory.record.content.value, memory.record.content.attributes) == (1, {"a": 1})


async def test_preconditions_on_what_waits_are_decided(house: House) -> None:
    house.store.down = True
    written = await house.put(1)
    assert written.memory is not None
    etag = written.memory.etag
    absent = replace(put(2), precondition=Precondition(Must.ABSENT))
    other = replace(put(2), precondition=Precondition(Must.MATCH, "other"))
    right = replace(put(2), precondition=Precondition(Must.MATCH, etag))
    for each, reason in ((absent, Reason.MEMORY_EXISTS), (other, Reason.ETAG_MISMATCH)):
        (refused,) = await house.memories.put(caller(), [each])
        assert error_of(refused).reason is reason
    (done,) = await house.memories.put(caller(), [right])
    assert done.outcome is Outcome.SPOOLED
    (gone,) = await house.memories.delete([Removal(address(), Precondition(Must.MATCH, etag))])
    assert error_of(gone).reason is Reason.ETAG_MISMATCH
    assert await stored(house) == 2


async def test_what_only_the_store_can_decide_is_refused(house: House) -> None:
    written = await house.put(1)
    assert written.memory is not None
    house.store.down = True
    match = Precondition(Must.MATCH, written.memory.etag)
    for work in (
        house.memories.put(caller(), [replace(put(2), precondition=match)]),
        house.memories.update(caller(), [Update(address(), set_attributes={"a": 1})]),
        house.memories.delete([Removal(address(), match)]),
    ):
        error = await refusal(work)
        assert isinstance(error, MemplaneError)
        assert (error.code, error.reason) == (Code.UNAVAILABLE, Reason.BACKEND_UNAVAILABLE)
        assert "only it can decide" in error.message
    assert not house.outbox.standing.waiting
    assert await stored(house) == 1


async def test_in_a_batch_only_what_the_store_must_decide_is_refused(house: House) -> None:
    house.store.down = True
    absent = replace(put(2, "b"), precondition=Precondition(Must.ABSENT))
    first, second = await house.memories.put(caller(), [put(1, "a"), absent])
    assert first.outcome is Outcome.SPOOLED
    assert error_of(second).reason is Reason.BACKEND_UNAVAILABLE
    assert await stored(house, "a") == 1
    assert await stored(house, "b") is None


async def test_a_call_that_asks_for_the_store_is_not_kept(house: House) -> None:
    house.store.down = True
    assert isinstance(
        await refusal(house.memories.put(caller(), [put(1)], spool=False)), StoreError
    )
    await house.put(1)
    house.store.down = False
    house.outbox.changed.clear()
    (memory,) = await house.memories.get([address()], vectors=False, max_bytes=999, alone=True)
    assert memory is not None
    await emptied(house)
    (written,) = await house.memories.put(caller(), [put(2)], spool=False)
    assert (written.outcome, written.spooled) == (Outcome.UPDATED, False)


# --- calls as a whole -----------------------------------------------------------------------------


async def test_an_atomic_call_waits_and_is_carried_out_as_one(house: House) -> None:
    house.store.down = True
    await house.memories.put(caller(), [put(1, "a"), put(1, "b")], atomic=True)
    await house.memories.put(caller(), [put(2, "b"), put(2, "c")], atomic=True)
    assert house.outbox.standing.waiting == 4
    house.store.written.clear()
    await emptied(house)
    assert house.store.written == ["a", "b", "b", "c"]
    assert [await house.value(key) for key in "abc"] == [1, 2, 2]
    house.store.down = True
    await house.memories.delete([Removal(address("a")), Removal(address("b"))], atomic=True)
    await emptied(house)
    assert [await house.value(key) for key in "abc"] == [None, None, 2]


async def test_an_atomic_call_with_an_undecided_item_is_refused_as_a_whole(house: House) -> None:
    house.store.down = True
    absent = replace(put(2, "b"), precondition=Precondition(Must.ABSENT))
    first, second = await house.memories.put(caller(), [put(1, "a"), absent], atomic=True)
    assert error_of(first).reason is Reason.ATOMIC_REFUSED
    assert error_of(second).reason is Reason.BACKEND_UNAVAILABLE
    assert not house.outbox.standing.waiting


async def test_an_atomic_call_waits_whole_when_one_of_its_memories_does(house: House) -> None:
    house.store.down = True
    await house.put(1, "a")
    house.store.refuses["a"] = StoreReason.UNAVAILABLE
    house.store.down = False
    written = await house.memories.put(caller(), [put(2, "a"), put(2, "b")], atomic=True)
    assert [each.outcome for each in written] == [Outcome.SPOOLED] * 2
    house.store.refuses.clear()
    assert await stored(house, "a") == await stored(house, "b") == 2


async def test_a_retry_of_what_waits_hears_that_it_waits(house: House) -> None:
    house.store.down = True
    first = await house.put(1, request_id="r")
    again = await house.put(1, request_id="r")
    assert (again.outcome, again.replayed) == (Outcome.SPOOLED, True)
    assert first.memory is not None
    assert again.memory is not None
    assert first.memory.etag == again.memory.etag
    assert house.outbox.standing.waiting == 1
    await emptied(house)
    late = await house.put(1, request_id="r")
    assert (late.outcome, late.replayed) == (Outcome.CREATED, True)
    with pytest.raises(MemplaneError, match="another body"):
        await house.memories.put(caller("r", b"o"), [put(2)])


async def test_a_retry_is_not_carried_out_again_over_a_later_write(house: House) -> None:
    await house.put("mine", request_id="r")  # of which the answer got lost
    await house.put("of another", request_id="s")
    house.store.down = True
    await house.put("mine", request_id="r")
    assert await stored(house) == "of another"
    assert not house.outbox.standing.dead


# --- crashes --------------------------------------------------------------------------------------


async def test_what_waits_is_known_after_a_restart(tmp_path: Path) -> None:
    house = await House(tmp_path).open(down=True)
    written = await house.put(1)
    await house.memories.delete([Removal(address("gone"))])
    await house.close()
    again = await House(tmp_path).open(down=True)
    assert again.outbox.standing.waiting == 2
    assert await again.value() == 1
    assert written.memory is not None
    assert again.clock.revision() > written.memory.record.revision
    assert await stored(again) == 1
    await again.close()


async def test_what_was_carried_out_before_a_crash_is_not_again(tmp_path: Path) -> None:
    house = await House(tmp_path).open(down=True)
    await house.put(1)
    await house.memories.delete([Removal(address("gone"))])
    scope = Scope("", Kind.CONTROL, 0, ("outbox",))
    entries = [house.outbox._entry(each) for each in await house.outbox.next_batch(10)]
    await emptied(house)
    # As if the gateway had ended before it forgot them.
    await house.control_store.put([Write(entry) for entry in entries])
    await house.close()
    again = await House(tmp_path).open(down=True)
    assert again.outbox.standing.waiting == 2
    assert await stored(again) == 1
    assert again.store.written == []
    assert (await again.control_store.count(scope)).count == 0
    assert not again.outbox.standing.dead
    await again.close()


async def test_a_cancelled_call_leaves_index_and_file_the_same(house: House) -> None:
    house.store.down = True
    for _ in range(20):
        task = asyncio.create_task(house.put(1))
        for _ in range(3):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await house.outbox.close()
    scope = Scope("", Kind.CONTROL, 0, ("outbox",))
    counted = await house.control_store.count(scope)
    assert counted.count == house.outbox.standing.waiting


# --- reads ----------------------------------------------------------------------------------------


async def test_reads_say_what_is_missing(house: House) -> None:
    await house.put(1, "a")
    house.store.down = True
    await house.put(2, "b")
    house.store.refuses["b"] = StoreReason.EXHAUSTED
    house.store.down = False
    counted = await house.memories.count(caller(), SELECTION)
    assert (counted.count, counted.incomplete) == (1, True)
    other = replace(SELECTION, namespace=("elsewhere",))
    assert not (await house.memories.count(caller(), other)).incomplete
    below = replace(SELECTION, namespace=("n",), exact=True)
    assert (await house.memories.count(caller(), below)).incomplete
    house.store.refuses.clear()
    await emptied(house)
    counted = await house.memories.count(caller(), SELECTION)
    assert (counted.count, counted.incomplete) == (2, False)


async def test_a_store_that_is_down_is_never_an_empty_answer(house: House) -> None:
    house.store.down = True
    await house.put(1, "a")
    error = await refusal(house.value("b"))
    assert isinstance(error, StoreError)
    both = [address("a"), address("b")]
    await refusal(house.memories.get(both, vectors=False, max_bytes=999, alone=False))
