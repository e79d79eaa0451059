"""Purges beside an outbox, after lost answers and on stores that fail half-way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.gateway.flaky import House, caller, emptied, refusal

from memplane_adapters.contract import Kind, StoreReason
from memplane_gateway.errors import Code, MemplaneError, Reason, is_ambiguous
from memplane_gateway.memory.calls.once import OnceNotes
from memplane_gateway.memory.lifecycle import deleting
from memplane_gateway.memory.lifecycle.deleting import Progress
from memplane_gateway.memory.model import Caller, Operation
from memplane_gateway.memory.questions import NamespaceQuery, Purge, Purged, Selection
from memplane_gateway.outbox import replay

PURGE = Purge(Selection(Kind.PROCEDURAL, ("n",)), b"PurgeMemories")
ROWS = 7


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay that looks often, and batches of three."""
    monkeypatch.setattr(replay, "LOOK_SECONDS", 0.002)
    monkeypatch.setattr(replay, "FIRST_PAUSE_SECONDS", 0.002)
    monkeypatch.setattr(replay, "LONGEST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(deleting, "_ROWS", 3)


@pytest.fixture(params=[True, False], ids=["compares", "leases"])
async def house(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[House]:
    made = await House(tmp_path, compares=request.param).open()
    for number in range(ROWS):
        await made.put(number, f"k{number}")
    yield made
    await made.close()


@pytest.fixture
async def notes(house: House) -> AsyncIterator[OnceNotes[Progress]]:
    made = OnceNotes(house.control, house.clock, Operation.PURGE, Progress.decode)
    yield made
    await made.close()


async def purge(
    house: House,
    notes: OnceNotes[Progress],
    request_id: str = "",
    asked: Purge = PURGE,
) -> Purged:
    """What the service does."""
    who: Caller = caller(request_id)
    progress = house.memories.begin_purge(who, asked)

    async def run(progress: Progress) -> Purged:
        return await house.memories.purge(who, asked, progress)

    return await notes.once(who, progress, run)


async def left(house: House) -> int:
    return (await house.memories.count(caller(), PURGE.selection)).count


async def refused(house: House, notes: OnceNotes[Progress], asked: Purge = PURGE) -> None:
    """Nothing is deleted, and it is said that only the store can decide that."""
    for dry_run in (False, True):
        progress = house.memories.begin_purge(caller(), asked)
        error = await refusal(house.memories.purge(caller(), asked, progress, dry_run=dry_run))
        assert isinstance(error, MemplaneError)
        assert (error.code, error.reason) == (Code.UNAVAILABLE, Reason.BACKEND_UNAVAILABLE)
        assert error.retry_after
    error = await refusal(purge(house, notes, asked=asked))
    assert "nothing was deleted" in str(error)


async def test_a_purge_is_refused_while_something_in_its_scope_waits(
    house: House, notes: OnceNotes[Progress]
) -> None:
    house.store.down = True
    await house.put("later", "k0")
    await refused(house, notes)
    house.store.refuses["k0"] = StoreReason.EXHAUSTED
    house.store.down = False
    await refused(house, notes)
    below = replace(PURGE, selection=replace(PURGE.selection, namespace=("n", "below")))
    assert (await purge(house, notes, asked=below)).count == 0, "nothing waits there"
    house.store.refuses.clear()
    await emptied(house)
    assert (await purge(house, notes)).count == ROWS
    assert await left(house) == 0


async def test_overviews_say_that_something_waits(house: House) -> None:
    query = NamespaceQuery(Kind.PROCEDURAL, b"ListNamespaces", prefix=("n",))
    for waits in (False, True):
        house.store.refuses["k0"] = StoreReason.EXHAUSTED
        page = await house.memories.namespaces(caller(), query)
        figures = await house.memories.statistics(caller(), PURGE.selection)
        assert (page.namespaces, page.incomplete) == ((("n",),), waits)
        assert (figures.count, figures.incomplete) == (ROWS, waits)
        house.store.down = True
        await house.put("later", "k0")
        house.store.down = False


async def test_a_purge_that_is_over_is_told_while_the_store_is_down(
    house: House, notes: OnceNotes[Progress]
) -> None:
    first = await purge(house, notes, "r")
    house.store.down = True
    again = await purge(house, notes, "r")
    assert (again.count, again.replayed) == (first.count, True)


async def test_a_retry_goes_on_where_the_first_try_broke_off(
    house: House, notes: OnceNotes[Progress], monkeypatch: pytest.MonkeyPatch
) -> None:
    deleted = 0
    delete = house.store.delete

    async def fails_later(*args: object, **named: object) -> object:
        nonlocal deleted
        deleted += 1
        house.store.down = deleted == 2
        return await delete(*args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(house.store, "delete", fails_later)
    error = await refusal(purge(house, notes, "r"))
    assert isinstance(error, MemplaneError)
    assert (error.code, error.metadata["purged"]) == (Code.UNAVAILABLE, "3")
    assert "after 3 memories were deleted" in error.message
    house.store.down = False
    assert await left(house) == ROWS - 3
    await house.put("since", "k0")
    await house.put("since", "k6")
    again = await purge(house, notes, "r")
    assert (again.count, again.replayed) == (ROWS - 1, False)
    assert [await house.value(key) for key in ("k0", "k5", "k6")] == ["since", None, "since"]
    assert (await purge(house, notes, "r")).replayed


@pytest.mark.parametrize("lost", ["before", "after"])
async def test_an_answer_that_got_lost_is_said_and_a_retry_ends_it(
    house: House, notes: OnceNotes[Progress], lost: str
) -> None:
    house.store.lost = lost
    error = await refusal(purge(house, notes, "r"))
    assert not isinstance(error, MemplaneError), "nothing is known to be deleted"
    assert is_ambiguous(error)
    await house.put("since", "k0")
    again = await purge(house, notes, "r")
    assert again.count == {"before": ROWS - 1, "after": ROWS - 3}[lost]
    assert await left(house) == 1
    assert await house.value("k0") == "since"


async def test_a_purge_stops_when_half_of_its_time_is_over(
    house: House, notes: OnceNotes[Progress], monkeypatch: pytest.MonkeyPatch
) -> None:
    late = iter([False, True])
    monkeypatch.setattr(deleting, "is_late", lambda _: next(late))
    first = await purge(house, notes)
    assert first.count == 6
    monkeypatch.undo()
    assert first.next_page_token
    await house.put("since", "k0")
    rest = await purge(house, notes, asked=replace(PURGE, page_token=first.next_page_token))
    assert (rest.count, rest.next_page_token) == (1, "")
    assert await left(house) == 1
