"""What only PostgreSQL does: its layout, its statements, its settings."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import uuid
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from tests.adapters.postgres_stores import keys, opened, raw, refused

from memplane_adapters.conformance.stores.fixtures import NOW, eventually
from memplane_adapters.contract import (
    Condition,
    Delete,
    Durability,
    Entry,
    Op,
    Order,
    StoreReason,
    Write,
    WriteStatus,
    reached_of,
)
from memplane_adapters.postgres import PostgresSettings
from memplane_adapters.postgres.settings import from_url
from memplane_gateway.config import load
from memplane_gateway.config.place import place_of
from memplane_gateway.config.stores import make_store

__all__ = ["keys"]

APPLIED, CONFLICT, MISSING, FAILED = WriteStatus


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
        assert await raw(keys, "select version from {}.layout") == [(2,)]
        assert len(await one.walk()) == 20


async def test_open_asks_no_server() -> None:
    async with opened(url="postgresql://127.0.0.1:1/none") as nowhere:
        error = await refused(nowhere.store.ping())
        assert (error.reason, error.retryable) == (StoreReason.UNAVAILABLE, True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("update {}.layout set version = 3", "newer"),
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


async def test_an_older_layout_is_brought_up_to_date(keys: dict[str, Any]) -> None:
    async with opened(**keys) as key_values:
        await key_values.write(key_values.entry("k"))
    await raw(keys, "drop index {}.entry_expire_time")
    await raw(keys, "update {}.layout set version = 1")
    async with opened(**keys) as key_values:
        await key_values.store.ping()
    assert await raw(keys, "select count(*) from {}.entry") == [(1,)]
    assert await raw(keys, "select version from {}.layout") == [(2,)]
    assert await raw(keys, "select to_regclass('{}.entry_expire_time') is null") == [(False,)]


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
            # Made for it by somebody else.
            assert reached_of(await key_values.store.ping()).level is Durability.DISK
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


# --- settings -----------------------------------------------------------------------------------


def test_pgvector_is_another_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load(environ={"MEMPLANE_VECTOR": "pgvector+postgresql://ada@localhost/d?index=hnsw"})
    store = settings.stores[settings.routes.semantic.store]
    assert (store.adapter, store.settings.user, store.settings.index) == ("postgres", "ada", "hnsw")
    assert place_of(make_store("postgres", {"url": "postgresql://localhost/d"})) == place_of(store)


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
        {"ef_search": 0},
        {"ef_search": 1_001},
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
