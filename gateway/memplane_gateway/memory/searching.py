"""Search: choose the mode, ask the store, re-check each row, rank."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from memplane_adapters.contract import (
    RELEVANCE_DIGITS,
    Hit,
    Order,
    Query,
    RankKey,
    Scan,
    Scope,
    Vector,
    cosine_relevance,
    keyword_relevance,
    rank_key,
)
from memplane_gateway.clock import Clock
from memplane_gateway.errors import Code, MemplaneError, Reason, Violation, invalid, unimplemented
from memplane_gateway.limits import SCAN_BYTES
from memplane_gateway.memory.embedding import TextVectors
from memplane_gateway.memory.model import (
    Caller,
    Found,
    FoundMemory,
    Mode,
    Search,
)
from memplane_gateway.memory.planning import Plan, plan
from memplane_gateway.memory.shelf import (
    Shelf,
    VectorShelf,
    fields_of,
    memory_of,
    open_row,
)
from memplane_gateway.memory.walking import walk
from memplane_gateway.pacing import paced

_OVERFETCH = 4


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
    """A search whose mode is settled."""

    search: Search
    mode: Mode
    scope: Scope
    planned: Plan

    @property
    def relevance(self) -> Callable[[float], float]:
        """From the store's score to what ranks."""
        return cosine_relevance if self.mode is Mode.VECTOR else keyword_relevance


class Searcher:
    """Answers searches from one shelf."""

    def __init__(
        self,
        route: str,
        shelf: Shelf,
        clock: Clock,
        vectors: TextVectors,
        *,
        default_mode: Mode,
        scan_budget: int,
    ) -> None:
        self._route = route
        self._shelf = shelf
        self._clock = clock
        self._vectors = vectors
        self._default_mode = default_mode
        self._scan_budget = scan_budget

    async def search(self, caller: Caller, search: Search) -> Found:
        """The best memories for one question."""
        mode = self._mode(search)
        selection = search.selection
        scope = selection.scope(caller.tenant, self._clock.now())
        asked = _Question(search, mode, scope, plan(selection.filter, self._shelf.capabilities))
        if mode is Mode.RECENT:
            return await self._recent(asked)
        shelf = self._shelf
        assert isinstance(shelf, VectorShelf), "only vector stores declare vector or keyword"
        vector: Vector | None = None
        terms: tuple[str, ...] = ()
        if mode is Mode.VECTOR:
            vector = await self._query_vector(search)
        else:
            terms = shelf.analyzer.query_terms(search.text or "")
        if vector is None and not terms:
            # A text of punctuation alone matches nothing.
            return self._answer(asked, (), 0, truncated=False)
        return await self._ranked(
            shelf,
            asked,
            Query(
                scope=scope,
                vector=vector,
                terms=terms,
                limit=search.page_size,
                filter=asked.planned.pushed,
                exact=search.exact,
                vectors=search.vectors,
                # What the residual drops takes no room in the reply.
                max_bytes=search.max_bytes if asked.planned.residual is None else SCAN_BYTES,
            ),
        )

    async def _ranked(self, shelf: VectorShelf, asked: _Question, query: Query) -> Found:
        """Ask for more and more hits until the page is full, the store is dry or the budget is."""
        wanted = asked.search.page_size
        while True:
            result = await shelf.query(query)
            hits, low = await self._checked(asked, result.hits)
            dry = low or (len(result.hits) < query.limit and not result.cut)
            if len(hits) >= wanted or dry or result.cut or query.limit >= self._scan_budget:
                break
            query = replace(query, limit=min(query.limit * _OVERFETCH, self._scan_budget))
        kept = _within(hits[:wanted], asked.search.max_bytes)
        return self._answer(
            asked,
            kept,
            result.scanned,
            truncated=len(kept) < wanted and not (dry and len(kept) == len(hits)),
            approximate=result.approximate,
        )

    async def _checked(
        self, asked: _Question, hits: tuple[Hit, ...]
    ) -> tuple[list[FoundMemory], bool]:
        """The hits that hold against scope, expiry, residual and threshold, in rank order.

        Also says whether some fell below the threshold, after which no better ones come.
        """
        search, residual = asked.search, asked.planned.residual
        kept: list[FoundMemory] = []
        low = False
        async for hit in paced(hits):
            row = open_row(self._shelf.codec, hit, asked.scope)
            if row is None or (residual is not None and not residual(fields_of(row.record))):
                continue
            score: float | None = None
            if asked.mode is Mode.VECTOR:
                score = max(-1.0, min(1.0, hit.score))
            relevance = asked.relevance(hit.score if score is None else score)
            if search.min_relevance is not None and _is_below(relevance, search.min_relevance):
                low = True
                continue
            memory = memory_of(self._shelf, row, vectors=search.vectors)
            kept.append(FoundMemory(memory, relevance, score))
        kept.sort(key=_rank)
        return kept, low

    async def _recent(self, asked: _Question) -> Found:
        search, planned = asked.search, asked.planned
        rows, position = await walk(
            self._shelf,
            Scan(
                scope=asked.scope,
                order=Order.TIME,
                descending=True,
                limit=search.page_size,
                budget=self._scan_budget,
                filter=planned.pushed,
                vectors=search.vectors,
            ),
            planned.residual,
            max_bytes=search.max_bytes,
        )
        hits = tuple(
            FoundMemory(memory_of(self._shelf, row, vectors=search.vectors), 0.0) for row in rows
        )
        truncated = position.next is not None and len(hits) < search.page_size
        return self._answer(asked, hits, position.scanned, truncated=truncated)

    def _mode(self, search: Search) -> Mode:
        mode = search.mode
        if mode is Mode.AUTO:
            if search.vector is not None:
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

    async def _query_vector(self, search: Search) -> Vector | None:
        if search.vector is not None:
            return search.vector
        assert search.text is not None
        if not self._vectors.takes_text:
            raise MemplaneError(
                Code.FAILED_PRECONDITION,
                Reason.EMBEDDER_MISSING,
                f"{self._route}: this route has no embedder for texts; send a vector",
                metadata={"route": self._route},
            )
        return (await self._vectors.of({search.text}))[search.text]

    def _answer(
        self,
        asked: _Question,
        hits: tuple[FoundMemory, ...],
        scanned: int,
        *,
        truncated: bool,
        approximate: bool = False,
    ) -> Found:
        report = asked.planned.report(scanned, truncated=truncated)
        notice = self._vectors.notice if asked.search.text is not None else ""
        return Found(hits, asked.mode, approximate, report, notice, truncated)


def _is_below(relevance: float, floor: float) -> bool:
    """Both rounded as in ranking, so that no store's last bit decides."""
    return round(relevance, RELEVANCE_DIGITS) < round(floor, RELEVANCE_DIGITS)


def _within(hits: list[FoundMemory], max_bytes: int) -> tuple[FoundMemory, ...]:
    """As many hits as fit into a reply, one at least."""
    size = 0
    for number, hit in enumerate(hits, start=1):
        size += hit.memory.size
        if size >= max_bytes:
            return tuple(hits[:number])
    return tuple(hits)


def _rank(found: FoundMemory) -> RankKey:
    record = found.memory.record
    return rank_key(found.relevance, record.time, record.address.place)


def _mismatch(search: Search, mode: Mode) -> Violation | None:
    """What the query gives that the mode does not take, or lacks."""
    if mode is Mode.RECENT:
        if search.text is not None or search.vector is not None:
            return Violation("query", "RECENT takes no query; leave it out or choose another mode")
        if search.min_relevance is not None:
            return Violation("min_relevance", "RECENT ranks by time alone; leave it out")
        return None
    if search.text is None and (search.vector is None or mode is not Mode.VECTOR):
        return Violation("query", f"{mode.value.upper()} needs a text; without a query use RECENT")
    return None
