"""A scan is a listing by key over one stream: everything once, from wherever it is taken up."""

from __future__ import annotations

from typing import Any

import pytest

from memplane import AsyncScope, InvalidArgument, Kind, Put, attr
from memplane.v1 import memory_pb2, scan_pb2
from memplane_adapters.conformance.memories.doors import Door, converse
from memplane_adapters.conformance.memories.helpers import (
    EVERY_STORE,
    KIND_NUMBERS,
    ON_THE_SESSION_LOOP,
    put_all,
    refused,
)

pytestmark = ON_THE_SESSION_LOOP


async def fill(space: AsyncScope, kind: Kind, count: int) -> None:
    """Memories in two namespaces, by turns."""
    await put_all(
        space,
        [
            Put(space.scope("ab"[i % 2]).ref(kind, f"k{i:02}"), text=f"t{i}", attributes={"n": i})
            for i in range(count)
        ],
    )


async def chunks(
    door: Door, space: AsyncScope, **fields: Any
) -> list[scan_pb2.ScanMemoriesResponse]:
    """The chunks of a scan."""
    request = scan_pb2.ScanMemoriesRequest(namespace=space.namespace, **fields)
    return await converse(door, "ScanMemories", [request], scan_pb2.ScanMemoriesResponse)


@EVERY_STORE
async def test_a_scan_brings_what_a_listing_does(space: AsyncScope, kind: Kind) -> None:
    await fill(space, kind, 25)
    listed = [memory async for memory in space.list(kind, page_size=1000)]
    assert len(listed) == 25
    for size in (0, 1, 7):
        assert [memory async for memory in space.scan(kind, page_size=size)] == listed
    below = [memory async for memory in space.scope("a").scan(kind)]
    assert below == [memory for memory in listed if memory.namespace[-1] == "a"]
    assert [memory async for memory in space.scan(kind, exact_namespace=True)] == []


@EVERY_STORE
async def test_a_filter_says_which(space: AsyncScope, kind: Kind) -> None:
    await fill(space, kind, 9)
    scan = space.scan(kind, filter=attr("n") >= 4, page_size=2)
    assert sorted([memory.attributes["n"] async for memory in scan]) == [4, 5, 6, 7, 8]
    assert scan.filter is not None
    assert scan.incomplete is False


@EVERY_STORE
async def test_each_chunk_says_where_to_go_on(door: Door, space: AsyncScope, kind: Kind) -> None:
    await fill(space, kind, 7)
    number = KIND_NUMBERS[kind]
    whole = await chunks(door, space, kind=number, page_size=2)
    assert all(chunk.next_page_token for chunk in whole[:-1])
    assert whole[-1].next_page_token == ""
    everything = [memory for chunk in whole for memory in chunk.memories]
    assert len(everything) == 7
    for taken in range(1, len(whole)):
        token = whole[taken - 1].next_page_token
        rest = await chunks(door, space, kind=number, page_size=3, page_token=token)
        before = sum(len(chunk.memories) for chunk in whole[:taken])
        assert [memory for chunk in rest for memory in chunk.memories] == everything[before:]


async def test_vectors_come_only_where_they_are_asked_for(space: AsyncScope) -> None:
    await space.put(Kind.SEMANTIC, "k", text="tea")
    (plain,) = [memory async for memory in space.scan()]
    (full,) = [memory async for memory in space.scan(with_vectors=True)]
    assert plain.vector is None
    assert full.vector is not None


async def test_nothing_is_one_empty_chunk(door: Door, space: AsyncScope) -> None:
    (chunk,) = await chunks(door, space, kind=memory_pb2.KIND_SEMANTIC)
    assert (len(chunk.memories), chunk.next_page_token) == (0, "")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "kind"),
        ({"kind": 1, "page_size": -1}, "page_size"),
        ({"kind": 1, "view": 9}, "view"),
        ({"kind": 1, "consistency_token": "x"}, "consistency_token"),
    ],
    ids=["kind", "page_size", "view", "consistency_token"],
)
async def test_a_scan_that_is_not_as_it_must_be(
    door: Door, space: AsyncScope, fields: dict[str, Any], field: str
) -> None:
    with refused(InvalidArgument, "INVALID_REQUEST") as caught:
        await chunks(door, space, **fields)
    assert caught.fields == {field}


async def test_a_token_is_of_its_own_scan(door: Door, space: AsyncScope) -> None:
    await fill(space, Kind.SEMANTIC, 3)
    kind = memory_pb2.KIND_SEMANTIC
    first, *_ = await chunks(door, space, kind=kind, page_size=1)
    listed = await space.list(Kind.SEMANTIC, page_size=1).page()
    for token, fields in (
        (first.next_page_token, {"exact_namespace": True}),
        (first.next_page_token[:-2], {}),
        (listed.next_page_token, {}),
    ):
        with refused(InvalidArgument, "PAGE_TOKEN_INVALID") as caught:
            await chunks(door, space, kind=kind, page_token=token, **fields)
        assert caught.fields == {"page_token"}
