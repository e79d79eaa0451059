"""PostgreSQL over psycopg: key-values, and vectors by its extension pgvector."""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.parse import quote

from memplane_adapters.contract import Adapter, Backend, LocalStore
from memplane_adapters.postgres.settings import PostgresSettings, from_url

__all__ = ["ADAPTER", "PostgresSettings"]


def connect(settings: PostgresSettings, data_dir: Path) -> Backend:  # noqa: ARG001 (a server keeps it)
    """Both promises, over the same connections. The client library is loaded here."""
    from memplane_adapters.postgres.engine import Engine
    from memplane_adapters.postgres.key_values.store import PostgresKeyValueStore
    from memplane_adapters.postgres.schema import Layout
    from memplane_adapters.postgres.vectors.store import PostgresVectorStore

    engine, layout = Engine(settings), Layout(settings.schema)
    return Backend(
        vector=PostgresVectorStore(engine, layout, settings),
        key_value=PostgresKeyValueStore(engine, layout),
    )


async def server(settings: PostgresSettings, data_dir: Path) -> str:  # noqa: ARG001 (as above)
    """What answers, and its version."""
    from memplane_adapters.postgres.version import server_version

    return await server_version(settings)


async def remove(settings: PostgresSettings, data_dir: Path) -> None:  # noqa: ARG001 (as above)
    """Our tables, and the schema if nothing else is in it."""
    from memplane_adapters.postgres.removing import remove_all

    await remove_all(settings)


_LOGIN = b"\0\3\0\0user\0memplane\0database\0postgres\0\0"
_LOGIN = (len(_LOGIN) + 4).to_bytes(4, "big") + _LOGIN
"""The first message of a client; the answer begins with "R" when it may come in, with "E" when not."""

ADAPTER = Adapter(
    name="postgres",
    settings=PostgresSettings,
    connect=connect,
    from_url=from_url,
    place=("url", "schema"),
    prefix="schema",
    remove=remove,
    server=server,
    needs=("psycopg",),
    aliases=("pgvector", "postgresql"),
    local=(
        LocalStore(
            name="postgres",
            url="postgresql://memplane@{host}:{ports[0]}/postgres",
            key_values=True,
            program="postgres",
            # Where the makers of packages put pgvector: theirs is not in PostgreSQL's own.
            brings=("../lib*/vector.*", "../lib*/*/vector.*"),
            starter=(sys.executable, "-m", "memplane_adapters.postgres.local"),
            arguments=("{directory}", "{host}", "{ports[0]}"),
            # While it starts it takes connections, too, and refuses whoever wants to log in.
            ready=(f"tcp://{{host}}:{{ports[0]}}?say={quote(_LOGIN)}&hear=R",),
            variable="POSTGRES_URL",
        ),
    ),
)
