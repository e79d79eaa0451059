"""Forgets and consolidations beside an outbox, when time is over, and when a store fails half-way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.flaky import House, caller, emptied, refusal
from tests.gateway.shelved import CALLER, KIND, Shelved

from memplane_adapters.contract import Delete, Kind, StoreError, StoreReason, WriteResult
from memplane_gateway.errors import Code, MemplaneError, Reason
from memplane_gateway.memory.calls.once import OnceNotes
from memplane_gateway.memory.lifecycle import consolidating, deleting, duplicates
from memplane_gateway.memory.lifecycle.consolidating import Consolidation
from memplane_gateway.memory.lifecycle.deleting import Progress
from memplane_gateway.memory.model import Operation
from memplane_gateway.memory.questions import (
    Consolidate,
    Consolidated,
    Forget,
    Forgotten,
    Group,
    Selection,
)

FORGET = Forget(Selection(Kind.PROCEDURAL, ("n",)), b"ForgetMemories", older_than=1)
ROWS = 7


@pytest.fixture
def shelved(tmp_path: Path) -> Iterator[Shelved]:
    made = Shelved(tmp_path)
    yield made
    made.close()


@pytest.fixture
async def filled(house: House) -> House:
    for number in range(ROWS):
        await house.put(number, f"k{number}")
    return house


@pytest.fixture
async def notes(house: House) -> AsyncIterator[OnceNotes[Progress]]:
    made = OnceNotes(house.control, house.clock, Operation.FORGET, Progress.decode)
    yield made
    await made.close()


async def forget(house: House, notes: OnceNotes[Progress], request_id: str = "") -> Forgotten:
    """What the service does."""
    who = caller(request_id)

    async def run(progress: Progress) -> Forgotten:
        return await house.memories.forget(who, FORGET, progress)

    return await notes.once(who, house.memories.begin_forget(who, FORGET), run)


async def test_a_forget_is_refused_while_something_in_its_scope_waits(
    filled: House, notes: OnceNotes[Progress]
) -> None:
    filled.store.down = True
    await filled.put("later", "k0")
    for dry_run in (False, True):
        progress = filled.memories.begin_forget(caller(), FORGET)
        error = await refusal(filled.memories.forget(caller(), FORGET, progress, dry_run=dry_run))
        assert isinstance(error, MemplaneError)
        assert (error.code, error.reason) == (Code.UNAVAILABLE, Reason.BACKEND_UNAVAILABLE)
    await emptied(filled)
    assert (await forget(filled, notes)).count == ROWS


async def test_a_forget_that_broke_off_goes_on_and_tells_of_all(
    filled: House, notes: OnceNotes[Progress], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deleting, "_ROWS", 3)
    delete, deleted = filled.store.delete, 0

    async def fails_later(deletes: Any, **named: Any) -> list[WriteResult]:
        nonlocal deleted
        deleted += 1
        filled.store.down = deleted == 2
        return await delete(deletes, **named)

    monkeypatch.setattr(filled.store, "delete", fails_later)
    error = await refusal(forget(filled, notes, "r"))
    assert isinstance(error, MemplaneError)
    assert (error.code, error.metadata["forgotten"]) == (Code.UNAVAILABLE, "3")
    filled.store.down = False
    await filled.put("since", "k6")
    for replayed in (False, True):
        again = await forget(filled, notes, "r")
        assert (again.count, again.replayed) == (ROWS - 1, replayed)
        assert [each.key for each in again.memories] == [f"k{n}" for n in range(ROWS - 1)]
        assert all(each.age is not None and each.age > 0 for each in again.memories)
    assert await filled.value("k6") == "since"


# --- consolidations -------------------------------------------------------------------------------


async def pairs(shelved: Shelved, count: int) -> Consolidate:
    """So many pairs of equals, the later memory of each to be kept."""
    room = shelved.room()
    for number in range(count):
        for half in "ab":
            shelved.now += 1000
            await shelved.put((room,), f"{number}{half}", degrees=number * 20)
    return Consolidate(Selection(KIND, (room,)), room.encode())


async def consolidate(
    shelved: Shelved, asked: Consolidate, progress: Consolidation | None = None
) -> Consolidated:
    progress = progress or shelved.memories.begin_consolidate(CALLER, asked)
    return await shelved.memories.consolidate(CALLER, asked, progress)


def kept(done: Consolidated) -> list[str]:
    return [group.kept for group in done.groups]


def test_a_consolidation_stops_when_half_of_its_time_is_over(
    shelved: Shelved, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        asked = await pairs(shelved, 4)
        late = iter([False, False, True])
        with monkeypatch.context() as patch:
            patch.setattr(consolidating, "is_late", lambda _: next(late))
            first = await consolidate(shelved, asked)
        assert kept(first) == ["3b", "2b"], "the third that was looked at was merged before"
        rest = await consolidate(shelved, replace(asked, page_token=first.next_page_token))
        assert (kept(rest), rest.next_page_token) == (["1b", "0b"], "")

    shelved.run(run())


def test_a_consolidation_that_broke_off_goes_on_and_tells_of_all(
    shelved: Shelved, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        asked = await pairs(shelved, 3)
        delete, deleted = shelved.store.delete, 0

        async def fails_later(deletes: list[Delete]) -> list[WriteResult]:
            nonlocal deleted
            deleted += 1
            if deleted == 2:
                raise StoreError(StoreReason.UNAVAILABLE, "down")
            return await delete(deletes)

        monkeypatch.setattr(shelved.store, "delete", fails_later)
        progress = shelved.memories.begin_consolidate(CALLER, asked)
        error = await refusal(consolidate(shelved, asked, progress))
        assert isinstance(error, MemplaneError)
        assert (error.code, error.metadata["merged"]) == (Code.UNAVAILABLE, "1")
        assert "the consolidation broke off after 1 memories were deleted" in error.message
        noted = Consolidation.decode(progress.encode())
        assert noted == progress
        done = await consolidate(shelved, asked, noted)
        assert (kept(done), done.merged_count, done.replayed) == (["2b", "1b", "0b"], 3, False)
        again = await consolidate(shelved, asked, Consolidation.decode(noted.encode()))
        assert again == replace(done, replayed=True)

    shelved.run(run())


def test_what_was_merged_before_a_failure_is_told(
    shelved: Shelved, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group that is cut in two by it."""
    monkeypatch.setattr(consolidating, "_ROWS", 2)

    async def run() -> None:
        room = shelved.room()
        for number in range(6):
            shelved.now += 1000
            await shelved.put((room,), f"{number}", degrees=0)
        asked = Consolidate(Selection(KIND, (room,)), room.encode())
        progress = shelved.memories.begin_consolidate(CALLER, asked)
        delete = shelved.store.delete
        calls = 0

        async def fails_later(deletes: list[Delete]) -> list[WriteResult]:
            nonlocal calls
            calls += 1
            if calls == 2:
                raise StoreError(StoreReason.UNAVAILABLE, "down")
            return await delete(deletes)

        monkeypatch.setattr(shelved.store, "delete", fails_later)
        await refusal(consolidate(shelved, asked, progress))
        assert progress.groups == [Group((room,), "5", (("3", 1.0), ("4", 1.0)), 2)]
        done = await consolidate(shelved, asked, progress)
        assert [group.merged_count for group in done.groups] == [2, 3]
        assert done.merged_count == 5

    shelved.run(run())


async def chain(shelved: Shelved, length: int) -> Consolidate:
    """Each is a little like the one before, and more important, and the walk begins at the least."""
    room = shelved.room()
    for number in range(length):
        await shelved.put(
            (room,),
            f"{number:02}",
            at=shelved.now - number,
            degrees=number * 4,
            importance=number / length,
        )
    return Consolidate(Selection(KIND, (room,)), room.encode(), 0.997)


async def to_the_end(shelved: Shelved, asked: Consolidate) -> list[Consolidated]:
    done = [await consolidate(shelved, asked)]
    while done[-1].next_page_token:
        done.append(await consolidate(shelved, replace(asked, page_token=done[-1].next_page_token)))
        assert len(done) < 100
    return done


async def left_of(shelved: Shelved, asked: Consolidate) -> list[int]:
    return [int(key) for _, key in await shelved.records(*asked.selection.namespace)]


def test_a_long_chain_is_settled_from_its_end(
    shelved: Shelved, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consolidating, "COMPARED", 1)

    async def run() -> None:
        asked = await chain(shelved, 40)
        done = await to_the_end(shelved, asked)
        assert sum(each.merged_count for each in done) == 20
        assert await left_of(shelved, asked) == list(range(1, 40, 2))

    shelved.run(run())


def test_a_chain_that_takes_too_many_is_left_but_for_its_end(
    shelved: Shelved, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each run gets further, and looks at each memory about once."""
    monkeypatch.setattr(duplicates, "SETTLED", 10)

    async def run() -> None:
        asked = await chain(shelved, 40)
        left = 40
        for _ in range(10):
            (done,) = await to_the_end(shelved, asked)
            assert done.compared < 2 * left
            if not done.merged_count:
                break
            left -= done.merged_count
        assert await left_of(shelved, asked) == list(range(1, 40, 2))

    shelved.run(run())


def test_a_memory_that_takes_too_long_is_left_once_a_call_has_begun_with_it(
    shelved: Shelved, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        asked = await chain(shelved, 8)
        for key in ("98", "99"):
            await shelved.put(asked.selection.namespace, key, at=shelved.now + 1, degrees=180)
        late = iter([False, False, True])
        with monkeypatch.context() as patch:
            patch.setattr(duplicates, "is_late", lambda _: next(late, False))
            done = await to_the_end(shelved, asked)
        assert [each.merged_count for each in done] == [1, 4], "the pair, then the chain"
        assert await left_of(shelved, asked) == [1, 3, 5, 7, 98]
        asked = await chain(shelved, 3)
        monkeypatch.setattr(duplicates, "is_late", lambda _: True)
        done = await to_the_end(shelved, asked)
        assert [each.merged_count for each in done] == [0, 0, 1]
        assert await left_of(shelved, asked) == [0, 2]

    shelved.run(run())
