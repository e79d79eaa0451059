"""Walks, counts and purges.

Qdrant sorts no strings, so the order of places is made of outlines (kit.walks). It sorts integers, but
rows of equal ones come in any order and there is no going on behind one of them: the rows of the time
at which a page begins or ends are looked at as a whole, and sorted by place here.
"""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Final

from qdrant_client import models

from memplane_adapters.contract import (
    Address,
    Count,
    Filter,
    Order,
    Page,
    Scan,
    Scope,
    Stored,
    StoreError,
)
from memplane_adapters.kit.errors import after_write
from memplane_adapters.kit.walks import KEPT_SPOTS, Spot, Walks, delivered, is_behind, time_order
from memplane_adapters.qdrant import filters, rows
from memplane_adapters.qdrant.engine import Engine
from memplane_adapters.qdrant.writes import delete_as_seen

_OUTLINED_ROWS: Final = 2_000
_DELETED_ROWS: Final = 1_000


class Scans:
    """The walks over the collections of one store."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._walks = Walks()

    async def page(self, collection: str, scan: Scan) -> Page:
        """The next page of a walk."""
        selected = filters.select(scan.scope, scan.filter)
        if selected is None:
            return Page((), None, 0)
        walk = _Walk(self._engine, collection, scan, selected)
        if scan.order is Order.PLACE:
            return await self._walks.page(scan, lambda _low, _high: walk.outline(), walk.fetch)
        spots, more = await walk.in_time()
        page, _ = await delivered(scan, spots, walk.fetch, more=more)
        return page

    def noted(self, addresses: Iterable[Address]) -> None:
        """Something was written: walks under way are to find it, too."""
        for address in addresses:
            self._walks.noted(address, rows.id_of(address))

    async def count(self, collection: str, scope: Scope, tree: Filter | None) -> Count:
        """How many rows there are."""
        selected = filters.select(scope, tree)
        if selected is None:
            return Count(0, 0)
        found = await self.number(collection, selected)
        return Count(found, found)

    async def number(self, collection: str, selected: models.Filter) -> int:
        """How many points a filter selects."""
        answer: models.CountResult = await self._engine.call(
            "count", collection_name=collection, count_filter=selected, exact=True
        )
        return int(answer.count)

    async def delete_where(
        self, collection: str, scope: Scope, tree: Filter | None, max_revision: int
    ) -> int:
        """Delete what is seen, unless it is written again meanwhile; says how many were seen."""
        selected = filters.select(scope, tree)
        if selected is None:
            return 0
        deleted, offset = 0, None
        try:
            while True:
                found, offset = await self._engine.call(
                    "scroll",
                    collection_name=collection,
                    scroll_filter=selected,
                    limit=_DELETED_ROWS,
                    offset=offset,
                    with_payload=[rows.REVISION, rows.WRITE, rows.WRITES],
                )
                versions = {str(point.id): rows.version_of(point.payload) for point in found}
                old = {
                    point_id: version.write
                    for point_id, version in versions.items()
                    if version.revision <= max_revision
                }
                if old:
                    await delete_as_seen(self._engine, collection, old)
                    deleted += len(old)
                if offset is None:
                    return deleted
        except StoreError as error:
            raise after_write(error) if deleted else error from error


class _Walk:
    """One page of a walk: what is asked for it."""

    def __init__(
        self, engine: Engine, collection: str, scan: Scan, selected: models.Filter
    ) -> None:
        self._engine = engine
        self._collection = collection
        self._scan = scan
        self._selected = selected
        self._time = None if scan.order is Order.PLACE else scan.order.value

    async def outline(self, *further: models.Condition) -> AsyncIterator[Iterable[Spot]]:
        """All spots, in the order of their ids."""
        offset: Any = None
        while True:
            found, offset = await self._scroll(*further, limit=_OUTLINED_ROWS, offset=offset)
            yield [self._spot(point) for point in found]
            if offset is None:
                return

    async def fetch(self, spots: Sequence[Spot]) -> list[Stored | None]:
        """The rows of spots, as long as they are where they were and match."""
        payload = [rows.RECORD] if self._time is None else [rows.RECORD, self._time]
        found, _ = await self._engine.call(
            "scroll",
            collection_name=self._collection,
            scroll_filter=filters.both(self._selected, filters.of_ids([one.id for one in spots])),
            limit=len(spots),
            with_payload=payload,
            with_vectors=[rows.VECTOR] if self._scan.vectors else False,
        )
        by_id: dict[str, models.Record] = {str(point.id): point for point in found}
        fetched: list[Stored | None] = []
        for spot in spots:
            point = by_id.get(spot.id)
            if point is None or self._value(point) != spot.value:
                fetched.append(None)
            else:
                fetched.append(rows.stored(point, vectors=self._scan.vectors))
        return fetched

    async def in_time(self) -> tuple[list[Spot], bool]:
        """The next spots by time, enough for a page, and whether more may follow."""
        scan = self._scan
        wanted = min(scan.limit, scan.budget) + 1
        if scan.after is None:
            return await self._sorted_by_time(wanted)
        spots = await self._all_of(scan.after.value)
        if len(spots) >= wanted:
            return spots, True
        if scan.descending:
            rest = self._between(None, scan.after.value)
        else:
            rest = self._between(scan.after.value + 1, None)
        further, more = await self._sorted_by_time(wanted - len(spots), rest)
        return spots + further, more

    async def _sorted_by_time(
        self, wanted: int, *further: models.Condition
    ) -> tuple[list[Spot], bool]:
        assert self._time is not None, "an order by time"
        descending = self._scan.descending
        order = models.OrderBy(
            key=self._time,
            direction=models.Direction.DESC if descending else models.Direction.ASC,
        )
        found, _ = await self._scroll(*further, limit=wanted, order_by=order)
        spots = [self._spot(point) for point in found]
        if len(spots) < wanted:
            return sorted(spots, key=time_order(descending=descending)), False
        last = spots[-1].value
        before = [spot for spot in spots if spot.value != last]
        before.sort(key=time_order(descending=descending))
        return before + await self._all_of(last), True

    async def _all_of(self, value: int) -> list[Spot]:
        """The spots of one time behind the cursor, by place; the first KEPT_SPOTS of them."""
        spots: list[Spot] = []
        async for part in self.outline(self._between(value, value + 1)):
            spots += (spot for spot in part if is_behind(spot, self._scan))
            if len(spots) > KEPT_SPOTS:
                spots = heapq.nsmallest(KEPT_SPOTS, spots)
        return sorted(spots)

    def _between(self, low: int | None, high: int | None) -> models.Condition:
        assert self._time is not None, "an order by time"
        return filters.between(self._time, low, high)

    async def _scroll(
        self, *further: models.Condition, limit: int, **options: Any
    ) -> tuple[list[models.Record], Any]:
        selected = self._selected
        for condition in further:
            selected = filters.both(selected, condition)
        payload = [rows.NAMESPACE, rows.KEY] + ([] if self._time is None else [self._time])
        found: tuple[list[models.Record], Any] = await self._engine.call(
            "scroll",
            collection_name=self._collection,
            scroll_filter=selected,
            limit=limit,
            with_payload=payload,
            **options,
        )
        return found

    def _spot(self, point: models.Record) -> Spot:
        return Spot(self._value(point), *rows.place_of(point.payload or {}), str(point.id))

    def _value(self, point: models.Record) -> int:
        name = self._time
        return 0 if name is None else rows.read(lambda: int((point.payload or {})[name]))
