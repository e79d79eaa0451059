"""A snapshot: the memories that a foreign collection held at one time, in an embedded store of ours."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from memplane_adapters.contract import (
    Collection,
    ForeignCollection,
    ForeignFacts,
    Kind,
    StoreError,
    StoreReason,
    Vector,
    VectorStore,
    WriteStatus,
)
from memplane_gateway.adopting.adoption import Adoption
from memplane_gateway.adopting.mapping import Vectors
from memplane_gateway.adopting.reading import Reading
from memplane_gateway.adopting.rows import Mapped, RowProblem
from memplane_gateway.analysis import Analyzer
from memplane_gateway.clock import Clock
from memplane_gateway.config.stores import EMBEDDED, make_store
from memplane_gateway.errors import Code, MemplaneError, Reason
from memplane_gateway.memory.embedding import TextVectors
from memplane_gateway.memory.model import Provenance, Put, Record
from memplane_gateway.memory.shelf import RecordCodec, Row, RowWrite
from memplane_gateway.memory.vector_shelf import VectorShelf
from memplane_gateway.pacing import paced

BATCH: Final = 200
"""Rows that are embedded and written at once."""
_REVISION_BITS: Final = 62
_PASSES: Final = (Code.UNAVAILABLE, Code.RESOURCE_EXHAUSTED)
_EMBEDDER_WAITS: Final = (1.0, 4.0, 16.0)
"""Seconds between the tries to embed a batch, where the embedder says nothing else."""
_LONGEST_WAIT: Final = 60.0
_FILE: Final = "snapshot.db"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Contents:
    """What came of one reading."""

    taken: int
    """When it began, in microseconds since 1970."""
    memories: int
    refused: int
    """Rows that did not map."""
    reasons: Mapping[str, int]
    """How many rows each reason is of."""
    changed: bool
    """Whether the number of rows changed meanwhile, so that rows may be missing."""


class Snapshot:
    """A store of its own in a directory of its own, both gone when it is closed."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="memplane-snapshot-")
        self.store = embedded_store(Path(self._directory.name))
        self.contents = Contents(0, 0, 0, {}, changed=False)

    async def open(self, collection: Collection) -> None:
        """Make it ready to be written. Raises StoreError."""
        await self.store.open()
        await self.store.ensure(collection)

    async def close(self) -> None:
        """Let calls that are under way finish, and delete it; may be called again if it was cut short."""
        try:
            await self.store.close()
        finally:
            await asyncio.to_thread(self._directory.cleanup)


def embedded_store(directory: Path) -> VectorStore:
    """An embedded store; nothing is opened yet."""
    store = make_store(EMBEDDED, {"path": _FILE}).connect(directory).vector
    assert store is not None, "it keeps both"
    return store


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotMaker:
    """Reads a foreign collection as a whole, by the code that `memplane adopt` maps with."""

    adoption: Adoption
    collection: Collection
    """What the route would ask of a store of its own."""
    vectors: TextVectors
    analyzer: Analyzer
    codec: RecordCodec
    clock: Clock
    max_rows: int

    @property
    def kind(self) -> Kind:
        """What the rows become."""
        return self.collection.kind

    def shelf(self, store: VectorStore) -> VectorShelf:
        """The route's view of a store."""
        return VectorShelf(store, self.codec, self.analyzer)

    async def make(self, before: Snapshot | None) -> Snapshot:
        """The collection as it is now; vectors of texts that `before` knows are not made again.

        Raises StoreError as the vendor or the disk fails, MemplaneError as the embedder fails or the
        collection is not to be served.
        """
        snapshot: Snapshot | None = None
        try:
            async with _opened(self.adoption) as foreign:
                facts = await foreign.facts()
                self._check(facts)
                snapshot = _new()
                await snapshot.open(self.collection)
                snapshot.contents = await self._fill(snapshot, before, foreign, facts)
        except BaseException:
            if snapshot is not None:
                await asyncio.shield(snapshot.close())
            raise
        return snapshot

    async def _fill(
        self,
        snapshot: Snapshot,
        before: Snapshot | None,
        foreign: ForeignCollection,
        facts: ForeignFacts,
    ) -> Contents:
        taken = self.clock.now()
        reading = Reading(self.adoption, foreign, facts)
        shelf = self.shelf(snapshot.store)
        old = None if before is None else self.shelf(before.store)
        written = 0
        async for batch in _batches(reading):
            if reading.read > self.max_rows:
                raise self._too_many(reading.read)
            if batch:
                written += await self._write(batch, shelf, old, reading, taken)
        after = await foreign.facts()
        return Contents(
            taken,
            written,
            reading.refused,
            dict(reading.reasons),
            changed=not facts.rows == after.rows == reading.read,
        )

    async def _write(
        self,
        batch: Sequence[tuple[Mapped, Put]],
        shelf: VectorShelf,
        old: VectorShelf | None,
        reading: Reading,
        taken: int,
    ) -> int:
        """Writes a batch; says how many of it became memories."""
        known: Sequence[Row | None] = [None] * len(batch)
        if old is not None:
            known = await old.fetch([put.address for _, put in batch], vectors=True)
        texts = {
            put.content.text
            for (_, put), row in zip(batch, known, strict=True)
            if put.vector is None and put.content.text and _made_before(put, row) is None
        }
        made, refused = await self._embedded(texts)
        rows: list[tuple[str, RowWrite]] = []
        async for (mapped, put), row in paced(zip(batch, known, strict=True)):
            if put.vector is None and put.content.text in refused:
                reading.refuse(RowProblem(mapped.row, "text", refused[put.content.text]))
                continue
            vector = put.vector
            if vector is None:
                vector = _made_before(put, row)
            if vector is None:
                vector = made.get(put.content.text)
            record = self._record(put, vector, None if row is None else row.record, taken)
            rows.append((mapped.row, RowWrite(Row(record, vector), expected=0)))
        results = await shelf.write([write for _, write in rows], atomic=False) if rows else []
        for (name, _), result in zip(rows, results, strict=True):
            if result.error is not None:
                raise result.error
            if result.status is not WriteStatus.APPLIED:
                twice = "another row has the same key in this namespace"
                reading.refuse(RowProblem(name, "key", twice))
        return sum(result.status is WriteStatus.APPLIED for result in results)

    async def _embedded(
        self, texts: set[str]
    ) -> tuple[Mapping[str, Vector | None], Mapping[str, str]]:
        """The vectors of texts, and why others have none: the embedder does not take them."""
        try:
            return await self._patiently(texts), {}
        except MemplaneError as error:
            if error.code is not Code.INVALID_ARGUMENT:
                raise
        if len(texts) == 1:
            return {}, dict.fromkeys(texts, "the embedder does not take it")
        ordered = sorted(texts)
        half = len(ordered) // 2
        made, refused = await self._embedded(set(ordered[:half]))
        others, also_refused = await self._embedded(set(ordered[half:]))
        return {**made, **others}, {**refused, **also_refused}

    async def _patiently(self, texts: set[str]) -> Mapping[str, Vector | None]:
        """The vectors of texts, from an embedder that may be busy: what is read is not thrown away."""
        for wait in _EMBEDDER_WAITS:
            try:
                return await self.vectors.of(texts)
            except MemplaneError as error:
                if error.code not in _PASSES:
                    raise
                await asyncio.sleep(min(error.retry_after or wait, _LONGEST_WAIT))
        return await self.vectors.of(texts)

    def _record(self, put: Put, vector: Vector | None, before: Record | None, taken: int) -> Record:
        """The same for the same content, whenever and by whomever the collection is read."""
        content = put.content
        digest = self.codec.fingerprint(content)
        same = before is not None and before.content_hash == digest
        create_time = before.create_time if before is not None else taken
        update_time = before.update_time if before is not None and same else taken
        happened = content.episode.event_time if content.episode is not None else None
        if happened is not None:
            create_time = update_time = min(happened, taken)
        made = self.vectors.client_identity if put.vector is not None else self.vectors.identity
        return Record(
            address=put.address,
            content=content,
            revision=int.from_bytes(digest[:8]) >> (64 - _REVISION_BITS) or 1,
            create_time=create_time,
            update_time=update_time,
            expire_time=None,
            ttl=None,
            content_hash=digest,
            embedding=None if vector is None else made,
            provenance=Provenance("", "", self.adoption.source.adapter),
        )

    def _check(self, facts: ForeignFacts) -> None:
        if facts.rows > self.max_rows:
            raise self._too_many(facts.rows)
        wanted = self.collection.embedding.dimension
        keeps = self.adoption.mapping.vector is Vectors.KEEP
        if keeps and facts.dimension is not None and facts.dimension != wanted:
            raise self._refused(
                Reason.IDENTITY_MISMATCH,
                f"its vectors have {facts.dimension} dimensions, and the route's embedder makes "
                f"{wanted}",
                {"stored": str(facts.dimension), "configured": str(wanted)},
            )

    def _too_many(self, rows: int) -> MemplaneError:
        return self._refused(
            Reason.BACKEND_MISCONFIGURED,
            f"it has {rows} rows, and max_rows is {self.max_rows}: take it over with memplane adopt, "
            "or allow more",
            {"rows": str(rows), "max_rows": str(self.max_rows)},
        )

    def _refused(self, reason: Reason, why: str, metadata: Mapping[str, str]) -> MemplaneError:
        name = self.adoption.source.collection
        return MemplaneError(
            Code.FAILED_PRECONDITION,
            reason,
            f"{self.kind.value}: the collection {name} is not served: {why}",
            metadata={"route": self.kind.value, **metadata},
        )


def _new() -> Snapshot:
    """Makes a directory, at once: whoever is cancelled while a thread makes it leaves it there."""
    try:
        return Snapshot()
    except OSError as error:
        why = f"there is no place for a snapshot: {error.strerror}"
        raise StoreError(StoreReason.EXHAUSTED, why, metadata={"why": why}) from error


@contextlib.asynccontextmanager
async def _opened(adoption: Adoption) -> AsyncIterator[ForeignCollection]:
    """The collection, ready to be read. Raises StoreError."""
    collection = adoption.source.connect()
    try:
        await collection.open()
        yield collection
    finally:
        try:
            await collection.close()
        except StoreError as error:
            _log.debug("a collection could not be closed", extra={"error": str(error)})


async def _batches(reading: Reading) -> AsyncIterator[list[tuple[Mapped, Put]]]:
    batch: list[tuple[Mapped, Put]] = []
    async for each in reading.puts():
        batch.append(each)
        if len(batch) == BATCH:
            yield batch
            batch = []
    yield batch


def _made_before(put: Put, row: Row | None) -> Vector | None:
    """The vector of the same text, if the embedder has made it for the snapshot before."""
    if row is None or row.vector is None or row.record.content.client_vector:
        return None
    return row.vector if row.record.content.text == put.content.text else None


def read_only() -> StoreError:
    """What a write hears that came so far."""
    return StoreError(StoreReason.UNSUPPORTED, "a snapshot is read-only")
