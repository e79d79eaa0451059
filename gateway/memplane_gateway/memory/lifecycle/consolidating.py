"""Consolidation: merge near-duplicates into one of them (see `duplicates` for which).

The walk goes from the newest to the oldest memory, so that what is kept is mostly known before what
depends on it. A group is read again right before it is merged. Then the memory that is kept gets what
it lacks, on condition that it is as it was read; after that the others are deleted, each at the
revision that was read. Whatever breaks in between, nothing is lost, and the next run merges the rest.
Only who deletes what is kept after it was written deletes the others with it: that is a conflict.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

from memplane_adapters.contract import Address, Cursor, Order, Query, Scan, StoreError, Value
from memplane_gateway.clock import Clock
from memplane_gateway.deadline import is_late, remaining
from memplane_gateway.errors import Code, MemplaneError, unimplemented
from memplane_gateway.limits import ATTRIBUTE_ITEMS
from memplane_gateway.memory.lifecycle.deleting import (
    Deleter,
    broken_off,
    decoded_cursor,
    encoded_cursor,
)
from memplane_gateway.memory.lifecycle.duplicates import Duplicates, Near, near_of
from memplane_gateway.memory.model import (
    NEVER,
    Caller,
    Expiry,
    Must,
    Precondition,
    Record,
    Update,
)
from memplane_gateway.memory.planning import plan
from memplane_gateway.memory.questions import Consolidate, Consolidated, Group
from memplane_gateway.memory.search.weights import importance
from memplane_gateway.memory.shelf import Shelf, alive_row, etag_of
from memplane_gateway.memory.tokens import PageTokens, Position, binding_of
from memplane_gateway.memory.vector_shelf import VectorShelf
from memplane_gateway.memory.walking import cursor_of, walk
from memplane_gateway.memory.write.writing import Writer

COMPARED = 1000
"""Memories whose neighbours a call looks up."""
GROUPS = 100
"""Groups that a call makes."""
MERGED = 1000
"""Memories that a call merges; it ends with the group that passes this."""
TOLD = 100
"""Memories of a group that a receipt names."""

_ROWS = 100
"""Rows that are read at once, with their vectors, and so many deleted at once."""


@dataclass(slots=True)
class Consolidation:
    """How far a consolidation came."""

    after: Cursor | None = None
    """Where to go on; None is the beginning or, when it is over, the end."""
    groups: list[Group] = field(default_factory=list)
    merged_count: int = 0
    """Memories that this call has deleted, as far as is known."""
    conflicts: int = 0
    compared: int = 0
    over: bool = False
    """Whether this call is: what is left is for the next one."""
    token: str = ""
    """For the next one, once this is over."""

    def encode(self) -> str:
        """As a note."""
        return json.dumps({**asdict(self), "after": encoded_cursor(self.after)})

    @classmethod
    def decode(cls, note: str) -> Consolidation:
        """From a note."""
        read = json.loads(note)
        after = decoded_cursor(read.pop("after"))
        groups = [
            Group(
                tuple(each["namespace"]),
                each["kept"],
                tuple((key, similarity) for key, similarity in each["merged"]),
                each["merged_count"],
            )
            for each in read.pop("groups")
        ]
        return cls(after, groups, **read)

    def receipt(self, *, replayed: bool) -> Consolidated:
        """What the caller hears."""
        return Consolidated(
            tuple(self.groups),
            self.merged_count,
            self.conflicts,
            self.compared,
            self.token,
            replayed,
        )


class Consolidator:
    """Merges near-duplicates on one shelf."""

    def __init__(
        self,
        route: str,
        shelf: Shelf,
        writer: Writer,
        deleter: Deleter,
        tokens: PageTokens,
        *,
        clock: Clock,
        scan_budget: int,
    ) -> None:
        self._route = route
        self._shelf = shelf
        self._clock = clock
        self._writer = writer
        self._deleter = deleter
        self._tokens = tokens
        self._scan_budget = scan_budget

    def begin(self, caller: Caller, asked: Consolidate) -> Consolidation:
        """Where a call begins.

        Raises UNIMPLEMENTED where the store cannot search exactly by vector, INVALID_ARGUMENT for a
        token of another consolidation.
        """
        able = self._shelf.capabilities
        exact = able.exact_search or not able.approximate
        if not (able.vector and exact and isinstance(self._shelf, VectorShelf)):
            raise unimplemented(
                "consolidate", self._route, "its store has no exact search by vector"
            )
        if not asked.page_token:
            return Consolidation()
        binding = binding_of(caller, asked)
        return Consolidation(self._tokens.open(asked.page_token, binding, self._clock.now()).cursor)

    async def run(
        self, caller: Caller, asked: Consolidate, progress: Consolidation, *, dry_run: bool = False
    ) -> Consolidated:
        """Merge until the call is over, and note in `progress` how far it came.

        A failure says with `merged` in its metadata how many memories were merged before.
        """
        if progress.over:
            return progress.receipt(replayed=True)
        try:
            await self._walk(caller, asked, progress, dry_run=dry_run)
        except (StoreError, MemplaneError) as error:
            if dry_run or not progress.merged_count:
                raise
            count = progress.merged_count
            raise broken_off(self._route, "consolidation", error, "merged", count) from error
        return progress.receipt(replayed=False)

    async def _walk(
        self, caller: Caller, asked: Consolidate, progress: Consolidation, *, dry_run: bool
    ) -> None:
        shelf, time_left = self._shelf, remaining()
        assert isinstance(shelf, VectorShelf), "begin saw to it"
        planned = plan(asked.selection.filter, shelf.capabilities)
        scope = asked.selection.scope(caller.tenant, self._clock.now())
        exact = shelf.capabilities.exact_search
        query = Query(scope=scope, filter=planned.pushed, exact=exact)
        duplicates = Duplicates(shelf, query, planned.residual, asked.min_similarity)
        before = progress.compared
        scan = Scan(
            scope=scope,
            order=Order.TIME,
            descending=True,
            limit=_ROWS,
            filter=planned.pushed,
            vectors=True,
        )
        scanned, spent, moved = 0, False, False
        following: Cursor | None = None
        while not spent:
            scan = replace(scan, after=progress.after, budget=self._scan_budget - scanned)
            rows, position = await walk(shelf, scan, planned.residual)
            scanned += position.scanned
            following = position.next
            for number, row in enumerate(rows, start=1):
                near = near_of(row)
                if near is not None:
                    await self._merge_into(near, caller, duplicates, progress, dry_run=dry_run)
                    progress.compared = before + duplicates.compared
                if duplicates.interrupted and moved:  # the next call has more time for it
                    spent, following = True, progress.after
                    break
                progress.after, moved = cursor_of(row, Order.TIME), True
                spent = _is_spent(progress, before) or duplicates.interrupted or is_late(time_left)
                if spent and number < len(rows):
                    following = progress.after
                    break
            progress.after = following
            spent = spent or following is None or scanned >= self._scan_budget
        progress.over = True
        if following is not None:
            self._seal(caller, asked, progress, following)

    def _seal(
        self, caller: Caller, asked: Consolidate, progress: Consolidation, following: Cursor
    ) -> None:
        binding = binding_of(caller, asked)
        progress.token = self._tokens.seal(Position(following), binding, self._clock.now())

    async def _merge_into(
        self,
        near: Near,
        caller: Caller,
        duplicates: Duplicates,
        progress: Consolidation,
        *,
        dry_run: bool,
    ) -> None:
        """Merge into a memory what is to be; nothing if it is not kept."""
        doomed = await duplicates.merged_into(near)
        if not doomed:
            return
        group = _Merging(near.record)
        fitting = _fitting(near.record, doomed)
        conflict = len(fitting) < len(doomed)
        try:
            if dry_run:
                group.merged = [(each.address.key, each.similarity) for each in fitting]
            else:
                conflict = await self._merged(caller, group, fitting) or conflict
            progress.conflicts += conflict
        finally:  # what was merged before a failure is told, too
            if group.merged:
                progress.merged_count += len(group.merged)
                progress.groups.append(group.told())

    async def _merged(self, caller: Caller, group: _Merging, doomed: Sequence[Near]) -> bool:
        """Write what is kept, delete the others; says whether any was left alone, or is lost."""
        conflict = False
        for start in range(0, len(doomed), _ROWS):
            part = doomed[start : start + _ROWS]
            # What was deleted since must not live on in what is kept.
            rows = await self._shelf.fetch([each.address for each in part])
            there = [
                each
                for each, row in zip(part, rows, strict=True)
                if row is not None and row.record.revision == each.record.revision
            ]
            conflict = conflict or len(there) < len(part)
            if not there:
                continue
            written = await self._written(caller, group.kept, [each.record for each in there])
            if written is None:
                return True
            group.kept = written
            similarities = {each.address: each.similarity for each in there}

            def gone(record: Record, known: dict[Address, float] = similarities) -> None:
                group.merged.append((record.address.key, known[record.address]))

            before = len(group.merged)
            await self._deleter.delete([each.record for each in there], _is_same, gone)
            conflict = conflict or len(group.merged) - before < len(there)
            if not await self._is_there(group.kept):
                return True
        return conflict

    async def _is_there(self, kept: Record) -> bool:
        """Whether what is kept has outlived what was merged into it: somebody may delete it."""
        (row,) = await self._shelf.fetch([kept.address])
        return alive_row(row, self._clock.now()) is not None

    async def _written(
        self, caller: Caller, kept: Record, merged: Sequence[Record]
    ) -> Record | None:
        """What is kept, with what it lacked; None when it has changed, or cannot hold that."""
        update = completed(kept, merged)
        update = replace(update, precondition=Precondition(Must.MATCH, etag_of(kept)))
        # The request id is that of this call, which names no single write.
        (written,) = await self._writer.update(replace(caller, request_id=""), [update])
        if written.error is not None:
            if written.error.code in _LEFT_ALONE:
                return None
            raise written.error
        assert written.memory is not None, "it says what it left there"
        return written.memory.record


_LEFT_ALONE = (Code.ABORTED, Code.FAILED_PRECONDITION, Code.NOT_FOUND, Code.INVALID_ARGUMENT)


@dataclass(slots=True)
class _Merging:
    """A group that is being merged."""

    kept: Record
    merged: list[tuple[str, float]] = field(default_factory=list)

    def told(self) -> Group:
        """As the caller hears of it."""
        merged = sorted(self.merged, key=lambda each: (-each[1], each[0]))
        address = self.kept.address
        return Group(address.namespace, address.key, tuple(merged[:TOLD]), len(merged))


def _fitting(kept: Record, doomed: Sequence[Near]) -> list[Near]:
    """Those whose attributes have room in what is kept, the newest first; the others stay."""
    names, fitting = set(kept.content.attributes), []
    for each in doomed:
        together = names | each.record.content.attributes.keys()
        if len(together) <= ATTRIBUTE_ITEMS:
            names = together
            fitting.append(each)
    return fitting


def completed(kept: Record, merged: Sequence[Record]) -> Update:
    """What a memory gets that it lacks from those that are merged into it, the newest first."""
    content = kept.content
    attributes: dict[str, Value] = {}
    for record in merged:
        for name, value in record.content.attributes.items():
            if name not in content.attributes:
                attributes.setdefault(name, value)
    highest = max(importance(record.content.importance) for record in merged)
    higher = highest if highest > importance(content.importance) else None
    return Update(
        kept.address,
        set_attributes=attributes,
        importance=higher,
        expiry=_later(kept.expire_time, [record.expire_time for record in merged]),
    )


def _later(kept: int | None, others: Sequence[int | None]) -> Expiry | None:
    """The latest expiry of all, where that is not the memory's own; its period stays."""
    if kept is None:
        return None
    last = kept
    for each in others:
        if each is None:
            return NEVER
        last = max(last, each)
    return None if last == kept else Expiry(expire_time=last, prolongs=True)


def _is_same(seen: Record, now: Record) -> bool:
    return seen.revision == now.revision


def _is_spent(progress: Consolidation, compared_before: int) -> bool:
    return (
        progress.compared - compared_before >= COMPARED
        or len(progress.groups) >= GROUPS
        or progress.merged_count >= MERGED
    )
