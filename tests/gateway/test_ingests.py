"""Ingests over a store that goes away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.gateway.flaky import DOWN
from tests.gateway.test_control import RemoteSettings, Server

from memplane import DeadlineExceeded, IngestAck, Kind, MemplaneError, Put, Ref
from memplane_adapters.conformance.memories.doors import IN_PROCESS, Door
from memplane_adapters.conformance.memories.fixtures import opened, settings_in
from memplane_adapters.contract import StoreError, StoreReason
from memplane_adapters.embedded import EmbeddedSettings
from memplane_adapters.embedded.database import Database

BATCH = 5


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(Database(tmp_path / "server.db"))


@pytest.fixture
async def door(tmp_path: Path, server: Server) -> AsyncIterator[Door]:
    """A gateway whose PROCEDURAL memories are on the server."""
    given = settings_in(tmp_path / "gateway")
    remote = RemoteSettings(adapter="remote", settings=EmbeddedSettings("main"), server=server)
    route = given.routes.procedural.model_copy(update={"store": "main"})
    routes = given.routes.model_copy(update={"procedural": route})
    settings = given.model_copy(
        update={"stores": {**given.stores, "main": remote}, "routes": routes}
    )
    async with opened(IN_PROCESS, settings) as made:
        yield made


def puts(count: int) -> list[Put]:
    """Values without keys, so that one that is written twice is there twice."""
    return [Put(Ref("procedural", ("a",)), value=i) for i in range(count)]


async def values(door: Door) -> list[int]:
    """All that is there."""
    return sorted([memory.value async for memory in door.client.scan(Kind.PROCEDURAL)])


async def test_a_store_that_goes_away_leaves_no_gap(door: Door, server: Server) -> None:
    """What a store cannot do now is no refusal of the memory: the batch is sent again."""
    streams = 0

    def seen(ack: IngestAck) -> None:
        server.down = DOWN if ack.sequence == 2 else None

    opened_before = door.client._connection.stream

    def counted(*given: object) -> object:
        nonlocal streams
        streams += 1
        if streams > 2:
            server.down = None
        return opened_before(*given)  # type: ignore[arg-type]

    door.client._connection.stream = counted  # type: ignore[method-assign, assignment]
    result = await door.client.ingest(puts(30), batch_items=BATCH, on_ack=seen)
    assert (result.answered, result.created, result.refused) == (30, 30, 0)
    assert streams == 3
    assert await values(door) == list(range(30))


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        (StoreReason.UNAVAILABLE, DeadlineExceeded),
        (StoreReason.EXHAUSTED, DeadlineExceeded),
    ],
)
async def test_a_store_that_stays_away_ends_it(
    door: Door, server: Server, reason: StoreReason, error: type[MemplaneError]
) -> None:
    def seen(_: IngestAck) -> None:
        server.down = StoreError(reason, "not now")

    with pytest.raises(error) as caught:
        await door.client.ingest(puts(30), ingest_id="i", batch_items=BATCH, on_ack=seen, timeout=1)
    assert caught.value.__notes__[0].startswith("5 memories of the ingest 'i' were answered")
    server.down = None
    result = await door.client.ingest(puts(30), ingest_id="i", batch_items=BATCH)
    assert (result.answered, result.created) == (30, 30)
    assert 5 <= result.replayed <= 10
    assert await values(door) == list(range(30))
