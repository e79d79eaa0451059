"""The extension pgvector: found, or made."""

from __future__ import annotations

from typing import Final

import psycopg

from memplane_adapters.contract import StoreError, StoreReason
from memplane_adapters.postgres.engine import Session

OLDEST: Final = (0, 8)
"""Iterative scans, without which a filter empties an approximate answer."""


async def ensure_extension(session: Session) -> str:
    """The schema that it is in, as statements name it; inside a transaction.

    Raises MISCONFIGURED where it cannot be had.
    """
    await session.run(_LOCK)
    found = await session.rows(_FIND)
    if not found:
        if not await session.rows(_AVAILABLE):
            raise StoreError(
                StoreReason.MISCONFIGURED,
                f"PostgreSQL {session.setting('server_version')} has no extension vector: install "
                "pgvector beside it, or route SEMANTIC and EPISODIC to another store",
            )
        # By itself it goes where the role makes things, which is our schema if that has the role's name.
        common = await session.rows(_FIND_COMMON)
        made = b"create extension vector" + (b" schema public" if common else b"")
        try:
            await session.run(made)
        except psycopg.errors.InsufficientPrivilege as error:
            raise StoreError(
                StoreReason.MISCONFIGURED,
                "the role may not create the extension vector; have somebody who may run in this "
                "database, once: create extension vector",
            ) from error
        found = await session.rows(_FIND)
    ((schema, version),) = found
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        raise StoreError(
            StoreReason.MISCONFIGURED,
            f"pgvector {version} is too old, {'.'.join(map(str, OLDEST))} is needed; with a newer one "
            "installed: alter extension vector update",
        )
    return str(schema)


_LOCK: Final = b"select pg_advisory_xact_lock(hashtextextended('memplane extension vector', 0))"
_FIND: Final = b"""
    select quote_ident(namespace.nspname), extension.extversion from pg_catalog.pg_extension as extension
    join pg_catalog.pg_namespace as namespace on namespace.oid = extension.extnamespace
    where extension.extname = 'vector'
"""
_FIND_COMMON: Final = b"select 1 from pg_catalog.pg_namespace where nspname = 'public'"
_AVAILABLE: Final = b"select 1 from pg_catalog.pg_available_extensions where name = 'vector'"
