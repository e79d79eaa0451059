"""The vector promise."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

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
from memplane_adapters.kit.pacing import paced
from memplane_adapters.kit.walks import Spot, Walks, order_value
from memplane_adapters.pinecone import errors, rows
from memplane_adapters.pinecone.collections import Collections, Place
from memplane_adapters.pinecone.engine import Engine
from memplane_adapters.pinecone.filters import Selection, Where
from memplane_adapters.pinecone.names import namespace_of, record_id
from memplane_adapters.pinecone.reading import Reader, Sizes
from memplane_adapters.pinecone.rows import Row
from memplane_adapters.pinecone.search import VectorSearch
from memplane_adapters.pinecone.settings import PineconeSettings
from memplane_adapters.pinecone.visibility import Visibility

_REQUEST_BYTES: Final = 1_900_000
"""Of an upsert, of which Pinecone takes 2 MB."""
_REQUEST_ITEMS: Final = 1_000
_DELETED: Final = 1_000
_KEPT_BYTES: Final = 8 * 2**20
"""Of the rows that a walk met while it sorted, and need not read again."""

CAPABILITIES: Final = Capabilities(
    filters=PUSHED,
    scalar_operands=True,
    float_ranges=True,
    conditional_write=ConditionalWrite.NONE,
    ordered_scan=True,
    vector=True,
    approximate=True,
    exact_count=True,
    vectorless=True,
    durability=(Durability.MANAGED,),
    isolation="namespace",
    max_batch_items=_REQUEST_ITEMS,
    # A number of a vector takes 4 bytes here and up to 14 as JSON; records grow by a third.
    max_batch_bytes=_REQUEST_BYTES // 4,
    max_metadata_bytes=rows.MOST_METADATA,
    max_dimension=20_000,
)


class PineconeVectorStore:
    """Points in indexes of Pinecone."""

    capabilities = CAPABILITIES

    def __init__(self, settings: PineconeSettings) -> None:
        self._engine = Engine(settings)
        self._collections = Collections(self._engine, settings)
        self._visibility = Visibility(self._engine, settings.visible_timeout)
        self._walks = Walks()
        self._sizes = Sizes()

    async def open(self) -> None:
        if not self._engine.is_open:
            await self._engine.open()
            self._visibility.begin()

    async def close(self) -> None:
        if self._engine.is_open:
            await self._visibility.settle()
        await self._engine.close()

    async def ping(self) -> Durability:
        await self._collections.check()
        return Durability.MANAGED

    async def ensure(self, collection: Collection) -> None:
        """Attributes get no index of their own: Pinecone has one over all metadata."""
        for place in await self._known(collection.kind):
            await self._visibility.wait_for_all(place)
        await self._collections.ensure(collection)

    async def _known(self, kind: Kind) -> list[Place]:
        place = await self._collections.find(kind)
        return [] if place is None else [place]

    def token(self, kind: Kind, tenant: str) -> str:
        """See Eventual."""
        place = self._collections.known(kind)
        return "" if place is None else self._visibility.token(place, namespace_of(tenant))

    def reach(self, token: str) -> None:
        """See Eventual."""
        self._visibility.reach(token)

    # --- writes -----------------------------------------------------------------------------

    async def upsert(self, writes: Sequence[Write[Point]]) -> list[WriteResult]:
        """Write points; of several for one address the last stays.

        A vector of a wrong dimension is FAILED by itself, with IDENTITY_MISMATCH, and so is a point
        with more metadata than Pinecone keeps, with ITEM_TOO_LARGE.
        """
        self._check_open()
        if any(write.expected is not None for write in writes):
            raise errors.unsupported("Pinecone has no conditional writes")
        results: dict[int, WriteResult] = {}
        fitting: dict[tuple[Place, str], dict[Address, tuple[Row, list[int]]]] = {}
        async for number, point in paced(enumerate(write.entry for write in writes)):
            place = self._collections.ensured(point.address.kind)
            row = misfit(point.vector, place.dimension) or rows.encode(point, place.dimension)
            if isinstance(row, StoreError):
                results[number] = WriteResult(WriteStatus.FAILED, row)
                continue
            self._sizes.saw(row.size)
            # Of several for one address the last one stays.
            there = fitting.setdefault((place, namespace_of(point.address.tenant)), {})
            _, numbers = there.pop(point.address, (row, []))
            there[point.address] = (row, [*numbers, number])
        failure: StoreError | None = None
        for (place, namespace), made in fitting.items():
            for part in _requests(made):
                result = WriteResult(WriteStatus.FAILED, failure)
                if failure is None:
                    try:
                        await self._write(place, namespace, part)
                        result = WriteResult(WriteStatus.APPLIED)
                    except StoreError as error:
                        if not _any_applied(results):
                            raise
                        failure = error
                        result = WriteResult(WriteStatus.FAILED, error)
                for address in part:
                    results.update(dict.fromkeys(made[address][1], result))
        return [results[number] for number in range(len(writes))]

    async def _write(self, place: Place, namespace: str, part: Mapping[Address, Row]) -> None:
        vectors = [row.vector for row in part.values()]
        try:
            lsn = await self._engine.write(
                place.host, lambda index: index.upsert(vectors=vectors, namespace=namespace)
            )
            ids = [row.id for row in part.values()]
            self._visibility.wrote(place, namespace, ids, lsn)
        finally:
            for address, row in part.items():
                self._walks.noted(address, row.id)

    async def delete(self, deletes: Sequence[Delete]) -> list[WriteResult]:
        """Looks first which are there: Pinecone does not tell."""
        self._check_open()
        if any(delete.expected is not None for delete in deletes):
            raise errors.unsupported("Pinecone has no conditional deletes")
        there: set[str] = set()
        for kind, tenant, wanted in _by_namespace([delete.address for delete in deletes]):
            reader = await self._reader(kind, tenant)
            if reader is None:
                continue
            for part in parts(wanted, _DELETED):
                try:
                    await self._visibility.wait(reader.place, reader.namespace, part)
                    found = list(await reader.fetch(part))
                    if found:
                        await self._erase(reader, found, ids=found)
                    there.update(found)
                except StoreError as error:
                    raise after_write(error) if there else error from error
        return deleted((record_id(delete.address) for delete in deletes), there)

    async def _erase(self, reader: Reader, written: Sequence[str], **selector: Any) -> None:
        lsn = await self._engine.write(
            reader.place.host,
            lambda index: index.delete(namespace=reader.namespace, **selector),
        )
        self._visibility.wrote(reader.place, reader.namespace, written, lsn)

    async def delete_where(
        self, scope: Scope, filter: Filter | None = None, *, max_revision: int
    ) -> int:
        """What matches is chosen here, and deleted where the revision still is not later."""
        self._check_open()
        selection = Selection.of(scope, filter)
        reader = await self._reader_of(scope)
        if reader is None or selection.empty:
            return 0
        where = selection.where(rows.up_to_revision(max_revision))
        chosen = [
            vector.id
            async for part in reader.matching(where)
            for vector in _judged(part, selection)
            if rows.decode_outline(vector.metadata).revision <= max_revision
        ]
        total = 0
        for part in parts(chosen, _DELETED):
            condition = {"$and": [{rows.ID: {"$in": part}}, rows.up_to_revision(max_revision)]}
            try:
                await self._erase(reader, part, filter=condition)
            except StoreError as error:
                raise after_write(error) if total else error from error
            total += len(part)
        return total

    # --- reads ------------------------------------------------------------------------------

    async def fetch(
        self, addresses: Sequence[Address], *, vectors: bool = False
    ) -> list[Stored | None]:
        self._check_open()
        found: dict[str, Stored] = {}
        for kind, tenant, wanted in _by_namespace(addresses):
            reader = await self._reader(kind, tenant)
            if reader is None:
                continue
            await self._visibility.wait(reader.place, reader.namespace, wanted)
            for one, vector in (await reader.fetch(wanted)).items():
                found[one] = reader.decode(vector, vectors=vectors)
        return [found.get(record_id(address)) for address in addresses]

    async def query(self, query: Query) -> QueryResult:
        self._check_open()
        vector = query.vector
        if vector is None or query.terms:
            raise errors.unsupported("Pinecone searches by vector")
        if query.exact:
            raise errors.unsupported("Pinecone searches approximately")
        selection = Selection.of(query.scope, query.filter, "vector")
        reader = await self._reader_of(query.scope)
        if reader is None or selection.empty:
            return QueryResult((), approximate=True, scanned=0)
        refusal = misfit(vector, reader.place.dimension)
        if refusal is not None:
            raise refusal
        search = VectorSearch(reader, selection, vector, vectors=query.vectors)
        hits: list[Hit] = []
        size = 0
        for found in await search.approximate(query.limit):
            if size >= query.max_bytes:
                return QueryResult(tuple(hits), approximate=True, scanned=search.scanned, cut=True)
            hits.append(Hit(found.stored.record, found.stored.vector, found.score))
            size += found.stored.size
        return QueryResult(tuple(hits), approximate=True, scanned=search.scanned)

    async def scan(self, scan: Scan) -> Page:
        self._check_open()
        selection = Selection.of(scan.scope, scan.filter)
        reader = await self._reader_of(scan.scope)
        if reader is None or selection.empty:
            return Page((), None, 0)
        order = scan.order
        met: dict[str, Any] = {}
        room = _KEPT_BYTES

        async def outline(low: int | None, high: int | None) -> AsyncIterator[Iterable[Spot]]:
            nonlocal room
            where = selection.where(*_window(order, low, high))
            async for part in reader.matching(where):
                spots: list[Spot] = []
                for vector in _judged(part, selection):
                    spot = _spot(vector, order)
                    if (low is None or spot.value >= low) and (high is None or spot.value < high):
                        spots.append(spot)
                        room -= rows.held_bytes(vector, reader.place.dimension)
                        if room > 0:
                            met[vector.id] = vector
                yield spots

        async def fetch(spots: Sequence[Spot]) -> Sequence[Stored | None]:
            left = [spot.id for spot in spots if spot.id not in met]
            read = {**met, **await reader.fetch(left)}
            found: list[Stored | None] = []
            for spot in spots:
                vector = read.get(spot.id)
                stays = vector is not None and selection.matches(rows.metadata_of(vector))
                if stays and order is not Order.PLACE:
                    stays = _spot(vector, order).value == spot.value
                found.append(reader.decode(vector, vectors=scan.vectors) if stays else None)
            return found

        return await self._walks.page(scan, outline, fetch)

    async def count(self, scope: Scope, filter: Filter | None = None) -> Count:
        """Pinecone counts namespaces only, so rows are read to be counted."""
        self._check_open()
        selection = Selection.of(scope, filter)
        reader = await self._reader_of(scope)
        if reader is None or selection.empty:
            return Count(0, 0)
        number = scanned = 0
        async for part in reader.matching(selection.where()):
            scanned += len(part)
            number += sum(1 for _ in _judged(part, selection))
        return Count(number, scanned)

    async def stats(self, kind: Kind) -> Stats:
        self._check_open()
        place = await self._collections.find(kind)
        if place is None:
            return Stats(rows=0, size_bytes=None)
        await self._visibility.wait_for_all(place)
        stats = await self._engine.read(place.host, lambda index: index.describe_index_stats())
        return Stats(rows=stats.total_vector_count, size_bytes=None)

    async def _reader_of(self, scope: Scope) -> Reader | None:
        """Reads a scope's namespace, where all that must be seen is visible."""
        reader = await self._reader(scope.kind, scope.tenant)
        if reader is not None:
            await self._visibility.wait(reader.place, reader.namespace)
        return reader

    async def _reader(self, kind: Kind, tenant: str) -> Reader | None:
        place = await self._collections.find(kind)
        if place is None:
            return None
        return Reader(self._engine, place, namespace_of(tenant), self._sizes)

    def _check_open(self) -> None:
        if not self._engine.is_open:
            raise closed()


def _any_applied(results: Mapping[int, WriteResult]) -> bool:
    return any(result.status is WriteStatus.APPLIED for result in results.values())


def _requests(
    made: Mapping[Address, tuple[Row, list[int]]],
) -> Iterator[dict[Address, Row]]:
    """The rows in parts that Pinecone takes in one request."""
    part: dict[Address, Row] = {}
    size = 0
    for address, (row, _) in made.items():
        if part and (size + row.size > _REQUEST_BYTES or len(part) >= _REQUEST_ITEMS):
            yield part
            part, size = {}, 0
        part[address] = row
        size += row.size
    if part:
        yield part


def _by_namespace(addresses: Sequence[Address]) -> Iterator[tuple[Kind, str, list[str]]]:
    """The ids of each kind and tenant."""
    ids: dict[tuple[Kind, str], dict[str, None]] = {}
    for address in addresses:
        ids.setdefault((address.kind, address.tenant), {})[record_id(address)] = None
    for (kind, tenant), wanted in ids.items():
        yield kind, tenant, list(wanted)


def _judged(part: Sequence[Any], selection: Selection) -> Iterator[Any]:
    return (vector for vector in part if selection.matches(rows.metadata_of(vector)))


def _spot(vector: Any, order: Order) -> Spot:
    outline = rows.decode_outline(vector.metadata)
    value = order_value(order, outline.time, outline.update_time)
    return Spot(value, outline.namespace, outline.key, vector.id)


def _window(order: Order, low: int | None, high: int | None) -> list[Where]:
    """Bounds of an order's value; as float64 both may be rounded, so that the rows decide."""
    bounds: list[Where] = []
    if low is not None:
        bounds.append({order.value: {"$gte": float(low)}})
    if high is not None:
        bounds.append({order.value: {"$lte": float(high)}})
    return bounds
