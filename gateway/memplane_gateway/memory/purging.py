"""Purges: walk over what is asked for, and delete what was there when the purge began.

Rows are deleted by address, each at the revision that was read, so that a filter that the store cannot
evaluate exactly never deletes more, and a row that is written meanwhile survives. Over a store that
cannot compare revisions each row is read again under a lease, like in every other write: a write that
is under way neither loses its row to the purge nor brings back what was purged.

A call looks at so many rows as the scan budget allows, and ends early when half of its time is over; a
token says where to go on, and under which revision.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from memplane_adapters.contract import (
    Address,
    Cursor,
    Delete,
    Predicate,
    Scan,
    StoreError,
    WriteStatus,
    compile_filter,
)
from memplane_gateway.clock import Clock
from memplane_gateway.deadline import is_late, remaining
from memplane_gateway.errors import MemplaneError, from_store, is_ambiguous
from memplane_gateway.memory.leases import Turn, needs_leases
from memplane_gateway.memory.model import Caller, Operation, Outcome, Written
from memplane_gateway.memory.notes import CallNotes, Notebook
from memplane_gateway.memory.planning import plan
from memplane_gateway.memory.questions import FilterReport, Purge, Purged
from memplane_gateway.memory.shelf import Row, Shelf, alive_row, fields_of
from memplane_gateway.memory.tokens import PageTokens, Position
from memplane_gateway.memory.walking import tally, walk
from memplane_gateway.memory.writing import Writer

_ROWS = 500
"""Rows that are deleted at once."""


@dataclass(slots=True)
class Progress:
    """How far a purge came."""

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

    def encode(self) -> str:
        """As a note."""
        after = None if self.after is None else [self.after.namespace, self.after.key]
        return json.dumps(
            {
                "bound": self.bound,
                "after": after,
                "count": self.count,
                "over": self.over,
                "token": self.token,
            }
        )

    @classmethod
    def decode(cls, note: str) -> Progress:
        """From a note."""
        read = json.loads(note)
        after = read["after"]
        cursor = None if after is None else Cursor(0, tuple(after[0]), after[1])
        return cls(read["bound"], cursor, read["count"], read["over"], read["token"])


Run: TypeAlias = Callable[[Progress], Awaitable[Purged]]


class PurgeNotes:
    """Carries purges out once (see `notes`).

    After a try that broke off the next one goes on with the first one's bound, so that what was
    written since stays.
    """

    def __init__(self, notebook: Notebook, clock: Clock, *, shared: bool = False) -> None:
        """`shared` says that other gateways may use the control store."""
        self._notes = CallNotes(
            notebook, clock, Operation.PURGE, lambda note: Progress.decode(note).over, shared=shared
        )

    async def once(self, caller: Caller, progress: Progress, run: Run) -> Purged:
        """Purge from here on, or from where an earlier try came. Raises as `CallNotes.begin`."""
        if not caller.request_id:
            return await run(progress)
        note, _ = await self._notes.begin(caller, progress.encode())
        progress = Progress.decode(note.outcomes)
        if progress.over:
            return await run(progress)
        known = False
        try:
            purged = await run(progress)
            known = True
        except (MemplaneError, StoreError) as error:
            known = not is_ambiguous(error)  # else the note goes on to say that it runs
            raise
        finally:
            self._notes.end_soon(note, progress.encode(), known=known)
        return purged

    async def close(self) -> None:
        """Let what is being noted end."""
        await self._notes.close()


@dataclass(frozen=True, slots=True)
class _Seen:
    """A row that a walk came by."""

    address: Address
    revision: int


class Purger:
    """Purges one shelf."""

    def __init__(
        self,
        route: str,
        shelf: Shelf,
        clock: Clock,
        writer: Writer,
        tokens: PageTokens,
        *,
        scan_budget: int,
    ) -> None:
        self._route = route
        self._shelf = shelf
        self._clock = clock
        self._writer = writer
        self._tokens = tokens
        self._scan_budget = scan_budget

    def begin(self, caller: Caller, purge: Purge) -> Progress:
        """Where a call begins. Raises INVALID_ARGUMENT for a token of another purge."""
        if not purge.page_token:
            return Progress(self._clock.revision())
        position = self._tokens.open(purge.page_token, _binding(caller, purge), self._clock.now())
        return Progress(position.since, position.cursor)

    async def run(self, caller: Caller, purge: Purge, progress: Progress) -> Purged:
        """Delete until the call is over, and note in `progress` how far it came.

        A failure says with `purged` in its metadata how many memories were deleted before.
        """
        if progress.over:
            return Purged(progress.count, progress.token, replayed=True)
        try:
            report = await self._delete_all(caller, purge, progress)
        except (StoreError, MemplaneError) as error:
            if not progress.count:
                raise
            raise self._broken_off(error, progress.count) from error
        return Purged(progress.count, progress.token, report)

    async def count(self, caller: Caller, purge: Purge, progress: Progress) -> Purged:
        """What a purge from here on would delete; with a token it stopped before its end."""
        scope = purge.selection.scope(caller.tenant, self._clock.now())
        planned = plan(purge.selection.filter, self._shelf.capabilities)
        if planned.residual is None and progress.after is None:
            counted = await self._shelf.count(scope, planned.pushed)
            if counted.exact:
                report = planned.report(counted.scanned, truncated=False)
                return Purged(counted.count, filter=report)
        scan = Scan(
            scope=scope, after=progress.after, budget=self._scan_budget, filter=planned.pushed
        )
        count, end = await tally(self._shelf, scan, planned.residual or _everything)
        self._end(caller, purge, progress, end.next)
        report = planned.report(end.scanned, truncated=end.next is not None)
        return Purged(count, progress.token, report)

    def _end(
        self, caller: Caller, purge: Purge, progress: Progress, following: Cursor | None
    ) -> None:
        progress.over = True
        if following is not None:
            position = Position(following, since=progress.bound)
            progress.token = self._tokens.seal(position, _binding(caller, purge), self._clock.now())

    async def _delete_all(
        self, caller: Caller, purge: Purge, progress: Progress
    ) -> FilterReport | None:
        tree = purge.selection.filter
        planned = plan(tree, self._shelf.capabilities)
        matches = _everything if tree is None else compile_filter(tree)
        scan = Scan(
            scope=purge.selection.scope(caller.tenant, self._clock.now()),
            limit=_ROWS,
            filter=planned.pushed,
        )
        scanned, time_left = 0, remaining()
        while True:
            scan = replace(scan, after=progress.after, budget=self._scan_budget - scanned)
            rows, position = await walk(self._shelf, scan, planned.residual)
            seen = [
                _Seen(row.record.address, row.record.revision)
                for row in rows
                if row.record.revision <= progress.bound
            ]
            if seen:
                await self._delete(seen, matches, progress)
            progress.after = position.next
            scanned += position.scanned
            spent = scanned >= self._scan_budget or is_late(time_left)
            if position.next is None or spent:
                self._end(caller, purge, progress, position.next)
                return planned.report(scanned, truncated=position.next is not None)

    async def _delete(self, seen: Sequence[_Seen], matches: Predicate, progress: Progress) -> None:
        """Delete rows that are as they were seen, or still match. Raises the first failure."""
        if not needs_leases(self._shelf.capabilities):
            seen = await self._delete_as_seen(seen, progress)
        if not seen:
            return
        round_ = functools.partial(self._round, matches, progress.bound)
        written = await self._writer.until_settled(seen, round_, vectors=False)
        progress.count += sum(each.outcome is Outcome.DELETED for each in written)
        for each in written:
            if each.error is not None:
                raise each.error

    async def _delete_as_seen(self, seen: Sequence[_Seen], progress: Progress) -> list[_Seen]:
        """Delete what has not changed since it was seen; says what has, and raises as above."""
        deletes = [Delete(row.address, row.revision) for row in seen]
        results = await self._shelf.delete(deletes, atomic=False)
        progress.count += sum(result.status is WriteStatus.APPLIED for result in results)
        for result in results:
            if result.error is not None:
                raise result.error
        return [
            row
            for row, result in zip(seen, results, strict=True)
            if result.status is WriteStatus.CONFLICT
        ]

    async def _round(
        self,
        matches: Predicate,
        bound: int,
        batch: Sequence[_Seen],
        rows: Sequence[Row | None],
        turn: Turn,
    ) -> list[Written | None]:
        """Delete what is there now and still to be purged (see `Writer.until_settled`)."""
        now = self._clock.now()
        settled: list[Written | None] = [None] * len(batch)
        deletes: dict[int, Delete] = {}
        for index, (seen, row) in enumerate(zip(batch, rows, strict=True)):
            alive = alive_row(row, now)
            if (
                alive is not None
                and alive.record.revision <= bound
                and matches(fields_of(alive.record))
            ):
                deletes[index] = Delete(seen.address, alive.record.revision)
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

    def _broken_off(self, error: StoreError | MemplaneError, count: int) -> MemplaneError:
        """What a caller hears of a failure after some memories were deleted."""
        told = from_store(error, self._route) if isinstance(error, StoreError) else error
        return MemplaneError(
            told.code,
            told.reason,
            f"{self._route}: the purge broke off after {count} memories were deleted; send it again "
            "to go on",
            metadata={**told.metadata, "purged": str(count)},
            retry_after=told.retry_after,
        )


def _binding(caller: Caller, purge: Purge) -> bytes:
    return caller.tenant.encode() + b"\0" + purge.binding


def _everything(_: object) -> bool:
    return True
