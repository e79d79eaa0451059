"""Reads: what is asked of all stores without changing anything."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.parity.plain import plain, ranking, shown
from tests.parity.requests import Name, Place, Shown, Where
from tests.parity.sides import Side
from tests.parity.vectors import vector

from memplane import (
    Mode,
    Order,
)

MOST_PAGES = 300
DEFAULT_LIMIT = 50


@dataclass(frozen=True, repr=False)
class GetMany(Shown):
    """Reads by ref; the same ref may stand twice."""

    names: Sequence[Name]
    with_vectors: bool = False

    async def ask(self, side: Side) -> Any:
        """Send it."""
        refs = [name.ref(side) for name in self.names]
        return plain(
            await side.door.client.get_many(refs, with_vectors=self.with_vectors), side.versions
        )


@dataclass(frozen=True, repr=False)
class Search(Shown):
    """A search."""

    where: Where
    mode: Mode = Mode.AUTO
    text: str | None = None
    vector: str = ""
    limit: int = 0
    min_relevance: float | None = None
    window: tuple[datetime | None, datetime | None] = (None, None)
    exact: bool = False
    with_vectors: bool = False
    like: Name | None = None
    """Of the kind that is searched, whatever its own is."""
    half_life: float | None = None
    importance_weight: float = 0.0
    diversity: float = 0.0

    async def ask(self, side: Side) -> Any:
        """Send it."""
        like = None
        if self.like is not None:
            like = dataclasses.replace(self.like, kind=self.where.kind).ref(side)
        result = await side.scope(self.where.place).search(
            self.text,
            mode=self.mode,
            vector=vector(self.vector),
            like=like,
            recency_half_life=self.half_life,
            importance_weight=self.importance_weight,
            diversity=self.diversity,
            limit=self.limit,
            min_relevance=self.min_relevance,
            time_from=self.window[0],
            time_to=self.window[1],
            exact=self.exact,
            with_vectors=self.with_vectors,
            **self.where.given(),
        )
        return ranking(
            result,
            side.versions,
            limit=self.limit or DEFAULT_LIMIT,
            floor=self.min_relevance,
            by_relevance=not self.diversity,
        )


@dataclass(frozen=True, repr=False)
class Tally(Shown):
    """A count."""

    where: Where

    async def ask(self, side: Side) -> Any:
        """Send it."""
        return plain(await side.scope(self.where.place).count(**self.where.given()), side.versions)


@dataclass(frozen=True, repr=False)
class Survey(Shown):
    """Figures, and the namespaces that they are of."""

    where: Where
    max_depth: int | None = None
    suffix: Place = ()

    async def ask(self, side: Side) -> Any:
        """Ask for both."""
        scope = side.scope(self.where.place)
        given = self.where.given()
        figures = (await scope.statistics(given.pop("kind"), **given))[self.where.kind]
        found = scope.namespaces(
            self.where.kind, max_depth=self.max_depth, suffix=self.suffix, page_size=2
        )
        return {
            "figures": plain(dataclasses.replace(figures, filter=None), side.versions),
            "namespaces": [
                [shown(label, side.versions.label) for label in labels] async for labels in found
            ],
        }


@dataclass(frozen=True, repr=False)
class Listing(Shown):
    """A whole walk, page by page. Where pages end is not compared, only that they are no longer."""

    where: Where
    order: Order = Order.KEY
    descending: bool = False
    page_size: int = 0
    with_vectors: bool = False

    def start(self, side: Side) -> Any:
        """The walk on a side, before its first call."""
        return side.scope(self.where.place).list(
            order=self.order,
            descending=self.descending,
            page_size=self.page_size,
            with_vectors=self.with_vectors,
            **self.where.given(),
        )

    async def ask(self, side: Side) -> Any:
        """Walk to the end."""
        rows: list[Any] = []
        truncated, pages = False, 0
        async for page in self.start(side).pages():
            assert len(page) <= (self.page_size or DEFAULT_LIMIT), "a page longer than asked"
            rows += plain(page.memories, side.versions)
            truncated |= page.filter is not None and page.filter.truncated
            pages += 1
            assert pages <= MOST_PAGES, "a walk without an end"
        if self.order is Order.KEY and not self.descending:
            scan = side.scope(self.where.place).scan(
                page_size=self.page_size, with_vectors=self.with_vectors, **self.where.given()
            )
            scanned = plain([memory async for memory in scan], side.versions)
            assert scanned == rows, "a scan brings what a listing does"
        return {"memories": rows, "truncated": truncated}


@dataclass(frozen=True, repr=False)
class NextPage(Shown):
    """One page of a walk during which other requests are made; `listing` begins it."""

    listing: Listing | None = None

    async def ask(self, side: Side) -> Any:
        """Take the page; an end that one store knows sooner than another is an empty page."""
        if self.listing is not None:
            side.walk = (self.listing.start(side), "")
        if side.walk is None:
            return []
        walk, token = side.walk
        page = await walk.page(token)
        side.walk = (walk, page.next_page_token) if page.next_page_token else None
        return plain(page.memories, side.versions)
