"""Redis servers that are set up in other ways, freeze, are killed, or are no Redis at all."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis.asyncio
from tests.adapters.redis_stores import LEAST_PERMISSIONS, at, opened, refusal, server
from tests.adapters.tls import Certificate, certificate, door

from memplane_adapters.conformance.local_stores import Servers
from memplane_adapters.conformance.servers import Server, free_ports
from memplane_adapters.conformance.stores.fixtures import KeyValues, eventually
from memplane_adapters.contract import (
    Delete,
    Durability,
    Order,
    StoreError,
    StoreReason,
    Write,
    WriteStatus,
    reached_of,
)
from memplane_adapters.redis.settings import RedisSettings

__all__ = ["certificate"]

APPLIED = WriteStatus.APPLIED


@pytest.fixture
def own(servers: Servers, tmp_path: Path) -> Iterator[Server]:
    """A server of the case's own, not started yet."""
    made = server(servers, tmp_path / "server")
    yield made
    made.close()


async def test_a_frozen_server_never_ends_at_an_older_value(own: Server) -> None:
    """Writes that timed out lie in the sockets of a frozen server, which carries them out late."""
    own.start()
    async with contextlib.AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(opened(at(own, timeout=0.5, wait_timeout=0.1)))
            for _ in range(8)
        ]
        for kv in clients:
            kv.tenant = clients[0].tenant
            await kv.store.ping()
        own.pause()
        revisions = list(range(2, 2 + len(clients)))
        random.Random(7).shuffle(revisions)
        for kv, revision in zip(clients, revisions, strict=True):
            with pytest.raises(StoreError) as caught:
                await kv.try_write([kv.entry("k", revision=revision, record=b"%d" % revision)])
            assert caught.value.reason in (StoreReason.TIMEOUT, StoreReason.UNAVAILABLE)
        own.resume()
        newest = max(revisions)

        async def thawed() -> bool:
            with contextlib.suppress(StoreError):
                await clients[0].store.ping()
                return True
            return False

        await eventually(thawed)
        (last,) = await clients[0].try_write([clients[0].entry("k", revision=newest + 1)])
        assert last.status is APPLIED
        for _ in range(20):
            assert await clients[0].record(clients[0].address("k")) == b"k"


async def test_acknowledged_writes_survive_a_kill(own: Server) -> None:
    own.start()
    async with opened(at(own)) as kv:
        assert reached_of(await kv.store.ping()).level is Durability.DISK
        await kv.write(*(kv.entry(f"{number:03}") for number in range(100)))
        own.kill()
        await eventually(lambda: _is_gone(kv))
        with pytest.raises(StoreError) as caught:
            await kv.try_write([kv.entry("x")])
        assert caught.value.reason is StoreReason.UNAVAILABLE
        own.start()
        await eventually(lambda: _answers(kv))
        assert len(await kv.walk(limit=1000)) == 100


async def _is_gone(kv: KeyValues) -> bool:
    return not await _answers(kv)


async def _answers(kv: KeyValues) -> bool:
    with contextlib.suppress(StoreError):
        await kv.store.ping()
        return True
    return False


async def set_up(server: Server, **config: str) -> None:
    async with redis.asyncio.Redis.from_url(server.url) as client:
        for name, value in config.items():
            await client.config_set(name.replace("_", "-"), value)


async def test_durability_is_what_the_server_says(own: Server) -> None:
    own.start()
    async with opened(at(own)) as kv:
        for appendonly, appendfsync, paused, level in [
            ("no", "always", "no", Durability.BUFFERED),
            ("yes", "everysec", "no", Durability.PROCESS),
            ("yes", "no", "no", Durability.PROCESS),
            ("yes", "always", "yes", Durability.PROCESS),
            ("yes", "always", "no", Durability.DISK),
        ]:
            await set_up(
                own,
                appendonly=appendonly,
                appendfsync=appendfsync,
                no_appendfsync_on_rewrite=paused,
            )
            reached = reached_of(await kv.store.ping())
            assert (reached.level, reached.replicas) == (level, 0)
            expected = f"appendfsync {appendfsync}" if appendonly == "yes" else "appendonly no"
            assert reached.why.startswith(expected)
            assert ("no-appendfsync-on-rewrite" in reached.why) == (paused == "yes")
    own.kill()  # one that writes its first AOF does not heed SIGTERM


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "allkeys-random"])
async def test_a_policy_that_evicts_is_refused(own: Server, policy: str) -> None:
    own.start()
    await set_up(own, maxmemory_policy=policy)
    async with opened(at(own)) as kv:
        error = await refusal(kv)
        assert error.reason is StoreReason.MISCONFIGURED
        assert policy in str(error)
        assert 'set "maxmemory-policy noeviction"' in str(error)
        await set_up(own, maxmemory_policy="noeviction")
        assert reached_of(await kv.store.ping()).level is Durability.DISK


async def test_a_full_server_takes_no_writes_and_answers_reads(own: Server) -> None:
    own.start()
    async with opened(at(own)) as kv:
        await kv.write(kv.entry("k"))
        await set_up(own, maxmemory="1")
        for entry in (kv.entry("k", revision=2, record=b"new"), kv.entry("x", namespace=("x",))):
            with pytest.raises(StoreError) as caught:
                await kv.try_write([entry])
            assert caught.value.reason is StoreReason.EXHAUSTED
        assert await kv.walk() == ["k"]
        assert await kv.delete(kv.address("k")) == [APPLIED]  # makes room


async def test_wrong_passwords_are_a_matter_of_configuration(
    servers: Servers, tmp_path: Path
) -> None:
    with server(servers, tmp_path / "server", "--requirepass", "right") as own:
        for wrong in ({}, {"password": "wrong"}, {"username": "nobody", "password": "right"}):
            async with opened(at(own, **wrong)) as kv:
                assert (await refusal(kv)).reason is StoreReason.MISCONFIGURED
                with pytest.raises(StoreError) as caught:
                    await kv.try_write([kv.entry("k")])
                assert caught.value.reason is StoreReason.MISCONFIGURED
        async with opened(at(own, password="right")) as kv:
            assert reached_of(await kv.store.ping()).level is Durability.DISK


async def test_a_user_with_the_least_permissions(own: Server) -> None:
    """CONFIG is not among them, as with managed servers: the level is what INFO proves."""
    own.start()
    async with redis.asyncio.Redis.from_url(own.url) as client:
        await client.acl_setuser(
            "app",
            enabled=True,
            passwords=["+pw"],
            keys=["mine:*"],
            commands=LEAST_PERMISSIONS.split(),
        )
    async with opened(at(own, username="app", password="pw", prefix="mine")) as kv:
        assert reached_of(await kv.store.ping()).level is Durability.PROCESS
        await kv.write(kv.entry("a", expire_time=4 * 10**15), kv.entry("b"))
        await kv.write(kv.entry("a", revision=2))
        assert await kv.walk() == await kv.walk(order=Order.TIME) == ["a", "b"]
        assert await kv.walk(order=Order.TIME, descending=True, limit=1) == ["a", "b"]
        assert (await kv.store.stats(kv.kind)).rows == 2
        assert await kv.store.delete_where(kv.scope(), max_revision=9) == 2
        assert await kv.count() == 0
    async with opened(at(own, username="app", password="pw", prefix="theirs")) as kv:
        with pytest.raises(StoreError) as caught:
            await kv.try_write([kv.entry("k")])
        assert caught.value.reason is StoreReason.MISCONFIGURED


async def test_tls(own: Server, certificate: Certificate, tmp_path: Path) -> None:
    """Before a server without TLS stands something that has it."""
    own.start()
    plain = at(own)
    async with door(plain.host, plain.port, certificate) as port:
        url = f"rediss://localhost:{port}/0"
        async with opened(RedisSettings(url=url, ca_file=str(certificate.file))) as kv:
            assert reached_of(await kv.store.ping()).level is Durability.DISK
            await kv.write(kv.entry("k"))
            assert await kv.walk() == ["k"]
        for settings in (
            RedisSettings(url=url),
            RedisSettings(url=url.replace("localhost", "127.0.0.1"), ca_file=str(certificate.file)),
            RedisSettings(url=url, ca_file=str(tmp_path / "nothing.pem")),
        ):
            async with opened(settings) as kv:
                assert (await refusal(kv)).reason is StoreReason.MISCONFIGURED


async def test_replicas_that_have_a_write_are_counted(
    own: Server, servers: Servers, tmp_path: Path
) -> None:
    own.start()
    host, port = re.fullmatch(r"redis://([^:]+):(\d+)/0", own.url).groups()  # type: ignore[union-attr]
    async with opened(at(own, wait_replicas=1, wait_timeout=0.2)) as kv:
        with server(servers, tmp_path / "replica", "--replicaof", host, port) as replica:
            await eventually(lambda: _has_replicas(kv, 1))
            (deleted,) = await kv.store.delete([Delete(kv.address("k"))])
            assert (deleted.status, deleted.replicas) == (APPLIED, 1)
            entries = [kv.entry("k", namespace=(label,)) for label in "abc"]
            results = await asyncio.gather(*(kv.try_write([entry]) for entry in entries))
            assert [each.replicas for (each,) in results] == [1, 1, 1]
            async with opened(at(replica)) as strayed:
                error = await refusal(strayed)
                assert error.reason is StoreReason.MISCONFIGURED
                assert f"{host}:{port}" in str(error)
                with pytest.raises(StoreError) as caught:
                    await strayed.try_write([strayed.entry("k")])
                assert caught.value.reason is StoreReason.UNAVAILABLE
            replica.kill()  # as above
        # The replica is gone: the write is as good as before, and says that nobody else has it.
        await eventually(lambda: _has_replicas(kv, 0))


async def _has_replicas(kv: KeyValues, number: int) -> bool:
    (result,) = await kv.store.put([Write(kv.entry("k", revision=time.time_ns()))])
    assert result.status is APPLIED
    return result.replicas == number


async def test_another_database_of_the_server(own: Server) -> None:
    own.start()
    other = own.url.removesuffix("/0") + "/1"
    async with opened(at(own)) as here, opened(RedisSettings(url=other)) as there:
        there.tenant = here.tenant
        await here.write(here.entry("k"))
        assert (await here.count(), await there.count()) == (1, 0)
    async with opened(RedisSettings(url=own.url.removesuffix("/0") + "/99")) as nowhere:
        assert (await refusal(nowhere)).reason is StoreReason.MISCONFIGURED


async def test_what_answers_is_no_redis(unused_port: int) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    url = f"redis://127.0.0.1:{unused_port}"
    async with (
        await asyncio.start_server(talk, "127.0.0.1", unused_port),
        opened(RedisSettings(url=url)) as kv,
    ):
        assert (await refusal(kv)).reason is StoreReason.PROTOCOL


@pytest.fixture
def unused_port() -> int:
    return free_ports(1)[0]
