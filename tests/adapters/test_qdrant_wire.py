"""What goes over the wire to Qdrant, and what comes of it when the server has a bad day."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.adapters.qdrant_double import Double
from tests.adapters.qdrant_grpc_double import GrpcDouble

from memplane_adapters.conformance.stores.fixtures import COLLECTION, Points, vector
from memplane_adapters.contract import (
    Delete,
    Order,
    StoreError,
    StoreReason,
    Write,
    WriteStatus,
)
from memplane_adapters.qdrant import QdrantSettings, rows
from memplane_adapters.qdrant.store import QdrantVectorStore

R = StoreReason
APPLIED, CONFLICT, MISSING, FAILED = WriteStatus


@pytest.fixture(params=["grpc", "rest"])
def double(request: pytest.FixtureRequest) -> Iterator[Double]:
    made = Double()
    made.start()
    behind = GrpcDouble(made)
    behind.start()
    made.transport, made.grpc_port = request.param, behind.port
    yield made
    behind.stop()
    made.stop()


def store_of(double: Double, **settings: Any) -> QdrantVectorStore:
    made = QdrantSettings(
        url=double.url, transport=double.transport, grpc_port=double.grpc_port, **settings
    )
    return QdrantVectorStore(made, Path("unused"))


@contextlib.asynccontextmanager
async def opened(double: Double, **settings: Any) -> AsyncIterator[Points]:
    store = store_of(double, **settings)
    await store.open()
    try:
        await store.ensure(COLLECTION)
        yield Points(store)
    finally:
        await store.close()


@pytest_asyncio.fixture
async def points(double: Double) -> AsyncIterator[Points]:
    async with opened(double) as made:
        yield made


async def refused(call: Awaitable[object]) -> StoreError:
    with pytest.raises(StoreError) as refusal:
        await call
    return refusal.value


def calls(points: Points) -> dict[str, Callable[[], Awaitable[object]]]:
    """Every call that goes to the server."""
    store, scope = points.store, points.scope()
    entry = points.entry("k", revision=2)
    return {
        "ping": store.ping,
        "ensure": lambda: store.ensure(COLLECTION),
        "upsert": lambda: points.try_write([entry]),
        "upsert if": lambda: points.try_write([entry], expected=1),
        "upsert if absent": lambda: points.try_write([entry], expected=0),
        "fetch": lambda: points.read(points.address("k")),
        "delete": lambda: points.delete(points.address("k")),
        "query": lambda: points.query(vector=vector(1.0)),
        "query by words": lambda: points.query(terms=("tea",)),
        "scan": points.page,
        "scan by time": lambda: points.page(order=Order.TIME),
        "count": lambda: store.count(scope),
        "delete_where": lambda: store.delete_where(scope, max_revision=1),
        "stats": lambda: store.stats(points.kind),
    }


FAULTS: list[tuple[str, str, dict[str, Any], StoreReason, bool]] = [
    ("401", "both", {"status": 401}, R.MISCONFIGURED, False),
    ("403", "both", {"status": 403}, R.MISCONFIGURED, False),
    ("404", "both", {"status": 404, "body": b"Collection `x` doesn't exist!"}, R.COLLECTION_MISSING, False),
    ("429", "both", {"status": 429}, R.EXHAUSTED, True),
    ("500", "both", {"status": 500}, R.INTERRUPTED, True),
    ("503", "rest", {"status": 503}, R.UNAVAILABLE, True),
    ("503", "grpc", {"status": 503}, R.INTERRUPTED, True),
    ("cut off", "rest", {"status": 200, "body": b'{"result": {"points": [{"id'}, R.PROTOCOL, False),
    ("null", "rest", {"status": 200, "body": b'{"result": null, "status": "ok"}'}, R.PROTOCOL, False),
    ("foreign", "rest", {"status": 200, "body": b'{"result": {"points": 7}}'}, R.PROTOCOL, False),
    ("dropped", "rest", {"drop": "before"}, R.INTERRUPTED, True),
]  # fmt: skip


@pytest.mark.asyncio
async def test_field_46_no_call_takes_a_failure_for_an_answer(
    double: Double, points: Points
) -> None:
    """A backend error became status 200 with no results."""
    await points.write(points.entry("k"))
    for title, transport, fault, reason, retryable in FAULTS:
        if transport not in ("both", double.transport):
            continue
        for name, call in calls(points).items():
            with double.failing("/collections", **fault):
                error = await refused(call())
            assert (error.reason, error.retryable) == (reason, retryable), (title, name)
    assert await points.walk() == ["k"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.asyncio
async def test_a_store_that_asks_for_patience_is_heard(double: Double, points: Points) -> None:
    for call in calls(points).values():
        with double.failing("/collections", status=429, headers={"Retry-After": "3"}):
            error = await refused(call())
        assert (error.reason, error.retry_after) == (R.EXHAUSTED, 3.0)
    # Over gRPC the client library's interceptor raises once more when its call is forgotten, which
    # Python prints and goes on: let it be now.
    gc.collect()


@pytest.mark.asyncio
async def test_a_row_of_somebody_else_is_no_answer(double: Double, points: Points) -> None:
    await points.write(points.entry("k"))
    name = next(iter(double.indexes))
    double.engine.overwrite_payload(name, {"tenant": "x"}, points=[_id(points, "k")])
    assert (await refused(points.read(points.address("k")))).reason is R.PROTOCOL


def _id(points: Points, key: str) -> str:
    return rows.id_of(points.address(key))


@pytest.mark.asyncio
async def test_a_server_that_is_away_is_unavailable(double: Double) -> None:
    away = Double()
    away.start()
    away.stop()
    away.transport, away.grpc_port = double.transport, 1
    store = store_of(away)
    await store.open()
    for _ in range(2):
        error = await refused(store.ping())
        assert (error.reason, error.retryable) == (R.UNAVAILABLE, True)
    await store.close()
    assert (await refused(store.ping())).reason is R.CLOSED


@pytest.mark.asyncio
async def test_the_key_goes_along_and_is_never_shown(double: Double) -> None:
    double.api_key = "the-right-key"
    async with opened(double, api_key="the-right-key") as points:
        await points.write(points.entry("k"))
    with pytest.raises(StoreError) as refusal:
        async with opened(double, api_key="a-wrong-key"):
            pass
    error = refusal.value
    assert (error.reason, error.retryable) == (R.MISCONFIGURED, False)
    settings = QdrantSettings(api_key="a-wrong-key")
    assert "a-wrong-key" not in f"{error} {error.metadata} {settings!r}"


@pytest.mark.parametrize("version", ["1.16.3", "0.11.0"])
@pytest.mark.asyncio
async def test_a_server_without_conditional_writes_is_refused(double: Double, version: str) -> None:
    """It would take every conditional write for an unconditional one, and say so to nobody."""
    double.version = version
    store = store_of(double)
    await store.open()
    for _ in range(2):
        error = await refused(store.ensure(COLLECTION))
        assert error.reason is R.MISCONFIGURED
        assert version in str(error)
    await store.close()


@pytest.mark.parametrize("version", ["1.17.0", "1.18.3", "1.20.1-dev", "2.0.0"])
@pytest.mark.asyncio
async def test_servers_with_them_are_taken(double: Double, version: str) -> None:
    double.version = version
    async with opened(double) as points:
        await points.write(points.entry("k"))


@pytest.mark.asyncio
async def test_a_frozen_server_is_a_timeout_and_comes_back(double: Double) -> None:
    async with opened(double, timeout=1) as points:
        await points.write(points.entry("k"))
        thaw = threading.Event()
        with double.failing("/points", frozen=thaw):
            for call in (points.read(points.address("k")), points.try_write([points.entry("l")])):
                assert (await refused(call)).reason is R.TIMEOUT
            thaw.set()
        assert await points.record(points.address("k")) == b"k"


@pytest.mark.parametrize("word", ["acknowledged", "wait_timeout"])
@pytest.mark.asyncio
async def test_an_update_that_is_only_accepted_is_a_timeout(
    double: Double, points: Points, word: str
) -> None:
    """The server says so without an error, and the row may not be seen by the next read."""
    await points.write(points.entry("k"))
    with double.failing("PUT ", update_status=word):
        error = await refused(points.try_write([points.entry("k", revision=2)]))
    assert (error.reason, error.retryable) == (R.TIMEOUT, True)
    with double.failing("/points/delete", update_status=word):
        error = await refused(points.store.delete_where(points.scope(), max_revision=9))
    assert error.reason is R.TIMEOUT


@pytest.mark.asyncio
async def test_after_the_write_went_out_nothing_is_called_unwritten(
    double: Double, points: Points
) -> None:
    """UNAVAILABLE and EXHAUSTED promise that nothing was written, and are tried again."""
    await points.write(points.entry("k"))
    for status in (503, 429):
        with double.failing("POST ", status=status):
            error = await refused(points.try_write([points.entry("new")], expected=0))
        assert error.reason is R.INTERRUPTED
        assert await points.record(points.address("new")) == b"new"
        await points.delete(points.address("new"))


@pytest.mark.asyncio
async def test_a_connection_that_breaks_may_have_carried_the_write() -> None:
    double = Double()
    double.start()
    async with opened(double) as points:
        with double.failing("/points", drop="after"):
            error = await refused(points.try_write([points.entry("new")]))
        assert error.reason is R.INTERRUPTED
        assert await points.record(points.address("new")) == b"new"
    double.stop()


@pytest.mark.asyncio
async def test_what_stands_behind_a_failed_part_fails_by_itself(
    double: Double, points: Points
) -> None:
    """A batch goes out as up to three updates; what was applied is said even if the next fails."""
    await points.write(points.entry("old"))
    writes = [
        Write(points.as_point(points.entry("new")), 0),
        Write(points.as_point(points.entry("old", revision=2)), 1),
        Write(points.as_point(points.entry("any"))),
    ]
    await points.read(points.address("old"))  # known, so that the batch begins with a write
    puts = [request for request in double.requests if "PUT " in request]
    with double.failing("PUT ", skip=1, status=503):
        results = await points.store.upsert(writes)
    assert len([one for one in double.requests if "PUT " in one]) == len(puts) + 2
    assert [result.status for result in results] == [APPLIED, FAILED, FAILED]
    reason = R.UNAVAILABLE if double.transport == "rest" else R.INTERRUPTED
    assert [result.error and result.error.reason for result in results] == [None, reason, reason]
    assert await points.walk() == ["new", "old"]


@pytest.mark.asyncio
async def test_field_29_an_error_while_looking_is_not_absence(double: Double) -> None:
    """A 500 from the existence check was taken for "absent", and the collection was made anew."""
    async with opened(double) as points:
        await points.write(points.entry("kept"))
        kept = points.tenant
    store = store_of(double)
    await store.open()
    for where in ("GET /collections", "GET /collections/"):
        with double.failing(where, status=500):
            made = len([one for one in double.requests if "PUT " in one])
            assert (await refused(store.ensure(COLLECTION))).reason is R.INTERRUPTED
            assert len([one for one in double.requests if "PUT " in one]) == made
    await store.ensure(COLLECTION)
    assert await Points(store, tenant=kept).walk() == ["kept"]
    await store.close()


@pytest.mark.asyncio
async def test_a_vanished_collection_is_missing_and_stays_so(
    double: Double, points: Points
) -> None:
    await points.write(points.entry("k"))
    (name,) = double.indexes
    double.drop(name)
    for call_name, call in calls(points).items():
        assert (await refused(call())).reason is R.COLLECTION_MISSING, call_name
    assert double.engine.get_collections().collections == []


@pytest.mark.asyncio
async def test_two_gateways_make_one_collection(double: Double) -> None:
    stores = [store_of(double) for _ in range(4)]
    for store in stores:
        await store.open()
    await asyncio.gather(*(store.ensure(COLLECTION) for store in stores))
    await asyncio.gather(*(store.ping() for store in stores))
    assert len(double.engine.get_collections().collections) == 1
    for store in stores:
        await store.close()


@pytest.mark.asyncio
async def test_racing_gateways_lose_no_write_and_win_none_twice(double: Double) -> None:
    """Each gateway has a cache of what it has seen; the server alone decides."""
    gateways = [store_of(double, timeout=60) for _ in range(4)]
    for gateway in gateways:
        await gateway.open()
        await gateway.ensure(COLLECTION)
    users = [Points(gateway, tenant="shared") for gateway in gateways]
    await users[0].write(users[0].entry("k", revision=1, record=b"1"))
    wins: Counter[int] = Counter()

    async def count_up(user: Points) -> None:
        done = 0
        while done < 6:
            now = int(await user.record(user.address("k")) or b"0")
            # All rivals mint the same revision, so only the name of the write tells who won.
            entry = user.entry("k", revision=now + 1, record=b"%d" % (now + 1))
            (result,) = await user.try_write([entry], expected=now)
            if result.status is APPLIED:
                done += 1
                wins[now + 1] += 1

    await asyncio.gather(*(count_up(user) for user in users for _ in range(2)))
    assert await users[0].record(users[0].address("k")) == b"49"
    assert wins == Counter(range(2, 50))
    for gateway in gateways:
        await gateway.close()


@pytest.mark.asyncio
async def test_racing_gateways_delete_once(double: Double) -> None:
    gateways = [store_of(double, timeout=60) for _ in range(4)]
    for gateway in gateways:
        await gateway.open()
        await gateway.ensure(COLLECTION)
    users = [Points(gateway, tenant="shared") for gateway in gateways]
    for turn in range(1, 6):
        await users[0].write(users[0].entry("k", revision=turn))
        for expected in (turn, None):
            (address,) = {user.address("k") for user in users}
            statuses = await asyncio.gather(
                *(gateway.delete([Delete(address, expected)]) for gateway in gateways)
            )
            found = Counter(result.status for (result,) in statuses)
            assert found[APPLIED] == (1 if expected else 0)
            assert found[APPLIED] + found[CONFLICT if expected else MISSING] == len(gateways)
    assert await users[0].count() == 0
    for gateway in gateways:
        await gateway.close()
