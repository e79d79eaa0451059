"""What Weaviate and the ways to it raise, in the words of the contract."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import pytest_asyncio
from grpc.aio import AioRpcError, Metadata
from tests.adapters.weaviate_double import EMPTY, Double, RefusedError

from memplane_adapters.conformance.stores.fixtures import COLLECTION, Points, vector
from memplane_adapters.contract import (
    Durability,
    Order,
    StoreError,
    StoreReason,
    WriteStatus,
)
from memplane_adapters.kit.errors import CollectionExistsError
from memplane_adapters.weaviate import ADAPTER, WeaviateSettings, rows
from memplane_adapters.weaviate.errors import (
    AnswerTooLargeError,
    NoTenantError,
    RefusalError,
    from_exception,
    from_words,
)
from memplane_adapters.weaviate.store import WeaviateVectorStore
from memplane_adapters.weaviate.stubs import batch_delete_pb2, batch_pb2, search_get_pb2

R = StoreReason
Code = grpc.StatusCode


def rpc(code: grpc.StatusCode, details: str = "") -> AioRpcError:
    return AioRpcError(code, Metadata(), Metadata(), details=details)


TABLE: list[tuple[Exception, StoreReason, bool]] = [
    # REST: the status decides.
    (RefusalError(401, "anonymous access not enabled"), R.MISCONFIGURED, False),
    (RefusalError(403, "forbidden"), R.MISCONFIGURED, False),
    (RefusalError(404, ""), R.COLLECTION_MISSING, False),
    (RefusalError(404, "<html>no such page"), R.MISCONFIGURED, False),
    (RefusalError(302, ""), R.MISCONFIGURED, False),
    (RefusalError(413, ""), R.ITEM_TOO_LARGE, False),
    (RefusalError(422, "class name Memplane_a already exists"), R.PROTOCOL, False),
    (RefusalError(422, "invalid property"), R.PROTOCOL, False),
    (RefusalError(429, "slow down"), R.EXHAUSTED, True),
    (RefusalError(500, "something"), R.INTERRUPTED, True),
    (RefusalError(500, "leader not found"), R.INTERRUPTED, True),
    (RefusalError(500, "write: no space left on device"), R.EXHAUSTED, False),
    (RefusalError(502, ""), R.INTERRUPTED, True),
    (RefusalError(503, "not ready"), R.UNAVAILABLE, True),
    (RefusalError(504, ""), R.TIMEOUT, True),
    # The way there and back: what was never sent was never written.
    (httpx.ConnectError("refused"), R.UNAVAILABLE, True),
    (httpx.ConnectTimeout("no answer"), R.UNAVAILABLE, True),
    (httpx.ReadTimeout("frozen"), R.TIMEOUT, True),
    (httpx.ReadError("reset"), R.INTERRUPTED, True),
    (httpx.RemoteProtocolError("hung up"), R.INTERRUPTED, True),
    (ValueError("Expecting value: line 1 column 1"), R.PROTOCOL, False),
    # gRPC: the code, and for UNAVAILABLE whether there was a connection.
    (rpc(Code.UNAVAILABLE, "failed to connect to all addresses; Connection refused"), R.UNAVAILABLE, True),
    (rpc(Code.UNAVAILABLE, "DNS resolution failed for weaviate:50051"), R.UNAVAILABLE, True),
    (rpc(Code.UNAVAILABLE, "server is in maintenance mode"), R.UNAVAILABLE, True),
    (rpc(Code.UNAVAILABLE, "Socket closed"), R.INTERRUPTED, True),
    (rpc(Code.DEADLINE_EXCEEDED), R.TIMEOUT, True),
    (rpc(Code.UNAUTHENTICATED, "anonymous access not enabled"), R.MISCONFIGURED, False),
    (rpc(Code.PERMISSION_DENIED), R.MISCONFIGURED, False),
    (rpc(Code.UNIMPLEMENTED, "unknown service weaviate.v1.Weaviate"), R.MISCONFIGURED, False),
    (rpc(Code.FAILED_PRECONDITION, "index type is not allowed"), R.MISCONFIGURED, False),
    (rpc(Code.RESOURCE_EXHAUSTED, "grpc: received message larger than max (5 vs. 4)"), R.ITEM_TOO_LARGE, False),
    (rpc(Code.RESOURCE_EXHAUSTED, "grpc: trying to send message larger than max (5 vs. 4)"), R.ITEM_TOO_LARGE, False),
    (rpc(Code.RESOURCE_EXHAUSTED, "limit of objects is reached"), R.EXHAUSTED, True),
    (rpc(Code.INTERNAL, "panic"), R.INTERRUPTED, True),
    (rpc(Code.CANCELLED), R.INTERRUPTED, True),
    (rpc(Code.ABORTED), R.INTERRUPTED, True),
    (rpc(Code.DATA_LOSS), R.DAMAGED, False),
    # Most of what Weaviate has to say is UNKNOWN, and words.
    (rpc(Code.UNKNOWN, "could not find class Memplane_a in schema"), R.COLLECTION_MISSING, False),
    (rpc(Code.UNKNOWN, "vector search: vector lengths don't match: 7 vs 8"), R.IDENTITY_MISMATCH, False),
    (rpc(Code.UNKNOWN, "put object: no space left on device"), R.EXHAUSTED, False),
    (rpc(Code.UNKNOWN, "store is read-only due to: disk usage too high"), R.EXHAUSTED, False),
    (rpc(Code.UNKNOWN, "search: context deadline exceeded"), R.TIMEOUT, True),
    (rpc(Code.UNKNOWN, "leader not found"), R.INTERRUPTED, True),
    (rpc(Code.UNKNOWN, "shard is shutdown"), R.INTERRUPTED, True),
    (rpc(Code.UNKNOWN, "put objects: broadcast: cannot reach enough replicas"), R.INTERRUPTED, True),
    (rpc(Code.UNKNOWN, "something else"), R.PROTOCOL, False),
    (TimeoutError(), R.TIMEOUT, True),
    (PermissionError(13, "Permission denied", "ca.pem"), R.MISCONFIGURED, False),
    (ConnectionResetError("reset"), R.INTERRUPTED, True),
    (ZeroDivisionError("a bug of the library"), R.PROTOCOL, False),
]  # fmt: skip


@pytest.mark.parametrize(
    ("error", "reason", "retryable"),
    TABLE,
    ids=[f"{type(error).__name__}-{reason}-{row}" for row, (error, reason, _) in enumerate(TABLE)],
)
def test_every_failure_has_its_reason(
    error: Exception, reason: StoreReason, retryable: bool
) -> None:
    made = from_exception(error)
    assert (made.reason, made.retryable) == (reason, retryable)
    assert str(made)


def test_what_has_to_be_told_apart() -> None:
    ours = StoreError(R.DAMAGED, "as it is")
    assert from_exception(ours) is ours
    assert isinstance(from_exception(rpc(Code.UNKNOWN, 'tenant not found: "a"')), NoTenantError)
    assert isinstance(from_words('tenant not found: "a"'), NoTenantError)
    assert from_words("put: memory pressure").reason is R.EXHAUSTED
    taken = RefusalError(422, "class name Memplane_a already exists")
    assert isinstance(from_exception(taken), CollectionExistsError)
    cut = rpc(Code.RESOURCE_EXHAUSTED, "grpc: trying to send message larger than max")
    assert isinstance(from_exception(cut), AnswerTooLargeError)
    assert from_exception(RefusalError(429, "", 7.0)).retry_after == 7.0


@pytest.fixture
def double() -> Iterator[Double]:
    with Double() as made:
        yield made


def settings(double: Double, **more: Any) -> WeaviateSettings:
    return WeaviateSettings(url=double.url, grpc_port=double.grpc_port, **more)


@pytest_asyncio.fixture
async def points(double: Double) -> AsyncIterator[Points]:
    store = ADAPTER.connect(settings(double, api_key="a secret", timeout=2.0), Path()).vector
    assert store is not None
    await store.open()
    await store.ensure(COLLECTION)
    yield Points(store)
    await store.close()


def _calls(points: Points) -> dict[str, Callable[[], Awaitable[object]]]:
    """Every sort of call, by the rpc that carries it."""
    return {
        "Search": lambda: points.read(points.address("k")),
        "Search by vector": lambda: points.query(vector=vector(1.0)),
        "Search by words": lambda: points.query(terms=("tea",)),
        "Search in a walk": points.walk,
        "Search in time": lambda: points.walk(order=Order.TIME),
        "Aggregate": points.count,
        "BatchObjects": lambda: points.try_write([points.entry("k")]),
        "BatchDelete": lambda: points.delete(points.address("k")),
        "TenantsGet": lambda: points.store.stats(points.kind),
    }


async def test_every_call_fails_as_it_is_told_and_is_not_tried_again(
    double: Double, points: Points
) -> None:
    """The vendor's client would try again for a minute."""

    def refuse(_: object) -> bytes:
        raise RefusedError(Code.UNAVAILABLE, "server is in maintenance mode")

    for name, call in _calls(points).items():
        double.answers = {name.split()[0]: refuse}
        double.heard.clear()
        with pytest.raises(StoreError) as failure:
            await call()
        assert failure.value.reason is R.UNAVAILABLE, name
        assert len(double.asked(name.split()[0])) == 1


async def test_a_server_that_does_not_answer_is_given_up(double: Double) -> None:
    over = threading.Event()

    def wait(_: object) -> bytes:
        over.wait()
        return b""

    store = ADAPTER.connect(settings(double, timeout=0.2), Path()).vector
    assert store is not None
    await store.open()
    try:
        await store.ensure(COLLECTION)
        double.answers = dict.fromkeys(EMPTY, wait)
        for name, call in _calls(Points(store)).items():
            with pytest.raises(StoreError) as failure:
                await call()
            assert failure.value.reason is R.TIMEOUT, name
    finally:
        over.set()
        await store.close()


async def test_answers_that_are_no_messages_are_told(double: Double, points: Points) -> None:
    double.answers = dict.fromkeys(EMPTY, b"\xff\xff\xff\xff no message")
    for name, call in _calls(points).items():
        with pytest.raises(StoreError) as failure:
            await call()
        assert failure.value.reason is R.PROTOCOL, name


def _reply(points: Points, **changed: str | None) -> search_get_pb2.SearchReply:
    """One row, as far as it is not changed."""
    good: dict[str, str | None] = {
        rows.RECORD: base64.b64encode(b"the record").decode(),
        rows.PLACE: rows.place_of(("suite",), "k"),
        rows.TIMES: "1 2",
    }
    reply = search_get_pb2.SearchReply()
    result = reply.results.add()
    result.metadata.id = rows.id_of(points.address("k"))
    for name, text in (good | changed).items():
        if text is None:
            continue
        value = result.properties.non_ref_props.fields[name]
        if name == rows.RECORD:
            value.blob_value = text
        else:
            value.text_value = text
    return reply


@pytest.mark.parametrize(
    "changed",
    [
        {"record": "%%%"},
        {"record": None},
        {"place": "not hex"},
        {"place": "61"},
        {"place": None},
        {"times": "1"},
        {"times": "a b"},
        {"times": None},
    ],
    ids=str,
)
async def test_rows_that_are_none_of_ours_are_told(
    double: Double, points: Points, changed: dict[str, Any]
) -> None:
    double.answers["Search"] = _reply(points)
    assert [hit.record for hit in await points.query(terms=("tea",))] == [b"the record"]
    double.answers["Search"] = _reply(points, **changed)
    with pytest.raises(StoreError) as failure:
        await points.query(terms=("tea",))
    assert failure.value.reason is R.PROTOCOL


async def test_a_vector_of_halves_is_told(double: Double, points: Points) -> None:
    reply = _reply(points)
    reply.results[0].metadata.vectors.add(name=rows.VECTOR, vector_bytes=b"\0" * 7)
    double.answers["Search"] = reply
    with pytest.raises(StoreError) as failure:
        await points.store.fetch([points.address("k")], vectors=True)
    assert failure.value.reason is R.PROTOCOL


async def test_field_33_each_item_of_a_batch_has_its_own_outcome(
    double: Double, points: Points
) -> None:
    """Failed items were only logged."""
    reply = batch_pb2.BatchObjectsReply()
    reply.errors.add(index=1, error="invalid object")
    reply.errors.add(index=3, error="no space left on device")
    double.answers["BatchObjects"] = reply
    keys = ["a", "b", "c", "d"]
    results = await points.try_write([points.entry(key) for key in keys])
    applied, failed = WriteStatus.APPLIED, WriteStatus.FAILED
    assert [result.status for result in results] == [applied, failed, applied, failed]
    reasons = [result.error.reason for result in results if result.error]
    assert reasons == [R.PROTOCOL, R.EXHAUSTED]


async def test_an_answer_that_is_too_large_is_asked_for_in_halves(
    double: Double, points: Points
) -> None:
    there = {rows.id_of(points.address(key)): key for key in "abcdefgh"}

    def two_at_most(request: search_get_pb2.SearchRequest) -> search_get_pb2.SearchReply:
        (_, asked) = request.filters.filters
        ids = list(asked.value_text_array.values) or [asked.value_text]
        if len(ids) > 2:
            raise RefusedError(
                Code.RESOURCE_EXHAUSTED, "grpc: trying to send message larger than max"
            )
        reply = search_get_pb2.SearchReply()
        for one in ids:
            result = _reply(points, record=base64.b64encode(there[one].encode()).decode())
            result.results[0].metadata.id = one
            reply.MergeFrom(result)
        return reply

    double.answers["Search"] = two_at_most
    read = await points.read(*(points.address(key) for key in "abcdefgh"))
    assert b"".join(row.record for row in read if row is not None) == b"abcdefgh"


async def test_rows_that_were_not_deleted_are_told(double: Double, points: Points) -> None:
    reply = batch_delete_pb2.BatchDeleteReply(matches=1, failed=1)
    reply.objects.add(uuid=b"\0" * 16, successful=False, error="no space left on device")
    double.answers["BatchDelete"] = reply
    with pytest.raises(StoreError):
        await points.delete(points.address("k"))


def _called(points: Points) -> str:
    """The vendor's name of the collection."""
    assert isinstance(points.store, WeaviateVectorStore)
    return points.store._collections.ensured(points.kind).called


async def test_the_key_goes_both_ways_and_nowhere_else(double: Double, points: Points) -> None:
    assert await points.store.ping() is Durability.PROCESS
    for call in _calls(points).values():
        await call()
    for heard in double.heard:
        headers = {name.lower(): value for name, value in heard.headers.items()}
        assert headers["authorization"] == "Bearer a secret", heard.name
    assert "secret" not in repr(settings(double, api_key="a secret"))


async def test_ping_hears_both_ways(double: Double, points: Points) -> None:
    double.answers["/grpc.health.v1.Health/Check"] = b"\x08\x02"  # NOT_SERVING
    with pytest.raises(StoreError) as failure:
        await points.store.ping()
    assert failure.value.reason is R.UNAVAILABLE
    del double.answers["/grpc.health.v1.Health/Check"]
    path = f"/v1/schema/{_called(points)}"
    double.rest["GET", path] = (500, b"leader not found")
    with pytest.raises(StoreError) as failure:
        await points.store.ping()
    assert failure.value.reason is R.INTERRUPTED
    double.rest["GET", path] = (200, b"<html>")
    with pytest.raises(StoreError) as failure:
        await points.store.ping()
    assert failure.value.reason is R.PROTOCOL


@pytest.mark.parametrize(
    ("version", "reason"),
    [("1.32.9", R.MISCONFIGURED), ("", R.PROTOCOL), ("new", R.PROTOCOL)],
)
async def test_servers_that_cannot_be_used_are_refused(
    double: Double, version: str, reason: StoreReason
) -> None:
    double.version = version
    store = ADAPTER.connect(settings(double), Path()).vector
    assert store is not None
    await store.open()
    try:
        with pytest.raises(StoreError) as failure:
            await store.ensure(COLLECTION)
        assert failure.value.reason is reason
    finally:
        await store.close()


async def test_nobody_is_asked_for_versions_or_telemetry(double: Double, points: Points) -> None:
    await points.count()
    await points.count()
    asked = {heard.name for heard in double.heard if "/" in heard.name}
    own = f"GET /v1/schema/{_called(points)}"
    assert asked == {"GET /v1/meta", "GET /v1/schema", "POST /v1/schema", own}
    assert len(double.asked("GET /v1/meta")) == 1


async def test_close_waits_for_what_is_under_way(double: Double, points: Points) -> None:
    begun, over = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def slow(_: object) -> bytes:
        loop.call_soon_threadsafe(begun.set)
        over.wait(20)
        return b""

    double.answers["Search"] = slow
    reading = asyncio.ensure_future(points.read(points.address("k")))
    await begun.wait()
    closing = asyncio.ensure_future(points.store.close())
    await asyncio.sleep(0)
    assert not closing.done()
    over.set()
    assert await reading == [None]
    await closing
