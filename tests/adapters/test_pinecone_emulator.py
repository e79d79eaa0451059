"""Our emulator of Pinecone is as strict as the service is said to be; asked by the vendor's own SDK.

What it does not let pass, the adapter cannot rely on.
"""

from __future__ import annotations

import asyncio
import json
import math
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from pinecone import AsyncIndex, AsyncPinecone
from pinecone.errors.exceptions import (
    ApiError,
    ConflictError,
    NotFoundError,
    PayloadTooLargeError,
    RateLimitError,
    ServiceError,
    UnauthorizedError,
)

from memplane_adapters.conformance.local_stores import Servers, choices
from memplane_adapters.conformance.servers import Server, running

(PINECONE,) = (choice for choice in choices() if choice.adapter_name == "pinecone")
DIMENSION = 4
SPACE = "some-tenant"
HEADERS = {"Api-Key": "emulator", "X-Pinecone-Api-Version": "2026-07"}
DENSE = {"fields": {"_values": {"type": "dense_vector", "dimension": DIMENSION}}}


@pytest.fixture
def address(servers: Servers, tmp_path: Path) -> str:
    assert PINECONE.store is not None
    return servers.url(PINECONE.store, tmp_path).partition("?")[0]


@asynccontextmanager
async def project(address: str, key: str = "emulator") -> AsyncIterator[AsyncPinecone]:
    async with AsyncPinecone(api_key=key, host=address) as control:
        yield control


@asynccontextmanager
async def new_index(address: str, name: str = "") -> AsyncIterator[AsyncIndex]:
    """An index of its own, ready."""
    async with project(address) as control:
        name = name or f"index-{uuid.uuid4().hex[:12]}"
        await control.indexes.create(name=name, schema=DENSE, timeout=-1)
        made = await control.indexes.describe(name)
        async with await control.index(host=made.host or "") as index:
            yield index


@pytest.fixture
async def index(address: str) -> AsyncIterator[AsyncIndex]:
    async with new_index(address) as made:
        yield made


def one(name: str = "a", **metadata: Any) -> dict[str, Any]:
    return {"id": name, "values": [1.0, 0.0, 0.0, 0.0], "metadata": metadata}


async def put(index: AsyncIndex, *records: dict[str, Any]) -> int:
    """Write, and say at which LSN."""
    reply = await index.upsert(vectors=list(records), namespace=SPACE)
    assert reply.response_info is not None
    assert reply.response_info.lsn_committed is not None
    return reply.response_info.lsn_committed


async def query(index: AsyncIndex, **options: Any) -> Any:
    return await index.query(
        **{"top_k": 10, "vector": [1.0, 0.0, 0.0, 0.0], "namespace": SPACE, **options}
    )


async def matching(index: AsyncIndex, condition: dict[str, Any]) -> set[str]:
    """The ids of what matches, when all that was written is to be seen."""
    await query(index)
    return {match.id for match in (await query(index, filter=condition)).matches}


@asynccontextmanager
async def refused(status: int, words: str = "") -> AsyncIterator[None]:
    with pytest.raises(ApiError) as caught:
        yield
    assert caught.value.status_code == status, caught.value
    assert words in str(caught.value)


async def raw(index: AsyncIndex, path: str, body: dict[str, Any]) -> httpx.Response:
    """What the SDK would not send."""
    async with httpx.AsyncClient(headers=HEADERS) as client:
        return await client.post(f"{index.host}{path}", json=body)


async def set_fault(address: str, **fault: Any) -> None:
    async with httpx.AsyncClient() as client:
        (await client.post(f"{address}/emulator", json=fault)).raise_for_status()


async def test_it_says_what_it_is(address: str) -> None:
    async with httpx.AsyncClient() as client:
        assert "not the vendor's" in (await client.get(f"{address}/emulator")).text


async def test_a_wrong_key_is_refused_on_both_planes(address: str) -> None:
    async with new_index(address) as index, project(address, "wrong") as control:
        with pytest.raises(UnauthorizedError):
            await control.indexes.exists("a")
        async with await control.index(host=index.host) as other:
            with pytest.raises(UnauthorizedError):
                await query(other)


async def test_another_version_of_the_api_is_refused(address: str) -> None:
    async with httpx.AsyncClient(headers={"Api-Key": "emulator"}) as client:
        for version in ({}, {"X-Pinecone-Api-Version": "2025-01"}):
            answer = await client.get(f"{address}/indexes", headers=version)
            assert answer.status_code == 400


async def test_an_index_is_made_once_and_ready_only_later(address: str) -> None:
    name = f"index-{uuid.uuid4().hex[:12]}"
    async with project(address) as control:
        assert not await control.indexes.exists(name)
        made = await control.indexes.create(
            name=name, schema=DENSE, tags={"a-b_c": "x;@_-.+ y"}, timeout=-1
        )
        assert not made.status.ready
        async with await control.index(host=made.host or "") as index:
            answer = await raw(index, "/describe_index_stats", {})
            assert answer.status_code == 503
        with pytest.raises(ConflictError):
            await control.indexes.create(name=name, schema=DENSE, timeout=-1)
        found = await control.indexes.describe(name)
        assert (found.status.ready, found.dimension) == (True, DIMENSION)
        assert dict(found.tags or {}) == {"a-b_c": "x;@_-.+ y"}
        await control.indexes.delete(name, timeout=10)
        with pytest.raises(NotFoundError):
            await control.indexes.describe(name)


@pytest.mark.parametrize("name", ["A", "a_b", "-a", "a-", "a" * 46, "ä"])
@pytest.mark.parametrize("tags", [{}, {"a b": ""}, {"a": "x/y"}, {"a": "x" * 121}], ids=str)
async def test_names_and_tags_of_indexes(address: str, name: str, tags: dict[str, str]) -> None:
    body = {"name": "tagged" if tags else name, "schema": DENSE, "tags": tags}
    async with httpx.AsyncClient(headers=HEADERS) as client:
        assert (await client.post(f"{address}/indexes", json=body)).status_code == 400


async def test_an_index_that_is_not_there_is_not_found(address: str) -> None:
    async with new_index(address) as index, project(address) as control:
        await control.indexes.delete(urlsplit(index.host).path.rsplit("/", 1)[1], timeout=10)
        with pytest.raises(NotFoundError):
            await query(index)
        with pytest.raises(NotFoundError):
            await put(index, one())


async def test_reads_lag_behind_writes_and_queries_say_how_far(index: AsyncIndex) -> None:
    lsn = await put(index, one())
    first = await query(index)
    assert (first.matches, first.response_info.is_reconciled(lsn)) == ([], False)
    second = await query(index)
    assert [match.id for match in second.matches] == ["a"]
    assert second.response_info.is_reconciled(lsn)


@pytest.mark.parametrize("way", ["fetch", "fetch_by_metadata", "list", "stats"])
async def test_every_read_lags_and_no_other_says_how_far(index: AsyncIndex, way: str) -> None:
    await put(index, one(n=1))

    async def seen() -> Any:
        if way == "fetch":
            return await index.fetch(ids=["a"], namespace=SPACE)
        if way == "fetch_by_metadata":
            return await index.fetch_by_metadata(filter={"n": 1}, namespace=SPACE)
        if way == "list":
            return await index.list_paginated(namespace=SPACE)
        return await index.describe_index_stats()

    first, second = await seen(), await seen()
    if way == "stats":
        assert (first.total_vector_count, second.total_vector_count) == (0, 1)
        return
    assert (len(first.vectors), len(second.vectors)) == (0, 1)
    assert second.response_info.lsn_reconciled is None


async def test_lsns_are_those_of_a_namespace(index: AsyncIndex) -> None:
    assert [await put(index, one()), await put(index, one("b"))] == [1, 2]
    reply = await index.upsert(vectors=[one()], namespace="another")
    assert reply.response_info is not None
    assert reply.response_info.lsn_committed == 1


@pytest.mark.parametrize("lag", [0, 3])
async def test_how_far_reads_lag_can_be_set(lag: int, tmp_path: Path) -> None:
    assert PINECONE.store is not None
    with lagging(tmp_path, lag) as server:
        async with new_index(server.url.partition("?")[0]) as index:
            for number in range(5):
                await put(index, one(str(number)))
            assert len((await query(index)).matches) == 5 - lag


def lagging(place: Path, lag: int) -> AbstractContextManager[Server]:
    """A server of its own whose reads lag so far behind."""
    store = PINECONE.store
    assert store is not None
    return running(replace(store, arguments=(*store.arguments, "--lag", str(lag))), place)


async def test_what_was_written_outlives_the_process(tmp_path: Path, servers: Servers) -> None:
    assert PINECONE.store is not None
    server: Server = servers.own(PINECONE.store, tmp_path).start()
    try:
        async with new_index(server.url.partition("?")[0]) as index:
            await put(index, one(n=1), one("b"))
            await index.delete(ids=["b"], namespace=SPACE)
            server.kill()
            server.start()
            found = await index.fetch(ids=["a", "b"], namespace=SPACE)
            assert {name: vector.metadata for name, vector in found.vectors.items()} == {
                "a": {"n": 1.0}
            }
            assert await put(index, one("c")) == 3, "LSNs go on"
    finally:
        server.close()


async def test_more_than_two_megabytes_are_refused(index: AsyncIndex) -> None:
    many = [one(str(number), text="x" * 39_000) for number in range(54)]
    with pytest.raises(PayloadTooLargeError):
        await put(index, *many)
    await put(index, *many[:53])


async def test_more_than_a_thousand_vectors_are_refused(index: AsyncIndex) -> None:
    records = [{"id": str(number), "values": [1, 0, 0, 0]} for number in range(1001)]
    async with refused(400, "1000"):
        await put(index, *records)
    await put(index, *records[1:])
    assert (await raw(index, "/vectors/upsert", {"vectors": []})).status_code == 400


async def test_ids_are_ascii_of_1_to_512_characters(index: AsyncIndex) -> None:
    values = [1, 0, 0, 0]
    for name in ("", "é", "a" * 513, "a\0"):
        body = {"vectors": [{"id": name, "values": values}]}
        assert (await raw(index, "/vectors/upsert", body)).status_code == 400
    await put(index, one("a" * 512), one("a b/%#"))


async def test_metadata_has_at_most_40_kb(index: AsyncIndex) -> None:
    beside = len('{"text":""}')
    async with refused(400, "Metadata size is 40961 bytes"):
        await put(index, one(text="x" * (40_961 - beside)))
    await put(index, one(text="x" * (40_960 - beside)))


async def test_vectors_have_the_dimension_and_a_direction(index: AsyncIndex) -> None:
    for values, words in (([1, 2, 3], "dimension"), ([0, 0, 0, 0], "non-zero")):
        async with refused(400, words):
            await put(index, {"id": "a", "values": values})
    async with refused(400, "dimension"):
        await query(index, vector=[1.0])


async def test_fetches_and_deletes_take_at_most_1000_ids(index: AsyncIndex) -> None:
    await put(index, one())
    ids = [str(number) for number in range(1001)]
    async with refused(400, "1000"):
        await index.delete(ids=ids, namespace=SPACE)
    await index.delete(ids=ids[1:], namespace=SPACE)
    async with refused(400, "1000"):
        await index.fetch(ids=ids, namespace=SPACE)
    assert len((await index.fetch(ids=ids[1:], namespace=SPACE)).vectors) == 0


async def test_a_page_of_a_list_has_at_most_100_ids(index: AsyncIndex) -> None:
    await put(index, *(one(f"{number:03}") for number in range(150)))
    await query(index)
    first = await index.list_paginated(namespace=SPACE)
    assert [len(first.vectors), first.pagination is not None] == [100, True]
    assert first.pagination is not None
    rest = await index.list_paginated(namespace=SPACE, pagination_token=first.pagination.next)
    assert [len(rest.vectors), rest.pagination] == [50, None]
    assert [item.id for item in (await index.list_paginated(prefix="14", namespace=SPACE)).vectors]
    async with httpx.AsyncClient(headers=HEADERS) as client:
        answer = await client.get(f"{index.host}/vectors/list?limit=101")
    assert answer.status_code == 400


async def test_fetch_by_metadata_goes_on_where_a_page_ended(index: AsyncIndex) -> None:
    await put(index, *(one(f"{number}", n=number % 2) for number in range(9)))
    await query(index)
    found: list[str] = []
    token: str | None = None
    while True:
        page = await index.fetch_by_metadata(
            filter={"n": 0}, namespace=SPACE, limit=2, pagination_token=token
        )
        assert len(page.vectors) <= 2
        found += page.vectors
        token = page.pagination.next if page.pagination else None
        if token is None:
            break
    assert found == ["0", "2", "4", "6", "8"]
    async with refused(400, "token"):
        await index.fetch_by_metadata(filter={"n": 0}, namespace=SPACE, pagination_token="???")


async def test_a_query_gives_at_most_10_000_matches_and_4_megabytes(index: AsyncIndex) -> None:
    body = {"topK": 10_001, "vector": [1, 0, 0, 0], "namespace": SPACE}
    assert (await raw(index, "/query", body)).status_code == 400
    for start in range(0, 120, 40):
        numbers = range(start, start + 40)
        await put(index, *(one(str(number), text="x" * 39_000) for number in numbers))
    for _ in range(3):
        assert len((await query(index, top_k=200)).matches) <= 120
    assert len((await query(index, top_k=100, include_metadata=True)).matches) == 100
    async with refused(400, "result"):
        await query(index, top_k=120, include_metadata=True)


async def test_metadata_changes_types_and_loses_nulls(index: AsyncIndex) -> None:
    kept: dict[str, Any] = {"text": "x", "flag": True, "list": ["b", "a"], "float": 0.5}
    await put(index, one(**kept, n=3, big=2**53 + 1, null=None))
    await query(index)
    (match,) = (await query(index, include_metadata=True)).matches
    assert match.metadata == {**kept, "n": 3.0, "big": float(2**53)}
    assert isinstance(match.metadata["n"], float)


@pytest.mark.parametrize("value", [[1], {"a": "b"}, ["a", None]], ids=repr)
async def test_metadata_has_no_other_types(index: AsyncIndex, value: object) -> None:
    body = {"vectors": [{"id": "a", "values": [1, 0, 0, 0], "metadata": {"m": value}}]}
    answer = await raw(index, "/vectors/upsert", body)
    assert answer.status_code == 400
    assert "for field 'm'" in answer.text


async def test_an_upsert_replaces_and_an_update_merges(index: AsyncIndex) -> None:
    await put(index, one(a=1, b=1))
    await put(index, one(b=2))
    await index.update(id="a", set_metadata={"c": 3}, namespace=SPACE)
    await query(index)
    await query(index)
    found = await index.fetch(ids=["a"], namespace=SPACE)
    assert found.vectors["a"].metadata == {"b": 2.0, "c": 3.0}
    told = await index.update(filter={"b": 2}, set_metadata={"b": 5}, namespace=SPACE, dry_run=True)
    assert told.matched_records == 1
    found = await index.fetch(ids=["a"], namespace=SPACE)
    assert found.vectors["a"].metadata == {"b": 2.0, "c": 3.0}, "it was only asked"


ROWS: Sequence[dict[str, Any]] = (
    one("none"),
    one("three", n=3),
    one("text", n="3"),
    one("true", n=True),
    one("list", n=["x", "3"]),
)
FILTERS: list[tuple[dict[str, Any], set[str]]] = [
    ({"n": 3}, {"three"}),
    ({"n": {"$eq": 3.0}}, {"three"}),
    ({"n": "3"}, {"text", "list"}),
    ({"n": {"$eq": True}}, {"true"}),
    ({"n": {"$ne": 3}}, {"text", "true", "list"}),
    ({"n": {"$nin": ["3", "x"]}}, {"three", "true"}),
    ({"n": {"$in": ["x", "y"]}}, {"list"}),
    ({"n": {"$in": [3]}}, {"three"}),
    ({"n": {"$gt": 2}}, {"three"}),
    ({"n": {"$lte": 2}}, set()),
    ({"n": {"$exists": False}}, {"none"}),
    ({"n": {"$exists": True}}, {"three", "text", "true", "list"}),
    ({"$or": [{"n": 3}, {"n": {"$exists": False}}]}, {"none", "three"}),
    ({"$and": [{"n": {"$gte": 3}}, {"n": {"$lt": 3}}]}, set()),
]


async def test_filters(index: AsyncIndex) -> None:
    """$ne and $nin do not match what lacks the field."""
    await put(index, *ROWS)
    for condition, expected in FILTERS:
        assert await matching(index, condition) == expected, condition


@pytest.mark.parametrize(
    "condition",
    [
        {"n": {"$in": []}},
        {"n": {"$nin": []}},
        {"n": {"$in": [str(number) for number in range(10_001)]}},
        {"n": {"$in": [True]}},
        {"n": {"$gt": "a"}},
        {"n": {"$gte": True}},
        {"n": {"$eq": ["x"]}},
        {"n": {"$eq": None}},
        {"n": {"$exists": 1}},
        {"n": {"$not": 1}},
        {"n": {}},
        {"$not": [{"n": 1}]},
        {"$and": []},
        {"$or": [{}]},
    ],
    ids=lambda condition: json.dumps(condition)[:40],
)
async def test_filters_that_are_refused(index: AsyncIndex, condition: dict[str, Any]) -> None:
    async with refused(400):
        await query(index, filter=condition)


async def test_numbers_are_compared_as_float64(index: AsyncIndex) -> None:
    await put(index, one(n=2**53 + 1))
    assert await matching(index, {"n": 2**53}) == {"a"}
    assert await matching(index, {"n": {"$gt": 2**53}}) == set()


async def test_scores_are_cosines(index: AsyncIndex) -> None:
    vectors = {"same": [2, 0, 0, 0], "half": [1, 1, 0, 0], "opposite": [-1, 0, 0, 0]}
    await put(index, *({"id": name, "values": values} for name, values in vectors.items()))
    await query(index)
    scores = {match.id: match.score for match in (await query(index)).matches}
    assert list(scores) == ["same", "half", "opposite"]
    assert scores == pytest.approx({"same": 1, "half": math.sqrt(0.5), "opposite": -1})


async def test_a_delete_takes_one_selector_and_tells_nothing(index: AsyncIndex) -> None:
    await put(index, one(n=1), one("b", n=2), one("c", n=2))
    assert await index.delete(ids=["a", "missing"], namespace=SPACE) is None  # type: ignore[func-returns-value]
    await index.delete(filter={"n": 2}, namespace=SPACE)
    for _ in range(3):
        await query(index)
    assert (await query(index)).matches == []
    body = {"namespace": SPACE, "ids": ["a"], "deleteAll": True}
    assert (await raw(index, "/vectors/delete", body)).status_code == 400
    assert (await raw(index, "/vectors/delete", {"namespace": SPACE})).status_code == 400
    async with refused(404, "Namespace"):
        await index.delete(ids=["a"], namespace="never-written")


async def test_namespaces_are_apart_and_can_be_dropped(index: AsyncIndex) -> None:
    await put(index, one())
    await index.upsert(vectors=[one("b")], namespace="another")
    await index.upsert(vectors=[one("c")])
    names = [each.name async for page in index.list_namespaces() for each in page.namespaces]
    assert names == ["__default__", "another", SPACE]
    await query(index)
    assert [match.id for match in (await query(index)).matches] == ["a"]
    await index.delete_namespace(name="another")
    with pytest.raises(NotFoundError):
        await index.describe_namespace(name="another")
    assert (await raw(index, "/vectors/upsert", {"vectors": [one()], "namespace": "é"})).is_error


async def test_a_short_burst_is_ridden_out_by_the_sdk(address: str, index: AsyncIndex) -> None:
    for status in (429, 503):
        await set_fault(address, statuses=[status] * 2, path="/upsert", retry_after=0)
        await put(index, one())


async def test_a_long_burst_is_heard(address: str, index: AsyncIndex) -> None:
    try:
        await set_fault(address, statuses=[429] * 9, path="/query", retry_after=0.01)
        with pytest.raises(RateLimitError) as caught:
            await query(index)
        assert caught.value.retry_after == 0.01
        await set_fault(address, statuses=[503] * 9, path="/upsert", retry_after=0.01)
        with pytest.raises(ServiceError):
            await put(index, one())
    finally:
        await set_fault(address, statuses=[])
    assert (await query(index)).matches == [], "nothing was done"
    await asyncio.gather(*(put(index, one(str(number))) for number in range(10)))
