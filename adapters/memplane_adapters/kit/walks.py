"""Ordered walks over stores that cannot order, or not by everything.

What an adapter brings is an *outline*: where the rows of a scope stand, without their records, in
any order. A walk sorts that and fetches the rows themselves, page by page.

Orders by time look at windows that grow until they hold a page, and remember how wide that was.
The order of places takes one outline of the whole scope for a walk, and keeps its next places for
the pages that follow; a walk that nobody goes on with is forgotten. What this process writes
meanwhile is noted in it; of what others write, a walk may miss rows that are younger than itself.
"""

from __future__ import annotations

import heapq
import time
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias, TypeVar

from memplane_adapters.contract import Address, Cursor, Order, Page, Scan, Scope, Stored

T = TypeVar("T")

KEPT_SPOTS: Final = 10_000
"""Most places that are held of one outline; a longer walk takes several outlines."""
_KEPT_WALKS: Final = 16
_KEPT_SECONDS: Final = 30.0
_FETCHED_ROWS: Final = 100
_FIRST_WINDOW: Final = 3_600_000_000
_WINDOW_GROWTH: Final = 16
_WIDEST_WINDOW: Final = 2**55
_KEPT_WIDTHS: Final = 1024


class Spot(NamedTuple):
    """Where a row stands, and by what its store finds it."""

    value: int
    """Its update_time or time, as the order says; 0 for Order.PLACE."""
    namespace: tuple[str, ...]
    key: str
    id: str


def order_value(order: Order, time: int, update_time: int) -> int:
    """What a row goes by."""
    if order is Order.PLACE:
        return 0
    return time if order is Order.TIME else update_time


Outline: TypeAlias = Callable[[int | None, int | None], AsyncIterator[Iterable[Spot]]]
"""The spots of the rows that match scope and filter and whose value is at least the first bound and
below the second (None: no bound), in parts, in any order; each row that stays unchanged once."""

Fetch: TypeAlias = Callable[[Sequence[Spot]], Awaitable[Sequence[Stored | None]]]
"""The rows of spots, in their order; None for one that is gone, has left scope or filter, or, when
walking by time, has another value now."""


class Walks:
    """The walks of one store."""

    def __init__(
        self,
        now: Callable[[], int] = lambda: time.time_ns() // 1000,
        kept: int = KEPT_SPOTS,
    ) -> None:
        """Holds so many places of an outline, where a store can give the next ones alone."""
        self._now = now
        self._kept = kept
        self._places: OrderedDict[tuple[object, ...], _PlaceWalk] = OrderedDict()
        self._widths: OrderedDict[tuple[object, ...], int] = OrderedDict()
        self._beginning: set[_Beginning] = set()

    def noted(self, address: Address, id: str) -> None:
        """A row was written: walks under way are to find it, too, if they have not passed it.

        To be called after the write. Whether the row matches is seen when it is fetched.
        """
        spot = Spot(0, address.namespace, address.key, id)
        for walk in self._places.values():
            if walk.scan.scope.covers(address):
                walk.insert(spot)
        for beginning in self._beginning:
            if beginning.scan.scope.covers(address):
                beginning.missed.append(spot)

    async def page(self, scan: Scan, outline: Outline, fetch: Fetch) -> Page:
        """The next page of a walk."""
        if scan.order is Order.PLACE:
            return await self._page_of_places(scan, outline, fetch)
        return await self._page_of_times(scan, outline, fetch)

    async def _page_of_times(self, scan: Scan, outline: Outline, fetch: Fetch) -> Page:
        key = (*_scope_key(scan.scope), scan.order, scan.descending)
        width = self._widths.get(key, _FIRST_WINDOW)
        while True:
            low, high = _window(scan, width, self._now())
            whole = low is None if scan.descending else high is None
            spots, more = await _sorted(scan, outline(low, high), self._kept)
            if len(spots) > scan.limit or more or whole:
                break
            width *= _WINDOW_GROWTH
        if len(spots) > scan.limit * _WINDOW_GROWTH:
            width = max(width // _WINDOW_GROWTH, _FIRST_WINDOW)  # the scope has grown
        _keep(self._widths, key, width, _KEPT_WIDTHS)
        page, _ = await delivered(scan, spots, fetch, more=more or not whole)
        return page

    async def _page_of_places(self, scan: Scan, outline: Outline, fetch: Fetch) -> Page:
        self._forget_old_walks()
        key = (*_scope_key(scan.scope), repr(scan.filter), scan.descending)
        walk = self._places.get(key)
        spots = walk.behind(scan.after, scan.resumes) if walk is not None else None
        if walk is None or spots is None:
            walk = await self._begun(scan, outline)
            spots = walk.in_order(walk.spots)
            _keep(self._places, key, walk, _KEPT_WALKS)
        page, _ = await delivered(scan, spots, fetch, more=walk.more)
        if page.next is not None:
            walk.ends.add((page.next.namespace, page.next.key))
        return page

    async def _begun(self, scan: Scan, outline: Outline) -> _PlaceWalk:
        beginning = _Beginning(scan)
        self._beginning.add(beginning)
        try:
            spots, more = await _sorted(scan, outline(None, None), self._kept)
        finally:
            self._beginning.remove(beginning)
        walk = _PlaceWalk(scan, sorted(spots, key=_place), more)
        for spot in beginning.missed:
            if is_behind(spot, scan):
                walk.insert(spot)
        return walk

    def _forget_old_walks(self) -> None:
        oldest = time.monotonic() - _KEPT_SECONDS
        for key in [key for key, walk in self._places.items() if walk.made < oldest]:
            del self._places[key]


_Place: TypeAlias = tuple[tuple[str, ...], str]


@dataclass(eq=False, slots=True)
class _Beginning:
    """A walk that takes its outline. Several may ask the same at once, and none is another."""

    scan: Scan
    missed: list[Spot] = field(default_factory=list)
    """What was written meanwhile, which the outline may lack."""


@dataclass(slots=True)
class _PlaceWalk:
    """The next places of a walk, and where its pages ended."""

    scan: Scan
    spots: list[Spot]
    """Upwards, whatever the walk's direction."""
    more: bool
    """Whether there are places beyond the walk's last one."""
    ends: set[_Place] = field(default_factory=set)
    made: float = field(default_factory=time.monotonic)

    def behind(self, after: Cursor | None, resumes: Cursor | None) -> list[Spot] | None:
        """What comes next behind the end of a page of this walk, or further on.

        None: that is not known, nor behind other places.
        """
        end = resumes or after
        if after is None or end is None or (end.namespace, end.key) not in self.ends:
            return None
        place = (after.namespace, after.key)
        if self.scan.descending:
            spots = self.in_order(self.spots[: bisect_left(self.spots, place, key=_place)])
        else:
            spots = self.spots[bisect_right(self.spots, place, key=_place) :]
        return spots if spots or not self.more else None

    def in_order(self, spots: list[Spot]) -> list[Spot]:
        """Places as the walk meets them."""
        return spots[::-1] if self.scan.descending else spots[:]

    def insert(self, spot: Spot) -> None:
        """Take up a place, unless it is there or lies beyond the last one."""
        at = bisect_left(self.spots, _place(spot), key=_place)
        if at < len(self.spots) and _place(self.spots[at]) == _place(spot):
            return
        if self.more and at == (0 if self.scan.descending else len(self.spots)):
            return
        self.spots.insert(at, spot)


def _place(spot: Spot) -> _Place:
    return spot.namespace, spot.key


async def delivered(
    scan: Scan, spots: Sequence[Spot], fetch: Fetch, *, more: bool
) -> tuple[Page, int]:
    """A page of the rows at sorted spots, and how many of these were looked at.

    Ends at the scan's limit, budget or bytes; `more` says that rows follow the last spot.
    """
    rows: list[Stored] = []
    looked_at = size = 0
    most = min(len(spots), scan.budget)
    while looked_at < most and len(rows) < scan.limit and size < scan.max_bytes:
        room = min(scan.limit - len(rows), _FETCHED_ROWS, most - looked_at)
        for row in await fetch(spots[looked_at : looked_at + room]):
            looked_at += 1
            if row is None:
                continue
            rows.append(row)
            size += row.size
            if size >= scan.max_bytes:
                break
    ended = looked_at == len(spots) and not more
    if ended:
        return Page(tuple(rows), None, looked_at), looked_at
    if not looked_at:  # rows may follow, but none was seen
        return Page((), scan.after, 0), 0
    last = spots[looked_at - 1]
    return Page(tuple(rows), Cursor(last.value, last.namespace, last.key), looked_at), looked_at


async def _sorted(
    scan: Scan, parts: AsyncIterator[Iterable[Spot]], most: int
) -> tuple[list[Spot], bool]:
    """The first ones behind the scan's cursor, in order, and whether there are more."""
    kept: list[Spot] = []
    more = False
    async for part in parts:
        kept += (spot for spot in part if is_behind(spot, scan))
        if len(kept) > 2 * most:
            kept, more = _first(kept, scan, most), True
    more = more or len(kept) > most
    return _first(kept, scan, most), more


def _first(spots: Iterable[Spot], scan: Scan, most: int) -> list[Spot]:
    if scan.order is Order.PLACE:
        choose = heapq.nlargest if scan.descending else heapq.nsmallest
        return choose(most, spots, key=_place)
    return heapq.nsmallest(most, spots, key=time_order(descending=scan.descending))


def time_order(*, descending: bool) -> Callable[[Spot], tuple[int, tuple[str, ...], str]]:
    """What spots are sorted by in an order by time: ties go by place, upwards in both directions."""
    sign = -1 if descending else 1
    return lambda spot: (sign * spot.value, spot.namespace, spot.key)


def is_behind(spot: Spot, scan: Scan) -> bool:
    """Whether a spot comes after the scan's cursor."""
    after = scan.after
    if after is None:
        return True
    here, there = (spot.namespace, spot.key), (after.namespace, after.key)
    if scan.order is Order.PLACE:
        return here < there if scan.descending else here > there
    if spot.value == after.value:
        return here > there
    return (spot.value < after.value) is scan.descending


def _window(scan: Scan, width: int, now: int) -> tuple[int | None, int | None]:
    """The values to look at: so many microseconds on from the cursor, or back from now."""
    widest = width > _WIDEST_WINDOW
    after = scan.after
    if scan.descending:
        start = now if after is None else after.value
        return None if widest else start - width, None if after is None else after.value + 1
    if after is None:
        return None, None  # nobody knows where the oldest is
    return after.value, None if widest else after.value + width


def _scope_key(scope: Scope) -> tuple[object, ...]:
    return scope.tenant, scope.kind, scope.namespace, scope.exact, scope.expired


def _keep(
    kept: OrderedDict[tuple[object, ...], T], key: tuple[object, ...], it: T, most: int
) -> None:
    kept[key] = it
    kept.move_to_end(key)
    if len(kept) > most:
        kept.popitem(last=False)
