"""Candidates: what a store's lists hold that passes every check, as deep as a page needs.

A list is asked for anew, four times as deep, until it holds enough. Where weights are to rank exactly,
"enough" is proven: they only ever lower a relevance, so that nothing below a list's end can rise above
the relevance that its end has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from memplane_adapters.contract import (
    RELEVANCE_DIGITS,
    Address,
    Predicate,
    Query,
    RankKey,
    cosine_relevance,
    keyword_relevance,
    rank_key,
)
from memplane_gateway.limits import SCAN_BYTES
from memplane_gateway.memory.questions import UNWEIGHTED, Weights
from memplane_gateway.memory.search.best_of import OVERFETCH, Match, ask, clamped
from memplane_gateway.memory.search.fusion import fused, ranks
from memplane_gateway.memory.search.weights import importance, recency, weighted
from memplane_gateway.memory.shelf import Row, fields_of
from memplane_gateway.memory.vector_shelf import VectorShelf
from memplane_gateway.pacing import paced

DEPTH = 100
"""How many of the best matches are fused, weighed anew or put in another order; or as many as the
first page asks for, if that is more."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A memory that matches. What has no part in its relevance is None."""

    row: Row
    match: float
    """What the mode alone makes of it."""
    relevance: float
    """What ranks: the match, weighed."""
    score: float | None = None
    """The cosine."""
    vector_rank: int | None = None
    keyword_relevance: float | None = None
    keyword_rank: int | None = None
    path: str = ""
    """As in FoundMemory."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What candidates are checked by, and how many must be found."""

    count: int
    now: int
    """When recency is measured."""
    weights: Weights = UNWEIGHTED
    proven: bool = False
    """Whether these must be the best by weights of all that match."""
    residual: Predicate | None = None
    floor: float | None = None
    apart: Address | None = None
    """A memory that is no hit."""

    def weigh(self, row: Row, match: float) -> float:
        """What ranks a row that matches so well."""
        if not self.weights:
            return match
        return weighted(match, self.recent(row), self.important(row), self.weights)

    def recent(self, row: Row) -> float:
        """How recent it is; 1 where that does not count."""
        if not self.weights.recency:
            return 1.0
        return recency(row.record.time, self.now, self.weights.half_life)

    def important(self, row: Row) -> float:
        """How important it is; 1 where that does not count."""
        if not self.weights.importance:
            return 1.0
        return importance(row.record.content.importance)

    def enough(self, found: Sequence[Candidate], bound: float) -> bool:
        """Whether the best are known, `bound` being what nothing that was not seen matches above."""
        if not self.proven or len(found) < self.count:
            return len(found) >= self.count
        edge = rounded(bound)
        return sum(rounded(each.relevance) > edge for each in found) >= self.count


@dataclass(frozen=True, slots=True)
class Candidates:
    """What was found, best first by what the mode alone makes of it."""

    found: list[Candidate]
    scanned: int
    approximate: bool
    dry: bool
    """Whether nothing else matches."""
    spent: bool = False
    """Whether the scan budget, or the room for rows, ended it before there was enough."""
    deeper: bool = False
    """Whether a later page may find more."""


async def gather(
    shelf: VectorShelf,
    query: Query,
    wanted: Wanted,
    budget: int,
    opened: dict[bytes, Row] | None = None,
) -> Candidates:
    """Ask for more and more hits until there is enough, the store is dry or the budget is.

    `opened` are rows by their records, so that none is decoded again.
    """
    opened = {} if opened is None else opened
    while True:
        result = await ask(shelf, query, budget, opened)
        found, low = await _checked(query, wanted, result.matches)
        dry = low or result.dry
        bound = 0.0 if result.last is None else _match(query, result.last)
        enough = dry or wanted.enough(found, bound)
        if enough or result.cut or query.limit >= budget:
            break
        query = replace(query, limit=min(query.limit * OVERFETCH, budget))
    return Candidates(
        found,
        result.scanned,
        result.approximate,
        dry=dry,
        spent=not enough,
        # What a page has no room for has room in the next.
        deeper=not dry and (enough or (result.cut and query.max_bytes < SCAN_BYTES)),
    )


async def gather_both(
    shelf: VectorShelf,
    queries: Sequence[Query],
    wanted: Wanted,
    budget: int,
    *,
    vector_share: float,
) -> Candidates:
    """Fuse the lists of both queries, or the one that there is, each as deep as `wanted` says."""
    alone = replace(wanted, floor=None, weights=UNWEIGHTED)
    opened: dict[bytes, Row] = {}
    lists = await asyncio.gather(
        *(gather(shelf, query, alone, budget, opened) for query in queries)
    )
    by_vector: _Places = {}
    by_words: _Places = {}
    for query, each in zip(queries, lists, strict=True):
        (by_words if query.vector is None else by_vector).update(_places(each, wanted.count))
    found: list[Candidate] = []
    for address in by_vector | by_words:
        vector_rank, near = by_vector.get(address, (None, None))
        keyword_rank, worded = by_words.get(address, (None, None))
        # Between the two queries it may have been written anew.
        rows = [one.row for one in (near, worded) if one is not None]
        row = max(rows, key=lambda row: row.record.revision)
        match = fused(vector_rank, keyword_rank, vector_share)
        found.append(
            Candidate(
                row,
                match,
                wanted.weigh(row, match),
                score=None if near is None else near.score,
                vector_rank=vector_rank,
                keyword_relevance=None if worded is None else worded.match,
                keyword_rank=keyword_rank,
                path="" if near is None else near.path,
            )
        )
    return Candidates(
        sorted(found, key=_by_match),
        sum(each.scanned for each in lists),
        any(each.approximate for each in lists),
        dry=all(each.dry and len(each.found) <= wanted.count for each in lists),
        spent=any(each.spent for each in lists),
    )


_Places: TypeAlias = dict[Address, tuple[int, Candidate]]


def _places(candidates: Candidates, depth: int) -> _Places:
    """Rank and candidate by address, as deep as a list is fused."""
    best = candidates.found[:depth]
    order = ranks([each.match for each in best])
    return {each.row.record.address: (rank, each) for rank, each in zip(order, best, strict=True)}


async def _checked(
    query: Query, wanted: Wanted, matches: Sequence[Match]
) -> tuple[list[Candidate], bool]:
    """The matches that hold against residual and threshold, in rank order.

    Also says whether some fell below the threshold, after which no better ones come.
    """
    kept: list[Candidate] = []
    low = False
    async for each in paced(matches):
        row = each.row
        if row.record.address == wanted.apart:
            continue
        if wanted.residual is not None and not wanted.residual(fields_of(row.record)):
            continue
        match = _match(query, each.score)
        if wanted.floor is not None and is_below(match, wanted.floor):
            low = True
            continue
        score = None if query.vector is None else clamped(each.score)
        kept.append(Candidate(row, match, wanted.weigh(row, match), score, path=each.path))
    kept.sort(key=_by_match)
    return kept, low


def _match(query: Query, score: float) -> float:
    if query.vector is None:
        return keyword_relevance(score)
    return cosine_relevance(clamped(score))


def _by_match(candidate: Candidate) -> RankKey:
    record = candidate.row.record
    return rank_key(candidate.match, record.time, record.address.place)


def by_relevance(candidate: Candidate) -> RankKey:
    """The place of a candidate among others."""
    record = candidate.row.record
    return rank_key(candidate.relevance, record.time, record.address.place)


def rounded(relevance: float) -> float:
    """As in ranking, so that no store's last bit decides."""
    return round(relevance, RELEVANCE_DIGITS)


def is_below(relevance: float, floor: float) -> bool:
    """Whether a relevance, rounded, is below a threshold."""
    return rounded(relevance) < rounded(floor)
