"""Writes that are sent again take effect once.

Each memory remembers its last writes by the request ids of their calls, as tokens in its record. A
write reads that record anyway, so whether it was done before is decided without further I/O, and
whoever carries it out: after a retry, after a restart, and when the answer of the store got lost.
Deletes leave no record; `removals` notes them elsewhere.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from memplane_gateway.clock import micros_of
from memplane_gateway.errors import Code, MemplaneError, Reason
from memplane_gateway.memory.model import (
    Caller,
    Operation,
    Outcome,
    Record,
    Trace,
    WriteToken,
    Written,
)
from memplane_gateway.memory.shelf import Row, Shelf, etag_at, memory_of

TOKENS = 16
"""Writes that a memory remembers."""

REMEMBERED_MICROS = 24 * 3600 * 1_000_000
"""For how long a call is remembered."""

PATIENCE_SECONDS = 2.0
"""How long a retry waits for a try that is still running, before it is told to come again."""

DELAY_SECONDS = 0.5


class KeptTokens(Sequence[WriteToken]):
    """The tokens of a record that was read, oldest first: most writes look at hardly one of them."""

    @abstractmethod
    def of(self, request_id: str) -> Iterable[WriteToken]:
        """Those of one request id, newest first."""
        ...

    @abstractmethod
    def since(self, micros: int) -> KeptTokens:
        """Without those of this time or before."""
        ...

    @abstractmethod
    def then(self, made: WriteToken) -> KeptTokens:
        """With one more behind them; the newest that a memory remembers."""
        ...


@dataclass(frozen=True, slots=True)
class Mark:
    """What makes the writes of one call recognisable; without a request id nothing does."""

    operation: Operation
    request_id: str
    body_hash: bytes

    @classmethod
    def of(cls, caller: Caller, operation: Operation) -> Mark:
        """The mark of a caller's call."""
        return cls(operation, caller.request_id, caller.body_hash)

    def found_on(self, row: Row | None, index: int, now: int) -> WriteToken | None:
        """The token of this call's item on what is there, expired or not; None: not done yet.

        Raises ALREADY_EXISTS when another call has had the request id.
        """
        if row is None or not self.request_id:
            return None
        tokens = row.record.tokens
        ours = tokens.of(self.request_id) if isinstance(tokens, KeptTokens) else reversed(tokens)
        for token in ours:
            if (token.request_id, token.operation) != (self.request_id, self.operation):
                continue
            if not _is_remembered(token, now):
                continue
            if (token.body_hash, token.item_index) != (self.body_hash, index):
                raise reused(self.request_id)
            return token
        return None

    def tokens_after(
        self, before: Record | None, index: int, revision: int, outcome: Outcome, now: int
    ) -> Sequence[WriteToken]:
        """What the memory remembers once this call's item is written over what was there."""
        kept = () if before is None else before.tokens
        if isinstance(kept, KeptTokens):
            kept = kept.since(now - REMEMBERED_MICROS)
        else:
            kept = tuple(token for token in kept if _is_remembered(token, now))
        if not self.request_id:
            return kept
        made = WriteToken(self.operation, self.request_id, index, self.body_hash, revision, outcome)
        return kept.then(made) if isinstance(kept, KeptTokens) else (*kept, made)[-TOKENS:]


@dataclass(frozen=True, slots=True)
class Done:
    """The write was done before; `again` by an earlier try, else by this very call."""

    row: Row
    token: WriteToken
    again: bool

    def written(self, shelf: Shelf) -> Written:
        """The first outcome, with what is still known of it."""
        record, token = self.row.record, self.token
        if record.revision == token.revision:
            memory = memory_of(shelf, self.row)
            return Written(record.address, token.outcome, memory, replayed=self.again)
        since = record.create_time >= micros_of(token.revision) + 1000
        trace = Trace(
            etag=etag_at(record.address, token.revision),
            revision=token.revision,
            create_time=None if since else record.create_time,
            searchable=shelf.searchable(record),
        )
        return Written(record.address, token.outcome, replayed=self.again, trace=trace)


class Running:
    """The calls with a request id that this process is carrying out, one at a time for each id."""

    def __init__(self) -> None:
        self._calls: dict[tuple[str, Operation, str], _Turns] = {}

    @asynccontextmanager
    async def alone(self, caller: Caller, operation: Operation) -> AsyncIterator[None]:
        """While a call runs no other with its request id does; those that come meanwhile wait.

        Raises ABORTED when the others have not ended within `PATIENCE_SECONDS`.
        """
        if not caller.request_id:
            yield
            return
        call = caller.tenant, operation, caller.request_id
        turns = self._calls.setdefault(call, _Turns())
        turns.users += 1
        try:
            await _begin(turns.lock, caller.request_id)
            try:
                yield
            finally:
                turns.lock.release()
        finally:
            turns.users -= 1
            if not turns.users:
                del self._calls[call]


@dataclass(slots=True, eq=False)
class _Turns:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0
    """Who runs or waits; forgotten without any."""


async def _begin(lock: asyncio.Lock, request_id: str) -> None:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await lock.acquire()
    except TimeoutError as error:
        raise still_running(request_id, DELAY_SECONDS) from error


def reused(request_id: str) -> MemplaneError:
    """ALREADY_EXISTS of a request id that came with another body before."""
    return MemplaneError(
        Code.ALREADY_EXISTS,
        Reason.REQUEST_ID_REUSED,
        "this request id was used before for a call with another body; mint one for each call",
        metadata={"request_id": request_id},
    )


def still_running(request_id: str, delay: float) -> MemplaneError:
    """ABORTED of a call whose first try has not ended; `delay` is seconds."""
    return MemplaneError(
        Code.ABORTED,
        Reason.REQUEST_RUNNING,
        "a call with this request id is still running; try again to hear its outcome",
        metadata={"request_id": request_id},
        retry_after=delay,
    )


def atomic_refused(refused: int) -> MemplaneError:
    """ABORTED of an item of an atomic call of which another was refused."""
    return MemplaneError(
        Code.ABORTED,
        Reason.ATOMIC_REFUSED,
        f"item {refused} of this atomic call was refused, so that nothing was written",
        metadata={"refused": str(refused)},
    )


def _is_remembered(token: WriteToken, now: int) -> bool:
    return micros_of(token.revision) > now - REMEMBERED_MICROS
