"""PostgreSQL stores for its own cases: on the session's server, or on one that may be treated badly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from tests.adapters import opening

from memplane_adapters.conformance.local_stores import Servers, choices
from memplane_adapters.conformance.servers import Server
from memplane_adapters.conformance.stores.fixtures import KeyValues, Points
from memplane_adapters.contract import StoreError
from memplane_adapters.postgres import ADAPTER, PostgresSettings

(POSTGRES,) = (choice for choice in choices() if choice.adapter_name == "postgres")


@pytest.fixture
def keys(servers: Servers, tmp_path: Path) -> dict[str, Any]:
    """The settings of a store that is empty at first."""
    _, found = POSTGRES.keys(servers, tmp_path)
    return dict(found)


@pytest.fixture
def own(servers: Servers, tmp_path: Path) -> Iterator[Server]:
    """A server of the case's own, which it may treat badly."""
    with opening.own_server(POSTGRES, servers, tmp_path) as server:
        yield server


def opened(**settings: Any) -> AbstractAsyncContextManager[KeyValues]:
    """A store of its own, open."""
    store = ADAPTER.connect(PostgresSettings(**settings), Path()).key_value
    assert store is not None
    return opening.opened(KeyValues(store))


def opened_points(**settings: Any) -> AbstractAsyncContextManager[Points]:
    """Its vector side, open; nothing is ensured."""
    return opening.opened_points(ADAPTER, **settings)


async def raw(keys: dict[str, Any], text: str) -> list[tuple[Any, ...]]:
    """Something done behind the store's back; {} is its schema."""
    statement = sql.SQL(text).format(sql.Identifier(keys.get("schema", "memplane")))
    async with await psycopg.AsyncConnection.connect(
        keys["url"], user=keys["user"], password=keys.get("password"), autocommit=True
    ) as connection:
        cursor = await connection.execute(statement)
        return await cursor.fetchall() if cursor.description else []


async def refused(call: Any) -> StoreError:
    with pytest.raises(StoreError) as refusal:
        await call
    return refusal.value
