"""Search by vector and by words.

The server finds candidates and their records in one statement. It adds float32 products up in
float32; so candidates are scored again here in float64, from the vectors that are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias
from uuid import UUID

import numpy as np

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
from memplane_adapters.postgres.engine import Session
from memplane_adapters.postgres.packing import pack, unpack
from memplane_adapters.postgres.rows import decode_place
from memplane_adapters.postgres.vectors import words
from memplane_adapters.postgres.vectors.filters import condition
from memplane_adapters.postgres.vectors.points import Points
from memplane_adapters.postgres.walks import Arguments, bounds, rows_inside

_FLOAT32: Final = 6e-8
"""By so much, times the dimension, is the sum of a product of unit vectors off at most."""
_FLOAT64: Final = 1e-12
"""So much may the same sum differ, added up in another order."""


async def by_vector(
    session: Session, points: Points, query: Query, vector: Vector, *, near: bool
) -> QueryResult:
    """The nearest rows; `near` asks the index, which may miss some."""
    wide = vector.astype(np.float64)

    def score(row: _Row) -> float:
        assert row.vector is not None, "only rows with one are nearest"
        return min(1.0, max(-1.0, float(unpack(row.vector).astype(np.float64) @ wide)))

    search = _Search(session, points, query, score, cosine_relevance)
    error = vector.size * _FLOAT32
    if near:
        hits, cut = await search.run(_nearest(points, query, vector, _BY_INDEX), error)
        # The index gives up after so many rows that a scope or a filter leaves out.
        if len(hits) == query.limit or cut:
            return QueryResult(hits, approximate=True, scanned=search.scanned, cut=cut)
    hits, cut = await search.run(_nearest(points, query, vector, _BY_SCAN), error)
    return QueryResult(hits, approximate=False, scanned=search.scanned, cut=cut)


async def by_words(session: Session, points: Points, query: Query) -> QueryResult:
    """The rows that hold at least one of the terms, best BM25 first."""
    search = _Search(session, points, query, lambda row: row.score, keyword_relevance)
    hits, cut = await search.run(_matching(points, query), _FLOAT64)
    return QueryResult(hits, approximate=False, scanned=search.scanned, cut=cut)


class _Row(NamedTuple):
    """A candidate as the server gives it."""

    id: UUID
    time: int
    place: bytes
    score: float
    size: int
    record: bytes | None
    """None when all together are too long to be sent before it is known which are wanted."""
    vector: bytes | None


class _Found(NamedTuple):
    row: _Row
    score: float
    relevance: float
    rank: RankKey


_Statement: TypeAlias = Callable[[int], tuple[str, Arguments]]
"""The statement that gives the best so many rows."""


class _Search:
    """One question, asked with growing limits until ties are decided."""

    def __init__(
        self,
        session: Session,
        points: Points,
        query: Query,
        score: Callable[[_Row], float],
        relevance: Callable[[float], float],
    ) -> None:
        self._session = session
        self._points = points
        self._query = query
        self._score = score
        self._relevance = relevance
        self.scanned = 0

    async def run(self, statement: _Statement, error: float) -> tuple[tuple[Hit, ...], bool]:
        """The hits, and whether `max_bytes` ended them."""
        best = await self._best(statement, error)
        if all(one.row.record is not None for one in best):
            return self._hits(best, {})
        await self._session.begin_snapshot()
        best = await self._best(statement, error)
        wanted = [one.row.id for one in self._within(best) if one.row.record is None]
        records = await self._points.rows.load(self._session, wanted)
        await self._session.commit()
        return self._hits(best, {one: row.record for one, row in records.items()})

    async def _best(self, statement: _Statement, error: float) -> list[_Found]:
        async def ask(number: int) -> list[_Found]:
            sql, arguments = statement(number)
            rows = await self._points.scans.ask(self._session, sql, arguments)
            self.scanned = max(self.scanned, len(rows))
            return [self._found(_Row(*row)) for row in rows]

        return await cut_ties(
            self._query.limit, ask, lambda one: one.relevance, lambda one: one.rank, error=error
        )

    def _found(self, row: _Row) -> _Found:
        score = self._score(row)
        relevance = self._relevance(score)
        return _Found(row, score, relevance, rank_key(relevance, row.time, decode_place(row.place)))

    def _within(self, best: Sequence[_Found]) -> Sequence[_Found]:
        """Up to the one that passes `max_bytes`."""
        size = 0
        for number, one in enumerate(best, 1):
            size += one.row.size
            if self._query.vectors and one.row.vector is not None:
                size += len(one.row.vector)
            if size >= self._query.max_bytes:
                return best[:number]
        return best

    def _hits(
        self, best: Sequence[_Found], records: Mapping[UUID, bytes]
    ) -> tuple[tuple[Hit, ...], bool]:
        within = self._within(best)
        hits: list[Hit] = []
        for row, score, _, _ in within:
            record = records[row.id] if row.record is None else row.record
            vector = row.vector if self._query.vectors else None
            hits.append(Hit(record, None if vector is None else unpack(vector), score))
        return tuple(hits), len(within) < len(best)


def _nearest(points: Points, query: Query, vector: Vector, nearest: str) -> _Statement:
    def statement(number: int) -> tuple[str, Arguments]:
        arguments = Arguments()
        where = _inside(points, query, arguments)
        extension = points.place.extension
        target = f"{arguments.name(pack(vector))}::{extension}.vector"
        distance = f"(vector operator({extension}.<#>) {target})"
        sql = _NEAREST.replace("{table}", points.table.name).replace("{inside}", where)
        sql = sql.replace("{nearest}", nearest.replace("{distance}", distance))
        return _filled(sql, arguments, number, "vector"), arguments

    return statement


def _matching(points: Points, query: Query) -> _Statement:
    tenant = query.scope.tenant
    numbers = list(dict.fromkeys(words.numbered(tenant, query.terms)))

    def statement(number: int) -> tuple[str, Arguments]:
        arguments = Arguments()
        sql = _MATCHING.replace("{owner}", arguments.name(words.owner(tenant)))
        sql = sql.replace("{asked}", arguments.name(numbers))
        where = _inside(points, query, arguments)
        sql = sql.replace("{table}", points.table.name).replace("{inside}", where)
        sql = sql.replace("{words}", points.table.words)
        return _filled(sql, arguments, number, "vector" if query.vectors else "null"), arguments

    return statement


def _inside(points: Points, query: Query, arguments: Arguments) -> str:
    where = rows_inside(arguments, points.table, query.scope, *bounds(query.scope))
    return f"{where} and {condition(query.filter)(arguments)}"


def _filled(found: str, arguments: Arguments, number: int, vector: str) -> str:
    found = found.replace("{limit}", arguments.name(number))
    return _CANDIDATES.replace("{found}", found).replace("{vector}", vector)


# The sum is over all of them: either all records are sent, or none, when they are over 4 MiB.
_CANDIDATES: Final = """
    select id, time, place, score, octet_length(record),
           case when sum(octet_length(record)) over () <= 4194304 then record end,
           {vector}
    from ({found}) as found
"""
_NEAREST: Final = """
    select id, time, place, 0::float8 as score, record, vector from {table}
    where {inside} and vector is not null
    order by {nearest} limit {limit}
"""
_BY_INDEX: Final = "{distance}"
_BY_SCAN: Final = "{distance} + 0"
"""No index is in this order, whatever it costs not to use one."""

# The weight of a term is Lucene's, which is positive for every term: with n of N rows holding it.
# Rows and mean length are those of the tenant, expired ones too. k1 is 1.2 and b 0.75, as in SQLite's
# FTS5, the embedded store's.
_MATCHING: Final = """
    with size as (
        select count(*)::float8 as rows, avg(length)::float8 as mean
        from {words} where owner = {owner} and length > 0
    ),
    asked as (select unnest({asked}::bigint[]) as term),
    holding as materialized (
        select row.id, row.length, asked.term,
               row.times[array_position(row.words, asked.term)]::float8 as times
        from asked join {words} as row on row.words @> array[asked.term]
    ),
    weight as (
        select term, ln(1 + (max(size.rows) - count(*) + 0.5) / (count(*) + 0.5)) as weight
        from holding, size group by term
    ),
    score as (
        select holding.id, sum(
            weight.weight * times * 2.2 / (times + 1.2 * (0.25 + 0.75 * length / size.mean))
        ) as score
        from holding join weight using (term), size group by holding.id
    )
    select point.id, time, place, score, record, vector
    from score join {table} as point on point.id = score.id
    where {inside}
    order by score desc limit {limit}
"""
