"""What the gateway says of itself, and what becomes of it: deadlines, stops, event loops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

import pytest

from memplane import (
    AsyncClient,
    AsyncScope,
    Capabilities,
    ConditionalWrite,
    DeadlineExceeded,
    Durability,
    Health,
    InvalidArgument,
    Kind,
    Mode,
    NotFound,
    Op,
    Pushdown,
    ResourceExhausted,
    RouteState,
    Unavailable,
    Unimplemented,
)
from memplane_adapters.conformance.memories.doors import GRPC, Door
from memplane_adapters.conformance.memories.fixtures import Opened
from memplane_adapters.conformance.memories.helpers import (
    EVERY_KIND,
    ON_THE_SESSION_LOOP,
    key,
    needs,
    refused,
    there,
)
from memplane_gateway import limits
from memplane_gateway.server import SERVICES

pytestmark = ON_THE_SESSION_LOOP


async def test_capabilities_name_every_route_and_operator(abilities: Capabilities) -> None:
    assert set(abilities.routes) == set(Kind)
    for kind, able in abilities.routes.items():
        assert able.kind is kind
        assert able.store
        assert able.adapter
        assert able.isolation
        assert set(able.filters) == set(Op)
        assert Pushdown.UNKNOWN not in able.filters.values()
        assert able.conditional_write is not ConditionalWrite.UNKNOWN
        assert able.durability
        assert Durability.UNKNOWN not in able.durability
    assert dict(abilities.limits) == limits.SHOWN


async def test_capabilities_say_what_makes_vectors(abilities: Capabilities) -> None:
    for kind in (Kind.SEMANTIC, Kind.EPISODIC):
        able = abilities[kind]
        assert able.vector
        assert able.embedding is not None
        assert able.embedding.dimension > 0
        assert able.embedding.metric == "cosine"
        assert able.embedding.normalized
        assert able.auto_mode in (Mode.VECTOR, Mode.KEYWORD, Mode.HYBRID)
        assert getattr(able, able.auto_mode.value)
    procedural = abilities[Kind.PROCEDURAL]
    assert procedural.embedding is None
    assert procedural.auto_mode is Mode.RECENT


async def test_status_says_how_each_route_fares(client: AsyncClient) -> None:
    able = await client.capabilities()
    status = await client.status()
    assert status.version == version("memplane-gateway")
    assert status.start_time is not None
    assert status.start_time <= datetime.now(UTC) + timedelta(seconds=1)
    assert status.serving
    assert set(status.routes) == set(Kind)
    for kind, route in status.routes.items():
        assert (route.store, route.adapter) == (able[kind].store, able[kind].adapter)
        assert route.state is RouteState.SERVING
        assert (route.error, route.message) == ("", "")
        assert route.durability in able[kind].durability
        assert route.persistent is (route.durability is not Durability.BUFFERED)
        assert route.embedding == able[kind].embedding
        assert route.ping_seconds is not None
        assert route.ping_seconds >= 0
        assert route.last_backup_time is None
        assert route.rows is None or route.rows >= 0
        assert route.size_bytes is None or route.size_bytes > 0


@EVERY_KIND
async def test_status_counts_rows(client: AsyncClient, space: AsyncScope, kind: Kind) -> None:
    before = (await client.status())[kind].rows
    if before is None:
        pytest.skip("the store does not know how many rows it has")
    for number in range(3):
        await space.put(kind, f"{number}")
    await space.put(kind, "0", text="changed")
    assert (await client.status())[kind].rows == before + 3
    await space.delete(kind, "0")
    assert (await client.status())[kind].rows == before + 2


async def test_status_warns_of_an_embedder_without_meaning(
    client: AsyncClient, abilities: Capabilities
) -> None:
    embedding = abilities[Kind.SEMANTIC].embedding
    notices = " ".join((await client.status()).notices)
    assert ("meaning" in notices) is (embedding is not None and embedding.provider == "hash")


async def test_health_names_every_route(door: Door) -> None:
    if door.name != GRPC:
        pytest.skip("health is a service of the gRPC server")
    services = ["", *SERVICES, *Kind]
    assert [await door.client.health(name) for name in services] == [Health.SERVING] * len(services)
    with pytest.raises(NotFound):
        await door.client.health("nobody")


async def test_an_unknown_method_is_unimplemented(door: Door) -> None:
    if door.name != GRPC:
        pytest.skip("the gRPC server finds the method")
    with pytest.raises(Unimplemented):
        await door.send("NoSuchMethod", b"")
    with pytest.raises(Unimplemented):
        await door.send("/memplane.v1.NoSuchService/Get", b"")


async def test_a_message_over_the_cap_is_refused(door: Door, space: AsyncScope) -> None:
    if door.name != GRPC:
        pytest.skip("the cap is gRPC's")
    for method in ("PutMemories", "GetMemories"):
        with pytest.raises(ResourceExhausted):
            await door.send(method, b"\x0a\x00" * (3 * 1024 * 1024))
    assert await space.count(Kind.SEMANTIC) == 0


async def _until_refused(call: Callable[[], Awaitable[object]]) -> None:
    """GRPC counts in milliseconds; what is answered within one may be in time."""
    for _ in range(1_000):
        await call()


async def test_a_deadline_that_has_passed_is_said(
    door: Door, space: AsyncScope, abilities: Capabilities
) -> None:
    in_memory = abilities[Kind.SEMANTIC].durability == (Durability.BUFFERED,)
    needs(not in_memory or door.name == GRPC, "need to wait; it may be quicker than a deadline")
    with refused(DeadlineExceeded, "DEADLINE_PASSED"):
        await _until_refused(lambda: space.get(Kind.SEMANTIC, "k", timeout=1e-6))
    with refused(DeadlineExceeded, "DEADLINE_PASSED") as refusal:
        await _until_refused(lambda: space.put(Kind.SEMANTIC, "k", timeout=1e-6))
    assert refusal.error.ambiguous
    assert (await space.put(Kind.SEMANTIC, "k", timeout=30)).ok


async def test_a_call_that_is_given_up_harms_nobody(space: AsyncScope) -> None:
    await space.put(Kind.SEMANTIC, "k", text="tea")
    for _ in range(30):
        doomed: list[asyncio.Task[Any]] = [
            asyncio.create_task(space.get(Kind.SEMANTIC, "k")) for _ in range(4)
        ]
        doomed.append(asyncio.create_task(space.put(Kind.SEMANTIC, "k", text="tea")))
        kept = asyncio.create_task(space.get(Kind.SEMANTIC, "k"))
        await asyncio.sleep(0)
        for task in doomed:
            task.cancel()
        memory = await kept
        assert memory is not None
        assert memory.text == "tea"
        await asyncio.gather(*doomed, return_exceptions=True)
    assert (await there(space, Kind.SEMANTIC, "k")).text == "tea"


async def test_after_a_stop_calls_are_unavailable(another: Opened) -> None:
    async with another() as door:
        space = door.client.scope("here")
        await space.put(Kind.SEMANTIC, "k", text="tea")
        await door.gateway.stop(grace=0)
        for attempt in (
            space.get(Kind.SEMANTIC, "k"),
            space.put(Kind.PROCEDURAL, "k"),
            space.update(Kind.SEMANTIC, "k", text="new"),
            space.delete(Kind.SEMANTIC, "k"),
            space.search(kind=Kind.EPISODIC),
            space.list(Kind.SEMANTIC).page(),
            space.count(Kind.PROCEDURAL),
        ):
            with pytest.raises(Unavailable):
                await attempt


async def test_what_is_written_is_there_after_a_restart(another: Opened) -> None:
    label = key()
    async with another() as door:
        status = await door.client.status()
        if not all(route.persistent for route in status.routes.values()):
            pytest.skip("the store keeps nothing over a restart")
        before = {}
        for kind in Kind:
            await door.client.scope(label).put(
                kind, "k", text="green tea", attributes={"n": 2**53 + 1}, value=[None, b"\0"]
            )
            before[kind] = await there(door.client.scope(label), kind, "k", with_vectors=True)
    async with another() as door:
        space = door.client.scope(label)
        for kind in Kind:
            assert await there(space, kind, "k", with_vectors=True) == before[kind]
            written = await space.put(kind, "k", text="new", if_match=before[kind].etag)
            assert written.revision > before[kind].revision
            assert written.create_time == before[kind].create_time


async def test_a_gateway_can_be_stopped_twice_and_before_it_is_used(another: Opened) -> None:
    async with another() as door:
        await door.gateway.stop(grace=0)
        await door.gateway.stop(grace=0)


async def test_field_50_one_client_works_in_two_event_loops(door: Door, space: AsyncScope) -> None:
    if door.name != GRPC:
        pytest.skip("the handlers belong to the gateway's own event loop")
    here = door.client.scope(*space.namespace)

    def elsewhere() -> list[int]:
        revisions = []
        for number in range(2):

            async def write(number: int = number) -> int:
                await here.put(Kind.SEMANTIC, f"{number}", text="t")
                return (await there(here, Kind.SEMANTIC, f"{number}")).revision

            revisions.append(asyncio.run(write()))
        return revisions

    first = await here.put(Kind.SEMANTIC, "first", text="t")
    second, third = await asyncio.to_thread(elsewhere)
    assert first.revision < second < third
    assert await here.count(Kind.SEMANTIC) == 3
    both = await asyncio.gather(
        asyncio.to_thread(elsewhere), *(here.count(Kind.SEMANTIC) for _ in range(20))
    )
    assert len(both) == 21


async def test_field_50_a_thousand_calls_on_one_client(space: AsyncScope) -> None:
    await space.put(Kind.PROCEDURAL, "k", value=7)
    for _ in range(20):
        found = await asyncio.gather(*(space.value("k") for _ in range(50)))
        assert found == [7] * 50


async def test_a_page_size_that_is_no_int32_is_refused_by_the_client(space: AsyncScope) -> None:
    with pytest.raises(InvalidArgument):
        await space.list(Kind.SEMANTIC, page_size=2**31).page()
