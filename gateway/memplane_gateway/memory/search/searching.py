"""Search: choose the mode, gather candidates, rank them, and cut pages."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from memplane_adapters.contract import Address, Order, Query, Scan, Scope, Vector
from memplane_gateway.clock import Clock
from memplane_gateway.embedders import Role
from memplane_gateway.errors import Code, MemplaneError, Reason, Violation, invalid, unimplemented
from memplane_gateway.limits import MAX_PAGE_ITEMS, SCAN_BYTES
from memplane_gateway.memory.embedding import TextVectors
from memplane_gateway.memory.model import Caller
from memplane_gateway.memory.planning import Plan, plan
from memplane_gateway.memory.questions import Found, FoundMemory, Mode, Parts, Search
from memplane_gateway.memory.search.candidates import (
    DEPTH,
    Candidate,
    Candidates,
    Wanted,
    by_relevance,
    gather,
    gather_both,
    is_below,
)
from memplane_gateway.memory.search.diversity import diversified
from memplane_gateway.memory.search.fusion import MEANINGLESS_SHARE, VECTOR_SHARE, ranks
from memplane_gateway.memory.shelf import Shelf, alive_row, memory_of
from memplane_gateway.memory.tokens import PageTokens, SearchPosition, binding_of
from memplane_gateway.memory.vector_shelf import VectorShelf
from memplane_gateway.memory.walking import walk

PAGED_ITEMS = MAX_PAGE_ITEMS
"""How many hits the pages of a search hold together, at most."""


def auto_mode(shelf: Shelf, vectors: TextVectors, configured: Mode | None) -> Mode:
    """What AUTO means for a text.

    The route's choice, else VECTOR; but KEYWORD, where the store has it, if the embedder knows no
    meaning or takes no text.
    """
    if configured is not None:
        return configured
    meaningful = vectors.takes_text and vectors.knows_meaning
    if not meaningful and shelf.capabilities.keyword:
        return Mode.KEYWORD
    return Mode.VECTOR


@dataclass(frozen=True, slots=True)
class _Question:
    """A search whose mode is settled, and the page of it that is asked for."""

    search: Search
    mode: Mode
    scope: Scope
    planned: Plan
    position: SearchPosition
    binding: bytes

    @property
    def first(self) -> int:
        """How many hits come before the page."""
        return self.position.offset

    @property
    def end(self) -> int:
        """How many hits there are with the page, if it is full."""
        return min(self.first + self.search.page_size, PAGED_ITEMS)

    @property
    def proven(self) -> bool:
        """Whether weights are to rank all that matches, and not the best matches alone."""
        return self.search.exact and bool(self.search.weights) and self.mode is not Mode.HYBRID

    @property
    def bounded(self) -> bool:
        """Whether pages end where the best matches do that are ranked anew."""
        search = self.search
        reweighed = bool(search.weights) and not self.proven
        return self.mode is Mode.HYBRID or search.diversity > 0.0 or reweighed

    @property
    def count(self) -> int:
        """How many candidates the page needs."""
        return self.position.depth if self.bounded else self.end

    @property
    def plain(self) -> bool:
        """Whether the page is simply the beginning of the store's list."""
        anew = self.bounded or self.proven or self.planned.residual is not None
        return not anew and not self.first


class Searcher:
    """Answers searches from one shelf."""

    def __init__(
        self,
        route: str,
        shelf: Shelf,
        clock: Clock,
        vectors: TextVectors,
        tokens: PageTokens,
        *,
        default_mode: Mode,
        scan_budget: int,
    ) -> None:
        self._route = route
        self._shelf = shelf
        self._clock = clock
        self._vectors = vectors
        self._tokens = tokens
        self._default_mode = default_mode
        self._scan_budget = scan_budget

    async def search(self, caller: Caller, search: Search) -> Found:
        """A page of the best memories for one question.

        Raises INVALID_ARGUMENT for the page token of another search.
        """
        mode = self._mode(search)
        now = self._clock.now()
        binding = binding_of(caller, search)
        if search.page_token:
            position = self._tokens.open_search(search.page_token, binding, now)
        else:
            position = SearchPosition(0, now, max(DEPTH, search.page_size))
        asked = _Question(
            search,
            mode,
            search.selection.scope(caller.tenant, now),
            plan(search.selection.filter, self._shelf.capabilities),
            position,
            binding,
        )
        if mode is Mode.RECENT:
            return await self._recent(asked)
        shelf = self._shelf
        assert isinstance(shelf, VectorShelf), "only vector stores declare vector or keyword"
        queries = await self._queries(shelf, asked)
        if not queries:
            # A text of punctuation alone matches nothing.
            return self._answer(asked, (), 0, truncated=False)
        wanted = Wanted(
            count=asked.count,
            now=position.at,
            weights=search.weights,
            proven=asked.proven,
            residual=asked.planned.residual,
            floor=search.min_relevance,
            apart=search.like,
        )
        budget = self._scan_budget
        if mode is Mode.HYBRID:
            share = self._vector_share(search)
            candidates = await gather_both(shelf, queries, wanted, budget, vector_share=share)
        else:
            candidates = await gather(shelf, queries[0], wanted, budget)
        return await self._page(asked, wanted, candidates)

    def _vector_share(self, search: Search) -> float:
        if search.vector_share is not None:
            return search.vector_share
        return VECTOR_SHARE if self._vectors.knows_meaning else MEANINGLESS_SHARE

    async def _queries(self, shelf: VectorShelf, asked: _Question) -> list[Query]:
        """What to ask the store: by vector, by terms, or both; nothing where there is neither."""
        search = asked.search
        room = search.max_bytes if asked.plain else SCAN_BYTES
        query = Query(
            scope=asked.scope,
            limit=asked.count,
            filter=asked.planned.pushed,
            exact=search.exact,
            vectors=search.vectors or search.diversity > 0.0,
            # What takes no room in the reply does not count.
            max_bytes=room // 2 if asked.mode is Mode.HYBRID else room,
        )
        if search.like is not None:
            query = replace(query, limit=query.limit + 1)
        queries: list[Query] = []
        if asked.mode is not Mode.KEYWORD:
            vector = await self._query_vector(asked)
            if vector is not None:
                queries.append(replace(query, vector=vector))
        if asked.mode is not Mode.VECTOR:
            terms = shelf.analyzer.query_terms(search.text or "")
            if terms:
                queries.append(replace(query, terms=terms))
        return queries

    async def _page(self, asked: _Question, wanted: Wanted, candidates: Candidates) -> Found:
        """Rank all candidates and cut the page out."""
        search, first, end = asked.search, asked.first, asked.end
        ranked, dry = await _ranked(asked, candidates)
        kept = _within(ranked[first:end], search.max_bytes)
        last = first + len(kept)
        short = last < end and not (dry and last >= len(ranked))
        more = last < len(ranked) or (candidates.deeper and not asked.bounded)
        more = more and bool(kept) and last < PAGED_ITEMS
        parts = _Explained(asked.mode, wanted, candidates.found) if search.explain else None
        rows = [each.row for each in kept]
        if search.vectors:
            rows = await self._shelf.complete(rows)
        return self._answer(
            asked,
            tuple(
                FoundMemory(
                    memory_of(self._shelf, row, vectors=search.vectors),
                    each.relevance,
                    each.score,
                    None if parts is None else parts.of(each),
                    each.path,
                )
                for each, row in zip(kept, rows, strict=True)
            ),
            candidates.scanned,
            truncated=candidates.spent or short,
            approximate=candidates.approximate,
            after=replace(asked.position, offset=last) if more else None,
        )

    async def _recent(self, asked: _Question) -> Found:
        search, planned, position = asked.search, asked.planned, asked.position
        limit = asked.end - asked.first
        rows, walked = await walk(
            self._shelf,
            Scan(
                scope=asked.scope,
                order=Order.TIME,
                descending=True,
                after=position.cursor,
                limit=limit,
                budget=self._scan_budget,
                filter=planned.pushed,
                vectors=search.vectors,
            ),
            planned.residual,
            max_bytes=search.max_bytes,
        )
        if search.vectors:
            rows = await self._shelf.complete(rows)
        hits = tuple(
            FoundMemory(memory_of(self._shelf, row, vectors=search.vectors), 0.0) for row in rows
        )
        last = asked.first + len(hits)
        more = walked.next is not None and last < PAGED_ITEMS
        return self._answer(
            asked,
            hits,
            walked.scanned,
            truncated=walked.next is not None and len(hits) < limit,
            after=replace(position, offset=last, cursor=walked.next) if more else None,
        )

    def _mode(self, search: Search) -> Mode:
        mode = search.mode
        if mode is Mode.AUTO:
            if search.vector is not None or search.like is not None:
                mode = Mode.VECTOR
            elif search.text is None:
                mode = Mode.RECENT
            elif self._default_mode is Mode.RECENT:
                raise unimplemented("vector", self._route, "its store has: RECENT")
            else:
                mode = self._default_mode
        problem = _mismatch(search, mode)
        if problem is not None:
            raise invalid([problem])
        capabilities = self._shelf.capabilities
        able = {
            Mode.VECTOR: capabilities.vector,
            Mode.KEYWORD: capabilities.keyword,
            Mode.HYBRID: capabilities.hybrid,
            Mode.RECENT: True,
        }
        if not able[mode]:
            modes = ", ".join(m.value.upper() for m, can in able.items() if can)
            raise unimplemented(mode.value, self._route, f"its store has: {modes}")
        if search.exact and not capabilities.exact_search and mode is not Mode.RECENT:
            raise unimplemented("exact_search", self._route, "ask without `exact`")
        return mode

    async def _query_vector(self, asked: _Question) -> Vector | None:
        search = asked.search
        if search.vector is not None:
            return search.vector
        if search.like is not None:
            return await self._vector_like(search.like, asked.scope.alive_at)
        assert search.text is not None
        if not self._vectors.takes_text:
            raise MemplaneError(
                Code.FAILED_PRECONDITION,
                Reason.EMBEDDER_MISSING,
                f"{self._route}: this route has no embedder for texts; send a vector",
                metadata={"route": self._route},
            )
        return (await self._vectors.of({search.text}, Role.QUERY))[search.text]

    async def _vector_like(self, address: Address, now: int) -> Vector:
        """The vector of a memory. Raises NOT_FOUND, or FAILED_PRECONDITION when it has none."""
        (row,) = await self._shelf.fetch([address], vectors=True)
        row = alive_row(row, now)
        if row is None:
            raise MemplaneError(
                Code.NOT_FOUND,
                Reason.MEMORY_NOT_FOUND,
                "the memory that hits are to be like does not exist",
            )
        if row.vector is None:
            raise MemplaneError(
                Code.FAILED_PRECONDITION,
                Reason.VECTOR_MISSING,
                "the memory that hits are to be like has no vector: it has neither a text that the "
                "route embeds nor a vector of its own",
                metadata={"route": self._route},
            )
        return row.vector

    def _answer(
        self,
        asked: _Question,
        hits: tuple[FoundMemory, ...],
        scanned: int,
        *,
        truncated: bool,
        approximate: bool = False,
        after: SearchPosition | None = None,
    ) -> Found:
        report = asked.planned.report(scanned, truncated=truncated)
        notice = self._vectors.notice if asked.search.text is not None else ""
        token = ""
        if after is not None:
            token = self._tokens.seal_search(after, asked.binding, asked.scope.alive_at)
        return Found(
            hits, asked.mode, approximate, report, notice, truncated, next_page_token=token
        )


class _Explained:
    """What the relevance of candidates is made of."""

    def __init__(self, mode: Mode, wanted: Wanted, found: list[Candidate]) -> None:
        self._mode = mode
        self._wanted = wanted
        self._ranks: dict[int, int] = {}
        if mode is not Mode.HYBRID:
            order = ranks([each.match for each in found])
            self._ranks = {id(each): rank for each, rank in zip(found, order, strict=True)}

    def of(self, candidate: Candidate) -> Parts:
        """The parts of one."""
        weights = self._wanted.weights
        own = self._ranks.get(id(candidate))
        by_words = self._mode is Mode.KEYWORD
        return Parts(
            vector_score=candidate.score,
            vector_rank=candidate.vector_rank if own is None or by_words else own,
            keyword_relevance=candidate.match if by_words else candidate.keyword_relevance,
            keyword_rank=own if by_words else candidate.keyword_rank,
            fused=candidate.match if self._mode is Mode.HYBRID else None,
            recency=self._wanted.recent(candidate.row) if weights.recency else None,
            importance=self._wanted.important(candidate.row) if weights.importance else None,
        )


async def _ranked(asked: _Question, candidates: Candidates) -> tuple[list[Candidate], bool]:
    """Candidates in the order of the reply, and whether nothing else could be a hit."""
    search, ranked, dry = asked.search, candidates.found, candidates.dry
    both = asked.mode is Mode.HYBRID
    if asked.bounded and not asked.proven and not both:
        ranked = ranked[: asked.count]
        dry = dry and len(ranked) == len(candidates.found)
    if search.min_relevance is not None:
        floor, before = search.min_relevance, len(ranked)
        ranked = [each for each in ranked if not is_below(each.relevance, floor)]
        # What is in neither list has a relevance of 0, below what the threshold left out.
        dry = dry or (both and len(ranked) < before)
    if search.weights:
        ranked = sorted(ranked, key=by_relevance)
    if asked.bounded and asked.proven:
        dry = dry and len(ranked) <= asked.count
        ranked = ranked[: asked.count]
    if search.diversity:
        relevances = [each.relevance for each in ranked]
        vectors = [each.row.vector for each in ranked]
        order = await asyncio.to_thread(diversified, relevances, vectors, search.diversity)
        ranked = [ranked[position] for position in order]
    return ranked, dry


def _within(ranked: list[Candidate], max_bytes: int) -> list[Candidate]:
    """As many as fit into a reply, one at least."""
    size = 0
    for number, each in enumerate(ranked, start=1):
        size += each.row.size
        if size >= max_bytes:
            return ranked[:number]
    return ranked


def _mismatch(search: Search, mode: Mode) -> Violation | None:
    """What the query gives that the mode does not take, or lacks."""
    by_vector = search.vector is not None or search.like is not None
    if mode is Mode.RECENT:
        if search.text is not None or by_vector:
            return Violation("query", "RECENT takes no query; leave it out or choose another mode")
        for field, given in (
            ("min_relevance", search.min_relevance is not None),
            ("recency_weight", search.weights.recency > 0.0),
            ("importance_weight", search.weights.importance > 0.0),
            ("diversity", search.diversity > 0.0),
        ):
            if given:
                return Violation(field, "RECENT ranks by time alone; leave it out")
        return None
    if search.text is None and not (by_vector and mode is Mode.VECTOR):
        return Violation("query", f"{mode.value.upper()} needs a text; without a query use RECENT")
    return None
