"""The vector promise over Weaviate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

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
    Scan,
    Scope,
    Stats,
    Stored,
    StoreError,
    Write,
    WriteResult,
    WriteStatus,
)
from memplane_adapters.kit.batches import deleted
from memplane_adapters.kit.collections import misfit
from memplane_adapters.kit.errors import after_write, closed
from memplane_adapters.kit.expressions import PUSHED
from memplane_adapters.kit.pacing import paced
from memplane_adapters.weaviate import errors, rows
from memplane_adapters.weaviate.client import Client
from memplane_adapters.weaviate.collections import Collections, tenant_name
from memplane_adapters.weaviate.gates import Door, Gates
from memplane_adapters.weaviate.reads import QUORUM, Reader, Selection
from memplane_adapters.weaviate.scans import Scans
from memplane_adapters.weaviate.search import search_vectors, search_words
from memplane_adapters.weaviate.settings import WeaviateSettings
from memplane_adapters.weaviate.stubs import batch_pb2

_MIB: Final = 2**20
_REQUEST_BYTES: Final = 32 * _MIB
"""Of one request: a server takes 100 MB. Fields may grow thirtyfold by the tokens for ranges."""
_APPLIED: Final = WriteResult(WriteStatus.APPLIED)
_MISSING: Final = WriteResult(WriteStatus.MISSING)


def capabilities(settings: WeaviateSettings) -> Capabilities:
    """What Weaviate can do, by the index that is chosen."""
    flat = settings.index == "flat"
    return Capabilities(
        filters=PUSHED,
        scalar_operands=True,
        float_ranges=True,
        conditional_write=ConditionalWrite.NONE,
        ordered_scan=True,
        vector=True,
        keyword=True,
        exact_search=flat,
        approximate=not flat,
        exact_count=True,
        read_your_writes=True,
        vectorless=True,
        durability=(Durability.PROCESS,),
        isolation="tenant",
        max_batch_items=500,
        max_batch_bytes=16 * _MIB,
        max_item_bytes=8 * _MIB,
        max_dimension=65_535,
    )


class WeaviateVectorStore:
    """Points on a Weaviate server."""

    def __init__(self, settings: WeaviateSettings) -> None:
        self.capabilities = capabilities(settings)
        self._client = Client(settings)
        self._collections = Collections(self._client, settings)
        self._gates = Gates()
        self._reader = Reader(self._client, self._gates)
        self._scans = Scans(self._client, self._reader, self._gates)

    async def open(self) -> None:
        await self._client.open()

    async def close(self) -> None:
        await self._client.close()

    async def ping(self) -> Durability:
        """Over both ways. A log is written before it is answered, but not to the disk."""
        await self._collections.check()
        await self._client.check()
        return Durability.PROCESS

    async def ensure(self, collection: Collection) -> None:
        """Attributes whose numbers or times are declared get a property when it is made."""
        await self._collections.ensure(collection)

    async def upsert(self, writes: Sequence[Write[Point]]) -> list[WriteResult]:
        """A vector of a wrong dimension is FAILED by itself, with IDENTITY_MISMATCH."""
        self._check_open()
        if any(write.expected is not None for write in writes):
            raise errors.unsupported("Weaviate has no conditional writes")
        results: dict[int, WriteResult] = {}
        fitting: dict[Address, tuple[Point, list[int]]] = {}
        for number, point in enumerate(write.entry for write in writes):
            place = self._collections.ensured(point.address.kind)
            refusal = misfit(point.vector, place.dimension)
            if refusal is not None:
                results[number] = WriteResult(WriteStatus.FAILED, refusal)
                continue
            # Of several for one address the last one stays: a server takes them in any order.
            _, numbers = fitting.get(point.address, (point, []))
            fitting[point.address] = point, [*numbers, number]
        became = await self._write_all([point for point, _ in fitting.values()])
        for address, (_, numbers) in fitting.items():
            results.update(dict.fromkeys(numbers, became[address]))
        return [results[number] for number in range(len(writes))]

    async def _write_all(self, points: Sequence[Point]) -> dict[Address, WriteResult]:
        """Write rows, in as many requests as it takes. Raises where the first of them fails."""
        became: dict[Address, WriteResult] = {}
        part: dict[Address, batch_pb2.BatchObject] = {}
        size = 0
        sent = False
        try:
            async for point in paced(points):
                made = self._made(point)
                if isinstance(made, StoreError):
                    became[point.address] = WriteResult(WriteStatus.FAILED, made)
                    continue
                bytes_of = made.ByteSize()
                if part and size + bytes_of > _REQUEST_BYTES:
                    became.update(await self._write(part))
                    part, size, sent = {}, 0, True
                part[point.address] = made
                size += bytes_of
            if part:
                became.update(await self._write(part))
        except StoreError as error:
            if not sent:
                raise
            failed = WriteResult(WriteStatus.FAILED, error)
            became.update((each.address, failed) for each in points if each.address not in became)
        return became

    def _made(self, point: Point) -> batch_pb2.BatchObject | StoreError:
        place = self._collections.ensured(point.address.kind)
        tenant = tenant_name(point.address.tenant)
        made = rows.encode(point, place.called, tenant, place.ranges)
        if isinstance(made, StoreError) or made.ByteSize() <= rows.MOST_BYTES:
            return made
        return rows.too_large(made.ByteSize())

    async def _write(
        self, part: Mapping[Address, batch_pb2.BatchObject]
    ) -> dict[Address, WriteResult]:
        """Write rows in one request; what became of each."""
        request = batch_pb2.BatchObjectsRequest(objects=part.values(), consistency_level=QUORUM)
        written: dict[Door, dict[str, Address]] = {}
        for address, made in part.items():
            written.setdefault((made.collection, made.tenant), {})[made.uuid] = address
        # A server that misses a collection makes one of what it is sent (auto schema): a write asks
        # first whether it is there.
        for collection, tenant in written:
            await self._client.tenants(collection, tenant)
        try:
            async with self._gates.writing(written):
                answer = await self._client.write(request)
        finally:
            self._scans.noted(part)
        addresses = list(part)
        became = dict.fromkeys(addresses, _APPLIED)
        for one in answer.errors:
            refused = WriteResult(WriteStatus.FAILED, errors.from_words(one.error))
            became[addresses[one.index]] = refused
        return became

    async def fetch(
        self, addresses: Sequence[Address], *, vectors: bool = False
    ) -> list[Stored | None]:
        self._check_open()
        found: dict[str, Stored] = {}
        for (kind, tenant), wanted in _by_door(addresses).items():
            place = await self._collections.find(kind)
            if place is None:
                continue
            for part in self._reader.parts(wanted):
                read = await self._reader.rows(
                    Selection.of_ids(place, tenant, part), part, vectors=vectors
                )
                for one, result in read.items():
                    vector = rows.vector_in(result) if vectors else None
                    found[one] = Stored(rows.record_in(result), vector)
        return [found.get(rows.id_of(address)) for address in addresses]

    async def delete(self, deletes: Sequence[Delete]) -> list[WriteResult]:
        self._check_open()
        if any(delete.expected is not None for delete in deletes):
            raise errors.unsupported("Weaviate has no conditional deletes")
        there: set[str] = set()
        for (kind, tenant), ids in _by_door([one.address for one in deletes]).items():
            place = await self._collections.find(kind)
            if place is None:
                continue
            try:
                there |= await self._scans.delete(Selection.of_ids(place, tenant, ids))
            except StoreError as error:
                raise after_write(error) if there else error from error
        return deleted((rows.id_of(delete.address) for delete in deletes), there)

    async def query(self, query: Query) -> QueryResult:
        """By vector or by words; the limit is cut in the contract's order."""
        self._check_open()
        place = await self._collections.find(query.scope.kind)
        if place is None:
            return QueryResult((), approximate=False, scanned=0)
        approximate = query.vector is not None and not place.exact
        if query.vector is not None:
            if query.terms:
                raise errors.unsupported("a query goes by vector or by words, not by both")
            if query.exact and approximate:
                raise errors.unsupported(f"the index of {place.called} is not exact")
            refusal = misfit(query.vector, place.dimension)
            if refusal is not None:
                raise refusal
        selection = Selection.of(place, query.scope, query.filter)
        if selection is None or (query.vector is None and not query.terms):
            return QueryResult((), approximate=approximate, scanned=0)
        if query.vector is None:
            return await search_words(self._reader, query, selection)
        return await search_vectors(self._reader, place, query, selection, query.vector)

    async def scan(self, scan: Scan) -> Page:
        selection = await self._selection(scan.scope, scan.filter)
        if selection is None:
            return Page((), None, 0)
        return await self._scans.page(selection, scan)

    async def count(self, scope: Scope, filter: Filter | None = None) -> Count:
        selection = await self._selection(scope, filter)
        number = 0 if selection is None else await self._reader.count(selection)
        return Count(number, number)

    async def delete_where(
        self, scope: Scope, filter: Filter | None = None, *, max_revision: int
    ) -> int:
        """In parts, so that other writes come between; a row written meanwhile survives."""
        selection = await self._selection(scope, filter)
        if selection is None:
            return 0
        return await self._scans.delete_where(selection, max_revision)

    async def stats(self, kind: Kind) -> Stats:
        """Weaviate does not tell how many bytes a collection takes."""
        self._check_open()
        place = await self._collections.find(kind)
        there = 0 if place is None else await self._collections.number(place)
        return Stats(rows=there, size_bytes=None)

    async def _selection(self, scope: Scope, tree: Filter | None) -> Selection | None:
        """What a call is about; None where that is nothing for sure."""
        self._check_open()
        place = await self._collections.find(scope.kind)
        return None if place is None else Selection.of(place, scope, tree)

    def _check_open(self) -> None:
        if not self._client.is_open:
            raise closed()


def _by_door(addresses: Sequence[Address]) -> dict[tuple[Kind, str], list[str]]:
    """Ids by kind and tenant, each once."""
    found: dict[tuple[Kind, str], dict[str, None]] = {}
    for address in addresses:
        found.setdefault((address.kind, address.tenant), {})[rows.id_of(address)] = None
    return {door: list(ids) for door, ids in found.items()}
