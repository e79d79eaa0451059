"""Connections to PostgreSQL, kept open, as a script would have them that needs no gateway."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from bench.stores import Place

if TYPE_CHECKING:
    from psycopg import AsyncConnection


class Connections:
    """As many as the adapter has, all of which look into one schema of their own."""

    def __init__(self, place: Place) -> None:
        from memplane_adapters.postgres import PostgresSettings

        self._settings = PostgresSettings(**place.keys)  # type: ignore[arg-type]
        self._schema = f"{place.prefix}-direct"
        self._free: list[AsyncConnection] = []
        # First come, first served: with a queue whoever gives one back would take it again.
        self._turn = asyncio.Semaphore(self._settings.connections)

    async def open(self) -> None:
        """Connect, and make the schema."""
        from psycopg import AsyncConnection, sql

        settings = self._settings
        options: dict[str, Any] = {
            "user": settings.user,
            "password": settings.password,
            "sslrootcert": settings.ca_file,
        }
        for _ in range(settings.connections):
            connection = await AsyncConnection.connect(
                settings.url,
                autocommit=True,
                **{name: value for name, value in options.items() if value},
            )
            schema = sql.Identifier(self._schema)
            await connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(schema))
            await connection.execute(sql.SQL("SET search_path TO {}, public").format(schema))
            self._free.append(connection)

    def all(self) -> list[AsyncConnection]:
        """Those that nobody has taken."""
        return self._free

    @contextlib.asynccontextmanager
    async def one(self) -> AsyncIterator[AsyncConnection]:
        """One for the time of a `with`."""
        async with self._turn:
            connection = self._free.pop()
            try:
                yield connection
            finally:
                self._free.append(connection)

    async def close(self) -> None:
        """Remove the schema, and that of a gateway; disconnect."""
        from psycopg import sql

        for connection in self._free:
            for schema in (self._settings.schema, self._schema):
                await connection.execute(
                    sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema))
                )
            await connection.close()
