"""What a write that has waited does to what its store has by now."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from memplane_adapters.contract import (
    Address,
    Delete,
    EmbeddingIdentity,
    Vector,
    WriteResult,
    WriteStatus,
)
from memplane_gateway.clock import Clock
from memplane_gateway.errors import Code, MemplaneError, Reason, from_store
from memplane_gateway.memory.calls.idempotency import TOKENS, reused
from memplane_gateway.memory.embedding import TextVectors
from memplane_gateway.memory.further import RowDelete
from memplane_gateway.memory.model import Outcome, Record, WriteToken, Written
from memplane_gateway.memory.shelf import Row, RowWrite, Shelf
from memplane_gateway.memory.write.leases import Turn
from memplane_gateway.memory.write.writing import Writer, stands_in_nobodys_way
from memplane_gateway.outbox.entries import Death, Fate, Spooled


@dataclass(frozen=True, slots=True)
class Applied:
    """The store has it already, or has nothing for it to do."""


class Restorer:
    """Carries out writes that have waited."""

    def __init__(
        self, route: str, writer: Writer, shelf: Shelf, vectors: TextVectors, clock: Clock
    ) -> None:
        self._route = route
        self._writer = writer
        self._shelf = shelf
        self._vectors = vectors
        self._clock = clock

    async def restore(self, entries: Sequence[Spooled]) -> list[Fate]:
        """Carry out writes of different memories that have waited; those of an atomic call as one."""
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
        fates: dict[int, Fate],
        batch: Sequence[Spooled],
        rows: Sequence[Row | None],
        turn: Turn,
    ) -> list[Written | None]:
        settled: list[Written | None] = [None] * len(batch)
        todo: dict[int, RowWrite | Delete] = {}
        with self._clock.writing() as now:
            for index, (entry, row) in enumerate(zip(batch, rows, strict=True)):
                found = restored(entry, row, now)
                if isinstance(found, Applied):
                    settled[index] = Written(entry.address, Outcome.UNCHANGED)
                elif isinstance(found, Death):
                    fates[entry.id] = found
                    settled[index] = Written(entry.address, error=found.error)
                else:
                    todo[index] = found
            atomic = bool(batch[0].batch)
            if atomic and any(each is not None and each.error for each in settled):
                return self._none(batch, fates, settled)
            if not todo:
                return settled
            addresses = [batch[index].address for index in todo]
            send = functools.partial(self._send, list(todo.values()), atomic=atomic)
            results = await turn.finish(send, addresses, gone=batch[0].row is None)
        for index, result in zip(todo, results, strict=True):
            settled[index] = self._settled(batch[index].address, result)
        if atomic and not all(map(stands_in_nobodys_way, results)):
            failed = any(result.error for result in results)
            return self._none(batch, fates, settled) if failed else [None] * len(batch)
        return settled

    async def _send(self, todo: Sequence[RowWrite | Delete], *, atomic: bool) -> list[WriteResult]:
        writes = [each for each in todo if isinstance(each, RowWrite)]
        if writes:
            return await self._shelf.write(writes, atomic=atomic)
        deletes = [each for each in todo if isinstance(each, Delete)]
        return await self._shelf.delete(deletes, atomic=atomic)

    def _none(
        self, batch: Sequence[Spooled], fates: dict[int, Fate], settled: Sequence[Written | None]
    ) -> list[Written | None]:
        """What becomes of an atomic call of which one write cannot be: all share its fate."""
        first = next(i for i, each in enumerate(settled) if each is not None and each.error)
        told = settled[first]
        assert told is not None and told.error is not None, "just found"  # noqa: PT018
        fate = fates.get(batch[first].id, told.error)
        for entry in batch:
            fates.setdefault(entry.id, Death(told.error) if isinstance(fate, Death) else fate)
        return [Written(entry.address, error=told.error) for entry in batch]

    def _settled(self, address: Address, result: WriteResult) -> Written | None:
        """What became of a write; None where it lost to another."""
        if result.error is not None:
            return Written(address, error=from_store(result.error, self._route))
        if result.status is WriteStatus.APPLIED:
            return Written(address, Outcome.UPDATED)
        return None

    async def _embedded(self, entries: Sequence[Spooled]) -> list[Spooled]:
        """The entries with vectors of today's embedder, should it be another than when they came."""
        identity = self._vectors.identity
        stale = {entry.id: texts for entry in entries if (texts := _stale(entry, identity))}
        if not stale:
            return list(entries)
        vectors = await self._vectors.of({text for texts in stale.values() for text in texts})
        return [
            _with_vectors(entry, vectors, identity) if entry.id in stale else entry
            for entry in entries
        ]


def _stale(entry: Spooled, identity: EmbeddingIdentity | None) -> list[str]:
    """The texts whose vectors another embedder has made, or may have."""
    if entry.row is None or entry.row.record.embedding in (None, identity):
        return []
    content = entry.row.record.content
    own = [] if content.client_vector else [content.text]
    return [text for text in (*own, *content.texts[1:]) if text]


def restored(entry: Spooled, found: Row | None, now: int) -> RowWrite | Delete | Applied | Death:
    """What is to be done for a write, given the row that is there, expired or not.

    Its update_time becomes `now`, so that no walk by update_time has passed it already.
    """
    there = 0 if found is None else found.record.revision
    if there == entry.revision or (entry.row is None and found is None):
        return Applied()
    if entry.base not in (0, there):
        return superseded(there)
    if entry.row is None and found is not None:
        return superseded(there) if there > entry.revision else RowDelete.of(found.record)
    assert entry.row is not None, "a delete of nothing is applied"
    if found is None:
        record = replace(entry.row.record, update_time=now)
        return RowWrite(replace(entry.row, record=_told(record, Outcome.CREATED)), 0)
    first = _first_try(entry.row.record, found.record)
    if isinstance(first, Death):
        return first
    if first is not None and first.revision != there:
        return Applied()  # done by an earlier try, and others have written since
    if there > entry.revision:
        return superseded(there)
    return RowWrite(_over(entry.row, found.record, now), there, found.record)


def superseded(revision: int) -> Death:
    """The death of a write that found a later one, or not the one that it was decided on."""
    error = MemplaneError(
        Code.ABORTED,
        Reason.SUPERSEDED,
        "the store has a later write of this memory; retry it to apply it over that one",
        metadata={"revision": str(revision)},
    )
    return Death(error, revision)


def _over(row: Row, before: Record, now: int) -> Row:
    """A row as it follows what was there, which was not known when it was written."""
    record = row.record
    alive = before.alive(record.update_time)
    known = {_call(token) for token in record.tokens}
    others = (token for token in before.tokens if _call(token) not in known)
    tokens = sorted((*others, *record.tokens), key=lambda token: token.revision)
    record = replace(
        record,
        create_time=before.create_time if alive else record.create_time,
        update_time=max(now, before.update_time),
        tokens=tuple(tokens[-TOKENS:]),
    )
    return replace(row, record=_told(record, Outcome.UPDATED if alive else Outcome.CREATED))


def _told(record: Record, outcome: Outcome) -> Record:
    """The record with what its own write turned out to do."""
    tokens = tuple(
        replace(token, outcome=outcome) if token.revision == record.revision else token
        for token in record.tokens
    )
    return replace(record, tokens=tokens)


def _first_try(record: Record, before: Record) -> WriteToken | Death | None:
    """The token of the very same call's item, where it was carried out before it was spooled.

    Death when another call has had the request id.
    """
    own = next((token for token in record.tokens if token.revision == record.revision), None)
    if own is None:
        return None
    for token in before.tokens:
        if _call(token) == _call(own):
            same = (token.body_hash, token.item_index) == (own.body_hash, own.item_index)
            return token if same else Death(reused(own.request_id), before.revision)
    return None


def _call(token: WriteToken) -> tuple[str, str]:
    return token.operation, token.request_id


def _with_vectors(
    entry: Spooled, vectors: Mapping[str, Vector | None], identity: EmbeddingIdentity | None
) -> Spooled:
    row = entry.row
    assert row is not None, "a delete has none"
    content = row.record.content
    own = row.vector if content.client_vector else vectors.get(content.text)
    further = tuple(
        vectors.get(each.text) if each.text else vector
        for each, vector in zip(content.indexed_texts, row.further, strict=True)
    )
    places = tuple(number for number, each in enumerate(further) if each is not None)
    embedding = None
    if own is not None or places:
        embedding = row.record.embedding if content.client_vector else identity
    record = replace(row.record, embedding=embedding, embedded_texts=places)
    return replace(entry, row=replace(row, record=record, vector=own, further=further))
