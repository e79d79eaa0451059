"""Calls that are sent again: answers that got lost, tries that broke off, gateways beside each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from memplane_adapters.contract import (
    Address,
    Entry,
    Kind,
    Scope,
    Stored,
    StoreError,
    StoreReason,
    Write,
    WriteResult,
    WriteStatus,
)
from memplane_adapters.embedded import ADAPTER, EmbeddedSettings
from memplane_adapters.embedded.key_value_store import EmbeddedKeyValueStore
from memplane_gateway.clock import Clock, wall_micros
from memplane_gateway.control import ControlStore
from memplane_gateway.errors import Code, MemplaneError, Reason, is_ambiguous
from memplane_gateway.layers import StackedKeyValueStore, make_layers
from memplane_gateway.memory.calls import idempotency
from memplane_gateway.memory.calls.idempotency import Running
from memplane_gateway.memory.calls.removals import RemovalNotes
from memplane_gateway.memory.embedding import TextVectors
from memplane_gateway.memory.memories import Memories
from memplane_gateway.memory.model import (
    Caller,
    Content,
    Must,
    Operation,
    Outcome,
    Precondition,
    Put,
    Removal,
    Update,
    Written,
)
from memplane_gateway.memory.questions import Mode
from memplane_gateway.memory.shelf import KeyValueShelf
from memplane_gateway.memory.tokens import PageTokens
from memplane_gateway.wire.records import ProtobufRecords

CALLER = Caller(request_id="request", body_hash=b"b" * 16)
OTHER_BODY = replace(CALLER, body_hash=b"o" * 16)
DAY = 24 * 3600 * 1_000_000


class Lossy:
    """The embedded store, whose answers can get lost: before or after it has written."""

    def __init__(self, store: EmbeddedKeyValueStore) -> None:
        self._store = store
        self.lost = ""
        self.down = False
        self.writes = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def get(self, addresses: Sequence[Address]) -> list[Stored | None]:
        if self.down:
            raise StoreError(StoreReason.UNAVAILABLE, "down")
        return await self._store.get(addresses)

    async def put(self, writes: Sequence[Write[Entry]], *, atomic: bool) -> list[WriteResult]:
        lost, self.lost = self.lost, ""
        self.writes += 1
        if lost == "before":
            raise StoreError(StoreReason.INTERRUPTED, "lost")
        results = await self._store.put(writes, atomic=atomic)
        if lost == "down":
            self.down = True
        if lost == "of b":
            failure = WriteResult(WriteStatus.FAILED, StoreError(StoreReason.INTERRUPTED, "lost"))
            keys = [write.entry.address.key for write in writes]
            return [
                failure if key == "b" else result for key, result in zip(keys, results, strict=True)
            ]
        if lost:
            raise StoreError(StoreReason.INTERRUPTED, "lost")
        return results


class Wall:
    """Wall time that a test moves on."""

    def __init__(self) -> None:
        self.ahead = 0

    def __call__(self) -> int:
        return wall_micros() + self.ahead


class House:
    """One gateway's middle, over a file that others may use too."""

    def __init__(self, directory: Path) -> None:
        backend = ADAPTER.connect(EmbeddedSettings(), directory)
        assert isinstance(backend.key_value, EmbeddedKeyValueStore)
        self.store = backend.key_value
        self.lossy = Lossy(self.store)
        self.wall = Wall()
        self.clock = Clock(self.wall)
        self.control = ControlStore(
            self.store, self.clock, name="embedded", adapter="embedded", shared=False
        )
        stacked = StackedKeyValueStore("s", self.lossy, make_layers())  # type: ignore[arg-type]
        self.memories = Memories(
            "procedural",
            KeyValueShelf(stacked, ProtobufRecords()),
            self.clock,
            TextVectors("procedural", None),
            PageTokens(b"s"),
            search=Mode.RECENT,
            scan_budget=1000,
        )

    async def value(self, key: str = "k") -> object:
        """What is there; None is nothing."""
        (memory,) = await self.memories.get(
            [address(key)], vectors=False, max_bytes=10_000, alone=True
        )
        return None if memory is None else memory.record.content.value

    def notes(self, *, shared: bool = False) -> RemovalNotes:
        """Those of another process."""
        return RemovalNotes(self.control, self.clock, shared=shared)

    async def noted(self) -> int:
        """How many notes there are, expired ones too."""
        scope = Scope("", Kind.CONTROL, alive_at=0, namespace=("requests",))
        return (await self.store.count(scope)).count


@asynccontextmanager
async def opened(directory: Path) -> AsyncIterator[House]:
    house = House(directory)
    await house.store.open()
    yield house
    await house.memories.close()
    await house.store.close()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with opened(tmp_path) as made:
        yield made


def address(key: str = "k") -> Address:
    return Address("default", Kind.PROCEDURAL, (), key)


def put(value: int = 1, key: str = "k", index: int = 0, must: Must | None = None) -> Put:
    precondition = Precondition(must) if must else None
    return Put(address(key), Content(value=value), precondition=precondition, index=index)


def told(written: Sequence[Written]) -> list[tuple[Outcome | None, bool]]:
    return [(each.outcome, each.replayed) for each in written]


# --- answers that got lost ------------------------------------------------------------------------


@pytest.mark.parametrize("must", [None, Must.ABSENT])
@pytest.mark.parametrize(("lost", "writes"), [("after", 1), ("before", 2)])
async def test_a_write_whose_answer_got_lost_recognises_itself(
    house: House, lost: str, writes: int, must: Must | None
) -> None:
    house.lossy.lost = lost
    (written,) = await house.memories.put(CALLER, [put(must=must)])
    assert told([written]) == [(Outcome.CREATED, False)]
    assert house.lossy.writes == writes
    assert written.memory is not None
    (again,) = await house.memories.put(CALLER, [put(must=must)])
    assert told([again]) == [(Outcome.CREATED, True)]
    assert again.memory is not None
    assert again.memory.etag == written.memory.etag


async def test_a_match_whose_answer_got_lost_recognises_itself(house: House) -> None:
    (made,) = await house.memories.put(Caller(), [put()])
    assert made.memory is not None
    matching = replace(put(2), precondition=Precondition(Must.MATCH, made.memory.etag))
    house.lossy.lost = "after"
    assert told(await house.memories.put(CALLER, [matching])) == [(Outcome.UPDATED, False)]
    update = Update(address(), value=3)
    house.lossy.lost = "after"
    assert told(await house.memories.update(CALLER, [update])) == [(Outcome.UPDATED, False)]
    assert await house.value() == 3
    assert told(await house.memories.put(CALLER, [matching])) == [(Outcome.UPDATED, True)]
    assert await house.value() == 3


async def test_items_whose_answers_got_lost_recognise_themselves(house: House) -> None:
    house.lossy.lost = "of b"
    puts = [put(key=key, index=index) for index, key in enumerate("abc")]
    assert told(await house.memories.put(CALLER, puts)) == [(Outcome.CREATED, False)] * 3
    assert house.lossy.writes == 1


async def test_an_atomic_batch_whose_answer_got_lost_recognises_itself(house: House) -> None:
    house.lossy.lost = "after"
    puts = [put(key=key, index=index) for index, key in enumerate("abc")]
    written = await house.memories.put(CALLER, puts, atomic=True)
    assert told(written) == [(Outcome.CREATED, False)] * 3
    assert house.lossy.writes == 1


async def test_without_a_request_id_nobody_knows(house: House) -> None:
    house.lossy.lost = "after"
    with pytest.raises(StoreError) as caught:
        await house.memories.put(Caller(), [put()])
    assert is_ambiguous(caught.value)
    assert house.lossy.writes == 1


async def test_it_stays_unknown_while_the_store_is_down(house: House) -> None:
    house.lossy.lost = "down"
    with pytest.raises(StoreError) as caught:
        await house.memories.put(CALLER, [put()])
    assert caught.value.reason is StoreReason.INTERRUPTED
    assert is_ambiguous(caught.value)
    house.lossy.down = False
    assert told(await house.memories.put(CALLER, [put()])) == [(Outcome.CREATED, True)]


# --- what is remembered, and for how long -----------------------------------------------------------


async def test_a_write_is_remembered_for_24_hours(house: House) -> None:
    await house.memories.put(CALLER, [put()])
    house.wall.ahead = DAY - 60_000_000
    assert told(await house.memories.put(CALLER, [put()])) == [(Outcome.CREATED, True)]
    with pytest.raises(MemplaneError) as caught:
        await house.memories.put(OTHER_BODY, [put(2)])
    assert (caught.value.code, caught.value.reason) == (
        Code.ALREADY_EXISTS,
        Reason.REQUEST_ID_REUSED,
    )
    house.wall.ahead = DAY + 1_000_000
    assert told(await house.memories.put(CALLER, [put()])) == [(Outcome.UNCHANGED, False)]
    (written,) = await house.memories.put(OTHER_BODY, [put(2)])
    assert told([written]) == [(Outcome.UPDATED, False)]
    assert written.memory is not None
    tokens = written.memory.record.tokens
    assert [token.body_hash for token in tokens] == [OTHER_BODY.body_hash]


async def test_a_record_holds_16_tokens(house: House) -> None:
    for number in range(20):
        caller = Caller(request_id=f"{number}", body_hash=b"b")
        await house.memories.put(caller, [put(number)])
    (written,) = await house.memories.update(Caller(), [Update(address(), pinned=True)])
    assert written.memory is not None
    ids = [token.request_id for token in written.memory.record.tokens]
    assert ids == [f"{number}" for number in range(4, 20)]


# --- at once ----------------------------------------------------------------------------------------


async def test_a_call_waits_for_its_twin_and_then_is_told_to_come_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    running = Running()
    tenant, no_id = replace(CALLER, tenant="other"), replace(CALLER, request_id="")
    async with running.alone(CALLER, Operation.PUT):
        async with (
            running.alone(CALLER, Operation.UPDATE),
            running.alone(tenant, Operation.PUT),
            running.alone(no_id, Operation.PUT),
            running.alone(no_id, Operation.PUT),
        ):
            pass
        monkeypatch.setattr(idempotency, "PATIENCE_SECONDS", 0.01)
        with pytest.raises(MemplaneError) as caught:
            async with running.alone(CALLER, Operation.PUT):
                raise AssertionError("it ran beside its twin")
        assert (caught.value.code, caught.value.reason) == (Code.ABORTED, Reason.REQUEST_RUNNING)
        assert caught.value.retry_after is not None
        monkeypatch.setattr(idempotency, "PATIENCE_SECONDS", 30)
        begun = asyncio.Event()

        async def twin() -> None:
            begun.set()
            async with running.alone(CALLER, Operation.PUT):
                pass

        waiting = asyncio.create_task(twin())
        await begun.wait()
        assert not waiting.done()
    await waiting
    assert not running._calls


# --- deletes ------------------------------------------------------------------------------------


def deleter(house: House, tries: list[int]) -> Callable[[list[Removal]], Awaitable[list[Written]]]:
    """Deletes, and counts the items of each try."""

    async def delete(removals: list[Removal]) -> list[Written]:
        tries.append(len(removals))
        return await house.memories.delete(removals)

    return delete


async def breaks_off(removals: list[Removal]) -> list[Written]:
    """A try of which nobody hears again."""
    raise asyncio.CancelledError


async def test_a_delete_without_a_request_id_asks_no_control_store(
    house: House, tmp_path: Path
) -> None:
    closed = House(tmp_path / "elsewhere")  # never opened: every call of it fails
    tries: list[int] = []
    await house.memories.put(Caller(), [put()])
    notes = closed.notes()
    no_id = replace(CALLER, request_id="")
    written = await notes.once(no_id, [Removal(address())], deleter(house, tries))
    assert told(written) == [(Outcome.DELETED, False)]
    with pytest.raises(MemplaneError) as caught:
        await notes.once(CALLER, [Removal(address())], deleter(house, tries))
    assert (caught.value.code, caught.value.reason) == (
        Code.UNAVAILABLE,
        Reason.BACKEND_UNAVAILABLE,
    )
    assert caught.value.retry_after is not None
    assert tries == [1], "it must not delete what it cannot remember"


async def test_what_was_made_after_a_try_that_broke_off_stays(house: House) -> None:
    await house.memories.put(Caller(), [put(key="old"), put(key="again")])
    removals = [Removal(address(key)) for key in ("old", "again", "new")]

    async def half(given: list[Removal]) -> list[Written]:
        await house.memories.delete(given[1:])
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await house.notes().once(CALLER, removals, half)
    await house.memories.put(Caller(), [put(2, key="again"), put(2, key="new")])
    tries: list[int] = []
    written = await house.notes().once(CALLER, removals, deleter(house, tries))
    assert [each.outcome for each in written] == [
        Outcome.DELETED,
        Outcome.MISSING,
        Outcome.MISSING,
    ]
    assert [await house.value(key) for key in ("old", "again", "new")] == [None, 2, 2]
    written = await house.notes().once(CALLER, removals, deleter(house, tries))
    assert [each.replayed for each in written] == [True] * 3
    assert tries == [3]
    with pytest.raises(MemplaneError) as caught:
        await house.notes().once(OTHER_BODY, removals, deleter(house, tries))
    assert caught.value.reason is Reason.REQUEST_ID_REUSED


async def test_what_was_updated_since_a_try_broke_off_is_deleted(house: House) -> None:
    await house.memories.put(Caller(), [put()])
    with pytest.raises(asyncio.CancelledError):
        await house.notes().once(CALLER, [Removal(address())], breaks_off)
    await house.memories.update(Caller(), [Update(address(), value=2)])
    written = await house.notes().once(CALLER, [Removal(address())], deleter(house, []))
    assert told(written) == [(Outcome.DELETED, False)]


async def test_another_gateway_waits_for_a_try_that_may_still_run(house: House) -> None:
    await house.memories.put(Caller(), [put()])
    one, other = house.notes(shared=True), house.notes(shared=True)
    with pytest.raises(asyncio.CancelledError):
        await one.once(CALLER, [Removal(address())], breaks_off)
    tries: list[int] = []
    with pytest.raises(MemplaneError) as caught:
        await other.once(CALLER, [Removal(address())], deleter(house, tries))
    assert (caught.value.code, caught.value.reason) == (Code.ABORTED, Reason.REQUEST_RUNNING)
    assert caught.value.retry_after is not None
    assert 0 < caught.value.retry_after <= 1
    assert not tries
    house.wall.ahead += 60_000_000  # longer than any call and its overtime
    written = await other.once(CALLER, [Removal(address())], deleter(house, tries))
    assert told(written) == [(Outcome.DELETED, False)]


async def test_a_try_that_failed_cleanly_need_not_be_waited_for(house: House) -> None:
    await house.memories.put(Caller(), [put()])

    async def refused(_: list[Removal]) -> list[Written]:
        raise MemplaneError(Code.UNAVAILABLE, Reason.BACKEND_UNAVAILABLE, "nothing was written")

    one, other = house.notes(shared=True), house.notes(shared=True)
    with pytest.raises(MemplaneError):
        await one.once(CALLER, [Removal(address())], refused)
    await house.memories.delete([Removal(address())])
    await house.memories.put(Caller(), [put(2)])
    # Nothing was deleted by the first try, so that this one is the first that counts.
    written = await other.once(CALLER, [Removal(address())], deleter(house, []))
    assert told(written) == [(Outcome.DELETED, False)]


async def test_gateways_at_once_delete_once(house: House) -> None:
    for round_ in range(10):
        await house.memories.put(Caller(), [put(round_)])
        caller = replace(CALLER, request_id=f"{round_}")
        tries: list[int] = []
        answers = await asyncio.gather(
            *(
                house.notes(shared=True).once(caller, [Removal(address())], deleter(house, tries))
                for _ in range(8)
            ),
            return_exceptions=True,
        )
        assert tries == [1]
        for answer in answers:
            if isinstance(answer, BaseException):
                assert isinstance(answer, MemplaneError)
                assert answer.reason is Reason.REQUEST_RUNNING
            else:
                assert [each.outcome for each in answer] == [Outcome.DELETED]


async def test_a_note_is_replaced_after_24_hours_and_swept_after_48(house: House) -> None:
    notes, tries = house.notes(), list[int]()
    for number in range(3):
        caller = replace(CALLER, request_id=f"{number}")
        await notes.once(caller, [Removal(address())], deleter(house, tries))
    assert await house.noted() == 3
    house.wall.ahead = DAY + 1_000_000
    other = replace(OTHER_BODY, request_id="0")
    await notes.once(other, [Removal(address("other"))], deleter(house, tries))
    assert len(tries) == 4
    assert await house.noted() == 3
    house.wall.ahead = 2 * DAY + 2_000_000
    await notes.once(CALLER, [Removal(address())], deleter(house, tries))
    sweeping = notes._notes._sweep._sweeping
    assert sweeping is not None
    await sweeping
    assert await house.noted() == 2
    await notes.close()
