"""Search by vector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from qdrant_client import models

from memplane_adapters.contract import (
    Hit,
    Query,
    QueryResult,
    RankKey,
    Vector,
    cosine_relevance,
    rank_key,
)
from memplane_adapters.kit.ties import cut_ties
from memplane_adapters.qdrant import filters, rows
from memplane_adapters.qdrant.engine import Engine


@dataclass(frozen=True, slots=True)
class _Found:
    hit: Hit
    relevance: float
    rank: RankKey


async def search(engine: Engine, collection: str, query: Query, vector: Vector) -> QueryResult:
    """The nearest rows."""
    approximate = not engine.local and not query.exact
    selected = filters.select(query.scope, query.filter)
    if selected is None:
        return QueryResult((), approximate=approximate, scanned=0)
    scanned = 0

    async def ask(number: int) -> list[_Found]:
        nonlocal scanned
        answer: models.QueryResponse = await engine.call(
            "query_points",
            collection_name=collection,
            query=vector.tolist(),
            using=rows.VECTOR,
            query_filter=selected,
            limit=number,
            with_payload=[rows.RECORD, rows.NAMESPACE, rows.KEY, "time"],
            with_vectors=[rows.VECTOR] if query.vectors or engine.local else False,
            # The engine in the process knows no parameters, and warns of them.
            search_params=None if engine.local else models.SearchParams(exact=query.exact),
        )
        scanned = max(scanned, len(answer.points))
        return [_found(engine, query, vector, point) for point in answer.points]

    best = await cut_ties(query.limit, ask, lambda one: one.relevance, lambda one: one.rank)
    hits, cut = _within([one.hit for one in best], query.max_bytes)
    return QueryResult(hits, approximate=approximate, scanned=scanned, cut=cut)


def _found(engine: Engine, query: Query, vector: Vector, point: models.ScoredPoint) -> _Found:
    payload: dict[str, Any] = point.payload or {}
    near = rows.vector_of(point.vector)
    score = float(point.score)
    if engine.local and near is not None:
        # Its products of float32 depend on where a row stands; equal vectors get equal scores.
        score = float(near.astype(np.float64) @ vector.astype(np.float64))
    score = min(1.0, max(-1.0, score))
    time = rows.read(lambda: int(payload["time"]))
    relevance = cosine_relevance(score)
    return _Found(
        Hit(rows.record_of(payload), near if query.vectors else None, score),
        relevance,
        rank_key(relevance, time, rows.place_of(payload)),
    )


def _within(hits: list[Hit], max_bytes: int) -> tuple[tuple[Hit, ...], bool]:
    """The hits up to the one that passes the limit, and whether some are left out."""
    size = 0
    for number, hit in enumerate(hits, 1):
        size += len(hit.record) + (0 if hit.vector is None else hit.vector.nbytes)
        if size >= max_bytes:
            return tuple(hits[:number]), number < len(hits)
    return tuple(hits), False
