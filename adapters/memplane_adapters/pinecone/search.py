"""Queries by vector, approximate as Pinecone's index is.

Pinecone's scores are float32 and may differ from cosines in the seventh digit, which would put equal
rows into another order than elsewhere. So they only choose candidates: the scores are made here, in
float64, from the vectors that come back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from memplane_adapters.contract import (
    RankKey,
    Stored,
    StoreError,
    Vector,
    cosine_relevance,
    rank_key,
)
from memplane_adapters.kit.ties import MOST_ROWS, cut_ties
from memplane_adapters.pinecone import errors, rows
from memplane_adapters.pinecone.client import shortest
from memplane_adapters.pinecone.filters import Selection
from memplane_adapters.pinecone.reading import Reader

_GROWTH: Final = 4
"""So many times more is asked for when too few of those that came belong to the selection."""


class Found(NamedTuple):
    """A row that a query found."""

    stored: Stored
    metadata: Mapping[str, Any]
    score: float
    rank: RankKey


class VectorSearch:
    """One query over the rows of a selection."""

    def __init__(
        self, reader: Reader, selection: Selection, vector: Vector, *, vectors: bool
    ) -> None:
        self._reader = reader
        self._selection = selection
        self._where = selection.where()
        self._vector = vector.astype(np.float64)
        self._sent = shortest(vector)
        self._vectors = vectors
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

    async def _ask(self, number: int) -> Sequence[Found]:
        """So many at least; fewer only when there are no more.

        Of what the index gives some may not belong to the selection, or be gone already.
        """
        asked = number
        while True:
            given, matches = await self._candidates(asked)
            self.scanned = max(self.scanned, given)
            found = [self._found(match) for match in matches]
            found = [one for one in found if self._selection.matches(one.metadata)]
            if len(found) >= number or given < asked or asked >= MOST_ROWS:
                return found
            asked = min(asked * _GROWTH, MOST_ROWS)

    async def _candidates(self, number: int) -> tuple[int, Sequence[Any]]:
        """How many records the index gives as the nearest, and those of them that are there."""
        if self._reader.fits(number):
            try:
                matches = await self._nearest(number, whole=True)
            except StoreError as error:
                if not errors.may_be_too_much(error):
                    raise
            else:
                return len(matches), matches
        ids = [match.id for match in await self._nearest(number, whole=False)]
        return len(ids), list((await self._reader.fetch(ids)).values())

    async def _nearest(self, number: int, *, whole: bool) -> Sequence[Any]:
        reply = await self._reader.ask(
            lambda index: index.query(
                top_k=number,
                vector=self._sent,
                namespace=self._reader.namespace,
                filter=self._where,
                include_values=whole,
                include_metadata=whole,
            )
        )
        return [] if reply is None else reply.matches

    def _found(self, match: Any) -> Found:
        place = self._reader.place
        metadata = rows.metadata_of(match)
        vector = rows.decode_vector(match.values, place.dimension)
        score = float(np.clip((vector * self._vector).sum(), -1.0, 1.0))
        outline = rows.decode_outline(metadata)
        rank = rank_key(cosine_relevance(score), outline.time, (outline.namespace, outline.key))
        return Found(self._reader.decode(match, vectors=self._vectors), metadata, score, rank)
