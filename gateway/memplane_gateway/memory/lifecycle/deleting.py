"""Delete by what memories are: walk over them, and delete each at the revision that was read.

So a filter that the store cannot evaluate exactly never deletes more, and a row that is written
meanwhile survives. Over a store that cannot compare revisions each row is read again under a lease,
like in every other write: a write that is under way neither loses its row nor brings back what was
deleted.

A call looks at so many rows as the scan budget allows, and ends early when half of its time is over.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from memplane_adapters.contract import Cursor, Delete, Predicate, Scan, StoreError, WriteStatus
from memplane_gateway.clock import Clock
from memplane_gateway.deadline import is_late, remaining
from memplane_gateway.errors import MemplaneError, from_store
from memplane_gateway.memory.further import RowDelete
from memplane_gateway.memory.model import Outcome, Record, Written
from memplane_gateway.memory.questions import ForgottenMemory
from memplane_gateway.memory.shelf import Row, Shelf
from memplane_gateway.memory.walking import walk
from memplane_gateway.memory.write.leases import Turn, needs_leases
from memplane_gateway.memory.write.writing import Writer

_ROWS = 500
"""Rows that are deleted at once."""

Doomed: TypeAlias = Callable[[Record], bool]
"""Whether a memory is to be deleted, as it is."""

Still: TypeAlias = Callable[[Record, Record], bool]
"""Whether a memory that was seen (first) is still to be deleted as it is now (second)."""

Gone: TypeAlias = Callable[[Record], None]
"""Told of each memory that was deleted, as it was seen."""


@dataclass(slots=True)
class Progress:
    """How far a call that deletes came."""

    bound: int
    """Rows of later revisions stay."""
    after: Cursor | None = None
    """Where to go on; None is the beginning or, when it is over, the end."""
    count: int = 0
    """Memories that this call has deleted, as far as is known."""
    over: bool = False
    """Whether this call is: what is left is for the next one."""
    token: str = ""
    """For the next one, once this is over."""
    told: list[ForgottenMemory] = field(default_factory=list)
    """The first of them, where the caller is to hear which they are."""

    def encode(self) -> str:
        """As a note."""
        return json.dumps(
            {
                "bound": self.bound,
                "after": encoded_cursor(self.after),
                "count": self.count,
                "over": self.over,
                "token": self.token,
                "told": [
                    [each.namespace, each.key, each.age, each.inactive_for, each.importance]
                    for each in self.told
                ],
            }
        )

    @classmethod
    def decode(cls, note: str) -> Progress:
        """From a note."""
        read = json.loads(note)
        told = [ForgottenMemory(tuple(labels), *rest) for labels, *rest in read["told"]]
        cursor = decoded_cursor(read["after"])
        return cls(read["bound"], cursor, read["count"], read["over"], read["token"], told)


def encoded_cursor(cursor: Cursor | None) -> list[Any] | None:
    """A place in a walk, for a note."""
    return None if cursor is None else [cursor.value, cursor.namespace, cursor.key]


def decoded_cursor(read: list[Any] | None) -> Cursor | None:
    """From a note."""
    if read is None:
        return None
    value, namespace, key = read
    return Cursor(value, tuple(namespace), key)


class Deleter:
    """Deletes from one shelf."""

    def __init__(
        self, route: str, shelf: Shelf, clock: Clock, writer: Writer, *, scan_budget: int
    ) -> None:
        self._route = route
        self._shelf = shelf
        self._clock = clock
        self._writer = writer
        self._scan_budget = scan_budget

    async def walk(
        self,
        scan: Scan,
        residual: Predicate | None,
        doomed: Doomed,
        progress: Progress,
        gone: Gone,
        *,
        dry_run: bool = False,
    ) -> int:
        """Delete what a walk comes by that is doomed, until its end or that of the call.

        `progress.after` follows. A dry run only tells `gone`. Returns how many rows were looked at.
        """

        def still(_: Record, now: Record) -> bool:
            return now.revision <= progress.bound and doomed(now)

        scanned, time_left = 0, remaining()
        scan = replace(scan, limit=_ROWS)
        while True:
            scan = replace(scan, after=progress.after, budget=self._scan_budget - scanned)
            rows, position = await walk(self._shelf, scan, residual)
            records = [row.record for row in rows if still(row.record, row.record)]
            if dry_run:
                for record in records:
                    gone(record)
            elif records:
                await self.delete(records, still, gone)
            progress.after = position.next
            scanned += position.scanned
            if position.next is None or scanned >= self._scan_budget or is_late(time_left):
                return scanned

    async def delete(
        self, seen: Sequence[Record], still: Still, gone: Gone, *, expired: bool = False
    ) -> None:
        """Delete memories that are as they were seen, or `still` to go as they are now.

        They are alive, or with `expired` are not. Raises the first failure.
        """
        # What has expired is read again: it may have been renewed, which keeps its revision.
        if not expired and not needs_leases(self._shelf.capabilities):
            seen = await self._delete_as_seen(seen, gone)
        if not seen:
            return
        round_ = functools.partial(self._round, still, expired=expired)
        written = await self._writer.until_settled(seen, round_, vectors=False)
        for record, each in zip(seen, written, strict=True):
            if each.outcome is Outcome.DELETED:
                gone(record)
        for each in written:
            if each.error is not None:
                raise each.error

    async def _delete_as_seen(self, seen: Sequence[Record], gone: Gone) -> list[Record]:
        """Delete what has not changed since it was seen; says what has, and raises as above."""
        deletes = [RowDelete.of(record) for record in seen]
        results = await self._shelf.delete(deletes, atomic=False)
        for record, result in zip(seen, results, strict=True):
            if result.status is WriteStatus.APPLIED:
                gone(record)
        for result in results:
            if result.error is not None:
                raise result.error
        return [
            record
            for record, result in zip(seen, results, strict=True)
            if result.status is WriteStatus.CONFLICT
        ]

    async def _round(
        self,
        still: Still,
        batch: Sequence[Record],
        rows: Sequence[Row | None],
        turn: Turn,
        *,
        expired: bool,
    ) -> list[Written | None]:
        """Delete what is there now and still to go (see `Writer.until_settled`)."""
        now = self._clock.now()
        settled: list[Written | None] = [None] * len(batch)
        deletes: dict[int, Delete] = {}
        for index, (seen, row) in enumerate(zip(batch, rows, strict=True)):
            there = row is not None and row.record.alive(now) is not expired
            if row is not None and there and still(seen, row.record):
                deletes[index] = RowDelete.of(row.record)
            else:
                settled[index] = Written(seen.address, Outcome.MISSING)
        doomed = list(deletes.values())
        if not doomed:
            return settled
        send = functools.partial(self._shelf.delete, doomed, atomic=False)
        results = await turn.finish(send, [delete.address for delete in doomed], gone=True)
        for index, result in zip(deletes, results, strict=True):
            address = batch[index].address
            if result.status is WriteStatus.APPLIED:
                settled[index] = Written(address, Outcome.DELETED)
            elif result.error is not None:
                settled[index] = Written(address, error=from_store(result.error, self._route))
        return settled


def broken_off(
    route: str, what: str, error: StoreError | MemplaneError, counter: str, count: int
) -> MemplaneError:
    """What a caller hears of a failure after `count` memories were deleted (`counter` names it)."""
    told = from_store(error, route) if isinstance(error, StoreError) else error
    return MemplaneError(
        told.code,
        told.reason,
        f"{route}: the {what} broke off after {count} memories were deleted; send it again to go on",
        metadata={**told.metadata, counter: str(count)},
        retry_after=told.retry_after,
    )
