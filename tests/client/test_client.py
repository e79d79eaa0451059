"""The clients against a real gRPC server."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest

import memplane
from memplane import (
    AsyncClient,
    Client,
    Durability,
    Episode,
    Health,
    Kind,
    Mode,
    Outcome,
    Put,
    Query,
    Ref,
    RouteState,
    Update,
    attr,
)
from memplane.v1 import memory_pb2, memory_service_pb2_grpc
from memplane.v1 import memory_service_pb2 as service

from .conftest import FakeGateway, Memories, rich_status


def serve(gateway: FakeGateway, address: str) -> grpc.Server:
    """The memories of a gateway at a further address."""
    server = grpc.server(ThreadPoolExecutor(2))
    memory_service_pb2_grpc.add_MemoryServiceServicer_to_server(Memories(gateway), server)
    server.add_insecure_port(address)
    server.start()
    return server


UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


def test_the_words(gateway: FakeGateway) -> None:
    with Client(gateway.target) as client:
        ada = client.scope("support-bot", "user-42")
        kept = ada.remember("Prefers tea in the morning", attributes={"topic": "food"})
        assert kept.outcome is Outcome.CREATED
        assert uuid.UUID(kept.key).version == 7
        assert (kept.ok, kept.durability, kept.visible) == (True, Durability.DISK, True)
        ada.record("Asked for a refund", session_id="s-17", type="conversation", input={"a": 1})
        ada.set("tone", {"style": "short"})
        ada.set("nothing", None)

        result = ada.search("what does she drink?", filter=attr("topic") == "food")
        (hit,) = result
        assert (hit.memory.text, hit.relevance, hit.score) == (
            "Prefers tea in the morning",
            0.75,
            0.5,
        )
        assert (result.mode, result.notice, len(result)) == (Mode.KEYWORD, "words only", 1)
        assert result[0] is hit
        assert result.memories == (hit.memory,)

        recent = ada.recent(5)
        assert recent.mode is Mode.RECENT
        episode = recent.memories[0].episode
        assert episode is not None
        assert (episode.session_id, episode.type, episode.input) == (
            "s-17",
            "conversation",
            {"a": 1},
        )

        assert ada.value("tone") == {"style": "short"}
        assert ada.value("nothing", default=1) is None
        assert ada.value("never", default=1) == 1
        assert client.scope("support-bot").scope("user-42").value("tone") == {"style": "short"}
        assert client.value("tone") is None
        for empty in (lambda: ada.set("", 1), lambda: ada.value("")):
            with pytest.raises(memplane.InvalidArgument, match="key"):
                empty()
        assert repr(ada) == f"<Scope ['support-bot', 'user-42'] at {gateway.target}>"


async def test_the_full_surface(gateway: FakeGateway) -> None:
    async with AsyncClient(gateway.target) as client:
        ref = Ref(Kind.SEMANTIC, ("a",), "k")
        assert (await client.put(ref, text="x", if_absent=True)).outcome is Outcome.CREATED
        with pytest.raises(memplane.AlreadyExists) as caught:
            await client.put(ref, text="x", if_absent=True)
        assert (caught.value.reason, caught.value.metadata) == ("MEMORY_EXISTS", {"etag": "e1"})
        many = await client.put_many(
            [Put(ref, if_absent=True), Put(client.ref("semantic")), memplane.Memory(ref, text="y")]
        )
        assert [type(each.error) for each in many] == [
            memplane.AlreadyExists,
            type(None),
            type(None),
        ]
        with pytest.raises(memplane.AlreadyExists):
            many.raise_for_error()

        scope = client.scope("a")
        memory = await scope.get(Kind.SEMANTIC, "k")
        assert memory is not None
        assert (memory.ref, memory.text, memory.key, memory.namespace) == (ref, "y", "k", ("a",))
        assert await client.get(Kind.SEMANTIC, "k") is None
        assert [each and each.text for each in await client.get_many([ref, Ref(Kind.SEMANTIC)])] == [
            "y", None,
        ]  # fmt: skip
        assert (await scope.update("semantic", "k", text="z")).outcome is Outcome.UPDATED
        (updated,) = await client.update_many([Update(ref, text="zz")])
        assert updated.ok
        assert (await scope.count(Kind.SEMANTIC), (await scope.count("semantic")).truncated) == (
            1,
            False,
        )
        assert (await scope.count(Kind.SEMANTIC, filter={"a": 1})).truncated
        asked = await client.search_many(["tea", Query(kind=Kind.EPISODIC, namespace=("b",))])
        assert [len(result) for result in asked] == [2, 0]
        assert (await client.delete(ref)).outcome is Outcome.DELETED
        (gone,) = await client.delete_many([ref])
        assert (gone.outcome, gone.ok) == (Outcome.MISSING, True)
        assert await client.put_many([]) == ()
        assert await client.get_many([]) == ()


def test_the_gateway_itself(gateway: FakeGateway) -> None:
    with Client(gateway.target, metadata={"x-team": "blue"}) as client:
        able = client.capabilities()
        assert able.limits == {"batch_items": 1000}
        assert list(able.routes) == [Kind.SEMANTIC]  # and not that of a newer gateway
        assert able["semantic"].durability == (Durability.DISK,)
        assert able["semantic"].max_dimension is None
        status = client.status()
        route = status[Kind.SEMANTIC]
        assert (route.state, route.error) == (RouteState.NOT_SERVING, "BACKEND_UNAVAILABLE")
        assert (route.rows, route.size_bytes, route.ping_seconds) == (None, 5, 0.0015)
        assert (status.serving, status.notices) == (False, ("words, not meaning",))
        assert client.health() is Health.SERVING
        assert client.health("semantic") is Health.SERVING
        assert gateway.requests[-1] == b"\x0a\x08semantic"
    headers = gateway.headers[0]
    assert headers["x-team"] == "blue"
    assert str(headers["user-agent"]).startswith(f"memplane-python/{memplane.__version__} ")


def test_paging(gateway: FakeGateway) -> None:
    with Client(gateway.target) as client:
        client.put_many(Put(Ref(Kind.SEMANTIC, ("a",), f"{i:03}")) for i in range(25))
        gateway.requests.clear()
        listing = client.list(Kind.SEMANTIC, page_size=10)
        assert gateway.requests == []
        assert [memory.key for memory in listing] == [f"{i:03}" for i in range(25)]
        assert len(gateway.requests) == 3
        assert [len(page) for page in listing.pages()] == [10, 10, 5]
        first = listing.page()
        assert listing.page(first.next_page_token).memories[0].key == "010"
        assert [len(page) for page in listing.pages("20")] == [5]
        gateway.requests.clear()
        assert len(list(client.list(Kind.SEMANTIC, limit=12))) == 12
        assert [request.page_size for request in gateway.requests] == [12]
        assert len(list(client.list(Kind.SEMANTIC, limit=12, page_size=5))) == 12
        assert list(client.list(Kind.SEMANTIC, limit=0)) == []
        assert len(list(client.list(Kind.SEMANTIC, limit=99))) == 25
        with pytest.raises(memplane.InvalidArgument):
            client.list(Kind.SEMANTIC, limit=-1)


async def test_paging_async(gateway: FakeGateway) -> None:
    async with AsyncClient(gateway.target) as client:
        await client.put_many(Put(Ref(Kind.SEMANTIC, (), f"{i}")) for i in range(5))
        listing = client.list("semantic", page_size=2)
        assert [memory.key async for memory in listing] == ["0", "1", "2", "3", "4"]
        assert [len(page) async for page in listing.pages()] == [2, 2, 1]
        async for memory in listing:
            assert memory.key == "0"
            break


def test_a_retry_carries_the_same_request(gateway: FakeGateway) -> None:
    gateway.fail(UNAVAILABLE, UNAVAILABLE)
    with Client(gateway.target) as client:
        client.remember("x")
    assert len(gateway.requests) == 3
    assert gateway.requests[0] == gateway.requests[1] == gateway.requests[2]
    assert uuid.UUID(gateway.requests[0].request_id).version == 7
    assert gateway.requests[0].puts[0].memory.ref.key


async def test_retries_end(gateway: FakeGateway) -> None:
    gateway.fail(*[UNAVAILABLE] * 9)
    async with AsyncClient(gateway.target) as client:
        with pytest.raises(
            memplane.Unavailable, match="no answer from the gateway at 127"
        ) as caught:
            await client.remember("x")
        assert caught.value.ambiguous
        assert len(gateway.requests) == 4


def test_only_unavailable_is_tried_again(gateway: FakeGateway) -> None:
    gateway.fail(grpc.StatusCode.ABORTED)
    with Client(gateway.target) as client, pytest.raises(memplane.Aborted):
        client.remember("x")
    assert len(gateway.requests) == 1


def test_a_rich_error(gateway: FakeGateway) -> None:
    status = rich_status(9, "IDENTITY_MISMATCH", metadata={"stored": "a"})
    gateway.fail_richly(grpc.StatusCode.FAILED_PRECONDITION, status)
    with Client(gateway.target) as client, pytest.raises(memplane.FailedPrecondition) as caught:
        client.search("x")
    assert (caught.value.reason, caught.value.metadata) == ("IDENTITY_MISMATCH", {"stored": "a"})
    assert isinstance(caught.value.__cause__, grpc.RpcError)


def test_deadlines(gateway: FakeGateway) -> None:
    gateway.delay = 0.5
    with Client(gateway.target, timeout=0.1) as client:
        with pytest.raises(memplane.DeadlineExceeded) as caught:
            client.remember("x")
        assert (caught.value.ambiguous, caught.value.reason) == (True, "DEADLINE_PASSED")
        with pytest.raises(memplane.DeadlineExceeded) as caught:
            client.search("x")
        assert not caught.value.ambiguous
        assert client.count(Kind.SEMANTIC, timeout=5) >= 0
        assert client.count(Kind.SEMANTIC, timeout=float("inf")) >= 0
        for wrong in (0, -1, float("nan"), "1"):
            with pytest.raises(memplane.InvalidArgument, match="timeout"):
                client.count(Kind.SEMANTIC, timeout=wrong)  # type: ignore[arg-type]


def test_nobody_listens() -> None:
    started = time.monotonic()
    with Client("127.0.0.1:1") as client, pytest.raises(memplane.Unavailable) as caught:
        client.get(Kind.SEMANTIC, "k")
    assert "127.0.0.1:1" in caught.value.message
    assert time.monotonic() - started < 10


def test_a_client_finds_a_gateway_that_starts_late(gateway: FakeGateway) -> None:
    """A gateway that was down at the first call is found as soon as it is up."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with Client(f"127.0.0.1:{port}") as client:
        with pytest.raises(memplane.Unavailable):
            client.get(Kind.SEMANTIC, "k")
        late = serve(gateway, f"127.0.0.1:{port}")
        deadline = time.monotonic() + 3
        while True:  # a call soon after may still be told of the last try; half a second at most
            try:
                assert client.get(Kind.SEMANTIC, "k") is None
                break
            except memplane.Unavailable:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        late.stop(None).wait()


def test_unix_sockets(gateway: FakeGateway, tmp_path: Path) -> None:
    server = serve(gateway, f"unix:{tmp_path}/m.sock")
    for target in (f"unix:{tmp_path}/m.sock", f"unix://{tmp_path}/m.sock"):
        with Client(target) as client:
            assert client.count(Kind.SEMANTIC) == 0
    server.stop(None).wait()


def test_large_batches_are_split(gateway: FakeGateway) -> None:
    with Client(gateway.target) as client:
        refs = [Ref(Kind.SEMANTIC, (), f"{i}") for i in range(2100)]
        results = client.put_many((Put(ref) for ref in refs), request_id="mine")
        assert [result.ref for result in results] == refs
        assert [len(request.puts) for request in gateway.requests] == [1000, 1000, 100]
        assert [request.request_id for request in gateway.requests] == ["mine", "mine.1", "mine.2"]
        assert sum(memory is not None for memory in client.get_many(refs)) == 2100
        gateway.requests.clear()
        client.put_many(Put(ref, text="x" * 60_000) for ref in refs[:100])
        assert len(gateway.requests) == 2
        assert all(request.ByteSize() < 3 * 1024 * 1024 + 100 for request in gateway.requests)
        assert len({request.request_id for request in gateway.requests}) == 2
        assert len(client.update_many(Update(ref, text="y") for ref in refs)) == 2100
        with pytest.raises(memplane.InvalidArgument, match=r"has the same ref as puts\[0\]"):
            client.put_many(Put(ref) for ref in [*refs, refs[0]])
        assert len(client.delete_many(refs).failed) == 0


def test_atomic_is_said_and_never_split(gateway: FakeGateway) -> None:
    with Client(gateway.target) as client:
        refs = [Ref(Kind.PROCEDURAL, (), f"{i}") for i in range(1001)]
        client.put_many([Put(ref) for ref in refs[:2]], atomic=True)
        client.delete_many(refs[:2], atomic=True)
        client.delete_many(refs[:2])
        assert [request.atomic for request in gateway.requests] == [True, True, False]
        with pytest.raises(memplane.InvalidArgument, match="atomic"):
            client.put_many([Put(ref) for ref in refs], atomic=True)
        with pytest.raises(memplane.InvalidArgument, match="atomic"):
            client.delete_many(refs, atomic=True)
        assert len(gateway.requests) == 3


def test_a_part_that_fails_does_not_hide_the_parts_before_it(gateway: FakeGateway) -> None:
    refs = [Ref(Kind.SEMANTIC, (), f"{i}") for i in range(2100)]
    puts = [Put(ref) for ref in refs]
    with Client(gateway.target) as client:
        gateway.faults.append(lambda context: None)
        gateway.fail(grpc.StatusCode.INTERNAL)
        results = client.put_many(puts)
        assert [result.ref for result in results] == refs
        assert all(result.ok for result in results[:1000])
        failed, unsent = results[1000].error, results[2000].error
        assert isinstance(failed, memplane.Internal)
        assert isinstance(unsent, memplane.Internal)
        assert (failed.ambiguous, unsent.ambiguous) == (True, False)
        assert unsent.message.startswith("not sent")
        gateway.fail(grpc.StatusCode.INTERNAL)
        with pytest.raises(memplane.Internal):
            client.put_many(puts)
        gateway.faults.append(lambda context: None)
        gateway.fail(grpc.StatusCode.INTERNAL)
        with pytest.raises(memplane.Internal):
            client.get_many(refs)


def test_one_client_in_two_event_loops(gateway: FakeGateway) -> None:
    """FIELD 50."""
    client = AsyncClient(gateway.target)

    async def use() -> int:
        await client.remember("x")
        return await client.count(Kind.SEMANTIC)

    assert [asyncio.run(use()) for _ in range(3)] == [1, 2, 3]
    assert len(client._connection._own._channels._channels) == 1  # type: ignore[union-attr]

    async def within() -> int:
        async with client:
            return await client.count(Kind.SEMANTIC)

    assert [asyncio.run(within()) for _ in range(2)] == [3, 3]
    gc.collect()


def test_one_client_in_the_loops_of_several_threads(gateway: FakeGateway) -> None:
    client = AsyncClient(gateway.target)
    counts: list[int] = []

    async def use() -> None:
        await asyncio.gather(*(client.remember("x") for _ in range(10)))
        counts.append(await client.count(Kind.SEMANTIC))

    threads = [threading.Thread(target=lambda: asyncio.run(use())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(counts) == 40
    asyncio.run(client.close())


def test_one_client_in_many_threads(gateway: FakeGateway) -> None:
    errors: list[BaseException] = []
    with Client(gateway.target) as client:

        def use(name: int) -> None:
            try:
                scope = client.scope(f"{name}")
                for i in range(20):
                    scope.set(f"{i}", i)
                    assert scope.value(f"{i}") == i
            except BaseException as error:
                errors.append(error)
                raise

        threads = [threading.Thread(target=use, args=(name,)) for name in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors
        assert client.count(Kind.PROCEDURAL) == 160


async def test_a_thousand_calls_on_one_client(gateway: FakeGateway) -> None:
    async with AsyncClient(gateway.target) as client:
        for _ in range(10):
            await asyncio.gather(*(client.get(Kind.SEMANTIC, "k") for _ in range(100)))
    assert len(gateway.requests) == 1000


async def test_closing(gateway: FakeGateway) -> None:
    client = AsyncClient(gateway.target)
    scope = client.scope("a")
    await client.close()  # before any call
    await client.close()
    for wrong in (client.count(Kind.SEMANTIC), scope.remember("x"), client.health()):
        with pytest.raises(memplane.Cancelled, match="closed"):
            await wrong
    async with client:
        assert await scope.count(Kind.SEMANTIC) == 0
    with pytest.raises(memplane.Cancelled):
        await scope.count(Kind.SEMANTIC)

    with Client(gateway.target) as sync:
        assert sync.count(Kind.SEMANTIC) == 0
    sync.close()
    with pytest.raises(memplane.Cancelled):
        sync.count(Kind.SEMANTIC)


async def test_giving_up_leaves_the_client_whole(gateway: FakeGateway) -> None:
    gateway.delay = 0.3
    async with AsyncClient(gateway.target) as client:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.remember("x"), 0.05)
        gateway.delay = 0
        assert await client.count(Kind.SEMANTIC) >= 0


class InProcess:
    """A transport without a network, as the conformance suite has one."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any, Any]] = []

    def answer(self, method: str, request: Any, response_type: Any) -> Any:
        self.calls.append((method, request, response_type))
        if response_type is service.CountMemoriesResponse:
            return response_type(count=7)
        return response_type()

    def stream(self, *_: Any) -> Any:
        raise NotImplementedError


class SyncInProcess(InProcess):
    def unary(
        self, method: str, request: Any, response_type: Any, timeout: float | None, metadata: Any
    ) -> Any:
        return self.answer(method, request, response_type)


class AsyncInProcess(InProcess):
    async def unary(
        self,
        method: str,
        request: Any,
        response_type: Any,
        timeout: float | None,  # noqa: ASYNC109 (the protocol has it)
        metadata: Any,
    ) -> Any:
        return self.answer(method, request, response_type)


async def test_a_transport_of_one_s_own() -> None:
    transport = SyncInProcess()
    with Client(transport=transport) as client:
        assert client.scope("a").count(Kind.SEMANTIC) == 7
        assert client.get_many([]) == ()
        with pytest.raises(memplane.Internal, match="answered 1 items with 0 results"):
            client.remember("x")
    ((method, request, _), *_) = transport.calls
    assert method == "/memplane.v1.MemoryService/CountMemories"
    assert request == service.CountMemoriesRequest(kind=memory_pb2.KIND_SEMANTIC, namespace=["a"])
    async with AsyncClient(transport=AsyncInProcess()) as asynchronous:
        assert await asynchronous.count(Kind.SEMANTIC) == 7


def test_tls(gateway: FakeGateway) -> None:
    for tls in (True, b"not a certificate", grpc.ssl_channel_credentials()):
        with Client(gateway.target, tls=tls) as client, pytest.raises(memplane.Unavailable):
            client.count(Kind.SEMANTIC, timeout=5)
    with pytest.raises(memplane.InvalidArgument, match="tls"):
        Client(gateway.target, tls="yes")  # type: ignore[arg-type]


def test_an_episode_says_when(gateway: FakeGateway) -> None:
    moment = datetime(2026, 1, 1, 12, 0, 0, 123_456, UTC)
    with Client(gateway.target) as client:
        client.put("episodic", "k", episode=Episode(event_time=moment, output=b"\0"))
        memory = client.get("episodic", "k")
        assert memory is not None
        assert memory.episode == Episode(event_time=moment, output=b"\0")
