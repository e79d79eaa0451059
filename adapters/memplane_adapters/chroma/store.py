"""The vector promise."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Final, TypeVar

from memplane_adapters.chroma import errors, rows
from memplane_adapters.chroma.collections import Collections, Place
from memplane_adapters.chroma.engine import Engine
from memplane_adapters.chroma.filters import Selection
from memplane_adapters.chroma.rows import Row
from memplane_adapters.chroma.search import Content, Found, VectorSearch
from memplane_adapters.chroma.settings import ChromaSettings
from memplane_adapters.contract import (
    Address,
    Capabilities,
    Collection,
    ConditionalWrite,
    Count,
    Delete,
    Durability,
    Filter,
    Hit,
    Kind,
    Order,
    Page,
    Point,
    Query,
    QueryResult,
    Scan,
    Scope,
    Stats,
    Stored,
    StoreError,
    Write,
    WriteResult,
    WriteStatus,
)
from memplane_adapters.kit.batches import deleted, parts
from memplane_adapters.kit.collections import misfit
from memplane_adapters.kit.errors import after_write, closed
from memplane_adapters.kit.expressions import PUSHED
from memplane_adapters.kit.walks import Spot, Walks, order_value

T = TypeVar("T")

_MIB: Final = 2**20

CAPABILITIES: Final = Capabilities(
    filters=PUSHED,
    scalar_operands=True,
    float_ranges=True,
    conditional_write=ConditionalWrite.NONE,
    ordered_scan=True,
    vector=True,
    exact_search=True,
    approximate=True,
    exact_count=True,
    read_your_writes=True,
    vectorless=True,
    durability=(Durability.PROCESS,),
    isolation="token",
    max_batch_items=500,
    max_batch_bytes=8 * _MIB,
    max_item_bytes=8 * _MIB,
)

_READ_AT_ONCE: Final = 100
_DELETED_AT_ONCE: Final = 1_000


class ChromaVectorStore:
    """Points on a Chroma server."""

    capabilities = CAPABILITIES

    def __init__(self, settings: ChromaSettings) -> None:
        self._engine = Engine(settings)
        self._collections = Collections(self._engine, settings.prefix)
        self._walks = Walks()
        self._largest = 0
        """Bytes of the largest record that was seen: few small rows can come in one answer."""

    async def open(self) -> None:
        await self._engine.open()

    async def close(self) -> None:
        await self._engine.close()

    async def ping(self) -> Durability:
        await self._collections.check()
        return Durability.PROCESS

    async def ensure(self, collection: Collection) -> None:
        """Attributes get no index of their own: Chroma has one over all metadata."""
        await self._collections.ensure(collection)

    async def upsert(self, writes: Sequence[Write[Point]]) -> list[WriteResult]:
        """A vector of a wrong dimension is FAILED by itself, with IDENTITY_MISMATCH."""
        self._check_open()
        if any(write.expected is not None for write in writes):
            raise errors.unsupported("Chroma has no conditional writes")
        results: list[WriteResult] = []
        fitting: dict[Place, dict[Address, Row]] = {}
        for point in (write.entry for write in writes):
            place = self._collections.ensured(point.address.kind)
            refusal = misfit(point.vector, place.dimension)
            row = None if refusal else rows.encode(point, place.dimension)
            if row is not None and (refusal := rows.refusal(row)) is None:
                # Of several for one address the last one stays: Chroma refuses an id that comes twice.
                fitting.setdefault(place, {})[point.address] = row
                self._largest = max(self._largest, len(point.record))
                results.append(WriteResult(WriteStatus.APPLIED))
            else:
                results.append(WriteResult(WriteStatus.FAILED, refusal))
        for number, (place, made) in enumerate(fitting.items()):
            try:
                await self._write(place, list(made.values()))
            except StoreError as error:
                raise after_write(error) if number else error from error
            finally:
                for address, row in made.items():
                    self._walks.noted(address, row.id)
        return results

    async def _write(self, place: Place, made: Sequence[Row]) -> None:
        await self._engine.call(
            lambda client: client.write(
                place.id,
                ids=[row.id for row in made],
                embeddings=[row.embedding for row in made],
                metadatas=[row.metadata for row in made],
                documents=[row.document for row in made],
                uris=[row.uri for row in made],
            )
        )

    async def fetch(
        self, addresses: Sequence[Address], *, vectors: bool = False
    ) -> list[Stored | None]:
        self._check_open()
        found: dict[str, Stored] = {}
        for kind in dict.fromkeys(address.kind for address in addresses):
            place = await self._collections.find(kind)
            if place is None:
                continue
            wanted = [rows.row_id(one) for one in addresses if one.kind is kind]
            for part in parts(list(dict.fromkeys(wanted)), _READ_AT_ONCE):
                read = await self._read(place, part, vectors=vectors)
                found.update((one, stored) for one, (stored, _) in read.items())
        return [found.get(rows.row_id(address)) for address in addresses]

    async def _read(
        self, place: Place, ids: list[str], *, vectors: bool
    ) -> dict[str, tuple[Stored, dict[str, Any]]]:
        """Rows that are there, with their metadata, by id."""
        names = ["metadatas", "uris", *(["embeddings"] if vectors else [])]
        reply = await self._engine.call(lambda client: client.read(place.id, names, ids=ids))
        found: dict[str, tuple[Stored, dict[str, Any]]] = {}
        for one, metadata, uri, *embedding in rows.columns(reply, *names):
            content = Content(metadata, uri, embedding[0] if embedding else None)
            found[one] = (self._stored(place, content, vectors=vectors), metadata)
        return found

    def _contents(
        self, place: Place, best: Sequence[Found], *, vectors: bool
    ) -> dict[str, tuple[Stored, dict[str, Any]]]:
        """As `_read`, of those that a query gave with their content."""
        return {
            found.id: (self._stored(place, found.content, vectors=vectors), found.content.metadata)
            for found in best
            if found.content is not None
        }

    def _stored(self, place: Place, content: Content, *, vectors: bool) -> Stored:
        vector = None
        if vectors and not content.metadata[rows.BARE]:
            (vector,) = rows.decode_vectors([content.embedding], place.dimension)
        record = rows.decode_record(content.uri)
        self._largest = max(self._largest, len(record))
        return Stored(record, vector)

    async def delete(self, deletes: Sequence[Delete]) -> list[WriteResult]:
        """Looks first which are there: Chroma counts what it was asked to delete."""
        self._check_open()
        if any(delete.expected is not None for delete in deletes):
            raise errors.unsupported("Chroma has no conditional deletes")
        there: set[str] = set()
        for kind in dict.fromkeys(delete.address.kind for delete in deletes):
            place = await self._collections.find(kind)
            if place is None:
                continue
            wanted = [rows.row_id(one.address) for one in deletes if one.address.kind is kind]
            for part in parts(list(dict.fromkeys(wanted)), _DELETED_AT_ONCE):
                try:
                    there.update(await self._delete(place, part))
                except StoreError as error:
                    raise after_write(error) if there else error from error
        return deleted((rows.row_id(delete.address) for delete in deletes), there)

    async def _delete(self, place: Place, ids: list[str]) -> list[str]:
        """Which of them were there."""
        found = await self._engine.call(lambda client: client.read(place.id, [], ids=ids))
        there = rows.ids(found)
        if there:
            await self._engine.call(lambda client: client.erase(place.id, ids=there))
        return there

    async def query(self, query: Query) -> QueryResult:
        self._check_open()
        vector = query.vector
        if vector is None or query.terms:
            raise errors.unsupported("Chroma searches by vector")
        selection = Selection.of(query.scope, query.filter, "vector")
        place = await self._collections.find(query.scope.kind)
        approximate = not query.exact
        if place is None or selection.empty:
            return QueryResult((), approximate=approximate, scanned=0)
        refusal = misfit(vector, place.dimension)
        if refusal is not None:
            raise refusal
        few = query.limit <= _READ_AT_ONCE and query.limit * self._largest <= _MIB
        search = VectorSearch(self._engine, place, selection, vector, with_content=few)
        best = await (search.exact if query.exact else search.approximate)(query.limit)
        hits: list[Hit] = []
        size = 0
        for part in parts(best, _READ_AT_ONCE):
            read = self._contents(place, part, vectors=query.vectors)
            left = [found.id for found in part if found.id not in read]
            if left:
                read |= await self._read(place, left, vectors=query.vectors)
            for found in part:
                if size >= query.max_bytes:
                    return QueryResult(
                        tuple(hits), approximate=approximate, scanned=search.scanned, cut=True
                    )
                stored, metadata = read.get(found.id, (None, {}))
                if stored is not None and selection.matches(metadata):
                    hits.append(Hit(stored.record, stored.vector, found.score))
                    size += stored.size
        return QueryResult(tuple(hits), approximate=approximate, scanned=search.scanned)

    async def scan(self, scan: Scan) -> Page:
        self._check_open()
        selection = Selection.of(scan.scope, scan.filter)
        place = await self._collections.find(scan.scope.kind)
        if place is None or selection.empty:
            return Page((), None, 0)
        order = scan.order

        async def outline(low: int | None, high: int | None) -> AsyncIterator[Iterable[Spot]]:
            bounds = [("$gte", low), ("$lt", high)]
            more = [{order.value: {sign: bound}} for sign, bound in bounds if bound is not None]
            where = selection.where(*more)
            read = functools.partial(_read_documents, place=place, where=where)
            yield _spots(await self._engine.call(read), order)

        async def fetch(spots: Sequence[Spot]) -> Sequence[Stored | None]:
            read = await self._read(place, [spot.id for spot in spots], vectors=scan.vectors)
            found: list[Stored | None] = []
            for spot in spots:
                stored, metadata = read.get(spot.id, (None, {}))
                stays = stored is not None and selection.matches(metadata)
                if stays and order is not Order.PLACE:
                    stays = metadata[order.value] == spot.value
                found.append(stored if stays else None)
            return found

        return await self._walks.page(scan, outline, fetch)

    async def count(self, scope: Scope, filter: Filter | None = None) -> Count:
        """Chroma counts whole collections only; ids are the least that it gives of a row."""
        self._check_open()
        selection = Selection.of(scope, filter)
        place = await self._collections.find(scope.kind)
        if place is None or selection.empty:
            return Count(0, 0)
        reply = await self._engine.call(
            lambda client: client.read(place.id, [], where=selection.where())
        )
        number = len(rows.ids(reply))
        return Count(number, number)

    async def delete_where(
        self, scope: Scope, filter: Filter | None = None, *, max_revision: int
    ) -> int:
        """In parts, since a part takes long; a later write between two parts survives."""
        self._check_open()
        selection = Selection.of(scope, filter)
        place = await self._collections.find(scope.kind)
        if place is None or selection.empty:
            return 0
        where = selection.where({rows.REVISION: {"$lte": max_revision}})
        total = 0
        while True:
            try:
                number = await self._engine.call(
                    lambda client: client.erase(place.id, where=where, limit=_DELETED_AT_ONCE)
                )
            except StoreError as error:
                raise after_write(error) if total else error from error
            total += number
            if number < _DELETED_AT_ONCE:
                return total

    async def stats(self, kind: Kind) -> Stats:
        self._check_open()
        place = await self._collections.find(kind)
        if place is None:
            return Stats(rows=0, size_bytes=None)
        number = await self._engine.call(lambda client: client.number(place.id))
        return Stats(rows=number, size_bytes=None)

    def _check_open(self) -> None:
        if not self._engine.is_open:
            raise closed()


async def _read_documents(client: Any, place: Place, where: dict[str, Any]) -> Any:
    return await client.read(place.id, ["documents"], where=where)


def _spots(reply: Any, order: Order) -> Iterable[Spot]:
    for one, document in rows.columns(reply, "documents"):
        outline = rows.decode_outline(document)
        value = order_value(order, outline.time, outline.update_time)
        yield Spot(value, outline.namespace, outline.key, one)
