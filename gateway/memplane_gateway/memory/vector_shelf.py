"""The shelf over a vector store: memories with the points of their further texts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from memplane_adapters.contract import (
    Address,
    Delete,
    Point,
    Query,
    QueryResult,
    StoreError,
    Vector,
    VectorStore,
    Write,
    WriteResult,
    WriteStatus,
)
from memplane_gateway.analysis import Analyzer
from memplane_gateway.errors import is_ambiguous
from memplane_gateway.memory.further import (
    FurtherTexts,
    Nowhere,
    Room,
    RowDelete,
    addresses_of,
)
from memplane_gateway.memory.model import Content, Record
from memplane_gateway.memory.shelf import (
    RecordCodec,
    Row,
    RowWrite,
    StoreShelf,
    fields_of,
    matched,
)

_THREAD_CHARACTERS = 20_000
"""From so much text on, its analysis (about 2 ms here) would keep other callers waiting."""

_FIRST_CHARACTERS = 64
_READS = 3
"""Tries to read a memory together with its further texts, while others write it."""


class VectorShelf(StoreShelf[VectorStore]):
    """A shelf over a vector store."""

    def __init__(
        self,
        store: VectorStore,
        codec: RecordCodec,
        analyzer: Analyzer,
        room: Room = Nowhere(),  # noqa: B008 (without state)
    ) -> None:
        super().__init__(store, codec)
        self.analyzer = analyzer
        self.further = FurtherTexts(store, codec, room)

    async def fetch(
        self, addresses: Sequence[Address], *, vectors: bool = False
    ) -> list[Row | None]:
        """Rows by address, expired ones too."""
        rows = await self._fetch(addresses, vectors=vectors)
        return await self._with_further(rows) if vectors else rows

    async def complete(self, rows: Sequence[Row]) -> list[Row]:
        """Rows that were read with their vectors, now with those of their further texts too."""
        found = await self._with_further(rows)
        return [new or row for new, row in zip(found, rows, strict=True)]

    async def write(self, writes: Sequence[RowWrite], *, atomic: bool) -> list[WriteResult]:
        """Write rows, each if nothing came between; never atomically."""
        assert not atomic, "only key-values are"
        if not any(write.has_texts for write in writes):
            return await self._upsert(writes)
        failed = await self.further.write(
            [(write.row.record, write.row.further, fields_of(write.row.record)) for write in writes]
        )
        sound = [index for index in range(len(writes)) if index not in failed]
        try:
            done = await self._upsert([writes[index] for index in sound]) if sound else []
        except StoreError as error:
            if not is_ambiguous(error):
                await self.further.discard(_texts_of(writes))
            raise
        results = {**failed, **dict(zip(sound, done, strict=True))}
        await self.further.discard(_unclaimed(writes, results))
        return [results[index] for index in range(len(writes))]

    async def delete(self, deletes: Sequence[Delete], *, atomic: bool) -> list[WriteResult]:
        """Delete rows, each if nothing came between; never atomically."""
        assert not atomic, "only key-values are"
        results = await self.store.delete(self._deletes(deletes))
        gone = [
            address
            for delete, result in zip(deletes, results, strict=True)
            if isinstance(delete, RowDelete) and result.status is WriteStatus.APPLIED
            for address in delete.texts
        ]
        await self.further.discard(gone)
        return results

    async def query(self, query: Query) -> QueryResult:
        """Find the best rows."""
        return await self.store.query(query)

    def searchable(self, record: Record) -> bool:
        """Whether VECTOR or KEYWORD search can find it."""
        if record.embedding is not None:
            return True
        # Most texts have a term at once; the rest of a long one is not looked at for that.
        return self.capabilities.keyword and any(
            self.analyzer.terms(text[:_FIRST_CHARACTERS]) or self.analyzer.terms(text)
            for text in record.content.texts
        )

    async def _fetch(self, addresses: Sequence[Address], *, vectors: bool) -> list[Row | None]:
        rows = await self.store.fetch(addresses, vectors=vectors)
        return await matched(self.codec, addresses, rows)

    async def _with_further(self, rows: Sequence[Row | None]) -> list[Row | None]:
        """Rows with the vectors of their further texts; what was written meanwhile is read anew."""
        done: list[Row | None] = list(rows)
        left = [
            i for i, row in enumerate(done) if row is not None and row.record.content.indexed_texts
        ]
        for _ in range(_READS):
            records = [row.record for i in left if (row := done[i]) is not None]
            vectors = await self.further.vectors(records)
            for i in left:
                row = done[i]
                done[i] = None if row is None else _with_vectors(row, vectors)
            left = [i for i in left if (row := done[i]) is not None and _lacks(row)]
            if not left:
                break
            addresses = [row.record.address for i in left if (row := done[i]) is not None]
            again = await self._fetch(addresses, vectors=True)
            for i, row in zip(left, again, strict=True):
                done[i] = row
        return done

    async def _upsert(self, writes: Sequence[RowWrite]) -> list[WriteResult]:
        sizes = (sum(map(len, write.row.record.content.texts)) for write in writes)
        if sum(sizes) < _THREAD_CHARACTERS:
            return await self.store.upsert(self._points(writes))
        return await self.store.upsert(await asyncio.to_thread(self._points, writes))

    def _points(self, writes: Sequence[RowWrite]) -> list[Write[Point]]:
        return [Write(self._point(write.row), self._expected(write.expected)) for write in writes]

    def _point(self, row: Row) -> Point:
        record = row.record
        return Point(
            address=record.address,
            revision=record.revision,
            update_time=record.update_time,
            time=record.time,
            expire_time=record.expire_time,
            fields=fields_of(record),
            record=self.codec.encode(record),
            vector=row.vector,
            text=record.content.text,
            terms=self._terms(record.content) if self.capabilities.keyword else (),
        )

    def _terms(self, content: Content) -> tuple[str, ...]:
        """The words of all texts as one document."""
        return tuple(term for text in content.texts for term in self.analyzer.terms(text))


def _with_vectors(row: Row, vectors: Mapping[Address, Vector]) -> Row:
    """A row, as the store gave it, with the vectors of its further texts that were found."""
    record = row.record
    further: list[Vector | None] = [None] * len(record.content.indexed_texts)
    size = 0
    for number, address in zip(record.embedded_texts, addresses_of(record), strict=True):
        vector = further[number] = vectors.get(address)
        size += 0 if vector is None else vector.nbytes
    return replace(row, further=tuple(further), size=row.size + size)


def _lacks(row: Row) -> bool:
    """Whether a vector of a further text was not found."""
    return any(row.further[number] is None for number in row.record.embedded_texts)


def _texts_of(writes: Sequence[RowWrite]) -> list[Address]:
    return [address for write in writes for address in addresses_of(write.row.record)]


def _unclaimed(writes: Sequence[RowWrite], results: Mapping[int, WriteResult]) -> list[Address]:
    """The points that no memory claims any more: of what was replaced, or was not written."""
    unclaimed: list[Address] = []
    for index, write in enumerate(writes):
        result = results[index]
        if result.status is WriteStatus.APPLIED:
            if write.replaced is not None:
                unclaimed += addresses_of(write.replaced)
        elif result.error is None or not is_ambiguous(result.error):
            unclaimed += addresses_of(write.row.record)
    return unclaimed
