"""List and count: walks with tokens, so that each memory that stays unchanged comes exactly once."""

from __future__ import annotations

from dataclasses import replace

from memplane_adapters.contract import Cursor, Order, Scan
from memplane_gateway.clock import Clock
from memplane_gateway.limits import PAGE_BYTES
from memplane_gateway.memory.model import Caller
from memplane_gateway.memory.planning import Plan, plan
from memplane_gateway.memory.questions import Counted, ListedPage, Listing, Selection
from memplane_gateway.memory.shelf import Row, Shelf, memory_of
from memplane_gateway.memory.tokens import PageTokens, Position, binding_of
from memplane_gateway.memory.walking import tally, walk


class Lister:
    """Walks over one shelf and counts on it."""

    def __init__(self, shelf: Shelf, clock: Clock, tokens: PageTokens, scan_budget: int) -> None:
        self._shelf = shelf
        self._clock = clock
        self._tokens = tokens
        self._scan_budget = scan_budget

    async def page(self, caller: Caller, listing: Listing) -> ListedPage:
        """The next page of a walk. Raises INVALID_ARGUMENT for a token of another one."""
        now = self._clock.now()
        binding = binding_of(caller, listing)
        position = None
        if listing.page_token:
            position = self._tokens.open(listing.page_token, binding, now)
        planned = plan(listing.selection.filter, self._shelf.capabilities)
        scan = Scan(
            scope=listing.selection.scope(caller.tenant, now),
            order=listing.order,
            descending=listing.descending,
            limit=listing.page_size,
            budget=self._scan_budget,
            filter=planned.pushed,
            vectors=listing.vectors,
        )
        if position is not None:
            scan = replace(
                scan,
                after=position.cursor,
                descending=listing.descending and not position.second,
            )
        newest_first = listing.order is Order.UPDATE_TIME and listing.descending
        since = position.since if position is not None else now
        if newest_first and position is None and (settled := self._clock.settled()) < now:
            # What is stamped from here on and not yet there belongs to the end of the walk.
            since = settled
            scan = replace(scan, after=Cursor(since - 1, (), ""))
        rows, end = await walk(self._shelf, scan, planned.residual)
        scanned, after = end.scanned, _onward(position, end.next)
        if newest_first:
            if position is None and rows:
                # Above the newest row too, should clocks disagree: what is unchanged comes once.
                since = max(since, rows[0].record.update_time + 1)
            if after is not None:
                after = replace(after, since=since)
            elif position is None or not position.second:
                more, after, extra = await self._written_since(
                    scan, planned, since, listing.page_size - len(rows), rows
                )
                rows += more
                scanned += extra
        report = planned.report(
            scanned,
            truncated=after is not None
            and len(rows) < listing.page_size
            and scanned >= self._scan_budget,
        )
        if listing.vectors:
            rows = await self._shelf.complete(rows)
        return ListedPage(
            tuple(memory_of(self._shelf, row, vectors=listing.vectors) for row in rows),
            self._tokens.seal(after, binding, now) if after is not None else "",
            report,
        )

    async def _written_since(
        self, scan: Scan, planned: Plan, since: int, room: int, so_far: list[Row]
    ) -> tuple[list[Row], Position | None, int]:
        """What was written since a walk newest first began, upwards.

        A memory that is written before such a walk reaches it moves to where the walk has been;
        here it is met after all. Returns rows, where to go on, and how many rows were looked at.
        """
        # No row is at the empty place, so this begins with the very first one written at `since`.
        start = Position(Cursor(since, (), ""), since, second=True)
        max_bytes = PAGE_BYTES - sum(row.size for row in so_far)
        if room <= 0 or max_bytes <= 0:
            return [], start, 0
        scan = replace(scan, after=start.cursor, descending=False, limit=room)
        rows, end = await walk(self._shelf, scan, planned.residual, max_bytes=max_bytes)
        return rows, _onward(start, end.next), end.scanned

    async def count(self, caller: Caller, selection: Selection) -> Counted:
        """How many memories; with a residual at most so many as the scan budget lets be seen."""
        scope = selection.scope(caller.tenant, self._clock.now())
        planned = plan(selection.filter, self._shelf.capabilities)
        if planned.residual is None:
            counted = await self._shelf.count(scope, planned.pushed)
            report = planned.report(counted.scanned, truncated=not counted.exact)
            return Counted(counted.count, report)
        scan = Scan(scope=scope, budget=self._scan_budget, filter=planned.pushed)
        count, end = await tally(self._shelf, scan, planned.residual)
        report = planned.report(end.scanned, truncated=end.next is not None)
        return Counted(count, report)


def _onward(position: Position | None, cursor: Cursor | None) -> Position | None:
    """The same walk from another place; None at its end."""
    if cursor is None:
        return None
    return replace(position, cursor=cursor) if position is not None else Position(cursor)
