"""A read lets a period begin again, and nothing else: no write is lost, no etag, and nobody revived."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.gateway.flaky import RECORDS, Flaky, address, caller, put, until

from memplane_adapters.contract import Kind
from memplane_adapters.embedded import ADAPTER, EmbeddedSettings
from memplane_adapters.embedded.key_value_store import EmbeddedKeyValueStore
from memplane_gateway.clock import Clock, wall_micros
from memplane_gateway.layers import StackedKeyValueStore, make_layers
from memplane_gateway.memory.embedding import TextVectors
from memplane_gateway.memory.memories import Memories
from memplane_gateway.memory.model import Expiry, Memory, Must, Precondition, Update
from memplane_gateway.memory.questions import Mode, Search, Selection
from memplane_gateway.memory.shelf import KeyValueShelf
from memplane_gateway.memory.tokens import PageTokens
from memplane_gateway.memory.write import renewing
from memplane_gateway.memory.write.renewing import Renewals
from memplane_gateway.memory.write.shared_leases import SharedLeases

SECOND = 1_000_000
TTL = 100 * SECOND


class House:
    """A gateway's middle that renews, over a clock that a test moves on."""

    def __init__(self, directory: Path, *, compares: bool) -> None:
        backend = ADAPTER.connect(EmbeddedSettings(), directory / "store").key_value
        control = ADAPTER.connect(EmbeddedSettings(), directory / "control").key_value
        assert isinstance(backend, EmbeddedKeyValueStore)
        assert isinstance(control, EmbeddedKeyValueStore)
        self.raw, self.control = backend, control
        self.store = Flaky(backend, compares=compares)
        self.passed = 0
        self.clock = Clock(lambda: wall_micros() + self.passed)
        stacked = StackedKeyValueStore("s", self.store, make_layers())  # type: ignore[arg-type]
        self.memories = Memories(
            "procedural",
            KeyValueShelf(stacked, RECORDS),
            self.clock,
            TextVectors("procedural", None),
            PageTokens(b"s"),
            search=Mode.RECENT,
            scan_budget=1000,
            shared=SharedLeases(control, self.clock, place="here"),
            refresh_ttl=True,
        )

    @property
    def renewals(self) -> Renewals:
        assert self.memories.renewals is not None
        return self.memories.renewals

    async def put(self, key: str = "k", ttl: int | None = TTL) -> Memory:
        """Write a memory with a period."""
        one = replace(put("v", key), expiry=Expiry(ttl=ttl))
        (written,) = await self.memories.put(caller(), [one])
        assert written.memory is not None, written.error
        return written.memory

    async def get(self, *keys: str) -> list[Memory | None]:
        """Read, which may renew."""
        return await self.memories.get(
            [address(key) for key in keys or "k"], vectors=False, max_bytes=2**20, alone=True
        )

    async def there(self) -> Memory:
        """What is there."""
        (memory,) = await self.get()
        assert memory is not None
        return memory

    async def settled(self, **counts: int) -> None:
        """Wait until so many have come to their end."""
        await until(lambda: self.renewals == Renewals(**counts))


@pytest.fixture(params=[True, False], ids=["compares", "leases"])
async def house(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[House]:
    made = House(tmp_path, compares=request.param)
    await made.raw.open()
    await made.control.open()
    yield made
    await made.memories.close()
    await made.raw.close()
    await made.control.close()


async def test_a_read_lets_the_period_begin_again_and_changes_nothing_else(house: House) -> None:
    before = await house.put()
    await house.put("other", ttl=None)
    house.passed += TTL // 2
    assert (await house.get("k", "other", "k"))[0] is not None
    await house.settled(renewed=1)
    house.passed += TTL * 3 // 4  # it would be over by now
    after = await house.there()
    expected = replace(before.record, expire_time=after.record.expire_time)
    assert after.etag == before.etag
    assert replace(after.record, tokens=()) == replace(expected, tokens=())
    await house.settled(renewed=2)


async def test_a_search_renews_and_a_listing_does_not(house: House) -> None:
    await house.put()
    house.passed += TTL // 2
    selection = Selection(Kind.PROCEDURAL, ("n",))
    assert (await house.memories.count(caller(), selection)).count == 1
    assert house.renewals == Renewals()
    found = await house.memories.search(caller(), Search(selection, mode=Mode.RECENT))
    assert len(found.hits) == 1
    await house.settled(renewed=1)


async def test_it_costs_at_most_ten_writes_a_period(house: House) -> None:
    await house.put()
    for _ in range(40):
        house.passed += TTL // 40
        written = house.renewals.renewed
        assert (await house.get())[0] is not None
        waits = house.memories._renewer._waiting  # type: ignore[union-attr]
        await until(lambda waits=waits: not waits)  # type: ignore[misc]
        assert house.renewals.renewed in (written, written + 1)
    assert 8 <= house.renewals.renewed <= 10
    assert (house.renewals.failed, house.renewals.skipped) == (0, 0)


async def test_an_instant_is_never_moved(house: House) -> None:
    one = replace(put("v"), expiry=Expiry(expire_time=house.clock.now() + TTL))
    await house.memories.put(caller(), [one])
    house.passed += TTL - SECOND
    assert (await house.get())[0] is not None
    house.passed += 2 * SECOND
    assert (await house.get()) == [None]
    assert house.renewals == Renewals()


async def test_an_etag_that_was_read_before_is_still_good(house: House) -> None:
    etag = (await house.put()).etag
    house.passed += TTL // 2
    await house.get()
    await house.settled(renewed=1)
    change = Update(address(), value="new", precondition=Precondition(Must.MATCH, etag))
    (written,) = await house.memories.update(caller(), [change])
    assert written.error is None
    assert written.memory is not None
    # An update that says nothing of expiry keeps the period that has begun again.
    assert written.memory.record.expire_time is not None
    assert written.memory.record.expire_time > house.clock.now() + TTL - SECOND


def before_it_is_written(house: House, work: object) -> None:
    """Have something happen after the memories that are to be renewed were read."""
    get = house.store.get
    calls = 0

    async def read(addresses: object) -> object:
        nonlocal calls
        calls += 1
        rows = await get(addresses)  # type: ignore[arg-type]
        if calls == 2:  # the first is the caller's
            await work()  # type: ignore[operator]
        return rows

    house.store.get = read  # type: ignore[assignment, method-assign]


@pytest.mark.parametrize("house", [True], indirect=True, ids=["compares"])
async def test_a_write_meanwhile_is_never_lost(house: House) -> None:
    """Where leases are needed nobody can come between."""
    await house.put()
    house.passed += TTL // 2

    async def write() -> None:
        await house.memories.put(caller(), [put("newer")])

    before_it_is_written(house, write)
    await house.get()
    await house.settled(skipped=1)
    after = await house.there()
    assert (after.record.content.value, after.record.expire_time) == ("newer", None)


async def test_what_is_written_before_it_is_its_turn_is_left_alone(house: House) -> None:
    await house.put()
    house.passed += TTL // 2
    (memory,) = await house.get()
    assert memory is not None
    await house.settled(renewed=1)
    newer = await house.put()
    house.memories._renew([memory])
    await house.settled(renewed=1, skipped=1)
    after = await house.there()
    assert after.record.expire_time == newer.record.expire_time


async def test_what_has_expired_is_not_revived(house: House) -> None:
    await house.put()
    house.passed += TTL // 2
    (memory,) = await house.get()
    assert memory is not None
    await house.settled(renewed=1)
    (memory,) = await house.get()
    assert memory is not None
    house.passed += TTL // 2
    assert renewing.is_due(memory.record, house.clock.now())
    house.memories._renew([memory])
    house.passed += TTL  # before it is its turn
    await house.settled(renewed=1, skipped=1)
    assert await house.get() == [None]


async def test_a_store_that_fails_fails_no_read(house: House) -> None:
    await house.put()
    house.passed += TTL // 2
    house.store.lost = "before"
    assert (await house.get())[0] is not None
    await house.settled(failed=1)
    assert (await house.get())[0] is not None
    await house.settled(failed=1, renewed=1)


async def test_what_waits_is_bounded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewing, "WAITING", 3)
    keys = [f"k{number}" for number in range(5)]
    for key in keys:
        await house.put(key)
    house.passed += TTL // 2
    assert all(await house.get(*keys))
    await house.settled(renewed=3, skipped=2)


async def test_other_gateways_write_on_after_a_renewal(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """With its revision the row is older than the lease that it was renewed under, and not stale."""
    await house.put()
    house.passed += TTL // 2
    await house.get()
    await house.settled(renewed=1)
    for value in ("a", "b"):
        (written,) = await house.memories.put(caller(), [put(value)])
        assert written.error is None
    assert (await house.there()).record.content.value == "b"
    assert "older than what was written" not in caplog.text
