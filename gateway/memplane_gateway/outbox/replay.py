"""Carries out what waits in an outbox, in its order, whenever the store is there."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from memplane_adapters.contract import StoreError
from memplane_gateway.deadline import set_deadline
from memplane_gateway.errors import MemplaneError, Reason, from_store
from memplane_gateway.memory.leases import Turns
from memplane_gateway.outbox.entries import Death, Fate, Spooled
from memplane_gateway.outbox.outbox import Outbox

BATCH_ITEMS = 100
LOOK_SECONDS = 0.2
"""How often a route that does not serve is looked at."""
STEP_SECONDS = 10.0
"""How long the memories of one batch may wait for their store."""
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

    def __init__(
        self, outbox: Outbox, turns: Turns, restore: Restore, serves: Callable[[], bool]
    ) -> None:
        """`restore` carries out writes of different memories; `serves` says whether it may work.

        With `turns` nobody else writes these memories meanwhile.
        """
        self._outbox = outbox
        self._turns = turns
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
        settled = await self._carry_out(batch)
        if settled or len(batch) < 2 or batch[0].batch:
            return settled
        # One of them may fail all: each by itself, as long as the store is there.
        for entry in batch:
            if not self._serves():
                break
            settled |= await self._carry_out([entry])
        return settled

    async def _carry_out(self, batch: Sequence[Spooled]) -> bool:
        set_deadline(STEP_SECONDS)
        async with self._turns.turn([entry.address for entry in batch]):
            return await self._settle(batch, await self._fates(batch))

    async def _fates(self, batch: Sequence[Spooled]) -> list[Fate]:
        try:
            return await self._restore(batch)
        except StoreError as error:
            failure = from_store(error, self._outbox.kind.value)
        except MemplaneError as error:
            failure = error
        return [failure] * len(batch)

    async def _settle(self, batch: Sequence[Spooled], fates: Sequence[Fate]) -> bool:
        """Let go of what is over; says whether anything is."""
        done = [entry.id for entry, fate in zip(batch, fates, strict=True) if fate is None]
        if done:
            await self._outbox.remove(done)
            _log.info(
                "writes of the outbox were carried out",
                extra={"kind": self._outbox.kind.value, "writes": len(done)},
            )
        dead = 0
        for entry, fate in zip(batch, fates, strict=True):
            death = self._death(entry, fate, alone=len(batch) == 1 or bool(entry.batch))
            if death is not None:
                await self._outbox.bury(entry, death)
                dead += 1
            if fate is None or death is not None:
                self._tries.pop(entry.id, None)
        return bool(done or dead)

    def _death(self, entry: Spooled, fate: Fate, *, alone: bool) -> Death | None:
        """Why a write is to be a dead letter now, or None."""
        if fate is None or isinstance(fate, Death):
            return fate
        if fate.reason not in _PASSING:
            return Death(fate)
        if not alone or fate.reason in _PATIENT or not self._serves():
            return None
        self._tries[entry.id] = self._tries.get(entry.id, 0) + 1
        return Death(fate) if self._tries[entry.id] >= TRIES else None
