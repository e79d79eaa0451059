"""One view of both kinds of store, so that writing, reading and listing exist once."""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from memplane_adapters.contract import (
    Address,
    Capabilities,
    Count,
    Delete,
    Entry,
    Fields,
    Filter,
    KeyValueStore,
    Page,
    Scan,
    Scope,
    Store,
    Stored,
    StoreError,
    StoreReason,
    Value,
    Vector,
    Write,
    WriteResult,
    from_micros,
)
from memplane_gateway.memory.further import (
    TextCodec,
)
from memplane_gateway.memory.model import Content, FurtherVectors, Memory, Record
from memplane_gateway.memory.write.leases import needs_leases
from memplane_gateway.pacing import paced

_FLOAT_BYTES = 4

_log = logging.getLogger(__name__)


StoreT = TypeVar("StoreT", bound=Store)


class DamagedRecordError(ValueError):
    """The bytes of a record have changed since they were written."""


class RecordCodec(TextCodec, Protocol):
    """How records become bytes; `wire` has the one that is used."""

    def encode(self, record: Record) -> bytes:
        """The record as bytes, losslessly."""
        ...

    def decode(self, data: bytes) -> Record:
        """The record again. Raises ValueError when the bytes are none."""
        ...

    def fingerprint(self, content: Content) -> bytes:
        """16 bytes that are equal for equal content."""
        ...


@dataclass(frozen=True, slots=True)
class Row:
    """A record with its vector, when one was asked for and is there."""

    record: Record
    vector: Vector | None = None
    size: int = 0
    """Bytes of all as they are stored."""
    further: FurtherVectors = ()


@dataclass(frozen=True, slots=True)
class RowWrite:
    """A row to write in place of the revision `expected` (0: of nothing)."""

    row: Row
    expected: int
    replaced: Record | None = None
    """What was read at that revision, alive or expired."""

    @property
    def has_texts(self) -> bool:
        """Whether points of further texts are to be written or deleted with it."""
        before = self.replaced is not None and self.replaced.embedded_texts
        return bool(self.row.record.embedded_texts or before)


class Shelf(Protocol):
    """Where the memories of one kind stand."""

    codec: RecordCodec

    @property
    def capabilities(self) -> Capabilities:
        """What the store can do."""
        ...

    async def fetch(
        self, addresses: Sequence[Address], *, vectors: bool = False
    ) -> list[Row | None]:
        """Rows by address, expired ones too."""
        ...

    async def complete(self, rows: Sequence[Row]) -> list[Row]:
        """Rows that were read with their vectors, now with those of their further texts too."""
        ...

    async def write(self, writes: Sequence[RowWrite], *, atomic: bool) -> list[WriteResult]:
        """Write rows, each if nothing came between (or its writer has a lease); `atomic` all or none."""
        ...

    async def delete(self, deletes: Sequence[Delete], *, atomic: bool) -> list[WriteResult]:
        """Delete rows, as in `write`."""
        ...

    async def scan(self, scan: Scan) -> Page:
        """Walk over rows."""
        ...

    async def count(self, scope: Scope, filter: Filter | None) -> Count:
        """Count rows."""
        ...

    def searchable(self, record: Record) -> bool:
        """Whether VECTOR or KEYWORD search can find it."""
        ...


class StoreShelf(Generic[StoreT]):
    """What shelves over both kinds of store have in common."""

    def __init__(self, store: StoreT, codec: RecordCodec) -> None:
        self.store = store
        self.codec = codec

    @property
    def capabilities(self) -> Capabilities:
        """What the store can do."""
        return self.store.capabilities

    async def scan(self, scan: Scan) -> Page:
        """Walk over rows."""
        return await self.store.scan(scan)

    async def count(self, scope: Scope, filter: Filter | None) -> Count:
        """Count rows."""
        return await self.store.count(scope, filter)

    def _deletes(self, deletes: Sequence[Delete]) -> list[Delete]:
        return [Delete(delete.address, self._expected(delete.expected)) for delete in deletes]

    def _expected(self, revision: int | None) -> int | None:
        """What the store is to compare: nothing where it cannot, since the writer has a lease."""
        return None if needs_leases(self.store.capabilities) else revision


class KeyValueShelf(StoreShelf[KeyValueStore]):
    """A shelf over a key-value store."""

    async def fetch(
        self,
        addresses: Sequence[Address],
        *,
        vectors: bool = False,  # noqa: ARG002 (key-values have none)
    ) -> list[Row | None]:
        """Rows by address, expired ones too; there are no vectors."""
        return await matched(self.codec, addresses, await self.store.get(addresses))

    async def complete(self, rows: Sequence[Row]) -> list[Row]:
        """As they are: key-values have no vectors."""
        return list(rows)

    async def write(self, writes: Sequence[RowWrite], *, atomic: bool) -> list[WriteResult]:
        """Write rows, each if nothing came between; `atomic` all or none."""
        return await self.store.put(
            [Write(self._entry(write.row), self._expected(write.expected)) for write in writes],
            atomic=atomic,
        )

    async def delete(self, deletes: Sequence[Delete], *, atomic: bool) -> list[WriteResult]:
        """Delete rows, as in `write`."""
        return await self.store.delete(self._deletes(deletes), atomic=atomic)

    def searchable(self, record: Record) -> bool:  # noqa: ARG002 (other shelves ask it)
        """Never: key-values are looked up."""
        return False

    def _entry(self, row: Row) -> Entry:
        record = row.record
        return Entry(
            address=record.address,
            revision=record.revision,
            update_time=record.update_time,
            time=record.time,
            expire_time=record.expire_time,
            fields=fields_of(record),
            record=self.codec.encode(record),
        )


def fields_of(record: Record) -> Fields:
    """What filters see of a record: its attributes, and system fields by "@name"."""
    content = record.content
    fields: dict[str, Value] = dict(content.attributes)
    fields["@key"] = record.address.key
    fields["@create_time"] = from_micros(record.create_time)
    fields["@update_time"] = from_micros(record.update_time)
    fields["@pinned"] = content.pinned
    if content.importance is not None:
        fields["@importance"] = content.importance
    episode = content.episode
    if episode is not None:
        fields["@episode_type"] = episode.type.value
        if episode.event_time is not None:
            fields["@event_time"] = from_micros(episode.event_time)
        if episode.session_id:
            fields["@session_id"] = episode.session_id
        if episode.agent_id:
            fields["@agent_id"] = episode.agent_id
    return fields


SYSTEM_FIELDS = (
    "@create_time",
    "@update_time",
    "@event_time",
    "@importance",
    "@key",
    "@session_id",
    "@agent_id",
    "@episode_type",
    "@pinned",
)


def etag_of(record: Record) -> str:
    """The opaque version of a record: a hash over its identity and revision.

    Derived and not stored, so that it survives every move to another store.
    """
    return etag_at(record.address, record.revision)


def etag_at(address: Address, revision: int) -> str:
    """The etag of a memory at a revision that it had."""
    digest = hashlib.blake2b(digest_size=12)
    for part in (address.tenant, address.kind.value, *address.namespace, address.key):
        digest.update(part.encode() + b"\0")
    digest.update(revision.to_bytes(8, "big"))
    return base64.urlsafe_b64encode(digest.digest()).decode()


def memory_of(shelf: Shelf, row: Row, *, vectors: bool = False) -> Memory:
    """A row as callers see it."""
    return Memory(
        record=row.record,
        etag=etag_of(row.record),
        searchable=shelf.searchable(row.record),
        vector=row.vector if vectors else None,
        size=row.size,
        further=row.further if vectors else (),
    )


def alive_row(row: Row | None, now: int) -> Row | None:
    """The row, if it is there and has not expired."""
    return row if row is not None and row.record.alive(now) else None


def open_row(
    codec: RecordCodec, stored: Stored, scope: Scope, *, vectors: bool = False
) -> Row | None:
    """The row behind bytes from a store, if it belongs to the scope and is shown there.

    With `vectors` its size counts those of its further texts, which are yet to be read.

    A foreign row is logged and dropped; bytes that are no record raise BACKEND_PROTOCOL, since then
    nobody can say whether the answer is right.
    """
    record = _decoded(codec, stored)
    if not scope.covers(record.address):
        _log.error("foreign row dropped", extra={"kind": scope.kind.value})
        return None
    if not scope.shows(record.expire_time):
        return None
    size = _size(stored)
    if vectors and record.embedding is not None:
        size += _FLOAT_BYTES * record.embedding.dimension * len(record.embedded_texts)
    return Row(record, stored.vector, size)


async def matched(
    codec: RecordCodec, addresses: Sequence[Address], stored: Sequence[Stored | None]
) -> list[Row | None]:
    """The rows that a store gave for addresses. Raises PROTOCOL for others."""
    if len(stored) != len(addresses):
        raise StoreError(
            StoreReason.PROTOCOL, f"asked for {len(addresses)} rows, got {len(stored)}"
        )
    rows: list[Row | None] = []
    async for address, item in paced(zip(addresses, stored, strict=True)):
        if item is None:
            rows.append(None)
            continue
        record = _decoded(codec, item)
        if record.address != address:
            raise StoreError(StoreReason.PROTOCOL, "the store answered with another memory")
        rows.append(Row(record, item.vector, _size(item)))
    return rows


def _size(stored: Stored) -> int:
    return len(stored.record) + (stored.vector.nbytes if stored.vector is not None else 0)


def _decoded(codec: RecordCodec, stored: Stored) -> Record:
    try:
        return codec.decode(stored.record)
    except DamagedRecordError as error:
        raise StoreError(StoreReason.DAMAGED, str(error)) from error
    except ValueError as error:
        raise StoreError(StoreReason.PROTOCOL, f"malformed record: {error}") from error
