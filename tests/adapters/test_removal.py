"""Removing what a store keeps: on the store that the suite is not run on, and what is spared."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.adapters.postgres_stores import keys, opened_points, raw

from memplane_adapters.conformance.stores import BackendFactory, Configured
from memplane_adapters.conformance.stores.fixtures import COLLECTION, vector
from memplane_adapters.conformance.stores.test_removal import (
    test_removing_leaves_what_others_keep as _removing_leaves_what_others_keep,
)
from memplane_adapters.contract import StoreError, StoreReason
from memplane_adapters.embedded import ADAPTER as EMBEDDED
from memplane_adapters.embedded import EmbeddedSettings
from memplane_adapters.postgres import ADAPTER as POSTGRES
from memplane_adapters.postgres import PostgresSettings
from memplane_adapters.qdrant import ADAPTER as QDRANT
from memplane_adapters.qdrant import QdrantSettings

__all__ = ["keys", "test_removing_leaves_what_others_keep"]

test_removing_leaves_what_others_keep = _removing_leaves_what_others_keep


def left(directory: Path) -> list[str]:
    """The names in a directory."""
    return sorted(path.name for path in directory.iterdir())


@pytest.fixture
def backend_factory(tmp_path: Path) -> BackendFactory:
    return Configured(QDRANT, QdrantSettings(path="qdrant"), tmp_path)


@pytest.mark.asyncio
async def test_a_directory_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    assert QDRANT.remove is not None
    assert EMBEDDED.remove is not None
    await QDRANT.remove(QdrantSettings(path="qdrant"), tmp_path)
    await EMBEDDED.remove(EmbeddedSettings(), tmp_path)
    assert left(tmp_path) == []


@pytest.mark.asyncio
async def test_a_file_in_use_is_left(tmp_path: Path) -> None:
    assert EMBEDDED.remove is not None
    settings = EmbeddedSettings()
    store = EMBEDDED.connect(settings, tmp_path).key_value
    assert store is not None
    await store.open()
    before = left(tmp_path)
    with pytest.raises(StoreError) as refusal:
        await EMBEDDED.remove(settings, tmp_path)
    assert refusal.value.reason is StoreReason.MISCONFIGURED
    assert left(tmp_path) == before
    await store.ping()
    await store.close()
    await EMBEDDED.remove(settings, tmp_path)
    assert left(tmp_path) == []


@pytest.mark.asyncio
async def test_a_schema_of_others_is_left(keys: dict[str, Any]) -> None:
    assert POSTGRES.remove is not None
    await raw(keys, "create schema {}")
    await raw(keys, "create table {}.theirs (n integer)")
    await raw(keys, "create table {}.layout (version integer)")
    await POSTGRES.remove(PostgresSettings(**keys), Path())
    assert await raw(keys, "select n from {}.theirs") == []
    assert await raw(keys, "select version from {}.layout") == []
    await raw(keys, "drop schema {} cascade")


@pytest.mark.asyncio
async def test_tables_of_others_beside_ours_are_left(keys: dict[str, Any]) -> None:
    assert POSTGRES.remove is not None
    settings = PostgresSettings(**keys)
    await raw(keys, "create schema {}")
    await raw(keys, "create table {}.theirs (n integer)")
    for _ in range(2):
        async with opened_points(**keys) as points:
            await points.store.ensure(COLLECTION)
            await points.write(points.point("k"))
        await POSTGRES.remove(settings, Path())
        tables = f"select relname from pg_class where relkind = 'r' and relnamespace = '\"{keys['schema']}\"'::regnamespace"
        assert await raw(keys, tables) == [("theirs",)]
    await raw(keys, "drop table {}.theirs")
    async with opened_points(**keys) as points:
        await points.store.ensure(COLLECTION)
    await POSTGRES.remove(settings, Path())
    there = f"select count(*) from pg_namespace where nspname = '{keys['schema']}'"
    assert await raw(keys, there) == [(0,)]


@pytest.mark.asyncio
async def test_vectors_of_another_schema_are_left(keys: dict[str, Any]) -> None:
    """Also where the role has the schema's name: PostgreSQL would put the extension there."""
    assert POSTGRES.remove is not None
    database = f"removal-{uuid.uuid4().hex}"
    await raw(keys, f'create database "{database}"')
    there = {**keys, "url": urlsplit(keys["url"])._replace(path=f"/{database}").geturl()}
    mine, other = {**there, "schema": keys["user"]}, {**there, "schema": "other"}
    try:
        await raw(mine, "create schema {}")
        async with opened_points(**mine) as points:
            await points.store.ensure(COLLECTION)
        async with opened_points(**other) as points:
            await points.store.ensure(COLLECTION)
            await points.write(points.point("k"))
            await POSTGRES.remove(PostgresSettings(**mine), Path())
            assert await points.search(vector=vector(1.0)) == ["k"]
        schemas = (
            "select nspname from pg_namespace where nspname in ('other', '" + keys["user"] + "')"
        )
        assert await raw(there, schemas) == [("other",)]
    finally:
        await raw(keys, f'drop database "{database}" with (force)')
