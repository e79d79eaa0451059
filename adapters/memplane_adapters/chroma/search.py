"""Queries by vector: approximate by the index, or exact over all rows of the scope.

Chroma's distances are float32 and differ from cosines in the seventh digit, which would put equal
rows into another order than elsewhere. So they only choose candidates: the scores are made here, in
float64, from the vectors that come back.

Where the index gives fewer rows than it was asked for, the query is exact.

An exact query asks the index for as many rows as the scope holds, which makes it score every row,
and compares the answer with the ids of the scope; a row that the index has left out is scored here.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from memplane_adapters.chroma import rows
from memplane_adapters.chroma.collections import Place
from memplane_adapters.chroma.engine import Engine
from memplane_adapters.chroma.filters import Selection
from memplane_adapters.contract import (
    RELEVANCE_DIGITS,
    RankKey,
    Vector,
    cosine_relevance,
    rank_key,
)
from memplane_adapters.kit.ties import cut_ties

_AT_ONCE: Final = 500
"""Rows whose vectors are read in one answer."""
_FEW: Final = 100
"""Up to so many rows, an exact query reads all vectors and leaves the index alone."""
_MARGIN: Final = 2 * 10.0**-RELEVANCE_DIGITS
"""Float32 distances are off by much less."""


class Content(NamedTuple):
    """What else a query gave of a row."""

    metadata: dict[str, Any]
    uri: str
    embedding: Any


class Found(NamedTuple):
    """A row that a query found, with its score; its content only when it was asked for."""

    id: str
    score: float
    rank: RankKey
    content: Content | None = None


class VectorSearch:
    """One query over the rows of a selection."""

    def __init__(
        self,
        engine: Engine,
        place: Place,
        selection: Selection,
        vector: Vector,
        *,
        with_content: bool = False,
    ) -> None:
        """With content, rows come whole in the answer that ranks them: one request less."""
        self._engine = engine
        self._place = place
        self._where = selection.where()
        self._vector = vector.astype(np.float64)
        self._sent = vector
        self._with_content = with_content
        self.scanned = 0
        """Rows looked at."""

    async def approximate(self, limit: int) -> list[Found]:
        """The best rows that the index finds, best first."""
        return await cut_ties(
            limit,
            self._ask,
            relevance=lambda found: cosine_relevance(found.score),
            rank=lambda found: found.rank,
        )

    async def exact(self, limit: int) -> list[Found]:
        """The best rows of all, best first."""
        return await self._best_of(await self._all(), limit)

    async def _all(self) -> list[str]:
        return rows.ids(
            await self._engine.call(
                lambda client: client.read(self._place.id, [], where=self._where)
            )
        )

    async def _best_of(self, there: list[str], limit: int) -> list[Found]:
        self.scanned = len(there)
        candidates = there
        if len(there) > max(limit, _FEW):
            candidates = await self._candidates(there, limit)
        found = await self._scored(candidates)
        return sorted(found, key=lambda one: one.rank)[:limit]

    async def _candidates(self, there: Sequence[str], limit: int) -> list[str]:
        """The best `limit` rows and more, among them all that the index has left out."""
        rough = await self._distances(len(there))
        left_out = [one for one in there if one not in rough]
        if len(rough) <= limit:
            return [*rough, *left_out]
        scores = np.array([cosine_relevance(1.0 - distance) for distance in rough.values()])
        worst = np.partition(scores, -limit)[-limit] - _MARGIN
        best = [one for one, score in zip(rough, scores, strict=True) if score >= worst]
        return [*best, *left_out]

    async def _ask(self, number: int) -> Sequence[Found]:
        if number > _AT_ONCE:
            found = await self._scored(list(await self._distances(number)))
        else:
            more = ["metadatas", "uris"] if self._with_content else []
            reply = await self._nearest(number, ["documents", "embeddings", *more])
            found = list(self._judged(reply, *more))
        self.scanned = len(found)
        if len(found) < number:
            # Its graph may lead to few of the rows that match, where many others lie between.
            there = await self._all()
            if len(there) > len(found):
                return await self._best_of(there, number)
        return found

    async def _distances(self, number: int) -> dict[str, float]:
        reply = await self._nearest(number, ["distances"])
        return dict(rows.columns(reply, "distances"))

    async def _nearest(self, number: int, include: list[str]) -> Any:
        return rows.first_query(
            await self._engine.call(
                lambda client: client.nearest(
                    self._place.id, include, vector=self._sent, number=number, where=self._where
                )
            )
        )

    async def _scored(self, ids: Sequence[str]) -> list[Found]:
        """Those that are still there, in any order."""
        found: list[Found] = []
        for start in range(0, len(ids), _AT_ONCE):
            part = list(ids[start : start + _AT_ONCE])
            read = functools.partial(_read_scored, place=self._place, ids=part)
            found += self._judged(await self._engine.call(read))
        return found

    def _judged(self, reply: Any, *more: str) -> Iterable[Found]:
        answer = list(rows.columns(reply, "documents", "embeddings", *more))
        vectors = rows.decode_vectors([one[2] for one in answer], self._place.dimension)
        scores = np.clip((vectors * self._vector).sum(axis=1), -1.0, 1.0)
        for (one, document, embedding, *rest), score in zip(answer, scores.tolist(), strict=True):
            outline = rows.decode_outline(document)
            rank = rank_key(cosine_relevance(score), outline.time, (outline.namespace, outline.key))
            content = Content(rest[0], rest[1], embedding) if rest else None
            yield Found(one, score, rank, content)


async def _read_scored(client: Any, place: Place, ids: list[str]) -> Any:
    return await client.read(place.id, ["documents", "embeddings"], ids=ids)
