"""Who may write which memory now, for stores without conditional write (ConditionalWrite.NONE).

Such a store overwrites whatever is there, so between reading a memory and writing it nobody else may
write it. Each write of the gateway takes a lease for each of its memories, reads, decides, writes and
lets go; that makes it as exact as a store that compares, among all callers of this gateway.

The leases are in this process. That is enough while one gateway alone writes to the store, as it must
today: its control store is embedded, which one process owns. (Several gateways need leases in a
control store that they share.) Who writes to the store past the gateway is not kept out.

A write whose caller gave up, or whose deadline passed, goes on for `OVERTIME_SECONDS` and keeps its
leases until the store has answered. When nobody knows whether a write took effect (no answer even
then, or a connection that broke) its leases are kept for another `SETTLING_SECONDS`. What remains: a
store that carries out a write later than that puts it over a newer one that was acknowledged
meanwhile. So does what is still on its way to the store when the gateway ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

from memplane_adapters.contract import (
    Address,
    Capabilities,
    ConditionalWrite,
    StoreError,
    StoreReason,
    WriteResult,
)
from memplane_gateway.deadline import remaining, set_overtime
from memplane_gateway.errors import AMBIGUOUS, Code, MemplaneError, Reason, is_ambiguous

OVERTIME_SECONDS = 10.0
SETTLING_SECONDS = 1.0

Send = Callable[[], Awaitable[list[WriteResult]]]


class Turn(Protocol):
    """A writer's turn: from reading memories to the end of writing them."""

    async def finish(self, send: Send) -> list[WriteResult]:
        """Write; `send` does it."""
        ...


class Turns(Protocol):
    """Gives writers their turns."""

    def turn(self, addresses: Iterable[Address]) -> AbstractAsyncContextManager[Turn]:
        """A turn for these memories."""
        ...

    async def close(self) -> None:
        """End writes that nobody waits for."""
        ...


def turns_for(able: Capabilities) -> Turns:
    """Leases where the store does not compare revisions by itself, else nothing."""
    return Leases() if needs_leases(able) else Unbound()


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

    async def finish(self, send: Send) -> list[WriteResult]:
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
    """Leases of the memories of one store and kind."""

    def __init__(self) -> None:
        self._leases: dict[Address, _Lease] = {}
        self._sending: set[asyncio.Task[list[WriteResult]]] = set()

    @asynccontextmanager
    async def turn(self, addresses: Iterable[Address]) -> AsyncIterator[Turn]:
        """Begins when no other writer has one of these memories.

        Leases are taken in one order, so that no two writers wait for each other. Raises
        DEADLINE_EXCEEDED when the deadline passes before.
        """
        turn = _LeasedTurn(self, await self._take(addresses))
        try:
            yield turn
        finally:
            turn.leave()

    async def close(self) -> None:
        """End writes that nobody waits for."""
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)

    async def _take(self, addresses: Iterable[Address]) -> list[Address]:
        taken: list[Address] = []
        try:
            async with asyncio.timeout(remaining()):
                for address in sorted(set(addresses), key=_order):
                    await self._wait_for(address)
                    taken.append(address)
        except BaseException as error:
            self.give_back(taken)
            if isinstance(error, TimeoutError):
                raise _waited_too_long() from error
            raise
        return taken

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
    def __init__(self, leases: Leases, addresses: Sequence[Address]) -> None:
        self._leases = leases
        self._addresses = addresses
        self._task: asyncio.Task[list[WriteResult]] | None = None

    async def finish(self, send: Send) -> list[WriteResult]:
        """Write. Raises TIMEOUT at the deadline, while the write goes on."""
        self._task = self._leases.start(send)
        done, _ = await asyncio.wait({self._task}, timeout=remaining())
        if done:
            return self._task.result()
        raise StoreError(
            StoreReason.TIMEOUT, "the write went on behind the deadline", metadata=AMBIGUOUS
        )

    def leave(self) -> None:
        """Give the leases back when the write is over."""
        if self._task is None:
            self._leases.give_back(self._addresses)
        elif self._task.done():
            self._over(self._task)
        else:
            self._task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[list[WriteResult]]) -> None:
        if _is_known(task):
            self._leases.give_back(self._addresses)
        else:
            asyncio.get_running_loop().call_later(
                SETTLING_SECONDS, self._leases.give_back, self._addresses
            )


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
