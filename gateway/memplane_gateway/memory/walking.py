"""Walk over a shelf, re-checking each row, until enough rows are found or the budget is spent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from memplane_adapters.contract import Cursor, Order, Predicate, Scan
from memplane_gateway.limits import PAGE_BYTES, SCAN_BYTES
from memplane_gateway.memory.model import Record
from memplane_gateway.memory.shelf import Row, Shelf, fields_of, open_row
from memplane_gateway.pacing import paced

_TALLY_ROWS = 512


@dataclass(frozen=True, slots=True)
class Position:
    """How far a walk came: rows looked at, and where to go on (None: it is at its end)."""

    scanned: int
    next: Cursor | None


async def walk(
    shelf: Shelf, scan: Scan, residual: Predicate | None, *, max_bytes: int = PAGE_BYTES
) -> tuple[list[Row], Position]:
    """At most `scan.limit` rows and about `max_bytes` of records, of `scan.budget` looked at."""
    found: list[Row] = []
    scanned = size = 0
    while True:
        page = await shelf.scan(
            replace(
                scan,
                limit=scan.limit - len(found),
                budget=scan.budget - scanned,
                max_bytes=max_bytes - size,
            )
        )
        scanned += page.scanned
        async for stored in paced(page.rows):
            row = open_row(shelf.codec, stored, scan.scope, vectors=scan.vectors)
            if row is None or (residual is not None and not residual(fields_of(row.record))):
                continue
            found.append(row)
            size += row.size
            if size >= max_bytes and stored is not page.rows[-1]:
                # A store that knows no max_bytes.
                return found, Position(scanned, cursor_of(row, scan.order))
        done = len(found) >= scan.limit or scanned >= scan.budget or size >= max_bytes
        if page.next is None or done:
            return found, Position(scanned, page.next)
        scan = replace(scan, after=page.next)


async def tally(shelf: Shelf, scan: Scan, residual: Predicate) -> tuple[int, Position]:
    """How many rows match among `scan.budget` looked at; they are not kept."""
    count = 0

    def see(_: Record) -> None:
        nonlocal count
        count += 1

    end = await visit(shelf, scan, residual, see)
    return count, end


async def visit(
    shelf: Shelf, scan: Scan, residual: Predicate | None, see: Callable[[Record], None]
) -> Position:
    """See each row that matches among `scan.budget` looked at; they are not kept."""
    scanned = 0
    while True:
        limit = min(_TALLY_ROWS, scan.budget - scanned)
        page = await shelf.scan(
            replace(scan, limit=limit, budget=scan.budget - scanned, max_bytes=SCAN_BYTES)
        )
        scanned += page.scanned
        async for stored in paced(page.rows):
            row = open_row(shelf.codec, stored, scan.scope)
            if row is not None and (residual is None or residual(fields_of(row.record))):
                see(row.record)
        if page.next is None or scanned >= scan.budget:
            return Position(scanned, page.next)
        scan = replace(scan, after=page.next)


def cursor_of(row: Row, order: Order) -> Cursor:
    """Where a row stands in an order."""
    record = row.record
    value = {Order.PLACE: 0, Order.UPDATE_TIME: record.update_time, Order.TIME: record.time}[order]
    return Cursor(value, record.address.namespace, record.address.key)
