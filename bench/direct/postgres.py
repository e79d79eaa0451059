"""psycopg and pgvector: one table, vectors on the wire as they are in memory."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final, LiteralString

from bench.connections import Connections
from bench.direct import NAMESPACE, Fields, Found, Row, Vector
from bench.stores import Place

_TABLE: Final[LiteralString] = """
    CREATE TABLE direct (id uuid PRIMARY KEY, namespace text NOT NULL, text text NOT NULL,
        metadata jsonb NOT NULL, vector vector({}) NOT NULL);
    CREATE INDEX ON direct (namespace)"""
_NEAR: Final[LiteralString] = "CREATE INDEX ON direct USING hnsw (vector vector_cosine_ops)"
_PUT: Final[LiteralString] = """
    INSERT INTO direct SELECT * FROM
        unnest(%s::uuid[], %s::text[], %s::text[], %s::jsonb[], %b::vector[])
    ON CONFLICT (id) DO UPDATE SET namespace = EXCLUDED.namespace, text = EXCLUDED.text,
        metadata = EXCLUDED.metadata, vector = EXCLUDED.vector"""
_GET: Final[LiteralString] = "SELECT namespace, text, metadata FROM direct WHERE id = %s"
_SEARCH: Final[LiteralString] = """
    SELECT id::text, namespace, text, metadata, 1 - (vector <=> %(vector)b) AS score FROM direct
    WHERE namespace = %(namespace)s AND metadata @> %(where)s
    ORDER BY vector <=> %(vector)b LIMIT %(limit)s"""


class PostgresDirect:
    """A table of its own, with an index of vectors where the gateway has one."""

    library = "psycopg"

    def __init__(self, place: Place) -> None:
        self._indexed = place.keys.get("index") == "hnsw"
        self._connections = Connections(place)

    async def open(self, example: Row, /) -> None:
        from psycopg import sql

        await self._connections.open()
        async with self._connections.one() as connection:
            await connection.execute("CREATE EXTENSION IF NOT EXISTS vector SCHEMA public")
            await connection.execute(sql.SQL(_TABLE).format(sql.Literal(len(example.vector))))
            if self._indexed:
                await connection.execute(_NEAR)
        for connection in self._connections.all():
            await _teach(connection)
            if self._indexed:
                await connection.execute("SET hnsw.iterative_scan = strict_order")

    async def put(self, rows: Sequence[Row]) -> None:
        from psycopg.types.json import Jsonb

        columns = (
            [row.id for row in rows],
            [row.namespace for row in rows],
            [row.text for row in rows],
            [Jsonb(row.metadata) for row in rows],
            [row.vector for row in rows],
        )
        async with self._connections.one() as connection:
            await connection.execute(_PUT, columns)

    async def get(self, id: str, _namespace: str, /) -> Found | None:
        async with self._connections.one() as connection:
            read = await (await connection.execute(_GET, (id,))).fetchone()
        return None if read is None else _found(id, *read)

    async def search(
        self, vector: Vector, namespace: str, limit: int, where: Fields | None = None
    ) -> list[Found]:
        from psycopg.types.json import Jsonb

        asked = {
            "vector": vector,
            "namespace": namespace,
            "where": Jsonb(where or {}),
            "limit": limit,
        }
        async with self._connections.one() as connection:
            found = await (await connection.execute(_SEARCH, asked)).fetchall()
        return [_found(*columns) for columns in found]

    async def close(self) -> None:
        await self._connections.close()


def _found(
    id: str, namespace: str, text: str, metadata: dict[str, Any], score: float | None = None
) -> Found:
    return Found(id, text, {**metadata, NAMESPACE: namespace}, score)


async def _teach(connection: Any) -> None:
    """Lets numpy's arrays be vectors, in the binary form that pgvector has for them."""
    import numpy as np
    from psycopg.adapt import Dumper
    from psycopg.pq import Format
    from psycopg.types import TypeInfo

    info = await TypeInfo.fetch(connection, "vector")
    info.register(connection)

    class AsVector(Dumper):
        format = Format.BINARY
        oid = info.oid

        def dump(self, obj: Vector) -> bytes:
            return struct.pack(">HH", len(obj), 0) + obj.astype(">f4").tobytes()

    connection.adapters.register_dumper(np.ndarray, AsVector)


DIRECT = PostgresDirect
