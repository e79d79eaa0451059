"""The vector promise over Qdrant."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from qdrant_client import models

from memplane_adapters.contract import (
    Address,
    Capabilities,
    Collection,
    ConditionalWrite,
    Count,
    Delete,
    Durability,
    Filter,
    Kind,
    Page,
    Point,
    Query,
    QueryResult,
    Reached,
    Scan,
    Scope,
    Stats,
    Stored,
    StoreError,
    StoreReason,
    Write,
    WriteResult,
    WriteStatus,
)
from memplane_adapters.kit.collections import misfit
from memplane_adapters.kit.errors import closed
from memplane_adapters.kit.expressions import PUSHED
from memplane_adapters.qdrant import filters, rows
from memplane_adapters.qdrant.collections import Collections
from memplane_adapters.qdrant.engine import Engine, InProcess, Server
from memplane_adapters.qdrant.scans import Scans
from memplane_adapters.qdrant.search import search_vectors, search_words
from memplane_adapters.qdrant.settings import QdrantSettings
from memplane_adapters.qdrant.writes import Writer

_MIB: Final = 2**20
_FETCHED: Final = [rows.RECORD, rows.REVISION, rows.WRITE, rows.WRITES]


def capabilities(settings: QdrantSettings) -> Capabilities:
    """What Qdrant can do, by the way it is used."""
    return Capabilities(
        filters=PUSHED,
        scalar_operands=True,
        float_ranges=True,
        conditional_write=ConditionalWrite.NATIVE,
        ordered_scan=True,
        vector=True,
        keyword=True,
        exact_search=True,
        approximate=not settings.in_process,
        exact_count=True,
        read_your_writes=True,
        vectorless=True,
        durability=(_level(settings),),
        isolation="tenant index",
        # A server takes 32 MiB; over REST a vector is written in five times its bytes.
        max_batch_items=256,
        max_batch_bytes=8 * _MIB,
        max_item_bytes=8 * _MIB,
        max_dimension=65_535,
    )


@dataclass(frozen=True, slots=True)
class _Opened:
    engine: Engine
    collections: Collections
    writer: Writer
    scans: Scans


class QdrantVectorStore:
    """Points."""

    def __init__(self, settings: QdrantSettings, data_dir: Path) -> None:
        self.capabilities = capabilities(settings)
        self._settings = settings
        self._data_dir = data_dir
        self._opened: _Opened | None = None
        self._opening = asyncio.Lock()
        self._calls = 0
        self._finished = asyncio.Event()

    async def open(self) -> None:
        settings = self._settings
        async with self._opening:
            if self._opened is not None:
                return
            engine: Engine
            if settings.in_process:
                engine = InProcess(settings.location(self._data_dir))
            else:
                engine = Server(settings)
            await engine.open()
            self._opened = _Opened(
                engine,
                Collections(engine, settings.prefix),
                Writer(engine),
                Scans(engine),
            )

    async def close(self) -> None:
        async with self._opening:
            opened, self._opened = self._opened, None
            if opened is None:
                return
            while self._calls:
                self._finished.clear()
                await self._finished.wait()
            await opened.engine.close()

    async def ping(self) -> Durability | Reached:
        """Asks which collections are there, too."""
        with self._call() as opened:
            await opened.collections.check()
            wordless = opened.collections.wordless
        level = _level(self._settings)
        return Reached(level, wordless=wordless) if wordless else level

    async def ensure(self, collection: Collection) -> None:
        """In memory, nothing that was made before can have stayed."""
        if self._settings.in_memory:
            collection = dataclasses.replace(collection, made=False)
        with self._call() as opened:
            await opened.collections.ensure(collection)

    async def upsert(self, writes: Sequence[Write[Point]]) -> list[WriteResult]:
        """A vector of a wrong dimension is FAILED by itself, with IDENTITY_MISMATCH."""
        with self._call() as opened:
            results: dict[int, WriteResult] = {}
            by_kind: dict[Kind, list[int]] = {}
            for index, write in enumerate(writes):
                kind = write.entry.address.kind
                place = opened.collections.ensured(kind)
                refusal = misfit(write.entry.vector, place.dimension)
                if refusal is None:
                    by_kind.setdefault(kind, []).append(index)
                else:
                    results[index] = WriteResult(WriteStatus.FAILED, refusal)
            for kind, indexes in by_kind.items():
                place = opened.collections.ensured(kind)
                part = [writes[index] for index in indexes]
                if not place.words:
                    part = [_without_terms(write) for write in part]
                try:
                    written = await opened.writer.upsert(place.name, part)
                finally:
                    opened.scans.noted(write.entry.address for write in part)
                results.update(zip(indexes, written, strict=True))
            return [results[index] for index in range(len(writes))]

    async def fetch(
        self, addresses: Sequence[Address], *, vectors: bool = False
    ) -> list[Stored | None]:
        with self._call() as opened:
            found: dict[Address, Stored] = {}
            for kind in {address.kind: None for address in addresses}:
                place = await opened.collections.find(kind)
                if place is not None:
                    asked = [address for address in addresses if address.kind is kind]
                    found |= await _fetch(opened, place.name, asked, vectors=vectors)
            return [found.get(address) for address in addresses]

    async def delete(self, deletes: Sequence[Delete]) -> list[WriteResult]:
        with self._call() as opened:
            results: dict[int, WriteResult] = {}
            by_kind: dict[Kind, list[int]] = {}
            for index, delete in enumerate(deletes):
                by_kind.setdefault(delete.address.kind, []).append(index)
            for kind, indexes in by_kind.items():
                name = opened.collections.ensured(kind).name
                done = await opened.writer.delete(name, [deletes[index] for index in indexes])
                results.update(zip(indexes, done, strict=True))
            return [results[index] for index in range(len(deletes))]

    async def query(self, query: Query) -> QueryResult:
        """By vector or by words; the limit is cut in the contract's order."""
        with self._call() as opened:
            place = opened.collections.ensured(query.scope.kind)
            if query.vector is None:
                place.check_words()
                return await search_words(opened.engine, place.name, query)
            if query.terms:
                raise StoreError(
                    StoreReason.UNSUPPORTED, "a query goes by vector or by words, not by both"
                )
            refusal = misfit(query.vector, place.dimension)
            if refusal is not None:
                raise refusal
            return await search_vectors(opened.engine, place.name, query, query.vector)

    async def scan(self, scan: Scan) -> Page:
        with self._call() as opened:
            place = await opened.collections.find(scan.scope.kind)
            return Page((), None, 0) if place is None else await opened.scans.page(place.name, scan)

    async def count(self, scope: Scope, filter: Filter | None = None) -> Count:
        with self._call() as opened:
            place = await opened.collections.find(scope.kind)
            if place is None:
                return Count(0, 0)
            return await opened.scans.count(place.name, scope, filter)

    async def delete_where(
        self, scope: Scope, filter: Filter | None = None, *, max_revision: int
    ) -> int:
        """In parts, so that other writes come between; a row written meanwhile survives."""
        with self._call() as opened:
            place = await opened.collections.find(scope.kind)
            if place is None:
                return 0
            return await opened.scans.delete_where(place.name, scope, filter, max_revision)

    async def stats(self, kind: Kind) -> Stats:
        """Qdrant does not tell how many bytes a collection takes."""
        with self._call() as opened:
            place = await opened.collections.find(kind)
            there = 0 if place is None else await opened.scans.number(place.name, filters.ROWS)
            return Stats(rows=there, size_bytes=None)

    @contextlib.contextmanager
    def _call(self) -> Iterator[_Opened]:
        """What is open, for the time of one call."""
        if self._opened is None:
            raise closed()
        self._calls += 1
        try:
            yield self._opened
        finally:
            self._calls -= 1
            if not self._calls:
                self._finished.set()


async def _fetch(
    opened: _Opened, name: str, addresses: Sequence[Address], *, vectors: bool
) -> dict[Address, Stored]:
    by_id = {rows.id_of(address): address for address in addresses}
    points: list[models.Record] = await opened.engine.call(
        "retrieve",
        collection_name=name,
        ids=list(by_id),
        with_payload=_FETCHED,
        with_vectors=[rows.VECTOR] if vectors else False,
    )
    found: dict[Address, Stored] = {}
    for point in points:
        version = rows.version_of(point.payload)
        opened.writer.remember(name, str(point.id), version)
        if not version.deleted:
            found[by_id[str(point.id)]] = rows.stored(point, vectors=vectors)
    return found


def _without_terms(write: Write[Point]) -> Write[Point]:
    """What a collection that keeps no words takes."""
    return dataclasses.replace(write, entry=dataclasses.replace(write.entry, terms=()))


def _level(settings: QdrantSettings) -> Durability:
    """A server's log is written, but not to the disk, before it answers."""
    return Durability.BUFFERED if settings.in_memory else Durability.PROCESS
