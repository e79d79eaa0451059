"""Search by vector (exact cosine over the matrix) and by words (BM25)."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memplane_adapters.contract import (
    RELEVANCE_DIGITS as DIGITS,
)
from memplane_adapters.contract import (
    Fields,
    Hit,
    Predicate,
    Query,
    QueryResult,
    Vector,
    cosine_relevance,
    keyword_relevance,
)
from memplane_adapters.embedded.codec import decode_vector
from memplane_adapters.embedded.readers import snapshot
from memplane_adapters.embedded.rows import Partition, load_fields, load_in_order, terms_table
from memplane_adapters.embedded.scans import inside, namespaces
from memplane_adapters.embedded.vectors import Index, Positions, Snapshot
from memplane_adapters.kit.codec import decode_fields

_FTS5_LEAST_WEIGHT = 1e-6
"""What FTS5 puts in place of a weight that is not positive."""

_FIRST_CHUNK = 64


@dataclass(frozen=True, slots=True)
class _Found:
    id: int
    score: float
    rank: tuple[float, int, bytes, str]


def search_vectors(
    connection: sqlite3.Connection,
    index: Index,
    query: Query,
    vector: Vector,
    predicate: Predicate | None,
) -> QueryResult:
    """The nearest rows. The rows are read after the matrix, and what has changed is judged anew."""
    now = index.snapshot
    selected = now.select(query.scope.alive_at, namespaces(query.scope))
    found: list[_Found] = []
    judge = _Judge(connection, index, query, vector, predicate)
    with snapshot(connection):
        first = query.limit if predicate is None else max(query.limit, _FIRST_CHUNK)
        for positions, scores, bound in _best_first(now, selected, vector, first):
            found += judge.accept(now, positions, scores)
            found.sort(key=_rank)
            if len(found) >= query.limit and -found[query.limit - 1].rank[0] > bound:
                break
        scanned = now.count if selected is None else selected.size
        return _result(connection, query, found, int(scanned))


def search_terms(
    connection: sqlite3.Connection,
    partition: Partition,
    query: Query,
    predicate: Predicate | None,
) -> QueryResult:
    """Rows that hold at least one of the terms, best BM25 first."""
    if not (partition.keywords and query.terms):
        return QueryResult((), approximate=False, scanned=0)
    table = terms_table(partition.id)
    where = inside(query.scope)
    places = f"{_PLACES} and {where.sql}"
    found: list[_Found] = []
    scanned = 0
    with snapshot(connection):
        for chunk in _by_score(connection, table, query):
            scanned += len(chunk)
            part = [
                _found(row, chunk[row[0]], keyword_relevance)
                for row in connection.execute(places, (_array(chunk), *where.arguments))
            ]
            if predicate is not None:
                fields = load_fields(connection, [one.id for one in part])
                part = [one for one in part if predicate(fields[one.id][1])]
            found += sorted(part, key=_rank)
            if len(found) >= query.limit:
                break
        return _result(connection, query, found, scanned)


def _by_score(
    connection: sqlite3.Connection, table: str, query: Query
) -> Iterator[dict[int, float]]:
    """All rows of the partition that match, with their scores, in growing chunks, best first.

    A chunk ends where the relevance does, so that ties are decided within one.
    """
    ids, scores = _bm25(connection, table, query.terms)
    # numpy rounds some halves otherwise than Python does.
    relevances = np.array([round(one, DIGITS) for one in keyword_relevance(scores).tolist()])
    ranked = np.argsort(-relevances, kind="stable")
    ids, scores, relevances = ids[ranked], scores[ranked], relevances[ranked]
    start, size = 0, max(query.limit, _FIRST_CHUNK)
    while start < len(ids):
        end = start + size
        if end < len(ids):
            end += int(np.searchsorted(-relevances[end:], -relevances[end - 1], side="right"))
        yield dict(zip(ids[start:end].tolist(), scores[start:end].tolist(), strict=True))
        start, size = end, size * 4


def _bm25(
    connection: sqlite3.Connection, table: str, terms: Sequence[str]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The rows that hold at least one term, and the sum of BM25 over the terms of each.

    The weight of a term is Lucene's ln(1 + (N - n + 0.5) / (n + 0.5)) with n of N rows holding it,
    which is positive for every term. FTS5 has the same without the 1, and next to nothing where
    that is negative: in a small store its scores say nothing. So each term is asked for alone, and
    its weight is exchanged.
    """
    (rows,) = connection.execute(_ROWS.format(table=table)).fetchone()
    statement = _SEARCH.format(table=table)
    ids: list[int] = []
    parts: list[npt.NDArray[np.float64]] = []
    for term in dict.fromkeys(terms):
        found = connection.execute(statement, (_quoted(term),)).fetchall()
        if not found:
            continue
        holding, scores = zip(*found, strict=True)
        odds = (rows - len(found) + 0.5) / (len(found) + 0.5)
        theirs = max(math.log(odds), 0.0) or _FTS5_LEAST_WEIGHT
        ids += holding
        parts.append(np.array(scores) * (math.log1p(odds) / theirs))
    if not parts:
        return np.empty(0, np.int64), np.empty(0)
    unique, places = np.unique(np.array(ids, np.int64), return_inverse=True)
    return unique, np.bincount(places, weights=np.concatenate(parts)).astype(np.float64)


class _Judge:
    """Whether candidates are hits: they are there, and the filter holds."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        index: Index,
        query: Query,
        vector: Vector,
        predicate: Predicate | None,
    ) -> None:
        self._connection = connection
        self._index = index
        self._query = query
        self._vector = vector
        self._predicate = predicate

    def accept(
        self, now: Snapshot, positions: Positions, scores: npt.NDArray[np.float64]
    ) -> list[_Found]:
        """The hits among candidates."""
        candidates: dict[int, tuple[int, float]] = dict(
            zip(
                now.ids[positions].tolist(),
                zip(now.revisions[positions].tolist(), scores.tolist(), strict=True),
                strict=True,
            )
        )
        changed: list[int] = []
        if self._predicate is not None:
            changed = self._filter(candidates, self._predicate)
        found: list[_Found] = []
        for row in self._connection.execute(_PLACES, (_array(candidates),)):
            revision, score = candidates[row[0]]
            if row[1] == revision:
                found.append(_found(row, score, cosine_relevance))
            else:
                changed.append(row[0])
        found += filter(None, map(self._again, changed))
        return found

    def _filter(self, candidates: dict[int, tuple[int, float]], predicate: Predicate) -> list[int]:
        """Leave those that match; returns those that have changed since."""
        known: dict[int, Fields] = {}
        unknown: list[int] = []
        for row_id, (revision, _) in candidates.items():
            fields = self._index.fields(row_id, revision)
            if fields is None:
                unknown.append(row_id)
            else:
                known[row_id] = fields
        changed: list[int] = []
        if unknown:
            for row_id, (revision, fields) in load_fields(self._connection, unknown).items():
                if revision != candidates[row_id][0]:
                    changed.append(row_id)
                    continue
                known[row_id] = fields
                self._index.remember(row_id, revision, fields)
        for row_id in list(candidates):
            if row_id not in known or not predicate(known[row_id]):
                del candidates[row_id]
        return changed

    def _again(self, row_id: int) -> _Found | None:
        """A row that was written after the matrix was read, by what the file holds of it."""
        row = self._connection.execute(_WHOLE, (row_id, self._query.scope.alive_at)).fetchone()
        if row is None:
            return None
        time, namespace, key, fields, data = row
        if self._predicate is not None and not self._predicate(decode_fields(fields)):
            return None
        score = float(_exact(decode_vector(data)[np.newaxis], self._vector)[0])
        return _found((row_id, 0, time, namespace, key), score, cosine_relevance)


def _best_first(
    now: Snapshot, selected: Positions | None, vector: Vector, first: int
) -> Iterator[tuple[Positions, npt.NDArray[np.float64], float]]:
    """Candidates in growing chunks: rows, their scores, and what no later relevance is above.

    float32 products find the candidates and float64 scores order them: how the former are rounded
    depends on where in the matrix a row stands, and equal vectors must get equal scores.
    """
    rough = _rough(now, selected, vector)
    # n * 2**-24 bounds the error of a float32 product of unit vectors.
    error = vector.size * 6e-8 + 2 * 10.0**-DIGITS
    above, size = np.inf, first
    while True:
        rest = size >= rough.size
        below = -np.inf if rest else float(np.partition(rough, -size)[-size]) - 2 * error
        chosen = np.flatnonzero((rough >= below) & (rough < above))
        positions = chosen if selected is None else selected[chosen]
        bound = -np.inf if rest else round(cosine_relevance(below + error), DIGITS)
        yield positions, _exact(now.matrix[positions], vector), bound
        if rest:
            return
        above, size = below, size * 4


def _rough(now: Snapshot, selected: Positions | None, vector: Vector) -> npt.NDArray[np.float32]:
    # Not `matrix @ vector`: BLAS spreads that over all cores and waits for the slowest, which took
    # 10 times as long whenever the machine had anything else to do.
    rows = now.matrix[: now.count]
    if selected is None:
        scores: npt.NDArray[np.float32] = np.vecdot(rows, vector)
    elif selected.size * 4 < now.count:
        scores = np.vecdot(now.matrix[selected], vector)
    else:
        scores = np.vecdot(rows, vector)[selected]
    return scores


def _exact(rows: npt.NDArray[np.float32], vector: Vector) -> npt.NDArray[np.float64]:
    products = rows.astype(np.float64) * vector.astype(np.float64)
    scores: npt.NDArray[np.float64] = np.clip(products.sum(axis=1), -1.0, 1.0)
    return scores


def _found(
    row: tuple[int, int, int, bytes, str], score: float, relevance: Callable[[float], float]
) -> _Found:
    row_id, _, time, namespace, key = row
    return _Found(row_id, score, (-round(relevance(score), DIGITS), -time, namespace, key))


def _rank(found: _Found) -> tuple[float, int, bytes, str]:
    return found.rank


def _result(
    connection: sqlite3.Connection, query: Query, found: Sequence[_Found], scanned: int
) -> QueryResult:
    best = found[: query.limit]
    rows = load_in_order(
        connection, [one.id for one in best], vectors=query.vectors, max_bytes=query.max_bytes
    )
    hits = (Hit(row.record, row.vector, one.score) for row, one in zip(rows, best, strict=False))
    return QueryResult(tuple(hits), approximate=False, scanned=scanned, cut=len(rows) < len(best))


def _quoted(term: str) -> str:
    """A term as a string, so that none is taken for syntax."""
    return '"' + term.replace('"', '""') + '"'


def _array(ids: Iterable[int]) -> str:
    return str(list(ids))


_ROWS = "select count(*) from {table}_docsize"
_SEARCH = """
    select rowid, -bm25({table}) from {table} where {table} match ?
"""
_PLACES = """
    select id, revision, time, namespace, key from memory
    where id in (select value from json_each(?))
"""
_WHOLE = """
    select time, namespace, key, fields, vector from memory
    where id = ? and vector is not null and (expire_time is null or expire_time > ?)
"""
