"""Search by vector and by words."""

from __future__ import annotations

from collections.abc import Callable
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
    keyword_relevance,
    rank_key,
)
from memplane_adapters.kit.ties import cut_ties
from memplane_adapters.qdrant import filters, rows, words
from memplane_adapters.qdrant.engine import Engine


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked of the server, whatever the limit."""

    query: list[float] | models.SparseVector
    using: str
    params: models.SearchParams | None
    vectors: bool
    score: Callable[[models.ScoredPoint], float]
    relevance: Callable[[float], float]
    approximate: bool = False


@dataclass(frozen=True, slots=True)
class _Found:
    hit: Hit
    relevance: float
    rank: RankKey


async def search_vectors(
    engine: Engine, collection: str, query: Query, vector: Vector
) -> QueryResult:
    """The nearest rows."""

    def score(point: models.ScoredPoint) -> float:
        near = rows.vector_of(point.vector)
        cosine = float(point.score)
        if engine.local and near is not None:
            # Its products of float32 depend on where a row stands; equal vectors get equal scores.
            cosine = float(near.astype(np.float64) @ vector.astype(np.float64))
        return min(1.0, max(-1.0, cosine))

    asked = _Asked(
        vector.tolist(),
        rows.VECTOR,
        # The engine in the process knows no such parameter, and warns of it.
        None if engine.local else models.SearchParams(exact=query.exact),
        query.vectors or engine.local,
        score,
        cosine_relevance,
        approximate=not engine.local and not query.exact,
    )
    return await _search(engine, collection, query, asked)


async def search_words(engine: Engine, collection: str, query: Query) -> QueryResult:
    """The rows that hold at least one of the terms, best BM25 first.

    Never approximate: for each index of a sparse vector a server lists all rows that have it.
    """
    if not query.terms:
        return QueryResult((), approximate=False, scanned=0)
    tenant = query.scope.tenant
    params = None
    if engine.counts_by_tenant:
        corpus = models.IdfCorpusParams(corpus=filters.of_tenant(tenant))
        params = models.SearchParams(idf=corpus)
    asked = _Asked(
        words.of_question(tenant, query.terms),
        rows.WORDS,
        params,
        query.vectors,
        lambda point: max(0.0, float(point.score)),
        keyword_relevance,
    )
    return await _search(engine, collection, query, asked)


async def _search(engine: Engine, collection: str, query: Query, asked: _Asked) -> QueryResult:
    selected = filters.select(query.scope, query.filter)
    if selected is None:
        return QueryResult((), approximate=asked.approximate, scanned=0)
    scanned = 0

    async def ask(number: int) -> list[_Found]:
        nonlocal scanned
        answer: models.QueryResponse = await engine.call(
            "query_points",
            collection_name=collection,
            query=asked.query,
            using=asked.using,
            query_filter=selected,
            limit=number,
            with_payload=[rows.RECORD, rows.NAMESPACE, rows.KEY, "time"],
            with_vectors=[rows.VECTOR] if asked.vectors else False,
            search_params=asked.params,
        )
        scanned = max(scanned, len(answer.points))
        return [_found(query, asked, point) for point in answer.points]

    best = await cut_ties(query.limit, ask, lambda one: one.relevance, lambda one: one.rank)
    hits, cut = _within([one.hit for one in best], query.max_bytes)
    return QueryResult(hits, approximate=asked.approximate, scanned=scanned, cut=cut)


def _found(query: Query, asked: _Asked, point: models.ScoredPoint) -> _Found:
    payload: dict[str, Any] = point.payload or {}
    score = asked.score(point)
    time = rows.read(lambda: int(payload["time"]))
    relevance = asked.relevance(score)
    return _Found(
        Hit(
            rows.record_of(payload),
            rows.vector_of(point.vector) if query.vectors else None,
            score,
        ),
        relevance,
        rank_key(relevance, time, rows.place_of(payload)),
    )


def _within(hits: list[Hit], max_bytes: int) -> tuple[tuple[Hit, ...], bool]:
    """The hits up to the one that passes the limit, and whether some are left out."""
    size = 0
    for number, hit in enumerate(hits, 1):
        size += hit.size
        if size >= max_bytes:
            return tuple(hits[:number]), number < len(hits)
    return tuple(hits), False
