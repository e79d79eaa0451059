"""What only PostgreSQL does: its connections, its layout, its durability, its bad days."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from memplane_adapters.conformance.local_stores import Servers, choices
from memplane_adapters.conformance.servers import Server
from memplane_adapters.conformance.stores import BackendFactory
from memplane_adapters.conformance.stores.fixtures import NOW, KeyValues, eventually
from memplane_adapters.contract import (
    Condition,
    Delete,
    Durability,
    Entry,
    Op,
    Order,
    StoreError,
    StoreReason,
    Write,
    WriteStatus,
)
from memplane_adapters.postgres import ADAPTER, PostgresSettings
from memplane_adapters.postgres.key_value_store import PostgresKeyValueStore
from memplane_adapters.postgres.settings import from_url

(POSTGRES,) = (choice for choice in choices() if choice.adapter_name == "postgres")
APPLIED, CONFLICT, MISSING, FAILED = WriteStatus


@pytest.fixture
def backend_factory(servers: Servers, tmp_path: Path) -> BackendFactory:
    return POSTGRES.backend_factory(servers, tmp_path)


@pytest.fixture
def keys(servers: Servers, tmp_path: Path) -> dict[str, Any]:
    """The settings of a store that is empty at first."""
    _, found = POSTGRES.keys(servers, tmp_path)
    return dict(found)


@pytest.fixture
def own(servers: Servers, tmp_path: Path) -> Iterator[Server]:
    """A server of the case's own, which it may treat badly."""
    if POSTGRES.store is None:
        pytest.skip(POSTGRES.problem)
    with servers.own(POSTGRES.store, tmp_path / "own") as server:
        yield server


@asynccontextmanager
async def opened(**settings: Any) -> AsyncIterator[KeyValues]:
    """A store of its own, open."""
    store = ADAPTER.connect(PostgresSettings(**settings), Path()).key_value
    assert store is not None
    await store.open()
    try:
        yield KeyValues(store)
    finally:
        await store.close()


async def raw(keys: dict[str, Any], text: str) -> list[tuple[Any, ...]]:
    """Something done behind the store's back; {} is its schema."""
    statement = sql.SQL(text).format(sql.Identifier(keys.get("schema", "memplane")))
    async with await psycopg.AsyncConnection.connect(
        keys["url"], user=keys["user"], autocommit=True
    ) as connection:
        cursor = await connection.execute(statement)
        return await cursor.fetchall() if cursor.description else []


async def refused(call: Any) -> StoreError:
    with pytest.raises(StoreError) as refusal:
        await call
    return refusal.value


def inside(key_values: KeyValues) -> PostgresKeyValueStore:
    assert isinstance(key_values.store, PostgresKeyValueStore)
    return key_values.store


# --- the layout ---------------------------------------------------------------------------------


async def test_stores_that_open_at_once_make_one_layout(keys: dict[str, Any]) -> None:
    async with opened(**keys) as one, opened(**keys) as two, opened(**keys) as three:
        await asyncio.gather(
            *(
                many.try_write([many.entry(f"{n}")])
                for n in range(20)
                for many in (one, two, three)
            ),
            *(many.store.ping() for many in (one, two, three)),
        )
        assert await raw(keys, "select version from {}.layout") == [(1,)]
        assert len(await one.walk()) == 20


async def test_open_asks_no_server() -> None:
    async with opened(url="postgresql://127.0.0.1:1/none") as nowhere:
        error = await refused(nowhere.store.ping())
        assert (error.reason, error.retryable) == (StoreReason.UNAVAILABLE, True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("update {}.layout set version = 2", "newer"),
        ("delete from {}.layout", "0 times"),
        ("insert into {}.layout values (1)", "2 times"),
    ],
)
async def test_another_layout_is_refused(keys: dict[str, Any], change: str, words: str) -> None:
    async with opened(**keys) as key_values:
        await key_values.write(key_values.entry("k"))
    await raw(keys, change)
    async with opened(**keys) as key_values:
        for call in (key_values.store.ping(), key_values.try_write([key_values.entry("k")])):
            error = await refused(call)
            assert error.reason is StoreReason.MISCONFIGURED
            assert words in str(error)


async def test_a_schema_of_somebody_else_is_left_alone(keys: dict[str, Any]) -> None:
    await raw(keys, "create schema {}")
    await raw(keys, "create table {}.entry (theirs int)")
    async with opened(**keys) as key_values:
        assert (await refused(key_values.store.ping())).reason is StoreReason.MISCONFIGURED
    assert await raw(keys, "select * from {}.entry") == []
    assert await raw(keys, "select to_regclass('{}.layout')") == [(None,)]


async def test_what_vanished_is_missed_and_not_made_anew(keys: dict[str, Any]) -> None:
    async with opened(**keys) as key_values:
        await key_values.write(key_values.entry("k"))
        await raw(keys, "drop schema {} cascade")
        for call in (
            key_values.try_write([key_values.entry("k")]),
            key_values.read(key_values.address("k")),
            key_values.page(),
        ):
            assert (await refused(call)).reason is StoreReason.COLLECTION_MISSING


async def test_a_role_that_may_not_is_misconfigured(keys: dict[str, Any]) -> None:
    role = f"role-{uuid.uuid4().hex}"
    await raw(keys, f'create role "{role}" login')
    try:
        async with opened(**{**keys, "user": role}) as key_values:
            assert (await refused(key_values.store.ping())).reason is StoreReason.MISCONFIGURED
            await raw(keys, f'create schema {{}} authorization "{role}"')
            assert await key_values.store.ping() is Durability.DISK  # made for it by somebody else
            await key_values.write(key_values.entry("k"))
    finally:
        await raw(keys, f'drop owned by "{role}" cascade')
        await raw(keys, f'drop role "{role}"')


async def test_places_that_are_longer_than_an_index_takes(keys: dict[str, Any]) -> None:
    """16 labels of 256 bytes and a key of 512: PostgreSQL indexes 2,704 bytes a row."""
    labels = tuple(os.urandom(128).hex() for _ in range(15))
    places = [((*labels, f"{n}" * 256), f"{m}" * 512) for n in range(3) for m in range(3)]
    async with opened(**keys) as key_values:
        entries = [key_values.entry(key, place, time=NOW + 1) for place, key in places]
        await key_values.write(*entries[::-1])
        names = [key for _, key in places]
        for limit in (2, 100):
            assert await key_values.walk(limit=limit) == names
            assert await key_values.walk(limit=limit, descending=True) == names[::-1]
            for scope in (key_values.scope(*labels), key_values.scope()):
                assert await key_values.walk(scope, order=Order.TIME, limit=limit) == names
        deep = key_values.scope(*places[4][0], exact=True)
        assert await key_values.walk(deep) == names[:3]
        assert await key_values.store.delete_where(deep, max_revision=1) == 3
        assert await key_values.count() == 6


# --- writes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("others", [0, 2])
async def test_a_late_write_of_an_older_revision_is_not_applied(
    keys: dict[str, Any], others: int
) -> None:
    """Alone and in a batch, which are different statements."""

    def batch(revision: int, record: bytes) -> list[Entry]:
        beside = [key_values.entry(f"{revision}-{n}") for n in range(others)]
        return [key_values.entry("k", revision=revision, record=record), *beside]

    async with opened(**keys) as key_values:
        statuses = []
        for revision, record in ((5, b"new"), (4, b"late"), (5, b"same"), (6, b"newest")):
            result, *rest = await key_values.try_write(batch(revision, record))
            statuses.append(result.status)
            assert all(one.status is APPLIED for one in rest)
        assert statuses == [APPLIED, CONFLICT, APPLIED, APPLIED]
        assert await key_values.record(key_values.address("k")) == b"newest"


async def test_a_frozen_writer_never_wins_when_it_thaws(keys: dict[str, Any]) -> None:
    """A write that waits for a lock compares with what is there when it gets it."""
    async with opened(**keys) as key_values:
        await key_values.write(key_values.entry("k", revision=1), key_values.entry("x"))
        holder = await psycopg.AsyncConnection.connect(keys["url"], user=keys["user"])
        name = sql.Identifier(keys["schema"])
        await holder.execute(sql.SQL("update {}.entry set revision = 9").format(name))
        waiting = [
            asyncio.ensure_future(key_values.store.put(writes))
            for writes in (
                [Write(key_values.entry("k", revision=5, record=b"late"))],
                [Write(key_values.entry("k", revision=5, record=b"late"), 1)],
                [
                    Write(key_values.entry("k", revision=5, record=b"late")),
                    Write(key_values.entry("n", revision=5)),
                ],
            )
        ]

        async def all_wait() -> bool:
            text = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
            return bool((await raw(keys, text))[0][0] >= 3)

        await eventually(all_wait)
        await holder.commit()
        await holder.close()
        statuses = [[one.status for one in results] for results in await asyncio.gather(*waiting)]
        assert statuses == [[CONFLICT], [CONFLICT], [CONFLICT, APPLIED]]
        assert await key_values.record(key_values.address("k")) == b"k"


async def test_batches_that_cross_do_not_lock_each_other_out(keys: dict[str, Any]) -> None:
    async with opened(**keys) as key_values:
        names = [f"{n}" for n in range(30)]

        async def writer(turn: int) -> None:
            order = names if turn % 2 else names[::-1]
            entries = [key_values.entry(name, revision=turn + 1) for name in order]
            await key_values.try_write(entries, atomic=bool(turn % 3))
            await key_values.store.delete([Delete(key_values.address(name)) for name in order[:3]])

        await asyncio.gather(*(writer(turn) for turn in range(40)))


async def test_bytes_with_zeros_in_fields_are_found(keys: dict[str, Any]) -> None:
    async with opened(**keys) as key_values:
        await key_values.write(
            key_values.entry("a", fields={"raw": b"\0\xff\0", "n": {"deep": [b"\0"]}}),
            key_values.entry("b", fields={"raw": b"\0\xff"}),
        )
        tree = Condition(("raw",), Op.EQ, b"\0\xff\0")
        assert await key_values.walk(filter=tree) == ["a"]
        tree = Condition(("n", "deep"), Op.CONTAINS, b"\0")
        assert await key_values.walk(filter=tree) == ["a"]


@pytest.mark.parametrize("atomic", [False, True])
async def test_what_cannot_be_stored_fails_alone(keys: dict[str, Any], atomic: bool) -> None:
    async with opened(**keys) as key_values:
        bad = [
            key_values.entry("k", fields={"n": float("nan")}),
            key_values.entry("k", fields={"\ud800": 1}),
            key_values.entry("\0"),
            key_values.entry("k", ("\0",)),
            dataclasses.replace(
                key_values.entry("k"),
                address=dataclasses.replace(key_values.address("k"), tenant="\0"),
            ),
        ]
        entries = [key_values.entry("a"), *bad, key_values.entry("z")]
        results = await key_values.try_write(entries, atomic=atomic)
        good = FAILED if atomic else APPLIED
        assert [one.status for one in results] == [good, *([FAILED] * len(bad)), good]
        assert all(one.error is not None for one in results[1:-1])
        assert await key_values.walk() == ([] if atomic else ["a", "z"])
        (alone,) = await key_values.try_write(bad[:1], atomic=atomic)
        assert alone.status is FAILED


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
        assert await key_values.store.ping() is Durability.DISK
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
        assert await key_values.store.ping() is Durability.DISK
        for name, value in settings.items():
            await raw(keys, f"alter system set {name} = {value}")
        await raw(keys, "select pg_reload_conf()")

        async def is_so() -> bool:
            return await key_values.store.ping() is level

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
        assert await key_values.store.ping() is Durability.DISK
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


# --- settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "keys"),
    [
        ("", {}),
        ("postgresql://h:5/d", {"url": "postgresql://h:5/d"}),
        ("//u:p%40@h/d", {"url": "postgresql://h/d", "user": "u", "password": "p@"}),
        ("u@h", {"url": "postgresql://h", "user": "u"}),
        (
            "//h1:1,h2:2/d?sslmode=require&schema=a&timeout=2.5&connections=3",
            {
                "url": "postgresql://h1:1,h2:2/d?sslmode=require",
                "schema": "a",
                "timeout": 2.5,
                "connections": 3,
            },
        ),
        (
            "///d?host=/run/sockets&prepared_statements=false&password=x",
            {
                "url": "postgresql:///d?host=%2Frun%2Fsockets",
                "prepared_statements": False,
                "password": "x",
            },
        ),
    ],
)
def test_urls(url: str, keys: dict[str, Any]) -> None:
    assert from_url(url) == keys
    PostgresSettings(**keys)


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "mysql://localhost"},
        {"url": "localhost"},
        {"url": "postgresql://u:secret@localhost"},
        {"url": "postgresql://localhost?password=secret"},
        {"url": "postgresql://localhost?connect_timeout=1"},
        {"schema": ""},
        {"schema": 'a"b'},
        {"schema": "pg_mine"},
        {"schema": "a" * 64},
        {"connections": 0},
        {"timeout": 0.0},
        {"connect_timeout": -1.0},
    ],
    ids=str,
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="should") as refusal:
        PostgresSettings(**wrong)
    assert "secret" not in str(refusal.value)


def test_secrets_are_not_shown() -> None:
    assert "hidden" not in repr(PostgresSettings(password="hidden"))
