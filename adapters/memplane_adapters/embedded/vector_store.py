"""The vector promise."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace

from memplane_adapters.contract import (
    EVERY_OP_EXACT,
    Address,
    Capabilities,
    Collection,
    ConditionalWrite,
    Durability,
    Kind,
    Point,
    Query,
    QueryResult,
    Stored,
    StoreError,
    StoreReason,
    Vector,
    Write,
    WriteResult,
    WriteStatus,
    compile_filter,
)
from memplane_adapters.embedded import rows, search
from memplane_adapters.embedded.database import Connected
from memplane_adapters.embedded.readers import snapshot
from memplane_adapters.embedded.store import EmbeddedStore

CAPABILITIES = Capabilities(
    filters=EVERY_OP_EXACT,
    conditional_write=ConditionalWrite.NATIVE,
    ordered_scan=True,
    vector=True,
    keyword=True,
    exact_search=True,
    exact_count=True,
    read_your_writes=True,
    vectorless=True,
    durability=(Durability.PROCESS, Durability.DISK),
    isolation="column",
)

_NOTHING = QueryResult((), approximate=False, scanned=0)


class EmbeddedVectorStore(EmbeddedStore):
    """Points."""

    capabilities = CAPABILITIES

    async def ensure(self, collection: Collection) -> None:
        """Attributes get no index of their own: filters go over the rows."""
        made = collection.made
        collection = replace(collection, index={}, made=False)
        with self._database.call(self) as connected:
            stored = connected.collections.get(collection.kind)
            if made and stored is None:
                raise StoreError(
                    StoreReason.COLLECTION_MISSING,
                    f"{connected.path} held {collection.kind} memories once, and knows of none",
                )
            if stored != collection:
                stored = await connected.writer.run(
                    lambda transaction: _record(transaction.connection, collection)
                )
                if stored == collection:
                    connected.indexes.forget()  # loaded ones may have another dimension
                connected.collections[collection.kind] = stored
            if stored != collection:
                raise StoreError(
                    StoreReason.IDENTITY_MISMATCH,
                    f"{connected.path} holds {collection.kind} memories of another embedding or "
                    "text analysis than is configured",
                    metadata={"stored": _said(stored), "configured": _said(collection)},
                )

    async def upsert(self, writes: Sequence[Write[Point]]) -> list[WriteResult]:
        """A vector of a wrong dimension is FAILED by itself, with IDENTITY_MISMATCH."""
        with self._database.call(self) as connected:
            refused = [_refusal(connected, write.entry) for write in writes]
            fitting = [
                write for write, refusal in zip(writes, refused, strict=True) if refusal is None
            ]
            written = iter(await self._alter(connected, fitting, rows.write) if fitting else ())
            return [
                next(written) if refusal is None else WriteResult(WriteStatus.FAILED, refusal)
                for refusal in refused
            ]

    async def fetch(
        self, addresses: Sequence[Address], *, vectors: bool = False
    ) -> list[Stored | None]:
        with self._database.call(self) as connected:
            if not addresses:
                return []

            def read(connection: sqlite3.Connection) -> list[Stored | None]:
                with snapshot(connection):
                    return rows.fetch(connection, addresses, vectors=vectors)

            return await connected.readers.run(read)

    async def query(self, query: Query) -> QueryResult:
        """Search; the filter is the contract's own evaluator."""
        with self._database.call(self) as connected:
            if query.vector is None:
                return await connected.readers.run(lambda connection: _by_terms(connection, query))
            if query.terms:
                raise StoreError(
                    StoreReason.UNSUPPORTED, "a query goes by vector or by terms, not by both"
                )
            vector = query.vector
            refusal = _mismatch(connected, query.scope.kind, vector)
            if refusal is not None:
                raise refusal
            return await connected.readers.run(
                lambda connection: _by_vector(connection, connected, query, vector)
            )


def _record(connection: sqlite3.Connection, collection: Collection) -> Collection:
    """Note what a kind is made with, unless rows were made with something else; returns what is."""
    identity = collection.embedding
    if not connection.execute(_ANY_OF_KIND, (collection.kind.value,)).fetchone():
        connection.execute("delete from collection where kind = ?", (collection.kind.value,))
    connection.execute(
        "insert or ignore into collection values (?, ?, ?, ?, ?, ?, ?)",
        (
            collection.kind.value,
            identity.provider,
            identity.model,
            identity.dimension,
            identity.metric,
            identity.normalized,
            collection.analyzer,
        ),
    )
    return rows.collections(connection)[collection.kind]


def _by_vector(
    connection: sqlite3.Connection, connected: Connected, query: Query, vector: Vector
) -> QueryResult:
    partition = rows.partition_of(connection, query.scope.tenant, query.scope.kind)
    if partition is None:
        return _NOTHING
    index = connected.indexes.get(
        partition.id,
        vector.size,
        lambda: rows.load_vectors(connection, partition.id, vector.size),
    )
    predicate = None if query.filter is None else compile_filter(query.filter)
    return search.search_vectors(connection, index, query, vector, predicate)


def _by_terms(connection: sqlite3.Connection, query: Query) -> QueryResult:
    partition = rows.partition_of(connection, query.scope.tenant, query.scope.kind)
    if partition is None:
        return _NOTHING
    predicate = None if query.filter is None else compile_filter(query.filter)
    return search.search_terms(connection, partition, query, predicate)


def _refusal(connected: Connected, point: Point) -> StoreError | None:
    if point.vector is None:
        return None
    return _mismatch(connected, point.address.kind, point.vector)


def _mismatch(connected: Connected, kind: Kind, vector: Vector) -> StoreError | None:
    """Why a vector cannot meet those that are stored."""
    collection = connected.collections.get(kind)
    if collection is None:
        return StoreError(
            StoreReason.COLLECTION_MISSING, f"nothing was ensured for {kind} memories"
        )
    dimension = collection.embedding.dimension
    if vector.shape == (dimension,) and vector.dtype == "float32":
        return None
    given = f"{vector.dtype} of shape {vector.shape}"
    return StoreError(
        StoreReason.IDENTITY_MISMATCH,
        f"vectors of {kind} memories are float32 of dimension {dimension}, not {given}",
        metadata={"stored": str(dimension), "configured": "x".join(map(str, vector.shape))},
    )


def _said(collection: Collection) -> str:
    embedding = collection.embedding
    shape = f"{embedding.metric}, {'' if embedding.normalized else 'not '}normalized"
    return f"{embedding} ({shape}), text analysis {collection.analyzer}"


_ANY_OF_KIND = """
    select 1 from memory indexed by memory_place
    where partition in (select id from partition where kind = ?) limit 1
"""
