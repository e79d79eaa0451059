"""Filters that only the gateway evaluates, with a scan budget: a page that lacks something says so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from memplane import AsyncScope, Capabilities, InvalidArgument, Kind, Mode, Order, Put, Ref, attr
from memplane.v1 import filter_pb2, purge_pb2
from memplane_adapters.conformance.memories.doors import IN_PROCESS, Door, call
from memplane_adapters.conformance.memories.fixtures import (
    Arrange,
    fresh_label,
    opened,
    settings_in,
)
from memplane_adapters.conformance.memories.helpers import (
    KIND_NUMBERS,
    ON_THE_SESSION_LOOP,
    axis,
    dimension_of,
    key,
    keys_listed,
    put_all,
    refused,
)

pytestmark = ON_THE_SESSION_LOOP

KINDS = pytest.mark.parametrize("kind", [Kind.SEMANTIC, Kind.PROCEDURAL])
BUDGET = 100
ROWS = 300
RARE = {"rare": True}


# All of these, for a fixture of the session would keep what it was first made with.
@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def door(
    no_filters: Arrange, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Door]:
    """No filter is pushed down, and the budget is small."""
    settings = no_filters(settings_in(tmp_path_factory.mktemp("budget")))
    async with opened(IN_PROCESS, settings) as made:
        assert made.gateway.settings.scan_budget == BUDGET
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def abilities(door: Door) -> Capabilities:
    """What the gateway says that it can do."""
    return await door.client.capabilities()


@pytest.fixture
def space(door: Door) -> AsyncScope:
    """A namespace that no other case uses."""
    return door.client.scope(fresh_label())


@pytest.fixture
def rare() -> list[str]:
    """The keys of the rare ones: every thirtieth of those that come last."""
    return [f"{number:03}" for number in range(150, ROWS, 30)]


async def filled(
    space: AsyncScope, kind: Kind, rare: list[str], abilities: Capabilities | None = None
) -> None:
    """In the order of keys, of update times and of nearness the rare ones come late."""
    names = [f"{number:03}" for number in range(ROWS)]
    for start in range(0, ROWS, 100):
        puts = []
        for number in range(start, start + 100):
            vector = None
            if abilities is not None:
                vector = axis(dimension_of(abilities, kind), 1.0, number * 0.01)
            name = names[number]
            puts.append(
                Put(space.ref(kind, name), attributes={"rare": name in rare}, vector=vector)
            )
        await put_all(space, puts)


@KINDS
@pytest.mark.parametrize("order", list(Order))
@pytest.mark.parametrize("descending", [False, True])
async def test_a_walk_finds_all_by_pages_that_say_when_the_budget_ran_out(
    space: AsyncScope, kind: Kind, rare: list[str], order: Order, descending: bool
) -> None:
    await filled(space, kind, rare)
    found: list[str] = []
    truncated = 0
    walk = space.list(kind, filter=RARE, order=order, descending=descending, page_size=3)
    async for page in walk.pages():
        assert page.filter is not None
        assert (page.filter.pushed, page.filter.residual) == (False, True)
        assert page.filter.scanned <= BUDGET
        if len(page) < 3 and page.next_page_token:
            assert page.filter.truncated
        if page.filter.truncated:
            assert page.next_page_token
            truncated += 1
        found += [memory.key for memory in page]
    assert sorted(found) == rare
    assert truncated


@KINDS
async def test_a_count_says_when_it_is_a_lower_bound(
    space: AsyncScope, kind: Kind, rare: list[str]
) -> None:
    await filled(space, kind, rare)
    counted = await space.count(kind, filter=RARE)
    assert counted.truncated
    assert counted.filter is not None
    assert counted.filter.scanned == BUDGET
    assert counted <= len(rare)
    everything = await space.count(kind)
    assert everything == ROWS
    assert not everything.truncated


@KINDS
async def test_recent_says_when_more_may_exist(
    space: AsyncScope, kind: Kind, rare: list[str]
) -> None:
    await filled(space, kind, rare)
    found = await space.search(kind=kind, mode=Mode.RECENT, filter=RARE, limit=10)
    assert found.filter is not None
    assert found.filter.truncated
    assert found.truncated
    assert {memory.key for memory in found.memories} <= set(rare)
    full = await space.search(kind=kind, mode=Mode.RECENT, filter={"rare": False}, limit=10)
    assert len(full) == 10
    assert full.filter is not None
    assert not full.filter.truncated
    assert not full.truncated


async def test_vector_search_says_when_more_may_exist(
    space: AsyncScope, abilities: Capabilities, rare: list[str]
) -> None:
    await filled(space, Kind.SEMANTIC, rare, abilities)
    query = axis(dimension_of(abilities, Kind.SEMANTIC), 1.0)
    found = await space.search(vector=query, filter=RARE, limit=10)
    assert found.filter is not None
    assert found.filter.truncated
    assert found.truncated
    assert len(found) == 0
    full = await space.search(vector=query, filter={"rare": False}, limit=10)
    assert [memory.key for memory in full.memories] == [f"{number:03}" for number in range(10)]
    assert full.filter is not None
    assert not full.filter.truncated
    assert not full.truncated


async def test_weights_say_when_others_may_have_risen(
    space: AsyncScope, abilities: Capabilities
) -> None:
    length = dimension_of(abilities, Kind.SEMANTIC)
    vectors = [axis(length, 1.0, number * 0.001) for number in range(ROWS)]
    await put_all(
        space,
        [
            Put(space.ref(Kind.SEMANTIC, f"{n:03}"), vector=vector, importance=n / ROWS)
            for n, vector in enumerate(vectors)
        ],
    )
    query: dict[str, Any] = {"vector": axis(length, 1.0), "limit": 10, "importance_weight": 0.5}
    found = await space.search(**query)
    assert [memory.key for memory in found.memories] == [f"{n:03}" for n in range(99, 89, -1)]
    assert not found.truncated, "they are the best of the first hundred, as was asked"
    few = await space.search(**query, filter={"@importance": {"$lt": 0.1}})
    assert len(few) == 10
    assert few.truncated, "the budget ran out before there were a hundred"


async def test_a_small_namespace_is_searched_whole(
    space: AsyncScope, abilities: Capabilities, rare: list[str]
) -> None:
    await filled(space, Kind.SEMANTIC, rare, abilities)
    small = space.scope("small")
    own = axis(dimension_of(abilities, Kind.SEMANTIC), -1.0)
    await small.put(Kind.SEMANTIC, "k", vector=own, attributes=RARE)
    query = axis(dimension_of(abilities, Kind.SEMANTIC), 1.0)
    found = await small.search(vector=query, filter=RARE)
    assert [memory.key for memory in found.memories] == ["k"]
    assert found.filter is not None
    assert not found.filter.truncated


# --- purges ---------------------------------------------------------------------------------------


def asking(space: AsyncScope, kind: Kind, **fields: Any) -> purge_pb2.PurgeMemoriesRequest:
    """A purge of the rare ones."""
    request = purge_pb2.PurgeMemoriesRequest(
        kind=KIND_NUMBERS[kind], namespace=space.namespace, **fields
    )
    request.filter.condition.path.append("rare")
    request.filter.condition.op = filter_pb2.OP_EQ
    request.filter.condition.operand.bool_value = True
    return request


async def ask(
    door: Door, request: purge_pb2.PurgeMemoriesRequest
) -> purge_pb2.PurgeMemoriesResponse:
    """One call."""
    return await call(door, "PurgeMemories", request, purge_pb2.PurgeMemoriesResponse)


@KINDS
async def test_a_purge_goes_on_where_its_budget_ran_out(
    door: Door, space: AsyncScope, kind: Kind, rare: list[str]
) -> None:
    await filled(space, kind, rare)
    dry = await space.purge(kind, filter=RARE, dry_run=True)
    assert dry.count == len(rare)
    request, counts = asking(space, kind), list[int]()
    while not counts or request.page_token:
        response = await ask(door, request)
        counts.append(response.count)
        assert response.filter.scanned <= BUDGET
        assert response.filter.truncated == bool(response.next_page_token)
        request.page_token = response.next_page_token
    assert sum(counts) == len(rare)
    assert len(counts) == ROWS // BUDGET
    assert await space.count(kind) == ROWS - len(rare)
    done = await space.purge(kind, filter=attr("rare") == False)  # noqa: E712 (a filter)
    assert done.count == ROWS - len(rare)
    assert done.filter is not None
    assert done.filter.scanned == ROWS - len(rare)


@KINDS
async def test_what_is_written_between_two_calls_of_a_purge_survives(
    door: Door, space: AsyncScope, kind: Kind, rare: list[str]
) -> None:
    await filled(space, kind, rare)
    request = asking(space, kind, request_id=key())
    first = await ask(door, request)
    assert (first.count, bool(first.next_page_token)) == (0, True)
    for name in (rare[-1], "999"):
        await space.put(kind, name, attributes=RARE, value="later")
    again = await ask(door, request)
    assert (again.replayed, again.next_page_token) == (True, first.next_page_token)
    request.page_token = first.next_page_token
    while request.page_token:
        request.request_id = key()
        request.page_token = (await ask(door, request)).next_page_token
    assert await keys_listed(space, kind, RARE) == [rare[-1], "999"]


@KINDS
async def test_a_token_belongs_to_its_own_purge(
    door: Door, space: AsyncScope, kind: Kind, rare: list[str]
) -> None:
    await filled(space, kind, rare)
    token = (await ask(door, asking(space, kind))).next_page_token
    trial = (await ask(door, asking(space, kind, dry_run=True))).next_page_token
    other = asking(space, kind, page_token=token)
    other.filter.condition.operand.bool_value = False
    below = asking(space.scope("below"), kind, page_token=token)
    for request in (other, below, asking(space, kind, page_token=trial)):
        with refused(InvalidArgument, "PAGE_TOKEN_INVALID", "page_token"):
            await ask(door, request)
    assert (await ask(door, asking(space, kind, page_token=token))).count <= len(rare)


# --- figures --------------------------------------------------------------------------------------


@KINDS
async def test_figures_say_when_the_budget_ran_out(
    space: AsyncScope, kind: Kind, rare: list[str]
) -> None:
    await filled(space, kind, rare)
    figures = (await space.statistics(kind, filter=RARE))[kind]
    assert figures.truncated
    assert figures.filter is not None
    assert (figures.filter.scanned, figures.filter.truncated) == (BUDGET, True)
    assert figures.count <= len(rare)
    whole = (await space.statistics(kind))[kind]
    assert (whole.count, whole.mean_importance, whole.truncated) == (ROWS, None, True)
    assert whole.oldest is not None
    assert whole.newest is not None


@KINDS
async def test_namespaces_are_all_found_whatever_the_budget(space: AsyncScope, kind: Kind) -> None:
    places = [(*space.namespace, f"{number:03}") for number in range(ROWS)]
    for start in range(0, ROWS, BUDGET):
        await put_all(space, [Put(Ref(kind, each, "k")) for each in places[start : start + BUDGET]])
    walk = space.namespaces(kind, page_size=1000)
    first = await walk.page()
    assert len(first) == BUDGET
    assert [each async for each in walk] == places
