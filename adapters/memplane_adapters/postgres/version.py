"""Asking what serves a store."""

from __future__ import annotations

from memplane_adapters.postgres.engine import Engine, Session
from memplane_adapters.postgres.settings import PostgresSettings


async def server_version(settings: PostgresSettings) -> str:
    """What the server says that it is, with the version of pgvector. Raises StoreError."""

    async def ask(session: Session) -> str:
        found = await session.rows(
            b"select default_version from pg_available_extensions where name = 'vector'"
        )
        words = "".join(f", pgvector {version}" for (version,) in found)
        return f"PostgreSQL {session.setting('server_version')}{words}"

    engine = Engine(settings)
    engine.open(server_version)
    try:
        return await engine.call(ask)
    finally:
        await engine.close(server_version)
