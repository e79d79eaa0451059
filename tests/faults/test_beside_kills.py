"""SIGKILL of a store's server and of the two gateways before it, in turn, while all write."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.faults.beside import pair, usual_servers, wait_until_served
from tests.faults.days import NO_RETRIES
from tests.faults.figures import say
from tests.faults.insistent import SPACE, Caller, Ledger, make_counters
from tests.faults.process import Gateway
from tests.thorough import THOROUGH

from memplane import AsyncClient, Durability, Kind
from memplane_adapters.conformance.local_stores import Choice, Servers
from memplane_adapters.conformance.servers import Server

WRITES = int(os.environ.get("MEMPLANE_TEST_KILL_WRITES", "10000" if THOROUGH else "1500"))
KILLS = int(os.environ.get("MEMPLANE_TEST_KILLS", "40" if THOROUGH else "6"))
SEED = int(os.environ.get("MEMPLANE_TEST_SEED", "0")) or random.SystemRandom().getrandbits(32)
CALLERS = 12
CHOICES = usual_servers()


@pytest.fixture(params=CHOICES, ids=str)
def mortals(
    request: pytest.FixtureRequest, servers: Servers, place: Path
) -> Iterator[tuple[Server, Gateway, Gateway]]:
    """A server of the test's own, which syncs each write, and two gateways before it."""
    choice: Choice = request.param
    assert choice.adapter is not None
    assert choice.store is not None
    with (
        servers.own(choice.store, place / "server") as server,
        pair(place, choice.adapter.name, choice.adapter.from_url(server.url)) as (one, other),
    ):
        yield server, one, other


@asynccontextmanager
async def connected(*gateways: Gateway) -> AsyncIterator[list[AsyncClient]]:
    """A client of each gateway, which sends nothing twice by itself."""
    clients = [AsyncClient(gateway.address, options=NO_RETRIES) for gateway in gateways]
    try:
        yield clients
    finally:
        for client in clients:
            await client.close()


@pytest.mark.timeout(120 + 10 * KILLS)
async def test_kills_in_turn_lose_nothing_and_double_nothing(
    mortals: tuple[Server, Gateway, Gateway],
) -> None:
    say(f"MEMPLANE_TEST_SEED={SEED}")
    chance = random.Random(SEED)
    server, one, other = mortals
    ledger, killed = Ledger(Durability.DISK), 0
    started = time.perf_counter()
    async with connected(one, other) as clients:
        await make_counters(clients[0])

        def goes_on() -> bool:
            return ledger.acknowledged < WRITES or killed < KILLS

        async with asyncio.TaskGroup() as group:
            for number in range(CALLERS):
                caller = Caller(number, clients, ledger, random.Random(chance.random()))
                group.create_task(caller.run(goes_on))
            victims: tuple[Server | Gateway, ...] = (server, one, server, other)
            for victim in itertools.islice(itertools.cycle(victims), KILLS):
                await acknowledged(ledger, chance.randint(1, 2 * WRITES // KILLS))
                await asyncio.to_thread(kill_and_start, victim, chance.random() * 0.05)
                killed += 1
    seconds = time.perf_counter() - started
    for gateway in (one, other):
        wait_until_served(gateway)
    async with connected(one, other) as clients:
        for client in clients:
            listed = client.scope(*SPACE).list(Kind.PROCEDURAL, page_size=1000)
            ledger.check([memory async for memory in listed])
    assert ledger.lost, "no kill hit a call"
    say(
        f"{KILLS} kills in turn in {seconds:.1f} s, {ledger.acknowledged} acknowledged writes, "
        f"{ledger.at_level} of them with the level {ledger.level}: none lost, none twice; {ledger.lost} calls without answer, {ledger.replayed} writes had taken "
        f"effect before they were sent again ({ledger.forgotten} more were past remembering)"
    )


async def acknowledged(ledger: Ledger, number: int) -> None:
    """Return after so many more acknowledged writes."""
    enough = ledger.acknowledged + number
    while ledger.acknowledged < enough:  # noqa: ASYNC110 (nobody can tell us)
        await asyncio.sleep(0.001)


def kill_and_start(victim: Server | Gateway, away: float) -> None:
    """SIGKILL, and a while later a start on what it has left."""
    victim.kill()
    time.sleep(away)  # not to wait, but to let callers meet nobody for a while
    victim.start()
