"""Gateways beside each other over a store that compares no revisions: leases in their control store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.gateway.careless import (
    CALLER,
    NONE,
    Careless,
    address,
    gateway,
    opened,
    put,
    value,
)

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
)
from memplane_adapters.embedded.key_value_store import CAPABILITIES, EmbeddedKeyValueStore
from memplane_gateway.clock import Clock, wall_micros
from memplane_gateway.deadline import set_deadline
from memplane_gateway.errors import Code, MemplaneError, Reason
from memplane_gateway.memory.memories import Memories
from memplane_gateway.memory.model import Outcome, Removal, Update, Written
from memplane_gateway.memory.write import leases, shared_leases
from memplane_gateway.memory.write.shared_leases import Grant, SharedLeases

WRITERS = 32
LONG = 3600.0
EVENTUAL = replace(NONE, read_your_writes=False)


class Control:
    """The control store of all gateways, which can be down for one of them."""

    def __init__(self, store: EmbeddedKeyValueStore, *, atomic: bool = True) -> None:
        self._store = store
        self.capabilities = replace(CAPABILITIES, atomic=atomic)
        self.down = False
        self.swallowed = 0
        """So many answers to writes get lost."""
        self.puts = 0
        self.reached = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def get(self, addresses: Sequence[Address]) -> list[Stored | None]:
        if self.down:
            raise StoreError(StoreReason.UNAVAILABLE, "down", retryable=True)
        return await self._store.get(addresses)

    async def put(self, writes: Sequence[Write[Entry]], *, atomic: bool) -> list[WriteResult]:
        if self.down:
            raise StoreError(StoreReason.UNAVAILABLE, "down", retryable=True)
        self.reached.set()
        await self.open.wait()
        self.puts += 1
        results = await self._store.put(writes, atomic=atomic)
        if self.swallowed:
            self.swallowed -= 1
            raise StoreError(StoreReason.INTERRUPTED, "the answer got lost")
        return results


@dataclass
class Side:
    """One gateway: its memories, its view of the store and of the control store."""

    memories: Memories
    store: Careless
    control: Control
    leases: SharedLeases


@asynccontextmanager
async def beside(
    directory: Path, *, seconds: float = LONG, atomic: bool = True, number: int = 2
) -> AsyncIterator[list[Side]]:
    """Gateways over one store and one control store; clocks that differ by a minute each."""
    async with opened(directory / "store") as inner, opened(directory / "control") as kept:
        sides = []
        for ahead in range(number):
            clock = Clock(lambda ahead=ahead: wall_micros() - ahead * 60_000_000)  # type: ignore[misc]
            control = Control(kept, atomic=atomic)
            shared = SharedLeases(control, clock, place="p", seconds=seconds)  # type: ignore[arg-type]
            store = Careless(inner)
            sides.append(Side(gateway(store, clock, shared), store, control, shared))
        yield sides
        for side in sides:
            side.store.open.set()
            side.control.open.set()
            await side.memories.close()


@pytest.mark.parametrize("atomic", [True, False])
async def test_32_writers_over_two_gateways_lose_no_update(tmp_path: Path, atomic: bool) -> None:
    async with beside(tmp_path, atomic=atomic) as sides:
        await sides[0].memories.put(CALLER, [put([])])

        async def add(side: Side, number: int) -> None:
            while True:
                (memory,) = await side.memories.get(
                    [address()], vectors=False, max_bytes=10_000, alone=True
                )
                assert memory is not None
                before = memory.record.content.value
                assert isinstance(before, list)
                (done,) = await side.memories.put(
                    CALLER, [put([*before, number], etag=memory.etag)]
                )
                if done.error is None:
                    return
                assert done.error.reason is Reason.ETAG_MISMATCH

        await asyncio.gather(*(add(sides[n % 2], n) for n in range(WRITERS)))
        for side in sides:
            end = await value(side.memories)
            assert isinstance(end, list)
            assert sorted(end) == list(range(WRITERS))


@pytest.mark.parametrize("atomic", [True, False])
async def test_updates_and_crossing_batches_of_two_gateways(tmp_path: Path, atomic: bool) -> None:
    """Each call updates several memories, in an order of its own."""
    async with beside(tmp_path, atomic=atomic) as sides:
        keys = [f"k{n}" for n in range(4)]
        await sides[0].memories.put(CALLER, [put(0, key) for key in keys])

        async def update(side: Side, number: int) -> list[Written]:
            order = keys if number % 3 else keys[::-1]
            return await side.memories.update(
                CALLER, [Update(address(key), set_attributes={f"a{number}": 1}) for key in order]
            )

        done = await asyncio.gather(*(update(sides[n % 2], n) for n in range(WRITERS)))
        assert {item.outcome for items in done for item in items} == {Outcome.UPDATED}
        found = await sides[1].memories.get(
            [address(key) for key in keys], vectors=False, max_bytes=10**6, alone=False
        )
        wanted = {f"a{n}": 1 for n in range(WRITERS)}
        assert [memory.record.content.attributes for memory in found if memory] == [wanted] * 4


async def test_a_write_costs_two_puts_to_the_control_store(tmp_path: Path) -> None:
    """Also the next one, and one of many memories."""
    async with beside(tmp_path, number=1) as (side,):
        for number in range(3):
            side.control.puts = 0
            await side.memories.put(CALLER, [put(number, f"k{n}") for n in range(50)])
            await side.leases.close()
            assert side.control.puts == 2


# --- holders that end ---------------------------------------------------------------------------


async def _dead(side: Side, *addresses: Address) -> Grant:
    """A holder that is heard of no more: its process has died."""
    grant = await side.leases.take(addresses)
    assert grant._timer is not None
    grant._timer.cancel()
    return grant


async def test_a_holder_that_died_keeps_others_out_for_the_time_of_its_lease(
    tmp_path: Path,
) -> None:
    async with beside(tmp_path) as (dead, alive):
        await _dead(dead, address())

        async def hurried() -> list[Written]:
            set_deadline(0.1)
            return await alive.memories.put(CALLER, [put(1)])

        with pytest.raises(MemplaneError) as caught:
            await asyncio.create_task(hurried())
        assert caught.value.code is Code.DEADLINE_EXCEEDED
        assert alive.store.written == []
        (other,) = await alive.memories.put(CALLER, [put(1, "another")])
        assert other.outcome is Outcome.CREATED, "only what it held"
        alive.leases.seconds = 0.1
        (done,) = await alive.memories.put(CALLER, [put(2)])
        assert done.outcome is Outcome.CREATED


async def test_a_lease_that_another_took_over_is_not_given_back(tmp_path: Path) -> None:
    async with beside(tmp_path) as (dead, alive):
        grant = await _dead(dead, address())
        alive.leases.seconds = 0.05
        await alive.memories.put(CALLER, [put("newer")])
        assert await grant.release() is False


async def test_who_gives_up_while_writing_keeps_others_out_until_the_store_answers(
    tmp_path: Path,
) -> None:
    async with beside(tmp_path) as (first, second):
        first.store.open.clear()
        older = asyncio.create_task(first.memories.put(CALLER, [put("older")]))
        await first.store.reached.wait()
        older.cancel()
        with pytest.raises(asyncio.CancelledError):
            await older
        newer = asyncio.create_task(second.memories.put(CALLER, [put("newer")]))
        done, _ = await asyncio.wait({newer}, timeout=0.1)
        assert not done
        first.store.open.set()
        (written,) = await newer
        assert written.outcome is Outcome.UPDATED
        assert await value(first.memories) == "newer"


async def test_who_gives_up_while_asking_for_a_lease_leaves_none(tmp_path: Path) -> None:
    async with beside(tmp_path) as (first, second):
        first.control.open.clear()
        call = asyncio.create_task(first.memories.put(CALLER, [put(1)]))
        await first.control.reached.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        first.control.open.set()
        (written,) = await second.memories.put(CALLER, [put(2)])
        assert written.outcome is Outcome.CREATED
        assert first.store.written == []


async def test_a_write_longer_than_its_lease_keeps_it(tmp_path: Path) -> None:
    async with beside(tmp_path, seconds=0.3) as (first, second):
        first.store.open.clear()
        older = asyncio.create_task(first.memories.put(CALLER, [put("older")]))
        await first.store.reached.wait()
        newer = asyncio.create_task(second.memories.put(CALLER, [put("newer")]))
        await asyncio.sleep(1)
        assert not newer.done()
        first.store.open.set()
        ((one,), (two,)) = await asyncio.gather(older, newer)
        assert (one.outcome, two.outcome) == (Outcome.CREATED, Outcome.UPDATED)


# --- what is not sure ---------------------------------------------------------------------------


async def test_a_holder_that_was_taken_over_does_not_say_that_it_has_written(
    tmp_path: Path,
) -> None:
    async with beside(tmp_path, seconds=0.2) as (first, second):
        first.store.open.clear()
        older = asyncio.create_task(first.memories.put(CALLER, [put("older")]))
        await first.store.reached.wait()
        first.control.down = True  # its renewals do not arrive
        (newer,) = await second.memories.put(CALLER, [put("newer")])
        assert newer.outcome is Outcome.CREATED
        first.control.down = False
        first.store.open.set()
        with pytest.raises(StoreError) as caught:
            await older
        assert caught.value.reason is StoreReason.INTERRUPTED
        assert caught.value.metadata == {"ambiguous": "true"}


async def test_a_lease_that_ran_out_and_that_nobody_took_is_proof_enough(tmp_path: Path) -> None:
    # Long enough that a busy machine sends the write before it runs out.
    async with beside(tmp_path, seconds=0.4) as (first, second):
        first.store.open.clear()
        call = asyncio.create_task(first.memories.put(CALLER, [put(1)]))
        await first.store.reached.wait()
        first.control.down = True
        await asyncio.sleep(0.5)
        first.control.down = False
        first.store.open.set()
        (written,) = await call
        assert written.outcome is Outcome.CREATED
        assert await value(second.memories) == 1


async def test_a_lease_that_ran_out_before_the_write_was_sent_sends_none(tmp_path: Path) -> None:
    async with beside(tmp_path, seconds=0.0) as (first, _):
        with pytest.raises(StoreError) as caught:
            await first.memories.put(CALLER, [put(1)])
        assert caught.value.reason is StoreReason.UNAVAILABLE
        assert first.store.written == []


async def test_answers_that_get_lost_lose_no_lease(tmp_path: Path) -> None:
    async with beside(tmp_path) as (first, second):
        first.control.swallowed = 1  # that of taking it
        with pytest.raises(MemplaneError) as caught:
            await first.memories.put(CALLER, [put(1)])
        assert caught.value.code is Code.UNAVAILABLE
        (again,) = await first.memories.put(CALLER, [put(1)])
        assert again.outcome is Outcome.CREATED, "what was left is its own"
        (other,) = await second.memories.put(CALLER, [put(2)])
        assert other.outcome is Outcome.UPDATED


async def test_without_the_control_store_such_writes_are_refused_and_reads_are_not(
    tmp_path: Path,
) -> None:
    async with beside(tmp_path) as (first, second):
        await first.memories.put(CALLER, [put(1)])
        first.control.down = True
        for call in (
            first.memories.put(CALLER, [put(2)]),
            first.memories.update(CALLER, [Update(address(), set_attributes={"a": 1})]),
            first.memories.delete([Removal(address())]),
        ):
            with pytest.raises(MemplaneError) as caught:
                await call
            error = caught.value
            assert (error.code, error.reason) == (Code.UNAVAILABLE, Reason.BACKEND_UNAVAILABLE)
            assert error.metadata == {"store": "control"}
            assert error.retry_after
        assert await value(first.memories) == 1
        assert len(first.store.written) == 1
        first.control.down = False
        (written,) = await first.memories.put(CALLER, [put(2)])
        assert written.outcome is Outcome.UPDATED
        assert await value(second.memories) == 2


async def test_a_write_in_time_counts_although_its_lease_cannot_be_given_back(
    tmp_path: Path,
) -> None:
    async with beside(tmp_path) as (first, _):
        first.store.open.clear()
        call = asyncio.create_task(first.memories.put(CALLER, [put(1)]))
        await first.store.reached.wait()
        first.control.down = True
        first.store.open.set()
        (written,) = await call
        assert written.outcome is Outcome.CREATED


# --- stores that show a write late --------------------------------------------------------------


class Late:
    """What makes a store show an older state for the next reads."""

    def __init__(self, store: Careless, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reads = 0
        self.rows: list[Stored | None] = []
        inner = store.get

        async def get(addresses: Sequence[Address]) -> list[Stored | None]:
            if not self.reads:
                return await inner(addresses)
            self.reads -= 1
            return self.rows

        monkeypatch.setattr(store, "get", get)
        monkeypatch.setattr(store, "capabilities", EVENTUAL)


@asynccontextmanager
async def _eventual(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Side, Side, Late]]:
    """Two gateways, of which the second reads late."""
    monkeypatch.setattr(Careless, "capabilities", EVENTUAL)
    monkeypatch.setattr(leases, "_LOOK_SECONDS", 0.001)
    async with beside(directory) as (first, second):
        yield first, second, Late(second.store, monkeypatch)


async def _row(side: Side) -> Stored | None:
    (row,) = await side.store.get([address()])
    return row


async def test_a_read_that_is_older_than_the_last_write_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with _eventual(tmp_path, monkeypatch) as (first, second, late):
        late.rows, late.reads = [None], 3
        await first.memories.put(CALLER, [put(1)])
        (written,) = await second.memories.put(CALLER, [put(2)])
        assert (written.outcome, late.reads) == (Outcome.UPDATED, 0), "of nothing it would create"

        late.rows = [await _row(first)]
        await first.memories.update(CALLER, [Update(address(), set_attributes={"a": 1})])
        late.reads = 3
        await second.memories.update(CALLER, [Update(address(), set_attributes={"b": 1})])
        (memory,) = await first.memories.get(
            [address()], vectors=False, max_bytes=10_000, alone=True
        )
        assert memory is not None
        assert memory.record.content.attributes == {"a": 1, "b": 1}

        late.rows = [await _row(first)]
        await first.memories.delete([Removal(address())])
        late.reads = 3
        (gone,) = await second.memories.delete([Removal(address())])
        assert (gone.outcome, late.reads) == (Outcome.MISSING, 0)


async def test_a_store_that_stays_behind_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with _eventual(tmp_path, monkeypatch) as (first, second, late):
        monkeypatch.setattr(leases, "STALE_SECONDS", 0.05)
        await first.memories.put(CALLER, [put(1)])
        late.rows, late.reads = [None], 10**9
        with pytest.raises(MemplaneError) as caught:
            await second.memories.put(CALLER, [put(2)])
        assert caught.value.code is Code.UNAVAILABLE
        assert second.store.written == []


async def test_where_reads_may_be_late_a_write_that_is_not_noted_is_not_sure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with _eventual(tmp_path, monkeypatch) as (first, _, _late):
        first.store.open.clear()
        call = asyncio.create_task(first.memories.put(CALLER, [put(1)]))
        await first.store.reached.wait()
        first.control.down = True
        first.store.open.set()
        with pytest.raises(StoreError) as caught:
            await call
        assert caught.value.metadata == {"ambiguous": "true"}


async def test_another_place_may_hold_something_else(tmp_path: Path) -> None:
    """A route that leads to another store since then: what was written to the old one counts no more."""
    async with beside(tmp_path) as (first, second):
        await first.memories.put(CALLER, [put(1)])
        second.leases.place = "another"
        grant = await second.leases.take([address()])
        assert not grant.is_stale(address(), None)
        await grant.release()
        again = await first.leases.take([address()])
        assert again.is_stale(address(), None), "what is noted of a place stays"
        await again.release()


# --- keeping it small ---------------------------------------------------------------------------


async def test_entries_that_nobody_touched_for_an_hour_are_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_leases, "_SWEEP_SECONDS", 0.0)
    async with beside(tmp_path) as (ahead, behind):
        await behind.memories.put(CALLER, [put(1)])
        await behind.leases.close()
        everything = Scope("", Kind.CONTROL, alive_at=0)
        assert (await behind.control._store.count(everything)).count == 1
        monkeypatch.setattr(shared_leases, "KEPT_SECONDS", 30)  # less than the clocks differ
        await ahead.memories.put(CALLER, [put(1, "another")])
        await ahead.leases.close()
        assert (await behind.control._store.count(everything)).count == 1
        await behind.memories.put(CALLER, [put(2)])


async def test_what_is_known_of_entries_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_leases, "_MOST_SEEN", 5)
    async with beside(tmp_path) as (first, second):
        for side in (first, second):
            for number in range(20):
                await side.memories.put(CALLER, [put(1, f"k{number}")])
            assert len(side.leases._seen) == 5
