"""Carries out what waits in an outbox, in its order, whenever the store is there."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from memplane_adapters.contract import StoreError
from memplane_gateway.deadline import within
from memplane_gateway.errors import Code, MemplaneError, Reason, from_store
from memplane_gateway.outbox.entries import Death, Fate, Spooled
from memplane_gateway.outbox.outbox import Outbox

BATCH_ITEMS = 100
LOOK_SECONDS = 0.2
"""How often a route that does not serve is looked at."""
STEP_SECONDS = 3.0
"""How long the store has for one batch; later writes of its memories wait meanwhile."""
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0
TRIES = 12
"""How often a write is tried alone, while its store says that it is there, before it is a dead letter:
about half a minute."""

_PASSING = frozenset(
    {
        Reason.BACKEND_UNAVAILABLE,
        Reason.BACKEND_PROTOCOL,
        Reason.BACKEND_EXHAUSTED,
        Reason.BACKEND_MISCONFIGURED,
        Reason.DEADLINE_PASSED,
        Reason.EMBEDDER_UNAVAILABLE,
        Reason.IDENTITY_MISMATCH,
        Reason.WRITE_CONTENTION,
        Reason.GATEWAY_BUG,
    }
)
"""What is not about the write itself: it is tried again."""

_PATIENT = frozenset(
    {
        Reason.BACKEND_EXHAUSTED,
        Reason.BACKEND_MISCONFIGURED,
        Reason.EMBEDDER_UNAVAILABLE,
        Reason.IDENTITY_MISMATCH,
    }
)
"""Of these, what its operator has to mend: no write becomes a dead letter for it."""

_log = logging.getLogger(__name__)

Restore: TypeAlias = Callable[[Sequence[Spooled]], Awaitable[list[Fate]]]


class Replay:
    """The task that empties one outbox."""

    def __init__(self, outbox: Outbox, restore: Restore, serves: Callable[[], bool]) -> None:
        """`restore` carries out writes of different memories; `serves` says whether it may work."""
        self._outbox = outbox
        self._restore = restore
        self._serves = serves
        self._tries: dict[int, int] = {}
        # In a context of its own: no call's deadline is this one's.
        self._task = asyncio.get_running_loop().create_task(
            self._run(), name=f"outbox-{outbox.kind.value}", context=contextvars.Context()
        )

    async def close(self) -> None:
        """End it; what was not carried out waits on."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            if not self._outbox.standing.waiting:
                self._outbox.changed.clear()
                await self._outbox.changed.wait()
            if not self._serves():
                await asyncio.sleep(LOOK_SECONDS)
                continue
            try:
                progress = await self.step()
            except Exception:  # noqa: BLE001 (logged)
                # It must live: what waits would be forgotten until the next start.
                _log.exception("the outbox cannot be emptied now")
                progress = False
            if progress:
                pause = FIRST_PAUSE_SECONDS
                continue
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def step(self) -> bool:
        """Carry out the next writes; says whether fewer wait than before."""
        batch = await self._outbox.next_batch(BATCH_ITEMS)
        if not batch:
            return bool(self._outbox.standing.waiting)
        if len(batch) == 1 or batch[0].batch:
            return await self._carry_out(batch)
        if await self._carry_out(batch):
            return True
        # One of them may fail all: each by itself, as long as the store is there.
        progress = False
        for entry in batch:
            if not self._serves():
                break
            progress |= await self._carry_out([entry])
        return progress

    async def _carry_out(self, batch: Sequence[Spooled]) -> bool:
        """Carry out writes, and let go of what is over; says whether anything is."""
        one = len(batch) == 1 or bool(batch[0].batch)
        async with self._outbox.turns.turn([entry.address for entry in batch]):
            try:
                with within(STEP_SECONDS):
                    fates = await self._restore(batch)
            except Exception as error:  # noqa: BLE001 (told as what it is, and counted)
                failure = self._told(error)
                if not one:
                    return False
                fates = [failure] * len(batch)
            return await self._settle(batch, fates, one=one)

    def _told(self, error: Exception) -> MemplaneError:
        if isinstance(error, MemplaneError):
            return error
        if isinstance(error, StoreError):
            return from_store(error, self._outbox.kind.value)
        _log.error("a bug kept a write of the outbox from its store", exc_info=error)
        return MemplaneError(
            Code.INTERNAL, Reason.GATEWAY_BUG, "a bug of the gateway; its log has more"
        )

    async def _settle(self, batch: Sequence[Spooled], fates: Sequence[Fate], *, one: bool) -> bool:
        """Let go of what is over; says whether anything is."""
        pairs = list(zip(batch, fates, strict=True))
        done = [entry.id for entry, fate in pairs if fate is None]
        if done:
            await self._outbox.remove(done)
            _log.info(
                "writes of the outbox were carried out",
                extra={"kind": self._outbox.kind.value, "writes": len(done)},
            )
        deaths = [(entry, self._death(entry, fate, one=one)) for entry, fate in pairs]
        dead = [(entry, death) for entry, death in deaths if death is not None]
        if dead:
            await self._outbox.bury(dead)
        for each in (*done, *(entry.id for entry, _ in dead)):
            self._tries.pop(each, None)
        return bool(done or dead)

    def _death(self, entry: Spooled, fate: Fate, *, one: bool) -> Death | None:
        """Why a write is to be a dead letter now, or None."""
        if fate is None or isinstance(fate, Death):
            return fate
        if fate.reason not in _PASSING:
            return Death(fate)
        if not one or fate.reason in _PATIENT or not self._serves():
            return None
        self._tries[entry.id] = self._tries.get(entry.id, 0) + 1
        return Death(fate) if self._tries[entry.id] >= TRIES else None
