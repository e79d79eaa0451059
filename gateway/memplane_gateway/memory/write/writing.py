"""Writes: read what is there, decide, embed, write if nothing came between, else begin again.

Over a store that cannot tell whether something came between, a lease sees to it that nothing does.
What is read also tells whether the write was done before (see `idempotency`): by an earlier try of the
call, or by this one when the store's answer got lost.
"""

from __future__ import annotations

import asyncio
import functools
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, TypeVar

from memplane_adapters.contract import (
    Address,
    Delete,
    StoreError,
    StoreReason,
    Vector,
    WriteResult,
    WriteStatus,
)
from memplane_gateway.clock import Clock
from memplane_gateway.errors import Code, MemplaneError, Reason, from_store, is_ambiguous
from memplane_gateway.memory.calls.idempotency import Done, Mark, atomic_refused
from memplane_gateway.memory.embedding import TextVectors
from memplane_gateway.memory.further import RowDelete
from memplane_gateway.memory.model import (
    Caller,
    Operation,
    Outcome,
    Provenance,
    Put,
    Removal,
    Update,
    Written,
)
from memplane_gateway.memory.shelf import Row, RowWrite, Shelf, alive_row, memory_of
from memplane_gateway.memory.write.drafting import (
    Draft,
    Stamp,
    Unchanged,
    Vectors,
    draft_put,
    draft_update,
)
from memplane_gateway.memory.write.leases import Leases, Turn, turns_for
from memplane_gateway.memory.write.preconditions import not_found, refusal
from memplane_gateway.memory.write.shared_leases import SharedLeases
from memplane_gateway.pacing import paced

MAX_ATTEMPTS = 100
"""Rounds that a write tries while others win; the last loser of 50 writers needs 50."""

_PAUSE_SECONDS = 0.002


class Item(Protocol):
    """What writes are about."""

    @property
    def address(self) -> Address: ...


ItemT = TypeVar("ItemT", bound=Item)
_ChangeT = TypeVar("_ChangeT", Put, Update)
_Decision: TypeAlias = Draft | Unchanged | Done | MemplaneError
_Decide: TypeAlias = Callable[[_ChangeT, Row | None, int], Draft | Unchanged | MemplaneError]
Round: TypeAlias = Callable[
    [Sequence[ItemT], Sequence[Row | None], Turn], Awaitable[list[Written | None]]
]


@dataclass(slots=True)
class _Call:
    """What one call keeps over its rounds."""

    caller: Caller
    mark: Mark
    atomic: bool
    made: dict[str, Vector | None] = field(default_factory=dict)
    """Vectors by their texts."""
    refused: set[str] = field(default_factory=set)
    """Texts that the embedder does not take."""
    stamped: set[int] = field(default_factory=set)
    """Revisions that it sent to the store, whatever became of them."""
    lost: StoreError | None = None
    """The store's answer to a write got lost, and what is there has to tell."""

    def may_look(self, error: StoreError | MemplaneError | None) -> bool:
        """Whether to read again after a write that may have taken effect; at most once a call.

        Only with a request id the write is recognised, and can be sent again without harm.
        """
        if self.lost is not None or not self.mark.request_id or not isinstance(error, StoreError):
            return False
        if error.reason is not StoreReason.INTERRUPTED or not is_ambiguous(error):
            return False
        self.lost = error
        return True


class Writer:
    """Writes to one shelf. Each item of a batch is atomic; the batch is when that is asked."""

    def __init__(
        self,
        route: str,
        shelf: Shelf,
        clock: Clock,
        vectors: TextVectors,
        shared: SharedLeases | None = None,
    ) -> None:
        self._route = route
        self._shelf = shelf
        self._clock = clock
        self._vectors = vectors
        self._turns = turns_for(shelf.capabilities, shared)
        # A courtesy among those who lost a round, no safeguard: else most of many lose each time.
        self._queue = Leases()

    async def close(self) -> None:
        """End writes that nobody waits for."""
        await self._turns.close()

    async def put(
        self, caller: Caller, puts: Sequence[Put], *, atomic: bool = False
    ) -> list[Written]:
        """Write whole memories; no address twice."""

        def decide(put: Put, row: Row | None, now: int) -> Draft | Unchanged | MemplaneError:
            alive = alive_row(row, now)
            refused = refusal(put.precondition, alive.record if alive else None)
            return refused or draft_put(put, row, now, self._shelf.codec.fingerprint)

        call = _Call(caller, Mark.of(caller, Operation.PUT), atomic)
        return await self._change(call, puts, decide)

    async def update(self, caller: Caller, updates: Sequence[Update]) -> list[Written]:
        """Change parts of memories that are there; no address twice."""

        def decide(update: Update, row: Row | None, now: int) -> Draft | Unchanged | MemplaneError:
            alive = alive_row(row, now)
            refused = refusal(update.precondition, alive.record if alive else None)
            if refused is not None:
                return refused
            if alive is None:
                return not_found()
            return draft_update(update, alive, now, self._shelf.codec.fingerprint)

        call = _Call(caller, Mark.of(caller, Operation.UPDATE), atomic=False)
        return await self._change(call, updates, decide)

    async def delete(self, removals: Sequence[Removal], *, atomic: bool = False) -> list[Written]:
        """Delete memories; no address twice. What is missing is no error."""

        async def round_(
            batch: Sequence[Removal], rows: Sequence[Row | None], turn: Turn
        ) -> list[Written | None]:
            now = self._clock.now()
            settled: list[Written | None] = [None] * len(batch)
            deletes: dict[int, Delete] = {}
            for index, (removal, row) in enumerate(zip(batch, rows, strict=True)):
                alive = there_for(removal, alive_row(row, now))
                refused = refusal(removal.precondition, alive.record if alive else None)
                if refused is not None:
                    settled[index] = Written(removal.address, error=refused)
                elif alive is None:
                    settled[index] = Written(removal.address, Outcome.MISSING)
                else:
                    deletes[index] = RowDelete.of(alive.record)
            if atomic and any(each is not None and each.error for each in settled):
                return all_refused(settled, batch)
            doomed = list(deletes.values())
            if not doomed:
                return settled
            send = functools.partial(self._shelf.delete, doomed, atomic=atomic)
            sent = [delete.address for delete in doomed]
            results = await turn.finish(send, sent, gone=True)
            if atomic and not all(map(stands_in_nobodys_way, results)):
                return self._none_applied(batch, deletes, results)
            for index, result in zip(deletes, results, strict=True):
                # A row that has gone meanwhile is read again too: a precondition may now differ.
                if result.status is WriteStatus.APPLIED:
                    settled[index] = Written(
                        batch[index].address, Outcome.DELETED, replicas=result.replicas
                    )
                elif result.status is WriteStatus.FAILED:
                    settled[index] = self._failed(batch[index].address, result)
            return settled

        return await self.until_settled(removals, round_, vectors=False)

    async def _change(
        self, call: _Call, items: Sequence[_ChangeT], decide: _Decide[_ChangeT]
    ) -> list[Written]:
        """Puts and updates, which differ in what they make of what is there."""

        async def round_(
            batch: Sequence[_ChangeT], rows: Sequence[Row | None], turn: Turn
        ) -> list[Written | None]:
            now = self._clock.now()
            decided: list[_Decision] = []
            async for item, row in paced(zip(batch, rows, strict=True)):
                token = call.mark.found_on(row, item.index, now)
                if row is not None and token is not None:
                    decided.append(Done(row, token, token.revision not in call.stamped))
                else:
                    decided.append(decide(item, row, now))
            if call.atomic:
                settled = self._settled_as_one(batch, rows, decided)
                if settled is not None:
                    return settled
            return await self._apply(call, batch, decided, turn)

        return await self.until_settled(items, round_, call=call)

    async def until_settled(
        self,
        items: Sequence[ItemT],
        round_: Round[ItemT],
        *,
        vectors: bool = True,
        call: _Call | None = None,
    ) -> list[Written]:
        """Run rounds over the items that lost to another writer, until none is left.

        A round gets what is there for each of its items, and says what became of it; None: it lost.
        """
        settled: list[Written | None] = [None] * len(items)
        pending = list(range(len(items)))
        for attempt in range(MAX_ATTEMPTS):
            batch = [items[index] for index in pending]
            try:
                addresses = [item.address for item in batch]
                async with (
                    self._queue.turn(addresses) if attempt else nullcontext(),
                    self._turns.turn(addresses) as turn,
                ):
                    rows = await turn.read(
                        functools.partial(self._shelf.fetch, addresses, vectors=vectors)
                    )
                    outcomes = await round_(batch, rows, turn)
            except (StoreError, MemplaneError) as error:
                if call is not None and call.may_look(error):
                    continue
                # Of a write whose answer got lost nobody knows more than before.
                lost = call.lost if call is not None else None
                if len(pending) == len(items):
                    if lost is None:
                        raise
                    raise lost from error
                # Some items of this call are written already: the others fail alone.
                failure = self._told(lost or error)
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
        call: _Call,
        batch: Sequence[Put | Update],
        decided: Sequence[_Decision],
        turn: Turn,
    ) -> list[Written | None]:
        settled: list[Written | None] = [None] * len(batch)
        drafts: dict[int, Draft] = {}
        for index, decision in enumerate(decided):
            if isinstance(decision, Draft):
                drafts[index] = decision
            else:
                settled[index] = self._without_writing(batch[index].address, decision)
        for index, error in (await self._embed(call, batch, drafts)).items():
            settled[index] = Written(batch[index].address, error=error)
            del drafts[index]
        if not drafts:
            return settled
        writes: list[RowWrite] = []

        async def send() -> list[WriteResult]:
            # Stamped after the embedding, which may take long: a walk by update_time has to wait
            # for what is stamped and not yet there.
            with self._clock.writing() as now:
                stamp = self._stamp(call, now)
                async for index, draft in paced(drafts.items()):
                    vectors = self._vectors_of(draft, call)
                    writes.append(draft.finished(batch[index], stamp, vectors))
                    call.stamped.add(writes[-1].row.record.revision)
                return await self._shelf.write(writes, atomic=call.atomic)

        results = await turn.finish(send, [batch[index].address for index in drafts])
        if call.atomic and not all(map(stands_in_nobodys_way, results)):
            return self._none_applied(batch, drafts, results)
        for (index, draft), write, result in zip(drafts.items(), writes, results, strict=True):
            address = batch[index].address
            if result.status is WriteStatus.APPLIED:
                memory = memory_of(self._shelf, write.row)
                settled[index] = Written(address, draft.outcome, memory, replicas=result.replicas)
            elif result.status is WriteStatus.FAILED and not call.may_look(result.error):
                settled[index] = self._failed(address, result)
        return settled

    async def _embed(
        self, call: _Call, batch: Sequence[Put | Update], drafts: Mapping[int, Draft]
    ) -> dict[int, MemplaneError]:
        """Have the vectors of the drafts made; why a draft has none, where a text is refused.

        Of an atomic batch no text is refused: procedural memories have no vectors.
        """
        texts = {text for draft in drafts.values() for text in draft.texts_to_embed}
        embedded = await self._vectors.of_those_taken(texts - call.made.keys() - call.refused)
        call.made.update(embedded.vectors)
        call.refused |= embedded.refused
        refusals = {
            index: draft.refusal(batch[index], call.refused) for index, draft in drafts.items()
        }
        return {index: error for index, error in refusals.items() if error is not None}

    def _stamp(self, call: _Call, now: int) -> Stamp:
        caller = call.caller
        provenance = Provenance(caller.principal, caller.request_id, caller.source)
        return Stamp(now, self._clock, self._shelf.codec.fingerprint, provenance, call.mark)

    def _without_writing(
        self, address: Address, decision: Unchanged | Done | MemplaneError
    ) -> Written:
        if isinstance(decision, MemplaneError):
            return Written(address, error=decision)
        if isinstance(decision, Done):
            return decision.written(self._shelf)
        return Written(address, Outcome.UNCHANGED, memory_of(self._shelf, decision.row))

    def _settled_as_one(
        self,
        batch: Sequence[Put | Update],
        rows: Sequence[Row | None],
        decided: Sequence[_Decision],
    ) -> list[Written | None] | None:
        """What becomes of an atomic batch of which nothing is to be written; None: it is.

        Where one item was done, all were: those without a token were UNCHANGED then, or others have
        written or deleted them since. Otherwise one refused item refuses the others.
        """
        done = [decision for decision in decided if isinstance(decision, Done)]
        if done:
            settled: list[Written | None] = []
            for item, row, decision in zip(batch, rows, decided, strict=True):
                if isinstance(decision, Done):
                    settled.append(decision.written(self._shelf))
                    continue
                memory = None if row is None else memory_of(self._shelf, row)
                written = Written(item.address, Outcome.UNCHANGED, memory, replayed=done[0].again)
                settled.append(written)
            return settled
        if not any(isinstance(decision, MemplaneError) for decision in decided):
            return None
        refused = [
            Written(item.address, error=decision if isinstance(decision, MemplaneError) else None)
            for item, decision in zip(batch, decided, strict=True)
        ]
        return all_refused(refused, batch)

    def _none_applied(
        self, batch: Sequence[Item], tried: Iterable[int], results: Sequence[WriteResult]
    ) -> list[Written | None]:
        """What becomes of an atomic batch that the store did not apply: all refused, or all anew."""
        refused: list[Written | None] = [None] * len(batch)
        for index, result in zip(tried, results, strict=True):
            if result.error is not None:
                refused[index] = self._failed(batch[index].address, result)
        return all_refused(refused, batch) if any(refused) else refused

    def _vectors_of(self, draft: Draft, call: _Call) -> Vectors:
        own, identity = draft.vector, draft.embedding
        if draft.embed:
            own, identity = call.made.get(draft.content.text), self._vectors.identity
        elif draft.content.client_vector:
            identity = self._vectors.client_identity
        texts = draft.content.indexed_texts
        further = tuple(
            call.made.get(each.text) if number in draft.embed_texts else draft.further[number]
            for number, each in enumerate(texts)
        )
        if own is not None:
            return Vectors(own, further, identity)
        made = [bool(texts[number].text) for number, each in enumerate(further) if each is not None]
        identity = self._vectors.identity if any(made) else self._vectors.client_identity
        return Vectors(None, further, identity if made else None)

    def _failed(self, address: Address, result: WriteResult) -> Written:
        assert result.error is not None, "a failed write says why"
        return Written(address, error=self._told(result.error))

    def _told(self, error: StoreError | MemplaneError) -> MemplaneError:
        return from_store(error, self._route) if isinstance(error, StoreError) else error


def there_for(removal: Removal, alive: Row | None) -> Row | None:
    """What is there for a delete: not what was created after its first try had begun."""
    if alive is None or removal.began is None or alive.record.create_time <= removal.began:
        return alive
    return None


def stands_in_nobodys_way(result: WriteResult) -> bool:
    """Whether an item of an atomic batch lets the others be: it was applied, or had nothing to do."""
    return result.status in (WriteStatus.APPLIED, WriteStatus.MISSING)


def all_refused(settled: Sequence[Written | None], batch: Sequence[Item]) -> list[Written | None]:
    """An atomic batch of which some items were refused: the others are too."""
    refused = [each if each is not None and each.error else None for each in settled]
    first = next(index for index, each in enumerate(refused) if each is not None)
    return [
        each or Written(item.address, error=atomic_refused(first))
        for item, each in zip(batch, refused, strict=True)
    ]


def _contention() -> MemplaneError:
    return MemplaneError(
        Code.ABORTED,
        Reason.WRITE_CONTENTION,
        "too many others write this memory at once; try again",
        metadata={"attempts": str(MAX_ATTEMPTS)},
        retry_after=0.1,
    )
