"""Memories that are large: pages and answers end early and say so, and nothing is lost."""

from __future__ import annotations

import pytest

from memplane import (
    AsyncScope,
    Capabilities,
    InvalidArgument,
    Kind,
    Mode,
    Order,
    Put,
    Query,
    Ref,
    ResourceExhausted,
    SearchResult,
)
from memplane.v1 import memory_service_pb2 as pb
from memplane_adapters.conformance.memories.doors import Door, call
from memplane_adapters.conformance.memories.helpers import (
    EVERY_STORE,
    ON_THE_SESSION_LOOP,
    axis,
    dimension_of,
    needs,
    needs_room,
    put_all,
    ref_message,
    refused,
    there,
)
from memplane_gateway import limits

pytestmark = ON_THE_SESSION_LOOP

LARGE = "x" * 250_000
# As much as a message of 4 MiB lets in.
LARGEST = [LARGE] * 15


def takes_the_largest(abilities: Capabilities, kind: Kind) -> bool:
    """Whether a kind's store has no lower limit for one memory."""
    able = abilities[kind]
    each = (able.max_item_bytes, able.max_metadata_bytes)
    return all(most is None or most >= limits.SHOWN["memory_bytes"] for most in each)


async def filled(
    space: AsyncScope, kind: Kind, count: int, vector: list[float] | None = None
) -> list[Ref]:
    """So many large memories."""
    refs = [space.ref(kind, f"{number:02}") for number in range(count)]
    await put_all(space, [Put(ref, text="tea", value=LARGE, vector=vector) for ref in refs])
    return refs


@EVERY_STORE
async def test_pages_of_large_memories_are_shorter_and_lose_nothing(
    space: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    needs_room(abilities, kind, len(LARGE))
    refs = await filled(space, kind, 40)
    for order, descending in ((Order.KEY, False), (Order.UPDATE_TIME, True)):
        walk = space.list(kind, order=order, descending=descending, page_size=1000)
        pages = [page async for page in walk.pages()]
        assert sorted(memory.ref for page in pages for memory in page) == refs
        limit = abilities.limits["page_bytes"]
        assert all(len(page) * len(LARGE) <= limit + len(LARGE) for page in pages)
        assert all(len(page) for page in pages[:-1])


@EVERY_STORE
async def test_a_filtered_walk_over_large_memories_loses_nothing(
    space: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    needs_room(abilities, kind, len(LARGE))
    refs = await filled(space, kind, 40)
    wanted = refs[3::4]
    names = [ref.key for ref in wanted]
    for filter_ in (
        {"@key": {"$in": names}},
        {"@key": {"$nin": [r.key for r in refs if r not in wanted]}},
    ):
        walk = space.list(kind, filter=filter_, page_size=4)
        assert [memory.ref async for memory in walk] == wanted
        assert await space.count(kind, filter=filter_) == len(wanted)


@EVERY_STORE
async def test_the_largest_memories_come_one_a_page(
    space: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    needs(takes_the_largest(abilities, kind), "room for the largest memories")
    refs = [space.ref(kind, f"{number}") for number in range(3)]
    for ref in refs:
        await space.put(ref, value=LARGEST)
    pages = [page async for page in space.list(kind).pages()]
    assert [len(page) for page in pages if len(page)] == [1, 1, 1]
    assert [memory.ref for page in pages for memory in page] == refs
    found = await space.search(kind=kind)
    assert [memory.ref for memory in found.memories] == refs[-1:]
    assert found.truncated
    assert (await there(space, kind, "0")).value == LARGEST


@EVERY_STORE
async def test_more_than_a_reply_holds_is_refused_and_the_client_asks_in_parts(
    door: Door, space: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    needs_room(abilities, kind, len(LARGE))
    limit = abilities.limits["reply_bytes"]
    refs = await filled(space, kind, limit // len(LARGE) + 1)
    request = pb.GetMemoriesRequest(refs=[ref_message(ref) for ref in refs])
    with refused(ResourceExhausted, "REPLY_TOO_LARGE") as refusal:
        await call(door, "GetMemories", request, pb.GetMemoriesResponse)
    assert refusal.error.metadata["limit_bytes"] == str(limit)
    del request.refs[-2:]
    reply = await call(door, "GetMemories", request, pb.GetMemoriesResponse)
    assert len(reply.results) == len(refs) - 2
    assert all(result.HasField("memory") for result in reply.results)
    missing = space.ref(kind, "missing")
    found = await space.get_many([missing, *refs, missing])
    assert [memory.ref if memory else None for memory in found] == [None, *refs, None]


@EVERY_STORE
async def test_the_same_memory_many_times_does_not_fit_either(
    door: Door, space: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    needs_room(abilities, kind, len(LARGE))
    (ref,) = await filled(space, kind, 1)
    request = pb.GetMemoriesRequest(refs=[ref_message(ref)] * 1000)
    with refused(ResourceExhausted, "REPLY_TOO_LARGE"):
        await call(door, "GetMemories", request, pb.GetMemoriesResponse)


@pytest.mark.parametrize("mode", [Mode.RECENT, Mode.VECTOR, Mode.KEYWORD])
@pytest.mark.parametrize("kind", list(Kind))
async def test_a_search_that_ends_early_says_so(
    space: AsyncScope, kind: Kind, mode: Mode, abilities: Capabilities
) -> None:
    needs_room(abilities, kind, len(LARGE))
    needs(mode is Mode.RECENT or getattr(abilities[kind], mode.value), f"{mode.name} search")
    own = None if kind is Kind.PROCEDURAL else axis(dimension_of(abilities, kind), 1.0)
    await filled(space, kind, 30, own)

    async def search(limit: int) -> SearchResult:
        return await space.search(
            "tea" if mode is Mode.KEYWORD else None,
            vector=own if mode is Mode.VECTOR else None,
            kind=kind,
            mode=mode,
            limit=limit,
        )

    few, many = await search(5), await search(1000)
    assert (len(few), few.truncated) == (5, False)
    assert many.truncated
    assert 5 < len(many) < 30
    assert many[:5] == few.hits
    assert len(many) * len(LARGE) <= abilities.limits["page_bytes"] + len(LARGE)
    keys = [memory.key for memory in many.memories]
    assert len(set(keys)) == len(keys)


@EVERY_STORE
async def test_many_large_answers_share_one_reply(
    space: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    needs_room(abilities, kind, len(LARGE))
    await filled(space, kind, 30)
    results = await space.search_many([Query(kind=kind, limit=1000) for _ in range(16)])
    sizes = [len(result) * len(LARGE) for result in results]
    assert all(size >= len(LARGE) for size in sizes)
    assert sum(sizes) <= abilities.limits["reply_bytes"] + 16 * len(LARGE)
    assert all(result.truncated for result in results)


@EVERY_STORE
async def test_what_is_complete_is_not_truncated(space: AsyncScope, kind: Kind) -> None:
    await put_all(space, [Put(space.ref(kind, f"{number}"), text="tea") for number in range(60)])
    for limit, filter_ in ((0, None), (60, None), (1000, None), (10, {"@key": "7"})):
        found = await space.search(kind=kind, limit=limit, filter=filter_)
        assert not found.truncated, (limit, filter_)


@pytest.mark.parametrize("kind", [Kind.SEMANTIC, Kind.PROCEDURAL])
async def test_an_update_cannot_grow_a_memory_beyond_what_can_be_put(
    space: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    needs(takes_the_largest(abilities, kind), "room for the largest memories")
    await space.put(kind, "k", attributes={"a": LARGEST})
    with pytest.raises(InvalidArgument) as caught:
        await space.update(kind, "k", attributes={"b": LARGEST})
    assert caught.value.reason == "ITEM_TOO_LARGE"
    assert int(caught.value.metadata["limit_bytes"]) == limits.SHOWN["memory_bytes"]
    memory = await there(space, kind, "k")
    assert memory.attributes == {"a": LARGEST}
