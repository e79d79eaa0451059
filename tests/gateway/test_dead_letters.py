"""Writes that their store refused when it was back, and what an outbox does not take."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from tests.gateway.flaky import (
    RECORDS,
    House,
    address,
    caller,
    emptied,
    error_of,
    passed,
    put,
    refusal,
    rewritten,
    stored,
    until,
    until_dead,
    write_past,
)

from memplane_adapters.contract import Kind, StoreError, StoreReason, Write, WriteResult
from memplane_gateway.deadline import set_deadline
from memplane_gateway.errors import Code, MemplaneError, Reason, is_ambiguous
from memplane_gateway.memory.model import Must, Outcome, Precondition, Update, Written
from memplane_gateway.memory.questions import Selection
from memplane_gateway.outbox import replay
from memplane_gateway.outbox.entries import Limits, Spooled
from memplane_gateway.wire.outbox import ProtobufSpooled

SELECTION = Selection(Kind.PROCEDURAL)


pytestmark = pytest.mark.usefixtures("quick_replay")


# --- what does not fit, and what cannot be carried out --------------------------------------------


async def test_a_full_outbox_says_so(tmp_path: Path) -> None:
    house = await House(tmp_path, limits=Limits(3000, 3600)).open(down=True)
    await house.put("x" * 500, "a")
    error = await refusal(house.put("x" * 2000, "b"))
    assert isinstance(error, MemplaneError)
    assert (error.code, error.reason) == (Code.RESOURCE_EXHAUSTED, Reason.OUTBOX_FULL)
    assert house.outbox.standing.waiting == 1
    await emptied(house)
    house.store.down = True
    await house.put("x" * 500, "b")
    await house.close()


async def test_a_full_disk_says_so(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.store.down = True
    await house.put(1, "a")

    async def full(*_: object, **__: object) -> list[WriteResult]:
        raise StoreError(StoreReason.EXHAUSTED, "no space left")

    with monkeypatch.context() as patch:
        patch.setattr(house.slow, "put", full)
        error = await refusal(house.put(1, "b"))
    assert isinstance(error, MemplaneError)
    assert (error.code, error.reason) == (Code.RESOURCE_EXHAUSTED, Reason.OUTBOX_FULL)
    assert house.outbox.standing.waiting == 1
    assert (await house.put(2, "b")).outcome is Outcome.SPOOLED
    assert await stored(house, "b") == 2


async def test_an_outbox_that_waits_for_too_long_takes_no_more(tmp_path: Path) -> None:
    house = await House(tmp_path, limits=Limits(2**20, 0.01)).open(down=True)
    await house.put(1, "a")
    await passed(house, 20_000)
    error = await refusal(house.put(1, "b"))
    assert isinstance(error, MemplaneError)
    assert error.reason is Reason.OUTBOX_FULL
    await house.close()


async def test_a_write_that_finds_a_later_one_is_a_dead_letter(house: House) -> None:
    house.store.down = True
    await house.put("spooled")
    # Another gateway, which does not know of it, writes meanwhile.
    (entry,) = await house.outbox.next_batch(1)
    assert entry.row is not None
    other = rewritten(entry, house.clock.revision(), "later")
    await write_past(house, other)
    await until_dead(house, 1)
    assert await house.value() == "later"
    (dead,) = await house.outbox.listed(dead=True, after=0, limit=10)
    assert isinstance(dead, Spooled)
    assert dead.death is not None
    assert dead.death.error.reason is Reason.SUPERSEDED
    assert await house.outbox.retry(dead.id) is None
    assert await stored(house) == "spooled"
    assert not house.outbox.standing.dead


async def test_a_dead_letter_waits_for_its_turn(house: House) -> None:
    house.store.down = True
    await house.put("spooled")
    (entry,) = await house.outbox.next_batch(1)
    await write_past(house, rewritten(entry, house.clock.revision(), "later"))
    await until_dead(house, 1)
    house.store.down = True
    await house.put("newer")
    refused = await house.outbox.retry(entry.id)
    assert refused is not None
    assert refused.code is Code.FAILED_PRECONDITION
    assert await stored(house) == "newer"
    assert await house.outbox.drop(entry.id) is None
    missing = await house.outbox.drop(entry.id)
    assert missing is not None
    assert missing.code is Code.NOT_FOUND


async def test_what_waits_cannot_be_dropped(house: House) -> None:
    house.store.down = True
    await house.put(1)
    (entry,) = await house.outbox.next_batch(1)
    for refused in (await house.outbox.drop(entry.id), await house.outbox.retry(entry.id)):
        assert refused is not None
        assert refused.code is Code.FAILED_PRECONDITION
    assert house.outbox.standing.waiting == 1


async def test_a_write_that_the_store_never_takes_does_not_hold_up_the_others(
    house: House,
) -> None:
    house.store.down = True
    for key in "abc":
        await house.put(key, key)
    house.store.refuses["b"] = StoreReason.INTERRUPTED
    await until_dead(house, 1)
    await emptied(house)
    assert [await house.value(key) for key in "abc"] == ["a", None, "c"]
    house.store.refuses.clear()
    (entry,) = await house.outbox.listed(dead=True, after=0, limit=10)
    assert isinstance(entry, Spooled)
    assert await house.outbox.retry(entry.id) is None
    assert await stored(house, "b") == "b"


async def test_a_full_store_kills_no_write(house: House) -> None:
    house.store.down = True
    await house.put(1)
    house.store.refuses["k"] = StoreReason.EXHAUSTED
    house.store.down = False
    tries = replay.TRIES
    await until(lambda: not house.store.down)
    for _ in range(tries * 3):
        await asyncio.sleep(0.002)
    assert house.outbox.standing.waiting == 1
    assert not house.outbox.standing.dead
    house.store.refuses.clear()
    assert await stored(house) == 1


async def test_a_damaged_entry_is_told_and_the_others_are_carried_out(tmp_path: Path) -> None:
    house = await House(tmp_path).open(down=True)
    for key in "abc":
        await house.put(key, key)
    entries = await house.outbox.next_batch(10)
    row = house.outbox._entry(entries[1])
    broken = bytearray(row.record)
    broken[40] ^= 1
    await house.control_store.put([Write(replace(row, record=bytes(broken)))])
    for _ in range(2):
        with pytest.raises(MemplaneError, match="cannot be read") as caught:
            await house.value("b")
        assert caught.value.code is Code.DATA_LOSS
    await house.close()
    again = await House(tmp_path).open(down=True)
    assert (again.outbox.standing.waiting, again.outbox.standing.dead) == (2, 1)
    await emptied(again)
    assert [await again.value(key) for key in "abc"] == ["a", None, "c"]
    (damaged,) = await again.outbox.listed(dead=True, after=0, limit=10)
    assert damaged == entries[1].id
    refused = await again.outbox.retry(entries[1].id)
    assert refused is not None
    assert refused.code is Code.DATA_LOSS
    assert await again.outbox.drop(entries[1].id) is None
    await again.close()


async def test_of_an_atomic_call_one_later_write_keeps_all_from_the_store(house: House) -> None:
    house.store.down = True
    await house.memories.put(caller(), [put("spooled", key) for key in "ab"], atomic=True)
    entries = await house.outbox.next_batch(10)
    await write_past(house, rewritten(entries[1], house.clock.revision(), "later"))
    await until_dead(house, 2)
    assert [await house.value(key) for key in "ab"] == [None, "later"]
    assert not house.outbox.standing.waiting


async def test_of_an_atomic_call_one_refused_write_keeps_all_from_the_store(house: House) -> None:
    house.store.down = True
    await house.memories.put(caller(), [put(1, key) for key in "ab"], atomic=True)
    house.store.refuses["a"] = StoreReason.ITEM_TOO_LARGE
    await until_dead(house, 2)
    assert [await house.value(key) for key in "ab"] == [None, None]


async def test_a_call_that_fails_buries_only_the_write_that_it_is_about(house: House) -> None:
    house.store.down = True
    for key in "abc":
        await house.put(key, key)
    house.store.refuses["b"] = StoreReason.DAMAGED
    await until_dead(house, 1)
    await emptied(house)
    assert [await house.value(key) for key in "abc"] == ["a", None, "c"]


async def test_what_was_decided_on_a_write_shares_its_fate(house: House) -> None:
    house.store.down = True
    await house.put("spooled")
    await house.memories.update(caller(), [Update(address(), set_attributes={"a": 1})])
    (entry,) = await house.outbox.next_batch(1)
    await write_past(house, rewritten(entry, house.clock.revision(), "later"))
    await until_dead(house, 2)
    assert await house.value() == "later"


async def test_a_request_id_with_another_body_is_a_dead_letter(house: House) -> None:
    await house.put("first", request_id="r")
    house.store.down = True
    await house.memories.put(caller("r", b"o"), [put("second")])
    await until_dead(house, 1)
    assert await house.value() == "first"
    (dead,) = await house.outbox.listed(dead=True, after=0, limit=10)
    assert isinstance(dead, Spooled)
    assert dead.death is not None
    assert dead.death.error.reason is Reason.REQUEST_ID_REUSED


async def test_outages_may_be_far_apart(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "STEP_SECONDS", 0.05)
    for value in range(3):
        house.store.down = True
        await house.put(value)
        assert await stored(house) == value
        await passed(house, 60_000)


async def test_a_deadline_does_not_part_index_and_file(house: House) -> None:
    house.store.down = True
    house.slow.answers.clear()

    async def late() -> Written:
        set_deadline(0.02)
        async with asyncio.timeout(0.02):
            return await house.put(1)

    task = asyncio.create_task(late())
    await house.slow.wrote.wait()
    await passed(house, 60_000)
    assert not task.done()  # it has the memory's turn until its end is known
    house.slow.answers.set()
    with pytest.raises(TimeoutError):
        await task
    assert house.outbox.standing.waiting == 1
    assert await stored(house) == 1


async def test_nobody_overtakes_a_cancelled_write(house: House) -> None:
    house.store.down = True
    first = await house.put(1)
    assert first.memory is not None
    match = Precondition(Must.MATCH, first.memory.etag)
    house.slow.answers.clear()
    house.slow.wrote.clear()
    cancelled = asyncio.create_task(
        house.memories.put(caller(), [replace(put(2), precondition=match)])
    )
    await house.slow.wrote.wait()
    cancelled.cancel()
    other = asyncio.create_task(house.memories.put(caller(), [replace(put(3), precondition=match)]))
    await asyncio.sleep(0.01)
    house.slow.answers.set()
    (refused,) = await other
    assert error_of(refused).reason is Reason.ETAG_MISMATCH
    await asyncio.gather(cancelled, return_exceptions=True)
    assert await stored(house) == 2


async def test_what_may_have_been_written_is_said_so_though_the_outbox_is_full(
    tmp_path: Path,
) -> None:
    house = await House(tmp_path, limits=Limits(100, 3600)).open()
    house.store.lost = "after"
    error = await refusal(house.put(1))
    assert is_ambiguous(error)
    assert await house.value() == 1
    await house.close()


async def test_a_dead_letter_is_retried_once(house: House) -> None:
    house.store.down = True
    await house.put("spooled")
    (entry,) = await house.outbox.next_batch(1)
    await write_past(house, rewritten(entry, house.clock.revision(), "later"))
    await until_dead(house, 1)
    answers = await asyncio.gather(*(house.outbox.retry(entry.id) for _ in range(5)))
    assert [each is None for each in answers].count(True) == 1
    assert await stored(house) == "spooled"
    await house.put("newest")
    missing = await house.outbox.retry(entry.id)
    assert missing is not None
    assert missing.code is Code.NOT_FOUND
    assert await house.value() == "newest"


async def test_what_waits_never_goes_to_another_store(tmp_path: Path) -> None:
    house = await House(tmp_path).open(down=True)
    await house.put(1)
    await house.close()
    other = await House(tmp_path, place="elsewhere").open()
    assert (other.outbox.standing.waiting, other.outbox.standing.dead) == (0, 1)
    assert await other.value() is None
    (left,) = await other.outbox.listed(dead=True, after=0, limit=10)
    assert isinstance(left, Spooled)
    assert left.death is not None
    assert "another store" in left.death.error.message
    await other.close()
    again = await House(tmp_path).open()
    assert await stored(again) == 1
    await again.close()


async def test_an_outbox_that_is_closed_shows_what_it_holds(tmp_path: Path) -> None:
    house = await House(tmp_path).open(down=True)
    await house.put(1)
    await house.close()
    control = house.control.outbox(Kind.PROCEDURAL, "here", ProtobufSpooled(RECORDS), None)
    assert control is not None
    await house.control_store.open()
    await control.open()
    assert (control.standing.waiting, control.standing.dead) == (0, 1)
    (entry,) = await control.listed(dead=True, after=0, limit=10)
    assert isinstance(entry, Spooled)
    refused = await control.retry(entry.id)
    assert refused is not None
    assert "on_backend_down" in refused.message
    await control.close()
    await house.control_store.close()
