"""Writes on Redis that wait for their fsync and for replicas: what counts, and what becomes of the rest."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import redis.asyncio
from redis.exceptions import NoPermissionError, OutOfMemoryError, ResponseError
from tests.adapters.redis_stores import LEAST_PERMISSIONS, at, opened, refusal, server

from memplane_adapters.conformance.local_stores import Servers
from memplane_adapters.conformance.servers import Server
from memplane_adapters.conformance.stores.fixtures import KeyValues, eventually
from memplane_adapters.contract import (
    Delete,
    Durability,
    StoreError,
    StoreReason,
    Write,
    WriteResult,
    WriteStatus,
    reached_of,
)
from memplane_adapters.redis import probe
from memplane_adapters.redis.acks import Ack, Acks, read, waits
from memplane_adapters.redis.engine import Engine
from memplane_adapters.redis.settings import RedisSettings

APPLIED, MISSING = WriteStatus.APPLIED, WriteStatus.MISSING
FSYNC, BOTH = RedisSettings(wait_fsync=3), RedisSettings(wait_fsync=3, wait_replicas=2)
WAIT = RedisSettings(wait_replicas=2, wait_timeout=0.25)
CALLERS = 64
PATIENCE: dict[str, Any] = {"timeout": 60.0, "wait_timeout": 20.0}
"""Where an answer is to come, however busy the machine is."""


# --- what is asked, and what the answers mean -------------------------------------------------


def test_what_is_asked() -> None:
    assert waits(WAIT) == [(b"WAIT", 2, 250)]
    assert waits(FSYNC) == [(b"WAITAOF", 1, 0, 3000)]
    local = (b"WAITAOF", 1, 0, 3000)
    assert waits(BOTH) == [local, (b"WAIT", 2, 100), (b"WAITAOF", 0, 2, 900)]
    hasty = RedisSettings(wait_fsync=3, wait_replicas=1, wait_timeout=0.001)
    assert waits(hasty) == [local, (b"WAIT", 1, 1), (b"WAITAOF", 0, 1, 1)]


@pytest.mark.parametrize(
    ("settings", "replies", "ack"),
    [
        (WAIT, [None, 1, 2], Ack(2)),
        (WAIT, [None, 1, ResponseError("UNBLOCKED")], Ack(0)),
        (WAIT, [OutOfMemoryError("OOM"), 0, 2], Ack(0)),
        (FSYNC, [None, 1, [1, 0]], Ack(0)),
        (FSYNC, [None, 1, [1, 3]], Ack(3)),
        (BOTH, [None, 1, [1, 0], 2, [1, 2]], Ack(2)),
        (BOTH, [None, 1, [1, 0], 2, [1, 1]], Ack(1)),
        (BOTH, [None, 1, [1, 2], 2, ResponseError("UNBLOCKED")], Ack(0)),
    ],
)
def test_counts(settings: RedisSettings, replies: list[Any], ack: Ack) -> None:
    assert read(replies, settings) == ack


@pytest.mark.parametrize(
    ("replies", "said"),
    [
        ([None, 1, [0, 0], 2, [0, 2]], "not fsynced within 3 s"),
        ([None, 1, [0, 0], 2, [1, 2]], "not fsynced within 3 s"),
        ([None, 1, NoPermissionError("NOPERM"), 2, [1, 2]], "NOPERM"),
        ([None, 1, ResponseError("unknown command"), 2, ResponseError("")], "unknown command"),
        ([None, 1, None, None, None], "None"),
        ([OutOfMemoryError("OOM"), 0, [1, 0], 2, [1, 2]], "OOM"),
        ([ResponseError("a"), ResponseError("MISCONF"), [1, 0], 2, [1, 2]], "MISCONF"),
        ([ConnectionResetError("reset")] * 5, "reset"),
    ],
)
def test_what_is_not_known_to_be_fsynced(replies: list[Any], said: str) -> None:
    ack = read(replies, BOTH)
    assert said in ack.problem
    assert ack.replicas == 0


def test_very_many_rows_in_doubt_are_all_rows() -> None:
    acks = Acks(Engine(FSYNC), FSYNC)
    acks.doubt(b"%d" % number for number in range(10_000))
    assert acks.in_doubt([b"x", b"9999"])
    assert not acks.in_doubt([b"x", b"10000"])
    acks.doubt([b"10000"])
    assert acks.in_doubt([b"x"])
    acks = Acks(Engine(WAIT), WAIT)
    acks.doubt([b"x"])
    assert not acks.in_doubt([b"x"])


def findings(fsync: Any = ([1, 0],), **changes: str) -> probe.Findings:
    info = {"redis_version": "7.2.4", "aof_enabled": "1", "role": "master"}
    config = {"appendfsync": changes.pop("appendfsync", "everysec")}
    return probe.Findings(info | changes, config, fsync)


def test_a_server_that_can_be_asked_for_fsync() -> None:
    reached = probe.judge(findings())
    assert reached.level is Durability.DISK
    assert reached.why == "appendfsync everysec, each write waits for its fsync"
    assert probe.judge(findings(None)).level is Durability.PROCESS


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (findings(ResponseError("unknown"), redis_version="7.0.15"), "7.2 or newer.*7.0.15"),
        (findings(ResponseError("off"), aof_enabled="0"), 'set "appendonly yes"'),
        (findings(appendfsync="no"), 'set "appendfsync everysec"'),
        (findings(NoPermissionError("NOPERM no waitaof")), "NOPERM"),
    ],
)
def test_a_server_that_cannot(found: probe.Findings, said: str) -> None:
    with pytest.raises(StoreError, match=said) as caught:
        probe.judge(found)
    assert caught.value.reason is StoreReason.MISCONFIGURED


# --- servers ----------------------------------------------------------------------------------


@pytest.fixture
def own(servers: Servers, tmp_path: Path) -> Iterator[Server]:
    """A server of the case's own that calls fsync once a second."""
    soon = ("--repl-diskless-sync-delay", "0")  # it is 5 s, in which more replicas might come
    with server(servers, tmp_path / "server", "--appendfsync", "everysec", *soon) as made:
        yield made
        made.kill()  # one whose replica has gone does not heed SIGTERM for long


@pytest_asyncio.fixture
async def raw(own: Server) -> AsyncIterator[redis.asyncio.Redis]:
    """That server without the adapter."""
    client = redis.asyncio.Redis.from_url(own.url)
    yield client
    await client.aclose()


@pytest_asyncio.fixture
async def fsyncing(own: Server, raw: redis.asyncio.Redis) -> Server:
    """One that knows WAITAOF. `make servers`, which CI has, brings one that does not."""
    version = (await raw.info("server"))["redis_version"]
    if tuple(map(int, version.split(".")[:2])) < probe.LEAST_VERSION_FSYNC:
        pytest.skip(f"WAITAOF came with Redis 7.2; the server at hand is {version}")
    return own


async def test_refused_where_there_is_no_waitaof(own: Server, raw: redis.asyncio.Redis) -> None:
    version = (await raw.info("server"))["redis_version"]
    async with opened(at(own, wait_fsync=3.0)) as kv:
        if tuple(map(int, version.split(".")[:2])) >= probe.LEAST_VERSION_FSYNC:
            assert reached_of(await kv.store.ping()).level is Durability.DISK
            await raw.config_set("appendonly", "no")
            said = 'set "appendonly yes"'
        else:
            said = f"wait_fsync needs Redis 7.2 or newer, or Valkey; it is {version}"
        error = await refusal(kv)
        assert error.reason is StoreReason.MISCONFIGURED
        assert said in str(error)
        # Who does not ask first is not told more than is known either.
        assert await failure_of(kv.try_write([kv.entry("k")])) is StoreReason.TIMEOUT


async def failure_of(work: Any) -> StoreReason:
    with pytest.raises(StoreError) as caught:
        await work
    return caught.value.reason


async def test_a_write_waits_for_its_fsync(fsyncing: Server) -> None:
    async with opened(at(fsyncing, wait_fsync=20.0, **PATIENCE)) as kv:
        assert reached_of(await kv.store.ping()).level is Durability.DISK
        entries = [kv.entry("k", namespace=(label,)) for label in "abc"]
        assert await kv.try_write(entries) == [WriteResult(APPLIED)] * 3
        assert await kv.delete(kv.address("k", ("a",))) == [APPLIED]
        assert await kv.store.delete_where(kv.scope(), max_revision=9) == 2
    async with opened(at(fsyncing)) as kv:
        assert reached_of(await kv.store.ping()).level is Durability.PROCESS


async def test_callers_share_the_wait(fsyncing: Server, raw: redis.asyncio.Redis) -> None:
    async with opened(at(fsyncing, wait_fsync=20.0, **PATIENCE)) as kv:
        entries = [kv.entry(str(number)) for number in range(CALLERS)]
        results = await asyncio.gather(*(kv.try_write([entry]) for entry in entries))
        assert [each.status for (each,) in results] == [APPLIED] * CALLERS
        asked = (await raw.info("commandstats"))["cmdstat_waitaof"]["calls"]
        assert asked < CALLERS / 2


async def test_what_is_not_fsynced_is_no_success(
    fsyncing: Server, raw: redis.asyncio.Redis
) -> None:
    """Neither the write, nor another one that finds it done, nor a read that would tell so."""
    async with opened(at(fsyncing, wait_fsync=0.2)) as kv:
        await raw.config_set("appendfsync", "no")
        assert await failure_of(kv.try_write([kv.entry("a"), kv.entry("b")])) is StoreReason.TIMEOUT
        assert await failure_of(kv.delete(kv.address("a"))) is StoreReason.TIMEOUT
        assert await failure_of(kv.delete(kv.address("a"))) is StoreReason.TIMEOUT
        for key in "ab":
            assert await failure_of(kv.store.get([kv.address(key)])) is StoreReason.TIMEOUT
        purge = kv.store.delete_where(kv.scope(), max_revision=9)
        assert await failure_of(purge) is StoreReason.TIMEOUT
        assert await kv.store.get([kv.address("c")]) == [None]
        assert await kv.count() == 0

        await raw.config_set("appendfsync", "everysec")

        async def readable() -> bool:
            try:
                return await kv.store.get([kv.address("b")]) == [None]
            except StoreError:
                return False

        await eventually(readable)


async def test_a_caller_who_goes_leaves_the_row_in_doubt(
    fsyncing: Server, raw: redis.asyncio.Redis
) -> None:
    async with opened(at(fsyncing, wait_fsync=1.0)) as kv:
        await raw.config_set("appendfsync", "no")
        going = asyncio.create_task(kv.try_write([kv.entry("k")]))
        staying = asyncio.create_task(kv.try_write([kv.entry("j")]))

        async def written() -> bool:
            return await kv.count() == 2

        await eventually(written)
        going.cancel()
        await asyncio.gather(going, return_exceptions=True)
        assert await failure_of(staying) is StoreReason.TIMEOUT
        assert await failure_of(kv.store.get([kv.address("k")])) is StoreReason.TIMEOUT


async def test_a_write_that_comes_late_is_in_doubt(
    fsyncing: Server, raw: redis.asyncio.Redis
) -> None:
    async with opened(at(fsyncing, wait_fsync=0.2, wait_timeout=0.1, timeout=0.5)) as kv:
        (refused,) = await kv.try_write([kv.entry("k")], expected=7)  # connects, does not wait
        assert refused.status is WriteStatus.CONFLICT
        await raw.config_set("appendfsync", "no")
        fsyncing.pause()
        assert await failure_of(kv.try_write([kv.entry("k")])) is StoreReason.TIMEOUT
        fsyncing.resume()

        async def written() -> bool:
            with contextlib.suppress(StoreError):
                return await kv.count() == 1
            return False

        await eventually(written)
        assert await failure_of(kv.store.get([kv.address("k")])) is StoreReason.TIMEOUT


async def test_closing_lets_those_who_wait_finish(
    fsyncing: Server, raw: redis.asyncio.Redis
) -> None:
    async with opened(at(fsyncing, wait_fsync=20.0, **PATIENCE)) as kv:
        writes = [asyncio.create_task(kv.try_write([kv.entry(key)])) for key in "abc"]

        async def written() -> bool:
            return await kv.count() == 3

        await eventually(written)
        await kv.store.close()
        assert [each.status for (each,) in await asyncio.gather(*writes)] == [APPLIED] * 3


async def test_a_full_server_takes_deletes(fsyncing: Server, raw: redis.asyncio.Redis) -> None:
    async with opened(at(fsyncing, wait_fsync=20.0, **PATIENCE)) as kv:
        await kv.write(kv.entry("k"))
        await raw.config_set("maxmemory", "1")
        assert await failure_of(kv.try_write([kv.entry("j")])) is StoreReason.EXHAUSTED
        assert await kv.delete(kv.address("k")) == [APPLIED]
        assert await kv.delete(kv.address("k")) == [MISSING]


async def test_the_permission_to_ask(fsyncing: Server, raw: redis.asyncio.Redis) -> None:
    """Of CONFIG nothing is known here: the count proves what a write survives."""
    for allowed in (False, True):
        rights = [*LEAST_PERMISSIONS.split(), "+waitaof" if allowed else "-waitaof"]
        await raw.acl_setuser(
            "app", enabled=True, passwords=["+pw"], keys=["mine:*"], commands=rights
        )
        user = {"username": "app", "password": "pw", "prefix": "mine"}
        async with opened(at(fsyncing, wait_fsync=20.0, **user, **PATIENCE)) as kv:
            if allowed:
                assert reached_of(await kv.store.ping()).level is Durability.DISK
                assert (await kv.try_write([kv.entry("k")]))[0].status is APPLIED
            else:
                error = await refusal(kv)
                assert error.reason is StoreReason.MISCONFIGURED
                assert "waitaof" in str(error)


# --- a replica --------------------------------------------------------------------------------


def following(master: Server, servers: Servers, root: Path, *arguments: str) -> Server:
    """A replica, not started yet."""
    host, port = re.fullmatch(r"redis://([^:]+):(\d+)/0", master.url).groups()  # type: ignore[union-attr]
    return server(servers, root, "--replicaof", host, port, *arguments)


async def follows(raw: redis.asyncio.Redis) -> bool:
    """Whether the replica follows."""
    replica = (await raw.info("replication")).get("slave0", {})
    return bool(replica.get("state") == "online")


async def replicas_of(kv: KeyValues, revision: int) -> int:
    (result,) = await kv.store.put([Write(kv.entry("k", revision=revision))])
    assert result.status is APPLIED
    return result.replicas


async def test_replicas_that_have_fsynced_are_counted(
    fsyncing: Server, raw: redis.asyncio.Redis, servers: Servers, tmp_path: Path
) -> None:
    patient = at(fsyncing, wait_fsync=20.0, wait_replicas=1, **PATIENCE)
    with following(fsyncing, servers, tmp_path / "replica") as replica:
        await eventually(lambda: follows(raw))
        async with opened(patient) as kv:
            assert await replicas_of(kv, 1) == 1
            (deleted,) = await kv.store.delete([Delete(kv.address("k"))])
            assert (deleted.status, deleted.replicas) == (APPLIED, 1)
            (again,) = await kv.store.delete([Delete(kv.address("k"))])
            assert (again.status, again.replicas) == (MISSING, 1)
        replica.pause()
        async with opened(patient, wait_timeout=0.2) as kv:
            assert await replicas_of(kv, 2) == 0
        replica.resume()
        async with opened(patient) as kv:
            assert await replicas_of(kv, 3) == 1
        replica.kill()


async def test_a_replica_without_a_file_has_fsynced_nothing(
    fsyncing: Server, raw: redis.asyncio.Redis, servers: Servers, tmp_path: Path
) -> None:
    with following(fsyncing, servers, tmp_path / "replica", "--appendonly", "no") as replica:
        await eventually(lambda: follows(raw))
        async with opened(at(fsyncing, wait_replicas=1, **PATIENCE)) as kv:
            assert await replicas_of(kv, 1) == 1
        fsynced = at(fsyncing, wait_fsync=20.0, wait_replicas=1, timeout=60.0, wait_timeout=0.2)
        async with opened(fsynced) as kv:
            assert await replicas_of(kv, 2) == 0
        replica.kill()


async def test_a_frozen_replica_does_not_hold_up_many_callers(
    own: Server, raw: redis.asyncio.Redis, servers: Servers, tmp_path: Path
) -> None:
    """They wait for it together, not one behind the other until their time is over."""
    with following(own, servers, tmp_path / "replica") as replica:
        await eventually(lambda: follows(raw))
        replica.pause()
        async with opened(at(own, wait_replicas=1, wait_timeout=1.0, timeout=5.0)) as kv:
            entries = [kv.entry(str(number)) for number in range(CALLERS)]
            results = await asyncio.gather(*(kv.try_write([entry]) for entry in entries))
            assert [each for (each,) in results] == [WriteResult(APPLIED)] * CALLERS
        replica.kill()
