"""PostgreSQL keeps tenants apart itself: its policies hold, whatever a statement of ours says."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
import pytest_asyncio
from psycopg import sql
from tests.adapters.postgres_stores import keys, opened_points, own, raw

from memplane_adapters.conformance.servers import Server
from memplane_adapters.conformance.stores.fixtures import COLLECTION, Points, vector
from memplane_adapters.contract import Query, reached_of
from memplane_adapters.postgres.settings import from_url
from memplane_adapters.postgres.vectors.collections import PREFIX
from memplane_adapters.postgres.vectors.isolation import ROLE
from memplane_adapters.postgres.vectors.store import PostgresVectorStore

__all__ = ["keys", "own"]

ADA, BOB = "ada", 'bob", "ada'
"""The second has a name that would be two in an array, if it were not quoted."""


@pytest_asyncio.fixture
async def owner(keys: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """The settings of a schema whose owner may log in, and nothing more."""
    role = f"owner-{uuid.uuid4().hex}"
    await raw(keys, f'create role "{role}" login')
    await raw(keys, "create extension if not exists vector")
    await raw(keys, f'create schema {{}} authorization "{role}"')
    try:
        yield {**keys, "user": role}
    finally:
        await raw(keys, f'drop owned by "{role}" cascade')
        await raw(keys, f'drop role "{role}"')


@pytest.fixture(params=["owner", "superuser"])
def login(request: pytest.FixtureRequest, keys: dict[str, Any]) -> dict[str, Any]:
    """Who logs in: an ordinary role, for whom policies hold, or one that they do not hold for."""
    if request.param == "superuser":
        return keys
    ordinary: dict[str, Any] = request.getfixturevalue("owner")
    return ordinary


@asynccontextmanager
async def two_tenants(login: dict[str, Any]) -> AsyncIterator[tuple[Points, Points]]:
    """Two tenants with a point each, both of the same key."""
    async with opened_points(**login) as ada:
        await ada.store.ensure(COLLECTION)
        ada.tenant, bob = ADA, Points(ada.store, tenant=BOB)
        await ada.write(ada.point("k", record=b"of ada", terms="tea"))
        await bob.write(bob.point("k", record=b"of bob", terms="tea"))
        yield ada, bob


@asynccontextmanager
async def session(
    login: dict[str, Any], *tenants: str
) -> AsyncIterator[tuple[psycopg.AsyncConnection[Any], sql.Identifier]]:
    """A connection as the store's own are, about these tenants, and the name of the table."""
    ((name,),) = await raw(
        login,
        "select table_name from information_schema.tables"
        f" where table_schema = '{login['schema']}' and table_name ~ '^{PREFIX}-.*[0-9a-f]$'",
    )
    async with await psycopg.AsyncConnection.connect(
        login["url"], user=login["user"]
    ) as connection:
        if login["user"].startswith("memplane"):
            await connection.execute(sql.SQL("set role {}").format(sql.Identifier(ROLE)))
        if tenants:
            said = sql.SQL("select set_config('memplane.tenants', (%s::text[])::text, true)")
            await connection.execute(said, [list(tenants)])
        yield connection, sql.Identifier(login["schema"], name)
        await connection.rollback()


async def records(login: dict[str, Any], *tenants: str) -> set[bytes]:
    """What a statement sees that names no tenant itself."""
    async with session(login, *tenants) as (connection, table):
        cursor = await connection.execute(sql.SQL("select record from {}").format(table))
        return {row[0] for row in await cursor.fetchall()}


async def test_a_statement_sees_the_tenants_that_were_told_and_no_others(
    login: dict[str, Any],
) -> None:
    async with two_tenants(login):
        assert await records(login) == set()
        assert await records(login, ADA) == {b"of ada"}
        assert await records(login, BOB) == {b"of bob"}
        assert await records(login, ADA, BOB) == {b"of ada", b"of bob"}
        assert await records(login, "ada%", "") == set()


@pytest.mark.parametrize(
    "change",
    ["update {} set record = 'changed'", "delete from {}", "select from {} for update"],
)
async def test_a_statement_touches_no_other_tenants_rows(
    login: dict[str, Any], change: str
) -> None:
    async with two_tenants(login):
        for tenants, number in (((), 0), ((ADA,), 1), ((ADA, BOB), 2)):
            async with session(login, *tenants) as (connection, table):
                cursor = await connection.execute(sql.SQL(change).format(table))
                assert cursor.rowcount == number


async def test_no_row_becomes_another_tenants(login: dict[str, Any]) -> None:
    changes = (
        "update {} set tenant = 'eve'",
        """
        insert into {} (
            id, revision, update_time, time, tenant, kind, place, tokens, numbers, text, record
        ) values (gen_random_uuid(), 1, 1, 1, 'eve', 'semantic', '', '{{}}', '{{}}', '', '')
        """,
    )
    async with two_tenants(login):
        for change in changes:
            async with session(login, ADA) as (connection, table):
                with pytest.raises(
                    psycopg.errors.InsufficientPrivilege, match="row-level security"
                ):
                    await connection.execute(sql.SQL(change).format(table))


async def test_the_store_works_for_either_login(login: dict[str, Any]) -> None:
    """Every call, over policies; counts over all tenants are counts over all."""
    async with two_tenants(login) as (ada, bob):
        for points, record in ((ada, "of ada"), (bob, "of bob")):
            assert await points.search(vector=vector(1.0)) == [record]
            assert await points.search(terms=("tea",)) == [record]
            assert await points.walk() == [record]
            assert await points.count() == 1
            assert await points.record(points.address("k")) == record.encode()
        assert (await ada.store.stats(ada.kind)).rows == 2
        assert "row-level" not in reached_of(await ada.store.ping()).why
        assert await bob.store.delete_where(bob.scope(), max_revision=1) == 1
        assert await ada.walk() == ["of ada"]
        await ada.delete(ada.address("k"))
        assert (await ada.store.stats(ada.kind)).rows == 0


async def test_one_batch_may_be_about_several_tenants(login: dict[str, Any]) -> None:
    async with two_tenants(login) as (ada, bob):
        await ada.write(ada.point("n"), bob.point("n"))
        rows = await ada.read(*(one.address("n") for one in (ada, bob)))
        assert [row and row.record for row in rows] == [b"n", b"n"]


async def test_nothing_of_a_call_stays_on_its_connection(keys: dict[str, Any]) -> None:
    """A pooler may give the next transaction to somebody else."""
    async with two_tenants({**keys, "connections": 1, "index": "hnsw"}) as (ada, _):
        assert isinstance(ada.store, PostgresVectorStore)
        await ada.store.query(Query(scope=ada.scope(), vector=vector(1.0)))
        await ada.walk()
        await ada.store.stats(ada.kind)
        text = (
            b"select nullif(current_setting('memplane.tenants', true), ''),"
            b" nullif(current_setting('memplane.every_tenant', true), ''), current_setting('role'),"
            b" nullif(current_setting('hnsw.iterative_scan', true), 'off')"
        )
        assert await ada.store._engine.call(lambda session: session.rows(text)) == [
            (None, None, "none", None)
        ]


async def test_who_cannot_be_held_by_policies_is_told(own: Server) -> None:
    """A login that bypasses them, and may not make the role that does not."""
    keys: dict[str, Any] = {"schema": "memplane", **from_url(own.url)}
    await raw(keys, "create extension vector")
    await raw(keys, "create role ada login bypassrls")
    await raw(keys, "grant create on database postgres to ada")
    async with opened_points(**{**keys, "user": "ada"}) as points:
        await points.store.ensure(COLLECTION)
        await points.write(points.point("k"))
        why = reached_of(await points.store.ping()).why
        assert why.endswith("row-level security does not hold for this login")
    # A later one that may makes it, and takes it on.
    await raw(keys, "create role eve login bypassrls createrole")
    await raw(keys, "grant create on database postgres to eve")
    for later in ({**keys, "user": "eve", "schema": "eves"}, keys):
        async with opened_points(**later) as points:
            await points.store.ensure(COLLECTION)
            await points.write(points.point("k"))
            assert await points.walk() == ["k"]
            assert "row-level" not in reached_of(await points.store.ping()).why
