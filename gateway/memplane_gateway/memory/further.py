"""Further texts: points of their own, of a kind that no caller can name, beside those of the memories.

A point is named by its memory, the memory's revision and its number, so that a write whose head is
refused has destroyed nothing. The points of a new revision are written first, then the head that claims
them, and last those of the old revision are deleted. What no head claims, a read does not show: it is
left by a crash between two of these, and swept later.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from memplane_adapters.contract import (
    Address,
    Cursor,
    Delete,
    Fields,
    Kind,
    Point,
    Query,
    QueryResult,
    Scan,
    Scope,
    Stored,
    StoreError,
    StoreReason,
    Vector,
    VectorStore,
    Write,
    WriteResult,
    WriteStatus,
)
from memplane_gateway.errors import MemplaneError
from memplane_gateway.memory.model import FurtherVectors, Record

KINDS: Mapping[Kind, Kind] = {
    Kind.SEMANTIC: Kind.SEMANTIC_TEXTS,
    Kind.EPISODIC: Kind.EPISODIC_TEXTS,
}
"""Of which kind the further texts of memories are."""

LOOKED_AT_ONCE = 500
"""Points that a page of a sweep holds."""
_ROOM = 2**62

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FurtherText:
    """What a point holds beside its vector."""

    memory: Address
    revision: int
    """Of the memory that it belongs to, and of no other."""
    number: int
    """Its place among the memory's further texts, from 0."""
    update_time: int

    @property
    def address(self) -> Address:
        """Where its point is."""
        return address_of(self.memory, self.revision, self.number)


@dataclass(frozen=True, slots=True)
class TextHit:
    """A further text that a query found."""

    text: FurtherText
    score: float


class TextCodec(Protocol):
    """How they become bytes; `wire` has the one that is used."""

    def encode_text(self, text: FurtherText) -> bytes:
        """What the point of a further text holds."""
        ...

    def decode_text(self, data: bytes) -> FurtherText:
        """The same again. Raises ValueError when the bytes are none."""
        ...


class Room(Protocol):
    """Where the further texts of a route are kept, which is made when the first one is written."""

    async def in_use(self) -> bool:
        """Whether there may be any; if so, it is there to be asked."""
        ...

    async def make(self) -> None:
        """Have it there to be written to. Raises what making a route ready raises."""
        ...


@dataclass(frozen=True, slots=True)
class RowDelete(Delete):
    """A memory to delete, with the points of its further texts."""

    texts: tuple[Address, ...] = ()

    @classmethod
    def of(cls, record: Record) -> RowDelete:
        """The deletion of a memory as it was read."""
        return cls(record.address, record.revision, tuple(addresses_of(record)))


def address_of(memory: Address, revision: int, number: int) -> Address:
    """Where the point of a further text is. The end of the key has always 19 characters."""
    key = f"{memory.key}#{revision:016x}{number:02x}"
    return Address(memory.tenant, KINDS[memory.kind], memory.namespace, key)


def addresses_of(record: Record) -> list[Address]:
    """Where the points of a memory's further texts are."""
    return [address_of(record.address, record.revision, number) for number in record.embedded_texts]


class FurtherTexts:
    """The further texts on one shelf."""

    def __init__(self, store: VectorStore, codec: TextCodec, room: Room) -> None:
        self._store = store
        self._codec = codec
        self._room = room

    async def in_use(self) -> bool:
        """Whether there may be any."""
        return await self._room.in_use()

    async def write(
        self, rows: Sequence[tuple[Record, FurtherVectors, Fields]]
    ) -> dict[int, WriteResult]:
        """Write the points of rows; gives the failures by the rows' places."""
        owners: list[int] = []
        writes: list[Write[Point]] = []
        for index, (record, vectors, fields) in enumerate(rows):
            for number in record.embedded_texts:
                owners.append(index)
                writes.append(Write(self._point(record, number, vectors[number], fields)))
        if not writes:
            return {}
        await self._room.make()
        results = await self._store.upsert(writes)
        failed: dict[int, WriteResult] = {}
        for index, result in zip(owners, results, strict=True):
            if result.status is not WriteStatus.APPLIED:
                failed.setdefault(index, result)
        return failed

    def _point(self, record: Record, number: int, vector: Vector | None, fields: Fields) -> Point:
        text = FurtherText(record.address, record.revision, number, record.update_time)
        return Point(
            address=text.address,
            revision=record.revision,
            update_time=record.update_time,
            time=record.time,
            expire_time=record.expire_time,
            fields=fields,
            record=self._codec.encode_text(text),
            vector=vector,
            text=record.content.indexed_texts[number].text,
        )

    async def discard(self, addresses: Sequence[Address]) -> int:
        """Delete points that no memory claims any more; says how many. What fails is left to be swept."""
        if not addresses:
            return 0
        try:
            await self._room.make()
            results = await self._store.delete([Delete(address) for address in addresses])
        except (StoreError, MemplaneError) as error:
            _left_behind(len(addresses), error)
            return 0
        errors = [result.error for result in results if result.error is not None]
        if errors:
            _left_behind(len(errors), errors[0])
        return sum(result.status is WriteStatus.APPLIED for result in results)

    async def vectors(self, records: Iterable[Record]) -> dict[Address, Vector]:
        """The vectors of the further texts of memories, by where their points are."""
        addresses = [address for record in records for address in addresses_of(record)]
        if not addresses:
            return {}
        found = await self._store.fetch(addresses, vectors=True)
        if len(found) != len(addresses):
            message = f"asked for {len(addresses)} rows, got {len(found)}"
            raise StoreError(StoreReason.PROTOCOL, message)
        vectors: dict[Address, Vector] = {}
        for address, stored in zip(addresses, found, strict=True):
            if stored is None:
                continue
            if self._decoded(stored).address != address:
                raise StoreError(StoreReason.PROTOCOL, "the store answered with another text")
            if stored.vector is not None:
                vectors[address] = stored.vector
        return vectors

    async def query(self, query: Query) -> tuple[list[TextHit], QueryResult]:
        """The best texts for a question about memories."""
        scope = replace(query.scope, kind=KINDS[query.scope.kind])
        asked = replace(query, scope=scope, vectors=False, max_bytes=_ROOM)
        result = await self._store.query(asked)
        hits: list[TextHit] = []
        for hit in result.hits:
            text = self._decoded(hit)
            if query.scope.covers(text.memory):
                hits.append(TextHit(text, hit.score))
            else:
                _log.error("foreign row dropped", extra={"kind": scope.kind.value})
        return hits, result

    async def page(
        self, scope: Scope, after: Cursor | None
    ) -> tuple[list[FurtherText], Cursor | None]:
        """Some of the further texts of a scope of memories, and where to go on."""
        if not await self._room.in_use():
            return [], None
        # Expired ones too: a memory may have been renewed after them.
        among = replace(scope, kind=KINDS[scope.kind], alive_at=-(2**62))
        page = await self._store.scan(Scan(scope=among, after=after, limit=LOOKED_AT_ONCE))
        return [self._decoded(row) for row in page.rows], page.next

    def _decoded(self, stored: Stored) -> FurtherText:
        try:
            return self._codec.decode_text(stored.record)
        except ValueError as error:
            raise StoreError(StoreReason.PROTOCOL, f"malformed further text: {error}") from error


class Nowhere:
    """A room that cannot be made."""

    async def in_use(self) -> bool:
        """Never."""
        return False

    async def make(self) -> None:
        """Raises UNSUPPORTED."""
        raise StoreError(StoreReason.UNSUPPORTED, "nothing keeps further texts here")


def _left_behind(count: int, error: StoreError | MemplaneError) -> None:
    _log.warning(
        "points of further texts were left behind; they are never shown",
        extra={"points": count, "reason": error.reason.value, "error": str(error)},
    )
