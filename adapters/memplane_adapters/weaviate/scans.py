"""Walks and purges.

Weaviate sorts text without regard to case, so nothing is sorted by but numbers and hex digits. It
goes on behind a row neither with a filter nor beyond the ten thousandth: a walk goes on by asking for
what is greater than the last one. Sorting by two things at once reads every row, and rows of one time
come in any order: those of the time at which a page begins or ends are asked for by place.

The order of places is made of outlines (kit.walks) of the next two thousand places.
"""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Final
from uuid import UUID

from memplane_adapters.contract import (
    Address,
    Cursor,
    Order,
    Page,
    Scan,
    Stored,
    StoreError,
)
from memplane_adapters.kit.errors import after_write
from memplane_adapters.kit.walks import KEPT_SPOTS, Spot, Walks, delivered, is_behind, time_order
from memplane_adapters.weaviate import filters, rows
from memplane_adapters.weaviate.client import Client
from memplane_adapters.weaviate.errors import NoTenantError, malformed
from memplane_adapters.weaviate.filters import Selected
from memplane_adapters.weaviate.gates import Gates
from memplane_adapters.weaviate.reads import MOST_ROWS, QUORUM, Reader, Selection
from memplane_adapters.weaviate.stubs import batch_delete_pb2, search_get_pb2

_OUTLINED: Final = 2_000
_DELETED_AT_ONCE: Final = 1_000
_EXACT: Final = 2**53
"""Below it integers are kept as they are, beyond as the nearest double."""


class Scans:
    """The walks over the collections of one store."""

    def __init__(self, client: Client, reader: Reader, gates: Gates) -> None:
        self._client = client
        self._reader = reader
        self._gates = gates
        self._walks = Walks(kept=_OUTLINED)

    def noted(self, addresses: Iterable[Address]) -> None:
        """Something was written: walks under way are to find it, too."""
        for address in addresses:
            self._walks.noted(address, rows.id_of(address))

    async def page(self, selection: Selection, scan: Scan) -> Page:
        """The next page of a walk."""
        walk = _Walk(self._reader, selection, scan)
        if scan.order is Order.PLACE:
            return await self._walks.page(scan, lambda _low, _high: walk.outline(), walk.fetch)
        spots, more = await walk.in_time()
        page, _ = await delivered(scan, spots, walk.fetch, more=more)
        return page

    async def delete(self, selection: Selection) -> set[str]:
        """Delete rows, a thousand at most; which were there."""
        answer = await self._erase(selection, verbose=True)
        failed = [one.error for one in answer.objects if not one.successful]
        if failed:
            raise after_write(malformed(f"{len(failed)} rows were not deleted: {failed[0]}"))
        return {_id_of_bytes(one.uuid) for one in answer.objects}

    async def delete_where(self, selection: Selection, max_revision: int) -> int:
        """In parts, so that other writes come between; a row written meanwhile survives."""
        old = selection.narrowed(
            filters.text_compared(rows.REVISION, "lte", rows.revision_of(max_revision))
        )
        deleted = 0
        while True:
            try:
                found = await self._reader.search(old, _DELETED_AT_ONCE)
                if not found:
                    return deleted
                part = old.narrowed_to([rows.id_in(result) for result in found])
                async with self._gates.alone(part.door):
                    answer = await self._erase(part)
                if answer.failed:
                    raise malformed(f"{answer.failed} rows were not deleted")
            except StoreError as error:
                raise after_write(error) if deleted else error from error
            deleted += int(answer.successful)

    async def _erase(
        self, selection: Selection, *, verbose: bool = False
    ) -> batch_delete_pb2.BatchDeleteReply:
        collection, tenant = selection.door
        request = batch_delete_pb2.BatchDeleteRequest(
            collection=collection,
            tenant=tenant,
            filters=selection.filters,
            verbose=verbose,
            consistency_level=QUORUM,
        )
        try:
            return await self._client.erase(request)
        except NoTenantError:
            return batch_delete_pb2.BatchDeleteReply()


class _Walk:
    """One page of a walk: what is asked for it."""

    def __init__(self, reader: Reader, selection: Selection, scan: Scan) -> None:
        self._reader = reader
        self._selection = selection
        self._scan = scan
        self._time = scan.order.value

    async def outline(self) -> AsyncIterator[Iterable[Spot]]:
        """The next places, one more than are kept."""
        scan = self._scan
        yield await self._by_place(scan.after, _OUTLINED + 1, descending=scan.descending)

    async def fetch(self, spots: Sequence[Spot]) -> list[Stored | None]:
        """The rows of spots, as long as they are where they were and match."""
        found = await self._reader.rows(
            self._selection,
            [spot.id for spot in spots],
            vectors=self._scan.vectors,
            further=[rows.PLACE, rows.TIMES],
        )
        fetched: list[Stored | None] = []
        for spot in spots:
            result = found.get(spot.id)
            if result is None or self._spot(result).value != spot.value:
                fetched.append(None)
            else:
                vector = rows.vector_in(result) if self._scan.vectors else None
                fetched.append(Stored(rows.record_in(result), vector))
        return fetched

    async def in_time(self) -> tuple[list[Spot], bool]:
        """The next spots by time, enough for a page, and whether more may follow."""
        scan = self._scan
        wanted = min(scan.limit, scan.budget) + 1
        if scan.after is None:
            return await self._sorted_by_time(wanted)
        spots = await self._all_of(scan.after.value, wanted)
        if len(spots) >= wanted:
            return spots, True
        beyond = filters.compared(self._time, "lt" if scan.descending else "gt", scan.after.value)
        further, more = await self._sorted_by_time(wanted - len(spots), beyond)
        return spots + further, more

    async def _sorted_by_time(self, wanted: int, *further: Selected) -> tuple[list[Spot], bool]:
        descending = self._scan.descending
        number = min(wanted, MOST_ROWS)
        spots = await self._ask(number, self._time, *further, descending=descending)
        in_order = time_order(descending=descending)
        if len(spots) < number:
            return sorted(spots, key=in_order), False
        last = filters.rounded(spots[-1].value)
        before = [spot for spot in spots if filters.rounded(spot.value) != last]
        before.sort(key=in_order)
        return before + await self._all_of(spots[-1].value, wanted), True

    async def _all_of(self, value: int, wanted: int) -> list[Spot]:
        """The spots of one time as it is kept, behind the cursor; so many at least, if there are."""
        same = filters.is_time(self._time, value)
        after = self._scan.after
        if abs(value) < _EXACT:
            behind = after if after is not None and after.value == value else None
            return await self._by_place(behind, min(wanted, MOST_ROWS), same)
        # Several times, kept as one: they are told apart here.
        in_order = time_order(descending=self._scan.descending)
        spots: list[Spot] = []
        last: Cursor | None = None
        while True:
            part = await self._by_place(last, MOST_ROWS, same)
            spots += (spot for spot in part if is_behind(spot, self._scan))
            spots = heapq.nsmallest(KEPT_SPOTS, spots, key=in_order)
            if len(part) < MOST_ROWS:
                return spots
            last = Cursor(0, part[-1].namespace, part[-1].key)

    async def _by_place(
        self, behind: Cursor | None, limit: int, *further: Selected, descending: bool = False
    ) -> list[Spot]:
        """The next spots in the order of places."""
        more = list(further)
        if behind is not None:
            place = rows.place_of(behind.namespace, behind.key)
            more.append(filters.text_compared(rows.PLACE, "lt" if descending else "gt", place))
        return await self._ask(limit, rows.PLACE, *more, descending=descending)

    async def _ask(
        self, limit: int, sorted_by: str, *further: Selected, descending: bool
    ) -> list[Spot]:
        selection = self._selection.narrowed(*further) if further else self._selection
        results = await self._reader.search(
            selection,
            limit,
            [rows.PLACE, rows.TIMES],
            sort_by=[search_get_pb2.SortBy(ascending=not descending, path=[sorted_by])],
        )
        return [self._spot(result) for result in results]

    def _spot(self, result: search_get_pb2.SearchResult) -> Spot:
        return rows.spot_in(result, self._scan.order)


def _id_of_bytes(given: bytes) -> str:
    return rows.read(lambda: str(UUID(bytes=given)))
