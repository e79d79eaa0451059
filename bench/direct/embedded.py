"""What a script would do without a store: a SQLite table, as safe as the embedded store, and numpy."""

from __future__ import annotations

import heapq
import json
import sqlite3
from collections.abc import Sequence
from typing import Any

import numpy as np
from bench.direct import NAMESPACE, Fields, Found, Row, Vector
from bench.stores import Place


class SqliteTable:
    """One table; a search reads the vectors of a namespace and multiplies."""

    library = "sqlite3 and numpy"

    def __init__(self, place: Place) -> None:
        place.directory.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(place.directory / "direct.db", isolation_level=None)

    async def open(self, _example: Row, /) -> None:
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        self._database.execute(
            "CREATE TABLE rows (id TEXT PRIMARY KEY, namespace TEXT, text TEXT, metadata TEXT, "
            "vector BLOB) WITHOUT ROWID"
        )
        self._database.execute("CREATE INDEX namespaces ON rows (namespace)")

    async def put(self, rows: Sequence[Row]) -> None:
        self._database.execute("BEGIN")
        self._database.executemany(
            "INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?, ?)",
            (
                (
                    row.id,
                    row.namespace,
                    row.text,
                    json.dumps(row.metadata),
                    (row.vector / np.linalg.norm(row.vector)).tobytes(),
                )
                for row in rows
            ),
        )
        self._database.execute("COMMIT")

    async def get(self, id: str, _namespace: str, /) -> Found | None:
        read = self._database.execute(
            "SELECT namespace, text, metadata FROM rows WHERE id = ?", (id,)
        ).fetchone()
        return None if read is None else _found(id, *read)

    async def search(
        self, vector: Vector, namespace: str, limit: int, where: Fields | None = None
    ) -> list[Found]:
        conditions = "".join(f" AND json_extract(metadata, '$.{name}') = ?" for name in where or {})
        read = self._database.execute(
            f"SELECT id, vector FROM rows WHERE namespace = ?{conditions}",  # noqa: S608
            (namespace, *(where or {}).values()),
        ).fetchall()
        if not read:
            return []
        matrix = np.frombuffer(b"".join(row[1] for row in read), np.float32)
        scores = matrix.reshape(len(read), -1) @ (vector / np.linalg.norm(vector))
        best = heapq.nlargest(limit, zip(scores.tolist(), (row[0] for row in read), strict=True))
        marks = ", ".join("?" * len(best))
        rows = self._database.execute(
            f"SELECT id, namespace, text, metadata FROM rows WHERE id IN ({marks})",  # noqa: S608
            [name for _, name in best],
        )
        whole: dict[str, tuple[str, str, str]] = {name: columns for name, *columns in rows}
        return [_found(name, *whole[name], score) for score, name in best]

    async def close(self) -> None:
        self._database.close()


def _found(id: str, namespace: str, text: str, metadata: str, score: float | None = None) -> Found:
    fields: dict[str, Any] = json.loads(metadata)
    return Found(id, text, {**fields, NAMESPACE: namespace}, score)


DIRECT = SqliteTable
