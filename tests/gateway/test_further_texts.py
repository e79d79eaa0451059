"""Further texts behind the doors: crashes between their points and the head, races, and what they cost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from tests.gateway.texts_house import (
    CALLER,
    DOWN,
    HEADS,
    IDENTITY,
    TEXTS,
    House,
    X,
    Y,
    Z,
    address,
    unit,
)

from memplane_adapters.contract import (
    Collection,
    StoreError,
    StoreReason,
    WriteStatus,
)
from memplane_gateway import text_rooms
from memplane_gateway.analysis import Analyzer
from memplane_gateway.control import Place
from memplane_gateway.errors import MemplaneError
from memplane_gateway.memory.embedding import TextVectors
from memplane_gateway.memory.lifecycle import leftovers
from memplane_gateway.memory.lifecycle.retention import Cause, Task
from memplane_gateway.memory.lifecycle.sweeping import Slice, Toll
from memplane_gateway.memory.model import (
    Content,
    Outcome,
    Put,
    Removal,
)
from memplane_gateway.outbox import replay
from memplane_gateway.outbox.entries import Limits
from memplane_gateway.outbox.spooling import SpoolingMemories
from memplane_gateway.text_rooms import TextRoom
from memplane_gateway.wire.outbox import ProtobufSpooled
from memplane_gateway.wire.records import ProtobufRecords
from memplane_gateway.wire.vectors import digest_of


@pytest.fixture(params=[True, False], ids=["compares", "leases"])
async def house(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[House]:
    made = await House(tmp_path, compares=request.param).open()
    yield made
    await made.close()


async def test_a_route_without_further_texts_pays_nothing(house: House) -> None:
    await house.put("a", "x")
    await house.update("a", 1)
    assert await house.seen(X) == [("a", "")]
    await house.memories.get([address("a")], vectors=True, max_bytes=10**6, alone=True)
    await house.memories.delete([Removal(address("a"))])
    assert {kind for _, kind in house.store.calls} == {HEADS}
    assert house.store.calls == {
        ("fetch", HEADS): 4,
        ("upsert", HEADS): 2,
        ("query", HEADS): 1,
        ("delete", HEADS): 1,
    }


async def test_only_what_changed_is_embedded(house: House) -> None:
    await house.put("a", "x", one="y", two="z")
    assert sorted(house.embedder.asked) == ["x", "y", "z"]
    house.embedder.asked.clear()
    await house.update("a", 1)
    await house.put("a", "y", uno="x", three="y", four="z")  # each text was there, elsewhere
    assert house.embedder.asked == ["y"]  # its own comes from itself alone
    assert await house.seen(Z) == [("a", "four")]
    house.embedder.asked.clear()
    assert (await house.put("a", "y", uno="x", three="y", four="z")).outcome is Outcome.UNCHANGED
    await house.put("a", "y", four="z", five="new")
    assert house.embedder.asked == ["new"]
    memory = (await house.memories.get([address("a")], vectors=True, max_bytes=10**6, alone=True))[
        0
    ]
    assert memory is not None
    assert memory.record.embedded_texts == (0,)  # of "new" nothing is known
    assert [vector is None for vector in memory.further] == [False, True]
    assert await house.points() == 1


async def test_no_points_are_left_by_writes_that_end_well(house: House) -> None:
    await house.put("a", "", one="x", two="y")
    assert await house.points() == 2
    for number in range(3):
        await house.update("a", number)
        assert await house.points() == 2
    await house.put("a", "x", one="y")
    assert await house.points() == 1
    await house.memories.delete([Removal(address("a"))])
    assert await house.points() == 0


async def test_a_head_that_is_not_written_leaves_all_as_it_was(house: House) -> None:
    await house.put("a", "", one="x")
    # The store refuses the points themselves: the head is not even tried.
    house.store.failures["upsert", TEXTS] = [DOWN]
    with pytest.raises(StoreError):
        await house.put("a", "", one="y")
    assert (await house.seen(X), await house.seen(Y)) == ([("a", "one")], [])
    # It takes the points and then not the head, and the points go again.
    house.store.failures["upsert", HEADS] = [DOWN]
    with pytest.raises(StoreError):
        await house.put("a", "", one="y")
    assert (await house.seen(X), await house.seen(Y)) == ([("a", "one")], [])
    assert await house.points() == 1


async def test_another_writer_wins_between_points_and_head(tmp_path: Path) -> None:
    house = await House(tmp_path).open()
    await house.put("a", "", one="x")
    house.store.failures["upsert", HEADS] = [WriteStatus.CONFLICT]
    assert (await house.put("a", "", one="y")).outcome is Outcome.UPDATED
    assert house.store.calls["upsert", HEADS] == 3
    assert (await house.seen(X), await house.seen(Y)) == ([], [("a", "one")])
    assert await house.points() == 1
    await house.close()


async def swept(house: House, *, rehearsal: bool = False) -> int:
    """How many leftovers a sweep deletes."""
    toll = Toll()
    part = Slice(1_000, rehearsal=rehearsal)
    done = await house.memories.sweep("default", Task(HEADS, Cause.LEFTOVERS), None, part, toll)
    assert done.over
    return toll.count


@pytest.mark.parametrize("crash", ["before the head", "behind the head", "behind the delete"])
async def test_what_a_crash_leaves_is_never_shown_and_is_swept(
    house: House, crash: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.put("a", "", one="x", two="x")
    await house.put("b", "", one="z")
    expected, left = [("a", "one")], 3
    if crash == "before the head":
        lost = StoreError(StoreReason.INTERRUPTED, "gone", metadata={"ambiguous": "true"})
        house.store.failures["upsert", HEADS] = [lost]
        with pytest.raises((StoreError, MemplaneError)):
            await house.put("a", "", one="y")
        left += 1
    else:
        house.store.failures["delete", TEXTS] = [DOWN]
        if crash == "behind the head":
            await house.put("a", "", one="y")
            expected = []
        else:
            await house.memories.delete([Removal(address("a"))])
            expected = []
        left = 4 if crash == "behind the head" else 3
    assert await house.points() == left
    assert await house.seen(X) == expected
    assert await house.seen(Z) == [("b", "one")]
    assert await swept(house) == 0  # a write may still be under way
    monkeypatch.setattr(leftovers, "GRACE", -1)
    assert await swept(house, rehearsal=True) == 0
    claimed = {"before the head": 3, "behind the head": 2, "behind the delete": 1}[crash]
    assert await swept(house) == left - claimed
    assert await house.points() == claimed
    assert await house.seen(X) == expected
    assert await house.seen(Z) == [("b", "one")]
    assert (await house.put("a", "", one="y")).outcome in (
        Outcome.CREATED,
        Outcome.UPDATED,
        Outcome.UNCHANGED,
    )
    assert await house.seen(Y) == [("a", "one")]


async def test_a_memory_that_is_written_meanwhile_is_neither_missed_nor_shown_as_it_was(
    house: House,
) -> None:
    near = unit(0, 0, 1, 0.2)
    await house.put("a", "x", one="y", two="z")
    await house.memories.put(
        CALLER, [Put(address("c"), Content(vector_digest=digest_of(near)), vector=near)]
    )

    async def best() -> list[tuple[str, str]]:
        assert house.store.before
        hits = await house.found(Z, page_size=1)
        assert not house.store.before, "it was written meanwhile"
        return [(hit.memory.record.address.key, hit.path) for hit in hits]

    for number in range(3):
        # The points are found, then all of the memory is written anew, then its head is read.
        house.store.before["fetch", HEADS] = lambda number=number: house.update("a", number)  # type: ignore[misc]
        assert await best() == [("a", "two")]
    house.store.before["fetch", HEADS] = lambda: house.put("a", "x", one="y")
    assert await best() == [("c", "")]
    # The heads are found, then it is written, then the points are found.
    await house.put("a", "z", one="y")
    house.store.before["query", TEXTS] = lambda: house.put("a", "x", one="z")
    assert await best() == [("a", "one")]
    house.store.before["query", TEXTS] = lambda: house.put("a", "x", one="y")
    assert await best() == [("c", "")]


async def test_reads_with_vectors_have_those_of_one_revision(house: House) -> None:
    await house.put("a", "", one=X, two="y")
    house.store.before["fetch", TEXTS] = lambda: house.put("a", "", two="z")
    (memory,) = await house.memories.get([address("a")], vectors=True, max_bytes=10**6, alone=True)
    assert memory is not None
    assert [each.path for each in memory.record.content.indexed_texts] == ["two"]
    np.testing.assert_array_equal(memory.further, [Z])


# --- where they are ---------------------------------------------------------------------------


async def test_a_start_knows_by_the_note_or_by_the_rows(tmp_path: Path) -> None:
    house = await House(tmp_path).open()
    assert not await house.room.in_use()
    await house.put("a", "", one="x")
    assert await house.room.in_use()
    again = house.another_room()
    await again.look()
    assert await again.in_use()
    forgotten = TextRoom(
        house.store,  # type: ignore[arg-type]
        Collection(TEXTS, IDENTITY, Analyzer().name),
        house.control,
        Place(TEXTS, "s", "another-hash"),
    )
    await forgotten.look()
    assert await forgotten.in_use()
    await house.close()


async def test_another_gateway_learns_of_them_before_the_first_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_rooms, "TRUSTED_SECONDS", 0.2)
    house = await House(tmp_path, shared=True).open()
    beside = house.another_room()
    await beside.look()
    assert not await beside.in_use()
    writing = asyncio.create_task(house.put("a", "", one="x"))
    while not writing.done():
        written = await house.points()
        assert await beside.in_use() or not written
        await asyncio.sleep(0.005)
    assert (await writing).outcome is Outcome.CREATED
    assert await beside.in_use()
    await house.close()


async def test_when_nobody_can_say_they_are_asked(tmp_path: Path) -> None:
    house = await House(tmp_path, shared=True).open()
    beside = house.another_room()

    async def fail(_: object) -> bytes | None:
        raise DOWN

    house.control.read = fail  # type: ignore[method-assign,assignment]
    assert await beside.in_use()
    with pytest.raises(MemplaneError):
        await beside.make()
    await house.close()


# --- in the outbox ----------------------------------------------------------------------------


class Standing:
    """A route that serves, or not."""

    fault: StoreError | None = DOWN
    ready = True


async def test_writes_that_wait_carry_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "LOOK_SECONDS", 0.002)
    house = await House(tmp_path).open()
    await house.put("old", "", one="x")
    outbox = house.control.outbox(
        HEADS, "here", ProtobufSpooled(ProtobufRecords()), Limits(2**30, 3600.0)
    )
    assert outbox is not None
    await outbox.open()
    memories = house.memories = SpoolingMemories(
        *("semantic", house.shelf, house.clock, TextVectors("semantic", house.embedder)),
        house.control.tokens,
        search=None,
        scan_budget=1000,
        outbox=outbox,
    )
    standing = Standing()
    await memories.open(standing)
    assert (await house.put("a", "x", one=Y, two="y", three="unknown")).outcome is Outcome.SPOOLED
    assert (await house.put("old", "", two="z")).outcome is Outcome.SPOOLED
    assert (await house.update("a", 1)).outcome is Outcome.SPOOLED
    (memory,) = await memories.get([address("a")], vectors=True, max_bytes=10**6, alone=True)
    assert memory is not None
    assert [None if each is None else each.tolist() for each in memory.further] == [
        Y.tolist(),
        Y.tolist(),
        None,
    ]
    assert await house.points() == 1
    standing.fault = None
    while outbox.standing.waiting:  # noqa: ASYNC110 (nobody can tell us)
        await asyncio.sleep(0.002)
    assert await house.seen(Y) == [("a", "one")]
    assert await house.seen(Z) == [("old", "two")]
    assert [key for key, _ in await house.seen(X)] == ["a"]
    assert await house.points() == 3
    await memories.close()
    await outbox.close()
    await house.close()
