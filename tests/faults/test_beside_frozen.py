"""A store's server that freezes under two gateways and thaws: what it carries out late never wins."""

from __future__ import annotations

import asyncio
import os
import random
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.faults.beside import pair, usual_servers
from tests.faults.days import NO_RETRIES
from tests.faults.figures import say
from tests.faults.history import History
from tests.faults.process import Gateway
from tests.thorough import THOROUGH

from memplane import Aborted, AsyncClient, DeadlineExceeded, Kind, Unavailable, WriteResult
from memplane_adapters.conformance.local_stores import Choice, Servers
from memplane_adapters.conformance.servers import Server

ROUNDS = int(os.environ.get("MEMPLANE_TEST_FREEZE_ROUNDS", "25" if THOROUGH else "4"))
SEED = int(os.environ.get("MEMPLANE_TEST_SEED", "0")) or random.SystemRandom().getrandbits(32)
WRITERS = 4
"""Of each key, half of them at each gateway."""
SHORT = 0.5
"""Seconds that a call may take whose server freezes."""
READS = 8
PROCEDURAL = Kind.PROCEDURAL


@pytest.fixture(params=usual_servers(), ids=str)
def frozen(
    request: pytest.FixtureRequest, servers: Servers, place: Path
) -> Iterator[tuple[Server, tuple[Gateway, Gateway]]]:
    """A server of the test's own, and two gateways before it."""
    choice: Choice = request.param
    assert choice.adapter is not None
    assert choice.store is not None
    with (
        servers.own(choice.store, place / "server") as server,
        pair(place, choice.adapter.name, choice.adapter.from_url(server.url)) as gateways,
    ):
        yield server, gateways


@asynccontextmanager
async def connected(gateways: tuple[Gateway, Gateway]) -> AsyncIterator[list[AsyncClient]]:
    """A client of each gateway."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(AsyncClient(gateway.address, options=NO_RETRIES))
            for gateway in gateways
        ]


async def read(clients: list[AsyncClient], key: str) -> list[str]:
    """What each gateway says again and again: the same."""
    found: set[tuple[str, tuple[str, ...]]] = set()
    for _ in range(READS):
        for client in clients:
            memory = await client.get(PROCEDURAL, key)
            assert memory is not None
            found.add((memory.etag, tuple(memory.value)))
    ((_, value),) = found
    return list(value)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A put with all that it takes to send it again."""

    key: str
    mark: str
    value: list[str]
    if_match: str | None = None
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    async def send(self, client: AsyncClient, seconds: float | None = None) -> WriteResult:
        """The call, within so many seconds."""
        return await client.put(
            PROCEDURAL,
            self.key,
            value=self.value,
            if_match=self.if_match,
            request_id=self.request_id,
            timeout=seconds,
        )


@dataclass(slots=True)
class Round:
    """Writers of two memories: one is written over whatever is there, the other under if_match."""

    clients: list[AsyncClient]
    plain: str
    chained: str
    history: History
    acknowledged: int = 0
    over: bool = False
    """A call has failed: who goes on writing might have a memory forget it."""
    doubtful: list[Attempt] = field(default_factory=list)
    """Nobody knows whether they took effect."""

    @classmethod
    async def begin(cls, clients: list[AsyncClient], number: int) -> Round:
        """Make the two memories."""
        plain, chained = f"plain-{number}", f"chained-{number}"
        await clients[0].put(PROCEDURAL, plain, value=["v1"])
        return cls(
            clients, plain, chained, History(await clients[0].put(PROCEDURAL, chained, value=[]))
        )

    async def write(self, writer: int) -> None:
        """Write until anybody's call fails."""
        client, number = self.clients[writer % 2], 0
        while not self.over:
            number += 1
            mark = f"{writer}-{number}"
            try:
                attempt = await self._next(client, writer, mark)
            except (DeadlineExceeded, Unavailable):
                self.over = True
                return
            try:
                result = await attempt.send(client, SHORT)
            except Aborted:
                continue
            except (DeadlineExceeded, Unavailable) as error:
                if error.ambiguous:
                    self.doubtful.append(attempt)
                self.over = True
                return
            self.settle(attempt, result)

    async def _next(self, client: AsyncClient, writer: int, mark: str) -> Attempt:
        if writer < WRITERS:
            return Attempt(self.plain, mark, [mark])
        memory = await client.get(PROCEDURAL, self.chained, timeout=SHORT)
        assert memory is not None
        return Attempt(self.chained, mark, [*memory.value, mark], memory.etag)

    def settle(self, attempt: Attempt, result: WriteResult) -> None:
        """It took effect."""
        self.acknowledged += 1
        if attempt.if_match is not None:
            self.history.acknowledge(attempt.if_match, result, attempt.mark)

    async def check_chain(self) -> None:
        """Each acknowledged write stands in the memory once, in its place, and no other does."""
        memory = await self.clients[0].get(PROCEDURAL, self.chained)
        assert memory is not None
        assert memory.value == [link.mark for link in self.history.chain(memory)]
        assert await read(self.clients, self.chained) == memory.value


@pytest.mark.timeout(120 + 10 * ROUNDS)
async def test_what_a_frozen_server_carries_out_late_never_wins(
    frozen: tuple[Server, tuple[Gateway, Gateway]],
) -> None:
    say(f"MEMPLANE_TEST_SEED={SEED}")
    chance = random.Random(SEED)
    server, gateways = frozen
    doubtful = late = acknowledged = 0
    last: dict[str, list[str]] = {}
    async with connected(gateways) as clients:
        for number in range(ROUNDS):
            now = await Round.begin(clients, number)
            tasks = [asyncio.create_task(now.write(writer)) for writer in range(2 * WRITERS)]
            enough = chance.randint(1, 60)
            while now.acknowledged < enough and not now.over:  # noqa: ASYNC110 (nobody can tell us)
                await asyncio.sleep(0.001)
            await asyncio.to_thread(server.pause)
            await asyncio.gather(*tasks)
            newest = Attempt(now.plain, "v3", ["v3"])
            waits = chance.random() < 0.5
            if not waits:
                await asyncio.to_thread(server.resume)
            writing = asyncio.create_task(newest.send(chance.choice(clients)))
            if waits:
                await asyncio.sleep(chance.random() * 0.1)  # the write may get far or not
                await asyncio.to_thread(server.resume)
            await writing
            assert await read(clients, now.plain) == ["v3"]
            doubtful += len(now.doubtful)
            late += await _send_again(now, chance)
            await now.check_chain()
            last[now.plain] = await read(clients, now.plain)
            last[now.chained] = await read(clients, now.chained)
            acknowledged += now.acknowledged
        for key, value in last.items():
            assert await read(clients, key) == value
    assert doubtful, "no freeze hit a write"
    say(
        f"{ROUNDS} freezes, {acknowledged} acknowledged writes; of {doubtful} writes that nobody "
        f"knew of {late} were carried out late, and none won"
    )


async def _send_again(now: Round, chance: random.Random) -> int:
    """Retry what nobody knows of, at either gateway: each takes effect once, or is refused.

    Returns how many had taken effect before.
    """
    late = 0
    chance.shuffle(now.doubtful)
    for attempt in now.doubtful:
        before = await read(now.clients, attempt.key)
        try:
            result = await attempt.send(chance.choice(now.clients))
        except Aborted:
            if attempt.if_match is None:
                raise
            continue
        now.settle(attempt, result)
        late += result.replayed
        assert await read(now.clients, attempt.key) == (
            before if result.replayed else attempt.value
        )
    return late
