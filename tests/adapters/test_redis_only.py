"""What only Redis does: late writes, its registry, its clock, its rows, its connections."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import redis.asyncio
from tests.adapters.redis_stores import REDIS, opened

from memplane_adapters.conformance.local_stores import Servers
from memplane_adapters.conformance.stores.fixtures import NOW, KeyValues, eventually
from memplane_adapters.contract import (
    Condition,
    Delete,
    Entry,
    Op,
    Order,
    StoreError,
    StoreReason,
    WriteStatus,
)
from memplane_adapters.redis import layout, registry, rows
from memplane_adapters.redis.settings import RedisSettings

APPLIED, CONFLICT, MISSING, FAILED = WriteStatus
INDEXES = ("keys", "updated", "times")


@pytest.fixture
def settings(servers: Servers, tmp_path: Path) -> RedisSettings:
    """The session's server, below a prefix of the case's own."""
    _, keys = REDIS.keys(servers, tmp_path)
    return RedisSettings(**dict(keys))  # type: ignore[arg-type]


@pytest_asyncio.fixture
async def kv(settings: RedisSettings) -> AsyncIterator[KeyValues]:
    async with opened(settings) as made:
        yield made


@pytest_asyncio.fixture
async def raw(settings: RedisSettings) -> AsyncIterator[redis.asyncio.Redis]:
    """The server without the adapter."""
    client = redis.asyncio.Redis.from_url(settings.url)
    yield client
    await client.aclose()


def space(kv: KeyValues, settings: RedisSettings, *namespace: str) -> layout.Space:
    return layout.space(settings.prefix, kv.tenant, kv.kind, namespace)


# --- revisions --------------------------------------------------------------------------------


async def test_an_older_revision_that_comes_late_is_not_written(kv: KeyValues) -> None:
    await kv.write(kv.entry("k", revision=2**62, record=b"new"))
    for late in (1, 2**62 - 1, 2**53):
        (result,) = await kv.try_write([kv.entry("k", revision=late, record=b"old")])
        assert result.status is CONFLICT
    assert await kv.record(kv.address("k")) == b"new"
    (again,) = await kv.try_write([kv.entry("k", revision=2**62, record=b"new")])
    assert again.status is APPLIED


async def test_late_and_new_ones_in_one_batch(kv: KeyValues) -> None:
    revisions = (5, 4, 6, 6, 1)
    entries = [kv.entry("k", revision=each, record=b"%d" % each) for each in revisions]
    results = await kv.try_write(entries)
    assert [each.status for each in results] == [APPLIED, CONFLICT, APPLIED, APPLIED, CONFLICT]
    assert await kv.walk() == ["6"]
    results = await kv.try_write([kv.entry("j", revision=each) for each in (2, 1)], atomic=True)
    assert [each.status for each in results] == [FAILED, CONFLICT]
    assert await kv.walk() == ["6"]


async def test_an_atomic_batch_stays_inside_a_namespace(kv: KeyValues) -> None:
    entries = [kv.entry("k", namespace=(label,)) for label in "ab"]
    with pytest.raises(StoreError) as caught:
        await kv.try_write(entries, atomic=True)
    assert caught.value.reason is StoreReason.UNSUPPORTED
    with pytest.raises(StoreError) as caught:
        await kv.store.delete([Delete(each.address) for each in entries], atomic=True)
    assert caught.value.reason is StoreReason.UNSUPPORTED
    assert await kv.count() == 0


# --- the registry -----------------------------------------------------------------------------


async def register(raw: Any, settings: RedisSettings, kv: KeyValues, label: str) -> None:
    for command in registry.registering(
        settings.prefix, kv.tenant, kv.kind, (label,), registry.token()
    ):
        await raw.execute_command(*command)


async def test_a_crash_between_registry_and_row(
    kv: KeyValues, settings: RedisSettings, raw: redis.asyncio.Redis
) -> None:
    """The entry without rows hinders nobody, and is cleared away by the next walk or count."""
    listed = layout.registry(settings.prefix, kv.tenant, kv.kind)
    for turn in (1, 2):
        await register(raw, settings, kv, "lost")
        assert await raw.zcard(listed) == 1
        assert not (await kv.count() if turn == 1 else await kv.walk())
        assert await raw.zcard(listed) == 0
        await kv.write(kv.entry("k", namespace=("lost",), revision=turn))
        assert await kv.walk() == ["k"]
        assert await kv.delete(kv.address("k", ("lost",))) == [APPLIED]
        assert await kv.count() == 0


async def test_a_writer_who_was_away_while_others_retired(
    kv: KeyValues, settings: RedisSettings, raw: Any
) -> None:
    """He has registered, the namespace is retired, and he writes: into a namespace that is listed."""
    await kv.write(kv.entry("k"))
    await kv.delete(kv.address("k"))
    assert await kv.count() == 0  # retires
    place = space(kv, settings, "suite")
    mark = await raw.get(place.mark)
    assert mark is not None
    assert mark.startswith(b"-")
    await kv.write(kv.entry("k", revision=2))
    assert await kv.walk() == ["k"]
    assert (await raw.get(place.mark)).startswith(b"+")


async def test_namespaces_that_come_and_go_under_walks_are_never_lost(kv: KeyValues) -> None:
    turns, labels = 30, "abcd"

    async def come_and_go(label: str) -> None:
        for turn in range(1, turns + 1):
            entry = kv.entry(label, namespace=(label,), revision=turn)
            (result,) = await kv.try_write([entry])
            assert result.status is APPLIED
            assert label in await kv.walk()
            if turn < turns:
                assert await kv.delete(entry.address) == [APPLIED]

    async def walk() -> None:
        while not working.done():
            await kv.count()
            await kv.walk(order=Order.TIME)

    working = asyncio.gather(*map(come_and_go, labels))
    await asyncio.gather(working, walk(), walk())
    assert await kv.walk() == list(labels)
    assert await kv.count() == len(labels)


async def test_more_namespaces_than_a_page_of_the_registry(
    kv: KeyValues, settings: RedisSettings, monkeypatch: pytest.MonkeyPatch, raw: Any
) -> None:
    monkeypatch.setattr(registry, "_PAGE", 3)
    labels = [f"n{number:02}" for number in range(10)]
    await kv.write(*(kv.entry(label, namespace=(label,)) for label in labels))
    # Writers who met have left two entries.
    await register(raw, settings, kv, "n02")
    assert await kv.walk(limit=4) == labels
    assert await kv.walk(limit=4, descending=True) == labels[::-1]
    assert await kv.walk(limit=4, order=Order.TIME) == labels
    assert await kv.count() == 10
    assert (await kv.store.stats(kv.kind)).rows == 10


# --- expiry -----------------------------------------------------------------------------------


def expiring(kv: KeyValues, key: str, revision: int = 1) -> Entry:
    return kv.entry(key, revision=revision, expire_time=NOW + 10)


async def test_an_expired_row_is_a_row_for_a_while(kv: KeyValues) -> None:
    await kv.write(expiring(kv, "k", revision=5))
    assert await kv.count(kv.scope(at=NOW + 10)) == 0
    assert await kv.record(kv.address("k")) == b"k"
    (result,) = await kv.try_write([kv.entry("k", revision=6)], expected=0)
    assert result.status is CONFLICT
    (result,) = await kv.try_write([kv.entry("k", revision=6)], expected=5)
    assert result.status is APPLIED


async def test_redis_drops_a_row_after_its_time(
    kv: KeyValues, settings: RedisSettings, raw: redis.asyncio.Redis
) -> None:
    await kv.write(kv.entry("long", expire_time=4 * 10**15), expiring(kv, "over"))
    rows_of = space(kv, settings, "suite")
    now = (await raw.time())[0] * 1000
    assert await raw.pttl(rows_of.row("long")) > 4 * 10**12 - now
    assert 0 < await raw.pttl(rows_of.row("over")) <= rows.GRACE_MILLIS


@pytest.mark.parametrize("how", ["places", "times", "update times", "write", "delete"])
async def test_indexes_are_cleaned_of_what_redis_has_dropped(
    kv: KeyValues,
    settings: RedisSettings,
    raw: redis.asyncio.Redis,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    monkeypatch.setattr(rows, "GRACE_MILLIS", -1_000)  # dropped at once
    await kv.write(expiring(kv, "gone"), kv.entry("here"))
    place = space(kv, settings, "suite")
    assert await raw.exists(place.row("gone")) == 0
    assert await kv.record(kv.address("gone")) is None
    assert await raw.zcard(place.keys) == 2
    assert await kv.count(kv.scope(at=NOW + 10)) == 1  # what is over is not counted
    before = kv.scope(at=NOW)
    if how == "places":
        assert await kv.walk(before) == ["here"]
    elif how == "times":
        assert await kv.walk(before, order=Order.TIME) == ["here"]
    elif how == "update times":
        assert await kv.walk(before, order=Order.UPDATE_TIME, descending=True) == ["here"]
    elif how == "delete":
        assert await kv.delete(kv.address("gone")) == [MISSING]
    else:
        (result,) = await kv.try_write([kv.entry("gone", revision=9)], expected=0)
        assert result.status is APPLIED
        assert await kv.walk() == ["gone", "here"]
    left = 2 if how == "write" else 1
    assert [await raw.zcard(getattr(place, name)) for name in INDEXES] == [left] * 3
    assert await raw.exists(place.expiring, place.heads) == 0


async def test_a_row_that_vanished_otherwise_is_cleaned_up_too(
    kv: KeyValues, settings: RedisSettings, raw: redis.asyncio.Redis
) -> None:
    await kv.write(kv.entry("gone"), kv.entry("here"))
    place = space(kv, settings, "suite")
    await raw.delete(place.row("gone"))
    for order in (Order.TIME, Order.UPDATE_TIME, Order.PLACE):
        assert await kv.walk(order=order) == ["here"]
    assert [await raw.zcard(getattr(place, name)) for name in INDEXES] == [1, 1, 1]


async def test_nothing_is_left_of_what_was_deleted(
    kv: KeyValues, settings: RedisSettings, raw: redis.asyncio.Redis
) -> None:
    await kv.write(*(kv.entry(key, expire_time=4 * 10**15) for key in "ab"), kv.entry("c"))
    assert await kv.store.delete_where(kv.scope(), max_revision=9) == 3
    assert await kv.count() == 0
    place = space(kv, settings, "suite")
    assert await raw.exists(*place.all[1:], *map(place.row, "abc")) == 0
    assert 0 < await raw.pttl(place.mark) <= 86_400_000
    assert await raw.exists(layout.registry(settings.prefix, kv.tenant, kv.kind)) == 0


# --- records ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 4096, 4097, 1 << 20])
@pytest.mark.parametrize("dense", [False, True])
async def test_records_to_a_mebibyte(
    kv: KeyValues, settings: RedisSettings, raw: redis.asyncio.Redis, size: int, dense: bool
) -> None:
    record = random.Random(1).randbytes(size) if dense else (b"memory " * size)[:size]
    await kv.write(kv.entry("k", record=record, fields={"n": 1}))
    assert await kv.record(kv.address("k")) == record
    (row,) = await kv.walk_rows(filter=Condition(("n",), Op.EQ, 1))
    assert row.record == record
    kept = await raw.strlen(space(kv, settings, "suite").row("k"))
    assert (kept < size) is (size > settings.compress_above and not dense)


@pytest.mark.parametrize(
    "harm",
    [
        lambda value: value[:20],
        lambda value: b"\x09" + value[1:],
        lambda value: value[:-9],
        lambda value: value[:-9] + bytes(9),
        lambda value: value[:42] + b"}" + value[43:],
    ],
    ids=["short", "version", "cut", "overwritten", "fields"],
)
async def test_damaged_rows_are_said(
    kv: KeyValues, settings: RedisSettings, raw: redis.asyncio.Redis, harm: Any
) -> None:
    await kv.write(kv.entry("k", record=b"memory " * 9999, fields={"n": 1}))
    key = space(kv, settings, "suite").row("k")
    await raw.set(key, harm(await raw.get(key)))
    with pytest.raises(StoreError) as caught:
        await kv.walk(filter=Condition(("n",), Op.EQ, 1))
    assert caught.value.reason is StoreReason.DAMAGED


# --- connections ------------------------------------------------------------------------------


async def test_scripts_that_the_server_has_forgotten(
    kv: KeyValues, raw: redis.asyncio.Redis
) -> None:
    for revision in (1, 2):
        await raw.script_flush()
        entries = [kv.entry("k", namespace=(label,), revision=revision) for label in "ab"]
        assert [each.status for each in await kv.try_write(entries)] == [APPLIED] * 2


async def test_field_48_a_storm_of_cancelling(kv: KeyValues) -> None:
    """A cancelled command left its reply for the next caller; slots of the pool leaked."""
    keys = [f"{number:03}" for number in range(200)]
    await kv.write(*(kv.entry(key) for key in keys))
    dice = random.Random(48)
    for _ in range(20):
        tasks = [asyncio.ensure_future(kv.record(kv.address(key))) for key in keys]
        for _ in range(dice.randrange(6)):
            await asyncio.sleep(0)
        for task in dice.sample(tasks, 150):
            task.cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        for key, answer in zip(keys, answers, strict=True):
            assert answer == key.encode() or isinstance(answer, asyncio.CancelledError)
    reads = kv.store._engine._reads  # type: ignore[attr-defined]
    await eventually(lambda: _is(len(reads._free) == 2))


async def _is(so: bool) -> bool:
    return so
