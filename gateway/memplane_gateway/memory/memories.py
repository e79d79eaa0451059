"""All that can be done with the memories of one kind, whatever store keeps them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from memplane_adapters.contract import Address, Cursor, StoreError
from memplane_gateway.clock import Clock
from memplane_gateway.errors import Code, MemplaneError, Reason
from memplane_gateway.limits import REPLY_BYTES
from memplane_gateway.memory.embedding import TextVectors
from memplane_gateway.memory.lifecycle.consolidating import Consolidation, Consolidator
from memplane_gateway.memory.lifecycle.deleting import Deleter, Progress
from memplane_gateway.memory.lifecycle.forgetting import Forgetter
from memplane_gateway.memory.lifecycle.purging import Purger
from memplane_gateway.memory.lifecycle.retention import Task
from memplane_gateway.memory.lifecycle.sweeping import ShelfSweeper, Slice, Swept, Toll
from memplane_gateway.memory.listing import Lister
from memplane_gateway.memory.model import Caller, Memory, Put, Removal, Update, Written
from memplane_gateway.memory.namespaces import NamespaceLister
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
from memplane_gateway.memory.search.searching import Searcher, auto_mode
from memplane_gateway.memory.shelf import Shelf, memory_of
from memplane_gateway.memory.statistics import Statistician
from memplane_gateway.memory.tokens import PageTokens
from memplane_gateway.memory.write.renewing import Renewals, Renewer
from memplane_gateway.memory.write.shared_leases import SharedLeases
from memplane_gateway.memory.write.writing import Writer

_FIRST_ROWS = 64


class Standing(Protocol):
    """How a route fares now."""

    @property
    def fault(self) -> StoreError | MemplaneError | None:
        """Why it does not serve; None: it does."""
        ...

    @property
    def ready(self) -> bool:
        """Whether its store was made ready, be it down now or not."""
        ...


class Memories:
    """The memory store of one route. Failures of its store come through as StoreError."""

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
        shared: SharedLeases | None = None,
        refresh_ttl: bool = False,
    ) -> None:
        self.auto_mode = auto_mode(shelf, vectors, search)
        self._shelf = shelf
        self._clock = clock
        self._writer = Writer(route, shelf, clock, vectors, shared)
        self._renewer = Renewer(route, shelf, clock, self._writer) if refresh_ttl else None
        self._lister = Lister(shelf, clock, tokens, scan_budget)
        self._namespaces = NamespaceLister(shelf, clock, tokens, scan_budget)
        self._statistician = Statistician(shelf, clock, scan_budget)
        deleter = Deleter(route, shelf, clock, self._writer, scan_budget=scan_budget)
        self._purger = Purger(route, shelf, clock, deleter, tokens, scan_budget=scan_budget)
        self._forgetter = Forgetter(route, shelf, clock, deleter, tokens)
        self._consolidator = Consolidator(
            route, shelf, self._writer, deleter, tokens, clock=clock, scan_budget=scan_budget
        )
        self._sweeper = ShelfSweeper(shelf, clock, deleter)
        self._searcher = Searcher(
            route,
            shelf,
            clock,
            vectors,
            tokens,
            default_mode=self.auto_mode,
            scan_budget=scan_budget,
        )

    @property
    def renewals(self) -> Renewals | None:
        """What became of periods that were to begin again; None where reads do not renew."""
        return None if self._renewer is None else self._renewer.renewals

    async def open(self, standing: Standing) -> None:
        """Begin what goes on behind callers' backs, on the route that fares so."""

    async def close(self) -> None:
        """End what goes on behind callers' backs."""
        if self._renewer is not None:
            await self._renewer.close()
        await self._writer.close()

    async def put(
        self,
        caller: Caller,
        puts: Sequence[Put],
        *,
        atomic: bool = False,
        spool: bool = True,  # noqa: ARG002 (where there is an outbox)
    ) -> list[Written]:
        """Write whole memories; `atomic` all or none. Without `spool` the store alone will do."""
        return await self._writer.put(caller, puts, atomic=atomic)

    async def update(
        self,
        caller: Caller,
        updates: Sequence[Update],
        *,
        spool: bool = True,  # noqa: ARG002 (as in put)
    ) -> list[Written]:
        """Change parts of memories; `spool` as in put."""
        return await self._writer.update(caller, updates)

    async def delete(
        self,
        removals: Sequence[Removal],
        *,
        atomic: bool = False,
        spool: bool = True,  # noqa: ARG002 (as in put)
    ) -> list[Written]:
        """Delete memories; `atomic` all or none, `spool` as in put."""
        return await self._writer.delete(removals, atomic=atomic)

    async def get(
        self, addresses: Sequence[Address], *, vectors: bool, max_bytes: int, alone: bool
    ) -> list[Memory | None]:
        """Memories by address; None for what is missing or has expired.

        Raises RESOURCE_EXHAUSTED when they do not fit into `max_bytes`, unless it is one alone.
        """
        wanted = list(dict.fromkeys(addresses))
        now = self._clock.now()
        found: dict[Address, Memory | None] = {}
        size, step = 0, _FIRST_ROWS
        while len(found) < len(wanted) and size <= max_bytes:
            part = wanted[len(found) : len(found) + step]
            for address, row in zip(
                part, await self._shelf.fetch(part, vectors=vectors), strict=True
            ):
                found[address] = None
                if row is not None and row.record.alive(now):
                    found[address] = memory_of(self._shelf, row, vectors=vectors)
                    size += row.size
            # As many as will fit if they are like those so far.
            step = max(1, (max_bytes - size) * len(found) // max(size, 1))
        memories = [found.get(address) for address in addresses]
        size = sum(memory.size for memory in memories if memory is not None)
        if size > max_bytes and not alone:
            raise too_large()
        self._renew(memory for memory in found.values() if memory is not None)
        return memories

    async def search(self, caller: Caller, search: Search) -> Found:
        """The best memories for one question."""
        found = await self._searcher.search(caller, search)
        self._renew(hit.memory for hit in found.hits)
        return found

    def _renew(self, memories: Iterable[Memory]) -> None:
        if self._renewer is not None:
            self._renewer.saw(memory.record for memory in memories)

    async def list(self, caller: Caller, listing: Listing) -> ListedPage:
        """A page of a walk."""
        return await self._lister.page(caller, listing)

    async def count(self, caller: Caller, selection: Selection) -> Counted:
        """How many memories."""
        return await self._lister.count(caller, selection)

    async def namespaces(self, caller: Caller, query: NamespaceQuery) -> NamespacePage:
        """A page of the namespaces that hold memories."""
        return await self._namespaces.page(caller, query)

    async def statistics(self, caller: Caller, selection: Selection) -> Statistics:
        """Figures about memories."""
        return await self._statistician.of(caller, selection)

    def begin_purge(self, caller: Caller, purge: Purge) -> Progress:
        """Where a call of a purge begins. Raises INVALID_ARGUMENT for a token of another one."""
        return self._purger.begin(caller, purge)

    async def purge(
        self, caller: Caller, purge: Purge, progress: Progress, *, dry_run: bool = False
    ) -> Purged:
        """Delete what is asked for, or only count it; `progress` then says how far that came."""
        run = self._purger.count if dry_run else self._purger.run
        return await run(caller, purge, progress)

    def begin_forget(self, caller: Caller, forget: Forget) -> Progress:
        """Where a call of a forget begins. Raises as `begin_purge`."""
        return self._forgetter.begin(caller, forget)

    async def forget(
        self, caller: Caller, forget: Forget, progress: Progress, *, dry_run: bool = False
    ) -> Forgotten:
        """Delete what is to be forgotten, or only find it; `progress` as in `purge`."""
        return await self._forgetter.run(caller, forget, progress, dry_run=dry_run)

    def begin_consolidate(self, caller: Caller, asked: Consolidate) -> Consolidation:
        """Where a call of a consolidation begins. Raises as `begin_purge`, and UNIMPLEMENTED."""
        return self._consolidator.begin(caller, asked)

    async def consolidate(
        self, caller: Caller, asked: Consolidate, progress: Consolidation, *, dry_run: bool = False
    ) -> Consolidated:
        """Merge near-duplicates, or only find them; `progress` as in `purge`."""
        return await self._consolidator.run(caller, asked, progress, dry_run=dry_run)

    async def sweep(
        self, tenant: str, task: Task, after: Cursor | None, part: Slice, toll: Toll
    ) -> Swept:
        """One slice of what expiry or a policy deletes; `toll` then says how much that was."""
        return await self._sweeper.sweep(tenant, task, after, part, toll)


def too_large() -> MemplaneError:
    """RESOURCE_EXHAUSTED of memories that do not fit into one reply."""
    return MemplaneError(
        Code.RESOURCE_EXHAUSTED,
        Reason.REPLY_TOO_LARGE,
        f"these memories are more than the {REPLY_BYTES} bytes of a reply; get fewer at a time",
        metadata={"limit_bytes": str(REPLY_BYTES)},
    )
