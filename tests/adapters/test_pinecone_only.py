"""What only Pinecone does, or does otherwise than it says; on the emulator that comes with it."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.adapters import opening

from memplane_adapters.conformance.local_stores import Servers, choices
from memplane_adapters.conformance.servers import Server, running
from memplane_adapters.conformance.stores import BackendFactory
from memplane_adapters.conformance.stores.fixtures import (
    COLLECTION,
    DIMENSION,
    NOW,
    Points,
    some_vectors,
    vector,
)
from memplane_adapters.conformance.strategies import values
from memplane_adapters.contract import (
    Address,
    Condition,
    Delete,
    Durability,
    Fields,
    Kind,
    Op,
    Order,
    Point,
    Query,
    Scan,
    StoreError,
    StoreReason,
    Write,
    WriteStatus,
    metadata_bytes,
)
from memplane_adapters.pinecone import ADAPTER, rows
from memplane_adapters.pinecone.client import json_bytes, shortest
from memplane_adapters.pinecone.store import PineconeVectorStore

(PINECONE,) = (choice for choice in choices() if choice.adapter_name == "pinecone")


@pytest.fixture
def backend_factory(servers: Servers, tmp_path: Path) -> BackendFactory:
    return PINECONE.backend_factory(servers, tmp_path)


def opened(**settings: Any) -> AbstractAsyncContextManager[Points]:
    """A store of its own, open."""
    return opening.opened_points(ADAPTER, **settings)


@pytest.fixture
def keys(servers: Servers, tmp_path: Path) -> dict[str, Any]:
    """The settings of a store that is empty at first."""
    return dict(PINECONE.keys(servers, tmp_path)[1])


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose reads lag twenty writes behind."""
    assert PINECONE.store is not None
    store = dataclasses.replace(
        PINECONE.store, arguments=(*PINECONE.store.arguments, "--lag", "20")
    )
    with running(store, tmp_path_factory.mktemp("slow")) as server:
        yield server


def keys_of(server: Server, **more: Any) -> dict[str, Any]:
    return {**ADAPTER.from_url(server.url), **more}


def inside(points: Points) -> PineconeVectorStore:
    store = points.store
    assert isinstance(store, PineconeVectorStore)
    return store


async def set_faults(keys: dict[str, Any], *statuses: int, path: str) -> None:
    fault = {"statuses": statuses, "path": path, "retry_after": 0.01}
    async with httpx.AsyncClient() as client:
        (await client.post(f"{keys['url']}/emulator", json=fault)).raise_for_status()


# --- visibility ---------------------------------------------------------------------------------


async def test_a_store_sees_at_once_what_it_wrote(slow: Server) -> None:
    async with opened(**keys_of(slow, prefix="at-once")) as points:
        await points.store.ensure(COLLECTION)
        first, second = points.point("a", fields={"n": 1}), points.point("b", vector(0.0, 1.0))
        await points.try_write([first])
        assert await points.record(first.address) == b"a"
        await points.try_write([second])
        assert await points.search(vector=vector(0.0, 1.0)) == ["b", "a"]
        await points.try_write([points.point("a", fields={"n": 2}, revision=2, record=b"new")])
        assert await points.walk() == ["new", "b"]
        assert await points.delete(first.address, first.address) == [
            WriteStatus.APPLIED,
            WriteStatus.MISSING,
        ]
        assert await points.count() == 1
        assert (await points.store.stats(points.kind)).rows == 1
        assert await points.store.delete_where(points.scope(), max_revision=1) == 1
        assert await points.record(second.address) is None


async def test_a_token_lets_another_process_see_it(slow: Server) -> None:
    keys = keys_of(slow, prefix="by-token")
    async with opened(**keys) as here, opened(**keys) as there:
        there.tenant = here.tenant
        await here.store.ensure(COLLECTION)
        await there.store.ensure(COLLECTION)
        await here.try_write([here.point("early")])
        assert await there.walk() == ["early"], "written before it looked for the first time"
        await here.try_write([here.point("late")])
        token = inside(here).token(here.kind, here.tenant)
        assert await there.walk() == ["early"], "the service is eventual"
        inside(there).reach(token)
        assert await there.record(here.address("late")) == b"late"
        assert await there.walk() == ["early", "late"]
        assert await here.walk() == ["early", "late"]
        assert inside(here).token(here.kind, here.tenant) == "", "everybody sees it by now"
        assert inside(here).token(here.kind, "another tenant") == ""


@pytest.mark.parametrize("token", ["", "x", "[]", '["a", "b", "c"]', "7", '{"a": 1}'])
async def test_what_is_no_token_is_refused(keys: dict[str, Any], token: str) -> None:
    async with opened(**keys) as points:
        with pytest.raises(StoreError) as refusal:
            inside(points).reach(token)
    assert refusal.value.reason is StoreReason.UNSUPPORTED


async def test_who_comes_after_a_killed_process_sees_what_that_wrote(slow: Server) -> None:
    keys = keys_of(slow, prefix="killed")
    script = f"""
import asyncio, os
from pathlib import Path
from memplane_adapters.conformance.stores.fixtures import COLLECTION, Points
from memplane_adapters.pinecone import ADAPTER, PineconeSettings
async def main():
    points = Points(ADAPTER.connect(PineconeSettings(**{keys!r}), Path()).vector, tenant="t")
    await points.store.open()
    await points.store.ensure(COLLECTION)
    for key in "abc":
        await points.try_write([points.point(key)])
    os._exit(0)
asyncio.run(main())
"""
    command = [sys.executable, "-c", script]
    await asyncio.to_thread(subprocess.run, command, check=True, timeout=60)
    async with opened(**keys) as points:
        points.tenant = "t"
        await points.store.ensure(COLLECTION)
        assert await points.record(points.address("c")) == b"c"
        assert await points.walk() == ["a", "b", "c"]


async def test_patience_ends(slow: Server) -> None:
    async with opened(**keys_of(slow, prefix="patience", visible_timeout=0.02)) as points:
        await points.store.ensure(COLLECTION)
        for number in range(20):  # each answer shows one of them more
            await points.try_write([points.point(f"{number}")])
        with pytest.raises(StoreError) as refusal:
            await points.walk()
        assert (refusal.value.reason, refusal.value.retryable) == (StoreReason.TIMEOUT, True)
        while True:
            try:
                assert len(await points.walk()) == 20
            except StoreError:
                continue
            break


# --- sizes --------------------------------------------------------------------------------------


@settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=150)
@given(
    fields=st.dictionaries(st.text(max_size=12), values(), max_size=4),
    record=st.binary(max_size=300),
    namespace=st.lists(st.text(min_size=1, max_size=20), max_size=3),
    key=st.text(min_size=1, max_size=30),
    text=st.text(max_size=700),
)
def test_nobody_counts_less_than_is_written(
    fields: Fields, record: bytes, namespace: list[str], key: str, text: str
) -> None:
    """What passes before anything is done is never refused by the store."""
    address = Address("t", Kind.SEMANTIC, tuple(namespace), key)
    point = Point(
        address=address,
        revision=2**63 - 1,
        update_time=NOW,
        time=-(2**55),
        expire_time=2**55,
        fields=fields,
        record=record,
        text=text,
        vector=vector(1.0),
    )
    made = rows.encode(point, DIMENSION)
    counted = metadata_bytes(address, fields, len(record), text)
    if isinstance(made, rows.Row):
        assert json_bytes(made.metadata) <= counted
    else:
        assert counted > rows.MOST_METADATA


async def test_what_is_too_large_fails_alone_and_says_why(points: Points) -> None:
    large = points.point("large", record=bytes(30_000))
    results = await points.try_write([points.point("a"), large, points.point("b")])
    assert [each.status for each in results] == [
        WriteStatus.APPLIED,
        WriteStatus.FAILED,
        WriteStatus.APPLIED,
    ]
    error = results[1].error
    assert error is not None
    assert error.reason is StoreReason.ITEM_TOO_LARGE
    assert error.metadata["limit_bytes"] == "40000"
    assert int(error.metadata["actual_bytes"]) > 40_000
    assert await points.walk() == ["a", "b"]


async def test_batches_are_cut_by_their_bytes(points: Points) -> None:
    """Pinecone takes 2 MB in a request; these are 3."""
    record = bytes(27_000)
    batch = [points.point(f"{number:02}", record=record) for number in range(80)]
    results = await points.try_write(batch)
    assert {each.status for each in results} == {WriteStatus.APPLIED}
    assert await points.count() == 80
    assert len((await points.page(limit=80)).rows) == 80
    assert len(await points.query(vector=vector(1.0), limit=80)) == 80, "an answer holds 4 MB"


async def test_behind_a_part_that_failed_nothing_is_sent(
    points: Points, keys: dict[str, Any]
) -> None:
    record = bytes(27_000)
    batch = [points.point(f"{number:03}", record=record) for number in range(140)]
    await set_faults(keys, 0, 503, 503, 503, 503, path="/upsert")
    results = await points.try_write(batch)
    states = [each.status for each in results]
    applied = states.count(WriteStatus.APPLIED)
    assert 0 < applied < 140
    assert states == [WriteStatus.APPLIED] * applied + [WriteStatus.FAILED] * (140 - applied)
    errors = [each.error for each in results if each.error is not None]
    assert {error.reason for error in errors} == {StoreReason.UNAVAILABLE}
    assert await points.count() == applied


def test_vectors_are_sent_as_the_shortest_numbers() -> None:
    for each in some_vectors(50, seed=3):
        sent = shortest(each)
        assert len(json.dumps(sent)) < 0.7 * len(json.dumps(each.tolist()))
        assert np.array_equal(np.array(sent, np.float32), each)


async def test_scores_have_more_digits_than_float32(points: Points) -> None:
    at = some_vectors(30, seed=6)
    await points.write(*(points.point(f"{n}", one) for n, one in enumerate(at)))
    query = Query(scope=points.scope(), vector=at[0], limit=30)
    for hit in (await points.store.query(query)).hits:
        cosine = float(at[0].astype("f8") @ at[int(hit.record)].astype("f8"))
        assert hit.score == pytest.approx(min(cosine, 1.0), abs=1e-12)


async def test_a_filter_of_too_many_values_is_refused(points: Points) -> None:
    tree = Condition(("n",), Op.IN, [f"v{n}" for n in range(10_001)])
    with pytest.raises(StoreError) as refusal:
        await points.count(tree=tree)
    assert refusal.value.reason is StoreReason.UNSUPPORTED


async def test_revisions_are_compared_to_the_last_bit(points: Points) -> None:
    """A float64 has 53 of them."""
    first = 2**62 + 1
    await points.write(*(points.point(f"{n}", revision=first + n) for n in range(3)))
    assert await points.store.delete_where(points.scope(), max_revision=first + 1) == 2
    assert await points.walk() == ["2"]


async def test_times_are_told_apart_to_the_microsecond(points: Points) -> None:
    late = 250_000_000_000_000_001  # of the year 9892
    await points.write(*(points.point(f"{n}", time=late + n) for n in range(4)))
    upwards = [f"{n}" for n in range(4)]
    assert await points.walk(order=Order.TIME, limit=1) == upwards
    assert await points.walk(order=Order.TIME, limit=1, descending=True) == upwards[::-1]


# --- what goes wrong ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statuses", "reason"),
    [
        ([503] * 4, StoreReason.UNAVAILABLE),
        ([429] * 4, StoreReason.EXHAUSTED),
        ([500] * 4, StoreReason.INTERRUPTED),
        ([500, 503, 503, 503], StoreReason.INTERRUPTED),
    ],
    ids=str,
)
async def test_what_any_attempt_may_have_written_is_not_denied(
    points: Points, keys: dict[str, Any], statuses: list[int], reason: StoreReason
) -> None:
    """The client library tries four times, and tells of the last one alone."""
    await set_faults(keys, *statuses, path="/upsert")
    with pytest.raises(StoreError) as refusal:
        await points.try_write([points.point("k")])
    assert (refusal.value.reason, refusal.value.retryable) == (reason, True)
    if reason is StoreReason.EXHAUSTED:
        assert refusal.value.retry_after == 0.01
    await points.write(points.point("k"))


async def test_a_collection_that_vanished_is_missed_by_every_call(points: Points) -> None:
    await points.write(points.point("k"))
    store, scope, address = inside(points), points.scope(), points.address("k")
    place = store._collections.ensured(points.kind)
    await store._engine.call(lambda client: client.remove(place.name))
    for call in (
        store.ping(),
        points.try_write([points.point("k")]),
        points.read(address),
        store.delete([Delete(address)]),
        store.scan(Scan(scope=scope)),
        store.count(scope),
        store.delete_where(scope, max_revision=1),
        store.query(Query(scope=scope, vector=vector(1.0))),
        store.stats(points.kind),
        store.ensure(COLLECTION),
        store.ensure(dataclasses.replace(COLLECTION, made=True)),
    ):
        with pytest.raises(StoreError) as refusal:
            await call
        assert refusal.value.reason is StoreReason.COLLECTION_MISSING
        assert not refusal.value.retryable


async def test_a_wrong_key_is_a_misconfiguration(keys: dict[str, Any]) -> None:
    async with opened(**{**keys, "api_key": "wrong"}) as points:
        for call in (points.store.ensure(COLLECTION), points.store.ping()):
            with pytest.raises(StoreError) as refusal:
                await call
            assert refusal.value.reason is StoreReason.MISCONFIGURED
            assert "wrong" not in str(refusal.value)


async def test_without_a_key_it_does_not_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PINECONE_API_KEY", raising=False)
    with pytest.raises(StoreError) as refusal:
        async with opened():
            raise AssertionError("it opened")
    assert refusal.value.reason is StoreReason.MISCONFIGURED


async def test_an_index_of_somebody_else_is_not_taken(keys: dict[str, Any]) -> None:
    async with opened(**keys) as points:
        store = inside(points)
        await store.ensure(COLLECTION)
        name = store._collections.ensured(points.kind).name
        await store._engine.call(lambda client: client.remove(name))
        await store._engine.call(lambda client: client.create(name, DIMENSION, {"of": "others"}))
    async with opened(**keys) as points:
        with pytest.raises(StoreError) as refusal:
            await points.store.ensure(COLLECTION)
        assert refusal.value.reason is StoreReason.MISCONFIGURED


async def test_a_prefix_does_not_reach_into_a_longer_one(keys: dict[str, Any]) -> None:
    shorter, longer = ({**keys, "prefix": name} for name in ("short", "short-semantic"))
    async with opened(**shorter) as one, opened(**longer) as two:
        await two.store.ensure(COLLECTION)
        await two.write(two.point("k"))
        assert (await one.store.stats(one.kind)).rows == 0
        await one.store.ensure(dataclasses.replace(COLLECTION, analyzer="another"))
        assert (await one.store.stats(one.kind)).rows == 0


async def test_a_killed_server_keeps_what_it_acknowledged(servers: Servers, tmp_path: Path) -> None:
    assert PINECONE.store is not None
    with servers.own(PINECONE.store, tmp_path / "own") as own:
        async with opened(**keys_of(own)) as points:
            await points.store.ensure(COLLECTION)
            await points.write(*(points.point(f"{n:02}") for n in range(20)))
            own.kill()
            with pytest.raises(StoreError) as refusal:
                await points.try_write([points.point("k")])
            assert refusal.value.reason is StoreReason.UNAVAILABLE  # refused: nothing was written
            own.start()
            assert await points.store.ping() is Durability.MANAGED
            assert await points.walk() == [f"{n:02}" for n in range(20)]


async def test_a_frozen_server_is_not_waited_for(servers: Servers, tmp_path: Path) -> None:
    assert PINECONE.store is not None
    with servers.own(PINECONE.store, tmp_path / "own") as own:
        async with opened(**keys_of(own, timeout=0.1)) as points:
            await points.store.ensure(COLLECTION)
            await points.write(points.point("k"))
            own.pause()
            with pytest.raises(StoreError) as refusal:
                await points.try_write([points.point("k")])
            assert (refusal.value.reason, refusal.value.retryable) == (StoreReason.TIMEOUT, True)
            own.resume()
            assert await points.walk() == ["k"]


async def test_write_batches_take_the_last_of_several_for_one_address(points: Points) -> None:
    made = [points.point("k", record=record) for record in (b"1", b"2", b"3")]
    results = await points.store.upsert([Write(each) for each in made])
    assert [each.status for each in results] == [WriteStatus.APPLIED] * 3
    assert await points.record(points.address("k")) == b"3"
