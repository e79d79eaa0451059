"""64 writers of one memory, through two gateways over one store: nobody's write is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from tests.faults.beside import pair, usual_servers
from tests.faults.days import NO_RETRIES
from tests.faults.figures import say
from tests.faults.history import History
from tests.faults.process import Gateway, room
from tests.thorough import THOROUGH

from memplane import Aborted, AsyncClient, Kind, WriteResult
from memplane_adapters.conformance.local_stores import Choice, Servers

WRITERS = 64
CHAINED_EACH = 8 if THOROUGH else 2
UPDATES_EACH = 20 if THOROUGH else 3
PROCEDURAL = Kind.PROCEDURAL


@pytest.fixture(scope="module", params=usual_servers(), ids=str)
def gateways(request: pytest.FixtureRequest, servers: Servers) -> Iterator[tuple[Gateway, Gateway]]:
    """Two, beside each other."""
    choice: Choice = request.param
    with room() as place:
        adapter, keys = choice.keys(servers, place)
        with pair(place, adapter.name, keys) as made:
            yield made


@asynccontextmanager
async def crowd(gateways: Sequence[Gateway]) -> AsyncIterator[list[AsyncClient]]:
    """A client for each writer, half of them at each gateway."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                AsyncClient(gateways[number % 2].address, options=NO_RETRIES)
            )
            for number in range(WRITERS)
        ]


async def all_at_once(
    clients: Sequence[AsyncClient], write: Callable[[int, AsyncClient], Awaitable[None]]
) -> None:
    """Run the writers, who begin when all are connected."""
    start = asyncio.Barrier(len(clients))

    async def run(number: int, client: AsyncClient) -> None:
        await client.status()
        await start.wait()
        await write(number, client)

    async with asyncio.TaskGroup() as group:
        for number, client in enumerate(clients):
            group.create_task(run(number, client))


def check_conflict(error: Aborted, named: str) -> None:
    """Another version is there, and it is said which."""
    assert error.reason == "ETAG_MISMATCH"
    assert error.metadata["etag"] not in ("", named)


async def test_writes_under_if_match_make_one_chain(gateways: tuple[Gateway, Gateway]) -> None:
    conflicts = 0
    async with crowd(gateways) as clients:
        first = await clients[0].put(PROCEDURAL, "chain", value={"count": 0, "marks": []})
        history = History(first)

        async def append(client: AsyncClient, mark: str) -> None:
            nonlocal conflicts
            while True:
                memory = await client.get(PROCEDURAL, "chain")
                assert memory is not None
                value = memory.value
                changed = {"count": value["count"] + 1, "marks": [*value["marks"], mark]}
                try:
                    result = await client.put(
                        PROCEDURAL, "chain", value=changed, if_match=memory.etag
                    )
                except Aborted as error:
                    check_conflict(error, memory.etag)
                    conflicts += 1
                else:
                    history.acknowledge(memory.etag, result, mark)
                    return

        async def write(writer: int, client: AsyncClient) -> None:
            for number in range(CHAINED_EACH):
                await append(client, f"{writer}-{number}")

        await all_at_once(clients, write)
        wanted = WRITERS * CHAINED_EACH
        for client in clients[:2]:
            last = await client.get(PROCEDURAL, "chain")
            assert last is not None
            marks = [link.mark for link in history.chain(last)]
            assert last.value == {"count": wanted, "marks": marks}
    assert conflicts, "the writers never met"
    say(f"{WRITERS} writers through two gateways: {wanted} writes, {conflicts} conflicts")


async def test_updates_without_precondition_are_all_there(
    gateways: tuple[Gateway, Gateway],
) -> None:
    async with crowd(gateways) as clients:
        results = [await clients[0].put(PROCEDURAL, "updates", value="kept")]

        async def update(client: AsyncClient, attributes: dict[str, int]) -> None:
            while True:
                try:
                    result = await client.update(PROCEDURAL, "updates", attributes=attributes)
                except Aborted as error:  # lost to others a hundred times: to be tried again
                    if error.reason != "WRITE_CONTENTION":
                        raise
                else:
                    results.append(result)
                    return

        async def write(writer: int, client: AsyncClient) -> None:
            for number in range(UPDATES_EACH):
                await update(client, {f"writer-{writer}": number})

        await all_at_once(clients, write)
        assert len({result.etag for result in results}) == len(results)
        newest = max(results, key=_revision)
        for client in clients[:2]:
            last = await client.get(PROCEDURAL, "updates")
            assert last is not None
            assert (last.etag, last.revision) == (newest.etag, newest.revision)
            assert last.value == "kept"
            assert dict(last.attributes) == {
                f"writer-{writer}": UPDATES_EACH - 1 for writer in range(WRITERS)
            }


def _revision(result: WriteResult) -> int:
    return result.revision
