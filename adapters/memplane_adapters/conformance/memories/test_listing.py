"""Walks over memories that nobody changes: every order, every direction, each exactly once."""

from __future__ import annotations

from datetime import datetime
from itertools import product

import pytest
import pytest_asyncio

from memplane import (
    AsyncClient,
    AsyncScope,
    Episode,
    InvalidArgument,
    Kind,
    Memory,
    Mode,
    Order,
    Put,
    Ref,
)
from memplane_adapters.conformance.memories.fixtures import fresh_label
from memplane_adapters.conformance.memories.helpers import (
    EVERY_KIND,
    EVERY_STORE,
    ON_THE_SESSION_LOOP,
    at,
    places,
    put_all,
    refused,
)

pytestmark = ON_THE_SESSION_LOOP

WALKS = list(product(Order, (False, True)))
EVERY_WALK = pytest.mark.parametrize(
    ("order", "descending"), WALKS, ids=lambda given: {True: "down", False: "up"}.get(given, given)
)
MANY = 2_500


def in_order(memories: list[Memory], order: Order, *, descending: bool) -> list[Memory]:
    """What a walk owes: by the order's value, ties by ref ascending in both directions."""
    if order is Order.KEY:
        return sorted(memories, key=lambda m: (m.namespace, m.key), reverse=descending)
    by_ref = sorted(memories, key=lambda m: (m.namespace, m.key))
    return sorted(by_ref, key=lambda m: moment(m, order), reverse=descending)


def moment(memory: Memory, order: Order) -> datetime:
    """When it happened, or was last changed."""
    assert memory.update_time is not None
    if order is Order.EVENT_TIME and memory.episode is not None:
        assert memory.episode.event_time is not None
        return memory.episode.event_time
    return memory.update_time


async def everything(space: AsyncScope, kind: Kind) -> list[Memory]:
    """All memories, by one walk by key."""
    return [memory async for memory in space.list(kind, page_size=1000)]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def crowd(client: AsyncClient) -> AsyncScope:
    """2,500 memories of each sort of store, in five namespaces, with times that repeat."""
    space = client.scope(fresh_label())
    for kind in (Kind.EPISODIC, Kind.PROCEDURAL):
        await put_all(
            space,
            [
                Put(
                    Ref(kind, (*space.namespace, f"n{number % 5}"), f"k{number:04}"),
                    attributes={"n": number},
                    episode=Episode(event_time=at(number * 7919 % 50))
                    if kind is Kind.EPISODIC
                    else None,
                )
                for number in range(MANY)
            ],
        )
    return space


@EVERY_WALK
@pytest.mark.parametrize("kind", [Kind.EPISODIC, Kind.PROCEDURAL])
async def test_field_37_2500_rows_come_each_exactly_once(
    crowd: AsyncScope, kind: Kind, order: Order, descending: bool
) -> None:
    walk = crowd.list(kind, order=order, descending=descending, page_size=400)
    walked = [memory async for memory in walk]
    assert len(walked) == len(set(places(walked))) == MANY
    assert places(walked) == places(in_order(walked, order, descending=descending))


@pytest.mark.parametrize("kind", [Kind.EPISODIC, Kind.PROCEDURAL])
async def test_a_page_holds_50_by_default_and_1000_at_most(crowd: AsyncScope, kind: Kind) -> None:
    for asked, given in ((0, 50), (1, 1), (1000, 1000), (1001, 1000), (5000, 1000)):
        page = await crowd.list(kind, page_size=asked).page()
        assert len(page) == given
        assert page.next_page_token
        found = await crowd.search(kind=kind, mode=Mode.RECENT, limit=asked)
        assert len(found) == given
    for size in (-1, -(2**31)):
        with refused(InvalidArgument, "INVALID_REQUEST", "page_size"):
            await crowd.list(kind, page_size=size).page()
        with refused(InvalidArgument, "INVALID_REQUEST", "queries[0].page_size"):
            await crowd.search(kind=kind, limit=size)


@pytest.mark.parametrize("kind", [Kind.EPISODIC, Kind.PROCEDURAL])
async def test_a_filter_fills_pages_and_finds_each_match_once(
    crowd: AsyncScope, kind: Kind
) -> None:
    seen: list[int] = []
    async for page in crowd.list(kind, filter={"n": {"$lt": 130}}, page_size=50).pages():
        assert page.filter is not None
        assert not page.filter.truncated
        assert len(page) == 50 or not page.next_page_token
        seen += [memory.attributes["n"] for memory in page]
    assert sorted(seen) == list(range(130))
    assert await crowd.count(kind, filter={"n": {"$gte": 130}}) == MANY - 130


@EVERY_WALK
@EVERY_KIND
async def test_a_walk_is_in_order_whatever_the_page_size(
    space: AsyncScope, kind: Kind, order: Order, descending: bool
) -> None:
    for number in range(24):
        ref = Ref(kind, (*space.namespace, "ba"[number % 2]), f"{number * 7 % 24:02}")
        happened = Episode(event_time=at(number * 5 % 6)) if kind is Kind.EPISODIC else None
        await space.put(ref, text=f"{number}", episode=happened)
    expected = places(in_order(await everything(space, kind), order, descending=descending))
    assert len(expected) == 24
    for size in (1, 5, 24, 1000):
        walk = space.list(kind, order=order, descending=descending, page_size=size)
        assert places([memory async for memory in walk]) == expected


@EVERY_WALK
async def test_field_38_300_rows_of_one_time_come_each_once(
    space: AsyncScope, order: Order, descending: bool
) -> None:
    refs = [space.ref(Kind.EPISODIC, f"{number:03}") for number in range(300)]
    # One call, so that the update_time is one too.
    await put_all(space, [Put(ref, episode=Episode(event_time=at(0))) for ref in refs])
    walk = space.list(Kind.EPISODIC, order=order, descending=descending, page_size=37)
    walked = [memory.ref async for memory in walk]
    down = descending and order is Order.KEY
    assert walked == sorted(refs, reverse=down)


@EVERY_STORE
async def test_field_38_300_rows_of_one_update_time_come_each_once(
    space: AsyncScope, kind: Kind
) -> None:
    refs = [space.ref(kind, f"{number:03}") for number in range(300)]
    await put_all(space, [Put(ref) for ref in refs])
    for order, descending in WALKS[2:]:
        walk = space.list(kind, order=order, descending=descending, page_size=77)
        assert [memory.ref async for memory in walk] == refs
    recent = await space.search(kind=kind, mode=Mode.RECENT, limit=100)
    assert [memory.ref for memory in recent.memories] == refs[:100]


async def test_events_of_all_times_are_in_order(space: AsyncScope) -> None:
    moments = [at(0), at(0.000001), at(-1), datetime.fromisoformat("0001-01-01T00:00:00+00:00")]
    moments += [datetime.fromisoformat("1969-12-31T23:59:59.999999+00:00"), at(1e9)]
    moments += [datetime.fromisoformat("9999-12-31T23:59:59.999999+00:00")]
    for number, happened in enumerate(moments):
        await space.record("t", key=f"{number}", event_time=happened)
    expected = [f"{moments.index(happened)}" for happened in sorted(moments)]
    up = space.list(Kind.EPISODIC, order=Order.EVENT_TIME, page_size=2)
    assert [memory.key async for memory in up] == expected
    down = space.list(Kind.EPISODIC, order=Order.EVENT_TIME, descending=True, page_size=2)
    assert [memory.key async for memory in down] == expected[::-1]
    recent = await space.search(kind=Kind.EPISODIC, mode=Mode.RECENT)
    assert [memory.key for memory in recent.memories] == expected[::-1]


@EVERY_KIND
async def test_an_empty_namespace_has_no_pages(space: AsyncScope, kind: Kind) -> None:
    for order, descending in WALKS:
        page = await space.list(kind, order=order, descending=descending).page()
        assert (page.memories, page.next_page_token) == ((), "")
        assert page.filter is None
    assert await space.count(kind) == 0
    assert len(await space.search(kind=kind)) == 0


@EVERY_KIND
async def test_the_last_full_page_ends_the_walk(space: AsyncScope, kind: Kind) -> None:
    await put_all(space, [Put(space.ref(kind, f"{number}")) for number in range(6)])
    for order in (Order.KEY, Order.EVENT_TIME):
        sizes = [len(page) async for page in space.list(kind, order=order, page_size=3).pages()]
        assert [size for size in sizes if size] == [3, 3]


@pytest.mark.parametrize("kind", [Kind.SEMANTIC, Kind.EPISODIC])
async def test_vectors_come_only_when_asked_for(space: AsyncScope, kind: Kind) -> None:
    await space.put(kind, "k", text="green tea")
    for with_vectors in (False, True):
        (listed,) = [m async for m in space.list(kind, with_vectors=with_vectors)]
        got = await space.get(kind, "k", with_vectors=with_vectors)
        found = await space.search(kind=kind, mode=Mode.RECENT, with_vectors=with_vectors)
        for memory in (listed, got, found.memories[0]):
            assert memory is not None
            if listed.embedding is not None:
                assert (memory.vector is not None) is with_vectors
