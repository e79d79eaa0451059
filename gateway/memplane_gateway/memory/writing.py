"""Writes: read what is there, decide, embed, write if nothing came between, else begin again.

Over a store that cannot tell whether something came between, a lease sees to it that nothing does.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol, TypeAlias, TypeVar

from memplane_adapters.contract import (
    Address,
    Delete,
    EmbeddingIdentity,
    StoreError,
    Vector,
    WriteResult,
    WriteStatus,
)
from memplane_gateway.clock import Clock
from memplane_gateway.errors import Code, MemplaneError, Reason, from_store
from memplane_gateway.memory.drafting import Draft, Stamp, Unchanged, draft_put, draft_update
from memplane_gateway.memory.embedding import TextVectors
from memplane_gateway.memory.leases import Turn, turns_for
from memplane_gateway.memory.model import (
    Caller,
    Outcome,
    Precondition,
    Provenance,
    Put,
    Removal,
    Update,
    Written,
)
from memplane_gateway.memory.preconditions import not_found, refusal
from memplane_gateway.memory.shelf import Row, RowWrite, Shelf, alive_row, memory_of
from memplane_gateway.pacing import paced

MAX_ATTEMPTS = 100
"""Rounds that a write tries while others win; the last loser of 50 writers needs 50."""

_PAUSE_SECONDS = 0.002


class _Item(Protocol):
    @property
    def address(self) -> Address: ...

    @property
    def precondition(self) -> Precondition | None: ...


_ItemT = TypeVar("_ItemT", bound=_Item)
_Round: TypeAlias = Callable[
    [Sequence[_ItemT], Sequence[Row | None], Turn], Awaitable[list[Written | None]]
]


class Writer:
    """Writes to one shelf. One batch is not atomic; each item is."""

    def __init__(self, route: str, shelf: Shelf, clock: Clock, vectors: TextVectors) -> None:
        self._route = route
        self._shelf = shelf
        self._clock = clock
        self._vectors = vectors
        self._turns = turns_for(shelf.capabilities)

    async def close(self) -> None:
        """End writes that nobody waits for."""
        await self._turns.close()

    async def put(self, caller: Caller, puts: Sequence[Put]) -> list[Written]:
        """Write whole memories; no address twice."""
        made: dict[str, Vector | None] = {}

        async def round_(
            batch: Sequence[Put], rows: Sequence[Row | None], turn: Turn
        ) -> list[Written | None]:
            now = self._clock.now()
            decided: list[Draft | Unchanged | MemplaneError] = []
            async for put, row in paced(zip(batch, rows, strict=True)):
                alive = alive_row(row, now)
                refused = refusal(put.precondition, alive.record if alive else None)
                decided.append(refused or draft_put(put, row, now, self._shelf.codec.fingerprint))
            return await self._apply(caller, batch, decided, made, turn)

        return await self._until_settled(puts, round_)

    async def update(self, caller: Caller, updates: Sequence[Update]) -> list[Written]:
        """Change parts of memories that are there; no address twice."""
        made: dict[str, Vector | None] = {}

        async def round_(
            batch: Sequence[Update], rows: Sequence[Row | None], turn: Turn
        ) -> list[Written | None]:
            now = self._clock.now()
            decided: list[Draft | Unchanged | MemplaneError] = []
            async for update, row in paced(zip(batch, rows, strict=True)):
                alive = alive_row(row, now)
                refused = refusal(update.precondition, alive.record if alive else None)
                if refused is not None:
                    decided.append(refused)
                elif alive is None:
                    decided.append(not_found())
                else:
                    decided.append(draft_update(update, alive, now, self._shelf.codec.fingerprint))
            return await self._apply(caller, batch, decided, made, turn)

        return await self._until_settled(updates, round_)

    async def delete(self, removals: Sequence[Removal]) -> list[Written]:
        """Delete memories; no address twice. What is missing is no error."""

        async def round_(
            batch: Sequence[Removal], rows: Sequence[Row | None], turn: Turn
        ) -> list[Written | None]:
            now = self._clock.now()
            settled: list[Written | None] = [None] * len(batch)
            deletes: dict[int, Delete] = {}
            for index, (removal, row) in enumerate(zip(batch, rows, strict=True)):
                alive = alive_row(row, now)
                refused = refusal(removal.precondition, alive.record if alive else None)
                if refused is not None:
                    settled[index] = Written(removal.address, error=refused)
                elif alive is None:
                    settled[index] = Written(removal.address, Outcome.MISSING)
                else:
                    deletes[index] = Delete(removal.address, alive.record.revision)
            doomed = list(deletes.values())
            results = await turn.finish(lambda: self._shelf.delete(doomed)) if doomed else []
            for index, result in zip(deletes, results, strict=True):
                # A row that has gone meanwhile is read again too: a precondition may now differ.
                if result.status is WriteStatus.APPLIED:
                    settled[index] = Written(
                        batch[index].address, Outcome.DELETED, replicas=result.replicas
                    )
                elif result.status is WriteStatus.FAILED:
                    settled[index] = self._failed(batch[index].address, result)
            return settled

        return await self._until_settled(removals, round_, vectors=False)

    async def _until_settled(
        self,
        items: Sequence[_ItemT],
        round_: _Round[_ItemT],
        *,
        vectors: bool = True,
    ) -> list[Written]:
        """Run rounds over the items that lost to another writer, until none is left."""
        settled: list[Written | None] = [None] * len(items)
        pending = list(range(len(items)))
        for attempt in range(MAX_ATTEMPTS):
            batch = [items[index] for index in pending]
            try:
                addresses = [item.address for item in batch]
                async with self._turns.turn(addresses) as turn:
                    rows = await self._shelf.fetch(addresses, vectors=vectors)
                    outcomes = await round_(batch, rows, turn)
            except (StoreError, MemplaneError) as error:
                if len(pending) == len(items):
                    raise
                # Some items of this call are written already: the others fail alone.
                failure = from_store(error, self._route) if isinstance(error, StoreError) else error
                outcomes = [Written(item.address, error=failure) for item in batch]
            for index, outcome in zip(pending, outcomes, strict=True):
                settled[index] = outcome
            pending = [index for index in pending if settled[index] is None]
            if not pending:
                break
            pause = _PAUSE_SECONDS * min(attempt + 1, 10)
            await asyncio.sleep(random.uniform(0, pause))  # noqa: S311 (spreads writers, no secret)
        return [
            outcome or Written(item.address, error=_contention())
            for item, outcome in zip(items, settled, strict=True)
        ]

    async def _apply(
        self,
        caller: Caller,
        batch: Sequence[Put | Update],
        decided: Sequence[Draft | Unchanged | MemplaneError],
        made: dict[str, Vector | None],
        turn: Turn,
    ) -> list[Written | None]:
        settled: list[Written | None] = [None] * len(batch)
        drafts: dict[int, Draft] = {}
        for index, decision in enumerate(decided):
            address = batch[index].address
            if isinstance(decision, MemplaneError):
                settled[index] = Written(address, error=decision)
            elif isinstance(decision, Unchanged):
                memory = memory_of(self._shelf, decision.row)
                settled[index] = Written(address, Outcome.UNCHANGED, memory)
            else:
                drafts[index] = decision
        if not drafts:
            return settled
        texts = {draft.content.text for draft in drafts.values() if draft.embed}
        made.update(await self._vectors.of(texts - made.keys()))
        provenance = Provenance(caller.principal, caller.request_id, caller.source)
        writes: list[RowWrite] = []

        async def send() -> list[WriteResult]:
            # Stamped after the embedding, which may take long: a walk by update_time has to wait
            # for what is stamped and not yet there.
            with self._clock.writing() as now:
                stamp = Stamp(now, self._clock, self._shelf.codec.fingerprint, provenance)
                async for index, draft in paced(drafts.items()):
                    vector = self._vector_of(draft, made)
                    writes.append(draft.finished(batch[index], stamp, *vector))
                return await self._shelf.write(writes)

        results = await turn.finish(send)
        for (index, draft), write, result in zip(drafts.items(), writes, results, strict=True):
            address = batch[index].address
            if result.status is WriteStatus.APPLIED:
                memory = memory_of(self._shelf, write.row)
                settled[index] = Written(address, draft.outcome, memory, replicas=result.replicas)
            elif result.status is WriteStatus.FAILED:
                settled[index] = self._failed(address, result)
        return settled

    def _vector_of(
        self, draft: Draft, made: Mapping[str, Vector | None]
    ) -> tuple[Vector | None, EmbeddingIdentity | None]:
        if draft.embed:
            return made.get(draft.content.text), self._vectors.identity
        if draft.content.client_vector:
            return draft.vector, self._vectors.client_identity
        return draft.vector, draft.embedding

    def _failed(self, address: Address, result: WriteResult) -> Written:
        assert result.error is not None, "a failed write says why"
        return Written(address, error=from_store(result.error, self._route))


def _contention() -> MemplaneError:
    return MemplaneError(
        Code.ABORTED,
        Reason.WRITE_CONTENTION,
        "too many others write this memory at once; try again",
        metadata={"attempts": str(MAX_ATTEMPTS)},
        retry_after=0.1,
    )
