"""The memories of a route whose writes wait in an outbox while its store is down."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace

from memplane_adapters.contract import Address, Cursor, Delete, Scope, StoreError
from memplane_gateway.clock import Clock
from memplane_gateway.errors import Code, MemplaneError, Reason, is_outage
from memplane_gateway.memory.embedding import TextVectors
from memplane_gateway.memory.lifecycle.consolidating import Consolidation
from memplane_gateway.memory.lifecycle.deleting import Progress
from memplane_gateway.memory.lifecycle.retention import Task
from memplane_gateway.memory.lifecycle.sweeping import Slice, Swept, Toll
from memplane_gateway.memory.memories import Memories, Standing, too_large
from memplane_gateway.memory.model import Caller, Memory, Outcome, Put, Removal, Update, Written
from memplane_gateway.memory.questions import (
    Consolidate,
    Consolidated,
    Counted,
    Forget,
    Forgotten,
    Found,
    ListedPage,
    Listing,
    Mode,
    NamespacePage,
    NamespaceQuery,
    Purge,
    Purged,
    Search,
    Selection,
    Statistics,
)
from memplane_gateway.memory.shelf import Shelf, alive_row, memory_of
from memplane_gateway.memory.tokens import PageTokens
from memplane_gateway.memory.write.preconditions import refusal
from memplane_gateway.memory.write.writing import (
    Writer,
    all_refused,
    there_for,
)
from memplane_gateway.outbox.attempt import Attempt, ItemT, Write
from memplane_gateway.outbox.entries import Spooled
from memplane_gateway.outbox.outbox import Outbox
from memplane_gateway.outbox.replay import Replay
from memplane_gateway.outbox.restoring import Restorer
from memplane_gateway.outbox.shelf import OutboxShelf

_DONE = frozenset({Outcome.CREATED, Outcome.UPDATED, Outcome.DELETED})


class SpoolingMemories(Memories):
    """Memories that take writes while their store is down, and carry them out when it is back.

    Writes of one memory take turns here, so that one that waits in the outbox is never overtaken.
    """

    def __init__(
        self,
        route: str,
        shelf: Shelf,
        clock: Clock,
        vectors: TextVectors,
        tokens: PageTokens,
        *,
        search: Mode | None,
        scan_budget: int,
        outbox: Outbox,
        refresh_ttl: bool = False,
    ) -> None:
        super().__init__(
            route,
            shelf,
            clock,
            vectors,
            tokens,
            search=search,
            scan_budget=scan_budget,
            refresh_ttl=refresh_ttl,
        )
        self._route = route
        self._outbox = outbox
        self._vectors = vectors
        self._waiting = OutboxShelf(outbox, shelf, clock)
        self._restorer = Restorer(route, self._writer, shelf, vectors, clock)
        self._standing: Standing | None = None
        self._replay: Replay | None = None

    async def open(self, standing: Standing) -> None:
        """Begin to carry out what waits, whenever the route serves."""
        self._standing = standing
        self._replay = Replay(self._outbox, self._restorer.restore, lambda: standing.fault is None)

    async def close(self) -> None:
        """End what goes on behind callers' backs."""
        if self._replay is not None:
            await self._replay.close()
        await super().close()

    async def put(
        self, caller: Caller, puts: Sequence[Put], *, atomic: bool = False, spool: bool = True
    ) -> list[Written]:
        """Write whole memories; `atomic` all or none. Without `spool` the store alone will do."""
        return await self._write(
            puts,
            functools.partial(super().put, caller, atomic=atomic),
            functools.partial(self._spool_puts, caller, atomic=atomic),
            atomic=atomic,
            spool=spool,
        )

    async def update(
        self, caller: Caller, updates: Sequence[Update], *, spool: bool = True
    ) -> list[Written]:
        """Change parts of memories; of those whose whole is not known only in the store."""
        return await self._write(
            updates,
            functools.partial(super().update, caller),
            functools.partial(self._spool_updates, caller),
            atomic=False,
            spool=spool,
        )

    async def delete(
        self, removals: Sequence[Removal], *, atomic: bool = False, spool: bool = True
    ) -> list[Written]:
        """Delete memories; `atomic` all or none."""
        return await self._write(
            removals,
            functools.partial(super().delete, atomic=atomic),
            functools.partial(self._spool_removals, atomic=atomic),
            atomic=atomic,
            spool=spool,
        )

    async def get(
        self, addresses: Sequence[Address], *, vectors: bool, max_bytes: int, alone: bool
    ) -> list[Memory | None]:
        """Memories by address, as they will be when all that waits is carried out."""
        if not alone and self._outbox.size_of(set(addresses)) > max_bytes:
            raise too_large()
        waiting = await self._outbox.newest(addresses)
        now = self._clock.now()
        found: dict[Address, Memory | None] = {}
        for address, entry in waiting.items():
            row = alive_row(entry.row, now)
            memory = None if row is None else memory_of(self._waiting, row, vectors=vectors)
            found[address] = memory
        room = max_bytes - sum(memory.size for memory in found.values() if memory is not None)
        rest = [address for address in addresses if address not in found]
        if not rest:
            return [found[address] for address in addresses]
        self._must_be_ready()
        stored = await super().get(rest, vectors=vectors, max_bytes=max(room, 0), alone=alone)
        found.update(zip(rest, stored, strict=True))
        return [found[address] for address in addresses]

    async def search(self, caller: Caller, search: Search) -> Found:
        """The best memories for one question that the store has."""
        incomplete = self._incomplete(caller, search.selection)
        return replace(await super().search(caller, search), incomplete=incomplete)

    async def count(self, caller: Caller, selection: Selection) -> Counted:
        """How many memories the store has."""
        incomplete = self._incomplete(caller, selection)
        return replace(await super().count(caller, selection), incomplete=incomplete)

    async def namespaces(self, caller: Caller, query: NamespaceQuery) -> NamespacePage:
        """A page of the namespaces in which the store has memories."""
        incomplete = self._incomplete(caller, query.selection)
        return replace(await super().namespaces(caller, query), incomplete=incomplete)

    async def statistics(self, caller: Caller, selection: Selection) -> Statistics:
        """Figures about what the store has."""
        incomplete = self._incomplete(caller, selection)
        return replace(await super().statistics(caller, selection), incomplete=incomplete)

    async def purge(
        self, caller: Caller, purge: Purge, progress: Progress, *, dry_run: bool = False
    ) -> Purged:
        """Delete what the store has. Raises UNAVAILABLE while it may not be all that there is."""
        self._must_be_settled(caller, purge.selection, over=progress.over)
        return await super().purge(caller, purge, progress, dry_run=dry_run)

    async def forget(
        self, caller: Caller, forget: Forget, progress: Progress, *, dry_run: bool = False
    ) -> Forgotten:
        """As in `purge`."""
        self._must_be_settled(caller, forget.selection, over=progress.over)
        return await super().forget(caller, forget, progress, dry_run=dry_run)

    async def consolidate(
        self, caller: Caller, asked: Consolidate, progress: Consolidation, *, dry_run: bool = False
    ) -> Consolidated:
        """As in `purge`."""
        self._must_be_settled(caller, asked.selection, over=progress.over)
        return await super().consolidate(caller, asked, progress, dry_run=dry_run)

    def _must_be_settled(self, caller: Caller, selection: Selection, *, over: bool) -> None:
        if over:
            return
        if is_outage(self._fault) or self._touches(caller, selection):
            raise _unsettled(self._route)
        self._must_be_ready()

    async def sweep(
        self, tenant: str, task: Task, after: Cursor | None, part: Slice, toll: Toll
    ) -> Swept:
        """A slice of a sweep. Raises UNAVAILABLE while the store may not have all that there is."""
        if is_outage(self._fault) or self._outbox.touches(Scope(tenant, task.kind, 0)):
            raise _unsettled(self._route)
        return await super().sweep(tenant, task, after, part, toll)

    def _incomplete(self, caller: Caller, selection: Selection) -> bool:
        """Whether the store's answer will lack what waits. Raises where it cannot even be asked."""
        self._must_be_ready()
        return self._touches(caller, selection)

    def _touches(self, caller: Caller, selection: Selection) -> bool:
        return self._outbox.touches(selection.scope(caller.tenant, 0))

    async def _write(
        self,
        items: Sequence[ItemT],
        direct: Write[ItemT],
        spooled: Write[ItemT],
        *,
        atomic: bool,
        spool: bool,
    ) -> list[Written]:
        """Write to the store what can be, and keep for it what cannot."""
        async with self._outbox.turns.turn([item.address for item in items]):
            late = [self._outbox.waits(item.address) for item in items]
            down = spool and is_outage(self._fault)
            if down or (atomic and any(late)):
                late = [True] * len(items)
            attempt = Attempt(dict.fromkeys(index for index, waits in enumerate(late) if waits))
            now = [index for index in range(len(items)) if index not in attempt.left]
            if now:
                self._must_be_ready()
                part = [items[index] for index in now]
                await attempt.directly(now, part, direct, atomic=atomic, keep=spool)
            if attempt.left and spool:
                left = list(attempt.left)
                await attempt.spooled(left, [items[index] for index in left], spooled)
            return attempt.results([item.address for item in items], self._route)

    async def _spool_puts(
        self, caller: Caller, puts: Sequence[Put], *, atomic: bool
    ) -> list[Written]:
        spooler = self._spooler(puts)
        return await self._spool(
            puts, functools.partial(spooler.put, caller, atomic=atomic), atomic=atomic
        )

    async def _spool_updates(self, caller: Caller, updates: Sequence[Update]) -> list[Written]:
        spooler = self._spooler(updates)
        return await self._spool(updates, functools.partial(spooler.update, caller), atomic=False)

    async def _spool_removals(self, removals: Sequence[Removal], *, atomic: bool) -> list[Written]:
        return await self._spool(
            removals, functools.partial(self._wait_to_delete, atomic=atomic), atomic=atomic
        )

    async def _spool(
        self, items: Sequence[ItemT], write: Write[ItemT], *, atomic: bool
    ) -> list[Written]:
        """Keep writes; one that only the store can decide is refused."""
        settled: list[Written | None] = [
            Written(item.address, error=_undecided(self._route)) if self._asks_store(item) else None
            for item in items
        ]
        if atomic and any(settled):
            settled = all_refused(settled, items)
        kept = [item for item, each in zip(items, settled, strict=True) if each is None]
        done = iter(map(_as_spooled, await write(kept)) if kept else ())
        return [each or next(done) for each in settled]

    def _spooler(self, items: Sequence[Put | Update]) -> Writer:
        """Writes to the outbox."""
        return Writer(self._route, self._shelf_for(items), self._clock, self._vectors)

    def _shelf_for(self, items: Sequence[Put | Update | Removal]) -> OutboxShelf:
        depending = [item.address for item in items if _depends(item)]
        return OutboxShelf(self._outbox, self._shelf, self._clock, depending)

    def _asks_store(self, item: Put | Update | Removal) -> bool:
        return _depends(item) and not self._outbox.waits(item.address)

    @property
    def _fault(self) -> StoreError | MemplaneError | None:
        return None if self._standing is None else self._standing.fault

    def _must_be_ready(self) -> None:
        """Raises why the store cannot even be asked: it was never made ready."""
        if self._standing is not None and not self._standing.ready and self._fault is not None:
            raise self._fault

    async def _wait_to_delete(self, removals: Sequence[Removal], *, atomic: bool) -> list[Written]:
        waiting = await self._outbox.newest([removal.address for removal in removals])
        now = self._clock.now()
        settled: list[Written | None] = []
        for removal in removals:
            entry = waiting.get(removal.address)
            alive = there_for(removal, alive_row(entry.row, now)) if entry is not None else None
            refused = refusal(removal.precondition, alive.record if alive else None)
            if refused is not None:
                settled.append(Written(removal.address, error=refused))
            elif entry is not None and alive is None:
                settled.append(Written(removal.address, Outcome.MISSING))
            else:
                settled.append(None)
        if atomic and any(each is not None and each.error for each in settled):
            return [each for each in all_refused(settled, removals) if each is not None]
        doomed = [
            Delete(removal.address, _revision_of(waiting.get(removal.address)))
            for removal, each in zip(removals, settled, strict=True)
            if each is None
        ]
        if doomed:
            await self._shelf_for(removals).delete(doomed, atomic=atomic)
        return [
            each or Written(removal.address, Outcome.DELETED)
            for removal, each in zip(removals, settled, strict=True)
        ]

    async def list(self, caller: Caller, listing: Listing) -> ListedPage:
        """A page of a walk over what the store has."""
        incomplete = self._incomplete(caller, listing.selection)
        return replace(await super().list(caller, listing), incomplete=incomplete)


def _depends(item: Put | Update | Removal) -> bool:
    """Whether what it does depends on what is there."""
    if isinstance(item, Removal) and item.began is not None:
        return True
    return item.precondition is not None or isinstance(item, Update)


def _revision_of(entry: Spooled | None) -> int | None:
    return None if entry is None else entry.revision


def _as_spooled(written: Written) -> Written:
    outcome = Outcome.SPOOLED if written.outcome in _DONE else written.outcome
    return replace(written, outcome=outcome, spooled=True)


def _undecided(route: str) -> MemplaneError:
    return MemplaneError(
        Code.UNAVAILABLE,
        Reason.BACKEND_UNAVAILABLE,
        f"{route}: the store is down, and only it can decide this write (it has a precondition, or "
        "changes a part of a memory); nothing was written; try again later",
        metadata={"route": route},
        retry_after=1.0,
    )


def _unsettled(route: str) -> MemplaneError:
    return MemplaneError(
        Code.UNAVAILABLE,
        Reason.BACKEND_UNAVAILABLE,
        f"{route}: the store is down, or writes to what this is about still wait for it, and only "
        "it can decide what to delete; nothing was deleted; try again later",
        metadata={"route": route},
        retry_after=1.0,
    )
