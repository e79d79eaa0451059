"""Sweeps one shelf, slice by slice: deletes what has expired, and what its policies do not keep.

A slice looks at a bounded number of rows, ends early when its time is over, and says where to go on.
Every row is deleted as it was seen (see `deleting`), so that one that is written meanwhile survives.

Where there are too many, those that go are chosen before they are counted for the last time: what
others delete between the choice and the count is then not deleted twice over, by other rows. So no more
are deleted than there are too many, also by several sweepers that have chosen the same. They choose
differently where memories that go first are written between their choices: then two that count at the
same moment may delete a few too many. A choice that takes more than a slice is kept in this process;
where it is lost, it begins anew.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from memplane_adapters.contract import Address, AnyOf, Cursor, Order, Scan, Scope
from memplane_gateway.clock import Clock
from memplane_gateway.deadline import is_late, remaining
from memplane_gateway.memory.lifecycle import leftovers
from memplane_gateway.memory.lifecycle.deleting import Deleter
from memplane_gateway.memory.lifecycle.retention import Cause, Drop, Rank, Task, rank
from memplane_gateway.memory.model import Record
from memplane_gateway.memory.namespaces import behind
from memplane_gateway.memory.planning import plan
from memplane_gateway.memory.shelf import Shelf
from memplane_gateway.memory.vector_shelf import VectorShelf
from memplane_gateway.memory.walking import visit, walk

BATCH_ROWS = 500
"""Rows that are deleted at once."""
MOST_CHOSEN = 2_000
"""Most memories of one namespace that are chosen at once."""
_KEPT_CHOICES = 16
_KEPT_MICROS = 60_000_000


@dataclass(frozen=True, slots=True)
class Swept:
    """How far a slice came: whether its task is over, and else where to go on (None: where it began)."""

    over: bool
    next: Cursor | None = None


@dataclass(slots=True)
class Toll:
    """What a slice has deleted, or a rehearsal would have."""

    count: int = 0
    examples: list[Address] = field(default_factory=list)
    room: int = 0
    """How many examples are wanted; only of a rehearsal."""

    def see(self, _: Record) -> None:
        """One more was deleted."""
        self.count += 1

    def add(self, seen: Sequence[Record]) -> None:
        """Count what would have been deleted."""
        self.count += len(seen)
        self.examples += [each.address for each in seen[: max(self.room - len(self.examples), 0)]]


@dataclass(slots=True)
class Slice:
    """What a slice may still do."""

    budget: int
    """Rows that it may look at."""
    share: float = 0.5
    """The part of its time after which it ends early."""
    rehearsal: bool = False
    """Whether nothing is deleted."""
    before: Sequence[Task] = ()
    """What a rehearsal supposes to have been done: tasks that take memories by themselves."""
    time_left: float | None = field(default_factory=remaining)

    @property
    def over(self) -> bool:
        """Whether nothing more is to be begun."""
        return self.budget <= 0 or is_late(self.time_left, self.share)

    def is_gone(self, record: Record, now: int) -> bool:
        """Whether a memory is supposed to be gone."""
        return any(task.takes(record, now) for task in self.before)


@dataclass(slots=True)
class _Choice:
    """Those of a namespace that go first, as far as it has been looked at."""

    used: int
    """When it was last looked on: what nobody goes on with is too old some time."""
    most: int = 0
    after: Cursor | None = None
    over: bool = False
    heap: list[tuple[_Last, Record]] = field(default_factory=list)
    gone: int = 0
    """How many of the namespace are supposed to be gone, as far as they have been counted."""
    counted_to: Cursor | None = None
    counted: bool = False

    def see(self, task: Task, record: Record) -> None:
        """One more memory of the namespace."""
        last = _Last(rank(task, record))
        if len(self.heap) < self.most:
            heapq.heappush(self.heap, (last, record))
        elif self.heap[0][0] < last:
            heapq.heapreplace(self.heap, (last, record))

    @property
    def full(self) -> bool:
        """Whether there may be more of them."""
        return len(self.heap) >= self.most

    @property
    def first_out(self) -> list[Record]:
        """Those that go, first out first."""
        return [seen for _, seen in sorted(self.heap, key=_first_out)]


class _Last:
    """A rank turned round, so that the top of a heap is who goes last."""

    __slots__ = ("rank",)

    def __init__(self, rank: Rank) -> None:
        self.rank = rank

    def __lt__(self, other: _Last) -> bool:
        return self.rank > other.rank


class ShelfSweeper:
    """Sweeps one shelf."""

    def __init__(self, shelf: Shelf, clock: Clock, deleter: Deleter) -> None:
        self._shelf = shelf
        self._clock = clock
        self._deleter = deleter
        self._choices: OrderedDict[tuple[object, ...], _Choice] = OrderedDict()

    async def sweep(
        self, tenant: str, task: Task, after: Cursor | None, part: Slice, toll: Toll
    ) -> Swept:
        """One slice of a task, from behind a cursor on.

        Raises the first failure; `toll` then says what was deleted before.
        """
        now = self._clock.now()
        if task.cause is Cause.MAX_ITEMS:
            return await self._roll(tenant, task, after, part, toll)
        if task.cause is Cause.EXPIRED:
            if self._shelf.capabilities.expiry:
                return Swept(over=True)
            scope = Scope(tenant, task.kind, now - task.limit, expired=True)

            return await self._walk(Scan(scope=scope, after=after), None, part, toll)
        scope = task.query.selection.scope(tenant, now)
        if task.cause is Cause.LEFTOVERS:
            return await self._clear(scope, after, part, toll)
        return await self._walk(Scan(scope=scope, after=after), task, part, toll)

    async def _walk(self, scan: Scan, task: Task | None, part: Slice, toll: Toll) -> Swept:
        """Delete what a walk finds; with a task only what it takes."""
        now = scan.scope.alive_at

        def still(_: Record, record: Record) -> bool:
            return scan.scope.shows(record.expire_time) if task is None else task.takes(record, now)

        planned = plan(None if task is None else task.filter(now), self._shelf.capabilities)
        scan = replace(scan, limit=BATCH_ROWS, filter=planned.pushed)
        while True:
            scan = replace(scan, budget=max(part.budget, 1))
            rows, end = await walk(self._shelf, scan, planned.residual)
            part.budget -= max(end.scanned, 1)
            seen = [
                row.record
                for row in rows
                if task is None
                or (task.takes(row.record, now) and not part.is_gone(row.record, now))
            ]
            if part.rehearsal:
                toll.add(seen)
            else:
                await self._deleter.delete(seen, still, toll.see, expired=task is None)
            if end.next is None or part.over:
                return Swept(end.next is None, end.next)
            scan = replace(scan, after=end.next)

    async def _clear(self, scope: Scope, after: Cursor | None, part: Slice, toll: Toll) -> Swept:
        """Delete points of further texts that no memory claims; no part of a rehearsal."""
        if not isinstance(self._shelf, VectorShelf) or part.rehearsal:
            return Swept(over=True)
        while True:
            cleared = await leftovers.sweep(self._shelf, scope, after)
            toll.count += cleared.deleted
            part.budget -= leftovers.LOOKED_AT_ONCE
            after = cleared.next
            if after is None or part.over:
                return Swept(after is None, after)

    async def _roll(
        self, tenant: str, task: Task, after: Cursor | None, part: Slice, toll: Toll
    ) -> Swept:
        """Delete what is too much in each namespace of the pattern's length."""
        if not task.pattern:
            return Swept(await self._roll_one(tenant, task, (), part, toll))
        query = task.query
        scan = Scan(scope=query.selection.scope(tenant, self._clock.now()), limit=1, after=after)
        while True:
            scan = replace(scan, budget=max(part.budget, 1))
            rows, end = await walk(self._shelf, scan, None)
            part.budget -= max(end.scanned, 1)
            after = end.next
            if rows:
                namespace = rows[0].record.address.namespace
                group = namespace[: len(task.pattern)]
                matches = query.matches(namespace)
                if matches and not await self._roll_one(tenant, task, group, part, toll):
                    return Swept(over=False, next=scan.after)
                after = behind(namespace, query)
            if end.next is None or part.over:
                return Swept(end.next is None, after)
            scan = replace(scan, after=after, resumes=end.next)

    async def _roll_one(
        self, tenant: str, task: Task, group: tuple[str, ...], part: Slice, toll: Toll
    ) -> bool:
        """Delete what is too much below one namespace; False where there was no time to end it."""
        key = tenant, task, group, part.rehearsal
        while True:
            now = self._clock.now()
            scope = Scope(tenant, task.kind, now, group)
            excess = await self._excess(scope, task)
            choice = self._choices.pop(key, None)
            if excess <= 0:
                return True
            if choice is None or choice.used < now - _KEPT_MICROS:
                choice = _Choice(now)
            if not await self._count_gone(choice, scope, task, part):
                self._keep(key, choice)
                return False
            excess -= choice.gone
            if excess <= 0:
                return True
            choice.most = choice.most or min(excess, MOST_CHOSEN)
            if not await self._choose(choice, scope, task, part):
                self._keep(key, choice)
                return False
            if part.rehearsal:
                toll.add(choice.first_out)
                toll.count += max(excess - choice.most, 0) if choice.full else 0
                return True
            if not choice.heap:
                return True  # the others are pinned
            if not await self._delete_chosen(choice, scope, task, part, toll):
                self._keep(key, choice)
                return False
            if part.over:
                return False

    async def _delete_chosen(
        self, choice: _Choice, scope: Scope, task: Task, part: Slice, toll: Toll
    ) -> bool:
        """Delete, first out first, so many of those that were chosen as there are too many now.

        False where there was no time for all; `choice` then has the others.
        """
        choice.heap.sort(key=_first_out)
        while choice.heap:
            excess = await self._excess(scope, task)
            batch = [seen for _, seen in choice.heap[: min(BATCH_ROWS, max(excess, 0))]]
            if not batch:
                return True
            await self._deleter.delete(batch, _as_seen, toll.see)
            del choice.heap[: len(batch)]
            part.budget -= len(batch)
            if part.over and choice.heap:
                return False
        return True

    async def _excess(self, scope: Scope, task: Task) -> int:
        """How many there are too many."""
        counted = await self._shelf.count(scope, None)
        return counted.count - task.limit

    async def _count_gone(self, choice: _Choice, scope: Scope, task: Task, part: Slice) -> bool:
        """Look on for what is supposed to be gone; False where there was no time to end it."""
        before = [each for each in part.before if each.kind is task.kind]
        if choice.counted or not before:
            return True
        filters = tuple(each.filter(scope.alive_at) for each in before)
        planned = plan(AnyOf(filters), self._shelf.capabilities)

        def see(record: Record) -> None:
            choice.gone += part.is_gone(record, scope.alive_at)

        scan = Scan(
            scope=scope,
            filter=planned.pushed,
            after=choice.counted_to,
            budget=max(part.budget, 1),
        )
        end = await visit(self._shelf, scan, planned.residual, see)
        part.budget -= max(end.scanned, 1)
        choice.counted_to, choice.counted = end.next, end.next is None
        return choice.counted

    async def _choose(self, choice: _Choice, scope: Scope, task: Task, part: Slice) -> bool:
        """Look on for those that go first; False where there was no time to end it."""
        planned = plan(task.filter(scope.alive_at), self._shelf.capabilities)
        oldest = task.drop is Drop.OLDEST
        scan = Scan(
            scope=scope,
            order=Order.TIME if oldest else Order.PLACE,
            limit=BATCH_ROWS,
            filter=planned.pushed,
        )
        while not choice.over:
            scan = replace(scan, after=choice.after, budget=max(part.budget, 1))
            rows, end = await walk(self._shelf, scan, planned.residual)
            part.budget -= max(end.scanned, 1)
            for row in rows:
                if not part.is_gone(row.record, scope.alive_at):
                    choice.see(task, row.record)
            # Up from the oldest, the first ones are those.
            choice.over = end.next is None or (oldest and choice.full)
            choice.after = end.next
            if part.over and not choice.over:
                return False
        return True

    def _keep(self, key: tuple[object, ...], choice: _Choice) -> None:
        choice.used = self._clock.now()
        self._choices[key] = choice
        if len(self._choices) > _KEPT_CHOICES:
            self._choices.popitem(last=False)


def _first_out(chosen: tuple[_Last, Record]) -> Rank:
    return chosen[0].rank


def _as_seen(seen: Record, record: Record) -> bool:
    return record.revision == seen.revision and not record.content.pinned
