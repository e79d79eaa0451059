"""SIGKILL in the middle of writes with request ids: sent again after the restart, each takes effect once."""

from __future__ import annotations

import asyncio
import os
import random
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest
from tests.faults.figures import say
from tests.faults.process import Gateway
from tests.thorough import THOROUGH

from memplane import (
    AsyncClient,
    AsyncScope,
    Cancelled,
    Kind,
    Memory,
    Outcome,
    Unavailable,
    WriteResult,
)

ROUNDS = int(os.environ.get("MEMPLANE_TEST_RETRY_ROUNDS", "15" if THOROUGH else "10"))
SEED = int(os.environ.get("MEMPLANE_TEST_SEED", "0")) or random.SystemRandom().getrandbits(32)
KEY = "k"
RIVAL = "written by a rival"


@dataclass
class Counts:
    """What calls without an answer had done."""

    acknowledged: int = 0
    applied: int = 0
    undone: int = 0


@dataclass
class Lane:
    """One memory and its only writer, who knows what must be there.

    Every write is conditional: one that takes effect twice, or is not recognised, is refused.
    """

    name: str
    kind: Kind
    counts: Counts
    number: int = 0
    etag: str = ""
    pending: Callable[[AsyncScope], Awaitable[WriteResult]] | None = None
    """The call that has had no answer, to be sent again as it was."""
    wanted: Outcome = Outcome.UNKNOWN

    def next(self) -> Callable[[AsyncScope], Awaitable[WriteResult]]:
        """The next write: make, write over, update, delete."""
        self.number += 1
        number, etag, request_id = self.number, self.etag, str(uuid.uuid4())
        step = number % 4
        if step == 1:
            self.wanted = Outcome.CREATED
            return lambda space: space.put(
                self.kind, KEY, value=number, if_absent=True, request_id=request_id
            )
        if step == 2:
            self.wanted = Outcome.UPDATED
            return lambda space: space.put(
                self.kind, KEY, value=number, if_match=etag, request_id=request_id
            )
        if step == 3:
            self.wanted = Outcome.UPDATED
            return lambda space: space.update(
                self.kind, KEY, value=number, if_match=etag, request_id=request_id
            )
        self.wanted = Outcome.DELETED
        return lambda space: space.delete(self.kind, KEY, request_id=request_id)

    async def run(self, client: AsyncClient) -> None:
        """Write until the gateway is gone."""
        space = client.scope(self.name)
        while True:
            self.pending = self.next()
            try:
                result = await self.pending(space)
            except (Unavailable, Cancelled):
                return
            assert not result.replayed
            self.settle(result)

    def settle(self, result: WriteResult) -> None:
        """A call was answered."""
        assert result.outcome is self.wanted
        self.etag, self.pending = result.etag, None
        self.counts.acknowledged += 1

    async def recover(self, client: AsyncClient, chance: random.Random) -> None:
        """Send again what had no answer, and see that it takes effect once."""
        if self.pending is None:
            return
        space = client.scope(self.name)
        found = await space.get(self.kind, KEY)
        deleting = self.wanted is Outcome.DELETED
        applied = found is None if deleting else found is not None and found.value == self.number
        if applied:
            self.counts.applied += 1
            await self._replayed(space, found, chance)
        else:
            self.counts.undone += 1
            result = await self.pending(space)
            assert not result.replayed
            self.settle(result)

    async def _replayed(
        self, space: AsyncScope, found: Memory | None, chance: random.Random
    ) -> None:
        """It had taken effect; perhaps a rival writes before it is sent again."""
        assert self.pending is not None
        rival = chance.random() < 0.5
        if rival and found is None:
            await space.put(self.kind, KEY, value=RIVAL, if_absent=True)
        elif rival:
            await space.update(self.kind, KEY, value=RIVAL)
        result = await self.pending(space)
        if found is not None:
            assert result.replayed
            assert (result.outcome, result.etag) == (self.wanted, found.etag)
        else:  # killed before it was noted what was deleted
            assert result.outcome is (Outcome.DELETED if result.replayed else Outcome.MISSING)
        there = await space.get(self.kind, KEY)
        assert (there is not None and there.value == RIVAL) == rival
        self.pending = None
        self.counts.acknowledged += 1
        if found is None and rival:
            await space.delete(self.kind, KEY)
            there = None
        self.etag = there.etag if there is not None else ""


@pytest.mark.timeout(60 + 10 * ROUNDS)
async def test_retries_after_a_kill_take_effect_once(gateway: Gateway) -> None:
    say(f"MEMPLANE_TEST_SEED={SEED}")
    chance, counts = random.Random(SEED), Counts()
    kinds = (Kind.SEMANTIC, Kind.EPISODIC, Kind.PROCEDURAL, Kind.PROCEDURAL)
    lanes = [Lane(f"lane-{index}", kinds[index % 4], counts) for index in range(12)]
    for _ in range(ROUNDS):
        gateway.start()
        async with AsyncClient(gateway.address, options=[("grpc.enable_retries", 0)]) as client:
            await asyncio.gather(*(lane.recover(client, chance) for lane in lanes))
            enough = counts.acknowledged + chance.randint(1, 100)
            tasks = [asyncio.create_task(lane.run(client)) for lane in lanes]
            while counts.acknowledged < enough:  # noqa: ASYNC110 (nobody can tell us)
                await asyncio.sleep(0.001)
            await asyncio.sleep(chance.random() * 0.01)  # not to wait, but to hit any moment
            gateway.kill()
            await asyncio.gather(*tasks)
    assert counts.applied + counts.undone, "no kill hit a call"
    assert "bug in" not in gateway.log
    say(
        f"{ROUNDS} kills, {counts.acknowledged} writes took effect once; calls without answer: "
        f"{counts.applied} had taken effect, {counts.undone} had not"
    )
