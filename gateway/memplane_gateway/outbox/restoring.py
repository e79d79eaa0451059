"""What a write that has waited does to what its store has by now."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from memplane_adapters.contract import (
    Address,
    Delete,
    EmbeddingIdentity,
    Vector,
    WriteResult,
    WriteStatus,
)
from memplane_gateway.errors import Code, MemplaneError, Reason, from_store
from memplane_gateway.memory.embedding import TextVectors
from memplane_gateway.memory.idempotency import TOKENS
from memplane_gateway.memory.leases import Turn
from memplane_gateway.memory.model import Outcome, Record, WriteToken, Written
from memplane_gateway.memory.shelf import Row, RowWrite, Shelf
from memplane_gateway.memory.writing import Writer, stands_in_nobodys_way
from memplane_gateway.outbox.entries import Death, Fate, Spooled


@dataclass(frozen=True, slots=True)
class Applied:
    """The store has it already, or has nothing for it to do."""


class Restorer:
    """Carries out writes that have waited."""

    def __init__(self, route: str, writer: Writer, shelf: Shelf, vectors: TextVectors) -> None:
        self._route = route
        self._writer = writer
        self._shelf = shelf
        self._vectors = vectors

    async def restore(self, entries: Sequence[Spooled]) -> list[Fate]:
        """Carry out writes of different memories that have waited."""
        fates: dict[int, Fate] = {}
        for part in (
            [entry for entry in entries if entry.row is not None],
            [entry for entry in entries if entry.row is None],
        ):
            if not part:
                continue
            ready = await self._embedded(part)
            round_ = functools.partial(self._round, fates)
            done = await self._writer.until_settled(ready, round_, vectors=False)
            for entry, written in zip(ready, done, strict=True):
                fates.setdefault(entry.id, written.error)
        return [fates[entry.id] for entry in entries]

    async def _round(
        self,
        deaths: dict[int, Fate],
        batch: Sequence[Spooled],
        rows: Sequence[Row | None],
        turn: Turn,
    ) -> list[Written | None]:
        settled: list[Written | None] = [None] * len(batch)
        writes: dict[int, RowWrite] = {}
        deletes: dict[int, Delete] = {}
        for index, (entry, row) in enumerate(zip(batch, rows, strict=True)):
            todo = restored(entry, row)
            if isinstance(todo, RowWrite):
                writes[index] = todo
            elif isinstance(todo, Delete):
                deletes[index] = todo
            elif isinstance(todo, Death):
                deaths[entry.id] = todo
                settled[index] = Written(entry.address, error=todo.error)
            else:
                settled[index] = Written(entry.address, Outcome.UNCHANGED)
        indexes = list(writes or deletes)
        if not indexes:
            return settled
        atomic = bool(batch[0].batch)
        if writes:
            send = functools.partial(self._shelf.write, list(writes.values()), atomic=atomic)
        else:
            send = functools.partial(self._shelf.delete, list(deletes.values()), atomic=atomic)
        addresses = [batch[index].address for index in indexes]
        results = await turn.finish(send, addresses, gone=bool(deletes))
        whole = not atomic or all(map(stands_in_nobodys_way, results))
        for index, result in zip(indexes, results, strict=True):
            settled[index] = self._restored(batch[index].address, result, whole=whole)
        return settled

    def _restored(self, address: Address, result: WriteResult, *, whole: bool) -> Written | None:
        """What became of a write; None where it lost to another, or to one of its atomic call."""
        if result.error is not None:
            return Written(address, error=from_store(result.error, self._route))
        if whole and result.status is WriteStatus.APPLIED:
            return Written(address, Outcome.UPDATED)
        return None

    async def _embedded(self, entries: Sequence[Spooled]) -> list[Spooled]:
        """The entries with vectors of today's embedder, should it be another than when they came."""
        identity = self._vectors.identity
        stale = {
            entry.id: entry.row.record.content.text
            for entry in entries
            if entry.row is not None
            and entry.row.record.embedding not in (None, identity, self._vectors.client_identity)
            and not entry.row.record.content.client_vector
        }
        if not stale:
            return list(entries)
        vectors = await self._vectors.of(set(stale.values()))
        return [
            _with_vector(entry, vectors.get(stale[entry.id]), identity)
            if entry.id in stale
            else entry
            for entry in entries
        ]


def restored(entry: Spooled, found: Row | None) -> RowWrite | Delete | Applied | Death:
    """What is to be done for a write, given the row that is there, expired or not."""
    if found is not None and found.record.revision == entry.revision:
        return Applied()
    if entry.row is None:
        return _deleted(entry, found)
    if found is None:
        record = _told(entry.row.record, Outcome.CREATED)
        return RowWrite(replace(entry.row, record=record), 0)
    first = _first_try(entry.row.record, found.record)
    if first is not None and first.revision != found.record.revision:
        return Applied()  # done by an earlier try, and others have written since
    if found.record.revision > entry.revision:
        return superseded(found.record.revision)
    return RowWrite(_over(entry.row, found.record), found.record.revision)


def superseded(revision: int) -> Death:
    """The death of a write that found a later one."""
    error = MemplaneError(
        Code.ABORTED,
        Reason.SUPERSEDED,
        "the store has a later write of this memory; retry it to apply it over that one",
        metadata={"revision": str(revision)},
    )
    return Death(error, revision)


def _deleted(entry: Spooled, found: Row | None) -> Delete | Applied | Death:
    if found is None:
        return Applied()
    bound = entry.created_until
    if bound is not None and found.record.create_time > bound:
        return Applied()
    if found.record.revision > entry.revision:
        return superseded(found.record.revision)
    return Delete(entry.address, found.record.revision)


def _over(row: Row, before: Record) -> Row:
    """A row as it follows what was there, which was not known when it was written."""
    record = row.record
    alive = before.alive(record.update_time)
    known = {_key(token) for token in record.tokens}
    tokens = (*(token for token in before.tokens if _key(token) not in known), *record.tokens)
    record = replace(
        record,
        create_time=before.create_time if alive else record.create_time,
        update_time=max(record.update_time, before.update_time),
        tokens=tokens[-TOKENS:],
    )
    return replace(row, record=_told(record, Outcome.UPDATED if alive else Outcome.CREATED))


def _told(record: Record, outcome: Outcome) -> Record:
    """The record with what its own write turned out to do."""
    tokens = tuple(
        replace(token, outcome=outcome) if token.revision == record.revision else token
        for token in record.tokens
    )
    return replace(record, tokens=tokens)


def _first_try(record: Record, before: Record) -> WriteToken | None:
    """The token of the very same call's item, where it was carried out before it was spooled."""
    own = {_key(token) for token in record.tokens if token.revision == record.revision}
    return next((token for token in before.tokens if _key(token) in own), None)


def _key(token: WriteToken) -> tuple[str, str, int, bytes]:
    return token.operation, token.request_id, token.item_index, token.body_hash


def _with_vector(
    entry: Spooled, vector: Vector | None, identity: EmbeddingIdentity | None
) -> Spooled:
    assert entry.row is not None, "a delete has none"
    embedding = identity if vector is not None else None
    record = replace(entry.row.record, embedding=embedding)
    return replace(entry, row=replace(entry.row, record=record, vector=vector))
