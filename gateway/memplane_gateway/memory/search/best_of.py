"""What a store finds for a query: by vector, each memory once, with the best of its texts.

Where a route has further texts they are asked beside the memories, and of those that they belong to the
heads are read. A text counts only if the head has its revision. Where it has another, somebody writes
the memory at this very time: its vectors are then compared here, so that it neither shows what it was
nor is missed. Of texts so many are asked that the best memories are known: none that was not seen can be
nearer than the last text of the list.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from memplane_adapters.contract import (
    RELEVANCE_DIGITS,
    Address,
    Query,
    QueryResult,
    RankKey,
    Vector,
    compile_filter,
    cosine_relevance,
    rank_key,
)
from memplane_gateway.memory.further import TextHit
from memplane_gateway.memory.shelf import Row, alive_row, fields_of, open_row
from memplane_gateway.memory.vector_shelf import VectorShelf
from memplane_gateway.pacing import paced

OVERFETCH = 4
_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Match:
    """A memory that a query found."""

    row: Row
    score: float
    path: str = ""
    """Of the further text that the score is of; empty: of the memory's own."""


@dataclass(frozen=True, slots=True)
class Matches:
    """What was found, best first."""

    matches: tuple[Match, ...]
    approximate: bool
    scanned: int
    last: float | None
    """What nothing that was not seen scores above; None: nothing was found."""
    dry: bool
    """Whether nothing else matches."""
    cut: bool
    """Whether there was no room, or no budget, for as many as were asked for."""


async def ask(shelf: VectorShelf, query: Query, budget: int, opened: dict[bytes, Row]) -> Matches:
    """The best memories for a query.

    `opened` are rows by their records, so that none is decoded again. At most `budget` texts are looked at.
    """
    if query.vector is not None and await shelf.further.in_use():
        return await _BestOf(shelf, query, query.vector, opened).found(budget)
    result = await shelf.query(query)
    return Matches(
        tuple(await _opened(shelf, query, result, opened)),
        result.approximate,
        result.scanned,
        last=result.hits[-1].score if result.hits else None,
        dry=len(result.hits) < query.limit and not result.cut,
        cut=result.cut,
    )


async def _opened(
    shelf: VectorShelf, query: Query, result: QueryResult, opened: dict[bytes, Row]
) -> list[Match]:
    """The hits that belong to the scope and are alive."""
    found: list[Match] = []
    async for hit in paced(result.hits):
        row = opened.get(hit.record)
        if row is None:
            row = open_row(shelf.codec, hit, query.scope, vectors=query.vectors)
        if row is not None:
            opened[hit.record] = row
            found.append(Match(row, hit.score))
    return found


@dataclass(slots=True)
class _Memory:
    """What is known of a memory so far."""

    address: Address
    row: Row | None = None
    """As the query gave it, or as it was read."""
    own: float | None = None
    texts: list[TextHit] = field(default_factory=list)
    compared: Match | None = None
    """In place of all of these: what was compared here."""
    settled: bool = False

    @property
    def best(self) -> float:
        """The highest score, as far as is known."""
        if self.compared is not None:
            return self.compared.score
        scores = [hit.score for hit in self.texts]
        return max(scores if self.own is None else [*scores, self.own])

    @property
    def place(self) -> RankKey:
        """Where it ranks, as far as is known."""
        time = 0 if self.row is None else self.row.record.time
        return rank_key(cosine_relevance(clamped(self.best)), time, self.address.place)

    def as_match(self) -> Match:
        """The settled one: its own text wins over equal further ones, and the first of these."""
        if self.compared is not None:
            return self.compared
        assert self.row is not None, "settled"
        scores = {hit.text.number: hit.score for hit in self.texts}
        return _best(self.row, self.own, scores)


class _BestOf:
    """One search of memories and texts together."""

    def __init__(
        self, shelf: VectorShelf, query: Query, vector: Vector, opened: dict[bytes, Row]
    ) -> None:
        self._shelf = shelf
        self._query = query
        self._vector = vector
        self._opened = opened
        self._memories: dict[Address, _Memory] = {}
        self._dropped: set[Address] = set()
        self._seen: set[Address] = set()
        self._full = False

    async def found(self, budget: int) -> Matches:
        """The best memories, of at most so many texts."""
        query = self._query
        # One more than memories are wanted: so the last one shows that the others are above it.
        limit = min(query.limit + 1, max(budget, query.limit))
        heads, texts = await asyncio.gather(self._shelf.query(query), self._ask_texts(limit))
        for match in await _opened(self._shelf, query, heads, self._opened):
            address = match.row.record.address
            self._memories[address] = _Memory(address, match.row, match.score, settled=True)
        while True:
            hits, answer = texts
            self._take(hits)
            dry = len(answer.hits) < limit and not answer.cut
            floor = None if dry or not answer.hits else _rounded(answer.hits[-1].score)
            best = await self._settle()
            enough = floor is None or (
                len(best) >= query.limit and _rounded(best[query.limit - 1].score) > floor
            )
            if enough or self._full or limit >= budget:
                break
            limit = min(limit * OVERFETCH, budget)
            texts = await self._ask_texts(limit)
        cut = heads.cut or self._full or not enough
        if not enough and floor is not None:
            best = [match for match in best if _rounded(match.score) > floor]
        if heads.cut and heads.hits:
            end = _rounded(heads.hits[-1].score)
            best = [match for match in best if _rounded(match.score) >= end]
        best = best[: query.limit]
        full = len(heads.hits) >= query.limit or len(best) >= query.limit
        return Matches(
            tuple(best),
            heads.approximate or answer.approximate,
            heads.scanned + answer.scanned,
            last=best[-1].score if best else None,
            dry=not full and not cut,
            cut=cut,
        )

    async def _ask_texts(self, limit: int) -> tuple[list[TextHit], QueryResult]:
        return await self._shelf.further.query(replace(self._query, limit=limit))

    def _take(self, hits: Sequence[TextHit]) -> None:
        """Count texts in that were not seen yet."""
        for hit in hits:
            if hit.text.address in self._seen:
                continue
            self._seen.add(hit.text.address)
            address = hit.text.memory
            if address in self._dropped:
                continue
            memory = self._memories.setdefault(address, _Memory(address))
            if memory.compared is None:
                memory.texts.append(hit)
                memory.settled = False

    async def _settle(self) -> list[Match]:
        """Read what the best so far need to be known for sure; gives these, best first.

        Ties at the limit are all read, so that they are cut in order.
        """
        while True:
            ranked = sorted(self._memories.values(), key=lambda memory: memory.place)
            if len(ranked) > self._query.limit:
                edge = _rounded(ranked[self._query.limit - 1].best)
                ranked = [memory for memory in ranked if _rounded(memory.best) >= edge]
            unsure = [memory for memory in ranked if not memory.settled]
            if not unsure:
                break
            if self._size_of(ranked) >= self._query.max_bytes:
                self._full = True
                break
            await self._read(unsure[:_AT_ONCE])
        known: list[Match] = []
        for memory in ranked:
            if not memory.settled:
                break  # there was no room to read on
            known.append(memory.as_match())
        return known

    def _size_of(self, ranked: Sequence[_Memory]) -> int:
        """Bytes of what was read beside the query, which counts its own."""
        rows = [memory.row for memory in ranked if memory.own is None]
        return sum(row.size for row in rows if row is not None)

    async def _read(self, unsure: Sequence[_Memory]) -> None:
        """Settle memories: by what the query gave, else by what is there now."""
        moved: list[_Memory] = []
        unread = [memory for memory in unsure if memory.row is None]
        rows = await self._fetch(unread, vectors=self._query.vectors)
        for memory, row in zip(unread, rows, strict=True):
            memory.row = row
            if row is None:
                self._drop(memory)
        for memory in unsure:
            if memory.row is None:
                continue
            revision = memory.row.record.revision
            if all(hit.text.revision == revision for hit in memory.texts):
                memory.settled = True
            else:
                moved.append(memory)
        rows = await self._fetch(moved, vectors=True)
        for memory, row in zip(moved, rows, strict=True):
            match = None if row is None else self._compared(row)
            if match is None:
                self._drop(memory)
            else:
                memory.row, memory.compared, memory.settled = match.row, match, True

    async def _fetch(self, memories: Sequence[_Memory], *, vectors: bool) -> list[Row | None]:
        """What is there now, alive and as the filter wants it."""
        if not memories:
            return []
        addresses = [memory.address for memory in memories]
        rows = await self._shelf.fetch(addresses, vectors=vectors)
        return [alive_row(row, self._query.scope.alive_at) for row in rows]

    def _drop(self, memory: _Memory) -> None:
        self._dropped.add(memory.address)
        del self._memories[memory.address]

    def _compared(self, row: Row) -> Match | None:
        """A memory that is written at this time, by its vectors; None where it is no hit any more."""
        tree = self._query.filter
        if tree is not None and not compile_filter(tree)(fields_of(row.record)):
            return None
        own = None if row.vector is None else _cosine(row.vector, self._vector)
        scores = {
            number: _cosine(vector, self._vector)
            for number, vector in enumerate(row.further)
            if vector is not None
        }
        return None if own is None and not scores else _best(row, own, scores)


def _best(row: Row, own: float | None, scores: dict[int, float]) -> Match:
    """The best of a memory: its own before an equal further text, and the first of these."""
    found = Match(row, -2.0 if own is None else own)
    for number, score in sorted(scores.items()):
        if _rounded(score) > _rounded(found.score) or found.score < -1.5:
            found = Match(row, score, row.record.content.indexed_texts[number].path)
    return found


def clamped(score: float) -> float:
    """A cosine, whatever a store's last bits are."""
    return max(-1.0, min(1.0, score))


def _cosine(one: Vector, other: Vector) -> float:
    return float(np.dot(one.astype(np.float64), other.astype(np.float64)))


def _rounded(score: float) -> float:
    """As in ranking, so that no store's last bit decides."""
    return round(cosine_relevance(clamped(score)), RELEVANCE_DIGITS)
