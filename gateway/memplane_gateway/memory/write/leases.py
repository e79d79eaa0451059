"""Who may write which memory now, for stores without conditional write (ConditionalWrite.NONE).

Such a store overwrites whatever is there, so between reading a memory and writing it nobody else may
write it. Each write of the gateway takes a lease for each of its memories, reads, decides, writes and
lets go; that makes it as exact as a store that compares, among all callers of this gateway.

The leases are in this process. That is enough while one gateway alone writes to the store, as with an
embedded control store, which one process owns. Gateways that share a control store take leases there
beside these (`shared_leases`). Who writes to the store past the gateways is not kept out.

A write whose caller gave up, or whose deadline passed, goes on for `OVERTIME_SECONDS` and keeps its
leases until the store has answered. When nobody knows whether a write took effect (no answer even
then, or a connection that broke) its leases are kept for another `SETTLING_SECONDS`. What remains: a
store that carries out a write later than that puts it over a newer one that was acknowledged
meanwhile. So does what is still on its way to the store when the gateway ends.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

from memplane_adapters.contract import (
    Address,
    Capabilities,
    ConditionalWrite,
    StoreError,
    StoreReason,
    WriteResult,
    WriteStatus,
)
from memplane_gateway.deadline import remaining, set_overtime
from memplane_gateway.errors import AMBIGUOUS, Code, MemplaneError, Reason, is_ambiguous
from memplane_gateway.memory.model import Record
from memplane_gateway.memory.write.shared_leases import Grant, SharedLeases

OVERTIME_SECONDS = 10.0
SETTLING_SECONDS = 1.0
STALE_SECONDS = 5.0
"""How long a store may show less than was written last; then a write that needs it is refused."""
_LOOK_SECONDS = 0.1
_COURTESY_SECONDS = 0.02

_log = logging.getLogger(__name__)


class _Row(Protocol):
    @property
    def record(self) -> Record: ...


RowT = TypeVar("RowT", bound=_Row)
Send = Callable[[], Awaitable[list[WriteResult]]]
Fetch = Callable[[], Awaitable[list[RowT | None]]]


class Turn(Protocol):
    """A writer's turn: from reading memories to the end of writing them."""

    async def read(self, fetch: Fetch[RowT]) -> list[RowT | None]:
        """Read the memories of the turn; `fetch` does it, in their order."""
        ...

    async def finish(
        self, send: Send, addresses: Sequence[Address], *, gone: bool = False, renews: bool = False
    ) -> list[WriteResult]:
        """Write (or delete: `gone`) these of the memories; `send` does it, in their order.

        `renews` says that they keep their revisions.
        """
        ...


class Turns(Protocol):
    """Gives writers their turns."""

    def turn(self, addresses: Iterable[Address]) -> AbstractAsyncContextManager[Turn]:
        """A turn for these memories."""
        ...

    async def close(self) -> None:
        """End writes that nobody waits for."""
        ...


def turns_for(able: Capabilities, shared: SharedLeases | None = None) -> Turns:
    """Leases where the store does not compare revisions by itself, else nothing.

    With `shared`, also against other gateways.
    """
    return Leases(able, shared) if needs_leases(able) else Unbound()


def needs_leases(able: Capabilities) -> bool:
    """Whether the gateway has to keep writers apart."""
    return able.conditional_write is ConditionalWrite.NONE


def coordinated(able: Capabilities) -> Capabilities:
    """What a store can do with the gateway's leases around it, as callers see it."""
    if not needs_leases(able):
        return able
    return replace(able, conditional_write=ConditionalWrite.COORDINATED)


class Unbound:
    """Turns that wait for nobody: the store itself notices what came between."""

    @asynccontextmanager
    async def turn(self, addresses: Iterable[Address]) -> AsyncIterator[Turn]:  # noqa: ARG002
        """Begins at once."""
        yield self

    async def read(self, fetch: Fetch[RowT]) -> list[RowT | None]:
        """Read."""
        return await fetch()

    async def finish(
        self,
        send: Send,
        addresses: Sequence[Address],  # noqa: ARG002 (the store keeps its own books)
        *,
        gone: bool = False,  # noqa: ARG002
        renews: bool = False,  # noqa: ARG002
    ) -> list[WriteResult]:
        """Write."""
        return await send()

    async def close(self) -> None:
        """Nothing goes on behind a caller's back."""


@dataclass(slots=True, eq=False)
class _Lease:
    """The right to write one memory. The lock lets waiting writers in as they came."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0
    """Who has it or waits for it; forgotten without any."""


class Leases:
    """Leases of the memories of one store and kind; with `shared`, among several gateways."""

    def __init__(
        self, able: Capabilities | None = None, shared: SharedLeases | None = None
    ) -> None:
        self.able = able or Capabilities()
        self._shared = shared
        self._leases: dict[Address, _Lease] = {}
        self._sending: set[asyncio.Task[list[WriteResult]]] = set()

    @asynccontextmanager
    async def turn(self, addresses: Iterable[Address]) -> AsyncIterator[Turn]:
        """Begins when no other writer has one of these memories.

        Leases are taken in one order, so that no two writers wait for each other. Raises
        DEADLINE_EXCEEDED when the deadline passes before.
        """
        wanted = list(addresses)
        taken, grant = await self._take(wanted)
        turn = _LeasedTurn(self, wanted, taken, grant)
        try:
            yield turn
        finally:
            turn.leave()

    async def close(self) -> None:
        """End writes that nobody waits for."""
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        if self._shared is not None:
            await self._shared.close()

    async def _take(self, addresses: Iterable[Address]) -> tuple[list[Address], Grant | None]:
        taken: list[Address] = []
        try:
            async with asyncio.timeout(remaining()):
                for address in sorted(set(addresses), key=_order):
                    await self._wait_for(address)
                    taken.append(address)
                return taken, None if self._shared is None else await self._shared.take(taken)
        except BaseException as error:
            self.give_back(taken)
            late = isinstance(error, MemplaneError) and remaining() == 0
            if late or isinstance(error, TimeoutError):
                raise _waited_too_long() from error
            raise

    def end(self, grant: Grant, taken: Sequence[Address], *, settling: bool) -> None:
        """Give back the leases of a turn that is over: at once, or when it has settled."""
        assert self._shared is not None, "who has a grant shares"
        self._shared.spawn(self._end(grant, taken, settling=settling))

    async def _end(self, grant: Grant, taken: Sequence[Address], *, settling: bool) -> None:
        try:
            if settling:
                await asyncio.sleep(SETTLING_SECONDS)
            await grant.release()
            if grant.contended:  # let another gateway in between, whose callers wait too
                await asyncio.sleep(random.uniform(0, _COURTESY_SECONDS))  # noqa: S311 (no secret)
        except MemplaneError:
            _log.info("leases could not be given back; they run out")
        finally:
            self.give_back(taken)

    async def _wait_for(self, address: Address) -> None:
        lease = self._leases.setdefault(address, _Lease())
        lease.users += 1
        try:
            await lease.lock.acquire()
        except BaseException:
            self._leave(address, lease)
            raise

    def give_back(self, addresses: Iterable[Address]) -> None:
        """Let the next writers in."""
        for address in addresses:
            lease = self._leases[address]
            lease.lock.release()
            self._leave(address, lease)

    def _leave(self, address: Address, lease: _Lease) -> None:
        lease.users -= 1
        if not lease.users:
            del self._leases[address]

    def start(self, send: Send) -> asyncio.Task[list[WriteResult]]:
        """Send a write that ends when the store has answered, whether or not its caller waits."""

        async def sent() -> list[WriteResult]:
            set_overtime(OVERTIME_SECONDS)
            return await send()

        task = asyncio.create_task(sent(), name="leased-write")
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)
        return task


class _LeasedTurn:
    def __init__(
        self,
        leases: Leases,
        addresses: Sequence[Address],
        taken: Sequence[Address],
        grant: Grant | None,
    ) -> None:
        self._leases = leases
        self._addresses = addresses
        self._taken = taken
        self._grant = grant
        self._task: asyncio.Task[list[WriteResult]] | None = None
        self._sent: Sequence[Address] = ()
        self._gone = False
        self._renews = False

    async def read(self, fetch: Fetch[RowT]) -> list[RowT | None]:
        """Read; again while the store shows less than was written last. Raises UNAVAILABLE."""
        rows = await fetch()
        if self._grant is None or not self._is_stale(self._grant, rows):
            return rows
        if self._leases.able.read_your_writes:
            # It shows what it has: it was put back to an older state, or a write came very late.
            _log.warning("a store has memories that are older than what was written last")
            return rows
        loop = asyncio.get_running_loop()
        end = loop.time() + STALE_SECONDS
        while loop.time() < end:
            await asyncio.sleep(_LOOK_SECONDS)
            rows = await fetch()
            if not self._is_stale(self._grant, rows):
                return rows
        raise _still_stale()

    def _is_stale(self, grant: Grant, rows: Sequence[_Row | None]) -> bool:
        # Where the store drops what has expired, no row says nothing.
        expiry = self._leases.able.expiry
        return any(
            grant.is_stale(address, None if row is None else row.record.revision)
            for address, row in zip(self._addresses, rows, strict=True)
            if row is not None or not expiry
        )

    async def finish(
        self, send: Send, addresses: Sequence[Address], *, gone: bool = False, renews: bool = False
    ) -> list[WriteResult]:
        """Write. Raises TIMEOUT at the deadline, while the write goes on.

        With leases in a control store also INTERRUPTED, when another gateway may have had one of
        them before the write was over, and UNAVAILABLE when that is so before it is sent.
        """
        grant = self._grant
        if grant is not None and not grant.sure:
            raise StoreError(
                StoreReason.UNAVAILABLE,
                "the leases ran out before the write was sent",
                retryable=True,
            )
        self._sent, self._gone, self._renews = addresses, gone, renews
        self._task = self._leases.start(send)
        done, _ = await asyncio.wait({self._task}, timeout=remaining())
        if not done:
            raise StoreError(
                StoreReason.TIMEOUT, "the write went on behind the deadline", metadata=AMBIGUOUS
            )
        results = self._task.result()
        if grant is not None:
            await self._confirm(grant, known=_is_known(self._task))
        return results

    async def _confirm(self, grant: Grant, *, known: bool) -> None:
        """Give the leases back, and see by that whether they were ours for all of the write.

        What ended in time needs no such proof, but where reads may be stale, the entry must know of
        the write before its caller does.
        """
        sure, noted = grant.sure, False
        if known:
            self._note(grant)
            release = grant.release()
            await asyncio.wait({release}, timeout=remaining())
            noted = release.done() and release.exception() is None and release.result()
        if not (noted or (sure and self._leases.able.read_your_writes)):
            raise StoreError(
                StoreReason.INTERRUPTED,
                "the leases ran out while the write was under way",
                metadata=AMBIGUOUS,
            )

    def _note(self, grant: Grant) -> None:
        assert self._task is not None, "sent"
        if self._renews:  # a row of a lower revision than the lease's is no older state
            return
        results = zip(self._sent, self._task.result(), strict=True)
        applied = [address for address, result in results if result.status in _DONE]
        grant.wrote(applied, gone=self._gone)

    def leave(self) -> None:
        """Give the leases back when the write is over."""
        if self._task is not None and not self._task.done():
            self._task.add_done_callback(self._over)
        else:
            self._over(self._task)

    def _over(self, task: asyncio.Task[list[WriteResult]] | None) -> None:
        known = task is None or _is_known(task)
        if self._grant is not None:
            if task is not None and not task.cancelled() and task.exception() is None:
                self._note(self._grant)
            self._leases.end(self._grant, self._taken, settling=not known)
        elif known:
            self._leases.give_back(self._taken)
        else:
            asyncio.get_running_loop().call_later(
                SETTLING_SECONDS, self._leases.give_back, self._taken
            )


_DONE = frozenset({WriteStatus.APPLIED, WriteStatus.MISSING})


def _is_known(task: asyncio.Task[list[WriteResult]]) -> bool:
    """Whether it is known what became of each item of a write that is over."""
    if task.cancelled():
        return False
    error = task.exception()
    if error is not None:
        # What is raised before anything is sent (an embedder, a bug) is known: nothing was written.
        return not (isinstance(error, StoreError) and is_ambiguous(error))
    failures = [result.error for result in task.result() if result.error is not None]
    return not any(map(is_ambiguous, failures))


def _order(address: Address) -> tuple[str, str, tuple[tuple[str, ...], str]]:
    return address.tenant, address.kind.value, address.place


def _waited_too_long() -> MemplaneError:
    return MemplaneError(
        Code.DEADLINE_EXCEEDED,
        Reason.DEADLINE_PASSED,
        "the deadline passed while others wrote these memories; nothing was written",
    )


def _still_stale() -> MemplaneError:
    return MemplaneError(
        Code.UNAVAILABLE,
        Reason.BACKEND_UNAVAILABLE,
        "the store does not show yet what was written to these memories last; nothing was written; "
        "try again later (or, if a backup was put back, an hour after the last write)",
        retry_after=1.0,
    )
