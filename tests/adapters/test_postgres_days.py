"""PostgreSQL's connections, its durability and its bad days."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest
from psycopg import sql
from tests.adapters.postgres_stores import keys, opened, own, raw, refused

from memplane_adapters.conformance.servers import Server
from memplane_adapters.conformance.stores.fixtures import KeyValues, eventually
from memplane_adapters.contract import Durability, StoreReason, WriteStatus, reached_of
from memplane_adapters.postgres.key_values.store import PostgresKeyValueStore
from memplane_adapters.postgres.settings import from_url

__all__ = ["keys", "own"]

APPLIED = WriteStatus.APPLIED


def inside(key_values: KeyValues) -> PostgresKeyValueStore:
    assert isinstance(key_values.store, PostgresKeyValueStore)
    return key_values.store


# --- connections --------------------------------------------------------------------------------


async def test_a_wrong_password_is_told_at_once(own: Server) -> None:
    keys = dict(from_url(own.url))
    await raw(keys, "create role ada login superuser password 'secret'")
    rules = own.root / "data/cluster/pg_hba.conf"
    rules.write_text("host all ada all scram-sha-256\nhost all all all trust\n")
    before = await raw(keys, "select pg_conf_load_time()")
    await raw(keys, "select pg_reload_conf()")
    url = own.url.replace("memplane@", "ada:{}@")

    async def reloaded() -> bool:
        return await raw(keys, "select pg_conf_load_time()") != before

    await eventually(reloaded)
    async with opened(**from_url(url.format("wrong"))) as key_values:
        error = await refused(key_values.store.ping())
        assert (error.reason, error.retryable) == (StoreReason.MISCONFIGURED, False)
        assert "wrong" not in str(error)
    async with opened(**from_url(url.format("secret"))) as key_values:
        assert reached_of(await key_values.store.ping()).level is Durability.DISK
    missing = own.url.rpartition("/")[0] + "/nothing"
    async with opened(**from_url(missing)) as key_values:
        assert (await refused(key_values.store.ping())).reason is StoreReason.MISCONFIGURED


async def test_a_backend_that_is_killed_in_mid_write_is_told(keys: dict[str, Any]) -> None:
    async with opened(**keys) as key_values:
        await key_values.write(key_values.entry("k", record=b"old"))
        holder = await psycopg.AsyncConnection.connect(keys["url"], user=keys["user"])
        name = sql.Identifier(keys["schema"])
        await holder.execute(sql.SQL("lock {}.entry").format(name))
        writing = asyncio.ensure_future(
            key_values.try_write([key_values.entry("k", revision=2, record=b"new")])
        )
        kill = (
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where wait_event_type = 'Lock' and application_name = 'memplane'"
        )

        async def killed() -> bool:
            return bool(await raw(keys, kill))

        await eventually(killed)
        error = await refused(writing)
        assert (error.reason, error.retryable) == (StoreReason.INTERRUPTED, True)
        await holder.close()
        assert await key_values.record(key_values.address("k")) == b"old"


async def test_field_52_connections_that_died_idle_are_replaced_unseen(
    keys: dict[str, Any],
) -> None:
    """A connection idle overnight died and was never replaced."""
    async with opened(**keys) as key_values:
        await asyncio.gather(*(key_values.write(key_values.entry(f"{n}")) for n in range(20)))
        kill = (
            "select pg_terminate_backend(pid, 10000) from pg_stat_activity"
            " where application_name = 'memplane' and pid <> pg_backend_pid()"
        )
        assert len(await raw(keys, kill)) > 1
        for n in range(20):
            (result,) = await key_values.try_write([key_values.entry(f"{n}", revision=2)])
            assert result.status is APPLIED


async def test_field_48_a_storm_of_cancelled_calls_loses_no_connection(
    keys: dict[str, Any],
) -> None:
    """A cancelled command left its reply for the next caller, and pools ran dry."""
    async with opened(**keys, connections=3) as key_values:
        await key_values.write(*(key_values.entry(f"{n}") for n in range(50)))

        async def read(n: int) -> None:
            assert await key_values.record(key_values.address(f"{n % 50}")) == b"%d" % (n % 50)

        for turn in range(1, 6):
            calls = [asyncio.ensure_future(read(n)) for n in range(100)]
            for _ in range(turn):
                await asyncio.sleep(0)
            for call in calls[turn % 3 :: 3]:
                call.cancel()
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert {type(one) for one in outcomes} == {type(None), asyncio.CancelledError}
        engine = inside(key_values)._engine
        await asyncio.gather(*(read(n) for n in range(30)))
        assert not engine._under_way
        assert 1 <= len(engine._idle) <= 3


async def test_who_finds_no_connection_is_told_in_time(keys: dict[str, Any]) -> None:
    async with opened(**keys, connections=1, connect_timeout=0.1) as key_values:
        await key_values.write(key_values.entry("k"))
        holder = await psycopg.AsyncConnection.connect(keys["url"], user=keys["user"])
        await holder.execute(sql.SQL("lock {}.entry").format(sql.Identifier(keys["schema"])))
        first = asyncio.ensure_future(key_values.read(key_values.address("k")))
        await asyncio.sleep(0)
        error = await refused(key_values.read(key_values.address("k")))
        assert (error.reason, error.retryable) == (StoreReason.UNAVAILABLE, True)
        await holder.close()
        assert len(await first) == 1


async def test_a_statement_that_takes_too_long_is_ended(keys: dict[str, Any]) -> None:
    async with opened(**keys, timeout=0.2) as key_values:
        await key_values.write(key_values.entry("k"))
        holder = await psycopg.AsyncConnection.connect(keys["url"], user=keys["user"])
        await holder.execute(sql.SQL("lock {}.entry").format(sql.Identifier(keys["schema"])))
        error = await refused(key_values.try_write([key_values.entry("k", revision=2)]))
        assert (error.reason, error.retryable) == (StoreReason.TIMEOUT, True)
        await holder.close()
        await key_values.write(key_values.entry("k", revision=3))


@pytest.mark.parametrize("prepared", [False, True])
async def test_field_53_statements_are_prepared_where_that_is_wanted(
    keys: dict[str, Any], prepared: bool
) -> None:
    """Prepared statements collided behind a pooler."""
    async with opened(**keys, connections=1, prepared_statements=prepared) as key_values:
        for n in range(5):
            await key_values.write(key_values.entry("k", revision=n + 1))
        engine = inside(key_values)._engine
        ((number,),) = await engine.call(
            lambda session: session.rows(b"select count(*) from pg_prepared_statements")
        )
        assert bool(number) is prepared


async def test_a_server_that_takes_no_writes_is_told(keys: dict[str, Any]) -> None:
    async with opened(**keys) as before:
        await before.write(before.entry("k"))
    read_only = f"{keys['url']}?options=-c%20default_transaction_read_only%3Don"
    async with opened(**{**keys, "url": read_only}) as key_values:
        key_values.tenant = before.tenant
        for call in (
            key_values.store.ping(),
            key_values.try_write([key_values.entry("k", revision=2)]),
        ):
            error = await refused(call)
            assert (error.reason, error.retryable) == (StoreReason.UNAVAILABLE, True)
        assert await key_values.walk() == ["k"]


# --- the server's bad days ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "level"),
    [
        ({}, Durability.DISK),
        ({"synchronous_commit": "local"}, Durability.DISK),
        ({"synchronous_commit": "off"}, Durability.BUFFERED),
        ({"fsync": "off"}, Durability.PROCESS),
    ],
    ids=str,
)
async def test_the_level_is_probed(
    own: Server, settings: dict[str, str], level: Durability
) -> None:
    keys = dict(from_url(own.url))
    async with opened(**keys) as key_values:
        assert reached_of(await key_values.store.ping()).level is Durability.DISK
        for name, value in settings.items():
            await raw(keys, f"alter system set {name} = {value}")
        await raw(keys, "select pg_reload_conf()")

        async def is_so() -> bool:
            return reached_of(await key_values.store.ping()).level is level

        await eventually(is_so)


async def test_a_killed_server_keeps_what_it_acknowledged(own: Server) -> None:
    async with opened(**from_url(own.url)) as key_values:
        for n in range(100):
            await key_values.write(key_values.entry(f"{n:03}"))
        await key_values.delete(key_values.address("099"))
        own.kill()
        for call in (key_values.store.ping(), key_values.try_write([key_values.entry("lost")])):
            error = await refused(call)
            assert (error.reason, error.retryable) == (StoreReason.UNAVAILABLE, True)
        own.start()
        assert reached_of(await key_values.store.ping()).level is Durability.DISK
        assert await key_values.walk() == [f"{n:03}" for n in range(99)]


async def test_a_frozen_server_is_not_waited_for(own: Server) -> None:
    async with opened(**from_url(own.url), timeout=0.5, connections=3) as key_values:
        await key_values.write(key_values.entry("k"))
        await asyncio.gather(*(key_values.read(key_values.address("k")) for _ in range(3)))
        own.pause()
        for call in (
            key_values.store.ping(),
            key_values.try_write([key_values.entry("k", revision=2)]),
            key_values.walk(),
        ):
            error = await refused(call)
            assert (error.reason, error.retryable) == (StoreReason.TIMEOUT, True)
        own.resume()
        await key_values.write(key_values.entry("z", revision=3))
        assert await key_values.walk() == ["k", "z"]


async def test_a_stopped_server_is_found_again(own: Server) -> None:
    async with opened(**from_url(own.url)) as key_values:
        await key_values.write(key_values.entry("k"))
        own.restart()
        await key_values.write(key_values.entry("k", revision=2))
        own.stop()
        assert (await refused(key_values.walk())).reason is StoreReason.UNAVAILABLE
