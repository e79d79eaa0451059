"""Search by vector and by words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from memplane_adapters.contract import (
    Hit,
    Order,
    Query,
    QueryResult,
    RankKey,
    Vector,
    cosine_relevance,
    keyword_relevance,
    rank_key,
)
from memplane_adapters.kit.ties import cut_ties
from memplane_adapters.weaviate import rows
from memplane_adapters.weaviate.collections import Place
from memplane_adapters.weaviate.errors import AnswerTooLargeError
from memplane_adapters.weaviate.reads import Reader, Selection
from memplane_adapters.weaviate.stubs import base_pb2, base_search_pb2, search_get_pb2

_WHOLE_ROWS: Final = 128
"""So many rows at most come with their records; of more, records are read as they are needed."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A row that was found; its record and vector only when they came with it."""

    id: str
    score: float
    relevance: float
    rank: RankKey
    result: search_get_pb2.SearchResult | None


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked of the server, whatever the limit."""

    how: dict[str, Any]
    metadata: dict[str, Any]
    score: Callable[[search_get_pb2.SearchResult], float]
    relevance: Callable[[float], float]
    approximate: bool = False


async def search_vectors(
    reader: Reader, place: Place, query: Query, selection: Selection, vector: Vector
) -> QueryResult:
    """The nearest rows."""
    near = base_search_pb2.NearVector(
        targets=base_search_pb2.Targets(target_vectors=[rows.VECTOR]),
        vectors=[
            base_pb2.Vectors(
                name=rows.VECTOR,
                vector_bytes=vector.astype("<f4", copy=False).tobytes(),
                type=base_pb2.Vectors.VECTOR_TYPE_SINGLE_FP32,
            )
        ],
    )
    asked = _Asked(
        {"near_vector": near},
        {"distance": True},
        # The distance of an index of dot products is the product with its sign turned.
        lambda result: min(1.0, max(-1.0, -result.metadata.distance)),
        cosine_relevance,
        approximate=not place.exact,
    )
    return await _search(reader, query, selection, asked)


async def search_words(reader: Reader, query: Query, selection: Selection) -> QueryResult:
    """The rows that hold at least one of the terms, best BM25 first."""
    asked = _Asked(
        {
            "bm25_search": base_search_pb2.BM25(
                query=" ".join(dict.fromkeys(query.terms)), properties=[rows.TERMS]
            )
        },
        {"score": True},
        lambda result: max(0.0, result.metadata.score),
        keyword_relevance,
    )
    return await _search(reader, query, selection, asked)


async def _search(reader: Reader, query: Query, selection: Selection, asked: _Asked) -> QueryResult:
    scanned = 0

    async def ask(number: int) -> list[_Found]:
        nonlocal scanned
        results, whole = await _results(reader, query, selection, asked, number)
        scanned = max(scanned, len(results))
        return [_found(asked, result, whole=whole) for result in results]

    best = await cut_ties(query.limit, ask, lambda one: one.relevance, lambda one: one.rank)
    hits: list[Hit] = []
    size = 0
    for part in reader.parts(best):
        left = [one.id for one in part if one.result is None]
        read = await reader.rows(selection, left, vectors=query.vectors) if left else {}
        for one in part:
            result = one.result or read.get(one.id)
            if result is None:  # it is gone, or has left the selection
                continue
            if size >= query.max_bytes:
                return QueryResult(
                    tuple(hits), approximate=asked.approximate, scanned=scanned, cut=True
                )
            vector = rows.vector_in(result) if query.vectors else None
            hits.append(Hit(rows.record_in(result), vector, one.score))
            size += hits[-1].size
    return QueryResult(tuple(hits), approximate=asked.approximate, scanned=scanned)


async def _results(
    reader: Reader, query: Query, selection: Selection, asked: _Asked, number: int
) -> tuple[Sequence[search_get_pb2.SearchResult], bool]:
    """So many results, and whether their records are with them."""
    outline = [rows.PLACE, rows.TIMES]
    if number <= _WHOLE_ROWS:
        try:
            results = await reader.search(
                selection,
                number,
                [*outline, rows.RECORD],
                asked.metadata | ({"vectors": [rows.VECTOR]} if query.vectors else {}),
                **asked.how,
            )
        except AnswerTooLargeError:
            pass
        else:
            return results, True
    return await reader.search(selection, number, outline, asked.metadata, **asked.how), False


def _found(asked: _Asked, result: search_get_pb2.SearchResult, *, whole: bool) -> _Found:
    spot = rows.spot_in(result, Order.TIME)
    score = asked.score(result)
    relevance = asked.relevance(score)
    return _Found(
        spot.id,
        score,
        relevance,
        rank_key(relevance, spot.value, (spot.namespace, spot.key)),
        result if whole else None,
    )
