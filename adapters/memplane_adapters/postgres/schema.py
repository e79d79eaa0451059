"""The tables, as ordered migrations in a schema of their own.

A released migration is never edited: add one behind it. They run in one transaction under an
advisory lock, so that of gateways which start together one does it and the others find it done.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Final

from memplane_adapters.contract import StoreError, StoreReason
from memplane_adapters.postgres.engine import Session

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        # `id` is the point id; `place` is each label of the namespace in UTF-8 and a zero byte, one
        # more, and the key: it sorts as namespace and key do. `fields` is typed JSON
        # (kit/codec.py). Texts are in the collation "C", which compares code points.
        """
        create table {schema}.entry (
            id uuid not null,
            revision bigint not null,
            update_time bigint not null,
            time bigint not null,
            expire_time bigint,
            tenant text collate "C" not null,
            kind text collate "C" not null,
            place bytea not null,
            fields text collate "C" not null,
            record bytea not null,
            constraint entry_id primary key (id)
        )
        """,
        "create index entry_place on {schema}.entry (tenant, kind, substr(place, 1, 1000))",
        # Ties go by place ascending in both directions. Newest first is what is asked most, so it
        # is read off the index; the other direction sorts each group of ties.
        """
        create index entry_update_time
            on {schema}.entry (tenant, kind, update_time desc, substr(place, 1, 1000))
        """,
        """
        create index entry_time
            on {schema}.entry (tenant, kind, time desc, substr(place, 1, 1000))
        """,
    ),
    (
        # What has expired is found without a look at what has not.
        """
        create index entry_expire_time
            on {schema}.entry (tenant, kind, expire_time) where expire_time is not null
        """,
    ),
)


class Layout:
    """The schema of a store: its name in statements, and whether it is ready."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._is_ready = False

    def statement(self, text: str) -> bytes:
        """A statement with {schema} filled in: quoted, and there is no quote in it."""
        return text.replace("{schema}", f'"{self.name}"').encode()

    async def prepare(self, session: Session) -> None:
        """Make the tables, or check that they are ours; once for a connected store."""
        if self._is_ready:
            return
        if session.setting("server_encoding") != "UTF8":
            raise StoreError(
                StoreReason.MISCONFIGURED,
                f"the database is encoded in {session.setting('server_encoding')}; UTF8 is needed",
            )
        version = await self._version(session)
        if version is None or version < len(MIGRATIONS):
            version = await self._migrate(session)
        if version != len(MIGRATIONS):
            raise StoreError(
                StoreReason.MISCONFIGURED,
                f"schema {self.name} was written by a newer Memplane (layout {version}; this one"
                f" knows up to {len(MIGRATIONS)}); start that one, or name another schema",
            )
        self._is_ready = True

    async def drop(self, session: Session, is_ours: Callable[[str], bool]) -> None:
        """Remove the tables with such names, and the schema if nothing else is in it.

        Does nothing where there is no layout of ours: others have tables that are called so, too.
        """
        await session.begin()
        await self.lock(session)
        if await session.rows(_FIND_OURS, self.name):
            for (name,) in await session.rows(_TABLES, self.name):
                if is_ours(name):
                    await session.run(self.statement(f'drop table {{schema}}."{name}" cascade'))
            await session.run(self.statement(_DROP_EMPTY))
        await session.commit()
        self._is_ready = False

    async def lock(self, session: Session) -> None:
        """Wait until nobody else changes the schema, and keep others waiting until the commit."""
        await session.run(_LOCK, f"memplane {self.name}")

    async def _version(self, session: Session) -> int | None:
        """The layout that is there; None for none."""
        if not await session.rows(_FIND_LAYOUT, self.name):
            return None
        rows = await session.rows(self.statement(_VERSION))
        if len(rows) != 1:
            raise StoreError(
                StoreReason.MISCONFIGURED, f"schema {self.name} says {len(rows)} times its layout"
            )
        version: int = rows[0][0]
        return version

    async def _migrate(self, session: Session) -> int:
        await session.begin()
        await self.lock(session)
        version = await self._version(session)
        if version is None:
            await self._begin(session)
        for text in itertools.chain(*MIGRATIONS[version or 0 :]):
            await session.run(self.statement(text))
        if version is None or version < len(MIGRATIONS):
            version = len(MIGRATIONS)
            await session.run(self.statement(_SET_VERSION), version)
        await session.commit()
        return version

    async def _begin(self, session: Session) -> None:
        # Where somebody has made the schema for us, we may not be allowed to make one.
        if not await session.rows(_FIND_SCHEMA, self.name):
            await session.run(self.statement("create schema {schema}"))
        await session.run(self.statement(_MAKE_LAYOUT))
        await session.run(self.statement("insert into {schema}.layout (version) values (0)"))


# From the tables of the catalogue: names alone are looked up in a memory that the lock does not renew.
_FIND_LAYOUT = b"""
    select 1 from pg_catalog.pg_class as class
    join pg_catalog.pg_namespace as namespace on namespace.oid = class.relnamespace
    where namespace.nspname = $1 and class.relname = 'layout'
"""
_FIND_OURS = b"""
    select 1 from pg_catalog.pg_attribute as attribute
    join pg_catalog.pg_class as class on class.oid = attribute.attrelid
    join pg_catalog.pg_namespace as namespace on namespace.oid = class.relnamespace
    where namespace.nspname = $1 and class.relkind = 'r' and (class.relname, attribute.attname) in (
        ('layout', 'version'), ('entry', 'place'), ('entry', 'record')
    )
    having count(*) = 3
"""
_TABLES = b"""
    select class.relname from pg_catalog.pg_class as class
    join pg_catalog.pg_namespace as namespace on namespace.oid = class.relnamespace
    where namespace.nspname = $1 and class.relkind = 'r'
"""
_DROP_EMPTY = """
    do $$
    begin
        drop schema {schema};
    exception
        when dependent_objects_still_exist or insufficient_privilege then null;
    end
    $$
"""
_FIND_SCHEMA = b"select 1 from pg_catalog.pg_namespace where nspname = $1"
_LOCK = b"select pg_advisory_xact_lock(hashtextextended($1, 0))"
_VERSION = "select version from {schema}.layout"
_MAKE_LAYOUT = "create table {schema}.layout (version integer not null)"
_SET_VERSION = "update {schema}.layout set version = $1"
